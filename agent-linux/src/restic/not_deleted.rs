//! What a restore that deletes what the snapshot lacks must not delete: the repository itself, which a backup leaves out, and
//! what is on other file systems.

use super::{
    overlap::{NamedFolder, Overlap, mounts_below},
    there::at,
    tree::Way,
};
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Why nothing may be deleted in these paths of the target; `None` = it may. `ways` are the snapshot's folders.
pub(super) fn reason(
    target: &Path,
    picks: &[Vec<u8>],
    ways: &[Way],
    repository: Option<&Path>,
) -> Option<String> {
    let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let repository = repository.map(|path| NamedFolder::at(path, &mountinfo));
    let all = [b"/".to_vec()];
    let picks = if picks.is_empty() { &all } else { picks };
    picks.iter().find_map(|pick| {
        let place = at(target, pick);
        let is_there = match repository.as_ref().map(|repository| repository.overlap(&place)) {
            Some(Overlap::Above(names)) => names.first().cloned(),
            Some(Overlap::Inside) => Some(place.clone()),
            Some(Overlap::Apart) | None => None,
        };
        if let Some(path) = is_there {
            return Some(format!(
                "{} is the repository, or in it: no snapshot holds that, and it would be deleted. Name narrower paths, or delete nothing",
                path.display()
            ));
        }
        let pick = Path::new(OsStr::from_bytes(pick));
        let lacks = |below: &PathBuf| {
            let inside = pick.join(below);
            !ways.iter().any(|way| Path::new(&way.path) != inside && Path::new(&way.path).starts_with(&inside))
        };
        let mounted = mounts_below(&place, &mountinfo).into_iter().find(lacks)?;
        Some(format!(
            "{} is another file system, and the snapshot holds no folder of it: what is on it would be deleted. Unmount it, name narrower paths, or delete nothing",
            place.join(mounted).display()
        ))
    })
}
