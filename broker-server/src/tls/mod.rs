//! Certificates: the server's own authority, its certificate, and one that the operator brings.
//!
//! # Words and files
//!
//! At the first start, and only then, an **authority** is made in the folder (`ca.pem`, `ca.key`), good for twenty years. It signs the
//! **server certificate** (`server.pem`, `server.key`), good for one year, made anew when less than thirty days are
//! left or when the names it has to carry have changed (`server.names` says which they are). Agents are given the
//! SHA-256 of the authority in their enrolment token and trust nothing else; so the chain that is sent ends with the
//! authority itself. `ca.key` belongs into the backup of the server: without it every host has to enrol again.
//!
//! Before its end the authority gets a **next** one (`next.pem`, `next.key`), with a server certificate of its own
//! (`next-server.…`), which takes its place once agents know it; see [`crate::rollover`].
//!
//! # Who is shown what
//!
//! Agents name the authorities that they trust, in the TLS extension for it (RFC 8446, 4.2.4), or by its fingerprint the one that
//! their token names ([`schema::enroll::authority_name`]). Whoever names one of the server's own is shown its certificate, the
//! next one's first. Everybody else, such as a viewer or a browser, is shown **the operator's own files** where there are
//! any, and otherwise the certificate of the present authority. So an agent trusts no authority but the server's own, and
//! nothing of what others renew: a leaf, an intermediate, a root.
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
use authority::{Authority, AuthorityFiles, Role};
use chain::{fits, read_certificates};
use fleet::ArchivePart;
use rustls::{
    DistinguishedName, RootCertStore, ServerConfig,
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
    /// The operator's own files, for everybody but agents.
    pub operator: Option<OperatorFiles>,
    /// There is no authority of the server's own here: no agent connects.
    pub is_for_pages: bool,
}

/// A certificate that the operator brings.
#[derive(Clone, Debug)]
pub struct OperatorFiles {
    /// PEM: the server's certificate first, then those of intermediates.
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
    /// The server's own authorities, the present one first.
    own: Vec<CertificateDer<'static>>,
    /// Their files as they were read, in the same order.
    files: Vec<AuthorityFiles>,
    /// What who is no agent has to trust.
    shown: Vec<CertificateDer<'static>>,
    validity: Option<Validity>,
    /// Those of the certificates that the server makes itself.
    made: Vec<Option<Validity>>,
    seen: Vec<Option<SystemTime>>,
}

/// What handshakes use now.
struct Current(RwLock<Arc<Served>>);

/// Whom is shown what.
struct Served {
    /// Who names no authority of the server's own.
    others: Arc<CertifiedKey>,
    /// Who names one of these, the next one first.
    agents: Vec<(Vec<DistinguishedName>, Arc<CertifiedKey>)>,
}

impl Served {
    fn for_client(&self, trusts: &[DistinguishedName]) -> &Arc<CertifiedKey> {
        let names = |named: &[DistinguishedName]| {
            named.iter().any(|name| trusts.iter().any(|it| it.as_ref() == name.as_ref()))
        };
        self.agents.iter().find(|(named, _)| names(named)).map_or(&self.others, |(_, key)| key)
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(…)")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(served.for_client(client.certificate_authorities().unwrap_or_default())))
    }
}

/// What was read.
struct Loaded {
    /// The operator's, and what its chain ends with.
    brought: Option<(CertifiedKey, CertificateDer<'static>)>,
    /// The server's own authorities and what they have signed, the present one first.
    own: Vec<(CertificateDer<'static>, CertifiedKey)>,
    files: Vec<AuthorityFiles>,
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
            own: loaded.authorities(),
            files: loaded.files.clone(),
            shown: loaded.shown(),
            validity: loaded.validity(),
            made: loaded.made(),
            seen: options.seen_after(&seen),
        };
        let current = Arc::new(Current(RwLock::new(Arc::new(loaded.served()?))));
        let config = Arc::new(server_config(&current, &[])?);
        Ok(Self { options, current, config, state: Mutex::new(state) })
    }

