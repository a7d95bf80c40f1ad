//! Structured test data from plain bytes, for property tests and fuzzers alike: an exhausted source gives zeros, and
//! zeros give the simplest thing, so that shrinking the bytes shrinks the message.

use crate::oracle::{base64, write};

/// Bytes to take choices from.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (byte, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *byte
    }

    /// A number below `bound`; 0 when exhausted.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let wide =
            if bound > 256 { usize::from(self.byte()) << 16 | usize::from(self.byte()) << 8 } else { 0 };
        (wide | usize::from(self.byte())) % bound.max(1)
    }

    /// Seldom true, never when exhausted.
    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(crate) fn bytes(&mut self, max_len: usize) -> Vec<u8> {
        let len = self.below(max_len + 1);
        (0..len).map(|_| self.byte()).collect()
    }

    pub(crate) fn text(&mut self, max_len: usize) -> String {
        let len = self.below(max_len + 1);
        (0..len)
            .map(|_| match self.below(32) {
                0 => self.pick(&['"', '\\', '/', '\u{7f}', '=', '{', '[']),
                1 => char::from(self.byte() % 0x20),
                2 => self
                    .pick(&['é', 'ß', '€', '語', '\u{2028}', '\u{d7ff}', '\u{e000}', '\u{fffd}', '\u{ffff}']),
                3 => self.pick(&['😀', '\u{10000}', '\u{10ffff}']),
                _ => char::from(b' ' + self.byte() % 0x5f),
            })
            .collect()
    }
}

/// A message that is mostly valid: keys in any order and dialect, escapes, white space, unknown keys, payloads of
/// every kind; seldom with a value of the wrong type or a key twice.
pub(crate) fn message(source: &mut Source<'_>) -> String {
    let snake = source.one_in(2);
    let mut pairs = Vec::new();
    let strings = [
        ["correlationId", "correlation_id"],
        ["msgId", "msg_id"],
        ["timestamp", "timestamp"],
        ["sendTo", "send_to"],
        ["msgPurpose", "msg_purpose"],
        ["senderName", "sender_name"],
        ["senderId", "sender_id"],
        ["receiverName", "receiver_name"],
        ["receiverId", "receiver_id"],
        ["replyTo", "reply_to"],
        ["replyToMsgId", "reply_to_msg_id"],
        ["brokerURL", "broker_url"],
    ];
    for names in strings {
        if source.one_in(3) {
            let name = names[usize::from(snake ^ source.one_in(12))];
            let name = if name == "brokerURL" && source.one_in(3) { "BrokerURL" } else { name };
            pairs.push((key(source, name), string_field(source)));
        }
    }
    if source.one_in(3) {
        pairs.push((key(source, "metadata"), metadata(source)));
    }
    let mut payloads = Vec::new();
    let count = if source.one_in(16) { 9 } else { source.below(4) };
    for _ in 0..count {
        payloads.push(if source.one_in(24) { value(source, 2) } else { payload(source, snake) });
    }
    let separator = format!(",{}", space(source));
    let payloads = match source.below(40) {
        38 => value(source, 2),
        39 => "null".into(),
        _ => format!("[{}{}]", space(source), payloads.join(&separator)),
    };
    pairs.push((key(source, "payloads"), payloads));
    object(source, pairs)
}

