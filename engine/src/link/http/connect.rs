//! A connection to an origin: TCP, TLS where the scheme asks for it, and what hyper must not see of it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::dial::{Dialer, System, dial};
use crate::link::address::Reach;
use crate::link::origin::{Origin, Scheme};
use crate::link::tls::{Tls, TlsOptions};
use crate::{Error, ErrorKind, Result};

/// Makes connections; sets up TLS once, when the first `https` origin asks for it.
#[derive(Clone)]
pub(super) struct Connector {
    dialer: Arc<dyn Dialer>,
    tls: Tls,
}

impl Default for Connector {
    fn default() -> Self {
        Self { dialer: Arc::new(System), tls: Tls::default() }
    }
}

impl Connector {
    pub(super) fn set_dialer(&mut self, dialer: Arc<dyn Dialer>) {
        self.dialer = dialer;
    }

    pub(super) fn set_tls(&mut self, options: TlsOptions) {
        self.tls = Tls::new(options);
    }

    /// Connects to an address within `reach`. A failure is of kind [`Network`](ErrorKind::Network),
    /// [`LinkRefused`](ErrorKind::LinkRefused) for an address that is not allowed, or [`TlsFailed`](ErrorKind::TlsFailed)
    /// where the two sides do not accept each other.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        reach: Reach,
        progress: Arc<Progress>,
    ) -> Result<Wire> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Network, format!("cannot connect to {origin}")).with_source(error)
        };
        let tcp = dial(&self.dialer, origin, reach).await?;
        // Heads and the end of a body are small; waiting to fill a packet would only add latency.
        tcp.set_nodelay(true).map_err(failed)?;
        let stream = match origin.scheme() {
            Scheme::Http => Stream::Plain(tcp),
            Scheme::Https => Stream::Tls(Box::new(self.tls.connect(origin, tcp).await?)),
        };
        Ok(Wire { stream, progress, broken: false })
    }
}

/// How far a request has come: what its deadlines need to know, and its failure where that is not HTTP's.
#[derive(Debug)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    sending: Sending,
    source_error: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sending {
    /// When bytes last went out.
    pub(super) last_write: Instant,
    /// Whether hyper has taken the whole body.
    pub(super) body_taken: bool,
    /// Whether hyper waits for bytes to send, which are not there yet.
    pub(super) starved: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let sending = Sending { last_write: Instant::now(), body_taken: false, starved: false };
        Self(Mutex::new(State { sending, source_error: None }))
    }

    pub(super) fn get(&self) -> Sending {
        self.state().sending
    }

    pub(super) fn body_taken(&self) {
        self.state().sending.body_taken = true;
    }

    pub(super) fn starved(&self, starved: bool) {
        let mut state = self.state();
        if state.sending.starved && !starved {
            // The server's time begins anew.
            state.sending.last_write = Instant::now();
        }
        state.sending.starved = starved;
    }

    /// The next deadline is reckoned from now.
    pub(super) fn look_again(&self) {
        self.wrote();
    }

    /// The bytes to send cannot be read.
    pub(super) fn source_failed(&self, error: Error) {
        self.state().source_error = Some(error);
    }

    pub(super) fn source_error(&self) -> Option<Error> {
        self.state().source_error.take()
    }

    fn wrote(&self) {
        self.state().sending.last_write = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that reports failed writes through its reading side only.
///
/// A server may answer before it has read the whole request ("file too big") and close. Writing then fails, while the
/// answer waits to be read; hyper would report the failed write and lose the answer. So a failed write here stays
/// pending for ever, and the reader finds the answer, or the end of the connection.
pub(super) struct Wire {
    stream: Stream,
    progress: Arc<Progress>,
    /// Whether a write has failed.
    broken: bool,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp),
            Stream::Tls(tls) => Pin::new(&mut **tls),
        }
    }

    fn written<T>(&mut self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(Ok(value)) => {
                self.progress.wrote();
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(error)) => {
                tracing::trace!(%error, "the connection takes no more bytes");
                self.broken = true;
                // Nobody wakes this task for the writer's sake: the reading side ends the exchange.
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Pending;
        }
        let outcome = self.writer().poll_write(cx, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Pending;
        }
        let outcome = self.writer().poll_write_vectored(cx, pieces);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken {
            return Poll::Pending;
        }
        match self.writer().poll_flush(cx) {
            Poll::Ready(Err(error)) => self.written(Poll::Ready(Err(error))),
            outcome => outcome,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_although_writing_has_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let mut wire = Connector::default()
            .connect(&origin, Reach::everywhere(), Arc::new(Progress::new()))
            .await
            .unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();

        wire.write_all(b"never read").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        peer.write_all(b"answer").await.unwrap();
        // Closing with bytes unread resets the connection, so that every further write fails.
        drop(peer);
        sleep(Duration::from_millis(50)).await;

        let write = timeout(Duration::from_millis(100), async {
            loop {
                wire.write_all(&[0; 65_536]).await.unwrap();
            }
        });
        assert!(write.await.is_err(), "a write must neither fail nor go on");
        let mut answer = [0; 6];
        wire.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }
}
