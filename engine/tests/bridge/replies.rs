//! Request and reply.

use std::time::Duration;

use natsbridge::{Bridge, Dialect, ErrorKind};
use serde_json::json;

use crate::nats::NatsServer;
use crate::{kind, next};

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_answers_its_request_in_its_dialect() {
    let nats = NatsServer::start();
    let backend = Bridge::builder().sender_name("backend").connect(nats.url()).await.unwrap();
    let mut requests = backend.subscribe("/api/query").await.unwrap();
    let responder = tokio::spawn(async move {
        for _ in 0..2 {
            let request = next(&mut requests).await.unwrap();
            assert_eq!(request.msg_purpose(), "request");
            assert_eq!(request.nats_reply(), Some(request.reply_to()));
            assert_eq!(request.reply_to_msg_id(), "cmd-001");
            let query = request.payload("query").unwrap().json_value().await.unwrap();
            request.reply().dictionary("result", &json!({"rows": 2, "query": query})).await.unwrap();
        }
    });
    let frontend =
        Bridge::builder().sender_name("frontend").sender_id("f-1").connect(nats.url()).await.unwrap();
    for dialect in [Dialect::Camel, Dialect::Snake] {
        let reply = frontend
            .request("/api/query")
            .dictionary("query", &json!("SELECT 1"))
            .dialect(dialect)
            .correlation_id("c-9")
            .msg_id("m-9")
            .reply_to_msg_id("cmd-001")
            .await
            .unwrap();
        assert_eq!(reply.dialect(), dialect);
        assert_eq!(
            (reply.msg_purpose(), reply.correlation_id(), reply.reply_to_msg_id()),
            ("response", "c-9", "m-9")
        );
        assert_eq!((reply.receiver_name(), reply.receiver_id()), ("frontend", "f-1"));
        assert_eq!((reply.sender_name(), reply.reply_to()), ("backend", ""));
        let result = reply.payload("result").unwrap().json_value().await.unwrap();
        assert_eq!(result, json!({"rows": 2, "query": "SELECT 1"}));
    }
    responder.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_on_a_shared_subject_is_found_by_its_correlation_id() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut requests = bridge.subscribe("ask").await.unwrap();
    let other = bridge.clone();
    let responder = tokio::spawn(async move {
        let request = next(&mut requests).await.unwrap();
        assert_eq!(request.reply_to(), "/api/response");
        other.client().publish("/api/response", "garbage".into()).await.unwrap();
        other.send("/api/response").text("a", "somebody else's").await.unwrap();
        // A port that knows only the envelope's field answers there.
        let correlation_id = request.correlation_id().to_owned();
        other.send("/api/response").correlation_id(correlation_id).text("a", "ours").await.unwrap();
    });
    let reply = bridge.request("ask").reply_to("/api/response").await.unwrap();
    assert_eq!(reply.payload("a").unwrap().text().await.unwrap(), "ours");
    responder.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_nobody_answers_say_so() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    assert_eq!(kind(bridge.request("nobody").text("a", "b").await), ErrorKind::NoResponders);
    let _listener = bridge.subscribe("silent").await.unwrap();
    let error = bridge.request("silent").timeout(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoReply);
    assert!(!error.is_retryable());
    assert_eq!(kind(bridge.request("x").reply_to("a b").await), ErrorKind::InvalidSubject);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_reply_on_the_own_inbox_is_an_error() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    let mut requests = bridge.subscribe("ask").await.unwrap();
    let client = bridge.client().clone();
    tokio::spawn(async move {
        let request = next(&mut requests).await.unwrap();
        client.publish(request.nats_reply().unwrap().to_owned(), "{}".into()).await.unwrap();
    });
    assert_eq!(kind(bridge.request("ask").await), ErrorKind::Malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_replied_to_an_address_of_the_server_or_to_nobody() {
    let nats = NatsServer::start();
    let bridge = Bridge::connect(nats.url()).await.unwrap();
    // As a JetStream consumer hands it over; a server refuses to pass on such a reply subject from a client.
    let received = |nats_reply: Option<&str>, reply_to: &str| {
        bridge.read(async_nats::Message {
            subject: "m".into(),
            reply: nats_reply.map(Into::into),
            payload: format!("{{\"replyTo\":\"{reply_to}\",\"payloads\":[]}}").into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        })
    };
    for (nats_reply, reply_to, expected) in [
        (Some("$JS.ACK.S.C.1.1.1.1.0"), "", None),
        (Some("$JS.ACK.S.C.1.1.1.1.0"), "app.r", Some("app.r")),
        (Some("inbox"), "app.r", Some("inbox")),
        (None, "$SYS.x", None),
        (None, "", None),
    ] {
        let message = received(nats_reply, reply_to).unwrap();
        assert_eq!(message.reply_address(), expected);
        match expected {
            None => assert_eq!(kind(message.reply().text("a", "b").await), ErrorKind::Misuse),
            Some(subject) => {
                let mut replies = bridge.subscribe(subject).await.unwrap();
                message.reply().text("a", "b").await.unwrap();
                assert_eq!(next(&mut replies).await.unwrap().subject(), subject);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_line_of_the_protocol_holds_is_refused_and_the_connection_stays() {
    let nats = NatsServer::start();
    let bridge = Bridge::builder().request_timeout(Duration::from_secs(5)).connect(nats.url()).await.unwrap();
    let asked = |len: usize| {
        let envelope = serde_json::json!({ "replyTo": "r".repeat(len), "payloads": [] });
        bridge.read(async_nats::Message {
            subject: "m".into(),
            reply: None,
            payload: envelope.to_string().into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        })
    };
    let longest = "r".repeat(3900);
    let mut replies = bridge.subscribe(&longest).await.unwrap();
    asked(3900).unwrap().reply().text("a", "b").flushed().await.unwrap();
    assert_eq!(next(&mut replies).await.unwrap().subject(), longest);
    for len in [3901, 5000, 65_536] {
        let replied = asked(len).unwrap().reply().text("a", "b").flushed().await;
        assert_eq!(kind(replied), ErrorKind::InvalidSubject, "{len}");
        let long = "s".repeat(len);
        assert_eq!(kind(bridge.subscribe(&long).await), ErrorKind::InvalidSubject, "{len}");
        assert_eq!(kind(bridge.send(&long).text("a", "b").await), ErrorKind::InvalidSubject, "{len}");
        let send = bridge.send("s").reply_to(&long).text("a", "b");
        assert_eq!(kind(send.await), ErrorKind::InvalidSubject, "{len}");
        assert_eq!(kind(bridge.publisher(&long).build().map(|_| ())), ErrorKind::InvalidSubject, "{len}");
    }

    // Together they share the line, whose sizes are as long here as they get.
    let (subject, beside) = ("s".repeat(2000), "t".repeat(2000));
    let mut requests = bridge.queue_subscribe(&subject, &beside).await.unwrap();
    let responder = tokio::spawn(async move {
        let request = next(&mut requests).await.unwrap();
        request.reply().text("a", "b").await.unwrap();
    });
    let body = vec![0; 500_000];
    let request = bridge.request(&subject).reply_to(&beside).binary("a", body).header("X", "y");
    request.await.unwrap();
    responder.await.unwrap();
    let beside = beside + "t";
    assert_eq!(kind(bridge.queue_subscribe(&subject, &beside).await), ErrorKind::InvalidSubject);
    assert_eq!(kind(bridge.request(&subject).reply_to(&beside).await), ErrorKind::InvalidSubject);
    assert_eq!(bridge.counters().disconnects, 0);
}
