//! A subject that strangers publish to.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use natsbridge::fileserver::FileServer;
use natsbridge::link::{Plik, Policy};
use natsbridge::{
    Bridge, Data, Dialect, Error, ErrorKind, Limits, MessageFields, Payload, PayloadFields, encode,
};

use super::nats::NatsServer;
use super::save::read;
use super::scripted::{Scripted, ok, response};
use super::{capture, kind, next, nothing_arrives};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_may_write_a_receiver_with_the_same_limits_reads() {
    let nats = NatsServer::start();
    let limits = Limits::default().payload_count(3).name_len(100).metadata_len(300);
    let bridge = Bridge::builder().limits(limits).connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("bounds").await.unwrap();
    let (name, long) = ("n".repeat(100), "n".repeat(101));
    let payloads = |count: usize, name: &str| vec![Payload::binary(name, "x"); count];

    bridge.send("bounds").payloads(payloads(3, &name)).sender_name(&name).flushed().await.unwrap();
    assert_eq!(next(&mut messages).await.unwrap().payload_count(), 3);
    let error = bridge.send("bounds").payloads(payloads(4, "a")).flushed().await.unwrap_err();
    assert_eq!((error.kind(), error.needed(), error.limit()), (ErrorKind::InvalidInput, Some(4), Some(3)));
    let error = bridge.send("bounds").payloads(payloads(1, &long)).flushed().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.payload(), error.needed()),
        (ErrorKind::InvalidInput, Some(0), Some(101))
    );
    assert_eq!(kind(bridge.send("bounds").sender_name(&long).flushed().await), ErrorKind::InvalidInput);

    // 128 bytes are kept for what a link adds to a payload's metadata.
    let value = |len: usize| "v".repeat(len - r#"{"k":""}"#.len());
    let text = |len: usize| Payload::text("t", "x").with_metadata("k", value(len)).unwrap();
    bridge.send("bounds").metadata("k", value(300)).payload(text(172)).flushed().await.unwrap();
    next(&mut messages).await.unwrap();
    assert_eq!(
        kind(bridge.send("bounds").metadata("k", value(301)).flushed().await),
        ErrorKind::InvalidInput
    );
    assert_eq!(kind(bridge.send("bounds").payload(text(173)).flushed().await), ErrorKind::InvalidInput);

    let mut publisher = bridge.publisher("bounds").build().unwrap();
    let entry = natsbridge::PayloadRef::binary(&name, b"x");
    publisher.publish(&[entry; 3]).await.unwrap();
    next(&mut messages).await.unwrap();
    assert_eq!(kind(publisher.publish(&[entry; 4]).await), ErrorKind::InvalidInput);
    let entry = natsbridge::PayloadRef::binary(&long, b"x");
    assert_eq!(kind(publisher.publish(&[entry]).await), ErrorKind::InvalidInput);
    assert!(nothing_arrives(&bridge, &mut messages, "bounds").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receivers_limits_reach_every_reading_of_a_payload() {
    let nats = NatsServer::start();
    let sender = Bridge::connect(nats.url()).await.unwrap();
    let limits = Limits::default().json_len(10).table_rows(2).payload_len(1000);
    let receiver = Bridge::builder().limits(limits).connect(nats.url()).await.unwrap();
    let mut messages = receiver.subscribe("limits").await.unwrap();
    let batch = arrow_array::record_batch!(("n", Int32, [1, 2, 3])).unwrap();
    sender
        .send("limits")
        .dictionary("short", &[1, 2])
        .dictionary("long", &vec![1; 100])
        .table("rows", &[batch])
        .binary("bytes", vec![0; 1001])
        .text("fine", "fine")
        .flushed()
        .await
        .unwrap();
    let message = next(&mut messages).await.unwrap();
    let payload = |name| message.payload(name).unwrap();
    assert_eq!(payload("short").json::<Vec<i32>>().await.unwrap(), [1, 2]);
    assert_eq!(kind(payload("long").json_value().await), ErrorKind::LimitExceeded);
    assert_eq!(kind(payload("rows").record_batches().await), ErrorKind::LimitExceeded);
    assert_eq!(kind(payload("bytes").bytes().await), ErrorKind::LimitExceeded);
    assert_eq!(payload("fine").text().await.unwrap(), "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_links_of_a_message_together_are_bounded() {
    let nats = NatsServer::start();
    let files = FileServer::builder().start().await.unwrap();
    let store = || Plik::new(files.url()).unwrap();
    let sender = Bridge::builder().store(store()).threshold(1).connect(nats.url()).await.unwrap();
    for (total, fails) in [(2999, true), (3000, false)] {
        let limits = Limits::default().download_total(total);
        let receiver = Bridge::builder().store(store()).limits(limits).connect(nats.url()).await.unwrap();
        let mut messages = receiver.subscribe("total").await.unwrap();
        let payloads = (0..3).map(|n| Payload::binary(format!("p{n}"), vec![n; 1000]));
        sender.send("total").payloads(payloads).flushed().await.unwrap();
        let message = next(&mut messages).await.unwrap();
        let fetched = message.fetch_all().await;
        let errors: Vec<_> =
            fetched.iter().filter_map(|one| one.as_ref().err().map(|error| error.kind())).collect();
        assert_eq!(errors, if fails { vec![ErrorKind::LimitExceeded] } else { vec![] });
        // Again: what was fetched counts once.
        assert_eq!(message.payload("p0").unwrap().bytes().await.unwrap(), vec![0; 1000]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_as_long_as_is_allowed_whichever_way_it_is_read() {
    const LEN: u64 = 1000;
    let nats = NatsServer::start();
    let body = "b".repeat(LEN as usize);
    let chunked =
        response("200 OK", "Transfer-Encoding: chunked\r\n", &format!("{LEN:x}\r\n{body}\r\n0\r\n\r\n"));
    for (answer, size) in [(ok(&body), ",\"size\":1000"), (ok(&body), ""), (chunked, "")] {
        let server = Scripted::start(answer, false).await;
        let url = &server.url;
        let text = format!(
            r#"{{"payloads":[{{"dataname":"f","type":"binary","transport":"link","data":"{url}/f"{size}}}]}}"#
        );
        for limit in [LEN - 1, LEN] {
            let open = async |limits: Limits| {
                let policy = Policy::none().allow_any().allow_private();
                let bridge =
                    Bridge::builder().policy(policy).limits(limits).connect(nats.url()).await.unwrap();
                read(&bridge, text.clone())
            };
            let holds = |what: &str, read: Result<u64, Error>| match read {
                Ok(len) => assert!(limit == LEN && len == LEN, "{what}{size}: {len} above {limit}"),
                Err(error) => {
                    assert!(limit < LEN && error.kind() == ErrorKind::LimitExceeded, "{what}{size}: {error}");
                    assert_eq!((error.limit(), error.payload()), (Some(limit), Some(0)), "{what}{size}");
                }
            };
            // Neither limit stands in for the other.
            let message = open(Limits::default().download_len(limit).save_len(1)).await;
            let payload = message.payload("f").unwrap();
            holds("bytes", payload.bytes().await.map(|bytes| bytes.len() as u64));

            let message = open(Limits::default().save_len(limit).download_len(1)).await;
            let payload = message.payload("f").unwrap();
            let dir = tempfile::tempdir().unwrap();
            holds("save", payload.save(dir.path().join("f")).await.map(|saved| saved.len));
            assert_eq!(dir.path().read_dir().unwrap().count(), usize::from(limit == LEN));
            let streamed = async {
                let mut reader = payload.reader().await?;
                let read = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
                read.map_err(|error| error.downcast::<Error>().unwrap())
            };
            holds("reader", streamed.await);
        }
        // What the message announces is enough.
        assert_eq!(server.connections(), if size.is_empty() { 6 } else { 3 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_payloads_wait_for_each_other_and_all_are_read() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    /// Takes its time.
    struct Slow;

    impl<'de> serde::Deserialize<'de> for Slow {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            NOW.fetch_sub(1, Ordering::SeqCst);
            String::deserialize(deserializer).map(|_| Self)
        }
    }

    let nats = NatsServer::start();
    for count in [0, 1] {
        let limits = Limits::default().concurrent_decodes(count);
        let bridge = Bridge::builder().limits(limits).connect(nats.url()).await.unwrap();
        let mut messages = bridge.subscribe("slow").await.unwrap();
        let text = "x".repeat(140_000);
        let payloads = (0..5).map(|n| Payload::dictionary(n.to_string(), &text).unwrap());
        bridge.send("slow").payloads(payloads).flushed().await.unwrap();
        let message = next(&mut messages).await.unwrap();
        let all = message.payloads().map(async |payload| payload.json::<Slow>().await.map(drop));
        let all = tokio::time::timeout(Duration::from_secs(30), join_all(all)).await.unwrap();
        assert!(all.iter().all(Result::is_ok) && all.len() == 5, "{all:?}");
        assert_eq!(MOST.load(Ordering::SeqCst), 1);
    }
}

/// What is no message, each for another reason; one of them only because of its last byte.
fn broken() -> Vec<String> {
    let mut long = String::from_utf8(good(1, 20_000)).unwrap();
    long.pop();
    let short = ["", "{", "\u{0}", "{\"payloads\":1}", "{\"payloads\":[]}x"].map(str::to_owned);
    short.into_iter().chain(["[".repeat(2000), long + "x"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_broken_messages_is_errors_and_the_good_ones_arrive() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("flood").await.unwrap();
    let raw = async_nats::connect(nats.url()).await.unwrap();
    let broken = broken();
    for round in 0..2000 {
        raw.publish("flood", broken[round % broken.len()].clone().into()).await.unwrap();
        if round % 500 == 499 {
            raw.flush().await.unwrap();
            let text = format!("good {round}");
            bridge.send("flood").text("t", text).await.unwrap();
        }
    }
    raw.flush().await.unwrap();
    let (mut good, mut bad) = (0, 0);
    while good + bad < 2004 {
        match next(&mut messages).await {
            Ok(message) => {
                good += 1;
                assert!(message.payload("t").unwrap().text().await.unwrap().starts_with("good "));
            }
            Err(error) => {
                bad += 1;
                assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
            }
        }
    }
    assert_eq!((good, bad), (4, 2000));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(nothing_arrives(&bridge, &mut messages, "flood").await);
}

/// A message in the documented order, with so many payloads of so many bytes.
fn good(payload_count: usize, payload_len: usize) -> Vec<u8> {
    let bytes = vec![7; payload_len];
    let payload = PayloadFields::new("p", "binary", Data::Bytes(&bytes));
    let mut out = BytesMut::new();
    encode(Dialect::Camel, &MessageFields::default(), &vec![payload; payload_count], &mut out);
    out.to_vec()
}

/// A good message that is at least as long, by what is no more work than has to be.
fn as_long_as(broken: &[u8]) -> Vec<u8> {
    let (head, tail) = (r#"{"senderName":""#, r#"","payloads":[]}"#);
    let name = "n".repeat(broken.len().saturating_sub(head.len() + tail.len()));
    format!("{head}{name}{tail}").into_bytes()
}

#[test]
fn a_broken_message_costs_no_more_than_a_good_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nats = NatsServer::start();
    let bridge = runtime.block_on(Bridge::connect(nats.url())).unwrap();
    let read = |body: &Bytes| {
        let message = async_nats::Message {
            subject: "flood".into(),
            reply: None,
            payload: body.clone(),
            headers: None,
            status: None,
            description: None,
            length: body.len(),
        };
        bridge.read(message).is_ok()
    };
    let mut pairs: Vec<_> =
        broken().into_iter().map(|broken| (as_long_as(broken.as_bytes()), broken.into_bytes())).collect();
    for good in
        [good(1, 10), good(1, 3000), good(1, 100_000), good(1, 1_000_000), good(8, 20_000), good(1000, 30)]
    {
        let mut wrong = good.clone();
        *wrong.last_mut().unwrap() = b'x';
        let cut = good[..good.len() - 1].to_vec();
        pairs.extend([(good.clone(), wrong), (good, cut)]);
    }
    for (good, broken) in pairs {
        let what = format!(
            "{:?}…, {} bytes",
            &broken[..broken.len().min(20)].escape_ascii().to_string(),
            broken.len()
        );
        let (good, broken) = (Bytes::from(good), Bytes::from(broken));
        // What is kept for the next message is there then.
        assert!(read(&good) && !read(&broken), "{what}");
        let [ours, plain] = [&broken, &good].map(|body| measure(|| _ = black_box(read(body))));
        assert!(ours.count_total <= plain.count_total + 4, "{what}: {ours:?}, a good one {plain:?}");
        assert!(ours.bytes_total <= plain.bytes_total + 512, "{what}: {ours:?}, a good one {plain:?}");

        let rounds = 2_000_000 / broken.len().max(4000);
        let best = |body: &Bytes| {
            let time = |_| {
                let begun = Instant::now();
                (0..rounds).for_each(|_| _ = black_box(read(body)));
                begun.elapsed()
            };
            (0..5).map(time).min().unwrap()
        };
        // Somebody else may have the processor for a while, but not each time.
        let times = (0..5).map(|_| (best(&broken), best(&good)));
        let error = Duration::from_micros(5) * rounds as u32;
        let dear: Vec<_> = times.take_while(|(ours, plain)| *ours > *plain * 2 + error).collect();
        assert!(dear.len() < 5, "{what}: this and a good one took {dear:?} for {rounds}");
    }
}

#[tokio::test] // one thread, whose log is captured
async fn the_log_of_a_flood_is_a_few_lines_that_count_it() {
    const FLOOD: usize = 2000;
    let _capture = tracing::subscriber::set_default(capture::Capture::default());
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("logged").await.unwrap();
    let begun = Instant::now();
    for count in [FLOOD, 1] {
        for body in broken().into_iter().cycle().take(count) {
            bridge.client().publish("logged", body.into()).await.unwrap();
        }
        bridge.client().flush().await.unwrap();
        for _ in 0..count {
            assert_eq!(kind(next(&mut messages).await), ErrorKind::Malformed);
        }
        if count == FLOOD {
            // Then there may be another line, which tells of those before.
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
    }
    let elapsed = begun.elapsed().as_secs() as usize;
    let log = capture::take();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("not an envelope")).collect();
    let count = |line: &&str| line.rsplit_once(" suppressed=").unwrap().1.parse::<usize>().unwrap();
    let suppressed: Vec<_> = lines.iter().map(count).collect();
    assert!(lines.iter().all(|line| line.starts_with("WARN natsbridge::bridge")), "{lines:?}");
    // Eight at once, then one a second; each tells of those since the one before.
    assert!((9..=8 + elapsed).contains(&lines.len()), "{} in {elapsed} s", lines.len());
    assert_eq!(suppressed.len() + suppressed.iter().sum::<usize>(), FLOOD + 1, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_memory_is_a_part_of_a_downloads_time() {
    const LIMIT: Duration = Duration::from_secs(1);
    let nats = NatsServer::start();
    // They fill all the memory there is, and never end.
    let server = Scripted::start(response("200 OK", "Content-Length: 5000000\r\n", "x"), true).await;
    let builder = Bridge::builder().policy(Policy::none().allow_any().allow_private());
    let bridge = builder.download_bytes(1_000_000).download_timeout(LIMIT).connect(nats.url()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let downloads = (0..6).map(|n| {
        let text = format!(
            r#"{{"payloads":[{{"dataname":"f","type":"binary","transport":"link","data":"{}/{n}","size":5000000}}]}}"#,
            server.url
        );
        let (message, path) = (read(&bridge, text), dir.path().join(n.to_string()));
        async move {
            let payload = message.payload("f").unwrap();
            match n % 2 {
                0 => payload.bytes().await.map(|_| ()),
                _ => payload.save(path).await.map(|_| ()),
            }
        }
    });
    for outcome in join_all(downloads).await {
        let error = outcome.unwrap_err();
        assert!(error.kind() == ErrorKind::TimedOut && error.is_retryable(), "{error}");
    }
    // One after the other they would take six times the limit.
    let elapsed = begun.elapsed();
    assert!(elapsed < LIMIT * 4, "{elapsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_fetched_than_is_left_of_a_messages_total() {
    let nats = NatsServer::start();
    let first = Scripted::start(ok(&"a".repeat(900)), false).await;
    // It never ends.
    let second = Scripted::start(response("200 OK", "", &"b".repeat(200)), true).await;
    let third = Scripted::start(ok(&"c".repeat(500)), false).await;
    let policy = Policy::none().allow_any().allow_private();
    let limits = Limits::default().download_total(1000);
    let bridge = Bridge::builder().policy(policy).limits(limits).download_timeout(Duration::from_secs(10));
    let bridge = bridge.connect(nats.url()).await.unwrap();
    let message = |servers: &[&Scripted]| {
        let link = |server: &&Scripted| {
            format!(r#"{{"dataname":"f","type":"binary","transport":"link","data":"{}/f"}}"#, server.url)
        };
        let links: Vec<_> = servers.iter().map(link).collect();
        read(&bridge, format!(r#"{{"payloads":[{}]}}"#, links.join(",")))
    };
    let full = message(&[&first, &second, &third]);
    let payload = |index| full.payload_at(index).unwrap();
    assert_eq!(payload(0).bytes().await.unwrap().len(), 900);
    let begun = Instant::now();
    let error = payload(1).bytes().await.unwrap_err();
    assert_eq!((error.kind(), error.needed()), (ErrorKind::LimitExceeded, Some(1100)), "{error}");
    assert_eq!((error.limit(), error.payload()), (Some(1000), Some(1)));
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Who shares a download with a message that has less left gets it all the same.
    let other = message(&[&third]);
    let other = other.payload("f").unwrap();
    let full = payload(2);
    let (refused, fetched) = tokio::join!(full.bytes(), other.bytes());
    assert_eq!(refused.unwrap_err().needed(), Some(1400));
    assert_eq!(fetched.unwrap().len(), 500);
}

#[tokio::test] // one thread, whose log is captured
async fn the_log_of_a_connection_that_comes_and_goes_is_a_few_lines() {
    let _capture = tracing::subscriber::set_default(capture::Capture::default());
    let events = natsbridge::bridge::Events::new();
    for event in [
        async_nats::Event::Disconnected,
        async_nats::Event::ServerError(async_nats::ServerError::Other("odd".into())),
        async_nats::Event::ServerError(async_nats::ServerError::Other(
            "Permissions Violation for Publish to \"a\"".into(),
        )),
        async_nats::Event::ClientError(async_nats::ClientError::Other("odd".into())),
    ] {
        for _ in 0..500 {
            events.handle(&event);
        }
        let log = capture::take();
        let lines = log.lines().filter(|line| line.starts_with("WARN natsbridge::bridge")).count();
        assert!((8..=10).contains(&lines), "{event}: {lines} lines");
    }
    assert_eq!(events.counters().disconnects, 500);
}
