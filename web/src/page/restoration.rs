//! What became of the hosts since this server was restored from an archive, and which of them obey another server.

use super::attention::{Attention, SafeAction};
use crate::app::Ctx;
use crate::format::{When, ago, count, many};
use crate::problem::Problem;
use crate::template::View;
use crate::words::{self, Badge};
use ::fleet::{FleetState, FormerServer, Reunion, StoreError, SupersededHost};
use axum::body::Body;
use axum::http::Response;
use schema::Timestamp;
use serde::Serialize;

/// Where the page is.
const HREF: &str = "/restoration";
/// So many hosts are named beside a cause.
const MOST_NAMES: usize = 5;
/// So many hosts are named on the page.
const MOST_ROWS: usize = 500;

/// The last restore.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RestoreRow {
    pub(crate) archive: When,
    pub(crate) restored: When,
    /// It was made of what could be read of a damaged data file, not of an archive.
    pub(crate) salvaged: bool,
    /// How many hosts have come back, in words.
    pub(crate) back: String,
    /// Those that have not: name, address.
    pub(crate) away: Vec<(String, String)>,
    pub(crate) more: usize,
    /// It is among what needs attention.
    pub(crate) open: bool,
}

/// A host that obeys another server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ElsewhereRow {
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) since: When,
    /// The incarnation that its agent has heard of.
    pub(crate) incarnation: String,
}

/// The server whose place this one has.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FormerView {
    pub(crate) title: String,
    pub(crate) text: String,
}

impl FormerView {
    fn new(now: Timestamp, server: &FormerServer) -> Self {
        let (title, text) = words::former(now, server);
        Self { title, text }
    }
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RestorationView {
    pub(crate) former: Option<FormerView>,
    pub(crate) restored: Option<RestoreRow>,
    pub(crate) elsewhere: Vec<ElsewhereRow>,
}

impl View for RestorationView {
    const TEMPLATE: &'static str = "page/restoration.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for RestorationView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let row = RestoreRow {
            archive: s.when(),
            restored: s.when(),
            salvaged: false,
            back: "3 of 4 hosts".to_owned(),
            away: vec![(s.text("boat-pi"), "/hosts/01".to_owned())],
            more: 2,
            open: true,
        };
        let elsewhere = ElsewhereRow {
            name: s.text("nas"),
            href: "/hosts/02".to_owned(),
            since: s.when(),
            incarnation: "1795392000".to_owned(),
        };
        let told = FormerView { title: s.text("The former server stands still"), text: s.text("Stop it.") };
        let all_back = RestoreRow { away: Vec::new(), more: 0, open: false, ..row.clone() };
        let salvaged = RestoreRow { salvaged: true, ..row.clone() };
        vec![
            Self { former: None, restored: Some(row), elsewhere: vec![elsewhere] },
            Self { former: None, restored: Some(salvaged), elsewhere: Vec::new() },
            Self { former: Some(told), restored: Some(all_back), elsewhere: Vec::new() },
            Self { former: None, restored: None, elsewhere: Vec::new() },
        ]
    }
}

fn back(reunion: &Reunion) -> String {
    let back = reunion.hosts.saturating_sub(reunion.away.len()) as u64;
    format!("{} of {}", count(back), many(reunion.hosts as u64, "host"))
}

fn link((id, name): &(schema::HostId, String)) -> (String, String) {
    (name.clone(), format!("/hosts/{id}"))
}

/// `GET /restoration`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.read(|ctx, state| {
        let now = ctx.now();
        let restored = state.reunion()?.map(|reunion| RestoreRow {
            archive: When::ago(now, reunion.restoration.archive_made_at),
            restored: When::ago(now, reunion.restoration.restored_at),
            salvaged: reunion.is_salvage,
            back: back(&reunion),
            away: reunion.away.iter().take(MOST_ROWS).map(link).collect(),
            more: reunion.away.len().saturating_sub(MOST_ROWS),
            open: !reunion.restoration.dismissed,
        });
        let elsewhere =
            state.superseded().into_iter().map(|SupersededHost { host, name, superseded }| ElsewhereRow {
                name,
                href: format!("/hosts/{host}"),
                since: When::ago(now, superseded.since),
                incarnation: superseded.by.to_string(),
            });
        let former = ctx.app.fleet.former_server()?.map(|it| FormerView::new(now, &it));
        ctx.page(&RestorationView { former, restored, elsewhere: elsewhere.collect() })
    })
    .await
}

