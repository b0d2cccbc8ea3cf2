//! The form of a source group.

use super::confirm::ConfirmView;
use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::query::Query;
use crate::template::View;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::record::{Group, Host, Origin, Retention};
use fleet::{FleetState, JobRequest, Refused};
use serde::Serialize;

/// What is offered to a new group: things that come back by themselves, and what must not be in a backup of `/`.
const OFFERED_EXCLUDES: &str = "/proc\n/sys\n/dev\n/run\n/tmp\n/var/tmp\n/var/cache\n/var/lib/docker/overlay2\n\
    **/.cache\n**/node_modules\n**/lost+found";
const OFFERED_PRESENT: &str = "CACHEDIR.TAG .nobackup";

/// A number of snapshots to keep.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KeepField {
    pub(crate) field: &'static str,
    pub(crate) label: &'static str,
    pub(crate) value: String,
}

const KEEP: [(&str, &str); 6] = [
    ("keep_last", "Keep last"),
    ("keep_hourly", "Keep hourly"),
    ("keep_daily", "Keep daily"),
    ("keep_weekly", "Keep weekly"),
    ("keep_monthly", "Keep monthly"),
    ("keep_yearly", "Keep yearly"),
];

/// The form: all as typed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupView {
    pub(crate) host_name: String,
    pub(crate) href: String,
    pub(crate) action: String,
    /// The stored name; `None` = new.
    pub(crate) old_name: Option<String>,
    pub(crate) offered: bool,
    /// Where the folders of the host are picked.
    pub(crate) folders: String,
    pub(crate) name: String,
    pub(crate) includes: String,
    pub(crate) excludes: String,
    pub(crate) exclude_if_present: String,
    pub(crate) one_file_system: bool,
    pub(crate) required_mounts: String,
    pub(crate) hooks_before: String,
    pub(crate) hooks_after: String,
    pub(crate) keep: Vec<KeepField>,
    pub(crate) keep_within: String,
    pub(crate) retry_max: String,
    /// In days; empty = by a schedule.
    pub(crate) by_hand_days: String,
    /// `tag@host`, one a line.
    pub(crate) origins: String,
    /// Why what the rules would drop can't be asked right now.
    pub(crate) preview_why: Option<String>,
    pub(crate) delete: Option<ConfirmView>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for GroupView {
    const TEMPLATE: &'static str = "page/group.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for GroupView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            host_name: s.text("boat-pi"),
            href: "/hosts/01".to_owned(),
            action: "/x".to_owned(),
            old_name: s.some("media"),
            offered: true,
            folders: "/hosts/01/folders?path=%2F&pick=1".to_owned(),
            name: s.text("media"),
            includes: s.text("/srv/media"),
            excludes: s.text("*.tmp"),
            exclude_if_present: s.text("CACHEDIR.TAG .nobackup"),
            one_file_system: true,
            required_mounts: s.text("/srv"),
            hooks_before: s.text("dump-db"),
            hooks_after: s.text("drop-dump"),
            keep: KEEP.map(|(field, label)| KeepField { field, label, value: s.text("14") }).into(),
            keep_within: s.text("30d"),
            retry_max: s.text("3"),
            by_hand_days: s.text("30"),
            origins: s.text("old@boat"),
            preview_why: s.some("The host is offline."),
            delete: Some(ConfirmView::sample(s)),
            problem: Some(ProblemView::sample(s, "keep_daily")),
        }]
    }
}

fn view(host: &Host, group: &Group, old_name: Option<&str>) -> GroupView {
    let href = format!("/hosts/{}", host.id);
    let keep = &group.keep;
    let numbers = [keep.last, keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly];
    let number = |number: u16| if number == 0 { String::new() } else { number.to_string() };
    GroupView {
        host_name: host.name.clone(),
        action: match old_name {
            Some(name) => format!("{href}/groups/{name}"),
            None => format!("{href}/groups"),
        },
        folders: format!("{href}/folders?path=%2F&pick=1"),
        href,
        old_name: old_name.map(str::to_owned),
        offered: false,
        name: group.name.clone(),
        includes: group.includes.join("\n"),
        excludes: group.excludes.join("\n"),
        exclude_if_present: group.exclude_if_present.join(" "),
        one_file_system: group.one_file_system,
        required_mounts: group.required_mounts.join("\n"),
        hooks_before: group.hooks_before.join(" "),
        hooks_after: group.hooks_after.join(" "),
        keep: KEEP
            .into_iter()
            .zip(numbers)
            .map(|((field, label), value)| KeepField { field, label, value: number(value) })
            .collect(),
        keep_within: keep.within.clone(),
        retry_max: group.retry_max.to_string(),
        by_hand_days: number(group.by_hand_days),
        origins: group.origins.iter().map(origin_text).collect::<Vec<_>>().join("\n"),
        preview_why: None,
        delete: old_name.map(|name| confirm(host, name)),
        problem: None,
    }
}

fn confirm(host: &Host, name: &str) -> ConfirmView {
    let href = format!("/hosts/{}/groups/{name}", host.id);
    ConfirmView {
        title: format!("Delete the source group {name} of {}?", host.name),
        body: vec!["It is not backed up any more. Its snapshots stay as they are.".to_owned()],
        action: format!("{href}/delete"),
        button: format!("Delete {name}"),
        dismiss: "Cancel".to_owned(),
        back: href,
    }
}

