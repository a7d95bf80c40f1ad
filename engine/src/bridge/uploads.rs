//! The uploads of one message, which are taken back unless the message goes out.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::Inner;
use super::events::Events;
use super::log_limit::brief;
use super::outgoing::Outgoing;
use crate::envelope::{Metadata, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::link::ledger::Ledger;
use crate::link::upload::{Stored, delete_unwanted, upload_all};
use crate::link::{LinkStore, Source, cleanup};
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

/// The uploads of one message. They are deleted unless [`keep`](Self::keep) says that the message is out.
pub(super) struct Uploads {
    /// One for each payload, `None` for direct ones; none at all where every payload is direct.
    pub(super) done: Vec<Option<Stored>>,
    /// What stores have announced, which is more than what is done.
    ledger: Arc<Ledger>,
    store: Option<Arc<dyn LinkStore>>,
    events: Events,
    /// Whether somebody has seen to the deleting already.
    undone: bool,
}

impl Uploads {
    /// None yet.
    pub(super) fn new(inner: &Inner) -> Self {
        Self {
            done: Vec::new(),
            ledger: Arc::new(Ledger::new(inner.uploads.record.clone())),
            store: inner.store.clone(),
            events: inner.events.clone(),
            undone: false,
        }
    }

    /// Uploads what travels by link. After a failure the caller has [`undo`](Self::undo) to do.
    pub(super) async fn run(
        &mut self,
        inner: &Inner,
        message: &Outgoing<'_>,
        transports: &[Transport],
    ) -> Result<()> {
        let links: Vec<usize> =
            (0..transports.len()).filter(|&index| transports[index] == Transport::Link).collect();
        if links.is_empty() {
            return Ok(());
        }
        // The planner makes no link without a store.
        let Some(store) = &inner.store else {
            return Err(Error::new(ErrorKind::Bug, "a link without a store"));
        };
        let items = links.iter().map(|&index| {
            let payload = &message.payloads[index];
            let memory = || Source::chunks(payload.chunks().to_vec());
            (payload.dataname().to_owned(), payload.source().cloned().unwrap_or_else(memory))
        });
        let correlation_id = message.draft.correlation_id.as_ref().map(|id| brief(id.as_str()));
        let span = tracing::info_span!("upload", correlation_id, count = links.len());
        // Retries of many senders are spread by what no two messages have in common.
        let seed = message.seed();
        let progress = message.draft.progress.as_ref();
        let uploads = upload_all(&**store, items.collect(), &self.ledger, &inner.uploads, progress, seed);
        let stored = Box::pin(uploads.instrument(span))
            .await
            .map_err(|(number, error)| error.in_payload(links.get(number).copied().unwrap_or_default()))?;
        self.done = transports.iter().map(|_| None).collect();
        for (index, stored) in links.into_iter().zip(stored) {
            self.done[index] = Some(stored);
        }
        Ok(())
    }

    /// The message is out: what it refers to stays for its lifetime. What failed attempts have left is still deleted.
    pub(super) fn keep(self) {
        self.ledger.keep();
    }

    /// To be called just before the message is handed over; after an error it must not be.
    pub(super) async fn strike_out(&self) -> Result<()> {
        self.ledger.strike_out().await
    }

    /// Deletes the uploads because of `error`, which is returned, with the first failure of the deleting in it. The
    /// deleting goes on even if nobody waits for it any more.
    pub(super) async fn undo(mut self, error: Error) -> Error {
        self.undone = true;
        self.ledger.fail_all();
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

    /// Starts to delete what is not wanted; `None` if that is nothing.
    fn delete(&self) -> Option<JoinHandle<Result<()>>> {
        let store = self.store.clone().filter(|_| !self.ledger.is_empty())?;
        let (ledger, events) = (Arc::clone(&self.ledger), self.events.clone());
        cleanup::spawn(async move {
            let deleted = delete_unwanted(&*store, &ledger).await;
            let left = ledger.unwanted().len() as u64;
            if left > 0 {
                let error = deleted.as_ref().err().map(tracing::field::display);
                tracing::warn!(error, left, "uploads of a message that was not sent could not be deleted");
                events.count_undeleted(left);
            }
            deleted
        })
    }
}

impl Drop for Uploads {
    /// Takes back whatever was not kept, as far as there is still a runtime to do it with: of a send that is dropped all
    /// that was announced, of one that went out what failed attempts have left.
    fn drop(&mut self) {
        if !self.undone && !self.ledger.is_empty() {
            self.ledger.fail_all();
            self.delete();
        }
    }
}
