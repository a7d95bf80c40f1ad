//! Expiry, start and stop, and clients that do not behave.

use std::path::PathBuf;
use std::time::Duration;

use natsbridge::fileserver::FileServer;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{advance, pause, resume, sleep, timeout};

use crate::http::{FORM, Plik, Request, TOKEN, files_under, form_start, plik, plik_with, read_reply};

/// Lets the server's clock jump; no connection is open meanwhile.
async fn after(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if check().await {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn an_expired_upload_says_so_and_is_forgotten_later() {
    let plik = plik().await;
    let upload = plik.create(r#"{"ttl":60}"#).await;
    let path = plik.put(&upload, "a", b"hello").await;
    after(Duration::from_secs(59)).await;
    assert_eq!(plik.get(&path).await.text(), "hello");
    after(Duration::from_secs(2)).await;
    let expired = format!("upload {} has expired", upload.id);
    plik.get(&path).await.assert_error(404, &expired);
    plik.get(&format!("/upload/{}", upload.id)).await.assert_error(404, &expired);
    plik.try_add(&upload, "b", b"x").await.assert_error(404, &expired);
    after(Duration::from_secs(5)).await;
    eventually("the data is freed", async || plik.on_disk().is_empty()).await;
    plik.get(&path).await.assert_error(404, &expired);
    after(Duration::from_secs(700)).await;
    let gone = format!("upload {} not found", upload.id);
    eventually("forgotten", async || plik.get(&path).await.text() == format!("{gone}\n")).await;
}

#[tokio::test]
async fn an_upload_without_an_end_does_not_expire() {
    let plik = plik_with(|builder| builder.max_ttl(None).default_ttl(Duration::ZERO)).await;
    let upload = plik.create("").await;
    let path = plik.put(&upload, "a", b"hello").await;
    after(Duration::from_secs(400 * 24 * 3600)).await;
    assert_eq!(plik.get(&path).await.text(), "hello");
}

/// Starts an upload of 10 MB and sends some of it.
async fn start_upload(plik: &Plik, upload: &crate::http::Upload) -> TcpStream {
    let mut stream = plik.connect().await;
    let head = Request::new("POST", &format!("/file/{}", upload.id))
        .header(TOKEN, &upload.token)
        .header("Content-Type", FORM)
        .header("Content-Length", "10000000");
    stream.write_all(&[head.bytes(), form_start("a"), vec![1; 1_000_000]].concat()).await.unwrap();
    eventually("data on disk", async || plik.on_disk().iter().any(|path| path.metadata().unwrap().len() > 0))
        .await;
    stream
}

#[tokio::test]
async fn an_aborted_upload_leaves_no_file_on_disk() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let stream = start_upload(&plik, &upload).await;
    let files = plik.files(&upload).await;
    assert_eq!(files[0]["status"], "uploading");
    let path = format!("/file/{}/{}/a", upload.id, files[0]["id"].as_str().unwrap());
    plik.get(&path).await.assert_error(404, &crate::add::unavailable(&path, "uploading"));
    drop(stream);
    eventually("nothing on disk", async || plik.on_disk().is_empty()).await;
    let file = &plik.files(&upload).await[0];
    assert_eq!((&file["status"], &file["fileSize"]), (&json!("deleted"), &json!(0)));
}

#[tokio::test]
async fn an_upload_removed_while_it_arrives_is_500_and_leaves_no_file() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let mut stream = start_upload(&plik, &upload).await;
    let delete = Request::new("DELETE", &format!("/upload/{}", upload.id)).header(TOKEN, &upload.token);
    assert_eq!(plik.send(delete).await.text(), "ok");
    let start = form_start("a").len() + 1_000_000;
    let end = crate::http::form_end();
    stream.write_all(&[vec![1; 10_000_000 - start - end.len()], end].concat()).await.unwrap();
    read_reply(&mut stream).await.assert_error(500, "internal server error");
    assert!(plik.on_disk().is_empty());
}

#[tokio::test]
async fn a_client_that_stands_still_is_dropped() {
    let plik = plik_with(|builder| builder.idle_timeout(Duration::from_millis(200))).await;
    let upload = plik.create("").await;
    let mut half_a_head = plik.connect().await;
    half_a_head.write_all(b"GET /ver").await.unwrap();
    let mut half_a_body = start_upload(&plik, &upload).await;
    let mut silent = plik.connect().await;
    for stream in [&mut half_a_head, &mut half_a_body, &mut silent] {
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open");
    }
    eventually("nothing on disk", async || plik.on_disk().is_empty()).await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_file_is_dropped() {
    let plik = plik_with(|builder| builder.idle_timeout(Duration::from_millis(200))).await;
    let upload = plik.create(r#"{"oneShot":true}"#).await;
    let path = plik.put(&upload, "a", &vec![1; 20_000_000]).await;
    let mut stream = plik.connect().await;
    stream.write_all(&Request::new("GET", &path).bytes()).await.unwrap();
    eventually("the transfer ends", async || plik.files(&upload).await[0]["status"] == "deleted").await;
    assert!(plik.on_disk().is_empty());
}

#[tokio::test]
async fn nonsense_does_not_stop_the_server() {
    let plik = plik().await;
    for nonsense in [
        &b"\x00\xff\xfe\r\n\r\n"[..],
        b"GET / HTTP/9\r\n\r\n",
        b"POST /upload HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\r\n\r\n\r\n\r\n",
    ] {
        let mut stream = plik.connect().await;
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{nonsense:?}");
    }
    assert_eq!(plik.get("/health").await.status, 200);
}

#[tokio::test]
async fn shutdown_lets_a_running_upload_finish_and_refuses_new_connections() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let mut stream = start_upload(&plik, &upload).await;
    let (addr, Plik { server, dir }) = (plik.server.addr(), plik);
    let stopping = tokio::spawn(server.shutdown());
    eventually("no new connections", async || TcpStream::connect(addr).await.is_err()).await;
    let start = form_start("a").len() + 1_000_000;
    let end = crate::http::form_end();
    stream.write_all(&[vec![1; 10_000_000 - start - end.len()], end].concat()).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.json()["status"], "uploaded");
    stopping.await.unwrap();
    assert!(files_under(dir.path()).is_empty(), "what only the server knew is gone with it");
}

#[tokio::test]
async fn a_given_folder_keeps_what_is_not_the_servers() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("files/zz")).unwrap();
    std::fs::write(dir.path().join("files/zz/theirs"), b"x").unwrap();
    let server = FileServer::builder().dir(dir.path()).start().await.unwrap();
    let plik = Plik { server, dir };
    let upload = plik.create("").await;
    plik.put(&upload, "a", b"hello").await;
    let Plik { server, dir } = plik;
    server.shutdown().await;
    assert_eq!(files_under(dir.path()), [dir.path().join("files/zz/theirs")]);
}

