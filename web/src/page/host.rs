//! One host: the strip of days, what runs, its groups, its last jobs.

use super::backup_charts::{BarChart, LAST_BACKUPS, charts};
use super::fact::Fact;
use super::head::HostHead;
use super::host_incident::HostIncident;
use super::job_line::JobLine;
use super::proof::ProofView;
use super::replacement::HeldView;
use super::repo_view::RepoView;
use super::run_button::RunButton;
use super::schedule::ScheduleLine;
use super::soundness::LookView;
use crate::app::Ctx;
use crate::chart::{LargeDay, counted, large};
use crate::form::Form;
use crate::format::{When, ago, bytes, count, day, duration, many, span};
use crate::problem::Problem;
use crate::template::View;
use crate::words::{Badge, by, job_title};
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::record::{Group, Hold, Job, JobFigures, JobState, Retention};
use fleet::{DAYS, Day, FleetState, HostRow, JobFilter, JobRequest, OverBudget, Page, Usage};
use schema::{Epoch, HostId, JobId, JobKind, Timestamp};
use serde::Serialize;

/// The one thing to do next on a host that is not in use yet.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SetupStep {
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    pub(crate) label: &'static str,
    pub(crate) href: String,
}

/// A job that has not ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunningView {
    pub(crate) href: String,
    pub(crate) badge: Badge,
    pub(crate) permille: u16,
    pub(crate) percent: Option<u16>,
    pub(crate) text: String,
}

/// A source group's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupRow {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) paths: String,
    pub(crate) good: Option<When>,
    pub(crate) size: Option<String>,
    pub(crate) keeps: String,
    /// A person has said that it is backed up by hand, and how often.
    pub(crate) by_hand: Option<String>,
    pub(crate) action: String,
    pub(crate) run: RunButton,
    /// What somebody has to look at.
    pub(crate) look: Option<LookView>,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostView {
    pub(crate) head: HostHead,
    /// Set while it needs somebody.
    pub(crate) incident: Option<HostIncident>,
    /// Set while another machine has its place and its backups are held.
    pub(crate) held: Option<HeldView>,
    pub(crate) next_step: Option<SetupStep>,
    pub(crate) days: Vec<LargeDay>,
    pub(crate) days_title: String,
    pub(crate) days_note: String,
    pub(crate) scale: Vec<String>,
    pub(crate) running: Vec<RunningView>,
    pub(crate) groups: Vec<GroupRow>,
    pub(crate) schedules: Vec<ScheduleLine>,
    /// Due backups that wait, in words.
    pub(crate) waits: Option<String>,
    pub(crate) jobs: Vec<JobLine>,
    pub(crate) charts: Vec<BarChart>,
    pub(crate) repo: RepoView,
    /// `None` = there is no source group yet.
    pub(crate) proof: Option<ProofView>,
    pub(crate) facts: Vec<Fact>,
}

impl View for HostView {
    const TEMPLATE: &'static str = "page/host.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[
        "host-presence",
        "host-incident",
        "host-held",
        "host-running",
        "host-groups",
        "host-schedules",
        "host-jobs",
        "host-repo",
        "host-proof",
    ];
}

