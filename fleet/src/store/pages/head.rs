//! The head of a data file: how its pages lie in it, and the last two commits.

use super::page::{Pointer, checksum, mending_bit, turn_over};

/// Bytes of the smallest page.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Bytes of the head that say something.
pub(in crate::store) const HEAD_BYTES: usize = 320;
const SLOT_BYTES: usize = 128;
const SLOTS: [usize; 2] = [64, 64 + SLOT_BYTES];
/// What each file begins with.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
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
    /// There may have been a later one, of which the head does not tell any more.
    pub(super) may_be_earlier: bool,
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
///
/// redb writes a commit into the slot that is not the newest, waits until that is on disk, and only then turns the flag that
/// tells which slot is the newest. So a file can have a commit that is newer than the one that the flag names: it was ended in
/// between, or the flag was altered. Either way that commit is as good as the other one, where all of it can be read; nothing
/// that was acknowledged is lost by it. What the flag names is the last one that can have been acknowledged otherwise.
pub(super) fn commits(bytes: &[u8; HEAD_BYTES]) -> Vec<Commit> {
    let named = usize::from(bytes[FLAGS] & PRIMARY_BIT);
    let is_believed = bytes.starts_with(MAGIC);
    let slots = [named, 1 - named].map(|slot| HeadSlot::read(&bytes[SLOTS[slot]..SLOTS[slot] + SLOT_BYTES]));
    let [first, second] = &slots;
    let highest = first.as_ref().zip(second.as_ref()).map(|(first, second)| first.number.max(second.number));
    let mut commits: Vec<Commit> = Vec::new();
    for (nth, slot) in slots.iter().enumerate() {
        let Some((slot, root)) = slot.as_ref().and_then(|slot| Some((slot, slot.root?))) else { continue };
        let is_last = (nth == 0 && is_believed) || highest == Some(slot.number);
        commits.push(Commit { root, own: slot.own, number: slot.number, may_be_earlier: !is_last });
    }
    // Of two with one number the one that is named stays the first.
    commits.sort_by_key(|commit| std::cmp::Reverse(commit.number));
    commits
}

/// Whether the commit that the flag does not name is the newer one. Both can be read as they stand, as redb reads them.
pub(in crate::store) fn other_is_newer(bytes: &[u8; HEAD_BYTES]) -> bool {
    let named = usize::from(bytes[FLAGS] & PRIMARY_BIT);
    let number = |slot: usize| {
        let slot = &bytes[SLOTS[slot]..SLOTS[slot] + SLOT_BYTES];
        HeadSlot::fits(slot).then(|| HeadSlot::read(slot)).flatten().map(|slot| slot.number)
    };
    bytes.starts_with(MAGIC)
        && number(named).zip(number(1 - named)).is_some_and(|(named, other)| other > named)
}

/// Has the flag name the other slot.
pub(in crate::store) fn name_the_other(bytes: &mut [u8; HEAD_BYTES]) {
    bytes[FLAGS] ^= PRIMARY_BIT;
}

/// What a slot says.
#[derive(Clone, Copy)]
struct HeadSlot {
    /// Where the tree of tables begins; `None` = nothing was committed yet.
    root: Option<Pointer>,
    own: Option<Pointer>,
    number: u64,
}

impl HeadSlot {
    /// Reads a slot; one bit of it may be another one. `None` = it is not what was written.
    fn read(slot: &[u8]) -> Option<Self> {
        const ROOT: usize = 8;
        const OWN: usize = 40;
        const NUMBER: usize = 104;
        let mut slot = slot.to_vec();
        if !Self::fits(&slot) {
            let bit = mending_bit(&mut slot, Self::fits)?;
            turn_over(&mut slot, bit);
        }
        let (has_root, has_own) = (slot[1] != 0, slot[2] != 0);
        Some(Self {
            root: Pointer::read(&slot[ROOT..]).filter(|_| has_root),
            own: Pointer::read(&slot[OWN..]).filter(|_| has_own),
            number: u64::from_le_bytes(*slot[NUMBER..].first_chunk()?),
        })
    }

    fn fits(slot: &[u8]) -> bool {
        let (said, written) = slot.split_at(SLOT_BYTES - 16);
        written.first_chunk().copied().map(u128::from_le_bytes) == Some(checksum(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with these commits in its slots; `None` = the slot is not what was written.
    fn head(flags: u8, slots: [Option<u64>; 2]) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[FLAGS] = flags;
        for (begin, number) in SLOTS.into_iter().zip(slots) {
            let slot = &mut bytes[begin..begin + SLOT_BYTES];
            let Some(number) = number else {
                slot.fill(0x5a);
                continue;
            };
            slot[1] = 1;
            slot[104..112].copy_from_slice(&number.to_le_bytes());
            let sum = checksum(&slot[..SLOT_BYTES - 16]);
            slot[SLOT_BYTES - 16..].copy_from_slice(&sum.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_newer_of_two_commits_is_the_first_whatever_the_flag_says_and_one_alone_may_not_be_the_last() {
        let found = |bytes: &[u8; HEAD_BYTES]| -> Vec<(u64, bool)> {
            commits(bytes).iter().map(|commit| (commit.number, commit.may_be_earlier)).collect()
        };
        for flags in [6, 7] {
            let named = usize::from(flags & PRIMARY_BIT);
            let slots = |named_one, other| {
                let mut slots = [other, other];
                slots[named] = named_one;
                head(flags, slots)
            };
            let whole = slots(Some(212), Some(210));
            assert_eq!(found(&whole), [(212, false), (210, true)]);
            assert!(!other_is_newer(&whole));
            // Ended in the middle of a commit, or the flag was altered.
            let between = slots(Some(210), Some(212));
            assert_eq!(found(&between), [(212, false), (210, false)]);
            assert!(other_is_newer(&between));
            assert_eq!(found(&slots(None, Some(210))), [(210, true)], "what it names is lost");
            assert_eq!(found(&slots(Some(212), None)), [(212, false)], "the flag is believed");
            assert!(!other_is_newer(&slots(None, Some(210))) && !other_is_newer(&slots(Some(210), None)));
            let mut altered = slots(Some(212), None);
            altered[3] ^= 0x40;
            assert_eq!(found(&altered), [(212, true)], "the flag may have been altered as well");
            assert_eq!(found(&slots(None, None)), []);
            let mut turned = between;
            name_the_other(&mut turned);
            assert_eq!(
                turned,
                head(flags ^ PRIMARY_BIT, [0, 1].map(|slot| Some(if slot == named { 210 } else { 212 })))
            );
        }
    }

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
