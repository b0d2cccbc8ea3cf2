//! Looking into folders: of a snapshot, and of the host itself, where paths to keep are picked. What was listed once
//! stays to be seen while the host is away; a folder that was not is asked for.

use super::head::HostHead;
use super::run_button::why_not;
use crate::app::Ctx;
use crate::format::{When, bytes, count, exact};
use crate::problem::{Problem, sentence};
use crate::query::Query;
use crate::reading::Reading;
use crate::template::View;
use crate::words::{job_result, many_entries};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::record::{EntryCursor, EntryRow, Folder, FolderPlace, Job, Scope};
use fleet::{FleetState, JobRequest, Refused};
use schema::report::EntryKind;
use schema::{HostId, JobId, Timestamp};
use serde::Serialize;

/// A look at a host's own folder that is younger than this is not asked for again by walking about.
const FRESH_MS: u64 = 60_000;
/// So many entries are shown at once.
pub(super) const PART_ROWS: usize = 1_000;

/// A folder on the way to this one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Crumb {
    pub(crate) name: String,
    pub(crate) href: String,
}

/// An entry's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FolderEntryView {
    pub(crate) name: String,
    pub(crate) icon: &'static str,
    pub(crate) kind: &'static str,
    /// Where it is looked into; of folders.
    pub(crate) href: Option<String>,
    pub(crate) path: String,
    /// The line of it in the form of a source group.
    pub(crate) line: Option<String>,
    /// Why it can't be written as such a line.
    pub(crate) line_why: Option<String>,
    pub(crate) size: Option<String>,
    pub(crate) changed: Option<String>,
    /// Where it alone is restored; of a snapshot's.
    pub(crate) restore_href: Option<String>,
    /// Where it is downloaded; of files and folders of a snapshot.
    pub(crate) download: Option<String>,
}

/// The page, and the picker beside the form of a source group.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FolderView {
    pub(crate) head: HostHead,
    /// Paths are picked here for a form.
    pub(crate) pick: bool,
    /// It is the host's own folder.
    pub(crate) own: bool,
    pub(crate) title: String,
    pub(crate) path: String,
    /// As [`FolderEntryView::line`], of the folder itself.
    pub(crate) line: Option<String>,
    /// As [`FolderEntryView::line_why`].
    pub(crate) line_why: Option<String>,
    pub(crate) crumbs: Vec<Crumb>,
    /// Folders are asked for by pressing them: not for those who may only look at what is here.
    pub(crate) may_ask: bool,
    pub(crate) why: Option<String>,
    /// Where this folder is asked for again.
    pub(crate) again: String,
    pub(crate) here: String,
    /// The job that lists it just now.
    pub(crate) open: Option<String>,
    pub(crate) waits: String,
    /// Why the last look came to nothing, and where its job is.
    pub(crate) failed: Option<(String, String)>,
    pub(crate) listed: Option<When>,
    pub(crate) rows: Vec<FolderEntryView>,
    pub(crate) shown: String,
    pub(crate) first_href: Option<String>,
    pub(crate) next_href: Option<String>,
    /// Where a source group of this folder begins.
    pub(crate) group_href: Option<String>,
    /// Where files of it are restored; of a snapshot's.
    pub(crate) restore: Option<RestoreFrom>,
    /// Where the snapshot is compared with the one before.
    pub(crate) changes_href: Option<String>,
}

/// Where files of a snapshot's folder are restored.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RestoreFrom {
    /// Where a form with ticked paths goes.
    pub(crate) action: String,
    pub(crate) snapshot: String,
}

impl View for FolderView {
    const TEMPLATE: &'static str = "page/folder.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["host-presence", "folder"];
}

