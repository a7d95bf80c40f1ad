//! Reading large payloads, off the runtime's own threads and not too many at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind, Result};
use crate::payload::PayloadData;

/// From how many bytes on JSON is read on another thread: about a millisecond's work, and never ten, beside which the change
/// of threads is nothing (chosen).
pub(super) const JSON_LEN: usize = 128 << 10;

/// Tables always: half a kilobyte of a compressed one may unpack into thirty thousand times as much.
pub(super) const TABLE_LEN: usize = 0;

/// The threads that may read large payloads at the same time.
pub(super) struct Heavy(Arc<Semaphore>);

impl Heavy {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Reads a payload: here if it has less than `len` bytes, otherwise where it holds nobody up.
    ///
    /// A reading whose future is dropped goes on to its end, and counts until then.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        data: PayloadData,
        len: usize,
        read: impl FnOnce(&PayloadData) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if data.bytes().len() < len {
            return read(&data);
        }
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(unfinished)?;
        let work = move || {
            let result = read(&data);
            drop(turn);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(unfinished)?
    }
}

/// The semaphore is never closed; a task ends early where its runtime does, or by a panic in the caller's own type.
fn unfinished(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Bug, "the reading of a payload did not come to its end").with_source(error)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::payload::PayloadType;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn large_payloads_are_read_elsewhere_and_not_too_many_at_once() {
        let heavy = Arc::new(Heavy::new(2));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let read = |len: usize| {
            let (heavy, now, most) = (Arc::clone(&heavy), Arc::clone(&now), Arc::clone(&most));
            async move {
                let data = PayloadData::new(PayloadType::Binary, vec![0; len], None, 0);
                let work = move |data: &PayloadData| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok((data.bytes().len(), thread::current().id()))
                };
                heavy.read(data, 100, work).await.unwrap()
            }
        };
        assert_eq!(read(99).await, (99, thread::current().id()));
        assert_ne!(read(100).await.1, thread::current().id());
        most.store(0, Ordering::SeqCst);
        let many: Vec<_> = (0..8).map(|_| tokio::spawn(read(1000))).collect();
        for one in many {
            assert_eq!(one.await.unwrap().0, 1000);
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }
}
