//! Where a repository lies, in one form: two hosts whose everyday credentials lead to the same place are on one
//! repository, because the server sent both there.
//!
//! What differs in spelling only is the same: the case of scheme and machine, a port that is the standard one, slashes
//! at the end, twice, or before `.`, letters written `%41`. A user stands in the place where it says which folder is
//! meant: before the machine of `sftp:`, and in the path of a REST server with private repositories. The login of a
//! REST server does not.

use crate::record::Place;
use schema::location::Location;
use sha2::{Digest, Sha256};

impl Place {
    /// The place of an address as stored, without a login; `None` = it is none that restic would be given.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let (text, is_plain) = one_form(url)?;
        Some(Self { fingerprint: Sha256::digest(text.as_bytes()).into(), is_plain })
    }
}

/// An address in its one form, and whether it alone says which storage is meant.
fn one_form(url: &str) -> Option<(String, bool)> {
    let location = Location::parse(url).ok()?;
    Some(match location {
        Location::Local(path) => (format!("local:/{}", clean(path)), false),
        Location::Rest(address) => served("rest", &location, address),
        Location::S3(address) => served("s3", &location, address),
        Location::Sftp(rest) => sftp(rest),
        Location::Other(text) => {
            let (kind, rest) = text.split_once(':')?;
            let (account, path) = rest.split_once(':').unwrap_or((rest, ""));
            // A bucket's name is the world's; a container's its account's, which stands in a variable.
            (format!("{kind}:{account}:/{}", clean(path)), matches!(kind, "b2" | "gs"))
        }
    })
}

/// `http…` addresses.
fn served(kind: &str, location: &Location<'_>, address: &str) -> (String, bool) {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("https", address),
    };
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let Some((machine, port)) = location.server() else {
        return (format!("{kind}:{scheme}://{rest}"), false);
    };
    let machine = machine.trim_end_matches('.').to_ascii_lowercase();
    let path = clean(&plain_letters(path));
    (format!("{kind}:{}://{machine}:{port}/{path}", scheme.to_ascii_lowercase()), !is_loopback(&machine))
}

/// The storage of an address, for people and to tell storages apart: the machine, with its port where that is no standard
/// one, or the service with the container. `None` = it is the host's own, or only the host knows.
pub(crate) fn storage_of(url: &str) -> Option<String> {
    let named = |machine: &str, port: u16, standard: u16| {
        let machine = machine.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let is_shared = !machine.is_empty() && !is_loopback(&machine);
        let machine = if machine.contains(':') { format!("[{machine}]") } else { machine };
        is_shared.then(|| if port == standard { machine } else { format!("{machine}:{port}") })
    };
    match Location::parse(url).ok()? {
        Location::Local(_) => None,
        location @ (Location::Rest(address) | Location::S3(address)) => {
            let (machine, port) = location.server()?;
            named(machine, port, if address.starts_with("http://") { 80 } else { 443 })
        }
        Location::Sftp(rest) => {
            let (login, port, _) = sftp_parts(rest);
            named(login.rsplit_once('@').map_or(login, |(_, machine)| machine), port, 22)
        }
        Location::Other(text) => {
            let (kind, rest) = text.split_once(':')?;
            let container = rest.split(':').next().unwrap_or_default();
            // What a remote of rclone is, each machine's own configuration says.
            (kind != "rclone").then(|| format!("{kind}:{container}"))
        }
    }
}

/// Both spellings: `user@machine:path` and `//user@machine:port/path`.
fn sftp(rest: &str) -> (String, bool) {
    let (login, port, path) = sftp_parts(rest);
    let (user, machine) = login.rsplit_once('@').map_or(("", login), |(user, machine)| (user, machine));
    let machine = machine.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    // A path without a slash before it begins in the user's own folder.
    let root = if path.starts_with('/') { "/" } else { "~/" };
    // A name without a dot may be one of the machine's own ssh configuration.
    let is_plain = (machine.contains('.') || machine.contains(':')) && !is_loopback(&machine);
    (format!("sftp:{user}@{machine}:{port}:{root}{}", clean(path)), is_plain)
}

/// Login, port and path.
fn sftp_parts(rest: &str) -> (&str, u16, &str) {
    match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (machine, port) = split_port(authority);
            (machine, port, path)
        }
        None => {
            let (machine, path) = match rest.find(']') {
                Some(end) => (&rest[..=end], rest[end + 1..].trim_start_matches(':')),
                None => rest.split_once(':').unwrap_or((rest, "")),
            };
            (machine, 22, path)
        }
    }
}

fn split_port(authority: &str) -> (&str, u16) {
    match authority.rsplit_once(':') {
        Some((machine, port)) if !port.contains(']') && !machine.ends_with(':') => {
            port.parse().map_or((authority, 22), |port| (machine, port))
        }
        _ => (authority, 22),
    }
}

