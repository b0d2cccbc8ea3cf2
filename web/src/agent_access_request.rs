//! Steps by which hosts may be lost, as people and programs ask for them: the one core behind the page and the API.
//!
//! A step that loses nobody asks for nothing. One that does has to be forced, and a person gives the own password for that: nobody
//! else at an unlocked screen has a fleet enrolled again.

use crate::app::Ctx;
use crate::confirm_password::confirm_person;
use crate::problem::Problem;
use fleet::record::Secret;

/// Whether hosts may be lost, and the own password of who says so.
pub(crate) struct Force {
    pub(crate) is_meant: bool,
    pub(crate) password: Option<Secret>,
}

/// Has agents not be given an address any more.
pub(crate) async fn retire(ctx: &Ctx, address: String, force: Force) -> Result<(), Problem> {
    let fleet = &ctx.app.fleet;
    if let Err(refused) = fleet.retire_address(address.clone(), false, ctx.by()).await {
        may_lose(ctx, refused.into(), force).await?;
        fleet.retire_address(address, true, ctx.by()).await?;
    }
    Ok(())
}

/// Does the next step towards another authority.
pub(crate) async fn rotate(ctx: &Ctx, force: Force) -> Result<(), Problem> {
    if let Err(refused) = (ctx.app.settings.rotate)(false, ctx.by()).await {
        may_lose(ctx, refused.into(), force).await?;
        (ctx.app.settings.rotate)(true, ctx.by()).await?;
    }
    Ok(())
}

/// Whether what was refused, for hosts would be lost by it, is to be done all the same.
async fn may_lose(ctx: &Ctx, refused: Problem, force: Force) -> Result<(), Problem> {
    if refused.code != "would_lose" || !force.is_meant {
        return Err(refused);
    }
    confirm_person(ctx, force.password).await
}
