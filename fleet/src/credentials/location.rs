//! Repository addresses as people paste them: with a user and a password in them.

use crate::record::Secret;
use crate::refused::Refused;
use schema::limits::MAX_VALUE_BYTES;
use schema::location::{LocationError, mistaken};
use zeroize::Zeroizing;

/// Whether secrets kept for the old address would reach another machine, or another program on it, at the new one.
pub(super) fn is_elsewhere(old: &str, new: &str) -> bool {
    match (schema::location::Location::parse(old), schema::location::Location::parse(new)) {
        (Ok(old), Ok(new)) => old.keeper() != new.keeper(),
        _ => old != new,
    }
}

/// A repository location, with the user and password of a REST server taken out of it.
pub(super) struct SplitLocation {
    pub(super) url: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
}

impl SplitLocation {
    /// Takes the login out; what is left is what an agent would give to restic.
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        let found = Self::take_apart(text)?;
        match schema::location::Location::parse(&found.url) {
            Ok(_) => Ok(found),
            Err(why) => Err(Refused::invalid("url", why.to_string())),
        }
    }

    /// Whether user and password have a place in the address.
    pub(super) fn takes_login(&self) -> bool {
        self.url.starts_with("rest:")
    }

    fn take_apart(text: &str) -> Result<Self, Refused> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Refused::invalid(
                "url",
                "give the repository's address, such as rest:https://box:8000/attic",
            ));
        }
        if text.len() > MAX_VALUE_BYTES {
            return Err(Refused::invalid("url", format!("use at most {MAX_VALUE_BYTES} bytes")));
        }
        if let Some(mistaken) = mistaken(text) {
            return Err(Refused::invalid("url", mistaken.to_string()));
        }
        let plain = Self { url: text.to_owned(), username: None, password: None };
        let Some((scheme, rest)) = network_part(text) else { return Ok(plain) };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (user, machine) =
            authority.rsplit_once('@').map_or((None, authority), |(user, machine)| (Some(user), machine));
        // A login that is not escaped ends the authority too early, and would be kept as if it were a path.
        if machine
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
            && !has_plain_port(machine)
        {
            return Err(Refused::invalid("url", LocationError::Port.to_string()));
        }
        if !has_plain_port(machine) {
            return Err(Refused::invalid(
                "url",
                "only a port number can stand between the machine and its path. Give user and password in their own \
                 fields",
            ));
        }
        let Some(user) = user else { return Ok(plain) };
        let (username, password) =
            user.split_once(':').map_or((user, None), |(name, word)| (name, Some(word)));
        if !text.starts_with("rest:") {
            return if password.is_none() && !text.starts_with("s3:") {
                Ok(plain)
            } else {
                Err(Refused::invalid(
                    "url",
                    "no login can stand in this address. Give it as extra environment",
                ))
            };
        }
        Ok(Self {
            url: format!("{scheme}{machine}{path}"),
            username: Some(percent_decoded(username)),
            password: password.map(|word| Secret::new(percent_decoded(word))),
        })
    }
}

/// The address split behind `://`, or behind `s3:`; `None` when it names no machine in that form.
fn network_part(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('/') || text.starts_with("local:") {
        return None;
    }
    let at = match text.find("://") {
        Some(at) => at + 3,
        None if text.starts_with("s3:") => 3,
        None => return None,
    };
    Some(text.split_at(at))
}

/// Whether what follows the machine's name is a port number, or nothing.
fn has_plain_port(machine: &str) -> bool {
    let behind = match machine.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, behind)) => behind,
        None => machine.find(':').map_or("", |at| &machine[at..]),
    };
    behind.is_empty() || behind.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

