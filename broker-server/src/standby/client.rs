//! Asking another server's pages, over TLS.
//!
//! One request a connection. Whom to trust is said by a file with an authority, or it is what the system trusts. Without TLS
//! only this machine itself is asked, unless somebody has said that another one may be.

pub(super) use crate::outwards::NoAnswer;
use crate::outwards::{Machine, SYSTEM_AUTHORITIES, TrustError, check_authority, tls};
use axum::body::Body;
use axum::http::{Request, Response, Uri, header, uri::Scheme};
use hyper::body::Incoming;
use std::{fs, io, net::IpAddr, path::Path, time::Duration};

/// Whom to ask, and how that one is known.
#[derive(Clone)]
pub(super) struct Client {
    machine: Machine,
    /// Whether somebody has named the authority of its certificate.
    pub(super) names_authority: bool,
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
    Tls(rustls::Error),
}

impl From<TrustError> for ClientError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::NoneUsable => Self::Authority("the list of authorities".to_owned()),
            TrustError::NoList => Self::NoAuthorities,
            TrustError::Tls(error) => Self::Tls(error),
        }
    }
}

/// The text of a file with an authority.
pub(super) fn read_authority(path: &Path) -> Result<String, ClientError> {
    let named = || path.display().to_string();
    let text = fs::read_to_string(path).map_err(|why| ClientError::File(named(), why))?;
    check_authority(text.as_bytes()).map_err(|_| ClientError::Authority(named())).map(|()| text)
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
        let tls = if is_tls { Some(tls(authority)?) } else { None };
        let port = of_url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self {
            machine: Machine { tls, host, port },
            names_authority: authority.is_some(),
            authority: of_url.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
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
        self.machine.ask(request, within).await
    }
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
        assert_eq!(
            (client.machine.host.as_str(), client.machine.port, client.prefix.as_str()),
            ("::1", 8080, "/fleet")
        );
        assert!(Client::new("https://holdfast.example", Some("no PEM"), false).is_err());
    }
}
