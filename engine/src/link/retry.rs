//! When to try a transfer again: a pure function of the attempt, a seed and what the server asked for.

use std::time::Duration;

/// The schedule of the retries of a download or an upload: exponential backoff with equal jitter.
///
/// The first try is at once. Before retry `n`, counted from 1, let `d = min(max_delay, base_delay * 2^(n-1))`; the wait
/// is drawn evenly from `d/2..=d`, so that many receivers of one message do not come back together.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use natsbridge::link::Retry;
///
/// let retry = Retry::default();
/// let wait = retry.delay(3, 42, None).unwrap();
/// assert!(wait >= Duration::from_millis(200) && wait <= Duration::from_millis(400));
/// assert_eq!(wait, retry.delay(3, 42, None).unwrap()); // the same seed, the same wait
/// assert_eq!(retry.delay(6, 42, None), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// How many times to try again after the first try. Default 5, so at most six requests.
    pub max_retries: u32,
    /// The longest wait before the first retry; it doubles with each one. Default 100 ms.
    pub base_delay: Duration,
    /// No wait is longer, not even one that the server asks for. Default 5 s.
    pub max_delay: Duration,
    /// No try begins later than this after the first one. Default none.
    pub total: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_retries: 5,
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            total: None,
        }
    }
}

impl Retry {
    /// One try and no more.
    pub fn never() -> Self {
        Self::default().max_retries(0)
    }

    /// For transfers that must survive a file server that is restarted: 30 tries, 100 ms to 5 s apart, 120 s in all.
    pub fn resilient() -> Self {
        Self::default().max_retries(29).total(Duration::from_secs(120))
    }

    /// Sets [`max_retries`](Self::max_retries).
    #[must_use]
    pub fn max_retries(mut self, count: u32) -> Self {
        self.max_retries = count;
        self
    }

    /// Sets [`base_delay`](Self::base_delay).
    #[must_use]
    pub fn base_delay(mut self, delay: Duration) -> Self {
        self.base_delay = delay;
        self
    }

    /// Sets [`max_delay`](Self::max_delay).
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets [`total`](Self::total).
    #[must_use]
    pub fn total(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.total = limit.into();
        self
    }

    /// Like [`delay`](Self::delay), `elapsed` after the first try began: `None` too where the wait would go beyond
    /// [`total`](Self::total).
    pub fn delay_after(
        &self,
        elapsed: Duration,
        n: u32,
        seed: u64,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        let wait = self.delay(n, seed, retry_after)?;
        let in_time = self.total.is_none_or(|total| elapsed.saturating_add(wait) < total);
        in_time.then_some(wait)
    }

