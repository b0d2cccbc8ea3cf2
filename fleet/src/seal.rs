//! Sealing at rest: the master key, where it comes from, and what a sealed value is bound to.
//!
//! A sealed value is `format | nonce 24 | XChaCha20-Poly1305(plain)`. What it is of (`host:<id>:repo` and the like)
//! is additional data: moved to another host or slot it does not open.

use crate::pieces::Pieces;
use crate::record::ChannelId;
use crate::refused::{OpenError, StoreError};
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce, aead::AeadInOut};
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use schema::{HostId, Slot, TokenId, envelope::Key};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// What a sealed value is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Credentials of a slot.
    Slot(HostId, Slot),
    /// The link key.
    Link(HostId),
    /// An enrolment token's key, and the answer that it got.
    Enroll(TokenId),
    /// The value that tells whether the key fits the file.
    Check,
    /// By what a browser is known again.
    Device,
    /// The passphrase of archives.
    Archive,
    /// An enrolment, as a host's password holds it.
    Enrolment,
    /// That a server has the place of another one.
    Succession,
    /// Secrets of a channel.
    Channel(ChannelId),
}

impl Binding {
    fn text(self) -> String {
        match self {
            Self::Slot(host, slot) => format!("host:{host}:{}", slot.as_str()),
            Self::Link(host) => format!("host:{host}:link"),
            Self::Enroll(token) => format!("enroll:{token}"),
            Self::Check => "check".to_owned(),
            Self::Device => "device".to_owned(),
            Self::Archive => "archive".to_owned(),
            Self::Enrolment => "enrolment".to_owned(),
            Self::Succession => "succession".to_owned(),
            Self::Channel(ChannelId(number)) => format!("channel:{number}"),
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Slot(..) => "a credential slot",
            Self::Link(_) => "a link key",
            Self::Enroll(_) => "an enrolment token",
            Self::Check => "the key check",
            Self::Device => "a mark of a browser",
            Self::Archive => "the passphrase of archives",
            Self::Enrolment => "an enrolment",
            Self::Succession => "a succession",
            Self::Channel(_) => "a channel",
        }
    }
}

/// The key under which the data file's secrets are sealed.
pub(crate) struct MasterKey(Key);

impl MasterKey {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(Key::new(bytes))
    }

    /// Seals `plain`; the nonce must be drawn at random.
    pub(crate) fn seal(&self, binding: Binding, nonce: [u8; NONCE_BYTES], plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + plain.len() + TAG_BYTES);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = &mut sealed[1 + NONCE_BYTES..];
        match self.cipher().encrypt_inout_detached(
            &XNonce::from(nonce),
            binding.text().as_bytes(),
            body.into(),
        ) {
            Ok(tag) => sealed.extend_from_slice(&tag),
            // Only for more than 256 GB; nothing may be left in clear then.
            Err(_) => sealed.clear(),
        }
        sealed
    }

    pub(crate) fn open(&self, binding: Binding, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let error = StoreError::Seal { what: binding.what() };
        let Some((&FORMAT, rest)) = sealed.split_first() else { return Err(error) };
        let Some((nonce, rest)) = rest.split_first_chunk::<NONCE_BYTES>() else { return Err(error) };
        let Some((body, tag)) = rest.split_last_chunk::<TAG_BYTES>() else { return Err(error) };
        let mut plain = Zeroizing::new(body.to_vec());
        let opened = self.cipher().decrypt_inout_detached(
            &XNonce::from(*nonce),
            binding.text().as_bytes(),
            plain.as_mut_slice().into(),
            &Tag::from(*tag),
        );
        if opened.is_ok() { Ok(plain) } else { Err(error) }
    }

    /// The one-time set-up code: the same at each start, and nothing can be learnt of the key from it.
    pub(crate) fn setup_code(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"holdfast set-up code 1");
        hash.update(self.0.expose());
        BASE32_NOPAD.encode(&hash.finalize()[..15]).to_ascii_lowercase()
    }

    /// By which the server knows again what it has made: nobody without the key can make one, and nothing can be learnt of
    /// the key from it. A hash of a hash, as HMAC does: none can be made longer.
    pub(crate) fn mark(&self, of: &str) -> [u8; 16] {
        let hash = |what: &[u8]| {
            let mut hash = Sha256::new();
            hash.update(b"holdfast mark 1");
            hash.update(self.0.expose());
            hash.update(what);
            hash.finalize()
        };
        let whole = hash(&hash(of.as_bytes()));
        std::array::from_fn(|place| whole[place])
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.expose().into())
    }

    /// Reads the key file.
    ///
    /// It must be ours and closed to all others; a file that the service manager hands over
    /// (`is_handed_over`) may belong to root and be readable by our group.
    pub(crate) fn read(path: &Path, is_handed_over: bool) -> Result<Self, OpenError> {
        let unusable = |why| OpenError::KeyFile { path: path.to_owned(), why };
        // One that is no file, such as a pipe, may be opened for ever.
        if !fs::metadata(path).map_err(unusable)?.is_file() {
            return Err(OpenError::NotAFile { path: path.to_owned() });
        }
        let mut file = fs::File::open(path).map_err(unusable)?;
        let facts = file.metadata().map_err(unusable)?;
        let mode = facts.permissions().mode() & 0o777;
        let forbidden = if is_handed_over { 0o037 } else { 0o077 };
        if mode & forbidden != 0 {
            return Err(OpenError::KeyExposed { path: path.to_owned(), mode });
        }
        let user = own_user().map_err(unusable)?;
        if facts.uid() != user && !(is_handed_over && facts.uid() == 0) {
            return Err(OpenError::KeyOwner { path: path.to_owned(), owner: facts.uid(), user });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(80));
        Read::by_ref(&mut file).take(80).read_to_end(&mut text).map_err(unusable)?;
        Self::from_text(&text).ok_or_else(|| OpenError::KeyMalformed { path: path.to_owned() })
    }

    /// The key that a key file holds.
    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let digits = text.trim_ascii();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = Zeroizing::new([0; 32]);
        HEXLOWER_PERMISSIVE.decode_mut(digits, bytes.as_mut_slice()).ok()?;
        Some(Self::new(*bytes))
    }

    /// What a key file of this key holds.
    pub(crate) fn text(&self) -> Zeroizing<Vec<u8>> {
        // Room from the start, so that no shorter piece of it is left behind in memory.
        let mut text = Zeroizing::new(String::with_capacity(65));
        HEXLOWER.encode_append(self.0.expose(), &mut text);
        text.push('\n');
        Zeroizing::new(std::mem::take(&mut *text).into_bytes())
    }

    /// Reads the key file, or makes it with these bytes when there is none.
    pub(crate) fn read_or_create(pieces: &Pieces, bytes: [u8; 32]) -> Result<Self, OpenError> {
        let path = &pieces.key_path();
        match Self::read(path, false) {
            Err(OpenError::KeyFile { why, .. }) if why.kind() == ErrorKind::NotFound => {}
            read => return read,
        }
        let text = Self::new(bytes).text();
        pieces.will_make(path, &text)?;
        create(path, &text).map_err(|why| OpenError::KeyFile { path: path.to_owned(), why })?;
        Self::read(path, false)
    }
}

