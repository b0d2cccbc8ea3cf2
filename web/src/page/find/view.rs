//! What the page of searches shows.

use super::super::folder::kind_words;
use super::super::problem_view::ProblemView;
use super::super::run_button::why_not;
use super::wanted::{FindPageRequest, MAX_HOSTS, NEWEST, Split, address};
use crate::explanation::Explanation;
use crate::format::{When, bytes, count, day_of, many};
use crate::problem::Problem;
use crate::template::View;
use crate::words::job_result;
use fleet::record::{Found, FoundPath, Host, Job, JobFigures};
use fleet::{FleetState, JobRequest};
use schema::HostId;
use schema::report::EntryKind;
use serde::Serialize;

/// So many paths of one host are shown at once; of several hosts, of each.
const ROWS: [usize; 2] = [100, 20];
/// So many versions of a path are offered.
const MOST_VERSIONS: usize = 100;

/// A path that was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HitView {
    pub(crate) path: String,
    pub(crate) icon: &'static str,
    /// `7 versions, newest Fri 27 Nov 02:31`.
    pub(crate) note: String,
    /// The versions to choose from, newest first; the first alone needs no choice.
    pub(crate) versions: Vec<String>,
    pub(crate) more_versions: Option<String>,
}

/// The search of one host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SearchView {
    pub(crate) host_name: String,
    pub(crate) host_href: String,
    pub(crate) job: Option<String>,
    /// How far it is, while it has not ended.
    pub(crate) open: Option<String>,
    /// Why nothing was found out, and what more there is to say.
    pub(crate) failed: Option<(String, String)>,
    /// `4 paths in 27 snapshots`.
    pub(crate) said: String,
    /// What is not shown, and why.
    pub(crate) left_out: Option<String>,
    pub(crate) hits: Vec<HitView>,
    /// Where the next paths are.
    pub(crate) next_href: Option<String>,
}

/// A host to search.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostChoice {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// A word with whether it is chosen.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FindOption {
    pub(crate) value: String,
    pub(crate) words: String,
    pub(crate) current: bool,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FindView {
    /// The one host that is searched.
    pub(crate) host: Option<(String, String)>,
    pub(crate) place_href: Option<String>,
    pub(crate) title: String,
    pub(crate) hosts: Vec<HostChoice>,
    pub(crate) hosts_said: String,
    pub(crate) pattern: String,
    pub(crate) case: bool,
    pub(crate) newest: Vec<FindOption>,
    pub(crate) since: String,
    pub(crate) groups: Vec<FindOption>,
    /// Why no host can be asked now; of one host.
    pub(crate) why: Option<String>,
    pub(crate) problem: Option<ProblemView>,
    pub(crate) split: Vec<Split>,
    /// The page's own address, with what is searched.
    pub(crate) here: String,
    /// What changes while searches run.
    pub(crate) topics: String,
    pub(crate) searches: Vec<SearchView>,
}

impl View for FindView {
    const TEMPLATE: &'static str = "page/find.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["find-results"];
}

#[cfg(test)]
impl crate::sample::Samples for FindView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let choice = |current| FindOption { value: "30".to_owned(), words: s.text("newest 30"), current };
        let search = |open: bool| SearchView {
            host_name: s.text("boat-pi"),
            host_href: "/hosts/01".to_owned(),
            job: Some("02".to_owned()),
            open: open.then(|| s.text("Being sent to the host.")),
            failed: open.then(|| (s.text("The host is offline."), s.text("It is asked when it returns."))),
            said: s.text("4 paths in 27 snapshots"),
            left_out: s.some("12 more hits are not shown."),
            hits: if open {
                Vec::new()
            } else {
                vec![HitView {
                    path: s.text("/srv/office/invoices-2026.ods"),
                    icon: "file",
                    note: s.text("2 versions, newest Fri 27 Nov 02:31"),
                    versions: vec![
                        s.text("Fri 27 Nov 02:31, 48.1 KiB"),
                        s.text("Tue 24 Nov 02:03, 47.8 KiB"),
                    ],
                    more_versions: s.some("3 older ones"),
                }]
            },
            next_href: (!open).then(|| "/find?job=02&after=%2Fx".to_owned()),
        };
        let view = |searches: Vec<SearchView>| Self {
            host: None,
            place_href: None,
            title: s.text("Find files on 2 hosts"),
            hosts: vec![HostChoice { id: "01".to_owned(), name: s.text("boat-pi") }],
            hosts_said: s.text("boat-pi, depot-nas-1"),
            pattern: s.text("invoice*"),
            case: true,
            newest: vec![choice(true), choice(false)],
            since: "2026-11-01".to_owned(),
            groups: vec![choice(false)],
            why: s.some("The host is offline."),
            problem: Some(ProblemView::sample(s, "pattern")),
            split: Vec::new(),
            here: "/find?job=02".to_owned(),
            topics: "job/02".to_owned(),
            searches,
        };
        let split = Split {
            title: s.text("2 paths in snapshot 4d02a9f1"),
            action: "/hosts/01/restore".to_owned(),
            snapshot: s.text("4d02a9f1"),
            paths: vec![s.text("/srv/a")],
        };
        vec![
            view(Vec::new()),
            view(vec![search(true), search(false)]),
            Self {
                host: Some((s.text("boat-pi"), "/hosts/01".to_owned())),
                place_href: Some("/hosts/01/restore".to_owned()),
                problem: Some(ProblemView::sample(s, "split")),
                split: vec![split],
                ..view(vec![search(false)])
            },
        ]
    }
}

