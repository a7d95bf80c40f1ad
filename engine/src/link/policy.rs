//! Which links a receiver may fetch.

use std::fmt;
use std::net::IpAddr;

use super::address::{AddressClass, Reach, option_for};
use super::origin::Origin;
use super::url::LinkUrl;
use crate::{Error, ErrorKind, Result};

/// What a receiver fetches links from; every other link is refused before a connection is made.
///
/// Two kinds of allowance. An **origin** that is allowed by name may resolve to any address: a file server on this machine
/// or a private network is normal, and safe because a sender cannot choose the name, only use one that the receiver
/// gave. A **wider** one (a domain, or any host) leaves the choice of the host to senders, so it reaches public addresses
/// only, unless others are allowed too; see [`Reach`]. It also leaves out the ports on which other protocols live.
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
///
/// let policy = policy.allow_domain("example.org")?;
/// let reach = policy.check(&LinkUrl::parse("https://files.example.org/x")?)?;
/// assert!(reach.allows("93.184.216.34".parse().unwrap()) && !reach.allows("10.0.0.1".parse().unwrap()));
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// No origin twice.
    allowed: Vec<Origin>,
    /// Lower case, without a dot at either end; no domain twice.
    domains: Vec<Box<str>>,
    any: bool,
    private: bool,
    metadata: bool,
    /// Of wide allowances; `None` is all but [`OTHER_PROTOCOLS`].
    ports: Option<Vec<u16>>,
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

    /// Allows a domain and all hosts below it, with `http` and `https`, at public addresses.
    ///
    /// # Errors
    /// [`Misuse`](ErrorKind::Misuse) for what is no domain name, such as a URL, an address, or `*.example.org`.
    pub fn allow_domain(mut self, domain: &str) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Misuse, "not a domain: give a name only, as in example.org");
        let name = domain.trim_end_matches('.').to_ascii_lowercase();
        // A name that is a host of an origin, and nothing beside it.
        let origin = Origin::parse(&format!("http://{name}")).map_err(|_| wrong())?;
        if origin.host() != name || literal(&origin).is_some() {
            return Err(wrong());
        }
        if !self.domains.iter().any(|known| **known == *name) {
            self.domains.push(name.into());
        }
        Ok(self)
    }

    /// Allows every host, at public addresses.
    #[must_use]
    pub fn allow_any(mut self) -> Self {
        self.any = true;
        self
    }

    /// Lets [`allow_domain`](Self::allow_domain) and [`allow_any`](Self::allow_any) reach private networks, this machine
    /// and the local network segment too, but no metadata service. Alone it allows nothing.
    #[must_use]
    pub fn allow_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Lets the wide allowances reach the metadata services of clouds too. They hand out credentials: there is hardly a
    /// reason to.
    #[must_use]
    pub fn allow_metadata(mut self) -> Self {
        self.metadata = true;
        self
    }

    /// Narrows the wide allowances to these ports. Default: all but those on which browsers refuse to speak HTTP, because
    /// a request to a mail server or the like could be taken for commands.
    #[must_use]
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = Some(ports.into_iter().collect());
        self
    }

    /// The origins that are allowed by name, in the order in which they were allowed.
    pub fn origins(&self) -> &[Origin] {
        &self.allowed
    }

    /// Whether links to this origin may be fetched wherever it resolves to.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.allowed.contains(origin)
    }

    /// Whether nothing at all is allowed.
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.domains.is_empty() && !self.any
    }

    /// Asks whether a link may be fetched, and from which addresses.
    ///
    /// Nothing is resolved here. Whoever connects must hold the addresses of the link's host against the [`Reach`], and
    /// connect to one that was checked; [`HttpStore`](super::HttpStore) does. An address in the link itself has been checked.
    ///
    /// # Errors
    /// [`ErrorKind::LinkRefused`]; the text names the origin and the option that would allow it.
    pub fn check(&self, url: &LinkUrl) -> Result<Reach> {
        match self.judge(url.origin()) {
            Verdict::Named => Ok(Reach::everywhere()),
            Verdict::Wide(_) => Ok(self.reach()),
            refused => Err(Error::new(ErrorKind::LinkRefused, refused.text(url.origin()))),
        }
    }

    /// Says whether a link is allowed, why, and which option would allow it. Nothing is resolved; pass addresses to
    /// [`explain_at`](Self::explain_at).
    ///
    /// # Examples
    /// ```
    /// use natsbridge::link::Policy;
    ///
    /// let why = Policy::none().allow_any().explain("http://192.168.0.7/file");
    /// assert!(!why.is_allowed());
    /// assert!(why.option().unwrap().contains("allow_private()"));
    /// println!("{why}");
    /// ```
    pub fn explain(&self, url: &str) -> Explanation {
        self.explain_at(url, &[])
    }

    /// Like [`explain`](Self::explain), for a host that resolves to these addresses.
    pub fn explain_at(&self, url: &str, addresses: &[IpAddr]) -> Explanation {
        let url = match LinkUrl::parse(url) {
            Ok(url) => url,
            Err(error) => {
                return Explanation { allowed: false, reason: error.explanation().to_owned(), option: None };
            }
        };
        let origin = url.origin();
        let verdict = self.judge(origin);
        if let Verdict::Wide(_) = verdict
            && let Some(&refused) = addresses.iter().find(|&&address| !self.reach().allows(address))
        {
            let class = AddressClass::of(refused);
            let reason =
                format!("{origin} resolves to {class}, which the allowance for its name does not reach");
            return Explanation { allowed: false, reason, option: Some(Verdict::At(class).option(origin)) };
        }
        Explanation {
            allowed: matches!(verdict, Verdict::Named | Verdict::Wide(_)),
            reason: verdict.reason(origin, self.reach()),
            option: match verdict {
                Verdict::Named | Verdict::Wide(_) => None,
                _ => Some(verdict.option(origin)),
            },
        }
    }

    /// What the wide allowances reach.
    #[cfg_attr(
        not(all(feature = "nats", feature = "plik")),
        allow(dead_code, reason = "the bridge asks too")
    )]
    pub(crate) fn reach(&self) -> Reach {
        let mut reach = Reach::public();
        if self.private {
            reach = reach.with_private();
        }
        if self.metadata {
            reach = reach.with_metadata();
        }
        reach
    }

    fn judge(&self, origin: &Origin) -> Verdict<'_> {
        if self.allows(origin) {
            return Verdict::Named;
        }
        let host = origin.host().trim_end_matches('.');
        let within = |domain: &str| {
            host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        let by = match self.domains.iter().map(|domain| &**domain).find(|domain| within(domain)) {
            Some(domain) => Some(domain),
            None if self.any => None,
            None => return Verdict::Unknown,
        };
        // What can be told without asking a name server is told before.
        let class = match literal(origin) {
            Some(address) if !self.reach().allows(address) => Some(AddressClass::of(address)),
            None if is_localhost(host) && !self.private => Some(AddressClass::Loopback),
            _ => None,
        };
        if let Some(class) = class {
            return Verdict::At(class);
        }
        let port_allowed = match &self.ports {
            Some(ports) => ports.contains(&origin.port()),
            None => OTHER_PROTOCOLS.binary_search(&origin.port()).is_err(),
        };
        if port_allowed { Verdict::Wide(by) } else { Verdict::Port }
    }
}

