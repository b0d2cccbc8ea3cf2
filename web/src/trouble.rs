//! What is wrong with the server, judged from what it says of itself.

use crate::format::bytes;
use crate::problem::sentence;
use crate::server_facts::TaskFacts;
use fleet::WriterCounts;
use schema::Timestamp;
use serde::Serialize;

/// With less than this left a disk is nearly full, in bytes.
pub const LITTLE_SPACE: u64 = 256 << 20;
/// A disk that could not be written is well again when this long nothing failed.
const FAILED_FOR_MS: u64 = 30_000;

/// When it was last tried to write, and what came of it.
pub(crate) type Proven = Option<(Timestamp, bool)>;

/// How many commits had failed when that was last looked at, and when one more had.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failures(Option<(u64, Timestamp)>);

impl Failures {
    pub(crate) fn is_recent(&mut self, failed: u64, now: Timestamp) -> bool {
        let (seen, at) = *self.0.get_or_insert((0, now));
        if failed != seen {
            self.0 = Some((failed, now));
        }
        failed != seen || (failed > 0 && now >= at && now.ms_since(at) < FAILED_FOR_MS)
    }
}

/// Something that is wrong with the server, or soon will be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerTrouble {
    /// It does not do all that it should; else it soon won't.
    pub(crate) is_failure: bool,
    pub(crate) title: String,
    pub(crate) text: String,
    /// Where the server is that has the place of this one.
    pub(crate) elsewhere: Option<String>,
}

impl ServerTrouble {
    fn new(is_failure: bool, title: &str, text: String) -> Self {
        Self { is_failure, title: title.to_owned(), text, elsewhere: None }
    }
}

/// The server that has the place of this one.
pub(crate) struct Successor {
    /// What that means, in words.
    pub(crate) text: String,
    /// Where its pages are; `None` = that is not known.
    pub(crate) url: Option<String>,
}

/// What is wrong with the archives of the server, in words.
pub(crate) enum ArchiveTrouble {
    /// The newest one is too old.
    Late(String),
    /// Nobody has said what opens them, and there are hosts to lose.
    NoKey(String),
}

/// What is wrong with the server, the worst first.
pub(crate) fn judge(
    (damage, successor): (Option<(String, String)>, Option<Successor>),
    (lost_piece, archives, late_standbys): (Option<String>, Option<ArchiveTrouble>, Option<String>),
    (writer, failed_recently): (WriterCounts, bool),
    space_left: Option<u64>,
    tasks: Vec<TaskFacts>,
) -> Vec<ServerTrouble> {
    let mut troubles = Vec::new();
    let mut fails = |title: &str, text: String| {
        troubles.push(ServerTrouble::new(true, title, text));
    };
    if let Some((ago, why)) = damage {
        fails(
            "The server's data file is damaged",
            format!(
                "Something other than the server has changed it, such as a bad disk; that was found {ago}. {why} From then on \
                 the server only reads: nothing can be changed, no job is begun from here, and who signs in is forgotten when \
                 it ends. Agents are not let in, keep what they have to report, and back up by their schedules. Stop the \
                 server, and restore an archive (holdfast-server restore), or make a new data folder of what can be read \
                 (holdfast-server salvage)."
            ),
        );
    }
    if let Some(Successor { text, url: elsewhere }) = successor {
        let title = "Another server has the place of this one, which stands still";
        troubles.push(ServerTrouble { elsewhere, ..ServerTrouble::new(true, title, text) });
    }
    let mut fails = |title: &str, text: String| troubles.push(ServerTrouble::new(true, title, text));
    if let Some(fault) = writer.fault.filter(|_| writer.failing > 0) {
        fails(
            sentence(fault.in_words()).trim_end_matches('.'),
            format!(
                "Nothing can be changed here, and what hosts report waits with them. {}",
                sentence(fault.advice())
            ),
        );
    } else if let Some(fault) = writer.fault.filter(|_| failed_recently) {
        // One small write that succeeds does not mean that the next one does.
        fails(
            "Changes could not be written just now",
            format!(
                "The last one went through, but at least one in the half minute before did not, with “{}”. If that comes \
                 again: {}",
                fault.in_words(),
                sentence(fault.advice())
            ),
        );
    } else if let Some(left) = space_left.filter(|left| *left < LITTLE_SPACE) {
        let text = format!(
            "{} are left where its data file is. Free some space before it can't be written.",
            bytes(left)
        );
        troubles.push(ServerTrouble::new(false, "The server's disk is nearly full", text));
    }
    if let Some(why) = lost_piece {
        let text = format!("It goes on with what it read at its start. {}", sentence(&why));
        troubles.push(ServerTrouble::new(false, "The next start of the server would fail", text));
    }
    if let Some(archives) = archives {
        let (title, text) = match archives {
            ArchiveTrouble::Late(text) => ("The newest archive of the server is too old", text),
            ArchiveTrouble::NoKey(text) => ("No archive of the server is made", text),
        };
        let text = format!("{text} See Archives in the settings.");
        troubles.push(ServerTrouble::new(false, title, text));
    }
    if let Some(text) = late_standbys {
        troubles.push(ServerTrouble::new(false, "A standby of the server falls behind", text));
    }
    if let Some(silent) = in_trouble(tasks) {
        troubles.push(ServerTrouble::new(true, "A part of the server is unhealthy", silent));
    }
    troubles
}

