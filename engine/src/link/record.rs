//! A record of uploads that outlives the process that made them, and the deletion of what crashed senders left behind.

mod file;
mod kv;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::file::FileRecord;
use self::kv::KvRecord;
use super::ledger::UploadRecord;
use super::store::{BoxFuture, LinkStore};
use crate::{Error, ErrorKind, Result};

/// Where a sender writes down what it has on file servers and has not handed over in a message yet.
///
/// A send that fails deletes its uploads itself. A sender that is killed cannot, and leaves them to their lifetime, or for
/// ever where there is none. With a record, [`BridgeBuilder::upload_record`](crate::bridge::BridgeBuilder::upload_record),
/// every upload is written down **before its bytes go out**, and struck out when it was deleted, or just before its
/// message is handed to the NATS client: whatever is in the record of a sender that is gone belongs to no message, and can be
/// deleted. [`collect_file`](Self::collect_file) and [`collect_kv`](Self::collect_kv) do that, and so does the command
/// `natsbridge gc`. (A sender that is killed between the striking out and the publishing leaves a file to its lifetime. The
/// other order would now and then delete what a message refers to.)
///
/// Entries hold what deletes a file, a token as a rule: a record is a secret.
///
/// # Examples
/// ```no_run
/// use natsbridge::{Bridge, link::{CleanupRecord, Plik}};
///
/// # async fn run() -> Result<(), natsbridge::Error> {
/// let bridge = Bridge::builder()
///     .store(Plik::new("http://localhost:8080")?)
///     .upload_record(CleanupRecord::file("/var/lib/sender/uploads.jsonl")?)
///     .connect("nats://localhost:4222")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CleanupRecord(Backend);

#[derive(Clone)]
enum Backend {
    File(Arc<FileRecord>),
    Kv(Arc<KvRecord>),
}

impl CleanupRecord {
    /// A record in a file, for one sender process at a time: JSON lines that are flushed to the disk one by one, for this
    /// user only (0600), held with a lock on `PATH.lock` as long as the process lives, and rewritten when they get long. What a
    /// former run has left in it is deleted by the bridge that gets the record.
    ///
    /// Reads and writes the file on this thread. An upload costs two flushes of the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if another process has it, or it cannot be written.
    pub fn file(path: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self(Backend::File(Arc::new(FileRecord::open(path.into())?))))
    }

    /// A record in a NATS key-value bucket that all senders share, which is made if it is not there (one replica, on disk).
    /// Each sender has keys of its own and says every 30 s that it lives.
    ///
    /// An upload costs two round trips to the NATS server, which needs JetStream. Whoever may read the bucket can delete what
    /// is in it, so it is for senders only.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] for a name that no bucket can have (letters, digits, `-` and `_` only);
    /// [`ErrorKind::Disconnected`] or [`ErrorKind::PermissionDenied`] if the server does not do it, with its words.
    pub async fn kv(client: async_nats::Client, bucket: &str) -> Result<Self> {
        Ok(Self(Backend::Kv(Arc::new(KvRecord::open(client, bucket).await?))))
    }

    /// Deletes what is in the record in a file, if its sender does not live any more, and strikes it out.
    ///
    /// Entries younger than `grace` are left alone, and so are those that are none of this store's.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if there is no such record or it cannot be read or written. Failed deletions are in what
    /// is returned.
    pub async fn collect_file(
        path: impl Into<PathBuf>,
        store: &dyn LinkStore,
        grace: Duration,
    ) -> Result<Collected> {
        file::collect(path.into(), store, grace).await
    }

    /// Deletes what is in the record in a bucket of senders that have not said for `grace` that they live, two minutes at
    /// least, and strikes it out.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if there is no such bucket; otherwise as [`kv`](Self::kv). Failed deletions are in what is
    /// returned.
    pub async fn collect_kv(
        client: &async_nats::Client,
        bucket: &str,
        store: &dyn LinkStore,
        grace: Duration,
    ) -> Result<Collected> {
        kv::collect(client, bucket, store, grace).await
    }
}

impl UploadRecord for CleanupRecord {
    fn announced<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
        match &self.0 {
            Backend::File(record) => Box::pin(record.announced(handle)),
            Backend::Kv(record) => Box::pin(record.announced(handle)),
        }
    }

    fn settled<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
        match &self.0 {
            Backend::File(record) => Box::pin(record.settled(handle)),
            Backend::Kv(record) => Box::pin(record.settled(handle)),
        }
    }

    fn take_up<'a>(&'a self, store: &'a dyn LinkStore) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // Senders that share a bucket have a new id in each run: what is left there is for `gc`.
            let Backend::File(record) = &self.0 else { return };
            let Collected { deleted, failed, .. } = record.collect_left(store).await;
            if deleted > 0 || !failed.is_empty() {
                let failed = failed.len();
                tracing::info!(deleted, failed, "uploads that an earlier run had left");
            }
        })
    }
}

impl fmt::Debug for CleanupRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Backend::File(record) => record.fmt(f),
            Backend::Kv(record) => record.fmt(f),
        }
    }
}

/// What became of the entries of a record.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Collected {
    /// Deleted on the file server and struck out, or gone already.
    pub deleted: usize,
    /// Left alone because their sender lives.
    pub alive: usize,
    /// Left alone because they are younger than the grace period.
    pub young: usize,
    /// Left alone because the store cannot delete them: they are of another one.
    pub foreign: usize,
    /// Why the others are still there.
    pub failed: Vec<Error>,
}

impl Collected {
    /// Deletes one entry, and says whether it is done with.
    async fn delete(&mut self, store: &dyn LinkStore, handle: &str) -> bool {
        match store.delete(handle).await {
            Ok(()) => {
                self.deleted += 1;
                return true;
            }
            Err(error) if error.kind() == ErrorKind::Misuse => self.foreign += 1,
            Err(error) => self.failed.push(error),
        }
        false
    }

    /// Whether the file server does not answer at all, so that it is not asked for the rest.
    fn is_unreachable(&self) -> bool {
        self.failed.last().is_some_and(|error| {
            matches!(error.kind(), ErrorKind::Network | ErrorKind::TimedOut | ErrorKind::TlsFailed)
        })
    }
}
