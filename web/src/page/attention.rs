//! What needs a person, and the one safe step.

use serde::Serialize;

/// One cause that needs a person.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Attention {
    pub(crate) state: &'static str,
    pub(crate) cause: String,
    /// (name, address).
    pub(crate) hosts: Vec<(String, String)>,
    /// How many more hosts; 0 = none.
    pub(crate) more: usize,
    pub(crate) text: String,
    pub(crate) action: SafeAction,
    /// Of a single host: where its state is acknowledged, and its mark.
    pub(crate) ack: Option<(String, String)>,
}

/// The one safe step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SafeAction {
    pub(crate) words: String,
    pub(crate) href: String,
    /// It sets something: not for viewers.
    pub(crate) sets: bool,
}

impl SafeAction {
    pub(crate) fn look(words: &str, href: String) -> Self {
        Self { words: words.to_owned(), href, sets: false }
    }

    pub(crate) fn set(words: &str, href: String) -> Self {
        Self { words: words.to_owned(), href, sets: true }
    }
}
