//! NATSBridge messages at the speed of the transport.
#![warn(missing_docs)]
#![deny(unsafe_code)]

mod error;
mod limits;
pub mod payload;

pub use error::{Error, ErrorKind, Fault, Result};
pub use limits::{Limits, MAX_DEPTH};
