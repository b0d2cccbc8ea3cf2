//! The meters of all hosts, in memory: what each has spent, and what was refused.

use schema::command::Over;
use schema::{HostId, Timestamp};
use std::collections::HashMap;

/// What of a host is counted against its budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// A durable report.
    Report,
    /// Bytes of what reports carry: logs, listings.
    Bytes,
    /// A backup of the agent's own.
    OwnJob,
    /// A line of the audit.
    AuditLine,
    /// A hello or figures.
    State,
    /// Progress and live lines.
    Live,
}

impl Spent {
    const COUNT: usize = 6;

    /// So much at once, and a minute.
    pub(super) const fn limit(self) -> (u64, u64) {
        match self {
            Self::Report => (100_000, 6_000),
            Self::Bytes => (256 << 20, 8 << 20),
            Self::OwnJob => (5_000, 10),
            Self::AuditLine => (60, 2),
            Self::State => (1_200, 120),
            Self::Live => (12_000, 1_200),
        }
    }

    const fn over(self) -> Over {
        match self {
            Self::Report | Self::State | Self::Live => Over::Messages,
            Self::Bytes => Over::Bytes,
            Self::OwnJob => Over::OwnJobs,
            Self::AuditLine => Over::Audit,
        }
    }
}

/// A leaky bucket. The server's clock may be set back: then it leaks from there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    level: u64,
    at: Timestamp,
}

impl Bucket {
    pub(super) fn take(&mut self, amount: u64, (most, a_minute): (u64, u64), now: Timestamp) -> bool {
        let leaked = now.ms_since(self.at).saturating_mul(a_minute) / 60_000;
        if leaked > 0 || now < self.at {
            self.level = self.level.saturating_sub(leaked);
            self.at = now;
        }
        let fits = self.level.saturating_add(amount) <= most;
        if fits {
            self.level += amount;
        }
        fits
    }
}

/// What an operation takes from a budget, once it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spending {
    pub(super) host: HostId,
    pub(super) what: Spent,
    pub(super) amount: u64,
    pub(super) at: Timestamp,
}

/// What was refused of a host since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverBudget {
    /// What, how often, and when last; in the order of [`Over::ALL`], only what was.
    pub refused: Vec<(Over, u64, Timestamp)>,
}

#[derive(Debug, Default)]
struct Meter {
    buckets: [Bucket; Spent::COUNT],
    refused: [(u64, Timestamp); Over::ALL.len()],
}

/// All hosts'. In memory: a restart begins anew.
#[derive(Debug, Default)]
pub(crate) struct Meters(HashMap<HostId, Meter>);

impl Meters {
    pub(crate) fn forget(&mut self, host: HostId) {
        self.0.remove(&host);
    }

    /// Whether so much still fits into a budget of a host; takes nothing.
    pub(super) fn has_room(
        &self,
        host: HostId,
        what: Spent,
        amount: u64,
        now: Timestamp,
    ) -> Result<(), Over> {
        let mut bucket = self.0.get(&host).map(|meter| meter.buckets[what as usize]).unwrap_or_default();
        if bucket.take(amount, what.limit(), now) { Ok(()) } else { Err(what.over()) }
    }

    /// What was refused of a host.
    pub(super) fn refused_of(&self, host: HostId) -> OverBudget {
        let Some(meter) = self.0.get(&host) else { return OverBudget::default() };
        let counted = Over::ALL.into_iter().zip(meter.refused).filter(|(_, (count, _))| *count > 0);
        OverBudget { refused: counted.map(|(over, (count, at))| (over, count, at)).collect() }
    }

    /// Takes from a budget of a host at once, for what is no operation.
    pub(crate) fn spend(
        &mut self,
        host: HostId,
        what: Spent,
        amount: u64,
        now: Timestamp,
    ) -> Result<(), Over> {
        let bucket = &mut self.0.entry(host).or_default().buckets[what as usize];
        if bucket.take(amount, what.limit(), now) { Ok(()) } else { Err(what.over()) }
    }

    /// Takes from budgets what was committed.
    pub(crate) fn has_spent(&mut self, spent: &[Spending]) {
        for Spending { host, what, amount, at } in spent {
            let bucket = &mut self.0.entry(*host).or_default().buckets[*what as usize];
            bucket.take(*amount, what.limit(), *at);
        }
    }

    /// Counts what was refused.
    pub(crate) fn count_refused(&mut self, host: HostId, over: Over, now: Timestamp) {
        let (count, last) = &mut self.0.entry(host).or_default().refused[over as usize];
        if *count == 0 {
            tracing::warn!(%host, what = over.as_str(), "{}; what is over is not taken", over.words());
        }
        *count = count.saturating_add(1);
        *last = now;
    }
}
