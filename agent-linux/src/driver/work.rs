//! What a job's task does: what the policy says of the job, the hooks around it, and restic or the look into a folder.

use crate::{
    browse, clock, hook,
    policy::{Policy, PolicyAt, Sources, here},
    restic::{self, CommandSource, Control, Credentials, JobEnd, JobEvent, JobOrder, Places},
};
use schema::{
    Class, Items, ItemsFull, JobKind, JobSpec, OsText, Outcome, Run,
    job::{BackupSpec, COMMAND_SOURCE},
};
use tokio::sync::mpsc;

/// Why a prune is not run on a machine whose owner wants none.
const NO_ADMIN_SLOT: &str = "This machine's own policy refuses the admin credentials, so nothing can be deleted from it. To change that: admin_slot in its policy file, or --no-admin-slot on its command line.";

/// All that a job's task owns.
pub(super) struct Work {
    pub(super) run: Vec<u8>,
    pub(super) credentials: Option<Credentials>,
    pub(super) everyday: Option<Credentials>,
    pub(super) policy: PolicyAt,
    pub(super) places: Places,
    pub(super) known: restic::CarriedOver,
}

impl Work {
    pub(super) async fn run(
        self,
        events: mpsc::Sender<JobEvent>,
        mut control: mpsc::Receiver<Control>,
    ) -> JobEnd {
        let Self { run, credentials, everyday, policy, places, mut known } = self;
        let Ok(run) = schema::decode::<Run<'_>>(&run) else {
            return not_run(
                known,
                Class::Other,
                "the job's specification can't be read back from the journal",
            );
        };
        let kind = run.spec.kind();
        let policy = match policy.load() {
            Ok(policy) => policy,
            Err(error) => return not_run(known, Class::Policy, &format!("Not done: {error}.")),
        };
        if credentials.is_none() && kind == JobKind::Prune && !policy.allows_admin_slot {
            return not_run(known, Class::Policy, NO_ADMIN_SLOT);
        }
        if let Some(message) = policy.refuses(&run.spec, run.for_host) {
            return not_run(known, Class::Policy, &message);
        }
        let slots = [credentials.as_ref(), everyday.as_ref()];
        let refused = slots.into_iter().flatten().find_map(|slot| {
            policy.refuses_repository(&slot.url, slot.env.iter().map(|(name, _)| name.as_str()))
        });
        if let Some(message) = refused.filter(|_| kind != JobKind::Browse) {
            return not_run(known, Class::Policy, &message);
        }
        if let Some(message) = policy.not_now(kind, &here(clock::wall())) {
            return JobEnd { outcome: Outcome::Cancelled, ..not_run(known, Class::NotNow, &message) };
        }
        if let JobSpec::Browse { path } = &run.spec {
            return browse(*path, &policy, known, &events).await;
        }
        let mut places = policy.within_limits(places);
        let command = match &run.spec {
            JobSpec::Backup(backup) => command_of(backup, &policy),
            _ => None,
        };
        let restore_to = match &run.spec {
            JobSpec::Restore(restore) => policy.restore_to(restore).ok(),
            _ => None,
        };
        let mut room = [Vec::new(), Vec::new()];
        let (spec, sources) = match with_sources(run.spec, &policy, &mut room) {
            Ok(found) => found,
            Err(message) => return not_run(known, Class::Policy, &message),
        };
        // What is found out of another host's repository is nobody's here, and nothing of it stays.
        let own = run.for_host.zip(credentials.as_ref()).map(|(_, credentials)| {
            (
                places.apart(kind),
                core::mem::replace(&mut known.figures, restic::Figures::at(&credentials.url)),
            )
        });
        let order = JobOrder {
            spec,
            command,
            restore_to,
            restic_host: run.restic_host,
            // The core keeps the deadline.
            deadline_secs: 0,
            silence_secs: silence_secs(run.spec.kind()),
            credentials: credentials.as_ref(),
            everyday: everyday.as_ref(),
            places: &places,
            known,
        };
        let end = match spec {
            JobSpec::Backup(backup) => {
                let end = run_between_hooks(order, &backup, &policy, &events, &mut control).await;
                match sources.and_then(|sources| sources.moved(&policy)) {
                    Some(message) => with_moved_sources(end, &message),
                    None => end,
                }
            }
            _ => restic::run_job(order, &events, &mut control).await,
        };
        match own {
            Some((apart, figures)) => {
                // What can't be removed is tried again at the next start.
                let _ = restic::clear_aside(apart).await;
                end.of_another_host(figures)
            }
            None => end,
        }
    }
}

/// How long restic may say nothing before it is taken to hang. Backup, prune and check tell every second how far they
/// are, but for their first steps; what is silent until its end has a deadline by the server.
const fn silence_secs(kind: JobKind) -> u32 {
    match kind {
        JobKind::Backup | JobKind::Forget | JobKind::Prune | JobKind::Check => 6 * 3_600,
        // Somebody waits for it, and it gives something all the time once it has begun.
        JobKind::Download => 900,
        _ => 0,
    }
}

/// The job with the paths that restic is given, which borrow from `room`; else why it is not run.
fn with_sources<'s>(
    spec: JobSpec<'s>,
    policy: &Policy,
    room: &'s mut [Vec<u8>; 2],
) -> Result<(JobSpec<'s>, Option<Sources>), String> {
    let JobSpec::Backup(backup) = spec else { return Ok((spec, None)) };
    let sources = policy.sources(&backup)?;
    let [first, second] = room;
    let too_long = |_| "The paths of the source group are too long.".to_owned();
    let backup = BackupSpec {
        includes: listed(&sources.includes, first).map_err(too_long)?,
        excludes: listed(&sources.excludes, second).map_err(too_long)?,
        ..backup
    };
    Ok((JobSpec::Backup(backup), Some(sources)))
}

