//! A person's word that an incident is known: what pages and API do alike.

use crate::app::Ctx;
use crate::problem::Problem;
use crate::words::incident_title;
use fleet::{Acknowledgement, Refused};
use schema::IncidentId;

/// The incident of an id in an address.
pub(crate) fn id_of(text: &str) -> Result<IncidentId, Problem> {
    Ok(text.parse().map_err(|_| Refused::IncidentNotFound)?)
}

/// Lets it rest, or takes that back (`None`). The audit gets the words by which it is shown.
pub(crate) async fn acknowledge(
    ctx: &Ctx,
    incident: &str,
    word: Option<Acknowledgement>,
) -> Result<IncidentId, Problem> {
    let id = id_of(incident)?;
    let shown = ctx
        .read(move |_, state| {
            let seen = state.incident(id, 0)?.ok_or(Refused::IncidentNotFound)?;
            Ok(incident_title(&seen.incident))
        })
        .await?;
    ctx.app.fleet.acknowledge_incident(id, word, shown, ctx.by()).await?;
    Ok(id)
}
