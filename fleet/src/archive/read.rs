//! Reading an archive from its beginning to its end.

use super::about::{About, Counts, FORM};
use super::block;
use super::error::{ARCHIVE_PARTS, ArchiveError};
use super::key::ArchiveOpener;
use crate::record::meta::{META_SUCCEEDED, Meta};
use crate::store::{META, StoredRow as _, TableKey as _, check_row, file_format};
use schema::Incarnation;
use std::collections::BTreeSet;
use std::io::Read;
use zeroize::Zeroizing;

/// The longest part beside the rows, in bytes.
const MOST_PART_BYTES: u64 = 1 << 20;
/// The longest block of rows, in bytes.
const MOST_BLOCK_BYTES: u64 = 65 << 20;

/// What whoever reads an archive is given, in its order.
pub(super) trait Visit {
    /// A file beside the rows; its name is one of [`ARCHIVE_PARTS`].
    fn part(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), ArchiveError>;
    /// A block of rows, each checked already.
    fn rows(&mut self, table: &str, block: &[u8]) -> Result<(), ArchiveError>;
}

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// What it is of.
    pub about: About,
    /// How many rows there are.
    pub rows: u64,
    /// Which incarnation has the place of its server, which stood still; `None` = none.
    pub succeeded_by: Option<Incarnation>,
}

struct OnlyLook;

impl Visit for OnlyLook {
    fn part(&mut self, _: &'static str, _: &[u8]) -> Result<(), ArchiveError> {
        Ok(())
    }
    fn rows(&mut self, _: &str, _: &[u8]) -> Result<(), ArchiveError> {
        Ok(())
    }
}

/// Opens an archive, reads it to its end, and decodes every row. Blocks.
pub fn look_through(from: impl Read, opener: &ArchiveOpener) -> Result<Contents, ArchiveError> {
    walk(from, opener, &mut OnlyLook)
}

pub(super) fn walk(
    from: impl Read,
    opener: &ArchiveOpener,
    visit: &mut dyn Visit,
) -> Result<Contents, ArchiveError> {
    let mut archive = tar::Archive::new(opener.open(from)?);
    let mut about: Option<About> = None;
    let (mut counted, mut ended) = (Counts::default(), None);
    let mut met = BTreeSet::new();
    let mut succeeded_by = None;
    for entry in archive.entries().map_err(ArchiveError::from_reading)? {
        let mut entry = entry.map_err(ArchiveError::from_reading)?;
        let name = entry.path().map_err(ArchiveError::from_reading)?.to_string_lossy().into_owned();
        if ended.is_some() {
            return Err(ArchiveError::damaged("something stands behind its end"));
        }
        let most = if name.starts_with("rows/") { MOST_BLOCK_BYTES } else { MOST_PART_BYTES };
        if entry.size() > most {
            return Err(ArchiveError::damaged(format!("{name} is too long")));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(entry.size() as usize));
        entry.read_to_end(&mut bytes).map_err(ArchiveError::from_reading)?;
        match (&about, name.as_str()) {
            (None, "about.json") => about = Some(read_about(&bytes)?),
            (None, _) => return Err(ArchiveError::NotAnArchive),
            (Some(_), "end.json") => ended = Some(json::<Counts>(&bytes, "its end")?),
            (Some(about), name) => match name.strip_prefix("rows/").and_then(|rest| rest.split_once('/')) {
                Some((table, _)) => {
                    counted.add(table, check_block(about, table, &bytes)?);
                    succeeded_by = succeeded_by.or_else(|| succession_in(about, table, &bytes));
                    visit.rows(table, &bytes)?;
                }
                None => {
                    let part = ARCHIVE_PARTS.into_iter().find(|part| *part == name);
                    let part = part.filter(|part| met.insert(*part));
                    let part = part.ok_or_else(|| ArchiveError::damaged(format!("it holds {name:?}")))?;
                    visit.part(part, &bytes)?;
                }
            },
        }
    }
    // What stands behind the end of the tar file belongs to the encrypted stream, whose end is told by itself alone.
    let mut rest = archive.into_inner();
    let mut behind = [0; 4096];
    while rest.read(&mut behind).map_err(ArchiveError::from_reading)? > 0 {}
    let (Some(about), Some(mut ended)) = (about, ended) else {
        return Err(ArchiveError::damaged("it has no end"));
    };
    ended.rows.retain(|_, rows| *rows > 0);
    if ended != counted {
        return Err(ArchiveError::damaged("it holds other rows than it says"));
    }
    Ok(Contents { about, rows: counted.sum(), succeeded_by })
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|_| ArchiveError::damaged(format!("{what} can't be read")))
}

fn read_about(bytes: &[u8]) -> Result<About, ArchiveError> {
    /// What each form has.
    #[derive(serde::Deserialize)]
    struct Form {
        holdfast_archive: u32,
    }
    let form: Form = json(bytes, "its beginning")?;
    if form.holdfast_archive > FORM {
        return Err(ArchiveError::Newer { found: form.holdfast_archive, understood: FORM });
    }
    let about: About = json(bytes, "its beginning")?;
    if about.data_format > file_format::FORMAT {
        return Err(ArchiveError::Newer { found: about.data_format, understood: file_format::FORMAT });
    }
    if about.data_format < file_format::oldest() {
        return Err(ArchiveError::Older { found: about.data_format, oldest: file_format::oldest() });
    }
    Ok(about)
}

/// Who has the place of the server, where one of these rows says so.
fn succession_in(about: &About, table: &str, bytes: &[u8]) -> Option<Incarnation> {
    let mut found = None;
    if table == META.name() {
        // Each row was decoded already.
        let _ = block::read(bytes, |mut key, row| {
            if let (Some(META_SUCCEEDED), Ok(Meta::Succeeded(it))) =
                (String::read(&mut key).as_deref(), Meta::from_bytes(row))
            {
                found = Some(it.incarnation);
            }
            Ok::<_, ArchiveError>(())
        });
    }
    found.filter(|it| it.0 > about.incarnation)
}

/// Decodes each row; returns how many there are. A table that is no more is one of an older form, and is brought up to
/// date when the data file is opened.
fn check_block(about: &About, table: &str, bytes: &[u8]) -> Result<u64, ArchiveError> {
    let mut rows = 0;
    let is_older = about.data_format < file_format::FORMAT;
    let read = block::read(bytes, |key, row| {
        rows += 1;
        match check_row(table, key, row) {
            Some(Ok(())) => Ok(()),
            // What an archive holds was decoded when it was made, and not altered since.
            Some(Err(_)) if is_older => {
                Err(ArchiveError::Older { found: about.data_format, oldest: file_format::FORMAT })
            }
            Some(Err(error)) => Err(ArchiveError::damaged(error.to_string())),
            None if is_older => Ok(()),
            None => Err(ArchiveError::damaged(format!("there is no table {table:?}"))),
        }
    });
    read.ok_or_else(|| ArchiveError::damaged(format!("rows of {table} can't be read")))??;
    Ok(rows)
}
