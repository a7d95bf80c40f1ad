//! Bytes to [`Envelope`]: one pass, positions only.

use bytes::Bytes;
use smallvec::SmallVec;

use super::names::{self, Dialect, Field, PayloadField, STRING_FIELDS};
use super::scan::{Kind, RawString, Scan, ScanError, Scanner, unescape_into};
use super::{DataSpan, Entry, Envelope, Span, Text, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::payload::PayloadType;

/// The depth at which things stand in a message, the outermost object being 1.
const FIELD_DEPTH: usize = 2;
const PAYLOAD_DEPTH: usize = 3;
const PAYLOAD_FIELD_DEPTH: usize = 4;

pub(super) fn decode(body: Bytes, limits: &Limits) -> Result<Envelope> {
    let max_len = limits.message_len.min(u32::MAX as usize);
    if body.len() > max_len {
        return Err(Error::new(ErrorKind::LimitExceeded, "the message is longer than this receiver accepts")
            .with_size(body.len() as u64, max_len as u64));
    }
    let mut reader = Reader {
        scanner: Scanner::new(&body),
        resolved: String::new(),
        dialect: None,
        strings: Default::default(),
        metadata: Span::default(),
        payloads: SmallVec::new(),
        max_payloads: limits.payload_count,
    };
    match reader.message() {
        Ok(()) => {}
        Err(ScanError { offset, what: TOO_MANY }) => {
            return Err(Error::new(ErrorKind::LimitExceeded, TOO_MANY)
                .at(offset as u64)
                .with_size(limits.payload_count as u64 + 1, limits.payload_count as u64));
        }
        Err(ScanError { offset, what }) => {
            return Err(Error::new(ErrorKind::Malformed, what).at(offset as u64));
        }
    }
    let Reader { resolved, dialect, strings, metadata, payloads, .. } = reader;
    Ok(Envelope { resolved, dialect: dialect.unwrap_or_default(), strings, metadata, payloads, body })
}

const TOO_MANY: &str = "more payloads than this receiver accepts";

struct Reader<'a> {
    scanner: Scanner<'a>,
    resolved: String,
    dialect: Option<Dialect>,
    strings: [Text; STRING_FIELDS],
    metadata: Span,
    payloads: SmallVec<[Entry; super::INLINE_PAYLOADS]>,
    max_payloads: usize,
}

