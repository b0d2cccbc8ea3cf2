//! A fleet in virtual time, and an agent's end of the wire.

use fleet::record::{Actor, CredentialsInput, Group, Host, Job, PendingRun, Schedule, Secret};
use fleet::{By, Driver, Fleet, Handled, JobFilter, JobRequest, Page, Settings};
use schema::enroll::MAX_TOKEN_CHARS;
use schema::envelope::{self, Key, Sealed};
use schema::{
    Abilities, Command, CommandBody, CommandSeq, EnrollRequest, EnrollResponse, Epoch, HeldJob, Hello,
    HostId, HostTopic, Incarnation, InstallationId, Items, JobId, Live, Outcome, PlanRevision, Presence,
    RepoStats, Report, ReportBody, ReportSeq, SavedGroup, SlotRevision, Stream, Summary, Timestamp, ToAgent,
    Token, Topic, report::Finished,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);
pub(crate) const HOUR_MS: u64 = 3_600_000;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

/// Virtual time, and a random source that gives the same each time.
#[derive(Clone)]
pub(crate) struct World {
    now: Arc<AtomicU64>,
    dice: Arc<Mutex<u64>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { now: Arc::new(AtomicU64::new(START.0)), dice: Arc::new(Mutex::new(0x9E37_79B9_7F4A_7C15)) }
    }

    pub(crate) fn driver(&self) -> Driver {
        let (now, dice) = (self.now.clone(), self.dice.clone());
        Driver {
            now: Arc::new(move || Timestamp(now.load(Ordering::SeqCst))),
            random: Arc::new(move |buffer| {
                let mut state = dice.lock().unwrap();
                for byte in buffer {
                    *state ^= *state << 13;
                    *state ^= *state >> 7;
                    *state ^= *state << 17;
                    *byte = (*state >> 32) as u8;
                }
            }),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.now.store(now.0, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        mqtt_addresses: vec!["backup.example:8883".to_owned()],
        authorities: vec![vec![7; 40]],
        timezone: "UTC".to_owned(),
        keep: Default::default(),
    }
}

pub(crate) fn by() -> By {
    By { actor: Actor::Operator("ada".to_owned()), peer: "192.0.2.1".to_owned() }
}

pub(crate) fn in_memory() -> (World, Fleet) {
    let world = World::new();
    let fleet = Fleet::in_memory(settings(), world.driver()).unwrap();
    (world, fleet)
}

pub(crate) fn credentials() -> CredentialsInput {
    CredentialsInput {
        url: "rest:https://box.example:8000/attic".to_owned(),
        username: Some("attic".to_owned()),
        password: Some(Secret::new("rest-password")),
        repo_password: Some(Secret::new("repo-password")),
        ca: None,
        host_keys: None,
        env: None,
    }
}

pub(crate) fn group(name: &str) -> Group {
    Group {
        name: name.to_owned(),
        includes: vec!["/etc".to_owned()],
        retry_max: 12,
        by_hand_days: 2,
        ..Group::default()
    }
}

/// Backs up `etc` each hour, on the hour.
pub(crate) fn hourly(name: &str) -> Schedule {
    Schedule {
        name: name.to_owned(),
        cron: "0 * * * *".to_owned(),
        timezone: "UTC".to_owned(),
        groups: vec!["etc".to_owned()],
        enabled: true,
        retry_max: 12,
        jitter_secs: 0,
    }
}

/// The backups that wait.
pub(crate) fn waiting(fleet: &Fleet) -> Vec<PendingRun> {
    let page = Page { limit: 500, cursor: None };
    fleet.read().unwrap().pending(&page).unwrap().items
}

/// All jobs of a host, newest first.
pub(crate) fn jobs(fleet: &Fleet, host: HostId) -> Vec<Job> {
    let filter = JobFilter { host: Some(host), ..JobFilter::default() };
    fleet.read().unwrap().jobs(&filter, &Page { limit: 500, cursor: None }).unwrap().items
}

/// What the audit calls these.
pub(crate) fn audited(fleet: &Fleet, action: &str) -> Vec<fleet::record::AuditEntry> {
    let filter = fleet::AuditFilter { action: Some(action.to_owned()), ..Default::default() };
    fleet.read().unwrap().audit(&filter, &Page { limit: 500, cursor: None }).unwrap().items
}

pub(crate) fn backup(group: &str) -> JobRequest {
    JobRequest::Backup { group: group.to_owned() }
}

/// An agent as the wire sees it.
pub(crate) struct Agent {
    pub(crate) fleet: Fleet,
    pub(crate) world: World,
    pub(crate) host: HostId,
    pub(crate) key: Key,
    pub(crate) key_id: u8,
    pub(crate) password: String,
    pub(crate) installation: InstallationId,
    pub(crate) boot_id: [u8; 16],
    pub(crate) version: &'static str,
    pub(crate) epoch: Epoch,
    pub(crate) stream: Stream,
    pub(crate) reports: ReportSeq,
    pub(crate) acked: ReportSeq,
    pub(crate) taken: CommandSeq,
    pub(crate) repo_revision: SlotRevision,
    /// How far its clock is ahead of the server's.
    pub(crate) ahead_ms: i64,
    pub(crate) abilities: Abilities,
    /// The highest of the server that it has heard of.
    pub(crate) incarnation: Incarnation,
    /// What it says that it has saved.
    pub(crate) saved: Vec<SavedGroup>,
}

/// A group of a forget: its name, the snapshots that lack something, and with whose else belong to it.
pub(crate) type Told = (String, Vec<String>, Vec<(String, String)>);

/// A command as it came, without its borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Run {
        seq: CommandSeq,
        job: JobId,
        kind: schema::JobKind,
        /// Of a forget.
        groups: Vec<Told>,
        /// Of a forget's first group: lacking ones, whole ones, as which snapshot it is right.
        told: Option<(Vec<String>, Vec<String>, Option<String>)>,
        /// Whose repository it is about, when it is another host's.
        for_host: Option<String>,
    },
    Cancel {
        seq: CommandSeq,
        job: JobId,
    },
    Config {
        seq: CommandSeq,
        slot: schema::Slot,
        revision: SlotRevision,
        for_job: Option<JobId>,
        repo_password: Option<String>,
        host_keys: String,
    },
}

