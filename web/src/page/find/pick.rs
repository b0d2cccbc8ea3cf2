//! What was picked of the hits: the snapshot, or the few, that have these versions, and on to the restore.

use super::super::problem_view::ProblemView;
use super::super::restore::{paths_href, plan_paths};
use super::view;
use super::wanted::{FindPageRequest, Shown, Split, blank, plan_of};
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use crate::reading::Reading;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use fleet::record::{Found, FoundVersion, Job};
use fleet::{FleetState, Refused};
use schema::JobId;
use std::collections::BTreeMap;

/// `POST /find/pick`: with `plan`, the dry run into a new folder at once.
pub(crate) async fn pick(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    let id = form.text("job").parse::<JobId>().map_err(|_| Problem::from(Refused::JobNotFound))?;
    let find = move |_: &Reading, state: &FleetState| -> Result<(Job, Found), Problem> {
        let job = state.job(id)?.filter(|job| plan_of(job).is_some()).ok_or(Refused::JobNotFound)?;
        let found = state.found(&job)?.ok_or_else(|| {
            Problem::not_found("What this search found is not kept any more: search again.")
        })?;
        Ok((job, found))
    };
    let (job, found) = ctx.read(find).await?;
    let picks = picks(&found, &form);
    let groups = by_snapshot(&picks);
    let problem = match groups.as_slice() {
        [] => Problem::invalid("paths", "Tick files or folders first."),
        [(snapshot, paths)] if form.has("plan") => {
            let paths = paths.iter().map(|path| (*path).to_owned()).collect();
            return plan_paths(&ctx, job.host, snapshot, paths).await;
        }
        [(snapshot, paths)] => {
            let (href, held) = paths_href(job.host, snapshot, paths.iter().copied());
            if held == paths.len() {
                return Ok(ctx.go(&href));
            }
            Problem::invalid(
                "paths",
                "These are too many for one address: make the plan at once, or tick fewer.",
            )
        }
        _ => Problem::invalid(
            "split",
            "No snapshot has all of these versions, so they come back by several restores, one for each snapshot.",
        ),
    };
    let split: Vec<Split> = match groups.as_slice() {
        [_, _, ..] => groups.iter().map(|group| Split::new(job.host, &picks, group)).collect(),
        _ => Vec::new(),
    };
    ctx.answer(move |ctx, state| {
        let hosts = state.host(job.host)?.into_iter().collect();
        let plan = plan_of(&job).cloned().unwrap_or_else(blank);
        let shown = Shown { after: None, split };
        let wanted = FindPageRequest { plan, hosts, left_out: 0, jobs: vec![job], shown };
        let mut view = view::read(state, &wanted)?;
        view.problem = Some(ProblemView::from(&problem));
        ctx.page_with(StatusCode::UNPROCESSABLE_ENTITY, &view)
    })
    .await
}

/// The picked paths, each with the version that was chosen; the newest when none was.
fn picks<'f>(found: &'f Found, form: &Form) -> Vec<(&'f str, &'f FoundVersion)> {
    let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, value) in form.fields() {
        if name == "version"
            && let Some((place, path)) = value.split_once(' ')
            && let Ok(place) = place.parse()
        {
            chosen.insert(path, place);
        }
    }
    let ticked = form.all("path");
    let is_ticked = |path: &str| ticked.iter().any(|ticked| ticked == path);
    let picked = found.paths.iter().filter(|found| is_ticked(&found.path));
    picked
        .filter_map(|found| {
            let place = chosen.get(found.path.as_str()).copied().unwrap_or_default();
            Some((found.path.as_str(), found.versions.get(place)?))
        })
        .collect()
}

/// The fewest snapshots that have all of it, nearly: each time the one that has most of what is left, the newer one of
/// two.
fn by_snapshot<'f>(picks: &[(&'f str, &'f FoundVersion)]) -> Vec<(&'f str, Vec<&'f str>)> {
    let mut left: Vec<_> = picks.to_vec();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, version) in &left {
            version.held_by.iter().for_each(|id| *counts.entry(id).or_default() += 1);
        }
        // Newest first within a version, so the first of the most is the newest of them.
        let most = counts.values().max().copied().unwrap_or_default();
        let held = |version: &'f FoundVersion| version.held_by.iter().find(|id| counts[id.as_str()] == most);
        let Some(best) = left.iter().find_map(|(_, version)| held(version)) else { return groups };
        let has = |version: &FoundVersion| version.held_by.contains(best);
        let paths = left.iter().filter(|(_, version)| has(version)).map(|(path, _)| *path).collect();
        left.retain(|(_, version)| !has(version));
        groups.push((best.as_str(), paths));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::record::FoundPath;
    use schema::Timestamp;
    use schema::report::EntryKind;

    fn version(held_by: &[&str]) -> FoundVersion {
        FoundVersion {
            held_by: held_by.iter().map(|id| (*id).to_owned()).collect(),
            time: Timestamp(1),
            kind: EntryKind::File,
            bytes: 1,
            files: 0,
            modified_at: None,
        }
    }

    #[test]
    fn what_one_snapshot_has_is_one_restore_of_the_newest_that_has_all() {
        let (both, new, old) = (version(&["c", "b", "a"]), version(&["c"]), version(&["b", "a"]));
        assert_eq!(by_snapshot(&[]), vec![]);
        assert_eq!(by_snapshot(&[("/x", &both)]), [("c", vec!["/x"])]);
        assert_eq!(by_snapshot(&[("/x", &both), ("/y", &old)]), [("b", vec!["/x", "/y"])]);
        assert_eq!(
            by_snapshot(&[("/x", &both), ("/y", &old), ("/z", &new)]),
            [("c", vec!["/x", "/z"]), ("b", vec!["/y"])]
        );
    }

    #[test]
    fn the_version_that_was_chosen_is_picked_and_else_the_newest() {
        let path = |path: &str| FoundPath {
            path: path.to_owned(),
            versions: vec![version(&["new"]), version(&["old"])],
        };
        let found =
            Found { at: Timestamp(1), paths: vec![path("/a b"), path("/c"), path("/d")], left_out: 0 };
        let form = Form::parse(b"path=%2Fa+b&path=%2Fc&version=1+%2Fa+b&version=0+%2Fd&path=%2Felsewhere");
        let picked: Vec<_> =
            picks(&found, &form).into_iter().map(|(path, version)| (path, version.snapshot())).collect();
        assert_eq!(picked, [("/a b", "old"), ("/c", "new")]);
    }
}
