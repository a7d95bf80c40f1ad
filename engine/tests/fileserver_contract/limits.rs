//! Sizes and counts, at their exact boundaries.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::http::{FORM, Request, TOKEN, form_start, plik_with, read_reply};

#[tokio::test]
async fn a_file_of_exactly_the_limit_passes_and_one_byte_more_is_400() {
    let plik = plik_with(|builder| builder.max_file_size(1_000_000)).await;
    let upload = plik.create("").await;
    let exact = plik.add(&upload, "a", &vec![1; 1_000_000]).await;
    assert_eq!(exact["fileSize"], 1_000_000);
    let over = plik.try_add(&upload, "b", &vec![1; 1_000_001]).await;
    over.assert_error(400, "file too big (limit is set to 1.0 MB)");
    let files = plik.files(&upload).await;
    assert_eq!((&files[1]["status"], &files[1]["fileSize"]), (&json!("deleted"), &json!(0)));
    assert_eq!(plik.on_disk().len(), 1);
}

#[tokio::test]
async fn too_big_a_file_is_refused_while_it_is_still_being_sent() {
    let plik = plik_with(|builder| builder.max_file_size(1_000_000)).await;
    let upload = plik.create("").await;
    let (mut receive, mut send) = plik.connect().await.into_split();
    let head = Request::new("POST", &format!("/file/{}", upload.id))
        .without("Connection")
        .header(TOKEN, &upload.token)
        .header("Content-Type", FORM)
        .header("Content-Length", "2000000000");
    let sending = tokio::spawn(async move {
        send.write_all(&[head.bytes(), form_start("big")].concat()).await.unwrap();
        let mut sent = 0;
        // Most of it is thrown away; a client that minds the answer stops earlier.
        while sent < 20_000_000 && send.write_all(&[0; 50_000]).await.is_ok() {
            sent += 50_000;
        }
        (send, sent)
    });
    let mut reply = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut receive, &mut reply).await.unwrap();
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{reply}");
    assert!(reply.contains("\r\nConnection: close\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n\r\nfile too big (limit is set to 1.0 MB)\n"), "{reply}");
    let (_send, sent) = sending.await.unwrap();
    assert_eq!(sent, 20_000_000, "no reset while the answer is on its way");
    assert!(plik.on_disk().is_empty());
}

#[tokio::test]
async fn a_declared_size_over_the_limit_is_refused_at_creation() {
    let plik = plik_with(|builder| builder).await;
    let json = r#"{"files":[{"fileName":"a","fileSize":100000000000}]}"#;
    let refused = "unable to create upload : file is too big (100 GB), maximum file size is 10 GB";
    plik.try_create(json).await.assert_error(400, refused);
    let negative = plik.try_create(r#"{"files":[{"fileName":"a","fileSize":-5}]}"#).await;
    assert_eq!(negative.status, 200);
}

#[tokio::test]
async fn failed_files_count_against_the_file_limit() {
    let plik = plik_with(|builder| builder.max_files_per_upload(2).max_file_size(10)).await;
    let upload = plik.create("").await;
    plik.try_add(&upload, "big", &[0; 11]).await.assert_error(400, "file too big (limit is set to 10 B)");
    plik.add(&upload, "a", b"1").await;
    let full = "maximum number file per upload reached, limit is 2";
    plik.try_add(&upload, "b", b"2").await.assert_error(400, full);
    let json = r#"{"files":[{"fileName":"a"},{"fileName":"b"},{"fileName":"c"}]}"#;
    let refused = "unable to create upload : too many files. maximum is 2";
    plik.try_create(json).await.assert_error(400, refused);
}

#[tokio::test]
async fn a_full_server_answers_500_and_has_room_again_after_a_removal() {
    let plik = plik_with(|builder| builder.max_total_size(100)).await;
    let upload = plik.create("").await;
    let path = plik.put(&upload, "a", &[0; 80]).await;
    plik.try_add(&upload, "b", &[0; 21]).await.assert_error(500, "internal server error");
    plik.add(&upload, "c", &[0; 20]).await;
    plik.send(Request::new("DELETE", &path).header(TOKEN, &upload.token)).await;
    plik.add(&upload, "d", &[0; 80]).await;
    assert_eq!(plik.on_disk().len(), 2);
}

#[tokio::test]
async fn contradicting_options_do_not_start() {
    use natsbridge::fileserver::FileServer;
    use std::time::Duration;
    let day = Duration::from_secs(86_400);
    let refused = [
        FileServer::builder().default_ttl(2 * day).max_ttl(Some(day)),
        FileServer::builder().default_ttl(Duration::ZERO),
        FileServer::builder().download_domain("files.example.org".into()),
    ];
    for builder in refused {
        let error = builder.start().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn endless_headers_are_refused() {
    let plik = plik_with(|builder| builder).await;
    let mut stream = plik.connect().await;
    let request = Request::new("GET", "/version").header("X", &"x".repeat(1_000_000)).bytes();
    let _ = stream.write_all(&request).await;
    assert_eq!(read_reply(&mut stream).await.status, 431);
}
