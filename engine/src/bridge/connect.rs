//! Options, and connecting.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::ConnectOptions;
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use uuid::Uuid;

#[cfg(feature = "plik")]
use super::downloads::Plain;
use super::downloads::{DOWNLOAD_BYTES, Downloads};
use super::events::Events;
use super::heavy::Heavy;
use super::log_limit::LogLimit;
use super::receipt::Delivery;
use super::{Bridge, Inner};
use crate::buffers::BufferPool;
use crate::envelope::Dialect;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::link::upload::UploadOptions;
use crate::link::{Budget, CleanupRecord, FetchOptions, LinkStore, Origin, Policy, Retry, cleanup};
#[cfg(feature = "plik")]
use crate::link::{HttpStore, HttpTimeouts, TlsOptions};

/// Options of a [`Bridge`]; each method sets one. Mistakes in them are reported when connecting.
#[derive(Debug)]
#[must_use = "nothing happens before `connect` or `from_client`"]
pub struct BridgeBuilder {
    nats_options: ConnectOptions,
    events: Events,
    store: Option<Arc<dyn LinkStore>>,
    policy: Policy,
    trust_store: bool,
    limits: Limits,
    retry: Retry,
    refuse_unverified: bool,
    download_timeout: Option<Duration>,
    /// Downloads of links that are not the store's.
    #[cfg(feature = "plik")]
    plain: HttpStore,
    parallel_downloads: usize,
    uploads: UploadOptions,
    download_bytes: u64,
    download_cache: u64,
    buffer_bytes: usize,
    dialect: Dialect,
    threshold: Option<u64>,
    sender_name: String,
    sender_id: Option<String>,
    broker_url: String,
    delivery: Delivery,
    confirm_timeout: Duration,
    request_timeout: Duration,
}