#[cfg(test)]
impl crate::sample::Samples for FolderView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let entry = |href: Option<&str>| FolderEntryView {
            name: s.text("photos"),
            icon: "folder",
            kind: "folder",
            href: href.map(str::to_owned),
            path: s.text("/srv/photos"),
            line: href.map(|_| s.text("/srv/photos")),
            line_why: s.some("its name is no UTF-8"),
            size: s.some("4.00 KiB"),
            changed: s.some("Mon 23 Nov 2026 06:41:12 UTC"),
            restore_href: Some(
                "/hosts/01/restore?snapshot=4d02a9f1&path=%2Fsrv%2Fphotos&step=where".to_owned(),
            ),
            download: Some("/hosts/01/snapshots/4d02a9f1/download?path=%2Fsrv%2Fphotos".to_owned()),
        };
        let folder = |pick, may_ask: bool| Self {
            head: HostHead::sample(s),
            pick,
            own: pick,
            title: s.text("Folders"),
            path: s.text("/srv"),
            line: s.some("/srv"),
            line_why: s.some("its name is no UTF-8"),
            crumbs: ["/", "srv"].map(|name| Crumb { name: name.to_owned(), href: "/x".to_owned() }).into(),
            may_ask,
            why: s.some("The host is offline."),
            again: "/x?path=%2F&again=1".to_owned(),
            here: "/x?path=%2F".to_owned(),
            open: may_ask.then(|| "01".to_owned()),
            waits: s.text("Being sent to the host."),
            failed: Some((s.text("The folder is not there."), "/jobs/01".to_owned())),
            listed: Some(s.when()),
            rows: vec![entry(Some("/x")), entry(None)],
            shown: s.text("2 of 2 entries"),
            first_href: Some("/x".to_owned()),
            next_href: Some("/x".to_owned()),
            group_href: Some("/x".to_owned()),
            restore: (!pick).then(|| RestoreFrom {
                action: "/hosts/01/restore".to_owned(),
                snapshot: s.text("4d02a9f1"),
            }),
            changes_href: (!pick).then(|| "/hosts/01/snapshots/4d02a9f1/changes".to_owned()),
        };
        vec![folder(true, true), folder(false, true), folder(false, false)]
    }
}

/// Which folder is meant.
struct FolderPageRequest {
    /// `None` = of the host itself.
    snapshot: Option<String>,
    path: String,
    pick: bool,
    job: Option<JobId>,
    cursor: Option<EntryCursor>,
}

impl FolderPageRequest {
    fn of(snapshot: Option<String>, query: &Query) -> Result<Self, Problem> {
        let path = fleet::clean_path(query.get("path").unwrap_or("/"))?;
        if let Some(id) = &snapshot {
            fleet::check_snapshot(id)?;
        }
        let job = query.get("job").and_then(|job| job.parse().ok());
        let cursor = query.get("cursor").and_then(|cursor| cursor.parse().ok());
        Ok(Self { snapshot, path, pick: query.get("pick").is_some(), job, cursor })
    }

    fn place(&self) -> FolderPlace<'_> {
        self.snapshot.as_deref().map_or(FolderPlace::Host, FolderPlace::Snapshot)
    }

    /// The address of a folder at the same place.
    fn href(&self, host: HostId, path: &str, job: Option<JobId>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("path", path);
        if self.pick {
            query.append_pair("pick", "1");
        }
        if let Some(job) = job {
            query.append_pair("job", &job.to_string());
        }
        let query = query.finish();
        match &self.snapshot {
            None => format!("/hosts/{host}/folders?{query}"),
            Some(id) => format!("/hosts/{host}/snapshots/{id}?{query}"),
        }
    }
}

fn request_of(place: FolderPlace<'_>, path: &str) -> JobRequest {
    let path = path.to_owned();
    match place {
        FolderPlace::Host => JobRequest::Browse { path },
        FolderPlace::Snapshot(id) => JobRequest::Ls { snapshot: id.to_owned(), path },
    }
}

/// A folder as it was listed last, and what is under way to list it.
pub(super) struct Look {
    pub(super) listed: Option<Folder>,
    /// The job that lists it just now.
    pub(super) open: Option<Job>,
    pub(super) waits: String,
    /// Why it can't be asked for right now.
    pub(super) why: Option<String>,
    /// Why the last look came to nothing, and where its job is.
    pub(super) failed: Option<(String, String)>,
}

