//! Who is told of incidents: channels, routes, and the outbox between them.
//!
//! The plan of the incidents says what there is to tell; `tell` puts it, in the same transaction, into the outbox of each
//! channel that `route` chooses. `outbox` decides what is sent when. The driver asks for the messages that are due
//! ([`Fleet::begin_messages`]), sends them, and says what came of each ([`Fleet::message_answered`]); both are on disk
//! before anything goes on. So each message is sent at least once, with the same id and the same words at each try.
//!
//! A channel may be sent a report, weekly or monthly, on the same way (`report`).
//!
//! Bounds: [`MOST_CHANNELS`] channels and [`MOST_ROUTES`] routes; of the notices that wait at a channel the newest 1,000, and how
//! many were left out; of the messages that were given up the newest 20, and how many came before.

mod beats;
mod input;
mod outbox;
mod ping;
mod ping_made;
pub(crate) mod ping_row;
mod pings;
mod report;
mod route;
pub(crate) mod row;
mod tell;
#[cfg(test)]
mod tests;

pub use input::{ChannelInput, NamedSecrets, RouteInput};
pub use outbox::Sent;
pub use ping::Ping;
pub use report::{ReportInput, ReportView, WEEKDAYS};
pub(crate) use tell::{Telling, channels_on, tell};

use crate::audit;
use crate::change::Changed;
use crate::facts::Facts;
use crate::fleet::Fleet;
use crate::incidents::link::AckLink;
use crate::op::Op;
use crate::record::{
    Actor, AuditAction, AuditTarget, Channel, ChannelFlags, ChannelId, ChannelRow, ChannelSecrets,
    ChannelState, Event, Healthchecks, LostMessage, MessageId, Notice, Period, Route, RouteState, SendCounts,
    SendError, SendFault, Sending, Severity, WaitingNotice,
};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::seal::Binding;
use crate::store::{CHANNELS, HOST_NAMES, HOSTS, ROUTES, Reads, WAITING_REPORTS};
use schema::{HostId, IncidentId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// The most channels of a server.
pub const MOST_CHANNELS: usize = 32;
/// The most routes of a server.
pub const MOST_ROUTES: usize = 64;
/// So many notices of a message are told one by one, and how many more there are.
pub const MOST_TOLD: usize = 30;
/// What the first route is called.
const FIRST_ROUTE: &str = "everything";
/// What is said where the secrets of a channel do not open.
const UNREADABLE: &str = "Its stored secrets can't be opened; set them again.";
/// The longest that is kept of what the other side says, in characters.
const LONGEST_SAID: usize = 300;

/// A message, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same at each try.
    pub id: MessageId,
    /// When it was made.
    pub made_at: Timestamp,
    /// What it tells, oldest first; nothing = it is a report, or a test.
    pub notices: Vec<Notice>,
    /// How many older ones were left out, for too many waited.
    pub left_out: u32,
    /// Of incidents that are not over, the keys of links that acknowledge them, where the channel may have such.
    pub ack_keys: BTreeMap<IncidentId, String>,
    /// What it reports.
    pub report: Option<Box<Period>>,
}

/// A message, and by which channel it goes.
#[derive(Clone, Debug)]
pub struct DueMessage {
    /// Which.
    pub channel: ChannelId,
    /// What it is called.
    pub name: String,
    /// How it tells.
    pub how: Channel,
    /// What it tells with.
    pub secrets: ChannelSecrets,
    /// What it tells.
    pub message: Message,
    /// Of a channel to a service such as Healthchecks: what its checks are told.
    pub pings: Vec<Ping>,
}

/// A message on its way, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnItsWay {
    /// Its id.
    pub id: MessageId,
    /// When it was made.
    pub made_at: Timestamp,
    /// How many notices it tells.
    pub notices: u32,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next.
    pub next_at: Timestamp,
}

