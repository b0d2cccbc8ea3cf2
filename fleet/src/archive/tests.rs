use super::*;
use crate::fleet::Fleet;
use crate::pieces::{Pieces, RESTORE_FILE};
use crate::record::{CredentialsInput, Group, Role, Secret};
use crate::refused::OpenError;
use crate::request::By;
use crate::settings::{Driver, Settings};
use crate::store::{HOST_NAMES, Reads as _, SCHEDULES_DUE, SESSIONS, Span, rows_in_words};
use proptest::prelude::*;
use schema::{HostId, Slot, Timestamp};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: Timestamp = Timestamp(1_780_000_000_000);

fn driver() -> Driver {
    let drawn = Arc::new(AtomicU64::new(1));
    Driver {
        now: Arc::new(|| NOW),
        random: Arc::new(move |bytes| {
            for byte in bytes.iter_mut() {
                *byte = drawn.fetch_add(7, Ordering::Relaxed) as u8;
            }
        }),
    }
}

fn open(folder: &Path) -> Result<Fleet, OpenError> {
    Fleet::open(Pieces::from(folder), Settings::for_tests(), driver())
}

/// As a drawn one, which costs a quarter of one that somebody thought of.
const PASSPHRASE: &str = "abcd-efgh-ijkl-mnop-qrst-uvwx";

fn passphrase() -> ArchiveKey {
    ArchiveKey::Passphrase(Secret::new(PASSPHRASE))
}

fn opener() -> ArchiveOpener {
    ArchiveOpener::Passphrase(Secret::new(PASSPHRASE))
}

/// A server that has something of each.
async fn server(folder: &Path) -> Fleet {
    let fleet = open(folder).unwrap();
    let by = By::system;
    for n in 0..40 {
        let host = fleet.create_host(&format!("host-{n}"), vec!["garden".into()], by()).await.unwrap().0.id;
        let repo_password = Some(Secret::new(format!("password-of-{n}")));
        let credentials =
            CredentialsInput { url: "/srv/repo".into(), repo_password, ..CredentialsInput::default() };
        fleet.put_credentials(host, Slot::Repo, credentials, by()).await.unwrap();
        let group = Group { name: "etc".into(), includes: vec!["/etc".into()], ..Group::default() };
        fleet.put_group(host, None, group, by()).await.unwrap();
    }
    fleet.create_operator("ada", Role::Admin, "$argon2id$".into(), by()).await.unwrap();
    let _ = fleet.open_session("ada", "192.0.2.1").await.unwrap();
    fleet
}

fn parts() -> Vec<ArchivePart> {
    [("tls/ca.pem", "a certificate"), ("tls/ca.key", "its key"), ("settings.toml", "http = 1")]
        .map(|(name, text)| ArchivePart { name, bytes: text.as_bytes().to_vec().into() })
        .into()
}

fn write_to(fleet: &Fleet, path: &Path, key: &ArchiveKey) -> u64 {
    let file = fs::File::create(path).unwrap();
    fleet.begin_archive(parts(), "0.0.1").unwrap().write(key, &file).unwrap()
}

/// Rows but for what a restore writes.
fn rows(fleet: &Fleet) -> Vec<(&'static str, String)> {
    let mut rows = rows_in_words(&fleet.view().unwrap()).unwrap();
    let is_changed = |table: &str, row: &str| {
        table.starts_with("audit") || table == "sessions" || table == "meta" && row.contains("udit")
    };
    rows.retain(|(table, row)| !is_changed(table, row));
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_is_what_it_was_with_its_secrets_and_knows_that_it_was_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let fleet = server(&old).await;
    let archive = folder.path().join("archive.age");
    let written = write_to(&fleet, &archive, &passphrase());
    let found = look_through(fs::File::open(&archive).unwrap(), &opener()).unwrap();
    assert_eq!((found.rows, found.about.hosts, found.about.incarnation), (written, 40, 0));
    // What comes later is not in it.
    let before = rows(&fleet);
    fleet.create_host("later", vec![], By::system()).await.unwrap();
    fleet.shutdown().await;
    let mut last = NOW.0 * 1_000;
    for restored in 1..=2_u64 {
        let from = if restored == 1 { archive.clone() } else { folder.path().join("again.age") };
        let to = new.join(restored.to_string());
        let done = restore(&from, &opener(), &to, driver()).unwrap();
        // By the clock, and more than in the archive, also at the same moment.
        let incarnation = done.incarnation.0;
        assert!(last < incarnation && incarnation - NOW.0 * 1_000 < 3_000, "{incarnation}");
        last = incarnation;
        assert_eq!(done.about.hosts, 40);
        assert_eq!(done.parts, ["master.key", "tls/ca.pem", "tls/ca.key", "settings.toml"]);
        assert_eq!(fs::read(to.join("tls/ca.key")).unwrap(), b"its key");
        let fleet = open(&to).unwrap();
        let is_incarnation = |row: &(&str, String)| {
            row.1.contains("Incarnation") || row.1.contains("Restoration") || row.1.contains("Lost(")
        };
        let after: Vec<_> = rows(&fleet).into_iter().filter(|row| !is_incarnation(row)).collect();
        assert_eq!(after, before);
        assert!(
            fleet.view().unwrap().keys(&SESSIONS, &Span::ALL, 1).unwrap().is_empty(),
            "all are signed out"
        );
        let state = fleet.read().unwrap();
        let host = state.host_by_name("host-7").unwrap().unwrap();
        let KitPassword(password) = password_of(&state, host.id);
        assert_eq!(password, "password-of-7");
        let audit = state.audit(&crate::AuditFilter::default(), &crate::Page::default()).unwrap();
        assert!(
            audit.items[0].detail.contains(&format!("incarnation {incarnation}")),
            "{:?}",
            audit.items[0]
        );
        write_to(&fleet, &folder.path().join("again.age"), &passphrase());
        fleet.shutdown().await;
    }
}

