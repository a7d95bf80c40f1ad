//! Fuzz targets: properties of everything that reads what a stranger wrote, and of what decides by it.
//!
//! Each target is a function of bytes that panics where its property does not hold. `scripts/fuzz-smoke.sh` and
//! `scripts/fuzz-long.sh` run them under libFuzzer on the stable toolchain; `tests/seeds.rs` replays the seeds, and what
//! was found before, in every ordinary test run.
#![allow(clippy::unwrap_used, reason = "a property fails as a test does")]

#[path = "../../engine/tests/table/columns.rs"]
mod columns;
mod link;
mod link_policy;
mod link_reach;
mod link_store;
mod multipart;
#[path = "../../engine/tests/codec/oracle/mod.rs"]
mod oracle;
#[path = "../../engine/cli/src/payload_spec.rs"]
mod payload_spec;
mod payload_syntax;
mod plik_reply;
#[path = "../../engine/tests/codec/properties.rs"]
mod properties;
#[path = "../../engine/tests/table/property.rs"]
mod property;
#[path = "../../engine/src/link/plik/reply.rs"]
mod reply;
mod retry_schedule;
#[path = "../../engine/tests/codec/source.rs"]
mod source;
mod table;
mod views;

// What `reply.rs` refers to there.
use natsbridge::timestamp;

/// A property of any bytes; it panics where it does not hold.
pub type Property = fn(&[u8]);

/// The targets beside those of the codec's tests.
const OTHERS: [(&str, Property); 10] = [
    ("views_memory", views::memory),
    ("table", table::any),
    ("table_structured", table::structured),
    ("plik_reply", plik_reply::answers),
    ("multipart", multipart::writer),
    ("link_policy", link_policy::policy),
    ("link_reach", link_reach::reach),
    ("link_store", link_store::machine),
    ("retry_schedule", retry_schedule::schedule),
    ("payload_syntax", payload_syntax::syntax),
];

/// The name of each target, and the property that it tries.
pub fn targets() -> impl Iterator<Item = (&'static str, Property)> {
    properties::ALL.into_iter().chain(OTHERS)
}

/// Tries one target's property.
///
/// # Panics
/// Where it does not hold, and for a name that is no target's.
pub fn run(target: &str, bytes: &[u8]) {
    let found = targets().find(|(name, _)| *name == target);
    let (_, property) = found.expect("every fuzz target is in the table");
    property(bytes);
}
