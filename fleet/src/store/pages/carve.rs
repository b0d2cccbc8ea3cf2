//! Tables that the list of tables does not name any more, for the page of the list is damaged that did.
//!
//! redb writes down which pages a commit has in use ([`super::in_use`]). Of these, whatever is reached from what can still be
//! read is known; the rest are the pages of the list that are damaged, and the trees of the tables that were listed there.
//! The first page of each tree is the one that no other page names. Which table it is of is told
//!
//! - by an earlier page of the list that has not been written over yet, where that names this very page with this very
//!   checksum: then the table is as it was written, and its number of rows is known;
//! - or else by its rows, when they are of one table that is missing and of no other. Then nobody vouches for that first
//!   page, and all of its rows are counted as not certain.
//!
//! Pages of earlier commits are never taken: rows that were replaced or removed since stand there.

use super::head::{Commit, number, place};
use super::in_use::InUse;
use super::page::{self, Node, Pointer};
use super::tree::{MOST_DEPTH, PageFile, Survey, TableAt, Tables};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

/// A page that nothing names.
struct Orphan {
    at: Pointer,
    /// The missing tables of which its first rows can be.
    may_be: BTreeSet<&'static str>,
}

/// Adds what can be found of the tables that are missing. Nothing where it can't be told which pages are in use.
pub(super) fn complete(file: &PageFile, commit: &Commit, tables: Tables, survey: &mut Survey) {
    let Some(mut in_use) = InUse::read(file, commit) else { return };
    let roots = survey.tables.values().filter_map(|(at, _)| at.root());
    for root in roots.chain([commit.root]).collect::<Vec<_>>() {
        know(file, root, true, 0, &mut in_use);
    }
    let mut missing: BTreeSet<&'static str> =
        tables.names.iter().copied().filter(|name| !survey.tables.contains_key(*name)).collect();
    let mut rest = Rest::of(file, tables, &missing, &mut in_use);
    let mut found = rest.by_earlier_lists(file, tables, &mut missing);
    found.extend(rest.by_rows(file, tables, &mut missing));
    if rest.unknown == 0 && rest.orphans.iter().all(|orphan| is_index_only(orphan, tables)) {
        // All that is in use is known: no page is of what is still missing.
        let empty = missing.iter().filter(|name| rest.orphans.iter().all(|it| !it.may_be.contains(**name)));
        found.extend(empty.map(|name| (*name, TableAt::EMPTY)));
    }
    for (name, at) in found {
        let walked = file.walk::<()>(&at, &mut |_, _| Ok(())).unwrap_or_default();
        survey.tables.insert(name.to_owned(), (at, walked));
        survey.carved_tables.push(name.to_owned());
    }
    let is_there = |name: &&str| survey.tables.contains_key(*name) || (tables.is_index)(name);
    survey.list_is_torn = !tables.names.iter().all(is_there);
}

fn is_index_only(orphan: &Orphan, tables: Tables) -> bool {
    !orphan.may_be.is_empty() && orphan.may_be.iter().all(|name| (tables.is_index)(name))
}

/// What hangs below a page is known. Of a page that is not what was written only what is itself is followed.
fn know(file: &PageFile, at: Pointer, is_named: bool, depth: u32, in_use: &mut InUse) {
    let node = file.node(at).filter(|_| depth < MOST_DEPTH);
    let is_written = node.as_ref().is_some_and(|(_, _, is_written)| *is_written);
    if !is_written && !is_named {
        return;
    }
    in_use.known(at.page);
    if let Some((Node::Branch(children, _), _, _)) = node {
        for child in children {
            know(file, child, is_written, depth + 1, in_use);
        }
    }
}

/// The pages in use of which nothing is known.
struct Rest {
    /// Those that no other one names.
    orphans: Vec<Orphan>,
    /// How many of the smallest pages nothing can be made of.
    unknown: u64,
}

impl Rest {
    fn of(file: &PageFile, tables: Tables, missing: &BTreeSet<&'static str>, in_use: &mut InUse) -> Self {
        let mut rest = Self { orphans: Vec::new(), unknown: 0 };
        let mut named = HashSet::new();
        let mut found = Vec::new();
        // From the front on, so that what lies within a long page is not taken for one.
        for (region, first, smallest) in in_use.rest() {
            if !in_use.has(smallest) {
                continue;
            }
            let page =
                file.page_bytes(smallest).and_then(|bytes| number(region, first, page::length(&bytes)?));
            let read = page.filter(|page| in_use.has(*page)).and_then(|page| {
                let bytes = file.page_bytes(page)?;
                let checksum = page::own_checksum(&bytes)?;
                Some((Pointer { page, checksum }, page::read(&bytes)?, bytes))
            });
            let may_be = match &read {
                Some((_, Node::Leaf(rows), bytes)) if lists_tables(rows, bytes, tables) => {
                    // A page of the list that the page which is damaged named.
                    in_use.known(smallest);
                    continue;
                }
                Some((_, Node::Leaf(rows), bytes)) => {
                    let are_rows_of = |name: &&str| {
                        let mut rows = rows.iter();
                        rows.all(|(key, row)| (tables.is_row)(name, &bytes[key.clone()], &bytes[row.clone()]))
                    };
                    missing.iter().copied().filter(are_rows_of).collect::<BTreeSet<_>>()
                }
                Some((_, Node::Branch(children, _), _)) => {
                    let is_one = children.iter().any(|child| matches!(file.node(*child), Some((_, _, true))));
                    if is_one {
                        named.extend(children.iter().filter_map(|child| place(child.page)).map(|(at, _)| at));
                    }
                    if is_one { missing.clone() } else { BTreeSet::new() }
                }
                None => BTreeSet::new(),
            };
            match read {
                Some((at, ..)) if !may_be.is_empty() => {
                    in_use.known(at.page);
                    found.push(Orphan { at, may_be });
                }
                _ => rest.unknown += 1,
            }
        }
        let is_named = |orphan: &Orphan| place(orphan.at.page).is_some_and(|(at, _)| named.contains(&at));
        rest.orphans = found.into_iter().filter(|orphan| !is_named(orphan)).collect();
        rest
    }

