//! How a host stands: one pure function. `Ok` only on proof.

use crate::access::Access;
use crate::judged::AsOf;
use crate::proof::{self, ProofClock};
use crate::record::{Ended, GroupSummary, Hold, Host, JobState, Summary, WireProblem};
use crate::roster::RosterEntry;
use crate::summary::MISSED_AFTER_MS;
use crate::units::DAY_MS;
use crate::view::{HostRow, HostStanding, Reason, Status};
use schema::{Class, Timestamp};

/// A good backup older than this is a warning, where no schedule says better.
pub(crate) const OLD_AFTER_MS: u64 = 2 * DAY_MS;
/// A host that is away for longer than this is offline; before, its presence says so and its status stays.
pub(crate) const OFFLINE_AFTER_MS: u64 = DAY_MS;

/// A status and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) status: Status,
    pub(crate) reason: Reason,
    /// See [`HostRow::protected`].
    pub(crate) protected: bool,
    /// The backup that it comes from, where one did not end well.
    pub(crate) from: Option<Ended>,
}

/// The worst that was found so far.
struct Worst {
    status: Status,
    reason: Reason,
    from: Option<Ended>,
}

impl Worst {
    const fn new(status: Status, reason: Reason) -> Self {
        Self { status, reason, from: None }
    }

    fn consider(&mut self, status: Status, reason: Reason) {
        if status < self.status {
            *self = Self::new(status, reason);
        }
    }

    /// Why there is no backup comes before what was wrong with the last one, and before how old that is; these still say
    /// how bad it is.
    fn because(&mut self, at_least: Status, reason: Reason) {
        *self = Self::new(self.status.min(at_least), reason);
    }

    /// What keeps a host from all work explains a backup that failed meanwhile, and not the other way round.
    fn explain(&mut self, status: Status, reason: Reason) {
        if status <= self.status {
            *self = Self::new(status, reason);
        }
    }
}

/// Judges a host.
pub(crate) fn judge(entry: &RosterEntry, now: &AsOf) -> Standing {
    let RosterEntry { host, presence, summary, storage: _, access, check_overdue_at, proof, judged: _ } =
        entry;
    let mut worst = judge_backups(host, summary, access, now);
    let backups = worst.status;
    let refused = access.refused(summary);
    let clock_off = presence.clock_off_since.zip(presence.clock_ahead_ms);
    let is_planned = summary.unplanned.as_ref().is_none_or(|(_, what)| !what.is_of_backups());
    let protected = backups == Status::Ok
        && is_planned
        && summary.has_repo_credentials
        && refused.is_none()
        && clock_off.is_none()
        && summary.damaged_at.is_none()
        && summary.replaced.is_none()
        && summary.groups.iter().all(|group| group.proof.failed.is_none());
    let newer = |at: &Timestamp| summary.last_good_at().is_none_or(|good| *at > good);
    if let Some((_, class)) = summary.test_failed.filter(|(at, _)| worst.status == Status::Ok && newer(at)) {
        // The next backup will tell; until then what was saved is safe.
        worst.reason = Reason::TestFailed { class };
    }
    let running = summary.running.as_ref();
    if let Some(job) = running.filter(|job| job.state >= JobState::Accepted && !job.state.is_ended()) {
        let (kind, is_dry_run) = (job.what.kind(), job.what.is_dry_run());
        if presence.online {
            let has_begun = job.state != JobState::Accepted;
            let since = job.created_at;
            worst.consider(Status::Running, Reason::Running { kind, is_dry_run, has_begun, since });
        } else if worst.status == Status::Ok {
            // Whether it still runs, nobody can say.
            worst.reason = Reason::WentAway { kind, is_dry_run };
        }
    }
    if let Some(since) = summary.waits_since.filter(|since| now.is_after(since.plus_ms(MISSED_AFTER_MS))) {
        worst.consider(Status::Missed, Reason::Missed { since });
    }
    if let Some(held) = &host.backups_held {
        worst.because(Status::Warning, Reason::BackupsHeld { since: held.since });
    }
    if host.enrolled_at.is_some() && !presence.online {
        let since = presence.changed_at.or(host.enrolled_at).unwrap_or_default();
        if now.is_after(since.plus_ms(OFFLINE_AFTER_MS)) {
            worst.consider(Status::Offline, Reason::Offline { since });
        }
    }
    if let Some(since) = presence.state_folder_since {
        worst.explain(Status::Failed, Reason::StateFolder { since });
    }
    if let Some(WireProblem { version, at }) = presence.wire_problem {
        worst.explain(Status::Failed, Reason::Wire { version, at });
    }
    if let Some(quarantine) = &presence.quarantine {
        worst.explain(Status::Failed, Reason::Quarantine { since: quarantine.since });
    }
    if let Some(since) = check_overdue_at.filter(|at| now.is_after(*at) && backups != Status::New) {
        worst.consider(Status::CheckOverdue, Reason::CheckOverdue { since });
    }
    if let Some((since, what)) = &summary.unplanned {
        worst.consider(Status::Warning, Reason::Unplanned { what: what.clone(), since: *since });
    }
    for group in summary.groups.iter().filter(|group| group.has_rule) {
        // What is not listed yet is listed by maintenance itself; a loss is told with the backups.
        if let Some((hold @ (Hold::Unsized | Hold::TooManyLacking), since)) = group.hold {
            worst.consider(Status::Warning, Reason::Held { group: group.name.clone(), hold, since });
        }
    }
    if let Some((since, ahead_ms)) = clock_off {
        worst.consider(Status::Warning, Reason::Clock { ahead_ms, since });
    }
    // Why the next backup can't happen comes before what was wrong with the last one.
    if backups != Status::New && worst.status >= Status::Stale {
        if !summary.has_repo_credentials {
            worst.because(Status::Warning, Reason::NoCredentials);
        } else if let Some((since, class)) = refused {
            worst.because(Status::Warning, Reason::CredentialsRefused { class, since });
        }
    }
    if let Some(since) = summary.replaced {
        worst.consider(Status::Failed, Reason::Replaced { since });
    }
    if let Some(since) = summary.damaged_at {
        worst.consider(Status::Failed, Reason::Damaged { since });
    }
    if backups != Status::New {
        consider_proof(&mut worst, summary, proof, now);
    }
    let Worst { status, reason, from } = worst;
    Standing { status, reason, protected, from }
}

