//! Messages of notices on their way out. The fleet decides what is sent when; here it is sent, and said what came of it.
//!
//! A round sends all messages that are due, each by its channel, side by side, and ends when all have been answered or
//! [`WITHIN`] is over: so no message is sent twice at once, and a channel that is slow delays the others by no more.
//!
//! Reports that are due are made before each round.
//!
//! What backups tell checks of services such as Healthchecks goes out in the same round, so many at once; of what was not tried when
//! the time was over nothing is said, and it is due again.
//!
//! A heartbeat, and what a check of the fleet is told, is sent only while the server is well by its own judgement, the one of `/readyz`.

mod bounded;
mod failure;
mod redact;
mod script;
mod smtp;
#[cfg(test)]
mod tests;
mod webhook;
mod wellness;

use crate::clock;
use crate::tasks::Beat;
use failure::{Failure, Taken};
use fleet::record::{Channel, ChannelId, SendFault};
use fleet::{Change, Changed, DueMessage, Fleet, Ping, Sent};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use redact::Redacted;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::broadcast::{self, error::RecvError};
use web::{Delivery, SendNotice};
use wellness::Wellness;
pub(crate) use wellness::of_router;

/// How often it is looked, at least: clocks jump.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long a message may take in all.
const WITHIN: Duration = Duration::from_secs(30);
/// How long it rests after a round, however much is due.
const PAUSE: Duration = Duration::from_millis(500);

/// What messages need of the server's settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside {
    /// Where the pages are, without a slash at the end.
    pub(crate) base: String,
    /// The programs that may be started, by what the configuration calls them.
    pub(crate) scripts: BTreeMap<String, PathBuf>,
}

/// Sends what is due, for ever.
pub(crate) async fn run(fleet: Fleet, outside: Outside, wellness: Wellness, beat: Beat) {
    let mut changes = fleet.changes();
    let mut heard = Heard::default();
    loop {
        if let Err(refused) = beat.waits(fleet.plan_reports()).await {
            tracing::warn!(%refused, "reports that are due can't be made");
        }
        let is_well = beat.waits(round(&fleet, &outside)).await;
        let is_well = beat.waits(pings(&fleet)).await && is_well;
        beat.waits(beats(&fleet, &outside, &wellness, &mut heard)).await;
        beat.waits(tokio::time::sleep(PAUSE)).await;
        let both = fleet.next_message_in_ms().and_then(|message| Ok((message, fleet.next_ping_in_ms()?)));
        let next = both.map_or_else(
            |error| {
                tracing::error!(%error, "it can't be told when the next notice is due");
                None
            },
            |(message, ping)| message.into_iter().chain(ping).min(),
        );
        let next = next.filter(|_| is_well);
        let wait = next.map_or(LOOK_EVERY, Duration::from_millis).min(LOOK_EVERY);
        tokio::select! {
            () = beat.waits(tokio::time::sleep(wait)) => {}
            ended = notices_changed(&mut changes) => if ended { return },
        }
    }
}

/// Until there may be something else to send. `true` = the fleet is closed.
async fn notices_changed(changes: &mut broadcast::Receiver<Change>) -> bool {
    loop {
        match changes.recv().await {
            Ok(Change { what: Changed::Notices, .. }) | Err(RecvError::Lagged(_)) => return false,
            Ok(_) => {}
            Err(RecvError::Closed) => return true,
        }
    }
}

/// Sends what is due now. `false` = that can't be told.
async fn round(fleet: &Fleet, outside: &Outside) -> bool {
    match fleet.begin_messages().await {
        Ok(due) => {
            join_all(due.into_iter().map(|message| one(fleet, outside, message))).await;
            true
        }
        Err(refused) => {
            tracing::warn!(%refused, "notices that are due can't be sent");
            false
        }
    }
}

/// So many checks hear at once.
const CHECKS_AT_ONCE: usize = 6;

