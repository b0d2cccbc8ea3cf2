//! Every way to fail that an operator meets, with the real restic: class, message, and nothing left behind.

use crate::{
    rig::{
        REPO_PASSWORD, REST_PASSWORD, REST_USER, RestServer, Rig, backup_of, count_locks, free_port, until,
        with_each_version,
    },
    tools::{self, Version},
};
use agent_linux::restic::{Control, JobOrder, JobSummary, run_job};
use schema::{Class, Items, JobSpec, Keep, Outcome, SourceReason, job::ForgetGroup};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

#[tokio::test]
async fn a_wrong_repository_password_is_auth() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        rig.credentials.repo_password = "another-secret-0815".into();
        let ran = rig.run(JobSpec::Snapshots).await.failed(Class::Auth);
        assert!(ran.end.message.contains("Check the restic password"), "{}", ran.end.message);
        rig.run(JobSpec::Probe).await.failed(Class::Auth);
        rig.run(JobSpec::Init).await.failed(Class::Auth);
    })
    .await;
}

#[tokio::test]
async fn secrets_that_are_words_of_restics_change_no_verdict_and_betray_themselves_nowhere() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        // The last one is no common word, so it is hidden even there.
        for secret in ["wrong", "password", "Fatal", "key", "or", "no key found"] {
            rig.credentials.repo_password = secret.into();
            for spec in [JobSpec::Probe, JobSpec::Snapshots, JobSpec::Prune { dry_run: true }] {
                let ran = rig.run(spec).await.failed(Class::Auth);
                assert!(ran.end.message.contains("Check the restic password"), "{}", ran.end.message);
                let is_whole = ran.end.message.contains("wrong password or no key found");
                assert_eq!(is_whole, secret != "no key found", "{}", ran.end.message);
            }
        }
        let mut rig = Rig::new(rig.places.restic.clone());
        rig.credentials.repo_password = "packs".into();
        rig.init_at_once(&rig.path("repo")).await;
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
        let pruned = rig.run(JobSpec::Prune { dry_run: false }).await.succeeded();
        let JobSummary::Prune(done) = pruned.end.summary else { panic!("{pruned:#?}") };
        assert!(done.remaining_bytes > 0, "{done:?}");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_server_password_is_auth_and_is_not_shown() {
    with_each_version(async |_, program| {
        let mut rig = Rig::new(program);
        let Some(server) = RestServer::start(&rig.path("storage"), false).await else { return };
        rig.credentials.url = server.url();
        rig.credentials.username = REST_USER.into();
        rig.credentials.password = "wrong-secret-4711".into();
        let ran = rig.run(JobSpec::Probe).await.failed(Class::Auth);
        assert!(ran.end.message.contains("user name and password"), "{}", ran.end.message);
        assert!(!format!("{ran:?}").contains("wrong-secret"), "{ran:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_missing_repository_says_so() {
    with_each_version(async |_, program| {
        let mut rig = Rig::new(program);
        let source = rig.source();
        let ran = rig.backup(&[&source]).await.failed(Class::RepoMissing);
        assert!(ran.end.message.contains("initialise"), "{}", ran.end.message);
    })
    .await;
}

#[tokio::test]
async fn a_refused_connection_is_network_at_once_and_restic_is_not_started() {
    with_each_version(async |_, program| {
        let mut rig = Rig::new(program);
        let port = free_port();
        rig.credentials.url = format!("rest:http://127.0.0.1:{port}/repo/");
        let source = rig.source();
        let ran = rig.backup(&[&source]).await.failed(Class::Network);
        assert!(ran.end.message.contains(&format!("port {port}")), "{}", ran.end.message);
        assert_eq!((ran.end.exit_code, ran.end.started_at), (None, None));
    })
    .await;
}

#[tokio::test]
async fn a_missing_source_is_named_and_a_part_of_the_sources_is_kept() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        let ran = rig.backup(&["/no/such/place"]).await.failed(Class::SourceMissing);
        assert!(ran.end.message.contains("/no/such/place"), "{}", ran.end.message);
        assert_eq!(ran.end.started_at, None);
        let ran = rig.backup(&[&source, "/no/such/place"]).await;
        let ran = ran.must_be(Outcome::Warning, Some(Class::SourceMissing));
        assert!(ran.end.message.contains("/no/such/place"), "{}", ran.end.message);
        assert!(matches!(&ran.end.summary, JobSummary::Backup(done) if !done.snapshot.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn a_mount_that_is_required_and_not_there_stops_the_backup() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let source = rig.source();
    let (mut paths, mut mounts) = (Vec::new(), [0; 999]);
    let JobSpec::Backup(mut spec) = backup_of(&[&source], &mut paths) else { unreachable!() };
    spec.required_mounts = Items::write([source.as_str()], &mut mounts).unwrap();
    let ran = rig.run(JobSpec::Backup(spec)).await.failed(Class::SourceMissing);
    assert!(ran.end.message.contains("Nothing is mounted"), "{}", ran.end.message);
    let mut mounts = [0; 99];
    spec.required_mounts = Items::write(["/proc"], &mut mounts).unwrap();
    rig.run(JobSpec::Backup(spec)).await.succeeded();
}

#[tokio::test]
async fn a_backup_without_a_single_file_is_a_warning() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let empty = rig.path("unmounted");
        fs::create_dir_all(&empty).unwrap();
        let ran =
            rig.backup(&[empty.to_str().unwrap()]).await.must_be(Outcome::Warning, Some(Class::SourceEmpty));
        assert!(ran.end.message.contains("mounted"), "{}", ran.end.message);
        let JobSummary::Backup(done) = &ran.end.summary else { panic!("{ran:#?}") };
        assert!(done.total_files == 0 && !done.snapshot.is_empty(), "{done:?}");
        // A single file is enough.
        fs::write(empty.join("file"), "x").unwrap();
        rig.backup(&[empty.to_str().unwrap()]).await.succeeded();
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_file_is_a_warning_and_the_snapshot_is_kept() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.source();
        // Called like words of restic's.
        let secret = rig.path("source/unreadable: hash does not match.txt");
        fs::write(&secret, "x").unwrap();
        let mut chmod = Command::new("chmod");
        assert!(chmod.arg("000").arg(&secret).status().unwrap().success());
        if fs::read(&secret).is_ok() {
            // Root reads everything, but for this.
            let drop = "setpriv --bounding-set=-dac_override,-dac_read_search";
            let probe = format!("{drop} true");
            if !tools::is_permitted(
                "capabilities can't be dropped here",
                Command::new("sh").args(["-c", &probe]),
            ) {
                return;
            }
            rig.wrap_restic(&format!("exec {drop} $RESTIC \"$@\""));
        }
        let ran = rig.backup(&[&source]).await.must_be(Outcome::Warning, Some(Class::SourceUnreadable));
        assert!(ran.end.message.contains("1 file or folder could not be read"), "{}", ran.end.message);
        assert!(ran.end.message.contains("source/unreadable"), "{}", ran.end.message);
        assert_eq!(ran.end.exit_code, Some(3));
        let JobSummary::Backup(done) = &ran.end.summary else { panic!("{ran:#?}") };
        assert!(done.errors == 1 && done.files_new == 5 && !done.snapshot.is_empty(), "{done:?}");
        let named: Vec<_> = done.findings.iter().map(|seen| (seen.path.as_str(), seen.reason)).collect();
        assert_eq!(named, [(secret.to_str().unwrap(), SourceReason::Unreadable)]);
        assert_eq!(done.findings_left_out, 0);
        assert_eq!(rig.known.figures.snapshots.unwrap().count, 1);
    })
    .await;
}

#[tokio::test]
async fn no_restic_or_something_else_in_its_place_is_restic_missing() {
    let mut rig = Rig::new(PathBuf::from("restic-that-is-not-there"));
    let ran = rig.run(JobSpec::Probe).await.failed(Class::ResticMissing);
    assert!(ran.end.message.contains("restic is not installed"), "{}", ran.end.message);
    rig.places.restic = "/etc/passwd".into();
    rig.run(JobSpec::Probe).await.failed(Class::ResticMissing);
    rig.places.restic = "/bin/echo".into();
    let ran = rig.run(JobSpec::Probe).await.failed(Class::ResticMissing);
    assert!(ran.end.message.contains("does not say which version"), "{}", ran.end.message);
    rig.wrap_restic("echo restic 0.12.1 compiled with go1.16 on linux/amd64");
    let ran = rig.run(JobSpec::Probe).await.failed(Class::ResticMissing);
    assert!(ran.end.message.contains("0.14 or newer"), "{}", ran.end.message);
}

#[tokio::test]
async fn a_backup_that_ends_well_and_names_no_snapshot_is_not_believed() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program.clone()).await;
    let source = rig.source();
    for end in ["exit 0", "exit 3", "echo '{\"message_type\":\"summary\",\"snapshot_id\":\"sure\"}'"] {
        rig.places.restic = program.clone();
        rig.wrap_restic(&format!("case \" $* \" in *\" backup \"*) {end} ;; *) exec $RESTIC \"$@\" ;; esac"));
        let ran = rig.backup(&[&source]).await.failed(Class::Other);
        assert!(ran.end.message.contains("named no snapshot"), "{end}: {}", ran.end.message);
        assert_eq!(rig.known.figures.snapshots.unwrap().count, 0, "{end}");
    }
}

