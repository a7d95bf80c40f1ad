//! How far a transfer has come, for whoever wants to watch: a callback, or a stream.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// How far something has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// Bytes so far. A transfer that is tried again begins anew, so they may become fewer.
    pub bytes: u64,
    /// Bytes in all, as far as that is known.
    pub total: Option<u64>,
}

/// Where the progress of transfers is reported: of one, or of several at once, whose figures are added up. Cloning shares
/// it.
///
/// Reported are the bytes of payloads as they are handed to the connection (or taken from it), not what HTTP adds.
///
/// # Examples
/// ```no_run
/// use futures_util::StreamExt;
/// use natsbridge::link::Progress;
///
/// # async fn run(bridge: natsbridge::Bridge) -> Result<(), natsbridge::Error> {
/// let (progress, mut reports) = Progress::stream();
/// tokio::spawn(async move {
///     while let Some(report) = reports.next().await {
///         println!("{} of {:?} bytes", report.bytes, report.total);
///     }
/// });
/// bridge.send("videos").file("day.mp4", "/data/day.mp4").progress(progress).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    sums: Mutex<Sums>,
    report: Box<dyn Fn(Transferred) + Send + Sync>,
}

#[derive(Default)]
struct Sums {
    bytes: u64,
    total: u64,
    /// Parts whose length is not known.
    unknown: usize,
}

impl Progress {
    /// Calls a function for each piece, of up to 256 KiB. It is called within the transfer, so it must be quick.
    pub fn callback(report: impl Fn(Transferred) + Send + Sync + 'static) -> Self {
        Self { shared: Arc::new(Shared { sums: Mutex::default(), report: Box::new(report) }) }
    }

    /// A stream of reports. Who reads slowly misses some, never the last one. It ends when all transfers have.
    pub fn stream() -> (Self, ProgressStream) {
        let latest = Arc::new(Mutex::new(Latest::default()));
        let end = End(Arc::clone(&latest));
        let progress = Self::callback(move |report| {
            let mut latest = lock(&end.0);
            latest.report = Some(report);
            wake(latest);
        });
        (progress, ProgressStream { latest })
    }

    /// One more transfer to report, of so many bytes.
    pub(crate) fn part(&self, len: Option<u64>) -> Part {
        let part = Part { progress: self.clone(), bytes: Mutex::new(0), len };
        part.progress.change(|sums| match len {
            Some(len) => sums.total += len,
            None => sums.unknown += 1,
        });
        part
    }

    fn change(&self, change: impl FnOnce(&mut Sums)) {
        let mut sums = lock(&self.shared.sums);
        change(&mut sums);
        let total = (sums.unknown == 0).then_some(sums.total);
        let report = Transferred { bytes: sums.bytes, total };
        // Within the lock, so that reports come in order.
        (self.shared.report)(report);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

/// One transfer among those of a [`Progress`].
#[derive(Debug)]
pub(crate) struct Part {
    progress: Progress,
    bytes: Mutex<u64>,
    len: Option<u64>,
}

impl Part {
    /// So many bytes more.
    pub(crate) fn add(&self, count: u64) {
        let mut bytes = lock(&self.bytes);
        *bytes += count;
        self.progress.change(|sums| sums.bytes += count);
    }

    /// It begins anew.
    pub(crate) fn restart(&self) {
        let mut bytes = lock(&self.bytes);
        let done = std::mem::take(&mut *bytes);
        if done > 0 {
            self.progress.change(|sums| sums.bytes -= done);
        }
    }

    /// The end of a transfer whose length was not known is its length.
    pub(crate) fn finished(&self) {
        if self.len.is_none() {
            let bytes = lock(&self.bytes);
            self.progress.change(|sums| {
                sums.unknown = sums.unknown.saturating_sub(1);
                sums.total += *bytes;
            });
        }
    }
}

#[derive(Default)]
struct Latest {
    report: Option<Transferred>,
    ended: bool,
    waker: Option<Waker>,
}

/// Ends the stream with the callback that feeds it.
struct End(Arc<Mutex<Latest>>);

impl Drop for End {
    fn drop(&mut self) {
        let mut latest = lock(&self.0);
        latest.ended = true;
        wake(latest);
    }
}

fn wake(mut latest: MutexGuard<'_, Latest>) {
    let waker = latest.waker.take();
    drop(latest);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reports of a [`Progress`] as they come; with the feature `nats` it is a `Stream`.
pub struct ProgressStream {
    latest: Arc<Mutex<Latest>>,
}

impl ProgressStream {
    /// The latest report that was not seen yet; `None` when all transfers have ended.
    pub async fn next(&mut self) -> Option<Transferred> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Transferred>> {
        let mut latest = lock(&self.latest);
        match latest.report.take() {
            Some(report) => Poll::Ready(Some(report)),
            None if latest.ended => Poll::Ready(None),
            None => {
                latest.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(feature = "nats")]
impl futures_util::Stream for ProgressStream {
    type Item = Transferred;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Transferred>> {
        self.poll(cx)
    }
}

impl fmt::Debug for ProgressStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_begin_anew() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let progress = Progress::callback(move |report| lock(&log).push((report.bytes, report.total)));
        let (a, b) = (progress.part(Some(10)), progress.part(None));
        a.add(4);
        b.add(3);
        a.restart();
        a.add(10);
        b.finished();
        let expected =
            [(0, Some(10)), (0, None), (4, None), (7, None), (3, None), (13, None), (13, Some(13))];
        assert_eq!(*lock(&seen), expected);
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn a_stream_has_the_latest_report_and_an_end() {
        let (progress, mut stream) = Progress::stream();
        let part = progress.part(Some(10));
        part.add(5);
        part.add(5);
        let report = stream.next().await.unwrap();
        assert_eq!((report.bytes, report.total), (10, Some(10)));
        drop((part, progress));
        assert_eq!(stream.next().await, None);
    }
}
