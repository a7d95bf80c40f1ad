//! One request and its answer, with every stage under a deadline.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connect::{Connector, Progress, Sending};
use super::dial::Dialer;
use super::{Direction, HttpTimeouts, Words};
use crate::link::address::Reach;
use crate::link::origin::Origin;
use crate::link::store::{Body, BoxFuture, Download};
use crate::link::tap::UploadBody;
use crate::link::tls::{self, TlsOptions};
use crate::link::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

/// Plik answers errors with redirects to a web page unless the name begins with a known token; `plik_client` is one.
const USER_AGENT: &str = concat!("plik_client/1.0 (natsbridge ", env!("CARGO_PKG_VERSION"), ")");

/// How much of a download is read at once, and so the most that a connection holds. 256 KiB (chosen): many downloads at
/// once share a bound on their memory, and larger reads are hardly faster.
pub(in crate::link) const MAX_READ: usize = 256 * 1024;

/// How many bytes of an error's explanation are read; its first 200 characters are shown.
const MAX_WORDS: usize = 1024;

/// Speaks HTTP to any origin.
#[derive(Clone, Default)]
pub(in crate::link) struct Client {
    timeouts: HttpTimeouts,
    connector: Connector,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

/// A request to be sent.
pub(in crate::link) struct Request<'a> {
    method: Method,
    url: &'a LinkUrl,
    headers: Vec<(Cow<'static, str>, String)>,
    body: RequestBody,
    reach: Reach,
}

/// What a request carries: some bytes, an upload's, and some more. Nothing of it is copied.
#[derive(Default)]
pub(in crate::link) struct RequestBody {
    pub(in crate::link) head: VecDeque<Bytes>,
    pub(in crate::link) content: Option<UploadBody>,
    pub(in crate::link) tail: Option<Bytes>,
}

impl RequestBody {
    /// Bytes in all, if the content's are known.
    fn len(&self) -> Option<u64> {
        let content = self.content.as_ref().map_or(Some(0), UploadBody::len)?;
        let around = self.head.iter().chain(&self.tail).map(|piece| piece.len() as u64).sum::<u64>();
        content.checked_add(around)
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self { head: VecDeque::from([bytes]), ..Self::default() }
    }
}

impl From<UploadBody> for RequestBody {
    fn from(content: UploadBody) -> Self {
        Self { content: Some(content), ..Self::default() }
    }
}

impl<'a> Request<'a> {
    pub(in crate::link) fn new(method: Method, url: &'a LinkUrl) -> Self {
        Self { method, url, headers: Vec::new(), body: RequestBody::default(), reach: Reach::everywhere() }
    }

    pub(in crate::link) fn get(url: &'a LinkUrl) -> Self {
        Self::new(Method::GET, url)
    }

    /// Connects only to addresses within `reach`; anywhere unless told.
    pub(in crate::link) fn within(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Adds a header, if there is a value.
    pub(in crate::link) fn header(mut self, name: impl Into<Cow<'static, str>>, value: Option<&str>) -> Self {
        self.headers.extend(value.map(|value| (name.into(), value.to_owned())));
        self
    }

    /// Sets the body: of exact length where that is known, in chunks where it is not.
    pub(in crate::link) fn body(mut self, content_type: &str, body: impl Into<RequestBody>) -> Self {
        self.body = body.into();
        self.header("content-type", Some(content_type))
    }
}

impl Client {
    pub(in crate::link) fn set_tls(&mut self, options: TlsOptions) {
        self.connector.set_tls(options);
    }

    pub(in crate::link) fn set_timeouts(&mut self, timeouts: HttpTimeouts) {
        self.timeouts = timeouts;
    }

    pub(in crate::link) fn set_dialer(&mut self, dialer: Arc<dyn Dialer>) {
        self.connector.set_dialer(dialer);
    }

