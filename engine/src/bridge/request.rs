//! Request and reply (SPEC `REQ`).

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::StatusCode;
use futures_util::StreamExt as _;
use tracing::Instrument as _;

use super::draft::Draft;
use super::events::Operation;
use super::ids::Id;
use super::log_limit::brief;
use super::receipt::Delivery;
use super::send::{SendMessage, send};
use super::{Bridge, Message, subject};
use crate::error::{Error, ErrorKind, Result};

/// A request: a message that is awaited for its reply.
///
/// The reply goes to an inbox of its own, written both as the NATS reply subject and as `replyTo`, or to the subject
/// given with [`reply_to`](Self::reply_to). Of what arrives there, the first message with the request's
/// `correlationId` is the reply.
///
/// # Errors
/// Those of [`SendMessage`]; [`NoResponders`](ErrorKind::NoResponders) if nobody listens on the subject;
/// [`NoReply`](ErrorKind::NoReply); [`Malformed`](ErrorKind::Malformed) for a broken reply on the request's own inbox.
///
/// # Examples
/// ```no_run
/// # async fn run(bridge: natsbridge::Bridge) -> Result<(), natsbridge::Error> {
/// let reply = bridge
///     .request("/api/query")
///     .dictionary("sql_query", &serde_json::json!({"query": "SELECT * FROM users"}))
///     .timeout(std::time::Duration::from_secs(5))
///     .await?;
/// println!("{} payloads from {}", reply.payload_count(), reply.sender_name());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before it is awaited"]
pub struct RequestMessage {
    pub(super) bridge: Bridge,
    pub(super) draft: Box<Draft>,
    timeout: Option<Duration>,
}

impl Bridge {
    /// Starts a request; see [`RequestMessage`].
    pub fn request(&self, subject: impl Into<String>) -> RequestMessage {
        RequestMessage { bridge: self.clone(), draft: Box::new(Draft::new(subject.into())), timeout: None }
    }
}

impl RequestMessage {
    /// How long to wait for the reply, from when the request is sent. Default: the bridge's, 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl IntoFuture for RequestMessage {
    type Output = Result<Message>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { bridge, mut draft, timeout } = self;
            let correlation_id = draft.correlation_id.get_or_insert_with(Id::new).clone();
            let span = tracing::info_span!(
                "request",
                correlation_id = brief(correlation_id.as_str()),
                subject = draft.subject
            );
            let timeout = timeout.unwrap_or(bridge.inner.request_timeout);
            request(&bridge, draft, correlation_id, timeout).instrument(span).await
        })
    }
}

async fn request(
    bridge: &Bridge,
    mut draft: Box<Draft>,
    correlation_id: Id,
    timeout: Duration,
) -> Result<Message> {
    let private = draft.reply_to.is_empty();
    if private {
        draft.reply_to = bridge.inner.client.new_inbox();
    }
    subject::check_publish(&draft.reply_to)?;
    subject::check_together(&draft.subject, &draft.reply_to)?;
    if draft.reply_to == draft.subject {
        return Err(Error::new(ErrorKind::Misuse, "a request cannot be answered on its own subject"));
    }
    draft.nats_reply = Some(draft.reply_to.clone());
    draft.purpose.get_or_insert_with(|| "request".to_owned());

    let publish = bridge.inner.events.watch(Operation::Publish, &draft.subject);
    let subscribe = bridge.inner.events.watch(Operation::Subscribe, &draft.reply_to);
    // On one connection the subscription is there before the request is, and so before any reply.
    let mut replies = bridge.inner.client.subscribe(draft.reply_to.clone()).await.map_err(|error| {
        Error::new(ErrorKind::Disconnected, "the NATS client has stopped").with_source(error)
    })?;
    send(&bridge.inner, draft, Delivery::Enqueued).await?;

    // Counted outside, for the error when time is up.
    let others = AtomicUsize::new(0);
    let reply = async {
        while let Some(message) = replies.next().await {
            // On a shared subject it may be about somebody else's request.
            if message.status == Some(StatusCode::NO_RESPONDERS) && !private {
                continue;
            }
            if message.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(Error::new(ErrorKind::NoResponders, "nobody listens on the request's subject"));
            }
            match Message::new(bridge, message) {
                Ok(reply) if reply.correlation_id() == correlation_id.as_str() => return Ok(reply),
                Ok(other) => {
                    others.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(correlation_id = brief(other.correlation_id()), "not the reply");
                }
                Err(error) if private => return Err(error),
                Err(_) => {} // somebody else's, and reported already
            }
        }
        Err(Error::new(ErrorKind::NoReply, "the connection was closed before the reply came"))
    };
    tokio::select! {
        reply = tokio::time::timeout(timeout, reply) => reply.unwrap_or_else(|_| {
            let millis = timeout.as_millis();
            let what = match others.load(Ordering::Relaxed) {
                0 => format!("nothing came within {millis} ms"),
                count => format!(
                    "nothing with the request's correlationId came within {millis} ms, but {count} with another one"
                ),
            };
            Err(Error::new(ErrorKind::NoReply, what))
        }),
        () = subscribe.refused() => Err(Error::new(
            ErrorKind::PermissionDenied,
            "the NATS server does not permit subscribing to the reply subject; the request itself may have been carried out",
        )),
        () = publish.refused() => Err(Error::new(
            ErrorKind::PermissionDenied,
            "the NATS server does not permit publishing on this subject",
        )),
    }
}

impl Message {
    /// Starts a reply: to the [`reply_address`](Self::reply_address), in the request's dialect, with its
    /// `correlationId`, its `msgId` as `replyToMsgId`, its sender as the receiver and `response` as purpose. All of it
    /// can be changed before it is awaited.
    ///
    /// Awaiting it fails with [`Misuse`](ErrorKind::Misuse) if the message asks for no reply.
    pub fn reply(&self) -> SendMessage {
        let mut draft = Box::new(Draft::new(self.reply_address().unwrap_or_default().to_owned()));
        if self.reply_address().is_none() {
            draft.error = Some(Error::new(ErrorKind::Misuse, "the message has no address for a reply"));
        }
        draft.dialect = Some(self.dialect());
        draft.correlation_id = Some(Id::Given(self.correlation_id().to_owned()));
        draft.reply_to_msg_id = self.msg_id().to_owned();
        draft.receiver_name = self.sender_name().to_owned();
        draft.receiver_id = self.sender_id().to_owned();
        draft.purpose = Some("response".to_owned());
        SendMessage { bridge: self.bridge.clone(), draft }
    }
}
