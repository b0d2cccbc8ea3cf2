//! Reports to channels: when one is due, and its way through the outbox.
//!
//! A report that is due is made once, with what there is to say then, and waits in the outbox of its channel until it is taken
//! or given up, with the same id and the same words at each try, as a message of notices does. What was due while the server
//! was off is made once, for the newest period; one that comes while an older one waits takes its place. It gives way to what
//! there is to tell of incidents, for an hour at most.

use super::outbox::{self, rests_ms};
use super::{Message, OnItsWay, Sent, input, note, row};
use crate::change::Changed;
use crate::fleet::Fleet;
use crate::maintenance::calendar::Calendar;
use crate::maintenance::input::minute;
use crate::op::Op;
use crate::record::{
    AuditAction, ChannelId, ChannelRow, ChannelState, FleetDay, MessageId, Period, ReportEvery, ReportPlan,
    ReportRow, RouteState, Sending, WaitingReport,
};
use crate::refused::{Refused, StoreError};
use crate::report::day;
use crate::request::By;
use crate::store::{CHANNELS, REPORTS, Reads, WAITING_REPORTS};
use crate::units::{DAY_MS, MINUTE_MS};
use cron::Cron;
use schema::Timestamp;
use std::collections::BTreeMap;

/// A report gives way to notices for no longer.
const YIELDS_MS: u64 = 60 * MINUTE_MS;
/// No two due times lie further apart.
const LONGEST_MS: u64 = 32 * DAY_MS;
/// The days of a week, as people and the API write them.
pub const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// The latest day of a month on which there is a report: each month has it.
const LATEST_DAY: u8 = 28;
/// When the first channel is offered a report: Mondays at eight.
const FIRST: (ReportEvery, u16) = (ReportEvery::Weekly(0), 8 * 60);

/// When a channel is to be sent a report, as a person describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportInput {
    /// Whether it is sent at all.
    pub state: RouteState,
    /// `weekly` or `monthly`.
    pub every: String,
    /// A day of the week, or of the month from 1 to 28.
    pub day: String,
    /// A time of day, such as `08:00`.
    pub at: String,
    /// IANA name of the zone; empty = the server's own.
    pub timezone: String,
}

/// When a channel is sent a report, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportView {
    /// When.
    pub plan: ReportPlan,
    /// When the next one is due; `None` = none is sent.
    pub next_at: Option<Timestamp>,
    /// The one that waits, or is on its way.
    pub on_its_way: Option<OnItsWay>,
}

impl ReportPlan {
    /// `weekly` or `monthly`.
    #[must_use]
    pub const fn every_word(&self) -> &'static str {
        match self.every {
            ReportEvery::Weekly(_) => "weekly",
            ReportEvery::Monthly(_) => "monthly",
        }
    }

    /// The day, as people and the API write it.
    #[must_use]
    pub fn day_word(&self) -> String {
        match self.every {
            ReportEvery::Weekly(day) => WEEKDAYS[usize::from(day) % 7].to_owned(),
            ReportEvery::Monthly(day) => day.to_string(),
        }
    }

    /// The time of day, such as `08:00`.
    #[must_use]
    pub fn time_word(&self) -> String {
        format!("{:02}:{:02}", self.minute / 60, self.minute % 60)
    }

    fn cron(&self) -> Option<Cron> {
        let (minute, hour) = (self.minute % 60, self.minute / 60);
        let text = match self.every {
            // There 0 and 7 are Sunday.
            ReportEvery::Weekly(day) => format!("{minute} {hour} * * {}", (day % 7) + 1),
            ReportEvery::Monthly(day) => format!("{minute} {hour} {day} * *"),
        };
        Cron::parse(&text, &self.timezone).ok()
    }
}

/// When a report is due next; `None` = its plan names no time, for there is no such zone any more. Pure.
pub(super) fn next_due(plan: &ReportPlan, now: Timestamp) -> Option<Timestamp> {
    plan.cron()?.next_after(now)
}

