use super::*;
use proptest::prelude::*;
use redb::{Database, TableDefinition};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();

const ONE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("one");
const TWO: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("two");

/// Written once, by the first commit.
const STILL: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("still");
const NEVER: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("never");

const TABLES: Tables = Tables {
    names: &["never", "one", "still", "two"],
    is_index: |_| false,
    is_row: |name, key, row| key.len() == 4 && row.first().is_some_and(|first| kind(name).contains(first)),
};

type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// What rows of a table begin with.
fn kind(table: &str) -> std::ops::Range<u8> {
    match table {
        "one" => 10..50,
        "two" => 50..100,
        "still" => 100..150,
        _ => 150..200,
    }
}

fn row(table: &str, number: u32, commit: u32) -> Vec<u8> {
    // Short ones, and some that need a page of their own.
    let bytes = if number.is_multiple_of(97) { 9_000 } else { 20 + number as usize % 60 };
    vec![kind(table).start + commit as u8; bytes]
}

/// A file of some commits; returns its rows.
fn make(file: &Path) -> Rows {
    let database = Database::create(file).unwrap();
    let mut rows = Rows::new();
    for commit in 0..6_u32 {
        let txn = database.begin_write().unwrap();
        if commit == 0 {
            txn.open_table(NEVER).unwrap();
            let mut table = txn.open_table(STILL).unwrap();
            for number in 0..40_u32 {
                let (key, row) = (number.to_be_bytes().to_vec(), row("still", number, 0));
                table.insert(key.as_slice(), row.as_slice()).unwrap();
                rows.insert(("still".to_owned(), key), row);
            }
        }
        for (definition, name) in [(ONE, "one"), (TWO, "two")] {
            let mut table = txn.open_table(definition).unwrap();
            for number in (commit * 300..commit * 300 + 400).filter(|number| number % 3 != commit % 3) {
                let (key, row) = (number.to_be_bytes().to_vec(), row(name, number, commit));
                table.insert(key.as_slice(), row.as_slice()).unwrap();
                rows.insert((name.to_owned(), key), row);
            }
        }
        txn.commit().unwrap();
    }
    rows
}

fn read(file: &Path) -> (Survey, Rows, u64) {
    let pages = PageFile::open(file).unwrap();
    let survey = pages.survey(TABLES);
    let mut rows = Rows::new();
    for (name, (at, walked)) in &survey.tables {
        let again = pages.walk::<()>(at, &mut |key, row| {
            rows.insert((name.clone(), key.to_vec()), row.to_vec());
            Ok(())
        });
        assert_eq!(&again.unwrap(), walked);
    }
    (survey, rows, pages.mended())
}

#[test]
fn a_whole_file_is_read_as_redb_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whole.redb");
    let rows = make(&file);
    let (survey, found, mended) = read(&file);
    assert!(survey.is_whole() && !survey.is_earlier && survey.earlier_tables.is_empty());
    assert_eq!(mended, 0);
    assert_eq!(found, rows);
}

#[test]
fn one_bit_anywhere_that_was_turned_over_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, torn) = (folder.path().join("whole.redb"), folder.path().join("torn.redb"));
    let rows = make(&whole);
    let bytes = fs::read(&whole).unwrap();
    let mut mended = 0;
    for nth in 0..200 {
        let mut altered = bytes.clone();
        // Spread over the file, and over what a page says: its end is mostly empty.
        let at = (nth * 40_503 + nth * nth * 7) % bytes.len();
        altered[at] ^= 1 << (nth % 8);
        fs::write(&torn, &altered).unwrap();
        let (survey, found, pages) = read(&torn);
        assert!(survey.is_whole(), "byte {at}");
        assert!(found == rows && !survey.is_earlier, "byte {at}");
        mended += pages;
    }
    assert!(mended > 20, "{mended} pages were put right");
}

/// What the last commit has removed must not come back without a word.
#[test]
fn a_last_commit_that_is_lost_is_told_wherever_the_head_was_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, torn) = (folder.path().join("whole.redb"), folder.path().join("torn.redb"));
    let rows = make(&whole);
    let bytes = fs::read(&whole).unwrap();
    let damaged = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut altered = bytes.clone();
        damage(&mut altered);
        fs::write(&torn, &altered).unwrap();
        let (survey, found, _) = read(&torn);
        (survey.is_whole(), survey.is_earlier, found == rows)
    };
    let named = usize::from(bytes[9] & 1);
    let noise = |from: usize, to: usize| move |bytes: &mut Vec<u8>| bytes[from..to].fill(0xa7);
    let slot = |slot: usize| noise(64 + slot * 128, 64 + (slot + 1) * 128);
    assert_eq!(damaged(&|_| {}), (true, false, true));
    let (is_whole, is_earlier, _) = damaged(&slot(named));
    assert!(is_whole && is_earlier, "the last one is lost");
    assert_eq!(damaged(&slot(1 - named)), (true, false, true), "the one before it is");
    assert_eq!(damaged(&|bytes| bytes[9] ^= 1), (true, false, true), "another one is named");
    for (from, to) in [(0, 192), (0, 64)] {
        let (is_whole, is_earlier, is_all) = damaged(&noise(from, to));
        assert!(is_whole && (is_all || is_earlier), "{from}..{to}");
    }
}

