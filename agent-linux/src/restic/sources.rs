//! What each path of a source group would bring to a snapshot: looked at before restic starts, because restic says
//! nothing of a path that brings nothing beside one that brings something.
//!
//! The look ends at the first file that would be saved, and is bounded: a path below which so many entries are links,
//! folders or excluded is not judged.

use super::{
    lookalike,
    overlap::{NamedFolder, Overlap, cleaned, literal},
    patterns::Patterns,
    preflight::{LOOK_LIMIT, is_mount_point, unescaped},
    summary::SourceSeen,
};
use schema::{SourceReason, job::BackupSpec};
use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{task::spawn_blocking, time::timeout};

/// How many entries are looked at for each path.
const MAX_ENTRIES: usize = if cfg!(test) { 500 } else { 20_000 };

/// What is never saved, or not into itself.
#[derive(Clone, Debug)]
pub(crate) struct NeverSaved {
    state: PathBuf,
    cache: PathBuf,
    /// When it lies on this machine.
    repository: Option<PathBuf>,
}

/// What was seen of a source group.
#[derive(Debug, Default)]
pub(crate) struct SourceLook {
    /// What there is to say of its paths, in their order.
    pub(crate) seen: Vec<SourceSeen>,
    /// The patterns of what the agent leaves out.
    pub(crate) left_out: Vec<String>,
}

/// Why a source group is not backed up: a path that never is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "{0} is the agent's own folder, or leads into it: that holds its keys and is never saved. Take the path out of \
         the source group."
    )]
    State(String),
    #[error(
        "{0} is the repository itself, or leads into it: each backup would save the one before. Take the path out of \
         the source group, or keep the repository elsewhere."
    )]
    Repository(String),
    #[error("The agent's own folder does not answer.")]
    NoAnswer,
}

impl NeverSaved {
    pub(crate) const fn at(state: PathBuf, cache: PathBuf, repository: Option<PathBuf>) -> Self {
        Self { state, cache, repository }
    }
}

/// The folders of [`NeverSaved`], found.
#[derive(Debug)]
struct OwnFolders {
    state: NamedFolder,
    cache: NamedFolder,
    repository: Option<NamedFolder>,
}

impl OwnFolders {
    /// How a path lies to them: what has to be left out of it.
    fn below(&self, path: &str) -> Result<SourceLook, Refused> {
        let mut look = SourceLook::default();
        let lies = |folder: &NamedFolder| folder.overlap(Path::new(path));
        let mut leave_out = |names: Vec<PathBuf>, reason: Option<SourceReason>| {
            for name in names {
                look.left_out.push(literal(&name));
                if let Some(reason) = reason {
                    let path = name.to_string_lossy().into_owned();
                    look.seen.push(SourceSeen { path, reason, leads_to: String::new() });
                }
            }
        };
        match lies(&self.state) {
            Overlap::Inside => return Err(Refused::State(path.to_owned())),
            Overlap::Above(names) => leave_out(names, Some(SourceReason::OwnState)),
            Overlap::Apart => {}
        }
        match self.repository.as_ref().map(lies) {
            Some(Overlap::Inside) => return Err(Refused::Repository(path.to_owned())),
            Some(Overlap::Above(names)) => leave_out(names, Some(SourceReason::OwnRepository)),
            Some(Overlap::Apart) | None => {}
        }
        if let Overlap::Above(names) = lies(&self.cache) {
            leave_out(names, None);
        }
        Ok(look)
    }
}

