//! What strangers can do to a log: how often the same complaint is logged, and how much of a message's own words.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Log lines at once, and then one for each [`PAUSE`] (chosen: enough to see what it is, few enough to read).
const BURST: u32 = 8;
const PAUSE: Duration = Duration::from_secs(1);

/// Lets some complaints through and counts the others.
#[derive(Debug, Default)]
pub(super) struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Complaints that may be logged without a pause.
    left: u32,
    /// When one was last logged.
    last: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    /// Whether to log a complaint at this time; then how many were not logged since the one before.
    pub(super) fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = state.last.map_or(u32::MAX, |last| {
            let pauses = now.saturating_duration_since(last).as_secs() / PAUSE.as_secs();
            u32::try_from(pauses).unwrap_or(u32::MAX)
        });
        state.left = state.left.saturating_add(rested).min(BURST);
        if state.left == 0 {
            state.suppressed += 1;
            return None;
        }
        state.left -= 1;
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

/// The beginning of an id: it is shown with every line that is logged about its message, and may have kilobytes.
pub(super) fn brief(id: &str) -> &str {
    let mut end = id.len().min(MAX_ID);
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    &id[..end]
}

/// Bytes of an id in a log (chosen): any that somebody could want to look for.
const MAX_ID: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_whole_up_to_their_bound_and_text_beyond() {
        assert_eq!(brief(""), "");
        assert_eq!(brief(&"x".repeat(128)).len(), 128);
        assert_eq!(brief(&"x".repeat(129)).len(), 128);
        assert_eq!(brief(&"x€".repeat(1000)), "x€".repeat(32));
        assert_eq!(brief(&format!("x{}", "€".repeat(1000))).len(), 127);
    }

    #[test]
    fn a_flood_is_one_line_a_second_and_nothing_is_lost_count_of() {
        let limit = LogLimit::default();
        let start = Instant::now();
        let passed = |from: u64, until: u64| -> Vec<u64> {
            (from..until).filter_map(|millis| limit.pass(start + Duration::from_millis(millis))).collect()
        };
        assert_eq!(passed(0, 500), [0; 8]);
        // The last line was at 7 ms, so the next is due at 1,007.
        assert_eq!(passed(500, 3000), [492 + 507, 999]);
        // After a rest there may be several again.
        assert_eq!(passed(60_000, 60_020), [992, 0, 0, 0, 0, 0, 0, 0]);
    }
}
