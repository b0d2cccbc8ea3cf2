//! What the page of a job shows.

use super::confirm::ConfirmView;
use super::fact::{Fact, Figure};
use super::job_line::JobLine;
use super::restore::plan_href;
use super::restored::RestoredView;
use crate::chart::{Area, area};
use crate::explanation::{Explanation, NextStep};
use crate::format::{When, ago, bytes, bytes_parts, clock, count, duration, many};
use crate::joblog::LineView;
use crate::template::View;
use crate::words::{Badge, actor, hold, is_broken_off, job_title, many_entries, ran, restore_target};
use fleet::record::{
    BackupFigures, EndedBy, ForgetFigures, Job, JobFigures, JobProgress, JobState, JobWhat, RestorePlan,
    RestoreTarget,
};
use schema::{Class, Timestamp};
use serde::Serialize;

/// A chart of the rate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RateChart {
    pub(crate) area: Area,
    pub(crate) label: String,
    pub(crate) from: String,
    pub(crate) middle: String,
    pub(crate) to: &'static str,
}

/// How far a running job is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LiveView {
    pub(crate) percent: String,
    pub(crate) permille: u16,
    pub(crate) left: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) chart: Option<RateChart>,
    pub(crate) current: String,
    pub(crate) current_label: &'static str,
}

/// A stage of a job's life.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stage {
    pub(crate) text: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) class: &'static str,
    pub(crate) current: bool,
    pub(crate) at: Option<When>,
}

/// The log, or the new end of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LogView {
    pub(crate) lines: Vec<LineView>,
    /// Where the lines after these will be; `None` = there will be none.
    pub(crate) tail: Option<String>,
    /// What to say when there is nothing and will be nothing.
    pub(crate) none: Option<&'static str>,
    /// What is searched for; empty = nothing.
    pub(crate) find: String,
    /// How many lines hold it.
    pub(crate) found: Option<String>,
}

/// The answer of a job that did not succeed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Conclusion {
    pub(crate) label: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    /// restic's own last words.
    pub(crate) said: Option<String>,
    pub(crate) step: &'static str,
    pub(crate) href: String,
    /// Whether the step is a new run (a form) rather than a page.
    pub(crate) again: bool,
    /// Why a new run is off.
    pub(crate) why: Option<String>,
    pub(crate) safe: &'static str,
}

/// What came after a job that did not succeed, and did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Mended {
    pub(crate) href: String,
    pub(crate) title: String,
    pub(crate) text: String,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobView {
    pub(crate) id: String,
    pub(crate) href: String,
    pub(crate) title: String,
    pub(crate) badge: Badge,
    pub(crate) host_name: String,
    pub(crate) host_href: String,
    pub(crate) ended: bool,
    pub(crate) can_cancel: bool,
    pub(crate) cancel: ConfirmView,
    pub(crate) live: Option<LiveView>,
    /// What is waited for while there is no progress.
    pub(crate) waiting: String,
    pub(crate) indeterminate: bool,
    pub(crate) stages: Vec<Stage>,
    pub(crate) verdict: Option<Conclusion>,
    pub(crate) mended: Option<Mended>,
    pub(crate) cards: Vec<Fact>,
    pub(crate) figures: Vec<Figure>,
    /// What there is to say of single paths of a source group, or of files that were drawn; a sentence each.
    pub(crate) findings: Vec<String>,
    pub(crate) findings_title: &'static str,
    /// What a restore came to.
    pub(crate) restored: Option<RestoredView>,
    pub(crate) log: LogView,
    pub(crate) before: Vec<JobLine>,
    pub(crate) facts: Vec<Fact>,
}

