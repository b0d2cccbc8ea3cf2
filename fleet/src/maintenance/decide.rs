//! What is to be done to a repository, and why; and why not. Pure.

use super::calendar::Calendar;
use super::jitter::{jitter, phase};
use crate::record::{Every, GroupDrill, Hold, LastRun, Latest, Maintenance, Rule, SlotState, Window};
use crate::refused::Refused;
use crate::samples::one_of_each;
use crate::units::DAY_MS;
use schema::{HostId, JobKind, Timestamp};

/// The kinds that are decided, in the order in which they run when several are due.
pub const KINDS: [JobKind; 4] = [JobKind::Forget, JobKind::Prune, JobKind::Check, JobKind::Drill];
/// A job that failed is tried again so long after it was started…
pub const RETRY_AFTER_MS: u64 = 3_600_000;
/// …until so many in a row have failed; after that each due time gets one try.
pub const MAX_TRIES: u8 = 3;
/// A last job that is dated further ahead than this came from a clock that was wrong, and counts for nothing.
const TOLERATED_AHEAD_MS: u64 = DAY_MS;
/// Nobody tells when a lock goes away: what was seen of one holds jobs back for so long,
const LIVE_LOCK_HOLDS_MS: u64 = 3_600_000;
/// and for so long when it looked stale, for then it waits for a person.
const STALE_LOCK_HOLDS_MS: u64 = DAY_MS;

/// What is known of a host when its maintenance is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// Which: says when in their windows its jobs begin.
    pub id: HostId,
    /// When it was added, or was seen to use another repository: what has never run since is counted from here.
    pub since: Timestamp,
    /// Whether a job can be given to it.
    pub reach: Reach,
    /// What it has of what jobs need.
    pub means: Means,
    /// The lock of the last look.
    pub lock: Option<SeenLock>,
    /// A job of its own that has not ended and uses the repository.
    pub open: Option<JobKind>,
    /// Another host on the same repository, and what it does there.
    pub neighbour: Option<(String, JobKind)>,
    /// The source group of which nothing may go until somebody has looked, and why; in the order of [`KINDS`].
    pub held: [Option<(String, Hold)>; 3],
    /// The same of a forget that goes on with other groups.
    pub left_out: Option<(String, Hold)>,
    /// A source group with a keep rule whose snapshots from before it was made are to be listed first.
    pub unlisted: Option<String>,
    /// When the snapshots were last asked for.
    pub listing: Option<Timestamp>,
    /// When another host did last what may put off what this one does to the repository of both, in the order of
    /// [`KINDS`]: by one period at most, so that nobody relies on others for ever.
    pub elsewhere: [Option<Timestamp>; 3],
    /// The source groups that could be proven, and when each was drilled last.
    pub drills: Vec<GroupDrill>,
}

impl HostState {
    /// A host on which nothing stands in the way of anything: what tests and benches begin with.
    #[must_use]
    pub const fn ready(id: HostId, since: Timestamp) -> Self {
        Self {
            id,
            since,
            reach: Reach::Online,
            means: Means {
                has_repo_credentials: true,
                is_replaced: false,
                admin: SlotState::Usable,
                is_append_only: true,
                has_keep_rule: true,
                has_snapshot: true,
                are_backups_held: false,
            },
            lock: None,
            open: None,
            neighbour: None,
            held: [None, None, None],
            left_out: None,
            unlisted: None,
            listing: None,
            elsewhere: [None; 3],
            drills: Vec::new(),
        }
    }
}

/// What a host has of what jobs need, whoever asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// The everyday slot is set.
    pub has_repo_credentials: bool,
    /// Another repository was found in the place of the one that is known.
    pub is_replaced: bool,
    /// What the admin slot is good for.
    pub admin: SlotState,
    /// The storage refuses to delete on the everyday slot.
    pub is_append_only: bool,
    /// A source group has a keep rule.
    pub has_keep_rule: bool,
    /// There is a snapshot.
    pub has_snapshot: bool,
    /// Its backups wait until a person starts them; until then nothing of it goes, either.
    pub are_backups_held: bool,
}

