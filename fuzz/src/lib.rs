//! Fuzz targets for the codec: the same properties that its tests try with random input, here for longer.
//!
//! On a stable toolchain, without sanitizers (`cargo install --locked cargo-fuzz`):
//!
//! ```text
//! cd fuzz
//! cargo fuzz run -s none --features libfuzzer envelope_differential seeds/envelope_differential -- -max_total_time=60
//! ```
//!
//! The first folder takes what the fuzzer finds interesting: name a scratch folder before the seeds to keep them
//! small. A crash becomes a seed in the commit that fixes it; an ordinary test replays all of them.

#[path = "../../engine/tests/codec/oracle/mod.rs"]
mod oracle;
#[path = "../../engine/tests/codec/properties.rs"]
mod properties;
#[path = "../../engine/tests/codec/source.rs"]
mod source;

/// The name of each target, and the property that it tries.
pub const TARGETS: [(&str, Property); 7] = properties::ALL;

/// A property of any bytes; it panics where it does not hold.
pub type Property = fn(&[u8]);

/// Tries one target's property.
///
/// # Panics
/// Where it does not hold, and for a name that is no target's.
pub fn run(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, property) = found.expect("every fuzz target is in the table");
    property(bytes);
}
