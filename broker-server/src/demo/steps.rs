//! What an operator does, step by step; each finds what an earlier run has done.

use super::{folder::DemoFolder, progress::say};
use crate::{cli::Demo, clock};
use anyhow::{Context, bail};
use fleet::{
    By, Fleet, JobFilter, JobRequest, Page,
    record::{
        Actor, CredentialsInput, Group, Job, JobFigures, JobState, RestorePlan, RestoreTarget, Retention,
        Secret,
    },
};
use schema::{Class, HostId, JobId, JobKind, OsText, Overwrite, Slot};
use std::{
    fs::{File, TryLockError},
    io::{IsTerminal, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::timeout_at,
};

const HOST_NAME: &str = "demo-host";
const GROUP_NAME: &str = "files";
/// Whoever runs the demo backs up by hand.
const BY_HAND_DAYS: u16 = 7;

/// What the demo runs.
pub(super) struct Programs {
    agent: PathBuf,
    restic: Option<PathBuf>,
}

/// What the demo backs up.
pub(super) struct Sources {
    pub(super) includes: Vec<String>,
    pub(super) excludes: Vec<String>,
}

impl Programs {
    pub(super) fn find(options: &Demo) -> anyhow::Result<Self> {
        let agent = match &options.agent {
            Some(agent) => agent.clone(),
            None => std::env::current_exe()?.with_file_name("holdfast-agent"),
        };
        if !agent.is_file() {
            bail!("there is no agent program at {}; build it, or name it with --agent", agent.display());
        }
        Ok(Self { agent, restic: options.restic.clone() })
    }
}

fn by() -> By {
    By { actor: Actor::System, peer: String::new() }
}

/// The demo's host, enrolled.
pub(super) async fn host(fleet: &Fleet, folder: &DemoFolder, programs: &Programs) -> anyhow::Result<HostId> {
    let known = fleet.read()?.host_by_name(HOST_NAME)?;
    let (host, token) = match known {
        Some(host) if host.enrolled_at.is_some() && folder.agent().join("identity").exists() => {
            say(&format!("The host {HOST_NAME} is enrolled from an earlier run"));
            return Ok(host.id);
        }
        Some(host) => {
            (host.id, fleet.new_enroll_token(host.id, fleet::record::TokenMachine::Any, by()).await?)
        }
        None => {
            say(&format!("Adding the host {HOST_NAME}"));
            let (host, token) = fleet.create_host(HOST_NAME, vec!["demo".to_owned()], by()).await?;
            (host.id, token)
        }
    };
    say("Enrolling the agent with a one-time token, over TLS");
    let mut enroll = Command::new(&programs.agent)
        .args(["enroll", "--force", "--state-dir"])
        .arg(folder.agent())
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", programs.agent.display()))?;
    let mut stdin = enroll.stdin.take().context("no standard input")?;
    stdin.write_all(token.text.expose().as_bytes()).await?;
    drop(stdin);
    let status = enroll.wait().await?;
    if !status.success() {
        bail!("the agent could not be enrolled ({status})");
    }
    Ok(host)
}

/// Waits until an agent that an earlier run has left, killed, has ended.
pub(super) async fn no_other_agent(folder: &DemoFolder) -> anyhow::Result<()> {
    let path = folder.agent().join("lock");
    let deadline = clock::instant() + Duration::from_secs(20);
    let mut said = false;
    while let Ok(lock) = File::open(&path)
        && let Err(TryLockError::WouldBlock) = lock.try_lock()
    {
        if !core::mem::replace(&mut said, true) {
            say("An agent of an earlier run is about to end: waiting for it");
        }
        if clock::instant() >= deadline {
            bail!("another agent runs on {}: end it first", folder.agent().display());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The agent, running; its log goes to a file.
pub(super) fn start_agent(folder: &DemoFolder, programs: &Programs) -> anyhow::Result<Child> {
    let log = File::create(folder.agent_log())?;
    let mut agent = Command::new(&programs.agent);
    agent.args(["run", "--state-dir"]).arg(folder.agent());
    // However this process ends: nobody would look for what it has left. The system ties it to this thread, the main one.
    agent.arg(format!("--end-with={}", std::process::id()));
    if let Some(restic) = &programs.restic {
        agent.arg("--restic").arg(restic);
    }
    agent.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    agent.spawn().with_context(|| format!("cannot start {}", programs.agent.display()))
}

/// Waits until the agent has said hello.
pub(super) async fn online(
    fleet: &Fleet,
    host: HostId,
    agent: &mut Child,
    folder: &DemoFolder,
) -> anyhow::Result<()> {
    let deadline = clock::instant() + Duration::from_secs(30);
    let mut changes = fleet.changes();
    loop {
        let read = fleet.read()?;
        if read.presence(host)?.online {
            let facts =
                read.host(host)?.and_then(|host| host.facts).context("the host said nothing of itself")?;
            if facts.restic_version.is_empty() {
                bail!("the agent found no restic: install it (apt install restic) or name it with --restic");
            }
            say(&format!(
                "{HOST_NAME} is here: agent {}, restic {}",
                facts.agent_version, facts.restic_version
            ));
            return Ok(());
        }
        tokio::select! {
            _ = changes.recv() => {}
            status = agent.wait() => {
                bail!("the agent ended ({}): {}", status?, last_words(folder));
            }
            () = tokio::time::sleep_until(deadline) => {
                bail!("the agent did not say hello within 30 s; its log is {}", folder.agent_log().display());
            }
        }
    }
}

/// The last line of the agent's log, and where the rest is.
fn last_words(folder: &DemoFolder) -> String {
    let log = std::fs::read_to_string(folder.agent_log()).unwrap_or_default();
    let last = log.lines().last().unwrap_or("it said nothing");
    format!("{last}; its log is {}", folder.agent_log().display())
}

/// Repository credentials: a folder, and a password that nobody has to know.
pub(super) async fn credentials(fleet: &Fleet, host: HostId, folder: &DemoFolder) -> anyhow::Result<()> {
    if fleet.read()?.credentials(host, Slot::Repo)?.is_some() {
        return Ok(());
    }
    let mut bytes = [0; 20];
    clock::random(&mut bytes);
    let url = folder.repository().to_str().context("the path is not UTF-8")?.to_owned();
    say(&format!("Setting its repository: the folder {url}, with a random password"));
    let input = CredentialsInput {
        url,
        repo_password: Some(Secret::new(data_encoding::BASE32_NOPAD.encode(&bytes))),
        ..CredentialsInput::default()
    };
    fleet.put_credentials(host, Slot::Repo, input, by()).await?;
    Ok(())
}

/// The source group, as wanted now.
pub(super) async fn group(fleet: &Fleet, host: HostId, sources: &Sources) -> anyhow::Result<String> {
    let wanted = Group {
        name: GROUP_NAME.to_owned(),
        includes: sources.includes.clone(),
        excludes: sources.excludes.clone(),
        keep: Retention { daily: 7, weekly: 4, ..Retention::default() },
        by_hand_days: BY_HAND_DAYS,
        ..Group::default()
    };
    let known = fleet.read()?.group(host, GROUP_NAME)?;
    if known.as_ref().is_none_or(|known| known.includes != wanted.includes) {
        say(&format!("Source group {GROUP_NAME}: {}", wanted.includes.join(", ")));
        fleet.put_group(host, known.map(|_| GROUP_NAME), wanted, by()).await?;
    }
    Ok(GROUP_NAME.to_owned())
}

/// Makes the repository, when there is none.
pub(super) async fn repository(fleet: &Fleet, host: HostId) -> anyhow::Result<()> {
    let probe = run(fleet, host, JobRequest::Probe).await?;
    if probe.state == JobState::Succeeded {
        return Ok(());
    }
    if probe.class != Some(Class::RepoMissing) {
        bail!("the repository can't be used: {}", probe.message);
    }
    say("Initialising the repository");
    well(run(fleet, host, JobRequest::Init).await?)?;
    Ok(())
}

/// The backup, watched.
pub(super) async fn backup(fleet: &Fleet, host: HostId, group: &str) -> anyhow::Result<()> {
    say(&format!("Backing up {group} with restic"));
    let job = well(run(fleet, host, JobRequest::Backup { group: group.to_owned() }).await?)?;
    let JobFigures::Backup(figures) = &job.figures else { bail!("the backup came without figures") };
    say(&format!(
        "Snapshot {}: {} files, {} MiB, {} MiB of it new",
        figures.snapshot.get(..8).unwrap_or(&figures.snapshot),
        figures.total_files,
        figures.total_bytes >> 20,
        figures.added_bytes >> 20,
    ));
    if job.state == JobState::Warning {
        say(&job.message);
    }
    // The size that is known of it may be older than the backup.
    if let JobFigures::Stats { total_bytes, .. } = well(run(fleet, host, JobRequest::Stats).await?)?.figures {
        say(&format!("The repository holds {} KiB", total_bytes >> 10));
    }
    Ok(())
}

/// How many snapshots restic lists, and the whole id of the newest, which must be the one of this run.
pub(super) async fn snapshots(fleet: &Fleet, host: HostId) -> anyhow::Result<(usize, String)> {
    well(run(fleet, host, JobRequest::Snapshots).await?)?;
    let read = fleet.read()?;
    let (_, listed) = read.snapshots(host)?.context("the listing is missing")?;
    let backups = JobFilter { host: Some(host), kind: Some(JobKind::Backup), ..JobFilter::default() };
    let newest = read.jobs(&backups, &Page { limit: 1, ..Page::default() })?.items.into_iter().next();
    let Some(Job { figures: JobFigures::Backup(figures), .. }) = newest else {
        bail!("the backup's record is missing")
    };
    // Before 0.15, restic's summary names a snapshot by the beginning of its id.
    let newest = listed.iter().find(|row| row.id.starts_with(&figures.snapshot));
    match newest.filter(|_| !figures.snapshot.is_empty()) {
        Some(row) => Ok((listed.len(), row.id.clone())),
        None => bail!("restic does not list the snapshot {} that the backup made", figures.snapshot),
    }
}

/// Restores a file of the snapshot into a new folder and compares it with the one that was saved; where there is no
/// plain file to be found at once, all of the snapshot.
pub(super) async fn restore(
    fleet: &Fleet,
    host: HostId,
    group: &str,
    snapshot: String,
) -> anyhow::Result<()> {
    let includes = fleet.read()?.group(host, group)?.context("the source group is gone")?.includes;
    let file = includes.iter().find_map(|include| plain_file(Path::new(include)));
    let what = file.as_ref().map_or_else(|| "all of it".to_owned(), |file| file.display().to_string());
    say(&format!("Restoring {what} into a new folder"));
    let plan = RestorePlan {
        source: host,
        snapshot,
        paths: file.iter().map(|file| OsText::new(file.as_os_str().as_bytes()).to_string()).collect(),
        target: RestoreTarget::NewFolder { within: String::new() },
        overwrite: Overwrite::Never,
        delete: false,
        verify: true,
        dry_run: false,
    };
    let job = well(run(fleet, host, JobRequest::Restore(plan)).await?)?;
    let JobFigures::Restore(figures) = &job.figures else { bail!("the restore came without figures") };
    if job.state != JobState::Succeeded || figures.files == 0 || !figures.verified {
        bail!("the restore is not whole: {}", job.message);
    }
    if let Some(file) = file {
        let restored = Path::new(&figures.target).join(file.strip_prefix("/").unwrap_or(&file));
        if std::fs::read(&restored)? != std::fs::read(&file)? {
            bail!("{} is not what was saved of {}", restored.display(), file.display());
        }
    }
    say(&format!("It is there again, compared with what was saved: {}", figures.target));
    Ok(())
}

/// Restores files drawn by lot, has them compared with what is there, and taken away again.
pub(super) async fn prove(fleet: &Fleet, host: HostId, group: &str) -> anyhow::Result<()> {
    say("Proving that it can be restored, with files drawn by lot");
    let request = JobRequest::Drill { group: Some(group.to_owned()), files: None, bytes: None };
    let job = run(fleet, host, request).await?;
    let JobFigures::Drill(found) = &job.figures else { bail!("the proof came to nothing: {}", job.message) };
    if found.drawn == 0 {
        // A source of nothing but very large files, say.
        say(&job.message);
        return Ok(());
    }
    let proven = found.equal + found.changed_since;
    if job.state != JobState::Succeeded || proven == 0 {
        bail!("the proof failed: {}", job.message);
    }
    say(&format!(
        "Proven: {proven} of {} files, {} KiB, and nothing of them is left",
        found.drawn,
        found.bytes >> 10
    ));
    Ok(())
}

/// The first plain file of this path that a person could mean.
fn plain_file(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found.into_iter().find(|path| {
        let is_shown = path.file_name().is_some_and(|name| !name.as_bytes().starts_with(b"."));
        is_shown && path.symlink_metadata().is_ok_and(|found| found.is_file())
    })
}

fn well(job: Job) -> anyhow::Result<Job> {
    match job.state {
        JobState::Succeeded | JobState::Warning => Ok(job),
        state => bail!("{} ended {}: {}", job.what.kind().as_str(), state.as_str(), job.message),
    }
}

/// Dispatches a job and waits for its end, with its progress on the terminal.
async fn run(fleet: &Fleet, host: HostId, request: JobRequest) -> anyhow::Result<Job> {
    let mut changes = fleet.changes();
    let job = fleet.dispatch(host, request, by()).await?.id;
    let deadline = clock::instant() + Duration::from_secs(3600);
    loop {
        let record = fleet.read()?.job(job)?.context("the job's record is gone")?;
        if record.state.is_ended() {
            clear_line();
            return Ok(record);
        }
        print_progress(fleet, job);
        timeout_at(deadline, changes.recv()).await.context("the job did not end within an hour")?.ok();
    }
}

fn print_progress(fleet: &Fleet, job: JobId) {
    let mut out = std::io::stdout();
    if let Some(progress) = fleet.progress(job).filter(|_| out.is_terminal()) {
        let rate = progress.rate_bytes.map_or_else(String::new, |rate| format!(", {} MiB/s", rate >> 20));
        let _ = write!(
            out,
            "\r\x1b[K      {:>3} %, {} of {} files{rate}",
            progress.permille / 10,
            progress.files_done,
            progress.files_total,
        );
        let _ = out.flush();
    }
}

fn clear_line() {
    let mut out = std::io::stdout();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[K");
        let _ = out.flush();
    }
}
