//! Links as Python's urllib and ipaddress read them, beside the engine; see `policy/make.py`.

use std::net::IpAddr;

use natsbridge::link::{AddressClass, LinkUrl, Origin, Policy};

/// A link, and what Python makes of it: scheme, host, port, kind.
type Row = (String, Option<[String; 4]>);

fn rows() -> Vec<Row> {
    let table = include_str!("../policy/links.tsv");
    let rows: Vec<Row> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut cells = line.split('\t');
            let link = serde_json::from_str(cells.next().expect("a link")).expect("a JSON string");
            let cells: Vec<_> = cells.map(str::to_owned).collect();
            (link, <[String; 4]>::try_from(cells).ok())
        })
        .collect();
    assert!(rows.len() > 300, "{} links", rows.len());
    rows
}

#[test]
fn no_link_is_read_as_another_place_than_python_reads() {
    let mut agreed = 0;
    for (link, python) in rows() {
        let Ok(url) = LinkUrl::parse(&link) else { continue };
        let [scheme, host, port, _] =
            python.unwrap_or_else(|| panic!("{link:?} is accepted, and Python refuses it"));
        let ours = url.host().trim_matches(['[', ']']);
        assert_eq!(
            [url.scheme().as_str(), ours, &url.port().to_string()],
            [scheme, host, port].each_ref().map(String::as_str),
            "{link:?}"
        );
        agreed += 1;
    }
    assert!(agreed > 100, "{agreed} links are accepted");
}

#[test]
fn what_is_allowed_is_what_python_reads_as_an_allowed_origin() {
    let allowed =
        [("http", "localhost", "8080"), ("https", "files.example.org", "443"), ("http", "10.0.0.7", "80")];
    let policy = allowed.iter().fold(Policy::none(), |policy, (scheme, host, port)| {
        policy.allow_origin(Origin::parse(&format!("{scheme}://{host}:{port}")).expect("an origin"))
    });
    let mut count = 0;
    for (link, python) in rows() {
        if !LinkUrl::parse(&link).is_ok_and(|url| policy.check(&url).is_ok()) {
            continue;
        }
        let [scheme, host, port, _] = python.expect("accepted links are those that Python reads");
        // The one equivalence: this machine by its name and by its two addresses.
        let host = if matches!(host.as_str(), "127.0.0.1" | "::1") { "localhost".into() } else { host };
        assert!(allowed.contains(&(&scheme, &host, &port)), "{link:?} is allowed");
        count += 1;
    }
    assert!(count >= 8, "{count} links are allowed");
}

#[test]
fn no_address_is_public_that_python_calls_special() {
    let mut count = 0;
    for (link, python) in rows() {
        let Some([_, host, _, kind]) = python else { continue };
        let Ok(address) = host.parse::<IpAddr>() else { continue };
        let class = AddressClass::of(address);
        assert!(kind == "global" || class != AddressClass::Public, "{host} is {class}");
        if let Ok(url) = LinkUrl::parse(&link)
            && Policy::none().allow_any().check(&url).is_ok()
        {
            assert_eq!(kind, "global", "{link:?} is allowed");
        }
        count += usize::from(kind == "special");
    }
    assert!(count > 50, "{count} special addresses");
}
