//! Origins: scheme, host and port, the unit in which a receiver allows links.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

/// How a file server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// HTTP in the clear; port 80 unless the URL says otherwise.
    Http,
    /// HTTP over TLS; port 443 unless the URL says otherwise.
    Https,
}

impl Scheme {
    /// The name as URLs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where a URL names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port: the unit in which a receiver allows links.
///
/// The host is compared as written, in lower case, and never resolved. `localhost`, `127.0.0.1` and `[::1]` count as
/// one host. The port is compared with the scheme's default filled in.
///
/// # Examples
/// ```
/// use natsbridge::link::Origin;
///
/// let origin = Origin::parse("HTTP://LocalHost:80/")?;
/// assert_eq!(origin.to_string(), "http://localhost:80");
/// assert_eq!(origin, Origin::parse("http://127.0.0.1")?);
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct Origin {
    scheme: Scheme,
    /// Lower case, not empty; IPv6 with its brackets.
    host: Box<str>,
    port: u16,
}

impl Origin {
    /// Parses `scheme://host` or `scheme://host:port`, with or without a `/` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] for anything else, a path included: an origin comes from the receiver's own configuration.
    pub fn parse(text: &str) -> Result<Self> {
        let misuse = |why: &str| Error::new(ErrorKind::Misuse, format!("not an origin: {why}"));
        let (origin, rest) = parse_origin(text).map_err(misuse)?;
        if rest.is_empty() || rest == "/" {
            Ok(origin)
        } else {
            Err(misuse("give scheme, host and port only, as in http://localhost:8080"))
        }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as written, in lower case; an IPv6 address has its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's default if the text named none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What two origins of one place have in common.
    fn key(&self) -> (Scheme, &str, u16) {
        let host = match &*self.host {
            "127.0.0.1" | "[::1]" => "localhost",
            other => other,
        };
        (self.scheme, host, self.port)
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Origin {
    /// `scheme://host:port`, the port always.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

/// Splits off scheme, host and port, or says why the text is no URL for us; the rest begins with `/`, `?` or `#`, or is empty.
pub(super) fn parse_origin(text: &str) -> Result<(Origin, &str), &'static str> {
    if text.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    if text.contains('\\') {
        return Err("it has a backslash");
    }
    let (scheme, rest) = text.split_once("://").ok_or("it is no absolute http or https URL")?;
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
        _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        _ => return Err("its scheme is neither http nor https"),
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("it has user info in front of the host");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (address, after) = inner.split_once(']').ok_or("its IPv6 address has no end")?;
            // `from_str` refuses zones (`%eth0`), which would have no meaning on another machine.
            Ipv6Addr::from_str(address).map_err(|_| "its IPv6 address is not valid")?;
            let port = match after {
                "" => "",
                _ => after.strip_prefix(':').ok_or("there is text after its IPv6 address")?,
            };
            (&authority[..address.len() + 2], port)
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            check_host(host)?;
            (host, port)
        }
    };
    // An empty port (`http://host:/`) is allowed by RFC 3986 and means the default.
    let port = match port {
        "" => scheme.default_port(),
        _ if port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().filter(|&port| port != 0).ok_or("its port is not between 1 and 65535")?
        }
        _ => return Err("its port is no number between 1 and 65535"),
    };
    Ok((Origin { scheme, host: host.to_ascii_lowercase().into(), port }, rest))
}

/// Accepts DNS names and dotted IPv4 addresses, and no spelling that resolvers read in more than one way.
fn check_host(host: &str) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err("it has no host");
    }
    // A dot at the end makes a name absolute; it stays, and is another origin than the name without.
    let labels = host.strip_suffix('.').unwrap_or(host);
    if host.len() > 253 || labels.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err("its host is no valid name");
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err("its host has characters other than letters, digits, '-', '_' and '.'");
    }
    let last = labels.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    // `127.1`, `2130706433` and `0x7f.1` are the local machine to some resolvers and nonsense to others.
    if numeric && (host.ends_with('.') || Ipv4Addr::from_str(host).is_err()) {
        return Err("its host looks like an IPv4 address but is not four decimal numbers");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_origin() {
        let origin = |text| Origin::parse(text).unwrap();
        for same in ["http://localhost", "http://127.0.0.1:80/", "HTTP://[::1]:80", "http://LOCALHOST:"] {
            assert_eq!(origin(same), origin("http://localhost:80"), "{same}");
        }
        for other in [
            "https://localhost:80",
            "http://localhost:81",
            "http://localhost.",
            "http://127.0.0.2",
            "http://[::ffff:127.0.0.1]",
            "http://[0:0:0:0:0:0:0:1]",
            "http://localhost.evil.example",
        ] {
            assert_ne!(origin(other), origin("http://localhost:80"), "{other}");
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        for text in ["http://h/x", "http://h?", "http://h#", "http://h//", "h:80", "ftp://h", "http://u@h"] {
            assert_eq!(Origin::parse(text).unwrap_err().kind(), ErrorKind::Misuse, "{text}");
        }
    }
}