/// Asks to be enrolled with the text of a token.
pub(crate) async fn enroll(
    fleet: &Fleet,
    text: &str,
    installation: InstallationId,
) -> Result<(HostId, String, Key, u8), String> {
    let mut buffer = [0; MAX_TOKEN_CHARS];
    let token = Token::parse(text, &mut buffer).map_err(|error| error.to_string())?;
    let request = EnrollRequest {
        installation,
        hostname: "attic.example",
        os: "Debian GNU/Linux 13",
        arch: "x86_64",
        agent_version: "0.1.0",
    };
    let mut room = [0; 1024];
    let topic = Topic::EnrollRequest(token.id);
    let sealed = envelope::seal(&token.key, 0, [1; 24], topic, &request, &mut room).unwrap();
    let answer = fleet.enroll(token.id, sealed, "198.51.100.7").await;
    let mut room = vec![0; answer.len()];
    let plain = Sealed::parse(&answer)
        .and_then(|sealed| sealed.open(&token.key, Topic::EnrollResponse(token.id), &mut room))
        .map_err(|error| error.to_string())?;
    match schema::decode::<EnrollResponse<'_>>(plain).unwrap() {
        EnrollResponse::Welcome { host, password, link_key, key_id, .. } => {
            Ok((host, password.to_owned(), Key::new(link_key), key_id))
        }
        EnrollResponse::Refused(reason) => Err(format!("{reason:?}")),
    }
}

impl Agent {
    /// A new host with its agent, not connected yet.
    pub(crate) async fn enrolled(world: &World, fleet: &Fleet, name: &str) -> Self {
        let (host, token) = fleet.create_host(name, vec![], by()).await.unwrap();
        Self::with_token(world, fleet, token.text.expose(), InstallationId(host.id.0)).await
    }

    pub(crate) async fn with_token(
        world: &World,
        fleet: &Fleet,
        text: &str,
        installation: InstallationId,
    ) -> Self {
        let (host, password, key, key_id) = enroll(fleet, text, installation).await.unwrap();
        Self {
            fleet: fleet.clone(),
            world: world.clone(),
            host,
            key,
            key_id,
            password,
            installation,
            boot_id: [3; 16],
            version: env!("CARGO_PKG_VERSION"),
            epoch: Epoch::ZERO,
            stream: Stream(77),
            reports: ReportSeq::ZERO,
            acked: ReportSeq::ZERO,
            taken: CommandSeq::ZERO,
            repo_revision: SlotRevision::ZERO,
            ahead_ms: 0,
            abilities: Abilities::FOR_OTHERS,
            incarnation: Incarnation::ZERO,
            saved: Vec::new(),
        }
    }

