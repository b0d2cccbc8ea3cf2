//! An agent as the fleet sees it: sealed messages, nothing else.

use crate::world::{Client, World, random};
use schema::enroll::MAX_TOKEN_CHARS;
use schema::envelope::{Key, NONCE_BYTES, seal};
use schema::job::DiffTotals;
use schema::report::{ChangeKind, Hit};
use schema::report::{Entry, EntryKind, Finished};
use schema::stats::{Lock, LockSeen, Size, SizeSource, SnapshotCount};
use schema::{
    Abilities, CommandSeq, EnrollRequest, EnrollResponse, Epoch, Hello, HostId, HostTopic, InstallationId,
    Items, JobId, Live, LogLine, LogStream, Outcome, PlanRevision, Presence, Progress, RepoId, RepoStats,
    Report, ReportBody, ReportSeq, Sealed, SlotRevision, StatsRevision, Stream, Summary, Token, Topic,
};
use serde::Serialize;
use serde_json::json;

pub(crate) struct TestAgent {
    pub(crate) host: HostId,
    key: Key,
    key_id: u8,
    reports: ReportSeq,
    revision: StatsRevision,
    /// What it says of itself at each hello.
    pub(crate) abilities: Abilities,
    /// By which address it comes.
    pub(crate) address: &'static str,
    /// Which authorities it trusts.
    pub(crate) trusts: Vec<[u8; 32]>,
}

fn sealed<T: Serialize>(key: &Key, key_id: u8, topic: Topic, message: &T) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce);
    let mut buffer = vec![0; 64 * 1024];
    seal(key, key_id, nonce, topic, message, &mut buffer).unwrap().to_vec()
}

impl TestAgent {
    /// Adds a host through the API and enrols it.
    pub(crate) async fn enrol(world: &World, client: &Client, name: &str) -> Self {
        let made =
            client.post("/api/hosts", &json!({"name": name, "labels": ["boats"]})).await.expect(201).json();
        let agent = Self::with_token(world, made["enroll_token"].as_str().unwrap()).await;
        assert_eq!(agent.host.to_string(), made["id"]);
        agent
    }

    /// A machine that enrols with this token.
    pub(crate) async fn with_token(world: &World, text: &str) -> Self {
        let mut buffer = [0; MAX_TOKEN_CHARS];
        let token = Token::parse(text, &mut buffer).unwrap();
        assert!(world.fleet.login_enroll(token.id, &data_encoding::HEXLOWER.encode(&token.secret)).is_ok());
        let mut installation = [0; 16];
        random(&mut installation);
        let request = EnrollRequest {
            installation: InstallationId(installation),
            hostname: "harbour",
            os: "Debian 13",
            arch: "aarch64",
            agent_version: "0.1.0",
        };
        let payload = sealed(&token.key, 0, Topic::EnrollRequest(token.id), &request);
        let answer = world.fleet.enroll(token.id, &payload, "10.20.7.31").await;
        let mut buffer = vec![0; answer.len()];
        let plain = Sealed::parse(&answer)
            .unwrap()
            .open(&token.key, Topic::EnrollResponse(token.id), &mut buffer)
            .unwrap();
        let EnrollResponse::Welcome { host, link_key, key_id, .. } = schema::decode(plain).unwrap() else {
            panic!("not welcome");
        };
        Self {
            host,
            key: Key::new(link_key),
            key_id,
            reports: ReportSeq::ZERO,
            revision: StatsRevision::ZERO,
            abilities: Abilities::FOR_OTHERS.and(Abilities::OTHERS_ALLOWED).and(Abilities::IN_PLACE_ALLOWED),
            address: "fleet.lan:8883",
            trusts: Vec::new(),
        }
    }

    fn seal<T: Serialize>(&self, topic: HostTopic, message: &T) -> Vec<u8> {
        sealed(&self.key, self.key_id, Topic::Host(self.host, topic), message)
    }

    fn taken(&self, world: &World) -> CommandSeq {
        world
            .fleet
            .commands_after(self.host, CommandSeq::ZERO, 1_000)
            .last()
            .map_or(CommandSeq::ZERO, |(seq, _)| *seq)
    }

    pub(crate) async fn hello(&self, world: &World, epoch: u64) {
        self.hello_of(world, epoch, [3; 16], "0.1.0").await;
    }

    /// As another boot, or with another version.
    pub(crate) async fn hello_of(&self, world: &World, epoch: u64, boot_id: [u8; 16], agent_version: &str) {
        let mut room = [0; 64];
        let hello = Hello {
            epoch: Epoch(epoch),
            stream: Stream(9),
            boot_id,
            installation: InstallationId([4; 16]),
            agent_version,
            restic_version: "0.18.0",
            os: "Debian 13",
            arch: "aarch64",
            hostname: "harbour",
            jobs: Items::EMPTY,
            taken: CommandSeq(0),
            first_unacked: self.reports.next(),
            last_report: self.reports,
            plan_revision: PlanRevision(0),
            repo_revision: SlotRevision(0),
            state_free_bytes: 3 << 30,
            at: world.now(),
            abilities: self.abilities,
            incarnation: schema::Incarnation::ZERO,
            saved: Items::EMPTY,
            address: self.address,
            trusts: Items::write(self.trusts.iter().copied(), &mut room).unwrap(),
        };
        let payload = self.seal(HostTopic::Presence, &Presence::Hello(hello));
        world.fleet.handle_presence(self.host, &payload, "10.20.7.31").await.unwrap();
    }

