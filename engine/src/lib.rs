//! NATSBridge messages at the speed of the transport.
#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod base64;
#[cfg(feature = "nats")]
pub mod bridge;
pub mod envelope;
mod error;
#[cfg(feature = "fileserver")]
pub mod fileserver;
mod limits;
pub mod link;
pub mod payload;
pub mod plan;
pub mod timestamp;

#[cfg(feature = "nats")]
pub use bridge::{
    Bridge, Delivery, Message, Receipt, ReceivedPayload, SmartData, SmartReceive, SmartSend, Subscription,
    blocking, smartreceive, smartsend,
};
pub use envelope::{
    Content, Data, Dialect, Envelope, MessageFields, Metadata, MetadataView, PayloadFields, PayloadView,
    Transport, encode, encoded_len,
};
pub use error::{Error, ErrorKind, Fault, Result};
pub use limits::{Limits, MAX_DEPTH};
pub use payload::{Payload, PayloadData, PayloadType, Verification};