impl Default for BridgeBuilder {
    fn default() -> Self {
        Self {
            nats_options: ConnectOptions::new(),
            events: Events::new(),
            store: None,
            policy: Policy::none(),
            trust_store: false,
            limits: Limits::default(),
            retry: Retry::default(),
            refuse_unverified: false,
            download_timeout: Some(DOWNLOAD_TIMEOUT),
            #[cfg(feature = "plik")]
            plain: HttpStore::new(),
            parallel_downloads: 4,
            uploads: UploadOptions::default(),
            download_bytes: DOWNLOAD_BYTES,
            download_cache: 0,
            buffer_bytes: BUFFER_BYTES,
            dialect: Dialect::Camel,
            threshold: None,
            sender_name: "NATSBridge".to_owned(),
            sender_id: None,
            broker_url: String::new(),
            delivery: Delivery::Enqueued,
            confirm_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl BridgeBuilder {
    /// Where large payloads go; links to it may be fetched too. Default: none, and large payloads fail.
    pub fn store(mut self, store: impl LinkStore) -> Self {
        self.store = Some(Arc::new(store));
        self.trust_store = false;
        self
    }

    /// A store whose download function decides itself what it fetches: any link is handed to it, whatever its origin.
    pub fn trusted_store(mut self, store: impl LinkStore) -> Self {
        self = self.store(store);
        self.trust_store = true;
        self
    }

    /// Allows links to one more place. May be called several times. Default: only the store's own.
    pub fn allow_origin(mut self, origin: Origin) -> Self {
        self.policy = self.policy.allow_origin(origin);
        self
    }

    /// What may be fetched beside the store's own links: origins, domains, anything. Replaces what was allowed before.
    ///
    /// # Examples
    /// ```
    /// use natsbridge::Bridge;
    /// use natsbridge::link::Policy;
    ///
    /// let builder = Bridge::builder().policy(Policy::none().allow_domain("example.org")?);
    /// # Ok::<_, natsbridge::Error>(())
    /// ```
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Which spelling of the keys to write. Default [`Dialect::Camel`].
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// From how many raw bytes on a payload travels by link. Default: the dialect's own, 1,000,000 or 500,000.
    pub fn threshold(mut self, bytes: u64) -> Self {
        self.threshold = Some(bytes);
        self
    }

    /// What to write as `senderName`. Default `NATSBridge`.
    pub fn sender_name(mut self, name: impl Into<String>) -> Self {
        self.sender_name = name.into();
        self
    }

    /// What to write as `senderId`. Default: a UUID made for this bridge.
    pub fn sender_id(mut self, id: impl Into<String>) -> Self {
        self.sender_id = Some(id.into());
        self
    }

    /// What to write as `brokerURL`; user, password and token are removed. Default: the server connected to, or nothing
    /// for a client that was handed over.
    pub fn broker_url(mut self, url: impl AsRef<str>) -> Self {
        self.broker_url = without_credentials(url.as_ref());
        self
    }

    /// How far a send goes before it returns. Default [`Delivery::Enqueued`].
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// What received messages may cost. Default [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// When to try a download again. Default 5 retries, from 100 ms up to 5 s apart.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The most time for one download, retries and waiting for memory included. Default one hour (chosen): each step has a
    /// deadline of its own, and this one ends what keeps them all and never comes to an end.
    pub fn download_timeout(mut self, timeout: Duration) -> Self {
        self.download_timeout = Some(timeout);
        self
    }

    /// The deadlines of downloads from other places than the store, which has its own.
    #[cfg(feature = "plik")]
    pub fn http_timeouts(mut self, timeouts: HttpTimeouts) -> Self {
        self.plain = self.plain.timeouts(timeouts);
        self
    }

    /// What fetches links from other places than the store: plain HTTP with the options of this one. It connects to no
    /// address that the [`policy`](Self::policy) does not reach.
    #[cfg(feature = "plik")]
    pub fn http(mut self, http: HttpStore) -> Self {
        self.plain = http;
        self
    }

    /// Whom to trust, and which client certificate to show, in downloads from other places than the store, which has its
    /// own options. Default: the system's authorities, and no certificate.
    #[cfg(feature = "plik")]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.plain = self.plain.tls(options);
        self
    }

    /// How many bytes of memory the downloads in progress may hold together; others wait. Default 64 MiB (chosen). A
    /// payload that is larger than all of it is fetched alone. What a caller keeps of what was fetched does not count.
    pub fn download_bytes(mut self, bytes: u64) -> Self {
        self.download_bytes = bytes;
        self
    }

    /// How many bytes of payloads that were proved by their digest to keep in memory, so that the same payload is fetched
    /// once. Default 0: nothing.
    pub fn download_cache(mut self, bytes: u64) -> Self {
        self.download_cache = bytes;
        self
    }

    /// How many links of one message are fetched at once. Default 4 (chosen).
    pub fn parallel_downloads(mut self, count: usize) -> Self {
        self.parallel_downloads = count.max(1);
        self
    }

    /// When to try an upload again, where its bytes can be read again (see [`Source`](crate::link::Source)). Each try makes a
    /// fresh file, and deletes the one before. Default 5 retries, from 100 ms up to 5 s apart.
    pub fn upload_retry(mut self, retry: Retry) -> Self {
        self.uploads.retry = retry;
        self
    }

    /// The most time for all uploads of one message, retries included. Default 6 hours (chosen: 10 GB at half a megabyte a
    /// second; what stands still is ended much earlier by the store's own deadlines). See `deadline` of a message for a
    /// limit of the whole send.
    pub fn upload_timeout(mut self, timeout: Duration) -> Self {
        self.uploads.total = Some(timeout);
        self
    }

    /// How many uploads run at once in the whole bridge, and how many bytes they hold together in memory beside what was
    /// in memory before: 2 MiB at most each. Others wait for their turn. Default 16 and 64 MiB (chosen).
    pub fn upload_budget(mut self, count: usize, bytes: u64) -> Self {
        self.uploads.budget = Arc::new(Budget::new(count, bytes));
        self
    }

    /// Where uploads are written down before their bytes go out, so that what a killed sender leaves behind can be deleted;
    /// see [`CleanupRecord`]. What an earlier run of this sender has left in a file is deleted now, in the background.
    /// Default: nowhere.
    pub fn upload_record(mut self, record: CleanupRecord) -> Self {
        self.uploads.record = Some(Arc::new(record));
        self
    }

    /// How many bytes of buffers the bridge holds on to, to use them again for messages to come. Default 16 MiB (chosen: a
    /// dozen messages of a stock server's largest size each way); they are allocated as they are needed. With 0 every
    /// message gets memory of its own, which for half a megabyte costs more than all that is done with it.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Refuses links whose message gives neither a size nor a digest. Default: they are fetched and reported as
    /// unverified.
    pub fn refuse_unverified(mut self) -> Self {
        self.refuse_unverified = true;
        self
    }

    /// How long to wait for the server's answer when a delivery or a subscription is confirmed. Default 10 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// How long a request waits for its reply. Default 10 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Options of the NATS client, for [`connect`](Self::connect): credentials, TLS, a name and so on. Its event callback
    /// is replaced by the bridge's own.
    pub fn nats_options(mut self, options: ConnectOptions) -> Self {
        self.nats_options = options;
        self
    }

    /// Where a client that is handed over reports its events; see [`Events`].
    pub fn events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    /// Connects to a NATS server, such as `nats://localhost:4222` (several with commas between them). User and password,
    /// or a token, may stand in the URL: `nats://user:password@host`.
    ///
    /// # Errors
    /// [`ConnectFailed`](ErrorKind::ConnectFailed) if there is no server, [`PermissionDenied`](ErrorKind::PermissionDenied)
    /// if it refuses the credentials, [`Misuse`](ErrorKind::Misuse) for a URL that is none.
    pub async fn connect(mut self, url: impl AsRef<str>) -> Result<Bridge> {
        let url = url.as_ref();
        let servers: Vec<async_nats::ServerAddr> = url
            .split(',')
            .map(|server| {
                // The source would repeat the URL, and with it its password.
                server.trim().parse().map_err(|_| Error::new(ErrorKind::Misuse, "not a NATS server URL"))
            })
            .collect::<Result<_>>()?;
        let options = with_credentials(std::mem::take(&mut self.nats_options), &servers)?;
        let options = options.event_callback(self.events.callback());
        let client = options.connect(servers).await.map_err(|error| {
            use async_nats::ConnectErrorKind as Kind;
            match error.kind() {
                Kind::Authentication | Kind::AuthorizationViolation => {
                    Error::new(ErrorKind::PermissionDenied, "the NATS server refuses the credentials")
                }
                Kind::ServerParse => Error::new(ErrorKind::Misuse, "not a NATS server URL"),
                _ => Error::new(
                    ErrorKind::ConnectFailed,
                    format!("no NATS server answers at {}", without_credentials(url)),
                ),
            }
            .with_source(error)
        })?;
        if self.broker_url.is_empty() {
            self.broker_url = without_credentials(url);
        }
        Ok(self.build(client, true))
    }

    /// Uses a client that is connected already. Options of the NATS client have no effect.
    pub fn from_client(self, client: async_nats::Client) -> Bridge {
        self.build(client, false)
    }

    fn build(self, client: async_nats::Client, owns_client: bool) -> Bridge {
        if let (Some(record), Some(store)) = (self.uploads.record.clone(), self.store.clone()) {
            cleanup::spawn(async move { record.take_up(&*store).await });
        }
        let fetch = FetchOptions {
            retry: self.retry,
            refuse_unverified: self.refuse_unverified,
            total: self.download_timeout,
            ..FetchOptions::default()
        };
        #[cfg(feature = "plik")]
        let plain = Some(over_http(&self.plain, &self.policy));
        #[cfg(not(feature = "plik"))]
        let plain = None;
        let downloads = Downloads::new(self.policy, plain, fetch, &self.limits)
            .store(self.store.clone(), self.trust_store)
            .memory(self.download_bytes, self.download_cache);
        let connects = AtomicU64::new(client.statistics().connects.load(Ordering::Acquire));
        Bridge {
            inner: Arc::new(Inner {
                client,
                owns_client,
                events: self.events,
                store: self.store,
                downloads,
                limits: self.limits,
                heavy: Heavy::new(self.limits.concurrent_decodes),
                broken: LogLimit::default(),
                dialect: self.dialect,
                threshold: self.threshold,
                sender_name: self.sender_name,
                sender_id: self.sender_id.unwrap_or_else(|| Uuid::new_v4().to_string()),
                broker_url: self.broker_url,
                delivery: self.delivery,
                confirm_timeout: self.confirm_timeout,
                request_timeout: self.request_timeout,
                parallel_downloads: self.parallel_downloads,
                uploads: self.uploads,
                buffers: BufferPool::new(self.buffer_bytes),
                confirmations: Semaphore::new(MAX_CONFIRMATIONS),
                published: AtomicBool::new(false),
                connects,
            }),
        }
    }
}

/// What a bridge's buffers hold on to unless the caller says otherwise.
const BUFFER_BYTES: usize = 16 << 20;

/// See `Inner::confirmations`.
const MAX_CONFIRMATIONS: usize = 32;

/// The most time for one download unless the caller says otherwise.
pub(super) const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// Takes user and password, or a token, from the first URL that has them: the client itself does not look there.
fn with_credentials(options: ConnectOptions, servers: &[async_nats::ServerAddr]) -> Result<ConnectOptions> {
    let Some(server) = servers.iter().find(|server| server.has_user_pass()) else { return Ok(options) };
    let decoded = |text: &str| {
        percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| {
            Error::new(ErrorKind::Misuse, "the credentials in the NATS server URL are not valid UTF-8")
        })
    };
    let user = decoded(server.username().unwrap_or_default())?;
    Ok(match server.password() {
        Some(password) => options.user_and_password(user, decoded(password)?),
        None => options.token(user),
    })
}

/// Plain HTTP for what a policy allows.
#[cfg(feature = "plik")]
pub(super) fn over_http(http: &HttpStore, policy: &Policy) -> Plain {
    Plain { named: Arc::new(http.clone()), wide: Arc::new(http.clone().within(policy.reach())) }
}

/// The URL, or the comma-separated URLs, as everybody on the subject may see them.
fn without_credentials(url: &str) -> String {
    let one = |url: &str| {
        let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
        // Whatever stands before the last @ may be part of a password, slashes included.
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let host = rest.split(['?', '#']).next().unwrap_or_default();
        let separator = if scheme.is_empty() { "" } else { "://" };
        format!("{scheme}{separator}{host}")
    };
    url.split(',').map(|url| one(url.trim())).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_get_into_the_broker_url() {
        for (url, expected) in [
            ("nats://localhost:4222", "nats://localhost:4222"),
            ("nats://user:pa@ss@host:4222", "nats://host:4222"),
            ("tls://token@a:1, nats://u:p@b", "tls://a:1,nats://b"),
            ("user:secret@host", "host"),
            ("nats://user:pa/ss@host:4222", "nats://host:4222"),
            ("host:4222", "host:4222"),
            ("ws://u:p@host/path?token=x", "ws://host/path"),
        ] {
            assert_eq!(without_credentials(url), expected);
        }
    }
}