impl OnItsWay {
    fn of(now: Timestamp, sending: &Sending) -> Self {
        let told = u32::try_from(sending.notices.len()).unwrap_or(u32::MAX);
        Self {
            id: sending.id,
            made_at: sending.made_at,
            notices: told.saturating_add(sending.left_out),
            tries: sending.tries,
            next_at: sending.tried_at.unwrap_or(now).plus_ms(sending.wait_ms),
        }
    }
}

/// A channel, as it is shown: without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelView {
    /// What it is called.
    pub name: String,
    /// Whether it is used, and for what.
    pub flags: ChannelFlags,
    /// How it tells.
    pub channel: Channel,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// By whom.
    pub changed_by: Actor,
    /// How many notices wait, those of the message on its way not counted.
    pub waiting: u32,
    /// How many were left out since the last message was made, for too many waited.
    pub left_out: u32,
    /// The message on its way.
    pub on_its_way: Option<OnItsWay>,
    /// When a message was taken last.
    pub taken_at: Option<Timestamp>,
    /// Since when nothing is taken, and what was wrong last.
    pub failing: Option<(Timestamp, SendError)>,
    /// Some of those to whom the last message went refuse it: what was said of them.
    pub refused: Option<SendError>,
    /// The newest messages that were given up, oldest first.
    pub lost: Vec<LostMessage>,
    /// How many were given up before those.
    pub lost_before: u32,
    /// The name of the only host of which its checks are.
    pub of_host: Option<String>,
    /// When it is sent a report; `None` = nobody has said.
    pub report: Option<ReportView>,
}

/// A route, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// The route itself.
    pub route: Route,
    /// The names of its channels.
    pub channels: Vec<String>,
}

/// A message that tells of no incident.
fn no_message(id: MessageId, made_at: Timestamp) -> Message {
    Message { id, made_at, notices: Vec::new(), left_out: 0, ack_keys: BTreeMap::new(), report: None }
}

