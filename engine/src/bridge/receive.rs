//! Receiving: a stream of messages, whose payloads are decoded or fetched when asked for.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::confirm::Confirmation;
use super::events::Operation;
use super::outgoing::POOLED_LEN;
use super::{Bridge, Inner, confirm, subject};
use crate::envelope::{Content, Envelope, PayloadView, Sha256Entry, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Expected, FetchOptions, LinkStore, LinkUrl, Policy, Verified, fetch};
use crate::payload::{PayloadData, Verification};

impl Bridge {
    /// Subscribes to a subject, which may hold wildcards. When this returns, the server has the subscription: nothing
    /// that is published afterwards is missed.
    ///
    /// # Errors
    /// [`InvalidSubject`](ErrorKind::InvalidSubject); [`PermissionDenied`](ErrorKind::PermissionDenied);
    /// [`Unconfirmed`](ErrorKind::Unconfirmed) if the server does not answer in time.
    pub async fn subscribe(&self, subject: impl AsRef<str>) -> Result<Subscription> {
        let subject = subject.as_ref();
        subject::check_subscribe(subject)?;
        let _turn = self.inner.confirmations.acquire().await;
        let confirmation = Confirmation::new(&self.inner, Operation::Subscribe, subject);
        let subscriber = self.inner.client.subscribe(subject.to_owned());
        self.confirm_subscription(confirmation, subscriber).await
    }

    /// Subscribes as one of a group, of which each message reaches one member.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn queue_subscribe(
        &self,
        subject: impl AsRef<str>,
        queue: impl Into<String>,
    ) -> Result<Subscription> {
        let (subject, queue) = (subject.as_ref(), queue.into());
        subject::check_subscribe(subject)?;
        subject::check_queue(&queue)?;
        let _turn = self.inner.confirmations.acquire().await;
        let confirmation = Confirmation::new(&self.inner, Operation::Subscribe, subject);
        let subscriber = self.inner.client.queue_subscribe(subject.to_owned(), queue);
        self.confirm_subscription(confirmation, subscriber).await
    }

    async fn confirm_subscription(
        &self,
        confirmation: Confirmation<'_>,
        subscriber: impl Future<Output = Result<async_nats::Subscriber, async_nats::SubscribeError>>,
    ) -> Result<Subscription> {
        let subscriber =
            tokio::time::timeout(self.inner.confirm_timeout, subscriber).await.map_err(|_| {
                Error::new(
                    ErrorKind::Disconnected,
                    "the NATS client takes no more commands: it is not connected",
                )
            })?;
        let subscriber = subscriber.map_err(|error| {
            Error::new(ErrorKind::Disconnected, "the NATS client has stopped").with_source(error)
        })?;
        confirmation.confirmed("the NATS server does not permit subscribing to this subject").await?;
        let drops_seen = self.inner.events.dropped_messages();
        Ok(Subscription { bridge: self.clone(), subscriber, drops_seen })
    }

    /// Reads a NATS message that was received by other means, such as a JetStream consumer.
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) and [`LimitExceeded`](ErrorKind::LimitExceeded).
    pub fn read(&self, message: async_nats::Message) -> Result<Message> {
        Message::new(self, message)
    }
}

/// A subscription: a [`Stream`] of messages. Dropping it unsubscribes.
///
/// A message that is no valid envelope is an error item, and so is word of dropped messages
/// ([`SlowConsumer`](ErrorKind::SlowConsumer)); the stream goes on after either. It ends when the connection is closed.
///
/// # Cost
/// One pass over each message, no allocation of the bridge's for up to 8 payloads. From 16 KiB on, payloads inside the
/// message are decoded in that pass, into a buffer that is used again once the message and its payloads are dropped;
/// those of smaller messages are decoded when they are asked for, into memory of their own. A consumer of small ones that
/// wants no allocation either takes the [`content`](PayloadView::content) and decodes it into a buffer that it has.
#[derive(Debug)]
#[must_use = "a subscription that is dropped receives nothing"]
pub struct Subscription {
    bridge: Bridge,
    subscriber: async_nats::Subscriber,
    /// The drops on this connection that the reader has been told of.
    drops_seen: u64,
}

impl Subscription {
    /// Stops receiving; what has already arrived can still be read.
    ///
    /// # Errors
    /// [`Disconnected`](ErrorKind::Disconnected) if the client has stopped.
    pub async fn unsubscribe(&mut self) -> Result<()> {
        self.subscriber.unsubscribe().await.map_err(|error| {
            Error::new(ErrorKind::Disconnected, "the NATS client has stopped").with_source(error)
        })
    }
}

impl Stream for Subscription {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let dropped = self.bridge.inner.events.dropped_messages();
        if dropped > self.drops_seen {
            let count = dropped - self.drops_seen;
            self.drops_seen = dropped;
            let what = format!(
                "at least {count} messages were dropped on this connection: a subscription was read too slowly"
            );
            return Poll::Ready(Some(Err(Error::new(ErrorKind::SlowConsumer, what))));
        }
        loop {
            match self.subscriber.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) if confirm::is_probe(&message) => {}
                next => return next.map(|next| next.map(|message| Message::new(&self.bridge, message))),
            }
        }
    }
}

