//! Numbers of commands that are missing.

use schema::CommandSeq;

/// A gap is believed when the server has begun behind it on so many connections in a row.
const BELIEVE_GAP_AFTER: u8 = 3;

/// Numbers that seem to be missing behind those taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gap {
    taken: CommandSeq,
    /// On how many connections in a row the first command came behind this gap.
    seen: u8,
}

impl Gap {
    /// Whether the server has shown often enough that nothing is behind the numbers taken. `is_first`: this is the first
    /// command of a connection.
    pub(super) fn is_believed(&mut self, taken: CommandSeq, is_first: bool) -> bool {
        if self.taken != taken {
            *self = Self { taken, seen: 0 };
        }
        if is_first {
            self.seen = self.seen.saturating_add(1);
        }
        is_first && self.seen >= BELIEVE_GAP_AFTER
    }
}
