//! Downloads that break off: resumed where the server names the exact content, begun again elsewhere.
#![cfg(feature = "plik")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod link_server;

use std::time::{Duration, Instant};

use link_server::{Answer, Server, reply};
use natsbridge::link::{
    Expected, FetchOptions, Fetched, HttpStore, HttpTimeouts, LinkUrl, Plik, Retry, fetch,
};
use natsbridge::{ErrorKind, Result};
use sha2::{Digest, Sha256};

const BODY: &str = "0123456789abcdef";

fn options() -> FetchOptions {
    let retry = Retry::default().base_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(5));
    FetchOptions::default().retry(retry.max_retries(3))
}

fn expected() -> Expected {
    Expected::nothing().size(BODY.len() as u64).sha256(Sha256::digest(BODY).into())
}

async fn get(server: &Server) -> Result<Fetched> {
    fetch(&HttpStore::new(), &server.url("/file/SECRET/f"), &expected(), &options()).await
}

/// An answer that announces the whole and ends after `len` bytes.
fn cut(headers: &str, len: usize) -> Answer {
    let total = BODY.len();
    Answer::Whole(format!("HTTP/1.1 200 OK\r\n{headers}content-length: {total}\r\n\r\n{}", &BODY[..len]))
}

fn part(range: &str, body: &str) -> Answer {
    Answer::Whole(reply("206 Partial Content", &[("content-range", range), ("etag", "\"v1\"")], body))
}

#[tokio::test]
async fn what_broke_off_is_resumed_where_the_server_names_the_exact_content() {
    let server = Server::start(|number, request| match (number, request.header("range")) {
        (0, None) => cut("etag: \"v1\"\r\n", 4),
        (1, Some("bytes=4-")) => Answer::Whole(format!(
            "HTTP/1.1 206 Partial\r\netag: \"v1\"\r\ncontent-range: bytes 4-15/16\r\ncontent-length: 12\r\n\r\n{}",
            &BODY[4..9]
        )),
        (2, Some("bytes=9-")) => part("bytes 9-15/16", &BODY[9..]),
        _ => Answer::Whole(reply("500 Unexpected", &[], "")),
    })
    .await;
    let fetched = get(&server).await.unwrap();
    assert_eq!((&fetched.bytes[..], fetched.attempts), (BODY.as_bytes(), 3));
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1..].iter().all(|request| request.header("if-range") == Some("\"v1\"")));
}

