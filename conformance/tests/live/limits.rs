//! Messages that base64 makes too large for the server.

use natsbridge::{Dialect, Transport};
use natsbridge_conformance::{Peer, sha256};
use serde_json::json;

use crate::items::noise;
use crate::{DIALECTS, World, name, next};

/// Below the threshold of camelCase, and too large for a message; above that of snake_case.
const LEN: usize = 900_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_does_not_fit_is_promoted_to_a_link_both_ways() {
    let world = World::start().await;
    let bridge = world.bridge().await;
    let (large, half) = (noise(1, LEN), noise(2, 300_000));
    std::fs::write(world.path().join("large"), &large).unwrap();
    std::fs::write(world.path().join("half"), &half).unwrap();
    let spec = json!([
        {"dataname": "half", "type": "binary", "path": "half"},
        {"dataname": "large", "type": "binary", "path": "large"},
        {"dataname": "text", "type": "text", "text": "beside"},
    ]);
    std::fs::write(world.path().join("spec.json"), spec.to_string()).unwrap();
    for peer in Peer::ALL {
        for dialect in DIALECTS {
            let subject = format!("promotion.{peer:?}.{}", name(dialect));
            let mut receiving = world.peer(peer, "receive", &subject, &["--count", "1"]);
            receiving.ready().await.unwrap();
            let receipt = bridge
                .send(&subject)
                .dialect(dialect)
                .binary("half", half.clone())
                .binary("large", large.clone())
                .text("text", "beside")
                .flushed()
                .await
                .unwrap();
            let transports: Vec<_> = receipt.payloads().iter().map(|payload| payload.transport).collect();
            assert_eq!(transports, [Transport::Direct, Transport::Link, Transport::Direct]);
            let line = receiving.values().await.unwrap().remove(0);
            for (index, bytes) in [&half, &large].into_iter().enumerate() {
                assert_eq!(line["payloads"][index]["sha256"], sha256(bytes), "{peer:?}");
            }
            assert_eq!(line["payloads"][2]["text"], "beside");

            let mut messages = bridge.subscribe(&subject).await.unwrap();
            let args = ["--spec", "spec.json", "--dialect", name(dialect)];
            let sent = world.peer(peer, "send", &subject, &args).values().await.unwrap().remove(0);
            assert!(sent["bytes"].as_u64().unwrap() <= 1_048_576);
            let message = next(&mut messages).await;
            assert_eq!(message.dialect(), dialect);
            let transports: Vec<_> = message.payloads().map(|payload| payload.transport().unwrap()).collect();
            assert_eq!(transports, [Transport::Direct, Transport::Link, Transport::Direct]);
            let all = message.fetch_all().await;
            assert!(all[0].as_ref().unwrap().bytes() == &half && all[1].as_ref().unwrap().bytes() == &large);
            assert_eq!(all[2].as_ref().unwrap().text().unwrap(), "beside");
        }
    }
    // At the threshold exactly: a link; a byte below it: inside the message.
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
