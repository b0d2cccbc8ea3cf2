//! Who can open an archive: whoever knows a passphrase, or holds the identity of a recipient. Both are `age`'s.

use super::error::ArchiveError;
use crate::record::Secret;
use age::secrecy::SecretString;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::iter;

/// scrypt's cost, as its logarithm: 128 MiB of memory and about half a second, to write an archive and for each guess. It
/// is what OWASP asks for at least.
const LOG_N: u8 = 17;
/// The same for a passphrase that was drawn, which nobody can guess at any cost: 32 MiB.
const LOG_N_DRAWN: u8 = 15;
/// How many groups of how many characters a drawn passphrase has, and how many different ones at least.
const DRAWN: (usize, usize, usize) = (6, 4, 10);
/// The highest cost that is worked through to open one: 4 GiB of memory.
const MOST_LOG_N: u8 = 22;

/// For whom an archive is encrypted.
#[derive(Clone, Debug)]
pub enum ArchiveKey {
    /// Whoever knows this passphrase.
    Passphrase(Secret),
    /// The holders of these recipients' identities, each an `age1…`.
    Recipients(Vec<String>),
}

/// What an archive is opened with.
pub enum ArchiveOpener {
    /// A passphrase.
    Passphrase(Secret),
    /// Identities as `age-keygen` writes them, one a line; lines that begin with `#` say nothing.
    Identities(Secret),
    /// The identity that was drawn when it was written, to look it through right afterwards.
    Drawn(DrawnIdentity),
}

/// An identity that lives no longer than the process: with it, what was encrypted for others only can be looked through.
pub struct DrawnIdentity(age::x25519::Identity);

impl DrawnIdentity {
    /// Draws one.
    #[must_use]
    pub fn draw() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// Its recipient.
    #[must_use]
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }
}

/// A new identity of `age`, as `age-keygen` writes it, and its recipient.
#[must_use]
pub fn new_identity() -> (Secret, String) {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let text = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    (Secret::new(format!("# public key: {recipient}\n{text}\n")), recipient)
}

/// The recipient of the first identity in a text of `age-keygen`.
pub fn recipient_of(text: &str) -> Result<String, ArchiveError> {
    let all = identities(text)?;
    all.first().map(|identity| identity.to_public().to_string()).ok_or(ArchiveError::Identity)
}

/// Whether a passphrase looks drawn, as Holdfast offers them: 120 bits in letters and digits of base32.
#[must_use]
pub fn is_drawn(passphrase: &str) -> bool {
    let (groups, length, different) = DRAWN;
    let is_base32 = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
    let found: Vec<&str> = passphrase.split('-').collect();
    let all: BTreeSet<char> = passphrase.chars().collect();
    found.len() == groups
        && found.iter().all(|group| group.len() == length && group.chars().all(is_base32))
        && all.len() > different
}

fn secret(secret: &Secret) -> SecretString {
    SecretString::from(secret.expose().to_owned())
}

/// Whether this is a recipient; its text, and why not.
pub fn check_recipient(text: &str) -> Result<(), ArchiveError> {
    recipient(text).map(drop)
}

fn recipient(text: &str) -> Result<age::x25519::Recipient, ArchiveError> {
    text.parse().map_err(|_| match text.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
        true => ArchiveError::Secret,
        false => ArchiveError::Recipient(text.to_owned()),
    })
}

impl ArchiveKey {
    /// Encrypts what is written into the result; [`age::stream::StreamWriter::finish`] ends it. Takes up to half a second
    /// for a passphrase.
    pub(super) fn seal<W: Write>(&self, to: W) -> Result<age::stream::StreamWriter<W>, ArchiveError> {
        let failed = |error: age::EncryptError| ArchiveError::Write(std::io::Error::other(error.to_string()));
        let encryptor = match self {
            Self::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(secret(passphrase));
                recipient.set_work_factor(if is_drawn(passphrase.expose()) { LOG_N_DRAWN } else { LOG_N });
                age::Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient))
                    .map_err(failed)?
            }
            Self::Recipients(texts) => {
                let all = texts.iter().map(|text| recipient(text)).collect::<Result<Vec<_>, _>>()?;
                let all = all.iter().map(|recipient| recipient as &dyn age::Recipient);
                age::Encryptor::with_recipients(all).map_err(failed)?
            }
        };
        encryptor.wrap_output(to).map_err(ArchiveError::Write)
    }
}

impl ArchiveOpener {
    /// Decrypts what is read from the result. Takes up to half a second for a passphrase.
    pub(super) fn open<R: Read>(&self, from: R) -> Result<impl Read, ArchiveError> {
        let decryptor = age::Decryptor::new(from).map_err(ArchiveError::from_age)?;
        let opened = match self {
            Self::Passphrase(_) if !decryptor.is_scrypt() => return Err(ArchiveError::WantsIdentity),
            Self::Identities(_) | Self::Drawn(_) if decryptor.is_scrypt() => {
                return Err(ArchiveError::WantsPassphrase);
            }
            Self::Passphrase(passphrase) => {
                let mut identity = age::scrypt::Identity::new(secret(passphrase));
                identity.set_max_work_factor(MOST_LOG_N);
                decryptor.decrypt(iter::once(&identity as &dyn age::Identity))
            }
            Self::Identities(text) => {
                let all = identities(text.expose())?;
                decryptor.decrypt(all.iter().map(|identity| identity as &dyn age::Identity))
            }
            Self::Drawn(drawn) => decryptor.decrypt(iter::once(&drawn.0 as &dyn age::Identity)),
        };
        opened.map_err(ArchiveError::from_age)
    }
}

fn identities(text: &str) -> Result<Vec<age::x25519::Identity>, ArchiveError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let all = lines.map(str::parse).collect::<Result<Vec<_>, _>>().map_err(|_| ArchiveError::Identity)?;
    if all.is_empty() { Err(ArchiveError::Identity) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_given_as_a_recipient_is_not_said_again() {
        let secret = new_identity().0;
        for text in [secret.expose().to_owned(), secret.expose().to_lowercase()] {
            let why = check_recipient(&text).unwrap_err().to_string();
            assert!(
                why.contains("secret identity") && !why.to_uppercase().contains("AGE-SECRET-KEY-"),
                "{why}"
            );
        }
    }

    #[test]
    fn a_drawn_passphrase_is_told_from_a_made_up_one() {
        assert!(is_drawn("k7fp-22aa-bcde-fghi-jklm-nopq"));
        for made_up in [
            "a few words in a row",
            "k7fp-22aa-bcde-fghi-jklm",
            "k7fp-22aa-bcde-fghi-jklm-nop",
            "k7fp-22aa-bcde-fghi-jklm-nopQ",
            "k7fp-22aa-bcde-fghi-jklm-nop1",
            "aaaa-bbbb-cccc-dddd-eeee-ffff",
            "k7fp22aabcdefghijklmnopq",
            "",
        ] {
            assert!(!is_drawn(made_up), "{made_up}");
        }
    }
}
