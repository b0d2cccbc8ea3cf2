//! What becomes of the incidents, decided from how the hosts and the server stand: pure.
//!
//! An incident is noticed as soon as somebody has its cause, opens when its grace is over, and ends when nobody has it any
//! more. A host whose labels give it longer has a cause once that is over, unless an incident has met it already. One that ended stands for [`SETTLES_MS`] still: who has the cause again meanwhile has the same incident again, so
//! that what flaps is one. What there is to tell comes out as notices; what they have said is kept with the incident, in the
//! same change, so that nothing is told twice and nothing is lost with the process.
//!
//! Instants are compared by how long ago they were, and what lies ahead was just now: a clock that is set back delays what
//! time alone decides until [`crate::clock`] has mended them.

use super::condition::{Condition, HostSeen, InCommon, Need, OwnNeed, in_common};
use super::grace::grace_ms;
use crate::record::{
    Cause, ChannelId, Ending, Event, Incident, Left, Met, Noted, Severity, Subject, Worsened,
};
use crate::units::{DAY_MS, MINUTE_MS};
use schema::{HostId, IncidentId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// So long an incident that ended may go on as the same one; then it is over for good.
pub(crate) const SETTLES_MS: u64 = 15 * MINUTE_MS;
/// Who got a cause within so long of the next one has it in common, where time is what they have in common.
const TOGETHER_MS: u64 = 5 * MINUTE_MS;
/// So long after a notice there is no other one that only says how many it meets.
const GATHERS_MS: u64 = 5 * MINUTE_MS;
/// How often an incident that nobody has acknowledged is told again.
const REMINDS_MS: u64 = 3 * DAY_MS;

/// An incident with all whom it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) incident: Incident,
    pub(crate) met: BTreeMap<Subject, Met>,
}

impl Known {
    /// Who has the cause now.
    pub(crate) fn now(&self) -> impl Iterator<Item = Subject> {
        self.met.iter().filter(|(_, met)| met.left.is_none()).map(|(subject, _)| *subject)
    }
}

/// How all stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'s> {
    pub(crate) hosts: &'s [HostSeen],
    /// What the server needs, and its channels.
    pub(crate) own: &'s [OwnNeed],
    /// The channels that are there and on.
    pub(crate) channels: &'s [ChannelId],
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) event: Event,
    pub(crate) incident: IncidentId,
    pub(crate) cause: Cause,
    pub(crate) storage: Option<String>,
    pub(crate) severity: Severity,
    /// How many have it now, or, of one that is over, had it at most.
    pub(crate) count: u32,
}

/// What is to be written of one incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) known: Known,
    /// Its own row is another one, or new.
    pub(crate) is_changed: bool,
    /// Those whom it meets whose rows are to be written, or removed where they are not among them any more.
    pub(crate) touched: BTreeSet<Subject>,
    /// It was over before it was one: nothing is kept of it.
    pub(crate) is_forgotten: bool,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// All incidents that stand, and those that are to be written for the last time.
    pub(crate) incidents: Vec<Planned>,
    pub(crate) notices: Vec<Notice>,
}

impl Plan {
    /// Whether anything is to be written.
    pub(crate) fn changes(&self) -> bool {
        self.incidents.iter().any(Planned::changes)
    }
}

impl Planned {
    pub(crate) fn changes(&self) -> bool {
        self.is_changed || self.is_forgotten || !self.touched.is_empty()
    }
}

/// What those whom one incident meets have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Common {
    cause: Cause,
    storage: Option<Arc<str>>,
}

impl Common {
    fn of(cause: Cause, storage: Option<&Arc<str>>) -> Self {
        let storage = storage.filter(|_| in_common(cause) == InCommon::Storage).cloned();
        Self { cause, storage }
    }

    /// Whether it also has to be at about the same time.
    fn has_time(&self) -> bool {
        match in_common(self.cause) {
            InCommon::Storage => self.storage.is_none(),
            InCommon::Time => true,
            InCommon::Cause => false,
        }
    }

    fn of_incident(incident: &Incident) -> Self {
        Self { cause: incident.cause, storage: incident.storage.as_deref().map(Arc::from) }
    }
}

