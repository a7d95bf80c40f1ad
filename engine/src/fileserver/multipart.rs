//! A `multipart/form-data` parser that is fed bytes at any split and hands out parts as they come.
//!
//! It holds back no more than a delimiter's length of a part's data, and never looks at a byte twice but
//! for that. Headers of a part are bounded by [`MAX_HEADERS`]; text before the first part is dropped.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use super::params::Params;

/// The parser of one body. Call [`feed`](Self::feed) with bytes, then [`poll_event`](Self::poll_event)
/// until it answers [`Event::NeedMore`].
#[derive(Debug)]
pub(super) struct Multipart {
    /// `\r\n--boundary`. It contains no other `\r\n`, so two occurrences never overlap.
    delimiter: memmem::Finder<'static>,
    /// What is not handed out yet. The line break that a delimiter starts with may also be the one that
    /// ends the headers before it (an empty part) or the start of the body (no preamble), so it is left
    /// in, or put in, at the front.
    buffer: BytesMut,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    /// `scanned <= buffer.len()`: no blank line ends before it.
    Headers {
        scanned: usize,
    },
    /// `lead`: the buffer still starts with the line break that ended the headers.
    Data {
        lead: bool,
    },
    End,
}

/// What the bytes so far contain next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A part starts.
    Part(PartHeaders),
    /// Some bytes of the part, never empty.
    Data(Bytes),
    /// The part is complete.
    PartEnd,
    /// The closing delimiter was met.
    End,
    /// Nothing can be said without more bytes.
    NeedMore,
}

/// What the `Content-Disposition` of a part says; nothing, when it is missing or malformed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PartHeaders {
    pub(super) name: Option<Vec<u8>>,
    pub(super) file_name: Option<Vec<u8>>,
}

/// The headers of a part do not end within [`MAX_HEADERS`] bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeadersTooLong;

impl Multipart {
    /// A parser for the boundary that a `Content-Type` names.
    ///
    /// The error is the sentence that says what is missing.
    pub(super) fn new(content_type: &[u8]) -> Result<Self, &'static str> {
        let params = Params::parse(content_type)
            .filter(|params| params.value == "multipart/form-data")
            .ok_or("request Content-Type isn't multipart/form-data")?;
        let boundary = params
            .get("boundary")
            .filter(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()))
            .filter(|boundary| !boundary.iter().any(u8::is_ascii_control))
            .ok_or("no multipart boundary param in Content-Type")?;
        let delimiter = [b"\r\n--", &boundary[..]].concat();
        Ok(Self {
            delimiter: memmem::Finder::new(&delimiter).into_owned(),
            buffer: BytesMut::from(&b"\r\n"[..]),
            state: State::Preamble,
        })
    }

    /// Takes the next bytes of the body.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::End {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next thing in the body; changes only with [`feed`](Self::feed) after [`Event::NeedMore`].
    pub(super) fn poll_event(&mut self) -> Result<Event, HeadersTooLong> {
        loop {
            match self.state {
                State::End => return Ok(Event::End),
                State::Headers { scanned } => return self.poll_headers(scanned),
                State::Preamble | State::Data { .. } => {
                    if let Some(event) = self.poll_delimiter() {
                        return Ok(event);
                    }
                }
            }
        }
    }

    fn poll_headers(&mut self, scanned: usize) -> Result<Event, HeadersTooLong> {
        let from = scanned.saturating_sub(BLANK_LINE.len() - 1);
        let Some(at) = memmem::find(&self.buffer[from..], BLANK_LINE) else {
            if self.buffer.len() > MAX_HEADERS {
                return Err(HeadersTooLong);
            }
            self.state = State::Headers { scanned: self.buffer.len() };
            return Ok(Event::NeedMore);
        };
        // The buffer starts with the line break of the delimiter's line, and keeps that of the last header.
        let headers = self.buffer.split_to(from + at + 2);
        self.state = State::Data { lead: true };
        Ok(Event::Part(part_headers(&headers)))
    }

    /// Hands out what comes before the next delimiter, or passes the delimiter; `None` when neither has
    /// anything to report.
    fn poll_delimiter(&mut self) -> Option<Event> {
        let delimiter_len = self.delimiter.needle().len();
        let found = self.delimiter.find(&self.buffer);
        // Where no delimiter is found, its beginning may still be at the end of the buffer.
        let clear = found.unwrap_or_else(|| self.buffer.len().saturating_sub(delimiter_len - 1));
        match (self.state, clear) {
            (State::Data { lead: false }, 1..) => {
                return Some(Event::Data(self.buffer.split_to(clear).freeze()));
            }
            (State::Data { lead: true }, 3..) => {
                self.buffer.advance(2);
                self.state = State::Data { lead: false };
                return Some(Event::Data(self.buffer.split_to(clear - 2).freeze()));
            }
            // The line break of the headers, and right after it the delimiter with its own.
            (State::Data { lead: true }, 2) if found.is_some() => {
                self.buffer.advance(2);
                self.state = State::Data { lead: false };
            }
            (State::Preamble, 1..) => self.buffer.advance(clear),
            _ => {}
        }
        if found.is_none() {
            return Some(Event::NeedMore);
        }
        self.pass_delimiter(delimiter_len)
    }

    /// The buffer starts with a delimiter: says what its end means.
    fn pass_delimiter(&mut self, delimiter_len: usize) -> Option<Event> {
        let in_part = matches!(self.state, State::Data { .. });
        match delimiter_end(&self.buffer[delimiter_len..]) {
            DelimiterEnd::Unknown => Some(Event::NeedMore),
            DelimiterEnd::Close => {
                self.buffer.clear();
                self.state = State::End;
                Some(if in_part { Event::PartEnd } else { Event::End })
            }
            DelimiterEnd::Next { padding } => {
                self.buffer.advance(delimiter_len + padding);
                self.state = State::Headers { scanned: 0 };
                in_part.then_some(Event::PartEnd)
            }
            DelimiterEnd::Data => {
                let skip = if self.state == (State::Data { lead: true }) { 2 } else { 0 };
                self.buffer.advance(skip);
                let data = self.buffer.split_to(delimiter_len - skip).freeze();
                if !in_part {
                    return None;
                }
                self.state = State::Data { lead: false };
                Some(Event::Data(data))
            }
        }
    }
}

