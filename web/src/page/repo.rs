//! The repository of a host: its health, what can be run now, the two credential forms.

use super::confirm::ConfirmView;
use super::head::HostHead;
use super::maintenance_form::MaintenanceForm;
use super::problem_view::ProblemView;
use super::repo_view::RepoView;
use super::run_button::{RunButton, why_not};
use crate::app::Ctx;
use crate::form::Form;
use crate::format::{When, ago, bytes};
use crate::problem::Problem;
use crate::reading::Reading;
use crate::template::View;
use crate::words::{Badge, figures, slot_path};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::record::{CredentialsFacts, CredentialsInput, RepoState, Secret, Sharer, Tested, WhyShared};
use fleet::{FleetState, JobRequest};
use schema::{Class, HostId, JobKind, Refusal, Slot, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// A run-now row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunNow {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) what: String,
    pub(crate) action: String,
    pub(crate) run: RunButton,
    /// Where it is asked first whether it is meant.
    pub(crate) asks: Option<String>,
}

/// A credential form. What was typed is kept, secrets excepted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CredentialsForm {
    pub(crate) slot: &'static str,
    pub(crate) set: bool,
    pub(crate) badge: Badge,
    pub(crate) url: String,
    pub(crate) username: String,
    /// A stored one is kept when the field is left empty.
    pub(crate) has_password: bool,
    pub(crate) has_repo_password: bool,
    pub(crate) ca: String,
    pub(crate) host_keys: String,
    pub(crate) env_names: String,
    /// Nothing that is stored can be kept.
    pub(crate) unreadable: bool,
    pub(crate) changed: Option<When>,
    pub(crate) changed_by: String,
    pub(crate) held: Option<&'static str>,
    /// What is wrong with what is stored.
    pub(crate) trouble: Option<&'static str>,
    pub(crate) problem: Option<ProblemView>,
}

#[cfg(test)]
impl CredentialsForm {
    pub(crate) fn sample(s: &crate::sample::Sample, slot: &'static str) -> Self {
        Self {
            slot,
            set: true,
            badge: Badge::new("ok", s.text("Tested")),
            url: s.text("rest:https://vault.lan:8000/boat-pi/"),
            username: s.text("boat-pi"),
            has_password: true,
            has_repo_password: true,
            ca: s.text("-----BEGIN CERTIFICATE-----"),
            host_keys: s.text("ssh-ed25519 AAAA"),
            env_names: s.text("AWS_ACCESS_KEY_ID"),
            unreadable: false,
            changed: Some(s.when()),
            changed_by: s.text("mira"),
            held: Some("the agent has them"),
            trouble: Some("The agent on this host refuses these credentials: its own policy forbids them."),
            problem: Some(ProblemView::sample(s, "url")),
        }
    }
}

/// How the credentials were tested last.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TestView {
    pub(crate) badge: Badge,
    pub(crate) text: String,
    pub(crate) href: Option<String>,
    /// Where the snapshots of a repository are read that was there before this host came to it.
    pub(crate) adopt: Option<String>,
}

/// Another host on the same repository, or one that says so.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SharerLine {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) text: String,
    /// Where a person says that they share it.
    pub(crate) confirm: Option<String>,
    /// Where that is taken back.
    pub(crate) undo: Option<String>,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RepoPageView {
    pub(crate) head: HostHead,
    pub(crate) sharers: Vec<SharerLine>,
    pub(crate) repo: RepoView,
    pub(crate) stats_why: Option<String>,
    pub(crate) unlock_why: Option<String>,
    pub(crate) actions: Vec<RunNow>,
    pub(crate) repo_form: CredentialsForm,
    pub(crate) admin_form: CredentialsForm,
    pub(crate) probe_why: Option<String>,
    pub(crate) test: TestView,
    pub(crate) maintenance: MaintenanceForm,
    /// The question before a prune.
    pub(crate) prune: ConfirmView,
}

