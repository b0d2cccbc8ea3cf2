//! A restore: what is looked at before, the folder that it goes into, and what came of it.

use super::{
    super::{
        args::{self, ArgsError, INNER_FOLDER, TELLS},
        failures::is_of_content,
        findings::{Findings, RestoreSaid},
        landed::Landed,
        location::Location,
        made, not_deleted,
        order::{RestoreTo, Walked},
        outcome::Verdict,
        step::Step,
        summary::{JobSummary, RestoreDone},
        there::{OverlapInput, There, at, looking_like},
        tree::{MOST_WAYS, Picked, Way},
        version::{Restic, Version},
    },
    Job,
    prepare::refused_args,
    steps::Done,
    wall_clock,
};
use crate::{
    folder::{FolderError, FolderId, FoundFolder, NamedFolder, NewFolder},
    policy::real,
    rfc3339::Instant,
};
use schema::{Class, Outcome, Overwrite, restore::RestoreSpec};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// Of a snapshot's id, in characters.
const WHOLE_ID: usize = 64;

const EMPTY: &str = "Nothing was restored: the snapshot is empty.";
const PLACELESS: &str = "Nothing was restored: the snapshot holds files in no folder, as of what a command has printed. Where it was they would be written into /. Restore into a folder.";
const GOES_ON: &str = "A folder of the snapshot can't be read. This agent's restic made it: all that can be read is restored, and what can't is named.";
const GOES_ON_DRY: &str = "This plan counts neither links nor empty files.";

/// What is done to have the folder of a restore.
enum How {
    /// A new one in this.
    Make { within: PathBuf, name: String },
    /// This one, made if it is missing.
    OpenOrMake { path: PathBuf },
    /// This one, if it is there.
    Find { path: PathBuf },
    /// None: only whether a new one may be made in this.
    Look { within: PathBuf },
}

enum OpenedTarget {
    New(NewFolder),
    Found(FoundFolder),
    NotThere(PathBuf),
}

fn open(how: How, forbidden: &[PathBuf]) -> Result<OpenedTarget, FolderError> {
    let forbidden: Vec<FolderId> = forbidden.iter().filter_map(|own| FolderId::of(own)).collect();
    Ok(match how {
        How::Make { within, name } => OpenedTarget::New(NewFolder::make(&within, &name, &forbidden)?),
        How::OpenOrMake { path } => match NewFolder::open_or_make(&path, &forbidden)? {
            NamedFolder::New(made) => OpenedTarget::New(made),
            NamedFolder::Found(found) => OpenedTarget::Found(found),
        },
        How::Find { path } => match NewFolder::find(&path, &forbidden)? {
            Some(found) => OpenedTarget::Found(found),
            None => OpenedTarget::NotThere(path),
        },
        How::Look { within } => {
            NewFolder::look(&within, &forbidden)?;
            OpenedTarget::NotThere(within)
        }
    })
}

/// What a restore is about.
pub(super) struct Plan<'p> {
    pub(super) spec: &'p RestoreSpec<'p>,
    /// restic's command but for the target, with the snapshot's whole id.
    pub(super) step: Step,
    pub(super) picked: Picked,
    /// The snapshot was not looked through: what is picked is counted at the end.
    pub(super) is_unseen: bool,
    /// Why it could not be, when that was tried: what is in its folders is not known.
    pub(super) unread: Option<Verdict>,
    free_bytes: Option<u64>,
}

