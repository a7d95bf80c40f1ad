//! `smartsend` and `smartreceive`: the two calls that every port has, with their names, arguments and defaults.
//!
//! Each `smartsend` makes a connection of its own, as the other ports do. A program that sends often keeps a
//! [`Bridge`] instead.

pub mod blocking;
mod data;
mod receive;
mod send;

pub use self::data::SmartData;
pub use self::receive::{ReceivedEnvelope, SmartMessage, SmartReceive, smartreceive};
pub use self::send::{SmartSend, smartsend};
#[cfg(doc)]
use super::Bridge;

const NATS_URL: &str = "nats://localhost:4222";
const FILESERVER_URL: &str = "http://localhost:8080";