    /// Sends a request over a new connection and waits for the head of the answer, whatever its status.
    ///
    /// An answer that comes while the body is still being sent ends the sending.
    pub(in crate::link) async fn send(&self, request: Request<'_>, direction: Direction) -> Result<Reply> {
        let (origin, reach) = (request.url.origin().clone(), request.reach);
        let clock = Clock::start(&self.timeouts, origin.clone());
        let progress = Arc::new(Progress::new());
        let request = into_hyper(request, Arc::clone(&progress))?;

        let (stage, deadline) = clock.until("connecting", Instant::now(), self.timeouts.connect);
        let connecting = self.connector.connect(&origin, reach, Arc::clone(&progress));
        let wire = timeout_at(deadline, connecting).await.map_err(|_| clock.timed_out(stage))??;
        // What the caller's own bytes did is told first: it is the cause.
        let failed =
            |error| progress.source_error().unwrap_or_else(|| exchange_error(&origin, error, direction));
        let mut handshake = http1::Builder::new();
        if direction == Direction::Download {
            handshake.max_buf_size(MAX_READ);
        }
        let (mut sender, connection) = handshake.handshake(TokioIo::new(wire)).await.map_err(failed)?;
        let task = Task(tokio::spawn(async move {
            // Its errors reach the request or the body as well.
            let _ = connection.await;
        }));

        let mut answer = Box::pin(sender.send_request(request));
        let response = loop {
            let before @ Sending { last_write, body_taken, starved } = progress.get();
            let (stage, deadline) = if body_taken {
                clock.until("waiting for the answer", last_write, self.timeouts.first_byte)
            } else {
                clock.until("sending the body", last_write, self.timeouts.idle)
            };
            tokio::select! {
                biased;
                outcome = &mut answer => break outcome.map_err(failed)?,
                () = sleep_until(deadline) => {
                    // Bytes may have gone out meanwhile: then there is a later deadline. A sender that has nothing to
                    // send yet is not the server's fault, but the whole transfer's deadline is everybody's.
                    if clock.is_over() || (progress.get() == before && !starved) {
                        return Err(clock.timed_out(stage));
                    }
                    if starved {
                        progress.look_again();
                    }
                }
            }
        };
        drop(answer);
        Ok(Reply {
            response,
            direction,
            idle: self.timeouts.idle,
            rate: Rate::new(&self.timeouts),
            clock,
            _task: task,
        })
    }
}

fn into_hyper(request: Request<'_>, progress: Arc<Progress>) -> Result<hyper::Request<Outgoing>> {
    let origin = request.url.origin();
    let host = match origin.port() == origin.scheme().default_port() {
        true => origin.host().to_owned(),
        false => format!("{}:{}", origin.host(), origin.port()),
    };
    let has_body = !matches!(request.method, Method::GET | Method::HEAD | Method::DELETE);
    let mut builder = hyper::Request::builder()
        .method(request.method)
        .uri(request.url.path_and_query())
        .header(HOST, host)
        .header("user-agent", USER_AGENT)
        .header("accept", "*/*")
        // Bytes as they are: a compressed answer could not be checked against its length.
        .header("accept-encoding", "identity")
        .header("connection", "close");
    for (name, value) in request.headers {
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            Error::new(ErrorKind::Misuse, format!("the {name} header has characters that HTTP cannot carry"))
        })?;
        value.set_sensitive(true);
        builder = builder.header(&*name, value);
    }
    let remaining = request.body.len();
    if let (true, Some(len)) = (has_body, remaining) {
        builder = builder.header("content-length", len);
    }
    let body = Outgoing { body: request.body, remaining, progress };
    body.note_end();
    // A `LinkUrl` has only characters that a request line can carry, so this fails for no URL that was parsed.
    builder
        .body(body)
        .map_err(|error| Error::new(ErrorKind::Bug, "cannot write the request").with_source(error))
}

/// A request body: pieces that are handed to the socket as they are, one after the other.
struct Outgoing {
    body: RequestBody,
    /// Bytes that hyper has not taken yet, if that is known.
    remaining: Option<u64>,
    progress: Arc<Progress>,
}

