//! Frames of the journal file: `length u32 | check of the length u32 | check of the content u32 | content`, little
//! endian, checks are CRC-32. The length has a check of its own, so that a damaged one doesn't hide all that follows.

use agent_core::{Record, Saved};
use schema::{JobId, ReportSeq};
use serde::{Deserialize, Serialize};

/// Bytes before a frame's content.
pub const HEADER_BYTES: usize = 12;
/// The longest content.
pub const MAX_CONTENT_BYTES: usize = 4 * schema::limits::MAX_PAYLOAD_BYTES;
const LENGTH_SALT: u32 = 0x4846_4A31;

/// What a frame holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry<'a> {
    /// The sum of all before; the first frame of each file.
    Head(Box<Saved>),
    /// One record of the core, with the bytes that go with it.
    Record {
        /// The record.
        record: Record,
        /// The specification of a job that was queued; else empty.
        spec: &'a [u8],
        /// The encoded report; empty when the record has none.
        report: &'a [u8],
    },
    /// A report carried over from an older file.
    Report {
        /// Its number.
        seq: ReportSeq,
        /// What may be done with it.
        sort: Sort,
        /// The encoded report.
        report: &'a [u8],
    },
    /// The specification of a held job, carried over.
    Spec {
        /// The job that is held.
        job: JobId,
        /// The encoded command body.
        spec: &'a [u8],
    },
    /// What is known of the repository, and the newest stats message.
    Figures(&'a [u8]),
    /// The agent ended as it should.
    Closed,
}

/// What may be done with a report when space runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// Kept until acked.
    Result,
    /// May be given up when space runs out, such as log lines.
    Expendable,
    /// Given up: only its number is left.
    Dropped,
}

/// Appends the frame of `entry` to `out`; false (and nothing appended) when it is too long.
pub fn write(entry: &Entry<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let Ok(mut written) = postcard::to_extend(entry, std::mem::take(out)) else { return false };
    let length = written.len() - start - HEADER_BYTES;
    let Some(length) = u32::try_from(length).ok().filter(|_| length <= MAX_CONTENT_BYTES) else {
        written.truncate(start);
        *out = written;
        return false;
    };
    let content = crc32(&written[start + HEADER_BYTES..]);
    let header = &mut written[start..start + HEADER_BYTES];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&length_check(length).to_le_bytes());
    header[8..].copy_from_slice(&content.to_le_bytes());
    *out = written;
    true
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A whole frame, and how long it is with its header.
    Frame(Entry<'a>, usize),
    /// The beginning of a frame that was never written to its end.
    Cut,
    /// A frame of this whole length that does not fit its check.
    Damaged(usize),
    /// The bytes do not begin with a frame.
    Nothing,
}

/// Reads the frame at the beginning of `bytes`.
#[must_use]
pub fn read(bytes: &[u8]) -> Start<'_> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else { return Start::Cut };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = word(0);
    let Some(length_bytes) = usize::try_from(length).ok().filter(|&length| length <= MAX_CONTENT_BYTES)
    else {
        return Start::Nothing;
    };
    if word(4) != length_check(length) {
        return Start::Nothing;
    }
    let Some(content) = rest.get(..length_bytes) else { return Start::Cut };
    let whole = HEADER_BYTES + length_bytes;
    if crc32(content) != word(8) {
        return Start::Damaged(whole);
    }
    let earlier = || match schema::decode(&super::earlier::head(content)?) {
        Ok(Entry::Head(saved)) => Some(Entry::Head(saved)),
        _ => None,
    };
    let entry = schema::decode(content).ok().or_else(earlier);
    entry.map_or(Start::Damaged(whole), |entry| Start::Frame(entry, whole))
}

fn length_check(length: u32) -> u32 {
    crc32(&length.to_le_bytes()) ^ LENGTH_SALT
}

/// CRC-32 (IEEE 802.3).
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        let low = crc.to_le_bytes()[0] ^ byte;
        TABLE[usize::from(low)] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_the_usual_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn an_overlong_frame_is_refused_and_leaves_the_buffer_as_it_was() {
        let mut out = vec![7];
        assert!(!write(&Entry::Figures(&vec![0; MAX_CONTENT_BYTES + 1]), &mut out));
        assert_eq!(out, [7]);
    }
}
