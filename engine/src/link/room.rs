//! The memory that the downloads of one bridge may take together.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// A bound on the bytes that downloads in progress hold, all of them together.
///
/// A download waits until there is room for the size that its message announces. One that turns out larger takes more
/// where there is more; else it waits to be the only one that goes beyond the bound. So there is no way to wait for
/// each other, and what is held is at most the bound and one download's own limit.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// In KiB.
    free: Arc<Semaphore>,
    capacity: u32,
    /// Whoever holds it may go beyond the bound.
    beyond: Arc<Mutex<()>>,
}

/// A download's part of the room, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    room: &'a Room,
    held: OwnedSemaphorePermit,
    beyond: Option<OwnedMutexGuard<()>>,
}

/// What a connection takes beside the payload: what it reads at once, and what belongs to a task and a socket.
const CONNECTION: u64 = 320 * 1024;

/// What a download of unknown size begins with, 1 MiB (chosen).
const UNKNOWN: u64 = 1024 * 1024;

/// The least step by which a download takes more, in KiB.
const STEP: u32 = 1024;

impl Room {
    pub(crate) fn new(bytes: u64) -> Self {
        // The semaphore takes fewer than 2^29 permits on 32-bit machines.
        let capacity = bytes.div_ceil(1024).clamp(1, 1 << 28) as u32;
        Self { free: Arc::new(Semaphore::new(capacity as usize)), capacity, beyond: Arc::new(Mutex::new(())) }
    }

    /// Waits for room for so many bytes, but for no more than there is at all.
    pub(crate) async fn enter(&self, len: Option<u64>) -> Place<'_> {
        let wanted = self.permits(len.unwrap_or(UNKNOWN).saturating_add(CONNECTION));
        let Ok(held) = Arc::clone(&self.free).acquire_many_owned(wanted).await else {
            unreachable!("the semaphore is never closed")
        };
        Place { room: self, held, beyond: None }
    }

    fn permits(&self, len: u64) -> u32 {
        u32::try_from(len.div_ceil(1024)).unwrap_or(u32::MAX).min(self.capacity)
    }
}

impl Place<'_> {
    /// Waits until so many bytes in all may be held.
    pub(crate) async fn grow(&mut self, len: u64) {
        let held = self.held.num_permits() as u64;
        let len = len.saturating_add(CONNECTION);
        if len <= held * 1024 || self.beyond.is_some() {
            return;
        }
        let missing = (len.div_ceil(1024) - held).max(u64::from(STEP)) as u32;
        match Arc::clone(&self.room.free).try_acquire_many_owned(missing) {
            Ok(more) => self.held.merge(more),
            Err(_) => self.beyond = Some(Arc::clone(&self.room.beyond).lock_owned().await),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    const MIB: u64 = 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn downloads_wait_for_each_other() {
        let room = Room::new(10 * MIB + 2 * CONNECTION);
        let first = room.enter(Some(6 * MIB)).await;
        assert!(timeout(SOON, room.enter(Some(5 * MIB))).await.is_err());
        let second = room.enter(Some(4 * MIB)).await;
        drop(first);
        let third = room.enter(Some(6 * MIB)).await;
        drop((second, third));
        // More than there is at all waits for everything, and not for ever.
        drop(room.enter(Some(u64::MAX)).await);
        drop(room.enter(None).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_turns_out_larger_goes_beyond_one_at_a_time() {
        let room = Room::new(4 * MIB + 2 * CONNECTION);
        let mut first = room.enter(Some(MIB)).await;
        let mut second = room.enter(Some(MIB)).await;
        first.grow(2 * MIB).await;
        second.grow(2 * MIB).await;
        assert_eq!(room.free.available_permits(), 0);
        first.grow(100 * MIB).await;
        first.grow(200 * MIB).await;
        assert!(timeout(SOON, second.grow(3 * MIB)).await.is_err());
        drop(first);
        second.grow(3 * MIB).await;
        drop(second);
        assert_eq!(room.free.available_permits() as u64, 4096 + 2 * CONNECTION / 1024);
    }
}