#[tokio::test]
async fn no_job_of_a_restic_that_ends_well_and_says_nothing_is_believed() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program.clone()).await;
    let source = rig.source();
    rig.backup(&[&source]).await.succeeded();
    let size = rig.run(JobSpec::Stats).await.succeeded().end.known.figures.size.unwrap();
    let mut buffer = [0; 200];
    let keep = Keep { last: 1, ..Keep::default() };
    let groups = Items::write([ForgetGroup::new("g1", keep)], &mut buffer).unwrap();
    let forget = JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false };
    // The restic says its version, and nothing else; or it is silent in this one kind of job only.
    for talks in ["version", "version cat list snapshots"] {
        let (prune, check) = (JobSpec::Prune { dry_run: false }, JobSpec::Check { subset_pct: 100 });
        for spec in [forget, prune, check, JobSpec::Unlock { all: false }, JobSpec::Stats] {
            // Without a lock an unlock has nothing to say.
            if talks.contains("cat") && matches!(spec, JobSpec::Unlock { .. }) {
                continue;
            }
            rig.places.restic = program.clone();
            rig.wrap_restic(&format!("case \" {talks} \" in *\" $1 \"*) exec $RESTIC \"$@\" ;; esac"));
            let ran = rig.run(spec).await.failed(Class::Other);
            assert!(ran.end.summary == JobSummary::None || matches!(spec, JobSpec::Forget { .. }), "{ran:?}");
            let figures = &rig.known.figures;
            assert_eq!((figures.size, figures.check, figures.prune), (Some(size), None, None), "{spec:?}");
        }
    }
}

