//! Knowing that the server has processed something: a round trip on the same connection.
//!
//! The client's own flush only empties its buffer into the socket. Here a message goes to an inbox of our own: the
//! server handles a connection's commands in order, so what comes back comes after everything that was sent before.
//! It comes back as itself, or as "no responders" on a connection without echo (unless somebody else listens to all
//! subjects: then such a connection cannot be confirmed). Where the user may not publish or subscribe there, the
//! server's refusal names the inbox, and tells the same.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::Inner;
use super::events::{Operation, Watch};
use crate::error::{Error, ErrorKind, Result};
use crate::link::cleanups_finished;

/// The server's refusals and its answers reach us through different tasks, and so long the refusals may take longer: several
/// short waits, because on a machine that is busy elsewhere each of them takes longer, as the other task does.
const EVENT_LAG: Duration = Duration::from_millis(2);
const EVENT_LAGS: usize = 3;

/// A round trip on whatever connection there is.
async fn round_trip(inner: &Inner) -> Result<()> {
    let inbox = inner.client.new_inbox();
    let publish = inner.events.watch(Operation::Publish, &inbox);
    let subscribe = inner.events.watch(Operation::Subscribe, &inbox);
    let there_and_back = async {
        let mut echo = inner.client.subscribe(inbox.clone()).await.map_err(stopped)?;
        inner.client.publish_with_reply(inbox.clone(), inbox.clone(), Bytes::new()).await.map_err(stopped)?;
        echo.next().await.map(|_| ()).ok_or_else(|| Error::new(ErrorKind::Disconnected, CLOSED))
    };
    tokio::select! {
        back = tokio::time::timeout(inner.confirm_timeout, there_and_back) => back.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Unconfirmed,
                "the NATS server did not answer in time; what was sent before may or may not have arrived",
            ))
        }),
        () = publish.refused() => Ok(()),
        () = subscribe.refused() => Ok(()),
    }
}

/// What is to be confirmed: made before the command is given, so that nothing that happens to it is missed.
pub(super) struct Confirmation<'a> {
    inner: &'a Inner,
    watch: Watch,
    /// The connections made so far. What the client had buffered for one that broke is lost.
    connects: u64,
}

impl<'a> Confirmation<'a> {
    pub(super) fn new(inner: &'a Inner, operation: Operation, subject: &str) -> Self {
        Self { inner, watch: inner.events.watch(operation, subject), connects: connects(inner) }
    }

    /// Whether the server has processed the command and not refused it, on the connection that it was given on.
    pub(super) async fn confirmed(self, refused: &'static str) -> Result<()> {
        let trip = round_trip(self.inner).await;
        for _ in 0..EVENT_LAGS {
            if self.watch.is_refused() {
                break;
            }
            let _ = tokio::time::timeout(EVENT_LAG, self.watch.refused()).await;
        }
        if self.watch.is_refused() {
            return Err(Error::new(ErrorKind::PermissionDenied, refused));
        }
        trip?;
        same_connection(self.inner, self.connects)
    }
}

fn connects(inner: &Inner) -> u64 {
    inner.client.statistics().connects.load(Ordering::Acquire)
}

fn same_connection(inner: &Inner, before: u64) -> Result<()> {
    if connects(inner) == before {
        return Ok(());
    }
    let what = "the connection to the NATS server was replaced meanwhile; what was sent before may or may not have arrived";
    Err(Error::new(ErrorKind::Unconfirmed, what))
}

/// Confirms everything that was published before, unless the connection was replaced since the last time.
pub(super) async fn flush(inner: &Inner) -> Result<()> {
    let published = inner.published.swap(false, Ordering::AcqRel);
    let before = inner.connects.load(Ordering::Acquire);
    let trip = round_trip(inner).await;
    if trip.is_err() && published {
        inner.published.store(true, Ordering::Release);
    }
    trip?;
    inner.connects.store(connects(inner), Ordering::Release);
    if published { same_connection(inner, before) } else { Ok(()) }
}

/// Whether a message is somebody's round trip, which subscribers of all subjects get to see too.
pub(super) fn is_probe(message: &Message) -> bool {
    message.payload.is_empty() && message.reply.as_ref() == Some(&message.subject)
}

const CLOSED: &str = "the connection to the NATS server is closed";

fn stopped(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Disconnected, "the NATS client has stopped").with_source(error)
}

pub(super) async fn drain(inner: &Inner) -> Result<()> {
    // Uploads that cannot be deleted in this time are left to their lifetime.
    let _ = tokio::time::timeout(inner.confirm_timeout, cleanups_finished()).await;
    let flushed = flush(inner).await;
    if inner.owns_client {
        // An error here means that the client has stopped already.
        if inner.client.drain().await.is_ok() {
            let _ = tokio::time::timeout(inner.confirm_timeout, inner.events.closed()).await;
        }
    }
    flushed
}
