//! Where a request comes from, as coarse as limits count it, and whether all of them seem to come from one place.

use std::net::{IpAddr, Ipv6Addr};

/// Whose limits an address counts for: a machine with IPv6 has a whole /64 of addresses, an IPv4 address that is
/// written as an IPv6 one is the same. What is no address stands for itself.
pub(crate) fn origin(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Err(_) => crate::format::cut(address, 64),
    }
}

/// Where people have come from since the start, as far as it tells whether a reverse proxy stands between that nobody
/// has named: then all of them share one limit, and one address in the audit.
#[derive(Default)]
pub(crate) struct Origins {
    first: Option<String>,
    is_sole: bool,
    accounts: Vec<String>,
    forwarded: bool,
    told: bool,
}

/// Everybody comes from one address that is not a trusted proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SoleOrigin {
    /// The address.
    pub(crate) origin: String,
    /// Whether requests from there said for whom they were forwarded.
    pub(crate) forwarded: bool,
}

impl Origins {
    /// Notes one who comes to sign in; `account` when there is one of this name. `forwarded`: the peer itself, not a trusted proxy, named another client.
    /// `Some` = from now on it is so, and nobody was told yet.
    pub(crate) fn note(
        &mut self,
        origin: &str,
        account: Option<&str>,
        forwarded: bool,
    ) -> Option<SoleOrigin> {
        match &self.first {
            None => {
                self.first = Some(origin.to_owned());
                self.is_sole = true;
            }
            Some(first) => self.is_sole &= first == origin,
        }
        self.forwarded |= forwarded;
        if let Some(account) = account
            && self.accounts.len() < 2
            && self.accounts.iter().all(|known| known != account)
        {
            self.accounts.push(account.to_owned());
        }
        let sole = self.sole().filter(|_| !self.told)?;
        self.told = true;
        Some(sole)
    }

    /// The one address, when all come from it and either two accounts did or a forwarding header came along.
    pub(crate) fn sole(&self) -> Option<SoleOrigin> {
        let is_many = self.accounts.len() > 1 || self.forwarded;
        let origin = self.first.clone().filter(|_| self.is_sole && is_many)?;
        Some(SoleOrigin { origin, forwarded: self.forwarded })
    }
}

impl SoleOrigin {
    /// In words, for the log and the settings.
    pub(crate) fn words(&self) -> String {
        let why = match self.forwarded {
            true => "and names other clients in a forwarding header",
            false => "with more than one account",
        };
        format!(
            "Everybody signs in from {}, {why}. It is no trusted proxy, so all share its limit of tries and its address \
             in the audit. If it is your reverse proxy, start the server with --trusted-proxy {}.",
            self.origin,
            self.origin.trim_end_matches("/64"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_origin_and_a_mapped_address_is_the_plain_one() {
        assert_eq!(origin("2001:db8::1"), "2001:db8::/64");
        assert_eq!(origin("2001:db8::1"), origin("2001:db8:0:0:ffff::2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(origin("unknown"), "unknown");
    }

    #[test]
    fn one_person_at_one_address_is_no_proxy_but_two_are_and_a_header_is() {
        let mut one = Origins::default();
        assert_eq!(
            [one.note("127.0.0.1", Some("mira"), false), one.note("127.0.0.1", Some("mira"), false)],
            [None, None]
        );
        assert_eq!(one.note("127.0.0.1", None, false), None, "a name that is none");
        let sole = one.note("127.0.0.1", Some("janne"), false).unwrap();
        assert!(sole.words().contains("--trusted-proxy 127.0.0.1"), "{}", sole.words());
        assert_eq!(one.note("127.0.0.1", Some("janne"), false), None, "it is told once");
        assert_eq!(one.sole(), Some(sole));
        assert_eq!(
            (one.note("192.0.2.1", Some("eve"), false), one.sole()),
            (None, None),
            "others come from elsewhere"
        );
        let told = Origins::default().note("10.0.0.5", Some("mira"), true).unwrap();
        assert!(told.words().contains("forwarding header"), "{}", told.words());
    }
}