#[tokio::test]
async fn without_a_strong_name_every_try_begins_at_zero() {
    for headers in ["", "etag: W/\"v1\"\r\n", "etag: v1\r\n", "etag: \"v1\"\r\naccept-ranges: none\r\n"] {
        let server =
            Server::start(move |number, _| cut(headers, if number == 0 { 4 } else { BODY.len() })).await;
        assert_eq!(get(&server).await.unwrap().bytes, BODY, "{headers}");
        assert!(server.requests().iter().all(|request| request.header("range").is_none()), "{headers}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_file_that_is_another_one_now_is_fetched_from_zero() {
    let server = Server::start(|number, request| match number {
        0 => Answer::Whole("HTTP/1.1 200 OK\r\netag: \"old\"\r\ncontent-length: 16\r\n\r\nOLD ".to_owned()),
        _ => {
            assert_eq!(request.header("if-range"), Some("\"old\""));
            cut("etag: \"new\"\r\n", BODY.len())
        }
    })
    .await;
    let fetched = get(&server).await.unwrap();
    assert_eq!((&fetched.bytes[..], fetched.attempts), (BODY.as_bytes(), 2));
}

#[tokio::test]
async fn an_answer_that_is_not_exactly_the_rest_is_not_used() {
    for answer in [
        part("bytes 3-15/16", &BODY[3..]),
        part("bytes 5-15/16", &BODY[5..]),
        part("bytes 4-14/16", &BODY[4..15]),
        part("bytes 4-15/17", &BODY[4..]),
        part("bytes 4-15/*", &BODY[4..]),
        part("bytes 4-15/16", &BODY[5..]),
        part("bytes */16", ""),
        part("items 4-15/16", &BODY[4..]),
        part("bytes +4-15/16", &BODY[4..]),
        part("bytes 4-99999999999999999999/16", &BODY[4..]),
        Answer::Whole(reply("206 Partial Content", &[], &BODY[4..])),
        Answer::Whole(reply(
            "206 Partial Content",
            &[("content-range", "bytes 4-15/16"), ("etag", "\"other\"")],
            &BODY[4..],
        )),
        Answer::Whole(reply("416 Range Not Satisfiable", &[("content-range", "bytes */16")], "")),
    ] {
        let text = format!("{answer:?}");
        let server = Server::start(move |number, _| match number {
            0 => cut("etag: \"v1\"\r\n", 4),
            1 => answer.clone(),
            _ => cut("etag: \"v1\"\r\n", BODY.len()),
        })
        .await;
        let fetched = get(&server).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!((&fetched.bytes[..], fetched.attempts), (BODY.as_bytes(), 2), "{text}");
        let requests = server.requests();
        assert_eq!(requests.len(), 3, "{text}");
        assert_eq!(requests[2].header("range"), None, "{text}");
    }
}

#[tokio::test]
async fn parts_that_do_not_fit_together_are_forgotten() {
    let server = Server::start(|number, _| match number {
        // The server lies: it calls another content by the same name.
        0 => cut("etag: \"v1\"\r\n", 4),
        1 => part("bytes 4-15/16", "************"),
        _ => cut("etag: \"v1\"\r\n", BODY.len()),
    })
    .await;
    let fetched = get(&server).await.unwrap();
    assert_eq!((&fetched.bytes[..], fetched.attempts), (BODY.as_bytes(), 3));
    assert_eq!(server.requests()[2].header("range"), None);
}

#[tokio::test]
async fn an_error_instead_of_the_rest_is_that_error() {
    for (status, kind, requests) in [
        ("404 Not Found", ErrorKind::LinkGone, 2),
        ("301 Moved", ErrorKind::LinkRejected, 2),
        ("503 Busy", ErrorKind::LinkUnavailable, 4),
    ] {
        let server = Server::start(move |number, _| match number {
            0 => cut("etag: \"v1\"\r\n", 4),
            _ => Answer::Whole(reply(status, &[], "")),
        })
        .await;
        assert_eq!(get(&server).await.unwrap_err().kind(), kind);
        assert_eq!(server.requests().len(), requests, "{status}");
    }
}

#[tokio::test]
async fn a_plik_with_credentials_is_resumed_with_them() {
    let server = Server::start(|number, _| match number {
        0 => cut("etag: \"v1\"\r\n", 4),
        _ => part("bytes 4-15/16", &BODY[4..]),
    })
    .await;
    let store = Plik::new(&server.origin).unwrap().basic_auth("user", "password");
    let url = LinkUrl::parse(&format!("{}/file/a/b/c", server.origin)).unwrap();
    assert_eq!(fetch(&store, &url, &expected(), &options()).await.unwrap().bytes, BODY);
    assert!(server.requests().iter().all(|request| request.header("authorization").is_some()));
}

#[tokio::test]
async fn a_body_that_drips_ends_by_the_least_rate() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let server = Server::start(move |_, _| Answer::Drip(head.to_owned(), "x".to_owned())).await;
    let timeouts = HttpTimeouts::default().min_rate(1000, Duration::from_millis(300));
    let store = HttpStore::new().timeouts(timeouts);
    let started = Instant::now();
    let options = FetchOptions::default().retry(Retry::never());
    let error = fetch(&store, &server.url("/SECRET"), &Expected::nothing(), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("fewer than 1000 bytes a second"), "{error}");
    assert!(!error.to_string().contains("SECRET"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());

    // A rate of its own is no reason to end what is small and whole.
    let slow = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    let server = Server::start(move |_, _| Answer::Drip(slow.to_owned(), "x".to_owned())).await;
    let any = HttpStore::new().timeouts(timeouts.min_rate(0, Duration::from_millis(1)));
    assert_eq!(
        fetch(&any, &server.url("/"), &Expected::nothing(), &options).await.unwrap().bytes,
        "xxxxxxxxx"
    );
}
