//! The agent: the real core, and around it what the agent program does with its effects.

use crate::journal::{Journal, is_expendable};
use crate::server::Login;
use crate::wire::Up;
use agent_core::{Body, Cause, Change, Core, Effect, Monotonic, Now, Record, SlotState, Start, Stored};
use agent_linux::{
    offline_plan::{self, DueBackup},
    plan::KeptPlan,
};
use schema::envelope::{self, Sealed};
use schema::job::BackupSummary;
use schema::limits::MAX_MESSAGE_BYTES;
use schema::report::Finished;
use schema::{
    Class, CommandBody, CommandSeq, Epoch, GroupKey, Hello, HostTopic, InstallationId, Items, JobId, JobKind,
    JobSpec, Live, LogLine, LogStream, Outcome, PlanRevision, Presence, Progress, Refusal, Report,
    ReportBody, ReportSeq, Slot, SlotRevision, Stream, Summary, Timestamp, ToAgent, Topic,
};
use std::collections::BTreeMap;

/// How long lines wait for their chunk, in milliseconds.
const CHUNK_AFTER_MS: u64 = 10_000;

/// What restic would do with a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) runs_ms: u64,
    pub(crate) line_every_ms: u64,
    pub(crate) outcome: Outcome,
    /// Does not listen to an interrupt.
    pub(crate) is_stubborn: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self { runs_ms: 30_000, line_every_ms: 4_000, outcome: Outcome::Succeeded, is_stubborn: false }
    }
}

/// What a backup says when it ended well.
const SAVED: BackupSummary<'_> = BackupSummary {
    snapshot: "5140bcb5",
    files_new: 1,
    files_changed: 0,
    files_unmodified: 9,
    total_files: 10,
    total_bytes: 1_000,
    added_bytes: 100,
    added_packed_bytes: None,
    errors: 0,
    findings: Items::EMPTY,
    findings_left_out: 0,
};

/// What truly became of a job at the agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) started: u32,
    /// When it was started last, truly.
    pub(crate) began_at: u64,
    /// Ends that were written down, in order.
    pub(crate) ends: Vec<(Outcome, Option<Class>)>,
    /// Refusals that were written down.
    pub(crate) refused: Vec<Refusal>,
    /// Lines whose chunk was written down.
    pub(crate) lines_written: u32,
    /// Lines that restic said.
    pub(crate) lines_said: u32,
    /// Lines that the journal gave up.
    pub(crate) lines_given_up: u32,
    /// The state folder was lost before the server knew its end for certain.
    pub(crate) forgotten: bool,
    /// It was touched while the disk took nothing: what was said of it from memory may be said anew after a crash.
    pub(crate) on_bad_disk: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Before,
    After,
}

/// What the agent wants of the network.
#[derive(Debug)]
pub(crate) enum Out {
    Connect {
        will: Vec<u8>,
    },
    Send(Up),
    /// Gives the connection up without a word.
    Drop,
}

#[derive(Clone, Default)]
struct SlotFile {
    state: SlotState,
    password: Option<String>,
}

struct Running {
    job: JobId,
    script: Script,
    ends_at: u64,
    started_at: Timestamp,
    next_line_at: u64,
    lines: u32,
    waiting_from: u32,
    waiting_since: Option<u64>,
    is_cut_short: bool,
}

/// All that a crash of the agent takes with it.
struct Process {
    core: Core,
    password_at_hand: Option<String>,
    chunk: Option<(u32, u32)>,
    details: Option<(JobId, u32, Option<Timestamp>)>,
    job: Option<Running>,
}

pub(crate) struct Agent {
    /// Commands that wait for the server's time.
    put_off: Vec<(Vec<u8>, u16)>,
    login: Login,
    nonces: u64,
    streams: u64,
    pub(crate) journal: Journal,
    slots: [SlotFile; 2],
    process: Option<Process>,
    now: Now,
    pub(crate) out: Vec<Out>,
    pub(crate) scripts: BTreeMap<JobId, Script>,
    /// What restic does with all other jobs.
    pub(crate) usual: Script,
    pub(crate) fates: BTreeMap<JobId, Fate>,
    /// Crashes at the n-th thing that is written down from now on.
    pub(crate) crash_at: Option<(u32, Crash)>,
    is_stopping: bool,
    plan: KeptPlan,
    due_at_hand: Option<DueBackup>,
    /// Since when there is no connection, and when to look for what is due.
    away_since: Option<u64>,
    look_at: u64,
    /// The backups that it began by itself, with their occurrences.
    pub(crate) own: Vec<(JobId, DueBackup)>,
    /// Which source group each backup was to save that a server has asked for.
    pub(crate) asked: BTreeMap<JobId, String>,
}

