//! `natsbridge request`.

use crate::args::{ConnectionArgs, RequestArgs};
use crate::compose::{self, describe};
use crate::connect::connect;
use crate::exit::{Failure, code};
use crate::progress::Bar;
use crate::receive;

pub(crate) async fn run(connection: &ConnectionArgs, args: &RequestArgs) -> Result<u8, Failure> {
    let payloads = compose::payloads(&args.message)?;
    let reporter = receive::reporter(&args.reception)?;
    let mut builder = receive::builder(&args.reception).tls(compose::tls(&args.fileserver)?);
    // Links in the reply may come from there even where the request itself has to be direct.
    if let Some(store) = compose::upload_store(&args.message, &args.fileserver, &args.upload)? {
        builder = compose::recorded(builder.store(store), &args.upload)?;
    } else if let Some(url) = args.fileserver.url() {
        builder = builder.allow_origin(natsbridge::link::LinkUrl::parse(url)?.origin().clone());
    }
    let bridge = connect(connection, builder).await?;
    let (bar, progress) = Bar::sending();
    let request = describe!(bridge.request(&args.message.subject), &args.message, payloads);
    let reply = request.timeout(args.timeout).progress(progress).await;
    drop(bar);
    let reply = match reply {
        Ok(reply) => reply,
        // A broken reply is told like a broken message.
        Err(error) if error.fault() == natsbridge::Fault::Sender => return reporter.broken(&error),
        Err(error) => return Err(compose::send_failure(&args.message, &args.fileserver)(error)),
    };
    Ok(reporter.message(&reply).await?.unwrap_or(code::OK))
}
