//! What a restore came to, on the page of its job.

use super::restore::{Failure, failures, more_failures, paths_href, plan_href, snapshot_before};
use crate::format::{bytes, count, duration, many};
use crate::problem::Problem;
use fleet::FleetState;
use fleet::record::{Job, JobFigures, JobState, JobWhat, RestoreFigures, RestorePlan};
use serde::Serialize;

/// The result, and what to try next.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RestoredView {
    /// Of the callout: `ok`, `warn`, `fail`; empty = neither.
    pub(crate) class: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) title: String,
    pub(crate) text: String,
    /// The folder in which the files are.
    pub(crate) place: Option<String>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) more_failures: Option<String>,
    /// What the table of failures is called.
    pub(crate) failures_title: &'static str,
    /// The page with the same choices, and what that is called.
    pub(crate) again: Option<(String, &'static str)>,
    /// The failed files in the snapshot before, and what that is called.
    pub(crate) older: Option<(String, String)>,
    /// Where the repository is checked.
    pub(crate) check: Option<String>,
}

#[cfg(test)]
impl RestoredView {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            class: "warn",
            icon: "warning",
            title: s.text("1,203 of 1,206 files restored; 3 failed"),
            text: s.text("1.12 GiB in 19 s, 60.4 MiB/s."),
            place: s.some("/var/lib/holdfast/restored/holdfast-restore-4d02a9f1-20261123T064112Z"),
            failures: vec![Failure { path: s.text("/srv/a"), reason: s.text("damaged in the storage") }],
            more_failures: s.some("and 2 more: the log names them"),
            failures_title: "Not restored",
            again: Some(("/x".to_owned(), "Restore again")),
            older: Some(("/x".to_owned(), s.text("Try the snapshot before"))),
            check: Some("/x".to_owned()),
        }
    }
}

/// The result of a restore, or of a dry run, that has ended; `None` = it is another job, or has not.
pub(super) fn read(state: &FleetState, job: &Job) -> Result<Option<RestoredView>, Problem> {
    let (JobWhat::Restore(plan), true) = (&job.what, job.state.is_ended()) else { return Ok(None) };
    let none = RestoreFigures::default();
    let (done, has_figures) = match &job.figures {
        JobFigures::Restore(done) => (done, true),
        _ => (&none, false),
    };
    let host = state.host(job.repository_of())?;
    let again = if plan.dry_run { "Open the plan" } else { "Restore again" };
    let failed = has_figures && done.failed > 0 && !plan.dry_run;
    let older = match host.as_ref().filter(|_| failed && !done.failures.is_empty()) {
        Some(host) => snapshot_before(state, host, &plan.snapshot)?.map(|before| {
            let named = done.failures.iter().map(|failure| failure.path.as_str());
            let (href, tried) = paths_href(host.id, &before, named);
            (href, older_words(tried as u64, done.failed))
        }),
        None => None,
    };
    let (class, icon) = if plan.dry_run { ("", "note") } else { look(job, done, has_figures) };
    Ok(Some(RestoredView {
        class,
        icon,
        title: title(job, plan, done, has_figures),
        text: match (text(job, plan, done, has_figures), runner_of(state, job)?) {
            (text, Some(runner)) if has_figures && !plan.dry_run => format!("{text} They are on {runner}."),
            (text, _) => text,
        },
        place: Some(done.target.clone()).filter(|at| !plan.dry_run && !at.is_empty() && at != "/"),
        failures: failures(done),
        more_failures: more_failures(done),
        failures_title: if plan.dry_run { "Would not be restored" } else { "Not restored" },
        again: host.as_ref().map(|host| (plan_href(host.id, job.id), again)),
        older,
        check: host.as_ref().filter(|_| failed).map(|host| format!("/hosts/{}/repo#run-now", host.id)),
    }))
}

/// The host that does or did a job, when that is another one than the files are of.
pub(super) fn runner_of(state: &FleetState, job: &Job) -> Result<Option<String>, Problem> {
    if job.for_other().is_none() {
        return Ok(None);
    }
    let name = state.host(job.host)?.map_or_else(|| "a deleted host".to_owned(), |host| host.name);
    Ok(Some(name))
}

fn older_words(tried: u64, failed: u64) -> String {
    if tried >= failed {
        return "Try the snapshot before".to_owned();
    }
    format!("Try {} of the {} in the snapshot before", count(tried), count(failed))
}

/// Green only when all that was asked for was written.
fn look(job: &Job, done: &RestoreFigures, has_figures: bool) -> (&'static str, &'static str) {
    match job.state {
        JobState::Succeeded if has_figures && done.failed == 0 && done.skipped == 0 => ("ok", "ok"),
        JobState::Succeeded if has_figures && done.failed == 0 => ("", "note"),
        JobState::Succeeded | JobState::Warning => ("warn", "warning"),
        JobState::Cancelled => ("warn", "stop"),
        _ => ("fail", "failed"),
    }
}

