//! One download from its first request to its verdict: tries, waits, resumption, limits, verification.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout_at};

use super::fetch::{Expected, FetchOptions, Verified};
use super::progress::{Part, Progress};
use super::store::{Download, LinkStore};
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

/// A download as a sequence of steps, which something collects, writes or hands on.
///
/// ```text
/// next() ─► Start ─► Chunk* ─► End          nothing counts before End
///             ▲        │
///             └────────┘ a try that broke off: again from zero, unless the server lets it be resumed
/// ```
pub(crate) struct Transfer<'a> {
    source: Source<'a>,
    url: LinkUrl,
    expected: Expected,
    options: FetchOptions,
    began: Instant,
    deadline: Option<Instant>,
    /// What was handed on cannot be taken back: another try passes over as many bytes, which must be the same.
    streams: bool,

    /// 0 until the first step or wait is asked for, from which on the deadline counts.
    attempts: u32,
    download: Option<Download>,
    /// Whether [`Step::Start`] was given.
    started: bool,
    announced: Option<u64>,
    /// What the server calls this very content, if it can be asked for the rest of it.
    validator: Option<String>,
    /// Whether a part of this pass came from a request for a range.
    resumed: bool,
    /// Of all bytes received in this pass.
    hasher: Option<Sha256>,
    received: u64,
    /// The bytes that a streaming consumer has; more than `received` only while a pass repeats them.
    handed: u64,
    /// The digest of those bytes, where a pass repeats them.
    prefix: Option<[u8; 32]>,
    watcher: Option<Progress>,
    /// What it is told of this transfer.
    part: Option<Part>,
}

pub(crate) enum Source<'a> {
    Borrowed(&'a dyn LinkStore),
    Shared(Arc<dyn LinkStore>),
}

impl Deref for Source<'_> {
    type Target = dyn LinkStore;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Borrowed(store) => *store,
            Self::Shared(store) => &**store,
        }
    }
}

/// What happens next.
pub(crate) enum Step {
    /// The file begins; what came before is void. It is probably this long; 0 if nobody said.
    Start { len_hint: u64 },
    /// The next bytes; never none.
    Chunk(Bytes),
    /// That was all, and it is right.
    End(Proof),
}

/// What is known at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof {
    pub(crate) len: u64,
    pub(crate) verified: Verified,
    pub(crate) size_mismatch: bool,
    pub(crate) attempts: u32,
    pub(crate) sha256: Option<[u8; 32]>,
}

impl<'a> Transfer<'a> {
    /// Nothing is fetched yet.
    pub(crate) fn new(
        source: Source<'a>,
        url: LinkUrl,
        expected: Expected,
        options: FetchOptions,
    ) -> Result<Self> {
        if options.refuse_unverified && expected.sha256.is_none() && expected.known_size().is_none() {
            return Err(Error::new(
                ErrorKind::LinkUnverified,
                "the message gives neither a size nor a digest for its link, and unverified links are refused",
            ));
        }
        if let Some(size) = expected.known_size() {
            check_limit(size, options.max_len)?;
        }
        Ok(Self {
            source,
            url,
            expected,
            options,
            began: Instant::now(),
            deadline: None,
            streams: false,
            attempts: 0,
            download: None,
            started: false,
            announced: None,
            validator: None,
            resumed: false,
            hasher: None,
            received: 0,
            handed: 0,
            prefix: None,
            watcher: None,
            part: None,
        })
    }

    /// For a consumer that cannot take anything back: [`Step::Start`] comes once, and another try hands on only what comes
    /// after the bytes that were handed on before, once it has proved that it begins with the same.
    pub(crate) fn streaming(mut self) -> Self {
        self.streams = true;
        self
    }

    /// Tells somebody how far it has come.
    pub(crate) fn watched(mut self, watcher: Option<Progress>) -> Self {
        self.watcher = watcher;
        self
    }

    /// How many bytes there will be, as far as somebody has said.
    pub(crate) fn total(&self) -> Option<u64> {
        self.announced.or_else(|| self.expected.known_size())
    }

    /// Starts the clock, unless it runs.
    fn begin(&mut self) {
        if self.attempts == 0 {
            (self.attempts, self.began) = (1, Instant::now());
            // A total too long for the clock is no limit.
            self.deadline = self.options.total.and_then(|total| self.began.checked_add(total));
        }
    }

