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
    match (&config.tls_certificate.value, &config.tls_key.value) {
        (Some(certificate), Some(key)) => {
            parts.push(read("brought/certificate.pem", certificate)?);
            parts.push(read("brought/key.pem", key)?);
        }
        _ => {
            for name in ["tls/ca.pem", "tls/ca.key"] {
                parts.push(read(name, &config.data_dir.value.join(name))?);
            }
        }
    }
    let settings = config.given().to_string().into_bytes();
    parts.push(ArchivePart { name: "settings.toml", bytes: Zeroizing::new(settings) });
    Ok(parts)
}
