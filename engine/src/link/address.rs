//! What an IP address is: public, or something behind the receiver's own walls.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Error, ErrorKind, Result};

/// What kind of place an address is, as far as a [`Policy`](super::Policy) tells places apart.
///
/// An IPv4 address inside an IPv6 one (mapped, compatible, translated, 6to4, Teredo, NAT64, ISATAP) counts as itself.
///
/// # Source
/// The special-purpose address registries of IANA (RFC 6890); the metadata addresses are the cloud providers' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressClass {
    /// Reachable from anywhere.
    Public,
    /// A private network: RFC 1918, carrier-grade NAT, unique local; and what only ever is a test or an example.
    Private,
    /// This machine.
    Loopback,
    /// This network segment.
    LinkLocal,
    /// A cloud's metadata service, which hands out credentials to whoever asks from inside.
    Metadata,
    /// No place that a file server can be at: unspecified, multicast, broadcast, reserved.
    Unusable,
}

impl AddressClass {
    /// The class of an address.
    ///
    /// # Examples
    /// ```
    /// use natsbridge::link::AddressClass;
    ///
    /// assert_eq!(AddressClass::of("93.184.216.34".parse().unwrap()), AddressClass::Public);
    /// assert_eq!(AddressClass::of("::ffff:10.0.0.1".parse().unwrap()), AddressClass::Private);
    /// assert_eq!(AddressClass::of("169.254.169.254".parse().unwrap()), AddressClass::Metadata);
    /// ```
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Private => "an address of a private network",
            Self::Loopback => "an address of this machine",
            Self::LinkLocal => "an address of the local network segment",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Unusable => "an address that no file server can have",
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// The addresses that a link may be fetched from: what a [`Policy`](super::Policy) says once it has allowed a link by its
/// name.
///
/// Whoever connects checks every address that the name resolves to, refuses if one of them is not allowed, and connects
/// to one of those that were checked: a second resolution may answer differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    everywhere: bool,
    private: bool,
    metadata: bool,
}

impl Reach {
    /// Any address at all: the receiver named the host itself.
    pub fn everywhere() -> Self {
        Self { everywhere: true, private: true, metadata: true }
    }

    /// Public addresses only.
    pub fn public() -> Self {
        Self { everywhere: false, private: false, metadata: false }
    }

    /// Private networks, this machine and the local segment too, but no metadata service.
    #[must_use]
    pub fn with_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Metadata services too.
    #[must_use]
    pub fn with_metadata(mut self) -> Self {
        self.metadata = true;
        self
    }

    /// Whether an address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.everywhere
            || match AddressClass::of(address) {
                AddressClass::Public => true,
                AddressClass::Private | AddressClass::Loopback | AddressClass::LinkLocal => self.private,
                AddressClass::Metadata => self.metadata,
                AddressClass::Unusable => false,
            }
    }

    /// Whether every address is allowed, so that nothing needs to be checked.
    pub fn is_everywhere(&self) -> bool {
        self.everywhere
    }

    /// Checks an address that a host resolved to.
    ///
    /// # Errors
    /// [`LinkRefused`](ErrorKind::LinkRefused); the text says what kind of address it is and which option would allow it,
    /// but not the address: where a name points to inside a network is nobody else's business.
    pub fn check(&self, address: IpAddr) -> Result<()> {
        if self.allows(address) {
            return Ok(());
        }
        let class = AddressClass::of(address);
        let remedy = match option_for(class) {
            Some(option) => format!("; if that is wanted, allow it with {option}, or name the origin"),
            None => String::new(),
        };
        Err(Error::new(ErrorKind::LinkRefused, format!("the link's host is at {class}{remedy}")))
    }
}

/// What would make a wide allowance reach addresses of this class.
pub(super) fn option_for(class: AddressClass) -> Option<&'static str> {
    match class {
        AddressClass::Private | AddressClass::Loopback | AddressClass::LinkLocal => {
            Some("allow_private() or --allow-private")
        }
        AddressClass::Metadata => Some("allow_metadata()"),
        AddressClass::Public | AddressClass::Unusable => None,
    }
}

/// Metadata services outside the link-local range, or inside it at addresses of their own.
const METADATA_V4: [Ipv4Addr; 7] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Azure, Google, Oracle, DigitalOcean and more
    Ipv4Addr::new(169, 254, 170, 2),   // AWS containers
    Ipv4Addr::new(169, 254, 170, 23),  // AWS Kubernetes
    Ipv4Addr::new(169, 254, 0, 23),    // Tencent
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's host, in the middle of public space
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle, formerly
];

const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS Kubernetes
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google
];

fn of_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return AddressClass::Metadata;
    }
    match address.octets() {
        [0, ..] | [224..=255, ..] => AddressClass::Unusable,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressClass::Private,
        // Carrier-grade NAT; benchmarking; the protocol assignments; the documentation ranges; the old 6to4 relays.
        [100, 64..=127, ..] | [198, 18..=19, ..] | [192, 0, 0, _] => AddressClass::Private,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => AddressClass::Private,
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    if METADATA_V6.contains(&address) {
        return AddressClass::Metadata;
    }
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unusable,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // Compatible, mapped, translated; NAT64 under its well-known prefix.
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // NAT64 prefixes of a network's own.
        [0x64, 0xff9b, 1, ..] => AddressClass::Private,
        // ISATAP: an IPv4 address in the interface part of any prefix.
        [.., 0 | 0x200, 0x5efe, high, low] => worse(embedded(high, low), of_prefix(address)),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo: the server's address, and the client's with its bits inverted.
        [0x2001, 0, server_high, server_low, .., high, low] => {
            worse(embedded(server_high, server_low), embedded(!high, !low))
        }
        _ => of_prefix(address),
    }
}