impl View for RepoPageView {
    const TEMPLATE: &'static str = "page/repo.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[
        "host-presence",
        "repo-health",
        "repo-actions",
        "repo-credentials",
        "admin-credentials",
        "repo-test",
        "maintenance-form",
        "decision-forget",
        "decision-prune",
        "decision-check",
        "decision-drill",
    ];
}

#[cfg(test)]
impl crate::sample::Samples for RepoPageView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let sharer = |is_confirmed: bool| SharerLine {
            name: s.text("studio-mini"),
            href: "/x".to_owned(),
            text: s.text("was sent to the same address"),
            confirm: (!is_confirmed).then(|| "/x".to_owned()),
            undo: is_confirmed.then(|| "/x".to_owned()),
        };
        vec![Self {
            head: HostHead::sample(s),
            sharers: vec![sharer(false), sharer(true)],
            repo: RepoView::sample(s),
            stats_why: s.some("The host is offline."),
            unlock_why: None,
            actions: vec![RunNow {
                key: "check",
                title: "Check",
                what: s.text("Reads the structure of the repository, changes nothing."),
                action: "/x".to_owned(),
                run: RunButton::sample(s),
                asks: s.some("/x"),
            }],
            prune: ConfirmView::sample(s),
            repo_form: CredentialsForm::sample(s, "repo-credentials"),
            admin_form: CredentialsForm::sample(s, "admin-credentials"),
            probe_why: s.some("The host is offline."),
            test: TestView {
                badge: Badge::new("failed", s.text("Tested 2 h ago")),
                text: s.text("it did not succeed"),
                href: Some("/jobs/01".to_owned()),
                adopt: Some("/hosts/01/snapshots".to_owned()),
            },
            maintenance: MaintenanceForm::sample(s),
        }]
    }
}

/// `GET /hosts/{host}/repo`.
pub(crate) async fn show(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, &host)?)).await
}

pub(super) fn read(ctx: &Ctx, fleet_state: &FleetState, host: &str) -> Result<RepoPageView, Problem> {
    let (head, row) = HostHead::read(ctx, fleet_state, host, "repo")?;
    let (id, now) = (row.host.id, ctx.now());
    let state = fleet_state.repo(id)?;
    let facts = fleet_state.credentials(id, Slot::Repo)?;
    let settings = fleet_state.maintenance(id)?;
    Ok(RepoPageView {
        sharers: fleet_state.sharers(id)?.iter().map(|other| sharer(now, &head.href, other)).collect(),
        repo: RepoView::new(now, &state, &fleet_state.repo_history(id)?, facts.is_some(), &settings),
        stats_why: why_not(fleet_state, id, &JobRequest::Stats)?,
        unlock_why: why_not(fleet_state, id, &JobRequest::Unlock { all: None })?,
        actions: actions(fleet_state, now, id, &head.href, &state, settings.check_subset_pct)?,
        prune: prune_question(&head.name, &head.href, &state),
        maintenance: MaintenanceForm::read(fleet_state, id, state.size.as_ref().map(|size| size.bytes))?,
        probe_why: why_not(fleet_state, id, &JobRequest::Probe)?,
        test: test(fleet_state, id, now, &state, facts.as_ref())?,
        repo_form: form(now, Slot::Repo, facts.as_ref()),
        admin_form: form(now, Slot::Admin, fleet_state.credentials(id, Slot::Admin)?.as_ref()),
        head,
    })
}

fn sharer(now: Timestamp, href: &str, other: &Sharer) -> SharerLine {
    let action = |end: &str| format!("{href}/shared-with/{}{end}", other.host);
    let (text, confirm, undo) = match &other.why {
        Some(WhyShared::Address) => ("was sent to the same address".to_owned(), None, None),
        Some(WhyShared::Through) => ("shares it with one of them".to_owned(), None, None),
        Some(WhyShared::Confirmed(confirmed)) => {
            let by = crate::words::by(&confirmed.by);
            let text = format!("shares it by another address, confirmed {} {by}", ago(now, confirmed.at));
            (text, None, Some(action("/undo")))
        }
        None => {
            let text = "says that it uses the same repository, and has another address. That counts for nothing until \
                        somebody confirms it; confirm it only when you have set it up so";
            (text.to_owned(), Some(action("")), None)
        }
    };
    SharerLine { name: other.name.clone(), href: format!("/hosts/{}/repo", other.host), text, confirm, undo }
}

