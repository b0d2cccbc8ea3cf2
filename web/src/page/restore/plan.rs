//! The third part: what a dry run has found, and whether it may be done.

use super::super::fact::Fact;
use super::failures::{Failure, failures, more_failures};
use super::reach::Reach;
use crate::explanation::Explanation;
use crate::format::{When, bytes, count, many, span};
use crate::words::{job_result, many_entries, ran, restore_target};
use fleet::record::{Host, Job, JobFigures, JobState, JobWhat, RestoreFigures, RestorePlan, RestoreTarget};
use fleet::{FleetState, JobFilter, Page, StoreError};
use schema::{Class, HostId, JobKind, Overwrite, Timestamp};
use serde::Serialize;

/// A plan that is older than this is made again: what is there may be another by now.
const GOOD_FOR_MS: u64 = 60 * 60 * 1_000;

/// How many restores since a plan are looked through for one that was started by it.
const MOST_LATER: usize = 200;

/// What is said where files of all the names are there and stay.
const NOTHING_WRITTEN: &str = "Nothing would be written: files of these names are there already and stay, whatever is in them. \
     Make the plan again with another choice to replace them.";

/// A restore that ended before it was done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Unfinished {
    pub(crate) href: String,
    pub(crate) when: When,
}

/// A line of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PlanRow {
    pub(crate) class: &'static str,
    pub(crate) verb: &'static str,
    pub(crate) what: &'static str,
    pub(crate) much: String,
}

/// The part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlanView {
    pub(crate) job: String,
    pub(crate) job_href: String,
    /// The dry run runs or waits: its end changes this.
    pub(crate) open: bool,
    pub(crate) waits: String,
    /// When it ended, and how long it took.
    pub(crate) made: Option<When>,
    pub(crate) took: Option<String>,
    /// Why there is no plan.
    pub(crate) failed: Option<(String, String)>,
    pub(crate) total: String,
    pub(crate) rows: Vec<PlanRow>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) more_failures: Option<String>,
    /// What is lost by it.
    pub(crate) loses: Option<String>,
    /// What the snapshot is known to lack, where what it lacks is deleted.
    pub(crate) lacks: Option<String>,
    /// The room that lacks.
    pub(crate) no_space: Option<String>,
    /// A restore to the same place that was not whole.
    pub(crate) unfinished: Option<Unfinished>,
    pub(crate) is_estimate: bool,
    pub(crate) facts: Vec<Fact>,
    pub(crate) button: String,
    /// Why it can't be done now.
    pub(crate) why: Option<String>,
    /// The name that has to be typed.
    pub(crate) confirm: Option<String>,
    pub(crate) typed: String,
}

#[cfg(test)]
impl PlanView {
    pub(crate) fn sample(s: &crate::sample::Sample, is_open: bool) -> Self {
        let figures =
            RestoreFigures { files: 1_189, replaced: 14, deleted: 3, skipped: 31, ..<_>::default() };
        Self {
            job: "02".to_owned(),
            job_href: "/jobs/02".to_owned(),
            open: is_open,
            waits: s.text("Being sent to the host."),
            made: (!is_open).then(|| s.when()),
            took: s.some("4 s"),
            failed: (!is_open)
                .then(|| (s.text("The host's own policy forbids it"), s.text("Not into /etc."))),
            total: s.text("1,237 files, 4.60 GiB"),
            rows: rows(&figures),
            failures: vec![Failure { path: s.text("/srv/a"), reason: s.text("not in this snapshot") }],
            more_failures: s.some("and 7 more: the log names them"),
            loses: s.some("14 files are replaced and 3 deleted."),
            lacks: s.some("missing /srv/photos"),
            no_space: s.some("4.60 GiB are needed, 1.20 GiB are free."),
            unfinished: Some(Unfinished { href: "/jobs/01".to_owned(), when: s.when() }),
            is_estimate: true,
            facts: Fact::samples(s),
            button: s.text("Restore 1,203 files, 4.60 GiB"),
            why: s.some("The host is offline."),
            confirm: s.some("boat-pi"),
            typed: s.text("boat"),
        }
    }
}

/// The plan of a dry run, if this job is one for files of this host.
pub(super) fn of_dry_run<'a>(job: &'a Job, host: &Host) -> Option<&'a RestorePlan> {
    match &job.what {
        JobWhat::Restore(plan) if plan.source == host.id && plan.dry_run => Some(plan),
        _ => None,
    }
}

