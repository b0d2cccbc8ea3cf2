//! Of which source groups the last backup did not end well. Kept in the state folder, or an agent that is started again would praise
//! a host whose backups fail; one that has begun counts as such when the agent ends in the middle of it.

use crate::state_folder::StateFolder;
use schema::Outcome;
use std::collections::BTreeSet;

/// The groups, one a line.
const FILE: &str = "backups-not-well";

/// How the last backups ended.
#[derive(Debug)]
pub struct Backups {
    state: StateFolder,
    bad: BTreeSet<String>,
    running: Option<String>,
}

impl Backups {
    /// As the state folder has it. One that can't be read says nothing: the next backups tell.
    #[must_use]
    pub fn load(state: &StateFolder) -> Self {
        let bytes = state.read(FILE).unwrap_or_default().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let bad = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Self { state: state.clone(), bad, running: None }
    }

    /// A backup of this group begins.
    ///
    /// # Errors
    /// What keeps it from being written down, in words.
    pub fn begins(&mut self, group: &str) -> Result<(), String> {
        self.running = Some(group.to_owned());
        self.store()
    }

    /// It has ended. One that somebody ended says nothing.
    ///
    /// # Errors
    /// What keeps it from being written down, in words.
    pub fn ended(&mut self, group: &str, outcome: Outcome) -> Result<(), String> {
        self.running = None;
        match outcome {
            Outcome::Succeeded => drop(self.bad.remove(group)),
            Outcome::Warning | Outcome::Failed => drop(self.bad.insert(group.to_owned())),
            Outcome::Cancelled => {}
        }
        self.store()
    }

    /// The first of these groups whose last backup did not end well.
    #[must_use]
    pub fn failed_of<'g>(&self, mut groups: impl Iterator<Item = &'g str>) -> Option<&'g str> {
        groups.find(|group| self.bad.contains(*group))
    }

    fn store(&self) -> Result<(), String> {
        let mut text = String::new();
        for group in self.bad.iter().chain(self.running.iter().filter(|group| !self.bad.contains(*group))) {
            text.push_str(group);
            text.push('\n');
        }
        let done =
            if text.is_empty() { self.state.remove(FILE) } else { self.state.write(FILE, text.as_bytes()) };
        done.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_known_after_a_restart_and_so_is_what_was_broken_off() {
        let scratch = tempfile::tempdir().unwrap();
        let state = StateFolder::open_or_make(&scratch.path().join("state")).unwrap();
        let failed = |backups: &Backups| backups.failed_of(["docs", "etc"].into_iter()).map(str::to_owned);
        let mut backups = Backups::load(&state);
        backups.begins("etc").unwrap();
        assert_eq!(failed(&backups), None, "it runs");
        assert_eq!(failed(&Backups::load(&state)).as_deref(), Some("etc"), "it was broken off");
        backups.ended("etc", Outcome::Succeeded).unwrap();
        assert_eq!(failed(&Backups::load(&state)), None);
        backups.ended("docs", Outcome::Failed).unwrap();
        assert_eq!(failed(&Backups::load(&state)).as_deref(), Some("docs"));
        backups.begins("docs").unwrap();
        backups.ended("docs", Outcome::Cancelled).unwrap();
        assert_eq!(failed(&backups).as_deref(), Some("docs"), "what somebody ended mends nothing");
        backups.ended("docs", Outcome::Succeeded).unwrap();
        assert!(!state.path().join(FILE).exists());
    }
}
