//! The maintenance form that was sent; and the question before a live lock is removed.

use super::confirm::ConfirmView;
use super::maintenance_form::input;
use super::repo::{self, RepoPageView};
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::reading::Reading;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::FleetState;

const FORM: &str = "maintenance-form";

/// `POST …/maintenance`.
pub(crate) async fn save(ctx: Ctx, Path(host): Path<String>, form: Form) -> Result<Response<Body>, Problem> {
    let found = ctx.find_host(&host).await?;
    let saved = match input(&form) {
        Ok(input) => ctx.app.fleet.put_maintenance(found.id, input, ctx.by()).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match saved {
        Ok(_) if ctx.htmx => {
            let read = move |ctx: &Reading, state: &FleetState| {
                ctx.fragment(StatusCode::OK, FORM, &repo::read(ctx, state, &host)?)
            };
            ctx.answer(read).await
        }
        Ok(_) => Ok(ctx.go(&format!("/hosts/{}/repo#{FORM}", found.id))),
        Err(problem) if problem.is_about_input() => {
            ctx.answer(move |ctx, state| {
                let mut view: RepoPageView = repo::read(ctx, state, &host)?;
                view.maintenance.keep_typed(&form, &problem);
                if ctx.htmx {
                    ctx.fragment(problem.status, FORM, &view)
                } else {
                    ctx.page_with(problem.status, &view)
                }
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

/// `GET …/remove-locks`: shows the holder of a live lock before it is removed.
pub(crate) async fn confirm_unlock(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&unlock_question(ctx, state, &host)?)).await
}

fn unlock_question(ctx: &Ctx, state: &FleetState, host: &str) -> Result<ConfirmView, Problem> {
    let host = ctx.host(state, host)?;
    let action = format!("/hosts/{}/repo/unlock", host.id);
    let lock = state.repo(host.id)?.lock;
    let (body, action) = match lock.and_then(|lock| Some((lock.at, lock.holder?))) {
        None => (
            vec!["No lock is known to be held. Locks that restic considers stale are removed: those of this host's name whose process it does not find, and those that were not renewed for half an hour.".to_owned()],
            action,
        ),
        Some((seen_at, holder)) => {
            let shown = format!(
                "{}@{}, pid {}, holds a lock since {}. It was seen {}, and looks {}.",
                holder.username,
                holder.hostname,
                holder.pid,
                crate::format::exact(holder.since),
                crate::format::ago(state.now(), seen_at),
                if holder.stale { "stale" } else { "as if it may be in use" }
            );
            let warning = "Make sure that this process has ended: if it still works on the repository, another job \
                           beside it can do damage. All other locks are removed too.";
            (vec![shown, warning.to_owned()], format!("{action}?all=true&lock={}", holder.mark()))
        }
    };
    Ok(ConfirmView {
        title: format!("Remove the locks from the repository of {}?", host.name),
        body,
        action,
        button: format!("Unlock {}", host.name),
        dismiss: "Cancel".to_owned(),
        back: format!("/hosts/{}/repo", host.id),
    })
}
