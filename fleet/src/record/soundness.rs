use super::Actor;
use schema::{Class, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is known of how whole the snapshots of a source group are: what its backups said of themselves.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soundness {
    /// What the last whole backups held, oldest first.
    pub usual: Vec<Extent>,
    /// The snapshots that lack something of what the group names, oldest first.
    pub lacking: Vec<Flawed>,
    /// More of them than are kept: nothing of the group is forgotten until somebody has looked.
    pub is_cut: bool,
    /// More than half of what is usual was gone in a backup, and nobody has looked yet.
    pub loss: Option<Loss>,
    /// A person's statement that the group is right as it is; `None` = there is none.
    pub accepted: Option<Accepted>,
    /// The newest backup that made a snapshot.
    pub newest: Option<Newest>,
    /// The snapshots that are known to be whole, in the order in which they were heard of; the newest of them.
    pub whole: Vec<Whole>,
    /// As which backup found it a person has said that the group is right.
    pub right: Option<Newest>,
    /// When the first backup of the group was asked for.
    pub began_at: Option<Timestamp>,
    /// How many snapshots the last forget left beside the rules.
    pub spared: u32,
    /// What is known of the snapshots that were there before.
    pub past: Past,
    /// How little a person has said is right, and for how many more whole backups that holds.
    pub little: Option<(Extent, u8)>,
    /// What backups of the group usually change.
    pub baseline: Baseline,
    /// The backups that did not fit in with that, and at which nobody has looked yet.
    pub unusual: Option<UnusualBackups>,
}

/// What is not there is not told: a row of before there was a baseline reads as it did then.
impl fmt::Debug for Soundness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            usual,
            lacking,
            is_cut,
            loss,
            accepted,
            newest,
            whole,
            right,
            began_at,
            spared,
            past,
            little,
            baseline,
            unusual,
        } = self;
        let mut told = f.debug_struct("Soundness");
        told.field("usual", usual)
            .field("lacking", lacking)
            .field("is_cut", is_cut)
            .field("loss", loss)
            .field("accepted", accepted)
            .field("newest", newest)
            .field("whole", whole)
            .field("right", right)
            .field("began_at", began_at)
            .field("spared", spared)
            .field("past", past)
            .field("little", little);
        if *baseline != Baseline::default() {
            told.field("baseline", baseline);
        }
        if let Some(unusual) = unusual {
            told.field("unusual", unusual);
        }
        told.finish()
    }
}

/// What backups of a group usually change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// What the last ones changed, oldest first; without those that did not fit in, until a person has said that they do.
    pub churns: Vec<Churn>,
    /// When the group got other paths or excludes, or its host another repository, until the first backup that was asked
    /// for after that: what that one brings says nothing of the others.
    pub reset_at: Option<Timestamp>,
}

/// What a backup found changed since the one before it, by its own figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Churn {
    /// Number of files in the one before.
    pub files_before: u64,
    /// Number of files.
    pub files: u64,
    /// Number of those that were not in the one before.
    pub files_new: u64,
    /// Number of those that differ from the one before.
    pub files_changed: u64,
    /// Size of all files in bytes.
    pub bytes: u64,
    /// Bytes of data that the repository did not hold before, uncompressed.
    pub added_bytes: u64,
    /// How long after the one before it ended, in milliseconds.
    pub after_ms: u64,
}

impl Churn {
    /// Number of files that are as in the one before.
    #[must_use]
    pub const fn files_kept(&self) -> u64 {
        self.files.saturating_sub(self.files_new).saturating_sub(self.files_changed)
    }

    /// Number of files of the one before that are not there any more.
    #[must_use]
    pub const fn files_gone(&self) -> u64 {
        self.files_before.saturating_sub(self.files.saturating_sub(self.files_new))
    }
}

/// In which way a backup does not fit in with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unusual {
    /// It added far more data than is usual.
    GrewBy,
    /// At least half of the files are gone, and others with content of their own came in their place. Where none came, it
    /// is a [`Loss`].
    FilesGone,
    /// Almost no file is as it was, and what is there now is new content: what ransomware does.
    AlmostAllChanged,
}

impl Unusual {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GrewBy, Self::FilesGone, Self::AlmostAllChanged];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GrewBy => "grew_by",
            Self::FilesGone => "files_gone",
            Self::AlmostAllChanged => "almost_all_changed",
        }
    }
}