/// What was typed, back into the form.
fn typed(form: &Form, view: GroupView, problem: &Problem) -> GroupView {
    GroupView {
        name: form.text("name"),
        includes: form.raw("includes").to_owned(),
        excludes: form.raw("excludes").to_owned(),
        exclude_if_present: form.text("exclude_if_present"),
        one_file_system: form.has("one_file_system"),
        required_mounts: form.raw("required_mounts").to_owned(),
        hooks_before: form.text("hooks_before"),
        hooks_after: form.text("hooks_after"),
        keep: KEEP
            .into_iter()
            .map(|(field, label)| KeepField { field, label, value: form.text(field) })
            .collect(),
        keep_within: form.text("keep_within"),
        retry_max: form.text("retry_max"),
        by_hand_days: form.text("by_hand_days"),
        origins: form.raw("origins").to_owned(),
        problem: Some(ProblemView {
            field: problem.field.as_deref().map(field_of),
            message: problem.message.clone(),
        }),
        ..view
    }
}

/// The field of the form for a field of the record.
fn field_of(field: &str) -> String {
    match field {
        "last" | "hourly" | "daily" | "weekly" | "monthly" | "yearly" | "within" => format!("keep_{field}"),
        field => field.strip_prefix("keep.").map_or_else(|| field.to_owned(), |rest| format!("keep_{rest}")),
    }
}

/// The rules for what to keep.
pub(super) fn read_keep(form: &Form) -> Result<Retention, Problem> {
    Ok(Retention {
        last: form.number("keep_last")?,
        hourly: form.number("keep_hourly")?,
        daily: form.number("keep_daily")?,
        weekly: form.number("keep_weekly")?,
        monthly: form.number("keep_monthly")?,
        yearly: form.number("keep_yearly")?,
        within: form.text("keep_within"),
    })
}

fn read_form(form: &Form) -> Result<Group, Problem> {
    Ok(Group {
        name: form.text("name"),
        includes: form.lines("includes"),
        excludes: form.lines("excludes"),
        exclude_if_present: form.words("exclude_if_present"),
        one_file_system: form.has("one_file_system"),
        required_mounts: form.lines("required_mounts"),
        hooks_before: form.words("hooks_before"),
        hooks_after: form.words("hooks_after"),
        keep: read_keep(form)?,
        retry_max: form.number("retry_max")?,
        by_hand_days: form.number("by_hand_days")?,
        origins: form.lines("origins").iter().map(|line| read_origin(line)).collect::<Result<_, _>>()?,
    })
}

/// Whose snapshots belong to a group, as the form has it.
pub(super) fn origin_text(origin: &Origin) -> String {
    format!("{}@{}", origin.tag, origin.hostname)
}

fn read_origin(line: &str) -> Result<Origin, Problem> {
    // A host name holds no @, a tag may.
    let (tag, hostname) = line.rsplit_once('@').ok_or_else(|| {
        let why =
            format!("{line:?} is not understood: write tag@host, or @host for snapshots without a tag.");
        Problem::invalid("origins", why)
    })?;
    Ok(Origin { hostname: hostname.to_owned(), tag: tag.to_owned() })
}

/// `GET /hosts/{host}/new-group`, with `name` and `path`s that are known already.
pub(crate) async fn new(ctx: Ctx, Path(host): Path<String>, query: Query) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&offer(ctx, state, &host, &query)?)).await
}

fn offer(ctx: &Ctx, state: &FleetState, host: &str, query: &Query) -> Result<GroupView, Problem> {
    let host = ctx.host(state, host)?;
    let first = state.groups(host.id)?.is_empty();
    let offered = Group {
        name: query
            .get("name")
            .map_or_else(|| if first { "system".to_owned() } else { String::new() }, str::to_owned),
        includes: query.all("path"),
        keep: Retention { daily: 14, weekly: 8, monthly: 12, ..Retention::default() },
        retry_max: 12,
        ..Group::default()
    };
    let origins = query.all("origin").join("\n");
    Ok(GroupView {
        offered: true,
        excludes: OFFERED_EXCLUDES.to_owned(),
        exclude_if_present: OFFERED_PRESENT.to_owned(),
        origins,
        ..view(&host, &offered, None)
    })
}

/// `POST /hosts/{host}/groups`.
pub(crate) async fn create(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    save(&ctx, &host, None, &form).await
}

/// `GET /hosts/{host}/groups/{group}`.
pub(crate) async fn edit(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let group = state.group(host.id, &group)?.ok_or(Refused::GroupNotFound)?;
        let keep = Some(Retention { last: 1, ..Retention::default() });
        let request = JobRequest::ForgetDryRun { group: group.name.clone(), keep };
        let preview_why = super::run_button::why_short(state, host.id, &request)?;
        ctx.page(&GroupView { preview_why, ..view(&host, &group, Some(&group.name)) })
    })
    .await
}

/// `POST /hosts/{host}/groups/{group}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    save(&ctx, &host, Some(&group), &form).await
}

async fn save(ctx: &Ctx, host: &Host, old: Option<&str>, form: &Form) -> Result<Response<Body>, Problem> {
    let saved = match read_form(form) {
        Ok(group) => ctx.app.fleet.put_group(host.id, old, group, ctx.by()).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match saved {
        Ok(_) => Ok(ctx.go(&format!("/hosts/{}#groups", host.id))),
        Err(problem) if problem.is_about_input() => {
            let blank = Group { name: form.text("name"), ..Group::default() };
            ctx.show(problem.status, typed(form, view(host, &blank, old), &problem)).await
        }
        Err(problem) => Err(problem),
    }
}

/// `GET /hosts/{host}/groups/{group}/delete`.
pub(crate) async fn confirm_delete(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        let group = state.group(host.id, &group)?.ok_or(Refused::GroupNotFound)?;
        ctx.page(&confirm(&host, &group.name))
    })
    .await
}

/// `POST /hosts/{host}/groups/{group}/delete`.
pub(crate) async fn delete(
    ctx: Ctx,
    Path((host, group)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(&host).await?;
    ctx.app.fleet.delete_group(host.id, &group, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{}#groups", host.id)))
}
