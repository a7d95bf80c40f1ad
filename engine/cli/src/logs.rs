//! `--verbose`: what the engine logs, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::output::{Stream, colored};

/// Below these levels the NATS client logs passwords: of URLs when connecting, and of what it tells the server.
const SECRET: [&str; 2] = ["async_nats::connector=info", "async_nats::connection=debug"];

/// Shows nothing without `-v`; `RUST_LOG` overrides what `-v` and `-vv` choose.
pub(crate) fn install(verbose: u8) {
    let default = match verbose {
        0 => return,
        1 => "natsbridge=debug,async_nats=info",
        2 => "natsbridge=trace,async_nats=debug",
        _ => "trace",
    };
    let chosen = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let mut filter =
        chosen.and_then(|text| text.parse::<EnvFilter>().ok()).unwrap_or_else(|| EnvFilter::new(default));
    for directive in SECRET {
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colored(Stream::Stderr))
        .init();
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::Directive;

    use super::*;

    #[test]
    fn the_rules_about_secrets_can_be_read() {
        assert!(SECRET.iter().all(|rule| rule.parse::<Directive>().is_ok()));
    }
}
