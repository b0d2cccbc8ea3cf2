//! Certificates: made, renewed, replaced; and connections with them.

use crate::support::{Client, Hello, World, host, now};
use holdfast_server::tls::{OperatorFiles, Options, Tls, TlsError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::Arc,
};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn options(folder: &Path, names: &[&str]) -> Options {
    Options {
        folder: folder.join("tls"),
        is_new: true,
        is_accepted: false,
        names: names.iter().map(ToString::to_string).collect(),
        operator: None,
        is_for_pages: false,
    }
}

fn leaf(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("tls/server.pem")).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_authority_is_made_once_and_only_the_server_can_read_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let first = Tls::open(options(folder.path(), &["backup.example", "192.0.2.7"]), now()).unwrap();
    assert_eq!(mode(&folder.path().join("tls")), 0o700);
    for name in ["ca.key", "server.key"] {
        assert_eq!(mode(&folder.path().join("tls").join(name)), 0o600, "{name}");
    }
    let der = CertificateDer::from_pem_slice(first.ca_pem().as_bytes()).unwrap();
    assert_eq!(first.authorities(), [der.to_vec()]);
    let leaf_before = leaf(folder.path());
    let again = Tls::open(options(folder.path(), &["192.0.2.7", "backup.example"]), now()).unwrap();
    assert_eq!(again.authorities(), first.authorities());
    assert_eq!(leaf(folder.path()), leaf_before, "made anew without a reason");
    let expires_at = again.expires_at().unwrap();
    let left = expires_at.ms_since(now());
    assert!((363 * DAY_MS..366 * DAY_MS).contains(&left), "{left}");
}

#[test]
fn openssl_agrees_with_what_is_made() {
    let folder = tempfile::tempdir().unwrap();
    Tls::open(options(folder.path(), &["backup.example", "192.0.2.7"]), now()).unwrap();
    let tls = folder.path().join("tls");
    let openssl = |arguments: &[&str]| {
        let out = Command::new("openssl").current_dir(&tls).args(arguments).output();
        let out = out.expect("openssl is not installed: apt-get install openssl");
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
        )
    };
    for name in ["backup.example", "localhost"] {
        let (ok, said) = openssl(&[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            "ca.pem",
            "-verify_hostname",
            name,
            "server.pem",
        ]);
        assert!(ok, "{name}: {said}");
    }
    for address in ["192.0.2.7", "127.0.0.1", "::1"] {
        let (ok, said) =
            openssl(&["verify", "-x509_strict", "-CAfile", "ca.pem", "-verify_ip", address, "server.pem"]);
        assert!(ok, "{address}: {said}");
    }
    let (ok, _) =
        openssl(&["verify", "-CAfile", "ca.pem", "-verify_hostname", "other.example", "server.pem"]);
    assert!(!ok);
    // Ten years from now the authority still stands.
    let (ok, said) = openssl(&["x509", "-in", "ca.pem", "-noout", "-checkend", "315360000"]);
    assert!(ok, "{said}");
}

#[test]
fn the_certificate_is_made_anew_for_other_names_and_when_it_gets_old() {
    let folder = tempfile::tempdir().unwrap();
    let at = now();
    let tls = Tls::open(options(folder.path(), &[]), at).unwrap();
    let (ca, first) = (tls.authorities(), leaf(folder.path()));
    assert!(!tls.refresh(at).unwrap());
    assert!(!tls.refresh(at.plus_ms(330 * DAY_MS)).unwrap());
    assert!(tls.refresh(at.plus_ms(340 * DAY_MS)).unwrap());
    let second = leaf(folder.path());
    assert_ne!(first, second);
    assert!(!tls.refresh(at.plus_ms(341 * DAY_MS)).unwrap());
    // A clock that was far ahead and is put right: what it made is of no use before its time.
    assert!(tls.refresh(at).unwrap());
    assert!(!tls.refresh(at.plus_ms(DAY_MS)).unwrap());
    let second = leaf(folder.path());
    let tls = Tls::open(options(folder.path(), &["new.example"]), at.plus_ms(341 * DAY_MS)).unwrap();
    assert_ne!(leaf(folder.path()), second);
    assert_eq!(tls.authorities(), ca);
}