impl Look {
    pub(super) fn read(
        state: &FleetState,
        host: HostId,
        place: FolderPlace<'_>,
        path: &str,
    ) -> Result<Self, Problem> {
        let listed = state.folder(host, place, path)?;
        let open = state.folder_job(host, place, path)?;
        let (why, failed) = match &open {
            Some(_) => (None, None),
            None => {
                (why_not(state, host, &request_of(place, path))?, state.folder_failure(host, place, path)?)
            }
        };
        Ok(Self {
            waits: open.as_ref().map(|job| waits(state, host, job)).transpose()?.unwrap_or_default(),
            listed,
            open,
            why,
            failed: failed.map(|job| (job.message.clone(), format!("/jobs/{}", job.id))),
        })
    }
}

/// Asks the host for a folder: the job that lists it, which may be one that does so already.
pub(super) async fn ask_for(
    ctx: &Ctx,
    host: HostId,
    place: FolderPlace<'_>,
    path: &str,
) -> Result<JobId, Refused> {
    match ctx.app.fleet.dispatch(host, request_of(place, path), ctx.by()).await {
        Ok(job) => Ok(job.id),
        Err(Refused::JobInProgress { job }) => Ok(job),
        Err(refused) => Err(refused),
    }
}

/// The icon and the word of a kind of entry.
pub(super) const fn kind_words(kind: EntryKind) -> (&'static str, &'static str) {
    match kind {
        EntryKind::Folder => ("folder", "folder"),
        EntryKind::File => ("file", "file"),
        EntryKind::Symlink => ("file", "symbolic link"),
        EntryKind::Other => ("file", "device or socket"),
    }
}

/// Whether walking into a folder has to ask the host for it: pure. What a snapshot holds does not change.
fn must_ask(listed: Option<&Folder>, place: FolderPlace<'_>, now: Timestamp) -> bool {
    match (listed, place) {
        (None, _) => true,
        (Some(_), FolderPlace::Snapshot(_)) => false,
        (Some(folder), FolderPlace::Host) => now < folder.at || now.ms_since(folder.at) > FRESH_MS,
    }
}

/// Where a folder is asked for once more.
pub(super) fn again_href(host: HostId, snapshot: Option<&str>, path: &str) -> String {
    let wanted = FolderPageRequest {
        snapshot: snapshot.map(str::to_owned),
        path: path.to_owned(),
        pick: false,
        job: None,
        cursor: None,
    };
    format!("{}&again=1", wanted.href(host, path, None))
}

/// `GET /hosts/{host}/folders?path=`.
pub(crate) async fn show_own(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    show(&ctx, host, FolderPageRequest::of(None, &query)?).await
}

/// `GET /hosts/{host}/snapshots/{snapshot}?path=`.
pub(crate) async fn show_snapshot(
    ctx: Ctx,
    Path((host, snapshot)): Path<(String, String)>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    show(&ctx, host, FolderPageRequest::of(Some(snapshot), &query)?).await
}

/// `POST /hosts/{host}/folders?path=`.
pub(crate) async fn ask_own(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    ask(&ctx, host, FolderPageRequest::of(None, &query)?, query.get("again").is_some()).await
}

/// `POST /hosts/{host}/snapshots/{snapshot}?path=`.
pub(crate) async fn ask_snapshot(
    ctx: Ctx,
    Path((host, snapshot)): Path<(String, String)>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    ask(&ctx, host, FolderPageRequest::of(Some(snapshot), &query)?, query.get("again").is_some()).await
}

async fn show(ctx: &Ctx, host: String, wanted: FolderPageRequest) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| answer(ctx, &read(ctx, state, &host, &wanted)?)).await
}

fn answer(ctx: &Reading, view: &FolderView) -> Result<Response<Body>, Problem> {
    if view.pick && ctx.htmx { ctx.fragment(StatusCode::OK, "folder", view) } else { ctx.page(view) }
}

