//! Measures natsbridge against what else could be used.

#[cfg(feature = "nats")]
pub mod nats;
