//! What a standby keeps in its data folder.

use super::trust::Trust;
use anyhow::Context;
use fleet::{ArchiveFolder, Draft, Kept, STANDBY_FOLDER, record::Secret};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// So many archives are kept, the newest ones.
const ARCHIVES_KEPT: usize = 3;
/// What stands before the name of an archive that is later than one which came after it: the server's clock was set back, or
/// somebody sends what is old.
const SET_ASIDE: &str = "set-aside-";
/// The longest token that is read, in bytes.
const MOST_TOKEN_BYTES: u64 = 1_024;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct StandbyFolder {
    path: PathBuf,
}

/// Whom a standby follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Following {
    /// Where the server's pages are.
    pub(super) url: String,
    /// How it is known.
    #[serde(flatten)]
    pub(super) trust: Trust,
    /// Whether it may be asked without TLS when it is another machine.
    pub(super) plain: bool,
    /// What agents would dial if this were the server, as far as somebody has said it.
    pub(super) addresses: Vec<String>,
}

/// The right to work in the folder; it ends with the process.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "closing it is what gives the right back")] File);

impl StandbyFolder {
    pub(super) fn of(data_dir: &Path) -> Self {
        Self { path: data_dir.join(STANDBY_FOLDER) }
    }

    /// Whether it is there. That this user may not look is not that it is not.
    pub(super) fn is_there(&self) -> anyhow::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(found.is_dir()),
            Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
            Err(why) => Err(why).with_context(|| format!("{}: run this as its owner", self.path.display())),
        }
    }

    /// Makes it, for its owner alone.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        let archives = self.path.join("archives");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&archives);
        made.with_context(|| archives.display().to_string())
    }

    /// Takes the right to work here; `None` = somebody else has it.
    pub(super) fn lock(&self) -> anyhow::Result<Option<Lock>> {
        let path = self.path.join("lock");
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.with_context(|| path.display().to_string())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(why) => Err(io::Error::from(why)).with_context(|| path.display().to_string()),
        }
    }

    /// The identity that opens the archives, and its recipient. It is made in a folder where nothing has come yet: elsewhere
    /// another one opens nothing of what is there, and would put what it can't open in the place of what is only locked.
    pub(super) fn identity(&self) -> anyhow::Result<(Secret, String)> {
        let path = self.path.join("identity.txt");
        match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => {
                let recipient = fleet::recipient_of(&text).with_context(|| path.display().to_string())?;
                return Ok((Secret::new(text.as_str()), recipient));
            }
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            Err(why) => return Err(why).with_context(|| path.display().to_string()),
        }
        let has_archives = self.archives().list().is_ok_and(|all| !all.is_empty());
        anyhow::ensure!(
            !has_archives,
            "{} is missing, which alone opens the archives of this standby: put it back. Where it is lost, begin with an empty \
             folder, and add that to the server as another standby",
            path.display()
        );
        let (identity, recipient) = fleet::new_identity();
        write(&path, identity.expose().as_bytes())?;
        Ok((identity, recipient))
    }

    /// Where the token is, unless somebody says otherwise.
    pub(super) fn token_path(&self) -> PathBuf {
        self.path.join("token")
    }

    /// Removes the token: where it was good for something, another server has that place now.
    pub(super) fn remove_token(&self) {
        match fs::remove_file(self.token_path()) {
            Err(why) if why.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %self.token_path().display(), %why, "the token of the standby can't be removed");
            }
            _ => {}
        }
    }

    /// Writes down whom it follows.
    pub(super) fn put_following(&self, following: &Following) -> anyhow::Result<()> {
        write(&self.path.join("following.json"), &serde_json::to_vec_pretty(following)?)
    }

    /// Whom it follows; `None` = it has never been started.
    pub(super) fn following(&self) -> anyhow::Result<Option<Following>> {
        let path = self.path.join("following.json");
        match fs::read(&path) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            read => {
                let bytes = read.with_context(|| path.display().to_string())?;
                serde_json::from_slice(&bytes).map(Some).with_context(|| path.display().to_string())
            }
        }
    }

    /// Which server's archives are here, as a digest; `None` = none came yet.
    pub(super) fn server(&self) -> anyhow::Result<Option<String>> {
        let path = self.server_path();
        match fs::read_to_string(&path) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(|text| Some(text.trim().to_owned())).with_context(|| path.display().to_string()),
        }
    }

    /// Writes that down: archives of another one are not kept.
    pub(super) fn put_server(&self, digest: &str) -> anyhow::Result<()> {
        write(&self.server_path(), digest.as_bytes())
    }

    /// Where that stands.
    pub(super) fn server_path(&self) -> PathBuf {
        self.path.join("server")
    }

    /// Writes down that the server has said that another one has its place; once, with when that was. Or takes it back: it is
    /// the server again.
    pub(super) fn note_superseded(&self, at: Option<&str>) -> anyhow::Result<()> {
        let path = self.path.join("superseded");
        match (at, path.exists()) {
            (Some(at), false) => write(&path, at.as_bytes()),
            (None, true) => fs::remove_file(&path).with_context(|| path.display().to_string()),
            _ => Ok(()),
        }
    }

    /// When the server has said that another one has its place; `None` = it has not.
    pub(super) fn superseded(&self) -> anyhow::Result<Option<String>> {
        let path = self.path.join("superseded");
        match fs::read_to_string(&path) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some).with_context(|| path.display().to_string()),
        }
    }

    /// Removes what came and was not kept.
    pub(super) fn remove_incoming(&self) {
        match fs::remove_file(self.incoming()) {
            Err(why) if why.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %self.incoming().display(), %why, "what came can't be removed");
            }
            _ => {}
        }
    }

    /// Where what comes is written until it is checked.
    pub(super) fn incoming(&self) -> PathBuf {
        self.path.join("archives/incoming")
    }

    /// The archives.
    pub(super) fn archives(&self) -> ArchiveFolder {
        ArchiveFolder { path: self.path.join("archives"), keep: ARCHIVES_KEPT, makes: false, last: None }
    }

    /// Gives what came its name, and removes what is damaged and those that are too many.
    pub(super) fn keep(&self, name: &str, damaged: &[String]) -> Result<Vec<Kept>, fleet::ArchiveError> {
        let folder = self.archives();
        let failed = |why| fleet::ArchiveError::File { path: self.incoming(), why };
        fs::rename(self.incoming(), folder.path.join(name)).map_err(failed)?;
        File::open(&folder.path).and_then(|folder| folder.sync_all()).map_err(failed)?;
        for damaged in damaged.iter().filter(|damaged| *damaged != name) {
            let path = folder.path.join(damaged);
            match fs::remove_file(&path) {
                Err(why) if why.kind() != ErrorKind::NotFound => {
                    return Err(fleet::ArchiveError::File { path, why });
                }
                _ => tracing::warn!(damaged, name, "a damaged archive is removed: another one has come"),
            }
        }
        // What has a later name came before: the server's clock was set back since.
        let (later, older): (Vec<Kept>, Vec<Kept>) =
            folder.list()?.into_iter().partition(|kept| kept.name.as_str() > name);
        for kept in &later {
            let (from, to) =
                (folder.path.join(&kept.name), folder.path.join(format!("{SET_ASIDE}{}", kept.name)));
            tracing::warn!(name, later = kept.name, to = %to.display(), "an older archive came: a later one is set aside");
            fs::rename(&from, to).map_err(|why| fleet::ArchiveError::File { path: from, why })?;
        }
        for kept in older.iter().skip(ARCHIVES_KEPT) {
            let path = folder.path.join(&kept.name);
            fs::remove_file(&path).map_err(|why| fleet::ArchiveError::File { path, why })?;
        }
        self.remove_set_aside().map_err(failed)?;
        Ok(older.into_iter().take(ARCHIVES_KEPT).collect())
    }
}

