//! The built program against a real nats-server and its own file server.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod doctor;
mod gc;
mod inspect;
mod process;
mod receive;
mod request;
mod send;
mod servers;
mod tls;
mod usage;
