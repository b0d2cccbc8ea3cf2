//! A restore: the folder that it goes into, and what is looked at afterwards.

use super::{
    super::{
        args::{self, ArgsError, INNER_FOLDER},
        order::RestoreTo,
        outcome::Verdict,
        step::Step,
    },
    Job,
    prepare::refused_args,
    wall_clock,
};
use crate::{
    folder::{FolderError, FolderId, NewFolder},
    policy::real,
    rfc3339::Instant,
};
use schema::{Class, Outcome, job::RestoreSpec};
use std::path::Path;

/// Of a snapshot's id, in characters.
const WHOLE_ID: usize = 64;

impl Job<'_> {
    pub(super) async fn restore(&mut self, steps: &[Step], restore: &RestoreSpec<'_>) -> Verdict {
        let Some(to) = self.restore_to.take() else { return refused_args(&ArgsError::NoTarget) };
        if restore.dry_run {
            return match to {
                RestoreTo::New { .. } => self.rehearse(steps).await,
                RestoreTo::Original { .. } => self.plain(steps).await,
            };
        }
        let steps = match self.look_through(steps, restore.snapshot).await {
            Ok(steps) => steps,
            Err(verdict) => return verdict,
        };
        match to {
            RestoreTo::Original { .. } => self.plain(&steps).await,
            RestoreTo::New { root, below, forbidden } => {
                let name = folder_name(restore.snapshot, &Instant(wall_clock()).to_string());
                let made = tokio::task::spawn_blocking(move || {
                    let forbidden: Vec<_> = forbidden.iter().filter_map(|own| FolderId::of(own)).collect();
                    let made = NewFolder::make(&root, &below, &name, &forbidden)?;
                    made.make_inner(INNER_FOLDER).map(|()| made)
                });
                match self.unless_stopped(made).await {
                    Ok(Ok(Ok(made))) => self.restore_into(made, &steps).await,
                    Ok(Ok(Err(error))) => not_made(&error),
                    Ok(Err(error)) => Verdict::failed(Class::Other, &error.to_string()),
                    Err(verdict) => verdict,
                }
            }
        }
    }

    /// Looks through the snapshot, for what restic must not restore. The steps with its whole id in them, so that no other
    /// one is taken.
    async fn look_through(&mut self, steps: &[Step], snapshot: &str) -> Result<Vec<Step>, Verdict> {
        let walk = args::walk(snapshot).map_err(|error| refused_args(&error))?;
        let walked = self.main_step(&walk).await;
        if !walked.is_ok() {
            return Err(walked.verdict);
        }
        if let Some(path) = walked.found.tree_fault {
            let message = format!(
                "Nothing was restored: the snapshot has {path} twice or out of its order, which restic never writes. Such a snapshot was made by hand, to write outside of its target (restore_base and restore_targets in the policy file of this machine)."
            );
            return Err(Verdict::failed(Class::Policy, &message));
        }
        let id = if walked.found.walked.is_empty() { snapshot } else { &walked.found.walked };
        if id.len() < WHOLE_ID || !id.starts_with(snapshot) {
            let message = "restic does not say which snapshot that is: name it by its whole id.";
            return Err(Verdict::failed(Class::Other, message));
        }
        let mut steps = steps.to_vec();
        for step in &mut steps {
            if let Some(last) = step.args.last_mut() {
                id.clone_into(last);
            }
        }
        Ok(steps)
    }

    async fn restore_into(&mut self, made: NewFolder, steps: &[Step]) -> Verdict {
        let path = made.path().display().to_string();
        self.say(&format!("Restoring into {path}, a new folder that nobody else may look into.")).await;
        self.restore_folder = Some(made);
        let verdict = self.plain(steps).await;
        let Some(made) = self.restore_folder.take() else { return verdict };
        let lifted = made.lift(INNER_FOLDER);
        if !made.is_in_place() {
            let message = format!(
                "{path} was moved, replaced or opened to others while it was restored into: what is there now is not to be trusted. {}",
                verdict.message
            );
            return Verdict::failed(Class::Policy, &message);
        }
        if verdict.outcome != Outcome::Succeeded {
            made.remove_if_empty();
        } else if let Err(error) = lifted {
            let message =
                format!("What was restored lies in {path}/{INNER_FOLDER} and can't be moved up: {error}.");
            return Verdict::failed(Class::Other, &message);
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
