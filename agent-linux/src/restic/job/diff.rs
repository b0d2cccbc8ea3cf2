//! A comparison of two snapshots: what differs, under its own names, and how large it is.

use super::{
    super::{args, diff::Sizes, event::JobEvent, outcome::Verdict, step::Step, summary::JobSummary},
    Job,
};

impl Job<'_> {
    pub(super) async fn diff(&mut self, steps: &[Step], (against, snapshot): (&str, &str)) -> Verdict {
        let mut done = self.first(steps).await;
        if !done.is_ok() {
            return done.verdict;
        }
        let mut found = core::mem::take(&mut done.found.differences);
        if found.has_odd()
            && let Some(step) = steps.first()
        {
            let plain = self.main_step(&args::raw_diff(step)).await;
            if !plain.is_ok() {
                return plain.verdict;
            }
            found.name_odd(&plain.found.differences);
        }
        let before = match self.sizes(against, found.paths_in(true)).await {
            Ok(sizes) => sizes,
            Err(verdict) => return verdict,
        };
        let now = match self.sizes(snapshot, found.paths_in(false)).await {
            Ok(sizes) => sizes,
            Err(verdict) => return verdict,
        };
        found.measure(&before, &now);
        self.summary = JobSummary::Differences(found.totals);
        for change in found.take() {
            // Nobody listens: the job goes on.
            let _ = self.wires.events.send(JobEvent::Hit(change)).await;
        }
        done.verdict
    }

    /// The sizes of these paths of a snapshot.
    async fn sizes(&mut self, snapshot: &str, paths: Vec<Vec<u8>>) -> Result<Sizes, Verdict> {
        if paths.is_empty() {
            return Ok(Sizes::new());
        }
        let step = args::sizes(snapshot, paths)
            .map_err(|error| Verdict::failed(schema::Class::Other, &error.to_string()))?;
        let done = self.main_step(&step).await;
        if done.is_ok() { Ok(done.found.differences.sizes) } else { Err(done.verdict) }
    }
}
