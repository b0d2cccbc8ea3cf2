//! Damaged data files: what can be read of them is salvaged into a new folder, and read by a server that writes nothing.

use crate::kept_file::live;
use crate::support::{World, by, group, settings};
use fleet::{
    Authority, DATA_FILE, Fleet, KEY_FILE, OpenError, Pieces, Refused, SalvageError, Salvaged, StoreError,
};
use redb::{Database, ReadableDatabase, TableDefinition, TableHandle};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// What a salvage writes anew, whatever was there: links note how far they were before.
const WRITTEN: [&str; 5] = ["audit", "audit_shares", "link_states", "meta", "sessions"];
/// What it may change where something else is missing.
const MADE_TO_FIT: [&str; 26] = [
    "hosts",
    "host_names",
    "link_states",
    "summaries",
    "usages",
    "host_tokens",
    "schedules_due",
    "host_pending",
    "pending_waiting",
    "pending_due",
    "host_jobs",
    "kind_jobs",
    "source_jobs",
    "open_jobs",
    "exclusive_jobs",
    "repo_hosts",
    "place_hosts",
    "audit_hosts",
    "standing_incidents",
    "host_incidents",
    "channel_states",
    "routes",
    "waiting_notices",
    "told_channels",
    "confirmed_shares",
    "listing_states",
];

/// A real server's folder with something in each table, and enough of it for more than one page.
struct Original {
    folder: TempDir,
    file: Vec<u8>,
    rows: Rows,
}

impl Original {
    async fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        live(&data).await;
        let world = World::new();
        let fleet = Fleet::open(data.as_path(), settings(), world.driver()).unwrap();
        for n in 0..120 {
            let host =
                fleet.create_host(&format!("more-{n}"), vec!["many".to_owned()], by()).await.unwrap().0.id;
            fleet.put_group(host, None, group("etc"), by()).await.unwrap();
        }
        fleet.shutdown().await;
        drop(fleet);
        let file = fs::read(data.join(DATA_FILE)).unwrap();
        let rows = rows(&data.join(DATA_FILE));
        Self { folder, file, rows }
    }

    /// A folder with a file that was damaged like this.
    fn damaged(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let mut bytes = self.file.clone();
        damage(&mut bytes);
        fs::write(folder.join(DATA_FILE), bytes).unwrap();
        fs::copy(self.folder.path().join("data").join(KEY_FILE), folder.join(KEY_FILE)).unwrap();
        folder
    }

    fn salvage(&self, from: &Path, to: &Path) -> Result<Salvaged, SalvageError> {
        let before = fs::read(from.join(DATA_FILE)).unwrap();
        let salvaged = fleet::salvage(&Pieces::from(from), to, World::new().driver());
        assert!(fs::read(from.join(DATA_FILE)).unwrap() == before, "the damaged file was written");
        salvaged
    }
}

