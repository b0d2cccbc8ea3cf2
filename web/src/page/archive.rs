//! Archives of the server: how they stand, those that there are, and who opens them. For admins.

use super::problem_view::ProblemView;
use crate::app::Ctx;
use crate::archive_request;
use crate::form::Form;
use crate::format::{When, bytes};
use crate::kit::{new_passphrase, typed};
use crate::problem::Problem;
use crate::reading::Reading;
use crate::standby_request;
use crate::template::View;
use crate::words::{self, Badge};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::record::Secret;
use fleet::{ArchiveKey, Standby, leads_others};
use schema::Timestamp;
use serde::Serialize;

/// An archive.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ArchiveRow {
    pub(crate) name: String,
    pub(crate) at: When,
    pub(crate) bytes: String,
}

/// A standby of the server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StandbyLine {
    pub(crate) name: String,
    pub(crate) recipient: String,
    /// When it was heard of, in words.
    pub(crate) heard: String,
    pub(crate) late: bool,
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
    /// Whether any is made: not by a server that only reads.
    pub(crate) makes: bool,
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
    pub(crate) standbys: Vec<StandbyLine>,
    /// The token of the standby that was just added, shown this once.
    pub(crate) token: Option<String>,
    /// The command that starts it.
    pub(crate) follow: String,
    /// What was typed of a standby that was not added: its name and its recipient.
    pub(crate) typed: (String, String),
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
            makes: true,
            key: Some(s.when()),
            recipients: s.text("age1x"),
            by_recipients: true,
            offered: s.some("k7fp-22aa-bcde-fghi-jklm-nopq"),
            refused: None,
            standbys: vec![StandbyLine {
                name: s.text("attic"),
                recipient: s.text("age1x"),
                heard: "asked 3 min ago".to_owned(),
                late: true,
            }],
            token: s.some("hfs_x"),
            follow: s.text("holdfast-server serve --follow https://holdfast.example"),
            typed: (s.text("barn"), s.text("age1y")),
            problem: None,
        };
        let none = Self {
            state: Badge::new("never", "Not set up"),
            sentence: "None is made.".to_owned(),
            rows: Vec::new(),
            busy: false,
            makes: false,
            key: None,
            recipients: String::new(),
            by_recipients: false,
            standbys: Vec::new(),
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
        views.extend(
            [
                "passphrase",
                "again",
                "password",
                "recipients",
                "standby-name",
                "standby-recipient",
                "standby-password",
            ]
            .map(wrong),
        );
        views
    }
}

/// What a form had that was not taken.
#[derive(Default)]
struct RefusedForm {
    problem: Option<Problem>,
    recipients: Option<String>,
    archive: Option<String>,
    standby: (String, String),
}

/// What is shown once.
#[derive(Default)]
struct Once {
    passphrase: Option<Secret>,
    token: Option<Secret>,
}

fn view(ctx: &Reading, once: &Once, refused: &RefusedForm) -> Result<ArchivesView, Problem> {
    let (now, archives) = (ctx.now(), &ctx.app.settings.archives);
    archives.look();
    let status = archives.status()?;
    let standbys = ctx.app.fleet.standbys()?;
    let makes = !ctx.app.fleet.only_reads();
    let words = words::archives(now, &status, &standbys);
    let (state, sentence) = standing(words, makes);
    let kept = status.key.as_ref().map(|key| key.recipients.join("\n")).unwrap_or_default();
    let recipients = refused.recipients.clone().unwrap_or(kept);
    Ok(ArchivesView {
        state,
        sentence,
        rows: status
            .kept
            .into_iter()
            .map(|kept| ArchiveRow { name: kept.name, at: When::ago(now, kept.at), bytes: bytes(kept.bytes) })
            .collect(),
        folder: status.folder,
        busy: status.is_busy,
        makes,
        key: status.key.map(|key| When::ago(now, key.changed_at)),
        by_recipients: !recipients.is_empty(),
        recipients,
        offered: once.passphrase.as_ref().map(|offered| offered.expose().to_owned()),
        refused: refused.archive.clone(),
        standbys: standbys.iter().map(|standby| line(now, standby)).collect(),
        token: once.token.as_ref().map(|token| token.expose().to_owned()),
        follow: follow(&ctx.app.settings.public_url),
        typed: refused.standby.clone(),
        problem: refused.problem.as_ref().map(ProblemView::from),
    })
}

