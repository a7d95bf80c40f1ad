//! HTTP/1.1 for links: one connection for each transfer, deadlines, no retries, no redirects.

mod connect;
mod exchange;
mod status;

use std::time::Duration;

pub(super) use exchange::{Client, Reply, Request, RequestBody};
pub(super) use status::{Direction, snippet, status_error};

use super::http_store::Uploading;
use super::origin::Origin;
use super::store::{BoxFuture, Download, LinkStore, Upload, Uploaded};
use super::tls::TlsOptions;
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

/// Any HTTP server: downloads with GET, and uploads with PUT or POST where it is said where to.
///
/// As it is made it only downloads, for a receiver that allows an origin and uploads nothing: it names no origins of its
/// own, so the receiver's [`Policy`](super::Policy) alone says where links may point. Uploads go to URLs made of a template
/// ([`upload_to`](Self::upload_to): a WebDAV folder), or of a function ([`upload_signed`](Self::upload_signed): presigned URLs).
/// They are streamed, of exact length where it is known and in chunks where it is not; 200, 201 and 204 are success, and
/// the stored length is [checked](Self::check_length).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use natsbridge::link::{HttpStore, HttpTimeouts};
///
/// let downloads = HttpStore::new().timeouts(HttpTimeouts::default());
/// let webdav = HttpStore::new()
///     .upload_to("https://dav.example/links/{id}-{name}")?
///     .basic_auth("ada", "password")
///     .lifetime(Duration::from_secs(86_400)); // a cron job on the server deletes what is older
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct HttpStore {
    pub(super) client: Client,
    pub(super) uploading: Uploading,
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

    /// Sets whom to trust, and which client certificate to show, where a server speaks `https`.
    #[must_use]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.client.set_tls(options);
        self
    }
}

impl LinkStore for HttpStore {
    fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
        Box::pin(self.put(upload))
    }

    fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.remove(handle))
    }

    fn origins(&self) -> Vec<Origin> {
        self.own_origins()
    }

    fn download<'a>(&'a self, url: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
        Box::pin(download(&self.client, url, self.authorization(url.origin())))
    }

    fn max_url_len(&self, name: &str) -> usize {
        self.max_link_len(name)
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
