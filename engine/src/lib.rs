//! Sends and receives NATSBridge messages over NATS: typed payloads in one JSON envelope, large ones by link.
//!
//! A message is one JSON envelope with any number of typed payloads. Small payloads travel inside it as base64
//! (*direct*). Large ones are uploaded to an HTTP file server, and the envelope carries their URL (*link*): the
//! claim-check pattern. The format is written down in `conformance/SPEC.md` of the repository; comments cite its
//! clauses as `SPEC`.
//!
//! ```text
//! send      values ─► payload ─► plan ─┬─ direct ─► base64 ───────────┬─► envelope ─► NATS
//!                                      └─ link ───► upload ───► URL ──┘
//!                                                     │
//!                                                file server
//!                                                     │
//! receive  NATS ─► envelope ─┬─ link ─► policy ───► fetch ─► verify ─┬─► payload ─► values
//!                            └─ direct ─► base64 ────────────────────┘
//! ```
//!
//! # With NATS
//!
//! `Bridge` is the facade: connect once, then send, subscribe and request. `smartsend` and `smartreceive` are the two
//! calls that every NATSBridge port has.
//!
#![cfg_attr(all(feature = "nats", feature = "plik"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "nats", feature = "plik")), doc = "```ignore")]
//! use futures_util::StreamExt;
//! use natsbridge::{Bridge, link::Plik};
//!
//! # async fn run() -> Result<(), natsbridge::Error> {
//! let bridge = Bridge::builder()
//!     .store(Plik::new("http://localhost:8080")?) // where large payloads go, and may be fetched from
//!     .connect("nats://localhost:4222")
//!     .await?;
//!
//! let mut messages = bridge.subscribe("/chat/room1").await?;
//! bridge.send("/chat/room1").text("message", "Hello").image("photo", vec![0; 2_000_000]).await?;
//!
//! while let Some(message) = messages.next().await {
//!     let message = message?;
//!     println!("{}: {}", message.sender_name(), message.payload("message")?.text().await?);
//!     println!("{} bytes", message.payload("photo")?.bytes().await?.len()); // downloaded and verified
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Without
//!
//! The codec works on bytes alone. Ids and the time are arguments, so the same input gives the same bytes.
//!
//! ```
//! use natsbridge::{Data, Dialect, Envelope, MessageFields, PayloadFields, encode};
//!
//! let mut fields = MessageFields::default();
//! fields.correlation_id = "c-1";
//! let payloads = [PayloadFields::new("greeting", "text", Data::Bytes(b"Hello"))];
//! let mut message = bytes::BytesMut::new();
//! encode(Dialect::Camel, &fields, &payloads, &mut message);
//!
//! let envelope = Envelope::decode(message.freeze())?;
//! let greeting = envelope.payload_named("greeting").expect("it was written just now");
//! assert_eq!(greeting.decode()?.text()?, "Hello");
//! # Ok::<(), natsbridge::Error>(())
//! ```
//!
//! # Modules
//!
//! In the order in which a message passes through them when it is sent:
//!
//! | module | owns |
//! |---|---|
//! | `bridge` (feature `nats`) | the facade over async-nats |
//! | [`payload`] | values to bytes and back, by the payload's type |
//! | [`plan`](mod@plan) | direct or link, for each payload: a pure function |
//! | [`link`] | stores, what may be fetched, when to try again, verification |
//! | [`envelope`] | the names on the wire, writing in one pass, reading as views |
//! | [`base64`] | base64 by the bridge's rules |
//! | [`timestamp`] | times on the wire |
//! | `fileserver` (feature `fileserver`) | the embedded Plik-compatible file server |
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `nats` | yes | `Bridge`, `smartsend`, `smartreceive` |
//! | `plik` | yes | links over HTTP and HTTPS: the Plik store, downloads from allowed origins |
//! | `table` | yes | Arrow tables; without it a table is bytes |
//! | `fileserver` | no | the embedded file server, for development and tests |
//!
//! Without any of them there is no async runtime, HTTP or TLS crate among the dependencies.
//!
//! # Errors
//!
//! Every failure is an [`Error`]: its [`kind`](Error::kind) is what to act on, its [`fault`](Error::fault) says whose
//! mistake it is, and [`is_retryable`](Error::is_retryable) whether the same call may succeed later. What a received
//! message may cost is bounded by [`Limits`].
#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod base64;
#[cfg(feature = "nats")]
pub mod bridge;
mod buffers;
mod decimal;
mod digits;
pub mod envelope;
mod error;
#[cfg(feature = "fileserver")]
pub mod fileserver;
mod limits;
pub mod link;
pub mod payload;
pub mod plan;
pub mod timestamp;

// The crates whose types are in this one's interface, so that versions cannot differ.
#[cfg(feature = "nats")]
pub use async_nats;
#[cfg(feature = "table")]
pub use {arrow_array, arrow_schema};

#[cfg(feature = "nats")]
pub use bridge::{
    Bridge, Delivery, Message, Published, Publisher, Receipt, ReceivedPayload, SmartData, SmartReceive,
    SmartSend, Subscription, blocking, smartreceive, smartsend,
};
pub use buffers::BufferPool;
pub use envelope::{
    Content, Data, Dialect, Envelope, MessageFields, Metadata, MetadataView, PayloadFields, PayloadView,
    Transport, encode, encoded_len,
};
pub use error::{Error, ErrorKind, Fault, Result};
pub use limits::{Limits, MAX_DEPTH};
pub use payload::{Payload, PayloadData, PayloadRef, PayloadType, Verification};
