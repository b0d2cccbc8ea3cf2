//! What the fleet page needs of a host in one row: kept up to date in the transaction that changes a job, a group
//! or the repository, so that ten thousand hosts are listed without reading a job.

use crate::drill;
use crate::record::{
    Ended, Group, GroupProof, GroupSummary, Job, JobFigures, JobState, JobWhat, RepoState, Retention,
    Soundness, Summary,
};
use crate::units::DAY_MS;
use crate::view::{DAYS, Day};
use schema::{Class, JobId, JobKind, Timestamp};

/// A due backup that waits for longer than this is missed.
pub(crate) const MISSED_AFTER_MS: u64 = 3_600_000;

/// Whether a backup is proven: it ended well, names the snapshot that it made, with something in it, and left out no
/// path that it was to save; files that can't be read are named and don't count.
pub(crate) fn is_good(job: &Job) -> bool {
    let names_one = matches!(
        &job.figures,
        JobFigures::Backup(figures) if !figures.snapshot.is_empty() && figures.total_files > 0
    );
    let is_whole = !matches!(job.class, Some(Class::SourceMissing | Class::SourceEmpty));
    names_one && is_whole && matches!(job.state, JobState::Succeeded | JobState::Warning)
}

impl Summary {
    pub(crate) fn count_open(&mut self, was_open: bool, is_open: bool) {
        match (was_open, is_open) {
            (false, true) => self.open_jobs += 1,
            (true, false) => self.open_jobs = self.open_jobs.saturating_sub(1),
            _ => {}
        }
    }

    pub(crate) fn runs(&self, job: JobId) -> bool {
        self.running.as_ref().is_some_and(|running| running.id == job)
    }

    /// Takes a job as it stands now. `next` is the open job to show when this one was shown and has ended.
    /// Of a backup that has ended `sound` is the group that its snapshot is of, and what is known of that.
    pub(crate) fn take_job(
        &mut self,
        job: &Job,
        next: Option<Job>,
        sound: Option<&(String, Soundness)>,
        now: Timestamp,
    ) {
        if let JobWhat::Drill(plan) = &job.what
            && let Some(group) = self.groups.iter_mut().find(|group| group.name == plan.group)
        {
            group.proof.take_drill(job, now);
        }
        if job.state.is_ended() {
            if self.runs(job.id) {
                self.running = next;
            }
            self.take_ended(job, sound, now);
        } else if self.runs(job.id) || self.shows_rather(job) {
            self.running = Some(job.clone());
        }
    }

    /// Whether this open job is shown in place of the one that is shown now: not a download, which runs beside another.
    fn shows_rather(&self, job: &Job) -> bool {
        let Some(shown) = &self.running else { return true };
        let is_aside = job.what.kind() == JobKind::Download && shown.state == JobState::Running;
        job.state == JobState::Running && !is_aside
    }

    fn take_ended(&mut self, job: &Job, sound: Option<&(String, Soundness)>, now: Timestamp) {
        if let Some(rate) = drill::rate_of(job, now)
            && self.rate.is_none_or(|known| known.at <= rate.at)
        {
            self.rate = Some(rate);
        }
        if job.what.kind() != JobKind::Backup {
            return;
        }
        // The agent's clock may be wrong; what is not yet can't have been.
        let at = job.finished_at.unwrap_or(now).min(now);
        let ends_last = |last: &Job| last.id == job.id || ended_at(last, now) <= at;
        if self.last_backup.as_ref().is_none_or(ends_last) {
            self.last_backup = Some(job.clone());
        }
        // What a person ended, or what was put off or taken back, says nothing of how the backups go.
        if job.ended_by().is_some_and(|by| !by.is_interruption()) {
            return;
        }
        if job.is_untold() {
            return;
        }
        let Some((owner, sound)) = sound else { return };
        let Some(group) = self.groups.iter_mut().find(|known| known.name == *owner) else { return };
        if group.last.as_ref().is_none_or(|last| last.job == job.id || last.at <= at) {
            group.last = Some(Ended {
                job: job.id,
                state: job.state,
                class: job.class,
                refusal: job.refusal,
                agent_gone: job.agent_gone,
                at,
            });
        }
        let is_accepted = sound.is_right(job) && !sound.is_lost();
        if group.last.as_ref().is_some_and(|last| last.job == job.id) {
            group.is_accepted = is_accepted;
        }
        group.take_sound(sound, now);
        // More than half of what is usual is gone, and nobody has looked: that is no backup to count on.
        let is_whole = is_good(job) && !sound.is_lost();
        if (is_whole || is_accepted) && group.last_good.is_none_or(|(_, last)| last <= at) {
            group.last_good = Some((job.id, at));
            group.proof.since.get_or_insert(at);
            if let JobFigures::Backup(figures) = &job.figures {
                group.proof.extent = Some((figures.total_files, figures.total_bytes));
            }
        }
        group.take_day((at.0 / DAY_MS) as u32, job.state, (now.0 / DAY_MS) as u32);
    }

    /// A group is there now, perhaps under a new name.
    pub(crate) fn take_group(&mut self, old_name: Option<&str>, group: &Group) {
        let old_name = old_name.unwrap_or(&group.name);
        let (name, has_rule) = (group.name.clone(), group.keep != Retention::default());
        match self.groups.iter_mut().find(|known| known.name == old_name) {
            Some(known) => (known.name, known.has_rule) = (name, has_rule),
            None => self.groups.push(GroupSummary { name, has_rule, ..GroupSummary::default() }),
        }
    }

