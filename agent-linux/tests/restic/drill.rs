//! Drills: what is drawn comes back, is compared, and leaves nothing behind.

use crate::{
    rig::{Ran, Rig, until, with_each_version},
    tools::Version,
};
use agent_linux::restic::{Control, DrillDone, JobSummary};
use schema::{
    Class, Items, JobSpec, Outcome,
    drill::{DrillCuts, DrillFault},
    job::DrillSpec,
};
use std::{
    fs::{self, FileTimes},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

const PLAIN: DrillSpec<'static> = DrillSpec {
    group: "g1",
    origins: Items::EMPTY,
    seed: 1,
    max_files: 20,
    max_bytes: 512 << 20,
    max_secs: 900,
};

async fn drill(rig: &mut Rig, spec: DrillSpec<'_>) -> Ran {
    rig.run(JobSpec::Drill(spec)).await
}

fn done(ran: &Ran) -> &DrillDone {
    match &ran.end.summary {
        JobSummary::Drill(done) => done,
        other => panic!("{other:?}: {ran:#?}"),
    }
}

/// Drawn, equal, changed since, unreadable, different, not tried.
fn counts(ran: &Ran) -> [u32; 6] {
    let done = done(ran);
    assert_eq!(
        done.drawn,
        done.equal + done.changed_since + done.unreadable + done.different + done.not_tried
    );
    [done.drawn, done.equal, done.changed_since, done.unreadable, done.different, done.not_tried]
}

fn has_scratch(rig: &Rig) -> bool {
    rig.path("home/drill").exists()
}

/// A repository with one snapshot of five small files.
async fn saved(restic: PathBuf) -> (Rig, PathBuf) {
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    rig.backup(&[&source]).await.succeeded();
    (rig, source.into())
}

/// The packs of the repository, the large ones: those with the content of files.
fn packs(rig: &Rig, at_least: u64) -> Vec<PathBuf> {
    let folders = fs::read_dir(rig.path("repo/data")).unwrap().flatten();
    let packs = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    let mut packs: Vec<PathBuf> =
        packs.filter(|pack| pack.metadata().unwrap().len() >= at_least).map(|pack| pack.path()).collect();
    packs.sort();
    packs
}

fn flip(pack: &Path, at: usize) {
    let mut bytes = fs::read(pack).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 1;
    fs::remove_file(pack).unwrap();
    fs::write(pack, bytes).unwrap();
}