/// All channels, by name.
pub(crate) fn channels(reads: &impl Reads, now: Timestamp) -> Result<Vec<ChannelView>, StoreError> {
    let mut all = Vec::new();
    for (id, row) in row::channels(reads)? {
        let of_host = match &row.channel {
            Channel::Healthchecks(Healthchecks { host: Some(host), .. }) => {
                reads.get(&HOSTS, host)?.map(|host| host.name)
            }
            _ => None,
        };
        let waiting = row::waiting(reads, id)?.len() + row::signals(reads, id)?;
        let report = report::view(reads, id, row.flags.is_on, now)?;
        all.push(ChannelView { of_host, report, ..shown(now, row, row::state(reads, id)?, waiting) });
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

fn shown(now: Timestamp, row: ChannelRow, state: ChannelState, waiting: usize) -> ChannelView {
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let sending = state.sending.as_ref();
    let of_message = sending.map_or(0, |sending| sending.notices.len());
    let on_its_way = sending.map(|sending| OnItsWay::of(now, sending));
    ChannelView {
        name: row.name,
        flags: row.flags,
        channel: row.channel,
        changed_at: row.changed_at,
        changed_by: row.changed_by,
        waiting: small(waiting.saturating_sub(of_message)),
        left_out: state.left_out,
        on_its_way,
        taken_at: state.taken_at,
        failing: state.failing,
        refused: state.refused,
        lost: state.lost,
        lost_before: state.lost_before,
        of_host: None,
        report: None,
    }
}

/// All routes, by name.
pub(crate) fn routes(reads: &impl Reads) -> Result<Vec<RouteView>, StoreError> {
    let channels = row::channels(reads)?;
    let name_of = |id: &ChannelId| {
        channels.iter().find(|(known, _)| known == id).map(|(_, channel)| channel.name.clone())
    };
    let view =
        |route: Route| RouteView { channels: route.channels.iter().filter_map(name_of).collect(), route };
    Ok(row::routes(reads)?.into_iter().map(view).collect())
}

fn seal(facts: &Facts, id: ChannelId, secrets: &ChannelSecrets) -> Vec<u8> {
    let plain = Zeroizing::new(postcard::to_allocvec(secrets).unwrap_or_default());
    facts.master.seal(Binding::Channel(id), facts.random(), &plain)
}

fn open(facts: &Facts, id: ChannelId, row: &ChannelRow) -> Result<ChannelSecrets, StoreError> {
    let plain = facts.master.open(Binding::Channel(id), &row.sealed)?;
    postcard::from_bytes(&plain)
        .map_err(|_| StoreError::Row { table: CHANNELS.name(), why: "its secrets are of another sort" })
}

fn note(op: &mut Op<'_, '_>, action: AuditAction, detail: String) -> Result<(), StoreError> {
    op.tx.effects.changed(Changed::Notices);
    audit::note(op, action, AuditTarget::Server, detail)
}

impl Fleet {
    /// Adds a channel. The first one gets a route by which it is told everything, and a weekly report, once it has been tested
    /// well.
    pub async fn add_channel(
        &self,
        name: String,
        flags: ChannelFlags,
        input: ChannelInput,
        by: By,
    ) -> Result<(), Refused> {
        self.write(by, move |op| {
            input::check_name(&name)?;
            let all = row::channels(op.tx)?;
            if all.iter().any(|(_, row)| row.name == name) {
                return Err(Refused::NameTaken { name: name.clone() });
            }
            if all.len() >= MOST_CHANNELS {
                let message = format!("There are {MOST_CHANNELS} channels; delete one first.");
                return Err(Refused::invalid("name", message));
            }
            let (mut channel, secrets) = input::channel(input.clone(), None)?;
            find_host(op.tx, &input, &mut channel)?;
            let id = new_id(op.facts, &all);
            let detail = format!("{name}: {}", channel.kind());
            let is_first =
                channel.tells_incidents() && !all.iter().any(|(_, row)| row.channel.tells_incidents());
            let takes_reports = channel.takes_reports();
            put_channel(op, id, (name.clone(), flags), channel, &secrets)?;
            note(op, AuditAction::ChannelCreated, detail)?;
            if is_first {
                offer_route(op, id)?;
                if takes_reports {
                    report::offer(op, id)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Changes a channel. What waits is tried again at once; at one that is switched off nothing waits any more.
    pub async fn change_channel(
        &self,
        name: String,
        flags: ChannelFlags,
        input: ChannelInput,
        by: By,
    ) -> Result<(), Refused> {
        self.write(by, move |op| {
            let (id, before) = row::named(op.tx, &name)?.ok_or(Refused::ChannelNotFound)?;
            // Where they do not open they have to be given again.
            let stored = open(op.facts, id, &before).unwrap_or_default();
            let (mut channel, secrets) = input::channel(input.clone(), Some((&before.channel, &stored)))?;
            find_host(op.tx, &input, &mut channel)?;
            if channel.tells_incidents() != before.channel.tells_incidents() {
                let why = "This channel tells of incidents, or tells of none: for the other one add another channel.";
                return Err(Refused::invalid(channel.kind(), why));
            }
            let mut detail = format!("{name}: {}", channel.kind());
            put_channel(op, id, (name.clone(), flags), channel, &secrets)?;
            if let Some(after) = op.tx.get(&CHANNELS, &id)? {
                report::channel_changed(op, id, &after)?;
            }
            let mut state = row::state(op.tx, id)?;
            if flags.is_on {
                outbox::try_again(&mut state);
                row::put_state(op.tx, id, &state)?;
            } else {
                let dropped = row::forget(op.tx, id)?;
                // Numbers go on, so that an answer of before is of no message of later.
                let next = state.next;
                row::put_state(op.tx, id, &ChannelState { next, ..ChannelState::default() })?;
                detail = format!("{detail}, off; notices that waited and are dropped: {dropped}");
            }
            Ok(note(op, AuditAction::ChannelChanged, detail)?)
        })
        .await
    }

    /// Deletes a channel, and what waits there.
    pub async fn delete_channel(&self, name: String, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let (id, _) = row::named(op.tx, &name)?.ok_or(Refused::ChannelNotFound)?;
            row::delete(op, id)?;
            Ok(note(op, AuditAction::ChannelDeleted, name.clone())?)
        })
        .await
    }

    /// Adds a route.
    pub async fn add_route(&self, input: RouteInput, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let known = row::routes(op.tx)?;
            if known.iter().any(|route| route.name == input.name) {
                return Err(Refused::NameTaken { name: input.name.clone() });
            }
            if known.len() >= MOST_ROUTES {
                let message = format!("There are {MOST_ROUTES} routes; delete one first.");
                return Err(Refused::invalid("name", message));
            }
            let route = read_route(op.tx, &input)?;
            Ok(put_route(op, &route, AuditAction::RouteCreated)?)
        })
        .await
    }

    /// Changes the route of this name.
    pub async fn change_route(&self, input: RouteInput, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            if !op.tx.has(&ROUTES, &input.name)? {
                return Err(Refused::RouteNotFound);
            }
            let route = read_route(op.tx, &input)?;
            Ok(put_route(op, &route, AuditAction::RouteChanged)?)
        })
        .await
    }

    /// Deletes a route. What waits already is told still.
    pub async fn delete_route(&self, name: String, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            if !op.tx.remove(&ROUTES, &name)? {
                return Err(Refused::RouteNotFound);
            }
            Ok(note(op, AuditAction::RouteDeleted, name.clone())?)
        })
        .await
    }

    /// A message that tells nothing but that it has come; it waits in no outbox.
    pub fn test_message(&self, name: &str) -> Result<DueMessage, Refused> {
        let context = self.context();
        let (channel, row) = row::named(&self.view()?, name)?.ok_or(Refused::ChannelNotFound)?;
        let secrets =
            open(&context.facts, channel, &row).map_err(|_| Refused::invalid("name", UNREADABLE))?;
        let id = MessageId(context.facts.random());
        let pings = match &row.channel {
            Channel::Healthchecks(checks) => vec![ping_made::of_test(&self.view()?, checks, &secrets)?],
            _ => Vec::new(),
        };
        let message = no_message(id, context.now());
        Ok(DueMessage { channel, name: row.name, how: row.channel, secrets, message, pings })
    }

    /// What has become of it. One that was taken has a message that waits tried again at once, and switches routes on that
    /// waited for it.
    pub async fn channel_tested(&self, channel: ChannelId, sent: Sent, by: By) -> Result<(), Refused> {
        self.tried(channel, sent, AuditAction::ChannelTested, by).await
    }

    /// What has become of a report that somebody wanted now: a channel that takes it works.
    pub async fn report_sent(&self, channel: ChannelId, sent: Sent, by: By) -> Result<(), Refused> {
        self.tried(channel, sent, AuditAction::ReportSent, by).await
    }

    async fn tried(
        &self,
        channel: ChannelId,
        sent: Sent,
        action: AuditAction,
        by: By,
    ) -> Result<(), Refused> {
        self.write(by, move |op| {
            let Some(row) = op.tx.get(&CHANNELS, &channel)? else { return Err(Refused::ChannelNotFound) };
            let mut detail = row.name;
            let sent = cut(sent.clone());
            let refused = match sent {
                Sent::Taken => None,
                Sent::Partly { fault, said } => Some(SendError { at: op.now, fault, said }),
                Sent::Refused { fault, .. } => {
                    detail = format!("{detail}: {}", fault.code());
                    return Ok(note(op, action, detail)?);
                }
            };
            let mut state = row::state(op.tx, channel)?;
            state.taken(op.now, refused);
            outbox::try_again(&mut state);
            row::put_state(op.tx, channel, &state)?;
            for mut route in row::routes(op.tx)? {
                if route.state == RouteState::WhenTested && route.channels.contains(&channel) {
                    route.state = RouteState::On;
                    op.tx.put(&ROUTES, &route.name, &route)?;
                    detail = format!("{detail}; route {} is on", route.name);
                }
            }
            if report::tested(op, channel)? {
                detail = format!("{detail}; its report is on");
            }
            Ok(note(op, action, detail)?)
        })
        .await
    }

    /// The messages that are to be sent now. Each counts as tried: whoever asked says what came of it, or it is sent again.
    pub async fn begin_messages(&self) -> Result<Vec<DueMessage>, Refused> {
        if self.next_message_in_ms()? != Some(0) {
            return Ok(Vec::new());
        }
        self.write(By::system(), |op| {
            let (mut due, before) = (Vec::new(), op.tx.writes());
            for (channel, row) in row::channels(op.tx)? {
                if row.flags.is_on && row.channel.tells_incidents() {
                    due.extend(begin(op, channel, row)?);
                }
            }
            // Nobody waits for an archive of that.
            op.tx.is_passing_since(before);
            Ok(due)
        })
        .await
    }

    /// What has become of a message.
    pub async fn message_answered(
        &self,
        channel: ChannelId,
        id: MessageId,
        sent: Sent,
    ) -> Result<(), Refused> {
        self.count_sent(channel, &sent);
        self.write(By::system(), move |op| {
            let (sent, before) = (cut(sent.clone()), op.tx.writes());
            if report::answered(op, channel, id, sent.clone())? {
                return Ok(());
            }
            let mut state = row::state(op.tx, channel)?;
            let done = outbox::answered(op.now, &mut state, id, sent);
            row::remove(op.tx, channel, &done)?;
            row::put_state(op.tx, channel, &state)?;
            if done.is_empty() {
                op.tx.is_passing_since(before);
            }
            Ok(())
        })
        .await
    }

    /// What each channel has sent since the start, by its name; of those that are deleted nothing.
    pub fn send_counts(&self) -> Result<BTreeMap<String, SendCounts>, StoreError> {
        let (view, context) = (self.view()?, self.context());
        let sends = context.sends();
        let counts = |id: &ChannelId| sends.get(id).copied().unwrap_or_default();
        Ok(row::channels(&view)?.into_iter().map(|(id, row)| (row.name, counts(&id))).collect())
    }

    fn count_sent(&self, channel: ChannelId, sent: &Sent) {
        let context = self.context();
        let mut sends = context.sends();
        let counts = sends.entry(channel).or_default();
        match sent {
            Sent::Taken | Sent::Partly { .. } => counts.taken += 1,
            Sent::Refused { .. } => counts.refused += 1,
        }
    }

    /// How long until a message is due, in milliseconds: 0 = now; `None` = nothing waits, or this server only reads.
    pub fn next_message_in_ms(&self) -> Result<Option<u64>, StoreError> {
        if self.only_reads() {
            return Ok(None);
        }
        let (now, view) = (self.now(), self.view()?);
        let mut next: Option<u64> = None;
        for (channel, row) in row::channels(&view)? {
            if row.flags.is_on && row.channel.tells_incidents() {
                let (state, waiting) = (row::state(&view, channel)?, row::waiting(&view, channel)?);
                let due = outbox::due_in_ms(now, &state, waiting.iter().map(|(_, waiting)| waiting));
                let has_notices = has_notices(&state, &waiting);
                let report = view.get(&WAITING_REPORTS, &channel)?;
                let report = report.map(|report| report::due_in_ms(now, &state, &report, has_notices));
                next = next.into_iter().chain(due).chain(report).min();
            }
        }
        Ok(next)
    }
}

