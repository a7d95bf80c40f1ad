//! The facade over NATS: connect, send, subscribe, request, in async-nats' manner.
//!
//! ```text
//! connect ─► Bridge ─► send ─► plan ─► upload links ─► encode ─► publish ─► confirm ─► Receipt
//!                  ├─► subscribe ─► Stream of Message ─► payloads, decoded or fetched when asked for
//!                  └─► request ─► send with an inbox ─► the reply whose correlation id matches
//! ```

mod confirm;
mod connect;
mod downloads;
mod draft;
mod events;
mod heavy;
mod ids;
mod log_limit;
mod outgoing;
mod publisher;
mod receipt;
mod receive;
mod request;
mod send;
mod sender_limits;
mod smart;
mod sources;
mod subject;
mod totals;
mod uploads;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::connect::BridgeBuilder;
use self::downloads::Downloads;
pub use self::events::{Counters, Events};
pub use self::publisher::{Published, Publisher, PublisherBuilder};
pub use self::receipt::{Delivery, Receipt, SentPayload};
pub use self::receive::{Message, ReceivedPayload, SavePayload, Saved, Subscription};
pub use self::request::RequestMessage;
pub use self::send::SendMessage;
pub use self::smart::{
    ReceivedEnvelope, SmartData, SmartMessage, SmartReceive, SmartSend, blocking, smartreceive, smartsend,
};
use crate::buffers::BufferPool;
use crate::envelope::Dialect;
use crate::error::Result;
use crate::limits::Limits;
use crate::link::LinkStore;
use crate::link::upload::UploadOptions;

/// A connection to NATS, and what is needed to send and receive NATSBridge messages over it. Cloning is cheap.
///
/// # Examples
/// ```no_run
/// use futures_util::StreamExt;
/// use natsbridge::{Bridge, link::Plik};
///
/// # async fn run() -> Result<(), natsbridge::Error> {
/// let bridge = Bridge::builder()
///     .store(Plik::new("http://localhost:8080")?)
///     .connect("nats://localhost:4222")
///     .await?;
/// let mut messages = bridge.subscribe("/chat/room1").await?;
///
/// bridge.send("/chat/room1").text("message_text", "Hello").image("photo", vec![0; 2_000_000]).await?;
///
/// if let Some(message) = messages.next().await {
///     let message = message?;
///     println!("{}", message.payload("message_text")?.text().await?);
///     println!("{} bytes", message.payload("photo")?.bytes().await?.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bridge {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    client: async_nats::Client,
    /// Whether the connection is this bridge's own, to be drained with it.
    owns_client: bool,
    events: Events,
    /// Where uploads go.
    store: Option<Arc<dyn LinkStore>>,
    downloads: Downloads,
    limits: Limits,
    heavy: heavy::Heavy,
    /// Complaints about messages that are none.
    broken: log_limit::LogLimit,
    dialect: Dialect,
    threshold: Option<u64>,
    sender_name: String,
    sender_id: String,
    broker_url: String,
    delivery: Delivery,
    confirm_timeout: Duration,
    request_timeout: Duration,
    parallel_downloads: usize,
    uploads: UploadOptions,
    /// For messages on their way out, and for what is decoded of large ones on their way in.
    buffers: BufferPool,
    /// Confirmations at once. The client drops events when 128 are waiting, and each may bring two refusals.
    confirmations: Semaphore,
    /// Whether anything was published since the last flush.
    published: AtomicBool,
    /// The connections made when everything was last known to have arrived.
    connects: AtomicU64,
}

impl Bridge {
    /// Connects with the defaults: no link store, and links from nowhere allowed.
    ///
    /// # Errors
    /// As [`BridgeBuilder::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Options first, then [`connect`](BridgeBuilder::connect) or [`from_client`](BridgeBuilder::from_client).
    pub fn builder() -> BridgeBuilder {
        BridgeBuilder::default()
    }

    /// A bridge with default options over a NATS client that the caller has connected, with whatever
    /// authentication and TLS options async-nats has.
    ///
    /// The caller sees the client's events, the bridge does not: install [`Events::callback`] when connecting and hand
    /// over the [`Events`] with [`BridgeBuilder::events`] to have permission violations reported as errors.
    pub fn from_client(client: async_nats::Client) -> Self {
        Self::builder().from_client(client)
    }

    /// The NATS client underneath.
    pub fn client(&self) -> &async_nats::Client {
        &self.inner.client
    }

    /// What has happened on the connection so far: violations, dropped messages, reconnects.
    pub fn counters(&self) -> Counters {
        self.inner.events.counters()
    }

    /// The id that this bridge writes as `senderId` unless told otherwise.
    pub fn sender_id(&self) -> &str {
        &self.inner.sender_id
    }

    /// The most bytes that the connected server takes in one message, headers included, as it last said.
    /// `None` if it named no limit.
    pub fn max_payload(&self) -> Option<usize> {
        Some(self.inner.client.max_payload()).filter(|&bytes| bytes > 0)
    }

    /// Waits until the server has processed everything that was sent before: a real round trip on the same connection.
    ///
    /// Refusals of single messages are not reported here, but counted in [`counters`](Self::counters).
    ///
    /// # Errors
    /// [`Unconfirmed`](crate::ErrorKind::Unconfirmed) if it does not come back in time (default 10 s), or if the
    /// connection was replaced since the last flush, which loses what the client had buffered; [`Disconnected`](
    /// crate::ErrorKind::Disconnected) if the client has given up.
    pub async fn flush(&self) -> Result<()> {
        confirm::flush(&self.inner).await
    }

    /// Ends in good order: uploads of abandoned sends are deleted, what was sent is flushed to the server, and where the connection is the bridge's own its
    /// subscriptions are drained and it is closed.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); the connection is closed all the same.
    pub async fn drain(&self) -> Result<()> {
        confirm::drain(&self.inner).await
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("broker_url", &self.inner.broker_url)
            .field("sender_name", &self.inner.sender_name)
            .field("dialect", &self.inner.dialect)
            .field("store", &self.inner.store)
            .field("policy", self.inner.downloads.policy())
            .finish_non_exhaustive()
    }
}