/// Looks at all paths of a source group. A path that does not answer is not judged: restic will say more.
pub(crate) async fn look(backup: &BackupSpec<'_>, own: NeverSaved) -> Result<SourceLook, Refused> {
    let (state, cache) = (own.state, own.cache);
    let find =
        move |path: &Path| NamedFolder::at(path, &fs::read("/proc/self/mountinfo").unwrap_or_default());
    let of_agent = in_time(move || (find(&state), find(&cache))).await;
    let Some((state, cache)) = of_agent else { return Err(Refused::NoAnswer) };
    let repository = match own.repository {
        Some(path) => in_time(move || find(&path)).await,
        None => None,
    };
    let found = Arc::new(OwnFolders { state, cache, repository });
    let mut look = SourceLook::default();
    let mut answering = Vec::new();
    for path in backup.includes.iter().map(str::to_owned) {
        let (found, asked) = (Arc::clone(&found), path.clone());
        let Some(below) = in_time(move || found.below(&asked)).await else { continue };
        let below = below?;
        look.left_out.extend(below.left_out);
        look.seen.extend(below.seen);
        answering.push(path);
    }
    look.left_out.sort();
    look.left_out.dedup();
    let rules = Arc::new(Rules::new(backup, &look.left_out));
    for path in answering {
        let rules = Arc::clone(&rules);
        look.seen.extend(in_time(move || rules.look_at(&path)).await.flatten());
    }
    // One path may be named twice, and one folder lie below two paths.
    let mut known = Vec::new();
    look.seen.retain(|seen| {
        let is_new = !known.contains(seen);
        known.extend(is_new.then(|| seen.clone()));
        is_new
    });
    Ok(look)
}

/// What a look at files says, unless it takes too long: a dead network mount never answers.
async fn in_time<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    timeout(LOOK_LIMIT, spawn_blocking(look)).await.ok()?.ok()
}

/// What of the paths a source group leaves out.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    excludes: Patterns,
    markers: Vec<Marker>,
    one_file_system: bool,
}

/// A file whose folder is left out.
#[derive(Debug)]
struct Marker {
    name: String,
    /// What it has to begin with.
    header: Vec<u8>,
}

/// What has kept the entries so far from being saved.
#[derive(Debug, Default)]
struct Obstacles {
    unreadable: bool,
    excluded: bool,
    other_system: bool,
    links: bool,
    special: bool,
}

impl Rules {
    /// Those of a source group, and what the agent leaves out by itself, as patterns.
    pub(crate) fn new(backup: &BackupSpec<'_>, left_out: &[String]) -> Self {
        let marker = |spec: &str| {
            let (name, header) = spec.split_once(':').unwrap_or((spec, ""));
            Marker { name: name.to_owned(), header: header.as_bytes().to_vec() }
        };
        Self {
            excludes: Patterns::new(backup.excludes.iter().chain(left_out.iter().map(String::as_str))),
            markers: backup.exclude_if_present.iter().map(marker).collect(),
            one_file_system: backup.one_file_system,
        }
    }

    /// Whether the folder holds a file that has it left out.
    fn is_marked(&self, folder: &Path) -> bool {
        self.markers.iter().any(|marker| {
            let file = folder.join(&marker.name);
            let mut start = vec![0; marker.header.len()];
            match fs::symlink_metadata(&file) {
                Err(_) => false,
                Ok(_) if start.is_empty() => true,
                // A pipe would wait for its writer.
                Ok(found) if !found.is_file() => false,
                Ok(_) => File::open(&file)
                    .is_ok_and(|mut file| file.read_exact(&mut start).is_ok() && start == marker.header),
            }
        })
    }

    /// Why a path brings nothing to the snapshot; `None` = it brings something, or that can't be told cheaply.
    pub(crate) fn look_at(&self, path: &str) -> Option<SourceSeen> {
        let clean = cleaned(Path::new(path));
        let seen = |reason, leads_to: PathBuf| {
            let leads_to = leads_to.to_string_lossy().into_owned();
            Some(SourceSeen { path: path.to_owned(), reason, leads_to })
        };
        let found = match fs::symlink_metadata(&clean) {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return seen(SourceReason::Missing, lookalike::of(&clean).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return seen(SourceReason::Unreadable, PathBuf::new());
            }
            // restic will say more.
            Err(_) => return None,
        };
        let is_root = clean.parent().is_none();
        if !is_root && self.leaves_out(&clean) {
            return seen(SourceReason::Excluded, PathBuf::new());
        }
        if found.is_symlink() {
            return match clean.canonicalize() {
                Ok(real) => seen(SourceReason::Link, real),
                Err(_) => seen(SourceReason::DeadLink, fs::read_link(&clean).unwrap_or_default()),
            };
        }
        if !found.is_dir() {
            return if found.is_file() { None } else { seen(SourceReason::Special, PathBuf::new()) };
        }
        let kept = self.walk(&clean, found.dev())?;
        let reason = match () {
            () if kept.unreadable => SourceReason::Unreadable,
            () if kept.excluded => SourceReason::Excluded,
            () if kept.other_system => SourceReason::OtherFileSystem,
            () if kept.links => SourceReason::OnlyLinks,
            () if kept.special => SourceReason::Special,
            () if should_be_mounted(&clean) => SourceReason::NotMounted,
            () => SourceReason::Empty,
        };
        seen(reason, PathBuf::new())
    }