/// Why a link is allowed or refused, and what would allow it. `Display` is one line, without the link's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    allowed: bool,
    reason: String,
    option: Option<String>,
}

impl Explanation {
    /// Whether the link may be fetched, as far as can be told without resolving its host.
    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What would allow a link that is refused; `None` where nothing does, or nothing needs to.
    pub fn option(&self) -> Option<&str> {
        self.option.as_deref()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.allowed { "allowed" } else { "refused" };
        write!(f, "{verdict}: {}", self.reason)?;
        match &self.option {
            Some(option) => write!(f, "; if it is trusted, {option}"),
            None => Ok(()),
        }
    }
}

/// What is said about an origin.
enum Verdict<'a> {
    /// It is allowed itself.
    Named,
    /// By this domain, or because any host is.
    Wide(Option<&'a str>),
    /// Nothing allows it.
    Unknown,
    /// A wide allowance would, but it is an address of this class.
    At(AddressClass),
    /// A wide allowance would, but not at this port.
    Port,
}

impl Verdict<'_> {
    fn reason(&self, origin: &Origin, reach: Reach) -> String {
        match self {
            Self::Named => format!("{origin} is allowed by name, wherever it resolves to"),
            Self::Wide(by) => {
                let by = match by {
                    Some(domain) => format!("allow_domain(\"{domain}\")"),
                    None => "allow_any()".to_owned(),
                };
                let where_to =
                    match (reach.allows([10, 0, 0, 1].into()), reach.allows([169, 254, 169, 254].into())) {
                        (false, false) => "as long as it resolves to public addresses only",
                        (true, false) => "as long as it resolves to no metadata service",
                        (false, true) => "as long as it resolves to no private address",
                        (true, true) => "wherever it resolves to",
                    };
                format!("{origin} is allowed by {by}, {where_to}")
            }
            Self::Unknown => format!("{origin} is no place that this receiver may fetch from"),
            Self::At(class) => format!("{origin} is {class}, which wide allowances do not reach"),
            Self::Port => format!("{origin} has a port that wide allowances leave out"),
        }
    }

    fn option(&self, origin: &Origin) -> String {
        let name = format!("allow_origin(\"{origin}\") or --allow-origin {origin}");
        match self {
            Self::At(class) => match option_for(*class) {
                Some(option) => format!("allow it with {option}, or by name with {name}"),
                None => format!("allow it by name with {name}"),
            },
            _ => format!("allow it with {name}"),
        }
    }

    fn text(&self, origin: &Origin) -> String {
        format!("{}; if it is trusted, {}", self.reason(origin, Reach::public()), self.option(origin))
    }
}