/// The class by its first bits alone.
fn of_prefix(address: Ipv6Addr) -> AddressClass {
    match address.segments() {
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        // Unique local; site-local, which is deprecated and still in use.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressClass::Private,
        // Protocol assignments (benchmarking and ORCHID among them), documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Private,
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        // Multicast, discard-only, segment routing, and all that nobody has assigned.
        _ => AddressClass::Unusable,
    }
}

/// Of two classes the one that is harder to get at.
fn worse(one: AddressClass, other: AddressClass) -> AddressClass {
    let rank = |class| match class {
        AddressClass::Public => 0,
        AddressClass::Private => 1,
        AddressClass::LinkLocal => 2,
        AddressClass::Loopback => 3,
        AddressClass::Metadata => 4,
        AddressClass::Unusable => 5,
    };
    if rank(one) >= rank(other) { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> AddressClass {
        AddressClass::of(text.parse().unwrap())
    }

    #[test]
    fn every_disguise_of_an_ipv4_address_is_seen_through() {
        let address = Ipv4Addr::new(127, 0, 0, 1);
        let [a, b, c, d] = address.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        for (name, disguised) in [
            ("compatible", Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low)),
            ("mapped", Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low)),
            ("translated", Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low)),
            ("NAT64", Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low)),
            ("6to4", Ipv6Addr::new(0x2002, high, low, 1, 2, 3, 4, 5)),
            ("Teredo client", Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low)),
            ("Teredo server", Ipv6Addr::new(0x2001, 0, high, low, 0x8000, 0x63bf, !0x5db8, !0xd822)),
            ("ISATAP", Ipv6Addr::new(0x2600, 1, 2, 3, 0, 0x5efe, high, low)),
            ("ISATAP, universal", Ipv6Addr::new(0x2600, 1, 2, 3, 0x200, 0x5efe, high, low)),
        ] {
            assert_eq!(AddressClass::of(disguised.into()), AddressClass::Loopback, "{name}: {disguised}");
        }
        assert_eq!(class("64:ff9b::5db8:d822"), AddressClass::Public);
        assert_eq!(class("::ffff:93.184.216.34"), AddressClass::Public);
        assert_eq!(class("::ffff:169.254.169.254"), AddressClass::Metadata);
    }

    #[test]
    fn ranges_end_where_they_end() {
        use AddressClass::*;
        for (text, expected) in [
            ("0.255.255.255", Unusable),
            ("1.0.0.0", Public),
            ("9.255.255.255", Public),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("11.0.0.0", Public),
            ("100.63.255.255", Public),
            ("100.64.0.0", Private),
            ("100.127.255.255", Private),
            ("100.128.0.0", Public),
            ("126.255.255.255", Public),
            ("127.255.255.255", Loopback),
            ("128.0.0.0", Public),
            ("169.253.255.255", Public),
            ("169.254.0.0", LinkLocal),
            ("169.255.0.0", Public),
            ("172.15.255.255", Public),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.167.255.255", Public),
            ("192.169.0.0", Public),
            ("198.17.255.255", Public),
            ("198.20.0.0", Public),
            ("223.255.255.255", Public),
            ("224.0.0.0", Unusable),
            ("255.255.255.255", Unusable),
            ("168.63.129.16", Metadata),
            ("168.63.129.17", Public),
            ("::2", Unusable),
            ("64:ff9b:1::1", Private),
            ("100::1", Unusable),
            ("1fff:ffff::", Unusable),
            ("2000::", Public),
            ("2001:1ff:ffff::", Private),
            ("2001:200::", Public),
            ("2001:db8::1", Private),
            ("2001:db9::1", Public),
            ("2606:2800:220:1:248:1893:25c8:1946", Public),
            ("3ffe:ffff::", Public),
            ("3fff:fff:ffff::", Private),
            ("3fff:1000::", Public),
            ("4000::", Unusable),
            ("fbff::1", Unusable),
            ("fc00::", Private),
            ("fdff::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fe00::1", Unusable),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::1", Unusable),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }

    #[test]
    fn each_allowance_reaches_its_own_addresses() {
        let (public, private) = (Reach::public(), Reach::public().with_private());
        let metadata = private.with_metadata();
        for (text, allowed) in [
            ("93.184.216.34", [true; 4]),
            ("10.0.0.1", [false, true, true, true]),
            ("127.0.0.1", [false, true, true, true]),
            ("fe80::1", [false, true, true, true]),
            ("169.254.169.254", [false, false, true, true]),
            ("0.0.0.0", [false, false, false, true]),
            ("224.0.0.1", [false, false, false, true]),
        ] {
            let address: IpAddr = text.parse().unwrap();
            let reaches = [public, private, metadata, Reach::everywhere()];
            assert_eq!(reaches.map(|reach| reach.allows(address)), allowed, "{text}");
        }
    }

    #[test]
    fn a_refusal_names_the_option_and_not_the_address() {
        let text = Reach::public().check("10.1.2.3".parse().unwrap()).unwrap_err().to_string();
        assert!(text.contains("allow_private()") && !text.contains("10.1"), "{text}");
        let text = Reach::public().check("169.254.169.254".parse().unwrap()).unwrap_err().to_string();
        assert!(text.contains("allow_metadata()"), "{text}");
    }
}
