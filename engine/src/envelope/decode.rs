//! Bytes to [`Envelope`]: one pass, positions only.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::bounds;
use super::early::Early;
use super::names::{
    self, CAMEL_ORDER, CAMEL_TYPE, Camel, DATANAME, Dialect, FIELDS, Field, Order, PAYLOAD_FIELDS,
    PayloadField, SNAKE_ORDER, SNAKE_TYPE, STRING_FIELDS, Snake, Spelling, Word,
};
use super::scan::{Kind, Scan, ScanError, Scanner};
use super::size::{integer, plain_integer};
use super::strings::{Resolved, resolved_word, rest_of_text, span, string};
use super::{DataSpan, Defect, Entry, Envelope, Size, Span, Text, Transport};
use crate::base64;
use crate::base64::arch::{Baseline, Job, Level, dispatch};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::payload::PayloadType;

/// The depth at which things stand in a message, the outermost object being 1.
const FIELD_DEPTH: usize = 2;
const PAYLOAD_DEPTH: usize = 3;
const PAYLOAD_FIELD_DEPTH: usize = 4;

/// Reads a message; payloads that can be decoded on the way go to `early`. Without `fast`, every key is looked for as if it
/// might stand anywhere, with the instructions that every machine has.
#[inline(never)]
pub(super) fn decode(body: Bytes, limits: &Limits, early: Option<Early<'_>>, fast: bool) -> Result<Envelope> {
    // One value, returned in one place: so the compiler makes it where the caller wants it. It is large, and moving it
    // takes as long as reading a good part of the message.
    let mut result = Ok(Envelope::unread(body, limits));
    if let Ok(envelope) = &mut result
        && let Err(error) = read(envelope, limits, early, fast)
    {
        result = Err(error);
    }
    result
}

#[inline(always)]
fn read(envelope: &mut Envelope, limits: &Limits, early: Option<Early<'_>>, fast: bool) -> Result<()> {
    let max_len = limits.message_len.min(u32::MAX as usize);
    if envelope.body.len() > max_len {
        return Err(too_long(envelope.body.len(), max_len));
    }
    let max_decoded = usize::try_from(limits.payload_len).unwrap_or(usize::MAX);
    let (max_payloads, max_name) = (limits.payload_count, limits.name_len);
    let job = Decode { envelope: &mut *envelope, early, max_payloads, max_name, max_decoded, fast };
    let read = if fast { dispatch(job) } else { job.run(Baseline) };
    read.map_err(|error| refused(error, limits))?;
    // A short message holds nothing that is too long.
    if envelope.body.len() > limits.shortest() { bounds::check(envelope, limits) } else { Ok(()) }
}

#[cold]
fn too_long(len: usize, max_len: usize) -> Error {
    Error::new(ErrorKind::LimitExceeded, "the message is longer than `Limits::message_len` allows")
        .with_size(len as u64, max_len as u64)
}

#[cold]
fn refused(ScanError { offset, what }: ScanError, limits: &Limits) -> Error {
    if what == TOO_MANY {
        return Error::new(ErrorKind::LimitExceeded, TOO_MANY)
            .at(offset as u64)
            .with_size(limits.payload_count as u64 + 1, limits.payload_count as u64);
    }
    Error::new(ErrorKind::Malformed, what).at(offset as u64)
}

const TOO_MANY: &str = "more payloads than `Limits::payload_count` allows";

struct Decode<'a> {
    envelope: &'a mut Envelope,
    early: Option<Early<'a>>,
    max_payloads: usize,
    /// Longer texts are not copied.
    max_name: usize,
    /// Longer payloads are not decoded on the way.
    max_decoded: usize,
    fast: bool,
}

impl Job for Decode<'_> {
    type Output = Scan<()>;

    #[inline(always)]
    fn run<L: Level>(self, level: L) -> Scan<()> {
        let Self { envelope, early, max_payloads, max_name, max_decoded, fast } = self;
        let Envelope { body, resolved, dialect, strings, metadata, payloads, decoded, limits: _ } = envelope;
        let scanner = Scanner::at_level(level, body);
        let mut reader = Reader {
            scanner,
            resolved: &mut Resolved { text: resolved, max_name },
            dialect: None,
            strings,
            metadata,
            early,
            max_payloads,
            max_decoded,
            fast,
        };
        let read = reader.message(payloads);
        *dialect = reader.dialect.unwrap_or_default();
        if let Some(early) = reader.early {
            *decoded = early.finish();
        }
        read
    }
}

