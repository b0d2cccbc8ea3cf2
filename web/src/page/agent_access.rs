//! How agents reach this server: the addresses that they are given, and the authorities that they trust. For admins.

use super::problem_view::ProblemView;
use crate::agent_access_request::{self, Force};
use crate::app::Ctx;
use crate::form::Form;
use crate::format::{When, many};
use crate::problem::Problem;
use crate::reading::Reading;
use crate::template::View;
use crate::words::Badge;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use data_encoding::HEXLOWER;
use fleet::{AddressUse, AuthorityUse, Dependent, FleetState};
use schema::Timestamp;
use serde::Serialize;

/// An address of the server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AddressRow {
    pub(crate) address: String,
    pub(crate) state: Badge,
    /// Since when it retires; `None` = it stays.
    pub(crate) retiring: Option<When>,
    /// How many hosts came by it last.
    pub(crate) hosts: String,
    /// Who would be lost without it.
    pub(crate) dependents: LostView,
}

/// Hosts that would be lost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LostView {
    /// How many, in words; `None` = nobody.
    pub(crate) count: Option<String>,
    pub(crate) hosts: Vec<LostRow>,
    /// More of them than are listed, in words.
    pub(crate) more: Option<String>,
}

/// A host that would be lost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LostRow {
    pub(crate) id: String,
    pub(crate) name: String,
    /// When it said hello last; `None` = not since it was enrolled.
    pub(crate) seen: Option<When>,
}

impl LostView {
    pub(crate) fn new(now: Timestamp, all: usize, listed: &[Dependent]) -> Self {
        let row = |it: &Dependent| LostRow {
            id: it.host.to_string(),
            name: it.name.clone(),
            seen: it.seen_at.map(|at| When::ago(now, at)),
        };
        let more = all.saturating_sub(listed.len()) as u64;
        Self {
            count: (all > 0).then(|| many(all as u64, "host")),
            hosts: listed.iter().map(row).collect(),
            more: (more > 0).then(|| format!("And {more} more.")),
        }
    }
}

/// An authority of the server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuthorityRow {
    pub(crate) fingerprint: String,
    pub(crate) state: Badge,
    /// Since when agents are told of it.
    pub(crate) since: When,
    /// How many hosts trust it.
    pub(crate) hosts: String,
    /// Who does not.
    pub(crate) lacking: LostView,
}

/// The page.
#[derive(Clone, Serialize)]
pub(crate) struct AgentAccessView {
    pub(crate) addresses: Vec<AddressRow>,
    pub(crate) authorities: Vec<AuthorityRow>,
    /// Who is lost when the present authority is retired now; `None` = there is no next one.
    pub(crate) next: Option<LostView>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for AgentAccessView {
    const TEMPLATE: &'static str = "page/agent-access.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for AgentAccessView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let nobody = LostView { count: None, hosts: Vec::new(), more: None };
        let lost = |name: &str, seen| LostRow { id: "01".to_owned(), name: s.text(name), seen };
        let some = LostView {
            count: Some("102 hosts".to_owned()),
            hosts: vec![lost("attic", Some(s.when())), lost("new-box", None)],
            more: s.some("And 100 more."),
        };
        let row = |address: &str, retiring, dependents: &LostView| AddressRow {
            address: s.text(address),
            state: address_badge(Option::is_some(&retiring)),
            retiring,
            hosts: "12 hosts".to_owned(),
            dependents: dependents.clone(),
        };
        let view = Self {
            addresses: vec![
                row("backup.example:8883", None, &some),
                row("[2001:db8::1]:8883", None, &nobody),
                row("old.example:8883", Some(s.when()), &some),
                row("older.example:8883", Some(s.when()), &nobody),
            ],
            authorities: Vec::new(),
            next: None,
            problem: None,
        };
        let authority = |next, lacking: &LostView| AuthorityRow {
            fingerprint: s.text("ca:fe:01"),
            state: authority_badge(next),
            since: s.when(),
            hosts: "12 hosts".to_owned(),
            lacking: lacking.clone(),
        };
        let one = Self { authorities: vec![authority(false, &nobody)], ..view.clone() };
        let two = |lacking: &LostView| Self {
            authorities: vec![authority(false, &nobody), authority(true, lacking)],
            next: Some(lacking.clone()),
            ..view.clone()
        };
        let problem = ProblemView { field: None, message: s.text("2 hosts would be lost.") };
        let (some, none) = (two(&some), two(&nobody));
        vec![view.clone(), one, some, none, Self { problem: Some(problem), ..view }]
    }
}

fn address_badge(retires: bool) -> Badge {
    if retires { Badge::new("warning", "Retires") } else { Badge::new("ok", "In use") }
}

fn address_row(now: Timestamp, it: AddressUse) -> AddressRow {
    AddressRow {
        address: it.given.address,
        state: address_badge(it.given.retiring_since.is_some()),
        retiring: it.given.retiring_since.map(|at| When::ago(now, at)),
        hosts: many(it.hosts as u64, "host"),
        dependents: LostView::new(now, it.dependent, &it.listed),
    }
}

fn authority_badge(is_next: bool) -> Badge {
    if is_next { Badge::new("running", "Next") } else { Badge::new("ok", "In use") }
}

fn authority_row(now: Timestamp, is_next: bool, it: &AuthorityUse) -> AuthorityRow {
    AuthorityRow {
        fingerprint: HEXLOWER.encode(&it.fingerprint),
        state: authority_badge(is_next),
        since: When::ago(now, it.authority.since),
        hosts: many(it.hosts as u64, "host"),
        lacking: LostView::new(now, it.lacking, &it.listed),
    }
}

fn view(ctx: &Reading, state: &FleetState, problem: Option<ProblemView>) -> Result<AgentAccessView, Problem> {
    let now = ctx.now();
    let addresses = state.addresses()?.into_iter().map(|it| address_row(now, it)).collect();
    let uses = state.authorities()?;
    let next = uses.get(1).map(|next| LostView::new(now, next.lacking, &next.listed));
    let authorities = uses.iter().enumerate().map(|(at, it)| authority_row(now, at > 0, it)).collect();
    Ok(AgentAccessView { addresses, authorities, next, problem })
}

/// `GET /agent-access`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&view(ctx, state, None)?)).await
}

/// The page again, with what is wrong.
async fn again(ctx: &Ctx, problem: Problem) -> Result<Response<Body>, Problem> {
    let status = problem.status;
    let problem = ProblemView { field: None, message: problem.message };
    ctx.answer(move |ctx, state| ctx.page_with(status, &view(ctx, state, Some(problem))?)).await
}

/// `POST /agent-access/retire`.
pub(crate) async fn retire(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let force = Force { is_meant: form.has("force"), password: form.secret("password") };
    shown(&ctx, agent_access_request::retire(&ctx, form.text("address"), force).await).await
}

/// `POST /agent-access/rotate`.
pub(crate) async fn rotate(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let force = Force { is_meant: form.has("force"), password: form.secret("password") };
    shown(&ctx, agent_access_request::rotate(&ctx, force).await).await
}

/// The page after something was done or refused.
async fn shown(ctx: &Ctx, done: Result<(), Problem>) -> Result<Response<Body>, Problem> {
    match done {
        Ok(()) => Ok(ctx.go("/agent-access")),
        Err(problem) if matches!(problem.status, StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) => {
            again(ctx, problem).await
        }
        Err(problem) => Err(problem),
    }
}
