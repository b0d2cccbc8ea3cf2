//! Restores of snapshots that the agent has made itself: nothing is looked through before.

use crate::{
    rig::{Ran, Rig, with_each_version},
    tools::Version,
};
use agent_linux::restic::{JobSummary, RestoreDone, RestoreTo};
use schema::{Class, Items, JobSpec, OsText, Outcome, Overwrite, RestoreTarget, restore::RestoreSpec};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// A repository with one snapshot of all that restic saves, and its id.
async fn saved(restic: PathBuf) -> (Rig, String) {
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    let at = |name: &str| rig.path("source").join(name);
    fs::create_dir_all(at("empty/in it")).unwrap();
    symlink("inner", at("link")).unwrap();
    fs::hard_link(at("inner/file-1"), at("again")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    rig.backup(&[&source]).await.succeeded();
    let id = snapshot_of(&rig);
    (rig, id)
}

async fn restore(rig: &mut Rig, snapshot: &str) -> Ran {
    rig.known.walked = None;
    rig.restore_to = Some(RestoreTo::New { within: rig.path("base"), forbidden: Vec::new() });
    let ran = rig.run(JobSpec::Restore(plain(snapshot))).await;
    let _ = fs::remove_dir_all(rig.path("base"));
    ran
}

fn forget_who_made_it(rig: &Rig) {
    // restic 0.14 does not say which snapshot it has made.
    let _ = fs::remove_file(rig.path("home/snapshots-made"));
}

fn has_looked(ran: &Ran) -> bool {
    ran.log.iter().any(|line| line.contains("restic ls "))
}

/// What is said of the restore, but for the folder.
fn told(ran: &Ran) -> (Outcome, Option<i32>, String, RestoreDone) {
    let JobSummary::Restore(done) = &ran.end.summary else { panic!("{ran:#?}") };
    let said = ran.end.message.clone();
    let done = RestoreDone { target: PathBuf::new(), free_bytes: None, ..done.clone() };
    (ran.end.outcome, ran.end.exit_code, said, done)
}

#[tokio::test]
async fn what_the_agent_has_saved_itself_is_restored_without_a_look_and_told_as_with_one() {
    with_each_version(async |version, restic| {
        let (mut rig, id) = saved(restic).await;
        let unseen = restore(&mut rig, &id).await.succeeded();
        // Before 0.16 restic says nothing of a restore.
        assert_eq!(has_looked(&unseen), version == Version::V014);
        assert_eq!(told(&unseen).3.files, 8, "five, a link, a second name and a pipe");
        let of_part = restore(&mut rig, &id[..8]).await.succeeded();
        assert!(has_looked(&of_part), "another snapshot could begin like it");
        forget_who_made_it(&rig);
        let looked = restore(&mut rig, &id).await.succeeded();
        assert!(has_looked(&looked), "nothing says any more who has made it");
        assert_eq!(told(&unseen), told(&looked));
    })
    .await;
}

#[tokio::test]
async fn when_something_has_failed_the_snapshot_says_of_how_much() {
    with_each_version(async |_, restic| {
        let (mut rig, id) = saved(restic).await;
        // As of a disk that is full.
        rig.wrap_restic(
            r#"$RESTIC "$@" || exit
            case " $* " in
                *' restore '*)
                    echo '{"message_type":"error","error":{"message":"no room"},"during":"restore","item":"/a/file"}' >&2
                    exit 1;;
            esac"#,
        );
        let unseen = restore(&mut rig, &id).await;
        assert!(has_looked(&unseen), "afterwards");
        assert!(unseen.end.message.starts_with("1 of 8 files failed"), "{}", unseen.end.message);
        forget_who_made_it(&rig);
        assert_eq!(told(&unseen), told(&restore(&mut rig, &id).await));
    })
    .await;
}

#[tokio::test]
async fn of_a_snapshot_that_is_gone_nothing_stays_behind() {
    with_each_version(async |_, restic| {
        let (mut rig, id) = saved(restic).await;
        fs::remove_file(rig.path("repo/snapshots").join(&id)).unwrap();
        // restic takes what it knows by a whole id from there.
        fs::remove_dir_all(rig.path("cache")).unwrap();
        let ran = restore(&mut rig, &id).await;
        assert!(ran.end.class.is_some() && !ran.end.message.contains("stays"), "{}", ran.end.message);
        assert_eq!(ran.end.summary, JobSummary::None);
    })
    .await;
}

