//! The registry: every scenario, in the order of the tables.

mod base64;
mod envelope;
mod payload;

use std::hint::black_box;

use crate::scenario::{Contestant, Scenario};

/// The sizes that the gate counts: instructions of larger ones are these in proportion.
const GATED: [&str; 3] = ["64B", "1KiB", "64KiB"];

/// All scenarios that this build has.
pub fn all() -> Vec<Scenario> {
    let mut all = base64::scenarios();
    all.extend(envelope::scenarios());
    all.extend(payload::scenarios());
    all
}

/// The ceiling: the raw bytes copied into a warm buffer.
fn memcpy(raw: Vec<u8>) -> Contestant {
    let expected = raw.clone();
    let copy = vec![0; raw.len()];
    Contestant::new(
        "memcpy",
        &expected,
        (raw, copy),
        |(raw, copy)| black_box(copy).copy_from_slice(black_box(raw)),
        |(_, copy)| copy.clone(),
    )
}