impl Job<'_> {
    pub(super) async fn restore(&mut self, steps: &[Step], spec: &RestoreSpec<'_>) -> Verdict {
        let (Some(to), Some(step)) = (self.restore_to.take(), steps.first()) else {
            return refused_args(&ArgsError::NoTarget);
        };
        let free_bytes = free_bytes(&to, step);
        let mut is_unseen = self.needs_no_look(step, spec, &to);
        let mut unread = None;
        let (mut step, picked) = if is_unseen {
            (step.clone(), Picked::default())
        } else {
            match self.look_through(step, spec.snapshot).await {
                Ok(found) => found,
                Err(verdict) if verdict.class == Some(Class::Damaged) => {
                    let is_own = made::knows(&self.places.home, spec.snapshot);
                    let why = unlooked(is_own, &verdict);
                    let is_new = !matches!(to, RestoreTo::Original { .. });
                    if !(is_own && is_new && (!spec.dry_run || self.version().has_overwrite())) {
                        return why;
                    }
                    self.say(GOES_ON).await;
                    is_unseen = true;
                    unread = Some(why);
                    (step.clone(), Picked::default())
                }
                Err(verdict) => return verdict,
            }
        };
        // For a restic that tells none; one that restores what was not looked through does.
        step.totals = (picked.files, picked.bytes);
        let mut plan = Plan { spec, step, picked, is_unseen, unread, free_bytes };
        if !is_unseen && plan.picked.files + plan.picked.folders == 0 {
            let missing = plan.picked.missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let (class, message) = match missing.is_empty() {
                true => (Class::Other, EMPTY.to_owned()),
                false => {
                    (Class::NotInSnapshot, format!("Nothing was restored: the snapshot holds no {missing}."))
                }
            };
            return Verdict::failed(class, &message);
        }
        if !plan.picked.missing.is_empty() {
            // restic would take no notice of them.
            self.say(&format!("The snapshot holds no {}.", plan.picked.missing.join(", "))).await;
        }
        let may_hold = matches!(to, RestoreTo::Folder { may_hold: true, .. });
        let (how, forbidden) = match to {
            RestoreTo::Original { .. } if !plan.picked.holds_folders => {
                return Verdict::failed(Class::Policy, PLACELESS);
            }
            RestoreTo::Original { without } => {
                if let Err(verdict) = self.look_there(&mut plan, Path::new("/")).await {
                    return verdict;
                }
                plan.step = args::into_original(&plan.step, spec, &without, self.version());
                return self.run_restore(&mut plan, Path::new("/")).await;
            }
            // That it could be made is not known before it is made; that it may not be is.
            RestoreTo::New { within, forbidden } if spec.dry_run => (How::Look { within }, forbidden),
            RestoreTo::Folder { path, forbidden, .. } if spec.dry_run => (How::Find { path }, forbidden),
            RestoreTo::New { within, forbidden } => {
                let name = folder_name(spec.snapshot, &Instant(wall_clock()).to_string());
                (How::Make { within, name }, forbidden)
            }
            RestoreTo::Folder { path, forbidden, .. } => (How::OpenOrMake { path }, forbidden),
        };
        match self.open(how, forbidden).await {
            Ok(OpenedTarget::New(made)) => self.restore_into(plan, made).await,
            Ok(OpenedTarget::Found(found)) if !may_hold => {
                let message = format!(
                    "Nothing was restored: {} is there already. Name a folder that is not, or let it be: restore_in_place in the policy file of this machine.",
                    found.path().display()
                );
                Verdict::failed(Class::Policy, &message)
            }
            Ok(OpenedTarget::Found(found)) => match plan.unread {
                Some(why) => why,
                None => self.restore_over(plan, found).await,
            },
            Ok(OpenedTarget::NotThere(path)) => self.rehearse(plan, &path).await,
            Err(verdict) => verdict,
        }
    }

    pub(super) fn version(&self) -> Version {
        self.known.restic.as_ref().map_or(Version::OLDEST, Restic::version)
    }

    /// Opens or makes the folder of a restore. It may lie on a network that hangs.
    async fn open(&mut self, how: How, forbidden: Vec<PathBuf>) -> Result<OpenedTarget, Verdict> {
        match self.unless_stopped(tokio::task::spawn_blocking(move || open(how, &forbidden))).await? {
            Ok(opened) => opened.map_err(|error| not_opened(&error)),
            Err(error) => Err(Verdict::failed(Class::Other, &error.to_string())),
        }
    }

    /// Looks through the snapshot, for what restic must not restore, and counts what was asked for. The step with the
    /// snapshot's whole id in it, so that no other one is taken.
    ///
    /// What was looked through last is not looked through again: a snapshot is named by the digest of what it holds.
    pub(super) async fn look_through(
        &mut self,
        step: &Step,
        snapshot: &str,
    ) -> Result<(Step, Picked), Verdict> {
        let walked = match self.looked_through(step, snapshot) {
            Some(known) => known.clone(),
            None => self.walk(step, snapshot).await?,
        };
        let mut step = step.clone();
        if let Some(last) = step.args.last_mut() {
            walked.id.clone_into(last);
        }
        let picked = walked.picked.clone();
        self.known.walked = Some(walked);
        Ok((step, picked))
    }

    /// What is known of a look of before.
    pub(super) fn looked_through(&self, step: &Step, snapshot: &str) -> Option<&Walked> {
        let known = self.known.walked.as_ref();
        known.filter(|known| known.id.starts_with(snapshot) && known.picks == step.picks)
    }

    pub(super) async fn walk(&mut self, step: &Step, snapshot: &str) -> Result<Walked, Verdict> {
        let walk = args::walk(snapshot, &step.picks).map_err(|error| refused_args(&error))?;
        let walked = self.main_step(&walk).await;
        if !walked.is_ok() {
            return Err(walked.verdict);
        }
        if let Some(path) = walked.found.tree_fault {
            return Err(made_by_hand(&path));
        }
        let Findings { walked: id, picked, .. } = walked.found;
        let id = if id.is_empty() { snapshot.to_owned() } else { id };
        if id.len() < WHOLE_ID || !id.starts_with(snapshot) {
            let message = "restic does not say which snapshot that is: name it by its whole id.";
            return Err(Verdict::failed(Class::Other, message));
        }
        Ok(Walked { id, picks: step.picks.clone(), picked })
    }

    /// Into a new folder.
    async fn restore_into(&mut self, mut plan: Plan<'_>, made: NewFolder) -> Verdict {
        if let Err(error) = made.make_inner(INNER_FOLDER) {
            made.remove_if_empty();
            return not_opened(&error);
        }
        let path = made.path().to_owned();
        let shown = path.display();
        self.say(&format!("Restoring into {shown}, a new folder that nobody else may look into.")).await;
        self.restore_folder = Some(NamedFolder::New(made));
        plan.step = args::into_new(&plan.step);
        let verdict = self.run_restore(&mut plan, &path).await;
        let Some(NamedFolder::New(made)) = self.restore_folder.take() else { return verdict };
        let lifted = made.lift(INNER_FOLDER);
        if !made.is_in_place() {
            return not_in_place(&path, &verdict);
        }
        if !matches!(verdict.outcome, Outcome::Succeeded | Outcome::Warning) {
            made.remove_if_empty();
        } else if let Err(error) = lifted {
            let message =
                format!("What was restored lies in {shown}/{INNER_FOLDER} and can't be moved up: {error}.");
            return Verdict::failed(Class::Other, &message);
        }
        verdict
    }

    /// Into a folder that is there, or a dry run of it.
    async fn restore_over(&mut self, mut plan: Plan<'_>, found: FoundFolder) -> Verdict {
        let (path, version) = (found.path().to_owned(), self.version());
        if version.follows_links() && !found.is_empty() {
            let (have, needs) = (version, Version::RESTORES_BESIDE_LINKS);
            let message = format!(
                "Nothing was restored: something is in {} already, and restic {have} follows symbolic links. Name an empty folder, or install restic {needs}.",
                path.display()
            );
            return Verdict::failed(Class::Policy, &message);
        }
        if let Err(verdict) = self.look_there(&mut plan, &path).await {
            return verdict;
        }
        plan.step = args::into_found(&plan.step, plan.spec, found.name(), version);
        if !plan.spec.dry_run {
            self.say(&format!("Restoring into {}.", path.display())).await;
        }
        self.restore_folder = Some(NamedFolder::Found(found));
        let verdict = if plan.spec.dry_run && !version.has_overwrite() {
            self.reckon(&plan, &path)
        } else {
            self.run_restore(&mut plan, &path).await
        };
        match self.restore_folder.take() {
            Some(NamedFolder::Found(found)) if !found.is_in_place() => not_in_place(&path, &verdict),
            _ => verdict,
        }
    }

    /// Looks at what is there, for what restic does not tell of; or what keeps a restore from being written over it. The
    /// folders may lie on a network that hangs.
    async fn look_there(&mut self, plan: &mut Plan<'_>, target: &Path) -> Result<(), Verdict> {
        let (picked, picks) = (plan.picked.clone(), plan.step.picks.clone());
        let (place, home) = (target.to_owned(), self.places.home.clone());
        let (deletes, says_failures) = (plan.spec.delete, !plan.spec.dry_run);
        // What is left alone is not opened.
        let opens = plan.spec.overwrite != Overwrite::Never;
        let url = self.credentials.map_or("", |credentials| &credentials.url);
        let repository = match Location::parse(url) {
            Ok(Location::Local(path)) => Some(PathBuf::from(path)),
            _ => None,
        };
        let keeps = move |picked: &Picked, picks: &[Vec<u8>], place: &Path| {
            let would_lose = || {
                let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
                not_deleted::reason(place, picks, &picked.ways, repository.as_deref(), &mountinfo)
            };
            in_the_way(&picked.ways, place, &home).or_else(|| deletes.then(would_lose).flatten())
        };
        let look = tokio::task::spawn_blocking(move || match keeps(&picked, &picks, &place) {
            None if opens => {
                OverlapInput { picked: &picked, picks: &picks, deletes, says_failures, target: &place }.look()
            }
            None => Ok(There::default()),
            Some(why) => Err(why),
        });
        let why = match self.unless_stopped(look).await? {
            Ok(Ok(There { fates, doubtful })) => {
                let mut named = Vec::new();
                if !doubtful.is_empty() {
                    let step = Step { picks: doubtful, ..plan.step.clone() };
                    let id = plan.step.args.last().map_or("", String::as_str);
                    named = self.walk(&step, id).await?.picked.named_files;
                }
                let Some(path) = named.first() else {
                    plan.step.fates = fates.into();
                    return Ok(());
                };
                let there = at(target, path.as_bytes());
                let shown = there.display();
                if there.is_dir() {
                    format!(
                        "{shown} is a folder there and a file in the snapshot, and a restore that deletes would remove all of it: delete nothing, or move it away"
                    )
                } else {
                    format!("{shown} is no file there, and in the snapshot it is one")
                }
            }
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        };
        let message = format!("Nothing was restored: {why}. Restore into a new folder.");
        Err(Verdict::failed(Class::Policy, &message))
    }

    /// A dry run, as into an empty folder.
    async fn rehearse(&mut self, mut plan: Plan<'_>, path: &Path) -> Verdict {
        if !self.version().has_overwrite() {
            return self.reckon(&plan, path);
        }
        match NewFolder::make(&real(&self.places.temp), "dry-run", &[]) {
            Ok(made) => self.restore_folder = Some(NamedFolder::New(made)),
            Err(error) => return not_opened(&error),
        }
        plan.step = args::into_new(&plan.step);
        if plan.unread.is_some() {
            plan.step.options.push(TELLS.into());
            self.say(GOES_ON_DRY).await;
        }
        let verdict = self.run_restore(&mut plan, path).await;
        if let Some(NamedFolder::New(made)) = self.restore_folder.take() {
            made.remove_if_empty();
        }
        verdict
    }

    /// What is known of a restore without asking restic.
    fn reckon(&mut self, plan: &Plan<'_>, target: &Path) -> Verdict {
        self.summary = JobSummary::Restore(RestoreDone {
            files: plan.picked.files,
            bytes: plan.picked.bytes,
            is_estimate: true,
            ..plan.done_at(target)
        });
        plan.judged(Verdict::succeeded(), plan.picked.missing.len() as u64)
    }

    async fn run_restore(&mut self, plan: &mut Plan<'_>, target: &Path) -> Verdict {
        let Done { verdict, mut found } = self.main_step(&plan.step).await;
        let is_partial =
            verdict.outcome == Outcome::Failed && self.exit_code == Some(1) && !found.failures.is_empty();
        let is_whole = matches!(verdict.outcome, Outcome::Succeeded | Outcome::Warning) || is_partial;
        let has_lost = !is_whole || !found.failures.is_empty();
        // In a folder that was empty lies what was restored, and nothing else.
        let folder = match &self.restore_folder {
            Some(NamedFolder::New(_)) => Some(target.join(INNER_FOLDER)),
            Some(NamedFolder::Found(_)) if !self.version().has_overwrite() => Some(target.to_owned()),
            _ => None,
        };
        let folder = folder.filter(|_| !plan.spec.dry_run && (plan.is_unseen || has_lost));
        let mut landed = match folder {
            Some(folder) => self.look_at_restored(folder, &found.failures, plan).await,
            None => None,
        };
        match &mut landed {
            Some(landed) => landed.add_other_names(&mut found.failures),
            None if plan.spec.dry_run || found.failures.is_empty() => {}
            None => self.add_other_names(target, &mut found.failures, plan).await,
        }
        if plan.is_unseen {
            plan.picked = self.count_restored(plan, landed.as_ref(), &found, is_whole).await;
            let is_empty = plan.picked.files + plan.picked.folders == 0;
            if is_whole && is_empty && found.failures.is_empty() {
                return Verdict::failed(Class::Other, EMPTY);
            }
        }
        let says = self.version().says_restored();
        let mut done = plan.done_at(target);
        plan.count(&mut done, &mut found, landed.as_ref(), is_whole);
        let RestoreSaid { bytes, deleted, .. } = found.restored;
        done.bytes = match &landed {
            _ if says || !is_whole => bytes,
            // What failed is among what was picked.
            Some(landed) if has_lost => landed.bytes,
            _ => plan.picked.bytes,
        };
        done.failures.extend(found.failures.named);
        done.deleted = deleted;
        // Of a file that failed restic counts what it has tried.
        done.is_estimate = !(says && is_whole && found.failures.count == 0);
        if verdict.class == Some(Class::DiskFull)
            && let (Some(before), Some(after)) = (plan.free_bytes, free_in(target))
        {
            // No more can have been written than the disk has taken.
            done.bytes = done.bytes.min(before.saturating_sub(after));
        }
        done.verified = plan.spec.verify
            && !plan.spec.dry_run
            && verdict.outcome == Outcome::Succeeded
            && done.failed == 0;
        let failed = done.failed;
        let restored = done.files + done.replaced + done.skipped;
        let has_begun = is_whole || restored > 0 || done.deleted > 0;
        if has_begun {
            self.summary = JobSummary::Restore(done);
        }
        if is_whole && failed > 0 && (restored > 0 || !is_partial) {
            let class = verdict.class.unwrap_or(Class::Other);
            return plan.judged(Verdict { outcome: Outcome::Warning, class: Some(class), ..verdict }, failed);
        }
        let is_nothing_there = plan.is_unseen && plan.picked.files + plan.picked.folders == 0;
        if !is_whole && !plan.spec.dry_run && !is_nothing_there {
            let place =
                if target == Path::new("/") { String::new() } else { format!(" in {}", target.display()) };
            let again = match &self.restore_folder {
                Some(NamedFolder::New(_)) => "",
                _ => " Unfinished files look right: restore again with overwrite always.",
            };
            let message =
                format!("{} Whatever was restored until then stays{place}.{again}", verdict.message);
            return Verdict { message, ..verdict };
        }
        verdict
    }
}

