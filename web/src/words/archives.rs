//! How the archives of the server stand, in words.

use super::standbys::heard;
use crate::format::{ago, bytes};
use crate::problem::sentence;
use fleet::{ArchiveState, ArchiveStatus, Standby};
use schema::Timestamp;

/// How they stand.
pub(crate) struct ArchivesWords {
    /// The state in the templates.
    pub(crate) state: &'static str,
    pub(crate) short: &'static str,
    pub(crate) sentence: String,
}

/// In short and in a sentence. A standby that follows has an archive, too, but none of yesterday.
pub(crate) fn archives(now: Timestamp, status: &ArchiveStatus, standbys: &[Standby]) -> ArchivesWords {
    let newest = status.newest(now).map(|kept| format!("{} ({})", ago(now, kept.at), bytes(kept.bytes)));
    let failed = || match &status.failed {
        Some((at, why)) => format!(" The last try failed {}: {}", ago(now, *at), sentence(why)),
        None => String::new(),
    };
    let (state, short, sentence) = match (status.state, newest) {
        (ArchiveState::NoKey, _) => (
            "never",
            "Not set up",
            match standbys.iter().find(|standby| standby.has_one && !standby.is_late) {
                None => "None is made: nobody has said what opens them. Without one, everything here is gone with this machine."
                    .to_owned(),
                Some(standby) => format!(
                    "None is made: nobody has said what opens them. The standby {} can take the place of this machine ({}), but it \
                     keeps its last few archives, of a quarter of an hour perhaps: what somebody deletes here is soon gone there, too.",
                    standby.name,
                    heard(now, standby)
                ),
            },
        ),
        (ArchiveState::Ok, Some(newest)) => {
            ("ok", "Up to date", format!("The newest was made {newest}.{}", failed()))
        }
        (ArchiveState::Ok | ArchiveState::Begun, _) => {
            ("running", "Begun", format!("The first one is being made.{}", failed()))
        }
        (ArchiveState::Late, Some(newest)) => {
            ("warning", "Too old", format!("The newest was made {newest}.{}", failed()))
        }
        (ArchiveState::Late, None) => ("warning", "None", format!("None could be made so far.{}", failed())),
    };
    if status.lacks.is_empty() {
        return ArchivesWords { state, short, sentence };
    }
    let (state, short) =
        if status.state == ArchiveState::Ok { ("warning", "Lack something") } else { (state, short) };
    let lacks: String =
        status.lacks.iter().map(|what| format!(" They go without {}", with_end(what))).collect();
    ArchivesWords { state, short, sentence: sentence + &lacks }
}

/// Words that stand in the middle of a sentence, with its end.
fn with_end(words: &str) -> String {
    format!("{}.", words.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::Kept;

    #[test]
    fn the_sentence_says_how_old_the_newest_is_and_why_there_is_none() {
        const DAY: u64 = 86_400_000;
        let now = Timestamp(1_794_500_000_000);
        let before = |days: u64| Timestamp(now.0 - days * DAY);
        let standby = |name: &str, fetched_at, is_late| Standby {
            name: name.to_owned(),
            recipient: "age1x".to_owned(),
            added_at: before(9),
            asked_at: Some(Timestamp(now.0 - 180_000)),
            has_all: false,
            fetched_at,
            bytes: 0,
            peer: String::new(),
            is_late,
            has_one: fetched_at.is_some(),
            uses_none: false,
        };
        let said_with = |standbys: &[Standby], state, kept: Option<u64>, failed: bool| {
            let kept = kept.map(|days| Kept { name: "x.age".into(), at: before(days), bytes: 2_000_000 });
            let status = ArchiveStatus {
                key: None,
                kept: kept.into_iter().collect(),
                failed: failed.then(|| (before(1), "the disk is full".to_owned())),
                lacks: Vec::new(),
                is_busy: false,
                state,
                folder: "/srv".to_owned(),
            };
            let ArchivesWords { state, short, sentence } = archives(now, &status, standbys);
            format!("{state} {short}: {sentence}")
        };
        let said = |state, kept, failed| said_with(&[], state, kept, failed);
        let (new, late) = (standby("new", None, false), standby("late", Some(before(2)), true));
        let follows = standby("attic", Some(before(1)), false);
        let text = [
            said_with(&[new.clone(), late.clone()], ArchiveState::NoKey, None, false),
            said_with(&[new, late, follows], ArchiveState::NoKey, None, false),
            said(ArchiveState::NoKey, None, false),
            said(ArchiveState::NoKey, Some(9), false),
            said(ArchiveState::Begun, None, false),
            said(ArchiveState::Begun, None, true),
            said(ArchiveState::Ok, Some(1), false),
            said(ArchiveState::Ok, Some(1), true),
            said(ArchiveState::Late, Some(3), true),
            said(ArchiveState::Late, None, true),
        ];
        insta::assert_snapshot!("archives", text.join("\n"));
        let lacks = ArchiveStatus {
            key: None,
            kept: vec![Kept { name: "x.age".into(), at: before(1), bytes: 2_000_000 }],
            failed: None,
            lacks: vec!["the certificate of the pages: it is not there".to_owned()],
            is_busy: false,
            state: ArchiveState::Ok,
            folder: "/srv".to_owned(),
        };
        let said = archives(now, &lacks, &[]);
        assert_eq!((said.state, said.short), ("warning", "Lack something"));
        assert!(said.sentence.ends_with(". They go without the certificate of the pages: it is not there."));
    }
}
