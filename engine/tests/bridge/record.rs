//! The record of uploads: what is in it while a message is on its way, and what is deleted by it.

use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use natsbridge::link::{
    BoxFuture, CleanupRecord, Download, LinkStore, LinkUrl, Retry, Source, Upload, Uploaded,
    cleanups_finished,
};
use natsbridge::{Bridge, Error, ErrorKind, Payload, Result};

use crate::kind;
use crate::nats::NatsServer;

/// Announces one handle after the other, and knows which of them are there.
#[derive(Debug, Clone, Default)]
struct Shelf {
    there: Arc<Mutex<Vec<String>>>,
    made: Arc<Mutex<usize>>,
}

impl Shelf {
    fn there(&self) -> Vec<String> {
        self.there.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.there().len() != count {
            assert!(Instant::now() < deadline, "{:?} instead of {count}", self.there());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl LinkStore for Shelf {
    fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded>> {
        Box::pin(async move {
            let handle = {
                let mut made = self.made.lock().unwrap();
                *made += 1;
                format!("handle-{made}")
            };
            upload.announce(handle.as_str()).await?;
            self.there.lock().unwrap().push(handle.clone());
            let mut body = upload.open().await?;
            while body.next().await?.is_some() {}
            Ok(Uploaded::new(LinkUrl::parse("http://shelf/x")?).with_handle(handle))
        })
    }

    fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<()>> {
        self.there.lock().unwrap().retain(|other| other != handle);
        Box::pin(async { Ok(()) })
    }

    fn download<'a>(&'a self, _: &'a LinkUrl) -> BoxFuture<'a, Result<Download>> {
        Box::pin(async { Ok(Download::from_bytes(Bytes::new())) })
    }

    fn max_url_len(&self, _: &str) -> usize {
        100
    }
}

async fn bridge(nats: &NatsServer, store: &Shelf, record: CleanupRecord) -> Bridge {
    let builder = Bridge::builder().store(store.clone()).threshold(1).upload_record(record);
    builder.connect(nats.url()).await.unwrap()
}

fn endless() -> Payload {
    let head = stream::iter([Ok::<_, Error>(Bytes::from(vec![7; 300_000]))]);
    Payload::from_source("binary", "endless", Source::stream(head.chain(stream::pending()), 1_000_000))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_in_the_file_until_its_message_goes_out_or_it_is_deleted() {
    let nats = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("record");
    let store = Shelf::default();
    let bridge = bridge(&nats, &store, CleanupRecord::file(&path).unwrap()).await;
    let text = || std::fs::read_to_string(&path).unwrap();

    bridge.send("t").text("a", "hello").await.unwrap();
    assert_eq!(store.there(), ["handle-1"]);
    assert!(text().contains("{\"settled\":\"handle-1\"}"), "{}", text());

    // While it is being uploaded it is in the record, and in nobody else's hands.
    let sending = tokio::spawn({
        let bridge = bridge.clone();
        async move { bridge.send("t").payload(endless()).await }
    });
    store.wait_for(2).await;
    assert!(text().contains("\"announced\":\"handle-2\"") && !text().contains("{\"settled\":\"handle-2\"}"));
    let collected = CleanupRecord::collect_file(&path, &store, Duration::ZERO).await.unwrap();
    assert_eq!((collected.alive, collected.deleted), (1, 0));
    assert_eq!(store.there().len(), 2);
    sending.abort();
    let _ = sending.await;
    cleanups_finished().await;
    assert_eq!(store.there(), ["handle-1"]);
    assert!(text().contains("{\"settled\":\"handle-2\"}"), "{}", text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_starts_again_deletes_what_it_had_left() {
    let nats = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("record");
    let store = Shelf::default();
    *store.there.lock().unwrap() = vec!["kept".to_owned(), "left".to_owned()];
    std::fs::write(
        &path,
        "{\"announced\":\"kept\",\"at\":1}\n{\"announced\":\"left\",\"at\":1}\n{\"settled\":\"kept\"}\n",
    )
    .unwrap();
    let bridge = bridge(&nats, &store, CleanupRecord::file(&path).unwrap()).await;
    cleanups_finished().await;
    assert_eq!(store.there(), ["kept"]);
    drop(bridge);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_uploaded() {
    let nats = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(kind(CleanupRecord::file(&folder)), ErrorKind::Misuse);
    assert_eq!(kind(CleanupRecord::file(dir.path().join("no/such/folder"))), ErrorKind::Misuse);
    // A bucket whose server has gone since.
    let with_buckets = NatsServer::with_jetstream();
    let options = async_nats::ConnectOptions::new().request_timeout(Some(Duration::from_secs(1)));
    let client = options.connect(with_buckets.url()).await.unwrap();
    let record = CleanupRecord::kv(client, "uploads").await.unwrap();
    let store = Shelf::default();
    let bridge = Bridge::builder()
        .store(store.clone())
        .threshold(1)
        .upload_record(record)
        .upload_retry(Retry::default().max_retries(0))
        .connect(nats.url())
        .await
        .unwrap();
    drop(with_buckets);
    let sent = bridge.send("t").text("a", "hello").into_future();
    let sent = tokio::time::timeout(Duration::from_secs(60), sent).await.expect("it ends");
    assert_eq!(kind(sent), ErrorKind::TimedOut);
    cleanups_finished().await;
    assert!(store.there().is_empty(), "{:?}", store.there());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_the_uploads_of_many_senders_and_the_dead_ones_are_collected() {
    let nats = NatsServer::with_jetstream();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let record = CleanupRecord::kv(client.clone(), "uploads").await.unwrap();
    assert_eq!(format!("{record:?}"), "CleanupRecord { bucket: \"uploads\", .. }");
    let store = Shelf::default();
    let bridge = bridge(&nats, &store, record).await;
    bridge.send("t").text("a", "hello").await.unwrap();
    let sending = tokio::spawn({
        let bridge = bridge.clone();
        async move { bridge.send("t").payload(endless()).await }
    });
    store.wait_for(2).await;

    // A sender of which nothing has been heard: no sign of life at all.
    for (key, value) in [("dead.1", "{\"handle\":\"handle-7\"}"), ("dead.2", "{\"handle\":\"handle-8\"}")] {
        client.request(format!("$KV.uploads.{key}"), value.into()).await.unwrap();
    }
    store.there.lock().unwrap().extend(["handle-7".to_owned(), "handle-8".to_owned()]);
    let collect = || CleanupRecord::collect_kv(&client, "uploads", &store, Duration::ZERO);
    let collected = collect().await.unwrap();
    assert_eq!((collected.deleted, collected.alive, collected.failed.len()), (2, 1, 0), "{collected:?}");
    assert_eq!(store.there(), ["handle-1", "handle-2"]);
    let collected = collect().await.unwrap();
    assert_eq!((collected.deleted, collected.alive), (0, 1), "{collected:?}");

    sending.abort();
    let _ = sending.await;
    cleanups_finished().await;
    let collected = collect().await.unwrap();
    assert_eq!((collected.deleted, collected.alive), (0, 0), "{collected:?}");
    assert_eq!(store.there(), ["handle-1"]);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_is_an_error() {
    let nats = NatsServer::start();
    let client = async_nats::connect(nats.url()).await.unwrap();
    for name in ["", "a b", "a.b", "a>", "é"] {
        assert_eq!(kind(CleanupRecord::kv(client.clone(), name).await), ErrorKind::Misuse, "{name:?}");
    }
    let error = CleanupRecord::kv(client, "uploads").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("JetStream"), "{error}");
    let nats = NatsServer::with_jetstream();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let store = Shelf::default();
    let missing = CleanupRecord::collect_kv(&client, "missing", &store, Duration::ZERO).await;
    assert_eq!(kind(missing), ErrorKind::Misuse);
}
