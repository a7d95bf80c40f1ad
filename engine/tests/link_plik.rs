//! The Plik store against a server that answers as a Plik does, or as no Plik should.
#![cfg(feature = "plik")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod link_server;

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use link_server::{Answer, Request, Server, reply};
use natsbridge::link::{HttpTimeouts, Lifetime, LinkStore, Origin, Plik, Source, Upload};
use natsbridge::{Error, ErrorKind};

const CREATED: &str = r#"{"id":"UPLOAD0123456789","uploadToken":"TOKENTOKENTOKENTOKENTOKENTOKEN00","ttl":86400,
    "downloadDomain":"","files":null,"expireAt":"2026-03-01T12:00:00.5Z"}"#;
const TOKEN: &str = "TOKENTOKENTOKENTOKENTOKENTOKEN00";

fn text(body: &str) -> Answer {
    Answer::Whole(reply("200 OK", &[("content-type", "text/plain; charset=utf-8")], body))
}

fn refuse(status: &str, body: &str) -> Answer {
    Answer::Whole(reply(status, &[("content-type", "text/plain; charset=utf-8")], body))
}

/// What a Plik says about a file of `size` bytes.
fn file(id: &str, name: &str, size: u64) -> String {
    format!(
        r#"{{"id":"{id}","fileName":"{name}","status":"uploaded","fileMd5":"900150983cd24fb0d6963f7d28e17f72",
            "fileType":"","fileSize":{size},"reference":"","createdAt":"2026-02-28T12:00:00Z"}}"#
    )
}

/// Answers the creation of an upload as a Plik does, and all else with `script`.
async fn plik(mut script: impl FnMut(&Request) -> Answer + Send + 'static) -> (Server, Plik) {
    let server = Server::start(move |_, request| match request.line.as_str() {
        "POST /upload HTTP/1.1" => text(CREATED),
        _ => script(request),
    })
    .await;
    let short = Duration::from_millis(500);
    let store =
        Plik::new(&server.origin).unwrap().timeouts(HttpTimeouts::default().first_byte(short).idle(short));
    (server, store)
}

/// The file's bytes in a multipart request.
fn content(request: &Request) -> &[u8] {
    let start = request.body.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let end = request.body.windows(4).rposition(|window| window == b"\r\n--").unwrap();
    &request.body[start..end]
}

