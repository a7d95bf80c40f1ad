//! Metadata: a JSON object beside a message or a payload, for what the format does not name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::escape;
use super::scan::{self, Scanner};
use crate::decimal::nearest_f64;
use crate::error::{Error, ErrorKind, Result};
use crate::payload::dictionary;

/// The depth at which a value inside a payload's metadata stands; a message's metadata stands higher up, but one
/// rule for both is easier to remember.
const VALUE_DEPTH: usize = 5;

/// Metadata to send. Keys keep the order in which they were inserted.
///
/// # Examples
/// ```
/// use natsbridge::Metadata;
///
/// let mut metadata = Metadata::new();
/// metadata.insert("lang", "en")?.insert("attempt", 2)?;
/// assert_eq!(metadata.to_json(), r#"{"lang":"en","attempt":2}"#);
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Key, and the value as compact JSON.
    entries: Vec<(String, String)>,
}

impl Metadata {
    /// Empty metadata; costs nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key, in place if it is there already.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a value that cannot be written as JSON or nests too deeply.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Serialize) -> Result<&mut Self> {
        let json = dictionary::write(&value)?;
        self.insert_checked(key.into(), json)?;
        Ok(self)
    }

    /// Takes a key away.
    #[cfg(feature = "nats")]
    pub(crate) fn remove(&mut self, key: &str) {
        self.entries.retain(|(existing, _)| existing != key);
    }

    /// Sets a key to a string, which always works.
    #[cfg(feature = "nats")]
    pub(crate) fn set(&mut self, key: &str, text: &str) {
        let mut json = bytes::BytesMut::with_capacity(text.len() + 2);
        super::encode::write_string(&mut json, text);
        self.put(key.to_owned(), String::from_utf8_lossy(&json).into_owned());
    }

    fn insert_checked(&mut self, key: String, json: String) -> Result<()> {
        scan::check_at(json.as_bytes(), VALUE_DEPTH).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, format!("metadata: {}", error.what)).at(error.offset as u64)
        })?;
        self.put(key, json);
        Ok(())
    }

    fn put(&mut self, key: String, json: String) {
        match self.entries.iter_mut().find(|(existing, _)| *existing == key) {
            Some((_, value)) => *value = json,
            None => self.entries.push((key, json)),
        }
    }

    /// Metadata from any value that serialises to a JSON object.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it does not.
    pub fn from_value(value: impl Serialize) -> Result<Self> {
        Self::from_json(&dictionary::write(&value)?)
    }

    /// Metadata from the text of a JSON object; of a key given twice the last value counts. What is written is compact,
    /// with raw UTF-8 and shortest numbers, however the text spells them.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for anything else, with the offset, and for numbers beyond an f64.
    pub fn from_json(json: &str) -> Result<Self> {
        let invalid = |error: scan::ScanError| {
            Error::new(ErrorKind::InvalidInput, format!("metadata: {}", error.what)).at(error.offset as u64)
        };
        scan::check_at(json.as_bytes(), VALUE_DEPTH - 1).map_err(invalid)?;
        if !json.trim_start().starts_with('{') {
            return Err(Error::new(ErrorKind::InvalidInput, "metadata must be a JSON object"));
        }
        if let Some(offset) = dictionary::overflowing_number(json.as_bytes()) {
            let what = "metadata: a number is too large for a 64-bit float";
            return Err(Error::new(ErrorKind::InvalidInput, what).at(offset as u64));
        }
        let mut metadata = Self::new();
        // Looking for each key among all before it would take seconds for a megabyte of short ones.
        let mut places: HashMap<_, usize> = HashMap::new();
        for (key, value) in MetadataView::new(json.as_bytes()).entries() {
            let value = canonical(value);
            match places.entry(key) {
                Entry::Occupied(place) => metadata.entries[*place.get()].1 = value,
                Entry::Vacant(place) => {
                    metadata.entries.push((place.key().clone().into_owned(), value));
                    place.insert(metadata.entries.len() - 1);
                }
            }
        }
        Ok(metadata)
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The compact JSON object that is written.
    pub fn to_json(&self) -> String {
        let mut out = bytes::BytesMut::with_capacity(self.encoded_len());
        self.write(&mut out);
        // Keys are Strings and values checked JSON text, so the bytes are UTF-8.
        String::from_utf8_lossy(&out).into_owned()
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let commas = self.entries.len().saturating_sub(1);
        let pair = |(key, value): &(String, String)| super::encode::string_len(key) + 1 + value.len();
        2 + commas + self.entries.iter().map(pair).sum::<usize>()
    }

    pub(crate) fn write(&self, out: &mut bytes::BytesMut) {
        out.extend_from_slice(b"{");
        for (at, (key, value)) in self.entries.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b",");
            }
            super::encode::write_string(out, key);
            out.extend_from_slice(b":");
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"}");
    }
}

