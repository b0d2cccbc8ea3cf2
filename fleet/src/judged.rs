//! How long a judgement lasts, and the last one of each host: of ten thousand hosts nearly all stand as they stood a second
//! ago, and looking at one costs more than everything else that a list does with it.

use schema::Timestamp;
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

/// The time that a judgement is made by. It notes until when everything that it was asked has the same answer.
#[derive(Debug)]
pub(crate) struct AsOf {
    now: Timestamp,
    until: Cell<Timestamp>,
}

impl AsOf {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { now, until: Cell::new(Timestamp(u64::MAX)) }
    }

    /// Whether an instant has passed.
    pub(crate) fn is_after(&self, at: Timestamp) -> bool {
        let is_after = self.now > at;
        if !is_after {
            self.until.set(self.until.get().min(at));
        }
        is_after
    }

    /// An instant, or now while it has not come: what a clock has dated that is ahead.
    pub(crate) fn not_beyond(&self, at: Timestamp) -> Timestamp {
        if at > self.now {
            self.until.set(self.now);
        }
        at.min(self.now)
    }
}

/// The last judgement of a host.
#[derive(Debug)]
pub(crate) struct Judged<S>(Mutex<Option<Judgement<S>>>);

#[derive(Debug)]
struct Judgement<S> {
    from: Timestamp,
    /// Still holds then.
    until: Timestamp,
    standing: Arc<S>,
}

impl<S> Default for Judged<S> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<S> Judged<S> {
    /// The judgement of before, if it still holds, or a new one.
    pub(crate) fn at(&self, now: Timestamp, judge: impl FnOnce(&AsOf) -> S) -> Arc<S> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| (known.from..=known.until).contains(&now)) {
            return known.standing.clone();
        }
        let as_of = AsOf::new(now);
        let standing = Arc::new(judge(&as_of));
        *known = Some(Judgement { from: now, until: as_of.until.get(), standing: standing.clone() });
        standing
    }
}

/// What was judged before is no part of what is judged.
impl<S> PartialEq for Judged<S> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<S> Eq for Judged<S> {}
