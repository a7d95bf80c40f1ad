//! A peer sends, the engine receives.

use natsbridge::link::Lifetime;
use natsbridge::{
    Data, ErrorKind, MessageFields, Metadata, PayloadFields, SmartReceive, Transport, Verification, encode,
    smartreceive,
};
use natsbridge_conformance::{Peer, rewritten, sha256};
use serde_json::{Value, json};

use crate::compare::{check_metadata, same, same_fields};
use crate::items::{self, Item};
use crate::{DIALECTS, World, name, next, tables};

/// Texts that a command line can carry: without NUL.
const SENDER: &str = "Grüße 👋 \u{2028} שלום e\u{301} \"\\\n\u{1}\u{7f}";
const METADATA: &str = r#"{"z":1,"a":[1,2.5,null,{"größe":"👋\u0000\n"}],"9":18446744073709551615}"#;

async fn all_types_arrive_from(peer: Peer) {
    let world = World::start().await;
    let bridge = world.bridge().await;
    let (small, large) = (items::small(), items::large());
    let specs = [items::spec(world.path(), "small", &small), items::spec(world.path(), "large", &large)];
    for dialect in DIALECTS {
        for (items, spec, threshold) in
            [(&small, &specs[0], None), (&large, &specs[1], None), (&small, &specs[0], Some("0"))]
        {
            let mut messages = bridge.subscribe("/all/types").await.unwrap();
            let mut args = vec!["--spec", spec, "--dialect", name(dialect), "--metadata", METADATA];
            args.extend(["--sender-name", SENDER, "--receiver-name", "you", "--purpose", "NACK"]);
            args.extend([
                "--reply-to",
                "/chat/answers",
                "--reply-to-msg-id",
                "cmd-001",
                "--correlation-id",
                "c ü",
            ]);
            args.extend(threshold.iter().flat_map(|bytes| ["--threshold", bytes]));
            let sent = world.peer(peer, "send", "/all/types", &args).values().await.unwrap();
            let message = next(&mut messages).await;
            same_fields(&message, &sent[0]);
            assert_eq!(message.dialect(), dialect);
            assert_eq!((message.sender_name(), message.receiver_name()), (SENDER, "you"));
            assert_eq!((message.msg_purpose(), message.reply_to()), ("NACK", "/chat/answers"));
            assert_eq!((message.reply_to_msg_id(), message.correlation_id()), ("cmd-001", "c ü"));
            assert_eq!((message.send_to(), message.broker_url()), ("/all/types", world.nats.url()));
            assert!(message.sent_at().is_some());
            assert_eq!(message.metadata().as_json(), METADATA);
            assert_eq!(message.payload_count(), items.len());
            for ((item, payload), sent) in
                items.iter().zip(message.payloads()).zip(sent[0]["payloads"].as_array().unwrap())
            {
                assert_eq!(payload.type_name(), item.type_name(dialect));
                assert_eq!((&sent["id"], &sent["type"]), (&json!(payload.id()), &json!(payload.type_name())));
                same_item(item, &payload).await;
                let link = items.len() == large.len() || threshold.is_some();
                assert_eq!(payload.transport() == Some(Transport::Link), link, "{:?}", payload.dataname());
            }
            // The engine writes the message as the peer did, byte for byte.
            let again = rewritten(&message).unwrap();
            assert!(
                again == *message.as_bytes(),
                "written in another way: {:.2000}",
                String::from_utf8_lossy(&again)
            );
        }
    }
}

