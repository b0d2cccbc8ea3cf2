//! A drill: files of the newest snapshot of a group, drawn by lot, are restored into a scratch folder, compared with
//! what the host has, and taken away again.

use super::{
    super::{
        args::{self, ArgsError, INNER_FOLDER},
        draw::{Bounds, Candidate, Drawn},
        failures::{Failures, is_of_content},
        instant,
        outcome::{Stop, Verdict},
        scratch::{PROOF_CACHE, clear_aside},
        step::Step,
        summary::{DrillDone, JobSummary},
        symptoms::Symptom,
    },
    Job,
    prepare::refused_args,
    restore::{made_by_hand, not_opened},
    steps::Done,
};
use crate::{
    clock,
    folder::{NamedFolder, NewFolder},
};
use core::time::Duration;
use ring::digest;
use schema::{
    Class, Outcome,
    drill::{DrillCuts, DrillFault},
    job::DrillSpec,
};
use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};
use tokio::time::Instant;

const UNREAD_SNAPSHOTS: &str = "A snapshot in the repository can't be read, and whose it is can't be told: the newest one of this group may be it. Let nothing be forgotten or pruned, and run a check that reads all data.";

/// So much of a file is read at a time, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// What is known of a file that was drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DrawnFileState {
    Equal,
    ChangedSince,
    Unreadable(String),
    Different,
    NotTried,
}

/// A file that was drawn, and what restic said of it.
struct Restored {
    file: Candidate,
    /// Why its content could not be restored, in restic's words.
    fault: Option<String>,
}

/// How far what lies in the scratch folder can be judged by.
#[derive(Clone, Copy)]
struct Judged {
    /// restic came to its end: what is not there could not be restored.
    is_whole: bool,
    /// When comparing must have ended.
    until: Instant,
}

