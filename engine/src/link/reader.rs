//! A payload as a stream of bytes, whose end is the verdict.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::store::BoxFuture;
use super::transfer::{Proof, Step, Transfer};
use crate::payload::Verification;
use crate::{Error, ErrorKind, Result};

/// A payload's bytes as they come: an `AsyncRead` for payloads that are too large for memory.
///
/// **Only the end is a verdict.** Bytes are handed out before anybody can know whether the whole is right; the read
/// that would say "that was all" says instead that the payload was cut short, or is not the one that was sent. So what
/// was done with the bytes must be undone if reading ends with an error. Where that is not possible use
/// [`save`](crate::ReceivedPayload::save), which hands nothing over before it is verified.
///
/// A transfer that breaks off is tried again like any other. What was handed out cannot be taken back, so the next try
/// continues behind it where the server can resume; else it reads the beginning again and fails if that is not the same.
///
/// Memory: one piece of the connection's, of at most 256 KiB over HTTP. Dropping it ends the transfer.
///
/// # Errors
/// Reading fails with an [`io::Error`] around an [`Error`] of this crate, which [`PayloadReader::error_of`] takes out; it
/// fails again with every further read.
pub struct PayloadReader {
    state: State,
    /// What was received and not read yet.
    chunk: Bytes,
    position: u64,
    proof: Option<Verification>,
    /// What stands in the digest's place is none.
    doubtful: bool,
    index: usize,
}

enum State {
    Fetching(BoxFuture<'static, (Box<Transfer<'static>>, Result<Step>)>),
    Ended,
    /// With the kind and the text of the error, which was handed over.
    Failed(ErrorKind, String),
}

impl PayloadReader {
    /// Begins a download, up to its first bytes.
    pub(crate) async fn open(transfer: Transfer<'static>, doubtful: bool, index: usize) -> Result<Self> {
        let mut transfer = Box::new(transfer.streaming());
        // The first step is the beginning; nothing else comes before.
        transfer.next().await.map_err(|error| error.in_payload(index))?;
        let state = State::Fetching(Box::pin(step(transfer)));
        Ok(Self { state, chunk: Bytes::new(), position: 0, proof: None, doubtful, index })
    }

    /// Bytes that are there already, and right.
    pub(crate) fn whole(bytes: Bytes, verification: Verification, index: usize) -> Self {
        Self {
            state: State::Ended,
            chunk: bytes,
            position: 0,
            proof: Some(verification),
            doubtful: false,
            index,
        }
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What is proved about the bytes; `None` before the end.
    pub fn verification(&self) -> Option<Verification> {
        self.proof.filter(|_| self.chunk.is_empty())
    }

    /// The error of this crate behind an error of reading, if there is one.
    pub fn error_of(error: &io::Error) -> Option<&Error> {
        error.get_ref()?.downcast_ref()
    }

    fn verified(&self, proof: &Proof) -> Verification {
        if self.doubtful { Verification::Unverified } else { proof.verified.into() }
    }

    fn failed(&mut self, error: Error) -> io::Error {
        let error = error.in_payload(self.index);
        self.state = State::Failed(error.kind(), error.explanation().to_owned());
        io::Error::new(io_kind(error.kind()), error)
    }
}

async fn step(mut transfer: Box<Transfer<'static>>) -> (Box<Transfer<'static>>, Result<Step>) {
    let outcome = transfer.next().await;
    (transfer, outcome)
}

impl AsyncBufRead for PayloadReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.chunk.is_empty() {
            match &mut this.state {
                State::Ended => break,
                State::Failed(kind, what) => {
                    let error = Error::new(*kind, what.clone()).in_payload(this.index);
                    return Poll::Ready(Err(io::Error::new(io_kind(*kind), error)));
                }
                State::Fetching(step_of) => {
                    let (transfer, outcome) = ready!(step_of.as_mut().poll(cx));
                    match outcome {
                        Err(error) => return Poll::Ready(Err(this.failed(error))),
                        Ok(Step::End(proof)) => {
                            this.proof = Some(this.verified(&proof));
                            this.state = State::Ended;
                        }
                        Ok(next) => {
                            if let Step::Chunk(chunk) = next {
                                this.chunk = chunk;
                            }
                            this.state = State::Fetching(Box::pin(step(transfer)));
                        }
                    }
                }
            }
        }
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.chunk.advance(amount);
        self.position += amount as u64;
    }
}

impl AsyncRead for PayloadReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Reading nothing is no question.
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = bytes.len().min(out.remaining());
        out.put_slice(&bytes[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for PayloadReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadReader").field("position", &self.position).finish_non_exhaustive()
    }
}

/// The nearest of the standard library's kinds, for programs that look no further.
fn io_kind(kind: ErrorKind) -> io::ErrorKind {
    match kind {
        ErrorKind::LinkTruncated => io::ErrorKind::UnexpectedEof,
        ErrorKind::DigestMismatch | ErrorKind::LinkTooLong => io::ErrorKind::InvalidData,
        ErrorKind::TimedOut => io::ErrorKind::TimedOut,
        ErrorKind::LinkGone => io::ErrorKind::NotFound,
        ErrorKind::LinkRefused => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    }
}
