//! Why a host stands as it does, in short words.

use super::terms::{class, job_kind};
use fleet::Reason;
use fleet::record::Unusual;
use schema::{Class, Timestamp};

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

/// In short words ("Wrong password"), with the source group before them where there are several; empty when all is
/// well.
pub(crate) fn reason(reason: &Reason, now: Timestamp) -> String {
    let words = without_group(reason, now);
    group(reason).map_or_else(|| words.clone(), |group| format!("{group}: {words}"))
}

/// The same of several hosts with this cause, whenever it began on each of them.
pub(crate) fn reason_of_several(cause: &Reason) -> String {
    match cause {
        Reason::Missed { .. } => "A backup is overdue".to_owned(),
        Reason::Offline { .. } => "Offline for more than a day".to_owned(),
        Reason::CheckOverdue { .. } => "The check of its repository is overdue".to_owned(),
        Reason::Unproven { proven_at, .. } => unproven(proven_at.is_some()).to_owned(),
        Reason::Clock { ahead_ms, .. } => format!("Its clock is {}", way(*ahead_ms)),
        Reason::Old { group, .. } => {
            let words = "The last good backup is too old";
            group.as_ref().map_or_else(|| words.to_owned(), |group| format!("{group}: {words}"))
        }
        timeless => reason(timeless, Timestamp::default()),
    }
}

fn group(reason: &Reason) -> Option<&str> {
    match reason {
        Reason::Never { group }
        | Reason::Lost { group }
        | Reason::Failed { group, .. }
        | Reason::Interrupted { group }
        | Reason::Loss { group, .. }
        | Reason::Old { group, .. }
        | Reason::Lacking { group, .. }
        | Reason::NoSnapshot { group }
        | Reason::ProofFailed { group, .. }
        | Reason::NoSchedule { group }
        | Reason::Mended { group, .. }
        | Reason::Unusual { group, .. }
        | Reason::Unproven { group, .. } => group.as_deref(),
        _ => None,
    }
}

fn without_group(reason: &Reason, now: Timestamp) -> String {
    let words = match reason {
        Reason::Ok => "",
        Reason::TestFailed { class: tested } => {
            let why = tested.map_or("see its job", class);
            return format!("The last credentials test failed: {why}");
        }
        Reason::WentAway { kind, is_dry_run } => {
            return format!("{} ran when the host went away", job_kind(*kind, *is_dry_run));
        }
        Reason::Running { kind, is_dry_run, has_begun, .. } => {
            let does = if *has_begun { "runs" } else { "waits its turn at the agent" };
            return format!("{} {does}", job_kind(*kind, *is_dry_run));
        }
        Reason::NotEnrolled => "No agent yet",
        Reason::NoRepository => "No repository yet",
        Reason::NoGroup => "No source group yet",
        Reason::Never { .. } => "Not backed up yet",
        Reason::Lost { .. } => LOST,
        Reason::Failed { class: failed, .. } => class(failed.unwrap_or(Class::Other)),
        Reason::Interrupted { .. } => INTERRUPTED,
        Reason::Loss { .. } => {
            "More than half of what is usual is gone: look at it; until then nothing is forgotten"
        }
        Reason::Old { good_at, .. } => {
            return format!("Last good backup {} ago", days(now.ms_since(*good_at)));
        }
        Reason::Lacking { class: lacking, .. } => class(lacking.unwrap_or(Class::SourceUnreadable)),
        Reason::NoSnapshot { .. } => "No backup has made a snapshot yet",
        Reason::Missed { since } => return format!("A backup is {} overdue", days(now.ms_since(*since))),
        Reason::BackupsHeld { .. } => "Another machine took its place: restore, then start its backups",
        Reason::Offline { since } => return format!("Offline for {}", days(now.ms_since(*since))),
        Reason::StateFolder { .. } => {
            "Its agent can't write its state folder: look at the space on its disk, and whether it is mounted read-only"
        }
        Reason::Wire { version, .. } => return format!("The agent speaks protocol version {version}"),
        Reason::Quarantine { .. } => "Two machines have its identity; neither can connect",
        Reason::CheckOverdue { since } => {
            return format!("The check of its repository is {} overdue", days(now.ms_since(*since)));
        }
        Reason::Unplanned { what, .. } => return what.to_string(),
        Reason::Held { group, .. } => {
            return format!("Nothing of {group} is forgotten until somebody has looked at its snapshots");
        }
        Reason::Clock { ahead_ms, .. } => {
            return format!("Its clock is {} {}", days(ahead_ms.unsigned_abs()), way(*ahead_ms));
        }
        Reason::NoCredentials => "Its repository credentials were removed",
        Reason::Replaced { .. } => "Another repository is at its address",
        Reason::Damaged { .. } => "Repository has errors",
        Reason::ProofFailed { .. } => "Its last proof found files that can't be restored, or are different",
        Reason::Unproven { proven_at: Some(at), .. } => {
            return format!("Last proven {} ago", days(now.ms_since(*at)));
        }
        Reason::Unproven { proven_at: None, .. } => unproven(false),
        Reason::NoSchedule { .. } => "In no schedule that is on",
        Reason::CredentialsRefused { class: refused, .. } => {
            return format!("Its credentials are refused: {}", class(*refused));
        }
        Reason::Unusual { what: Unusual::GrewBy, .. } => {
            "A backup added far more than is usual: look at it; until then nothing is forgotten"
        }
        Reason::Unusual { what: Unusual::FilesGone, .. } => {
            "Half of the files were replaced by others: look at it; until then nothing is forgotten"
        }
        Reason::Unusual { what: Unusual::AlmostAllChanged, .. } => {
            "Almost all files changed at once: look at it; until then nothing is forgotten"
        }
        Reason::Mended { class: failed, .. } => {
            return format!(
                "{}: mended, waits for proof by a good backup",
                class(failed.unwrap_or(Class::Other))
            );
        }
    };
    words.to_owned()
}