struct KitPassword(String);

fn password_of(state: &crate::FleetState, host: HostId) -> KitPassword {
    match state.kit_host(host).unwrap().unwrap().everyday {
        crate::KitSlot::Held(held) => KitPassword(held.repo_password.expose().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_identity_of_a_recipient_opens_it_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = server(&folder.path().join("data")).await;
    let (own, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
    let key = ArchiveKey::Recipients(vec![own.to_public().to_string()]);
    let place = ArchiveFolder { path: folder.path().join("backups"), keep: 2, makes: true, last: None };
    let kept = place.make(fleet.begin_archive(parts(), "0.0.1").unwrap(), &key).unwrap();
    let with = |identity: &age::x25519::Identity| {
        use age::secrecy::ExposeSecret as _;
        let text = format!("# created: now\n{}\n", identity.to_string().expose_secret());
        look_through(
            place.open(&kept.name).unwrap().unwrap().0,
            &ArchiveOpener::Identities(Secret::new(text)),
        )
    };
    assert_eq!(with(&own).unwrap().about.hosts, 40);
    assert!(matches!(with(&other), Err(ArchiveError::WrongKey)));
    let asked = |opener| look_through(place.open(&kept.name).unwrap().unwrap().0, &opener);
    assert!(matches!(asked(opener()), Err(ArchiveError::WantsIdentity)));
    assert!(matches!(asked(ArchiveOpener::Identities(Secret::new("# none"))), Err(ArchiveError::Identity)));
    let refused = fleet.begin_archive(vec![], "0.0.1").unwrap();
    let refused = refused.write(&ArchiveKey::Recipients(vec!["age1x".into()]), Vec::new());
    assert!(matches!(refused, Err(ArchiveError::Recipient(_))));
    fleet.shutdown().await;
}

/// An archive for which no half second of scrypt is needed.
async fn quick(folder: &Path) -> (Vec<u8>, ArchiveOpener) {
    let fleet = server(&folder.join("data")).await;
    let drawn = DrawnIdentity::draw();
    let key = ArchiveKey::Recipients(vec![drawn.recipient()]);
    let mut bytes = Vec::new();
    fleet.begin_archive(parts(), "0.0.1").unwrap().write(&key, &mut bytes).unwrap();
    fleet.shutdown().await;
    (bytes, ArchiveOpener::Drawn(drawn))
}

#[test]
fn one_that_is_cut_or_altered_anywhere_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (bytes, opener) = runtime.block_on(quick(folder.path()));
    assert!(look_through(&bytes[..], &opener).is_ok());
    let (spoiled, to) = (folder.path().join("spoiled.age"), folder.path().join("new"));
    proptest!(ProptestConfig::with_cases(200), |(at in 0..bytes.len(), bit in 0..8_u8, cuts: bool)| {
        let mut altered = bytes.clone();
        if cuts {
            altered.truncate(at);
        } else {
            altered[at] ^= 1 << bit;
        }
        fs::write(&spoiled, &altered).unwrap();
        let refused = restore(&spoiled, &opener, &to, driver());
        prop_assert!(refused.is_err(), "cut: {} at {}", cuts, at);
        prop_assert!(!to.exists());
    });
    let longer = [&bytes[..], b"more"].concat();
    assert!(look_through(&longer[..], &opener).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_passphrase_and_a_file_that_is_something_else_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = server(&folder.path().join("data")).await;
    let (archive, to) = (folder.path().join("archive.age"), folder.path().join("new"));
    write_to(&fleet, &archive, &passphrase());
    fleet.shutdown().await;
    let wrong = ArchiveOpener::Passphrase(Secret::new("other words in a row"));
    assert!(matches!(restore(&archive, &wrong, &to, driver()), Err(ArchiveError::WrongKey)));
    let identities = ArchiveOpener::Identities(Secret::new("AGE-SECRET-KEY-1"));
    assert!(matches!(restore(&archive, &identities, &to, driver()), Err(ArchiveError::WantsPassphrase)));
    let data_file = folder.path().join("data/holdfast.redb");
    assert!(matches!(restore(&data_file, &opener(), &to, driver()), Err(ArchiveError::NotAnArchive)));
    let missing = folder.path().join("missing");
    assert!(matches!(restore(&missing, &opener(), &to, driver()), Err(ArchiveError::File { .. })));
    assert!(!to.exists());
    // An encrypted file that somebody else made.
    let other = folder.path().join("other.age");
    let mut sealed = passphrase().seal(fs::File::create(&other).unwrap()).unwrap();
    sealed.write_all(b"a letter").unwrap();
    sealed.finish().unwrap();
    let refused = restore(&other, &opener(), &to, driver()).unwrap_err();
    assert!(matches!(refused, ArchiveError::Damaged(_) | ArchiveError::NotAnArchive), "{refused}");
    assert!(!to.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_torn_does_not_serve_and_the_next_one_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, opener) = quick(folder.path()).await;
    let (archive, to) = (folder.path().join("archive.age"), folder.path().join("new"));
    fs::write(&archive, &bytes).unwrap();
    restore(&archive, &opener, &to, driver()).unwrap();
    assert!(matches!(restore(&archive, &opener, &to, driver()), Err(ArchiveError::NotEmpty(_))));
    // As after a kill in the middle.
    fs::write(to.join(RESTORE_FILE), "").unwrap();
    fs::write(to.join("holdfast.redb"), "half").unwrap();
    fs::remove_file(to.join("master.key")).unwrap();
    assert!(matches!(open(&to), Err(OpenError::HalfRestored { .. })));
    assert!(Pieces::from(to.as_path()).look().is_err());
    restore(&archive, &opener, &to, driver()).unwrap();
    let fleet = open(&to).unwrap();
    assert_eq!(fleet.read().unwrap().hosts().unwrap().len(), 40);
    fleet.shutdown().await;
    // A disk that is new has one folder, and nothing else may be there.
    let mount = folder.path().join("mount");
    fs::create_dir_all(mount.join("lost+found")).unwrap();
    fs::write(mount.join("file"), "").unwrap();
    assert!(matches!(restore(&archive, &opener, &mount, driver()), Err(ArchiveError::NotEmpty(_))));
    fs::remove_file(mount.join("file")).unwrap();
    restore(&archive, &opener, &mount, driver()).unwrap();
    open(&mount).unwrap().shutdown().await;
    assert!(mount.join("lost+found").is_dir());
    for name in ["file", "link"] {
        let other = folder.path().join(name);
        fs::create_dir(&other).unwrap();
        match name {
            "file" => fs::write(other.join("lost+found"), "").unwrap(),
            _ => std::os::unix::fs::symlink(&mount, other.join("lost+found")).unwrap(),
        }
        assert!(matches!(restore(&archive, &opener, &other, driver()), Err(ArchiveError::NotEmpty(_))));
    }
    // What is somebody else's is not touched.
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("master.key"), "mine").unwrap();
    assert!(matches!(restore(&archive, &opener, &full, driver()), Err(ArchiveError::NotEmpty(_))));
    assert_eq!(fs::read(full.join("master.key")).unwrap(), b"mine");
}

/// Whoever makes a server in a folder has it alone: another one there would take what the first makes for what is torn.
#[tokio::test(flavor = "multi_thread")]
async fn two_restores_into_one_folder_make_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, opener) = quick(folder.path()).await;
    let archive = folder.path().join("archive.age");
    fs::write(&archive, &bytes).unwrap();
    for nth in 0..4 {
        let to = folder.path().join(format!("new-{nth}"));
        let ended: Vec<_> = std::thread::scope(|scope| {
            let begin = || scope.spawn(|| restore(&archive, &opener, &to, driver()));
            [begin(), begin(), begin()].into_iter().map(|one| one.join().unwrap()).collect()
        });
        let is_late = |why: &ArchiveError| matches!(why, ArchiveError::Busy(_) | ArchiveError::NotEmpty(_));
        let late = ended.iter().filter(|ended| ended.as_ref().is_err_and(is_late)).count();
        assert_eq!((late, ended.iter().filter(|ended| ended.is_ok()).count()), (2, 1), "{ended:?}");
        let fleet = open(&to).unwrap();
        assert_eq!(fleet.read().unwrap().hosts().unwrap().len(), 40);
        fleet.shutdown().await;
        assert!(!to.join("restore-lock").exists() && !to.join(RESTORE_FILE).exists());
    }
}

