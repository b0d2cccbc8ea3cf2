//! The retained set: the last payload of each topic that viewers may see, in memory and bounded; and in which order
//! topics have changed.
//!
//! Each change has a *version*, one more than the one before it. A topic stands in the order of changes once, at its
//! last change, also when that took it away: so whoever knows everything up to some version can be told what is
//! different now, and what is gone, without a memory of its own. Of topics that are gone only so many are remembered;
//! who is further behind than that can't be told any more.

use super::packet;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

/// What a topic costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 160;

/// Why a message can't be shown to viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewRefused {
    /// The topic is not one of the view tree: `hf/1/view/`, printable ASCII, no wildcard, not too long.
    #[error("not a topic of the view tree")]
    Topic,
    /// The message is longer than a packet may be.
    #[error("the message is too long")]
    TooLong,
    /// There are as many retained topics, or bytes, as are allowed.
    #[error("the retained set is full")]
    Full,
}

pub(super) struct Retained {
    set: RwLock<Set>,
    max_topics: usize,
    max_bytes: usize,
    max_gone: usize,
}

#[derive(Default)]
struct Set {
    topics: BTreeMap<Arc<str>, RetainedMessage>,
    bytes: usize,
    /// The version of the last change.
    version: u64,
    /// Topics by their last change, also those that are gone.
    changes: BTreeMap<u64, Arc<str>>,
    /// Topics that are gone, with the version at which they went.
    gone: HashMap<Arc<str>, u64>,
    gone_by_age: BTreeSet<u64>,
    /// Of what went at this version or before, something may be forgotten.
    forgotten: u64,
}

struct RetainedMessage {
    payload: Bytes,
    version: u64,
}

impl Set {
    /// Puts a change of this topic at the end of the order, and gives its version.
    fn changed(&mut self, topic: &Arc<str>, before: Option<u64>) -> u64 {
        if let Some(before) = before {
            self.changes.remove(&before);
        }
        if let Some(gone) = self.gone.remove(topic) {
            self.changes.remove(&gone);
            self.gone_by_age.remove(&gone);
        }
        self.version += 1;
        self.changes.insert(self.version, Arc::clone(topic));
        self.version
    }

    fn remember_gone(&mut self, topic: Arc<str>, version: u64, max: usize) {
        self.gone.insert(topic, version);
        self.gone_by_age.insert(version);
        while self.gone_by_age.len() > max
            && let Some(oldest) = self.gone_by_age.pop_first()
        {
            self.forgotten = oldest;
            if let Some(topic) = self.changes.remove(&oldest) {
                self.gone.remove(&topic);
            }
        }
    }
}

impl Retained {
    pub(super) fn new(max_topics: usize, max_bytes: usize, max_gone: usize) -> Self {
        Self { set: RwLock::default(), max_topics, max_bytes, max_gone }
    }

    /// Keeps the payload, or forgets the topic when it is empty. `tell` is called with the version when anything has
    /// changed, before anybody else can change something: so what it hands on is in order.
    pub(super) fn put(
        &self,
        topic: &str,
        payload: &Bytes,
        tell: impl FnOnce(u64),
    ) -> Result<(), ViewRefused> {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        let set = &mut *set;
        let before = set.topics.get_key_value(topic).map(|(name, kept)| {
            (Arc::clone(name), kept.version, topic.len() + kept.payload.len() + ENTRY_BYTES)
        });
        let bytes_before = before.as_ref().map_or(0, |(_, _, bytes)| *bytes);
        if payload.is_empty() {
            if let Some((name, version, _)) = before {
                set.topics.remove(topic);
                set.bytes -= bytes_before;
                let version = set.changed(&name, Some(version));
                set.remember_gone(name, version, self.max_gone);
                tell(version);
            }
            return Ok(());
        }
        let bytes = set.bytes - bytes_before + topic.len() + payload.len() + ENTRY_BYTES;
        if bytes > self.max_bytes || (before.is_none() && set.topics.len() >= self.max_topics) {
            return Err(ViewRefused::Full);
        }
        // A copy of its own: the payload may be a part of a larger buffer, which it would keep alive.
        let payload = Bytes::copy_from_slice(payload);
        let (name, version) = before.map_or_else(|| (topic.into(), None), |(name, at, _)| (name, Some(at)));
        let version = set.changed(&name, version);
        set.topics.insert(name, RetainedMessage { payload, version });
        set.bytes = bytes;
        tell(version);
        Ok(())
    }

