//! Messages that base64 makes too large for the server.

use natsbridge::{Dialect, Transport};
use natsbridge_conformance::{Peer, sha256};
use serde_json::json;

use crate::items::noise;
use crate::{World, name, next};

/// Two payloads below the dialect's threshold that do not fit one message; the larger, and in camelCase the only one
/// that would do, comes second.
const SIZES: [(Dialect, usize, usize); 2] =
    [(Dialect::Camel, 300_000, 900_000), (Dialect::Snake, 450_000, 480_000)];

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_does_not_fit_is_promoted_to_a_link_both_ways() {
    let world = World::start().await;
    let bridge = world.bridge().await;
    let promoted = [Transport::Direct, Transport::Link, Transport::Direct];
    for peer in Peer::ALL {
        let subject = format!("promotion.{peer:?}");
        let mut receiving = world.peer(peer, "receive", &subject, &["--count", "2"]);
        receiving.ready().await.unwrap();
        for (dialect, smaller, larger) in SIZES {
            let message = bridge.send(&subject).dialect(dialect).binary("smaller", noise(1, smaller));
            let message = message.binary("larger", noise(2, larger)).text("text", "beside");
            let receipt = message.flushed().await.unwrap();
            let transports: Vec<_> = receipt.payloads().iter().map(|payload| payload.transport).collect();
            assert_eq!(transports, promoted);
        }
        for (line, (_, smaller, larger)) in receiving.values().await.unwrap().iter().zip(SIZES) {
            for (index, bytes) in [noise(1, smaller), noise(2, larger)].iter().enumerate() {
                assert_eq!(line["payloads"][index]["sha256"], sha256(bytes), "{peer:?}");
            }
            assert_eq!(line["payloads"][2]["text"], "beside");
        }

        let mut messages = bridge.subscribe(&subject).await.unwrap();
        for (dialect, smaller, larger) in SIZES {
            std::fs::write(world.path().join("smaller"), noise(1, smaller)).unwrap();
            std::fs::write(world.path().join("larger"), noise(2, larger)).unwrap();
            let spec = json!([
                {"dataname": "smaller", "type": "binary", "path": "smaller"},
                {"dataname": "larger", "type": "binary", "path": "larger"},
                {"dataname": "text", "type": "text", "text": "beside"},
            ]);
            std::fs::write(world.path().join("spec.json"), spec.to_string()).unwrap();
            let args = ["--spec", "spec.json", "--dialect", name(dialect)];
            let sent = world.peer(peer, "send", &subject, &args).values().await.unwrap().remove(0);
            assert!(sent["bytes"].as_u64().unwrap() <= 1_048_576);
            let message = next(&mut messages).await;
            assert_eq!(message.dialect(), dialect);
            let transports: Vec<_> = message.payloads().map(|payload| payload.transport().unwrap()).collect();
            assert_eq!(transports, promoted, "{peer:?}");
            let all = message.fetch_all().await;
            assert!(all[0].as_ref().unwrap().bytes() == &noise(1, smaller));
            assert!(all[1].as_ref().unwrap().bytes() == &noise(2, larger));
            assert_eq!(all[2].as_ref().unwrap().text().unwrap(), "beside");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_at_the_threshold_is_a_link_and_one_below_is_not() {
    let world = World::start().await;
    let bridge = world.bridge().await;
    assert_eq!(Dialect::Snake.default_threshold(), 500_000);
    for peer in Peer::ALL {
        std::fs::write(world.path().join("below"), noise(3, 499_999)).unwrap();
        std::fs::write(world.path().join("at"), noise(4, 500_000)).unwrap();
        let spec = r#"[{"dataname":"a","type":"binary","path":"below"},{"dataname":"b","type":"binary","path":"at"}]"#;
        std::fs::write(world.path().join("spec.json"), spec).unwrap();
        let mut messages = bridge.subscribe("threshold").await.unwrap();
        world
            .peer(peer, "send", "threshold", &["--spec", "spec.json", "--dialect", "snake"])
            .values()
            .await
            .unwrap();
        let message = next(&mut messages).await;
        let transports: Vec<_> = message.payloads().map(|payload| payload.transport().unwrap()).collect();
        assert_eq!(transports, [Transport::Direct, Transport::Link], "{peer:?}");
        assert!(message.fetch_all().await.iter().all(Result::is_ok));
    }
}
