//! Host keys of a storage that is reached by ssh: as people paste them, and as an agent has seen one and somebody says
//! that it is the right one.

use crate::refused::Refused;
use data_encoding::{BASE64, BASE64_NOPAD};
use schema::limits::MAX_VALUE_BYTES;
use sha2::{Digest as _, Sha256};

/// So many keys a storage may have.
const MOST_KEYS: usize = 8;

/// Whether the storage of this address is reached by ssh.
pub(super) fn is_used(url: &str) -> bool {
    url.starts_with("sftp:")
}

/// The keys alone, from lines of a `known_hosts`, an `ssh_host_…_key.pub` or an `ssh-keyscan`; empty stays empty.
pub(super) fn read(text: &str, url: &str) -> Result<String, Refused> {
    let refuse = |why: &str| Err(Refused::invalid("host_keys", why));
    if text.contains("PRIVATE KEY-----") {
        return refuse("this holds a private key: give the public one, and make a new pair");
    }
    let mut keys: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('@') {
            return refuse(
                "a line that begins with @ is about an authority or a revoked key: give the key itself",
            );
        }
        match key_of(line) {
            Some(key) if keys.contains(&key) => {}
            Some(key) => keys.push(key),
            None => {
                return refuse(
                    "give one key a line, as ssh-keyscan shows it or as it stands in /etc/ssh/ssh_host_ed25519_key.pub: \
                     ssh-ed25519 and what follows it",
                );
            }
        }
    }
    if !keys.is_empty() && !is_used(url) {
        return refuse("host keys are for addresses with sftp: this one is not reached by ssh");
    }
    if keys.len() > MOST_KEYS || keys.iter().any(|key| key.len() > MAX_VALUE_BYTES) {
        return refuse("these are too many, or too long: give the keys of the storage alone");
    }
    Ok(keys.iter().map(|key| format!("{key}\n")).collect())
}

/// The kind and the base64 of a key in a line; `None` = there is none.
fn key_of(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // The name of a machine may stand before it, and a comment behind.
    words.windows(2).take(2).find_map(|pair| {
        let blob = blob_of(pair[1]).filter(|blob| kind_of(blob) == Some(pair[0].as_bytes()));
        blob.map(|_| format!("{} {}", pair[0], pair[1]))
    })
}

fn blob_of(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok()
}

/// The first field of a key names its kind.
fn kind_of(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?).filter(|kind| kind.len() < rest.len())
}

/// The fingerprints of stored keys, as ssh shows them, each with its kind.
pub(crate) fn fingerprints(keys: &str) -> Vec<String> {
    keys.lines().filter_map(fingerprint).collect()
}

/// `SHA256:… (ssh-ed25519)`; `None` = it is no key.
#[must_use]
pub fn fingerprint(key: &str) -> Option<String> {
    let key = key_of(key)?;
    let (kind, base64) = key.split_once(' ')?;
    Some(format!("SHA256:{} ({kind})", BASE64_NOPAD.encode(&Sha256::digest(blob_of(base64)?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "sftp:me@nas:/srv/restic";
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICFtrxhWjDF951LzoCci9l1s2HWVOkTsqsV930PsUvmt";

    #[test]
    fn keys_are_kept_without_what_stands_around_them() {
        let name = format!("[nas]:2222 {KEY} root@nas");
        for text in
            [KEY, &format!(" {KEY} a comment\r\n"), &name, &format!("# nas:22 SSH-2.0\n{KEY}\n{name}\n")]
        {
            assert_eq!(read(text, URL).unwrap(), format!("{KEY}\n"), "{text}");
        }
        assert_eq!(read(" \n# x\n", URL).unwrap(), "");
        assert_eq!(read("", "/srv/restic").unwrap(), "");
        // What ssh-keygen -lf says of it.
        let shown = "SHA256:u3lydffBIbP0wuYEkDC4pi1RFpXJHyIO9sYZj+FSTyI (ssh-ed25519)";
        assert_eq!(fingerprints(&format!("{KEY}\n")), [shown]);
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let many: String = (0..9_u8)
            .map(|fill| {
                let mut blob = b"\0\0\0\x0bssh-ed25519".to_vec();
                blob.resize(51, fill);
                format!("ssh-ed25519 {}\n", BASE64.encode(&blob))
            })
            .collect();
        for (text, url, word) in [
            ("hello", URL, "one key a line"),
            (&KEY[..KEY.len() - 2], URL, "one key a line"),
            (&KEY.replace("ssh-ed25519 ", "ssh-rsa "), URL, "one key a line"),
            ("SHA256:u3lydffBIbP0wuYEkDC4pi1RFpXJHyIO9sYZj+FSTyI", URL, "one key a line"),
            (&format!("@cert-authority * {KEY}"), URL, "@"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n", URL, "private key"),
            (KEY, "rest:http://nas:8000/", "sftp"),
            (&many, URL, "too many"),
        ] {
            let refused = read(text, url).unwrap_err();
            assert_eq!(refused.field(), Some("host_keys"));
            assert!(refused.to_string().contains(word), "{word}: {refused}");
        }
    }
}
