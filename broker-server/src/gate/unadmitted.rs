//! Connections between accepted and admitted: who has a place, whose turn it is, who gives way. No clock.
//!
//! Whoever connects gets a place at once, and costs a socket. A peer that has said something is in line for a *turn*:
//! only that many peers shake hands and send their CONNECT at a time. Turns go round by origin, and no origin has all
//! of them, so that what comes from one place holds up nobody elsewhere. A turn that takes longer than its grace ends
//! when somebody is in line for it.
//!
//! When there is no place left, one that has said nothing gives way, at once: the oldest of the origin that has the
//! most of these. When all have said something, the newest of the largest origin does, or the newcomer is not taken if
//! that is where it comes from: its client tries again, and those in line before it are served.

use super::throttle::PeerOrigin;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

pub(super) struct Unadmitted {
    table: Mutex<PeerTable>,
    max: usize,
    max_turns: usize,
    /// Turns of one origin.
    max_of_origin: usize,
    grace_ms: u64,
}

#[derive(Default)]
struct PeerTable {
    /// By the time of their coming.
    peers: BTreeMap<u64, Peer>,
    origins: HashMap<PeerOrigin, OfOrigin>,
    /// Origins that have somebody in line, in the order in which they are asked.
    round: VecDeque<PeerOrigin>,
    turns: usize,
}

struct Peer {
    origin: PeerOrigin,
    stage: Stage,
    _give_way: oneshot::Sender<()>,
}

enum Stage {
    /// It has not sent a byte yet.
    Silent,
    /// It has sent something, and waits for its turn.
    InLine(oneshot::Sender<()>),
    /// It has its turn since this instant, in milliseconds of the gate's clock.
    Turn(u64),
    /// Its CONNECT is complete: it needs no turn any more.
    Through,
}

#[derive(Default)]
struct OfOrigin {
    all: usize,
    silent: usize,
    turns: usize,
    line: VecDeque<u64>,
}

/// A place among the pending.
#[derive(Debug)]
pub(super) struct Entered {
    /// Resolves when somebody else needs the place.
    pub(super) gave_way: oneshot::Receiver<()>,
    /// Somebody else had to give way for it.
    pub(super) made_room: bool,
}

impl PeerTable {
    fn of(&mut self, origin: PeerOrigin) -> &mut OfOrigin {
        self.origins.entry(origin).or_default()
    }

    fn remove(&mut self, id: u64) -> bool {
        let Some(peer) = self.peers.remove(&id) else { return false };
        let of = self.of(peer.origin);
        of.all -= 1;
        match peer.stage {
            Stage::Silent => of.silent -= 1,
            Stage::InLine(_) => of.line.retain(|other| *other != id),
            Stage::Turn(_) => {
                of.turns -= 1;
                self.turns -= 1;
            }
            Stage::Through => {}
        }
        if self.of(peer.origin).all == 0 {
            self.origins.remove(&peer.origin);
        }
        true
    }

    /// The oldest silent one of the origin that has the most of them.
    fn silent(&self) -> Option<u64> {
        let (origin, of) = self.origins.iter().max_by_key(|(_, of)| of.silent)?;
        if of.silent == 0 {
            return None;
        }
        let is = |peer: &Peer| peer.origin == *origin && matches!(peer.stage, Stage::Silent);
        self.peers.iter().find(|(_, peer)| is(peer)).map(|(id, _)| *id)
    }

    /// The newest one of the largest origin, if that is larger than this one.
    fn newest_of_larger(&self, than: PeerOrigin) -> Option<u64> {
        let own = self.origins.get(&than).map_or(0, |of| of.all);
        let (origin, of) = self.origins.iter().max_by_key(|(_, of)| of.all)?;
        if of.all <= own + 1 {
            return None;
        }
        self.peers.iter().rev().find(|(_, peer)| peer.origin == *origin).map(|(id, _)| *id)
    }

