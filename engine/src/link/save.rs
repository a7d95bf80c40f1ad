//! Bytes into a file that appears whole and verified, or not at all.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use super::partial::{Partial, sweep_once};
use super::transfer::{Proof, Step, Transfer};
use crate::{Error, ErrorKind, Result};

/// How much is collected before it is written. Twice as much is held at most: one piece fills while the other is written.
/// 512 KiB (chosen): fewer, larger writes are no faster.
const PIECE: usize = 512 * 1024;

/// What a saved download holds at most, beside its connection.
pub(crate) const MEMORY: u64 = 2 * PIECE as u64;

/// Where to save, and what if there is a file already.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) taken: Taken,
}

/// What to do where the path is taken.
#[derive(Clone)]
pub(crate) enum Taken {
    Replace,
    Fail,
    /// Ask for other paths, with 1, 2 and so on, until one is free.
    Next(Arc<dyn Fn(u64) -> PathBuf + Send + Sync>),
}

impl Target {
    /// Puts the file in its place, which is returned. Blocks.
    fn take(self, mut partial: Partial) -> io::Result<PathBuf> {
        let Taken::Next(next) = self.taken else {
            refuse_non_file(&self.path)?;
            partial.publish(&self.path, matches!(self.taken, Taken::Fail))?;
            return Ok(self.path);
        };
        let mut path = self.path;
        for number in 1.. {
            match partial.publish(&path, true) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => path = next(number),
                outcome => return outcome.map(|()| path),
            }
        }
        // After 2^64 of them.
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Saves a download. Nothing is at the path before the verdict, and nothing is left behind without one.
pub(crate) async fn save(mut transfer: Transfer<'_>, target: &Target) -> Result<(Proof, PathBuf)> {
    let mut writer = Writer::create(target).await?;
    loop {
        match transfer.next().await? {
            Step::Start { .. } => writer.restart().await?,
            Step::Chunk(chunk) => writer.write(&chunk).await?,
            Step::End(proof) => {
                return Ok((proof, writer.publish(target).await?));
            }
        }
    }
}

/// Saves bytes that are there already, in the same manner.
pub(crate) async fn save_bytes(bytes: &[u8], target: &Target) -> Result<PathBuf> {
    let mut writer = Writer::create(target).await?;
    writer.write(bytes).await?;
    writer.publish(target).await
}

/// Writes on blocking threads, a piece at a time.
struct Writer {
    partial: Partial,
    piece: Vec<u8>,
    /// The write under way; it gives its piece back, empty.
    writing: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl Writer {
    async fn create(target: &Target) -> Result<Self> {
        // A path without a folder in front is in the current one.
        let folder = match target.path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        if target.path.file_name().is_none() {
            return Err(Error::new(ErrorKind::Misuse, "the path to save to names no file"));
        }
        let path = target.path.clone();
        let fixed = !matches!(target.taken, Taken::Next(_));
        let partial = blocking("create a file to save a payload in", move || {
            // Said before anything is fetched.
            if fixed {
                refuse_non_file(&path)?;
            }
            sweep_once(&folder);
            Partial::create(&folder)
        });
        Ok(Self { partial: partial.await?, piece: Vec::new(), writing: None })
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.piece.capacity() == 0 {
                self.piece.reserve_exact(bytes.len().clamp(64 * 1024, PIECE));
            } else if self.piece.len() == self.piece.capacity() && self.piece.capacity() < PIECE {
                self.piece.reserve_exact(PIECE - self.piece.len());
            }
            let taken = bytes.len().min(self.piece.capacity().min(PIECE) - self.piece.len());
            self.piece.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.piece.len() >= PIECE {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Waits for the write under way and begins the next one.
    async fn flush(&mut self) -> Result<()> {
        let empty = self.written().await?;
        let piece = mem::replace(&mut self.piece, empty);
        let file = Arc::clone(self.partial.file());
        self.writing = Some(spawn_blocking(move || write_piece(&file, piece)));
        Ok(())
    }

    /// Waits for the write under way; an empty piece.
    async fn written(&mut self) -> Result<Vec<u8>> {
        let Some(writing) = &mut self.writing else { return Ok(Vec::new()) };
        let outcome = writing.await;
        self.writing = None;
        outcome.map_err(failed_task)?.map_err(|error| failed("write the payload to its file", error))
    }

    /// Forgets what was written.
    async fn restart(&mut self) -> Result<()> {
        self.piece.clear();
        if self.writing.is_none() && self.piece.capacity() == 0 {
            // Nothing was written yet.
            return Ok(());
        }
        self.written().await?;
        let file = Arc::clone(self.partial.file());
        blocking("empty the file of a payload", move || {
            file.set_len(0)?;
            (&*file).rewind()
        })
        .await
    }

    async fn publish(mut self, target: &Target) -> Result<PathBuf> {
        if !self.piece.is_empty() {
            self.flush().await?;
        }
        self.written().await?;
        let (partial, target) = (self.partial, target.clone());
        blocking("put the file of a payload in its place", move || target.take(partial)).await
    }
}

/// Only a file, or a link to whatever it may be, is replaced: never a device, a pipe or a folder.
fn refuse_non_file(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() && !there.is_symlink() => {
            Err(io::Error::other("the path is that of a device, a pipe or a socket"))
        }
        // Whatever else is wrong with it will show.
        _ => Ok(()),
    }
}

fn write_piece(mut file: &File, mut piece: Vec<u8>) -> io::Result<Vec<u8>> {
    file.write_all(&piece)?;
    piece.clear();
    Ok(piece)
}

/// Does what may block where it may.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.map_err(failed_task)?.map_err(|error| failed(what, error))
}

fn failed(what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::SaveFailed, format!("cannot {what}")).with_source(error)
}

fn failed_task(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::SaveFailed, "the runtime ended while a file was being written").with_source(error)
}
