//! Keep-alive without a timer for each connection: one heap of when to look at whom.

use super::conn::Conn;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Default)]
pub(super) struct Deadlines(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    due: BinaryHeap<Reverse<(u64, u64)>>,
    conns: HashMap<u64, Arc<Conn>>,
}

impl Deadlines {
    /// Watches a connection until it is removed.
    pub(super) fn watch(&self, conn: &Arc<Conn>, stall_ms: u64) {
        if let Ok(due_ms) = conn.verdict(conn.since_ms, stall_ms) {
            let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            watched.due.push(Reverse((due_ms, conn.id)));
            watched.conns.insert(conn.id, Arc::clone(conn));
        }
    }

    /// Watches it no more.
    pub(super) fn remove(&self, id: u64) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.conns.remove(&id);
        // Many short connections would leave their entries behind.
        if watched.due.len() > 2 * watched.conns.len() + 64 {
            let Watched { due, conns } = &mut *watched;
            due.retain(|Reverse((_, id))| conns.contains_key(id));
        }
    }

    /// Ends who is silent or stuck; looks only at those whose time has come.
    pub(super) fn sweep(&self, now_ms: u64, stall_ms: u64) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Reverse((due_ms, id))) = watched.due.peek().copied() {
            if due_ms > now_ms {
                return;
            }
            watched.due.pop();
            let Some(conn) = watched.conns.get(&id) else { continue };
            let next_ms = match conn.verdict(now_ms, stall_ms) {
                Ok(next_ms) => next_ms,
                Err(reason) => {
                    conn.end(reason);
                    // It is removed when its task has ended; until then there is nothing more to look at.
                    continue;
                }
            };
            watched.due.push(Reverse((next_ms.max(now_ms + 1), id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::SocketAddr,
        task::{Context, Waker},
    };

    fn conn(id: u64) -> Arc<Conn> {
        Arc::new(Conn::new(id, SocketAddr::from(([127, 0, 0, 1], 1)), 1500, 0))
    }

    fn has_ended(conn: &Conn) -> bool {
        conn.collect(&Context::from_waker(Waker::noop()), true).is_some_and(|mail| mail.end.is_some())
    }

    #[test]
    fn the_silent_are_ended_and_the_living_stay() {
        let deadlines = Deadlines::default();
        let (silent, living) = (conn(1), conn(2));
        deadlines.watch(&silent, 60_000);
        deadlines.watch(&living, 60_000);
        for now_ms in (0..10_000).step_by(100) {
            living.heard(now_ms);
            deadlines.sweep(now_ms, 60_000);
            assert_eq!(has_ended(&silent), now_ms >= 1500, "at {now_ms}");
        }
        assert!(!has_ended(&living));
        deadlines.sweep(20_000, 60_000);
        assert!(has_ended(&living));
    }

    #[test]
    fn short_connections_leave_nothing_behind() {
        let deadlines = Deadlines::default();
        for id in 0..10_000 {
            deadlines.watch(&conn(id), 60_000);
            deadlines.remove(id);
        }
        let watched = deadlines.0.lock().unwrap();
        assert!(watched.conns.is_empty() && watched.due.len() < 100);
    }
}
