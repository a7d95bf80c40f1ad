//! The other ends that the runner plays: a file server and a NATS server that keep to a script, and remember what came.

pub mod envelope;
pub mod http;
pub mod nats;
pub mod recorder;
pub mod script;