    /// Whether the path itself is left out, by its name or by what lies beside it.
    fn leaves_out(&self, path: &Path) -> bool {
        let is_marker = |parent: &Path| self.markers.iter().any(|marker| path == parent.join(&marker.name));
        self.excludes.exclude(path)
            || path.parent().is_some_and(|parent| !is_marker(parent) && self.is_marked(parent))
    }

    /// What keeps all that is below a folder from being saved; `None` at the first file that nothing keeps, or when there
    /// is too much to look at.
    fn walk(&self, top: &Path, device: u64) -> Option<Obstacles> {
        let (mut kept, mut looked_at) = (Obstacles::default(), 0);
        let mut folders = vec![top.to_owned()];
        while let Some(folder) = folders.pop() {
            if self.is_marked(&folder) {
                kept.excluded = true;
                continue;
            }
            let Ok(entries) = fs::read_dir(&folder) else {
                kept.unreadable = true;
                continue;
            };
            for entry in entries {
                looked_at += 1;
                if looked_at > MAX_ENTRIES {
                    return None;
                }
                let Ok(entry) = entry else {
                    kept.unreadable = true;
                    break;
                };
                let path = entry.path();
                // Gone meanwhile.
                let Ok(kind) = entry.file_type() else { continue };
                if self.excludes.exclude(&path) {
                    kept.excluded = true;
                } else if kind.is_dir() {
                    let is_elsewhere = self.one_file_system
                        && fs::symlink_metadata(&path).is_ok_and(|found| found.dev() != device);
                    if is_elsewhere {
                        kept.other_system = true;
                    } else {
                        folders.push(path);
                    }
                } else if kind.is_file() {
                    return None;
                } else if kind.is_symlink() {
                    kept.links = true;
                } else {
                    kept.special = true;
                }
            }
        }
        Some(kept)
    }
}

/// Whether the system's table wants something mounted there, and nothing is.
fn should_be_mounted(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let read = |file| fs::read(file).unwrap_or_default();
    is_in_fstab(&read("/etc/fstab"), &[path, &real]) && !is_mount_point(&read("/proc/self/mountinfo"), &real)
}

