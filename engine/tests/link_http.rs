//! Downloads over real sockets, from a server that does exactly what a script says.
#![cfg(feature = "plik")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod link_server;

use std::error::Error as _;
use std::time::{Duration, Instant};

use link_server::{Answer, Server, reply};
use natsbridge::link::{
    Expected, FetchOptions, Fetched, HttpStore, HttpTimeouts, LinkStore, LinkUrl, Plik, Retry, Upload, fetch,
};
use natsbridge::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

const BODY: &str = "the bytes of the file";

fn ok(body: &str) -> Answer {
    Answer::Whole(reply("200 OK", &[], body))
}

/// Deadlines that a test can wait for.
fn quick() -> HttpTimeouts {
    let short = Duration::from_millis(300);
    HttpTimeouts::default().first_byte(short).idle(short)
}

fn impatient() -> FetchOptions {
    let retry = Retry::default().base_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(50));
    FetchOptions::default().retry(retry.max_retries(2))
}

async fn get(server: &Server, expected: &Expected) -> Result<Fetched> {
    let url = server.url("/file/SECRET/a.bin");
    let outcome = fetch(&HttpStore::new().timeouts(quick()), &url, expected, &impatient()).await;
    if let Err(error) = &outcome {
        assert_harmless(error);
    }
    outcome
}

/// No part of a link beyond its origin may be in an error or in its causes.
fn assert_harmless(error: &Error) {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    assert!(!text.contains("SECRET"), "{text}");
}

#[tokio::test]
async fn a_file_is_downloaded_as_it_is() {
    let server = Server::start(|_, _| ok(BODY)).await;
    let fetched = get(&server, &Expected::nothing().size(BODY.len() as u64)).await.unwrap();
    assert_eq!(fetched.bytes, BODY);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "GET /file/SECRET/a.bin HTTP/1.1");
    assert!(requests[0].header("user-agent").unwrap().starts_with("plik_client/1.0 (natsbridge "));
    assert_eq!(requests[0].header("host").unwrap(), server.origin.trim_start_matches("http://"));
    assert_eq!(requests[0].header("authorization"), None);
}

#[tokio::test]
async fn bodies_without_a_length_are_read_to_their_end() {
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nx: y\r\n\r\n";
    let closing = "HTTP/1.0 200 OK\r\n\r\nhello world";
    for text in [chunked, closing] {
        let server = Server::start(move |_, _| Answer::Whole(text.into())).await;
        assert_eq!(get(&server, &Expected::nothing()).await.unwrap().bytes, "hello world");
    }
}

