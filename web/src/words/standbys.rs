//! How the standbys of the server follow, and that one has taken its place, in words.

use crate::format::ago;
use fleet::record::Succession;
use fleet::{FormerFound, FormerServer, Standby};
use schema::Timestamp;

/// When a standby was heard of last.
pub(crate) fn heard(now: Timestamp, standby: &Standby) -> String {
    let asked = standby.asked_at.map(|at| format!("asked {}", ago(now, at)));
    let fetched = standby.fetched_at.map(|at| format!("was sent an archive {}", ago(now, at)));
    let all = standby.has_all.then(|| "has all that there is".to_owned());
    let none = standby.uses_none.then(|| {
        "could not use what it was sent: its log says why; is the recipient that was given here the one that it prints?".to_owned()
    });
    let heard: Vec<String> = [all, asked, fetched, none].into_iter().flatten().collect();
    if heard.is_empty() { "has fetched nothing yet".to_owned() } else { heard.join(", ") }
}

/// Standbys that keep silent; `None` = all follow.
pub(crate) fn late_standbys(now: Timestamp, standbys: &[Standby]) -> Option<String> {
    let late = standbys.iter().filter(|standby| standby.is_late);
    let late: Vec<String> = late.map(|it| format!("The standby {} {}.", it.name, heard(now, it))).collect();
    (!late.is_empty()).then(|| {
        format!(
            "{} Look whether it runs and reaches this server, or remove it; see Archives in the settings.",
            late.join(" ")
        )
    })
}

/// What a server that stands still says.
pub(crate) fn succession(now: Timestamp, succession: &Succession) -> String {
    let Succession { incarnation, since, url } = succession;
    let at = match url.as_str() {
        "" => ". Where its pages are it does not say, as it has no --public-url of its own that leads there: look for the machine that was the \
               standby of this one (the audit has the address from which this one was told that its place is taken)"
            .to_owned(),
        url => format!(" at {url}"),
    };
    format!(
        "It was made of an archive of this one {}, is incarnation {incarnation}, and serves the hosts{at}. Here nothing can be \
         changed, no job is begun, no archive is made, and no agent is let in; what is here can be read. Stop this server. To \
         use its machine as the standby now: empty its data folder, and start it with serve --follow. To go back to this \
         server: stop the other one, make an archive of this one (holdfast-server backup --to), and restore that.",
        ago(now, *since)
    )
}

/// Whether the server whose place this one has knows it, in short, and what to do.
pub(crate) fn former(now: Timestamp, former: &FormerServer) -> (String, String) {
    let url = &former.url;
    let again = "It is tried each half minute.";
    match &former.last {
        None => (
            "The former server has not been told yet".to_owned(),
            format!("It was at {url}, and is told as soon as it answers there. {again}"),
        ),
        Some((at, FormerFound::StandsStill)) => (
            "The former server stands still".to_owned(),
            format!(
                "It is at {url}, was told {} that this one has its place, and changes nothing any more. Stop it. Its machine can be \
                 the standby of this server: empty its data folder, and start it with serve --follow.",
                ago(now, *at)
            ),
        ),
        Some((at, FormerFound::OtherServer)) => (
            "No former server is where it was".to_owned(),
            format!(
                "At {url} this server itself answers, or one that was restored later ({}). There is nothing to do as long as no other \
                 one runs.",
                ago(now, *at)
            ),
        ),
        Some((at, FormerFound::Untold(why))) => match former.told_at {
            Some(told_at) => (
                "The former server was told, and is not reached now".to_owned(),
                format!(
                    "At {url} it stood still when it was told {}. Now, {}: {why}. {again}",
                    ago(now, told_at),
                    ago(now, *at)
                ),
            ),
            None => (
                "The former server has not been told".to_owned(),
                format!(
                    "At {url} it was not reached {}: {why}. {again} Where its machine is off, there is nothing to do: it is told when it \
                     comes back. Where it runs and this server does not reach it, it goes on as before, and what it is told is lost: \
                     stop it by hand.",
                    ago(now, *at)
                ),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_former_server_it_is_said_whether_it_knows_and_what_to_do() {
        let now = Timestamp(1_794_500_000_000);
        let before = |minutes: u64| Timestamp(now.0 - minutes * 60_000);
        let untold = || FormerFound::Untold("connection refused".to_owned());
        let said = [
            (None, None),
            (Some(FormerFound::StandsStill), Some(before(2))),
            (Some(FormerFound::OtherServer), None),
            (Some(untold()), None),
            (Some(untold()), Some(before(9))),
        ]
        .map(|(found, told_at)| {
            let last = found.map(|found| (before(2), found));
            let (title, text) = former(now, &FormerServer { url: "https://old".to_owned(), last, told_at });
            format!("{title}\n  {text}\n")
        });
        insta::assert_snapshot!("former_server", said.concat());
    }

    #[test]
    fn only_those_that_keep_silent_are_told_of_with_when_they_were_heard() {
        let now = Timestamp(1_794_500_000_000);
        let hours = |hours: u64| Some(Timestamp(now.0 - hours * 3_600_000));
        let standby = |name: &str, asked_at, fetched_at, is_late| Standby {
            name: name.to_owned(),
            recipient: "age1x".to_owned(),
            added_at: Timestamp(1),
            asked_at,
            has_all: false,
            fetched_at,
            bytes: 0,
            peer: String::new(),
            is_late,
            has_one: fetched_at.is_some(),
            uses_none: false,
        };
        assert_eq!(late_standbys(now, &[standby("attic", hours(1), hours(9), false)]), None);
        let all = [
            standby("attic", hours(1), hours(9), false),
            standby("barn", hours(4), hours(9), true),
            standby("cave", None, None, true),
        ];
        let told = late_standbys(now, &all).unwrap();
        assert!(told.starts_with("The standby barn asked 4 h ago, was sent an archive 9 h ago."), "{told}");
        assert!(
            told.contains("The standby cave has fetched nothing yet.") && !told.contains("attic"),
            "{told}"
        );
    }
}
