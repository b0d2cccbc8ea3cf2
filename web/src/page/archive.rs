//! Archives of the server: how they stand, those that there are, and who opens them. For admins.

use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::archive_request;
use crate::form::Form;
use crate::format::{When, bytes};
use crate::kit::{new_passphrase, typed};
use crate::problem::Problem;
use crate::reading::Reading;
use crate::template::View;
use crate::words::{self, Badge};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::ArchiveKey;
use fleet::record::Secret;
use serde::Serialize;

/// An archive.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ArchiveRow {
    pub(crate) name: String,
    pub(crate) at: When,
    pub(crate) bytes: String,
}

/// The page.
#[derive(Clone, Serialize)]
pub(crate) struct ArchivesView {
    pub(crate) state: Badge,
    /// The same in a sentence.
    pub(crate) sentence: String,
    pub(crate) rows: Vec<ArchiveRow>,
    pub(crate) folder: String,
    /// Whether one is being made.
    pub(crate) busy: bool,
    /// Since when the key is used; `None` = there is none.
    pub(crate) key: Option<When>,
    /// The recipients, one a line; empty = a passphrase.
    pub(crate) recipients: String,
    /// Recipients, instead of a passphrase, in the form.
    pub(crate) by_recipients: bool,
    /// A passphrase to take, shown this once.
    pub(crate) offered: Option<String>,
    /// The archive whose download was refused.
    pub(crate) refused: Option<String>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for ArchivesView {
    const TEMPLATE: &'static str = "page/archives.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for ArchivesView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let row = |name: &str| ArchiveRow { name: s.text(name), at: s.when(), bytes: "12.3 MiB".to_owned() };
        let view = Self {
            state: Badge::new("ok", "Up to date"),
            sentence: "The newest was made 3 h ago (12.3 MiB).".to_owned(),
            rows: vec![row("holdfast-archive-2026-11-12T023000Z.age")],
            folder: s.text("/var/lib/holdfast/backups"),
            busy: true,
            key: Some(s.when()),
            recipients: s.text("age1x"),
            by_recipients: true,
            offered: s.some("k7fp-22aa-bcde-fghi-jklm-nopq"),
            refused: None,
            problem: None,
        };
        let none = Self {
            state: Badge::new("never", "Not set up"),
            sentence: "None is made.".to_owned(),
            rows: Vec::new(),
            busy: false,
            key: None,
            recipients: String::new(),
            by_recipients: false,
            ..view.clone()
        };
        let wrong = |field| Self { problem: Some(ProblemView::sample(s, field)), ..view.clone() };
        let failed = Self {
            problem: Some(ProblemView { field: None, message: s.text("The disk is full.") }),
            ..view.clone()
        };
        let refused = Self {
            refused: Some(view.rows[0].name.clone()),
            problem: Some(ProblemView::sample(s, "password")),
            ..view.clone()
        };
        let mut views = vec![view.clone(), none, failed, refused];
        views.extend(["passphrase", "again", "password", "recipients"].map(wrong));
        views
    }
}

/// What a form had that was not taken.
#[derive(Default)]
struct Refused {
    problem: Option<Problem>,
    recipients: Option<String>,
    archive: Option<String>,
}

fn view(ctx: &Reading, offered: Option<&Secret>, refused: &Refused) -> Result<ArchivesView, Problem> {
    let (now, archives) = (ctx.now(), &ctx.app.settings.archives);
    archives.look();
    let status = archives.status()?;
    let words = words::archives(now, &status);
    let kept = status.key.as_ref().map(|key| key.recipients.join("\n")).unwrap_or_default();
    let recipients = refused.recipients.clone().unwrap_or(kept);
    Ok(ArchivesView {
        state: Badge::new(words.state, words.short),
        sentence: words.sentence,
        rows: status
            .kept
            .into_iter()
            .map(|kept| ArchiveRow { name: kept.name, at: When::ago(now, kept.at), bytes: bytes(kept.bytes) })
            .collect(),
        folder: status.folder,
        busy: status.is_busy,
        key: status.key.map(|key| When::ago(now, key.changed_at)),
        by_recipients: !recipients.is_empty(),
        recipients,
        offered: offered.map(|offered| offered.expose().to_owned()),
        refused: refused.archive.clone(),
        problem: refused.problem.as_ref().map(ProblemView::from),
    })
}

/// `GET /archives`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    let offered = new_passphrase().map_err(|error| {
        tracing::error!(%error, "no passphrase could be drawn");
        Problem::internal()
    })?;
    ctx.read(move |ctx, _| ctx.page(&view(ctx, Some(&offered), &Refused::default())?)).await
}

/// The page again, with what is wrong.
async fn again(ctx: &Ctx, refused: Refused) -> Result<Response<Body>, Problem> {
    let status = refused.problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    // Whoever has written down what was offered before types that again.
    ctx.answer(move |ctx, _| ctx.page_with(status, &view(ctx, None, &refused)?)).await
}

/// `POST /archives`.
pub(crate) async fn make(ctx: Ctx) -> Result<Response<Body>, Problem> {
    match archive_request::make(&ctx).await {
        Ok(_) => Ok(ctx.go("/archives")),
        Err(problem) => again(&ctx, Refused { problem: Some(problem), ..Refused::default() }).await,
    }
}

/// `POST /archives/key`.
pub(crate) async fn set_key(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let recipients = (form.raw("which") == "recipients").then(|| form.lines("recipients"));
    let set = async {
        let key = match &recipients {
            Some(recipients) => ArchiveKey::Recipients(recipients.clone()),
            None => {
                let again = Secret::new(form.raw("again"));
                ArchiveKey::Passphrase(typed(Secret::new(form.raw("passphrase")), &again)?)
            }
        };
        archive_request::set_key(&ctx, key, form.secret("password")).await
    };
    match set.await {
        Ok(()) => Ok(ctx.go("/archives")),
        Err(problem) if problem.is_about_input() => {
            let recipients = recipients.map(|lines| lines.join("\n"));
            again(&ctx, Refused { problem: Some(problem), recipients, ..Refused::default() }).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /archives/{archive}/download`.
pub(crate) async fn download(
    ctx: Ctx,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    match archive_request::download(&ctx, name.clone(), form.secret("password")).await {
        Err(problem) if problem.is_about_input() => {
            again(&ctx, Refused { problem: Some(problem), archive: Some(name), ..Refused::default() }).await
        }
        answer => answer,
    }
}
