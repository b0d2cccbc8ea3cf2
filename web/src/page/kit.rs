//! The break-glass kit: how the newest stands, and a new one. For admins.

use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::form::Form;
use crate::format::{When, count};
use crate::kit::{new_passphrase, typed};
use crate::kit_request;
use crate::problem::Problem;
use crate::template::View;
use crate::words::{self, Badge};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use fleet::record::Secret;
use fleet::{FleetState, KitChoice};
use serde::Serialize;
use std::collections::BTreeSet;

/// So many hosts are shown to pick from; more are typed.
const MOST_PICKED: usize = 100;
/// So many gaps are named.
const MOST_GAPS: usize = 100;

/// A host or label to pick.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KitHostChoice {
    pub(crate) name: String,
    pub(crate) chosen: bool,
}

/// A host for which the newest kit lacks something.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GapRow {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) why: String,
}

/// The page.
#[derive(Clone, Serialize)]
pub(crate) struct KitView {
    pub(crate) kits: Badge,
    /// The same in a sentence.
    pub(crate) sentence: String,
    pub(crate) newest: Option<When>,
    pub(crate) gaps: Vec<GapRow>,
    /// More of them than are shown, in words.
    pub(crate) gaps_more: Option<String>,
    /// All hosts, instead of some.
    pub(crate) all: bool,
    /// How many that is, in words.
    pub(crate) count: String,
    /// Hosts to pick from; empty = they are typed.
    pub(crate) hosts: Vec<KitHostChoice>,
    /// The names that were typed.
    pub(crate) names: String,
    pub(crate) labels: Vec<KitHostChoice>,
    /// A passphrase to take, shown this once.
    pub(crate) offered: Option<String>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for KitView {
    const TEMPLATE: &'static str = "page/kit.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &["kit-badge", "kit-newest"];
}

#[cfg(test)]
impl crate::sample::Samples for KitView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let choice = |name: &str, chosen| KitHostChoice { name: s.text(name), chosen };
        let view = Self {
            kits: Badge::new("warning", "Too old"),
            sentence: "The kit of 12 Nov lacks 1 host.".to_owned(),
            newest: Some(s.when()),
            gaps: vec![GapRow { name: s.text("attic"), id: "01c6z".to_owned(), why: "in no kit".to_owned() }],
            gaps_more: s.some("And 3 more."),
            all: false,
            count: "2".to_owned(),
            hosts: vec![choice("attic", true), choice("barn", false)],
            names: String::new(),
            labels: vec![choice("nas", true), choice("laptop", false)],
            offered: s.some("k7fp-22aa-bcde-fghi-jklm-nopq"),
            problem: None,
        };
        let many = Self {
            hosts: Vec::new(),
            names: s.text("attic, barn"),
            offered: None,
            problem: Some(ProblemView::sample(s, "hosts")),
            ..view.clone()
        };
        let wrong = |field| Self { problem: Some(ProblemView::sample(s, field)), ..view.clone() };
        let never = Self {
            kits: Badge::new("never", "None yet"),
            sentence: "No kit was made yet.".to_owned(),
            newest: None,
            gaps: Vec::new(),
            gaps_more: None,
            all: true,
            labels: Vec::new(),
            ..view.clone()
        };
        let refused = Self {
            problem: Some(ProblemView { field: None, message: s.text("There is no host.") }),
            ..view.clone()
        };
        let mut views = vec![view.clone(), many, never, refused];
        views.extend(["passphrase", "again", "password", "labels"].map(wrong));
        views
    }
}

/// What was chosen in a form.
struct Chosen {
    all: bool,
    hosts: BTreeSet<String>,
    labels: BTreeSet<String>,
}

impl Chosen {
    fn of(form: &Form) -> Self {
        let words = |name| -> BTreeSet<String> {
            let all = form.all(name);
            let words = all.iter().flat_map(|value| value.split(|c: char| c == ',' || c.is_whitespace()));
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        Self { all: form.raw("which") != "some", hosts: words("hosts"), labels: words("labels") }
    }

    fn choice(&self) -> Result<KitChoice, Problem> {
        if self.all {
            return Ok(KitChoice::default());
        }
        if self.hosts.is_empty() && self.labels.is_empty() {
            return Err(Problem::invalid("hosts", "Choose a host or a label, or all hosts."));
        }
        let list = |words: &BTreeSet<String>| words.iter().cloned().collect();
        Ok(KitChoice { hosts: list(&self.hosts), labels: list(&self.labels) })
    }
}

fn view(
    state: &FleetState,
    chosen: &Chosen,
    offered: Option<&Secret>,
    problem: Option<&Problem>,
) -> Result<KitView, Problem> {
    let kits = state.kits()?;
    let words = words::kits(&kits);
    let all = state.hosts()?;
    let labels: BTreeSet<&String> = all.iter().flat_map(|host| &host.labels).collect();
    let choice = |name: &String, chosen: &BTreeSet<String>| KitHostChoice {
        name: name.clone(),
        chosen: chosen.contains(name),
    };
    let mut hosts = Vec::new();
    if all.len() <= MOST_PICKED {
        hosts.extend(all.iter().map(|host| choice(&host.name, &chosen.hosts)));
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let more = kits.gaps.len().saturating_sub(MOST_GAPS);
    Ok(KitView {
        kits: Badge::new(words.state, words.short),
        sentence: words.sentence,
        newest: kits.newest_at.map(|at| When::ago(state.now(), at)),
        gaps: kits
            .gaps
            .iter()
            .take(MOST_GAPS)
            .map(|gap| GapRow { name: gap.name.clone(), id: gap.host.to_string(), why: words::gap(gap.why) })
            .collect(),
        gaps_more: (more > 0).then(|| format!("And {} more.", count(more as u64))),
        all: chosen.all,
        count: count(all.len() as u64),
        hosts,
        names: chosen.hosts.iter().cloned().collect::<Vec<_>>().join(", "),
        labels: labels.into_iter().take(MOST_PICKED).map(|label| choice(label, &chosen.labels)).collect(),
        offered: offered.map(|offered| offered.expose().to_owned()),
        problem: problem.map(ProblemView::from),
    })
}

/// `GET /kit`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    let offered = new_passphrase().map_err(|error| {
        tracing::error!(%error, "no passphrase could be drawn");
        Problem::internal()
    })?;
    let chosen = Chosen { all: true, hosts: BTreeSet::new(), labels: BTreeSet::new() };
    ctx.read(move |ctx, state| ctx.page(&view(state, &chosen, Some(&offered), None)?)).await
}

/// `POST /kit`.
pub(crate) async fn make(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let chosen = Chosen::of(&form);
    match ask(&ctx, &form, &chosen).await {
        Err(problem) if problem.is_about_input() => {
            ctx.answer(move |ctx, state| {
                // Whoever has written down what was offered before types that again.
                let view = view(state, &chosen, None, Some(&problem))?;
                ctx.page_with(StatusCode::UNPROCESSABLE_ENTITY, &view)
            })
            .await
        }
        answer => answer,
    }
}

async fn ask(ctx: &Ctx, form: &Form, chosen: &Chosen) -> Result<Response<Body>, Problem> {
    let choice = chosen.choice()?;
    let passphrase = typed(Secret::new(form.raw("passphrase")), &Secret::new(form.raw("again")))?;
    kit_request::make(ctx, choice, passphrase, form.secret("password")).await
}
