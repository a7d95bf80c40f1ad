//! Requests and their replies.

use futures_util::StreamExt;
use natsbridge::Bridge;

use crate::servers::{Ended, Nats};

/// Runs a request while a responder answers it.
fn answered(args: &[&str], answer: &'static str) -> Ended {
    let nats = Nats::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bridge = runtime.block_on(Bridge::connect(&nats.url)).unwrap();
    let mut requests = runtime.block_on(bridge.subscribe("service")).unwrap();
    runtime.spawn(async move {
        let request = requests.next().await.unwrap().unwrap();
        assert_eq!(request.msg_purpose(), "request");
        let question = request.payload_at(0).unwrap().text().await.unwrap();
        if answer == "broken" {
            let reply = request.nats_reply().unwrap().to_owned();
            bridge.client().publish(reply, "no JSON".into()).await.unwrap();
            bridge.flush().await.unwrap();
        } else {
            request.reply().text("answer", format!("{question}{answer}")).flushed().await.unwrap();
        }
    });
    nats.run(&[&["request", "service"], args].concat())
}

#[test]
fn the_reply_is_printed_like_a_message() {
    let ended = answered(&["q:text=2+2", "--json"], "=4").expect(0);
    let reply = ended.json();
    assert_eq!(reply["payloads"][0]["text"], "2+2=4");
    assert_eq!(reply["msgPurpose"], "response");
    let ended = answered(&["q:text=2+2"], "=4").expect(0);
    assert!(ended.stdout.contains("| 2+2=4"), "{ended:?}");
}

#[test]
fn a_broken_reply_is_a_bad_message() {
    let ended = answered(&["q:text=", "--json"], "broken").expect(8);
    assert_eq!(ended.json()["error"]["kind"], "Malformed");
}

#[test]
fn nobody_there_and_nobody_answering_are_told_apart() {
    let nats = Nats::start();
    let ended = nats.run(&["request", "nobody", "q:text="]).expect(3);
    assert!(ended.stderr.contains("nobody listens"), "{ended:?}");
    let _silent = crate::servers::Receiving::start(&nats, &["silent"]);
    let ended = nats.run(&["request", "silent", "q:text=", "--timeout=300ms"]).expect(7);
    assert!(ended.stderr.contains("300 ms"), "{ended:?}");
}
