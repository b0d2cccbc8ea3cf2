//! What the headers of a request say: its cookies, which site sends it, whether a plain form comes with it.

use axum::http::{HeaderMap, Uri, header};

/// The value of a cookie.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

/// Browsers say where a request comes from: another site may not write here, signed in or not.
pub(crate) fn is_same_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .parse::<Uri>()
            .is_ok_and(|origin| origin.authority().is_some_and(|authority| authority.as_str() == host)),
        (Some(_), None) => false,
    }
}

/// Whether the body is a plain form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|kind| {
        kind.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn another_site_is_told_by_its_headers() {
        for (pairs, same) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("origin", "https://fleet.lan"), ("host", "fleet.lan")], true),
            (&[("origin", "http://fleet.lan:8080"), ("host", "fleet.lan:8080")], true),
            (&[("origin", "https://evil.example"), ("host", "fleet.lan")], false),
            (&[("origin", "null"), ("host", "fleet.lan")], false),
            (&[("origin", "https://fleet.lan")], false),
        ] {
            assert_eq!(is_same_site(&headers(pairs)), same, "{pairs:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = headers(&[("cookie", "a=1; holdfast=x=y ;b=2")]);
        assert_eq!(cookie(&headers, "holdfast").as_deref(), Some("x=y"));
        assert_eq!(cookie(&headers, "hold"), None);
    }
}
