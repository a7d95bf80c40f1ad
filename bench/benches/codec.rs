//! Envelopes with one binary payload, against what most programs would write: serde_json and base64; and against a
//! `memcpy` of the payload, which nothing can beat. Throughput counts raw payload bytes.
//!
//! `cargo bench -p natsbridge-bench`; with `-- --test` everything runs once, untimed.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use natsbridge::{Content, Data, Dialect, Envelope, MessageFields, PayloadFields, encode};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [(&str, usize); 4] = [("64B", 64), ("1KiB", 1 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)];

/// The message as one would declare it for serde.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NaiveMessage {
    correlation_id: String,
    msg_id: String,
    timestamp: String,
    send_to: String,
    msg_purpose: String,
    sender_name: String,
    sender_id: String,
    receiver_name: String,
    receiver_id: String,
    reply_to: String,
    reply_to_msg_id: String,
    #[serde(rename = "brokerURL")]
    broker_url: String,
    metadata: serde_json::Map<String, serde_json::Value>,
    payloads: Vec<NaivePayload>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NaivePayload {
    id: String,
    dataname: String,
    #[serde(rename = "type")]
    type_name: String,
    transport: String,
    encoding: String,
    size: u64,
    data: String,
    metadata: serde_json::Map<String, serde_json::Value>,
}

const IDS: [&str; 4] = [
    "5f0c3a4e-1b7d-4c52-9a3e-8d2f6b1c0e47",
    "c1d9e8f7-2a3b-4c5d-8e6f-708192a3b4c5",
    "0b6e2f1a-9c8d-4e7f-a5b4-c3d2e1f00112",
    "a3b8d1b6-0b3b-4b1a-9c1a-1a2b3c4d5e6f",
];

fn fields() -> MessageFields<'static> {
    let mut fields = MessageFields::default();
    [fields.correlation_id, fields.msg_id, fields.sender_id, _] = IDS;
    fields.timestamp = "2026-02-22T14:15:24.250Z";
    fields.send_to = "/chat/room1";
    fields.msg_purpose = "chat";
    fields.sender_name = "NATSBridge";
    fields.broker_url = "nats://localhost:4222";
    fields
}

fn payload(raw: &[u8]) -> PayloadFields<'_> {
    let mut payload = PayloadFields::new("large_file", "binary", Data::Bytes(raw));
    payload.id = IDS[3];
    payload
}

fn encode_naive(fields: &MessageFields<'_>, raw: &[u8]) -> Vec<u8> {
    let message = NaiveMessage {
        correlation_id: fields.correlation_id.into(),
        msg_id: fields.msg_id.into(),
        timestamp: fields.timestamp.into(),
        send_to: fields.send_to.into(),
        msg_purpose: fields.msg_purpose.into(),
        sender_name: fields.sender_name.into(),
        sender_id: fields.sender_id.into(),
        receiver_name: fields.receiver_name.into(),
        receiver_id: fields.receiver_id.into(),
        reply_to: fields.reply_to.into(),
        reply_to_msg_id: fields.reply_to_msg_id.into(),
        broker_url: fields.broker_url.into(),
        metadata: serde_json::Map::new(),
        payloads: vec![NaivePayload {
            id: IDS[3].into(),
            dataname: "large_file".into(),
            type_name: "binary".into(),
            transport: "direct".into(),
            encoding: "base64".into(),
            size: raw.len() as u64,
            data: STANDARD.encode(raw),
            metadata: serde_json::Map::new(),
        }],
    };
    serde_json::to_vec(&message).expect("strings and a number can be written")
}

fn decode_naive(message: &[u8]) -> Vec<u8> {
    let message: NaiveMessage = serde_json::from_slice(message).expect("the message is valid");
    STANDARD.decode(&message.payloads[0].data).expect("the base64 is valid")
}

/// Reads the envelope and decodes into a buffer that is used again.
fn decode_into(message: &Bytes, out: &mut Vec<u8>) {
    let envelope = Envelope::decode(message.clone()).expect("the message is valid");
    let payload = envelope.payload(0).expect("there is one");
    let Ok(Content::Base64(text)) = payload.content() else { panic!("the payload is direct") };
    out.clear();
    text.decode_into(out).expect("the base64 is valid");
}

/// The payload and the message of this size, with which both contestants have been seen to agree.
fn checked(len: usize) -> (Vec<u8>, Bytes) {
    let raw: Vec<u8> = (0..len as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
    let mut out = BytesMut::new();
    encode(Dialect::Camel, &fields(), &[payload(&raw)], &mut out);
    let message = out.freeze();
    assert_eq!(message, encode_naive(&fields(), &raw), "both write the same message");
    let mut decoded = Vec::new();
    decode_into(&message, &mut decoded);
    assert_eq!(decoded, raw);
    assert_eq!(decode_naive(&message), raw);
    (raw, message)
}

fn envelopes(criterion: &mut Criterion) {
    for operation in ["encode", "decode"] {
        let mut group = criterion.benchmark_group(format!("envelope/{operation}"));
        for (name, len) in SIZES {
            let (raw, message) = checked(len);
            group.throughput(Throughput::Bytes(len as u64));
            let id = |contestant| BenchmarkId::new(contestant, name);
            let (mut out, mut decoded) = (BytesMut::new(), Vec::new());
            if operation == "encode" {
                group.bench_function(id("natsbridge"), |bench| {
                    bench.iter(|| {
                        out.clear();
                        encode(Dialect::Camel, black_box(&fields()), &[payload(black_box(&raw))], &mut out);
                        out.len()
                    });
                });
                group.bench_function(id("serde_json"), |bench| {
                    bench.iter(|| encode_naive(black_box(&fields()), black_box(&raw)));
                });
            } else {
                group.bench_function(id("natsbridge"), |bench| {
                    bench.iter(|| decode_into(black_box(&message), &mut decoded));
                });
                group.bench_function(id("serde_json"), |bench| {
                    bench.iter(|| decode_naive(black_box(&message)))
                });
            }
            let mut copy = vec![0; len];
            group.bench_function(id("memcpy"), |bench| {
                bench.iter(|| black_box(&mut copy).copy_from_slice(black_box(&raw)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, envelopes);
criterion_main!(benches);
