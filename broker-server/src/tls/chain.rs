//! A chain of certificates: reading one, and whether a key belongs to it.

use super::{error::TlsError, files};
use rustls::{
    pki_types::{CertificateDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::path::Path;

/// Whether key and certificate belong together, as far as that can be told.
pub(super) fn fits(key: &CertifiedKey) -> bool {
    !matches!(key.keys_match(), Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)))
}

/// All certificates of a file; at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = || TlsError::Pem { path: path.to_owned(), what: "certificate" };
    let bytes = files::read(path)?;
    let certificates =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>().map_err(|_| pem())?;
    if certificates.is_empty() { Err(pem()) } else { Ok(certificates) }
}
