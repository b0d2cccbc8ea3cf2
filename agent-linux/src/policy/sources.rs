//! What is backed up, by the paths that restic is given: a path that was judged must still be the same when restic
//! walks it.

use super::{Policy, in_words, is_within, real};
use crate::{
    folder::{Folder, FolderError},
    restic::overlap::literal,
};
use schema::job::{BackupSpec, COMMAND_SOURCE};
use std::path::{Path, PathBuf};

/// The paths of a backup as restic gets them.
#[derive(Debug, Default)]
pub struct Sources {
    /// In the order of the source group. Where the policy has source roots, without links on the way.
    pub includes: Vec<String>,
    /// Those of the source group, also as the resolved paths have them.
    pub excludes: Vec<String>,
    /// The folders that the paths lie in, held open as they were judged.
    held: Vec<Folder>,
}

impl Policy {
    /// The paths of a backup that [`Policy::refuses`] let pass. Reads the file system; else why it is not run.
    pub fn sources(&self, backup: &BackupSpec<'_>) -> Result<Sources, String> {
        let mut sources =
            Sources { excludes: backup.excludes.iter().map(str::to_owned).collect(), ..Sources::default() };
        for include in backup.includes.iter() {
            if include.starts_with(COMMAND_SOURCE) {
                sources.includes.push(include.to_owned());
                continue;
            }
            let given = if self.source_roots.is_empty() {
                PathBuf::from(include)
            } else {
                sources.hold(include, self)?
            };
            sources.includes.push(given.to_str().unwrap_or(include).to_owned());
        }
        Ok(sources)
    }
}

impl Sources {
    /// Resolves the links on the way to a path and holds the folder that it lies in. The last name stays as it is: of a
    /// link there, restic saves the link.
    fn hold(&mut self, include: &str, policy: &Policy) -> Result<PathBuf, String> {
        let asked = Path::new(include);
        let (Some(parent), Some(name)) = (asked.parent(), asked.file_name()) else { return Ok(real(asked)) };
        let found = real(parent);
        let given = found.join(name);
        match Folder::open(&found) {
            Ok(folder) if self.held.iter().all(|held| held.path() != folder.path()) => self.held.push(folder),
            // It became a link since.
            Err(FolderError::Link(link)) => return Err(moved(&link, policy)),
            // What is not there, restic will miss.
            Ok(_) | Err(_) => {}
        }
        if !is_within(&given, &policy.source_roots) {
            return Err(moved(asked, policy));
        }
        if let (true, Some(from), Some(to)) = (found != parent, parent.to_str(), found.to_str()) {
            // An exclude that names the path as it was written goes on to mean it.
            let of_parent = |pattern: &String| {
                let rest = pattern.strip_prefix(from).filter(|rest| rest.starts_with('/'))?;
                Some(format!("{}{rest}", literal(Path::new(to))))
            };
            let more: Vec<String> = self.excludes.iter().filter_map(of_parent).collect();
            self.excludes.extend(more.into_iter().filter(|pattern| !pattern.is_empty()));
        }
        Ok(given)
    }

    /// A folder that is not any more what it was when it was judged: restic may have walked elsewhere. One that was
    /// swapped and swapped back is not noticed.
    #[must_use]
    pub fn moved(&self, policy: &Policy) -> Option<String> {
        let is_same =
            |held: &Folder| match (Folder::open(held.path()).and_then(|found| found.id()), held.id()) {
                (Ok(found), Ok(id)) => found == id,
                _ => false,
            };
        self.held.iter().find(|held| !is_same(held)).map(|held| moved(held.path(), policy))
    }
}

fn moved(path: &Path, policy: &Policy) -> String {
    format!(
        "{} was replaced meanwhile, so that it may lead out of what this machine's own policy allows (source_roots: {}).",
        path.display(),
        in_words(&policy.source_roots)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Items;
    use std::{fs, os::unix::fs::symlink};

    fn sources(policy: &Policy, includes: &[&str], excludes: &[&str]) -> Result<Sources, String> {
        let mut room = [[0; 2048]; 2];
        let [first, second] = &mut room;
        policy.sources(&BackupSpec {
            group: "files",
            includes: Items::write(includes.iter().copied(), first).unwrap(),
            excludes: Items::write(excludes.iter().copied(), second).unwrap(),
            exclude_if_present: Items::EMPTY,
            one_file_system: false,
            required_mounts: Items::EMPTY,
            hooks_before: Items::EMPTY,
            hooks_after: Items::EMPTY,
            dry_run: false,
            origins: Items::EMPTY,
        })
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    fn text(path: impl AsRef<Path>) -> String {
        path.as_ref().to_str().unwrap().to_owned()
    }

    #[test]
    fn with_source_roots_restic_gets_paths_without_links_on_the_way() {
        let (_kept, at) = folder();
        fs::create_dir_all(at.join("volume/photos/2026")).unwrap();
        symlink(at.join("volume"), at.join("share")).unwrap();
        symlink(at.join("volume/photos/2026"), at.join("volume/photos/newest")).unwrap();
        let policy = Policy { source_roots: vec![at.join("share/photos")], ..Policy::default() };
        let asked = text(at.join("share/photos/2026"));
        let exclude = text(at.join("share/photos/*/raw"));
        let found = sources(&policy, &[&asked], &[&exclude]).unwrap();
        assert_eq!(found.includes, [text(at.join("volume/photos/2026"))]);
        assert_eq!(found.excludes, [exclude, text(at.join("volume/photos/*/raw"))]);
        let link = text(at.join("share/photos/newest"));
        assert_eq!(
            sources(&policy, &[&link], &[]).unwrap().includes,
            [text(at.join("volume/photos/newest"))]
        );
    }

    #[test]
    fn a_folder_that_is_swapped_is_noticed_before_and_after() {
        let (_kept, at) = folder();
        fs::create_dir_all(at.join("root/a/b")).unwrap();
        fs::create_dir_all(at.join("outside/b")).unwrap();
        let policy = Policy { source_roots: vec![at.join("root")], ..Policy::default() };
        let asked = text(at.join("root/a/b"));
        let found = sources(&policy, &[&asked], &[]).unwrap();
        assert_eq!(found.moved(&policy), None);
        fs::rename(at.join("root/a"), at.join("root/was")).unwrap();
        symlink(at.join("outside"), at.join("root/a")).unwrap();
        let said = found.moved(&policy).unwrap();
        assert!(said.contains("source_roots") && said.contains("root/a"), "{said}");
        assert!(sources(&policy, &[&asked], &[]).is_err());
    }
}
