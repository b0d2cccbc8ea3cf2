//! The server's own authority is replaced before its end, so that no agent notices.
//!
//! First a **next** authority is made beside the present one, long before it is needed. Agents are told of it with their
//! plans, say in their hello that they have it, and trust both; whoever names it in a handshake is shown its certificate. The
//! present one is **retired** when all enrolled hosts have the next one, and some time has passed for machines that are set
//! back to an older state, or when a person says so. As the server shows each agent what that agent trusts, nobody has to
//! be here at any certain time: a host that was away comes back by the present one, and is told of the next then.
//!
//! The data file is written first when an authority is retired, and last when one is made, so that it never names one that
//! there are no files of; what a server that was ended in between has left is put right at its next start ([`settle`]).

use crate::{
    clock,
    tasks::Beat,
    tls::{Tls, TlsError, ends_at},
};
use fleet::{By, Fleet, Refused};
use schema::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// A next authority is made when the present one has no longer than this.
const BEGINS_BEFORE_MS: u64 = 2 * 365 * DAY_MS;
/// Agents know the next one for at least so long before the present one is retired without being told to.
const OVERLAP_MS: u64 = 30 * DAY_MS;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// What is known of the authority that follows the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Next {
    /// Since when agents are told of it.
    since: Timestamp,
    /// Enrolled hosts that have not said that they trust it.
    lacking: usize,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RolloverStep {
    /// Nothing now.
    Wait,
    /// A next authority is made.
    MakeNext,
    /// The present one is retired.
    RetirePresent,
}

