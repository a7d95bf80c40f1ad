//! A message written by the book (SPEC `ENV-W`), with `format!`.

use super::base64;

/// The text of a JSON string.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\u{8}' => out += "\\b",
            '\t' => out += "\\t",
            '\n' => out += "\\n",
            '\u{c}' => out += "\\f",
            '\r' => out += "\\r",
            '\0'..='\u{1f}' => out += &format!("\\u{:04x}", u32::from(letter)),
            _ => out.push(letter),
        }
    }
    out + "\""
}

/// The twelve strings of a message in the order of the format's table, its metadata, and its payload objects.
pub(crate) fn message(snake: bool, strings: &[&str; 12], metadata: &str, payloads: &[String]) -> String {
    let camel = "correlationId msgId timestamp sendTo msgPurpose senderName senderId receiverName receiverId \
                 replyTo replyToMsgId brokerURL";
    let snake_case = "correlation_id msg_id timestamp send_to msg_purpose sender_name sender_id receiver_name \
                      receiver_id reply_to reply_to_msg_id broker_url";
    let mut out = String::from("{");
    for (key, value) in (if snake { snake_case } else { camel }).split_whitespace().zip(strings) {
        out += &format!("\"{key}\":{},", string(value));
    }
    out + &format!("\"metadata\":{metadata},\"payloads\":[{}]}}", payloads.join(","))
}

pub(crate) enum Data<'a> {
    Bytes(&'a [u8]),
    Link(&'a str, u64),
}

pub(crate) fn payload(
    snake: bool,
    [id, dataname, type_name]: [&str; 3],
    data: &Data<'_>,
    metadata: &str,
) -> String {
    let type_key = if snake { "payload_type" } else { "type" };
    let type_name = match type_name {
        "table" | "arrowtable" if snake => "arrowtable",
        "table" | "arrowtable" => "table",
        other => other,
    };
    let (transport, encoding, size, text) = match data {
        Data::Bytes(bytes) => {
            ("direct", "base64", bytes.len() as u64, format!("\"{}\"", base64::encode(bytes)))
        }
        Data::Link(url, size) => ("link", "none", *size, string(url)),
    };
    format!(
        "{{\"id\":{},\"dataname\":{},\"{type_key}\":{},\"transport\":\"{transport}\",\
         \"encoding\":\"{encoding}\",\"size\":{size},\"data\":{text},\"metadata\":{metadata}}}",
        string(id),
        string(dataname),
        string(type_name)
    )
}
