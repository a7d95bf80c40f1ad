//! File servers behind TLS, with an authority of their own, and such that want to know who the client is.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::servers::{Files, Nats, Receiving, program};

/// A file that the engine's `tests/data/tls/make.sh` has made.
fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls").join(name);
    path.to_str().unwrap().to_owned()
}

/// Takes TLS off in front of a file server. Ends with its runtime.
struct Front {
    _runtime: Runtime,
    url: String,
}

impl Front {
    /// One that only clients get through which its authority has certified.
    fn start(files: &Files) -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()],
                PrivateKeyDer::from_pem_file(file("server.key")).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behind = files.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let (Ok(mut tls), Ok(mut plain)) =
                        (acceptor.accept(tcp).await, TcpStream::connect(behind).await)
                    else {
                        return;
                    };
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
                });
            }
        });
        Self { _runtime: runtime, url }
    }
}

#[test]
fn links_go_through_tls_both_ways_with_the_right_certificates_and_not_without() {
    let (nats, files) = (Nats::start(), Files::start(&[]));
    let front = Front::start(&files);
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let trusted = ["--fileserver", &front.url, "--fileserver-ca", &ca];
    let known = ["--fileserver-cert", &cert, "--fileserver-key", &key];
    let payload = format!("large:text={}", "0123456789".repeat(200));
    let send = ["send", "t", "--threshold=1000", &payload];

    let all = [&trusted[..], &known[..]].concat();
    let receiving =
        Receiving::start(&nats, &[&["t", "--json", "--count=1", "--timeout=60s"], &all[..]].concat());
    nats.run(&[&send[..], &all[..]].concat()).expect(0);
    let message = receiving.finish().expect(0).json();
    assert_eq!(message["payloads"][0]["transport"], "link", "{message}");
    assert_eq!(message["payloads"][0]["text"], "0123456789".repeat(200), "{message}");

    // Nobody says who certifies the server; and the server is not told who the client is.
    for args in [&["--fileserver", &front.url][..], &trusted[..]] {
        let ended = nats.run(&[&send[..], args].concat());
        assert!(ended.code.is_some_and(|code| code != 0), "{ended:#?}");
        assert!(ended.stderr.contains("certificate"), "{ended:#?}");
    }
    // A certificate without its key is a mistake in the command.
    let half = program().args([&send[..], &trusted[..], &known[..2]].concat()).output().unwrap();
    assert_eq!(half.status.code(), Some(2));
}
