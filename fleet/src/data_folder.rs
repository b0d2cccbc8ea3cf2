//! The folder of the server's data, and who may write there.
//!
//! Whoever writes in it could put a data file, a key or a certificate of his own in their place, and whoever writes in
//! a folder above it could put another folder there. Both are refused.

use crate::pieces::{AUTHORITY_FOLDER, DATA_FILE};
use crate::refused::OpenError;
use std::fs::{DirBuilder, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Makes the data folder, closed to others, when it is not there. One that others may write in is refused, and so is one
/// that they could replace.
pub(crate) fn make_data_folder(data_dir: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    made.map_err(|why| failed(data_dir, why))?;
    check_data_folder(data_dir)
}

fn failed(path: &Path, why: io::Error) -> OpenError {
    OpenError::Folder { path: path.to_owned(), why }
}

pub(crate) fn check_data_folder(data_dir: &Path) -> Result<(), OpenError> {
    let own = ProcessUser::read().map_err(|why| failed(data_dir, why))?;
    for path in [data_dir.to_owned(), data_dir.join(DATA_FILE), data_dir.join(AUTHORITY_FOLDER)] {
        match std::fs::metadata(&path) {
            Ok(facts) => own.judge(Relation::Inside, &path, Access::of(&facts))?,
            Err(why) if why.kind() == ErrorKind::NotFound && path != data_dir => {}
            Err(why) => return Err(failed(&path, why)),
        }
    }
    // The names by which it was given may lead over links.
    let real = data_dir.canonicalize().map_err(|why| failed(data_dir, why))?;
    let given = std::path::absolute(data_dir).map_err(|why| failed(data_dir, why))?;
    for above in real.ancestors().skip(1).chain(given.ancestors().skip(1)) {
        let facts = std::fs::metadata(above).map_err(|why| failed(above, why))?;
        own.judge(Relation::Above, above, Access::of(&facts))?;
    }
    Ok(())
}

/// User and group that this process acts as.
#[derive(Clone, Copy)]
struct ProcessUser {
    user: u32,
    group: u32,
}

/// How a path stands to the data folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It is the data folder, or in it.
    Inside,
    /// The data folder is in it.
    Above,
}

/// Whose something is, and who may write it.
#[derive(Clone, Copy)]
struct Access {
    user: u32,
    group: u32,
    mode: u32,
}

impl Access {
    fn of(found: &Metadata) -> Self {
        Self { user: found.uid(), group: found.gid(), mode: found.mode() & 0o7777 }
    }
}

impl ProcessUser {
    fn read() -> io::Result<Self> {
        let process = std::fs::metadata("/proc/self")?;
        Ok(Self { user: process.uid(), group: process.gid() })
    }

    fn judge(self, place: Relation, path: &Path, access: Access) -> Result<(), OpenError> {
        let Access { user, group, mode } = access;
        let path = PathBuf::from(path);
        // What belongs to root is safe from all but root.
        let is_foreign = ![0, self.user].contains(&user);
        match place {
            Relation::Inside if mode & 0o022 != 0 => Err(OpenError::Exposed { path, mode }),
            Relation::Inside if is_foreign => Err(OpenError::Foreign { path, owner: user, user: self.user }),
            Relation::Inside => Ok(()),
            Relation::Above => {
                let is_sticky = mode & 0o1000 != 0;
                let who = if is_foreign {
                    format!("user {user}, whose it is")
                } else if is_sticky {
                    // Nobody moves there what is another's.
                    return Ok(());
                } else if mode & 0o002 != 0 {
                    "everybody".to_owned()
                } else if mode & 0o020 != 0 && ![0, self.group].contains(&group) {
                    format!("group {group}")
                } else {
                    return Ok(());
                };
                Err(OpenError::ExposedAbove { path, who })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    const OWN: ProcessUser = ProcessUser { user: 900, group: 900 };

    #[test]
    fn whoever_could_replace_the_data_is_named() {
        use Relation::{Above, Inside};
        for (place, user, group, mode, expected) in [
            (Inside, 900, 900, 0o700, "fine"),
            (Inside, 0, 0, 0o755, "fine"),
            (Inside, 900, 900, 0o770, "exposed"),
            (Inside, 900, 900, 0o1777, "exposed"),
            (Inside, 901, 900, 0o700, "foreign"),
            (Above, 0, 0, 0o755, "fine"),
            (Above, 0, 0, 0o1777, "fine"),
            (Above, 0, 0, 0o775, "fine"),
            (Above, 900, 900, 0o775, "fine"),
            (Above, 0, 50, 0o775, "above"),
            (Above, 0, 50, 0o1775, "fine"),
            (Above, 0, 0, 0o777, "above"),
            (Above, 0, 0, 0o757, "above"),
            (Above, 901, 0, 0o700, "above"),
            (Above, 901, 0, 0o1777, "above"),
        ] {
            let found = match OWN.judge(place, Path::new("/x"), Access { user, group, mode }) {
                Ok(()) => "fine",
                Err(OpenError::Exposed { .. }) => "exposed",
                Err(OpenError::ExposedAbove { .. }) => "above",
                Err(OpenError::Foreign { .. }) => "foreign",
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found, expected, "{user}:{group} {mode:o}");
        }
    }

    #[test]
    fn a_data_folder_below_one_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let above = folder.path().join("above");
        fs::create_dir(&above).unwrap();
        let data = above.join("a/data");
        make_data_folder(&data).unwrap();
        assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        set(&above, 0o777);
        let link = folder.path().join("link");
        symlink(above.join("a"), &link).unwrap();
        for data in [data.clone(), link.join("data"), above.join("a/other")] {
            let refused = make_data_folder(&data).unwrap_err();
            let words = refused.to_string();
            assert!(matches!(refused, OpenError::ExposedAbove { .. }), "{words}");
            assert!(words.contains(above.to_str().unwrap()) && words.contains("everybody"), "{words}");
        }
        set(&above, 0o1777);
        make_data_folder(&data).unwrap();
        set(&data, 0o770);
        assert!(matches!(make_data_folder(&data), Err(OpenError::Exposed { mode: 0o770, .. })));
        set(&data, 0o700);
        // The link leads there as long as nobody changes it.
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        symlink(&data, open.join("data")).unwrap();
        set(&open, 0o777);
        assert!(matches!(make_data_folder(&open.join("data")), Err(OpenError::ExposedAbove { .. })));
    }
}
