//! Folders that something is kept within, by where paths really lead.

use std::path::{Component, Path, PathBuf};

/// What the system starts from and is set up by: no repository is made there unless the policy names it, and nothing is
/// restored there but to where it was.
const OF_THE_SYSTEM: [&str; 12] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
    "/var/spool",
];

/// The folder of the system that a path is, or lies in.
pub(super) fn system_folder_above(path: &Path) -> Option<&'static str> {
    OF_THE_SYSTEM.into_iter().find(|of| path.starts_with(of))
}

/// The first folder of the system that lies in a path.
pub(super) fn system_folder_below(path: &Path) -> Option<&'static str> {
    OF_THE_SYSTEM.into_iter().find(|of| Path::new(of).starts_with(path))
}

/// Whether a path lies in one of the roots, links resolved; of no roots, always. What does not exist is judged by
/// its nearest folder that does.
#[must_use]
pub fn is_within(path: &Path, roots: &[PathBuf]) -> bool {
    if roots.is_empty() {
        return true;
    }
    let path = real(path);
    roots.iter().any(|root| path.starts_with(real(root)))
}

/// The path with its links resolved, as far as it exists; steps upwards in the rest make it the root folder, which no
/// smaller root allows.
#[must_use]
pub fn real(path: &Path) -> PathBuf {
    let mut behind = Vec::new();
    for ancestor in path.ancestors() {
        if let Ok(found) = ancestor.canonicalize() {
            return behind.iter().rev().fold(found, |path: PathBuf, name| path.join(name));
        }
        match ancestor.file_name() {
            Some(name) => behind.push(name.to_owned()),
            None => break,
        }
    }
    PathBuf::from("/")
}

/// Whether a path has a `..` in it.
pub(super) fn has_steps_up(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

/// The roots as a list for a sentence.
#[must_use]
pub fn in_words(roots: &[PathBuf]) -> String {
    roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn a_path_is_judged_by_where_it_really_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("photos/2026")).unwrap();
        fs::create_dir_all(at("private")).unwrap();
        symlink(at("private"), at("photos/door")).unwrap();
        let roots = [at("photos")];
        for (path, allowed) in [
            ("photos", true),
            ("photos/2026", true),
            ("photos/not/there", true),
            ("photos/door", false),
            ("photos/door/key", false),
            ("photos/../private", false),
            ("photos/not/../../private", false),
            ("photos2", false),
            ("private", false),
        ] {
            assert_eq!(is_within(&at(path), &roots), allowed, "{path}");
            assert!(is_within(&at(path), &[]), "{path}");
        }
        assert!(!is_within(Path::new("/"), &roots));
    }
}