#[tokio::test]
async fn another_repository_at_the_same_address_is_noticed_by_the_next_job_of_each_kind() {
    let Some(program) = Version::V018.program() else { return };
    let mut buffer = [0; 200];
    let keep = Keep { last: 1, ..Keep::default() };
    let groups = Items::write([ForgetGroup::new("g1", keep)], &mut buffer).unwrap();
    for spec in [
        None,
        Some(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false }),
        Some(JobSpec::Prune { dry_run: false }),
        Some(JobSpec::Check { subset_pct: 0 }),
        Some(JobSpec::Unlock { all: false }),
        Some(JobSpec::Stats),
    ] {
        let mut rig = Rig::initialised(program.clone()).await;
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
        let before = rig.known.clone();
        rig.backup(&[&source]).await.succeeded();
        assert_eq!(rig.known.figures.repo, before.figures.repo);
        fs::rename(rig.path("repo"), rig.path("repo-of-before")).unwrap();
        rig.init_at_once(&rig.path("repo")).await;
        let repo = rig.known.figures.repo;
        assert_ne!(repo, before.figures.repo);
        // As if somebody else had made it.
        rig.known = before;
        match spec {
            None => rig.backup(&[&source]).await,
            Some(spec) => rig.run(spec).await,
        }
        .succeeded();
        assert_eq!(rig.known.figures.repo, repo, "{spec:?}");
        let count = rig.known.figures.snapshots.map(|snapshots| snapshots.count);
        assert!(count.is_none_or(|count| count < 2), "figures of the old one: {spec:?} {count:?}");
    }
}

#[tokio::test]
async fn a_restic_that_vanishes_or_changes_is_noticed() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program.clone()).await;
    rig.wrap_restic("exec $RESTIC \"$@\"");
    rig.run(JobSpec::Snapshots).await.succeeded();
    let old = rig.known.restic.clone().unwrap();
    rig.places.restic = program;
    rig.wrap_restic("echo '{\"version\":\"0.99.0\"}'");
    assert!(!old.is_unchanged());
    rig.run(JobSpec::Stats).await;
    assert_eq!(rig.known.restic.as_ref().unwrap().version().to_string(), "0.99.0");
    fs::remove_file(rig.path("restic-wrapper")).unwrap();
    rig.run(JobSpec::Stats).await.failed(Class::ResticMissing);
}

#[tokio::test]
async fn a_full_disk_in_the_repository_is_disk_full() {
    with_each_version(async |_, program| {
        let mut rig = Rig::new(program);
        let storage = rig.path("storage");
        fs::create_dir(&storage).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(&storage);
        if !tools::is_permitted("a small tmpfs can't be mounted here", &mut mount) {
            return;
        }
        let _mounted = Mounted(storage.clone());
        // Called like words of restic's.
        rig.credentials.url = storage.join("is damaged: (401)").to_str().unwrap().to_owned();
        rig.run(JobSpec::Init).await.succeeded();
        let source = rig.big_source(20);
        for file in fs::read_dir(&source).unwrap() {
            let path = file.unwrap().path();
            fs::rename(&path, path.with_extension("my wrong password list.txt")).unwrap();
        }
        let small = rig.path("small");
        fs::create_dir(&small).unwrap();
        fs::write(small.join("file"), vec![7; 1 << 20]).unwrap();
        let small = small.to_str().unwrap().to_owned();
        rig.backup(&[&small]).await.succeeded();
        let ran = rig.backup(&[&source]).await.failed(Class::DiskFull);
        assert!(ran.end.message.contains("Make room in this order"), "{}", ran.end.message);

        // What that order says holds: reading needs no room, everything else some.
        let fill = storage.join("fill");
        let _ = fs::write(&fill, vec![0; 8 << 20]);
        let listing = rig.run(JobSpec::Snapshots).await.succeeded();
        let id = listing.snapshots[0].id.clone();
        let ls = rig.run(JobSpec::Ls { snapshot: &id, path: small.as_str().into() }).await.succeeded();
        assert_eq!(ls.entries.len(), 1, "{ls:#?}");
        let prune = rig.run(JobSpec::Prune { dry_run: false }).await.failed(Class::DiskFull);
        assert!(prune.end.message.contains("--max-repack-size 0"), "{}", prune.end.message);
        rig.run(JobSpec::Check { subset_pct: 0 }).await.failed(Class::DiskFull);
        let filled = fs::metadata(&fill).unwrap().len();
        fs::OpenOptions::new()
            .write(true)
            .open(&fill)
            .unwrap()
            .set_len(filled.saturating_sub(1 << 20))
            .unwrap();
        rig.run(JobSpec::Prune { dry_run: false }).await.succeeded();
        rig.run(JobSpec::Check { subset_pct: 0 }).await.succeeded();
    })
    .await;
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn no_credentials_and_refused_ones_are_told() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::new(program);
    let (events, _heard) = tokio::sync::mpsc::channel(9);
    let (_control, mut asked) = tokio::sync::mpsc::channel(1);
    let order = JobOrder {
        spec: JobSpec::Stats,
        command: None,
        restore_to: None,
        restic_host: "rig",
        deadline_secs: 0,
        silence_secs: 0,
        credentials: None,
        everyday: None,
        places: &rig.places,
        known: rig.known.clone(),
    };
    let end = run_job(order, &events, &mut asked).await;
    assert_eq!((end.outcome, end.class), (Outcome::Failed, Some(Class::NoCredentials)));
    rig.credentials.env = vec![("LD_PRELOAD".into(), "/tmp/x.so".into())];
    let ran = rig.run(JobSpec::Stats).await.failed(Class::Policy);
    assert!(ran.end.message.contains("LD_PRELOAD"), "{}", ran.end.message);
    rig.credentials.env.clear();
    rig.credentials.url = "rclone::sftp,ssh=touch:x".into();
    rig.run(JobSpec::Stats).await.failed(Class::Policy);
}

