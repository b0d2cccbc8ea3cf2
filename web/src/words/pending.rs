//! Why due backups wait, and why they were given up, in words.

use super::hold::refused;
use super::reason::{INTERRUPTED, LOST};
use super::terms::class;
use fleet::record::{GivenUp, TryError};
use fleet::{GiveUp, Setback};

/// Why a run waits. What was said by whoever refused it, or by an older server, is told as it is.
pub(crate) fn setback(error: &TryError) -> String {
    if !error.message.is_empty() {
        return error.message.clone();
    }
    error.setback().as_ref().map_or_else(|| error.code.clone(), words)
}

fn words(setback: &Setback) -> String {
    let words = match setback {
        Setback::HostOffline => "host is offline",
        Setback::HostNotEnrolled => "no agent is enrolled",
        Setback::WireUnsupported => "the agent speaks another protocol version",
        Setback::RepoCredsRequired => "the repository credentials are not set",
        Setback::RepoBusy => "another host is using the repository",
        Setback::QueueFull => "too many commands wait for the host",
        Setback::NoRoom => "the host holds as many jobs as it can",
        Setback::Failed(why) => class(*why),
        Setback::Lost => LOST,
        Setback::Interrupted => INTERRUPTED,
        Setback::NoSnapshot => "Backup made no snapshot",
        Setback::BackupsHeld => "another machine took the host's place, and its backups are not started yet",
        Setback::Refused(why) => return refused(why),
        Setback::AgentRefused { said, .. } | Setback::Withdrawn { said } | Setback::NoAnswer { said } => said,
    };
    words.to_owned()
}

/// Why a run was given up.
pub(crate) fn given_up(row: &GivenUp) -> String {
    let last = || row.run.last_error.as_ref().map_or_else(String::new, setback);
    match row.why() {
        None => row.reason.clone(),
        Some(GiveUp::GroupGone) => "the source group is gone".to_owned(),
        Some(GiveUp::ScheduleGone) => {
            "the schedule is gone, or does not name the source group any more".to_owned()
        }
        Some(GiveUp::PlanGone) => "the schedule or the source group is gone".to_owned(),
        Some(GiveUp::Tries) if row.run.attempt == 1 => format!("one try; last: {}", last()),
        Some(GiveUp::Tries) => format!("{} tries; last: {}", row.run.attempt, last()),
        Some(GiveUp::NoUse) => format!("{}, which another try would not mend", last()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::PendingRun;
    use schema::{Class, HostId, PendingId, Timestamp};
    use std::collections::BTreeSet;

    const NOW: Timestamp = Timestamp(1_795_415_472_000);

    fn stored(code: &str, message: &str) -> TryError {
        TryError { at: NOW, code: code.to_owned(), message: message.to_owned(), job: None }
    }

    fn row(reason: &str, attempt: u16, code: &str) -> GivenUp {
        let run = PendingRun {
            id: PendingId([1; 16]),
            host: HostId([1; 16]),
            schedule: "nightly".to_owned(),
            group: "etc".to_owned(),
            due_at: NOW,
            last_due_at: NOW,
            missed: 1,
            attempt,
            next_attempt_at: None,
            last_error: Some(stored(code, "")),
            job: None,
            asleep: false,
        };
        GivenUp { at: NOW, reason: reason.to_owned(), run }
    }

    #[test]
    fn each_setback_has_its_words() {
        for sample in Setback::samples() {
            let error = stored(sample.code(), "");
            let said = setback(&error);
            // What comes with words of its own is told with them.
            assert_eq!(said == sample.code(), error.setback().is_none(), "{sample:?}: {said}");
        }
        let of_class = Class::ALL.map(|class| setback(&stored(class.as_str(), "")));
        assert!(of_class.iter().zip(Class::ALL).all(|(words, known)| words == class(known)));
        let different: BTreeSet<_> = Setback::samples().iter().map(words).collect();
        // What the three say that come with words of their own is the same in the samples.
        assert_eq!(different.len(), Setback::samples().len() - 2, "{different:?}");
        let told = |sample: &Setback| format!("{}: {}\n", sample.code(), words(sample));
        insta::assert_snapshot!("setbacks", Setback::samples().iter().map(told).collect::<String>());
    }

    #[test]
    fn what_an_older_server_wrote_is_told_as_it_was() {
        let words = "the host holds as many jobs as it can";
        assert_eq!(setback(&stored("queue_full", words)), words);
        let reason = "4 tries; last: Repository can't be reached";
        assert_eq!(given_up(&row(reason, 3, "network")), reason);
        assert_eq!(setback(&stored("a_later_code", "")), "a_later_code");
    }

    #[test]
    fn what_was_given_up_says_how_often_it_was_tried_and_how_that_ended() {
        for (why, attempt, expected) in [
            (GiveUp::Tries, 1, "one try; last: Repository can't be reached"),
            (GiveUp::Tries, 4, "4 tries; last: Repository can't be reached"),
            (GiveUp::NoUse, 1, "Repository can't be reached, which another try would not mend"),
            (GiveUp::GroupGone, 1, "the source group is gone"),
            (GiveUp::ScheduleGone, 1, "the schedule is gone, or does not name the source group any more"),
            (GiveUp::PlanGone, 1, "the schedule or the source group is gone"),
        ] {
            assert_eq!(given_up(&row(why.code(), attempt, "network")), expected);
        }
    }
}