fn assert_harmless(error: &Error) {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    for secret in [TOKEN, "UPLOAD0123456789", "FILE", "USERTOKEN", "PASSWORD"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn an_upload_goes_out_as_a_plik_expects_it() {
    let (server, store) = plik(|_| text(&file("FILE", "my file.txt", 11))).await;
    let pieces = ["hello", "", " wor", "ld"].map(Bytes::from).to_vec();
    let uploaded = store.upload(Upload::from_chunks("dir/my file.txt", pieces)).await.unwrap();

    let url = format!("{}/file/UPLOAD0123456789/FILE/my%20file.txt", server.origin);
    assert_eq!(uploaded.url().as_str(), url);
    assert!(url.len() <= store.max_url_len("dir/my file.txt"));
    let expiry = SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_366_400_500);
    assert_eq!(uploaded.expires_at(), Some(expiry));
    assert!(!format!("{uploaded:?}").contains("UPLOAD"), "{uploaded:?}");

    let requests = server.requests();
    assert_eq!(requests[0].body, br#"{"removable":false,"ttl":86400}"#);
    assert_eq!(requests[0].header("x-uploadtoken"), None);
    assert_eq!(requests[1].line, "POST /file/UPLOAD0123456789 HTTP/1.1");
    assert_eq!(requests[1].header("x-uploadtoken"), Some(TOKEN));
    assert_eq!(requests[1].header("transfer-encoding"), None);
    assert_eq!(content(&requests[1]), b"hello world");
    let head = String::from_utf8_lossy(&requests[1].body);
    assert!(head.contains("name=\"file\"; filename=\"my file.txt\"\r\n"), "{head}");
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn options_reach_the_server() {
    let (server, store) = plik(|_| text(&file("FILE", "a", 1))).await;
    let store =
        store.lifetime(Lifetime::OneShot).token("USERTOKEN").basic_auth("me", "PASSWORD").protect_uploads();
    let uploaded = store.upload(Upload::new("a", "x")).await.unwrap();
    store.delete(uploaded.handle()).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[0].body, br#"{"login":"me","oneShot":true,"password":"PASSWORD","removable":false}"#);
    assert_eq!(requests[0].header("x-pliktoken"), Some("USERTOKEN"));
    assert_eq!(requests[1].header("x-pliktoken"), Some("USERTOKEN"));
    assert_eq!(requests[2].header("x-pliktoken"), None);
    assert!(requests.iter().all(|request| request.header("authorization") == Some("Basic bWU6UEFTU1dPUkQ=")));
    assert!(!format!("{store:?}").contains("PASSWORD") && !format!("{store:?}").contains("USERTOKEN"));
}

#[tokio::test]
async fn a_header_cannot_be_smuggled_in() {
    let (server, store) = plik(|_| text("{}")).await;
    let error = store.token("a\r\nX-Evil: 1").upload(Upload::new("a", "x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_base_with_a_path_and_a_download_domain_make_the_url() {
    let server = Server::start(|_, request| match request.line.as_str() {
        "POST /plik/upload HTTP/1.1" => {
            text(r#"{"id":"U","uploadToken":"T","downloadDomain":"https://dl.example.org/x/"}"#)
        }
        "GET /plik/config HTTP/1.1" => text(r#"{"downloadDomain":"https://dl.example.org/x/","maxTTL":1}"#),
        "POST /plik/file/U HTTP/1.1" => text(&file("F", "a", 1)),
        other => panic!("{other}"),
    })
    .await;
    let store = Plik::new(&format!("{}/plik/", server.origin)).unwrap();
    let uploaded = store.upload(Upload::new("a", "x")).await.unwrap();
    assert_eq!(uploaded.url().as_str(), "https://dl.example.org/x/file/U/F/a");
    assert_eq!(uploaded.expires_at(), None);
    assert!(uploaded.url().as_str().len() <= store.max_url_len("a"));
    assert_eq!(store.origins(), [Origin::parse(&server.origin).unwrap()]);
    let announced = store.announced_origins().await.unwrap();
    assert_eq!(announced, [Origin::parse("https://dl.example.org").unwrap()]);
}

#[tokio::test]
async fn a_server_without_a_configuration_announces_nothing() {
    for (status, announced) in
        [("404 Not Found", true), ("405 Method Not Allowed", true), ("500 Oops", false)]
    {
        let (server, store) = plik(move |_| refuse(status, "")).await;
        for _ in 0..2 {
            assert_eq!(store.announced_origins().await.is_ok(), announced, "{status}");
        }
        // A failure is not remembered.
        assert_eq!(server.requests().len(), if announced { 1 } else { 2 });
    }
}

#[tokio::test]
async fn an_answer_that_comes_early_is_read() {
    // The server closes with most of the body unread, so sending it fails.
    for size in [20_000_000, 1_000] {
        let (_server, store) = plik(|_| {
            Answer::Early(reply(
                "400 Bad Request",
                &[("connection", "close")],
                "file too big (limit is set to 1.0 MB)\n",
            ))
        })
        .await;
        for _ in 0..5 {
            let error = store.upload(Upload::new("a", vec![7; size])).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UploadRejected, "{error}");
            assert!(error.to_string().contains("400"), "{error}");
            assert!(error.to_string().contains("file too big (limit is set to 1.0 MB)"), "{error}");
        }
    }
}

#[tokio::test]
async fn refusals_have_kinds_and_the_servers_words() {
    use ErrorKind::*;
    for (status, kind, hint) in [
        ("400 Bad Request", UploadRejected, "refused"),
        ("401 Unauthorized", UploadRejected, "basic_auth"),
        ("403 Forbidden", UploadRejected, "token"),
        ("404 Not Found", UploadRejected, "refused"),
        ("301 Moved Permanently", UploadRejected, "redirect"),
        ("201 Created", UploadRejected, "refused"),
        ("408 Request Timeout", UploadUnavailable, "just now"),
        ("429 Too Many Requests", UploadUnavailable, "just now"),
        ("500 Internal Server Error", UploadUnavailable, "just now"),
        ("503 Service Unavailable", UploadUnavailable, "just now"),
    ] {
        let words =
            format!("no\r\n\x1b[31m upload UPLOAD0123456789 with {TOKEN} USERTOKEN PASSWORD: {status}\n");
        let (_server, store) = plik(move |_| refuse(status, &words)).await;
        let store = store.token("USERTOKEN").basic_auth("me", "PASSWORD");
        let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        let text = error.to_string();
        assert!(
            text.contains(hint) && text.contains(&format!("no [31m upload … with … … …: {status}")),
            "{text}"
        );
        assert_harmless(&error);
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_was_sent_is_deleted_again() {
    for (answer, kind) in [
        (file("FILE", "a", 2), ErrorKind::UploadUnavailable),
        (file("FILE", "a", 3).replace("\"uploaded\"", "\"deleted\""), ErrorKind::UploadUnavailable),
        (file("FILE", "a", 3).replace("900150983c", "000150983c"), ErrorKind::UploadUnavailable),
        (file("FILE", "a", 3).replace("fileSize", "fileSise"), ErrorKind::UploadRejected),
        (file("FILE", "a-much-longer-name", 3), ErrorKind::UploadRejected),
    ] {
        for deletes in [true, false] {
            let answer = answer.clone();
            let (server, store) = plik(move |request| match request.line.starts_with("DELETE") {
                true if deletes => text("ok"),
                true => refuse("500 Internal Server Error", ""),
                false => text(&answer),
            })
            .await;
            let error = store.verify_md5(true).upload(Upload::new("a", "abc")).await.unwrap_err();
            assert_eq!((error.kind(), error.cleanup().is_some()), (kind, !deletes), "{error}");
            assert_harmless(&error);
            let requests = server.requests();
            let last = requests.last().unwrap();
            assert!(last.line.starts_with("DELETE /file/UPLOAD0123456789/FILE/a"), "{}", last.line);
            assert_eq!(last.header("x-uploadtoken"), Some(TOKEN));
        }
    }
    let (_server, store) = plik(|_| text(&file("FILE", "a", 3))).await;
    store.verify_md5(true).upload(Upload::new("a", "abc")).await.unwrap();
}

#[tokio::test]
async fn hostile_answers_are_errors() {
    let huge = format!("{{\"id\":\"{}\"}}", "a".repeat(2_000_000));
    let deep = "[".repeat(500_000);
    for answer in ["", "null", "[]", "{}", "<html>", "{\"id\":", huge.as_str(), deep.as_str(), "\u{0}"] {
        let answer = answer.to_owned();
        let create = answer.clone();
        let server = Server::start(move |_, _| text(&create)).await;
        let store = Plik::new(&server.origin).unwrap();
        let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UploadRejected, "{error}");
        assert_eq!(store.announced_origins().await.is_err(), answer != "{}");

        let (_server, store) = plik(move |_| text(&answer)).await;
        let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UploadRejected, "{error}");
        assert!(error.to_string().len() < 400, "{error}");
    }
}

#[tokio::test]
async fn odd_names_survive() {
    for (name, returned, path) in [
        ("日本 é.txt", "日本 é.txt", "%E6%97%A5%E6%9C%AC%20%C3%A9.txt"),
        ("a?b#c&d+e", "a?b#c&d+e", "a%3Fb%23c%26d%2Be"),
        ("../../x", "x", "x"),
        ("", "file", "file"),
        ("q\"uo%41te", "q_uo_41te", "q_uo_41te"),
    ] {
        let (server, store) = plik(move |_| text(&file("FILE", returned, 1))).await;
        let uploaded = store.upload(Upload::new(name, "x")).await.unwrap();
        assert_eq!(uploaded.url().as_str(), format!("{}/file/UPLOAD0123456789/FILE/{path}", server.origin));
        let body = server.requests()[1].body.clone();
        let head = String::from_utf8_lossy(&body);
        assert!(head.contains(&format!("filename=\"{returned}\"\r\n")), "{head}");
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let (server, store) = plik(|_| text(&file("FILE", "a", 0))).await;
    store.upload(Upload::new("a", Bytes::new())).await.unwrap();
    store.upload(Upload::from_chunks("a", vec![])).await.unwrap();
    assert!(
        server
            .requests()
            .iter()
            .filter(|request| request.line.contains("/file/"))
            .all(|r| content(r).is_empty())
    );
}

#[tokio::test]
async fn an_unknown_length_goes_out_in_chunks_and_a_known_one_exactly() {
    let (server, store) =
        plik(|_| Answer::Early(reply("400 Bad Request", &[("connection", "close")], "no"))).await;
    for (len, expected) in [(None, None), (Some(11), Some(content_length_of(11).to_string()))] {
        let source = Source::reader(&b"hello world"[..], len);
        let error = store.upload(Upload::from_source("a", source)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UploadRejected, "{error}");
        let requests = server.requests();
        let request = requests.last().unwrap();
        assert_eq!(request.header("content-length"), expected.as_deref());
        assert_eq!(request.header("transfer-encoding"), len.is_none().then_some("chunked"));
    }
}

#[tokio::test]
async fn a_large_upload_arrives_whole() {
    let (server, store) = plik(|request| {
        let length: u64 = request.header("content-length").unwrap().parse().unwrap();
        assert!(length > 20_000_000);
        text(&file("FILE", "a", 20_000_000))
    })
    .await;
    let chunks: Vec<Bytes> = (0..20u8).map(|n| vec![n; 1_000_000].into()).collect();
    store.upload(Upload::from_chunks("a", chunks.clone())).await.unwrap();
    assert_eq!(content(&server.requests()[1]), chunks.concat());
}

#[tokio::test]
async fn a_batch_is_one_upload_with_results_in_order() {
    let (server, store) = plik(|request| {
        let length: u64 = request.header("content-length").unwrap().parse().unwrap();
        match length - content_length_of(0) {
            5 => refuse("400 Bad Request", "file too big"),
            len => text(&file(&format!("FILE{len}"), "a", len)),
        }
    })
    .await;
    let uploads = [3, 4, 5, 6, 7, 8].map(|len| Upload::new("a", vec![b'x'; len])).to_vec();
    let results = store.upload_batch(uploads).await;
    for (result, len) in results.iter().zip(3..) {
        match result {
            Ok(uploaded) => {
                assert!(uploaded.url().as_str().ends_with(&format!("/UPLOAD0123456789/FILE{len}/a")));
            }
            Err(error) => assert_eq!((len, error.kind()), (5, ErrorKind::UploadRejected)),
        }
    }
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    let created = server.requests().iter().filter(|request| request.line.contains("/upload ")).count();
    assert_eq!(created, 1);
    assert!(store.upload_batch(vec![]).await.is_empty());
}

/// The Content-Length of an upload named `a` with so many bytes.
fn content_length_of(len: u64) -> u64 {
    let boundary = "natsbridge-".len() + 32;
    let head = "--\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n";
    (head.len() + "\r\n----\r\n".len() + 2 * boundary) as u64 + len
}

#[tokio::test]
async fn a_batch_that_cannot_begin_fails_for_each_file() {
    let busy = reply("503 Service Unavailable", &[("retry-after", "7")], "later");
    let server = Server::start(move |_, _| Answer::Whole(busy.clone())).await;
    let store = Plik::new(&server.origin).unwrap();
    let results = store.upload_batch(vec![Upload::new("a", "x"), Upload::new("b", "y")]).await;
    assert_eq!(results.len(), 2);
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UploadUnavailable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert!(error.to_string().contains("later"), "{error}");
    }
    assert_eq!(server.requests().len(), 1, "nothing is tried again");
}

#[tokio::test]
async fn deleting_what_is_gone_succeeds() {
    for (status, deleted) in
        [("200 OK", true), ("404 Not Found", true), ("403 Forbidden", false), ("500 X", false)]
    {
        let (server, store) = plik(move |request| match request.line.starts_with("DELETE") {
            true => refuse(status, TOKEN),
            false => text(&file("FILE", "a b", 1)),
        })
        .await;
        let uploaded = store.upload(Upload::new("a b", "x")).await.unwrap();
        let outcome = store.delete(uploaded.handle()).await;
        assert_eq!(outcome.is_ok(), deleted, "{status}");
        if let Err(error) = outcome {
            assert_harmless(&error);
        }
        let requests = server.requests();
        assert_eq!(requests[2].line, "DELETE /file/UPLOAD0123456789/FILE/a%20b HTTP/1.1");
        assert_eq!(requests[2].header("x-uploadtoken"), Some(TOKEN));
    }
}

#[tokio::test]
async fn no_server_learns_another_ones_token() {
    let (_server, store) = plik(|_| text(&file("FILE", "a", 1))).await;
    let (other_server, other) = plik(|_| text("ok")).await;
    let uploaded = store.upload(Upload::new("a", "x")).await.unwrap();
    assert_eq!(other.delete(uploaded.handle()).await.unwrap_err().kind(), ErrorKind::Misuse);
    assert!(other_server.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    for script in
        [Answer::Stall(String::new()), Answer::Stall("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".into())]
    {
        let (_server, store) = plik(move |_| script.clone()).await;
        let error = store.upload(Upload::new("a", "x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_harmless(&error);
    }
    let (_server, store) = plik(|_| Answer::Whole(String::new())).await;
    assert_eq!(store.upload(Upload::new("a", "x")).await.unwrap_err().kind(), ErrorKind::Network);
}

#[tokio::test]
async fn a_refusal_repeats_no_credentials_in_any_spelling() {
    const TOKEN32: &str = "TOKENTOKENTOKENTOKENTOKENTOKEN12";
    const PASSWORD: &str = "pa\"SECRET\\word";
    let basic = "YWRhOnBhIlNFQ1JFVFx3b3Jk";
    let straddling = format!("{}{TOKEN32} and more", " ".repeat(1024 - 30));
    for (words, secret) in [
        (format!("bad credentials {basic}"), basic),
        (format!("bad credentials Basic {basic}"), basic),
        (format!("bad credentials {}", &basic[..20]), &basic[..8]),
        (straddling, "TOKEN"),
        (format!("no token {}\n{}", &TOKEN32[..16], &TOKEN32[16..]), "TOKEN"),
        (r#"no upload {"login":"ada","password":"pa\"SECRET\\word"}"#.to_owned(), "SECRET"),
        ("no password pa%22SECRET%5Cword".to_owned(), "SECRET"),
    ] {
        let server = Server::start(move |_, _| refuse("403 Forbidden", &words)).await;
        let store = Plik::new(&server.origin).unwrap().token(TOKEN32).basic_auth("ada", PASSWORD);
        let store = store.protect_uploads();
        let upload = store.upload(Upload::new("a", "x")).await.unwrap_err();
        let config = store.announced_origins().await.unwrap_err();
        for error in [upload, config] {
            let text = format!("{error} {error:?}");
            assert!(text.contains("403") && !text.contains(secret), "{secret}: {text}");
        }
    }
}
