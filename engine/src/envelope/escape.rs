//! Escapes in strings that the scanner has let through: the text that they stand for.

/// The text of a string's content with its escapes resolved. `raw` has passed [`Scanner::string`].
pub(crate) fn unescape_into(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(len) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..len]);
        rest = &rest[len..];
        // Escapes come in rows, and then there is nothing to search for.
        while rest.first() == Some(&b'\\') {
            let (text, used) = escape_value(rest);
            match u8::try_from(text) {
                Ok(byte) if byte.is_ascii() => out.push(byte),
                _ => out.extend_from_slice(text.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            rest = &rest[used..];
        }
    }
    out.extend_from_slice(rest);
}

/// The length of that text.
pub(crate) fn unescaped_len(raw: &[u8]) -> usize {
    let (mut len, mut rest) = (0, raw);
    while let Some(plain) = memchr::memchr(b'\\', rest) {
        len += plain;
        rest = &rest[plain..];
        // As above.
        while rest.first() == Some(&b'\\') {
            let (text, used) = escape_value(rest);
            len += text.len_utf8();
            rest = &rest[used..];
        }
    }
    len + rest.len()
}

/// Where byte `target` of the unescaped text comes from in `raw`.
pub(crate) fn raw_offset(raw: &[u8], target: usize) -> usize {
    let (mut at, mut produced) = (0, 0);
    while at < raw.len() {
        let (used, len) = if raw[at] == b'\\' {
            let (text, used) = escape_value(&raw[at..]);
            (used, text.len_utf8())
        } else {
            (1, 1)
        };
        if produced + len > target {
            return at;
        }
        produced += len;
        at += used;
    }
    at
}

/// The character of the escape at the start of `raw`, and how many bytes it takes. What could only come from
/// unchecked text is replaced, so that no input can make it panic.
pub(super) fn escape_value(raw: &[u8]) -> (char, usize) {
    let simple = |text| (text, 2);
    match raw.get(1) {
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'n') => simple('\n'),
        Some(b'r') => simple('\r'),
        Some(b't') => simple('\t'),
        Some(b'u') => {
            let unit = |at: usize| raw.get(at..at + 4).and_then(hex4);
            let Some(high) = unit(2) else { return (char::REPLACEMENT_CHARACTER, raw.len()) };
            let low = if (0xD800..0xDC00).contains(&high) { unit(8) } else { None };
            match low {
                Some(low) => {
                    let mut units = char::decode_utf16([high, low]);
                    (units.next().and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
                }
                None => (char::from_u32(u32::from(high)).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            }
        }
        Some(&byte) => simple(char::from(byte)),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

pub(super) fn hex4(digits: &[u8]) -> Option<u16> {
    let digits: [u8; 4] = digits.try_into().ok()?;
    let [a, b, c, d] = digits.map(|digit| HEX_VALUES[usize::from(digit)]);
    // What is no digit has bits above those of one.
    (a | b | c | d < 16).then_some(u16::from(a) << 12 | u16::from(b) << 8 | u16::from(c) << 4 | u16::from(d))
}

/// The value of each hexadecimal digit; 255 for what is none.
const HEX_VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unescaping_equals_serde_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let ascii: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            for raw in [&json[1..json.len() - 1], &ascii] {
                let mut out = Vec::new();
                unescape_into(raw.as_bytes(), &mut out);
                prop_assert_eq!(std::str::from_utf8(&out).unwrap(), &text);
                prop_assert_eq!(unescaped_len(raw.as_bytes()), out.len());
                // Offsets map back to the start of the sequence that made the byte.
                for (at, _) in text.char_indices() {
                    let mut tail = Vec::new();
                    unescape_into(&raw.as_bytes()[raw_offset(raw.as_bytes(), at)..], &mut tail);
                    prop_assert_eq!(std::str::from_utf8(&tail).unwrap(), &text[at..]);
                }
            }
        }
    }
}
