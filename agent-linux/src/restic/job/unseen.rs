//! A restore without a look through the snapshot before: of all that is in one that this agent's restic has made, into a
//! new folder. A look costs a start of restic, most of a second of a processor for the key alone, and reads all folders.
//!
//! One of them that can't be looked through, as a folder in it can't be read, is restored so, too, and what is picked of it.
//!
//! What else the look is for comes from what is there afterwards; when something has failed it is made up for.

use super::{
    super::{
        failures::Failures,
        findings::Findings,
        landed::Landed,
        made,
        order::RestoreTo,
        outcome::Verdict,
        raw_names::as_json_shows,
        step::Step,
        tree::Picked,
        version::{Restic, Version},
    },
    Job,
    restore::Plan,
    steps::{SIDE_LIMIT, SIDE_LIMIT_AFTER_STOP},
};
use schema::restore::RestoreSpec;
use std::path::{Path, PathBuf};

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

    /// What is there now of a restore into an empty folder. That may lie on a disk that hangs.
    pub(super) async fn look_at_restored(
        &mut self,
        folder: PathBuf,
        failures: &Failures,
        plan: &Plan<'_>,
    ) -> Option<Landed> {
        let limit = if self.wires.stop.is_some() { SIDE_LIMIT_AFTER_STOP } else { SIDE_LIMIT };
        let (failures, picks) = (failures.clone(), plan.step.picks.clone());
        // A restic that says nothing of a restore does not say how much it was either.
        let measures = !self.version().says_restored();
        let look = move || Landed::look(&folder, &failures, &picks, measures);
        match tokio::time::timeout(limit, tokio::task::spawn_blocking(look)).await {
            Ok(Ok(landed)) => landed.ok(),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Other names, in a folder that was not empty, of what has failed: they have failed, too.
    pub(super) async fn add_other_names(&mut self, target: &Path, failures: &mut Failures, plan: &Plan<'_>) {
        let limit = if self.wires.stop.is_some() { SIDE_LIMIT_AFTER_STOP } else { SIDE_LIMIT };
        let (target, failed, ways) = (target.to_owned(), failures.clone(), plan.picked.ways.clone());
        let look = tokio::task::spawn_blocking(move || Landed::other_names(&target, &failed, &ways));
        let Ok(Ok(mut names)) = tokio::time::timeout(limit, look).await else { return };
        let is_within = |path: &[u8], pick: &[u8]| {
            let rest = path.strip_prefix(pick.strip_suffix(b"/").unwrap_or(pick));
            rest.is_some_and(|rest| rest.first().is_none_or(|&next| next == b'/'))
        };
        let picks = &plan.step.picks;
        names.retain(|name| picks.is_empty() || picks.iter().any(|pick| is_within(&name.path, pick)));
        if names.is_empty() {
            return;
        }
        // Such a name may be of somebody who has never saved it.
        let picks = names.iter().map(|name| name.path.clone()).collect();
        let exit_code = self.exit_code;
        let walked = self.walk(&Step { picks, ..plan.step.clone() }, plan.spec.snapshot).await;
        self.exit_code = exit_code;
        for name in names {
            let shown = as_json_shows(&name.path);
            if walked.as_ref().is_ok_and(|walked| !walked.picked.named_files.contains(&shown)) {
                continue;
            }
            failures.add(&shown, &name.reason);
        }
    }

    /// What was asked for, once restic has ended: by what is in the folder now.
    pub(super) async fn count_restored(
        &mut self,
        plan: &mut Plan<'_>,
        landed: Option<&Landed>,
        found: &Findings,
        is_whole: bool,
    ) -> Picked {
        let is_short = landed.is_none() || !found.failures.is_empty();
        if is_whole && is_short && plan.unread.is_none() {
            match self.look_afterwards(plan).await {
                Ok(picked) => return picked,
                Err(verdict) => plan.unread = Some(verdict),
            }
        }
        // Of a restore that was broken off restic says how many were done; what it has begun is there, too.
        let none = Landed { files: found.restored.items, bytes: found.restored.bytes, ..Landed::default() };
        let landed = landed.unwrap_or(&none);
        Picked {
            files: landed.files,
            folders: landed.folders_made,
            bytes: found.restored.bytes.max(landed.bytes),
            missing: landed.missing.clone(),
            ..Picked::default()
        }
    }

    /// How much there was of which something has failed.
    async fn look_afterwards(&mut self, plan: &Plan<'_>) -> Result<Picked, Verdict> {
        let exit_code = self.exit_code;
        let looked = self.look_through(&plan.step, plan.spec.snapshot).await;
        self.exit_code = exit_code;
        looked.map(|(_, picked)| picked)
    }
}
