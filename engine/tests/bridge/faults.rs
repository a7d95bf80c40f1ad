//! The broker fails: down, gone, frozen, or forbidding.

use std::future::IntoFuture as _;
use std::time::Duration;

use natsbridge::bridge::Events;
use natsbridge::{Bridge, Delivery, ErrorKind, Fault};

use crate::nats::NatsServer;
use crate::{closed_port, kind, next};

#[tokio::test(flavor = "multi_thread")]
async fn no_server_at_connect_is_a_typed_error_without_the_password() {
    let (_held, port) = closed_port();
    let error = Bridge::connect(format!("nats://user:hunter2@127.0.0.1:{port}")).await.unwrap_err();
    assert_eq!((error.kind(), error.fault()), (ErrorKind::ConnectFailed, Fault::Broker));
    assert!(error.is_retryable());
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    for url in ["", "nats://", "http://u:hunter2@[", "nats://a:b:c"] {
        let error = Bridge::connect(url).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_not_permitted_and_never_shown() {
    let nats = NatsServer::with_config("authorization { user: u, password: \"r%ght@\" }");
    let port = nats.port();
    let error = Bridge::connect(format!("nats://u:wr0ng@127.0.0.1:{port}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!format!("{error} {error:?}").contains("wr0ng"));
    let bridge = Bridge::connect(format!("nats://u:r%25ght%40@127.0.0.1:{port}")).await.unwrap();
    assert!(!format!("{bridge:?}").contains("ght"));
    let mut messages = bridge.subscribe("s").await.unwrap();
    bridge.send("s").await.unwrap();
    assert_eq!(next(&mut messages).await.unwrap().broker_url(), format!("nats://127.0.0.1:{port}"));
}

const PERMISSIONS: &str = r#"authorization { users: [
    { user: u, password: p, permissions: {
        publish: { deny: ["secret.>"] }
        subscribe: { deny: ["hidden.>"] } } }
    { user: narrow, password: p, permissions: { publish: { allow: ["ok.>"] } } }
    { user: deaf, password: p, permissions: { publish: { allow: ["ok.>"] }, subscribe: { allow: ["ok.>", "_INBOX.>"] } } }
] }"#;

#[tokio::test(flavor = "multi_thread")]
async fn permission_violations_become_errors() {
    let nats = NatsServer::with_config(PERMISSIONS);
    let url = format!("nats://u:p@127.0.0.1:{}", nats.port());
    let bridge = Bridge::builder().delivery(Delivery::Flushed).connect(&url).await.unwrap();
    for round in 1..=20 {
        assert_eq!(kind(bridge.send("secret.x").text("a", "b").await), ErrorKind::PermissionDenied);
        bridge.send("open.x").text("a", "b").await.unwrap();
        assert_eq!(bridge.counters().permission_violations, round);
    }
    assert_eq!(kind(bridge.subscribe("hidden.x").await), ErrorKind::PermissionDenied);
    assert_eq!(kind(bridge.request("secret.y").text("a", "b").await), ErrorKind::PermissionDenied);
    drop(bridge.subscribe("open.x").await.unwrap());

    // The same for a client that was connected elsewhere, with the bridge's callback.
    let events = Events::new();
    let client = async_nats::ConnectOptions::new()
        .user_and_password("u".into(), "p".into())
        .event_callback(events.callback())
        .connect(nats.url())
        .await
        .unwrap();
    let bridge = Bridge::builder().events(events).delivery(Delivery::Flushed).from_client(client);
    assert_eq!(kind(bridge.send("secret.x").text("a", "b").await), ErrorKind::PermissionDenied);
    bridge.send("open.x").text("a", "b").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_one_of_many_refusals_is_reported_whatever_the_subject_looks_like() {
    let nats = NatsServer::with_config(PERMISSIONS);
    let url = format!("nats://u:p@127.0.0.1:{}", nats.port());
    let bridge = Bridge::builder().delivery(Delivery::Flushed).connect(&url).await.unwrap();
    let sends = (0..600).map(|n| bridge.send(format!("secret.{n}")).text("a", "b").into_future());
    let results = futures_util::future::join_all(sends).await;
    assert_eq!(results.len(), 600);
    for result in results {
        assert_eq!(kind(result), ErrorKind::PermissionDenied);
    }
    for subject in ["secret.a\\eu", "secret.a\"b", "secret.\u{200b}x", "secret.日本", "secret.\u{e9}"] {
        assert_eq!(
            kind(bridge.send(subject).text("a", "b").await),
            ErrorKind::PermissionDenied,
            "{subject:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_subscription_does_not_refuse_a_publish_on_the_same_subject() {
    let nats = NatsServer::with_config(PERMISSIONS);
    let url = format!("nats://u:p@127.0.0.1:{}", nats.port());
    let bridge = Bridge::builder().delivery(Delivery::Flushed).connect(&url).await.unwrap();
    for _ in 0..50 {
        let (sent, subscribed) =
            tokio::join!(bridge.send("hidden.x").text("a", "b").into_future(), bridge.subscribe("hidden.x"));
        sent.unwrap();
        assert_eq!(kind(subscribed), ErrorKind::PermissionDenied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_reply_may_not_be_received_says_so_at_once() {
    let nats = NatsServer::with_config(PERMISSIONS);
    let bridge = Bridge::connect(format!("nats://u:p@127.0.0.1:{}", nats.port())).await.unwrap();
    let error =
        bridge.request("open.x").reply_to("hidden.y").timeout(Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(kind(bridge.request("open.x").reply_to("open.x").await), ErrorKind::Misuse);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_over_a_connection_that_was_replaced_is_not_called_flushed() {
    let nats = NatsServer::start();
    let bridge =
        Bridge::builder().confirm_timeout(Duration::from_secs(20)).connect(nats.url()).await.unwrap();
    bridge.send("s").text("a", "b").await.unwrap();
    bridge.flush().await.unwrap();
    bridge.send("s").text("a", "b").await.unwrap();
    bridge.client().force_reconnect().await.unwrap();
    while bridge.counters().reconnects == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(kind(bridge.flush().await), ErrorKind::Unconfirmed);
    bridge.flush().await.unwrap(); // nothing was sent since
    bridge.send("s").text("a", "b").flushed().await.unwrap();

    // The same for a single message: handed over while there is no connection, it is not known to arrive.
    let port = nats.port();
    drop(nats);
    while bridge.counters().disconnects < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let send = tokio::spawn(bridge.send("s").text("a", "b").flushed().into_future());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _nats = NatsServer::on_port(i32::from(port), "");
    assert_eq!(kind(send.await.unwrap()), ErrorKind::Unconfirmed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_few_permissions_can_still_be_confirmed() {
    let nats = NatsServer::with_config(PERMISSIONS);
    for user in ["narrow", "deaf"] {
        let url = format!("nats://{user}:p@127.0.0.1:{}", nats.port());
        let bridge = Bridge::builder().delivery(Delivery::Flushed).connect(&url).await.unwrap();
        let mut messages = bridge.subscribe("ok.x").await.unwrap();
        bridge.send("ok.x").text("a", "b").await.unwrap();
        next(&mut messages).await.unwrap();
        assert_eq!(kind(bridge.send("no.x").text("a", "b").await), ErrorKind::PermissionDenied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_during_publish_leaves_the_message_unconfirmed() {
    let nats = NatsServer::start();
    let bridge = Bridge::builder()
        .delivery(Delivery::Flushed)
        .confirm_timeout(Duration::from_millis(300))
        .connect(nats.url())
        .await
        .unwrap();
    bridge.send("s").text("a", "b").await.unwrap();
    let port = nats.port();
    drop(nats);
    let error = bridge.send("s").text("a", "b").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unconfirmed, false));
    assert!(bridge.flush().await.is_err());

    // It comes back, and so does the connection.
    let nats = NatsServer::on_port(i32::from(port), "");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while bridge.flush().await.is_err() {
        assert!(std::time::Instant::now() < deadline, "no reconnect within 20 s");
    }
    bridge.send("s").text("a", "b").await.unwrap();
    let counters = bridge.counters();
    assert!(counters.disconnects >= 1 && counters.reconnects >= 1, "{counters:?}");
    drop(nats);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes_does_not_hang_the_sender() {
    let nats = NatsServer::start();
    let bridge =
        Bridge::builder().confirm_timeout(Duration::from_millis(200)).connect(nats.url()).await.unwrap();
    signal(nats.pid(), "-STOP");
    let error = bridge.send("s").text("a", "b").flushed().await.unwrap_err();
    signal(nats.pid(), "-CONT");
    assert_eq!(error.kind(), ErrorKind::Unconfirmed);
    bridge.flush().await.unwrap();
}

fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
    // A stopped process shows as such once the signal has arrived.
    let stopped = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    while stopped() != (name == "-STOP") {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_messages_are_counted_and_reported_and_the_stream_goes_on() {
    let nats = NatsServer::start();
    let options = async_nats::ConnectOptions::new().subscription_capacity(10);
    let receiver = Bridge::builder().nats_options(options).connect(nats.url()).await.unwrap();
    let mut messages = receiver.subscribe("fast").await.unwrap();
    let sender = Bridge::connect(nats.url()).await.unwrap();
    for _ in 0..1000 {
        sender.send("fast").text("a", "b").await.unwrap();
    }
    sender.flush().await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while receiver.counters().dropped_messages == 0 {
        assert!(std::time::Instant::now() < deadline, "no drop was counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(kind(next(&mut messages).await), ErrorKind::SlowConsumer);
    loop {
        match next(&mut messages).await {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::SlowConsumer),
        }
    }
}