/// What fails takes along what it has made, and nothing else: a server may have been started there meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_removes_only_what_it_has_made() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, opener) = quick(folder.path()).await;
    let (archive, to) = (folder.path().join("archive.age"), folder.path().join("new"));
    fs::write(&archive, &bytes).unwrap();
    let mut first = NewFolder::begin(&to, "words", may_restore_into).unwrap();
    let refused = restore(&archive, &opener, &to, driver()).unwrap_err();
    assert!(matches!(refused, ArchiveError::Busy(_)), "{refused}");
    first.put("tls/ca.pem", b"its own").unwrap();
    // What somebody else puts there.
    fs::write(to.join("master.key"), "another's").unwrap();
    fs::write(to.join("tls/next.pem"), "another's").unwrap();
    assert!(first.put("master.key", b"its own").is_err());
    drop(first);
    let is_there = |name: &str| to.join(name).exists();
    assert_eq!(fs::read(to.join("master.key")).unwrap(), b"another's");
    assert!(is_there("tls/next.pem") && !is_there("tls/ca.pem") && !is_there(RESTORE_FILE));
    assert!(matches!(restore(&archive, &opener, &to, driver()), Err(ArchiveError::NotEmpty(_))));
    assert!(is_there("master.key"));
    // One that can't be used is as it was: not there.
    let exposed = folder.path().join("exposed");
    fs::create_dir(&exposed).unwrap();
    fs::set_permissions(&exposed, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    assert!(restore(&archive, &opener, &exposed.join("new"), driver()).is_err());
    assert!(!exposed.join("new").exists());
}