/// A number that none has, and, as it is drawn, none had: what was sent by a channel that is deleted is of no later one.
fn new_id(facts: &Facts, known: &[(ChannelId, ChannelRow)]) -> ChannelId {
    loop {
        let id = ChannelId(u32::from_le_bytes(facts.random()));
        if known.iter().all(|(other, _)| *other != id) {
            return id;
        }
    }
}

/// The only channel is offered a route by which it is told everything: where there is none yet, or where the one of before leads
/// nowhere any more.
fn offer_route(op: &mut Op<'_, '_>, id: ChannelId) -> Result<(), StoreError> {
    let known = row::routes(op.tx)?;
    let left = known.iter().find(|route| route.name == FIRST_ROUTE && route.channels.is_empty());
    let (route, action) = match left {
        Some(left) => {
            let route = Route { state: RouteState::WhenTested, channels: vec![id], ..left.clone() };
            (route, AuditAction::RouteChanged)
        }
        None if known.is_empty() => {
            let route = Route {
                name: FIRST_ROUTE.to_owned(),
                state: RouteState::WhenTested,
                labels: Vec::new(),
                least: Severity::Warning,
                causes: Vec::new(),
                quiet: None,
                channels: vec![id],
            };
            (route, AuditAction::RouteCreated)
        }
        None => return Ok(()),
    };
    put_route(op, &route, action)
}