    /// Whether certificates can be opened with these options, and the SHA-256 of the authorities that agents trust, the
    /// present one first; `None` = there is none yet, and one may be made. Changes nothing.
    pub fn check(options: &Options) -> Result<Option<Vec<[u8; 32]>>, TlsError> {
        if let Some(files) = &options.operator {
            files.load()?;
        }
        authority::check_names(&options.names)?;
        if options.is_for_pages {
            return Ok(Some(Vec::new()));
        }
        match options.authorities() {
            Err(TlsError::Missing(_)) if options.is_new => Ok(None),
            Err(error) if options.is_accepted && error.is_of_content() => Ok(None),
            read => Ok(Some(read?.iter().map(|it| Sha256::digest(&it.certificate).into()).collect())),
        }
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

    /// The files of the authorities that are in use, by their names in the data folder: also where they are gone from the disk.
    #[must_use]
    pub fn authority_parts(&self) -> Vec<ArchivePart> {
        let names = [["tls/ca.pem", "tls/ca.key"], ["tls/next.pem", "tls/next.key"]];
        let parts = |([certificate, key], files): ([&'static str; 2], &AuthorityFiles)| {
            let certificate = ArchivePart { name: certificate, bytes: files.certificate.clone().into() };
            [certificate, ArchivePart { name: key, bytes: files.key.clone() }]
        };
        names.into_iter().zip(&self.state().files).flat_map(parts).collect()
    }

    /// The certificates (DER) of the authorities that agents trust, the present one first.
    #[must_use]
    pub fn authorities(&self) -> Vec<Vec<u8>> {
        self.state().own.iter().map(|der| der.to_vec()).collect()
    }

    /// What whoever is no agent has to trust.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.state().shown.iter().map(|der| files::pem("CERTIFICATE", der)).collect()
    }

    /// When the server certificate expires, as far as it says so.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.state().validity.map(|validity| validity.not_after)
    }

    /// When the present authority expires, as far as it says so.
    #[must_use]
    pub fn authority_expires_at(&self) -> Option<Timestamp> {
        self.state().own.first().and_then(|der| ends_at(der))
    }

    /// Makes an authority that follows the present one, when there is none yet, and uses it for whoever names it; its
    /// certificate (DER).
    pub fn make_next(&self, now: Timestamp) -> Result<Vec<u8>, TlsError> {
        Authority::make(&self.options.folder, Role::Next, now, &mut |_, _| Ok(()))?;
        self.take(&self.options.seen(), now, true)?;
        Ok(self.state().own.last().map(|der| der.to_vec()).unwrap_or_default())
    }

    /// Whether a server was ended while the next authority took the place of the present one.
    #[must_use]
    pub fn is_half_retired(&self) -> bool {
        authority::is_half_retired(&self.options.folder)
    }

    /// The next authority takes the place of the present one, which is gone then.
    pub fn retire_present(&self, now: Timestamp) -> Result<(), TlsError> {
        authority::retire_present(&self.options.folder)?;
        self.take(&self.options.seen(), now, true)
    }

    /// Has the certificate that agents are shown carry these names, too.
    pub fn name_also(&self, names: Vec<String>, now: Timestamp) -> Result<(), TlsError> {
        if names.iter().all(|name| self.options.names.contains(name)) {
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
            let is_due = |made: &Option<Validity>| made.is_none_or(|made| authority::is_due(made, now));
            let due = state.made.iter().any(is_due);
            if !due && seen == state.seen {
                return Ok(false);
            }
        }
        self.take(&seen, now, false)?;
        Ok(true)
    }

    /// Uses what is on disk, whether it seems to have changed or not.
    pub fn read_again(&self, now: Timestamp) -> Result<(), TlsError> {
        self.take(&self.options.seen(), now, false)
    }

    /// `is_changed`: the authorities are others than before, on purpose.
    fn take(&self, seen: &[Option<SystemTime>], now: Timestamp, is_changed: bool) -> Result<(), TlsError> {
        let also_named = self.state().also_named.clone();
        let loaded = self.options.load(&also_named, now);
        let mut state = self.state();
        // A file that can't be used is complained about once.
        seen.clone_into(&mut state.seen);
        let loaded = loaded?;
        let own = loaded.authorities();
        if own != state.own && !is_changed {
            return Err(TlsError::OtherAuthority(self.options.folder.join("ca.pem")));
        }
        state.own = own;
        state.files.clone_from(&loaded.files);
        state.shown = loaded.shown();
        state.validity = loaded.validity();
        state.made = loaded.made();
        state.seen = self.options.seen_after(seen);
        drop(state);
        let served = Arc::new(loaded.served()?);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = served;
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
        if self.is_for_pages {
            return Ok(());
        }
        if self.is_accepted && self.authorities().is_err_and(|error| error.is_of_content()) {
            authority::put_aside(&self.folder, now)?;
        }
        Authority::make(&self.folder, Role::Present, now, before)
    }

    /// The server's own authorities, the present one first.
    fn authorities(&self) -> Result<Vec<Authority>, TlsError> {
        let mut all = vec![Authority::read(&self.folder, Role::Present)?];
        if Role::Next.is_there(&self.folder) {
            all.push(Authority::read(&self.folder, Role::Next)?);
        }
        Ok(all)
    }