/// A salvage may make the key check anew: a standby still knows its server by the master key.
#[test]
fn which_server_an_archive_is_of_is_told_by_its_master_key() {
    let checked = |seed: u8, salt: u8| {
        let calls = AtomicU64::new(0);
        // The master key is what is drawn first.
        let random = move |bytes: &mut [u8]| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => bytes.fill(seed),
            call => bytes.fill(call as u8 ^ salt),
        };
        let driver = Driver { now: Arc::new(|| NOW), random: Arc::new(random) };
        let fleet = Fleet::in_memory(Settings::of_nobody(Vec::new()), driver).unwrap();
        let mut bytes = Vec::new();
        let own = age::x25519::Identity::generate();
        let key = ArchiveKey::Recipients(vec![own.to_public().to_string()]);
        fleet.begin_archive(vec![], "0.0.1").unwrap().write(&key, &mut bytes).unwrap();
        let identity = Secret::new(age::secrecy::ExposeSecret::expose_secret(&own.to_string()));
        let found = check_archive(bytes.as_slice(), &ArchiveOpener::Identities(identity)).unwrap();
        (found.server, found.formerly)
    };
    let (one, anew, other) = (checked(1, 0), checked(1, 0x55), checked(2, 0));
    assert_eq!(one.0, anew.0);
    assert_ne!(one.1, anew.1);
    assert_ne!(one.0, other.0);
}

