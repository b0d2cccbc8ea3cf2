//! What forms give to choose from.

use serde::Serialize;

/// One of several.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Choice {
    pub(crate) word: &'static str,
    pub(crate) label: String,
    pub(crate) chosen: bool,
}

/// A cause to choose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CauseChoice {
    pub(crate) code: String,
    pub(crate) chosen: bool,
}
