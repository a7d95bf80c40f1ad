//! `smartsend` and `smartreceive`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow_array::builder::StringViewBuilder;
use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _};
use natsbridge::fileserver::FileServer;
use natsbridge::{
    Data, Dialect, Error, ErrorKind, Limits, MessageFields, PayloadFields, SmartData, SmartReceive,
    SmartSend, blocking, encode, smartreceive, smartsend,
};
use serde_json::json;

use crate::nats::NatsServer;
use crate::{kind, noise};

#[tokio::test(flavor = "multi_thread")]
async fn the_ports_calls_go_there_and_back_with_their_defaults() {
    let nats = NatsServer::start();
    let files = FileServer::builder().start().await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut messages = client.subscribe("/chat/room1").await.unwrap();
    client.flush().await.unwrap();
    let bytes = noise(1, 1_100_000);
    for dialect in [Dialect::Camel, Dialect::Snake] {
        let options = || SmartSend::new().nats_url(nats.url()).fileserver_url(files.url()).dialect(dialect);
        let envelope = smartsend(
            "/chat/room1",
            [
                ("message", "Hello World".into(), "text"),
                ("config", json!({"wifi": "x"}).into(), "dictionary"),
                ("photo", vec![1u8, 2, 3].into(), "image"),
                ("file", bytes.clone().into(), "binary"),
            ],
            options()
                .msg_purpose("request")
                .receiver_name("r")
                .receiver_id("i")
                .reply_to("/a")
                .reply_to_msg_id("cmd-001"),
        )
        .await
        .unwrap();
        assert_eq!((envelope.sender_name(), envelope.msg_purpose()), ("NATSBridge", "request"));
        assert!(envelope.payload(3).unwrap().url().unwrap().starts_with(files.url()));
        assert_eq!(envelope.payload(0).unwrap().url(), None);

        let message = messages.next().await.unwrap();
        let received = smartreceive(&message, SmartReceive::new().allow_origin(files.url())).await.unwrap();
        assert_eq!(received.correlation_id(), envelope.correlation_id());
        assert_eq!((received.reply_to(), received.reply_to_msg_id()), ("/a", "cmd-001"));
        assert_eq!((received.receiver_name(), received.receiver_id()), ("r", "i"));
        let values: Vec<_> = received
            .payloads
            .into_iter()
            .map(|(name, data, type_name)| (name, data.unwrap(), type_name))
            .collect();
        assert_eq!(values[0], ("message".into(), "Hello World".into(), "text".into()));
        assert_eq!(values[1].1, json!({"wifi": "x"}).into());
        assert_eq!(values[2].1, SmartData::Bytes(Bytes::from_static(&[1, 2, 3])));
        assert_eq!(values[3].1, SmartData::from(bytes.clone()));

        // Not from anywhere else than the default file server.
        let received = smartreceive(message, SmartReceive::new()).await.unwrap();
        assert_eq!(received.payloads[3].1.as_ref().unwrap_err().kind(), ErrorKind::LinkRefused);
        assert!(received.payloads[2].1.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_handlers_upload_and_download() {
    let nats = NatsServer::start();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut messages = client.subscribe("s").await.unwrap();
    client.flush().await.unwrap();
    let shelf: Arc<Mutex<HashMap<String, Bytes>>> = Arc::default();
    let (put, get) = (Arc::clone(&shelf), Arc::clone(&shelf));
    let options = SmartSend::new().nats_url(nats.url()).size_threshold(10).fileserver_upload_handler(
        move |name: String, bytes: Bytes| {
            let url = format!("https://objects.example/{name}");
            put.lock().unwrap().insert(url.clone(), bytes);
            async move { Ok(url) }
        },
    );
    smartsend(
        "s",
        [("big", vec![7u8; 10].into(), "binary"), ("small", vec![7u8; 9].into(), "binary")],
        options,
    )
    .await
    .unwrap();
    let message = messages.next().await.unwrap();
    let options = SmartReceive::new().max_retries(2).base_delay(1).max_delay(2).fileserver_download_handler(
        move |url: String| {
            let found = get.lock().unwrap().get(&url).cloned();
            async move { found.ok_or_else(|| Error::new(ErrorKind::LinkGone, "no such object")) }
        },
    );
    let received = smartreceive(message, options).await.unwrap();
    let lens: Vec<_> = received.payloads.iter().map(|(_, data, _)| data.as_ref().unwrap().clone()).collect();
    assert_eq!(lens, [SmartData::from(vec![7; 10]), SmartData::from(vec![7; 9])]);
    assert_eq!(shelf.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_receiver_hold_for_its_tables() {
    let batch = arrow_array::record_batch!(("id", Int64, [1, 2, 3])).unwrap();
    let payload = natsbridge::Payload::table("t", &[batch]).unwrap();
    let fields = PayloadFields::new("t", "table", payload.direct());
    let mut out = BytesMut::new();
    encode(Dialect::Camel, &MessageFields::default(), &[fields], &mut out);
    let message = out.freeze();
    for (bytes, expected) in [(1, Some(ErrorKind::LimitExceeded)), (1_000_000, None)] {
        let options = SmartReceive::new().limits(Limits::default().table_len(bytes));
        let received = smartreceive(message.clone(), options).await.unwrap();
        assert_eq!(received.payloads[0].1.as_ref().err().map(Error::kind), expected);
    }
}

/// A message with these payloads, each a type and its bytes.
fn message(payloads: &[(&str, Vec<u8>)]) -> Bytes {
    let fields: Vec<_> = payloads
        .iter()
        .map(|(type_name, bytes)| PayloadFields::new("p", type_name, Data::Bytes(bytes)))
        .collect();
    let mut out = BytesMut::new();
    encode(Dialect::Camel, &MessageFields::default(), &fields, &mut out);
    out.freeze()
}

/// So many zeros, compressed.
fn zeros(rows: usize) -> Vec<u8> {
    let zeros = Arc::new(Int32Array::from(vec![0; rows])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("zeros", zeros)]).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let mut writer = StreamWriter::try_new_with_options(vec![], &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// So many rows of one text of so many bytes.
fn shared(rows: usize, len: usize) -> Vec<u8> {
    let mut views = StringViewBuilder::new().with_deduplicate_strings();
    (0..rows).for_each(|_| views.append_value("x".repeat(len)));
    let batch = RecordBatch::try_from_iter([("shared", Arc::new(views.finish()) as ArrayRef)]).unwrap();
    natsbridge::Payload::table("t", &[batch]).unwrap().chunks().concat()
}

/// Which payloads of a message were read; the others were refused for a limit.
async fn read(message: impl Into<natsbridge::bridge::SmartMessage>, options: SmartReceive) -> Vec<bool> {
    let read = |data: &Result<SmartData, Error>| match data {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
            false
        }
    };
    smartreceive(message, options).await.unwrap().payloads.iter().map(|(_, data, _)| read(data)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_values_of_a_message_hold_is_bounded_together() {
    let table = |rows| ("table", zeros(rows));
    let json = |type_name, text: &str| (type_name, text.as_bytes().to_vec());
    // Large enough to be read on another thread, and few values in much text.
    let long = format!("[\"{}\",1]", "x".repeat(200_000));
    type Set = fn(Limits, u64) -> Limits;
    let cases: [(&str, _, _, Set); 6] = [
        // The values, and a bit for each row.
        ("bytes", [table(1000), table(10)], [4125, 42], Limits::table_len),
        ("buffers", [table(1000), table(10)], [3, 3], Limits::table_buffers),
        ("columns", [table(1000), table(10)], [1, 1], |limits, count| limits.table_columns(count as usize)),
        ("values", [json("dictionary", "[1,2,{}]"), json("dictionary", "1")], [4, 1], Limits::json_values),
        ("rows", [json("jsontable", "[{\"a\":1}]"), json("table", "[{}]")], [3, 2], Limits::json_values),
        ("long", [json("dictionary", &long), json("dictionary", "[]")], [3, 1], Limits::json_values),
    ];
    for (what, [large, small], [each, last], set) in cases {
        let message = message(&[large.clone(), large.clone(), large, small]);
        for (limit, expected) in [
            (each - 1, [false, false, false, last < each]),
            (2 * each + last - 1, [true, true, false, false]),
            (2 * each + last, [true, true, last == each, last < each]),
            (3 * each + last - 1, [true, true, true, false]),
            (3 * each + last, [true; 4]),
        ] {
            let options = SmartReceive::new().limits(set(Limits::default(), limit));
            assert_eq!(read(message.clone(), options).await, expected, "{what}, {limit}");
        }
    }
    // A damaged table is unpacked up to there, and counts as what it claims; nothing can be kept of it.
    let mut damaged = zeros(1000);
    let frame = damaged.windows(4).position(|four| four == b"\x28\xB5\x2F\xFD").unwrap();
    damaged[frame] ^= 1;
    let tables = message(&[("table", damaged), table(10)]);
    for limit in [4125 + 41, 4125 + 42] {
        let options = SmartReceive::new().limits(Limits::default().table_len(limit));
        let payloads = smartreceive(tables.clone(), options).await.unwrap().payloads;
        assert_eq!(payloads[0].1.as_ref().unwrap_err().kind(), ErrorKind::InvalidTable);
        assert_eq!(payloads[1].1.is_ok(), limit == 4125 + 42);
    }
    // Of one whose rows share too much, what it has without that: a million bytes in views of 16 each.
    let tables = message(&[("table", shared(1000, 1000)), table(10)]);
    for limit in [16_000 + 1000 + 125 + 41, 16_000 + 1000 + 125 + 42] {
        let options = SmartReceive::new().limits(Limits::default().table_len(limit));
        assert_eq!(read(tables.clone(), options).await, [false, limit == 17_125 + 42]);
    }
    // What was refused for another reason holds nothing.
    let broken = json("dictionary", "[1,2,3,");
    let message = message(&[broken.clone(), broken, json("dictionary", "[1,2,3]")]);
    let options = SmartReceive::new().limits(Limits::default().json_values(4));
    assert!(smartreceive(message, options).await.unwrap().payloads[2].1.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_links_of_a_message_together_are_bounded() {
    let link = |size: &str| {
        format!(r#"{{"dataname":"p","type":"binary","transport":"link","data":"http://h/f"{size}}}"#)
    };
    for size in ["", r#","size":1000"#] {
        let message = format!("{{\"payloads\":[{}]}}", vec![link(size); 3].join(","));
        for (total, last) in [(2999, false), (3000, true)] {
            let options = SmartReceive::new()
                .limits(Limits::default().download_total(total))
                .fileserver_download_handler(async |_| Ok(Bytes::from(vec![0; 1000])));
            assert_eq!(read(message.as_str(), options).await, [true, true, last], "{total}{size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_links_of_a_message_together_have_an_hour() {
    let link = r#"{"dataname":"p","type":"binary","transport":"link","data":"http://h/f"}"#;
    let here = r#"{"dataname":"p","type":"binary","transport":"direct","data":"AAAA"}"#;
    let message = format!("{{\"payloads\":[{},{here}]}}", vec![link; 100].join(","));
    let options = SmartReceive::new().fileserver_download_handler(async |_| std::future::pending().await);
    let start = tokio::time::Instant::now();
    let payloads = smartreceive(message, options).await.unwrap().payloads;
    let (last, links) = payloads.split_last().unwrap();
    for (index, (_, data, _)) in links.iter().enumerate() {
        let error = data.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.payload()), (ErrorKind::TimedOut, Some(index)));
    }
    assert!(last.1.is_ok(), "what is in the message itself needs no link");
    let hour = std::time::Duration::from_secs(3600);
    assert!((hour..hour * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn large_payloads_do_not_hold_up_the_runtime() {
    let json = |len: usize| ("dictionary", format!("[{}1]", "1,".repeat(len / 2)).into_bytes());
    // Shorter ones count together.
    let many = || (0..30).map(|_| json(100_000)).collect();
    for (payloads, elsewhere) in [
        (vec![json(1000), json(1000)], false),
        (vec![json(3_000_000)], true),
        (many(), true),
        (vec![("table", zeros(20_000_000))], true),
    ] {
        let message = message(&payloads);
        let waits = |_| smartreceive(message.clone(), SmartReceive::new()).now_or_never().is_none();
        // Where this thread loses the processor, the other one may be done first, but not each time.
        assert_eq!((0..5).any(waits), elsewhere);
        let received = smartreceive(message.clone(), SmartReceive::new()).await.unwrap();
        assert!(received.payloads.iter().all(|(_, data, _)| data.is_ok()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_does_not_suit_its_type_is_refused_before_connecting() {
    for (data, type_name) in [
        (SmartData::from("text"), "image"),
        (SmartData::from(json!(1)), "text"),
        (SmartData::from(json!({})), "jsontable"),
        (SmartData::from(vec![0xff]), "text"),
        (SmartData::from(vec![1]), ""),
        (SmartData::from(b"{".as_slice()), "dictionary"),
    ] {
        let error =
            smartsend("s", [("a", data, type_name)], SmartSend::new().nats_url("nats://127.0.0.1:1")).await;
        assert_eq!(kind(error), ErrorKind::InvalidInput, "{type_name}");
    }
    let error =
        smartsend("a b", [("a", "b".into(), "text")], SmartSend::new().nats_url("nats://127.0.0.1:1")).await;
    assert_eq!(kind(error), ErrorKind::InvalidSubject);
}

#[test]
fn the_blocking_calls_need_no_runtime_and_refuse_to_block_one() {
    let nats = NatsServer::start();
    let envelope = blocking::smartsend(
        "s",
        [("message", "Hello".into(), "text")],
        SmartSend::new().nats_url(nats.url()).correlation_id("c-1"),
    )
    .unwrap();
    let text = String::from_utf8(envelope.as_bytes().to_vec()).unwrap();
    let received = blocking::smartreceive(text, SmartReceive::new()).unwrap();
    assert_eq!(received.correlation_id(), "c-1");
    assert_eq!(received.payloads[0].1.as_ref().unwrap(), &SmartData::from("Hello"));

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { blocking::smartreceive("{}", SmartReceive::new()).unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::Misuse);
}

#[tokio::test]
async fn debug_output_shows_no_credentials_links_or_payloads() {
    let files = FileServer::builder().start().await.unwrap();
    let store = natsbridge::link::Plik::new(files.url()).unwrap();
    let upload = natsbridge::link::Upload::new("SECRETNAME", "x");
    let uploaded = natsbridge::link::LinkStore::upload(&store, upload).await.unwrap();
    let id = uploaded.url().path_and_query().split('/').nth(2).unwrap().to_owned();
    let handler = natsbridge::link::HandlerStore::new().on_download(|_| async { Ok("SECRET".into()) });
    let url = natsbridge::link::LinkUrl::parse("http://h/SECRET").unwrap();
    let (expected, options) = (Default::default(), Default::default());
    let fetched = natsbridge::link::fetch(&handler, &url, &expected, &options).await.unwrap();
    let send = SmartSend::new().nats_url("nats://u:SECRET@h").fileserver_url("http://u:SECRET@h");
    let receive = SmartReceive::new().allow_origin("http://u:SECRET@h");
    let message: natsbridge::bridge::SmartMessage = r#"{"data":"http://files/SECRET"}"#.into();
    let shown = format!("{files:?} {fetched:?} {send:?} {receive:?} {message:?}");
    assert!(!shown.contains("SECRET") && !shown.contains(&id), "{shown}");
    // What is no secret is still there.
    assert!(shown.contains(files.url()) && shown.contains("30 bytes"), "{shown}");
}