/// `POST …/shared-with/{other}`.
pub(crate) async fn confirm_sharing(
    ctx: Ctx,
    Path((host, other)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    let (host, other) = crate::api::repo::both(&ctx, host, other).await?;
    ctx.app.fleet.confirm_sharing(host, other, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{host}/repo#shared-with")))
}

/// `POST …/shared-with/{other}/undo`.
pub(crate) async fn undo_sharing(
    ctx: Ctx,
    Path((host, other)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    let (host, other) = crate::api::repo::both(&ctx, host, other).await?;
    ctx.app.fleet.undo_sharing(host, other, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{host}/repo#shared-with")))
}

/// That there is no lock is believed for so long.
const LOOKED_MS: u64 = 86_400_000;

/// Why there is nothing to unlock.
fn no_lock(now: Timestamp, state: &RepoState) -> Option<String> {
    let looked = state.lock.as_ref().filter(|seen| seen.holder.is_none())?;
    let is_fresh = now.ms_since(looked.at) < LOOKED_MS;
    is_fresh.then(|| format!("There is no lock, as of {}.", ago(now, looked.at)))
}

/// The question before a prune: what it does, and to what.
fn prune_question(host: &str, href: &str, state: &RepoState) -> ConfirmView {
    let snapshots = state.snapshots.as_ref().map_or_else(
        || "All snapshots stay.".to_owned(),
        |seen| match seen.count {
            1 => "Its one snapshot stays.".to_owned(),
            count => format!("All {} snapshots stay.", crate::format::count(u64::from(count))),
        },
    );
    let size = match &state.size {
        Some(size) => format!(" The repository holds {}.", bytes(size.bytes)),
        None => String::new(),
    };
    ConfirmView {
        title: format!("Prune the repository of {host}?"),
        body: vec![
            format!("This deletes data that no snapshot uses any more.{size} {snapshots}"),
            format!(
                "Backups of {host} wait until it ends. The admin credentials go to {host} for this job only."
            ),
        ],
        action: format!("{href}/repo/prune"),
        button: format!("Prune {host}"),
        dismiss: "Cancel".to_owned(),
        back: format!("{href}/repo"),
    }
}

/// `GET …/repo/{kind}`: asks before a prune; nothing else is asked for.
pub(crate) async fn confirm_run(
    ctx: Ctx,
    Path((host, kind)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let view = read(ctx, state, &host)?;
        match kind.as_str() {
            "prune" => ctx.page(&view.prune),
            _ => Ok(ctx.go(&format!("{}/repo", view.head.href))),
        }
    })
    .await
}

fn actions(
    fleet_state: &FleetState,
    now: Timestamp,
    id: HostId,
    href: &str,
    state: &RepoState,
    subset_pct: u8,
) -> Result<Vec<RunNow>, Problem> {
    let known = state.repo.is_some();
    let check = match subset_pct {
        0 => "Reads the structure of the repository, changes nothing.".to_owned(),
        percent => format!("Reads the structure and {percent} % of the data, changes nothing."),
    };
    let all = [
        (
            "init",
            "Create the repository",
            "Runs restic init at the address; never touches an existing repository.",
            JobRequest::Init,
            "Make it",
        ),
        ("check", "Check", check.as_str(), JobRequest::Check { subset_pct: None }, "Check now"),
        (
            "forget",
            "Forget",
            "Removes snapshots that the retention rules of the source groups no longer keep.",
            JobRequest::Forget,
            "Forget now",
        ),
        (
            "prune",
            "Prune",
            "Frees the space of forgotten snapshots. Other jobs wait while it runs.",
            JobRequest::Prune,
            "Prune now…",
        ),
        (
            "unlock",
            "Unlock",
            "Removes locks that restic considers stale: those of this host's name whose process it does not find, and locks that were not renewed for half an hour.",
            JobRequest::Unlock { all: None },
            "Unlock now",
        ),
    ];
    all.into_iter()
        .filter(|(key, ..)| *key != "init" || !known)
        .map(|(key, title, what, request, label)| {
            let mut run = RunButton::new(fleet_state, id, &request, label)?;
            if key == "unlock" {
                run.why = run.why.or_else(|| no_lock(now, state));
            }
            let action = format!("{href}/repo/{key}");
            let asks = (key == "prune").then(|| action.clone());
            Ok(RunNow { key, title, what: what.to_owned(), action, run, asks })
        })
        .collect()
}

fn test(
    fleet_state: &FleetState,
    id: HostId,
    now: Timestamp,
    state: &RepoState,
    facts: Option<&CredentialsFacts>,
) -> Result<TestView, Problem> {
    let view = |badge: Badge, text: String, href: Option<String>| TestView { badge, text, href, adopt: None };
    if facts.is_none() {
        return Ok(view(Badge::new("unset", "Not set"), "nothing to test yet".to_owned(), None));
    }
    if let Some(job) = fleet_state.latest_job(id, JobKind::Probe)?.filter(|job| !job.state.is_ended()) {
        let href = Some(format!("/jobs/{}", job.id));
        return Ok(view(Badge::new("running", "Testing"), crate::words::job_result(&job, None), href));
    }
    let Some(&Tested { job, at, well, .. }) = state.tested.as_ref() else {
        let why = why_not(fleet_state, id, &JobRequest::Probe)?;
        let text = why.unwrap_or_else(|| "since the change".to_owned());
        return Ok(view(Badge::new("unset", "Not tested"), text, None));
    };
    let href = Some(format!("/jobs/{job}"));
    let job = fleet_state.job(job)?;
    let ago = ago(now, at);
    if well {
        let text = job.map(|job| figures(&job.figures)).unwrap_or_default();
        let is_unread = fleet_state.snapshots(id)?.is_none();
        let adopt = is_unread.then(|| format!("/hosts/{id}/snapshots"));
        return Ok(TestView { adopt, ..view(Badge::new("ok", format!("Tested {ago}")), text, href) });
    }
    let Some(job) = job else {
        return Ok(view(
            Badge::new("failed", format!("Tested {ago}")),
            "it did not succeed".to_owned(),
            None,
        ));
    };
    // The storage answered, but there is nothing at the address: that is what "make it" is for. A wrong password or
    // a network that is down show no repository either, and say nothing of whether there is one.
    if job.class == Some(Class::RepoMissing) {
        if state.repo.is_some() {
            let text = "there was no repository then; one was created since".to_owned();
            return Ok(view(Badge::new("unset", format!("Tested {ago}")), text, href));
        }
        let text = "the storage answered, and there is no repository yet: create it, above".to_owned();
        return Ok(view(Badge::new("warning", format!("Tested {ago}")), text, href));
    }
    let cause = crate::explanation::Explanation::of(&job)
        .map_or_else(|| job.message.clone(), |cause| cause.title.to_owned());
    Ok(view(Badge::new("failed", format!("Tested {ago}")), cause, href))
}

fn form(now: Timestamp, slot: Slot, facts: Option<&CredentialsFacts>) -> CredentialsForm {
    let set = facts.is_some();
    let facts = facts.cloned().unwrap_or_default();
    let badge = form_badge(set, &facts);
    let held = if set { held_words(slot, &facts) } else { None };
    let trouble = trouble(slot, &facts);
    CredentialsForm {
        slot: slot_path(slot),
        set,
        badge,
        url: facts.url,
        username: facts.username,
        has_password: facts.has_password && !facts.unreadable,
        has_repo_password: facts.has_repo_password && !facts.unreadable,
        unreadable: facts.unreadable,
        ca: facts.ca,
        host_keys: facts.host_keys,
        env_names: facts.env_names.join(", "),
        changed: set.then(|| When::ago(now, facts.updated_at)),
        changed_by: crate::words::by(&facts.updated_by),
        held,
        trouble,
        problem: None,
    }
}

fn form_badge(set: bool, facts: &CredentialsFacts) -> Badge {
    match () {
        () if !set => Badge::new("unset", "Not set"),
        () if facts.unreadable => Badge::new("failed", "Set them again"),
        () if facts.refused.is_some() => Badge::new("warning", "Refused by the agent"),
        () => Badge::new("ok", "Set"),
    }
}

/// How far they are on their way.
fn held_words(slot: Slot, facts: &CredentialsFacts) -> Option<&'static str> {
    let has_said = facts.held_revision == facts.revision;
    match slot {
        _ if facts.unreadable || facts.refused.is_some() => None,
        Slot::Repo if has_said => Some("the agent has them"),
        Slot::Repo => Some("on the way to the agent"),
        Slot::Admin if has_said => Some("the agent takes them for a job"),
        Slot::Admin => Some("the agent has not been asked yet"),
    }
}

/// What is wrong with what is stored, and what to do.
fn trouble(slot: Slot, facts: &CredentialsFacts) -> Option<&'static str> {
    Some(match (facts.refused, slot) {
        _ if facts.unreadable => {
            "What is stored here can't be opened with this server's key: it was made for another host or slot, or with \
             another key. Set these credentials again, with all passwords; what the agent has of its own still works."
        }
        (None, _) => return None,
        (Some(Refusal::Policy), Slot::Admin) => {
            "The agent on this host refuses admin credentials: its own policy forbids them. No prune can be run from \
             this host. Only the host's owner can change that, on the host (admin_slot in its policy file, or --no-admin-slot)."
        }
        (Some(Refusal::Policy), Slot::Repo) => {
            "The agent on this host refuses these credentials: its own policy forbids them."
        }
        (Some(Refusal::StateFolder), _) => {
            "The agent could not store them: its disk is probably full or read-only. They are sent again when it \
             connects anew."
        }
        (Some(_), _) => "The agent could not take them; they are sent again when it connects anew.",
    })
}

/// The lines of the environment: `NAME=value`, or a NAME alone to keep its value.
fn environment(form: &Form) -> Result<Option<BTreeMap<String, Option<Secret>>>, Problem> {
    let lines = form.lines("env");
    if lines.is_empty() {
        return Ok(None);
    }
    lines
        .iter()
        .map(|line| {
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name.trim(), Some(Secret::new(value))),
                None => (line.as_str(), None),
            };
            let named = !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            if !named {
                return Err(Problem::invalid(
                    "env",
                    "Each line is NAME=value; a name has letters, digits and _.",
                ));
            }
            Ok((name.to_owned(), value))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

async fn save(ctx: Ctx, host: &str, slot: Slot, form: Form) -> Result<Response<Body>, Problem> {
    let found = ctx.find_host(host).await?;
    let saved = async {
        let input = CredentialsInput {
            url: form.text("url"),
            username: Some(form.text("username")),
            password: form.secret("password"),
            repo_password: form.secret("repo_password"),
            ca: Some(form.raw("ca").to_owned()),
            host_keys: Some(form.raw("host_keys").to_owned()),
            env: environment(&form)?,
        };
        Ok::<_, Problem>(ctx.app.fleet.put_credentials(found.id, slot, input, ctx.by()).await?)
    }
    .await;
    let part = slot_path(slot);
    match saved {
        Ok(_) => {
            if form.raw("then") == "test" {
                // A host that is away is no failure of the saving; the page says that it was not tested, and why.
                let _ = ctx.app.fleet.dispatch(found.id, JobRequest::Probe, ctx.by()).await;
            }
            if ctx.htmx {
                let host = host.to_owned();
                let read = move |ctx: &Reading, state: &FleetState| {
                    ctx.fragment(StatusCode::OK, part, &read(ctx, state, &host)?)
                };
                return ctx.answer(read).await;
            }
            Ok(ctx.go(&format!("/hosts/{}/repo#{part}", found.id)))
        }
        Err(problem) if problem.is_about_input() => {
            let host = host.to_owned();
            ctx.answer(move |ctx, state| {
                let mut view = read(ctx, state, &host)?;
                keep_typed(
                    if slot == Slot::Repo { &mut view.repo_form } else { &mut view.admin_form },
                    &form,
                    &problem,
                );
                if ctx.htmx {
                    ctx.fragment(problem.status, part, &view)
                } else {
                    ctx.page_with(problem.status, &view)
                }
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

/// What was typed and is no secret, and why it was not taken.
fn keep_typed(view: &mut CredentialsForm, form: &Form, problem: &Problem) {
    view.url = form.text("url");
    view.username = form.text("username");
    // Who pasted a private key by mistake is not shown it again.
    let public =
        |field| Some(form.raw(field)).filter(|text| !text.contains("PRIVATE KEY")).unwrap_or_default();
    view.ca = public("ca").to_owned();
    view.host_keys = public("host_keys").to_owned();
    view.problem = Some(problem.into());
}

/// `POST …/repo-credentials`.
pub(crate) async fn save_repo_credentials(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    save(ctx, &host, Slot::Repo, form).await
}

/// `POST …/admin-credentials`.
pub(crate) async fn save_admin_credentials(
    ctx: Ctx,
    Path(host): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    save(ctx, &host, Slot::Admin, form).await
}

async fn confirm(ctx: &Ctx, host: &str, slot: Slot) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(host).await?;
    let (which, after) = match slot {
        Slot::Repo => ("repository credentials", "Its backups stop until new ones are set."),
        Slot::Admin => ("admin credentials", "No space is freed until new ones are set."),
    };
    let path = slot_path(slot);
    let view = ConfirmView {
        title: format!("Remove the {which} of {}?", host.name),
        body: vec![
            format!("{after} The repository and its snapshots stay as they are."),
            "The restic password is deleted here: make sure that you have it elsewhere.".to_owned(),
        ],
        action: format!("/hosts/{}/{path}/delete", host.id),
        button: format!("Remove the {which}"),
        dismiss: "Cancel".to_owned(),
        back: format!("/hosts/{}/repo", host.id),
    };
    ctx.show(StatusCode::OK, view).await
}

/// `GET …/repo-credentials/delete`.
pub(crate) async fn confirm_delete_repo(
    ctx: Ctx,
    Path(host): Path<String>,
) -> Result<Response<Body>, Problem> {
    confirm(&ctx, &host, Slot::Repo).await
}

/// `GET …/admin-credentials/delete`.
pub(crate) async fn confirm_delete_admin(
    ctx: Ctx,
    Path(host): Path<String>,
) -> Result<Response<Body>, Problem> {
    confirm(&ctx, &host, Slot::Admin).await
}

async fn delete(ctx: Ctx, host: &str, slot: Slot) -> Result<Response<Body>, Problem> {
    let host = ctx.find_host(host).await?;
    ctx.app.fleet.delete_credentials(host.id, slot, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{}/repo#{}", host.id, slot_path(slot))))
}

/// `POST …/repo-credentials/delete`.
pub(crate) async fn delete_repo_credentials(
    ctx: Ctx,
    Path(host): Path<String>,
) -> Result<Response<Body>, Problem> {
    delete(ctx, &host, Slot::Repo).await
}

/// `POST …/admin-credentials/delete`.
pub(crate) async fn delete_admin_credentials(
    ctx: Ctx,
    Path(host): Path<String>,
) -> Result<Response<Body>, Problem> {
    delete(ctx, &host, Slot::Admin).await
}