    /// Those that an earlier page of the list names.
    fn by_earlier_lists(
        &mut self,
        file: &PageFile,
        tables: Tables,
        missing: &mut BTreeSet<&'static str>,
    ) -> Vec<(&'static str, TableAt)> {
        let mut listed: HashMap<(u64, u128), BTreeMap<&'static str, TableAt>> = HashMap::new();
        file.each_page(|_, bytes| {
            let Some(Node::Leaf(rows)) = page::read(bytes) else { return };
            if !lists_tables(&rows, bytes, tables) {
                return;
            }
            for (key, row) in rows {
                let name = missing.iter().find(|name| name.as_bytes() == &bytes[key.clone()]);
                if let (Some(name), Some(at)) = (name, TableAt::read(&bytes[row]))
                    && let Some(root) = at.root()
                    && let Some((offset, _)) = place(root.page)
                {
                    listed.entry((offset, root.checksum)).or_default().insert(name, at);
                }
            }
        });
        let mut found = Vec::new();
        for orphan in &self.orphans {
            let named = place(orphan.at.page).and_then(|(at, _)| listed.get(&(at, orphan.at.checksum)));
            let named = named.into_iter().flatten().filter(|(name, at)| are_rows(file, at, name, tables));
            found.extend(only(named).map(|(name, at)| (*name, orphan.at, *at)));
        }
        self.take(found, missing)
    }

    /// Those whose rows are of one table alone.
    fn by_rows(
        &mut self,
        file: &PageFile,
        tables: Tables,
        missing: &mut BTreeSet<&'static str>,
    ) -> Vec<(&'static str, TableAt)> {
        for orphan in &mut self.orphans {
            let at = TableAt::unproven(orphan.at, 0);
            orphan.may_be.retain(|name| missing.contains(name) && are_rows(file, &at, name, tables));
        }
        let mut found = Vec::new();
        for orphan in &self.orphans {
            if let Some(name) = only(orphan.may_be.iter()) {
                let walked = file.walk::<()>(&TableAt::unproven(orphan.at, 0), &mut |_, _| Ok(()));
                let rows = walked.unwrap_or_default().rows;
                found.push((*name, orphan.at, TableAt::unproven(orphan.at, rows)));
            }
        }
        self.take(found, missing)
    }

    /// What was found is known now. A table has one first page: where two may be it, none is taken.
    fn take(
        &mut self,
        mut found: Vec<(&'static str, Pointer, TableAt)>,
        missing: &mut BTreeSet<&'static str>,
    ) -> Vec<(&'static str, TableAt)> {
        let all: Vec<_> = found.iter().map(|(name, ..)| *name).collect();
        found.retain(|(name, ..)| all.iter().filter(|other| *other == name).count() == 1);
        for (name, at, _) in &found {
            missing.remove(name);
            self.orphans.retain(|orphan| orphan.at != *at);
            self.orphans.iter_mut().for_each(|orphan| {
                orphan.may_be.remove(name);
            });
        }
        found.into_iter().map(|(name, _, at)| (name, at)).collect()
    }
}

/// What there is one of; `None` = there is none, or more.
fn only<T>(mut of: impl Iterator<Item = T>) -> Option<T> {
    let first = of.next();
    if of.next().is_some() { None } else { first }
}

/// Whether a leaf is one of the list of tables.
fn lists_tables(rows: &[(Range<usize>, Range<usize>)], bytes: &[u8], tables: Tables) -> bool {
    rows.iter().all(|(key, row)| {
        std::str::from_utf8(&bytes[key.clone()]).is_ok_and(|name| tables.names.contains(&name))
            && TableAt::read(&bytes[row.clone()]).is_some()
    })
}

/// Whether all that can be read of it are rows of this table.
fn are_rows(file: &PageFile, at: &TableAt, name: &str, tables: Tables) -> bool {
    let walked =
        file.walk(at, &mut |key, row| if (tables.is_row)(name, key, row) { Ok(()) } else { Err(()) });
    walked.is_ok_and(|walked| walked.rows > 0)
}
