//! A connection to an origin: TCP, TLS where the scheme asks for it, and what hyper must not see of it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::link::origin::{Origin, Scheme};
use crate::{Error, ErrorKind, Result};

/// Makes connections; reads the system's certificates once, when the first `https` origin asks for them.
#[derive(Clone, Default)]
pub(super) struct Connector {
    tls: OnceCell<TlsConnector>,
}

impl Connector {
    /// Connects. Every failure is of kind [`Network`](ErrorKind::Network).
    pub(super) async fn connect(&self, origin: &Origin, progress: Arc<Progress>) -> Result<Wire> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Network, format!("cannot connect to {origin}")).with_source(error)
        };
        let host = origin.host().trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, origin.port())).await.map_err(failed)?;
        // Heads and the end of a body are small; waiting to fill a packet would only add latency.
        tcp.set_nodelay(true).map_err(failed)?;
        let stream = match origin.scheme() {
            Scheme::Http => Stream::Plain(tcp),
            Scheme::Https => {
                let name =
                    ServerName::try_from(host.to_owned()).map_err(|error| failed(io::Error::other(error)))?;
                let tls = self.tls.get_or_try_init(tls_connector).await?;
                Stream::Tls(Box::new(tls.connect(name, tcp).await.map_err(failed)?))
            }
        };
        Ok(Wire { stream, progress, broken: false })
    }
}

/// TLS with the system's certificate authorities and the `ring` provider, given explicitly: a default provider may not be
/// installed in the process, or be another one.
async fn tls_connector() -> Result<TlsConnector> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Network, "cannot set up TLS").with_source(error)
    };
    // Reads files.
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
        .await
        .map_err(|e| failed(e.into()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        return Err(failed("this system has no certificate authorities".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
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
        let mut wire = Connector::default().connect(&origin, Arc::new(Progress::new())).await.unwrap();
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