/// A received message: its envelope, and the way to its payloads and to its sender.
#[derive(Clone)]
pub struct Message {
    pub(super) bridge: Bridge,
    envelope: Envelope,
    subject: async_nats::Subject,
    reply: Option<async_nats::Subject>,
    headers: Option<HeaderMap>,
}

/// Reads a message, and decodes the payloads of a large one on the way, into a buffer that they have for themselves.
///
/// Small payloads are decoded when they are asked for, into memory of their own: one that is kept for long would keep a
/// block that it shares with a hundred others.
fn read(inner: &Inner, message: Bytes) -> Result<Envelope> {
    if message.len() < POOLED_LEN {
        return Envelope::decode_with(message, &inner.limits);
    }
    // What `decode_into` asks for at most.
    let len = message.len() / 4 * 3 + 128;
    inner.buffers.lend(len, |out| Envelope::decode_into(message, &inner.limits, out))
}

impl Message {
    pub(super) fn new(bridge: &Bridge, message: async_nats::Message) -> Result<Self> {
        let (subject, reply, headers) = (message.subject, message.reply, message.headers);
        match read(&bridge.inner, message.payload) {
            Ok(envelope) => {
                // Nothing of it is looked at unless somebody listens.
                tracing::debug_span!(
                    "receive",
                    correlation_id = envelope.correlation_id(),
                    subject = subject.as_str(),
                    len = envelope.as_bytes().len()
                )
                .in_scope(|| tracing::trace!("envelope read"));
                Ok(Self { bridge: bridge.clone(), envelope, subject, reply, headers })
            }
            Err(error) => {
                let error = error.on_subject(subject.as_str());
                tracing::warn!(%error, "received something that is not an envelope");
                Err(error)
            }
        }
    }

    /// The message's fields and undecoded payloads.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The subject that it was published to.
    pub fn subject(&self) -> &str {
        self.subject.as_str()
    }

    /// The NATS reply subject, if it has one.
    pub fn nats_reply(&self) -> Option<&str> {
        self.reply.as_deref()
    }

    /// The NATS headers, if it has any.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.headers.as_ref()
    }

    /// How many payloads there are.
    pub fn payload_count(&self) -> usize {
        self.envelope.payload_count()
    }

    /// The payloads in order.
    pub fn payloads(&self) -> impl ExactSizeIterator<Item = ReceivedPayload<'_>> {
        self.envelope.payloads().map(|view| ReceivedPayload { message: self, view })
    }

    /// The payload at `index`, counted from 0.
    pub fn payload_at(&self, index: usize) -> Option<ReceivedPayload<'_>> {
        self.envelope.payload(index).map(|view| ReceivedPayload { message: self, view })
    }

    /// The first payload with this name.
    ///
    /// # Errors
    /// [`InvalidPayload`](ErrorKind::InvalidPayload) if there is none.
    pub fn payload(&self, dataname: &str) -> Result<ReceivedPayload<'_>> {
        match self.envelope.payload_named(dataname) {
            Some(view) => Ok(ReceivedPayload { message: self, view }),
            None => Err(Error::new(ErrorKind::InvalidPayload, "the message has no payload of that name")),
        }
    }

    /// The bytes of all payloads, in order, each with its own success or failure; several links are fetched at once.
    pub async fn fetch_all(&self) -> Vec<Result<PayloadData>> {
        let fetches: Vec<_> = self.payloads().map(|payload| async move { payload.fetch().await }).collect();
        futures_util::stream::iter(fetches).buffered(self.bridge.inner.parallel_downloads).collect().await
    }

    /// The same message over a copy of its bytes, which lets go of the NATS client's read buffer.
    #[must_use]
    pub fn into_owned(mut self) -> Self {
        self.envelope = self.envelope.into_owned();
        self
    }

    /// The subject that a reply to this message goes to: the NATS reply subject, else the envelope's `replyTo`; none
    /// if there is neither, or only an address of the server such as `$JS.ACK.…`.
    pub fn reply_address(&self) -> Option<&str> {
        subject::reply_address(self.reply.as_deref(), self.envelope.reply_to())
    }
}

impl Deref for Message {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.envelope
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("subject", &self.subject())
            .field("envelope", &self.envelope)
            .finish_non_exhaustive()
    }
}

/// A payload of a received message; the fields of its [`PayloadView`] are its own.
#[derive(Clone, Copy)]
pub struct ReceivedPayload<'m> {
    message: &'m Message,
    view: PayloadView<'m>,
}

