//! What every page has around it.

use crate::trouble::ServerTrouble;
use fleet::ChangeSeq;
use serde::Serialize;

/// The frame of a page: navigation, theme, banners, and who is signed in.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shell {
    pub(crate) nav: &'static str,
    pub(crate) theme: Option<String>,
    pub(crate) theme_choice: String,
    pub(crate) csrf: String,
    pub(crate) user: Option<String>,
    /// Whether things may be changed, by who is signed in and as the server is.
    pub(crate) operator: bool,
    /// Whether files may be restored.
    pub(crate) restores: bool,
    pub(crate) admin: bool,
    /// Why nobody can change anything here; `None` = who may can.
    pub(crate) locked: Option<&'static str>,
    pub(crate) version: String,
    pub(crate) hosts_connected: String,
    pub(crate) is_well: bool,
    /// What is wrong with the server, for a banner on each page.
    pub(crate) troubles: Vec<ServerTrouble>,
    /// Backups that wait; `None` = none, or the server can't know.
    pub(crate) pending: Option<String>,
    /// Incidents that are open and nobody has acknowledged; `None` = none, or the server can't know.
    pub(crate) incidents: Option<String>,
    /// The newest change that the page knows of.
    pub(crate) seq: ChangeSeq,
}
