//! Payload types.
#[cfg(feature = "table")]
pub mod table;
#[cfg(feature = "table")]
mod table_guard;
