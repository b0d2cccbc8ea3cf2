//! What lists of hosts are made of, decoded and kept in memory as it was last committed: a list of ten thousand hosts
//! reads no row. The writer brings it up to date after each commit, before anybody is answered.

use crate::access::Access;
use crate::credentials::{readable_row_of, storage_of_row};
use crate::judged::Judged;
use crate::maintenance::{overdue_at, settings};
use crate::proof::ProofClock;
use crate::record::{Host, Presence, Summary};
use crate::refused::StoreError;
use crate::store::{HOSTS, Order, PRESENCES, REPOS, Reads, SUMMARIES, Span};
use crate::view::HostStanding;
use schema::{HostId, Timestamp};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock};

/// A host with all that a list shows of it; how it stands also depends on the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RosterEntry {
    pub(crate) host: Arc<Host>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) summary: Arc<Summary>,
    /// Which storage its repository is on, where others may be on it, too.
    pub(crate) storage: Option<Arc<str>>,
    /// What is known of its way there.
    pub(crate) access: Access,
    /// When its repository will not have been checked for too long.
    pub(crate) check_overdue_at: Option<Timestamp>,
    /// When its proofs will be too old.
    pub(crate) proof: Arc<ProofClock>,
    /// How it stood when it was looked at last.
    pub(crate) judged: Arc<Judged<HostStanding>>,
}

impl RosterEntry {
    /// Reads one host; `None` = it is not there.
    pub(crate) fn read(timezone: &str, reads: &impl Reads, id: HostId) -> Result<Option<Self>, StoreError> {
        let Some(host) = reads.get(&HOSTS, &id)? else { return Ok(None) };
        let presence = reads.get(&PRESENCES, &id)?.unwrap_or_default();
        let summary = reads.get(&SUMMARIES, &id)?.unwrap_or_default();
        let repo = reads.get(&REPOS, &id)?;
        let credentials = readable_row_of(reads, id)?;
        let access = Access::new(repo.as_ref(), credentials.as_ref(), host.facts.as_ref());
        let storage = credentials.as_ref().and_then(storage_of_row);
        let repo = repo.map(|repo| repo.as_shown());
        let since = repo.and_then(|repo| repo.check.map(|check| check.at).or(repo.repo_at));
        let settings = match settings::of(timezone, reads, id) {
            Ok(settings) => Some(settings),
            // The host says that they can't be read.
            Err(StoreError::Row { .. }) => None,
            Err(error) => return Err(error),
        };
        let check_overdue_at =
            since.zip(settings.as_ref()).and_then(|(since, settings)| overdue_at(since, settings));
        let proof = settings.map(|settings| ProofClock::new(&summary, &settings)).unwrap_or_default();
        let (host, presence, summary) = (Arc::new(host), Arc::new(presence), Arc::new(summary));
        let (proof, judged) = (Arc::new(proof), Arc::default());
        Ok(Some(Self { host, presence, summary, storage, access, check_overdue_at, proof, judged }))
    }
}

/// All hosts, oldest first. Readers share it; a commit that finds it in use works on a copy.
pub(crate) type Entries = Arc<Vec<RosterEntry>>;

