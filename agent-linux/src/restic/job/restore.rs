//! A restore: the folder that it goes into, and what is looked at afterwards.

use super::{
    super::{args::Step, outcome::Verdict},
    Job, wall_clock,
};
use crate::{
    folder::{FolderError, FolderId, NewFolder},
    policy::real,
    rfc3339::Instant,
};
use schema::{Class, Outcome, job::RestoreSpec};
use std::path::{Path, PathBuf};

/// Where a restore goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreTo {
    /// Into a folder that is made for it.
    New {
        /// A folder that is allowed.
        root: PathBuf,
        /// The path below it that is wanted. When something is there, the new folder lies in it.
        below: PathBuf,
        /// Not in these, however they are reached.
        forbidden: Vec<PathBuf>,
    },
    /// To where it was, over what is there.
    Original {
        /// But for these.
        without: Vec<PathBuf>,
    },
}

impl Job<'_> {
    pub(super) async fn restore(&mut self, steps: &[Step], restore: &RestoreSpec<'_>) -> Verdict {
        let Some(RestoreTo::New { root, below, forbidden }) = self.restore_to.take() else {
            return self.plain(steps).await;
        };
        if restore.dry_run {
            return self.rehearse(steps).await;
        }
        let name = folder_name(restore.snapshot, &Instant(wall_clock()).to_string());
        let made = tokio::task::spawn_blocking(move || {
            let forbidden: Vec<_> = forbidden.iter().filter_map(|own| FolderId::of(own)).collect();
            NewFolder::make(&root, &below, &name, &forbidden)
        });
        let made = match self.unless_stopped(made).await {
            Ok(Ok(Ok(made))) => made,
            Ok(Ok(Err(error))) => return not_made(&error),
            Ok(Err(error)) => return Verdict::failed(Class::Other, &error.to_string()),
            Err(verdict) => return verdict,
        };
        let path = made.path().to_owned();
        self.say(&format!("Restoring into {}, a new folder that nobody else may look into.", path.display()))
            .await;
        self.restore_folder = Some(made);
        let verdict = self.plain(steps).await;
        let Some(made) = self.restore_folder.take() else { return verdict };
        if !made.is_in_place() {
            let what = "was moved, replaced or opened to others while it was restored into";
            let message = format!(
                "{} {what}: what is there now is not to be trusted. {}",
                path.display(),
                verdict.message
            );
            return Verdict::failed(Class::Policy, &message);
        }
        if verdict.outcome != Outcome::Succeeded {
            made.remove_if_empty();
        }
        verdict
    }

    /// A dry run, as into an empty folder.
    async fn rehearse(&mut self, steps: &[Step]) -> Verdict {
        match NewFolder::make(&real(&self.places.temp), Path::new(""), "dry-run", &[]) {
            Ok(made) => self.restore_folder = Some(made),
            Err(error) => return not_made(&error),
        }
        let verdict = self.plain(steps).await;
        if let Some(made) = self.restore_folder.take() {
            made.remove_if_empty();
        }
        verdict
    }
}

/// Of the snapshot and an instant as `2026-11-23T06:41:12Z`: `holdfast-restore-0123abcd-20261123T064112Z`.
fn folder_name(snapshot: &str, at: &str) -> String {
    let snapshot: String = snapshot.chars().take(8).collect();
    let at: String = at.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("holdfast-restore-{snapshot}-{at}")
}

fn not_made(error: &FolderError) -> Verdict {
    match error {
        FolderError::System { source, .. } => {
            let is_full =
                matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
            let message = format!(
                "The folder to restore into can't be made: {error}. Make room or name another one (restore_base and restore_targets in the policy file of this machine)."
            );
            Verdict::failed(if is_full { Class::DiskFull } else { Class::Other }, &message)
        }
        _ => {
            let message = format!(
                "Nothing was restored: {error}. Restore into a new folder below restore_base or one of restore_targets in the policy file of this machine, named without links."
            );
            Verdict::failed(Class::Policy, &message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_folder_is_called_after_snapshot_and_time() {
        let name = folder_name("0123abcdef", "2026-11-23T06:41:12Z");
        assert_eq!(name, "holdfast-restore-0123abcd-20261123T064112Z");
    }
}
