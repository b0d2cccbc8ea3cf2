//! One page: what it holds, and whether it is what was written.

use std::ops::Range;
use twox_hash::XxHash3_128;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// A page's number, and the checksum of what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) page: u64,
    pub(super) checksum: u128,
}

impl Pointer {
    /// As it stands in a commit's slot and in a table's definition.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (page, rest) = bytes.split_first_chunk::<8>()?;
        let checksum = rest.first_chunk::<16>()?;
        Some(Self { page: u64::from_le_bytes(*page), checksum: u128::from_le_bytes(*checksum) })
    }
}

/// How long keys and rows are, where each is as long as the others; `None` = any length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
    pub(super) row: Option<usize>,
}

impl Widths {
    /// As this program's tables have them.
    pub(super) const ANY: Self = Self { key: None, row: None };

    /// As they stand in a table's definition.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let width = |at: usize| match *bytes.get(at)? {
            0 => Some(None),
            _ => long(bytes, at + 1).map(Some),
        };
        Some(Self { key: width(0)?, row: width(5)? })
    }

    /// Where the ends of `count` rows stand in a leaf, and where its first key begins.
    fn ends(self, count: usize) -> (usize, usize) {
        let ends = 4 + if self.key.is_none() { 4 * count } else { 0 };
        (ends, ends + if self.row.is_none() { 4 * count } else { 0 })
    }
}

/// What a page holds, by where it stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Keys and rows, ascending.
    Leaf(Vec<(Range<usize>, Range<usize>)>),
    /// The pages below, and the keys between them: no key of a page is above the one behind it.
    Branch(Vec<Pointer>, Vec<Range<usize>>),
}

pub(super) fn checksum(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

pub(super) fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 2)?;
    Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

pub(super) fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

/// How many bytes of a page say something: its checksum is of these.
fn said_bytes(bytes: &[u8], widths: Widths) -> Option<usize> {
    let count = short(bytes, 2)?;
    let last = count.checked_sub(1)?;
    match *bytes.first()? {
        LEAF => {
            let (ends, first) = widths.ends(count);
            let Some(row) = widths.row else { return long(bytes, ends + 4 * last) };
            let rows = match widths.key {
                Some(key) => first.saturating_add(key.saturating_mul(count)),
                None => long(bytes, 4 + 4 * last)?,
            };
            Some(rows.saturating_add(row.saturating_mul(count)))
        }
        BRANCH => {
            let keys = 8 + 24 * (count + 1);
            match widths.key {
                Some(key) => Some(keys.saturating_add(key.saturating_mul(count))),
                None => long(bytes, keys + 4 * last),
            }
        }
        _ => None,
    }
}

/// How long a page of this program's tables is that begins like this, as far as its beginning tells.
pub(super) fn length(beginning: &[u8]) -> Option<usize> {
    said_bytes(beginning, Widths::ANY)
}

/// The checksum of what a page says now.
pub(super) fn own_checksum(bytes: &[u8]) -> Option<u128> {
    own_checksum_as(bytes, Widths::ANY)
}

fn own_checksum_as(bytes: &[u8], widths: Widths) -> Option<u128> {
    bytes.get(..said_bytes(bytes, widths)?).map(checksum)
}

/// Whether a page is what was written.
pub(super) fn fits(bytes: &[u8], written: u128) -> bool {
    fits_as(bytes, written, Widths::ANY)
}

/// The same of a table whose keys or rows are of one length.
pub(super) fn fits_as(bytes: &[u8], written: u128, widths: Widths) -> bool {
    own_checksum_as(bytes, widths) == Some(written)
}

/// Turns a bit over.
pub(super) fn turn_over(bytes: &mut [u8], bit: usize) {
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}

/// The one bit that makes it whole when it is turned over; `None` = there is none.
pub(super) fn mending_bit(bytes: &mut [u8], is_whole: impl Fn(&[u8]) -> bool) -> Option<usize> {
    (0..8 * bytes.len()).find(|bit| {
        turn_over(bytes, *bit);
        let found = is_whole(bytes);
        turn_over(bytes, *bit);
        found
    })
}

/// Reads a page, whether or not it is what was written; `None` = nothing of it can be made out.
pub(super) fn read(bytes: &[u8]) -> Option<Node> {
    read_as(bytes, Widths::ANY)
}

/// The same of a table whose keys or rows are of one length.
pub(super) fn read_as(bytes: &[u8], widths: Widths) -> Option<Node> {
    let count = short(bytes, 2)?;
    match *bytes.first()? {
        LEAF => {
            let (ends, first) = widths.ends(count);
            let keys = ranges(bytes, (widths.key, 4), count, first)?;
            let rows = ranges(bytes, (widths.row, ends), count, keys.last()?.end)?;
            Some(Node::Leaf(keys.into_iter().zip(rows).collect()))
        }
        BRANCH => {
            let children = (0..=count).map(|child| {
                let checksum = bytes.get(8 + 16 * child..)?.first_chunk::<16>()?;
                let page = bytes.get(8 + 16 * (count + 1) + 8 * child..)?.first_chunk::<8>()?;
                Some(Pointer { page: u64::from_le_bytes(*page), checksum: u128::from_le_bytes(*checksum) })
            });
            let ends = 8 + 24 * (count + 1);
            let first = ends + if widths.key.is_none() { 4 * count } else { 0 };
            let keys = ranges(bytes, (widths.key, ends), count, first).unwrap_or_default();
            Some(Node::Branch(children.collect::<Option<_>>()?, keys))
        }
        _ => None,
    }
}

/// So many pieces, one behind the other from `first` on: each as long as is said, or their ends stand at `ends`.
fn ranges(
    bytes: &[u8],
    (width, ends): (Option<usize>, usize),
    count: usize,
    first: usize,
) -> Option<Vec<Range<usize>>> {
    let mut begin = first;
    let mut ranges = Vec::with_capacity(count.min(bytes.len()));
    for piece in 0..count {
        let end = match width {
            Some(width) => begin.checked_add(width)?,
            None => long(bytes, ends + 4 * piece)?,
        };
        if end < begin || end > bytes.len() {
            return None;
        }
        ranges.push(begin..end);
        begin = end;
    }
    Some(ranges)
}
