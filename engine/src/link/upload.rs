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
    use std::sync::Mutex;

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
}
