//! What the page shows.

use super::super::problem_view::ProblemView;
use super::super::run_button::why_not;
use super::address::{page_href, plan_href};
use super::choices::{ALL, Choices, To};
use super::command::CommandView;
use super::listing::Listing;
use super::plan::{self, PlanView};
use super::wanted::{OpenPart, RestorePageRequest};
use super::what::{self, WhatView};
use crate::app::Ctx;
use crate::format::many;
use crate::problem::Problem;
use crate::template::View;
use crate::words::{overwrite, restore_target, snapshot_lacks};
use fleet::record::{FolderPlace, Host, RestorePlan, RestoreTarget};
use fleet::{FleetState, JobRequest, Refused, RunnerSetback};
use schema::report::EntryKind;
use schema::{HostId, Overwrite, Slot};
use serde::Serialize;

/// The most hosts that are offered.
const MOST_RUNNERS: usize = 200;

/// What is said of a host whose policy does not let it do anything for others.
const NOT_FOR_OTHERS: &str = "its policy did not allow it when it connected last";

/// What becomes of files that are there: a choice.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OverwriteChoice {
    pub(crate) value: &'static str,
    pub(crate) words: &'static str,
    pub(crate) current: bool,
}

/// Another host that does it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunnerChoice {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) current: bool,
    /// Why it can't.
    pub(crate) why: Option<&'static str>,
    /// What keeps it from that as long as its owner does not change it.
    pub(crate) note: Option<&'static str>,
}

/// The second part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WhereView {
    pub(crate) to: &'static str,
    pub(crate) folder: String,
    pub(crate) overwrite: Vec<OverwriteChoice>,
    pub(crate) delete: bool,
    pub(crate) verify: bool,
    /// The name that the new folder begins with.
    pub(crate) new_name: String,
    /// The hosts that could do it instead.
    pub(crate) runners: Vec<RunnerChoice>,
    /// How many more there are.
    pub(crate) more_runners: Option<String>,
    /// Why files can't be restored over what is there.
    pub(crate) not_over: Option<String>,
    /// The same of the original places, in a few words.
    pub(crate) original_note: String,
    /// Whether the original places can't be chosen at all.
    pub(crate) original_off: bool,
    /// Why the dry run can't be started.
    pub(crate) why: Option<String>,
    /// Another host may be able to.
    pub(crate) unless_another: bool,
    /// What was chosen before, for the form.
    pub(crate) fields: Vec<(&'static str, String)>,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RestoreView {
    pub(crate) host_name: String,
    pub(crate) host_href: String,
    pub(crate) href: String,
    /// Where files are found by name.
    pub(crate) find_href: String,
    pub(crate) problem: Option<ProblemView>,
    /// Where the snapshots are listed, when none is known.
    pub(crate) none_href: Option<String>,
    /// The first part; `None` = it is done.
    pub(crate) what: Option<WhatView>,
    pub(crate) said_what: String,
    /// The second part; `None` = it is done, or not yet begun.
    pub(crate) place: Option<WhereView>,
    pub(crate) said_where: Option<String>,
    /// Where what was chosen can be changed.
    pub(crate) change_what: String,
    pub(crate) change_where: String,
    pub(crate) plan: Option<PlanView>,
    pub(crate) command: Option<CommandView>,
    /// Where the one path that was picked is downloaded.
    pub(crate) download: Option<String>,
    /// What that is: `folder` or `file`; empty = not known.
    pub(crate) download_of: &'static str,
    /// Where admins see the repository's password.
    pub(crate) password_href: String,
}

impl View for RestoreView {
    const TEMPLATE: &'static str = "page/restore.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["restore-files", "restore-picked", "restore-plan"];
}

