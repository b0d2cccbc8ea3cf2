//! The folder that a drill restores into: in the agent's state folder or where its policy says, taken away at the end of the drill, before the
//! next one, and at the agent's start, should it have died in the middle.

use crate::logger;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// Takes away what a drill left there when its agent died.
pub(crate) fn clear_scratch(folder: &Path) {
    if let Err(error) = clear(folder) {
        logger::warn(format_args!("{}, which a drill left, can't be removed: {error}", folder.display()));
    }
}

/// Takes it away with all that is in it; not being there is fine.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    let gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match gone(fs::remove_dir_all(folder)) {
        // Folders come back with the permissions that they had, and their owner may not be allowed to write to them.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder);
            gone(fs::remove_dir_all(folder))
        }
        other => other,
    }
}

fn open_up(folder: &Path) {
    // What can't be changed keeps the folder from being removed, and that is told.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn it_goes_whatever_its_permissions_and_nothing_that_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let (scratch, outside) = (folder.path().join("drill"), folder.path().join("outside"));
        clear(&scratch).unwrap();
        fs::create_dir_all(scratch.join("a/b")).unwrap();
        fs::write(scratch.join("a/b/file"), "x").unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        symlink(&outside, scratch.join("a/link")).unwrap();
        for closed in ["a/b", "a"] {
            fs::set_permissions(scratch.join(closed), Permissions::from_mode(0o500)).unwrap();
        }
        open_up(&scratch);
        assert_eq!(fs::metadata(scratch.join("a/b")).unwrap().permissions().mode() & 0o777, 0o700);
        clear(&scratch).unwrap();
        assert!(!scratch.exists() && outside.join("kept").exists());
    }
}
