//! Sending: plan, upload what travels by link, encode, publish, confirm.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use async_nats::{HeaderMap, PublishErrorKind};
use bytes::{Bytes, BytesMut};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Bridge, Inner, confirm, subject};
use crate::envelope::{
    Data, Dialect, Envelope, MessageFields, Metadata, PayloadFields, Transport, encode, encoded_len,
    payload_entry_len,
};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{LinkStore, LinkUrl, Upload, Uploaded};
use crate::payload::Payload;
use crate::plan::{PlanItem, PlanLimits, plan};
use crate::timestamp;

/// How far a message has come when a send returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The NATS client has it in its buffer. It may still be lost, with no error, when the connection breaks or the
    /// server refuses it.
    Enqueued,
    /// The NATS server has processed it: a round trip on the same connection came back, and no refusal with it.
    /// Subscribers get it at most once, as with all of core NATS.
    Flushed,
}

/// A message to send: add payloads and options, then `.await` it.
///
/// Mistakes in payloads and options are kept and returned when it is awaited; nothing has been sent then.
///
/// # Errors
/// Before anything is sent: [`InvalidSubject`](ErrorKind::InvalidSubject), [`InvalidHeader`](ErrorKind::InvalidHeader),
/// [`InvalidInput`](ErrorKind::InvalidInput), [`MessageTooLarge`](ErrorKind::MessageTooLarge) with the needed size and the
/// limit. While uploading: the store's errors; finished uploads are deleted. After publishing:
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
    pub(super) draft: Draft,
}

/// The message as far as the caller has described it.
pub(super) struct Draft {
    pub(super) subject: String,
    /// The NATS reply subject to publish with.
    pub(super) nats_reply: Option<String>,
    payloads: Vec<Payload>,
    headers: Vec<(String, String)>,
    pub(super) dialect: Option<Dialect>,
    threshold: Option<u64>,
    delivery: Option<Delivery>,
    pub(super) correlation_id: Option<String>,
    msg_id: Option<String>,
    send_to: Option<String>,
    pub(super) purpose: Option<String>,
    sender_name: Option<String>,
    sender_id: Option<String>,
    pub(super) receiver_name: String,
    pub(super) receiver_id: String,
    pub(super) reply_to: String,
    pub(super) reply_to_msg_id: String,
    metadata: Option<Metadata>,
    /// The first mistake.
    pub(super) error: Option<Error>,
}

impl Draft {
    pub(super) fn new(subject: String) -> Self {
        Self {
            subject,
            nats_reply: None,
            payloads: Vec::new(),
            headers: Vec::new(),
            dialect: None,
            threshold: None,
            delivery: None,
            correlation_id: None,
            msg_id: None,
            send_to: None,
            purpose: None,
            sender_name: None,
            sender_id: None,
            receiver_name: String::new(),
            receiver_id: String::new(),
            reply_to: String::new(),
            reply_to_msg_id: String::new(),
            metadata: None,
            error: None,
        }
    }

    fn add(&mut self, payload: Result<Payload>) {
        match payload {
            Ok(payload) => self.payloads.push(payload),
            Err(error) => {
                let index = self.payloads.len();
                self.error.get_or_insert_with(|| error.in_payload(index));
            }
        }
    }

