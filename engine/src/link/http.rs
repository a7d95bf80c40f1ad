//! HTTP/1.1 for links: one connection for each transfer, deadlines, no retries, no redirects.

mod connect;
mod dial;
mod exchange;
mod status;
mod words;

use std::sync::Arc;
use std::time::Duration;

pub use dial::Dialer;
pub(super) use exchange::{Client, Reply, Request, RequestBody};
pub(super) use status::{Direction, status_error};
pub(super) use words::{Words, secrets_of_header};

use super::address::Reach;
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
    /// Bytes a second that an answer's body must bring on average over each [`rate_window`](Self::rate_window); 0 for any
    /// rate. Default 1,024 (chosen): slower than any network that a transfer is worth waiting for on, and a server that
    /// drips a byte at a time would keep all other deadlines for ever.
    pub min_rate: u64,
    /// Over how much waiting the rate is measured. Default 10 s. Silence is a matter of [`idle`](Self::idle) alone: the
    /// rate is judged when bytes have come, and time that the reader of the body takes does not count.
    pub rate_window: Duration,
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            total: None,
            min_rate: 1024,
            rate_window: Duration::from_secs(10),
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

    /// Sets [`min_rate`](Self::min_rate), in bytes a second, and [`rate_window`](Self::rate_window).
    #[must_use]
    pub fn min_rate(mut self, bytes_per_second: u64, window: Duration) -> Self {
        (self.min_rate, self.rate_window) = (bytes_per_second, window);
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
    /// `None` is everywhere.
    reach: Option<Reach>,
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

    /// Connects only to addresses within `reach`, as a [`Policy`](super::Policy) answers it. Default: everywhere, which is
    /// right for origins that the receiver named.
    #[must_use]
    pub fn within(mut self, reach: Reach) -> Self {
        self.reach = Some(reach);
        self
    }

    /// Resolves and connects by other means than the system's.
    #[must_use]
    pub fn dialer(mut self, dialer: impl Dialer) -> Self {
        self.client.set_dialer(Arc::new(dialer));
        self
    }

    fn allowed(&self) -> Reach {
        self.reach.unwrap_or_else(Reach::everywhere)
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
        Box::pin(download(&self.client, url, self.allowed(), self.authorization(url.origin())))
    }

    fn resume<'a>(
        &'a self,
        url: &'a LinkUrl,
        from: u64,
        validator: &'a str,
    ) -> BoxFuture<'a, Result<Download>> {
        Box::pin(resume(&self.client, url, self.allowed(), self.authorization(url.origin()), from, validator))
    }

    fn max_url_len(&self, name: &str) -> usize {
        self.max_link_len(name)
    }
}

/// Starts a download: 200 and nothing else, with the bytes as they are.
pub(super) async fn download(
    client: &Client,
    url: &LinkUrl,
    reach: Reach,
    authorization: Option<&str>,
) -> Result<Download> {
    let request = Request::get(url).within(reach).header("authorization", authorization);
    let reply = client.send(request, Direction::Download).await?;
    match reply.status() {
        200 => file(reply, url, 0),
        _ => Err(status_error(Direction::Download, url.origin(), &reply, None)),
    }
}

/// Asks for what comes after `from` bytes; the whole where the server cannot, or the file is another one now.
pub(super) async fn resume(
    client: &Client,
    url: &LinkUrl,
    reach: Reach,
    authorization: Option<&str>,
    from: u64,
    validator: &str,
) -> Result<Download> {
    let range = format!("bytes={from}-");
    let request = Request::get(url)
        .within(reach)
        .header("authorization", authorization)
        .header("range", Some(&range))
        .header("if-range", Some(validator));
    let reply = client.send(request, Direction::Download).await?;
    match reply.status() {
        200 => file(reply, url, 0),
        206 if is_rest(&reply, from, validator) => file(reply, url, from),
        206 | 416 => {
            drop(reply);
            download(client, url, reach, authorization).await
        }
        _ => Err(status_error(Direction::Download, url.origin(), &reply, None)),
    }
}

/// The body of an answer, with all that its head says about it; `before` it are so many bytes of the file.
fn file(reply: Reply, url: &LinkUrl, before: u64) -> Result<Download> {
    // Chunks are undone on the way; whatever else a server does to the bytes would be taken for the file.
    for (header, plain) in
        [("Content-Encoding", &["", "identity"][..]), ("Transfer-Encoding", &["", "identity", "chunked"])]
    {
        let is_plain = |coding: &str| plain.contains(&coding.trim().to_ascii_lowercase().as_str());
        if !reply.header_values(header).all(|codings| codings.split(',').all(is_plain)) {
            let what = format!("{} sent the file in a {header} that was not asked for", url.origin());
            return Err(Error::new(ErrorKind::LinkRejected, what));
        }
    }
    // A weak tag (`W/"…"`) stands for bytes that are merely as good.
    let validator =
        reply.header("etag").filter(|tag| tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'));
    let validator = validator.filter(|_| reply.header("accept-ranges") != Some("none")).map(str::to_owned);
    let download = reply.into_download(before);
    Ok(match validator {
        Some(validator) => download.with_validator(validator),
        None => download,
    })
}

/// Whether an answer is exactly what comes after `from` bytes of the file that the validator stands for.
fn is_rest(reply: &Reply, from: u64, validator: &str) -> bool {
    let mut ranges = reply.header_values("content-range");
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return false };
    let exact = || {
        let (first, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
        let (last, total) = rest.split_once('/')?;
        let [first, last, total] = [first, last, total].map(digits);
        (first? == from && last? >= from && last? + 1 == total?).then_some(total? - from)
    };
    let same_file = reply.header("etag").is_none_or(|tag| tag == validator);
    same_file && exact().is_some_and(|len| reply.body_len().is_none_or(|body| body == len))
}

/// A number of nothing but digits, and small enough that one more is no overflow.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
