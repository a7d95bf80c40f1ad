//! Downloading: retries, limits and verification, for any store.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use super::buffer::AlignedBuf;
use super::retry::Retry;
use super::store::LinkStore;
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Limits, Result};

/// What the message says about the bytes behind a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expected {
    /// The length in bytes; `None` and 0 both mean that it is not known.
    pub size: Option<u64>,
    /// The SHA-256 of the bytes.
    pub sha256: Option<[u8; 32]>,
}

impl Expected {
    /// Nothing is known.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Sets the length in bytes; 0 means that it is not known.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Sets the SHA-256 of the bytes.
    #[must_use]
    pub fn sha256(mut self, digest: [u8; 32]) -> Self {
        self.sha256 = Some(digest);
        self
    }

    fn known_size(&self) -> Option<u64> {
        self.size.filter(|&size| size != 0)
    }
}

/// How much is proved about the bytes of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verified {
    /// Their SHA-256 is the one in the message.
    Digest,
    /// Their number is the one in the message.
    Length,
    /// The message says neither; HTTP alone says that they are complete.
    Unverified,
}

/// How to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchOptions {
    /// When to try again.
    pub retry: Retry,
    /// The most bytes to take. Default 1 GiB, as in [`Limits::download_len`].
    pub max_len: u64,
    /// Whether to refuse, unfetched, what can be verified neither by digest nor by length. Default no.
    pub refuse_unverified: bool,
    /// Spreads the retries of many receivers; see [`Retry::delay`]. Default 0.
    pub seed: u64,
    /// The most time for all tries and waits together. Default none.
    pub total: Option<Duration>,
    /// The address of the first byte is a multiple of this, which is rounded up to a power of two of at most 4,096.
    /// Default 64, which Arrow tables are read in place with.
    pub align: usize,
    /// Whether to compute the SHA-256 even if none is expected. Default no: it costs about 1 ms for each MB.
    pub hash: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            max_len: Limits::default().download_len,
            refuse_unverified: false,
            seed: 0,
            total: None,
            align: 64,
            hash: false,
        }
    }
}

impl FetchOptions {
    /// Sets [`retry`](Self::retry).
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets [`max_len`](Self::max_len), in bytes.
    #[must_use]
    pub fn max_len(mut self, bytes: u64) -> Self {
        self.max_len = bytes;
        self
    }

    /// Sets [`refuse_unverified`](Self::refuse_unverified).
    #[must_use]
    pub fn refuse_unverified(mut self, refuse: bool) -> Self {
        self.refuse_unverified = refuse;
        self
    }

    /// Sets [`seed`](Self::seed).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets [`total`](Self::total).
    #[must_use]
    pub fn total(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.total = limit.into();
        self
    }

    /// Sets [`align`](Self::align), in bytes.
    #[must_use]
    pub fn align(mut self, bytes: usize) -> Self {
        self.align = bytes;
        self
    }

    /// Sets [`hash`](Self::hash).
    #[must_use]
    pub fn hash(mut self, hash: bool) -> Self {
        self.hash = hash;
        self
    }
}

/// A complete download.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fetched {
    /// The bytes, aligned as asked.
    pub bytes: Bytes,
    /// How much is proved about them.
    pub verified: Verified,
    /// Whether the message's `size` is wrong although the digest is right.
    pub size_mismatch: bool,
    /// How often it was tried, the last time included.
    pub attempts: u32,
    /// Their SHA-256, if it was expected or asked for.
    pub sha256: Option<[u8; 32]>,
}

/// Fetches what is behind a link, tries again where that can help, and verifies it.
///
/// The link's origin is not checked here: ask a [`Policy`](super::Policy) first. Nothing is handed over before its length
/// and digest are verified. Memory grows with what arrives, not with what is announced. Dropping the future ends the
/// transfer.
///
/// # Errors
/// Tried again, then returned with [`attempts`](Error::attempts): [`Network`](ErrorKind::Network),
/// [`TimedOut`](ErrorKind::TimedOut), [`LinkUnavailable`](ErrorKind::LinkUnavailable), and
/// [`LinkTruncated`](ErrorKind::LinkTruncated) for fewer bytes than announced or than `size`.
///
/// Returned at once: [`LinkGone`](ErrorKind::LinkGone), [`LinkRejected`](ErrorKind::LinkRejected);
/// [`LinkTooLong`](ErrorKind::LinkTooLong) for more bytes than `size` where no digest says that they are right;
/// [`DigestMismatch`](ErrorKind::DigestMismatch); [`LimitExceeded`](ErrorKind::LimitExceeded) above
/// [`max_len`](FetchOptions::max_len), which a `size` in the message or a Content-Length is enough for;
/// [`LinkUnverified`](ErrorKind::LinkUnverified) if unverified links are switched off.
///
/// # Examples
/// ```
/// use natsbridge::link::{Expected, FetchOptions, HandlerStore, LinkUrl, Verified, fetch};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = HandlerStore::new().on_download(|_url| async { Ok("hello".into()) });
/// let url = LinkUrl::parse("http://files/1")?;
/// let fetched = fetch(&store, &url, &Expected::nothing().size(5), &FetchOptions::default()).await?;
/// assert_eq!(fetched.bytes, "hello");
/// assert_eq!(fetched.verified, Verified::Length);
/// # Ok::<_, natsbridge::Error>(())
/// # }).unwrap();
/// ```
pub async fn fetch(
    store: &dyn LinkStore,
    url: &LinkUrl,
    expected: &Expected,
    options: &FetchOptions,
) -> Result<Fetched> {
    let span = tracing::debug_span!("download", origin = %url.origin());
    fetch_with_retries(store, url, expected, options).instrument(span).await
}

