//! `smartreceive`.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{FILESERVER_URL, SmartData};
use crate::bridge::connect;
use crate::bridge::downloads::Downloads;
use crate::bridge::heavy::{self, Heavy};
use crate::bridge::totals::Totals;
use crate::envelope::{Envelope, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
#[cfg(feature = "plik")]
use crate::link::HttpStore;
use crate::link::{FetchOptions, HandlerStore, LinkStore, Origin, Policy, Retry};
use crate::payload::{PayloadData, PayloadType};

/// What [`smartreceive`] reads: a NATS message, its bytes, or its text.
#[derive(Clone)]
pub struct SmartMessage(Bytes);

impl fmt::Debug for SmartMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmartMessage({} bytes)", self.0.len())
    }
}

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
#[derive(Default)]
#[must_use]
pub struct SmartReceive {
    retry: Retry,
    origins: Vec<String>,
    policy: Policy,
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

    /// What may be fetched, instead of links of `http://localhost:8080`: origins, domains, anything.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What the message may cost. All payloads are kept, so [`Limits`] bounds some of what they hold together.
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

impl fmt::Debug for SmartReceive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmartReceive")
            .field("retry", &self.retry)
            // Not read yet: they may turn out to be whole links.
            .field("origins", &self.origins.len())
            .field("policy", &self.policy)
            .field("handler", &self.handler)
            .field("limits", &self.limits)
            .finish()
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
/// One payload after another: tables on a thread of their own, and so long texts, and dictionaries that are long or many.
/// What the values hold together is bounded by [`Limits`]; those that go beyond are refused, and smaller ones behind them
/// still read. A link that has not come an hour after the call is [`TimedOut`](crate::ErrorKind::TimedOut).
///
/// # Errors
/// [`Malformed`](crate::ErrorKind::Malformed) and [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for the message as a whole,
/// [`Misuse`](crate::ErrorKind::Misuse) for an origin that is none; errors of single payloads stand in their place.
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
        [] if !options.policy.is_empty() => Vec::new(),
        [] => vec![Origin::parse(FILESERVER_URL)?],
        origins => origins.iter().map(|origin| Origin::parse(origin)).collect::<Result<_>>()?,
    };
    let policy = origins.into_iter().fold(options.policy, Policy::allow_origin);
    let envelope = Envelope::decode_with(message.into().0, &options.limits)?;
    #[cfg(feature = "plik")]
    let plain = Some(connect::over_http(&HttpStore::new(), &policy));
    #[cfg(not(feature = "plik"))]
    let plain = None;
    let fetch = FetchOptions::default().retry(options.retry).total(connect::DOWNLOAD_TIMEOUT);
    let trust = options.handler.is_some();
    let handler = options.handler.map(|handler| Arc::new(handler) as Arc<dyn LinkStore>);
    let downloads = Downloads::new(policy, plain, fetch, &options.limits).store(handler, trust);

    let (totals, heavy) = (Totals::default(), Heavy::new(1));
    let ends = Instant::now() + connect::DOWNLOAD_TIMEOUT;
    let (mut here, mut left) = (heavy::JSON_LEN, options.limits);
    let mut payloads = Vec::with_capacity(envelope.payload_count());
    for view in envelope.payloads() {
        let data = match view.transport() {
            Some(Transport::Link) if Instant::now() >= ends => Err(late().in_payload(view.index())),
            Some(Transport::Link) => {
                let fetched = timeout_at(ends, downloads.fetch(&view, &totals, envelope.payload_count()));
                fetched.await.unwrap_or_else(|_| Err(late().in_payload(view.index())))
            }
            _ => view.decode(),
        };
        let data = match data {
            Ok(data) => read(data, &heavy, &mut here, &mut left).await,
            Err(error) => Err(error),
        };
        payloads.push((view.dataname().to_owned(), data, view.type_name().to_owned()));
    }
    Ok(ReceivedEnvelope { envelope, payloads })
}

/// A message may have thousands of links, and each of them take as long as one may.
fn late() -> Error {
    let limit = connect::DOWNLOAD_TIMEOUT;
    Error::new(ErrorKind::TimedOut, format!("the links of the message did not all come within {limit:?}"))
}

/// A payload's value, and less of the limits for those behind it. `here` is how much JSON may still be read on this thread:
/// many short texts must not hold it up longer than a single one.
async fn read(data: PayloadData, heavy: &Heavy, here: &mut usize, left: &mut Limits) -> Result<SmartData> {
    let mut limits = *left;
    let len = match data.payload_type() {
        PayloadType::Table => heavy::TABLE_LEN,
        PayloadType::Dictionary | PayloadType::JsonTable => {
            let len = *here;
            if data.bytes().len() < len {
                *here -= data.bytes().len();
            }
            len
        }
        PayloadType::Text => heavy::JSON_LEN,
        // Bytes need no reading.
        _ => usize::MAX,
    };
    let read = move |data: &PayloadData| Ok((SmartData::from_payload(data, &mut limits), limits));
    let (value, limits) = heavy.read(data, len, read).await?;
    *left = limits;
    value
}
