//! Taking back a batch that nobody waits for any more.

use std::sync::{Mutex, PoisonError};

use super::Plik;
use crate::link::cleanup;
use crate::link::store::{LinkStore as _, Uploaded};

/// What a batch has stored so far. Dropped before [`finish`](Self::finish), as when the batch's future is dropped, it
/// deletes all of it in the background. A file that is still on its way needs nothing: the server discards it when the
/// connection breaks off.
pub(super) struct Batch {
    plik: Plik,
    stored: Mutex<Vec<Uploaded>>,
}

impl Batch {
    pub(super) fn new(plik: &Plik) -> Self {
        Self { plik: plik.clone(), stored: Mutex::default() }
    }

    /// Takes note of a file that the server has.
    pub(super) fn note(&self, uploaded: &Uploaded) {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).push(uploaded.clone());
    }

    /// The results have been handed over, and with them the duty to delete.
    pub(super) fn finish(&self) {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let stored = std::mem::take(&mut *self.stored.lock().unwrap_or_else(PoisonError::into_inner));
        if stored.is_empty() {
            return;
        }
        let plik = self.plik.clone();
        cleanup::spawn(async move {
            for uploaded in stored {
                if let Err(error) = plik.delete(&uploaded).await {
                    tracing::warn!(%error, "an abandoned upload could not be deleted");
                }
            }
        });
    }
}
