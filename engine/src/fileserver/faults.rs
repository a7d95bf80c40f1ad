//! Doing things wrong on purpose: what a client can be tested against.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep};

use super::answer::{self, Body, Failure};
use super::download::FileBody;

/// Something that a file server can be told to do wrong, with
/// [`FileServerBuilder::fault`](super::FileServerBuilder::fault), so that a client can be tested against it.
///
/// Everything but [`UploadUnavailable`](Self::UploadUnavailable) and [`Lie`](Self::Lie) is about the answer to the `GET` of a file.
/// A `GET` that is answered wrongly consumes a one-shot file as any other does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerFault {
    /// Sends the file a few bytes at a time, with a pause before each.
    Drip {
        /// How many bytes at a time, at least one.
        bytes: usize,
        /// The pause.
        pause: Duration,
    },
    /// Turns over the lowest bit of the byte at this position of the file, counted from 0.
    FlippedBit(u64),
    /// Answers the creation of an upload, or the adding of a file, with something untrue or useless. What was asked for is
    /// done all the same.
    Lie(Lie),
    /// Announces so many bytes more than the file has, and closes the connection behind it.
    LengthTooLarge(u64),
    /// Announces so many bytes fewer, and sends no more than that.
    LengthTooSmall(u64),
    /// Sends the file without announcing its length, in chunks.
    NoLength,
    /// Sends a web page in place of the file, with status 200.
    Page,
    /// Sends the client elsewhere: 302 with this `Location`.
    Redirect(String),
    /// Answers 500 to the `GET` of a file.
    Unavailable,
    /// Answers 500 to the `POST` of a file; nothing is stored.
    UploadUnavailable,
}

/// What is wrong with an answer about an upload or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lie {
    /// The file's size is one byte more than it is.
    FileSize,
    /// The file's MD5 is that of something else.
    Md5,
    /// There is no such key.
    Missing(&'static str),
    /// The answer is a web page.
    NotJson,
    /// This key has another value.
    Other(&'static str, Value),
    /// The answer is valid JSON, and 2 MiB long.
    Huge,
}

/// Which faults are still to come, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<(ServerFault, u32)>>);

/// What a request is, as far as faults care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Add,
    Create,
    Get,
    Other,
}

impl Kind {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        match method.as_str() {
            "GET" if path.starts_with("/file/") => Self::Get,
            "POST" if path.starts_with("/file/") => Self::Add,
            "POST" if path == "/upload" => Self::Create,
            _ => Self::Other,
        }
    }
}

impl Faults {
    pub(super) fn new(faults: Vec<(ServerFault, u32)>) -> Self {
        Self(Mutex::new(faults))
    }

    /// The next fault that such a request is about, used once more.
    pub(super) fn take(&self, kind: Kind) -> Option<ServerFault> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = |fault: &ServerFault| match fault {
            ServerFault::UploadUnavailable => kind == Kind::Add,
            ServerFault::Lie(Lie::FileSize | Lie::Md5) => kind == Kind::Add,
            ServerFault::Lie(Lie::Missing(key) | Lie::Other(key, _)) => match *key {
                "uploadToken" | "downloadDomain" | "expireAt" => kind == Kind::Create,
                _ => kind == Kind::Add,
            },
            ServerFault::Lie(_) => kind == Kind::Add,
            _ => kind == Kind::Get,
        };
        let (fault, left) = faults.iter_mut().find(|(fault, left)| *left > 0 && meant(fault))?;
        *left -= 1;
        Some(fault.clone())
    }
}

impl ServerFault {
    /// An answer that is given in place of doing anything.
    pub(super) fn refusal(&self) -> Option<Response<Body>> {
        matches!(self, Self::Unavailable | Self::UploadUnavailable)
            .then(|| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal server error").into_text())
    }

    /// Makes a good answer a bad one; what is an error already stays as it is.
    pub(super) fn spoil(self, response: Response<Body>) -> Response<Body> {
        if response.status() != StatusCode::OK {
            return response;
        }
        match self {
            Self::Lie(lie) => lie.spoil(response),
            Self::Page => {
                let mut page =
                    answer::text("<!doctype html><html><body>Welcome to the file server</body></html>");
                page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
                page
            }
            Self::Redirect(location) => {
                let mut redirect = answer::moved(location.as_bytes());
                *redirect.status_mut() = StatusCode::FOUND;
                redirect
            }
            Self::Unavailable | Self::UploadUnavailable => response,
            body => body.spoil_body(response),
        }
    }

    fn spoil_body(self, response: Response<Body>) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        let file = match body {
            Body::File(file) => file,
            other => return Response::from_parts(head, other),
        };
        let len = file.remaining();
        let mut spoiled = SpoiledBody { file, position: 0, flip: None, drip: None, announced: Some(len) };
        match self {
            Self::Drip { bytes, pause } => {
                let timer = Box::pin(sleep(pause));
                spoiled.drip = Some(Drip { bytes: bytes.max(1), pause, timer, waiting: Bytes::new() });
            }
            Self::FlippedBit(position) => spoiled.flip = Some(position),
            Self::LengthTooLarge(more) => spoiled.announced = Some(len.saturating_add(more)),
            Self::LengthTooSmall(fewer) => spoiled.announced = Some(len.saturating_sub(fewer)),
            Self::NoLength => spoiled.announced = None,
            // Not about the bytes.
            Self::Lie(_) | Self::Page | Self::Redirect(_) | Self::Unavailable | Self::UploadUnavailable => {}
        }
        if let Some(announced) = spoiled.announced {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(announced));
        }
        Response::from_parts(head, Body::Spoiled(Box::new(spoiled)))
    }
}

