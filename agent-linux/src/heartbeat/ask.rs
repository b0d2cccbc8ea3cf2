//! Asks an address once, by HTTP/1.1: no redirect is followed, and of the answer its status is read, for ten seconds in all.

use super::{address::Address, error::AskError, source::Source};
use crate::{platform::VERSION, tls};
use rumqttc::tokio_rustls::TlsConnector;
use rustls::Error as TlsError;
use rustls_pki_types::ServerName;
use std::{io, path::Path, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

const WITHIN: Duration = Duration::from_secs(10);
/// The longest first line of an answer, in bytes.
const LONGEST_LINE: usize = 512;
/// The largest file of an address, in bytes.
const LARGEST_FILE: u64 = 4_096;
/// Where systems keep the authorities that they trust.
const AUTHORITIES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/opt/etc/ssl/certs/ca-certificates.crt",
];

/// Asks it.
///
/// # Errors
/// When it was not taken.
pub async fn ask(source: Source, ca: Option<PathBuf>) -> Result<(), AskError> {
    tokio::time::timeout(WITHIN, asked(&source, ca.as_deref())).await.unwrap_or(Err(AskError::TooSlow))
}

async fn asked(source: &Source, ca: Option<&Path>) -> Result<(), AskError> {
    let address = match source {
        Source::Given(text) => Address::read(text)?,
        Source::File(path) => {
            let is_small = std::fs::metadata(path).is_ok_and(|seen| seen.len() <= LARGEST_FILE);
            let text = std::fs::read_to_string(path).ok().filter(|_| is_small).ok_or(AskError::File)?;
            Address::read(&text)?
        }
    };
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = stream.map_err(|_| AskError::Unreachable)?;
    if !address.is_tls {
        return request(stream, &address).await;
    }
    let config = tls::by_authorities(&authorities(ca)?).map_err(|_| AskError::Authorities)?;
    let name = ServerName::try_from(address.host.clone()).map_err(|_| AskError::Address)?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| why(&error))?;
    request(stream, &address).await
}

fn authorities(ca: Option<&Path>) -> Result<String, AskError> {
    let found = match ca {
        Some(path) => std::fs::read_to_string(path).ok(),
        None => AUTHORITIES.iter().find_map(|path| std::fs::read_to_string(path).ok()),
    };
    found.ok_or(AskError::Authorities)
}

fn why(error: &io::Error) -> AskError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(_)) => AskError::Untrusted,
        _ => AskError::Unreachable,
    }
}

async fn request(mut stream: impl AsyncRead + AsyncWrite + Unpin, address: &Address) -> Result<(), AskError> {
    let text = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: holdfast-agent/{VERSION}\r\nConnection: close\r\n\r\n",
        address.path, address.authority
    );
    stream.write_all(text.as_bytes()).await.map_err(|_| AskError::Unreachable)?;
    stream.flush().await.map_err(|_| AskError::Unreachable)?;
    let mut line = Vec::with_capacity(LONGEST_LINE);
    while !line.contains(&b'\n') && line.len() < LONGEST_LINE {
        let mut piece = [0; LONGEST_LINE];
        let read = stream.read(&mut piece).await.map_err(|_| AskError::Unreachable)?;
        if read == 0 {
            break;
        }
        line.extend_from_slice(&piece[..read]);
    }
    match status(&line).ok_or(AskError::NotHttp)? {
        200..=299 => Ok(()),
        status @ 300..=399 => Err(AskError::Redirect(status)),
        status => Err(AskError::Status(status)),
    }
}

/// The status of an answer that begins so.
fn status(begin: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(begin.split(|byte| *byte == b'\n').next()?).ok()?;
    let mut words = line.split_whitespace();
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok().filter(|status| (100..600).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_stands_in_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\nA: b\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 404\n"), Some(404));
        for wrong in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n", b"HTTP/1.1 99\r\n", b"\xff\xfe"] {
            assert_eq!(status(wrong), None);
        }
    }
}