#[tokio::test]
async fn every_status_has_its_meaning() {
    use ErrorKind::*;
    for (status, kind, retried) in [
        ("201 Created", LinkRejected, false),
        ("204 No Content", LinkRejected, false),
        ("206 Partial Content", LinkRejected, false),
        ("301 Moved Permanently", LinkRejected, false),
        ("304 Not Modified", LinkRejected, false),
        ("400 Bad Request", LinkRejected, false),
        ("401 Unauthorized", LinkRejected, false),
        ("403 Forbidden", LinkRejected, false),
        ("404 Not Found", LinkGone, false),
        ("408 Request Timeout", LinkUnavailable, true),
        ("410 Gone", LinkGone, false),
        ("418 Teapot", LinkRejected, false),
        ("425 Too Early", LinkUnavailable, true),
        ("429 Too Many Requests", LinkUnavailable, true),
        ("500 Internal Server Error", LinkUnavailable, true),
        ("503 Service Unavailable", LinkUnavailable, true),
        ("599 Odd", LinkUnavailable, true),
        ("999 Odder", LinkRejected, false),
    ] {
        let server = Server::start(move |_, _| Answer::Whole(reply(status, &[], ""))).await;
        let error = get(&server, &Expected::nothing()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, Some(if retried { 3 } else { 1 })), "{status}");
        assert!(error.to_string().contains(&server.origin), "{error}");
        assert_eq!(server.requests().len(), if retried { 3 } else { 1 }, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let elsewhere = Server::start(|_, _| ok("stolen")).await;
    let target = elsewhere.url("/x").as_str().to_owned();
    for location in [target.as_str(), "/other", "//example.org/", "file:///etc/passwd"] {
        let answer = reply("302 Found", &[("location", location)], "");
        let server = Server::start(move |_, _| Answer::Whole(answer.clone())).await;
        assert_eq!(get(&server, &Expected::nothing()).await.unwrap_err().kind(), ErrorKind::LinkRejected);
        assert_eq!(server.requests().len(), 1);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn an_error_hidden_in_a_redirect_is_found() {
    use ErrorKind::*;
    for (location, kind) in [
        ("/#/?err=file x is not available : deleted&errcode=404&uri=/file/SECRET", LinkGone),
        ("/#/?err=busy&errcode=503&uri=/file/SECRET", LinkUnavailable),
        ("/#/?err=invalid file name&errcode=400", LinkRejected),
        ("/#/?errcode=200", LinkRejected),
        ("/#/?errcode=", LinkRejected),
        ("/#/?errcode=99999999999999", LinkRejected),
    ] {
        let answer = reply("301 Moved Permanently", &[("location", location)], "<html>");
        let server = Server::start(move |_, _| Answer::Whole(answer.clone())).await;
        assert_eq!(get(&server, &Expected::nothing()).await.unwrap_err().kind(), kind, "{location}");
    }
}

#[tokio::test]
async fn a_page_in_place_of_the_file_is_found_out() {
    let page = "<!doctype html><html><body>Welcome to the file server</body></html>";
    let server = Server::start(move |_, _| ok(page)).await;
    let size = Expected::nothing().size(10);
    assert_eq!(get(&server, &size).await.unwrap_err().kind(), ErrorKind::LinkTooLong);
    let digest = Expected::nothing().sha256(Sha256::digest(BODY).into());
    assert_eq!(get(&server, &digest).await.unwrap_err().kind(), ErrorKind::DigestMismatch);
}

#[tokio::test]
async fn a_body_cut_short_is_tried_again_and_then_an_error() {
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\nthe bytes of";
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n15\r\nthe bytes";
    let no_last_chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nthe\r\n";
    for text in [length, chunk, no_last_chunk] {
        let server = Server::start(move |_, _| Answer::Whole(text.into())).await;
        let error = get(&server, &Expected::nothing()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::LinkTruncated, Some(3)), "{text}");

        let server =
            Server::start(move |n, _| if n == 0 { Answer::Whole(text.into()) } else { ok(BODY) }).await;
        let fetched = get(&server, &Expected::nothing()).await.unwrap();
        assert_eq!((fetched.bytes.as_ref(), fetched.attempts), (BODY.as_bytes(), 2));
    }
}

#[tokio::test]
async fn every_cut_is_noticed() {
    let whole = reply("200 OK", &[], BODY);
    let head = whole.len() - BODY.len();
    for cut in 0..whole.len() {
        let part = whole[..cut].to_owned();
        let server = Server::start(move |_, _| Answer::Whole(part.clone())).await;
        let url = server.url("/x");
        let options = impatient().retry(Retry::never());
        let error = fetch(&HttpStore::new(), &url, &Expected::nothing(), &options).await.unwrap_err();
        let kind = if cut < head { ErrorKind::Network } else { ErrorKind::LinkTruncated };
        assert_eq!(error.kind(), kind, "cut at {cut}: {error}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_rejected() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ] {
        let server = Server::start(move |_, _| Answer::Whole(text.into())).await;
        assert_eq!(
            get(&server, &Expected::nothing()).await.unwrap_err().kind(),
            ErrorKind::LinkRejected,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_wrong_digest_is_not_tried_again() {
    let server = Server::start(|_, _| ok("the bytes of the filE")).await;
    let expected = Expected::nothing().size(BODY.len() as u64).sha256(Sha256::digest(BODY).into());
    assert_eq!(get(&server, &expected).await.unwrap_err().kind(), ErrorKind::DigestMismatch);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_right_digest_outweighs_a_wrong_size() {
    let server = Server::start(|_, _| ok(BODY)).await;
    for size in [1, 1_000_000] {
        let expected = Expected::nothing().size(size).sha256(Sha256::digest(BODY).into());
        let fetched = get(&server, &expected).await.unwrap();
        assert!(fetched.size_mismatch);
        assert_eq!(fetched.bytes, BODY);
    }
}

#[tokio::test]
async fn an_endless_body_ends_at_the_limit() {
    let server = Server::start(|_, _| {
        Answer::Endless(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".into(),
            "4\r\nmore\r\n".repeat(1000),
        )
    })
    .await;
    let url = server.url("/x");
    let options = FetchOptions::default().max_len(1_000_000);
    let error = fetch(&HttpStore::new(), &url, &Expected::nothing(), &options).await.unwrap_err();
    assert_eq!((error.kind(), error.limit()), (ErrorKind::LimitExceeded, Some(1_000_000)));
    let expected = Expected::nothing().size(1000);
    let error = fetch(&HttpStore::new(), &url, &expected, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LinkTooLong);
}

#[tokio::test]
async fn a_length_nobody_can_have_takes_no_memory() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 9000000000000000000\r\n\r\nx";
    let server = Server::start(move |_, _| Answer::Whole(answer.into())).await;
    let url = server.url("/x");
    let error = fetch(&HttpStore::new(), &url, &Expected::nothing(), &impatient()).await.unwrap_err();
    assert_eq!((error.kind(), error.needed()), (ErrorKind::LimitExceeded, Some(9_000_000_000_000_000_000)));
    // Even where the limit allows it, memory grows only with what arrives.
    let error = fetch(&HttpStore::new(), &url, &Expected::nothing(), &impatient().max_len(u64::MAX))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LinkTruncated);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let server = Server::start(|n, _| match n {
        0 => Answer::Whole(reply("503 Service Unavailable", &[("retry-after", "1")], "")),
        _ => ok(BODY),
    })
    .await;
    let retry = Retry::default().base_delay(Duration::from_millis(1));
    let start = Instant::now();
    let url = server.url("/x");
    let options = FetchOptions::default().retry(retry);
    let fetched = fetch(&HttpStore::new(), &url, &Expected::nothing(), &options).await.unwrap();
    assert_eq!(fetched.attempts, 2);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    for (value, expected) in [
        ("7", Some(Duration::from_secs(7))),
        (" 0 ", Some(Duration::ZERO)),
        ("99999999999999999999999", Some(Duration::from_secs(u64::MAX))),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::ZERO)),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
    ] {
        let answer = reply("503 Service Unavailable", &[("retry-after", value)], "");
        let server = Server::start(move |_, _| Answer::Whole(answer.clone())).await;
        let error = HttpStore::new().download(&server.url("/x")).await.unwrap_err();
        assert_eq!(error.retry_after(), expected, "{value}");
    }
}

#[tokio::test]
async fn a_content_encoding_nobody_asked_for_is_rejected() {
    for (encoding, accepted) in
        [("gzip", false), ("br", false), ("identity", true), ("", true), ("\u{e9}", true)]
    {
        let answer = reply("200 OK", &[("content-encoding", encoding)], BODY);
        let server = Server::start(move |_, _| Answer::Whole(answer.clone())).await;
        let outcome = get(&server, &Expected::nothing()).await;
        if accepted && encoding.is_ascii() {
            assert_eq!(outcome.unwrap().bytes, BODY, "{encoding}");
        } else {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LinkRejected, "{encoding}");
        }
    }
}

#[tokio::test]
async fn a_transfer_coding_that_is_not_undone_is_rejected() {
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    for (coding, body, accepted) in [
        ("chunked", chunked.as_str(), true),
        ("Chunked", &chunked, true),
        ("gzip, chunked", &chunked, false),
        ("gzip", BODY, false),
        ("deflate", BODY, false),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n{body}");
        let server = Server::start(move |_, _| Answer::Whole(answer.clone())).await;
        let outcome = get(&server, &Expected::nothing()).await;
        match accepted {
            true => assert_eq!(outcome.unwrap().bytes, BODY, "{coding}"),
            false => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LinkRejected, "{coding}"),
        }
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_of_its_stage() {
    let head_only = || reply("200 OK", &[], BODY)[..30].to_owned();
    let slow = |text: String| move |_: usize, _: &link_server::Request| Answer::Stall(text.clone());
    for (text, stage) in [(String::new(), "waiting for the answer"), (head_only(), "waiting for")] {
        let server = Server::start(slow(text)).await;
        let start = Instant::now();
        let error = get(&server, &Expected::nothing()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::TimedOut, Some(3)));
        assert!(error.to_string().contains(stage), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    }
    let whole = reply("200 OK", &[], BODY);
    let server = Server::start(slow(whole[..whole.len() - 5].to_owned())).await;
    let error = get(&server, &Expected::nothing()).await.unwrap_err();
    assert!(error.to_string().contains("waiting for more of the body took longer than 300ms"), "{error}");
}

#[tokio::test]
async fn a_body_that_drips_for_ever_meets_the_total() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let server = Server::start(move |_, _| Answer::Drip(head.into(), "1\r\nx\r\n".into())).await;
    let store = HttpStore::new().timeouts(quick().total(Duration::from_millis(500)));
    let options = impatient().retry(Retry::never());
    let error = fetch(&store, &server.url("/x"), &Expected::nothing(), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("the whole transfer took longer than 500ms"), "{error}");
}

#[tokio::test]
async fn a_refused_connection_is_a_network_error() {
    let server = Server::start(|_, _| ok(BODY)).await;
    let origin = server.origin.clone();
    drop(server);
    let url = LinkUrl::parse(&format!("{origin}/SECRET")).unwrap();
    let error = fetch(&HttpStore::new(), &url, &Expected::nothing(), &impatient()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, Some(3)));
    assert_harmless(&error);

    let server = Server::start(|_, _| Answer::Whole(String::new())).await;
    assert_eq!(get(&server, &Expected::nothing()).await.unwrap_err().kind(), ErrorKind::Network);
}

#[tokio::test]
async fn https_is_not_spoken_in_the_clear() {
    let server = Server::start(|_, _| ok(BODY)).await;
    let url = LinkUrl::parse(&format!("{}/SECRET", server.origin.replace("http:", "https:"))).unwrap();
    let options = impatient().retry(Retry::never());
    let store = HttpStore::new().timeouts(HttpTimeouts::default().connect(Duration::from_secs(2)));
    let error = fetch(&store, &url, &Expected::nothing(), &options).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Network | ErrorKind::TimedOut), "{error}");
    assert!(server.requests().iter().all(|request| !request.line.contains("SECRET")));
}