impl Job<'_> {
    pub(super) async fn drill(&mut self, steps: &[Step], spec: &DrillSpec<'_>) -> Verdict {
        let [list, restore] = steps else { return refused_args(&ArgsError::NoTarget) };
        let scratch = self.places.drill.clone();
        let cache = self.places.home.join(PROOF_CACHE);
        self.clear(&scratch).await;
        self.clear(&cache).await;
        let verdict = self.drill_in(&scratch, list, restore, spec).await;
        self.restore_folder = None;
        self.clear(&scratch).await;
        self.clear(&cache).await;
        match verdict.class {
            // What the repository lacks can't be restored, whatever step met it.
            Some(Class::Damaged) => Verdict { class: Some(Class::ProofFailed), ..verdict },
            _ => verdict,
        }
    }

    /// Also after a stop.
    async fn clear(&self, scratch: &Path) {
        if let Err(error) = clear_aside(scratch.to_owned()).await {
            self.say(&format!("{error}.")).await;
        }
    }

    async fn drill_in(
        &mut self,
        scratch: &Path,
        list: &Step,
        restore: &Step,
        spec: &DrillSpec<'_>,
    ) -> Verdict {
        // What the agent's own cache holds, the repository may have lost.
        let cache = self.places.home.join(PROOF_CACHE);
        let [list, restore] = [list, restore].map(|step| args::with_cache(step, &cache));
        let listed = self.side_run(&list).await;
        if !listed.is_ok() {
            return listed.verdict;
        }
        let symptoms = listed.found.symptoms;
        if symptoms.has(Symptom::Ignored) {
            let class = if symptoms.has(Symptom::Damaged) { Class::Damaged } else { Class::Other };
            return Verdict::failed(class, UNREAD_SNAPSHOTS);
        }
        let Some((newest, _)) = listed.found.newest else {
            let message = format!(
                "The repository holds no snapshot of {}: there is nothing to prove yet. Back it up first.",
                spec.group
            );
            return Verdict::failed(Class::Other, &message);
        };
        // As much stays free as is taken.
        let room = match scratch.ancestors().find(|folder| folder.is_dir()) {
            Some(folder) => free_bytes(folder) / 2,
            None => 0,
        };
        let bounds = Bounds::new(spec.seed, spec.max_files, spec.max_bytes.min(room));
        let walk = match args::draw(&newest.id, bounds) {
            Ok(walk) => args::with_cache(&walk, &cache),
            Err(error) => return refused_args(&error),
        };
        let walked = self.main_step(&walk).await;
        if !walked.is_ok() {
            return walked.verdict;
        }
        if let Some(path) = &walked.found.tree_fault {
            return made_by_hand(path);
        }
        let Drawn { files, of_files, of_bytes, too_large, odd_names, over_bytes } = walked.found.drawn;
        let short_of_room = bounds.bytes < spec.max_bytes;
        let mut done = DrillDone {
            snapshot: newest.id.clone(),
            of_files,
            of_bytes,
            drawn: many(files.len()),
            not_tried: many(files.len()),
            cuts: DrillCuts { too_large, odd_names, over_bytes, short_of_room, out_of_time: false },
            ..DrillDone::default()
        };
        if files.is_empty() {
            let class = if short_of_room { Class::DiskFull } else { Class::Other };
            let message = nothing_drawn(&done, bounds.bytes);
            self.summary = JobSummary::Drill(done);
            return Verdict::failed(class, &message);
        }
        let mut step = args::of_files(&restore, &newest.id, files.iter().map(|file| file.path.as_str()));
        step.totals = (files.len() as u64, files.iter().map(|file| file.bytes).sum());
        let until = clock::instant() + Duration::from_secs(spec.max_secs.into());
        let Done { verdict, found } = match self.restore_scratch(scratch, &step, until, &mut done).await {
            Ok(restored) => restored,
            Err(verdict) => return verdict,
        };
        let is_partial = verdict.outcome == Outcome::Failed
            && self.exit_code == Some(1)
            && !found.failures.is_empty()
            && !is_elsewhere(verdict.class);
        let is_whole = matches!(verdict.outcome, Outcome::Succeeded | Outcome::Warning) || is_partial;
        let is_stopped = self.wires.stop.is_some();
        let no_failures = Failures::default();
        // What fails while a network does says nothing of what is stored.
        let says_why = is_whole || found.symptoms.has(Symptom::Damaged);
        let failures = if says_why { &found.failures } else { &no_failures };
        if !is_stopped {
            let judged = Judged { is_whole, until };
            if let Err(verdict) = self.compare(scratch, files, failures, judged, &mut done).await {
                self.summary = JobSummary::Drill(done);
                return verdict;
            }
        }
        self.say(&told(&done)).await;
        let (bad, proven) = (done.unreadable + done.different, done.equal + done.changed_since);
        let (drawn, out_of_time) = (done.drawn, done.cuts.out_of_time);
        self.summary = JobSummary::Drill(done);
        match bad {
            0 if is_stopped || (!is_whole && !out_of_time) => verdict,
            0 if proven == 0 => {
                let message = "Nothing was proven: the time of the drill was over before a file was restored and compared. Let it take longer, or draw less.";
                Verdict::failed(Class::Timeout, message)
            }
            0 => Verdict::succeeded(),
            bad => {
                let message = format!(
                    "{bad} of {drawn} files that were drawn can't be restored, or came back with other content; the summary names them. Not all that is backed up is there. Let nothing be forgotten or pruned, run a check that reads all data, and mend the repository by hand; restic's guide: https://restic.readthedocs.io/en/stable/077_troubleshooting.html"
                );
                Verdict::failed(Class::ProofFailed, &message)
            }
        }
    }

    /// Makes the scratch folder and runs restic in it; the bound on time ends it without ending the job.
    async fn restore_scratch(
        &mut self,
        scratch: &Path,
        step: &Step,
        until: Instant,
        done: &mut DrillDone,
    ) -> Result<Done, Verdict> {
        let (Some(within), Some(name)) = (scratch.parent(), scratch.file_name().and_then(OsStr::to_str))
        else {
            return Err(refused_args(&ArgsError::NoTarget));
        };
        let made = NewFolder::make(within, name, &[]).map_err(|error| not_opened(&error))?;
        if made.path() != scratch {
            made.remove_if_empty();
            let message = format!("Nothing was proven: {} is there and can't be removed.", scratch.display());
            return Err(Verdict::failed(Class::Other, &message));
        }
        made.make_inner(INNER_FOLDER).map_err(|error| not_opened(&error))?;
        self.restore_folder = Some(NamedFolder::New(made));
        let (deadline, begun) = (self.wires.deadline, clock::instant());
        self.wires.deadline = Some(deadline.map_or(until, |deadline| deadline.min(until)));
        let restored = self.main_step(&args::into_new(step)).await;
        self.wires.deadline = deadline;
        done.restore_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.wires.stop == Some(Stop::Timeout) && deadline.is_none_or(|at| at > clock::instant()) {
            self.wires.stop = None;
            done.cuts.out_of_time = true;
        }
        Ok(restored)
    }

    /// Compares what was restored with what the host has. Either may lie on a disk that hangs.
    async fn compare(
        &mut self,
        scratch: &Path,
        files: Vec<Candidate>,
        failures: &Failures,
        judged: Judged,
        done: &mut DrillDone,
    ) -> Result<(), Verdict> {
        let restored: Vec<Restored> = files
            .into_iter()
            .map(|file| {
                let shown = self.mask.hide(&file.path);
                let named = failures.named.iter().find(|(path, _)| *path == *shown);
                let fault = named.map(|(_, reason)| reason.clone()).filter(|reason| is_of_content(reason));
                Restored { file, fault }
            })
            .collect();
        let folder = scratch.join(INNER_FOLDER);
        let work = tokio::task::spawn_blocking(move || {
            let found = restored.iter().map(|one| look(&folder, one, judged)).collect::<Vec<_>>();
            (restored, found)
        });
        let (restored, found) = match self.unless_stopped(work).await? {
            Ok(compared) => compared,
            Err(error) => return Err(Verdict::failed(Class::Other, &error.to_string())),
        };
        done.not_tried = 0;
        for (Restored { file, .. }, found) in restored.into_iter().zip(found) {
            let count = match &found {
                DrawnFileState::Equal => &mut done.equal,
                DrawnFileState::ChangedSince => &mut done.changed_since,
                DrawnFileState::Unreadable(_) => &mut done.unreadable,
                DrawnFileState::Different => &mut done.different,
                DrawnFileState::NotTried => &mut done.not_tried,
            };
            *count += 1;
            let fault = match found {
                DrawnFileState::Equal | DrawnFileState::ChangedSince => {
                    done.bytes = done.bytes.saturating_add(file.bytes);
                    continue;
                }
                DrawnFileState::NotTried => continue,
                DrawnFileState::Unreadable(reason) => (DrillFault::Unreadable, reason),
                DrawnFileState::Different => (DrillFault::Different, String::new()),
            };
            done.findings.push((self.mask.hide(&file.path).into_owned(), fault.0, fault.1));
        }
        done.cuts.out_of_time |= done.not_tried > 0 && clock::instant() >= judged.until;
        Ok(())
    }
}