/// `POST /restoration`: whoever looks after it has seen enough.
pub(crate) async fn dismiss(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.dismiss_restoration(ctx.by()).await?;
    Ok(ctx.go("/"))
}

/// What of it needs a person, on the fleet page.
pub(crate) fn attention(
    now: Timestamp,
    state: &FleetState,
    former: Option<&FormerServer>,
) -> Result<Vec<Attention>, StoreError> {
    let open = state.reunion()?.filter(|reunion| !reunion.restoration.dismissed);
    let restored = open.map(|reunion| of_restore(now, &reunion, former));
    Ok(of_others(&state.superseded()).into_iter().chain(restored).collect())
}

fn of_restore(now: Timestamp, reunion: &Reunion, former: Option<&FormerServer>) -> Attention {
    let restoration = &reunion.restoration;
    let (away, back) = (&reunion.away, back(reunion));
    let (at, until) = (ago(now, restoration.restored_at), When::until(restoration.archive_made_at).text);
    let done = if reunion.is_salvage {
        format!(
            "Salvaged {at} from a damaged data file; what could not be read, and what it was told since {until}, is lost."
        )
    } else {
        format!("Restored {at} from the archive of {until}; what it was told in between is lost.")
    };
    let former = former.map(|it| format!(" {}.", words::former(now, it).0)).unwrap_or_default();
    let text = format!(
        "{}. {done} {back} came back.{former}",
        if away.is_empty() { "back" } else { "not back yet" }
    );
    Attention {
        state: "warning",
        cause: if reunion.is_salvage {
            "This server was salvaged from a damaged data file"
        } else {
            "This server was restored from an archive"
        }
        .to_owned(),
        hosts: if away.is_empty() {
            vec![("All hosts".to_owned(), HREF.to_owned())]
        } else {
            away.iter().take(MOST_NAMES).map(link).collect()
        },
        more: away.len().saturating_sub(MOST_NAMES),
        text,
        action: SafeAction::look("See what became of it", HREF.to_owned()),
        ack: Some((HREF.to_owned(), restoration.incarnation.to_string())),
        rest: None,
    }
}

/// How it stands, for the settings: in short, and a sentence; `None` = nothing was restored.
pub(super) fn in_settings(
    now: Timestamp,
    state: &FleetState,
    former: Option<&FormerServer>,
) -> Result<Option<(Badge, String)>, StoreError> {
    let elsewhere = state.superseded().len() as u64;
    if elsewhere > 0 {
        let hosts = many(elsewhere, "host");
        return Ok(Some((
            Badge::new("failed", "Superseded"),
            format!("Another server made from this one serves {hosts}."),
        )));
    }
    let Some(reunion) = state.reunion()? else { return Ok(None) };
    let badge = match reunion.away.as_slice() {
        [] => Badge::new("ok", "All back"),
        _ => Badge::new("warning", "Not all back"),
    };
    let how = if reunion.is_salvage { "Salvaged" } else { "Restored" };
    let at = ago(now, reunion.restoration.restored_at);
    let former = former.map(|it| format!(" {}.", words::former(now, it).0)).unwrap_or_default();
    Ok(Some((badge, format!("{how} {at}; {} came back.{former}", back(&reunion)))))
}

fn of_others(superseded: &[SupersededHost]) -> Option<Attention> {
    superseded.first()?;
    Some(Attention {
        state: "failed",
        cause: "Another server made from this one serves these hosts".to_owned(),
        hosts: superseded
            .iter()
            .take(MOST_NAMES)
            .map(|known| (known.name.clone(), format!("/hosts/{}", known.host)))
            .collect(),
        more: superseded.len().saturating_sub(MOST_NAMES),
        text: "their agents obey the one that was restored later, and take nothing from this one.".to_owned(),
        action: SafeAction::look("What to do", HREF.to_owned()),
        ack: None,
        rest: None,
    })
}
