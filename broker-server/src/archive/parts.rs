//! What belongs into an archive beside the data file.

use crate::{
    config::{Config, Setting},
    tls::OperatorFiles,
};
use fleet::{ArchivePart, Beside};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A certificate that was brought: what it is called in words, and both files in an archive.
struct Brought<'a> {
    of: &'static str,
    names: [&'static str; 2],
    settings: [&'a Setting<Option<PathBuf>>; 2],
}

/// The authority of a server that does not run, as it is on disk. Without it there is none.
pub(super) fn authority_on_disk(config: &Config) -> Result<Vec<ArchivePart>, String> {
    let data_dir = &config.data_dir.value;
    let next = ["tls/next.pem", "tls/next.key"];
    let has_next = next.iter().all(|name| data_dir.join(name).exists());
    let names = ["tls/ca.pem", "tls/ca.key"].into_iter().chain(next.into_iter().filter(|_| has_next));
    names.map(|name| read(name, &data_dir.join(name))).collect()
}

/// What a server with these settings and this authority is beside its data file and its master key. Certificates that were brought
/// can be brought again, so that an archive goes without one that can't be read or used, and says so.
pub(super) fn beside(config: &Config, authority: Vec<ArchivePart>) -> Beside {
    let mut beside = Beside::default();
    let mut settings = config.given();
    for brought in [
        Brought {
            of: "the certificate and key that viewers see (--tls-certificate)",
            names: ["brought/certificate.pem", "brought/key.pem"],
            settings: [&config.tls_certificate, &config.tls_key],
        },
        Brought {
            of: "the certificate and key of the pages (--http-tls-certificate)",
            names: ["brought/pages-certificate.pem", "brought/pages-key.pem"],
            settings: [&config.http_tls_certificate, &config.http_tls_key],
        },
    ] {
        let [Some(certificate), Some(key)] = brought.settings.map(|setting| setting.value.as_ref()) else {
            continue;
        };
        match pair(brought.names, certificate, key) {
            Ok(pair) => beside.parts.extend(pair),
            Err(why) => {
                beside.lacks.push(format!("{}: {why}", brought.of));
                // The pages of a server that is made of it are not without TLS for that.
                if brought.names.contains(&"brought/pages-key.pem") {
                    settings.insert("http_tls".to_owned(), true.into());
                }
            }
        }
    }
    beside.parts.extend(authority);
    let lacks =
        beside.lacks.iter().map(|what| format!("# Not in this archive: {}\n", what.replace('\n', " ")));
    let settings = (lacks.collect::<String>() + &settings.to_string()).into_bytes();
    beside.parts.push(ArchivePart { name: "settings.toml", bytes: Zeroizing::new(settings) });
    beside
}

/// A certificate and its key, when they are fit to be used.
fn pair(names: [&'static str; 2], certificate: &Path, key: &Path) -> Result<[ArchivePart; 2], String> {
    let files = OperatorFiles { certificate: certificate.to_owned(), key: key.to_owned() };
    files.check().map_err(|why| format!("{:#}", anyhow::Error::new(why)))?;
    Ok([read(names[0], certificate)?, read(names[1], key)?])
}

fn read(name: &'static str, path: &Path) -> Result<ArchivePart, String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(ArchivePart { name, bytes: Zeroizing::new(bytes) }),
        Err(why) => Err(format!("{}: {why}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layer, Layers};
    use std::fs;

    fn config(data_dir: &Path, has_pages: bool) -> Config {
        let file = |name: &str| has_pages.then(|| data_dir.join(name));
        let flags = Layer {
            data_dir: Some(data_dir.to_owned()),
            http_tls_certificate: file("pages.pem"),
            http_tls_key: file("pages.key"),
            ..Layer::default()
        };
        Layers { flags, ..Layers::default() }.resolve().unwrap()
    }

    fn names(beside: &Beside) -> Vec<&'static str> {
        beside.parts.iter().map(|part| part.name).collect()
    }

    #[test]
    fn an_archive_goes_without_a_certificate_that_can_be_brought_again_and_not_without_the_authority() {
        let folder = tempfile::tempdir().unwrap();
        let authority = |name: &str| folder.path().join("tls").join(name);
        let beside = |config: &Config| Ok::<_, String>(beside(config, authority_on_disk(config)?));
        assert!(beside(&config(folder.path(), false)).is_err(), "no authority");
        fs::create_dir(folder.path().join("tls")).unwrap();
        for name in ["ca.pem", "ca.key"] {
            fs::write(authority(name), "pem").unwrap();
        }
        let own = ["tls/ca.pem", "tls/ca.key", "settings.toml"];
        let whole = beside(&config(folder.path(), false)).unwrap();
        assert_eq!((names(&whole), whole.lacks.len()), (own.to_vec(), 0));
        for half in ["", "pages.key", "pages.pem"] {
            if !half.is_empty() {
                fs::write(folder.path().join(half), "junk").unwrap();
            }
            let without = beside(&config(folder.path(), true)).unwrap();
            assert_eq!(names(&without), own);
            let [lacks] = &without.lacks[..] else { panic!("{:?}", without.lacks) };
            assert!(
                lacks.starts_with("the certificate and key of the pages") && lacks.contains("pages."),
                "{lacks}"
            );
            let settings = String::from_utf8(without.parts[2].bytes.to_vec()).unwrap();
            assert!(
                settings.starts_with("# Not in this archive: the certificate and key of the pages"),
                "{settings}"
            );
            // It can be read, and its pages are not without TLS.
            fs::write(folder.path().join("settings.toml"), &settings).unwrap();
            let file = Layer::from_file(&folder.path().join("settings.toml")).unwrap();
            assert_eq!(file.http_tls, Some(true));
        }
        fs::remove_file(authority("ca.key")).unwrap();
        assert!(beside(&config(folder.path(), true)).err().unwrap().contains("ca.key"));
    }
}