/// The last due time before `until` or at it. Pure.
fn last_due(plan: &ReportPlan, until: Timestamp) -> Option<Timestamp> {
    let cron = plan.cron()?;
    let mut due = cron.next_after(Timestamp(until.0.saturating_sub(LONGEST_MS))).filter(|at| *at <= until)?;
    while let Some(next) = cron.next_after(due).filter(|next| *next <= until) {
        due = next;
    }
    Some(due)
}

/// The due time that nothing was made of yet: of several, the newest. Pure.
fn is_due(row: &ReportRow, now: Timestamp) -> Option<Timestamp> {
    last_due(&row.plan, now).filter(|due| *due > row.done_until)
}

/// Of which while a report that is due then tells: since the due time before it. Pure.
fn begin_of(plan: &ReportPlan, due: Timestamp) -> Timestamp {
    last_due(plan, Timestamp(due.0.saturating_sub(1))).unwrap_or(Timestamp(due.0.saturating_sub(7 * DAY_MS)))
}

/// How long until a report is to be tried, in milliseconds: 0 = now. Pure.
pub(super) fn due_in_ms(
    now: Timestamp,
    state: &ChannelState,
    waiting: &WaitingReport,
    has_notices: bool,
) -> u64 {
    let Sending { made_at, tried_at, wait_ms, .. } = waiting.sending;
    if let Some(tried_at) = tried_at {
        return wait_ms.saturating_sub(now.ms_since(tried_at));
    }
    let yields_ms = if has_notices { YIELDS_MS.saturating_sub(now.ms_since(made_at)) } else { 0 };
    yields_ms.max(rests_ms(now, state))
}

/// Counts a try of the report of a channel, if it is to be made now; the message.
pub(super) fn begin(
    op: &mut Op<'_, '_>,
    channel: ChannelId,
    has_notices: bool,
) -> Result<Option<Message>, StoreError> {
    let Some(mut waiting) = op.tx.get(&WAITING_REPORTS, &channel)? else { return Ok(None) };
    let state = row::state(op.tx, channel)?;
    if due_in_ms(op.now, &state, &waiting, has_notices) > 0 {
        return Ok(None);
    }
    outbox::count_try(op.now, &mut waiting.sending);
    op.tx.put(&WAITING_REPORTS, &channel, &waiting)?;
    let (id, made_at) = (waiting.sending.id, waiting.sending.made_at);
    Ok(Some(message(id, made_at, waiting.period)))
}

/// What has become of the report of a channel, if the message was that. `false` = it was another one.
pub(super) fn answered(
    op: &mut Op<'_, '_>,
    channel: ChannelId,
    id: MessageId,
    sent: Sent,
) -> Result<bool, StoreError> {
    let waiting = op.tx.get(&WAITING_REPORTS, &channel)?.filter(|waiting| waiting.sending.id == id);
    let Some(WaitingReport { sending, period }) = waiting else { return Ok(false) };
    let mut state = row::state(op.tx, channel)?;
    match settled(op.now, &mut state, sending, sent) {
        Some(sending) => op.tx.put(&WAITING_REPORTS, &channel, &WaitingReport { sending, period })?,
        None => {
            op.tx.remove(&WAITING_REPORTS, &channel)?;
        }
    }
    row::put_state(op.tx, channel, &state)?;
    Ok(true)
}

/// What becomes of a report by what a try has come to: as of a message of notices, which stays where it is meanwhile. `None` =
/// it is done with. Pure.
fn settled(now: Timestamp, state: &mut ChannelState, sending: Sending, sent: Sent) -> Option<Sending> {
    let (id, notices) = (sending.id, state.sending.replace(sending));
    let _none = outbox::answered(now, state, id, sent);
    std::mem::replace(&mut state.sending, notices)
}

fn message(id: MessageId, made_at: Timestamp, period: Period) -> Message {
    let report = Some(Box::new(period));
    Message { id, made_at, notices: Vec::new(), left_out: 0, ack_keys: BTreeMap::new(), report }
}

