//! Where a folder of the agent's own, or the repository, shows up below a path that is to be saved.
//!
//! The same folder may be reached by links, through a bind mount, or in the layer that an overlay writes to. So paths
//! are not compared by their names but by what they lead to: device and inode of each folder above.

use crate::policy::real;
use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Component, Path, PathBuf},
};

/// So many parts of a folder are looked at: a repository has six, a state folder a few more.
const MOST_PARTS: usize = 64;

/// How a path lies to a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// Neither lies in the other.
    Apart,
    /// The path is the folder, or leads into it.
    Inside,
    /// The folder lies below the path, under these names.
    Above(Vec<PathBuf>),
}

/// A folder, with all names that it has here.
#[derive(Clone, Debug)]
pub(crate) struct NamedFolder {
    names: Vec<PathBuf>,
}

impl NamedFolder {
    /// The folder of this name; `mountinfo` is the text of `/proc/self/mountinfo`.
    pub(crate) fn at(path: &Path, mountinfo: &[u8]) -> Self {
        let path = real(&cleaned(path));
        if path.parent().is_none() {
            // A name that leads nowhere; nothing could be saved beside the root.
            return Self { names: Vec::new() };
        }
        let mounts: Vec<Mount> = mountinfo.split(|&byte| byte == b'\n').filter_map(Mount::of_line).collect();
        let mut names = names_of(&path, &mounts);
        // A part of it may lie elsewhere, by a link, or be shown elsewhere by itself.
        let parts = fs::read_dir(&path).into_iter().flatten().flatten().take(MOST_PARTS);
        let of_parts: Vec<PathBuf> = parts.flat_map(|part| names_of(&real(&part.path()), &mounts)).collect();
        let is_elsewhere = |part: &PathBuf| !names.iter().any(|name| part.starts_with(name));
        let elsewhere: Vec<PathBuf> = of_parts.into_iter().filter(is_elsewhere).collect();
        names.extend(elsewhere);
        Self { names }
    }

    /// How a path lies to it, by where it leads; a link at its end is not followed, for restic doesn't.
    pub(crate) fn overlap(&self, path: &Path) -> Overlap {
        let path = cleaned(path);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            return Overlap::Apart;
        }
        let own: Vec<_> = self.names.iter().filter_map(|name| identity(name)).collect();
        let leads_into = |path: &Path| path.ancestors().filter_map(identity).any(|it| own.contains(&it));
        if self.names.iter().any(|name| path.starts_with(name))
            || leads_into(&path)
            || leads_into(&real(&path))
        {
            return Overlap::Inside;
        }
        let Some(top) = identity(&path) else { return Overlap::Apart };
        let below = |name: &PathBuf| {
            let ancestor = name.ancestors().find(|ancestor| identity(ancestor) == Some(top))?;
            Some(path.join(name.strip_prefix(ancestor).ok()?))
        };
        let mut found: Vec<PathBuf> = self.names.iter().filter_map(below).collect();
        found.sort();
        found.dedup();
        if found.is_empty() { Overlap::Apart } else { Overlap::Above(found) }
    }
}

/// A real path and all other names of what is there.
fn names_of(path: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
    let mut names = seen_as(path, mounts);
    if let Some(upper) = Mount::that_holds(path, mounts).and_then(|mount| mount.upper_of(path)) {
        names.extend(seen_as(&upper, mounts));
        names.push(upper);
    }
    names.push(path.to_owned());
    let over: Vec<PathBuf> =
        mounts.iter().flat_map(|mount| names.iter().flat_map(|name| mount.shown_over(name))).collect();
    names.extend(over);
    names.retain(|name| *name != path && name.exists());
    names.insert(0, path.to_owned());
    names
}

/// Where something is mounted below a folder: the paths from there.
pub(crate) fn mounts_below(folder: &Path, mountinfo: &[u8]) -> Vec<PathBuf> {
    let folder = real(&cleaned(folder));
    let mounts = mountinfo.split(|&byte| byte == b'\n').filter_map(Mount::of_line);
    let below = |mount: Mount| mount.point.strip_prefix(&folder).ok().map(Path::to_owned);
    mounts.filter_map(below).filter(|below| !below.as_os_str().is_empty()).collect()
}

