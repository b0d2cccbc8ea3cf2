//! Restores, where links stand in the way and folders are swapped.

use crate::{
    rig::{Ran, Rig, with_each_version},
    tools::Version,
};
use agent_linux::restic::{JobSummary, RestoreDone, RestoreTo};
use schema::{Class, Items, JobSpec, OsText, Outcome, Overwrite, RestoreTarget, restore::RestoreSpec};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{MetadataExt as _, symlink},
    },
    path::{Path, PathBuf},
};

fn base(rig: &Rig, below: &str) -> PathBuf {
    rig.folder.path().canonicalize().unwrap().join("base").join(below)
}

/// Into a new folder in `below` of the base.
fn new_folder(rig: &Rig, below: &str) -> RestoreTo {
    RestoreTo::New { within: base(rig, below), forbidden: vec![rig.path("repo")] }
}

/// Into that folder itself.
fn named_folder(rig: &Rig, below: &str) -> RestoreTo {
    RestoreTo::Folder { path: base(rig, below), may_hold: true, forbidden: vec![rig.path("repo")] }
}

const PLAIN: RestoreSpec<'static> = RestoreSpec {
    snapshot: "",
    paths: Items::EMPTY,
    // Where it goes is the policy's to say, and is given with the order.
    target: RestoreTarget::Original,
    overwrite: Overwrite::Never,
    delete: false,
    verify: false,
    dry_run: false,
};

async fn restore(rig: &mut Rig, to: RestoreTo, snapshot: &str, paths: &[&str], dry_run: bool) -> Ran {
    let paths: Vec<&[u8]> = paths.iter().map(|path| path.as_bytes()).collect();
    restore_as(rig, to, &paths, RestoreSpec { snapshot, dry_run, ..PLAIN }).await
}

async fn restore_as(rig: &mut Rig, to: RestoreTo, paths: &[&[u8]], spec: RestoreSpec<'_>) -> Ran {
    rig.restore_to = Some(to);
    let mut room = [0; 4096];
    let paths = Items::write(paths.iter().map(|path| OsText::new(path)), &mut room).unwrap();
    rig.run(JobSpec::Restore(RestoreSpec { paths, ..spec })).await
}

fn done(ran: &Ran) -> &RestoreDone {
    match &ran.end.summary {
        JobSummary::Restore(done) => done,
        other => panic!("{other:?}"),
    }
}

