//! Each kind of job: its steps, its summary, and what it tells of the repository.

use super::{
    super::{
        args,
        event::JobEvent,
        findings::Findings,
        location::Location,
        made,
        outcome::{MAX_MESSAGE_BYTES, Verdict},
        raw_names, rest,
        step::{Step, StepKind},
        summary::{BackupDone, EntrySeen, JobSummary, SourceSeen},
        text::size_text,
    },
    Job,
    figures_and_locks::LocksSeen,
    steps::Done,
    wall_clock,
};
use crate::{clock, logger};
use core::time::Duration;
use schema::{
    Class, OsText, Outcome, SourceReason,
    job::{BackupSpec, ProbeSummary},
    report::EntryKind,
    stats::{CheckResult, PruneResult},
};

/// How long `cat config` may take: newer versions try an unreachable storage for 15 minutes.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// What is said of a backup that ended well and shows nothing for it.
const NO_SNAPSHOT: &str = "restic ended well, but named no snapshot: nothing proves that a backup was made. Look \
    whether the program that the agent starts is restic itself.";

/// What is said of any other job that ended well and shows nothing for it.
pub(super) const UNPROVEN: &str = "restic ended well, but said nothing of what it did: nothing proves that it was done. Look \
    whether the program that the agent starts is restic itself.";

/// What is said of a backup of nothing.
const EMPTY: &str = "A snapshot was made without a single file in it. Check the paths and excludes of the source \
    group, and whether the disk below them is mounted.";
/// The same where a command was to give the one file.
const NO_OUTPUT: &str = "The command gave no output, so the snapshot that was made has no file in it. Run the command by \
    hand on the machine, as the user of the agent, to see why.";