/// Writes valid JSON again as this crate writes it: no white space, strings in raw UTF-8, shortest numbers.
fn canonical(json: &[u8]) -> String {
    let mut out = bytes::BytesMut::with_capacity(json.len());
    let mut scanner = Scanner::new(json);
    while let Some(byte) = scanner.peek() {
        // The text has been checked as a whole, so none of these can fail.
        match byte {
            b'"' => {
                let Ok(string) = scanner.string() else { break };
                let mut text = Vec::new();
                escape::unescape_into(&json[string.range], &mut text);
                super::encode::write_string(&mut out, &String::from_utf8_lossy(&text));
            }
            b'-' | b'0'..=b'9' => {
                let Ok(number) = scanner.number() else { break };
                out.extend_from_slice(shortest(&String::from_utf8_lossy(&json[number])).as_bytes());
            }
            _ => {
                scanner.take(byte);
                out.extend_from_slice(&[byte]);
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Integers of 64 bits as they are, other numbers as the shortest text that reads back as the same float.
fn shortest(number: &str) -> String {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return number.to_owned();
    }
    // The text has been checked.
    let float = nearest_f64(number.as_bytes()).unwrap_or_default();
    serde_json::to_string(&float).unwrap_or_default()
}

/// Metadata of a received message or payload: checked JSON, parsed when asked for.
///
/// # Examples
/// ```
/// use natsbridge::Envelope;
///
/// let envelope = Envelope::decode(br#"{"metadata":{"lang":"en","n":2},"payloads":[]}"#.as_slice())?;
/// assert_eq!(envelope.metadata().get::<String>("lang"), Some("en".into()));
/// assert_eq!(envelope.metadata().get::<u8>("n"), Some(2));
/// assert_eq!(envelope.metadata().get::<String>("n"), None);
/// # Ok::<(), natsbridge::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct MetadataView<'a> {
    /// A valid JSON object, or nothing at all.
    json: &'a [u8],
}

impl<'a> MetadataView<'a> {
    pub(crate) fn new(json: &'a [u8]) -> Self {
        Self { json }
    }

    /// The JSON text as received; `{}` where metadata was missing or null.
    pub fn as_json(&self) -> &'a str {
        match std::str::from_utf8(self.json) {
            Ok(text) if !text.is_empty() => text,
            _ => "{}",
        }
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// The value of a key as the caller's type; `None` if it is missing or of another shape. Of a key given
    /// twice the last counts.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let value = self.entries().filter(|(name, _)| name == key).last()?.1;
        dictionary::read(value).ok()
    }

    /// All of it as the caller's type.
    ///
    /// # Errors
    /// [`InvalidJson`](ErrorKind::InvalidJson) if the metadata does not have that shape, or holds a number beyond
    /// an f64.
    pub fn to_value<T: DeserializeOwned>(&self) -> Result<T> {
        dictionary::read(self.as_json().as_bytes())
    }

    /// The payload's digest, if `sha256` is there.
    pub(crate) fn sha256(&self) -> Option<Sha256Entry> {
        if matches!(self.json, b"" | b"{}") {
            return None;
        }
        let (_, value) = self.entries().filter(|(name, _)| name == "sha256").last()?;
        let raw = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        // No digest is longer, were every digit an escape; and every payload's metadata is asked for one.
        let digest = raw.filter(|raw| raw.len() <= 64 * 6).and_then(|raw| {
            let mut digits = Vec::new();
            escape::unescape_into(raw, &mut digits);
            digest(&digits)
        });
        Some(digest.map_or(Sha256Entry::Unusable, Sha256Entry::Digest))
    }

    /// Keys, unescaped, with the slices of their values.
    fn entries(self) -> impl Iterator<Item = (Cow<'a, str>, &'a [u8])> {
        let mut scanner = Scanner::new(self.json);
        let mut more = scanner.take(b'{') && scanner.peek() == Some(b'"');
        std::iter::from_fn(move || {
            if !more {
                return None;
            }
            // The object has been checked as a whole, so none of these can fail.
            let key = scanner.key().ok()?;
            let value = scanner.value(1).ok()?;
            more = scanner.take(b',');
            let raw = &self.json[key.range];
            let name = if key.escaped {
                let mut name = Vec::new();
                escape::unescape_into(raw, &mut name);
                Cow::Owned(String::from_utf8_lossy(&name).into_owned())
            } else {
                String::from_utf8_lossy(raw)
            };
            Some((name, &self.json[value]))
        })
    }
}

/// What stands behind `sha256` in a payload's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sha256Entry {
    Digest([u8; 32]),
    /// Not a digest: ignored, and the payload counts as unverified.
    Unusable,
}

