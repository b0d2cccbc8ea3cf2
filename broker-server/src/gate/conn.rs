//! What the rest of the server holds of a connection: a mailbox, and marks of life.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Waker},
};

/// Messages outside the outbox that wait for one host, at most.
const MAX_SENDS: usize = 64;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said goodbye.
    Disconnected,
    /// The network did.
    Lost,
    /// It sent what is not MQTT.
    Malformed(&'static str),
    /// Nothing was heard for one and a half keep-alives.
    KeepAlive,
    /// A packet took too long to arrive, or nothing was read of what is sent.
    Stalled,
    /// The same client connected again.
    TakenOver,
    /// The server wanted it, for this reason.
    Kicked(&'static str),
    /// The server wanted it: there is no such host any more.
    Deleted,
    /// A viewer reads so slowly that it can't be told any more what has gone meanwhile.
    Behind,
    /// A viewer can't be shown what changes.
    NoLink,
    /// A message could not be made safe.
    NotTaken,
    /// The server stops.
    Shutdown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "the client disconnected",
            Self::Lost => "the network connection was lost",
            Self::Malformed(what) => return write!(f, "the client sent no proper MQTT: {what}"),
            Self::KeepAlive => "nothing was heard from the client for one and a half keep-alive times",
            Self::Stalled => "the client was too slow to send a packet or to read",
            Self::TakenOver => "the same client connected again",
            Self::Kicked(why) => return write!(f, "the server ended it: {why}"),
            Self::Deleted => "it was deleted",
            Self::Behind => "the client read too slowly to be told any more what has gone meanwhile",
            Self::NoLink => "the way to viewers does not stand",
            Self::NotTaken => "a message could not be stored; the client will send it again",
            Self::Shutdown => "the server stops",
        })
    }
}

/// One admitted connection. Everybody but its own task only drops something here and wakes the task.
pub(super) struct Conn {
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    /// Silence that is accepted, in milliseconds.
    pub(super) silence_ms: u64,
    /// When it was admitted.
    pub(super) since_ms: u64,
    /// When the last whole packet came.
    heard_ms: AtomicU64,
    /// Since when a packet is arriving; 0 when none is.
    partial_ms: AtomicU64,
    /// Since when nothing more could be written; 0 when nothing waits.
    unread_ms: AtomicU64,
    /// A viewer that was refused what Home Assistant finds devices by.
    waits_for_discovery: AtomicBool,
    mail: Mutex<Mail>,
}

/// What waits for the task of a connection.
#[derive(Default)]
pub(super) struct Mail {
    waker: Option<Waker>,
    /// Set when the connection must end, with the reason.
    pub(super) end: Option<CloseReason>,
    /// There may be new commands in the outbox.
    pub(super) outbox: bool,
    /// The plan has changed.
    pub(super) plan: bool,
    /// Tickets of messages that are safe.
    pub(super) done: Vec<u32>,
    /// Messages of QoS 0 for a host; answers for an enrolment.
    pub(super) sends: VecDeque<Bytes>,
    /// Changes of the view tree; `None` for all but viewers.
    pub(super) view: Option<Box<ViewMail>>,
}

/// What waits for a viewer.
#[derive(Default)]
pub(super) struct ViewMail {
    /// Something was missed, or may have been: what has changed must be read from the retained set.
    pub(super) missed: bool,
    pub(super) changes: VecDeque<TopicChange>,
    pub(super) bytes: usize,
}

/// A topic has a new payload, or is gone when that is empty.
#[derive(Clone, Debug)]
pub(super) struct TopicChange {
    /// Of the retained set.
    pub(super) version: u64,
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
}

impl Mail {
    fn is_empty(&self) -> bool {
        let view = self.view.as_ref().is_none_or(|view| !view.missed && view.changes.is_empty());
        view && self.end.is_none()
            && !self.outbox
            && !self.plan
            && self.done.is_empty()
            && self.sends.is_empty()
    }
}

impl Conn {
    pub(super) fn wait_for_discovery(&self) {
        self.waits_for_discovery.store(true, Ordering::SeqCst);
    }

    pub(super) fn waits_for_discovery(&self) -> bool {
        self.waits_for_discovery.load(Ordering::SeqCst)
    }

