//! The uploads of one message, which are taken back unless the message goes out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::Inner;
use super::ids::Id;
use super::outgoing::Outgoing;
use crate::envelope::{Metadata, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{LinkStore, Upload, Uploaded, cleanup};
use crate::payload::Payload;
use crate::timestamp;

/// The payload's own metadata, and what every link carries.
pub(super) fn link_metadata(
    payload: &Payload,
    sha256: &[u8; 32],
    expires_at: Option<SystemTime>,
) -> Metadata {
    let mut metadata = payload.metadata().cloned().unwrap_or_default();
    // The caller's own entries of these names are dropped, so that these two come last and in this order.
    metadata.remove("sha256");
    metadata.remove("expiresAt");
    let digest: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    metadata.set("sha256", &digest);
    if let Some(time) = expires_at {
        metadata.set("expiresAt", &timestamp::format(time));
    }
    metadata
}

/// How long a failed send waits for its uploads to be deleted before it says so.
const UNDO_TIMEOUT: Duration = Duration::from_secs(10);

/// A payload that is on the file server.
pub(super) struct Stored {
    pub(super) uploaded: Uploaded,
    pub(super) sha256: [u8; 32],
}

/// The uploads of one message. They are deleted unless [`keep`](Self::keep) says that the message is out.
pub(super) struct Uploads {
    /// One for each payload, `None` for direct ones; none at all where every payload is direct.
    pub(super) done: Vec<Option<Stored>>,
    store: Option<Arc<dyn LinkStore>>,
}

impl Uploads {
    pub(super) async fn start(
        inner: &Inner,
        message: &Outgoing<'_>,
        transports: &[Transport],
    ) -> Result<Self> {
        let links: Vec<usize> =
            (0..transports.len()).filter(|&index| transports[index] == Transport::Link).collect();
        if links.is_empty() {
            return Ok(Self { done: Vec::new(), store: None });
        }
        let mut uploads =
            Self { done: transports.iter().map(|_| None).collect(), store: inner.store.clone() };
        // The planner makes no link without a store.
        let Some(store) = &inner.store else {
            return Err(Error::new(ErrorKind::Bug, "a link without a store"));
        };
        let digests =
            digests(links.iter().map(|&index| message.payloads[index].chunks().to_vec()).collect()).await?;
        let batch = links
            .iter()
            .map(|&index| {
                let payload = &message.payloads[index];
                Upload::from_chunks(payload.dataname(), payload.chunks().to_vec())
            })
            .collect();
        let correlation_id = message.draft.correlation_id.as_ref().map(Id::as_str);
        let span = tracing::info_span!("upload", correlation_id, count = links.len());
        let results = store.upload_batch(batch).instrument(span).await;
        let mut failed = None;
        let mut results = results.into_iter();
        for (&index, sha256) in links.iter().zip(digests) {
            match results.next() {
                Some(Ok(uploaded)) => uploads.done[index] = Some(Stored { uploaded, sha256 }),
                Some(Err(error)) => {
                    failed.get_or_insert_with(|| error.in_payload(index));
                }
                None => {
                    let what = "the store returned fewer results than it was given uploads";
                    failed
                        .get_or_insert_with(|| Error::new(ErrorKind::UploadRejected, what).in_payload(index));
                }
            }
        }
        match failed {
            None => Ok(uploads),
            Some(error) => Err(uploads.undo(error).await),
        }
    }

    /// The message is out: what it refers to stays for its lifetime.
    pub(super) fn keep(mut self) {
        self.done.clear();
    }

    /// Deletes the uploads because of `error`, which is returned, with the first failure of the deleting in it. The
    /// deleting goes on even if nobody waits for it any more.
    pub(super) async fn undo(mut self, error: Error) -> Error {
        let deleted = match self.delete() {
            Some(task) => match tokio::time::timeout(UNDO_TIMEOUT, task).await {
                Ok(Ok(deleted)) => deleted,
                Ok(Err(failed)) => {
                    Err(Error::new(ErrorKind::Bug, "the deleting task did not finish").with_source(failed))
                }
                Err(_) => {
                    Err(Error::new(ErrorKind::TimedOut, "uploads are still being deleted in the background"))
                }
            },
            None => Ok(()),
        };
        match deleted {
            Ok(()) => error,
            Err(cleanup) => error.with_cleanup(cleanup),
        }
    }

    /// Starts to delete what there is; `None` if that is nothing.
    fn delete(&mut self) -> Option<JoinHandle<Result<()>>> {
        let done: Vec<_> = std::mem::take(&mut self.done).into_iter().flatten().collect();
        let store = self.store.clone().filter(|_| !done.is_empty())?;
        cleanup::spawn(async move { delete_all(&*store, done).await })
    }
}

impl Drop for Uploads {
    /// A send that is dropped after its uploads takes them back, as far as there is still a runtime to do it with. What a
    /// batch had stored when it was dropped itself is the store's to take back: nobody else knows of it.
    fn drop(&mut self) {
        self.delete();
    }
}

/// The first failure is returned, and every one is logged: there may be nobody to return it to.
async fn delete_all(store: &dyn LinkStore, done: Vec<Stored>) -> Result<()> {
    let mut first = Ok(());
    for stored in done {
        if let Err(error) = store.delete(&stored.uploaded).await {
            if error.kind() == ErrorKind::Misuse {
                break; // it cannot delete at all
            }
            tracing::warn!(%error, "an upload of a failed send could not be deleted");
            // A server that cannot be reached is not asked a thousand times; the rest is left to its lifetime.
            let unreachable = matches!(error.kind(), ErrorKind::Network | ErrorKind::TimedOut);
            first = first.and(Err(error));
            if unreachable {
                break;
            }
        }
    }
    first
}

/// The SHA-256 of each payload. Hashing takes about a millisecond for a megabyte, so it is kept off the runtime's
/// own threads.
async fn digests(payloads: Vec<Vec<Bytes>>) -> Result<Vec<[u8; 32]>> {
    let hash = move || {
        payloads
            .iter()
            .map(|chunks| {
                let mut hash = Sha256::new();
                chunks.iter().for_each(|chunk| hash.update(chunk));
                hash.finalize().into()
            })
            .collect()
    };
    tokio::task::spawn_blocking(hash)
        .await
        .map_err(|error| Error::new(ErrorKind::Bug, "the hashing task did not finish").with_source(error))
}
