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

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 2)?;
    Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

/// How many bytes of a page say something: its checksum is of these.
fn said(bytes: &[u8]) -> Option<&[u8]> {
    let count = short(bytes, 2)?;
    let end = match *bytes.first()? {
        LEAF => long(bytes, 4 + 4 * count + 4 * count.checked_sub(1)?)?,
        BRANCH => long(bytes, 8 + 24 * (count + 1) + 4 * count.checked_sub(1)?)?,
        _ => return None,
    };
    bytes.get(..end)
}

/// The checksum of what a page says now.
pub(super) fn own_checksum(bytes: &[u8]) -> Option<u128> {
    said(bytes).map(checksum)
}

/// Whether a page is what was written.
pub(super) fn fits(bytes: &[u8], written: u128) -> bool {
    own_checksum(bytes) == Some(written)
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
    let count = short(bytes, 2)?;
    match *bytes.first()? {
        LEAF => {
            let first = 4 + 8 * count;
            let keys = ranges(bytes, 4, count, first)?;
            let values = ranges(bytes, 4 + 4 * count, count, keys.last()?.end)?;
            Some(Node::Leaf(keys.into_iter().zip(values).collect()))
        }
        BRANCH => {
            let children = (0..=count).map(|child| {
                let checksum = bytes.get(8 + 16 * child..)?.first_chunk::<16>()?;
                let page = bytes.get(8 + 16 * (count + 1) + 8 * child..)?.first_chunk::<8>()?;
                Some(Pointer { page: u64::from_le_bytes(*page), checksum: u128::from_le_bytes(*checksum) })
            });
            let ends = 8 + 24 * (count + 1);
            let keys = ranges(bytes, ends, count, ends + 4 * count).unwrap_or_default();
            Some(Node::Branch(children.collect::<Option<_>>()?, keys))
        }
        _ => None,
    }
}

/// So many pieces, one behind the other from `first` on, whose ends stand at `ends`.
fn ranges(bytes: &[u8], ends: usize, count: usize, first: usize) -> Option<Vec<Range<usize>>> {
    let mut begin = first;
    let mut ranges = Vec::with_capacity(count.min(bytes.len()));
    for piece in 0..count {
        let end = long(bytes, ends + 4 * piece)?;
        if end < begin || end > bytes.len() {
            return None;
        }
        ranges.push(begin..end);
        begin = end;
    }
    Some(ranges)
}
