//! Makes a fleet with a long past at once, for benchmarks: by the functions that write records in life, many in one
//! commit. Behind the feature `seed`, so that no server holds it.

use crate::fleet::Fleet;
use crate::hosts::change_summary;
use crate::job;
use crate::op::Op;
use crate::record::{
    Actor, AgentAbilities, BackupFigures, CheckSeen, DrillFigures, DrillPlan, Group, Host, HostFacts, Job,
    JobFigures, JobState, JobWhat, Presence, RepoPoint, RepoState, Retention, SizeSeen, SnapshotsSeen,
};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::schedule::sum_up;
use crate::store::{GROUPS, HISTORY, HOST_NAMES, HOSTS, PRESENCES, REPO_HOSTS, REPOS, Tx};
use crate::units::DAY_MS;
use schema::{Class, CommandSeq, Epoch, HostId, InstallationId, JobId, RepoId, Timestamp};

/// So many days lie behind the fleet.
const DAYS: u64 = 30;
/// Jobs in one commit.
const JOBS_AT_ONCE: u64 = 5_000;
/// Hosts in one commit.
const HOSTS_AT_ONCE: u64 = 1_000;
const GROUP: &str = "system";

/// How large a fleet.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// Number of hosts.
    pub hosts: u64,
    /// Jobs of all of them, over the last 30 days.
    pub jobs: u64,
}

impl Fleet {
    /// Fills an empty fleet. `told` hears how many jobs there are so far.
    pub async fn seed(&self, seed: Seed, told: impl Fn(u64)) -> Result<(), Refused> {
        let now = self.now();
        for first in (0..seed.hosts).step_by(HOSTS_AT_ONCE as usize) {
            let last = (first + HOSTS_AT_ONCE).min(seed.hosts);
            self.write(By::system(), move |op| {
                Ok((first..last).try_for_each(|number| add_host(op.tx, number, now))?)
            })
            .await?;
        }
        for first in (0..seed.jobs).step_by(JOBS_AT_ONCE as usize) {
            let last = (first + JOBS_AT_ONCE).min(seed.jobs);
            self.write(By::system(), move |op| {
                Ok((first..last).try_for_each(|number| add_job(op, &seed, number, now))?)
            })
            .await?;
            told(last);
        }
        Ok(())
    }
}

/// Spreads numbers evenly, always in the same way.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn bytes10(number: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn host_id(number: u64, now: Timestamp) -> HostId {
    HostId::new(Timestamp(now.0.saturating_sub(100 * DAY_MS)), bytes10(number))
}

fn add_host(tx: &mut Tx<'_>, number: u64, now: Timestamp) -> Result<(), StoreError> {
    let id = host_id(number, now);
    let before = |days: u64| Timestamp(now.0.saturating_sub(days * DAY_MS));
    let name = format!("host-{number:05}");
    let facts = HostFacts {
        at: before(1),
        agent_version: "0.1.0".to_owned(),
        restic_version: "0.18.0".to_owned(),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        arch: if number.is_multiple_of(3) { "aarch64" } else { "x86_64" }.to_owned(),
        hostname: name.clone(),
        installation: InstallationId(u128::from(number).to_be_bytes()),
        boot_id: u128::from(mixed(number)).to_be_bytes(),
        state_free_bytes: 1 << 33,
        abilities: Some(AgentAbilities { for_others: true, others_allowed: true, in_place_allowed: true }),
    };
    let host = Host {
        id,
        name: name.clone(),
        restic_host: name.clone(),
        labels: vec![format!("rack-{}", number % 16), format!("site-{}", number % 40)],
        created_at: before(100),
        created_by: Actor::System,
        enrolled_at: Some(before(100)),
        facts: Some(facts),
        backups_held: None,
    };
    // One of twenty has been away for days.
    let away = number % 20 == 7;
    let seen = if away { before(5) } else { now };
    let presence = Presence {
        online: !away,
        epoch: Epoch(7),
        changed_at: Some(before(5)),
        last_seen_at: Some(seen),
        ..Presence::default()
    };
    let group = Group {
        name: GROUP.to_owned(),
        includes: vec!["/etc".to_owned(), "/home".to_owned(), "/srv".to_owned()],
        keep: Retention { daily: 14, weekly: 8, monthly: 12, ..Retention::default() },
        retry_max: 12,
        by_hand_days: 2,
        ..Group::default()
    };
    let repo = RepoId(std::array::from_fn(|place| mixed(number).to_be_bytes()[place % 8]));
    let size = (1 << 30) + mixed(number) % (1 << 41);
    let state = RepoState {
        repo: Some(repo),
        repo_at: Some(before(20)),
        size: Some(SizeSeen { at: now, bytes: size, measured: true }),
        snapshots: Some(SnapshotsSeen { at: now, count: 34, newest_at: Some(now) }),
        check: (number % 20 != 3).then(|| CheckSeen { at: before(3), errors: 0, subset_pct: 5, by: None }),
        ..RepoState::default()
    };
    tx.put(&HOST_NAMES, &name, &id)?;
    tx.put(&HOSTS, &id, &host)?;
    tx.put(&PRESENCES, &id, &presence)?;
    tx.put(&GROUPS, &(id, GROUP.to_owned()), &group)?;
    tx.put(&REPOS, &id, &state)?;
    tx.put(&REPO_HOSTS, &(repo, id), &())?;
    for day in 0..DAYS {
        let at = before(DAYS - day);
        let point = RepoPoint { at, bytes: size / 2 + size / 2 * day / DAYS, snapshots: Some(day as u32) };
        tx.put(&HISTORY, &(id, at.0), &point)?;
    }
    change_summary(tx, id, |summary| {
        summary.take_group(None, &group);
        sum_up(summary, id, &[], std::slice::from_ref(&group));
        summary.take_repo(&state);
        summary.has_repo_credentials = true;
    })
}

