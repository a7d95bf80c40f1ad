//! Uploads of a file by the engine, by bare hyper, by curl, and into NATS' object store.
//!
//! The file server is a process of its own, on the loopback. Every contestant sends the same file to it, and computes
//! the file's SHA-256 on the way, which the engine writes into its message; all take turns, and wall clock is what
//! counts. Afterwards the file is fetched once and compared.

mod curl;
mod hyper;
mod object_store;
mod own;
mod server;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use self::server::{FileServerProcess, serve};
use crate::input::random_bytes;
use crate::measure::wall::Times;
use crate::nats::{BoxError, NatsServer};

/// The file that the ratios are taken with.
pub const FILE_LEN: usize = 64 << 20;

/// Everybody who uploads.
pub const CONTESTANTS: [&str; 4] = ["natsbridge", "hyper", "curl", "object-store"];

/// A file to send and the servers to send it to, gone with it.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    file: PathBuf,
    files: FileServerProcess,
    nats: NatsServer,
}

impl Place {
    /// Writes a file of this length and starts the servers.
    ///
    /// # Errors
    /// There is no nats-server, or the disk is full.
    pub fn new(len: usize) -> Result<Self, BoxError> {
        let folder = std::env::temp_dir().join(format!("natsbridge-links-{}-{len}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("file.bin");
        let mut out = BufWriter::new(File::create(&file)?);
        let piece = random_bytes(1 << 20, 7);
        for at in (0..len).step_by(piece.len()) {
            out.write_all(&piece[..piece.len().min(len - at)])?;
        }
        out.flush()?;
        let nats = NatsServer::with_jetstream(&folder)?;
        Ok(Self { files: FileServerProcess::start(&folder)?, nats, folder, file })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    async fn upload(&self, contestant: &str) -> Result<Duration, BoxError> {
        match contestant {
            "natsbridge" => own::upload(self.files.url(), &self.nats.url(), &self.file).await,
            "hyper" => hyper::upload(self.files.url(), &self.file).await,
            "curl" => curl::upload(self.files.url(), &self.file).await,
            "object-store" => object_store::put(&self.nats.url(), &self.file).await,
            other => Err(format!("no contestant {other}").into()),
        }
    }

    /// The uploads' times, in turns; for each contestant why it could not run, where it could not.
    #[tokio::main(worker_threads = 2)]
    pub async fn measure(&self, rounds: usize) -> Vec<Result<Times, String>> {
        let mut all: Vec<Result<Times, String>> = CONTESTANTS
            .iter()
            .map(|name| Ok(Times { contestant: (*name).into(), rounds: Vec::new() }))
            .collect();
        // The first round warms up: files and connections.
        for round in 0..=rounds {
            for (at, name) in CONTESTANTS.iter().enumerate() {
                let spent = self.upload(name).await;
                match (&mut all[at], spent) {
                    (Ok(times), Ok(spent)) if round > 0 => times.rounds.push(spent.as_nanos() as f64),
                    (slot @ Ok(_), Err(error)) => *slot = Err(format!("{name}: {error}")),
                    _ => {}
                }
            }
        }
        all
    }

    /// By how many megabytes a process grows that sends the file through the engine.
    ///
    /// # Errors
    /// The process fails.
    pub fn growth(&self) -> Result<f64, BoxError> {
        let program = std::env::current_exe()?;
        let ran = std::process::Command::new(program)
            .arg("upload-run")
            .args([self.files.url(), &self.nats.url()])
            .arg(&self.file)
            .output()?;
        if !ran.status.success() {
            return Err(String::from_utf8_lossy(&ran.stderr).into_owned().into());
        }
        Ok(String::from_utf8_lossy(&ran.stdout).trim().parse()?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The inner side of [`Place::growth`]: uploads once, after a small upload has warmed everything up.
///
/// # Errors
/// The upload fails, or the system does not say how large this process is.
#[tokio::main(worker_threads = 2)]
pub async fn upload_run(files: &str, nats: &str, file: &Path) -> Result<f64, BoxError> {
    let small = file.with_extension("small");
    std::fs::write(&small, random_bytes(2 << 20, 1))?;
    own::send(files, nats, &small).await?;
    let before = status("VmRSS")?;
    own::send(files, nats, file).await?;
    Ok((status("VmHWM")?.saturating_sub(before)) as f64 / 1000.0)
}

/// A line of `/proc/self/status`, in kB.
fn status(name: &str) -> Result<u64, BoxError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.and_then(|line| line.trim().strip_suffix("kB")).ok_or("no memory figures")?.trim().parse()?)
}

/// Fetches what was uploaded, and compares; not timed.
async fn compare(url: &str, file: &Path) -> Result<(), BoxError> {
    let expected = tokio::fs::read(file).await?;
    if hyper::get(url).await? != expected { Err("another file came out than went in".into()) } else { Ok(()) }
}

fn now() -> Instant {
    Instant::now()
}
