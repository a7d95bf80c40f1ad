//! Many messages on one subject: the same rules as a send, at another cost.

use std::sync::Arc;

use arrow_array::{Array as _, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use natsbridge::fileserver::FileServer;
use natsbridge::link::Plik;
use natsbridge::{Bridge, Dialect, ErrorKind, Metadata, Payload, PayloadRef, PayloadType, Transport};
use serde_json::json;

use crate::nats::NatsServer;
use crate::{kind, next, noise};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_what_a_send_would_have_sent() {
    let nats = NatsServer::start();
    for dialect in [Dialect::Camel, Dialect::Snake] {
        let bridge =
            Bridge::builder().dialect(dialect).sender_name("user-1").connect(nats.url()).await.unwrap();
        let mut messages = bridge.subscribe("/telemetry/1").await.unwrap();
        let mut publisher = bridge
            .publisher("/telemetry/1")
            .purpose("updateStatus")
            .receiver("user-2")
            .receiver_id("id-2")
            .reply_to("/replies")
            .reply_to_msg_id("m-0")
            .metadata("lang", "en\u{1}")
            .header("X-Trace", "abc")
            .build()
            .unwrap();
        let mut metadata = Metadata::default();
        metadata.insert("unit", "°C").unwrap();
        let table = Payload::table_ipc("rows", noise(1, 100));
        let blob = noise(2, 30_000);
        let published = publisher
            .publish(&[
                PayloadRef::text("say \"hi\"", "Grüße 😀\n").with_metadata(&metadata),
                PayloadRef::from(&table),
                PayloadRef::binary("blob", &blob),
                PayloadRef::dictionary_json("config", "{\"n\": 1}").unwrap(),
                PayloadRef::other("x-custom", "other", b"").unwrap(),
            ])
            .await
            .unwrap();
        let message = next(&mut messages).await.unwrap();
        assert_eq!(message.dialect(), dialect);
        assert_eq!(message.correlation_id(), published.correlation_id());
        assert_eq!(message.msg_id(), published.msg_id());
        assert_eq!(message.as_bytes().len(), published.message_len());
        assert!(published.receipt().is_none());
        assert_eq!((message.sender_name(), message.sender_id()), ("user-1", bridge.sender_id()));
        assert_eq!((message.send_to(), message.msg_purpose()), ("/telemetry/1", "updateStatus"));
        assert_eq!((message.receiver_name(), message.receiver_id()), ("user-2", "id-2"));
        assert_eq!((message.reply_to(), message.reply_to_msg_id()), ("/replies", "m-0"));
        assert_eq!(message.broker_url(), nats.url());
        assert_eq!(message.metadata().get::<String>("lang").as_deref(), Some("en\u{1}"));
        assert_eq!(message.headers().unwrap().get("X-Trace").unwrap().as_str(), "abc");
        let age = std::time::SystemTime::now().duration_since(message.sent_at().unwrap()).unwrap();
        assert!(age.as_secs() < 60, "{age:?}");
        let text = message.payload("say \"hi\"").unwrap();
        assert_eq!(text.text().await.unwrap(), "Grüße 😀\n");
        assert_eq!(text.metadata().get::<String>("unit").as_deref(), Some("°C"));
        let rows = message.payload("rows").unwrap();
        assert_eq!(rows.type_name(), if dialect == Dialect::Camel { "table" } else { "arrowtable" });
        assert_eq!(rows.bytes().await.unwrap(), noise(1, 100));
        assert_eq!(message.payload("blob").unwrap().bytes().await.unwrap(), blob);
        assert_eq!(message.payload("config").unwrap().json_value().await.unwrap(), json!({"n": 1}));
        let other = message.payload("other").unwrap();
        assert_eq!((other.type_name(), other.payload_type()), ("x-custom", PayloadType::Other));
        let ids: std::collections::HashSet<&str> =
            message.envelope().payloads().map(|one| one.id()).collect();
        assert_eq!(ids.len(), 5);

        // The fields in common stay, ids are new ones.
        let second = publisher.publish(&[]).await.unwrap();
        assert_ne!(second.msg_id(), published.msg_id());
        assert_ne!(second.correlation_id(), published.correlation_id());
        let third = publisher.publish_correlated("c-\"3\"", &[]).await.unwrap();
        assert_eq!(third.correlation_id(), "c-\"3\"");
        let fourth = publisher.publish_dictionary("reading", &json!({"celsius": 21.5})).await.unwrap();
        let mut clone = publisher.clone();
        let fifth = clone.publish(&[PayloadRef::text("t", "x")]).await.unwrap();
        for published in [second, third, fourth, fifth] {
            let message = next(&mut messages).await.unwrap();
            assert_eq!(message.msg_id(), published.msg_id());
            assert_eq!(message.correlation_id(), published.correlation_id());
            assert_eq!(message.metadata().get::<String>("lang").as_deref(), Some("en\u{1}"));
            if let Ok(reading) = message.payload("reading") {
                assert_eq!(reading.json_value().await.unwrap(), json!({"celsius": 21.5}));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_keep_their_order_and_their_bytes_while_buffers_are_used_again() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("many").await.unwrap();
    let mut publisher = bridge.publisher("many").buffer_bytes(200_000).build().unwrap();
    let len = |n: u64| [0, 10, 700, 5000, 40_000, 300_000][(n % 6) as usize];
    let sent = tokio::spawn(async move {
        for n in 0..600 {
            publisher.publish(&[PayloadRef::binary("n", &noise(n, len(n)))]).await.unwrap();
        }
    });
    let mut kept = Vec::new();
    for n in 0..600 {
        let message = next(&mut messages).await.unwrap();
        let payload = message.payload_at(0).unwrap().fetch().await.unwrap();
        assert_eq!(payload.bytes(), &noise(n, len(n)), "{n}");
        if n % 7 == 0 {
            kept.push((n, payload, message));
        }
    }
    sent.await.unwrap();
    // What is kept is not written over by later messages.
    for (n, payload, message) in kept {
        assert_eq!(payload.bytes(), &noise(n, len(n)), "{n}");
        assert_eq!(message.into_owned().payload_at(0).unwrap().bytes().await.unwrap(), noise(n, len(n)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_travels_by_link_or_fails_with_needed_and_limit() {
    let nats = NatsServer::start();
    let files = FileServer::builder().start().await.unwrap();
    let plik = Plik::new(files.url()).unwrap();
    let bridge = Bridge::builder().store(plik).connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("links").await.unwrap();
    let mut publisher = bridge.publisher("links").threshold(900_000).build().unwrap();
    for len in [800_000, 900_000] {
        let bytes = noise(len as u64, len);
        let small = PayloadRef::text("small", "ok");
        let published = publisher.publish(&[small, PayloadRef::binary("large", &bytes)]).await.unwrap();
        let transports: Vec<_> =
            published.receipt().unwrap().payloads().iter().map(|payload| payload.transport).collect();
        assert_eq!(transports, [Transport::Direct, Transport::Link]);
        let message = next(&mut messages).await.unwrap();
        assert_eq!(
            (message.msg_id(), message.correlation_id()),
            (published.msg_id(), published.correlation_id())
        );
        assert_eq!(message.payload("large").unwrap().bytes().await.unwrap(), bytes);
        assert_eq!(message.payload("small").unwrap().text().await.unwrap(), "ok");
    }

    let lone = Bridge::connect(nats.url()).await.unwrap();
    for (len, threshold) in [(800_000, 1_000_000), (900_000, 900_000)] {
        let bytes = noise(1, len);
        let mut publisher = lone.publisher("links").threshold(threshold).build().unwrap();
        let published = publisher.publish(&[PayloadRef::binary("large", &bytes)]).await.unwrap_err();
        let sent = lone.send("links").threshold(threshold).binary("large", bytes).await.unwrap_err();
        assert_eq!(published.kind(), ErrorKind::MessageTooLarge);
        assert_eq!((published.needed(), published.limit()), (sent.needed(), sent.limit()));
        assert_eq!(published.payload(), sent.payload());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_byte_that_fits_is_published_directly() {
    let nats = NatsServer::with_config("max_payload: 100000");
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("exact").await.unwrap();
    // Escapes make the bound that is tried first much too large.
    let name = "\u{1}".repeat(1000);
    let mut publisher = bridge.publisher("exact").header("X", "y").build().unwrap();
    let mut len = 60_000;
    let mut longest = 0;
    while let Ok(published) = publisher.publish(&[PayloadRef::binary(&name, &noise(3, len))]).await {
        longest = published.message_len();
        assert_eq!(next(&mut messages).await.unwrap().as_bytes().len(), longest);
        // To the limit in one step, then byte by byte.
        len += ((100_000 - longest) / 4 * 3).saturating_sub(60).max(1);
    }
    let headers_len = "NATS/1.0\r\nX: y\r\n\r\n".len();
    assert!((99_996..=100_000).contains(&(longest + headers_len)), "{longest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_found_when_the_publisher_is_built_or_before_anything_is_sent() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    assert_eq!(kind(bridge.publisher("a.*").build()), ErrorKind::InvalidSubject);
    assert_eq!(kind(bridge.publisher("").build()), ErrorKind::InvalidSubject);
    assert_eq!(kind(bridge.publisher("a").reply_to("b c").build()), ErrorKind::InvalidSubject);
    assert_eq!(kind(bridge.publisher("a").header("X", "a\r\nb").build()), ErrorKind::InvalidHeader);
    assert_eq!(kind(PayloadRef::dictionary_json("d", "{\"a\":}")), ErrorKind::InvalidInput);
    assert_eq!(kind(PayloadRef::other("text", "t", b"\xff")), ErrorKind::InvalidInput);
    assert_eq!(kind(PayloadRef::other("jsontable", "t", b"[1]")), ErrorKind::InvalidInput);
    assert_eq!(kind(PayloadRef::other("", "t", b"")), ErrorKind::InvalidInput);
    let mut publisher = bridge.publisher("a").build().unwrap();
    let deep = (0..200).fold(json!(1), |value, _| json!([value]));
    assert_eq!(kind(publisher.publish_dictionary("d", &deep).await), ErrorKind::InvalidInput);
    let mut messages = bridge.subscribe("a").await.unwrap();
    publisher.publish_dictionary("d", &json!({"ok": true})).await.unwrap();
    assert_eq!(next(&mut messages).await.unwrap().payload_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_where_it_was_decoded() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut messages = bridge.subscribe("tables").await.unwrap();
    let mut publisher = bridge.publisher("tables").build().unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    for rows in [10, 50_000] {
        let column = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        let table = Payload::table("rows", std::slice::from_ref(&batch)).unwrap();
        publisher.publish(&[PayloadRef::text("before", "x"), PayloadRef::from(&table)]).await.unwrap();
        let message = next(&mut messages).await.unwrap();
        let data = message.payload("rows").unwrap().fetch().await.unwrap();
        let read = data.record_batches().unwrap();
        assert_eq!(read, [batch]);
        let values = read[0].column(0).to_data().buffers()[0].as_ptr();
        assert!(data.bytes().as_ptr_range().contains(&values), "{rows} rows were copied");
    }
}
