//! A data file of each format is kept, row by row, and read again: what stands in it must mean the same for ever.
//!
//! `fleet/tests/files/format-N.rows` is what such a file holds, in hex, and `format-N.words` what its rows say. A test of
//! `fleet/tests/it/kept_file.rs` makes the rows of the newest format; the words are written by
//! `HOLDFAST_WRITE_GOLDENS=1` here. When this fails: fix the code, or bring the format forward, with a migration, and keep
//! a file of the new format beside the old ones.

use crate::store::{Begins, HOST_JOBS, HOSTS, NAMES, Reads as _, Span, Store, file_format, rows_in_words};
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
    assert_eq!(KEPT.last(), Some(&file_format::FORMAT), "keep a file of the new format, too");
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

/// What is left may name the host only where it is remembered on purpose: in the audit.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_host_leaves_no_row_in_any_table_but_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.redb");
    let rows = std::fs::read_to_string(path(file_format::FORMAT, "rows")).unwrap();
    make(&file, &rows);
    let store = Store::open(&file, Begins::Kept, Box::new(|_, _| {}), |_| Ok(())).unwrap();
    let hosts = store.read().unwrap().rows(&HOSTS, &Span::ALL).unwrap();
    assert!(!hosts.is_empty());
    let mut of_hosts: Vec<String> = Vec::new();
    for (id, host) in hosts {
        of_hosts.push(format!("{id:?}"));
        let jobs = store.read().unwrap().keys(&HOST_JOBS, &Span::under(&id), usize::MAX).unwrap();
        of_hosts.extend(jobs.into_iter().map(|(_, job)| format!("{job:?}")));
        store.write(move |tx| Ok(crate::hosts::delete(tx, &host)?)).await.unwrap();
    }
    for (table, words) in rows_in_words(&store.read().unwrap()).unwrap() {
        let named = of_hosts.iter().find(|id| words.contains(id.as_str()));
        assert!(named.is_none() || table == "audit", "{table} still has {words}");
    }
}