#[tokio::test]
async fn what_is_drawn_comes_back_equal_and_leaves_nothing() {
    with_each_version(async |_, restic| {
        let (mut rig, source) = saved(restic).await;
        let ran = drill(&mut rig, PLAIN).await.succeeded();
        assert_eq!(counts(&ran), [5, 5, 0, 0, 0, 0], "{ran:#?}");
        let found = done(&ran);
        assert_eq!((found.of_files, found.of_bytes, found.bytes), (5, 25_000, 25_000));
        assert_eq!(
            (found.snapshot.len(), found.cuts, found.restore_ms > 0),
            (64, DrillCuts::default(), true)
        );
        assert!(!has_scratch(&rig));
        // Fewer, and the same ones again.
        let few = DrillSpec { max_files: 2, ..PLAIN };
        let (one, other) = (drill(&mut rig, few).await.succeeded(), drill(&mut rig, few).await.succeeded());
        assert_eq!((counts(&one), counts(&other)), ([2, 2, 0, 0, 0, 0], [2, 2, 0, 0, 0, 0]));
        let drawn = |ran: &Ran| ran.log.iter().find(|line| line.contains("--include=")).cloned().unwrap();
        assert_eq!(drawn(&one), drawn(&other));
        // The bound on bytes leaves room for two files, and says what it cut.
        let ran = drill(&mut rig, DrillSpec { max_bytes: 12_000, ..PLAIN }).await.succeeded();
        assert_eq!((counts(&ran)[0], done(&ran).cuts.over_bytes), (2, 3));
        let ran = drill(&mut rig, DrillSpec { max_bytes: 4_999, ..PLAIN }).await.failed(Class::Other);
        assert_eq!((counts(&ran)[0], done(&ran).cuts.too_large), (0, 5));
        // A source that is gone or changed is no fault of what is stored.
        fs::write(source.join("inner/file-0"), "another").unwrap();
        fs::write(source.join("inner/file-1"), "x".repeat(5000)).unwrap();
        fs::remove_file(source.join("inner/file-2")).unwrap();
        let ran = drill(&mut rig, PLAIN).await.succeeded();
        assert_eq!(counts(&ran), [5, 2, 3, 0, 0, 0], "{ran:#?}");
        assert!(!has_scratch(&rig));
        // Whose snapshot there is none of can't be proven.
        let ran = drill(&mut rig, DrillSpec { group: "other", ..PLAIN }).await.failed(Class::Other);
        assert!(ran.end.message.contains("no snapshot of other"), "{ran:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_time_that_was_set_back_does_not_make_a_whole_snapshot_look_wrong() {
    let Some(restic) = Version::V018.program() else { return };
    let (mut rig, source) = saved(restic).await;
    let path = source.join("inner/file-3");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "y".repeat(5000)).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_times(FileTimes::new().set_modified(before)).unwrap();
    let ran = drill(&mut rig, PLAIN).await.succeeded();
    assert_eq!(counts(&ran), [5, 4, 1, 0, 0, 0], "{ran:#?}");
}

#[tokio::test]
async fn names_of_all_kinds_are_drawn_or_told() {
    with_each_version(async |_, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.path("source");
        fs::create_dir(&source).unwrap();
        let long = "l".repeat(255);
        let names: [&[u8]; 8] = [
            b"new\nline",
            b"-dash",
            b"st*r",
            b"wh?t",
            b"br[a]cket",
            b"back\\slash",
            b"\xff\xfe",
            long.as_bytes(),
        ];
        for name in names {
            fs::write(source.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
        }
        rig.backup(&[source.to_str().unwrap()]).await.succeeded();
        let ran = drill(&mut rig, PLAIN).await.succeeded();
        assert_eq!(counts(&ran), [7, 7, 0, 0, 0, 0], "{ran:#?}");
        assert_eq!(done(&ran).cuts.odd_names, 1);
    })
    .await;
}

/// Whatever byte of the packs is flipped: a drill that draws all files never says ok unless all of them came back right.
async fn flipped_bytes_are_found(version: Version, seeds: u64) {
    let Some(restic) = version.program() else { return };
    let mut rig = Rig::initialised(restic).await;
    let source = rig.big_source(6);
    rig.backup(&[&source]).await.succeeded();
    let mut state = 0x1234_5678_9abc_def0_u64;
    for seed in 0..seeds {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let packs = packs(&rig, 100_000);
        let pack = &packs[(state >> 33) as usize % packs.len()];
        let whole = fs::read(pack).unwrap();
        // Behind the last blob stands what only the index needs: what is flipped there harms no file.
        let at = (state >> 20) as usize % (whole.len() - 4096);
        flip(pack, at);
        let ran = drill(&mut rig, DrillSpec { seed, ..PLAIN }).await.failed(Class::ProofFailed);
        let [drawn, equal, _, unreadable, different, not_tried] = counts(&ran);
        assert!(unreadable + different > 0 && not_tried == 0 && equal < drawn, "seed {seed}: {ran:#?}");
        let named = &done(&ran).findings;
        assert!(
            named.iter().all(|(path, fault, why)| path.contains("/big-")
                && *fault == DrillFault::Unreadable
                && !why.is_empty()),
            "{named:?}"
        );
        assert!(!has_scratch(&rig));
        fs::write(pack, whole).unwrap();
    }
    drill(&mut rig, PLAIN).await.succeeded();
}

/// As many as `few`, or fifty with `./test --soak`.
fn seeds(few: u64) -> u64 {
    if std::env::var_os("HOLDFAST_SOAK").is_some() { 50 } else { few }
}

#[tokio::test]
async fn a_flipped_byte_is_found_by_the_drill_that_draws_its_file() {
    flipped_bytes_are_found(Version::V018, 50).await;
}

#[tokio::test]
async fn a_flipped_byte_is_found_by_the_oldest_restic() {
    flipped_bytes_are_found(Version::V014, seeds(10)).await;
}

#[tokio::test]
async fn a_flipped_byte_is_found_by_the_newest_restic() {
    flipped_bytes_are_found(Version::Newest, seeds(10)).await;
}

#[tokio::test]
async fn a_missing_pack_and_a_lost_index_are_no_proof() {
    with_each_version(async |version, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.big_source(1);
        rig.backup(&[&source]).await.succeeded();
        // 0.14 tries for most of a minute.
        if version != Version::V014 {
            let pack = packs(&rig, 100_000).remove(0);
            let whole = fs::read(&pack).unwrap();
            fs::remove_file(&pack).unwrap();
            let ran = drill(&mut rig, PLAIN).await.failed(Class::ProofFailed);
            assert_eq!(counts(&ran), [1, 0, 0, 1, 0, 0], "{ran:#?}");
            fs::write(pack, whole).unwrap();
        }
        for index in fs::read_dir(rig.path("repo/index")).unwrap().flatten() {
            fs::remove_file(index.path()).unwrap();
        }
        fs::remove_dir_all(rig.path("cache")).unwrap();
        let ran = drill(&mut rig, PLAIN).await;
        assert_eq!((ran.end.outcome, ran.end.class), (Outcome::Failed, Some(Class::ProofFailed)), "{ran:#?}");
        assert!(!has_scratch(&rig));
    })
    .await;
}

/// The agent's own cache has it all still: only the repository counts.
#[tokio::test]
async fn what_only_the_agents_cache_holds_is_no_proof() {
    with_each_version(async |version, restic| {
        let (mut rig, _) = saved(restic).await;
        // A second snapshot, so that the first one is not the only one that could be listed.
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
        drill(&mut rig, PLAIN).await.succeeded();
        assert!(fs::read_dir(rig.path("cache")).unwrap().count() > 0, "there is a cache");
        assert!(!rig.path("home/proof-cache").exists());
        let mut packs = Vec::new();
        for folder in fs::read_dir(rig.path("repo/data")).unwrap() {
            for pack in fs::read_dir(folder.unwrap().path()).unwrap() {
                packs.push(pack.unwrap().path());
            }
        }
        let snapshots = fs::read_dir(rig.path("repo/snapshots")).unwrap();
        let snapshots: Vec<PathBuf> = snapshots.map(|file| file.unwrap().path()).collect();
        let indexes = fs::read_dir(rig.path("repo/index")).unwrap();
        let indexes: Vec<PathBuf> = indexes.map(|file| file.unwrap().path()).collect();
        for (what, files) in [("packs", &packs), ("snapshots", &snapshots), ("index", &indexes)] {
            // This one tries for a quarter of an hour what it can't read.
            if version == Version::V014 && what != "packs" {
                continue;
            }
            let before: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
            for (file, bytes) in files.iter().zip(&before) {
                fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
                fs::write(file, bytes.iter().map(|byte| byte ^ 0x20).collect::<Vec<u8>>()).unwrap();
            }
            let ran = drill(&mut rig, PLAIN).await;
            assert_eq!(ran.end.class, Some(Class::ProofFailed), "{what} {ran:#?}");
            assert!(!rig.path("home/proof-cache").exists() && !has_scratch(&rig), "{what}");
            for (file, bytes) in files.iter().zip(&before) {
                fs::write(file, bytes).unwrap();
            }
        }
        drill(&mut rig, PLAIN).await.succeeded();
    })
    .await;
}

#[tokio::test]
async fn the_bound_on_time_ends_it_and_is_told() {
    let Some(restic) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(restic).await;
    let source = rig.big_source(6);
    rig.backup(&[&source]).await.succeeded();
    rig.wrap_restic(
        "case \"$*\" in *restore*) exec $RESTIC --limit-download=200 \"$@\";; esac; exec $RESTIC \"$@\"",
    );
    let ran = drill(&mut rig, DrillSpec { max_secs: 3, ..PLAIN }).await;
    assert!(done(&ran).cuts.out_of_time && done(&ran).not_tried > 0, "{ran:#?}");
    assert_eq!((done(&ran).unreadable, done(&ran).different), (0, 0), "{ran:#?}");
    assert_ne!(ran.end.class, Some(Class::ProofFailed));
    assert!(!has_scratch(&rig));
}

#[tokio::test]
async fn a_cancelled_drill_takes_its_scratch_away() {
    let Some(restic) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(restic).await;
    let source = rig.big_source(6);
    rig.backup(&[&source]).await.succeeded();
    rig.wrap_restic(
        "case \"$*\" in *restore*) exec $RESTIC --limit-download=200 \"$@\";; esac; exec $RESTIC \"$@\"",
    );
    let ran = rig
        .run_with(JobSpec::Drill(PLAIN), async |control, folder| {
            let scratch = folder.join("home/drill");
            until("the scratch folder", || scratch.exists()).await;
            control.send(Control::Interrupt).await.unwrap();
        })
        .await;
    assert_eq!((ran.end.outcome, ran.end.class), (Outcome::Cancelled, Some(Class::Cancelled)), "{ran:#?}");
    assert!(!has_scratch(&rig));
}
