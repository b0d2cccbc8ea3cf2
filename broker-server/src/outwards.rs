//! Asking another server over HTTP, with TLS or without: the part that standbys and notices have in common.
//!
//! One request a connection; no redirect is followed. Whom to trust is said by an authority, or it is what the system trusts.

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{fs, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// Where systems keep the authorities that they trust.
pub(crate) const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// How long a connection may take to stand, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How many addresses of a name are tried.
const MOST_ADDRESSES_TRIED: usize = 8;

/// Why it can't be said whom to trust.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// There is no certificate in it that can be used.
    #[error("no authority (PEM) in it can be used")]
    NoneUsable,
    /// The system has no list.
    #[error("this system has no list of authorities that it trusts where one is looked for ({})", SYSTEM_AUTHORITIES[0])]
    NoList,
    /// TLS can't be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("{0}")]
    Unreachable(io::Error),
    /// Something takes the connection, and says nothing.
    #[error("it took the connection, and did not answer in time")]
    Silent,
    /// What answers speaks something else.
    #[error("it answers something that is not HTTP")]
    NotHttp,
    /// What answers does not speak TLS.
    #[error("it answers something that is not TLS")]
    NotTls,
    /// Something answers, whose certificate is not believed.
    #[error("{}", .0.why)]
    NotTrusted(Doubt),
    #[error("no connection within ten seconds")]
    TooLate,
}

/// A certificate that is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// What TLS says.
    pub(crate) why: String,
    pub(crate) of: DoubtOf,
}

/// What is doubted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoubtOf {
    /// Whose it is.
    Issuer,
    /// For whom: it is for other names than the one that was asked.
    Name,
    /// When: it is not good yet, or no longer.
    Time,
    /// Something else.
    Other,
}

impl From<&rustls::Error> for Doubt {
    fn from(error: &rustls::Error) -> Self {
        use rustls::{CertificateError as Bad, Error};
        let of = match error {
            Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => DoubtOf::Issuer,
            Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
                DoubtOf::Name
            }
            Error::InvalidCertificate(
                Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
            ) => DoubtOf::Time,
            _ => DoubtOf::Other,
        };
        Self { why: error.to_string(), of }
    }
}

/// A machine to ask.
#[derive(Clone)]
pub(crate) struct Machine {
    /// `None` = without TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Machine {
    /// Asks once; returns when the head of the answer is there.
    pub(crate) async fn ask(
        &self,
        request: Request<Body>,
        within: Duration,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let stream = connect(&self.host, self.port).await?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return send(stream, request, within).await };
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|error| NoAnswer::Unreachable(io::Error::other(error)))?;
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        let stream = answer_of(CONNECT_WITHIN, handshake).await?.map_err(|why| {
            match why.get_ref().and_then(|why| why.downcast_ref::<rustls::Error>()) {
                None => NoAnswer::Unreachable(why),
                Some(rustls::Error::InvalidMessage(_)) => NoAnswer::NotTls,
                Some(error) => NoAnswer::NotTrusted(error.into()),
            }
        })?;
        send(stream, request, within).await
    }
}

/// Connects to the first address of the machine that takes it.
async fn connect(host: &str, port: u16) -> Result<TcpStream, NoAnswer> {
    let found = tokio::time::timeout(CONNECT_WITHIN, lookup_host((host, port))).await;
    let found: Vec<SocketAddr> =
        found.map_err(|_| NoAnswer::TooLate)?.map_err(NoAnswer::Unreachable)?.collect();
    // As long for all of them together as for one.
    let within = CONNECT_WITHIN / u32::try_from(found.len().clamp(1, MOST_ADDRESSES_TRIED)).unwrap_or(1);
    let mut faults = Vec::new();
    for (number, address) in found.iter().enumerate() {
        if number == MOST_ADDRESSES_TRIED {
            let more = io::Error::other(format!("and {} more were not tried", found.len() - number));
            faults.push((*address, more));
            break;
        }
        match tokio::time::timeout(within, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(why)) => faults.push((*address, why)),
            Err(_) => faults.push((*address, io::ErrorKind::TimedOut.into())),
        }
    }
    Err(none_takes_it(faults))
}