/// When a channel is sent a report; `None` = nobody has said.
pub(super) fn view(
    reads: &impl Reads,
    channel: ChannelId,
    is_on: bool,
    now: Timestamp,
) -> Result<Option<ReportView>, StoreError> {
    let Some(ReportRow { plan, .. }) = reads.get(&REPORTS, &channel)? else { return Ok(None) };
    let next_at = next_due(&plan, now).filter(|_| is_on && plan.state == RouteState::On);
    let waiting = reads.get(&WAITING_REPORTS, &channel)?;
    let on_its_way = waiting.map(|WaitingReport { sending, .. }| OnItsWay::of(now, &sending));
    Ok(Some(ReportView { plan, next_at, on_its_way }))
}

/// The first channel is offered one, which is on once the channel was tested well.
pub(super) fn offer(op: &mut Op<'_, '_>, channel: ChannelId) -> Result<(), StoreError> {
    let (every, minute) = FIRST;
    let own = op.facts.settings.timezone.as_str();
    let timezone = if Calendar::knows(own) { own } else { "UTC" }.to_owned();
    let plan = ReportPlan { state: RouteState::WhenTested, every, minute, timezone };
    op.tx.put(&REPORTS, &channel, &ReportRow { plan, done_until: op.now })
}

/// The channel was tested well: a report that waited for that is on. Whether it did.
pub(super) fn tested(op: &mut Op<'_, '_>, channel: ChannelId) -> Result<bool, StoreError> {
    let Some(mut row) = op.tx.get(&REPORTS, &channel)? else { return Ok(false) };
    if row.plan.state != RouteState::WhenTested {
        return Ok(false);
    }
    row.plan.state = RouteState::On;
    row.done_until = op.now;
    op.tx.put(&REPORTS, &channel, &row)?;
    Ok(true)
}

/// A channel that is another one now, or is tried again.
pub(super) fn channel_changed(
    op: &mut Op<'_, '_>,
    id: ChannelId,
    row: &ChannelRow,
) -> Result<(), StoreError> {
    if !row.channel.takes_reports() {
        op.tx.remove(&REPORTS, &id)?;
        op.tx.remove(&WAITING_REPORTS, &id)?;
    } else if let Some(mut waiting) = op.tx.get(&WAITING_REPORTS, &id)? {
        waiting.sending.wait_ms = 0;
        op.tx.put(&WAITING_REPORTS, &id, &waiting)?;
    }
    Ok(())
}

fn read(input: &ReportInput, own_zone: &str) -> Result<ReportPlan, Refused> {
    let day = input.day.trim().to_lowercase();
    let every = match input.every.as_str() {
        "weekly" => {
            let place = WEEKDAYS.iter().position(|known| *known == day);
            let place = place.and_then(|place| u8::try_from(place).ok());
            ReportEvery::Weekly(place.ok_or_else(|| Refused::invalid("day", "Give a day such as monday."))?)
        }
        "monthly" => {
            let day = day.parse::<u8>().ok().filter(|day| (1..=LATEST_DAY).contains(day));
            let why = format!("Give a day of the month from 1 to {LATEST_DAY}: each month has it.");
            ReportEvery::Monthly(day.ok_or_else(|| Refused::invalid("day", why))?)
        }
        _ => return Err(Refused::invalid("every", "A report is weekly or monthly.")),
    };
    let minute =
        minute(input.at.trim()).ok_or_else(|| Refused::invalid("at", "Give a time of day such as 08:00."))?;
    let timezone = match input.timezone.trim() {
        "" if Calendar::knows(own_zone) => own_zone,
        "" => "UTC",
        given => given,
    };
    input::check_zone(timezone)?;
    Ok(ReportPlan { state: input.state, every, minute, timezone: timezone.to_owned() })
}

