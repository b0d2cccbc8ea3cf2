//! Source groups, where their names are too long.

use serde::{Deserialize, Serialize};

/// Stands for the name of a source group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupKey(u64);

impl GroupKey {
    /// Of a group's name: FNV-1a. That two names of one host share a key does not happen by itself.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mix = |key: u64, byte: u8| (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
    }
}
