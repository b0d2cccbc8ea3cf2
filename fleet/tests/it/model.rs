//! The link against a model: an agent that takes, runs, crashes and loses its journal, over a connection that loses,
//! doubles and reorders, with hellos at any time.

use crate::support::{Agent, Got, by, finished, in_memory};
use fleet::JobRequest;
use fleet::record::JobState;
use proptest::prelude::*;
use schema::{
    CommandSeq, Epoch, HeldJob, HeldPhase, JobId, Outcome, ReportBody, ReportSeq, SlotRevision, Stream,
    Summary,
};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    /// Somebody asks for a job.
    Dispatch,
    /// The agent takes the next command…
    Take,
    /// …or has no room to answer it and takes the one behind.
    Skip,
    /// The job that is first in its queue ends.
    Finish,
    /// A report reaches the server: which of those not acked, perhaps out of order.
    Deliver(usize),
    /// A message of before comes again, of whatever life.
    Replay(usize),
    /// The connection is made anew.
    Hello,
    /// A will comes, of this connection or an older one.
    Gone(u64),
    /// The agent restarts and has forgotten what ran.
    Crash,
    /// The agent's state folder is gone.
    LoseJournal,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Dispatch),
        5 => Just(Step::Take),
        1 => Just(Step::Skip),
        3 => Just(Step::Finish),
        8 => (0..4usize).prop_map(Step::Deliver),
        2 => any::<usize>().prop_map(Step::Replay),
        2 => Just(Step::Hello),
        1 => (0..3u64).prop_map(Step::Gone),
        1 => Just(Step::Crash),
        1 => Just(Step::LoseJournal),
    ]
}

#[derive(Clone, Debug)]
enum Entry {
    Accepted(JobId),
    Finished(JobId, Outcome),
    Config(SlotRevision),
}

/// What truly became of a job.
#[derive(Clone, Debug, Default)]
struct Fate {
    started: u32,
    outcome: Option<Outcome>,
    /// The agent crashed with it, or lost the journal that named it.
    forgotten: bool,
}

struct Sim {
    agent: Agent,
    /// What was written, and how far commands had been taken then.
    journal: BTreeMap<ReportSeq, (CommandSeq, Entry)>,
    held: Vec<JobId>,
    fates: BTreeMap<JobId, Fate>,
    sent: Vec<Vec<u8>>,
    hellos: Vec<Vec<u8>>,
    lost_journals: u64,
}

impl Sim {
    fn write(&mut self, entry: Entry) {
        self.agent.reports = self.agent.reports.next();
        self.journal.insert(self.agent.reports, (self.agent.taken, entry));
    }

    fn bytes(&self, seq: ReportSeq) -> Option<Vec<u8>> {
        let (taken, entry) = self.journal.get(&seq)?;
        let body = match entry {
            Entry::Accepted(job) => ReportBody::Accepted { job: *job, behind: 0 },
            Entry::Config(revision) => {
                ReportBody::ConfigApplied { slot: schema::Slot::Repo, revision: *revision, refused: None }
            }
            Entry::Finished(job, outcome) => {
                ReportBody::Finished(finished(*job, *outcome, self.agent.world.now(), Summary::None))
            }
        };
        Some(self.agent.report_of(seq, *taken, body))
    }

    async fn deliver(&mut self, seq: ReportSeq) {
        let Some(payload) = self.bytes(seq) else { return };
        self.sent.push(payload.clone());
        self.hand_over(&payload).await;
    }

    async fn hand_over(&mut self, payload: &[u8]) {
        let handled = self.agent.fleet.handle_report(self.agent.host, payload, "").await.unwrap();
        self.agent.take_ack(&handled);
        assert!(self.agent.acked <= self.agent.reports, "only what was written is acked");
        let acked = self.agent.acked;
        self.journal.retain(|seq, _| *seq > acked);
    }

    async fn hello(&mut self) {
        let held: Vec<HeldJob> = self
            .held
            .iter()
            .map(|job| HeldJob { job: *job, phase: HeldPhase::Queued, group: None })
            .collect();
        let handled = self.agent.hello(&held).await;
        self.hellos.push(self.agent.hello_bytes(&held));
        assert!(handled.reply.is_some());
        let acked = self.agent.acked;
        self.journal.retain(|seq, _| *seq > acked);
    }

    fn next_commands(&self, max: usize) -> Vec<(CommandSeq, Vec<u8>)> {
        let frames = self.agent.fleet.commands_after(self.agent.host, CommandSeq::ZERO, usize::MAX);
        frames.into_iter().filter(|(seq, _)| *seq > self.agent.taken).take(max).collect()
    }

    fn take(&mut self, seq: CommandSeq, frame: &[u8]) {
        match self.agent.take(seq, frame) {
            Got::Run { job, .. } => {
                self.fates.entry(job).or_default().started += 1;
                self.held.push(job);
                self.write(Entry::Accepted(job));
            }
            Got::Config { revision, .. } => self.write(Entry::Config(revision)),
            Got::Cancel { .. } => panic!("nobody cancels here"),
        }
    }

