//! How channels of notices stand, in words.

use crate::format::{ago, many};
use crate::notice::fault;
use fleet::record::{Channel, RouteState, Watched, WebhookForm};
use fleet::{ChannelView, RouteView};
use schema::Timestamp;

/// What a form of a webhook is called.
pub(crate) const fn webhook_form(form: WebhookForm) -> &'static str {
    match form {
        WebhookForm::Json => "Holdfast’s own JSON",
        WebhookForm::Ntfy => "ntfy",
        WebhookForm::Gotify => "Gotify",
        WebhookForm::Slack => "Slack",
        WebhookForm::Mattermost => "Mattermost",
        WebhookForm::Discord => "Discord",
        WebhookForm::Teams => "Microsoft Teams",
        WebhookForm::Matrix => "Matrix",
        WebhookForm::Telegram => "Telegram",
        WebhookForm::Pushover => "Pushover",
        WebhookForm::PagerDuty => "PagerDuty",
        WebhookForm::Opsgenie => "Opsgenie",
        WebhookForm::Apprise => "Apprise API",
        WebhookForm::Template => "Your own template",
    }
}

/// Whom a channel tells.
pub(crate) fn channel_leads_to(channel: &Channel) -> String {
    match channel {
        Channel::Email(email) => format!("Mail to {} by {}", email.to.join(", "), email.server),
        Channel::Script(script) => format!("Runs the script {} on the server", script.name),
        Channel::Webhook(webhook) => format!("{} at {}", webhook_form(webhook.form), webhook.place),
        Channel::Heartbeat(beat) => {
            format!("Asks {} every {} while the server is well", beat.place, every(beat.every_min))
        }
        Channel::Healthchecks(checks) => {
            let whom = match (checks.host, checks.labels.as_slice()) {
                (Some(_), _) => "one host".to_owned(),
                (None, []) => "each host".to_owned(),
                (None, labels) => format!("hosts labelled {}", labels.join(", ")),
            };
            match checks.of {
                Watched::Fleet => {
                    let whom = if checks.labels.is_empty() { "all hosts".to_owned() } else { whom };
                    format!(
                        "Tells a check at {} every {} whether {whom} are well",
                        checks.place,
                        every(checks.every_min)
                    )
                }
                Watched::Host => format!("Tells checks at {} of the backups of {whom}", checks.place),
                Watched::Group if checks.group.is_empty() => {
                    format!("Tells checks at {} of the backups of each source group of {whom}", checks.place)
                }
                Watched::Group => {
                    format!(
                        "Tells checks at {} of the backups of the source group {} of {whom}",
                        checks.place, checks.group
                    )
                }
            }
        }
    }
}

fn every(minutes: u16) -> String {
    if minutes == 1 { "minute".to_owned() } else { many(minutes.into(), "minute") }
}

/// How something stands: its state in templates, the same in a word or two, and in a sentence.
pub(crate) struct StateWords {
    pub(crate) state: &'static str,
    pub(crate) short: &'static str,
    pub(crate) sentence: String,
}

const fn words(state: &'static str, short: &'static str, sentence: String) -> StateWords {
    StateWords { state, short, sentence }
}

/// How a channel stands.
pub(crate) fn channel_state(now: Timestamp, channel: &ChannelView) -> StateWords {
    if !channel.flags.is_on {
        return words("unset", "off", "Nothing is told by it.".to_owned());
    }
    if let Some((since, error)) = &channel.failing {
        let again = channel
            .on_its_way
            .as_ref()
            .map(|way| {
                format!(" Tried {}, again {}.", many(u64::from(way.tries), "time"), ago(now, way.next_at))
            })
            .unwrap_or_default();
        let sentence = format!("It began to fail {}. {}{again}", ago(now, *since), fault(error.fault));
        return words("failed", "fails", sentence);
    }
    match channel.taken_at {
        Some(at) if channel.refused.is_some() => words(
            "warning",
            "some refuse",
            format!("The last message was taken {}, but not by all addresses.", ago(now, at)),
        ),
        Some(at) if !channel.channel.tells_incidents() => {
            words("ok", "works", format!("The last one was taken {}.", ago(now, at)))
        }
        Some(at) => words("ok", "works", format!("The last message was taken {}.", ago(now, at))),
        None => words("never", "nothing sent yet", "Nothing was told by it yet.".to_owned()),
    }
}

/// What waits at a channel, in a sentence; empty = nothing.
pub(crate) fn channel_waits(channel: &ChannelView) -> String {
    let on_its_way = channel.on_its_way.as_ref().map_or(0, |way| way.notices);
    let notice = if channel.channel.tells_incidents() { "notice" } else { "signal" };
    let mut parts = Vec::new();
    if on_its_way > 0 {
        parts.push(format!("{} in the message on its way", many(u64::from(on_its_way), notice)));
    }
    if channel.waiting > 0 {
        parts.push(format!("{} for the next one", many(u64::from(channel.waiting), notice)));
    }
    if channel.left_out > 0 {
        parts.push(format!(
            "{} left out, for too many waited",
            many(u64::from(channel.left_out), &format!("older {notice}"))
        ));
    }
    match parts.as_slice() {
        [] => String::new(),
        parts => format!("Waiting: {}.", parts.join(", ")),
    }
}

/// How all of it stands, for Settings.
pub(crate) fn notices(channels: &[ChannelView], routes: &[RouteView]) -> StateWords {
    let on: Vec<&ChannelView> = channels.iter().filter(|channel| channel.flags.is_on).collect();
    let is_told = routes.iter().any(|seen| {
        let leads = |channel: &&ChannelView| seen.channels.contains(&channel.name);
        seen.route.state == RouteState::On && on.iter().any(leads)
    });
    let failing: Vec<&str> =
        on.iter().filter(|channel| channel.failing.is_some()).map(|channel| channel.name.as_str()).collect();
    if !failing.is_empty() {
        return words("failed", "fails", format!("Does not get through: {}.", failing.join(", ")));
    }
    if !is_told {
        return words("warning", "nobody is told", "Who does not look here hears of nothing.".to_owned());
    }
    let tell = on.iter().filter(|channel| channel.channel.tells_incidents()).count();
    words("ok", "on", format!("Incidents are told by {}.", many(tell as u64, "channel")))
}
