//! Certificates: the server's own authority, its certificate, or one that the operator brings.
//!
//! # Words and files
//!
//! At the first start, and only then, an **authority** is made in the folder (`ca.pem`, `ca.key`), good for twenty years. It signs the
//! **server certificate** (`server.pem`, `server.key`), good for one year, made anew when less than thirty days are
//! left or when the names it has to carry have changed (`server.names` says which they are). Agents are given the
//! SHA-256 of the authority in their enrolment token and trust nothing else; so the chain that is sent ends with the
//! authority itself. `ca.key` belongs into the backup of the server: without it every host has to enrol again.
//!
//! With **the operator's own files** nothing is made. The last certificate in the file is what agents are given to
//! trust: it should be the authority's, and stay when the certificate is renewed.
//!
//! # Renewal
//!
//! [`Tls::refresh`] looks whether files have changed or the time has come; [`Tls::watch`] does that all the time, and
//! [`Tls::read_again`] does not ask whether they have. Handshakes from then on use what is new, connections that stand are not touched.
//!
//! # What it does not do
//!
//! It fetches no certificates from anywhere, and knows no client certificates.

mod authority;
mod chain;
mod error;
mod files;
mod validity;

use crate::tasks::Beat;
use authority::Authority;
use chain::{fits, read_certificates};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use schema::Timestamp;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};
use tokio_rustls::TlsAcceptor;
use validity::Validity;

pub use error::TlsError;
pub use files::Before;

/// How often [`Tls::watch`] looks.
const WATCH_EVERY: Duration = Duration::from_secs(10);

/// Where certificates come from.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder of the server's own authority.
    pub folder: PathBuf,
    /// There may be no authority yet: what is missing of it is made when certificates are opened, and never later.
    pub is_new: bool,
    /// Another authority has been accepted: one that can't be used is put aside, and a new one made.
    pub is_accepted: bool,
    /// Names and addresses that the server certificate must carry, beside `localhost` and the loopback addresses.
    pub names: Vec<String>,
    /// The operator's own files instead.
    pub operator: Option<OperatorFiles>,
    /// Nobody was given its authority to trust, as agents are: another one may take its place at any time.
    pub any_authority: bool,
}

/// A certificate that the operator brings.
#[derive(Clone, Debug)]
pub struct OperatorFiles {
    /// PEM: the server's certificate first, its authority last.
    pub certificate: PathBuf,
    /// PEM: the key of the first.
    pub key: PathBuf,
}

/// The server's side of TLS, for every listener.
pub struct Tls {
    options: Options,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    state: Mutex<State>,
}

struct State {
    /// Names that the certificate carries besides those of the options.
    also_named: Vec<String>,
    pinned: [u8; 32],
    pinned_der: CertificateDer<'static>,
    validity: Option<Validity>,
    seen: Vec<Option<SystemTime>>,
}

