//! From an origin to a TCP connection: resolving, checking every address, and connecting to one that was checked.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::link::address::Reach;
use crate::link::origin::Origin;
use crate::link::policy::literal;
use crate::link::store::BoxFuture;
use crate::{Error, ErrorKind, Result};

/// How names become addresses, and addresses connections: a seam for tests, and for resolvers other than the system's.
///
/// A [`HttpStore`](super::HttpStore) resolves a host once for each connection, checks all the addresses, and connects to
/// those and no others, in the order in which they came.
///
/// # Examples
/// ```
/// use std::io;
/// use std::net::IpAddr;
/// use natsbridge::link::{BoxFuture, Dialer, HttpStore};
///
/// #[derive(Debug)]
/// struct HostsFile;
///
/// impl Dialer for HostsFile {
///     fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
///         Box::pin(async move {
///             match host {
///                 "files.intern" => Ok(vec![[10, 0, 0, 7].into()]),
///                 _ => Err(io::Error::new(io::ErrorKind::NotFound, "not in the file")),
///             }
///         })
///     }
/// }
///
/// let store = HttpStore::new().dialer(HostsFile);
/// ```
pub trait Dialer: Send + Sync + fmt::Debug + 'static {
    /// The addresses of a host name. Addresses in a URL do not come here.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// Connects to an address; `TcpStream::connect` unless replaced.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }
}

/// The system's resolver, on a blocking thread.
#[derive(Debug)]
pub(super) struct System;

impl Dialer for System {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// An address that has not answered for this long is no reason not to try the next. 250 ms, as RFC 8305 recommends.
const STAGGER: Duration = Duration::from_millis(250);

/// Of a name with more addresses than this the rest is left out: whoever answers for it must not make us knock at a
/// thousand doors. 16 (chosen).
const MAX_ADDRESSES: usize = 16;

/// Connects to an origin, within what is allowed.
///
/// The addresses are tried one after the other, the next one as soon as one fails or has not answered for a while; the
/// first connection wins.
pub(super) async fn dial(dialer: &Arc<dyn Dialer>, origin: &Origin, reach: Reach) -> Result<TcpStream> {
    let failed = |error: io::Error| {
        Error::new(ErrorKind::Network, format!("cannot connect to {origin}")).with_source(error)
    };
    let addresses = match literal(origin) {
        Some(address) => vec![address],
        None => {
            let mut found: Vec<IpAddr> = Vec::new();
            for address in dialer.resolve(origin.host()).await.map_err(failed)? {
                if !found.contains(&address) {
                    found.push(address);
                }
            }
            found
        }
    };
    // One address that is not allowed spoils the name: it could be any of them the next time.
    for &address in &addresses {
        reach.check(address)?;
    }
    let ports =
        addresses.into_iter().take(MAX_ADDRESSES).map(|address| SocketAddr::new(address, origin.port()));
    let addresses = alternating(ports.collect());
    race(dialer, addresses).await.map_err(failed)
}

/// The families in turn, beginning with that of the first address: one family that leads nowhere costs one wait.
fn alternating(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = VecDeque::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        mixed.extend(first.pop_front());
        mixed.extend(second.pop_front());
    }
    mixed
}

async fn race(dialer: &Arc<dyn Dialer>, mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    // Dropping the set ends the attempts that are still under way.
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = addresses.pop_front() {
            let dialer = Arc::clone(dialer);
            attempts.spawn(async move { dialer.connect(address).await });
        }
        let ended = if addresses.is_empty() {
            attempts.join_next().await
        } else {
            tokio::select! {
                biased;
                ended = attempts.join_next() => ended,
                () = sleep(STAGGER) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last = error,
            Some(Err(panic)) => last = io::Error::other(panic),
            None => return Err(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::{Instant, timeout};

    use super::*;

    #[derive(Debug)]
    struct Fixed(Vec<IpAddr>);

    impl Dialer for Fixed {
        fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(async { Ok(self.0.clone()) })
        }

        fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
            Box::pin(async move {
                // What no packet ever comes back from.
                if address.ip() == IpAddr::from([192, 0, 2, 1]) {
                    std::future::pending::<()>().await;
                }
                TcpStream::connect(address).await
            })
        }
    }

    async fn connect(addresses: &[&str], port: u16, reach: Reach) -> Result<TcpStream> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let dialer: Arc<dyn Dialer> = Arc::new(Fixed(addresses));
        let origin = Origin::parse(&format!("http://files.example:{port}")).unwrap();
        timeout(Duration::from_secs(20), dial(&dialer, &origin, reach)).await.unwrap()
    }

    #[tokio::test]
    async fn addresses_that_fail_or_hang_are_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let started = Instant::now();
        // Refused, silent, then the right one.
        let stream =
            connect(&["127.0.0.2", "192.0.2.1", "127.0.0.1"], port, Reach::everywhere()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert!(started.elapsed() >= STAGGER);
    }

    #[tokio::test]
    async fn a_name_with_one_forbidden_address_is_refused_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = connect(&["93.184.216.34", "127.0.0.1"], port, Reach::public()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::LinkRefused);
        assert_eq!(connect(&[], port, Reach::public()).await.unwrap_err().kind(), ErrorKind::Network);
        assert!(timeout(Duration::from_millis(100), listener.accept()).await.is_err());
    }

    #[test]
    fn families_take_turns() {
        let mixed = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(|a| a.parse().unwrap());
        let order: Vec<String> = alternating(mixed.to_vec()).iter().map(SocketAddr::to_string).collect();
        assert_eq!(order, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
    }
}
