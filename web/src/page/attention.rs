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
    /// Of several: where their incident is acknowledged.
    pub(crate) rest: Option<String>,
}

#[cfg(test)]
impl Attention {
    pub(crate) fn sample(s: &crate::sample::Sample, state: &'static str) -> Self {
        let is_several = state == "offline";
        Self {
            state,
            cause: s.text("The repository refuses the password"),
            hosts: vec![(s.text("boat-pi"), "/hosts/01".to_owned())],
            more: if is_several { 2 } else { 0 },
            text: s.text("last good backup 3 d ago."),
            action: SafeAction { words: s.text("Set credentials"), href: "/hosts/01".to_owned(), sets: true },
            ack: Some(("/x".to_owned(), s.text("7f3a"))).filter(|_| !is_several),
            rest: Some("/incidents/01#acknowledge".to_owned()).filter(|_| is_several),
        }
    }
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
