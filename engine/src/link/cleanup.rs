//! Deleting in the background what an abandoned send has uploaded.
//!
//! A future that is dropped cannot wait for anything, so what it leaves behind is deleted by a task. A program that is
//! about to end waits for those tasks, because the runtime's end would end them too.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The deletions of this process that have not ended.
static PENDING: AtomicUsize = AtomicUsize::new(0);
static ENDED: Notify = Notify::const_new();

/// Waits until all deletions of abandoned uploads have ended, those of every bridge and store in this process.
///
/// Returns at once where there are none. [`Bridge::drain`](crate::Bridge::drain) waits for them as well. Each has the
/// deadlines of its store; a program in a hurry puts a timeout around this.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// natsbridge::link::cleanups_finished().await;
/// # }
/// ```
pub async fn cleanups_finished() {
    loop {
        let ended = ENDED.notified();
        if PENDING.load(Ordering::Acquire) == 0 {
            return;
        }
        ended.await;
    }
}

/// Runs a deletion that [`cleanups_finished`] waits for; `None` outside a runtime, where nothing can be done.
pub(crate) fn spawn<T: Send + 'static>(
    deletion: impl Future<Output = T> + Send + 'static,
) -> Option<JoinHandle<T>> {
    let runtime = Handle::try_current().ok()?;
    let pending = Pending::new();
    Some(runtime.spawn(async move {
        let _pending = pending;
        deletion.await
    }))
}

/// Counts one deletion until it is dropped, even if the task is cancelled before it has begun.
struct Pending;

impl Pending {
    fn new() -> Self {
        PENDING.fetch_add(1, Ordering::AcqRel);
        Self
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        PENDING.fetch_sub(1, Ordering::AcqRel);
        ENDED.notify_waiters();
    }
}
