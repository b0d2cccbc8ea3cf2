//! What somebody has to look at in a source group: snapshots that lack something, a sudden loss, or a backup that is
//! unlike those before it; and the word that it is right as it is.

use super::confirm::ConfirmView;
use crate::app::Ctx;
use crate::format::{bytes, count, day, many};
use crate::problem::Problem;
use crate::query::Query;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::Refused;
use fleet::record::{
    Extent, Group, Hold, Host, Past, Retention, Soundness, Unusual, UnusualBackup, UnusualBackups,
};
use schema::JobId;
use serde::Serialize;

/// What is said of a group on its host's page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LookView {
    /// Something waits until somebody has looked.
    pub(crate) is_held: bool,
    /// The last backup is whole: only the hold ends.
    pub(crate) is_whole_again: bool,
    pub(crate) title: String,
    pub(crate) text: String,
    /// Where to look: the backup, or the snapshots.
    pub(crate) at: LookAt,
    /// Where the word is given; `None` = there is none to give.
    pub(crate) accept: Option<String>,
    /// What is pressed to give it.
    pub(crate) accept_label: &'static str,
    /// That an unusual backup is as it should be is all there is to say.
    pub(crate) is_unusual: bool,
}

/// A link to what is to be looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LookAt {
    pub(crate) label: &'static str,
    pub(crate) href: String,
}

impl LookView {
    /// `None` = there is nothing to look at. `failed`: the last listing of the snapshots, when it did not bring all.
    pub(crate) fn new(host: &Host, group: &Group, known: &Soundness, failed: Option<JobId>) -> Option<Self> {
        let (has_rule, group) = (group.keep != Retention::default(), group.name.as_str());
        let Some(mark) = known.mark() else {
            return known.hold().filter(|_| has_rule).map(|hold| Self::waits(host, group, hold, failed));
        };
        let said = said(group, known, has_rule);
        let (title, _) = said.first()?.clone();
        let is_unusual = is_unusual_only(known);
        let texts: Vec<String> = said.into_iter().map(|(_, text)| text).collect();
        Some(Self {
            is_held: known.hold().is_some(),
            is_whole_again: known.is_whole_again()
                && known.spared == 0
                && known.unusual.is_none()
                && known.hold() != Some(Hold::Unsized),
            title,
            text: texts.join(" "),
            at: LookAt { label: "View the backup", href: format!("/jobs/{mark}") },
            accept: Some(format!("/hosts/{}/groups/{group}/accept?mark={mark}", host.id)),
            accept_label: if is_unusual { "I have looked…" } else { "Accept…" },
            is_unusual,
        })
    }

    /// There is nothing yet that could be said to be right.
    fn waits(host: &Host, group: &str, hold: Hold, failed: Option<JobId>) -> Self {
        let snapshots = LookAt { label: "Snapshots", href: format!("/hosts/{}/snapshots", host.id) };
        let (text, at) = match (hold, failed) {
            (Hold::Unlisted, Some(job)) => (
                "The last listing did not return all of its snapshots. Until one does, nothing of it is forgotten; \
                 maintenance retries when a forget is due.",
                LookAt { label: "View the listing", href: format!("/jobs/{job}") },
            ),
            (Hold::Unlisted, None) => (
                "Until they are, nothing of it is forgotten. Maintenance lists the snapshots when a forget is due; to list \
                 them now, refresh the page of the snapshots.",
                snapshots,
            ),
            (Hold::TooManyLacking, _) => (
                "Too many of them to track hold less than half of the largest. Make a first backup here, then accept it \
                 on this page if it is complete. Until then nothing of it is forgotten and nothing is pruned.",
                snapshots,
            ),
            (_, _) => (
                "The restic of the host does not report their sizes. Make a first backup here and compare it with them, \
                 then accept it on this page if it is complete. Until then nothing of it is forgotten.",
                snapshots,
            ),
        };
        let title = match hold {
            Hold::Unlisted => format!("Existing snapshots of {group} are not listed yet"),
            Hold::TooManyLacking => {
                format!("Many existing snapshots of {group} hold much less than others")
            }
            _ => format!("Existing snapshots of {group} need a review"),
        };
        let text = text.to_owned();
        let (accept, accept_label) = (None, "Accept…");
        Self {
            is_held: false,
            is_whole_again: false,
            title,
            text,
            at,
            accept,
            accept_label,
            is_unusual: false,
        }
    }
}