impl<'m> ReceivedPayload<'m> {
    /// The bytes, decoded from the message or fetched from the file server, whole and verified.
    ///
    /// Each call decodes or fetches anew: keep what it returns. Decoding runs where it is awaited; a program that must not
    /// hold up its runtime for large payloads moves the call to a blocking thread.
    ///
    /// # Errors
    /// Those of [`PayloadView::decode`]; for a link those of the policy ([`LinkRefused`](ErrorKind::LinkRefused), whose text
    /// names what would allow it) and of [`fetch`](crate::link::fetch()).
    pub async fn fetch(&self) -> Result<PayloadData> {
        let (envelope, payload) = (&self.message.envelope, self.view.index());
        match self.view.transport() {
            Some(Transport::Link) => {
                let correlation_id = envelope.correlation_id();
                let span = tracing::info_span!("download", correlation_id, payload);
                // Boxed, so that asking for a payload inside the message does not carry room for a download.
                Box::pin(self.fetch_link().instrument(span)).await
            }
            _ => tracing::debug_span!("decode", correlation_id = envelope.correlation_id(), payload)
                .in_scope(|| self.view.decode()),
        }
    }

    async fn fetch_link(&self) -> Result<PayloadData> {
        let inner = &self.message.bridge.inner;
        let mut options = inner.fetch;
        options.seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let (source, store) = (inner.source.as_deref(), inner.store.as_deref());
        fetch_link(&self.view, &inner.policy, inner.trust_source, source, store, &options).await
    }

    /// The raw bytes, whatever the type.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub async fn bytes(&self) -> Result<Bytes> {
        self.fetch().await.map(PayloadData::into_bytes)
    }

    /// The text; see [`PayloadData::text`].
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch) and [`PayloadData::text`].
    pub async fn text(&self) -> Result<String> {
        self.fetch().await?.text().map(str::to_owned)
    }

    /// The dictionary as the caller's type; see [`PayloadData::json`].
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch) and [`PayloadData::json`].
    pub async fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.fetch().await?.json()
    }

    /// The dictionary as a value of any shape.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch) and [`PayloadData::json`].
    pub async fn json_value(&self) -> Result<serde_json::Value> {
        self.json().await
    }

    /// The table's record batches; see [`PayloadData::table`].
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch) and [`PayloadData::table`].
    #[cfg(feature = "table")]
    pub async fn record_batches(&self) -> Result<Vec<arrow_array::RecordBatch>> {
        self.fetch().await?.record_batches()
    }
}

impl<'m> Deref for ReceivedPayload<'m> {
    type Target = PayloadView<'m>;

    fn deref(&self) -> &PayloadView<'m> {
        &self.view
    }
}

impl fmt::Debug for ReceivedPayload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view.fmt(f)
    }
}

/// Policy first, then the bytes, then their verification.
///
/// With `trust` the source decides itself what it fetches. `store` is asked for origins that its server announces.
pub(super) async fn fetch_link(
    view: &PayloadView<'_>,
    policy: &Policy,
    trust: bool,
    source: Option<&dyn LinkStore>,
    store: Option<&dyn LinkStore>,
    options: &FetchOptions,
) -> Result<PayloadData> {
    let index = view.index();
    let fetched = async {
        let Content::Link(text) = view.content()? else {
            return Err(Error::new(ErrorKind::Bug, "a link that is none"));
        };
        let url = LinkUrl::parse(&text)?;
        if !trust {
            allow(policy, store, &url).await?;
        }
        // Where an origin is allowed there is a source, unless the build has none to offer.
        let Some(source) = source else {
            let what = "this build cannot fetch links: it lacks the feature `plik`, and no store was given";
            return Err(Error::new(ErrorKind::Misuse, what));
        };
        fetch(source, &url, &expected(view), options).await
    };
    let fetched = fetched.await.map_err(|error| error.in_payload(index))?;
    let verification = match fetched.verified {
        // What stands in a digest's place and is none makes the whole claim doubtful (SPEC `VER-5`).
        _ if view.metadata().sha256() == Some(Sha256Entry::Unusable) => Verification::Unverified,
        Verified::Digest => Verification::Digest,
        Verified::Length => Verification::Length,
        Verified::Unverified => Verification::Unverified,
    };
    let announced = view.size().filter(|&size| size != 0);
    Ok(PayloadData::new(view.payload_type(), fetched.bytes, announced, index).verified(verification))
}

/// How long a file server may take to say what its download domain is.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

async fn allow(policy: &Policy, store: Option<&dyn LinkStore>, url: &LinkUrl) -> Result<()> {
    let Err(refusal) = policy.check(url) else { return Ok(()) };
    // A file server may announce a download domain of its own, which is as good as its own address.
    if let Some(store) = store
        && let Ok(Ok(origins)) = tokio::time::timeout(ASK_TIMEOUT, store.announced_origins()).await
        && origins.contains(url.origin())
    {
        return Ok(());
    }
    Err(refusal)
}

/// What the message says about the bytes behind a link.
fn expected(view: &PayloadView<'_>) -> Expected {
    let mut expected = Expected::nothing();
    if let Some(size) = view.size() {
        expected = expected.size(size);
    }
    match view.metadata().sha256() {
        Some(Sha256Entry::Digest(sha256)) => expected.sha256(sha256),
        Some(Sha256Entry::Unusable) | None => expected,
    }
}
