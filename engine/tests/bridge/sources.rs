//! Payloads from files, readers and streams: inside the message or by link, and what is left when something fails.

use std::future::{Future, IntoFuture as _, poll_fn};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use natsbridge::fileserver::FileServer;
use natsbridge::link::{
    BoxFuture, Download, LinkStore, LinkUrl, Plik, Progress, Retry, Source, Upload, Uploaded,
    cleanups_finished,
};
use natsbridge::{Bridge, Error, ErrorKind, Payload, Receipt, Transport, Verification};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};

use crate::nats::NatsServer;
use crate::proxy::{Fate, Proxy};
use crate::{closed_port, kind, next, noise};

const THRESHOLD: u64 = 100_000;

/// A bridge, its file server, and the folder with what is on it.
struct Place {
    nats: NatsServer,
    files: FileServer,
    dir: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        let files = FileServer::builder().dir(dir.path().join("files")).start().await.unwrap();
        Self { nats: NatsServer::start(), files, dir }
    }

    async fn bridge(&self) -> Bridge {
        self.bridge_through(self.files.url()).await
    }

    /// A bridge whose uploads go through a proxy.
    async fn bridge_through(&self, url: &str) -> Bridge {
        Bridge::builder()
            .store(Plik::new(url).unwrap().verify_md5(true))
            .threshold(THRESHOLD)
            .upload_retry(Retry::default().base_delay(Duration::from_millis(5)))
            .connect(self.nats.url())
            .await
            .unwrap()
    }

    /// The lengths of the files on the server, in order.
    fn stored(&self) -> Vec<u64> {
        let mut lens = lens(&self.dir.path().join("files"));
        lens.sort_unstable();
        lens
    }

    /// Waits until nothing is left on the server.
    async fn assert_empty(&self, what: &str) {
        self.assert_stored(what, &[]).await;
    }

    /// Waits until just these are there: an upload that is broken off is deleted by the server itself.
    async fn assert_stored(&self, what: &str, expected: &[u64]) {
        cleanups_finished().await;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.stored() != expected {
            assert!(Instant::now() < deadline, "{what}: {expected:?} expected, {:?} there", self.stored());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn lens(dir: &Path) -> Vec<u64> {
    let mut lens = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => lens.extend(self::lens(&entry.path())),
            Ok(metadata) => lens.push(metadata.len()),
            Err(_) => {}
        }
    }
    lens
}

/// Bytes as a reader that hands out a few at a time, and counts them.
struct Slow {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
    read: Arc<AtomicUsize>,
    /// What comes at the end, instead of the end.
    error: Option<io::Error>,
}