    fn finish(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let job = self.held.remove(0);
        let outcome = if job.0[15].is_multiple_of(2) { Outcome::Succeeded } else { Outcome::Failed };
        self.fates.entry(job).or_default().outcome = Some(outcome);
        self.write(Entry::Finished(job, outcome));
    }

    fn forget(&mut self) {
        for job in std::mem::take(&mut self.held) {
            self.fates.entry(job).or_default().forgotten = true;
        }
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Dispatch => {
                // Refused while it is offline.
                if let Ok(job) = self.agent.fleet.dispatch(self.agent.host, JobRequest::Probe, by()).await {
                    self.fates.insert(job.id, Fate::default());
                }
            }
            Step::Take => {
                for (seq, frame) in self.next_commands(1) {
                    self.take(seq, &frame);
                }
            }
            Step::Skip => {
                if let [(_, first), (seq, frame)] = &self.next_commands(2)[..]
                    && self.agent.is_run(first)
                {
                    self.take(*seq, frame);
                }
            }
            Step::Finish => self.finish(),
            Step::Deliver(ahead) => {
                let seq = self.agent.acked.plus(1 + ahead as u64);
                self.deliver(seq).await;
            }
            Step::Replay(which) => {
                if !self.sent.is_empty() {
                    let payload = self.sent[which % self.sent.len()].clone();
                    self.hand_over(&payload).await;
                }
                if !self.hellos.is_empty() {
                    let payload = self.hellos[which % self.hellos.len()].clone();
                    self.agent.fleet.handle_presence(self.agent.host, &payload, "").await.unwrap();
                }
            }
            Step::Hello => self.hello().await,
            Step::Gone(ago) => self.agent.gone(Epoch(self.agent.epoch.0.saturating_sub(ago))).await,
            Step::Crash => {
                self.forget();
                self.hello().await;
            }
            Step::LoseJournal => {
                self.forget();
                for (_, entry) in std::mem::take(&mut self.journal).into_values() {
                    if let Entry::Accepted(job) | Entry::Finished(job, _) = entry {
                        self.fates.entry(job).or_default().forgotten = true;
                    }
                }
                self.lost_journals += 1;
                (self.agent.stream, self.agent.reports) =
                    (Stream(1_000 + self.lost_journals), ReportSeq::ZERO);
                (self.agent.acked, self.agent.taken, self.agent.repo_revision) =
                    (ReportSeq::ZERO, CommandSeq::ZERO, SlotRevision::ZERO);
                self.hello().await;
            }
        }
    }

    /// The connection holds and everything runs to its end.
    async fn settle(&mut self) {
        self.hello().await;
        for _ in 0..1_000 {
            while self.agent.acked < self.agent.reports {
                let before = self.agent.acked;
                self.deliver(before.next()).await;
                assert!(self.agent.acked > before, "the next report is always taken");
            }
            match self.next_commands(1).pop() {
                Some((seq, frame)) => self.take(seq, &frame),
                None if self.held.is_empty() => return,
                None => self.finish(),
            }
        }
        panic!("it does not come to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn every_job_ends_once_and_as_the_agent_says(steps in proptest::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome: Result<(), TestCaseError> = runtime.block_on(async {
            let (world, fleet) = in_memory();
            let agent = Agent::ready(&world, &fleet, "attic").await;
            let mut sim = Sim {
                agent,
                journal: BTreeMap::new(),
                held: Vec::new(),
                fates: BTreeMap::new(),
                sent: Vec::new(),
                hellos: Vec::new(),
                lost_journals: 0,
            };
            for step in steps {
                world.pass(10);
                sim.run(step).await;
            }
            sim.settle().await;
            let read = fleet.read().unwrap();
            prop_assert!(read.open_jobs(sim.agent.host).unwrap().is_empty(), "no job is stuck");
            prop_assert_eq!(read.host_row(sim.agent.host).unwrap().open_jobs, 0);
            prop_assert_eq!(sim.agent.waiting(), 0, "no command is left");
            for (job, fate) in &sim.fates {
                let record = read.job(*job).unwrap().unwrap();
                prop_assert!(u64::from(fate.started) <= 1 + sim.lost_journals, "{job} ran {} times", fate.started);
                prop_assert!(fate.started > 0 || fate.forgotten, "{job} was never run: {record:?}");
                match fate.outcome {
                    Some(outcome) if !fate.forgotten => {
                        prop_assert_eq!(record.state, JobState::from(outcome), "{} {:?}", job, fate);
                        prop_assert!(!record.presumed);
                    }
                    Some(outcome) => {
                        prop_assert!(record.state == JobState::from(outcome) || record.state == JobState::Lost);
                    }
                    None => prop_assert_eq!(record.state, JobState::Lost, "{} {:?}", job, fate),
                }
            }
            Ok(())
        });
        outcome?;
    }
}
