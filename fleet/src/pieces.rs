//! The pieces of a server that belong together: the data file, the master key, the authority that agents trust.
//!
//! Each is worth nothing without the others, and a new one in the place of one that is lost makes things worse without a
//! word: an empty fleet, secrets that open no more, agents that trust nobody. So pieces are made only where there is
//! none at all. A first start leaves [`BEGUN_FILE`] until all of them are on disk, so that one that was torn is ended by
//! the next. It says which files that start makes, so that it is no licence for others: those of a backup that was
//! restored over a torn start. An authority may be missing, or another one, when a person has said so by
//! [`ACCEPT_FILE`].

use crate::data_folder::{check_data_folder, make_data_folder};
use crate::refused::OpenError;
use crate::seal::MasterKey;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The name of the data file in its folder.
pub const DATA_FILE: &str = "holdfast.redb";
/// The name of the master key's file in the data folder.
pub const KEY_FILE: &str = "master.key";
/// The folder of the server's own authority, in the data folder.
pub const AUTHORITY_FOLDER: &str = "tls";
/// The authority's certificate and its key.
const AUTHORITY_FILES: [&str; 2] = ["tls/ca.pem", "tls/ca.key"];
/// What a standby keeps, in its data folder.
pub const STANDBY_FOLDER: &str = "standby";
/// There while a first start makes the pieces.
const BEGUN_FILE: &str = "first-start";
/// There while a server is restored from an archive: what lies beside it does not serve.
pub(crate) const RESTORE_FILE: &str = "restore-begun";
/// There while a server is made in the folder, and locked by whoever makes it.
pub(crate) const RESTORE_LOCK: &str = "restore-lock";
/// There from a person's word that another authority is right until the next start.
const ACCEPT_FILE: &str = "accept-authority";

/// Where the pieces of a server are.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// The data folder.
    pub data_dir: PathBuf,
    /// The master key, when it is not in the data folder: a file that the service manager hands over.
    pub key_file: Option<PathBuf>,
    /// Whose authority it is that agents trust.
    pub authority: Authority,
}

/// Whose authority it is that agents trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The server's own, in [`AUTHORITY_FOLDER`].
    Own,
    /// Nobody serves: who opens the pieces does not ask.
    NotAsked,
}

impl From<&Path> for Pieces {
    /// The data file and the master key, both in the folder.
    fn from(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), key_file: None, authority: Authority::NotAsked }
    }
}

/// How much of a server is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Nothing, or what a first start has made before it was ended: what is missing may be made.
    New,
    /// Data file, key and authority are all there.
    Whole,
    /// All but an authority, perhaps, and a person has said that another one is right.
    OtherAuthority,
}

/// Which pieces there are.
#[derive(Clone, Debug, Default)]
struct Present {
    /// A first start has begun, and what there is of a key and an authority is what it makes.
    begun: bool,
    accepts_authority: bool,
    /// What belongs to this server, in the order in which it is named, and how long it is; `None` = it is not there.
    pieces: Vec<(PathBuf, Option<u64>)>,
    /// The last ones of them that are the authority's.
    of_authority: usize,
}

impl Present {
    fn judge(&self) -> Result<Stand, OpenError> {
        let first = |pieces: &[(PathBuf, Option<u64>)], is: fn(Option<u64>) -> bool| {
            pieces.iter().find(|(_, bytes)| is(*bytes)).map(|(path, _)| path.clone())
        };
        let Some(found) = first(&self.pieces, |bytes| bytes.is_some()) else { return Ok(Stand::New) };
        if self.begun {
            return Ok(Stand::New);
        }
        let (others, authority) = self.pieces.split_at(self.pieces.len() - self.of_authority);
        if let Some(missing) = first(others, |bytes| bytes.is_none()) {
            return Err(OpenError::Missing { missing, found });
        }
        if let Some(path) = first(others, |bytes| bytes == Some(0)) {
            return Err(OpenError::Empty { path });
        }
        if self.accepts_authority {
            return Ok(Stand::OtherAuthority);
        }
        match first(authority, |bytes| bytes.unwrap_or(0) == 0) {
            Some(missing) => Err(OpenError::NoAuthority { missing, found }),
            None => Ok(Stand::Whole),
        }
    }
}

