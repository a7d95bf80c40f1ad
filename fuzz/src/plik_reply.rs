//! A file server's answers: whatever it says, what is taken from it is fit for a URL, a header and a handle, and what is
//! fit is taken.

use std::time::SystemTime;

use allocation_counter::measure;
use natsbridge::link::LinkUrl;

use crate::oracle::json::{self, Node, Value};
use crate::oracle::write;
use crate::reply::{self, MAX_DOMAIN, MAX_ID};
use crate::source::{self, Source};

/// Any bytes as an answer, or one that is built from them.
pub(crate) fn answers(bytes: &[u8]) {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    if choice % 2 == 0 {
        return check(rest);
    }
    let source = &mut Source::new(rest);
    let mut answer = answer(source).into_bytes();
    if choice % 4 == 3 {
        source::mutate(source, &mut answer);
    }
    check(&answer);
}

fn check(answer: &[u8]) {
    let allocated = measure(|| {
        drop(reply::created(answer));
        drop(reply::added(answer));
        drop(reply::config(answer));
        drop(reply::listed(answer));
    });
    // Texts that are copied, one of them twice while it is read, and at most a thousand files.
    let most = 4 * answer.len() as u64 + 128 * 1024;
    assert!(allocated.bytes_max <= most, "{} bytes for {}", allocated.bytes_max, answer.len());

    let object = object(answer);
    let object = object.as_ref();
    let text = String::from_utf8_lossy(answer);
    let created = reply::created(answer).ok();
    created.iter().for_each(|created| check_domain(created.domain.as_ref()));
    let created =
        created.map(|created| (created.id, created.token, prefix(created.domain), created.expires_at));
    assert_eq!(created, object.and_then(expected_upload), "{text}");
    let added = reply::added(answer).ok();
    let added = added.map(|added| (added.id, added.name, added.size, added.md5, added.status));
    assert_eq!(added, object.and_then(expected_file), "{text}");
    assert_eq!(reply::listed(answer).ok(), object.and_then(expected_list), "{text}");
    let config = reply::config(answer).ok();
    config.iter().for_each(|domain| check_domain(domain.as_ref()));
    assert_eq!(config.map(prefix), object.and_then(expected_domain), "{text}");
}

fn prefix(domain: Option<reply::Base>) -> Option<String> {
    domain.map(|domain| domain.as_str().to_owned())
}

type Pairs = Vec<(String, Node)>;