async fn same_item(item: &Item, payload: &natsbridge::ReceivedPayload<'_>) {
    let name = item.payload.dataname();
    assert_eq!(payload.dataname(), name);
    let data = payload.fetch().await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
    let by_link = payload.transport() == Some(Transport::Link);
    assert_eq!(data.verification(), if by_link { Verification::Digest } else { Verification::Inline });
    assert_eq!((data.size_mismatch(), payload.size()), (None, Some(data.bytes().len() as u64)));
    // A peer spells the numbers in what it serialises in its own way.
    let serialised = matches!(payload.type_name(), "dictionary" | "jsontable");
    if !serialised {
        assert_eq!(sha256(data.bytes()), sha256(&item.bytes()), "{name:?}");
        check_metadata(item, payload);
    }
    match &item.expected {
        Some(("text", text)) => assert_eq!(data.text().unwrap(), text),
        Some(("rows", rows)) if payload.type_name().ends_with("table") && !data.is_json_rows() => {
            let found: Value = data.record_batches().unwrap().iter().flat_map(tables::rows).collect();
            same(rows, &found, name);
        }
        Some((_, value)) => same(value, &data.json_value().unwrap(), name),
        None => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_types_in_both_dialects_arrive_from_python() {
    all_types_arrive_from(Peer::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_types_in_both_dialects_arrive_from_node() {
    all_types_arrive_from(Peer::Node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_shot_upload_of_a_peer_is_read_once() {
    let world = World::start().await;
    let bridge = world.bridge().await;
    std::fs::write(
        world.path().join("spec.json"),
        r#"[{"dataname":"once","type":"text","text":"only once"}]"#,
    )
    .unwrap();
    for peer in Peer::ALL {
        let mut messages = bridge.subscribe("once").await.unwrap();
        let args = ["--spec", "spec.json", "--threshold", "1", "--one-shot"];
        world.peer(peer, "send", "once", &args).values().await.unwrap();
        let message = next(&mut messages).await;
        let payload = message.payload("once").unwrap();
        assert_eq!(payload.metadata().get("sha256"), Some(sha256(b"only once")), "{peer:?}");
        assert_eq!(payload.text().await.unwrap(), "only once");
        assert_eq!(payload.text().await.unwrap_err().kind(), ErrorKind::LinkGone);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_shot_upload_of_the_engine_is_read_once() {
    let world = World::start().await;
    let store = natsbridge::link::Plik::new(world.files.url()).unwrap().lifetime(Lifetime::OneShot);
    let bridge =
        natsbridge::Bridge::builder().store(store).threshold(1).connect(world.nats.url()).await.unwrap();
    for peer in Peer::ALL {
        let mut receiving = world.peer(peer, "receive", "once", &["--count", "1"]);
        receiving.ready().await.unwrap();
        let receipt = bridge.send("once").text("once", "only once").flushed().await.unwrap();
        let lines = receiving.values().await.unwrap();
        assert_eq!(lines[0]["payloads"][0]["text"], "only once");
        assert_eq!(lines[0]["payloads"][0]["sha256"], sha256(b"only once"));
        let again = smartreceive(
            receipt.envelope().as_bytes().clone(),
            SmartReceive::new().allow_origin(world.files.url()),
        );
        let gone = again.await.unwrap().payloads.remove(0).1.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::LinkGone);
    }
}

/// No port sends such payloads, so the message is made here.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_payload_leaves_the_others_readable() {
    use ErrorKind::{DigestMismatch, InvalidJson, InvalidPayload, InvalidTable, InvalidText};
    let world = World::start().await;
    let bridge = world.bridge().await;
    let payloads: [(&str, &[u8], Option<ErrorKind>); 10] = [
        ("text", b"ok", None),
        ("text", b"Gr\xfc\xdfe", Some(InvalidText)),
        ("dictionary", b"{'a':1}", Some(InvalidJson)),
        ("dictionary", b"{\"a\":1e400}", Some(InvalidJson)),
        ("jsontable", b"[1]", Some(InvalidJson)),
        ("jsontable", b"{}", Some(InvalidJson)),
        ("table", b"ARROW1 not", Some(InvalidTable)),
        ("", b"no type", Some(InvalidPayload)),
        ("binary", b"abc", Some(DigestMismatch)),
        ("dictionary", b"{\"a\":1}", None),
    ];
    let wrong_digest = Metadata::from_value(json!({"sha256": "0".repeat(64)})).unwrap();
    let entries = payloads.map(|(type_name, bytes, kind)| {
        let mut entry = PayloadFields::new("payload", type_name, Data::Bytes(bytes));
        entry.metadata = (kind == Some(DigestMismatch)).then_some(&wrong_digest);
        entry
    });
    for dialect in DIALECTS {
        let mut body = bytes::BytesMut::new();
        encode(dialect, &MessageFields::default(), &entries, &mut body);
        let body = body.freeze();
        let subject = format!("bad.{}", name(dialect));
        let mut messages = bridge.subscribe(&subject).await.unwrap();
        let mut receiving = Peer::ALL.map(|peer| world.peer(peer, "receive", &subject, &["--count", "1"]));
        for peer in &mut receiving {
            peer.ready().await.unwrap();
        }
        bridge.client().publish(subject, body).await.unwrap();

        let message = next(&mut messages).await;
        for (index, (_, _, expected)) in payloads.iter().enumerate() {
            let payload = message.payload_at(index).unwrap();
            let read = match payload.type_name() {
                "text" => payload.text().await.err(),
                "dictionary" | "jsontable" => payload.json_value().await.err(),
                "table" | "arrowtable" => payload.record_batches().await.err(),
                _ => payload.bytes().await.err(),
            };
            assert_eq!(read.as_ref().map(|error| error.kind()), *expected, "payload {index}: {read:?}");
            assert_eq!(read.and_then(|error| error.payload()), expected.map(|_| index));
        }
        for peer in receiving {
            let outcome = peer.finish().await.unwrap();
            let line = natsbridge_conformance::parse_line(&outcome.lines[0]).unwrap();
            for (index, (_, _, expected)) in payloads.iter().enumerate() {
                let payload = &line["payloads"][index];
                assert_eq!(payload.get("error").is_some(), expected.is_some(), "payload {index}: {payload}");
            }
        }
    }
}
