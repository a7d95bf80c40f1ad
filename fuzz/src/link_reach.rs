//! What an address is, by the shortest strict list: what is not surely public is not public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use natsbridge::link::{AddressClass, LinkUrl, Policy, Reach};

use crate::link_policy::{link, strict_origin};
use crate::source::Source;

/// Any address, and any link under a wide allowance: none is reached that a strict list forbids.
pub(crate) fn reach(bytes: &[u8]) {
    let source = &mut Source::new(bytes);
    let address = address(source);
    let class = AddressClass::of(address);
    let public = strictly_public(address);
    assert!(class != AddressClass::Public || public, "{address} counts as public");
    assert_eq!(Reach::public().allows(address), class == AddressClass::Public);
    let metadata = [[169, 254, 169, 254], [100, 100, 100, 200]].map(Ipv4Addr::from).contains(&inner(address));
    assert!(!metadata || !Reach::public().with_private().allows(address), "{address} is a metadata service");
    assert!(Reach::everywhere().allows(address));
    assert_eq!(Reach::public().check(address).is_ok(), class == AddressClass::Public);

    let literal = match address {
        IpAddr::V4(address) => format!("http://{address}/x"),
        IpAddr::V6(address) => format!("http://[{address}]/x"),
    };
    let text = if source.one_in(2) { literal } else { link(source) };
    let policy = Policy::none().allow_any().allow_domain("example.org").expect("a domain");
    let Ok(url) = LinkUrl::parse(&text) else { return };
    let explained = policy.explain(&text);
    let Ok(reach) = policy.check(&url) else { return assert!(!explained.is_allowed(), "{explained}") };
    assert!(explained.is_allowed(), "{explained}");
    assert!(!reach.is_everywhere(), "{text:?} is allowed wherever it resolves to");
    let (_, host, _) = strict_origin(&text).expect("accepted links are clear");
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        assert!(strictly_public(address), "{text:?} is allowed");
    }
    assert!(!host.trim_end_matches('.').ends_with("localhost"), "{text:?} is allowed");
}

fn strictly_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => strictly_public_v4(address),
        IpAddr::V6(address) => match inner_v4(address) {
            Some(inner) => strictly_public_v4(inner),
            None => strictly_public_v6(address),
        },
    }
}

/// Blocks as their first address and the number of bits that count.
fn strictly_public_v4(address: Ipv4Addr) -> bool {
    let blocks: [([u8; 4], u32); 18] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
        ([255, 255, 255, 255], 32),
        ([100, 100, 100, 200], 32),
        ([168, 63, 129, 16], 32),
    ];
    let bits = u32::from(address);
    blocks.iter().all(|(first, len)| (bits ^ u32::from_be_bytes(*first)) >> (32 - len) != 0)
}

/// Global unicast, without what is set aside in it.
fn strictly_public_v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    let within = |first: &str, len: u32| {
        let first = u128::from(first.parse::<Ipv6Addr>().expect("an address"));
        (bits ^ first) >> (128 - len) == 0
    };
    within("2000::", 3)
        && !within("2001:db8::", 32)
        && !within("3fff::", 20)
        && !within("2001:2::", 48)
        && !within("2001:10::", 28)
}

/// The IPv4 address that an IPv6 one is for.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = u128::from(address);
    let low = Ipv4Addr::from(bits as u32);
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            Some(low)
        }
        [0x2002, ..] => Some(Ipv4Addr::from((bits >> 80) as u32)),
        // The client of Teredo, which is written inverted.
        [0x2001, 0, ..] => Some(Ipv4Addr::from(!(bits as u32))),
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Some(low),
        _ => None,
    }
}

fn inner(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => inner_v4(address).unwrap_or(Ipv4Addr::new(8, 8, 8, 8)),
    }
}

/// An address at or near the edge of a block, in IPv4 or in one of its wrappings; or any.
fn address(source: &mut Source<'_>) -> IpAddr {
    let edges = [
        [10, 0, 0, 0],
        [10, 255, 255, 255],
        [11, 0, 0, 0],
        [127, 0, 0, 1],
        [128, 0, 0, 0],
        [169, 254, 169, 254],
        [172, 15, 255, 255],
        [172, 16, 0, 0],
        [172, 31, 255, 255],
        [172, 32, 0, 0],
        [192, 168, 0, 1],
        [100, 63, 255, 255],
        [100, 64, 0, 0],
        [100, 127, 255, 255],
        [100, 128, 0, 0],
        [198, 17, 255, 255],
        [198, 18, 0, 0],
        [198, 20, 0, 0],
        [224, 0, 0, 0],
        [0, 0, 0, 0],
        [255, 255, 255, 255],
        [8, 8, 8, 8],
        [100, 100, 100, 200],
        [192, 0, 2, 1],
        [203, 0, 113, 255],
    ];
    let v4 = if source.one_in(2) { source.pick(&edges) } else { std::array::from_fn(|_| source.byte()) };
    let v4 = u32::from_be_bytes(v4).wrapping_add(source.below(3) as u32);
    let wide = u128::from(v4);
    let any = u128::from_be_bytes(std::array::from_fn(|_| source.byte()));
    let v6 = match source.below(14) {
        0..=2 => return Ipv4Addr::from(v4).into(),
        3 => wide,
        4 => wide | 0xffff << 32,
        5 => wide | 0xffff_0000 << 32,
        6 => wide | 0x64_ff9b << 96,
        7 => wide << 80 | 0x2002 << 112 | any & 0xffff,
        8 => 0x2001_0000 << 96 | u128::from(!v4) | any >> 64 << 32 & 0xffff_ffff_0000_0000,
        9 => any << 64 | 0x5efe << 32 | wide,
        10 => 0xfe80 << 112 | any >> 64,
        11 => {
            source.pick(&[0xfc00, 0xfd00, 0xff02, 0x2001, 0x2606, 0x3fff, 0x100, 0xfec0]) << 112 | any >> 16
        }
        12 => u128::from(source.byte()),
        _ => any,
    };
    Ipv6Addr::from(v6).into()
}
