//! What a forget keeps when a group has snapshots that lack something, or had other names, with the real restic.

use crate::rig::{REPO_PASSWORD, Ran, Rig, backup_of, with_each_version};
use agent_linux::restic::JobSummary;
use schema::{
    Class, Items, JobSpec, Keep,
    job::{BackupSpec, ForgetGroup, Origin},
};
use std::{fs, process::Command};

/// The snapshot that a backup made; 8 letters before 0.17.
fn made_by(ran: &Ran) -> String {
    let JobSummary::Backup(made) = &ran.end.summary else { panic!("{ran:#?}") };
    made.snapshot.clone()
}

fn with_restic(rig: &Rig, args: &[&str]) {
    let output = Command::new(&rig.places.restic)
        .args(["--repo", &rig.credentials.url])
        .args(args)
        .env("RESTIC_PASSWORD", REPO_PASSWORD)
        .env("RESTIC_CACHE_DIR", rig.path("cache"))
        .env("HOME", rig.path("home"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
}

#[tokio::test]
async fn whole_snapshots_outlive_newer_ones_that_lack_something() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.path("mount");
        fs::create_dir(&source).unwrap();
        let path = source.to_str().unwrap().to_owned();
        let mut whole = Vec::new();
        for text in ["1", "2", "3"] {
            fs::write(source.join("a"), text).unwrap();
            whole.push(made_by(&rig.backup(&[&path]).await.succeeded()));
        }
        fs::remove_file(source.join("a")).unwrap();
        let mut lacking = Vec::new();
        for _ in 0..3 {
            let ran = rig.backup(&[&path]).await;
            assert_eq!(ran.end.class, Some(Class::SourceEmpty), "{ran:#?}");
            lacking.push(made_by(&ran));
        }

        let names: Vec<&str> = lacking.iter().map(|id| &id[..id.len().min(16)]).chain(["0badcafe"]).collect();
        let (mut ids, mut room) = ([0; 200], [0; 400]);
        let keep = Keep { last: 2, ..Keep::default() };
        let lacking_ids = Items::write(names.iter().copied(), &mut ids).unwrap();
        let group = ForgetGroup { lacking: lacking_ids, ..ForgetGroup::new("g1", keep) };
        let groups = Items::write([group], &mut room).unwrap();
        // Once more after it was done: nothing is left to do.
        for (dry_run, removed) in [(true, 2), (false, 2), (false, 0)] {
            let ran = rig.run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run }).await.succeeded();
            let JobSummary::Forget(counts) = &ran.end.summary else { panic!("{ran:#?}") };
            assert_eq!((counts[0].kept, counts[0].spared, counts[0].removed), (4, 2, removed), "{ran:#?}");
            if !dry_run {
                assert_eq!(counts[0].lacking.as_deref().unwrap(), &names[1..3], "those that are still there");
            }
        }
        let listing = rig.run(JobSpec::Snapshots).await.succeeded();
        let left: Vec<&str> = listing.snapshots.iter().map(|snapshot| snapshot.id.as_str()).collect();
        assert_eq!(left.len(), 4, "{left:?}");
        for stays in whole[1..].iter().chain(&lacking[1..]) {
            assert!(left.iter().any(|id| id.starts_with(stays.as_str())), "{stays} is gone of {left:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_group_goes_on_with_the_snapshots_of_its_former_names() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        let foreign =
            [("old-box", "docs"), ("old-box", ""), ("rig", "docs"), ("rig", "other"), ("alien", "g1")];
        for (host, tag) in foreign {
            let (host, tag) = (format!("--host={host}"), format!("--tag={tag}"));
            let mut args = vec!["backup", &host, &source];
            if tag != "--tag=" {
                args.push(&tag);
            }
            with_restic(&rig, &args);
        }
        let mut room = [0; 100];
        let origins = [("old-box", "docs"), ("old-box", ""), ("rig", "docs")];
        let origins = origins.map(|(hostname, tag)| Origin { hostname, tag });
        let origins = Items::write(origins, &mut room).unwrap();
        let mut buffer = Vec::new();
        let JobSpec::Backup(plain) = backup_of(&[&source], &mut buffer) else { unreachable!() };
        let ran = rig.run(JobSpec::Backup(BackupSpec { origins, ..plain })).await.succeeded();
        let JobSummary::Backup(made) = &ran.end.summary else { panic!("{ran:#?}") };
        assert_eq!((made.files_new, made.files_unmodified), (0, 5), "it goes on from the newest: {ran:#?}");

        let keep = Keep { last: 2, ..Keep::default() };
        let mut list = [0; 200];
        let groups =
            Items::write([ForgetGroup { origins, ..ForgetGroup::new("g1", keep) }], &mut list).unwrap();
        let ran = rig.run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false }).await.succeeded();
        let JobSummary::Forget(counts) = &ran.end.summary else { panic!("{ran:#?}") };
        assert_eq!(counts[0].removed, 2, "{ran:#?}");
        let listing = rig.run(JobSpec::Snapshots).await.succeeded();
        let left: Vec<_> =
            listing.snapshots.iter().map(|it| (it.hostname.as_str(), it.tags.join(","))).collect();
        let wanted = [("rig", "docs"), ("rig", "other"), ("alien", "g1"), ("rig", "g1")];
        assert_eq!(left, wanted.map(|(host, tag)| (host, tag.to_owned())), "what is of nobody here stays");
    })
    .await;
}