impl Fleet {
    /// Says when a channel is sent a report. The next one is the first that is due from now on.
    pub async fn set_report(&self, name: String, input: ReportInput, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let (channel, row) = row::named(op.tx, &name)?.ok_or(Refused::ChannelNotFound)?;
            takes_reports(&row)?;
            let plan = read(&input, &op.facts.settings.timezone)?;
            let (every, day, at) = (plan.every_word(), plan.day_word(), plan.time_word());
            let detail =
                format!("{name}: {}, {every} on {day} at {at} ({})", plan.state.as_str(), plan.timezone);
            if plan.state != RouteState::On {
                op.tx.remove(&WAITING_REPORTS, &channel)?;
            }
            op.tx.put(&REPORTS, &channel, &ReportRow { plan, done_until: op.now })?;
            Ok(note(op, AuditAction::ReportChanged, detail)?)
        })
        .await
    }

    /// A report for whoever wants one now: of the last week, or of the last month where the channel is sent one monthly. It
    /// waits in no outbox, and the next one is sent all the same.
    pub fn report_message(&self, name: &str) -> Result<super::DueMessage, Refused> {
        let mut message = self.test_message(name)?;
        let view = self.view()?;
        let (channel, row) = row::named(&view, name)?.ok_or(Refused::ChannelNotFound)?;
        takes_reports(&row)?;
        let plan = view.get(&REPORTS, &channel)?.map(|row| row.plan);
        let is_monthly = plan.is_some_and(|plan| matches!(plan.every, ReportEvery::Monthly(_)));
        let (until, days) = (message.message.made_at, if is_monthly { 30 } else { 7 });
        let from = Timestamp(until.0.saturating_sub(days * DAY_MS));
        message.message.report = Some(Box::new(self.read()?.period(from, until)?));
        Ok(message)
    }

    /// Makes the reports that are due, and keeps how the fleet stands today.
    pub async fn plan_reports(&self) -> Result<(), Refused> {
        if self.only_reads() {
            return Ok(());
        }
        let view = self.view()?;
        let now = self.now();
        let (mut due, is_new_day) = (Vec::new(), day::is_due(day::last(&view)?, now));
        for (channel, row) in row::channels(&view)? {
            let Some(report) = view.get(&REPORTS, &channel)? else { continue };
            if let Some(at) = is_due(&report, now) {
                let is_sent = row.flags.is_on && report.plan.state == RouteState::On;
                due.push((channel, at, is_sent.then(|| begin_of(&report.plan, at))));
            }
        }
        if due.is_empty() && !is_new_day {
            return Ok(());
        }
        drop(view);
        let state = self.read()?;
        let today = state.figures()?;
        // Channels of one plan are told the same.
        let (mut made, mut periods) = (Vec::new(), BTreeMap::new());
        for (channel, at, from) in due {
            if let Some(from) = from
                && !periods.contains_key(&(from, at))
            {
                periods.insert((from, at), state.period(from, at)?);
            }
            let period = from.and_then(|from| periods.get(&(from, at)).cloned());
            made.push((channel, at, period));
        }
        drop(state);
        self.write(By::system(), move |op| Ok(put(op, &made, is_new_day.then_some(&today))?)).await
    }
}

/// Puts reports into the outboxes, unless what is due is another one by now.
fn put(
    op: &mut Op<'_, '_>,
    made: &[(ChannelId, Timestamp, Option<Period>)],
    today: Option<&FleetDay>,
) -> Result<(), StoreError> {
    let before = op.tx.writes();
    if let Some(today) = today {
        day::put(op.tx, today)?;
        // Nobody waits for an archive of that.
        op.tx.is_passing_since(before);
    }
    for (channel, at, period) in made {
        let Some(mut report) = op.tx.get(&REPORTS, channel)? else { continue };
        let is_on = op.tx.get(&CHANNELS, channel)?.is_some_and(|row| row.flags.is_on);
        if is_due(&report, op.now) != Some(*at) {
            continue;
        }
        report.done_until = *at;
        let is_sent = is_on && report.plan.state == RouteState::On;
        op.tx.put(&REPORTS, channel, &report)?;
        if let Some(period) = period.as_ref().filter(|_| is_sent) {
            let sending = Sending {
                id: MessageId(op.facts.random()),
                made_at: op.now,
                notices: Vec::new(),
                left_out: 0,
                tries: 0,
                tried_at: None,
                wait_ms: 0,
            };
            let waiting = WaitingReport { sending, period: period.clone() };
            op.tx.put(&WAITING_REPORTS, channel, &waiting)?;
            op.tx.effects.changed(Changed::Notices);
        }
    }
    Ok(())
}