#[tokio::test]
async fn a_cancel_ends_restic_and_its_lock_is_gone() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        rig.slow_down();
        let source = rig.big_source(24);
        let mut buffer = Vec::new();
        let ran = rig
            .run_with(backup_of(&[&source], &mut buffer), async |control, folder| {
                until("the lock of the backup", || count_locks(folder) > 0).await;
                control.send(Control::Interrupt).await.unwrap();
            })
            .await
            .must_be(Outcome::Cancelled, Some(Class::Cancelled));
        assert_eq!(rig.locks(), 0);
        assert!(!ran.end.known.unclean);
        assert!(matches!(ran.end.summary, JobSummary::None), "{ran:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_kill_ends_restic_and_its_lock_is_removed() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        rig.slow_down();
        let source = rig.big_source(24);
        let mut buffer = Vec::new();
        let ran = rig
            .run_with(backup_of(&[&source], &mut buffer), async |control, folder| {
                until("the lock of the backup", || count_locks(folder) > 0).await;
                control.send(Control::Kill).await.unwrap();
            })
            .await
            .must_be(Outcome::Cancelled, Some(Class::Cancelled));
        assert_eq!((rig.locks(), ran.end.exit_code), (0, None));
        assert!(!rig.known.unclean);
    })
    .await;
}

#[tokio::test]
async fn a_deadline_ends_restic_with_timeout() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    rig.slow_down();
    let source = rig.big_source(24);
    rig.deadline_secs = 3;
    let ran = rig.backup(&[&source]).await.failed(Class::Timeout);
    assert_eq!(rig.locks(), 0, "{ran:#?}");
}

#[tokio::test]
async fn a_restic_that_says_nothing_any_more_is_ended_and_one_that_speaks_is_not() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program.clone()).await;
    let source = rig.big_source(24);
    // Slower than the limit, but it says every second how far it is.
    rig.slow_down();
    rig.silence_secs = 3;
    rig.backup(&[&source]).await.succeeded();
    rig.places.restic = program;
    rig.wrap_restic("[ \"$1\" = backup ] && exec sleep 1000; exec \"$RESTIC\" \"$@\"");
    let ran = rig.backup(&[&source]).await.failed(Class::Timeout);
    assert!(ran.end.message.contains("said nothing any more"), "{}", ran.end.message);
}

#[tokio::test]
async fn a_cancel_before_restic_starts_keeps_it_from_starting() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let source = rig.source();
    let mut buffer = Vec::new();
    let ran = rig
        .run_with(backup_of(&[&source], &mut buffer), async |control, _| {
            control.send(Control::Interrupt).await.unwrap();
        })
        .await
        .must_be(Outcome::Cancelled, Some(Class::Cancelled));
    assert!(ran.log.is_empty() || ran.end.started_at.is_some(), "{ran:#?}");
}

/// Runs only inside the tests below, in a process of its own that they kill.
#[test]
#[ignore = "a part of other tests"]
fn a_parent_that_runs_a_slow_backup() {
    let Some(folder) = std::env::var_os("HOLDFAST_RIG").map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rig = Rig::new(std::env::var_os("HOLDFAST_RIG_RESTIC").unwrap().into());
        rig.credentials.url = folder.join("repo").to_str().unwrap().to_owned();
        if std::env::var_os("HOLDFAST_RIG_SAME_AGENT").is_some() {
            rig.places.home = folder.join("home");
        }
        rig.slow_down();
        let source = folder.join("source").to_str().unwrap().to_owned();
        let mut buffer = Vec::new();
        let cancel = std::env::var_os("HOLDFAST_RIG_CANCEL").is_some();
        let ran = rig
            .run_with(backup_of(&[&source], &mut buffer), async |control, _| {
                if cancel {
                    until("the lock of the backup", || count_locks(&folder) > 0).await;
                    control.send(Control::Interrupt).await.unwrap();
                }
            })
            .await;
        println!("outcome {:?}, exit code {:?}", ran.end.outcome, ran.end.exit_code);
    });
}