/// The address that stands in a URL in place of a name.
pub(super) fn literal(origin: &Origin) -> Option<IpAddr> {
    origin.host().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Names that mean this machine whatever a name server says (RFC 6761).
fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// The ports on which browsers refuse to speak HTTP, in order.
///
/// # Source
/// The list of blocked ports in the Fetch standard.
const OTHER_PROTOCOLS: [u16; 83] = [
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
    526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
    3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211,
];

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

    #[test]
    fn a_domain_is_itself_and_what_is_below_it() {
        let policy = Policy::none().allow_domain("Example.ORG.").unwrap();
        for text in ["https://example.org/x", "http://a.b.EXAMPLE.org:81/x", "https://a.example.org./x"] {
            assert_eq!(policy.check(&link(text)).unwrap(), Reach::public(), "{text}");
        }
        for text in [
            "https://evilexample.org/x",
            "https://example.org.evil.example/x",
            "https://example.com/x",
            "http://10.0.0.1/x",
        ] {
            assert_eq!(policy.check(&link(text)).unwrap_err().kind(), ErrorKind::LinkRefused, "{text}");
        }
        for text in [
            "",
            ".",
            "*.example.org",
            "http://example.org",
            "example.org/x",
            "10.0.0.1",
            "[::1]",
            "a:80",
            "a b",
        ] {
            assert_eq!(Policy::none().allow_domain(text).unwrap_err().kind(), ErrorKind::Misuse, "{text:?}");
        }
    }

    #[test]
    fn wide_allowances_leave_out_what_is_behind_the_walls() {
        let any = Policy::none().allow_any();
        for text in [
            "http://localhost/x",
            "http://a.localhost/x",
            "http://localhost./x",
            "http://127.0.0.1/x",
            "http://[::1]/x",
            "http://10.0.0.1/x",
            "http://169.254.169.254/latest",
            "http://[::ffff:127.0.0.1]/x",
            "http://example.org:25/x",
            "http://example.org:6667/x",
        ] {
            let refusal = any.check(&link(text)).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::LinkRefused, "{text}");
            let why = any.explain(text);
            assert!(!why.is_allowed() && why.option().is_some(), "{text}: {why}");
        }
        assert!(any.clone().allow_private().check(&link("http://localhost/x")).is_ok());
        assert!(any.clone().allow_private().check(&link("http://169.254.169.254/x")).is_err());
        assert!(
            any.clone().allow_private().allow_metadata().check(&link("http://169.254.169.254/x")).is_ok()
        );
        assert!(any.clone().ports([443]).check(&link("http://example.org/x")).is_err());
        assert!(any.ports([25]).check(&link("http://example.org:25/x")).is_ok());
        assert!(Policy::none().allow_private().check(&link("http://10.0.0.1/x")).is_err());
        assert!(OTHER_PROTOCOLS.is_sorted());
    }

    #[test]
    fn an_explanation_says_why_and_hides_the_rest() {
        let policy = Policy::none()
            .allow_origin(Origin::parse("http://files:9000").unwrap())
            .allow_domain("example.org")
            .unwrap();
        for (text, allowed, part) in [
            ("http://files:9000/SECRET", true, "by name"),
            ("https://a.example.org/SECRET", true, "allow_domain(\"example.org\")"),
            ("https://b.example/SECRET", false, "allow_origin(\"https://b.example:443\")"),
            ("ftp://a.example.org/SECRET", false, "scheme"),
            ("http://SECRET@a.example.org/", false, "user info"),
        ] {
            let why = policy.explain(text);
            assert_eq!(why.is_allowed(), allowed, "{text}");
            assert!(why.to_string().contains(part), "{text}: {why}");
            assert!(!format!("{why} {why:?}").contains("SECRET"), "{why:?}");
        }
        let inside = policy.explain_at(
            "https://a.example.org/x",
            &["93.184.216.34".parse().unwrap(), "10.0.0.1".parse().unwrap()],
        );
        assert!(!inside.is_allowed() && inside.option().unwrap().contains("allow_private()"), "{inside}");
        assert!(policy.explain_at("http://files:9000/x", &["10.0.0.1".parse().unwrap()]).is_allowed());
    }
}
