//! The trees of a data file: which tables there are, and their rows.

use super::carve;
use super::head::{self, Commit, HEAD_BYTES, PAGE_BYTES};
use super::page::{self, Node, Pointer, Widths, fits, fits_as, mending_bit, turn_over};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Deeper is no tree of redb's: a branch page holds dozens of others.
pub(super) const MOST_DEPTH: u32 = 24;
/// So many gaps of a table are told; what is beyond is only counted.
const MOST_GAPS: usize = 1_000;
/// So many bits are looked for, which takes some milliseconds for each page.
const MOST_MENDED: usize = 2_000;
/// A page that is larger is not looked through for a bit.
const MENDED_BYTES: usize = 64 << 10;
/// So many roots of earlier commits are looked at, when none of the head leads to all tables.
const MOST_ROOTS: usize = 64;

/// Whatever is done with a row: its key, and what stands there.
type Visit<'a, E> = dyn FnMut(&[u8], &[u8]) -> Result<(), E> + 'a;

/// Which tables are looked for.
#[derive(Clone, Copy)]
pub(crate) struct Tables {
    /// All names.
    pub(crate) names: &'static [&'static str],
    /// Whether the table is made anew from the others.
    pub(crate) is_index: fn(&str) -> bool,
    /// Whether a key and what stands there can be a row of the table.
    pub(crate) is_row: fn(&str, &[u8], &[u8]) -> bool,
}

/// A data file that is only read.
pub(crate) struct PageFile {
    file: File,
    bytes: u64,
    /// The last ones, the newest first.
    commits: Vec<Commit>,
    /// Pages that are not what was written, and the bit that makes them so; `None` = no bit does.
    damaged: RefCell<HashMap<(u64, u128), Option<usize>>>,
}

/// Where a table begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableAt {
    root: Option<Pointer>,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// Whether its first page is known to be what was written: somebody else says its checksum.
    is_sure: bool,
}

/// A stretch of a table that can't be read: what lies between two rows that can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The key before; `None` = the table begins with it.
    pub(crate) after: Option<Vec<u8>>,
    /// The key behind; `None` = the table ends with it.
    pub(crate) before: Option<Vec<u8>>,
}

/// What a walk of a table has met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Rows that were read.
    pub(crate) rows: u64,
    /// Those of them that were found below a page that is not what was written, or of which that can't be told.
    pub(crate) unsure: u64,
    /// How many stretches can't be read.
    pub(crate) lost: u64,
    /// The first of them.
    pub(crate) gaps: Vec<Gap>,
}

impl Walked {
    /// Whether all was read that was written.
    fn is_whole(&self, at: &TableAt) -> bool {
        self.lost == 0 && self.unsure == 0 && self.rows == at.rows
    }
}

/// The tables of a commit, and how much of each can be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    pub(crate) tables: BTreeMap<String, (TableAt, Walked)>,
    /// The list of tables itself has gaps.
    pub(crate) list_is_torn: bool,
    /// It is an earlier commit than the last one, or may be: all of that, or only these tables.
    pub(crate) is_earlier: bool,
    pub(crate) earlier_tables: Vec<String>,
    /// These tables were found without the list, by their pages.
    pub(crate) carved_tables: Vec<String>,
}

impl Survey {
    /// Whether everything can be read.
    pub(crate) fn is_whole(&self) -> bool {
        !self.list_is_torn && self.tables.values().all(|(at, walked)| walked.is_whole(at))
    }

    /// How many rows can be read.
    pub(crate) fn rows(&self) -> u64 {
        self.tables.values().map(|(_, walked)| walked.rows).sum()
    }
}

