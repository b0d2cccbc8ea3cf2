//! The numberings of the wire, each a type of its own, so that none is taken for another.
//!
//! A number is 8 bytes in memory, postcard's varint on the wire, and prints as the bare number. What a peer says may be
//! [`u64::MAX`]: every step saturates.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// Numbers that are given out one after the other.
macro_rules! counted {
    ($(#[$doc:meta])* $name:ident) => {
        number!(
            $(#[$doc])*
            #[derive(Default, PartialOrd, Ord)]
            $name
        );

        impl $name {
            /// Before the first one.
            pub const ZERO: Self = Self(0);

            /// The one after it.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    };
}

/// Counted numbers between which it matters how many there are.
macro_rules! sequence {
    ($(#[$doc:meta])* $name:ident) => {
        counted!($(#[$doc])* $name);

        impl $name {
            /// The one before it; of the first one, and of 0, that is 0.
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }

            /// How many come after `earlier`, up to and with this one; 0 when it is not after.
            #[must_use]
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }
    };
}

sequence!(
    /// The place of a command in a host's sequence (server → agent), from 1.
    CommandSeq
);
sequence!(
    /// The place of a report in its journal (agent → server), from 1.
    ReportSeq
);
counted!(
    /// Counts an agent's connects; kept on disk.
    Epoch
);
number!(
    /// Names a journal: drawn at random when it was created. Which of two is older can't be told.
    Stream
);
counted!(
    /// Counts the changes of a credential slot; 0 = never filled.
    SlotRevision
);
counted!(
    /// Counts the changes of a host's plan; 0 = none.
    PlanRevision
);
counted!(
    /// Tells a server that was restored from an archive from the one before: when that was, in seconds since 1970, and
    /// always more than in the archive; 0 = never. Of two servers that were made of one archive, each has its own.
    Incarnation
);
counted!(
    /// Counts the messages of figures in one stream.
    StatsRevision
);

impl ReportSeq {
    /// The one that comes `count` after it.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// This one and all that follow, up to and with `last`.
    pub fn through(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }
}

impl Epoch {
    /// The one that comes `count` after it.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_goes_beyond_the_first_or_the_last_number() {
        let (first, last) = (ReportSeq::ZERO, ReportSeq(u64::MAX));
        assert_eq!((first.previous(), last.next(), last.plus(16)), (first, last, last));
        assert_eq!((first.since(last), last.since(first)), (0, u64::MAX));
        assert_eq!(last.through(last).count(), 1);
        assert_eq!((Epoch(u64::MAX).next(), Epoch(u64::MAX).plus(2)), (Epoch(u64::MAX), Epoch(u64::MAX)));
    }

    #[test]
    fn a_number_has_the_bytes_of_a_bare_one() {
        for bare in [0, 127, 128, u64::MAX] {
            let (mut room, mut bare_room) = ([0; 10], [0; 10]);
            let encoded = crate::encode(&CommandSeq(bare), &mut room).unwrap();
            assert_eq!(encoded, crate::encode(&bare, &mut bare_room).unwrap());
            assert_eq!(crate::decode(encoded), Ok(CommandSeq(bare)));
        }
    }
}
