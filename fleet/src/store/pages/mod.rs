//! The pages of a data file as they lie on the disk, read without redb, for a file that redb does not open any more.
//!
//! redb keeps each table in a B+ tree whose pages are named by their parents together with a checksum
//! ([its design](https://github.com/cberner/redb/blob/master/docs/design.md)). So what was written can be told from what
//! something else has altered, page by page, and what hangs below an intact page can be believed. redb itself looks at
//! checksums only while it repairs, reports some of the damage, and panics over the rest.
//!
//! | what | where |
//! |---|---|
//! | the head of the file: where pages lie, the last two commits | [`head`] |
//! | one page: what it holds, whether it is what was written | [`page`] |
//! | the trees: which tables there are, their rows | [`tree`] |
//! | which pages the last commit has in use | [`in_use`] |
//! | tables that the list of tables does not name any more | [`carve`] |
//!
//! # What is believed
//!
//! - A page whose checksum fits.
//! - A page that fits when one bit of it is turned over: that is the most frequent damage, and 128 bits of checksum leave
//!   no doubt.
//! - Pages whose checksum fits below a branch page that does not fit, each for itself. Such a page may be of an older
//!   state than the branch was; its rows are counted as not certain.
//!
//! - The first page of a table, where the page of the list is damaged that named it: one that is in use by the last commit, that
//!   no other page names, and whose rows are of that table and of no other. What is found so without a checksum that somebody
//!   else has kept is counted as not certain.
//!
//! Nothing else is. The file is never written.

mod carve;
mod head;
mod in_use;
mod page;
#[cfg(test)]
mod tests;
mod tree;

pub(super) use head::{HEAD_BYTES, name_the_other, other_is_newer};
pub(crate) use tree::{Gap, PageFile, Survey, TableAt, Tables};
