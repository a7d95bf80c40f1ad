//! The bytes of an upload on their way to the store: counted, hashed and reported as they pass, read once.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;

#[cfg(feature = "tokio")]
use super::budget::{Budget, Claim};
use super::ledger::Ledger;
use super::progress::Part;
use super::source::{self, Pieces, Source};
use crate::Result;

/// What a source that is not in memory holds of it at most while it is sent: eight pieces.
#[cfg(feature = "tokio")]
const WINDOW: u64 = 8 * super::PIECE_LEN as u64;

/// The bytes of an upload, from [`Upload::open`](super::Upload::open), in pieces of 1 to 256 KiB.
///
/// With the feature `nats` it is also a `Stream`. Dropping it ends the reading.
pub struct UploadBody {
    pieces: Box<dyn Pieces>,
    len: Option<u64>,
    taken: u64,
    /// The same for whoever has given the body away.
    #[cfg(feature = "plik")]
    counter: Arc<std::sync::atomic::AtomicU64>,
    ended: bool,
    #[cfg(feature = "tokio")]
    digest: Option<hash::Rolling<sha2::Sha256, 32>>,
    #[cfg(feature = "plik")]
    md5: Option<hash::Rolling<md5::Md5, 16>>,
    tap: Option<Arc<Tap>>,
    #[cfg(feature = "tokio")]
    _claim: Option<Claim>,
}

impl UploadBody {
    #[cfg(not(feature = "tokio"))]
    pub(super) async fn open(source: &Source, tap: Option<&Arc<Tap>>) -> Result<Self> {
        let pieces = source.open().await?;
        Ok(Self { pieces, len: source.known_len(), taken: 0, ended: false, tap: tap.cloned() })
    }

    #[cfg(feature = "tokio")]
    pub(super) async fn open(source: &Source, tap: Option<&Arc<Tap>>) -> Result<Self> {
        let len = source.known_len();
        let (claim, mut digest) = match tap {
            Some(tap) => {
                // Bytes in memory are there already.
                let held = if source.memory().is_some() { 0 } else { len.unwrap_or(WINDOW).min(WINDOW) };
                (Some(tap.budget.claim(held).await), Some(tap.begin()))
            }
            None => (None, None),
        };
        let pieces: Box<dyn Pieces> = match (source.file_path(), source.memory()) {
            (Some(path), _) => Box::new(source::open_file(Arc::clone(path), len, digest.take()).await?),
            (None, Some(chunks)) => {
                if let Some(digest) = digest.take() {
                    hash::memory(chunks.to_vec(), digest);
                }
                source.open().await?
            }
            (None, None) => source.open().await?,
        };
        let digest = digest.map(hash::Rolling::new);
        let mut body = Self {
            pieces,
            len,
            taken: 0,
            #[cfg(feature = "plik")]
            counter: Arc::default(),
            ended: false,
            digest,
            #[cfg(feature = "plik")]
            md5: None,
            tap: tap.cloned(),
            _claim: claim,
        };
        if len == Some(0) {
            body.complete();
        }
        Ok(body)
    }

    /// Bytes in all, if that is known; then there are exactly so many, or an error.
    pub fn len(&self) -> Option<u64> {
        self.len
    }

    /// Whether it is known that there are none.
    pub fn is_empty(&self) -> bool {
        self.len == Some(0)
    }

    /// Counts the bytes that have been taken.
    #[cfg(feature = "plik")]
    pub(super) fn counter(&self) -> Arc<std::sync::atomic::AtomicU64> {
        Arc::clone(&self.counter)
    }

