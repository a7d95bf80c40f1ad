//! Messages that are nearly right: written from a grammar that strays, and then damaged. The same seed gives the same
//! messages.

use natsbridge_conformance::sha256;

pub(crate) struct Generator(u64);

const KEYS: [[&str; 2]; 12] = [
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
const TYPES: [&str; 11] = [
    "text",
    "dictionary",
    "table",
    "arrowtable",
    "jsontable",
    "image",
    "audio",
    "video",
    "binary",
    "novel",
    "",
];
const TEXTS: [&str; 14] = [
    "",
    "plain",
    "Grüße 👋🏽",
    "a/b\\c",
    "\"quoted\"",
    "\u{2028}\u{2029}\u{85}",
    "nul\0\u{1}\u{1f}\u{7f}",
    "tab\tline\nreturn\r",
    "שלום \u{202e}",
    "e\u{301}\u{feff}\u{fffd}\u{ffff}\u{10ffff}",
    "{\"a\":1}",
    "[1,2]",
    "2026-02-22T14:15:24.250Z",
    "msgId",
];
const NUMBERS: [&str; 26] = [
    "0",
    "-0",
    "1",
    "12",
    "12.0",
    "1e3",
    "1.5",
    "-1",
    "-0.0",
    "0.1",
    "1E+2",
    "120e-1",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e19",
    "123456789012345678901234567890",
    "5e-324",
    "1e-400",
    "2.5e-308",
    "1.7976931348623157e308",
    "1e400",
    "-1e309",
];
/// What is not JSON, or is hardly so.
const BROKEN: [&str; 16] = [
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "-",
    "NaN",
    "Infinity",
    "tru",
    "'a'",
    "\"\\x\"",
    "\"\\ud83d\"",
    "\"\\udc00\\ud83d\"",
    "\"\\u12g4\"",
    "\"\t\"",
    "/**/1",
];

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `below` - 1 (SplitMix64).
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// One message. A third of them are damaged after they were written.
    pub(crate) fn message(&mut self) -> Vec<u8> {
        let mut message = self.envelope().into_bytes();
        if self.chance(33) {
            for _ in 0..=self.below(2) {
                self.damage(&mut message);
            }
        }
        message
    }

    /// A JSON string of base64 that is not quite right.
    pub(crate) fn damaged_base64(&mut self) -> String {
        let raw: Vec<u8> = (0..self.below(40)).map(|_| self.below(256) as u8).collect();
        let text = self.base64(&raw, true);
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..self.below(3) {
            let at = self.below(chars.len() + 1);
            chars.insert(at, *self.pick(&[&'=', &'-', &'_', &'+', &'/', &'A', &'*', &' ', &'é', &'👋']));
        }
        serde_json::Value::from(String::from_iter(chars)).to_string()
    }

    fn envelope(&mut self) -> String {
        let dialect = self.below(2);
        // One in eight messages has something wrong on its upper level, so that most are looked at in full.
        let strays = self.chance(12);
        let mut members = Vec::new();
        for key in KEYS {
            if self.chance(60) {
                let mixed = self.chance(2);
                let value = self.field(strays);
                members.push(self.member(key[dialect ^ usize::from(mixed)], &value));
            }
        }
        if self.chance(50) {
            let metadata = if strays && self.chance(20) { self.value(0) } else { self.metadata(None) };
            members.push(self.member("metadata", &metadata));
        }
        if !strays || self.chance(90) {
            let list: Vec<String> = (0..self.below(4)).map(|_| self.payload(dialect)).collect();
            let list = if strays && self.chance(10) {
                self.value(0)
            } else {
                format!("[{}]", list.join(&self.comma()))
            };
            members.push(self.member("payloads", &list));
        }
        if strays && self.chance(30) {
            let key = if self.chance(20) { "BrokerURL" } else { KEYS[self.below(12)][self.below(2)] };
            let value = self.field(true);
            members.push(self.member(key, &value));
        }
        self.object(members)
    }

    fn field(&mut self, strays: bool) -> String {
        match self.below(if strays { 12 } else { 40 }) {
            0 => "null".to_owned(),
            1 if strays => self.value(0),
            _ => self.string(),
        }
    }

    fn payload(&mut self, dialect: usize) -> String {
        if self.chance(2) {
            return self.value(1);
        }
        let strays = self.chance(25);
        let kind = TYPES[self.below(if strays { 11 } else { 10 })];
        let (data, raw) = self.data(kind, strays);
        let mut members = Vec::new();
        for key in ["id", "dataname", "encoding"] {
            if self.chance(70) {
                let value = self.field(strays);
                members.push(self.member(key, &value));
            }
        }
        let mixed = self.chance(5);
        if !strays || self.chance(95) {
            let kind = self.spelt(kind);
            members.push(self.member(["type", "payload_type"][dialect ^ usize::from(mixed)], &kind));
        }
        let transport = match self.below(if strays { 10 } else { 12 }) {
            0 => "link",
            1 if strays => self.pick(&["", "Direct", "pigeon"]),
            _ => "direct",
        };
        let link = transport == "link";
        let transport = self.spelt(transport);
        members.push(self.member("transport", &transport));
        if self.chance(70) {
            let size = match self.below(10) {
                0..=5 => raw.as_ref().map_or(0, Vec::len).to_string(),
                6 => "null".to_owned(),
                _ if strays => self.value(1),
                _ => self.pick(&NUMBERS[..18]).to_owned(),
            };
            members.push(self.member("size", &size));
        }
        let data = if link && !strays { self.url() } else { data };
        members.push(self.member("data", &data));
        if self.chance(50) {
            let metadata =
                if strays && self.chance(10) { self.value(1) } else { self.metadata(raw.as_deref()) };
            members.push(self.member("metadata", &metadata));
        }
        if strays && self.chance(10) {
            let key = self.pick(&["type", "payload_type", "data", "size", "id"]);
            members.push(self.member(key, "null"));
        }
        self.object(members)
    }

    fn url(&mut self) -> String {
        let url = self.pick(&[
            "http://other.invalid/file/a/b/c",
            "HTTPS://OTHER.invalid:99/x?y",
            "http://u:p@other.invalid/",
            "ftp://other.invalid/x",
            "/file/a/b",
            "http:other.invalid",
            "",
            "QUJD",
        ]);
        self.spelt(url)
    }

    /// What stands behind `data`, and the raw bytes where they are known.
    fn data(&mut self, kind: &str, strays: bool) -> (String, Option<Vec<u8>>) {
        let raw = match kind {
            "text" if self.chance(90) => TEXTS[self.below(TEXTS.len())].as_bytes().to_vec(),
            "dictionary" => self.value(0).into_bytes(),
            "table" | "arrowtable" | "jsontable" => {
                let rows: Vec<String> = (0..self.below(3)).map(|_| self.metadata(None)).collect();
                if self.chance(85) {
                    format!(" [{}]", rows.join(",")).into_bytes()
                } else {
                    self.value(0).into_bytes()
                }
            }
            _ => (0..self.below(7)).map(|_| self.below(256) as u8).collect(),
        };
        if strays && self.chance(15) {
            return (self.value(1), None);
        }
        let json = std::str::from_utf8(&raw).ok().map(str::to_owned);
        match (self.below(10), json) {
            // Inline, for types that may and for types that may not.
            (0, Some(json)) if strays || kind.ends_with("table") || kind == "dictionary" => (json, None),
            (1, Some(json)) if strays || kind.ends_with("table") || kind == "dictionary" => {
                (self.spelt(&json), Some(raw))
            }
            _ => {
                let text = self.base64(&raw, strays);
                (self.spelt(&text), Some(raw))
            }
        }
    }

    fn base64(&mut self, raw: &[u8], strays: bool) -> String {
        let mut out = bytes::BytesMut::new();
        natsbridge::base64::encode_append(raw, &mut out);
        let mut text = String::from_utf8(out.to_vec()).unwrap();
        match self.below(8) {
            0 => text = text.replace('+', "-").replace('/', "_"),
            1 => text = text.trim_end_matches('=').to_owned(),
            2 => text.push('\n'),
            3 => text.push_str("\r\n"),
            4 if strays => {
                text.push_str(self.pick(&["=", "==", "\n\n", " ", "Q", "\r", "\u{2028}", "+_", "A=", "\0"]))
            }
            5 if strays => {
                text.pop();
            }
            6 if strays && !text.is_empty() => {
                let at = self.below(text.len());
                text.insert_str(at, self.pick(&["=", "-", "/", " ", "\n", "é", "B"]));
            }
            _ => {}
        }
        text
    }

    fn metadata(&mut self, raw: Option<&[u8]>) -> String {
        let mut members = Vec::new();
        for _ in 0..self.below(4) {
            let key = self.string();
            let (colon, value) = (self.space(), self.value(1));
            members.push(format!("{key}{colon}:{value}"));
        }
        if let Some(raw) = raw.filter(|_| self.chance(30)) {
            let digest = match self.below(5) {
                0 => "\"00\"".to_owned(),
                1 => "null".to_owned(),
                2 => format!("\"{}\"", sha256(b"other")),
                3 => format!("\"{}\"", sha256(raw).to_uppercase()),
                _ => format!("\"{}\"", sha256(raw)),
            };
            members.push(self.member("sha256", &digest));
        }
        self.object(members)
    }

    /// Any JSON value; now and then one that is none.
    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth > 4 { 12 } else { 18 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => "false".to_owned(),
            3..=6 => self.pick(&NUMBERS).to_owned(),
            7 if self.chance(15) => self.pick(&BROKEN).to_owned(),
            8 if self.chance(10) => {
                // On either side of the limit, but nowhere near it where peers print it back, deeper than it was.
                let depth = 90 + 60 * self.below(2);
                format!("{}{}", "[".repeat(depth), "]".repeat(depth))
            }
            7..=11 => self.string(),
            12..=14 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.value(depth + 1)).collect();
                format!("[{}{}{}]", self.space(), items.join(&self.comma()), self.space())
            }
            _ => {
                let mut members = Vec::new();
                for _ in 0..self.below(4) {
                    let (key, value) = (self.string(), self.value(depth + 1));
                    members.push(format!("{key}:{value}"));
                }
                self.object(members)
            }
        }
    }

    fn string(&mut self) -> String {
        let text = TEXTS[self.below(TEXTS.len())];
        self.spelt(text)
    }

    /// A JSON string of this text, escaped as it has to be, and here and there as it may be.
    fn spelt(&mut self, text: &str) -> String {
        let escapes = if self.chance(20) { 40 } else { 0 };
        let mut out = String::from("\"");
        for char in text.chars() {
            if self.chance(escapes) {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let hex = format!("\\u{unit:04x}");
                    out.push_str(&if self.chance(50) {
                        hex.to_uppercase().replace("\\U", "\\u")
                    } else {
                        hex
                    });
                }
                continue;
            }
            match char {
                '"' | '\\' => out.extend(['\\', char]),
                '/' if escapes > 0 => out.push_str("\\/"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
                _ => out.push(char),
            }
        }
        out.push('"');
        out
    }

    fn member(&mut self, key: &str, value: &str) -> String {
        let key = self.spelt(key);
        format!("{key}{}:{}{value}", self.space(), self.space())
    }

    /// The members in their order or another, and unknown ones between them.
    fn object(&mut self, mut members: Vec<String>) -> String {
        if self.chance(10) {
            let key = self.pick(&["x", "msgid", "Type", "payload", "größe", ""]);
            let value = self.value(2);
            members.push(self.member(key, &value));
        }
        if self.chance(30) {
            for last in (1..members.len()).rev() {
                members.swap(last, self.below(last + 1));
            }
        }
        format!("{{{}{}{}}}", self.space(), members.join(&self.comma()), self.space())
    }

    fn comma(&mut self) -> String {
        format!("{},{}", self.space(), self.space())
    }

    fn space(&mut self) -> &'static str {
        if self.chance(8) { self.pick(&[" ", "\n", "\t", "\r\n", "  "]) } else { "" }
    }

    fn damage(&mut self, message: &mut Vec<u8>) {
        if message.is_empty() {
            return;
        }
        let at = self.below(message.len());
        let until = (at + 1 + self.below(12)).min(message.len());
        match self.below(8) {
            0 => message.truncate(at),
            1 => drop(message.drain(at..until)),
            2 => {
                let copy = message[at..until].to_vec();
                message.splice(at..at, copy);
            }
            3 => message[at] = self.below(256) as u8,
            4 => message[at] ^= 1 << self.below(8),
            5 => {
                let bytes: &[u8] = self.pick(&[
                    b"\"".as_slice(),
                    b",",
                    b":",
                    b"{",
                    b"}",
                    b"[",
                    b"]",
                    b"\\",
                    b"\0",
                    b"\xff",
                    b"\xc3",
                    b"\xed\xa0\x80",
                    b"null",
                    b"1",
                    b"\xef\xbb\xbf",
                    b" ",
                ]);
                message.splice(at..at, bytes.iter().copied());
            }
            6 => {
                let other = self.below(message.len());
                message.swap(at, other);
            }
            _ => message.extend_from_slice(self.pick(&[b" {}".as_slice(), b"\n", b"}", b"\0", b"null"])),
        }
    }
}
