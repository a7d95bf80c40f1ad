//! Benchmarks of natsbridge beside its rivals.

pub mod cli;
pub mod engine;
pub mod input;
pub mod measure;
#[cfg(feature = "nats")]
pub mod nats;
pub mod ratios;
pub mod rival;
pub mod scenario;
pub mod scenarios;
