//! The real program with the real restic, over a real broker; the server is played by the test.

use crate::rig::{AGENT, Broker, Server, enrol, wait_for};
use agent_linux::{
    identity::Identity,
    state_folder::StateFolder,
    status::{JobStatus, Status},
};
use schema::{
    Class, Command as ServerCommand, CommandBody, CommandSeq, ConfigUpdate, Credentials, Epoch, HeldPhase,
    HelloAnswer, HostTopic, Incarnation, Items, JobId, JobSpec, Live, Outcome, Presence, Report, ReportBody,
    ReportSeq, Run, Slot, SlotRevision, Stream, Summary, Timestamp, ToAgent, job::BackupSpec,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

pub(crate) struct Scene {
    broker: Broker,
    server: Server,
    pub(crate) folder: TempDir,
    identity: Identity,
    next_command: CommandSeq,
    committed: ReportSeq,
    stream: Stream,
}

pub(crate) struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let broker = Broker::start();
        let mut server = Server::connect(&broker);
        let folder = TempDir::new().expect("a folder");
        enrol(&broker, &mut server, &folder.path().join("state"));
        let state = StateFolder::open(&folder.path().join("state")).expect("there");
        let identity = Identity::load(&state).expect("an identity");
        Self {
            broker,
            server,
            folder,
            identity,
            next_command: CommandSeq(1),
            committed: ReportSeq::ZERO,
            stream: Stream(0),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Started as by hand, with a relative path: restic runs in another folder and must not mind.
    fn start(&self) -> Agent {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, options: &[&str]) -> Agent {
        let child = Command::new(AGENT)
            .args(["run", "--log-level", "debug", "--state-dir", "state"])
            .args(options)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("starts");
        Agent(child)
    }

    /// Waits for a hello; returns its epoch and held jobs.
    pub(crate) fn hello(&mut self) -> (Epoch, Vec<(JobId, HeldPhase)>) {
        let (stream, epoch, jobs) =
            self.server.wait_host(&self.identity, HostTopic::Presence, |plain| match schema::decode(plain) {
                Ok(Presence::Hello(hello)) => {
                    assert!(hello.state_free_bytes > 0 && hello.boot_id != [0; 16] && !hello.os.is_empty());
                    let jobs = hello.jobs.iter().map(|held| (held.job, held.phase)).collect();
                    Some((hello.stream, hello.epoch, jobs))
                }
                _ => None,
            });
        self.stream = stream;
        let (at, incarnation) = (Timestamp(1_795_392_000_000), Incarnation::ZERO);
        let answer = Some(HelloAnswer { epoch, at, incarnation });
        self.server.command(
            &self.identity,
            &ToAgent::Ack { stream, through: self.committed, answer, refused: None },
        );
        (epoch, jobs)
    }

    pub(crate) fn send(&mut self, body: CommandBody<'_>) -> CommandSeq {
        let seq = self.next_command;
        self.next_command = seq.next();
        self.send_as(seq, body);
        seq
    }

    fn send_as(&self, seq: CommandSeq, body: CommandBody<'_>) {
        let command = ServerCommand { seq, expires_at: Timestamp(u64::MAX), body };
        self.server.command(&self.identity, &ToAgent::Command(command));
    }

    fn send_credentials(&mut self, revision: SlotRevision) {
        let url = self.folder.path().join("repo").display().to_string();
        self.send_credentials_of(revision, &url, Items::EMPTY);
    }

    pub(crate) fn send_credentials_of(
        &mut self,
        revision: SlotRevision,
        url: &str,
        env: Items<'_, (&str, &str)>,
    ) {
        let credentials = Credentials {
            url,
            username: "",
            password: "",
            repo_password: "pw-planted",
            ca: "",
            host_keys: "",
            env,
        };
        let update =
            ConfigUpdate { slot: Slot::Repo, revision, for_job: None, credentials: Some(credentials) };
        self.send(CommandBody::ConfigUpdate(update));
    }

    pub(crate) fn run(&mut self, number: u8, spec: JobSpec<'_>) -> JobId {
        let job = JobId([number; 16]);
        self.send(CommandBody::Run(Run {
            job,
            restic_host: "attic",
            deadline_secs: 120,
            spec,
            for_host: None,
        }));
        job
    }

    fn backup(&mut self, number: u8, source: &Path) -> JobId {
        let source = source.display().to_string();
        let mut includes = vec![0; 4096];
        let includes = Items::write([source.as_str()], &mut includes).expect("fits");
        let spec = BackupSpec {
            group: "docs",
            includes,
            excludes: Items::EMPTY,
            exclude_if_present: Items::EMPTY,
            one_file_system: false,
            required_mounts: Items::EMPTY,
            hooks_before: Items::EMPTY,
            hooks_after: Items::EMPTY,
            dry_run: false,
            origins: Items::EMPTY,
        };
        self.run(number, JobSpec::Backup(spec))
    }

    /// Waits for the next report, in order; commits and acks it.
    pub(crate) fn report<T>(&mut self, take: impl Fn(&Report<'_>) -> Option<T>) -> T {
        loop {
            let next = self.committed.next();
            let found = self.server.wait_host(&self.identity, HostTopic::Evt, |plain| {
                let report: Report<'_> = schema::decode(plain).ok()?;
                (report.seq == next).then(|| take(&report))
            });
            self.committed = next;
            let ack = ToAgent::Ack { stream: self.stream, through: next, answer: None, refused: None };
            self.server.command(&self.identity, &ack);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// With the first command: an empty repository whose key opens at once is there, and looked at.
    fn open_a_repository(&mut self) {
        let _ = repository_files::make(&self.folder.path().join("repo"), "pw-planted");
        let probe = self.run(1, JobSpec::Probe);
        let (outcome, _, message) = self.finished(probe);
        assert_eq!(outcome, Outcome::Succeeded, "{message}");
    }

    /// Waits for the end of a job.
    pub(crate) fn finished(&mut self, job: JobId) -> (Outcome, Option<Class>, String) {
        self.report(|report| match report.body {
            ReportBody::Finished(end) if end.job == job => {
                Some((end.outcome, end.class, end.message.to_owned()))
            }
            ReportBody::Refused { job: refused, reason, .. } if refused == job => {
                panic!("{job} was refused: {reason:?}")
            }
            _ => None,
        })
    }

    fn started(&mut self, job: JobId) {
        self.report(|report| (report.body == ReportBody::Started { job }).then_some(()));
    }

    fn status(&self) -> (i32, Status) {
        let output = Command::new(AGENT)
            .args(["status", "--json", "--state-dir"])
            .arg(self.state())
            .output()
            .expect("starts");
        let status = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code().expect("a code"), status)
    }

    fn terminate(&self, agent: &Agent) {
        let pid = rustix::process::Pid::from_child(&agent.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    }

    #[expect(clippy::disallowed_methods, reason = "files that can't be packed")]
    pub(crate) fn files(&self, name: &str, count: usize, bytes: usize) -> PathBuf {
        let source = self.folder.path().join(name);
        fs::create_dir(&source).expect("made");
        let mut content = vec![0; bytes];
        for number in 0..count {
            getrandom::fill(&mut content).expect("random bytes");
            fs::write(source.join(number.to_string()), &content).expect("written");
        }
        source
    }
}

/// Enough that a backup of it is still under way when the test looks.
fn long_backup(scene: &Scene) -> PathBuf {
    scene.files("large", 40, 8 * 1024 * 1024)
}

#[test]
fn a_machine_is_enrolled_initialised_backed_up_and_listed() {
    let mut scene = Scene::new();
    let (code, status) = scene.status();
    assert_eq!((code, status.is_running, status.host_name.as_deref()), (4, false, Some("attic")));
    let agent = scene.start();
    let (_, jobs) = scene.hello();
    assert!(jobs.is_empty());
    let early = scene.run(1, JobSpec::Init);
    let refused = scene.report(|report| match report.body {
        ReportBody::Refused { job, reason, .. } => Some((job, reason)),
        _ => None,
    });
    assert_eq!(refused, (early, schema::Refusal::NoCredentials));
    scene.send_credentials(SlotRevision(1));
    let init = scene.run(2, JobSpec::Init);
    let (outcome, class, message) = scene.finished(init);
    assert_eq!((outcome, class), (Outcome::Succeeded, None), "{message}");
    let source = scene.files("docs", 20, 10_000);
    let backup = scene.backup(3, &source);
    let (snapshot, lines) = scene.report(|report| match report.body {
        ReportBody::Finished(end) if end.job == backup => {
            let Summary::Backup(summary) = end.summary else { panic!("{end:?}") };
            assert_eq!((end.outcome, summary.total_files), (Outcome::Succeeded, 20), "{}", end.message);
            Some((summary.snapshot.to_owned(), end.log_lines))
        }
        _ => None,
    });
    assert!(!snapshot.is_empty() && lines > 0);
    scene.server.wait_host(&scene.identity, HostTopic::RepoStats, |plain| {
        let stats: schema::RepoStats<'_> = schema::decode(plain).expect("stats");
        (stats.job == Some(backup)).then(|| assert!(stats.repo.is_some(), "{stats:?}"))
    });
    scene.server.wait_host(&scene.identity, HostTopic::Live, |plain| {
        let live: Live<'_> = schema::decode(plain).expect("live");
        matches!(live, Live::Log { job, .. } if job == backup).then_some(())
    });
    let listing = scene.run(4, JobSpec::Snapshots);
    let listed = scene.report(|report| match report.body {
        ReportBody::Snapshots { job, first, snapshots } if job == listing => {
            assert_eq!(first, 0);
            let found = snapshots.iter().next().expect("a snapshot");
            assert_eq!((found.hostname, found.tags.iter().next()), ("attic", Some("docs")));
            Some(found.id.to_owned())
        }
        _ => None,
    });
    assert!(listed.starts_with(&snapshot));
    assert_eq!(scene.finished(listing).0, Outcome::Succeeded);
    let (code, status) = scene.status();
    assert_eq!((code, status.is_running, status.has_credentials), (0, true, Some(true)));
    assert!(status.restic.is_some() && status.connected_since.is_some() && status.running.is_none());
    for entry in fs::read_dir(scene.state()).expect("a folder").flatten() {
        if entry.metadata().expect("there").is_file() {
            let text = String::from_utf8_lossy(&fs::read(entry.path()).expect("read")).into_owned();
            assert!(!text.contains("pw-planted"), "{}", entry.path().display());
        }
    }
    scene.terminate(&agent);
    scene.server.wait_host(&scene.identity, HostTopic::Presence, |plain| {
        matches!(schema::decode(plain), Ok(Presence::Gone { clean: true, .. })).then_some(())
    });
    let mut agent = agent;
    assert!(agent.0.wait().expect("ends").success());
}

#[test]
fn a_kill_in_a_backup_is_told_at_the_next_hello_and_restic_does_not_survive() {
    let mut scene = Scene::new();
    let agent = scene.start();
    scene.hello();
    scene.send_credentials(SlotRevision(1));
    scene.open_a_repository();
    let source = long_backup(&scene);
    let first = scene.backup(2, &source);
    let second = scene.run(3, JobSpec::Snapshots);
    scene.started(first);
    let repo = scene.folder.path().join("repo").join("locks");
    wait_for("restic's lock", || fs::read_dir(&repo).ok()?.next().map(|_| ()));
    let restics = children_of(agent.0.id());
    assert!(!restics.is_empty());
    drop(agent);
    wait_for("restic's end", || restics.iter().all(|pid| !is_alive(*pid)).then_some(()));
    // Nobody answers, but the folder knows; and looking changes nothing in it.
    let journal = || fs::read(scene.state().join("journal")).expect("there");
    let before = journal();
    let (code, status) = scene.status();
    assert_eq!((code, status.is_running, status.has_credentials), (4, false, Some(true)));
    let ids = |jobs: &[JobStatus]| jobs.iter().map(|job| job.id.clone()).collect::<Vec<_>>();
    assert_eq!(status.interrupted.as_ref().map(|job| job.id.clone()), Some(first.to_string()));
    assert_eq!(ids(&status.queue.expect("known")), [second.to_string()]);
    assert!(status.unacked_reports.is_some_and(|count| count > 0), "{:?}", status.unacked_reports);
    assert!(status.running.is_none() && status.state_folder_fails.is_none());
    assert_eq!(journal(), before);
    let _agent = scene.start();
    let (_, jobs) = scene.hello();
    assert!(jobs.iter().any(|(job, _)| *job == first), "{jobs:?}");
    let (outcome, class, _) = scene.finished(first);
    assert_eq!((outcome, class), (Outcome::Failed, Some(Class::AgentRestarted)));
    assert_eq!(scene.finished(second).0, Outcome::Succeeded);
    let again = scene.backup(4, &source);
    let (outcome, class, message) = scene.finished(again);
    assert_eq!((outcome, class), (Outcome::Succeeded, None), "{message}");
}

#[test]
fn a_running_backup_is_cancelled_and_the_same_command_never_runs_again() {
    let mut scene = Scene::new();
    let _agent = scene.start();
    scene.hello();
    scene.send_credentials(SlotRevision(1));
    scene.open_a_repository();
    let source = long_backup(&scene);
    let job = scene.backup(2, &source);
    scene.started(job);
    scene.send(CommandBody::Cancel { job });
    let (outcome, class, message) = scene.finished(job);
    assert_eq!((outcome, class), (Outcome::Cancelled, Some(Class::Cancelled)), "{message}");
    // The same command again, under its old number: silence. The next job's reports follow at once.
    scene.send_as(
        CommandSeq(2),
        CommandBody::Run(Run {
            job,
            restic_host: "attic",
            deadline_secs: 0,
            spec: JobSpec::Stats,
            for_host: None,
        }),
    );
    let next = scene.run(5, JobSpec::Snapshots);
    let bodies = scene.report(|report| match report.body {
        ReportBody::Accepted { job, .. } => Some(job),
        _ => None,
    });
    assert_eq!(bodies, next);
    assert_eq!(scene.finished(next).0, Outcome::Succeeded);
}

#[test]
fn what_happens_while_the_broker_is_away_is_told_when_it_is_back() {
    let mut scene = Scene::new();
    let _agent = scene.start();
    scene.hello();
    scene.send_credentials(SlotRevision(1));
    scene.open_a_repository();
    let source = long_backup(&scene);
    let job = scene.backup(2, &source);
    scene.started(job);
    scene.broker.restart();
    scene.server = Server::connect(&scene.broker);
    let (epoch, jobs) = scene.hello();
    assert!(epoch > Epoch(1) && jobs.iter().any(|(held, _)| *held == job), "{jobs:?}");
    let (outcome, _, message) = scene.finished(job);
    assert_eq!(outcome, Outcome::Succeeded, "{message}");
}

#[test]
fn a_command_that_is_not_understood_is_answered_and_a_version_too() {
    let mut scene = Scene::new();
    let _agent = scene.start();
    scene.hello();
    // A variant of tomorrow: command (0), number 1, expiry 0, body 99.
    let topic = schema::Topic::Host(scene.identity.host, HostTopic::Cmd);
    let payload = agent_linux::link::seal_encoded(&scene.identity, topic, &[0, 1, 0, 99]).expect("sealed");
    scene.server.send(topic, payload);
    scene.next_command = CommandSeq(2);
    let seq = scene.report(|report| match report.body {
        ReportBody::NotUnderstood { seq } => Some(seq),
        _ => None,
    });
    assert_eq!(seq, CommandSeq(1));
    scene.server.send(topic, vec![9; 80]);
    let evt = schema::Topic::Host(scene.identity.host, HostTopic::Evt).to_string();
    scene.server.wait("a version notice", |on, payload| {
        (on == evt && payload == [0, schema::MIN, schema::CURRENT]).then_some(())
    });
    scene.server.send(topic, schema::envelope::version_notice().to_vec());
    scene.server.send(topic, vec![1; 80]);
    scene.server.send(topic, Vec::new());
    let notice = wait_for("the notice in the status", || scene.status().1.version_notice);
    assert!(notice.contains("version"), "{notice}");
    scene.send_credentials(SlotRevision(1));
    scene.report(|report| {
        matches!(report.body, ReportBody::ConfigApplied { refused: None, .. }).then_some(())
    });
}

#[test]
fn a_second_agent_on_the_same_folder_and_one_without_an_identity_say_why_they_end() {
    let mut scene = Scene::new();
    let _agent = scene.start();
    scene.hello();
    let second =
        Command::new(AGENT).args(["run", "--state-dir"]).arg(scene.state()).output().expect("starts");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && said.contains("another agent runs"), "{said}");
    let empty = scene.folder.path().join("empty");
    StateFolder::open_or_make(&empty).expect("made");
    let third = Command::new(AGENT).args(["run", "--state-dir"]).arg(&empty).output().expect("starts");
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(third.status.code() == Some(1) && said.contains("not enrolled"), "{said}");
}

#[test]
fn a_full_disk_refuses_new_jobs_says_so_and_is_over_when_there_is_space_again() {
    let can_mount =
        Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !can_mount {
        return skip("a file system of its own can't be mounted here: the full disk is not tried");
    }
    let mut scene = Scene::new();
    // The state folder lies on a small file system that only the agent sees.
    let state = scene.state();
    let copy = scene.folder.path().join("copy");
    fs::rename(&state, &copy).expect("moved");
    fs::create_dir(&state).expect("a place to mount on");
    let script = "mount -t tmpfs -o size=1500k,mode=700 tmpfs \"$1\" && cp -a \"$2\"/. \"$1\" && \
                  exec \"$3\" run --state-dir \"$1\"";
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(&state)
        .arg(&copy)
        .arg(AGENT)
        .spawn()
        .expect("starts");
    let agent = Agent(child);
    scene.hello();
    scene.send_credentials(SlotRevision(1));
    scene.open_a_repository();
    let inside = PathBuf::from(format!("/proc/{}/root{}", agent.0.id(), state.display()));
    let filler = inside.join("filler");
    let mut file = fs::File::create(&filler).expect("a file");
    let chunk = [0; 512];
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    drop(file);
    // Long ones: the end of the file's last block is soon used up.
    let path = format!("/{}", "x".repeat(3_800));
    let mut refused = None;
    for number in 10..30 {
        let job = scene.run(number, JobSpec::Ls { snapshot: "0123456789abcdef", path: path.as_str().into() });
        let is_refused = scene.report(|report| match report.body {
            ReportBody::Refused { job: about, reason, detail } if about == job => {
                assert_eq!(reason, schema::Refusal::StateFolder, "{detail}");
                assert!(detail.contains("full"), "{detail}");
                Some(true)
            }
            ReportBody::Accepted { job: about, .. } if about == job => Some(false),
            _ => None,
        });
        if is_refused {
            refused = Some(job);
            break;
        }
    }
    assert!(refused.is_some(), "a full disk refused nothing");
    scene.report(|report| match report.body {
        ReportBody::Trouble { kind: schema::report::Trouble::StateFolder, .. } => Some(()),
        _ => None,
    });
    fs::remove_file(&filler).expect("space again");
    for number in 40..100 {
        let job = scene.run(number, JobSpec::Snapshots);
        let is_accepted = scene.report(|report| match report.body {
            ReportBody::Refused { job: about, .. } if about == job => Some(false),
            ReportBody::Accepted { job: about, .. } if about == job => Some(true),
            _ => None,
        });
        if is_accepted {
            assert_eq!(scene.finished(job).0, Outcome::Succeeded);
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    panic!("there is space again, and still nothing is taken");
}

/// Says that a test could not be made here, and has it counted.
fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("HOLDFAST_SKIPS")
        && let Ok(mut file) = fs::OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = std::io::Write::write_all(&mut file, format!("{why}\n").as_bytes());
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}
