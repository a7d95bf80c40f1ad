//! A nats-server of our own on a free port, ended with its handle.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::BoxError;
use crate::measure::icount::which;

/// A running server.
#[derive(Debug)]
pub struct NatsServer {
    child: Child,
    port: u16,
}

/// The server's program: `NATS_SERVER_BIN`, the one on the path, or the one that the scripts have installed.
pub(super) fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("NATS_SERVER_BIN") {
        return Some(path.into());
    }
    which("nats-server").or_else(|| {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/nats-venv/bin/nats-server");
        installed.is_file().then_some(installed)
    })
}

impl NatsServer {
    /// Starts a server with default limits.
    ///
    /// # Errors
    /// If there is no `nats-server` to be found, or it does not listen within ten seconds.
    pub fn start() -> Result<Self, BoxError> {
        Self::start_with(&[])
    }

    /// Starts a server that also keeps streams, below `folder`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_jetstream(folder: &Path) -> Result<Self, BoxError> {
        Self::start_with(&["-js".as_ref(), "-sd".as_ref(), folder.as_os_str()])
    }

    fn start_with(options: &[&OsStr]) -> Result<Self, BoxError> {
        let program =
            binary().ok_or("there is no nats-server (NATS_SERVER_BIN, or scripts/test.sh installs one)")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("nats-server does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
