//! A file on its way to the disk: hashed and written batch by batch, each on a thread that may block.
//!
//! The connection reads on meanwhile, so a transfer takes as long as the slowest of network, digest and disk, and not as
//! long as the three together. Between two batches no thread is held, however slow the client is.

use std::fs;
use std::io::{self, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use md5::{Digest, Md5};
use tokio::task::{JoinHandle, spawn_blocking};

use super::storage::ensure_dir;

/// Chosen: hashing one takes half a millisecond, far longer than waking a thread. A file holds two of them in memory.
const BATCH: usize = 256 * 1024;

/// A file that is being written. Dropped before it is finished, it is deleted.
#[derive(Debug)]
pub(super) struct DiskFile {
    digest: Stage<Md5>,
    /// None before the first batch.
    file: Stage<Option<fs::File>>,
    /// Copied together: a client may send its bytes one by one, and each piece would hold on to far more than itself.
    batch: Vec<u8>,
    path: PathBuf,
    finished: bool,
    /// Set when nobody wants the file any more: a batch that is on its way then deletes it, for it may be the one that
    /// creates it.
    abandoned: Arc<AtomicBool>,
}

impl DiskFile {
    /// A file for `path`, which is below its own folder. Nothing is created before the first batch.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            digest: Stage::Idle(Md5::new()),
            file: Stage::Idle(None),
            batch: Vec::new(),
            path,
            finished: false,
            abandoned: Arc::default(),
        }
    }

    /// Takes the next bytes of the file.
    pub(super) async fn write(&mut self, mut chunk: &[u8]) -> io::Result<()> {
        while let Some((now, rest)) = chunk.split_at_checked(BATCH - self.batch.len()) {
            self.batch.extend_from_slice(now);
            self.flush().await?;
            chunk = rest;
        }
        self.batch.extend_from_slice(chunk);
        Ok(())
    }

    /// Waits until everything is written; the MD5 of the whole.
    pub(super) async fn finish(&mut self) -> io::Result<[u8; 16]> {
        self.flush().await?;
        self.file.idle().await?;
        let digest = self.digest.idle().await?;
        self.finished = true;
        Ok(digest.finalize().into())
    }

    /// Hands the batch on, once the one before it is done.
    async fn flush(&mut self) -> io::Result<()> {
        let batch = Arc::new(mem::replace(&mut self.batch, Vec::with_capacity(BATCH)));

        let mut digest = self.digest.idle().await?;
        let bytes = Arc::clone(&batch);
        self.digest = Stage::Busy(spawn_blocking(move || {
            digest.update(&*bytes);
            Ok(digest)
        }));

        let mut file = self.file.idle().await?;
        let (path, abandoned) = (self.path.clone(), Arc::clone(&self.abandoned));
        self.file = Stage::Busy(spawn_blocking(move || {
            let written = write(&mut file, &path, &batch);
            if abandoned.load(Ordering::SeqCst) {
                let _ = fs::remove_file(path);
            }
            written.map(|()| file)
        }));
        Ok(())
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        if !self.finished {
            self.abandoned.store(true, Ordering::SeqCst);
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What goes from one batch to the next.
#[derive(Debug)]
enum Stage<T> {
    Idle(T),
    Busy(JoinHandle<io::Result<T>>),
    /// It was taken, or has failed.
    Gone,
}

impl<T> Stage<T> {
    /// Waits for the batch that is under way. Whoever stops waiting has lost nothing.
    async fn idle(&mut self) -> io::Result<T> {
        if let Self::Busy(batch) = self {
            let outcome = batch.await.map_err(io::Error::other).flatten();
            *self = Self::Gone;
            return outcome;
        }
        match mem::replace(self, Self::Gone) {
            Self::Idle(there) => Ok(there),
            _ => Err(io::Error::other("the file has failed already")),
        }
    }
}

fn write(file: &mut Option<fs::File>, path: &Path, batch: &[u8]) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => {
            // Not `create_dir_all`: when the whole folder is gone, the server is shutting down.
            ensure_dir(path.parent().unwrap_or(path))?;
            file.insert(fs::File::create_new(path)?)
        }
    };
    file.write_all(batch)
}
