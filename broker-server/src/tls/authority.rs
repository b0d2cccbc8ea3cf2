//! The server's own authority, and the certificate it signs.

use super::{
    chain::{fits, read_certificates},
    error::TlsError,
    files::{self, Before},
    validity::{self, Validity},
};
use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use schema::Timestamp;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// How long the authority is good for.
const AUTHORITY_MS: u64 = 20 * 365 * DAY_MS;
/// How long a server certificate is good for; browsers accept no longer one.
const SERVER_MS: u64 = 365 * DAY_MS;
/// When less than this is left, it is made anew.
const RENEW_MS: u64 = 30 * DAY_MS;
/// How far a certificate begins before now, for machines whose clock is behind.
const SKEW_MS: u64 = 2 * DAY_MS;

/// Whether a server certificate should be made anew now: it expires soon, or was made by a clock that was ahead.
pub(super) const fn is_due(validity: Validity, now: Timestamp) -> bool {
    validity.not_after.0 < now.plus_ms(RENEW_MS).0 || now.0 < validity.not_before.0
}

/// Which of the two authorities one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that there always is.
    Present,
    /// The one that takes its place.
    Next,
}

impl Role {
    const fn files(self) -> [&'static str; 5] {
        match self {
            Self::Present => ["ca.key", "ca.pem", "server.names", "server.key", "server.pem"],
            Self::Next => ["next.key", "next.pem", "next-server.names", "next-server.key", "next-server.pem"],
        }
    }

    /// Whether there is a whole one. The next one is made with its key first, and loses it first.
    pub(super) fn is_there(self, folder: &Path) -> bool {
        self.files()[..2].iter().all(|name| folder.join(name).exists())
    }
}

pub(super) struct Authority {
    folder: PathBuf,
    role: Role,
    key: KeyPair,
    pub(super) certificate: CertificateDer<'static>,
    /// The files of its certificate and of its key, as they are on disk.
    pub(super) files: AuthorityFiles,
}

/// The files of an authority, as they were read.
#[derive(Clone)]
pub(super) struct AuthorityFiles {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Zeroizing<Vec<u8>>,
}

impl Authority {
    /// Makes what is missing of it; a part that is there stays. For a server that has none yet.
    pub(super) fn make(
        folder: &Path,
        role: Role,
        now: Timestamp,
        before: Before<'_>,
    ) -> Result<(), TlsError> {
        let mut write = |path: &Path, text: &str| {
            before(path, text.as_bytes()).map_err(|why| TlsError::File {
                doing: "can't make",
                path: path.to_owned(),
                why,
            })?;
            files::write(path, text.as_bytes())
        };
        files::make_folder(folder)?;
        let [key_path, certificate_path, ..] = role.files().map(|name| folder.join(name));
        if certificate_path.exists() {
            return Ok(());
        }
        // A crash between the two files leaves the key alone: its certificate was never used.
        let key = match files::read_if_any(&key_path)? {
            Some(bytes) => read_key(&key_path, &bytes)?,
            None => {
                let key = KeyPair::generate()?;
                write(&key_path, &key.serialize_pem())?;
                key
            }
        };
        let certificate = authority_params(&key, now)?.self_signed(&key)?;
        write(&certificate_path, &files::pem("CERTIFICATE", certificate.der()))
    }

    /// Reads it. Changes nothing.
    pub(super) fn read(folder: &Path, role: Role) -> Result<Self, TlsError> {
        Self::read_parts(folder, role).map_err(|error| match error {
            TlsError::Pem { .. } | TlsError::Mismatch { .. } => TlsError::Authority(Box::new(error)),
            other => other,
        })
    }

    fn read_parts(folder: &Path, role: Role) -> Result<Self, TlsError> {
        let [key_path, mut certificate_path, ..] = role.files().map(|name| folder.join(name));
        if role == Role::Present && is_half_retired(folder) {
            certificate_path = folder.join("next.pem");
        }
        let Some(bytes) = files::read_if_any(&key_path)? else { return Err(TlsError::Missing(key_path)) };
        if !certificate_path.exists() {
            return Err(TlsError::Missing(certificate_path));
        }
        if files::is_exposed(&key_path)? {
            return Err(TlsError::Exposed(key_path));
        }
        let key = read_key(&key_path, &bytes)?;
        let certificate = read_certificates(&certificate_path)?.swap_remove(0);
        let files =
            AuthorityFiles { certificate: files::read(&certificate_path)?, key: Zeroizing::new(bytes) };
        let authority = Self { folder: folder.to_owned(), role, key, certificate, files };
        let signing = rustls::crypto::ring::sign::any_supported_type(&private_key(&authority.key))?;
        if fits(&CertifiedKey::new(vec![authority.certificate.clone()], signing)) {
            Ok(authority)
        } else if role == Role::Present && is_half_retired(folder) {
            // The key is still that of the present one: what looks half retired has lost a file.
            Err(TlsError::Missing(folder.join("next.key")))
        } else {
            Err(TlsError::Mismatch { key: key_path, certificate: certificate_path })
        }
    }

