//! What one run of restic said, gathered for judging and for the summary.

use super::{
    diff::Differences,
    draw::Drawn,
    failures::{Failures, digest},
    find::SearchOutcome,
    retention::{ByRules, Member},
    summary::{BackupDone, EntrySeen, PruneDone, StatsDone},
    symptoms::{Symptom, Symptoms},
    there::Fates,
    tree::Picked,
};
use schema::{RepoId, Timestamp, report::EntryKind};
use std::collections::{BTreeSet, VecDeque};

/// Who holds a lock, as restic's refusal names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id of the holder on its machine.
    pub pid: u32,
    /// Name of the machine that holds it.
    pub hostname: String,
}

/// A lock, as `cat lock` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFound {
    /// Since when the lock is held.
    pub since: Timestamp,
    /// Whether it keeps all others out.
    pub exclusive: bool,
    /// Name of the machine that holds it.
    pub hostname: String,
    /// Name of the account that holds it.
    pub username: String,
    /// Process id of the holder on its machine.
    pub pid: u32,
}

/// What restic says of a restore; nothing before 0.16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreSaid {
    /// Bytes written.
    pub bytes: u64,
    /// Files that were there and were written anew.
    pub replaced: u64,
    /// Files that were there and were left alone.
    pub unchanged: u64,
    /// Files and folders that were deleted.
    pub deleted: u64,
    /// All that was made or looked at so far, folders among it.
    pub items: u64,
    /// What was made where nothing was, folders among it; only of a restore that says what it makes.
    pub made: u64,
    /// Those of them with a size: files.
    pub sized: u64,
    /// It came to its end.
    pub is_whole: bool,
}

/// What restic has called replaced or unchanged, of what is in [`Fates`]. It says so also of a file that it then can't
/// write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted(Vec<u8>);

impl Counted {
    const REPLACED: u8 = 1;
    const UNCHANGED: u8 = 2;

    /// Takes what was said of a path.
    pub(super) fn take(&mut self, fates: &Fates, path: &str, is_unchanged: bool) {
        if let Some(place) = fates.known(digest(path)) {
            if self.0.len() <= place {
                self.0.resize(place + 1, 0);
            }
            self.0[place] = if is_unchanged { Self::UNCHANGED } else { Self::REPLACED };
        }
    }

    /// How many of these paths were called replaced, and how many unchanged.
    pub(super) fn among(&self, fates: &Fates, digests: &[u64]) -> (u64, u64) {
        let said = |what: u8| {
            let is_said = |&&digest: &&u64| {
                fates.known(digest).and_then(|place| self.0.get(place)).is_some_and(|&said| said == what)
            };
            digests.iter().filter(is_said).count() as u64
        };
        (said(Self::REPLACED), said(Self::UNCHANGED))
    }
}

/// The most snapshots of a listing to choose from that are remembered.
pub const MOST_LISTED: usize = 2_000;

/// What one run of restic said, all in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The repository's id, from `cat config` or `init`.
    pub repo: Option<RepoId>,
    /// The repository's format.
    pub repo_version: Option<u8>,
    /// Of a backup.
    pub backup: Option<BackupDone>,
    /// Of a restore: what restic says of its end, or the last that it said on its way.
    pub restored: RestoreSaid,
    /// Of a restore: what of that was said of something that was there.
    pub counted: Counted,
    /// Of a restore: what could not be written.
    pub failures: Failures,
    /// Of a prune: given back, written anew, left.
    pub prune: Option<PruneDone>,
    /// Of a stats.
    pub stats: Option<StatsDone>,
    /// Of a check: how many errors restic counted.
    pub check_errors: Option<u32>,
    /// Of an unlock, where restic says.
    pub unlocked: Option<u32>,
    /// Of a forget.
    pub kept: u32,
    /// Of a forget.
    pub removed: u32,
    /// Of a forget: the snapshots of the group one by one.
    pub by_rules: ByRules,
    /// Of a listing.
    pub snapshots: u32,
    /// Of a listing of a group: its newest snapshot, and whether that has the group's own host name and tag.
    pub newest: Option<(Member, bool)>,
    /// Of a listing to choose from: when each was taken, and its id; the newest [`MOST_LISTED`].
    pub listed: BTreeSet<(Timestamp, String)>,
    /// Of a listing to choose from, and of a search: snapshots that can't be read.
    pub ignored: u32,
    /// Of a search by name.
    pub searched: SearchOutcome,
    /// Of a comparison of two snapshots, and of the listing for its sizes.
    pub differences: Differences,
    /// Of a listing of files: what the folder is that was asked for; `None` = it is not there.
    pub folder: Option<EntryKind>,
    /// Of a look at one path: how large the file is, in bytes.
    pub file_bytes: u64,
    /// Of a dump: how many bytes were passed on.
    pub passed_bytes: u64,
    /// Of a listing of files.
    pub entries: u32,
    /// Those of them whose names JSON has altered, in their order.
    pub odd: Vec<EntrySeen>,
    /// The names of a plain listing that JSON would alter, in their order.
    pub raw_names: Vec<Vec<u8>>,
    /// Of a listing: entries that are too many or of too long a name, snapshots that can't be read.
    pub left_out: u32,
    /// The newest snapshot's time.
    pub newest_at: Option<Timestamp>,
    /// Whether a listing came whole.
    pub listing_is_whole: bool,
    /// Of a walk through a snapshot: its whole id, where it could be read.
    pub walked: String,
    /// Of a walk: the first path that restic would not have made like this.
    pub tree_fault: Option<String>,
    /// Of a walk: what lies in the paths that were asked for.
    pub picked: Picked,
    /// Of a walk: what was drawn by lot.
    pub drawn: Drawn,
    /// Of a prune: it said what remains.
    pub says_remaining: bool,
    /// Of `list locks`.
    pub locks: Vec<String>,
    /// Of `cat lock`.
    pub lock: Option<LockFound>,
    /// Files and folders that could not be read.
    pub file_errors: u32,
    /// Which, as many as a summary may name.
    pub unread: Vec<String>,
    /// Sources that restic did not find.
    pub missing: Vec<String>,
    /// Who holds the lock that stopped it.
    pub holder: Option<Holder>,
    /// What `exit_error` said, first line.
    pub exit_error: Option<Words>,
    /// Symptoms seen anywhere.
    pub(crate) symptoms: Symptoms,
    /// The last lines of standard error.
    pub last_words: VecDeque<Words>,
}

impl Findings {
    /// Whether ssh gave no session and restic did not say why: it may end before it has passed on what ssh said.
    pub(crate) fn ssh_was_silent(&self) -> bool {
        let told = [Symptom::HostKey, Symptom::HostKeyChanged, Symptom::NoLogin, Symptom::NoWay];
        self.symptoms.has(Symptom::NoSession) && !told.into_iter().any(|symptom| self.symptoms.has(symptom))
    }

    /// Takes what ssh says when it is asked by itself.
    pub(crate) fn ssh_says(&mut self, line: String) {
        let symptoms = Symptoms::of(&line);
        self.symptoms = self.symptoms.and(symptoms);
        self.last_words.push_back(Words { text: line, symptoms });
    }

    /// Whether the storage's host key is not known, or another one.
    pub(crate) fn is_untrusted(&self) -> bool {
        self.symptoms.has(Symptom::HostKey) || self.symptoms.has(Symptom::HostKeyChanged)
    }
}

/// A line of restic's: fit to be shown, and what it said before anything was taken out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Clean, without secrets.
    pub text: String,
    /// The symptoms in it.
    pub(crate) symptoms: Symptoms,
}