    /// How long to wait before retry `n`, counted from 1; `None` to give up.
    ///
    /// `seed` should differ between receivers, and between the downloads of one message. `retry_after` is what the
    /// server asked for: the wait is at least that, but never longer than [`max_delay`](Self::max_delay).
    pub fn delay(&self, n: u32, seed: u64, retry_after: Option<Duration>) -> Option<Duration> {
        if n > self.max_retries {
            return None;
        }
        let wait = jitter(self.ceiling(n), seed ^ u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Some(wait.max(retry_after.unwrap_or_default().min(self.max_delay)))
    }

    /// `min(max_delay, base_delay * 2^(n-1))`, for any `n`.
    fn ceiling(&self, n: u32) -> Duration {
        let doublings = n.saturating_sub(1);
        let base = self.base_delay.as_nanos();
        let max = self.max_delay.as_nanos();
        // A shift that would push a bit out is above any `max_delay`, which has far fewer than 128 bits.
        let grown = if doublings < base.leading_zeros() { base << doublings } else { u128::MAX };
        if base == 0 { Duration::ZERO } else { from_nanos(grown.min(max)) }
    }
}

/// A time drawn evenly from `longest/2..=longest`.
fn jitter(longest: Duration, seed: u64) -> Duration {
    let longest = longest.as_nanos();
    let half = longest / 2;
    let spread = longest - half + 1;
    // spread <= 2^93, so it is split to keep the product within 128 bits.
    let random = u128::from(splitmix64(seed));
    let drawn = (((spread >> 32) * random) >> 32) + (((spread & 0xFFFF_FFFF) * random) >> 64);
    from_nanos((half + drawn).min(longest))
}

/// One step of the SplitMix64 generator: every seed, consecutive ones too, gives a well mixed value.
fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `nanos` comes from a `Duration` or is less than one, so its seconds fit.
fn from_nanos(nanos: u128) -> Duration {
    const GIGA: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / GIGA).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(nanos % GIGA).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn the_default_schedule_doubles_and_then_gives_up() {
        let retry = Retry::default();
        for (n, longest) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1600)] {
            for seed in 0..200 {
                let wait = retry.delay(n, seed, None).unwrap();
                assert!(wait >= ms(longest / 2) && wait <= ms(longest), "retry {n}: {wait:?}");
            }
        }
        assert_eq!(retry.delay(6, 0, None), None);
        assert_eq!(Retry::never().delay(1, 0, None), None);
    }

    #[test]
    fn the_resilient_schedule_outlasts_half_a_minute_and_ends_within_two() {
        let retry = Retry::resilient();
        for seed in 0..200 {
            let mut elapsed = Duration::ZERO;
            let mut n = 1;
            while let Some(wait) = retry.delay_after(elapsed, n, seed, Some(ms(4000))) {
                elapsed += wait;
                n += 1;
            }
            assert!(n <= 30 && elapsed > ms(50_000) && elapsed < ms(120_000), "{n} tries, {elapsed:?}");
        }
        assert_eq!(retry.delay_after(ms(119_000), 20, 0, None), None);
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let retry = Retry::default();
        let waits: Vec<_> = (0..1000).map(|seed| retry.delay(1, seed, None).unwrap()).collect();
        for step in 0..10 {
            let (low, high) = (ms(50 + step * 5), ms(55 + step * 5));
            let count = waits.iter().filter(|&&wait| wait >= low && wait < high).count();
            assert!((60..=140).contains(&count), "{count} of 1000 between {low:?} and {high:?}");
        }
    }

    #[test]
    fn a_server_may_ask_for_more_but_not_for_ever() {
        let retry = Retry::default();
        assert_eq!(retry.delay(1, 0, Some(ms(3000))), Some(ms(3000)));
        assert_eq!(retry.delay(1, 0, Some(Duration::MAX)), Some(ms(5000)));
        assert!(retry.delay(1, 0, Some(Duration::ZERO)).unwrap() >= ms(50));
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_bounds(
            n in 1..=u32::MAX,
            seed: u64,
            base: (u64, u32),
            max: (u64, u32),
            asked: Option<(u64, u32)>,
        ) {
            let duration = |(seconds, nanos): (u64, u32)| Duration::new(seconds, nanos % 1_000_000_000);
            let (base, max, asked) = (duration(base), duration(max), asked.map(duration));
            let retry = Retry::default().max_retries(u32::MAX).base_delay(base).max_delay(max);
            let longest = base.saturating_mul(1u32.checked_shl(n - 1).unwrap_or(u32::MAX)).min(max);
            let wait = retry.delay(n, seed, asked).unwrap();
            prop_assert!(wait <= max);
            if n <= 32 {
                prop_assert!(wait >= longest / 2);
                prop_assert!(asked.is_some() || wait <= longest);
            }
            if let Some(asked) = asked {
                prop_assert!(wait >= asked.min(max));
            }
        }

        #[test]
        fn retries_end(max_retries in 0..1000u32, seed: u64, beyond in 1..=u32::MAX) {
            let retry = Retry::default().max_retries(max_retries);
            prop_assert!(retry.delay(max_retries.saturating_add(beyond), seed, None).is_none());
            prop_assert!(max_retries == 0 || retry.delay(max_retries, seed, None).is_some());
        }
    }
}