#[cfg(test)]
impl crate::sample::Samples for HostView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        use super::soundness::LookAt;
        vec![Self {
            head: HostHead::sample(s),
            incident: Some(HostIncident::sample(s)),
            held: Some(HeldView::sample(s)),
            next_step: Some(SetupStep {
                title: "It has nothing to back up yet",
                text: "Name the paths to include.",
                label: "Add group",
                href: "/x".to_owned(),
            }),
            days: large(&[(Day::Ok, s.text("backed up")), (Day::Missed, s.text("missed"))]),
            days_title: s.text("All was backed up on 28 of the last 30 days"),
            days_note: s.text("times in UTC"),
            scale: vec![s.text("23 Nov"); 5],
            running: vec![RunningView {
                href: "/jobs/01".to_owned(),
                badge: Badge::new("running", s.text("Running")),
                permille: 420,
                percent: Some(42),
                text: s.text("Backup of media"),
            }],
            groups: vec![GroupRow {
                name: s.text("media"),
                href: "/x".to_owned(),
                paths: s.text("/srv/media, without *.tmp"),
                good: Some(s.when()),
                size: s.some("312 GiB"),
                keeps: s.text("14 daily, 8 weekly"),
                by_hand: s.some("By hand, at least every 30 days"),
                action: "/x".to_owned(),
                run: RunButton::sample(s),
                look: Some(LookView {
                    is_held: true,
                    is_whole_again: false,
                    title: s.text("More than half of media is gone"),
                    text: s.text("Until an operator accepts a backup, nothing of it is forgotten."),
                    at: LookAt { label: "View the backup", href: "/jobs/01".to_owned() },
                    accept: Some("/x?mark=01".to_owned()),
                    accept_label: "Accept…",
                    is_unusual: false,
                }),
            }],
            schedules: vec![ScheduleLine {
                href: "/x".to_owned(),
                words: s.text("every day at 02:30"),
                name: s.text("nightly"),
                cron: s.text("30 2 * * *"),
                groups: s.text("media"),
                next: Some(s.when()),
                retries: s.text("up to 3"),
                badge: Badge::new("unset", s.text("Disabled")),
                problem: s.some("can't run"),
            }],
            waits: s.some("A backup that was due 2 h ago waits"),
            jobs: ["warning", "running", "cancelled", "queued"].map(|state| JobLine::sample(s, state)).into(),
            charts: vec![BarChart {
                title: "Added by each backup",
                last: s.text("1.20 GiB"),
                path: "M0 0h1v1h-1z".to_owned(),
                label: s.text("Added by each backup, 3 backups"),
                from: s.text("2 Jan"),
                to: s.text("5 Jan"),
            }],
            repo: RepoView::sample(s),
            proof: Some(ProofView::sample(s)),
            facts: Fact::samples(s),
        }]
    }
}

/// `GET /hosts/{host}`.
pub(crate) async fn show(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, &host)?)).await
}

fn read(ctx: &Ctx, state: &FleetState, host: &str) -> Result<HostView, Problem> {
    let (head, row) = HostHead::read(ctx, state, host, "overview")?;
    let (id, now) = (row.host.id, ctx.now());
    let filter = JobFilter { host: Some(id), ..JobFilter::default() };
    let mut recent = state.jobs(&filter, &Page { limit: 30, cursor: None })?.items;
    // What somebody only looked at would push out what happened.
    recent.retain(|job| !job.what.is_look());
    recent.truncate(8);
    let backups = JobFilter { kind: Some(JobKind::Backup), ..filter };
    let backups = state.jobs(&backups, &Page { limit: LAST_BACKUPS, cursor: None })?.items;
    let groups = state.groups(id)?;
    let rows = groups.iter().map(|group| group_row(state, now, &row, group));
    let repo = RepoView::new(
        now,
        &state.repo(id)?,
        &state.repo_history(id)?,
        row.has_repo_credentials,
        &state.maintenance(id)?,
    );
    Ok(HostView {
        incident: HostIncident::read(state, &row)?,
        held: HeldView::read(state, &row)?,
        next_step: next_step(&row, &head.href),
        days: days(now, &row.days()),
        days_title: days_title(&row.days()),
        days_note: counted(
            &row.days()
                .iter()
                .copied()
                .filter(|d| !matches!(d, Day::Ok | Day::None | Day::Before))
                .collect::<Vec<_>>(),
        ),
        scale: [29, 22, 15, 8]
            .map(|back| day(days_before(now, back)))
            .into_iter()
            .chain(["today".to_owned()])
            .collect(),
        running: state.open_jobs(id)?.iter().map(|job| running(ctx, job)).collect(),
        groups: rows.collect::<Result<_, _>>()?,
        schedules: state.schedules(id)?.iter().map(|view| ScheduleLine::new(id, now, view)).collect(),
        waits: row.waits_since.map(|since| format!("A backup that was due {} waits", ago(now, since))),
        jobs: recent.iter().map(|job| JobLine::new(ctx, state, now, job)).collect::<Result<_, _>>()?,
        charts: charts(&backups),
        repo,
        proof: ProofView::read(state, &row, now)?,
        facts: facts(now, &row, state.usage(id)?, &ctx.app.fleet.over_budget(id)),
        head,
    })
}

