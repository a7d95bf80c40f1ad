//! How much of a message's links has been fetched into memory.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// Bytes for each payload of one message, claimed before and corrected after its download. Costs nothing until there is one;
/// clones made after that share it.
#[derive(Clone, Default)]
pub(super) struct Totals(OnceLock<Arc<Mutex<Vec<u64>>>>);

impl Totals {
    /// Counts `len` bytes for the payload at `index` of `count`, if all payloads together stay within the limit; then how
    /// many they may be.
    pub(super) fn claim(&self, index: usize, count: usize, len: u64, limit: u64) -> Result<u64> {
        let shared = self.0.get_or_init(|| Arc::new(Mutex::new(vec![0; count])));
        let mut lens = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let others = lens.iter().enumerate().filter(|(other, _)| *other != index);
        let others = others.fold(0, |sum: u64, (_, len)| sum.saturating_add(*len));
        let total = others.saturating_add(len);
        if total > limit {
            return Err(exceeded(total, limit).in_payload(index));
        }
        // The vector has an element for each payload of the message.
        if let Some(claimed) = lens.get_mut(index) {
            *claimed = len;
        }
        Ok(limit - others)
    }
}

/// The links of one message hold more than they may.
pub(super) fn exceeded(total: u64, limit: u64) -> Error {
    let what = "the links of one message hold more bytes than `Limits::download_total` allows";
    Error::new(ErrorKind::LimitExceeded, what).with_size(total, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_counts_once_and_what_just_fits_is_allowed() {
        let totals = Totals::default();
        assert_eq!(totals.claim(0, 3, 60, 100).unwrap(), 100);
        assert_eq!(totals.claim(0, 3, 60, 100).unwrap(), 100);
        assert_eq!(totals.claim(1, 3, 40, 100).unwrap(), 40);
        let error = totals.clone().claim(2, 3, 1, 100).unwrap_err();
        assert_eq!((error.needed(), error.limit(), error.payload()), (Some(101), Some(100), Some(2)));
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        // A smaller answer than announced makes room again.
        totals.claim(0, 3, 59, 100).unwrap();
        totals.claim(2, 3, 1, 100).unwrap();
        assert!(totals.claim(1, 3, u64::MAX, u64::MAX - 1).is_err());
        assert!(totals.claim(1, 3, u64::MAX, u64::MAX).is_ok());
    }
}
