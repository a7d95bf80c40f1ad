//! `natsbridge inspect`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use natsbridge::link::LinkUrl;
use natsbridge::{Content, Envelope, Limits, PayloadView, Transport};

use crate::args::InspectArgs;
use crate::exit::{Failure, chain, code, kind_code};
use crate::output::{alarming, blocking, bold, bytes, visible, write};
use crate::preview::preview;
use crate::report::{dialect, fields, title};

pub(crate) fn run(args: &InspectArgs) -> Result<u8, Failure> {
    let message = read(&args.file)?;
    let envelope = Envelope::decode(message)
        .map_err(Failure::about(format!("{}: not a valid message", args.file.display())))?;
    let mut out = format!(
        "{}: {} dialect, {}, payloads: {}\n",
        bold("valid message"),
        dialect(envelope.dialect()),
        bytes(envelope.as_bytes().len() as u64),
        envelope.payload_count(),
    );
    fields(&envelope, &mut out);
    let mut failed = None;
    for payload in envelope.payloads() {
        let transport = payload.transport().map_or("?", Transport::as_str);
        out.push_str(&title(payload.index(), payload.dataname(), payload.type_name(), transport));
        if let Err(error) = show(&payload, args.show_links, &mut out) {
            failed.get_or_insert_with(|| kind_code(error.kind()));
            let _ = writeln!(out, "\n      {} {}", alarming("defect:"), chain(&error));
        }
    }
    write(out.as_bytes())?;
    Ok(failed.unwrap_or(code::OK))
}

/// No more than it takes to see that it is too long.
fn read(path: &Path) -> Result<Bytes, Failure> {
    let most = Limits::default().message_len as u64 + 1;
    let mut message = Vec::new();
    // A pipe may keep it waiting, and an interrupt must still be heard.
    let (name, outcome) = blocking(|| {
        if path == Path::new("-") {
            ("standard input".to_owned(), io::stdin().lock().take(most).read_to_end(&mut message))
        } else {
            let file = File::open(path);
            (path.display().to_string(), file.and_then(|file| file.take(most).read_to_end(&mut message)))
        }
    });
    outcome.map_err(|error| Failure::input(format!("cannot read {name}"), error))?;
    Ok(message.into())
}

/// The rest of the payload's title, and its lines. Writing to a String cannot fail.
fn show(payload: &PayloadView<'_>, show_links: bool, out: &mut String) -> natsbridge::Result<()> {
    if let Content::Link(url) = payload.content()? {
        match payload.size() {
            Some(size) => out.push_str(&format!("  {}", bytes(size))),
            None => out.push_str("  size unknown"),
        }
        let parsed = LinkUrl::parse(&url)?;
        let shown = if show_links { visible(parsed.as_str()) } else { format!("{}/…", parsed.origin()) };
        let _ = writeln!(out, "\n      at {shown}");
    } else {
        let data = payload.decode()?;
        let preview = preview(&data)?;
        let _ = writeln!(out, "  {}", bytes(data.bytes().len() as u64));
        if let Some(announced) = data.size_mismatch() {
            let _ = writeln!(out, "      size mismatch: the message says {}", bytes(announced));
        }
        for line in preview.lines() {
            let _ = writeln!(out, "      | {line}");
        }
    }
    if !payload.metadata().is_empty() {
        let _ = writeln!(out, "      metadata {}", visible(payload.metadata().as_json()));
    }
    Ok(())
}
