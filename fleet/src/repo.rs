//! The projection of a repository's figures, and its thinned history.
//!
//! An older message never overwrites a newer one: within a journal the revision decides, whatever the host's clock says,
//! which may be set both ways between two. Against what another host on the same repository saw, times decide; they are
//! corrected by what is known of each host's clock, and none lies in the future. A size that can't be leaves what is known, so that one absurd message does not spoil the history.
//!
//! What one host says of a repository that others share is kept apart in each of them ([`shared_repository`]).
//!
//! Which repository a host uses changes by what people do: new credentials, a test of them, an init. Another one that
//! is found in its place is not taken for it: what is known stays, and the host has failed until somebody looks.

pub(crate) mod partners;
mod row;
mod shared_repository;
pub(crate) mod sharing;

use row::write;

use crate::audit;
use crate::bounds::{MOST_BYTES, clip};
use crate::credentials;
use crate::host_clock::HostClock;
use crate::hosts;
use crate::maintenance::last_run;
use crate::op::Op;
use crate::record::{
    AuditAction, CheckSeen, Dated, Job, JobFigures, JobState, JobWhat, LockHolder, LockView, PruneSeen,
    Replaced, RepoPoint, RepoState, SizeSeen, SnapshotsSeen, Tested,
};
use crate::refused::StoreError;
use crate::soundness;
use crate::store::{HISTORY, JOBS, REPO_HOSTS, REPOS, Reads, Span};
use crate::units::DAY_MS;
use schema::stats::SizeSource;
use schema::{Class, HostId, JobId, RepoId, RepoStats, Slot, Stream, Timestamp};

const HOUR_MS: u64 = 3_600_000;
/// Hourly points are kept for this long…
const HOURLY_FOR_MS: u64 = 7 * DAY_MS;
/// …and daily ones for this long.
const DAILY_FOR_MS: u64 = 730 * DAY_MS;

