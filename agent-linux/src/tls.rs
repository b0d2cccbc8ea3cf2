//! TLS 1.3 with the server's own authority and nobody else's; while that is replaced, also with the next one. At enrolment it
//! is known by its fingerprint only; afterwards by its certificate. What is trusted is named in the handshake, so that the
//! server can show what fits.

mod provider;

use provider::provider;
use ring::digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::CryptoProvider,
    server::ParsedCertificate,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use schema::enroll::authority_name;
use std::sync::{Arc, OnceLock};

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority's file holds no certificate.
    #[error("ca.pem holds no certificate: enrol this machine again with a new token and --force")]
    NoAuthority,
    /// The library does not take it.
    #[error("TLS: {0}")]
    Rustls(#[from] Error),
}

/// Trusts the authorities of a text in PEM form, and nobody else.
pub fn pinned(ca_pem: &str) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for ca in certificates(ca_pem) {
        roots.add(ca)?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoAuthority);
    }
    let names = roots.subjects();
    Ok(config(By::Certificates(roots), names)?)
}

/// Trusts those of a text in PEM form that can be used, as a system keeps them; which ones is not told in the handshake.
pub fn by_authorities(pem: &str) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(pem) {
        // What one system keeps, another one's library may not read.
        let _ = roots.add(authority);
    }
    if roots.is_empty() {
        return Err(TlsError::NoAuthority);
    }
    Ok(config(By::Certificates(roots), Vec::new())?)
}

/// Trusts the authority with this SHA-256 when the server shows it in its chain; it is found in `seen` afterwards.
pub fn by_fingerprint(
    fingerprint: [u8; 32],
    seen: Arc<OnceLock<CertificateDer<'static>>>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let names = vec![DistinguishedName::in_sequence(&authority_name(&fingerprint))];
    Ok(config(By::Fingerprint(fingerprint, seen), names)?)
}

/// SHA-256 of each certificate of a text in PEM form.
#[must_use]
pub fn fingerprints(ca_pem: &str) -> Vec<[u8; 32]> {
    certificates(ca_pem).map(|ca| fingerprint(&ca)).collect()
}

/// SHA-256 of a certificate.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, certificate).as_ref().try_into().unwrap_or_default()
}

fn certificates(ca_pem: &str) -> impl Iterator<Item = CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(ca_pem.as_bytes()).flatten()
}

fn config(by: By, names: Vec<DistinguishedName>) -> Result<Arc<ClientConfig>, Error> {
    let verifier = Verifier { by, names, provider: provider() };
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A certificate as text.
#[must_use]
pub fn to_pem(certificate: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = behind;
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// How an authority is known.
#[derive(Debug)]
enum By {
    Certificates(RootCertStore),
    /// What the server has shown is kept.
    Fingerprint([u8; 32], Arc<OnceLock<CertificateDer<'static>>>),
}

/// Finds the authority by what is known of it, then checks everything else as rustls does it. Its own verifier is the same,
/// but reads lists of what was revoked, too, of which there are none here.
#[derive(Debug)]
struct Verifier {
    by: By,
    /// What the server is told of it.
    names: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let verify = |roots: &RootCertStore| {
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)
                .and_then(|()| verify_server_name(&certificate, server_name))
        };
        let (fingerprint, seen) = match &self.by {
            By::Certificates(roots) => return verify(roots).map(|()| ServerCertVerified::assertion()),
            By::Fingerprint(fingerprint, seen) => (fingerprint, seen),
        };
        let authority = intermediates
            .iter()
            .chain([end_entity])
            .find(|shown| digest::digest(&digest::SHA256, shown).as_ref() == fingerprint)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        verify(&roots)?;
        // A second connection shows the same one, or it would not have got here.
        let _ = seen.set(authority.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        (!self.names.is_empty()).then_some(&self.names[..])
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
