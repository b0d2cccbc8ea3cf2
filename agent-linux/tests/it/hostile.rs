//! A server that was taken over: it holds the link key and sends valid commands of every kind. What it can reach then is
//! told by the table in `docs/security.md`; each of its lines is tried here, without a policy file and with one.
//!
//! What there is to try is enumerated from `schema`: a new kind of job or of command does not compile here, or is missed
//! at the end, until somebody has said what a hostile server could do with it.

use crate::program::{Agent, Scene};
use schema::{
    Class, CommandBody, ConfigUpdate, Credentials, Items, JobId, JobKind, JobSpec, Keep, OsText, Outcome,
    Overwrite, Refusal, ReportBody, RestoreTarget, Run, Slot, SlotRevision,
    job::{BackupSpec, DrillSpec, FindSpec, ForgetGroup},
    restore::RestoreSpec,
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

const PLAIN: BackupSpec<'_> = BackupSpec {
    group: "docs",
    includes: Items::EMPTY,
    excludes: Items::EMPTY,
    exclude_if_present: Items::EMPTY,
    one_file_system: false,
    required_mounts: Items::EMPTY,
    hooks_before: Items::EMPTY,
    hooks_after: Items::EMPTY,
    dry_run: false,
    origins: Items::EMPTY,
};

/// A name in the repository of something that is there; long enough, and nothing else.
const SOME_SNAPSHOT: &str = "0123abcd";

type End = (Outcome, Option<Class>, String);

/// What of a machine a kind of job can be turned against.
#[derive(Debug, PartialEq, Eq)]
enum Reach {
    /// Only the repository that it is given.
    Repository,
    /// Files of the machine are read.
    Reads,
    /// Files of the machine are written.
    Writes,
}

/// Exhaustive on purpose.
const fn reach(kind: JobKind) -> Reach {
    match kind {
        JobKind::Probe
        | JobKind::Init
        | JobKind::Forget
        | JobKind::Prune
        | JobKind::Check
        | JobKind::Unlock
        | JobKind::Stats
        | JobKind::Snapshots
        | JobKind::Ls
        | JobKind::Drill
        | JobKind::Find
        | JobKind::Diff => Reach::Repository,
        JobKind::Download => Reach::Repository,
        JobKind::Backup | JobKind::Browse => Reach::Reads,
        JobKind::Restore => Reach::Writes,
    }
}