/// All that there is to say of a group, the worst first: a title and a text each. Who says that it is right has read it.
fn said(group: &str, known: &Soundness, has_rule: bool) -> Vec<(String, String)> {
    let mut said = Vec::new();
    if let Some(loss) = &known.loss {
        let back = if loss.is_back { " A later backup held as much as before." } else { "" };
        said.push((
            format!("More than half of {group} is gone"),
            format!(
                "Since {}: a backup held {}, where it held {} before.{back} Until an operator accepts a backup, nothing of \
                 it is forgotten and nothing is pruned.",
                day(loss.since),
                extent(loss.now),
                extent(loss.usual)
            ),
        ));
    }
    if let Some(unusual) = &known.unusual {
        said.push((
            match unusual.first.what {
                Unusual::GrewBy => format!("A backup of {group} added far more than is usual"),
                Unusual::FilesGone => format!("Half of the files of {group} were replaced by others"),
                Unusual::AlmostAllChanged => format!("Almost all files of {group} changed at once"),
            },
            format!(
                "Since {}. {} Until an operator has looked, nothing of the host is forgotten and nothing is pruned.",
                day(unusual.since),
                found(unusual)
            ),
        ));
    }
    let lacking = known.lacking.len() as u64;
    if known.is_cut {
        said.push((
            format!("Too many snapshots of {group} lack data"),
            format!(
                "More than the {} that are tracked. Until an operator accepts a backup, nothing of it is forgotten and \
                 nothing is pruned.",
                count(lacking)
            ),
        ));
    }
    if let Past::Unsized(number) = known.past {
        said.push((
            format!("Existing snapshots of {group} need a review"),
            format!(
                "The repository holds {} of it that were not made from here, and the restic of the host does not report \
                 their sizes. Compare them with the last backup. Until an operator accepts it, nothing of it is forgotten.",
                many(number.into(), "snapshot")
            ),
        ));
    }
    let has_lack = known.lacking.iter().any(|flawed| flawed.lack.is_some());
    if lacking > 0 && (has_lack || said.is_empty()) {
        said.push((
            match lacking {
                1 => format!("A snapshot of {group} lacks data"),
                _ => format!("{} of {group} lack data", many(lacking, "snapshot")),
            },
            format!(
                "{}. As many complete ones are kept in addition, whatever the retention rules say.",
                reason(known)
            ),
        ));
    }
    if known.spared > 0 && has_rule && said.is_empty() {
        let is = |one: &'static str, more: &'static str| if known.spared == 1 { one } else { more };
        said.push((
            format!("{} of {group} {} in addition to the rules", many(known.spared.into(), "snapshot"), is("is kept", "are kept")),
            format!(
                "{} more than twice as much as newer ones, or paths that these lack, or the newer ones are of another owner. \
                 If the last backup is complete, accept it: then the retention rules alone decide.",
                is("It holds", "They hold")
            ),
        ));
    }
    if known.past == Past::Unlisted && has_rule {
        said.push((
            format!("Existing snapshots of {group} are not listed yet"),
            format!("Until the existing snapshots of {group} are listed, nothing of it is forgotten."),
        ));
    }
    said
}

/// Whether nothing else is to be said right.
const fn is_unusual_only(known: &Soundness) -> bool {
    known.unusual.is_some()
        && known.loss.is_none()
        && known.lacking.is_empty()
        && !known.is_cut
        && !matches!(known.past, Past::Unsized(_))
}

