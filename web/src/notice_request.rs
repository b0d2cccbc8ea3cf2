//! Trying a channel: the one core behind the page and the API.

use crate::app::Ctx;
use crate::problem::Problem;
use crate::server_facts::Delivery;

/// Sends a message that tells nothing else, at once, and says what came of it.
pub(crate) async fn try_channel(ctx: &Ctx, name: &str) -> Result<Delivery, Problem> {
    let fleet = &ctx.app.fleet;
    let message = fleet.test_message(name)?;
    let channel = message.channel;
    let delivery = (ctx.app.settings.send_notice)(message).await;
    fleet.channel_tested(channel, delivery.sent.clone(), ctx.by()).await?;
    Ok(delivery)
}