/// Sends what checks are to be told now. `false` = that can't be told.
async fn pings(fleet: &Fleet) -> bool {
    let due = match fleet.begin_pings().await {
        Ok(due) => due,
        Err(refused) => {
            tracing::warn!(%refused, "what checks are to be told can't be sent");
            return false;
        }
    };
    join_all(due.into_iter().map(async |due| {
        let (channel, id, name) = (due.channel, due.message.id, due.name.clone());
        let answers = each_ping(due).await;
        let refused = answers.iter().find_map(|(_, sent)| match sent {
            Sent::Refused { fault, .. } => Some(*fault),
            Sent::Taken | Sent::Partly { .. } => None,
        });
        match refused {
            Some(fault) => tracing::warn!(channel = name, fault = fault.code(), "checks could not be told"),
            None => tracing::debug!(channel = name, signals = answers.len(), "checks were told"),
        }
        if let Err(refused) = fleet.pings_answered(channel, id, answers).await {
            tracing::warn!(channel = name, %refused, "what checks were told could not be noted; they are told again");
        }
    }))
    .await;
    true
}

/// Tells checks, each one's signals in their order; it ends with the first that is not taken now, or when the time is over.
async fn each_ping(due: DueMessage) -> Vec<(u64, Sent)> {
    let Channel::Healthchecks(checks) = &due.how else { return Vec::new() };
    let hidden = Redacted::of(&due.secrets);
    let mut by_check: BTreeMap<&str, Vec<&Ping>> = BTreeMap::new();
    for ping in &due.pings {
        by_check.entry(&ping.check).or_default().push(ping);
    }
    let of_check = |pings: Vec<&Ping>| {
        let hidden = &hidden;
        // Owned by the future: a check's signals go one after the other.
        let pings: Vec<Ping> = pings.into_iter().cloned().collect();
        async move {
            let mut answers = Vec::new();
            for ping in &pings {
                let Some(number) = ping.number else { continue };
                let tried = webhook::ping(checks, ping).await;
                let sent = match tried {
                    Ok(_) => Sent::Taken,
                    Err(Failure { fault, said, retry_after_ms }) => {
                        Sent::Refused { fault, said: hidden.hide(&said), retry_after_ms }
                    }
                };
                let goes_on =
                    sent == Sent::Taken || matches!(sent, Sent::Refused { fault, .. } if fault.is_for_good());
                answers.push((number, sent));
                if !goes_on {
                    return (answers, false);
                }
            }
            (answers, true)
        }
    };
    let all = stream::iter(by_check.into_values().map(of_check)).buffer_unordered(CHECKS_AT_ONCE);
    let mut all = std::pin::pin!(all.take_until(tokio::time::sleep(WITHIN)));
    let mut answers = Vec::new();
    while let Some((of_one, goes_on)) = all.next().await {
        answers.extend(of_one);
        if !goes_on {
            break;
        }
    }
    answers
}

/// What the log has said of heartbeats: it says it again when it changes.
#[derive(Debug, Default)]
struct Heard {
    /// Why the last ones were not sent.
    withheld: Option<String>,
    /// Of channels whose last one was not taken, why.
    failing: BTreeMap<ChannelId, SendFault>,
}