    /// A host that is connected and ready to back up its group `etc`.
    pub(crate) async fn ready(world: &World, fleet: &Fleet, name: &str) -> Self {
        let mut agent = Self::enrolled(world, fleet, name).await;
        fleet.put_credentials(agent.host, schema::Slot::Repo, credentials(), by()).await.unwrap();
        fleet.put_group(agent.host, None, group("etc"), by()).await.unwrap();
        agent.hello(&[]).await;
        agent.take_all();
        agent
            .report(ReportBody::ConfigApplied {
                slot: schema::Slot::Repo,
                revision: SlotRevision(1),
                refused: None,
            })
            .await;
        agent
    }

    /// Lists the snapshots of its repository: there are none from before.
    pub(crate) async fn lists_nothing(&mut self) {
        let job = self.fleet.dispatch(self.host, JobRequest::Snapshots, by()).await.unwrap();
        self.take_all();
        self.finish(job.id, Outcome::Succeeded, Summary::Snapshots { count: 0, left_out: 0 }).await;
    }

    /// The same of bytes as they are.
    pub(crate) fn seal_bytes(&self, topic: HostTopic, message: &[u8]) -> Vec<u8> {
        let mut room = vec![0; message.len() + envelope::OVERHEAD_BYTES];
        room[envelope::HEADER_BYTES..][..message.len()].copy_from_slice(message);
        let topic = Topic::Host(self.host, topic);
        envelope::seal_in_place(&self.key, self.key_id, [7; 24], topic, &mut room, message.len())
            .unwrap()
            .to_vec()
    }

    pub(crate) fn seal<T: serde::Serialize>(&self, topic: HostTopic, message: &T) -> Vec<u8> {
        let mut room = vec![0; 64 * 1024];
        let mut nonce = [0; 24];
        (self.world.driver().random)(&mut nonce);
        let topic = Topic::Host(self.host, topic);
        envelope::seal(&self.key, self.key_id, nonce, topic, message, &mut room).unwrap().to_vec()
    }

    pub(crate) fn open(&self, frame: &[u8]) -> Vec<u8> {
        self.open_of(HostTopic::Cmd, frame)
    }

    /// Its plan: whether its backups are held, and how many schedules it keeps alone.
    pub(crate) fn planned(&self) -> (bool, usize) {
        let plain = self.open_of(HostTopic::Plan, &self.fleet.plan(self.host).unwrap());
        let plan: schema::Plan<'_> = schema::decode(&plain).unwrap();
        (plan.backups_held, plan.schedules.iter().count())
    }

    pub(crate) fn open_of(&self, topic: HostTopic, frame: &[u8]) -> Vec<u8> {
        let mut room = vec![0; frame.len()];
        let topic = Topic::Host(self.host, topic);
        Sealed::parse(frame).unwrap().open(&self.key, topic, &mut room).unwrap().to_vec()
    }

    /// Connects anew.
    pub(crate) async fn hello(&mut self, held: &[HeldJob]) -> Handled {
        self.epoch = self.epoch.next();
        let payload = self.hello_bytes(held);
        let handled = self.fleet.handle_presence(self.host, &payload, "198.51.100.7:5000").await.unwrap();
        self.take_ack(&handled);
        handled
    }

    pub(crate) fn hello_bytes(&self, held: &[HeldJob]) -> Vec<u8> {
        let (mut room, mut groups) = ([0; 1024], [0; 1024]);
        let hello = Hello {
            epoch: self.epoch,
            stream: self.stream,
            boot_id: self.boot_id,
            installation: self.installation,
            agent_version: self.version,
            restic_version: "0.18.0",
            os: "Debian GNU/Linux 13",
            arch: "x86_64",
            hostname: "attic.example",
            jobs: Items::write(held, &mut room).unwrap(),
            taken: self.taken,
            first_unacked: self.acked.next(),
            last_report: self.reports,
            plan_revision: PlanRevision::ZERO,
            repo_revision: self.repo_revision,
            state_free_bytes: 1 << 30,
            at: self.clock(),
            abilities: self.abilities,
            incarnation: self.incarnation,
            saved: Items::write(self.saved.iter().copied(), &mut groups).unwrap(),
            address: "backup.example:8883",
            trusts: Items::EMPTY,
        };
        self.seal(HostTopic::Presence, &Presence::Hello(hello))
    }