/// Jobs come in the order of time, each host in its turn.
fn add_job(op: &mut Op<'_, '_>, seed: &Seed, number: u64, now: Timestamp) -> Result<(), StoreError> {
    let span = DAYS * DAY_MS;
    let begun = now.0.saturating_sub(span);
    let at = Timestamp(begun + (u128::from(span) * u128::from(number) / u128::from(seed.jobs.max(1))) as u64);
    let host = host_id(number % seed.hosts.max(1), now);
    let chance = mixed(number);
    let what = match chance % 12 {
        0 => JobWhat::Check { subset_pct: 5 },
        1 => JobWhat::Forget { groups: Vec::new(), held: Vec::new() },
        2 => JobWhat::Drill(DrillPlan {
            group: GROUP.to_owned(),
            seed: chance,
            files: 20,
            bytes: 512 << 20,
            secs: 900,
        }),
        _ => JobWhat::Backup { group: GROUP.to_owned() },
    };
    let (state, class) = match chance / 12 % 100 {
        0 | 1 => (JobState::Failed, Some(Class::Network)),
        2 => (JobState::Warning, Some(Class::SourceUnreadable)),
        _ => (JobState::Succeeded, None),
    };
    let figures = match what {
        JobWhat::Backup { .. } if state != JobState::Failed => JobFigures::Backup(BackupFigures {
            snapshot: format!("{chance:016x}").repeat(4),
            files_new: chance % 90,
            files_changed: chance % 400,
            files_unmodified: 180_000,
            total_files: 180_490,
            total_bytes: 400 << 30,
            added_bytes: chance % (8 << 30),
            added_packed_bytes: Some(chance % (4 << 30)),
            errors: u32::from(state == JobState::Warning),
            findings: Vec::new(),
            findings_left_out: 0,
        }),
        JobWhat::Drill(_) if state != JobState::Failed => JobFigures::Drill(DrillFigures {
            snapshot: format!("{chance:016x}").repeat(4),
            of_files: 180_490,
            of_bytes: 400 << 30,
            drawn: 20,
            equal: 20,
            bytes: 300 << 20,
            restore_ms: 20_000 + chance % 60_000,
            ..DrillFigures::default()
        }),
        JobWhat::Check { subset_pct } if state == JobState::Succeeded => {
            JobFigures::Check { errors: 0, subset_pct }
        }
        _ => JobFigures::None,
    };
    let message =
        if class.is_some() { "Fatal: dial tcp 192.0.2.7:8000: connect: no route to host" } else { "" };
    let actor = Actor::Schedule("nightly".to_owned());
    let job = Job {
        state,
        class,
        sent_at: Some(at),
        accepted_at: Some(at),
        started_at: Some(at),
        finished_at: Some(at.plus_ms(60_000 + chance % 1_800_000).min(now)),
        exit_code: Some(i32::from(class.is_some())),
        message: message.to_owned(),
        figures,
        ..Job::new(JobId::new(at, bytes10(number)), host, what, actor, at, CommandSeq(number))
    };
    job::create(op, &job)
}