fn put_route(op: &mut Op<'_, '_>, route: &Route, action: AuditAction) -> Result<(), StoreError> {
    op.tx.put(&ROUTES, &route.name, route)?;
    note(op, action, described(route))
}

/// The only host of which the checks of a channel are, by its name or its id.
fn find_host(reads: &impl Reads, input: &ChannelInput, channel: &mut Channel) -> Result<(), Refused> {
    let (ChannelInput::Healthchecks { host, .. }, Channel::Healthchecks(checks)) = (input, channel) else {
        return Ok(());
    };
    let given = host.trim();
    if given.is_empty() {
        checks.host = None;
        return Ok(());
    }
    let by_id = given.parse::<HostId>().ok();
    let by_name = reads.get(&HOST_NAMES, &given.to_lowercase())?;
    let Some(id) = by_name.or(by_id).filter(|id| reads.has(&HOSTS, id).unwrap_or(false)) else {
        return Err(Refused::invalid("host", format!("There is no host {given:?}.")));
    };
    checks.host = Some(id);
    Ok(())
}

fn put_channel(
    op: &mut Op<'_, '_>,
    id: ChannelId,
    (name, flags): (String, ChannelFlags),
    channel: Channel,
    secrets: &ChannelSecrets,
) -> Result<(), StoreError> {
    let sealed = seal(op.facts, id, secrets);
    // A heartbeat has no message to stand in.
    let flags = ChannelFlags { acknowledges: flags.acknowledges && channel.tells_incidents(), ..flags };
    let (changed_at, changed_by) = (op.now, op.by.actor.clone());
    op.tx.put(&CHANNELS, &id, &ChannelRow { name, flags, channel, sealed, changed_at, changed_by })
}