    fn note<T>(&mut self, result: Result<T>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

impl Bridge {
    /// Starts a message; see [`SendMessage`].
    pub fn send(&self, subject: impl Into<String>) -> SendMessage {
        SendMessage { bridge: self.clone(), draft: Draft::new(subject.into()) }
    }
}

/// The methods that describe a message, for every builder that has a draft.
macro_rules! message_builder {
    ($builder:ty) => {
        impl $builder {
            /// Adds a payload that is ready.
            pub fn payload(mut self, payload: Payload) -> Self {
                self.draft.add(Ok(payload));
                self
            }

            /// Adds several payloads that are ready.
            pub fn payloads(mut self, payloads: impl IntoIterator<Item = Payload>) -> Self {
                payloads.into_iter().for_each(|payload| self.draft.add(Ok(payload)));
                self
            }

            /// Adds text.
            pub fn text(self, dataname: impl Into<String>, text: impl Into<String>) -> Self {
                self.payload(Payload::text(dataname, text))
            }

            /// Adds a value as JSON; see [`Payload::dictionary`].
            pub fn dictionary(
                mut self,
                dataname: impl Into<String>,
                value: &(impl Serialize + ?Sized),
            ) -> Self {
                self.draft.add(Payload::dictionary(dataname, value));
                self
            }

            /// Adds rows as JSON; see [`Payload::json_table`].
            pub fn json_table(
                mut self,
                dataname: impl Into<String>,
                rows: &(impl Serialize + ?Sized),
            ) -> Self {
                self.draft.add(Payload::json_table(dataname, rows));
                self
            }

            /// Adds record batches as an Arrow table; see [`Payload::table`].
            #[cfg(feature = "table")]
            pub fn table(
                mut self,
                dataname: impl Into<String>,
                batches: &[arrow_array::RecordBatch],
            ) -> Self {
                self.draft.add(Payload::table(dataname, batches));
                self
            }

            /// Adds an image file's bytes.
            pub fn image(self, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
                self.payload(Payload::image(dataname, bytes))
            }

            /// Adds an audio file's bytes.
            pub fn audio(self, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
                self.payload(Payload::audio(dataname, bytes))
            }

            /// Adds a video file's bytes.
            pub fn video(self, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
                self.payload(Payload::video(dataname, bytes))
            }

            /// Adds any bytes.
            pub fn binary(self, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
                self.payload(Payload::binary(dataname, bytes))
            }

            /// Adds bytes under any type's name; see [`Payload::other`].
            pub fn other(
                mut self,
                type_name: impl Into<std::borrow::Cow<'static, str>>,
                dataname: impl Into<String>,
                bytes: impl Into<Bytes>,
            ) -> Self {
                self.draft.add(Payload::other(type_name, dataname, bytes));
                self
            }

            /// Adds a key to the metadata of the payload that was added last.
            pub fn payload_metadata(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
                let result = match self.draft.payloads.pop() {
                    Some(payload) => {
                        payload.with_metadata(key, value).map(|payload| self.draft.payloads.push(payload))
                    }
                    None => Err(Error::new(ErrorKind::Misuse, "payload_metadata needs a payload before it")),
                };
                self.draft.note(result);
                self
            }

            /// Adds a key to the message's metadata.
            pub fn metadata(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
                let metadata = self.draft.metadata.get_or_insert_default();
                let result = metadata.insert(key, value).map(|_| ());
                self.draft.note(result);
                self
            }

            /// Sets `correlationId`. Default: a new UUID.
            pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
                self.draft.correlation_id = Some(id.into());
                self
            }

            /// Sets `msgId`. Default: a new UUID.
            pub fn msg_id(mut self, id: impl Into<String>) -> Self {
                self.draft.msg_id = Some(id.into());
                self
            }

            /// Sets `sendTo`. Default: the subject.
            pub fn send_to(mut self, subject: impl Into<String>) -> Self {
                self.draft.send_to = Some(subject.into());
                self
            }

            /// Sets `msgPurpose`. Default `chat`; `request` for a request, `response` for a reply.
            pub fn purpose(mut self, purpose: impl Into<String>) -> Self {
                self.draft.purpose = Some(purpose.into());
                self
            }

            /// Sets `senderName`. Default: the bridge's.
            pub fn sender_name(mut self, name: impl Into<String>) -> Self {
                self.draft.sender_name = Some(name.into());
                self
            }

            /// Sets `senderId`. Default: the bridge's.
            pub fn sender_id(mut self, id: impl Into<String>) -> Self {
                self.draft.sender_id = Some(id.into());
                self
            }

            /// Sets `receiverName`.
            pub fn receiver(mut self, name: impl Into<String>) -> Self {
                self.draft.receiver_name = name.into();
                self
            }

            /// Sets `receiverId`.
            pub fn receiver_id(mut self, id: impl Into<String>) -> Self {
                self.draft.receiver_id = id.into();
                self
            }

            /// Sets `replyTo`. A request listens there for its reply, instead of on an inbox of its own.
            pub fn reply_to(mut self, subject: impl Into<String>) -> Self {
                self.draft.reply_to = subject.into();
                self
            }

            /// Sets `replyToMsgId`.
            pub fn reply_to_msg_id(mut self, id: impl Into<String>) -> Self {
                self.draft.reply_to_msg_id = id.into();
                self
            }

            /// Adds a NATS header. Other ports ignore headers.
            pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.draft.headers.push((name.into(), value.into()));
                self
            }

            /// From how many raw bytes on a payload travels by link. Default: the bridge's.
            pub fn threshold(mut self, bytes: u64) -> Self {
                self.draft.threshold = Some(bytes);
                self
            }

            /// Which spelling of the keys to write. Default: the bridge's; a reply's is that of the request.
            pub fn dialect(mut self, dialect: Dialect) -> Self {
                self.draft.dialect = Some(dialect);
                self
            }
        }

        impl fmt::Debug for $builder {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($builder))
                    .field("subject", &self.draft.subject)
                    .field("payloads", &self.draft.payloads)
                    .finish_non_exhaustive()
            }
        }
    };
}

