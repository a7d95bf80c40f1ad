//! Links that fail, and what is left behind.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use natsbridge::fileserver::FileServer;
use natsbridge::link::{HandlerStore, Lifetime, LinkStore, Origin, Plik, Retry};
use natsbridge::{Bridge, Delivery, Error, ErrorKind, Message, Verification};

use crate::nats::NatsServer;
use crate::scripted::{Scripted, ok, response};
use crate::{kind, next, noise};

/// A message with one link and one text beside it, as it arrives at a receiver.
async fn message_with_link(nats: &NatsServer, receiver: &Bridge, url: &str, rest: &str) -> Message {
    let mut messages = receiver.subscribe("links").await.unwrap();
    let url = serde_json::to_string(url).unwrap();
    let body = format!(
        "{{\"payloads\":[{{\"dataname\":\"f\",\"type\":\"binary\",\"transport\":\"link\",\"data\":{url}{rest}}},\
         {{\"dataname\":\"t\",\"type\":\"text\",\"transport\":\"direct\",\"data\":\"b2s=\"}}]}}"
    );
    let client = async_nats::connect(nats.url()).await.unwrap();
    client.publish("links", body.into()).await.unwrap();
    client.flush().await.unwrap();
    next(&mut messages).await.unwrap()
}

async fn receiver(nats: &NatsServer, origin: &str) -> Bridge {
    Bridge::builder()
        .allow_origin(Origin::parse(origin).unwrap())
        .retry(Retry::default().max_retries(1).base_delay(Duration::from_millis(1)))
        .download_timeout(Duration::from_secs(3))
        .connect(nats.url())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_a_link_can_be_wrong_is_an_error_of_its_own_and_the_other_payload_is_readable() {
    let nats = NatsServer::start();
    let digest = "\"size\":5,\"metadata\":{\"sha256\":\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"}";
    let size = "\"size\":5";
    for (name, answer, hang, fields, expected, tries) in [
        ("whole", ok("hello"), false, digest, None, 1),
        (
            "redirect",
            response("301 Moved", "Location: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n", ""),
            false,
            digest,
            Some(ErrorKind::LinkRejected),
            1,
        ),
        (
            "gone",
            response("404 Not Found", "Content-Length: 0\r\n", ""),
            false,
            digest,
            Some(ErrorKind::LinkGone),
            1,
        ),
        (
            "an HTML page",
            ok("<!doctype html><title>Plik</title>"),
            false,
            digest,
            Some(ErrorKind::DigestMismatch),
            1,
        ),
        (
            "an HTML page without a digest",
            ok("<!doctype html><title>Plik</title>"),
            false,
            size,
            Some(ErrorKind::LinkTooLong),
            1,
        ),
        (
            "truncated",
            response("200 OK", "Content-Length: 5\r\n", "hel"),
            false,
            digest,
            Some(ErrorKind::LinkTruncated),
            2,
        ),
        ("too short", ok("hel"), false, size, Some(ErrorKind::LinkTruncated), 2),
        ("overlong", ok("hello!"), false, size, Some(ErrorKind::LinkTooLong), 1),
        ("other bytes", ok("HELLO"), false, digest, Some(ErrorKind::DigestMismatch), 1),
        (
            "a server error",
            response("500 Oops", "Content-Length: 0\r\n", ""),
            false,
            digest,
            Some(ErrorKind::LinkUnavailable),
            2,
        ),
        (
            "not allowed to read",
            response("403 Forbidden", "Content-Length: 0\r\n", ""),
            false,
            digest,
            Some(ErrorKind::LinkRejected),
            1,
        ),
        ("silence", String::new(), true, digest, Some(ErrorKind::TimedOut), 1),
        (
            "compressed",
            response("200 OK", "Content-Encoding: gzip\r\nContent-Length: 5\r\n", "hello"),
            false,
            digest,
            Some(ErrorKind::LinkRejected),
            1,
        ),
        ("no HTTP at all", "SSH-2.0-OpenSSH\r\n".to_owned(), false, digest, Some(ErrorKind::LinkRejected), 1),
    ] {
        let server = Scripted::start(answer, hang).await;
        let bridge = receiver(&nats, &server.url).await;
        let started = Instant::now();
        let url = format!("{}/file/SECRET/f", server.url);
        let message = message_with_link(&nats, &bridge, &url, &format!(",{fields}")).await;
        let all = message.fetch_all().await;
        assert!(started.elapsed() < Duration::from_secs(20), "{name}");
        assert_eq!(all[1].as_ref().unwrap().text().unwrap(), "ok", "{name}");
        match (&all[0], expected) {
            (Ok(data), None) => {
                assert_eq!((&data.bytes()[..], data.verification()), (&b"hello"[..], Verification::Digest))
            }
            (Err(error), Some(kind)) => {
                assert_eq!((error.kind(), error.payload()), (kind, Some(0)), "{name}: {error:?}");
                assert!(!format!("{error} {error:?}").contains("SECRET"), "{name}: {error:?}");
            }
            (result, _) => panic!("{name}: {result:?}"),
        }
        assert_eq!(server.connections(), tries, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_elsewhere_are_refused_before_any_connection() {
    let nats = NatsServer::start();
    let (allowed, elsewhere) =
        (Scripted::start(ok("hello"), false).await, Scripted::start(ok("hello"), false).await);
    let bridge = receiver(&nats, &allowed.url).await;
    let port = elsewhere.url.rsplit_once(':').unwrap().1.to_owned();
    for url in [
        elsewhere.url.clone() + "/x",
        format!("http://localhost:{port}/x"),
        format!("http://[::1]:{port}/x"),
        format!("{}@{}/x", allowed.url, elsewhere.url.trim_start_matches("http://")),
        format!("http://127.1:{port}/x"),
        format!("http://2130706433:{port}/x"),
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/x".to_owned(),
        "/etc/passwd".to_owned(),
        "".to_owned(),
        allowed.url.replace("http://", "https://"),
        format!("{}\\@{}/", allowed.url, elsewhere.url.trim_start_matches("http://")),
    ] {
        let message = message_with_link(&nats, &bridge, &url, "").await;
        let error = message.payload("f").unwrap().bytes().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LinkRefused, "{url}: {error:?}");
        assert_eq!(message.payload("t").unwrap().text().await.unwrap(), "ok");
    }
    assert_eq!((elsewhere.connections(), allowed.connections()), (0, 0));

    let message = message_with_link(&nats, &bridge, &(elsewhere.url.clone() + "/x"), "").await;
    let error = message.payload("f").unwrap().bytes().await.unwrap_err().to_string();
    assert!(error.contains(&elsewhere.url) && error.contains("allow_origin"), "{error}");

    let nowhere = Bridge::connect(nats.url()).await.unwrap();
    let message = message_with_link(&nats, &nowhere, &(allowed.url.clone() + "/x"), "").await;
    assert_eq!(kind(message.payload("f").unwrap().bytes().await), ErrorKind::LinkRefused);
    assert_eq!(allowed.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_link_is_reported_or_refused() {
    let nats = NatsServer::start();
    let server = Scripted::start(ok("hello"), false).await;
    let bridge = receiver(&nats, &server.url).await;
    let url = server.url.clone() + "/x";
    let message = message_with_link(&nats, &bridge, &url, "").await;
    let data = message.payload("f").unwrap().fetch().await.unwrap();
    assert_eq!((data.verification(), data.bytes().len()), (Verification::Unverified, 5));
    let message = message_with_link(&nats, &bridge, &url, ",\"size\":7,\"metadata\":{\"sha256\":\"2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824\"}").await;
    let data = message.payload("f").unwrap().fetch().await.unwrap();
    assert_eq!((data.verification(), data.size_mismatch()), (Verification::Digest, Some(7)));
    let message =
        message_with_link(&nats, &bridge, &url, ",\"size\":5,\"metadata\":{\"sha256\":\"none\"}").await;
    let data = message.payload("f").unwrap().fetch().await.unwrap();
    assert_eq!((data.verification(), data.size_mismatch()), (Verification::Unverified, None));

    let strict = Bridge::builder()
        .allow_origin(Origin::parse(&server.url).unwrap())
        .refuse_unverified()
        .connect(nats.url())
        .await
        .unwrap();
    let before = server.connections();
    let message = message_with_link(&nats, &strict, &url, "").await;
    assert_eq!(kind(message.payload("f").unwrap().bytes().await), ErrorKind::LinkUnverified);
    assert_eq!(server.connections(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_a_send_that_fails_are_deleted_and_only_then() {
    let nats = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let files = FileServer::builder().dir(dir.path()).max_file_size(3_000_000).start().await.unwrap();
    let stored = || sizes(dir.path()).len();
    let bridge = Bridge::builder().store(Plik::new(files.url()).unwrap()).connect(nats.url()).await.unwrap();

    // The third is too large for the file server; the two before it are taken back.
    let error = bridge
        .send("s")
        .binary("a", noise(1, 1_200_000))
        .binary("b", noise(2, 1_200_000))
        .binary("c", noise(3, 3_000_001))
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.payload()), (ErrorKind::UploadRejected, Some(2)), "{error:?}");
    assert!(error.cleanup().is_none());
    assert_eq!(stored(), 0);

    // The client has stopped: nothing was handed over.
    let stopped = Bridge::builder().store(Plik::new(files.url()).unwrap()).connect(nats.url()).await.unwrap();
    stopped.drain().await.unwrap();
    assert_eq!(kind(stopped.send("s").binary("a", noise(1, 1_200_000)).await), ErrorKind::Disconnected);
    assert_eq!(stored(), 0);

    // Handed over and never confirmed: the message may yet arrive, so the upload stays.
    let unsure = Bridge::builder()
        .store(Plik::new(files.url()).unwrap())
        .delivery(Delivery::Flushed)
        .confirm_timeout(Duration::from_millis(200))
        .connect(nats.url())
        .await
        .unwrap();
    drop(nats);
    assert_eq!(kind(unsure.send("s").binary("a", noise(1, 1_200_000)).await), ErrorKind::Unconfirmed);
    assert_eq!(stored(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_is_dropped_in_the_middle_of_its_uploads_leaves_nothing() {
    let nats = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let files = FileServer::builder().dir(dir.path()).start().await.unwrap();
    let store = Plik::new(files.url()).unwrap().parallel(1);
    let bridge = Bridge::builder().store(store).connect(nats.url()).await.unwrap();
    let (first, second) = (noise(1, 1_200_000), vec![7; 400_000_000]);
    let whole = || sizes(dir.path()).contains(&1_200_000);
    let send = bridge.send("s").binary("first", first).binary("second", second).into_future();
    tokio::select! {
        result = send => panic!("sent before it could be dropped: {result:?}"),
        () = async {
            // The first file is whole, and the second has begun.
            while !(whole() && sizes(dir.path()).len() == 2) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        } => {}
    }
    bridge.drain().await.unwrap();
    assert!(!whole(), "the first file is still there");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !sizes(dir.path()).is_empty() {
        assert!(Instant::now() < deadline, "left behind: {:?}", sizes(dir.path()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The lengths of all files below a folder; one that is deleted meanwhile does not count.
fn sizes(dir: &std::path::Path) -> Vec<u64> {
    let mut sizes = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => dirs.push(entry.path()),
                Ok(metadata) => sizes.push(metadata.len()),
                Err(_) => {}
            }
        }
    }
    sizes
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_longer_than_the_store_said_undo_the_uploads() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let nats = NatsServer::with_config("max_payload: 2KB");
    let deleted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&deleted);
    #[derive(Debug)]
    struct Liar(HandlerStore);
    impl LinkStore for Liar {
        fn upload(
            &self,
            upload: natsbridge::link::Upload,
        ) -> natsbridge::link::BoxFuture<'_, Result<natsbridge::link::Uploaded, Error>> {
            self.0.upload(upload)
        }
        fn delete<'a>(&'a self, handle: &'a str) -> natsbridge::link::BoxFuture<'a, Result<(), Error>> {
            self.0.delete(handle)
        }
        fn download<'a>(
            &'a self,
            url: &'a natsbridge::link::LinkUrl,
        ) -> natsbridge::link::BoxFuture<'a, Result<natsbridge::link::Download, Error>> {
            self.0.download(url)
        }
        fn max_url_len(&self, _: &str) -> usize {
            10
        }
    }
    let store = HandlerStore::new()
        .max_url_bytes(10_000)
        .on_upload(|name, _| async move { Ok(format!("http://files/{name}{}", "x".repeat(3000))) })
        .on_delete(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
    let bridge = Bridge::builder().store(Liar(store)).connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("s").await.unwrap();
    let error = bridge.send("s").binary("a", noise(1, 1900)).await.unwrap_err();
    assert_eq!((error.kind(), error.limit()), (ErrorKind::MessageTooLarge, Some(2048)));
    assert_eq!(deleted.load(Ordering::SeqCst), 1);
    assert!(crate::nothing_arrives(&bridge, &mut messages, "s").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shot_links_are_gone_after_the_first_reader_and_kept_ones_are_not() {
    let nats = NatsServer::start();
    let files = FileServer::builder().start().await.unwrap();
    let bytes = noise(1, 1_200_000);
    for (lifetime, second) in
        [(Lifetime::Keep(Duration::from_secs(3600)), None), (Lifetime::OneShot, Some(ErrorKind::LinkGone))]
    {
        let store = Plik::new(files.url()).unwrap().lifetime(lifetime);
        let bridge = Bridge::builder().store(store).connect(nats.url()).await.unwrap();
        let mut messages = bridge.subscribe("s").await.unwrap();
        bridge.send("s").binary("a", bytes.clone()).await.unwrap();
        let message = next(&mut messages).await.unwrap();
        let payload = message.payload("a").unwrap();
        assert_eq!(payload.bytes().await.unwrap(), bytes);
        assert_eq!(payload.bytes().await.err().map(|error| error.kind()), second);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn digest_and_expiry_follow_the_callers_own_metadata_and_replace_its_entries_of_these_names() {
    let nats = NatsServer::start();
    let files = FileServer::builder().start().await.unwrap();
    let without_lifetime =
        HandlerStore::new().on_upload(|_, _| async { Ok("http://files.example/1".to_owned()) });
    for (bridge, expected) in [
        (
            Bridge::builder().store(Plik::new(files.url()).unwrap()),
            ["b", "a", "sha256", "expiresAt"].as_slice(),
        ),
        (Bridge::builder().store(without_lifetime), &["b", "a", "sha256"]),
    ] {
        let bridge = bridge.threshold(3).connect(nats.url()).await.unwrap();
        let sent = bridge
            .send("s")
            .binary("f", "hello")
            .payload_metadata("expiresAt", "never")
            .payload_metadata("b", 1)
            .payload_metadata("sha256", "mine")
            .payload_metadata("a", 2)
            .await
            .unwrap();
        let metadata = sent.envelope().payload(0).unwrap().metadata();
        let names = ["a", "b", "sha256", "expiresAt"];
        let found: Vec<&str> = metadata.as_json().split('"').filter(|part| names.contains(part)).collect();
        assert_eq!(found, expected, "{metadata:?}");
        let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(metadata.get::<String>("sha256").as_deref(), Some(digest));
        assert_ne!(metadata.get::<String>("expiresAt").as_deref(), Some("never"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_download_domain_that_a_plik_announces_is_allowed() {
    let nats = NatsServer::start();
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    // The same server under another address.
    let files = FileServer::builder()
        .listen(([0, 0, 0, 0], port).into())
        .download_domain(format!("http://127.0.0.2:{port}"))
        .start()
        .await
        .unwrap();
    assert_eq!(files.addr().port(), port);
    let plik = format!("http://127.0.0.1:{port}");
    let bridge = Bridge::builder().store(Plik::new(&plik).unwrap()).connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("s").await.unwrap();
    let bytes = noise(1, 1_200_000);
    let receipt = bridge.send("s").binary("a", bytes.clone()).await.unwrap();
    assert!(receipt.payloads()[0].url.as_ref().unwrap().as_str().starts_with("http://127.0.0.2:"));
    let message = next(&mut messages).await.unwrap();
    assert_eq!(message.payload("a").unwrap().bytes().await.unwrap(), bytes);

    // A receiver that has not uploaded anything asks that server what it announces.
    let receiver = Bridge::builder().store(Plik::new(&plik).unwrap()).connect(nats.url()).await.unwrap();
    let mut messages = receiver.subscribe("s").await.unwrap();
    bridge.send("s").binary("a", bytes.clone()).await.unwrap();
    assert_eq!(next(&mut messages).await.unwrap().payload("a").unwrap().bytes().await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_belongs_to_one_store_and_a_store_without_downloads_leaves_them_to_http() {
    let nats = NatsServer::start();
    let server = Scripted::start(ok("hello"), false).await;
    let url = server.url.clone() + "/x";
    let anything = || HandlerStore::new().on_download(|_| async { Ok("anything".into()) });

    let trusting = Bridge::builder().trusted_store(anything()).connect(nats.url()).await.unwrap();
    let message = message_with_link(&nats, &trusting, &url, "").await;
    assert_eq!(message.payload("f").unwrap().bytes().await.unwrap(), "anything");
    let replaced =
        Bridge::builder().trusted_store(anything()).store(anything()).connect(nats.url()).await.unwrap();
    let message = message_with_link(&nats, &replaced, &url, "").await;
    assert_eq!(kind(message.payload("f").unwrap().bytes().await), ErrorKind::LinkRefused);
    assert_eq!(server.connections(), 0);

    let upload_only =
        HandlerStore::new().on_upload(|name, _| async move { Ok(format!("http://files/{name}")) });
    let bridge = Bridge::builder()
        .store(upload_only)
        .allow_origin(Origin::parse(&server.url).unwrap())
        .connect(nats.url())
        .await
        .unwrap();
    let message = message_with_link(&nats, &bridge, &url, "").await;
    assert_eq!(message.payload("f").unwrap().bytes().await.unwrap(), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_and_messages_do_not_show_links_in_debug_output() {
    let nats = NatsServer::start();
    let files = FileServer::builder().start().await.unwrap();
    let bridge = Bridge::builder().store(Plik::new(files.url()).unwrap()).connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("s").await.unwrap();
    let receipt = bridge.send("s").binary("a", noise(1, 1_200_000)).await.unwrap();
    let url = receipt.payloads()[0].url.clone().unwrap();
    let path = url.path_and_query().to_owned();
    assert!(path.len() > 20);
    let message = next(&mut messages).await.unwrap();
    assert_eq!(message.payload("a").unwrap().url().as_deref(), Some(url.as_str()));
    let shown = format!("{receipt:?} {:?} {message:?} {bridge:?} {url:?} {url}", receipt.envelope());
    assert!(!shown.contains(&path), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_not_refused_for_good_because_the_file_server_is_busy() {
    let nats = NatsServer::start();
    let elsewhere = Scripted::start(ok("hello"), false).await;
    for (config, expected) in [
        (response("503 Busy", "Content-Length: 0\r\n", ""), ErrorKind::LinkUnavailable),
        (String::new(), ErrorKind::LinkUnavailable),
        (response("404 Not Found", "Content-Length: 0\r\n", ""), ErrorKind::LinkRefused),
        (response("403 Forbidden", "Content-Length: 0\r\n", ""), ErrorKind::LinkRefused),
        (ok("{}"), ErrorKind::LinkRefused),
    ] {
        let server = Scripted::start(config.clone(), false).await;
        let store = Plik::new(&server.url).unwrap();
        let bridge = Bridge::builder().store(store).connect(nats.url()).await.unwrap();
        let message = message_with_link(&nats, &bridge, &(elsewhere.url.clone() + "/x"), "").await;
        // The second time nobody asks.
        for _ in 0..2 {
            let error = message.payload("f").unwrap().bytes().await.unwrap_err();
            assert_eq!(error.kind(), expected, "{config}: {error}");
            let retryable = expected == ErrorKind::LinkUnavailable;
            assert_eq!((error.is_retryable(), error.retry_after().is_some()), (retryable, retryable));
        }
        assert_eq!((server.connections(), elsewhere.connections()), (1, 0), "{config}");
    }
}
