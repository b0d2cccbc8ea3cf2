//! What somebody has to look at in a source group: snapshots that lack something, or a sudden loss; and the word that it
//! is right as it is.

use super::ConfirmView;
use crate::api::Query;
use crate::app::Ctx;
use crate::format::{bytes, count, day, many};
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::Refused;
use fleet::record::Hold;
use fleet::record::{Extent, Group, Host, Past, Retention, Soundness};
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
    /// `None` = there is nothing to look at.
    pub(crate) fn new(host: &Host, group: &Group, known: &Soundness) -> Option<Self> {
        let (has_rule, group) = (group.keep != Retention::default(), group.name.as_str());
        let Some(mark) = known.mark() else {
            return (known.hold() == Some(Hold::Unlisted) && has_rule).then(|| Self::unlisted(host, group));
        };
        let lacking = known.lacking.len() as u64;
        let (title, text) = match (known.hold(), &known.loss) {
            (_, Some(loss)) => {
                let back = if loss.is_back { " A later backup held as much as before again." } else { "" };
                (
                    format!("More than half of {group} is gone"),
                    format!(
                        "Since {} a backup held {}, where {} are usual.{back} Until somebody has looked, nothing of it is \
                         forgotten and nothing is pruned.",
                        day(loss.since),
                        extent(loss.now),
                        extent(loss.usual)
                    ),
                )
            }
            (Some(Hold::TooManyLacking), None) => (
                format!("Too many snapshots of {group} lack something"),
                format!(
                    "More than the {} that are kept in mind. Until somebody has looked, nothing of it is forgotten and \
                     nothing is pruned.",
                    count(lacking)
                ),
            ),
            (Some(Hold::Unsized), None) => (
                format!("Nobody has looked at what was there of {group} before"),
                format!(
                    "The repository holds {} of it that no backup here has made, and its restic does not tell how much is in \
                     them. Compare them with the last backup. Until somebody has looked, nothing of it is forgotten.",
                    match known.past {
                        Past::Unsized(number) => many(number.into(), "snapshot"),
                        Past::Unlisted | Past::Known => "snapshots".to_owned(),
                    }
                ),
            ),
            (hold, None) => (
                match lacking {
                    1 => format!("A snapshot of {group} lacks something"),
                    _ => format!("{} of {group} lack something", many(lacking, "snapshot")),
                },
                format!(
                    "{}. As many whole ones are kept beside them, whatever the rules say.{}",
                    reason(known),
                    match hold {
                        Some(Hold::Unlisted) if has_rule =>
                            " What the repository held of it before is not listed yet: until it is, nothing of it is \
                             forgotten.",
                        _ => "",
                    }
                ),
            ),
        };
        Some(Self {
            is_held: known.hold().is_some(),
            is_whole_again: known.is_whole_again(),
            title,
            text,
            at: LookAt { label: "Look at the backup", href: format!("/jobs/{mark}") },
            accept: Some(format!("/hosts/{}/groups/{group}/accept?mark={mark}", host.id)),
        })
    }

    /// Nobody has to look, and nothing is forgotten yet.
    fn unlisted(host: &Host, group: &str) -> Self {
        Self {
            is_held: false,
            is_whole_again: false,
            title: format!("What the repository held of {group} before is not listed yet"),
            text: "Until it is, nothing of it is forgotten. Maintenance lists the snapshots by itself when a forget is due; \
                   on the page of the snapshots it can be done now."
                .to_owned(),
            at: LookAt { label: "Snapshots", href: format!("/hosts/{}/snapshots", host.id) },
            accept: None,
        }
    }
}

fn extent(extent: Extent) -> String {
    format!("{}, {}", many(extent.files, "file"), bytes(extent.bytes))
}

/// What the newest of them lacks.
fn reason(known: &Soundness) -> String {
    let lack = known.lacking.last().and_then(|flawed| flawed.lack.as_ref());
    let Some(lack) = lack else { return "More than half of what was usual was gone".to_owned() };
    let words = fleet::class_words(lack.class);
    if lack.paths.is_empty() { words.to_owned() } else { format!("{words}: {}", lack.paths.join(", ")) }
}

fn confirm(host: &Host, group: &str, look: &LookView, accept: &str) -> ConfirmView {
    let (title, then) = if look.is_whole_again {
        (
            format!("Is {group} of {} right again?", host.name),
            "Its last backup is whole again. When you say so, retention goes on. Snapshots that lack something still \
             push no whole one out.",
        )
    } else {
        (
            format!("Is {group} of {} right as its last backup found it?", host.name),
            "When you say so, its snapshots count as whole: the rules alone say then which go, and older ones that hold \
             more may be among them. What lacks something else later is told again.",
        )
    };
    ConfirmView {
        title,
        body: vec![format!("{}. {}", look.title, look.text), then.to_owned()],
        action: accept.to_owned(),
        button: "This is right now".to_owned(),
        keep: "Leave it".to_owned(),
        back: format!("/hosts/{}#groups", host.id),
    }
}

/// `GET /hosts/{host}/groups/{group}/accept`.
pub(crate) async fn confirm_accept(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    let snapshot = ctx.read()?;
    let host = ctx.host(&snapshot, &host)?;
    let group = snapshot.group(host.id, &group)?.ok_or(Refused::GroupNotFound)?;
    let look = LookView::new(&host, &group, &snapshot.soundness(host.id, &group.name)?);
    match look.as_ref().and_then(|look| Some((look, look.accept.as_deref()?))) {
        Some((look, accept)) => ctx.page(&confirm(&host, &group.name, look, accept)),
        None => Ok(ctx.go(&format!("/hosts/{}#groups", host.id))),
    }
}

/// `POST /hosts/{host}/groups/{group}/accept?mark=JOB`.
pub(crate) async fn accept(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    let host = ctx.host(&ctx.read()?, &host)?;
    let mark: JobId = query.get("mark").and_then(|mark| mark.parse().ok()).ok_or(Refused::StateChanged)?;
    ctx.app.fleet.accept_backup(host.id, &group, mark, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{}#groups", host.id)))
}