#[cfg(test)]
impl JobView {
    pub(crate) fn sample(s: &crate::sample::Sample, state: JobState) -> Self {
        let now = crate::sample::NOW;
        let job = sample_job(s, state);
        let progress = JobProgress {
            at: now,
            permille: 420,
            bytes_done: 7 << 30,
            bytes_total: 9 << 30,
            rate_bytes: Some(74 << 20),
            left_secs: Some(7_000),
            current: s.text("/srv/media/a.mkv"),
            rates: vec![(Timestamp(now.0 - 9_000), 7), (now, 9)],
            ..JobProgress::default()
        };
        let line = |class| LineView {
            time: "06:31:12".to_owned(),
            class,
            text: s.text("open repository"),
            cut: s.some("7 lines left out here"),
        };
        Self {
            id: job.id.to_string(),
            href: "/jobs/01".to_owned(),
            title: s.text("Backup of media"),
            badge: Badge::new("running", s.text("Running")),
            host_name: s.text("boat-pi"),
            host_href: "/hosts/01".to_owned(),
            ended: state.is_ended(),
            can_cancel: !state.is_ended(),
            cancel: cancel(&job, &s.text("boat-pi")),
            live: (state == JobState::Running).then(|| live(now, &job, &progress)),
            waiting: s.text("Being sent to the host."),
            indeterminate: true,
            stages: stages(&job),
            verdict: verdict(&job, Some(("/again".to_owned(), s.some("The host is offline.")))),
            mended: Some(Mended {
                href: "/jobs/02".to_owned(),
                title: s.text("Backup of media"),
                text: s.text("succeeded 2 h ago"),
            }),
            cards: Fact::samples(s),
            figures: figures(&job),
            findings: vec![s.text("/srv/photos: is not there")],
            findings_title: "Paths of the source group",
            restored: None,
            log: LogView {
                lines: vec![line("log-bad"), line("")],
                tail: (!state.is_ended()).then(|| "/jobs/01?part=job-log&after=2".to_owned()),
                find: s.text("repository"),
                found: s.some("2 lines"),
                none: None,
            },
            before: vec![JobLine::sample(s, "failed"), JobLine::sample(s, "ok")],
            facts: facts(now, &job, Some(&job), Some(&s.text("0.18.0"))),
        }
    }
}

impl View for JobView {
    const TEMPLATE: &'static str = "page/job.html";
    const NAV: &'static str = "jobs";
    const PARTS: &'static [&'static str] = &["job-live", "job-stages", "job-log", "job-verdict"];
}

#[cfg(test)]
impl crate::sample::Samples for JobView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let mut samples: Vec<Self> = JobState::ALL.map(|state| Self::sample(s, state)).into();
        samples.push(Self { restored: Some(RestoredView::sample(s)), ..Self::sample(s, JobState::Warning) });
        samples
    }
}

/// A backup in this state.
#[cfg(test)]
pub(crate) fn sample_job(s: &crate::sample::Sample, state: JobState) -> Job {
    let now = crate::sample::NOW;
    Job {
        id: schema::JobId([1; 16]),
        host: schema::HostId([2; 16]),
        what: JobWhat::Backup { group: s.text("media") },
        state,
        class: Some(Class::Auth),
        refusal: None,
        actor: fleet::record::Actor::Operator(s.text("mira")),
        created_at: now,
        sent_at: Some(now),
        accepted_at: Some(now),
        started_at: Some(now),
        finished_at: state.is_ended().then_some(now),
        cancel_asked_at: None,
        command_seq: schema::CommandSeq(1),
        presumed: false,
        agent_gone: None,
        exit_code: Some(1),
        message: s.text("Fatal: wrong password"),
        late: false,
        log_lines: 2,
        figures: JobFigures::None,
        cancel_asked_by: None,
        made_for: None,
    }
}

