//! The codec by its public API: compared with a naive second implementation, with other crates, and with tables.
//!
//! `oracle`, `source` and `properties` serve the fuzz targets too.

mod any_bytes;
mod base64;
mod oracle;
mod properties;
mod source;