fn is_in_fstab(fstab: &[u8], paths: &[&Path]) -> bool {
    fstab.split(|&byte| byte == b'\n').any(|line| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let is_comment = fields.next().is_none_or(|field| field.starts_with(b"#"));
        let point = fields.next().map(unescaped).unwrap_or_default();
        !is_comment && paths.iter().any(|path| path.as_os_str().as_bytes() == point)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Items;
    use std::os::unix::fs::symlink;

    fn rules(excludes: &[&str], marker: &str) -> Rules {
        Rules {
            excludes: Patterns::new(excludes.iter().copied()),
            markers: if marker.is_empty() {
                Vec::new()
            } else {
                let (mut first, mut second) = ([0; 200], [0; 200]);
                let spec = BackupSpec {
                    group: "g",
                    includes: Items::EMPTY,
                    excludes: Items::write(excludes.iter().copied(), &mut first).unwrap(),
                    exclude_if_present: Items::write([marker], &mut second).unwrap(),
                    one_file_system: false,
                    required_mounts: Items::EMPTY,
                    hooks_before: Items::EMPTY,
                    hooks_after: Items::EMPTY,
                    dry_run: false,
                    origins: Items::EMPTY,
                };
                Rules::new(&spec, &[]).markers
            },
            one_file_system: false,
        }
    }

    #[test]
    fn each_path_that_brings_nothing_says_why() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for folder in ["full/deep/er", "empty/more/folders", "links", "marked", "pictures/2026"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["full/deep/er/file", "marked/.nobackup", "marked/file", "pictures/2026/a.jpg", "single"]
        {
            fs::write(at(file), "x").unwrap();
        }
        symlink(at("full"), at("link")).unwrap();
        symlink("/no/such/place", at("dead")).unwrap();
        symlink(at("full"), at("links/one")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let reason = |name: &str, excludes: &[&str], marker: &str| {
            let path = at(name);
            rules(excludes, marker).look_at(path.to_str().unwrap()).map(|seen| (seen.reason, seen.leads_to))
        };
        let plain = |name: &str| reason(name, &[], "");
        let only = |reason| Some((reason, String::new()));
        for name in ["full", "full/", "single", "full/deep/../deep", "link/deep", "marked", "pictures"] {
            assert_eq!(plain(name), None, "{name}");
        }
        let full = at("full").canonicalize().unwrap().to_str().unwrap().to_owned();
        assert_eq!(plain("link"), Some((SourceReason::Link, full.clone())));
        assert_eq!(plain("link/"), Some((SourceReason::Link, full)));
        assert_eq!(plain("dead"), Some((SourceReason::DeadLink, "/no/such/place".to_owned())));
        assert_eq!(plain("gone"), only(SourceReason::Missing));
        assert_eq!(plain("single/below"), only(SourceReason::Missing));
        assert_eq!(plain("empty"), only(SourceReason::Empty));
        assert_eq!(plain("links"), only(SourceReason::OnlyLinks));
        assert_eq!(plain("socket"), only(SourceReason::Special));
        drop(socket);

        let excluded = only(SourceReason::Excluded);
        let full = at("full");
        let full = full.to_str().unwrap();
        for patterns in [&["*"][..], &[full], &["er"], &["f?le"], &["full/**"], &["*", "!other"]] {
            assert_eq!(reason("full", patterns, ""), excluded, "{patterns:?}");
        }
        for patterns in [&["*.jpg"][..], &["*", "!*"], &["/full"], &["file", "!file"]] {
            assert_eq!(reason("full", patterns, ""), None, "{patterns:?}");
        }
        assert_eq!(reason("pictures", &["*.jpg"], ""), excluded);
        assert_eq!(reason("single", &["single"], ""), excluded);
        assert_eq!(reason("marked", &[], ".nobackup"), excluded);
        assert_eq!(reason("marked/file", &[], ".nobackup"), excluded);
        assert_eq!(reason("marked/.nobackup", &[], ".nobackup"), None);
        assert_eq!(reason("marked", &[], ".nobackup:x"), excluded);
        assert_eq!(reason("marked", &[], ".nobackup:another"), None);
    }

    #[test]
    fn a_path_with_too_much_to_look_at_is_not_judged() {
        let scratch = tempfile::tempdir().unwrap();
        for n in 0..=MAX_ENTRIES {
            fs::create_dir(scratch.path().join(n.to_string())).unwrap();
        }
        assert_eq!(Rules::default().look_at(scratch.path().to_str().unwrap()), None);
    }

    #[test]
    fn a_table_of_mounts_is_read_with_its_escapes_and_without_its_comments() {
        let fstab = b"# /dev/sdc /mnt/no ext4\n/dev/sda1 /mnt/my\\040disk\text4 defaults 0 0\n\nUUID=1 none swap sw\n";
        assert!(is_in_fstab(fstab, &[Path::new("/mnt/my disk")]));
        assert!(!is_in_fstab(fstab, &[Path::new("/mnt/no"), Path::new("/mnt")]));
        assert!(!should_be_mounted(Path::new("/")));
    }
}
