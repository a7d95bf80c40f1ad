//! TLS to file servers that can and that cannot prove who they are, and that ask who the client is.
#![cfg(feature = "plik")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use natsbridge::link::{
    Expected, FetchOptions, HttpStore, LinkStore as _, LinkUrl, Plik, Retry, TlsOptions, Upload, fetch,
};
use natsbridge::{Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

const BODY: &str = "the bytes of the file";

/// A file that `tests/data/tls/make.sh` has made.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

/// A server of its own certificate that answers everything with [`BODY`].
struct Server {
    port: u16,
    /// Requests that got through the handshake.
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// `clients` is the authority that clients must be certified by.
    async fn start(certificate: &str, clients: Option<&str>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(file(authority)).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = vec![CertificateDer::from_pem_file(file(certificate)).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let mut request = vec![0; 65_536];
                    if tls.read(&mut request).await.is_ok_and(|len| len > 0) {
                        count.fetch_add(1, Ordering::SeqCst);
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY.len());
                        let _ = tls.write_all(format!("{head}{BODY}").as_bytes()).await;
                        let _ = tls.shutdown().await;
                    }
                });
            }
        });
        Self { port, requests, task }
    }

    async fn get_from(&self, host: &str, tls: TlsOptions) -> Result<String, Error> {
        let url = LinkUrl::parse(&format!("https://{host}:{}/file/SECRET", self.port)).unwrap();
        let options = FetchOptions::default().retry(Retry::default().max_retries(3));
        let store = HttpStore::new().tls(tls);
        let fetched = fetch(&store, &url, &Expected::nothing(), &options).await?;
        Ok(String::from_utf8(fetched.bytes.to_vec()).unwrap())
    }

    async fn get(&self, tls: TlsOptions) -> Result<String, Error> {
        self.get_from("localhost", tls).await
    }
}

fn trusting(authority: &str) -> TlsOptions {
    TlsOptions::new().without_system_roots().root_certificate_file(file(authority)).unwrap()
}

/// The failure of two sides that do not accept each other: final, and with a reason that says what to do.
fn assert_refused(outcome: Result<String, Error>, reason: &str) {
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::TlsFailed, Some(1)), "{error}");
    let text = error.to_string();
    assert!(text.contains(reason) && text.contains("https://"), "{text}");
    assert!(!format!("{error:?} {:?}", error.source()).contains("SECRET"));
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_beside_the_systems_or_alone() {
    let server = Server::start("server.pem", None).await;
    let beside = TlsOptions::new().root_certificates(pem("ca.pem")).unwrap();
    for tls in [trusting("ca.pem"), beside] {
        assert_eq!(server.get(tls).await.unwrap(), BODY);
    }
    let both = trusting("stranger-ca.pem").root_certificate_file(file("ca.pem")).unwrap();
    assert_eq!(server.get(both).await.unwrap(), BODY);
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_gets_no_request() {
    let server = Server::start("server.pem", None).await;
    let untrusted = "not trusted here; see TlsOptions::root_certificates";
    assert_refused(server.get(trusting("stranger-ca.pem")).await, untrusted);
    assert_refused(server.get_from("127.0.0.1", trusting("ca.pem")).await, "for another host name");
    let expired = Server::start("expired.pem", None).await;
    assert_refused(expired.get(trusting("ca.pem")).await, "has expired");
    // The certificate of a client cannot be that of a server; nor is a certificate its own authority.
    assert_refused(server.get(trusting("client.pem")).await, untrusted);
    for server in [server, expired] {
        assert_eq!(server.requests.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_it_is_asked_for_one() {
    let server = Server::start("server.pem", Some("ca.pem")).await;
    let key = file("client.key");
    let known = trusting("ca.pem").client_certificate_files(file("client.pem"), &key).unwrap();
    assert_eq!(server.get(known.clone()).await.unwrap(), BODY);
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);

    assert_refused(server.get(trusting("ca.pem")).await, "see TlsOptions::client_certificate");
    let stranger = trusting("ca.pem").client_certificate(pem("stranger.pem"), pem("client.key")).unwrap();
    assert_refused(server.get(stranger).await, "does not accept this client's certificate");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);

    // Uploads go the same way: this answer is no Plik's, but it is an answer.
    let base = format!("https://localhost:{}", server.port);
    let upload = || Upload::new("a", "b");
    let plik = |tls| Plik::new(&base).unwrap().tls(tls);
    assert_eq!(plik(known).upload(upload()).await.unwrap_err().kind(), ErrorKind::UploadRejected);
    let refused = plik(trusting("ca.pem")).upload(upload()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TlsFailed);
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_without_tls_is_no_https_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let task = tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let store = HttpStore::new().tls(trusting("ca.pem"));
    let error = store.download(&LinkUrl::parse(&url).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    task.abort();
}

#[test]
fn options_that_cannot_work_say_so_at_once() {
    let no_key =
        || TlsOptions::new().client_certificate(pem("client.pem"), "-----BEGIN PRIVATE KEY-----\nSECRET");
    let cut: Vec<u8> = pem("ca.pem").into_iter().take(200).collect();
    for (outcome, reason) in [
        (TlsOptions::new().root_certificates("nothing"), "no certificate in PEM"),
        (TlsOptions::new().root_certificates(pem("client.key")), "no certificate in PEM"),
        (TlsOptions::new().root_certificates(cut), "not valid PEM"),
        (TlsOptions::new().root_certificate_file(file("missing.pem")), "missing.pem"),
        (TlsOptions::new().client_certificate(pem("client.pem"), pem("ca.pem")), "no private key"),
        (TlsOptions::new().client_certificate(pem("client.key"), pem("client.key")), "no certificate in PEM"),
        (TlsOptions::new().client_certificate(pem("client.pem"), pem("server.key")), "another certificate"),
        (TlsOptions::new().client_certificate_files(file("client.pem"), file("missing.key")), "missing.key"),
        (no_key(), "no valid PEM"),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
        assert!(error.to_string().contains(reason), "{error} has no {reason:?}");
        assert!(!format!("{error:?} {:?}", error.source()).contains("SECRET"), "{error:?}");
    }
}

#[tokio::test]
async fn without_any_authority_nothing_is_trusted() {
    let server = Server::start("server.pem", None).await;
    let error = server.get(TlsOptions::new().without_system_roots()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TlsFailed);
    assert!(error.source().unwrap().to_string().contains("no certificate authorities"), "{error:?}");
}

#[test]
fn debug_output_has_no_key() {
    let tls = trusting("ca.pem").client_certificate(pem("client.pem"), pem("client.key")).unwrap();
    let expected = "TlsOptions { system_roots: false, roots: 1, client_certificate: true }";
    assert_eq!(format!("{tls:?}"), expected);
    assert!(!format!("{:?}", HttpStore::new().tls(tls)).contains("PRIVATE"));
}
