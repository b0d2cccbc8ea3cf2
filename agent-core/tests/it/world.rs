//! A server, a disk, a network and a restic, all small enough to be believed, around one core.

use agent_core::{Body, Cause, Core, Effect, Monotonic, Now, Record, Safety, Saved, Start, Stored};
use schema::{
    Class, Command, CommandBody, CommandSeq, ConfigUpdate, Credentials, HelloAnswer, Incarnation, Items,
    JobId, JobKind, JobSpec, OsText, Outcome, Refusal, ReportSeq, Run, Slot, SlotRevision, Stream, Timestamp,
    ToAgent, job::BackupSpec, report::Trouble,
};
use std::collections::{BTreeMap, VecDeque};

const STREAM: Stream = Stream(77);
const SKIPPED: u64 = 16;

/// What the server sends, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Run {
        seq: CommandSeq,
        job: JobId,
        expires_at: Timestamp,
        deadline_secs: u32,
        kind: JobKind,
        for_host: Option<&'static str>,
    },
    Cancel {
        seq: CommandSeq,
        job: JobId,
    },
    Config {
        seq: CommandSeq,
        slot: Slot,
        revision: SlotRevision,
        for_job: Option<JobId>,
        filled: bool,
    },
    Ack {
        through: ReportSeq,
    },
}

impl Sent {
    pub(crate) fn seq(&self) -> Option<CommandSeq> {
        match self {
            Self::Run { seq, .. } | Self::Cancel { seq, .. } | Self::Config { seq, .. } => Some(*seq),
            Self::Ack { .. } => None,
        }
    }
}

/// What the agent sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Hello { taken: CommandSeq },
    Report { seq: ReportSeq, taken: CommandSeq, body: Option<Body> },
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) next_seq: CommandSeq,
    pub(crate) outbox: BTreeMap<CommandSeq, Sent>,
    /// Committed reports, in order, with their `taken`; `None` = dropped.
    pub(crate) reports: BTreeMap<ReportSeq, (CommandSeq, Option<Body>)>,
    pub(crate) runs: Vec<JobId>,
}

impl Server {
    /// What the committed reports say.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = Body> + '_ {
        self.reports.values().filter_map(|(_, body)| *body)
    }

    fn through(&self) -> ReportSeq {
        (1..).map(ReportSeq).take_while(|seq| self.reports.contains_key(seq)).last().unwrap_or_default()
    }
}

