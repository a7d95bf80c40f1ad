//! serde_json with borrowed strings, and base64-simd: what one would do with an afternoon's care.

use std::borrow::Cow;

use natsbridge::MessageFields;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::input::{IDS, Input, fields};

/// The message with strings borrowed from it where they hold no escapes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    correlation_id: Cow<'a, str>,
    #[serde(borrow)]
    msg_id: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    send_to: Cow<'a, str>,
    #[serde(borrow)]
    msg_purpose: Cow<'a, str>,
    #[serde(borrow)]
    sender_name: Cow<'a, str>,
    #[serde(borrow)]
    sender_id: Cow<'a, str>,
    #[serde(borrow)]
    receiver_name: Cow<'a, str>,
    #[serde(borrow)]
    receiver_id: Cow<'a, str>,
    #[serde(borrow)]
    reply_to: Cow<'a, str>,
    #[serde(borrow)]
    reply_to_msg_id: Cow<'a, str>,
    #[serde(borrow, rename = "brokerURL")]
    broker_url: Cow<'a, str>,
    metadata: Map<String, Value>,
    #[serde(borrow)]
    pub(super) payloads: Vec<Payload<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    dataname: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    type_name: Cow<'a, str>,
    #[serde(borrow)]
    transport: Cow<'a, str>,
    #[serde(borrow)]
    encoding: Cow<'a, str>,
    size: u64,
    #[serde(borrow)]
    pub(super) data: Cow<'a, str>,
    metadata: Map<String, Value>,
}

/// The message to write, with its base64 made by `encode`.
pub(super) fn message<'a>(
    fields: &MessageFields<'a>,
    raws: &[Vec<u8>],
    encode: fn(&[u8]) -> String,
) -> Message<'a> {
    let payload = |raw: &Vec<u8>| Payload {
        id: IDS[3].into(),
        dataname: "large_file".into(),
        type_name: "binary".into(),
        transport: "direct".into(),
        encoding: "base64".into(),
        size: raw.len() as u64,
        data: encode(raw).into(),
        metadata: Map::new(),
    };
    Message {
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
    }
}

/// The message of this input.
pub fn encode(input: &Input) -> Vec<u8> {
    let message =
        message(&fields(input.shape), &input.raws, |raw| base64_simd::STANDARD.encode_to_string(raw));
    serde_json::to_vec(&message).expect("strings and numbers can be written")
}

/// The payloads of this input's message.
pub fn decode(input: &Input) -> Vec<Vec<u8>> {
    let message: Message<'_> = serde_json::from_slice(&input.message).expect("the message is valid");
    message.payloads.iter().map(|payload| base64_decode(&payload.data)).collect()
}

pub(super) fn base64_decode(text: &str) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text).expect("the base64 is valid")
}