fn listed<'s>(texts: &[String], room: &'s mut Vec<u8>) -> Result<Items<'s, &'s str>, ItemsFull> {
    // Each with its length before it.
    room.resize(texts.iter().map(|text| text.len() + 5).sum(), 0);
    Items::write(texts, room)
}

/// A backup that may have walked elsewhere than it was allowed: what was saved is there, and a person has to look.
fn with_moved_sources(end: JobEnd, why: &str) -> JobEnd {
    let (outcome, class) = match end.outcome {
        Outcome::Succeeded | Outcome::Warning => (Outcome::Warning, Some(Class::Policy)),
        outcome => (outcome, end.class),
    };
    let said = format!("{why} Look at what was saved, and forget it if it should not be there.");
    let message = if end.message.is_empty() { said } else { format!("{said}\n{}", end.message) };
    JobEnd { outcome, class, message, ..end }
}

/// The command whose output a source group names in place of paths.
fn command_of<'p>(backup: &BackupSpec<'_>, policy: &'p Policy) -> Option<CommandSource<'p>> {
    let name = backup.includes.iter().find_map(|source| source.strip_prefix(COMMAND_SOURCE))?;
    let source = policy.commands.get(name)?;
    Some(CommandSource { command: &source.command, file_name: &source.file_name })
}

/// Runs a backup between the hooks that its source group names. Those after it run whatever came of it, also of a hook
/// before it: what one has stopped, another starts again.
async fn run_between_hooks(
    order: JobOrder<'_>,
    backup: &BackupSpec<'_>,
    policy: &Policy,
    events: &mpsc::Sender<JobEvent>,
    control: &mut mpsc::Receiver<Control>,
) -> JobEnd {
    let begun = clock::instant();
    let mut occasion = hook::Occasion {
        when: "before",
        group: backup.group,
        outcome: "",
        program: order.places.program.clone(),
    };
    let mut before = hook::HookEnd::Done;
    for name in backup.hooks_before.iter() {
        let Some(found) = policy.hooks.get(name) else { continue };
        let mut wires = hook::Wires { events, control, begun };
        before = hook::run(name, found, &occasion, &mut wires).await;
        if before != hook::HookEnd::Done {
            break;
        }
    }
    let mut end = match before {
        hook::HookEnd::Done => restic::run_job(order, events, control).await,
        hook::HookEnd::Failed(why) => {
            not_run(order.known, Class::Hook, &format!("{why} Nothing was backed up."))
        }
        hook::HookEnd::Stopped => JobEnd {
            outcome: Outcome::Cancelled,
            ..not_run(order.known, Class::Cancelled, "Cancelled before restic was started.")
        },
    };
    occasion.when = "after";
    occasion.outcome = match end.outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Warning => "warning",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    };
    for name in backup.hooks_after.iter() {
        let Some(found) = policy.hooks.get(name) else { continue };
        let mut wires = hook::Wires { events, control, begun };
        match hook::run(name, found, &occasion, &mut wires).await {
            hook::HookEnd::Done => {}
            hook::HookEnd::Failed(why) => end = with_failed_hook(end, &why),
            hook::HookEnd::Stopped => {
                end = with_failed_hook(end, &format!("The hook {name} was cancelled."));
            }
        }
    }
    end
}

/// A backup whose hook after it failed: there is a snapshot, and something to look at.
fn with_failed_hook(end: JobEnd, why: &str) -> JobEnd {
    let (outcome, class) = match end.outcome {
        Outcome::Succeeded => (Outcome::Warning, Some(Class::Hook)),
        outcome => (outcome, end.class),
    };
    let message = if end.message.is_empty() { why.to_owned() } else { format!("{}\n{why}", end.message) };
    JobEnd { outcome, class, message, ..end }
}

/// Lists a folder of this machine.
async fn browse(
    path: OsText<'_>,
    policy: &Policy,
    known: restic::CarriedOver,
    events: &mpsc::Sender<JobEvent>,
) -> JobEnd {
    let started_at = clock::wall();
    match browse::list(path, policy.clone()).await {
        Ok(found) => {
            let entries = u32::try_from(found.entries.len()).unwrap_or(u32::MAX);
            for entry in found.entries {
                if events.send(JobEvent::Entry(entry)).await.is_err() {
                    break;
                }
            }
            JobEnd {
                outcome: Outcome::Succeeded,
                class: None,
                message: String::new(),
                exit_code: None,
                started_at: Some(started_at),
                finished_at: clock::wall(),
                summary: restic::JobSummary::Folder { entries, left_out: found.left_out },
                known,
                figures_changed: false,
            }
        }
        Err(error) => {
            let class = match &error {
                browse::BrowseError::Policy { .. } | browse::BrowseError::OwnState => Class::Policy,
                browse::BrowseError::Replaced(_) => Class::Other,
                browse::BrowseError::Missing(_) | browse::BrowseError::Alike { .. } => Class::SourceMissing,
                browse::BrowseError::Unreadable { .. } => Class::SourceUnreadable,
            };
            not_run(known, class, &error.to_string())
        }
    }
}

pub(super) fn not_run(known: restic::CarriedOver, class: Class, message: &str) -> JobEnd {
    JobEnd {
        outcome: Outcome::Failed,
        class: Some(class),
        message: message.to_owned(),
        exit_code: None,
        started_at: None,
        finished_at: clock::wall(),
        summary: restic::JobSummary::None,
        known,
        figures_changed: false,
    }
}