/// Where a crash happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Before,
    After,
}

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Now,
    pub(crate) server: Server,
    pub(crate) to_agent: VecDeque<Sent>,
    pub(crate) to_server: VecDeque<Said>,
    pub(crate) connected: bool,
    /// The job that runs, and the download beside it.
    pub(crate) executing: Option<JobId>,
    pub(crate) downloading: Option<JobId>,
    pub(crate) kinds: BTreeMap<JobId, JobKind>,
    /// Of the job that was started last, whether it was told to end.
    pub(crate) interrupted: bool,
    pub(crate) killed: bool,
    pub(crate) download_is_interrupted: bool,
    pub(crate) executed: BTreeMap<JobId, u32>,
    pub(crate) progress_sent: u32,
    pub(crate) exited: bool,
    pub(crate) persists: u64,
    pub(crate) crash_at: Option<(u64, Crash)>,
    pub(crate) disk_fails: bool,
    pub(crate) refuses_other_hosts: bool,
    /// Whether the server's answer to a hello tells the time.
    pub(crate) tells_time: bool,
    /// Of the server.
    pub(crate) incarnation: Incarnation,
    /// How far the machine's clock is ahead of the server's.
    pub(crate) clock_off_ms: i64,
    /// The disk takes nothing from this record on.
    pub(crate) disk_fails_at: Option<u64>,
    disk_failed: bool,
    disk: Vec<Record>,
    memory: Vec<Record>,
    filled: [(SlotRevision, bool); 2],
    base: Saved,
    skipped: Vec<(ReportSeq, ReportSeq)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Now { mono: Monotonic(1), wall: Timestamp(1_000_000) };
        let mut world = Self {
            core: Core::new(Start { saved: Saved::new(STREAM), seed: 1, trouble: None }, now),
            now,
            server: Server { next_seq: CommandSeq(1), ..Server::default() },
            to_agent: VecDeque::new(),
            to_server: VecDeque::new(),
            connected: false,
            executing: None,
            downloading: None,
            kinds: BTreeMap::new(),
            interrupted: false,
            killed: false,
            download_is_interrupted: false,
            executed: BTreeMap::new(),
            progress_sent: 0,
            exited: false,
            persists: 0,
            crash_at: None,
            disk_fails: false,
            refuses_other_hosts: false,
            tells_time: true,
            incarnation: Incarnation::ZERO,
            clock_off_ms: 0,
            disk_fails_at: None,
            disk_failed: false,
            disk: Vec::new(),
            memory: Vec::new(),
            filled: [(SlotRevision(1), true), (SlotRevision::ZERO, false)],
            base: Saved::new(STREAM),
            skipped: Vec::new(),
        };
        world.restart();
        world
    }

    /// The agent is gone without a word and comes back with what is on disk.
    pub(crate) fn restart(&mut self) {
        let mut saved = self.base.clone();
        for record in &self.disk {
            saved.apply(record);
        }
        // As the driver's journal does after an unclean end.
        if self.persists > 0 {
            self.skipped.push((saved.last_report.next(), saved.last_report.plus(SKIPPED)));
            saved.last_report = saved.last_report.plus(SKIPPED);
            saved.epoch = saved.epoch.plus(1024);
        }
        self.base.last_report = saved.last_report;
        self.base.epoch = saved.epoch;
        for (slot, (revision, filled)) in saved.slots.iter_mut().zip(self.filled) {
            slot.revision = revision;
            slot.filled = filled;
        }
        self.memory.clear();
        self.cut();
        (self.executing, self.downloading) = (None, None);
        self.core = Core::new(Start { saved, seed: self.persists, trouble: None }, self.now);
        self.drain();
    }

    /// The connection breaks; what is under way is lost.
    pub(crate) fn cut(&mut self) {
        self.to_agent.clear();
        self.to_server.clear();
        if self.connected {
            self.connected = false;
            self.core.handle_disconnected(self.now);
        }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.now.wall = self.now.wall.plus_ms(ms);
        self.core.handle_tick(self.now);
        self.drain();
    }

    /// Jumps to the next wake-up.
    pub(crate) fn wake(&mut self) {
        if let Some(wake) = self.core.next_wake() {
            let ms = wake.at.ms_since(self.now.mono);
            self.pass(ms.min(3_600_000));
        }
    }

    pub(crate) fn command(&mut self, make: impl FnOnce(CommandSeq) -> Sent) {
        let seq = self.server.next_seq;
        self.server.next_seq = seq.next();
        let sent = make(seq);
        if let Sent::Run { job, .. } = sent {
            self.server.runs.push(job);
        }
        self.server.outbox.insert(seq, sent.clone());
        if self.connected {
            self.to_agent.push_back(sent);
        }
    }

    pub(crate) fn order_run(&mut self, deadline_secs: u32, unlock: bool) -> JobId {
        self.order(deadline_secs, if unlock { JobKind::Unlock } else { JobKind::Stats })
    }

    pub(crate) fn order(&mut self, deadline_secs: u32, kind: JobKind) -> JobId {
        self.order_for(deadline_secs, kind, None)
    }

    /// A job on the repository of another host, after the credentials for it.
    pub(crate) fn order_for_other(&mut self) -> JobId {
        let for_job = Some(job_id(self.server.runs.len()));
        let (slot, revision) = (Slot::Repo, SlotRevision(6));
        self.command(|seq| Sent::Config { seq, slot, revision, for_job, filled: true });
        self.order_for(0, JobKind::Stats, Some("attic"))
    }

    pub(crate) fn order_for(
        &mut self,
        deadline_secs: u32,
        kind: JobKind,
        for_host: Option<&'static str>,
    ) -> JobId {
        let job = job_id(self.server.runs.len());
        let expires_at = self.server_now().plus_ms(24 * 3_600_000);
        self.command(|seq| Sent::Run { seq, job, expires_at, deadline_secs, kind, for_host });
        let _ = self.kinds.insert(job, kind);
        job
    }

    pub(crate) fn order_cancel(&mut self, job: JobId) {
        self.command(|seq| Sent::Cancel { seq, job });
    }

    /// Hands the agent the message at `index`; with `keep` it stays and comes again.
    pub(crate) fn deliver(&mut self, index: usize, keep: bool) {
        let Some(sent) = self.to_agent.get(index).cloned() else { return };
        if !keep {
            self.to_agent.remove(index);
        }
        self.hand(&sent);
    }

    /// Whether the message at `index` is a command that is to be taken after another one.
    pub(crate) fn is_too_early(&self, index: usize) -> bool {
        let seq = self.to_agent.get(index).and_then(Sent::seq);
        seq.is_some_and(|seq| seq > self.core.saved().taken.next())
    }

    fn hand(&mut self, sent: &Sent) {
        let empty = Credentials {
            url: "",
            username: "",
            password: "",
            repo_password: "",
            ca: "",
            host_keys: "",
            env: Items::EMPTY,
        };
        let command = |seq, expires_at, body| ToAgent::Command(Command { seq, expires_at, body });
        let message = match sent.clone() {
            Sent::Run { seq, job, expires_at, deadline_secs, kind, for_host } => {
                let path = OsText::new(b"/a");
                let spec = match kind {
                    JobKind::Unlock => JobSpec::Unlock { all: false },
                    JobKind::Prune => JobSpec::Prune { dry_run: false },
                    JobKind::Download => JobSpec::Download { snapshot: "5b1e2f00", path, archive: false },
                    JobKind::Backup => JobSpec::Backup(BackupSpec {
                        group: "etc",
                        includes: Items::EMPTY,
                        excludes: Items::EMPTY,
                        exclude_if_present: Items::EMPTY,
                        one_file_system: false,
                        required_mounts: Items::EMPTY,
                        hooks_before: Items::EMPTY,
                        hooks_after: Items::EMPTY,
                        dry_run: false,
                        origins: Items::EMPTY,
                    }),
                    _ => JobSpec::Stats,
                };
                let run = Run { job, restic_host: "h", deadline_secs, spec, for_host };
                command(seq, expires_at, CommandBody::Run(run))
            }
            Sent::Cancel { seq, job } => command(seq, Timestamp(u64::MAX), CommandBody::Cancel { job }),
            Sent::Config { seq, slot, revision, for_job, filled } => {
                let credentials = filled.then_some(empty);
                let update = ConfigUpdate { slot, revision, for_job, credentials };
                command(seq, Timestamp(u64::MAX), CommandBody::ConfigUpdate(update))
            }
            Sent::Ack { through } => ToAgent::Ack { stream: STREAM, through, answer: None, refused: None },
        };
        self.core.handle_message(&message, self.now).expect("the world drains the core after each input");
        self.drain();
    }

    /// Hands the server the message at `index`.
    pub(crate) fn receive(&mut self, index: usize, keep: bool) {
        let Some(said) = self.to_server.get(index).cloned() else { return };
        if !keep {
            self.to_server.remove(index);
        }
        match said {
            Said::Hello { taken } => {
                self.server.outbox.retain(|seq, _| *seq > taken);
                let resent: Vec<Sent> = self.server.outbox.values().cloned().collect();
                self.to_agent.retain(|sent| sent.seq().is_none());
                self.to_agent.extend(resent);
            }
            Said::Report { seq, taken, body } => match self.server.reports.get(&seq) {
                // Too early: it comes again behind what is missing.
                None if seq > self.server.through().next() => {}
                None => {
                    self.server.reports.insert(seq, (taken, body));
                }
                Some((_, Some(known))) => {
                    let is_same = body.is_none_or(|body| body == *known);
                    assert!(is_same, "number {seq} was used twice: {known:?}, {body:?}");
                }
                Some((_, None)) => {
                    assert!(body.is_none(), "number {seq} was said to be dropped and then used for {body:?}");
                }
            },
        }
        let through = self.server.through();
        let taken =
            self.server.reports.range(..=through).map(|(_, (taken, _))| *taken).max().unwrap_or_default();
        self.server.outbox.retain(|seq, _| *seq > taken);
        if self.connected {
            self.to_agent.push_back(Sent::Ack { through });
        }
    }

    pub(crate) fn end_job(&mut self, outcome: Outcome, class: Option<Class>) {
        if let Some(job) = self.executing.take() {
            self.core.handle_ended(job, outcome, class, self.now);
            self.drain();
        }
    }

    pub(crate) fn end_download(&mut self, outcome: Outcome, class: Option<Class>) {
        if let Some(job) = self.downloading.take() {
            self.core.handle_ended(job, outcome, class, self.now);
            self.drain();
        }
    }

    pub(crate) fn write_chunk(&mut self) {
        for job in self.executing.into_iter().chain(self.downloading) {
            self.core.handle_chunk(job, true, self.now).expect("drained");
            self.drain();
        }
    }

    pub(crate) fn progress(&mut self) {
        for job in self.executing.into_iter().chain(self.downloading) {
            self.core.handle_progress(job, self.now);
        }
        self.drain();
    }

    fn is_download(&self, job: JobId) -> bool {
        self.kinds.get(&job) == Some(&JobKind::Download)
    }

    pub(crate) fn drain(&mut self) {
        let mut steps = 0;
        while let Some(effect) = self.core.poll_effect() {
            steps += 1;
            assert!(steps < 10_000, "the core never rests: {effect:?}");
            self.carry_out(effect);
        }
    }

    /// The server's time comes at once after a hello, with an ack that says nothing else.
    pub(crate) fn tell_time(&mut self) {
        let (epoch, at, incarnation) = (self.core.saved().epoch, self.server_now(), self.incarnation);
        let answer = self.tells_time.then_some(HelloAnswer { epoch, at, incarnation });
        let ack =
            ToAgent::Ack { stream: Stream(STREAM.0 + 1), through: ReportSeq::ZERO, answer, refused: None };
        self.core.handle_message(&ack, self.now).expect("an ack never waits");
        self.drain();
    }

    fn server_now(&self) -> Timestamp {
        Timestamp(self.now.wall.0.saturating_add_signed(-self.clock_off_ms))
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Persist(record) => self.persist(record),
            Effect::StoreSlot { slot, revision, for_job } => {
                let is_stored = for_job.is_none() && slot == Slot::Repo;
                let is_of_other = for_job.is_some() && slot == Slot::Repo;
                let result = match () {
                    () if self.disk_fails && is_stored => Err(Refusal::StateFolder),
                    () if self.refuses_other_hosts && is_of_other => Err(Refusal::Policy),
                    () => Ok(()),
                };
                if result.is_ok() && is_stored {
                    self.filled[slot as usize] = (revision, true);
                }
                self.core.handle_slot_stored(result, self.now);
            }
            Effect::Connect { .. } => {
                self.connected = true;
                self.core.handle_connected(self.now);
            }
            Effect::Disconnect | Effect::Superseded { .. } | Effect::Gone { .. } => {
                self.connected = false;
                self.to_agent.clear();
                self.to_server.clear();
            }
            Effect::Hello => {
                self.to_server.push_back(Said::Hello { taken: self.core.taken_safely() });
                self.tell_time();
            }
            Effect::Report { seq } => {
                let record = self
                    .disk
                    .iter()
                    .chain(&self.memory)
                    .find(|record| record.report.is_some_and(|(number, _)| number == seq));
                let is_skipped = self.skipped.iter().any(|(from, to)| (*from..=*to).contains(&seq));
                assert!(record.is_some() || is_skipped, "report {seq} is nowhere");
                let said = match record {
                    Some(record) => {
                        Said::Report { seq, taken: record.taken, body: record.report.map(|(_, body)| body) }
                    }
                    None => Said::Report { seq, taken: self.core.taken_safely(), body: None },
                };
                self.to_server.push_back(said);
            }
            Effect::Progress { .. } => self.progress_sent += 1,
            Effect::Start { job } => {
                let is_down =
                    self.disk.iter().any(|record| record.change == agent_core::Change::Started(job));
                assert!(is_down, "{job} is started before that is on disk");
                *self.executed.entry(job).or_default() += 1;
                if self.is_download(job) {
                    assert_eq!(self.downloading, None, "two downloads at a time");
                    (self.downloading, self.download_is_interrupted) = (Some(job), false);
                } else {
                    assert_eq!(self.executing, None, "two jobs at a time");
                    (self.executing, self.interrupted, self.killed) = (Some(job), false, false);
                }
                let is_prune = |job: JobId| self.kinds.get(&job) == Some(&JobKind::Prune);
                assert!(
                    self.downloading.is_none() || !self.executing.is_some_and(is_prune),
                    "a prune beside a download"
                );
            }
            Effect::Interrupt { job } if self.is_download(job) => {
                assert_eq!(self.downloading, Some(job));
                self.download_is_interrupted = true;
            }
            Effect::Interrupt { job } => {
                assert_eq!(self.executing, Some(job));
                self.interrupted = true;
            }
            Effect::Kill { job } if self.is_download(job) => assert_eq!(self.downloading, Some(job)),
            Effect::Kill { job } => {
                assert_eq!(self.executing, Some(job));
                self.killed = true;
            }
            Effect::RetryStore => {
                if !self.disk_fails {
                    self.disk.append(&mut self.memory);
                    self.core.handle_store_works(self.now);
                }
            }
            Effect::Exit => self.exited = true,
        }
    }

    fn persist(&mut self, record: Record) {
        self.persists += 1;
        self.disk_fails |= self.disk_fails_at == Some(self.persists);
        self.disk_failed |= self.disk_fails;
        let crash = self.crash_at.filter(|(at, _)| *at == self.persists).map(|(_, crash)| crash);
        if crash == Some(Crash::Before) {
            return self.restart();
        }
        let stored = if self.disk_fails || !self.memory.is_empty() {
            let has_room = record.report.is_none()
                || self.memory.iter().filter(|record| record.report.is_some()).count() < SKIPPED as usize;
            if record.safety == Safety::Kept && has_room {
                self.memory.push(record);
                Stored::InMemory
            } else {
                Stored::Not
            }
        } else {
            self.disk.push(record);
            Stored::OnDisk
        };
        if crash == Some(Crash::After) {
            return self.restart();
        }
        self.core.handle_stored(stored, self.now);
    }

    /// From now on everything works: plays on until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        self.disk_fails = false;
        self.disk_fails_at = None;
        self.crash_at = None;
        self.cut();
        for _ in 0..20_000 {
            self.drain();
            if !self.to_agent.is_empty() {
                self.deliver(0, false);
            } else if !self.to_server.is_empty() {
                self.receive(0, false);
            } else if self.executing.is_some() {
                self.end_job(Outcome::Succeeded, None);
            } else if self.downloading.is_some() {
                self.end_download(Outcome::Succeeded, None);
            } else if self.is_settled() {
                return;
            } else {
                self.wake();
            }
        }
        panic!("stuck: outbox {:?}, saved {:?}", self.server.outbox, self.core.saved());
    }

    fn is_settled(&self) -> bool {
        let saved = self.core.saved();
        self.connected
            && self.server.outbox.is_empty()
            && saved.held.is_empty()
            && saved.acked == saved.last_report
            && !self.core.store_fails()
    }

    /// What must be true of every history once it has settled.
    pub(crate) fn check(&self) {
        assert_eq!(self.core.taken_safely(), self.core.saved().taken, "a hello claims less than is true");
        for &job in &self.server.runs {
            let executed = self.executed.get(&job).copied().unwrap_or(0);
            assert!(executed <= 1, "{job} ran {executed} times");
            let mut endings: Vec<Body> = self.endings(job);
            if self.disk_failed {
                // An answer that was sent from memory and lost with it may be given again; the server keeps the first.
                // What it was told is refused must not run, and what ran must not be said to be refused.
                let rest = endings.split_off(endings.len().min(1));
                let is_again = |body: &Body| match body {
                    Body::Finished { cause: Cause::Restarted, .. } => executed == 1,
                    Body::Refused { .. } => executed == 0,
                    _ => false,
                };
                assert!(rest.iter().all(is_again), "{job} ended with {endings:?}, then {rest:?}");
            }
            assert_eq!(endings.len(), 1, "{job} (ran {executed} times) ended with {endings:?}");
            match endings[0] {
                Body::Finished { cause: Cause::Ran { .. }, .. } => assert_eq!(executed, 1, "{job}"),
                Body::Finished { cause: Cause::Restarted, .. } => {}
                _ => assert_eq!(executed, 0, "{job} ran and is said not to have: {:?}", endings[0]),
            }
        }
    }

    /// What the server was told of the agent itself, in order.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let trouble = |body: Body| if let Body::Trouble(trouble) = body { Some(trouble) } else { None };
        self.server.bodies().filter_map(trouble).collect()
    }

    /// The reports that ended a job, as the server has them.
    pub(crate) fn endings(&self, job: JobId) -> Vec<Body> {
        let is_ending = |body: &Body| match body {
            Body::Finished { job: ended, .. } => *ended == job,
            Body::Refused { job: refused, reason } => *refused == job && *reason != Refusal::AlreadyStarted,
            _ => false,
        };
        self.server.bodies().filter(is_ending).collect()
    }
}

pub(crate) fn job_id(number: usize) -> JobId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&(number as u64).to_be_bytes());
    JobId::new(Timestamp(1), random)
}
