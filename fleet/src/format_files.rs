//! A data file of each format is kept, row by row, and read again: what stands in it must mean the same for ever.
//!
//! `fleet/tests/files/format-N.rows` is what such a file holds, in hex, and `format-N.words` what its rows say. A test of
//! `fleet/tests/it/kept_file.rs` makes the rows of the newest format; the words are written by
//! `HOLDFAST_WRITE_GOLDENS=1` here. When this fails: fix the code, or bring the format forward, with a migration, and keep
//! a file of the new format beside the old ones.
//!
//! `fleet/tests/files/formats.txt` holds each number to what it was given for: a digest of the shapes of all rows, which are
//! spelled out for the newest one in `shapes.txt`, and of the bytes in `golden.txt`. A number that has its line is not written
//! anew: what is stored differently gets the next one.

use crate::refused::OpenError;
use crate::store::{
    Begins, HOST_JOBS, HOSTS, NAMES, Reads as _, Span, Store, file_format, rows_in_words, shapes,
};
use data_encoding::HEXLOWER;
use redb::{Database, ReadableDatabase as _, TableDefinition};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Formats of which a file is kept, oldest first.
const KEPT: &[u32] = &[3, 4, 5, 6, 7];

fn path(format: u32, what: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/files/format-{format}.{what}"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap_or_default()
}

fn write(name: &str, text: &str) {
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), text).unwrap();
}

/// What each format number was given for, by number.
fn given(list: &str) -> BTreeMap<u32, String> {
    let line = |line: &str| {
        let (number, digest) = line.split_once(' ')?;
        Some((number.parse().ok()?, digest.to_owned()))
    };
    list.lines().filter_map(line).collect()
}

#[test]
fn what_is_stored_changes_only_together_with_the_number_of_the_format() {
    const LIST: &str = "tests/files/formats.txt";
    const SHAPES: &str = "tests/files/shapes.txt";
    let mut now = String::new();
    for (table, lines) in shapes() {
        for line in lines {
            writeln!(now, "{table} {line}").unwrap();
        }
    }
    let bytes = read("src/golden.txt");
    let digest = HEXLOWER.encode(&Sha256::digest(format!("{now}\n{bytes}"))[..16]);
    let mut given = given(&read(LIST));
    if std::env::var_os("HOLDFAST_WRITE_GOLDENS").is_some() {
        // A number that has been given stays what it is.
        given.entry(file_format::FORMAT).or_insert_with(|| {
            write(SHAPES, &now);
            digest.clone()
        });
        let list: String = given.iter().map(|(number, digest)| format!("{number} {digest}\n")).collect();
        write(LIST, &list);
    }
    let why = "what is stored differs from what this format number was given for: raise file_format::FORMAT, with a \
               migration, and write the goldens anew";
    for (now, kept) in now.lines().zip(read(SHAPES).lines()) {
        assert_eq!(now, kept, "{why}");
    }
    assert_eq!(given.get(&file_format::FORMAT), Some(&digest), "{why}");
    assert_eq!(given.keys().next_back(), Some(&file_format::FORMAT), "a number never goes back");
    assert_eq!(given.keys().copied().filter(|number| *number > 3).count() as u32, file_format::FORMAT - 3);
}

/// Several development states have written format 3.
#[test]
fn a_file_of_an_earlier_development_state_is_refused_in_words_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.redb");
    let rows = std::fs::read_to_string(path(3, "rows")).unwrap();
    // Rows of hosts as they were before the last of them: without their last field.
    let cut = |line: &str| match line.strip_prefix("presences ") {
        Some(_) => line[..line.len() - 2].to_owned(),
        None => line.to_owned(),
    };
    make(&file, &rows.lines().map(cut).collect::<Vec<_>>().join("\n"));
    let refused = Store::open(&file, Begins::Kept, Box::new(|_, _| {}), |_| Ok(())).err().unwrap();
    assert!(matches!(refused, OpenError::OlderFormat { found: 3, .. }), "{refused}");
    assert!(refused.to_string().contains("made by an earlier development state (format 3"), "{refused}");
    let looked = crate::store::check(&file, |_| Ok(())).err().unwrap();
    assert!(matches!(looked, OpenError::OlderFormat { found: 3, .. }), "{looked}");
    let database = Database::open(&file).unwrap();
    let meta = TableDefinition::<&[u8], &[u8]>::new("meta");
    let format = database.begin_read().unwrap().open_table(meta).unwrap();
    assert_eq!(redb::ReadableTable::get(&format, b"format".as_slice()).unwrap().unwrap().value(), [1, 0, 3]);
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
        assert!(missing.is_empty() || *format < file_format::FORMAT, "no row of {missing:?} is kept");
        let mut said = String::new();
        // The number itself is the newest one once the file is open.
        let is_told = |table: &str, words: &str| table != "meta" || !words.starts_with("\"format\"");
        for (table, words) in rows.into_iter().filter(|(table, words)| is_told(table, words)) {
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

/// What is left may name the host only where it is remembered on purpose: in the audit, and in what waits to be told, which says
/// what was then until it is told or given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_host_leaves_no_row_in_any_table_but_the_audit_and_what_waits_to_be_told() {
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
        assert!(
            named.is_none()
                || ["audit", "waiting_notices", "waiting_pings", "waiting_reports"].contains(&table),
            "{table} still has {words}"
        );
    }
}
