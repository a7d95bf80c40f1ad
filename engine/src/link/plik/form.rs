//! Writing an upload: a file name that survives every server, and the multipart form round the bytes.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;

/// The most bytes of a file name; file systems behind servers rarely take more.
const MAX_NAME: usize = 255;

/// Makes a file name of any text: the part after the last slash or backslash, without what could end a header or be
/// read twice (quotes, control and percent characters), cut to 255 bytes between two characters.
///
/// Raw UTF-8 stays. What leaves no name (`""`, `.`, `..`) becomes `file`.
pub(in crate::link) fn safe_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut safe = String::with_capacity(base.len().min(MAX_NAME));
    for c in base.trim().chars() {
        let c = if c.is_control() || matches!(c, '"' | '%') { '_' } else { c };
        if safe.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        safe.push(c);
    }
    // Cutting may have left a space at the end.
    safe.truncate(safe.trim_end().len());
    if matches!(safe.as_str(), "" | "." | "..") { "file".to_owned() } else { safe }
}

/// A multipart form with one file: its content type, and what stands before and behind the file's bytes.
pub(super) fn form(name: &str) -> (String, Bytes, Bytes) {
    // The standard library's hasher keys are random, so nobody can write a file that contains the next boundary.
    let random = RandomState::new();
    let boundary = format!("natsbridge-{:016x}{:016x}", random.hash_one(1), random.hash_one(2));
    let head = format!(
        "--{boundary}\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    (format!("multipart/form-data; boundary={boundary}"), head.into(), tail.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_file_name() {
        for (name, expected) in [
            ("report.pdf", "report.pdf"),
            ("my report.pdf", "my report.pdf"),
            ("日本 é.txt", "日本 é.txt"),
            ("a/b/c.txt", "c.txt"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\x.doc", "x.doc"),
            ("a\"b\r\nX-Evil: 1\0.txt", "a_b__X-Evil: 1_.txt"),
            ("50%20.txt", "50_20.txt"),
            ("  x  ", "x"),
            ("", "file"),
            ("   ", "file"),
            (".", "file"),
            ("..", "file"),
            ("a/..", "file"),
            ("a/", "file"),
            ("...", "..."),
            (".hidden", ".hidden"),
        ] {
            assert_eq!(safe_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = safe_name(&"é".repeat(200));
        assert_eq!(name.len(), 254);
        assert_eq!(safe_name(&"x".repeat(300)).len(), 255);
        assert_eq!(safe_name(&format!("{} y", "x".repeat(254))).len(), 254);
    }

    #[test]
    fn a_form_wraps_a_file() {
        let (content_type, head, tail) = form("a.txt");
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let text = String::from_utf8([&head[..], b"hello", &tail[..]].concat()).unwrap();
        assert!(text.starts_with(&format!("--{boundary}\r\nContent-Disposition: form-data; ")), "{text}");
        assert!(text.ends_with(&format!("\r\n\r\nhello\r\n--{boundary}--\r\n")), "{text}");
        assert_ne!(form("a").0, content_type);
    }
}