impl Lie {
    fn spoil(self, response: Response<Body>) -> Response<Body> {
        let (head, Body::Full(bytes)) = response.into_parts() else { return answer::text("") };
        // Only answers that this server has written itself are spoiled, and those are JSON.
        let mut value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match self {
            Self::FileSize => value["fileSize"] = (value["fileSize"].as_i64().unwrap_or_default() + 1).into(),
            Self::Md5 => value["fileMd5"] = "0123456789abcdef0123456789abcdef".into(),
            Self::Missing(key) => {
                if let Some(object) = value.as_object_mut() {
                    object.remove(key);
                }
            }
            Self::NotJson => return answer::text("<!doctype html><html><body>Sign in first</body></html>"),
            Self::Other(key, other) => value[key] = other,
            Self::Huge => value["comments"] = "x".repeat(2 * 1024 * 1024).into(),
        }
        Response::from_parts(head, Body::Full(value.to_string().into()))
    }
}

/// A file on its way to the client, with something wrong about it.
pub(super) struct SpoiledBody {
    file: FileBody,
    /// Bytes of the file that have gone by.
    position: u64,
    flip: Option<u64>,
    drip: Option<Drip>,
    announced: Option<u64>,
}

struct Drip {
    bytes: usize,
    pause: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: Bytes,
}

impl SpoiledBody {
    /// What is announced, if anything is; what comes may be more or less.
    pub(super) fn announced(&self) -> Option<u64> {
        self.announced
    }

    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(drip) = &mut self.drip else { return self.poll_file(cx) };
        if drip.waiting.is_empty() {
            let next = match ready!(self.poll_file(cx)) {
                Some(Ok(next)) => next,
                end => return Poll::Ready(end),
            };
            if let Some(drip) = &mut self.drip {
                drip.waiting = next;
            }
        }
        let Some(drip) = &mut self.drip else { return Poll::Ready(None) };
        ready!(drip.timer.as_mut().poll(cx));
        drip.timer.as_mut().reset(Instant::now() + drip.pause);
        let count = drip.bytes.min(drip.waiting.len());
        Poll::Ready(Some(Ok(drip.waiting.split_to(count))))
    }

    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(chunk) = ready!(self.file.poll_chunk(cx)) else {
            // A length that was announced and does not come ends the connection.
            let short = self.announced.is_some_and(|announced| announced > self.position);
            return Poll::Ready(short.then(|| Err(io::ErrorKind::UnexpectedEof.into())));
        };
        let chunk = chunk?;
        let start = self.position;
        self.position += chunk.len() as u64;
        let at = self.flip.filter(|flip| (start..self.position).contains(flip));
        let Some(at) = at else { return Poll::Ready(Some(Ok(chunk))) };
        let mut chunk = chunk.to_vec();
        chunk[(at - start) as usize] ^= 1;
        Poll::Ready(Some(Ok(chunk.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_it_says_and_only_what_it_is_about() {
        let faults = Faults::new(vec![
            (ServerFault::Unavailable, 1),
            (ServerFault::NoLength, 2),
            (ServerFault::Lie(Lie::Missing("uploadToken")), 1),
        ]);
        assert_eq!(faults.take(Kind::Other), None);
        assert_eq!(faults.take(Kind::Get), Some(ServerFault::Unavailable));
        assert_eq!(faults.take(Kind::Add), None);
        assert_eq!(faults.take(Kind::Get), Some(ServerFault::NoLength));
        assert_eq!(faults.take(Kind::Get), Some(ServerFault::NoLength));
        assert_eq!(faults.take(Kind::Get), None);
        assert!(faults.take(Kind::Create).is_some());
        assert_eq!(Kind::of(&Method::GET, "/file/a/b/c"), Kind::Get);
        assert_eq!(Kind::of(&Method::HEAD, "/file/a/b/c"), Kind::Other);
        assert_eq!(Kind::of(&Method::POST, "/file/a"), Kind::Add);
    }
}
