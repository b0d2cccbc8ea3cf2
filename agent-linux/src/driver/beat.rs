//! When the heartbeat is due, and what it is judged by.

use super::Driver;
use crate::{
    clock,
    heartbeat::{self, Condition, error::AskError},
    logger, offline_plan,
};
use agent_core::Now;
use schema::{GroupKey, JobId, Outcome, Slot};

impl Driver {
    pub(super) fn look_at_heartbeat(&mut self, now: Now) {
        let is_due = |beat: &heartbeat::Heartbeat| beat.due_at().is_some_and(|at| at <= now.mono);
        let Some(mut beat) = self.heartbeat.take_if(|beat| is_due(beat)) else { return };
        let plan = self.plan.get();
        let overdue = plan.as_ref().and_then(|plan| {
            let saved = self.core.saved();
            let taken_at = |group: &str| saved.group_taken_at(GroupKey::of(group));
            let whose = (self.identity.host, self.plan.since);
            let late = (Some(heartbeat::OVERDUE_MS), heartbeat::OVERDUE_MS);
            offline_plan::look(plan, whose, late, taken_at, self.best_time()).due.pop()
        });
        let failed = plan
            .as_ref()
            .and_then(|plan| beat.backups.failed_of(plan.groups.iter().map(|group| group.group)));
        let away_since = self.away_since.filter(|_| !self.core.is_connected());
        let known = Condition {
            store_fails: self.core.store_fails(),
            has_restic: self.restic.is_some(),
            has_credentials: self.core.saved().slot(Slot::Repo).filled,
            is_held: plan.as_ref().is_some_and(|plan| plan.backups_held),
            failed,
            overdue: overdue.as_ref().map(|due| due.group.as_str()),
            away_ms: away_since.map(|since| now.mono.ms_since(since)),
            has_plan: plan.as_ref().is_some_and(|plan| plan.schedules.iter().next().is_some()),
        };
        if let Some(said) = beat.look(&known, now.mono) {
            logger::warn(format_args!("heartbeat {said}"));
        }
        self.heartbeat = Some(beat);
    }

    pub(super) fn handle_heard(&mut self, heard: &Result<(), AskError>) {
        let now = clock::now();
        let Some(beat) = &mut self.heartbeat else { return };
        if let Some(said) = beat.answered(heard, now.mono, now.wall) {
            logger::info(format_args!("heartbeat {said}"));
        }
    }

    /// A job begins, or has ended: the heartbeat remembers how backups go.
    pub(super) fn note_backup(&mut self, job: JobId, ended: Option<Outcome>) {
        let Some(beat) = &mut self.heartbeat else { return };
        let noted = match ended {
            None => beat.job_begins(job, &self.journal),
            Some(outcome) => beat.job_ended(job, outcome, &self.journal),
        };
        if let Err(error) = noted {
            logger::warn(format_args!("how a backup goes can't be kept for the heartbeat: {error}"));
        }
    }
}
