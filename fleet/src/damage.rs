//! What a look through the data file has found, and of a damaged one how much of each table can be read, and which hosts
//! that concerns.

use schema::Timestamp;
use serde::Serialize;

/// What a look through the data file has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What it found.
    pub found: Found,
}

/// What a look through the data file has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// All is as it was written: so many rows.
    Well(u64),
    /// Something is not; how that shows.
    Damage(String),
    /// It could not be looked through; why.
    Failed(String),
}

/// What can be read of a damaged data file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// How the damage shows, in words.
    pub why: String,
    /// Each table, in the order in which they are kept.
    pub tables: Vec<TableDamage>,
    /// Hosts that what is missing was of, as far as that can be told, by name.
    pub hosts: Vec<String>,
    /// Hosts whose own row is missing, and was made anew from what else is known of them, by name.
    pub remade_hosts: Vec<String>,
    /// Pages that were put right, for one bit of them was another one.
    pub mended_pages: u64,
    /// All of it is of an earlier commit than the last one, which can't be read as a whole, or may be: the head of the file does
    /// not tell any more which was the last.
    pub is_earlier: bool,
    /// Rows that were left out, for what they belong to is missing.
    pub left_out: u64,
}

/// What can be read of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableDamage {
    /// Its name.
    pub table: String,
    /// How many rows were read.
    pub read: u64,
    /// How many can't be read; `None` = it is not known how many there were.
    pub unreadable: Option<u64>,
    /// How many were read and mean nothing.
    pub undecodable: u64,
    /// How many of those that were read were found below a damaged page, or in one of which nothing says what was written:
    /// they may be older than the rest.
    pub unsure: u64,
    /// It is made anew from the other tables: what it lacks is not missing.
    pub is_index: bool,
    /// Its rows are of an earlier commit than the last one.
    pub is_earlier: bool,
    /// It was found by its pages, for the page of the list of tables that named it is damaged. What nothing vouches for is
    /// among `unsure`.
    pub is_carved: bool,
    /// Where rows are missing.
    pub gaps: Vec<KeyGap>,
    /// How many more such places there are.
    pub more_gaps: u64,
}

/// Between which keys rows are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyGap {
    /// The key before; `None` = there is none.
    pub after: Option<String>,
    /// The key behind; `None` = there is none.
    pub before: Option<String>,
}

impl TableDamage {
    /// Whether something is missing that is not made anew.
    #[must_use]
    pub fn is_missing_something(&self) -> bool {
        let lacks_rows = self.unreadable != Some(0) || !self.gaps.is_empty() || self.undecodable > 0;
        !self.is_index && (lacks_rows || self.unsure > 0 || self.is_earlier)
    }
}

impl Damage {
    /// The tables that lack something that is not made anew.
    pub fn torn_tables(&self) -> impl Iterator<Item = &TableDamage> {
        self.tables.iter().filter(|table| table.is_missing_something())
    }

    /// Whether all is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left_out == 0
            && self.remade_hosts.is_empty()
            && !self.is_earlier
            && self.torn_tables().next().is_none()
    }

    /// How many rows were read.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.read).sum()
    }
}
