//! When a transfer is tried again: bounded in number and in time, for every setting that can be asked for.

use std::time::Duration;

use natsbridge::link::Retry;

use crate::source::Source;

/// Settings, seeds and what the server asks for, from the bytes.
pub(crate) fn schedule(bytes: &[u8]) {
    let source = &mut Source::new(bytes);
    let mut retry = Retry::default();
    if !source.one_in(3) {
        retry = retry.base_delay(duration(source));
    }
    if !source.one_in(3) {
        retry = retry.max_delay(duration(source));
    }
    let count = match source.below(8) {
        0 => u32::MAX,
        1 => 0,
        _ => source.below(40) as u32,
    };
    retry = retry.max_retries(count);
    assert_eq!(retry, retry.max_retries(count).base_delay(retry.base_delay).max_delay(retry.max_delay));

    // A download of the schedule's own: tries fail at once, and waits add up.
    let mut waited = Duration::ZERO;
    let seed = u64::from_le_bytes(std::array::from_fn(|_| source.byte()));
    let last = count.min(64);
    for n in 1..=last {
        let asked = source.one_in(3).then(|| duration(source));
        let wait = retry.delay(n, seed, asked).expect("there are tries left");
        assert_eq!(retry.delay(n, seed, asked), Some(wait), "the same seed gives the same wait");
        assert!(wait <= retry.max_delay, "{retry:?}: retry {n} waits {wait:?}");
        let longest = doubled(retry.base_delay, n - 1).min(retry.max_delay);
        let least = (longest / 2).max(asked.unwrap_or_default().min(retry.max_delay));
        assert!(wait >= least, "{retry:?}: retry {n} waits {wait:?}, asked {asked:?}");
        let most = longest.max(asked.unwrap_or_default().min(retry.max_delay));
        assert!(wait <= most, "{retry:?}: retry {n} waits {wait:?}, asked {asked:?}");
        waited = waited.saturating_add(wait);
        assert!(waited <= retry.max_delay.saturating_mul(n), "{retry:?}");
    }
    let beyond = u64::from(count) + 1 + source.below(1000) as u64;
    if let Ok(beyond) = u32::try_from(beyond) {
        assert_eq!(retry.delay(beyond, seed, Some(Duration::ZERO)), None, "it ends");
    }
    // Far along, where doubling has left every number behind.
    let far = u32::MAX - source.below(5) as u32;
    let wait = retry.max_retries(u32::MAX).delay(far, seed, None).expect("there are tries left");
    let longest = if retry.base_delay.is_zero() { Duration::ZERO } else { retry.max_delay };
    assert!(wait >= longest / 2 && wait <= longest, "{retry:?}: retry {far} waits {wait:?}");
    let total = (!source.one_in(4)).then(|| duration(source));
    within(source, retry.total(total), seed);
}

/// A transfer whose tries take their time: none begins when its total is over, and none that begins before is left out.
fn within(source: &mut Source<'_>, retry: Retry, seed: u64) {
    let mut elapsed = Duration::ZERO;
    for n in 1..=64 {
        if source.one_in(2) {
            elapsed = elapsed.saturating_add(duration(source));
        }
        let asked = source.one_in(3).then(|| duration(source));
        let wait = retry.delay(n, seed, asked);
        assert_eq!(wait, retry.total(None).delay(n, seed, asked), "the total says nothing about one wait");
        // In numbers that cannot overflow.
        let in_time = |wait: &Duration| {
            retry.total.is_none_or(|total| elapsed.as_nanos() + wait.as_nanos() < total.as_nanos())
        };
        let begins = retry.delay_after(elapsed, n, seed, asked);
        assert_eq!(begins, wait.filter(in_time), "{retry:?}: retry {n} after {elapsed:?}");
        let Some(wait) = begins else { return };
        elapsed = elapsed.saturating_add(wait);
    }
}

/// One doubling at a time.
fn doubled(mut delay: Duration, times: u32) -> Duration {
    for _ in 0..times {
        delay = delay.saturating_mul(2);
    }
    delay
}

/// From nothing to for ever.
fn duration(source: &mut Source<'_>) -> Duration {
    match source.below(6) {
        0 => Duration::ZERO,
        1 => Duration::MAX,
        2 => Duration::from_nanos(source.below(5) as u64),
        3 => Duration::new(u64::from(source.byte()) << (source.byte() % 57), u32::from(source.byte())),
        _ => Duration::from_millis(source.below(1 << 14) as u64),
    }
}