/// The temporary folders of servers that run in this process or another.
fn temporary_folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten().map(|entry| entry.path());
    let ours =
        |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().starts_with("natsbridge-files-");
    entries.filter(|path| ours(path)).collect()
}

#[tokio::test]
async fn the_default_folder_goes_with_the_server() {
    let plik = Plik {
        server: FileServer::builder().start().await.unwrap(),
        dir: tempfile::tempdir().unwrap(), // not used
    };
    let upload = plik.create("").await;
    let id = plik.add(&upload, "a", b"hello").await["id"].as_str().unwrap().to_owned();
    // Other servers may run at the same time: ours is the one that holds our file.
    let holds_it = |dir: &PathBuf| files_under(dir).iter().any(|path| path.ends_with(&id));
    let ours = temporary_folders().into_iter().find(holds_it).unwrap();
    drop(plik);
    assert!(!ours.exists());
}

#[tokio::test]
async fn a_dropped_server_no_longer_answers() {
    let plik = plik().await;
    let addr = plik.server.addr();
    drop(plik);
    eventually("refused", async || TcpStream::connect(addr).await.is_err()).await;
}

#[tokio::test]
async fn the_url_names_a_reachable_address() {
    let server = FileServer::builder().listen("0.0.0.0:0".parse().unwrap()).start().await.unwrap();
    assert_eq!(server.url(), format!("http://127.0.0.1:{}", server.addr().port()));
    server.shutdown().await;
}

#[tokio::test]
async fn secrets_are_not_in_the_debug_output() {
    let builder = FileServer::builder().user_token("hush-hush".into());
    assert!(!format!("{builder:?}").contains("hush"));
    let server = builder.start().await.unwrap();
    assert!(!format!("{server:?}").contains("hush"));
}
