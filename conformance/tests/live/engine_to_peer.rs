//! The engine sends, a peer receives.

use natsbridge::bridge::Receipt;
use natsbridge::{Bridge, Delivery, Dialect, Payload, Transport};
use natsbridge_conformance::{Peer, parse_line};
use serde_json::{Value, json};

use crate::compare::{same_fields, same_payload};
use crate::items::{self, Item};
use crate::{DIALECTS, PEER_TIME, World, name};

async fn send(
    bridge: &Bridge,
    subject: &str,
    items: &[Item],
    dialect: Dialect,
    threshold: Option<u64>,
) -> Receipt {
    let message = bridge
        .send(subject)
        .payloads(items.iter().map(|item| item.payload.clone()))
        .dialect(dialect)
        .threshold(threshold.unwrap_or_else(|| dialect.default_threshold()))
        .sender_name(items::TRICKY.concat())
        .receiver("ü\u{2028}👋")
        .receiver_id("id \0 /")
        .reply_to("/chat/answers")
        .reply_to_msg_id("cmd-001")
        .purpose("updateStatus")
        .metadata("z", json!({"b": [1, 2.5], "a": null}))
        .metadata("größe\0", "👋");
    message.await.unwrap()
}

async fn all_types_reach(peer: Peer) {
    let world = World::start().await;
    let bridge = world.builder().delivery(Delivery::Flushed).connect(world.nats.url()).await.unwrap();
    let (small, large) = (items::small(), items::large());
    // As the planner decides, and everything as a link, the empty payloads too.
    let rounds = [(&small, None), (&large, None), (&small, Some(0))];
    let mut receiving = world.peer(peer, "receive", "/all/types", &["--count", "6", "--out", &world.out()]);
    receiving.ready().await.unwrap();

    let mut receipts = Vec::new();
    for dialect in DIALECTS {
        for (items, threshold) in &rounds {
            receipts.push((send(&bridge, "/all/types", items, dialect, *threshold).await, *items));
        }
    }
    let lines = receiving.values().await.unwrap();
    assert_eq!(lines.len(), receipts.len());
    for (round, ((receipt, items), line)) in receipts.iter().zip(&lines).enumerate() {
        let envelope = receipt.envelope();
        same_fields(envelope, line);
        let found = line["payloads"].as_array().unwrap();
        assert_eq!((found.len(), envelope.payload_count()), (items.len(), items.len()));
        for ((item, entry), line) in items.iter().zip(envelope.payloads()).zip(found) {
            same_payload(item, &entry, envelope.dialect(), line);
            let link = round % 3 > 0;
            assert_eq!(entry.transport() == Some(Transport::Link), link, "{:?}", entry.dataname());
        }
    }

    // The peer writes a message of each dialect as the engine did, byte for byte.
    let direct: Vec<_> =
        receipts.iter().step_by(rounds.len()).map(|(receipt, _)| receipt.envelope()).collect();
    for (envelope, dialect) in direct.iter().zip(DIALECTS) {
        assert_eq!(envelope.dialect(), dialect);
        std::fs::write(world.path().join(name(dialect)), envelope.as_bytes()).unwrap();
    }
    let args = ["decode", "--reencode", "camel", "snake"];
    let lines = peer.spawn(world.path(), PEER_TIME, args).unwrap().values().await.unwrap();
    for (envelope, lines) in direct.iter().zip(lines.chunks(2)) {
        let again = lines[1]["reencoded"].as_str().unwrap();
        assert!(again.as_bytes() == envelope.as_bytes(), "written in another way: {again:.2000}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_types_in_both_dialects_reach_python() {
    all_types_reach(Peer::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_types_in_both_dialects_reach_node() {
    all_types_reach(Peer::Node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_payload_from_the_engine_leaves_the_others_readable() {
    let world = World::start().await;
    let bridge = world.bridge().await;
    for peer in Peer::ALL {
        let subject = format!("bad.{peer:?}");
        let mut receiving = world.peer(peer, "receive", &subject, &["--count", "1", "--timeout", "20"]);
        receiving.ready().await.unwrap();
        bridge
            .send(&subject)
            .text("before", "ok")
            .payload(Payload::table_ipc("bad", "not Arrow at all"))
            .binary("wrong digest", "abc")
            .payload_metadata("sha256", "0".repeat(64))
            .text("after", "ok")
            .flushed()
            .await
            .unwrap();
        let outcome = receiving.finish().await.unwrap();
        assert!(!outcome.success);
        let line = parse_line(&outcome.lines[0]).unwrap();
        let clauses: Vec<_> =
            line["payloads"].as_array().unwrap().iter().map(|payload| &payload["error"]["clause"]).collect();
        assert_eq!(clauses, [&Value::Null, &json!("TYPE-6"), &json!("VER-5"), &Value::Null], "{peer:?}");
        assert_eq!(
            (&line["payloads"][0]["text"], &line["payloads"][3]["text"]),
            (&json!("ok"), &json!("ok"))
        );
    }
}
