//! Why nothing of a source group is forgotten, and why a request is not carried out, in words.

use fleet::Refused;
use fleet::record::{Hold, Unusual};

/// What is so of a group, as a part of a sentence.
pub(crate) const fn hold(hold: Hold) -> &'static str {
    match hold {
        Hold::Loss => "more than half of what it usually holds is gone",
        Hold::TooManyLacking => "more of its snapshots lack something than are kept in mind",
        Hold::Unlisted => "its snapshots from before it was set up here are not listed yet",
        Hold::Unsized => "its snapshots from before it was set up here do not tell how much they hold",
        Hold::Unusual(Unusual::GrewBy) => "a backup added far more than is usual",
        Hold::Unusual(Unusual::FilesGone) => "half of the files are gone, and others came in their place",
        Hold::Unusual(Unusual::AlmostAllChanged) => "almost all files changed at once",
    }
}

/// Why nothing of a group is forgotten, and what to do.
pub(crate) fn held(group: &str, why: Hold) -> String {
    let then = match why {
        Hold::Loss | Hold::TooManyLacking => {
            "look at its last backup, and accept it on the host's page if that is right"
        }
        Hold::Unlisted => "list the snapshots first; maintenance does so by itself when a forget is due",
        Hold::Unusual(_) => {
            "look at that backup, and say on the host's page that it is as it should be, if it is"
        }
        Hold::Unsized => {
            "look at them and at the last backup, and accept it on the host's page if that is right"
        }
    };
    format!("source group {group}: {}: {then}", hold(why))
}

/// Why a request is not carried out, in a sentence without its capital and its full stop.
pub(crate) fn refused(refused: &Refused) -> String {
    match refused {
        Refused::Held { group, why } => held(group, *why),
        other => other.to_string(),
    }
}
