//! Restores of snapshots that the agent has made itself: nothing is looked through before.

use crate::{
    rig::{Ran, Rig, with_each_version},
    tools::Version,
};
use agent_linux::restic::{JobSummary, RestoreDone, RestoreTo};
use schema::{Items, JobSpec, Outcome, Overwrite, RestoreTarget, restore::RestoreSpec};
use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

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
    let mut snapshots = fs::read_dir(rig.path("repo/snapshots")).unwrap();
    let id = snapshots.next().unwrap().unwrap().file_name().into_string().unwrap();
    (rig, id)
}

async fn restore(rig: &mut Rig, snapshot: &str) -> Ran {
    rig.known.walked = None;
    rig.restore_to = Some(RestoreTo::New { within: rig.path("base"), forbidden: Vec::new() });
    let spec = RestoreSpec {
        snapshot,
        paths: Items::EMPTY,
        // Where it goes is the policy's to say, and is given with the order.
        target: RestoreTarget::Original,
        overwrite: Overwrite::Never,
        delete: false,
        verify: true,
        dry_run: false,
    };
    let ran = rig.run(JobSpec::Restore(spec)).await;
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