    /// The version of the last change.
    pub(super) fn version(&self) -> u64 {
        self.set.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// Up to `max` topics that have changed after this version, as they are now, in the order of their last change.
    pub(super) fn since(&self, version: u64, max: usize) -> Result<Changes, Forgotten> {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        if version < set.forgotten {
            return Err(Forgotten);
        }
        let mut changes = Changes { found: Vec::new(), up_to: version, is_all: false };
        for (version, topic) in set.changes.range(version + 1..).take(max) {
            let payload = set.topics.get(topic).map(|kept| kept.payload.clone()).unwrap_or_default();
            changes.found.push((Arc::clone(topic), payload));
            changes.up_to = *version;
        }
        if changes.found.len() < max {
            changes.up_to = set.version;
            changes.is_all = true;
        }
        Ok(changes)
    }

    /// Up to `max` topics after `after` that `filter` takes, in order; the last topic that was looked at when there
    /// may be more.
    pub(super) fn page(&self, filter: &str, after: Option<&str>, max: usize) -> Chunk {
        // Everything that the filter takes begins like this.
        let literal = filter.find(['+', '#']).map_or(filter, |at| &filter[..at]);
        let prefix = literal.strip_suffix('/').unwrap_or(literal);
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        // A filter that takes little of a large set must not hold the lock for long.
        for (looked_at, (topic, kept)) in set.topics.range::<str, _>((from, Bound::Unbounded)).enumerate() {
            if !topic.starts_with(prefix) {
                break;
            }
            if packet::matches(topic, filter) {
                found.push((Arc::clone(topic), kept.payload.clone()));
            }
            if found.len() >= max || looked_at >= 64 * max {
                return Chunk { found, more_after: Some(Arc::clone(topic)) };
            }
        }
        Chunk { found, more_after: None }
    }

    /// Up to `max` remembered topics that are gone since after this version and that `filter` takes, in the order in
    /// which they went; up to which version was looked when there may be more.
    pub(super) fn gone(&self, filter: &str, after: u64, max: usize) -> Gone {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let mut topics = Vec::new();
        for (looked_at, version) in set.gone_by_age.range(after + 1..).enumerate() {
            topics.extend(set.changes.get(version).filter(|topic| packet::matches(topic, filter)).cloned());
            if topics.len() >= max || looked_at >= 64 * max {
                return Gone { topics, more_after: Some(*version) };
            }
        }
        Gone { topics, more_after: None }
    }

    /// All topics that this filter takes.
    pub(super) fn topics(&self, filter: &str) -> Vec<String> {
        let (mut topics, mut after) = (Vec::new(), None::<Arc<str>>);
        loop {
            let page = self.page(filter, after.as_deref(), 1024);
            topics.extend(page.found.into_iter().map(|(topic, _)| topic.to_string()));
            after = page.more_after;
            if after.is_none() {
                return topics;
            }
        }
    }

    /// Number of topics, and the bytes of their messages.
    pub(super) fn size(&self) -> (usize, usize) {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        (set.topics.len(), set.bytes)
    }
}

/// A part of the retained set.
#[derive(Debug, PartialEq)]
pub(super) struct Chunk {
    pub(super) found: Vec<(Arc<str>, Bytes)>,
    pub(super) more_after: Option<Arc<str>>,
}

/// A part of the topics that are gone.
#[derive(Debug, PartialEq)]
pub(super) struct Gone {
    pub(super) topics: Vec<Arc<str>>,
    pub(super) more_after: Option<u64>,
}

/// What is different from what was known at some version.
#[derive(Debug, PartialEq)]
pub(super) struct Changes {
    /// Topics with their payload now; an empty one is gone.
    pub(super) found: Vec<(Arc<str>, Bytes)>,
    /// The version that is known when these are.
    pub(super) up_to: u64,
    /// Whether the set ends with this part.
    pub(super) is_all: bool,
}

/// Topics that have gone since are no longer remembered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forgotten;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(retained: &Retained, topic: &str, payload: &'static [u8]) -> Result<bool, ViewRefused> {
        let mut changed = false;
        retained.put(topic, &Bytes::from_static(payload), |_| changed = true)?;
        Ok(changed)
    }

    fn filled(topics: &[&str]) -> Retained {
        let retained = Retained::new(100, 100_000, 100);
        for topic in topics {
            put(&retained, topic, b"x").unwrap();
        }
        retained
    }

    fn since(retained: &Retained, version: u64, max: usize) -> Vec<(String, Vec<u8>)> {
        let (mut found, mut version) = (Vec::new(), version);
        loop {
            let changes = retained.since(version, max).unwrap();
            found.extend(
                changes.found.into_iter().map(|(topic, payload)| (topic.to_string(), payload.to_vec())),
            );
            version = changes.up_to;
            if changes.is_all {
                return found;
            }
        }
    }

    #[test]
    fn what_has_changed_since_is_told_once_and_what_is_gone_too() {
        let retained = filled(&["a", "b", "c"]);
        let known = retained.version();
        assert_eq!(since(&retained, known, 1), []);
        put(&retained, "b", b"").unwrap();
        put(&retained, "d", b"1").unwrap();
        put(&retained, "a", b"1").unwrap();
        put(&retained, "a", b"2").unwrap();
        put(&retained, "e", b"1").unwrap();
        put(&retained, "e", b"").unwrap();
        let told = |topic: &str, payload: &[u8]| (topic.to_owned(), payload.to_vec());
        for max in 1..7 {
            assert_eq!(
                since(&retained, known, max),
                [told("b", b""), told("d", b"1"), told("a", b"2"), told("e", b"")]
            );
        }
        put(&retained, "b", b"back").unwrap();
        assert!(since(&retained, known, 2).contains(&told("b", b"back")));
        assert!(!since(&retained, known, 2).contains(&told("b", b"")));
    }

    #[test]
    fn what_is_gone_is_remembered_within_bounds_and_who_is_further_behind_is_refused() {
        let retained = Retained::new(100, 100_000, 3);
        for i in 0..10 {
            put(&retained, &format!("t{i}"), b"x").unwrap();
        }
        let known = retained.version();
        for i in 0..3 {
            put(&retained, &format!("t{i}"), b"").unwrap();
        }
        assert_eq!(since(&retained, known, 10).len(), 3);
        put(&retained, "t3", b"").unwrap();
        assert_eq!(retained.since(known, 10), Err(Forgotten));
        assert_eq!(since(&retained, known + 1, 10).len(), 3);
        let set = retained.set.read().unwrap();
        assert_eq!((set.changes.len(), set.gone.len(), set.gone_by_age.len()), (6 + 3, 3, 3));
    }

    proptest! {
        #[test]
        fn whoever_is_told_the_changes_since_knows_the_set_as_it_is(
            before in proptest::collection::vec((0_u8..6, any::<bool>()), 0..20),
            after in proptest::collection::vec((0_u8..6, any::<bool>()), 0..20),
            max in 1_usize..5,
        ) {
            let retained = Retained::new(100, 100_000, 100);
            let mut number = 0_u32;
            let mut change = |known: &mut BTreeMap<String, Vec<u8>>, (topic, is_kept): (u8, bool)| {
                number += 1;
                let (topic, payload) = (topic.to_string(), number.to_string());
                let payload = if is_kept { payload.into_bytes() } else { Vec::new() };
                retained.put(&topic, &Bytes::from(payload.clone()), |_| {}).unwrap();
                if is_kept { known.insert(topic, payload); } else { known.remove(&topic); }
            };
            let mut known = BTreeMap::new();
            before.into_iter().for_each(|one| change(&mut known, one));
            let mut told = known.clone();
            let version = retained.version();
            after.into_iter().for_each(|one| change(&mut known, one));
            for (topic, payload) in since(&retained, version, max) {
                if payload.is_empty() { told.remove(&topic); } else { told.insert(topic, payload); }
            }
            prop_assert_eq!(told, known);
        }
    }

    fn all(retained: &Retained, filter: &str, max: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut after: Option<Arc<str>> = None;
        loop {
            let page = retained.page(filter, after.as_deref(), max);
            found.extend(page.found.into_iter().map(|(topic, _)| topic.to_string()));
            match page.more_after {
                Some(last) => after = Some(last),
                None => return found,
            }
        }
    }

    #[test]
    fn pages_of_every_size_give_all_that_the_filter_takes_once() {
        let retained = filled(&[
            "hf/1/view",
            "hf/1/view/a/p",
            "hf/1/view/a/r",
            "hf/1/view/a-/p",
            "hf/1/view/b/p",
            "hf/1/x/p",
        ]);
        for max in 1..8 {
            assert_eq!(
                all(&retained, "hf/1/view/#", max),
                ["hf/1/view", "hf/1/view/a-/p", "hf/1/view/a/p", "hf/1/view/a/r", "hf/1/view/b/p"]
            );
            assert_eq!(
                all(&retained, "hf/1/view/+/p", max),
                ["hf/1/view/a-/p", "hf/1/view/a/p", "hf/1/view/b/p"]
            );
            assert_eq!(all(&retained, "hf/1/view/a/#", max), ["hf/1/view/a/p", "hf/1/view/a/r"]);
            assert_eq!(all(&retained, "hf/1/view/a/p", max), ["hf/1/view/a/p"]);
            assert_eq!(all(&retained, "hf/1/+/p", max), ["hf/1/x/p"]);
        }
    }

    #[test]
    fn what_is_gone_is_found_by_its_filter_in_pieces_of_every_size_and_what_is_back_is_not() {
        let retained = filled(&["v/a/p", "v/a/r", "v/b/p", "v/c/p", "v/d/p"]);
        for topic in ["v/c/p", "v/a/p", "v/a/r", "v/d/p"] {
            put(&retained, topic, b"").unwrap();
        }
        put(&retained, "v/a/p", b"back").unwrap();
        for (filter, expected) in
            [("v/#", vec!["v/c/p", "v/a/r", "v/d/p"]), ("v/+/p", vec!["v/c/p", "v/d/p"]), ("v/b/#", vec![])]
        {
            for max in 1..5 {
                let (mut found, mut after) = (Vec::new(), Some(0));
                while let Some(version) = after {
                    let gone = retained.gone(filter, version, max);
                    assert!(gone.topics.len() <= max);
                    found.extend(gone.topics.iter().map(ToString::to_string));
                    after = gone.more_after;
                }
                assert_eq!(found, expected, "{filter}");
            }
        }
    }

    #[test]
    fn the_set_is_bounded_and_forgetting_gives_room() {
        let retained = Retained::new(2, 1000, 10);
        assert_eq!(put(&retained, "a", b"1"), Ok(true));
        assert_eq!(put(&retained, "b", b"1"), Ok(true));
        assert_eq!(put(&retained, "c", b"1"), Err(ViewRefused::Full));
        assert_eq!(put(&retained, "a", b"2"), Ok(true));
        assert_eq!(put(&retained, "a", &[0; 1000]), Err(ViewRefused::Full));
        assert_eq!(put(&retained, "a", b""), Ok(true));
        assert_eq!(put(&retained, "a", b""), Ok(false));
        assert_eq!(put(&retained, "c", b"1"), Ok(true));
        assert_eq!(put(&retained, "b", b""), Ok(true));
        assert_eq!(put(&retained, "c", b""), Ok(true));
        assert_eq!(retained.size(), (0, 0));
    }
}
