use super::outbox::{
    FIRST_WAIT_MS, GIVEN_UP_AFTER_MS, GIVEN_UP_TRIES, LONGEST_WAIT_MS, MOST_WAITING, RESTS_MS, Sent,
    answered, begin, due_in_ms, too_many, try_again,
};
use crate::record::{Cause, ChannelState, Event, MessageId, Notice, SendFault, Severity, WaitingNotice};
use crate::units::{DAY_MS, MINUTE_MS};
use proptest::prelude::*;
use schema::{IncidentId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

const BEGIN: Timestamp = Timestamp(1_000 * DAY_MS);

/// A channel and its outbox, as they are stored; nothing else outlives a step, as when the server starts again before each.
#[derive(Clone)]
struct World {
    now: Timestamp,
    state: ChannelState,
    waiting: BTreeMap<u64, WaitingNotice>,
    /// What the other side has got, by the id by which it drops what comes twice.
    got: BTreeMap<MessageId, Vec<u64>>,
    /// All messages that were ever tried.
    tried: BTreeMap<MessageId, Vec<u64>>,
    /// When each began to be tried, while the clock went on.
    begun: Vec<Timestamp>,
    left_out: u64,
    made: u8,
    /// The most notices of a message.
    most: usize,
}

fn notice(at: Timestamp) -> Notice {
    Notice {
        at,
        event: Event::Opened,
        incident: IncidentId([1; 16]),
        cause: Cause::Offline,
        storage: None,
        severity: Severity::Critical,
        since: at,
        count: 1,
        hosts: Vec::new(),
        channels: Vec::new(),
    }
}

/// What the other side makes of a try.
#[derive(Clone, Copy, Debug)]
enum Other {
    Takes,
    /// It takes it, and the server dies before it hears that.
    TakesUnheard,
    /// The server dies before anything is sent.
    NeverAsked,
    Refuses(Option<u64>),
}

impl World {
    fn new() -> Self {
        Self {
            now: BEGIN,
            state: ChannelState::default(),
            waiting: BTreeMap::new(),
            got: BTreeMap::new(),
            tried: BTreeMap::new(),
            begun: Vec::new(),
            left_out: 0,
            made: 0,
            most: usize::MAX,
        }
    }

    fn comes(&mut self, quiet_ms: Option<u64>) {
        let quiet_until = quiet_ms.map(|ms| self.now.plus_ms(ms));
        self.waiting.insert(self.state.next, WaitingNotice { notice: notice(self.now), quiet_until });
        self.state.next += 1;
        let numbers: Vec<u64> = self.waiting.keys().copied().collect();
        let beyond = too_many(&self.state, &numbers);
        self.left_out += beyond.len() as u64;
        self.state.left_out += beyond.len() as u32;
        self.waiting.retain(|number, _| !beyond.contains(number));
    }

    fn due_in_ms(&self) -> Option<u64> {
        due_in_ms(self.now, &self.state, self.waiting.values())
    }

    /// Looks whether something is due, and tries it; returns whether it was.
    fn look(&mut self, other: Other) -> bool {
        let waiting: Vec<_> = self.waiting.iter().map(|(number, one)| (*number, one.clone())).collect();
        let (is_due, made) = (self.due_in_ms() == Some(0), self.made);
        let is_new = self.state.sending.is_none();
        let most = self.most;
        let began = begin(self.now, &mut self.state, &waiting, most, || MessageId([made; 16]));
        assert_eq!(began, is_due);
        if !began {
            return false;
        }
        let before = self.state.clone();
        let again = begin(self.now, &mut self.state, &waiting, most, || unreachable!());
        assert!(!again, "what is begun is not due");
        assert_eq!(self.state, before);
        let sending = self.state.sending.clone().unwrap();
        if is_new {
            self.made += 1;
            self.begun.push(self.now);
        }
        let told = self.tried.entry(sending.id).or_insert_with(|| sending.notices.clone());
        assert_eq!(*told, sending.notices, "one id, one message");
        assert!(
            !sending.notices.is_empty() && sending.notices.iter().all(|one| self.waiting.contains_key(one))
        );
        assert!(!is_new || sending.notices.len() <= most);
        let sent = match other {
            Other::NeverAsked => return true,
            Other::Takes | Other::TakesUnheard => {
                self.got.insert(sending.id, sending.notices.clone());
                if matches!(other, Other::TakesUnheard) {
                    return true;
                }
                Sent::Taken
            }
            Other::Refuses(retry_after_ms) => {
                Sent::Refused { fault: SendFault::Status(500), said: String::new(), retry_after_ms }
            }
        };
        // An answer to another message changes nothing.
        let strange = answered(self.now, &mut self.state, MessageId([255; 16]), sent.clone());
        assert!(strange.is_empty());
        for number in answered(self.now, &mut self.state, sending.id, sent) {
            self.waiting.remove(&number);
        }
        true
    }
}

#[test]
fn what_comes_while_a_channel_rests_is_one_message() {
    let mut world = World::new();
    world.comes(None);
    assert!(world.look(Other::Takes));
    for _ in 0..300 {
        world.comes(None);
        world.now = world.now.plus_ms(300);
        assert!(!world.look(Other::Takes));
    }
    let rest = world.due_in_ms().unwrap();
    assert_eq!(rest, RESTS_MS - 90_000);
    world.now = world.now.plus_ms(rest);
    assert!(world.look(Other::Takes));
    assert_eq!(world.got.len(), 2);
    assert_eq!(world.got.values().map(Vec::len).sum::<usize>(), 301);
    assert!(world.waiting.is_empty() && world.due_in_ms().is_none());
}

#[test]
fn three_hundred_notices_of_an_hour_are_thirty_messages_and_none_is_left_out() {
    let mut world = World::new();
    for second in 0..3_600_u64 {
        world.now = BEGIN.plus_ms(second * 1_000);
        if second % 12 == 0 {
            world.comes(None);
        }
        world.look(Other::Takes);
    }
    world.now = world.now.plus_ms(RESTS_MS);
    world.look(Other::Takes);
    assert!(world.got.len() <= 31, "{}", world.got.len());
    assert_eq!(world.got.values().map(Vec::len).sum::<usize>(), 300);
    assert!(world.begun.windows(2).all(|two| two[1].ms_since(two[0]) >= RESTS_MS));
}

#[test]
fn it_waits_longer_each_time_at_most_an_hour_and_gives_up_after_two_days() {
    let mut world = World::new();
    world.comes(None);
    let (mut waits, mut tries) = (Vec::new(), 0);
    while world.state.lost.is_empty() {
        assert!(world.look(Other::Refuses(None)));
        tries += 1;
        if let Some(wait) = world.due_in_ms() {
            waits.push(wait);
            world.now = world.now.plus_ms(wait);
        }
    }
    assert_eq!(waits[..3], [FIRST_WAIT_MS, 2 * FIRST_WAIT_MS, 4 * FIRST_WAIT_MS]);
    assert!(waits.is_sorted() && waits.last() == Some(&LONGEST_WAIT_MS));
    let lost = &world.state.lost[0];
    assert_eq!((lost.notices, lost.tries), (1, tries));
    let lasted = world.now.ms_since(lost.made_at);
    assert!((GIVEN_UP_AFTER_MS..GIVEN_UP_AFTER_MS + LONGEST_WAIT_MS).contains(&lasted), "{lasted}");
    // It is told still that nothing gets through, until something does.
    assert!(world.state.failing.is_some() && world.waiting.is_empty());
    world.comes(None);
    world.now = world.now.plus_ms(RESTS_MS);
    assert!(world.look(Other::Takes) && world.state.failing.is_none());
}

#[test]
fn what_a_server_that_was_off_for_days_could_not_send_is_not_given_up_at_the_first_try() {
    let mut world = World::new();
    world.comes(None);
    assert!(world.look(Other::NeverAsked));
    world.now = world.now.plus_ms(2 * GIVEN_UP_AFTER_MS);
    for tries in 2..GIVEN_UP_TRIES {
        assert!(world.look(Other::Refuses(None)) && world.state.lost.is_empty(), "{tries}");
        world.now = world.now.plus_ms(world.due_in_ms().unwrap());
    }
    world.look(Other::Refuses(None));
    assert_eq!((world.state.lost.len(), world.state.lost[0].tries), (1, GIVEN_UP_TRIES));
}

#[test]
fn the_other_sides_word_is_heard_within_an_hour() {
    for (asked, waits) in [(None, FIRST_WAIT_MS), (Some(1), FIRST_WAIT_MS), (Some(90_000), 90_000)] {
        let mut world = World::new();
        world.comes(None);
        world.look(Other::Refuses(asked));
        assert_eq!(world.due_in_ms(), Some(waits));
    }
    let mut world = World::new();
    world.comes(None);
    world.look(Other::Refuses(Some(u64::MAX)));
    assert_eq!(world.due_in_ms(), Some(LONGEST_WAIT_MS));
    try_again(&mut world.state);
    assert_eq!(world.due_in_ms(), Some(0));
}

#[test]
fn too_many_leave_out_the_oldest_but_none_of_the_message_on_its_way_and_it_is_counted() {
    let mut world = World::new();
    world.comes(None);
    world.look(Other::Refuses(None));
    for _ in 0..MOST_WAITING + 5 {
        world.comes(None);
    }
    assert_eq!((world.waiting.len(), world.state.left_out), (MOST_WAITING, 6));
    assert!(world.waiting.contains_key(&0) && !world.waiting.contains_key(&6));
    world.now = world.now.plus_ms(DAY_MS);
    assert!(world.look(Other::Takes));
    world.now = world.now.plus_ms(DAY_MS);
    assert!(world.look(Other::Refuses(None)));
    let sending = world.state.sending.as_ref().unwrap();
    assert_eq!((sending.notices.len(), sending.left_out), (MOST_WAITING - 1, 6));
}

#[test]
fn quiet_hours_hold_a_notice_and_not_those_of_other_routes() {
    let mut world = World::new();
    world.comes(Some(8 * 60 * MINUTE_MS));
    assert_eq!(world.due_in_ms(), Some(8 * 60 * MINUTE_MS));
    world.comes(None);
    assert!(world.look(Other::Takes));
    assert_eq!(world.got.values().collect::<Vec<_>>(), [&vec![1]]);
    // A clock that was set back by years does not make it quiet for years.
    world.now = Timestamp(BEGIN.0 - 900 * DAY_MS);
    world.state.done_at = None;
    assert!(world.look(Other::Takes));
    assert!(world.waiting.is_empty());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Comes(Option<u64>),
    Pass(u64),
    SetBack(u64),
    Ahead(u64),
    Look(Other),
    TryAgain,
    Mend,
}

fn step() -> impl Strategy<Value = Step> {
    let other = prop_oneof![
        3 => Just(Other::Takes),
        2 => Just(Other::TakesUnheard),
        2 => Just(Other::NeverAsked),
        4 => prop::option::of(0..3 * DAY_MS).prop_map(Other::Refuses),
    ];
    prop_oneof![
        6 => prop::option::weighted(0.2, 0..DAY_MS).prop_map(Step::Comes),
        5 => (0..5 * MINUTE_MS).prop_map(Step::Pass),
        2 => (0..2 * DAY_MS).prop_map(Step::Pass),
        1 => (0..900 * DAY_MS).prop_map(Step::SetBack),
        1 => (0..900 * DAY_MS).prop_map(Step::Ahead),
        9 => other.prop_map(Step::Look),
        1 => Just(Step::TryAgain),
        1 => Just(Step::Mend),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever happens, and with whatever clock: each notice is got in one message, or is among those that are counted as
    /// left out or given up; what is sent again has the id and the words of before.
    #[test]
    fn each_notice_is_told_once_or_counted(
        steps in prop::collection::vec(step(), 1..80),
        most in prop_oneof![Just(usize::MAX), 1..9_usize],
    ) {
        let mut world = World { most, ..World::new() };
        let mut is_steady = true;
        for step in steps {
            match step {
                Step::Comes(quiet) => world.comes(quiet),
                Step::Pass(ms) => world.now = world.now.plus_ms(ms),
                Step::Ahead(ms) => world.now = world.now.plus_ms(ms),
                Step::SetBack(ms) => {
                    is_steady = false;
                    world.now = Timestamp(world.now.0.saturating_sub(ms));
                }
                Step::Look(other) => {
                    world.look(other);
                }
                Step::TryAgain => try_again(&mut world.state),
                Step::Mend => {
                    use crate::clock::{Clock, PastInstants as _};
                    world.state.cap(Clock { now: world.now, since: world.now });
                }
            }
            prop_assert!(world.waiting.len() <= MOST_WAITING);
        }
        if is_steady {
            prop_assert!(world.begun.windows(2).all(|two| two[1].ms_since(two[0]) >= RESTS_MS));
        }
        // In the end the clock is right, and the other side takes all.
        use crate::clock::{Clock, PastInstants as _};
        world.state.cap(Clock { now: world.now, since: world.now });
        world.comes(None);
        for _ in 0..4 + world.waiting.len() {
            world.now = world.now.plus_ms(3 * DAY_MS);
            world.look(Other::Takes);
        }
        prop_assert!(world.waiting.is_empty() && world.state.sending.is_none());
        prop_assert!(world.state.failing.is_none());
        let in_messages: Vec<u64> = world.tried.values().flatten().copied().collect();
        let once: BTreeSet<u64> = in_messages.iter().copied().collect();
        prop_assert_eq!(once.len(), in_messages.len(), "no notice is in two messages");
        prop_assert_eq!(once.len() as u64 + world.left_out, world.state.next);
        let lost: BTreeSet<MessageId> = world.state.lost.iter().map(|lost| lost.id).collect();
        for id in world.tried.keys() {
            prop_assert!(world.got.contains_key(id) || lost.contains(id));
        }
    }
}
