//! The form round an upload's bytes, read by a parser of its own.

use crate::link::{form, safe_name};
use crate::source::Source;

/// Any name becomes a file name that survives every server; a reader that knows nothing of the writer finds one part with
/// that name and exactly the bytes.
pub(crate) fn writer(bytes: &[u8]) {
    let source = &mut Source::new(bytes);
    let raw = if source.one_in(2) { source.text(300) } else { odd_name(source) };
    let name = safe_name(&raw);
    check_name(&raw, &name);

    // Content that looks like a form.
    let mut content = source.bytes(200);
    if source.one_in(2) {
        let near = ["\r\n--", "--", "\r\n--natsbridge-", "\r\n", "\r\n--natsbridge-0000--\r\n"];
        content.splice(content.len() / 2..content.len() / 2, source.pick(&near).bytes());
    }
    let (content_type, head, tail) = form(&name);
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect("a form's type");
    // RFC 2046: at most 70 characters, none that would need quotes here.
    assert!((1..=70).contains(&boundary.len()));
    assert!(boundary.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));

    let body = [&head[..], &content, &tail[..]].concat();
    let part = only_part(&body, boundary);
    assert_eq!(part.name, "file");
    assert_eq!(part.file_name, name, "of {raw:?}");
    assert_eq!(part.content_type, "application/octet-stream");
    assert_eq!(part.content, content);
}

fn check_name(raw: &str, name: &str) {
    assert!((1..=255).contains(&name.len()), "{raw:?} becomes {} bytes", name.len());
    assert!(!matches!(name, "." | ".."), "{raw:?}");
    let forbidden = |c: char| c.is_control() || matches!(c, '"' | '%' | '/' | '\\');
    assert!(!name.contains(forbidden), "{raw:?} becomes {name:?}");
    assert_eq!(name.trim(), name, "{raw:?}");
    assert_eq!(safe_name(name), name, "a safe name is safe: {raw:?}");
    let plain = raw.len() <= 255 && !raw.contains(forbidden) && raw.trim() == raw;
    assert!(!plain || matches!(raw, "" | "." | "..") || name == raw, "{raw:?} needs no change");
}

fn odd_name(source: &mut Source<'_>) -> String {
    let pieces = [
        "a",
        "..",
        ".",
        "/",
        "\\",
        "\"",
        "%",
        "\r\n",
        "\0",
        " ",
        "é",
        "日",
        "\u{85}",
        "\u{2028}",
        "; x=\"y",
        "C:",
        "X-Evil: 1",
        "\u{feff}",
        "\u{a0}",
        "report.pdf",
    ];
    let count = if source.one_in(8) { 120 } else { source.below(12) };
    (0..count).map(|_| source.pick(&pieces)).collect()
}

struct Part<'a> {
    name: &'a str,
    file_name: &'a str,
    content_type: &'a str,
    content: &'a [u8],
}

/// Reads a form of one part by RFC 7578, and nothing else.
fn only_part<'a>(body: &'a [u8], boundary: &str) -> Part<'a> {
    let open = format!("--{boundary}\r\n");
    let close = format!("\r\n--{boundary}--\r\n");
    let rest = body.strip_prefix(open.as_bytes()).expect("it begins with the boundary");
    let head_len = find(rest, b"\r\n\r\n").expect("headers end with an empty line");
    let (head, rest) = (&rest[..head_len], &rest[head_len + 4..]);
    // The first delimiter ends the part; behind it nothing is left.
    let delimiter = format!("\r\n--{boundary}");
    let content_len = find(rest, delimiter.as_bytes()).expect("the part ends with a boundary");
    assert_eq!(&rest[content_len..], close.as_bytes(), "one part, and the end");

    let head = std::str::from_utf8(head).expect("headers are UTF-8");
    let mut part = Part { name: "", file_name: "", content_type: "", content: &rest[..content_len] };
    let lines: Vec<_> = head.split("\r\n").collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        match line.split_once(": ").expect("a header has a name") {
            ("Content-Type", value) => part.content_type = value,
            ("Content-Disposition", value) => {
                let value = value.strip_prefix("form-data; name=\"").expect("a form's part");
                let (name, value) = value.split_once("\"; filename=\"").expect("a file");
                part.name = name;
                part.file_name = value.strip_suffix('"').expect("the file name ends with a quote");
                assert!(!part.file_name.contains('"'));
            }
            (other, _) => panic!("a header {other:?}"),
        }
    }
    part
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