#[test]
fn a_torn_start_is_made_whole_and_a_lost_authority_is_not_silently_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let tls = |name: &str| folder.path().join("tls").join(name);
    Tls::open(options(folder.path(), &[]), now()).unwrap();
    // A first start that was torn between the two.
    fs::remove_file(tls("ca.pem")).unwrap();
    let ca = Tls::open(options(folder.path(), &[]), now()).unwrap().authorities();
    let options = |folder: &Path, names: &[&str]| Options { is_new: false, ..options(folder, names) };
    // Whatever of the server certificate is missing or does not fit is made anew.
    for broken in ["server.key", "server.pem", "server.names"] {
        fs::write(tls(broken), "nonsense").unwrap();
        assert_eq!(Tls::open(options(folder.path(), &[]), now()).unwrap().authorities(), ca);
        fs::remove_file(tls(broken)).unwrap();
        assert_eq!(Tls::open(options(folder.path(), &[]), now()).unwrap().authorities(), ca);
    }
    fs::set_permissions(tls("ca.key"), Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Tls::open(options(folder.path(), &[]), now()), Err(TlsError::Exposed(_))));
    fs::set_permissions(tls("ca.key"), Permissions::from_mode(0o600)).unwrap();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let key = fs::read(tls("ca.key")).unwrap();
    fs::write(tls("ca.key"), other).unwrap();
    assert!(
        matches!(Tls::open(options(folder.path(), &[]), now()), Err(TlsError::Authority(why)) if matches!(*why, TlsError::Mismatch { .. }))
    );
    fs::remove_file(tls("ca.key")).unwrap();
    let error = Tls::open(options(folder.path(), &[]), now()).err().unwrap();
    assert!(error.to_string().contains("out of an archive of the server"), "{error}");
    assert!(!tls("ca.key").exists());
    fs::write(tls("ca.key"), key).unwrap();
    fs::set_permissions(tls("ca.key"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Tls::open(options(folder.path(), &[]), now()).unwrap().authorities(), ca);
    let error = Tls::open(options(folder.path(), &["not a name"]), now()).err().unwrap();
    assert!(matches!(error, TlsError::Name(_)), "{error}");
    // Nor while the server runs.
    let running = Tls::open(options(folder.path(), &[]), now()).unwrap();
    fs::remove_dir_all(folder.path().join("tls")).unwrap();
    assert!(matches!(running.refresh(now()), Err(TlsError::Missing(_))));
    assert!(!folder.path().join("tls").exists());
    assert_eq!(running.authorities(), ca);
}

/// An authority of the operator's, and certificates of it.
struct Operator {
    key: KeyPair,
    params: CertificateParams,
    pem: String,
}

impl Operator {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { key, params, pem }
    }

    fn write(&self, files: &OperatorFiles) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let leaf = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        fs::write(&files.certificate, leaf.pem() + &self.pem).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
    }
}

#[test]
fn the_operators_certificate_is_used_and_replaced_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let files =
        OperatorFiles { certificate: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
    let open = || Tls::open(Options { operator: Some(files.clone()), ..options(folder.path(), &[]) }, now());
    assert!(matches!(open(), Err(TlsError::File { .. })));
    fs::write(&files.certificate, "nothing").unwrap();
    fs::write(&files.key, "nothing").unwrap();
    assert!(matches!(open(), Err(TlsError::Pem { .. })));
    let operator = Operator::new();
    operator.write(&files);
    let tls = open().unwrap();
    let pinned = tls.authorities();
    // Agents are told of the server's own; viewers of the operator's.
    let shown = |tls: &Tls| CertificateDer::from_pem_slice(tls.ca_pem().as_bytes()).unwrap();
    assert_eq!(shown(&tls), CertificateDer::from_pem_slice(operator.pem.as_bytes()).unwrap());
    assert_ne!(pinned, [shown(&tls).to_vec()]);
    assert!(!tls.refresh(now()).unwrap());
    operator.write(&files);
    assert!(tls.refresh(now()).unwrap());
    assert!(!tls.refresh(now()).unwrap());
    // What does not fit is complained about once and not used.
    fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(matches!(tls.refresh(now()), Err(TlsError::Mismatch { .. })));
    // Another authority of the operator's is no agent's business.
    let another = Operator::new();
    another.write(&files);
    assert!(tls.refresh(now()).unwrap());
    assert_eq!(shown(&tls), CertificateDer::from_pem_slice(another.pem.as_bytes()).unwrap());
    assert_eq!(tls.authorities(), pinned);
    // For the pages there is none of the server's own.
    let pages = Options { operator: Some(files.clone()), is_for_pages: true, ..Options::default() };
    assert!(Tls::open(pages, now()).unwrap().authorities().is_empty());
}

