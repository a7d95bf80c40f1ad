//! What a file server can be told before it starts: [`FileServerBuilder`] and the limits it settles on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::FileServer;
use super::faults::ServerFault;
use super::ids::Secret;

/// Options of a [`FileServer`]; the defaults are those of a fresh Plik, on a free local port.
///
/// Every method consumes and returns the builder. Nothing is checked or created before
/// [`start`](Self::start).
///
/// ```no_run
/// use std::time::Duration;
/// # async fn run() -> std::io::Result<()> {
/// let server = natsbridge::fileserver::FileServer::builder()
///     .max_file_size(64 * 1024 * 1024)
///     .default_ttl(Duration::from_secs(3600))
///     .start()
///     .await?;
/// println!("{}", server.url());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FileServerBuilder {
    options: Options,
}

/// The options after the builder; read by every part of the server.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) listen: SocketAddr,
    pub(super) dir: Option<PathBuf>,
    pub(super) max_file_size: u64,
    pub(super) max_total_size: u64,
    pub(super) max_files_per_upload: usize,
    pub(super) default_ttl: Duration,
    pub(super) max_ttl: Option<Duration>,
    pub(super) download_domain: Option<String>,
    pub(super) user_token: Option<Secret>,
    pub(super) anonymous_uploads: bool,
    pub(super) one_shot: bool,
    pub(super) removable: bool,
    pub(super) password: bool,
    pub(super) comments: bool,
    pub(super) set_ttl: bool,
    pub(super) idle_timeout: Duration,
    pub(super) faults: Vec<(ServerFault, u32)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            dir: None,
            max_file_size: DEFAULT_MAX_FILE_SIZE,
            max_total_size: u64::MAX,
            max_files_per_upload: DEFAULT_MAX_FILES_PER_UPLOAD,
            default_ttl: DEFAULT_TTL,
            max_ttl: Some(DEFAULT_TTL),
            download_domain: None,
            user_token: None,
            anonymous_uploads: true,
            one_shot: true,
            removable: true,
            password: true,
            comments: true,
            set_ttl: true,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            faults: Vec::new(),
        }
    }
}

impl FileServerBuilder {
    pub(super) fn new() -> Self {
        Self { options: Options::default() }
    }

