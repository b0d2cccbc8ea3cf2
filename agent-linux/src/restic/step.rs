//! One run of restic within a job, as data: what it is, and its arguments.

use super::draw::Bounds;
use super::find::Search;
use super::there::Fates;
use schema::OsText;
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
};

pub(super) const FROM_COMMAND: &str = "--stdin-from-command";
/// How long restic waits for a lock by itself, at first: it says nothing meanwhile.
pub(super) const RETRY_LOCK: &str = "--retry-lock=20s";
/// And how long when it has been said who is waited for.
const RETRY_LOCK_LONG: &str = "--retry-lock=5m";

/// One run of restic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is, for reading and judging what restic says.
    pub kind: StepKind,
    /// The arguments behind restic's name.
    pub args: Vec<String>,
    /// Options that carry names as the file system has them; they stand before the `--` of the arguments.
    pub options: Vec<OsString>,
    /// A path behind all of them, as the file system has it; empty = none.
    pub path: Vec<u8>,
    /// Of a walk through a snapshot: what is counted on the way; empty = all.
    pub picks: Vec<Vec<u8>>,
    /// Of a restore: how many files and bytes it is about.
    pub totals: (u64, u64),
    /// Of a restore over what is there: what becomes of that which restic does not tell of.
    pub fates: Arc<Fates>,
    /// Of a walk: which files are drawn by lot on the way.
    pub draw: Option<Bounds>,
    /// The source group it is about; empty when it is about none.
    pub group: String,
    /// Whose snapshots it is about, by host name and tag (empty = none): what restic shows of others is passed over.
    /// The group's own pair comes first; empty = it is not looked.
    pub members: Vec<(String, String)>,
    /// Of a forget: whose else, of the other groups of the host.
    pub others: Vec<(String, String)>,
    /// Of a search by name: what it looks for.
    pub search: Option<Box<Search>>,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// `cat config`: who the repository is.
    Config,
    /// The command `init`.
    Init,
    /// The command `backup`.
    Backup,
    /// `forget` of one group.
    Forget,
    /// The command `prune`.
    Prune,
    /// The command `check`.
    Check,
    /// The command `unlock`.
    Unlock,
    /// `stats --mode raw-data`.
    Stats,
    /// The command `snapshots`.
    Snapshots,
    /// `snapshots`, to choose those that are looked through.
    Choose,
    /// The command `find`.
    Find,
    /// The same search without JSON, for names that are no UTF-8.
    RawFind,
    /// The command `diff`.
    Diff,
    /// The same without JSON, for names that are no UTF-8.
    RawDiff,
    /// `ls` of a whole snapshot, for the sizes of what is picked.
    Sizes,
    /// The command `ls`.
    Ls,
    /// `ls` of the same folder without JSON, for names that are no UTF-8.
    RawLs,
    /// `ls` of a whole snapshot, before it is restored.
    Walk,
    /// The command `restore`.
    Restore,
    /// `ls` of one path, to know what it is.
    Stat,
    /// The command `dump`.
    Dump,
    /// The command `list locks`.
    ListLocks,
    /// The command `cat lock`.
    CatLock,
}

impl StepKind {
    /// restic's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "cat config",
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::Check => "check",
            Self::Unlock => "unlock",
            Self::Stats => "stats",
            Self::Snapshots | Self::Choose => "snapshots",
            Self::Find | Self::RawFind => "find",
            Self::Diff | Self::RawDiff => "diff",
            Self::Ls | Self::RawLs | Self::Walk | Self::Sizes | Self::Stat => "ls",
            Self::Dump => "dump",
            Self::Restore => "restore",
            Self::ListLocks => "list locks",
            Self::CatLock => "cat lock",
        }
    }

    /// Whether a SIGKILL may leave a lock of its own behind.
    pub(crate) const fn takes_lock(self) -> bool {
        matches!(self, Self::Backup | Self::Forget | Self::Prune | Self::Check)
    }
}

impl Step {
    pub(super) fn new(kind: StepKind, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self {
            kind,
            args,
            options: Vec::new(),
            path: Vec::new(),
            picks: Vec::new(),
            totals: (0, 0),
            fates: Arc::default(),
            draw: None,
            group: String::new(),
            members: Vec::new(),
            others: Vec::new(),
            search: None,
        }
    }

    /// A backup that goes on from this snapshot.
    #[must_use]
    pub fn with_parent(&self, id: &str) -> Self {
        let mut step = self.clone();
        step.args.insert(1, format!("--parent={id}"));
        step
    }

    /// Narrows it down to the snapshots of these host names and tags.
    pub(super) fn about(&mut self, members: Vec<(String, String)>) {
        for (place, (hostname, _)) in members.iter().enumerate() {
            if !members[..place].iter().any(|(other, _)| other == hostname) {
                self.args.push(format!("--host={hostname}"));
            }
        }
        for (place, (_, tag)) in members.iter().enumerate() {
            if !members[..place].iter().any(|(_, other)| other == tag) {
                self.args.push(format!("--tag={tag}"));
            }
        }
        self.members = members;
    }

    /// The same, with a long wait for the lock; `None` = this restic does not wait.
    pub(super) fn waiting_long(&self) -> Option<Self> {
        let place = self.args.iter().position(|arg| arg == RETRY_LOCK)?;
        let mut step = self.clone();
        RETRY_LOCK_LONG.clone_into(&mut step.args[place]);
        Some(step)
    }

    /// Of a restore: where it goes; empty = it is none.
    pub(super) fn target(&self) -> String {
        let target = self.options.iter().find_map(|option| option.as_bytes().strip_prefix(b"--target="));
        target.map_or_else(String::new, |target| String::from_utf8_lossy(target).into_owned())
    }

    /// All arguments, in the order in which restic is given them.
    #[must_use]
    pub fn all_args(&self) -> Vec<&OsStr> {
        let end = self.args.iter().position(|arg| arg == "--").unwrap_or(self.args.len());
        let (before, behind) = self.args.split_at(end);
        let mut all: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
        all.extend(self.options.iter().map(OsString::as_os_str));
        all.extend(behind.iter().map(OsStr::new));
        all.extend((!self.path.is_empty()).then(|| OsStr::from_bytes(&self.path)));
        all
    }

    /// The arguments for the log. A program of the policy is left out: what it is given is its owner's alone; and of a
    /// search what is looked for: a log names no file.
    #[must_use]
    pub fn shown(&self) -> String {
        if let Some(search) = &self.search {
            return format!("{} in {} snapshots", self.args.join(" "), search.snapshots.len());
        }
        let shown = match self.args.iter().position(|arg| arg == "--") {
            Some(end) if self.args[..end].iter().any(|arg| arg == FROM_COMMAND) => &self.args[..end],
            _ => &self.args[..],
        };
        let mut shown = shown.join(" ");
        for option in &self.options {
            shown.push(' ');
            shown.push_str(&OsText::new(option.as_bytes()).to_string());
        }
        if !self.path.is_empty() {
            shown.push(' ');
            shown.push_str(&OsText::new(&self.path).to_string());
        }
        shown
    }

    /// Leaves out what these patterns match, of a backup. They stand behind those of the group: a pattern that begins
    /// with `!` takes back only what was excluded before it.
    pub(crate) fn leave_out(&mut self, patterns: &[String]) {
        let end = self.args.iter().position(|arg| arg == "--").unwrap_or(self.args.len());
        self.args.splice(end..end, patterns.iter().map(|pattern| format!("--exclude={pattern}")));
    }

    pub(super) fn flag(&mut self, wanted: bool, flag: &str) {
        if wanted {
            self.args.push(flag.to_owned());
        }
    }
}
