//! What is connected to, counted at the socket: links of every kind, under an allowance for any host, beside what other
//! parsers make of them.
#![cfg(feature = "plik")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod link_server;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use link_server::{Answer, Server, reply};
use natsbridge::link::{
    AddressClass, BoxFuture, Dialer, Expected, FetchOptions, HttpStore, LinkUrl, Policy, Retry, fetch,
};
use natsbridge::{ErrorKind, Result};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

#[derive(Deserialize)]
struct Corpus {
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    url: String,
    resolved: Vec<IpAddr>,
    /// What the host resolves to from the second time on.
    later: Option<Vec<IpAddr>>,
    /// Of Python's `urllib.parse` and `ipaddress`: `allowed`, or why not.
    python: String,
}

fn corpus() -> Vec<Link> {
    serde_json::from_str::<Corpus>(include_str!("data/policy/urls.json")).unwrap().links
}

/// Answers as told, the second time as told for later; writes down every address that is connected to, and leads all
/// connections to one server of this machine, so that even a forbidden one would succeed.
#[derive(Debug, Clone)]
struct Recorder {
    answers: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    resolved: Arc<AtomicUsize>,
    connected: Arc<Mutex<Vec<SocketAddr>>>,
    /// The first connections fail.
    fail: Arc<AtomicUsize>,
    server: SocketAddr,
}

impl Recorder {
    fn new(server: &Server) -> Self {
        Self {
            answers: Arc::default(),
            resolved: Arc::default(),
            connected: Arc::default(),
            fail: Arc::default(),
            server: server.origin.trim_start_matches("http://").parse().unwrap(),
        }
    }

    fn connected(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut *self.connected.lock().unwrap())
    }
}

impl Dialer for Recorder {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            self.resolved.fetch_add(1, Ordering::SeqCst);
            let mut answers = self.answers.lock().unwrap();
            let of_host = answers.get_mut(host).ok_or(io::ErrorKind::NotFound)?;
            Ok(if of_host.len() > 1 { of_host.remove(0) } else { of_host[0].clone() })
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            self.connected.lock().unwrap().push(address);
            let fails =
                self.fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if fails.is_ok() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            TcpStream::connect(self.server).await
        })
    }
}

/// Fetches as a receiver does: policy first, then within what it reaches.
async fn receive(policy: &Policy, text: &str, dialer: Recorder) -> Result<()> {
    let url = LinkUrl::parse(text)?;
    let store = HttpStore::new().dialer(dialer).within(policy.check(&url)?);
    let retry = Retry::default().max_retries(2).base_delay(Duration::from_millis(1));
    fetch(&store, &url, &Expected::nothing(), &FetchOptions::default().retry(retry)).await?;
    Ok(())
}

async fn server() -> Server {
    Server::start(|_, _| Answer::Whole(reply("200 OK", &[], "bytes"))).await
}

#[tokio::test]
async fn no_link_leads_to_a_forbidden_address_and_other_parsers_agree() {
    let server = server().await;
    let policy = Policy::none().allow_any();
    let links = corpus();
    assert!(links.len() >= 150, "{} links are too few", links.len());
    let (mut allowed, mut refused) = (0, 0);
    for link in links {
        let Link { url, resolved, later, python } = link;
        // TLS is not spoken here: the same in the clear.
        let text = url.replacen("https://", "http://", 1);
        let dialer = Recorder::new(&server);
        if let Ok(parsed) = LinkUrl::parse(&text) {
            let answers = [Some(resolved.clone()), later.clone()].into_iter().flatten().collect();
            dialer.answers.lock().unwrap().insert(parsed.host().to_owned(), answers);
        }
        let outcome = receive(&policy, &text, dialer.clone()).await;
        let connected = dialer.connected();
        for address in &connected {
            assert_eq!(AddressClass::of(address.ip()), AddressClass::Public, "{url:?} led to {address}");
            let literal = LinkUrl::parse(&text).unwrap().host().contains(&address.ip().to_string());
            assert!(
                literal || resolved.contains(&address.ip()),
                "{url:?} led to {address}, which was not checked"
            );
        }
        assert!(dialer.resolved.load(Ordering::SeqCst) <= 1, "{url:?} was resolved twice for one connection");
        match outcome {
            Ok(()) => {
                assert_eq!((python.as_str(), connected.len()), ("allowed", 1), "{url:?}");
                allowed += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::LinkRefused, "{url:?}: {error:?}");
                assert!(connected.is_empty(), "{url:?} is refused and was connected to");
                assert_ne!(python, "allowed", "{url:?}: {error}");
                refused += 1;
            }
        }
    }
    assert!(allowed >= 40 && refused >= 100, "{allowed} allowed, {refused} refused");
}

