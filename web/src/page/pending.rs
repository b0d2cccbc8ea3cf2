//! Due backups that wait, and those that were given up.

use super::confirm::ConfirmView;
use super::run_button::RunButton;
use crate::api::pending::id_of;
use crate::app::Ctx;
use crate::format::{When, many, span};
use crate::problem::{Problem, sentence};
use crate::query::Query;
use crate::template::View;
use crate::words::{self, Badge};
use ::fleet::record::{GivenUp, PendingRun, TryError};
use ::fleet::{FleetState, Page, Refused, Setback};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use schema::Timestamp;
use serde::Serialize;

/// So many rows on one page.
const ROWS: usize = 100;
/// So many of those that were given up.
const GIVEN_UP: usize = 20;

/// A backup that waits.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PendingRow {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) href: String,
    pub(crate) group: String,
    pub(crate) schedule: String,
    pub(crate) why: Badge,
    pub(crate) job_href: Option<String>,
    pub(crate) missed: Option<String>,
    pub(crate) due: When,
    pub(crate) tries: String,
    pub(crate) next: String,
    pub(crate) action: String,
    pub(crate) run: RunButton,
    pub(crate) drop_label: String,
}

/// One that was given up.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GivenUpRow {
    pub(crate) title: String,
    pub(crate) href: String,
    pub(crate) reason: String,
    pub(crate) when: When,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PendingView {
    pub(crate) sentence: String,
    pub(crate) can_hurry: bool,
    pub(crate) rows: Vec<PendingRow>,
    pub(crate) rows_href: String,
    pub(crate) more: Option<String>,
    pub(crate) given_up: Vec<GivenUpRow>,
}

impl View for PendingView {
    const TEMPLATE: &'static str = "page/pending.html";
    const NAV: &'static str = "pending";
    const PARTS: &'static [&'static str] = &["pending-head", "pending-rows"];
}

#[cfg(test)]
impl crate::sample::Samples for PendingView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            sentence: s.text("1 backup waits for a host to reconnect"),
            can_hurry: true,
            rows: vec![PendingRow {
                id: "01".to_owned(),
                host: s.text("boat-pi"),
                href: "/hosts/01".to_owned(),
                group: s.text("media"),
                schedule: s.text("nightly"),
                why: Badge::new("failed", s.text("host is offline")),
                job_href: Some("/jobs/01".to_owned()),
                missed: s.some("3 missed runs, counted as one"),
                due: s.when(),
                tries: s.text("0 of 13"),
                next: s.text("when it reconnects"),
                action: "/pending/01".to_owned(),
                run: RunButton::sample(s),
                drop_label: s.text("Drop the pending backup of media on boat-pi"),
            }],
            rows_href: "/pending?part=pending-rows".to_owned(),
            more: Some("/pending?cursor=01".to_owned()),
            given_up: vec![GivenUpRow {
                title: s.text("media on boat-pi"),
                href: "/jobs/01".to_owned(),
                reason: s.text("The schedule is gone."),
                when: s.when(),
            }],
        }]
    }
}

/// How many wait, beside the link that every page has: alone, without the rows.
#[derive(Serialize)]
pub(crate) struct CountView;

impl View for CountView {
    const TEMPLATE: &'static str = "part/nav-pending.html";
    const NAV: &'static str = "pending";
    const PARTS: &'static [&'static str] = &["nav-pending"];
}

#[cfg(test)]
impl crate::sample::Samples for CountView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let _ = s;
        vec![Self]
    }
}

/// `GET /pending`.
pub(crate) async fn show(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    if ctx.part.as_deref() == Some("nav-pending") {
        return ctx.show(StatusCode::OK, CountView).await;
    }
    let cursor = query.get("cursor").map(str::to_owned);
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, cursor)?)).await
}

fn read(ctx: &Ctx, state: &FleetState, cursor: Option<String>) -> Result<PendingView, Problem> {
    let now = ctx.now();
    let rows_href = match &cursor {
        Some(cursor) => format!("/pending?part=pending-rows&cursor={cursor}"),
        None => "/pending?part=pending-rows".to_owned(),
    };
    if let Some(cursor) = &cursor {
        id_of(cursor)?;
    }
    let found = state.pending(&Page { limit: ROWS, cursor })?;
    let given_up = state.given_up(GIVEN_UP)?;
    Ok(PendingView {
        sentence: match state.is_known() {
            true => sentence_of(state.pending_count()?, &found.items),
            false => last_sentence(state.pending_count()?),
        },
        can_hurry: found.items.iter().any(|run| run.next_attempt_at.is_some() && !run.asleep),
        rows: found.items.iter().map(|run| row(state, now, run)).collect::<Result<_, _>>()?,
        rows_href,
        more: found.next.map(|next| format!("/pending?cursor={next}")),
        given_up: given_up.iter().map(|row| given_up_row(state, now, row)).collect::<Result<_, _>>()?,
    })
}

/// What a server says that begins no backup any more.
fn last_sentence(count: usize) -> String {
    match count {
        0 => "No backup waited when this server began the last one".to_owned(),
        1 => "1 backup waited; this server begins none any more".to_owned(),
        count => format!("{} waited; this server begins none any more", many(count as u64, "backup")),
    }
}