/// A repository with one snapshot, in which one folder can't be read; its id, and the source.
async fn damaged(version: Version, restic: PathBuf) -> (Rig, String, String) {
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    let at = |name: &str| rig.path("source").join(name);
    for file in ["a/one", "a/two", "top", "z/deep/last", "inner/deep/more"] {
        fs::create_dir_all(at(file).parent().unwrap()).unwrap();
        fs::write(at(file), file).unwrap();
    }
    symlink("a", at("link")).unwrap();
    rig.backup(&[&source]).await.succeeded();
    let id = snapshot_of(&rig);
    if version == Version::V014 {
        // As if a newer one had made it: this one does not say which it has made.
        let byte = |at: usize| u8::from_str_radix(&id[at..at + 2], 16).unwrap();
        fs::create_dir_all(rig.path("home")).unwrap();
        fs::write(rig.path("home/snapshots-made"), (0..64).step_by(2).map(byte).collect::<Vec<_>>()).unwrap();
    }
    rig.damage_folder(&format!("{source}/inner"));
    (rig, id, source)
}

fn snapshot_of(rig: &Rig) -> String {
    let mut snapshots = fs::read_dir(rig.path("repo/snapshots")).unwrap();
    snapshots.next().unwrap().unwrap().file_name().into_string().unwrap()
}

/// All that is no folder below this one.
fn files_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.file_type().unwrap().is_dir() { files_in(&entry.path()) } else { 1 }).sum()
}

async fn restore_to(
    rig: &mut Rig,
    to: RestoreTo,
    picks: &[&str],
    spec: RestoreSpec<'_>,
) -> (Ran, RestoreDone) {
    rig.known.walked = None;
    rig.restore_to = Some(to);
    let mut room = [0; 4096];
    let paths = Items::write(picks.iter().map(|path| OsText::new(path.as_bytes())), &mut room).unwrap();
    let ran = rig.run(JobSpec::Restore(RestoreSpec { paths, ..spec })).await;
    let done = match &ran.end.summary {
        JobSummary::Restore(done) => done.clone(),
        _ => RestoreDone::default(),
    };
    (ran, done)
}

fn plain(snapshot: &str) -> RestoreSpec<'_> {
    RestoreSpec {
        snapshot,
        paths: Items::EMPTY,
        // Where it goes is the policy's to say, and is given with the order.
        target: RestoreTarget::Original,
        overwrite: Overwrite::Never,
        delete: false,
        verify: true,
        dry_run: false,
    }
}

