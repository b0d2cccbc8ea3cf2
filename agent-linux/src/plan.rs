//! The plan that the server has sent last: what this machine does alone while the server is away, and where it looks for
//! it.
//!
//! It lies in the state folder as it came, without its envelope: it holds no secret, and the folder is its owner's alone.

use crate::{
    identity::Identity,
    state_folder::{StateError, StateFolder},
};
use schema::{Incarnation, Plan, PlanRevision, Timestamp};

/// The file's name in the state folder.
pub const FILE: &str = "plan";
const TIME_BYTES: usize = 8;

/// A plan, and since when it is known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptPlan {
    /// What came due before is none of this plan's.
    pub since: Timestamp,
    encoded: Vec<u8>,
}

impl KeptPlan {
    /// The plan in the state folder. What can't be read is no plan: the server sends it at every connect.
    #[must_use]
    pub fn load(state: &StateFolder) -> Self {
        let bytes = state.read(FILE).unwrap_or_default().unwrap_or_default();
        let Some((since, encoded)) = bytes.split_first_chunk::<TIME_BYTES>() else { return Self::default() };
        let kept = Self { since: Timestamp(u64::from_le_bytes(*since)), encoded: encoded.to_vec() };
        if kept.get().is_some() { kept } else { Self::default() }
    }

    /// The plan itself.
    #[must_use]
    pub fn get(&self) -> Option<Plan<'_>> {
        schema::decode(&self.encoded).ok()
    }

    /// The number of the plan; 0 = there is none.
    #[must_use]
    pub fn revision(&self) -> PlanRevision {
        self.get().map_or(PlanRevision::ZERO, |plan| plan.revision)
    }

    /// Where the server is reached: as the plan says, or else as the token of the enrolment did; see [`schema::address`].
    #[must_use]
    pub fn addresses<'a>(&'a self, identity: &'a Identity) -> &'a str {
        self.get().map(|plan| plan.addresses).filter(|list| !list.is_empty()).unwrap_or(&identity.addresses)
    }

    /// Takes a plan that came, when the highest incarnation of the server that was heard of is `heard`. `false`: it is the
    /// one that is here, or of an old copy of the server.
    pub fn keep(&mut self, encoded: &[u8], heard: Incarnation, now: Timestamp) -> bool {
        let is_current = |plan: Plan<'_>| plan.incarnation >= heard;
        let is_new = self.encoded != encoded && schema::decode(encoded).is_ok_and(is_current);
        if is_new {
            *self = Self { since: now, encoded: encoded.to_vec() };
        }
        is_new
    }

    /// Writes it into the state folder.
    pub fn store(&self, state: &StateFolder) -> Result<(), StateError> {
        let mut bytes = self.since.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.encoded);
        state.write(FILE, &bytes)
    }
}
