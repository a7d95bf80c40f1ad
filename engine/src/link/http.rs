//! HTTP/1.1 for links: one connection for each transfer, deadlines, no retries, no redirects.

mod connect;
mod exchange;
mod status;

use std::time::Duration;

pub(super) use exchange::{Client, Reply, Request, RequestBody};
pub(super) use status::{Direction, snippet, status_error};

use super::store::{BoxFuture, Download, LinkStore, Upload, Uploaded};
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

/// How long each stage of a transfer may take. Every time-out error says which of these it was.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use natsbridge::link::HttpTimeouts;
///
/// let timeouts = HttpTimeouts::default().idle(Duration::from_secs(5)).total(Duration::from_secs(60));
/// assert_eq!(timeouts.connect, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpTimeouts {
    /// Resolving the name, connecting, and the TLS handshake. Default 5 s.
    pub connect: Duration,
    /// From the last byte of the request to the head of the answer. Default 30 s.
    pub first_byte: Duration,
    /// Between two pieces of a body, sent or received. Default 30 s.
    pub idle: Duration,
    /// From the start to the last byte, for each transfer. Default none.
    pub total: Option<Duration>,
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            total: None,
        }
    }
}

impl HttpTimeouts {
    /// Sets [`connect`](Self::connect).
    #[must_use]
    pub fn connect(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// Sets [`first_byte`](Self::first_byte).
    #[must_use]
    pub fn first_byte(mut self, limit: Duration) -> Self {
        self.first_byte = limit;
        self
    }

    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// Sets [`total`](Self::total).
    #[must_use]
    pub fn total(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.total = limit.into();
        self
    }
}

/// A store that only downloads: for a receiver that allows an origin and uploads nothing.
///
/// It names no origins of its own, so the receiver's [`Policy`](super::Policy) alone says where links may point.
///
/// # Examples
/// ```
/// use natsbridge::link::{HttpStore, HttpTimeouts};
///
/// let store = HttpStore::new().timeouts(HttpTimeouts::default());
/// ```
#[derive(Debug, Default)]
pub struct HttpStore {
    client: Client,
}

impl HttpStore {
    /// A store with the default time-outs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long each stage of a download may take.
    #[must_use]
    pub fn timeouts(mut self, timeouts: HttpTimeouts) -> Self {
        self.client.set_timeouts(timeouts);
        self
    }
}

impl LinkStore for HttpStore {
    fn upload(&self, _upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
        Box::pin(async { Err(Error::new(ErrorKind::Misuse, "this store only downloads")) })
    }

    fn download<'a>(&'a self, url: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
        Box::pin(download(&self.client, url, None))
    }

    fn max_url_len(&self, _name: &str) -> usize {
        // Nothing is ever uploaded, so this is never counted with; the longest URL keeps the promise all the same.
        LinkUrl::MAX_LEN
    }
}

/// Starts a download: 200 and nothing else, with the bytes as they are.
pub(super) async fn download(
    client: &Client,
    url: &LinkUrl,
    authorization: Option<&str>,
) -> Result<Download> {
    let request = Request::get(url).header("authorization", authorization);
    let reply = client.send(request, Direction::Download).await?;
    if reply.status() != 200 {
        return Err(status_error(Direction::Download, url.origin(), &reply, None));
    }
    let plain = |encoding: &str| matches!(encoding.trim(), "" | "identity");
    if !reply.header_values("content-encoding").all(|encoding| plain(&encoding.to_ascii_lowercase())) {
        let origin = url.origin();
        return Err(Error::new(
            ErrorKind::LinkRejected,
            format!("{origin} sent the file in a Content-Encoding that was not asked for"),
        ));
    }
    Ok(reply.into_download())
}
