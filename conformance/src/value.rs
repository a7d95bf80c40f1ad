//! JSON by value: a strict parser of its own, so that what is judged does not carry its own evidence, and the first
//! difference between two values.

use std::collections::BTreeMap;
use std::fmt;

/// A JSON value, with integers exact and every other number as the nearest double.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction and exponent that fits 64 bits, and any double that is a whole number.
    Integer(i128),
    /// Every other number.
    Float(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object. Of a key given twice the last value counts.
    Object(BTreeMap<String, Self>),
}

/// No case needs more, and each level is a call.
const MAX_DEPTH: usize = 512;

impl Value {
    /// Reads a whole JSON text by RFC 8259.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|error| format!("not UTF-8: {error}"))?;
        let mut parser = Parser { text: text.as_bytes(), at: 0 };
        let value = parser.value(0)?;
        parser.space();
        if parser.at < parser.text.len() {
            return Err(parser.wrong("something after the value"));
        }
        Ok(value)
    }

    /// Where the values differ first, if they do, as a path and what was found.
    pub fn difference(&self, found: &Self) -> Option<String> {
        match (self, found) {
            (Self::Array(a), Self::Array(b)) if a.len() == b.len() => a
                .iter()
                .zip(b)
                .enumerate()
                .find_map(|(at, (a, b))| a.difference(b).map(|rest| format!("[{at}]{rest}"))),
            (Self::Object(a), Self::Object(b)) if a.keys().eq(b.keys()) => {
                a.iter().find_map(|(key, a)| a.difference(&b[key]).map(|rest| format!(".{key}{rest}")))
            }
            (a, b) if a == b => None,
            (a, b) => Some(format!(" is {b:.200}, not {a:.200}")),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        let cut = f.precision().and_then(|most| text.char_indices().nth(most));
        match cut {
            Some((at, _)) => write!(f, "{}...", &text[..at]),
            None => f.write_str(&text),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value {
    fn write(&self, out: &mut String) {
        use fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Null => write!(out, "null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            Self::Float(value) => write!(out, "{value:e}"),
            Self::String(value) => write!(out, "{value:?}"),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    item.write(out);
                }
                write!(out, "]")
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    let _ = write!(out, "{comma}{key:?}:");
                    value.write(out);
                }
                write!(out, "}}")
            }
        };
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("not JSON: {what} at byte {}", self.at)
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("too deep"));
        }
        self.space();
        match self.text.get(self.at) {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take(b"null") => Ok(Value::Null),
            _ if self.take(b"true") => Ok(Value::Bool(true)),
            _ if self.take(b"false") => Ok(Value::Bool(false)),
            _ => Err(self.wrong("no value")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b"]") {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b"]") {
                return Ok(Value::Array(items));
            }
            if !self.take(b",") {
                return Err(self.wrong("neither , nor ]"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut members = BTreeMap::new();
        self.space();
        if self.take(b"}") {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            if self.text.get(self.at) != Some(&b'"') {
                return Err(self.wrong("no key"));
            }
            let key = self.string()?;
            self.space();
            if !self.take(b":") {
                return Err(self.wrong("no :"));
            }
            members.insert(key, self.value(depth + 1)?);
            self.space();
            if self.take(b"}") {
                return Ok(Value::Object(members));
            }
            if !self.take(b",") {
                return Err(self.wrong("neither , nor }"));
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let Some(&byte) = self.text.get(self.at) else { return Err(self.wrong("an open string")) };
            self.at += 1;
            match byte {
                // What came in was UTF-8, and what was added are whole characters.
                b'"' => return String::from_utf8(out).map_err(|_| self.wrong("not UTF-8")),
                b'\\' => {
                    let character = self.escape()?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return Err(self.wrong("a raw control character")),
                _ => out.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let Some(&byte) = self.text.get(self.at) else { return Err(self.wrong("an open escape")) };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                let code = match first {
                    0xd800..=0xdbff if self.take(b"\\u") => {
                        let second = self.unit()?;
                        if !(0xdc00..=0xdfff).contains(&second) {
                            return Err(self.wrong("a lone surrogate"));
                        }
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    code => code,
                };
                char::from_u32(code).ok_or_else(|| self.wrong("a lone surrogate"))?
            }
            _ => return Err(self.wrong("an unknown escape")),
        })
    }

    fn unit(&mut self) -> Result<u32, String> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|text| text.iter().all(u8::is_ascii_hexdigit));
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        self.at += 4;
        unit.ok_or_else(|| self.wrong("no four hex digits"))
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.take(b"-");
        if !self.take(b"0") && self.digits() == 0 {
            return Err(self.wrong("no digit"));
        }
        let mut plain = true;
        if self.take(b".") {
            plain = false;
            if self.digits() == 0 {
                return Err(self.wrong("no digit"));
            }
        }
        if self.take(b"e") || self.take(b"E") {
            plain = false;
            if !self.take(b"+") {
                self.take(b"-");
            }
            if self.digits() == 0 {
                return Err(self.wrong("no digit"));
            }
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        // The format has 64 bits; what is beyond is a double, in every port.
        let exact = text
            .parse::<i128>()
            .ok()
            .filter(|value| plain && *value >= i128::from(i64::MIN) && *value <= i128::from(u64::MAX));
        if let Some(value) = exact {
            return Ok(Value::Integer(value));
        }
        let value: f64 = text.parse().map_err(|_| self.wrong("no number"))?;
        if value.is_infinite() {
            return Err(self.wrong("a number beyond every double"));
        }
        // `1`, `1.0` and `1e0` are one number, and so are a whole double and the integer that it is.
        const MOST: f64 = 1e38;
        let whole = value.fract() == 0.0 && value.abs() < MOST;
        Ok(if whole { Value::Integer(value as i128) } else { Value::Float(value) })
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    fn same(a: &str, b: &str) -> bool {
        Value::parse(a.as_bytes()).unwrap().difference(&Value::parse(b.as_bytes()).unwrap()).is_none()
    }

    #[test]
    fn values_count_and_spellings_do_not() {
        for (a, b, equal) in [
            ("1", "1.0", true),
            ("-0", "0", true),
            ("1e2", "100", true),
            ("18446744073709551615", "18446744073709551615", true),
            ("18446744073709551615", "18446744073709551614", false),
            ("9007199254740993", "9007199254740992", false),
            ("9007199254740993.0", "9007199254740992", true),
            ("1000000000000000000000", "1e21", true),
            ("0.1", "1e-1", true),
            ("5e-324", "4.9e-324", true),
            (r#"{"a":1,"b":[]}"#, r#" {"b" : [ ], "a":1} "#, true),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, true),
            (r#""\u0041\ud83d\ude00\/""#, "\"A😀/\"", true),
            ("[1,2]", "[2,1]", false),
            ("null", "0", false),
        ] {
            assert_eq!(same(a, b), equal, "{a} {b}");
        }
    }

    #[test]
    fn what_is_not_strict_is_refused() {
        for text in [
            "",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "NaN",
            "1e400",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "'a'",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\\u12\"",
            "1 2",
            "nul",
            "[",
            "\"",
            "\u{feff}1",
        ] {
            assert!(Value::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Value::parse(b"\"\xff\"").is_err());
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Value::parse(deep(200).as_bytes()).is_ok());
        assert!(Value::parse(deep(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_difference_has_a_path() {
        let a = Value::parse(br#"{"a":[1,{"b":"x"}]}"#).unwrap();
        let b = Value::parse(br#"{"a":[1,{"b":"y"}]}"#).unwrap();
        assert_eq!(a.difference(&b).unwrap(), r#".a[1].b is "y", not "x""#);
    }
}