impl Plan<'_> {
    /// What became of how many files. What is not there is never counted as written, whatever restic says.
    fn count(&self, done: &mut RestoreDone, found: &mut Findings, landed: Option<&Landed>, is_whole: bool) {
        let (said, failures) = (found.restored, &mut found.failures);
        let ways = &self.picked.ways;
        // The folders among what has failed, and those of them whose content has.
        let (mut folders, mut lost) = (0, Vec::new());
        for (place, (path, reason)) in failures.named.iter_mut().enumerate() {
            let is_folder = landed.is_some_and(|landed| landed.folders.get(place) == Some(&true))
                || ways.iter().any(|way| way.path == *path);
            folders += u64::from(is_folder);
            if is_folder && is_of_content(reason) {
                reason.push_str(" (a folder, with what is in it)");
                lost.push(format!("{path}/"));
            }
        }
        let asked = self.picked.files;
        let (replaced, unchanged) = found.counted.among(&self.step.fates, failures.digests());
        done.skipped = said.unchanged.saturating_sub(unchanged).min(asked);
        done.replaced = said.replaced.saturating_sub(replaced).min(asked - done.skipped);
        let rest = asked - done.skipped - done.replaced;
        let unnamed = failures.count - failures.named.len() as u64;
        let most = match (is_whole, &self.unread) {
            (true, None) => rest.saturating_sub(failures.count - folders),
            (true, Some(_)) => rest.saturating_sub(unnamed),
            (false, _) => said.items.min(rest),
        };
        let made = match landed {
            Some(landed) => Some(landed.files - landed.failed),
            None if !self.step.options.iter().any(|option| option == TELLS) => None,
            None if !is_whole || self.unread.is_some() => Some(said.sized),
            None if lost.is_empty() => None,
            // restic tells of folders, too, but for those in one that it can't read.
            None => {
                let told = |way: &&Way| !lost.iter().any(|lost| way.path.starts_with(lost.as_str()));
                Some(said.made.saturating_sub(ways.iter().filter(told).count() as u64))
            }
        };
        done.files = made.map_or(most, |made| made.min(most));
        let missing = match (is_whole, &self.unread) {
            // All that is in a folder that failed has failed.
            (true, None) if failures.count > 0 => rest - done.files,
            _ => 0,
        };
        done.failed = done.failed.saturating_add(failures.count.max(missing));
    }

    /// What is known before restic has said anything.
    fn done_at(&self, target: &Path) -> RestoreDone {
        let missing = &self.picked.missing;
        RestoreDone {
            target: target.to_owned(),
            free_bytes: self.free_bytes,
            failed: missing.len() as u64,
            failures: missing
                .iter()
                .take(schema::limits::MAX_RESTORE_FAILURES)
                .map(|path| (path.clone(), "not in this snapshot".to_owned()))
                .collect(),
            ..RestoreDone::default()
        }
    }

    /// A verdict that says how much of what was asked for is missing.
    fn judged(&self, verdict: Verdict, failed: u64) -> Verdict {
        if failed == 0 {
            return verdict;
        }
        let verb = if self.spec.dry_run { "would fail" } else { "failed" };
        let of = match self.unread {
            None => format!(" of {} files", self.picked.files + self.picked.missing.len() as u64),
            Some(_) => " files or folders".to_owned(),
        };
        let unknown = match self.unread {
            None => "",
            Some(_) => " How many files are in a folder that can't be read is not known.",
        };
        let message =
            format!("{failed}{of} {verb}; the summary says which, and why.{unknown} {}", verdict.message);
        let class = Some(verdict.class.unwrap_or(Class::Other));
        Verdict {
            outcome: verdict.outcome.max(Outcome::Warning),
            class,
            message: message.trim_end().to_owned(),
        }
    }
}

