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