/// A write that was lost leaves a page that is whole, of an earlier commit.
#[test]
fn a_list_of_tables_of_an_earlier_commit_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, torn) = (folder.path().join("whole.redb"), folder.path().join("torn.redb"));
    // So many that the list has more than one page.
    let names: Vec<String> = (0..120).map(|number| format!("table-{number:03}")).collect();
    let commit = |number: u8| {
        let database = Database::create(&whole).unwrap();
        let txn = database.begin_write().unwrap();
        for name in &names {
            let mut table = txn.open_table(TableDefinition::<&[u8], &[u8]>::new(name)).unwrap();
            table.insert(&b"row"[..], &[number; 20][..]).unwrap();
        }
        txn.commit().unwrap();
        drop(database);
        let bytes = fs::read(&whole).unwrap();
        let (at, len) = head::place(head::commits(bytes.first_chunk().unwrap())[0].root.page).unwrap();
        let (at, len) = (at as usize, len);
        assert_eq!(bytes[at], 2, "the list has a branch");
        (bytes, at, len)
    };
    let (earlier, before, _) = commit(1);
    let (bytes, last, len) = commit(2);
    let rows = |bytes: &[u8]| {
        fs::write(&torn, bytes).unwrap();
        let pages = PageFile::open(&torn).unwrap();
        let survey = pages.survey(TABLES);
        let mut rows = Vec::new();
        for (at, _) in survey.tables.values() {
            let read = pages.walk::<()>(at, &mut |_, row| {
                rows.push(row[0]);
                Ok(())
            });
            read.unwrap();
        }
        (rows, survey.is_earlier)
    };
    assert_eq!(rows(&bytes), (vec![2; 120], false));
    let mut altered = bytes.clone();
    altered[last..last + len].copy_from_slice(&earlier[before..before + len]);
    // Some pages of it are in use for something else by now.
    let (found, is_earlier) = rows(&altered);
    assert!(is_earlier && found.len() > 60 && found.iter().all(|commit| *commit == 1), "{found:?}");
    // What is below one that was damaged otherwise is of the last one all the same, which can't be told.
    let mut altered = bytes.clone();
    let keys = usize::from(u16::from_le_bytes([bytes[last + 2], bytes[last + 3]]));
    // Behind where its pages are and what they sum up to, and where its keys end.
    let first_key = last + 8 + (keys + 1) * 24 + keys * 4;
    assert!(bytes[first_key..].starts_with(b"table-"));
    altered[first_key + 6..first_key + 9].fill(b'x');
    assert_eq!(rows(&altered), (vec![2; 120], true));
}

#[test]
fn pages_that_are_damaged_lose_no_more_than_their_own_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, torn) = (folder.path().join("whole.redb"), folder.path().join("torn.redb"));
    let rows = make(&whole);
    let bytes = fs::read(&whole).unwrap();
    let mut lossy = 0;
    for page in 1..bytes.len() / 4096 {
        let begin = page * 4096;
        let (kind, count) =
            (bytes[begin], usize::from(u16::from_le_bytes([bytes[begin + 2], bytes[begin + 3]])));
        if kind == 0 {
            continue;
        }
        let mut altered = bytes.clone();
        altered[begin + 5] ^= 0x5a;
        altered[begin + 9] ^= 0x33;
        fs::write(&torn, &altered).unwrap();
        let (survey, found, _) = read(&torn);
        if survey.is_earlier || !survey.earlier_tables.is_empty() {
            continue;
        }
        for (key, row) in &found {
            assert_eq!(rows.get(key), Some(row), "page {page}");
        }
        let lost = rows.len() - found.len();
        match kind {
            1 => assert!(lost == 0 || lost == count, "page {page}: {lost} of {count}"),
            _ => assert!(lost < rows.len() / 2, "page {page}: {lost}"),
        }
        let told: u64 = survey.tables.values().map(|(at, walked)| at.rows - walked.rows).sum();
        assert_eq!(told, lost as u64, "page {page}");
        lossy += usize::from(lost > 0);
    }
    assert!(lossy > 20, "{lossy} pages held rows");
}

/// The pages that list tables, those of the last two commits first.
fn lists(bytes: &[u8]) -> (Vec<usize>, Vec<usize>) {
    let commits = head::commits(bytes.first_chunk().unwrap());
    let last: Vec<usize> =
        commits.iter().map(|commit| head::place(commit.root.page).unwrap().0 as usize / 4096).collect();
    let lists = |page: &usize| {
        let bytes = &bytes[page * 4096..(page + 1) * 4096];
        // They stand there in order.
        bytes[0] == 1 && bytes.windows(16).any(|names| names == b"neveronestilltwo")
    };
    let former = (1..bytes.len() / 4096).filter(lists).filter(|page| !last.contains(page)).collect();
    (last, former)
}