fn parent(rig: &Rig, restic: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "faults::a_parent_that_runs_a_slow_backup", "--ignored", "--nocapture"])
        .env("HOLDFAST_RIG", rig.folder.path())
        .env("HOLDFAST_RIG_RESTIC", restic)
        .stdout(Stdio::piped());
    command
}

/// The processes whose arguments hold this text: number and arguments.
fn processes_with(text: &str) -> Vec<(u32, String)> {
    let read = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text).then_some((pid, line))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect()
}

#[tokio::test]
async fn kill_9_of_the_parent_leaves_no_restic_and_the_next_job_removes_the_lock() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program.clone()).await;
        let source = rig.big_source(24);
        let mut parent = parent(&rig, &program).env("HOLDFAST_RIG_SAME_AGENT", "1").spawn().unwrap();
        let is_restic = |line: &str| line.contains(" backup ") && line.contains(&source);
        let restics = || processes_with(&source).into_iter().filter(|(_, line)| is_restic(line)).count();
        until("the lock of the backup", || rig.locks() > 0 && restics() > 0).await;
        parent.kill().unwrap();
        parent.wait().unwrap();
        until("the end of restic", || restics() == 0).await;
        assert_eq!(rig.locks(), 1);

        let mut buffer = [0; 99];
        let keep = Keep { last: 1, ..Keep::default() };
        let groups = Items::write([ForgetGroup::new("g1", keep)], &mut buffer).unwrap();
        let ran = rig.run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false }).await.succeeded();
        let said = "Removed the lock of a restic of this agent that is gone";
        assert!(ran.log.iter().any(|line| line.contains(said)), "{ran:#?}");
        assert_eq!((rig.locks(), rig.known.unclean), (0, false), "{ran:#?}");
        rig.backup(&[&source]).await.succeeded();
    })
    .await;
}

/// A restic that this agent did not start, in a process namespace of its own and under the same host name. It saves what
/// it is given on its input, and goes on as long as that is open.
fn elsewhere(rig: &Rig, restic: &Path) -> Child {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(restic)
        .args(["backup", "--quiet", "--pack-size=4", "--stdin"])
        .env("RESTIC_REPOSITORY", &rig.credentials.url)
        .env("RESTIC_PASSWORD", &rig.credentials.repo_password)
        .env("RESTIC_CACHE_DIR", rig.path("cache-elsewhere"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_live_lock_of_another_process_namespace_is_not_taken_for_a_dead_one() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program.clone()).await;
        let small = rig.path("small");
        fs::create_dir_all(&small).unwrap();
        fs::write(small.join("file"), "something").unwrap();
        // Two of one content, so that the forget has something to remove and needs its lock.
        for _ in 0..2 {
            rig.backup(&[small.to_str().unwrap()]).await.succeeded();
        }
        let source = rig.big_source(24);
        let mut other = elsewhere(&rig, &program);
        let packs = |rig: &Rig| fs::read_dir(rig.path("repo/data")).map_or(0, |folders| {
            folders.flatten().filter_map(|folder| fs::read_dir(folder.path()).ok()).flatten().count()
        });
        let before = packs(&rig);
        let mut input = other.stdin.take().unwrap();
        for n in 0..24 {
            input.write_all(&fs::read(rig.path(&format!("source/big-{n}"))).unwrap()).unwrap();
        }
        until("the other backup to store data", || rig.locks() > 0 && packs(&rig) > before + 1).await;

        // The newer ones would wait for the lock.
        rig.wrap_restic("for it; do shift; case $it in --retry-lock=*) ;; *) set -- \"$@\" \"$it\";; esac; done; exec $RESTIC \"$@\"");
        let mut buffer = [0; 99];
        let keep = Keep { last: 1, ..Keep::default() };
        let groups = Items::write([ForgetGroup::new("g1", keep)], &mut buffer).unwrap();
        let forget = JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false };
        let prune = JobSpec::Prune { dry_run: false };
        for (spec, unclean) in [(prune, false), (prune, true), (forget, true), (JobSpec::Check { subset_pct: 0 }, true)]
        {
            rig.known.unclean = unclean;
            rig.run(spec).await.failed(Class::RepoLocked);
            let lock = rig.known.figures.lock.clone().unwrap().lock.unwrap();
            assert!(!lock.stale, "{lock:?}");
            assert_eq!(rig.locks(), 1, "{spec:?} with unclean = {unclean}");
        }
        // A backup goes beside it. When it is killed its lock is ours, and the other one still is not: an unlock would
        // take both.
        rig.places.restic.clone_from(&program);
        rig.slow_down();
        let mut buffer = Vec::new();
        let ran = rig
            .run_with(backup_of(&[&source], &mut buffer), async |control, folder| {
                until("the second lock", || count_locks(folder) > 1).await;
                control.send(Control::Kill).await.unwrap();
            })
            .await
            .must_be(Outcome::Cancelled, Some(Class::Cancelled));
        assert_eq!((rig.locks(), rig.known.unclean), (2, true), "{ran:#?}");
        assert!(ran.log.iter().any(|line| line.contains("holds one, too, and may be alive")), "{ran:#?}");

        drop(input);
        assert!(other.wait().unwrap().success(), "the other backup ends well");
        rig.places.restic = program;
        rig.known.restic = None;
        // Now ours can go, by the record alone, and by itself.
        let ran = rig.run(JobSpec::Prune { dry_run: false }).await.succeeded();
        assert_eq!((rig.locks(), rig.known.unclean), (0, false), "{ran:#?}");
        rig.run(JobSpec::Check { subset_pct: 100 }).await.succeeded();
        rig.run(JobSpec::Snapshots).await.succeeded();
        assert_eq!(rig.known.figures.snapshots.unwrap().count, 3);
    })
    .await;
}