    /// Waits for something that the consumer needs, such as memory: that is a part of the download's time.
    pub(crate) async fn wait<T>(&mut self, ready: impl Future<Output = T>) -> Result<T> {
        self.begin();
        in_time(self.deadline, &self.options, async { Ok(ready.await) }).await
    }

    /// The next step, after as many tries and waits as it takes. Not called again after the end or an error.
    pub(crate) async fn next(&mut self) -> Result<Step> {
        self.begin();
        loop {
            let outcome = match self.download {
                Some(_) => self.receive().await,
                None => self.open().await,
            };
            match outcome {
                Ok(Some(step)) => return Ok(step),
                Ok(None) => {}
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Waits before another try, or says why there is none.
    async fn recover(&mut self, error: Error) -> Result<()> {
        self.download = None;
        let attempts = self.attempts;
        let (elapsed, seed) = (self.began.elapsed(), self.options.seed);
        let wait = match self.options.retry.delay_after(elapsed, attempts, seed, error.retry_after()) {
            Some(wait) if error.is_retryable() => wait,
            _ => return Err(error.with_attempts(attempts)),
        };
        // A wait that cannot end in time is pointless: better the real error now than a time-out later.
        let out_of_time = |deadline: Instant| deadline.saturating_duration_since(Instant::now()) <= wait;
        if self.deadline.is_some_and(out_of_time) {
            return Err(error.with_attempts(attempts));
        }
        tracing::debug!(
            attempts,
            received = self.received,
            wait_ms = wait.as_millis() as u64,
            kind = %error.kind(),
            "trying again"
        );
        sleep(wait).await;
        self.attempts = attempts.saturating_add(1);
        Ok(())
    }

    /// Sends a request: for the rest where that is possible, else for the whole.
    async fn open(&mut self) -> Result<Option<Step>> {
        let rest = self.validator.clone().filter(|_| self.received > 0);
        let request = match &rest {
            Some(validator) => self.source.resume(&self.url, self.received, validator),
            None => self.source.download(&self.url),
        };
        let mut download = in_time(self.deadline, &self.options, request).await?;
        let (offset, announced) = (download.offset(), download.length());
        let goes_on = offset != 0;
        if goes_on {
            let Some(asked) = rest else {
                let what = "the store begins in the middle of a file that was asked for as a whole";
                return Err(Error::new(ErrorKind::LinkRejected, what));
            };
            let renamed = download.validator().is_some_and(|now| now != asked);
            if renamed || offset != self.received || announced != self.announced {
                // Another file, or another part than was asked for: from zero then.
                self.validator = None;
                return Ok(None);
            }
        }
        if let Some(announced) = announced {
            check_limit(announced, self.options.max_len)?;
            // No need to read a body that cannot be right.
            check_size(announced, self.exact_size())?;
        }
        self.announced = announced;
        self.validator = download.take_validator();
        self.resumed |= goes_on;
        self.download = Some(download);
        if !goes_on {
            self.begin_again();
        }
        if (goes_on || self.streams) && self.started {
            return Ok(None);
        }
        self.started = true;
        Ok(Some(Step::Start { len_hint: self.total().unwrap_or(0) }))
    }

    /// Forgets what was received, but not what was handed on.
    fn begin_again(&mut self) {
        if self.streams && self.handed > 0 && self.received == self.handed {
            self.prefix = self.hasher.take().map(|hasher| hasher.finalize().into());
        }
        let hashes = self.options.hash || self.expected.sha256.is_some() || self.streams;
        self.hasher = hashes.then(Sha256::new);
        (self.received, self.resumed) = (0, false);
        match &self.part {
            Some(part) => part.restart(),
            None => self.part = self.watcher.take().map(|watcher| watcher.part(self.total())),
        }
    }

    /// Takes the next piece of the body.
    async fn receive(&mut self) -> Result<Option<Step>> {
        let Some(download) = &mut self.download else { return Ok(None) };
        let Some(mut chunk) = in_time(self.deadline, &self.options, download.chunk()).await? else {
            let outcome = self.finish();
            if outcome.is_err() {
                // What is whole and wrong has no rest that could make it right.
                self.validator = None;
            }
            if let (Ok(_), Some(part)) = (&outcome, &self.part) {
                part.finished();
            }
            return outcome.map(|proof| Some(Step::End(proof)));
        };
        if chunk.is_empty() {
            return Ok(None);
        }
        let received = self.received + chunk.len() as u64;
        check_limit(received, self.options.max_len)?;
        if let Some(most) = self.exact_size().or(self.announced).filter(|&most| received > most) {
            return Err(too_long(received, most));
        }
        if self.received < self.handed {
            let repeated = (self.handed - self.received).min(chunk.len() as u64);
            // At most the length of the chunk, so it fits.
            let repeated = chunk.split_to(repeated as usize);
            self.take(&repeated);
            if self.received == self.handed {
                self.check_prefix()?;
            }
            if chunk.is_empty() {
                return Ok(None);
            }
        }
        self.take(&chunk);
        if self.streams {
            self.handed = self.received;
        }
        Ok(Some(Step::Chunk(chunk)))
    }

    fn take(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.received += bytes.len() as u64;
        if let Some(part) = &self.part {
            part.add(bytes.len() as u64);
        }
    }

    /// Whether this pass began with the bytes that were handed on.
    fn check_prefix(&self) -> Result<()> {
        let now: Option<[u8; 32]> = self.hasher.clone().map(|hasher| hasher.finalize().into());
        if now == self.prefix {
            return Ok(());
        }
        let handed = self.handed;
        Err(Error::new(
            ErrorKind::DigestMismatch,
            format!("the file behind the link changed after its first {handed} bytes were handed on"),
        ))
    }

    /// The verdict on a body that has ended.
    fn finish(&mut self) -> Result<Proof> {
        let received = self.received;
        let promised = self.announced.unwrap_or(0).max(self.handed);
        if received < promised {
            return Err(truncated(received, promised));
        }
        let size = self.expected.known_size();
        let sha256: Option<[u8; 32]> = self.hasher.clone().map(|hasher| hasher.finalize().into());
        let verified = match self.expected.sha256 {
            Some(digest) if sha256 == Some(digest) => Verified::Digest,
            Some(_) => {
                // Too short as well: then it is a file cut short, which another try may bring whole.
                if let Some(size) = size.filter(|&size| received < size) {
                    return Err(truncated(received, size));
                }
                if self.resumed {
                    // The server may have joined the parts of two files, whatever it called them.
                    return Err(Error::new(
                        ErrorKind::LinkTruncated,
                        "the parts of a download that broke off do not fit together",
                    ));
                }
                return Err(Error::new(
                    ErrorKind::DigestMismatch,
                    format!("the {received} bytes behind the link are complete but not those that were sent"),
                ));
            }
            None => {
                check_size(received, self.exact_size())?;
                if size.is_some() { Verified::Length } else { Verified::Unverified }
            }
        };
        Ok(Proof {
            len: received,
            verified,
            size_mismatch: size.is_some_and(|size| size != received),
            attempts: self.attempts,
            sha256,
        })
    }

    /// With a digest a wrong size is only reported, so it bounds nothing.
    fn exact_size(&self) -> Option<u64> {
        self.expected.known_size().filter(|_| self.expected.sha256.is_none())
    }
}

/// Waits for one step of a try, but not beyond the deadline for all of them.
async fn in_time<T>(
    deadline: Option<Instant>,
    options: &FetchOptions,
    step: impl Future<Output = Result<T>>,
) -> Result<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, step).await.unwrap_or_else(|_| Err(out_of_time(options))),
        None => step.await,
    }
}

pub(crate) fn check_limit(len: u64, max_len: u64) -> Result<()> {
    if len > max_len {
        return Err(Error::new(ErrorKind::LimitExceeded, "the file behind the link is larger than allowed")
            .with_size(len, max_len));
    }
    Ok(())
}

fn check_size(len: u64, size: Option<u64>) -> Result<()> {
    match size {
        Some(size) if len < size => Err(truncated(len, size)),
        Some(size) if len > size => Err(too_long(len, size)),
        _ => Ok(()),
    }
}

fn truncated(received: u64, promised: u64) -> Error {
    Error::new(ErrorKind::LinkTruncated, format!("{received} bytes instead of {promised}"))
}

fn too_long(received: u64, promised: u64) -> Error {
    Error::new(ErrorKind::LinkTooLong, format!("at least {received} bytes instead of {promised}"))
}

fn out_of_time(options: &FetchOptions) -> Error {
    let total = options.total.unwrap_or_default();
    Error::new(ErrorKind::TimedOut, format!("the download did not end within the total of {total:?}"))
}