type Payloads = SmallVec<[Entry; super::INLINE_PAYLOADS]>;

/// Held by nobody but functions that are inlined, for the reason that the scanner gives.
struct Reader<'a, L> {
    scanner: Scanner<'a, L>,
    resolved: &'a mut Resolved<'a>,
    dialect: Option<Dialect>,
    strings: &'a mut [Text; STRING_FIELDS],
    metadata: &'a mut Span,
    early: Option<Early<'a>>,
    max_payloads: usize,
    max_decoded: usize,
    fast: bool,
}

impl<L: Level> Reader<'_, L> {
    #[inline(always)]
    fn message(&mut self, payloads: &mut Payloads) -> Scan<()> {
        if self.scanner.input().starts_with(b"\xEF\xBB\xBF") {
            return Err(ScanError { offset: 0, what: "a byte order mark is not allowed" });
        }
        let order = if !self.fast {
            None
        } else if self.scanner.skip_exact(Camel::STRINGS[0]) {
            Some(&CAMEL_ORDER)
        } else if self.scanner.skip_exact(Snake::STRINGS[0]) {
            Some(&SNAKE_ORDER)
        } else {
            None
        };
        let mut seen = Seen::default();
        // Whether the payloads are next, from behind their opening bracket.
        let mut elements = false;
        let mut more = if let Some(order) = order {
            let fields = self.in_order(order)?;
            seen = Seen::first(fields);
            elements = fields == FIELDS.len();
            !elements && self.more()?
        } else {
            self.scanner.expect(b'{', "expected a JSON object")?;
            !self.scanner.take(b'}')
        };
        loop {
            if elements {
                self.elements(payloads)?;
                elements = false;
            } else if more {
                if self.fast {
                    let (strings, find) = (&mut self.strings[..], names::find_string_field);
                    if !compact_strings(
                        &mut self.scanner,
                        &mut self.dialect,
                        self.resolved,
                        &mut seen,
                        strings,
                        find,
                    )? {
                        break;
                    }
                }
                let (at, key) = self.key()?;
                match self.known(names::find_field(key)) {
                    None => self.scanner.skip(FIELD_DEPTH)?,
                    Some(field) => {
                        seen.once(field as u32, at)?;
                        elements = self.field(field)?;
                        if elements {
                            continue;
                        }
                    }
                }
            } else {
                break;
            }
            more = self.more()?;
        }
        self.scanner.end()?;
        if seen.has(Field::Payloads as u32) {
            Ok(())
        } else {
            self.scanner.fail("the message has no payloads array")
        }
    }

    #[inline(always)]
    fn more(&mut self) -> Scan<bool> {
        more(&mut self.scanner)
    }

    /// Reads fields in the documented order, as this crate writes them, from behind the first key; how many there were.
    /// Of the payloads only the opening bracket. Whatever is not as expected has not been touched: the general path goes
    /// on behind the last value.
    #[inline(always)]
    fn in_order(&mut self, order: &Order) -> Scan<usize> {
        self.dialect = Some(order.dialect);
        for (at, (text, behind)) in self.strings.iter_mut().zip(&order.behind).enumerate() {
            *text = rest_of_text(&mut self.scanner, self.resolved)?;
            if !self.scanner.skip_piece(behind) {
                let fields = at + 1;
                return if fields == STRING_FIELDS { self.metadata_in_order(order) } else { Ok(fields) };
            }
        }
        let end = self.scanner.pos() - order.payloads.len;
        *self.metadata = span(&(end - 2..end));
        Ok(FIELDS.len())
    }

    /// The same from behind the last string where there is metadata.
    #[inline(always)]
    fn metadata_in_order(&mut self, order: &Order) -> Scan<usize> {
        if !self.scanner.skip_piece_before(&order.metadata, b'{') {
            return Ok(Field::Metadata as usize);
        }
        *self.metadata = self.value(FIELD_DEPTH)?;
        Ok(if self.scanner.skip_piece(&order.payloads) { FIELDS.len() } else { Field::Payloads as usize })
    }

    /// The value of a field, but of the payloads only the opening bracket: whether that is what was read.
    #[inline(always)]
    fn field(&mut self, field: Field) -> Scan<bool> {
        if let Some(text) = self.strings.get_mut(field as usize) {
            *text = match self.scanner.kind()? {
                Kind::String => string(&mut self.scanner, self.resolved)?,
                Kind::Null => {
                    self.scanner.literal()?;
                    Text::default()
                }
                _ => return self.scanner.fail("this key's value must be a string"),
            };
            return Ok(false);
        }
        let kind = self.scanner.kind()?;
        if field == Field::Payloads {
            if kind != Kind::Array {
                return self.scanner.fail("payloads must be an array");
            }
            self.scanner.take(b'[');
            return Ok(true);
        }
        match kind {
            Kind::Null => self.scanner.literal()?,
            Kind::Object => *self.metadata = self.value(FIELD_DEPTH)?,
            _ => return self.scanner.fail("metadata must be an object"),
        }
        Ok(false)
    }

    /// The payloads, from behind the opening bracket.
    #[inline(always)]
    fn elements(&mut self, payloads: &mut Payloads) -> Scan<()> {
        if self.scanner.take(b']') {
            return Ok(());
        }
        loop {
            if payloads.len() == self.max_payloads {
                return self.scanner.fail(TOO_MANY);
            }
            // In its place at once: copying what has just been written in small pieces would have to wait for it.
            payloads.push(Entry::default());
            if let Some(entry) = payloads.last_mut() {
                self.payload(entry)?;
            }
            if !self.scanner.take(b',') {
                return self.scanner.expect(b']', "expected a comma or the end of the array");
            }
        }
    }

    #[inline(always)]
    fn payload(&mut self, entry: &mut Entry) -> Scan<()> {
        let is_object = self.scanner.peek() == Some(b'{');
        let start = self.scanner.pos() as u32;
        if !is_object {
            self.scanner.skip(PAYLOAD_DEPTH)?;
            entry.defect = Some((start, Defect::NoObject));
            return Ok(());
        }
        let mut seen = Seen::default();
        let mut more = if self.fast && self.scanner.skip_exact(Camel::ID) {
            match self.payload_in_order(entry)? {
                // Nothing can be wrong with it but that its type is empty.
                None if !entry.text(PayloadField::Type).is_empty() && entry.decoded.is_some() => {
                    return Ok(());
                }
                None => false,
                Some(fields) => {
                    seen = Seen::first(fields);
                    self.more()?
                }
            }
        } else {
            self.scanner.take(b'{');
            !self.scanner.take(b'}')
        };
        while more {
            if self.fast {
                let (texts, find) = (&mut entry.texts[..], names::find_payload_string_field);
                more = compact_strings(
                    &mut self.scanner,
                    &mut self.dialect,
                    self.resolved,
                    &mut seen,
                    texts,
                    find,
                )?;
                if !more {
                    break;
                }
            }
            let (at, key) = self.key()?;
            match self.known(names::find_payload_field(key)) {
                None => self.scanner.skip(PAYLOAD_FIELD_DEPTH)?,
                Some(field) => {
                    seen.once(field as u32, at)?;
                    self.payload_field(field, entry)?;
                }
            }
            more = self.more()?;
        }
        self.judge(entry, start);
        if self.early.is_some() && entry.decoded.is_none() {
            self.decode_late(entry);
        }
        Ok(())
    }

    /// The same for a payload as for the fields in [`in_order`](Self::in_order). `None` if it was read to its end.
    #[inline(always)]
    fn payload_in_order(&mut self, entry: &mut Entry) -> Scan<Option<usize>> {
        entry.set_text(PayloadField::Id, self.rest_of_text()?);
        if !self.scanner.skip_piece(&DATANAME) {
            return Ok(Some(PayloadField::Dataname as usize));
        }
        entry.set_text(PayloadField::Dataname, self.rest_of_text()?);
        let spelled = if self.scanner.skip_piece(&CAMEL_TYPE) {
            Dialect::Camel
        } else if self.scanner.skip_piece(&SNAKE_TYPE) {
            Dialect::Snake
        } else {
            return Ok(Some(PayloadField::Type as usize));
        };
        self.dialect = self.dialect.or(Some(spelled));
        entry.set_text(PayloadField::Type, self.rest_of_text()?);

        let at = self.scanner.pos();
        let (direct, link) = (&Camel::DIRECT_SIZE[1..], &Camel::LINK_SIZE[1..]);
        let rest = &self.scanner.input()[at..];
        let (way, transport, encoding, digits) = if rest.starts_with(direct) {
            (
                Transport::Direct,
                const { place(Camel::DIRECT_SIZE, b"direct") },
                const { place(Camel::DIRECT_SIZE, b"base64") },
                direct.len(),
            )
        } else if rest.starts_with(link) {
            (
                Transport::Link,
                const { place(Camel::LINK_SIZE, b"link") },
                const { place(Camel::LINK_SIZE, b"none") },
                link.len(),
            )
        } else {
            return Ok(Some(PayloadField::Transport as usize));
        };
        let Some((size, size_len)) = plain_integer(&rest[digits..]) else {
            return Ok(Some(PayloadField::Transport as usize));
        };
        let within = |place: Range<usize>| Text::in_body(span(&(at + place.start..at + place.end)));
        entry.way = Some(way);
        entry.set_text(PayloadField::Transport, within(transport));
        entry.set_text(PayloadField::Encoding, within(encoding));
        entry.size = Size(size);
        self.scanner.skip_to(at + digits + size_len);
        if !self.scanner.skip_exact(Camel::DATA) {
            return Ok(Some(PayloadField::Data as usize));
        }
        self.rest_of_data(entry)?;
        if self.scanner.skip_exact(&Camel::NO_PAYLOAD_METADATA[1..]) {
            let end = self.scanner.pos() - 1;
            entry.metadata = span(&(end - 2..end));
            return Ok(None);
        }
        if !self.scanner.skip_exact_before(&Camel::PAYLOAD_METADATA[1..], b'{') {
            return Ok(Some(PayloadField::Metadata as usize));
        }
        entry.metadata = self.value(PAYLOAD_FIELD_DEPTH)?;
        Ok(Some(PAYLOAD_FIELDS.len()))
    }

    #[inline(always)]
    fn payload_field(&mut self, field: PayloadField, entry: &mut Entry) -> Scan<()> {
        let kind = self.scanner.kind()?;
        let at = self.scanner.pos() as u32;
        let mut defect = |what: Defect| {
            entry.defect.get_or_insert((at, what));
        };
        match field {
            PayloadField::Id
            | PayloadField::Dataname
            | PayloadField::Type
            | PayloadField::Transport
            | PayloadField::Encoding => match kind {
                Kind::String => {
                    let text = self.string()?;
                    entry.set_text(field, text);
                }
                Kind::Null => self.scanner.literal()?,
                _ => {
                    self.scanner.skip(PAYLOAD_FIELD_DEPTH)?;
                    defect(Defect::NoString);
                }
            },
            PayloadField::Size => match kind {
                Kind::Null => self.scanner.literal()?,
                Kind::Number => {
                    let digits = self.scanner.number()?;
                    match integer(&self.scanner.input()[digits]) {
                        Some(size) => entry.size = Size(size),
                        None => defect(Defect::SizeNotWhole),
                    }
                }
                _ => {
                    self.scanner.skip(PAYLOAD_FIELD_DEPTH)?;
                    defect(Defect::SizeNoNumber);
                }
            },
            PayloadField::Data => match kind {
                Kind::Null => self.scanner.literal()?,
                Kind::String => {
                    self.scanner.take(b'"');
                    self.rest_of_data(entry)?;
                }
                Kind::Object | Kind::Array => entry.data = DataSpan::Json(self.value(PAYLOAD_FIELD_DEPTH)?),
                Kind::Number | Kind::Bool => {
                    self.scanner.skip(PAYLOAD_FIELD_DEPTH)?;
                    defect(Defect::DataNoString);
                }
            },
            PayloadField::Metadata => match kind {
                Kind::Null => self.scanner.literal()?,
                Kind::Object => entry.metadata = self.value(PAYLOAD_FIELD_DEPTH)?,
                _ => {
                    self.scanner.skip(PAYLOAD_FIELD_DEPTH)?;
                    defect(Defect::MetadataNoObject);
                }
            },
        }
        Ok(())
    }

    /// What a payload needs to be readable at all. `start` is where its object begins.
    #[inline(always)]
    fn judge(&self, entry: &mut Entry, start: u32) {
        self.find_way(entry);
        if entry.defect.is_some() {
            return;
        }
        let what = if entry.text(PayloadField::Type).is_empty() {
            Defect::NoType
        } else if entry.text(PayloadField::Transport).is_empty() {
            Defect::NoTransport
        } else if entry.way.is_none() {
            Defect::UnknownTransport
        } else {
            match entry.data {
                DataSpan::Missing => Defect::NoData,
                DataSpan::Json(_) if entry.way == Some(Transport::Link) => Defect::LinkNoString,
                DataSpan::Json(_)
                    if !PayloadType::from_name(self.text(entry.text(PayloadField::Type)))
                        .may_be_inline_json() =>
                {
                    Defect::TypeNoInlineJson
                }
                DataSpan::String { .. } | DataSpan::Json(_) => return,
            }
        };
        entry.defect = Some((start, what));
    }

    /// What the transport means, if it has been read.
    #[inline(always)]
    fn find_way(&self, entry: &mut Entry) {
        if entry.way.is_none() {
            entry.way = Transport::from_name(self.text(entry.text(PayloadField::Transport)));
        }
    }

    /// The string behind `data`, from behind its opening quote.
    #[inline(always)]
    fn rest_of_data(&mut self, entry: &mut Entry) -> Scan<()> {
        if self.early.is_some() {
            self.find_way(entry);
        }
        if self.early.is_some() && self.decode_early(entry) {
            return Ok(());
        }
        let raw = self.scanner.rest_of_string()?;
        entry.data = DataSpan::String { span: span(&raw.range), escaped: raw.escaped };
        Ok(())
    }

    /// Decodes a direct payload where its size says that it ends, if all that has to be known is known and right.
    ///
    /// What decodes as base64 holds no quote, no backslash, no control character and nothing but ASCII, so it is the
    /// content of a JSON string that ends at the quote behind it, and need not be scanned. The line end that base64 may
    /// have is the exception, and such a text is left alone.
    #[inline(always)]
    fn decode_early(&mut self, entry: &mut Entry) -> bool {
        if entry.defect.is_some()
            || entry.text(PayloadField::Type).is_empty()
            || entry.way != Some(Transport::Direct)
        {
            return false;
        }
        let start = self.scanner.pos();
        let rest = &self.scanner.input()[start..];
        let Some(size) = entry.size.get().and_then(|size| usize::try_from(size).ok()) else { return false };
        if size > rest.len().min(self.max_decoded) {
            return false;
        }
        let ends = |len: &usize| rest.get(*len) == Some(&b'"');
        let lengths = [base64::encoded_len(size), (size * 4).div_ceil(3)];
        let Some(len) = lengths.into_iter().find(ends) else { return false };
        let text = &rest[..len];
        if text.last() == Some(&b'\n') {
            return false;
        }
        let Some(early) = &mut self.early else { return false };
        entry.decoded = early.reborrow().decode(text, rest.len());
        if entry.decoded.is_none() {
            return false;
        }
        entry.data = DataSpan::String { span: span(&(start..start + len)), escaped: false };
        self.scanner.skip_to(start + len + 1);
        true
    }

    /// Decodes a direct payload that has been read to its end, because what has to be known of it came behind its data:
    /// the text is still in the cache.
    #[inline(always)]
    fn decode_late(&mut self, entry: &mut Entry) {
        if let DataSpan::String { span, escaped: false } = entry.data
            && entry.defect.is_none()
            && entry.way == Some(Transport::Direct)
            && base64::max_decoded_len(span.range().len()) <= self.max_decoded
            && let Some(early) = &mut self.early
        {
            // Inline JSON begins with what is no base64, and is left alone by that.
            let input = self.scanner.input();
            entry.decoded = early.reborrow().decode(&input[span.range()], input.len() - span.range().start);
        }
    }

    /// A key, and its position.
    #[inline(always)]
    fn key(&mut self) -> Scan<(usize, Word)> {
        self.scanner.peek();
        let at = self.scanner.pos();
        let word = match self.scanner.compact_key() {
            Some(key) => Word::at_start_of(&self.scanner.input()[key.start..], key.len()),
            None => {
                let key = self.scanner.key()?;
                let raw = &self.scanner.input()[key.range];
                if key.escaped { resolved_word(raw) } else { Word::new(raw) }
            }
        };
        Ok((at, word))
    }

    /// The field of a key that was found, if it was. Notes the dialect.
    #[inline(always)]
    fn known<F>(&mut self, found: Option<(F, Option<Dialect>)>) -> Option<F> {
        let (field, dialect) = found?;
        self.dialect = self.dialect.or(dialect);
        Some(field)
    }

    #[inline(always)]
    fn value(&mut self, depth: usize) -> Scan<Span> {
        self.scanner.value(depth).map(|range| span(&range))
    }

    #[inline(always)]
    fn string(&mut self) -> Scan<Text> {
        string(&mut self.scanner, self.resolved)
    }

    #[inline(always)]
    fn rest_of_text(&mut self) -> Scan<Text> {
        rest_of_text(&mut self.scanner, self.resolved)
    }

    #[inline(always)]
    fn text(&self, text: Text) -> &str {
        text.of(self.scanner.input(), self.resolved.text)
    }
}

