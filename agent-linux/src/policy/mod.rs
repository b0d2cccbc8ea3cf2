//! What the owner of this machine allows; the server can't widen it.
//!
//! It stands in a file that only root (or whoever runs the agent) may write, see [`file`], and is read before each job:
//! a change counts from the next one on. A file that can't be read allows nothing; a file that is not there, or says
//! nothing of something, allows the least of it that backups can be set up with. `docs/security.md` has the table.

mod file;
mod repositories;
mod restore;
mod rights;
mod roots;
mod sources;
mod told;
mod when;

pub use file::{DEFAULT_FILE, PolicyAt, PolicyError};
pub use repositories::Pattern;
pub use rights::{Rights, WriteError, Written};
pub use roots::{in_words, is_within, real};
pub use sources::Sources;
pub use told::{find_ionice, told};
pub use when::{Quiet, here};

use crate::{restic::overlap, state::DEFAULT_FOLDER, update::signature::UpdateKey};
use schema::{JobKind, JobSpec, job::COMMAND_SOURCE};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

/// Why nothing is done with the state folder.
const OWN_STATE: &str = "The agent's own state folder holds its keys: it is never backed up, shown or restored into, whatever the policy says.";

/// The policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether credentials that may delete are taken at all, for a job.
    pub allows_admin_slot: bool,
    /// The folders that may be backed up and looked into; empty = all but the agent's own.
    pub source_roots: Vec<PathBuf>,
    /// The agent's own folder for what is restored: new folders are made in it.
    pub restore_base: PathBuf,
    /// The other folders that new folders with what is restored may be made in.
    pub restore_targets: Vec<PathBuf>,
    /// Whether something may be restored to where it was, over what is there.
    pub restore_in_place: bool,
    /// Where backups may go; empty = anywhere but into folders of the system.
    pub repositories: Vec<Pattern>,
    /// The agent's state folder, which holds its keys: nothing is backed up, looked into or restored there.
    pub state_dir: PathBuf,
    /// The policy file itself, which nothing may be restored over.
    pub file: PathBuf,
    /// What restic may take of the machine.
    pub limits: Limits,
    /// When what works long is not begun.
    pub quiet: Vec<Quiet>,
    /// The network interfaces that a storage may be reached through; empty = all.
    pub interfaces: Vec<String>,
    /// What a source group may name to be run before or after it.
    pub hooks: BTreeMap<String, Hook>,
    /// What a source group may name to have its output saved.
    pub commands: BTreeMap<String, SourceCommand>,
    /// Whose programs may take the place of this one; `None` = nobody's.
    pub update_key: Option<UpdateKey>,
}

/// What restic may take of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// To the storage, in KiB a second; 0 = no limit.
    pub upload_kib: u32,
    /// From it.
    pub download_kib: u32,
    /// Added to its niceness, 0 to 19.
    pub nice: u8,
    /// It reads and writes files only when nobody else does.
    pub io_idle: bool,
    /// It spares memory rather than time; `None` = on machines with little of it.
    pub spare_memory: Option<bool>,
}

/// A program that is run before or after a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Program and arguments.
    pub command: Vec<String>,
    /// When it must have ended.
    pub timeout_secs: u32,
}

/// A program whose output is saved as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCommand {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The file's name in the snapshot.
    pub file_name: String,
}

impl Default for Policy {
    /// Of a machine without a policy file and with the state folder where it usually is.
    fn default() -> Self {
        Self::least(Path::new(DEFAULT_FOLDER), Path::new(DEFAULT_FILE))
    }
}

impl Policy {
    /// What an empty policy file comes to: no program, no file that is there replaced.
    fn least(state_dir: &Path, file: &Path) -> Self {
        Self {
            allows_admin_slot: true,
            source_roots: Vec::new(),
            restore_base: restore::default_base(state_dir),
            restore_targets: Vec::new(),
            restore_in_place: false,
            repositories: Vec::new(),
            state_dir: state_dir.to_owned(),
            file: file.to_owned(),
            limits: Limits::default(),
            quiet: Vec::new(),
            interfaces: Vec::new(),
            hooks: BTreeMap::new(),
            commands: BTreeMap::new(),
            update_key: None,
        }
    }
}