impl Agent {
    pub(crate) fn new(login: Login, now: Now) -> Self {
        let mut agent = Self {
            put_off: Vec::new(),
            login,
            nonces: 0,
            streams: 100,
            journal: Journal::new(Stream(100), fresh_epoch(now)),
            slots: <[SlotFile; 2]>::default(),
            process: None,
            now,
            out: Vec::new(),
            scripts: BTreeMap::new(),
            usual: Script::default(),
            fates: BTreeMap::new(),
            crash_at: None,
            is_stopping: false,
            plan: KeptPlan::default(),
            due_at_hand: None,
            away_since: Some(now.mono.0),
            look_at: now.mono.0,
            own: Vec::new(),
            asked: BTreeMap::new(),
        };
        agent.start();
        agent
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// It was told to end and has not yet.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping && self.process.is_some()
    }

    pub(crate) fn core(&self) -> Option<&Core> {
        self.process.as_ref().map(|process| &process.core)
    }

    pub(crate) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        let mut saved = self.journal.open();
        for (slot, file) in saved.slots.iter_mut().zip(&self.slots) {
            *slot = file.state;
        }
        self.nonces += 1;
        let core = Core::new(Start { saved, seed: self.nonces, trouble: None }, self.now);
        self.is_stopping = false;
        self.process = Some(Process { core, password_at_hand: None, chunk: None, details: None, job: None });
        self.drain();
    }

    pub(crate) fn crash(&mut self) {
        self.note_away();
        self.process = None;
        self.crash_at = None;
        self.out.retain(|out| !matches!(out, Out::Connect { .. }));
        self.out.push(Out::Drop);
    }

    /// Stops in order: what runs is interrupted first.
    pub(crate) fn shut_down(&mut self) {
        let now = self.now;
        self.is_stopping = true;
        self.input(|core| core.handle_shutdown(now));
    }

    /// The journal is gone, perhaps with the credentials; the machine may be enrolled anew.
    pub(crate) fn lose_state(&mut self, with_slots: bool, login: Option<Login>) {
        self.crash();
        for job in self.journal.would_forget() {
            self.fates.entry(job).or_default().forgotten = true;
        }
        self.streams += 1;
        let fails = self.journal.fails;
        self.journal = Journal::new(Stream(self.streams), fresh_epoch(self.now));
        self.journal.fails = fails;
        if with_slots || login.is_some() {
            self.slots = <[SlotFile; 2]>::default();
        }
        if let Some(login) = login {
            self.login = login;
        }
    }

    /// The repository's password as the agent holds it, and its revision.
    pub(crate) fn credentials(&self) -> (Option<&str>, SlotRevision) {
        let file = &self.slots[Slot::Repo as usize];
        (file.password.as_deref(), file.state.revision)
    }

    fn input(&mut self, act: impl FnOnce(&mut Core)) {
        if let Some(process) = &mut self.process {
            act(&mut process.core);
            self.drain();
        }
    }

    pub(crate) fn connected(&mut self) {
        let now = self.now;
        self.put_off.clear();
        self.input(|core| core.handle_connected(now));
    }

    pub(crate) fn disconnected(&mut self) {
        let now = self.now;
        self.note_away();
        self.input(|core| core.handle_disconnected(now));
    }

    /// When something is to happen here.
    pub(crate) fn wakes_at(&self) -> Option<u64> {
        let process = self.process.as_ref()?;
        let core = process.core.next_wake().map(|wake| wake.at.0);
        let job = process.job.as_ref().map(Running::wakes_at);
        let is_away = self.away_since.is_some() && !process.core.is_connected();
        let look = self.plan.get().filter(|_| is_away).map(|_| self.look_at);
        core.into_iter().chain(job).chain(look).min()
    }

    fn note_away(&mut self) {
        if self.away_since.is_none() {
            self.away_since = Some(self.now.mono.0);
            self.look_at = self.now.mono.0;
        }
    }

    /// The plan that the server sends when it is subscribed to.
    pub(crate) fn take_plan(&mut self, sealed: &[u8]) {
        let topic = Topic::Host(self.login.host, HostTopic::Plan);
        let mut room = vec![0; sealed.len()];
        let opened = Sealed::parse(sealed)
            .ok()
            .and_then(|sealed| sealed.open(&self.login.key, topic, &mut room).ok())
            .map(<[u8]>::to_vec);
        if let Some(plain) = opened {
            let heard = self.process.as_ref().map(|process| process.core.saved().incarnation);
            self.plan.keep(
                &plain,
                heard.unwrap_or_default(),
                self.process
                    .as_ref()
                    .and_then(|process| process.core.server_time(self.now))
                    .unwrap_or(self.now.wall),
            );
        }
    }

    /// What the agent program does with its plan while the server is away.
    fn look_at_plan(&mut self) {
        let (Some(process), Some(away_since)) = (&self.process, self.away_since) else { return };
        if self.look_at > self.now.mono.0 || process.core.is_connected() {
            return;
        }
        self.look_at = self.now.mono.0 + offline_plan::AGAIN_MS;
        let plan = self.plan.clone();
        let Some(plan_now) = plan.get() else { return };
        let best = process.core.server_time(self.now).unwrap_or(self.now.wall);
        let outlook = offline_plan::look(
            &plan_now,
            (self.login.host, plan.since),
            (Some(self.now.mono.0 - away_since), u64::from(offline_plan::GRACE_SECS) * 1_000),
            |group| process.core.saved().group_taken_at(GroupKey::of(group)),
            best,
        );
        if outlook.due.is_empty() {
            if let Some(at) = outlook.look_at {
                let wait_ms = at.ms_since(best).clamp(1_000, 3_600_000);
                self.look_at = self.now.mono.0 + wait_ms;
            }
            return;
        }
        for due in outlook.due {
            self.nonces += 1;
            let mut dice = [0; 10];
            dice[..8].copy_from_slice(&self.nonces.to_be_bytes());
            let job = JobId::new(self.now.wall, dice);
            let key = GroupKey::of(&due.group);
            let now = self.now;
            self.due_at_hand = Some(due.clone());
            let taken = self
                .process
                .as_mut()
                .is_some_and(|process| process.core.handle_own(job, key, now).expect("the core was drained"));
            if taken {
                self.drain();
                // A crash may have come before it was written down.
                if self.journal.holds(job) {
                    self.own.push((job, due));
                }
            }
            self.due_at_hand = None;
        }
    }

    pub(crate) fn tick(&mut self, now: Now) {
        self.now = now;
        self.input(|core| core.handle_tick(now));
        self.look_at_plan();
        self.drive_job();
    }

    /// A message on `cmd`; it is acknowledged to the broker when it is taken.
    pub(crate) fn message(&mut self, payload: &[u8], packet_id: u16) {
        self.take_message(payload, packet_id, false);
        while self.knows_time() && !self.put_off.is_empty() {
            let (payload, packet_id) = self.put_off.remove(0);
            self.take_message(&payload, packet_id, true);
        }
    }

    fn knows_time(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.core.can_judge_commands(self.now))
    }

    /// Commands wait until the server has told its time, as they do in the driver.
    fn take_message(&mut self, payload: &[u8], packet_id: u16, is_put_off: bool) {
        let has_to_wait = !is_put_off && (!self.knows_time() || !self.put_off.is_empty());
        let Some(process) = &mut self.process else { return };
        let topic = Topic::Host(self.login.host, HostTopic::Cmd);
        let mut room = vec![0; payload.len()];
        let opened = Sealed::parse(payload)
            .ok()
            .filter(|sealed| sealed.key_id == self.login.key_id)
            .and_then(|sealed| sealed.open(&self.login.key, topic, &mut room).ok());
        let mut seq = CommandSeq::ZERO;
        if let Some(plain) = opened {
            let message = schema::decode::<ToAgent<'_>>(plain).expect("the server's messages can be read");
            if let ToAgent::Command(command) = &message {
                if has_to_wait {
                    process.core.keeps_command();
                    return self.put_off.push((payload.to_vec(), packet_id));
                }
                seq = command.seq;
                if let CommandBody::Run(run) = &command.body
                    && let JobSpec::Backup(backup) = run.spec
                {
                    self.asked.insert(run.job, backup.group.to_owned());
                }
                if let CommandBody::ConfigUpdate(update) = &command.body {
                    process.password_at_hand =
                        update.credentials.map(|credentials| credentials.repo_password.to_owned());
                }
            }
            process.core.handle_message(&message, self.now).expect("the core was drained");
            if process.core.is_served() {
                self.away_since = None;
            }
            self.drain();
        }
        if let Some(process) = &mut self.process {
            process.password_at_hand = None;
            if packet_id != 0 && process.core.saved().taken >= seq {
                self.out.push(Out::Send(Up::PubAck(packet_id)));
            }
        }
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            let effect = self.process.as_mut().and_then(|process| process.core.poll_effect());
            match effect {
                Some(effect) => self.carry_out(effect),
                None => return,
            }
        }
        panic!("the core never rests");
    }

    fn carry_out(&mut self, effect: Effect) {
        let now = self.now;
        let Some(process) = &mut self.process else { return };
        match effect {
            Effect::Persist(record) => self.persist(record),
            Effect::StoreSlot { slot, revision, for_job } => self.store_slot(slot, revision, for_job),
            Effect::Connect { epoch } => {
                let will = self.seal(HostTopic::Presence, &Presence::Gone { epoch, clean: false });
                self.out.push(Out::Connect { will });
            }
            Effect::Disconnect | Effect::Superseded { .. } => {
                self.note_away();
                self.out.push(Out::Drop);
            }
            Effect::Hello => self.say_hello(),
            Effect::Report { seq } => self.send_report(seq),
            Effect::Progress { job } => {
                let progress = Progress {
                    job,
                    at: now.wall,
                    permille: 500,
                    files_done: 1,
                    files_total: 2,
                    bytes_done: 1,
                    bytes_total: 2,
                    bytes_read: 0,
                    errors: 0,
                    left_secs: None,
                    current: "/etc/hosts",
                };
                self.publish(HostTopic::Live, &Live::Progress(progress));
            }
            Effect::Start { job } => {
                let script = self.scripts.get(&job).copied().unwrap_or(self.usual);
                assert!(process.job.is_none(), "two jobs at a time");
                process.job = Some(Running::new(job, script, now));
                let fate = self.fates.entry(job).or_default();
                fate.started += 1;
                fate.began_at = now.mono.0;
            }
            Effect::Interrupt { job } | Effect::Kill { job } => {
                let is_kill = matches!(effect, Effect::Kill { .. });
                if let Some(running) = process.job.as_mut().filter(|running| running.job == job)
                    && (is_kill || !running.script.is_stubborn)
                {
                    running.stop(now.mono.0);
                }
            }
            Effect::RetryStore => {
                let saved = process.core.saved().clone();
                if self.journal.retry(&saved) {
                    process.core.handle_store_works(now);
                }
            }
            Effect::Gone { epoch } => {
                self.publish(HostTopic::Presence, &Presence::Gone { epoch, clean: true });
                self.out.push(Out::Send(Up::Disconnect));
                self.out.push(Out::Drop);
            }
            Effect::Exit => {
                let saved = process.core.saved().clone();
                self.journal.close(&saved);
                self.process = None;
                self.crash_at = None;
            }
        }
    }

    fn crash_here(&mut self) -> Option<Crash> {
        let (count, crash) = self.crash_at.as_mut()?;
        *count = count.saturating_sub(1);
        (*count == 0).then_some(*crash)
    }

    fn persist(&mut self, record: Record) {
        let crash = self.crash_here();
        if crash == Some(Crash::Before) {
            return self.crash();
        }
        let lines = self.lines_of(&record);
        let bytes = self.encode(&record).unwrap_or_default();
        let stored = self.journal.append(&record, bytes, lines);
        self.note(&record, stored, lines);
        if crash == Some(Crash::After) {
            return self.crash();
        }
        let now = self.now;
        if let Some(process) = &mut self.process {
            process.core.handle_stored(stored, now);
        }
    }

    /// What becomes true of jobs by a record that was stored.
    fn note(&mut self, record: &Record, stored: Stored, lines: Option<(JobId, u32)>) {
        if let Change::Ended(job) | Change::Refused(job) | Change::Started(job) = record.change
            && stored != Stored::OnDisk
        {
            self.fates.entry(job).or_default().on_bad_disk = true;
        }
        if stored == Stored::Not {
            return;
        }
        match record.report {
            Some((_, Body::Finished { job, cause })) => {
                let (outcome, class, _) = words(cause);
                self.fates.entry(job).or_default().ends.push((outcome, class));
            }
            Some((_, Body::Refused { job, reason })) => {
                self.fates.entry(job).or_default().refused.push(reason);
            }
            _ => {}
        }
        if let Some((job, count)) = lines {
            self.fates.entry(job).or_default().lines_written += count;
        }
    }

    fn lines_of(&self, record: &Record) -> Option<(JobId, u32)> {
        let (_, body) = record.report?;
        let Body::Chunk { job, .. } = body else { return None };
        let (_, count) = self.process.as_ref()?.chunk?;
        is_expendable(&body).then_some((job, count))
    }

    fn store_slot(&mut self, slot: Slot, revision: SlotRevision, for_job: Option<JobId>) {
        assert_eq!(for_job, None, "no job here brings credentials of its own");
        let crash = self.crash_here();
        if crash == Some(Crash::Before) {
            return self.crash();
        }
        let now = self.now;
        let Some(process) = &mut self.process else { return };
        let password = process.password_at_hand.take();
        let result = if self.journal.fails {
            Err(Refusal::StateFolder)
        } else {
            let state = SlotState { revision, filled: password.is_some() };
            self.slots[slot as usize] = SlotFile { state, password };
            Ok(())
        };
        if crash == Some(Crash::After) {
            return self.crash();
        }
        process.core.handle_slot_stored(result, now);
    }

    fn say_hello(&mut self) {
        self.out.push(Out::Send(Up::Subscribe));
        let Some(process) = &self.process else { return };
        let saved = process.core.saved();
        let (mut jobs, mut groups) = ([0; 4096], [0; 2048]);
        let hello = Hello {
            epoch: saved.epoch,
            stream: saved.stream,
            boot_id: [3; 16],
            installation: InstallationId([9; 16]),
            agent_version: "0.1.0",
            restic_version: "0.18.0",
            os: "Debian GNU/Linux 13",
            arch: "x86_64",
            hostname: "attic.example",
            jobs: Items::write(saved.hello_jobs(), &mut jobs).expect("they fit"),
            taken: process.core.taken_safely(),
            first_unacked: saved.acked.next(),
            last_report: saved.last_report,
            plan_revision: PlanRevision(0),
            repo_revision: saved.slot(Slot::Repo).revision,
            state_free_bytes: 1 << 30,
            at: self.now.wall,
            abilities: schema::Abilities::FOR_OTHERS.and(schema::Abilities::OTHERS_ALLOWED),
            incarnation: saved.incarnation,
            saved: Items::write(saved.hello_saved(), &mut groups).expect("they fit"),
            address: "backup.example:8883",
            trusts: Items::EMPTY,
        };
        let message = encoded(&Presence::Hello(hello));
        self.publish_encoded(HostTopic::Presence, &message);
    }

    fn send_report(&mut self, seq: ReportSeq) {
        let Some(process) = &self.process else { return };
        let saved = process.core.saved();
        let message = self.journal.report(seq).unwrap_or_else(|| {
            encoded(&Report {
                stream: saved.stream,
                seq,
                // As the driver does: later numbers may hold the answers.
                taken: CommandSeq(0),
                at: self.now.wall,
                body: ReportBody::Dropped,
            })
        });
        self.publish_encoded(HostTopic::Evt, &message);
    }

    fn publish<T: serde::Serialize>(&mut self, topic: HostTopic, message: &T) {
        let payload = self.seal(topic, message);
        self.out.push(Out::Send(Up::Publish(topic, payload)));
    }

    fn publish_encoded(&mut self, topic: HostTopic, message: &[u8]) {
        let payload = self.seal_encoded(topic, message);
        self.out.push(Out::Send(Up::Publish(topic, payload)));
    }

    fn seal<T: serde::Serialize>(&mut self, topic: HostTopic, message: &T) -> Vec<u8> {
        let message = encoded(message);
        self.seal_encoded(topic, &message)
    }

    fn seal_encoded(&mut self, topic: HostTopic, message: &[u8]) -> Vec<u8> {
        self.nonces += 1;
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.nonces.to_be_bytes());
        let mut buffer = vec![0; message.len() + envelope::OVERHEAD_BYTES];
        buffer[envelope::HEADER_BYTES..][..message.len()].copy_from_slice(message);
        let topic = Topic::Host(self.login.host, topic);
        let (key, key_id) = (&self.login.key, self.login.key_id);
        envelope::seal_in_place(key, key_id, nonce, topic, &mut buffer, message.len()).expect("it fits");
        buffer
    }

    fn encode(&self, record: &Record) -> Option<Vec<u8>> {
        let (seq, body) = record.report?;
        let process = self.process.as_ref()?;
        let mut list = vec![0; MAX_MESSAGE_BYTES];
        let body = match body {
            Body::Accepted { job, behind } => ReportBody::Accepted { job, behind },
            Body::Own { job } => {
                let DueBackup { schedule, group, due_at } = self.due_at_hand.as_ref()?;
                ReportBody::Own { job, schedule, group, due_at: *due_at }
            }
            Body::Refused { job, reason } => ReportBody::Refused { job, reason, detail: "" },
            Body::Started { job } => ReportBody::Started { job },
            Body::ConfigApplied { slot, revision, refused } => {
                ReportBody::ConfigApplied { slot, revision, refused }
            }
            Body::NotUnderstood { seq } => ReportBody::NotUnderstood { seq },
            Body::CancelMissed { job } => ReportBody::CancelMissed { job },
            Body::CredentialsHeld { job } => ReportBody::CredentialsHeld { job },
            Body::Trouble(kind) => ReportBody::Trouble { kind, detail: "" },
            Body::Chunk { job, .. } => {
                let (first_line, count) = process.chunk?;
                let texts: Vec<_> =
                    (first_line..first_line + count).map(|line| line_text(job, line)).collect();
                let lines = texts.iter().map(|text| LogLine { after_ms: 1, stream: LogStream::Out, text });
                let lines = Items::write(lines, &mut list).expect("they fit");
                ReportBody::Log { job, first_line, lines }
            }
            Body::Finished { job, cause } => {
                let (outcome, class, message) = words(cause);
                let mut held = process.core.saved().held.iter();
                let ticket = held.find(|entry| entry.ticket.job == job).map(|entry| entry.ticket);
                let is_backup = ticket.is_some_and(|ticket| ticket.kind == JobKind::Backup);
                let details = process.details.filter(|(ended, ..)| *ended == job);
                ReportBody::Finished(Finished {
                    job,
                    outcome,
                    class,
                    exit_code: None,
                    started_at: details.and_then(|(_, _, started_at)| started_at),
                    finished_at: record.at,
                    message,
                    log_lines: details.map_or(0, |(_, lines, _)| lines),
                    summary: match outcome {
                        Outcome::Succeeded | Outcome::Warning if is_backup => Summary::Backup(SAVED),
                        _ => Summary::None,
                    },
                    kind: ticket.map(|ticket| ticket.kind),
                    group: ticket.and_then(|ticket| ticket.group),
                })
            }
        };
        let stream = process.core.saved().stream;
        Some(encoded(&Report { stream, seq, taken: record.taken, at: record.at, body }))
    }

    /// What restic does meanwhile.
    fn drive_job(&mut self) {
        let at = self.now.mono.0;
        while let Some(running) = self.process.as_mut().and_then(|process| process.job.as_mut())
            && running.wakes_at() <= at
        {
            if running.ends_at <= at {
                return self.end_job();
            }
            if running.next_line_at <= at {
                let job = running.job;
                let first_line = running.say(at);
                self.fates.entry(job).or_default().lines_said = first_line + 1;
                self.say_live(job, first_line);
                let now = self.now;
                self.input(|core| core.handle_progress(job, now));
            } else {
                self.write_chunk();
            }
        }
    }

    fn say_live(&mut self, job: JobId, first_line: u32) {
        let text = line_text(job, first_line);
        let mut list = [0; 256];
        let line = LogLine { after_ms: 1, stream: LogStream::Out, text: &text };
        let lines = Items::write([line], &mut list).expect("it fits");
        if self.core().is_some_and(Core::is_connected) {
            let message = encoded(&Live::Log { job, first_line, lines });
            self.publish_encoded(HostTopic::Live, &message);
        }
    }

    fn write_chunk(&mut self) {
        let Some(process) = &mut self.process else { return };
        let Some(running) = &mut process.job else { return };
        let job = running.job;
        let first = std::mem::replace(&mut running.waiting_from, running.lines);
        running.waiting_since = None;
        if first == running.lines {
            return;
        }
        process.chunk = Some((first, running.lines - first));
        let now = self.now;
        self.input(|core| core.handle_chunk(job, true, now).expect("the core was drained"));
        if let Some(process) = &mut self.process {
            process.chunk = None;
        }
    }

    fn end_job(&mut self) {
        self.write_chunk();
        let now = self.now;
        let Some(process) = &mut self.process else { return };
        let Some(running) = process.job.take() else { return };
        let Running { job, script, lines, started_at, is_cut_short, .. } = running;
        process.details = Some((job, lines, Some(started_at)));
        let (outcome, class) = match script.outcome {
            _ if is_cut_short => (Outcome::Failed, Some(Class::Other)),
            Outcome::Succeeded => (Outcome::Succeeded, None),
            Outcome::Warning => (Outcome::Warning, Some(Class::SourceUnreadable)),
            Outcome::Failed | Outcome::Cancelled => (Outcome::Failed, Some(Class::Network)),
        };
        self.input(|core| core.handle_ended(job, outcome, class, now));
    }
}

