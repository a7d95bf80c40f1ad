//! Receiving: a stream of messages, whose payloads are decoded or fetched when asked for.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use tracing::{Instrument as _, Span};

use super::confirm::Confirmation;
use super::downloads::{self, Downloads};
use super::events::Operation;
use super::log_limit::brief;
use super::outgoing::POOLED_LEN;
use super::totals::Totals;
use super::{Bridge, Inner, confirm, heavy, subject};
use crate::envelope::{Envelope, PayloadView, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::link::save::{Taken, Target};
use crate::link::{BoxFuture, PayloadReader, Progress};
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
        subject::check_together(subject, &queue)?;
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
    totals: Totals,
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
                    correlation_id = brief(envelope.correlation_id()),
                    subject = subject.as_str(),
                    len = envelope.as_bytes().len()
                )
                .in_scope(|| tracing::trace!("envelope read"));
                Ok(Self {
                    bridge: bridge.clone(),
                    envelope,
                    subject,
                    reply,
                    headers,
                    totals: Totals::default(),
                })
            }
            Err(error) => {
                let error = error.on_subject(subject.as_str());
                if let Some(suppressed) = bridge.inner.broken.pass(Instant::now()) {
                    tracing::warn!(%error, suppressed, "received something that is not an envelope");
                }
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
    /// Each call decodes or fetches anew: keep what it returns. Tasks that ask for the same link while it is being fetched
    /// share one download, which ends with the last of them; see also
    /// [`download_cache`](crate::bridge::BridgeBuilder::download_cache). Decoding runs where it is awaited; a program that must not
    /// hold up its runtime for large payloads moves the call to a blocking thread.
    ///
    /// # Errors
    /// Those of [`PayloadView::decode`]; [`LimitExceeded`](ErrorKind::LimitExceeded) above
    /// [`Limits::download_total`](crate::Limits::download_total); for a link those of the policy ([`LinkRefused`](ErrorKind::LinkRefused), whose text
    /// names what would allow it) and of [`fetch`](crate::link::fetch()).
    pub async fn fetch(&self) -> Result<PayloadData> {
        let (envelope, payload) = (&self.message.envelope, self.view.index());
        match self.view.transport() {
            // Boxed, so that asking for a payload inside the message does not carry room for a download.
            Some(Transport::Link) => {
                let (totals, count) = (&self.message.totals, self.message.payload_count());
                let fetched = self.downloads().fetch(&self.view, totals, count);
                Box::pin(fetched.instrument(self.span())).await
            }
            _ => tracing::debug_span!("decode", correlation_id = brief(envelope.correlation_id()), payload)
                .in_scope(|| self.view.decode()),
        }
        .map(|data| data.limited(self.message.bridge.inner.limits))
    }

    /// Saves the payload as a file, whatever its size: whole and verified, or not at all.
    ///
    /// The bytes go into a temporary file in the same folder, which has no name where the system can do without, and are
    /// put in place only when their length and digest are right; an existing file is replaced then, unless
    /// [`keep_existing`](SavePayload::keep_existing) or [`or_else`](SavePayload::or_else) is set. On failure nothing is left behind, nor when the future is
    /// dropped; what a killed process leaves is removed when the next one saves into that folder. A future that is dropped
    /// at the very end may have put the whole file in place.
    ///
    /// At most [`Limits::save_len`](crate::Limits::save_len) bytes. Memory: about 1.5 MiB, whatever the size. Files are
    /// written on blocking threads.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); [`SaveFailed`](ErrorKind::SaveFailed) where the file cannot be written.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn run(message: natsbridge::Message) -> Result<(), natsbridge::Error> {
    /// let saved = message.payload("video")?.save("/data/day.mp4").await?;
    /// println!("{} bytes, {:?}", saved.len, saved.verification);
    /// # Ok(()) }
    /// ```
    pub fn save(&self, path: impl Into<PathBuf>) -> SavePayload<'m> {
        SavePayload {
            payload: *self,
            target: Target { path: path.into(), taken: Taken::Replace },
            progress: None,
            fetched: None,
        }
    }

    /// The payload as an `AsyncRead`, which hands out bytes as they come. **Only its end is a verdict**: see
    /// [`PayloadReader`]. At most [`Limits::save_len`](crate::Limits::save_len) bytes.
    ///
    /// When this returns, the file server has answered.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch) up to the first byte; later ones come out of reading.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn run(message: natsbridge::Message) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut reader = message.payload("video")?.reader().await?;
    /// tokio::io::copy(&mut reader, &mut tokio::io::sink()).await?; // an error here is a verdict
    /// # Ok(()) }
    /// ```
    pub async fn reader(&self) -> Result<PayloadReader> {
        match self.view.transport() {
            Some(Transport::Link) => {
                Box::pin(self.downloads().read(&self.view).instrument(self.span())).await
            }
            _ => {
                let data = self.view.decode()?;
                let (verification, index) = (data.verification(), self.view.index());
                Ok(PayloadReader::whole(data.into_bytes(), verification, index))
            }
        }
    }

    fn downloads(&self) -> &'m Downloads {
        &self.message.bridge.inner.downloads
    }

    fn span(&self) -> Span {
        let correlation_id = brief(self.message.envelope.correlation_id());
        let payload = self.view.index();
        tracing::info_span!("download", correlation_id, payload)
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
    /// From 128 KiB on it is read on a thread of its own, [`Limits::concurrent_decodes`](crate::Limits::concurrent_decodes)
    /// at the same time.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch) and [`PayloadData::json`].
    pub async fn json<T: DeserializeOwned + Send + 'static>(&self) -> Result<T> {
        let data = self.fetch().await?;
        self.message.bridge.inner.heavy.read(data, heavy::JSON_LEN, PayloadData::json).await
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
    /// It is read on a thread of its own, [`Limits::concurrent_decodes`](crate::Limits::concurrent_decodes) at the same
    /// time.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch) and [`PayloadData::table`].
    #[cfg(feature = "table")]
    pub async fn record_batches(&self) -> Result<Vec<arrow_array::RecordBatch>> {
        let data = self.fetch().await?;
        self.message.bridge.inner.heavy.read(data, heavy::TABLE_LEN, PayloadData::record_batches).await
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

/// A payload about to be saved: nothing happens before it is awaited. See [`ReceivedPayload::save`].
#[must_use = "nothing is saved before it is awaited"]
pub struct SavePayload<'m> {
    payload: ReceivedPayload<'m>,
    target: Target,
    progress: Option<Progress>,
    fetched: Option<PayloadData>,
}

impl SavePayload<'_> {
    /// Fails with [`SaveFailed`](ErrorKind::SaveFailed) if the file is there already when the download is complete, and
    /// leaves that file alone. Default: it is replaced.
    pub fn keep_existing(mut self) -> Self {
        self.target.taken = Taken::Fail;
        self
    }

    /// Reports how far a download has come. What is in the message itself is there already and not reported.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Saves what [`fetch`](ReceivedPayload::fetch) has given for this payload instead of fetching it once more. It is in
    /// memory already, so there is no progress to report and no `Limits::save_len` to keep to; that it is this payload's is
    /// not checked.
    pub fn fetched(mut self, data: &PayloadData) -> Self {
        self.fetched = Some(data.clone());
        self
    }

    /// Takes another path, in the same folder, if the file is there already when the download is complete: `next` is asked
    /// for one with 1, 2 and so on until there is none of that name. [`Saved::path`] says which it was.
    pub fn or_else(mut self, next: impl Fn(u64) -> PathBuf + Send + Sync + 'static) -> Self {
        self.target.taken = Taken::Next(Arc::new(next));
        self
    }
}

impl<'m> IntoFuture for SavePayload<'m> {
    type Output = Result<Saved>;
    type IntoFuture = BoxFuture<'m, Result<Saved>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { payload, target, progress, fetched } = self;
        let span = payload.span();
        let saved = async move {
            match fetched {
                Some(data) => downloads::save_data(&data, payload.view.index(), &target).await,
                None => payload.downloads().save(&payload.view, &target, progress).await,
            }
        };
        Box::pin(saved.instrument(span))
    }
}

impl fmt::Debug for SavePayload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavePayload")
            .field("payload", &self.payload)
            .field("path", &self.target.path)
            .finish_non_exhaustive()
    }
}

/// A payload that is in its file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Saved {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// The SHA-256 of them.
    pub sha256: [u8; 32],
    /// What is proved about them.
    pub verification: Verification,
    /// The wrong `size` that the message announced, if it did: reported, and no error as long as the bytes are whole.
    pub size_mismatch: Option<u64>,
}
