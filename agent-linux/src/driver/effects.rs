//! Carrying out what the core wants.

use super::{Driver, RepositoryKnown};
use crate::{
    clock,
    link::{self, Link},
    logger,
    platform::VERSION,
    policy::{Policy, PolicyAt},
    reports::{self, Content},
    tls,
};
use agent_core::{Body, Cause, Change, Effect, Record, Stored};
use rumqttc::Publish;
use schema::{
    Abilities, Hello, HostTopic, Items, JobId, JobKind, Live, Presence, Refusal, ReportSeq, Slot,
    SlotRevision, StatsRevision, Topic, report::Trouble,
};

impl Driver {
    /// Carries out effects until there are none.
    pub(super) fn carry_out(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Persist(record) => self.persist(&record),
                Effect::StoreSlot { slot, revision, for_job } => self.store_slot(slot, revision, for_job),
                Effect::Connect { epoch } => {
                    logger::debug(format_args!("connecting, epoch {epoch}"));
                    self.dialled = self.address().to_owned();
                    let at = (self.dialled.as_str(), epoch);
                    self.link = Link::connect_host(&self.identity, &self.tls, at, self.keep_alive.period());
                    if self.link.is_none() {
                        self.fail_at(format!("{:?} is no address to connect to", self.dialled));
                        self.lose_link();
                    }
                }
                Effect::Disconnect => {
                    logger::debug(format_args!("leaving the connection, to be sent again what is missing"));
                    self.drop_link();
                }
                Effect::Superseded { incarnation } => {
                    self.fail_at(format!(
                        "{} is an old copy of the server that serves this host (incarnation {incarnation}, and {} has been \
                         heard of): nothing it asks for is done, and reports wait for the other one",
                        self.dialled,
                        self.core.saved().incarnation
                    ));
                    self.drop_link();
                }
                Effect::Hello => self.say_hello(),
                Effect::Report { seq } => self.send_report(seq),
                Effect::Progress { job } => self.send_progress(job),
                Effect::Start { job } => self.start(job),
                Effect::Interrupt { job } => self.control(job, false),
                Effect::Kill { job } => self.control(job, true),
                Effect::RetryStore => self.retry_store(),
                Effect::Gone { epoch } => {
                    self.publish(HostTopic::Presence, &Presence::Gone { epoch, clean: true });
                    self.parting = self.link.take();
                    self.connected_since = None;
                }
                Effect::Exit => self.is_ending = true,
            }
        }
    }

    pub(super) fn retry_store(&mut self) {
        if self.state.has_room() && self.journal.retry(self.core.saved()) {
            logger::info(format_args!("the state folder can be written again"));
            self.core.handle_store_works(clock::now());
        }
    }

    fn persist(&mut self, record: &Record) {
        let stored = self.write_record(record);
        self.core.handle_stored(stored, clock::now());
        if stored == Stored::Not {
            return;
        }
        if let Some((_, Body::Refused { job, reason })) = record.report {
            logger::info(format_args!("job {job} refused: {}", reason.as_str()));
        }
        match record.change {
            Change::Ended(job) | Change::Refused(job) => {
                self.slots.forget(job);
                self.details.retain(|(ended, _)| *ended != job);
                if let Some((_, Body::Finished { cause: Cause::Ran { outcome, class, .. }, .. })) =
                    record.report
                {
                    let class = class.map_or("", |class| class.as_str());
                    logger::info(format_args!("job {job} ended: {outcome:?} {class}"));
                }
            }
            Change::Queued(ticket) => {
                logger::info(format_args!("job {} accepted: {}", ticket.job, ticket.kind.as_str()));
            }
            _ => {}
        }
    }

    fn write_record(&mut self, record: &Record) -> Stored {
        let detail = match record.report {
            Some((_, Body::Refused { reason: Refusal::Busy, .. })) => self.busy_with(),
            Some((_, Body::Refused { reason, .. })) => refusal_detail(reason),
            Some((_, Body::Trouble(trouble))) => trouble_detail(trouble),
            _ => "",
        };
        let started = self.started_details(record);
        let content = Content {
            chunk: self.chunk.as_ref(),
            details: finished_job(record)
                .and_then(|job| self.details.iter().find(|(ended, _)| *ended == job))
                .map(|(_, details)| details)
                .or(started.as_ref()),
            detail,
            ended: finished_job(record)
                .and_then(|job| self.core.saved().held.iter().find(|entry| entry.ticket.job == job))
                .map(|entry| (entry.ticket.kind, entry.ticket.group)),
            due: self.at_hand.due.as_ref(),
        };
        let stream = self.core.saved().stream;
        let report = reports::encode(stream, record, &content);
        if record.report.is_some() && report.is_none() {
            logger::error(format_args!("a report could not be made and was left out"));
            return Stored::Not;
        }
        let spec = if let Change::Queued(_) = record.change { self.at_hand.run.as_slice() } else { &[] };
        self.journal.append(record, spec, &report.unwrap_or_default(), self.core.saved())
    }

    /// What keeps a download off.
    fn busy_with(&self) -> &'static str {
        let held = &self.core.saved().held;
        match held.iter().any(|entry| entry.ticket.kind == JobKind::Download) {
            true => "another download runs",
            false => "a prune runs, which removes what a download may still have to read",
        }
    }

    /// For a job that ran when the agent was ended: when that was.
    fn started_details(&self, record: &Record) -> Option<reports::Details> {
        let Some((_, Body::Finished { job, cause: Cause::Restarted })) = record.report else { return None };
        let entry = self.core.saved().held.iter().find(|entry| entry.ticket.job == job)?;
        let started_at = entry.started_at.filter(|at| at.0 > 0);
        Some(reports::Details { started_at, ..reports::Details::default() })
    }

    fn store_slot(&mut self, slot: Slot, revision: SlotRevision, for_job: Option<JobId>) {
        let credentials = self.at_hand.credentials.take();
        let (word, result) = match (slot, for_job) {
            (Slot::Admin, _) if !self.allows(|policy| policy.allows_admin_slot) => {
                ("refused", Err(Refusal::Policy))
            }
            (Slot::Repo, Some(_)) if !self.allows(|policy| policy.other_hosts) => {
                ("of another host, refused", Err(Refusal::Policy))
            }
            (_, Some(job)) => {
                self.slots.hold(job, slot, credentials);
                ("held for one job", Ok(()))
            }
            // A question only: they are never stored here.
            (Slot::Admin, None) => ("welcome for a job", Ok(())),
            (Slot::Repo, None) => match self.slots.store(slot, revision, credentials) {
                Ok(()) => ("stored", Ok(())),
                Err(error) => {
                    self.fail(format!("the {} slot could not be stored: {error}", slot.as_str()));
                    ("not stored", Err(Refusal::StateFolder))
                }
            },
        };
        logger::info(format_args!("{} credentials, revision {revision}: {word}", slot.as_str()));
        self.core.handle_slot_stored(result, clock::now());
    }

    fn allows(&mut self, what: impl Fn(&Policy) -> bool) -> bool {
        match self.options.policy.load() {
            Ok(policy) => what(&policy),
            Err(error) => {
                self.fail(error.to_string());
                false
            }
        }
    }

    pub(super) fn say_hello(&mut self) {
        let Some(link) = &self.link else { return };
        let topics = [HostTopic::Cmd, HostTopic::Plan].map(|topic| Topic::Host(self.identity.host, topic));
        if topics.into_iter().any(|topic| link.subscribe(topic).is_err()) {
            return self.lose_link();
        }
        let saved = self.core.saved();
        let mut jobs = vec![0; 4096];
        let mut groups = vec![0; 2048];
        let mut trusts = [0; 128];
        let restic_version =
            self.restic.as_ref().map(|found| found.version().to_string()).unwrap_or_default();
        let at = clock::wall();
        let abilities = abilities(&self.options.policy);
        let hello = Hello {
            epoch: saved.epoch,
            stream: saved.stream,
            boot_id: self.machine.boot_id,
            installation: self.installation,
            agent_version: VERSION,
            restic_version: &restic_version,
            os: &self.machine.os,
            arch: self.machine.arch,
            hostname: &self.machine.hostname,
            jobs: Items::write(saved.hello_jobs(), &mut jobs).unwrap_or_default(),
            taken: self.core.taken_safely(),
            first_unacked: saved.acked.next(),
            last_report: saved.last_report,
            plan_revision: self.plan.revision(),
            repo_revision: saved.slot(Slot::Repo).revision,
            state_free_bytes: self.state.free_bytes(),
            at,
            abilities,
            incarnation: saved.incarnation,
            saved: Items::write(saved.hello_saved(), &mut groups).unwrap_or_default(),
            address: &self.dialled,
            trusts: Items::write(tls::fingerprints(&self.identity.ca_pem), &mut trusts).unwrap_or_default(),
        };
        let topic = Topic::Host(self.identity.host, HostTopic::Presence);
        let payload = link::seal(&self.identity, topic, &Presence::Hello(hello));
        self.last_hello_at = Some(at);
        if let Some(payload) = payload {
            self.publish_bytes(HostTopic::Presence, payload);
        }
        self.publish_stats();
    }

    /// Publishes what is known of the repository; the server drops a revision that it has.
    pub(super) fn publish_stats(&mut self) {
        let RepositoryKnown { revision, at, job, figures } = &self.known;
        if *revision == StatsRevision::ZERO || self.link.is_none() {
            return;
        }
        let stats = figures.to_wire(self.core.saved().stream, *revision, *at, *job);
        let topic = Topic::Host(self.identity.host, HostTopic::RepoStats);
        if let Some(payload) = link::seal(&self.identity, topic, &stats) {
            self.publish_bytes(HostTopic::RepoStats, payload);
        }
    }

    fn send_report(&mut self, seq: ReportSeq) {
        let stream = self.core.saved().stream;
        let plain = self.journal.report(seq).or_else(|| reports::encode_dropped(stream, seq, clock::wall()));
        let topic = Topic::Host(self.identity.host, HostTopic::Evt);
        let payload = plain.and_then(|plain| link::seal_encoded(&self.identity, topic, &plain));
        match payload {
            Some(payload) => self.publish_bytes(HostTopic::Evt, payload),
            None => logger::error(format_args!("report {seq} could not be sealed")),
        }
    }

    fn send_progress(&mut self, job: JobId) {
        let Some(running) = self.running(job) else { return };
        let topic = Topic::Host(self.identity.host, HostTopic::Live);
        let live = Live::Progress(running.progress());
        if let Some(payload) = link::seal(&self.identity, topic, &live) {
            self.publish_bytes(HostTopic::Live, payload);
        }
    }

    pub(super) fn publish(&mut self, topic: HostTopic, message: &impl serde::Serialize) {
        let sealed = link::seal(&self.identity, Topic::Host(self.identity.host, topic), message);
        match sealed {
            Some(payload) => self.publish_bytes(topic, payload),
            None => logger::error(format_args!("a message for {} could not be sealed", topic.suffix())),
        }
    }

    pub(super) fn publish_bytes(&mut self, topic: HostTopic, payload: Vec<u8>) {
        let Some(link) = &self.link else { return };
        let sent = link.publish(Topic::Host(self.identity.host, topic), payload);
        // What is live may be lost; the rest comes again on the next connection.
        if let (Err(error), true) = (sent, topic != HostTopic::Live) {
            self.fail(error.to_string());
            self.lose_link();
        }
    }

    pub(super) fn acknowledge(&mut self, message: &Publish) {
        let acknowledged = self.link.as_ref().map(|link| link.acknowledge(message));
        if let Some(Err(error)) = acknowledged {
            self.fail(error.to_string());
            self.lose_link();
        }
    }
}