/// Somebody who needs somebody.
struct Needy {
    subject: Subject,
    common: Common,
    need: Need,
    /// The longer grace of its labels is over, and the one of all with it.
    has_waited: bool,
}

/// An incident while it is planned.
struct Draft {
    known: Known,
    common: Common,
    /// As it was; `None` = it is new.
    before: Option<Incident>,
    touched: BTreeSet<Subject>,
    /// What those need who have it now.
    needs: Vec<(Subject, Need)>,
    /// Somebody of an open one went on to it.
    follows: Option<IncidentId>,
    /// Somebody whom it meets has waited for longer than its grace.
    has_waited: bool,
}

/// Decides. `known` are the incidents that stand: all that are not settled.
pub(crate) fn plan(
    now: Timestamp,
    seen: Seen<'_>,
    mut known: Vec<Known>,
    mut new_id: impl FnMut() -> IncidentId,
) -> Plan {
    known.sort_by_key(|known| known.incident.id);
    let mut drafts: Vec<Draft> = known.into_iter().map(Draft::of).collect();
    let conditions = conditions_of(&drafts, seen.hosts);
    let mut alone = Vec::new();
    let needy = needy(now, seen, &met_now(&drafts));
    let placed = place(now, &mut drafts, needy, &mut alone);
    let gone_on = leave(now, &mut drafts, &conditions, seen, &placed);
    drafts.extend(gather(now, alone, &mut new_id));
    let mut plan = Plan::default();
    for mut draft in drafts {
        draft.join(now, &gone_on);
        plan.notices.extend(draft.go_on(now));
        plan.incidents.push(draft.planned());
    }
    plan
}

/// How those stand who are in any of them.
fn conditions_of(drafts: &[Draft], hosts: &[HostSeen]) -> BTreeMap<HostId, Condition> {
    let of_subject = |subject: &Subject| match subject {
        Subject::Host(host) => Some(*host),
        Subject::Server | Subject::Channel(_) => None,
    };
    let met: BTreeSet<HostId> =
        drafts.iter().flat_map(|draft| draft.known.met.keys().filter_map(of_subject)).collect();
    let seen = hosts.iter().filter(|seen| met.contains(&seen.host));
    seen.map(|seen| (seen.host, seen.condition)).collect()
}

/// Whom incidents meet now; of those that are not open, by their cause.
fn met_now(drafts: &[Draft]) -> BTreeSet<(Subject, Option<Cause>)> {
    let met = drafts.iter().flat_map(|draft| {
        let Incident { opened_at, cause, .. } = draft.known.incident;
        draft.known.now().map(move |subject| (subject, opened_at.is_none().then_some(cause)))
    });
    met.collect()
}

/// Whether the labels of a host let it have its cause still. Whoever is in an incident already is in it, or in the next one.
fn is_let(now: Timestamp, seen: &HostSeen, need: Need, met: &BTreeSet<(Subject, Option<Cause>)>) -> bool {
    let subject = Subject::Host(seen.host);
    now.ms_since(need.since) < longer_ms(seen, need)
        && !met.contains(&(subject, None))
        && !met.contains(&(subject, Some(need.cause)))
}

/// How much longer than others the labels of a host let it have its cause, the grace of all counted in; 0 = no longer.
fn longer_ms(seen: &HostSeen, need: Need) -> u64 {
    if seen.grace_ms > grace_ms(need.cause) { seen.grace_ms } else { 0 }
}

/// All who need somebody, in an order that does not depend on the one in which they come.
fn needy(now: Timestamp, seen: Seen<'_>, met: &BTreeSet<(Subject, Option<Cause>)>) -> Vec<Needy> {
    let hosts = seen.hosts.iter().filter_map(|seen| {
        let Condition::Needs(need) = seen.condition else { return None };
        if is_let(now, seen, need, met) {
            return None;
        }
        let common = Common::of(need.cause, seen.storage.as_ref());
        let longer_ms = longer_ms(seen, need);
        let has_waited = longer_ms > 0 && now.ms_since(need.since) >= longer_ms;
        Some(Needy { subject: Subject::Host(seen.host), common, need, has_waited })
    });
    let own = seen.own.iter().map(|own| {
        let OwnNeed { subject, cause, severity, since } = *own;
        let need = Need { cause, severity, since: since.unwrap_or(now), is_acked: false };
        Needy { subject, common: Common::of(cause, None), need, has_waited: false }
    });
    let mut all: Vec<Needy> = hosts.chain(own).collect();
    for needy in &mut all {
        needy.need.since = needy.need.since.min(now);
    }
    all.sort_by(|one, other| {
        let key = |needy: &Needy| (needy.need.since, needy.subject);
        one.common.cmp(&other.common).then_with(|| key(one).cmp(&key(other)))
    });
    all
}

