//! Servers and processes that tests start, each ended when it is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Nothing a test waits for takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with nothing of the developer's environment that could lead it elsewhere.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natsbridge"));
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str()
            && ["NATS_", "NATSBRIDGE_", "PLIK_", "RUST_LOG"].iter().any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A nats-server of the test's own, on a free port.
pub(crate) struct Nats {
    child: Child,
    pub(crate) url: String,
    _dir: TempDir,
}

impl Nats {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With further lines of configuration.
    pub(crate) fn start_with(extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("nats.conf");
        let text = format!("listen: \"127.0.0.1:-1\"\nports_file_dir: {:?}\n{extra}\n", dir.path());
        std::fs::write(&config, text).unwrap();
        let binary = std::env::var_os("NATS_SERVER_BIN").unwrap_or_else(|| "nats-server".into());
        let mut child = Command::new(&binary)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{binary:?} cannot be started ({error}): run scripts/test.sh"));
        let begun = Instant::now();
        let url = loop {
            if let Some(url) = announced(dir.path()) {
                break url;
            }
            assert!(child.try_wait().unwrap().is_none(), "nats-server has ended");
            assert!(begun.elapsed() < PATIENCE, "nats-server says no port");
            std::thread::sleep(Duration::from_millis(10));
        };
        Self { child, url, _dir: dir }
    }

    /// The program, told of this server.
    pub(crate) fn program(&self) -> Command {
        let mut command = program();
        command.env("NATS_URL", &self.url);
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.program().args(args), b"")
    }

    /// Publishes bytes as they are.
    pub(crate) fn publish(&self, subject: &'static str, bytes: impl Into<Vec<u8>>) {
        let (url, bytes) = (self.url.clone(), bytes.into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = async_nats::connect(url).await.unwrap();
            client.publish(subject, bytes.into()).await.unwrap();
            client.flush().await.unwrap();
        });
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn announced(dir: &Path) -> Option<String> {
    let file = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| is_ports_file(path))?;
    let ports: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

fn is_ports_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ports")
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// `natsbridge fileserver` on a free port.
pub(crate) struct Files {
    child: Child,
    pub(crate) url: String,
}

impl Files {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = program()
            .args(["fileserver", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim_end().to_owned() }
    }

    /// Ends it as a service manager does; its exit code.
    #[cfg(unix)]
    pub(crate) fn terminate(mut self) -> Option<i32> {
        signal(&self.child, "TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
}

/// `natsbridge receive`, ready for messages.
pub(crate) struct Receiving {
    child: Option<Child>,
    /// Standard error, line by line.
    errors: Receiver<String>,
}

impl Receiving {
    pub(crate) fn start(nats: &Nats, args: &[&str]) -> Self {
        Self::of(&mut nats.program(), args)
    }

    /// Where no file may have more than 64 KiB: the system refuses what is longer or, with `deadly`, ends the program.
    #[cfg(unix)]
    pub(crate) fn start_with_short_files(nats: &Nats, deadly: bool, args: &[&str]) -> Self {
        let trap = if deadly { "" } else { "trap '' XFSZ; " };
        let mut command = Command::new("sh");
        // In blocks of 512 bytes, or in some shells of 1024.
        command.arg("-c").arg(format!("{trap}ulimit -c 0; ulimit -f 64; exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_natsbridge")).env("NATS_URL", &nats.url);
        Self::of(&mut command, args)
    }

    fn of(program: &mut Command, args: &[&str]) -> Self {
        let mut child =
            program.arg("receive").args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, errors) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| {
                let _ = lines.send(line);
            });
        });
        let receiving = Self { child: Some(child), errors };
        assert_eq!(receiving.errors.recv_timeout(PATIENCE).as_deref(), Ok("ready"));
        receiving
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    /// What it printed by the time it ended.
    pub(crate) fn finish(mut self) -> Ended {
        let mut child = self.child.take().unwrap();
        let mut stdout = String::new();
        child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let code = child.wait().unwrap().code();
        let stderr = self.errors.iter().collect::<Vec<_>>().join("\n");
        Ended { code, stdout, stderr }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(command: &mut Command, stdin: &[u8]) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        let writer = std::thread::spawn(move || {
            // A program that does not read its input closes it.
            let _ = input.write_all(&stdin);
        });
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Insists on an exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The lines of JSON on standard output.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only line of JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:#?}");
        lines.remove(0)
    }
}
