//! What changed between two snapshots, by folder, with totals; and what the older one has is picked to be restored.

use super::problem_view::ProblemView;
use crate::api::dto::DiffBody;
use crate::app::Ctx;
use crate::explanation::Explanation;
use crate::format::{When, bytes, count, many};
use crate::problem::Problem;
use crate::query::Query;
use crate::reading::Reading;
use crate::run::compare;
use crate::template::View;
use crate::words::{job_result, many_entries};
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::record::{ChangeRow, DiffFigures, Host, Job, JobFigures, JobWhat};
use fleet::{FleetState, Refused};
use schema::JobId;
use schema::report::ChangeKind;
use serde::Serialize;

/// So many changes are shown at once.
const ROWS: usize = 500;

/// A path that differs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChangeView {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) icon: &'static str,
    /// What became of it, in a word.
    pub(crate) change: &'static str,
    pub(crate) size: Option<String>,
    /// The older snapshot has it, so that it can be restored from there.
    pub(crate) older: bool,
}

/// A folder with what differs in it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FolderChanges {
    pub(crate) folder: String,
    pub(crate) rows: Vec<ChangeView>,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChangesView {
    pub(crate) host_name: String,
    pub(crate) host_href: String,
    pub(crate) title: String,
    pub(crate) here: String,
    pub(crate) job: String,
    /// How far the comparison is, while it has not ended.
    pub(crate) open: Option<String>,
    pub(crate) failed: Option<(String, String)>,
    pub(crate) compared: Option<When>,
    pub(crate) totals: Vec<String>,
    pub(crate) left_out: Option<String>,
    pub(crate) folders: Vec<FolderChanges>,
    /// The older snapshot.
    pub(crate) against: String,
    pub(crate) restore_href: String,
    pub(crate) next_href: Option<String>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for ChangesView {
    const TEMPLATE: &'static str = "page/changes.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["changes"];
}

#[cfg(test)]
impl crate::sample::Samples for ChangesView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let row = |older| ChangeView {
            name: s.text("letter.txt"),
            path: s.text("/srv/letter.txt"),
            icon: "file",
            change: if older { "removed" } else { "added" },
            size: s.some("22 B"),
            older,
        };
        let view = |open: bool| Self {
            host_name: s.text("boat-pi"),
            host_href: "/hosts/01".to_owned(),
            title: s.text("Snapshot 4d02a9f1 compared with 0badcafe"),
            here: "/hosts/01/changes?job=02".to_owned(),
            job: "02".to_owned(),
            open: open.then(|| s.text("Being sent to the host.")),
            failed: open.then(|| (s.text("The host is offline."), s.text("It is asked when it returns."))),
            compared: (!open).then(|| s.when()),
            totals: vec![s.text("1 entry added, 22 B")],
            left_out: s.some("12 more changes are not shown."),
            folders: if open {
                Vec::new()
            } else {
                vec![FolderChanges { folder: s.text("/srv"), rows: vec![row(true), row(false)] }]
            },
            against: s.text("0badcafe"),
            restore_href: "/hosts/01/restore".to_owned(),
            next_href: (!open).then(|| "/x".to_owned()),
            problem: None,
        };
        vec![view(true), view(false)]
    }
}

/// `POST /hosts/{host}/snapshots/{snapshot}/changes`: compares with the one before.
pub(crate) async fn start(
    ctx: Ctx,
    Path((host, snapshot)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    let job = match compare(&ctx, &host, snapshot, DiffBody::default()).await? {
        Ok(job) => job.id,
        // The same comparison, asked for a moment ago.
        Err(Refused::JobInProgress { job }) => job,
        Err(refused) => return Err(refused.into()),
    };
    let host = ctx.find_host(&host).await?;
    Ok(ctx.go(&format!("/hosts/{}/changes?job={job}", host.id)))
}

/// `GET /hosts/{host}/changes`.
pub(crate) async fn show(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx: &Reading, state| {
        let host = ctx.host(state, &host)?;
        let Some(id) = query.get("job") else {
            return Ok(ctx.go(&format!("/hosts/{}/snapshots", host.id)));
        };
        let id = id.parse::<JobId>().map_err(|_| Refused::JobNotFound)?;
        let job = state.job(id)?.filter(|job| job.host == host.id).ok_or(Refused::JobNotFound)?;
        ctx.page(&read(ctx, state, &host, &job, query.get("after"))?)
    })
    .await
}

