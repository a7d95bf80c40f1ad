//! Benchmarks of natsbridge beside its rivals.

pub mod cli;
pub mod compare;
pub mod engine;
pub mod input;
#[cfg(feature = "links")]
pub mod links;
pub mod machine;
pub mod measure;
#[cfg(feature = "nats")]
pub mod nats;
pub mod ratios;
pub mod record;
pub mod report;
pub mod rival;
pub mod scenario;
pub mod scenarios;
pub mod sibling;
pub mod trackers;