const fn unproven(was_proven: bool) -> &'static str {
    if was_proven {
        "Not proven for too long that it can be restored"
    } else {
        "Not proven yet that it can be restored"
    }
}

/// What is said of a backup that its agent knows nothing of any more.
pub(super) const LOST: &str = "Backup was interrupted";
/// What is said of one that something on its host ended.
pub(super) const INTERRUPTED: &str = "Backup was ended by something on its host";

const fn way(ahead_ms: i64) -> &'static str {
    if ahead_ms < 0 { "behind" } else { "ahead" }
}

fn days(ms: u64) -> String {
    match ms / DAY_MS {
        0 => format!("{} h", ms / HOUR_MS),
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::JobKind;
    use std::collections::BTreeSet;

    const NOW: Timestamp = Timestamp(1_000 * DAY_MS);

    fn ago(hours: u64) -> Timestamp {
        Timestamp(NOW.0 - hours * HOUR_MS)
    }

    #[test]
    fn each_reason_has_its_words() {
        let class = Some(Class::Auth);
        let of = || Some("home".to_owned());
        let (kind, is_dry_run, since) = (JobKind::Prune, false, ago(1));
        let runs = |has_begun| Reason::Running { kind, is_dry_run, has_begun, since };
        let day = 24 * HOUR_MS as i64;
        for (told, expected) in [
            (Reason::Ok, ""),
            (Reason::TestFailed { class }, "The last credentials test failed: Wrong password"),
            (Reason::TestFailed { class: None }, "The last credentials test failed: see its job"),
            (Reason::WentAway { kind, is_dry_run }, "Prune ran when the host went away"),
            (runs(true), "Prune runs"),
            (runs(false), "Prune waits its turn at the agent"),
            (Reason::Never { group: None }, "Not backed up yet"),
            (Reason::Never { group: of() }, "home: Not backed up yet"),
            (Reason::Lost { group: None }, "Backup was interrupted"),
            (
                Reason::Failed { group: of(), class: Some(Class::Network) },
                "home: Repository can't be reached",
            ),
            (Reason::Failed { group: None, class: None }, "Backup failed"),
            (Reason::Lacking { group: None, class: None }, "Some files could not be read"),
            (
                Reason::Lacking { group: None, class: Some(Class::SourceEmpty) },
                "A path to back up brought nothing",
            ),
            (Reason::Old { group: None, good_at: ago(49) }, "Last good backup 2 days ago"),
            (Reason::Missed { since: ago(3) }, "A backup is 3 h overdue"),
            (Reason::Offline { since: ago(49) }, "Offline for 2 days"),
            (Reason::CheckOverdue { since: ago(50) }, "The check of its repository is 2 days overdue"),
            (Reason::Clock { ahead_ms: day / 8, since }, "Its clock is 3 h ahead"),
            (Reason::Clock { ahead_ms: -50 * day, since }, "Its clock is 50 days behind"),
            (Reason::Wire { version: 9, at: since }, "The agent speaks protocol version 9"),
        ] {
            assert_eq!(reason(&told, NOW), expected, "{told:?}");
        }
    }

    #[test]
    fn no_two_reasons_have_the_same_words() {
        let samples = Reason::samples(ago(30));
        let words: BTreeSet<_> = samples.iter().map(|sample| reason(sample, NOW)).collect();
        assert_eq!(words.len(), samples.len(), "{words:?}");
        let several: BTreeSet<_> =
            samples.iter().map(|sample| reason_of_several(&sample.timeless())).collect();
        assert_eq!(several.len(), samples.len(), "{several:?}");
        let told = |sample: &Reason| format!("{}: {}\n", sample.code(), reason(sample, NOW));
        insta::assert_snapshot!("reasons", samples.iter().map(told).collect::<String>());
    }

    #[test]
    fn what_stands_as_before_is_told_a_day_later_with_another_duration_and_else_the_same() {
        let without_durations = |words: String| {
            let is_duration = |word: &&str| {
                word.bytes().all(|byte| byte.is_ascii_digit()) || ["h", "day", "days"].contains(word)
            };
            words.split(' ').filter(|word| !is_duration(word)).collect::<Vec<_>>().join(" ")
        };
        let since = ago(30);
        let later = NOW.plus_ms(DAY_MS);
        for told in Reason::samples(since) {
            let (before, after) = (reason(&told, NOW), reason(&told, later));
            let lasts = matches!(
                told,
                Reason::Old { .. }
                    | Reason::Missed { .. }
                    | Reason::Offline { .. }
                    | Reason::CheckOverdue { .. }
                    | Reason::Unproven { .. }
            );
            assert_eq!(before != after, lasts, "{before}; {after}");
            assert_eq!(without_durations(before), without_durations(after));
        }
    }

    #[test]
    fn words_of_several_hosts_hold_no_duration() {
        let said = |since: Timestamp| {
            let samples = Reason::samples(since);
            samples.iter().map(|sample| reason_of_several(&sample.timeless())).collect::<Vec<_>>()
        };
        assert_eq!(said(ago(30)), said(ago(300)));
        assert!(said(ago(30)).iter().all(|words| !words.contains("days")));
    }
}