/// The restore that a dry run was made for.
pub(super) fn in_earnest(plan: &RestorePlan) -> RestorePlan {
    RestorePlan { dry_run: false, ..plan.clone() }
}

const fn has_result(job: &Job) -> bool {
    matches!(job.state, JobState::Succeeded | JobState::Warning)
}

/// When a restore by this plan was asked for, if one was.
pub(super) fn used_at(state: &FleetState, job: &Job) -> Result<Option<Timestamp>, StoreError> {
    let (JobWhat::Restore(plan), Some(since)) = (&job.what, job.finished_at) else { return Ok(None) };
    let earnest = JobWhat::Restore(in_earnest(plan));
    let filter = JobFilter {
        host: Some(job.host),
        kind: Some(JobKind::Restore),
        since: Some(since.min(job.created_at)),
        ..JobFilter::default()
    };
    let later = state.jobs(&filter, &Page { limit: MOST_LATER, ..Page::default() })?.items;
    Ok(later
        .into_iter()
        .find(|later| later.id > job.id && later.what == earnest)
        .map(|later| later.created_at))
}

/// Whether a restore that is made again meets files that are not whole: they look like files, and only a comparison of
/// their content tells. One into a new folder makes another one.
pub(super) fn may_have_left_unfinished(job: &Job, plan: &RestorePlan) -> bool {
    may_be_unfinished(job) && !plan.dry_run && !matches!(plan.target, RestoreTarget::NewFolder { .. })
}

/// Whether a restore may have left files that are not whole.
fn may_be_unfinished(job: &Job) -> bool {
    match (job.state, &job.figures) {
        (JobState::Succeeded, JobFigures::Restore(done)) => done.failed > 0,
        (JobState::Succeeded, _) => false,
        (JobState::Failed, _) => !is_refused_before(job.class) && job.started_at.is_some(),
        (JobState::Warning | JobState::Lost | JobState::Cancelled, _) => job.started_at.is_some(),
        _ => false,
    }
}

/// Whether a restore that failed of this has written nothing.
const fn is_refused_before(class: Option<Class>) -> bool {
    matches!(
        class,
        Some(
            Class::Policy
                | Class::NotInSnapshot
                | Class::NoCredentials
                | Class::ResticMissing
                | Class::NotNow
        )
    )
}

/// The newest restore of this host's that may have left files unfinished where this one writes, unless the same has been
/// written over them since; only where the plan would leave them alone.
pub(super) fn unfinished_there(
    state: &FleetState,
    runner: HostId,
    plan: &RestorePlan,
) -> Result<Option<Job>, StoreError> {
    let Some(reach) = Reach::of(plan, &JobFigures::None).filter(|_| plan.overwrite != Overwrite::Always)
    else {
        return Ok(None);
    };
    let filter = JobFilter { host: Some(runner), kind: Some(JobKind::Restore), ..JobFilter::default() };
    let jobs = state.jobs(&filter, &Page { limit: MOST_LATER, ..Page::default() })?.items;
    let mut whole = Vec::new();
    for job in jobs {
        let JobWhat::Restore(other) = &job.what else { continue };
        if other.dry_run || !Reach::of(other, &job.figures).is_some_and(|other| other.meets(&reach)) {
            continue;
        }
        let what = (other.source, other.paths.clone(), other.target.clone());
        if may_be_unfinished(&job) {
            if !whole.contains(&what) {
                return Ok(Some(job));
            }
        } else if other.overwrite == Overwrite::Always && job.state == JobState::Succeeded {
            whole.push(what);
        }
    }
    Ok(None)
}

/// Why what a dry run has found is no ground to restore now: pure.
pub(super) fn why_not_yet(now: Timestamp, job: &Job, used_at: Option<Timestamp>) -> Option<String> {
    if !job.state.is_ended() {
        return Some("The dry run has not ended yet.".to_owned());
    }
    let JobFigures::Restore(found) = &job.figures else {
        return Some("The dry run came to nothing: make the plan again.".to_owned());
    };
    if !has_result(job) {
        return Some("The dry run did not come to its end: make the plan again.".to_owned());
    }
    let old_ms = now.ms_since(job.finished_at.unwrap_or(job.created_at));
    if old_ms > GOOD_FOR_MS {
        return Some(format!(
            "The plan is {} old, and what is there may have changed: make it again.",
            span(old_ms)
        ));
    }
    if let Some(used_at) = used_at {
        return Some(format!(
            "This very restore was started {} ago: make the plan again.",
            span(now.ms_since(used_at))
        ));
    }
    let changes = found.files.saturating_add(found.replaced).saturating_add(found.deleted);
    match (changes, found.failed) {
        // Folders are no files: empty ones are made all the same.
        (0, 0) if found.skipped == 0 => None,
        (0, 0) => Some(NOTHING_WRITTEN.to_owned()),
        (0, _) => Some("Nothing of it can be restored.".to_owned()),
        _ => None,
    }
}

