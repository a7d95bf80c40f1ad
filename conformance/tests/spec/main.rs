//! SPEC.md as a test: its examples and tables against the engine, and the engine against the peers over generated
//! messages.
#![allow(clippy::unwrap_used, reason = "a test that unwraps has failed, wherever it does it")]

mod agreement;
mod document;
mod examples;
mod generator;
mod reading;