pub(super) fn read(state: &FleetState, wanted: &FindPageRequest) -> Result<FindView, Problem> {
    let FindPageRequest { plan, hosts, left_out, jobs, shown } = wanted;
    let one = match hosts.as_slice() {
        [host] => Some(host),
        _ => None,
    };
    let request = JobRequest::Find(plan.clone());
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let others: Vec<&Host> =
        hosts.iter().filter(|host| !jobs.iter().any(|job| job.host == host.id)).collect();
    let other_ids: Vec<HostId> = others.iter().map(|host| host.id).collect();
    let most = ROWS[usize::from(one.is_none())];
    let mut searches = Vec::new();
    for job in jobs {
        if let Some(host) = hosts.iter().find(|host| host.id == job.host) {
            searches.push(search(state, host, job, (most, shown.after.as_deref()))?);
        }
    }
    if !jobs.is_empty() || !plan.pattern.is_empty() {
        for host in &others {
            searches.push(not_asked(host, why_not(state, host.id, &request)?));
        }
    }
    let groups = match one {
        Some(host) => state.groups(host.id)?.into_iter().map(|group| group.name).collect(),
        None => Vec::new(),
    };
    let group = plan.group.as_deref().unwrap_or_default();
    let is_open = |job: &&Job| !job.state.is_ended();
    let topics: Vec<String> = jobs.iter().filter(is_open).map(|job| format!("job/{}", job.id)).collect();
    Ok(FindView {
        title: match (one, hosts.len()) {
            (Some(host), _) => format!("Restore from {}", host.name),
            (None, all) => format!("Find files on {}", many(all as u64, "host")),
        },
        host: one.map(|host| (host.name.clone(), format!("/hosts/{}", host.id))),
        place_href: one.map(|host| format!("/hosts/{}/restore", host.id)),
        hosts: hosts
            .iter()
            .map(|host| HostChoice { id: host.id.to_string(), name: host.name.clone() })
            .collect(),
        hosts_said: said_hosts(hosts, *left_out),
        pattern: plan.pattern.clone(),
        case: !plan.ignore_case,
        newest: newest(plan.newest),
        since: plan.since.map(day_of).unwrap_or_default(),
        groups: groups
            .into_iter()
            .map(|name| FindOption { current: name == group, words: name.clone(), value: name })
            .collect(),
        why: match one {
            Some(host) if jobs.is_empty() => why_not(state, host.id, &asked(plan))?,
            _ => None,
        },
        problem: None,
        split: shown.split.clone(),
        here: address(&plan.pattern, &ids, &other_ids),
        topics: topics.join(" "),
        searches,
    })
}

/// The same search, of something, where nothing was typed yet: whether the host can be asked at all.
fn asked(plan: &fleet::record::FindPlan) -> JobRequest {
    let pattern = if plan.pattern.is_empty() { "*".to_owned() } else { plan.pattern.clone() };
    JobRequest::Find(fleet::record::FindPlan { pattern, ..plan.clone() })
}

fn said_hosts(hosts: &[Host], left_out: usize) -> String {
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    let more = if left_out > 0 {
        format!(
            ". {} more fit the filter: at most {MAX_HOSTS} are searched at once, so narrow it down",
            count(left_out as u64)
        )
    } else {
        String::new()
    };
    format!("{}{more}", names.join(", "))
}