/// Where those are found who need somebody.
#[derive(Default)]
struct Places {
    /// The incidents that have this in common: one, unless time is a part of it.
    by_common: BTreeMap<Common, usize>,
    /// Of those of which time is a part: by when each got it.
    by_time: BTreeMap<(Common, Timestamp), usize>,
    /// In which somebody is, or was.
    by_subject: BTreeMap<(Subject, Common), Vec<usize>>,
}

impl Places {
    fn of(drafts: &[Draft]) -> Self {
        let mut places = Self::default();
        for (at, draft) in drafts.iter().enumerate() {
            places.by_common.entry(draft.common.clone()).or_insert(at);
            for (subject, met) in &draft.known.met {
                let common = draft.common.clone();
                if common.has_time() {
                    places.by_time.entry((common.clone(), met.since)).or_insert(at);
                }
                places.by_subject.entry((*subject, common)).or_default().push(at);
            }
        }
        places
    }

    /// The incident of one: that in which it is; that which it has just left; else one that takes it in.
    fn find(&mut self, now: Timestamp, drafts: &[Draft], one: &Needy) -> Option<usize> {
        let own = self.by_subject.get(&(one.subject, one.common.clone())).map_or(&[][..], Vec::as_slice);
        let met = |at: &usize| drafts[*at].known.met.get(&one.subject);
        let still = own.iter().find(|at| met(at).is_some_and(|met| met.left.is_none()));
        let again = || own.iter().rev().find(|at| met(at).is_some_and(|met| has_just_left(now, met)));
        if let Some(at) = still.or_else(again) {
            return Some(*at);
        }
        if !one.common.has_time() {
            return self.by_common.get(&one.common).copied();
        }
        let since = one.need.since;
        let from = (one.common.clone(), Timestamp(since.0.saturating_sub(TOGETHER_MS)));
        let to = (one.common.clone(), since.plus_ms(TOGETHER_MS));
        let at = self.by_time.range(from..=to).next().map(|(_, at)| *at)?;
        // Who comes next may be together with this one.
        self.by_time.entry((one.common.clone(), since)).or_insert(at);
        Some(at)
    }
}

fn has_just_left(now: Timestamp, met: &Met) -> bool {
    met.left.is_some_and(|(at, _)| now.ms_since(at) < SETTLES_MS)
}

/// Finds the incident of each; `alone` are those that have none. Returns the place of it for each that has one.
fn place(
    now: Timestamp,
    drafts: &mut [Draft],
    needy: Vec<Needy>,
    alone: &mut Vec<Needy>,
) -> BTreeMap<(Subject, Cause), usize> {
    let (mut places, mut placed) = (Places::of(drafts), BTreeMap::new());
    for one in needy {
        match places.find(now, drafts, &one) {
            Some(at) => {
                placed.insert((one.subject, one.need.cause), at);
                drafts[at].has_waited |= one.has_waited;
                drafts[at].needs.push((one.subject, one.need));
            }
            None => alone.push(one),
        }
    }
    placed
}