async fn fetch_with_retries(
    store: &dyn LinkStore,
    url: &LinkUrl,
    expected: &Expected,
    options: &FetchOptions,
) -> Result<Fetched> {
    if options.refuse_unverified && expected.sha256.is_none() && expected.known_size().is_none() {
        return Err(Error::new(
            ErrorKind::LinkUnverified,
            "the message gives neither a size nor a digest for its link, and unverified links are refused",
        ));
    }
    if let Some(size) = expected.known_size() {
        check_limit(size, options)?;
    }
    // A total too long for the clock is no limit.
    let deadline = options.total.and_then(|total| Instant::now().checked_add(total));
    let mut attempts = 0u32;
    loop {
        attempts = attempts.saturating_add(1);
        let attempt = Box::pin(fetch_once(store, url, expected, options));
        let outcome = match deadline {
            Some(deadline) => {
                timeout_at(deadline, attempt).await.unwrap_or_else(|_| Err(out_of_time(options)))
            }
            None => attempt.await,
        };
        let error = match outcome {
            Ok(fetched) => return Ok(Fetched { attempts, ..fetched }),
            Err(error) => error,
        };
        let wait = match options.retry.delay(attempts, options.seed, error.retry_after()) {
            Some(wait) if error.is_retryable() => wait,
            _ => return Err(error.with_attempts(attempts)),
        };
        // A wait that cannot end in time is pointless: better the real error now than a time-out later.
        if deadline.is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) <= wait) {
            return Err(error.with_attempts(attempts));
        }
        tracing::debug!(attempts, wait_ms = wait.as_millis() as u64, kind = %error.kind(), "trying again");
        sleep(wait).await;
    }
}

/// One try, verified.
async fn fetch_once(
    store: &dyn LinkStore,
    url: &LinkUrl,
    expected: &Expected,
    options: &FetchOptions,
) -> Result<Fetched> {
    let size = expected.known_size();
    // With a digest a wrong size is only reported, so it bounds nothing.
    let exact_size = if expected.sha256.is_none() { size } else { None };

    let mut download = store.download(url).await?;
    let announced = download.length();
    if let Some(announced) = announced {
        check_limit(announced, options)?;
        // No need to read a body that cannot be right.
        check_size(announced, exact_size)?;
    }

    let mut buffer = AlignedBuf::new(announced.or(size).unwrap_or(0), options.align)?;
    let mut hasher = (options.hash || expected.sha256.is_some()).then(Sha256::new);
    let mut received = 0u64;
    while let Some(chunk) = download.chunk().await? {
        received += chunk.len() as u64;
        check_limit(received, options)?;
        if let Some(most) = exact_size.or(announced).filter(|&most| received > most) {
            return Err(too_long(received, most));
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&chunk);
        }
        buffer.extend(&chunk)?;
    }
    if let Some(announced) = announced.filter(|&announced| received < announced) {
        return Err(truncated(received, announced));
    }

    let sha256: Option<[u8; 32]> = hasher.map(|hasher| hasher.finalize().into());
    let verified = match expected.sha256 {
        Some(digest) if sha256 == Some(digest) => Verified::Digest,
        Some(_) => {
            // Too short as well: then it is a file cut short, which another try may bring whole.
            if let Some(size) = size.filter(|&size| received < size) {
                return Err(truncated(received, size));
            }
            return Err(Error::new(
                ErrorKind::DigestMismatch,
                format!("the {received} bytes behind the link are complete but not those that were sent"),
            ));
        }
        None => {
            check_size(received, exact_size)?;
            if size.is_some() { Verified::Length } else { Verified::Unverified }
        }
    };
    Ok(Fetched {
        bytes: buffer.into_bytes(),
        verified,
        size_mismatch: size.is_some_and(|size| size != received),
        attempts: 1,
        sha256,
    })
}

fn check_limit(len: u64, options: &FetchOptions) -> Result<()> {
    if len > options.max_len {
        return Err(Error::new(ErrorKind::LimitExceeded, "the file behind the link is larger than allowed")
            .with_size(len, options.max_len));
    }
    Ok(())
}

fn check_size(len: u64, size: Option<u64>) -> Result<()> {
    match size {
        Some(size) if len < size => Err(truncated(len, size)),
        Some(size) if len > size => Err(too_long(len, size)),
        _ => Ok(()),
    }
}

fn truncated(received: u64, promised: u64) -> Error {
    Error::new(ErrorKind::LinkTruncated, format!("{received} bytes instead of {promised}"))
}

fn too_long(received: u64, promised: u64) -> Error {
    Error::new(ErrorKind::LinkTooLong, format!("at least {received} bytes instead of {promised}"))
}

fn out_of_time(options: &FetchOptions) -> Error {
    let total = options.total.unwrap_or_default();
    Error::new(ErrorKind::TimedOut, format!("the download did not end within the total of {total:?}"))
}