impl Reader<'_> {
    fn message(&mut self) -> Scan<()> {
        if self.scanner.input().starts_with(b"\xEF\xBB\xBF") {
            return Err(ScanError { offset: 0, what: "a byte order mark is not allowed" });
        }
        self.scanner.expect(b'{', "expected a JSON object")?;
        let mut seen = Seen::default();
        let mut has_payloads = false;
        if !self.scanner.take(b'}') {
            let mut position = 0;
            loop {
                let (at, found) = self.key(|key| names::find_field(key, position))?;
                match found {
                    None => self.scanner.skip(FIELD_DEPTH)?,
                    Some(field) => {
                        seen.once(field as u32, at)?;
                        has_payloads |= field == Field::Payloads;
                        self.field(field)?;
                        position = field as usize + 1;
                    }
                }
                if !self.scanner.take(b',') {
                    self.scanner.expect(b'}', "expected a comma or the end of the object")?;
                    break;
                }
            }
        }
        self.scanner.end()?;
        if has_payloads { Ok(()) } else { self.scanner.fail("the message has no payloads array") }
    }

    fn field(&mut self, field: Field) -> Scan<()> {
        match field {
            Field::Payloads => self.payloads(),
            Field::Metadata => {
                self.metadata = match self.scanner.kind()? {
                    Kind::Null => self.null()?,
                    Kind::Object => self.value(FIELD_DEPTH)?,
                    _ => return self.scanner.fail("metadata must be an object"),
                };
                Ok(())
            }
            string => {
                let text = match self.scanner.kind()? {
                    Kind::Null => Text::Body(self.null()?),
                    Kind::String => {
                        let raw = self.scanner.string()?;
                        self.resolve(&raw)
                    }
                    _ => return self.scanner.fail("this key's value must be a string"),
                };
                // Only Metadata and Payloads are not below STRING_FIELDS.
                self.strings[string as usize] = text;
                Ok(())
            }
        }
    }

    fn payloads(&mut self) -> Scan<()> {
        if self.scanner.kind()? != Kind::Array {
            return self.scanner.fail("payloads must be an array");
        }
        self.scanner.take(b'[');
        if self.scanner.take(b']') {
            return Ok(());
        }
        loop {
            if self.payloads.len() == self.max_payloads {
                return self.scanner.fail(TOO_MANY);
            }
            let entry = self.payload()?;
            self.payloads.push(entry);
            if !self.scanner.take(b',') {
                return self.scanner.expect(b']', "expected a comma or the end of the array");
            }
        }
    }

    fn payload(&mut self) -> Scan<Entry> {
        let mut entry = Entry::default();
        let kind = self.scanner.kind()?;
        let start = self.scanner.pos();
        if kind != Kind::Object {
            self.scanner.skip(PAYLOAD_DEPTH)?;
            entry.defect = Some((start as u32, "a payload must be an object"));
            return Ok(entry);
        }
        self.scanner.take(b'{');
        let mut seen = Seen::default();
        if !self.scanner.take(b'}') {
            let mut position = 0;
            loop {
                let (at, found) = self.key(|key| names::find_payload_field(key, position))?;
                match found {
                    None => self.scanner.skip(PAYLOAD_FIELD_DEPTH)?,
                    Some(field) => {
                        seen.once(field as u32, at)?;
                        self.payload_field(field, &mut entry)?;
                        position = field as usize + 1;
                    }
                }
                if !self.scanner.take(b',') {
                    self.scanner.expect(b'}', "expected a comma or the end of the object")?;
                    break;
                }
            }
        }
        self.judge(&mut entry, start as u32);
        Ok(entry)
    }

    fn payload_field(&mut self, field: PayloadField, entry: &mut Entry) -> Scan<()> {
        let kind = self.scanner.kind()?;
        let at = self.scanner.pos() as u32;
        let mut defect = |what| {
            entry.defect.get_or_insert((at, what));
        };
        let target = match field {
            PayloadField::Id => &mut entry.id,
            PayloadField::Dataname => &mut entry.dataname,
            PayloadField::Type => &mut entry.type_name,
            PayloadField::Transport => &mut entry.transport,
            PayloadField::Encoding => &mut entry.encoding,
            PayloadField::Size => {
                match kind {
                    Kind::Null => self.scanner.literal()?,
                    Kind::Number => {
                        let digits = self.scanner.number()?;
                        match integer(&self.scanner.input()[digits]) {
                            Some(size) => entry.size = Some(size),
                            None => defect("size must be a whole number from 0 to 2^63-1"),
                        }
                    }
                    _ => {
                        self.scanner.skip(PAYLOAD_FIELD_DEPTH)?;
                        defect("size must be a number");
                    }
                }
                return Ok(());
            }
            PayloadField::Data => {
                match kind {
                    Kind::Null => self.scanner.literal()?,
                    Kind::String => {
                        let raw = self.scanner.string()?;
                        entry.data = DataSpan::String { span: span(&raw.range), escaped: raw.escaped };
                    }
                    Kind::Object | Kind::Array => {
                        entry.data = DataSpan::Json(self.value(PAYLOAD_FIELD_DEPTH)?)
                    }
                    Kind::Number | Kind::Bool => {
                        self.scanner.skip(PAYLOAD_FIELD_DEPTH)?;
                        defect("data must be a string");
                    }
                }
                return Ok(());
            }
            PayloadField::Metadata => {
                match kind {
                    Kind::Null => self.scanner.literal()?,
                    Kind::Object => entry.metadata = self.value(PAYLOAD_FIELD_DEPTH)?,
                    _ => {
                        self.scanner.skip(PAYLOAD_FIELD_DEPTH)?;
                        defect("metadata must be an object");
                    }
                }
                return Ok(());
            }
        };
        match kind {
            Kind::Null => self.scanner.literal()?,
            Kind::String => {
                let raw = self.scanner.string()?;
                *target = self.resolve(&raw);
            }
            _ => {
                self.scanner.skip(PAYLOAD_FIELD_DEPTH)?;
                defect("this key's value must be a string");
            }
        }
        Ok(())
    }

    /// What a payload needs to be readable at all. `start` is where its object begins.
    fn judge(&self, entry: &mut Entry, start: u32) {
        if entry.defect.is_some() {
            return;
        }
        let type_name = self.text(entry.type_name);
        let transport = self.text(entry.transport);
        let what = if type_name.is_empty() {
            "the payload has no type"
        } else if transport.is_empty() {
            "the payload has no transport"
        } else if transport != Transport::Direct.as_str() && transport != Transport::Link.as_str() {
            "unknown transport"
        } else {
            match entry.data {
                DataSpan::Missing => "the payload has no data",
                DataSpan::Json(_) if transport == Transport::Link.as_str() => {
                    "a link's data must be a string"
                }
                DataSpan::Json(_) if !PayloadType::from_name(type_name).may_be_inline_json() => {
                    "data of this type must be a string"
                }
                DataSpan::String { .. } | DataSpan::Json(_) => return,
            }
        };
        entry.defect = Some((start, what));
    }

    /// A key, its position, and what `find` makes of it. Notes the dialect.
    fn key<F>(
        &mut self,
        find: impl FnOnce(&[u8]) -> Option<(F, Option<Dialect>)>,
    ) -> Scan<(usize, Option<F>)> {
        self.scanner.peek();
        let at = self.scanner.pos();
        let key = self.scanner.key()?;
        let raw = &self.scanner.input()[key.range];
        let found = if key.escaped {
            let mut resolved = Vec::new();
            unescape_into(raw, &mut resolved);
            find(&resolved)
        } else {
            find(raw)
        };
        Ok((
            at,
            found.map(|(field, dialect)| {
                self.dialect = self.dialect.or(dialect);
                field
            }),
        ))
    }

    fn null(&mut self) -> Scan<Span> {
        self.scanner.literal()?;
        Ok(Span::default())
    }

    fn value(&mut self, depth: usize) -> Scan<Span> {
        self.scanner.value(depth).map(|range| span(&range))
    }

    fn resolve(&mut self, raw: &RawString) -> Text {
        if !raw.escaped {
            return Text::Body(span(&raw.range));
        }
        let mut text = Vec::new();
        unescape_into(&self.scanner.input()[raw.range.clone()], &mut text);
        let start = self.resolved.len();
        // The scanner has checked the text and its escapes, so nothing is replaced here.
        self.resolved.push_str(&String::from_utf8_lossy(&text));
        Text::Resolved(span(&(start..self.resolved.len())))
    }

    fn text(&self, text: Text) -> &str {
        match text {
            Text::Body(span) => std::str::from_utf8(&self.scanner.input()[span.range()]).unwrap_or_default(),
            Text::Resolved(span) => &self.resolved[span.range()],
        }
    }
}

