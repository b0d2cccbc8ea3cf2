//! Which pages a commit has in use, as redb writes it down.
//!
//! Beside the tree of tables a commit has one of redb's own tables. In a commit that can be opened at once after a crash, as
//! each of this program's is, they say which pages are free, and which the commit itself has freed. What they do not name
//! is in use: nothing of an earlier commit that was replaced or removed since is among it.

use super::head::{Commit, PLACE_BITS, number, smallest};
use super::page::{Node, Pointer, Widths, long, short};
use super::tree::{MOST_DEPTH, PageFile, TableAt};
use std::ops::Range;

/// Which pages are free, by region.
const ALLOCATOR: &[u8] = b"allocator_state";
/// Its keys begin with these: a region; the number of the commit.
const REGION: u8 = 3;
const COMMIT: u8 = 5;
/// Pages that a commit has freed, which the list above still has in use.
const FREED: [&[u8]; 2] = [b"data_pages_unreachable", b"system_pages_unreachable"];
/// No region has larger pages, as a power of two of the smallest.
const MOST_ORDER: usize = 20;

/// The smallest pages of each region: whether it is in use, and nothing is known of it yet.
pub(super) struct InUse(Vec<Vec<bool>>);

impl InUse {
    /// `None` = it can't be told, as where any page of redb's own tables is not what was written.
    pub(super) fn read(file: &PageFile, commit: &Commit) -> Option<Self> {
        let mut own = Own { file, pages: Vec::new() };
        let mut tables = Vec::new();
        own.walk(commit.own?, Widths::ANY, 0, &mut |name, row| {
            tables.push((name.to_vec(), TableAt::any(row)?));
            Some(())
        })?;
        let mut in_use = Self(Vec::new());
        let mut freed = Vec::new();
        let mut is_of_this_commit = false;
        for (name, (root, widths)) in tables {
            let Some(root) = root else { continue };
            own.walk(root, widths, 0, &mut |key, row| {
                if name == ALLOCATOR {
                    match *key.first()? {
                        REGION => in_use.take_region(long(key, 1)?, regions_pages(row)?)?,
                        COMMIT => is_of_this_commit = row == commit.number.to_le_bytes(),
                        _ => {}
                    }
                } else if FREED.contains(&name.as_slice()) {
                    let pages = row.get(2..)?.chunks_exact(8).take(short(row, 0)?);
                    freed
                        .extend(pages.filter_map(|page| page.first_chunk().copied().map(u64::from_le_bytes)));
                }
                Some(())
            })?;
        }
        let pages = own.pages;
        freed.into_iter().chain(pages).for_each(|page| in_use.known(page));
        is_of_this_commit.then_some(in_use)
    }

    fn take_region(&mut self, region: usize, pages: Vec<bool>) -> Option<()> {
        // They come in order.
        (region == self.0.len()).then(|| self.0.push(pages))
    }

    fn range(&self, page: u64) -> Option<(usize, Range<usize>)> {
        let (region, first, pages) = smallest(page)?;
        let range = first..first + pages;
        self.0.get(region)?.get(range.clone())?;
        Some((region, range))
    }

    /// Whether all of a page is in use and nothing is known of it yet.
    pub(super) fn has(&self, page: u64) -> bool {
        self.range(page)
            .is_some_and(|(region, range)| self.0[region][range].iter().all(|is_in_use| *is_in_use))
    }

    /// It is known what a page holds.
    pub(super) fn known(&mut self, page: u64) {
        if let Some((region, range)) = self.range(page) {
            self.0[region][range].fill(false);
        }
    }

    /// The smallest pages of which nothing is known yet, as they lie in the file: its region, its place there, its number.
    pub(super) fn rest(&self) -> Vec<(usize, usize, u64)> {
        let mut rest = Vec::new();
        for (region, pages) in self.0.iter().enumerate() {
            for (first, _) in pages.iter().enumerate().filter(|(_, is_in_use)| **is_in_use) {
                rest.extend(number(region, first, 1).map(|page| (region, first, page)));
            }
        }
        rest
    }
}

/// What is made of a key and its row; `None` = they are not what they should be.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Option<()> + 'a;

/// redb's own tables, of which every page has to be what was written.
struct Own<'a> {
    file: &'a PageFile,
    /// Those that they lie in.
    pages: Vec<u64>,
}

impl Own<'_> {
    fn walk(&mut self, at: Pointer, widths: Widths, depth: u32, visit: &mut Visit<'_>) -> Option<()> {
        let (node, bytes) = if depth < MOST_DEPTH { self.file.written(at, widths)? } else { return None };
        self.pages.push(at.page);
        match node {
            Node::Leaf(rows) => rows.into_iter().try_for_each(|(key, row)| visit(&bytes[key], &bytes[row])),
            Node::Branch(children, _) => {
                children.into_iter().try_for_each(|child| self.walk(child, widths, depth + 1, visit))
            }
        }
    }
}

/// Which of the smallest pages of a region are in use: what is free is listed by its size.
fn regions_pages(state: &[u8]) -> Option<Vec<bool>> {
    let most_order = usize::from(*state.first()?);
    let pages = long(state, 4)?;
    if most_order > MOST_ORDER || pages > 1 << PLACE_BITS {
        return None;
    }
    let mut in_use = vec![true; pages];
    let mut begin = 8 + 4 * (most_order + 1);
    for order in 0..=most_order {
        let end = long(state, 8 + 4 * order)?;
        let (count, bits) = lowest_level(state.get(begin..end)?)?;
        for page in 0..count.min(pages >> order) {
            if bits.get(page / 8)? & (1 << (page % 8)) == 0 {
                in_use[page << order..(page + 1) << order].fill(false);
            }
        }
        begin = end;
    }
    Some(in_use)
}

/// A set of bits lies in levels, of which the last one has them all: how many there are, and the bytes that hold them.
fn lowest_level(levels: &[u8]) -> Option<(usize, &[u8])> {
    let count = long(levels, 0)?;
    let end = |level: usize| long(levels, 4 + 4 * level);
    let last = count.checked_sub(1)?;
    let begin = if last == 0 { 4 + 4 * count } else { end(last - 1)? };
    let level = levels.get(begin..end(last)?)?;
    Some((long(level, 0)?, level.get(4..)?))
}
