//! Transfers of a file by the engine, by bare hyper, by curl, and through NATS' object store.
//!
//! The file server is a process of its own, on the loopback. Every contestant sends the same file to it, and computes
//! the file's SHA-256 on the way, which the engine writes into its message; or fetches it into a new file and checks that
//! digest and waits until it is on the disk. All take turns, and wall clock is what counts. After each transfer the bytes are compared.

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

/// Which way the file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// To the server.
    Upload,
    /// From the server.
    Download,
}

impl Direction {
    /// `upload` or `download`
    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }
}

/// Everybody who takes part, in both directions.
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

    /// One transfer, its answer compared.
    async fn transfer(&self, direction: Direction, contestant: &str) -> Result<Duration, BoxError> {
        let (files, nats, file) = (self.files.url(), &self.nats.url(), &*self.file);
        // Gone before each transfer: to write over a file is other work than to write a new one.
        let copy = &*self.folder.join("copy.bin");
        let _ = std::fs::remove_file(copy);
        let spent = match (direction, contestant) {
            (Direction::Upload, "natsbridge") => return own::upload(files, nats, file).await,
            (Direction::Upload, "hyper") => return Ok(hyper::upload(files, file).await?.0),
            (Direction::Upload, "curl") => return curl::upload(files, file).await,
            (Direction::Upload, "object-store") => return object_store::put(nats, file).await,
            (Direction::Download, "natsbridge") => own::download(files, nats, file, copy).await?,
            (Direction::Download, "hyper") => hyper::download(files, file, copy).await?,
            (Direction::Download, "curl") => curl::download(files, file, copy).await?,
            (Direction::Download, "object-store") => object_store::get(nats, file, copy).await?,
            (_, other) => return Err(format!("no contestant {other}").into()),
        };
        if tokio::fs::read(copy).await? == tokio::fs::read(file).await? {
            Ok(spent)
        } else {
            Err("another file came out than went in".into())
        }
    }

    /// The transfers' times, in turns; for each contestant why it could not run, where it could not.
    #[tokio::main(worker_threads = 2)]
    pub async fn measure(&self, direction: Direction, rounds: usize) -> Vec<Result<Times, String>> {
        let mut all: Vec<Result<Times, String>> = CONTESTANTS
            .iter()
            .map(|name| Ok(Times { contestant: (*name).into(), rounds: Vec::new() }))
            .collect();
        // The first round warms up: files and connections.
        for round in 0..=rounds {
            for (at, name) in CONTESTANTS.iter().enumerate() {
                let spent = self.transfer(direction, name).await;
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
