//! Links from strangers: what is fetched is never a place that a strict reader of the same text would not allow.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use natsbridge::ErrorKind;
use natsbridge::link::{LinkUrl, Origin, Policy};

use crate::source::{self, Source};

/// What the receiver of these tests has allowed, as a strict reader sees it.
const ALLOWED: [(&str, &str, u16); 5] = [
    ("http", "localhost", 8080),
    ("https", "files.example.org", 443),
    ("http", "10.0.0.7", 80),
    ("http", "[fd00::7]", 9000),
    ("http", "file_server-1", 80),
];

/// Any text as a link, or one that is built from pieces which parsers disagree about.
pub(crate) fn policy(bytes: &[u8]) {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let source = &mut Source::new(rest);
    let mut text = match choice % 4 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        _ => link(source),
    };
    if choice % 4 == 3 {
        let mut damaged = text.into_bytes();
        source::mutate(source, &mut damaged);
        text = String::from_utf8_lossy(&damaged).into_owned();
    }
    check(&text);
}

fn check(text: &str) {
    let policy = ALLOWED.iter().fold(Policy::none(), |policy, (scheme, host, port)| {
        policy.allow_origin(Origin::parse(&format!("{scheme}://{host}:{port}")).expect("an origin"))
    });
    let strict = strict_origin(text);
    let url = match LinkUrl::parse(text) {
        Ok(url) => url,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::LinkRefused);
            check_secrecy(text, &format!("{error} {error:?}"));
            // An origin that is refused as a link is none for a policy either.
            assert!(Origin::parse(text).is_err(), "{text:?}");
            return;
        }
    };
    // Whoever reads the text strictly finds the same place in it, and finds it again in what goes on the wire.
    let found = (url.scheme().as_str(), url.host(), url.port());
    let strict = strict.unwrap_or_else(|| panic!("{text:?} is accepted, and says no place clearly"));
    assert_eq!(found, (strict.0.as_str(), strict.1.as_str(), strict.2), "{text:?}");
    let written = strict_origin(url.as_str()).expect("what is written is clear");
    assert_eq!(written, strict, "{text:?} is written as {:?}", url.as_str());
    // Escapes may have made it longer than a link that is read.
    if url.as_str().len() <= LinkUrl::MAX_LEN {
        assert_eq!(LinkUrl::parse(url.as_str()).ok().as_ref(), Some(&url), "reading it again changes it");
    }
    check_wire(text, &url);

    // Spellings of this machine's own address count as one.
    let name =
        |host: &str| if matches!(host, "127.0.0.1" | "[::1]") { "localhost".into() } else { host.to_owned() };
    let allowed = ALLOWED.iter().any(|(scheme, host, port)| {
        (strict.0.as_str(), name(&strict.1), strict.2) == (scheme, name(host), *port)
    });
    match policy.check(&url) {
        Ok(_) => assert!(allowed, "{text:?} is allowed"),
        Err(error) => {
            assert!(!allowed, "{text:?} is refused: {error}");
            assert_eq!(error.kind(), ErrorKind::LinkRefused);
            check_secrecy(url.path_and_query(), &format!("{error} {error:?}"));
        }
    }
    assert!(Policy::none().check(&url).is_err(), "nothing is allowed until it is named");
    check_secrecy(url.path_and_query(), &format!("{url} {url:?}"));
    let own = url.origin().clone();
    let again = Origin::parse(&own.to_string()).expect("an origin prints as one");
    assert_eq!(again, own);
    assert_eq!(hash(&again), hash(&own));
}

fn hash(origin: &Origin) -> u64 {
    let mut hasher = DefaultHasher::new();
    origin.hash(&mut hasher);
    hasher.finish()
}

/// What a request line takes, and no more than was there: a path that keeps its segments.
fn check_wire(text: &str, url: &LinkUrl) {
    assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    assert!(!url.as_str().contains(['#', '\\', '"', '<', '>']), "{text:?}");
    assert!(url.path_and_query().starts_with('/'), "{text:?}");
    // Nobody to log in as; further on an @ is a letter like any other.
    let place = url.as_str().strip_suffix(url.path_and_query());
    assert!(place.is_some_and(|place| !place.contains('@')), "{text:?}");
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let rest = rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]);
    let rest = rest.split('#').next().unwrap_or_default();
    let slashes = |text: &str| text.matches(['/', '?', '&', '=']).count();
    let added = usize::from(!rest.starts_with('/'));
    assert_eq!(slashes(url.path_and_query()), slashes(rest) + added, "{text:?}");
}

