//! Asking for the password of a repository: the one core behind the page and the API.

use crate::app::Ctx;
use crate::confirm_password::confirm_password;
use crate::problem::Problem;
use axum::http::StatusCode;
use fleet::KitSlot;
use fleet::record::{AuditAction, Secret};

/// What is needed to open a repository, in clear.
pub(crate) struct Shown {
    pub(crate) url: String,
    pub(crate) username: String,
    pub(crate) repo_password: Secret,
}

/// Shows it to who has typed the own password again; a token with the scope `admin` has none. Audited either way.
pub(crate) async fn show(ctx: &Ctx, host: &str, password: Option<Secret>) -> Result<Shown, Problem> {
    let host = ctx.find_host(host).await?;
    let is_person = ctx.caller.as_ref().is_some_and(|caller| caller.session.is_some());
    if is_person {
        let password =
            password.ok_or_else(|| Problem::invalid("password", "Your own password is needed."))?;
        if let Err(problem) = confirm_password(ctx, "password", password).await {
            if problem.status == StatusCode::UNPROCESSABLE_ENTITY {
                ctx.app.fleet.note_of_secret(host.id, AuditAction::RepoPasswordRefused, ctx.by()).await?;
            }
            return Err(problem);
        }
    }
    let id = host.id;
    let found = ctx.answer(move |_, state| Ok(state.kit_host(id)?)).await?;
    let held = match found.map(|found| found.everyday) {
        Some(KitSlot::Held(held)) => held,
        Some(KitSlot::Unreadable(_)) => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "unreadable",
                "The stored password can't be opened with this server's key.",
            ));
        }
        Some(KitSlot::Empty) | None => return Err(fleet::Refused::RepoCredsRequired.into()),
    };
    // Written down before anybody sees it.
    ctx.app.fleet.note_of_secret(host.id, AuditAction::RepoPasswordShown, ctx.by()).await?;
    Ok(Shown { url: held.facts.url, username: held.facts.username, repo_password: held.repo_password })
}