/// What the page shows of a job that runs.
pub(crate) fn live(now: Timestamp, job: &Job, progress: &JobProgress) -> LiveView {
    // Prune, check and the like count steps, not files: their progress names what they count.
    let restores = matches!(job.what, JobWhat::Restore(_) | JobWhat::Drill(_));
    let counts_files = restores || matches!(job.what, JobWhat::Backup { .. });
    let mut figures = Vec::new();
    if restores && progress.bytes_read > 0 {
        figures.push(Figure::bytes("Fetched", progress.bytes_read, ""));
    }
    // Before restic restores, the snapshot is looked through.
    if counts_files && (progress.bytes_total > 0 || !restores) {
        figures.extend([
            match (restores, progress.bytes_done) {
                (true, 0) => Figure::bytes("To write", progress.bytes_total, ""),
                (_, done) => Figure::bytes(
                    if restores { "Written" } else { "Read" },
                    done,
                    &format!(" of {}", bytes(progress.bytes_total)),
                ),
            },
            Figure::new("Files", count(progress.files_done), format!("of {}", count(progress.files_total))),
            match progress.rate_bytes {
                Some(rate) if rate > 0 || !restores => Figure::bytes("Rate", rate, "/s"),
                _ => Figure::new("Rate", "–", ""),
            },
        ]);
    }
    if let Some(started) = job.started_at {
        figures.push(Figure::new("Running for", duration(now.ms_since(started) / 1_000), ""));
    }
    if counts_files && !restores {
        figures.push(Figure::new("Errors", count(u64::from(progress.errors)), ""));
    }
    LiveView {
        percent: format!("{}", progress.permille.min(1_000) / 10),
        permille: progress.permille.min(1_000),
        left: match progress.left_secs {
            Some(secs) => {
                let end = now.plus_ms(secs.saturating_mul(1_000));
                format!("about {} left, done near {} UTC", duration(secs), &clock(end)[..5])
            }
            None if counts_files => "time left not known yet".to_owned(),
            None => "of this step".to_owned(),
        },
        figures,
        current_label: if counts_files && !restores { "Now reading" } else { "Now" },
        chart: rate_chart(progress),
        current: crate::format::cut(&progress.current, 300),
    }
}

fn rate_chart(progress: &JobProgress) -> Option<RateChart> {
    let points: Vec<(u64, u64)> = progress.rates.iter().map(|(at, rate)| (at.0, *rate)).collect();
    let area = area(&points, 960.0, 72.0, true)?;
    let (least, most) = (points.iter().map(|p| p.1).min()?, points.iter().map(|p| p.1).max()?);
    let now = points.last()?.1;
    Some(RateChart {
        area,
        label: format!("Rate, between {} and {} a second, now {}", bytes(least), bytes(most), bytes(now)),
        from: clock(progress.rates.first()?.0),
        middle: format!("rate, up to {}/s", bytes(most)),
        to: "now",
    })
}

/// The stages, done and to come.
pub(crate) fn stages(job: &Job) -> Vec<Stage> {
    let reached = [
        ("queued", Some(job.created_at)),
        ("sent", job.sent_at),
        ("accepted", job.accepted_at),
        ("running", job.started_at),
    ];
    let now_at = match job.state {
        JobState::Queued => 0,
        JobState::Sent => 1,
        JobState::Accepted => 2,
        JobState::Running => 3,
        _ => 4,
    };
    let mut stages: Vec<Stage> = reached
        .into_iter()
        .enumerate()
        .filter(|(at, (_, when))| *at >= now_at || when.is_some() || now_at < 4)
        .map(|(at, (text, when))| {
            let current = at == now_at;
            let done = at < now_at;
            Stage {
                text,
                icon: match () {
                    () if current && text == "running" => "running",
                    () if current => "queued",
                    () if done => "ok",
                    () => "never",
                },
                class: match () {
                    () if current => "is-run",
                    () if done => "is-done is-ok",
                    () => "",
                },
                current,
                at: when.map(When::clock),
            }
        })
        .collect();
    let (text, icon, class) = match job.state {
        JobState::Succeeded => ("succeeded", "ok", "is-done is-ok"),
        JobState::Warning => ("warning", "warning", "is-warn"),
        JobState::Failed => ("failed", "failed", "is-fail"),
        JobState::Cancelled if is_broken_off(job) => ("interrupted", "failed", "is-fail"),
        JobState::Cancelled => match job.ended_by() {
            Some(EndedBy::Policy) => ("postponed", "stop", "is-done"),
            Some(EndedBy::Server) => ("withdrawn", "stop", "is-done"),
            _ => ("cancelled", "stop", "is-done"),
        },
        JobState::Lost => ("lost", "failed", "is-fail"),
        _ => ("result", "never", ""),
    };
    stages.push(Stage { text, icon, class, current: now_at == 4, at: job.finished_at.map(When::clock) });
    stages
}

