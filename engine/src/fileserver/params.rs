//! Parameters of a MIME header: `form-data; name="file"; filename="a.txt"`.

/// The value before the first `;` in lower case, and the parameters after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) value: String,
    params: Vec<(String, Vec<u8>)>,
}

impl Params {
    /// `None` when the header is not well formed, in which case nothing in it may be trusted.
    pub(super) fn parse(header: &[u8]) -> Option<Self> {
        let end = header.iter().position(|byte| *byte == b';').unwrap_or(header.len());
        let value = std::str::from_utf8(header[..end].trim_ascii()).ok()?.to_ascii_lowercase();
        let mut params = Vec::new();
        let mut rest = header[end..].trim_ascii();
        while let Some(tail) = rest.strip_prefix(b";") {
            let tail = tail.trim_ascii_start();
            if tail.is_empty() {
                rest = tail; // a trailing semicolon is harmless
                break;
            }
            let (key, tail) = token(tail)?;
            let tail = tail.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
            let (value, tail) = if tail.starts_with(b"\"") { quoted(tail)? } else { owned_token(tail)? };
            params.push((String::from_utf8_lossy(key).to_ascii_lowercase(), value));
            rest = tail.trim_ascii_start();
        }
        rest.is_empty().then_some(Self { value, params })
    }

    /// The parameter `key`; its extended form `key*=UTF-8''...` wins over the plain one.
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let find = |wanted: &str| self.params.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let extended = find(&format!("{key}*")).and_then(|value| extended_value(value));
        extended.or_else(|| find(key).cloned())
    }
}

/// `charset'language'percent-encoded` of RFC 5987; other character sets than these two are not ours to
/// convert.
fn extended_value(value: &[u8]) -> Option<Vec<u8>> {
    let mut fields = value.splitn(3, |byte| *byte == b'\'');
    let charset = fields.next()?.to_ascii_lowercase();
    let (_language, text) = (fields.next()?, fields.next()?);
    matches!(&charset[..], b"utf-8" | b"us-ascii").then(|| percent_decode(text)).flatten()
}

/// Decodes `%XX` once; `None` at a `%` that two hexadecimal digits do not follow.
pub(super) fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        if *byte == b'%' {
            let digit = |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16));
            // Two hexadecimal digits fit a byte.
            decoded.push((digit(0)? * 16 + digit(1)?) as u8);
            rest = &tail[2..];
        } else {
            decoded.push(*byte);
            rest = tail;
        }
    }
    Some(decoded)
}

fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
    (len > 0).then(|| text.split_at(len))
}

fn owned_token(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    token(text).map(|(value, rest)| (value.to_vec(), rest))
}

/// A backslash is an escape only before a special character: Windows clients send `C:\dir\file` as it is.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text.strip_prefix(b"\"")?;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'"' => return Some((value, rest)),
            b'\r' | b'\n' => return None,
            b'\\' => match tail.split_first() {
                Some((escaped, tail)) if SPECIALS.contains(escaped) => {
                    value.push(*escaped);
                    rest = tail;
                }
                _ => value.push(b'\\'),
            },
            other => value.push(*other),
        }
    }
    None
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !SPECIALS.contains(&byte)
}

const SPECIALS: &[u8] = b"()<>@,;:\\\"/[]?=";

#[cfg(test)]
mod tests {
    use super::*;

    fn filename(header: &str) -> Option<String> {
        Params::parse(header.as_bytes())?.get("filename").map(|name| String::from_utf8(name).unwrap())
    }

    #[test]
    fn names_are_read_as_browsers_and_curl_write_them() {
        let cases = [
            (r#"form-data; name="file"; filename="a b.txt""#, Some("a b.txt")),
            (r#"form-data; name=file; filename=a.txt"#, Some("a.txt")),
            (r#"FORM-DATA ; NAME="file" ; FILENAME="x" ;"#, Some("x")),
            (r#"form-data; filename="say \"hi\".txt""#, Some("say \"hi\".txt")),
            (r#"form-data; filename="C:\dir\file""#, Some(r"C:\dir\file")),
            (r#"form-data; filename="%E6%97%A5.txt""#, Some("%E6%97%A5.txt")),
            (r#"form-data; filename="日本.txt""#, Some("日本.txt")),
            (r#"form-data; filename="x"; filename*=UTF-8''%E6%97%A5"#, Some("日")),
            (r#"form-data; filename="x"; filename*=utf-16''%E6"#, Some("x")),
            (r#"form-data; filename="x"; filename*=UTF-8''%zz"#, Some("x")),
            (r#"form-data; filename="open"#, None),
            (r#"form-data; filename"#, None),
            (r#"form-data; =x"#, None),
            ("form-data", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(filename(header).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn percent_decoding_happens_once_and_refuses_broken_sequences() {
        assert_eq!(percent_decode(b"a%20b+%2520").as_deref(), Some(&b"a b+%20"[..]));
        for broken in [&b"%"[..], b"%2", b"%g0", b"a%"] {
            assert_eq!(percent_decode(broken), None);
        }
    }
}
