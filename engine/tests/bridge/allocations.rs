//! What a message costs in allocations, both ways.

use allocation_counter::measure;
use bytes::Bytes;
use natsbridge::{Bridge, PayloadRef};
use tokio::runtime::{Builder, Runtime};

use crate::nats::NatsServer;
use crate::{next, noise};

/// Everything on one thread, the client's own task included, so that it is all counted.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn publishing_allocates_nothing_that_the_raw_client_does_not() {
    const MESSAGES: u64 = 1000;
    let (nats, runtime) = (NatsServer::start(), runtime());
    let bridge = runtime.block_on(Bridge::connect(nats.url())).unwrap();
    for (payload_len, payload_count) in [(64, 1), (64, 8), (5000, 1), (100_000, 1)] {
        let mut publisher = bridge.publisher("a.b.c").build().unwrap();
        let payload = noise(1, payload_len);
        let payloads = vec![PayloadRef::binary("samples", &payload); payload_count];
        let mut message_len = 0;
        let mut publish = |count: u64| {
            runtime.block_on(async {
                for _ in 0..count {
                    message_len = publisher.publish(&payloads).await.unwrap().message_len();
                }
                bridge.client().flush().await.unwrap();
            });
        };
        publish(2 * MESSAGES);
        let ours = measure(|| publish(MESSAGES)).count_total;

        let body = Bytes::from(vec![b'x'; message_len]);
        let subject = async_nats::Subject::from("a.b.c");
        let publish = |count: u64| {
            runtime.block_on(async {
                for _ in 0..count {
                    bridge.client().publish(subject.clone(), body.clone()).await.unwrap();
                }
                bridge.client().flush().await.unwrap();
            });
        };
        publish(2 * MESSAGES);
        let raw = measure(|| publish(MESSAGES)).count_total;
        // Once a megabyte is with the client, the publisher waits for its socket, which takes a message to the client.
        let in_flight = (1 << 20) / message_len.next_multiple_of(16 << 10) as u64;
        let waits =
            if message_len > 64 << 10 { MESSAGES / in_flight } else { (MESSAGES * message_len as u64) >> 19 };
        assert!(
            ours <= raw + 2 * waits + 8,
            "{payload_count} of {payload_len}: {ours}, raw {raw}, {waits} to wait"
        );
    }
}

#[test]
fn receiving_allocates_nothing_for_up_to_eight_payloads_and_decoding_large_ones_neither() {
    let (nats, runtime) = (NatsServer::start(), runtime());
    let bridge = runtime.block_on(Bridge::connect(nats.url())).unwrap();
    let mut messages = runtime.block_on(bridge.subscribe("a.b.c")).unwrap();
    for (payload_len, payload_count, allocations) in
        [(0, 8, 0), (64, 8, 0), (1000, 1, 0), (100_000, 1, 0), (50_000, 8, 0)]
    {
        let payload = noise(1, payload_len);
        let payloads = vec![PayloadRef::binary("samples", &payload); payload_count];
        let message = runtime.block_on(async {
            bridge.publisher("a.b.c").build().unwrap().publish(&payloads).await.unwrap();
            next(&mut messages).await.unwrap().envelope().as_bytes().clone()
        });
        let message = async_nats::Message {
            subject: "a.b.c".into(),
            reply: None,
            length: message.len(),
            payload: message,
            headers: None,
            status: None,
            description: None,
        };
        let read = |message: async_nats::Message| {
            let message = bridge.read(message).unwrap();
            assert_eq!(message.payload_count(), payload_count);
            if payload_len > 10_000 {
                for received in message.payloads() {
                    let bytes = runtime.block_on(received.bytes()).unwrap();
                    assert!(bytes == payload);
                }
            }
        };
        read(message.clone());
        read(message.clone());
        let again = message.clone();
        let count = measure(|| read(again)).count_total;
        assert_eq!(count, allocations, "{payload_count} of {payload_len}");
    }
}