    fn load(&self, also_named: &[String], now: Timestamp) -> Result<Loaded, TlsError> {
        let brought = self.operator.as_ref().map(OperatorFiles::load).transpose()?;
        let names = [self.names.as_slice(), also_named].concat();
        let authorities = if self.is_for_pages { Vec::new() } else { self.authorities()? };
        let files = authorities.iter().map(|authority| authority.files.clone()).collect();
        let mut own = Vec::new();
        for authority in authorities {
            let (leaf, key) = authority.server_certificate(&names, now)?;
            let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
            let key = CertifiedKey::new(vec![leaf, authority.certificate.clone()], key);
            own.push((authority.certificate, key));
        }
        Ok(Loaded { brought, own, files })
    }

    /// When the files were last written.
    fn seen(&self) -> Vec<Option<SystemTime>> {
        let own = OWN_FILES.map(|name| self.folder.join(name));
        let brought = self.operator.iter().flat_map(|files| [files.certificate.clone(), files.key.clone()]);
        let paths: Vec<PathBuf> = own.into_iter().filter(|_| !self.is_for_pages).chain(brought).collect();
        paths.iter().map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok()).collect()
    }

    /// The same after loading: who makes certificates has changed the files by that. Those that are brought are looked at
    /// again when they have changed since before.
    fn seen_after(&self, before: &[Option<SystemTime>]) -> Vec<Option<SystemTime>> {
        let mut after = self.seen();
        let brought = if self.operator.is_some() { 2 } else { 0 };
        let first = after.len() - brought;
        after[first..].clone_from_slice(&before[first..]);
        after
    }
}

/// The files of the server's own authorities.
const OWN_FILES: [&str; 10] = [
    "ca.pem",
    "ca.key",
    "server.pem",
    "server.key",
    "server.names",
    "next.pem",
    "next.key",
    "next-server.pem",
    "next-server.key",
    "next-server.names",
];

impl OperatorFiles {
    /// Whether both can be read and belong together.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    /// The certificate, and what its chain ends with.
    fn load(&self) -> Result<(CertifiedKey, CertificateDer<'static>), TlsError> {
        let chain = read_certificates(&self.certificate)?;
        let pem = TlsError::Pem { path: self.key.clone(), what: "private key" };
        let bytes = files::read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| pem)?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
        let Some(last) = chain.last().cloned() else {
            return Err(TlsError::Pem { path: self.certificate.clone(), what: "certificate" });
        };
        let key = CertifiedKey::new(chain, key);
        if fits(&key) {
            Ok((key, last))
        } else {
            Err(TlsError::Mismatch { key: self.key.clone(), certificate: self.certificate.clone() })
        }
    }
}

impl Loaded {
    fn authorities(&self) -> Vec<CertificateDer<'static>> {
        self.own.iter().map(|(authority, _)| authority.clone()).collect()
    }

    fn shown(&self) -> Vec<CertificateDer<'static>> {
        match &self.brought {
            Some((_, last)) => vec![last.clone()],
            None => self.authorities(),
        }
    }

    /// Of the certificate that who is no agent is shown.
    fn validity(&self) -> Option<Validity> {
        let key = self.brought.as_ref().map(|(key, _)| key).or_else(|| self.own.first().map(|(_, key)| key));
        key.and_then(of_leaf)
    }

    fn made(&self) -> Vec<Option<Validity>> {
        self.own.iter().map(|(_, key)| of_leaf(key)).collect()
    }

    fn served(self) -> Result<Served, TlsError> {
        let mut agents = Vec::new();
        for (authority, key) in self.own {
            agents.push((named(&authority)?, Arc::new(key)));
        }
        let present = agents.first().map(|(_, key)| Arc::clone(key));
        let brought = self.brought.map(|(key, _)| Arc::new(key));
        // There is one of the two: an authority of one's own, but for the pages, and then a certificate was brought.
        let others = brought.or(present).ok_or(TlsError::Rustls(rustls::Error::NoCertificatesPresented))?;
        agents.reverse();
        Ok(Served { others, agents })
    }
}

fn of_leaf(key: &CertifiedKey) -> Option<Validity> {
    key.cert.first().and_then(|leaf| validity::of(leaf))
}

/// When a certificate (DER) expires, as far as it says so.
#[must_use]
pub fn ends_at(certificate: &[u8]) -> Option<Timestamp> {
    validity::of(certificate).map(|validity| validity.not_after)
}

/// How clients name an authority: by its subject, and who only knows its fingerprint by that.
fn named(authority: &CertificateDer<'static>) -> Result<Vec<DistinguishedName>, TlsError> {
    let mut store = RootCertStore::empty();
    store.add(authority.clone())?;
    let mut names = store.subjects();
    let by_fingerprint = schema::enroll::authority_name(&Sha256::digest(authority).into());
    names.push(DistinguishedName::in_sequence(&by_fingerprint));
    Ok(names)
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