/// Merges a message into the projection: pure. `false` = it says nothing new.
///
/// `stream` is the journal that the agent writes now; a message of another one counts only by the times in it.
pub(crate) fn merge(
    state: &mut RepoState,
    stats: &RepoStats<'_>,
    stream: Option<Stream>,
    about: About,
    now: Timestamp,
) -> bool {
    let before = state.clone();
    let is_current = stream == Some(stats.stream);
    if let Some((stream, revision, _)) = state.newest
        && stream == stats.stream
        && stats.revision <= revision
    {
        return false;
    }
    let at = |at: Timestamp| about.clock.corrected(at).min(now);
    if let Some(repo) = stats.repo
        && (is_current || state.repo.is_none())
    {
        if state.repo.is_some_and(|known| known != repo) && !about.may_differ(state.repo_at) {
            let known = state.replaced.filter(|known| known.by == repo);
            state.replaced = known.or(Some(Replaced { by: repo, at: now, job: stats.job }));
            state.newest = Some((stats.stream, stats.revision, at(stats.at)));
            return *state != before;
        }
        set_repo(state, repo, about.job_made_at);
    }
    // Each figure is repeated until there is another: news is what has another date, by whatever clock. Of this host's
    // own words the later ones count; against what another one saw, the time does.
    let news = |stated: Option<Dated>, known: Option<(Timestamp, bool)>, said: Timestamp, is_same: bool| {
        let seen = Dated { said, at: at(said) };
        match (is_current, stated, known) {
            // Of a journal that has ended: it fills gaps.
            (false, ..) => known.is_none().then_some(seen),
            (true, Some(stated), _) if stated.said == said && is_same => None,
            (true, Some(_), Some((known, true))) => Some(Dated { at: seen.at.max(known), ..seen }),
            (true, _, known) => known.is_none_or(|(known, _)| known <= seen.at).then_some(seen),
        }
    };
    let own = |stated: Option<Dated>, at: Timestamp| (at, stated.is_some_and(|stated| stated.at == at));
    let size = stats.size.filter(|size| size.bytes <= MOST_BYTES);
    if let Some(size) = size
        && let Some(dated) = {
            let known = state.size.as_ref().map(|it| own(state.stated.size, it.at));
            let is_same = state.size.as_ref().is_some_and(|it| it.bytes == size.bytes);
            news(state.stated.size, known, size.at, is_same)
        }
    {
        let measured = matches!(size.source, SizeSource::Measured);
        state.size = Some(SizeSeen { at: dated.at, bytes: size.bytes, measured });
        state.stated.size = Some(dated);
    }
    if let Some(seen) = stats.snapshots
        && let Some(dated) = {
            let known = state.snapshots.as_ref().map(|it| own(state.stated.snapshots, it.at));
            let is_same = state.snapshots.as_ref().is_some_and(|it| it.count == seen.count);
            news(state.stated.snapshots, known, seen.at, is_same)
        }
    {
        let newest_at = seen.newest_at.map(|newest| newest.min(now));
        state.snapshots = Some(SnapshotsSeen { at: dated.at, count: seen.count, newest_at });
        state.stated.snapshots = Some(dated);
    }
    if let Some(seen) = stats.check
        && let Some(dated) = {
            // Damage counts whatever another host saw later.
            let known = state.check.as_ref().map(|it| (it.at, it.by.is_none() || seen.errors > 0));
            let is_same = state.check.as_ref().is_some_and(|it| it.errors >= seen.errors);
            news(state.stated.check, known, seen.at, is_same)
        }
    {
        state.stated.check = Some(dated);
        if counts(state.check.as_ref(), seen.errors, seen.subset_pct) {
            let (errors, subset_pct) = (seen.errors, seen.subset_pct);
            state.check = Some(CheckSeen { at: dated.at, errors, subset_pct, by: None });
        }
    }
    if let Some(seen) = stats.prune
        && let Some(dated) = {
            let known = state.prune.as_ref().map(|it| (it.at, it.by.is_none()));
            let is_same =
                state.prune.as_ref().is_some_and(|it| it.freed_bytes == seen.freed_bytes.min(MOST_BYTES));
            news(state.stated.prune, known, seen.at, is_same)
        }
    {
        let freed_bytes = seen.freed_bytes.min(MOST_BYTES);
        state.prune = Some(PruneSeen { at: dated.at, freed_bytes, by: None });
        state.stated.prune = Some(dated);
    }
    if let Some(seen) = stats.lock {
        let holder = seen.lock.map(|lock| LockHolder {
            since: lock.since.min(now),
            exclusive: lock.exclusive,
            hostname: clip(lock.hostname),
            username: clip(lock.username),
            pid: lock.pid,
            stale: lock.stale,
        });
        let known = state.lock.as_ref().map(|it| own(state.stated.lock, it.at));
        let mark = |holder: &Option<LockHolder>| holder.as_ref().map(LockHolder::mark);
        let is_same = state.lock.as_ref().is_some_and(|it| mark(&it.holder) == mark(&holder));
        if let Some(dated) = news(state.stated.lock, known, seen.at, is_same) {
            state.lock = Some(LockView { at: dated.at, holder });
            state.stated.lock = Some(dated);
        }
    }
    if is_current {
        state.newest = Some((stats.stream, stats.revision, at(stats.at)));
    }
    *state != before
}

/// Whether a check says how the repository stands: errors do; that there are none does not while errors are known
/// that were found by reading more of the data.
fn counts(known: Option<&CheckSeen>, errors: u32, subset_pct: u8) -> bool {
    errors > 0 || known.is_none_or(|known| known.errors == 0 || subset_pct >= known.subset_pct)
}

