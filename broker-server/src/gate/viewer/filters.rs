//! What a viewer has subscribed to: some wide filters, each looked at for every change, and many topics by name.

use super::super::packet;
use std::collections::BTreeMap;

/// The longest filter, in bytes.
const MAX_FILTER_BYTES: usize = 256;
/// All of a viewer together, in bytes.
const MAX_FILTERS_BYTES: usize = 256 * 1024;
/// So many of them may have wildcards: each costs every change a comparison.
const MAX_WIDE: usize = 32;

/// The filters of a viewer, each with whether the retain flag is kept as it was published.
pub(super) struct Filters {
    /// Those with wildcards.
    wide: Vec<(Box<str>, bool)>,
    /// Topics by name.
    exact: BTreeMap<Box<str>, bool>,
    bytes: usize,
    max: usize,
}

impl Filters {
    /// At most so many.
    pub(super) const fn new(max: usize) -> Self {
        Self { wide: Vec::new(), exact: BTreeMap::new(), bytes: 0, max }
    }

    /// Adds one, or changes it. Returns whether it is new; `None` = there is no room for it.
    pub(super) fn put(&mut self, filter: &str, retain_as_published: bool) -> Option<bool> {
        let known = match is_wide(filter) {
            true => self.wide.iter_mut().find(|(known, _)| **known == *filter).map(|(_, retain)| retain),
            false => self.exact.get_mut(filter),
        };
        if let Some(known) = known {
            *known = retain_as_published;
            return Some(false);
        }
        let is_full = self.wide.len() + self.exact.len() >= self.max
            || filter.len() > MAX_FILTER_BYTES
            || self.bytes + filter.len() > MAX_FILTERS_BYTES
            || (is_wide(filter) && self.wide.len() >= MAX_WIDE);
        if is_full {
            return None;
        }
        self.bytes += filter.len();
        if is_wide(filter) {
            self.wide.push((filter.into(), retain_as_published));
        } else {
            self.exact.insert(filter.into(), retain_as_published);
        }
        Some(true)
    }

    /// Takes one away; whether it was there.
    pub(super) fn remove(&mut self, filter: &str) -> bool {
        let was_there = match self.wide.iter().position(|(known, _)| **known == *filter) {
            Some(at) => {
                self.wide.remove(at);
                true
            }
            None => self.exact.remove(filter).is_some(),
        };
        self.bytes -= if was_there { filter.len() } else { 0 };
        was_there
    }

    /// Whether this one keeps the retain flag; `None` = it is not there.
    pub(super) fn get(&self, filter: &str) -> Option<bool> {
        let wide = self.wide.iter().find(|(known, _)| **known == *filter).map(|(_, retain)| *retain);
        wide.or_else(|| self.exact.get(filter).copied())
    }

    /// Whether a topic is taken by one that keeps the retain flag; `None` = by none at all.
    pub(super) fn takes(&self, topic: &str) -> Option<bool> {
        let wide = self.wide.iter().filter(|(filter, _)| packet::matches(topic, filter));
        wide.map(|(_, retain)| *retain)
            .chain(self.exact.get(topic).copied())
            .reduce(|one, other| one || other)
    }
}

fn is_wide(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn topics_by_name_are_many_and_wide_filters_few() {
        let mut filters = Filters::new(4_096);
        for number in 0..MAX_WIDE {
            assert_eq!(filters.put(&format!("hf/1/view/{number}/#"), false), Some(true));
        }
        assert_eq!(filters.put("hf/1/view/+/presence", false), None);
        assert_eq!(filters.put("hf/1/view/0/#", true), Some(false), "known");
        for number in 0..4_096 - MAX_WIDE {
            assert_eq!(filters.put(&format!("hf/1/view/{number}/presence"), false), Some(true));
        }
        assert_eq!(filters.put("hf/1/view/x/presence", false), None);
        assert!(filters.remove("hf/1/view/1/#") && !filters.remove("hf/1/view/1/#"));
        assert_eq!(filters.put("hf/1/view/x/presence", false), Some(true));
        let mut long = Filters::new(4_096);
        assert_eq!(long.put(&"x".repeat(MAX_FILTER_BYTES + 1), false), None);
        let added = (0..2_000).filter(|at| long.put(&format!("{at:0256}"), false).is_some()).count();
        assert_eq!(added, MAX_FILTERS_BYTES / MAX_FILTER_BYTES);
    }

    proptest! {
        #[test]
        fn a_topic_is_taken_by_what_matches_it(
            steps in proptest::collection::vec(
                ("(a|b|\\+)/(a|b|\\+|#)", any::<bool>(), any::<bool>()),
                0..20,
            ),
            topic in "(a|b)/(a|b)",
        ) {
            let (mut filters, mut plain) = (Filters::new(100), BTreeMap::new());
            for (filter, retain, is_added) in steps {
                if is_added {
                    let is_new = plain.insert(filter.clone(), retain).is_none();
                    prop_assert_eq!(filters.put(&filter, retain), Some(is_new));
                } else {
                    prop_assert_eq!(filters.remove(&filter), plain.remove(&filter).is_some());
                }
                prop_assert_eq!(filters.get(&filter), plain.get(&filter).copied());
            }
            let takers = plain.iter().filter(|(filter, _)| packet::matches(&topic, filter));
            let expected = takers.map(|(_, retain)| *retain).reduce(|one, other| one || other);
            prop_assert_eq!(filters.takes(&topic), expected);
        }
    }
}
