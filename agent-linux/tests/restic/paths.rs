//! What single paths of a source group bring to a snapshot, and what is never in one, with the real restic.

use crate::rig::{Ran, Rig, backup_of, with_each_version};
use agent_linux::{browse, policy::Policy, restic::JobSummary};
use schema::{Class, Items, JobSpec, Outcome, SourceReason};
use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path, process::Command};

/// What was said of single paths.
fn findings(ran: &Ran) -> Vec<(String, SourceReason)> {
    let JobSummary::Backup(done) = &ran.end.summary else { panic!("{ran:#?}") };
    done.findings.iter().map(|seen| (seen.path.clone(), seen.reason)).collect()
}

async fn backup_without(rig: &mut Rig, paths: &[&str], excludes: &[&str]) -> Ran {
    let (mut buffer, mut patterns) = (Vec::new(), vec![0; 4096]);
    let JobSpec::Backup(mut spec) = backup_of(paths, &mut buffer) else { unreachable!() };
    spec.excludes = Items::write(excludes.iter().copied(), &mut patterns).unwrap();
    rig.run(JobSpec::Backup(spec)).await
}

/// The paths in the newest snapshot.
fn saved(rig: &Rig) -> Vec<String> {
    let output = Command::new(&rig.places.restic)
        .args(["ls", "latest", "--quiet", "--no-lock"])
        .env("RESTIC_REPOSITORY", &rig.credentials.url)
        .env("RESTIC_PASSWORD", &rig.credentials.repo_password)
        .env("RESTIC_CACHE_DIR", rig.path("cache-by-hand"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.starts_with('/')).map(str::to_owned).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_pattern_is_refused_before_where_restic_refuses_it() {
    // All that can be written with up to four of these.
    let mut patterns = vec![String::new()];
    for at in 0.. {
        let Some(pattern) = patterns.get(at).filter(|pattern| pattern.chars().count() < 4).cloned() else {
            break;
        };
        patterns.extend("[]^-\\*a/é".chars().map(|sign| format!("{pattern}{sign}")));
    }
    patterns.remove(0);
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let output = Command::new(&rig.places.restic)
            .args(["backup", "--dry-run", "/etc/hostname"])
            .args(patterns.iter().map(|pattern| format!("--exclude={pattern}")))
            .env("RESTIC_REPOSITORY", &rig.credentials.url)
            .env("RESTIC_PASSWORD", &rig.credentials.repo_password)
            .env("RESTIC_CACHE_DIR", rig.path("cache-by-hand"))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let (_, refused) = said.split_once("invalid pattern(s) provided:\n").expect(&said);
        let refused: BTreeSet<&str> = refused.lines().collect();
        assert!((100..patterns.len() - 100).contains(&refused.len()), "{}", refused.len());
        for pattern in &patterns {
            let (is_refused, is_readable) =
                (refused.contains(pattern.as_str()), schema::pattern::is_readable(pattern));
            // What comes behind a star restic finds wrong only once a name has come so far.
            let may_differ = pattern.contains('*') && !is_readable;
            assert!(is_readable != is_refused || may_differ, "{pattern}");
        }
        let source = rig.source();
        let ran = backup_without(&mut rig, &[&source], &["[abc"]).await.failed(Class::InvalidPattern);
        assert!(ran.end.message.contains("[abc"), "{}", ran.end.message);
        // One that only restic refuses.
        rig.wrap_restic(
            "[ $1 = backup ] && shift && set -- backup --exclude='[abc' \"$@\"; exec $RESTIC \"$@\"",
        );
        let _ = rig.backup(&[&source]).await.failed(Class::InvalidPattern);
    })
    .await;
}