/// No text for people shows a longer piece of what only the one who fetches may know.
fn check_secrecy(secret: &str, shown: &str) {
    for piece in secret.split(['/', ':', '@', '?', '=', ' ', '.', '#', '&', '\\']) {
        if piece.len() >= 6 && piece.starts_with("SECRET") {
            assert!(!shown.contains(piece), "{shown:?}");
        }
    }
}

/// Scheme, host and port of an absolute URL, if there is only one way to read it.
pub(crate) fn strict_origin(text: &str) -> Option<(String, String, u16)> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    // What some readers drop, and others take for a part of the host.
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    if !authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)) {
        return None;
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    let port = match port {
        "" => default,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() <= 5 => {
            digits.parse().ok()?
        }
        _ => return None,
    };
    let host = host.to_ascii_lowercase();
    if let Some(address) = host.strip_prefix('[') {
        address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?;
    } else {
        strict_name(&host)?;
    }
    (port != 0).then_some((scheme, host, port))
}

/// A name of labels, or four decimal numbers; nothing that a resolver might take for an address in another spelling.
fn strict_name(host: &str) -> Option<()> {
    let labels: Vec<_> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    if labels.iter().any(|label| label.is_empty() || label.len() > 63) || host.len() > 255 {
        return None;
    }
    let last = labels.last()?;
    let number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if number {
        host.parse::<Ipv4Addr>().ok().map(drop)
    } else {
        (!host.contains([':', '[', ']'])).then_some(())
    }
}

/// A link of pieces that are fine alone.
pub(crate) fn link(source: &mut Source<'_>) -> String {
    let schemes = ["http", "http", "http", "HTTPS", "https", "hTTp", "ftp", "file", "", "http+x", " http"];
    let separators = ["://", "://", "://", "://", ":", ":/", ":///", ":\\\\", ":/\\", "//", ":\t//"];
    let users =
        ["", "", "", "", "", "SECRETuser@", "u:SECRETpass@", "localhost:8080@", "@", "u%40", "u\u{ff20}"];
    let hosts = [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:7f00:1]",
        "[::1%25lo]",
        "[::1%lo]",
        "files.example.org",
        "FILES.Example.ORG",
        "files.example.org.",
        "example.org",
        "a.files.example.org",
        "files.example.org.evil.example",
        "10.0.0.7",
        "10.0.0.07",
        "10.7",
        "[fd00::7]",
        "[fd00:0::7]",
        "[FD00::7]",
        "file_server-1",
        "file_server-1.",
        "169.254.169.254",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "ｌｏｃａｌｈｏｓｔ",
        "localhost\u{ad}",
        "loc%61lhost",
        "",
        ".",
        "..",
        "a..b",
        "-",
        "[",
        "]",
        "[]",
        "[::1",
        "::1",
        "0",
        "0.0.0.0",
        "[::]",
        "1.2.3.4.5",
        "0x",
        "0x.0x",
        "a b",
        "①②⑦.⓪.⓪.①",
    ];
    let ports = [
        "",
        "",
        ":8080",
        ":8080",
        ":80",
        ":443",
        ":9000",
        ":",
        ":0",
        ":65536",
        ":080",
        ":08080",
        ":8080:80",
        ":+80",
        ":-1",
        ":80a",
        ":８０",
        ": 80",
        ":99999999999999999999",
    ];
    let paths = [
        "",
        "/",
        "/file/SECRET1/b",
        "?SECRET2",
        "#SECRET3",
        "/a b/é%2f%zz",
        "/..;/@evil",
        "\\@evil",
        "/\r\nHost: evil",
        "\t",
        "/a?b=c&d=SECRET4#e",
        "/%",
        "//evil/x",
        "/\u{85}",
        "/{}^`|<>\"",
    ];
    let mut out = String::new();
    out += source.pick(&schemes);
    out += source.pick(&separators);
    out += source.pick(&users);
    out += source.pick(&hosts);
    out += source.pick(&ports);
    out += source.pick(&paths);
    if source.one_in(20) {
        out += &"a".repeat(LinkUrl::MAX_LEN - out.len() + source.below(3));
    }
    out
}
