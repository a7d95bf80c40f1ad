//! Keeps a producer from running ahead of its consumer: a full subscription queue would drop messages.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts what has been received; the producer waits on it.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    received: AtomicUsize,
    moved: Notify,
}

impl Window {
    /// A window of about 8 MiB, of 8 to 4,096 messages.
    pub(super) fn of(message_len: usize) -> Self {
        let size = ((8 << 20) / message_len.max(1)).clamp(8, 4096);
        Self { size, received: AtomicUsize::new(0), moved: Notify::new() }
    }

    pub(super) fn reset(&self) {
        self.received.store(0, Ordering::Release);
    }

    /// Waits until message number `sent`, counted from 0, may go.
    pub(super) async fn room(&self, sent: usize) {
        while sent >= self.received.load(Ordering::Acquire) + self.size {
            let moved = self.moved.notified();
            if sent < self.received.load(Ordering::Acquire) + self.size {
                return;
            }
            moved.await;
        }
    }

    /// Takes note of one more; the producer is woken four times a window.
    pub(super) fn received(&self) {
        let received = self.received.fetch_add(1, Ordering::AcqRel) + 1;
        if received.is_multiple_of((self.size / 4).max(1)) {
            self.moved.notify_one();
        }
    }
}