/// The figures of a job that made something.
pub(crate) fn figures(job: &Job) -> Vec<Figure> {
    match &job.figures {
        JobFigures::Backup(figures) => backup_figures(figures),
        JobFigures::Prune { freed_bytes, repacked_packs, repacked_bytes, remaining_bytes } => vec![
            Figure::bytes("Freed", *freed_bytes, ""),
            Figure::new(
                "Packs repacked",
                count(u64::from(*repacked_packs)),
                format!("{} of them kept", bytes(*repacked_bytes)),
            ),
            Figure::bytes("Remaining", *remaining_bytes, ""),
        ],
        JobFigures::Forget(groups) => {
            groups.iter().map(|group| forget_figure(group, job.what.is_dry_run())).collect()
        }
        JobFigures::Stats { total_bytes, blobs } => {
            vec![Figure::bytes("In the storage", *total_bytes, ""), Figure::new("Blobs", count(*blobs), "")]
        }
        JobFigures::Snapshots { count: number, left_out } => {
            let mut figures = vec![Figure::new("Snapshots", count(u64::from(*number)), "")];
            if *left_out > 0 {
                figures.push(Figure::new("Omitted", count(u64::from(*left_out)), ""));
            }
            figures
        }
        JobFigures::Probe(probe) => vec![
            Figure::new("Answered in", count(u64::from(probe.answered_ms)), "ms"),
            Figure::new(
                "Repository",
                match probe.repo {
                    Some(_) => "opens",
                    None if job.class == Some(Class::RepoMissing) => "not there yet",
                    None => "not opened",
                },
                "",
            ),
            Figure::new(
                "Storage",
                match probe.append_only {
                    Some(true) => "append-only",
                    Some(false) => "may delete",
                    None => "unknown",
                },
                "",
            ),
        ],
        JobFigures::Check { errors, subset_pct } => vec![
            Figure::new("Errors", count(u64::from(*errors)), ""),
            Figure::new("Data read", format!("{subset_pct} %"), ""),
        ],
        JobFigures::Unlock { removed } => vec![Figure::new("Locks removed", count(u64::from(*removed)), "")],
        JobFigures::Init { repo } => {
            vec![Figure::new("Repository", crate::words::short_id(&repo.to_string()), "")]
        }
        JobFigures::Restore(done) => vec![
            Figure::bytes("Written", done.bytes, &format!(" in {}", many(done.files, "file"))),
            Figure::new("Replaced", count(done.replaced), ""),
            Figure::new("Deleted", count(done.deleted), ""),
            Figure::new("Left alone", count(done.skipped), ""),
            Figure::new("Failed", count(done.failed), ""),
        ],
        JobFigures::Drill(found) => vec![
            Figure::new(
                "Drawn",
                count(u64::from(found.drawn)),
                format!("of {}", many(found.of_files, "file")),
            ),
            Figure::new("Equal", count(u64::from(found.equal)), ""),
            Figure::new("Changed since", count(u64::from(found.changed_since)), ""),
            Figure::new("Unreadable", count(u64::from(found.unreadable)), ""),
            Figure::new("Different", count(u64::from(found.different)), ""),
            Figure::new("Not tried", count(u64::from(found.not_tried)), ""),
            Figure::bytes("Restored", found.bytes, &format!(" in {}", super::proof::took(found.restore_ms))),
        ],
        JobFigures::Folder { entries, left_out } => {
            vec![
                Figure::new("Entries", count(u64::from(*entries)), ""),
                Figure::new("Omitted", count(u64::from(*left_out)), ""),
            ]
        }
        JobFigures::Differences(found) => vec![
            Figure::bytes("Added", found.added_bytes, &format!(" in {}", many_entries(found.added))),
            Figure::bytes("Removed", found.removed_bytes, &format!(" in {}", many_entries(found.removed))),
            Figure::bytes("Changed", found.changed_bytes, &format!(" in {}", many_entries(found.changed))),
            Figure::new("Of another kind", count(found.types), ""),
            Figure::new("Omitted", count(found.left_out), ""),
        ],
        JobFigures::Found { snapshots, snapshots_left_out, hits, left_out } => vec![
            Figure::new("Matches", count(u64::from(*hits)), ""),
            Figure::new("Matches omitted", count(u64::from(*left_out)), ""),
            Figure::new("Snapshots searched", count(u64::from(*snapshots)), ""),
            Figure::new("Snapshots omitted", count(u64::from(*snapshots_left_out)), ""),
        ],
        JobFigures::Download { bytes } => vec![Figure::bytes("Sent", *bytes, "")],
        JobFigures::HostKey { key, .. } => {
            vec![Figure::new("Host key", crate::words::host_key(key), "")]
        }
        JobFigures::None => Vec::new(),
    }
}

