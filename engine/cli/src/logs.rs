//! `--verbose`: what the engine logs, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::output::{Stream, colored};

/// Shows nothing without `-v`; `RUST_LOG` overrides what `-v` and `-vv` choose.
pub(crate) fn install(verbose: u8) {
    let default = match verbose {
        0 => return,
        1 => "natsbridge=debug,async_nats=info",
        2 => "natsbridge=trace,async_nats=debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colored(Stream::Stderr))
        .init();
}
