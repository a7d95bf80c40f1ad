//! Readers and streams as pieces of a bounded length.

#[cfg(feature = "nats")]
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::{PIECE_LEN, Pieces, failed};
use crate::Result;

/// A buffer with less room than this is not read into any more.
const MIN_ROOM: usize = 32 * 1024;

/// An `AsyncRead`, of which no more is read than was asked for.
pub(super) struct Reader<R> {
    reader: Pin<Box<R>>,
    /// Bytes that are still to come; `None` where the end of the reader says so.
    remaining: Option<u64>,
    buffer: BytesMut,
    ended: bool,
}

impl<R: AsyncRead> Reader<R> {
    pub(super) fn new(reader: R, len: Option<u64>) -> Self {
        Self { reader: Box::pin(reader), remaining: len, buffer: BytesMut::new(), ended: false }
    }
}

impl<R: AsyncRead + Send> Pieces for Reader<R> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let most = self
            .remaining
            .map_or(PIECE_LEN, |left| PIECE_LEN.min(usize::try_from(left).unwrap_or(PIECE_LEN)));
        if self.buffer.len() < most.min(MIN_ROOM) {
            self.buffer.clear();
            self.buffer.resize(PIECE_LEN, 0);
        }
        let most = most.min(self.buffer.len());
        let mut filled = 0;
        // Filled as far as it goes without waiting: many small reads make one piece.
        while filled < most {
            let mut space = ReadBuf::new(&mut self.buffer[filled..most]);
            match self.reader.as_mut().poll_read(cx, &mut space) {
                Poll::Ready(Ok(())) if space.filled().is_empty() => {
                    self.ended = true;
                    break;
                }
                Poll::Ready(Ok(())) => filled += space.filled().len(),
                Poll::Ready(Err(error)) => {
                    self.ended = true;
                    let error = failed("the reader of the payload failed").with_source(error);
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Pending if filled > 0 => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        if filled == 0 {
            self.ended = true;
            return Poll::Ready(None);
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining -= filled as u64; // `filled <= most <= remaining`
        }
        Poll::Ready(Some(Ok(self.buffer.split_to(filled).freeze())))
    }
}

/// A stream of byte pieces of any length.
#[cfg(feature = "nats")]
pub(super) struct Streamed<S> {
    stream: Pin<Box<S>>,
    queue: VecDeque<Bytes>,
    ended: bool,
}

#[cfg(feature = "nats")]
impl<S> Streamed<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: Box::pin(stream), queue: VecDeque::new(), ended: false }
    }
}

#[cfg(feature = "nats")]
impl<S, B, E> Pieces for Streamed<S>
where
    S: futures_util::Stream<Item = std::result::Result<B, E>> + Send,
    B: Into<Bytes>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if let Some(piece) = super::next_of(&mut self.queue) {
                return Poll::Ready(Some(Ok(piece)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match std::task::ready!(self.stream.as_mut().poll_next(cx)) {
                Some(Ok(bytes)) => {
                    let bytes = bytes.into();
                    if !bytes.is_empty() {
                        self.queue.push_back(bytes);
                    }
                }
                Some(Err(error)) => {
                    self.ended = true;
                    let error = failed("the stream of the payload failed").with_source(error);
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.ended = true,
            }
        }
    }
}
