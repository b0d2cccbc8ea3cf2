//! Credentials in the agent's memory: they don't print, and are wiped when they go.

use core::fmt;
use schema::Items;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How to reach and open one repository, owned. Prints nothing of itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Credentials {
    /// restic's repository location, without user and password.
    pub url: String,
    /// For a REST server; empty when there is none.
    pub username: String,
    /// For a REST server; empty when there is none.
    pub password: String,
    /// The password of the repository itself.
    pub repo_password: String,
    /// Certificates (PEM) of the authorities that the storage's may be of; empty: of those that the machine knows.
    pub ca: String,
    /// The host keys that a storage reached by ssh may show; empty: those that the machine knows.
    pub host_keys: String,
    /// Further environment for restic alone: name and value.
    pub env: Vec<(String, String)>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl From<&schema::Credentials<'_>> for Credentials {
    fn from(wire: &schema::Credentials<'_>) -> Self {
        Self {
            url: wire.url.to_owned(),
            username: wire.username.to_owned(),
            password: wire.password.to_owned(),
            repo_password: wire.repo_password.to_owned(),
            ca: wire.ca.to_owned(),
            host_keys: wire.host_keys.to_owned(),
            env: wire.env.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// The most bytes that a frame of secrets may have.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// The most bytes that a length, or a number of 32 bits, takes in it.
const LENGTH_BYTES: usize = 10;

/// What the hidden subcommand reads from its standard input, to its end.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Frame<'a> {
    /// The process that must still be the parent when restic starts.
    pub(crate) parent: u32,
    /// What is added to the niceness.
    pub(crate) nice: u8,
    /// `ionice`; empty = without it.
    pub(crate) ionice: &'a str,
    /// The whole repository location, with user and password.
    pub(crate) repository: &'a str,
    pub(crate) password: &'a str,
    /// Certificates of authorities; empty = none.
    pub(crate) ca: &'a str,
    /// All of restic's environment, but for the two pipes.
    #[serde(borrow)]
    pub(crate) env: Items<'a, (&'a str, &'a str)>,
}

/// The frame does not fit into [`MAX_FRAME_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credentials with their environment are longer than {MAX_FRAME_BYTES} bytes")]
pub struct FrameTooLong;

impl Frame<'_> {
    /// The bytes for the pipe, wiped when they go.
    pub(crate) fn write(
        parent: u32,
        (nice, ionice): (u8, &str),
        (repository, password, ca): (&str, &str, &str),
        env: &[(&str, &str)],
    ) -> Result<Zeroizing<Vec<u8>>, FrameTooLong> {
        // What was wiped was touched, and stays with the process: no more than is needed.
        let room: usize = env.iter().map(|(name, value)| name.len() + value.len() + 2 * LENGTH_BYTES).sum();
        let mut items = Zeroizing::new(vec![0; room.min(MAX_FRAME_BYTES)]);
        let env = Items::write(env.iter().copied(), &mut items).map_err(|_| FrameTooLong)?;
        let texts = [ionice, repository, password, ca].map(|text| text.len() + LENGTH_BYTES);
        let room = room + texts.iter().sum::<usize>() + 4 * LENGTH_BYTES;
        let mut buffer = Zeroizing::new(vec![0; room.min(MAX_FRAME_BYTES)]);
        let used =
            schema::encode(&Frame { parent, nice, ionice, repository, password, ca, env }, &mut buffer)
                .map_err(|_| FrameTooLong)?
                .len();
        buffer.truncate(used);
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_print_nothing_of_themselves() {
        let credentials = Credentials {
            url: "rest:http://host/".into(),
            username: "user-x".into(),
            password: "pass-x".into(),
            repo_password: "repo-x".into(),
            ca: String::new(),
            host_keys: String::new(),
            env: vec![("AWS_SECRET_ACCESS_KEY".into(), "key-x".into())],
        };
        assert_eq!(format!("{credentials:?}"), "Credentials(…)");
    }

    #[test]
    fn a_frame_comes_back_whole_and_an_overlong_one_is_refused() {
        let bytes =
            Frame::write(7, (10, "/usr/bin/ionice"), ("rest:x", "pw", "pem"), &[("A", "1"), ("B", "")])
                .unwrap();
        let frame: Frame<'_> = schema::decode(&bytes).unwrap();
        assert_eq!((frame.parent, frame.nice, frame.repository, frame.password), (7, 10, "rest:x", "pw"));
        assert_eq!((frame.ionice, frame.ca), ("/usr/bin/ionice", "pem"));
        assert_eq!(frame.env.iter().collect::<Vec<_>>(), [("A", "1"), ("B", "")]);
        let long = "x".repeat(MAX_FRAME_BYTES);
        assert!(Frame::write(7, (0, ""), ("rest:x", &long, ""), &[]).is_err());
    }
}
