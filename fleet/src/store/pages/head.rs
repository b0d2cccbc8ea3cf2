//! The head of a data file: how its pages lie in it, and the last two commits.

use super::page::{Pointer, checksum, mending_bit, turn_over};

/// Bytes of the smallest page.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Bytes of the head that say something.
pub(super) const HEAD_BYTES: usize = 320;
const SLOT_BYTES: usize = 128;
const SLOTS: [usize; 2] = [64, 64 + SLOT_BYTES];
/// Bit of the flags that tells which slot is the newest commit.
const PRIMARY_BIT: u8 = 1;
const FLAGS: usize = 9;
/// Pages lie in regions of this many bytes, as in each file that this program makes.
const REGION_BYTES: u64 = PAGE_BYTES << PLACE_BITS;
/// The largest page that is believed, as a power of two of the smallest: 64 MiB. No row is that long.
const MOST_ORDER: u32 = 14;
/// A page's number has so many bits for its place in a region, and for the region.
pub(super) const PLACE_BITS: u32 = 20;
/// Its highest bits say how long it is, as a power of two of the smallest.
const ORDER_AT: u32 = 59;

/// What a slot of the head says of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// Where the tree of tables begins.
    pub(super) root: Pointer,
    /// Where redb's own tables are listed; `None` = nowhere.
    pub(super) own: Option<Pointer>,
    /// Its number.
    pub(super) number: u64,
}

/// The smallest pages that a page is made of: its region, the first of them in it, and how many. `None` = no page has this
/// number.
pub(super) fn smallest(page: u64) -> Option<(usize, usize, usize)> {
    let order = (page >> ORDER_AT) as u32;
    if order > MOST_ORDER {
        return None;
    }
    let index = page & ((1 << (PLACE_BITS - order)) - 1);
    let region = (page >> PLACE_BITS) & ((1 << PLACE_BITS) - 1);
    Some((region as usize, (index << order) as usize, 1 << order))
}

/// The number of the page of so many bytes that begins with this smallest one; `None` = none does.
pub(super) fn number(region: usize, first: usize, bytes: usize) -> Option<u64> {
    let order = bytes.div_ceil(PAGE_BYTES as usize).next_power_of_two().trailing_zeros();
    let is_begin = order <= MOST_ORDER && first.is_multiple_of(1 << order);
    is_begin
        .then_some((u64::from(order) << ORDER_AT) | ((region as u64) << PLACE_BITS) | (first as u64 >> order))
}

/// Where a page lies, and how long it is; `None` = no page has this number.
pub(super) fn place(page: u64) -> Option<(u64, usize)> {
    let (region, first, pages) = smallest(page)?;
    let offset = PAGE_BYTES + region as u64 * REGION_BYTES + first as u64 * PAGE_BYTES;
    Some((offset, pages * PAGE_BYTES as usize))
}

/// The number of the smallest page at an offset; `None` = it is the head's.
pub(super) fn page_at(offset: u64) -> Option<u64> {
    let behind = offset.checked_sub(PAGE_BYTES)?;
    Some(((behind / REGION_BYTES) << PLACE_BITS) | (behind % REGION_BYTES / PAGE_BYTES))
}

/// The last two commits, the newest first, as far as they can be read: pure.
pub(super) fn commits(bytes: &[u8; HEAD_BYTES]) -> Vec<Commit> {
    let newest = usize::from(bytes[FLAGS] & PRIMARY_BIT);
    [newest, 1 - newest]
        .into_iter()
        .filter_map(|slot| commit_of(&bytes[SLOTS[slot]..SLOTS[slot] + SLOT_BYTES]))
        .collect()
}

/// The commit that a slot names; one bit of it may be another one.
fn commit_of(slot: &[u8]) -> Option<Commit> {
    const ROOT: usize = 8;
    const OWN: usize = 40;
    const NUMBER: usize = 104;
    let fits = |slot: &[u8]| {
        let (said, written) = slot.split_at(SLOT_BYTES - 16);
        written.first_chunk().copied().map(u128::from_le_bytes) == Some(checksum(said))
    };
    let mut slot = slot.to_vec();
    if !fits(&slot) {
        let bit = mending_bit(&mut slot, fits)?;
        turn_over(&mut slot, bit);
    }
    let (has_root, has_own) = (slot[1] != 0, slot[2] != 0);
    Some(Commit {
        root: Pointer::read(&slot[ROOT..]).filter(|_| has_root)?,
        own: Pointer::read(&slot[OWN..]).filter(|_| has_own),
        number: u64::from_le_bytes(*slot[NUMBER..].first_chunk()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lie_one_behind_the_other_and_their_numbers_tell_where() {
        assert_eq!(place(0), Some((4096, 4096)));
        assert_eq!(place(3), Some((4 * 4096, 4096)));
        assert_eq!(place((1 << 59) | 3), Some((4096 + 6 * 4096, 8192)));
        assert_eq!(place(1 << 20), Some((4096 + (4 << 30), 4096)), "the second region");
        assert_eq!(place(31 << 59), None);
        for page in [0, 3, 1 << 20, (5 << 20) | 77] {
            let (offset, _) = place(page).unwrap();
            assert_eq!(page_at(offset), Some(page));
        }
        assert_eq!(page_at(0), None);
        for page in [0, 3, (1 << 20) | 9, (2 << 59) | (3 << 20) | 5] {
            let (region, first, pages) = smallest(page).unwrap();
            assert_eq!(number(region, first, pages * 4096), Some(page));
            assert_eq!(number(region, first, pages * 4096 - 1), Some(page), "it is not full");
        }
        assert_eq!(number(0, 3, 5_000), None, "no page of two begins at an odd one");
    }
}