fn read_route(reads: &impl Reads, input: &RouteInput) -> Result<Route, Refused> {
    input::check_name(&input.name)?;
    let (labels, causes) = input::words(input)?;
    let known = row::channels(reads)?;
    let mut channels = BTreeSet::new();
    for name in &input.channels {
        let found = known.iter().find(|(_, channel)| channel.name == *name);
        let Some((id, channel)) = found else {
            return Err(Refused::invalid("channels", format!("There is no channel {name:?}.")));
        };
        if !channel.channel.tells_incidents() {
            let why = format!("The channel {name} ({}) tells of no incident.", channel.channel.kind());
            return Err(Refused::invalid("channels", why));
        }
        channels.insert(*id);
    }
    Ok(Route {
        name: input.name.clone(),
        state: input.state,
        labels,
        least: input.least,
        causes,
        quiet: input::quiet(input)?,
        channels: channels.into_iter().collect(),
    })
}

fn described(route: &Route) -> String {
    let all_or = |words: &[String]| if words.is_empty() { "all".to_owned() } else { words.join(", ") };
    format!(
        "{}: {}, {} and worse, labels {}, causes {}, {} channels",
        route.name,
        route.state.as_str(),
        route.least.as_str(),
        all_or(&route.labels),
        all_or(&route.causes),
        route.channels.len()
    )
}