#[tokio::test]
async fn a_path_that_brings_nothing_beside_one_that_does_is_a_warning_that_says_why() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        let (link, dead, empty, gone) =
            (rig.path("link"), rig.path("dead"), rig.path("empty"), rig.path("gone"));
        symlink(&source, &link).unwrap();
        symlink("/no/such/place", &dead).unwrap();
        fs::create_dir_all(&empty).unwrap();
        let covered = rig.path("covered");
        fs::create_dir_all(covered.join("inner")).unwrap();
        fs::write(covered.join("inner/a.tmp"), "x").unwrap();
        for (path, excludes, reason, class) in [
            (&link, &[][..], SourceReason::Link, Class::SourceEmpty),
            (&dead, &[][..], SourceReason::DeadLink, Class::SourceMissing),
            (&empty, &[][..], SourceReason::Empty, Class::SourceEmpty),
            (&gone, &[][..], SourceReason::Missing, Class::SourceMissing),
            (&covered, &["*.tmp"][..], SourceReason::Excluded, Class::SourceEmpty),
            (&covered, &["covered/*"][..], SourceReason::Excluded, Class::SourceEmpty),
            (&covered, &[text(&covered)][..], SourceReason::Excluded, Class::SourceEmpty),
            (&covered, &["*", "!file-*", "!source"][..], SourceReason::Excluded, Class::SourceEmpty),
        ] {
            let path = text(path);
            let ran = backup_without(&mut rig, &[path, &source], excludes).await;
            let ran = ran.must_be(Outcome::Warning, Some(class));
            assert_eq!(findings(&ran), [(path.to_owned(), reason)], "{excludes:?}");
            assert!(ran.end.message.contains(path), "{}", ran.end.message);
            if reason == SourceReason::Link {
                assert!(ran.end.message.contains(&source), "where it leads: {}", ran.end.message);
            }
            assert!(saved(&rig).iter().any(|it| it.ends_with("/inner/file-1")), "the rest is saved");
        }
        // What brings something, by whatever way, is no reason to warn.
        let through = link.join("inner");
        for paths in [[text(&through), source.as_str()], [text(&covered), source.as_str()]] {
            let ran = backup_without(&mut rig, &paths, &["/covered", "*.bak", "!*.tmp"]).await.succeeded();
            assert!(findings(&ran).is_empty(), "{ran:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_repository_below_its_source_and_the_agents_own_folder_are_never_saved() {
    with_each_version(async |_, program| {
        let mut rig = Rig::new(program);
        rig.credentials.url = format!("local:{}", text(&rig.path("volume/backup/repo")));
        rig.places.home = rig.path("volume/agent");
        rig.places.cache = rig.path("volume/agent/cache");
        fs::create_dir_all(rig.path("volume/backup")).unwrap();
        fs::create_dir_all(rig.path("volume/agent")).unwrap();
        fs::create_dir_all(rig.path("volume/photos")).unwrap();
        fs::write(rig.path("volume/agent/local.key"), "a key").unwrap();
        fs::write(rig.path("volume/photos/one"), "a photo").unwrap();
        fs::write(rig.path("volume/backup/note"), "beside the repository").unwrap();
        symlink(rig.path("volume"), rig.path("share")).unwrap();
        rig.init_at_once(&rig.path("volume/backup/repo")).await;

        // By its name, through a link on the way, with dots in it, and with patterns that would take it back.
        let (volume, top) = (rig.path("volume"), rig.folder.path().to_owned());
        let (share_backup, share_agent) = (rig.path("share/backup"), rig.path("share/agent"));
        let dotted = format!("{}/photos/../", text(&volume));
        let agent = format!("!{}", text(&rig.path("volume/agent")));
        let take_back = ["!*", "!local.key", &agent];
        for (path, excludes) in [
            (text(&volume), &[][..]),
            (text(&volume), &take_back[..]),
            (dotted.as_str(), &take_back[..]),
            (text(&top), &take_back[..]),
        ] {
            let ran = backup_without(&mut rig, &[path], excludes).await.succeeded();
            let seen = findings(&ran);
            let of = |reason| seen.iter().filter(|(_, it)| *it == reason).count();
            assert_eq!((of(SourceReason::OwnRepository), of(SourceReason::OwnState)), (1, 1), "{seen:?}");
            assert!(ran.log.iter().any(|line| line.contains("holds its keys")), "{ran:#?}");
            let saved = saved(&rig);
            assert!(saved.iter().any(|it| it.ends_with("/photos/one")), "{saved:?}");
            assert!(saved.iter().any(|it| it.ends_with("/backup/note")), "{saved:?}");
            let never = |it: &&String| it.contains("/backup/repo") || it.contains("/volume/agent");
            assert_eq!(saved.iter().find(never), None, "{path} without {excludes:?}");
        }
        let ran = rig.backup(&[text(&share_backup)]).await.succeeded();
        assert_eq!(
            findings(&ran),
            [(text(&share_backup.join("repo")).to_owned(), SourceReason::OwnRepository)]
        );
        assert!(saved(&rig).iter().all(|it| !it.contains("/repo")));

        // The two themselves, and what is in them, are refused whatever stands beside them.
        let photos = rig.path("volume/photos");
        let (repo_data, key) = (rig.path("share/backup/repo/data"), share_agent.join("local.key"));
        let before = saved(&rig);
        for (path, words) in [
            (rig.path("volume/backup/repo"), "is the repository itself"),
            (repo_data, "is the repository itself"),
            (rig.path("volume/agent"), "the agent's own folder"),
            (share_agent, "the agent's own folder"),
            (key, "the agent's own folder"),
        ] {
            let ran = rig.backup(&[text(&photos), text(&path)]).await.failed(Class::Policy);
            assert!(
                ran.end.message.contains(words) && ran.end.message.contains(text(&path)),
                "{}",
                ran.end.message
            );
            assert_eq!(ran.end.started_at, None);
        }
        assert_eq!(saved(&rig), before, "nothing was saved");
    })
    .await;
}

/// Runs only inside the test below, in a mount namespace of its own.
#[tokio::test]
#[ignore = "a part of another test"]
async fn a_backup_of_a_bind_mount() {
    let Some(program) = std::env::var_os("HOLDFAST_RIG_RESTIC") else { return };
    let mut rig = Rig::new(program.into());
    let mount = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        assert!(Command::new("mount").arg("--bind").args([from, to]).status().unwrap().success());
    };
    fs::create_dir_all(rig.path("disk/backup")).unwrap();
    fs::create_dir_all(rig.path("disk/agent")).unwrap();
    fs::write(rig.path("disk/agent/local.key"), "a key").unwrap();
    fs::write(rig.path("disk/file"), "x").unwrap();
    rig.places.home = rig.path("disk/agent");
    rig.places.cache = rig.path("disk/agent/cache");
    mount(&rig.path("disk"), &rig.path("data/seen"));
    mount(&rig.path("disk/backup"), &rig.path("srv"));
    // Named by the one mount, saved through the other.
    rig.credentials.url = text(&rig.path("srv/repo")).to_owned();
    rig.init_at_once(&rig.path("srv/repo")).await;
    for path in [rig.path("data"), rig.path("data/seen"), rig.path("disk")] {
        let ran = rig.backup(&[text(&path)]).await.succeeded();
        assert_eq!(findings(&ran).len(), 2, "{path:?} {ran:#?}");
        let saved = saved(&rig);
        assert!(saved.iter().any(|it| it.ends_with("/file")), "{saved:?}");
        assert!(saved.iter().all(|it| !it.contains("/repo") && !it.contains("/agent")), "{saved:?}");
    }
    for path in ["data/seen/backup/repo", "data/seen/agent", "data/seen/agent/local.key"] {
        rig.backup(&[text(&rig.path(path))]).await.failed(Class::Policy);
    }
    let policy = || Policy { state_dir: rig.path("disk/agent"), ..Policy::default() };
    let is_shown = async |path: &Path| browse::list(text(path).into(), policy()).await.map(drop);
    assert!(is_shown(&rig.path("data/seen")).await.is_ok());
    for path in ["data/seen/agent", "data/seen/agent/cache"] {
        let refused = is_shown(&rig.path(path)).await;
        assert!(matches!(refused, Err(browse::BrowseError::OwnState)), "{path}: {refused:?}");
    }
    println!("the bind mounts held");

    // An overlay shows it as another folder.
    let layer = rig.path("layer");
    fs::create_dir_all(&layer).unwrap();
    let mut tmpfs = Command::new("mount");
    assert!(tmpfs.args(["-t", "tmpfs", "tmpfs"]).arg(&layer).status().unwrap().success());
    let merged = rig.path("merged");
    for folder in [layer.join("up"), layer.join("work"), merged.clone()] {
        fs::create_dir_all(folder).unwrap();
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        text(&rig.path("disk")),
        text(&layer.join("up")),
        text(&layer.join("work"))
    );
    let mut overlay = Command::new("mount");
    overlay.args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged);
    if !crate::tools::is_permitted("an overlay can't be mounted here", &mut overlay) {
        return;
    }
    rig.backup(&[text(&merged)]).await.succeeded();
    let saved = saved(&rig);
    assert!(saved.iter().any(|it| it.ends_with("/file")), "{saved:?}");
    assert!(saved.iter().all(|it| !it.contains("/repo") && !it.contains("/agent")), "{saved:?}");
    rig.backup(&[text(&merged.join("agent"))]).await.failed(Class::Policy);
    let policy = || Policy { state_dir: rig.path("disk/agent"), ..Policy::default() };
    let refused = browse::list(text(&merged.join("agent")).into(), policy()).await;
    assert!(matches!(refused, Err(browse::BrowseError::OwnState)), "{refused:?}");
}

#[test]
fn what_is_never_saved_is_not_saved_through_a_bind_mount_either() {
    let Some(program) = crate::tools::Version::V014.program() else { return };
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let output = command
        .arg("--mount")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "paths::a_backup_of_a_bind_mount", "--ignored", "--nocapture"])
        .env("HOLDFAST_RIG_RESTIC", program)
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("the bind mounts held"), "{said}");
}