/// What is known around a message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About {
    /// When the everyday credentials changed last.
    pub(crate) credentials_at: Option<Timestamp>,
    /// When the job was made that it tells of.
    pub(crate) job_made_at: Option<Timestamp>,
    /// That job is a test or an init: it finds out which repository the host uses.
    pub(crate) identifies: bool,
    /// The host's clock.
    pub(crate) clock: HostClock,
}

impl About {
    /// Whether another repository than the one that was found last is no surprise.
    fn may_differ(self, found_at: Option<Timestamp>) -> bool {
        self.identifies || found_at.is_none() || self.credentials_at > found_at
    }
}

/// Another repository: the figures of the old one say nothing of it.
fn set_repo(state: &mut RepoState, repo: RepoId, job_made_at: Option<Timestamp>) {
    state.replaced = None;
    if state.repo.is_some_and(|known| known != repo) {
        *state = RepoState {
            newest: state.newest,
            tested: state.tested.take(),
            claimed: std::mem::take(&mut state.claimed),
            stated: state.stated,
            ..RepoState::default()
        };
    }
    state.repo = Some(repo);
    state.repo_at = state.repo_at.max(job_made_at);
}

/// Takes a stats message.
pub(crate) fn take_stats(
    op: &mut Op<'_, '_>,
    host: HostId,
    stats: &RepoStats<'_>,
    stream: Option<Stream>,
) -> Result<bool, StoreError> {
    let before = op.tx.get(&REPOS, &host)?.unwrap_or_default();
    let mut after = before.clone();
    let job = stats.job.map(|job| op.tx.get(&JOBS, &job)).transpose()?.flatten();
    let job = job.filter(|job| job.host == host);
    let stats = &RepoStats { job: job.as_ref().map(|job| job.id), ..*stats };
    let credentials = credentials::row_of(op.tx, host, Slot::Repo)?.and_then(|row| row.facts);
    let about = About {
        credentials_at: credentials.map(|facts| facts.updated_at),
        identifies: job.as_ref().is_some_and(|job| matches!(job.what, JobWhat::Probe | JobWhat::Init)),
        job_made_at: job.map(|job| job.created_at),
        clock: HostClock::of(op.tx, host)?,
    };
    if !merge(&mut after, stats, stream, about, op.now) {
        return Ok(false);
    }
    if let (None, Some(replaced)) = (before.replaced, after.replaced) {
        let instead_of = before.repo.map_or_else(String::new, partners::short);
        let words = format!("{} instead of {instead_of}", partners::short(replaced.by));
        let target = hosts::target(op.tx, host)?;
        audit::note(op, AuditAction::RepoReplaced, target, words)?;
    }
    save(op, host, &before, after, stats.job)?;
    Ok(true)
}

/// The point of history that a message makes: one for each new size, at its time. A count of snapshots alone makes
/// none, for what they take was not looked at.
fn point(before: &RepoState, after: &RepoState) -> Option<RepoPoint> {
    let size = after.size.as_ref().filter(|_| after.size != before.size)?;
    let came_with_it = after.snapshots != before.snapshots;
    let counted = after.snapshots.as_ref().filter(|counted| came_with_it || counted.at <= size.at);
    Some(RepoPoint { at: size.at, bytes: size.bytes, snapshots: counted.map(|counted| counted.count) })
}

