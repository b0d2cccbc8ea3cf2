//! The retained set: the last payload of each topic that viewers may see, in memory and bounded.

use super::packet;
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{PoisonError, RwLock},
};

/// What a topic costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 96;

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
}

#[derive(Default)]
struct Set {
    topics: BTreeMap<Box<str>, Bytes>,
    bytes: usize,
}

impl Retained {
    pub(super) fn new(max_topics: usize, max_bytes: usize) -> Self {
        Self { set: RwLock::default(), max_topics, max_bytes }
    }

    /// Keeps the payload, or forgets the topic when it is empty. Says whether anything changed.
    pub(super) fn put(&self, topic: &str, payload: &Bytes) -> Result<bool, ViewRefused> {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        let before = set.topics.get(topic).map(|payload| topic.len() + payload.len() + ENTRY_BYTES);
        if payload.is_empty() {
            set.topics.remove(topic);
            set.bytes -= before.unwrap_or(0);
            return Ok(before.is_some());
        }
        let bytes = set.bytes - before.unwrap_or(0) + topic.len() + payload.len() + ENTRY_BYTES;
        if bytes > self.max_bytes || (before.is_none() && set.topics.len() >= self.max_topics) {
            return Err(ViewRefused::Full);
        }
        // A copy of its own: the payload may be a part of a larger buffer, which it would keep alive.
        let copy = Bytes::copy_from_slice(payload);
        match set.topics.get_mut(topic) {
            Some(payload) => *payload = copy,
            None => {
                set.topics.insert(topic.into(), copy);
            }
        }
        set.bytes = bytes;
        Ok(true)
    }

    /// Up to `max` topics after `after` that `filter` takes, in order; the last topic that was looked at when there
    /// may be more.
    pub(super) fn page(&self, filter: &str, after: Option<&str>, max: usize) -> Page {
        // Everything that the filter takes begins like this.
        let literal = filter.find(['+', '#']).map_or(filter, |at| &filter[..at]);
        let prefix = literal.strip_suffix('/').unwrap_or(literal);
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        // A filter that takes little of a large set must not hold the lock for long.
        for (looked_at, (topic, payload)) in set.topics.range::<str, _>((from, Bound::Unbounded)).enumerate()
        {
            if !topic.starts_with(prefix) {
                break;
            }
            if packet::matches(topic, filter) {
                found.push((topic.clone(), payload.clone()));
            }
            if found.len() >= max || looked_at >= 64 * max {
                return Page { found, more_after: Some(topic.clone()) };
            }
        }
        Page { found, more_after: None }
    }

    /// Topics and bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        (set.topics.len(), set.bytes)
    }
}

/// A part of the retained set.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    pub(super) found: Vec<(Box<str>, Bytes)>,
    pub(super) more_after: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(topics: &[&str]) -> Retained {
        let retained = Retained::new(100, 100_000);
        for topic in topics {
            retained.put(topic, &Bytes::from_static(b"x")).unwrap();
        }
        retained
    }

    fn all(retained: &Retained, filter: &str, max: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut after: Option<Box<str>> = None;
        loop {
            let page = retained.page(filter, after.as_deref(), max);
            found.extend(page.found.into_iter().map(|(topic, _)| topic.into_string()));
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
    fn the_set_is_bounded_and_forgetting_gives_room() {
        let retained = Retained::new(2, 1000);
        let one = Bytes::from_static(b"1");
        assert_eq!(retained.put("a", &one), Ok(true));
        assert_eq!(retained.put("b", &one), Ok(true));
        assert_eq!(retained.put("c", &one), Err(ViewRefused::Full));
        assert_eq!(retained.put("a", &Bytes::from_static(b"2")), Ok(true));
        assert_eq!(retained.put("a", &Bytes::from(vec![0; 1000])), Err(ViewRefused::Full));
        assert_eq!(retained.put("a", &Bytes::new()), Ok(true));
        assert_eq!(retained.put("a", &Bytes::new()), Ok(false));
        assert_eq!(retained.put("c", &one), Ok(true));
        assert_eq!(retained.put("b", &Bytes::new()), Ok(true));
        assert_eq!(retained.put("c", &Bytes::new()), Ok(true));
        assert_eq!(retained.size(), (0, 0));
    }
}