#[tokio::test]
async fn a_cancel_is_heard_even_when_the_agent_was_started_deaf_to_interrupts() {
    with_each_version(async |_, program| {
        let rig = Rig::initialised(program.clone()).await;
        rig.big_source(24);
        let inner = parent(&rig, &program);
        // A shell leaves SIGINT ignored in what it runs in the background.
        let mut deaf = Command::new("sh");
        deaf.args(["-c", "trap '' INT; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
        deaf.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child =
            deaf.env("HOLDFAST_RIG_CANCEL", "1").stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(said.contains("outcome Cancelled, exit code Some("), "restic had to be killed: {said}");
        assert_eq!(rig.locks(), 0);
    })
    .await;
}

#[tokio::test]
async fn no_secret_is_in_any_command_line_on_disk_or_in_the_log() {
    with_each_version(async |_, program| {
        let mut rig = Rig::new(program);
        let Some(server) = RestServer::start(&rig.path("storage"), false).await else { return };
        rig.credentials.url = server.url();
        rig.credentials.username = REST_USER.into();
        rig.credentials.password = REST_PASSWORD.into();
        let key = "Hf-env-secret-99x";
        rig.credentials.env = vec![("AWS_SECRET_ACCESS_KEY".into(), key.into())];
        rig.run(JobSpec::Init).await.succeeded();
        rig.slow_down();
        let source = rig.big_source(5);
        let secrets = [REPO_PASSWORD, REST_PASSWORD, "p%2Fw%3A1%262-secret", key];
        let mut buffer = Vec::new();
        let (mut looks, mut environments) = (0, 0);
        let ran = rig
            .run_with(backup_of(&[&source], &mut buffer), async |control, _| {
                // Until the job is over and its end of the channel is gone.
                while !control.is_closed() {
                    for (_, line) in processes_with("") {
                        assert!(!secrets.iter().any(|secret| line.contains(secret)), "{line}");
                    }
                    for (pid, line) in processes_with(&source) {
                        looks += usize::from(line.contains(" backup "));
                        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                        let environment = String::from_utf8_lossy(&environment);
                        assert!(
                            !environment.contains(REPO_PASSWORD) && !environment.contains("p%2Fw"),
                            "{environment}"
                        );
                        environments += usize::from(environment.contains(key));
                    }
                    tokio::time::sleep(core::time::Duration::from_millis(30)).await;
                }
            })
            .await
            .succeeded();
        assert!(ran.progress.iter().any(|it| it.bytes_total > 0), "{ran:#?}");
        assert!(
            looks > 3 && environments > 3,
            "restic was seen {looks} times, with its key {environments} times"
        );
        let shown = format!("{ran:?}");
        assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{shown}");
        for file in files_below(rig.folder.path()) {
            let bytes = fs::read(&file).unwrap_or_default();
            let holds = |secret: &&str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!secrets.iter().any(holds), "{}", file.display());
        }
    })
    .await;
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(files_below(&entry.path())),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

#[tokio::test]
async fn restics_environment_holds_nothing_of_ours() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let seen = rig.path("seen");
    rig.wrap_restic(&format!(
        "env > {}; ls -l /proc/self/fd >> {}; exec $RESTIC \"$@\"",
        seen.display(),
        seen.display()
    ));
    rig.run(JobSpec::Snapshots).await.succeeded();
    let seen = fs::read_to_string(seen).unwrap();
    let names: Vec<_> = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let ours = [
        "PATH",
        "HOME",
        "TMPDIR",
        "RESTIC_CACHE_DIR",
        "RESTIC_PROGRESS_FPS",
        "RESTIC_REPOSITORY_FILE",
        "RESTIC_PASSWORD_FILE",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    assert!(names.iter().all(|name| ours.contains(name)), "{names:?}");
    assert!(names.contains(&"RESTIC_PASSWORD_FILE"), "{seen}");
    // Some that this test itself was started with may come along.
    let inherited: Vec<_> = fs::read_dir("/proc/self/fd").unwrap().flatten().collect();
    let inherited: Vec<_> = inherited
        .iter()
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
        .collect();
    let is_new =
        |line: &&str| line.split(" -> ").nth(1).is_some_and(|to| !inherited.iter().any(|it| it == to));
    let pipes = seen.lines().filter(|line| line.contains("-> pipe:")).filter(is_new).count();
    // Standard error and the two secrets; standard output is the file.
    assert_eq!(pipes, 3, "{seen}");
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_shown_and_stays() {
    let Some(program) = Version::V014.program() else { return };
    let mut rig = Rig::initialised(program.clone()).await;
    let source = rig.big_source(24);
    let mut other = parent(&rig, &program).spawn().unwrap();
    until("the lock of the other backup", || rig.locks() > 0).await;
    let ran = rig.run(JobSpec::Prune { dry_run: false }).await.failed(Class::RepoLocked);
    assert!(ran.end.message.contains("Another process works on the repository"), "{}", ran.end.message);
    let lock = rig.known.figures.lock.clone().unwrap().lock.unwrap();
    assert!(!lock.stale && !lock.exclusive && lock.pid > 0 && !lock.hostname.is_empty(), "{lock:?}");
    assert_eq!(rig.locks(), 1, "a live lock stays");
    other.kill().unwrap();
    other.wait().unwrap();
    until("the end of restic", || processes_with(&source).is_empty()).await;
    let ran = rig.run(JobSpec::Unlock { all: false }).await.succeeded();
    assert_eq!(ran.end.summary, JobSummary::Unlock(1));
    assert!(rig.known.figures.lock.as_ref().unwrap().lock.is_none());
}

#[tokio::test]
async fn a_job_that_waits_for_a_lock_says_whose_it_is() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program.clone()).await;
    let mut other = elsewhere(&rig, &program);
    let mut input = other.stdin.take().unwrap();
    input.write_all(b"something").unwrap();
    until("the lock of the other backup", || rig.locks() > 0).await;
    let ran = rig
        .run_with(JobSpec::Prune { dry_run: false }, async |_, _| {
            // restic itself tries for 20 s; after that the agent says whose it is, and waits on.
            tokio::time::sleep(core::time::Duration::from_secs(30)).await;
            drop(input);
        })
        .await
        .succeeded();
    let said = ran.log.iter().filter(|line| line.contains("keeps this job waiting, up to five minutes"));
    let said: Vec<_> = said.collect();
    assert!(said.len() == 1 && said[0].contains("The lock that process "), "{ran:#?}");
    assert!(other.wait().unwrap().success(), "the other backup ends well");
    assert_eq!(rig.locks(), 0);
}

#[tokio::test]
async fn a_group_that_cannot_be_forgotten_hides_no_other_and_what_meets_all_ends_it() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let source = rig.source();
    for _ in 0..2 {
        rig.backup(&[&source]).await.succeeded();
    }
    rig.wrap_restic(
        "case \"$*\" in
            *--tag=odd*) echo 'Fatal: something odd' >&2; exit 1;;
            *--tag=away*) echo 'Fatal: dial tcp 192.0.2.1:8000: connect: connection refused' >&2; exit 1;;
        esac
        exec \"$RESTIC\" \"$@\"",
    );
    let keep = Keep { last: 1, ..Keep::default() };
    let mut buffer = [0; 199];
    let groups = ["odd", "g1", "away", "late"].map(|group| ForgetGroup::new(group, keep));
    let groups = Items::write(groups, &mut buffer).unwrap();
    // The one that ended it all gives the job its class.
    let ran = rig
        .run(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false })
        .await
        .failed(Class::Network);
    let JobSummary::Forget(counts) = &ran.end.summary else { panic!("{ran:#?}") };
    let told: Vec<_> = counts.iter().map(|it| (it.group.as_str(), it.removed, it.class)).collect();
    assert_eq!(
        told,
        [
            ("odd", 0, Some(Class::Other)),
            ("g1", 1, None),
            ("away", 0, Some(Class::Network)),
            ("late", 0, Some(Class::NotTried)),
        ]
    );
    assert!(
        ran.end.message.starts_with("Done: g1. Failed: odd, away. Not tried: late. "),
        "{}",
        ran.end.message
    );
    assert_eq!(rig.known.figures.snapshots.unwrap().count, 1);
}

