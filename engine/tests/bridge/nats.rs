//! A real nats-server for one test, killed when the test lets go of it.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct NatsServer {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

/// The server's program: from the environment, or from the path. Its absence fails the tests: they are about it.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER_BIN") {
        return path.into();
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .map(|dir| dir.join("nats-server"))
        .find(|path| path.is_file())
        .expect("no nats-server found: set NATS_SERVER_BIN, or run scripts/test.sh, which installs one")
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        Self::with_config("")
    }

    /// Starts a server with further lines of configuration, on a free port.
    pub(crate) fn with_config(lines: &str) -> Self {
        Self::on_port(-1, lines)
    }

    /// Starts a server with JetStream, whose data goes when the server does.
    pub(crate) fn with_jetstream() -> Self {
        Self::with_config("jetstream { store_dir: \"DIR/jetstream\" }")
    }

    /// Starts it on a given port, which -1 leaves to the system.
    pub(crate) fn on_port(port: i32, lines: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("nats.conf");
        let ports = dir.path().display();
        let lines = lines.replace("DIR", &ports.to_string());
        std::fs::write(
            &config,
            format!("host: 127.0.0.1\nport: {port}\nports_file_dir: \"{ports}\"\n{lines}\n"),
        )
        .unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(binary())
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server does not start");
        let mut server = Self { child, port: 0, dir };
        server.port = server.wait_for_port();
        server
    }

    /// The server writes its ports into a file once it listens.
    fn wait_for_port(&mut self) -> u16 {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let file = self.dir.path().join(format!("nats-server_{}.ports", self.child.id()));
            let found = std::fs::read_to_string(file).ok().and_then(|text| {
                let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
                ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
            });
            if let Some(port) = found {
                return port;
            }
            if Instant::now() > deadline || self.child.try_wait().unwrap().is_some() {
                let mut log = String::new();
                std::fs::File::open(self.dir.path().join("log")).unwrap().read_to_string(&mut log).unwrap();
                panic!("nats-server did not come up: {log}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The process, to stop and continue it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