/// What a path leads to.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// The path as restic names it: without `.`, `..` and doubled slashes, by its letters alone.
pub(crate) fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

/// The names of a real path through all mounts that show the same file system.
fn seen_as(path: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
    let Some(own) = Mount::that_holds(path, mounts) else { return Vec::new() };
    let Ok(rest) = path.strip_prefix(&own.point) else { return Vec::new() };
    let in_system = own.root.join(rest);
    let same = mounts.iter().filter(|mount| mount.device == own.device);
    let names = same.filter_map(|mount| Some(mount.point.join(in_system.strip_prefix(&mount.root).ok()?)));
    // What another mount covers is not the same folder any more.
    let is_same = |name: &PathBuf| identity(name).is_some_and(|it| Some(it) == identity(path));
    names.filter(is_same).collect()
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug)]
struct Mount {
    device: Vec<u8>,
    root: PathBuf,
    point: PathBuf,
    /// Of an overlay: where what is written goes,
    upper: Option<PathBuf>,
    /// and what shows through where nothing was written.
    lowers: Vec<PathBuf>,
}

impl Mount {
    fn of_line(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ').skip(2);
        let device = fields.next()?.to_vec();
        let (root, point) = (path_of(fields.next()?), path_of(fields.next()?));
        let mut behind = fields.skip_while(|field| *field != b"-").skip(1);
        let is_overlay = behind.next() == Some(b"overlay".as_slice());
        let options = behind.nth(1).filter(|_| is_overlay).unwrap_or_default();
        let option =
            |name: &[u8]| options.split(|&byte| byte == b',').find_map(|option| option.strip_prefix(name));
        let upper = option(b"upperdir=").map(path_of);
        let lowers = option(b"lowerdir=").into_iter().flat_map(|all| all.split(|&byte| byte == b':'));
        let lowers = lowers.filter(|lower| !lower.is_empty()).map(path_of).collect();
        Some(Self { device, root, point, upper, lowers })
    }

    /// The names under which an overlay shows a path of its layers.
    fn shown_over(&self, path: &Path) -> Vec<PathBuf> {
        let Ok(inner) = self.root.strip_prefix("/") else { return Vec::new() };
        let layers = self.lowers.iter().chain(&self.upper);
        let behind = layers.filter_map(|layer| path.strip_prefix(real(layer).join(inner)).ok());
        behind.map(|behind| self.point.join(behind)).collect()
    }

    /// The last one of the longest mount points above a real path.
    fn that_holds<'m>(path: &Path, mounts: &'m [Self]) -> Option<&'m Self> {
        let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.components().count())
    }

    fn upper_of(&self, path: &Path) -> Option<PathBuf> {
        Some(
            self.upper
                .as_ref()?
                .join(self.root.strip_prefix("/").ok()?)
                .join(path.strip_prefix(&self.point).ok()?),
        )
    }
}

fn path_of(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(super::preflight::unescaped(field)))
}

