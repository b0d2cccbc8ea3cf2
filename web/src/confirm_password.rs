//! The own password asked again, before something that somebody at an unlocked screen must not be able to do.

use crate::account::find_operator;
use crate::app::Ctx;
use crate::limiter::{Admittance, Who};
use crate::password::Asker;
use crate::problem::Problem;
use crate::sign_in::{too_many, what_is_left};
use fleet::record::Secret;

/// Whether this is the password of the person who is signed in. `field` is where it was typed. Tries are counted for the
/// session, by the limiter of the sign-in: nobody can guess here, and others, with sessions of their own, go on.
///
/// A token has no password: with one, [`Problem::unauthorised`].
pub(crate) async fn confirm_password(ctx: &Ctx, field: &str, password: Secret) -> Result<(), Problem> {
    let caller = ctx.caller.as_ref().and_then(|caller| caller.session.as_ref());
    let session = caller.ok_or_else(Problem::unauthorised)?.cookie.clone();
    let operator = find_operator(ctx, ctx.by().actor.name()).await?;
    let now = ctx.now();
    let begun = match ctx.app.limiter().begin(now, Who::Session(session.expose())) {
        Admittance::Go(begun) => begun,
        Admittance::Wait { until } => {
            return Err(Problem { field: Some(field.to_owned()), ..too_many(now, until) });
        }
    };
    match ctx.app.passwords.verify(Asker::Known, password, Some(operator.password_hash)).await {
        Ok(true) => ctx.app.limiter().succeeded(now, begun),
        Ok(false) => {
            let left = what_is_left(ctx.app.limiter().failed(ctx.now(), &begun));
            ctx.app.keep_tries().await;
            return Err(Problem::invalid(field, format!("This is not your password. {left}")));
        }
        Err(error) => {
            ctx.app.limiter().undo(begun);
            return Err(error.into());
        }
    }
    ctx.app.keep_tries().await;
    Ok(())
}

/// The own password of a person, before something that others can't undo; a token has none to give.
pub(crate) async fn confirm_person(ctx: &Ctx, password: Option<Secret>) -> Result<(), Problem> {
    if ctx.caller.as_ref().is_none_or(|caller| caller.session.is_none()) {
        return Ok(());
    }
    let password = password.ok_or_else(|| Problem::invalid("password", "Your own password is needed."))?;
    confirm_password(ctx, "password", password).await
}