fn percent_decoded(text: &str) -> String {
    let hex = |digit: u8| (digit as char).to_digit(16).map(|digit| digit as u8);
    let (bytes, mut out, mut at) = (text.as_bytes(), Zeroizing::new(Vec::with_capacity(text.len())), 0);
    while at < bytes.len() {
        let pair = bytes.get(at + 1).copied().and_then(hex).zip(bytes.get(at + 2).copied().and_then(hex));
        match (bytes[at], pair) {
            (b'%', Some((high, low))) => {
                out.push(high * 16 + low);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_taken_out_of_a_rest_address() {
        let table = [
            (
                "rest:http://ada:p%40ss:w@box:8000/attic/",
                "rest:http://box:8000/attic/",
                Some("ada"),
                Some("p@ss:w"),
            ),
            ("rest:https://ada@box", "rest:https://box", Some("ada"), None),
            ("rest:http://box:8000/a@b", "rest:http://box:8000/a@b", None, None),
            ("sftp://ada@box/attic", "sftp://ada@box/attic", None, None),
            ("/srv/attic", "/srv/attic", None, None),
            ("rest:http://a:100%@box/", "rest:http://box/", Some("a"), Some("100%")),
            ("rest:http://a:b@[::1]:8000/c", "rest:http://[::1]:8000/c", Some("a"), Some("b")),
            ("sftp://ada@box:2222//srv/attic", "sftp://ada@box:2222//srv/attic", None, None),
            ("sftp:ada@box:/srv/attic", "sftp:ada@box:/srv/attic", None, None),
            ("s3:https://box:9000/bucket", "s3:https://box:9000/bucket", None, None),
            ("s3:s3.amazonaws.com/bucket", "s3:s3.amazonaws.com/bucket", None, None),
            ("rclone:remote:a@b", "rclone:remote:a@b", None, None),
            ("/srv/a://b:c@d/", "/srv/a://b:c@d/", None, None),
        ];
        for (text, url, username, password) in table {
            let location = SplitLocation::parse(text).unwrap();
            assert_eq!(location.url, url);
            assert_eq!(location.username.as_deref(), username);
            assert_eq!(location.password.as_ref().map(Secret::expose), password);
        }
    }

    #[test]
    fn a_secret_that_would_stay_in_the_address_is_refused() {
        for text in [
            // A password with a slash, pasted as it is: it would pass for a path.
            "rest:http://ada:se/cret@box:8000/attic",
            "rest:https://ada:sec:ret/word@box/",
            "rest:http://[::1]x:se/cret@box/",
            "s3:https://key:secret@box/bucket",
            "s3:key:secret@box/bucket",
            "sftp://ada:secret@box/attic",
            "https://ada:secret@box/attic",
        ] {
            match SplitLocation::parse(text) {
                Err(Refused::InvalidInput { field: "url", message }) => {
                    assert!(!message.contains("secret") && !message.contains("cret@"), "{message}");
                }
                other => panic!("{text}: {:?}", other.map(|location| location.url)),
            }
        }
    }

    #[test]
    fn what_is_probably_meant_is_said_before_anything_else() {
        for (text, hint) in [
            ("REST:http://ada:secret@nas/", "lower case"),
            ("rest:HTTP://ada:secret@nas/", "lower case"),
            ("sftp://ada:secret@nas/x", "no password"),
            ("rest:http://::1:8000/", "brackets"),
            ("rest:http://ada:secret@::1:8000/", "brackets"),
            ("https://s3.amazonaws.com/bucket", "write s3:"),
            ("s3://bucket", "s3:machine/bucket"),
            ("user@nas:/x", "write sftp:"),
            ("rest:nas:8000", "rest:http://"),
            ("rest:http://na\u{200b}s/", "can't be seen"),
        ] {
            let refused = SplitLocation::parse(text).err().unwrap().to_string();
            assert!(refused.contains(hint) && !refused.contains("secret"), "{text:?}: {refused}");
        }
    }

    #[test]
    fn what_can_not_be_an_address_is_refused() {
        for text in [
            "",
            "  ",
            "--repo",
            "/a\nb",
            "relative",
            "http://nas:8000/",
            "C:\\backup",
            "smb://nas/backup",
            "rest:http://nas:70000/",
            "sftp:me@nas:2222/x",
            "S3:evil",
            "rclone::sftp,ssh=x:",
            "rest:http://x/ -o y",
            "rest:nas:8000",
            "nas:/volume1",
            "/",
            "rest:http://nas:+80/",
            "rest:http://nas/%zz",
            "\u{feff}rest:http://nas/",
            "sftp:me:secret@nas:/x",
            "rest:http://h/?password=secret",
            "rest:http://a:b@h/#secret",
            "sftp:a@b@-oProxyCommand=x:/repo",
        ] {
            let refused = SplitLocation::parse(text).err().unwrap();
            assert_eq!(refused.field(), Some("url"), "{text:?}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }
}
