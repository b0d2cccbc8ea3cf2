//! The address of a heartbeat, read: pure.

use super::error::AskError;

/// The longest that is taken, in bytes.
const LONGEST: usize = 2_000;

/// An address, as far as a request needs it. It has no `Debug`, for it is a secret.
pub struct Address {
    /// Whether it is asked over TLS.
    pub is_tls: bool,
    /// The name or the number of its machine.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Machine and port, as they stand in the address.
    pub authority: String,
    /// What is asked for there.
    pub path: String,
}

impl Address {
    /// Reads one.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn read(text: &str) -> Result<Self, AskError> {
        Self::parse(text.trim()).ok_or(AskError::Address)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let usual = if is_tls { 443 } else { 80 };
        // A number of IPv6 stands in brackets.
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']')?;
                (
                    host,
                    behind
                        .strip_prefix(':')
                        .map_or(behind.is_empty().then_some(usual), |port| port.parse().ok())?,
                )
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, port.parse().ok()?),
                None => (authority, usual),
            },
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_plain) {
            return None;
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Some(Self {
            is_tls,
            host: host.to_owned(),
            port,
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_what_is_none_is_refused_without_being_shown() {
        let read = |text: &str| {
            let Address { is_tls, host, port, path, .. } = Address::read(text).ok()?;
            Some((is_tls, host, port, path))
        };
        let plain = |tls, host: &str, port, path: &str| Some((tls, host.to_owned(), port, path.to_owned()));
        assert_eq!(read("https://hc.example/a/b?c=d\n"), plain(true, "hc.example", 443, "/a/b?c=d"));
        assert_eq!(read("http://127.0.0.1:8000"), plain(false, "127.0.0.1", 8_000, "/"));
        assert_eq!(read("http://[::1]:80?x"), plain(false, "::1", 80, "/?x"));
        assert_eq!(read("https://[::1]/"), plain(true, "::1", 443, "/"));
        for wrong in [
            "",
            "hc.example/a",
            "ftp://a/b",
            "https://user@a/b",
            "https:///b",
            "https://a/b c",
            "https://a:0x/b",
            "https://a/#b",
            "https://a\r\nb/",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        let error = Address::read("ftp://a/a-secret").err().unwrap();
        assert!(!error.to_string().contains("a-secret"), "{error}");
    }
}