/// The one folder that is in this one.
fn one_in(folder: &Path) -> PathBuf {
    let found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// A repository with one snapshot of a few files, its id, the source, and an empty folder beside it.
async fn saved(restic: PathBuf) -> (Rig, String, String, PathBuf) {
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    let backup = rig.backup(&[&source]).await.succeeded();
    let JobSummary::Backup(done) = backup.end.summary else { panic!("{backup:#?}") };
    let outside = rig.path("outside");
    fs::create_dir(&outside).unwrap();
    (rig, done.snapshot, source, outside)
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn a_restore_lands_in_a_new_folder_of_the_agents_own() {
    with_each_version(async |version, restic| {
        let (mut rig, id, source, _) = saved(restic).await;
        for (to, folder) in [
            (named_folder(&rig, "first"), "base/first"),
            (new_folder(&rig, "first"), "base/first/"),
            (new_folder(&rig, ""), "base/"),
        ] {
            let ran = restore(&mut rig, to, &id, &[], false).await.succeeded();
            let said = ran.log.iter().find_map(|line| line.strip_prefix("Agent: Restoring into "));
            let made = PathBuf::from(said.unwrap().split(',').next().unwrap());
            assert!(made.starts_with(rig.folder.path().canonicalize().unwrap().join(folder)), "{made:?}");
            assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
            assert_eq!(fs::read(made.join(&source[1..]).join("inner/file-1")).unwrap(), b"1".repeat(5000));
            let log = ran.log.join("\n");
            assert!(log.contains("--target=/proc/self/cwd/.holdfast-restoring"), "{log}");
        }
        let before = count(&rig.path("base"));
        for to in [new_folder(&rig, "dry"), named_folder(&rig, "dry")] {
            let ran = restore(&mut rig, to, &id, &[], true).await.succeeded();
            let done = done(&ran);
            assert_eq!(
                (done.target.clone(), done.is_estimate),
                (base(&rig, "dry"), version == Version::V014)
            );
            assert!(done.free_bytes.is_some_and(|free| free > 0));
            assert_eq!((count(&rig.path("base")), count(&rig.path("temp"))), (before, 0));
        }
        // Of a snapshot that is not there, no empty folder stays.
        let to = new_folder(&rig, "none");
        assert!(restore(&mut rig, to, "0123456789abcdef", &[], false).await.end.class.is_some());
        assert!(!rig.path("base/none").exists());
    })
    .await;
}

/// A repository that was written by hand: the root of its one snapshot has a link `a` and a folder `a` with a link in it.
fn made_by_hand(rig: &mut Rig) -> String {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/restic/crafted");
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-r").arg(from).arg(rig.path("crafted")).status().unwrap().success());
    rig.credentials.url = rig.path("crafted").display().to_string();
    rig.credentials.repo_password = "x".to_owned();
    let snapshots = fs::read_dir(rig.path("crafted/snapshots")).unwrap().flatten();
    snapshots.map(|it| it.file_name().into_string().unwrap()).next().unwrap()
}

#[tokio::test]
async fn a_snapshot_that_was_made_by_hand_is_not_restored() {
    with_each_version(async |_, restic| {
        let mut rig = Rig::new(restic);
        let id = made_by_hand(&mut rig);
        // Where its link leads: out of the new folder, beside it.
        let outside = rig.path("base/outside");
        fs::create_dir_all(&outside).unwrap();
        let mode = fs::metadata(&outside).unwrap().mode();
        for id in [&id[..], &id[..8]] {
            let to = new_folder(&rig, "new");
            let ran = restore(&mut rig, to, id, &[], false).await.failed(Class::Policy);
            assert!(ran.end.message.contains("has /a twice"), "{}", ran.end.message);
            assert_eq!((count(&outside), fs::metadata(&outside).unwrap().mode()), (0, mode));
            assert!(!rig.path("base/new").exists());
        }
    })
    .await;
}

#[tokio::test]
async fn a_folder_without_a_file_is_restored_too() {
    with_each_version(async |_, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.source();
        let empty = format!("{source}/empty/inner");
        fs::create_dir_all(&empty).unwrap();
        let backup = rig.backup(&[&source]).await.succeeded();
        let JobSummary::Backup(saved) = backup.end.summary else { panic!("{backup:#?}") };
        let picked = format!("{source}/empty");
        for dry_run in [true, false] {
            let to = new_folder(&rig, "");
            let ran = restore(&mut rig, to, &saved.snapshot, &[&picked], dry_run).await.succeeded();
            let RestoreDone { files, skipped, failed, .. } = done(&ran);
            assert_eq!((*files, *skipped, *failed), (0, 0, 0), "{ran:#?}");
        }
        let made = one_in(&base(&rig, "")).join(empty.trim_start_matches('/'));
        assert!(made.is_dir(), "{}", made.display());
    })
    .await;
}

#[tokio::test]
async fn a_file_beside_no_folder_is_restored_too() {
    with_each_version(async |_, restic| {
        let mut rig = Rig::initialised(restic).await;
        let mut save = std::process::Command::new(&rig.places.restic);
        save.args(["backup", "--quiet", "--stdin", "--stdin-filename=orders.sql", "--no-cache", "--repo"]);
        save.arg(rig.path("repo")).env("RESTIC_PASSWORD", &rig.credentials.repo_password);
        save.stdin(fs::File::open("/etc/hostname").unwrap());
        assert!(save.status().unwrap().success());
        let listed = rig.run(JobSpec::Snapshots).await.succeeded();
        let id = listed.snapshots[0].id.clone();
        let to = new_folder(&rig, "new");
        let _ = restore(&mut rig, to, &id, &[], false).await.succeeded();
        let made = one_in(&rig.path("base/new"));
        assert_eq!(fs::read(made.join("orders.sql")).unwrap(), fs::read("/etc/hostname").unwrap());
        assert_eq!(count(&made), 1);
    })
    .await;
}

#[tokio::test]
async fn a_link_in_the_target_is_not_followed() {
    with_each_version(async |_, restic| {
        let (mut rig, id, _, outside) = saved(restic).await;
        fs::create_dir_all(rig.path("base/in")).unwrap();
        symlink(&outside, rig.path("base/door")).unwrap();
        symlink(&outside, rig.path("base/in/door")).unwrap();
        for below in ["door", "door/x", "in/door/x"] {
            for to in [new_folder(&rig, below), named_folder(&rig, below)] {
                for dry_run in [true, false] {
                    let ran = restore(&mut rig, to.clone(), &id, &[], dry_run).await.failed(Class::Policy);
                    assert!(ran.end.message.contains("named without links"), "{}", ran.end.message);
                }
            }
        }
        // The base itself, and what is never to be written to.
        fs::rename(rig.path("base"), rig.path("was")).unwrap();
        symlink(&outside, rig.path("base")).unwrap();
        let to = new_folder(&rig, "x");
        let _ = restore(&mut rig, to, &id, &[], false).await.failed(Class::Policy);
        let forbidden = vec![rig.path("repo")];
        let within = base(&rig, "").parent().unwrap().join("repo/x");
        let to = RestoreTo::New { within, forbidden };
        let _ = restore(&mut rig, to, &id, &[], false).await.failed(Class::Policy);
        assert_eq!(count(&outside), 0);
        assert!(!rig.path("repo/x").exists());
    })
    .await;
}

#[tokio::test]
async fn a_target_that_is_swapped_under_restic_leads_nowhere_else() {
    with_each_version(async |_, restic| {
        let (mut rig, id, source, outside) = saved(restic).await;
        // Just before restic opens its target, a link stands in its place.
        let (base, was) = (rig.path("base"), rig.path("was"));
        rig.wrap_restic(&format!(
            "case \"$1\" in restore) mv {base}/new {was}; ln -s {outside} {base}/new;; esac\nexec $RESTIC \"$@\"",
            base = base.display(),
            was = was.display(),
            outside = outside.display()
        ));
        let to = named_folder(&rig, "new");
        let ran = restore(&mut rig, to, &id, &[], false).await.failed(Class::Policy);
        assert!(ran.end.message.contains("is not to be trusted"), "{}", ran.end.message);
        assert_eq!(count(&outside), 0, "nothing went through the link");
        assert!(was.join(&source[1..]).join("inner/file-1").exists(), "it is where the folder is now");
    })
    .await;
}

#[tokio::test]
async fn to_where_it_was_needs_a_restic_that_follows_no_links() {
    with_each_version(async |version, restic| {
        let (mut rig, id, source, outside) = saved(restic).await;
        let source = PathBuf::from(source);
        fs::remove_dir_all(source.join("inner")).unwrap();
        symlink(&outside, source.join("inner")).unwrap();
        let to = RestoreTo::Original { without: Vec::new() };
        let over = RestoreSpec { snapshot: &id, overwrite: Overwrite::Always, ..PLAIN };
        let ran = restore_as(&mut rig, to, &[source.to_str().unwrap().as_bytes()], over).await;
        if version == Version::V014 {
            let said = ran.failed(Class::Policy).end.message;
            assert!(said.contains("restore_in_place needs restic 0.18"), "{said}");
            assert!(source.join("inner").is_symlink());
        } else {
            let said = ran.failed(Class::Policy).end.message;
            assert!(said.contains("inner is no folder there"), "{said}");
            assert!(source.join("inner").is_symlink());
            fs::remove_file(source.join("inner")).unwrap();
            // What it is told to leave alone.
            let to = RestoreTo::Original { without: vec![source.join("inner/file-1")] };
            let _ = restore(&mut rig, to, &id, &[], false).await.succeeded();
            assert!(source.join("inner/file-2").exists() && !source.join("inner/file-1").exists());
        }
        assert_eq!(count(&outside), 0);
    })
    .await;
}

/// Names that mean something to a shell, a pattern, a line or a text, and one as long as they get.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        &b"new\nline"[..],
        b"quote'\"",
        b"star*",
        b"ask?",
        b"[x]",
        b"back\\slash",
        b"\\xff",
        b"odd\xff",
        b"odd\xfe[",
        b"-dash",
        b"!not",
        b"#hash",
        b"$HOME",
        b" blank ",
        b"~",
        b"{a,b}",
        "ä\u{301}".as_bytes(),
    ]
    .iter()
    .map(|name| name.to_vec())
    .collect();
    names.push(vec![b'n'; 255]);
    names
}

