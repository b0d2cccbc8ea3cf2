//! Rows of one table as bytes: blocks of about a mebibyte, each compressed by itself.
//!
//! A row is the length of its key (4 bytes, little-endian), the key, the length of the row, the row.

/// Rows are put together until they are so many bytes.
const FULL_BYTES: usize = 1 << 20;
/// The most bytes that a block holds: a full one, and one more row.
const MOST_BYTES: usize = 64 << 20;

/// Takes rows, gives blocks.
#[derive(Default)]
pub(super) struct Filling {
    bytes: Vec<u8>,
}

impl Filling {
    /// Adds a row; a block that is full with it.
    pub(super) fn add(&mut self, key: &[u8], row: &[u8]) -> Option<Vec<u8>> {
        for part in [key, row] {
            // Neither is ever near four gibibytes: redb takes less.
            self.bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(part);
        }
        if self.bytes.len() < FULL_BYTES { None } else { self.take() }
    }

    /// What was added since the last block.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        if self.bytes.is_empty() {
            return None;
        }
        let block = lz4_flex::block::compress_prepend_size(&self.bytes);
        self.bytes.clear();
        Some(block)
    }
}

/// Hands each row of a block to `visit`, in its order. `None` = it is no block.
pub(super) fn read<E>(
    block: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Option<Result<(), E>> {
    let (length, _) = lz4_flex::block::uncompressed_size(block).ok()?;
    if length > MOST_BYTES {
        return None;
    }
    let bytes = lz4_flex::block::decompress_size_prepended(block).ok()?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let key = part(&mut rest)?;
        let row = part(&mut rest)?;
        if let Err(error) = visit(key, row) {
            return Some(Err(error));
        }
    }
    Some(Ok(()))
}

fn part<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows_of(block: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut rows = Vec::new();
        read(block, |key, row| {
            rows.push((key.to_vec(), row.to_vec()));
            Ok::<_, ()>(())
        })?
        .ok()?;
        Some(rows)
    }

    #[test]
    fn a_block_ends_when_it_is_full() {
        let mut filling = Filling::default();
        assert!(filling.take().is_none());
        let row = vec![7; 300_000];
        let blocks: Vec<_> = (0..9_u8).filter_map(|n| filling.add(&[n], &row)).collect();
        let rest = filling.take().unwrap();
        let rows: Vec<_> = blocks.iter().chain([&rest]).flat_map(|block| rows_of(block).unwrap()).collect();
        assert_eq!((blocks.len(), rows.len()), (2, 9));
        assert!(rows.iter().zip(0..).all(|((key, found), n)| key == &[n] && found == &row));
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(
            rows in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..200)), 1..50),
        ) {
            let mut filling = Filling::default();
            for (key, row) in &rows {
                prop_assert!(filling.add(key, row).is_none());
            }
            prop_assert_eq!(rows_of(&filling.take().unwrap()), Some(rows));
        }

        #[test]
        fn bytes_that_are_no_block_are_refused_and_panic_nowhere(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = rows_of(&bytes);
            let claims_much = [&u32::MAX.to_le_bytes()[..], &bytes].concat();
            prop_assert_eq!(rows_of(&claims_much), None);
        }
    }
}