/// Lets those go who do not have the cause any more. Returns which of them were in an open incident and have another cause.
fn leave(
    now: Timestamp,
    drafts: &mut [Draft],
    conditions: &BTreeMap<HostId, Condition>,
    seen: Seen<'_>,
    placed: &BTreeMap<(Subject, Cause), usize>,
) -> BTreeMap<Subject, IncidentId> {
    let mut gone_on = BTreeMap::new();
    for (at, draft) in drafts.iter_mut().enumerate() {
        let cause = draft.known.incident.cause;
        let id = draft.known.incident.id;
        let is_open = draft.known.incident.opened_at.is_some();
        let mut deleted = Vec::new();
        for (subject, met) in &mut draft.known.met {
            if placed.get(&(*subject, cause)) == Some(&at) {
                continue;
            }
            let left = match subject {
                Subject::Server | Subject::Channel(_)
                    if seen.own.iter().any(|own| own.subject == *subject && own.cause == cause) =>
                {
                    continue;
                }
                // One that is switched off has not recovered.
                Subject::Channel(channel) if !seen.channels.contains(channel) => {
                    deleted.push(*subject);
                    continue;
                }
                Subject::Server | Subject::Channel(_) => Left::Recovered,
                Subject::Host(host) => match conditions.get(host) {
                    None => {
                        deleted.push(*subject);
                        continue;
                    }
                    Some(Condition::Busy) => continue,
                    Some(Condition::Well) => Left::Recovered,
                    Some(Condition::Needs(_)) => Left::OtherCause,
                },
            };
            if met.left.is_none() {
                met.left = Some((now, left));
                draft.touched.insert(*subject);
                if left == Left::OtherCause && is_open {
                    gone_on.insert(*subject, id);
                }
            }
        }
        for subject in deleted {
            draft.known.met.remove(&subject);
            draft.touched.insert(subject);
        }
    }
    gone_on
}

/// New incidents of those that have none; they come sorted.
fn gather(now: Timestamp, alone: Vec<Needy>, new_id: &mut impl FnMut() -> IncidentId) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for one in alone {
        let is_together = |last: &&mut Draft| {
            let newest = last.needs.last().map_or(one.need.since, |(_, need)| need.since);
            last.common == one.common
                && (!one.common.has_time() || one.need.since.ms_since(newest) <= TOGETHER_MS)
        };
        match drafts.last_mut().filter(is_together) {
            Some(last) => {
                last.has_waited |= one.has_waited;
                last.needs.push((one.subject, one.need));
            }
            None => drafts.push(Draft::new(now, one, new_id())),
        }
    }
    drafts
}

impl Draft {
    fn of(known: Known) -> Self {
        Self {
            common: Common::of_incident(&known.incident),
            before: Some(known.incident.clone()),
            known,
            touched: BTreeSet::new(),
            needs: Vec::new(),
            follows: None,
            has_waited: false,
        }
    }

    fn new(now: Timestamp, first: Needy, id: IncidentId) -> Self {
        let Needy { subject, common, need, has_waited } = first;
        let incident = Incident {
            id,
            cause: common.cause,
            storage: common.storage.as_deref().map(str::to_owned),
            severity: need.severity,
            since: need.since,
            noticed_at: now,
            opened_at: None,
            ended: None,
            is_settled: false,
            most: 0,
            worsened: None,
            noted: None,
            ack: None,
            follows: None,
        };
        let known = Known { incident, met: BTreeMap::new() };
        let needs = vec![(subject, need)];
        Self { known, common, before: None, touched: BTreeSet::new(), needs, follows: None, has_waited }
    }

    /// Takes in those who have the cause, also who had it before.
    fn join(&mut self, now: Timestamp, gone_on: &BTreeMap<Subject, IncidentId>) {
        for (subject, need) in &self.needs {
            if let Some(before) = gone_on.get(subject) {
                self.follows = Some(self.follows.map_or(*before, |known| known.min(*before)));
            }
            let since = match self.known.met.get(subject) {
                Some(met) if met.left.is_none() => continue,
                Some(met) if has_just_left(now, met) => met.since,
                _ => need.since,
            };
            self.known.met.insert(*subject, Met { since, left: None });
            self.touched.insert(*subject);
        }
    }

