//! The buttons that run a job now, and why one of them is off.

use crate::problem::{Problem, sentence};
use crate::words;
use fleet::{FleetState, JobRequest, Refused};
use schema::HostId;
use serde::Serialize;

/// A run-now button: off when there is a reason.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RunButton {
    pub(crate) label: String,
    pub(crate) why: Option<String>,
    pub(crate) small: bool,
    pub(crate) primary: bool,
    /// What a screen reader says, where the label alone says too little.
    pub(crate) name: Option<String>,
}

#[cfg(test)]
impl RunButton {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            label: s.text("Back up"),
            why: s.some("The host is offline."),
            name: s.some("Back up media"),
            small: true,
            primary: true,
        }
    }
}

impl RunButton {
    pub(crate) fn new(
        state: &FleetState,
        host: HostId,
        request: &JobRequest,
        label: impl Into<String>,
    ) -> Result<Self, Problem> {
        Ok(Self { label: label.into(), why: why_not(state, host, request)?, ..Self::default() })
    }
}

/// Why a request would be refused right now, in a few words, for a narrow place.
pub(crate) fn why_short(
    state: &FleetState,
    host: HostId,
    request: &JobRequest,
) -> Result<Option<String>, Problem> {
    let Some(refused) = state.blocked(host, request)? else { return Ok(None) };
    Ok(Some(match refused {
        Refused::HostOffline => "host is offline".to_owned(),
        Refused::HostNotEnrolled => "no agent is enrolled yet".to_owned(),
        Refused::RepoCredsRequired => "set repository credentials first".to_owned(),
        Refused::AdminCredsUnreadable => "the admin credentials must be set again".to_owned(),
        Refused::AdminCredsForbidden => "the agent refuses admin credentials".to_owned(),
        Refused::JobInProgress { .. } => "already running or queued".to_owned(),
        Refused::BackupOpen { group, .. } => format!("a backup of {group} is queued or running"),
        Refused::RepoBusy { host, .. } => format!("{host} uses the repository"),
        Refused::Held { group, .. } => format!("{group} is on hold until somebody accepts its last backup"),
        Refused::BackupsHeld => "backups are held until somebody starts them".to_owned(),
        Refused::WireUnsupported => "the agent speaks another protocol version".to_owned(),
        other => sentence(&words::refused(&other)),
    }))
}

/// Why a request would be refused right now, as a sentence.
pub(crate) fn why_not(
    state: &FleetState,
    host: HostId,
    request: &JobRequest,
) -> Result<Option<String>, Problem> {
    Ok(state.blocked(host, request)?.map(|refused| sentence(&words::refused(&refused))))
}
