//! How long hosts with a label may have some causes before that is an incident: what the form on the page of notices says.

use super::grace_form::GraceForm;
use super::notices::{NoticesView, read};
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use ::fleet::GraceInput;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;

fn input(form: &Form) -> Result<GraceInput, Problem> {
    let wrong = || Problem::invalid("hours", "Give days, such as 5 or 1.5: from an hour to 90 days.");
    let days = form.text("hours").replace(',', ".").parse::<f32>().map_err(|_| wrong())?;
    let hours = (days * 24.0).round();
    if !(1.0..=90.0 * 24.0).contains(&hours) {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 1 to 2,160")]
    let hours = hours as u16;
    Ok(GraceInput { label: form.text("label"), causes: form.all("causes"), hours })
}

/// `POST /notices/graces`.
pub(crate) async fn set(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    match changed(&ctx, &form).await {
        Ok(()) => Ok(ctx.go("/notices#graces")),
        Err(problem) if problem.is_about_input() => {
            let grace = GraceForm::typed(&form, &problem);
            ctx.answer(move |ctx, state| {
                ctx.page_with(problem.status, &NoticesView { grace, ..read(ctx, state)? })
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

async fn changed(ctx: &Ctx, form: &Form) -> Result<(), Problem> {
    Ok(ctx.app.fleet.set_grace(input(form)?, ctx.by()).await?)
}

/// `POST /notices/graces/{label}/delete`.
pub(crate) async fn delete(ctx: Ctx, Path(label): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.delete_grace(label, ctx.by()).await?;
    Ok(ctx.go("/notices#graces"))
}