#[tokio::test]
async fn a_file_of_any_name_is_restored_by_its_name_alone() {
    with_each_version(async |_, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.path("odd");
        fs::create_dir(&source).unwrap();
        for name in odd_names() {
            fs::write(source.join(OsStr::from_bytes(&name)), &name).unwrap();
        }
        let backup = rig.backup(&[source.to_str().unwrap()]).await.succeeded();
        let JobSummary::Backup(saved) = backup.end.summary else { panic!() };
        for (number, name) in odd_names().into_iter().enumerate() {
            let path = source.join(OsStr::from_bytes(&name));
            let to = named_folder(&rig, &number.to_string());
            let spec = RestoreSpec { snapshot: &saved.snapshot, verify: true, ..PLAIN };
            let ran = restore_as(&mut rig, to, &[path.as_os_str().as_bytes()], spec).await.succeeded();
            let found = done(&ran);
            assert_eq!((found.files, found.failed, found.verified), (1, 0, true), "{name:?} {ran:#?}");
            let made = base(&rig, &number.to_string()).join(source.strip_prefix("/").unwrap());
            assert_eq!(fs::read(made.join(OsStr::from_bytes(&name))).unwrap(), name);
            assert_eq!(count(&made), 1, "{name:?} alone");
        }
    })
    .await;
}

/// All that is below a folder: path, kind, content, where a link leads, mode.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = match meta.file_type() {
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().into_os_string().into_vec(),
                kind if kind.is_file() => fs::read(&path).unwrap(),
                kind => {
                    if kind.is_dir() {
                        open.push(path.clone());
                    }
                    Vec::new()
                }
            };
            all.insert(path.strip_prefix(folder).unwrap().to_owned(), (meta.mode(), content));
        }
    }
    all
}

/// A target in which some is as in the snapshot, some was changed later or before, some is missing, some is more.
fn changed(folder: &Path, source: &Path) {
    let there = folder.join(source.strip_prefix("/").unwrap()).join("inner");
    fs::create_dir_all(&there).unwrap();
    let copy = |name: &str| {
        fs::copy(source.join("inner").join(name), there.join(name)).unwrap();
        let at = fs::metadata(source.join("inner").join(name)).unwrap().modified().unwrap();
        fs::File::options().write(true).open(there.join(name)).unwrap().set_modified(at).unwrap();
    };
    copy("file-1");
    fs::write(there.join("file-2"), "later").unwrap();
    fs::write(there.join("file-3"), "before").unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(there.join("file-3")).unwrap().set_modified(long_ago).unwrap();
    fs::write(there.join("more"), "more").unwrap();
    fs::create_dir(there.join("more-in")).unwrap();
    fs::write(there.join("more-in/it"), "more").unwrap();
}

#[tokio::test]
async fn what_is_there_already_becomes_what_restic_by_hand_makes_of_it() {
    with_each_version(async |version, restic| {
        let (mut rig, id, source, _) = saved(restic).await;
        let all = fs::read_dir(Path::new(&source).join("inner")).unwrap().count() as u64;
        for (overwrite, delete) in Overwrite::ALL.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
            let name = format!("{}-{delete}", overwrite.as_str());
            let (ours, by_hand) = (base(&rig, &name), base(&rig, &format!("{name}-by-hand")));
            for folder in [&ours, &by_hand] {
                changed(folder, Path::new(&source));
            }
            let (before, to) = (tree(&ours), named_folder(&rig, &name));
            let spec = RestoreSpec { snapshot: &id, overwrite, delete, ..PLAIN };
            let dry = restore_as(&mut rig, to.clone(), &[], RestoreSpec { dry_run: true, ..spec }).await;
            if version == Version::V014 {
                let again = restore_as(&mut rig, to.clone(), &[], spec).await;
                for ran in [dry, again] {
                    let said = ran.end.message;
                    assert_eq!(ran.end.outcome, Outcome::Failed);
                    assert!(said.contains(if delete { "0.17" } else { "Name an empty folder" }), "{said}");
                }
                assert!(tree(&ours) == before);
                continue;
            }
            let planned = done(&dry.succeeded()).clone();
            assert!(tree(&ours) == before, "a dry run writes nothing");
            let ran = restore_as(&mut rig, to.clone(), &[], RestoreSpec { verify: true, ..spec }).await;
            let found = done(&ran.succeeded()).clone();
            assert_eq!(
                RestoreDone { verified: false, free_bytes: None, ..found.clone() },
                RestoreDone { free_bytes: None, ..planned }
            );
            assert!(found.verified);
            let files =
                tree(Path::new(&source)).values().filter(|(mode, _)| mode & 0o170_000 != 0o040_000).count()
                    as u64;
            assert_eq!(found.files + found.replaced + found.skipped, files, "they add up: {found:?}");
            let (replaced, deleted) = match overwrite {
                Overwrite::Never => (0, 3),
                Overwrite::IfNewer => (1, 3),
                Overwrite::IfChanged | Overwrite::Always => (2, 3),
            };
            assert_eq!(
                (found.replaced, found.deleted),
                (replaced, if delete { deleted } else { 0 }),
                "{name}"
            );
            assert!(all > 3 && found.files > 0);

            let mut hand = std::process::Command::new(&rig.places.restic);
            hand.args(["restore", "--quiet", "--no-cache", "--repo"]).arg(rig.path("repo"));
            hand.arg(format!("--overwrite={}", overwrite.as_restic())).arg("--target").arg(&by_hand);
            hand.args(delete.then_some("--delete")).arg(&id);
            assert!(hand.env("RESTIC_PASSWORD", &rig.credentials.repo_password).status().unwrap().success());
            assert!(tree(&ours) == tree(&by_hand), "{name}");
        }
    })
    .await;
}

/// Makes something of this kind.
fn stand(path: &Path, kind: &str, what: &str) {
    match kind {
        "file" => fs::write(path, what).unwrap(),
        "link" => symlink(what, path).unwrap(),
        "pipe" => {
            rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
        }
        "folder" => fs::create_dir(path).unwrap(),
        "full folder" => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("precious"), "in no snapshot").unwrap();
        }
        _ => panic!("{kind}"),
    }
}

/// What tells each thing in a folder from another one in its place: kind, mode and when it was changed.
fn marks(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, i64)> {
    let of = |path: &Path| fs::symlink_metadata(folder.join(path)).unwrap();
    let all = tree(folder).into_keys();
    all.map(|path| (of(&path), path))
        .map(|(of, path)| (path, (of.mode(), of.mtime(), of.mtime_nsec())))
        .collect()
}

/// Of what it is itself, not of what a link leads to.
fn long_ago(path: &Path) {
    let at = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: at, last_modification: at };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

/// A rig with a folder that is filled like this, and the snapshot of it.
async fn saved_folder(restic: PathBuf, fill: impl FnOnce(&Path)) -> (Rig, PathBuf, String) {
    let mut rig = Rig::initialised(restic).await;
    let source = rig.path("mixed");
    fs::create_dir(&source).unwrap();
    fill(&source);
    let backup = rig.backup(&[source.to_str().unwrap()]).await.succeeded();
    let JobSummary::Backup(saved) = backup.end.summary else { panic!() };
    (rig, source, saved.snapshot)
}