/// What drills have found, and what they have not looked at for too long.
fn consider_proof(worst: &mut Worst, summary: &Summary, clock: &ProofClock, now: &AsOf) {
    let several = summary.groups.len() > 1;
    for (place, group) in summary.groups.iter().enumerate() {
        let (name, proof) = (several.then(|| group.name.clone()), &group.proof);
        if let Some(failed) = proof.failed {
            worst.consider(Status::Failed, Reason::ProofFailed { group: name, since: failed.at });
            continue;
        }
        let unproven_at = clock.unproven_at.get(place).copied().flatten().filter(|at| now.is_after(*at));
        if let Some(since) = unproven_at.filter(|_| !clock.is_off) {
            let proven_at = proof.proven.map(|proven| proven.at);
            worst.consider(Status::Unproven, Reason::Unproven { group: name, proven_at, since });
        }
    }
}

fn judge_backups(host: &Host, summary: &Summary, access: &Access, now: &AsOf) -> Worst {
    let groups = &summary.groups;
    let several = groups.len() > 1;
    let judged =
        groups.iter().map(|group| judge_group(group, several.then(|| group.name.clone()), access, now));
    let worst = judged.min_by_key(|judged| judged.status);
    match worst.filter(|_| groups.iter().any(|group| group.last.is_some())) {
        Some(worst) => worst,
        None if host.enrolled_at.is_none() => Worst::new(Status::New, Reason::NotEnrolled),
        None if !summary.has_repo_credentials => Worst::new(Status::New, Reason::NoRepository),
        None if groups.is_empty() => Worst::new(Status::New, Reason::NoGroup),
        None => Worst::new(Status::New, Reason::Never { group: None }),
    }
}

/// How the backups of a source group stand; `group` is its name, where there are several.
fn judge_group(summary: &GroupSummary, group: Option<String>, access: &Access, now: &AsOf) -> Worst {
    let Some(last) = &summary.last else {
        return Worst::new(Status::Warning, Reason::Never { group });
    };
    let class = last.class;
    let from_last = |status, reason| Worst { status, reason, from: Some(*last) };
    let good_at = summary.last_good.map(|(_, at)| at);
    let old_after_ms = summary.old_after_ms.unwrap_or(OLD_AFTER_MS);
    let is_old = || good_at.is_some_and(|at| now.is_after(at.plus_ms(old_after_ms)));
    if let Some(at) = access.mended_at(last).filter(|_| last.state == JobState::Failed) {
        let status = if is_old() { Status::Stale } else { Status::Warning };
        return from_last(status, Reason::Mended { group, class, at });
    }
    match last.state {
        JobState::Lost => return from_last(Status::Failed, Reason::Lost { group }),
        JobState::Failed => return from_last(Status::Failed, Reason::Failed { group, class }),
        // Of those, only what was broken off is told here.
        JobState::Cancelled if class == Some(Class::AgentRestarted) => {
            return from_last(Status::Failed, Reason::Failed { group, class });
        }
        JobState::Cancelled => return from_last(Status::Failed, Reason::Interrupted { group }),
        _ => {}
    }
    if let Some(since) = summary.loss_since {
        return Worst::new(Status::Warning, Reason::Loss { group, since });
    }
    let is_planned = summary.old_after_ms.is_some();
    if let Some(good_at) = good_at.filter(|_| is_old()) {
        let reason = if is_planned { Reason::Old { group, good_at } } else { Reason::NoSchedule { group } };
        return Worst::new(Status::Stale, reason);
    }
    // What it saved may be worth nothing: that is to be looked at before it is counted on.
    if let Some((Hold::Unusual(what), since)) = summary.hold {
        return Worst::new(Status::Warning, Reason::Unusual { group, what, since });
    }
    if last.state == JobState::Warning && !summary.is_accepted {
        return from_last(Status::Warning, Reason::Lacking { group, class });
    }
    if good_at.is_none() {
        return Worst::new(Status::Warning, Reason::NoSnapshot { group });
    }
    if !is_planned {
        return Worst::new(Status::Warning, Reason::NoSchedule { group });
    }
    Worst::new(Status::Ok, Reason::Ok)
}