impl Pieces {
    /// The data file.
    #[must_use]
    pub fn data_file(&self) -> PathBuf {
        self.data_dir.join(DATA_FILE)
    }

    pub(crate) fn key_path(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.data_dir.join(KEY_FILE))
    }

    /// Whether a path leads to a file of the server, by whatever way it is written: what is written anew must be none.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        let id = |path: &Path| fs::metadata(path).ok().map(|facts| (facts.dev(), facts.ino()));
        let Some(found) = id(path) else { return false };
        let names = [DATA_FILE, KEY_FILE, "tls/next.pem", "tls/next.key", "settings.toml"];
        let files = names.into_iter().chain(AUTHORITY_FILES).map(|name| self.data_dir.join(name));
        files.chain([self.key_path()]).any(|piece| id(&piece) == Some(found))
    }

    /// How much is there; what may neither be used nor be made anew is an error that says what to do. Changes nothing.
    pub fn look(&self) -> Result<Stand, OpenError> {
        match fs::metadata(&self.data_dir) {
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Stand::New),
            Err(why) => return Err(failed(&self.data_dir, why)),
            Ok(_) => check_data_folder(&self.data_dir)?,
        }
        let mut paths = vec![self.data_file()];
        let (data_dir, is_standby) = (self.data_dir.clone(), self.data_dir.join(STANDBY_FOLDER).is_dir());
        let is_there = |name: &str| length(&self.data_dir.join(name)).map(|bytes| bytes.is_some());
        // The lock comes before all else, and goes last: beside pieces of a server it is only what a killed run has left.
        let is_begun = is_there(RESTORE_LOCK)? && !is_there(DATA_FILE)? && !is_there(KEY_FILE)?;
        if is_there(RESTORE_FILE)? || is_begun {
            return Err(match is_standby {
                true => OpenError::HalfPromoted { data_dir },
                false => OpenError::HalfRestored { data_dir },
            });
        }
        if is_standby && length(&paths[0])?.is_none() {
            return Err(OpenError::Standby { data_dir });
        }
        let begun = self.has_begun()?;
        // A key from elsewhere is there before the first start.
        if self.key_file.is_none() {
            paths.push(self.key_path());
        }
        let mut of_authority = 0;
        if self.authority == Authority::Own {
            paths.extend(AUTHORITY_FILES.map(|name| self.data_dir.join(name)));
            of_authority = AUTHORITY_FILES.len();
        }
        let begun = begun && self.are_made_here(&paths[1..])?;
        let pieces = paths.into_iter().map(|path| length(&path).map(|bytes| (path, bytes)));
        let found = Present {
            begun,
            accepts_authority: self.accepts_authority()?,
            pieces: pieces.collect::<Result<_, _>>()?,
            of_authority,
        };
        found.judge()
    }

    /// The same for who is to make what is missing: makes the folder, and writes down that a first start has begun.
    pub fn begin(&self) -> Result<Stand, OpenError> {
        // One that can't be used leaves no trace.
        if let Some(handed_over) = &self.key_file {
            MasterKey::read(handed_over, true)?;
        }
        make_data_folder(&self.data_dir)?;
        let stand = self.look()?;
        if stand == Stand::New && !self.has_begun()? {
            leave(
                &self.data_dir.join(BEGUN_FILE),
                "The first start of this server makes its files, and removes this one when they are all there.\n",
            )?;
        }
        Ok(stand)
    }

    /// A first start is about to put a file with these bytes there.
    pub fn will_make(&self, path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
        if !self.has_begun()? {
            return Ok(());
        }
        let begun = self.data_dir.join(BEGUN_FILE);
        let mut words = fs::read_to_string(&begun).map_err(|why| failed(&begun, why))?;
        words.push_str(&format!("{}\n", mark_of(path, bytes)));
        leave(&begun, &words)
    }

    /// Whether all that there is of these is what the first start that has begun makes.
    fn are_made_here(&self, paths: &[PathBuf]) -> Result<bool, OpenError> {
        let begun = self.data_dir.join(BEGUN_FILE);
        let words = fs::read_to_string(&begun).map_err(|why| failed(&begun, why))?;
        for path in paths {
            if length(path)?.is_none() {
                continue;
            }
            let bytes = Zeroizing::new(fs::read(path).map_err(|why| failed(path, why))?);
            let mark = mark_of(path, &bytes);
            if !words.lines().any(|line| line == mark) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a first start has begun and has not ended.
    pub fn has_begun(&self) -> Result<bool, OpenError> {
        Ok(length(&self.data_dir.join(BEGUN_FILE))?.is_some())
    }

    /// All pieces are on disk.
    pub(crate) fn made(&self) -> Result<(), OpenError> {
        remove(&self.data_dir.join(BEGUN_FILE))
    }

    /// Whether a person has said that another authority is right.
    pub fn accepts_authority(&self) -> Result<bool, OpenError> {
        Ok(length(&self.data_dir.join(ACCEPT_FILE))?.is_some())
    }

    /// A person says so: the next start takes the authority that it finds, or makes one. There must be data.
    pub fn accept_authority(&self) -> Result<(), OpenError> {
        check_data_folder(&self.data_dir)?;
        let path = self.data_file();
        match length(&path)? {
            None => return Err(OpenError::NoData { path }),
            Some(0) => return Err(OpenError::Empty { path }),
            Some(_) => {}
        }
        leave(
            &self.data_dir.join(ACCEPT_FILE),
            "The next start of this server takes the authority that it finds, or makes one, and removes this file.\n",
        )
    }

    /// The authority that is there is the right one after all: what was said before counts no more.
    pub fn take_back_authority(&self) -> Result<(), OpenError> {
        self.authority_accepted()
    }

    /// The server has started with the accepted authority: the file that says so is removed.
    pub(crate) fn authority_accepted(&self) -> Result<(), OpenError> {
        remove(&self.data_dir.join(ACCEPT_FILE))
    }
}

fn failed(path: &Path, why: io::Error) -> OpenError {
    OpenError::Folder { path: path.to_owned(), why }
}

/// How long a file is; `None` = it is not there.
fn length(path: &Path) -> Result<Option<u64>, OpenError> {
    match fs::metadata(path) {
        Ok(facts) if facts.is_file() => Ok(Some(facts.len())),
        Ok(_) => Err(OpenError::NotAFile { path: path.to_owned() }),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(failed(path, why)),
    }
}

/// A file's name and what it holds, in a line. The hash of a key tells nothing of it.
fn mark_of(path: &Path, bytes: &[u8]) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{} {name}", HEXLOWER.encode(&Sha256::digest(bytes)))
}