fn title(job: &Job, plan: &RestorePlan, done: &RestoreFigures, has_figures: bool) -> String {
    let written = done.files.saturating_add(done.replaced);
    let all = written.saturating_add(done.skipped).saturating_add(done.failed);
    let has_result = matches!(job.state, JobState::Succeeded | JobState::Warning);
    match (has_figures, has_result) {
        (false, _) if plan.dry_run => "There is no plan".to_owned(),
        (false, _) if job.started_at.is_some() => "What was restored before it ended is not known".to_owned(),
        (false, _) => "Nothing was restored".to_owned(),
        (true, _) if plan.dry_run => {
            format!("{} of {} would be restored", count(written), many(all, "file"))
        }
        (true, false) => format!("{} restored before it ended", many(written, "file")),
        (true, true) if done.failed > 0 => {
            format!("{} of {} restored; {} failed", count(written), many(all, "file"), count(done.failed))
        }
        (true, true) if done.skipped > 0 => format!(
            "{} of {} restored; {} left alone, because they are there already",
            count(written),
            many(all, "file"),
            count(done.skipped)
        ),
        (true, true) if all == 0 && done.deleted == 0 => {
            "The folders were restored; there is no file in them".to_owned()
        }
        (true, true) => {
            let what =
                if all == 1 { "The file was".to_owned() } else { format!("All {}", many(all, "file")) };
            let verified = if done.verified { ", read back and equal" } else { "" };
            format!("{what} restored{verified}")
        }
    }
}

fn text(job: &Job, plan: &RestorePlan, done: &RestoreFigures, has_figures: bool) -> String {
    if !has_figures {
        return String::new();
    }
    if plan.dry_run {
        return "A dry run: nothing was written.".to_owned();
    }
    let ms = job.started_at.zip(job.finished_at).map(|(start, end)| end.ms_since(start)).unwrap_or_default();
    let mut parts = vec![bytes(done.bytes)];
    if ms >= 1_000 {
        parts = vec![format!("{} in {}", bytes(done.bytes), duration(ms / 1_000))];
        parts.push(format!("{}/s", bytes(done.bytes.saturating_mul(1_000) / ms)));
    }
    let mut text = format!("{}.", parts.join(", "));
    if done.target == "/" {
        text.push_str(" The files are where they were.");
    }
    if done.deleted > 0 {
        text.push_str(&format!(" {} deleted.", crate::words::many_entries(done.deleted)));
    }
    if !plan.verify {
        text.push_str(" They were not read back.");
    }
    if done.failed > 0 {
        text.push_str(
            " What failed is missing, or not whole where it was written. What is damaged in the repository may be whole in \
             an older snapshot; what the agent may not write needs another folder.",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::job_view::sample_job;
    use super::*;
    use crate::sample::Sample;
    use fleet::record::RestoreTarget;
    use schema::{HostId, Overwrite, Timestamp};

    fn told(state: JobState, done: Option<&RestoreFigures>) -> (&'static str, String, String) {
        let plan = RestorePlan {
            source: HostId([2; 16]),
            snapshot: "4d02a9f1".to_owned(),
            paths: Vec::new(),
            target: RestoreTarget::NewFolder { within: String::new() },
            overwrite: Overwrite::Never,
            delete: false,
            verify: true,
            dry_run: false,
        };
        let started = crate::sample::NOW;
        let job = Job {
            started_at: Some(started),
            finished_at: Some(Timestamp(started.0 + 19_000)),
            ..sample_job(&Sample::Example, state)
        };
        let (none, has) = (RestoreFigures::default(), done.is_some());
        let done = done.unwrap_or(&none);
        (look(&job, done, has).0, title(&job, &plan, done, has), text(&job, &plan, done, has))
    }

    #[test]
    fn it_is_never_green_when_anything_is_missing() {
        let done = |files, failed, skipped| {
            Some(RestoreFigures {
                files,
                failed,
                skipped,
                bytes: 1 << 30,
                verified: failed == 0,
                ..<_>::default()
            })
        };
        for (state, figures, class, says) in [
            (JobState::Succeeded, done(1_206, 0, 0), "ok", "All 1,206 files restored, read back and equal"),
            (JobState::Warning, done(1_203, 3, 0), "warn", "1,203 of 1,206 files restored; 3 failed"),
            (JobState::Succeeded, done(1_203, 3, 0), "warn", "1,203 of 1,206 files restored; 3 failed"),
            (JobState::Succeeded, done(1_000, 0, 6), "", "1,000 of 1,006 files restored; 6 left alone"),
            (JobState::Failed, done(7, 0, 0), "fail", "7 files restored before it ended"),
            (JobState::Cancelled, done(7, 0, 0), "warn", "7 files restored before it ended"),
            (JobState::Failed, None, "fail", "What was restored before it ended is not known"),
            (JobState::Succeeded, None, "warn", "What was restored before it ended is not known"),
        ] {
            let (got, title, _) = told(state, figures.as_ref());
            assert!(got == class && title.starts_with(says), "{state:?}: {got} {title}");
        }
        assert_eq!(older_words(3, 3), "Try the snapshot before");
        assert_eq!(older_words(100, 1_203), "Try 100 of the 1,203 in the snapshot before");
        let (_, _, text) = told(JobState::Succeeded, done(1_206, 0, 0).as_ref());
        assert_eq!(text, "1.00 GiB in 19 s, 53.9 MiB/s.");
    }
}