fn newest(current: u32) -> Vec<FindOption> {
    let mut offered = vec![1, 10, NEWEST, 100, 0];
    if !offered.contains(&current) {
        offered.push(current);
    }
    let words = |newest: u32| match newest {
        0 => format!("All, at most {}", schema::limits::MAX_FIND_SNAPSHOTS),
        1 => "The newest".to_owned(),
        newest => format!("The newest {newest}"),
    };
    offered
        .into_iter()
        .map(|newest| FindOption {
            value: newest.to_string(),
            words: words(newest),
            current: newest == current,
        })
        .collect()
}

/// A host that was not asked, and why.
fn not_asked(host: &Host, why: Option<String>) -> SearchView {
    let why = why.unwrap_or_else(|| "It was not asked yet: search again.".to_owned());
    SearchView {
        host_name: host.name.clone(),
        host_href: format!("/hosts/{}", host.id),
        job: None,
        open: None,
        failed: Some(("Not searched".to_owned(), why)),
        said: String::new(),
        left_out: None,
        hits: Vec::new(),
        next_href: None,
    }
}

fn search(
    state: &FleetState,
    host: &Host,
    job: &Job,
    (most, after): (usize, Option<&str>),
) -> Result<SearchView, Problem> {
    let mut view = SearchView {
        host_name: host.name.clone(),
        host_href: format!("/hosts/{}", host.id),
        job: Some(job.id.to_string()),
        open: (!job.state.is_ended()).then(|| job_result(job, None)),
        failed: None,
        said: String::new(),
        left_out: None,
        hits: Vec::new(),
        next_href: None,
    };
    if view.open.is_some() {
        return Ok(view);
    }
    let Some(found) = state.found(job)? else {
        let title = Explanation::of(job).map(|cause| cause.title.to_owned());
        view.failed = Some(match title {
            Some(title) => (title, job.message.clone()),
            None => (
                "Not kept any more".to_owned(),
                "What a search found is kept for a day: search again.".to_owned(),
            ),
        });
        return Ok(view);
    };
    view.said = said(job, &found);
    view.left_out = left_out(job, &found);
    let (part, next) = found.part(most, after);
    view.hits = part.iter().map(hit).collect();
    view.next_href = next.map(|next| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("job", &job.id.to_string()).append_pair("after", next);
        format!("/find?{}", query.finish())
    });
    Ok(view)
}

fn said(job: &Job, found: &Found) -> String {
    let JobFigures::Found { snapshots, .. } = job.figures else { return String::new() };
    let snapshots = many(u64::from(snapshots), "snapshot");
    match found.paths.len() {
        0 => format!("Nothing of this name in {snapshots}"),
        paths => format!("{} in {snapshots}", many(paths as u64, "path")),
    }
}

fn left_out(job: &Job, found: &Found) -> Option<String> {
    let beyond = match job.figures {
        JobFigures::Found { snapshots_left_out, .. } => snapshots_left_out,
        _ => 0,
    };
    let mut parts = Vec::new();
    if found.left_out > 0 {
        parts.push(format!(
            "{} did not come: one search brings at most {}. Search for more of the name, or in fewer snapshots.",
            many(u64::from(found.left_out), "more hit"),
            count(u64::from(schema::limits::MAX_HITS))
        ));
    }
    if beyond > 0 {
        parts.push(format!(
            "{} could not be searched as well.",
            many(u64::from(beyond), "older or unreadable snapshot")
        ));
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn hit(found: &FoundPath) -> HitView {
    let newest = found.versions.first();
    let kind = newest.map_or(EntryKind::Other, |version| version.kind);
    let when = newest.map(|version| When::short(version.time).text).unwrap_or_default();
    let much = match (kind, newest) {
        (EntryKind::Folder, Some(version)) => format!("folder, {}, ", many(version.files, "file")),
        (EntryKind::Folder | EntryKind::File, _) => String::new(),
        (kind, _) => format!("{}, ", kind_words(kind).1),
    };
    let all = found.versions.len();
    HitView {
        path: found.path.clone(),
        icon: kind_words(kind).0,
        note: match all {
            1 => format!("{much}1 version, {when}"),
            _ => format!("{much}{}, newest {when}", many(all as u64, "version")),
        },
        versions: found
            .versions
            .iter()
            .take(MOST_VERSIONS)
            .map(|version| format!("{}, {}", When::short(version.time).text, bytes(version.bytes)))
            .collect(),
        more_versions: (all > MOST_VERSIONS)
            .then(|| format!("and {} older", many((all - MOST_VERSIONS) as u64, "version"))),
    }
}