    pub(crate) async fn gone(&self, world: &World, epoch: u64) {
        let payload = self.seal(HostTopic::Presence, &Presence::Gone { epoch: Epoch(epoch), clean: false });
        world.fleet.handle_presence(self.host, &payload, "10.20.7.31").await.unwrap();
    }

    /// A message of a wire version that is not understood.
    pub(crate) async fn strange(&self, world: &World) {
        let mut payload = self.seal(HostTopic::Presence, &Presence::Gone { epoch: Epoch(1), clean: true });
        payload[0] = 99;
        world.fleet.handle_presence(self.host, &payload, "10.20.7.31").await.unwrap();
    }

    pub(crate) async fn report(&mut self, world: &World, body: ReportBody<'_>) {
        self.reports = self.reports.next();
        let report =
            Report { stream: Stream(9), seq: self.reports, taken: self.taken(world), at: world.now(), body };
        let payload = self.seal(HostTopic::Evt, &report);
        world.fleet.handle_report(self.host, &payload, "10.20.7.31").await.unwrap();
    }

    /// Takes a job and starts restic.
    pub(crate) async fn start(&mut self, world: &World, job: JobId) {
        self.report(world, ReportBody::Accepted { job, behind: 0 }).await;
        self.report(world, ReportBody::Started { job }).await;
    }

    pub(crate) async fn log(
        &mut self,
        world: &World,
        job: JobId,
        first_line: u32,
        lines: &[(LogStream, &str)],
    ) {
        let mut buffer = vec![0; 16 * 1024];
        let lines = lines.iter().map(|(stream, text)| LogLine { after_ms: 40, stream: *stream, text });
        let lines = Items::write(lines, &mut buffer).unwrap();
        self.report(world, ReportBody::Log { job, first_line, lines }).await;
    }

    pub(crate) fn progress(&self, world: &World, job: JobId, bytes_done: u64, current: &str) {
        let progress = Progress {
            job,
            at: world.now(),
            permille: (bytes_done / 1_000_000) as u16,
            files_done: 18_240,
            files_total: 44_019,
            bytes_done,
            bytes_total: 1_000_000_000,
            bytes_read: 0,
            errors: 0,
            left_secs: Some(7_920),
            current,
        };
        world.fleet.handle_live(self.host, &self.seal(HostTopic::Live, &Live::Progress(progress)));
    }

    pub(crate) async fn finish(
        &mut self,
        world: &World,
        job: JobId,
        outcome: Outcome,
        class: Option<schema::Class>,
        message: &str,
        summary: Summary<'_>,
    ) {
        let finished = Finished {
            job,
            outcome,
            class,
            exit_code: Some(0),
            started_at: Some(world.now()),
            finished_at: world.now().plus_ms(4_000),
            message,
            log_lines: 2,
            summary,
            kind: None,
            group: None,
        };
        self.report(world, ReportBody::Finished(finished)).await;
    }

    /// A backup that went well.
    pub(crate) async fn back_up(&mut self, world: &World, job: JobId) {
        self.start(world, job).await;
        self.log(
            world,
            job,
            0,
            &[(LogStream::Agent, "restic 0.18.0"), (LogStream::Out, "snapshot 4d02a9f1 saved")],
        )
        .await;
        self.back_up_end(world, job).await;
    }

    /// The end of a backup that went well.
    pub(crate) async fn back_up_end(&mut self, world: &World, job: JobId) {
        let summary = schema::job::BackupSummary {
            snapshot: "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00",
            files_new: 12,
            files_changed: 3,
            files_unmodified: 18_225,
            total_files: 18_240,
            total_bytes: 41 << 30,
            added_bytes: 31 << 20,
            added_packed_bytes: Some(20 << 20),
            errors: 0,
            findings: Items::EMPTY,
            findings_left_out: 0,
        };
        self.finish(world, job, Outcome::Succeeded, None, "snapshot saved", Summary::Backup(summary)).await;
        self.stats(world, job, None).await;
    }

    pub(crate) async fn stats(&mut self, world: &World, job: JobId, lock: Option<Lock<'_>>) {
        self.figures(world, job, lock, 2_023_101_441_925, 412).await;
    }

    /// Figures of the repository: so many bytes and snapshots.
    pub(crate) async fn stats_of(&mut self, world: &World, job: JobId, bytes: u64, count: u32) {
        self.figures(world, job, None, bytes, count).await;
    }