    /// What time and numbers make of it.
    fn go_on(&mut self, now: Timestamp) -> Option<Notice> {
        let count = u32::try_from(self.known.now().count()).unwrap_or(u32::MAX);
        let ending = self.ending();
        let worst = self.needs.iter().map(|(_, need)| need.severity).max();
        let earliest = self.needs.iter().map(|(_, need)| need.since).min();
        // A job may run on one of them: then it is not known whether that changes anything.
        let loud = count as usize > self.needs.iter().filter(|(_, need)| need.is_acked).count();
        let incident = &mut self.known.incident;
        incident.severity = worst.unwrap_or(incident.severity);
        incident.since = earliest.map_or(incident.since, |since| since.min(incident.since));
        incident.most = incident.most.max(count);
        match incident.ended {
            None if count == 0 => incident.ended = Some((now, ending)),
            Some(_) if count > 0 => incident.ended = None,
            _ => {}
        }
        if let Some((at, ending)) = incident.ended {
            if now.ms_since(at) < SETTLES_MS {
                return None;
            }
            incident.is_settled = true;
            incident.ack = None;
            // One that was acknowledged within its grace, and was over before that, is none.
            let is_told = incident.opened_at.is_some() && incident.noted.is_some();
            let event = match ending {
                Ending::Recovered => Event::Recovered,
                Ending::OtherCause | Ending::HostsDeleted => Event::Ended,
            };
            return is_told.then(|| self.notice(event, self.known.incident.most));
        }
        let is_at_once = self.follows.is_some() || self.has_waited;
        if incident.opened_at.is_none()
            && (is_at_once || now.ms_since(incident.noticed_at) >= grace_ms(incident.cause))
        {
            incident.opened_at = Some(now);
            incident.follows = self.follows;
        }
        incident.opened_at?;
        // Channels are few: each that fails is told, however many failed before.
        if incident.cause == Cause::Channel
            && let Some(noted) = &mut incident.noted
        {
            let lately = self.known.met.values().filter(|met| met.left.is_none() || has_just_left(now, met));
            noted.count = noted.count.min(u32::try_from(lately.count()).unwrap_or(u32::MAX));
        }
        let has_lapsed = incident.ack.as_ref().is_some_and(|ack| now >= ack.until);
        if has_lapsed {
            incident.ack = None;
        }
        let event = event(now, incident, count, has_lapsed).filter(|_| loud)?;
        let noted = incident.noted.unwrap_or(Noted { at: now, severity: incident.severity, count });
        if event == Event::Worsened {
            incident.worsened = Some(Worsened { at: now, from: noted.count, to: count });
        }
        incident.noted = Some(Noted {
            at: now,
            severity: noted.severity.max(incident.severity),
            count: noted.count.max(count),
        });
        Some(self.notice(event, count))
    }

    /// What ended it, when nobody has it any more.
    fn ending(&self) -> Ending {
        let mut left = self.known.met.values().filter_map(|met| met.left);
        let is_last = |(at, left): (Timestamp, Left)| (at, left == Left::OtherCause);
        match left.by_ref().map(is_last).max() {
            None => Ending::HostsDeleted,
            Some((_, true)) => Ending::OtherCause,
            Some((_, false)) => Ending::Recovered,
        }
    }

    fn notice(&self, event: Event, count: u32) -> Notice {
        let Incident { id, cause, storage, severity, .. } = &self.known.incident;
        let (incident, cause, severity) = (*id, *cause, *severity);
        Notice { event, incident, cause, storage: storage.clone(), severity, count }
    }

    fn planned(self) -> Planned {
        let Self { known, before, touched, .. } = self;
        let is_forgotten = known.incident.is_settled && known.incident.opened_at.is_none();
        Planned { is_changed: before.as_ref() != Some(&known.incident), known, touched, is_forgotten }
    }
}

/// What there is to tell of an open incident.
fn event(now: Timestamp, incident: &Incident, count: u32, has_lapsed: bool) -> Option<Event> {
    let rests = incident.ack.is_some();
    let Some(noted) = incident.noted else { return (!rests).then_some(Event::Opened) };
    let ago_ms = now.ms_since(noted.at);
    // Half as many again: of ten thousand that fail one by one it is told some twenty times.
    let least = if incident.cause == Cause::Channel { 1 } else { noted.count.div_ceil(2) };
    let has_grown = count > noted.count && count - noted.count >= least;
    if incident.severity > noted.severity || (has_grown && ago_ms >= GATHERS_MS) {
        return Some(Event::Worsened);
    }
    (!rests && (has_lapsed || ago_ms >= REMINDS_MS)).then_some(Event::StillOpen)
}
