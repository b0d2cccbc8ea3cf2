//! What a job is given: what to run, with which credentials, where things are, and what is known from before.

use super::{figures::Figures, secrets::Credentials, tree::Picked, version::Restic};
use crate::state_folder::StateFolder;
use schema::JobSpec;
use std::{ffi::OsString, path::PathBuf};

/// A job to run.
#[derive(Debug)]
pub struct JobOrder<'a> {
    /// What to run.
    pub spec: JobSpec<'a>,
    /// What a backup saves in place of its paths.
    pub command: Option<CommandSource<'a>>,
    /// Where a restore goes; `None` for all else.
    pub restore_to: Option<RestoreTo>,
    /// The host name that restic writes into snapshots.
    pub restic_host: &'a str,
    /// When it must have ended, in seconds after its start; 0 = no deadline.
    pub deadline_secs: u32,
    /// How long restic may say nothing before it is taken to hang, in seconds; 0 = for ever. Not for kinds that are
    /// silent until their end.
    pub silence_secs: u32,
    /// The slot to use; `None` = there is none.
    pub credentials: Option<&'a Credentials>,
    /// The everyday slot, when the one to use is another. The job is run only when both open the same repository.
    pub everyday: Option<&'a Credentials>,
    /// The folders and programs that the job uses.
    pub places: &'a Places,
    /// What earlier jobs have found out: restic's version and the repository's figures.
    pub known: CarriedOver,
}

/// A program whose output is saved. Who allows it is not asked here.
#[derive(Clone, Copy, Debug)]
pub struct CommandSource<'a> {
    /// Program and arguments.
    pub command: &'a [String],
    /// The file's name in the snapshot.
    pub file_name: &'a str,
}

/// Where a restore goes, as the policy lets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreTo {
    /// Into a folder that is made for it.
    New {
        /// The folder that it is made in; what is missing of it is made.
        within: PathBuf,
        /// Folders in which nothing is restored, by whatever path they are reached.
        forbidden: Vec<PathBuf>,
    },
    /// Into this folder, which is made when it is not there.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Also when it is there already.
        may_hold: bool,
        /// Folders in which nothing is restored, by whatever path they are reached.
        forbidden: Vec<PathBuf>,
    },
    /// To where it was, over what is there.
    Original {
        /// What is not restored: the agent's own files, such as its state folder and the policy file.
        without: Vec<PathBuf>,
    },
}

/// Where things are on this machine.
#[derive(Clone, Debug)]
pub struct Places {
    /// The agent's own program, which answers to [`super::child::SUBCOMMAND`].
    pub program: PathBuf,
    /// restic: a path, or a name to look for in `path`.
    pub restic: PathBuf,
    /// restic's cache folder; made when it is missing.
    pub cache: PathBuf,
    /// For restic's temporary files; made when it is missing.
    pub temp: PathBuf,
    /// The agent's state folder, and restic's `HOME`.
    pub home: PathBuf,
    /// The folder that a drill restores into; made for it, and taken away.
    pub drill: PathBuf,
    /// restic's `PATH`.
    pub path: OsString,
    /// Spare memory rather than time.
    pub small: bool,
    /// Added to restic's niceness.
    pub nice: u8,
    /// The program that lets restic use disks only when nobody else does; `None` = it uses them like everybody.
    pub ionice: Option<PathBuf>,
    /// To the storage, in KiB a second; 0 = no limit.
    pub upload_kib: u32,
    /// From the storage, in KiB a second; 0 = no limit.
    pub download_kib: u32,
}

impl Places {
    /// Those of a state folder, with restic's cache and temporary files in these two, and without limits.
    #[must_use]
    pub fn of(state: &StateFolder, cache: PathBuf, temp: PathBuf, restic: PathBuf) -> Self {
        Self {
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe")),
            restic,
            cache,
            temp,
            home: state.path().to_owned(),
            drill: PathBuf::new(),
            path: std::env::var_os("PATH").unwrap_or_default(),
            small: false,
            nice: 0,
            ionice: None,
            upload_kib: 0,
            download_kib: 0,
        }
    }
}

/// What is carried over from job to job: what earlier ones have found out. Goes into a job and comes out of it.
#[derive(Clone, Debug, Default)]
pub struct CarriedOver {
    /// The restic that was asked last.
    pub restic: Option<Restic>,
    /// The repository's figures.
    pub figures: Figures,
    /// The last job here did not end cleanly: a lock of its restic may be left.
    pub unclean: bool,
    /// The snapshot that was looked through last, before a restore.
    pub walked: Option<Walked>,
}

/// A snapshot that was looked through and is one of restic's own making.
#[derive(Clone, Debug)]
pub struct Walked {
    /// Its whole id.
    pub id: String,
    /// The paths that were asked for.
    pub picks: Vec<Vec<u8>>,
    /// What lies in them.
    pub picked: Picked,
}