/// Whether a job can be given to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The host is connected.
    Online,
    /// The host is not connected.
    Offline,
    /// It has no agent yet.
    NotEnrolled,
    /// Its agent speaks another wire version.
    WireUnsupported,
}

/// A lock in the repository, as the host saw it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenLock {
    /// Since when it is held.
    pub since: Timestamp,
    /// When it was seen.
    pub seen_at: Timestamp,
    /// Its process is gone, or it is too old.
    pub stale: bool,
}

/// What was decided of one kind of maintenance for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The kind of maintenance.
    pub kind: JobKind,
    /// What is to be done about it now.
    pub action: Action,
    /// When it is due, or was; `None` = never.
    pub due_at: Option<Timestamp>,
    /// Why that was decided.
    pub why: Why,
    /// A source group that it leaves out until somebody has looked, and why; the first of them.
    pub left_out: Option<(String, Hold)>,
    /// Of a drill: the source group whose turn it is.
    pub group: Option<String>,
}

/// What is done about one kind of maintenance of a host now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is due, and runs now.
    Run,
    /// Its time comes.
    Wait,
    /// It does not run, and nothing waits for it.
    Skip,
    /// It is due, and something is in the way.
    Hold,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Run, Self::Wait, Self::Skip, Self::Hold];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Wait => "wait",
            Self::Skip => "skip",
            Self::Hold => "hold",
        }
    }
}

/// Why a kind of maintenance is run, put off or left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Maintenance of this kind is switched off.
    Off,
    /// No everyday credentials.
    NoRepository,
    /// Another repository was found in the place of the one that is known.
    Replaced,
    /// Nothing has been backed up: there is nothing to do.
    NoSnapshot,
    /// Another machine took the host's place: nothing goes until a person has started its backups.
    BackupsHeld,
    /// No admin credentials.
    NoAdminCredentials,
    /// The admin credentials don't open.
    AdminUnreadable,
    /// The agent's own policy forbids admin credentials.
    AdminForbidden,
    /// The everyday credentials may not delete, and there are no others.
    AppendOnly,
    /// No source group says what to keep.
    NoKeepRule,
    /// A job of this kind is open, since then.
    InProgress(Timestamp),
    /// Not yet; `done_at` is when it was done last.
    NotDue {
        /// The latest job, when it ended well.
        done_at: Option<Timestamp>,
    },
    /// It is due, but only in its window.
    OutsideWindow,
    /// It failed so often in a row, and is tried again.
    Retry(u8),
    /// It failed so often in a row that it waits until it is due next.
    GaveUp(u8),
    /// The last one was put off, and is tried again.
    PutOff,
    /// The cron expression never fires again.
    Never,
    /// Its times are told in a time zone that is not known any more.
    NoTimeZone(String),
    /// It is due.
    Due,
    /// The host can't be given a job.
    Unreachable(Reach),
    /// The repository is locked.
    Locked(SeenLock),
    /// A job of the host uses the repository.
    OwnJob(JobKind),
    /// A job of another host uses the repository.
    Neighbour {
        /// Name of the other host.
        host: String,
        /// The kind of the other host's job.
        kind: JobKind,
    },
    /// Nothing of a source group may go until somebody has looked.
    Held {
        /// Name of the source group.
        group: String,
        /// Why nothing of it may go.
        why: Hold,
    },
    /// The snapshots are listed first, for what those of this source group hold that were there before.
    ListFirst(String),
    /// This one comes first.
    After(JobKind),
    /// A job would be refused.
    Refused(Refused),
}