fn is_loopback(machine: &str) -> bool {
    machine == "localhost"
        || machine.ends_with(".localhost")
        || machine.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// A path without what changes nothing.
fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// Letters written as `%41`, as themselves; a slash and what is no letter stay as they are written.
fn plain_letters(path: &str) -> String {
    let hex = |digit: u8| char::from(digit).to_digit(16);
    let (bytes, mut out, mut at) = (path.as_bytes(), String::with_capacity(path.len()), 0);
    while at < bytes.len() {
        let pair = (bytes[at] == b'%').then(|| bytes.get(at + 1).zip(bytes.get(at + 2))).flatten();
        let letter = pair.and_then(|(high, low)| hex(*high)?.checked_mul(16)?.checked_add(hex(*low)?));
        match letter.and_then(char::from_u32) {
            Some(letter) if letter.is_ascii_alphanumeric() || "-._~@".contains(letter) => {
                out.push(letter);
                at += 3;
            }
            Some(_) => {
                out.push_str(&path[at..at + 3].to_ascii_uppercase());
                at += 3;
            }
            None => {
                let letter = path[at..].chars().next().unwrap_or_default();
                out.push(letter);
                at += letter.len_utf8();
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_is_the_machine_or_the_service_and_what_is_of_the_host_alone_is_none() {
        for (url, storage) in [
            ("rest:http://NAS.example.:8000/attic/", Some("nas.example:8000")),
            ("rest:https://nas.example/barn", Some("nas.example")),
            ("rest:https://nas.example:443/barn", Some("nas.example")),
            ("rest:http://nas.example:443/barn", Some("nas.example:443")),
            ("rest:http://[2001:db8::1]:8000/a", Some("[2001:db8::1]:8000")),
            ("rest:http://127.0.0.1:8000/a", None),
            ("s3:s3.amazonaws.com/bucket/x", Some("s3.amazonaws.com")),
            ("sftp:me@NAS.example:/srv/a", Some("nas.example")),
            ("sftp://me@nas.example:2222//srv/a", Some("nas.example:2222")),
            ("b2:bucket:attic", Some("b2:bucket")),
            ("rclone:remote:attic", None),
            ("/srv/repo", None),
            ("no address", None),
        ] {
            assert_eq!(storage_of(url).as_deref(), storage, "{url}");
        }
    }

    #[test]
    fn what_differs_in_spelling_only_is_one_place() {
        for (one, other) in [
            ("rest:https://nas.example:8000/a/", "rest:https://NAS.example.:8000//a"),
            ("rest:https://nas.example/a", "rest:https://nas.example:443/a/"),
            ("rest:http://nas.example/a", "rest:http://nas.example:80/a"),
            ("rest:http://nas:8000/%61lice/./x/", "rest:http://nas:8000/alice/x"),
            ("rest:http://nas:8000/a%2fb", "rest:http://nas:8000/a%2Fb"),
            ("rest:http://[::1]:8000/a", "rest:http://[::1]:8000/a/"),
            ("s3:s3.amazonaws.com/bucket/x", "s3:https://S3.amazonaws.com:443/bucket/x/"),
            ("sftp:me@nas.example:/srv/a", "sftp://me@NAS.example:22//srv/a/"),
            ("sftp:me@nas.example:a", "sftp://me@nas.example/a"),
            ("b2:bucket:a/", "b2:bucket:/a"),
            ("/srv//a/", "local:/srv/./a"),
        ] {
            assert!(one_form(one).is_some(), "{one}");
            assert_eq!(one_form(one), one_form(other), "{one} {other}");
        }
    }

    #[test]
    fn what_differs_in_more_is_another() {
        for (one, other) in [
            ("rest:http://nas:8000/a", "rest:https://nas:8000/a"),
            ("rest:http://nas:8000/a", "rest:http://nas:8001/a"),
            ("rest:http://nas:8000/a", "rest:http://nas:8000/A"),
            ("rest:http://nas:8000/alice/a", "rest:http://nas:8000/bob/a"),
            ("rest:http://nas:8000/a/b", "rest:http://nas:8000/a%2Fb"),
            ("sftp:me@nas.example:/a", "sftp:you@nas.example:/a"),
            ("sftp:me@nas.example:/a", "sftp:me@nas.example:a"),
            ("sftp://nas.example:22/a", "sftp://nas.example:2222/a"),
            ("b2:mine:a", "b2:other:a"),
            ("b2:mine:a", "gs:mine:a"),
            ("s3:host.example/a", "rest:https://host.example/a"),
        ] {
            assert_ne!(one_form(one), one_form(other), "{one} {other}");
        }
    }

    #[test]
    fn an_address_that_each_machine_reads_in_its_own_way_does_not_say_which_storage_is_meant() {
        let is_plain = |url: &str| Place::of(url).unwrap().is_plain;
        for url in ["rest:http://nas:8000/a", "rest:https://10.0.0.7/a", "s3:host.example/a", "b2:mine:a"] {
            assert!(is_plain(url), "{url}");
        }
        for url in [
            "/mnt/backup",
            "rest:http://localhost:8000/a",
            "rest:http://127.0.0.1:8000/a",
            "rest:http://[::1]:8000/a",
            "sftp:nas:/a",
            "rclone:remote:a",
            "azure:container:/a",
            "swift:container:/a",
        ] {
            assert!(!is_plain(url), "{url}");
        }
        assert_eq!(Place::of("no address"), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_an_address_has_a_place_that_more_slashes_do_not_change(path in "/([a-zA-Z0-9./ü]|%[2-6][0-9a-f]){0,20}") {
            for url in [format!("rest:http://nas:8000{path}"), format!("/srv{path}")] {
                let place = Place::of(&url);
                proptest::prop_assert!(place.is_some());
                proptest::prop_assert_eq!(Place::of(&format!("{url}//")), place);
            }
        }
    }
}
