//! What belongs into an archive beside the data file.

use crate::config::Config;
use fleet::ArchivePart;
use std::path::Path;
use zeroize::Zeroizing;

/// What a server with these settings is beside its data file and its master key.
pub(super) fn parts(config: &Config) -> Result<Vec<ArchivePart>, String> {
    let read = |name, path: &Path| match std::fs::read(path) {
        Ok(bytes) => Ok(ArchivePart { name, bytes: Zeroizing::new(bytes) }),
        Err(why) => Err(format!("{}: {why}", path.display())),
    };
    let mut parts = Vec::new();
    for (name, setting) in [
        ("brought/certificate.pem", &config.tls_certificate),
        ("brought/key.pem", &config.tls_key),
        ("brought/pages-certificate.pem", &config.http_tls_certificate),
        ("brought/pages-key.pem", &config.http_tls_key),
    ] {
        if let Some(path) = &setting.value {
            parts.push(read(name, path)?);
        }
    }
    let data_dir = &config.data_dir.value;
    for name in ["tls/ca.pem", "tls/ca.key"] {
        parts.push(read(name, &data_dir.join(name))?);
    }
    let next = ["tls/next.pem", "tls/next.key"];
    if next.iter().all(|name| data_dir.join(name).exists()) {
        for name in next {
            parts.push(read(name, &data_dir.join(name))?);
        }
    }
    let settings = config.given().to_string().into_bytes();
    parts.push(ArchivePart { name: "settings.toml", bytes: Zeroizing::new(settings) });
    Ok(parts)
}