#[tokio::test]
async fn clients_that_trust_the_authority_come_in_before_and_after_a_renewal() {
    let world = World::start().await;
    let mut before = Client::open_tls(world.tls, &world.certificates.ca_pem()).await;
    before.welcome(&Hello::host(host(1))).await;
    fs::remove_file(world.ca_path.with_file_name("server.names")).unwrap();
    assert!(world.certificates.refresh(now()).unwrap());
    let mut after = Client::open_tls(world.tls, &world.certificates.ca_pem()).await;
    after.welcome(&Hello::host(host(2))).await;
    before.ping().await;
    after.ping().await;
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_the_chain_ends_with_the_authority() {
    let world = World::start().await;
    let address = world.tls.to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let (address, ca) = (address.clone(), world.ca_path.clone());
        let out = tokio::task::spawn_blocking(move || {
            Command::new("openssl")
                .args([
                    "s_client",
                    "-connect",
                    &address,
                    version,
                    "-showcerts",
                    "-verify_return_error",
                    "-CAfile",
                ])
                .arg(ca)
                .stdin(std::process::Stdio::null())
                .output()
                .expect("openssl is not installed: apt-get install openssl")
        })
        .await
        .unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(said.contains("Verify return code: 0 (ok)"), "{version}: {said}");
        let chain: Vec<_> = CertificateDer::pem_slice_iter(said.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(chain.len(), 2, "{said}");
        assert_eq!(vec![chain[1].to_vec()], world.certificates.authorities());
    }
    let (refused, ca) = (address.clone(), world.ca_path.clone());
    let out = tokio::task::spawn_blocking(move || {
        Command::new("openssl")
            .args(["s_client", "-connect", &refused, "-tls1_1", "-CAfile"])
            .arg(ca)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    assert!(!out.status.success());
}

/// A client that names these authorities in its handshake, and believes whatever it is shown.
#[derive(Debug)]
struct Naming(Vec<DistinguishedName>);

impl ServerCertVerifier for Naming {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.0)
    }
}

/// What stands last in the chain that a client is shown who names these.
async fn shown_to(tls: &Tls, names: Vec<DistinguishedName>) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Naming(names)))
        .with_no_client_auth();
    let (near, far) = tokio::io::duplex(1 << 16);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(connector.connect(name, near), tls.acceptor().accept(far));
    server.unwrap();
    client.unwrap().get_ref().1.peer_certificates().unwrap().last().unwrap().to_vec()
}

fn subject(der: &[u8]) -> DistinguishedName {
    let mut store = rustls::RootCertStore::empty();
    store.add(CertificateDer::from(der.to_vec())).unwrap();
    store.subjects().remove(0)
}

fn by_fingerprint(der: &[u8]) -> DistinguishedName {
    DistinguishedName::in_sequence(&schema::enroll::authority_name(&Sha256::digest(der).into()))
}

#[tokio::test]
async fn each_client_is_shown_what_it_trusts_and_whoever_names_nothing_what_the_operator_brought() {
    let folder = tempfile::tempdir().unwrap();
    let files =
        OperatorFiles { certificate: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
    let operator = Operator::new();
    operator.write(&files);
    let brought = CertificateDer::from_pem_slice(operator.pem.as_bytes()).unwrap().to_vec();
    for operator in [None, Some(files)] {
        let folder = tempfile::tempdir().unwrap();
        let others = operator.clone().map(|_| brought.clone());
        let tls = Tls::open(Options { operator, ..options(folder.path(), &[]) }, now()).unwrap();
        let a = tls.authorities().remove(0);
        let b = tls.make_next(now()).unwrap();
        assert_eq!(tls.authorities(), [a.clone(), b.clone()]);
        let others = others.unwrap_or_else(|| a.clone());
        for (name, names, shown) in [
            ("nobody's", vec![], &others),
            ("another's", vec![subject(&brought)], &others),
            ("the present", vec![subject(&a)], &a),
            ("the next", vec![subject(&b)], &b),
            ("both", vec![subject(&a), subject(&b)], &b),
            ("a token of before", vec![by_fingerprint(&a)], &a),
            ("a token", vec![by_fingerprint(&b)], &b),
        ] {
            assert!(shown_to(&tls, names).await == *shown, "{name}");
        }
        tls.retire_present(now()).unwrap();
        assert_eq!(tls.authorities(), std::slice::from_ref(&b));
        assert!(shown_to(&tls, vec![subject(&b)]).await == b && shown_to(&tls, vec![subject(&a)]).await != a);
        // The same at the next start.
        let again = Tls::open(Options { is_new: false, ..options(folder.path(), &[]) }, now()).unwrap();
        assert_eq!(again.authorities(), [b]);
    }
}

#[test]
fn an_authority_that_is_replaced_is_whole_after_an_end_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let options = |is_new| Options { is_new, ..options(folder.path(), &[]) };
    let at = |name: &str| folder.path().join("tls").join(name);
    let tls = Tls::open(options(true), now()).unwrap();
    // Its key was made, and its certificate not yet.
    let a = tls.authorities();
    let b = tls.make_next(now()).unwrap();
    let key = fs::read(at("next.key")).unwrap();
    let certificate = fs::read(at("next.pem")).unwrap();
    fs::remove_file(at("next.pem")).unwrap();
    assert_eq!(Tls::open(options(false), now()).unwrap().authorities(), a);
    fs::write(at("next.pem"), certificate).unwrap();
    // Its key has taken the place of the present one's, and its certificate not yet.
    fs::rename(at("next.key"), at("ca.key")).unwrap();
    assert_eq!(fs::read(at("ca.key")).unwrap(), key);
    let torn = Tls::open(options(false), now()).unwrap();
    assert!(torn.is_half_retired() && torn.authorities() == [b.clone()]);
    assert_eq!(Tls::check(&options(false)).unwrap().unwrap(), [<[u8; 32]>::from(Sha256::digest(&b))]);
    torn.retire_present(now()).unwrap();
    assert!(!torn.is_half_retired() && torn.authorities() == [b.clone()] && !at("next.pem").exists());
    assert_eq!(Tls::open(options(false), now()).unwrap().authorities(), [b]);
}
