//! The form of a schedule.

use super::confirm::ConfirmView;
use super::problem_view::ProblemView;
use crate::api::dto::in_words;
use crate::app::Ctx;
use crate::form::Form;
use crate::format::{When, ago};
use crate::problem::Problem;
use crate::template::View;
use crate::words::Badge;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use cron::Cron;
use fleet::record::{Group, Host, Schedule};
use fleet::{FleetState, Refused, ScheduleView};
use schema::{HostId, Timestamp};
use serde::Serialize;

/// So many of the next times are shown.
const TIMES: usize = 5;

/// A source group to choose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScheduleGroup {
    pub(crate) name: String,
    pub(crate) chosen: bool,
}

/// One of the next times.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NextTime {
    /// By the wall clock of its time zone.
    pub(crate) local: String,
    pub(crate) when: When,
}

/// The form: all as typed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScheduleFormView {
    pub(crate) host_name: String,
    pub(crate) href: String,
    pub(crate) action: String,
    /// The stored name; `None` = new.
    pub(crate) old_name: Option<String>,
    pub(crate) name: String,
    pub(crate) cron: String,
    pub(crate) timezone: String,
    pub(crate) timezones: Vec<String>,
    pub(crate) groups: Vec<ScheduleGroup>,
    pub(crate) enabled: bool,
    pub(crate) retry_max: String,
    pub(crate) jitter_secs: String,
    pub(crate) words: Option<String>,
    pub(crate) times: Vec<NextTime>,
    pub(crate) delete: Option<ConfirmView>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for ScheduleFormView {
    const TEMPLATE: &'static str = "page/schedule.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for ScheduleFormView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            host_name: s.text("boat-pi"),
            href: "/hosts/01".to_owned(),
            action: "/x".to_owned(),
            old_name: s.some("nightly"),
            name: s.text("nightly"),
            cron: s.text("30 2 * * *"),
            timezone: s.text("Europe/Berlin"),
            timezones: vec![s.text("Europe/Berlin")],
            groups: vec![ScheduleGroup { name: s.text("media"), chosen: true }],
            enabled: true,
            retry_max: s.text("3"),
            jitter_secs: s.text("600"),
            words: s.some("every day at 02:30"),
            times: vec![NextTime { local: s.text("Tue 24 Nov 02:30"), when: s.when() }],
            delete: Some(ConfirmView::sample(s)),
            problem: Some(ProblemView::sample(s, "cron")),
        }]
    }
}

/// A schedule in the list of its host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScheduleLine {
    pub(crate) href: String,
    pub(crate) words: String,
    pub(crate) name: String,
    pub(crate) cron: String,
    pub(crate) groups: String,
    pub(crate) next: Option<When>,
    pub(crate) retries: String,
    pub(crate) badge: Badge,
    /// Why it never runs although it is on.
    pub(crate) problem: Option<String>,
}

impl ScheduleLine {
    pub(crate) fn new(host: HostId, now: Timestamp, view: &ScheduleView) -> Self {
        let schedule = &view.schedule;
        Self {
            href: format!("/hosts/{host}/schedules/{}", schedule.name),
            words: in_words(schedule),
            name: schedule.name.clone(),
            cron: format!("{} {}", schedule.cron, schedule.timezone),
            groups: schedule.groups.join(", "),
            next: view.next_run_at.map(|at| When::ago(now, at)),
            retries: match schedule.retry_max {
                0 => "none".to_owned(),
                most => format!("up to {most}"),
            },
            badge: match (schedule.enabled, &view.problem) {
                (true, Some(_)) => Badge::new("failed", "can't run"),
                (true, None) => Badge::new("ok", "on"),
                (false, _) => Badge::new("unset", "off"),
            },
            problem: view.problem.clone(),
        }
    }
}

