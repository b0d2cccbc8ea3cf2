use super::Actor;
use schema::{Refusal, SlotRevision, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroize;

/// Text that does not print and is wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps this text as a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What may be shown of a credential slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsFacts {
    /// restic's repository location, without user and password.
    pub url: String,
    /// User name for a REST server; empty = none.
    pub username: String,
    /// Whether there is a REST password.
    pub has_password: bool,
    /// Whether there is a repository password.
    pub has_repo_password: bool,
    /// Certificates (PEM) of the authorities that the storage's own may be of; empty: of those that the host knows.
    pub ca: String,
    /// The host keys that a storage reached by ssh may show, one a line; empty: those that the host knows.
    pub host_keys: String,
    /// Names of the additional environment variables for restic; their values are secret.
    pub env_names: Vec<String>,
    /// Number of the slot's present content; grows with each change.
    pub revision: SlotRevision,
    /// When it changed.
    pub updated_at: Timestamp,
    /// Who changed it.
    pub updated_by: Actor,
    /// The revision the agent says it holds; of the admin slot, which it holds for a job only, would hold.
    pub held_revision: SlotRevision,
    /// Why the agent does not take this revision; `None` = it did not refuse it.
    pub refused: Option<Refusal>,
    /// The stored secrets don't open: they must be set again.
    pub unreadable: bool,
}

/// What a slot is good for when a job needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// It holds nothing.
    Empty,
    /// What it holds does not open.
    Unreadable,
    /// The agent's own policy forbids it.
    Forbidden,
    /// It can be used.
    Usable,
}

impl CredentialsFacts {
    /// What the slot of these facts is good for. Other refusals of the agent pass by themselves.
    #[must_use]
    pub fn state(&self) -> SlotState {
        if self.unreadable {
            SlotState::Unreadable
        } else if self.refused == Some(Refusal::Policy) {
            SlotState::Forbidden
        } else {
            SlotState::Usable
        }
    }
}

/// A change of a credential slot. An absent secret keeps the stored one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialsInput {
    /// restic's repository location; a user and password inside it are moved to their fields.
    pub url: String,
    /// User name for a REST server. `None` keeps the stored one, `Some("")` clears it.
    pub username: Option<String>,
    /// Password for a REST server; `None` keeps the stored one.
    pub password: Option<Secret>,
    /// Password of the repository; `None` keeps the stored one.
    pub repo_password: Option<Secret>,
    /// Certificates of authorities. `None` keeps, `Some("")` clears.
    pub ca: Option<String>,
    /// Host keys of a storage reached by ssh. `None` keeps while the storage is the same, `Some("")` clears.
    pub host_keys: Option<String>,
    /// Additional environment variables. `None` keeps all, `Some` replaces all; a value of `None` keeps the
    /// stored one of that name.
    pub env: Option<BTreeMap<String, Option<Secret>>>,
}

/// A slot as stored. An emptied slot keeps its revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CredentialsRow {
    /// What may be shown; `None` = empty.
    pub(crate) facts: Option<CredentialsFacts>,
    pub(crate) revision: SlotRevision,
    /// The revision the agent says it holds, or would hold for a job.
    pub(crate) held_revision: SlotRevision,
    /// The last revision that the agent did not take, and why.
    pub(crate) refused: Option<(SlotRevision, Refusal)>,
    /// What [`crate::credentials`] seals, bound to host and slot.
    pub(crate) sealed: Vec<u8>,
}

/// A place, as stored: its fingerprint, so that it can be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// SHA-256 of the address in its one form.
    pub(crate) fingerprint: [u8; 32],
    /// The address alone says which storage is meant. It does not where it is read by each machine in its own way: a
    /// folder of the machine, a name of its rclone or ssh configuration, an account in a variable.
    pub(crate) is_plain: bool,
}