impl Why {
    /// Its word in the API; of a job that would be refused the refusal's own.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoRepository => "no_repository",
            Self::Replaced => "replaced",
            Self::NoSnapshot => "no_snapshot",
            Self::BackupsHeld => Refused::BackupsHeld.code(),
            Self::NoAdminCredentials => "no_admin_credentials",
            Self::AdminUnreadable => "admin_unreadable",
            Self::AdminForbidden => "admin_forbidden",
            Self::AppendOnly => "append_only",
            Self::NoKeepRule => "no_keep_rule",
            Self::InProgress(_) => "in_progress",
            Self::NotDue { .. } => "not_due",
            Self::OutsideWindow => "outside_window",
            Self::Retry(_) => "retry",
            Self::GaveUp(_) => "gave_up",
            Self::PutOff => "put_off",
            Self::Never => "never",
            Self::NoTimeZone(_) => "no_time_zone",
            Self::Due => "due",
            Self::Unreachable(Reach::Online | Reach::Offline) => Refused::HostOffline.code(),
            Self::Unreachable(Reach::NotEnrolled) => Refused::HostNotEnrolled.code(),
            Self::Unreachable(Reach::WireUnsupported) => Refused::WireUnsupported.code(),
            Self::Locked(_) => "locked",
            Self::OwnJob(_) => "own_job",
            Self::Neighbour { .. } => "repo_busy",
            Self::Held { .. } => "held",
            Self::ListFirst(_) => "list_first",
            Self::After(_) => "after",
            Self::Refused(refused) => refused.code(),
        }
    }

    /// One of each kind, as of `at`: what the words are tried with.
    #[must_use]
    pub fn samples(at: Timestamp) -> Vec<Self> {
        let mut samples = one_of_each!(Self {
            Self::Off => Self::Off,
            Self::NoRepository => Self::NoRepository,
            Self::Replaced => Self::Replaced,
            Self::NoSnapshot => Self::NoSnapshot,
            Self::BackupsHeld => Self::BackupsHeld,
            Self::NoAdminCredentials => Self::NoAdminCredentials,
            Self::AdminUnreadable => Self::AdminUnreadable,
            Self::AdminForbidden => Self::AdminForbidden,
            Self::AppendOnly => Self::AppendOnly,
            Self::NoKeepRule => Self::NoKeepRule,
            Self::InProgress(_) => Self::InProgress(at),
            Self::NotDue { .. } => Self::NotDue { done_at: None },
            Self::OutsideWindow => Self::OutsideWindow,
            Self::Retry(_) => Self::Retry(1),
            Self::GaveUp(_) => Self::GaveUp(MAX_TRIES),
            Self::PutOff => Self::PutOff,
            Self::Never => Self::Never,
            Self::NoTimeZone(_) => Self::NoTimeZone("Moon/Base".to_owned()),
            Self::Due => Self::Due,
            Self::Unreachable(_) => Self::Unreachable(Reach::Offline),
            Self::Locked(_) => Self::Locked(SeenLock { since: at, seen_at: at, stale: false }),
            Self::OwnJob(_) => Self::OwnJob(JobKind::Backup),
            Self::Neighbour { .. } => Self::Neighbour { host: "attic".to_owned(), kind: JobKind::Prune },
            Self::Held { .. } => Self::Held { group: "etc".to_owned(), why: Hold::Loss },
            Self::ListFirst(_) => Self::ListFirst("etc".to_owned()),
            Self::After(_) => Self::After(JobKind::Forget),
            Self::Refused(_) => Self::Refused(Refused::QueueFull),
        });
        samples.extend([Reach::NotEnrolled, Reach::WireUnsupported].map(Self::Unreachable));
        samples
    }
}

/// When one kind is due.
struct Due {
    at: Timestamp,
    /// Before it: why it waits.
    why: Why,
}

impl Maintenance {
    /// The rule of a kind; `None` for kinds that are no maintenance.
    #[must_use]
    pub const fn rule(&self, kind: JobKind) -> Option<&Rule> {
        match kind {
            JobKind::Forget => Some(&self.forget),
            JobKind::Prune => Some(&self.prune),
            JobKind::Check => Some(&self.check),
            JobKind::Drill => Some(&self.drill),
            _ => None,
        }
    }
}

