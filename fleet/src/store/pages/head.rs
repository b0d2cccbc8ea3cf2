//! The head of a data file: how its pages lie in it, and the roots of the last two commits.

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
const PLACE_BITS: u32 = 20;

/// Where a page lies, and how long it is; `None` = no page has this number.
pub(super) fn place(page: u64) -> Option<(u64, usize)> {
    let order = (page >> 59) as u32;
    if order > MOST_ORDER {
        return None;
    }
    let index = page & ((1 << (PLACE_BITS - order)) - 1);
    let region = (page >> PLACE_BITS) & ((1 << PLACE_BITS) - 1);
    let bytes = PAGE_BYTES << order;
    Some((PAGE_BYTES + region * REGION_BYTES + index * bytes, bytes as usize))
}

/// The number of the smallest page at an offset; `None` = it is the head's.
pub(super) fn page_at(offset: u64) -> Option<u64> {
    let behind = offset.checked_sub(PAGE_BYTES)?;
    Some(((behind / REGION_BYTES) << PLACE_BITS) | (behind % REGION_BYTES / PAGE_BYTES))
}

/// The roots of the tree of tables, of the newest commit first, as far as they can be read: pure.
pub(super) fn roots(bytes: &[u8; HEAD_BYTES]) -> Vec<Pointer> {
    let newest = usize::from(bytes[FLAGS] & PRIMARY_BIT);
    [newest, 1 - newest]
        .into_iter()
        .filter_map(|slot| root_of(&bytes[SLOTS[slot]..SLOTS[slot] + SLOT_BYTES]))
        .collect()
}

/// The root that a slot names; one bit of it may be another one.
fn root_of(slot: &[u8]) -> Option<Pointer> {
    let fits = |slot: &[u8]| {
        let (said, written) = slot.split_at(SLOT_BYTES - 16);
        written.first_chunk().copied().map(u128::from_le_bytes) == Some(checksum(said))
    };
    let mut slot = slot.to_vec();
    if !fits(&slot) {
        let bit = mending_bit(&mut slot, fits)?;
        turn_over(&mut slot, bit);
    }
    let has_root = slot[1] != 0;
    Pointer::read(&slot[8..]).filter(|_| has_root)
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
    }
}