/// Before a host key is accepted.
pub(crate) fn accept_host_key(job: &Job, key: &str, host_name: &str) -> ConfirmView {
    let fingerprint = crate::words::host_key(key);
    let changed = (job.class == Some(Class::HostKeyChanged)).then(|| {
        "It is another one than before: either the storage was reinstalled, or somebody else is answering in its place."
            .to_owned()
    });
    let compare = "Compare it with the one at the storage: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there shows \
                   it (of another kind: ssh_host_ecdsa_key.pub, ssh_host_rsa_key.pub). From then on the storage may show \
                   no other.";
    let body = [format!("{host_name} was shown {fingerprint}.")].into_iter().chain(changed);
    let query =
        form_urlencoded::Serializer::new(String::new()).append_pair("fingerprint", &fingerprint).finish();
    ConfirmView {
        title: "Is this the storage's host key?".to_owned(),
        body: body.chain([compare.to_owned()]).collect(),
        action: format!("/jobs/{}/host-key?{query}", job.id),
        button: "Accept this key".to_owned(),
        dismiss: "Cancel".to_owned(),
        back: format!("/jobs/{}", job.id),
    }
}

/// What there is to say of single paths of a source group.
pub(crate) fn findings(job: &Job) -> Vec<String> {
    if let JobFigures::Drill(found) = &job.figures {
        return super::proof::findings(found);
    }
    let JobFigures::Backup(figures) = &job.figures else { return Vec::new() };
    let more = (figures.findings_left_out > 0)
        .then(|| format!("and {} more: the log names them", count(u64::from(figures.findings_left_out))));
    figures.findings.iter().map(ToString::to_string).chain(more).collect()
}

/// What they are called.
pub(crate) const fn findings_title(job: &Job) -> &'static str {
    match job.figures {
        JobFigures::Drill(_) => "What this proof says of single files, and what it left out",
        _ => "Paths of the source group",
    }
}

/// What was kept beside the rules.
fn spared(group: &ForgetFigures) -> String {
    match group.spared {
        0 => String::new(),
        number => {
            format!(", {} of them by safeguard: newer ones lack data", count(u64::from(number)))
        }
    }
}

/// What became of one group.
fn forget_figure(group: &ForgetFigures, dry_run: bool) -> Figure {
    let (value, note) = match group.class {
        None if dry_run => (
            format!("would remove {}", count(u64::from(group.removed))),
            format!("and keep {}{}", count(u64::from(group.kept)), spared(group)),
        ),
        None => (
            format!("{} removed", count(u64::from(group.removed))),
            format!("{} kept{}", count(u64::from(group.kept)), spared(group)),
        ),
        Some(Class::NotTried) => {
            ("Not tried".to_owned(), "an earlier failure would have stopped it too".to_owned())
        }
        Some(class) => ("Failed".to_owned(), class.as_str().replace('_', " ")),
    };
    Figure::new(group.group.clone(), value, note)
}

fn backup_figures(figures: &BackupFigures) -> Vec<Figure> {
    let packed =
        figures.added_packed_bytes.map(|size| format!(", {} packed", bytes(size))).unwrap_or_default();
    let changed = figures.files_new.saturating_add(figures.files_changed);
    let (total, total_unit) = bytes_parts(figures.total_bytes);
    vec![
        Figure::bytes("New data", figures.added_bytes, &packed),
        Figure::new("Files", count(figures.total_files), format!("{} new or changed", count(changed))),
        Figure::new("Size", total, total_unit),
        Figure::new("Not read", count(u64::from(figures.errors)), ""),
        Figure::new("Snapshot", figures.snapshot.chars().take(8).collect::<String>(), ""),
    ]
}