#[tokio::test]
async fn a_store_for_downloads_does_not_upload() {
    let error = HttpStore::new().upload(Upload::new("a", "b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
}

#[tokio::test]
async fn credentials_stay_with_their_server() {
    let other = Server::start(|_, _| ok(BODY)).await;
    let own = Server::start(|_, _| ok(BODY)).await;
    let store = Plik::new(&own.origin).unwrap().basic_auth("user", "pass").token("T0KEN");
    for server in [&own, &other] {
        fetch(&store, &server.url("/x"), &Expected::nothing(), &impatient()).await.unwrap();
    }
    assert_eq!(own.requests()[0].header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(other.requests()[0].header("authorization"), None);
    // The token is for uploading; a download shows it to nobody.
    assert_eq!(own.requests()[0].header("x-pliktoken"), None);
    assert_eq!(other.requests()[0].header("x-pliktoken"), None);
}

#[tokio::test]
async fn credentials_follow_the_announced_download_domain() {
    let downloads = Server::start(|_, _| ok(BODY)).await;
    let config = format!("{{\"downloadDomain\":\"{}\"}}", downloads.origin);
    let own = Server::start(move |_, _| ok(&config)).await;
    let store = Plik::new(&own.origin).unwrap().basic_auth("user", "pass");
    for _ in 0..2 {
        let announced = store.announced_origins().await.unwrap();
        assert_eq!(announced, [downloads.url("/").origin().clone()]);
    }
    assert_eq!(own.requests().len(), 1, "the answer is remembered");
    fetch(&store, &downloads.url("/x"), &Expected::nothing(), &impatient()).await.unwrap();
    assert_eq!(downloads.requests()[0].header("authorization"), Some("Basic dXNlcjpwYXNz"));
}

#[tokio::test]
async fn a_refused_upload_repeats_no_credentials() {
    let basic = "YWRhOlNFQ1JFVFNFQ1JFVA==";
    for words in [basic, &format!("Basic {basic}"), "SECRET\r\nSECRET", "SECRET%53ECRET"] {
        let answer = reply("403 Forbidden", &[], &format!("no {words} here"));
        let server = Server::start(move |_, _| Answer::Whole(answer.clone())).await;
        let store = HttpStore::new().upload_to(&format!("{}/d/{{id}}-{{name}}", server.origin)).unwrap();
        let error =
            store.basic_auth("ada", "SECRETSECRET").upload(Upload::new("f", "hello")).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(": no … here"), "{text}");
        assert!(!text.contains("SECRET") && !text.contains(basic), "{text}");
    }
}
