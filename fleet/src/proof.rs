//! When a proof is too old, and how the proof of a host stands. Pure.

use crate::drill::estimate_secs;
use crate::judged::AsOf;
use crate::maintenance::unproven_at;
use crate::record::{GroupProof, GroupSummary, Maintenance, Summary};
use crate::view::{HostProof, ProofOfGroup, ProofStatus, RestoreEstimate};
use schema::Timestamp;

/// When the proof of each group of a host is too old, by its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProofClock {
    /// Its drills are switched off.
    pub(crate) is_off: bool,
    /// In the order of the groups in the summary; `None` = never.
    pub(crate) unproven_at: Vec<Option<Timestamp>>,
}

impl ProofClock {
    pub(crate) fn new(summary: &Summary, settings: &Maintenance) -> Self {
        let at =
            |proof: &GroupProof| unproven_at(proof.since?, proof.proven.map(|proven| proven.at), settings);
        Self {
            is_off: !settings.drill.enabled,
            unproven_at: summary.groups.iter().map(|group| at(&group.proof)).collect(),
        }
    }
}

/// How the proof of one group stands; `None` = there is nothing to prove.
fn of_group(
    proof: &GroupProof,
    unproven_at: Option<Timestamp>,
    is_off: bool,
    now: &AsOf,
) -> Option<ProofStatus> {
    proof.since?;
    let is_old = unproven_at.is_some_and(|at| now.is_after(at));
    Some(match proof.proven {
        _ if proof.failed.is_some() => ProofStatus::Failed,
        Some(_) if !is_old => ProofStatus::Proven,
        _ if is_off => ProofStatus::Off,
        None if !is_old => ProofStatus::Waiting,
        _ => ProofStatus::Unproven,
    })
}

/// The groups that could be proven, each with how it stands.
fn groups<'s>(
    summary: &'s Summary,
    clock: &'s ProofClock,
    now: &'s AsOf,
) -> impl Iterator<Item = (&'s GroupSummary, ProofStatus)> + Clone {
    let clocks = clock.unproven_at.iter().copied().chain(std::iter::repeat(None));
    let known = summary.groups.iter().zip(clocks);
    known.filter_map(move |(group, unproven_at)| {
        Some((group, of_group(&group.proof, unproven_at, clock.is_off, now)?))
    })
}

/// The proof of each group of a host.
pub(crate) fn of_groups(summary: &Summary, clock: &ProofClock, now: &AsOf) -> Vec<ProofOfGroup> {
    groups(summary, clock, now)
        .map(|(group, status)| {
            let (proven, failed) = (group.proof.proven, group.proof.failed);
            ProofOfGroup { group: group.name.clone(), status, proven, failed }
        })
        .collect()
}

/// The proof of a host. It is asked for of all hosts at once, and puts nothing on the heap.
pub(crate) fn of_host(summary: &Summary, clock: &ProofClock, now: &AsOf) -> HostProof {
    let groups = groups(summary, clock, now);
    let proven_at = groups.clone().map(|(group, _)| group.proof.proven.map(|proven| proven.at));
    let mut sizes = groups.clone().map(|(group, _)| group.proof.extent.map(|(_, bytes)| bytes));
    let bytes = sizes
        .clone()
        .next()
        .and_then(|_| sizes.try_fold(0_u64, |sum, bytes| Some(sum.saturating_add(bytes?))));
    HostProof {
        status: groups.map(|(_, status)| status).min().unwrap_or(ProofStatus::Nothing),
        // Of one that never was there is no oldest: nothing is less than any time.
        proven_at: proven_at.min().flatten(),
        estimate: summary.rate.zip(bytes).map(|(rate, bytes)| RestoreEstimate {
            secs: estimate_secs(&rate, bytes),
            bytes,
            rate,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Proof, ProofFailure, RestoreRate};
    use schema::JobId;

    const JOB: JobId = JobId([1; 16]);

    fn proof(at: u64) -> Proof {
        Proof {
            job: JOB,
            at: Timestamp(at),
            drawn: 20,
            restored: 20,
            changed_since: 0,
            bytes: 1,
            restore_ms: 1,
        }
    }

    fn group(name: &str, proof: GroupProof) -> GroupSummary {
        GroupSummary { name: name.into(), proof, ..GroupSummary::default() }
    }

    #[test]
    fn a_group_stands_as_the_table_says() {
        use ProofStatus as S;
        let since = |proven, failed| GroupProof {
            since: Some(Timestamp(1)),
            proven,
            failed,
            ..GroupProof::default()
        };
        let failure = Some(ProofFailure { job: JOB, at: Timestamp(50) });
        let old = Some(Timestamp(90));
        for (what, proof, unproven_at, is_off, status) in [
            ("no backup", GroupProof::default(), None, false, None),
            ("before its first drill", since(None, None), Some(Timestamp(200)), false, Some(S::Waiting)),
            ("never", since(None, None), old, false, Some(S::Unproven)),
            ("never, and off", since(None, None), None, true, Some(S::Off)),
            ("proven", since(Some(proof(40)), None), Some(Timestamp(200)), false, Some(S::Proven)),
            (
                "proven by hand, off",
                since(Some(proof(40)), None),
                Some(Timestamp(200)),
                true,
                Some(S::Proven),
            ),
            ("too old", since(Some(proof(40)), None), old, false, Some(S::Unproven)),
            ("too old, and off", since(Some(proof(40)), None), old, true, Some(S::Off)),
            ("failed", since(Some(proof(40)), failure), Some(Timestamp(200)), false, Some(S::Failed)),
            ("failed, and off", since(None, failure), None, true, Some(S::Failed)),
        ] {
            assert_eq!(of_group(&proof, unproven_at, is_off, &AsOf::new(Timestamp(100))), status, "{what}");
        }
    }

    #[test]
    fn a_host_is_as_proven_as_its_worst_group_and_reckons_only_from_what_was_measured() {
        let known = |extent, proven| GroupProof {
            since: Some(Timestamp(1)),
            extent,
            proven,
            ..GroupProof::default()
        };
        let mut summary = Summary {
            groups: vec![
                group("etc", known(Some((3, 1_000_000)), Some(proof(40)))),
                group("srv", known(Some((5, 9_000_000)), Some(proof(30)))),
                group("new", GroupProof::default()),
            ],
            ..Summary::default()
        };
        let clock = ProofClock { is_off: false, unproven_at: vec![None; 3] };
        let found = of_host(&summary, &clock, &AsOf::new(Timestamp(100)));
        assert_eq!((found.status, found.proven_at), (ProofStatus::Proven, Some(Timestamp(30))));
        assert_eq!(found.estimate, None, "nothing was measured");
        let rate =
            RestoreRate { job: JOB, is_restore: false, at: Timestamp(30), bytes: 5_000_000, ms: 2_500 };
        summary.rate = Some(rate);
        let estimate = of_host(&summary, &clock, &AsOf::new(Timestamp(100))).estimate.unwrap();
        assert_eq!((estimate.secs, estimate.bytes), (5, 10_000_000));
        summary.groups[1].proof.extent = None;
        summary.groups[1].proof.proven = None;
        let found = of_host(&summary, &clock, &AsOf::new(Timestamp(100)));
        assert_eq!((found.status, found.proven_at), (ProofStatus::Waiting, None));
        assert_eq!(found.estimate, None, "the size of a group is not known");
        let nothing = of_host(&Summary::default(), &ProofClock::default(), &AsOf::new(Timestamp(100)));
        assert_eq!((nothing.status, nothing.proven_at, nothing.estimate), (ProofStatus::Nothing, None, None));
    }
}