/// What follows the boundary text on its line.
enum DelimiterEnd {
    /// `--`: the last delimiter.
    Close,
    /// A line break after `padding` blanks: a part starts.
    Next { padding: usize },
    /// Something else: the text only starts like the boundary.
    Data,
    /// Not enough bytes to tell.
    Unknown,
}

fn delimiter_end(tail: &[u8]) -> DelimiterEnd {
    if tail.starts_with(b"--") {
        return DelimiterEnd::Close;
    }
    let padding = tail.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(tail.len());
    match &tail[padding..] {
        _ if padding > MAX_PADDING => DelimiterEnd::Data,
        [] | [b'\r'] => DelimiterEnd::Unknown,
        [b'-'] if padding == 0 => DelimiterEnd::Unknown,
        [b'\r', b'\n', ..] => DelimiterEnd::Next { padding },
        _ => DelimiterEnd::Data,
    }
}

fn part_headers(block: &[u8]) -> PartHeaders {
    let lines = block.split(|byte| *byte == b'\n');
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if line[..colon].eq_ignore_ascii_case(b"content-disposition") {
            return Params::parse(line[colon + 1..].trim_ascii())
                .filter(|params| params.value == "form-data")
                .map(|params| PartHeaders { name: params.get("name"), file_name: params.get("filename") })
                .unwrap_or_default();
        }
    }
    PartHeaders::default()
}

const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// Chosen: a name of 1024 bytes, percent-encoded twice over, is 10 kB.
const MAX_HEADERS: usize = 64 * 1024;

/// RFC 2046 allows 70; more is harmless.
const MAX_BOUNDARY: usize = 256;

/// Blanks after a boundary are legal and never seen.
const MAX_PADDING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8], split: usize) -> Vec<Event> {
        let mut parser = Multipart::new(b"multipart/form-data; boundary=XX").unwrap();
        let mut events: Vec<Event> = Vec::new();
        for chunk in body.chunks(split) {
            parser.feed(chunk);
            loop {
                let event = parser.poll_event().unwrap();
                if event == Event::NeedMore {
                    break;
                }
                if let (Event::Data(new), Some(Event::Data(old))) = (&event, events.last_mut()) {
                    *old = [&old[..], &new[..]].concat().into();
                    continue;
                }
                let end = event == Event::End;
                events.push(event);
                if end {
                    return events;
                }
            }
        }
        events
    }

    fn part(name: &str, file_name: Option<&str>) -> Event {
        Event::Part(PartHeaders { name: Some(name.into()), file_name: file_name.map(Into::into) })
    }

    fn data(text: &str) -> Event {
        Event::Data(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn any_split_of_the_body_gives_the_same_parts() {
        let body = "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n\
            --XX \t\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\nX: y\r\n\r\n\
            one\r\n--X\r\n--XXtwo\r\n--XX-three\r\n\r\n--XX\r\n\r\n\r\n--XX--\r\nepilogue";
        let expected = vec![
            part("note", None),
            data("hi"),
            Event::PartEnd,
            part("file", Some("a")),
            data("one\r\n--X\r\n--XXtwo\r\n--XX-three\r\n"),
            Event::PartEnd,
            Event::Part(PartHeaders::default()),
            Event::PartEnd,
            Event::End,
        ];
        for split in 1..=body.len() {
            assert_eq!(parse(body.as_bytes(), split), expected, "split {split}");
        }
    }

    #[test]
    fn an_empty_part_may_lack_even_its_line_break() {
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"e\"\r\n\r\n--XX--";
        for split in 1..=body.len() {
            assert_eq!(parse(body, split), [part("file", Some("e")), Event::PartEnd, Event::End]);
        }
    }

    #[test]
    fn a_body_without_parts_ends_at_once() {
        assert_eq!(parse(b"--XX--\r\n", 3), [Event::End]);
    }

    #[test]
    fn a_truncated_body_never_ends() {
        let body =
            b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"e\"\r\n\r\ndata\r\n--XX";
        for len in 0..body.len() {
            let events = parse(&body[..len], 7);
            assert!(!events.contains(&Event::End) && !events.contains(&Event::PartEnd), "{len}");
        }
    }

    #[test]
    fn endless_headers_and_preambles_do_not_fill_the_memory() {
        let mut parser = Multipart::new(b"multipart/form-data; boundary=XX").unwrap();
        for _ in 0..100 {
            parser.feed(&[b'x'; 10_000]);
            assert_eq!(parser.poll_event(), Ok(Event::NeedMore));
            assert!(parser.buffer.len() < 10);
        }
        parser.feed(b"\r\n--XX\r\n");
        let result = (0..100).find_map(|_| {
            parser.feed(&[b'x'; 1000]);
            parser.poll_event().err()
        });
        assert_eq!(result, Some(HeadersTooLong));
    }

    #[test]
    fn a_content_type_without_a_usable_boundary_is_refused() {
        for bad in
            ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=\"\"", "multipart/mixed"]
        {
            assert!(Multipart::new(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Multipart::new(b"Multipart/Form-Data; charset=x; Boundary=\"a b\"").is_ok());
    }
}