/// The word of a command. Exhaustive on purpose.
const fn word(body: &CommandBody<'_>) -> &'static str {
    match body {
        CommandBody::Run(_) => "run",
        CommandBody::Cancel { .. } => "cancel",
        CommandBody::ConfigUpdate(ConfigUpdate { slot: Slot::Repo, .. }) => "config repo",
        CommandBody::ConfigUpdate(ConfigUpdate { slot: Slot::Admin, .. }) => "config admin",
    }
}

/// A job of each kind that asks for nothing that a policy would refuse, but for its repository.
fn plain_job<'a>(kind: JobKind, includes: Items<'a, &'a str>) -> JobSpec<'a> {
    match kind {
        JobKind::Probe => JobSpec::Probe,
        JobKind::Init => JobSpec::Init,
        JobKind::Backup => JobSpec::Backup(BackupSpec { includes, ..PLAIN }),
        JobKind::Forget => JobSpec::Forget { groups: Items::EMPTY, others: Items::EMPTY, dry_run: false },
        JobKind::Prune => JobSpec::Prune { dry_run: false },
        JobKind::Check => JobSpec::Check { subset_pct: 0 },
        JobKind::Unlock => JobSpec::Unlock { all: true },
        JobKind::Stats => JobSpec::Stats,
        JobKind::Snapshots => JobSpec::Snapshots,
        JobKind::Ls => JobSpec::Ls { snapshot: SOME_SNAPSHOT, path: "/".into() },
        JobKind::Restore => JobSpec::Restore(restore(SOME_SNAPSHOT, "")),
        JobKind::Browse => JobSpec::Browse { path: "/".into() },
        JobKind::Drill => JobSpec::Drill(DrillSpec {
            group: "g1",
            origins: Items::EMPTY,
            seed: 1,
            max_files: 1,
            max_bytes: 1 << 20,
            max_secs: 60,
        }),
        JobKind::Diff => JobSpec::Diff { against: SOME_SNAPSHOT, snapshot: "1badcafe" },
        JobKind::Find => JobSpec::Find(FindSpec {
            pattern: "*".into(),
            ignore_case: false,
            members: Items::EMPTY,
            newest: 0,
            since: None,
        }),
        JobKind::Download => JobSpec::Download {
            snapshot: SOME_SNAPSHOT,
            path: includes.iter().next().unwrap_or("/").into(),
            archive: true,
        },
    }
}

/// Into a new folder in `target`; `/` = to where it was.
fn restore<'a>(snapshot: &'a str, target: &'a str) -> RestoreSpec<'a> {
    let target = match target {
        "/" => RestoreTarget::Original,
        within => RestoreTarget::NewFolder { within: within.into() },
    };
    let (paths, overwrite) = (Items::EMPTY, Overwrite::Never);
    RestoreSpec { snapshot, paths, target, overwrite, delete: false, verify: false, dry_run: false }
}

/// Into the folder `target` itself.
fn restore_into<'a>(snapshot: &'a str, target: &'a str) -> RestoreSpec<'a> {
    RestoreSpec { target: RestoreTarget::Folder { path: target.into() }, ..restore(snapshot, "") }
}

/// The server, and the machine that it has in hand.
struct Attack {
    scene: Scene,
    _agent: Agent,
    number: u8,
    revision: SlotRevision,
    jobs: BTreeSet<JobKind>,
    commands: BTreeSet<&'static str>,
    photos: PathBuf,
    private: PathBuf,
}

impl Attack {
    /// A machine with two folders, and a policy file of this text in place of the one that its enrolment has written.
    fn start(policy: Option<fn(&Path) -> String>) -> Self {
        let scene = Scene::new();
        let photos = scene.files("photos", 3, 100);
        let private = scene.files("private", 3, 100);
        symlink(&private, photos.join("door")).expect("a link");
        fs::create_dir(scene.folder.path().join("back")).expect("made");
        symlink(&private, scene.folder.path().join("back/door")).expect("a link");
        // Swaps a folder for a link, just before the restic of this machine saves it.
        let swapping = format!(
            "#!/bin/sh\ncase \" $* \" in *\" backup \"*) [ -e {0}/in ] && mv {0}/in {0}/was && ln -s {1} {0}/in;; esac\nexec restic \"$@\"\n",
            photos.display(),
            private.display()
        );
        let restic = scene.folder.path().join("restic");
        fs::write(&restic, swapping).expect("written");
        fs::set_permissions(&restic, fs::Permissions::from_mode(0o755)).expect("a script");
        let agent = match policy {
            Some(policy) => {
                let file = scene.folder.path().join("policy.toml");
                fs::write(&file, policy(&real(scene.folder.path()))).expect("written");
                scene.start_with(&["--policy", &text(&file), "--restic", &text(&restic)])
            }
            None => scene.start_with(&[]),
        };
        let (jobs, commands) = (BTreeSet::new(), BTreeSet::new());
        let mut attack = Self {
            scene,
            _agent: agent,
            number: 0,
            revision: SlotRevision::ZERO,
            jobs,
            commands,
            photos,
            private,
        };
        let _ = attack.scene.hello();
        // Its key opens at once.
        let _ = repository_files::make(Path::new(&attack.at("repo")), "pw-planted");
        attack.use_repository(&attack.at("repo"), None);
        let (outcome, _, message) = attack.run(JobSpec::Probe);
        assert_eq!(outcome, Outcome::Succeeded, "{message}");
        attack
    }

    fn at(&self, name: &str) -> String {
        text(&real(self.scene.folder.path()).join(name))
    }

    fn send(&mut self, body: CommandBody<'_>) {
        self.commands.insert(word(&body));
        self.scene.send(body);
    }

    fn use_repository(&mut self, url: &str, env: Option<(&str, &str)>) {
        self.revision = self.revision.next();
        let mut room = [0; 1024];
        let env = Items::write(env, &mut room).expect("fits");
        let credentials = Credentials {
            url,
            username: "",
            password: "",
            repo_password: "pw-planted",
            ca: "",
            host_keys: "",
            env,
        };
        self.send(CommandBody::ConfigUpdate(ConfigUpdate {
            slot: Slot::Repo,
            revision: self.revision,
            for_job: None,
            credentials: Some(credentials),
        }));
    }

    /// Sends a job and waits for its end.
    fn run(&mut self, spec: JobSpec<'_>) -> End {
        self.run_as("attic", spec)
    }

    fn run_as(&mut self, restic_host: &str, spec: JobSpec<'_>) -> End {
        self.number += 1;
        let job = JobId([self.number; 16]);
        self.jobs.insert(spec.kind());
        self.send(CommandBody::Run(Run { job, restic_host, deadline_secs: 120, spec, for_host: None }));
        self.scene.finished(job)
    }

    /// With admin credentials for this one job.
    fn run_as_admin(&mut self, url: &str, spec: JobSpec<'_>) -> End {
        self.give_admin(url);
        self.run(spec)
    }

    fn give_admin(&mut self, url: &str) {
        let credentials = Credentials {
            url,
            username: "",
            password: "",
            repo_password: "pw-planted",
            ca: "",
            host_keys: "",
            env: Items::EMPTY,
        };
        self.revision = self.revision.next();
        let update = ConfigUpdate {
            slot: Slot::Admin,
            revision: self.revision,
            for_job: Some(JobId([self.number + 1; 16])),
            credentials: Some(credentials),
        };
        self.send(CommandBody::ConfigUpdate(update));
    }

    /// For another host, with credentials that come for this one job; `None` = the policy refuses these.
    fn run_for_other(&mut self, url: &str, spec: JobSpec<'_>) -> Option<End> {
        self.number += 1;
        let job = JobId([self.number; 16]);
        let credentials = Credentials {
            url,
            username: "",
            password: "",
            repo_password: "pw-planted",
            ca: "",
            host_keys: "",
            env: Items::EMPTY,
        };
        self.send(CommandBody::ConfigUpdate(ConfigUpdate {
            slot: Slot::Repo,
            revision: SlotRevision(9),
            for_job: Some(job),
            credentials: Some(credentials),
        }));
        let for_host = Some("other");
        self.send(CommandBody::Run(Run { job, restic_host: "attic", deadline_secs: 120, spec, for_host }));
        self.scene.report(|report| match report.body {
            ReportBody::Finished(end) if end.job == job => {
                Some(Some((end.outcome, end.class, end.message.to_owned())))
            }
            ReportBody::Refused { job: refused, reason, .. } if refused == job => {
                assert_eq!(reason, Refusal::Policy);
                Some(None)
            }
            _ => None,
        })
    }

    #[track_caller]
    fn fails(&mut self, spec: JobSpec<'_>) -> (Option<Class>, String) {
        let (outcome, class, message) = self.run(spec);
        assert_eq!(outcome, Outcome::Failed, "{spec:?}: {message}");
        (class, message)
    }

    /// Refused by the policy, in words that name what to change.
    #[track_caller]
    fn is_refused(&mut self, spec: JobSpec<'_>, says: &str) {
        let (class, message) = self.fails(spec);
        assert_eq!(class, Some(Class::Policy), "{spec:?}: {message}");
        assert!(message.contains(says), "{spec:?}: {message}");
    }

    /// A backup of these paths, with these excludes and hooks.
    fn backup(&mut self, includes: &[&str], excludes: &[&str], hooks: &[&str]) -> End {
        let (mut first, mut second, mut third) = ([0; 2048], [0; 2048], [0; 2048]);
        let list = |texts: &[&str], room| Items::write(texts.iter().map(|text| (*text).to_owned()), room);
        let spec = BackupSpec {
            includes: list(includes, &mut first).expect("fits"),
            excludes: list(excludes, &mut second).expect("fits"),
            hooks_before: list(hooks, &mut third).expect("fits"),
            ..PLAIN
        };
        self.run(JobSpec::Backup(spec))
    }

    #[track_caller]
    fn backup_is_refused(&mut self, includes: &[&str], hooks: &[&str], says: &str) {
        let (outcome, class, message) = self.backup(includes, &[], hooks);
        assert_eq!(
            (outcome, class),
            (Outcome::Failed, Some(Class::Policy)),
            "{includes:?} {hooks:?}: {message}"
        );
        assert!(message.contains(says), "{includes:?} {hooks:?}: {message}");
    }

    /// What the server finds in its own repository, by restic itself: the newest snapshot's id and its paths.
    fn stolen(&self) -> (String, Vec<String>) {
        let restic = |args: &[&str]| {
            let mut command = Command::new("restic");
            command.args(["--no-lock", "--no-cache", "--repo", &self.at("repo")]).args(args);
            let output = command.env("RESTIC_PASSWORD", "pw-planted").output().expect("restic");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        };
        let listed: serde_json::Value =
            serde_json::from_str(&restic(&["snapshots", "--json", "--latest=1"])).expect("JSON");
        let newest = listed.as_array().expect("a list").iter().max_by_key(|it| it["time"].as_str());
        let id = newest.expect("a snapshot")["id"].as_str().expect("an id").to_owned();
        let paths = restic(&["ls", &id]).lines().map(str::to_owned).collect();
        (id, paths)
    }

    /// Every path outside the agent's own folders and the repository, with what it holds.
    fn machine(&self) -> BTreeSet<(PathBuf, Vec<u8>)> {
        let own = ["state", "state-restored", "repo"].map(|name| PathBuf::from(self.at(name)));
        let mut found = BTreeSet::new();
        let mut folders = vec![real(self.scene.folder.path())];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
                let content = if kind.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
                if kind.is_dir() && !own.contains(&path) {
                    folders.push(path.clone());
                }
                if !own.contains(&path) {
                    found.insert((path, content));
                }
            }
        }
        found
    }

    /// Options and programs: refused whatever the policy is.
    fn try_programs(&mut self) {
        let (inside, owned, repo) = (text(&self.photos), self.at("owned"), self.at("repo"));
        for hook in ["/bin/sh", "sh", "../../bin/sh", ""] {
            self.backup_is_refused(&[&inside], &[hook], "hooks in its policy file");
        }
        for command in ["command:sh", "command:", "command:/bin/sh"] {
            self.backup_is_refused(&[command], &[], "commands in its policy file");
        }
        // Options: what comes from outside is never one.
        let option = format!("--password-command=touch {owned}");
        let (outcome, _, message) = self.backup(&[&inside], &[&option, "--help"], &[]);
        assert_eq!(
            outcome,
            Outcome::Succeeded,
            "an exclude that looks like an option is an exclude: {message}"
        );
        let mut room = [0; 512];
        let includes = Items::write([inside.as_str()], &mut room).expect("fits");
        let _ = self.fails(JobSpec::Backup(BackupSpec { group: &option, includes, ..PLAIN }));
        for (group, within) in [(option.as_str(), ""), ("docs", "1d --prune")] {
            let mut room = [0; 512];
            let keep = Keep { last: 1, within, ..Keep::default() };
            let groups = Items::write([ForgetGroup::new(group, keep)], &mut room).expect("fits");
            let _ = self.fails(JobSpec::Forget { groups, others: Items::EMPTY, dry_run: false });
        }
        for (snapshot, path) in
            [(option.as_str(), "/"), ("latest", "/"), (SOME_SNAPSHOT, &option), ("0123abcd; sh", "/")]
        {
            let _ = self.fails(JobSpec::Ls { snapshot, path: path.into() });
            let _ = self.fails(JobSpec::Restore(restore(snapshot, if path == "/" { "" } else { path })));
        }
        assert_eq!(self.run_as(&option, JobSpec::Stats).0, Outcome::Failed);
        // Credentials that start programs, or load some into restic.
        for (url, env) in [
            (format!("rclone:{owned}"), None),
            (repo.clone(), Some(("LD_PRELOAD", "/tmp/x.so"))),
            (repo.clone(), Some(("RESTIC_PASSWORD_COMMAND", option.as_str()))),
            (repo.clone(), Some(("PATH", "/tmp"))),
        ] {
            self.use_repository(&url, env);
            assert_eq!(self.fails(JobSpec::Stats).0, Some(Class::Policy), "{url}");
        }
        self.use_repository(&repo, None);
        assert!(!Path::new(&owned).exists(), "a program was run");
    }

    /// The agent's own folder, by every name: never read, shown or written, whatever the policy is.
    fn try_own_state(&mut self) {
        symlink(self.at("state"), self.at("alias")).expect("a link");
        let state = self.at("state");
        for path in [
            state.clone(),
            format!("{state}/identity"),
            format!("{state}/../state/local.key"),
            self.at("alias"),
            self.at("alias/identity"),
            format!("/proc/self/root{state}"),
        ] {
            self.backup_is_refused(&[&path], &[], "own state folder");
            self.is_refused(JobSpec::Restore(restore(SOME_SNAPSHOT, &path)), "");
            self.is_refused(JobSpec::Restore(restore_into(SOME_SNAPSHOT, &path)), "");
            self.is_refused(
                JobSpec::Ls { snapshot: SOME_SNAPSHOT, path: path.as_str().into() },
                "own state folder",
            );
        }
        for path in
            [state.clone(), format!("{state}/cache"), self.at("alias"), format!("/proc/self/root{state}")]
        {
            self.is_refused(JobSpec::Browse { path: path.as_str().into() }, "own state folder");
        }
        fs::remove_file(self.at("alias")).expect("removed");
    }

    /// A repository that each kind of job is refused.
    fn repository_is_refused(&mut self, url: &str, env: Option<(&str, &str)>, says: &str) {
        self.use_repository(url, env);
        let inside = text(&self.photos);
        for kind in JobKind::ALL.into_iter().filter(|kind| *kind != JobKind::Browse) {
            let mut room = [0; 512];
            let includes = Items::write([inside.as_str()], &mut room).expect("fits");
            if kind == JobKind::Prune {
                self.give_admin(url);
            }
            // Where admin credentials are refused, it is not even known which repository that would be.
            let says = if kind == JobKind::Prune { "" } else { says };
            self.is_refused(plain_job(kind, includes), says);
        }
        let repo = self.at("repo");
        self.use_repository(&repo, None);
    }

    /// Nothing is left out of what a server can say, and the agent still does its work.
    fn ends(mut self) {
        self.send(CommandBody::Cancel { job: JobId([250; 16]) });
        assert_eq!(self.run(JobSpec::Stats).0, Outcome::Succeeded);
        let missed: Vec<JobKind> =
            JobKind::ALL.into_iter().filter(|kind| !self.jobs.contains(kind)).collect();
        assert!(missed.is_empty(), "not tried: {missed:?}");
        let writing: Vec<JobKind> =
            JobKind::ALL.into_iter().filter(|kind| reach(*kind) == Reach::Writes).collect();
        assert_eq!(writing, [JobKind::Restore], "each that writes has its own part in these tests");
        let all = BTreeSet::from(["run", "cancel", "config repo", "config admin"]);
        assert_eq!(self.commands, all);
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().expect("there")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// What was restored is in one new folder below `base`, closed to others; its path.
#[track_caller]
fn one_restored(base: &str) -> PathBuf {
    let found: Vec<_> =
        fs::read_dir(base).expect("a base").flatten().filter(|it| it.path().is_dir()).collect();
    let found: Vec<_> = found.into_iter().filter(|it| !it.path().is_symlink()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let metadata = found[0].metadata().expect("there");
    assert_eq!(metadata.mode() & 0o7777, 0o700);
    found[0].path()
}

#[test]
fn without_a_policy_the_least_holds() {
    let mut attack = Attack::start(None);
    assert!(
        Path::new(&attack.at("state/policy.toml")).exists(),
        "the enrolment wrote it, with nothing in it"
    );
    attack.try_programs();
    attack.try_own_state();

    // It reads what it wants, but for the agent's own state: of everything, and by names that no exclude knows.
    let all = attack.at("");
    let all = all.trim_end_matches('/').to_owned();
    let outer = text(Path::new(&all).parent().expect("a parent"));
    symlink(&outer, attack.at("outer")).expect("a link");
    let by_link =
        format!("{}/{}", attack.at("outer"), Path::new(&all).file_name().expect("a name").display());
    for path in [all.clone(), format!("/proc/self/root{all}"), by_link] {
        let (outcome, class, message) = attack.backup(&[&path], &[], &[]);
        assert_eq!(outcome, Outcome::Succeeded, "{path}: {class:?} {message}");
        let (_, paths) = attack.stolen();
        assert!(paths.iter().any(|it| it.ends_with("private/0")), "{path}: {paths:?}");
        for file in ["/identity", "/local.key", "/slot-repo", "/ca.pem", "/installation", "/journal"] {
            assert!(
                !paths.iter().any(|it| it.ends_with(&format!("/state{file}"))),
                "{path}: {file} was stolen"
            );
        }
    }
    fs::remove_file(attack.at("outer")).expect("removed");
    // restic and the system take a step up behind a link for different folders.
    attack.backup_is_refused(&[&attack.at("photos/door/..")], &[], "steps upwards");
    let (outcome, _, message) =
        attack.run(JobSpec::Browse { path: text(&attack.private.clone()).as_str().into() });
    assert_eq!(outcome, Outcome::Succeeded, "{message}");

    // It writes into new folders of the agent's own, and nowhere else.
    let evil = attack.scene.folder.path().join("etc/cron.d");
    fs::create_dir_all(&evil).expect("made");
    fs::write(evil.join("evil"), "* * * * * root touch /owned\n").expect("written");
    let (outcome, _, message) = attack.backup(&[&attack.at("etc"), &attack.at("private")], &[], &[]);
    assert_eq!(outcome, Outcome::Succeeded, "{message}");
    let (id, _) = attack.stolen();
    fs::remove_dir_all(attack.at("etc")).expect("removed");
    fs::write(attack.private.join("0"), "newer than the snapshot").expect("written");
    let base = attack.at("state-restored");
    fs::create_dir_all(&base).expect("made");
    symlink(&attack.private, Path::new(&base).join("door")).expect("a link");
    let before = attack.machine();
    attack.is_refused(JobSpec::Restore(restore(&id, "/")), "restore_in_place");
    for target in [
        "/etc".to_owned(),
        "/etc/cron.d/new".to_owned(),
        text(&attack.private),
        attack.at(""),
        attack.at("photos/new"),
        format!("{base}/../private"),
        format!("{base}-2"),
        format!("{base}/door"),
        format!("{base}/door/x"),
        "relative".to_owned(),
    ] {
        attack.is_refused(JobSpec::Restore(restore(&id, &target)), "restore_targets");
        attack.is_refused(JobSpec::Restore(restore_into(&id, &target)), "restore_targets");
    }
    let (outcome, _, message) = attack.run(JobSpec::Restore(restore(&id, "")));
    assert_eq!(outcome, Outcome::Succeeded, "{message}");
    let made = one_restored(&base);
    assert!(made.join(&attack.at("etc/cron.d/evil")[1..]).exists(), "in its own folder");
    assert!(attack.machine() == before, "nothing else was written");

    // Repositories: none in what belongs to the system or to the agent.
    for url in ["/etc/cron.d/holdfast-hostile".to_owned(), "local:/usr/lib/holdfast-hostile".to_owned()] {
        attack.repository_is_refused(&url, None, "repositories");
        assert!(!Path::new(url.trim_start_matches("local:")).exists());
    }
    for url in [attack.at("state/repo"), base, attack.at("").trim_end_matches('/').to_owned()] {
        attack.repository_is_refused(&url, None, "own folders");
    }
    // Nothing is done with another host's credentials: they are not even held.
    let repo = attack.at("repo");
    assert_eq!(attack.run_for_other(&repo, JobSpec::Restore(restore(&id, ""))), None);
    // With credentials that may delete, it deletes.
    let (outcome, _, message) = attack.run_as_admin(&repo, JobSpec::Prune { dry_run: false });
    assert_eq!(outcome, Outcome::Succeeded, "{message}");
    attack.ends();
}

#[test]
fn with_a_policy_valid_commands_do_no_more_than_it_lets_them() {
    let mut attack = Attack::start(Some(|at| {
        let at = at.display();
        format!(
            "source_roots = ['{at}/photos', '{at}/state']\nrestore_base = '{at}/base'\nrestore_targets = ['{at}/back']\n\
             repositories = ['{at}/repo']\nadmin_slot = false\n"
        )
    }));
    attack.try_programs();
    attack.try_own_state();

    // Paths.
    let (inside, door) = (text(&attack.photos), text(&attack.photos.join("door")));
    let upwards = format!("{inside}/../private");
    for path in [
        "/etc/hostname",
        "/",
        &door,
        &upwards,
        &text(&attack.private),
        "--files-from=/etc/hostname",
        "relative",
    ] {
        attack.backup_is_refused(&[&inside, path], &[], "source_roots");
    }
    for path in [text(&attack.private), door, "/etc".to_owned(), upwards] {
        attack.is_refused(JobSpec::Browse { path: path.as_str().into() }, "source_roots");
    }

    // Restores.
    let (id, _) = attack.stolen();
    let (back, base) = (attack.at("back"), attack.at("base"));
    let before = attack.machine();
    attack.is_refused(JobSpec::Restore(restore(&id, "/")), "restore_in_place");
    for target in [
        text(&attack.private),
        format!("{back}/door"),
        format!("{back}/../private"),
        attack.at("state-restored"),
    ] {
        attack.is_refused(JobSpec::Restore(restore(&id, &target)), "restore_targets");
    }
    for target in [format!("{back}/.ssh"), format!("{base}/a/.config/autostart")] {
        attack.is_refused(JobSpec::Restore(restore(&id, &target)), "begins with another sign");
    }
    assert!(attack.machine() == before, "nothing was written");
    for (target, root) in [(format!("{back}/today"), &back), (String::new(), &base)] {
        let spec = if target.is_empty() { restore(&id, "") } else { restore_into(&id, &target) };
        let (outcome, _, message) = attack.run(JobSpec::Restore(spec));
        assert_eq!(outcome, Outcome::Succeeded, "{message}");
        assert!(one_restored(root).join(&inside[1..]).join("0").exists());
    }
    // What is there is not written over, nor beside.
    attack.is_refused(JobSpec::Restore(restore_into(&id, &format!("{back}/today"))), "restore_in_place");

    // Repositories, and variables that lead elsewhere.
    attack.repository_is_refused(&attack.at("repo2"), None, "repositories");
    attack.repository_is_refused("rest:http://127.0.0.1:9/", None, "repositories");
    let repo = attack.at("repo");
    attack.repository_is_refused(&repo, Some(("HTTPS_PROXY", "http://127.0.0.1:9")), "HTTPS_PROXY");
    assert!(!Path::new(&attack.at("repo2")).exists());
    // Nothing is deleted.
    let (outcome, class, message) = attack.run_as_admin(&repo, JobSpec::Prune { dry_run: false });
    assert_eq!((outcome, class), (Outcome::Failed, Some(Class::Policy)), "{message}");
    attack.ends();
}

#[test]
fn for_other_hosts_files_are_restored_into_folders_and_nothing_else_is_done() {
    fn refused(attack: &mut Attack, url: &str, spec: JobSpec<'_>, says: &str) {
        let (outcome, class, message) = attack.run_for_other(url, spec).expect("its credentials are held");
        assert_eq!((outcome, class), (Outcome::Failed, Some(Class::Policy)), "{spec:?}: {message}");
        assert!(message.contains(says), "{spec:?}: {message}");
    }
    let mut attack = Attack::start(Some(|at| {
        let at = at.display();
        format!("other_hosts = true\nrestore_in_place = true\nrepositories = ['{at}/repo', '{at}/own']\n")
    }));
    let inside = text(&attack.photos);
    let (outcome, _, message) = attack.backup(&[&inside], &[], &[]);
    assert_eq!(outcome, Outcome::Succeeded, "{message}");
    let (id, _) = attack.stolen();
    // What is the agent's own from now on has no repository in it.
    let (theirs, own) = (attack.at("repo"), attack.at("own"));
    attack.use_repository(&own, None);
    let before = attack.machine();
    for kind in JobKind::ALL {
        let mut room = [0; 512];
        let includes = Items::write([inside.as_str()], &mut room).expect("fits");
        if !matches!(kind, JobKind::Restore | JobKind::Download) {
            refused(&mut attack, &theirs, plain_job(kind, includes), "nothing else");
        }
    }
    refused(&mut attack, &theirs, JobSpec::Restore(restore(&id, "/")), "files of its own");
    refused(&mut attack, &theirs, JobSpec::Restore(restore(&id, "/etc")), "restore_targets");
    let elsewhere = attack.at("elsewhere");
    refused(&mut attack, &elsewhere, JobSpec::Restore(restore(&id, "")), "repositories");
    let base = attack.at("state-restored");
    let restored = attack.run_for_other(&theirs, JobSpec::Restore(restore(&id, ""))).expect("held");
    assert_eq!(restored.0, Outcome::Succeeded, "{restored:?}");
    assert!(one_restored(&base).join(&inside[1..]).join("0").exists());
    assert!(attack.machine() == before, "nothing else was written");
    // Its own slot is as it was.
    let (_, class, message) = attack.run(JobSpec::Snapshots);
    assert_eq!(class, Some(Class::RepoMissing), "{message}");
}

#[test]
fn a_source_that_is_swapped_for_a_link_under_restic_is_told() {
    let mut attack = Attack::start(Some(|at| format!("source_roots = ['{}/photos']\n", at.display())));
    for folder in ["photos/in/deep", "private/deep"] {
        fs::create_dir_all(attack.at(folder)).expect("made");
        fs::write(attack.at(&format!("{folder}/file")), folder).expect("written");
    }
    let (outcome, class, message) = attack.backup(&[&attack.at("photos/in/deep")], &[], &[]);
    assert_eq!((outcome, class), (Outcome::Warning, Some(Class::Policy)), "{message}");
    assert!(message.contains("photos/in was replaced") && message.contains("source_roots"), "{message}");
    // From now on it is refused before.
    attack.backup_is_refused(&[&attack.at("photos/in/deep")], &[], "source_roots");
}

#[test]
fn to_where_it_was_only_within_the_source_roots_and_never_over_what_is_the_agents() {
    let mut attack = Attack::start(Some(|at| {
        let at = at.display();
        format!("source_roots = ['{at}/photos', '{at}/state']\nrestore_in_place = true\n")
    }));
    let inside = text(&attack.photos);
    let (outcome, _, message) = attack.backup(&[&inside], &[], &[]);
    assert_eq!(outcome, Outcome::Succeeded, "{message}");
    let (id, _) = attack.stolen();
    let before = attack.machine();
    let (private, state, policy) = (text(&attack.private), attack.at("state"), attack.at("policy.toml"));
    for (includes, says) in [
        (vec![], "source_roots"),
        (vec![private.as_str()], "source_roots"),
        (vec![&inside, "/etc/cron.d"], "source_roots"),
        (vec![&policy], "source_roots"),
        (vec![&state], "own state folder"),
        // The restic of this machine is 0.14.
        (vec![&inside], "restore_in_place needs restic 0.18"),
    ] {
        let mut room = [0; 1024];
        let paths = Items::write(includes.into_iter().map(OsText::from), &mut room).expect("fits");
        attack.is_refused(JobSpec::Restore(RestoreSpec { paths, ..restore(&id, "/") }), says);
    }
    assert!(attack.machine() == before, "nothing was written");
}