/// `POST /hosts/{host}/acknowledge`: with the mark of the state that was shown; without one it is taken back.
pub(crate) async fn acknowledge(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let mark = Some(form.text("mark")).filter(|mark| !mark.is_empty());
    let host = crate::acknowledge::acknowledge(&ctx, &host, mark).await?;
    Ok(ctx.go(&if form.has("fleet") { "/".to_owned() } else { format!("/hosts/{}", host.id) }))
}

/// On how many days all was backed up, of those that count.
fn days_title(days: &[Day; DAYS]) -> String {
    let good = days.iter().filter(|day| matches!(day, Day::Ok | Day::Warning)).count();
    match days.iter().filter(|day| **day != Day::Before).count() {
        0 => "Not enrolled yet".to_owned(),
        DAYS => format!("All was backed up on {good} of the last {DAYS} days"),
        1 => format!("All was backed up on {good} of 1 day since it was enrolled"),
        counted => format!("All was backed up on {good} of the {counted} days since it was enrolled"),
    }
}

fn days_before(now: Timestamp, days: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub(days * 86_400_000))
}

fn days(now: Timestamp, days: &[Day; DAYS]) -> Vec<LargeDay> {
    let dated: Vec<(Day, String)> = days
        .iter()
        .zip((0..DAYS as u64).rev())
        .map(|(verdict, back)| (*verdict, day(days_before(now, back))))
        .collect();
    large(&dated)
}

fn next_step(row: &HostRow, href: &str) -> Option<SetupStep> {
    let step =
        |title, text, label, path: &str| SetupStep { title, text, label, href: format!("{href}{path}") };
    if row.presence.wire_problem.is_some() {
        None
    } else if row.host.enrolled_at.is_none() {
        Some(step(
            "No agent is enrolled for this host yet",
            "Run two commands on it, and it appears here by itself.",
            "Enrol it",
            "/enrol",
        ))
    } else if !row.has_repo_credentials {
        Some(step(
            "It has no repository yet",
            "Set where it backs up to. The credentials are tested when you save.",
            "Set credentials",
            "/repo#connection",
        ))
    } else if row.groups == 0 {
        Some(step("It has nothing to back up yet", "Name the paths to include.", "Add group", "/new-group"))
    } else {
        None
    }
}

fn running(ctx: &Ctx, job: &Job) -> RunningView {
    let progress = ctx.app.fleet.progress(job.id).filter(|_| job.state == JobState::Running);
    let title = job_title(&job.what);
    let text = match &progress {
        None => crate::words::job_result(job, None),
        Some(progress) => {
            let mut parts = vec![format!("{} %", progress.permille / 10)];
            parts.extend(progress.rate_bytes.map(|rate| format!("{}/s", bytes(rate))));
            parts.extend(progress.left_secs.map(|secs| format!("about {} left", duration(secs))));
            parts.join(", ")
        }
    };
    RunningView {
        href: format!("/jobs/{}", job.id),
        badge: Badge::new(crate::words::job_state(job.state), title),
        permille: progress.as_ref().map_or(0, |progress| progress.permille.min(1_000)),
        percent: progress.as_ref().map(|progress| progress.permille / 10),
        text,
    }
}

/// The last listing of the snapshots, when it did not bring all of them.
fn failed_listing(state: &FleetState, host: HostId) -> Result<Option<JobId>, Problem> {
    let filter = JobFilter { host: Some(host), kind: Some(JobKind::Snapshots), ..JobFilter::default() };
    let last = state.jobs(&filter, &Page { limit: 1, cursor: None })?.items.into_iter().next();
    Ok(last.filter(|job| job.state.is_ended() && job.state != JobState::Succeeded).map(|job| job.id))
}