/// Takes what a job that has ended tells of the repository.
pub(crate) fn take_job(op: &mut Op<'_, '_>, job: &Job) -> Result<(), StoreError> {
    let before = op.tx.get(&REPOS, &job.host)?.unwrap_or_default();
    let mut after = before.clone();
    let at = job.finished_at.unwrap_or(op.now).min(op.now);
    // A test that was broken off says nothing of the credentials.
    if job.what == JobWhat::Probe && job.ended_by().is_none() && !credentials::is_outdated(op.tx, job)? {
        let well = job.state == JobState::Succeeded;
        after.tested = Some(Tested { job: job.id, at, well, class: job.class });
    }
    match &job.figures {
        JobFigures::Probe(probe) => {
            if let Some(repo) = probe.repo {
                set_repo(&mut after, repo, Some(job.created_at));
            }
            if let Some(append_only) = probe.append_only {
                after.append_only = Some((append_only, at));
            }
        }
        JobFigures::Init { repo } => {
            set_repo(&mut after, *repo, Some(job.created_at));
            after.is_own = job.state == JobState::Succeeded && !credentials::is_outdated(op.tx, job)?;
        }
        _ => {}
    }
    // Without others it was the everyday credentials that may not delete.
    if job.class == Some(Class::AppendOnly) && !credentials::is_set(op.tx, job.host, Slot::Admin)? {
        after.append_only = Some((true, at));
    }
    let is_made = after.is_own && !before.is_own;
    if after != before {
        save(op, job.host, &before, after, Some(job.id))?;
    }
    if is_made {
        soundness::past::repository_made(op, job.host)?;
    }
    shared_repository::tell_done(op, job)
}

fn save(
    op: &mut Op<'_, '_>,
    host: HostId,
    before: &RepoState,
    mut after: RepoState,
    job: Option<JobId>,
) -> Result<(), StoreError> {
    if before.repo != after.repo {
        if let Some(old) = before.repo {
            op.tx.remove(&REPO_HOSTS, &(old, host))?;
            op.tx.remove_all(&HISTORY, &Span::under(&host))?;
            // What was saved since another one was found in its place went there.
            let (since, first) =
                before.replaced.map_or((op.now, job), |replaced| (replaced.at, replaced.job));
            last_run::repository_changed(op.tx, host, since)?;
            if !after.is_own {
                soundness::past::repository_changed(op, host)?;
            }
            hosts::change_summary(op.tx, host, |summary| summary.repository_changed(first))?;
            last_run::groups_changed(op.tx, host)?;
        }
        if let Some(new) = after.repo {
            op.tx.put(&REPO_HOSTS, &(new, host), &())?;
            // From here on it is known by its new name.
            op.tx.put(&REPOS, &host, &after)?;
            after.told = shared_repository::learn(op.tx, host)?;
            partners::note_claim(op, host, &mut after)?;
        }
    }
    after.own_check_counts();
    write(op.tx, host, &after)?;
    hosts::shown_in_incidents(op.tx, host)?;
    if let Some(point) = point(before, &after) {
        add_point(op, host, &point)?;
    }
    shared_repository::tell(op, host, &after)
}

/// Adds a point of history: the last one of an hour counts. The rest is thinned when a day begins.
fn add_point(op: &mut Op<'_, '_>, host: HostId, point: &RepoPoint) -> Result<(), StoreError> {
    let own = Span::under(&host);
    // What lies ahead was written by a clock that was wrong.
    let last = op.tx.last(&HISTORY, &own.clone().through(&(host, op.now.0)))?.map(|(_, last)| last.at);
    let hour = point.at.0 / HOUR_MS * HOUR_MS;
    op.tx.remove_all(&HISTORY, &own.clone().from(&(host, hour)).before(&(host, hour + HOUR_MS)))?;
    op.tx.put(&HISTORY, &(host, point.at.0), point)?;
    if last.is_none_or(|last| last.0 / DAY_MS != point.at.0 / DAY_MS) {
        let times: Vec<u64> = op.tx.keys(&HISTORY, &own, usize::MAX)?.into_iter().map(|(_, at)| at).collect();
        for at in surplus(&times, op.now) {
            op.tx.remove(&HISTORY, &(host, at))?;
        }
    }
    Ok(())
}