    /// The same as an agent of an earlier development state says it.
    pub(crate) fn earlier_hello_bytes(&self) -> Vec<u8> {
        let begin = (0_u8, self.epoch, self.stream, self.boot_id, self.installation);
        let words = (self.version, "0.18.0", "Debian GNU/Linux 13", "x86_64", "attic.example");
        let counts = (Items::<HeldJob>::EMPTY, self.taken, self.acked.next(), self.reports);
        let held = (PlanRevision::ZERO, self.repo_revision, 1_u64 << 30, self.clock());
        self.seal(HostTopic::Presence, &(begin, words, counts, held))
    }

    /// The connection of this epoch ends.
    pub(crate) async fn gone(&self, epoch: Epoch) {
        let payload = self.seal(HostTopic::Presence, &Presence::Gone { epoch, clean: false });
        self.fleet.handle_presence(self.host, &payload, "").await.unwrap();
    }

    pub(crate) fn take_ack(&mut self, handled: &Handled) {
        let Some(reply) = &handled.reply else { return };
        let plain = self.open(reply);
        let Ok(ToAgent::Ack { stream, through, answer, .. }) = schema::decode(&plain) else {
            panic!("not an ack")
        };
        self.incarnation = answer.map_or(self.incarnation, |answer| self.incarnation.max(answer.incarnation));
        if stream == self.stream {
            self.acked = self.acked.max(through);
        }
    }

    /// Takes everything that waits for it.
    pub(crate) fn take_all(&mut self) -> Vec<Got> {
        let frames = self.fleet.commands_after(self.host, self.taken, usize::MAX);
        frames.into_iter().map(|(seq, frame)| self.take(seq, &frame)).collect()
    }

    pub(crate) fn take(&mut self, seq: CommandSeq, frame: &[u8]) -> Got {
        let plain = self.open(frame);
        let Ok(ToAgent::Command(command)) = schema::decode(&plain) else { panic!("not a command") };
        assert_eq!(command.seq, seq);
        self.taken = self.taken.max(seq);
        let got = got(&command);
        if let Got::Config { slot: schema::Slot::Repo, revision, .. } = got {
            self.repo_revision = revision;
        }
        got
    }

    pub(crate) fn is_run(&self, frame: &[u8]) -> bool {
        let plain = self.open(frame);
        matches!(schema::decode(&plain), Ok(ToAgent::Command(Command { body: CommandBody::Run(_), .. })))
    }

    pub(crate) fn report_bytes(&self, seq: ReportSeq, body: ReportBody<'_>) -> Vec<u8> {
        self.report_of(seq, self.taken, body)
    }

    /// A report that was written when commands up to `taken` had been taken.
    pub(crate) fn report_of(&self, seq: ReportSeq, taken: CommandSeq, body: ReportBody<'_>) -> Vec<u8> {
        let report = Report { stream: self.stream, seq, taken, at: self.clock(), body };
        self.seal(HostTopic::Evt, &report)
    }

    /// Writes and sends the next report.
    pub(crate) async fn report(&mut self, body: ReportBody<'_>) -> Handled {
        self.reports = self.reports.next();
        let payload = self.report_bytes(self.reports, body);
        let handled = self.fleet.handle_report(self.host, &payload, "198.51.100.7:5000").await.unwrap();
        self.take_ack(&handled);
        handled
    }

    pub(crate) async fn stats(&self, stats: RepoStats<'_>) {
        self.fleet.handle_stats(self.host, &self.seal(HostTopic::RepoStats, &stats)).await.unwrap();
    }

    pub(crate) fn live(&self, live: Live<'_>) {
        self.fleet.handle_live(self.host, &self.seal(HostTopic::Live, &live));
    }

    pub(crate) async fn finish(&mut self, job: JobId, outcome: Outcome, summary: Summary<'_>) {
        self.report(ReportBody::Finished(finished(job, outcome, self.clock(), summary))).await;
    }

