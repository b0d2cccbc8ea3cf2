//! A search by name: which snapshots are looked through, and what is found in them.

use super::{
    super::{args, find::OddHit, outcome::Verdict, step::Step, summary::JobSummary},
    Job,
    kinds::many,
};
use schema::{Timestamp, job::FindSpec, limits::MAX_FIND_SNAPSHOTS};

impl Job<'_> {
    pub(super) async fn find(&mut self, steps: &[Step], spec: &FindSpec<'_>) -> Verdict {
        let mut done = self.first(steps).await;
        if done.is_ok() && done.found.snapshots == 0 && spec.members.is_empty() {
            // Whoever has adopted a repository looks for what others have saved.
            done = self.main_step(&args::choose_any()).await;
        }
        if !done.is_ok() {
            return done.verdict;
        }
        let listed = done.found.listed.into_iter().rev().collect();
        let (chosen, mut snapshots_left_out) = choose(listed, spec.newest, spec.since);
        snapshots_left_out = snapshots_left_out.saturating_add(done.found.ignored);
        if chosen.is_empty() {
            self.summary = JobSummary::Found { snapshots: 0, snapshots_left_out, hits: 0, left_out: 0 };
            return done.verdict;
        }
        let snapshots = many(chosen.len());
        let step = args::find(spec, chosen);
        let done = self.main_step(&step).await;
        if !done.is_ok() {
            return done.verdict;
        }
        let (mut hits, mut left_out) = (done.found.searched.hits, done.found.searched.left_out);
        let odd = done.found.searched.odd;
        if !odd.is_empty() {
            match self.name_found(&step, odd).await {
                Ok(lost) => {
                    hits = hits.saturating_sub(lost);
                    left_out = left_out.saturating_add(lost);
                }
                Err(verdict) => return verdict,
            }
        }
        // What was removed meanwhile could not be looked through.
        let gone = done.found.ignored.min(snapshots);
        self.summary = JobSummary::Found {
            snapshots: snapshots - gone,
            snapshots_left_out: snapshots_left_out.saturating_add(gone),
            hits,
            left_out,
        };
        done.verdict
    }

    /// Tells of what has a name that JSON can't hold; of how many no name is found.
    async fn name_found(&mut self, find: &Step, odd: Vec<OddHit>) -> Result<u32, Verdict> {
        let all = many(odd.len());
        let done = self.main_step(&args::raw_find(find, odd)).await;
        if done.is_ok() { Ok(all.saturating_sub(done.found.searched.hits)) } else { Err(done.verdict) }
    }
}

/// Which snapshots, newest first, are looked through, and how many more were asked for.
fn choose(
    newest_first: Vec<(Timestamp, String)>,
    newest: u32,
    since: Option<Timestamp>,
) -> (Vec<(Timestamp, String)>, u32) {
    let most = usize::try_from(newest).ok().filter(|&newest| newest > 0).unwrap_or(usize::MAX);
    let mut asked: Vec<_> = newest_first
        .into_iter()
        .filter(|(at, _)| since.is_none_or(|since| *at >= since))
        .take(most)
        .collect();
    let room = asked.len().min(MAX_FIND_SNAPSHOTS as usize);
    let left_out = many(asked.len() - room);
    asked.truncate(room);
    (asked, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_looked_through_and_what_is_beyond_one_search_is_counted() {
        let listed = |count: u64| (0..count).rev().map(|at| (Timestamp(at), format!("{at:064x}"))).collect();
        let chosen = |count, newest, since: Option<u64>| {
            let (chosen, left_out) = choose(listed(count), newest, since.map(Timestamp));
            (chosen.len(), chosen.first().map(|(at, _)| at.0), left_out)
        };
        assert_eq!(chosen(0, 0, None), (0, None, 0));
        assert_eq!(chosen(5, 0, None), (5, Some(4), 0));
        assert_eq!(chosen(5, 2, None), (2, Some(4), 0), "no more was asked for");
        assert_eq!(chosen(5, 9, Some(3)), (2, Some(4), 0));
        assert_eq!(chosen(350, 0, None), (300, Some(349), 50));
        assert_eq!(chosen(350, 320, Some(40)), (300, Some(349), 10));
    }
}
