//! Link URLs: parsed strictly, made fit for a request line, printed without secrets.

use std::fmt;
use std::str::FromStr;

use super::origin::{Origin, Scheme, parse_origin};
use crate::{Error, ErrorKind, Result};

/// An absolute `http` or `https` URL, fit to be put into a request line.
///
/// Spaces, raw UTF-8 and other characters that a request line cannot carry are percent-encoded (some ports write the
/// data name unencoded); escapes that are there already stay as they are; a fragment is dropped; scheme and host are
/// in lower case and a default port is left out.
///
/// The URL is a secret, so `Display` and `Debug` show `scheme://host:port/…`; the whole text is [`as_str`](Self::as_str).
///
/// # Examples
/// ```
/// use natsbridge::link::LinkUrl;
///
/// let url = LinkUrl::parse("http://Files:8080/file/u/f/my report.pdf")?;
/// assert_eq!(url.as_str(), "http://files:8080/file/u/f/my%20report.pdf");
/// assert_eq!(url.to_string(), "http://files:8080/…");
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LinkUrl {
    text: Box<str>,
    /// Where the path begins in `text`; always a `/`.
    path: usize,
    origin: Origin,
}

impl LinkUrl {
    /// The longest text that [`parse`](Self::parse) looks at, in bytes. 8,192 (chosen): far above any file server's
    /// links, and below what HTTP servers take in a request line once every byte is escaped.
    pub const MAX_LEN: usize = 8192;

    /// Parses the `data` of a link payload.
    ///
    /// # Errors
    /// [`LinkRefused`](crate::ErrorKind::LinkRefused) for all that is no absolute `http` or `https` URL (another scheme,
    /// `http:/x`, no host, a host that is neither a name of letters, digits, `-` and `_` nor an IP address in its usual
    /// form, as `127.1` and `0x7f.1` are not, a port outside 1 to 65,535, more than [`MAX_LEN`](Self::MAX_LEN) bytes),
    /// and for what parsers disagree about: user info, backslashes, control characters. The text is never repeated in
    /// the error.
    pub fn parse(text: &str) -> Result<Self> {
        let error = |why| Error::new(ErrorKind::LinkRefused, format!("not a usable link: {why}"));
        if text.len() > Self::MAX_LEN {
            return Err(error("it is longer than 8192 bytes"));
        }
        let (origin, rest) = parse_origin(text).map_err(error)?;

        let mut out = String::with_capacity(text.len() + 16);
        out.push_str(origin.scheme().as_str());
        out.push_str("://");
        out.push_str(origin.host());
        if origin.port() != origin.scheme().default_port() {
            out.push(':');
            out.push_str(&origin.port().to_string());
        }
        let path = out.len();
        if !rest.starts_with('/') {
            out.push('/');
        }
        encode_path(rest.split('#').next().unwrap_or_default(), &mut out);
        Ok(Self { text: out.into(), path, origin })
    }

    /// The whole URL, as it goes into a message. A secret: keep it out of logs.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> Scheme {
        self.origin.scheme()
    }

    /// The host in lower case; an IPv6 address has its brackets.
    pub fn host(&self) -> &str {
        self.origin.host()
    }

    /// The port, the scheme's default if the text named none.
    pub fn port(&self) -> u16 {
        self.origin.port()
    }

    /// Path and query, percent-encoded, as a request line needs them; begins with `/`. A secret.
    pub fn path_and_query(&self) -> &str {
        &self.text[self.path..]
    }
}

impl FromStr for LinkUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for LinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.origin)
    }
}

impl fmt::Debug for LinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkUrl({self})")
    }
}

/// Appends path and query with everything escaped that a request line cannot carry.
fn encode_path(path: &str, out: &mut String) {
    let bytes = path.as_bytes();
    for (index, &byte) in bytes.iter().enumerate() {
        let keep = match byte {
            // An escape stays as it is; a lone percent sign is data, from a port that does not encode.
            b'%' => bytes.get(index + 1..index + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            _ => byte.is_ascii_graphic(),
        };
        if keep {
            out.push(char::from(byte));
        } else {
            push_escaped(byte, out);
        }
    }
}

/// Appends one path segment with everything escaped but letters, digits and `-._~`.
#[cfg_attr(not(feature = "plik"), allow(dead_code, reason = "only the Plik store writes URLs"))]
pub(super) fn encode_segment(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            push_escaped(byte, out);
        }
    }
}