    /// Gives turns to those in line, as far as there are any.
    fn give_turns(&mut self, max: usize, max_of_origin: usize, now_ms: u64) {
        let mut passed_over = 0;
        while self.turns < max
            && passed_over < self.round.len()
            && let Some(origin) = self.round.pop_front()
        {
            let Some(of) = self.origins.get_mut(&origin) else { continue };
            if of.turns >= max_of_origin {
                self.round.push_back(origin);
                passed_over += 1;
                continue;
            }
            let Some(id) = of.line.pop_front() else { continue };
            if !of.line.is_empty() {
                self.round.push_back(origin);
            }
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let Stage::InLine(tell) = std::mem::replace(&mut peer.stage, Stage::Turn(now_ms)) else {
                continue;
            };
            of.turns += 1;
            self.turns += 1;
            passed_over = 0;
            // Whoever is gone gives its place back, and the turn with it.
            let _ = tell.send(());
        }
    }
}

impl Unadmitted {
    pub(super) fn new(max: usize, max_turns: usize, grace_ms: u64) -> Self {
        let max_turns = max_turns.max(1);
        let max_of_origin = max_turns - max_turns / 4;
        Self { table: Mutex::default(), max: max.max(1), max_turns, max_of_origin, grace_ms }
    }

    fn table(&self) -> MutexGuard<'_, PeerTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.table().peers.len()
    }

    /// Takes a place, at once; `None` when there is none for this origin. Ids grow.
    pub(super) fn enter(&self, id: u64, origin: PeerOrigin) -> Option<Entered> {
        let mut table = self.table();
        let mut made_room = false;
        if table.peers.len() >= self.max {
            let gives_way = table.silent().or_else(|| table.newest_of_larger(origin))?;
            made_room = table.remove(gives_way);
        }
        let (give_way, gave_way) = oneshot::channel();
        table.peers.insert(id, Peer { origin, stage: Stage::Silent, _give_way: give_way });
        let of = table.of(origin);
        of.all += 1;
        of.silent += 1;
        Some(Entered { gave_way, made_room })
    }

    /// Makes one that has said nothing give way; `false` when there is none.
    pub(super) fn drop_silent(&self) -> bool {
        let mut table = self.table();
        table.silent().is_some_and(|id| table.remove(id))
    }

    /// This peer has said something; resolves when it is its turn.
    pub(super) fn line_up(&self, id: u64, now_ms: u64) -> oneshot::Receiver<()> {
        let (tell, turn) = oneshot::channel();
        let mut table = self.table();
        if let Some(peer) = table.peers.get_mut(&id)
            && matches!(peer.stage, Stage::Silent)
        {
            peer.stage = Stage::InLine(tell);
            let origin = peer.origin;
            let of = table.of(origin);
            of.silent -= 1;
            of.line.push_back(id);
            if of.line.len() == 1 && !table.round.contains(&origin) {
                table.round.push_back(origin);
            }
            table.give_turns(self.max_turns, self.max_of_origin, now_ms);
        }
        turn
    }

    /// This peer's turn is over, and it keeps its place.
    pub(super) fn through(&self, id: u64, now_ms: u64) {
        let mut table = self.table();
        if let Some(peer) = table.peers.get_mut(&id)
            && matches!(peer.stage, Stage::Turn(_))
        {
            peer.stage = Stage::Through;
            let origin = peer.origin;
            table.of(origin).turns -= 1;
            table.turns -= 1;
            table.give_turns(self.max_turns, self.max_of_origin, now_ms);
        }
    }

    /// Gives the place back.
    pub(super) fn leave(&self, id: u64, now_ms: u64) {
        let mut table = self.table();
        table.remove(id);
        table.give_turns(self.max_turns, self.max_of_origin, now_ms);
    }

    /// Ends turns that take too long, as many as are waited for; how many.
    pub(super) fn sweep(&self, now_ms: u64) -> usize {
        let mut table = self.table();
        let in_line = table.origins.values().map(|of| of.line.len()).sum();
        let is_over = |peer: &Peer| matches!(peer.stage, Stage::Turn(since_ms) if now_ms.saturating_sub(since_ms) >= self.grace_ms);
        let over: Vec<u64> =
            table.peers.iter().filter(|(_, peer)| is_over(peer)).map(|(id, _)| *id).take(in_line).collect();
        for id in &over {
            table.remove(*id);
        }
        table.give_turns(self.max_turns, self.max_of_origin, now_ms);
        over.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::sync::oneshot::error::TryRecvError;

    fn origin(number: u8) -> PeerOrigin {
        PeerOrigin::from(SocketAddr::from(([10, 0, 0, number], 1)))
    }

    fn has_given_way(entered: &mut Entered) -> bool {
        entered.gave_way.try_recv() == Err(TryRecvError::Closed)
    }

    fn has_turn(turn: &mut oneshot::Receiver<()>) -> bool {
        turn.try_recv().is_ok()
    }

    #[test]
    fn who_says_nothing_gives_way_at_once_the_oldest_of_the_largest_origin_first() {
        let pending = Unadmitted::new(4, 4, 1000);
        let mut other = pending.enter(1, origin(1)).unwrap();
        let mut first = pending.enter(2, origin(2)).unwrap();
        let mut spoke = pending.enter(3, origin(2)).unwrap();
        let mut third = pending.enter(4, origin(2)).unwrap();
        assert!(has_turn(&mut pending.line_up(3, 0)));
        assert!(pending.enter(5, origin(3)).unwrap().made_room);
        assert!(has_given_way(&mut first));
        assert!(![&mut other, &mut spoke, &mut third].into_iter().any(has_given_way));
        assert_eq!(pending.count(), 4);
    }

    #[test]
    fn when_all_have_said_something_the_largest_origin_gives_way_and_its_own_are_not_taken() {
        let pending = Unadmitted::new(4, 8, 1000);
        let mut entered: Vec<_> = (1..5).map(|id| pending.enter(id, origin(1)).unwrap()).collect();
        let _turns: Vec<_> = (1..5).map(|id| pending.line_up(id, 0)).collect();
        assert!(pending.enter(5, origin(1)).is_none());
        assert!(pending.enter(6, origin(2)).is_some());
        assert_eq!(entered.iter_mut().map(has_given_way).collect::<Vec<_>>(), [false, false, false, true]);
    }

    #[test]
    fn turns_go_round_and_no_origin_has_them_all() {
        let pending = Unadmitted::new(100, 4, 1000);
        let _entered: Vec<_> = (1..10).map(|id| pending.enter(id, origin(1)).unwrap()).collect();
        let mut turns: Vec<_> = (1..10).map(|id| pending.line_up(id, 0)).collect();
        let own = |turns: &mut Vec<oneshot::Receiver<()>>| {
            turns.iter_mut().filter_map(|turn| turn.try_recv().ok()).count()
        };
        assert_eq!(own(&mut turns), 3);
        let _other = pending.enter(10, origin(2)).unwrap();
        assert!(has_turn(&mut pending.line_up(10, 0)));
        pending.through(1, 0);
        assert_eq!(own(&mut turns), 1);
        pending.leave(2, 0);
        assert_eq!(own(&mut turns), 1);
        // Who leaves the line takes nobody's turn along.
        pending.leave(6, 0);
        for id in 3..6 {
            pending.leave(id, 0);
        }
        assert_eq!(own(&mut turns), 3);
        for id in 1..11 {
            pending.leave(id, 0);
        }
        let table = pending.table();
        assert_eq!((table.peers.len(), table.origins.len(), table.turns), (0, 0, 0));
    }

    #[test]
    fn a_turn_that_takes_long_ends_when_somebody_is_in_line_and_not_before_it_has_had_its_time() {
        let pending = Unadmitted::new(100, 1, 1000);
        let mut first = pending.enter(1, origin(1)).unwrap();
        assert!(has_turn(&mut pending.line_up(1, 0)));
        assert_eq!(pending.sweep(5000), 0);
        let _second = pending.enter(2, origin(1)).unwrap();
        let mut turn = pending.line_up(2, 0);
        assert_eq!((pending.sweep(999), has_turn(&mut turn)), (0, false));
        assert_eq!((pending.sweep(1000), has_turn(&mut turn)), (1, true));
        assert!(has_given_way(&mut first));
    }

    #[test]
    fn sockets_are_got_back_from_those_that_say_nothing() {
        let pending = Unadmitted::new(100, 1, 1000);
        let mut silent = pending.enter(1, origin(1)).unwrap();
        let _spoke = pending.enter(2, origin(1)).unwrap();
        let _turn = pending.line_up(2, 0);
        assert!(pending.drop_silent() && has_given_way(&mut silent));
        assert!(!pending.drop_silent());
    }
}
