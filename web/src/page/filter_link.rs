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