/// Whether this can be restic's name for a snapshot: 64 characters of hex, or the first eight before 0.15.
fn is_snapshot_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Job<'_> {
    pub(super) async fn probe(&mut self) -> Verdict {
        let asked = clock::instant();
        let done = self.look().await;
        let answered_ms = u32::try_from(asked.elapsed().as_millis()).unwrap_or(u32::MAX);
        let append_only = if done.is_ok() { self.is_append_only().await } else { None };
        if let Some(repo) = done.found.repo {
            self.known.figures.identify(repo);
        }
        let repo = done.found.repo;
        let repo_version = done.found.repo_version.filter(|_| repo.is_some());
        self.summary = JobSummary::Probe(ProbeSummary { repo, repo_version, append_only, answered_ms });
        if done.is_ok() && repo.is_none() {
            return Verdict::failed(Class::Other, "restic's answer does not say which repository it is.");
        }
        done.verdict
    }

    /// Asks the repository who it is.
    async fn look(&mut self) -> Done {
        let (deadline, limit) = (self.wires.deadline, clock::instant() + LOOK_LIMIT);
        self.wires.deadline = Some(deadline.map_or(limit, |deadline| deadline.min(limit)));
        let done = self.main_step(&args::config()).await;
        self.wires.deadline = deadline;
        done
    }

    async fn is_append_only(&self) -> Option<bool> {
        let credentials = self.credentials?;
        let (host, port) = Location::parse(&credentials.url).ok()?.server()?;
        rest::is_append_only(credentials, (host, port)).await
    }

    pub(super) async fn init(&mut self) -> Verdict {
        let looked = self.look().await;
        match looked.verdict.class {
            None => {
                if let Some(repo) = looked.found.repo {
                    self.known.figures.identify(repo);
                }
                let message =
                    "There is a repository at this address already, and it opens; nothing was changed.";
                return Verdict::failed(Class::RepoExists, message);
            }
            Some(Class::RepoMissing) => {}
            Some(_) => return looked.verdict,
        }
        let done = self.main_step(&args::init()).await;
        if !done.is_ok() {
            return done.verdict;
        }
        // Before 0.17 restic says a short id only.
        let repo = match done.found.repo {
            None => self.side_step(&args::config()).await.and_then(|found| found.repo),
            repo => repo,
        };
        let Some(repo) = repo else {
            let message =
                "The repository was made, but does not answer which one it is. Test the credentials.";
            return Verdict::failed(Class::Other, message);
        };
        let now = wall_clock();
        self.known.figures.identify(repo);
        self.known.figures.measured(0, now);
        self.known.figures.counted(0, None, now);
        self.summary = JobSummary::Init(repo);
        done.verdict
    }

    pub(super) async fn backup(&mut self, steps: &[Step], backup: &BackupSpec<'_>) -> Verdict {
        let dry_run = backup.dry_run;
        let mut done = match (steps.first(), self.parent_elsewhere(backup).await) {
            (Some(step), Some(parent)) => self.main_step(&step.with_parent(&parent)).await,
            _ => self.first(steps).await,
        };
        let names_snapshot =
            done.found.backup.as_ref().is_some_and(|backup| is_snapshot_id(&backup.snapshot));
        if done.is_ok() && !dry_run && !names_snapshot {
            done.verdict = Verdict::failed(Class::Other, NO_SNAPSHOT);
        }
        let is_empty = done.found.backup.as_ref().is_some_and(|backup| backup.total_files == 0);
        if is_empty && !dry_run {
            match done.verdict {
                Verdict { outcome: Outcome::Succeeded, .. } => {
                    done.verdict = Verdict::warning(Class::SourceEmpty, EMPTY);
                }
                // restic takes it for a file that it could not read.
                Verdict { class: Some(Class::SourceUnreadable), .. } if self.command.is_some() => {
                    done.verdict = Verdict::warning(Class::SourceEmpty, NO_OUTPUT);
                }
                _ => {}
            }
        }
        if done.is_ok() && !dry_run {
            done.verdict = with_findings(done.verdict, &self.findings);
        }
        let mut is_lost = false;
        if let Some(mut backup) = done.found.backup {
            let is_empty = self.known.figures.snapshots.is_some_and(|snapshots| snapshots.count == 0);
            is_lost = !is_empty && backup.files_unmodified == 0 && backup.files_changed == 0;
            if done.verdict.outcome != Outcome::Cancelled && !backup.snapshot.is_empty() {
                let (added, packed) = (backup.added_bytes, backup.added_packed_bytes);
                self.known.figures.add_snapshot(added, packed, wall_clock());
                self.say(&saved_line(&backup)).await;
                if let Err(error) = made::remember(&self.places.home, &backup.snapshot) {
                    // It is looked through before it is restored.
                    logger::warn(format_args!("which snapshots were made here can't be kept: {error}"));
                }
            }
            backup.findings = core::mem::take(&mut self.findings);
            // Whoever accepts that one of them can't be read has not accepted others.
            backup.findings_left_out = done.found.file_errors.saturating_sub(many(done.found.unread.len()));
            backup.findings.extend(done.found.unread.into_iter().map(|path| SourceSeen {
                path,
                reason: SourceReason::Unreadable,
                leads_to: String::new(),
            }));
            self.summary = JobSummary::Backup(backup);
        }
        match done.verdict.class {
            Some(Class::RepoLocked) => {
                self.look_at_locks().await;
            }
            _ if matches!(done.verdict.outcome, Outcome::Succeeded | Outcome::Warning) => {
                self.cheap_figures(is_lost).await;
            }
            _ => {}
        }
        done.verdict
    }

    /// The newest snapshot of the group, when it has another tag or host name: restic would not find it by itself, and
    /// read everything anew.
    async fn parent_elsewhere(&mut self, backup: &BackupSpec<'_>) -> Option<String> {
        if backup.origins.is_empty() || self.command.is_some() {
            return None;
        }
        let members = args::members_of(backup.group, self.restic_host, backup.origins).ok()?;
        let (newest, is_own) = self.side_step(&args::snapshots_of(&members)).await?.newest?;
        (!is_own).then_some(newest.id)
    }

    pub(super) async fn prune(&mut self, steps: &[Step], dry_run: bool) -> Verdict {
        let done = self.first(steps).await;
        if done.is_ok() {
            if !done.found.says_remaining {
                return Verdict::failed(Class::Other, UNPROVEN);
            }
            self.identify().await;
        }
        if let Some(prune) = done.found.prune.filter(|_| done.is_ok()) {
            if !dry_run {
                let at = wall_clock();
                self.known.figures.measured(prune.remaining_bytes, at);
                self.known.figures.prune = Some(PruneResult { at, freed_bytes: prune.freed_bytes });
            }
            self.summary = JobSummary::Prune(prune);
        }
        if done.verdict.class == Some(Class::RepoLocked) {
            self.look_at_locks().await;
        }
        done.verdict
    }

    pub(super) async fn check(&mut self, steps: &[Step], subset_pct: u8) -> Verdict {
        let mut done = self.first(steps).await;
        if done.is_ok() && done.found.check_errors.is_none() {
            done.verdict = Verdict::failed(Class::Other, UNPROVEN);
        }
        if matches!(done.verdict.class, None | Some(Class::Damaged)) {
            self.identify().await;
        }
        let errors = match done.verdict.class {
            None => Some(0),
            Some(Class::Damaged) => Some(done.found.check_errors.unwrap_or(1).max(1)),
            // It did not come to a result, whatever the summary says.
            Some(_) => None,
        };
        if let Some(errors) = errors {
            self.known.figures.check = Some(CheckResult { at: wall_clock(), errors, subset_pct });
            self.summary = JobSummary::Check { errors, subset_pct };
        }
        if done.verdict.class == Some(Class::RepoLocked) {
            self.look_at_locks().await;
        }
        done.verdict
    }

    pub(super) async fn unlock(&mut self, steps: &[Step]) -> Verdict {
        // Before 0.17 restic does not say how many locks it removed, so they are counted.
        let says_count = self.known.restic.as_ref().is_some_and(|restic| restic.version().says_unlocked());
        let before = if says_count { None } else { self.side_step(&args::list_locks()).await };
        let done = self.first(steps).await;
        if !done.is_ok() {
            return done.verdict;
        }
        // It may have said nothing because there was no lock.
        if !self.identify().await {
            return Verdict::failed(Class::Other, UNPROVEN);
        }
        self.known.unclean = false;
        let mut left = self.look_at_locks().await;
        let mut removed = done.found.unlocked.unwrap_or(0);
        if let (None, Some(before), Some(left)) = (done.found.unlocked, before, &left) {
            removed = many(before.locks.len().saturating_sub(left.count));
        }
        if let Some(first) = left.take().filter(LocksSeen::has_dead) {
            self.unlock_once_more(&first).await;
            let second = self.look_at_locks().await.map_or(first.count, |left| left.count);
            removed = removed.saturating_add(many(first.count.saturating_sub(second)));
        }
        self.summary = JobSummary::Unlock(removed);
        done.verdict
    }

    /// A job of one step that only has to be told.
    pub(super) async fn plain(&mut self, steps: &[Step]) -> Verdict {
        let mut done = self.first(steps).await;
        let odd = core::mem::take(&mut done.found.odd);
        let (now, found) = (wall_clock(), &done.found);
        if done.is_ok() {
            match steps.first().map(|step| step.kind) {
                Some(StepKind::Stats) => {
                    let Some(stats) = found.stats else {
                        return Verdict::failed(Class::Other, "restic's answer holds no figures.");
                    };
                    self.identify().await;
                    self.known.figures.measured(stats.total_bytes, now);
                    self.summary = JobSummary::Stats(stats);
                    // Asked for by somebody who wants to know how the repository is: a lock is part of that.
                    self.look_at_locks().await;
                }
                Some(StepKind::Snapshots) => {
                    self.known.figures.counted(found.snapshots, found.newest_at, now);
                    self.summary = JobSummary::Snapshots { count: found.snapshots, left_out: found.left_out };
                }
                Some(StepKind::Ls) => {
                    let Some(step) = steps.first() else { return done.verdict };
                    if let Some(why) = no_folder(OsText::new(&step.path), found.folder) {
                        return Verdict::failed(Class::Other, &why);
                    }
                    let (entries, left_out) = (found.entries, found.left_out);
                    let lost = match odd.is_empty() {
                        true => 0,
                        false => match self.name_odd(step, odd).await {
                            Ok(lost) => lost,
                            Err(verdict) => return verdict,
                        },
                    };
                    let left_out = left_out.saturating_add(lost);
                    self.summary = JobSummary::Folder { entries: entries.saturating_sub(lost), left_out };
                }
                _ => {}
            }
        }
        done.verdict
    }

    /// Tells of entries whose names JSON can't hold, by the names of a plain listing; of how many no name is found.
    async fn name_odd(&mut self, ls: &Step, odd: Vec<EntrySeen>) -> Result<u32, Verdict> {
        let done = self.main_step(&args::raw_ls(ls)).await;
        if !done.is_ok() {
            return Err(done.verdict);
        }
        let (named, lost) = raw_names::give(odd, done.found.raw_names);
        for entry in named {
            // Nobody listens: the job goes on.
            let _ = self.wires.events.send(JobEvent::Entry(entry)).await;
        }
        Ok(lost)
    }

    pub(super) async fn first(&mut self, steps: &[Step]) -> Done {
        match steps.first() {
            Some(step) => self.main_step(step).await,
            None => Done { verdict: Verdict::succeeded(), found: Findings::default() },
        }
    }
}

