//! What the owner can say: the policy as a value.

use super::{Pattern, Quiet};
use crate::update::signature::UpdateKey;
use std::{collections::BTreeMap, path::PathBuf};

/// What the machine's owner allows, as read from the policy file.
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
    /// Whether files of a snapshot are sent to whoever downloads them from the server.
    pub downloads: bool,
    /// Whether files of other hosts are restored and sent from here, with those hosts' credentials.
    pub other_hosts: bool,
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
    /// From the storage, in KiB a second; 0 = no limit.
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
