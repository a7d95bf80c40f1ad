//! `smartsend` and `smartreceive`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use natsbridge::fileserver::FileServer;
use natsbridge::{
    Dialect, Error, ErrorKind, SmartData, SmartReceive, SmartSend, blocking, smartreceive, smartsend,
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
    let fields = natsbridge::PayloadFields::new("t", "table", payload.direct());
    let mut out = bytes::BytesMut::new();
    natsbridge::encode(Dialect::Camel, &natsbridge::MessageFields::default(), &[fields], &mut out);
    let message = out.freeze();
    for (bytes, expected) in [(1, Some(ErrorKind::LimitExceeded)), (1_000_000, None)] {
        let options = SmartReceive::new().limits(natsbridge::Limits::default().table_len(bytes));
        let received = smartreceive(message.clone(), options).await.unwrap();
        assert_eq!(received.payloads[0].1.as_ref().err().map(Error::kind), expected);
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