message_builder!(SendMessage);
message_builder!(super::request::RequestMessage);

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
            let correlation_id = draft.correlation_id.get_or_insert_with(new_id).clone();
            let span = tracing::info_span!("send", correlation_id, subject = draft.subject);
            send(&bridge.inner, draft, delivery).instrument(span).await
        })
    }
}

/// What was sent, and how far it got.
pub struct Receipt {
    body: Bytes,
    payloads: Vec<SentPayload>,
    delivery: Delivery,
    envelope: OnceLock<Envelope>,
}

impl Receipt {
    /// The message as it went out, with all its fields and payloads.
    ///
    /// # Cost
    /// Reads the message the first time it is called.
    pub fn envelope(&self) -> &Envelope {
        self.envelope.get_or_init(|| {
            let limits = crate::Limits::default().message_len(usize::MAX).payload_count(usize::MAX);
            // What this crate has just written it reads: a round trip that its tests hold it to.
            Envelope::decode_with(self.body.clone(), &limits)
                .unwrap_or_else(|error| unreachable_envelope(&error))
        })
    }

    /// The payloads in order: how each travelled.
    pub fn payloads(&self) -> &[SentPayload] {
        &self.payloads
    }

    /// The level that was reached.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The bytes of the published message, without headers.
    pub fn message_len(&self) -> usize {
        self.body.len()
    }
}

/// An empty envelope, after telling whoever reads the logs.
fn unreachable_envelope(error: &Error) -> Envelope {
    tracing::error!(%error, "a message of our own cannot be read");
    Envelope::empty()
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("delivery", &self.delivery)
            .field("message_len", &self.body.len())
            .field("payloads", &self.payloads)
            .finish_non_exhaustive()
    }
}

/// How one payload was sent. `Debug` hides the link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SentPayload {
    /// Its name.
    pub dataname: String,
    /// Its type's name, as it was written.
    pub type_name: String,
    /// How it travelled.
    pub transport: Transport,
    /// Its raw bytes.
    pub size: u64,
    /// Where it was uploaded to; whoever knows this has the file.
    pub url: Option<LinkUrl>,
    /// When the file server will delete it, if it does.
    pub expires_at: Option<SystemTime>,
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// The whole way of a message.
pub(super) async fn send(inner: &Arc<Inner>, draft: Draft, delivery: Delivery) -> Result<Receipt> {
    if let Some(error) = draft.error {
        return Err(error);
    }
    subject::check_publish(&draft.subject)?;
    let headers = headers(inner, &draft)?;
    let message = Outgoing::new(inner, &draft);
    let transports = message.plan(inner, &headers)?;

    let uploads = Uploads::start(inner, &message, &transports).await?;
    let (body, payloads) = message.encode(&uploads.done);
    if let Err(error) = message.check_size(inner, &headers, body.len()) {
        return Err(uploads.undo(error).await);
    }

    let mark = inner.events.mark();
    if let Err(error) = publish(inner, &draft, headers, body.clone()).await {
        return Err(uploads.undo(error).await);
    }
    // From here on the message may arrive, now or after a reconnect, so what it refers to stays.
    uploads.keep();
    if delivery >= Delivery::Flushed {
        let refused = "the NATS server does not permit publishing on this subject";
        confirm::accepted(inner, mark, &draft.subject, refused).await?;
    }
    Ok(Receipt { body, payloads, delivery, envelope: OnceLock::new() })
}