/// Decides all kinds. At most one runs, one exclusive job at a time: the one that is due for longest, so that one
/// that is due often keeps no other waiting for ever; of those due at the same time forget, then prune, then check.
#[must_use]
pub fn decide(now: Timestamp, settings: &Maintenance, latest: &Latest, host: &HostState) -> [Decision; 4] {
    let calendar = Calendar::of(&settings.timezone);
    let knows_zone = Calendar::knows(&settings.timezone);
    let rules = [&settings.forget, &settings.prune, &settings.check, &settings.drill];
    let mut place = 0;
    let mut decisions = [(); 4].map(|()| {
        let (kind, rule) = (KINDS[place], rules[place]);
        let clocks = match kind {
            JobKind::Drill => next_drill(now, &calendar, rule, host),
            _ => Clocks {
                last_run: latest.get(place).copied().flatten(),
                since: host.since,
                elsewhere: host.elsewhere.get(place).copied().flatten(),
                group: None,
            },
        };
        place += 1;
        let (action, due_at, why) = if knows_zone || !rule.enabled {
            decide_kind(now, &calendar, kind, rule, &clocks, host)
        } else {
            (Action::Hold, None, Why::NoTimeZone(settings.timezone.clone()))
        };
        let is_on = kind == JobKind::Forget && rule.enabled;
        let left_out = host.left_out.clone().filter(|_| is_on);
        Decision { kind, action, due_at, why, left_out, group: clocks.group }
    });
    let runs = decisions.iter().filter(|decision| decision.action == Action::Run);
    if let Some(first) = runs.min_by_key(|decision| decision.due_at).map(|decision| decision.kind) {
        for decision in decisions.iter_mut().filter(|decision| decision.kind != first) {
            if decision.action == Action::Run {
                (decision.action, decision.why) = (Action::Hold, Why::After(first));
            }
        }
    }
    decisions
}

/// The kinds that may run at this time of day: what a tick asks first.
pub(crate) fn open_kinds(now: Timestamp, settings: &Maintenance, host: HostId) -> [bool; 4] {
    let calendar = Calendar::of(&settings.timezone);
    KINDS.map(|kind| {
        let rule = settings.rule(kind).filter(|rule| rule.enabled);
        rule.is_some_and(|rule| calendar.open_from(Opening::of(rule, host).window, now) == now)
    })
}

/// Whether a kind is due, all else left aside: what it asks next.
pub(crate) fn is_due(
    now: Timestamp,
    settings: &Maintenance,
    kind: JobKind,
    last_run: Option<LastRun>,
    (host, since): (HostId, Timestamp),
) -> bool {
    let Some(rule) = settings.rule(kind) else { return false };
    let calendar = Calendar::of(&settings.timezone);
    let opening = Opening::of(rule, host);
    last_run.is_none_or(|last_run| !last_run.open)
        && due(now, &calendar, rule, opening, last_run, since).is_some_and(|due| due.at <= now)
}

/// The same of drills: whether one of the groups is due.
pub(crate) fn is_drill_due(
    now: Timestamp,
    settings: &Maintenance,
    drills: &[GroupDrill],
    host: HostId,
) -> bool {
    drills.iter().all(|drill| drill.last_run.is_none_or(|last_run| !last_run.open))
        && drills.iter().any(|drill| {
            let since = since_of(drill, &settings.drill, host);
            is_due(now, settings, JobKind::Drill, drill.last_run, (host, since))
        })
}

/// What says when a kind is due.
struct Clocks {
    last_run: Option<LastRun>,
    /// From when it is counted where there was none.
    since: Timestamp,
    elsewhere: Option<Timestamp>,
    /// Of a drill: whose turn it is.
    group: Option<String>,
}