/// A backup that does not fit in with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusualBackup {
    /// The job that made it.
    pub job: JobId,
    /// In which way.
    pub what: Unusual,
    /// What it found changed.
    pub churn: Churn,
    /// How many bytes of data backups of the group added in the middle, until then.
    pub usual_added_bytes: u64,
}

/// Backups that do not fit in with those before them, and at which nobody has looked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusualBackups {
    /// The first one.
    pub first: UnusualBackup,
    /// The last one; the first, where there is one.
    pub last: UnusualBackup,
    /// How many there are.
    pub count: u32,
    /// When the server heard of the first one.
    pub since: Timestamp,
}

/// What is known of the snapshots of a group that no backup here has made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Past {
    /// Nothing yet: the snapshots were not listed since the group was made, or since it goes on with these.
    #[default]
    Unlisted,
    /// What there is to know.
    Known,
    /// There are so many, and restic does not tell how much they hold.
    Unsized(u32),
}

/// A backup that made a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// The job that made it.
    pub job: JobId,
    /// Whether the snapshot lacks nothing.
    pub is_whole: bool,
    /// restic's id of its snapshot.
    pub snapshot: String,
    /// How much the snapshot holds.
    pub extent: Extent,
    /// When it ended.
    pub at: Timestamp,
}

/// A snapshot that is known to be whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// The first letters of its id.
    pub snapshot: String,
    /// When the server heard of it.
    pub heard_at: Timestamp,
}

/// How much a backup held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Number of files.
    pub files: u64,
    /// Size of the files in bytes.
    pub bytes: u64,
}

/// A snapshot that is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flawed {
    /// restic's id, or its first 8 letters.
    pub snapshot: String,
    /// Its tag: the name that the group had then.
    pub tag: String,
    /// The backup that made it; `None` = none that this server knows.
    pub job: Option<JobId>,
    /// When the server heard of it.
    pub heard_at: Timestamp,
    /// What it lacks by its own word; `None` = nothing, but more than half of what is usual is gone.
    pub lack: Option<Lack>,
}

/// What a backup lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// Why it is not whole.
    pub class: Class,
    /// The paths that are missing or could not be read, as far as they are named; sorted.
    pub paths: Vec<String>,
    /// Number of further paths that are not in `paths`.
    pub paths_left_out: u32,
    /// How many files and folders could not be read.
    pub errors: u64,
}

/// A backup in which more than half of the usual files or bytes was gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The first such backup.
    pub job: JobId,
    /// When the server heard of it.
    pub since: Timestamp,
    /// What was usual before.
    pub usual: Extent,
    /// What the last such backup held.
    pub now: Extent,
    /// A later backup held as much as usual again.
    pub is_back: bool,
}

/// A person's statement that a group is right as its last backup found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Who stated it.
    pub by: Actor,
    /// When it was stated.
    pub at: Timestamp,
    /// What may be lacking from then on, until a backup lacks nothing.
    pub lack: Option<Lack>,
}

/// Why nothing of a group is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hold {
    /// More than half of what is usual is gone.
    Loss,
    /// More snapshots lack something than are kept in mind.
    TooManyLacking,
    /// What was there before the group began here is not listed yet.
    Unlisted,
    /// Nobody can tell how much the snapshots hold that were there before.
    Unsized,
    /// A backup does not fit in with those before it.
    Unusual(Unusual),
}

impl Hold {
    /// All variants.
    pub const ALL: [Self; 7] = [
        Self::Loss,
        Self::TooManyLacking,
        Self::Unlisted,
        Self::Unsized,
        Self::Unusual(Unusual::GrewBy),
        Self::Unusual(Unusual::FilesGone),
        Self::Unusual(Unusual::AlmostAllChanged),
    ];

    /// Whether a person has to look, so that nothing of the repository is pruned before.
    #[must_use]
    pub const fn is_found(self) -> bool {
        matches!(self, Self::Loss | Self::TooManyLacking | Self::Unusual(_))
    }

    /// The stable word for it in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::TooManyLacking => "too_many_lacking",
            Self::Unlisted => "unlisted",
            Self::Unsized => "unsized",
            Self::Unusual(_) => "unusual",
        }
    }
}

/// So many letters of a snapshot's id name it to an agent.
pub(crate) const NAMED_BY: usize = 16;

/// What names a snapshot to an agent.
pub(crate) fn named_by(snapshot: &str) -> &str {
    snapshot.get(..NAMED_BY).unwrap_or(snapshot)
}
