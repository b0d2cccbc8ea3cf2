//! How much backups added and how long they took, over the last ones.

use crate::chart::bars;
use crate::format::{bytes, day, duration, many};
use fleet::record::{Job, JobFigures, JobState};
use schema::Timestamp;
use serde::Serialize;

/// So many backups are looked at.
pub(crate) const LAST_BACKUPS: usize = 60;
/// With fewer there is nothing to compare.
const FEWEST: usize = 3;
const WIDTH: f64 = 288.0;
const HEIGHT: f64 = 56.0;

/// One chart: a bar a backup.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BarChart {
    pub(crate) title: &'static str,
    /// The newest one's value.
    pub(crate) last: String,
    pub(crate) path: String,
    /// The same in words.
    pub(crate) label: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// The charts of the backups that made a snapshot; none when there are too few. `jobs` come newest first.
pub(crate) fn charts(jobs: &[Job]) -> Vec<BarChart> {
    let mut done: Vec<(Timestamp, u64, u64)> = jobs
        .iter()
        .filter(|job| matches!(job.state, JobState::Succeeded | JobState::Warning))
        .filter_map(|job| {
            let JobFigures::Backup(figures) = &job.figures else { return None };
            let (start, end) = (job.started_at?, job.finished_at?);
            let added = figures.added_packed_bytes.unwrap_or(figures.added_bytes);
            Some((end, added, end.ms_since(start) / 1_000))
        })
        .collect();
    done.reverse();
    if done.len() < FEWEST {
        return Vec::new();
    }
    let added: Vec<u64> = done.iter().map(|backup| backup.1).collect();
    let took: Vec<u64> = done.iter().map(|backup| backup.2).collect();
    let (from, to) = (day(done[0].0), day(done[done.len() - 1].0));
    let chart = |title, values: &[u64], words: fn(u64) -> String| BarChart {
        title,
        last: words(values[values.len() - 1]),
        path: bars(values, WIDTH, HEIGHT),
        label: label(title, values, words, (&from, &to)),
        from: from.clone(),
        to: to.clone(),
    };
    vec![chart("Added by each backup", &added, bytes), chart("Time of each backup", &took, duration)]
}

fn label(title: &str, values: &[u64], words: fn(u64) -> String, (from, to): (&str, &str)) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    format!(
        "{title}, {} from {from} to {to}: least {}, middle {}, most {}, last {}",
        many(values.len() as u64, "backup"),
        words(sorted[0]),
        words(sorted[sorted.len() / 2]),
        words(sorted[sorted.len() - 1]),
        words(values[values.len() - 1]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::{Actor, BackupFigures, JobWhat};
    use schema::{CommandSeq, HostId, JobId};

    fn backup(at: u64, added: u64, secs: u64, state: JobState) -> Job {
        let what = JobWhat::Backup { group: "etc".to_owned() };
        let job =
            Job::new(JobId([1; 16]), HostId([1; 16]), what, Actor::System, Timestamp(at), CommandSeq(1));
        let figures = BackupFigures {
            snapshot: "0123abcd".to_owned(),
            files_new: 0,
            files_changed: 0,
            files_unmodified: 0,
            total_files: 0,
            total_bytes: 0,
            added_bytes: 9 * added,
            added_packed_bytes: Some(added),
            errors: 0,
            findings: Vec::new(),
            findings_left_out: 0,
        };
        Job {
            state,
            started_at: Some(Timestamp(at)),
            finished_at: Some(Timestamp(at + 1_000 * secs)),
            figures: JobFigures::Backup(figures),
            ..job
        }
    }

    #[test]
    fn charts_say_in_words_what_they_show_and_leave_failures_out() {
        let day = 86_400_000;
        let good = |n: u64| backup(n * day, 1024 * n, 60 * n, JobState::Succeeded);
        let jobs = [good(4), backup(3 * day, 1 << 40, 9_999, JobState::Failed), good(2), good(1)];
        let charts = charts(&jobs);
        assert_eq!(charts.len(), 2);
        assert_eq!(
            charts[0].label,
            "Added by each backup, 3 backups from 2 Jan to 5 Jan: least 1.00 KiB, middle 2.00 KiB, most 4.00 KiB, last 4.00 KiB"
        );
        assert!(
            charts[1].label.ends_with("least 1 min, middle 2 min, most 4 min, last 4 min"),
            "{}",
            charts[1].label
        );
        assert!(super::charts(&jobs[..2]).is_empty(), "one is nothing to compare");
    }
}
