//! Benchmarks of the codec; see `benches/codec.rs`.