fn headers(inner: &Inner, draft: &Draft) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &draft.headers {
        subject::insert_header(&mut headers, name, value)?;
    }
    let announced = inner.client.try_server_info().is_none_or(|info| info.headers);
    if !headers.is_empty() && !announced {
        return Err(Error::new(ErrorKind::InvalidHeader, "the NATS server does not support headers"));
    }
    Ok(headers)
}

async fn publish(inner: &Inner, draft: &Draft, headers: HeaderMap, body: Bytes) -> Result<()> {
    let span = tracing::debug_span!("publish", correlation_id = draft.correlation_id, len = body.len());
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
    published.instrument(span).await.map_err(|error| {
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
    })
}

/// A message whose ids and time are fixed, so that planning and writing see the same.
struct Outgoing<'a> {
    dialect: Dialect,
    threshold: u64,
    fields: OwnedFields<'a>,
    payloads: &'a [Payload],
    /// One id for each payload.
    ids: Vec<String>,
}

struct OwnedFields<'a> {
    draft: &'a Draft,
    msg_id: String,
    timestamp: String,
    sender_name: &'a str,
    sender_id: &'a str,
    broker_url: &'a str,
}

impl OwnedFields<'_> {
    fn borrowed(&self) -> MessageFields<'_> {
        let draft = self.draft;
        MessageFields {
            correlation_id: draft.correlation_id.as_deref().unwrap_or_default(),
            msg_id: &self.msg_id,
            timestamp: &self.timestamp,
            send_to: draft.send_to.as_deref().unwrap_or(&draft.subject),
            msg_purpose: draft.purpose.as_deref().unwrap_or("chat"),
            sender_name: self.sender_name,
            sender_id: self.sender_id,
            receiver_name: &draft.receiver_name,
            receiver_id: &draft.receiver_id,
            reply_to: &draft.reply_to,
            reply_to_msg_id: &draft.reply_to_msg_id,
            broker_url: self.broker_url,
            metadata: draft.metadata.as_ref(),
        }
    }
}

impl<'a> Outgoing<'a> {
    fn new(inner: &'a Inner, draft: &'a Draft) -> Self {
        let dialect = draft.dialect.unwrap_or(inner.dialect);
        Self {
            dialect,
            threshold: draft.threshold.or(inner.threshold).unwrap_or_else(|| dialect.default_threshold()),
            fields: OwnedFields {
                draft,
                msg_id: draft.msg_id.clone().unwrap_or_else(new_id),
                timestamp: timestamp::format(SystemTime::now()),
                sender_name: draft.sender_name.as_deref().unwrap_or(&inner.sender_name),
                sender_id: draft.sender_id.as_deref().unwrap_or(&inner.sender_id),
                broker_url: &inner.broker_url,
            },
            payloads: &draft.payloads,
            ids: draft.payloads.iter().map(|_| new_id()).collect(),
        }
    }

