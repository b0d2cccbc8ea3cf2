//! Break-glass kits.

use super::dto::{KitIn, KitOut};
use crate::app::Ctx;
use crate::form::Input;
use crate::kit::passphrase_objection;
use crate::kit_request;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::http::Response;
use fleet::KitChoice;

/// `GET /api/kit`.
pub(crate) async fn show(ctx: Ctx) -> Result<Json<KitOut>, Problem> {
    let kits = ctx.read(|_, state| Ok(state.kits()?)).await?;
    Ok(Json(kits.into()))
}

/// `POST /api/kit`.
pub(crate) async fn make(ctx: Ctx, Input(body): Input<KitIn>) -> Result<Response<Body>, Problem> {
    if let Some(objection) = passphrase_objection(body.passphrase.expose()) {
        return Err(Problem::invalid("passphrase", objection));
    }
    let choice = KitChoice { hosts: body.hosts, labels: body.labels };
    kit_request::make(&ctx, choice, body.passphrase, body.password).await
}