/// The row of a host.
pub(crate) fn row(entry: &RosterEntry, now: Timestamp) -> HostRow {
    HostRow::new(entry.judged.at(now, |as_of| standing(entry, as_of)), now)
}

/// Puts together what is known of a host and how it stands.
fn standing(entry: &RosterEntry, now: &AsOf) -> HostStanding {
    let Standing { status, reason, protected, from } = judge(entry, now);
    let RosterEntry { host, presence, summary, storage, proof, .. } = entry.clone();
    HostStanding {
        proof: proof::of_host(&summary, &proof, now),
        proof_clock: proof,
        last_good_at: summary.last_good_at().map(|at| now.not_beyond(at)),
        groups: u32::try_from(summary.groups.len()).unwrap_or(u32::MAX),
        backup_target_ms: summary.groups.iter().map(|group| group.old_after_ms.unwrap_or(OLD_AFTER_MS)).min(),
        size_bytes: summary.size.map(|(bytes, _)| bytes),
        size_at: summary.size.map(|(_, at)| at),
        snapshots: summary.snapshots,
        // Most hosts have none: then no mark is written.
        acked: summary
            .acked
            .clone()
            .filter(|acked| acked.mark == reason.mark(status, summary.last_good_at())),
        from,
        open_jobs: summary.open_jobs,
        planned_at: summary.next_run_at,
        waits_since: summary.waits_since,
        has_repo_credentials: summary.has_repo_credentials,
        summary,
        host,
        storage,
        presence,
        status,
        reason,
        is_protected: protected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{
        Actor, BackupsHeld, GroupProof, Job, JobWhat, Machine, Presence, Proof, ProofFailure, Quarantine,
        Twin, Unplanned,
    };
    use proptest::option;
    use proptest::prelude::*;
    use schema::{CommandSeq, HostId, JobId, JobKind};
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp(1_000 * DAY_MS);
    const HOUR_MS: u64 = DAY_MS / 24;

    fn host() -> Host {
        Host {
            id: HostId([1; 16]),
            name: "attic".into(),
            restic_host: "attic".into(),
            labels: Vec::new(),
            created_at: Timestamp(0),
            created_by: Actor::Operator("ada".into()),
            enrolled_at: Some(Timestamp(0)),
            facts: None,
            backups_held: None,
        }
    }

    /// Of a host whose check is not overdue.
    fn judge(host: &Host, presence: &Presence, summary: &Summary, now: Timestamp) -> Standing {
        super::judge(&entry(host, presence, summary, None), &AsOf::new(now))
    }

    fn entry(
        host: &Host,
        presence: &Presence,
        summary: &Summary,
        overdue_at: Option<Timestamp>,
    ) -> RosterEntry {
        RosterEntry {
            host: host.clone().into(),
            presence: presence.clone().into(),
            summary: summary.clone().into(),
            storage: None,
            access: Access::default(),
            check_overdue_at: overdue_at,
            proof: Arc::default(),
            judged: Arc::default(),
        }
    }

    fn ago(hours: u64) -> Timestamp {
        Timestamp(NOW.0 - hours * 3_600_000)
    }

    fn group(
        name: &str,
        state: JobState,
        class: Option<Class>,
        hours: u64,
        good_hours: Option<u64>,
    ) -> GroupSummary {
        GroupSummary {
            name: name.into(),
            last: Some(Ended {
                job: JobId([1; 16]),
                state,
                class,
                refusal: None,
                agent_gone: None,
                at: ago(hours),
            }),
            last_good: good_hours.map(|hours| (JobId([1; 16]), ago(hours))),
            old_after_ms: Some(OLD_AFTER_MS),
            ..GroupSummary::default()
        }
    }

    fn known() -> Summary {
        Summary { has_repo_credentials: true, ..Summary::default() }
    }

    fn never(name: &str) -> GroupSummary {
        GroupSummary { name: name.into(), ..GroupSummary::default() }
    }

    fn online() -> Presence {
        Presence { online: true, ..Presence::default() }
    }

    fn away(hours: u64) -> Presence {
        Presence { changed_at: Some(ago(hours)), ..Presence::default() }
    }

    #[test]
    fn a_host_stands_as_the_table_says() {
        use JobState::{Failed, Lost, Succeeded, Warning};
        use Status as S;
        let good = || group("etc", Succeeded, None, 1, Some(1));
        let of = |group: &str| Some(group.to_owned());
        type Case = (&'static str, Presence, Vec<GroupSummary>, Status, Reason, bool);
        let table: Vec<Case> = vec![
            ("nothing yet", online(), vec![], S::New, Reason::NoGroup, false),
            (
                "a group, no backup",
                online(),
                vec![never("etc")],
                S::New,
                Reason::Never { group: None },
                false,
            ),
            ("good", online(), vec![good()], S::Ok, Reason::Ok, true),
            ("good, away for an hour", away(1), vec![good()], S::Ok, Reason::Ok, true),
            (
                "good, away for two days",
                away(49),
                vec![good()],
                S::Offline,
                Reason::Offline { since: ago(49) },
                true,
            ),
            (
                "two days old",
                online(),
                vec![group("etc", Succeeded, None, 49, Some(49))],
                S::Stale,
                Reason::Old { group: None, good_at: ago(49) },
                false,
            ),
            (
                "failed after a good one",
                online(),
                vec![group("etc", Failed, Some(Class::Auth), 1, Some(20))],
                S::Failed,
                Reason::Failed { group: None, class: Some(Class::Auth) },
                false,
            ),
            (
                "lost",
                online(),
                vec![group("etc", Lost, None, 1, None)],
                S::Failed,
                Reason::Lost { group: None },
                false,
            ),
            (
                "failed, and away: the failure counts",
                away(100),
                vec![group("etc", Failed, None, 1, None)],
                S::Failed,
                Reason::Failed { group: None, class: None },
                false,
            ),
            (
                "unreadable files",
                online(),
                vec![group("etc", Warning, Some(Class::SourceUnreadable), 1, Some(1))],
                S::Warning,
                Reason::Lacking { group: None, class: Some(Class::SourceUnreadable) },
                false,
            ),
            (
                "never a good one",
                online(),
                vec![group("etc", Warning, Some(Class::SourceEmpty), 1, None)],
                S::Warning,
                Reason::Lacking { group: None, class: Some(Class::SourceEmpty) },
                false,
            ),
            (
                "one of two never",
                online(),
                vec![good(), never("home")],
                S::Warning,
                Reason::Never { group: of("home") },
                false,
            ),
            (
                "the worst group counts",
                online(),
                vec![good(), group("home", Failed, Some(Class::Network), 1, Some(9))],
                S::Failed,
                Reason::Failed { group: of("home"), class: Some(Class::Network) },
                false,
            ),
        ];
        for (name, presence, groups, status, reason, protected) in table {
            let summary = Summary { groups, ..known() };
            let standing = judge(&host(), &presence, &summary, NOW);
            let told = (standing.status, standing.reason, standing.protected);
            assert_eq!(told, (status, reason, protected), "{name}");
        }
    }

    #[test]
    fn a_host_that_speaks_another_protocol_has_failed_whatever_else() {
        let mut presence = online();
        presence.wire_problem = Some(WireProblem { version: 9, at: NOW });
        let summary =
            Summary { groups: vec![group("etc", JobState::Succeeded, None, 1, Some(1))], ..known() };
        assert_eq!(judge(&host(), &presence, &summary, NOW).status, Status::Failed);
    }

    #[test]
    fn a_host_in_quarantine_has_failed_and_what_was_saved_is_safe() {
        let machine = Machine { installation: schema::InstallationId([1; 16]), boot_id: [2; 16] };
        let twin =
            Twin { hostname: "nas".into(), os: "Linux".into(), machine, peer: String::new(), seen_at: NOW };
        let quarantine = Some(Quarantine { since: NOW, twins: [twin.clone(), twin] });
        let summary =
            Summary { groups: vec![group("etc", JobState::Succeeded, None, 1, Some(1))], ..known() };
        let standing = judge(&host(), &Presence { quarantine, ..online() }, &summary, NOW);
        assert_eq!(standing.status, Status::Failed);
        assert_eq!(standing.reason, Reason::Quarantine { since: NOW });
        assert!(standing.protected);
    }

    #[test]
    fn a_full_disk_of_the_agent_is_told_though_a_job_seems_to_run() {
        let job = Job::new(JobId([2; 16]), host().id, JobWhat::Prune, Actor::System, ago(2), CommandSeq(1));
        let running = Some(Job { state: JobState::Running, ..job });
        let summary =
            Summary { running, groups: vec![group("etc", JobState::Succeeded, None, 1, Some(1))], ..known() };
        let presence = Presence { state_folder_since: Some(ago(1)), ..online() };
        let standing = judge(&host(), &presence, &summary, NOW);
        assert_eq!((standing.status, standing.protected), (Status::Failed, true));
        assert_eq!(standing.reason, Reason::StateFolder { since: ago(1) });
        // It is the reason for what failed meanwhile, too.
        let failed = group("etc", JobState::Failed, Some(Class::DiskFull), 1, Some(2));
        let summary = Summary { groups: vec![failed], ..known() };
        assert_eq!(judge(&host(), &presence, &summary, NOW).reason, Reason::StateFolder { since: ago(1) });
    }

    #[test]
    fn a_hold_that_only_a_person_ends_is_told() {
        for hold in Hold::ALL {
            for has_rule in [true, false] {
                let good = group("etc", JobState::Succeeded, None, 1, Some(1));
                let group = GroupSummary { hold: Some((hold, ago(9))), has_rule, ..good };
                let summary = Summary { groups: vec![group], ..known() };
                let standing = judge(&host(), &online(), &summary, NOW);
                // What is unusual may be worth nothing, and is told whether anything is forgotten or not.
                let is_unusual = matches!(hold, Hold::Unusual(_));
                let is_told = has_rule && matches!(hold, Hold::Unsized | Hold::TooManyLacking);
                let expected = if is_told || is_unusual { Status::Warning } else { Status::Ok };
                assert_eq!(
                    (standing.status, standing.protected),
                    (expected, !is_unusual),
                    "{hold:?} {has_rule}"
                );
            }
        }
    }

    #[test]
    fn a_schedule_says_how_old_a_good_backup_may_be() {
        let aged = |hours, old_after_hours: u64| {
            let good = group("etc", JobState::Succeeded, None, hours, Some(hours));
            let group = GroupSummary { old_after_ms: Some(old_after_hours * 3_600_000), ..good };
            let summary = Summary { groups: vec![group], ..known() };
            judge(&host(), &online(), &summary, NOW).status
        };
        assert_eq!(aged(6 * 24, 8 * 24), Status::Ok, "weekly");
        assert_eq!(aged(30, 25), Status::Stale, "hourly");
    }

    #[test]
    fn a_check_that_is_overdue_is_told_of_a_host_that_is_well_otherwise() {
        let judged = |good: Option<u64>, state, overdue_at| {
            let groups =
                good.map(|hours| group("etc", state, None, hours, Some(hours))).into_iter().collect();
            let entry = entry(&host(), &online(), &Summary { groups, ..known() }, overdue_at);
            super::judge(&entry, &AsOf::new(NOW))
        };
        let well = JobState::Succeeded;
        let standing = judged(Some(1), well, Some(ago(50)));
        assert_eq!((standing.status, standing.protected), (Status::CheckOverdue, true));
        assert_eq!(standing.reason, Reason::CheckOverdue { since: ago(50) });
        assert_eq!(judged(Some(1), well, Some(ago(0))).status, Status::Ok, "just due");
        assert_eq!(judged(Some(1), well, None).status, Status::Ok);
        assert_eq!(
            judged(Some(1), JobState::Failed, Some(ago(50))).status,
            Status::Failed,
            "the worst counts"
        );
        assert_eq!(judged(Some(60), well, Some(ago(50))).status, Status::Stale);
        assert_eq!(judged(None, well, Some(ago(50))).status, Status::New);
    }

    #[test]
    fn a_due_backup_that_waits_for_more_than_an_hour_is_missed() {
        let waits = |hours| {
            let groups = vec![group("etc", JobState::Succeeded, None, 20, Some(20))];
            let summary = Summary { groups, waits_since: Some(ago(hours)), ..known() };
            judge(&host(), &away(hours), &summary, NOW)
        };
        assert_eq!(waits(1).status, Status::Ok);
        let late = waits(3);
        assert_eq!((late.status, late.reason), (Status::Missed, Reason::Missed { since: ago(3) }));
    }

    #[test]
    fn held_backups_are_the_reason_and_their_age_says_how_bad_it_is() {
        let since = ago(30);
        let host = Host {
            backups_held: Some(BackupsHeld {
                since,
                hostname: "new".into(),
                former_hostname: "attic".into(),
            }),
            ..host()
        };
        let judged = |groups, waits_since, presence| {
            let summary = Summary { groups, waits_since, ..known() };
            let standing = judge(&host, &presence, &summary, NOW);
            (standing.status, standing.reason, standing.protected)
        };
        let held = || Reason::BackupsHeld { since };
        let good = |hours| vec![group("etc", JobState::Succeeded, None, hours, Some(hours))];
        let lost = vec![group("etc", JobState::Lost, None, 31, Some(40))];
        assert_eq!(judged(good(1), None, online()), (Status::Warning, held(), true), "never green");
        assert_eq!(judged(good(60), None, online()), (Status::Stale, held(), false));
        assert_eq!(judged(good(1), Some(ago(3)), online()), (Status::Missed, held(), true));
        assert_eq!(judged(lost, None, online()), (Status::Failed, held(), false));
        assert_eq!(judged(vec![], None, online()), (Status::Warning, held(), false), "no group yet");
        let away = judged(good(1), None, away(30));
        assert_eq!((away.0, away.1), (Status::Offline, Reason::Offline { since: ago(30) }));
    }

    #[test]
    fn a_repository_with_errors_is_a_failure_however_good_the_backups() {
        let good = group("etc", JobState::Succeeded, None, 1, Some(1));
        let summary = Summary { groups: vec![good], damaged_at: Some(NOW), ..known() };
        let standing = judge(&host(), &online(), &summary, NOW);
        assert_eq!((standing.status, standing.protected), (Status::Failed, false));
        assert_eq!(standing.reason, Reason::Damaged { since: NOW });
    }

    #[test]
    fn another_repository_in_the_place_of_the_known_one_is_a_failure_however_good_the_backups() {
        let good = group("etc", JobState::Succeeded, None, 1, Some(1));
        let summary = Summary { groups: vec![good], replaced: Some(NOW), ..known() };
        let standing = judge(&host(), &online(), &summary, NOW);
        assert_eq!((standing.status, standing.protected), (Status::Failed, false));
        assert_eq!(standing.reason, Reason::Replaced { since: NOW });
    }

    #[test]
    fn without_credentials_nothing_can_be_backed_up_any_more_and_what_was_saved_is_safe() {
        let good = group("etc", JobState::Succeeded, None, 1, Some(1));
        let summary = Summary { groups: vec![good], has_repo_credentials: false, ..known() };
        let standing = judge(&host(), &online(), &summary, NOW);
        assert_eq!((standing.status, standing.protected), (Status::Warning, false));
        assert_eq!(standing.reason, Reason::NoCredentials);
    }

    /// Each of these alone keeps a host whose backups are good and recent from being protected.
    #[test]
    fn protected_needs_a_schedule_credentials_that_are_not_refused_a_clock_and_each_group() {
        let good = || group("etc", JobState::Succeeded, None, 1, Some(1));
        type Change = fn(&mut GroupSummary, &mut Summary, &mut Presence, &mut Access);
        let untested = Reason::TestFailed { class: Some(Class::Network) };
        let refused = |class, hours| Reason::CredentialsRefused { class, since: ago(hours) };
        let unplanned = |what| Reason::Unplanned { what, since: ago(3) };
        let cron = || Unplanned::Cron { schedule: "nightly".to_owned() };
        let maintenance = || Unplanned::MaintenanceCron { text: "x".to_owned() };
        let table: Vec<(&str, Change, Status, Reason, bool)> = vec![
            ("all is well", |_, _, _, _| {}, Status::Ok, Reason::Ok, true),
            (
                "no schedule that is on, and no word of a person",
                |group, _, _, _| group.old_after_ms = None,
                Status::Warning,
                Reason::NoSchedule { group: None },
                false,
            ),
            (
                "and two days later that is as bad as any backup that is too old",
                |group, _, _, _| {
                    group.old_after_ms = None;
                    group.last_good = group.last_good.map(|(job, _)| (job, ago(49)));
                },
                Status::Stale,
                Reason::NoSchedule { group: None },
                false,
            ),
            (
                "a schedule that can't be kept",
                |_, summary, _, _| {
                    summary.unplanned = Some((ago(3), Unplanned::Cron { schedule: "nightly".to_owned() }));
                },
                Status::Warning,
                unplanned(cron()),
                false,
            ),
            (
                "maintenance that can't be kept is no backup",
                |_, summary, _, _| {
                    summary.unplanned = Some((ago(3), Unplanned::MaintenanceCron { text: "x".to_owned() }));
                },
                Status::Warning,
                unplanned(maintenance()),
                true,
            ),
            (
                "its credentials were refused at their last test",
                |_, summary, _, _| summary.test_failed = Some((ago(0), Some(Class::Auth))),
                Status::Warning,
                refused(Class::Auth, 0),
                false,
            ),
            (
                "a good backup has shown since that they are taken",
                |_, summary, _, _| summary.test_failed = Some((ago(2), Some(Class::Auth))),
                Status::Ok,
                Reason::Ok,
                true,
            ),
            (
                "that the storage was away says nothing of them",
                |_, summary, _, _| summary.test_failed = Some((ago(0), Some(Class::Network))),
                Status::Ok,
                untested,
                true,
            ),
            (
                "its agent does not take them",
                |_, _, _, access| access.not_taken_since = Some(ago(9)),
                Status::Warning,
                refused(Class::Policy, 9),
                false,
            ),
            (
                "its clock is off by hours",
                |_, _, presence, _| {
                    (presence.clock_off_since, presence.clock_ahead_ms) = (Some(ago(5)), Some(9_000_000));
                },
                Status::Warning,
                Reason::Clock { ahead_ms: 9_000_000, since: ago(5) },
                false,
            ),
        ];
        for (what, change, status, reason, protected) in table {
            let (mut one, mut presence, mut access) = (good(), online(), Access::default());
            let mut summary = known();
            change(&mut one, &mut summary, &mut presence, &mut access);
            summary.groups = vec![one];
            let entry = RosterEntry { access, ..entry(&host(), &presence, &summary, None) };
            let standing = super::judge(&entry, &AsOf::new(NOW));
            assert_eq!(
                (standing.status, &standing.reason, standing.protected),
                (status, &reason, protected),
                "{what}"
            );
            // Beside a group that is all right it is the same.
            let name = |reason: &Reason| match reason {
                Reason::NoSchedule { .. } => Reason::NoSchedule { group: Some("etc".to_owned()) },
                other => other.clone(),
            };
            summary.groups.insert(0, GroupSummary { name: "srv".to_owned(), ..good() });
            let entry = RosterEntry { summary: summary.into(), ..entry };
            let standing = super::judge(&entry, &AsOf::new(NOW));
            assert_eq!(
                (standing.status, standing.reason, standing.protected),
                (status, name(&reason), protected),
                "{what}"
            );
        }
    }

    #[test]
    fn what_is_mended_waits_for_a_good_backup() {
        let failed = |class, good_hours| group("etc", JobState::Failed, Some(class), 3, good_hours);
        let judged = |group: GroupSummary, access| {
            let summary = Summary { groups: vec![group], ..known() };
            let entry = RosterEntry { access, ..entry(&host(), &online(), &summary, None) };
            super::judge(&entry, &AsOf::new(NOW))
        };
        let reached = Access { reached_at: Some(ago(1)), ..Access::default() };
        let mended = Reason::Mended { group: None, class: Some(Class::Network), at: ago(1) };
        let standing = judged(failed(Class::Network, Some(20)), reached);
        assert_eq!(
            (standing.status, &standing.reason, standing.protected),
            (Status::Warning, &mended, false)
        );
        assert!(standing.from.is_some(), "it says of which backup");
        let standing = judged(failed(Class::Network, Some(60)), reached);
        assert_eq!(
            (standing.status, &standing.reason),
            (Status::Stale, &mended),
            "and the age of the last good one counts"
        );
        let before = Access { reached_at: Some(ago(4)), ..Access::default() };
        assert_eq!(judged(failed(Class::Network, Some(20)), before).status, Status::Failed);
        assert_eq!(judged(failed(Class::Hook, Some(20)), reached).status, Status::Failed);
        let good = group("etc", JobState::Succeeded, None, 0, Some(0));
        assert_eq!(judged(good, reached).status, Status::Ok, "until there is one");
    }

    #[test]
    fn a_state_has_a_mark_that_time_leaves_and_whatever_ends_it_changes() {
        let mark = |summary: &Summary, presence: &Presence, now| {
            let standing = judge(&host(), presence, summary, now);
            standing.reason.mark(standing.status, summary.last_good_at())
        };
        let of = |class, good_hours| {
            let failed = group("etc", JobState::Failed, Some(class), 1, Some(good_hours));
            mark(&Summary { groups: vec![failed], ..known() }, &online(), NOW)
        };
        assert_eq!(of(Class::Auth, 30), of(Class::Auth, 30), "the next one that fails alike");
        assert_ne!(of(Class::Auth, 30), of(Class::Network, 30));
        assert_ne!(of(Class::Auth, 30), of(Class::Auth, 20), "a good one lay between");
        let good = Summary { groups: vec![group("etc", JobState::Succeeded, None, 1, Some(1))], ..known() };
        let away = |since: u64, now| {
            let presence = Presence { changed_at: Some(Timestamp(since)), ..Presence::default() };
            mark(&good, &presence, Timestamp(now))
        };
        assert_eq!(away(0, 2 * DAY_MS), away(0, 9 * DAY_MS), "however long it lasts");
        assert_ne!(away(0, 9 * DAY_MS), away(DAY_MS, 9 * DAY_MS), "it was here between");
    }

    #[test]
    fn a_host_that_stands_as_before_has_the_same_reason_a_day_later() {
        let good = |hours| group("etc", JobState::Succeeded, None, hours, Some(hours));
        let failed = group("etc", JobState::Failed, Some(Class::Auth), 50, Some(90));
        let of = |groups, presence: &Presence, waits_since, overdue_at| {
            let summary = Summary { groups, waits_since, ..known() };
            let entry = entry(&host(), presence, &summary, overdue_at);
            [NOW, NOW.plus_ms(DAY_MS)].map(|now| super::judge(&entry, &AsOf::new(now)))
        };
        let yearly = GroupSummary { old_after_ms: Some(365 * DAY_MS), ..good(1) };
        let wrong = Presence { clock_off_since: Some(ago(3)), clock_ahead_ms: Some(-9_000_000), ..online() };
        for [one, other] in [
            of(vec![failed], &online(), None, None),
            of(vec![good(60)], &online(), None, None),
            of(vec![good(1)], &away(50), None, None),
            of(vec![good(1)], &online(), Some(ago(5)), None),
            of(vec![yearly.clone()], &online(), None, Some(ago(9))),
            of(vec![yearly], &wrong, None, None),
        ] {
            assert_eq!(one, other);
            assert_ne!(one.status, Status::Ok, "{one:?}");
        }
    }

    #[test]
    fn a_failed_credentials_test_after_the_last_good_backup_that_says_nothing_of_them_is_told() {
        let judged = |hours, class| {
            let good = group("etc", JobState::Succeeded, None, 5, Some(5));
            let test_failed = Some((ago(hours), class));
            let summary = Summary { groups: vec![good], test_failed, ..known() };
            let standing = judge(&host(), &online(), &summary, NOW);
            assert!(standing.protected);
            (standing.status, standing.reason)
        };
        let class = Some(Class::Network);
        assert_eq!(judged(1, class), (Status::Ok, Reason::TestFailed { class }));
        assert_eq!(judged(1, None), (Status::Ok, Reason::TestFailed { class: None }));
        assert_eq!(judged(6, class), (Status::Ok, Reason::Ok), "a good backup came after it");
    }

    #[test]
    fn a_job_of_a_host_that_went_away_is_not_said_to_run() {
        let job = Job::new(JobId([2; 16]), host().id, JobWhat::Prune, Actor::System, ago(2), CommandSeq(1));
        let job = Job { state: JobState::Running, ..job };
        let good = group("etc", JobState::Succeeded, None, 1, Some(1));
        let summary = Summary { groups: vec![good], running: Some(job), ..known() };
        let here = judge(&host(), &online(), &summary, NOW);
        let (kind, is_dry_run) = (JobKind::Prune, false);
        let reason = |has_begun| Reason::Running { kind, is_dry_run, has_begun, since: ago(2) };
        assert_eq!((here.status, here.reason), (Status::Running, reason(true)));
        let mut waiting = summary.clone();
        waiting.running.as_mut().unwrap().state = JobState::Accepted;
        assert_eq!(judge(&host(), &online(), &waiting, NOW).reason, reason(false));
        let gone = judge(&host(), &away(1), &summary, NOW);
        assert_eq!((gone.status, gone.reason), (Status::Ok, Reason::WentAway { kind, is_dry_run }));
    }

    #[test]
    fn a_host_that_was_never_enrolled_is_new_and_not_offline() {
        let mut host = host();
        host.enrolled_at = None;
        let standing = judge(&host, &away(1000), &Summary::default(), NOW);
        assert_eq!((standing.status, standing.reason), (Status::New, Reason::NotEnrolled));
    }

    fn hours() -> impl Strategy<Value = Timestamp> {
        (0..120_u64, 0..3_u64).prop_map(|(hours, ms)| Timestamp(hours * HOUR_MS + ms))
    }

    fn group_of_any_age() -> impl Strategy<Value = GroupSummary> {
        let states = [JobState::Succeeded, JobState::Warning, JobState::Failed, JobState::Lost];
        let last = (prop::sample::select(states.to_vec()), hours());
        let proof = (option::of(hours()), option::of(hours()), option::of(hours()));
        (option::of(last), option::of(hours()), option::of(0..50_u64), proof).prop_map(
            |(last, good, old_after, (since, proven, failed))| {
                let job = JobId([7; 16]);
                let (drawn, restored, changed_since, bytes, restore_ms) = (1, 1, 0, 1, 1);
                let figures = |at| Proof { job, at, drawn, restored, changed_since, bytes, restore_ms };
                GroupSummary {
                    name: "srv".into(),
                    last: last.map(|(state, at)| Ended {
                        job,
                        state,
                        class: None,
                        refusal: None,
                        agent_gone: None,
                        at,
                    }),
                    last_good: good.map(|at| (job, at)),
                    old_after_ms: old_after.map(|hours| hours * HOUR_MS),
                    proof: GroupProof {
                        since,
                        proven: proven.map(figures),
                        failed: failed.map(|at| ProofFailure { job, at }),
                        ..GroupProof::default()
                    },
                    ..GroupSummary::default()
                }
            },
        )
    }

    proptest! {
        /// Whenever it is looked at, also by a clock that was put back: what is kept of before is what would be judged
        /// now.
        #[test]
        fn a_host_stands_as_if_it_was_judged_each_time(
            groups in prop::collection::vec((group_of_any_age(), option::of(hours())), 0..3),
            (waits_since, changed_at, overdue_at) in (option::of(hours()), option::of(hours()), option::of(hours())),
            (online, is_off) in any::<(bool, bool)>(),
            looks in prop::collection::vec(hours(), 1..20),
        ) {
            let (groups, unproven_at) = groups.into_iter().unzip();
            let summary = Summary { groups, waits_since, has_repo_credentials: true, ..Summary::default() };
            let presence = Presence { online, changed_at, ..Presence::default() };
            let proof = Arc::new(ProofClock { is_off, unproven_at });
            let entry = RosterEntry { proof, ..entry(&host(), &presence, &summary, overdue_at) };
            for now in looks {
                let anew = RosterEntry { judged: Arc::default(), ..entry.clone() };
                prop_assert_eq!(row(&entry, now), row(&anew, now));
            }
        }
    }
}
