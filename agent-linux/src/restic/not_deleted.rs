//! What a restore that deletes what the snapshot lacks must not delete: the repository itself, which a backup leaves out, and
//! what is on other file systems.

use super::{
    overlap::{NamedFolder, Overlap, mounts_below},
    there::at,
    tree::Way,
};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Why nothing may be deleted in these paths of the target; `None` = it may. `ways` are the snapshot's folders, `mountinfo` is
/// the text of `/proc/self/mountinfo`.
pub(super) fn reason(
    target: &Path,
    picks: &[Vec<u8>],
    ways: &[Way],
    repository: Option<&Path>,
    mountinfo: &[u8],
) -> Option<String> {
    let repository = repository.map(|path| NamedFolder::at(path, mountinfo));
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
        let mounted = mounts_below(&place, mountinfo).into_iter().find(lacks)?;
        Some(format!(
            "{} is another file system, and the snapshot holds no folder of it: what is on it would be deleted. Unmount it, name narrower paths, or delete nothing",
            place.join(mounted).display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    /// Whether it may be deleted in there, what is mounted in `data/usb` of a target, with these folders in the snapshot.
    fn may(target: &Path, pick: &str, ways: &[&str]) -> bool {
        let ways: Vec<Way> = ways.iter().map(|path| Way { path: (*path).to_owned(), above: None }).collect();
        let point = target.join("data/usb");
        let mountinfo = format!("60 29 0:52 / {} rw - tmpfs tmpfs rw\n", point.display());
        let picks = [pick.as_bytes().to_vec()];
        let picks = if pick.is_empty() { &[][..] } else { &picks };
        let why = reason(target, picks, &ways, None, mountinfo.as_bytes());
        assert!(why.as_ref().is_none_or(|why| why.contains("/usb is another file system")), "{why:?}");
        why.is_none()
    }

    #[test]
    fn what_is_mounted_below_goes_only_where_the_snapshot_has_folders_of_it() {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path().canonicalize().unwrap();
        fs::create_dir_all(target.join("data/usb")).unwrap();
        symlink("data", target.join("link")).unwrap();
        for pick in ["", "/data", "/data/", "/link"] {
            assert!(!may(&target, pick, &[]), "{pick}");
        }
        // Saved as an empty folder, and one whose name only begins so.
        assert!(!may(&target, "/data", &["/data", "/data/usb", "/data/usbstick/a"]));
        assert!(may(&target, "/data", &["/data", "/data/usb", "/data/usb/photos"]));
        // Picked by itself, beside it, and where nothing is.
        for pick in ["/data/usb", "/data/other", "/none"] {
            assert!(may(&target, pick, &[]), "{pick}");
        }
    }

    #[test]
    fn a_repository_stays_also_when_it_is_reached_by_a_link() {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path().canonicalize().unwrap();
        fs::create_dir_all(target.join("data/repo")).unwrap();
        fs::create_dir(target.join("other")).unwrap();
        symlink(target.join("data/repo"), target.join("other/link")).unwrap();
        for repository in ["data/repo", "other/link"] {
            let repository = target.join(repository);
            let may = |pick: &str| {
                reason(&target, &[pick.as_bytes().to_vec()], &[], Some(&repository), b"").is_none()
            };
            assert!(!may("/data") && !may("/data/repo") && !may("/data/repo/keys") && may("/other"));
        }
    }
}