/// Which known keys an object has already had, in whatever spelling.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    fn once(&mut self, field: u32, at: usize) -> Scan<()> {
        if self.0 & 1 << field != 0 {
            return Err(ScanError { offset: at, what: "the same key twice in one object" });
        }
        self.0 |= 1 << field;
        Ok(())
    }
}

/// Positions fit 32 bits: `decode` refuses longer messages, and resolved text is never longer than its escapes.
fn span(range: &std::ops::Range<usize>) -> Span {
    Span { start: range.start as u32, end: range.end as u32 }
}

/// The value of a JSON number if it is a whole number from 0 to 2^63-1, however it is spelt: `12`, `12.0`, `1.2e1`.
fn integer(number: &[u8]) -> Option<u64> {
    let (negative, number) = match number.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match number.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&number[..at], exponent(&number[at + 1..])),
        None => (number, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    // The digits without the point, and where the point belongs among them.
    let mut point = whole.len() as i64 + exponent;
    let mut digits = whole.iter().chain(fraction);
    let mut value: u64 = 0;
    loop {
        match digits.next() {
            Some(&digit) if point > 0 => {
                value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
                point -= 1;
            }
            // Behind the point only zeros keep the number whole.
            Some(b'0') => {}
            Some(_) => return None,
            None => break,
        }
    }
    while point > 0 && value != 0 {
        value = value.checked_mul(10)?;
        point -= 1;
    }
    (value <= i64::MAX as u64 && !(negative && value != 0)).then_some(value)
}

/// An exponent, held within bounds that no message's digits can outweigh.
fn exponent(digits: &[u8]) -> i64 {
    const BOUND: i64 = 1 << 40;
    let (sign, digits) = match digits {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    sign * digits.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(BOUND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_judged_by_its_value() {
        for (text, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("12", Some(12)),
            ("12.0", Some(12)),
            ("1.2e1", Some(12)),
            ("120e-1", Some(12)),
            ("1e3", Some(1000)),
            ("0e999999999999", Some(0)),
            ("0.0e5", Some(0)),
            ("9223372036854775807", Some(i64::MAX as u64)),
            ("9223372036854775808", None),
            ("1e19", None),
            ("1e999999999999999999999", None),
            ("-1", None),
            ("1.5", None),
            ("15e-1", None),
            ("1e-1", None),
            ("0.1e1", Some(1)),
            ("18446744073709551616", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }
}
