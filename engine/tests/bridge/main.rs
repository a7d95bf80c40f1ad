//! The facade against a real nats-server and the embedded file server, or a scripted one where it has to misbehave.
#![allow(clippy::unwrap_used, reason = "a test that unwraps has failed, wherever it does it")]

mod allocations;
#[path = "../faults/capture.rs"]
#[allow(dead_code, reason = "the other program that has it captures more")]
mod capture;
mod faults;
mod hostile;
mod links;
mod nats;
mod proxy;
mod publisher;
mod record;
mod replies;
mod save;
mod scripted;
mod send_receive;
mod smart;
mod sources;

use std::time::Duration;

use futures_util::StreamExt as _;
use natsbridge::bridge::Subscription;
use natsbridge::{Bridge, Error, ErrorKind, Message};
use tokio::net::TcpSocket;

/// The next item of a subscription, within ten seconds.
async fn next(subscription: &mut Subscription) -> Result<Message, Error> {
    tokio::time::timeout(Duration::from_secs(10), subscription.next())
        .await
        .expect("no message within ten seconds")
        .expect("the subscription has ended")
}

/// Whether nothing arrives for a while, and then only what the test sends itself.
async fn nothing_arrives(bridge: &Bridge, subscription: &mut Subscription, subject: &str) -> bool {
    bridge.send(subject).text("marker", "").flushed().await.unwrap();
    let message = next(subscription).await.unwrap();
    message.envelope().payload(0).is_some_and(|payload| payload.dataname() == "marker")
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("this must fail").kind()
}

/// A port where nobody listens: bound, it refuses what comes, and no other test is given it while this one holds it.
fn closed_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// Bytes that neither compress nor repeat, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut step).take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}
