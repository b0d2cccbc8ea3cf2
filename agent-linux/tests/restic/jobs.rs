//! Every kind of job with the real restic, when all goes well.

use crate::{
    rig::{REPO_PASSWORD, REST_PASSWORD, REST_USER, RestServer, Rig, backup_of, with_each_version},
    tools::Version,
};
use agent_linux::restic::{JobSummary, RestoreTo};
use schema::{
    Class, Items, JobSpec, Keep, OsText, Outcome, Overwrite, RestoreTarget, job::ForgetGroup,
    report::EntryKind, restore::RestoreSpec, stats::SizeSource,
};
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

/// A snapshot whose own JSON is far longer than what an agent keeps of one is listed, and can be looked into.
#[tokio::test]
async fn a_snapshot_of_thousands_of_paths_and_excludes_is_listed_and_looked_into() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program.clone()).await;
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
        let many = rig.path("many");
        fs::create_dir(&many).unwrap();
        let names: Vec<String> =
            (0..3_000).map(|n| format!("{}/{}-{n}", many.display(), "n".repeat(100))).collect();
        names.iter().for_each(|name| fs::write(name, "").unwrap());
        fs::write(rig.path("paths"), names.join("\n")).unwrap();
        let excludes: Vec<String> = (0..3_000).map(|n| format!("/nowhere/{}/{n}", "e".repeat(100))).collect();
        fs::write(rig.path("excludes"), excludes.join("\n")).unwrap();
        let made = std::process::Command::new(&program)
            .env("RESTIC_PASSWORD", REPO_PASSWORD)
            .args(["backup", "--host", "rig", "--tag", "many", "--repo"])
            .arg(&rig.credentials.url)
            .arg("--cache-dir")
            .arg(&rig.places.cache)
            .arg("--files-from-verbatim")
            .arg(rig.path("paths"))
            .arg("--exclude-file")
            .arg(rig.path("excludes"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        let listing = rig.run(JobSpec::Snapshots).await.succeeded();
        assert_eq!(listing.end.summary, JobSummary::Snapshots { count: 2, left_out: 0 });
        let large = &listing.snapshots[1];
        assert_eq!((large.hostname.as_str(), &large.tags[..]), ("rig", &["many".to_owned()][..]));
        assert!(large.paths.len() > 10 && names.contains(&large.paths[0]), "{:?}", large.paths);
        assert_eq!(large.paths.len() + large.paths_left_out as usize, names.len());
        assert_eq!((listing.snapshots[0].paths_left_out, listing.snapshots[0].tags_left_out), (0, 0));

        let look = JobSpec::Ls { snapshot: &large.id, path: many.to_str().unwrap().into() };
        let ls = rig.run(look).await.succeeded();
        assert_eq!(ls.end.summary, JobSummary::Folder { entries: 3_000, left_out: 0 });
        assert_eq!(ls.entries.len(), 3_000);
    })
    .await;
}

