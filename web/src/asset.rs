//! What stands beside the pages: stylesheet, icons, scripts. Embedded, and addressed by their content, so that a
//! browser may keep them for a year.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Response, StatusCode, header};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const ASSETS: [Asset; 5] = [
    Asset {
        name: "holdfast.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../assets/holdfast.css"),
    },
    Asset { name: "icons.svg", kind: "image/svg+xml", bytes: include_bytes!("../assets/icons.svg") },
    Asset { name: "favicon.svg", kind: "image/svg+xml", bytes: include_bytes!("../assets/favicon.svg") },
    Asset {
        name: "htmx.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../assets/vendor/htmx.min.js"),
    },
    Asset {
        name: "app.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../assets/app.js"),
    },
];

/// The first 12 digits of each asset's SHA-256.
static VERSIONS: LazyLock<Vec<String>> =
    LazyLock::new(|| ASSETS.iter().map(|asset| HEXLOWER.encode(&Sha256::digest(asset.bytes)[..6])).collect());

/// The address of an asset; `None` when there is none of that name.
pub(crate) fn address(name: &str) -> Option<String> {
    let at = ASSETS.iter().position(|asset| asset.name == name)?;
    Some(format!("/static/{}/{name}", VERSIONS[at]))
}

/// `GET /static/{version}/{name}`.
pub(crate) async fn serve(Path((version, name)): Path<(String, String)>) -> Response<Body> {
    let Some(at) = ASSETS.iter().position(|asset| asset.name == name) else {
        return crate::problem::Problem::not_found("There is no such file.").into();
    };
    // An old page may ask for an old version: it gets the present one, but may not keep it.
    let keep = if VERSIONS[at] == version { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = Response::new(Body::from(ASSETS[at].bytes));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(ASSETS[at].kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}