/// Puts a mark there, whole and on disk when this returns, or not at all.
pub(crate) fn leave(path: &Path, words: &str) -> Result<(), OpenError> {
    let draft = path.with_extension("new");
    let written = || {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        io::Write::write_all(&mut file, words.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        sync_folder_of(path)
    };
    written().map_err(|why| {
        let _ = fs::remove_file(&draft);
        failed(path, why)
    })
}

pub(crate) fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path).map_err(|why| failed(path, why)),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
        Err(why) => Err(failed(path, why)),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that is killed right after it has taken its lock has left nothing else.
    #[test]
    fn a_lock_alone_is_a_restore_that_has_begun_and_beside_pieces_it_says_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let look = || Pieces::from(scratch.path()).look();
        assert_eq!(look().unwrap(), Stand::New);
        fs::write(scratch.path().join(RESTORE_LOCK), "").unwrap();
        assert!(matches!(look(), Err(OpenError::HalfRestored { .. })), "{:?}", look());
        for piece in [KEY_FILE, DATA_FILE] {
            let piece = scratch.path().join(piece);
            fs::write(&piece, "x").unwrap();
            assert!(matches!(look(), Err(OpenError::Missing { .. })), "{:?}", look());
            fs::remove_file(piece).unwrap();
        }
    }

    /// Every set of pieces that can be there, with every mark.
    #[test]
    fn pieces_are_made_only_where_there_is_none_and_what_is_missing_is_named() {
        let names = ["holdfast.redb", "master.key", "tls/ca.pem", "tls/ca.key"];
        for bits in 0..4u32.pow(4) * 4 {
            // Of each piece: not there, empty, or whole, in two of four ways.
            let bytes = |place: u32| [None, Some(0), Some(7), Some(9)][(bits >> (2 * place) & 3) as usize];
            let is = |place: usize| bytes(place as u32).is_some();
            let found = Present {
                pieces: (0..4).map(|i| (PathBuf::from(names[i]), bytes(i as u32))).collect(),
                of_authority: 2,
                begun: bits >> 8 & 1 == 1,
                accepts_authority: bits >> 9 & 1 == 1,
            };
            let empty = (0..2).find(|i| bytes(*i as u32) == Some(0)).map(|i| names[i]);
            let no_authority = (2..4).find(|i| bytes(*i as u32).unwrap_or(0) == 0).map(|i| names[i]);
            let missing: Vec<&str> = (0..4).filter(|i| !is(*i)).map(|i| names[i]).collect();
            let judged = found.judge();
            if missing.len() == 4 || found.begun {
                assert_eq!(judged.unwrap(), Stand::New, "{found:?}");
            } else if missing.contains(&"holdfast.redb") || missing.contains(&"master.key") {
                let refused = judged.unwrap_err();
                let OpenError::Missing { missing: named, found: other } = &refused else {
                    panic!("{refused}")
                };
                assert_eq!((named.to_str().unwrap(), other.exists()), (missing[0], false), "{found:?}");
                assert!(!missing.contains(&other.to_str().unwrap()), "{found:?}");
            } else if let Some(empty) = empty {
                let refused = judged.unwrap_err();
                let OpenError::Empty { path } = &refused else { panic!("{refused}") };
                assert_eq!(path.to_str(), Some(empty), "{found:?}");
            } else if found.accepts_authority {
                assert_eq!(judged.unwrap(), Stand::OtherAuthority, "{found:?}");
            } else if let Some(first) = no_authority {
                let refused = judged.unwrap_err();
                let OpenError::NoAuthority { missing, .. } = &refused else { panic!("{refused}") };
                assert_eq!(missing.to_str(), Some(first), "{found:?}");
            } else {
                assert_eq!(judged.unwrap(), Stand::Whole, "{found:?}");
            }
        }
    }

    #[test]
    fn a_first_start_that_was_torn_is_gone_on_with_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let pieces = Pieces { authority: Authority::Own, ..Pieces::from(folder.path()) };
        assert_eq!(pieces.begin().unwrap(), Stand::New);
        pieces.will_make(&folder.path().join(KEY_FILE), b"key").unwrap();
        assert_eq!(pieces.begin().unwrap(), Stand::New);
        fs::write(folder.path().join(KEY_FILE), "key").unwrap();
        assert_eq!(pieces.begin().unwrap(), Stand::New);
        // A key from a backup that was restored over it is none that it makes.
        fs::write(folder.path().join(KEY_FILE), "yek").unwrap();
        let refused = pieces.begin().unwrap_err().to_string();
        assert!(refused.contains(DATA_FILE) && refused.contains(KEY_FILE), "{refused}");
        fs::write(folder.path().join(KEY_FILE), "key").unwrap();
        pieces.made().unwrap();
        pieces.made().unwrap();
        let refused = pieces.begin().unwrap_err().to_string();
        assert!(refused.contains(DATA_FILE) && refused.contains(KEY_FILE), "{refused}");
    }

    #[test]
    fn a_file_of_the_server_is_known_by_whatever_way_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let pieces = Pieces::from(folder.path());
        fs::create_dir(folder.path().join("tls")).unwrap();
        for name in [KEY_FILE, "tls/ca.key", "else.age"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("way")).unwrap();
        let holds = |name: &str| pieces.holds(&folder.path().join(name));
        assert!(holds(KEY_FILE) && holds("way/master.key") && holds("tls/../tls/ca.key"));
        assert!(!holds("else.age") && !holds("tls/ca.pem") && !holds("new.age"));
    }

    #[test]
    fn looking_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pieces = Pieces::from(folder.path().join("data").as_path());
        assert_eq!(pieces.look().unwrap(), Stand::New);
        assert!(!pieces.data_dir.exists());
    }
}