impl PageFile {
    /// Opens a file to be read. What can't be read of it, such as bad sectors, counts as damaged.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut first = [0; HEAD_BYTES];
        read_at(&file, bytes, 0, &mut first);
        Ok(Self { file, bytes, commits: head::commits(&first), damaged: RefCell::default() })
    }

    /// How many pages one bit has put right.
    pub(crate) fn mended(&self) -> u64 {
        self.damaged.borrow().values().flatten().count() as u64
    }

    /// Looks through all tables, and says where what can be read of each is best read.
    pub(crate) fn survey(&self, tables: Tables) -> Survey {
        let mut commits = Vec::new();
        for commit in &self.commits {
            let mut survey = self.survey_of(commit.root);
            survey.is_earlier |= commit.may_be_earlier;
            if survey.list_is_torn {
                carve::complete(self, commit, tables, &mut survey);
            }
            if survey.is_whole() && !survey.tables.is_empty() {
                return survey;
            }
            commits.push(survey);
        }
        if commits.iter().all(|survey| survey.list_is_torn) {
            let found = self.roots_in_pages(&|name| tables.names.contains(&name));
            let is_known = |root: &Pointer| self.commits.iter().any(|commit| commit.root == *root);
            let earlier = found.into_iter().filter(|root| !is_known(root)).take(MOST_ROOTS);
            let earlier = earlier.map(|root| Survey { is_earlier: true, ..self.survey_of(root) });
            let mut earlier: Vec<_> = earlier.collect();
            earlier.sort_by_key(|survey| (!survey.is_whole(), std::cmp::Reverse(survey.rows())));
            commits.extend(earlier);
        }
        merged(commits)
    }

    fn survey_of(&self, root: Pointer) -> Survey {
        let mut survey = Survey::default();
        let mut tables = Vec::new();
        let list = TableAt { root: Some(root), rows: 0, is_sure: true };
        let walked = self.walk::<()>(&list, &mut |key, row| {
            match std::str::from_utf8(key).ok().zip(TableAt::read(row)) {
                Some((name, at)) => tables.push((name.to_owned(), at)),
                None => survey.list_is_torn = true,
            }
            Ok(())
        });
        let walked = walked.unwrap_or_default();
        survey.list_is_torn |= walked.lost > 0 || walked.rows == 0;
        // Below a page that is not what was written the list may be that of an earlier commit, in which all is whole.
        survey.is_earlier = walked.unsure > 0;
        for (name, at) in tables {
            let walked = self.walk::<()>(&at, &mut |_, _| Ok(())).unwrap_or_default();
            survey.tables.insert(name, (at, walked));
        }
        survey
    }

    /// The smallest pages of the file, one after the other, by their numbers.
    pub(super) fn each_page(&self, mut visit: impl FnMut(u64, &[u8])) {
        let mut bytes = vec![0; PAGE_BYTES as usize];
        for offset in (PAGE_BYTES..self.bytes).step_by(PAGE_BYTES as usize) {
            read_at(&self.file, self.bytes, offset, &mut bytes);
            if let Some(page) = head::page_at(offset) {
                visit(page, &bytes);
            }
        }
    }

    /// Roots of the tree of tables that no slot of the head names any more, or not yet.
    fn roots_in_pages(&self, is_table: &impl Fn(&str) -> bool) -> Vec<Pointer> {
        let mut roots = Vec::new();
        self.each_page(|page, bytes| {
            let Some(Node::Branch(children, _)) = page::read(bytes) else { return };
            let lists_tables = |pointer: &Pointer| match self.node(*pointer) {
                Some((Node::Leaf(rows), leaf, true)) => rows.iter().all(|(key, row)| {
                    std::str::from_utf8(&leaf[key.clone()]).is_ok_and(is_table)
                        && TableAt::read(&leaf[row.clone()]).is_some()
                }),
                _ => false,
            };
            if children.iter().all(lists_tables) {
                roots.push(Pointer { page, checksum: page::own_checksum(bytes).unwrap_or_default() });
            }
        });
        roots
    }

    /// Walks a table; each row that is met is believed.
    pub(crate) fn walk<E>(&self, table: &TableAt, visit: &mut Visit<'_, E>) -> Result<Walked, E> {
        let mut walk = Walk { file: self, visit, walked: Walked::default(), last: None, gap: None };
        if let Some(root) = table.root {
            walk.page(root, None, table.is_sure, 0)?;
        }
        if let Some(gap) = walk.gap.take() {
            walk.walked.tell(gap);
        }
        Ok(walk.walked)
    }

    /// Puts a page right that one bit makes what was written; `false` = none does, or that would take long.
    fn mend(&self, bytes: &mut [u8], at: Pointer) -> bool {
        let mut damaged = self.damaged.borrow_mut();
        let known = damaged.get(&(at.page, at.checksum)).copied();
        let bit = match known {
            Some(bit) => bit,
            None if bytes.len() > MENDED_BYTES || damaged.len() >= MOST_MENDED => None,
            None => mending_bit(bytes, |bytes| fits(bytes, at.checksum)),
        };
        if damaged.len() < MOST_MENDED {
            damaged.insert((at.page, at.checksum), bit);
        }
        if let Some(bit) = bit {
            turn_over(bytes, bit);
        }
        bit.is_some()
    }

    /// The bytes of a page; `None` = it is behind the end.
    pub(super) fn page_bytes(&self, page: u64) -> Option<Vec<u8>> {
        let (offset, len) = head::place(page)?;
        if offset >= self.bytes {
            return None;
        }
        let mut bytes = vec![0; len];
        read_at(&self.file, self.bytes, offset, &mut bytes);
        Some(bytes)
    }

    /// A page that is what was written, and its bytes.
    pub(super) fn written(&self, at: Pointer, widths: Widths) -> Option<(Node, Vec<u8>)> {
        let bytes = self.page_bytes(at.page).filter(|bytes| fits_as(bytes, at.checksum, widths))?;
        Some((page::read_as(&bytes, widths)?, bytes))
    }

    /// A page: what it holds, its bytes, and whether it is what was written. `None` = nothing can be made out.
    pub(super) fn node(&self, at: Pointer) -> Option<(Node, Vec<u8>, bool)> {
        let mut bytes = self.page_bytes(at.page)?;
        let is_written = fits(&bytes, at.checksum) || self.mend(&mut bytes, at);
        Some((page::read(&bytes)?, bytes, is_written))
    }
}

