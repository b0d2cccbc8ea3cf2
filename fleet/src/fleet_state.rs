use crate::addresses::{self, AddressUse};
use crate::archive::{ArchiveKeyFacts, own_key};
use crate::authority::{self, AuthorityUse};
use crate::context::{Context, sha256};
use crate::damage::Damage;
use crate::dispatch::for_other;
use crate::groups::Owners;
use crate::incidents::link::{self, AckLink};
use crate::incidents::{self, HostSeen, ServerNeed};
use crate::kit::Kits;
use crate::maintenance::{self, Decision};
use crate::notices::{self, ChannelView, RouteView};
use crate::record::{
    ApiToken, AuditEntry, CredentialsFacts, Differences, EnrollToken, Feed, Flawed, FleetDay, Folder,
    FolderPlace, Found, GivenUp, Grace, Group, Host, Job, JobState, JobWhat, Listed, LogText, Maintenance,
    Operator, PendingRun, Period, Presence, RepoPoint, RepoState, ScheduleRow, Session, Sharer, SnapshotRow,
    Soundness, Usage, Viewer,
};
use crate::refused::{Refused, RunnerSetback, StoreError};
use crate::request::JobRequest;
use crate::reunion::{self, Reunion, SupersededHost};
use crate::roster::{Entries, RosterEntry};
use crate::schedule::UpcomingList;
use crate::store::{
    API_TOKENS, GIVEN_UP, GROUPS, HISTORY, HOST_JOBS, HOST_NAMES, HOSTS, JOBS, KIND_JOBS, OPERATORS, Order,
    PENDING, PENDING_WAITING, PRESENCES, REPOS, ReadView, Reads, SCHEDULES, SOUNDNESS, SOURCE_JOBS,
    SUMMARIES, Span, USAGES, VIEWERS,
};
use crate::summary::is_good;
use crate::view::{
    AuditFilter, CauseGroups, FleetCounts, HostFilter, HostRow, IncidentState, IncidentView, JobFilter, Page,
    Paged, ScheduleView,
};
use crate::{
    accounts, audit, credentials, dispatch, enroll, feed, find, folder, home_assistant, job, kit, listing,
    pending, repo, report, schedule, soundness, status,
};
use schema::{HostId, IncidentId, JobId, JobKind, PendingId, Slot, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The most jobs looked at for one page.
const MAX_LOOKED_AT: usize = 5_000;
/// Looks into folders that are searched for the last one into a certain folder.
const MAX_LOOKS: usize = 300;

/// A state of the fleet. All that is read by key is of one commit; rows of hosts come from memory, which each commit
/// brings up to date before anybody is answered: they may be of a commit that ended while this was opened.
pub struct FleetState {
    view: ReadView,
    entries: Entries,
    now: Timestamp,
    storage_bytes: u64,
    /// Whether the server can know how hosts stand now.
    is_known: bool,
    context: Arc<Context>,
}

impl FleetState {
    pub(crate) fn new(view: ReadView, entries: Entries, context: Arc<Context>, storage_bytes: u64) -> Self {
        let is_known = !context.only_reads();
        Self { view, entries, now: context.now(), storage_bytes, is_known, context }
    }

    fn row(&self, entry: &RosterEntry) -> HostRow {
        status::row(entry, self.now).if_known(self.is_known)
    }

    /// Whether the server can know how hosts stand now: one that only reads hears of nothing any more.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.is_known
    }

    /// Whether no host is here because none could be read.
    #[must_use]
    pub fn hosts_are_lost(&self) -> bool {
        let is_torn = |damage: &Arc<Damage>| damage.torn_tables().any(|table| table.table == HOSTS.name());
        self.entries.is_empty() && self.context.damage().is_some_and(is_torn)
    }

    /// Hosts, worst first, then by name.
    pub fn fleet(&self, filter: &HostFilter) -> Vec<HostRow> {
        let wanted = filter.wanted();
        worst_first(self.entries.iter().map(|entry| self.row(entry)).filter(wanted).collect())
    }

    /// The hosts that need somebody, by what they have in common: the incidents as they stand now.
    pub fn cause_groups(&self) -> Result<CauseGroups, StoreError> {
        incidents::groups(&self.view, &self.entries, self.now)
    }

    /// Incidents that stand like this (`None` = all that have opened), newest first, each with at most so many hosts. A
    /// page may be short although there are more: `next` tells.
    pub fn incidents(
        &self,
        state: Option<IncidentState>,
        page: &Page,
        most_hosts: usize,
    ) -> Result<Paged<IncidentView>, StoreError> {
        incidents::list(&self.view, &|host| self.host_row(host), state, page, most_hosts)
    }

    /// An incident with at most so many hosts; `None` = there is none of this id.
    pub fn incident(&self, id: IncidentId, most_hosts: usize) -> Result<Option<IncidentView>, StoreError> {
        incidents::one(&self.view, &|host| self.host_row(host), id, most_hosts)
    }

    /// The incident that the link of a message acknowledges, with at most so many hosts, as long as it does.
    pub fn incident_of_link(
        &self,
        id: IncidentId,
        key: &str,
        most_hosts: usize,
    ) -> Result<IncidentView, Refused> {
        let seen = self.incident(id, most_hosts)?.ok_or(Refused::IncidentNotFound)?;
        let link = AckLink::read(id, key, &self.context.facts.master);
        link::check(&self.view, link, &seen.incident, self.now)?;
        Ok(seen)
    }

    /// The ids of all incidents that are open.
    pub fn open_incidents(&self) -> Result<Vec<IncidentId>, StoreError> {
        incidents::open(&self.view)
    }

    /// How many incidents are open by severity, in the order of [`Severity::ALL`](crate::record::Severity::ALL), and how
    /// many of them somebody lets rest.
    pub fn incident_counts(&self) -> Result<([u32; 2], u32), StoreError> {
        incidents::standing_counts(&self.view)
    }

    /// All channels, by name, and what waits there.
    pub fn channels(&self) -> Result<Vec<ChannelView>, StoreError> {
        notices::channels(&self.view, self.now)
    }

    /// All routes of notices, by name.
    pub fn routes(&self) -> Result<Vec<RouteView>, StoreError> {
        notices::routes(&self.view)
    }

    /// How each host stands, as far as incidents go.
    pub(crate) fn hosts_seen(&self) -> Result<Vec<HostSeen>, StoreError> {
        incidents::hosts_seen(&self.view, &self.entries, self.now)
    }

    /// How long hosts with a label may have some causes before that is an incident, by label.
    pub fn graces(&self) -> Result<Vec<Grace>, StoreError> {
        incidents::grace::all(&self.view)
    }

    /// Whether a plan of the incidents would change anything now.
    pub(crate) fn incidents_change(
        &self,
        hosts: &[HostSeen],
        server: &[ServerNeed],
    ) -> Result<bool, StoreError> {
        Ok(incidents::look(&self.view, hosts, server, self.now)?.changes())
    }

    /// Whether a host is enrolled at all.
    #[must_use]
    pub fn has_enrolled(&self) -> bool {
        self.entries.iter().any(|entry| entry.host.enrolled_at.is_some())
    }

    /// How many hosts stand how.
    pub fn fleet_counts(&self) -> Result<FleetCounts, StoreError> {
        let (mut counts, groups) = (FleetCounts::default(), self.cause_groups()?);
        for entry in self.entries.iter() {
            let row = self.row(entry);
            counts.count(&row, groups.in_need(&row));
        }
        Ok(counts)
    }

    /// How the fleet stands now, in a few numbers.
    pub(crate) fn figures(&self) -> Result<FleetDay, StoreError> {
        let counts = self.fleet_counts()?;
        let FleetCounts { protected, proven, total: hosts, .. } = counts;
        Ok(FleetDay { at: self.now, hosts, protected, proven })
    }

    /// What happened from `from` until before `until`, and how the fleet stands now.
    pub fn period(&self, from: Timestamp, until: Timestamp) -> Result<Period, StoreError> {
        let rows: Vec<HostRow> = self.entries.iter().map(|entry| self.row(entry)).collect();
        let stands = (rows.as_slice(), &self.cause_groups()?, self.figures()?);
        report::period::read(&self.view, stands, (from, until))
    }

    /// The last restore of this server, and which hosts have come back since; `None` = there was none.
    pub fn reunion(&self) -> Result<Option<Reunion>, StoreError> {
        reunion::of(&self.view, &self.entries)
    }

    /// Hosts whose agents obey another server that was made of this one, oldest first.
    #[must_use]
    pub fn superseded(&self) -> Vec<SupersededHost> {
        reunion::superseded(&self.entries)
    }

    /// What can be seen of the key of archives; `None` = nobody has said for whom they are to be encrypted.
    pub fn archive_key(&self) -> Result<Option<ArchiveKeyFacts>, StoreError> {
        own_key::facts(&self.view)
    }

    /// What agents are given as this server's addresses, and who comes by what.
    pub fn addresses(&self) -> Result<Vec<AddressUse>, StoreError> {
        addresses::uses(&self.view, &self.entries)
    }

    /// The authorities that agents are told to trust, the present one first, and who does.
    pub fn authorities(&self) -> Result<Vec<AuthorityUse>, StoreError> {
        authority::uses(&self.view, &self.entries)
    }

    /// The host with this id; `None` = there is no such host. Fails when the store can't be read.
    pub fn host(&self, id: HostId) -> Result<Option<Host>, StoreError> {
        self.view.get(&HOSTS, &id)
    }

    /// All hosts, oldest first.
    pub fn hosts(&self) -> Result<Vec<Host>, StoreError> {
        Ok(self.view.rows(&HOSTS, &Span::ALL)?.into_iter().map(|(_, host)| host).collect())
    }

    /// The ids of all hosts, oldest first.
    pub fn host_ids(&self) -> Result<Vec<HostId>, StoreError> {
        self.view.keys(&HOSTS, &Span::ALL, usize::MAX)
    }

    /// The host of this name, in whatever letters.
    pub fn host_by_name(&self, name: &str) -> Result<Option<Host>, StoreError> {
        let id = self.view.get(&HOST_NAMES, &name.to_lowercase())?;
        id.map_or(Ok(None), |id| self.host(id))
    }

    /// A host as the fleet page shows it.
    #[must_use]
    pub fn host_row(&self, id: HostId) -> Option<HostRow> {
        let place = self.entries.binary_search_by_key(&id, |entry| entry.host.id).ok()?;
        Some(self.row(&self.entries[place]))
    }

    /// Whether a host is connected.
    pub fn presence(&self, host: HostId) -> Result<Presence, StoreError> {
        Ok(self.view.get(&PRESENCES, &host)?.unwrap_or_default())
    }

    /// A host's source groups, by name.
    pub fn groups(&self, host: HostId) -> Result<Vec<Group>, StoreError> {
        Ok(self.view.rows(&GROUPS, &Span::under(&host))?.into_iter().map(|(_, group)| group).collect())
    }

    /// A source group.
    pub fn group(&self, host: HostId, name: &str) -> Result<Option<Group>, StoreError> {
        self.view.get(&GROUPS, &(host, name.to_owned()))
    }

    /// The snapshots of a host that lack something of what their group names, by the first letters of their ids.
    pub fn lacking(&self, host: HostId) -> Result<BTreeMap<String, Flawed>, StoreError> {
        let known = self.view.rows(&SOUNDNESS, &Span::under(&host))?;
        let all = known.into_iter().flat_map(|(_, known)| known.lacking);
        Ok(all.map(|flawed| (listing::short(&flawed.snapshot).to_owned(), flawed)).collect())
    }

    /// How whole the snapshots of a source group are.
    pub fn soundness(&self, host: HostId, group: &str) -> Result<Soundness, StoreError> {
        soundness::of(&self.view, host, group)
    }

    /// A host's schedules, by name.
    pub fn schedules(&self, host: HostId) -> Result<Vec<ScheduleView>, StoreError> {
        let rows = schedule::of_host(&self.view, host)?;
        Ok(rows.into_iter().map(|row| self.schedule_view(host, row)).collect())
    }

    fn schedule_view(&self, host: HostId, row: ScheduleRow) -> ScheduleView {
        ScheduleView::new(host, row).if_begun(self.is_known)
    }

    /// The schedule of this name of a host; `None` = there is none. Fails when the store can't be read.
    pub fn schedule(&self, host: HostId, name: &str) -> Result<Option<ScheduleView>, StoreError> {
        Ok(self.view.get(&SCHEDULES, &(host, name.to_owned()))?.map(|row| self.schedule_view(host, row)))
    }

    /// Backups that wait, by the due time that they stand for, oldest first.
    pub fn pending(&self, page: &Page) -> Result<Paged<PendingRun>, StoreError> {
        let limit = page.limit.clamp(1, 500);
        let span = match page.cursor.as_deref().map(str::parse::<PendingId>) {
            Some(Err(_)) => return Ok(Paged { items: Vec::new(), next: None }),
            // One that has gone since: whoever pages on begins again.
            Some(Ok(id)) => {
                self.view.get(&PENDING, &id)?.map_or(Span::ALL, |run| Span::ALL.after(&(run.due_at.0, id)))
            }
            None => Span::ALL,
        };
        let mut paged = Paged { items: Vec::new(), next: None };
        for (_, id) in self.view.keys(&PENDING_WAITING, &span, limit + 1)? {
            if paged.items.len() == limit {
                paged.next = paged.items.last().map(|run: &PendingRun| run.id.to_string());
                break;
            }
            paged.items.extend(self.view.get(&PENDING, &id)?);
        }
        Ok(paged)
    }

    /// A backup that waits.
    pub fn pending_run(&self, id: PendingId) -> Result<Option<PendingRun>, StoreError> {
        Ok(self.view.get(&PENDING, &id)?.filter(|run| run.job.is_none()))
    }

    /// How many tries a run has in all, the first one included; `None` = its schedule or its group is gone.
    pub fn tries_of(&self, run: &PendingRun) -> Result<Option<u32>, StoreError> {
        Ok(pending::rule_of(&self.view, run)?.map(|rule| u32::from(rule.retry_max) + 1))
    }

    /// How many backups wait.
    pub fn pending_count(&self) -> Result<usize, StoreError> {
        Ok(self.view.keys(&PENDING_WAITING, &Span::ALL, usize::MAX)?.len())
    }

    /// Backups that were given up in the last days, newest first; at most `max`.
    pub fn given_up(&self, max: usize) -> Result<Vec<GivenUp>, StoreError> {
        let mut found = Vec::new();
        self.view.walk(&GIVEN_UP, &Span::ALL, Order::Descending, |_, given_up| {
            if found.len() == max {
                return Ok(ControlFlow::Break(()));
            }
            found.push(given_up);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// What may be shown of a credential slot; `None` = empty.
    pub fn credentials(&self, host: HostId, slot: Slot) -> Result<Option<CredentialsFacts>, StoreError> {
        credentials::facts_of(&self.context, &self.view, host, slot)
    }

    /// What the server does by itself to a host's repository.
    pub fn maintenance(&self, host: HostId) -> Result<Maintenance, StoreError> {
        maintenance::settings::of(&self.context.settings.timezone, &self.view, host)
    }

    /// The maintenance of a host and what is decided of it now; `None` = there is no such host.
    pub fn decisions(&self, host: HostId) -> Result<Option<(Maintenance, [Decision; 4])>, StoreError> {
        let Some(host) = self.host(host)? else { return Ok(None) };
        maintenance::decisions_of(&self.context, &self.view, &host, self.now).map(Some)
    }

    /// What is known of a host's repository: what it saw itself, and what counts of what others on it say.
    pub fn repo(&self, host: HostId) -> Result<RepoState, StoreError> {
        Ok(self.view.get(&REPOS, &host)?.unwrap_or_default().as_shown())
    }

    /// What the jobs and logs of a host take of the data file.
    pub fn usage(&self, host: HostId) -> Result<Usage, StoreError> {
        Ok(self.view.get(&USAGES, &host)?.unwrap_or_default())
    }

    /// The other hosts on the same repository, and those that only say so, by name.
    pub fn sharers(&self, host: HostId) -> Result<Vec<Sharer>, StoreError> {
        repo::partners::sharers(&self.view, host)
    }

    /// Its size over time, oldest first: hourly for a week, daily for two years.
    pub fn repo_history(&self, host: HostId) -> Result<Vec<RepoPoint>, StoreError> {
        // What lies ahead was written by a clock that was wrong.
        let until = Span::under(&host).through(&(host, self.now.0));
        Ok(self.view.rows(&HISTORY, &until)?.into_iter().map(|(_, point)| point).collect())
    }

    /// The newest whole listing of snapshots, and when it was made.
    pub fn snapshots(&self, host: HostId) -> Result<Option<(Timestamp, Vec<SnapshotRow>)>, StoreError> {
        listing::read(&self.view, host)
    }

    /// The snapshots of that listing and those that backups have made since, newest first.
    pub fn known_snapshots(&self, host: HostId) -> Result<Vec<SnapshotRow>, StoreError> {
        let mut rows = listing::known(&self.view, host)?;
        rows.sort_by(|one, other| (other.time, &one.id).cmp(&(one.time, &other.id)));
        Ok(rows)
    }

    /// What is known of that listing itself.
    pub fn listed(&self, host: HostId) -> Result<Option<Listed>, StoreError> {
        listing::listed(&self.view, host)
    }

    /// A part of the known snapshots, newest first: of those that are wanted.
    pub fn snapshots_part(
        &self,
        host: HostId,
        wanted: impl Fn(&SnapshotRow) -> bool,
        page: &Page,
    ) -> Result<Paged<SnapshotRow>, StoreError> {
        listing::part(&self.view, host, wanted, page)
    }

    /// Whose the snapshots of a host's repository are.
    pub fn owners(&self, host: &Host) -> Result<Owners, StoreError> {
        let mut owners = Owners::of_host(&host.restic_host, &self.groups(host.id)?);
        // Who only says that it uses the repository hides nothing.
        for sharer in self.sharers(host.id)?.into_iter().filter(|sharer| sharer.why.is_some()) {
            if let Some(other) = self.host(sharer.host)?.filter(|other| other.id != host.id) {
                owners.add_other(&other.restic_host, &self.groups(other.id)?);
            }
        }
        Ok(owners)
    }

    /// A folder of a snapshot or of the host itself, as it was listed last.
    pub fn folder(
        &self,
        host: HostId,
        place: FolderPlace<'_>,
        path: &str,
    ) -> Result<Option<Folder>, StoreError> {
        folder::read(&self.view, host, place, path)
    }

    /// What a search by name has found; `None` = it has not ended well, or that is not kept any more.
    pub fn found(&self, job: &Job) -> Result<Option<Found>, StoreError> {
        find::read(&self.view, job.host, job.id)
    }

    /// What a comparison of two snapshots has found; `None` = it has not ended well, or that is not kept any more.
    pub fn differences(&self, job: &Job) -> Result<Option<Differences>, StoreError> {
        find::read_changes(&self.view, job.host, job.id)
    }

    /// The open job that lists this folder.
    pub fn folder_job(
        &self,
        host: HostId,
        place: FolderPlace<'_>,
        path: &str,
    ) -> Result<Option<Job>, StoreError> {
        Ok(self.open_jobs(host)?.into_iter().find(|job| lists(job, place, path)))
    }

    /// The last job that was to list this folder and has ended, when it came to nothing; `None` also when many other
    /// looks of this kind came after it.
    pub fn folder_failure(
        &self,
        host: HostId,
        place: FolderPlace<'_>,
        path: &str,
    ) -> Result<Option<Job>, StoreError> {
        let kind = match place {
            FolderPlace::Host => JobKind::Browse,
            FolderPlace::Snapshot(_) => JobKind::Ls,
        };
        for id in job::newest(&self.view, host, kind, MAX_LOOKS)? {
            let looked = self.job(id)?.filter(|job| job.state.is_ended() && lists(job, place, path));
            if let Some(job) = looked {
                let has_result = matches!(job.state, JobState::Succeeded | JobState::Warning);
                return Ok(Some(job).filter(|_| !has_result));
            }
        }
        Ok(None)
    }

    /// The job with this id; `None` = there is none, or it was removed by age. Fails when the store can't be
    /// read.
    pub fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.view.get(&JOBS, &id)
    }

    /// Jobs, newest first. A page may be short although there are more: `next` tells.
    pub fn jobs(&self, filter: &JobFilter, page: &Page) -> Result<Paged<Job>, StoreError> {
        let cursor = match page.cursor.as_deref().map(str::parse::<JobId>) {
            Some(Err(_)) => return Ok(Paged { items: Vec::new(), next: None }),
            Some(Ok(cursor)) => Some(cursor),
            None => None,
        };
        let oldest = filter.since.map(|since| JobId::new(since, [0; 10]));
        let limit = page.limit.clamp(1, 500);
        let fits = |job: &Job| {
            filter.kind.is_none_or(|kind| job.what.kind() == kind)
                && filter.state.is_none_or(|state| job.state == state)
                // Whoever asks for a kind has named it.
                && (filter.looks || filter.kind.is_some() || !job.what.is_look())
        };
        let mut paged = Paged { items: Vec::new(), next: None };
        let (mut looked_at, mut last) = (0, None);
        // Few: what other hosts do for this one.
        let mut by_others = match filter.host {
            Some(host) => {
                let span = limited(Span::under(&host), cursor, oldest, |id| (host, id));
                let mut ids = Vec::new();
                self.view.walk(&SOURCE_JOBS, &span, Order::Descending, |(_, id), ()| {
                    ids.push(id);
                    let go_on = ids.len() < MAX_LOOKED_AT;
                    Ok(if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
                })?;
                if filter.kind.is_some() {
                    // A dry run counts as no job of its kind.
                    let mut counted = Vec::new();
                    for id in ids {
                        counted.extend(self.job(id)?.filter(|job| !job.what.is_dry_run()).map(|job| job.id));
                    }
                    ids = counted;
                }
                ids.reverse();
                ids
            }
            None => Vec::new(),
        };
        let mut take = |id: JobId, job: Option<Job>| {
            if paged.items.len() == limit || looked_at == MAX_LOOKED_AT {
                paged.next = last.map(|last: JobId| last.to_string());
                return Ok(ControlFlow::Break(()));
            }
            looked_at += 1;
            last = Some(id);
            paged.items.extend(job.filter(fits));
            Ok(ControlFlow::Continue(()))
        };
        let mut take_own = |id: JobId| {
            while let Some(by_other) = by_others.pop_if(|by_other| *by_other > id) {
                if take(by_other, self.job(by_other)?)?.is_break() {
                    by_others.clear();
                    return Ok(ControlFlow::Break(()));
                }
            }
            take(id, self.job(id)?)
        };
        match (filter.host, filter.kind) {
            (Some(host), Some(kind)) => {
                let kind = job::kind_key(kind);
                let span = limited(Span::under(&(host, kind)), cursor, oldest, |id| (host, kind, id));
                self.view.walk(&KIND_JOBS, &span, Order::Descending, |(_, _, id), ()| take_own(id))?;
            }
            (Some(host), None) => {
                let span = limited(Span::under(&host), cursor, oldest, |id| (host, id));
                self.view.walk(&HOST_JOBS, &span, Order::Descending, |(_, id), ()| take_own(id))?;
            }
            (None, _) => {
                let span = limited(Span::ALL, cursor, oldest, |id| id);
                self.view.walk(&JOBS, &span, Order::Descending, |id, job| take(id, Some(job)))?;
            }
        }
        // Those that are older than all of its own.
        while let Some(by_other) = by_others.pop() {
            if take(by_other, self.job(by_other)?)?.is_break() {
                break;
            }
        }
        Ok(paged)
    }

    /// Why a host can do nothing for another one now; `None` = it can be asked, and its own policy says.
    pub fn runner_setback(&self, host: &Host) -> Result<Option<RunnerSetback>, StoreError> {
        for_other::runner_setback(&self.view, host)
    }

    /// A host's jobs that have not ended, oldest first.
    pub fn open_jobs(&self, host: HostId) -> Result<Vec<Job>, StoreError> {
        job::open_jobs(&self.view, host, usize::MAX)
    }

    /// The newest job of a kind.
    pub fn latest_job(&self, host: HostId, kind: JobKind) -> Result<Option<Job>, StoreError> {
        job::latest(&self.view, host, kind)
    }

    /// The newest good backup of the same group that is no newer than this one, which may be the good one itself;
    /// `None` also when it lies too far back.
    pub fn good_backup_up_to(&self, job: &Job) -> Result<Option<Job>, StoreError> {
        if is_good(job) {
            return Ok(Some(job.clone()));
        }
        let JobWhat::Backup { .. } = job.what else { return Ok(None) };
        let kind = job::kind_key(JobKind::Backup);
        let span = Span::under(&(job.host, kind)).before(&(job.host, kind, job.id));
        let (mut looked_at, mut found) = (0, None);
        self.view.walk(&KIND_JOBS, &span, Order::Descending, |(_, _, id), ()| {
            looked_at += 1;
            found = self.job(id)?.filter(|older| older.what == job.what && is_good(older));
            let go_on = found.is_none() && looked_at < MAX_LOOKED_AT;
            Ok(if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    /// The last good backup, of one group or of any.
    pub fn last_good_backup(&self, host: HostId, group: Option<&str>) -> Result<Option<Job>, StoreError> {
        let summary = self.view.get(&SUMMARIES, &host)?.unwrap_or_default();
        let newest = summary
            .groups
            .iter()
            .filter(|known| group.is_none_or(|group| known.name == group))
            .filter_map(|known| known.last_good)
            .max_by_key(|(_, at)| *at);
        newest.map_or(Ok(None), |(id, _)| self.job(id))
    }

    /// A job's log as kept.
    pub fn job_log(&self, job: JobId) -> Result<LogText, StoreError> {
        let reported = self.job(job)?.map_or(0, |job| job.log_lines);
        job::log::read(&self.view, job, reported)
    }

    /// The newest enrolment token of a host.
    pub fn enroll_token(&self, host: HostId) -> Result<Option<EnrollToken>, StoreError> {
        enroll::newest_token(&self.view, host)
    }

    /// The audit, newest first. A page may be short although there are more: `next` tells.
    pub fn audit(&self, filter: &AuditFilter, page: &Page) -> Result<Paged<AuditEntry>, StoreError> {
        audit::list(&self.view, filter, page)
    }

    /// All accounts, by name.
    pub fn operators(&self) -> Result<Vec<Operator>, StoreError> {
        Ok(self.view.rows(&OPERATORS, &Span::ALL)?.into_iter().map(|(_, operator)| operator).collect())
    }

    /// The account of this name; `None` = there is none. Fails when the store can't be read.
    pub fn operator(&self, name: &str) -> Result<Option<Operator>, StoreError> {
        self.view.get(&OPERATORS, &name.to_owned())
    }

    /// The session of a cookie and its account, while it lives.
    pub fn session(&self, cookie: &str) -> Result<Option<(Session, Operator)>, StoreError> {
        accounts::session(&self.view, cookie, self.now)
    }

    /// All API tokens, oldest first.
    pub fn api_tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        let mut tokens: Vec<_> =
            self.view.rows(&API_TOKENS, &Span::ALL)?.into_iter().map(|(_, token)| token).collect();
        tokens.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(tokens)
    }

    /// The API token of this text.
    pub fn api_token(&self, secret: &str) -> Result<Option<ApiToken>, StoreError> {
        self.view.get(&API_TOKENS, &sha256(secret))
    }

    /// All MQTT viewer accounts, by name.
    pub fn viewers(&self) -> Result<Vec<Viewer>, StoreError> {
        Ok(self.view.rows(&VIEWERS, &Span::ALL)?.into_iter().map(|(_, viewer)| viewer).collect())
    }

    /// A slot with its secrets; `None` = empty, and no secrets when they don't open.
    pub(crate) fn opened(
        &self,
        host: HostId,
        slot: Slot,
    ) -> Result<Option<(CredentialsFacts, Option<credentials::OpenedSlot>)>, StoreError> {
        credentials::opened(&self.context, &self.view, host, slot)
    }

    /// How the break-glass kits that were made stand to the credentials of now.
    pub fn kits(&self) -> Result<Kits, StoreError> {
        kit::kits(&self.view)
    }

    /// Whether Home Assistant finds the hosts.
    pub fn home_assistant(&self) -> Result<bool, StoreError> {
        home_assistant::is_on(&self.view)
    }

    /// All feeds, in the order in which they were made.
    pub fn feeds(&self) -> Result<Vec<Feed>, StoreError> {
        feed::all(&self.view)
    }

    /// The feed that has this key in its address; `None` = there is none.
    pub fn feed_of_key(&self, key: &str) -> Result<Option<Feed>, StoreError> {
        feed::of_key(&self.view, key)
    }

    /// What the schedules of these hosts (`None` = of all) have due up to an instant, the first `most` of it; nothing where the
    /// server begins nothing any more.
    pub fn upcoming(
        &self,
        hosts: Option<&BTreeSet<HostId>>,
        until: Timestamp,
        most: usize,
    ) -> Result<UpcomingList, StoreError> {
        if !self.is_known {
            return Ok(UpcomingList::default());
        }
        schedule::upcoming(&self.view, hosts, until, most)
    }

    /// Why a request would be refused right now; `None` = it would be carried out.
    pub fn blocked(&self, host: HostId, request: &JobRequest) -> Result<Option<Refused>, StoreError> {
        dispatch::blocked((&self.context, self.now), &self.view, host, request)
    }

    /// Size of the data file; 0 when it is in memory.
    #[must_use]
    pub fn storage_bytes(&self) -> u64 {
        self.storage_bytes
    }

    /// The clock when the snapshot was taken.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

fn worst_first(mut rows: Vec<HostRow>) -> Vec<HostRow> {
    rows.sort_unstable_by(|a, b| a.status.cmp(&b.status).then_with(|| a.host.name.cmp(&b.host.name)));
    rows
}

fn limited<K: crate::store::TableKey>(
    span: Span,
    cursor: Option<JobId>,
    oldest: Option<JobId>,
    key: impl Fn(JobId) -> K,
) -> Span {
    let span = match cursor {
        Some(cursor) => span.before(&key(cursor)),
        None => span,
    };
    match oldest {
        Some(oldest) => span.from(&key(oldest)),
        None => span,
    }
}

fn lists(job: &Job, place: FolderPlace<'_>, path: &str) -> bool {
    match (&job.what, place) {
        (JobWhat::Browse { path: other }, FolderPlace::Host) => other == path,
        (JobWhat::Ls { snapshot, path: other }, FolderPlace::Snapshot(id)) => snapshot == id && other == path,
        _ => false,
    }
}
