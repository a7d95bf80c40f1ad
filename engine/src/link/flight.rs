//! One download for all who want the same thing at the same time, and a small memory of what was verified.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::fetch::{Expected, Fetched, Verified};
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

/// The downloads under way, by what is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights {
    under_way: Arc<UnderWay>,
}

type UnderWay = Mutex<HashMap<Wanted, Weak<Flight>>>;

/// The same link under the same expectations; a download that satisfies one receiver of it satisfies all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    url: LinkUrl,
    expected: Expected,
}

/// A download in a task of its own, which ends with the last who waits for it.
#[derive(Debug)]
struct Flight {
    outcome: watch::Receiver<Option<Result<Fetched, Arc<Error>>>>,
    task: AbortHandle,
    place: Place,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
        self.place.leave();
    }
}

/// Where a download is found by those who come after.
#[derive(Debug, Clone)]
struct Place {
    wanted: Wanted,
    flight: Weak<Flight>,
    under_way: Arc<UnderWay>,
}

impl Place {
    /// It is found no more.
    fn leave(&self) {
        let mut under_way = lock(&self.under_way);
        // Somebody may have begun another one since.
        if under_way.get(&self.wanted).is_some_and(|flight| flight.ptr_eq(&self.flight)) {
            under_way.remove(&self.wanted);
        }
    }
}

impl Flights {
    /// Joins a download of this link, or begins it with `start`.
    pub(crate) async fn join<F>(
        &self,
        url: &LinkUrl,
        expected: &Expected,
        start: impl FnOnce() -> F,
    ) -> Result<Fetched>
    where
        F: Future<Output = Result<Fetched>> + Send + 'static,
    {
        let wanted = Wanted { url: url.clone(), expected: *expected };
        let flight = {
            let mut under_way = lock(&self.under_way);
            match under_way.get(&wanted).and_then(Weak::upgrade) {
                Some(flight) => flight,
                None => {
                    let flight = self.begin(wanted.clone(), start());
                    under_way.insert(wanted, Arc::downgrade(&flight));
                    flight
                }
            }
        };
        let mut outcome = flight.outcome.clone();
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(fetched))) => Ok(fetched.clone()),
            Ok(Some(Err(error))) => Err(error.again()),
            // The task ended without an outcome: it panicked, or the runtime is going down.
            _ => Err(Error::new(ErrorKind::Bug, "a download ended without an outcome")),
        }
    }

    fn begin(
        &self,
        wanted: Wanted,
        download: impl Future<Output = Result<Fetched>> + Send + 'static,
    ) -> Arc<Flight> {
        Arc::new_cyclic(|flight| {
            let (sender, outcome) = watch::channel(None);
            let place = Place { wanted, flight: Weak::clone(flight), under_way: Arc::clone(&self.under_way) };
            let ended = place.clone();
            let task = tokio::spawn(async move {
                let fetched = download.await;
                // Whoever comes from now on wants to know how things are now.
                ended.leave();
                sender.send_replace(Some(fetched.map_err(Arc::new)));
            });
            Flight { outcome, task: task.abort_handle(), place }
        })
    }
}

/// The latest downloads that were proved by their digest, up to so many bytes.
///
/// They are found by digest alone: what has the digest is the payload, wherever it comes from.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: u64,
    /// The latest last.
    kept: Mutex<VecDeque<([u8; 32], Bytes)>>,
}

impl Cache {
    /// A cache of so many bytes; of 0 it keeps nothing.
    pub(crate) fn new(capacity: u64) -> Self {
        Self { capacity, kept: Mutex::default() }
    }

    pub(crate) fn find(&self, expected: &Expected) -> Option<Fetched> {
        let digest = expected.sha256.filter(|_| self.capacity > 0)?;
        let mut kept = lock(&self.kept);
        let at = kept.iter().position(|(known, _)| *known == digest)?;
        let entry = kept.remove(at)?;
        let bytes = entry.1.clone();
        kept.push_back(entry);
        Some(Fetched {
            size_mismatch: expected.known_size().is_some_and(|size| size != bytes.len() as u64),
            bytes,
            verified: Verified::Digest,
            attempts: 0,
            sha256: Some(digest),
        })
    }

    pub(crate) fn keep(&self, fetched: &Fetched) {
        let len = fetched.bytes.len() as u64;
        let Some(digest) = fetched.sha256.filter(|_| fetched.verified == Verified::Digest) else { return };
        if len > self.capacity {
            return;
        }
        let mut kept = lock(&self.kept);
        kept.retain(|(known, _)| *known != digest);
        kept.push_back((digest, fetched.bytes.clone()));
        let mut total: u64 = kept.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        // An entry costs something even if it is empty.
        while total > self.capacity || kept.len() > MAX_ENTRIES {
            total -= kept.pop_front().map_or(0, |(_, bytes)| bytes.len() as u64);
        }
    }
}

