//! `GET` and `HEAD` of a file.

use crate::add::unavailable;
use crate::http::{Request, TOKEN, plik, plik_with};

#[tokio::test]
async fn a_file_comes_back_whole_with_its_length_and_type() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let path = plik.put(&upload, "a.json", br#"{"a":1}"#).await;
    let get = plik.get(&path).await;
    assert_eq!(get.status_line, "HTTP/1.1 200 OK");
    assert_eq!(get.text(), r#"{"a":1}"#);
    for reply in [&get, &plik.head(&path).await] {
        assert_eq!(reply.header("content-length"), Some("7"));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("content-disposition"), Some("filename=\"a.json\""));
    }
    assert!(plik.head(&path).await.body.is_empty());
}

#[tokio::test]
async fn types_that_a_browser_would_run_are_served_harmless() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let cases: [(&[u8], &str, &str); 4] = [
        (b"<html></html>", "text/html; charset=utf-8", "text/plain"),
        (b"%PDF-1.7", "application/pdf", "application/octet-stream"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "image/png"),
        (b"\x00\x01\x02", "application/octet-stream", "application/octet-stream"),
    ];
    for (data, sniffed, served) in cases {
        let file = plik.add(&upload, "f", data).await;
        assert_eq!(file["fileType"], sniffed);
        let path = format!("/file/{}/{}/f", upload.id, file["id"].as_str().unwrap());
        assert_eq!(plik.get(&path).await.header("content-type"), Some(served));
    }
}

#[tokio::test]
async fn ranges_and_conditions_are_ignored_and_never_offered() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let path = plik.put(&upload, "a", b"hello").await;
    let request = Request::new("GET", &path)
        .header("Range", "bytes=1-2")
        .header("If-None-Match", "*")
        .header("If-Modified-Since", "Wed, 21 Oct 2099 07:28:00 GMT")
        .header("Accept-Encoding", "gzip");
    let reply = plik.send(request).await;
    assert_eq!((reply.status, reply.text()), (200, "hello".into()));
    for absent in
        ["accept-ranges", "etag", "last-modified", "content-encoding", "content-range", "cache-control"]
    {
        assert_eq!(reply.header(absent), None, "{absent}");
    }
    assert!(!reply.headers.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("access-control")));
}

#[tokio::test]
async fn an_unknown_file_is_404_and_one_of_another_upload_500() {
    let plik = plik().await;
    let (mine, other) = (plik.create("").await, plik.create("").await);
    let path = plik.put(&other, "a", b"hello").await;
    plik.get(&format!("/file/{}/nope/a", mine.id)).await.assert_error(404, "file nope not found");
    let crossed = path.replace(&other.id, &mine.id);
    plik.get(&crossed).await.assert_error(500, "internal server error");
    plik.get("/file/nope/nope/a").await.assert_error(404, "upload nope not found");
}

#[tokio::test]
async fn stream_paths_are_another_name_of_file_paths() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let path = plik.put(&upload, "a", b"hello").await.replace("/file/", "/stream/");
    assert_eq!(plik.get(&path).await.text(), "hello");
}

#[tokio::test]
async fn with_a_download_domain_files_are_given_out_under_it_only() {
    let plik = plik_with(|builder| builder.download_domain("http://dl.example.org:81".into())).await;
    let upload = plik.create(r#"{"oneShot":true}"#).await;
    let path = plik.put(&upload, "a", b"hello").await;
    assert_eq!(
        plik.get(&format!("/upload/{}", upload.id)).await.json()["downloadDomain"],
        "http://dl.example.org:81"
    );
    plik.get(&path).await.assert_error(400, "Invalid download domain localhost");
    let right = Request::new("GET", &path).without("Host").header("Host", "dl.example.org:81");
    assert_eq!(plik.send(right).await.text(), "hello", "a refused GET consumes nothing");
}

#[tokio::test]
async fn a_removed_file_is_404_deleted_and_its_data_gone_at_once() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let path = plik.put(&upload, "a", b"hello").await;
    let delete = || Request::new("DELETE", &path).header(TOKEN, &upload.token);
    for _ in 0..2 {
        let reply = plik.send(delete()).await;
        assert_eq!((reply.status, reply.text()), (200, "ok".into()), "repeatable, and no newline");
    }
    assert!(plik.on_disk().is_empty());
    plik.get(&path).await.assert_error(404, &unavailable(&path, "deleted"));
    assert_eq!(plik.files(&upload).await[0]["status"], "deleted");
}

#[tokio::test]
async fn removing_needs_the_token_or_a_removable_upload() {
    let plik = plik().await;
    for (removable, json) in [(false, ""), (true, r#"{"removable":true}"#)] {
        let upload = plik.create(json).await;
        let path = plik.put(&upload, "a", b"hello").await;
        let file = plik.send(Request::new("DELETE", &path)).await;
        let whole = plik.send(Request::new("DELETE", &format!("/upload/{}", upload.id))).await;
        if removable {
            assert_eq!((file.text(), whole.text()), ("ok".into(), "ok".into()));
        } else {
            file.assert_error(403, "you are not allowed to remove files from this upload");
            whole.assert_error(403, "you are not allowed to remove this upload");
            assert_eq!(plik.get(&path).await.text(), "hello");
        }
    }
}

#[tokio::test]
async fn a_removed_upload_is_404_for_every_request() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let path = plik.put(&upload, "a", b"hello").await;
    let delete = || Request::new("DELETE", &format!("/upload/{}", upload.id)).header(TOKEN, &upload.token);
    assert_eq!(plik.send(delete()).await.text(), "ok");
    let gone = format!("upload {} not found", upload.id);
    plik.send(delete()).await.assert_error(404, &gone);
    plik.get(&path).await.assert_error(404, &gone);
    plik.get(&format!("/upload/{}", upload.id)).await.assert_error(404, &gone);
    plik.try_add(&upload, "b", b"x").await.assert_error(404, &gone);
    assert!(plik.on_disk().is_empty());
}
