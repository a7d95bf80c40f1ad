//! How a Plik store is set up.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::Plik;
use super::reply::Base;
use crate::link::TlsOptions;
use crate::link::http::{Client, HttpTimeouts};
use crate::{Error, ErrorKind, Result};

/// How long a file server keeps an upload: a choice of the sender that receivers cannot see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lifetime {
    /// Kept for this long, in whole seconds, at least one. The default is 24 hours.
    Keep(Duration),
    /// Deleted by the first download, **even one that breaks off**: a retry, a second subscriber and a replay all find
    /// nothing. Only for messages with exactly one receiver that can live with a lost payload.
    OneShot,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self::Keep(Duration::from_secs(24 * 60 * 60))
    }
}

/// Login and password, and the header made of them.
#[derive(Clone)]
pub(super) struct Auth {
    user: String,
    password: String,
    header: String,
}

impl Auth {
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(…)")
    }
}

impl Plik {
    /// A server by its base URL, which may have a path, as in `https://example.org/plik`.
    ///
    /// No connection is made yet.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if the text is no absolute `http` or `https` URL, or has user info, a query or a fragment.
    pub fn new(base_url: &str) -> Result<Self> {
        let base = Base::parse(base_url).map_err(|why| {
            Error::new(ErrorKind::Misuse, format!("the URL of the file server cannot be used: {why}"))
        })?;
        Ok(Self {
            base,
            client: Client::default(),
            lifetime: Lifetime::default(),
            token: None,
            auth: None,
            protect_uploads: false,
            verify_md5: false,
            parallel: 4,
            domain: std::sync::Arc::default(),
        })
    }

    /// Sets how long uploads are kept. Default [`Lifetime::Keep`] for 24 hours.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Uploads as the user whom this token belongs to (`X-PlikToken`).
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sends login and password (HTTP Basic) with every request to this server and its download domain, and to no other
    /// place: for a server behind a password, and for password-protected uploads.
    #[must_use]
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        let (user, password) = (user.into(), password.into());
        let encoded = base64_simd::STANDARD.encode_to_string(format!("{user}:{password}"));
        self.auth = Some(Auth { user, password, header: format!("Basic {encoded}") });
        self
    }

    /// Protects uploads with the login and password of [`basic_auth`](Self::basic_auth): receivers need them as well.
    ///
    /// Without `basic_auth`, uploads fail with [`ErrorKind::Misuse`].
    #[must_use]
    pub fn protect_uploads(mut self) -> Self {
        self.protect_uploads = true;
        self
    }

    /// Sets whether to compare the MD5 that the server reports after an upload. Default no: it costs about 2.5 ms of
    /// another thread for each MB, and receivers check a SHA-256 anyway.
    #[must_use]
    pub fn verify_md5(mut self, verify: bool) -> Self {
        self.verify_md5 = verify;
        self
    }

    /// Sets how long each stage of a transfer may take.
    #[must_use]
    pub fn timeouts(mut self, timeouts: HttpTimeouts) -> Self {
        self.client.set_timeouts(timeouts);
        self
    }

    /// Sets whom to trust, and which client certificate to show, where the server speaks `https`.
    #[must_use]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.client.set_tls(options);
        self
    }

    /// Sets how many files of a batch are sent at once, at least 1. Default 4 (chosen).
    #[must_use]
    pub fn parallel(mut self, count: usize) -> Self {
        self.parallel = count.max(1);
        self
    }

    /// The JSON that describes an upload to the server.
    pub(super) fn description(&self) -> Result<String> {
        let mut description = match self.lifetime {
            // A time to live of 0 would be the server's default, which may be anything.
            Lifetime::Keep(time) => {
                json!({ "ttl": time.as_secs().clamp(1, i32::MAX as u64), "removable": false })
            }
            Lifetime::OneShot => json!({ "oneShot": true, "removable": false }),
        };
        if self.auth.as_ref().is_some_and(|auth| auth.user.contains(':')) {
            return Err(Error::new(ErrorKind::Misuse, "the user of basic_auth must not contain a colon"));
        }
        if self.protect_uploads {
            let auth = self
                .auth
                .as_ref()
                .ok_or_else(|| Error::new(ErrorKind::Misuse, "protect_uploads needs basic_auth"))?;
            description["login"] = auth.user.as_str().into();
            description["password"] = auth.password.as_str().into();
        }
        Ok(description.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_checked_at_once() {
        for text in ["http://localhost:8080", "http://localhost:8080/", "https://example.org/plik/"] {
            assert!(Plik::new(text).is_ok(), "{text}");
        }
        for text in
            ["", "localhost:8080", "ftp://h", "http://user:SECRET@h", "http://h/?SECRET", "http://h#SECRET"]
        {
            let error = Plik::new(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misuse, "{text}");
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn debug_output_has_no_secrets() {
        let store = Plik::new("http://localhost:8080/SECRET")
            .unwrap()
            .token("SECRET")
            .basic_auth("SECRET", "SECRET")
            .protect_uploads();
        let text = format!("{store:?}");
        assert!(!text.contains("SECRET") && text.contains("http://localhost:8080/…"), "{text}");
    }

    #[test]
    fn an_upload_is_described_as_chosen() {
        let plik = || Plik::new("http://h").unwrap();
        let keep = |time| plik().lifetime(Lifetime::Keep(time)).description().unwrap();
        assert_eq!(plik().description().unwrap(), r#"{"removable":false,"ttl":86400}"#);
        assert_eq!(keep(Duration::ZERO), r#"{"removable":false,"ttl":1}"#);
        assert_eq!(keep(Duration::MAX), r#"{"removable":false,"ttl":2147483647}"#);
        let text = plik().lifetime(Lifetime::OneShot).description().unwrap();
        assert_eq!(text, r#"{"oneShot":true,"removable":false}"#);
        let text = plik().basic_auth("u", "p\"w").protect_uploads().description().unwrap();
        assert_eq!(text, r#"{"login":"u","password":"p\"w","removable":false,"ttl":86400}"#);
        assert_eq!(plik().protect_uploads().description().unwrap_err().kind(), ErrorKind::Misuse);
        let error = plik().basic_auth("a:b", "c").description().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
    }
}
