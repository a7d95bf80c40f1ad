//! `natsbridge receive`.

use std::time::Duration;

use futures_util::StreamExt;
use natsbridge::bridge::{BridgeBuilder, Counters};
use natsbridge::{Bridge, Error, ErrorKind, Limits, Message, Subscription};
use tokio::time::{Instant, MissedTickBehavior};

use crate::args::{ConnectionArgs, ReceiveArgs, ReceptionArgs};
use crate::compose;
use crate::connect::connect;
use crate::exit::{Failure, code};
use crate::folder::Folder;
use crate::output::note;
use crate::report::Reporter;

/// How often to look whether the connection is still there.
const WATCH: Duration = Duration::from_millis(500);

pub(crate) async fn run(connection: &ConnectionArgs, args: &ReceiveArgs) -> Result<u8, Failure> {
    let reporter = reporter(&args.reception)?;
    let mut builder = builder(&args.reception).tls(compose::tls(&args.fileserver)?);
    if let Some(store) = compose::plik(&args.fileserver, None)? {
        builder = builder.store(store);
    }
    let bridge = connect(connection, builder).await?;
    let subscription = match &args.queue {
        Some(queue) => bridge.queue_subscribe(&args.subject, queue).await?,
        None => bridge.subscribe(&args.subject).await?,
    };
    note("ready");
    follow(&bridge, subscription, args, &reporter).await
}

pub(crate) fn reporter(args: &ReceptionArgs) -> Result<Reporter, Failure> {
    let folder = args.output.as_deref().map(Folder::open).transpose()?;
    Ok(Reporter { json: args.json, folder })
}

/// A bridge that receives as the command line says.
pub(crate) fn builder(args: &ReceptionArgs) -> BridgeBuilder {
    let mut builder = Bridge::builder().download_timeout(args.download_timeout);
    builder = builder.policy(args.policy());
    match args.max_download {
        Some(bytes) => builder.limits(Limits::default().download_len(bytes).save_len(bytes)),
        None => builder,
    }
}

async fn follow(
    bridge: &Bridge,
    mut subscription: Subscription,
    args: &ReceiveArgs,
    reporter: &Reporter,
) -> Result<u8, Failure> {
    let mut failed = None;
    let mut came = 0;
    while args.count.is_none_or(|count| came < count) {
        match next(bridge, &mut subscription, args.timeout).await? {
            Next::Message(message) => match *message {
                Ok(message) => {
                    came += 1;
                    failed = failed.or(reporter.message(&message).await?);
                }
                Err(error) => {
                    // Word of dropped messages is no message.
                    came += u64::from(error.kind() != ErrorKind::SlowConsumer);
                    let code = reporter.broken(&error)?;
                    failed.get_or_insert(code);
                }
            },
            Next::Nothing(waited) => {
                let Some(count) = args.count else { break };
                let text = format!("no message came for {waited:?}: {came} of {count} have come");
                return match failed {
                    None => Err(Failure::TimedOut(text)),
                    Some(code) => {
                        note(&format!("error: {text}"));
                        Ok(code)
                    }
                };
            }
        }
    }
    Ok(failed.unwrap_or(code::OK))
}

enum Next {
    Message(Box<natsbridge::Result<Message>>),
    /// For this long.
    Nothing(Duration),
}

/// Waits for the next message, telling meanwhile when the connection goes and comes back.
async fn next(
    bridge: &Bridge,
    subscription: &mut Subscription,
    timeout: Option<Duration>,
) -> Result<Next, Failure> {
    let deadline = timeout.map(|timeout| (timeout, Instant::now() + timeout));
    let mut known = bridge.counters();
    let mut watch = tokio::time::interval(WATCH);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let expired = async {
            match deadline {
                Some((timeout, deadline)) => {
                    tokio::time::sleep_until(deadline).await;
                    timeout
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            message = subscription.next() => {
                return message.map(|message| Next::Message(Box::new(message))).ok_or_else(|| {
                    Error::new(ErrorKind::Disconnected, "the connection to the NATS server was closed").into()
                });
            }
            timeout = expired => return Ok(Next::Nothing(timeout)),
            _ = watch.tick() => {
                let now = bridge.counters();
                tell_changes(&known, &now);
                known = now;
            }
        }
    }
}

fn tell_changes(before: &Counters, now: &Counters) {
    if now.disconnects > before.disconnects {
        note("disconnected from the NATS server; trying to reconnect");
    }
    if now.reconnects > before.reconnects {
        note("connected again; what was published meanwhile is lost");
    }
}