    fn entry<'p>(
        &'p self,
        index: usize,
        data: Data<'p>,
        metadata: Option<&'p Metadata>,
    ) -> PayloadFields<'p> {
        let payload = &self.payloads[index];
        let mut fields = PayloadFields::new(payload.dataname(), payload.type_name(), data);
        fields.id = &self.ids[index];
        fields.metadata = metadata;
        fields
    }

    fn plan(&self, inner: &Inner, headers: &HeaderMap) -> Result<Vec<Transport>> {
        let items: Vec<PlanItem> = self
            .payloads
            .iter()
            .enumerate()
            .map(|(index, payload)| {
                let direct = self.entry(index, payload.direct(), payload.metadata());
                let direct_len = payload_entry_len(self.dialect, &direct);
                let link_len = match &inner.store {
                    Some(store) => self.max_link_len(index, payload, &**store),
                    None => usize::MAX,
                };
                PlanItem::new(payload.len(), direct_len, link_len)
            })
            .collect();
        let base_len =
            encoded_len(self.dialect, &self.fields.borrowed(), &[]) + subject::headers_len(headers);
        let max_payload = Some(inner.client.max_payload()).filter(|&bytes| bytes > 0);
        plan(&items, &PlanLimits::new(self.threshold, max_payload, base_len, inner.store.is_some()))
    }

    /// How long the payload's entry is at most once it has been uploaded.
    fn max_link_len(&self, index: usize, payload: &Payload, store: &dyn LinkStore) -> usize {
        let metadata = link_metadata(payload, &[0; 32], Some(SystemTime::UNIX_EPOCH));
        let link = Data::Link { url: "", size: payload.len() };
        let entry = self.entry(index, link, Some(&metadata));
        payload_entry_len(self.dialect, &entry).saturating_add(store.max_url_len(payload.dataname()))
    }

    fn encode(&self, uploads: &[Option<Stored>]) -> (Bytes, Vec<SentPayload>) {
        let metadata: Vec<Option<Metadata>> = uploads
            .iter()
            .zip(self.payloads)
            .map(|(stored, payload)| {
                let stored = stored.as_ref()?;
                Some(link_metadata(payload, &stored.sha256, stored.uploaded.expires_at()))
            })
            .collect();
        let mut entries = Vec::with_capacity(uploads.len());
        let mut sent = Vec::with_capacity(uploads.len());
        for (index, (payload, stored)) in self.payloads.iter().zip(uploads).enumerate() {
            let entry = match stored {
                None => self.entry(index, payload.direct(), payload.metadata()),
                Some(stored) => {
                    let url = stored.uploaded.url().as_str();
                    let link = Data::Link { url, size: payload.len() };
                    self.entry(index, link, metadata[index].as_ref())
                }
            };
            entries.push(entry);
            sent.push(SentPayload {
                dataname: payload.dataname().to_owned(),
                type_name: entry.written_type(self.dialect).to_owned(),
                transport: entry.data.transport(),
                size: payload.len(),
                url: stored.as_ref().map(|stored| stored.uploaded.url().clone()),
                expires_at: stored.as_ref().and_then(|stored| stored.uploaded.expires_at()),
            });
        }
        let mut out = BytesMut::new();
        encode(self.dialect, &self.fields.borrowed(), &entries, &mut out);
        (out.freeze(), sent)
    }

    /// The message is measured once more: a store may have broken its word about the length of its URLs.
    fn check_size(&self, inner: &Inner, headers: &HeaderMap, len: usize) -> Result<()> {
        let len = len + subject::headers_len(headers);
        let max_payload = inner.client.max_payload();
        if max_payload > 0 && len > max_payload {
            let what = "the message does not fit the server's limit after its uploads";
            return Err(
                Error::new(ErrorKind::MessageTooLarge, what).with_size(len as u64, max_payload as u64)
            );
        }
        Ok(())
    }
}

/// The payload's own metadata, and what every link carries.
fn link_metadata(payload: &Payload, sha256: &[u8; 32], expires_at: Option<SystemTime>) -> Metadata {
    let mut metadata = payload.metadata().cloned().unwrap_or_default();
    // The caller's own entries of these names are dropped, so that these two come last and in this order.
    metadata.remove("sha256");
    metadata.remove("expiresAt");
    let digest: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    metadata.set("sha256", &digest);
    if let Some(time) = expires_at {
        metadata.set("expiresAt", &timestamp::format(time));
    }
    metadata
}

/// A payload that is on the file server.
struct Stored {
    uploaded: Uploaded,
    sha256: [u8; 32],
}

