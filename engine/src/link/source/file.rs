//! Reading a file on a thread that may block, a few pieces ahead of who sends them, and hashing it there.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::{PIECE_LEN, Pieces, failed};
use crate::{Error, ErrorKind, Result};

/// Pieces that wait to be sent. With the one being read, the one being sent and those that the connection holds, that is
/// eight at most.
const AHEAD: usize = 3;

/// Where the digest goes once the last byte was read.
pub(crate) type DigestTask = oneshot::Sender<[u8; 32]>;

/// What is known of a file before it is opened.
pub(super) enum Measured {
    /// It can be opened again. Without a length if it says that it is empty: files of `/proc` say so.
    Regular(Option<u64>),
    Device,
}

pub(super) async fn measure(path: Arc<Path>) -> Result<Measured> {
    let metadata =
        blocking(move || path.metadata()).await?.map_err(|error| unreadable("cannot be opened", error))?;
    if metadata.is_dir() {
        return Err(failed("the file to send is a folder"));
    }
    Ok(if metadata.is_file() {
        Measured::Regular(Some(metadata.len()).filter(|&len| len > 0))
    } else {
        Measured::Device
    })
}

/// Opens a file and starts to read it. `len` is what it must have, `digest` where to send its SHA-256.
pub(crate) async fn open(
    path: Arc<Path>,
    len: Option<u64>,
    digest: Option<DigestTask>,
) -> Result<FilePieces> {
    let opened = blocking(move || {
        let file = File::open(&path)?;
        let now = file.metadata()?;
        Ok::<_, io::Error>((file, now.is_file().then_some(now.len())))
    });
    let (file, now) = opened.await?.map_err(|error| unreadable("cannot be opened", error))?;
    if let (Some(len), Some(now)) = (len, now)
        && len != now
    {
        return Err(changed(len, now));
    }
    let (sender, pieces) = mpsc::channel(AHEAD);
    spawn_blocking(move || {
        if let Err(error) = read(file, len, &sender, digest) {
            // Whoever has gone away needs no error.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Ok(FilePieces { pieces })
}

/// The receiving end.
pub(crate) struct FilePieces {
    pieces: mpsc::Receiver<Result<Bytes>>,
}

impl Pieces for FilePieces {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        self.pieces.poll_recv(cx)
    }
}

/// Reads to the end. Each piece is handed over before it is hashed, so that it is on its way meanwhile; the last one only
/// when it is sure that it is the last.
fn read(
    mut file: File,
    len: Option<u64>,
    pieces: &mpsc::Sender<Result<Bytes>>,
    digest: Option<DigestTask>,
) -> Result<()> {
    let pool = Pool::default();
    let mut hasher = digest.is_some().then(Sha256::new);
    let mut done = 0u64;
    loop {
        let mut buffer = pool.take();
        let filled = fill(&mut file, &mut buffer).map_err(|error| unreadable("cannot be read", error))?;
        done += filled as u64;
        if let Some(len) = len {
            let ended = filled < buffer.len();
            let more = done > len || (done == len && !ended && !at_end(&mut file)?);
            if more || (ended && done < len) {
                return Err(changed(len, if more { done.max(len + 1) } else { done }));
            }
        }
        let last = filled < buffer.len() || len == Some(done);
        if filled > 0 {
            let piece = pool.lend(buffer, filled);
            let hashed = hasher.is_some().then(|| piece.clone());
            if pieces.blocking_send(Ok(piece)).is_err() {
                return Ok(()); // nobody wants the rest
            }
            if let (Some(hasher), Some(piece)) = (&mut hasher, hashed) {
                hasher.update(&piece);
            }
        }
        if last {
            if let (Some(hasher), Some(digest)) = (hasher, digest) {
                let _ = digest.send(hasher.finalize().into());
            }
            return Ok(());
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn at_end(file: &mut File) -> Result<bool> {
    fill(file, &mut [0]).map(|count| count == 0).map_err(|error| unreadable("cannot be read", error))
}

fn unreadable(what: &str, error: io::Error) -> Error {
    // The path is the caller's own and stays out of errors that travel.
    failed(format!("the file to send {what}")).with_source(error)
}

fn changed(len: u64, now: u64) -> Error {
    let how = if now > len { "at least " } else { "" };
    failed(format!(
        "the file to send changed while it was read: {len} bytes were expected, {how}{now} are there"
    ))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Bug, "a reading task did not finish").with_source(error))
}

/// Buffers that come back once their piece was sent: fresh memory for each would cost more than reading into it.
#[derive(Clone, Default)]
struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| vec![0; PIECE_LEN])
    }

    fn lend(&self, buffer: Vec<u8>, len: usize) -> Bytes {
        Bytes::from_owner(Lent { buffer, pool: self.clone() }).slice(..len)
    }
}

struct Lent {
    buffer: Vec<u8>,
    pool: Pool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Source;

    #[tokio::test]
    async fn a_regular_file_can_be_read_again_even_if_it_says_that_it_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let [empty, full] = ["empty", "full"].map(|name| folder.path().join(name));
        std::fs::write(&empty, "").unwrap();
        std::fs::write(&full, "abc").unwrap();
        for (path, len, repeatable) in [
            (empty.as_path(), None, true),
            (full.as_path(), Some(3), true),
            ("/proc/self/status".as_ref(), None, true),
            ("/dev/null".as_ref(), None, false),
        ] {
            let mut source = Source::file(path);
            source.measure().await.unwrap();
            assert_eq!((source.known_len(), source.is_repeatable()), (len, repeatable), "{path:?}");
        }
    }
}