impl Running {
    fn new(job: JobId, script: Script, now: Now) -> Self {
        Self {
            job,
            script,
            ends_at: now.mono.0 + script.runs_ms,
            started_at: now.wall,
            next_line_at: now.mono.0 + script.line_every_ms,
            lines: 0,
            waiting_from: 0,
            waiting_since: None,
            is_cut_short: false,
        }
    }

    fn wakes_at(&self) -> u64 {
        let chunk = self.waiting_since.map_or(u64::MAX, |since| since + CHUNK_AFTER_MS);
        self.ends_at.min(self.next_line_at).min(chunk)
    }

    /// Says a line; returns its number.
    fn say(&mut self, at: u64) -> u32 {
        self.next_line_at = at + self.script.line_every_ms;
        self.waiting_since.get_or_insert(at);
        self.lines += 1;
        self.lines - 1
    }

    fn stop(&mut self, at: u64) {
        if at + 300 < self.ends_at {
            self.ends_at = at + 300;
            self.is_cut_short = true;
        }
    }
}

/// The text of a job's line.
pub(crate) fn line_text(job: JobId, line: u32) -> String {
    format!("{job} {line}")
}

/// What a new journal begins to count connects with, as the agent program does it.
fn fresh_epoch(now: Now) -> Epoch {
    Epoch(now.wall.0 / 1000)
}

fn words(cause: Cause) -> (Outcome, Option<Class>, &'static str) {
    match cause {
        Cause::Ran { outcome, class, .. } => (outcome, class, ""),
        Cause::CancelledInQueue => (Outcome::Cancelled, Some(Class::Cancelled), "cancelled in the queue"),
        Cause::Restarted => (Outcome::Failed, Some(Class::AgentRestarted), "the agent was ended"),
    }
}

fn encoded<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    schema::encode(message, &mut buffer).expect("it fits").to_vec()
}

/// The present by both clocks, when the agent's wall clock runs `ahead_ms` before the server's.
pub(crate) fn now(clock_ms: u64, ahead_ms: u64) -> Now {
    Now { mono: Monotonic(clock_ms), wall: Timestamp(clock_ms + ahead_ms) }
}