/// Of a cache (chosen): they are looked through one by one.
const MAX_ENTRIES: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use sha2::{Digest, Sha256};
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    fn fetched(bytes: &'static [u8]) -> Fetched {
        Fetched {
            bytes: Bytes::from_static(bytes),
            verified: Verified::Digest,
            size_mismatch: false,
            attempts: 1,
            sha256: Some(Sha256::digest(bytes).into()),
        }
    }

    /// Counts downloads begun and ended, however they end.
    #[derive(Default)]
    struct Counts {
        begun: AtomicUsize,
        ended: AtomicUsize,
        go: Notify,
    }

    struct Ended(Arc<Counts>);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.ended.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn join(flights: Flights, counts: Arc<Counts>, outcome: Result<Fetched>) -> Result<Fetched> {
        let url = LinkUrl::parse("http://files/1").unwrap();
        flights
            .join(&url, &Expected::nothing(), || {
                counts.begun.fetch_add(1, Ordering::SeqCst);
                let ended = Ended(Arc::clone(&counts));
                async move {
                    ended.0.go.notified().await;
                    outcome
                }
            })
            .await
    }

    #[tokio::test]
    async fn all_who_wait_get_what_was_fetched_once() {
        for wanted in [Ok(fetched(b"x")), Err(ErrorKind::LinkGone)] {
            let (flights, counts) = (Flights::default(), Arc::new(Counts::default()));
            let outcome = || wanted.clone().map_err(|kind| Error::new(kind, "gone").in_payload(0));
            let tasks: Vec<_> = (0..10)
                .map(|_| tokio::spawn(join(flights.clone(), Arc::clone(&counts), outcome())))
                .collect();
            tokio::time::sleep(Duration::from_millis(20)).await;
            counts.go.notify_one();
            for task in tasks {
                match (task.await.unwrap(), &wanted) {
                    (Ok(got), Ok(_)) => assert_eq!(got.bytes, "x"),
                    (Err(error), Err(kind)) => {
                        assert_eq!((error.kind(), error.explanation()), (*kind, "gone"))
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(counts.begun.load(Ordering::SeqCst), 1);
            // It is over: the next one fetches anew.
            counts.go.notify_one();
            let _ = join(flights.clone(), Arc::clone(&counts), outcome()).await;
            assert_eq!(counts.begun.load(Ordering::SeqCst), 2);
            assert!(lock(&flights.under_way).is_empty());
        }
    }

    #[tokio::test]
    async fn the_last_who_goes_ends_it() {
        let (flights, counts) = (Flights::default(), Arc::new(Counts::default()));
        let wait = || join(flights.clone(), Arc::clone(&counts), Ok(fetched(b"x")));
        let soon = Duration::from_millis(20);
        let (first, second) = (tokio::spawn(wait()), tokio::spawn(wait()));
        assert!(timeout(soon, wait()).await.is_err());
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        tokio::time::sleep(soon).await;
        assert_eq!(counts.ended.load(Ordering::SeqCst), 0, "somebody still waits");
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        for _ in 0..1000 {
            if counts.ended.load(Ordering::SeqCst) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((counts.begun.load(Ordering::SeqCst), counts.ended.load(Ordering::SeqCst)), (1, 1));
        assert!(lock(&flights.under_way).is_empty(), "nothing is kept of it");
    }

    #[test]
    fn a_cache_keeps_the_latest_within_its_bytes() {
        let expected = |bytes: &[u8]| Expected::nothing().sha256(Sha256::digest(bytes).into());
        let cache = Cache::new(10);
        cache.keep(&fetched(b"12345"));
        cache.keep(&fetched(b"abcde"));
        assert_eq!(cache.find(&expected(b"12345")).unwrap().bytes, "12345");
        cache.keep(&fetched(b"x"));
        assert!(cache.find(&expected(b"abcde")).is_none(), "the one not used for longest goes");
        cache.keep(&fetched(b"more than ten"));
        assert!(cache.find(&expected(b"more than ten")).is_none());
        assert!(cache.find(&expected(b"12345").size(6)).unwrap().size_mismatch);
        assert!(cache.find(&Expected::nothing().size(5)).is_none());
        cache.keep(&Fetched { verified: Verified::Length, ..fetched(b"y") });
        assert!(cache.find(&expected(b"y")).is_none());
        let none = Cache::new(0);
        none.keep(&fetched(b""));
        assert!(none.find(&expected(b"")).is_none());
    }
}
