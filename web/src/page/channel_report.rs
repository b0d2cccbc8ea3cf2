//! The report of a channel: what its form says, and one that is sent now.

use super::channel::{ChannelFormView, TestLine, found, stored};
use crate::app::Ctx;
use crate::form::Form;
use crate::notice_request::send_report;
use crate::problem::Problem;
use ::fleet::ReportInput;
use ::fleet::record::RouteState;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};

/// `POST /notices/channels/{name}/report`.
pub(crate) async fn update(
    ctx: Ctx,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    match changed(&ctx, &name, &form).await {
        Ok(()) => Ok(ctx.go(&format!("/notices/channels/{name}#report"))),
        Err(problem) if problem.is_about_input() => {
            ctx.answer(move |ctx, state| {
                let view = stored(ctx, &found(state, &name)?);
                let report = view.report.clone().map(|report| report.typed(&form, &problem));
                ctx.page_with(problem.status, &ChannelFormView { report, ..view })
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

async fn changed(ctx: &Ctx, name: &str, form: &Form) -> Result<(), Problem> {
    let state = RouteState::from_word(&form.text("state"))
        .ok_or_else(|| Problem::invalid("state", "Choose one of these."))?;
    let input = ReportInput {
        state,
        every: form.text("every"),
        day: form.text("day"),
        at: form.text("at"),
        timezone: form.text("timezone"),
    };
    Ok(ctx.app.fleet.set_report(name.to_owned(), input, ctx.by()).await?)
}

/// `POST /notices/channels/{name}/report/send`.
pub(crate) async fn send(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    let test = Some(TestLine::of("The report", send_report(&ctx, &name).await?));
    ctx.answer(move |ctx, state| {
        let view = stored(ctx, &found(state, &name)?);
        ctx.page_with(StatusCode::OK, &ChannelFormView { test, ..view })
    })
    .await
}
