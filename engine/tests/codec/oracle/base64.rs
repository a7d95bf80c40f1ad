//! Base64 by SPEC `B64`, one character at a time.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let index = bits >> (18 - 6 * at) & 0x3F;
            // Two characters carry one byte, three carry two.
            let letter = if at <= group.len() { STANDARD[index as usize] } else { b'=' };
            text.push(char::from(letter));
        }
    }
    text
}

/// The six bits of a character, and the alphabet that it gives away.
fn sextet(byte: u8) -> Option<(u32, Option<&'static str>)> {
    match byte {
        b'A'..=b'Z' => Some((u32::from(byte - b'A'), None)),
        b'a'..=b'z' => Some((u32::from(byte - b'a') + 26, None)),
        b'0'..=b'9' => Some((u32::from(byte - b'0') + 52, None)),
        b'+' => Some((62, Some("standard"))),
        b'/' => Some((63, Some("standard"))),
        b'-' => Some((62, Some("URL-safe"))),
        b'_' => Some((63, Some("URL-safe"))),
        _ => None,
    }
}

/// The bytes, or the offset of the first character that is wrong; the text's length where it ends too early.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    // The body: all characters of either alphabet at the start. A second alphabet in it is wrong where it begins.
    let end = text.iter().position(|&byte| sextet(byte).is_none()).unwrap_or(text.len());
    let (body, tail) = text.split_at(end);
    let mut sextets = Vec::new();
    let mut alphabet = None;
    for (at, (sextet, known)) in body.iter().filter_map(|&byte| sextet(byte)).enumerate() {
        if known.is_some() && alphabet.is_some() && known != alphabet {
            return Err(at);
        }
        alphabet = alphabet.or(known);
        sextets.push(sextet);
    }
    // The tail: padding, if there is any, and a line end, if there is one. A body may end only if it is whole.
    if !matches!(tail, [] | [b'=' | b'\n' | b'\r', ..]) {
        return Err(end);
    }
    let (padding, spare) = match end % 4 {
        1 => return Err(end),
        2 => (2, 0b1111),
        3 => (1, 0b11),
        _ => (0, 0),
    };
    if sextets.last().is_some_and(|last| last & spare != 0) {
        return Err(end - 1);
    }
    let padding = if tail.starts_with(b"=") { padding } else { 0 };
    if let Some(at) = (0..padding).find(|&at| tail.get(at) != Some(&b'=')) {
        return Err(end + at);
    }
    match &tail[padding..] {
        [] | [b'\n'] | [b'\r', b'\n'] => {}
        [b'\r', b'\n', ..] => return Err(end + padding + 2),
        [b'\r' | b'\n', ..] => return Err(end + padding + 1),
        _ => return Err(end + padding),
    }
    let mut bytes = Vec::new();
    for group in sextets.chunks(4) {
        let bits = (0..4).fold(0, |bits, at| bits << 6 | group.get(at).unwrap_or(&0));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Ok(bytes)
}
