//! Which links a receiver may fetch.

use super::origin::Origin;
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

/// The origins that a receiver fetches links from; every other link is refused before a connection is made.
///
/// An allowed origin may resolve to any address: a file server on this machine or a private network is normal.
/// That is safe because a sender cannot choose the name, only use one that the receiver gave.
///
/// # Examples
/// ```
/// use natsbridge::ErrorKind;
/// use natsbridge::link::{LinkUrl, Origin, Policy};
///
/// let policy = Policy::none().allow_origin(Origin::parse("http://localhost:8080")?);
/// policy.check(&LinkUrl::parse("http://127.0.0.1:8080/file/a/b/c")?)?;
///
/// let refusal = policy.check(&LinkUrl::parse("http://169.254.169.254/")?).unwrap_err();
/// assert_eq!(refusal.kind(), ErrorKind::LinkRefused);
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// No origin twice.
    allowed: Vec<Origin>,
}

impl Policy {
    /// Allows nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Allows one more origin; allowing it twice changes nothing.
    #[must_use]
    pub fn allow_origin(mut self, origin: Origin) -> Self {
        if !self.allows(&origin) {
            self.allowed.push(origin);
        }
        self
    }

    /// What is allowed, in the order in which it was allowed.
    pub fn origins(&self) -> &[Origin] {
        &self.allowed
    }

    /// Whether links to this origin may be fetched.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.allowed.contains(origin)
    }

    /// Asks whether a link may be fetched.
    ///
    /// # Errors
    /// [`ErrorKind::LinkRefused`] if its origin is not allowed; the text names the origin and the option that would
    /// allow it.
    pub fn check(&self, url: &LinkUrl) -> Result<()> {
        let origin = url.origin();
        if self.allows(origin) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::LinkRefused,
            format!(
                "{origin} is no place that this receiver may fetch from; if it is trusted, \
                 allow it with allow_origin(\"{origin}\") or --allow-origin {origin}"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> LinkUrl {
        LinkUrl::parse(text).unwrap()
    }

    #[test]
    fn nothing_is_allowed_until_it_is_named() {
        for text in ["http://localhost:8080/x", "https://example.org/", "http://10.0.0.1/"] {
            assert_eq!(
                Policy::none().check(&link(text)).unwrap_err().kind(),
                ErrorKind::LinkRefused,
                "{text}"
            );
        }
    }

    #[test]
    fn an_allowed_origin_allows_its_spellings_and_nothing_near_it() {
        let policy = Policy::none()
            .allow_origin(Origin::parse("http://localhost:8080").unwrap())
            .allow_origin(Origin::parse("https://files.example.org").unwrap());
        for text in [
            "http://localhost:8080/a",
            "HTTP://LOCALHOST:8080/a",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/?q",
            "https://files.example.org/a",
            "https://FILES.example.org:443/a",
        ] {
            policy.check(&link(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        for text in [
            "http://localhost/a",
            "https://localhost:8080/a",
            "http://localhost.:8080/a",
            "http://localhost.evil.example:8080/a",
            "http://127.0.0.2:8080/a",
            "http://0.0.0.0:8080/a",
            "http://[::]:8080/a",
            "http://[::ffff:127.0.0.1]:8080/a",
            "http://169.254.169.254/latest/meta-data",
            "http://[fd00:ec2::254]/latest",
            "http://files.example.org/a",
            "https://example.org/a",
            "https://a.files.example.org/a",
            "https://files.example.org.evil.example/a",
            "https://files.example.org:444/a",
        ] {
            assert_eq!(policy.check(&link(text)).unwrap_err().kind(), ErrorKind::LinkRefused, "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_allow_it_and_hides_the_rest() {
        let refusal = Policy::none().check(&link("http://Files/file/SECRET")).unwrap_err().to_string();
        assert!(refusal.contains("allow_origin(\"http://files:80\")"), "{refusal}");
        assert!(refusal.contains("--allow-origin http://files:80"), "{refusal}");
        assert!(!refusal.contains("SECRET"), "{refusal}");
    }

    #[test]
    fn allowing_twice_changes_nothing() {
        let policy = Policy::none()
            .allow_origin(Origin::parse("http://localhost").unwrap())
            .allow_origin(Origin::parse("http://127.0.0.1:80").unwrap());
        assert_eq!(policy.origins().len(), 1);
    }
}