/// A message in the documented order of keys without any space, as most are; seldom something differs, in one place.
pub(crate) fn ordered_message(source: &mut Source<'_>) -> String {
    let camel = "correlationId msgId timestamp sendTo msgPurpose senderName senderId receiverName receiverId \
                 replyTo replyToMsgId brokerURL";
    let snake_case = "correlation_id msg_id timestamp send_to msg_purpose sender_name sender_id receiver_name \
                      receiver_id reply_to reply_to_msg_id broker_url";
    let snake = source.one_in(2);
    let mut out = String::from("{");
    for name in (if snake { snake_case } else { camel }).split_whitespace() {
        if source.one_in(60) {
            continue;
        }
        let text = match source.below(4) {
            0 => String::new(),
            1 => "5f0c3a4e-1b7d-4c52-9a3e-8d2f6b1c0e47".into(),
            2 => source.text(80),
            _ => "/chat/room1".into(),
        };
        let value = if source.one_in(40) { string_field(source) } else { write::string(&text) };
        out += &format!("\"{name}\"{}:{value},", odd_space(source));
    }
    if !source.one_in(40) {
        out += &format!("\"metadata\":{},", ordered_metadata(source));
    }
    let count = if source.one_in(16) { 9 + source.below(90) } else { source.below(4) };
    let payloads: Vec<_> = (0..count).map(|_| ordered_payload(source, snake)).collect();
    out += &format!("\"payloads\":[{}{}]", odd_space(source), payloads.join(","));
    if source.one_in(30) {
        let name = source.pick(&["msgId", "payloads", "x", "metadata"]);
        out += &format!(",\"{name}\":{}", value(source, 0));
    }
    out + source.pick(&["}", "}", "}", "}", "}\n"])
}

fn ordered_payload(source: &mut Source<'_>, snake: bool) -> String {
    let type_key = if snake ^ source.one_in(30) { "payload_type" } else { "type" };
    let types = ["text", "dictionary", "table", "arrowtable", "jsontable", "binary", "image", "new-kind", ""];
    let type_name = source.pick(&types);
    let max_len = if source.one_in(4) { 700 } else { 70 };
    let raw = source.bytes(max_len);
    let mut text = base64::encode(&raw);
    let mut size = raw.len().to_string();
    match source.below(24) {
        22 | 23 => text = text.trim_end_matches('=').into(),
        2 => text = text.replace('+', "-").replace('/', "_"),
        3 => text += source.pick(&["\\n", "\\r\\n", "\n", "\r\n", "=", " ", "\\u000a"]),
        4 | 5 => {
            let piece =
                source.pick(&["-", "+", "_", "/", "=", "*", "\n", "é", "\\/", "\\u0041", "\"", "\u{1}"]);
            let at = source.below(text.len() + 1);
            if source.one_in(2) {
                text.insert_str(at, piece);
            } else {
                text.replace_range(at..(at + piece.len()).min(text.len()), piece);
            }
        }
        6 => size = source.below(800).to_string(),
        7 => {
            let sizes = [
                "null",
                "007",
                "1.0",
                "-0",
                "1e1",
                "9223372036854775807",
                "18446744073709551615",
                "\"5\"",
                "",
            ];
            size = source.pick(&sizes).into();
        }
        8 => text = write::string(&value(source, 3)).trim_matches('"').into(),
        _ => {}
    }
    let data = if source.one_in(20) { value(source, 3) } else { format!("\"{text}\"") };
    let transport = source.pick(&[
        "\"transport\":\"direct\",\"encoding\":\"base64\"",
        "\"transport\":\"direct\",\"encoding\":\"base64\"",
        "\"transport\":\"direct\",\"encoding\":\"base64\"",
        "\"transport\":\"link\",\"encoding\":\"none\"",
        "\"transport\":\"link\",\"encoding\":\"base64\"",
        "\"encoding\":\"json\",\"transport\":\"direct\"",
        "\"transport\":\"pigeon\",\"encoding\":\"base64\"",
        "\"transport\":null,\"encoding\":7",
    ]);
    let id = write::string(&source.text(40));
    let name = write::string(&source.text(20));
    let mut pairs = vec![
        format!("\"id\":{id}"),
        format!("\"dataname\":{}{name}", odd_space(source)),
        format!("\"{type_key}\":\"{type_name}\""),
        transport.into(),
        format!("\"size\":{size}"),
        format!("\"data\":{data}"),
        format!("\"metadata\":{}", ordered_metadata(source)),
    ];
    match source.below(30) {
        0 => {
            pairs.remove(source.below(7));
        }
        1 => pairs.swap(source.below(7), source.below(7)),
        2 => pairs.push(pairs[source.below(7)].clone()),
        3 => pairs.push(format!("\"x\":{}", value(source, 0))),
        _ => {}
    }
    format!("{{{}{}}}", pairs.join(","), odd_space(source))
}

