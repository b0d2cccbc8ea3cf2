//! A person's word that it is known how a host stands: what pages and API do alike.

use crate::app::Ctx;
use crate::problem::Problem;
use crate::words::reason;
use fleet::Refused;
use fleet::record::Host;

/// Acknowledges how a host stands, or takes that back where there is no mark of the state that was shown. The audit
/// gets the words of that state.
pub(crate) async fn acknowledge(ctx: &Ctx, host: &str, mark: Option<String>) -> Result<Host, Problem> {
    let name = host.to_owned();
    let (host, shown) = ctx
        .read(move |ctx, state| {
            let host = ctx.host(state, &name)?;
            let row = state.host_row(host.id).ok_or(Refused::HostNotFound)?;
            Ok((host, reason(&row.reason, row.now)))
        })
        .await?;
    ctx.app.fleet.acknowledge(host.id, mark, shown, ctx.by()).await?;
    Ok(host)
}