fn takes_reports(row: &ChannelRow) -> Result<(), Refused> {
    if row.channel.takes_reports() {
        return Ok(());
    }
    let why = match row.channel.tells_incidents() {
        true => "This channel keeps alerts: a report would be one that nobody can close.",
        false => "This channel tells of no incident and is sent no report.",
    };
    Err(Refused::invalid("name", why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintenance::calendar::tests::at;
    use crate::notices::outbox::{GIVEN_UP_AFTER_MS, GIVEN_UP_TRIES};
    use crate::record::SendFault;
    use proptest::prelude::*;

    fn plan(every: ReportEvery, minute: u16, zone: &str) -> ReportPlan {
        ReportPlan { state: RouteState::On, every, minute, timezone: zone.to_owned() }
    }

    #[test]
    fn a_report_is_due_on_its_day_by_the_wall_clock_and_tells_of_the_while_since_the_one_before() {
        let mondays = plan(ReportEvery::Weekly(0), 8 * 60, "Europe/Berlin");
        let sundays = plan(ReportEvery::Weekly(6), 30, "UTC");
        let months = plan(ReportEvery::Monthly(1), 8 * 60, "UTC");
        for (plan, now, begin, last, next) in [
            // Summer time ended on Sun 25 Oct 2026.
            (
                &mondays,
                "2026-10-26T06:59:59Z",
                "2026-10-12T06:00:00Z",
                "2026-10-19T06:00:00Z",
                "2026-10-26T07:00:00Z",
            ),
            (
                &mondays,
                "2026-10-26T07:00:00Z",
                "2026-10-19T06:00:00Z",
                "2026-10-26T07:00:00Z",
                "2026-11-02T07:00:00Z",
            ),
            (
                &sundays,
                "2026-12-01T00:00:00Z",
                "2026-11-22T00:30:00Z",
                "2026-11-29T00:30:00Z",
                "2026-12-06T00:30:00Z",
            ),
            (
                &months,
                "2026-03-31T12:00:00Z",
                "2026-02-01T08:00:00Z",
                "2026-03-01T08:00:00Z",
                "2026-04-01T08:00:00Z",
            ),
        ] {
            let due = last_due(plan, at(now)).unwrap();
            assert_eq!((due, next_due(plan, at(now))), (at(last), Some(at(next))), "{now}");
            assert_eq!(begin_of(plan, due), at(begin), "{now}");
        }
        assert_eq!(
            last_due(&plan(ReportEvery::Weekly(0), 0, "Mars/Olympus"), at("2026-12-01T00:00:00Z")),
            None
        );
    }

    #[test]
    fn what_was_due_while_the_server_was_off_is_due_once_for_the_newest_period() {
        let mondays = plan(ReportEvery::Weekly(0), 8 * 60, "UTC");
        let mut row = ReportRow { plan: mondays, done_until: at("2026-11-02T08:00:00Z") };
        let now = at("2026-11-26T12:00:00Z");
        let due = is_due(&row, now).unwrap();
        assert_eq!(due, at("2026-11-23T08:00:00Z"));
        row.done_until = due;
        assert_eq!(is_due(&row, now), None);
        // What is set anew is not due for what was.
        row.done_until = now;
        assert_eq!(is_due(&row, at("2026-11-30T07:59:59Z")), None);
        assert_eq!(is_due(&row, at("2026-11-30T08:00:00Z")), Some(at("2026-11-30T08:00:00Z")));
    }

    #[test]
    fn what_is_no_plan_names_its_field() {
        let good = ReportInput {
            state: RouteState::On,
            every: "weekly".to_owned(),
            day: "Friday".to_owned(),
            at: "07:30".to_owned(),
            timezone: String::new(),
        };
        let known = read(&good, "Europe/Helsinki").unwrap();
        assert_eq!(known, ReportPlan { minute: 450, ..plan(ReportEvery::Weekly(4), 0, "Europe/Helsinki") });
        assert_eq!(
            (known.every_word(), &*known.day_word(), &*known.time_word()),
            ("weekly", "friday", "07:30")
        );
        assert_eq!(read(&good, "Mars/Olympus").unwrap().timezone, "UTC");
        let field = |change: fn(&mut ReportInput)| {
            let mut input = good.clone();
            change(&mut input);
            read(&input, "UTC").err().and_then(|refused| refused.field())
        };
        assert_eq!(field(|input| input.every = "daily".to_owned()), Some("every"));
        assert_eq!(field(|input| input.day = "31".to_owned()), Some("day"));
        for day in ["0", "29", "monday", ""] {
            let input = ReportInput { every: "monthly".to_owned(), day: day.to_owned(), ..good.clone() };
            assert_eq!(read(&input, "UTC").unwrap_err().field(), Some("day"), "{day}");
        }
        assert_eq!(field(|input| input.at = "25:00".to_owned()), Some("at"));
        assert_eq!(field(|input| input.timezone = "Mars/Olympus".to_owned()), Some("timezone"));
    }

    fn sending(made_at: Timestamp) -> Sending {
        let (id, notices) = (MessageId([7; 16]), Vec::new());
        Sending { id, made_at, notices, left_out: 0, tries: 0, tried_at: None, wait_ms: 0 }
    }

    #[test]
    fn a_report_is_tried_until_it_is_taken_or_given_up_and_leaves_the_notices_alone() {
        let begin = at("2026-11-30T08:00:00Z");
        let other = Sending { id: MessageId([1; 16]), notices: vec![4], ..sending(begin) };
        let mut state = ChannelState { sending: Some(other.clone()), ..ChannelState::default() };
        let refused =
            || Sent::Refused { fault: SendFault::TooSlow, said: String::new(), retry_after_ms: None };
        let (mut now, mut report) = (begin, sending(begin));
        for tried in 1.. {
            outbox::count_try(now, &mut report);
            let Some(kept) = settled(now, &mut state, report, refused()) else {
                assert!(tried >= GIVEN_UP_TRIES && now.ms_since(begin) >= GIVEN_UP_AFTER_MS, "{tried}");
                break;
            };
            assert!(state.failing.is_some() && state.sending.as_ref() == Some(&other));
            now = now.plus_ms(kept.wait_ms);
            report = kept;
        }
        assert_eq!((state.lost.len(), state.lost[0].notices), (1, 0));
        assert_eq!(state.sending, Some(other));
        assert!(settled(now, &mut state, sending(now), Sent::Taken).is_none());
        assert!(state.failing.is_none() && state.done_at == Some(now));
    }

    proptest! {
        /// Whatever the plan and however the ticks fall: each due time is made once, in order, none before it is due, and
        /// after an outage one. Nothing else than the row outlives a tick.
        #[test]
        fn each_due_time_is_made_once_and_after_an_outage_one(
            every in prop_oneof![(0..7_u8).prop_map(ReportEvery::Weekly), (1..=28_u8).prop_map(ReportEvery::Monthly)],
            minute in 0..1_440_u16,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
            steps in prop::collection::vec(prop_oneof![6 => 0..3 * DAY_MS, 1 => 0..90 * DAY_MS], 1..60),
        ) {
            let begin = at("2026-01-15T12:00:00Z");
            let mut row = ReportRow { plan: plan(every, minute, zone), done_until: begin };
            let (mut now, mut before) = (begin, begin);
            for step in steps {
                now = now.plus_ms(step);
                let first = next_due(&row.plan, before).unwrap();
                match is_due(&row, now) {
                    Some(due) => {
                        prop_assert!(row.done_until < due && due <= now && first <= due);
                        prop_assert!(next_due(&row.plan, due).unwrap() > now, "it is the newest");
                        prop_assert!(begin_of(&row.plan, due) < due && due.ms_since(begin_of(&row.plan, due)) <= LONGEST_MS);
                        row.done_until = due;
                        prop_assert_eq!(is_due(&row, now), None);
                    }
                    None => prop_assert!(first > now, "nothing is left out"),
                }
                before = now;
            }
        }
    }
}