/// A mount that is shared, or a restored server with the settings of the first: what one has made is no other's to count or remove.
#[test]
fn two_servers_with_one_folder_keep_their_own_archives() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = ArchiveFolder { path: scratch.path().join("shared"), keep: 2, makes: true, last: None };
    let minutes = Arc::new(AtomicU64::new(0));
    let own = age::x25519::Identity::generate();
    let key = ArchiveKey::Recipients(vec![own.to_public().to_string()]);
    let server = |seed: u8| {
        let minutes = minutes.clone();
        let now = move || Timestamp(NOW.0 + minutes.load(Ordering::Relaxed) * 60_000);
        let driver = Driver { now: Arc::new(now), random: Arc::new(move |bytes| bytes.fill(seed)) };
        Fleet::in_memory(Settings::of_nobody(Vec::new()), driver).unwrap()
    };
    let (one, other) = (server(1), server(2));
    let make = |fleet: &Fleet| folder.make(fleet.begin_archive(vec![], "0.0.1").unwrap(), &key).unwrap().name;
    let count = |fleet: &Fleet| {
        let own = folder.own(&fleet.archives_of().unwrap()).unwrap();
        own.into_iter().map(|kept| kept.name).collect::<Vec<_>>()
    };
    // What somebody has put there is nobody's to count or remove, and no archive gets its name.
    let put = make(&one);
    fs::remove_file(folder.path.join(format!(".holdfast-archives-of-{}", one.archives_of().unwrap())))
        .unwrap();
    fs::write(folder.path.join(&put), "age-encryption.org/v1 of elsewhere").unwrap();
    assert_eq!((count(&one), count(&other)), (vec![], vec![]));
    let beside = make(&one);
    assert_ne!(beside, put);
    assert_eq!(count(&one), [beside]);
    let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        minutes.fetch_add(1, Ordering::Relaxed);
        // Both in one second.
        of_one.insert(0, make(&one));
        of_other.insert(0, make(&other));
    }
    assert_ne!(of_one[0], of_other[0]);
    assert_eq!((count(&one), count(&other)), (of_one[..2].to_vec(), of_other[..2].to_vec()));
    // A file of that name that is none of age, such as one of a disk that was full, is no archive.
    let fake = archive_name(Timestamp(NOW.0 + 3_600_000));
    for bytes in ["", "age-enc", "something else that is as long"] {
        fs::write(folder.path.join(&fake), bytes).unwrap();
        assert_eq!(count(&one), of_one[..2]);
    }
    minutes.fetch_add(1, Ordering::Relaxed);
    make(&one);
    assert!(folder.path.join(&fake).exists(), "it is not removed either");
    assert_eq!(fs::read(folder.path.join(&put)).unwrap(), b"age-encryption.org/v1 of elsewhere");
}

/// The folder of a disk is there when the disk is not.
#[test]
fn no_archive_is_made_in_an_empty_mount_point() {
    let scratch = tempfile::tempdir().unwrap();
    let (disk, away) = (scratch.path().join("disk"), scratch.path().join("away"));
    let at = |name: &str| {
        let last = Some(scratch.path().join("archive-dir.last"));
        ArchiveFolder { path: scratch.path().join(name), keep: 2, makes: false, last }
    };
    let driver = Driver { now: Arc::new(|| NOW), random: Arc::new(|bytes| bytes.fill(1)) };
    let fleet = Fleet::in_memory(Settings::of_nobody(Vec::new()), driver).unwrap();
    let key = ArchiveKey::Recipients(vec![age::x25519::Identity::generate().to_public().to_string()]);
    let make = |folder: &ArchiveFolder| folder.make(fleet.begin_archive(vec![], "0.0.1").unwrap(), &key);
    let folder = at("disk");
    assert!(make(&folder).unwrap_err().to_string().contains("mount its disk"));
    fs::create_dir(&disk).unwrap();
    make(&folder).unwrap();
    make(&folder).unwrap();
    fs::rename(&disk, &away).unwrap();
    fs::create_dir(&disk).unwrap();
    let refused = make(&folder).unwrap_err().to_string();
    assert!(refused.contains("mount its disk"), "{refused}");
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
    // What it says helps: it is to begin anew there.
    let note = refused.rsplit_once("make the file ").unwrap().1.split_once(' ').unwrap().0;
    fs::write(disk.join(note), "").unwrap();
    make(&folder).unwrap();
    // Another folder is another one, and the disk that is back is known.
    fs::create_dir(scratch.path().join("other")).unwrap();
    make(&at("other")).unwrap();
    fs::remove_dir_all(&disk).unwrap();
    fs::rename(&away, &disk).unwrap();
    make(&folder).unwrap();
    assert_eq!(folder.own(&fleet.archives_of().unwrap()).unwrap().len(), 2);
}