/// What is shown of it; `host` is the one that does it, `why` is why it can't be done now.
pub(super) fn view(
    host: &Host,
    job: &Job,
    plan: &RestorePlan,
    why: Option<String>,
    unfinished: Option<&Job>,
) -> PlanView {
    let ended = job.state.is_ended();
    let none = RestoreFigures::default();
    let (found, has_figures) = match &job.figures {
        JobFigures::Restore(found) => (found, true),
        _ => (&none, false),
    };
    let has_plan = has_figures && has_result(job);
    let failed = (ended && !has_plan).then(|| {
        let title = Explanation::of(job).map_or("The dry run did not come to its end", |cause| cause.title);
        (title.to_owned(), job.message.clone())
    });
    let earnest = in_earnest(plan);
    let needs = found.free_bytes.filter(|free| *free < found.bytes);
    PlanView {
        job: job.id.to_string(),
        job_href: format!("/jobs/{}", job.id),
        open: !ended,
        waits: job_result(job, None),
        made: ended.then(|| When::short(job.finished_at.unwrap_or(job.created_at))),
        took: ran(job),
        failed,
        total: match all_of(found) {
            0 if has_plan => "Only folders without files".to_owned(),
            all => format!("{}, {}", many(all, "file"), bytes(found.bytes)),
        },
        rows: if has_plan { rows(found) } else { Vec::new() },
        failures: failures(found),
        more_failures: more_failures(found),
        loses: if has_plan { loses(found) } else { None },
        lacks: None,
        unfinished: unfinished.map(|job| Unfinished {
            href: format!("/jobs/{}", job.id),
            when: When::short(job.finished_at.unwrap_or(job.created_at)),
        }),
        no_space: needs.map(|free| format!("{} are needed, {} are free.", bytes(found.bytes), bytes(free))),
        is_estimate: has_plan && found.is_estimate,
        facts: facts(host, plan, found),
        button: button(found),
        why,
        confirm: (has_plan && earnest.must_be_confirmed()).then(|| host.name.clone()),
        typed: String::new(),
    }
}

/// All that was asked for and is in the snapshot.
fn all_of(found: &RestoreFigures) -> u64 {
    [found.replaced, found.skipped, found.failed].into_iter().fold(found.files, u64::saturating_add)
}

fn rows(found: &RestoreFigures) -> Vec<PlanRow> {
    let row = |class, verb, what, number| PlanRow { class, verb, what, much: many(number, "file") };
    let mut rows = vec![
        row("is-add", "Written", "are not there now", found.files),
        row("is-change", "Replaced", "are there, and are written anew", found.replaced),
        PlanRow {
            much: count(found.deleted),
            ..row("is-gone", "Deleted", "files and folders that are there and not in the snapshot", 0)
        },
        row("is-none", "Left alone", "are there, and stay as they are", found.skipped),
    ];
    if found.failed > 0 {
        rows.push(row("is-gone", "Failed", "can't be restored", found.failed));
    }
    rows
}

fn loses(found: &RestoreFigures) -> Option<String> {
    let verb = |number: u64| if number == 1 { "is" } else { "are" };
    let (replaced, deleted) = (found.replaced, found.deleted);
    match (replaced, deleted) {
        (0, 0) => None,
        (0, _) => Some(format!("{} {} deleted.", many_entries(deleted), verb(deleted))),
        (_, 0) => Some(format!("{} {} replaced.", many(replaced, "file"), verb(replaced))),
        _ => Some(format!(
            "{} {} replaced and {} deleted.",
            many(replaced, "file"),
            verb(replaced),
            count(deleted)
        )),
    }
}

fn button(found: &RestoreFigures) -> String {
    let written = found.files.saturating_add(found.replaced);
    match (written, found.deleted) {
        (0, 0) => "Restore the folders".to_owned(),
        (_, 0) => format!("Restore {}, {}", many(written, "file"), bytes(found.bytes)),
        (_, deleted) => {
            format!("Restore {}, {}, delete {}", many(written, "file"), bytes(found.bytes), count(deleted))
        }
    }
}

