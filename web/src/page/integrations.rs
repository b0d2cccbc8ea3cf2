//! What other people's tools may find here. For admins.

use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::template::View;
use crate::words::Badge;
use axum::body::Body;
use axum::http::Response;
use serde::Serialize;

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct IntegrationsView {
    /// Whether Home Assistant finds the hosts.
    pub(crate) home_assistant: bool,
    pub(crate) state: Badge,
    /// What a bridge of mosquitto takes over from here.
    pub(crate) bridge: Vec<&'static str>,
}

impl View for IntegrationsView {
    const TEMPLATE: &'static str = "page/integrations.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for IntegrationsView {
    fn samples(_: &crate::sample::Sample) -> Vec<Self> {
        vec![view(true), view(false)]
    }
}

fn view(home_assistant: bool) -> IntegrationsView {
    IntegrationsView {
        home_assistant,
        state: if home_assistant { Badge::new("ok", "on") } else { Badge::new("unset", "off") },
        bridge: vec!["topic hf/1/view/# in 0", "topic homeassistant/# in 0"],
    }
}

/// `GET /integrations`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.read(|ctx, state| ctx.page(&view(state.home_assistant()?))).await
}

/// `POST /integrations/home-assistant`.
pub(crate) async fn switch_home_assistant(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let on = match form.raw("switch") {
        "on" => true,
        "off" => false,
        _ => return Err(Problem::invalid("switch", "It is switched on or off.")),
    };
    ctx.app.fleet.switch_home_assistant(on, ctx.by()).await?;
    Ok(ctx.go("/integrations"))
}
