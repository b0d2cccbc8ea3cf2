//! A restore without a look through the snapshot before: of all that is in one that this agent's restic has made, into a
//! new folder. A look costs a start of restic, most of a second of a processor for the key alone, and reads all folders.
//!
//! What else the look is for comes from what is there afterwards; when something has failed it is made up for.

use super::{
    super::{
        findings::Findings,
        made,
        order::RestoreTo,
        step::Step,
        tree::Picked,
        version::{Restic, Version},
    },
    Job,
    restore::Plan,
    steps::{SIDE_LIMIT, SIDE_LIMIT_AFTER_STOP},
};
use schema::restore::RestoreSpec;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How deep folders are counted.
const DEEPEST: usize = 128;

/// What is in a folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    folders: u64,
    others: u64,
}

impl Job<'_> {
    /// Whether it can be restored without a look.
    pub(super) fn needs_no_look(&self, step: &Step, spec: &RestoreSpec<'_>, to: &RestoreTo) -> bool {
        self.known.restic.as_ref().map(Restic::version).is_some_and(Version::says_restored)
            && matches!(to, RestoreTo::New { .. })
            && !spec.dry_run
            && step.picks.is_empty()
            && self.looked_through(step, spec.snapshot).is_none()
            && made::knows(&self.places.home, spec.snapshot)
    }

    /// What was asked for, once restic has ended: by what is in the folder now.
    pub(super) async fn count_restored(
        &mut self,
        plan: &Plan<'_>,
        folder: PathBuf,
        found: &Findings,
        is_whole: bool,
    ) -> Picked {
        let limit = if self.wires.stop.is_some() { SIDE_LIMIT_AFTER_STOP } else { SIDE_LIMIT };
        let counting = tokio::task::spawn_blocking(move || count(&folder, DEEPEST));
        let counted = match tokio::time::timeout(limit, counting).await {
            Ok(Ok(counted)) => counted.ok(),
            Ok(Err(_)) | Err(_) => None,
        };
        let told = if is_whole && (counted.is_none() || !found.failures.is_empty()) {
            self.look_afterwards(plan).await
        } else {
            None
        };
        // Of a restore that was broken off restic says how many were done; what it has begun is there, too.
        let counted = counted.unwrap_or(Counted { folders: 0, others: found.restored.items });
        let Counted { folders, others: files } = counted;
        told.unwrap_or(Picked { files, folders, bytes: found.restored.bytes, ..Picked::default() })
    }

    /// How much there was of which something has failed.
    async fn look_afterwards(&mut self, plan: &Plan<'_>) -> Option<Picked> {
        let exit_code = self.exit_code;
        let looked = self.look_through(&plan.step, plan.spec.snapshot).await;
        self.exit_code = exit_code;
        looked.ok().map(|(_, picked)| picked)
    }
}

/// Counts what is in a folder and below, no link followed.
fn count(folder: &Path, deepest: usize) -> io::Result<Counted> {
    let Some(deepest) = deepest.checked_sub(1) else { return Err(io::Error::other("too deep")) };
    let mut counted = Counted::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let Counted { folders, others } = count(&entry.path(), deepest)?;
            counted.folders += folders + 1;
            counted.others += others;
        } else {
            counted.others += 1;
        }
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn folders_are_told_from_what_is_in_them_and_no_link_is_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        fs::create_dir_all(folder.join("a/b/c")).unwrap();
        fs::write(folder.join("a/file"), "x").unwrap();
        symlink(folder, folder.join("a/b/link")).unwrap();
        assert_eq!(count(folder, 4).unwrap(), Counted { folders: 3, others: 2 });
        assert!(count(folder, 3).is_err(), "too deep");
    }
}