    /// The server certificate for these names and its key: the one on disk when it still serves, or a new one.
    pub(super) fn server_certificate(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), TlsError> {
        let names = all_names(names);
        check_names(&names)?;
        let wanted = self.describe(&names);
        if let Some(found) = self.read_server_certificate(&wanted, now)? {
            return Ok(found);
        }
        let key = KeyPair::generate()?;
        let params = server_params(&names, now)?;
        let authority = authority_params(&self.key, now)?;
        let certificate = params.signed_by(&key, &Issuer::from_params(&authority, &self.key))?;
        // What says that the pair is good is written last.
        let [_, _, names_path, key_path, path] = self.role.files().map(|name| self.folder.join(name));
        files::write(&names_path, b"")?;
        files::write(&key_path, key.serialize_pem().as_bytes())?;
        files::write(&path, files::pem("CERTIFICATE", certificate.der()).as_bytes())?;
        files::write(&names_path, wanted.as_bytes())?;
        Ok((certificate.der().clone(), private_key(&key)))
    }

    /// What stands in the file of the names: which authority has signed, and for which names.
    fn describe(&self, names: &[String]) -> String {
        format!("{}\n{}\n", HEXLOWER.encode(&Sha256::digest(&self.certificate)), names.join("\n"))
    }

    fn read_server_certificate(
        &self,
        wanted: &str,
        now: Timestamp,
    ) -> Result<Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>, TlsError> {
        let read = |name: &str| files::read_if_any(&self.folder.join(name));
        let [_, _, names, key, certificate] = self.role.files();
        let (Some(described), Some(certificate), Some(key)) = (read(names)?, read(certificate)?, read(key)?)
        else {
            return Ok(None);
        };
        let (Ok(certificate), Ok(key)) =
            (CertificateDer::from_pem_slice(&certificate), PrivateKeyDer::from_pem_slice(&key))
        else {
            return Ok(None);
        };
        let serves = described == wanted.as_bytes()
            && validity::of(&certificate).is_some_and(|validity| !is_due(validity, now))
            && rustls::crypto::ring::sign::any_supported_type(&key)
                .is_ok_and(|signing| fits(&CertifiedKey::new(vec![certificate.clone()], signing)));
        Ok(serves.then_some((certificate, key)))
    }
}

/// The key of the next authority has taken the place of the present one's, and its certificate has not yet.
pub(super) fn is_half_retired(folder: &Path) -> bool {
    folder.join("next.pem").exists() && !folder.join("next.key").exists()
}

/// The next authority takes the place of the present one. Whatever ends it in the middle, the folder holds one authority
/// that can be used, and the same again goes on.
pub(super) fn retire_present(folder: &Path) -> Result<(), TlsError> {
    let moved = |from: &str, to: &str| {
        let from = folder.join(from);
        match std::fs::rename(&from, folder.join(to)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            moved => moved
                .map_err(|why| TlsError::File { doing: "can't move", path: from, why })
                .and_then(|()| files::sync(folder)),
        }
    };
    moved("next.key", "ca.key")?;
    moved("next.pem", "ca.pem")?;
    for name in &Role::Next.files()[2..] {
        files::remove(&folder.join(name))?;
    }
    Ok(())
}

/// Puts an authority that can't be used out of the way of a new one; it stays to be looked at.
pub(super) fn put_aside(folder: &Path, now: Timestamp) -> Result<(), TlsError> {
    let aside = folder.with_extension(format!("old-{}", now.0));
    match std::fs::rename(folder, &aside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(TlsError::File { doing: "can't move away", path: folder.to_owned(), why }),
        Ok(()) => {
            tracing::warn!(to = %aside.display(), "the authority that can't be used was put aside");
            Ok(())
        }
    }
}

fn read_key(path: &Path, bytes: &[u8]) -> Result<KeyPair, TlsError> {
    let pem = || TlsError::Pem { path: path.to_owned(), what: "private key" };
    KeyPair::from_pem(std::str::from_utf8(bytes).map_err(|_| pem())?).map_err(|_| pem())
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}

/// `names`, and those by which this machine reaches itself; sorted, each once.
fn all_names(names: &[String]) -> Vec<String> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut all: Vec<_> = names.iter().filter(|name| !name.is_empty()).cloned().chain(own).collect();
    all.sort();
    all.dedup();
    all
}

/// The authority, told by its key alone, so that it is the same at every start.
fn authority_params(key: &KeyPair, now: Timestamp) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    let name = HEXLOWER.encode(&Sha256::digest(key.der_bytes())[..4]);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Holdfast authority {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Long ago: small machines wake up with an old clock.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date(now.plus_ms(AUTHORITY_MS));
    Ok(params)
}

/// Whether all of these can stand in a certificate.
pub(super) fn check_names(names: &[String]) -> Result<(), TlsError> {
    let is_fit = |name: &String| {
        CertificateParams::new(vec![name.clone()]).is_ok() && name.bytes().all(|b| b.is_ascii_graphic())
    };
    names.iter().find(|name| !is_fit(name)).map_or(Ok(()), |name| Err(TlsError::Name(name.clone())))
}

fn server_params(names: &[String], now: Timestamp) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Holdfast server");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date(Timestamp(now.0.saturating_sub(SKEW_MS)));
    params.not_after = date(now.plus_ms(SERVER_MS));
    Ok(params)
}

/// The day of an instant, as rcgen wants it.
fn date<T>(at: Timestamp) -> T
where
    T: From<std::time::SystemTime>,
{
    T::from(std::time::UNIX_EPOCH + std::time::Duration::from_millis(at.0))
}
