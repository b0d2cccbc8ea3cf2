//! Links that filter a list.

use serde::Serialize;

/// A link that filters a list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FilterLink {
    pub(crate) label: String,
    pub(crate) href: String,
    pub(crate) count: String,
    pub(crate) current: bool,
}

#[cfg(test)]
impl FilterLink {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self { label: s.text("Failed"), href: "/".to_owned(), count: "7".to_owned(), current: true }
    }
}
