//! Where agents reach their server: `host:port`, an IPv6 address in brackets; several of them in one text, with commas
//! between them, in the order in which they are tried.

/// Host and port of one address, the host without brackets; `None` when it is none.
#[must_use]
pub fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => address.split_once(':')?,
    };
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    let port: u16 = port.parse().ok()?;
    (is_host && port != 0).then_some((host, port))
}

/// The addresses of a list, in order.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_and_junk_is_refused() {
        assert_eq!(split("backup.example:8883"), Some(("backup.example", 8883)));
        assert_eq!(split("[::1]:8883"), Some(("::1", 8883)));
        assert_eq!(split("[fe80::1%eth0]:8883"), Some(("fe80::1%eth0", 8883)));
        assert_eq!(split("10.0.0.1:1"), Some(("10.0.0.1", 1)));
        for junk in [
            "",
            "host",
            "host:",
            ":8883",
            "host:0",
            "host:99999",
            "host:x",
            "::1:8883",
            "[::1]",
            "[]:1",
            "[::1:1",
            "a b:1",
            "a,b:1",
            "h\n:1",
        ] {
            assert_eq!(split(junk), None, "{junk:?}");
        }
    }

    #[test]
    fn a_list_is_read_in_order() {
        assert!(list("a:1,[::1]:2,,b:3").eq(["a:1", "[::1]:2", "b:3"]));
        assert_eq!(list("").count(), 0);
    }
}