/// 64 hexadecimal digits in either case; anything else does not count as a digest.
fn digest(digits: &[u8]) -> Option<[u8; 32]> {
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        // Two hexadecimal digits make at most 255.
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Some(bytes)
}

impl fmt::Debug for MetadataView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_the_last_value_of_a_key_counts() {
        let metadata =
            Metadata::from_json(" { \"z\" : [ 1 , \"a b\\\" \" ] , \"a\\n\":2 ,\"z\":3 } ").unwrap();
        assert_eq!(metadata.to_json(), "{\"z\":3,\"a\\n\":2}");
        assert_eq!(metadata.encoded_len(), metadata.to_json().len());
        let spaced = Metadata::from_json("{\"z\":[ 1 , \"a b\\\\\\\" \" ]}").unwrap();
        assert_eq!(spaced.to_json(), "{\"z\":[1,\"a b\\\\\\\" \"]}");
        let spelt = Metadata::from_json(r#"{"\u00e9":"\u00e9\/\u000a","n":[1.50,-0,1e2]}"#).unwrap();
        assert_eq!(spelt.to_json(), "{\"é\":\"é/\\n\",\"n\":[1.5,-0,100.0]}");
        assert!(Metadata::from_json("{\"a\":1e400}").is_err());
        let long = format!("{{\"n\":0.{}9007199254740993e700016}}", "0".repeat(700_000));
        assert_eq!(Metadata::from_json(&long).unwrap().to_json(), "{\"n\":9007199254740992.0}");
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits_in_either_case() {
        let hex = "00ffAB".to_owned() + &"1".repeat(58);
        assert_eq!(digest(hex.as_bytes()).map(|bytes| bytes[..3].to_vec()), Some(vec![0, 255, 0xab]));
        for wrong in ["", "00", &"g".repeat(64), &"1".repeat(65), &"é".repeat(32)] {
            assert_eq!(digest(wrong.as_bytes()), None, "{wrong}");
        }
        let entry = |json: &str| MetadataView::new(json.as_bytes()).sha256();
        assert_eq!(
            entry(&format!("{{\"sha256\":\"{}\"}}", "0".repeat(64))),
            Some(Sha256Entry::Digest([0; 32]))
        );
        for unusable in ["{\"sha256\":7}", "{\"sha256\":null}", "{\"a\":1,\"sha256\":\"ab\"}"] {
            assert_eq!(entry(unusable), Some(Sha256Entry::Unusable), "{unusable}");
        }
        for none in ["", "{}", "{\"SHA256\":7}"] {
            assert_eq!(entry(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in ["[]", "1", "", "{", "{\"a\":1}x", "null"] {
            assert_eq!(Metadata::from_json(json).unwrap_err().kind(), ErrorKind::InvalidInput, "{json}");
        }
        assert!(Metadata::from_value(3).is_err());
        let deep = "[".repeat(124) + &"]".repeat(124);
        assert!(Metadata::from_json(&format!("{{\"a\":{deep}}}")).is_ok());
        assert!(Metadata::from_json(&format!("{{\"a\":[{deep}]}}")).is_err());
    }
}