    async fn figures(&mut self, world: &World, job: JobId, lock: Option<Lock<'_>>, bytes: u64, count: u32) {
        self.revision = self.revision.next();
        let stats = RepoStats {
            stream: Stream(9),
            revision: self.revision,
            at: world.now(),
            job: Some(job),
            repo: Some(RepoId([0x3f; 32])),
            size: Some(Size { at: world.now(), bytes, source: SizeSource::Measured }),
            snapshots: Some(SnapshotCount { at: world.now(), count, newest_at: Some(world.now()) }),
            check: None,
            prune: None,
            lock: Some(LockSeen { at: world.now(), lock }),
        };
        let payload = self.seal(HostTopic::RepoStats, &stats);
        world.fleet.handle_stats(self.host, &payload).await.unwrap();
    }

    /// The snapshots of a listing.
    /// Answers a look into a folder: with folders of these names.
    pub(crate) async fn look(&mut self, world: &World, job: JobId, names: &[&str]) {
        self.start(world, job).await;
        let entry = |name| Entry { name, kind: EntryKind::Folder, bytes: 0, modified_at: Some(world.now()) };
        let mut buffer = vec![0; 4096];
        let entries = Items::write(names.iter().map(|name| entry((*name).into())), &mut buffer).unwrap();
        self.report(world, ReportBody::Entries { job, first: 0, entries }).await;
        let summary = Summary::Folder { entries: names.len() as u32, left_out: 0 };
        self.finish(world, job, Outcome::Succeeded, None, "", summary).await;
    }

    /// Answers a search by name: one file of this path, in one snapshot.
    pub(crate) async fn found(&mut self, world: &World, job: JobId, path: &str) {
        self.start(world, job).await;
        let entry = Hit::Entry {
            path: path.into(),
            kind: EntryKind::File,
            bytes: 22,
            files: 0,
            modified_at: Some(world.now()),
        };
        let id = "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00";
        let mut buffer = vec![0; 4096];
        let hits = Items::write([entry, Hit::Snapshot { id, time: world.now() }], &mut buffer).unwrap();
        self.report(world, ReportBody::Found { job, first: 0, hits }).await;
        let summary = Summary::Found { snapshots: 1, snapshots_left_out: 0, hits: 1, left_out: 0 };
        self.finish(world, job, Outcome::Succeeded, None, "", summary).await;
    }

    /// Answers a comparison of two snapshots: this path was removed.
    pub(crate) async fn differs(&mut self, world: &World, job: JobId, path: &str) {
        self.start(world, job).await;
        let change =
            Hit::Change { path: path.into(), change: ChangeKind::Removed, is_folder: false, bytes: 22 };
        let mut buffer = vec![0; 4096];
        let hits = Items::write([change], &mut buffer).unwrap();
        self.report(world, ReportBody::Found { job, first: 0, hits }).await;
        let totals = DiffTotals { removed: 1, removed_bytes: 22, ..DiffTotals::default() };
        self.finish(world, job, Outcome::Succeeded, None, "", Summary::Differences(totals)).await;
    }

    pub(crate) async fn list(&mut self, world: &World, job: JobId, tag: &str, path: &str) {
        self.start(world, job).await;
        let mut buffers = vec![vec![0; 1024]; 4];
        let (tags, rest) = buffers.split_at_mut(1);
        let snapshot = schema::report::Snapshot {
            id: "4d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee004d02a9f1c0ffee00",
            time: world.now(),
            hostname: "boat-pi",
            tags: Items::write([tag], &mut tags[0]).unwrap(),
            paths: Items::write([path], &mut rest[0]).unwrap(),
            size: None,
            tags_left_out: 0,
            paths_left_out: 0,
        };
        let mut buffer = vec![0; 4096];
        let snapshots = Items::write([snapshot], &mut buffer).unwrap();
        self.report(world, ReportBody::Snapshots { job, first: 0, snapshots }).await;
        self.finish(world, job, Outcome::Succeeded, None, "", Summary::Snapshots { count: 1, left_out: 0 })
            .await;
    }
}

/// A host with an agent, credentials, a group and a good backup.
pub(crate) async fn boat(world: &World, client: &Client) -> TestAgent {
    let mut agent = TestAgent::enrol(world, client, "boat-pi").await;
    agent.hello(world, 1).await;
    let host = format!("/api/hosts/{}", agent.host);
    let body = json!({"url": "rest:http://vault.lan:8000/boat-pi/", "username": "boat", "password": "rest-secret",
        "repo_password": "restic-secret", "env": {"AWS_SECRET_ACCESS_KEY": "env-secret"}});
    client.send(axum::http::Method::PUT, &format!("{host}/repo-credentials"), Some(&body)).await.expect(200);
    let body = json!({
        "name": "logbook", "includes": ["/srv/logbook"], "keep": {"daily": 7}, "by_hand_days": 2
    });
    client.post(&format!("{host}/groups"), &body).await.expect(201);
    let job = run(client, &format!("{host}/groups/logbook/backup")).await;
    agent.back_up(world, job).await;
    agent
}

/// Asks for a job and returns its id.
pub(crate) async fn run(client: &Client, path: &str) -> JobId {
    let answer = client.send(axum::http::Method::POST, path, None).await.expect(202);
    answer.json()["id"].as_str().unwrap().parse().unwrap()
}