    /// Computes the MD5 as well. To be called before anything is read; the answer comes when all has been.
    #[cfg(feature = "plik")]
    pub(super) fn hash_md5(&mut self) -> tokio::sync::oneshot::Receiver<[u8; 16]> {
        let (sender, digest) = tokio::sync::oneshot::channel();
        let mut md5 = hash::Rolling::new(sender);
        if self.len == Some(0) {
            md5.finish();
        }
        self.md5 = Some(md5);
        digest
    }

    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// [`SourceFailed`](crate::ErrorKind::SourceFailed) if the source fails, or has another length than it was said to
    /// have. The upload must fail then, and with this error.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_piece(cx)).await.transpose()
    }

    /// [`next`](Self::next) for those who poll.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        #[cfg(feature = "tokio")]
        if let Some(digest) = &mut self.digest {
            ready!(digest.poll_ready(cx));
        }
        #[cfg(feature = "plik")]
        if let Some(md5) = &mut self.md5 {
            ready!(md5.poll_ready(cx));
        }
        let piece = ready!(self.pieces.poll_piece(cx));
        let outcome = match piece {
            Some(Ok(piece)) => self.pass(&piece).map(|()| Some(piece)),
            Some(Err(error)) => Err(error),
            None => self.end().map(|()| None),
        };
        self.ended = !matches!(outcome, Ok(Some(_)));
        Poll::Ready(outcome.transpose())
    }

    /// Takes a piece into account.
    fn pass(&mut self, piece: &Bytes) -> Result<()> {
        self.taken += piece.len() as u64;
        if let Some(len) = self.len.filter(|&len| self.taken > len) {
            let taken = self.taken;
            return Err(source::failed(format!(
                "there are at least {taken} bytes to send where {len} were announced"
            )));
        }
        #[cfg(feature = "plik")]
        self.counter.store(self.taken, std::sync::atomic::Ordering::Relaxed);
        let last = self.len == Some(self.taken);
        #[cfg(feature = "tokio")]
        if let Some(digest) = &mut self.digest {
            digest.update(piece, last);
        }
        #[cfg(feature = "plik")]
        if let Some(md5) = &mut self.md5 {
            md5.update(piece, last);
        }
        if let Some(part) = self.tap.as_ref().and_then(|tap| tap.progress.as_ref()) {
            part.add(piece.len() as u64);
        }
        // Whoever knows the length may not ask for the end.
        if last {
            self.complete();
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(len) = self.len {
            if self.taken < len {
                let taken = self.taken;
                return Err(source::failed(format!(
                    "there are {taken} bytes to send where {len} were announced"
                )));
            }
            return Ok(());
        }
        self.complete();
        Ok(())
    }

    /// Every byte has passed.
    fn complete(&mut self) {
        #[cfg(feature = "tokio")]
        if let Some(digest) = &mut self.digest {
            digest.finish();
        }
        #[cfg(feature = "plik")]
        if let Some(md5) = &mut self.md5 {
            md5.finish();
        }
        if let Some(tap) = &self.tap {
            tap.complete(self.taken);
        }
    }
}

#[cfg(feature = "nats")]
impl futures_util::Stream for UploadBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        self.poll_piece(cx)
    }
}

impl Drop for UploadBody {
    fn drop(&mut self) {
        if let Some(tap) = &self.tap {
            tap.left();
        }
    }
}

impl fmt::Debug for UploadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadBody")
            .field("len", &self.len)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

/// One attempt to upload something, as its caller sees it.
pub(crate) struct Tap {
    /// Its number among the uploads of the message.
    upload: usize,
    ledger: Arc<Ledger>,
    progress: Option<Arc<Part>>,
    #[cfg(feature = "tokio")]
    budget: Arc<Budget>,
    #[cfg(feature = "tokio")]
    passed: Mutex<Passed>,
}

/// What a store has read of an upload.
#[cfg(feature = "nats")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Summary {
    /// It has not even begun.
    Nothing,
    /// Not all of it.
    Part,
    /// All of it: its length and its SHA-256.
    Whole(u64, [u8; 32]),
}

/// What has passed.
#[cfg(feature = "tokio")]
#[derive(Default)]
struct Passed {
    /// Whether anything was asked for.
    begun: bool,
    /// Bytes in all, once every one has passed.
    len: Option<u64>,
    digest: Option<tokio::sync::oneshot::Receiver<[u8; 32]>>,
}

impl Tap {
    #[cfg(feature = "nats")]
    pub(crate) fn new(
        upload: usize,
        ledger: Arc<Ledger>,
        budget: Arc<Budget>,
        progress: Option<Arc<Part>>,
    ) -> Self {
        if let Some(part) = &progress {
            part.restart();
        }
        Self { upload, ledger, progress, budget, passed: Mutex::default() }
    }

    /// The same for bytes that are only looked at.
    #[cfg(feature = "nats")]
    pub(crate) fn again(&self) -> Arc<Self> {
        Arc::new(Self::new(self.upload, Arc::clone(&self.ledger), Arc::clone(&self.budget), None))
    }

    pub(super) async fn announce(&self, handle: String) -> Result<()> {
        self.ledger.announce(self.upload, handle).await
    }

    /// What the store has read.
    #[cfg(feature = "nats")]
    pub(crate) async fn summary(&self) -> Summary {
        let Passed { begun, len, digest } = std::mem::take(&mut *self.passed());
        let (Some(len), Some(digest)) = (len, digest) else {
            return if begun { Summary::Part } else { Summary::Nothing };
        };
        if let Some(part) = &self.progress {
            part.finished();
        }
        digest.await.map_or(Summary::Part, |sha256| Summary::Whole(len, sha256))
    }