#[cfg(test)]
impl crate::sample::Samples for RestoreView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let blank = || Self {
            host_name: s.text("boat-pi"),
            host_href: "/hosts/01".to_owned(),
            href: "/hosts/01/restore".to_owned(),
            find_href: "/find?host=01".to_owned(),
            problem: None,
            none_href: None,
            what: None,
            said_what: s.text("2 picked, 2 files (8.00 KiB), of Mon 23 Nov 2026 06:31:12 UTC, group media"),
            place: None,
            said_where: None,
            change_what: "/x".to_owned(),
            change_where: "/x".to_owned(),
            plan: None,
            command: None,
            download: None,
            download_of: "",
            password_href: "/hosts/01/repo-password".to_owned(),
        };
        let problem = |field| Some(ProblemView::sample(s, field));
        let command = || Some(CommandView::sample(s));
        let place = |to| WhereView {
            to,
            folder: s.text("/srv/back"),
            overwrite: overwrites(Overwrite::IfChanged),
            delete: true,
            verify: true,
            new_name: s.text("holdfast-restore-4d02a9f1-…"),
            runners: [("film-vault", true, None), ("lab-ts453", false, Some("it is offline"))]
                .map(|(name, current, why)| RunnerChoice {
                    id: "03".to_owned(),
                    name: s.text(name),
                    current,
                    why,
                    note: why.is_none().then_some(NOT_FOR_OTHERS),
                })
                .into(),
            more_runners: s.some("12 more hosts are not listed; the API takes their names."),
            not_over: s.some("restic 0.17.3 on this host can't."),
            original_note: s.text("asks for the host’s name"),
            original_off: to == "new_folder",
            why: s.some("The host is offline."),
            unless_another: to == "original",
            fields: vec![("snapshot", s.text("4d02a9f1")), ("path", s.text("/srv/a"))],
        };
        let plan = |open| Self {
            said_where: Some(s.text("the original places")),
            plan: Some(PlanView::sample(s, open)),
            command: command(),
            ..blank()
        };
        vec![
            Self { none_href: Some("/x".to_owned()), ..blank() },
            Self { what: Some(WhatView::sample(s, false)), problem: problem("more"), ..blank() },
            Self { what: Some(WhatView::sample(s, true)), problem: problem("paths"), ..blank() },
            Self {
                place: Some(place("new_folder")),
                command: command(),
                download: Some("/hosts/01/snapshots/4d02a9f1/download?path=%2Fsrv%2Fa".to_owned()),
                download_of: "folder",
                problem: problem("target.path"),
                ..blank()
            },
            Self {
                place: Some(place("original")),
                command: command(),
                problem: problem("delete"),
                ..blank()
            },
            plan(true),
            Self { problem: problem("confirm"), ..plan(false) },
        ]
    }
}

fn overwrites(current: Overwrite) -> Vec<OverwriteChoice> {
    let choice = |mode: Overwrite| OverwriteChoice {
        value: mode.as_str(),
        words: overwrite(mode),
        current: mode == current,
    };
    Overwrite::ALL.map(choice).into()
}

pub(super) fn read(
    ctx: &Ctx,
    state: &FleetState,
    host: &Host,
    wanted: RestorePageRequest,
) -> Result<RestoreView, Problem> {
    let RestorePageRequest { mut choices, open, problem } = wanted;
    let listing = Listing::read(state, host)?;
    listing.settle(&mut choices);
    let host_href = format!("/hosts/{}", host.id);
    let mut view = RestoreView {
        host_name: host.name.clone(),
        href: page_href(host.id),
        find_href: format!("/find?host={}", host.id),
        problem: problem.as_ref().map(ProblemView::from),
        none_href: None,
        what: None,
        said_what: String::new(),
        place: None,
        said_where: None,
        change_what: String::new(),
        change_where: String::new(),
        plan: None,
        command: None,
        download: None,
        download_of: "",
        password_href: format!("{host_href}/repo-password"),
        host_href,
    };
    if choices.snapshot.is_empty() && listing.is_empty() {
        view.none_href = Some(format!("{}/snapshots", view.host_href));
        return Ok(view);
    }
    if let OpenPart::What(place) = open {
        view.what = Some(what::read(ctx, state, host, (&listing, &choices, place))?);
        return Ok(view);
    }
    view.said_what = said_what(state, host, &listing, &choices)?;
    view.command =
        state.credentials(host.id, Slot::Repo)?.map(|credentials| CommandView::new(&choices, &credentials));
    if let Some(path) = choices.one() {
        view.download = Some(crate::download::href(host.id, &choices.snapshot, path));
        view.download_of = kind_of(state, host, &choices.snapshot, path)?;
    }
    if let Some(runner) = choices.runner
        && state.host(runner)?.is_none()
    {
        let gone = Problem::invalid("runner", "That host is not here any more: choose who restores.");
        view.problem.get_or_insert(ProblemView::from(&gone));
    }
    let request = choices.dry_run(host.id);
    match open {
        OpenPart::What(_) | OpenPart::Where => view.place = Some(place(state, host, &choices)?),
        OpenPart::Plan(job, typed) => {
            let Some(planned) = plan::of_dry_run(&job, host) else { return Err(Refused::JobNotFound.into()) };
            let earnest = JobRequest::Restore(plan::in_earnest(planned));
            let Some(runner) = state.host(job.host)? else { return Err(Refused::HostNotFound.into()) };
            let mut why = plan::why_not_yet(ctx.now(), &job, plan::used_at(state, &job)?);
            if why.is_none() {
                why = why_not(state, runner.id, &earnest)?;
            }
            view.said_where = Some(match runner.id == host.id {
                true => said_where(&request),
                false => format!("on {}: {}", runner.name, said_where(&request)),
            });
            let change = plan_href(host.id, job.id);
            view.change_what = format!("{change}&step=what");
            view.change_where = format!("{change}&step=where");
            let unfinished = plan::unfinished_there(state, runner.id, planned)?;
            let lacks = match listing.find(&planned.snapshot).filter(|_| planned.delete) {
                Some(row) => snapshot_lacks(row, &state.lacking(host.id)?),
                None => None,
            };
            let view_of_plan = plan::view(&runner, &job, planned, why, unfinished.as_ref());
            view.plan = Some(PlanView { lacks, typed, ..view_of_plan });
        }
    }
    Ok(view)
}

