//! The row of a source group, in both forms that it has had.

use super::{StoredRow, from_postcard, to_postcard};
use crate::record::{Group, Origin, Retention};
use serde::{Deserialize, Serialize};

/// Before a person could say that a group is backed up by hand.
#[derive(Serialize, Deserialize)]
struct First {
    name: String,
    includes: Vec<String>,
    excludes: Vec<String>,
    exclude_if_present: Vec<String>,
    one_file_system: bool,
    required_mounts: Vec<String>,
    hooks_before: Vec<String>,
    hooks_after: Vec<String>,
    keep: Retention,
    retry_max: u16,
    origins: Vec<Origin>,
}

impl From<First> for Group {
    fn from(first: First) -> Self {
        Self {
            name: first.name,
            includes: first.includes,
            excludes: first.excludes,
            exclude_if_present: first.exclude_if_present,
            one_file_system: first.one_file_system,
            required_mounts: first.required_mounts,
            hooks_before: first.hooks_before,
            hooks_after: first.hooks_after,
            keep: first.keep,
            retry_max: first.retry_max,
            origins: first.origins,
            by_hand_days: 0,
        }
    }
}

impl StoredRow for Group {
    const VERSION: u8 = 2;

    fn encode(&self) -> Vec<u8> {
        to_postcard(Self::VERSION, self)
    }

    fn decode(version: u8, body: &[u8]) -> Option<Self> {
        match version {
            1 => from_postcard::<First>(body).map(Self::from),
            2 => from_postcard(body),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_before_is_one_that_a_schedule_backs_up() {
        let keep = Retention { daily: 7, ..Retention::default() };
        let first = First {
            name: "etc".to_owned(),
            includes: vec!["/etc".to_owned()],
            excludes: Vec::new(),
            exclude_if_present: Vec::new(),
            one_file_system: true,
            required_mounts: Vec::new(),
            hooks_before: Vec::new(),
            hooks_after: Vec::new(),
            keep: keep.clone(),
            retry_max: 12,
            origins: vec![Origin { hostname: "attic".to_owned(), tag: "old".to_owned() }],
        };
        let group = Group {
            name: "etc".to_owned(),
            includes: vec!["/etc".to_owned()],
            one_file_system: true,
            keep,
            retry_max: 12,
            origins: vec![Origin { hostname: "attic".to_owned(), tag: "old".to_owned() }],
            ..Group::default()
        };
        assert_eq!(Group::from_bytes(&to_postcard(1, &first)), Ok(group.clone()));
        let by_hand = Group { by_hand_days: 30, ..group };
        assert_eq!(Group::from_bytes(&by_hand.encode()), Ok(by_hand));
    }
}