/// Whole and on disk, or not there.
fn create(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The user this process acts as.
pub(crate) fn own_user() -> std::io::Result<u32> {
    Ok(fs::metadata("/proc/self")?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostId = HostId([1; 16]);
    const OTHER: HostId = HostId([2; 16]);

    #[test]
    fn a_sealed_value_opens_only_for_its_own_host_and_slot() {
        let key = MasterKey::new([9; 32]);
        let sealed = key.seal(Binding::Slot(HOST, Slot::Repo), [3; 24], b"secret");
        assert_eq!(key.open(Binding::Slot(HOST, Slot::Repo), &sealed).unwrap().as_slice(), b"secret");
        for other in [
            Binding::Slot(HOST, Slot::Admin),
            Binding::Slot(OTHER, Slot::Repo),
            Binding::Link(HOST),
            Binding::Enroll(TokenId(HOST.0)),
            Binding::Check,
        ] {
            assert!(key.open(other, &sealed).is_err(), "{other:?}");
        }
        assert!(MasterKey::new([8; 32]).open(Binding::Slot(HOST, Slot::Repo), &sealed).is_err());
    }

    #[test]
    fn an_altered_or_cut_value_does_not_open() {
        let key = MasterKey::new([9; 32]);
        let sealed = key.seal(Binding::Check, [3; 24], b"secret");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.open(Binding::Check, &altered).is_err(), "byte {at}");
            assert!(key.open(Binding::Check, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_key_file_is_made_once_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let first = MasterKey::read_or_create(&Pieces::from(folder.path()), [5; 32]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = MasterKey::read_or_create(&Pieces::from(folder.path()), [6; 32]).unwrap();
        assert_eq!(first.0.expose(), again.0.expose());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::read_or_create(&Pieces::from(folder.path()), [5; 32]).unwrap();
        for (mode, plain, handed_over) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o440, false, true),
            (0o640, false, true),
            (0o604, false, false),
            (0o660, false, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(MasterKey::read(&path, false).is_ok(), plain, "{mode:o}");
            assert_eq!(MasterKey::read(&path, true).is_ok(), handed_over, "{mode:o}");
        }
    }

    #[test]
    fn a_key_file_of_somebody_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::read_or_create(&Pieces::from(folder.path()), [5; 32]).unwrap();
        if std::os::unix::fs::chown(&path, Some(12345), None).is_err() {
            // Only root can give a file away; the rule is the same for everybody.
            return;
        }
        assert!(matches!(MasterKey::read(&path, false), Err(OpenError::KeyOwner { owner: 12345, .. })));
    }

    #[test]
    fn a_key_file_with_something_else_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::read_or_create(&Pieces::from(folder.path()), [5; 32]).unwrap();
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(65), &"a".repeat(63)] {
            fs::write(&path, text).unwrap();
            assert!(matches!(MasterKey::read(&path, false), Err(OpenError::KeyMalformed { .. })), "{text}");
        }
        fs::write(&path, format!("{}\n", "A".repeat(64))).unwrap();
        assert!(MasterKey::read(&path, false).is_ok());
    }
}
