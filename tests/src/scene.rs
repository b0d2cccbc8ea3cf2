//! Everything together: a server, a storage, an agent, files, and a network between each of them.

use crate::{
    agent::Agent,
    api::{Api, Credentials},
    ports,
    proxy::Proxy,
    repository::Repository,
    scratch::Scratch,
    secrets::Secrets,
    server::Server,
    sources::{Numbers, write_tree},
    storage::Storage,
    tools::{self, Tool},
    wait::{LONG, SOON},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The host's name in all scenes.
pub const HOST: &str = "web-1";
/// The source group's.
pub const GROUP: &str = "files";
/// The size of the files; with the storage slowed down this takes as long as a scenario needs.
const TREE_BYTES: usize = 24 * 1024 * 1024;

/// A host with a repository behind a rest-server, and all that is needed to disturb it.
#[derive(Debug)]
pub struct Scene {
    /// The agent.
    pub agent: Agent,
    /// The server.
    pub server: Server,
    /// Between agent and server.
    pub link: Proxy,
    /// Between restic and rest-server.
    pub storage_link: Proxy,
    /// rest-server.
    pub storage: Storage,
    /// What is backed up.
    pub sources: PathBuf,
    /// The host's everyday credentials.
    pub credentials: Credentials,
    /// All secrets that are in play.
    pub secrets: Secrets,
    /// Where everything lies; goes last.
    pub scratch: Scratch,
}

impl Scene {
    /// Sets it up as far as an enrolled host that is online, with credentials, a source group and an empty
    /// repository, whose key opens at once. `None`: a tool is not to be had right now; the skip is noted.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with_agent(&tools::program("holdfast-agent"))
    }

    /// The same with another agent program.
    #[must_use]
    pub fn start_with_agent(program: &Path) -> Option<Self> {
        // Something stands in for restic in this job, which would take seconds of a processor.
        let restic = Tool::Restic018.path();
        let mut scene = Self::before_the_first_job(program, |scratch, storage, password| {
            let stand_in = scratch.folder("restic of the host").join("restic");
            repository_files::stand_in(&stand_in, &restic, &storage.repository(), password);
            stand_in
        })?;
        let init = scene.api().ask(&scene.agent.host, "init");
        let _ = scene.api().wait_job(&init, &["succeeded"], LONG);
        // What runs goes on with the stand-in, which becomes restic; another start has it no more.
        scene.agent.restic = restic;
        Some(scene)
    }

    /// The same, without the repository.
    #[must_use]
    pub fn start_without_repository() -> Option<Self> {
        Self::before_the_first_job(&tools::program("holdfast-agent"), |_, _, _| Tool::Restic018.path())
    }

    /// `restic` says which one the agent begins with.
    fn before_the_first_job(
        program: &Path,
        restic: impl FnOnce(&Scratch, &Storage, &str) -> PathBuf,
    ) -> Option<Self> {
        if !tools::needs(&[Tool::RestServer, Tool::Restic018]) {
            return None;
        }
        let scratch = Scratch::new();
        let mut numbers = Numbers::new(u64::from(std::process::id()));
        let mut secrets = Secrets::default();
        let everyday = secrets.plant("storage password", &mut numbers);
        let full = secrets.plant("admin storage password", &mut numbers);
        let repo_password = secrets.plant("repository password", &mut numbers);
        let environment = secrets.plant("environment secret", &mut numbers);

        let storage = Storage::start(&scratch.folder("storage"), HOST, &everyday, &full);
        let storage_link = Proxy::start(storage.append_only.address);
        let sources = scratch.folder("sources");
        write_tree(&sources, numbers.next(), 120, TREE_BYTES);

        let mqtt = ports::free();
        let link = Proxy::start(mqtt);
        let server = Server::start_behind(&scratch.folder("server"), mqtt, link.address);
        let host = server.api.add_host(HOST);
        let state_dir = scratch.folder("agent");
        let mut agent = Agent::with_program(program, &state_dir, &host.id, &host.enroll_token);
        agent.restic = restic(&scratch, &storage, &repo_password);
        agent.start();
        server.api.wait_online(&host.id, true, SOON);

        let credentials = Credentials {
            url: storage.append_only.url_at(storage_link.address),
            login: Some((HOST.to_owned(), everyday)),
            repo_password,
            // A name that the agent hands to restic; rest-server ignores it.
            env: vec![("AWS_SESSION_TOKEN".to_owned(), environment)],
        };
        server.api.put_credentials(&host.id, &credentials);
        let scene =
            Self { agent, server, link, storage_link, storage, sources, credentials, secrets, scratch };
        scene.api().add_group(&host.id, GROUP, &[&scene.sources.display().to_string()]);
        Some(scene)
    }

    /// Adds files that were never saved before.
    pub fn add_sources(&self, name: &str) {
        let seed = name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        let folder = self.sources.join(name);
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        write_tree(&folder, seed, 120, TREE_BYTES);
    }

    /// An admin's API client.
    #[must_use]
    pub const fn api(&self) -> &Api {
        &self.server.api
    }

    /// The host's id.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.agent.host
    }

    /// What opens the other door, which lets everything be deleted.
    #[must_use]
    pub fn admin_credentials(&self) -> Credentials {
        let door = &self.storage.full;
        Credentials {
            url: door.url_at(door.address),
            login: Some((door.user.clone(), door.password.clone())),
            ..self.credentials.clone()
        }
    }

    /// Lets the agent start anew with another restic, or what passes for one.
    pub fn run_with(&mut self, restic: &Path) {
        self.agent.stop();
        // Else it may still be online from before.
        self.api().wait_online(self.host(), false, SOON);
        restic.clone_into(&mut self.agent.restic);
        self.agent.start();
        self.api().wait_online(self.host(), true, LONG);
    }

    /// The repository, seen from the other door.
    #[must_use]
    pub fn repository(&self) -> Repository {
        Repository::behind(&self.storage.full, &self.credentials.repo_password)
    }

    /// Starts a backup of files that were not saved before that can't end, and waits until restic is in the middle of its data: job and restic's number.
    /// [`Self::let_it_finish`] lets it go on.
    #[track_caller]
    #[must_use]
    pub fn backup_in_the_middle(&self) -> (String, u32) {
        let before = self.storage_link.passed_up();
        self.storage_link.slow(Some(400_000));
        let job = self.api().back_up(self.host(), GROUP);
        let restic = self.agent.wait_restic();
        let _ = self.api().wait_job(&job, &["running"], SOON);
        crate::wait::until("a piece of the data to be stored", SOON, || {
            let passed = self.storage_link.passed_up() - before;
            if passed > 1_000_000 { Ok(()) } else { Err(format!("{passed} bytes so far")) }
        });
        self.storage_link.hold();
        (job, restic)
    }

    /// Ends what [`Self::backup_in_the_middle`] began.
    pub fn let_it_finish(&self) {
        self.storage_link.slow(None);
        self.storage_link.heal();
    }

    /// Runs a backup to its end, which has to be good.
    #[track_caller]
    #[must_use]
    pub fn back_up(&self) -> Value {
        let job = self.api().back_up(self.host(), GROUP);
        self.api().wait_job(&job, &["succeeded"], LONG)
    }

    /// The jobs of the host that are backups.
    #[must_use]
    pub fn backups(&self) -> Vec<Value> {
        let mut jobs = self.api().jobs(self.host());
        jobs.retain(|job| job["kind"] == "backup");
        jobs
    }

    /// Each snapshot is of one backup, and each good backup has made one.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn each_backup_ran_once(&self) {
        let backups = self.backups();
        let told = backups.iter().filter_map(|job| job["summary"]["snapshot"].as_str());
        let mut told: Vec<String> = told.map(|id| id.chars().take(8).collect()).collect();
        told.sort_unstable();
        let snapshots = self.repository().snapshots();
        let made = snapshots.iter().filter_map(|snapshot| snapshot["short_id"].as_str());
        let mut made: Vec<String> = made.map(str::to_owned).collect();
        made.sort_unstable();
        assert_eq!(told, made, "{backups:?}");
    }

    /// Has the group backed up each minute, by the agent alone when the server is away for three seconds; returns when its plan
    /// says so.
    #[track_caller]
    pub fn backs_up_alone(&mut self) {
        self.agent.options = vec!["--alone-after".into(), "3".into()];
        self.agent.stop();
        self.agent.start();
        self.api().wait_online(self.host(), true, LONG);
        let each_minute = json!({"name": "often", "cron": "* * * * *", "groups": [GROUP]});
        let schedules = format!("/api/hosts/{}/schedules", self.host());
        let _ = self.api().post(&schedules, Some(&each_minute)).expect(201);
        crate::wait::until("the plan to arrive", LONG, || {
            let log = self.agent.log();
            if log.contains("for when the server is away") { Ok(()) } else { Err(log) }
        });
    }
}
