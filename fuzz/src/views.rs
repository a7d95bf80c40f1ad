//! What reading a message costs and where its views point: into the message, and a small multiple of it.

use std::collections::HashSet;

use allocation_counter::measure;
use bytes::Bytes;
use natsbridge::{Content, Envelope, Limits};

use crate::properties;
use crate::source::{self, Source};

/// Bytes of one payload's entry, as `Limits::message_len` says; up to [`INLINE`] of them stand in the envelope itself.
const ENTRY: u64 = 88;
const INLINE: u64 = 8;
/// A list that doubles has room for twice what is in it, and while it moves it is there twice, the second time half as long.
const GROWTH: u64 = 3;
/// What a parser may take at once before it looks at how much there is: buffers of a fixed size, error texts.
const CONSTANT: u64 = 4096;

/// Bytes for each byte of JSON that is read as values: `[[0]]` makes two lists with room for four values each.
const VALUES: u64 = 128;

/// Any message, or one near the documented order of keys: every view lies inside it, and no step allocates more than a
/// small multiple of what it reads.
pub(crate) fn memory(bytes: &[u8]) {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let source = &mut Source::new(rest);
    let mut message = match choice % 4 {
        0 => rest.to_vec(),
        1 => source::message(source).into_bytes(),
        2 => source::ordered_message(source).into_bytes(),
        // Much of little: what is cheap to write and dear to hold.
        _ => {
            let piece = source.pick(&["0,", "{},", "[],", "null,", "\"\",", "{\"id\":\"\"},", "[[]],"]);
            let list = piece.repeat(source.below(3000));
            let list = list.trim_end_matches(',');
            match source.below(3) {
                0 => format!("{{\"payloads\":[{list}]}}"),
                1 => format!("{{\"payloads\":[],\"metadata\":{{\"a\":[{list}]}}}}"),
                _ => format!(
                    "{{\"payloads\":[{{\"type\":\"dictionary\",\"transport\":\"direct\",\"data\":[{list}]}}]}}"
                ),
            }
            .into_bytes()
        }
    };
    if choice % 8 >= 4 {
        source::mutate(source, &mut message);
    }
    check(Bytes::from(message));
}

/// What the entries of so many payloads take at most.
fn entries(count: u64) -> u64 {
    if count > INLINE { GROWTH * ENTRY * count } else { 0 }
}

fn check(message: Bytes) {
    let limits = Limits::default().payload_count(2048);
    let len = message.len() as u64;
    let mut decoded = None;
    let own = message.clone();
    let held = measure(|| decoded = Envelope::decode_with(own, &limits).ok()).bytes_max;
    let Some(envelope) = decoded else {
        // Payloads are noted as they come, so a message that ends badly has cost as much.
        let most = entries((len / 2).min(2048)) + GROWTH * len + CONSTANT;
        return assert!(held <= most, "{held} bytes for a refusal of {len}");
    };
    let count = envelope.payload_count() as u64;
    // Strings with escapes are copied.
    let most = entries(count) + GROWTH * len + CONSTANT;
    assert!(held <= most, "{held} bytes for a message of {len} with {count} payloads");

    let place = message.as_ptr_range();
    let within = |text: &[u8]| {
        let range = text.as_ptr_range();
        text.is_empty() || place.start <= range.start && range.end <= place.end
    };
    let escaped = strings_with_escapes(&message);
    let inside = |text: &[u8], what: &str| {
        assert!(within(text) || escaped.contains(text), "{what} is no part of the message");
    };
    // Its text is handed on as it is written.
    let inside_as_written = |text: &[u8], what: &str| {
        assert!(within(text), "{what} is no part of the message");
    };
    let strings = [
        envelope.correlation_id(),
        envelope.msg_id(),
        envelope.timestamp(),
        envelope.send_to(),
        envelope.msg_purpose(),
        envelope.sender_name(),
        envelope.sender_id(),
        envelope.receiver_name(),
        envelope.receiver_id(),
        envelope.reply_to(),
        envelope.reply_to_msg_id(),
        envelope.broker_url(),
    ];
    strings.into_iter().for_each(|text| inside(text.as_bytes(), "a string"));
    if envelope.metadata().as_json() != "{}" {
        inside_as_written(envelope.metadata().as_json().as_bytes(), "metadata");
    }
    check_values(|| drop(envelope.metadata().to_value::<serde_json::Value>()), envelope.metadata().as_json());

    for view in envelope.payloads() {
        let strings = [view.id(), view.dataname(), view.type_name(), view.encoding()];
        strings.into_iter().for_each(|text| inside(text.as_bytes(), "a payload's string"));
        if view.metadata().as_json() != "{}" {
            inside_as_written(view.metadata().as_json().as_bytes(), "a payload's metadata");
        }
        let most = match view.content() {
            Ok(Content::Base64(text)) => text.max_decoded_len() as u64 + CONSTANT,
            Ok(Content::Json(json)) => {
                inside(&json, "JSON");
                // JSON needs no decoding.
                if let Some(data) = properties::decoded(&view, &json) {
                    let text = std::str::from_utf8(data.bytes()).expect("it is a part of a message");
                    check_values(|| drop(data.json_value()), text);
                }
                json.len() as u64 + CONSTANT
            }
            Ok(Content::Link(url)) => {
                inside(url.as_bytes(), "a link");
                CONSTANT
            }
            Ok(_) | Err(_) => CONSTANT,
        };
        // The digest is looked up in the metadata by its key, and a text with escapes is copied before it is decoded.
        let most =
            most + GROWTH * view.metadata().as_json().len() as u64 + if escaped.is_empty() { 0 } else { len };
        let held = measure(|| drop(view.decode())).bytes_max;
        assert!(held <= most, "{held} bytes to decode a payload where {most} are enough");
    }
}

/// The texts of all strings of an accepted message that are written with escapes; only these are copied.
fn strings_with_escapes(message: &[u8]) -> HashSet<Vec<u8>> {
    let mut texts = HashSet::new();
    let mut at = 0;
    while at < message.len() {
        let start = at;
        at += 1;
        if message[start] != b'"' {
            continue;
        }
        let mut escapes = false;
        // The message is valid, so every string ends, and something follows each backslash.
        while message[at] != b'"' {
            let escape = message[at] == b'\\';
            escapes |= escape;
            at += if escape { 2 } else { 1 };
        }
        at += 1;
        if escapes {
            let text: String = serde_json::from_slice(&message[start..at]).expect("the message was accepted");
            texts.insert(text.into_bytes());
        }
    }
    texts
}

/// A tree of values takes a multiple of its text: two bytes of `0,` make a value, in lists that double as they grow.
fn check_values(read: impl FnOnce(), text: &str) {
    let held = measure(read).bytes_max;
    let most = VALUES * text.len() as u64 + 4 * CONSTANT;
    assert!(held <= most, "{held} bytes for the values of {} bytes of JSON", text.len());
}