/// The uploads of one message. They are deleted unless [`keep`](Self::keep) says that the message is out.
struct Uploads {
    /// One for each payload; `None` for direct ones.
    done: Vec<Option<Stored>>,
    store: Option<Arc<dyn LinkStore>>,
}

impl Uploads {
    async fn start(inner: &Inner, message: &Outgoing<'_>, transports: &[Transport]) -> Result<Self> {
        let links: Vec<usize> =
            (0..transports.len()).filter(|&index| transports[index] == Transport::Link).collect();
        let mut uploads =
            Self { done: transports.iter().map(|_| None).collect(), store: inner.store.clone() };
        if links.is_empty() {
            return Ok(uploads);
        }
        // The planner makes no link without a store.
        let Some(store) = &inner.store else {
            return Err(Error::new(ErrorKind::Bug, "a link without a store"));
        };
        let digests =
            digests(links.iter().map(|&index| message.payloads[index].chunks().to_vec()).collect()).await?;
        let batch = links
            .iter()
            .map(|&index| {
                let payload = &message.payloads[index];
                Upload::from_chunks(payload.dataname(), payload.chunks().to_vec())
            })
            .collect();
        let correlation_id = message.fields.draft.correlation_id.as_deref();
        let span = tracing::info_span!("upload", correlation_id, count = links.len());
        let results = store.upload_batch(batch).instrument(span).await;
        let mut failed = None;
        let mut results = results.into_iter();
        for (&index, sha256) in links.iter().zip(digests) {
            match results.next() {
                Some(Ok(uploaded)) => uploads.done[index] = Some(Stored { uploaded, sha256 }),
                Some(Err(error)) => {
                    failed.get_or_insert_with(|| error.in_payload(index));
                }
                None => {
                    let what = "the store returned fewer results than it was given uploads";
                    failed
                        .get_or_insert_with(|| Error::new(ErrorKind::UploadRejected, what).in_payload(index));
                }
            }
        }
        match failed {
            None => Ok(uploads),
            Some(error) => Err(uploads.undo(error).await),
        }
    }

    /// The message is out: what it refers to stays for its lifetime.
    fn keep(mut self) {
        self.done.clear();
    }

    /// Deletes the uploads because of `error`, which is returned, with the first failure of the deleting in it.
    async fn undo(mut self, error: Error) -> Error {
        let done = std::mem::take(&mut self.done);
        let Some(store) = self.store.clone() else { return error };
        match delete_all(&*store, done).await {
            Ok(()) => error,
            Err(cleanup) => error.with_cleanup(cleanup),
        }
    }
}

impl Drop for Uploads {
    /// A send that is dropped half-way leaves nothing behind, as far as there is still a runtime to delete it with.
    fn drop(&mut self) {
        let done = std::mem::take(&mut self.done);
        let (Some(store), true) = (self.store.clone(), done.iter().any(Option::is_some)) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = delete_all(&*store, done).await {
                    tracing::warn!(%error, "an abandoned upload could not be deleted");
                }
            });
        }
    }
}

async fn delete_all(store: &dyn LinkStore, done: Vec<Option<Stored>>) -> Result<()> {
    let mut first = Ok(());
    for stored in done.into_iter().flatten() {
        if let Err(error) = store.delete(&stored.uploaded).await
            && first.is_ok()
        {
            first = Err(error);
        }
    }
    first
}

/// The SHA-256 of each payload. Hashing takes about a millisecond for a megabyte, so it is kept off the runtime's
/// own threads.
async fn digests(payloads: Vec<Vec<Bytes>>) -> Result<Vec<[u8; 32]>> {
    let hash = move || {
        payloads
            .iter()
            .map(|chunks| {
                let mut hash = Sha256::new();
                chunks.iter().for_each(|chunk| hash.update(chunk));
                hash.finalize().into()
            })
            .collect()
    };
    tokio::task::spawn_blocking(hash)
        .await
        .map_err(|error| Error::new(ErrorKind::Bug, "the hashing task did not finish").with_source(error))
}
