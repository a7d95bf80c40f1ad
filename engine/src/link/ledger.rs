//! What stores have announced for the uploads of one message, to be deleted unless the message goes out.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::BoxFuture;
use crate::Result;

/// A record of uploads that outlives this process: each handle is in it while it is not decided whether the upload stays.
pub(crate) trait UploadRecord: Send + Sync + fmt::Debug {
    /// Something may exist from now on that this handle can delete. An error keeps it from being uploaded.
    fn announced<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>>;

    /// It was deleted, or its message was handed over: nobody has to see to it any more.
    fn settled<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, ()>;
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

    /// What is wanted stays: takes it out of the ledger, and returns it for [`settle`](Self::settle).
    pub(crate) fn keep(&self) -> Vec<String> {
        let mut kept = Vec::new();
        self.entries().retain_mut(|entry| {
            let wanted = !entry.wanted_by.is_empty();
            if wanted {
                kept.push(std::mem::take(&mut entry.handle));
            }
            !wanted
        });
        kept
    }

    /// It is gone.
    pub(crate) async fn deleted(&self, handle: &str) {
        self.entries().retain(|entry| entry.handle != handle);
        self.settle(handle).await;
    }

    /// Strikes a handle out of the record.
    pub(crate) async fn settle(&self, handle: &str) {
        if let Some(record) = &self.record {
            record.settled(handle).await;
        }
    }

    pub(crate) fn has_record(&self) -> bool {
        self.record.is_some()
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