/// A pattern that matches this path only, byte by byte.
pub(crate) fn literal_bytes(path: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(path.len());
    for &byte in path {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern
}

/// A pattern that matches this path only. What is no text is matched by any character.
pub(crate) fn literal(path: &Path) -> String {
    let mut pattern = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.extend(chunk.invalid().iter().map(|_| '?'));
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_is_found_below_a_path_however_that_leads_there() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir_all(at("volume/backup/repo/data")).unwrap();
        fs::create_dir_all(at("volume/photos")).unwrap();
        symlink(at("volume"), at("share")).unwrap();
        symlink(at("volume/backup/repo"), at("door")).unwrap();
        let above = |paths: &[&str]| Overlap::Above(paths.iter().map(|path| at(path)).collect());
        for name in ["volume/backup/repo", "share/backup/repo", "door", "volume/photos/../backup/repo"] {
            let repo = NamedFolder::at(&at(name), &fs::read("/proc/self/mountinfo").unwrap());
            for (path, overlap) in [
                ("volume", above(&["volume/backup/repo"])),
                ("volume/", above(&["volume/backup/repo"])),
                ("volume/photos/..", above(&["volume/backup/repo"])),
                ("share/backup", above(&["share/backup/repo"])),
                ("volume/backup/repo", Overlap::Inside),
                ("share/backup/repo/data", Overlap::Inside),
                ("volume/backup/repo/data/not/there", Overlap::Inside),
                ("volume/photos", Overlap::Apart),
                // restic saves links only.
                ("share", Overlap::Apart),
                ("door", Overlap::Apart),
                ("not/there", Overlap::Apart),
            ] {
                assert_eq!(repo.overlap(&at(path)), overlap, "{path} and {name}");
            }
        }
    }

    #[test]
    fn a_part_that_lies_elsewhere_belongs_to_it() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir_all(at("repo/index")).unwrap();
        fs::create_dir_all(at("volume/packs/00")).unwrap();
        symlink(at("volume/packs"), at("repo/data")).unwrap();
        let repo = NamedFolder::at(&at("repo"), &fs::read("/proc/self/mountinfo").unwrap());
        for (path, overlap) in [
            ("volume", Overlap::Above(vec![at("volume/packs")])),
            ("volume/packs", Overlap::Inside),
            ("volume/packs/00", Overlap::Inside),
            ("repo", Overlap::Inside),
            ("volume/photos", Overlap::Apart),
        ] {
            assert_eq!(repo.overlap(&at(path)), overlap, "{path}");
        }
    }

    #[test]
    fn what_is_mounted_below_a_folder_is_found_by_its_real_path() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().canonicalize().unwrap();
        fs::create_dir(folder.join("data")).unwrap();
        symlink("data", folder.join("link")).unwrap();
        let at = |below: &str| format!("60 29 0:52 / {} rw - tmpfs tmpfs rw\n", folder.join(below).display());
        let mounts = [at("data"), at("data/usb"), at("data/a/b"), at("database"), at("x")].concat();
        for path in ["data", "link", "data/../link"] {
            let found = mounts_below(&folder.join(path), mounts.as_bytes());
            assert_eq!(found, [Path::new("usb"), Path::new("a/b")], "{path}");
        }
        assert!(mounts_below(&folder.join("data/usb"), mounts.as_bytes()).is_empty());
    }

    #[test]
    fn mounts_are_read_with_their_roots_and_layers() {
        let line = b"36 35 98:0 /sub /mnt/my\\040disk rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw";
        let mount = Mount::of_line(line).unwrap();
        assert_eq!((mount.root, mount.point), (PathBuf::from("/sub"), PathBuf::from("/mnt/my disk")));
        assert_eq!(mount.upper, None);
        let line =
            b"21 1 0:17 / / rw - overlay overlayfs:/overlay rw,lowerdir=/,upperdir=/overlay/upper,workdir=/w";
        let mounts = [Mount::of_line(line).unwrap()];
        let held = Mount::that_holds(Path::new("/etc/holdfast"), &mounts).unwrap();
        assert_eq!(
            held.upper_of(Path::new("/etc/holdfast")),
            Some(PathBuf::from("/overlay/upper/etc/holdfast"))
        );
        let line = b"50 1 0:44 / /srv/all rw - overlay overlay rw,lowerdir=/nowhere/a:/nowhere/b,upperdir=/nowhere/u";
        let mount = Mount::of_line(line).unwrap();
        for layer in ["a", "b", "u"] {
            let state = PathBuf::from(format!("/nowhere/{layer}/deep/state"));
            assert_eq!(mount.shown_over(&state), [PathBuf::from("/srv/all/deep/state")], "{layer}");
        }
        assert_eq!(mount.shown_over(Path::new("/nowhere/c/state")), Vec::<PathBuf>::new());
        assert!(Mount::of_line(b"").is_none());
    }

    #[test]
    fn a_pattern_of_a_path_matches_that_path_only() {
        let odd = PathBuf::from(OsString::from_vec(b"/a*[b]\\\xff?".to_vec()));
        assert_eq!(literal(&odd), "/a\\*\\[b\\]\\\\?\\?");
    }
}