fn facts(host: &Host, plan: &RestorePlan, found: &RestoreFigures) -> Vec<Fact> {
    let place = match found.target.as_str() {
        "" | "/" => String::new(),
        path => path.to_owned(),
    };
    let space = match found.free_bytes {
        Some(free) => Fact::new("Space", format!("{} free", bytes(free)))
            .note(format!("{} are written", bytes(found.bytes))),
        None => Fact::new("Space", "not known"),
    };
    vec![
        Fact::new("To", format!("{}, on {}", restore_target(&plan.target), host.name)).note(place),
        space,
        Fact::new("Verify", if plan.verify { "read back and compared" } else { "no" }),
        Fact::new("Owner, times", "as in the snapshot").note("as far as the agent may set them"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::job_view::sample_job;
    use super::*;
    use crate::sample::{NOW, Sample};

    fn dry_run(state: JobState, figures: Option<RestoreFigures>) -> Job {
        let plan = RestorePlan {
            source: HostId([2; 16]),
            snapshot: "4d02a9f1".to_owned(),
            paths: vec!["/srv/a".to_owned()],
            target: RestoreTarget::Original,
            overwrite: Overwrite::Always,
            delete: true,
            verify: true,
            dry_run: true,
        };
        Job {
            what: JobWhat::Restore(plan),
            figures: figures.map_or(JobFigures::None, JobFigures::Restore),
            class: None,
            ..sample_job(&Sample::Example, state)
        }
    }

    #[test]
    fn only_a_fresh_plan_that_changes_something_is_a_ground_to_restore() {
        let found =
            |files, deleted, failed| Some(RestoreFigures { files, deleted, failed, ..<_>::default() });
        let there = Some(RestoreFigures { skipped: 2, ..<_>::default() });
        for (job, late_ms, says) in [
            (dry_run(JobState::Succeeded, found(3, 0, 0)), 0, None),
            (dry_run(JobState::Succeeded, found(0, 2, 0)), GOOD_FOR_MS, None),
            (dry_run(JobState::Warning, found(3, 0, 1)), 0, None),
            (dry_run(JobState::Succeeded, found(3, 0, 0)), GOOD_FOR_MS + 1, Some("60 min old")),
            (dry_run(JobState::Running, None), 0, Some("not ended")),
            (dry_run(JobState::Failed, None), 0, Some("came to nothing")),
            (dry_run(JobState::Failed, found(3, 0, 0)), 0, Some("come to its end")),
            (dry_run(JobState::Succeeded, there), 0, Some("Nothing would be written")),
            (dry_run(JobState::Succeeded, found(0, 0, 0)), 0, None),
            (dry_run(JobState::Warning, found(0, 0, 2)), 0, Some("Nothing of it")),
        ] {
            let why = why_not_yet(NOW.plus_ms(late_ms), &job, None);
            match says {
                None => assert_eq!(why, None),
                Some(says) => {
                    assert!(why.as_deref().is_some_and(|why| why.contains(says)), "{says}: {why:?}");
                }
            }
        }
        let job = dry_run(JobState::Succeeded, found(3, 0, 0));
        let why = why_not_yet(NOW.plus_ms(180_000), &job, Some(NOW)).unwrap();
        assert!(why.contains("was started 3 min ago"), "{why}");
    }

    #[test]
    fn the_button_carries_the_numbers_and_the_losses_are_told() {
        let found = |files, replaced, deleted| RestoreFigures {
            files,
            replaced,
            deleted,
            bytes: 4_939_212_390,
            ..<_>::default()
        };
        assert_eq!(button(&found(1_189, 14, 0)), "Restore 1,203 files, 4.60 GiB");
        assert_eq!(button(&found(0, 1, 1_200)), "Restore 1 file, 4.60 GiB, delete 1,200");
        assert_eq!(button(&found(0, 0, 0)), "Restore the folders");
        assert_eq!(loses(&found(9, 0, 0)), None);
        assert_eq!(loses(&found(9, 14, 3)).unwrap(), "14 files are replaced and 3 deleted.");
        assert_eq!(loses(&found(9, 1, 0)).unwrap(), "1 file is replaced.");
        assert_eq!(loses(&found(9, 0, 1)).unwrap(), "1 entry is deleted.");
    }
}