fn has_notices(state: &ChannelState, waiting: &[(u64, WaitingNotice)]) -> bool {
    state.sending.is_some() || !waiting.is_empty()
}

fn begin(op: &mut Op<'_, '_>, channel: ChannelId, row: ChannelRow) -> Result<Option<DueMessage>, StoreError> {
    let (mut state, waiting) = (row::state(op.tx, channel)?, row::waiting(op.tx, channel)?);
    // Each notice is a request of its own there.
    let most = if row.channel.keeps_alerts() { MOST_TOLD } else { usize::MAX };
    if !outbox::begin(op.now, &mut state, &waiting, most, || MessageId(op.facts.random())) {
        return begin_report(op, channel, row, has_notices(&state, &waiting));
    }
    let Some(sending) = state.sending.clone() else { return Ok(None) };
    let opened = open(op.facts, channel, &row);
    if opened.is_err() {
        let done = outbox::answered(op.now, &mut state, sending.id, not_opened());
        row::remove(op.tx, channel, &done)?;
    }
    row::put_state(op.tx, channel, &state)?;
    let Ok(secrets) = opened else { return Ok(None) };
    let told = waiting.into_iter().filter(|(number, _)| sending.notices.contains(number));
    let notices: Vec<Notice> = told.map(|(_, waiting)| waiting.notice).collect();
    let ack_keys =
        if row.flags.acknowledges { ack_keys(op.facts, channel, &notices) } else { BTreeMap::new() };
    let (id, made_at, left_out) = (sending.id, sending.made_at, sending.left_out);
    let message = Message { id, made_at, notices, left_out, ack_keys, report: None };
    let (name, how) = (row.name, row.channel);
    Ok(Some(DueMessage { channel, name, how, secrets, message, pings: Vec::new() }))
}

fn begin_report(
    op: &mut Op<'_, '_>,
    channel: ChannelId,
    row: ChannelRow,
    has_notices: bool,
) -> Result<Option<DueMessage>, StoreError> {
    let Some(message) = report::begin(op, channel, has_notices)? else { return Ok(None) };
    let Ok(secrets) = open(op.facts, channel, &row) else {
        report::answered(op, channel, message.id, not_opened())?;
        return Ok(None);
    };
    let (name, how) = (row.name, row.channel);
    Ok(Some(DueMessage { channel, name, how, secrets, message, pings: Vec::new() }))
}

fn not_opened() -> Sent {
    Sent::Refused { fault: SendFault::Setting, said: UNREADABLE.to_owned(), retry_after_ms: None }
}

/// Links that acknowledge what a message tells, by the last that it tells of each incident.
fn ack_keys(facts: &Facts, channel: ChannelId, notices: &[Notice]) -> BTreeMap<IncidentId, String> {
    let mut keys = BTreeMap::new();
    for notice in notices {
        let (incident, told_at) = (notice.incident, notice.at);
        match notice.event {
            Event::Recovered | Event::Ended => keys.remove(&incident),
            _ => keys.insert(incident, AckLink { incident, channel, told_at }.key(&facts.master)),
        };
    }
    keys
}

/// What the other side said, in bounds, and without what would be read as something else.
fn cut(sent: Sent) -> Sent {
    let short = |said: String| {
        let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
        said.chars().map(plain).take(LONGEST_SAID).collect()
    };
    match sent {
        Sent::Taken => Sent::Taken,
        Sent::Partly { fault, said } => Sent::Partly { fault, said: short(said) },
        Sent::Refused { fault, said, retry_after_ms } => {
            Sent::Refused { fault, said: short(said), retry_after_ms }
        }
    }
}
