//! One connection: HTTP/1.1 over a socket that cannot stand still for ever and does not cut off its last
//! answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::routes::{Shared, answer};

/// Serves requests until the client leaves, stands still, or `stopping` turns true between two requests.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    // Answers are written whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let unread = Arc::new(AtomicBool::new(false));
    let idle = shared.options.idle_timeout;
    let socket = Socket::new(stream, idle, Arc::clone(&unread));
    let service = service_fn(|request| {
        let (shared, unread) = (Arc::clone(&shared), Arc::clone(&unread));
        async move { Ok::<_, std::convert::Infallible>(answer(&shared, request, &unread).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle.min(HEADER_TIMEOUT))
        .max_buf_size(MAX_BUFFER)
        // A client may close its sending side and still wait for the answer.
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        // Clients that go away are no news.
        tracing::debug!("connection ended: {error}");
    }
}

/// Returns once the server is told to stop, or is gone.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// A TCP stream with an idle limit and a patient close.
struct Socket {
    stream: TcpStream,
    idle: Duration,
    /// When the connection has stood still for too long; put off by every byte in either direction.
    deadline: Pin<Box<Sleep>>,
    /// Set by a request whose body was not read to the end.
    unread: Arc<AtomicBool>,
    closing: bool,
}

impl Socket {
    fn new(stream: TcpStream, idle: Duration, unread: Arc<AtomicBool>) -> Self {
        Self { stream, idle, deadline: Box::pin(sleep(idle)), unread, closing: false }
    }

    /// Passes progress on; turns standing still for too long into an error.
    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            let until = Instant::now() + self.idle;
            self.deadline.as_mut().reset(until);
            return result;
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.watch(cx, result)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.watch(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Closes the sending side and, after an early answer, throws away what the client is still sending.
    ///
    /// Closing a socket with unread bytes makes the kernel reset the connection, and a reset can overtake
    /// the answer: the client would see a broken pipe instead of `file too big`.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.closing = true;
            this.deadline.as_mut().reset(Instant::now() + LINGER);
        }
        if !this.unread.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 16 * 1024];
        // A turn is bounded, so that a fast sender does not keep the thread from other connections.
        for _ in 0..16 {
            if this.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Chosen: the head of a request is sent in one go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Chosen: the head of a request and a chunk of its body fit.
const MAX_BUFFER: usize = 128 * 1024;

/// Chosen: enough for a client to notice the answer, little enough for one that never looks.
const LINGER: Duration = Duration::from_secs(2);
