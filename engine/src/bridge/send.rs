//! Sending: plan, upload what travels by link, encode, publish, confirm.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::client::PublishError;
use async_nats::{HeaderMap, PublishErrorKind};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::confirm::Confirmation;
use super::draft::Draft;
use super::events::Operation;
use super::ids::Id;
use super::log_limit::brief;
use super::outgoing::Outgoing;
use super::receipt::{Delivery, Receipt};
use super::uploads::Uploads;
use super::{Bridge, Inner, sources, subject};
use crate::error::{Error, ErrorKind, Result};

/// A message to send: add payloads and options, then `.await` it.
///
/// Mistakes in payloads and options are kept and returned when it is awaited; nothing has been sent then.
///
/// # Errors
/// Before anything is sent: [`InvalidSubject`](ErrorKind::InvalidSubject), [`InvalidHeader`](ErrorKind::InvalidHeader),
/// [`InvalidInput`](ErrorKind::InvalidInput), [`MessageTooLarge`](ErrorKind::MessageTooLarge) with the needed size and the
/// limit, [`SourceFailed`](ErrorKind::SourceFailed). While uploading: the store's errors, and
/// [`TimedOut`](ErrorKind::TimedOut) after the [`deadline`](Self::deadline); uploads are deleted, finished or not, and so
/// they are in the background when the future is dropped. After publishing:
/// [`PermissionDenied`](ErrorKind::PermissionDenied) and [`Unconfirmed`](ErrorKind::Unconfirmed) at
/// [`Delivery::Flushed`]; uploads are then left to their lifetime, because the message may have arrived.
///
/// # Examples
/// ```no_run
/// # async fn run(bridge: natsbridge::Bridge) -> Result<(), natsbridge::Error> {
/// let receipt = bridge
///     .send("/chat/room1")
///     .text("message_text", "Hello")
///     .image("photo", std::fs::read("photo.png").expect("a file"))
///     .purpose("chat")
///     .receiver("user-2")
///     .flushed()
///     .await?;
/// println!("{} payloads, {} bytes", receipt.payloads().len(), receipt.message_len());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before it is awaited"]
pub struct SendMessage {
    pub(super) bridge: Bridge,
    pub(super) draft: Box<Draft>,
}

impl Bridge {
    /// Starts a message; see [`SendMessage`].
    pub fn send(&self, subject: impl Into<String>) -> SendMessage {
        SendMessage { bridge: self.clone(), draft: Box::new(Draft::new(subject.into())) }
    }
}

impl SendMessage {
    /// How far the send goes before it returns. Default: the bridge's.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.draft.delivery = Some(delivery);
        self
    }

    /// The same as [`delivery`](Self::delivery) with [`Delivery::Flushed`].
    pub fn flushed(self) -> Self {
        self.delivery(Delivery::Flushed)
    }
}

impl IntoFuture for SendMessage {
    type Output = Result<Receipt>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { bridge, mut draft } = self;
            let delivery = draft.delivery.unwrap_or(bridge.inner.delivery);
            let correlation_id = draft.correlation_id.get_or_insert_with(Id::new);
            let span = tracing::info_span!(
                "send",
                correlation_id = brief(correlation_id.as_str()),
                subject = draft.subject
            );
            send(&bridge.inner, draft, delivery).instrument(span).await
        })
    }
}

