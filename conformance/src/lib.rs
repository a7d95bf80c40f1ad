//! The conformance kit's runner: vectors, testees behind a pipe or in this process, verdicts and reports; and what the
//! tests stand on, such as a `nats-server` and the ports' programs as child processes.
//!
//! ```text
//! vectors ─► run ─► testee::Session ─► a reply ─► judge ─► known ─► report
//!             └─► peers: the file server and the NATS server that a case scripts ─► what arrived
//! live   ─► every port to every port, over real servers ─► report
//! ```
//!
//! A child process is killed when its handle is dropped. What is not installed is an error that names the script that
//! installs it, never a reason to leave a test out.

pub mod add;
pub mod bytes;
mod compare;
pub mod engine;
pub mod judge;
pub mod known;
pub mod lint;
pub mod live;
mod nats;
mod peer;
pub mod peers;
pub mod report;
pub mod run;
pub mod schema;
pub mod testee;
pub mod value;
pub mod vectors;

use std::fmt;
use std::path::{Path, PathBuf};

pub use self::compare::{difference, fields, rewritten, sha256};
pub use self::nats::NatsServer;
pub use self::peer::{Outcome, Peer, PeerProcess, parse_line};

/// The crate's result.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why something could not be started or did not do what it was asked for, in words for whoever runs the tests.
#[derive(Clone)]
pub struct Failure(String);

impl Failure {
    /// A failure in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    /// As `Display`: it is what `unwrap` prints, and the text has lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// The root of the repository.
pub fn repository() -> &'static Path {
    const CRATE: &str = env!("CARGO_MANIFEST_DIR");
    Path::new(CRATE).parent().unwrap_or_else(|| Path::new("."))
}

/// Where the first of `PATH`'s folders has a program of this name.
fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}