/// Why a folder of a snapshot can't be listed: restic says the same of one that is empty, that is not there, and of a file.
fn no_folder(path: OsText<'_>, found: Option<EntryKind>) -> Option<String> {
    match found {
        _ if path.as_bytes() == b"/" => None,
        Some(EntryKind::Folder) => None,
        None => Some(format!("There is no {path} in this snapshot. Look at the folder above it.")),
        Some(EntryKind::File) => Some(format!("{path} is a file in this snapshot, no folder.")),
        Some(EntryKind::Symlink) => {
            Some(format!("{path} is a link in this snapshot, no folder: look where it leads."))
        }
        Some(EntryKind::Other) => Some(format!("{path} is no folder in this snapshot.")),
    }
}

/// How much a class of a backup that made a snapshot weighs: what is missing as a whole is worse than single files.
const fn weight(class: Option<Class>) -> u8 {
    match class {
        Some(Class::Damaged) => 4,
        Some(Class::SourceMissing) => 3,
        Some(Class::SourceEmpty) => 2,
        Some(_) => 1,
        None => 0,
    }
}

/// The judgement of a backup, with what some of its paths lack.
fn with_findings(verdict: Verdict, findings: &[SourceSeen]) -> Verdict {
    // What restic said of paths that are not there stands in its own words already.
    let is_told = |seen: &SourceSeen| {
        seen.reason == SourceReason::Missing
            && seen.leads_to.is_empty()
            && verdict.class == Some(Class::SourceMissing)
    };
    let lacking: Vec<&SourceSeen> =
        findings.iter().filter(|seen| seen.reason.class().is_some() && !is_told(seen)).collect();
    let worst = lacking.iter().map(|seen| seen.reason.class()).max_by_key(|class| weight(*class)).flatten();
    let Some(worst) = worst else { return verdict };
    let class = if weight(Some(worst)) > weight(verdict.class) { Some(worst) } else { verdict.class };
    let mut message = String::new();
    if verdict.message.is_empty() || class != verdict.class {
        message.push_str("A snapshot was made, but not with all that its source group names:");
    }
    for seen in lacking {
        message.push('\n');
        message.push_str(&seen.to_wire().to_string());
    }
    if !verdict.message.is_empty() {
        message = if class == verdict.class {
            format!("{}{message}", verdict.message)
        } else {
            format!("{message}\n{}", verdict.message)
        };
    }
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    Verdict { outcome: Outcome::Warning, class, message }
}