#[tokio::test]
async fn the_same_repository_at_another_address_keeps_its_figures_and_another_one_does_not() {
    let Some(program) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(program).await;
    let source = rig.source();
    rig.backup(&[&source]).await.succeeded();
    let (url, before) = (rig.credentials.url.clone(), rig.known.figures.clone());
    let other_door = rig.path("other-door");
    std::os::unix::fs::symlink(&url, &other_door).unwrap();
    rig.credentials.url = other_door.to_str().unwrap().to_owned();
    rig.run(JobSpec::Prune { dry_run: false }).await.succeeded();
    assert_eq!((rig.known.figures.repo, rig.known.figures.snapshots), (before.repo, before.snapshots));
    rig.credentials.url = url;
    rig.backup(&[&source]).await.succeeded();
    let counted_at = rig.known.figures.counted_at;
    assert_eq!(counted_at, before.counted_at, "nothing had to be counted anew");
    rig.credentials.url = rig.path("another").to_str().unwrap().to_owned();
    rig.init_at_once(&rig.path("another")).await;
    assert_ne!(rig.known.figures.repo, before.repo);
    assert_eq!(rig.known.figures.snapshots.unwrap().count, 0);
}

#[tokio::test]
async fn nothing_is_deleted_where_the_admin_credentials_open_another_repository() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let everyday = rig.credentials.clone();
        // The other one, filled: a forget would find the host's own group in it.
        let source = rig.source();
        rig.credentials.url = rig.path("another").to_str().unwrap().to_owned();
        rig.init_at_once(&rig.path("another")).await;
        for _ in 0..2 {
            rig.backup(&[&source]).await.succeeded();
        }
        let another = rig.known.figures.repo.unwrap().to_string();
        let (admin, files) = (rig.credentials.clone(), files_below(&rig.path("another/snapshots")));
        let mut buffer = [0; 99];
        let keep = Keep { last: 1, ..Keep::default() };
        let groups = Items::write([ForgetGroup::new("g1", keep)], &mut buffer).unwrap();
        let forget = JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false };

        // Seen before (the figures are of the other one), and after the everyday jobs went on.
        for goes_on in [false, true] {
            if goes_on {
                (rig.credentials, rig.everyday) = (everyday.clone(), None);
                rig.backup(&[&source]).await.succeeded();
            }
            let figures = rig.known.figures.clone();
            (rig.credentials, rig.everyday) = (admin.clone(), Some(everyday.clone()));
            for spec in [forget, JobSpec::Prune { dry_run: false }] {
                let ran = rig.run(spec).await.failed(Class::OtherRepo);
                assert!(ran.end.message.contains(&another[..10]), "{}", ran.end.message);
                assert!(ran.end.message.contains("set them again"), "{}", ran.end.message);
                assert_eq!((ran.end.started_at, ran.end.exit_code), (None, None));
                assert!(!ran.log.iter().any(|line| line.contains("restic ")), "{:#?}", ran.log);
                assert_eq!(rig.known.figures, figures);
            }
        }
        assert_eq!(files_below(&rig.path("another/snapshots")), files);

        // The same repository through another door is served; and not, when nobody can tell.
        let door = rig.path("door");
        std::os::unix::fs::symlink(&everyday.url, &door).unwrap();
        rig.credentials.url = door.to_str().unwrap().to_owned();
        rig.run(forget).await.succeeded();
        rig.run(JobSpec::Prune { dry_run: false }).await.succeeded();
        rig.everyday.as_mut().unwrap().repo_password = "no longer it".into();
        let ran = rig.run(JobSpec::Prune { dry_run: false }).await.failed(Class::Auth);
        assert!(ran.end.message.starts_with("Nothing was deleted: "), "{}", ran.end.message);
        assert_eq!(ran.end.started_at, None);
    })
    .await;
}

