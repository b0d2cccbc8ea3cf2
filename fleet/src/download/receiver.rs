//! The receiving end of one transfer: what comes next, and when it is broken. Pure.

use schema::limits::{BULK_WINDOW, MAX_BULK_CHUNK_BYTES};
use schema::{Bulk, BulkBody, Epoch};
use sha2::{Digest, Sha256};

/// A piece of a transfer that came in its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What was asked for is there; how many bytes it has, as far as that is known.
    Begin(Option<u64>),
    /// Bytes.
    Chunk(Vec<u8>),
    /// All has come, and its digest is right.
    Whole,
}

/// Why a transfer can't come to a good end any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A piece is missing, came twice, or not in its turn.
    #[error("a piece of the transfer was lost or came twice")]
    Hole,
    /// It was sent further than was granted.
    #[error("the agent sent more than it was let")]
    Unasked,
    /// A piece that makes no sense where it came.
    #[error("the agent sent a piece that makes no sense")]
    Senseless,
    /// Length or digest at the end are not those of what came.
    #[error("what came is not what was sent")]
    Altered,
    /// The agent says that no more will come.
    #[error("the agent could not send all of it")]
    Told,
    /// The host's connection has ended, or began anew.
    #[error("the connection of the host ended")]
    HostLost,
}

/// What has come of one transfer.
#[derive(Debug)]
pub(crate) struct Receiver {
    epoch: Option<Epoch>,
    next: u32,
    /// Pieces with a lower number may come.
    granted: u32,
    bytes: u64,
    digest: Sha256,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self { epoch: None, next: 0, granted: BULK_WINDOW, bytes: 0, digest: Sha256::new() }
    }

    /// Lets pieces below this number come, too.
    pub(crate) fn grant(&mut self, before: u32) {
        self.granted = self.granted.max(before);
    }

    /// Takes the next piece. After an error, and after [`Piece::Whole`], there is nothing more to take.
    pub(crate) fn take(&mut self, bulk: &Bulk<'_>) -> Result<Piece, Broken> {
        if *self.epoch.get_or_insert(bulk.epoch) != bulk.epoch {
            return Err(Broken::HostLost);
        }
        if bulk.number != self.next {
            return Err(Broken::Hole);
        }
        self.next = self.next.checked_add(1).ok_or(Broken::Senseless)?;
        match bulk.body {
            BulkBody::Broken => Err(Broken::Told),
            BulkBody::Begin { bytes } if bulk.number == 0 => Ok(Piece::Begin(bytes)),
            _ if bulk.number == 0 => Err(Broken::Senseless),
            BulkBody::Begin { .. } => Err(Broken::Senseless),
            BulkBody::Chunk(chunk) => {
                let chunk = chunk.as_bytes();
                if bulk.number >= self.granted {
                    return Err(Broken::Unasked);
                }
                if chunk.is_empty() || chunk.len() > MAX_BULK_CHUNK_BYTES {
                    return Err(Broken::Senseless);
                }
                self.bytes = self.bytes.saturating_add(chunk.len() as u64);
                self.digest.update(chunk);
                Ok(Piece::Chunk(chunk.to_vec()))
            }
            BulkBody::End { bytes, sha256 } => {
                let digest: [u8; 32] = self.digest.clone().finalize().into();
                if bytes == self.bytes && sha256 == digest { Ok(Piece::Whole) } else { Err(Broken::Altered) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schema::{JobId, OsText};

    const EPOCH: Epoch = Epoch(7);

    fn bulk(number: u32, body: BulkBody<'_>) -> Bulk<'_> {
        Bulk { job: JobId([1; 16]), epoch: EPOCH, number, body }
    }

    /// The pieces of a transfer of these chunks.
    fn sent(chunks: &[Vec<u8>]) -> Vec<Bulk<'_>> {
        let all = chunks.concat();
        let mut pieces = vec![BulkBody::Begin { bytes: Some(all.len() as u64) }];
        pieces.extend(chunks.iter().map(|chunk| BulkBody::Chunk(OsText::new(chunk))));
        pieces.push(BulkBody::End { bytes: all.len() as u64, sha256: Sha256::digest(&all).into() });
        (0..).zip(pieces).map(|(number, body)| bulk(number, body)).collect()
    }

    /// What a receiver makes of them: the bytes, and how it ended.
    fn received(pieces: &[Bulk<'_>]) -> (Vec<u8>, Option<Result<(), Broken>>) {
        let mut receiver = Receiver::new();
        let mut bytes = Vec::new();
        for piece in pieces {
            // As if each was taken at once.
            receiver.grant(piece.number.saturating_add(1));
            match receiver.take(piece) {
                Ok(Piece::Begin(_)) => {}
                Ok(Piece::Chunk(chunk)) => bytes.extend(chunk),
                Ok(Piece::Whole) => return (bytes, Some(Ok(()))),
                Err(broken) => return (bytes, Some(Err(broken))),
            }
        }
        (bytes, None)
    }

    fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..30)
    }

    proptest! {
        #[test]
        fn what_comes_in_order_is_what_was_sent(chunks in chunks()) {
            prop_assert_eq!(received(&sent(&chunks)), (chunks.concat(), Some(Ok(()))));
        }

        #[test]
        fn a_piece_lost_doubled_or_swapped_is_never_a_whole_file(
            chunks in chunks(), which: prop::sample::Index, how in 0..3_u8,
        ) {
            let mut pieces = sent(&chunks);
            let at = which.index(pieces.len());
            match how {
                0 => { pieces.remove(at); }
                1 => pieces.insert(at, pieces[at]),
                _ => { let last = pieces.len() - 1; pieces.swap(at, (at + 1).min(last)); }
            }
            let (bytes, end) = received(&pieces);
            // The doubled end comes behind a whole file; swapped with itself, nothing has changed.
            let is_same = pieces == sent(&chunks) || how == 1 && at + 2 == pieces.len();
            prop_assert_eq!(end == Some(Ok(())), is_same, "{:?} {:?}", end, bytes);
            let all = chunks.concat();
            prop_assert_eq!(&bytes, &all[..bytes.len()]);
        }

        #[test]
        fn a_byte_that_was_altered_is_noticed(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..9), which: prop::sample::Index,
        ) {
            let mut altered = chunks.clone();
            let at = which.index(chunks.len());
            altered[at][0] ^= 1;
            let mut pieces = sent(&altered);
            let last = pieces.len() - 1;
            pieces[last] = sent(&chunks)[last];
            prop_assert_eq!(received(&pieces).1, Some(Err(Broken::Altered)));
        }
    }

    #[test]
    fn no_more_comes_than_was_granted() {
        let mut receiver = Receiver::new();
        let chunk = BulkBody::Chunk(OsText::new(b"x"));
        receiver.take(&bulk(0, BulkBody::Begin { bytes: None })).unwrap();
        for number in 1..BULK_WINDOW {
            receiver.take(&bulk(number, chunk)).unwrap();
        }
        receiver.grant(BULK_WINDOW + 1);
        receiver.take(&bulk(BULK_WINDOW, chunk)).unwrap();
        assert_eq!(receiver.take(&bulk(BULK_WINDOW + 1, chunk)), Err(Broken::Unasked));
    }

    #[test]
    fn another_connection_ends_it_and_what_makes_no_sense_does() {
        let begun = || {
            let mut receiver = Receiver::new();
            receiver.take(&bulk(0, BulkBody::Begin { bytes: None })).unwrap();
            receiver
        };
        let chunk = BulkBody::Chunk(OsText::new(b"x"));
        let other = Bulk { epoch: Epoch(8), ..bulk(1, chunk) };
        assert_eq!(begun().take(&other), Err(Broken::HostLost));
        assert_eq!(begun().take(&bulk(1, BulkBody::Broken)), Err(Broken::Told));
        let long = vec![0; MAX_BULK_CHUNK_BYTES + 1];
        for body in [
            BulkBody::Begin { bytes: None },
            BulkBody::Chunk(OsText::new(b"")),
            BulkBody::Chunk(OsText::new(&long)),
        ] {
            assert_eq!(begun().take(&bulk(1, body)), Err(Broken::Senseless));
        }
        assert_eq!(Receiver::new().take(&bulk(0, chunk)), Err(Broken::Senseless));
    }
}