    /// Takes what waits for it and runs the backups among it to their end; returns how many.
    pub(crate) async fn run_what_waits(&mut self, outcome: Outcome) -> usize {
        let mut count = 0;
        for got in self.take_all() {
            let Got::Run { job, .. } = got else { continue };
            self.report(ReportBody::Accepted { job, behind: 0 }).await;
            self.report(ReportBody::Started { job }).await;
            let summary = if outcome == Outcome::Failed { Summary::None } else { saved() };
            self.finish(job, outcome, summary).await;
            count += 1;
        }
        count
    }

    /// Runs a backup to its end.
    pub(crate) async fn back_up(&mut self, group: &str, outcome: Outcome) -> Job {
        let summary = if outcome == Outcome::Failed { Summary::None } else { saved() };
        self.back_up_as(group, outcome, summary).await
    }

    /// A backup with these figures.
    pub(crate) async fn back_up_as(&mut self, group: &str, outcome: Outcome, summary: Summary<'_>) -> Job {
        let job = self.fleet.dispatch(self.host, backup(group), by()).await.unwrap();
        self.take_all();
        self.report(ReportBody::Accepted { job: job.id, behind: 0 }).await;
        self.report(ReportBody::Started { job: job.id }).await;
        self.finish(job.id, outcome, summary).await;
        self.job(job.id)
    }

    /// The time by its own clock.
    pub(crate) fn clock(&self) -> Timestamp {
        Timestamp(self.world.now().0.saturating_add_signed(self.ahead_ms))
    }

    pub(crate) fn job(&self, job: JobId) -> Job {
        self.fleet.read().unwrap().job(job).unwrap().unwrap()
    }

    pub(crate) fn record(&self) -> Host {
        self.fleet.read().unwrap().host(self.host).unwrap().unwrap()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.fleet.commands_after(self.host, CommandSeq::ZERO, usize::MAX).len()
    }
}

/// The figures of a backup that made a snapshot.
pub(crate) fn saved() -> Summary<'static> {
    Summary::Backup(schema::job::BackupSummary {
        snapshot: "5140bcb5",
        files_new: 1,
        files_changed: 0,
        files_unmodified: 0,
        total_files: 1,
        total_bytes: 1,
        added_bytes: 1,
        added_packed_bytes: None,
        errors: 0,
        findings: Items::EMPTY,
        findings_left_out: 0,
    })
}

pub(crate) fn finished(job: JobId, outcome: Outcome, at: Timestamp, summary: Summary<'_>) -> Finished<'_> {
    let class = (outcome == Outcome::Failed).then_some(schema::Class::Network);
    Finished {
        job,
        outcome,
        class,
        exit_code: Some(0),
        started_at: Some(at),
        finished_at: at,
        message: "",
        log_lines: 0,
        summary,
        kind: None,
        group: None,
    }
}

fn told(group: &schema::job::ForgetGroup<'_>) -> Told {
    let origins = group.origins.iter().map(|origin| (origin.hostname.to_owned(), origin.tag.to_owned()));
    (group.group.to_owned(), group.lacking.iter().map(str::to_owned).collect(), origins.collect())
}

fn got(command: &Command<'_>) -> Got {
    let seq = command.seq;
    match command.body {
        CommandBody::Run(run) => {
            let groups = match run.spec {
                schema::JobSpec::Forget { groups, .. } => groups.iter().map(|group| told(&group)).collect(),
                _ => Vec::new(),
            };
            let first = match &run.spec {
                schema::JobSpec::Forget { groups, .. } => groups.iter().next(),
                _ => None,
            };
            let list = |items: Items<'_, &str>| items.iter().map(str::to_owned).collect();
            let told = first.map(|group| {
                (list(group.lacking), list(group.whole), group.right.map(|right| right.snapshot.to_owned()))
            });
            let for_host = run.for_host.map(str::to_owned);
            Got::Run { seq, job: run.job, kind: run.spec.kind(), groups, told, for_host }
        }
        CommandBody::Cancel { job } => Got::Cancel { seq, job },
        CommandBody::ConfigUpdate(update) => Got::Config {
            seq,
            slot: update.slot,
            revision: update.revision,
            for_job: update.for_job,
            repo_password: update.credentials.map(|credentials| credentials.repo_password.to_owned()),
            host_keys: update.credentials.map_or_else(String::new, |it| it.host_keys.to_owned()),
        },
    }
}