/// Reads all hosts.
pub(crate) fn read_all(timezone: &str, reads: &impl Reads) -> Result<Entries, StoreError> {
    let mut entries = Vec::new();
    reads.walk(&HOSTS, &Span::ALL, Order::Ascending, |id, _| {
        entries.extend(RosterEntry::read(timezone, reads, id)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Arc::new(entries))
}

/// What a host is called; `None` = there is no such host.
pub(crate) fn name_of(entries: &[RosterEntry], host: HostId) -> Option<String> {
    let place = entries.binary_search_by_key(&host, |entry| entry.host.id).ok()?;
    Some(entries[place].host.name.clone())
}

/// The hosts as last committed; `None` = they have not been read yet, or could not be.
#[derive(Default)]
pub(crate) struct Roster(RwLock<Option<Entries>>);

impl Roster {
    /// The hosts of the last commit; `None` = not read yet.
    pub(crate) fn entries(&self) -> Option<Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads all of them anew: what is read from now on is another file.
    pub(crate) fn begin_anew(&self, timezone: &str, reads: &impl Reads) -> Result<(), StoreError> {
        let entries = read_all(timezone, reads)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(entries);
        Ok(())
    }

    /// Brings it up to date after a commit that touched these hosts.
    pub(crate) fn refresh(
        &self,
        timezone: &str,
        reads: &impl Reads,
        hosts: &BTreeSet<HostId>,
    ) -> Result<(), StoreError> {
        let read = || hosts.iter().map(|id| Ok((*id, RosterEntry::read(timezone, reads, *id)?))).collect();
        let read: Result<Vec<(HostId, Option<RosterEntry>)>, StoreError> = read();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // What can't be read is not kept as it was.
        let Some(mut entries) = known.take() else {
            *known = Some(read_all(timezone, reads)?);
            return Ok(());
        };
        let changed = Arc::make_mut(&mut entries);
        for (id, entry) in read? {
            match (changed.binary_search_by_key(&id, |entry| entry.host.id), entry) {
                (Ok(place), Some(entry)) => changed[place] = entry,
                (Ok(place), None) => drop(changed.remove(place)),
                (Err(place), Some(entry)) => changed.insert(place, entry),
                (Err(_), None) => {}
            }
        }
        *known = Some(entries);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Driver, Settings};
    use crate::{By, Fleet, Refused};
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Clone, Debug)]
    enum Step {
        Create,
        Rename(usize, u8),
        Delete(usize),
        Online(usize, bool),
        Summed(usize, u32),
        /// Written, and then given up.
        Refused(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Create),
            1 => (0..9usize, any::<u8>()).prop_map(|(host, name)| Step::Rename(host, name)),
            1 => (0..9usize).prop_map(Step::Delete),
            2 => (0..9usize, any::<bool>()).prop_map(|(host, online)| Step::Online(host, online)),
            2 => (0..9usize, any::<u32>()).prop_map(|(host, jobs)| Step::Summed(host, jobs)),
            1 => (0..9usize).prop_map(Step::Refused),
        ]
    }

    fn fleet() -> Fleet {
        let dice = AtomicU64::new(1);
        let driver = Driver {
            now: Arc::new(|| Timestamp(1_700_000_000_000)),
            random: Arc::new(move |bytes| {
                for byte in bytes {
                    *byte = (dice.fetch_add(0x9E37_79B9, Ordering::SeqCst) >> 16) as u8;
                }
            }),
        };
        let settings = Settings::for_tests();
        Fleet::in_memory(settings, driver).unwrap()
    }

    async fn take(fleet: &Fleet, hosts: &mut Vec<HostId>, step: Step, number: usize) {
        let of = |at: usize| hosts.get(at % hosts.len().max(1)).copied();
        match step {
            Step::Create => {
                let (host, _) =
                    fleet.create_host(&format!("host-{number}"), vec![], By::system()).await.unwrap();
                hosts.push(host.id);
            }
            Step::Rename(at, name) => {
                if let Some(host) = of(at) {
                    let _ = fleet.update_host(host, Some(format!("box-{name}")), None, By::system()).await;
                }
            }
            Step::Delete(at) => {
                if let Some(host) = of(at) {
                    fleet.delete_host(host, By::system()).await.unwrap();
                    hosts.retain(|known| *known != host);
                }
            }
            Step::Online(at, online) => {
                if let Some(host) = of(at) {
                    let presence = Presence { online, ..Presence::default() };
                    fleet
                        .write(By::system(), move |op| Ok(op.tx.put(&PRESENCES, &host, &presence)?))
                        .await
                        .unwrap();
                }
            }
            Step::Summed(at, open_jobs) => {
                if let Some(host) = of(at) {
                    let summary = Summary { open_jobs, ..Summary::default() };
                    fleet
                        .write(By::system(), move |op| Ok(op.tx.put(&SUMMARIES, &host, &summary)?))
                        .await
                        .unwrap();
                }
            }
            Step::Refused(at) => {
                if let Some(host) = of(at) {
                    let refused = fleet.write(By::system(), move |op| {
                        op.tx.remove(&HOSTS, &host)?;
                        Err::<(), _>(Refused::QueueFull)
                    });
                    refused.await.unwrap_err();
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever is committed, the list in memory is what is in the file, as soon as the writer has answered.
        #[test]
        fn the_list_is_always_what_was_committed(steps in proptest::collection::vec(step(), 1..30)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (fleet, mut hosts) = (fleet(), Vec::new());
                for (number, step) in steps.into_iter().enumerate() {
                    take(&fleet, &mut hosts, step, number).await;
                    let stored = read_all(&fleet.context().settings.timezone, &fleet.view().unwrap()).unwrap();
                    assert_eq!(fleet.context().roster.entries(), Some(stored));
                }
            });
        }
    }
}
