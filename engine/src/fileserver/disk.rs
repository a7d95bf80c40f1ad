//! A file on its way to the disk: written, and its MD5 computed, batch by batch on threads that may block.
//!
//! The connection reads on meanwhile, so a transfer takes as long as the slowest of network, digest and disk, and not as
//! long as the three together. Between two batches no thread is held, however slow the client is.

use std::fs;
use std::io::{self, Write as _};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::task::JoinHandle;

use super::storage::ensure_dir;

/// Chosen: a batch takes about half a millisecond, far longer than it takes to wake a thread. A file holds two of them in
/// memory, and a chunk.
const BATCH: usize = 256 * 1024;

/// A file that is being written. Dropped before it is finished, it is deleted.
#[derive(Debug)]
pub(super) struct DiskFile {
    writer: Writer,
    batch: Vec<Bytes>,
    batch_len: usize,
    path: PathBuf,
    /// Set when nobody wants the file any more: a batch that is on its way then deletes it, for it may be the one that
    /// creates it.
    abandoned: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Writer {
    Idle(Open),
    Busy(JoinHandle<io::Result<Open>>),
    /// It has failed, or has finished.
    Gone,
}

#[derive(Debug, Default)]
struct Open {
    /// None before the first batch.
    file: Option<fs::File>,
    md5: Md5,
}

impl DiskFile {
    /// A file for `path`, which is below its own folder. Nothing is created before the first batch.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            writer: Writer::Idle(Open::default()),
            batch: Vec::new(),
            batch_len: 0,
            path,
            abandoned: Arc::default(),
        }
    }

    /// Takes the next bytes of the file.
    pub(super) async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.batch_len += chunk.len();
        self.batch.push(chunk);
        if self.batch_len < BATCH { Ok(()) } else { self.flush().await }
    }

    /// Waits until everything is written; the MD5 of the whole.
    pub(super) async fn finish(&mut self) -> io::Result<[u8; 16]> {
        self.flush().await?;
        let open = self.idle().await?;
        Ok(open.md5.finalize().into())
    }

    /// Hands the batch on, once the one before it is done.
    async fn flush(&mut self) -> io::Result<()> {
        let mut open = self.idle().await?;
        let batch = mem::take(&mut self.batch);
        self.batch_len = 0;
        let (path, abandoned) = (self.path.clone(), Arc::clone(&self.abandoned));
        self.writer = Writer::Busy(tokio::task::spawn_blocking(move || {
            let written = open.write(&batch, &path);
            if abandoned.load(Ordering::SeqCst) {
                let _ = fs::remove_file(path);
            }
            written.map(|()| open)
        }));
        Ok(())
    }

    /// The writer between two batches.
    async fn idle(&mut self) -> io::Result<Open> {
        if let Writer::Busy(batch) = &mut self.writer {
            // Awaited in place: whoever stops waiting has not lost it.
            let open = batch.await.map_err(io::Error::other).flatten();
            self.writer = Writer::Gone;
            return open;
        }
        match mem::replace(&mut self.writer, Writer::Gone) {
            Writer::Idle(open) => Ok(open),
            _ => Err(io::Error::other("the file has failed already")),
        }
    }
}

impl Open {
    fn write(&mut self, batch: &[Bytes], path: &std::path::Path) -> io::Result<()> {
        if self.file.is_none() {
            // Not `create_dir_all`: when the whole folder is gone, the server is shutting down.
            ensure_dir(path.parent().unwrap_or(path))?;
            self.file = Some(fs::File::create_new(path)?);
        }
        for chunk in batch {
            self.md5.update(chunk);
            if let Some(file) = &mut self.file {
                file.write_all(chunk)?;
            }
        }
        Ok(())
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        if !matches!(self.writer, Writer::Gone) {
            self.abandoned.store(true, Ordering::SeqCst);
            let _ = fs::remove_file(&self.path);
        }
    }
}
