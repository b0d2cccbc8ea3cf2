//! Which certificates the settings ask for, and what the page of the settings shows of them.

use crate::{
    clock,
    config::Config,
    platform,
    tls::{OperatorFiles, Options, Tls},
};
use anyhow::Context;
use fleet::Stand;
use schema::address;
use std::sync::Arc;
use web::Certificate;

/// The server's own certificate names what agents dial, this machine, and what the settings add.
pub(crate) fn options_for_agents(config: &Config, stand: Stand) -> Options {
    let mut names = names_of(config.mqtt_public.value.iter().map(String::as_str));
    names.push(platform::hostname());
    names.extend(config.tls_names.value.iter().cloned());
    let mut bound = vec![config.mqtt.value.ip()];
    if config.http_tls.value {
        names.push(host_of(&config.public_url.value).to_owned());
        bound.push(config.http.value.ip());
    }
    names.extend(
        bound.into_iter().filter(|address| !address.is_unspecified()).map(|address| address.to_string()),
    );
    names.retain(|name| !name.is_empty());
    let operator = match (&config.tls_certificate.value, &config.tls_key.value) {
        (Some(certificate), Some(key)) => {
            Some(OperatorFiles { certificate: certificate.clone(), key: key.clone() })
        }
        _ => None,
    };
    Options {
        folder: config.data_dir.value.join(fleet::AUTHORITY_FOLDER),
        is_new: stand != Stand::Whole,
        is_accepted: stand == Stand::OtherAuthority,
        names,
        operator,
        is_for_pages: false,
    }
}

/// The names of machines in addresses.
pub(crate) fn names_of<'a>(addresses: impl Iterator<Item = &'a str>) -> Vec<String> {
    addresses.filter_map(address::split).map(|(host, _)| host.to_owned()).collect()
}

/// The certificate of the pages: one of their own, or that of the agents; `None` = they go without TLS.
pub(crate) fn open_for_pages(config: &Config, agents: &Arc<Tls>) -> anyhow::Result<Option<Arc<Tls>>> {
    match options_for_pages(config) {
        Some(options) => {
            Ok(Some(Arc::new(Tls::open(options, clock::now()).context("certificate of the pages")?)))
        }
        None => Ok(config.http_tls.value.then(|| Arc::clone(agents))),
    }
}

pub(crate) fn options_for_pages(config: &Config) -> Option<Options> {
    let certificate = config.http_tls_certificate.value.clone()?;
    let operator = OperatorFiles { certificate, key: config.http_tls_key.value.clone()? };
    Some(Options { operator: Some(operator), is_for_pages: true, ..Options::default() })
}

/// What the settings show of the certificates.
pub(crate) fn shown(
    config: &Config,
    tls: &Arc<Tls>,
    pages_tls: Option<&Arc<Tls>>,
) -> Arc<dyn Fn() -> Vec<Certificate> + Send + Sync> {
    const BROUGHT: &str = "renewed by whoever brings the files";
    let (tls, is_own) = (Arc::clone(tls), config.tls_certificate.value.is_none());
    let pages = pages_tls.filter(|pages| !Arc::ptr_eq(pages, &tls)).cloned();
    Arc::new(move || {
        let renewed = if is_own { "renewed by itself" } else { BROUGHT };
        let mut all = vec![Certificate { of: "Certificate", ends_at: tls.expires_at(), renewed }];
        let renewed = "enrolled agents trust it; replaced by itself before its end";
        all.push(Certificate { of: "Authority", ends_at: tls.authority_expires_at(), renewed });
        let pages = pages.as_ref().map(|pages| pages.expires_at());
        all.extend(pages.map(|ends_at| Certificate {
            of: "Certificate of the pages",
            ends_at,
            renewed: BROUGHT,
        }));
        all
    })
}

/// The name or address in a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_in_a_url_is_found() {
        for (url, host) in [
            ("https://fleet.lan", "fleet.lan"),
            ("https://fleet.lan:8443/path", "fleet.lan"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
            ("https://192.0.2.1?x=:1", "192.0.2.1"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