pub(super) fn many(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The last line in the log of a backup that made a snapshot: restic says it in JSON only.
fn saved_line(backup: &BackupDone) -> String {
    let id: String = backup.snapshot.chars().take(8).collect();
    let BackupDone { total_files, total_bytes, added_bytes, added_packed_bytes, .. } = *backup;
    let (all, new) = (size_text(total_bytes), size_text(added_packed_bytes.unwrap_or(added_bytes)));
    format!("Snapshot {id} saved: {total_files} files, {all}; {new} added to the repository.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_backup_names_its_snapshot_and_sizes() {
        let backup = BackupDone {
            snapshot: "0123456789abcdef".to_owned(),
            total_files: 120,
            total_bytes: 25_165_824,
            added_bytes: 2048,
            ..BackupDone::default()
        };
        let line = "Snapshot 01234567 saved: 120 files, 24.0 MiB; 2.0 KiB added to the repository.";
        assert_eq!(saved_line(&backup), line);
        let packed = BackupDone { added_packed_bytes: Some(1023), ..backup };
        assert!(saved_line(&packed).ends_with("; 1023 B added to the repository."));
        let texts = [0, 1024, (1 << 20) - 1, 1 << 40, u64::MAX].map(size_text);
        assert_eq!(texts, ["0 B", "1.0 KiB", "1.0 MiB", "1.0 TiB", "16384.0 PiB"]);
    }
}
