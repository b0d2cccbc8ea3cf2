//! The plan, and what is done of it while the server is away.

use super::{AtHand, Driver};
use crate::{
    clock, encoding, logger,
    offline_plan::{self, DueBackup},
    policy::here,
    random, tls,
};
use rumqttc::Publish;
use schema::{GroupKey, JobId, JobKind, JobSpec, Run, Timestamp, limits::MAX_AUTHORITIES};

/// When the machine's own policy puts backups off, it is looked at again.
const NOT_NOW_MS: u64 = 15 * 60_000;

impl Driver {
    pub(super) fn take_plan(&mut self, message: &Publish) {
        let plain = match self.open(message) {
            Ok(plain) => plain,
            Err(reason) => return self.fail(reason),
        };
        let plan = match schema::decode::<schema::Plan<'_>>(&plain) {
            Ok(plan) => plan,
            // One of before this program, perhaps: the answer to the hello of this one brings it in a form that it reads.
            Err(_) if !self.core.is_served() => return,
            Err(error) => return self.fail(format!("the plan can't be read: {error}")),
        };
        let heard = self.core.saved().incarnation;
        if plan.incarnation < heard {
            // Of an old copy of the server: it says nothing of whom to trust, either.
            return;
        }
        if self.plan.keep(&plain, heard, self.best_time()) {
            self.store_plan();
        }
        self.take_authorities(&plan);
    }

    fn store_plan(&mut self) {
        logger::info(format_args!("plan {} for when the server is away", self.plan.revision()));
        if let Err(error) = self.plan.store(&self.state) {
            // It counts all the same, until the agent ends.
            self.fail(format!("the plan can't be kept: {error}"));
        }
    }

    /// Trusts the authorities that a plan names, and says so. Those that can't be used, or be kept, are not.
    fn take_authorities(&mut self, plan: &schema::Plan<'_>) {
        let told: Vec<[u8; 32]> =
            plan.authorities.iter().take(MAX_AUTHORITIES).map(tls::fingerprint).collect();
        if told.is_empty() || told == tls::fingerprints(&self.identity.ca_pem) {
            return;
        }
        let mut ca_pem = String::new();
        for authority in plan.authorities.iter().take(MAX_AUTHORITIES) {
            ca_pem.push_str(&tls::to_pem(authority));
        }
        let tls = match tls::pinned(&ca_pem) {
            Ok(tls) => tls,
            Err(error) => return self.fail(format!("an authority of the plan can't be used: {error}")),
        };
        if let Err(error) = self.identity.trust(ca_pem, &self.state) {
            return self.fail(format!("the authorities of the plan can't be kept: {error}"));
        }
        self.tls = tls;
        logger::info(format_args!("the authorities of the server are others from now on"));
        self.say_hello();
    }

    /// The time by the server's clock as far as it is known, else by the machine's own.
    pub(super) fn best_time(&self) -> Timestamp {
        let now = clock::now();
        self.core.server_time(now).unwrap_or(now.wall)
    }

    /// How far this machine's clock is ahead of the server's; `None` = that is not known.
    pub(super) fn clock_ahead_ms(&self) -> Option<i64> {
        let now = clock::now();
        let server = self.core.server_time(now)?;
        let off = i64::try_from(now.wall.0.abs_diff(server.0)).unwrap_or(i64::MAX);
        Some(if now.wall < server { -off } else { off })
    }

    /// Takes what is due while the server is away, and plans the next look.
    pub(super) fn look_at_plan(&mut self) {
        let now = clock::now();
        let is_due = self.look_at <= now.mono && !self.core.is_connected();
        let Some(away_since) = self.away_since.filter(|_| is_due) else { return };
        // Whatever comes of it: not at once again.
        self.look_at = now.mono.plus_ms(offline_plan::AGAIN_MS);
        let plan = self.plan.clone();
        let Some(plan_now) = plan.get() else { return };
        let best = self.best_time();
        let outlook = offline_plan::look(
            &plan_now,
            (self.identity.host, plan.since),
            (Some(now.mono.ms_since(away_since)), u64::from(self.options.alone_after_secs) * 1_000),
            |group| self.core.saved().group_taken_at(GroupKey::of(group)),
            best,
        );
        if let Some(left) = outlook.left
            && self.told_left.as_ref() != Some(&left)
        {
            self.fail(left.clone());
            self.told_left = Some(left);
        }
        if outlook.due.is_empty() {
            if let Some(at) = outlook.look_at {
                // Not later than in an hour: the clock may be set meanwhile.
                let wait_ms = at.ms_since(best).clamp(1_000, 3_600_000);
                self.look_at = now.mono.plus_ms(wait_ms);
            }
            return;
        }
        if let Ok(policy) = self.options.policy.load()
            && let Some(why) = policy.not_now(JobKind::Backup, &here(now.wall))
        {
            logger::info(format_args!("{} backups are due and put off: {why}", outlook.due.len()));
            self.look_at = now.mono.plus_ms(NOT_NOW_MS);
            return;
        }
        for due in outlook.due {
            self.take_own(&plan_now, due);
        }
    }

    fn take_own(&mut self, plan: &schema::Plan<'_>, due: DueBackup) {
        let Some(group) = plan.groups.iter().find(|group| group.group == due.group) else { return };
        let mut bytes = [0; 10];
        if random::fill(&mut bytes).is_err() {
            return;
        }
        let job = JobId::new(self.best_time(), bytes);
        let run = Run {
            job,
            restic_host: plan.restic_host,
            deadline_secs: 0,
            spec: JobSpec::Backup(group),
            for_host: None,
        };
        let Some(run) = encoding::encode(&run) else { return };
        // Said once for an occurrence, not at each look.
        let is_told = self.told_due.as_ref() == Some(&due);
        if !is_told {
            logger::info(format_args!(
                "the server is away: backup of {}, due by {}, as job {job}",
                due.group, due.schedule
            ));
        }
        let key = GroupKey::of(&due.group);
        self.carry_out();
        self.at_hand = AtHand { run, due: Some(due.clone()), ..AtHand::default() };
        match self.core.handle_own(job, key, clock::now()) {
            Ok(true) => self.carry_out(),
            Ok(false) if is_told => {}
            Ok(false) => {
                logger::info(format_args!("it can't be taken now, and stays due"));
                self.told_due = Some(due);
            }
            Err(busy) => logger::error(format_args!("a backup was put off: {busy}")),
        }
        self.at_hand = AtHand::default();
    }
}