fn push_escaped(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    fn kind(text: &str) -> Option<ErrorKind> {
        LinkUrl::parse(text).err().map(|error| error.kind())
    }

    #[test]
    fn urls_are_read_as_a_request_needs_them() {
        for (text, expected, origin) in [
            ("http://localhost:8080/file/a/b/c", "http://localhost:8080/file/a/b/c", "http://localhost:8080"),
            ("HTTP://LOCALHOST", "http://localhost/", "http://localhost:80"),
            (
                "HtTpS://Files.Example.ORG:443/X",
                "https://files.example.org/X",
                "https://files.example.org:443",
            ),
            ("http://h:/x", "http://h/x", "http://h:80"),
            ("http://h:080/x", "http://h/x", "http://h:80"),
            ("http://h?q=1", "http://h/?q=1", "http://h:80"),
            ("http://h#f", "http://h/", "http://h:80"),
            ("http://h/a#b?c", "http://h/a", "http://h:80"),
            ("http://h/my file.txt", "http://h/my%20file.txt", "http://h:80"),
            ("http://h/my%20file.txt", "http://h/my%20file.txt", "http://h:80"),
            ("http://h/100%", "http://h/100%25", "http://h:80"),
            ("http://h/100%zz%4", "http://h/100%25zz%254", "http://h:80"),
            ("http://h/日本 é", "http://h/%E6%97%A5%E6%9C%AC%20%C3%A9", "http://h:80"),
            ("http://h/\"<>[]^`{|}", "http://h/%22%3C%3E%5B%5D%5E%60%7B%7C%7D", "http://h:80"),
            ("http://h/a@b:c//d/../e", "http://h/a@b:c//d/../e", "http://h:80"),
            ("http://h/x?y=a b&z=[1]", "http://h/x?y=a%20b&z=%5B1%5D", "http://h:80"),
            ("http://[::1]/x", "http://[::1]/x", "http://[::1]:80"),
            ("http://[FE80::A]:81/x", "http://[fe80::a]:81/x", "http://[fe80::a]:81"),
            ("http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]:80"),
            ("http://127.0.0.1:65535/", "http://127.0.0.1:65535/", "http://127.0.0.1:65535"),
            ("http://localhost./x", "http://localhost./x", "http://localhost.:80"),
            ("http://file_server-1/x", "http://file_server-1/x", "http://file_server-1:80"),
            ("http://1password/x", "http://1password/x", "http://1password:80"),
        ] {
            let url = LinkUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.as_str(), expected, "{text}");
            assert_eq!(url.origin().to_string(), origin, "{text}");
            assert!(url.path_and_query().starts_with('/'), "{text}");
            assert_eq!(LinkUrl::parse(url.as_str()).unwrap(), url, "reading {text} again changes it");
        }
    }

    #[test]
    fn deceptive_urls_are_refused() {
        for text in [
            "http://user@h/x",
            "http://user:secret@h/x",
            "http://@h/x",
            "http://localhost:8080@evil/x",
            "http://h\\@evil/x",
            "http:\\\\h\\x",
            "http://h/a\\b",
            "http://h/x\n",
            "\thttp://h/x",
            "http://h/x\r\nHost: evil",
            "http://h/\u{0}",
            "http://h/\u{7f}",
            "http://h/\u{85}",
            "ht\ntp://h/",
        ] {
            assert_eq!(kind(text), Some(ErrorKind::LinkRefused), "{text:?}");
        }
    }

    #[test]
    fn other_texts_are_no_links() {
        for text in [
            "",
            "hello",
            "/file/x",
            "//h/x",
            "http:/x",
            "http:x",
            "http:h/x",
            "http:",
            "http://",
            "http:///x",
            "http://?x",
            "http://:80/x",
            " http://h/x",
            "https:/h",
            "file:///etc/passwd",
            "ftp://localhost/x",
            "gopher://h/x",
            "ws://h/x",
            "javascript://h/x",
            "data:text/plain,x",
            "httpx://h/x",
            "http+unix://h/x",
            "http://h:0/x",
            "http://h:65536/x",
            "http://h:123456/x",
            "http://h:+80/x",
            "http://h:-1/x",
            "http://h:8o/x",
            "http://h:80:80/x",
            "http://h :80/x",
            "http://a b/x",
            "http://h%2f/x",
            "http://h%00/x",
            "http://müller/x",
            "http://ｌｏｃａｌｈｏｓｔ/x",
            "http://h!/x",
            "http://.h/x",
            "http://h..x/x",
            "http://./x",
            "http://../x",
            "http://127.1/x",
            "http://127.0.0.1./x",
            "http://0x7f.1/x",
            "http://0x7f000001/x",
            "http://2130706433/x",
            "http://0177.0.0.1/x",
            "http://127.0.0.256/x",
            "http://1.2.3.4.5/x",
            "http://[::1/x",
            "http://[::1]x/x",
            "http://[::1]80/x",
            "http://[]/x",
            "http://[1::2::3]/x",
            "http://[fe80::1%25eth0]/x",
            "http://[v1.x]/x",
            "http://::1/x",
        ] {
            assert_eq!(kind(text), Some(ErrorKind::LinkRefused), "{text:?}");
        }
        assert_eq!(kind(&format!("http://{}/x", "a".repeat(64))), Some(ErrorKind::LinkRefused));
        assert_eq!(kind(&format!("http://h/{}", "a".repeat(LinkUrl::MAX_LEN))), Some(ErrorKind::LinkRefused));
    }

    #[test]
    fn nothing_prints_more_than_the_origin() {
        let url = LinkUrl::parse("https://files/file/SECRET?SECRET").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://files:443/… LinkUrl(https://files:443/…)");
        let error = LinkUrl::parse("http://user:SECRET@h/SECRET").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"));
    }

    #[test]
    fn a_segment_is_escaped_whole() {
        let mut out = String::new();
        encode_segment("a b/c?d#e%f\"é~.-_", &mut out);
        assert_eq!(out, "a%20b%2Fc%3Fd%23e%25f%22%C3%A9~.-_");
    }
    proptest! {
        #[test]
        fn whatever_is_read_fits_a_request_line(text in "(https?://[a-z0-9.:\\[\\]]{0,12}/)?\\PC{0,60}") {
            if let Ok(url) = LinkUrl::parse(&text) {
                prop_assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(url.path_and_query().starts_with('/'));
                prop_assert!(!url.as_str().contains(['#', '\\', '"', '<']));
                prop_assert_eq!(&LinkUrl::parse(url.as_str()).unwrap(), &url);
            }
        }
    }
}
