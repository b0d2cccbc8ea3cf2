//! The row of how whole a group's snapshots are, in both forms that it has had.

use super::{StoredRow, from_postcard, to_postcard};
use crate::record::{Accepted, Baseline, Extent, Flawed, Loss, Newest, Past, Soundness, Whole};
use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// Before there was a baseline.
#[derive(Serialize, Deserialize)]
struct First {
    usual: Vec<Extent>,
    lacking: Vec<Flawed>,
    is_cut: bool,
    loss: Option<Loss>,
    accepted: Option<Accepted>,
    newest: Option<Newest>,
    whole: Vec<Whole>,
    right: Option<Newest>,
    began_at: Option<Timestamp>,
    spared: u32,
    past: Past,
    little: Option<(Extent, u8)>,
}

impl From<First> for Soundness {
    fn from(first: First) -> Self {
        Self {
            usual: first.usual,
            lacking: first.lacking,
            is_cut: first.is_cut,
            loss: first.loss,
            accepted: first.accepted,
            newest: first.newest,
            whole: first.whole,
            right: first.right,
            began_at: first.began_at,
            spared: first.spared,
            past: first.past,
            little: first.little,
            baseline: Baseline::default(),
            unusual: None,
        }
    }
}

impl StoredRow for Soundness {
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
    use crate::record::Churn;
    use schema::JobId;

    #[test]
    fn a_row_of_before_has_no_baseline_and_says_what_it_said() {
        let extent = Extent { files: 7, bytes: 70 };
        let loss =
            Loss { job: JobId([1; 16]), since: Timestamp(5), usual: extent, now: extent, is_back: false };
        let first = First {
            usual: vec![extent],
            lacking: Vec::new(),
            is_cut: true,
            loss: Some(loss.clone()),
            accepted: None,
            newest: None,
            whole: Vec::new(),
            right: None,
            began_at: Some(Timestamp(4)),
            spared: 3,
            past: Past::Unsized(2),
            little: Some((extent, 6)),
        };
        let known = Soundness {
            usual: vec![extent],
            is_cut: true,
            loss: Some(loss),
            began_at: Some(Timestamp(4)),
            spared: 3,
            past: Past::Unsized(2),
            little: Some((extent, 6)),
            ..Soundness::default()
        };
        assert_eq!(Soundness::from_bytes(&to_postcard(1, &first)), Ok(known.clone()));
        assert!(!format!("{known:?}").contains("baseline"));
        let churns = vec![Churn { files: 9, ..Churn::default() }];
        let baseline = Baseline { churns, reset_at: Some(Timestamp(6)) };
        let later = Soundness { baseline, ..known };
        assert_eq!(Soundness::from_bytes(&later.encode()), Ok(later.clone()));
        assert!(format!("{later:?}").contains("baseline"));
    }
}