    pub(super) fn new(id: u64, peer: SocketAddr, silence_ms: u64, now_ms: u64) -> Self {
        Self {
            id,
            peer,
            silence_ms,
            since_ms: now_ms,
            heard_ms: AtomicU64::new(now_ms),
            partial_ms: AtomicU64::new(0),
            unread_ms: AtomicU64::new(0),
            waits_for_discovery: AtomicBool::new(false),
            mail: Mutex::new(Mail::default()),
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, put: impl FnOnce(&mut Mail)) {
        let waker = {
            let mut mail = self.mail();
            put(&mut mail);
            mail.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends it, for the first reason that is given.
    pub(super) fn end(&self, reason: CloseReason) {
        self.post(|mail| mail.end = mail.end.or(Some(reason)));
    }

    pub(super) fn wake_outbox(&self) {
        self.post(|mail| mail.outbox = true);
    }

    pub(super) fn wake_plan(&self) {
        self.post(|mail| mail.plan = true);
    }

    pub(super) fn done(&self, ticket: u32) {
        self.post(|mail| mail.done.push(ticket));
    }

    /// Queues a message of QoS 0; the oldest gives way when there are too many.
    pub(super) fn send(&self, payload: Bytes) {
        self.post(|mail| {
            if mail.sends.len() >= MAX_SENDS {
                mail.sends.pop_front();
            }
            mail.sends.push_back(payload);
        });
    }

    pub(super) fn answer(&self, ticket: u32, payload: Bytes) {
        self.post(|mail| {
            mail.sends.push_back(payload);
            mail.done.push(ticket);
        });
    }

    /// Something has or may have been lost on the way to this viewer.
    pub(super) fn missed(&self) {
        self.post(|mail| mail.view.get_or_insert_default().missed = true);
    }

    /// Queues a change for a viewer; when it has too many already, they are all dropped, and it reads from the retained
    /// set what they were.
    pub(super) fn change(&self, change: TopicChange, max_bytes: usize) {
        self.post(|mail| {
            let view = mail.view.get_or_insert_default();
            if view.missed {
                return;
            }
            view.bytes += change.topic.len() + change.payload.len();
            if view.bytes > max_bytes {
                view.changes = VecDeque::new();
                view.bytes = 0;
                view.missed = true;
            } else {
                view.changes.push_back(change);
            }
        });
    }

    /// Takes what waits, and has the task woken when more comes. `take_changes` leaves a viewer's changes where they
    /// are when it has no room for them.
    pub(super) fn collect(&self, cx: &Context<'_>, take_changes: bool) -> Option<Mail> {
        let mut mail = self.mail();
        if mail.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            mail.waker = Some(cx.waker().clone());
        }
        if mail.is_empty() {
            return None;
        }
        let waker = mail.waker.take();
        let view = if take_changes { mail.view.take() } else { None };
        let mut taken = std::mem::take(&mut *mail);
        mail.view = taken.view.take();
        mail.waker = waker;
        // An end stays known: nothing may be begun after it.
        mail.end = taken.end;
        taken.view = view;
        Some(taken)
    }

    pub(super) fn heard(&self, now_ms: u64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// A packet is arriving, or not.
    pub(super) fn partial(&self, is: bool, now_ms: u64) {
        mark(&self.partial_ms, is, now_ms);
    }

    /// Nothing can be written though something waits, or not.
    pub(super) fn unread(&self, is: bool, now_ms: u64) {
        mark(&self.unread_ms, is, now_ms);
    }

    /// Whether it must end now, or when to look again.
    pub(super) fn verdict(&self, now_ms: u64, stall_ms: u64) -> Result<u64, CloseReason> {
        let silent_at = self.heard_ms.load(Ordering::Relaxed) + self.silence_ms;
        if silent_at <= now_ms {
            return Err(CloseReason::KeepAlive);
        }
        let stalled = [&self.partial_ms, &self.unread_ms].into_iter().any(|mark| {
            let since = mark.load(Ordering::Relaxed);
            since != 0 && since + stall_ms <= now_ms
        });
        if stalled { Err(CloseReason::Stalled) } else { Ok(silent_at.min(now_ms + stall_ms)) }
    }
}

fn mark(since: &AtomicU64, is: bool, now_ms: u64) {
    if !is {
        since.store(0, Ordering::Relaxed);
    } else if since.load(Ordering::Relaxed) == 0 {
        since.store(now_ms.max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn() -> Conn {
        Conn::new(1, SocketAddr::from(([127, 0, 0, 1], 1)), 1500, 1000)
    }

    fn collect(conn: &Conn) -> Option<Mail> {
        conn.collect(&Context::from_waker(Waker::noop()), true)
    }

    #[test]
    fn the_first_reason_to_end_stays() {
        let conn = conn();
        conn.end(CloseReason::TakenOver);
        conn.end(CloseReason::Shutdown);
        assert_eq!(collect(&conn).and_then(|mail| mail.end), Some(CloseReason::TakenOver));
        assert_eq!(collect(&conn).and_then(|mail| mail.end), Some(CloseReason::TakenOver));
    }

    #[test]
    fn silence_and_stalls_are_seen_and_life_is_too() {
        let conn = conn();
        assert_eq!(conn.verdict(2499, 60_000), Ok(2500));
        assert_eq!(conn.verdict(2500, 60_000), Err(CloseReason::KeepAlive));
        conn.heard(2400);
        assert_eq!(conn.verdict(2500, 60_000), Ok(3900));
        conn.partial(true, 2450);
        conn.partial(true, 2499);
        assert_eq!(conn.verdict(2549, 100), Ok(2649));
        assert_eq!(conn.verdict(2550, 100), Err(CloseReason::Stalled));
        conn.partial(false, 2550);
        conn.unread(true, 2550);
        assert_eq!(conn.verdict(2650, 100), Err(CloseReason::Stalled));
        conn.unread(false, 2650);
        assert!(conn.verdict(2650, 100).is_ok());
    }

    #[test]
    fn a_viewer_that_falls_behind_misses_changes_but_is_told() {
        let conn = conn();
        let change = TopicChange {
            version: 1,
            topic: Bytes::from_static(b"t"),
            payload: Bytes::from_static(b"123456789"),
        };
        for _ in 0..10 {
            conn.change(change.clone(), 100);
        }
        assert_eq!(collect(&conn).and_then(|mail| mail.view).map(|view| view.changes.len()), Some(10));
        for _ in 0..1000 {
            conn.change(change.clone(), 100);
        }
        let view = collect(&conn).and_then(|mail| mail.view);
        assert!(view.is_some_and(|view| view.missed && view.changes.is_empty()));
        assert!(collect(&conn).is_none());
    }

    #[test]
    fn messages_outside_the_outbox_are_bounded_and_the_newest_stay() {
        let conn = conn();
        for i in 0..100_u8 {
            conn.send(Bytes::copy_from_slice(&[i]));
        }
        let sends = collect(&conn).map(|mail| mail.sends).unwrap_or_default();
        assert_eq!(sends.len(), MAX_SENDS);
        assert_eq!(sends.back().map(|last| last[0]), Some(99));
    }
}
