//! What somebody has to look at in a source group: snapshots that lack something, or a sudden loss; and the word that it
//! is right as it is.

use super::confirm::ConfirmView;
use crate::app::Ctx;
use crate::format::{bytes, count, day, many};
use crate::problem::Problem;
use crate::query::Query;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::Refused;
use fleet::record::{Extent, Group, Hold, Host, Past, Retention, Soundness};
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
        let texts: Vec<String> = said.into_iter().map(|(_, text)| text).collect();
        Some(Self {
            is_held: known.hold().is_some(),
            is_whole_again: known.is_whole_again()
                && known.spared == 0
                && known.hold() != Some(Hold::Unsized),
            title,
            text: texts.join(" "),
            at: LookAt { label: "View the backup", href: format!("/jobs/{mark}") },
            accept: Some(format!("/hosts/{}/groups/{group}/accept?mark={mark}", host.id)),
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
        Self { is_held: false, is_whole_again: false, title, text: text.to_owned(), at, accept: None }
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
    let (title, then) = if look.is_whole_again {
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
        button: "Accept".to_owned(),
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