/// What is said where a snapshot has to be looked through and can't be.
fn unlooked(is_own: bool, verdict: &Verdict) -> Verdict {
    let advice = if is_own {
        "Restore into a new folder: what can't be read is named there. Or restore from the snapshot before."
    } else {
        "Restore from the snapshot before. Or, if you trust who made this one, restore it by hand with restic (the page Restore shows the command)."
    };
    let message =
        format!("Nothing was restored: a folder of the snapshot can't be read. {advice} {}", verdict.message);
    Verdict::failed(Class::Damaged, &message)
}

/// Why nothing may be written over what is there: restic follows a link, or takes a file away, where the snapshot has a
/// folder, and sets owner and permissions of each folder above what was picked.
fn in_the_way(ways: &[Way], target: &Path, home: &Path) -> Option<String> {
    if ways.len() > MOST_WAYS {
        return Some(format!(
            "more than {MOST_WAYS} folders are picked: pick some of them, and the others after them"
        ));
    }
    let own = FolderId::of(home);
    let of_one = |way: &Way, path: &Path| {
        let shown = path.display();
        let there = path.symlink_metadata().ok()?;
        if !there.is_dir() {
            return Some(format!("{shown} is no folder there, and in the snapshot it is one"));
        }
        if own.is_some() && FolderId::of(path) == own && path != home {
            return Some(format!("{shown} leads to the agent's own state folder"));
        }
        let above = (there.mode() & 0o777, there.uid(), there.gid());
        let changes = way.above.is_some_and(|other| other != above);
        changes.then(|| format!("restic would change owner or permissions of {shown}, which was not picked"))
    };
    // Of names that look the same in the list none is in the way.
    ways.iter().find_map(|way| match looking_like(target, &way.path) {
        Ok(paths) => paths.iter().find_map(|path| of_one(way, &at(target, path))),
        Err(why) => Some(why),
    })
}

