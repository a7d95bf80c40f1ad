//! The format a second time, as naively as it can be written: what the engine is compared with.
//!
//! Nothing here is shared with the engine, and nothing is clever: trees instead of positions, recursion instead of
//! bit stacks, one character at a time. Clause ids are those of `conformance/SPEC.md`.

pub(crate) mod base64;
pub(crate) mod envelope;
pub(crate) mod json;
pub(crate) mod plan;
pub(crate) mod write;