#[test]
fn tables_are_found_where_the_list_of_tables_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, torn) = (folder.path().join("whole.redb"), folder.path().join("torn.redb"));
    let rows = make(&whole);
    let bytes = fs::read(&whole).unwrap();
    let (last, former) = lists(&bytes);
    assert!(!former.is_empty());
    for forgets in [false, true] {
        let mut altered = bytes.clone();
        for page in last.iter().chain(former.iter().filter(|_| forgets)) {
            altered[page * 4096..(page + 1) * 4096].fill(0);
        }
        fs::write(&torn, &altered).unwrap();
        let (survey, found, mended) = read(&torn);
        assert_eq!(found, rows, "forgets {forgets}");
        assert!(!survey.is_earlier && !survey.list_is_torn && survey.earlier_tables.is_empty());
        assert_eq!((survey.carved_tables.len(), mended), (4, 0));
        let unsure = |name: &str| survey.tables[name].1.unsure;
        assert_eq!((unsure("never"), survey.tables["never"].0.rows), (0, 0));
        // What an earlier list names with a checksum is certain; what nothing vouches for is not.
        assert_eq!(unsure("still"), if forgets { 40 } else { 0 });
        for name in ["one", "two"] {
            assert_eq!(unsure(name), survey.tables[name].1.rows, "{name}");
        }
        assert!(!survey.is_whole());
    }
}

/// Pages of earlier commits hold rows that were replaced or removed since; which pages those are only the list of free ones
/// says.
#[test]
fn nothing_is_guessed_where_it_is_not_known_which_pages_are_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, torn) = (folder.path().join("whole.redb"), folder.path().join("torn.redb"));
    let rows = make(&whole);
    let mut bytes = fs::read(&whole).unwrap();
    let (last, former) = lists(&bytes);
    let own = head::commits(bytes.first_chunk().unwrap()).into_iter().filter_map(|commit| commit.own);
    let own: Vec<usize> = own.map(|own| head::place(own.page).unwrap().0 as usize / 4096).collect();
    for page in last.iter().chain(&former).chain(&own) {
        bytes[page * 4096..(page + 1) * 4096].fill(0);
    }
    fs::write(&torn, &bytes).unwrap();
    let (survey, found, _) = read(&torn);
    assert!(found.is_empty() && !rows.is_empty() && survey.carved_tables.is_empty() && survey.list_is_torn);
}

/// A table whose rows could as well be those of another one that is missing is not taken for either.
#[test]
fn a_table_that_can_be_either_of_two_is_neither() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, torn) = (folder.path().join("whole.redb"), folder.path().join("torn.redb"));
    make(&whole);
    let mut bytes = fs::read(&whole).unwrap();
    let (last, former) = lists(&bytes);
    for page in last.iter().chain(&former) {
        bytes[page * 4096..(page + 1) * 4096].fill(0);
    }
    fs::write(&torn, &bytes).unwrap();
    let either: fn(&str, &[u8], &[u8]) -> bool = |name, key, row| {
        (TABLES.is_row)(name, key, row) || (name == "never" && (TABLES.is_row)("still", key, row))
    };
    let survey = PageFile::open(&torn).unwrap().survey(Tables { is_row: either, ..TABLES });
    let found: Vec<&str> = survey.tables.keys().map(String::as_str).collect();
    assert_eq!((found, survey.list_is_torn), (vec!["one", "two"], true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Zeros, noise and cuts: nothing panics, and whatever is read was once written under its key.
    #[test]
    fn whatever_is_read_was_written(
        wounds in prop::collection::vec((0..1_000_000_usize, 1..9_000_usize, any::<u8>()), 1..4), cut in 0..3_000_000_usize,
    ) {
        let whole = WHOLE.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("whole.redb");
            make(&file);
            fs::read(file).unwrap()
        });
        let folder = tempfile::tempdir().unwrap();
        let torn = folder.path().join("torn.redb");
        let mut altered = whole.clone();
        for (at, len, noise) in wounds {
            let at = at % altered.len();
            for (nth, byte) in altered[at..].iter_mut().take(len).enumerate() {
                *byte = if noise == 0 { 0 } else { byte.wrapping_add(noise).wrapping_mul(nth as u8 | 1) };
            }
        }
        altered.truncate(cut.max(1));
        fs::write(&torn, &altered).unwrap();
        let (_, found, _) = read(&torn);
        for ((table, key), value) in &found {
            let number = u32::from_be_bytes(key.as_slice().try_into().unwrap());
            let possible = (0..6).any(|commit| *value == row(table, number, commit));
            prop_assert!(possible, "{}", number);
        }
        prop_assert_eq!(&fs::read(&torn).unwrap(), &altered);
    }
}
