//! What a message says (SPEC `ENV`, `DATA`), read off the tree.

use super::json::{self, Node, Value};

/// The names of a field: the one asked for first is camelCase; the draft spelling last.
const STRINGS: [&[&str]; 12] = [
    &["correlationId", "correlation_id"],
    &["msgId", "msg_id"],
    &["timestamp", "timestamp"],
    &["sendTo", "send_to"],
    &["msgPurpose", "msg_purpose"],
    &["senderName", "sender_name"],
    &["senderId", "sender_id"],
    &["receiverName", "receiver_name"],
    &["receiverId", "receiver_id"],
    &["replyTo", "reply_to"],
    &["replyToMsgId", "reply_to_msg_id"],
    &["brokerURL", "broker_url", "BrokerURL"],
];

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) snake: bool,
    /// In the order of the format's table.
    pub(crate) strings: [String; 12],
    /// The text of the metadata, as received.
    pub(crate) metadata: String,
    pub(crate) payloads: Vec<Payload>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Payload {
    pub(crate) id: String,
    pub(crate) dataname: String,
    pub(crate) type_name: String,
    pub(crate) transport: String,
    pub(crate) encoding: String,
    pub(crate) size: Option<u64>,
    pub(crate) metadata: String,
    /// `None` for a payload that fails.
    pub(crate) data: Option<Data>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// The text, escapes resolved.
    Base64(String),
    Json(Vec<u8>),
    Link(String),
}

/// What the message says, or `None` for one that is refused.
pub(crate) fn read(text: &[u8]) -> Option<Message> {
    let root = json::parse(text)?;
    let Value::Object(pairs) = &root.value else { return None };
    let mut strings: [String; 12] = Default::default();
    for (names, target) in STRINGS.iter().zip(&mut strings) {
        if let Some(node) = only(pairs, names)? {
            *target = string_or_null(node)?;
        }
    }
    let metadata = match only(pairs, &["metadata"])? {
        Some(node) => object_or_null(text, node)?,
        None => "{}".into(),
    };
    let Value::Array(items) = &only(pairs, &["payloads"])??.value else { return None };
    let payloads = items.iter().map(|item| payload(text, item)).collect::<Option<Vec<_>>>()?;
    Some(Message { snake: first_spelling(pairs) == Some(true), strings, metadata, payloads })
}

/// The value of the one key of these names; the outer `None` if there are several.
fn only<'a>(pairs: &'a [(String, Node)], names: &[&str]) -> Option<Option<&'a Node>> {
    let mut found = pairs.iter().filter(|(key, _)| names.contains(&key.as_str()));
    let first = found.next().map(|(_, node)| node);
    found.next().is_none().then_some(first)
}

fn string_or_null(node: &Node) -> Option<String> {
    match &node.value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn object_or_null(text: &[u8], node: &Node) -> Option<String> {
    match &node.value {
        Value::Null => Some("{}".into()),
        Value::Object(_) => Some(String::from_utf8(text[node.range.clone()].to_vec()).expect("checked")),
        _ => None,
    }
}

/// `Some(true)` if the first key that only one dialect has is of the snake_case one.
fn first_spelling(pairs: &[(String, Node)]) -> Option<bool> {
    for (key, node) in pairs {
        for names in STRINGS.iter().filter(|names| names[0] != names[1]) {
            if names.contains(&key.as_str()) {
                return Some(key == names[1]);
            }
        }
        if let ("payloads", Value::Array(items)) = (key.as_str(), &node.value) {
            for item in items {
                let Value::Object(pairs) = &item.value else { continue };
                if let Some((key, _)) = pairs.iter().find(|(key, _)| key == "type" || key == "payload_type") {
                    return Some(key == "payload_type");
                }
            }
        }
    }
    None
}

/// The outer `None` where a payload fails the whole message.
fn payload(text: &[u8], item: &Node) -> Option<Payload> {
    let mut payload = Payload { metadata: "{}".into(), ..Payload::default() };
    let Value::Object(pairs) = &item.value else { return Some(payload) };
    let mut fails = false;
    let targets: [(&[&str], &mut String); 5] = [
        (&["id"], &mut payload.id),
        (&["dataname"], &mut payload.dataname),
        (&["type", "payload_type"], &mut payload.type_name),
        (&["transport"], &mut payload.transport),
        (&["encoding"], &mut payload.encoding),
    ];
    for (names, target) in targets {
        if let Some(node) = only(pairs, names)? {
            match string_or_null(node) {
                Some(text) => *target = text,
                None => fails = true,
            }
        }
    }
    match only(pairs, &["size"])?.map(|node| &node.value) {
        None | Some(Value::Null) => {}
        Some(Value::Number(number)) => {
            payload.size = whole_number(number);
            fails |= payload.size.is_none();
        }
        Some(_) => fails = true,
    }
    if let Some(node) = only(pairs, &["metadata"])? {
        match object_or_null(text, node) {
            Some(text) => payload.metadata = text,
            None => fails = true,
        }
    }
    let data = only(pairs, &["data"])?;
    let may_be_inline = ["dictionary", "table", "arrowtable", "jsontable"].contains(&&*payload.type_name);
    let data = match (payload.transport.as_str(), data.map(|node| (&node.value, &node.range))) {
        ("link", Some((Value::String(url), _))) => Some(Data::Link(url.clone())),
        ("direct", Some((Value::String(string), _))) => {
            let begins = string.trim_start_matches([' ', '\t', '\n', '\r']);
            if may_be_inline && begins.starts_with(['{', '[']) {
                Some(Data::Json(string.clone().into_bytes()))
            } else {
                Some(Data::Base64(string.clone()))
            }
        }
        ("direct", Some((Value::Object(_) | Value::Array(_), range))) if may_be_inline => {
            Some(Data::Json(text[range.clone()].to_vec()))
        }
        _ => None,
    };
    payload.data = data.filter(|_| !fails && !payload.type_name.is_empty());
    Some(payload)
}

/// The number's exact value if it is whole and from 0 to 2^63-1: its digits are written out, and then looked at.
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    let digits = format!("{whole}{fraction}");
    if digits.bytes().all(|digit| digit == b'0') {
        return Some(0);
    }
    if mantissa.starts_with('-') {
        return None;
    }
    // An exponent beyond i64 moves the point farther than any text is long.
    let exponent = exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') {
        i64::MIN / 2
    } else {
        i64::MAX / 2
    });
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let power = exponent.saturating_sub(fraction.len() as i64).saturating_add(zeros as i64);
    let significant = digits.trim_matches('0');
    if !(0..=18).contains(&power) || significant.len() > 19 {
        return None;
    }
    let value = significant.parse::<u128>().ok()? * 10u128.pow(power as u32);
    u64::try_from(value).ok().filter(|&value| value <= i64::MAX as u64)
}
