//! What a published envelope says, read by the runner itself: keys of either dialect, base64 by the plain rules.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::bytes::{answer_bytes, answer_string, hex};
use crate::value::Value;

/// The twelve strings, and how each dialect spells them.
const FIELDS: [(&str, &str); 12] = [
    ("correlation_id", "correlationId"),
    ("msg_id", "msgId"),
    ("timestamp", "timestamp"),
    ("send_to", "sendTo"),
    ("msg_purpose", "msgPurpose"),
    ("sender_name", "senderName"),
    ("sender_id", "senderId"),
    ("receiver_name", "receiverName"),
    ("receiver_id", "receiverId"),
    ("reply_to", "replyTo"),
    ("reply_to_msg_id", "replyToMsgId"),
    ("broker_url", "brokerURL"),
];

/// An envelope in the form of an answer to `envelope.decode`. Every key has to be there, in one dialect: that is what a
/// writer owes (`ENV-W1`).
///
/// # Errors
/// What is missing, surplus, or of the wrong kind.
pub fn read(message: &Value) -> Result<Json, String> {
    let Value::Object(members) = message else { return Err("no object".to_owned()) };
    let snake = members.contains_key("msg_id");
    let mut fields = Map::new();
    for (name, camel) in FIELDS {
        let key = if snake { name } else { camel };
        fields.insert(name.to_owned(), answer_string(text(members, key)?));
    }
    if members.len() != FIELDS.len() + 2 {
        return Err(format!("{} keys in place of 14", members.len()));
    }
    let Some(Value::Array(entries)) = members.get("payloads") else { return Err("no payloads".to_owned()) };
    let payloads = entries.iter().map(|entry| payload(entry, snake)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "dialect": if snake { "snake" } else { "camel" },
        "fields": fields,
        "metadata": metadata(members)?,
        "payloads": payloads,
    }))
}

fn payload(entry: &Value, snake: bool) -> Result<Json, String> {
    let Value::Object(members) = entry else { return Err("a payload that is no object".to_owned()) };
    if members.len() != 8 {
        return Err(format!("{} keys of a payload in place of 8", members.len()));
    }
    let size = match members.get("size") {
        Some(Value::Integer(size)) => crate::bytes::answer_integer(*size),
        other => return Err(format!("size is {other:?}")),
    };
    let mut answer = json!({
        "id": answer_string(text(members, "id")?),
        "dataname": answer_string(text(members, "dataname")?),
        "type": answer_string(text(members, if snake { "payload_type" } else { "type" })?),
        "transport": answer_string(text(members, "transport")?),
        "encoding": answer_string(text(members, "encoding")?),
        "size": size,
        "metadata": metadata(members)?,
    });
    let data = text(members, "data")?;
    match text(members, "transport")? {
        "direct" => answer["bytes"] = answer_bytes(&decode(data).ok_or("data is not plain base64")?),
        "link" => answer["url"] = answer_string(data),
        other => return Err(format!("transport {other:?}")),
    }
    Ok(answer)
}

fn text<'a>(members: &'a BTreeMap<String, Value>, key: &str) -> Result<&'a str, String> {
    match members.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{key} is {other:.80}")),
        None => Err(format!("{key} is missing")),
    }
}

fn metadata(members: &BTreeMap<String, Value>) -> Result<Json, String> {
    match members.get("metadata") {
        Some(value @ Value::Object(_)) => Ok(json!({"hex": hex(to_json(value).as_bytes())})),
        other => Err(format!("metadata is {other:?}")),
    }
}

fn to_json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => format!("{value:e}"),
        Value::String(text) => Json::from(text.as_str()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(to_json).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let members =
                members.iter().map(|(key, value)| format!("{}:{}", Json::from(key.as_str()), to_json(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

/// Base64 as writers owe it (`B64-1`): the standard alphabet, padded, and nothing else.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(groups.len() * 3);
    for (at, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || padding > 0 && at + 1 < groups.len() {
            return None;
        }
        let mut bits = 0u32;
        for byte in &group[..4 - padding] {
            bits = bits << 6 | u32::from(digit(*byte)?);
        }
        bits <<= 6 * padding;
        let bytes = bits.to_be_bytes();
        let kept = 3 - padding;
        // Left-over bits have to be zero.
        if bytes[1 + kept..].iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(&bytes[1..1 + kept]);
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn base64_is_read_as_writers_owe_it() {
        for (text, bytes) in [("", ""), ("QQ==", "A"), ("QUI=", "AB"), ("QUJD", "ABC"), ("QUJDRA==", "ABCD")]
        {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        for wrong in ["Q", "QQ", "QQ=", "QR==", "QUK=", "=QQQ", "QQ==QQ==", "QQ\n=", "-_8=", "===="] {
            assert!(decode(wrong).is_none(), "{wrong}");
        }
    }
}