async fn ask(
    ctx: &Ctx,
    host: String,
    wanted: FolderPageRequest,
    again: bool,
) -> Result<Response<Body>, Problem> {
    let look = move |ctx: &Reading, state: &FleetState| {
        let id = ctx.host(state, &host)?.id;
        let listed = state.folder(id, wanted.place(), &wanted.path)?;
        let must_ask = must_ask(listed.as_ref(), wanted.place(), ctx.now());
        Ok((host, wanted, id, listed.is_some(), must_ask))
    };
    let (host, mut wanted, id, is_listed, must_ask) = ctx.read(look).await?;
    if again || must_ask {
        match ask_for(ctx, id, wanted.place(), &wanted.path).await {
            Ok(job) => wanted.job = Some(job),
            // What is here can be looked at all the same; why there is no newer one stands beside it.
            Err(_) if is_listed || wanted.pick => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    if wanted.pick && ctx.htmx {
        return ctx.answer(move |ctx, state| answer(ctx, &read(ctx, state, &host, &wanted)?)).await;
    }
    Ok(ctx.go(&wanted.href(id, &wanted.path, wanted.job)))
}

fn read(
    ctx: &Ctx,
    state: &FleetState,
    host: &str,
    wanted: &FolderPageRequest,
) -> Result<FolderView, Problem> {
    let tab = if wanted.snapshot.is_some() { "snapshots" } else { "overview" };
    let (head, row) = HostHead::read(ctx, state, host, tab)?;
    let (id, now) = (row.host.id, ctx.now());
    let Look { listed, open, waits, why, failed } = Look::read(state, id, wanted.place(), &wanted.path)?;
    let (entries, next) =
        listed.as_ref().map_or((&[][..], None), |it| it.part(PART_ROWS, wanted.cursor.as_ref()));
    let here = wanted.href(id, &wanted.path, None);
    let line = fleet::include_of(&wanted.path);
    let may_ask = ctx.may(Scope::Run) && why.is_none();
    Ok(FolderView {
        pick: wanted.pick,
        own: wanted.snapshot.is_none(),
        title: title(state, id, wanted)?,
        line_why: line.as_ref().err().map(|why| sentence(&why.to_string())),
        group_href: line
            .as_ref()
            .ok()
            .filter(|_| wanted.snapshot.is_none() && !wanted.pick && wanted.path != "/")
            .map(|line| {
                let query =
                    form_urlencoded::Serializer::new(String::new()).append_pair("path", line).finish();
                format!("/hosts/{id}/new-group?{query}")
            }),
        changes_href: wanted
            .snapshot
            .as_ref()
            .map(|snapshot| format!("/hosts/{id}/snapshots/{snapshot}/changes")),
        restore: wanted.snapshot.as_ref().map(|snapshot| RestoreFrom {
            action: format!("/hosts/{id}/restore"),
            snapshot: snapshot.clone(),
        }),
        line: line.ok(),
        path: wanted.path.clone(),
        crumbs: crumbs(id, wanted),
        may_ask,
        why,
        again: format!("{}&again=1", wanted.href(id, &wanted.path, None)),
        here: wanted.href(id, &wanted.path, open.as_ref().map(|job| job.id).or(wanted.job)),
        waits,
        open: open.map(|job| job.id.to_string()),
        failed,
        listed: listed.as_ref().map(|folder| When::ago(now, folder.at)),
        rows: rows(id, wanted, entries).collect(),
        shown: listed.as_ref().map(|folder| shown(folder, entries.len())).unwrap_or_default(),
        first_href: wanted.cursor.as_ref().map(|_| here.clone()),
        next_href: next.map(|next| {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("cursor", &next.to_string())
                .finish();
            format!("{here}&{query}")
        }),
        head,
    })
}

fn title(state: &FleetState, host: HostId, wanted: &FolderPageRequest) -> Result<String, Problem> {
    let Some(id) = &wanted.snapshot else { return Ok("Folders".to_owned()) };
    let listed = state.known_snapshots(host)?;
    let short: String = id.chars().take(8).collect();
    Ok(match listed.iter().find(|row| row.id.starts_with(id.as_str())) {
        Some(row) => format!("Snapshot {short} of {}", exact(row.time)),
        None => format!("Snapshot {short}"),
    })
}

/// Why a look takes its time.
fn waits(state: &FleetState, host: HostId, job: &Job) -> Result<String, Problem> {
    let before = state.open_jobs(host)?.into_iter().find(|other| other.id < job.id);
    Ok(match before {
        Some(other) => {
            let title = crate::words::job_title(&other.what);
            format!("{title} runs on this host first.")
        }
        None => job_result(job, None),
    })
}

fn crumbs(host: HostId, wanted: &FolderPageRequest) -> Vec<Crumb> {
    let mut path = String::new();
    let mut crumbs = vec![Crumb { name: "/".to_owned(), href: wanted.href(host, "/", None) }];
    for name in wanted.path.split('/').filter(|name| !name.is_empty()) {
        path = format!("{path}/{name}");
        crumbs.push(Crumb { name: name.to_owned(), href: wanted.href(host, &path, None) });
    }
    crumbs
}

fn rows<'a>(
    host: HostId,
    wanted: &'a FolderPageRequest,
    entries: &'a [EntryRow],
) -> impl Iterator<Item = FolderEntryView> + 'a {
    entries.iter().map(move |entry| {
        let path = format!("{}/{}", wanted.path.trim_end_matches('/'), entry.name);
        let (icon, kind) = kind_words(entry.kind);
        let line = fleet::include_of(&path);
        FolderEntryView {
            name: entry.name.clone(),
            icon,
            kind,
            href: (entry.kind == EntryKind::Folder).then(|| wanted.href(host, &path, None)),
            line_why: line.as_ref().err().map(|why| sentence(&why.to_string())),
            line: line.ok(),
            restore_href: wanted.snapshot.as_ref().map(|snapshot| restore_href(host, snapshot, &path)),
            download: wanted
                .snapshot
                .as_ref()
                .filter(|_| matches!(entry.kind, EntryKind::File | EntryKind::Folder))
                .map(|snapshot| crate::download::href(host, snapshot, &path)),
            path,
            size: (entry.kind == EntryKind::File).then(|| bytes(entry.bytes)),
            changed: entry.modified_at.map(exact),
        }
    })
}

