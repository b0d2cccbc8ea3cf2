use super::Actor;
use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and act on hosts.
    Operator,
    /// Everything, accounts too.
    Admin,
}

impl Role {
    /// All of them, least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// argon2id, PHC text.
    pub password_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it signed in last.
    pub signed_in_at: Option<Timestamp>,
    /// `system`, `light` or `dark`.
    pub theme: String,
}

/// A browser that is signed in; stored under the hash of its cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose.
    pub operator: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Used last (written at most once a minute).
    pub used_at: Timestamp,
    /// Its CSRF token.
    pub csrf: String,
}

/// A token for the HTTP API; stored under the hash of its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Public id, 26 characters.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Who made it.
    pub created_by: Actor,
    /// When.
    pub created_at: Timestamp,
    /// Used last (written at most once a minute).
    pub used_at: Option<Timestamp>,
}

/// An MQTT account that may look at the view tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewer {
    /// MQTT user name, unique.
    pub name: String,
    /// SHA-256 of its password, which the server minted with 128 bits or more.
    pub password_sha256: [u8; 32],
    /// May also see the sealed presence and stats topics.
    pub debug: bool,
    /// Who made it.
    pub created_by: Actor,
    /// When.
    pub created_at: Timestamp,
}
