//! `smartsend` and `smartreceive`: the two calls that every port has, with their names, arguments and defaults.
//!
//! Each `smartsend` makes a connection of its own, as the other ports do. A program that sends often keeps a
//! [`Bridge`] instead.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Bridge, BridgeBuilder, Delivery};
use crate::envelope::{Dialect, Envelope, PayloadView, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::link::{FetchOptions, HandlerStore, LinkStore, Origin, Policy, Retry};
use crate::payload::{Payload, PayloadData, PayloadType};

const NATS_URL: &str = "nats://localhost:4222";
const FILESERVER_URL: &str = "http://localhost:8080";

/// A value to send or that was received, before or after its type turned it into bytes.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum SmartData {
    /// For `text`.
    Text(String),
    /// For `dictionary` and `jsontable`.
    Json(serde_json::Value),
    /// For `table`.
    #[cfg(feature = "table")]
    Table(Vec<arrow_array::RecordBatch>),
    /// For `image`, `audio`, `video`, `binary` and everything else; and for any type whose bytes are ready.
    Bytes(Bytes),
}

impl fmt::Debug for SmartData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Json(_) => f.write_str("Json(…)"),
            #[cfg(feature = "table")]
            Self::Table(batches) => write!(f, "Table({} batches)", batches.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl From<&str> for SmartData {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SmartData {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<serde_json::Value> for SmartData {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(value)
    }
}

impl From<Vec<u8>> for SmartData {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for SmartData {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for SmartData {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

#[cfg(feature = "table")]
impl From<Vec<arrow_array::RecordBatch>> for SmartData {
    fn from(batches: Vec<arrow_array::RecordBatch>) -> Self {
        Self::Table(batches)
    }
}

#[cfg(feature = "table")]
impl From<arrow_array::RecordBatch> for SmartData {
    fn from(batch: arrow_array::RecordBatch) -> Self {
        Self::Table(vec![batch])
    }
}

impl SmartData {
    /// The payload that carries this value under `type_name`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the value does not suit the type, such as a text for an image.
    pub fn into_payload(self, dataname: String, type_name: &str) -> Result<Payload> {
        let payload_type = PayloadType::from_name(type_name);
        match (self, payload_type) {
            (Self::Text(text), PayloadType::Text) => Ok(Payload::text(dataname, text)),
            (Self::Text(text), PayloadType::Dictionary) => Payload::dictionary(dataname, &text),
            (Self::Json(value), PayloadType::Dictionary) => Payload::dictionary(dataname, &value),
            // Old ports call JSON rows a table too, and read them back as rows.
            (Self::Json(value), PayloadType::JsonTable) => Payload::json_table(dataname, &value),
            #[cfg(feature = "table")]
            (Self::Table(batches), PayloadType::Table) => Payload::table(dataname, &batches),
            (Self::Bytes(bytes), _) => Payload::other(type_name.to_owned(), dataname, bytes),
            (other, _) => {
                let what = format!("{other:?} cannot be sent as {type_name:?}");
                Err(Error::new(ErrorKind::InvalidInput, what))
            }
        }
    }

    /// The value of a payload's bytes, by its type.
    fn from_payload(data: PayloadData) -> Result<Self> {
        match data.payload_type() {
            PayloadType::Text => data.text().map(Self::from),
            PayloadType::Dictionary => data.json_value().map(Self::Json),
            _ if data.is_json_rows() => data.json_value().map(Self::Json),
            #[cfg(feature = "table")]
            PayloadType::Table => data.record_batches().map(Self::Table),
            _ => Ok(Self::Bytes(data.into_bytes())),
        }
    }
}

/// The arguments of [`smartsend`] beside subject and data; each method sets one.
#[derive(Debug, Default)]
#[must_use]
pub struct SmartSend {
    nats_url: Option<String>,
    fileserver_url: Option<String>,
    size_threshold: Option<u64>,
    correlation_id: Option<String>,
    msg_purpose: Option<String>,
    sender_name: Option<String>,
    receiver_name: String,
    receiver_id: String,
    reply_to: String,
    reply_to_msg_id: String,
    dialect: Dialect,
    one_shot: bool,
    handler: Option<HandlerStore>,
}

impl SmartSend {
    /// The defaults of every port.
    pub fn new() -> Self {
        Self::default()
    }

    /// Default `nats://localhost:4222`.
    pub fn nats_url(mut self, url: impl Into<String>) -> Self {
        self.nats_url = Some(url.into());
        self
    }

    /// A Plik server. Default `http://localhost:8080`.
    pub fn fileserver_url(mut self, url: impl Into<String>) -> Self {
        self.fileserver_url = Some(url.into());
        self
    }

    /// Bytes from which a payload travels by link. Default 1,000,000 (500,000 in the snake_case dialect).
    pub fn size_threshold(mut self, bytes: u64) -> Self {
        self.size_threshold = Some(bytes);
        self
    }

    /// Default: a new UUID.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Default `chat`.
    pub fn msg_purpose(mut self, purpose: impl Into<String>) -> Self {
        self.msg_purpose = Some(purpose.into());
        self
    }

    /// Default `NATSBridge`.
    pub fn sender_name(mut self, name: impl Into<String>) -> Self {
        self.sender_name = Some(name.into());
        self
    }

    /// Default empty.
    pub fn receiver_name(mut self, name: impl Into<String>) -> Self {
        self.receiver_name = name.into();
        self
    }

    /// Default empty: everybody on the subject.
    pub fn receiver_id(mut self, id: impl Into<String>) -> Self {
        self.receiver_id = id.into();
        self
    }

    /// Default empty.
    pub fn reply_to(mut self, subject: impl Into<String>) -> Self {
        self.reply_to = subject.into();
        self
    }

    /// Default empty.
    pub fn reply_to_msg_id(mut self, id: impl Into<String>) -> Self {
        self.reply_to_msg_id = id.into();
        self
    }

    /// Which spelling of the keys to write. Default [`Dialect::Camel`].
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Uploads that the file server deletes at the first download, as the other ports make them; see
    /// [`Lifetime::OneShot`](crate::link::Lifetime::OneShot). Default: kept for 24 hours.
    pub fn plik_oneshot_upload(mut self) -> Self {
        self.one_shot = true;
        self
    }

    /// A function that uploads instead: name and bytes go in, the link's URL comes out.
    pub fn fileserver_upload_handler<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(String, Bytes) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String>> + Send + 'static,
    {
        self.handler = Some(HandlerStore::new().on_upload(handler));
        self
    }

    #[cfg(feature = "plik")]
    fn store(&self, builder: BridgeBuilder) -> Result<BridgeBuilder> {
        use crate::link::{Lifetime, Plik};
        if let Some(handler) = &self.handler {
            return Ok(builder.store(handler.clone()));
        }
        let mut plik = Plik::new(self.fileserver_url.as_deref().unwrap_or(FILESERVER_URL))?;
        if self.one_shot {
            plik = plik.lifetime(Lifetime::OneShot);
        }
        Ok(builder.store(plik))
    }

    #[cfg(not(feature = "plik"))]
    fn store(&self, builder: BridgeBuilder) -> Result<BridgeBuilder> {
        match &self.handler {
            Some(handler) => Ok(builder.store(handler.clone())),
            None => Ok(builder),
        }
    }
}

/// Sends `(dataname, data, type)` payloads, small ones inside the message and large ones through a file server, and
/// returns the envelope that went out. Always a list, even for one payload.
///
/// It connects, sends, waits until the server has processed the message ([`Delivery::Flushed`]), and disconnects.
///
/// # Errors
/// Those of [`BridgeBuilder::connect`] and of [`SendMessage`](super::SendMessage), and
/// [`InvalidInput`](ErrorKind::InvalidInput) for data that does not suit its type.
///
/// # Examples
/// ```no_run
/// use natsbridge::{SmartSend, smartsend};
///
/// # async fn run() -> Result<(), natsbridge::Error> {
/// let envelope = smartsend(
///     "/chat/room1",
///     [("message", "Hello World".into(), "text"), ("photo", vec![0u8; 2_000_000].into(), "image")],
///     SmartSend::new().nats_url("nats://localhost:4222").sender_name("user-1"),
/// )
/// .await?;
/// println!("{}", envelope.correlation_id());
/// if let Some(url) = envelope.payload(1).and_then(|photo| photo.url()) {
///     println!("the photo is at {url}");
/// }
/// # Ok(())
/// # }
/// ```
pub async fn smartsend<N, T>(
    subject: &str,
    data: impl IntoIterator<Item = (N, SmartData, T)>,
    options: SmartSend,
) -> Result<Envelope>
where
    N: Into<String>,
    T: AsRef<str>,
{
    let payloads: Vec<Payload> = data
        .into_iter()
        .enumerate()
        .map(|(index, (dataname, data, type_name))| {
            data.into_payload(dataname.into(), type_name.as_ref()).map_err(|error| error.in_payload(index))
        })
        .collect::<Result<_>>()?;
    super::subject::check_publish(subject)?;
    let builder = options.store(Bridge::builder().dialect(options.dialect).delivery(Delivery::Flushed))?;
    let bridge = builder.connect(options.nats_url.as_deref().unwrap_or(NATS_URL)).await?;

    let mut message = bridge
        .send(subject)
        .payloads(payloads)
        .receiver(options.receiver_name)
        .receiver_id(options.receiver_id)
        .reply_to(options.reply_to)
        .reply_to_msg_id(options.reply_to_msg_id);
    if let Some(bytes) = options.size_threshold {
        message = message.threshold(bytes);
    }
    if let Some(id) = options.correlation_id {
        message = message.correlation_id(id);
    }
    if let Some(purpose) = options.msg_purpose {
        message = message.purpose(purpose);
    }
    if let Some(name) = options.sender_name {
        message = message.sender_name(name);
    }
    let sent = message.await;
    let drained = bridge.drain().await;
    let receipt = sent?;
    drained?;
    Ok(receipt.envelope().clone())
}

/// What [`smartreceive`] reads: a NATS message, its bytes, or its text.
#[derive(Debug, Clone)]
pub struct SmartMessage(Bytes);

impl From<async_nats::Message> for SmartMessage {
    fn from(message: async_nats::Message) -> Self {
        Self(message.payload)
    }
}

impl From<&async_nats::Message> for SmartMessage {
    fn from(message: &async_nats::Message) -> Self {
        Self(message.payload.clone())
    }
}

impl From<Bytes> for SmartMessage {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for SmartMessage {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for SmartMessage {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<String> for SmartMessage {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for SmartMessage {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// The arguments of [`smartreceive`] beside the message; each method sets one.
#[derive(Debug, Default)]
#[must_use]
pub struct SmartReceive {
    retry: Retry,
    origins: Vec<String>,
    handler: Option<HandlerStore>,
    limits: Limits,
}

impl SmartReceive {
    /// The defaults of every port.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often a download is tried again. Default 5.
    pub fn max_retries(mut self, count: u32) -> Self {
        self.retry = self.retry.max_retries(count);
        self
    }

    /// Milliseconds before the first retry. Default 100.
    pub fn base_delay(mut self, millis: u64) -> Self {
        self.retry = self.retry.base_delay(Duration::from_millis(millis));
        self
    }

    /// The most milliseconds between two tries. Default 5,000.
    pub fn max_delay(mut self, millis: u64) -> Self {
        self.retry = self.retry.max_delay(Duration::from_millis(millis));
        self
    }

    /// A place whose links may be fetched, instead of `http://localhost:8080`. May be called several times.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// What the message may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A function that downloads instead: the URL goes in, the bytes come out. It sees the links of all origins and
    /// decides itself which to fetch; sizes and digests are verified as ever.
    pub fn fileserver_download_handler<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Bytes>> + Send + 'static,
    {
        self.handler = Some(HandlerStore::new().on_download(handler));
        self
    }
}

/// What [`smartreceive`] returns: the envelope's fields, and its payloads as values.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReceivedEnvelope {
    /// The fields.
    pub envelope: Envelope,
    /// `(dataname, data, type)` for each payload; one that cannot be read does not take the others with it.
    pub payloads: Vec<(String, Result<SmartData>, String)>,
}

impl Deref for ReceivedEnvelope {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.envelope
    }
}

/// Reads a message and all its payloads, fetching links from the allowed file server.
///
/// # Errors
/// [`Malformed`](ErrorKind::Malformed) and [`LimitExceeded`](ErrorKind::LimitExceeded) for the message as a whole,
/// [`Misuse`](ErrorKind::Misuse) for an origin that is none; errors of single payloads stand in their place.
///
/// # Examples
/// ```
/// use natsbridge::{SmartData, SmartReceive, smartreceive};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), natsbridge::Error> {
/// let message = r#"{"payloads":[{"dataname":"m","type":"text","transport":"direct","data":"SGVsbG8="}]}"#;
/// let received = smartreceive(message, SmartReceive::new()).await?;
/// for (dataname, data, type_name) in received.payloads {
///     assert_eq!((dataname.as_str(), data?, type_name.as_str()), ("m", SmartData::from("Hello"), "text"));
/// }
/// # Ok(()) }
/// ```
pub async fn smartreceive(
    message: impl Into<SmartMessage>,
    options: SmartReceive,
) -> Result<ReceivedEnvelope> {
    let origins = match options.origins.as_slice() {
        [] => vec![Origin::parse(FILESERVER_URL)?],
        origins => origins.iter().map(|origin| Origin::parse(origin)).collect::<Result<_>>()?,
    };
    let policy = origins.into_iter().fold(Policy::none(), Policy::allow_origin);
    let envelope = Envelope::decode_with(message.into().0, &options.limits)?;
    let trust = options.handler.is_some();
    let source = match options.handler {
        Some(handler) => Some(Arc::new(handler) as Arc<dyn LinkStore>),
        None => super::connect::plain_http(&policy),
    };
    let mut fetch = FetchOptions::default().retry(options.retry).max_len(options.limits.download_len);
    fetch.seed = uuid::Uuid::new_v4().as_u64_pair().0;

    let mut payloads = Vec::with_capacity(envelope.payload_count());
    for view in envelope.payloads() {
        let data = read(&view, &policy, trust, source.as_deref(), &fetch).await;
        payloads.push((view.dataname().to_owned(), data, view.type_name().to_owned()));
    }
    Ok(ReceivedEnvelope { envelope, payloads })
}

async fn read(
    view: &PayloadView<'_>,
    policy: &Policy,
    trust: bool,
    source: Option<&dyn LinkStore>,
    options: &FetchOptions,
) -> Result<SmartData> {
    let data = match view.transport() {
        Some(Transport::Link) => {
            super::receive::fetch_link(view, policy, trust, source, None, options).await?
        }
        _ => view.decode()?,
    };
    SmartData::from_payload(data)
}

/// The same two calls for programs without an async runtime.
pub mod blocking {
    use super::*;

    /// [`smartsend`](super::smartsend), blocking the calling thread.
    ///
    /// # Errors
    /// As [`smartsend`](super::smartsend); [`Misuse`](ErrorKind::Misuse) inside an async runtime, where it would stop the
    /// runtime's thread.
    pub fn smartsend<N, T>(
        subject: &str,
        data: impl IntoIterator<Item = (N, SmartData, T)>,
        options: SmartSend,
    ) -> Result<Envelope>
    where
        N: Into<String>,
        T: AsRef<str>,
    {
        runtime()?.block_on(super::smartsend(subject, data, options))
    }

    /// [`smartreceive`](super::smartreceive), blocking the calling thread.
    ///
    /// # Errors
    /// As [`smartreceive`](super::smartreceive); [`Misuse`](ErrorKind::Misuse) inside an async runtime.
    pub fn smartreceive(message: impl Into<SmartMessage>, options: SmartReceive) -> Result<ReceivedEnvelope> {
        runtime()?.block_on(super::smartreceive(message, options))
    }

    fn runtime() -> Result<tokio::runtime::Runtime> {
        if tokio::runtime::Handle::try_current().is_ok() {
            let what = "the blocking calls are for programs without an async runtime; await the others here";
            return Err(Error::new(ErrorKind::Misuse, what));
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorKind::Bug, "no runtime could be started").with_source(error))
    }
}
