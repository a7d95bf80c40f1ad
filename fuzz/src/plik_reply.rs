//! A file server's answers: whatever it says, what is taken from it is fit for a URL, a header and a handle.

use allocation_counter::measure;

use crate::oracle::json::{self, Value};
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
    // A tree of values takes a multiple of its text; the answers themselves are at most a few hundred kilobytes.
    let most = 128 * answer.len() as u64 + 16 * 1024;
    assert!(allocated.bytes_max <= most, "{} bytes for {}", allocated.bytes_max, answer.len());

    if let Ok(created) = reply::created(answer) {
        check_id(answer, &created.id);
        assert_eq!(last(answer, "uploadToken").as_deref(), Some(created.token.as_str()));
        // It stands in a header: one line of visible characters, no space.
        assert!((1..=256).contains(&created.token.len()));
        assert!(created.token.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
        check_domain(created.domain.as_ref(), answer);
        if let Some(time) = created.expires_at {
            let text = last(answer, "expireAt").expect("a time has a text");
            assert_eq!(natsbridge::timestamp::parse(&text), Some(time));
        }
    }
    if let Ok(added) = reply::added(answer) {
        check_id(answer, &added.id);
        assert_eq!(last(answer, "fileName").as_deref(), Some(added.name.as_str()));
        assert!(!["", ".", ".."].contains(&added.name.as_str()) && !added.name.contains('/'));
        assert_eq!(last(answer, "fileMd5"), added.md5);
        assert_eq!(last(answer, "status"), added.status);
        let size = last_value(answer, "fileSize");
        let number = match size {
            Some(Value::Number(text)) => text.parse::<u64>().ok(),
            _ => None,
        };
        assert_eq!(number, added.size);
    }
    for (id, _name) in reply::listed(answer).unwrap_or_default() {
        assert!((1..=MAX_ID).contains(&id.len()));
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    }
    if let Ok(domain) = reply::config(answer) {
        check_domain(domain.as_ref(), answer);
    }
}

/// It stands in a path: letters, digits, `-` and `_` only.
fn check_id(answer: &[u8], id: &str) {
    assert_eq!(last(answer, "id").as_deref(), Some(id));
    assert!((1..=MAX_ID).contains(&id.len()));
    assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
}

/// URLs are made by appending to it.
fn check_domain(domain: Option<&reply::Base>, answer: &[u8]) {
    let Some(domain) = domain else {
        let text = last_value(answer, "downloadDomain");
        let none = match text {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            _ => false,
        };
        return assert!(none, "a download domain is ignored");
    };
    let text = domain.as_str();
    assert!(text.len() <= MAX_DOMAIN && !text.ends_with('/') && !text.contains(['?', '#', '\\']));
    // Nobody to log in as; further on an @ is a letter like any other.
    assert!(text.split('/').nth(2).is_some_and(|authority| !authority.contains('@')));
    assert!(text.starts_with("http://") || text.starts_with("https://"));
    let whole = natsbridge::link::LinkUrl::parse(&format!("{text}/file/a/b/c")).expect("a URL to append to");
    assert_eq!(whole.origin(), domain.url().origin());
    assert!(whole.as_str().ends_with("/file/a/b/c"));
}

/// The last value of a key, as an independent reader sees it.
fn last_value(answer: &[u8], key: &str) -> Option<Value> {
    let node = json::parse(answer).expect("accepted, but it is no JSON");
    let Value::Object(pairs) = node.value else { panic!("accepted, but it is no object") };
    pairs.into_iter().rfind(|(name, _)| name == key).map(|(_, node)| node.value)
}

fn last(answer: &[u8], key: &str) -> Option<String> {
    match last_value(answer, key)? {
        Value::String(text) => Some(text),
        _ => None,
    }
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
        let files = [
            "[]",
            "null",
            r#"[{"id":"f","fileName":"a","status":"uploaded"}]"#,
            r#"[{"id":"../x","fileName":"a"}]"#,
        ];
        pairs.push(("files", source.pick(&files).into()));
    }
    if source.one_in(6) {
        pairs.push((source.pick(&["id", "uploadToken", "x"]), source::value(source, 1)));
    }
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
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
