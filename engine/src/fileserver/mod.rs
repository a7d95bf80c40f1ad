//! An embedded file server that answers Plik's HTTP API, for development and tests.
//!
//! [`FileServer`] does on the wire what a `plikd` 1.3.8 was seen doing, errors and oddities included, so
//! that what works against the one works against the other:
//!
//! | Request | Does |
//! |---|---|
//! | `POST /upload` | creates an upload from a JSON body, which may be empty |
//! | `GET`, `DELETE /upload/{id}` | describes or removes it |
//! | `POST /file/{id}` | adds a file: the first multipart part named `file` |
//! | `POST /file/{id}/{file}/{name}` | adds a file that was declared at creation |
//! | `GET`, `HEAD`, `DELETE /file/{id}/{file}/{name}` | downloads, asks about, or removes a file |
//! | `POST /` | creates an upload with one file and answers its URL |
//! | `GET /config`, `/version`, `/health` | what they say |
//!
//! Three rules surprise clients. A **one-shot** file is consumed when a `GET` starts, so an aborted download
//! loses it. An **error on a download is a redirect** (301 to `/#/?err=...`) unless the `User-Agent` starts
//! with `curl`, `wget`, `plik_client` or one of five others. There are **no ranges** and no entity tags.
//!
//! Left out, and answered as a Plik without them: streaming uploads and `extend_ttl` (disabled features,
//! 400), user accounts and sessions (`/me` is 401, `/auth`, `/user`, `/users`, `/uploads`, `/stats` are 404),
//! `/archive`, `/qrcode` and the web interface (404), upload whitelists and source-address headers. Uploads
//! are known in memory only and end with the server. So what describes them is bounded, which a Plik leaves
//! to its database: a comment to 4 KiB; a login, a password, a file's type and reference to 1 KiB each; all
//! texts of the files that a creation declares to 256 KiB (400 above). Data of a removed or expired upload is
//! freed within seconds instead of minutes, and connections that stand still are dropped.
//!
//! Memory does not grow with the size of files: both ways they pass in chunks of at most 128 KiB. It is not
//! meant for the open internet: there is no TLS and no rate limit.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use natsbridge::fileserver::FileServer;
//!
//! let server = FileServer::builder().start().await?;
//! println!("files go to {}", server.url());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod connection;
mod create;
mod describe;
mod disk;
mod download;
mod faults;
mod ids;
mod multipart;
mod options;
mod params;
mod receive;
mod routes;
mod sniff;
mod storage;
mod uploads;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, sleep, timeout};

use self::faults::Faults;
pub use self::faults::{Lie, ServerFault};
pub use self::options::FileServerBuilder;
use self::options::Options;
use self::routes::Shared;
use self::storage::Storage;
use self::uploads::Uploads;

/// A running file server.
///
/// It serves from background tasks until [`shutdown`](Self::shutdown) or until it is dropped; both also
/// delete the data it stored. Drop cuts running transfers off, `shutdown` lets them finish.
pub struct FileServer {
    addr: SocketAddr,
    url: String,
    stopping: watch::Sender<bool>,
    /// `None` only while `shutdown` waits for it.
    accepting: Option<JoinHandle<()>>,
    reaping: JoinHandle<()>,
    uploads: Arc<Uploads>,
}

impl FileServer {
    /// Options to start a server with.
    ///
    /// ```no_run
    /// # async fn run() -> std::io::Result<()> {
    /// let server = natsbridge::fileserver::FileServer::builder().max_files_per_upload(5).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> FileServerBuilder {
        FileServerBuilder::new()
    }

    async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let url = format!("http://{}", reachable(addr));
        let dir = options.dir.clone();
        let storage =
            tokio::task::spawn_blocking(|| Storage::open(dir)).await.map_err(io::Error::other)??;
        let uploads = Arc::new(Uploads::new(storage, options.max_total_size));
        let faults = Faults::new(options.faults.clone());
        let shared = Arc::new(Shared { options, uploads: Arc::clone(&uploads), faults, url: url.clone() });
        let (stopping, stopped) = watch::channel(false);
        tracing::debug!(%addr, "file server started");
        Ok(Self {
            addr,
            url,
            stopping,
            accepting: Some(tokio::spawn(accept(listener, shared, stopped))),
            reaping: tokio::spawn(reap(Arc::clone(&uploads))),
            uploads,
        })
    }

    /// The address that the server listens on, with the port that was picked for port 0.
    ///
    /// ```no_run
    /// # fn show(server: &natsbridge::fileserver::FileServer) {
    /// println!("port {}", server.addr().port());
    /// # }
    /// ```
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL for clients on this machine, for example `http://127.0.0.1:40123`; no slash at the end.
    ///
    /// A server that listens on all addresses (`0.0.0.0`) names the loopback one here.
    ///
    /// ```no_run
    /// # fn show(server: &natsbridge::fileserver::FileServer) {
    /// let health = format!("{}/health", server.url());
    /// # }
    /// ```
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server: no new connections, running requests get up to 5 seconds, then the data goes.
    ///
    /// ```no_run
    /// # async fn stop(server: natsbridge::fileserver::FileServer) {
    /// server.shutdown().await;
    /// # }
    /// ```
    pub async fn shutdown(mut self) {
        self.stopping.send_replace(true);
        if let Some(accepting) = self.accepting.take() {
            // It can only fail by a panic of ours, which the runtime has reported already.
            let _ = accepting.await;
        }
    }
}

impl fmt::Debug for FileServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the uploads: whoever knows their ids can fetch and delete them.
        f.debug_struct("FileServer").field("addr", &self.addr).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.reaping.abort();
        if let Some(accepting) = &self.accepting {
            accepting.abort(); // and with it, the set of connections it owns
        }
        self.uploads.clear();
    }
}

/// Accepts connections until told to stop, then waits for those it has.
async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Nothing to do with a connection that ended, but it must not stay in the set.
            Some(_) = connections.join_next() => continue,
            () = connection::stopped(&mut stopping) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection::serve(Arc::clone(&shared), stream, stopping.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: they come back as connections end.
                tracing::warn!("unable to accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
}

/// Frees expired uploads from time to time. They are refused from the moment they expire in any case.
async fn reap(uploads: Arc<Uploads>) {
    let mut ticks = interval(REAP_EVERY);
    loop {
        ticks.tick().await;
        uploads.reap();
    }
}

/// Where a client on this machine finds a server that listens on `addr`.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const GRACE: Duration = Duration::from_secs(5);
const REAP_EVERY: Duration = Duration::from_secs(5);