/// What is there before and what of it is something else afterwards tells what was replaced, whatever restic calls it.
#[tokio::test]
async fn links_and_pipes_that_replace_and_are_replaced_are_counted_in_the_plan_and_at_the_end() {
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let kinds = ["file", "link", "pipe", "folder", "nothing", "same"];
        let fill = |source: &Path| {
            for (saved, there) in
                ["file", "link", "pipe"].into_iter().flat_map(|one| kinds.map(|other| (one, other)))
            {
                if (saved, there) != ("file", "pipe") {
                    stand(&source.join(format!("{saved} over {there}")), saved, "saved");
                }
            }
            symlink("x", source.join(OsStr::from_bytes(b"odd\xff"))).unwrap();
        };
        let (mut rig, source, id) = saved_folder(restic, fill).await;
        let of_source: Vec<PathBuf> = tree(&source).into_keys().collect();
        for (overwrite, delete) in Overwrite::ALL.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
            let name = format!("{}-{delete}", overwrite.as_str());
            let to = named_folder(&rig, &name);
            let whole = RestoreSpec { snapshot: &id, overwrite: Overwrite::Always, delete, ..PLAIN };
            let _ = restore_as(&mut rig, to.clone(), &[], whole).await.succeeded();
            let folder = base(&rig, &name).join(source.strip_prefix("/").unwrap());
            for path in &of_source {
                let Some((_, there)) = path.to_str().and_then(|name| name.split_once(" over ")) else {
                    continue;
                };
                if there != "same" {
                    fs::remove_file(folder.join(path)).unwrap();
                }
                if !matches!(there, "nothing" | "same") {
                    stand(&folder.join(path), there, "what was there");
                    if matches!(path.to_str(), Some("link over file" | "file over link")) {
                        long_ago(&folder.join(path));
                    }
                }
            }
            let odd = folder.join(OsStr::from_bytes(b"odd\xff"));
            fs::remove_file(&odd).unwrap();
            fs::write(&odd, "where the snapshot has a link").unwrap();
            let before = marks(&folder);
            let spec = RestoreSpec { overwrite, ..whole };
            let dry = restore_as(&mut rig, to.clone(), &[], RestoreSpec { dry_run: true, ..spec }).await;
            assert!(marks(&folder) == before, "a dry run writes nothing");
            let planned = done(&dry.succeeded()).clone();
            let ran = restore_as(&mut rig, to, &[], spec).await.succeeded();
            let found = done(&ran).clone();
            assert_eq!(
                RestoreDone { free_bytes: None, ..found.clone() },
                RestoreDone { free_bytes: None, ..planned }
            );
            let after = marks(&folder);
            let (mut files, mut replaced, mut skipped) = (0, 0, 0);
            for path in &of_source {
                match before.get(path) {
                    None => files += 1,
                    Some(was) if *was != after[path] => replaced += 1,
                    Some(_) => skipped += 1,
                }
            }
            assert_eq!(
                (found.files, found.replaced, found.skipped),
                (files, replaced, skipped),
                "{name} {after:#?}"
            );
            // What is of another kind, and a file with another content.
            let least = match overwrite {
                Overwrite::Never => 0,
                Overwrite::IfNewer => 2,
                Overwrite::IfChanged | Overwrite::Always => 12,
            };
            assert!(replaced >= least, "{name}: {found:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_folder_with_something_in_it_is_not_removed_for_a_file() {
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let fill = |source: &Path| {
            ["file", "link"].into_iter().for_each(|kind| stand(&source.join(kind), kind, "saved"));
            fs::write(source.join("alone"), "new").unwrap();
        };
        let (mut rig, source, id) = saved_folder(restic, fill).await;
        for (held, delete) in ["file", "link"].into_iter().flat_map(|held| [(held, false), (held, true)]) {
            let name = format!("{held}-{delete}");
            let folder = base(&rig, &name).join(source.strip_prefix("/").unwrap());
            fs::create_dir_all(&folder).unwrap();
            stand(&folder.join(held), "full folder", "");
            for dry_run in [true, false] {
                let spec =
                    RestoreSpec { snapshot: &id, overwrite: Overwrite::IfChanged, delete, dry_run, ..PLAIN };
                let to = named_folder(&rig, &name);
                let ran = restore_as(&mut rig, to, &[], spec).await;
                assert!(folder.join(held).join("precious").exists(), "{name}");
                if held == "file" && delete {
                    let ran = ran.failed(Class::Policy);
                    let said = &ran.end.message;
                    assert!(said.contains("/file is a folder there and a file in the snapshot"), "{said}");
                    continue;
                }
                assert_eq!(ran.end.outcome, Outcome::Warning, "{ran:#?}");
                let found = done(&ran);
                assert_eq!(
                    (found.files, found.replaced, found.failed),
                    (2, 0, 1),
                    "{name} {dry_run} {found:?}"
                );
                assert!(found.failures[0].0.ends_with(held), "{found:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_written_where_something_is_already_unless_the_policy_lets_it() {
    with_each_version(async |_, restic| {
        let (mut rig, id, _, _) = saved(restic).await;
        let to = RestoreTo::Folder { path: base(&rig, "held"), may_hold: false, forbidden: Vec::new() };
        let _ = restore(&mut rig, to.clone(), &id, &[], true).await.succeeded();
        let _ = restore(&mut rig, to.clone(), &id, &[], false).await.succeeded();
        let before = tree(&base(&rig, "held"));
        for dry_run in [true, false] {
            let ran = restore(&mut rig, to.clone(), &id, &[], dry_run).await.failed(Class::Policy);
            assert!(ran.end.message.contains("restore_in_place"), "{}", ran.end.message);
        }
        assert!(tree(&base(&rig, "held")) == before);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_in_the_snapshot_is_told_and_nothing_is_made_for_it() {
    with_each_version(async |_, restic| {
        let (mut rig, id, source, _) = saved(restic).await;
        for dry_run in [true, false] {
            let to = named_folder(&rig, "none");
            let ran = restore(&mut rig, to, &id, &["/not/there"], dry_run).await.failed(Class::NotInSnapshot);
            assert!(ran.end.message.contains("holds no /not/there"), "{}", ran.end.message);
            assert!(!rig.path("base").exists());
        }
        let file = format!("{source}/inner/file-1");
        let to = named_folder(&rig, "one");
        let ran = restore(&mut rig, to, &id, &[&file, "/not/there"], false).await;
        assert_eq!(ran.end.outcome, Outcome::Warning, "{ran:#?}");
        let found = done(&ran);
        assert_eq!((found.files, found.failed), (1, 1));
        assert_eq!(found.failures, [("/not/there".to_owned(), "not in this snapshot".to_owned())]);
        assert!(ran.end.message.starts_with("1 of 2 files failed"), "{}", ran.end.message);
        assert!(base(&rig, "one").join(&file[1..]).exists());
    })
    .await;
}

#[tokio::test]
async fn of_a_damaged_repository_what_is_left_is_restored_and_the_rest_is_named() {
    with_each_version(async |_, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.path("many");
        fs::create_dir(&source).unwrap();
        // Bytes that do not compress, from a generator of no consequence.
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        for number in 0..200 {
            let bytes: Vec<u8> = (0..200_000).map(|_| next()).collect();
            fs::write(source.join(format!("{number:03}")), bytes).unwrap();
        }
        let backup = rig.backup(&[source.to_str().unwrap()]).await.succeeded();
        let JobSummary::Backup(saved) = backup.end.summary else { panic!() };
        let mut packs: Vec<(u64, PathBuf)> = Vec::new();
        for folder in fs::read_dir(rig.path("repo/data")).unwrap() {
            for pack in fs::read_dir(folder.unwrap().path()).unwrap() {
                let pack = pack.unwrap();
                packs.push((pack.metadata().unwrap().len(), pack.path()));
            }
        }
        packs.sort();
        assert!(packs.len() > 2, "{packs:?}");
        // The smallest has the tree.
        let (_, lost) = packs[1].clone();
        fs::remove_file(lost).unwrap();
        let ran = {
            let to = named_folder(&rig, "left");
            let spec = RestoreSpec { snapshot: &saved.snapshot, verify: true, ..PLAIN };
            restore_as(&mut rig, to, &[], spec).await
        };
        assert_eq!(ran.end.outcome, Outcome::Warning, "{:#?} {:#?}", ran.end, ran.log.last());
        let found = done(&ran);
        assert!(found.failed > 0 && !found.verified && !found.failures.is_empty());
        assert_eq!(found.files + found.failed, 200, "{found:?}");
        let said = format!("{} of 200 files failed", found.failed);
        assert!(ran.end.message.starts_with(&said), "{}", ran.end.message);
        let made = base(&rig, "left").join(source.strip_prefix("/").unwrap());
        let mut whole = 0;
        for number in 0..200_u8 {
            let name = format!("{number:03}");
            let restored = fs::read(made.join(&name)).ok();
            let is_whole = restored == fs::read(source.join(&name)).ok();
            let is_named = found.failures.iter().any(|(path, _)| path.ends_with(&format!("/{name}")));
            whole += u64::from(is_whole);
            assert!(is_whole || is_named || found.failed > 100, "{name} is neither whole nor named");
        }
        assert_eq!(whole, found.files);
    })
    .await;
}

#[tokio::test]
async fn over_what_is_there_no_link_is_followed_no_file_gives_way_to_a_folder_and_nothing_above_changes() {
    use std::os::unix::fs::PermissionsExt as _;
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let (mut rig, id, source, outside) = saved(restic).await;
        let source = PathBuf::from(source);
        let below = source.strip_prefix("/").unwrap().to_owned();
        fs::create_dir_all(outside.join("inner")).unwrap();
        fs::write(outside.join("inner/mine"), "mine").unwrap();
        for (name, says) in [
            ("link-above", "is no folder there"),
            ("link", "is no folder there"),
            ("file", "is no folder there"),
            ("mode", "which was not picked"),
        ] {
            let to = named_folder(&rig, name);
            let _ = restore(&mut rig, to, &id, &[], false).await.succeeded();
            let there = base(&rig, name).join(&below);
            match name {
                "link-above" => {
                    fs::remove_dir_all(&there).unwrap();
                    symlink(&outside, &there).unwrap();
                }
                "mode" => fs::set_permissions(&there, fs::Permissions::from_mode(0o710)).unwrap(),
                _ => fs::remove_dir_all(there.join("inner")).unwrap(),
            }
            match name {
                "link" => symlink(outside.join("inner"), there.join("inner")).unwrap(),
                "file" => fs::write(there.join("inner"), "precious").unwrap(),
                _ => {}
            }
            let pick = source.join("inner");
            for (overwrite, delete, dry_run) in [
                (Overwrite::Never, false, true),
                (Overwrite::Never, false, false),
                (Overwrite::Always, true, false),
            ] {
                let spec = RestoreSpec { snapshot: &id, overwrite, delete, dry_run, ..PLAIN };
                let to = named_folder(&rig, name);
                let ran = restore_as(&mut rig, to, &[pick.as_os_str().as_bytes()], spec)
                    .await
                    .failed(Class::Policy);
                assert!(ran.end.message.contains(says), "{name}: {}", ran.end.message);
            }
            assert_eq!(fs::read(outside.join("inner/mine")).unwrap(), b"mine", "{name}");
            assert_eq!(count(&outside.join("inner")), 1, "{name}");
        }
        assert_eq!(fs::read(base(&rig, "file").join(&below).join("inner")).unwrap(), b"precious");
        // In the original places the same is looked at.
        fs::set_permissions(&source, fs::Permissions::from_mode(0o710)).unwrap();
        let spec = RestoreSpec { snapshot: &id, overwrite: Overwrite::Always, ..PLAIN };
        let to = RestoreTo::Original { without: Vec::new() };
        let pick = source.join("inner/file-1");
        let ran = restore_as(&mut rig, to, &[pick.as_os_str().as_bytes()], spec).await.failed(Class::Policy);
        assert!(ran.end.message.contains("owner or permissions"), "{}", ran.end.message);
        assert_eq!(fs::metadata(&source).unwrap().mode() & 0o777, 0o710);
    })
    .await;
}

#[tokio::test]
async fn what_waits_in_the_place_of_a_file_is_named_and_nothing_hangs() {
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let (mut rig, id, source, _) = saved(restic).await;
        let to = named_folder(&rig, "there");
        let _ = restore(&mut rig, to, &id, &[], false).await.succeeded();
        let file = base(&rig, "there").join(&source[1..]).join("inner/file-1");
        let pipe = |at: &Path| rustix::fs::mkfifoat(rustix::fs::CWD, at, rustix::fs::Mode::RWXU).unwrap();
        fs::remove_file(&file).unwrap();
        pipe(&file);
        for overwrite in Overwrite::ALL {
            for dry_run in [true, false] {
                let to = named_folder(&rig, "there");
                let spec = RestoreSpec { snapshot: &id, overwrite, dry_run, ..PLAIN };
                let ran = restore_as(&mut rig, to, &[], spec).await;
                if overwrite == Overwrite::Never {
                    assert_eq!(done(&ran.succeeded()).skipped, 5);
                    continue;
                }
                let ran = ran.failed(Class::Policy);
                let said = format!("{source}/inner/file-1 is no file there");
                assert!(ran.end.message.contains(&said), "{}", ran.end.message);
            }
        }
        // One that the snapshot has no file for is in nobody's way.
        fs::remove_file(&file).unwrap();
        pipe(&file.with_file_name("other"));
        let to = named_folder(&rig, "there");
        let spec = RestoreSpec { snapshot: &id, overwrite: Overwrite::Always, ..PLAIN };
        let ran = restore_as(&mut rig, to, &[], spec).await.succeeded();
        assert_eq!((done(&ran).files, fs::read(&file).unwrap()), (1, b"1".repeat(5000)));
    })
    .await;
}

#[tokio::test]
async fn what_is_empty_in_a_file_takes_no_room_where_restic_can_leave_it_out() {
    with_each_version(async |version, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.source();
        let image = Path::new(&source).join("disk.img");
        let mut bytes = vec![0; 64 << 20];
        bytes[40 << 20] = 1;
        let file = fs::File::create(&image).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[1], 40 << 20).unwrap();
        let backup = rig.backup(&[&source]).await.succeeded();
        let JobSummary::Backup(saved) = backup.end.summary else { panic!() };
        let below = image.strip_prefix("/").unwrap().to_owned();
        let there = base(&rig, "new").join(&below);
        for overwrite in [Overwrite::Never, Overwrite::Always] {
            let is_new = overwrite == Overwrite::Never;
            if !is_new {
                if version == Version::V014 {
                    break;
                }
                fs::write(&there, vec![7; 65 << 20]).unwrap();
            }
            let to = named_folder(&rig, "new");
            let picked = image.to_str().unwrap().as_bytes();
            let spec = RestoreSpec { snapshot: &saved.snapshot, overwrite, verify: true, ..PLAIN };
            let ran = restore_as(&mut rig, to, &[picked], spec).await.succeeded();
            assert!(done(&ran).verified, "{ran:#?}");
            assert!(fs::read(&there).unwrap() == bytes, "{overwrite:?}: byte by byte");
            let is_sparse = fs::metadata(&there).unwrap().blocks() * 512 < 4 << 20;
            assert_eq!(is_sparse, is_new && version != Version::V014, "{overwrite:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_that_is_not_there_is_called_that() {
    with_each_version(async |_, restic| {
        let (mut rig, _, _, _) = saved(restic).await;
        for id in ["0123456789abcdef".to_owned(), "0".repeat(64)] {
            let to = new_folder(&rig, "none");
            let ran = restore(&mut rig, to, &id, &[], false).await.failed(Class::Other);
            assert!(
                ran.end.message.starts_with("The repository holds no snapshot of this id"),
                "{}",
                ran.end.message
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_pack_that_is_cut_short_gone_or_altered_is_damage() {
    with_each_version(async |version, restic| {
        let (mut rig, id, _, _) = saved(restic).await;
        let mut packs = Vec::new();
        for folder in fs::read_dir(rig.path("repo/data")).unwrap() {
            for pack in fs::read_dir(folder.unwrap().path()).unwrap() {
                let path = pack.unwrap().path();
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
                packs.push((path.clone(), fs::read(path).unwrap()));
            }
        }
        assert!(packs.len() > 1, "data and trees");
        for how in ["half", "empty", "gone", "zero", "flipped"] {
            // This one tries for a quarter of an hour what it can't read.
            if version == Version::V014 && matches!(how, "half" | "empty" | "gone") {
                continue;
            }
            for (path, bytes) in &packs {
                let mut bytes = bytes.clone();
                match how {
                    "half" => bytes.truncate(bytes.len() / 4),
                    "empty" => bytes.clear(),
                    "zero" => bytes.fill(0),
                    "flipped" => bytes.iter_mut().for_each(|byte| *byte ^= 0x10),
                    _ => {}
                }
                fs::write(path, bytes).unwrap();
                if how == "gone" {
                    fs::remove_file(path).unwrap();
                }
            }
            let _ = fs::remove_dir_all(rig.path("cache"));
            let to = new_folder(&rig, how);
            let ran = restore(&mut rig, to, &id, &[], false).await;
            assert_eq!(ran.end.class, Some(Class::Damaged), "{how}: {:#?} {:#?}", ran.end, ran.log);
        }
    })
    .await;
}

#[tokio::test]
async fn another_name_of_a_file_that_takes_the_place_of_one_counts_as_replaced() {
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let fill = |source: &Path| {
            fs::create_dir(source.join("sub")).unwrap();
            fs::write(source.join("one"), "saved").unwrap();
            for name in ["one-b", "sub/one-c", "sub/one-d"] {
                fs::hard_link(source.join("one"), source.join(name)).unwrap();
            }
        };
        let (mut rig, source, id) = saved_folder(restic, fill).await;
        for overwrite in Overwrite::ALL {
            let name = overwrite.as_str();
            let to = named_folder(&rig, name);
            let spec = RestoreSpec { snapshot: &id, overwrite, ..PLAIN };
            let whole = done(&restore_as(&mut rig, to.clone(), &[], spec).await.succeeded()).clone();
            assert_eq!((whole.files, whole.replaced, whole.skipped), (4, 0, 0));
            let folder = base(&rig, name).join(source.strip_prefix("/").unwrap());
            // One that is a file of its own, one that is gone; and one that is as it was is made anew by restic.
            fs::remove_file(folder.join("one-b")).unwrap();
            fs::write(folder.join("one-b"), "of its own").unwrap();
            fs::remove_file(folder.join("sub/one-c")).unwrap();
            let expected = match overwrite {
                Overwrite::Never | Overwrite::IfNewer => (1, 0, 3),
                Overwrite::IfChanged | Overwrite::Always => (1, 2, 1),
            };
            for dry_run in [true, false] {
                let ran =
                    restore_as(&mut rig, to.clone(), &[], RestoreSpec { dry_run, ..spec }).await.succeeded();
                let found = done(&ran);
                assert_eq!(
                    (found.files, found.replaced, found.skipped),
                    expected,
                    "{name} {dry_run} {found:?}"
                );
            }
            let is_replaced = fs::read(folder.join("one-b")).unwrap() == b"saved";
            assert_eq!(is_replaced, expected.1 > 0, "{name}");
        }
    })
    .await;
}

/// restic by hand, on the repository of this rig.
fn by_hand(rig: &Rig, restic: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(restic);
    command.arg("--repo").arg(rig.path("repo")).arg("--no-cache");
    command.env("RESTIC_PASSWORD", crate::rig::REPO_PASSWORD).stdout(std::process::Stdio::null());
    command
}

#[tokio::test]
async fn a_repository_in_what_was_saved_is_not_deleted_as_what_the_snapshot_lacks() {
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let mut rig = Rig::new(restic);
        let source = rig.path("home-of-all");
        let repository = source.join("below/repo");
        fs::create_dir_all(source.join("below")).unwrap();
        fs::write(source.join("file"), "saved").unwrap();
        rig.credentials.url = repository.to_str().unwrap().to_owned();
        rig.init_at_once(&repository).await;
        let saved = match rig.backup(&[source.to_str().unwrap()]).await.end.summary {
            JobSummary::Backup(saved) => saved.snapshot,
            other => panic!("{other:?}"),
        };
        fs::write(source.join("later"), "not saved").unwrap();
        let by_link = rig.path("by-link");
        symlink(&repository, &by_link).unwrap();
        let pick = source.to_str().unwrap().as_bytes();
        for url in [&repository, &by_link] {
            rig.credentials.url = url.to_str().unwrap().to_owned();
            for dry_run in [true, false] {
                let spec = RestoreSpec {
                    snapshot: &saved,
                    delete: true,
                    dry_run,
                    overwrite: Overwrite::Always,
                    ..PLAIN
                };
                let to = RestoreTo::Original { without: Vec::new() };
                let ran = restore_as(&mut rig, to, &[pick], spec).await.failed(Class::Policy);
                assert!(ran.end.message.contains("is the repository"), "{}", ran.end.message);
            }
        }
        assert!(repository.join("config").exists() && source.join("later").exists());

        // Elsewhere it is deleted, and named.
        let to = named_folder(&rig, "there");
        restore_as(&mut rig, to, &[pick], RestoreSpec { snapshot: &saved, ..PLAIN }).await.succeeded();
        let extra = base(&rig, "there").join(source.strip_prefix("/").unwrap()).join("extra");
        fs::write(&extra, "other").unwrap();
        let spec = RestoreSpec { snapshot: &saved, delete: true, overwrite: Overwrite::Always, ..PLAIN };
        for dry_run in [true, false] {
            let to = named_folder(&rig, "there");
            let ran = restore_as(&mut rig, to, &[pick], RestoreSpec { dry_run, ..spec }).await.succeeded();
            assert_eq!(done(&ran).deleted, 1);
            assert!(
                ran.log.iter().any(|line| line.contains("delete: ") && line.ends_with("/extra")),
                "{ran:#?}"
            );
            assert_eq!(extra.exists(), dry_run);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_command_has_printed_is_not_written_into_the_root_folder() {
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let mut rig = Rig::initialised(restic.clone()).await;
        let name = format!("holdfast-{}.sql", std::process::id());
        let mut saving = by_hand(&rig, &restic)
            .args(["backup", "--stdin", "--stdin-filename", &name])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut saving.stdin.take().unwrap(), b"dump").unwrap();
        assert!(saving.wait().unwrap().success());
        let mut snapshots = fs::read_dir(rig.path("repo/snapshots")).unwrap();
        let id = snapshots.next().unwrap().unwrap().file_name().into_string().unwrap();
        for (paths, dry_run) in [(vec![], true), (vec![], false), (vec![format!("/{name}")], false)] {
            let to = RestoreTo::Original { without: Vec::new() };
            let paths: Vec<&[u8]> = paths.iter().map(String::as_bytes).collect();
            let spec = RestoreSpec { snapshot: &id, dry_run, ..PLAIN };
            let ran = restore_as(&mut rig, to, &paths, spec).await.failed(Class::Policy);
            assert!(ran.end.message.contains("Restore into a folder"), "{}", ran.end.message);
        }
        assert!(!Path::new("/").join(&name).exists());
        let to = named_folder(&rig, "back");
        restore(&mut rig, to, &id, &[], false).await.succeeded();
        assert_eq!(fs::read(base(&rig, "back").join(&name)).unwrap(), b"dump");
    })
    .await;
}

#[tokio::test]
async fn other_names_of_a_file_that_cannot_be_read_have_failed_too() {
    with_each_version(async |version, restic| {
        let fill = |source: &Path| {
            fs::create_dir(source.join("sub")).unwrap();
            // Bytes that do not compress: its pack is the largest.
            let mut state = 1_u64;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            };
            fs::write(source.join("first"), (0..4_000_000).map(|_| next()).collect::<Vec<u8>>()).unwrap();
            fs::hard_link(source.join("first"), source.join("second")).unwrap();
            fs::hard_link(source.join("first"), source.join("sub/third")).unwrap();
            fs::write(source.join("whole"), "whole").unwrap();
            fs::hard_link(source.join("whole"), source.join("whole-too")).unwrap();
        };
        let (mut rig, source, id) = saved_folder(restic, fill).await;
        let in_place = base(&rig, "there").join(source.strip_prefix("/").unwrap());
        if version != Version::V014 {
            let to = named_folder(&rig, "there");
            restore_as(&mut rig, to, &[], RestoreSpec { snapshot: &id, ..PLAIN }).await.succeeded();
            for name in ["second", "sub/third", "whole-too"] {
                fs::remove_file(in_place.join(name)).unwrap();
            }
            for name in ["first", "second", "whole"] {
                fs::write(in_place.join(name), "other").unwrap();
            }
            // Somebody's own, which nobody has saved.
            fs::hard_link(in_place.join("first"), in_place.join("mine")).unwrap();
        }
        let packs = fs::read_dir(rig.path("repo/data")).unwrap();
        let packs = packs.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        let (bytes, pack) = packs
            .map(|pack| pack.unwrap())
            .map(|pack| (pack.metadata().unwrap().len(), pack.path()))
            .max()
            .unwrap();
        assert!(bytes > 4_000_000, "{bytes}");
        fs::set_permissions(&pack, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut content = fs::read(&pack).unwrap();
        content[2_000_000] ^= 1;
        fs::write(&pack, content).unwrap();

        let mut targets = vec![("new", new_folder(&rig, "new"), (2, 0))];
        if version != Version::V014 {
            targets.push(("there", named_folder(&rig, "there"), (1, 1)));
        }
        for (name, to, (files, replaced)) in targets {
            let spec = RestoreSpec { snapshot: &id, overwrite: Overwrite::IfChanged, ..PLAIN };
            let ran = restore_as(&mut rig, to, &[], spec).await;
            assert_eq!(
                (ran.end.outcome, ran.end.class),
                (Outcome::Warning, Some(Class::Damaged)),
                "{name} {ran:#?}"
            );
            let found = done(&ran);
            let is_of = |name: &str| {
                let (_, reason) = found.failures.iter().find(|(path, _)| path.ends_with(name)).unwrap();
                reason.starts_with("another name of") && reason.contains("/first")
            };
            assert!(is_of("/second") && is_of("/sub/third") && !is_of("/first"), "{name} {found:#?}");
            let counts = (found.files, found.replaced, found.skipped, found.failed);
            assert_eq!(counts, (files, replaced, 0, 3), "{name} {found:#?}");
            assert!(ran.end.message.starts_with("3 of 5 files failed"), "{name} {}", ran.end.message);
        }
    })
    .await;
}

#[tokio::test]
async fn what_could_not_be_written_over_is_not_counted_as_replaced() {
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let fill = |source: &Path| {
            for name in ["busy", "free", "alike"] {
                fs::write(source.join(name), name).unwrap();
            }
        };
        let (mut rig, source, id) = saved_folder(restic, fill).await;
        let to = named_folder(&rig, "there");
        let spec = RestoreSpec { snapshot: &id, overwrite: Overwrite::IfChanged, ..PLAIN };
        restore_as(&mut rig, to.clone(), &[], spec).await.succeeded();
        let folder = base(&rig, "there").join(source.strip_prefix("/").unwrap());
        fs::write(folder.join("free"), "other").unwrap();
        // A program that runs can't be written to, by nobody.
        let busy = folder.join("busy");
        fs::copy("/bin/sleep", &busy).unwrap();
        let mut running = std::process::Command::new(&busy).arg("600").spawn().unwrap();
        let ran = restore_as(&mut rig, to, &[], spec).await;
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!(ran.end.outcome, Outcome::Warning, "{ran:#?}");
        let found = done(&ran);
        let counts = (found.files, found.replaced, found.skipped, found.failed);
        assert_eq!(counts, (0, 1, 1, 1), "{found:#?}");
        assert!(found.failures[0].0.ends_with("/busy"), "{found:#?}");
        assert!(fs::read(busy).unwrap().len() > 100, "it is as it was");
    })
    .await;
}

#[tokio::test]
async fn over_what_is_there_folders_with_names_that_are_no_text_are_looked_at_like_others() {
    with_each_version(async |version, restic| {
        if version == Version::V014 {
            return;
        }
        let odd = |name: &[u8]| PathBuf::from(OsStr::from_bytes(name));
        let folders = [&b"d\xff"[..], "true \u{fffd}".as_bytes(), b"d\xff/deep\xfe"].map(odd);
        let fill = |source: &Path| {
            for folder in &folders {
                fs::create_dir(source.join(folder)).unwrap();
                fs::write(source.join(folder).join("file"), "saved").unwrap();
            }
        };
        let (mut rig, source, id) = saved_folder(restic, fill).await;
        let to = || named_folder(&rig, "there");
        let (to, outside) = (to(), rig.path("outside"));
        fs::create_dir(&outside).unwrap();
        let spec = RestoreSpec { snapshot: &id, overwrite: Overwrite::Always, ..PLAIN };
        let _ = restore_as(&mut rig, to.clone(), &[], spec).await.succeeded();
        let there = base(&rig, "there").join(source.strip_prefix("/").unwrap());
        for folder in &folders {
            fs::write(there.join(folder).join("file"), "changed").unwrap();
        }
        let picked = source.join(&folders[2]);
        for (picks, replaced) in [(vec![picked.as_os_str().as_bytes()], 1), (Vec::new(), 2)] {
            for dry_run in [true, false] {
                let ran = restore_as(&mut rig, to.clone(), &picks, RestoreSpec { dry_run, ..spec })
                    .await
                    .succeeded();
                assert_eq!((done(&ran).files, done(&ran).replaced), (0, replaced), "{ran:#?}");
            }
        }
        assert!(tree(&there) == tree(&source));
        // What would lead elsewhere, hang or be taken away is found in them, too.
        let file = there.join(&folders[2]).join("file");
        fs::remove_file(&file).unwrap();
        stand(&file, "pipe", "");
        let ran = restore_as(&mut rig, to.clone(), &[], spec).await.failed(Class::Policy);
        assert!(ran.end.message.contains("/file is no file there"), "{}", ran.end.message);
        for (place, kind) in folders.iter().flat_map(|place| [(place, "link"), (place, "file")]) {
            let at = there.join(place);
            fs::remove_dir_all(&at).unwrap();
            stand(&at, kind, outside.to_str().unwrap());
            let ran = restore_as(&mut rig, to.clone(), &[], spec).await.failed(Class::Policy);
            let said = format!("{} is no folder there", at.display());
            assert!(ran.end.message.contains(&said), "{}", ran.end.message);
            assert!(!at.is_dir() || at.is_symlink());
            fs::remove_file(&at).unwrap();
            let _ = restore_as(&mut rig, to.clone(), &[], spec).await.succeeded();
        }
        assert_eq!(count(&outside), 0);
    })
    .await;
}

#[tokio::test]
async fn one_of_several_names_that_look_the_same_is_counted_as_one() {
    with_each_version(async |_, restic| {
        let names = [&b"odd\xfd"[..], b"odd\xfe", b"odd\xff"];
        let fill = |source: &Path| {
            names.iter().for_each(|name| fs::write(source.join(OsStr::from_bytes(name)), name).unwrap());
        };
        let (mut rig, source, id) = saved_folder(restic, fill).await;
        for (at, name) in names.iter().enumerate() {
            let picked = source.join(OsStr::from_bytes(name));
            for dry_run in [true, false] {
                let to = named_folder(&rig, &at.to_string());
                let spec = RestoreSpec { snapshot: &id, dry_run, ..PLAIN };
                let ran = restore_as(&mut rig, to, &[picked.as_os_str().as_bytes()], spec).await.succeeded();
                assert_eq!((done(&ran).files, done(&ran).failed), (1, 0), "{dry_run} {ran:#?}");
            }
            let made = base(&rig, &at.to_string()).join(source.strip_prefix("/").unwrap());
            assert_eq!(fs::read(one_in(&made)).unwrap(), *name);
        }
    })
    .await;
}
