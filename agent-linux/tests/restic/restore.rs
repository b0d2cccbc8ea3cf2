//! Restores, where links stand in the way and folders are swapped.

use crate::{
    rig::{Ran, Rig, with_each_version},
    tools::Version,
};
use agent_linux::restic::{JobSummary, RestoreTo};
use schema::{Class, Items, JobSpec, job::RestoreSpec};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
};

fn new_folder(rig: &Rig, below: &str) -> RestoreTo {
    let root = rig.folder.path().canonicalize().unwrap().join("base");
    RestoreTo::New { root, below: below.into(), forbidden: vec![rig.path("repo")] }
}

async fn restore(rig: &mut Rig, to: RestoreTo, snapshot: &str, includes: &[&str], dry_run: bool) -> Ran {
    rig.restore_to = Some(to);
    let mut room = [0; 1024];
    let includes = Items::write(includes.iter().copied(), &mut room).unwrap();
    rig.run(JobSpec::Restore(RestoreSpec { snapshot, includes, target: "/ignored", dry_run })).await
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
        for (below, folder) in [("first", "base/first"), ("first", "base/first/"), ("", "base/")] {
            let to = new_folder(&rig, below);
            let ran = restore(&mut rig, to, &id, &[], false).await.succeeded();
            let said = ran.log.iter().find_map(|line| line.strip_prefix("Agent: Restoring into "));
            let made = PathBuf::from(said.unwrap().split(',').next().unwrap());
            assert!(made.starts_with(rig.folder.path().canonicalize().unwrap().join(folder)), "{made:?}");
            assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
            assert_eq!(fs::read(made.join(&source[1..]).join("inner/file-1")).unwrap(), b"1".repeat(5000));
            let log = ran.log.join("\n");
            assert!(log.contains("--target=/proc/self/cwd/.holdfast-restoring"), "{log}");
        }
        if version != Version::V014 {
            let before = count(&rig.path("base"));
            let to = new_folder(&rig, "dry");
            let _ = restore(&mut rig, to, &id, &[], true).await.succeeded();
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
        assert_eq!(fs::read(rig.path("base/new/orders.sql")).unwrap(), fs::read("/etc/hostname").unwrap());
        assert_eq!(count(&rig.path("base/new")), 1);
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
            let to = new_folder(&rig, below);
            let ran = restore(&mut rig, to, &id, &[], false).await.failed(Class::Policy);
            assert!(ran.end.message.contains("restore_targets"), "{}", ran.end.message);
        }
        // The base itself, and what is never to be written to.
        fs::rename(rig.path("base"), rig.path("was")).unwrap();
        symlink(&outside, rig.path("base")).unwrap();
        let to = new_folder(&rig, "x");
        let _ = restore(&mut rig, to, &id, &[], false).await.failed(Class::Policy);
        let RestoreTo::New { root, forbidden, .. } = new_folder(&rig, "") else { return };
        let root = root.parent().unwrap().to_owned();
        let to = RestoreTo::New { root, below: "repo/x".into(), forbidden };
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
        let to = new_folder(&rig, "new");
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
        let ran = restore(&mut rig, to, &id, &[source.to_str().unwrap()], false).await;
        if version == Version::V014 {
            let said = ran.failed(Class::Policy).end.message;
            assert!(said.contains("restore_in_place needs restic 0.18"), "{said}");
            assert!(source.join("inner").is_symlink());
        } else {
            let _ = ran.succeeded();
            assert!(!source.join("inner").is_symlink() && source.join("inner/file-1").exists());
            // What it is told to leave alone.
            fs::remove_dir_all(source.join("inner")).unwrap();
            let to = RestoreTo::Original { without: vec![source.join("inner/file-1")] };
            let _ = restore(&mut rig, to, &id, &[], false).await.succeeded();
            assert!(source.join("inner/file-2").exists() && !source.join("inner/file-1").exists());
        }
        assert_eq!(count(&outside), 0);
    })
    .await;
}