/// What became of one file.
fn look(folder: &Path, Restored { file, fault }: &Restored, judged: Judged) -> DrawnFileState {
    if let Some(reason) = fault {
        return DrawnFileState::Unreadable(reason.clone());
    }
    let path = folder.join(file.path.trim_start_matches('/'));
    let missing = |reason: &str| match judged.is_whole {
        true => DrawnFileState::Unreadable(reason.to_owned()),
        false => DrawnFileState::NotTried,
    };
    match path.symlink_metadata() {
        Ok(found) if found.is_file() && found.len() == file.bytes => {}
        Ok(found) if found.is_file() => {
            return missing(&format!("{} of {} bytes were restored", found.len(), file.bytes));
        }
        Ok(_) => return missing("it was not restored as a file"),
        Err(error) => return missing(&format!("it was not restored: {error}")),
    }
    // It came back with the permissions that it had, and its owner may not be allowed to read it.
    let _ = fs::set_permissions(&path, Permissions::from_mode(0o600));
    let of_scratch = match digest_of(&path, judged.until) {
        Ok(Some((digest, _))) => digest,
        Ok(None) => return DrawnFileState::NotTried,
        Err(error) => return missing(&format!("what was restored can't be read: {error}")),
    };
    match digest_of(Path::new(&file.path), judged.until) {
        Ok(Some((of_source, _))) if of_source.as_ref() == of_scratch.as_ref() => DrawnFileState::Equal,
        Ok(Some((_, seen))) if is_unchanged(file, &seen) => {
            if judged.is_whole {
                DrawnFileState::Different
            } else {
                DrawnFileState::NotTried
            }
        }
        Ok(None) => DrawnFileState::NotTried,
        // Changed, gone, or not to be read any more: restic has read all of it back.
        Ok(Some(_)) | Err(_) if judged.is_whole => DrawnFileState::ChangedSince,
        Ok(Some(_)) | Err(_) => DrawnFileState::NotTried,
    }
}

