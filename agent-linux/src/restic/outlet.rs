//! What a dump gives, cut into chunks as the wire has them.

use super::event::JobProgress;
use core::time::Duration;
use schema::limits::MAX_BULK_CHUNK_BYTES;
use tokio::time::Instant;

/// How often it is told how far it is.
const TELLS_EVERY: Duration = Duration::from_secs(1);

/// One transfer on its way out. It holds less than a chunk.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// As long as a whole chunk, or empty.
    chunk: Vec<u8>,
    /// How much of it is filled.
    filled: usize,
    /// How many chunks were given away. The first piece of a transfer is none, so it is the number of the last.
    sent: u32,
    bytes: u64,
    told_at: Option<Instant>,
}

impl Outlet {
    /// Whether more may be read: what has begun to be filled has its place already.
    pub(super) const fn takes(&self, credit: u32) -> bool {
        self.filled > 0 || self.sent.saturating_add(1) < credit
    }

    /// Where the next bytes are to be read to.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.chunk.resize(MAX_BULK_CHUNK_BYTES, 0);
        &mut self.chunk[self.filled..]
    }

    /// How many bytes there were.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// So many bytes were read into the [room](Self::room); a chunk when it is full.
    pub(super) fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        self.filled = self.filled.saturating_add(count).min(self.chunk.len());
        self.bytes = self.bytes.saturating_add(count as u64);
        if self.filled == MAX_BULK_CHUNK_BYTES { self.rest() } else { None }
    }

    /// The last chunk, which is shorter.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let filled = core::mem::take(&mut self.filled);
        let mut chunk = core::mem::take(&mut self.chunk);
        chunk.truncate(filled);
        if chunk.is_empty() {
            return None;
        }
        self.sent = self.sent.saturating_add(1);
        Some(chunk)
    }

    /// How far it is, now and then; of 0 bytes: nobody knows of how many.
    pub(super) fn progress(&mut self, of_bytes: u64, now: Instant) -> Option<JobProgress> {
        if self.told_at.is_some_and(|at| now < at + TELLS_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        let permille = self.bytes.saturating_mul(1_000).checked_div(of_bytes).unwrap_or(0).min(1_000);
        Some(JobProgress {
            permille: u16::try_from(permille).unwrap_or(0),
            bytes_done: self.bytes,
            bytes_total: of_bytes,
            ..JobProgress::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn push(outlet: &mut Outlet, bytes: &[u8]) -> Option<Vec<u8>> {
        outlet.room()[..bytes.len()].copy_from_slice(bytes);
        outlet.take(bytes.len())
    }

    #[test]
    fn nothing_is_read_beyond_the_credit_but_what_fills_a_chunk() {
        let mut outlet = Outlet::default();
        assert!(!outlet.takes(0) && !outlet.takes(1), "the first piece of a transfer is no chunk");
        assert!(outlet.takes(2));
        assert_eq!(push(&mut outlet, b"x"), None);
        assert!(outlet.takes(0), "its place is taken already");
        assert_eq!(outlet.rest(), Some(b"x".to_vec()));
        assert!(!outlet.takes(2) && outlet.takes(3));
    }

    proptest! {
        #[test]
        fn chunks_are_all_that_was_pushed_and_full_but_for_the_last(
            pushed in prop::collection::vec(1..MAX_BULK_CHUNK_BYTES, 0..20),
        ) {
            let mut outlet = Outlet::default();
            let (mut chunks, mut given) = (Vec::new(), Vec::new());
            for (byte, count) in (0..).zip(pushed) {
                let bytes = vec![byte; count.min(outlet.room().len())];
                given.extend_from_slice(&bytes);
                chunks.extend(push(&mut outlet, &bytes));
            }
            chunks.extend(outlet.rest());
            prop_assert_eq!(outlet.rest(), None);
            if let Some((_, full)) = chunks.split_last() {
                prop_assert!(full.iter().all(|chunk| chunk.len() == MAX_BULK_CHUNK_BYTES));
            }
            prop_assert_eq!(outlet.bytes(), given.len() as u64);
            prop_assert_eq!(chunks.concat(), given);
        }
    }
}
