//! What incidents are called.

use crate::explanation::Explanation;
use fleet::IncidentState;
use fleet::record::{Cause, Ending, Hold, Incident, JobState, Severity, Unusual};
use schema::{Class, JobKind};

/// What an incident is called: its cause, and at which storage.
pub(crate) fn incident_title(incident: &Incident) -> String {
    cause_title(incident.cause, incident.storage.as_deref())
}

/// What a cause at a storage is called.
pub(crate) fn cause_title(cause: Cause, storage: Option<&str>) -> String {
    match (cause, storage) {
        (Cause::Failed { class: Some(Class::Network), refusal: None }, Some(storage)) => {
            format!("The storage {storage} can't be reached")
        }
        (cause, Some(storage)) => format!("{}, at {storage}", cause_words(cause)),
        (cause, None) => cause_words(cause).to_owned(),
    }
}

/// The same for whatever has it, in a few words.
fn cause_words(cause: Cause) -> &'static str {
    if let Some(explanation) = explained(cause) {
        return explanation.title;
    }
    match cause {
        Cause::Failed { .. } | Cause::Lost { .. } | Cause::Interrupted => "The backup failed",
        Cause::Lacking { .. } => "Some files could not be read",
        Cause::Loss => "More than half of what is usual is gone",
        Cause::Old => "The last good backup is too old",
        Cause::NoSnapshot => "No backup has made a snapshot yet",
        Cause::Never => "Never backed up",
        Cause::NotEnrolled => "No agent enrolled yet",
        Cause::NoRepository => "Has no repository credentials",
        Cause::NoGroup => "Has nothing to back up",
        Cause::Missed => "A due backup waits",
        Cause::BackupsHeld => "Another machine took its place: its backups are held",
        Cause::Offline => "Offline for more than a day",
        Cause::StateFolder => "The agent can't write its state folder",
        Cause::Wire => "The agent speaks another protocol version",
        Cause::Quarantine => "Two machines have its identity",
        Cause::CheckOverdue => "The check of the repository is overdue",
        Cause::Unplanned => "What is scheduled can't be run",
        Cause::Held { hold: Hold::Loss } => {
            "More than half is gone: nothing is forgotten until somebody looks"
        }
        Cause::Held { hold: Hold::TooManyLacking } => "Many snapshots lack something: nothing is forgotten",
        Cause::Held { hold: Hold::Unlisted } => "Older snapshots are not listed: nothing is forgotten",
        Cause::Held { hold: Hold::Unsized } => "Older snapshots of unknown size: nothing is forgotten",
        Cause::Held { hold: Hold::Unusual(_) } => "A backup was unusual: nothing is forgotten",
        Cause::Clock { is_behind: true } => "The clock is behind",
        Cause::Clock { is_behind: false } => "The clock is ahead",
        Cause::NoCredentials => "The repository credentials were removed",
        Cause::Replaced => "Another repository is at its address",
        Cause::Damaged => "The repository has errors",
        Cause::ProofFailed => "The last proof found files that can't be restored, or are different",
        Cause::Unproven => "Not proven that it can be restored, or too long ago",
        Cause::Certificate => "A certificate of the server expires soon",
        Cause::ServerDisk => "The server's disk is nearly full",
        Cause::ArchiveLate => "The newest archive of the server is too old",
        Cause::StandbyLate => "A standby of the server is late",
        Cause::NoSchedule => "In no schedule that is on",
        Cause::CredentialsRefused { .. } => "The credentials are refused",
        Cause::Channel => "A channel of notices does not get through",
        Cause::Unusual { what: Unusual::GrewBy } => "A backup added far more than is usual",
        Cause::Unusual { what: Unusual::FilesGone } => "Half of the files were replaced by others",
        Cause::Unusual { what: Unusual::AlmostAllChanged } => "Almost all files changed at once",
    }
}

/// What probably happened and what to do, where a backup did not end well.
fn explained(cause: Cause) -> Option<Explanation> {
    let of = |state, refusal, class, gone| Explanation::of_end(JobKind::Backup, state, refusal, class, gone);
    match cause {
        Cause::Failed { class, refusal } => of(JobState::Failed, refusal, class, None),
        Cause::Lost { gone } => of(JobState::Lost, None, None, gone),
        Cause::Interrupted => of(JobState::Cancelled, None, None, None),
        Cause::Lacking { class } => of(JobState::Warning, None, class, None),
        _ => None,
    }
}

/// What probably happened and what to do; `None` = the title says all.
pub(crate) fn advice(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::StandbyLate => Some(
            "It could not take this server's place as it stands now. Its line in Settings, Archives, says whether it asks for \
             nothing, or can use nothing of what it is sent.",
        ),
        Cause::NoSchedule => Some(
            "What is saved gets old. Add a schedule, switch it on again, or say in the source group that \
             it is backed up by hand.",
        ),
        Cause::CredentialsRefused { .. } => Some(
            "What is saved is safe; the next backup will fail. Set the credentials again, and test them.",
        ),
        Cause::Offline => Some(
            "Nothing is heard of its agent: the machine is off or asleep, its network is cut, or the agent does not run. \
             holdfast-agent status says so on the machine itself. What is due waits until it is back.",
        ),
        Cause::Unusual { what: Unusual::GrewBy } => Some(
            "Something large was put where it is backed up: a download, an image of a machine, a log without end. The \
             snapshots from before stay: nothing of the host is forgotten or pruned until somebody has said on the host's \
             page that it is as it should be. If it is not, exclude it.",
        ),
        Cause::Unusual { what: Unusual::FilesGone | Unusual::AlmostAllChanged } => Some(
            "Look on the machine whether its files can still be opened. Ransomware does this; so does a move to other \
             software, or a restore of something else. The snapshots from before stay: nothing of the host is forgotten or \
             pruned until somebody has said on the host's page that it is as it should be. If it is not, take the machine \
             off the network, and restore from a snapshot of before.",
        ),
        other => explained(other).map(|explanation| explanation.text),
    }
}

/// How far it is and how bad, in a few words.
pub(crate) fn incident_label(incident: &Incident) -> String {
    let severity = match incident.severity {
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    match IncidentState::of(incident) {
        IncidentState::Noticed if incident.ended.is_some() => "Over before it was an incident".to_owned(),
        IncidentState::Noticed => format!("Noticed, {severity}: it is an incident when it lasts"),
        IncidentState::Open => format!("Open, {severity}"),
        IncidentState::Ended => "Ended".to_owned(),
    }
}

/// What ended an incident.
pub(crate) const fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Recovered => "all recovered",
        Ending::OtherCause => "another cause took its place",
        Ending::HostsDeleted => "whom it met is not there any more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_cause_has_words_of_its_own() {
        let samples = Cause::samples();
        let words: BTreeSet<_> = samples.iter().map(|cause| cause_words(*cause)).collect();
        assert_eq!(words.len(), samples.len(), "{words:?}");
        let told = |cause: &Cause| format!("{}: {}\n", cause.code(), cause_title(*cause, None));
        insta::assert_snapshot!("causes", samples.iter().map(told).collect::<String>());
        let at = |cause| cause_title(cause, Some("nas:8000"));
        assert_eq!(at(samples[0]), "The storage nas:8000 can't be reached");
        assert_eq!(at(Cause::Damaged), "The repository has errors, at nas:8000");
    }
}
