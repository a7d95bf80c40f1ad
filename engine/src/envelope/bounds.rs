//! The bounds of a message's parts.

use super::content::begins_json;
use super::escape::{raw_offset, unescape_into, unescaped_len};
use super::names::PayloadField;
use super::{DataSpan, Defect, Envelope, Span, Text, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::payload::PayloadType;

/// Holds a message that has been read against the bounds of its parts: positions so far, and payloads that were within
/// [`Limits::payload_len`].
#[inline(never)]
pub(super) fn check(envelope: &mut Envelope, limits: &Limits) -> Result<()> {
    let Envelope { body, resolved, strings, metadata: own, payloads, .. } = envelope;
    let too_long = |what: &'static str, len: usize, limit: usize| {
        Err(Error::new(ErrorKind::LimitExceeded, what).with_size(len as u64, limit as u64))
    };
    // One that is too long is in the message, whether it holds escapes or not, and what is there is never shorter.
    let name = |text: &Text| match text.len() {
        len if len > limits.name_len => {
            too_long(NAME_TOO_LONG, unescaped_len(text.bytes_of(body, resolved)), limits.name_len)
        }
        _ => Ok(()),
    };
    let metadata = |metadata: Span| match metadata.range().len() {
        len if len > limits.metadata_len => too_long(METADATA_TOO_LONG, len, limits.metadata_len)
            .map_err(|error: Error| error.at(metadata.start.into())),
        _ => Ok(()),
    };
    strings.iter().try_for_each(name)?;
    metadata(*own)?;
    for (index, entry) in payloads.iter_mut().enumerate() {
        entry
            .texts
            .iter()
            .try_for_each(name)
            .and_then(|()| metadata(entry.metadata))
            .map_err(|error| error.in_payload(index))?;
        if entry.way != Some(Transport::Direct) {
            continue;
        }
        let (at, len) = match entry.data {
            // No text stands for more than its own length.
            DataSpan::String { span, .. } if span.range().len() as u64 <= limits.payload_len => continue,
            DataSpan::String { span, escaped } => {
                let raw = &body[span.range()];
                let kind = entry.text(PayloadField::Type).bytes_of(body, resolved);
                let is_json = PayloadType::from_bytes(kind).may_be_inline_json() && begins_json(raw, escaped);
                (span.start, if is_json { text_len(raw, escaped) } else { decoded_len(raw, escaped) })
            }
            DataSpan::Json(span) => (span.start, span.range().len()),
            DataSpan::Missing => continue,
        };
        if len as u64 > limits.payload_len {
            entry.defect.get_or_insert((at, Defect::TooLong));
        }
    }
    Ok(())
}

fn text_len(raw: &[u8], escaped: bool) -> usize {
    if escaped { unescaped_len(raw) } else { raw.len() }
}

/// How many bytes base64 text decodes into, if it is any.
fn decoded_len(raw: &[u8], escaped: bool) -> usize {
    let len = text_len(raw, escaped);
    // Two characters of padding, and a line end of two.
    let end_at = len.saturating_sub(4);
    let mut end = Vec::new();
    if escaped {
        unescape_into(&raw[raw_offset(raw, end_at)..], &mut end);
    } else {
        end.extend_from_slice(&raw[end_at..]);
    }
    let padding = end.iter().rev().take_while(|byte| matches!(byte, b'=' | b'\r' | b'\n')).count();
    let digits = len - padding;
    digits / 4 * 3 + digits % 4 * 3 / 4
}

const NAME_TOO_LONG: &str = "a name is longer than `Limits::name_len` allows";
const METADATA_TOO_LONG: &str = "metadata is longer than `Limits::metadata_len` allows";