/// What a path of a snapshot is, as far as its folder was listed.
fn kind_of(state: &FleetState, host: &Host, snapshot: &str, path: &str) -> Result<&'static str, Problem> {
    let Some((folder, name)) = path.rsplit_once('/') else { return Ok("") };
    let folder = if folder.is_empty() { "/" } else { folder };
    let listed = state.folder(host.id, FolderPlace::Snapshot(snapshot), folder)?;
    let entry = listed.and_then(|listed| listed.entries.into_iter().find(|entry| entry.name == name));
    Ok(match entry.map(|entry| entry.kind) {
        Some(EntryKind::Folder) => "folder",
        Some(EntryKind::File) => "file",
        _ => "",
    })
}

fn said_what(
    state: &FleetState,
    host: &Host,
    listing: &Listing,
    choices: &Choices,
) -> Result<String, Problem> {
    let picked = what::picked(state, host.id, choices, listing.find(&choices.snapshot))?;
    let what = match (choices.paths.len(), choices.paths.first()) {
        (1, Some(path)) if path != ALL => path.clone(),
        _ => picked.head,
    };
    let counted = if picked.text.is_empty() { String::new() } else { format!(", {}", picked.text) };
    Ok(format!("{what}{counted}, of {}", listing.title(&choices.snapshot)))
}

fn said_where(plan: &RestorePlan) -> String {
    let mut parts = vec![restore_target(&plan.target)];
    if !matches!(plan.target, RestoreTarget::NewFolder { .. }) {
        parts.push(format!("files that are there already {}", overwrite(plan.overwrite)));
    }
    parts.extend(plan.delete.then(|| "what the snapshot lacks is deleted".to_owned()));
    parts.push(if plan.verify { "read back and compared" } else { "not read back" }.to_owned());
    parts.join("; ")
}

fn place(state: &FleetState, host: &Host, choices: &Choices) -> Result<WhereView, Problem> {
    let runner = choices.runner.map_or(Ok(None), |runner| state.host(runner))?;
    let over = OverwriteLimits::of(runner.as_ref().unwrap_or(host));
    let short: String = choices.snapshot.chars().take(8).collect();
    // What can be refused of the choices themselves is told when the plan is asked for.
    let plain = Choices { to: To::New, delete: false, ..choices.clone() };
    let (runners, more) = runners(state, host, choices.runner)?;
    // Whether the host itself can is moot while another one may be chosen.
    let why = why_not(state, choices.runner_of(host.id), &JobRequest::Restore(plain.dry_run(host.id)))?;
    let others_can = runners.iter().any(|runner| runner.why.is_none());
    Ok(WhereView {
        to: choices.to.as_str(),
        folder: choices.folder.clone(),
        overwrite: overwrites(choices.overwrite),
        delete: choices.delete,
        verify: choices.verify,
        new_name: format!("holdfast-restore-{short}-…"),
        not_over: over.why_not(),
        original_note: over.note(),
        original_off: over.old_restic.is_some(),
        unless_another: why.is_some() && others_can,
        why,
        runners,
        more_runners: (more > 0)
            .then(|| format!("{} not listed; the API takes their names.", many(more as u64, "more host"))),
        fields: choices.fields(),
    })
}

/// The other hosts, those that can first, and how many are left out.
fn runners(
    state: &FleetState,
    host: &Host,
    chosen: Option<HostId>,
) -> Result<(Vec<RunnerChoice>, usize), Problem> {
    let mut runners = Vec::new();
    for other in state.hosts()?.into_iter().filter(|other| other.id != host.id) {
        let why = state.runner_setback(&other)?.map(RunnerSetback::in_words);
        let current = chosen == Some(other.id);
        let abilities = other.facts.as_ref().and_then(|facts| facts.abilities);
        let is_forbidden = why.is_none() && abilities.is_some_and(|it| !it.others_allowed);
        let note = is_forbidden.then_some(NOT_FOR_OTHERS);
        runners.push(RunnerChoice { id: other.id.to_string(), name: other.name, current, why, note });
    }
    runners.sort_by_cached_key(|it| (!it.current, it.why.is_some(), it.note.is_some(), it.name.clone()));
    let more = runners.len().saturating_sub(MOST_RUNNERS);
    runners.truncate(MOST_RUNNERS);
    Ok((runners, more))
}