/// The whole way of a message.
pub(super) async fn send(inner: &Arc<Inner>, mut draft: Box<Draft>, delivery: Delivery) -> Result<Receipt> {
    if let Some(error) = draft.error.take() {
        return Err(error);
    }
    subject::check_publish(&draft.subject)?;
    if !draft.reply_to.is_empty() {
        subject::check_publish(&draft.reply_to)?;
    }
    let headers = headers(inner, &draft)?;
    Outgoing::new(inner, &draft).check_limits(inner)?;
    // A deadline too far for the clock is none.
    let deadline = draft.deadline.and_then(|limit| Some((limit, Instant::now().checked_add(limit)?)));
    within(deadline, sources::settle(inner, &mut draft, &headers)).await??;
    let message = Outgoing::new(inner, &draft);
    let transports = message.plan(inner, &headers)?;

    let mut uploads = Uploads::new(inner);
    match within(deadline, uploads.run(inner, &message, &transports)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) | Err(error) => return Err(uploads.undo(error).await),
    }
    let (body, payloads) = message.encode(&uploads.done);
    if let Err(error) = message.check_size(inner, &headers, body.len()) {
        return Err(uploads.undo(error).await);
    }
    if let Err(error) = uploads.strike_out().await {
        return Err(uploads.undo(error).await);
    }

    if delivery < Delivery::Flushed {
        let published = within(deadline, publish(inner, &draft, headers, body.clone())).await;
        if let Err(error) = published.and_then(|published| published) {
            return Err(uploads.undo(error).await);
        }
        uploads.keep();
        return Ok(Receipt::new(body, payloads, delivery));
    }
    // Only so many at once that no refusal is lost. The semaphore is never closed.
    let turn = match within(deadline, inner.confirmations.acquire()).await {
        Ok(turn) => turn,
        Err(error) => return Err(uploads.undo(error).await),
    };
    let confirmation = Confirmation::new(inner, Operation::Publish, &draft.subject);
    // A client that has been disconnected for long takes no more commands.
    let published =
        tokio::time::timeout(inner.confirm_timeout, publish(inner, &draft, headers, body.clone()));
    let published = within(deadline, published).await.and_then(|published| {
        published.unwrap_or_else(|_| {
            let what = "the NATS client has no room for the message: it is not connected";
            Err(Error::new(ErrorKind::Disconnected, what))
        })
    });
    if let Err(error) = published {
        return Err(uploads.undo(error).await);
    }
    // From here on the message may arrive, now or after a reconnect, so what it refers to stays.
    uploads.keep();
    let refused = "the NATS server does not permit publishing on this subject";
    confirmation.confirmed(refused).await.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unconfirmed => error,
        // It was handed over, so trying again may deliver it twice.
        _ => Error::new(ErrorKind::Unconfirmed, "what became of the message is unknown").with_source(error),
    })?;
    drop(turn);
    Ok(Receipt::new(body, payloads, delivery))
}

/// Does it before the message's deadline, if it has one.
async fn within<T>(deadline: Option<(Duration, Instant)>, work: impl Future<Output = T>) -> Result<T> {
    let Some((limit, at)) = deadline else { return Ok(work.await) };
    timeout_at(at, work).await.map_err(|_| {
        Error::new(ErrorKind::TimedOut, format!("the message was not sent within its deadline of {limit:?}"))
    })
}

pub(super) fn headers(inner: &Inner, draft: &Draft) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if draft.headers.is_empty() {
        return Ok(headers); // asking what the server can do copies all that it has ever said
    }
    for (name, value) in &draft.headers {
        subject::insert_header(&mut headers, name, value)?;
    }
    let announced = inner.client.try_server_info().is_none_or(|info| info.headers);
    if !announced {
        return Err(Error::new(ErrorKind::InvalidHeader, "the NATS server does not support headers"));
    }
    Ok(headers)
}

async fn publish(inner: &Inner, draft: &Draft, headers: HeaderMap, body: Bytes) -> Result<()> {
    mark_published(inner);
    let span = tracing::debug_span!(
        "publish",
        correlation_id = draft.correlation_id.as_ref().map(|id| brief(id.as_str())),
        len = body.len()
    );
    let (client, subject) = (&inner.client, draft.subject.clone());
    let published = async {
        match (draft.nats_reply.clone(), headers.is_empty()) {
            (None, true) => client.publish(subject, body).await,
            (None, false) => client.publish_with_headers(subject, headers, body).await,
            (Some(reply), true) => client.publish_with_reply(subject, reply, body).await,
            (Some(reply), false) => {
                client.publish_with_reply_and_headers(subject, reply, headers, body).await
            }
        }
    };
    published.instrument(span).await.map_err(publish_error)
}

/// Something was given to the client since the last flush. Written only where it changes: many tasks read it.
pub(super) fn mark_published(inner: &Inner) {
    if !inner.published.load(Ordering::Acquire) {
        inner.published.store(true, Ordering::Release);
    }
}

pub(super) fn publish_error(error: PublishError) -> Error {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => {
            Error::new(ErrorKind::MessageTooLarge, "the NATS server's limit has changed meanwhile")
        }
        PublishErrorKind::InvalidSubject => {
            Error::new(ErrorKind::InvalidSubject, "the NATS client refuses the subject")
        }
        _ => Error::new(ErrorKind::Disconnected, "the NATS client has stopped"),
    }
    .with_source(error)
}
