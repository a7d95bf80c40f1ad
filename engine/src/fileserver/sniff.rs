//! The media type of a file, from its first bytes: the common cases of the WHATWG MIME sniffing rules,
//! which Go's `http.DetectContentType`, and so Plik, follows.

/// How many bytes the rules look at.
pub(super) const SNIFF_LEN: usize = 512;

/// The media type of a file that starts with `head` (its first [`SNIFF_LEN`] bytes, or all of it).
///
/// Nothing is known about an empty file, so its type is the empty string.
pub(super) fn media_type(head: &[u8]) -> &'static str {
    if head.is_empty() {
        return "";
    }
    let head = &head[..head.len().min(SNIFF_LEN)];
    let start = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(head.len());
    let trimmed = &head[start..];
    if HTML_TAGS.iter().any(|tag| starts_with_tag(trimmed, tag)) {
        return "text/html; charset=utf-8";
    }
    if trimmed.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if let Some((_, media_type)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return media_type;
    }
    let at_8 = head.get(8..).unwrap_or_default();
    if let Some((_, _, media_type)) =
        CONTAINERS.iter().find(|(outer, inner, _)| head.starts_with(outer) && at_8.starts_with(inner))
    {
        return media_type;
    }
    if is_mp4(head) {
        return "video/mp4";
    }
    if head.iter().any(|byte| is_binary(*byte)) {
        "application/octet-stream"
    } else {
        "text/plain; charset=utf-8"
    }
}

/// The type a file is served under: nothing a browser would run or open in a plug-in.
pub(super) fn served_type(media_type: &str) -> &str {
    if media_type.contains("html") {
        "text/plain"
    } else if media_type.is_empty() || media_type.contains("flash") || media_type.contains("pdf") {
        "application/octet-stream"
    } else {
        media_type
    }
}

/// A tag counts only when a space or `>` ends it, so `<a` is one and `<abc` is not.
fn starts_with_tag(text: &[u8], tag: &[u8]) -> bool {
    text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag))
        && matches!(text.get(tag.len()), Some(b' ' | b'>'))
}

/// An `ftyp` box of stated size whose list of brands names an mp4 one.
fn is_mp4(head: &[u8]) -> bool {
    let Some((size, rest)) = head.split_first_chunk::<4>() else { return false };
    let size = u32::from_be_bytes(*size) as usize;
    if !rest.starts_with(b"ftyp") || size > head.len() || !size.is_multiple_of(4) {
        return false;
    }
    // The four bytes at 12 are a version, not a brand.
    head[..size]
        .chunks_exact(4)
        .enumerate()
        .any(|(at, brand)| at >= 2 && at != 3 && brand.starts_with(b"mp4"))
}

fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

const HTML_TAGS: [&[u8]; 17] = [
    b"<!DOCTYPE HTML",
    b"<HTML",
    b"<HEAD",
    b"<SCRIPT",
    b"<IFRAME",
    b"<H1",
    b"<DIV",
    b"<FONT",
    b"<TABLE",
    b"<A",
    b"<STYLE",
    b"<TITLE",
    b"<B",
    b"<BODY",
    b"<BR",
    b"<P",
    b"<!--",
];

const MAGIC: [(&[u8], &str); 26] = [
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff", "text/plain; charset=utf-16be"),
    (b"\xff\xfe", "text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf", "text/plain; charset=utf-8"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x00\x00\x02\x00", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "application/ogg"),
    (b"MThd\x00\x00\x00\x06", "audio/midi"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"\x00\x01\x00\x00", "font/ttf"),
    (b"OTTO", "font/otf"),
    (b"ttcf", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07\x00", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
    (b"\x00asm", "application/wasm"),
];

/// Formats that name themselves twice: at the start and after a length.
const CONTAINERS: [(&[u8], &[u8], &str); 4] = [
    (b"RIFF", b"WEBPVP", "image/webp"),
    (b"RIFF", b"WAVE", "audio/wave"),
    (b"RIFF", b"AVI ", "video/avi"),
    (b"FORM", b"AIFF", "audio/aiff"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide_the_type() {
        let cases: [(&[u8], &str); 15] = [
            (b"", ""),
            (b"hello", "text/plain; charset=utf-8"),
            (b"{\"a\":1}", "text/plain; charset=utf-8"),
            ("h\u{e9}llo".as_bytes(), "text/plain; charset=utf-8"),
            (b"\n <!doctype html>x", "text/html; charset=utf-8"),
            (b"<a href=x>", "text/html; charset=utf-8"),
            (b"<abc>", "text/plain; charset=utf-8"),
            (b"<?xml version='1.0'?>", "text/xml; charset=utf-8"),
            (b"%PDF-1.7", "application/pdf"),
            (b"\x89PNG\r\n\x1a\n0000", "image/png"),
            (b"RIFF1234WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "application/octet-stream"),
            (b"PK\x03\x04rest", "application/zip"),
            (b"ARROW1\0\0", "application/octet-stream"),
        ];
        for (head, expected) in cases {
            assert_eq!(media_type(head), expected, "{head:?}");
        }
    }

    #[test]
    fn only_the_first_512_bytes_count() {
        let mut head = vec![b'a'; SNIFF_LEN];
        head.push(0);
        assert_eq!(media_type(&head), "text/plain; charset=utf-8");
    }
}
