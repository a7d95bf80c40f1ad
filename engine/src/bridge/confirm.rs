//! Knowing that the server has processed something: a round trip on the same connection.
//!
//! The client's own flush only empties its buffer into the socket. Here a message goes to an inbox of our own: the
//! server handles a connection's commands in order, so what comes back comes after everything that was sent before.
//! It comes back as itself, or as "no responders" on a connection without echo. Where the user may not publish or
//! subscribe there, the server's refusal names the inbox, and tells the same.

use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::link::cleanups_finished;

/// The server's refusals and its answers reach us through different tasks; this long the refusals may take longer.
const EVENT_LAG: Duration = Duration::from_millis(2);

pub(super) async fn round_trip(inner: &Inner) -> Result<()> {
    let inbox = inner.client.new_inbox();
    let mark = inner.events.mark();
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
        () = inner.events.refused(mark, &inbox) => Ok(()),
    }
}

/// Whether a message is somebody's round trip, which subscribers of all subjects get to see too.
pub(super) fn is_probe(message: &Message) -> bool {
    message.payload.is_empty() && message.reply.as_ref() == Some(&message.subject)
}

const CLOSED: &str = "the connection to the NATS server is closed";

fn stopped(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Disconnected, "the NATS client has stopped").with_source(error)
}

/// A round trip after a command about `subject`, which the server may have refused.
pub(super) async fn accepted(inner: &Inner, mark: u64, subject: &str, what: &'static str) -> Result<()> {
    let trip = round_trip(inner).await;
    if !inner.events.violation_since(mark, subject) {
        let _ = tokio::time::timeout(EVENT_LAG, inner.events.refused(mark, subject)).await;
    }
    if inner.events.violation_since(mark, subject) {
        return Err(Error::new(ErrorKind::PermissionDenied, what));
    }
    trip
}

pub(super) async fn drain(inner: &Inner) -> Result<()> {
    cleanups_finished().await;
    let flushed = round_trip(inner).await;
    if inner.owns_client {
        // An error here means that the client has stopped already.
        if inner.client.drain().await.is_ok() {
            let _ = tokio::time::timeout(inner.confirm_timeout, inner.events.closed()).await;
        }
    }
    flushed
}