impl Outgoing {
    fn note_end(&self) {
        if self.is_over() {
            self.progress.body_taken();
        }
    }

    fn is_over(&self) -> bool {
        let body = &self.body;
        match self.remaining {
            Some(remaining) => remaining == 0,
            None => body.head.is_empty() && body.content.is_none() && body.tail.is_none(),
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if let Some(piece) = self.body.head.pop_front() {
            return Poll::Ready(Some(Ok(piece)));
        }
        if let Some(content) = &mut self.body.content {
            let piece = content.poll_piece(cx);
            self.progress.starved(piece.is_pending());
            match ready!(piece) {
                Some(piece) => return Poll::Ready(Some(piece)),
                None => self.body.content = None,
            }
        }
        Poll::Ready(self.body.tail.take().map(Ok))
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = SourceFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SourceFailed>>> {
        let piece = match ready!(self.poll_piece(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                self.progress.source_failed(error);
                return Poll::Ready(Some(Err(SourceFailed)));
            }
            None => {
                self.note_end();
                return Poll::Ready(None);
            }
        };
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(piece.len() as u64);
        }
        self.note_end();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What hyper is told when the bytes to send cannot be read; the error itself is in [`Progress`].
#[derive(Debug)]
struct SourceFailed;

impl fmt::Display for SourceFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes to send cannot be read")
    }
}

impl StdError for SourceFailed {}

/// An answer whose head has arrived.
pub(in crate::link) struct Reply {
    response: Response<Incoming>,
    direction: Direction,
    idle: Duration,
    rate: Rate,
    clock: Clock,
    _task: Task,
}

impl Reply {
    pub(in crate::link) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header's value, if it is there and is plain text.
    pub(in crate::link) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Every value of a header as text, however odd its bytes are.
    pub(in crate::link) fn header_values(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        self.response.headers().get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    /// How long the body is, if the head says so.
    pub(in crate::link) fn body_len(&self) -> Option<u64> {
        self.response.body().size_hint().exact()
    }

    /// The body, to be read as it comes; `before` it are so many bytes of the file.
    pub(in crate::link) fn into_download(self, before: u64) -> Download {
        let length = self.body_len().and_then(|len| len.checked_add(before));
        Download::new(length, self).starting_at(before)
    }

    /// The whole body, if it is at most `limit` bytes.
    pub(in crate::link) async fn read(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                let text = format!("the answer of {} is longer than {limit} bytes", self.clock.origin);
                return Err(Error::new(self.direction.rejected(), text));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The beginning of a body that only explains an error: what arrives soon, and nothing if that fails.
    pub(in crate::link) async fn read_words(&mut self) -> Words {
        let mut words = Words::default();
        let soon = Instant::now() + Duration::from_secs(2).min(self.idle);
        while words.bytes.len() <= MAX_WORDS {
            match timeout_at(soon, self.chunk()).await {
                Ok(Ok(Some(chunk))) => words.bytes.extend_from_slice(&chunk),
                ended => {
                    words.whole = matches!(ended, Ok(Ok(None)));
                    break;
                }
            }
        }
        words.whole &= words.bytes.len() <= MAX_WORDS;
        words.bytes.truncate(MAX_WORDS);
        words
    }
}

impl Body for Reply {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>>> {
        Box::pin(async move {
            loop {
                // Not asked once the body is whole: that it was slow is nobody's worry then.
                if !self.response.body().is_end_stream() {
                    self.rate.check(&self.clock.origin)?;
                }
                let began = Instant::now();
                let (stage, deadline) = self.clock.until("waiting for more of the body", began, self.idle);
                let frame = timeout_at(deadline, self.response.body_mut().frame())
                    .await
                    .map_err(|_| self.clock.timed_out(stage))?;
                match frame {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(body_error(&self.clock.origin, error, self.direction)),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) if !data.is_empty() => {
                            self.rate.note(data.len(), began.elapsed());
                            return Ok(Some(data));
                        }
                        // Trailers, or nothing: neither is the end.
                        _ => {}
                    },
                }
            }
        })
    }
}

/// Whether a body comes fast enough: a server that sends a byte now and then keeps every deadline for silence.
///
/// Only time spent waiting for the server counts, so a reader that takes its time is not held against it.
struct Rate {
    /// Bytes a second; 0 is any.
    min: u64,
    window: Duration,
    waited: Duration,
    received: u64,
}

impl Rate {
    fn new(timeouts: &HttpTimeouts) -> Self {
        Self { min: timeouts.min_rate, window: timeouts.rate_window, waited: Duration::ZERO, received: 0 }
    }