/// Which points go: all that are too old, and of each day further back than a week all but the last. Pure.
pub(crate) fn surplus(times: &[u64], now: Timestamp) -> Vec<u64> {
    let is_surplus = |place: usize, at: u64| {
        let age = now.0.saturating_sub(at);
        let next_is_of_same_day = times.get(place + 1).is_some_and(|next| next / DAY_MS == at / DAY_MS);
        age > DAILY_FOR_MS || (age > HOURLY_FOR_MS && next_is_of_same_day)
    };
    times.iter().enumerate().filter(|(place, at)| is_surplus(*place, **at)).map(|(_, at)| *at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schema::StatsRevision;
    use schema::stats::{CheckResult, Size, SnapshotCount};

    const NOW: Timestamp = Timestamp(1_000 * DAY_MS);

    fn stats(stream: u64, revision: u64, at: u64, bytes: u64) -> RepoStats<'static> {
        RepoStats {
            stream: Stream(stream),
            revision: StatsRevision(revision),
            at: Timestamp(at),
            job: None,
            repo: None,
            size: Some(Size { at: Timestamp(at), bytes, source: SizeSource::Measured }),
            snapshots: None,
            check: None,
            prune: None,
            lock: None,
        }
    }

    #[test]
    fn an_older_revision_changes_nothing() {
        let mut state = RepoState::default();
        assert!(merge(&mut state, &stats(1, 5, 100, 50), Some(Stream(1)), About::default(), NOW));
        let before = state.clone();
        assert!(!merge(&mut state, &stats(1, 4, 200, 60), Some(Stream(1)), About::default(), NOW));
        assert!(!merge(&mut state, &stats(1, 5, 200, 60), Some(Stream(1)), About::default(), NOW));
        assert_eq!(state, before);
    }

    #[test]
    fn a_newer_message_has_the_newer_figure_whatever_the_hosts_clock_says() {
        let mut state = RepoState::default();
        merge(&mut state, &stats(1, 1, 100, 50), Some(Stream(1)), About::default(), NOW);
        let mut late = stats(1, 2, 90, 40);
        late.snapshots = Some(SnapshotCount { at: Timestamp(120), count: 3, newest_at: None });
        assert!(merge(&mut state, &late, Some(Stream(1)), About::default(), NOW));
        let size = state.size.as_ref().unwrap();
        assert_eq!((size.bytes, size.at.0), (40, 100), "and none is older than the one before it");
        assert_eq!(state.snapshots.as_ref().unwrap().count, 3);
    }

    #[test]
    fn what_a_host_repeats_is_no_news_beside_what_another_one_saw_later() {
        let check = |at, errors| Some(CheckResult { at: Timestamp(at), errors, subset_pct: 100 });
        let mut state = RepoState::default();
        let mut message = stats(1, 1, 100, 50);
        message.check = check(100, 0);
        merge(&mut state, &message, Some(Stream(1)), About::default(), NOW);
        // A neighbour found damage since; the host tells of another size, and of its own check again.
        let found = CheckSeen { at: Timestamp(150), errors: 3, subset_pct: 100, by: Some(HostId([2; 16])) };
        state.check = Some(found.clone());
        let mut again = stats(1, 2, 200, 60);
        again.check = check(100, 0);
        merge(&mut state, &again, Some(Stream(1)), About::default(), NOW);
        assert_eq!((state.check.clone(), state.size.as_ref().unwrap().bytes), (Some(found), 60));
        // Its next check is news.
        again.revision = StatsRevision(3);
        again.check = check(300, 0);
        merge(&mut state, &again, Some(Stream(1)), About::default(), NOW);
        assert_eq!(state.check.as_ref().map(|check| (check.errors, check.by)), Some((0, None)));
        // And damage counts, however late the neighbour's look was.
        state.check = Some(CheckSeen { at: NOW, errors: 0, subset_pct: 100, by: Some(HostId([2; 16])) });
        again.revision = StatsRevision(4);
        again.check = check(310, 1);
        merge(&mut state, &again, Some(Stream(1)), About::default(), NOW);
        assert_eq!(state.check.map(|check| check.errors), Some(1));
    }

    #[test]
    fn a_message_of_a_lost_journal_does_not_overwrite_what_the_new_one_said() {
        let mut state = RepoState::default();
        merge(&mut state, &stats(1, 900, 100, 50), Some(Stream(1)), About::default(), NOW);
        assert!(merge(&mut state, &stats(2, 1, 200, 60), Some(Stream(2)), About::default(), NOW));
        assert!(!merge(&mut state, &stats(1, 901, 150, 55), Some(Stream(2)), About::default(), NOW));
        assert_eq!((state.size.unwrap().bytes, state.newest.unwrap().0), (60, Stream(2)));
    }

    #[test]
    fn a_time_from_the_future_counts_as_now() {
        let mut state = RepoState::default();
        merge(&mut state, &stats(1, 1, u64::MAX, 50), Some(Stream(1)), About::default(), NOW);
        assert!(merge(&mut state, &stats(1, 2, NOW.0 + 5, 60), Some(Stream(1)), About::default(), NOW));
        assert_eq!(state.size.unwrap().bytes, 60);
    }

    #[test]
    fn a_size_that_can_not_be_leaves_what_is_known() {
        let mut state = RepoState::default();
        merge(&mut state, &stats(1, 1, 100, 50), Some(Stream(1)), About::default(), NOW);
        merge(&mut state, &stats(1, 2, 200, u64::MAX), Some(Stream(1)), About::default(), NOW);
        merge(&mut state, &stats(1, 3, 300, MOST_BYTES + 1), Some(Stream(1)), About::default(), NOW);
        assert_eq!(state.size.as_ref().unwrap().bytes, 50);
        merge(&mut state, &stats(1, 4, 400, MOST_BYTES), Some(Stream(1)), About::default(), NOW);
        assert_eq!(state.size.unwrap().bytes, MOST_BYTES);
    }

    #[test]
    fn damage_stays_known_until_a_check_that_reads_as_much_finds_none() {
        let mut state = RepoState::default();
        let found = [(100, 1), (0, 0), (5, 0), (5, 2), (5, 0), (100, 0)];
        let stands = [(100, 1), (100, 1), (100, 1), (5, 2), (5, 0), (100, 0)];
        for (revision, ((subset_pct, errors), stands)) in (1..).zip(found.into_iter().zip(stands)) {
            let mut message = stats(1, revision, revision * 100, 50);
            message.check = Some(CheckResult { at: Timestamp(revision * 100), errors, subset_pct });
            merge(&mut state, &message, Some(Stream(1)), About::default(), NOW);
            let check = state.check.as_ref().unwrap();
            assert_eq!((check.subset_pct, check.errors), stands, "after message {revision}");
        }
    }

    #[test]
    fn another_repository_begins_without_the_figures_of_the_old_one() {
        let mut state = RepoState::default();
        let mut first = stats(1, 1, 100, 50);
        first.repo = Some(RepoId([1; 32]));
        merge(&mut state, &first, Some(Stream(1)), About::default(), NOW);
        let mut second = stats(1, 2, 200, 60);
        (second.repo, second.size) = (Some(RepoId([2; 32])), None);
        assert!(merge(&mut state, &second, Some(Stream(1)), About::default(), NOW));
        assert_eq!((state.size, state.repo), (None, Some(RepoId([2; 32]))));
    }

    #[test]
    fn a_point_of_history_has_the_time_of_its_size_and_a_count_that_is_not_younger() {
        let counted = |at, count| Some(SnapshotCount { at: Timestamp(at), count, newest_at: None });
        let mut state = RepoState::default();
        let mut take = |stats: &RepoStats<'_>| {
            let before = state.clone();
            merge(&mut state, stats, Some(Stream(1)), About::default(), NOW);
            point(&before, &state).map(|point| (point.at.0, point.bytes, point.snapshots))
        };
        assert_eq!(take(&stats(1, 1, 100, 50)), Some((100, 50, None)));
        let with = |revision, size: Option<(u64, u64)>, snapshots| {
            let (at, bytes) = size.unwrap_or_default();
            let stats = stats(1, revision, at, bytes);
            RepoStats { size: stats.size.filter(|_| size.is_some()), snapshots, ..stats }
        };
        assert_eq!(take(&with(2, None, counted(150, 7))), None, "an old size is given no new time");
        assert_eq!(take(&with(3, Some((200, 60)), None)), Some((200, 60, Some(7))), "counted before");
        assert_eq!(take(&with(4, Some((300, 70)), counted(310, 8))), Some((300, 70, Some(8))), "with it");
        assert_eq!(take(&with(5, None, counted(500, 9))), None);
        assert_eq!(take(&with(6, Some((400, 80)), None)), Some((400, 80, None)), "counted later");
        assert_eq!(take(&with(7, Some((400, 80)), None)), None);
    }

    proptest! {
        /// The clock of a host jumps as it will; what it says last of each figure stands, and nothing lies in the future.
        #[test]
        fn in_the_order_of_numbers_the_last_figure_stands_whatever_the_clock_did(
            said in proptest::collection::vec((any::<u64>(), 0..4_u32), 1..12),
            ahead_ms in any::<i64>(),
        ) {
            let mut state = RepoState::default();
            let about = About { clock: HostClock::ahead_by(ahead_ms), ..About::default() };
            let mut told: Vec<u64> = Vec::new();
            for (revision, (at, errors)) in (1..).zip(&said) {
                // Two figures never bear the same date.
                let at = if told.contains(at) { at.wrapping_add(1_000_003 * revision) } else { *at };
                told.push(at);
                let mut message = stats(1, revision, at, revision);
                message.check = Some(CheckResult { at: Timestamp(at), errors: *errors, subset_pct: 100 });
                message.snapshots =
                    Some(SnapshotCount { at: Timestamp(at), count: *errors, newest_at: Some(Timestamp(at)) });
                merge(&mut state, &message, Some(Stream(1)), about, NOW);
                prop_assert_eq!(state.size.as_ref().unwrap().bytes, revision);
                prop_assert_eq!(state.snapshots.as_ref().unwrap().count, *errors);
                prop_assert_eq!(state.check.as_ref().unwrap().errors, *errors);
                prop_assert!(state.check.as_ref().unwrap().at <= NOW);
                prop_assert!(state.snapshots.as_ref().unwrap().newest_at.unwrap() <= NOW);
            }
        }

        #[test]
        fn in_whatever_order_messages_come_the_newest_figure_stands(
            order in Just((0..12u64).collect::<Vec<_>>()).prop_shuffle(),
            doubled in proptest::collection::vec(0..12usize, 0..6),
        ) {
            let mut state = RepoState::default();
            let doubled = doubled.into_iter().map(|place| order[place]);
            for n in order.iter().copied().chain(doubled) {
                merge(&mut state, &stats(1, n + 1, 1000 + n, n), Some(Stream(1)), About::default(), NOW);
            }
            prop_assert_eq!(state.size.unwrap().bytes, 11);
        }

        #[test]
        fn thinned_history_keeps_each_day_and_thinning_again_changes_nothing(
            hours in proptest::collection::btree_set(0..20_000u64, 0..300),
        ) {
            let times: Vec<u64> = hours.into_iter().map(|hour| NOW.0 - hour * HOUR_MS).rev().collect();
            let gone = surplus(&times, NOW);
            let left: Vec<u64> = times.iter().copied().filter(|at| !gone.contains(at)).collect();
            prop_assert!(surplus(&left, NOW).is_empty());
            for at in times.iter().filter(|at| NOW.0 - **at <= DAILY_FOR_MS) {
                prop_assert!(left.iter().any(|kept| kept / DAY_MS == at / DAY_MS));
            }
            prop_assert!(times.iter().filter(|at| NOW.0 - **at <= HOURLY_FOR_MS).all(|at| left.contains(at)));
        }
    }
}
