//! `natsbridge gc`: deletes what killed senders have left on the file server, by the records that they kept.

use natsbridge::Bridge;
use natsbridge::link::{CleanupRecord, Collected};
use serde::Serialize;

use crate::args::{ConnectionArgs, GcArgs};
use crate::compose;
use crate::connect::connect;
use crate::exit::{Failure, chain, code, kind_code};
use crate::output::{self, visible};

pub(crate) async fn run(connection: &ConnectionArgs, args: &GcArgs) -> Result<u8, Failure> {
    if args.record.is_empty() && args.bucket.is_none() {
        return Err(Failure::Usage("name a record of uploads: --record FILE or --bucket NAME".to_owned()));
    }
    let Some(store) = compose::plik(&args.fileserver, None)? else {
        return Err(Failure::Usage(
            "name the file server that the uploads are on: --fileserver URL".to_owned(),
        ));
    };
    let mut codes = Vec::new();
    for path in &args.record {
        let name = path.display().to_string();
        let collected = CleanupRecord::collect_file(path, &store, args.grace).await;
        codes.push(report(args, &name, &collected.map_err(Failure::about(visible(&name)))?)?);
    }
    if let Some(bucket) = &args.bucket {
        let bridge = connect(connection, Bridge::builder()).await?;
        let collected = CleanupRecord::collect_kv(bridge.client(), bucket, &store, args.grace).await?;
        codes.push(report(args, bucket, &collected)?);
    }
    // A failure says more than a warning.
    let failure = codes.iter().copied().find(|&code| code > code::WARNING);
    Ok(failure.or_else(|| codes.into_iter().max()).unwrap_or(code::OK))
}

/// The exit code for one record.
fn report(args: &GcArgs, record: &str, collected: &Collected) -> Result<u8, Failure> {
    let Collected { deleted, alive, young, foreign, failed, .. } = collected;
    let reasons: Vec<String> = failed.iter().map(|error| chain(error)).collect();
    if args.json {
        output::json(&Line {
            record,
            deleted: *deleted,
            alive: *alive,
            young: *young,
            foreign: *foreign,
            failed: &reasons,
        })?;
    } else {
        let mut text = format!("{}: {deleted} deleted", visible(record));
        for (count, what) in [
            (*alive, "of a sender that lives"),
            (*young, "younger than --grace"),
            (*foreign, "of another file server"),
            (reasons.len(), "could not be deleted"),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        output::line(&text)?;
    }
    for reason in &reasons {
        output::note(&format!("error: {}: {reason}", visible(record)));
    }
    Ok(match failed.first() {
        Some(error) => kind_code(error.kind()),
        None if *foreign > 0 => code::WARNING,
        None => code::OK,
    })
}

#[derive(Serialize)]
struct Line<'a> {
    record: &'a str,
    deleted: usize,
    alive: usize,
    young: usize,
    foreign: usize,
    failed: &'a [String],
}
