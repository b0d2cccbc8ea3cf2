//! Secrets of accounts that were just made.

use serde::Serialize;

/// A secret that was just made: shown the first time that the page of the settings is loaded, and never again.
#[derive(Clone, Serialize)]
pub(crate) struct Minted {
    pub(crate) title: String,
    pub(crate) text: &'static str,
    /// One of the lines works with this server's certificate only.
    pub(crate) needs_ca: bool,
    /// (what it is, the text to copy).
    pub(crate) lines: Vec<(&'static str, String)>,
}
