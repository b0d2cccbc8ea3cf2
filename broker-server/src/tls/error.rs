//! What can go wrong with certificates.

use std::{io, path::PathBuf};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file or folder can't be read or written.
    #[error("{doing} {}: {why}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// Path of the file or folder.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A file holds no PEM of what it should.
    #[error("{} holds no {what} in PEM form", path.display())]
    Pem {
        /// Path of the file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The authority can't be used.
    #[error(
        "{0}: take the folder tls out of an archive of the server (\"A piece is gone\" in docs/recovery.md); if it is lost for good, holdfast-server admin \
         accept-authority lets the next start make a new one, and then every host has to be enrolled again"
    )]
    Authority(Box<TlsError>),
    /// The key is another one's.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// Path of the file with the key.
        key: PathBuf,
        /// Path of the file with the certificate.
        certificate: PathBuf,
    },
    /// Others can read the authority's key.
    #[error("{} can be read by others, who could then pretend to be this server: chmod 600 it", .0.display())]
    Exposed(PathBuf),
    /// A part of the authority is not there.
    #[error("{} is missing, which enrolled agents trust: take the folder tls out of an archive of the server (\"A piece is gone\" in docs/recovery.md)", .0.display())]
    Missing(PathBuf),
    /// The authority on disk is another one, which enrolled agents don't know.
    #[error("{} holds another authority now, which enrolled agents do not trust; it is not used", .0.display())]
    OtherAuthority(PathBuf),
    /// A name can't stand in a certificate.
    #[error("{0:?} can't be a name in a certificate")]
    Name(String),
    /// A certificate can't be made.
    #[error("a certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    /// What a file holds is not what it should, or it is not there; a file that can't be read is something else.
    pub(super) const fn is_of_content(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Authority(_))
    }
}