fn ordered_metadata(source: &mut Source<'_>) -> String {
    match source.below(12) {
        9 => metadata(source),
        10 => {
            let digests = [
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "559aead0",
            ];
            format!("{{\"sha256\":\"{}\"}}", source.pick(&digests))
        }
        11 => "{ }".into(),
        _ => "{}".into(),
    }
}

fn odd_space(source: &mut Source<'_>) -> &'static str {
    if source.one_in(100) { source.pick(&[" ", "\n"]) } else { "" }
}

fn payload(source: &mut Source<'_>, snake: bool) -> String {
    let mut pairs = Vec::new();
    for name in ["id", "dataname", "encoding"] {
        if source.one_in(2) {
            pairs.push((key(source, name), string_field(source)));
        }
    }
    let types = ["text", "dictionary", "table", "arrowtable", "jsontable", "binary", "image", "new-kind", ""];
    let type_name = source.pick(&types);
    let type_key = if snake ^ source.one_in(12) { "payload_type" } else { "type" };
    if !source.one_in(24) {
        pairs.push((key(source, type_key), string(source, type_name)));
    }
    let transport =
        if source.one_in(24) { "pigeon" } else { source.pick(&["direct", "direct", "direct", "link"]) };
    if !source.one_in(24) {
        pairs.push((key(source, "transport"), string(source, transport)));
    }
    if source.one_in(2) {
        let sizes = [
            "0",
            "5",
            "12.0",
            "1.2e1",
            "1e3",
            "-0",
            "1.5",
            "-1",
            "9223372036854775807",
            "9223372036854775808",
            "null",
            "\"5\"",
            "1E+2",
            "10e-1",
            "0.5e1",
        ];
        pairs.push((key(source, "size"), source.pick(&sizes).into()));
    }
    if source.one_in(3) {
        pairs.push((key(source, "metadata"), metadata(source)));
    }
    let data = match source.below(12) {
        0..=3 => {
            let mut text = base64::encode(&source.bytes(80));
            match source.below(8) {
                0 => text = text.trim_end_matches('=').into(),
                1 => text = text.replace('+', "-").replace('/', "_"),
                2 => text += source.pick(&["\n", "\r\n", "\r", "=", " ", "\n\n"]),
                3 => text.insert_str(
                    source.below(text.len() + 1),
                    source.pick(&["-", "+", "_", "/", "=", "*", "\n", "é"]),
                ),
                _ => {}
            }
            string(source, &text)
        }
        4..=6 => {
            let text = format!("{}{}", space(source), value(source, 2));
            string(source, &text)
        }
        7..=9 => value(source, 3),
        10 => string(source, "http://localhost:8080/file/a/b/c"),
        _ => string_field(source),
    };
    if !source.one_in(24) {
        pairs.push((key(source, "data"), data));
    }
    object(source, pairs)
}

/// The object of these pairs in a random order, with unknown keys between them and white space around tokens.
fn object(source: &mut Source<'_>, mut pairs: Vec<(String, String)>) -> String {
    if source.one_in(4) {
        let names = ["x", "msgid", "Type", "payload", "", "data ", "correlationID", "type\u{0}"];
        let name = source.pick(&names);
        pairs.push((key(source, name), value(source, 0)));
    }
    if source.one_in(24) && !pairs.is_empty() {
        pairs.push(pairs[source.below(pairs.len())].clone());
    }
    if source.one_in(2) {
        for at in (1..pairs.len()).rev() {
            pairs.swap(at, source.below(at + 1));
        }
    }
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(key, value)| {
            format!("{}{key}{}:{}{value}{}", space(source), space(source), space(source), space(source))
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}

fn space(source: &mut Source<'_>) -> &'static str {
    if source.one_in(8) { source.pick(&[" ", "\n", "\t", "\r\n", "  "]) } else { "" }
}

fn key(source: &mut Source<'_>, name: &str) -> String {
    string(source, name)
}

/// A JSON string, seldom with escapes that nothing needs.
fn string(source: &mut Source<'_>, text: &str) -> String {
    if !source.one_in(6) {
        return write::string(text);
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match source.below(4) {
            0 => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out +=
                        &if source.one_in(2) { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
                }
            }
            1 if letter == '/' => out += "\\/",
            _ => {
                let quoted = write::string(letter.encode_utf8(&mut [0; 4]));
                out += &quoted[1..quoted.len() - 1];
            }
        }
    }
    out + "\""
}

fn string_field(source: &mut Source<'_>) -> String {
    match source.below(40) {
        38 => value(source, 0),
        39 => "null".into(),
        _ => {
            let text = source.text(24);
            string(source, &text)
        }
    }
}

fn metadata(source: &mut Source<'_>) -> String {
    match source.below(20) {
        18 => value(source, 0),
        19 => "null".into(),
        _ => value(source, 3),
    }
}

/// Any value; with `depth` above 0 more likely an object or an array.
pub(crate) fn value(source: &mut Source<'_>, depth: usize) -> String {
    match source.below(16) + 4 * depth {
        0..=3 => source.pick(&["null", "true", "false"]).into(),
        4..=8 => {
            let numbers = [
                "0",
                "-0",
                "1",
                "-1.5",
                "1e3",
                "1E-3",
                "0.1",
                "123456789012345678901234567890",
                "1e400",
                "18446744073709551615",
                "-9223372036854775808",
                "18446744073709551616",
                "5e-324",
                "2.2250738585072011e-308",
                "-1e-400",
                "1.7976931348623157e308",
            ];
            source.pick(&numbers).into()
        }
        9..=12 => {
            let text = source.text(12);
            string(source, &text)
        }
        _ if source.one_in(24) => {
            let deep = 120 + source.below(12);
            "[".repeat(deep) + &"]".repeat(deep)
        }
        13 | 14 => {
            let items: Vec<_> = (0..source.below(4)).map(|_| value(source, 0)).collect();
            format!("[{}]", items.join(&format!("{},", space(source))))
        }
        _ => {
            let pairs = (0..source.below(4)).map(|_| {
                let name = source.pick(&["a", "b", "msgId", "type", "é", "sha256"]);
                (key(source, name), value(source, 0))
            });
            let pairs = pairs.collect();
            object_plain(pairs)
        }
    }
}

fn object_plain(pairs: Vec<(String, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", pairs.join(","))
}

/// Damages a text in a few places: bytes changed, removed, inserted, a piece twice, the end cut off.
pub(crate) fn mutate(source: &mut Source<'_>, text: &mut Vec<u8>) {
    let pieces: [&[u8]; 20] = [
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\u0041",
        b"\\ud83d",
        b"\\ude00",
        b"null",
        b"1",
        b"-",
        b"e9",
        b".",
        b"\xff",
        b"\xed\xa0\x80",
        b"\n",
        b"\"msgId\":\"\",",
    ];
    for _ in 0..source.below(4) {
        if text.is_empty() {
            return;
        }
        let at = source.below(text.len());
        match source.below(5) {
            0 => text[at] = source.byte(),
            1 => {
                text.remove(at);
            }
            2 => {
                let piece = source.pick(&pieces);
                text.splice(at..at, piece.iter().copied());
            }
            3 => {
                let end = (at + source.below(64)).min(text.len());
                let piece = text[at..end].to_vec();
                let to = source.below(text.len());
                text.splice(to..to, piece);
            }
            _ => text.truncate(at),
        }
    }
}
