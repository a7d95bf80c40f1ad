//! What stores have announced for the uploads of one message, to be deleted unless the message goes out.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::{BoxFuture, LinkStore};
use crate::Result;

/// A record of uploads that outlives this process: each handle is in it while it is not decided whether the upload stays.
pub(crate) trait UploadRecord: Send + Sync + fmt::Debug {
    /// Something may exist from now on that this handle can delete. An error keeps it from being uploaded.
    fn announced<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>>;

    /// It was deleted, or its message is about to be handed over: nobody may see to it any more. After an error that is not
    /// certain, and the message must not go out.
    fn settled<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Deletes what an earlier process has left in it.
    fn take_up<'a>(&'a self, store: &'a dyn LinkStore) -> BoxFuture<'a, ()>;
}

/// The handles of one message's uploads.
pub(crate) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    record: Option<Arc<dyn UploadRecord>>,
}

struct Entry {
    handle: String,
    /// The uploads, by number, that it is about and that have not failed.
    wanted_by: Vec<usize>,
}

impl Ledger {
    pub(crate) fn new(record: Option<Arc<dyn UploadRecord>>) -> Self {
        Self { entries: Mutex::default(), record }
    }

    /// Takes note of a handle for one of the uploads.
    pub(crate) async fn announce(&self, upload: usize, handle: String) -> Result<()> {
        {
            let mut entries = self.entries();
            if let Some(entry) = entries.iter_mut().find(|entry| entry.handle == handle) {
                if !entry.wanted_by.contains(&upload) {
                    entry.wanted_by.push(upload);
                }
                return Ok(());
            }
            entries.push(Entry { handle: handle.clone(), wanted_by: vec![upload] });
        }
        match &self.record {
            Some(record) => record.announced(&handle).await,
            None => Ok(()),
        }
    }

    /// An attempt has failed: what it has announced, and nobody else has, is not wanted.
    pub(crate) fn fail(&self, upload: usize) {
        self.entries().iter_mut().for_each(|entry| entry.wanted_by.retain(|&other| other != upload));
    }

    /// What is not wanted, the last one first.
    pub(crate) fn unwanted(&self) -> Vec<String> {
        let entries = self.entries();
        entries
            .iter()
            .rev()
            .filter(|entry| entry.wanted_by.is_empty())
            .map(|entry| entry.handle.clone())
            .collect()
    }

    /// Nothing is wanted any more.
    pub(crate) fn fail_all(&self) {
        self.entries().iter_mut().for_each(|entry| entry.wanted_by.clear());
    }

    /// What is wanted stays: takes it out of the ledger.
    pub(crate) fn keep(&self) {
        self.entries().retain(|entry| entry.wanted_by.is_empty());
    }

    /// It is gone.
    pub(crate) async fn deleted(&self, handle: &str) {
        self.entries().retain(|entry| entry.handle != handle);
        if let Some(record) = &self.record
            && let Err(error) = record.settled(handle).await
        {
            // It will be deleted once more, which does no harm. Without a bridge there is no record, and no log.
            #[cfg(feature = "nats")]
            tracing::warn!(%error, "a deleted upload could not be struck out of the record");
            #[cfg(not(feature = "nats"))]
            drop(error);
        }
    }

    /// Strikes what is wanted out of the record, because the message with it is about to go out: from then on nobody may
    /// delete it, whatever becomes of this process.
    pub(crate) async fn strike_out(&self) -> Result<()> {
        let Some(record) = &self.record else { return Ok(()) };
        let wanted: Vec<String> = {
            let entries = self.entries();
            entries
                .iter()
                .filter(|entry| !entry.wanted_by.is_empty())
                .map(|entry| entry.handle.clone())
                .collect()
        };
        for handle in wanted {
            record.settled(&handle).await?;
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Handles are secrets.
        f.debug_struct("Ledger").field("handles", &self.entries().len()).finish_non_exhaustive()
    }
}
