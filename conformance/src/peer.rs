//! The ports' command lines, which are described in `conformance/ports/README.md`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use natsbridge::{PayloadData, PayloadType};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::{Failure, Result, on_path, repository};

/// A peer, by the language it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// `bridge_peer.py`, over nats-py and pyarrow.
    Python,
    /// `bridge_peer.mjs`, over nats.js and apache-arrow.
    Node,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Python, Self::Node];

    /// Starts a command of the peer in the folder `dir`. All of it has to happen within `time`.
    ///
    /// # Errors
    /// If the peer is not installed, or cannot be started.
    pub fn spawn<A: AsRef<OsStr>>(
        self,
        dir: &Path,
        time: Duration,
        args: impl IntoIterator<Item = A>,
    ) -> Result<PeerProcess> {
        let mut command = self.command()?;
        command.args(args).current_dir(dir).env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let missing = |what: &str| Failure::new(format!("{self:?} peer: {what}"));
        let mut child =
            command.spawn().map_err(|error| missing(&format!("{command:?} does not start: {error}")))?;
        let stdout = child.stdout.take().ok_or_else(|| missing("no standard output"))?;
        let mut stderr = child.stderr.take().ok_or_else(|| missing("no standard error"))?;
        let errors = tokio::spawn(async move {
            let mut text = Vec::new();
            // A pipe that breaks has said all it had to say.
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        let (stdout, deadline) = (BufReader::new(stdout), Instant::now() + time);
        Ok(PeerProcess { peer: self, child, stdout, errors, deadline })
    }

    /// The program and the script.
    fn command(self) -> Result<Command> {
        let setup = |what: String| Failure::new(format!("{what}: run conformance/ports/setup.sh"));
        let ports = repository().join("conformance/ports");
        let (program, script) = match self {
            Self::Python => {
                let folder = std::env::var_os("NATSBRIDGE_PEERS_VENV");
                // A relative path is one from the root of the repository.
                let folder =
                    repository().join(folder.map_or_else(|| ".cache/peers-venv".into(), PathBuf::from));
                let python = folder.join("bin/python");
                if !python.is_file() {
                    return Err(setup(format!("no Python environment in {}", folder.display())));
                }
                (python, ports.join("python/bridge_peer.py"))
            }
            Self::Node => {
                let modules = ports.join("javascript/node_modules");
                if !modules.is_dir() {
                    return Err(setup(format!("no Node modules in {}", modules.display())));
                }
                let node = on_path("node").ok_or_else(|| setup("no node on PATH".to_owned()))?;
                (node, ports.join("javascript/bridge_peer.mjs"))
            }
        };
        let mut command = Command::new(program);
        command.arg(script);
        Ok(command)
    }
}

/// A peer at work; killed when it is dropped.
#[derive(Debug)]
pub struct PeerProcess {
    peer: Peer,
    child: Child,
    stdout: BufReader<ChildStdout>,
    errors: JoinHandle<String>,
    deadline: Instant,
}

/// What a peer has left behind.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Whether its exit status was 0.
    pub success: bool,
    /// Its lines of JSON that had not been read before.
    pub lines: Vec<String>,
    /// Its standard error.
    pub errors: String,
}

impl PeerProcess {
    /// The next line of JSON, or `None` at the end.
    ///
    /// # Errors
    /// If the deadline passes.
    pub async fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        match timeout_at(self.deadline, self.stdout.read_line(&mut line)).await {
            Ok(Ok(0)) => Ok(None),
            Ok(Ok(_)) => Ok(Some(line)),
            Ok(Err(error)) => Err(self.failure(&format!("its output cannot be read: {error}"))),
            Err(_) => Err(self.failure("it is not done within its time")),
        }
    }

    /// Waits until the peer's subscription is live.
    ///
    /// # Errors
    /// If it says something else, or nothing.
    pub async fn ready(&mut self) -> Result<()> {
        match self.line().await? {
            Some(line) if line.trim() == r#"{"ready":true}"# => Ok(()),
            Some(line) => Err(self.failure(&format!("it is not ready, but says {line}"))),
            None => {
                let errors = (&mut self.errors).await.unwrap_or_default();
                Err(self.failure(&format!("it has ended: {errors}")))
            }
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// If the deadline passes.
    pub async fn finish(mut self) -> Result<Outcome> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await? {
            lines.push(line);
        }
        let success = match timeout_at(self.deadline, self.child.wait()).await {
            Ok(Ok(status)) => status.success(),
            Ok(Err(error)) => return Err(self.failure(&format!("it cannot be waited for: {error}"))),
            Err(_) => return Err(self.failure("it is not done within its time")),
        };
        let errors = (&mut self.errors).await.unwrap_or_default();
        Ok(Outcome { success, lines, errors })
    }

    /// Waits for the end, and for it to be a success.
    ///
    /// # Errors
    /// If the exit status is not 0, a line is not JSON, or the deadline passes.
    pub async fn values(self) -> Result<Vec<Value>> {
        let peer = self.peer;
        let outcome = self.finish().await?;
        if !outcome.success {
            let lines = outcome.lines.concat();
            return Err(Failure::new(format!("{peer:?} peer: it has failed: {}\n{lines}", outcome.errors)));
        }
        outcome.lines.iter().map(|line| parse_line(line)).collect()
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::new(format!("{:?} peer: {what}", self.peer))
    }
}

/// A line of JSON as a value, with every number to its last bit: the engine's reader is exact, `serde_json`'s own is not
/// for all floats.
///
/// # Errors
/// If it is not strict JSON.
pub fn parse_line(line: &str) -> Result<Value> {
    let json = PayloadData::new(PayloadType::Dictionary, line.as_bytes().to_vec(), None, 0);
    json.json_value().map_err(|error| Failure::new(format!("not a line of JSON: {error}: {line}")))
}
