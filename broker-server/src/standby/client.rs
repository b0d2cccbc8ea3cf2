//! Asking another server's pages, over TLS.
//!
//! One request a connection. Whom to trust is said by a file with an authority, or it is what the system trusts. Without TLS
//! only this machine itself is asked, unless somebody has said that another one may be.

use axum::body::Body;
use axum::http::{Request, Response, Uri, header, uri::Scheme};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{fs, io, net::IpAddr, path::Path, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// How long a connection may take to stand, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Whom to ask, and how that one is known.
#[derive(Clone)]
pub(super) struct Client {
    tls: Option<Arc<ClientConfig>>,
    /// Whether somebody has named the authority of its certificate.
    names_authority: bool,
    host: String,
    port: u16,
    /// `host:port` as the URL has it.
    authority: String,
    /// What stands before each path.
    prefix: String,
}

/// Why somebody can't be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0:?} is no address of a server's pages, such as https://holdfast.example:8443")]
    Url(String),
    #[error(
        "{0} is another machine, and without TLS whoever is on the way sees the token and may alter what comes: use https://, or say \
         --follow-plain where that is protected otherwise"
    )]
    Plain(String),
    #[error("{0}: no authority (PEM) in it can be used")]
    Authority(String),
    #[error("{0}: {1}")]
    File(String, io::Error),
    #[error(
        "this system has no list of authorities that it trusts where one is looked for ({}): name the server's own with --follow-authority",
        SYSTEM_AUTHORITIES[0]
    )]
    NoAuthorities,
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
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
pub(super) struct Doubt {
    /// What TLS says.
    pub(super) why: String,
    pub(super) reason: Reason,
}

/// Why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is of an authority that this system does not trust, and none was named.
    NoAuthority,
    /// It is of another authority than the one that was named.
    OtherAuthority,
    /// It is for other names than the URL's.
    Name,
    /// It is not good yet, or no longer.
    Time,
    /// Something else.
    Other,
}

impl Reason {
    fn of(error: &rustls::Error, has_authority: bool) -> Self {
        use rustls::{CertificateError as Bad, Error};
        match error {
            Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) if has_authority => {
                Self::OtherAuthority
            }
            Error::InvalidCertificate(Bad::UnknownIssuer) => Self::NoAuthority,
            Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
                Self::Name
            }
            Error::InvalidCertificate(
                Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
            ) => Self::Time,
            _ => Self::Other,
        }
    }

    /// What is to be done.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::NoAuthority => {
                "name the authority of its certificate with --follow-authority (the server's own is its tls/ca.pem)"
            }
            Self::OtherAuthority => {
                "it is of another authority than --follow-authority names. Where the server has another one now, give that file \
                 anew (the server's own is its tls/ca.pem)"
            }
            Self::Name => {
                "follow it by a name that is in its certificate, or have this one put in there (the server's --tls-name)"
            }
            Self::Time => "look at the clocks of both machines, and at the server's certificate",
            Self::Other => "look where the URL leads, and at the log there",
        }
    }
}

/// The system's authorities, as PEM.
fn system_authorities() -> Result<Vec<u8>, ClientError> {
    let found = SYSTEM_AUTHORITIES.iter().find_map(|path| fs::read(path).ok());
    found.ok_or(ClientError::NoAuthorities)
}

/// The text of a file with an authority.
pub(super) fn read_authority(path: &Path) -> Result<String, ClientError> {
    let named = || path.display().to_string();
    let text = fs::read_to_string(path).map_err(|why| ClientError::File(named(), why))?;
    roots(text.as_bytes()).map_err(|_| ClientError::Authority(named())).map(|_| text)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, ClientError> {
    let mut store = RootCertStore::empty();
    let (added, _) =
        store.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
    if added == 0 { Err(ClientError::Authority("the list of authorities".to_owned())) } else { Ok(store) }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

impl Client {
    /// For the server whose pages are at `url`. `authority` is what its certificate has to be of, PEM; `None` = what this
    /// system trusts.
    pub(super) fn new(url: &str, authority: Option<&str>, may_be_plain: bool) -> Result<Self, ClientError> {
        let bad = || ClientError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(bad()),
        };
        let of_url = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or_else(bad)?;
        let host = of_url.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || uri.query().is_some() {
            return Err(bad());
        }
        if !is_tls && !may_be_plain && !is_this_machine(&host) {
            return Err(ClientError::Plain(url.to_owned()));
        }
        let tls = if is_tls { Some(Arc::new(config(authority)?)) } else { None };
        Ok(Self {
            tls,
            names_authority: authority.is_some(),
            port: of_url.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: of_url.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            host,
        })
    }

    /// Asks once; returns when the head of the answer is there.
    pub(super) async fn ask(
        &self,
        mut request: Request<Body>,
        within: Duration,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let path = format!("{}{}", self.prefix, request.uri());
        *request.uri_mut() = path.parse().map_err(|error| NoAnswer::Unreachable(io::Error::other(error)))?;
        if let Ok(host) = self.authority.parse() {
            request.headers_mut().insert(header::HOST, host);
        }
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let connected = tokio::time::timeout(CONNECT_WITHIN, connecting).await;
        let stream = connected.map_err(|_| NoAnswer::TooLate)?.map_err(NoAnswer::Unreachable)?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return send(stream, request, within).await };
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|error| NoAnswer::Unreachable(io::Error::other(error)))?;
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        let stream = answer_of(CONNECT_WITHIN, handshake).await?.map_err(|why| {
            match why.get_ref().and_then(|why| why.downcast_ref::<rustls::Error>()) {
                None => NoAnswer::Unreachable(why),
                Some(rustls::Error::InvalidMessage(_)) => NoAnswer::NotTls,
                Some(error) => {
                    let reason = Reason::of(error, self.names_authority);
                    NoAnswer::NotTrusted(Doubt { why: error.to_string(), reason })
                }
            }
        })?;
        send(stream, request, within).await
    }
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

fn config(authority: Option<&str>) -> Result<ClientConfig, ClientError> {
    let store = match authority {
        Some(pem) => roots(pem.as_bytes())?,
        None => roots(&system_authorities()?)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls_unless_somebody_says_so() {
        for (url, plain, is_fine) in [
            ("http://127.0.0.1:8080", false, true),
            ("http://[::1]:8080/", false, true),
            ("http://localhost", false, true),
            ("http://192.0.2.7:8080", false, false),
            ("http://holdfast.example", false, false),
            ("http://127.0.0.1.example", false, false),
            ("http://127.0.0.1@holdfast.example", true, false),
            ("http://holdfast.example", true, true),
            ("ftp://127.0.0.1", true, false),
            ("127.0.0.1:8080", true, false),
            ("http://127.0.0.1/?x", true, false),
            ("", true, false),
        ] {
            assert_eq!(Client::new(url, None, plain).is_ok(), is_fine, "{url}");
        }
        let client = Client::new("http://[::1]:8080/fleet/", None, false).unwrap();
        assert_eq!((client.host.as_str(), client.port, client.prefix.as_str()), ("::1", 8080, "/fleet"));
        assert!(Client::new("https://holdfast.example", Some("no PEM"), false).is_err());
    }
}