    /// The address to listen on. Default `127.0.0.1:0`: this machine only, any free port.
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.options.listen = addr;
        self
    }

    /// The folder that receives the data, as `files/XX/FILEID`; created when it does not exist.
    ///
    /// Default: a folder of its own in the system's temporary folder, removed with everything in it when
    /// the server stops. A folder given here stays, without the server's files: what it holds is known
    /// only to the running server. Files of somebody else in it are left alone.
    #[must_use]
    pub fn dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.dir = Some(path.into());
        self
    }

    /// The largest file accepted, in bytes; one byte more is answered 400. Default 10 GB (10^10).
    ///
    /// `u64::MAX` means no limit.
    #[must_use]
    pub fn max_file_size(mut self, bytes: u64) -> Self {
        self.options.max_file_size = bytes;
        self
    }

    /// The bytes that all stored files together may take. Default `u64::MAX`: as much as the disk holds.
    ///
    /// Beyond it the server behaves as a Plik whose disk is full: 500 `internal server error`, and the
    /// interrupted file ends as `deleted`.
    #[must_use]
    pub fn max_total_size(mut self, bytes: u64) -> Self {
        self.options.max_total_size = bytes;
        self
    }

    /// How many files one upload may hold, failed ones included. Default 1000; one more is answered 400.
    #[must_use]
    pub fn max_files_per_upload(mut self, count: usize) -> Self {
        self.options.max_files_per_upload = count;
        self
    }

    /// The lifetime of an upload that asks for none, in whole seconds (a fraction counts as one more).
    /// Default 30 days.
    ///
    /// `Duration::ZERO` means for ever, which [`max_ttl`](Self::max_ttl) must then allow.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.options.default_ttl = ttl;
        self
    }

    /// The longest lifetime that may be asked for, in whole seconds; `None` allows any, and for ever.
    /// Default 30 days. More is answered 400.
    #[must_use]
    pub fn max_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.options.max_ttl = ttl;
        self
    }

    /// The base URL that files are fetched from, for example `http://files.example.org`.
    ///
    /// It is told to clients as `downloadDomain`, and a download whose `Host` is another is answered 400.
    /// Default: none; downloads work under any name.
    #[must_use]
    pub fn download_domain(mut self, url: String) -> Self {
        self.options.download_domain = Some(url);
        self
    }

    /// Turns authentication on and makes `token` the one `X-PlikToken` that is known.
    ///
    /// An upload created with it is its property: the header then also allows adding and removing files.
    /// Any other value of the header is answered 403. Default: off, and the header is ignored.
    #[must_use]
    pub fn user_token(mut self, token: String) -> Self {
        self.options.user_token = Some(Secret::new(token));
        self
    }

    /// Whether uploads may be created without the [`user_token`](Self::user_token). Default `true`.
    #[must_use]
    pub fn anonymous_uploads(mut self, allowed: bool) -> Self {
        self.options.anonymous_uploads = allowed;
        self
    }

    /// Whether uploads may be `oneShot`. Default `true`; asking for a disabled feature is answered 400.
    #[must_use]
    pub fn one_shot(mut self, enabled: bool) -> Self {
        self.options.one_shot = enabled;
        self
    }

    /// Whether uploads may be `removable`. Default `true`.
    #[must_use]
    pub fn removable(mut self, enabled: bool) -> Self {
        self.options.removable = enabled;
        self
    }

    /// Whether uploads may be protected by a password. Default `true`.
    #[must_use]
    pub fn password(mut self, enabled: bool) -> Self {
        self.options.password = enabled;
        self
    }

    /// Whether comments are kept; when not, they are dropped without an error. Default `true`.
    #[must_use]
    pub fn comments(mut self, enabled: bool) -> Self {
        self.options.comments = enabled;
        self
    }

    /// Whether an upload may choose its lifetime; when not, a `ttl` is ignored. Default `true`.
    #[must_use]
    pub fn set_ttl(mut self, enabled: bool) -> Self {
        self.options.set_ttl = enabled;
        self
    }

    /// How long a connection may stand still, in either direction, before it is dropped. Default 60 s
    /// (chosen; Plik itself waits for ever).
    ///
    /// The head of a request has at most 30 s of it.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.idle_timeout = timeout;
        self
    }

    /// For tests of clients: does something wrong on purpose, so many times, in the next requests that it is about. Default
    /// nothing.
    ///
    /// Several faults strike in the order in which they are given: `Unavailable` once and `NoLength` once are a 500, then a
    /// download without a length, and from then on a server as it should be.
    ///
    /// ```no_run
    /// # async fn run() -> std::io::Result<()> {
    /// use natsbridge::fileserver::{FileServer, ServerFault};
    ///
    /// // Five hundred, then fine.
    /// let server = FileServer::builder().fault(ServerFault::Unavailable, 1).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn fault(mut self, fault: ServerFault, times: u32) -> Self {
        self.options.faults.push((fault, times));
        self
    }

    /// Creates the folder, binds the address and serves in background tasks of the current runtime.
    ///
    /// # Errors
    /// `InvalidInput` when the options contradict each other (a default lifetime over the longest one, a
    /// download domain that is no `http://` or `https://` URL); otherwise whatever creating the folder or
    /// binding the address reports.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn start(self) -> io::Result<FileServer> {
        let mut options = self.options;
        options.settle()?;
        FileServer::start(options).await
    }
}

impl Options {
    /// Brings the options into the form the rest of the server relies on, or says which one is wrong.
    fn settle(&mut self) -> io::Result<()> {
        let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        self.default_ttl = whole_seconds(self.default_ttl);
        self.max_ttl = self.max_ttl.map(whole_seconds).filter(|ttl| !ttl.is_zero());
        if let Some(max) = self.max_ttl
            && (self.default_ttl.is_zero() || self.default_ttl > max)
        {
            return invalid("the default lifetime is longer than the longest one allowed");
        }
        if let Some(domain) = &mut self.download_domain {
            domain.truncate(domain.trim_end_matches('/').len());
            if !domain.starts_with("http://") && !domain.starts_with("https://") {
                return invalid("the download domain must start with http:// or https://");
            }
        }
        Ok(())
    }

    /// The `Host` that downloads must name, where one is set.
    pub(super) fn download_host(&self) -> Option<&str> {
        let (_, rest) = self.download_domain.as_deref()?.split_once("://")?;
        rest.split('/').next()
    }
}

fn whole_seconds(ttl: Duration) -> Duration {
    Duration::from_secs(ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).min(MAX_TTL_SECS))
}

const DEFAULT_MAX_FILE_SIZE: u64 = 10_000_000_000;
const DEFAULT_MAX_FILES_PER_UPLOAD: usize = 1000;
const DEFAULT_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// About a thousand years: longer lifetimes are cut to it, so that no date or instant can overflow.
pub(super) const MAX_TTL_SECS: u64 = 1000 * 366 * 24 * 3600;