/// The answer of a job that did not succeed.
pub(crate) fn verdict(job: &Job, again: Option<(String, Option<String>)>) -> Option<Conclusion> {
    let cause = Explanation::of(job)?;
    // What is wrong with the repository, or with its credentials, is mended with the host whose they are.
    let host = format!("/hosts/{}", job.repository_of());
    let (again_href, why) = again.unwrap_or_default();
    let href = match cause.step {
        NextStep::RepoCredentials => format!("{host}/repo#connection"),
        NextStep::AdminCredentials => format!("{host}/repo#admin-credentials"),
        NextStep::RepoActions => format!("{host}/repo#run-now"),
        NextStep::Group => match &job.what {
            JobWhat::Backup { group } => format!("{host}/groups/{group}"),
            _ => host,
        },
        NextStep::Host => format!("/hosts/{}", job.host),
        NextStep::HostKey if matches!(job.figures, JobFigures::HostKey { .. }) => {
            format!("/jobs/{}/host-key", job.id)
        }
        NextStep::HostKey => format!("{host}/repo#connection"),
        // What is there now is looked at before it is restored over once more.
        NextStep::Restore => plan_href(job.repository_of(), job.id),
        NextStep::Again => again_href,
    };
    let again = cause.step == NextStep::Again;
    Some(Conclusion {
        label: if job.state == JobState::Warning { "What is missing" } else { "Likely cause" },
        title: cause.title,
        text: cause.text,
        said: Some(crate::format::cut(job.message.trim(), 600)).filter(|said| !said.is_empty()),
        step: cause.step_words,
        again: again && !href.is_empty(),
        href: if href.is_empty() { format!("/hosts/{}", job.host) } else { href },
        why,
        safe: cause.safe,
    })
}

/// What a restore is to do.
fn restore_facts(plan: &RestorePlan) -> Vec<Fact> {
    let to = Fact::new("To", restore_target(&plan.target));
    let mut facts = vec![Fact::new("Snapshot", &plan.snapshot[..8]).code(), to];
    if !matches!(plan.target, RestoreTarget::NewFolder { .. }) {
        facts.push(Fact::new("Existing files", crate::words::overwrite(plan.overwrite)));
        if plan.delete {
            facts.push(Fact::new("Delete", "what the snapshot lacks"));
        }
    }
    if !plan.dry_run {
        facts.push(Fact::new("Verify", if plan.verify { "yes" } else { "no" }));
    }
    facts
}

/// The rail.
pub(crate) fn facts(now: Timestamp, job: &Job, last_good: Option<&Job>, restic: Option<&str>) -> Vec<Fact> {
    let (by, by_kind) = actor(&job.actor);
    let mut facts = vec![Fact::new("Started by", by).note(by_kind)];
    match &job.what {
        JobWhat::Backup { group } => facts.push(Fact::new("Group", group)),
        JobWhat::ForgetDryRun { group, held, .. } => {
            facts.push(Fact::new("Group", group));
            if let Some(why) = held {
                facts.push(Fact::new("On hold", "nothing of it is removed yet").note(hold(*why)));
            }
        }
        JobWhat::Forget { groups, held } => {
            let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
            facts.push(Fact::new("Groups", names.join(", ")));
            for (name, why) in held {
                facts.push(Fact::new("Skipped", name).note(hold(*why)));
            }
        }
        JobWhat::Check { subset_pct } => facts.push(Fact::new("Read data subset", format!("{subset_pct} %"))),
        JobWhat::Restore(plan) => facts.extend(restore_facts(plan)),
        JobWhat::Drill(plan) => facts.extend([
            Fact::new("Group", &plan.group),
            Fact::new("Draws at most", format!("{}, {}", many(plan.files.into(), "file"), bytes(plan.bytes)))
                .note(format!("within {}", duration(plan.secs.into()))),
        ]),
        JobWhat::Download { snapshot, path, form, .. } => {
            facts.push(Fact::new("Snapshot", crate::format::cut(snapshot, 8)).code());
            facts.push(Fact::new("Path", path).code());
            facts.push(Fact::new("Format", form.as_str()));
        }
        _ => {}
    }
    if let Some(class) = job.class {
        facts.push(Fact::new("Class", class.as_str()).code());
    }
    if let Some(refusal) = job.refusal {
        facts.push(Fact::new("Refused", refusal.as_str()).code());
    }
    facts.push(Fact::new("Requested", ago(now, job.created_at)).note(crate::format::exact(job.created_at)));
    if let Some(ran) = ran(job) {
        facts.push(Fact::new("Ran for", ran));
    }
    if let Some(at) = job.cancel_asked_at {
        facts.push(Fact::new("Cancel requested", ago(now, at)));
    }
    if job.late {
        facts
            .push(Fact::new("Late", "yes").note("jobs of other hosts on its repository did not wait for it"));
    }
    if let Some(code) = job.exit_code {
        facts.push(Fact::new("Exit code", code.to_string()));
    }
    if let Some(good) = last_good.and_then(|job| job.finished_at) {
        facts.push(Fact::new("Last good", ago(now, good)));
    }
    if let Some(restic) = restic.filter(|version| !version.is_empty()) {
        facts.push(Fact::new("restic", restic));
    }
    facts.push(Fact::new("Job id", job.id.to_string()).code());
    facts
}

