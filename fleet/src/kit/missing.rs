//! What the kits that were made lack, by the credentials of now. Pure.

use crate::record::InKit;
use schema::{HostId, SlotRevision, Timestamp};

/// A host with its credentials of now, and the newest kit that holds it.
pub(super) struct Held {
    pub(super) id: HostId,
    pub(super) name: String,
    /// Of the everyday credentials; `None` = not set.
    pub(super) repo_revision: Option<SlotRevision>,
    /// Of the admin credentials; `None` = not set.
    pub(super) admin_revision: Option<SlotRevision>,
    pub(super) in_kit: Option<InKit>,
}

/// How the kits stand to the credentials of now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kits {
    /// When the newest was made; `None` = none was, or no host of it is left.
    pub newest_at: Option<Timestamp>,
    /// Hosts that have credentials.
    pub hosts: usize,
    /// Those of them for which a kit lacks something, by name.
    pub gaps: Vec<KitGap>,
}

impl Kits {
    /// Hosts that are in no kit.
    #[must_use]
    pub fn lacking(&self) -> usize {
        self.gaps.iter().filter(|gap| gap.why == WhyGap::InNone).count()
    }

    /// Hosts whose credentials have changed since the newest kit that holds them.
    #[must_use]
    pub fn outdated(&self) -> usize {
        self.gaps.len() - self.lacking()
    }
}

/// A host for which a kit lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KitGap {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// What is lacking.
    pub why: WhyGap,
}

/// What a kit lacks of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyGap {
    /// The host is in no kit.
    InNone,
    /// Its credentials have changed since the newest kit that holds it.
    ChangedSince(Timestamp),
}

impl WhyGap {
    /// Its code in the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InNone => "in_no_kit",
            Self::ChangedSince(_) => "changed_since",
        }
    }
}

/// Judges all hosts. One without credentials needs no kit; credentials that are gone since are no gap.
pub(super) fn judge(hosts: Vec<Held>) -> Kits {
    let newest_at = hosts.iter().filter_map(|host| host.in_kit.as_ref().map(|kit| kit.at)).max();
    let mut kits = Kits { newest_at, ..Kits::default() };
    for host in hosts {
        if host.repo_revision.is_none() && host.admin_revision.is_none() {
            continue;
        }
        kits.hosts += 1;
        let lacks = |now: Option<SlotRevision>, then: SlotRevision| now.is_some_and(|now| now != then);
        let why = match &host.in_kit {
            None => WhyGap::InNone,
            Some(kit)
                if lacks(host.repo_revision, kit.repo_revision)
                    || lacks(host.admin_revision, kit.admin_revision) =>
            {
                WhyGap::ChangedSince(kit.at)
            }
            Some(_) => continue,
        };
        kits.gaps.push(KitGap { host: host.id, name: host.name, why });
    }
    kits.gaps.sort_by(|a, b| a.name.cmp(&b.name));
    kits
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: Timestamp = Timestamp(1_700_000_000_000);

    fn host(name: &str, now: (Option<u64>, Option<u64>), kit: Option<(u64, u64)>) -> Held {
        let now = (now.0.map(SlotRevision), now.1.map(SlotRevision));
        let kit = kit.map(|(repo, admin)| (SlotRevision(repo), SlotRevision(admin)));
        let in_kit =
            kit.map(|(repo_revision, admin_revision)| InKit { at: THEN, repo_revision, admin_revision });
        let (repo_revision, admin_revision) = now;
        Held { id: HostId([1; 16]), name: name.to_owned(), repo_revision, admin_revision, in_kit }
    }

    #[test]
    fn each_host_with_credentials_is_held_as_they_are_or_is_a_gap() {
        let changed = Some(WhyGap::ChangedSince(THEN));
        for (now, kit, why) in [
            ((Some(3), None), Some((3, 0)), None),
            ((Some(3), Some(1)), Some((3, 1)), None),
            ((Some(3), None), None, Some(WhyGap::InNone)),
            ((Some(4), None), Some((3, 0)), changed),
            // A restored server goes on with lower numbers.
            ((Some(2), None), Some((3, 0)), changed),
            ((Some(3), Some(1)), Some((3, 0)), changed),
            ((Some(1), None), Some((0, 0)), changed),
            // What is gone is not lacking.
            ((Some(3), None), Some((3, 1)), None),
            ((None, None), Some((3, 1)), None),
            ((None, None), None, None),
            ((None, Some(1)), None, Some(WhyGap::InNone)),
        ] {
            let kits = judge(vec![host("attic", now, kit)]);
            assert_eq!(kits.gaps.first().map(|gap| gap.why), why, "{now:?} {kit:?}");
            assert_eq!(kits.hosts, usize::from(now != (None, None)));
        }
    }

    #[test]
    fn gaps_are_counted_and_named_in_order() {
        let kits = judge(vec![
            host("shed", (Some(1), None), None),
            host("barn", (Some(2), None), Some((1, 0))),
            host("attic", (Some(1), None), None),
            host("cellar", (Some(1), None), Some((1, 0))),
        ]);
        assert_eq!((kits.hosts, kits.lacking(), kits.outdated()), (4, 2, 1));
        assert_eq!(kits.newest_at, Some(THEN));
        let names: Vec<&str> = kits.gaps.iter().map(|gap| gap.name.as_str()).collect();
        assert_eq!(names, ["attic", "barn", "shed"]);
        assert_eq!(judge(Vec::new()), Kits::default());
    }
}
