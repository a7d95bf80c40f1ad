//! Request and reply.

use natsbridge::ErrorKind;
use natsbridge_conformance::Peer;

use crate::compare::{same_fields, same_payload};
use crate::items;
use crate::{DIALECTS, World, name, next};

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_asks_and_a_peer_answers() {
    let world = World::start().await;
    let bridge =
        world.builder().sender_name("frontend").sender_id("f-1").connect(world.nats.url()).await.unwrap();
    let items = items::small();
    for peer in Peer::ALL {
        let subject = format!("/api/query/{peer:?}");
        // Everything above 100 bytes comes back as a link.
        let args = ["--count", "2", "--threshold", "100", "--out", &world.out()];
        let mut responding = world.peer(peer, "respond", &subject, &args);
        responding.ready().await.unwrap();
        let mut replies = Vec::new();
        for dialect in DIALECTS {
            let request = bridge.request(&subject).dialect(dialect).reply_to_msg_id("cmd-001");
            let request = request.correlation_id("c-9").msg_id("m-9").threshold(1000);
            let reply = request
                .payloads(items.iter().map(|item| item.payload.clone()))
                .timeout(crate::PEER_TIME)
                .await
                .unwrap();
            assert_eq!(reply.dialect(), dialect);
            assert_eq!(
                (reply.msg_purpose(), reply.correlation_id(), reply.reply_to_msg_id()),
                ("response", "c-9", "m-9")
            );
            assert_eq!(
                (reply.receiver_name(), reply.receiver_id(), reply.reply_to()),
                ("frontend", "f-1", "")
            );
            assert_eq!(reply.send_to(), reply.subject());
            for ((item, payload), data) in items.iter().zip(reply.payloads()).zip(reply.fetch_all().await) {
                assert_eq!(
                    (payload.dataname(), payload.type_name()),
                    (item.payload.dataname(), item.type_name(dialect))
                );
                assert!(data.unwrap().bytes() == &item.bytes(), "{peer:?} {:?}", payload.dataname());
            }
            replies.push(reply);
        }
        // Each request as the peer read it, and the reply as it wrote it.
        let lines = responding.values().await.unwrap();
        for (lines, reply) in lines.chunks(2).zip(&replies) {
            assert_eq!((&lines[0]["msgId"], &lines[0]["msgPurpose"]), (&"m-9".into(), &"request".into()));
            assert_eq!(
                (&lines[0]["replyTo"], &lines[0]["replyToMsgId"]),
                (&lines[0]["natsReply"], &"cmd-001".into())
            );
            same_fields(reply, &lines[1]);
        }
        assert_eq!(lines.len(), 4);
    }
    let error = bridge.request("/api/query/nobody").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoResponders);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_asks_and_the_engine_answers() {
    let world = World::start().await;
    let bridge = world.builder().sender_name("backend").connect(world.nats.url()).await.unwrap();
    let mut requests = bridge.subscribe("/api/query").await.unwrap();
    let items = items::small();
    let spec = items::spec(world.path(), "small", &items);
    for peer in Peer::ALL {
        for dialect in DIALECTS {
            let args = [
                "--spec",
                &spec,
                "--dialect",
                name(dialect),
                "--out",
                &world.out(),
                "--sender-name",
                "asker ü",
            ];
            let asking = world.peer(
                peer,
                "request",
                "/api/query",
                &[&args[..], &["--reply-to-msg-id", "cmd-001"]].concat(),
            );
            let request = next(&mut requests).await;
            assert_eq!((request.msg_purpose(), request.reply_to_msg_id()), ("request", "cmd-001"));
            assert_eq!(request.nats_reply(), Some(request.reply_to()));
            assert_eq!(request.dialect(), dialect);
            assert!(request.fetch_all().await.iter().all(Result::is_ok));
            // Somebody else's message at the same place is no reply.
            bridge.send(request.reply_to()).text("stray", "not yours").await.unwrap();
            let reply =
                request.reply().threshold(100).payloads(items.iter().map(|item| item.payload.clone()));
            let receipt = reply.flushed().await.unwrap();

            let line = asking.values().await.unwrap().remove(0);
            same_fields(receipt.envelope(), &line);
            assert_eq!(
                (&line["correlationId"], &line["replyToMsgId"]),
                (&request.correlation_id().into(), &request.msg_id().into())
            );
            assert_eq!(
                (&line["receiverName"], &line["receiverId"]),
                (&"asker ü".into(), &request.sender_id().into())
            );
            assert_eq!((&line["msgPurpose"], &line["replyTo"]), (&"response".into(), &"".into()));
            let found = line["payloads"].as_array().unwrap();
            for ((item, entry), line) in items.iter().zip(receipt.envelope().payloads()).zip(found) {
                same_payload(item, &entry, dialect, line);
            }
        }
    }
}