/// The question before a job is ended.
pub(crate) fn cancel(job: &Job, host_name: &str) -> ConfirmView {
    let title = job_title(&job.what);
    // Only its first word is no name.
    let mut what = title.clone();
    if let Some(first) = what.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let body = match &job.what {
        JobWhat::Backup { .. } => "No snapshot is made. What was sent already is used again by the next run.",
        JobWhat::Prune => "restic stops safely; the next prune frees the rest.",
        JobWhat::Restore(_) => "What was restored until then stays where it is.",
        JobWhat::Drill(_) => "What was restored until then is taken away again; nothing is proven by it.",
        JobWhat::Download { .. } => "The browser that receives it is told that the download failed.",
        _ => "It is asked to stop, and killed after a short grace period.",
    };
    ConfirmView {
        title: format!("Cancel the {what} on {host_name}?"),
        body: vec![body.to_owned()],
        action: format!("/jobs/{}/cancel", job.id),
        button: format!("Cancel the {what}"),
        dismiss: "Back".to_owned(),
        back: format!("/jobs/{}", job.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn a_restore_shows_what_it_has_fetched_also_before_anything_is_written() {
        let s = Sample::Example;
        let what = JobWhat::Drill(fleet::record::DrillPlan {
            group: "media".to_owned(),
            seed: 1,
            files: 20,
            bytes: 1 << 30,
            secs: 900,
        });
        let job = Job { what, ..sample_job(&s, JobState::Running) };
        let figures = |progress: JobProgress| -> Vec<String> {
            let seen = live(crate::sample::NOW, &job, &progress).figures;
            seen.into_iter().map(|it| format!("{}: {} {}", it.name, it.value, it.note)).collect()
        };
        let look = JobProgress { bytes_read: 3 << 20, ..JobProgress::default() };
        assert_eq!(figures(look.clone())[0], "Fetched: 3.00 MiB");
        assert_eq!(figures(look.clone()).len(), 2, "what there is to do is not known yet");
        let fetching = JobProgress { bytes_total: 24 << 20, rate_bytes: Some(0), ..look };
        assert_eq!(figures(fetching.clone())[..2], ["Fetched: 3.00 MiB", "To write: 24.0 MiB"]);
        assert_eq!(figures(fetching.clone())[3], "Rate: – ");
        let writing = JobProgress { bytes_done: 8 << 20, ..fetching };
        assert_eq!(figures(writing)[1], "Written: 8.00 MiB of 24.0 MiB");
    }

    #[test]
    fn a_name_in_the_question_before_a_job_is_cancelled_stays_as_it_is() {
        let what = JobWhat::Backup { group: "Media".to_owned() };
        let job = Job { what, ..sample_job(&Sample::Example, JobState::Running) };
        let question = cancel(&job, "Attic");
        assert_eq!(question.title, "Cancel the backup of Media on Attic?");
        assert_eq!(question.button, "Cancel the backup of Media");
    }
}
