//! Bytes that are not exactly a message are refused, and never panic.

use crate::{
    fuzz,
    samples::{Sample, all},
};
use proptest::prelude::*;
use schema::DecodeError;

#[test]
fn a_message_cut_anywhere_is_malformed() {
    for Sample { name, bytes, decodes } in all() {
        for end in 0..bytes.len() {
            assert_eq!(decodes(&bytes[..end]), Err(DecodeError::Malformed), "{name} cut after {end} bytes");
        }
        assert_eq!(decodes(&bytes), Ok(()), "{name} whole");
    }
}

#[test]
fn bytes_behind_a_message_are_refused() {
    for Sample { name, mut bytes, decodes } in all() {
        for more in [0, 1, 0xff] {
            bytes.push(more);
            assert_eq!(decodes(&bytes), Err(DecodeError::TrailingBytes), "{name} with {more} behind");
            bytes.pop();
        }
    }
}

#[test]
fn a_variant_that_does_not_exist_is_malformed() {
    for Sample { name, mut bytes, decodes } in all() {
        // Samples named Enum.Variant begin with the variant's number.
        if name.contains('.') {
            bytes[0] = 0x7f;
            assert_eq!(decodes(&bytes), Err(DecodeError::Malformed), "{name}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_pass_through_every_decoder(bytes: Vec<u8>) {
        for (_, target) in fuzz::TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn an_altered_message_passes_through_every_decoder(
        sample: prop::sample::Index,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = sample.get(&all()).bytes.clone();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for (_, target) in fuzz::TARGETS {
            target(&bytes);
        }
    }
}
