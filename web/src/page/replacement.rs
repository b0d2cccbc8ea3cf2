//! Another machine has a host's place: restoring what it needs, and starting its backups.

use super::confirm::ConfirmView;
use super::restore::group_href;
use crate::app::Ctx;
use crate::format::{When, day_of};
use crate::problem::Problem;
use crate::query::Query;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::record::BackupsHeld;
use fleet::{FleetState, HostRow, Refused};
use schema::version;
use serde::Serialize;

/// The first restic that restores to where files were; see the table in docs/restore.md.
const RESTORES_IN_PLACE: &str = "0.18";

/// What is said while backups are held, and the ways on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HeldView {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) restores: Vec<GroupRestore>,
    pub(crate) confirm: ConfirmView,
}

/// The newest snapshot of a source group, to be restored whole.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupRestore {
    pub(crate) name: String,
    pub(crate) href: String,
    /// When the last good backup was.
    pub(crate) good: Option<When>,
}

#[cfg(test)]
impl HeldView {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            title: s.text("Another machine took the place of boat-pi on 2026-11-23"),
            text: s.text("Restore what it needs, then start its backups."),
            restores: vec![
                GroupRestore { name: s.text("media"), href: "/x".to_owned(), good: Some(s.when()) },
                GroupRestore { name: s.text("etc"), href: "/x".to_owned(), good: None },
            ],
            confirm: ConfirmView::sample(s),
        }
    }
}

impl HeldView {
    /// `None`: the backups of the host are not held.
    pub(crate) fn read(state: &FleetState, row: &HostRow) -> Result<Option<Self>, Problem> {
        let Some(held) = &row.host.backups_held else { return Ok(None) };
        let (id, now) = (row.host.id, row.now);
        let in_place = row.host.facts.as_ref().is_some_and(|facts| {
            let restic = facts.restic_version.as_str();
            let is_allowed = facts.abilities.is_none_or(|it| it.in_place_allowed);
            is_allowed && !restic.is_empty() && !version::is_older(restic, RESTORES_IN_PLACE)
        });
        let mut restores = Vec::new();
        for group in state.groups(id)? {
            let good = state.last_good_backup(id, Some(&group.name))?.and_then(|job| job.finished_at);
            restores.push(GroupRestore {
                href: group_href(id, &group.name, in_place),
                good: good.map(|at| When::ago(now, at)),
                name: group.name,
            });
        }
        Ok(Some(Self {
            title: format!(
                "Another machine took the place of {} on {}. Backups wait until you start them",
                former(row, held),
                day_of(held.since)
            ),
            text: format!(
                "Restore what {} needs first: with the first backup, what is on its disk becomes the newest snapshot. \
                 Until then there is no backup, no forget and no prune of this host, and what is due waits. \
                 Files that it has already stay, unless you choose otherwise.",
                held.hostname
            ),
            restores,
            confirm: question(row, held),
        }))
    }
}

fn former<'a>(row: &'a HostRow, held: &'a BackupsHeld) -> &'a str {
    if held.former_hostname.is_empty() { &row.host.name } else { &held.former_hostname }
}

fn question(row: &HostRow, held: &BackupsHeld) -> ConfirmView {
    let id = row.host.id;
    let mut body = vec![
        format!(
            "What is on {} at that moment becomes the newest snapshot. Older snapshots stay, as long as the retention rules \
             keep them.",
            held.hostname
        ),
        "Schedules, retention and prune go on as before.".to_owned(),
    ];
    if row.waits_since.is_some() {
        body.push("Backups that came due meanwhile run at once.".to_owned());
    }
    ConfirmView {
        title: format!("Start the backups of {}?", row.host.name),
        body,
        action: format!("/hosts/{id}/start-backups?held={}", held.mark()),
        button: "Start backups".to_owned(),
        dismiss: "Not yet".to_owned(),
        back: format!("/hosts/{id}"),
    }
}

/// `GET /hosts/{host}/start-backups`.
pub(crate) async fn confirm(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let id = ctx.host(state, &host)?.id;
        let row = state.host_row(id).ok_or(Refused::HostNotFound)?;
        match &row.host.backups_held {
            Some(held) => ctx.page(&question(&row, held)),
            None => Ok(ctx.go(&format!("/hosts/{id}"))),
        }
    })
    .await
}

/// `POST /hosts/{host}/start-backups`: of the machine that the page was about, else the question is asked again.
pub(crate) async fn start(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?.id;
    let mark = query.get("held").unwrap_or_default().to_owned();
    let problem: Problem = match ctx.app.fleet.start_backups(host, Some(mark), ctx.by()).await {
        Ok(_) => return Ok(ctx.go(&format!("/hosts/{host}"))),
        Err(refused @ Refused::HoldChanged { .. }) => refused.into(),
        Err(refused) => return Err(refused.into()),
    };
    ctx.answer(move |ctx, state| {
        let row = state.host_row(host).ok_or(Refused::HostNotFound)?;
        let Some(held) = &row.host.backups_held else { return Err(problem) };
        let mut view = question(&row, held);
        view.body.insert(0, problem.message);
        ctx.page_with(problem.status, &view)
    })
    .await
}
