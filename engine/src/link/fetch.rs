//! What to fetch and how; downloading into memory.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tracing::Instrument;

use super::buffer::AlignedBuf;
use super::retry::Retry;
use super::room::Room;
use super::store::LinkStore;
use super::transfer::{Source, Step, Transfer};
use super::url::LinkUrl;
use crate::{Limits, Result};

/// What the message says about the bytes behind a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
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

    pub(super) fn known_size(&self) -> Option<u64> {
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

#[cfg(feature = "nats")]
impl From<Verified> for crate::payload::Verification {
    fn from(verified: Verified) -> Self {
        match verified {
            Verified::Digest => Self::Digest,
            Verified::Length => Self::Length,
            Verified::Unverified => Self::Unverified,
        }
    }
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
#[derive(Clone)]
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

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("len", &self.bytes.len())
            .field("verified", &self.verified)
            .field("size_mismatch", &self.size_mismatch)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Fetches what is behind a link, tries again where that can help, and verifies it.
///
/// The link's origin is not checked here: ask a [`Policy`](super::Policy) first. Nothing is handed over before its length
/// and digest are verified. Memory grows with what arrives, not with what is announced. Dropping the future ends the
/// transfer.
///
/// # Errors
/// Tried again, then returned with [`attempts`](crate::Error::attempts): [`Network`](crate::ErrorKind::Network),
/// [`TimedOut`](crate::ErrorKind::TimedOut), [`LinkUnavailable`](crate::ErrorKind::LinkUnavailable), and
/// [`LinkTruncated`](crate::ErrorKind::LinkTruncated) for fewer bytes than announced or than `size`.
///
/// Returned at once: [`LinkGone`](crate::ErrorKind::LinkGone), [`LinkRejected`](crate::ErrorKind::LinkRejected);
/// [`LinkTooLong`](crate::ErrorKind::LinkTooLong) for more bytes than `size` where no digest says that they are right;
/// [`DigestMismatch`](crate::ErrorKind::DigestMismatch); [`LimitExceeded`](crate::ErrorKind::LimitExceeded) above
/// [`max_len`](FetchOptions::max_len), which a `size` in the message or a Content-Length is enough for;
/// [`LinkUnverified`](crate::ErrorKind::LinkUnverified) if unverified links are switched off.
///
/// A download that breaks off is resumed where the server gave a strong entity tag, and begun again elsewhere.
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
    let transfer = Transfer::new(Source::Borrowed(store), url.clone(), *expected, *options)?;
    let span = tracing::debug_span!("download", origin = %url.origin());
    Box::pin(collect(transfer, options.align, None)).instrument(span).await
}

/// A download into memory, within what all downloads together may take if there is a bound for that.
pub(crate) async fn collect(
    mut transfer: Transfer<'_>,
    align: usize,
    room: Option<&Room>,
) -> Result<Fetched> {
    let mut place = match room {
        Some(room) => {
            let len = transfer.total();
            Some(transfer.wait(room.enter(len)).await?)
        }
        None => None,
    };
    let mut buffer = AlignedBuf::new(0, align)?;
    loop {
        match transfer.next().await? {
            Step::Start { len_hint } => buffer = AlignedBuf::new(len_hint, align)?,
            Step::Chunk(chunk) => {
                if let Some(place) = &mut place {
                    transfer.wait(place.grow((buffer.len() + chunk.len()) as u64)).await?;
                }
                buffer.extend(&chunk)?;
            }
            Step::End(proof) => {
                return Ok(Fetched {
                    bytes: buffer.into_bytes(),
                    verified: proof.verified,
                    size_mismatch: proof.size_mismatch,
                    attempts: proof.attempts,
                    sha256: proof.sha256,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::link::HandlerStore;

    const MIB: u64 = 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn time_spent_waiting_for_memory_counts() {
        let store = HandlerStore::new().on_download(|_| async { Ok(vec![0; 6_000_000].into()) });
        let url = LinkUrl::parse("http://files/1").unwrap();
        let limit = Duration::from_secs(3);
        let options = FetchOptions::default().total(limit);
        // None to begin with; and none to go on with, because somebody else is beyond the bound already.
        for (room, taken) in [(Room::new(MIB), MIB), (Room::new(4 * MIB), 2 * MIB)] {
            let mut other = room.enter(Some(taken)).await;
            other.grow(taken + 100 * MIB).await;
            let transfer =
                Transfer::new(Source::Borrowed(&store), url.clone(), Expected::nothing(), options).unwrap();
            let began = tokio::time::Instant::now();
            let outcome = tokio::time::timeout(limit * 2, collect(transfer, 64, Some(&room))).await;
            assert_eq!(outcome.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(began.elapsed(), limit);
        }
    }
}
