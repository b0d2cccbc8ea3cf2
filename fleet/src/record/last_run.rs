use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// The latest job of a kind, whoever asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// When the job was created.
    pub at: Timestamp,
    /// Whether the job has not ended yet.
    pub open: bool,
    /// So many of the newest failed, were lost or broken off, one after the other; counted up to
    /// [`MAX_TRIES`](crate::maintenance::MAX_TRIES).
    pub failures: u8,
    /// Whether it was no real try: the host's policy put it off, or the server took it back.
    pub put_off: bool,
}

/// The latest jobs of the kinds that are a host's and not a group's, in the order of
/// [`KINDS`](crate::maintenance::KINDS).
pub type Latest = [Option<LastRun>; 3];

/// When a source group was drilled last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDrill {
    /// Name of the source group.
    pub group: String,
    /// Since when there is a good backup that could be proven.
    pub since: Timestamp,
    /// The latest drill; `None` = there was none.
    pub last_run: Option<LastRun>,
}

/// When each kind of maintenance of a host fired last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastRuns {
    /// When it was seen to use another repository than before: what was done earlier was done to the old one.
    pub(crate) switched_at: Option<Timestamp>,
    /// The latest job of each kind.
    pub(crate) latest: Latest,
    /// The source groups that could be proven.
    pub(crate) drills: Vec<GroupDrill>,
}