/// Where this path of a snapshot is restored.
fn restore_href(host: HostId, snapshot: &str, path: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("snapshot", snapshot).append_pair("path", path).append_pair("step", "where");
    format!("/hosts/{host}/restore?{}", query.finish())
}

pub(super) fn shown(folder: &Folder, shown: usize) -> String {
    let all = folder.entries.len();
    let mut text = if all > shown {
        format!("{} of {} entries", count(shown as u64), count(all as u64))
    } else {
        many_entries(all as u64)
    };
    if folder.left_out > 0 {
        text = format!(
            "{text}; {} omitted (too many, or with a name that is too long or could not be read)",
            count(folder.left_out.into())
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_asked_once_and_a_host_when_the_look_is_old() {
        let now = Timestamp(10 * FRESH_MS);
        let at = |ms| Some(Folder { at: Timestamp(ms), entries: Vec::new(), left_out: 0 });
        let host = FolderPlace::Host;
        for (listed, place, ask) in [
            (None, host, true),
            (None, FolderPlace::Snapshot("a"), true),
            (at(0), FolderPlace::Snapshot("a"), false),
            (at(0), host, true),
            (at(9 * FRESH_MS), host, false),
        ] {
            assert_eq!(must_ask(listed.as_ref(), place, now), ask, "{listed:?} {place:?}");
        }
    }

    #[test]
    fn a_path_is_a_row_of_steps_that_survive_odd_names() {
        let wanted = FolderPageRequest {
            snapshot: None,
            path: "/a b/ü&x".to_owned(),
            pick: true,
            job: None,
            cursor: None,
        };
        let steps = crumbs(HostId([0; 16]), &wanted);
        let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["/", "a b", "ü&x"]);
        assert!(steps[2].href.ends_with("/folders?path=%2Fa+b%2F%C3%BC%26x&pick=1"), "{}", steps[2].href);
    }
}