/// What it comes to that none of the addresses takes a connection. It is refused where each of them refuses: another one may be
/// where the server is.
fn none_takes_it(mut faults: Vec<(SocketAddr, io::Error)>) -> NoAnswer {
    if faults.iter().all(|(_, why)| why.kind() == io::ErrorKind::TimedOut) {
        return NoAnswer::TooLate;
    }
    if faults.len() == 1 {
        return NoAnswer::Unreachable(faults.remove(0).1);
    }
    let is_refused = faults.iter().all(|(_, why)| why.kind() == io::ErrorKind::ConnectionRefused);
    let kind = if is_refused { io::ErrorKind::ConnectionRefused } else { io::ErrorKind::HostUnreachable };
    let each: Vec<String> = faults.iter().map(|(address, why)| format!("{}: {why}", address.ip())).collect();
    NoAnswer::Unreachable(io::Error::new(kind, each.join("; ")))
}

/// What comes over a connection that stands.
async fn answer_of<T>(within: Duration, of: impl Future<Output = T>) -> Result<T, NoAnswer> {
    tokio::time::timeout(within, of).await.map_err(|_| NoAnswer::Silent)
}

async fn send(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
    within: Duration,
) -> Result<Response<Incoming>, NoAnswer> {
    let failed = |error: hyper::Error| match error.is_parse() {
        true => NoAnswer::NotHttp,
        false => NoAnswer::Unreachable(io::Error::other(error)),
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // It ends with its one answer, or when that is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to another server ended early");
        }
    });
    answer_of(within, sender.send_request(request)).await?.map_err(failed)
}

/// The system's authorities, as PEM.
pub(crate) fn system_authorities() -> Result<Vec<u8>, TrustError> {
    let found = SYSTEM_AUTHORITIES.iter().find_map(|path| fs::read(path).ok());
    found.ok_or(TrustError::NoList)
}

/// The certificates (PEM) that can be used as authorities, as DER; others are left out.
pub(crate) fn usable_authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let mut all: Vec<_> = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect();
    all.retain(|one| RootCertStore::empty().add(one.clone()).is_ok());
    if all.is_empty() { Err(TrustError::NoneUsable) } else { Ok(all) }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TrustError> {
    let mut store = RootCertStore::empty();
    let (added, _) =
        store.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
    if added == 0 { Err(TrustError::NoneUsable) } else { Ok(store) }
}

/// Whether an authority (PEM) can be used.
pub(crate) fn check_authority(pem: &[u8]) -> Result<(), TrustError> {
    roots(pem).map(|_| ())
}

/// How to speak TLS with whoever has a certificate of this authority (PEM); `None` = of one that the system trusts.
pub(crate) fn tls(authority: Option<&str>) -> Result<Arc<ClientConfig>, TrustError> {
    let store = match authority {
        Some(pem) => roots(pem.as_bytes())?,
        None => roots(&system_authorities()?)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_refused_only_where_each_address_refuses() {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, TimedOut};
        for (said, is_refused) in [
            (&[ConnectionRefused][..], true),
            (&[ConnectionRefused, ConnectionRefused], true),
            (&[HostUnreachable, ConnectionRefused], false),
            (&[ConnectionRefused, HostUnreachable], false),
            (&[TimedOut, ConnectionRefused], false),
            (&[ConnectionRefused, io::ErrorKind::Other], false),
        ] {
            let faults = said
                .iter()
                .zip(1..)
                .map(|(kind, last)| (SocketAddr::from(([192, 0, 2, last], 443)), io::Error::from(*kind)));
            let NoAnswer::Unreachable(why) = none_takes_it(faults.collect()) else { panic!("{said:?}") };
            assert_eq!(why.kind() == ConnectionRefused, is_refused, "{said:?}");
            assert!(said.len() == 1 || why.to_string().contains("192.0.2.2: "), "{why}");
        }
        let late = |last| (SocketAddr::from(([192, 0, 2, last], 443)), io::Error::from(TimedOut));
        assert!(matches!(none_takes_it(vec![late(1), late(2)]), NoAnswer::TooLate));
    }
}