fn view(
    host: &Host,
    groups: &[Group],
    schedule: &Schedule,
    old_name: Option<&str>,
    now: Timestamp,
) -> ScheduleFormView {
    let href = format!("/hosts/{}", host.id);
    let cron = Cron::parse(&schedule.cron, &schedule.timezone).ok();
    ScheduleFormView {
        host_name: host.name.clone(),
        action: match old_name {
            Some(name) => format!("{href}/schedules/{name}"),
            None => format!("{href}/schedules"),
        },
        href,
        old_name: old_name.map(str::to_owned),
        name: schedule.name.clone(),
        cron: schedule.cron.clone(),
        timezone: schedule.timezone.clone(),
        timezones: cron::timezones(),
        groups: groups
            .iter()
            .map(|group| ScheduleGroup {
                name: group.name.clone(),
                chosen: schedule.groups.contains(&group.name),
            })
            .collect(),
        enabled: schedule.enabled,
        retry_max: schedule.retry_max.to_string(),
        jitter_secs: schedule.jitter_secs.to_string(),
        words: cron.as_ref().map(Cron::in_words),
        times: cron
            .map(|cron| {
                let delay_ms = cron::delay_ms(host.id, &schedule.name, schedule.jitter_secs);
                next_times(&cron, now, delay_ms)
            })
            .unwrap_or_default(),
        delete: old_name.map(|name| confirm(host, name)),
        problem: None,
    }
}

/// The next times at which it runs, `delay_ms` after those that the expression names.
fn next_times(cron: &Cron, now: Timestamp, delay_ms: u64) -> Vec<NextTime> {
    let since = Timestamp(now.0.saturating_sub(delay_ms));
    let times = std::iter::successors(cron.next_after(since), |at| cron.next_after(*at));
    times
        .take(TIMES)
        .map(|at| at.plus_ms(delay_ms))
        .map(|at| NextTime { local: cron.local(at), when: When { text: ago(now, at), ..When::ago(now, at) } })
        .collect()
}

fn confirm(host: &Host, name: &str) -> ConfirmView {
    let href = format!("/hosts/{}/schedules/{name}", host.id);
    ConfirmView {
        title: format!("Delete the schedule {name} of {}?", host.name),
        body: vec![
            "Its source groups are not backed up by it any more. A backup that waits because of it is given up; one \
             that runs goes on."
                .to_owned(),
        ],
        action: format!("{href}/delete"),
        button: format!("Delete {name}"),
        dismiss: "Cancel".to_owned(),
        back: href,
    }
}

fn read_form(form: &Form) -> Result<Schedule, Problem> {
    let jitter_secs = match form.text("jitter_secs").as_str() {
        "" => 0,
        text => text.parse().map_err(|_| {
            Problem::invalid("jitter_secs", "A whole number of seconds is needed, at most 86400.")
        })?,
    };
    Ok(Schedule {
        name: form.text("name"),
        cron: form.text("cron"),
        timezone: form.text("timezone"),
        groups: form.all("groups"),
        enabled: form.has("enabled"),
        retry_max: form.number("retry_max")?,
        jitter_secs,
    })
}

/// What was typed, back into the form.
fn typed(form: &Form, blank: &FormPage<'_>, problem: Option<&Problem>) -> ScheduleFormView {
    let schedule = Schedule {
        name: form.text("name"),
        cron: form.text("cron"),
        timezone: form.text("timezone"),
        groups: form.all("groups"),
        enabled: form.has("enabled"),
        jitter_secs: form.text("jitter_secs").parse().unwrap_or(0),
        ..Schedule::default()
    };
    ScheduleFormView {
        retry_max: form.text("retry_max"),
        jitter_secs: form.text("jitter_secs"),
        problem: problem.map(ProblemView::from),
        ..view(blank.host, &blank.groups, &schedule, blank.old, blank.now)
    }
}

/// What a form is put on.
struct FormPage<'a> {
    host: &'a Host,
    groups: Vec<Group>,
    old: Option<&'a str>,
    now: Timestamp,
}

/// `GET /hosts/{host}/new-schedule`.
pub(crate) async fn new(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&offer(ctx, state, &host)?)).await
}