#[tokio::test]
async fn beside_a_folder_that_cannot_be_read_all_else_is_restored_and_the_folder_is_named() {
    with_each_version(async |version, restic| {
        let (mut rig, id, source) = damaged(version, restic).await;
        let base = rig.folder.path().canonicalize().unwrap().join("base");
        let new = || RestoreTo::New { within: base.clone(), forbidden: Vec::new() };
        let named =
            |name: &str| RestoreTo::Folder { path: base.join(name), may_hold: true, forbidden: Vec::new() };
        let inner = format!("{source}/inner");
        for to in [new(), named("all")] {
            let (ran, done) = restore_to(&mut rig, to, &[], plain(&id)).await;
            let ran = ran.must_be(Outcome::Warning, Some(Class::Damaged));
            assert_eq!((done.files, done.failed, done.verified), (5, 1, false), "{ran:#?}");
            assert_eq!(files_in(&done.target), 5, "what is counted is there");
            assert_eq!(done.failures.len(), 1);
            assert!(
                done.failures[0].0 == inner && done.failures[0].1.ends_with("(a folder, with what is in it)"),
                "{done:?}"
            );
            let message = &ran.end.message;
            assert!(
                message.starts_with("1 files or folders failed") && message.contains("is not known"),
                "{message}"
            );
            assert!(done.bytes > 0, "{done:?}");
        }
        // What lies beside it is whole; what lies in it fails with it; what is nowhere is missing.
        let (a, file) = (format!("{source}/a"), format!("{inner}/file-1"));
        let (ran, done) = restore_to(&mut rig, new(), &[&a], plain(&id)).await;
        let ran = ran.succeeded();
        assert!(ran.log.iter().any(|line| line.contains("all that can be read is restored")), "{ran:#?}");
        assert_eq!((done.files, done.failed, done.verified, files_in(&done.target)), (2, 0, true, 2));
        let last = format!("{source}/z/deep/last");
        let (ran, done) = restore_to(&mut rig, new(), &[&a, &last, &file, "/not/there"], plain(&id)).await;
        let _ = ran.must_be(Outcome::Warning, Some(Class::Damaged));
        assert_eq!((done.files, done.failed, files_in(&done.target)), (3, 2, 3), "{done:?}");
        let names: Vec<&str> = done.failures.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, ["/not/there", &inner]);
        let (ran, done) = restore_to(&mut rig, new(), &[&file], plain(&id)).await;
        let _ = ran.failed(Class::Damaged);
        assert_eq!((done.files, done.failed), (0, 1), "{done:?}");

        // The plan says so before, where restic makes one.
        let (ran, done) = restore_to(&mut rig, new(), &[], RestoreSpec { dry_run: true, ..plain(&id) }).await;
        if version == Version::V014 {
            assert!(ran.failed(Class::Damaged).end.message.contains("Restore into a new folder"));
        } else {
            let ran = ran.must_be(Outcome::Warning, Some(Class::Damaged));
            assert_eq!((done.files, done.failed, done.is_estimate), (4, 1, true), "{ran:#?}");
        }

        // Over what is there, and of what another machine has made, nothing is written without a look.
        let before = files_in(&base.join("all"));
        let (ran, _) = restore_to(&mut rig, named("all"), &[&a], plain(&id)).await;
        let message = ran.failed(Class::Damaged).end.message;
        assert!(message.contains("Restore into a new folder"), "{message}");
        assert_eq!(files_in(&base.join("all")), before);
        forget_who_made_it(&rig);
        let (ran, _) = restore_to(&mut rig, named("none"), &[&a], plain(&id)).await;
        let message = ran.failed(Class::Damaged).end.message;
        assert!(message.contains("by hand with restic") && !base.join("none").exists(), "{message}");
    })
    .await;
}

/// What was looked through was whole then.
#[tokio::test]
async fn the_files_of_a_folder_that_failed_are_not_counted_as_written() {
    with_each_version(async |version, restic| {
        for over in [false, true] {
            if over && version == Version::V014 {
                continue;
            }
            let mut rig = Rig::initialised(restic.clone()).await;
            let source = rig.source();
            let at = |name: &str| rig.path("source").join(name);
            fs::create_dir_all(at("inner/deep/er")).unwrap();
            fs::write(at("inner/deep/er/more"), "more").unwrap();
            fs::write(at("top"), "top").unwrap();
            fs::write(at("zero"), "").unwrap();
            rig.backup(&[&source]).await.succeeded();
            let id = snapshot_of(&rig);
            forget_who_made_it(&rig);
            let path = rig.folder.path().canonicalize().unwrap().join("base");
            if over {
                fs::create_dir_all(path.join(&source[1..])).unwrap();
                fs::write(path.join(&source[1..]).join("top"), "changed").unwrap();
            }
            let to = RestoreTo::Folder { path: path.clone(), may_hold: true, forbidden: Vec::new() };
            let spec = RestoreSpec { overwrite: Overwrite::Always, ..plain(&id) };
            let (ran, plan) =
                restore_to(&mut rig, to.clone(), &[], RestoreSpec { dry_run: true, ..spec }).await;
            let _ = ran.succeeded();
            assert_eq!((plan.files, plan.replaced), if over { (7, 1) } else { (8, 0) });
            let walked = rig.known.walked.clone();
            rig.damage_folder(&format!("{source}/inner"));
            rig.restore_to = Some(to);
            rig.known.walked = walked;
            let ran = rig.run(JobSpec::Restore(spec)).await.must_be(Outcome::Warning, Some(Class::Damaged));
            let JobSummary::Restore(done) = &ran.end.summary else { panic!("{ran:#?}") };
            let (files, replaced) = if over { (1, 1) } else { (2, 0) };
            assert_eq!((done.files, done.replaced, done.failed), (files, replaced, 6), "{over} {ran:#?}");
            assert_eq!(files_in(&path), 2, "{over}: what is counted is there");
            assert!(ran.end.message.starts_with("6 of 8 files failed"), "{}", ran.end.message);
        }
    })
    .await;
}