/// What unusual backups found: from what to what.
pub(super) fn found(unusual: &UnusualBackups) -> String {
    let first = found_by(&unusual.first);
    match unusual.count {
        0 | 1 => first,
        more => format!(
            "{first} {} since then did not fit in either. The last of them: {}",
            many(u64::from(more) - 1, "backup"),
            found_by(&unusual.last)
        ),
    }
}

fn found_by(backup: &UnusualBackup) -> String {
    let churn = &backup.churn;
    let (added, usual) = (bytes(churn.added_bytes), bytes(backup.usual_added_bytes));
    let (before, holds) = (many(churn.files_before, "file"), many(churn.files, "file"));
    match backup.what {
        Unusual::GrewBy => format!(
            "A backup added {added} of data, where {usual} are usual; it holds {holds}, {}.",
            bytes(churn.bytes)
        ),
        Unusual::FilesGone => format!(
            "Of {before} before, {} are gone; {} are new, with {added} of new data, where {usual} are usual.",
            count(churn.files_gone()),
            count(churn.files_new)
        ),
        Unusual::AlmostAllChanged => format!(
            "Of {before} before, {} are as they were; a backup found {holds}, with {added} of new data, where {usual} are \
             usual.",
            count(churn.files_kept())
        ),
    }
}

fn extent(extent: Extent) -> String {
    format!("{}, {}", many(extent.files, "file"), bytes(extent.bytes))
}

/// What the newest of them lacks.
fn reason(known: &Soundness) -> String {
    let lack = known.lacking.last().and_then(|flawed| flawed.lack.as_ref());
    let Some(lack) = lack else { return "Less than half of the usual size".to_owned() };
    let words = crate::words::class(lack.class);
    if lack.paths.is_empty() { words.to_owned() } else { format!("{words}: {}", lack.paths.join(", ")) }
}

fn confirm(host: &Host, group: &str, look: &LookView, accept: &str) -> ConfirmView {
    let (title, then) = if look.is_unusual {
        (
            format!("Is the last backup of {group} of {} as it should be?", host.name),
            "Look at the backup, and on the machine whether its files can be opened. When you say so, retention goes on: \
             older snapshots go by the rules, and in time those from before this backup, too. If you are not sure, leave \
             it: backups go on, and nothing is removed.",
        )
    } else if look.is_whole_again {
        (
            format!("Is the last backup of {group} of {} complete?", host.name),
            "Its last backup is complete again. When you accept it, retention goes on. Snapshots that lack data still \
             never displace complete ones.",
        )
    } else {
        (
            format!("Accept the last backup of {group} of {}?", host.name),
            "That backup then counts as complete: the retention rules alone decide which older snapshots are removed, and \
             some of these may hold more. If later backups lack data, you are asked again.",
        )
    };
    ConfirmView {
        title,
        body: vec![format!("{}. {}", look.title, look.text), then.to_owned()],
        action: accept.to_owned(),
        button: if look.is_unusual { "I have looked: it is as it should be" } else { "Accept" }.to_owned(),
        dismiss: "Cancel".to_owned(),
        back: format!("/hosts/{}#groups", host.id),
    }
}

/// `GET /hosts/{host}/groups/{group}/accept`.
pub(crate) async fn confirm_accept(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let group = state.group(host.id, &group)?.ok_or(Refused::GroupNotFound)?;
        let look = LookView::new(&host, &group, &state.soundness(host.id, &group.name)?, None);
        match look.as_ref().and_then(|look| Some((look, look.accept.as_deref()?))) {
            Some((look, accept)) => ctx.page(&confirm(&host, &group.name, look, accept)),
            None => Ok(ctx.go(&format!("/hosts/{}#groups", host.id))),
        }
    })
    .await
}

/// `POST /hosts/{host}/groups/{group}/accept?mark=JOB`.
pub(crate) async fn accept(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    let mark: JobId = query.get("mark").and_then(|mark| mark.parse().ok()).ok_or(Refused::StateChanged)?;
    ctx.app.fleet.accept_backup(host.id, &group, mark, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{}#groups", host.id)))
}