/// All rows, as redb reads them, of a copy.
fn rows(file: &Path) -> Rows {
    let copy = file.with_extension("copy");
    fs::copy(file, &copy).unwrap();
    let database = Database::open(&copy).unwrap();
    let txn = database.begin_read().unwrap();
    let mut rows = Rows::new();
    for table in txn.list_tables().unwrap() {
        let name = table.name().to_owned();
        let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(&name);
        for entry in txn.open_table(definition).unwrap().range::<&[u8]>(..).unwrap() {
            let (key, row) = entry.unwrap();
            rows.insert((name.clone(), key.value().to_vec()), row.value().to_vec());
        }
    }
    drop(txn);
    drop(database);
    fs::remove_file(copy).unwrap();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_damage_is_salvaged_row_by_row() {
    let original = Original::make().await;
    let (from, to) = (original.damaged("from", |_| {}), original.folder.path().join("to"));
    let salvaged = original.salvage(&from, &to).unwrap();
    assert!(salvaged.damage.is_whole(), "{:?}", salvaged.damage);
    assert!(salvaged.incarnation.0 > 0);
    assert_eq!(salvaged.damage.mended_pages, 0);
    let found = rows(&to.join(DATA_FILE));
    assert_eq!(found.len() as u64, salvaged.rows);
    let kept = |rows: &Rows| {
        let rows = rows.iter().filter(|((table, _), _)| !WRITTEN.contains(&table.as_str()));
        rows.map(|(key, row)| (key.clone(), row.clone())).collect::<Rows>()
    };
    let (before, after) = (kept(&original.rows), kept(&found));
    for (key, row) in &before {
        assert_eq!(after.get(key), Some(row), "{} {:02x?}", key.0, key.1);
    }
    assert_eq!(before.len(), after.len());
    // The audit goes on behind what it had.
    for (key, row) in original.rows.iter().filter(|((table, _), _)| table == "audit") {
        assert_eq!(found.get(key), Some(row));
    }
    let world = World::new();
    let fleet = Fleet::open(to.as_path(), settings(), world.driver()).unwrap();
    let audit = fleet.read().unwrap().audit(&fleet::AuditFilter::default(), &fleet::Page::default()).unwrap();
    assert_eq!(audit.items[0].action.code(), "server.salvaged");
    assert!(audit.items[0].detail.contains("nothing is missing; incarnation "), "{}", audit.items[0].detail);
    fleet.shutdown().await;
}

/// Whatever was removed with the last change is back when that is lost: it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_last_change_that_is_lost_is_told_and_one_that_can_be_read_is_taken() {
    let original = Original::make().await;
    // As a server leaves it that is killed right after it has acknowledged a change.
    let world = World::new();
    let data = original.folder.path().join("data");
    let fleet = Fleet::open(data.as_path(), settings(), world.driver()).unwrap();
    let removed = fleet.read().unwrap().host_by_name("more-3").unwrap().unwrap().id;
    fleet.delete_host(removed, by()).await.unwrap();
    let killed = fs::read(data.join(DATA_FILE)).unwrap();
    fleet.shutdown().await;
    let named = usize::from(killed[9] & 1);
    let salvaged = |name: &str, damage: &dyn Fn(&mut Vec<u8>)| {
        let from = original.damaged(name, |file| {
            file.clone_from(&killed);
            damage(file);
        });
        let to = original.folder.path().join(format!("{name}-salvaged"));
        let salvaged = original.salvage(&from, &to).unwrap();
        let is_back = rows(&to.join(DATA_FILE)).contains_key(&("hosts".to_owned(), removed.0.to_vec()));
        (salvaged.damage.is_whole(), salvaged.damage.is_earlier, is_back)
    };
    assert_eq!(salvaged("killed", &|_| {}), (true, false, false));
    assert_eq!(salvaged("turned", &|file| file[9] ^= 1), (true, false, false));
    let lost = salvaged("lost", &|file| file[64 + 128 * named..192 + 128 * named].fill(0xa7));
    assert_eq!(lost, (false, true, true));
}