/// What handshakes use now.
struct Current(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(…)")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A certificate and what belongs to it.
struct Loaded {
    key: CertifiedKey,
    pinned_der: CertificateDer<'static>,
}

impl Tls {
    /// Reads the certificates, and makes what is missing or too old.
    pub fn open(options: Options, now: Timestamp) -> Result<Self, TlsError> {
        if options.is_new {
            options.make_authority(now, &mut |_, _| Ok(()))?;
        }
        // Taken before reading: what changes in between is read again.
        let seen = options.seen();
        let loaded = options.load(&[], now)?;
        let state = State {
            also_named: Vec::new(),
            pinned: Sha256::digest(&loaded.pinned_der).into(),
            validity: loaded.validity(),
            pinned_der: loaded.pinned_der,
            seen: options.seen_after(seen),
        };
        let current = Arc::new(Current(RwLock::new(Arc::new(loaded.key))));
        let config = Arc::new(server_config(&current, &[])?);
        Ok(Self { options, current, config, state: Mutex::new(state) })
    }

    /// Whether certificates can be opened with these options, and the SHA-256 of the one that agents trust; `None` =
    /// there is no authority yet, and one may be made. Changes nothing.
    pub fn check(options: &Options) -> Result<Option<[u8; 32]>, TlsError> {
        let pinned = match &options.operator {
            Some(files) => files.load()?.pinned_der,
            None => {
                authority::check_names(&options.names)?;
                match Authority::read(&options.folder) {
                    Err(TlsError::Missing(_)) if options.is_new => return Ok(None),
                    Err(error) if options.is_accepted && error.is_of_content() => return Ok(None),
                    read => read?.certificate,
                }
            }
        };
        Ok(Some(Sha256::digest(&pinned).into()))
    }

    /// Takes TLS connections, 1.2 and 1.3, without a protocol name.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// The same for these protocol names (ALPN), as a web server wants it.
    pub fn config_for(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        Ok(Arc::new(server_config(&self.current, protocols)?))
    }

    /// SHA-256 of the certificate that agents trust, for enrolment tokens.
    #[must_use]
    pub fn ca_fingerprint(&self) -> [u8; 32] {
        self.state().pinned
    }

    /// The certificate that agents trust, for whoever wants to trust it too.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        files::pem("CERTIFICATE", &self.state().pinned_der)
    }

    /// When the server certificate expires, as far as it says so.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.state().validity.map(|validity| validity.not_after)
    }

    /// When the certificate that agents trust expires.
    #[must_use]
    pub fn authority_expires_at(&self) -> Option<Timestamp> {
        validity::of(&self.state().pinned_der).map(|validity| validity.not_after)
    }

    /// Has the server certificate carry these names, too, as long as it is the server's own.
    pub fn name_also(&self, names: Vec<String>, now: Timestamp) -> Result<(), TlsError> {
        if self.options.operator.is_some() || names.iter().all(|name| self.options.names.contains(name)) {
            return Ok(());
        }
        self.state().also_named = names;
        self.read_again(now)
    }

    /// Uses what has changed on disk, and renews what is too old. Says whether anything is new. What can't be used
    /// is an error, and the previous certificate stays.
    pub fn refresh(&self, now: Timestamp) -> Result<bool, TlsError> {
        let seen = self.options.seen();
        {
            let state = self.state();
            let due = self.options.operator.is_none()
                && state.validity.is_none_or(|validity| authority::is_due(validity, now));
            if !due && seen == state.seen {
                return Ok(false);
            }
        }
        self.take(seen, now)?;
        Ok(true)
    }

    /// Uses what is on disk, whether it seems to have changed or not.
    pub fn read_again(&self, now: Timestamp) -> Result<(), TlsError> {
        self.take(self.options.seen(), now)
    }

    fn take(&self, seen: Vec<Option<SystemTime>>, now: Timestamp) -> Result<(), TlsError> {
        let also_named = self.state().also_named.clone();
        let loaded = self.options.load(&also_named, now);
        let mut state = self.state();
        // A file that can't be used is complained about once.
        state.seen.clone_from(&seen);
        let loaded = loaded?;
        let pinned: [u8; 32] = Sha256::digest(&loaded.pinned_der).into();
        if pinned != state.pinned && !self.options.any_authority {
            return Err(TlsError::OtherAuthority(self.options.pinned_path()));
        }
        state.pinned = pinned;
        state.pinned_der.clone_from(&loaded.pinned_der);
        state.validity = loaded.validity();
        state.seen = self.options.seen_after(seen);
        drop(state);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded.key);
        Ok(())
    }

    /// Refreshes again and again.
    pub async fn watch(self: Arc<Self>, now: fn() -> Timestamp, beat: Beat) {
        loop {
            beat.waits(tokio::time::sleep(WATCH_EVERY)).await;
            match self.refresh(now()) {
                Ok(false) => {}
                Ok(true) => tracing::info!("a new certificate is in use"),
                Err(error) => tracing::error!(%error, "the certificate in use stays the old one"),
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Options {
    /// Makes what is missing of the server's own authority; `before` is told of each file before it is there.
    pub fn make_authority(&self, now: Timestamp, before: Before<'_>) -> Result<(), TlsError> {
        if self.operator.is_some() {
            return Ok(());
        }
        if self.is_accepted && Authority::read(&self.folder).is_err_and(|error| error.is_of_content()) {
            authority::put_aside(&self.folder, now)?;
        }
        Authority::make(&self.folder, now, before)
    }

    fn load(&self, also_named: &[String], now: Timestamp) -> Result<Loaded, TlsError> {
        match &self.operator {
            Some(files) => files.load(),
            None => {
                let authority = Authority::read(&self.folder)?;
                let names = [self.names.as_slice(), also_named].concat();
                let (leaf, key) = authority.server_certificate(&names, now)?;
                let pinned_der = authority.certificate.clone();
                let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
                Ok(Loaded { key: CertifiedKey::new(vec![leaf, pinned_der.clone()], key), pinned_der })
            }
        }
    }

    /// When the files were last written.
    fn seen(&self) -> Vec<Option<SystemTime>> {
        let paths = match &self.operator {
            Some(files) => vec![files.certificate.clone(), files.key.clone()],
            None => ["ca.pem", "ca.key", "server.pem", "server.key", "server.names"]
                .map(|name| self.folder.join(name))
                .to_vec(),
        };
        paths.iter().map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok()).collect()
    }

    /// The same after loading: who makes certificates has changed the files by that.
    fn seen_after(&self, before: Vec<Option<SystemTime>>) -> Vec<Option<SystemTime>> {
        if self.operator.is_some() { before } else { self.seen() }
    }

    fn pinned_path(&self) -> PathBuf {
        self.operator.as_ref().map_or_else(|| self.folder.join("ca.pem"), |files| files.certificate.clone())
    }
}

impl OperatorFiles {
    fn load(&self) -> Result<Loaded, TlsError> {
        let chain = read_certificates(&self.certificate)?;
        let pem = TlsError::Pem { path: self.key.clone(), what: "private key" };
        let bytes = files::read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| pem)?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
        let Some(pinned_der) = chain.last().cloned() else {
            return Err(TlsError::Pem { path: self.certificate.clone(), what: "certificate" });
        };
        let key = CertifiedKey::new(chain, key);
        if fits(&key) {
            Ok(Loaded { key, pinned_der })
        } else {
            Err(TlsError::Mismatch { key: self.key.clone(), certificate: self.certificate.clone() })
        }
    }
}

impl Loaded {
    fn validity(&self) -> Option<Validity> {
        self.key.cert.first().and_then(|leaf| validity::of(leaf))
    }
}

fn server_config(current: &Arc<Current>, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(current);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // Tickets hold the session for us: nothing is kept here, and a reconnect costs half.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}
