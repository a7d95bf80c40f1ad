//! The embedded file server against Plik's HTTP contract, rule by rule, on the wire.
//!
//! The requests are written out by hand: a client library would hide what is under test, such as the
//! status line, the exact text of an error, or a connection that ends too early.

#![cfg(feature = "fileserver")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod http;

mod add;
mod auth;
mod create;
mod download;
mod lifecycle;
mod limits;
mod names;
mod one_shot;
mod redirects;
mod routes;
