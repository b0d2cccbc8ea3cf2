//! How surely a message arrives.

/// Quality of service. 2 is refused when it is read, so there is no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// At most once.
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
}

impl Qos {
    /// What is granted to who asks for this much.
    #[must_use]
    pub const fn granted(asked: u8) -> Self {
        if asked == 0 { Self::AtMostOnce } else { Self::AtLeastOnce }
    }
}