/// Where and when a job would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// The minute of the day, by the machine's own time zone.
    pub minute: u16,
    /// The interfaces of the default routes.
    pub interfaces: Vec<String>,
}

impl Policy {
    /// Why this job is not allowed here, at no time.
    #[must_use]
    pub fn refuses(&self, spec: &JobSpec<'_>) -> Option<String> {
        match spec {
            JobSpec::Backup(backup) => {
                let hooks = backup.hooks_before.iter().chain(backup.hooks_after.iter());
                self.refuses_sources(backup.includes.iter()).or_else(|| self.lacks_hook(hooks))
            }
            JobSpec::Restore(restore) => self.restore_to(restore).err(),
            JobSpec::Ls { path, .. } if self.is_in_state(Path::new(OsStr::from_bytes(path.as_bytes()))) => {
                Some(OWN_STATE.to_owned())
            }
            // Folders of the machine are judged where they are opened, see [`crate::browse`].
            JobSpec::Ls { .. } | JobSpec::Browse { .. } => None,
            // They name nothing on this machine; their repository is judged apart.
            JobSpec::Probe
            | JobSpec::Init
            | JobSpec::Forget { .. }
            | JobSpec::Prune { .. }
            | JobSpec::Check { .. }
            | JobSpec::Unlock { .. }
            | JobSpec::Stats
            | JobSpec::Snapshots => None,
        }
    }

    /// Whether a path lies in the agent's state folder, or is it: by its name, by where it leads, or in another place where
    /// a mount shows it.
    #[must_use]
    pub fn is_in_state(&self, path: &Path) -> bool {
        let (here, state) = (real(path), real(&self.state_dir));
        if path.starts_with(&self.state_dir) || here.starts_with(&state) {
            return true;
        }
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        overlap::Folder::at(&state, &mounts).overlap(&here) == overlap::Overlap::Inside
    }

    /// Why these paths may not be backed up.
    fn refuses_sources<'p>(&self, mut sources: impl Iterator<Item = &'p str>) -> Option<String> {
        sources.find_map(|source| match source.strip_prefix(COMMAND_SOURCE) {
            Some(name) if self.commands.contains_key(name) => None,
            Some(name) => Some(format!(
                "This machine's own policy has no command {name}; {}. To change that: commands in its policy file.",
                names("it has", self.commands.keys())
            )),
            None if self.is_in_state(Path::new(source)) => Some(OWN_STATE.to_owned()),
            None if is_within(Path::new(source), &self.source_roots) => has_steps_up(Path::new(source)).then(|| {
                // restic takes them away by the names, the system by where links lead.
                format!("{source} has steps upwards, so that it can mean two folders: name it without.")
            }),
            None => Some(format!(
                "This machine's own policy does not let {source} be backed up; it allows {}. To change that: source_roots in its policy file.",
                in_words(&self.source_roots)
            )),
        })
    }

    fn lacks_hook<'p>(&self, mut hooks: impl Iterator<Item = &'p str>) -> Option<String> {
        let hook = hooks.find(|hook| !self.hooks.contains_key(*hook))?;
        Some(format!(
            "This machine's own policy has no hook {hook}; {}. To change that: hooks in its policy file.",
            names("it has", self.hooks.keys())
        ))
    }

    /// Why a job of this kind is not run here and now, but may be later.
    #[must_use]
    pub fn not_now(&self, kind: JobKind, here: &Here) -> Option<String> {
        let works_long = matches!(
            kind,
            JobKind::Backup | JobKind::Forget | JobKind::Prune | JobKind::Check | JobKind::Stats
        );
        if works_long && let Some(quiet) = self.quiet.iter().find(|quiet| quiet.holds(here.minute)) {
            return Some(format!("This machine keeps quiet from {quiet}, so the job was not run."));
        }
        let is_here = |pattern: &String| here.interfaces.iter().any(|name| when::is_like(pattern, name));
        if kind == JobKind::Browse || self.interfaces.is_empty() || self.interfaces.iter().any(is_here) {
            return None;
        }
        let now = if here.interfaces.is_empty() { "none".to_owned() } else { here.interfaces.join(", ") };
        Some(format!(
            "This machine's own policy lets jobs run over {} only, and its way out is {now}, so the job was not run.",
            self.interfaces.join(", ")
        ))
    }
}

