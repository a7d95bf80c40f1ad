//! Uploading the links of one message: tries again where that can help, and knows at any time what to delete.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::budget::Budget;
use super::ledger::{Ledger, UploadRecord};
use super::progress::Progress;
use super::retry::Retry;
use super::source::Source;
use super::store::{LinkStore, Upload, Uploaded};
use super::tap::{Summary, Tap, UploadBody};
use crate::{Error, ErrorKind, Result};

/// How uploads are made.
#[derive(Debug, Clone)]
pub(crate) struct UploadOptions {
    /// When to try again what can be read again.
    pub(crate) retry: Retry,
    /// The most time for all uploads of one message, retries and waits for the budget included.
    pub(crate) total: Option<Duration>,
    /// What all uploads of a bridge share.
    pub(crate) budget: Arc<Budget>,
    pub(crate) record: Option<Arc<dyn UploadRecord>>,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            total: Some(Duration::from_secs(6 * 3600)),
            budget: Arc::new(Budget::new(16, 64 << 20)),
            record: None,
        }
    }
}

/// A payload that is on the file server.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) uploaded: Uploaded,
    pub(crate) len: u64,
    pub(crate) sha256: [u8; 32],
}

/// How long the clean-up between two tries may take beyond the wait between them.
const CLEAN_UP_BETWEEN: Duration = Duration::from_secs(3);

/// How long one deletion may take before the next is tried.
const DELETE_TIMEOUT: Duration = Duration::from_secs(30);

/// Uploads all, or fails with the first error and the number of what it is about. What was stored until then stays in the
/// ledger.
pub(crate) async fn upload_all(
    store: &dyn LinkStore,
    items: Vec<(String, Source)>,
    ledger: &Arc<Ledger>,
    options: &UploadOptions,
    progress: Option<&Progress>,
    seed: u64,
) -> std::result::Result<Vec<Stored>, (usize, Error)> {
    let parts: Vec<_> =
        items.iter().map(|(_, source)| progress.map(|to| Arc::new(to.part(source.known_len())))).collect();
    let mut stored: Vec<Option<Stored>> = items.iter().map(|_| None).collect();
    let began = Instant::now();
    let deadline = options.total.and_then(|total| began.checked_add(total));
    let last_try = options.retry.total.and_then(|total| began.checked_add(total));
    let mut attempts = 0u32;
    loop {
        attempts = attempts.saturating_add(1);
        let pending: Vec<usize> = (0..items.len()).filter(|&index| stored[index].is_none()).collect();
        let taps: Vec<Arc<Tap>> = pending
            .iter()
            .map(|&index| {
                let tap =
                    Tap::new(index, Arc::clone(ledger), Arc::clone(&options.budget), parts[index].clone());
                Arc::new(tap)
            })
            .collect();
        let batch = pending.iter().zip(&taps).map(|(&index, tap)| {
            let (name, source) = &items[index];
            Upload::from_source(name, source.clone()).tapped(Arc::clone(tap))
        });
        let attempt = attempt(store, batch.collect(), &taps, ledger, &pending);
        let outcomes = match deadline {
            Some(deadline) => timeout_at(deadline, attempt).await,
            None => Ok(attempt.await),
        };
        let Ok(outcomes) = outcomes else {
            let total = options.total.unwrap_or_default();
            let first = pending.first().copied().unwrap_or_default();
            let what = format!("the uploads did not end within the total of {total:?}");
            return Err((first, Error::new(ErrorKind::TimedOut, what).with_attempts(attempts)));
        };
        let mut wait: Option<Duration> = Some(Duration::ZERO);
        let mut failure: Option<(usize, Error)> = None;
        for (&index, outcome) in pending.iter().zip(outcomes) {
            let error = match outcome {
                Ok(done) => {
                    stored[index] = Some(done);
                    continue;
                }
                Err(error) => error,
            };
            ledger.fail(index);
            let again = (error.is_retryable() && items[index].1.is_repeatable())
                .then(|| {
                    let seed = seed ^ index as u64;
                    options.retry.delay_after(began.elapsed(), attempts, seed, error.retry_after())
                })
                .flatten();
            // One that cannot be tried again decides for all, and is the one to report.
            if again.is_none() && wait.is_some() {
                failure = None;
            }
            wait = wait.zip(again).map(|(wait, own)| wait.max(own));
            failure.get_or_insert((index, error));
        }
        let Some((index, error)) = failure else {
            return Ok(stored.into_iter().flatten().collect());
        };
        let late = |wait| {
            deadline.is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) <= wait)
        };
        let Some(wait) = wait.filter(|&wait| !late(wait)) else {
            return Err((index, error.with_attempts(attempts)));
        };
        tracing::debug!(attempts, wait_ms = wait.as_millis() as u64, kind = %error.kind(), "uploading again");
        // What cannot be deleted now stays in the ledger, and is tried once more at the end. A server that does not answer
        // does not hold up the next try for long: that may find it well again.
        let cleaned = timeout(wait.max(CLEAN_UP_BETWEEN), delete_unwanted(store, ledger));
        let pause = async {
            let (_, ()) = tokio::join!(cleaned, sleep(wait));
        };
        let end = deadline.into_iter().chain(last_try).min();
        let _ = timeout_at(end.unwrap_or_else(far), pause).await;
        if last_try.is_some_and(|last_try| last_try <= Instant::now()) {
            return Err((index, error.with_attempts(attempts)));
        }
    }
}