#[tokio::test]
async fn a_change_of_tags_makes_no_lacking_snapshot_whole() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.path("mount");
        fs::create_dir(&source).unwrap();
        let path = source.to_str().unwrap().to_owned();
        fs::write(source.join("a"), "text").unwrap();
        for _ in 0..2 {
            rig.backup(&[&path]).await.succeeded();
        }
        fs::remove_file(source.join("a")).unwrap();
        let mut lacking = Vec::new();
        for _ in 0..2 {
            lacking.push(made_by(&rig.backup(&[&path]).await)[..8].to_owned());
        }
        with_restic(&rig, &["tag", "--add", "archived"]);
        let (mut ids, mut room) = ([0; 200], [0; 400]);
        let lacking_ids = Items::write(lacking.iter().map(String::as_str), &mut ids).unwrap();
        let keep = Keep { last: 2, ..Keep::default() };
        let group = ForgetGroup { lacking: lacking_ids, ..ForgetGroup::new("g1", keep) };
        let groups = Items::write([group], &mut room).unwrap();
        let spec = JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false };
        let ran = rig.run(spec).await.succeeded();
        let JobSummary::Forget(counts) = &ran.end.summary else { panic!("{ran:#?}") };
        assert_eq!((counts[0].kept, counts[0].spared, counts[0].removed), (4, 2, 0), "{ran:#?}");
        assert_eq!(
            counts[0].lacking.as_deref().unwrap(),
            lacking,
            "they are still known by their former names"
        );
    })
    .await;
}

/// Made by hand, by another server, or by an agent that was killed before it could say so.
#[tokio::test]
async fn what_nobody_here_knows_pushes_nothing_out_that_holds_more() {
    with_each_version(async |version, program| {
        let mut rig = Rig::initialised(program).await;
        let (a, b) = (rig.path("a"), rig.path("b"));
        for (folder, files) in [(&a, 2), (&b, 20)] {
            fs::create_dir(folder).unwrap();
            for n in 0..files {
                fs::write(folder.join(format!("file-{n}")), "some text").unwrap();
            }
        }
        let (a, b) = (a.to_str().unwrap().to_owned(), b.to_str().unwrap().to_owned());
        let by_hand = ["backup", "--host=rig", "--tag=g1"];
        for paths in [&[a.as_str(), b.as_str()][..], &[&a], &[&a]] {
            with_restic(&rig, &[&by_hand[..], paths].concat());
        }
        let keep = Keep { last: 2, ..Keep::default() };
        let mut room = [0; 400];
        let groups = Items::write([ForgetGroup::new("g1", keep)], &mut room).unwrap();
        let forget = JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false };
        // The one with both paths stays, whether restic tells sizes or not.
        let ran = rig.run(forget).await.succeeded();
        let JobSummary::Forget(counts) = &ran.end.summary else { panic!("{ran:#?}") };
        assert_eq!((counts[0].spared, counts[0].removed), (1, 0), "{version:?}: {ran:#?}");
        assert!(
            ran.log.iter().any(|line| line.contains("g1: 1 snapshot stays beside the rules")),
            "{ran:#?}"
        );

        // Known to be whole, and then one that nobody has heard of.
        let known = made_by(&rig.backup(&[&a, &b]).await.succeeded())[..8].to_owned();
        with_restic(&rig, &[&by_hand[..], &[&a, &b]].concat());
        let keep = Keep { last: 1, ..Keep::default() };
        let (mut ids, mut room) = ([0; 100], [0; 400]);
        let whole = Items::write([known.as_str()], &mut ids).unwrap();
        let group = ForgetGroup { whole, ..ForgetGroup::new("g1", keep) };
        let groups = Items::write([group], &mut room).unwrap();
        rig.run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false }).await.succeeded();
        let left = rig.run(JobSpec::Snapshots).await.succeeded().snapshots;
        assert!(left.len() == 2 && left[0].id.starts_with(&known), "{version:?}: {left:?}");
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_of_two_groups_stays() {
    let Some(program) = crate::tools::Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let source = rig.source();
    for tags in ["--tag=g1,keepme", "--tag=g1", "--tag=g1"] {
        with_restic(&rig, &["backup", "--host=rig", tags, &source]);
    }
    let keep = Keep { last: 1, ..Keep::default() };
    let (mut list, mut room) = ([0; 100], [0; 400]);
    let groups = Items::write([ForgetGroup::new("g1", keep)], &mut room).unwrap();
    let others = Items::write([Origin { hostname: "rig", tag: "keepme" }], &mut list).unwrap();
    let ran = rig.run(JobSpec::Forget { groups, others, dry_run: false }).await.succeeded();
    let JobSummary::Forget(counts) = &ran.end.summary else { panic!("{ran:#?}") };
    assert_eq!((counts[0].spared, counts[0].removed), (1, 1), "{ran:#?}");
    assert!(ran.log.iter().any(|line| line.contains("of another source group, too")), "{ran:#?}");
}

#[tokio::test]
async fn a_rewritten_snapshot_pushes_the_one_that_it_was_made_from_out_never() {
    let Some(program) = crate::tools::Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let source = rig.source();
    let whole = made_by(&rig.backup(&[&source]).await.succeeded())[..8].to_owned();
    // Their ids are chance: often enough for either order.
    for file in 0..4 {
        with_restic(&rig, &["rewrite", &format!("--exclude=file-{file}"), &whole]);
    }
    let keep = Keep { last: 1, ..Keep::default() };
    let (mut ids, mut room) = ([0; 100], [0; 400]);
    let known = Items::write([whole.as_str()], &mut ids).unwrap();
    for known in [known, Items::EMPTY] {
        let group = ForgetGroup { whole: known, ..ForgetGroup::new("g1", keep) };
        let groups = Items::write([group], &mut room).unwrap();
        rig.run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false }).await.succeeded();
        let left = rig.run(JobSpec::Snapshots).await.succeeded().snapshots;
        assert!(left.iter().any(|it| it.id.starts_with(&whole)), "{whole} is gone of {left:?}");
    }
}