    fn note(&mut self, bytes: usize, waited: Duration) {
        self.received += bytes as u64;
        self.waited += waited;
    }

    /// Judges the window that has ended, if one has.
    fn check(&mut self, origin: &Origin) -> Result<()> {
        if self.min == 0 || self.waited < self.window {
            return Ok(());
        }
        let wanted = u128::from(self.min) * self.waited.as_millis() / 1000;
        if u128::from(self.received) < wanted {
            let (min, waited, received) = (self.min, self.waited, self.received);
            return Err(Error::new(
                ErrorKind::TimedOut,
                format!("{origin} sends fewer than {min} bytes a second: {received} in {waited:.1?}"),
            ));
        }
        (self.waited, self.received) = (Duration::ZERO, 0);
        Ok(())
    }
}

/// Ends the connection's task with whoever waits for it, so that an abandoned transfer leaves nothing behind.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The deadlines of one exchange.
struct Clock {
    origin: Origin,
    total: Option<(Duration, Instant)>,
}

/// What was being done when a deadline passed, and how long it was allowed to take.
type Stage = (&'static str, Duration);

impl Clock {
    fn start(timeouts: &HttpTimeouts, origin: Origin) -> Self {
        // A total too long for the clock is no limit.
        let total = timeouts.total.and_then(|total| Some((total, Instant::now().checked_add(total)?)));
        Self { origin, total }
    }

    /// The deadline of a stage: its own, or the whole exchange's where that comes first.
    fn until(&self, stage: &'static str, since: Instant, limit: Duration) -> (Stage, Instant) {
        const FAR: Duration = Duration::from_secs(86_400 * 365);
        let own = since + limit.min(FAR);
        match self.total {
            Some((total, deadline)) if deadline < own => (("the whole transfer", total), deadline),
            _ => ((stage, limit), own),
        }
    }

    /// Whether the whole exchange has had its time.
    fn is_over(&self) -> bool {
        self.total.is_some_and(|(_, deadline)| deadline <= Instant::now())
    }

    fn timed_out(&self, (stage, limit): Stage) -> Error {
        Error::new(ErrorKind::TimedOut, format!("{stage} took longer than {limit:?}, at {}", self.origin))
    }
}

/// An exchange that ended before the head of an answer.
fn exchange_error(origin: &Origin, error: hyper::Error, direction: Direction) -> Error {
    if let Some(error) = tls::failure(origin, &error) {
        return error;
    }
    let (kind, what) = if error.is_parse() {
        (direction.rejected(), "does not answer in valid HTTP")
    } else if error.is_user() {
        (ErrorKind::Bug, "was sent a request that HTTP does not allow")
    } else {
        (ErrorKind::Network, "closed the connection without an answer")
    };
    Error::new(kind, format!("{origin} {what}")).with_source(error)
}

/// A body that did not reach its end.
fn body_error(origin: &Origin, error: hyper::Error, direction: Direction) -> Error {
    if let Some(error) = tls::failure(origin, &error) {
        return error;
    }
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    let (kind, what) = match io {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            (direction.rejected(), "sent a body that is not valid HTTP")
        }
        _ => (direction.cut_short(), "ended the connection before the end of the body"),
    };
    Error::new(kind, format!("{origin} {what}")).with_source(error)
}
