//! Folders that are there for one job: that which a drill restores into, in the agent's state folder or where its policy
//! says, and those in the state folder in which restic keeps what it caches of another host's repository, or for a drill.
//! They are taken away at the end of the job (the drill's before the next one, too), and at the agent's start, should it have
//! died in the middle.

use super::order::Places;
use crate::logger;
use schema::JobKind;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The names of those for another host's repository: of a job, and of a download that runs beside it.
const OTHER_HOST: [&str; 2] = ["other-host", "other-host-download"];

/// The name of restic's cache for a drill.
pub(crate) const PROOF_CACHE: &str = "proof-cache";

/// Takes away what jobs left in this state folder, and a drill in this one, when their agent died.
pub(crate) fn clear_scratch(state: &Path, drill: Option<PathBuf>) {
    for folder in OTHER_HOST.into_iter().chain([PROOF_CACHE]).map(|name| state.join(name)).chain(drill) {
        if let Err(error) = clear(&folder) {
            logger::warn(format_args!("{}, which a job left, can't be removed: {error}", folder.display()));
        }
    }
}

impl Places {
    /// From now on restic's cache and its temporary files lie in a folder of their own, which this gives.
    pub(crate) fn apart(&mut self, kind: JobKind) -> PathBuf {
        let folder = self.home.join(OTHER_HOST[usize::from(kind == JobKind::Download)]);
        (self.cache, self.temp) = (folder.join("cache"), folder.join("tmp"));
        folder
    }
}

/// The same as [`clear`], off the agent's own thread. What can't be removed is logged, and given.
pub(crate) async fn clear_aside(folder: PathBuf) -> Result<(), String> {
    let cleared = tokio::task::spawn_blocking(move || {
        clear(&folder).map_err(|error| format!("{} can't be removed: {error}", folder.display()))
    });
    cleared.await.unwrap_or(Ok(())).inspect_err(|error| logger::warn(format_args!("{error}")))
}

/// Takes it away with all that is in it; not being there is fine.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    let gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match gone(fs::remove_dir_all(folder)) {
        // Folders come back with the permissions that they had, and their owner may not be allowed to write to them.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder);
            gone(fs::remove_dir_all(folder))
        }
        other => other,
    }
}

fn open_up(folder: &Path) {
    // What can't be changed keeps the folder from being removed, and that is told.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn it_goes_whatever_its_permissions_and_nothing_that_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let (scratch, outside) = (folder.path().join("drill"), folder.path().join("outside"));
        clear(&scratch).unwrap();
        fs::create_dir_all(scratch.join("a/b")).unwrap();
        fs::write(scratch.join("a/b/file"), "x").unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        symlink(&outside, scratch.join("a/link")).unwrap();
        for closed in ["a/b", "a"] {
            fs::set_permissions(scratch.join(closed), Permissions::from_mode(0o500)).unwrap();
        }
        open_up(&scratch);
        assert_eq!(fs::metadata(scratch.join("a/b")).unwrap().permissions().mode() & 0o777, 0o700);
        clear(&scratch).unwrap();
        assert!(!scratch.exists() && outside.join("kept").exists());
    }
}