fn offer(ctx: &Ctx, state: &FleetState, host: &str) -> Result<ScheduleFormView, Problem> {
    let host = ctx.host(state, host)?;
    let groups = state.groups(host.id)?;
    let known = state.schedules(host.id)?;
    let offered = Schedule {
        name: if known.is_empty() { "nightly".to_owned() } else { String::new() },
        cron: "30 2 * * *".to_owned(),
        timezone: timezone_of(state, &known)?,
        groups: groups.iter().map(|group| group.name.clone()).collect(),
        enabled: true,
        retry_max: crate::api::dto::retry_max(),
        jitter_secs: 600,
    };
    Ok(view(&host, &groups, &offered, None, ctx.now()))
}

/// The time zone that is meant most likely: that of a schedule that is there already.
fn timezone_of(state: &FleetState, known: &[ScheduleView]) -> Result<String, Problem> {
    if let Some(view) = known.first() {
        return Ok(view.schedule.timezone.clone());
    }
    for host in state.host_ids()?.into_iter().rev().take(50) {
        if let Some(view) = state.schedules(host)?.pop() {
            return Ok(view.schedule.timezone);
        }
    }
    Ok("UTC".to_owned())
}

/// `POST /hosts/{host}/schedules`.
pub(crate) async fn create(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    save(&ctx, host, None, form).await
}

/// `GET /hosts/{host}/schedules/{schedule}`.
pub(crate) async fn edit(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let schedule = state.schedule(host.id, &schedule)?.ok_or(Refused::ScheduleNotFound)?.schedule;
        ctx.page(&view(&host, &state.groups(host.id)?, &schedule, Some(&schedule.name), ctx.now()))
    })
    .await
}

/// `POST /hosts/{host}/schedules/{schedule}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    save(&ctx, host, Some(schedule), form).await
}

/// Saves, or only shows the next times when that button was pressed.
async fn save(ctx: &Ctx, host: Host, old: Option<String>, form: Form) -> Result<Response<Body>, Problem> {
    let read = read_form(&form);
    if form.has("preview") {
        let problem = read.and_then(|schedule| check_times(&schedule)).err();
        return show_again(ctx, host, old, form, problem).await;
    }
    let saved = match read {
        Ok(schedule) => ctx
            .app
            .fleet
            .put_schedule(host.id, old.as_deref(), schedule, ctx.by())
            .await
            .map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match saved {
        Ok(_) => Ok(ctx.go(&format!("/hosts/{}#schedules", host.id))),
        Err(problem) if problem.is_about_input() => show_again(ctx, host, old, form, Some(problem)).await,
        Err(problem) => Err(problem),
    }
}

/// The form as it was typed.
async fn show_again(
    ctx: &Ctx,
    host: Host,
    old: Option<String>,
    form: Form,
    problem: Option<Problem>,
) -> Result<Response<Body>, Problem> {
    ctx.answer(move |ctx, state| {
        let groups = state.groups(host.id)?;
        let page = FormPage { host: &host, groups, old: old.as_deref(), now: ctx.now() };
        let status = problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
        ctx.page_with(status, &typed(&form, &page, problem.as_ref()))
    })
    .await
}

fn check_times(schedule: &Schedule) -> Result<(), Problem> {
    use crate::problem::sentence;
    match Cron::parse(&schedule.cron, &schedule.timezone) {
        Ok(_) => Ok(()),
        Err(cron::CronError::Cron(why)) => Err(Problem::invalid("cron", sentence(&why))),
        Err(cron::CronError::TimeZone(why)) => Err(Problem::invalid("timezone", sentence(&why))),
    }
}

/// `GET /hosts/{host}/schedules/{schedule}/delete`.
pub(crate) async fn confirm_delete(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let view = state.schedule(host.id, &schedule)?.ok_or(Refused::ScheduleNotFound)?;
        ctx.page(&confirm(&host, &view.schedule.name))
    })
    .await
}

/// `POST /hosts/{host}/schedules/{schedule}/delete`.
pub(crate) async fn delete(
    ctx: Ctx,
    Path((host, schedule)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.delete_schedule(host.id, &schedule, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{}#schedules", host.id)))
}
