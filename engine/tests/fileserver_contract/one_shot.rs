//! One-shot uploads: each file can be fetched once, and the fetch counts from its start.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::add::unavailable;
use crate::http::{Plik, Request, Upload, plik};

const ONE_SHOT: &str = r#"{"oneShot":true}"#;

async fn one_shot(plik: &Plik, data: &[u8]) -> (Upload, String) {
    let upload = plik.create(ONE_SHOT).await;
    let path = plik.put(&upload, "hello.txt", data).await;
    (upload, path)
}

/// Waits, within reason, for a file to get a status: a transfer ends when its connection does.
async fn wait_for_status(plik: &Plik, upload: &Upload, status: &str) {
    for _ in 0..500 {
        if plik.files(upload).await[0]["status"] == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never {status}: {:?}", plik.files(upload).await);
}

#[tokio::test]
async fn second_get_of_a_one_shot_file_is_404_deleted() {
    let plik = plik().await;
    let (upload, path) = one_shot(&plik, b"hello world").await;
    let first = plik.get(&path).await;
    assert_eq!((first.status, first.text()), (200, "hello world".into()));
    assert_eq!(first.header("cache-control"), Some("no-cache, no-store, must-revalidate"));
    assert_eq!((first.header("pragma"), first.header("expires")), (Some("no-cache"), Some("0")));
    wait_for_status(&plik, &upload, "deleted").await;
    plik.get(&path).await.assert_error(404, &unavailable(&path, "deleted"));
    assert_eq!(plik.head(&path).await.status, 404);
    assert!(plik.on_disk().is_empty());
}

#[tokio::test]
async fn head_and_a_wrong_name_do_not_consume_a_one_shot_file() {
    let plik = plik().await;
    let (_, path) = one_shot(&plik, b"hello world").await;
    let head = plik.head(&path).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("11")));
    assert_eq!(head.header("cache-control"), Some("no-cache, no-store, must-revalidate"));
    plik.get(&path.replace("hello.txt", "hallo.txt")).await.assert_error(400, "invalid file name");
    assert_eq!(plik.get(&path).await.text(), "hello world");
}

#[tokio::test]
async fn a_get_with_a_range_consumes_and_returns_everything() {
    let plik = plik().await;
    let (upload, path) = one_shot(&plik, b"hello world").await;
    let reply = plik.send(Request::new("GET", &path).header("Range", "bytes=0-0")).await;
    assert_eq!((reply.status, reply.text()), (200, "hello world".into()));
    wait_for_status(&plik, &upload, "deleted").await;
}

#[tokio::test]
async fn each_file_of_a_one_shot_upload_is_consumed_for_itself() {
    let plik = plik().await;
    let (upload, first) = one_shot(&plik, b"1").await;
    assert_eq!(plik.get(&first).await.text(), "1");
    let second = plik.put(&upload, "later.txt", b"2").await;
    assert_eq!(plik.get(&second).await.text(), "2", "files can be added after a download");
    assert_eq!(plik.files(&upload).await.len(), 2, "the upload stays readable");
}

#[tokio::test]
async fn an_aborted_get_consumes_a_one_shot_file() {
    let plik = plik().await;
    let (upload, path) = one_shot(&plik, &vec![7; 20_000_000]).await;
    let mut stream = plik.connect().await;
    stream.write_all(&Request::new("GET", &path).bytes()).await.unwrap();
    let mut start = vec![0; 100_000];
    stream.read_exact(&mut start).await.unwrap();
    plik.get(&path).await.assert_error(404, &unavailable(&path, "removed"));
    assert_eq!(plik.files(&upload).await[0]["status"], "removed", "the transfer still runs");
    drop(stream);
    wait_for_status(&plik, &upload, "deleted").await;
    plik.get(&path).await.assert_error(404, &unavailable(&path, "deleted"));
    assert!(plik.on_disk().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_simultaneous_gets_exactly_one_gets_the_file() {
    let plik = plik().await;
    for _ in 0..5 {
        let (_, path) = one_shot(&plik, b"hello world").await;
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mut stream = plik.connect().await;
            let request = Request::new("GET", &path).bytes();
            clients.spawn(async move {
                stream.write_all(&request).await.unwrap();
                crate::http::read_reply(&mut stream).await
            });
        }
        let replies = clients.join_all().await;
        let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
        assert_eq!(won.iter().map(|reply| reply.text()).collect::<Vec<_>>(), ["hello world"]);
        assert!(
            lost.iter().all(|reply| reply.status == 404 && !reply.text().contains("hello world")),
            "{lost:?}"
        );
    }
}