/// Room where a restore goes, in bytes.
fn free_bytes(to: &RestoreTo, step: &Step) -> Option<u64> {
    let path = match to {
        RestoreTo::New { within: path, .. } | RestoreTo::Folder { path, .. } => path.as_path(),
        RestoreTo::Original { .. } => {
            step.picks.first().map_or(Path::new("/"), |pick| Path::new(OsStr::from_bytes(pick)))
        }
    };
    free_in(path)
}

/// Room in a folder, or where it would be, in bytes.
fn free_in(path: &Path) -> Option<u64> {
    let found = path.ancestors().find_map(|there| rustix::fs::statvfs(there).ok())?;
    Some(found.f_frsize.saturating_mul(found.f_bavail))
}

/// Of the snapshot and an instant as `2026-11-23T06:41:12Z`: `holdfast-restore-0123abcd-20261123T064112Z`.
fn folder_name(snapshot: &str, at: &str) -> String {
    let snapshot: String = snapshot.chars().take(8).collect();
    let at: String = at.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("holdfast-restore-{snapshot}-{at}")
}

fn not_in_place(path: &Path, verdict: &Verdict) -> Verdict {
    let message = format!(
        "{} was moved, replaced or opened to others while it was restored into: what is there now is not to be trusted. {}",
        path.display(),
        verdict.message
    );
    Verdict::failed(Class::Policy, &message)
}