    /// How whole the snapshots of a group are, by what is known of it now.
    pub(crate) fn take_sound(&mut self, name: &str, sound: &Soundness, now: Timestamp) {
        if let Some(known) = self.groups.iter_mut().find(|known| known.name == name) {
            known.take_sound(sound, now);
        }
    }

    /// A person has said that a group is right as this backup found it.
    pub(crate) fn accept(&mut self, group: &str, job: Option<&Job>, sound: &Soundness, now: Timestamp) {
        let Some(known) = self.groups.iter_mut().find(|known| known.name == group) else { return };
        known.take_sound(sound, now);
        let Some(job) = job.filter(|job| sound.is_right(job) || is_good(job)) else { return };
        let at = ended_at(job, now);
        known.is_accepted = sound.is_right(job) && known.last.is_some_and(|last| last.job == job.id);
        if known.last_good.is_none_or(|(_, last)| last <= at) {
            known.last_good = Some((job.id, at));
        }
    }

    pub(crate) fn drop_group(&mut self, name: &str) {
        self.groups.retain(|group| group.name != name);
    }

    pub(crate) fn take_repo(&mut self, repo: &RepoState) {
        self.size = repo.size.as_ref().map(|size| (size.bytes, size.at));
        self.snapshots = repo.snapshots.as_ref().map(|snapshots| snapshots.count);
        let failed = repo.tested.as_ref().filter(|tested| !tested.well);
        self.test_failed = failed.map(|tested| (tested.at, tested.class));
        self.damaged_at = repo.check.as_ref().filter(|check| check.errors > 0).map(|check| check.at);
        self.replaced = repo.replaced.map(|replaced| replaced.at);
    }

    /// The host uses another repository since that job: what was saved before is not in it.
    pub(crate) fn repository_changed(&mut self, first: Option<JobId>) {
        let is_in_it = |job: JobId| first.is_some_and(|first| first <= job);
        for group in &mut self.groups {
            group.last_good = group.last_good.filter(|(job, _)| is_in_it(*job));
            group.last = group.last.take().filter(|last| is_in_it(last.job));
            // What was proven was the other one.
            group.proof = GroupProof {
                since: group.last_good.map(|(_, at)| at),
                extent: group.proof.extent.filter(|_| group.last_good.is_some()),
                ..GroupProof::default()
            };
        }
    }

    pub(crate) fn last_good_at(&self) -> Option<Timestamp> {
        self.groups.iter().filter_map(|group| group.last_good).map(|(_, at)| at).max()
    }

    /// The strip: for each day the worst of the groups' last results.
    pub(crate) fn strip(&self, now: Timestamp) -> [Day; DAYS] {
        let today = (now.0 / DAY_MS) as u32;
        let mut strip = [Day::None; DAYS];
        for (day, state) in self.groups.iter().flat_map(|group| &group.days) {
            let ago = today.saturating_sub(*day) as usize;
            if let Some(cell) = (DAYS - 1).checked_sub(ago).and_then(|place| strip.get_mut(place)) {
                *cell = (*cell).max(day_of(*state));
            }
        }
        // Days on which a due backup waited and nothing else happened. Today counts when it is late.
        if let Some(since) = self.waits_since.filter(|since| now.ms_since(*since) > MISSED_AFTER_MS) {
            let ago = (today.saturating_sub((since.0 / DAY_MS) as u32) as usize).min(DAYS - 1);
            strip[DAYS - 1 - ago..]
                .iter_mut()
                .filter(|day| **day == Day::None)
                .for_each(|day| *day = Day::Missed);
        }
        let backs_up_now = self
            .running
            .as_ref()
            .is_some_and(|job| job.state == JobState::Running && matches!(job.what, JobWhat::Backup { .. }));
        if backs_up_now && strip[DAYS - 1] < Day::Running {
            strip[DAYS - 1] = Day::Running;
        }
        strip
    }
}

impl GroupSummary {
    fn take_sound(&mut self, sound: &Soundness, now: Timestamp) {
        self.loss_since = sound.loss.as_ref().map(|loss| loss.since);
        let held = self.hold;
        self.hold =
            sound.hold().map(|hold| held.filter(|(before, _)| *before == hold).unwrap_or((hold, now)));
    }

    /// What was noted on a day that has not come is of the day on which the clock came back.
    pub(crate) fn cap_days(&mut self, now: Timestamp, since: Timestamp) {
        let [today, then] = [now, since].map(|at| (at.0 / DAY_MS) as u32);
        let ahead = self.days.iter().rfind(|(day, _)| *day > today).map(|(_, state)| *state);
        self.days.retain(|(day, _)| *day <= today);
        if let Some(state) = ahead {
            self.take_day(then, state, today);
        }
    }

    fn take_day(&mut self, day: u32, state: JobState, today: u32) {
        match self.days.binary_search_by_key(&day, |(day, _)| *day) {
            Ok(place) => self.days[place].1 = state,
            Err(place) => self.days.insert(place, (day, state)),
        }
        self.days.retain(|(day, _)| today.saturating_sub(*day) < DAYS as u32);
    }
}

fn ended_at(job: &Job, now: Timestamp) -> Timestamp {
    job.finished_at.unwrap_or(job.created_at).min(now)
}

const fn day_of(state: JobState) -> Day {
    match state {
        JobState::Succeeded => Day::Ok,
        JobState::Warning => Day::Warning,
        // Only what was broken off is counted of those.
        JobState::Failed | JobState::Lost | JobState::Cancelled => Day::Failed,
        _ => Day::None,
    }
}