fn read(
    ctx: &Reading,
    state: &FleetState,
    host: &Host,
    job: &Job,
    after: Option<&str>,
) -> Result<ChangesView, Problem> {
    let JobWhat::Diff { against, snapshot } = &job.what else { return Err(Refused::JobNotFound.into()) };
    let short = |id: &str| id.chars().take(8).collect::<String>();
    let host_href = format!("/hosts/{}", host.id);
    let here = format!("{host_href}/changes?job={}", job.id);
    let mut view = ChangesView {
        host_name: host.name.clone(),
        title: format!("Snapshot {} compared with {}", short(snapshot), short(against)),
        job: job.id.to_string(),
        open: (!job.state.is_ended()).then(|| job_result(job, None)),
        failed: None,
        compared: None,
        totals: Vec::new(),
        left_out: None,
        folders: Vec::new(),
        against: against.clone(),
        restore_href: format!("{host_href}/restore"),
        next_href: None,
        problem: None,
        here,
        host_href,
    };
    if view.open.is_some() {
        return Ok(view);
    }
    let Some(found) = state.differences(job)? else {
        view.failed = Some(match Explanation::of(job) {
            Some(cause) => (cause.title.to_owned(), job.message.clone()),
            None => {
                ("Not kept any more".to_owned(), "A comparison is kept for a day: compare again.".to_owned())
            }
        });
        return Ok(view);
    };
    view.compared = Some(When::ago(ctx.now(), found.at));
    if let JobFigures::Differences(figures) = &job.figures {
        view.totals = totals(figures);
    }
    view.left_out = (found.left_out > 0).then(|| {
        format!(
            "{} are not shown: a comparison brings at most {}. The totals count them, but for their sizes.",
            many(u64::from(found.left_out), "more change"),
            count(u64::from(schema::limits::MAX_CHANGES))
        )
    });
    let (part, next) = found.part(ROWS, after);
    view.folders = by_folder(part);
    view.next_href = next.map(|next| {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("after", next).finish();
        format!("{}&{query}", view.here)
    });
    Ok(view)
}

fn totals(figures: &DiffFigures) -> Vec<String> {
    let with = |number, word, size| format!("{} {word}, {}", many_entries(number), bytes(size));
    let mut totals = vec![
        with(figures.added, "added", figures.added_bytes),
        with(figures.removed, "removed", figures.removed_bytes),
        with(figures.changed, "changed", figures.changed_bytes),
    ];
    totals.extend((figures.types > 0).then(|| format!("{} of another kind", many_entries(figures.types))));
    totals
}

fn by_folder(rows: &[ChangeRow]) -> Vec<FolderChanges> {
    let mut folders: Vec<FolderChanges> = Vec::new();
    for row in rows {
        let (folder, name) = row.path.rsplit_once('/').unwrap_or(("", &row.path));
        let folder = if folder.is_empty() { "/" } else { folder };
        let change = ChangeView {
            name: name.to_owned(),
            path: row.path.clone(),
            icon: if row.is_folder { "folder" } else { "file" },
            change: match row.change {
                ChangeKind::Added => "added",
                ChangeKind::Removed => "removed",
                ChangeKind::Changed => "changed",
                ChangeKind::Type => "another kind",
            },
            size: (!row.is_folder).then(|| bytes(row.bytes)),
            older: row.change != ChangeKind::Added,
        };
        match folders.iter_mut().find(|known| known.folder == folder) {
            Some(known) => known.rows.push(change),
            None => folders.push(FolderChanges { folder: folder.to_owned(), rows: vec![change] }),
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_stand_by_the_folder_that_they_are_in_and_what_was_there_can_be_picked() {
        let row =
            |path: &str, change| ChangeRow { path: path.to_owned(), change, is_folder: false, bytes: 1 };
        let rows = [
            row("/a", ChangeKind::Added),
            row("/s/x/one", ChangeKind::Removed),
            row("/s/y", ChangeKind::Changed),
            row("/s/x/two", ChangeKind::Type),
        ];
        let told: Vec<_> = by_folder(&rows)
            .into_iter()
            .map(|it| (it.folder, it.rows.into_iter().map(|row| (row.name, row.older)).collect::<Vec<_>>()))
            .collect();
        let named = |name: &str, older| (name.to_owned(), older);
        assert_eq!(
            told,
            [
                ("/".to_owned(), vec![named("a", false)]),
                ("/s/x".to_owned(), vec![named("one", true), named("two", true)]),
                ("/s".to_owned(), vec![named("y", true)]),
            ]
        );
    }
}