fn sentence_of(count: usize, shown: &[PendingRun]) -> String {
    // Of a part it can't be told.
    let away = if shown.len() < count { 0 } else { shown.iter().filter(|run| is_away(run)).count() };
    let waits = |n: usize| if n == 1 { "waits" } else { "wait" };
    match (count, away) {
        (0, _) => "No pending backups".to_owned(),
        (n, 0) => format!("{} {}", many(n as u64, "backup"), waits(n)),
        (n, away) if n == away => {
            format!("{} {} for a host to reconnect", many(n as u64, "backup"), waits(n))
        }
        (n, away) => format!("{} {}; {away} for a host to reconnect", many(n as u64, "backup"), waits(n)),
    }
}

fn is_away(run: &PendingRun) -> bool {
    run.next_attempt_at.is_none() && run.last_error.as_ref().is_some_and(TryError::is_away)
}

fn is_held(run: &PendingRun) -> bool {
    run.last_error.as_ref().and_then(TryError::setback) == Some(Setback::BackupsHeld)
}

fn row(fleet_state: &FleetState, now: Timestamp, run: &PendingRun) -> Result<PendingRow, Problem> {
    let host = fleet_state.host(run.host)?.map_or_else(|| "a deleted host".to_owned(), |host| host.name);
    let request = ::fleet::JobRequest::Backup { group: run.group.clone() };
    let error = run.last_error.as_ref();
    let state = match error {
        _ if run.asleep => "unset",
        Some(_) if is_away(run) => "offline",
        Some(error) if error.job.is_some() => "failed",
        _ => "queued",
    };
    let why = match error {
        _ if run.asleep => "its schedule is disabled".to_owned(),
        Some(error) => lower(&words::setback(error)),
        None => "it is due".to_owned(),
    };
    let tries = match fleet_state.tries_of(run)? {
        Some(all) => format!("{} of {all}", run.attempt),
        None => run.attempt.to_string(),
    };
    let next = match run.next_attempt_at {
        _ if !fleet_state.is_known() => "not by this server".to_owned(),
        _ if run.asleep => "when its schedule is enabled".to_owned(),
        None if is_held(run) => "when its backups are started".to_owned(),
        None => "when it reconnects".to_owned(),
        Some(at) if at <= now => "now".to_owned(),
        Some(at) => format!("in {}", span(at.ms_since(now))),
    };
    let missed = (run.missed > 1).then(|| format!("{} missed runs, counted as one", run.missed));
    Ok(PendingRow {
        id: run.id.to_string(),
        href: format!("/hosts/{}", run.host),
        group: run.group.clone(),
        schedule: run.schedule.clone(),
        why: Badge::new(state, why),
        job_href: error.and_then(|error| error.job).map(|job| format!("/jobs/{job}")),
        missed,
        due: When::ago(now, run.due_at),
        tries,
        next,
        action: format!("/pending/{}", run.id),
        run: RunButton {
            label: "Retry now".to_owned(),
            why: super::run_button::why_short(fleet_state, run.host, &request)?,
            small: true,
            primary: false,
            name: Some(format!("Retry the backup of {} on {host} now", run.group)),
        },
        drop_label: format!("Drop the pending backup of {} on {host}", run.group),
        host,
    })
}

/// With a small first letter, as states are written; names and abbreviations stay as they are.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

fn given_up_row(state: &FleetState, now: Timestamp, row: &GivenUp) -> Result<GivenUpRow, Problem> {
    let run = &row.run;
    let host = state.host(run.host)?.map_or_else(|| "a deleted host".to_owned(), |host| host.name);
    let job = run.last_error.as_ref().and_then(|error| error.job).or(run.job);
    Ok(GivenUpRow {
        title: format!("{} on {host}", run.group),
        href: job.map_or_else(|| format!("/hosts/{}", run.host), |job| format!("/jobs/{job}")),
        reason: sentence(&words::given_up(row)),
        when: When::ago(now, row.at),
    })
}

/// `POST /pending/run`: all that wait for a time.
pub(crate) async fn run_all(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.run_all_pending(ctx.by()).await?;
    Ok(ctx.go("/pending"))
}

/// `GET /pending/{run}/delete`.
pub(crate) async fn confirm_delete(ctx: Ctx, Path(run): Path<String>) -> Result<Response<Body>, Problem> {
    let id = id_of(&run)?;
    ctx.read(move |ctx, state| {
        let run = state.pending_run(id)?.ok_or(Refused::PendingNotFound)?;
        let host = state.host(run.host)?.ok_or(Refused::HostNotFound)?;
        ctx.page(&ConfirmView {
            title: format!("Drop the pending backup of {} on {}?", run.group, host.name),
            body: vec!["It is not retried. The schedule stays: its next run is not affected.".to_owned()],
            action: format!("/pending/{}/delete", run.id),
            button: "Drop it".to_owned(),
            dismiss: "Cancel".to_owned(),
            back: "/pending".to_owned(),
        })
    })
    .await
}

/// `POST /pending/{run}/delete`.
pub(crate) async fn delete(ctx: Ctx, Path(run): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.drop_pending(id_of(&run)?, ctx.by()).await?;
    Ok(ctx.go("/pending"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_begin_with_a_small_letter_and_names_stay() {
        for (text, expected) in [
            ("Repository is locked", "repository is locked"),
            ("A path to back up is not there", "a path to back up is not there"),
            ("SFTP is off", "SFTP is off"),
            ("", ""),
        ] {
            assert_eq!(lower(text), expected);
        }
    }
}
