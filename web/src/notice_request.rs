//! Channels, as far as pages and API check and try them alike.

use crate::app::Ctx;
use crate::notice::check_template;
use crate::problem::Problem;
use crate::server_facts::Delivery;
use fleet::ChannelInput;

/// Refuses what only this side can judge: a template that makes no message, and a script that there is none of.
pub(crate) fn checked(ctx: &Ctx, input: ChannelInput) -> Result<ChannelInput, Problem> {
    match &input {
        ChannelInput::Webhook { template: Some(template), .. } => {
            check_template(&template.text, &template.content_type)
                .map_err(|error| Problem::invalid("template", error.to_string()))?;
        }
        ChannelInput::Script { name } => {
            let known = &ctx.app.settings.notice_scripts;
            if !known.contains(name) {
                let there = match known.as_slice() {
                    [] => "names none (--notice-script NAME=FILE)".to_owned(),
                    known => format!("names {}", known.join(", ")),
                };
                let why = format!("There is no script {name:?}: the server's configuration {there}.");
                return Err(Problem::invalid("script", why));
            }
        }
        _ => {}
    }
    Ok(input)
}

/// Sends a report at once, and says what came of it.
pub(crate) async fn send_report(ctx: &Ctx, name: &str) -> Result<Delivery, Problem> {
    let (fleet, of) = (ctx.app.fleet.clone(), name.to_owned());
    let message = ctx.read(move |_, _| Ok(fleet.report_message(&of)?)).await?;
    let channel = message.channel;
    let delivery = (ctx.app.settings.send_notice)(message).await;
    ctx.app.fleet.report_sent(channel, delivery.sent.clone(), ctx.by()).await?;
    Ok(delivery)
}

/// Sends a message that tells nothing else, at once, and says what came of it.
pub(crate) async fn try_channel(ctx: &Ctx, name: &str) -> Result<Delivery, Problem> {
    let fleet = &ctx.app.fleet;
    let message = fleet.test_message(name)?;
    let channel = message.channel;
    let delivery = (ctx.app.settings.send_notice)(message).await;
    fleet.channel_tested(channel, delivery.sent.clone(), ctx.by()).await?;
    Ok(delivery)
}
