//! What operations know besides their transaction. None of it changes by what an operation does: what is remembered
//! here of operations is remembered after their commit ([`Facts::committed`]).

use crate::budget::Meters;
use crate::change::Effects;
use crate::record::Secret;
use crate::seal::MasterKey;
use crate::settings::{Random, Settings};
use data_encoding::BASE32_NOPAD;
use schema::{HostId, JobId, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often something odd of a host is audited, at most.
const NOTED_EVERY_MS: u64 = 60_000;
/// Of so many hosts it is known when that was.
const MOST_NOTED: usize = 20_000;

/// Settings, keys, the random source, and what is remembered of what was committed.
pub(crate) struct Facts {
    pub(crate) settings: Settings,
    pub(crate) master: MasterKey,
    /// When this server started: nobody was heard before.
    pub(crate) started_at: Timestamp,
    random: Random,
    meters: Mutex<Meters>,
    /// When something odd of a host was audited last.
    noted: Mutex<HashMap<HostId, Timestamp>>,
    /// The newest job id that was made.
    last_job: Mutex<JobId>,
}

impl Facts {
    pub(crate) fn new(settings: Settings, master: MasterKey, started_at: Timestamp, random: Random) -> Self {
        Self {
            settings,
            master,
            started_at,
            random,
            meters: Mutex::default(),
            noted: Mutex::default(),
            last_job: Mutex::new(JobId([0; 16])),
        }
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// A secret to copy: `bytes` random bytes in lower-case base32.
    pub(crate) fn mint<const BYTES: usize>(&self, prefix: &str) -> Secret {
        let bytes = zeroize::Zeroizing::new(self.random::<BYTES>());
        Secret::new(format!("{prefix}{}", BASE32_NOPAD.encode(bytes.as_slice()).to_ascii_lowercase()))
    }

    pub(crate) fn last_job(&self) -> JobId {
        *lock(&self.last_job)
    }

    /// Job ids made from now on sort behind this one.
    pub(crate) fn job_ids_begin_after(&self, job: JobId) {
        let mut last = lock(&self.last_job);
        *last = job.max(*last);
    }

    pub(crate) fn meters(&self) -> MutexGuard<'_, Meters> {
        lock(&self.meters)
    }

    /// Whether something odd of this host has not been audited for a while, and there is room to remember it.
    pub(crate) fn may_note(&self, host: HostId, now: Timestamp) -> bool {
        let noted = lock(&self.noted);
        match noted.get(&host) {
            Some(at) => !is_recent(*at, now),
            None => noted.len() < MOST_NOTED || noted.values().any(|at| !is_recent(*at, now)),
        }
    }

    /// Whether something odd of this host has just been audited.
    pub(crate) fn is_noted(&self, host: HostId, now: Timestamp) -> bool {
        lock(&self.noted).get(&host).is_some_and(|at| is_recent(*at, now))
    }

    /// Remembers what was committed.
    pub(crate) fn committed(&self, effects: &Effects, now: Timestamp) {
        if let Some(job) = effects.last_job {
            self.job_ids_begin_after(job);
        }
        if !effects.noted.is_empty() {
            let mut noted = lock(&self.noted);
            if noted.len() + effects.noted.len() > MOST_NOTED {
                noted.retain(|_, at| is_recent(*at, now));
            }
            noted.extend(effects.noted.iter().map(|host| (*host, now)));
        }
        let mut meters = self.meters();
        effects.relinked.iter().for_each(|host| meters.forget(*host));
        meters.has_spent(&effects.spent);
        effects.refused.iter().for_each(|(host, over)| meters.count_refused(*host, *over, now));
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    now >= at && now.ms_since(at) < NOTED_EVERY_MS
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after every statement; a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
