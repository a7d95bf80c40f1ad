//! serde_json and the `base64` crate, with owned strings: what most programs would do first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use natsbridge::MessageFields;
use serde_json::{Map, Value};

use crate::input::{IDS, Input, Shape, fields};

/// The message as one would declare it for serde, once for each dialect.
macro_rules! dialect {
    ($module:ident, $case:literal, $broker:literal, $type:literal) => {
        mod $module {
            use serde::{Deserialize, Serialize};
            use serde_json::{Map, Value};

            #[derive(Debug, Serialize, Deserialize)]
            #[serde(rename_all = $case)]
            pub(super) struct Message {
                pub(super) correlation_id: String,
                pub(super) msg_id: String,
                pub(super) timestamp: String,
                pub(super) send_to: String,
                pub(super) msg_purpose: String,
                pub(super) sender_name: String,
                pub(super) sender_id: String,
                pub(super) receiver_name: String,
                pub(super) receiver_id: String,
                pub(super) reply_to: String,
                pub(super) reply_to_msg_id: String,
                #[serde(rename = $broker)]
                pub(super) broker_url: String,
                pub(super) metadata: Map<String, Value>,
                pub(super) payloads: Vec<Payload>,
            }

            #[derive(Debug, Serialize, Deserialize)]
            pub(super) struct Payload {
                pub(super) id: String,
                pub(super) dataname: String,
                #[serde(rename = $type)]
                pub(super) type_name: String,
                pub(super) transport: String,
                pub(super) encoding: String,
                pub(super) size: u64,
                pub(super) data: String,
                pub(super) metadata: Map<String, Value>,
            }

            pub(super) fn encode(
                fields: &natsbridge::MessageFields<'_>,
                raws: &[Vec<u8>],
                id: &str,
            ) -> Vec<u8> {
                use base64::Engine as _;

                let payload = |raw: &Vec<u8>| Payload {
                    id: id.into(),
                    dataname: "large_file".into(),
                    type_name: "binary".into(),
                    transport: "direct".into(),
                    encoding: "base64".into(),
                    size: raw.len() as u64,
                    data: base64::engine::general_purpose::STANDARD.encode(raw),
                    metadata: Map::new(),
                };
                let message = Message {
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
                    metadata: Map::new(),
                    payloads: raws.iter().map(payload).collect(),
                };
                serde_json::to_vec(&message).expect("strings and numbers can be written")
            }

            pub(super) fn decode(message: &[u8]) -> Vec<Vec<u8>> {
                let message: Message = serde_json::from_slice(message).expect("the message is valid");
                message.payloads.iter().map(|payload| super::base64_decode(&payload.data)).collect()
            }
        }
    };
}

dialect!(camel, "camelCase", "brokerURL", "type");
dialect!(snake, "snake_case", "broker_url", "payload_type");

fn base64_decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("the base64 is valid")
}

/// The message of this input.
pub fn encode(input: &Input) -> Vec<u8> {
    encode_fields(&fields(input.shape), input.shape, &input.raws, IDS[3])
}

fn encode_fields(fields: &MessageFields<'_>, shape: Shape, raws: &[Vec<u8>], id: &str) -> Vec<u8> {
    match shape {
        Shape::Snake => snake::encode(fields, raws, id),
        _ => camel::encode(fields, raws, id),
    }
}

/// A message with these payloads.
pub fn encode_raws(raws: &[Vec<u8>]) -> Vec<u8> {
    encode_fields(&fields(Shape::Plain), Shape::Plain, raws, IDS[3])
}

/// The payloads of this input's message.
pub fn decode(input: &Input) -> Vec<Vec<u8>> {
    match input.shape {
        Shape::Snake => snake::decode(&input.message),
        _ => camel::decode(&input.message),
    }
}

/// The payloads of a message in the camelCase dialect.
pub fn decode_message(message: &[u8]) -> Vec<Vec<u8>> {
    camel::decode(message)
}

/// The message with ids and a time of its own: random ones from the operating system, and chrono's clock and formatter.
#[cfg(feature = "rivals")]
pub fn encode_fresh(input: &Input) -> Vec<u8> {
    // What `uuid` does by default; here it has its feature `fast-rng`, because the engine wants it.
    fn id() -> String {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system has random bytes");
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    let (correlation_id, msg_id, payload_id) = (id(), id(), id());
    let timestamp = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let mut fields = fields(input.shape);
    fields.correlation_id = &correlation_id;
    fields.msg_id = &msg_id;
    fields.timestamp = &timestamp;
    encode_fields(&fields, input.shape, &input.raws, &payload_id)
}

/// The same message with its keys, and those of its payloads, in alphabetical order.
pub fn reordered(message: &[u8]) -> Vec<u8> {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                Value::Object(Map::from_iter(entries))
            }
            Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
            value => value,
        }
    }
    let value = serde_json::from_slice(message).expect("the message is valid");
    serde_json::to_vec(&sorted(value)).expect("it was JSON before")
}