/// A time that nobody waits for.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(365 * 86_400)
}

/// One try of each; one outcome for each.
async fn attempt(
    store: &dyn LinkStore,
    batch: Vec<Upload>,
    taps: &[Arc<Tap>],
    ledger: &Ledger,
    pending: &[usize],
) -> Vec<Result<Stored>> {
    let sources: Vec<Source> = batch.iter().map(|upload| upload.source().clone()).collect();
    let mut results = store.upload_batch(batch).await.into_iter();
    let mut outcomes = Vec::with_capacity(taps.len());
    for ((tap, source), &index) in taps.iter().zip(sources).zip(pending) {
        outcomes.push(match results.next() {
            Some(Ok(uploaded)) => match finished(tap, &source, index, &uploaded, ledger).await {
                Ok((len, sha256)) => Ok(Stored { uploaded, len, sha256 }),
                Err(error) => Err(error),
            },
            Some(Err(error)) => Err(error),
            None => {
                let what = "the store returned fewer results than it was given uploads";
                Err(Error::new(ErrorKind::UploadRejected, what))
            }
        });
    }
    outcomes
}

/// Takes note of what an upload can be deleted by, and says what was uploaded.
async fn finished(
    tap: &Tap,
    source: &Source,
    index: usize,
    uploaded: &Uploaded,
    ledger: &Ledger,
) -> Result<(u64, [u8; 32])> {
    if !uploaded.handle().is_empty() {
        ledger.announce(index, uploaded.handle().to_owned()).await?;
    }
    match tap.summary().await {
        Summary::Whole(len, sha256) => return Ok((len, sha256)),
        Summary::Part => {
            // Whatever it has stored, it is not this.
            let what = "the store reports success although it has not read the whole upload";
            return Err(Error::new(ErrorKind::UploadUnavailable, what));
        }
        Summary::Nothing if !source.is_repeatable() => {
            let what = "the store has not read the upload, which nobody can now say the digest of";
            return Err(Error::new(ErrorKind::UploadRejected, what));
        }
        Summary::Nothing => {}
    }
    // A store that has the bytes already need not read them; then they are read here, for the first time.
    let tap = tap.again();
    let mut body = UploadBody::open(source, Some(&tap)).await?;
    while body.next().await?.is_some() {}
    drop(body);
    match tap.summary().await {
        Summary::Whole(len, sha256) => Ok((len, sha256)),
        _ => Err(Error::new(ErrorKind::Bug, "the digest of an upload was lost")),
    }
}