/// Whether a page lists tables.
fn lists_tables(page: &[u8]) -> bool {
    ["sign_in_tries", "enroll_tokens", "place_hosts", "audit_hosts"]
        .iter()
        .any(|name| page.windows(name.len()).any(|bytes| bytes == name.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_damaged_costs_its_own_rows_and_no_other_table_anything() {
    let original = Original::make().await;
    let mut torn = BTreeSet::new();
    for page in 1..original.file.len() / 4096 {
        let begin = page * 4096;
        let bytes = &original.file[begin..begin + 4096];
        if bytes[0] != 1 || lists_tables(bytes) {
            continue;
        }
        let count = u64::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let from = original.damaged("from", |file| file[begin + 4..begin + 2048].fill(0x5a));
        let to = original.folder.path().join(format!("to-{page}"));
        let salvaged = original.salvage(&from, &to).unwrap();
        let damage = &salvaged.damage;
        let lost: Vec<_> = damage.tables.iter().filter(|table| table.unreadable != Some(0)).collect();
        assert!(lost.len() <= 1, "page {page}: {lost:?}");
        if let Some(table) = lost.first() {
            assert_eq!(table.unreadable, Some(count), "page {page}: {table:?}");
            torn.insert(table.table.clone());
        }
        check_rows(&original, &salvaged, &rows(&to.join(DATA_FILE)));
        fs::remove_dir_all(&to).unwrap();
    }
    for table in ["hosts", "groups", "audit", "jobs", "links", "credentials", "link_states", "summaries"] {
        assert!(torn.contains(table), "{table} of {torn:?}");
    }
}

/// Each page of the list of tables in turn, also those of earlier commits, which nobody needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_of_the_list_of_tables_costs_no_table_anything() {
    let original = Original::make().await;
    let (mut carved, mut certain) = (BTreeSet::new(), 0);
    for page in 1..original.file.len() / 4096 {
        let begin = page * 4096;
        if !lists_tables(&original.file[begin..begin + 4096]) {
            continue;
        }
        let from = original.damaged("from", |file| file[begin..begin + 4096].fill(0));
        let to = original.folder.path().join(format!("to-{page}"));
        let salvaged = original.salvage(&from, &to).unwrap();
        let damage = &salvaged.damage;
        assert!(!damage.is_earlier || damage.torn_tables().next().is_none(), "page {page}: {damage:?}");
        for table in damage.tables.iter().filter(|table| !table.is_index) {
            assert_eq!((table.unreadable, table.undecodable), (Some(0), 0), "page {page}: {table:?}");
            if table.is_carved {
                carved.insert(table.table.clone());
                certain += usize::from(table.unsure == 0 && table.read > 0);
            }
        }
        let found = rows(&to.join(DATA_FILE));
        check_rows(&original, &salvaged, &found);
        if !damage.is_earlier {
            // Also what nothing vouches for is as it was: no row of an earlier commit is among it.
            for ((table, key), row) in &original.rows {
                let is_made_to_fit = MADE_TO_FIT.contains(&table.as_str()) && table != "hosts";
                if !WRITTEN.contains(&table.as_str()) && !is_made_to_fit {
                    assert_eq!(
                        found.get(&(table.clone(), key.clone())),
                        Some(row),
                        "page {page}: {table} {key:02x?}"
                    );
                }
            }
        }
        fs::remove_dir_all(&to).unwrap();
    }
    assert!(carved.len() > 10 && certain > 0, "{carved:?}, {certain} of them certain");
}

/// No page lists tables any more, neither of this commit nor of an earlier one.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_salvaged_whose_list_of_tables_is_gone() {
    let original = Original::make().await;
    let from = original.damaged("from", |file| {
        for page in file.chunks_mut(4096).skip(1).filter(|page| lists_tables(page)) {
            page.fill(0);
        }
    });
    let to = original.folder.path().join("to");
    let salvaged = original.salvage(&from, &to).unwrap();
    assert!(!salvaged.damage.is_whole());
    let found = rows(&to.join(DATA_FILE));
    for name in ["hosts", "groups", "schedules", "links", "credentials", "jobs", "operators", "logs"] {
        let table = salvaged.damage.tables.iter().find(|table| table.table == name).unwrap();
        assert!(table.is_carved && table.is_missing_something() && table.unsure == table.read, "{table:?}");
        let before = original.rows.iter().filter(|((table, _), _)| table == name);
        assert!(before.clone().count() > 0, "{name}");
        for (key, row) in before {
            assert_eq!(found.get(key), Some(row), "{name}");
        }
    }
    Fleet::open(to.as_path(), settings(), World::new().driver()).unwrap().shutdown().await;
}

/// Whatever a salvage gives was in the original, and what it does not give is named.
fn check_rows(original: &Original, salvaged: &Salvaged, found: &Rows) {
    let damage = &salvaged.damage;
    let is_older = |table: &str| {
        damage.is_earlier
            || damage.tables.iter().any(|it| it.table == table && (it.is_earlier || it.unsure > 0))
    };
    for ((table, key), row) in found {
        if WRITTEN.contains(&table.as_str()) || MADE_TO_FIT.contains(&table.as_str()) || is_older(table) {
            continue;
        }
        assert_eq!(original.rows.get(&(table.clone(), key.clone())), Some(row), "{table} {key:02x?}");
    }
    for table in &damage.tables {
        let is_kept = !table.is_missing_something() && !MADE_TO_FIT.contains(&table.table.as_str());
        if damage.is_earlier || damage.left_out > 0 || !is_kept || WRITTEN.contains(&table.table.as_str()) {
            continue;
        }
        // Listings of which something may be missing are left out.
        if ["listings", "listed", "folders", "entries", "finds", "found"].contains(&table.table.as_str()) {
            continue;
        }
        let of = |rows: &Rows| rows.keys().filter(|(name, _)| *name == table.table).count();
        assert_eq!(of(&original.rows), of(found), "{table:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_damaged_a_salvage_gives_what_serves_or_says_why_not() {
    // redb panics over many of these files, which is caught; the trace of each would cost more than the rest.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|at| at.file().contains("/redb-")) {
            usual(info);
        }
    }));
    let original = Original::make().await;
    let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
    let mut roll = |below: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 16) as usize % below
    };
    let (mut served, mut refused) = (0, 0);
    // All of them with `./test --soak`.
    let cases = if std::env::var_os("HOLDFAST_SOAK").is_some() { 500 } else { 60 };
    for case in 0..cases {
        let len = original.file.len();
        let from = original.damaged("from", |file| match case % 5 {
            0 => file[roll(len)] ^= 1 << roll(8),
            1 => (0..20).for_each(|_| file[roll(len)] ^= roll(255) as u8 + 1),
            2 => {
                let begin = roll(len / 4096) * 4096;
                file[begin..begin + 4096].fill(0);
            }
            3 => {
                let begin = roll(len);
                let end = (begin + roll(60_000)).min(len);
                file[begin..end].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7));
            }
            _ => file.truncate(1 + roll(len)),
        });
        let to = original.folder.path().join("to");
        match original.salvage(&from, &to) {
            Ok(salvaged) => {
                check_rows(&original, &salvaged, &rows(&to.join(DATA_FILE)));
                let fleet = Fleet::open(to.as_path(), settings(), World::new().driver()).unwrap();
                let state = fleet.read().unwrap();
                for row in state.hosts().unwrap() {
                    state.host(row.id).unwrap().unwrap();
                }
                drop(state);
                fleet.sweep().await;
                assert!(fleet.tick().await, "case {case}");
                fleet.shutdown().await;
                served += 1;
            }
            Err(SalvageError::Nothing(_)) => {
                assert!(!to.exists());
                refused += 1;
            }
            Err(error) => panic!("case {case}: {error}"),
        }
        let _ = fs::remove_dir_all(&to);
    }
    assert!(served * 10 > cases * 7, "{served} served, {refused} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_a_damaged_file_reads_and_writes_nothing() {
    let original = Original::make().await;
    // A page of hosts.
    let name = b"more-77";
    let begin = (1..original.file.len() / 4096)
        .map(|page| page * 4096)
        .filter(|begin| original.file[*begin] == 1 && !lists_tables(&original.file[*begin..*begin + 4096]))
        .find(|begin| {
            let page = &original.file[*begin..*begin + 4096];
            page.windows(name.len()).any(|bytes| bytes == name)
                && page.windows(4).any(|bytes| bytes == b"many")
        })
        .unwrap();
    let data = original.damaged("torn", |file| file[begin + 8..begin + 900].fill(0));
    fs::create_dir(data.join("tls")).unwrap();
    for name in ["tls/ca.pem", "tls/ca.key"] {
        fs::write(data.join(name), "pem").unwrap();
    }
    let before = fs::read(data.join(DATA_FILE)).unwrap();
    // Whoever does not serve is refused.
    let refused = Fleet::open(data.as_path(), settings(), World::new().driver()).err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    let pieces = Pieces { authority: Authority::Own, ..Pieces::from(data.as_path()) };
    let fleet = Fleet::open(pieces, settings(), World::new().driver()).unwrap();
    let damage = fleet.damage().unwrap();
    let torn: Vec<_> = damage.torn_tables().map(|table| table.table.as_str()).collect();
    assert_eq!(torn, ["hosts"], "{damage:?}");
    let hosts = fleet.read().unwrap().hosts().unwrap().len();
    assert!((20..200).contains(&hosts), "{hosts} hosts are shown");
    let written = fleet.create_host("one-more", vec![], by()).await;
    assert!(matches!(written, Err(Refused::Store(StoreError::OnlyReads))), "{written:?}");
    fleet.tick().await;
    fleet.sweep().await;
    fleet.maintain().await;
    assert!(fleet.begin_archive(vec![], "0").is_err());
    // Who is signed in is forgotten with the process.
    let _ = fleet.open_session("ada", "192.0.2.1").await.unwrap();
    fleet.shutdown().await;
    drop(fleet);
    assert!(fs::read(data.join(DATA_FILE)).unwrap() == before);
    let left: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_salvaged_says_so() {
    let original = Original::make().await;
    let (from, to) = (original.damaged("from", |_| {}), original.folder.path().join("to"));
    let salvaged = original.salvage(&from, &to).unwrap();
    let fleet = Fleet::open(to.as_path(), settings(), World::new().driver()).unwrap();
    let reunion = fleet.read().unwrap().reunion().unwrap().unwrap();
    assert_eq!((reunion.is_salvage, reunion.restoration.incarnation), (true, salvaged.incarnation));
    fleet.shutdown().await;
}

/// What would be made there would lie in the folder that is to stay as it is.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_salvaged_into_the_damaged_folder_however_it_is_named() {
    let original = Original::make().await;
    let from = original.damaged("from", |_| {});
    let link = original.folder.path().join("link");
    std::os::unix::fs::symlink(&from, &link).unwrap();
    let names = || fs::read_dir(&from).unwrap().count();
    let before = names();
    for inside in [
        from.clone(),
        from.join("new"),
        from.join("new/deeper"),
        link.join("new"),
        original.folder.path().join("data/../from/new"),
    ] {
        let refused = original.salvage(&from, &inside).unwrap_err();
        assert!(matches!(refused, SalvageError::Inside(_)), "{}: {refused}", inside.display());
        assert!(refused.to_string().contains("give one beside it"), "{refused}");
        assert_eq!(names(), before);
    }
    // The beginning of its name alone is not it.
    original.salvage(&from, &original.folder.path().join("from-new")).unwrap();
}

/// What another program wrote is not damaged: nothing is salvaged of it, and nothing made.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_file_of_another_format_is_not_salvaged() {
    let original = Original::make().await;
    for (format, said) in
        [(2, "made by an earlier development state (format 2"), (99, "use the newer program")]
    {
        let from = original.damaged(&format!("format-{format}"), |_| {});
        let database = Database::open(from.join(DATA_FILE)).unwrap();
        let txn = database.begin_write().unwrap();
        let meta: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
        txn.open_table(meta).unwrap().insert(b"format".as_slice(), [1, 0, format].as_slice()).unwrap();
        txn.commit().unwrap();
        drop(database);
        let to = original.folder.path().join(format!("to-{format}"));
        let refused = original.salvage(&from, &to).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
        assert!(!to.join(DATA_FILE).exists() && !to.join(KEY_FILE).exists());
        let opened =
            Fleet::open(from.as_path(), settings(), World::new().driver()).err().unwrap().to_string();
        assert!(opened.contains(said), "{opened}");
    }
}