/// What time asks for: pure. Nobody is lost by it. `ends_at`: of the present authority.
fn decide(now: Timestamp, ends_at: Option<Timestamp>, next: Option<Next>) -> RolloverStep {
    match next {
        None if ends_at.is_some_and(|at| at.0 < now.plus_ms(BEGINS_BEFORE_MS).0) => RolloverStep::MakeNext,
        Some(Next { since, lacking: 0 }) if now.ms_since(since) >= OVERLAP_MS => RolloverStep::RetirePresent,
        _ => RolloverStep::Wait,
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum RolloverError {
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The fleet refuses.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// A next authority was made, and agents are told of it.
    Begun,
    /// The next one has taken the place of the present one.
    Done,
}

/// The authorities of a server that runs, one change of them at a time.
pub struct Rollover {
    fleet: Fleet,
    tls: Arc<Tls>,
    changing: Mutex<()>,
}

impl Rollover {
    /// Of a server with these certificates for its agents.
    #[must_use]
    pub fn new(fleet: Fleet, tls: Arc<Tls>) -> Self {
        Self { fleet, tls, changing: Mutex::default() }
    }

    /// Does the next step towards another authority: makes it, or has it take the place of the present one. Hosts that do
    /// not trust it are lost then; only who says so by `is_forced` may lose any.
    pub async fn rotate(&self, is_forced: bool, by: By) -> Result<Rotated, RolloverError> {
        let _changing = self.changing.lock().await;
        if self.tls.authorities().len() > 1 {
            self.retire(is_forced, by).await?;
            return Ok(Rotated::Done);
        }
        self.make_next(by).await?;
        Ok(Rotated::Begun)
    }

    async fn make_next(&self, by: By) -> Result<(), RolloverError> {
        // No file is made of which nothing can be written down.
        self.fleet.may_change()?;
        let next = self.tls.make_next(clock::now())?;
        self.fleet.trust_next_authority(next, by).await?;
        tracing::info!("agents are told of an authority that follows the present one");
        Ok(())
    }

    async fn retire(&self, is_forced: bool, by: By) -> Result<(), RolloverError> {
        self.fleet.retire_authority(is_forced, by).await?;
        self.tls.retire_present(clock::now())?;
        tracing::info!("the next authority has taken the place of the present one");
        Ok(())
    }

    /// Does what time asks for, for ever.
    pub(crate) async fn run(self: Arc<Self>, beat: Beat) {
        loop {
            beat.waits(tokio::time::sleep(LOOK_EVERY)).await;
            if self.fleet.only_reads() {
                continue;
            }
            let _changing = self.changing.lock().await;
            let done = match self.look() {
                Ok(RolloverStep::Wait) => Ok(()),
                Ok(RolloverStep::MakeNext) => self.make_next(By::system()).await,
                Ok(RolloverStep::RetirePresent) => self.retire(false, By::system()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                tracing::error!(%error, "the authority could not be replaced; it is tried again");
            }
        }
    }

    fn look(&self) -> Result<RolloverStep, RolloverError> {
        let uses = self.fleet.read().and_then(|state| state.authorities()).map_err(Refused::from)?;
        let next = uses.get(1).map(|it| Next { since: it.authority.since, lacking: it.lacking });
        let ends_at = uses.first().and_then(|it| ends_at(&it.authority.certificate));
        Ok(decide(self.fleet.now(), ends_at, next))
    }
}

/// Ends what a server that was ended in the middle of it has begun: an authority that is retired in the data file is
/// removed.
pub(crate) fn settle(fleet: &Fleet, tls: &Tls) -> anyhow::Result<()> {
    let trusted = fleet.read()?.authorities()?;
    let own = tls.authorities();
    let is_retired = own.len() > 1 && trusted.len() == 1 && trusted[0].authority.certificate == own[1];
    if is_retired || tls.is_half_retired() {
        tls.retire_present(clock::now())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    #[test]
    fn the_next_is_made_two_years_before_the_end_and_used_alone_when_all_have_had_it_for_a_while() {
        let ends = |days: u64| Some(NOW.plus_ms(days * DAY_MS));
        let next = |days: u64, lacking| Some(Next { since: Timestamp(NOW.0 - days * DAY_MS), lacking });
        assert_eq!(decide(NOW, ends(731), None), RolloverStep::Wait);
        assert_eq!(decide(NOW, ends(729), None), RolloverStep::MakeNext);
        assert_eq!(decide(NOW, None, None), RolloverStep::Wait, "an end that can't be read is none");
        assert_eq!(decide(NOW, ends(700), next(29, 0)), RolloverStep::Wait);
        assert_eq!(decide(NOW, ends(700), next(30, 0)), RolloverStep::RetirePresent);
        assert_eq!(
            decide(NOW, Some(Timestamp(0)), next(3000, 1)),
            RolloverStep::Wait,
            "nobody is lost by time alone"
        );
    }

    proptest! {
        /// Days pass; hosts come and learn of the next authority or stay away: at each change all that are enrolled have
        /// what they need, and in the end, when all have come, the old one is gone.
        #[test]
        fn however_hosts_come_and_go_time_alone_loses_nobody(
            days in prop::collection::vec(prop::collection::vec(any::<bool>(), 3), 1..200),
            left in 0..1_000u64,
        ) {
            let ends_at = Some(NOW.plus_ms(left * DAY_MS));
            let (mut next, mut knows, mut retired) = (None::<Timestamp>, [false; 3], false);
            for (day, here) in days.iter().enumerate() {
                let now = NOW.plus_ms(day as u64 * DAY_MS);
                let lacking = knows.iter().filter(|knows| !**knows).count();
                match decide(now, ends_at, next.map(|since| Next { since, lacking })) {
                    RolloverStep::Wait => {}
                    RolloverStep::MakeNext => {
                        assert!(next.is_none());
                        next = Some(now);
                    }
                    RolloverStep::RetirePresent => {
                        assert!(knows.iter().all(|knows| *knows) && now.ms_since(next.unwrap()) >= OVERLAP_MS);
                        retired = true;
                        break;
                    }
                }
                if next.is_some() {
                    knows.iter_mut().zip(here).for_each(|(knows, here)| *knows |= here);
                }
            }
            if let (Some(since), true) = (next, knows.iter().all(|knows| *knows)) {
                let later = since.plus_ms(OVERLAP_MS);
                assert!(retired || decide(later, ends_at, Some(Next { since, lacking: 0 })) == RolloverStep::RetirePresent);
            }
        }
    }
}