/// The group that is due first for a drill; one whose drill is open comes before all.
fn next_drill(now: Timestamp, calendar: &Calendar<'_>, rule: &Rule, host: &HostState) -> Clocks {
    let opening = Opening::of(rule, host.id);
    let when = |drill: &&GroupDrill| {
        let is_open = drill.last_run.is_some_and(|last_run| last_run.open);
        let since = since_of(drill, rule, host.id);
        let due = due(now, calendar, rule, opening, drill.last_run, since).map(|due| due.at);
        (!is_open, due.unwrap_or(Timestamp(u64::MAX)))
    };
    match host.drills.iter().min_by_key(when) {
        Some(drill) => Clocks {
            last_run: drill.last_run,
            since: since_of(drill, rule, host.id),
            elsewhere: None,
            group: Some(drill.group.clone()),
        },
        None => Clocks { last_run: None, since: host.since, elsewhere: None, group: None },
    }
}

/// From when the first drill of a group is counted: up to one period before there was something to prove, by lot, so
/// that the groups of a fleet that was set up in one day are proven all over the period and not in one night.
fn since_of(drill: &GroupDrill, rule: &Rule, host: HostId) -> Timestamp {
    let period_ms = match rule.every {
        Every::Hours(hours) => u64::from(hours) * 3_600_000,
        Every::Days(days) => u64::from(days) * DAY_MS,
        // Its times are a person's.
        Every::Cron(_) => return drill.since,
    };
    let early = phase(host, &drill.group) % period_ms.max(1);
    Timestamp(drill.since.0.saturating_sub(early))
}

/// When the window of a rule opens for one host.
#[derive(Clone, Copy)]
struct Opening {
    window: Option<Window>,
    /// So many minutes after it opens for the first.
    jitter: u16,
}

impl Opening {
    fn of(rule: &Rule, host: HostId) -> Self {
        let jitter = rule.window.map_or(0, |window| jitter(host, window));
        Self { window: rule.window.map(|window| window.later_by(jitter)), jitter }
    }
}

fn decide_kind(
    now: Timestamp,
    calendar: &Calendar<'_>,
    kind: JobKind,
    rule: &Rule,
    clocks: &Clocks,
    host: &HostState,
) -> (Action, Option<Timestamp>, Why) {
    if !rule.enabled {
        return (Action::Skip, None, Why::Off);
    }
    let Clocks { last_run, since, elsewhere, .. } = *clocks;
    if let Some(last_run) = last_run.filter(|last_run| last_run.open) {
        return (Action::Wait, None, Why::InProgress(last_run.at));
    }
    if let Some(why) = missing(kind, &host.means) {
        return (Action::Skip, None, why);
    }
    let opening = Opening::of(rule, host.id);
    if kind == JobKind::Drill && clocks.group.is_none() {
        return (Action::Skip, None, Why::NoSnapshot);
    }
    let Some(due) = due(now, calendar, rule, opening, last_run, since) else {
        return (Action::Skip, None, Why::Never);
    };
    let due = put_off(
        due,
        now,
        calendar,
        rule,
        opening,
        (last_run.map_or(since, |last_run| last_run.at), elsewhere),
    );
    // Told before it is due: that is the time to look.
    let place = KINDS.iter().position(|known| *known == kind);
    let tried = host.listing.filter(|at| at.plus_ms(RETRY_AFTER_MS) > now);
    let list_first = host.unlisted.clone().filter(|_| kind == JobKind::Forget && tried.is_none());
    if list_first.is_none()
        && let Some((group, why)) = place.and_then(|place| host.held.get(place).cloned().flatten())
    {
        return (Action::Hold, Some(due.at), Why::Held { group, why });
    }
    let opens_at = calendar.open_from(opening.window, due.at.max(now));
    if opens_at > now {
        let why = if due.at <= now { Why::OutsideWindow } else { due.why };
        return (Action::Wait, Some(opens_at), why);
    }
    let due_at = Some(due.at);
    if host.reach != Reach::Online {
        return (Action::Skip, due_at, Why::Unreachable(host.reach));
    }
    let held = match (host.open, &host.neighbour) {
        (Some(kind), _) => Some(Why::OwnJob(kind)),
        (None, Some((host, kind))) => Some(Why::Neighbour { host: host.clone(), kind: *kind }),
        (None, None) => host.lock.filter(|lock| lock.holds(now)).map(Why::Locked),
    };
    let runs = list_first.map_or(Why::Due, Why::ListFirst);
    held.map_or((Action::Run, due_at, runs), |why| (Action::Hold, due_at, why))
}