#[tokio::test]
async fn names_that_are_no_utf_8_are_listed_and_opened_by_their_bytes() {
    with_each_version(async |_, program| {
        let mut rig = Rig::new(program);
        let source = rig.source();
        let at = |name: &[u8]| Path::new(&source).join(OsStr::from_bytes(name));
        fs::create_dir(at(b"odd")).unwrap();
        for folder in [&b"odd/d\xfcr"[..], b"odd/d\xfer"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::write(at(b"odd/d\xfcr/one"), "1").unwrap();
        fs::write(at(b"odd/d\xfer/two"), "22").unwrap();
        let names = [
            &b"a\nb\xff"[..],
            b"f\xfe1",
            b"f\xff1",
            "true \u{fffd}".as_bytes(),
            b"a\\xfc",
            "d\u{fc}r".as_bytes(),
        ];
        for (bytes, name) in names.into_iter().enumerate() {
            fs::write(at(b"odd").join(OsStr::from_bytes(name)), vec![b'x'; bytes + 1]).unwrap();
        }
        rig.init_at_once(&rig.path("repo")).await;
        rig.backup(&[&source]).await.succeeded();
        let id = rig.run(JobSpec::Snapshots).await.succeeded().snapshots[0].id.clone();
        let path = |name: &[u8]| at(name).into_os_string().into_vec();

        let folder = path(b"odd");
        let ls = rig.run(JobSpec::Ls { snapshot: &id, path: OsText::new(&folder) }).await.succeeded();
        let mut found: Vec<_> = ls.entries.iter().map(|entry| (entry.name.as_slice(), entry.bytes)).collect();
        found.sort();
        let mut expected: Vec<_> = names.into_iter().zip(1..).collect();
        expected.extend([(&b"d\xfcr"[..], 0), (b"d\xfer", 0)]);
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(ls.end.summary, JobSummary::Folder { entries: 8, left_out: 0 });

        for (name, inside) in [(&b"odd/d\xfcr"[..], &b"one"[..]), (b"odd/d\xfer", b"two")] {
            let folder = path(name);
            let ls = rig.run(JobSpec::Ls { snapshot: &id, path: OsText::new(&folder) }).await.succeeded();
            assert_eq!(ls.entries.iter().map(|entry| entry.name.as_slice()).collect::<Vec<_>>(), [inside]);
        }
        // What only looks like one of them is not there.
        let folder = path("odd/d\u{fffd}r".as_bytes());
        let ls =
            rig.run(JobSpec::Ls { snapshot: &id, path: OsText::new(&folder) }).await.failed(Class::Other);
        assert!(ls.end.message.contains("There is no "), "{ls:#?}");
        let folder = path(b"odd/f\xff1");
        let ls =
            rig.run(JobSpec::Ls { snapshot: &id, path: OsText::new(&folder) }).await.failed(Class::Other);
        assert!(ls.end.message.contains("f\\xff1 is a file in this snapshot"), "{ls:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_repository_is_made_filled_listed_measured_thinned_and_checked() {
    with_each_version(async |version, program| {
        let mut rig = Rig::new(program);
        let source = rig.source();

        let probe = rig.run(JobSpec::Probe).await.failed(Class::RepoMissing);
        assert!(matches!(probe.end.summary, JobSummary::Probe(found) if found.repo.is_none()));

        let init = rig.run(JobSpec::Init).await.succeeded();
        let JobSummary::Init(repo) = init.end.summary else { panic!("{init:#?}") };
        assert_eq!(rig.known.figures.repo, Some(repo));
        let again = rig.run(JobSpec::Init).await.failed(Class::RepoExists);
        assert!(again.end.message.contains("nothing was changed"), "{}", again.end.message);
        rig.make_key_cheap();

        let probe = rig.run(JobSpec::Probe).await.succeeded();
        let JobSummary::Probe(found) = probe.end.summary else { panic!("{probe:#?}") };
        assert_eq!((found.repo, found.repo_version, found.append_only), (Some(repo), Some(2), None));

        let first = rig.backup(&[&source]).await.succeeded();
        let JobSummary::Backup(done) = &first.end.summary else { panic!("{first:#?}") };
        assert_eq!((done.files_new, done.total_bytes, done.errors), (5, 25_000, 0));
        assert_eq!(first.end.exit_code, Some(0));
        assert!(first.end.started_at.unwrap() <= first.end.finished_at);
        assert!(
            first.end.figures_changed && first.log[0].starts_with("Agent: restic backup --json"),
            "{first:#?}"
        );
        let counted = rig.known.figures.snapshots.unwrap();
        assert_eq!(counted.count, 1);

        fs::write(rig.path("source/inner/new"), "new").unwrap();
        rig.backup(&[&source]).await.succeeded();
        rig.backup(&[&source]).await.succeeded();
        let figures = rig.known.figures.clone();
        assert_eq!(figures.snapshots.unwrap().count, 3);

        let listing = rig.run(JobSpec::Snapshots).await.succeeded();
        assert_eq!(
            (listing.snapshots.len(), &listing.end.summary),
            (3, &JobSummary::Snapshots { count: 3, left_out: 0 })
        );
        assert_eq!(listing.snapshots[0].tags, ["g1"]);
        assert_eq!(listing.snapshots[0].hostname, "rig");
        assert_eq!(listing.snapshots[0].paths, [source.as_str()]);
        assert_eq!(rig.known.figures.snapshots.unwrap().newest_at, Some(listing.snapshots[2].time));

        let stats = rig.run(JobSpec::Stats).await.succeeded();
        let JobSummary::Stats(measured) = stats.end.summary else { panic!("{stats:#?}") };
        assert_eq!(rig.known.figures.size.unwrap().source, SizeSource::Measured);
        if version != Version::V014 {
            let summed = figures.size.unwrap();
            assert_eq!(summed.source, SizeSource::Summed);
            let off = summed.bytes.abs_diff(measured.total_bytes);
            // The sum knows of the blobs' headers, the measure doesn't.
            let headers = measured.blobs * 64;
            assert!(off <= headers + measured.total_bytes / 1000, "{summed:?} {measured:?}");
        }

        let id = listing.snapshots[2].id.clone();
        let ls = rig
            .run(JobSpec::Ls { snapshot: &id, path: format!("{source}/inner").as_str().into() })
            .await
            .succeeded();
        assert_eq!(ls.entries.iter().filter(|entry| entry.name.starts_with(b"file-")).count(), 5, "{ls:#?}");
        assert_eq!(ls.end.summary, JobSummary::Folder { entries: ls.entries.len() as u32, left_out: 0 });
        for (path, says) in [("gone", "There is no "), ("inner/file-0", "is a file in this snapshot")] {
            let path = format!("{source}/{path}");
            let ls =
                rig.run(JobSpec::Ls { snapshot: &id, path: path.as_str().into() }).await.failed(Class::Other);
            assert!(ls.end.message.contains(says) && ls.end.message.contains(&path), "{ls:#?}");
        }
        let above = rig.run(JobSpec::Ls { snapshot: &id, path: "/".into() }).await.succeeded();
        assert_eq!(above.entries.len(), 1, "{above:#?}");
        assert_eq!(above.entries[0].kind, EntryKind::Folder);

        let target = rig.path("restored");
        let restore = RestoreSpec {
            snapshot: &id,
            paths: Items::EMPTY,
            target: RestoreTarget::Folder { path: target.to_str().unwrap().into() },
            overwrite: Overwrite::Never,
            delete: false,
            verify: true,
            dry_run: false,
        };
        let root = rig.folder.path().canonicalize().unwrap();
        rig.restore_to =
            Some(RestoreTo::Folder { path: root.join("restored"), may_hold: false, forbidden: Vec::new() });
        rig.run(JobSpec::Restore(restore)).await.succeeded();
        let restored = target.join(&source[1..]).join("inner/new");
        assert_eq!(fs::read(restored).unwrap(), b"new");

        let check = rig.run(JobSpec::Check { subset_pct: 100 }).await.succeeded();
        assert_eq!(check.end.summary, JobSummary::Check { errors: 0, subset_pct: 100 });
        assert_eq!(rig.known.figures.check.unwrap().errors, 0);
        assert!(check.progress.iter().any(|it| it.current.ends_with(" packs")), "{:?}", check.progress);

        let mut buffer = [0; 99];
        let groups = [
            ForgetGroup::new("g1", Keep { last: 1, ..Keep::default() }),
            ForgetGroup::new("other", Keep { daily: 2, ..Keep::default() }),
            ForgetGroup::new("never", Keep::default()),
        ];
        let groups = Items::write(groups, &mut buffer).unwrap();
        let dry = rig.run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: true }).await.succeeded();
        let JobSummary::Forget(counts) = &dry.end.summary else { panic!("{dry:#?}") };
        assert_eq!((counts[0].kept, counts[0].removed), (1, 2));
        assert_eq!(rig.known.figures.snapshots.unwrap().count, 3, "a dry run drops nothing");
        let forget =
            rig.run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false }).await.succeeded();
        let JobSummary::Forget(counts) = &forget.end.summary else { panic!("{forget:#?}") };
        let counts: Vec<_> = counts.iter().map(|it| (it.group.as_str(), it.kept, it.removed)).collect();
        assert_eq!(counts, [("g1", 1, 2), ("other", 0, 0)]);
        assert_eq!(rig.known.figures.snapshots.unwrap().count, 1);

        let prune = rig.run(JobSpec::Prune { dry_run: false }).await.succeeded();
        let JobSummary::Prune(pruned) = prune.end.summary else { panic!("{prune:#?}") };
        assert!(pruned.freed_bytes > 0 && pruned.remaining_bytes > 0, "{pruned:?}");
        assert_eq!(rig.known.figures.size.unwrap().bytes, pruned.remaining_bytes);
        assert_eq!(rig.known.figures.prune.unwrap().freed_bytes, pruned.freed_bytes);
        assert!(prune.progress.iter().any(|it| it.permille == 1_000 && it.current.ends_with("snapshots")));

        let unlock = rig.run(JobSpec::Unlock { all: false }).await.succeeded();
        assert_eq!(unlock.end.summary, JobSummary::Unlock(0));
        assert!(rig.known.figures.lock.as_ref().unwrap().lock.is_none());
        assert_eq!(rig.locks(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_of_a_backup_makes_no_snapshot() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        let mut buffer = Vec::new();
        let JobSpec::Backup(mut spec) = backup_of(&[&source], &mut buffer) else { unreachable!() };
        spec.dry_run = true;
        let ran = rig.run(JobSpec::Backup(spec)).await.succeeded();
        assert!(matches!(&ran.end.summary, JobSummary::Backup(done) if done.snapshot.is_empty() && done.files_new == 5));
        assert_eq!(rig.known.figures.snapshots.unwrap().count, 0);
    })
    .await;
}

#[tokio::test]
async fn small_boxes_have_flags_that_every_version_takes() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        (rig.places.small, rig.places.nice) = (true, 5);
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_group_keeps_its_history_when_its_paths_change() {
    let Some(program) = Version::Newest.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let source = rig.source();
    rig.backup(&[&source]).await.succeeded();
    let more = rig.path("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("one"), "1").unwrap();
    let ran = rig.backup(&[&source, more.to_str().unwrap()]).await.succeeded();
    assert!(
        matches!(&ran.end.summary, JobSummary::Backup(done) if done.files_unmodified == 5 && done.files_new == 1)
    );
}

#[tokio::test]
async fn a_repository_on_a_rest_server_takes_odd_passwords() {
    with_each_version(async |_, program| {
        let mut rig = Rig::new(program);
        let Some(server) = RestServer::start(&rig.path("storage"), false).await else { return };
        rig.credentials.url = server.url();
        rig.credentials.username = REST_USER.to_owned();
        rig.credentials.password = REST_PASSWORD.to_owned();
        rig.run(JobSpec::Init).await.succeeded();
        let probe = rig.run(JobSpec::Probe).await.succeeded();
        assert!(
            matches!(probe.end.summary, JobSummary::Probe(found) if found.append_only == Some(false)),
            "{probe:#?}"
        );
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
    })
    .await;
}

#[tokio::test]
async fn an_append_only_server_is_recognised_and_keeps_its_snapshots() {
    with_each_version(async |version, program| {
        let mut rig = Rig::new(program);
        let Some(server) = RestServer::start(&rig.path("storage"), true).await else { return };
        rig.credentials.url = server.url();
        rig.credentials.username = REST_USER.to_owned();
        rig.credentials.password = REST_PASSWORD.to_owned();
        rig.init_at_once(&rig.path("storage/repo")).await;
        let probe = rig.run(JobSpec::Probe).await.succeeded();
        assert!(
            matches!(probe.end.summary, JobSummary::Probe(found) if found.append_only == Some(true)),
            "{probe:#?}"
        );
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
        rig.backup(&[&source]).await.succeeded();
        if version == Version::V014 {
            // It would try to delete for a minute; a capture shows what it says then.
            return;
        }
        let mut buffer = [0; 99];
        let keep = Keep { last: 1, ..Keep::default() };
        let groups = Items::write([ForgetGroup::new("g1", keep)], &mut buffer).unwrap();
        let ran = rig
            .run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false })
            .await
            .failed(Class::AppendOnly);
        assert!(ran.end.message.contains("admin credentials"), "{}", ran.end.message);
        let JobSummary::Forget(counts) = &ran.end.summary else { panic!("{ran:#?}") };
        assert_eq!((counts[0].removed, counts[0].class), (0, Some(Class::AppendOnly)));
        rig.run(JobSpec::Unlock { all: false }).await.succeeded();
        let listing = rig.run(JobSpec::Snapshots).await.succeeded();
        assert_eq!(listing.end.summary, JobSummary::Snapshots { count: 2, left_out: 0 });
    })
    .await;
}

#[tokio::test]
async fn a_slow_consumer_gets_every_line_and_every_snapshot() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let source = rig.source();
    for n in 0..4 {
        fs::write(rig.path("source/inner/new"), format!("{n}")).unwrap();
        rig.backup(&[&source]).await.succeeded();
    }
    rig.room = 1;
    let ran = rig.run(JobSpec::Snapshots).await.succeeded();
    assert_eq!((ran.snapshots.len(), ran.log.len()), (4, 1));
    let id = ran.snapshots[0].id.clone();
    let inner = format!("{source}/inner");
    let ls = rig
        .run(JobSpec::Ls { snapshot: &id, path: inner.as_str().into() })
        .await
        .must_be(Outcome::Succeeded, None);
    assert!(ls.entries.len() >= 3, "{ls:#?}");
}
