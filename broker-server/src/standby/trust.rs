//! By which authority a standby knows its server, as that goes over to another one. Pure.
//!
//! A server whose pages show a certificate of its own authority gets another authority with `tls rotate`, or when the present
//! one nears its end. Its archives have both from the first step on, and came over a connection that was believed: so what the
//! server has of its own is believed in the place of what it had.

use data_encoding::BASE64;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};

/// The certificates (PEM) that a standby believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trust {
    /// What the server's certificate has to be of; `None` = what the system trusts.
    pub(super) authority: Option<String>,
    /// What a person has given with `--follow-authority`, of which that has come.
    #[serde(default)]
    given: Option<String>,
    /// The server's own authorities, by the last archive of it; empty = none came yet.
    #[serde(default)]
    of_server: String,
}

impl Trust {
    /// At a start, with what a person gives then; `before` is what was in force when this standby ended.
    pub(super) fn begin(given: Option<String>, before: Option<Self>) -> Self {
        before.filter(|before| before.given == given).unwrap_or_else(|| Self {
            authority: given.clone(),
            given,
            of_server: String::new(),
        })
    }

    /// An archive has come, of a server with these authorities of its own; `None` = nothing changes by that.
    pub(super) fn after(&self, of_server: &str) -> Option<Self> {
        let believed = certificates(self.authority.as_deref()?);
        let (had, has) = (certificates(&self.of_server), certificates(of_server));
        // One of a public or a company's authority needs the server's own for nothing.
        if has.is_empty() || had == has || !believed.iter().any(|it| had.contains(it) || has.contains(it)) {
            return None;
        }
        let others = believed.into_iter().filter(|it| !had.contains(it) && !has.contains(it));
        let authority = has.iter().cloned().chain(others).map(|it| pem(&it)).collect();
        Some(Self { authority: Some(authority), given: self.given.clone(), of_server: of_server.to_owned() })
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Certificates by their letters: they are compared, and read by nobody here.
    fn all(letters: &str) -> String {
        letters.bytes().map(|letter| pem(&CertificateDer::from(vec![letter; 99]))).collect()
    }

    fn letters(trust: &Trust) -> String {
        let authority = trust.authority.as_deref().unwrap_or_default();
        certificates(authority).iter().map(|it| char::from(it[0])).collect()
    }

    #[test]
    fn what_the_server_goes_over_to_is_believed_in_the_place_of_what_it_had() {
        let mut trust = Trust::begin(Some(all("a")), None);
        // What has come, and what is believed then; nothing = as before.
        for (comes, believed) in [
            ("a", Some("a")),
            ("a", None),
            ("ab", Some("ab")),
            ("b", Some("b")),
            ("", None),
            ("bc", Some("bc")),
            ("c", Some("c")),
            // Of one that was forced nobody could tell beforehand.
            ("d", Some("d")),
        ] {
            let after = trust.after(&all(comes));
            assert_eq!(after.as_ref().map(letters).as_deref(), believed, "{comes}");
            trust = after.unwrap_or(trust);
        }
        // A start with the same file goes on with what has come; another file is a person's word.
        assert_eq!(letters(&Trust::begin(Some(all("a")), Some(trust.clone()))), "d");
        assert_eq!(letters(&Trust::begin(Some(all("e")), Some(trust.clone()))), "e");
        assert_eq!(Trust::begin(None, Some(trust)).authority, None);
    }

    #[test]
    fn what_is_not_the_servers_own_stays_as_it_was_given() {
        let of_company = Trust::begin(Some(all("z")), None);
        assert_eq!(of_company.after(&all("ab")), None);
        assert_eq!(Trust::begin(None, None).after(&all("ab")), None, "what the system trusts");
        let both = Trust::begin(Some(all("za")), None).after(&all("ab")).unwrap();
        assert_eq!(letters(&both), "abz");
        assert_eq!(letters(&both.after(&all("b")).unwrap()), "bz");
    }

    #[test]
    fn what_an_older_program_has_kept_is_read() {
        let kept = serde_json::json!({ "authority": all("a") });
        let kept: Trust = serde_json::from_value(kept).unwrap();
        assert_eq!(letters(&Trust::begin(Some(all("a")), Some(kept))), "a");
    }
}