/// What is said of a snapshot with a path twice or out of its order.
pub(super) fn made_by_hand(path: &str) -> Verdict {
    let message = format!(
        "Nothing was restored: the snapshot has {path} twice or out of its order, which restic never writes. Such a snapshot was made by hand, to write outside of its target."
    );
    Verdict::failed(Class::Policy, &message)
}

pub(super) fn not_opened(error: &FolderError) -> Verdict {
    match error {
        FolderError::System { source, .. } => {
            let is_full =
                matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
            let message = format!(
                "The folder to restore into can't be made: {error}. Make room, or name another one (where new folders are made says restore_base in the policy file of this machine)."
            );
            Verdict::failed(if is_full { Class::DiskFull } else { Class::Other }, &message)
        }
        FolderError::Shared(_) => {
            let message = format!("Nothing was restored: {error}. Restore into a new folder.");
            Verdict::failed(Class::Policy, &message)
        }
        _ => {
            let message = format!(
                "Nothing was restored: {error}. Restore into a new folder, named without links; from the server, below restore_base or one of restore_targets in the policy file of this machine."
            );
            Verdict::failed(Class::Policy, &message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_folder_is_called_after_snapshot_and_time() {
        let name = folder_name("0123abcdef", "2026-11-23T06:41:12Z");
        assert_eq!(name, "holdfast-restore-0123abcd-20261123T064112Z");
    }
}