fn group_row(state: &FleetState, now: Timestamp, row: &HostRow, group: &Group) -> Result<GroupRow, Problem> {
    let (id, href) = (row.host.id, format!("/hosts/{}/groups/{}", row.host.id, group.name));
    let good = state.last_good_backup(id, Some(&group.name))?;
    let request = JobRequest::Backup { group: group.name.clone() };
    let why = super::run_button::why_short(state, id, &request)?;
    let mut paths = group.includes.join(", ");
    if !group.excludes.is_empty() {
        paths = format!("{paths}, without {}", group.excludes.join(", "));
    }
    let known = state.soundness(id, &group.name)?;
    let failed = match known.hold() {
        Some(Hold::Unlisted) => failed_listing(state, id)?,
        _ => None,
    };
    Ok(GroupRow {
        look: LookView::new(&row.host, group, &known, failed),
        name: group.name.clone(),
        action: format!("{href}/backup"),
        href,
        paths: crate::format::cut(&paths, 160),
        size: good.as_ref().and_then(|job| match &job.figures {
            JobFigures::Backup(figures) => Some(bytes(figures.total_bytes)),
            _ => None,
        }),
        good: good.and_then(|job| job.finished_at).map(|at| When::ago(now, at)),
        keeps: keeps(&group.keep),
        by_hand: match group.by_hand_days {
            0 => None,
            1 => Some("By hand, at least every day".to_owned()),
            days => Some(format!("By hand, at least every {days} days")),
        },
        run: RunButton {
            label: "Back up".to_owned(),
            why,
            small: true,
            primary: false,
            name: Some(format!("Back up {}", group.name)),
        },
    })
}

/// The retention rules in a few words.
pub(crate) fn keeps(keep: &Retention) -> String {
    let rules = [
        (keep.last, "last"),
        (keep.hourly, "hourly"),
        (keep.daily, "daily"),
        (keep.weekly, "weekly"),
        (keep.monthly, "monthly"),
        (keep.yearly, "yearly"),
    ];
    let mut words: Vec<String> =
        rules.iter().filter(|rule| rule.0 > 0).map(|(number, word)| format!("{number} {word}")).collect();
    if !keep.within.is_empty() {
        words.push(format!("within {}", keep.within));
    }
    if words.is_empty() { "everything".to_owned() } else { words.join(", ") }
}

fn facts(now: Timestamp, row: &HostRow, usage: Usage, over: &OverBudget) -> Vec<Fact> {
    let mut facts = vec![Fact::new("Host id", row.host.id.to_string()).code()];
    if let Some(said) = &row.host.facts {
        let connected = row.presence.epoch > Epoch::ZERO;
        let old = if row.has_old_agent() { "older than this server: holdfast-agent update" } else { "" };
        facts.push(Fact::new("Agent", &said.agent_version).note(old));
        if connected {
            let restic = if said.restic_version.is_empty() { "not found" } else { &said.restic_version };
            facts.push(Fact::new("restic", restic));
        }
        facts.push(Fact::new("System", format!("{}, {}", said.os, said.arch)));
        facts.push(Fact::new("Hostname", &said.hostname));
        if connected {
            facts.push(Fact::new("Last connected", ago(now, said.at)));
        }
        if let Some(ahead_ms) = row.clock_ahead_ms() {
            let way = if ahead_ms < 0 { "behind" } else { "ahead" };
            let off = format!("{} {way}", span(ahead_ms.unsigned_abs()));
            facts.push(Fact::new("Clock", off).note("its timestamps are corrected by this"));
        }
        if said.state_free_bytes > 0 {
            facts.push(Fact::new("Agent disk", format!("{} free", bytes(said.state_free_bytes))));
        }
    }
    if let Some(at) = row.host.enrolled_at {
        facts.push(Fact::new("Enrolled", ago(now, at)));
    }
    facts.push(
        Fact::new("Added", format!("{} by {}", ago(now, row.host.created_at), by(&row.host.created_by)))
            .note(if row.host.restic_host == row.host.name {
                String::new()
            } else {
                format!("snapshots have the host name {}", row.host.restic_host)
            }),
    );
    if let (false, Some(at)) = (row.presence.online, row.presence.last_seen_at) {
        facts.push(Fact::new("Offline for", span(now.ms_since(at))));
    }
    facts.push(Fact::new("Stored here", format!("{}, {}", many(usage.jobs, "job"), bytes(usage.bytes))));
    for (over, times, at) in &over.refused {
        let times = if *times == 1 { "once".to_owned() } else { format!("{} times", count(*times)) };
        facts.push(
            Fact::new("Refused", format!("{times}: {}", over.words()))
                .note(format!("last {}", ago(now, *at))),
        );
    }
    facts
}
