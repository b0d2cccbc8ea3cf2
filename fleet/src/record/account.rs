use super::Actor;
use schema::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// May look at everything but accounts.
    Viewer,
    /// May look, and act on hosts.
    Operator,
    /// May do everything, accounts included.
    Admin,
}

impl Role {
    /// All of them, least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The stable word for the role in the API and in forms.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role with this word; `None` = there is no such role.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// What a caller may do. Each stands for itself; none includes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read the figures for Prometheus.
    Metrics,
    /// Read everything but accounts.
    Read,
    /// Start and cancel jobs.
    Run,
    /// Change hosts, credentials, source groups and schedules.
    Write,
    /// Accounts and tokens, and so everything.
    Admin,
    /// Restore files, look for them, and download them.
    Restore,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 6] =
        [Self::Metrics, Self::Read, Self::Run, Self::Restore, Self::Write, Self::Admin];

    /// The stable word for the scope in the API and in forms.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Read => "read",
            Self::Run => "run",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Restore => "restore",
        }
    }

    /// The scope with this word; `None` = there is no such scope.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    /// The least role of a person that has it.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Metrics | Self::Read => Role::Viewer,
            Self::Run | Self::Restore | Self::Write => Role::Operator,
            Self::Admin => Role::Admin,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes(u8);

impl Scopes {
    /// All scopes that a person with this role has.
    #[must_use]
    pub fn of_role(role: Role) -> Self {
        Scope::ALL.into_iter().filter(|scope| scope.role() <= role).collect()
    }

    /// Whether the set contains this scope.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether the set contains no scope.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words of the scopes in the set, in the order of [`Scope::ALL`].
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope)).map(Scope::as_str)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| all | scope.bit()))
    }
}

/// A list of the scopes' words, with commas between them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, word) in self.words().enumerate() {
            write!(f, "{}{word}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Name of the account; unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Hash of the password: argon2id, in PHC text form.
    pub password_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it signed in last; `None` = never.
    pub signed_in_at: Option<Timestamp>,
    /// Colours of the pages: `system`, `light` or `dark`.
    pub theme: String,
}

/// A browser that is signed in; stored under the hash of its cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Name of the account that is signed in.
    pub operator: String,
    /// When the session began.
    pub created_at: Timestamp,
    /// When the session was used last (written at most once a minute).
    pub used_at: Timestamp,
    /// Token that its forms must carry, against cross-site requests (CSRF).
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
    pub scopes: Scopes,
    /// Who made it.
    pub created_by: Actor,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last (written at most once a minute); `None` = never.
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
    /// When it was made.
    pub created_at: Timestamp,
}

/// How often a password was tried in vain, of one key: an address, an account, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TryCount {
    /// Number of failed tries that count.
    pub failures: u32,
    /// When the last of them was.
    pub last_at: Timestamp,
    /// The next one counts from here on.
    pub until: Timestamp,
}
