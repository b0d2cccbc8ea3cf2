//! What an archive says of itself, at its beginning and at its end.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form of archives that is written.
pub(super) const FORM: u32 = 1;

/// What an archive is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The form of the archive itself.
    pub(super) holdfast_archive: u32,
    /// The instant whose state it holds, in milliseconds since 1970.
    pub made_at_ms: u64,
    /// Version of the server that made it.
    pub server_version: String,
    /// Form of the data file's tables.
    pub data_format: u32,
    /// Which incarnation of the server it is of; 0 = one that was not made from an archive.
    pub incarnation: u64,
    /// How many hosts the server had.
    pub hosts: u64,
    /// What its agents dialled: `host:port`, several with commas between them.
    pub mqtt_address: String,
    /// What it goes without, in words: certificates that were brought and could not be read or used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

impl About {
    /// What its agents dialled; none = nobody had said it.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.mqtt_address.split(',').filter(|address| !address.is_empty())
    }
}

/// How many rows it holds, by table: what an archive ends with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) rows: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn add(&mut self, table: &str, rows: u64) {
        match self.rows.get_mut(table) {
            Some(count) => *count += rows,
            None => {
                self.rows.insert(table.to_owned(), rows);
            }
        }
    }

    pub(super) fn sum(&self) -> u64 {
        self.rows.values().sum()
    }
}