/// Deletes what is not wanted. The first failure is returned, and what failed stays in the ledger.
pub(crate) async fn delete_unwanted(store: &dyn LinkStore, ledger: &Ledger) -> Result<()> {
    let mut first = Ok(());
    for handle in ledger.unwanted() {
        let deleted = timeout(DELETE_TIMEOUT, store.delete(&handle)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::TimedOut, format!("the deletion took longer than {DELETE_TIMEOUT:?}")))
        });
        let Err(error) = deleted else {
            ledger.deleted(&handle).await;
            continue;
        };
        if error.kind() == ErrorKind::Misuse {
            break; // it cannot delete at all, which was known before
        }
        tracing::debug!(%error, "an upload could not be deleted");
        // A server that cannot be reached is not asked a thousand times.
        let unreachable = matches!(error.kind(), ErrorKind::Network | ErrorKind::TimedOut);
        first = first.and(Err(error));
        if unreachable {
            break;
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Mutex, MutexGuard};

    use proptest::prelude::*;

    use super::super::store::{BoxFuture, Download};
    use super::super::{LinkUrl, Origin};
    use super::*;

    /// Begins an upload, loses it, and does not answer to deletions.
    #[derive(Debug)]
    struct Stuck {
        began: Instant,
        tries: Mutex<Vec<Duration>>,
    }

    impl LinkStore for Stuck {
        fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
            Box::pin(async move {
                self.tries.lock().unwrap().push(self.began.elapsed());
                upload.announce("handle").await?;
                sleep(Duration::from_millis(300)).await;
                Err(Error::new(ErrorKind::UploadUnavailable, "busy"))
            })
        }

        fn delete<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
            Box::pin(std::future::pending())
        }

        fn download<'a>(&'a self, _: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
            Box::pin(std::future::pending())
        }

        fn origins(&self) -> Vec<Origin> {
            vec![]
        }

        fn max_url_len(&self, _: &str) -> usize {
            0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_try_begins_after_the_total_of_the_schedule_whatever_is_to_be_deleted() {
        let store = Stuck { began: Instant::now(), tries: Mutex::default() };
        let total = Duration::from_secs(10);
        let retry = Retry::resilient().base_delay(Duration::from_millis(10)).total(total);
        let options = UploadOptions { retry, ..UploadOptions::default() };
        let ledger = Arc::new(Ledger::new(None));
        let items = vec![("a".to_owned(), Source::bytes("bytes"))];
        let (_, error) = upload_all(&store, items, &ledger, &options, None, 1).await.unwrap_err();
        let tries = store.tries.into_inner().unwrap();
        // Each takes 0.3 s, and the deletion behind it 3 s.
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::UploadUnavailable, Some(tries.len() as u32))
        );
        assert!(tries.len() == 4 && tries.iter().all(|&at| at < total), "{tries:?}");
        assert!(store.began.elapsed() <= total + Duration::from_millis(300), "{:?}", store.began.elapsed());
        assert_eq!(ledger.unwanted(), ["handle"], "to be deleted at the end");
    }

    /// A store whose uploads and deletions go as the numbers say.
    #[derive(Debug)]
    struct Random {
        numbers: Mutex<std::vec::IntoIter<u8>>,
        /// Whether one handle stands for all files of a batch, as Plik's does.
        shared: bool,
        server: Mutex<Server>,
    }

    #[derive(Debug, Default)]
    struct Server {
        existing: BTreeSet<String>,
        deleted: Vec<String>,
        batches: Vec<Instant>,
        uploads: u32,
        /// The batch in which something failed for good.
        last: Option<usize>,
    }

    impl Random {
        fn next(&self, below: u8) -> u8 {
            self.numbers.lock().unwrap().next().map_or(0, |number| number % below)
        }

        fn seconds(&self, below: u8) -> Duration {
            Duration::from_secs(self.next(below).into())
        }

        fn server(&self) -> MutexGuard<'_, Server> {
            self.server.lock().unwrap()
        }

        fn refuse<T>(&self, kind: ErrorKind) -> Result<T> {
            let mut server = self.server();
            if !kind.is_retryable() {
                server.last = Some(server.batches.len());
            }
            Err(Error::new(kind, "as the numbers want it"))
        }
    }

    impl LinkStore for Random {
        fn upload_batch(&self, uploads: Vec<Upload>) -> BoxFuture<'_, Vec<Result<Uploaded>>> {
            Box::pin(async move {
                self.server().batches.push(Instant::now());
                let mut results = Vec::new();
                for upload in uploads {
                    results.push(self.upload(upload).await);
                }
                if self.next(16) == 1 {
                    results.pop();
                    let _ = self.refuse::<()>(ErrorKind::UploadRejected);
                }
                results
            })
        }

        fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
            Box::pin(async move {
                let turn = self.next(14);
                match turn {
                    1 => return self.refuse(ErrorKind::Network),
                    2 => return self.refuse(ErrorKind::UploadRejected),
                    _ => {}
                }
                let handle = {
                    let mut server = self.server();
                    server.uploads += 1;
                    let number = if self.shared { server.batches.len() as u32 } else { server.uploads };
                    format!("handle {number}")
                };
                upload.announce(&*handle).await?;
                self.server().existing.insert(handle.clone());
                sleep(self.seconds(4)).await;
                match turn {
                    3 | 4 => return self.refuse(ErrorKind::UploadUnavailable),
                    5 => return self.refuse(ErrorKind::UploadRejected),
                    6 => std::future::pending().await,
                    // Success is claimed for what was read in part.
                    7 => drop(upload.open().await?.next().await?),
                    _ => drop(upload.bytes().await?),
                }
                Ok(Uploaded::new(LinkUrl::parse("http://h/f").unwrap()).with_handle(handle))
            })
        }

        fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
            Box::pin(async move {
                match self.next(8) {
                    1 => return Err(Error::new(ErrorKind::Network, "unreachable")),
                    2 => std::future::pending().await,
                    3 => return Err(Error::new(ErrorKind::LinkUnavailable, "not now")),
                    _ => {}
                }
                let mut server = self.server();
                server.existing.remove(handle);
                server.deleted.push(handle.to_owned());
                Ok(())
            })
        }

        fn download<'a>(&'a self, _: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
            Box::pin(std::future::pending())
        }

        fn origins(&self) -> Vec<Origin> {
            vec![]
        }

        fn max_url_len(&self, _: &str) -> usize {
            0
        }
    }

    /// A message's uploads, dropped in the middle or not, and what the bridge does when the message goes out, or not.
    async fn send(numbers: Vec<u8>) {
        let (numbers, shared) = (Mutex::new(numbers.clone().into_iter()), numbers.len() % 2 == 1);
        let store = Random { numbers, shared, server: Mutex::default() };
        let last_begin = (store.next(2) == 1).then(|| store.seconds(10));
        let retry = Retry::default().max_retries(store.next(4).into()).total(last_begin);
        let total = Some(Duration::from_secs(1) + store.seconds(60));
        let options = UploadOptions { retry, total, ..UploadOptions::default() };
        let item = |n: u8| (n.to_string(), Source::chunks(vec![vec![n; 10].into(), vec![n; 10].into()]));
        let items: Vec<_> = (0..1 + store.next(4)).map(item).collect();
        let count = items.len();
        let dropped = (store.next(4) == 1).then(|| store.seconds(6));

        let ledger = Arc::new(Ledger::new(None));
        let began = Instant::now();
        let uploads = upload_all(&store, items, &ledger, &options, None, 1);
        let outcome = match dropped {
            Some(after) => timeout(after, uploads).await.ok(),
            None => Some(uploads.await),
        };
        assert!(total.is_none_or(|total| began.elapsed() <= total + Duration::from_millis(2)));
        let published: Vec<String> = match outcome {
            Some(Ok(stored)) => {
                assert_eq!(stored.len(), count);
                assert!(stored.iter().all(|stored| stored.len == 20));
                ledger.strike_out().await.unwrap();
                ledger.keep();
                stored.iter().map(|stored| stored.uploaded.handle().to_owned()).collect()
            }
            Some(Err((number, error))) => {
                assert!(number < count);
                assert_eq!(error.attempts(), Some(store.server().batches.len() as u32), "{error}");
                vec![]
            }
            None => vec![],
        };
        // What has been struck out and let go of is deleted by nobody; the rest, now or by whoever reads the record.
        ledger.fail_all();
        let _ = delete_unwanted(&store, &ledger).await;
        let (server, known) = (store.server(), ledger.unwanted());
        for handle in &server.existing {
            assert!(published.contains(handle) || known.contains(handle), "{handle} is known to nobody");
        }
        for handle in &published {
            assert!(server.existing.contains(handle) && !server.deleted.contains(handle), "{handle} is gone");
        }
        assert!(server.batches.len() <= 1 + retry.max_retries as usize);
        let in_time = |at: &Instant| last_begin.is_none_or(|last| *at - began <= last);
        assert!(server.batches.iter().skip(1).all(in_time), "{:?} of {last_begin:?}", server.batches);
        assert!(server.last.is_none_or(|last| last == server.batches.len()), "tried again for nothing");
    }

    proptest! {
        #[test]
        fn what_is_uploaded_is_published_or_deleted_or_known(numbers in prop::collection::vec(any::<u8>(), 0..80)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(send(numbers));
        }
    }
}
