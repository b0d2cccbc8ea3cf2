//! The agent's own folder, which no policy gives away.

use super::{Policy, real};
use crate::restic::overlap;
use std::path::Path;

/// Why nothing is done with the state folder.
pub(super) const OWN_STATE: &str = "The agent's own state folder holds its keys: it is never backed up, shown or restored into, whatever the policy says.";

impl Policy {
    /// Whether a path lies in the agent's state folder, or is it: by its name, by where it leads, or in another place where
    /// a mount shows it.
    #[must_use]
    pub fn is_in_state(&self, path: &Path) -> bool {
        let (here, state) = (real(path), real(&self.state_dir));
        if path.starts_with(&self.state_dir) || here.starts_with(&state) {
            return true;
        }
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        overlap::NamedFolder::at(&state, &mounts).overlap(&here) == overlap::Overlap::Inside
    }
}