impl Slow {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0, step: 10_000, read: Arc::default(), error: None }
    }
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.step.min(out.remaining()).min(self.bytes.len() - self.at);
        if count == 0
            && let Some(error) = self.error.take()
        {
            return Poll::Ready(Err(error));
        }
        out.put_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        self.read.fetch_add(count, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

fn pieces(bytes: &[u8], len: usize) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + use<> {
    let pieces: Vec<_> = bytes.chunks(len).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

fn transports(receipt: &Receipt) -> Vec<Transport> {
    receipt.payloads().iter().map(|payload| payload.transport).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_spills_at_the_threshold_and_arrives_whole() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let mut messages = bridge.subscribe("s").await.unwrap();
    for len in [0, 1, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 1_000_000] {
        let bytes = noise(len, len as usize);
        let path = place.file("payload", &bytes);
        let whole = bytes.clone();
        let receipt = bridge
            .send("s")
            .file("file", &path)
            .reader("reader", Slow::new(bytes.clone()), None)
            .reader("known", Slow::new(bytes.clone()), len)
            .stream("stream", pieces(&bytes, 7_777))
            .source(
                "video",
                "factory",
                Source::factory(None, move || {
                    let bytes = whole.clone();
                    async move { Ok(Source::reader(Slow::new(bytes), None)) }
                }),
            )
            .binary("memory", bytes.clone())
            .await
            .unwrap();
        let expected = if len < THRESHOLD { Transport::Direct } else { Transport::Link };
        assert_eq!(transports(&receipt), [expected; 6], "{len}");
        assert!(receipt.payloads().iter().all(|payload| payload.size == len), "{len}: {receipt:?}");

        let message = next(&mut messages).await.unwrap();
        let names = ["file", "reader", "known", "stream", "factory", "memory"];
        for (index, data) in message.fetch_all().await.into_iter().enumerate() {
            let data = data.unwrap();
            assert!(data.bytes() == &bytes[..], "{len} {}", names[index]);
            assert_eq!(message.envelope().payload(index).unwrap().dataname(), names[index]);
            if expected == Transport::Link {
                assert_eq!((data.verification(), data.size_mismatch()), (Verification::Digest, None));
            }
        }
    }
    assert_eq!(place.stored().len(), 3 * 6);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_says_it_is_empty_is_read_to_its_end() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let mut messages = bridge.subscribe("s").await.unwrap();
    let empty = place.file("empty", b"");
    bridge.send("s").file("version", "/proc/version").file("empty", empty).await.unwrap();
    let message = next(&mut messages).await.unwrap();
    let bytes = message.payload("version").unwrap().bytes().await.unwrap();
    assert_eq!(bytes, std::fs::read("/proc/version").unwrap());
    assert!(message.payload("empty").unwrap().bytes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_fills_the_message_to_its_last_byte() {
    let nats = NatsServer::with_config("max_payload: 4KB");
    let files = FileServer::builder().start().await.unwrap();
    let bridge = Bridge::builder().store(Plik::new(files.url()).unwrap()).connect(nats.url()).await.unwrap();
    let mut directs = 0;
    for len in 2_400..2_700usize {
        let bytes = noise(1, len);
        let memory = bridge.send("s").binary("a", bytes.clone()).await.unwrap();
        let reader = bridge.send("s").reader("a", Slow::new(bytes.clone()), None).await.unwrap();
        let known = bridge.send("s").reader("a", Slow::new(bytes), len as u64).await.unwrap();
        assert_eq!(transports(&memory), transports(&reader), "{len}");
        assert_eq!(transports(&memory), transports(&known), "{len}");
        directs += usize::from(transports(&memory) == [Transport::Direct]);
    }
    assert!((1..300).contains(&directs), "the boundary is outside: {directs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_the_error_comes_before_the_rest_is_read() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large");
    std::fs::File::create(&path).unwrap().set_len(50_000_000_000).unwrap();
    let error = bridge.send("s").text("t", "").file("f", &path).await.unwrap_err();
    assert_eq!((error.kind(), error.payload()), (ErrorKind::MessageTooLarge, Some(1)), "{error}");

    for threshold in [THRESHOLD, u64::MAX] {
        let reader = Slow::new(noise(1, 3_000_000));
        let read = Arc::clone(&reader.read);
        let error =
            bridge.send("s").text("t", "").threshold(threshold).reader("r", reader, None).await.unwrap_err();
        assert_eq!((error.kind(), error.payload()), (ErrorKind::MessageTooLarge, Some(1)), "{error}");
        assert!(error.needed() > error.limit());
        assert!(read.load(Ordering::SeqCst) < 1_400_000, "{read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_sources_are_checked() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let path = place.file("text", b"abc\xff");
    let error = bridge.send("s").source("text", "t", Source::file(&path)).await.unwrap_err();
    assert_eq!((error.kind(), error.payload(), error.offset()), (ErrorKind::InvalidInput, Some(0), Some(3)));
    // By link as well, wherever a character is cut.
    let mut text = "é".repeat(300_000).into_bytes();
    let (good, known) = (place.file("good", &text), Some(text.len() as u64));
    bridge.send("s").source("text", "t", Source::file(&good)).await.unwrap();
    text[555_555] = b'x';
    let bad = place.file("bad", &text);
    for source in [
        Source::file(&bad),
        Source::reader(Slow::new(text.clone()), None),
        Source::reader(Slow::new(text), known),
    ] {
        let error = bridge.send("s").source("text", "t", source).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.payload(), error.offset()),
            (ErrorKind::InvalidInput, Some(0), Some(555_554))
        );
    }
    place.assert_stored("text", &[600_000]).await;
    let json = place.file("json", b"{\"a\":1}");
    let mut messages = bridge.subscribe("s").await.unwrap();
    bridge.send("s").source("dictionary", "d", Source::file(&json)).await.unwrap();
    let value: serde_json::Value =
        next(&mut messages).await.unwrap().payload("d").unwrap().json_value().await.unwrap();
    assert_eq!(value, serde_json::json!({"a": 1}));
    assert_eq!(
        Payload::from_source("", "x", Source::file(&json)).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let payload = Payload::from_source("binary", "x", Source::file(&json)).unwrap();
    let mut publisher = bridge.publisher("s").build().unwrap();
    assert_eq!(kind(publisher.publish(&[(&payload).into()]).await), ErrorKind::Misuse);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_an_error_and_leaves_nothing() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let error = bridge.send("s").file("f", place.dir.path().join("none")).await.unwrap_err();
    assert_eq!((error.kind(), error.payload()), (ErrorKind::SourceFailed, Some(0)), "{error}");
    assert_eq!(kind(bridge.send("s").file("f", place.dir.path()).await), ErrorKind::SourceFailed);

    for len in [50_000, 2_000_000] {
        for known in [None, Some(len as u64 + 1)] {
            let mut reader = Slow::new(noise(1, len));
            reader.error = Some(io::Error::other("the disk is on fire"));
            let error = bridge.send("s").reader("r", reader, known).await.unwrap_err();
            assert_eq!((error.kind(), error.payload()), (ErrorKind::SourceFailed, Some(0)), "{error}");
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("on fire"), "{source}");
        }
        // It ends early.
        let error = bridge.send("s").reader("r", Slow::new(noise(1, len)), len as u64 + 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceFailed, "{error}");
        let broken = stream::iter([Ok(noise(1, len)), Err(io::Error::other("broken"))]);
        assert_eq!(kind(bridge.send("s").stream("s", broken).await), ErrorKind::SourceFailed);
    }
    place.assert_empty("a broken reader").await;
    // More than was announced is not read.
    let reader = Slow::new(noise(1, 500_000));
    let read = Arc::clone(&reader.read);
    let receipt = bridge.send("s").reader("r", reader, 400_000).await.unwrap();
    assert_eq!((receipt.payloads()[0].size, read.load(Ordering::SeqCst)), (400_000, 400_000));
    assert_eq!(place.stored(), [400_000]);

    // A reader is read once, however often its payload was cloned.
    let payload = Payload::from_source("binary", "r", Source::reader(Slow::new(noise(1, 10)), None)).unwrap();
    bridge.send("s").payload(payload.clone()).await.unwrap();
    assert_eq!(kind(bridge.send("s").payload(payload).await), ErrorKind::Misuse);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_read_is_an_error_and_leaves_nothing() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    for grows in [true, false] {
        let path = place.file("changing", &noise(1, 8_000_000));
        let (changing, once) = (path.clone(), AtomicU64::new(0));
        let progress = Progress::callback(move |report| {
            // The rest of the file is read later: no more than a few pieces are read ahead.
            if report.bytes > 0 && once.fetch_add(1, Ordering::SeqCst) == 0 {
                let file = std::fs::OpenOptions::new().write(true).open(&changing).unwrap();
                file.set_len(if grows { 9_000_000 } else { 5_000_000 }).unwrap();
            }
        });
        let error = bridge.send("s").file("f", &path).progress(progress).await.unwrap_err();
        assert_eq!((error.kind(), error.payload()), (ErrorKind::SourceFailed, Some(0)), "{error}");
        assert!(error.cleanup().is_none(), "{error}");
        assert!(error.to_string().contains("changed") && error.to_string().contains("8000000"), "{error}");
        place.assert_empty("a changed file").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_is_tried_again_and_leaves_one_file() {
    let place = Place::new().await;
    let path = place.file("payload", &noise(1, 600_000));
    for fate in [Fate::CutRequest(0), Fate::CutRequest(200_000), Fate::LoseAnswer] {
        // The first connection creates the upload, with few bytes; the second sends the file.
        let first = usize::from(fate == Fate::CutRequest(200_000));
        for spoilt in first..2 {
            let proxy =
                Proxy::start(place.files.url(), move |at| if at == spoilt { fate } else { Fate::Pass }).await;
            let bridge = place.bridge_through(&proxy.url).await;
            let mut messages = bridge.subscribe("s").await.unwrap();
            let before = place.stored().len();
            bridge.send("s").file("f", &path).await.unwrap();
            cleanups_finished().await;
            assert_eq!(place.stored().len(), before + 1, "{fate:?} {spoilt}");
            let data = next(&mut messages).await.unwrap().payload("f").unwrap().fetch().await.unwrap();
            assert_eq!((data.bytes().len(), data.verification()), (600_000, Verification::Digest));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_links_the_one_that_failed_is_uploaded_again() {
    let place = Place::new().await;
    // Two files are sent at once, over the second and third connection; which is which does not matter.
    let proxy =
        Proxy::start(place.files.url(), |at| if at == 1 { Fate::LoseAnswer } else { Fate::Pass }).await;
    let bridge = place.bridge_through(&proxy.url).await;
    let mut messages = bridge.subscribe("s").await.unwrap();
    let (a, b) = (noise(1, 300_000), noise(2, 400_000));
    let path = place.file("b", &b);
    bridge.send("s").binary("a", a.clone()).file("b", &path).await.unwrap();
    cleanups_finished().await;
    assert_eq!(place.stored(), [300_000, 400_000]);
    let message = next(&mut messages).await.unwrap();
    assert!(message.payload("a").unwrap().bytes().await.unwrap() == a);
    assert!(message.payload("b").unwrap().bytes().await.unwrap() == b);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_not_tried_again_and_nothing_is_left() {
    let place = Place::new().await;
    for fate in [Fate::CutRequest(200_000), Fate::LoseAnswer] {
        let proxy = Proxy::start(place.files.url(), move |at| if at == 1 { fate } else { Fate::Pass }).await;
        let bridge = place.bridge_through(&proxy.url).await;
        let error = bridge.send("s").reader("r", Slow::new(noise(1, 600_000)), None).await.unwrap_err();
        assert_eq!((error.kind(), error.payload()), (ErrorKind::Network, Some(0)), "{error}");
        assert!(error.cleanup().is_none(), "{error}");
        place.assert_empty("a reader").await;
        // The upload, the file, and the deletion of both.
        assert_eq!(proxy.connections(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_send_and_takes_everything_back() {
    let place = Place::new().await;
    for fate in [Fate::Stall(0), Fate::Stall(150_000)] {
        let proxy = Proxy::start(place.files.url(), move |at| if at == 2 { fate } else { Fate::Pass }).await;
        let bridge = place.bridge_through(&proxy.url).await;
        let started = Instant::now();
        let error = bridge
            .send("s")
            .binary("a", noise(1, 300_000))
            .binary("b", noise(2, 2_000_000))
            .deadline(Duration::from_millis(500))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("500ms"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
        place.assert_empty("a deadline").await;
    }
    // A source that never comes to an end counts as well.
    let bridge = place.bridge().await;
    let (_keep, reader) = tokio::io::duplex(64);
    let error =
        bridge.send("s").reader("r", reader, None).deadline(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_fails_within_the_schedule_and_is_told_in_the_error() {
    let place = Place::new().await;
    let (_held, port) = closed_port();
    let url = format!("http://127.0.0.1:{port}");
    let bridge = place.bridge_through(&url).await;
    let error = bridge.send("s").binary("a", noise(1, 300_000)).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Network, Some(6)), "{error}");
    assert!(error.cleanup().is_none(), "nothing was there to be deleted: {error}");

    // The schedule's own end comes before its number of tries: no try begins later.
    let retry = Retry::resilient().base_delay(Duration::from_millis(200)).total(Duration::from_secs(1));
    let bridge = Bridge::builder()
        .store(Plik::new(&url).unwrap())
        .threshold(THRESHOLD)
        .upload_retry(retry)
        .connect(place.nats.url())
        .await
        .unwrap();
    let error = bridge.send("s").binary("a", noise(1, 300_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    // Waits of at least 100, 200, 400 and 800 ms: the fourth would end too late.
    assert!((2..=4).contains(&error.attempts().unwrap()), "{error:?}");

    // It takes the upload and goes away: what it has cannot be deleted, which the error says.
    let proxy = Proxy::start(place.files.url(), |at| match at {
        0 => Fate::Pass,
        _ => Fate::CutRequest(0),
    })
    .await;
    let bridge = place.bridge_through(&proxy.url).await;
    let error = bridge.send("s").reader("r", Slow::new(noise(1, 600_000)), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert_eq!(error.cleanup().map(|error| error.kind()), Some(ErrorKind::Network), "{error}");
    assert_eq!(bridge.counters().undeleted_uploads, 1);
}

/// Says that everything is there, however much of it there is.
#[derive(Debug)]
struct Boastful {
    pieces: usize,
    deleted: Arc<Mutex<Vec<String>>>,
}

impl LinkStore for Boastful {
    fn upload(&self, upload: Upload) -> BoxFuture<'_, Result<Uploaded, Error>> {
        Box::pin(async move {
            if self.pieces > 0 {
                upload.announce("half").await?;
                let mut body = upload.open().await?;
                for _ in 0..self.pieces {
                    body.next().await?;
                }
            }
            Ok(Uploaded::new(LinkUrl::parse("http://files/1")?).with_handle("whole"))
        })
    }

    fn delete<'a>(&'a self, handle: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        self.deleted.lock().unwrap().push(handle.to_owned());
        Box::pin(async { Ok(()) })
    }

    fn download<'a>(&'a self, _: &'a LinkUrl) -> BoxFuture<'a, Result<Download, Error>> {
        Box::pin(async { Ok(Download::from_bytes(Bytes::new())) })
    }

    fn max_url_len(&self, _: &str) -> usize {
        20
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_not_read_everything_is_not_believed() {
    let nats = NatsServer::start();
    for pieces in [0, 1, 2, 3] {
        let deleted = Arc::new(Mutex::new(Vec::new()));
        let store = Boastful { pieces, deleted: Arc::clone(&deleted) };
        let retry = Retry::default().max_retries(1).base_delay(Duration::from_millis(1));
        let bridge = Bridge::builder()
            .store(store)
            .threshold(THRESHOLD)
            .upload_retry(retry)
            .connect(nats.url())
            .await
            .unwrap();
        // Three pieces of 256 KiB at most.
        let sent = bridge.send("s").binary("a", noise(1, 700_000)).await;
        let deleted = std::mem::take(&mut *deleted.lock().unwrap());
        if pieces == 1 || pieces == 2 {
            let error = sent.unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::UploadUnavailable, Some(2)), "{error}");
            assert_eq!(deleted, ["whole", "half", "whole", "half"], "the last one first, each try");
            continue;
        }
        // It may have them from elsewhere.
        let digest: String = sent.unwrap().envelope().payload(0).unwrap().metadata().get("sha256").unwrap();
        let expected: String =
            Sha256::digest(noise(1, 700_000)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, expected);
        assert!(deleted.is_empty(), "{deleted:?}");
        let once = Slow::new(noise(1, 700_000));
        let sent = bridge.send("s").reader("r", once, 700_000).await;
        assert_eq!(sent.is_ok(), pieces == 3, "{sent:?}");
    }
}

/// Polls a future so many times at most.
async fn poll_times<F: Future + Unpin>(future: &mut F, times: usize) -> Option<F::Output> {
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = Pin::new(&mut *future).poll(cx).map(Some);
        if polled.is_pending() && left == 0 { Poll::Ready(None) } else { polled }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_is_dropped_at_any_point_leaves_nothing() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let path = place.file("payload", &noise(1, 700_000));
    for times in 0.. {
        assert!(times < 2_000, "the send does not end");
        let mut send = bridge
            .send("s")
            .file("file", &path)
            .reader("reader", Slow::new(noise(2, 400_000)), None)
            .binary("memory", noise(3, 300_000))
            .into_future();
        if let Some(sent) = poll_times(&mut send, times).await {
            sent.unwrap();
            assert!(times > 5, "it was over before it could be dropped");
            break;
        }
        drop(send);
        place.assert_empty(&format!("dropped after {times} polls")).await;
    }
    place.assert_stored("sent at last", &[300_000, 400_000, 700_000]).await;
    assert_eq!(bridge.counters().undeleted_uploads, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_reported_up_to_the_last_byte() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let path = place.file("payload", &noise(1, 700_000));
    let reports = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&reports);
    let progress = Progress::callback(move |report| log.lock().unwrap().push((report.bytes, report.total)));
    bridge.send("s").file("f", &path).binary("b", noise(2, 300_000)).progress(progress).await.unwrap();
    let seen = std::mem::take(&mut *reports.lock().unwrap());
    assert_eq!(seen.last(), Some(&(1_000_000, Some(1_000_000))));
    assert!(seen.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{seen:?}");

    let (progress, mut stream) = Progress::stream();
    let send = bridge.send("s").reader("r", Slow::new(noise(1, 500_000)), None).progress(progress);
    let last = async {
        let mut last = None;
        while let Some(report) = stream.next().await {
            last = Some((report.bytes, report.total));
        }
        last
    };
    let (sent, last) = tokio::join!(send.into_future(), last);
    sent.unwrap();
    assert_eq!(last, Some((500_000, Some(500_000))));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_replies_carry_files_too() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let bytes = noise(1, 300_000);
    let path = place.file("payload", &bytes);
    let mut requests = bridge.subscribe("q").await.unwrap();
    let asked = bridge.request("q").file("f", &path);
    let answered = async {
        let request = next(&mut requests).await.unwrap();
        let got = request.payload("f").unwrap().bytes().await.unwrap();
        request.reply().reader("g", Slow::new(got.to_vec()), None).await.unwrap();
    };
    let (reply, ()) = tokio::join!(asked.into_future(), answered);
    assert!(reply.unwrap().payload("g").unwrap().bytes().await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_one_makes_uploads_take_turns() {
    let place = Place::new().await;
    let bridge = Bridge::builder()
        .store(Plik::new(place.files.url()).unwrap())
        .threshold(THRESHOLD)
        .upload_budget(1, 1 << 20)
        .connect(place.nats.url())
        .await
        .unwrap();
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let source = |seed| {
        let running = Arc::clone(&running);
        Source::factory(300_000, move || {
            let running = Arc::clone(&running);
            async move {
                let now = running.0.fetch_add(1, Ordering::SeqCst) + 1;
                running.1.fetch_max(now, Ordering::SeqCst);
                Ok(Source::reader(Counted(Slow::new(noise(seed, 300_000)), running), None))
            }
        })
    };
    let send = |seed| {
        let (a, b) = (source(seed), source(seed + 1));
        bridge.send("s").source("binary", "a", a).source("binary", "b", b).into_future()
    };
    let (a, b) = tokio::join!(send(1), send(3));
    a.unwrap();
    b.unwrap();
    assert_eq!(running.1.load(Ordering::SeqCst), 1);
    assert_eq!(place.stored(), [300_000; 4]);
}

/// Counts readers that are open.
struct Counted(Slow, Arc<(AtomicUsize, AtomicUsize)>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.0.fetch_sub(1, Ordering::SeqCst);
    }
}