/// What is made of an archive has the settings of the first, and its folder of archives with them; the first may still run.
#[tokio::test]
async fn a_server_and_its_restored_copy_keep_their_own_archives_in_one_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = ArchiveFolder { path: scratch.path().join("shared"), keep: 2, makes: true, last: None };
    let minutes = Arc::new(AtomicU64::new(0));
    let driver = || {
        let minutes = minutes.clone();
        let now = move || Timestamp(NOW.0 + minutes.load(Ordering::Relaxed) * 60_000);
        Driver { now: Arc::new(now), ..driver() }
    };
    let open =
        |data_dir: &Path| Fleet::open(Pieces::from(data_dir), Settings::for_tests(), driver()).unwrap();
    let make = |fleet: &Fleet| {
        minutes.fetch_add(1, Ordering::Relaxed);
        folder.make(fleet.begin_archive(vec![], "0.0.1").unwrap(), &passphrase()).unwrap().name
    };
    let own = |fleet: &Fleet| {
        let own = folder.own(&fleet.archives_of().unwrap()).unwrap();
        own.into_iter().map(|kept| kept.name).collect::<Vec<_>>()
    };
    let first = open(&scratch.path().join("first"));
    let common = [make(&first), make(&first)];
    minutes.fetch_add(1, Ordering::Relaxed);
    let restored = scratch.path().join("restored");
    restore(&folder.path.join(&common[1]), &opener(), &restored, driver()).unwrap();
    let copy = open(&restored);
    assert_eq!(own(&copy), Vec::<String>::new(), "those of the first are none of its own");
    let of_copy: Vec<_> = (0..4).map(|_| make(&copy)).collect();
    assert_eq!(own(&copy), [of_copy[3].clone(), of_copy[2].clone()]);
    // The copy has made twice as many as stay: the archives that the first goes back to are there.
    assert_eq!(own(&first), [common[1].clone(), common[0].clone()]);
    let of_first: Vec<_> = (0..4).map(|_| make(&first)).collect();
    assert_eq!(own(&first), [of_first[3].clone(), of_first[2].clone()]);
    assert_eq!(own(&copy), [of_copy[3].clone(), of_copy[2].clone()]);
    // Also after a start.
    copy.shutdown().await;
    drop(copy);
    let copy = open(&restored);
    assert_eq!(own(&copy), [of_copy[3].clone(), of_copy[2].clone()]);
}

/// What can be brought again holds up no archive: it is told in the archive, and where archives are shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_archive_goes_without_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = server(&folder.path().join("data")).await;
    let kept = ArchiveFolder { path: folder.path().join("archives"), keep: 9, makes: true, last: None };
    let lacks =
        Arc::new(std::sync::Mutex::new(vec!["the certificate of the pages: it is not there".to_owned()]));
    let told = Arc::clone(&lacks);
    let of = move || Beside { parts: parts(), lacks: told.lock().unwrap().clone() };
    let archives = Arc::new(Archives::new(fleet.clone(), kept.clone(), Arc::new(of), "0.0.1"));
    let drawn = DrawnIdentity::draw();
    archives.set_key(ArchiveKey::Recipients(vec![drawn.recipient()]), By::system()).await.unwrap();
    let opener = ArchiveOpener::Drawn(drawn);
    for expected in [1, 0] {
        let made = archives.make(By::system()).await.unwrap();
        let found = look_through(kept.open(&made.name).unwrap().unwrap().0, &opener).unwrap();
        assert_eq!((found.about.lacks.len(), archives.status().unwrap().lacks.len()), (expected, expected));
        lacks.lock().unwrap().clear();
    }
    fleet.shutdown().await;
}

