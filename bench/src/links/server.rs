//! The embedded file server in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use natsbridge::fileserver::FileServer;

use crate::nats::BoxError;

/// A running server, ended with its handle.
#[derive(Debug)]
pub struct FileServerProcess {
    child: Child,
    url: String,
}

impl FileServerProcess {
    /// Starts it; its files go below `folder`.
    ///
    /// # Errors
    /// This program cannot start itself.
    pub fn start(folder: &Path) -> Result<Self, BoxError> {
        Self::start_program(&std::env::current_exe()?, folder)
    }

    /// The same from another program, which is to be `natsbridge-bench`.
    ///
    /// # Errors
    /// The program does not start.
    pub fn start_program(program: &Path, folder: &Path) -> Result<Self, BoxError> {
        let files = folder.join("files");
        std::fs::create_dir_all(&files)?;
        let mut child = Command::new(program)
            .arg("serve-files")
            .arg(&files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut url)?;
        }
        let url = url.trim().to_owned();
        let server = Self { child, url };
        if server.url.is_empty() { Err("the file server did not start".into()) } else { Ok(server) }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for FileServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The inner side: serves until standard input ends, as it does with the process that started it.
///
/// # Errors
/// The folder cannot be used, or no port is free.
#[tokio::main(worker_threads = 2)]
pub async fn serve(folder: &Path) -> Result<(), BoxError> {
    let server = FileServer::builder().dir(folder).start().await?;
    println!("{}", server.url());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.shutdown().await;
    Ok(())
}
