//! Drills: what is asked of them, what they prove, and how long a whole restore would take by what was measured.

use crate::record::{
    DrillFigures, DrillPlan, EndedBy, GroupProof, Job, JobFigures, JobState, JobWhat, LastRun, Proof,
    ProofFailure, RestoreRate,
};
use crate::refused::Refused;
use schema::limits::MAX_DRILL_FILES;
use schema::{Class, JobId, Timestamp};

/// Files that a drill draws when nobody says how many.
pub(crate) const USUAL_FILES: u16 = 20;
/// The same of bytes in all.
pub(crate) const USUAL_BYTES: u64 = 512 << 20;
/// The most bytes that may be asked for.
const MOST_BYTES: u64 = 64 << 30;
/// How long restoring and comparing may take, in seconds.
const USUAL_SECS: u32 = 15 * 60;
/// What restores less says nothing of how fast a large one is: most of its time goes by before the first byte.
const LEAST_MEASURED_BYTES: u64 = 16 << 20;

/// The plan of a drill of this group, with the bounds that are asked for.
pub(crate) fn plan(group: &str, files: Option<u16>, bytes: Option<u64>) -> Result<DrillPlan, Refused> {
    let files = files.unwrap_or(USUAL_FILES);
    if !(1..=MAX_DRILL_FILES).contains(&files) {
        return Err(Refused::invalid("files", format!("a drill draws 1 to {MAX_DRILL_FILES} files")));
    }
    let bytes = bytes.unwrap_or(USUAL_BYTES);
    if !(1..=MOST_BYTES).contains(&bytes) {
        return Err(Refused::invalid("bytes", "a drill restores 1 byte to 64 GiB"));
    }
    Ok(DrillPlan { group: group.to_owned(), seed: 0, files, bytes, secs: USUAL_SECS })
}

/// The lot of a drill: nobody can know it before the job is made. After one that failed, `failed`, it is that one's, so that
/// the same files are drawn, and no fewer: what failed is looked at again, where it is still what it was.
pub(crate) fn draw(plan: &mut DrillPlan, failed: Option<&DrillPlan>, job: JobId) {
    let Some(failed) = failed else {
        plan.seed = job.0.iter().skip(6).fold(0, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        return;
    };
    plan.seed = failed.seed;
    // One that is smaller takes back no failure, and stays as small as it was asked for.
    if plan.is_of_usual_size() {
        plan.files = plan.files.max(failed.files);
        plan.bytes = plan.bytes.max(failed.bytes);
    }
}

impl GroupProof {
    /// Takes a drill of the group as it stands now.
    pub(crate) fn take_drill(&mut self, job: &Job, now: Timestamp) {
        let before = self.last_run.filter(|(_, last_run)| last_run.at <= job.created_at);
        if self.last_run.is_some() && before.is_none() {
            return;
        }
        let ended_by = job.ended_by();
        let is_ended = job.state.is_ended();
        let failed = match ended_by {
            Some(by) => by.is_interruption(),
            None => matches!(job.state, JobState::Failed | JobState::Lost),
        };
        // One that has ended before is only corrected.
        let failures = before.map_or(0, |(id, last_run)| match id == job.id && !last_run.open {
            true => last_run.failures.saturating_sub(1),
            false => last_run.failures,
        });
        let failures = match (is_ended, failed) {
            (false, _) => failures,
            (true, true) => failures.saturating_add(1).min(crate::maintenance::MAX_TRIES),
            (true, false) => 0,
        };
        let put_off = matches!(ended_by, Some(EndedBy::Policy | EndedBy::Server));
        self.last_run = Some((job.id, LastRun { at: job.created_at, open: !is_ended, failures, put_off }));
        if is_ended {
            self.take_ended(job, job.finished_at.unwrap_or(now).min(now));
        }
    }

    fn take_ended(&mut self, job: &Job, at: Timestamp) {
        if job.state == JobState::Failed && job.class == Some(Class::ProofFailed) {
            self.failed = Some(ProofFailure { job: job.id, at });
            return;
        }
        let JobFigures::Drill(found) = &job.figures else { return };
        let restored = found.equal.saturating_add(found.changed_since);
        let is_proof = matches!(job.state, JobState::Succeeded | JobState::Warning)
            && restored > 0
            && found.unreadable == 0
            && found.different == 0
            && !says_too_little(found);
        if is_proof {
            if self.failed.is_none_or(|failed| makes_up_for(failed, job)) {
                self.failed = None;
            }
            self.proven = Some(Proof {
                job: job.id,
                at,
                drawn: found.drawn,
                restored,
                changed_since: found.changed_since,
                bytes: found.bytes,
                restore_ms: found.restore_ms,
            });
        }
    }
}

/// Whether there was so little room that what was drawn stands for nothing: nothing but empty files, or files out of few,
/// while more than were drawn were too large.
fn says_too_little(found: &DrillFigures) -> bool {
    let nothing = found.bytes == 0 && found.of_bytes > 0;
    found.cuts.short_of_room && (nothing || found.cuts.too_large > u64::from(found.drawn))
}

/// Whether a good proof is large enough to stand for one that failed, for a small one draws only the first of the same
/// files; or is what that one came to in the end.
fn makes_up_for(failed: ProofFailure, good: &Job) -> bool {
    let JobWhat::Drill(plan) = &good.what else { return false };
    good.id == failed.job || plan.is_of_usual_size()
}

impl DrillPlan {
    /// Whether it draws as much as one does when nobody says how much: a good one of less takes back no failure.
    #[must_use]
    pub const fn is_of_usual_size(&self) -> bool {
        self.files >= USUAL_FILES && self.bytes >= USUAL_BYTES
    }
}

/// What a job tells of how fast its host restores; `None` = nothing, or it restored too little.
pub(crate) fn rate_of(job: &Job, now: Timestamp) -> Option<RestoreRate> {
    let at = job.finished_at.unwrap_or(now).min(now);
    let ended_well = matches!(job.state, JobState::Succeeded | JobState::Warning);
    let (is_restore, bytes, ms) = match (&job.what, &job.figures) {
        (JobWhat::Drill(_), JobFigures::Drill(found)) if !found.cuts.out_of_time => {
            (false, found.bytes, found.restore_ms)
        }
        (JobWhat::Restore(plan), JobFigures::Restore(done)) if !plan.dry_run && !done.is_estimate => {
            (true, done.bytes, job.finished_at?.ms_since(job.started_at?))
        }
        _ => return None,
    };
    (ended_well && bytes >= LEAST_MEASURED_BYTES && ms > 0).then_some(RestoreRate {
        job: job.id,
        is_restore,
        at,
        bytes,
        ms,
    })
}

/// How long restoring so many bytes would take at this rate, in seconds; at least 1.
pub(crate) fn estimate_secs(rate: &RestoreRate, bytes: u64) -> u64 {
    let ms = u128::from(bytes) * u128::from(rate.ms) / u128::from(rate.bytes.max(1));
    u64::try_from(ms.div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}
