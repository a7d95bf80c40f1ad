//! Links: large payloads travel over HTTP, and the message holds the URL.
//!
//! ```text
//! send     source ─► tap ─► LinkStore::upload ─► Uploaded { url } ─► envelope
//!                     │ length, digest, progress         upload: retries; ledger: what to take back
//!                     └ budget: memory and transfers       record: the same for a sender that is killed
//!
//! receive  envelope ─► LinkUrl ─► Policy ─► flight ─► transfer ─► fetch: bytes · save: a file · reader: a stream
//!                                             │         └ LinkStore::download, Retry, limits, length and digest
//!                                             └ one download for all who want the same; room: memory
//! ```
//!
//! A link in a received message was written by somebody else. So its text is parsed strictly
//! ([`LinkUrl`]), only places that the receiver allowed are fetched from ([`Policy`]), at addresses that were checked
//! before ([`Reach`]), a redirect is never followed, and nothing is handed over before its length and digest were checked.
//!
//! A link is also a secret: whoever has the URL has the file. No error, `Debug` output or span of this
//! module holds more of it than `scheme://host:port/…`.

mod address;
#[cfg(feature = "tokio")]
mod budget;
#[cfg(any(feature = "plik", feature = "nats"))]
mod buffer;
#[cfg(feature = "nats")]
pub(crate) mod cleanup;
#[cfg(feature = "plik")]
mod date;
#[cfg(any(feature = "plik", feature = "nats"))]
pub(crate) mod fetch;
#[cfg(feature = "nats")]
pub(crate) mod flight;
#[cfg(feature = "plik")]
mod folder;
mod handler;
#[cfg(feature = "plik")]
mod http;
#[cfg(feature = "plik")]
mod http_store;
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "without a bridge nobody watches uploads"))]
pub(crate) mod ledger;
mod origin;
#[cfg(feature = "nats")]
pub(crate) mod partial;
#[cfg(feature = "plik")]
mod plik;
mod policy;
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "without a bridge nobody watches uploads"))]
mod progress;
#[cfg(feature = "nats")]
pub(crate) mod reader;
#[cfg(feature = "nats")]
mod record;
mod retry;
#[cfg(any(feature = "plik", feature = "nats"))]
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "only a bridge has several downloads"))]
pub(crate) mod room;
#[cfg(feature = "nats")]
pub(crate) mod save;
mod source;
mod store;
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "without a bridge nobody watches uploads"))]
mod tap;
#[cfg(feature = "nats")]
pub mod testing;
#[cfg(feature = "plik")]
mod tls;
#[cfg(any(feature = "plik", feature = "nats"))]
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "only a bridge streams"))]
pub(crate) mod transfer;
#[cfg(feature = "nats")]
pub(crate) mod upload;
mod url;

pub use address::{AddressClass, Reach};
#[cfg(feature = "tokio")]
pub use budget::{Budget, Claim};
#[cfg(feature = "nats")]
pub use cleanup::cleanups_finished;
#[cfg(any(feature = "plik", feature = "nats"))]
pub use fetch::{Expected, FetchOptions, Fetched, Verified, fetch};
#[cfg(feature = "plik")]
pub use folder::FolderStore;
pub use handler::HandlerStore;
#[cfg(feature = "plik")]
pub use http::{Dialer, HttpStore, HttpTimeouts};
#[cfg(feature = "plik")]
pub use http_store::SignedUrls;
pub use origin::{Origin, Scheme};
#[cfg(feature = "nats")]
pub use partial::sweep;
#[cfg(feature = "plik")]
pub use plik::{Lifetime, Plik};
pub use policy::{Explanation, Policy};
pub use progress::{Progress, ProgressStream, Transferred};
#[cfg(feature = "nats")]
pub use reader::PayloadReader;
#[cfg(feature = "nats")]
pub use record::{CleanupRecord, Collected};
pub use retry::Retry;
pub use source::{PIECE_LEN, Source};
pub use store::{Body, BoxFuture, Download, LinkStore, Upload, Uploaded};
pub use tap::UploadBody;
#[cfg(feature = "plik")]
pub use tls::TlsOptions;
pub use url::LinkUrl;
