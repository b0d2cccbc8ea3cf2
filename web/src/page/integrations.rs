//! What other people's tools may find, and the feeds that they read. For admins.

use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::feed::AskedFeed;
use crate::feed_request;
use crate::form::Form;
use crate::format::When;
use crate::new_secret::Minted;
use crate::problem::Problem;
use crate::reading::Reading;
use crate::template::View;
use crate::words::{self, Badge};
use ::fleet::FleetState;
use ::fleet::record::{Feed, FeedKind, FeedOf};
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use serde::Serialize;

/// A feed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FeedLine {
    pub(crate) name: String,
    pub(crate) what: &'static str,
    pub(crate) of: String,
    pub(crate) created: When,
    pub(crate) by: String,
}

/// A sort of feed to choose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KindChoice {
    pub(crate) word: &'static str,
    pub(crate) label: &'static str,
    pub(crate) chosen: bool,
}

/// The form of a new feed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FeedForm {
    pub(crate) name: String,
    pub(crate) kinds: Vec<KindChoice>,
    pub(crate) label: String,
    pub(crate) host: String,
    pub(crate) names: bool,
    pub(crate) problem: Option<ProblemView>,
}

/// The page.
#[derive(Clone, Serialize)]
pub(crate) struct IntegrationsView {
    /// Whether Home Assistant finds the hosts.
    pub(crate) home_assistant: bool,
    pub(crate) state: Badge,
    /// What a bridge of mosquitto takes over from here.
    pub(crate) bridge: Vec<&'static str>,
    pub(crate) feeds: Vec<FeedLine>,
    /// The address of the feed that was just made, shown this once.
    pub(crate) minted: Option<Minted>,
    pub(crate) feed: FeedForm,
}

impl View for IntegrationsView {
    const TEMPLATE: &'static str = "page/integrations.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for IntegrationsView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let feed = FeedForm {
            name: s.text("wall"),
            label: s.text("office"),
            host: s.text("nas"),
            names: true,
            ..form(&AskedFeed::default(), None)
        };
        let line = FeedLine {
            name: s.text("wall"),
            what: kind_words(FeedKind::Badge),
            of: s.text("hosts labelled office, named"),
            created: s.when(),
            by: s.text("mira"),
        };
        let minted = Minted {
            title: s.text("Feed wall"),
            text: ONCE,
            needs_ca: false,
            lines: vec![("Its address", s.text("https://fleet.example/feeds/hff_x/badge.svg"))],
        };
        let on = view(true, vec![line], feed);
        let wrong = |field| Self {
            feed: FeedForm { problem: Some(ProblemView::sample(s, field)), ..on.feed.clone() },
            ..on.clone()
        };
        let off = view(false, Vec::new(), form(&AskedFeed::default(), None));
        let mut views = ["name", "kind", "label", "host"].map(wrong).to_vec();
        views.extend([off, Self { minted: Some(minted), ..on }]);
        views
    }
}

const PAGE: &str = "/integrations";
const ONCE: &str = "Copy it now: it is not shown again. Whoever has it can read it.";

const fn kind_words(kind: FeedKind) -> &'static str {
    match kind {
        FeedKind::Status => "status.json, for a status page",
        FeedKind::Badge => "a badge, for another page",
        FeedKind::Calendar => "a calendar of what is due",
    }
}

fn form(asked: &AskedFeed, problem: Option<ProblemView>) -> FeedForm {
    let kind = |kind: FeedKind| KindChoice {
        word: kind.as_str(),
        label: kind_words(kind),
        chosen: kind.as_str() == asked.kind,
    };
    FeedForm {
        name: asked.name.clone(),
        kinds: FeedKind::ALL.map(kind).to_vec(),
        label: asked.label.clone().unwrap_or_default(),
        host: asked.host.clone().unwrap_or_default(),
        names: asked.names,
        problem,
    }
}

fn view(home_assistant: bool, feeds: Vec<FeedLine>, feed: FeedForm) -> IntegrationsView {
    IntegrationsView {
        home_assistant,
        state: if home_assistant { Badge::new("ok", "on") } else { Badge::new("unset", "off") },
        bridge: vec!["topic hf/1/view/# in 0", "topic homeassistant/# in 0"],
        feeds,
        minted: None,
        feed,
    }
}

fn line(ctx: &Reading, state: &FleetState, feed: Feed) -> Result<FeedLine, Problem> {
    let of = match feed.of {
        FeedOf::Fleet => "all hosts".to_owned(),
        FeedOf::Label(label) => format!("hosts labelled {label}"),
        FeedOf::Host(host) => {
            state.host(host)?.map_or_else(|| "a host that was deleted".to_owned(), |host| host.name)
        }
    };
    Ok(FeedLine {
        name: feed.name,
        what: kind_words(feed.kind),
        of: if feed.names { format!("{of}, named") } else { of },
        created: When::ago(ctx.now(), feed.created_at),
        by: words::by(&feed.created_by),
    })
}

fn read(ctx: &Reading, state: &FleetState, feed: FeedForm) -> Result<IntegrationsView, Problem> {
    let feeds = state.feeds()?.into_iter().map(|feed| line(ctx, state, feed)).collect::<Result<_, _>>()?;
    Ok(view(state.home_assistant()?, feeds, feed))
}

/// `GET /integrations`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.read(|ctx, state| {
        let minted = ctx.app.minted().take(ctx.now(), &ctx.by().actor, PAGE);
        ctx.page(&IntegrationsView { minted, ..read(ctx, state, form(&AskedFeed::default(), None))? })
    })
    .await
}

/// `POST /integrations/home-assistant`.
pub(crate) async fn switch_home_assistant(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let on = match form.raw("switch") {
        "on" => true,
        "off" => false,
        _ => return Err(Problem::invalid("switch", "It is switched on or off.")),
    };
    ctx.app.fleet.switch_home_assistant(on, ctx.by()).await?;
    Ok(ctx.go(PAGE))
}

/// `POST /integrations/feeds`.
pub(crate) async fn add_feed(ctx: Ctx, sent: Form) -> Result<Response<Body>, Problem> {
    let filled = |name| Some(sent.text(name)).filter(|text| !text.is_empty());
    let asked = AskedFeed {
        name: sent.text("name"),
        kind: sent.text("kind"),
        label: filled("label"),
        host: filled("host"),
        names: sent.has("names"),
    };
    match feed_request::add(&ctx, asked.clone()).await {
        Ok((name, url)) => {
            let mut lines = vec![("Its address", url.clone())];
            if asked.kind == FeedKind::Badge.as_str() {
                lines.push(("On a page", format!("<img src=\"{url}\" alt=\"Backups\">")));
            }
            let minted = Minted { title: format!("Feed {name}"), text: ONCE, needs_ca: false, lines };
            ctx.app.minted().leave(ctx.now(), &ctx.by().actor, PAGE, minted);
            Ok(ctx.go(&format!("{PAGE}#minted")))
        }
        Err(problem) if problem.is_about_input() => {
            let status = problem.status;
            let shown = form(&asked, Some(ProblemView::from(&problem)));
            ctx.answer(move |ctx, state| ctx.page_with(status, &read(ctx, state, shown)?)).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /integrations/feeds/{name}/delete`.
pub(crate) async fn delete_feed(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.delete_feed(name, ctx.by()).await?;
    Ok(ctx.go(&format!("{PAGE}#feeds")))
}