/// How archives stand where none is made any more: those that there are still are what they were.
fn standing(words: words::ArchivesWords, makes: bool) -> (Badge, String) {
    if makes {
        return (Badge::new(words.state, words.short), words.sentence);
    }
    let sentence = format!("None is made any more, for this server only reads. {}", words.sentence);
    (Badge::new("warning", "None is made"), sentence)
}

/// What starts a standby of the server whose pages are there.
fn follow(url: &str) -> String {
    let url = if leads_others(url) { url } else { "URL" };
    format!("holdfast-server serve --follow {url} --data-dir NEWDIR --mqtt-public ADDRESS:8883")
}

fn line(now: Timestamp, standby: &Standby) -> StandbyLine {
    StandbyLine {
        name: standby.name.clone(),
        recipient: standby.recipient.clone(),
        heard: words::heard(now, standby),
        late: standby.is_late,
    }
}

/// `GET /archives`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    let offered = new_passphrase().map_err(|error| {
        tracing::error!(%error, "no passphrase could be drawn");
        Problem::internal()
    })?;
    let once = Once { passphrase: Some(offered), token: None };
    ctx.read(move |ctx, _| ctx.page(&view(ctx, &once, &RefusedForm::default())?)).await
}

/// The page again, with what is wrong.
async fn again(ctx: &Ctx, refused: RefusedForm) -> Result<Response<Body>, Problem> {
    let status = refused.problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    // Whoever has written down what was offered before types that again.
    ctx.answer(move |ctx, _| ctx.page_with(status, &view(ctx, &Once::default(), &refused)?)).await
}

/// `POST /archives`.
pub(crate) async fn make(ctx: Ctx) -> Result<Response<Body>, Problem> {
    match archive_request::make(&ctx).await {
        Ok(_) => Ok(ctx.go("/archives")),
        Err(problem) => again(&ctx, RefusedForm { problem: Some(problem), ..RefusedForm::default() }).await,
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
            again(&ctx, RefusedForm { problem: Some(problem), recipients, ..RefusedForm::default() }).await
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
            again(&ctx, RefusedForm { problem: Some(problem), archive: Some(name), ..RefusedForm::default() })
                .await
        }
        answer => answer,
    }
}

/// `POST /archives/standbys`.
pub(crate) async fn add_standby(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let standby = (form.text("name"), form.text("recipient"));
    let added = standby_request::add(&ctx, standby.0.clone(), standby.1.clone(), form.secret("password"));
    match added.await {
        Ok(token) => {
            let once = Once { passphrase: None, token: Some(token) };
            ctx.answer(move |ctx, _| ctx.page(&view(ctx, &once, &RefusedForm::default())?)).await
        }
        Err(problem) if problem.is_about_input() => {
            // The other form has fields of these names, too.
            let field = problem.field.as_ref().map(|field| format!("standby-{field}"));
            let problem = Some(Problem { field, ..problem });
            again(&ctx, RefusedForm { problem, standby, ..RefusedForm::default() }).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /archives/standbys/{name}/remove`.
pub(crate) async fn remove_standby(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.remove_standby(name, ctx.by()).await?;
    Ok(ctx.go("/archives"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_of_a_server_that_makes_none_are_not_up_to_date() {
        let words = || words::ArchivesWords {
            state: "ok",
            short: "Up to date",
            sentence: "The newest was made 3 h ago.".to_owned(),
        };
        assert_eq!(standing(words(), true).0, Badge::new("ok", "Up to date"));
        let (state, sentence) = standing(words(), false);
        assert_eq!(state, Badge::new("warning", "None is made"));
        assert!(sentence.starts_with("None is made any more") && sentence.ends_with("3 h ago."));
    }
}
