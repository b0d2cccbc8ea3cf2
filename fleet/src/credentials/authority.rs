//! Certificates of authorities for a storage, as people paste them: PEM, one or a few.

use crate::refused::Refused;
use data_encoding::{BASE64, HEXLOWER};
use schema::limits::MAX_CA_BYTES;
use sha2::{Digest as _, Sha256};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Whether the storage of this address speaks TLS, as far as the address says.
pub(super) fn is_used(url: &str) -> bool {
    url.starts_with("rest:https://") || (url.starts_with("s3:") && !url.starts_with("s3:http://"))
}

/// The certificates alone, without what stands around them; empty stays empty.
pub(super) fn read(text: &str, url: &str) -> Result<String, Refused> {
    let refuse = |why: &str| Err(Refused::invalid("ca", why));
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    if text.contains("PRIVATE KEY-----") {
        return refuse(
            "this holds a private key: give the certificate of the authority alone, and make a new key",
        );
    }
    let Some(ders) = ders(text) else {
        return refuse(
            "give the certificate of the authority in PEM: from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
        );
    };
    if !is_used(url) {
        return refuse(
            "an authority is for addresses with https, and this one has none: write https, also when the storage leads on \
             from http to it",
        );
    }
    let text: String = ders.iter().map(|der| pem(der)).collect();
    if text.len() > MAX_CA_BYTES {
        return refuse("these are too many certificates: give those of the storage's own authority alone");
    }
    Ok(text)
}

/// The SHA-256 fingerprints of stored certificates.
pub(crate) fn fingerprints(text: &str) -> Vec<String> {
    let ders = ders(text).unwrap_or_default();
    ders.iter().map(|der| HEXLOWER.encode(&Sha256::digest(der))).collect()
}

/// What is between the lines; `None` = nothing, or something that is no certificate.
fn ders(text: &str) -> Option<Vec<Vec<u8>>> {
    let (mut ders, mut rest) = (Vec::new(), text);
    while let Some((_, behind)) = rest.split_once(BEGIN) {
        let (inner, behind) = behind.split_once(END)?;
        let plain: String = inner.chars().filter(|c| !c.is_whitespace()).collect();
        let der = BASE64.decode(plain.as_bytes()).ok()?;
        // A sequence, and nothing behind it.
        let length = match der.as_slice() {
            [0x30, 0x81, length, content @ ..] => (usize::from(*length), content.len()),
            [0x30, 0x82, high, low, content @ ..] => {
                (usize::from(*high) * 256 + usize::from(*low), content.len())
            }
            _ => return None,
        };
        if length.0 != length.1 {
            return None;
        }
        ders.push(der);
        rest = behind;
    }
    (!ders.is_empty()).then_some(ders)
}

fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut lines = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        lines.push_str(line);
        lines.push('\n');
        rest = behind;
    }
    format!("{BEGIN}\n{lines}{END}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "rest:https://nas:8000/";

    fn certificate(fill: u8) -> String {
        let mut der = vec![0x30, 0x82, 0x01, 0x2c];
        der.resize(304, fill);
        pem(&der)
    }

    #[test]
    fn certificates_are_kept_without_what_stands_around_them() {
        let (one, two) = (certificate(1), certificate(2));
        let pasted = format!("subject=my ca\r\n{}\nissuer=x\n{two}", one.replace('\n', "\r\n"));
        assert_eq!(read(&pasted, URL).unwrap(), format!("{one}{two}"));
        assert_eq!(read(" \n", URL).unwrap(), "");
        assert_eq!(read("", "/srv/repo").unwrap(), "");
        let prints = fingerprints(&format!("{one}{two}"));
        assert!(prints.len() == 2 && prints[0] != prints[1] && prints[0].len() == 64);
        assert_eq!(fingerprints(""), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_the_reason() {
        let good = certificate(1);
        let key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        for (text, url, word) in [
            ("hello", URL, "PEM"),
            (&good[..good.len() - 30], URL, "PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", URL, "PEM"),
            (&good.replace("AQEB", "AQE"), URL, "PEM"),
            (&format!("{good}{key}"), URL, "private key"),
            (&good, "rest:http://nas:8000/", "https"),
            (&good, "/srv/repo", "https"),
            (&good, "s3:http://minio/b", "https"),
            (&good.repeat(50), URL, "too many"),
        ] {
            let refused = read(text, url).unwrap_err();
            assert_eq!(refused.field(), Some("ca"));
            assert!(refused.to_string().contains(word), "{word}: {refused}");
        }
        assert!(read(&good, "s3:minio:9000/b").is_ok());
        let mut small = vec![0x30, 0x81, 200];
        small.resize(203, 7);
        assert!(read(&pem(&small), URL).is_ok());
    }
}
