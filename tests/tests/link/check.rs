//! What must be true of every history, once it has come to rest.

use crate::agent::{Fate, line_text};
use crate::world::World;
use fleet::record::{Job, JobState};
use schema::JobId;

impl World {
    /// Heals everything, waits until nothing moves, and looks at the whole.
    pub(crate) fn settle_and_check(&mut self) {
        self.heal();
        // A new hello must bring nothing new: what was settled is settled on both sides.
        let before = self.records();
        self.reconnect();
        assert_eq!(before, self.records(), "a new hello changed what was settled");
        for (job, record) in self.jobs.clone().into_iter().zip(before) {
            let fate = self.agent.fates.get(&job).cloned().unwrap_or_default();
            self.check_job(&record, &fate);
            self.check_log(job, &record, &fate);
        }
        self.check_credentials();
        let presence = self.server.read().presence(self.server.host).expect("presence");
        let core = self.agent.core().expect("the agent runs");
        assert!(presence.online && presence.epoch == core.saved().epoch, "{presence:?}");
        assert_eq!(core.taken_safely(), core.saved().taken);
        self.go_away();
        let presence = self.server.read().presence(self.server.host).expect("presence");
        assert!(!presence.online, "{presence:?}");
    }

    fn records(&self) -> Vec<Job> {
        let read = self.server.read();
        self.jobs.iter().map(|job| read.job(*job).expect("jobs").expect("a record for every job")).collect()
    }

    fn check_job(&self, record: &Job, fate: &Fate) {
        let said = format!("{fate:?}\n{record:?}");
        assert!(record.state.is_ended(), "{said}");
        if !fate.forgotten {
            assert!(fate.started <= 1, "it ran {} times: {said}", fate.started);
        }
        assert!(fate.started <= 1 + self.lost_states, "it ran {} times: {said}", fate.started);
        let is_told = |state: JobState| {
            fate.ends
                .iter()
                .any(|(outcome, class)| JobState::from(*outcome) == state && record.class == *class)
        };
        let is_refused = record.refusal.is_some_and(|reason| fate.refused.contains(&reason));
        match record.state {
            // Nothing may look better than it was.
            JobState::Succeeded | JobState::Warning => assert!(is_told(record.state), "{said}"),
            JobState::Cancelled => {
                let is_presumed = record.presumed && fate.started == 0 && fate.ends.is_empty();
                assert!(is_told(JobState::Cancelled) || is_presumed || fate.forgotten, "{said}");
                assert!(
                    self.cancelled.contains(&record.id)
                        || record.class == Some(schema::Class::AgentRestarted),
                    "{said}"
                );
            }
            JobState::Failed => {
                let is_late = record.presumed && fate.started == 0;
                assert!(is_told(JobState::Failed) || is_refused || is_late || fate.forgotten, "{said}");
            }
            JobState::Lost => assert!(fate.forgotten, "{said}"),
            _ => panic!("not ended: {said}"),
        }
        if fate.forgotten {
            return;
        }
        match (&fate.ends[..], fate.on_bad_disk) {
            ([], _) => assert!(fate.started == 0, "it ran and has no end: {said}"),
            ([(outcome, class)], false) => {
                assert_eq!((record.state, record.class), (JobState::from(*outcome), *class), "{said}");
                assert!(!record.presumed, "{said}");
            }
            (_, false) => panic!("it ended more than once: {said}"),
            (_, true) => assert!(is_told(record.state) || is_refused, "{said}"),
        }
    }

    fn check_log(&self, job: JobId, record: &Job, fate: &Fate) {
        let log = self.server.read().job_log(job).expect("a log");
        let said = format!("{log:?}\n{fate:?}\n{record:?}");
        let mut next = 0;
        let mut count = 0;
        for chunk in &log.chunks {
            assert!(chunk.first_line >= next, "lines are there twice: {said}");
            for (line, (_, _, text)) in (chunk.first_line..).zip(&chunk.lines) {
                assert_eq!(*text, line_text(job, line), "{said}");
                next = line + 1;
                count += 1;
            }
        }
        assert_eq!(log.total_lines - log.left_out, count, "{said}");
        assert!(count <= fate.lines_said, "{said}");
        assert!(log.total_lines <= fate.lines_said.max(record.log_lines), "{said}");
        if !fate.forgotten {
            assert!(count + fate.lines_given_up >= fate.lines_written, "lines are missing: {said}");
            let has_whole_end = fate.lines_written == fate.lines_said && record.state != JobState::Lost;
            if has_whole_end && fate.lines_given_up == 0 {
                assert_eq!((count, log.left_out), (fate.lines_said, 0), "{said}");
            }
        }
    }

    fn check_credentials(&self) {
        let facts =
            self.server.read().credentials(self.server.host, schema::Slot::Repo).expect("credentials");
        let (password, revision) = self.agent.credentials();
        assert_eq!(password, self.server.password.as_deref(), "the agent holds other credentials: {facts:?}");
        if let Some(facts) = facts {
            assert_eq!((facts.revision, facts.held_revision), (revision, revision));
        }
    }
}
