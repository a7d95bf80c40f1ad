//! The codec by its public API: compared with a naive second implementation, with other crates, and with tables.
//!
//! `oracle`, `source` and `properties` serve the fuzz targets too. Ids in comments are clauses of
//! `conformance/SPEC.md`.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod allocations;
mod any_bytes;
mod base64;
mod encode;
mod envelope;
mod getters;
mod inline;
mod json_corners;
mod oracle;
mod plan;
mod properties;
mod source;
mod tiers;
mod views;
