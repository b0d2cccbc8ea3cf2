//! Messages are encoded into as little room as they need: most are short, and what was once touched stays with the
//! process.

use schema::limits::MAX_MESSAGE_BYTES;
use serde::Serialize;

/// The rooms that are tried one after the other, in bytes; the last one takes whatever fits a message.
const ROOMS: [usize; 3] = [1024, 8 * 1024, MAX_MESSAGE_BYTES];

/// What `write` makes of the first room that is large enough for it; `None` = no message has room for it.
pub(crate) fn in_room<T>(mut write: impl FnMut(&mut [u8]) -> Option<T>) -> Option<T> {
    ROOMS.into_iter().find_map(|room| write(&mut vec![0; room]))
}

/// The message, encoded; `None` = it is too long.
pub(crate) fn encode<T: Serialize>(message: &T) -> Option<Vec<u8>> {
    ROOMS.into_iter().find_map(|room| {
        let mut bytes = vec![0; room];
        let used = schema::encode(message, &mut bytes).ok()?.len();
        bytes.truncate(used);
        Some(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_a_message_is_encoded_and_nothing_longer() {
        for length in [0, 1, 1000, 1023, 1024, 8 * 1024, 20_000, MAX_MESSAGE_BYTES - 3] {
            let text = "x".repeat(length);
            assert_eq!(schema::decode::<&str>(&encode(&text).unwrap()).unwrap(), text);
        }
        assert_eq!(encode(&"x".repeat(MAX_MESSAGE_BYTES)), None);
    }
}