/// What keeps files from being restored over what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OverwriteLimits {
    /// Name of the host that restores.
    host: String,
    /// The policy of the machine did not let it, when its agent connected last.
    is_forbidden: bool,
    /// restic's version, when it is too old.
    old_restic: Option<String>,
}

impl OverwriteLimits {
    /// Of the host that restores. What is not known keeps nothing off.
    fn of(host: &Host) -> Self {
        let name = host.name.clone();
        let Some(facts) = &host.facts else { return Self { host: name, ..Self::default() } };
        let is_old = !restores_over(&facts.restic_version);
        Self {
            host: name,
            is_forbidden: facts.abilities.is_some_and(|it| !it.in_place_allowed),
            old_restic: is_old.then(|| facts.restic_version.clone()),
        }
    }

    /// The whole reason: the machine's policy first, for nothing else counts before that.
    fn why_not(&self) -> Option<String> {
        let forbidden = self.is_forbidden.then(|| {
            format!(
                "When the agent of {} connected last, its policy allowed only new folders: for a folder that is there, or \
                 the original places, its owner sets restore_in_place = true in its policy file.",
                self.host
            )
        });
        let old = self.old_restic.as_ref().map(|restic| {
            let estimate = if is_before(restic, 17) { " Its dry run is an estimate." } else { "" };
            let who = if self.is_forbidden { "Besides, it" } else { &self.host };
            format!(
                "{who} has restic {restic}, which follows links in the folder that it restores into: below 0.18 only a \
                 new folder or an empty one is restored into.{estimate}"
            )
        });
        let reasons: Vec<String> = forbidden.into_iter().chain(old).collect();
        (!reasons.is_empty()).then(|| reasons.join(" "))
    }

    /// What is said beside the original places.
    fn note(&self) -> String {
        match (self.is_forbidden, &self.old_restic) {
            (false, None) => "asks for the host’s name",
            (true, None) => "needs restore_in_place = true in its policy; asks for the host’s name",
            (false, Some(_)) => "needs restic 0.18 or newer there",
            (true, Some(_)) => "needs restore_in_place = true in its policy, and restic 0.18 or newer",
        }
        .to_owned()
    }
}

/// Whether a restic of this version restores over what is there; so does one whose version is not known, until the agent
/// says otherwise.
fn restores_over(restic: &str) -> bool {
    !is_before(restic, 18)
}

/// Whether this is a version before 0.`minor`.
fn is_before(restic: &str, minor: u32) -> bool {
    let mut numbers = restic.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(found)) => (major, found) < (0, minor),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(is_forbidden: bool, restic: Option<&str>) -> OverwriteLimits {
        OverwriteLimits { host: "nas-1".to_owned(), is_forbidden, old_restic: restic.map(str::to_owned) }
    }

    #[test]
    fn an_old_restic_is_told_by_its_version() {
        for old in ["0.14.0", "0.16.4", "0.17.3"] {
            let said = over(false, Some(old)).why_not().unwrap();
            assert_eq!(said.contains("estimate"), old < "0.17", "{said}");
            assert!(!restores_over(old));
        }
        for other in ["0.18.0", "0.18.1-dev", "1.0.0", "", "not found"] {
            assert!(restores_over(other), "{other}");
        }
    }

    #[test]
    fn what_the_policy_forbids_is_said_before_what_restic_can_not() {
        let policy = "When the agent of nas-1 connected last, its policy";
        for (is_forbidden, restic, begins, goes_on) in [
            (false, None, "", ""),
            (true, None, policy, "policy file."),
            (false, Some("0.14.0"), "nas-1 has restic 0.14.0", "an estimate."),
            (true, Some("0.17.3"), policy, "Besides, it has restic 0.17.3"),
        ] {
            let over = over(is_forbidden, restic);
            let said = over.why_not().unwrap_or_default();
            assert!(said.starts_with(begins) && said.contains(goes_on), "{said}");
            assert_eq!(said.is_empty(), begins.is_empty(), "{said}");
            assert_eq!(over.note().contains("restore_in_place"), is_forbidden, "{}", over.note());
            assert_eq!(over.note().contains("0.18"), restic.is_some(), "{}", over.note());
        }
    }
}