/// Whether the object that is being read goes on behind a value; consumes what tells it.
#[inline(always)]
fn more<L: Level>(scanner: &mut Scanner<'_, L>) -> Scan<bool> {
    if scanner.take(b',') {
        return Ok(true);
    }
    scanner.expect(b'}', "expected a comma or the end of the object")?;
    Ok(false)
}

/// Reads pairs of known keys and strings as long as nothing else stands between them than what has to: as the general path
/// would, but with fewer questions. Whatever else comes next has not been touched. Whether the object goes on.
#[inline(always)]
fn compact_strings<L: Level>(
    scanner: &mut Scanner<'_, L>,
    dialect: &mut Option<Dialect>,
    resolved: &mut Resolved<'_>,
    seen: &mut Seen,
    texts: &mut [Text],
    find: impl Fn(Word) -> Option<(usize, Option<Dialect>)>,
) -> Scan<bool> {
    loop {
        let at = scanner.pos();
        let Some(key) = scanner.compact_string_key() else { return Ok(true) };
        let word = Word::at_start_of(&scanner.input()[key.start..], key.len());
        let Some((field, spelled)) = find(word) else { return Ok(true) };
        let Some(text) = texts.get_mut(field) else { return Ok(true) };
        seen.once(field as u32, at)?;
        *dialect = dialect.or(spelled);
        scanner.skip_to(key.end + r#"":""#.len());
        *text = rest_of_text(scanner, resolved)?;
        if !more(scanner)? {
            return Ok(false);
        }
    }
}

/// Where `word` stands in a piece without its first byte.
const fn place(piece: &[u8], word: &[u8]) -> Range<usize> {
    let mut at = 1;
    loop {
        let mut same = 0;
        while same < word.len() && piece[at + same] == word[same] {
            same += 1;
        }
        if same == word.len() {
            return at - 1..at - 1 + word.len();
        }
        at += 1;
    }
}

/// Which known keys an object has already had, in whatever spelling.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    fn once(&mut self, field: u32, at: usize) -> Scan<()> {
        if self.has(field) {
            return Err(ScanError { offset: at, what: "the same key twice in one object" });
        }
        self.0 |= 1 << field;
        Ok(())
    }

    /// The first `count` keys, in their order.
    fn first(count: usize) -> Self {
        Self((1 << count) - 1)
    }

    fn has(&self, field: u32) -> bool {
        self.0 & 1 << field != 0
    }
}
