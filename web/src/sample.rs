//! Samples of views, for tests: as pages look in life, and with one text wherever a person or a peer may write.

use crate::format::When;
use crate::template::View;
use schema::Timestamp;

/// The time at which samples are shown.
pub(crate) const NOW: Timestamp = Timestamp(1_795_415_472_000);

/// What stands in the texts of a sample.
pub(crate) enum Sample {
    /// The example that each place gives.
    Example,
    /// This one text, wherever a person or a peer may write.
    Everywhere(String),
}

impl Sample {
    /// A text that a person or a peer may write.
    pub(crate) fn text(&self, example: &str) -> String {
        match self {
            Self::Example => example.to_owned(),
            Self::Everywhere(text) => text.clone(),
        }
    }

    /// The same where there may be none.
    pub(crate) fn some(&self, example: &str) -> Option<String> {
        Some(self.text(example))
    }

    /// A time not long ago.
    pub(crate) fn when(&self) -> When {
        When::ago(NOW, Timestamp(NOW.0 - 7_000_000))
    }
}

/// A view that has samples: each that is listed in `page` must.
pub(crate) trait Samples: View + Sized {
    /// At least one; together they show all that the template shows.
    fn samples(s: &Sample) -> Vec<Self>;
}