#[tokio::test]
async fn a_damaged_repository_is_told_by_check() {
    with_each_version(async |_, program| {
        let mut rig = Rig::initialised(program).await;
        let source = rig.big_source(1);
        rig.backup(&[&source]).await.succeeded();
        // The largest holds data; without its trees restic would search for a minute.
        let packs = files_below(&rig.path("repo/data"));
        let pack = packs.into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
        fs::remove_file(pack).unwrap();
        let ran = rig.run(JobSpec::Check { subset_pct: 0 }).await.failed(Class::Damaged);
        assert!(matches!(ran.end.summary, JobSummary::Check { errors: 1.., .. }), "{ran:#?}");
        assert!(rig.known.figures.check.unwrap().errors > 0);
        let message = &ran.end.message;
        assert!(message.contains("the log names them") && message.contains("077_trouble"), "{message}");
        assert!(!message.contains("Run a check"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn tls_that_can_not_work_is_told_at_once_and_an_own_authority_is_trusted() {
    with_each_version(async |version, program| {
        let mut rig = Rig::new(program);
        let folder = rig.path("storage");
        let Some(server) = RestServer::start_tls(&folder).await else { return };
        let Some(plain) = RestServer::start(&rig.path("plain"), false).await else { return };
        let ca = fs::read_to_string(folder.join("ca.pem")).unwrap();
        let at = |scheme: &str, host: &str, port: u16| format!("rest:{scheme}://{host}:{port}/repo/");
        for (url, ca, class) in [
            (at("https", "127.0.0.1", server.port), "", Class::UnknownAuthority),
            (at("https", "localhost", server.port), &*ca, Class::WrongName),
            (at("https", "127.0.0.1", plain.port), &ca, Class::NoTls),
            (at("http", "127.0.0.1", server.port), "", Class::NeedsTls),
        ] {
            (rig.credentials.url, rig.credentials.ca) = (url.clone(), ca.to_owned());
            let ran = rig.run(JobSpec::Probe).await.failed(class);
            // Not for as long as restic would have tried: it says so with its first words.
            let tries = ran.log.iter().filter(|line| line.contains("retrying after")).count();
            assert!(tries <= 2, "{version:?} {url}: {:#?}", ran.log);
        }
        rig.credentials.url = at("https", "127.0.0.1", server.port);
        rig.credentials.ca = ca;
        rig.run(JobSpec::Init).await.succeeded();
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
        rig.run(JobSpec::Check { subset_pct: 100 }).await.succeeded();
        let log = format!("{:?}", rig.run(JobSpec::Snapshots).await.succeeded().log);
        assert!(!log.contains("BEGIN CERTIFICATE"), "{log}");
    })
    .await;
}