/// Which tasks are not well, in words; `None` = all are.
pub(crate) fn in_trouble(tasks: Vec<TaskFacts>) -> Option<String> {
    let silent: Vec<String> = tasks
        .into_iter()
        .filter(|task| !task.is_well())
        .map(|task| format!("{} has not responded for {} s", task.name, task.since_beat.as_secs()))
        .collect();
    (!silent.is_empty())
        .then(|| format!("Unhealthy: {}. Restart the server, and look at its log.", silent.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::WriteFault;
    use std::time::Duration;

    #[test]
    fn a_commit_that_failed_counts_for_half_a_minute() {
        let mut failures = Failures::default();
        let at = |secs: u64| Timestamp(1_000_000 + secs * 1_000);
        assert!(!failures.is_recent(0, at(0)));
        assert!(failures.is_recent(1, at(5)));
        assert!(failures.is_recent(1, at(34)));
        assert!(failures.is_recent(2, at(34)));
        assert!(failures.is_recent(2, at(63)));
        assert!(!failures.is_recent(2, at(64)));
        assert!(!failures.is_recent(2, at(0)), "the clock was put back");
    }

    #[test]
    fn what_is_wrong_is_told_the_worst_first() {
        let well = TaskFacts {
            name: "schedules",
            period: Duration::from_secs(30),
            since_beat: Duration::from_secs(90),
            restarts: 0,
        };
        let silent = TaskFacts { since_beat: Duration::from_secs(91), ..well };
        let counts = |failing, fault: Option<WriteFault>| {
            (WriterCounts { failing, fault, ..WriterCounts::default() }, false)
        };
        let damage = || Some(("1 h ago".to_owned(), "A page.".to_owned()));
        let table = [
            (None, counts(0, None), Some(LITTLE_SPACE), well, vec![]),
            (None, counts(0, None), None, well, vec![]),
            (None, counts(0, None), Some(LITTLE_SPACE - 1), well, vec![("nearly full", false)]),
            (None, counts(1, Some(WriteFault::Full)), Some(0), well, vec![("is full", true)]),
            (
                None,
                (counts(0, Some(WriteFault::Full)).0, true),
                Some(0),
                well,
                vec![("could not be written just now", true)],
            ),
            (None, (counts(1, Some(WriteFault::Full)).0, true), Some(0), well, vec![("is full", true)]),
            (None, counts(0, Some(WriteFault::Full)), None, well, vec![]),
            (None, counts(9, Some(WriteFault::ReadOnly)), Some(0), well, vec![("read-only", true)]),
            (None, counts(9, Some(WriteFault::Limit)), Some(0), well, vec![("limit on the size", true)]),
            (None, counts(9, Some(WriteFault::Descriptors)), Some(0), well, vec![("connections open", true)]),
            (None, counts(9, Some(WriteFault::Replaced)), Some(0), well, vec![("moved or replaced", true)]),
            (
                None,
                counts(9, Some(WriteFault::Other)),
                Some(0),
                well,
                vec![("can't be read or written", true)],
            ),
            (damage(), counts(0, None), None, silent, vec![("damaged", true), ("unhealthy", true)]),
        ];
        for (damage, counts, left, task, expected) in table {
            let found = judge((damage, None), (None, None, None), counts, left, vec![task]);
            let found: Vec<_> =
                found.iter().map(|trouble| (trouble.title.as_str(), trouble.is_failure)).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((title, is_failure), (word, expected)) in found.iter().zip(&expected) {
                assert!(title.contains(word) && is_failure == expected, "{found:?}");
            }
        }
    }

    #[test]
    fn where_the_server_is_that_has_the_place_and_that_no_archive_is_made_is_told() {
        let found = |successor, archives| {
            let counts = (WriterCounts::default(), false);
            judge((None, successor), (None, archives, None), counts, None, Vec::new()).remove(0)
        };
        let successor = Successor { text: "It has.".to_owned(), url: Some("https://new".to_owned()) };
        let told = found(Some(successor), None);
        assert!(told.is_failure && told.elsewhere.as_deref() == Some("https://new"), "{told:?}");
        let told = found(None, Some(ArchiveTrouble::NoKey("None is made.".to_owned())));
        assert!(!told.is_failure && told.title.starts_with("No archive"), "{told:?}");
        assert_eq!(told.text, "None is made. See Archives in the settings.");
    }

    #[test]
    fn that_nothing_can_be_changed_is_told_only_until_a_change_goes_through() {
        let told = |failing| {
            let counts = WriterCounts { failing, fault: Some(WriteFault::Full), ..WriterCounts::default() };
            judge((None, None), (None, None, None), (counts, true), None, Vec::new()).remove(0)
        };
        assert!(told(1).text.contains("Nothing can be changed"));
        let after = told(0);
        assert!(after.is_failure);
        assert!(after.text.contains("The last one went through"), "{after:?}");
        assert!(after.text.contains("“the server's disk is full”"), "{after:?}");
        assert!(!after.text.contains("Nothing can be changed"), "{after:?}");
    }
}
