//! Links: large payloads travel over HTTP, and the message holds the URL.
//!
//! ```text
//! send     bytes ─► LinkStore::upload ─► Uploaded { url } ─► envelope
//! receive  envelope ─► LinkUrl::parse ─► Policy::check ─► fetch ─► LinkStore::download
//!                                                          │ Retry: when to try again
//!                                                          └ length and digest ─► bytes
//! ```
//!
//! A link in a received message was written by somebody else. So its text is parsed strictly
//! ([`LinkUrl`]), only origins that the receiver named are fetched from ([`Policy`]), a redirect is never
//! followed, and nothing is handed over before its length and digest were checked.
//!
//! A link is also a secret: whoever has the URL has the file. No error, `Debug` output or span of this
//! module holds more of it than `scheme://host:port/…`.

#[cfg(feature = "tokio")]
mod budget;
#[cfg(any(feature = "plik", feature = "nats"))]
mod buffer;
#[cfg(any(feature = "plik", feature = "nats"))]
pub(crate) mod cleanup;
#[cfg(feature = "plik")]
mod date;
#[cfg(any(feature = "plik", feature = "nats"))]
mod fetch;
mod handler;
#[cfg(feature = "plik")]
mod http;
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "without a bridge nobody watches uploads"))]
pub(crate) mod ledger;
mod origin;
#[cfg(feature = "plik")]
mod plik;
mod policy;
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "without a bridge nobody watches uploads"))]
mod progress;
mod retry;
mod source;
mod store;
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "without a bridge nobody watches uploads"))]
mod tap;
#[cfg(feature = "nats")]
pub(crate) mod upload;
mod url;

#[cfg(feature = "tokio")]
pub use budget::{Budget, Claim};
#[cfg(any(feature = "plik", feature = "nats"))]
pub use cleanup::cleanups_finished;
#[cfg(any(feature = "plik", feature = "nats"))]
pub use fetch::{Expected, FetchOptions, Fetched, Verified, fetch};
pub use handler::HandlerStore;
#[cfg(feature = "plik")]
pub use http::{HttpStore, HttpTimeouts};
pub use origin::{Origin, Scheme};
#[cfg(feature = "plik")]
pub use plik::{Lifetime, Plik};
pub use policy::Policy;
pub use progress::{Progress, ProgressStream, Transferred};
pub use retry::Retry;
pub use source::{PIECE_LEN, Source};
pub use store::{Body, BoxFuture, Download, LinkStore, Upload, Uploaded};
pub use tap::UploadBody;
pub use url::LinkUrl;