/// The best of each commit: the first, where it has all; else what of the others is whole, table by table.
fn merged(commits: Vec<Survey>) -> Survey {
    let mut commits = commits.into_iter();
    let Some(mut best) = commits.next() else { return Survey { list_is_torn: true, ..Survey::default() } };
    for other in commits {
        if best.tables.is_empty() {
            best = other;
            continue;
        }
        for (name, (at, walked)) in other.tables {
            let is_better = match best.tables.get(&name) {
                None => true,
                // What the last commit has in use is no older than anything else, whatever else is not known of it.
                Some((at, walked)) if walked.is_whole(at) || !at.is_sure => false,
                Some(_) => walked.is_whole(&at),
            };
            if is_better {
                best.earlier_tables.push(name.clone());
                best.tables.insert(name, (at, walked));
            }
        }
    }
    best
}

/// Reads what there is; what is behind the end, or can't be read, is zeros.
fn read_at(file: &File, bytes: u64, offset: u64, out: &mut [u8]) {
    out.fill(0);
    let shown = bytes.saturating_sub(offset).min(out.len() as u64) as usize;
    for (nth, piece) in out[..shown].chunks_mut(PAGE_BYTES as usize).enumerate() {
        if file.read_exact_at(piece, offset + nth as u64 * PAGE_BYTES).is_err() {
            piece.fill(0);
        }
    }
}

impl TableAt {
    /// One without rows.
    pub(super) const EMPTY: Self = Self { root: None, rows: 0, is_sure: true };

    /// One whose first page is the only witness of itself.
    pub(super) const fn unproven(root: Pointer, rows: u64) -> Self {
        Self { root: Some(root), rows, is_sure: false }
    }

    pub(super) const fn root(&self) -> Option<Pointer> {
        self.root
    }

    /// A table's definition, as redb writes it.
    pub(super) fn read(row: &[u8]) -> Option<Self> {
        let rows = u64::from_le_bytes(*row.get(1..)?.first_chunk::<8>()?);
        let (root, widths) = Self::any(row)?;
        (widths == Widths::ANY).then_some(Self { root, rows, is_sure: true })
    }

    /// The same of any table, also of redb's own: where it begins, and how long its keys and rows are.
    pub(super) fn any(row: &[u8]) -> Option<(Option<Pointer>, Widths)> {
        let has_root = *row.get(9)? != 0;
        let root = Pointer::read(row.get(10..)?)?;
        Some((has_root.then_some(root), Widths::read(row.get(42..)?)?))
    }
}

impl Walked {
    fn tell(&mut self, gap: Gap) {
        self.lost += 1;
        if self.gaps.len() < MOST_GAPS {
            self.gaps.push(gap);
        }
    }
}

struct Walk<'a, 'v, E> {
    file: &'a PageFile,
    visit: &'a mut Visit<'v, E>,
    walked: Walked,
    /// The key of the last row.
    last: Option<Vec<u8>>,
    /// Something is missing behind it.
    gap: Option<Gap>,
}

impl<E> Walk<'_, '_, E> {
    /// `most` is the highest key that may stand below; `is_sure`: all pages above are what was written.
    fn page(&mut self, at: Pointer, most: Option<&[u8]>, is_sure: bool, depth: u32) -> Result<(), E> {
        let found = if depth < MOST_DEPTH { self.file.node(at) } else { None };
        match found {
            Some((Node::Leaf(rows), bytes, true)) => {
                for (key, row) in rows {
                    self.row(&bytes[key], &bytes[row], most, is_sure)?;
                }
            }
            Some((Node::Branch(children, keys), bytes, true)) => {
                for (nth, child) in children.into_iter().enumerate() {
                    let most = keys.get(nth).map(|key| &bytes[key.clone()]).or(most);
                    self.page(child, most, is_sure, depth + 1)?;
                }
            }
            // What it names may be whole: each page is asked for itself.
            Some((Node::Branch(children, _), _, false)) => {
                for child in children {
                    match self.file.node(child) {
                        Some((_, _, true)) => self.page(child, most, false, depth + 1)?,
                        _ => self.miss(),
                    }
                }
            }
            _ => self.miss(),
        }
        Ok(())
    }

    fn miss(&mut self) {
        if self.gap.is_none() {
            self.gap = Some(Gap { after: self.last.clone(), before: None });
        }
    }

    fn row(&mut self, key: &[u8], row: &[u8], most: Option<&[u8]>, is_sure: bool) -> Result<(), E> {
        let is_in_order = self.last.as_deref().is_none_or(|last| last < key);
        if !is_in_order || most.is_some_and(|most| key > most) {
            // A page of an earlier state, below one that is damaged.
            self.miss();
            return Ok(());
        }
        if let Some(gap) = self.gap.take() {
            self.walked.tell(Gap { before: Some(key.to_vec()), ..gap });
        }
        self.walked.rows += 1;
        self.walked.unsure += u64::from(!is_sure);
        self.last = Some(key.to_vec());
        (self.visit)(key, row)
    }
}
