use super::Actor;
use schema::{Class, JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// What is known of how whole the snapshots of a source group are: what its backups said of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Hold {
    /// All variants.
    pub const ALL: [Self; 4] = [Self::Loss, Self::TooManyLacking, Self::Unlisted, Self::Unsized];

    /// Whether a person has to look, so that nothing of the repository is pruned before.
    #[must_use]
    pub const fn is_found(self) -> bool {
        matches!(self, Self::Loss | Self::TooManyLacking)
    }

    /// The stable word for it in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::TooManyLacking => "too_many_lacking",
            Self::Unlisted => "unlisted",
            Self::Unsized => "unsized",
        }
    }
}

/// So many letters of a snapshot's id name it to an agent.
pub(crate) const NAMED_BY: usize = 16;

/// What names a snapshot to an agent.
pub(crate) fn named_by(snapshot: &str) -> &str {
    snapshot.get(..NAMED_BY).unwrap_or(snapshot)
}
