//! Knowing that the server has processed something: a round trip on the same connection.
//!
//! The client's own flush only empties its buffer into the socket. Here a request goes to a subject that nobody listens
//! on: the server handles a connection's commands in order, so its "no responders" comes after everything that was
//! sent before. Where the user may not publish there, the refusal names the subject, and tells the same.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};

use super::Inner;
use crate::error::{Error, ErrorKind, Result};

/// The server's refusals and its answers reach us through different tasks; this long the refusals may take longer.
const EVENT_LAG: Duration = Duration::from_millis(2);

pub(super) async fn round_trip(inner: &Inner) -> Result<()> {
    let subject = inner.client.new_inbox();
    let mark = inner.events.mark();
    let request =
        inner.client.send_request(subject.clone(), Request::new().timeout(Some(inner.confirm_timeout)));
    let answer = tokio::select! {
        answer = request => answer,
        () = inner.events.refused(mark, &subject) => return Ok(()),
    };
    match answer {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            RequestErrorKind::NoResponders => Ok(()),
            RequestErrorKind::TimedOut => Err(Error::new(
                ErrorKind::Unconfirmed,
                "the NATS server did not answer in time; what was sent before may or may not have arrived",
            )
            .with_source(error)),
            _ => Err(Error::new(ErrorKind::Disconnected, "the NATS client cannot send").with_source(error)),
        },
    }
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
    let flushed = round_trip(inner).await;
    if inner.owns_client {
        // An error here means that the client has stopped already.
        if inner.client.drain().await.is_ok() {
            let _ = tokio::time::timeout(inner.confirm_timeout, inner.events.closed()).await;
        }
    }
    flushed
}
