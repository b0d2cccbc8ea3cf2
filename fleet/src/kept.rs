//! A data file of each format is kept, row by row, and read again: what stands in it must mean the same for ever.
//!
//! `fleet/tests/files/format-N.rows` is what such a file holds, in hex, and `format-N.words` what its rows say. A test of
//! `fleet/tests/it/kept_file.rs` makes the rows of the newest format; the words are written by
//! `HOLDFAST_WRITE_GOLDENS=1` here. When this fails: fix the code, or bring the format forward, with a migration, and keep
//! a file of the new format beside the old ones.

use crate::store::{Begins, NAMES, Store, format, rows_in_words};
use data_encoding::HEXLOWER;
use redb::{Database, TableDefinition};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Formats of which a file is kept, oldest first.
const KEPT: &[u32] = &[3];

fn path(format: u32, what: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/files/format-{format}.{what}"))
}

/// Makes the file again.
fn make(file: &Path, rows: &str) {
    let database = Database::create(file).unwrap();
    let txn = database.begin_write().unwrap();
    for line in rows.lines() {
        let mut words = line.split(' ');
        let [table, key, row] = std::array::from_fn(|_| words.next().unwrap());
        let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
        let bytes = |hex: &str| HEXLOWER.decode(hex.as_bytes()).unwrap();
        let mut table = txn.open_table(definition).unwrap();
        table.insert(bytes(key).as_slice(), bytes(row).as_slice()).unwrap();
    }
    txn.commit().unwrap();
}

#[test]
fn a_file_of_each_format_says_what_it_always_said() {
    assert_eq!(KEPT.last(), Some(&format::FORMAT), "keep a file of the new format, too");
    for format in KEPT {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kept.redb");
        make(&file, &std::fs::read_to_string(path(*format, "rows")).unwrap());
        let store = Store::open(&file, Begins::Kept, Box::new(|_, _| {}), |_| Ok(())).unwrap();
        let rows = rows_in_words(&store.read().unwrap()).unwrap();
        let seen: BTreeSet<&str> = rows.iter().map(|(table, _)| *table).collect();
        let missing: Vec<_> = NAMES.into_iter().filter(|name| !seen.contains(name)).collect();
        assert!(missing.is_empty(), "no row of {missing:?} is kept");
        let mut said = String::new();
        for (table, words) in rows {
            writeln!(said, "{table} {words}").unwrap();
        }
        let words = path(*format, "words");
        if std::env::var_os("HOLDFAST_WRITE_GOLDENS").is_some() {
            std::fs::write(&words, &said).unwrap();
        }
        let kept = std::fs::read_to_string(&words).unwrap();
        for (said, kept) in said.lines().zip(kept.lines()) {
            assert_eq!(said, kept, "format {format}");
        }
        assert_eq!(said.lines().count(), kept.lines().count(), "format {format}");
    }
}