/// The answer as an independent reader sees it.
fn object(answer: &[u8]) -> Option<Pairs> {
    let node = json::parse(answer)?;
    // serde_json goes one level less deep than the format, and holds no number that an f64 cannot.
    if depth(&node) > 127 || json::meaning(&node).is_none() {
        return None;
    }
    match node.value {
        Value::Object(pairs) => Some(pairs),
        _ => None,
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(pairs) => 1 + pairs.iter().map(|(_, node)| depth(node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The last value of a key.
fn last<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a Value> {
    pairs.iter().rfind(|(name, _)| name == key).map(|(_, node)| &node.value)
}

fn text(pairs: &Pairs, key: &str) -> Option<String> {
    match last(pairs, key)? {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// It stands in a path: letters, digits, `-` and `_` only.
fn expected_id(pairs: &Pairs) -> Option<String> {
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text(pairs, "id").filter(|id| (1..=MAX_ID).contains(&id.len()) && id.chars().all(fit))
}

/// Id, token, domain, and when it expires.
type Upload = (String, String, Option<String>, Option<SystemTime>);

fn expected_upload(pairs: &Pairs) -> Option<Upload> {
    let token = text(pairs, "uploadToken")?;
    // It stands in a header: one line of visible characters, no space.
    let fit = (1..=256).contains(&token.len()) && token.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    let expires = text(pairs, "expireAt").and_then(|text| natsbridge::timestamp::parse(&text));
    fit.then_some((expected_id(pairs)?, token, expected_domain(pairs)?, expires))
}

/// Id, name, size, MD5 and status.
type File = (String, String, Option<u64>, Option<String>, Option<String>);

fn expected_file(pairs: &Pairs) -> Option<File> {
    let name = text(pairs, "fileName")?;
    if ["", ".", ".."].contains(&name.as_str()) || name.contains('/') {
        return None;
    }
    let size = match last(pairs, "fileSize") {
        Some(Value::Number(digits)) => digits.parse().ok(),
        _ => None,
    };
    Some((expected_id(pairs)?, name, size, text(pairs, "fileMd5"), text(pairs, "status")))
}

/// Id and name of each file that is not said to be gone.
fn expected_list(pairs: &Pairs) -> Option<Vec<(String, String)>> {
    let Some(Value::Array(files)) = last(pairs, "files") else { return Some(Vec::new()) };
    let mut list = Vec::new();
    for file in files {
        let Value::Object(pairs) = &file.value else { return None };
        if !matches!(text(pairs, "status").as_deref(), Some("removed" | "deleted")) {
            list.push((expected_id(pairs)?, text(pairs, "fileName")?));
        }
    }
    // Plik's own limit.
    Some(list).filter(|list| list.len() <= 1000)
}

/// `None` for one that cannot be used.
fn expected_domain(pairs: &Pairs) -> Option<Option<String>> {
    let text = match last(pairs, "downloadDomain") {
        None | Some(Value::Null) => return Some(None),
        Some(Value::String(text)) if text.is_empty() => return Some(None),
        Some(Value::String(text)) if !text.contains(['?', '#']) => text,
        Some(_) => return None,
    };
    // What a link is has a target of its own.
    let url = LinkUrl::parse(text).ok()?;
    let prefix = url.as_str().trim_end_matches('/');
    (prefix.len() <= MAX_DOMAIN).then(|| Some(prefix.to_owned()))
}

/// URLs are made by appending to it.
fn check_domain(domain: Option<&reply::Base>) {
    let Some(domain) = domain else { return };
    let text = domain.as_str();
    assert!(!text.ends_with('/') && !text.contains(['?', '#', '\\']));
    // Nobody to log in as; further on an @ is a letter like any other.
    assert!(text.split('/').nth(2).is_some_and(|authority| !authority.contains('@')));
    assert!(text.starts_with("http://") || text.starts_with("https://"));
    let whole = LinkUrl::parse(&format!("{text}/file/a/b/c")).expect("a URL to append to");
    assert_eq!(whole.origin(), domain.url().origin());
    assert!(whole.as_str().ends_with("/file/a/b/c"));
}

/// An answer like a Plik's; seldom with a field that is none of its.
fn answer(source: &mut Source<'_>) -> String {
    let domains = [
        "",
        "https://dl.example.org/p/",
        "http://localhost:8080",
        "http://u:p@h",
        "http://h/?q",
        "http://h/#f",
        "ftp://h",
        "http://127.1",
        "http://[::1]:80/",
        "http://h/a\\b",
        "https://",
    ];
    let mut pairs = Vec::new();
    let id = source.pick(&["aBcD", "a-b_c", "", "../x", "a b", "0123456789012345678901234567890123", "é"]);
    pairs.push(("id", field(source, id)));
    let token = source.pick(&["t0k3n", "", "a b", "a\r\nX: y", "t\u{7f}", "é"]);
    pairs.push(("uploadToken", field(source, token)));
    let domain = source.pick(&domains);
    pairs.push(("downloadDomain", field(source, domain)));
    let name = source.pick(&["a b", "", ".", "..", "x/y", "日本", "a\\b", "a\u{0}b"]);
    pairs.push(("fileName", field(source, name)));
    let time =
        source.pick(&["2026-03-01T12:00:00.5Z", "", "x", "0001-01-01T00:00:00Z", "9999-99-99T99:99:99Z"]);
    pairs.push(("expireAt", field(source, time)));
    pairs.push(("status", field(source, "uploaded")));
    pairs.push(("fileSize", source::value(source, 0)));
    if source.one_in(3) {
        let files = match source.below(4) {
            0 => source.pick(&["[]", "null", "{}", "[null]", "[[]]"]).into(),
            _ => {
                let files: Vec<_> = (0..source.below(4)).map(|_| file(source)).collect();
                format!("[{}]", files.join(","))
            }
        };
        pairs.push(("files", files));
    }
    if source.one_in(6) {
        pairs.push((source.pick(&["id", "uploadToken", "x"]), source::value(source, 1)));
    }
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", pairs.join(","))
}

/// One file of an upload; some are not there any more, and may be called anything then.
fn file(source: &mut Source<'_>) -> String {
    let id = source.pick(&["f", "g-1", "../x", ""]);
    let name = source.pick(&["a", "", "x/y", ".."]);
    let status = source.pick(&["uploaded", "missing", "removed", "deleted", "Removed"]);
    let mut pairs = Vec::new();
    for (key, text) in [("id", id), ("fileName", name), ("status", status)] {
        if !source.one_in(12) {
            pairs.push(format!("\"{key}\":{}", field(source, text)));
        }
    }
    format!("{{{}}}", pairs.join(","))
}

fn field(source: &mut Source<'_>, text: &str) -> String {
    match source.below(16) {
        14 => source::value(source, 0),
        15 => {
            let text = source.text(40);
            write::string(&text)
        }
        _ => write::string(text),
    }
}