/// Sends the heartbeats that are due, if the server is well.
async fn beats(fleet: &Fleet, outside: &Outside, wellness: &Wellness, heard: &mut Heard) {
    let due = match fleet.begin_beats().await {
        Ok(due) => due,
        Err(refused) => {
            tracing::warn!(%refused, "heartbeats that are due can't be sent");
            return;
        }
    };
    if due.is_empty() {
        return;
    }
    if let Err(why) = wellness().await {
        if heard.withheld.as_ref() != Some(&why) {
            tracing::warn!(why, "heartbeats are withheld, for the server is not well");
            heard.withheld = Some(why);
        }
        return;
    }
    if heard.withheld.take().is_some() {
        tracing::info!("the server is well: heartbeats are sent again");
    }
    let each = due.into_iter().map(async |due| {
        let (channel, name) = (due.channel, due.name.clone());
        (channel, name, deliver(due, outside).await.sent)
    });
    for (channel, name, sent) in join_all(each).await {
        let fault = match &sent {
            Sent::Taken | Sent::Partly { .. } => None,
            Sent::Refused { fault, .. } => Some(*fault),
        };
        let before = match fault {
            Some(fault) => heard.failing.insert(channel, fault),
            None => heard.failing.remove(&channel),
        };
        match fault {
            Some(fault) if before != Some(fault) => {
                tracing::warn!(channel = name, fault = fault.code(), "heartbeats are not taken");
            }
            None if before.is_some() => tracing::info!(channel = name, "heartbeats are taken again"),
            _ => {}
        }
        if let Err(refused) = fleet.beat_answered(channel, sent).await {
            tracing::warn!(channel = name, %refused, "what came of a heartbeat could not be noted");
        }
    }
}

async fn one(fleet: &Fleet, outside: &Outside, due: DueMessage) {
    let (channel, id, name) = (due.channel, due.message.id, due.name.clone());
    let sent = deliver(due, outside).await.sent;
    match &sent {
        Sent::Taken => tracing::info!(channel = name, message = %id, "notices sent"),
        Sent::Partly { fault, .. } => {
            tracing::warn!(channel = name, message = %id, fault = fault.code(), "notices sent, and refused by some");
        }
        // What the other side said is on the page: a log is kept elsewhere, and longer.
        Sent::Refused { fault, .. } => {
            tracing::warn!(channel = name, message = %id, fault = fault.code(), "notices not taken");
        }
    }
    if let Err(refused) = fleet.message_answered(channel, id, sent).await {
        tracing::warn!(channel = name, %refused, "what came of a message could not be noted; it is sent again");
    }
}

/// Sends one at once, for whoever tries a channel.
pub(crate) fn at_once(outside: Outside) -> SendNotice {
    Arc::new(move |due| {
        let outside = outside.clone();
        Box::pin(async move { deliver(due, &outside).await })
    })
}

/// Sends a message, and says what came of it without any secret of its channel.
async fn deliver(due: DueMessage, outside: &Outside) -> Delivery {
    let (secrets, base) = (Redacted::of(&due.secrets), outside.base.as_str());
    let trying = async {
        match &due.how {
            Channel::Email(email) => smtp::send(email, &due.secrets, &due.message, base).await,
            Channel::Webhook(webhook) => {
                let now = clock::now();
                webhook::send(webhook, &due.secrets, &due.message, base, now).await.map(Taken::from)
            }
            Channel::Heartbeat(beat) => webhook::beat(beat, &due.secrets).await.map(Taken::from),
            Channel::Healthchecks(checks) => match due.pings.first() {
                Some(ping) => webhook::ping(checks, ping).await.map(Taken::from),
                None => Err(Failure::of(SendFault::Setting)),
            },
            Channel::Script(script) => match outside.scripts.get(&script.name) {
                Some(program) => script::send(program, &due.message, base).await.map(Taken::from),
                None => {
                    let why = format!("The server's configuration names no script {}.", script.name);
                    Err(Failure::said(SendFault::Setting, why))
                }
            },
        }
    };
    let tried = tokio::time::timeout(WITHIN, trying).await;
    match tried.unwrap_or_else(|_| Err(Failure::of(SendFault::TooSlow))) {
        Ok(Taken { said, refused: None }) => Delivery { sent: Sent::Taken, said: secrets.hide(&said) },
        Ok(Taken { refused: Some(Failure { fault, said, .. }), .. }) => {
            let said = secrets.hide(&said);
            Delivery { sent: Sent::Partly { fault, said: said.clone() }, said }
        }
        Err(Failure { fault, said, retry_after_ms }) => {
            let said = secrets.hide(&said);
            Delivery { sent: Sent::Refused { fault, said: said.clone(), retry_after_ms }, said }
        }
    }
}