/// What this agent can do, and its machine's policy allows now. A policy that can't be read allows nothing.
fn abilities(policy: &PolicyAt) -> Abilities {
    let mut abilities = Abilities::FOR_OTHERS;
    if let Ok(policy) = policy.load() {
        if policy.other_hosts {
            abilities = abilities.and(Abilities::OTHERS_ALLOWED);
        }
        if policy.restore_in_place {
            abilities = abilities.and(Abilities::IN_PLACE_ALLOWED);
        }
    }
    abilities
}

/// What the reason alone does not say.
const fn refusal_detail(reason: Refusal) -> &'static str {
    match reason {
        Refusal::Expired => "by the server's clock, or after a later command",
        Refusal::Policy => "it lets nothing be done for other hosts; to change that: other_hosts = true",
        Refusal::StateFolder => "is it full, or mounted read-only?",
        Refusal::QueueFull
        | Refusal::AlreadyStarted
        | Refusal::Unsupported
        | Refusal::NoCredentials
        | Refusal::Busy => "",
    }
}

const fn trouble_detail(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::JournalSetAside => {
            "the journal was damaged and kept as journal.damaged; what could be read goes on"
        }
        Trouble::StateFolder => "the state folder can't be written: is its disk full or read-only?",
        Trouble::CredentialsSetAside => {
            "stored credentials could not be opened and were set aside: send them again"
        }
        Trouble::StateFolderMended => "the state folder can be written again",
    }
}

const fn finished_job(record: &Record) -> Option<JobId> {
    match record.report {
        Some((_, Body::Finished { job, .. })) => Some(job),
        _ => None,
    }
}