/// What a rehearsal makes is gone when it ends, however it ends; also what one has left that was killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_opens_and_counts_all_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, opener) = quick(folder.path()).await;
    let archive = folder.path().join("archive.age");
    fs::write(&archive, &bytes).unwrap();
    let parent = folder.path().join("scratch");
    let left = parent.join("holdfast-rehearsal.4194399/server");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("master.key"), "a secret").unwrap();
    fs::write(parent.join("holdfast-rehearsal.4194399/lock"), "").unwrap();
    // One of another container that runs, whose process nobody here sees.
    let runs = parent.join(format!("holdfast-rehearsal.{}", std::process::id()));
    fs::create_dir(&runs).unwrap();
    let held = fs::File::create(runs.join("lock")).unwrap();
    held.lock().unwrap();
    let is_clear = || {
        let mut names = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().path());
        names.next() == Some(runs.clone()) && names.next().is_none()
    };
    let mut looked = None;
    let rehearsed = rehearse(&archive, &opener, &Scratch::begin(&parent).unwrap(), driver(), |made| {
        looked = Some((
            made.join("master.key").exists(),
            fs::metadata(made.parent().unwrap()).unwrap().mode() & 0o777,
        ));
        Ok(())
    });
    let Rehearsal { restored, holds } = rehearsed.unwrap();
    assert_eq!(looked, Some((true, 0o700)));
    assert_eq!((restored.about.hosts, holds.hosts, holds.credentials, holds.accounts), (40, 40, 40, 1));
    assert_eq!((holds.enrolled, holds.jobs, holds.newest_job_at, holds.sealed), (0, 0, None, 0));
    assert!(is_clear());
    let refused = rehearse(&archive, &opener, &Scratch::begin(&parent).unwrap(), driver(), |_| {
        Err("no port".to_owned())
    })
    .unwrap_err();
    assert!(refused.to_string().ends_with("would not start: no port"), "{refused}");
    assert!(is_clear());
    fs::write(&archive, &bytes[..bytes.len() - 9]).unwrap();
    let refused = rehearse(&archive, &opener, &Scratch::begin(&parent).unwrap(), driver(), |_| {
        panic!("nothing is made")
    });
    assert!(matches!(refused, Err(ArchiveError::Damaged(_))));
    assert!(is_clear());
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_of_one_instant_while_others_write_and_only_whole_ones_count() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = server(&folder.path().join("data")).await;
    let place = ArchiveFolder { path: folder.path().join("backups"), keep: 3, makes: true, last: None };
    let (stop, writes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn({
        let (fleet, stop, writes) = (fleet.clone(), stop.clone(), writes.clone());
        async move {
            while stop.load(Ordering::Relaxed) == 0 {
                let n = writes.fetch_add(1, Ordering::Relaxed);
                let id = HostId((u128::from(n)).to_be_bytes());
                // Two rows in tables far from each other in the archive: both are there, or none.
                let both = fleet.write(By::system(), move |op| {
                    op.tx.put(&HOST_NAMES, &format!("one-{n}"), &id)?;
                    Ok(op.tx.put(&SCHEDULES_DUE, &(n, id, String::new()), &())?)
                });
                both.await.unwrap();
            }
        }
    });
    let drawn = DrawnIdentity::draw();
    let key = ArchiveKey::Recipients(vec![drawn.recipient()]);
    let opener = ArchiveOpener::Drawn(drawn);
    let mut of_a_moment = 0;
    for round in 0..50 {
        let archive = folder.path().join("archive.age");
        // In turn of the file in use, and of the file as it stood beside that.
        if round % 2 == 0 {
            write_to(&fleet, &archive, &key);
        } else {
            let moment = fleet.moment().await.unwrap().expect("nobody else looks");
            let aside = fleet.begin_archive_aside(moment, parts(), "0.0.1").unwrap();
            match aside.write(&key, fs::File::create(&archive).unwrap()) {
                Ok(_) => of_a_moment += 1,
                // The file was made shorter meanwhile.
                Err(ArchiveError::Overtaken) => drop(write_to(&fleet, &archive, &key)),
                Err(error) => panic!("{error}"),
            }
        }
        let to = folder.path().join(format!("new-{round}"));
        restore(&archive, &opener, &to, driver()).unwrap();
        let restored = open(&to).unwrap();
        let view = restored.view().unwrap();
        let names = view.keys(&HOST_NAMES, &Span::ALL, usize::MAX).unwrap();
        let mut one: Vec<u64> =
            names.iter().filter_map(|name| name.strip_prefix("one-")?.parse().ok()).collect();
        one.sort_unstable();
        let two = view.keys(&SCHEDULES_DUE, &Span::ALL, usize::MAX).unwrap();
        let two: Vec<u64> = two.into_iter().map(|(n, ..)| n).collect();
        assert_eq!(one, two);
        assert_eq!(one, (0..one.len() as u64).collect::<Vec<_>>(), "no hole");
        drop(view);
        restored.shutdown().await;
        fs::remove_dir_all(&to).unwrap();
    }
    stop.store(1, Ordering::Relaxed);
    writing.await.unwrap();
    assert!(writes.load(Ordering::Relaxed) > 50);
    assert!(of_a_moment > 0, "each of them was overtaken");
    // What a kill has left, and what is not the server's.
    fs::create_dir_all(&place.path).unwrap();
    // No process has a number as high as this one.
    let draft = place.path.join(format!("{}.4194305.new", archive_name(NOW)));
    fs::write(&draft, "half").unwrap();
    fs::write(place.path.join("letter.txt"), "mine").unwrap();
    let kept = place.make(fleet.begin_archive(parts(), "0.0.1").unwrap(), &key).unwrap();
    assert!(!draft.exists() && place.path.join("letter.txt").exists());
    assert_eq!(place.list().unwrap(), [kept]);
    assert!(
        place.open("letter.txt").unwrap().is_none() && place.open("../data/master.key").unwrap().is_none()
    );
    fleet.shutdown().await;
}