/// What a kind needs and the host does not have.
pub(crate) fn missing(kind: JobKind, host: &Means) -> Option<Why> {
    if !host.has_repo_credentials {
        return Some(Why::NoRepository);
    }
    if host.is_replaced {
        return Some(Why::Replaced);
    }
    if host.are_backups_held && matches!(kind, JobKind::Forget | JobKind::Prune) {
        return Some(Why::BackupsHeld);
    }
    if kind == JobKind::Forget && !host.has_keep_rule {
        return Some(Why::NoKeepRule);
    }
    let needs_admin = kind == JobKind::Prune || (kind == JobKind::Forget && host.is_append_only);
    let lacks = match host.admin {
        SlotState::Empty if kind == JobKind::Forget => Why::AppendOnly,
        SlotState::Empty => Why::NoAdminCredentials,
        SlotState::Unreadable => Why::AdminUnreadable,
        SlotState::Forbidden => Why::AdminForbidden,
        SlotState::Usable => return (!host.has_snapshot).then_some(Why::NoSnapshot),
    };
    if needs_admin { Some(lacks) } else { (!host.has_snapshot).then_some(Why::NoSnapshot) }
}

/// When a kind is due by its rule and its latest job.
fn due(
    now: Timestamp,
    calendar: &Calendar<'_>,
    rule: &Rule,
    opening: Opening,
    last_run: Option<LastRun>,
    since: Timestamp,
) -> Option<Due> {
    let last = last_run.map_or(since, |last_run| last_run.at);
    if last > now.plus_ms(TOLERATED_AHEAD_MS) {
        return Some(Due { at: now, why: Why::Due });
    }
    let next = calendar.next(rule, opening.jitter, last)?;
    let failures = last_run.map_or(0, |last_run| last_run.failures);
    let retry_at = last.plus_ms(RETRY_AFTER_MS);
    if last_run.is_some_and(|last_run| last_run.put_off) {
        return Some(Due { at: retry_at.min(next), why: Why::PutOff });
    }
    Some(match failures {
        0 => Due { at: next, why: Why::NotDue { done_at: last_run.map(|last_run| last_run.at) } },
        n if n < MAX_TRIES && retry_at < next => Due { at: retry_at, why: Why::Retry(n) },
        n if n < MAX_TRIES => Due { at: next, why: Why::Retry(n) },
        n => Due { at: next, why: Why::GaveUp(n) },
    })
}

/// What another host has done since the own latest job puts the next one off: to when it would be due had that been
/// the own one, and by one period at most.
fn put_off(
    due: Due,
    now: Timestamp,
    calendar: &Calendar<'_>,
    rule: &Rule,
    opening: Opening,
    (last, elsewhere): (Timestamp, Option<Timestamp>),
) -> Due {
    let Some(done_at) = elsewhere.filter(|at| *at > last && *at <= now) else { return due };
    let next = |after| calendar.next(rule, opening.jitter, after);
    let at = next(done_at).zip(next(last).and_then(next)).map(|(next, most)| next.min(most));
    match at.filter(|at| *at > due.at) {
        Some(at) => Due { at, why: Why::NotDue { done_at: Some(done_at) } },
        None => due,
    }
}

impl SeenLock {
    /// Whether what was seen of it still counts.
    fn holds(&self, now: Timestamp) -> bool {
        let holds_for = if self.stale { STALE_LOCK_HOLDS_MS } else { LIVE_LOCK_HOLDS_MS };
        self.seen_at <= now && now.ms_since(self.seen_at) < holds_for
    }
}
