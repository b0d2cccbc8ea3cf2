//! The fuzz corpus, replayed.

use crate::{fuzz, samples};
use std::{fs, path::PathBuf};

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect()
}

#[test]
fn every_corpus_file_passes_its_target() {
    for (name, target) in fuzz::TARGETS {
        let folder = folder(name);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut replayed = 0;
        for file in files {
            let path = file.expect("a readable folder").path();
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                panic!("{} fails", path.display());
            }
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", folder.display());
    }
}

/// The samples are the seeds of the corpus: with `HOLDFAST_WRITE_CORPUS=1` they are written there.
#[test]
fn the_corpus_begins_with_the_samples() {
    for (target, bytes) in samples::seeds() {
        let name: String = fingerprint(&bytes);
        let path = folder(target).join(name);
        if std::env::var_os("HOLDFAST_WRITE_CORPUS").is_some() {
            fs::create_dir_all(folder(target)).expect("a folder for the corpus");
            fs::write(&path, &bytes).expect("a corpus file");
        }
        assert!(path.is_file(), "{} is missing: run once with HOLDFAST_WRITE_CORPUS=1", path.display());
    }
}

/// A short name that depends on the bytes alone (FNV-1a).
fn fingerprint(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