/// The moment is given up when too much is written over meanwhile: what was read is of no one state, and does not count.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_overtaken_is_none_and_the_next_one_is_made_of_the_file_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = server(&folder.path().join("data")).await;
    let drawn = DrawnIdentity::draw();
    let key = ArchiveKey::Recipients(vec![drawn.recipient()]);
    let moment = fleet.moment().await.unwrap().expect("nobody else looks");
    assert!(fleet.moment().await.unwrap().is_none(), "one at a time");
    let aside = fleet.begin_archive_aside(moment, parts(), "0.0.1").unwrap();
    fleet.store().give_up_moment();
    assert!(matches!(aside.write(&key, Vec::new()), Err(ArchiveError::Overtaken)));
    let place = ArchiveFolder { path: folder.path().join("backups"), keep: 3, makes: true, last: None };
    let kept = place.make(fleet.begin_archive(parts(), "0.0.1").unwrap(), &key).unwrap();
    assert_eq!(place.list().unwrap(), [kept]);
    fleet.shutdown().await;
}

/// Only a promotion knows whose place the server takes, and keeps the archives that are there.
#[test]
fn nothing_is_restored_into_the_folder_of_a_standby_whole_or_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, archive) = (folder.path().join("data"), folder.path().join("archive.age"));
    fs::create_dir_all(data_dir.join("standby/archives")).unwrap();
    let why = restore(&archive, &opener(), &data_dir, driver()).unwrap_err();
    assert!(matches!(why, ArchiveError::Piece(OpenError::Standby { .. })), "{why}");
    fs::write(data_dir.join(RESTORE_FILE), "x").unwrap();
    let why = restore(&archive, &opener(), &data_dir, driver()).unwrap_err();
    assert!(matches!(why, ArchiveError::Piece(OpenError::HalfPromoted { .. })), "{why}");
    assert!(why.to_string().contains("holdfast-server promote"), "{why}");
    let why = Pieces::from(data_dir.as_path()).look().unwrap_err();
    assert!(matches!(why, OpenError::HalfPromoted { .. }), "{why}");
    assert!(data_dir.join("standby/archives").is_dir());
    fs::remove_dir_all(data_dir.join("standby")).unwrap();
    let why = Pieces::from(data_dir.as_path()).look().unwrap_err();
    assert!(matches!(why, OpenError::HalfRestored { .. }), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_no_archive_has_makes_one_due() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(NOW.0));
    let hands = Arc::clone(&clock);
    let driver = Driver { now: Arc::new(move || Timestamp(hands.load(Ordering::Relaxed))), ..driver() };
    let fleet = Fleet::in_memory(Settings::for_tests(), driver).unwrap();
    let kept = ArchiveFolder { path: folder.path().join("archives"), keep: 9, makes: true, last: None };
    let archives = Arc::new(Archives::new(
        fleet.clone(),
        kept,
        Arc::new(|| Beside { parts: parts(), ..Beside::default() }),
        "0.0.1",
    ));
    let recipient = DrawnIdentity::draw().recipient();
    archives.set_key(ArchiveKey::Recipients(vec![recipient]), By::system()).await.unwrap();
    let tick = || clock.fetch_add(2_000, Ordering::Relaxed);
    for next in [None, Some(vec![9; 40])] {
        let _ = tick();
        if let Some(next) = next {
            fleet.trust_next_authority(next, By::system()).await.unwrap();
        }
        let _ = tick();
        assert!(archives.is_due().unwrap());
        let _ = archives.make(By::system()).await.unwrap();
        assert!(!archives.is_due().unwrap());
    }
    // It takes the place of the other one: the archive has both.
    let _ = tick();
    fleet.retire_authority(true, By::system()).await.unwrap();
    assert!(!archives.is_due().unwrap());
    fleet.shutdown().await;
}

/// No number is given above which no archive of before could be restored.
#[tokio::test]
async fn an_incarnation_that_leaves_none_for_later_restores_is_refused_before_anything_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let fleet = server(&scratch.path().join("data")).await;
    let archive = scratch.path().join("one.age");
    let file = fs::File::create(&archive).unwrap();
    fleet.begin_archive(vec![], "0.0.1").unwrap().write(&passphrase(), file).unwrap();
    let restored = scratch.path().join("restored");
    let above = |number: u64| {
        let wish = RestoreAs { above: schema::Incarnation(number), ..RestoreAs::default() };
        restore_as(&archive, &opener(), &restored, driver(), wish)
    };
    let why = above(crate::MOST_INCARNATION).unwrap_err();
    assert_eq!(why.code(), "incarnation_too_high");
    assert!(why.to_string().contains("no archive of before could be restored"), "{why}");
    assert!(!restored.exists());
    let at = above(crate::MOST_INCARNATION / 2).unwrap().incarnation;
    assert!(at.0 > crate::MOST_INCARNATION / 2 && at.0 <= crate::MOST_INCARNATION);
}