impl StandbyFolder {
    /// Of those set aside the last ones stay.
    fn remove_set_aside(&self) -> io::Result<()> {
        let folder = self.archives().path;
        let mut aside = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(SET_ASIDE)) {
                aside.push(name);
            }
        }
        aside.sort();
        let beyond = aside.len().saturating_sub(ARCHIVES_KEPT);
        aside.iter().take(beyond).try_for_each(|name| fs::remove_file(folder.join(name)))
    }
}

/// Reads a token; `None` = there is none.
pub(super) fn read_token(path: &Path) -> io::Result<Option<Secret>> {
    use std::io::Read as _;
    let file = match File::open(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = Zeroizing::new(String::new());
    file.take(MOST_TOKEN_BYTES).read_to_string(&mut text)?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(Secret::new))
}

/// Writes a file for its owner alone, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let written = || {
        let draft = Draft::begin(path, true)?;
        (&draft).write_all(bytes)?;
        draft.publish()
    };
    written().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_identity_is_made_once_and_for_its_owner_alone() {
        let data_dir = tempfile::tempdir().unwrap();
        let folder = StandbyFolder::of(data_dir.path());
        folder.make().unwrap();
        let (identity, recipient) = folder.identity().unwrap();
        let (again, same) = folder.identity().unwrap();
        assert_eq!((identity.expose(), &recipient), (again.expose(), &same));
        assert!(recipient.starts_with("age1"));
        let facts = fs::metadata(data_dir.path().join("standby/identity.txt")).unwrap();
        assert_eq!(facts.permissions().mode() & 0o777, 0o600);
        let lock = folder.lock().unwrap();
        assert!(lock.is_some() && folder.lock().unwrap().is_none());
        drop(lock);
        assert!(folder.lock().unwrap().is_some());
        assert_eq!(read_token(&folder.token_path()).unwrap().map(|token| token.expose().to_owned()), None);
    }

    #[test]
    fn a_lost_identity_is_not_replaced_where_it_is_needed() {
        let data_dir = tempfile::tempdir().unwrap();
        let folder = StandbyFolder::of(data_dir.path());
        folder.make().unwrap();
        folder.identity().unwrap();
        let path = data_dir.path().join("standby/identity.txt");
        fs::remove_file(&path).unwrap();
        fs::write(data_dir.path().join("standby/archives/holdfast-archive-2026-11-29T030001Z.age"), "x")
            .unwrap();
        let why = folder.identity().unwrap_err().to_string();
        assert!(why.contains("identity.txt is missing") && !path.exists(), "{why}");
    }

    #[test]
    fn what_came_last_is_the_newest_also_when_the_servers_clock_was_set_back() {
        let data_dir = tempfile::tempdir().unwrap();
        let folder = StandbyFolder::of(data_dir.path());
        folder.make().unwrap();
        let names = |kept: Vec<Kept>| kept.into_iter().map(|kept| kept.name).collect::<Vec<_>>();
        let name = |second: u32| format!("holdfast-archive-2026-11-29T03000{second}Z.age");
        for second in [1, 2, 3, 9] {
            fs::write(folder.incoming(), b"x").unwrap();
            folder.keep(&name(second), &[]).unwrap();
        }
        assert_eq!(names(folder.archives().list().unwrap()), [name(9), name(3), name(2)]);
        fs::write(folder.incoming(), b"x").unwrap();
        assert_eq!(names(folder.keep(&name(4), &[]).unwrap()), [name(4), name(3), name(2)]);
        assert_eq!(names(folder.archives().list().unwrap()), [name(4), name(3), name(2)]);
        let aside = data_dir.path().join("standby/archives").join(format!("{SET_ASIDE}{}", name(9)));
        assert!(aside.exists(), "nothing later is lost by one answer");
    }
}
