//! `smartsend`.

use std::fmt;
use std::future::Future;

use bytes::Bytes;

use super::{NATS_URL, SmartData};
use crate::bridge::{Bridge, BridgeBuilder, Delivery, subject};
use crate::envelope::{Dialect, Envelope};
use crate::error::Result;
use crate::link::HandlerStore;
use crate::payload::Payload;

/// The arguments of [`smartsend`] beside subject and data; each method sets one.
#[derive(Default)]
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
        let mut plik = Plik::new(self.fileserver_url.as_deref().unwrap_or(super::FILESERVER_URL))?;
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

impl fmt::Debug for SmartSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Either may have a password in it.
        let url = |url: &Option<String>| if url.is_some() { "…" } else { "default" };
        f.debug_struct("SmartSend")
            .field("nats_url", &url(&self.nats_url))
            .field("fileserver_url", &url(&self.fileserver_url))
            .field("size_threshold", &self.size_threshold)
            .field("correlation_id", &self.correlation_id)
            .field("msg_purpose", &self.msg_purpose)
            .field("sender_name", &self.sender_name)
            .field("receiver_name", &self.receiver_name)
            .field("receiver_id", &self.receiver_id)
            .field("reply_to", &self.reply_to)
            .field("reply_to_msg_id", &self.reply_to_msg_id)
            .field("dialect", &self.dialect)
            .field("one_shot", &self.one_shot)
            .field("handler", &self.handler)
            .finish()
    }
}

/// Sends `(dataname, data, type)` payloads, small ones inside the message and large ones through a file server, and
/// returns the envelope that went out. Always a list, even for one payload.
///
/// It connects, sends, waits until the server has processed the message ([`Delivery::Flushed`]), and disconnects.
///
/// # Errors
/// Those of [`BridgeBuilder::connect`] and of [`SendMessage`](crate::bridge::SendMessage), and
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for data that does not suit its type.
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
    subject::check_publish(subject)?;
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
    // The message's own confirmation is what counts; this only ends the connection in good order.
    if let Err(error) = bridge.drain().await {
        tracing::warn!(%error, "the connection was not closed in good order");
    }
    let receipt = sent?;
    Ok(receipt.envelope().clone())
}
