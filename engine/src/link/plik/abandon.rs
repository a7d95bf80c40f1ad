//! Taking back a batch that nobody waits for any more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Plik;
use crate::link::cleanup;
use crate::link::store::{LinkStore as _, Uploaded};

/// What a batch has stored so far. Dropped before [`finish`](Self::finish), as when the batch's future is dropped, it
/// deletes all of it in the background: first the files that are known, which frees their space at once, then the
/// uploads themselves, with a file that had arrived when its answer had not.
pub(super) struct Batch {
    plik: Plik,
    stored: Mutex<Stored>,
}

#[derive(Default)]
struct Stored {
    files: Vec<Uploaded>,
    /// Id and token of each upload.
    uploads: Vec<(String, String)>,
}

impl Batch {
    pub(super) fn new(plik: &Plik) -> Self {
        Self { plik: plik.clone(), stored: Mutex::default() }
    }

    /// Takes note of an upload that files are going to be added to.
    pub(super) fn note_upload(&self, id: &str, token: &str) {
        self.stored().uploads.push((id.to_owned(), token.to_owned()));
    }

    /// Takes note of a file that the server has.
    pub(super) fn note_file(&self, uploaded: &Uploaded) {
        self.stored().files.push(uploaded.clone());
    }

    /// The results have been handed over, and with them the duty to delete.
    pub(super) fn finish(&self) {
        *self.stored() = Stored::default();
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let Stored { files, uploads } = std::mem::take(&mut *self.stored());
        if uploads.is_empty() {
            return;
        }
        let plik = self.plik.clone();
        cleanup::spawn(async move {
            let failed = |error| tracing::warn!(%error, "an abandoned upload could not be deleted");
            for uploaded in files {
                plik.delete(&uploaded).await.unwrap_or_else(failed);
            }
            for (id, token) in uploads {
                plik.delete_upload(&id, &token).await.unwrap_or_else(failed);
            }
        });
    }
}
