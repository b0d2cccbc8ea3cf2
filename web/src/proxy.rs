//! Who really asks, when a reverse proxy stands between: the address that counts for limits and stands in the audit.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The header in which each proxy adds the address that it was asked from, the last one behind.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The reverse proxies whose word about the client's address is believed. Nobody else's is: anybody can write a
/// header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether this address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client: from the peer on, backwards through what trusted proxies have written, up to the first address
    /// that is not one of them.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let written = headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or_default());
        let written: Vec<&str> = written.flat_map(|value| value.split(',')).collect();
        for text in written.into_iter().rev() {
            if !self.contains(client) {
                break;
            }
            let Some(address) = address(text.trim()) else { break };
            client = address;
        }
        client
    }
}

/// An address as proxies write it: plain, with a port, or in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    plain.parse::<IpAddr>().ok().or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&'static str]) -> String {
        let proxies = TrustedProxies::new(trusted.iter().map(|network| network.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let local: &[&str] = &["127.0.0.1/32"];
        let two: &[&str] = &["127.0.0.1/32", "10.0.0.0/8"];
        for (trusted, peer, forwarded, expected) in [
            (&[][..], "127.0.0.1", &["203.0.113.7"][..], "127.0.0.1"),
            (local, "127.0.0.1", &[], "127.0.0.1"),
            (local, "127.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            (local, "198.51.100.9", &["203.0.113.7"], "198.51.100.9"),
            // What the client itself wrote stands before what the proxy added.
            (local, "127.0.0.1", &["192.0.2.1, 203.0.113.7"], "203.0.113.7"),
            (local, "127.0.0.1", &["192.0.2.1", "203.0.113.7"], "203.0.113.7"),
            (two, "127.0.0.1", &["192.0.2.1, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
            (two, "127.0.0.1", &["10.1.2.3"], "10.1.2.3"),
            (local, "127.0.0.1", &["192.0.2.1, nonsense"], "127.0.0.1"),
            (local, "::ffff:127.0.0.1", &["203.0.113.7:5123"], "203.0.113.7"),
            (local, "127.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
            (local, "127.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            (local, "127.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            (local, "127.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
        ] {
            assert_eq!(client(trusted, peer, forwarded), expected, "{trusted:?} {peer} {forwarded:?}");
        }
    }
}
