//! How many transfers of a bridge may run at once, and how many bytes they may hold together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of transfers and a number of bytes that are shared by all who claim them, first come, first served.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use natsbridge::link::Budget;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let budget = Arc::new(Budget::new(16, 64 << 20));
/// let claim = budget.claim(1 << 20).await; // waits while there is no room
/// drop(claim); // gives it back
/// # });
/// ```
#[derive(Debug)]
pub struct Budget {
    transfers: Arc<Semaphore>,
    /// In units of [`UNIT`].
    bytes: Arc<Semaphore>,
    whole: u32,
}

/// What a permit of the byte semaphore stands for: its counter is narrow, and pages are no smaller.
const UNIT: u64 = 1024;

impl Budget {
    /// A budget of this many transfers, at least one, and this many bytes, rounded up to KiB.
    pub fn new(transfers: usize, bytes: u64) -> Self {
        let whole = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        Self {
            transfers: Arc::new(Semaphore::new(transfers.clamp(1, Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(whole as usize)),
            whole,
        }
    }

    /// Waits until there is room for one more transfer that holds so many bytes. One that asks for more than the whole
    /// budget gets the whole, alone.
    pub async fn claim(&self, bytes: u64) -> Claim {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.whole);
        // Neither semaphore is ever closed. Whoever waits for bytes has its turn already, so nobody waits in a circle.
        let transfer = Arc::clone(&self.transfers).acquire_owned().await.ok();
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(units).await.ok();
        Claim { _transfer: transfer, _bytes: bytes }
    }

    /// Bytes that nobody has claimed.
    pub fn available(&self) -> u64 {
        self.bytes.available_permits() as u64 * UNIT
    }
}

/// A part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub struct Claim {
    _transfer: Option<OwnedSemaphorePermit>,
    _bytes: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn claims_wait_for_room_of_either_kind() {
        let soon = Duration::from_secs(1);
        let budget = Budget::new(2, 10 * UNIT);
        let first = budget.claim(6 * UNIT).await;
        assert!(timeout(soon, budget.claim(5 * UNIT)).await.is_err(), "too many bytes");
        let second = budget.claim(4 * UNIT).await;
        assert_eq!(budget.available(), 0);
        drop(first);
        let third = budget.claim(UNIT).await;
        assert!(timeout(soon, budget.claim(0)).await.is_err(), "too many transfers");
        drop((second, third));
        // More than there is: the whole, alone.
        let all = budget.claim(u64::MAX).await;
        assert_eq!(budget.available(), 0);
        assert!(timeout(soon, budget.claim(1)).await.is_err());
        drop(all);
        assert_eq!(budget.available(), 10 * UNIT);
    }
}
