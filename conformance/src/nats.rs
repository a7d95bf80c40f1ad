//! A real `nats-server` for one test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, Result, on_path};

/// A running `nats-server` on a free port of this machine; killed when it is dropped.
#[derive(Debug)]
pub struct NatsServer {
    child: Child,
    url: String,
    websocket: Option<String>,
    /// Its configuration, its ports file and its log.
    _dir: tempfile::TempDir,
}

impl NatsServer {
    /// Starts the server with its default limits.
    ///
    /// # Errors
    /// If there is no program (`NATS_SERVER_BIN` names it, else it is looked for on `PATH`), or it does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// Starts the server with a websocket listener beside its own, and messages of up to 8 MB.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_websocket() -> Result<Self> {
        Self::start_with("max_payload: 8MB\nwebsocket { listen: \"127.0.0.1:-1\", no_tls: true }\n")
    }

    fn start_with(config: &str) -> Result<Self> {
        let dir =
            tempfile::tempdir().map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
        let log = dir.path().join("log");
        let file = dir.path().join("server.conf");
        std::fs::write(&file, config).map_err(|error| Failure::new(format!("no configuration: {error}")))?;
        let mut child = Command::new(program()?)
            .arg("--config")
            .arg(file)
            .args(["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir"])
            .arg(dir.path())
            .arg("--log")
            .arg(&log)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Failure::new(format!("nats-server does not start: {error}")))?;
        // The server writes its ports into a file once it listens.
        let ports = dir.path().join(format!("nats-server_{}.ports", child.id()));
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let urls = std::fs::read(&ports).ok().and_then(|text| {
                let ports: serde_json::Value = serde_json::from_slice(&text).ok()?;
                let websocket = ports["websocket"][0].as_str().map(str::to_owned);
                Some((ports["nats"][0].as_str()?.to_owned(), websocket))
            });
            if let Some((url, websocket)) = urls {
                return Ok(Self { child, url, websocket, _dir: dir });
            }
            if Instant::now() > deadline || !matches!(child.try_wait(), Ok(None)) {
                let _ = child.kill();
                let _ = child.wait();
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new(format!("nats-server did not come up: {log}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it listens, such as `nats://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its websocket listener is, such as `ws://127.0.0.1:40124`.
    pub fn websocket(&self) -> Option<&str> {
        self.websocket.as_deref()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Result<PathBuf> {
    let named = std::env::var_os("NATS_SERVER_BIN").map(PathBuf::from);
    named.or_else(|| on_path("nats-server")).ok_or_else(|| {
        Failure::new("no nats-server found: set NATS_SERVER_BIN, or run scripts/test.sh, which installs one")
    })
}
