//! Messages through a real server, with and without links.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use natsbridge::fileserver::FileServer;
use natsbridge::link::Plik;
use natsbridge::{Bridge, Delivery, Dialect, ErrorKind, Payload, PayloadType, Transport, Verification};
use serde_json::json;

use crate::nats::NatsServer;
use crate::{kind, next, noise};

fn table(rows: i64) -> RecordBatch {
    let schema =
        Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
    let names: StringArray = (0..rows).map(|row| (row % 3 > 0).then(|| format!("row {row}"))).collect();
    RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(Int64Array::from_iter_values(0..rows)), Arc::new(names)],
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_seven_types_small_and_large_arrive_intact_in_both_dialects() {
    let nats = NatsServer::start();
    let files = FileServer::builder().start().await.unwrap();
    for dialect in [Dialect::Camel, Dialect::Snake] {
        let sender = Bridge::builder()
            .store(Plik::new(files.url()).unwrap())
            .dialect(dialect)
            .sender_name("user-1")
            .delivery(Delivery::Flushed)
            .connect(nats.url())
            .await
            .unwrap();
        let receiver = Bridge::builder()
            .allow_origin(natsbridge::link::Origin::parse(files.url()).unwrap())
            .connect(nats.url())
            .await
            .unwrap();
        let mut messages = receiver.subscribe("/chat/room1").await.unwrap();

        let blobs: Vec<(Payload, Vec<u8>)> = ["image", "audio", "video", "binary", "x-custom"]
            .into_iter()
            .enumerate()
            .flat_map(|(seed, name)| {
                [0, 1, 3000, 1_500_000].map(|len| {
                    let bytes = noise(seed as u64 * 7 + len as u64, len);
                    let payload =
                        Payload::other(name, format!("{name} {len}/ü?#.bin"), bytes.clone()).unwrap();
                    (payload, bytes)
                })
            })
            .collect();
        let long_text = "Grüße 😀 \"\\\u{1}\n".repeat(100_000);
        let receipt = sender
            .send("/chat/room1")
            .text("short", "Hello 😀\n")
            .text("long", long_text.clone())
            .dictionary(
                "config",
                &json!({"wifi": "MyNetwork", "interval": 60, "nested": {"a": [1, 2.5, null]}}),
            )
            .table("small_table", &[table(5), table(2)])
            .table("large_table", &[table(100_000)])
            .json_table("rows", &json!([{"id": 1}, {"id": 2}]))
            .payload_metadata("origin", "sensor-7")
            .payloads(blobs.iter().map(|(payload, _)| payload.clone()))
            .metadata("lang", "en")
            .purpose("chat")
            .receiver("user-2")
            .receiver_id("id-2")
            .reply_to("/chat/replies")
            .reply_to_msg_id("m-0")
            .correlation_id("c-1")
            .header("X-Trace", "abc")
            .await
            .unwrap();
        assert_eq!(receipt.delivery(), Delivery::Flushed);
        assert_eq!(receipt.envelope().correlation_id(), "c-1");

        let message = next(&mut messages).await.unwrap();
        assert_eq!(message.envelope().as_bytes(), receipt.envelope().as_bytes());
        assert_eq!(message.dialect(), dialect);
        assert_eq!((message.sender_name(), message.receiver_name()), ("user-1", "user-2"));
        assert_eq!((message.send_to(), message.msg_purpose()), ("/chat/room1", "chat"));
        assert_eq!((message.reply_to(), message.reply_to_msg_id()), ("/chat/replies", "m-0"));
        assert_eq!(message.receiver_id(), "id-2");
        assert_eq!(message.sender_id(), sender.sender_id());
        assert_eq!(message.broker_url(), nats.url());
        assert_eq!(message.metadata().get::<String>("lang").as_deref(), Some("en"));
        assert_eq!(message.headers().unwrap().get("X-Trace").unwrap().as_str(), "abc");
        let age = std::time::SystemTime::now().duration_since(message.sent_at().unwrap()).unwrap();
        assert!(age.as_secs() < 60, "{age:?}");

        assert_eq!(message.payload("short").unwrap().text().await.unwrap(), "Hello 😀\n");
        assert_eq!(message.payload("long").unwrap().text().await.unwrap(), long_text);
        assert_eq!(message.payload("config").unwrap().json_value().await.unwrap()["interval"], 60);
        let small = message.payload("small_table").unwrap();
        assert_eq!(small.type_name(), if dialect == Dialect::Camel { "table" } else { "arrowtable" });
        assert_eq!(small.record_batches().await.unwrap(), [table(5), table(2)]);
        assert_eq!(message.payload("large_table").unwrap().record_batches().await.unwrap(), [table(100_000)]);
        let rows = message.payload("rows").unwrap();
        assert_eq!(rows.json_value().await.unwrap(), json!([{"id": 1}, {"id": 2}]));
        assert_eq!(rows.metadata().get::<String>("origin").as_deref(), Some("sensor-7"));

        let all = message.fetch_all().await;
        for (payload, (expected, (sent, view))) in all[6..]
            .iter()
            .zip(blobs.iter().zip(receipt.payloads()[6..].iter().zip(message.payloads().skip(6))))
        {
            let data = payload.as_ref().unwrap();
            assert_eq!(data.bytes(), &expected.1);
            assert_eq!(view.dataname(), expected.0.dataname());
            let large = expected.1.len() as u64 >= dialect.default_threshold();
            assert_eq!(sent.transport, if large { Transport::Link } else { Transport::Direct });
            assert_eq!(data.verification(), if large { Verification::Digest } else { Verification::Inline });
            assert_eq!(view.metadata().get::<String>("expiresAt").is_some(), large);
            assert_eq!(view.encoding(), if large { "none" } else { "base64" });
        }
        assert_eq!(message.payloads().last().unwrap().payload_type(), PayloadType::Other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_for_the_server_is_promoted_to_links_or_refused() {
    let nats = NatsServer::start();
    let files = FileServer::builder().start().await.unwrap();
    let with_store =
        Bridge::builder().store(Plik::new(files.url()).unwrap()).connect(nats.url()).await.unwrap();
    let mut messages = with_store.subscribe("big").await.unwrap();
    assert_eq!(with_store.max_payload(), Some(1_048_576));

    let (a, b) = (noise(1, 900_000), noise(2, 300_000));
    let receipt =
        with_store.send("big").binary("a", a.clone()).binary("b", b.clone()).flushed().await.unwrap();
    let transports: Vec<_> = receipt.payloads().iter().map(|payload| payload.transport).collect();
    assert_eq!(transports, [Transport::Link, Transport::Direct]);
    let message = next(&mut messages).await.unwrap();
    assert_eq!(message.payload("a").unwrap().bytes().await.unwrap(), a);
    assert_eq!(message.payload("b").unwrap().bytes().await.unwrap(), b);

    let without = Bridge::connect(nats.url()).await.unwrap();
    let error = without.send("big").binary("a", a.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    assert!(error.needed().unwrap() > 1_200_000);
    assert_eq!(error.limit(), Some(1_048_576));
    let error = without.send("big").binary("a", noise(1, 1_000_000)).await.unwrap_err();
    assert_eq!((error.kind(), error.payload()), (ErrorKind::MessageTooLarge, Some(0)));

    // To the byte: the largest that fits goes, one more does not, with and without headers.
    for header in [false, true] {
        let send = |len: usize| {
            let message = without
                .send("big")
                .correlation_id("c")
                .msg_id("m")
                .threshold(u64::MAX)
                .binary("a", noise(3, len));
            if header { message.header("Name", "value").flushed() } else { message.flushed() }
        };
        let base = send(0).await.unwrap().message_len()
            + if header { "NATS/1.0\r\nName: value\r\n\r\n".len() } else { 0 };
        // `size` grows from one digit to six.
        let largest = (1_048_576 - base - 5) / 4 * 3;
        let receipt = send(largest).await.unwrap();
        assert!(1_048_576 - receipt.message_len() < 4 + 30);
        assert_eq!(kind(send(largest + 1).await), ErrorKind::MessageTooLarge);
        for len in [0, largest] {
            let message = next(&mut messages).await.unwrap();
            assert_eq!(message.payload("a").unwrap().bytes().await.unwrap().len(), len);
        }
    }
    assert_eq!(without.counters().server_errors, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_payloads_do_not_fit_even_as_links_and_nothing_is_uploaded() {
    let nats = NatsServer::start();
    let files = FileServer::builder().max_files_per_upload(1).start().await.unwrap();
    let bridge = Bridge::builder().store(Plik::new(files.url()).unwrap()).connect(nats.url()).await.unwrap();
    let payloads = (0..4000).map(|n| Payload::binary(format!("p{n}"), vec![0; 600]));
    let error = bridge.send("many").payloads(payloads).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    assert!(error.needed() > error.limit());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_message_is_reported_and_the_stream_goes_on() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("s").await.unwrap();
    for broken in
        ["", "{", "not json", "{\"payloads\":1}", "{\"payloads\":[],\"msgId\":\"a\",\"msg_id\":\"b\"}"]
    {
        bridge.client().publish("s", broken.into()).await.unwrap();
        let error = next(&mut messages).await.unwrap_err();
        assert_eq!((error.kind(), error.subject()), (ErrorKind::Malformed, Some("s")));
    }
    bridge.client().publish("s", "{\"payloads\":[{\"type\":\"text\",\"transport\":\"carrier pigeon\",\"data\":\"\"},{\"type\":\"text\",\"transport\":\"direct\",\"data\":\"b2s=\"}]}".into()).await.unwrap();
    let message = next(&mut messages).await.unwrap();
    let all = message.fetch_all().await;
    assert_eq!(all[0].as_ref().unwrap_err().kind(), ErrorKind::InvalidPayload);
    assert_eq!(all[0].as_ref().unwrap_err().payload(), Some(0));
    assert_eq!(all[1].as_ref().unwrap().text().unwrap(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_live_when_subscribe_returns() {
    let nats = NatsServer::start();
    let (sender, receiver) =
        (Bridge::connect(nats.url()).await.unwrap(), Bridge::connect(nats.url()).await.unwrap());
    for round in 0..50 {
        let subject = format!("live.{round}");
        let mut messages = receiver.subscribe(&subject).await.unwrap();
        sender.send(&subject).text("n", round.to_string()).flushed().await.unwrap();
        assert_eq!(
            next(&mut messages).await.unwrap().payload("n").unwrap().text().await.unwrap(),
            round.to_string()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_queue_group_gets_each_message() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut first = bridge.queue_subscribe("work", "workers").await.unwrap();
    let mut second = bridge.queue_subscribe("work", "workers").await.unwrap();
    for n in 0..40 {
        bridge.send("work").text("n", n.to_string()).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..40 {
        let message = tokio::select! {
            message = next(&mut first) => message.unwrap(),
            message = next(&mut second) => message.unwrap(),
        };
        seen.push(message.payload("n").unwrap().text().await.unwrap().parse::<u32>().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn wildcards_receive_and_slashes_are_one_token() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut all = bridge.subscribe(">").await.unwrap();
    let mut one_token = bridge.subscribe("/chat/*").await.unwrap();
    bridge.send("/chat/room1").text("a", "").await.unwrap();
    bridge.send("/chat/*.x").text("b", "").await.unwrap();
    assert_eq!(next(&mut all).await.unwrap().subject(), "/chat/room1");
    assert_eq!(next(&mut all).await.unwrap().subject(), "/chat/*.x");
    assert!(crate::nothing_arrives(&bridge, &mut one_token, "/chat/*").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_reported_before_anything_is_sent() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe(">").await.unwrap();
    for subject in ["", "a b", "a..b", "a.*", "a.>", "a\n"] {
        assert_eq!(kind(bridge.send(subject).text("a", "b").await), ErrorKind::InvalidSubject, "{subject:?}");
    }
    assert_eq!(kind(bridge.send("s").reply_to("a.*").await), ErrorKind::InvalidSubject);
    assert_eq!(kind(bridge.subscribe("a.>.b").await), ErrorKind::InvalidSubject);
    assert_eq!(kind(bridge.queue_subscribe("a", "q q").await), ErrorKind::InvalidSubject);
    assert_eq!(kind(bridge.send("s").header("a", "b\r\nc: d").await), ErrorKind::InvalidHeader);
    let error = bridge.send("s").text("ok", "").other("", "name", "x").await.unwrap_err();
    assert_eq!((error.kind(), error.payload()), (ErrorKind::InvalidInput, Some(1)));
    let mut map = std::collections::HashMap::new();
    map.insert(vec![1], 2);
    assert_eq!(kind(bridge.send("s").dictionary("d", &map).await), ErrorKind::InvalidInput);
    assert_eq!(kind(bridge.send("s").other("dictionary", "d", "{'a':1}").await), ErrorKind::InvalidInput);
    assert_eq!(kind(bridge.send("s").other("text", "d", vec![0xff]).await), ErrorKind::InvalidInput);
    assert_eq!(kind(bridge.send("s").table("t", &[]).await), ErrorKind::InvalidInput);
    assert_eq!(kind(bridge.send("s").payload_metadata("a", 1).await), ErrorKind::Misuse);
    assert!(crate::nothing_arrives(&bridge, &mut messages, "marker").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_message_and_into_owned_work() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("ack").await.unwrap();
    bridge.send("ack").purpose("ACK").await.unwrap();
    let message = next(&mut messages).await.unwrap();
    let before = message.envelope().as_bytes().as_ptr();
    let message = message.into_owned();
    assert_ne!(message.envelope().as_bytes().as_ptr(), before);
    assert_eq!((message.msg_purpose(), message.payload_count()), ("ACK", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_delivers_what_was_sent_and_ends_the_subscriptions() {
    use futures_util::StreamExt as _;
    let nats = NatsServer::start();
    let receiver = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = receiver.subscribe("d").await.unwrap();
    let sender = Bridge::connect(nats.url()).await.unwrap();
    for n in 0..1000 {
        sender.send("d").text("n", n.to_string()).await.unwrap();
    }
    sender.drain().await.unwrap();
    for n in 0..1000 {
        assert_eq!(
            next(&mut messages).await.unwrap().payload("n").unwrap().text().await.unwrap(),
            n.to_string()
        );
    }
    receiver.drain().await.unwrap();
    let end = tokio::time::timeout(std::time::Duration::from_secs(10), messages.next()).await.unwrap();
    assert!(end.is_none());
    assert_eq!(kind(sender.send("d").text("a", "b").await), ErrorKind::Disconnected);
}