#[tokio::test]
async fn a_name_server_that_answers_differently_the_second_time_gains_nothing() {
    let server = server().await;
    let policy = Policy::none().allow_any();
    let mut rebinding = 0;
    for link in corpus() {
        let Some(later) = link.later else { continue };
        rebinding += 1;
        let dialer = Recorder::new(&server);
        let host = LinkUrl::parse(&link.url).unwrap().host().to_owned();
        dialer.answers.lock().unwrap().insert(host, vec![link.resolved.clone(), later.clone()]);
        // The first connection, to a public address, fails; the name is resolved anew for the second try.
        dialer.fail.store(1, Ordering::SeqCst);
        let refusal = receive(&policy, &link.url, dialer.clone()).await.unwrap_err();
        assert_eq!((refusal.kind(), refusal.attempts()), (ErrorKind::LinkRefused, Some(2)), "{later:?}");
        let connected: Vec<IpAddr> = dialer.connected().iter().map(SocketAddr::ip).collect();
        assert_eq!(connected, link.resolved, "only what was checked");
    }
    assert!(rebinding >= 5, "{rebinding}");
    assert!(server.requests().is_empty());
}

/// The system's own resolver and sockets: every spelling of this machine that there is, at ports where something listens.
#[tokio::test]
async fn nothing_of_this_machine_is_connected_to_whatever_it_is_called() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    let mut listeners = vec![first];
    for address in ["127.0.0.2", "127.255.255.254", "::1"] {
        // Not every machine has all of these.
        listeners.extend(TcpListener::bind((address, port)).await);
    }
    for listener in listeners {
        let accepted = Arc::clone(&accepted);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                accepted.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let hosts = corpus().into_iter().filter(|link| link.python != "allowed").filter_map(|link| {
        let (scheme, rest) = link.url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Some(format!("{scheme}://{}:{port}{}", &rest[..end], &rest[end..]))
    });
    let mut links: Vec<String> = hosts.collect();
    links.extend(
        ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]", "127.0.0.2"]
            .map(|host| format!("http://{host}:{port}/a")),
    );
    let policy = Policy::none().allow_any();
    let mut asked = 0;
    for text in links {
        let Ok(url) = LinkUrl::parse(&text) else { continue };
        // The names of the corpus are nobody's: asking for them would ask the network.
        if url.host().ends_with(".example") || url.host() == "files.example." {
            continue;
        }
        asked += 1;
        let outcome = match policy.check(&url) {
            Ok(reach) => {
                let store = HttpStore::new().within(reach);
                fetch(&store, &url, &Expected::nothing(), &FetchOptions::default().retry(Retry::never()))
                    .await
            }
            Err(refusal) => Err(refusal),
        };
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LinkRefused, "{text}");
    }
    assert!(asked >= 50, "{asked}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(accepted.load(Ordering::SeqCst), 0);

    // The counter counts: with private addresses allowed the same link arrives.
    let url = LinkUrl::parse(&format!("http://127.0.0.1:{port}/a")).unwrap();
    let store = HttpStore::new().within(policy.allow_private().check(&url).unwrap());
    let options = FetchOptions::default().retry(Retry::never()).total(Duration::from_millis(500));
    let _ = fetch(&store, &url, &Expected::nothing(), &options).await;
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_origin_that_was_named_may_be_anywhere() {
    let server = server().await;
    let origin = "http://files.intern:9000".parse().unwrap();
    let policy = Policy::none().allow_any().allow_origin(origin);
    let dialer = Recorder::new(&server);
    dialer.answers.lock().unwrap().insert("files.intern".to_owned(), vec![vec![[10, 0, 0, 5].into()]]);
    receive(&policy, "http://files.intern:9000/x", dialer.clone()).await.unwrap();
    assert_eq!(dialer.connected(), [SocketAddr::from(([10, 0, 0, 5], 9000))]);
    let refusal = receive(&policy, "http://files.intern:9001/x", dialer.clone()).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::LinkRefused);
    assert!(!refusal.to_string().contains("10.0.0.5"), "{refusal}");
}
