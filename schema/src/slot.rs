//! The two slots for credentials that a host has.

use serde::{Deserialize, Serialize};

/// Which credentials: `repo` for every day, `admin` for what deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The everyday slot; normally may only append.
    Repo,
    /// The slot for jobs that delete.
    Admin,
}

impl Slot {
    /// Both slots, the everyday one first.
    pub const ALL: [Self; 2] = [Self::Repo, Self::Admin];

    /// Its word in addresses, audit and additional data.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repo => "repo",
            Self::Admin => "admin",
        }
    }
}