    #[cfg(feature = "tokio")]
    fn begin(&self) -> source::DigestTask {
        let (sender, digest) = tokio::sync::oneshot::channel();
        *self.passed() = Passed { begun: true, len: None, digest: Some(digest) };
        sender
    }

    fn complete(&self, len: u64) {
        #[cfg(feature = "tokio")]
        {
            self.passed().len = Some(len);
        }
        #[cfg(not(feature = "tokio"))]
        let _ = len;
    }

    /// A body is gone. If not all of it has passed, nobody needs its digest.
    fn left(&self) {
        #[cfg(feature = "tokio")]
        {
            let mut passed = self.passed();
            if passed.len.is_none() {
                passed.digest = None;
            }
        }
    }

    #[cfg(feature = "tokio")]
    fn passed(&self) -> std::sync::MutexGuard<'_, Passed> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Digests on threads that may block: a megabyte takes about a millisecond.
#[cfg(feature = "tokio")]
mod hash {
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use bytes::Bytes;
    use sha2::digest::Output;
    use sha2::{Digest, Sha256};
    use tokio::runtime::Handle;
    use tokio::sync::oneshot;
    use tokio::task::{JoinHandle, spawn_blocking};

    use crate::link::source::DigestTask;

    /// Pieces from this length on are hashed elsewhere: handing one over costs as much as hashing a few KiB.
    const WORTH_A_THREAD: usize = 32 * 1024;
    /// How often a long computation looks whether anybody still wants its result.
    const STEP: usize = 1 << 20;

    /// Bytes that are all there are hashed ahead of those who send them.
    pub(super) fn memory(chunks: Vec<Bytes>, digest: DigestTask) {
        let len: usize = chunks.iter().map(Bytes::len).sum();
        let work = move || {
            let mut hasher = Sha256::new();
            for step in chunks.iter().flat_map(|chunk| chunk.chunks(STEP)) {
                if digest.is_closed() {
                    return;
                }
                hasher.update(step);
            }
            let _ = digest.send(hasher.finalize().into());
        };
        if len < WORTH_A_THREAD || Handle::try_current().is_err() {
            work();
        } else {
            spawn_blocking(work);
        }
    }

    /// A digest of bytes that come piece by piece: each is hashed while it is sent.
    pub(super) struct Rolling<D, const N: usize> {
        hasher: Hasher<D>,
        digest: Option<oneshot::Sender<[u8; N]>>,
    }

    enum Hasher<D> {
        Here(D),
        Elsewhere(JoinHandle<D>),
        /// Done, or lost with its thread: then there is no digest.
        Gone,
    }

    impl<D: Digest + Send + 'static, const N: usize> Rolling<D, N>
    where
        Output<D>: Into<[u8; N]>,
    {
        pub(super) fn new(digest: oneshot::Sender<[u8; N]>) -> Self {
            Self { hasher: Hasher::Here(D::new()), digest: Some(digest) }
        }

        /// Waits for the piece before.
        pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            if let Hasher::Elsewhere(task) = &mut self.hasher {
                self.hasher = ready!(Pin::new(task).poll(cx)).map_or(Hasher::Gone, Hasher::Here);
            }
            Poll::Ready(())
        }

        /// To be called when it is ready. The last piece completes the digest.
        pub(super) fn update(&mut self, piece: &Bytes, last: bool) {
            let Hasher::Here(mut hasher) = std::mem::replace(&mut self.hasher, Hasher::Gone) else { return };
            if piece.len() < WORTH_A_THREAD || Handle::try_current().is_err() {
                hasher.update(piece);
                self.hasher = Hasher::Here(hasher);
                return;
            }
            let piece = piece.clone();
            let digest = if last { self.digest.take() } else { None };
            let task = spawn_blocking(move || {
                hasher.update(&piece);
                match digest {
                    Some(digest) => {
                        let _ = digest.send(hasher.finalize().into());
                        D::new()
                    }
                    None => hasher,
                }
            });
            self.hasher = Hasher::Elsewhere(task);
        }

        /// Completes the digest, unless the last piece does.
        pub(super) fn finish(&mut self) {
            if self.digest.is_none() {
                return;
            }
            if let Hasher::Here(hasher) = std::mem::replace(&mut self.hasher, Hasher::Gone)
                && let Some(digest) = self.digest.take()
            {
                let _ = digest.send(hasher.finalize().into());
            }
        }
    }
}