/// The SHA-256 of a file, and its metadata when nothing changed it meanwhile; `None` = the time is over.
fn digest_of(path: &Path, until: Instant) -> io::Result<Option<(digest::Digest, Metadata)>> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(no_follow.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let Some(digest) = digest_of_open(&mut file, until)? else { return Ok(None) };
    let after = file.metadata()?;
    let same = |seen: &Metadata| (seen.len(), times(seen));
    if same(&before) != same(&after) {
        return Err(io::Error::other("it was changed while it was read"));
    }
    Ok(Some((digest, after)))
}

fn digest_of_open(file: &mut File, until: Instant) -> io::Result<Option<digest::Digest>> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        if clock::instant() >= until {
            return Ok(None);
        }
        match file.read(&mut buffer)? {
            0 => return Ok(Some(context.finish())),
            count => context.update(&buffer[..count]),
        }
    }
}

/// Times of content and of anything, in seconds and nanoseconds.
fn times(seen: &Metadata) -> [(i64, i64); 2] {
    [(seen.mtime(), seen.mtime_nsec()), (seen.ctime(), seen.ctime_nsec())]
}

/// Whether a file is as it was when it was backed up. The second time is one that no program can set: without it, one
/// that sets back the first would make a whole snapshot look wrong.
fn is_unchanged(file: &Candidate, seen: &Metadata) -> bool {
    let [modified, changed] = times(seen);
    let is = |text: &str, time| instant::nanos(text) == Some(time);
    seen.len() == file.bytes && is(&file.modified, modified) && is(&file.changed, changed)
}

/// Whether a failure says nothing of what is in the repository.
const fn is_elsewhere(class: Option<Class>) -> bool {
    !matches!(
        class,
        None | Some(
            Class::Damaged
                | Class::Other
                | Class::RepoMissing
                | Class::SourceMissing
                | Class::SourceUnreadable
        )
    )
}

fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |found| found.f_frsize.saturating_mul(found.f_bavail))
}

fn many(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn nothing_drawn(done: &DrillDone, most_bytes: u64) -> String {
    let DrillCuts { too_large, odd_names, short_of_room, .. } = done.cuts;
    if done.of_files == 0 {
        return "Nothing was proven: there is not a single file in the newest snapshot.".to_owned();
    }
    let room = if short_of_room {
        ", which is half of the room where drills restore to (the agent's state folder, or restore_base where its policy names one)"
    } else {
        ""
    };
    format!(
        "Nothing was proven: of {} files {too_large} are larger than {most_bytes} bytes{room}, and {odd_names} have names that restic's listing alters. Let a drill take more bytes, or make room.",
        done.of_files
    )
}

fn told(done: &DrillDone) -> String {
    let DrillDone {
        drawn, equal, changed_since, unreadable, different, not_tried, bytes, restore_ms, ..
    } = done;
    format!(
        "{drawn} files drawn: {equal} equal, {changed_since} changed since, {unreadable} unreadable, {different} different, {not_tried} not tried; {bytes} bytes restored in {restore_ms} ms."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_fails_says_nothing_of_the_repository() {
        for class in [Class::Network, Class::Auth, Class::DiskFull, Class::Timeout] {
            assert!(is_elsewhere(Some(class)));
        }
        assert!(!is_elsewhere(Some(Class::Damaged)) && !is_elsewhere(None));
    }
}
