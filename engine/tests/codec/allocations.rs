//! Counts the allocations of the current thread.

use allocation_counter::measure;

/// How many allocations `work` makes, and what it returns.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let mut result = None;
    let allocated = measure(|| result = Some(work()));
    (usize::try_from(allocated.count_total).unwrap(), result.unwrap())
}

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| drop(std::hint::black_box(vec![1u8; 100]))).0, 1);
    assert_eq!(count(|| std::hint::black_box(1)).0, 0);
}
