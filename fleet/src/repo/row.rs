//! The row of a repository.

use crate::change::Changed;
use crate::hosts;
use crate::record::RepoState;
use crate::refused::StoreError;
use crate::store::{REPOS, Tx};
use schema::HostId;

pub(super) fn write(tx: &mut Tx<'_>, host: HostId, state: &RepoState) -> Result<(), StoreError> {
    tx.put(&REPOS, &host, state)?;
    hosts::change_summary(tx, host, |summary| summary.take_repo(&state.as_shown()))?;
    tx.effects.changed(Changed::Repo(host));
    Ok(())
}
