//! Whether others find the pages of a server by their address.

use std::net::IpAddr;

/// The machine of a URL: a name or an address, without the port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match rest.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    }
}

/// Whether another machine gets anywhere by the address of a server's pages: not by one that leads each machine to itself, nor
/// by one that only says where to listen.
#[must_use]
pub fn leads_others(url: &str) -> bool {
    let host = host_of(url);
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) => !address.is_loopback() && !address.is_unspecified(),
        Err(_) => !host.is_empty() && host != "localhost" && !host.ends_with(".localhost"),
    }
}

/// A URL without what is the same for all that is there: how it is written, and what is below.
fn origin_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    host.strip_suffix(port).map(str::to_owned).unwrap_or(host)
}

/// The address of one's own pages as it is told to whom has the pages at `other`; empty = that one would find nothing there,
/// or itself. Who is on the same machine finds it by an address of that.
pub(crate) fn told_to<'a>(url: &'a str, other: &str) -> &'a str {
    // The settings of the other one, which came with its archive: that one is there.
    if origin_of(url) == origin_of(other) {
        return "";
    }
    let is_nowhere =
        host_of(url).parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_unspecified());
    if leads_others(url) || !is_nowhere && !leads_others(other) { url } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_himself() {
        let other = "https://fleet.example/";
        for url in ["https://fleet.example", "https://FLEET.example:443/x", "http://fleet.example:80"] {
            assert_eq!(told_to(url, other), "", "{url}");
        }
        for url in ["https://fleet.example:8443", "https://fleet.example.org", "https://attic.example"] {
            assert_eq!(told_to(url, other), url);
        }
    }

    #[test]
    fn what_leads_each_machine_to_itself_is_told_on_that_machine_alone() {
        for (url, leads) in [
            ("https://fleet.example:8443/x", true),
            ("http://192.0.2.7", true),
            ("http://[2001:db8::1]:8080", true),
            ("http://127.0.0.1:8080", false),
            ("http://127.0.0.1.example", true),
            ("http://[::1]:8080", false),
            ("http://[::ffff:127.0.0.1]:8080", false),
            ("http://localhost:8080", false),
            ("http://0.0.0.0:8080", false),
            ("http://[::]:8080", false),
            ("", false),
        ] {
            assert_eq!(leads_others(url), leads, "{url}");
        }
        let (far, here, nowhere) = ("https://fleet.example", "http://127.0.0.1:1", "http://0.0.0.0:8080");
        let (farther, beside) = ("https://attic.example", "http://127.0.0.1:2");
        assert_eq!((told_to(far, farther), told_to(far, here)), (far, far));
        assert_eq!((told_to(here, far), told_to(here, beside)), ("", here));
        assert_eq!((told_to(nowhere, far), told_to(nowhere, here)), ("", ""));
    }
}