/// Whether a path has a `..` in it.
fn has_steps_up(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

fn names<'n>(has: &str, names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "it has none".to_owned() } else { format!("{has} {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Items, job::BackupSpec};

    fn policy(text: &str) -> Policy {
        file::parse(text, Path::new("/nowhere/state"), Path::new("/nowhere/policy.toml")).unwrap()
    }

    fn backup<'a>(includes: &[&'a str], hooks: &[&'a str], room: &'a mut [[u8; 256]; 2]) -> JobSpec<'a> {
        let [first, second] = room;
        JobSpec::Backup(BackupSpec {
            group: "files",
            includes: Items::write(includes.iter().copied(), first).unwrap(),
            excludes: Items::EMPTY,
            exclude_if_present: Items::EMPTY,
            one_file_system: false,
            required_mounts: Items::EMPTY,
            hooks_before: Items::EMPTY,
            hooks_after: Items::write(hooks.iter().copied(), second).unwrap(),
            dry_run: false,
            origins: Items::EMPTY,
        })
    }

    #[test]
    fn what_the_server_asks_for_is_held_to_the_policy() {
        let policy = policy(
            "source_roots = ['/nowhere/photos', '/nowhere/state']\n\
             [hooks.dump]\ncommand = ['/bin/true']\n[commands.db]\ncommand = ['/bin/dump']\nfile_name = 'db.sql'\n",
        );
        let mut room = [[0; 256]; 2];
        for (includes, hooks, said) in [
            (&["/nowhere/photos/a"][..], &[][..], None),
            (
                &["/nowhere/photos", "/etc"],
                &[],
                Some("does not let /etc be backed up; it allows /nowhere/photos, "),
            ),
            (&["/nowhere/photos/../../etc"], &[], Some("does not let")),
            (&["/nowhere/state/identity"], &[], Some("own state folder holds its keys")),
            (&["command:db"], &["dump"], None),
            (&["command:rm"], &[], Some("has no command rm; it has db")),
            (&["/nowhere/photos"], &["dump", "/bin/sh"], Some("has no hook /bin/sh; it has dump")),
        ] {
            let refused = policy.refuses(&backup(includes, hooks, &mut room));
            assert_eq!(refused.is_some(), said.is_some(), "{includes:?}: {refused:?}");
            assert!(refused.unwrap_or_default().contains(said.unwrap_or_default()));
        }
    }

    #[test]
    fn a_path_with_steps_upwards_is_refused_for_it_can_mean_two() {
        let mut room = [[0; 256]; 2];
        let refused = Policy::default().refuses(&backup(&["/usr", "/usr/../usr"], &[], &mut room));
        assert!(refused.is_some_and(|said| said.contains("/usr/../usr has steps upwards")));
    }

    #[test]
    fn quiet_hours_and_interfaces_hold_back_what_they_are_meant_for() {
        let policy = policy("quiet_hours = ['08:00-18:00']\ninterfaces = ['eth*', 'wlan0']");
        let at = |minute, interface: &str| Here { minute, interfaces: vec![interface.to_owned()] };
        for (kind, here, holds) in [
            (JobKind::Backup, at(7 * 60 + 59, "eth0"), false),
            (JobKind::Backup, at(8 * 60, "eth0"), true),
            (JobKind::Check, at(17 * 60 + 59, "eth0"), true),
            (JobKind::Backup, at(18 * 60, "wlan0"), false),
            (JobKind::Unlock, at(12 * 60, "eth1"), false),
            (JobKind::Unlock, at(12 * 60, "wwan0"), true),
            (JobKind::Backup, at(20 * 60, "wlan01"), true),
            (JobKind::Browse, at(12 * 60, "wwan0"), false),
            (JobKind::Probe, Here { minute: 0, interfaces: Vec::new() }, true),
        ] {
            assert_eq!(policy.not_now(kind, &here).is_some(), holds, "{kind:?} {here:?}");
            assert_eq!(Policy::default().not_now(kind, &here), None);
        }
        let said = policy.not_now(JobKind::Backup, &at(9 * 60, "eth0")).unwrap();
        assert!(said.contains("from 08:00 to 18:00"), "{said}");
    }
}
