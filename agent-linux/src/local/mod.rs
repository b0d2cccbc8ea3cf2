//! What a person does at this machine without the server: look at snapshots, find files by their names, restore.
//!
//! It works from the state folder alone, while the agent runs and while it does not: the folder is not locked and nothing
//! in it is changed but restic's cache. The work itself is the jobs that the server asks for, see [`crate::restic`]; here they
//! are put together, followed and shown.
//!
//! # What the policy file says to it
//!
//! The policy protects the machine from the server. Whoever can read the state folder could do all of this by restic
//! alone, so what only keeps the server back (`source_roots`, `restore_targets`, `restore_in_place`, `download`,
//! `quiet_hours`, `interfaces`) does not count here. What does: `restore_base` as the place of new folders, the limits, and
//! `repositories`, for the address in the slot is what the server said. That the agent's own state and policy file are never
//! restored over, and that folders are opened without following links, stays as it is.
//!
//! # Words
//!
//! What was asked for is a [`LocalCommand`]; a session runs jobs for it; `words` makes lines for people of what they bring, `json`
//! lines for programs.

mod end;
mod json;
pub mod options;
mod session;
mod words;

use crate::restic::{HitSeen, JobEvent, JobSummary, RestoreDone};
use end::{ALL, End, NOTHING};
use json::Line;
use options::{LocalCommand, Target, What, Wish};
use schema::{
    Class, Items, JobSpec, OsText, RestoreTarget,
    job::{FindSpec, Origin},
    restore::RestoreSpec,
};
use session::Session;
use std::os::unix::ffi::OsStrExt as _;
use words::Finds;

/// Does what was asked for; the exit code.
pub async fn run(asked: &LocalCommand) -> u8 {
    let end = match Session::open(asked) {
        Ok(mut session) => {
            let end = carry_out(&mut session, asked).await;
            session.close();
            end.unwrap_or_else(|end| end)
        }
        Err(end) => end,
    };
    let told = match asked.json {
        false => Ok(()),
        true => Line::of("end")
            .text("outcome", end.outcome())
            .said("class", end.class.map_or("", Class::as_str))
            .said("message", &end.message)
            .print(),
    };
    let (end, is_told) = match told {
        Ok(()) => (end, asked.json),
        Err(unwritten) if end.code == ALL => (unwritten, false),
        Err(_) => (end, false),
    };
    if !is_told && !end.message.is_empty() {
        words::say(&format!("holdfast-agent: {}\n", words::lines(&end.message)));
    }
    end.code
}

async fn carry_out(session: &mut Session<'_>, asked: &LocalCommand) -> Result<End, End> {
    match &asked.what {
        What::Snapshots => list(session, asked).await,
        What::Folder { snapshot, path } => list_folder(session, asked, snapshot, path).await,
        What::Find { pattern, ignore_case, newest } => {
            find(session, asked, pattern, (*ignore_case, *newest)).await
        }
        What::Restore(wish) => restore(session, asked.json, wish).await,
    }
}

async fn list(session: &mut Session<'_>, asked: &LocalCommand) -> Result<End, End> {
    let (mut all, left_out) = session.snapshots().await?;
    all.retain(|seen| asked.wants(seen));
    if asked.json {
        all.iter().try_for_each(|seen| json::snapshot(seen).print())?;
    } else if all.is_empty() {
        words::print(&format!("{}\n", asked.none()))?;
    } else {
        words::print(&words::snapshots(&all))?;
    }
    Ok(End::cut(left_out, "snapshots could not be read"))
}

async fn list_folder(
    session: &mut Session<'_>,
    asked: &LocalCommand,
    snapshot: &str,
    path: &[u8],
) -> Result<End, End> {
    let seen = session.resolve(snapshot).await?;
    let mut entries = Vec::new();
    let mut hear = |event| {
        if let JobEvent::Entry(entry) = event {
            entries.push(entry);
        }
    };
    let spec = JobSpec::Ls { snapshot: &seen.id, path: OsText::new(path) };
    let end = session.job(spec, None, &mut hear).await;
    let JobSummary::Folder { left_out, .. } = end.summary else { return Err(End::of(end)) };
    if asked.json {
        entries.iter().try_for_each(|entry| json::entry(entry).print())?;
    } else {
        words::print(&words::entries(&seen, path, &entries))?;
    }
    Ok(End::cut(left_out, "entries of this folder had no room"))
}

async fn find(
    session: &mut Session<'_>,
    asked: &LocalCommand,
    pattern: &[u8],
    (ignore_case, newest): (bool, u32),
) -> Result<End, End> {
    let host = session.host.clone();
    let mut room = [0; 1024];
    let origin = asked.group.as_ref().map(|group| Origin { hostname: &host, tag: group });
    let Ok(members) = Items::write(origin, &mut room) else {
        return Err(End::failed("The names of the host and of the group are too long."));
    };
    let spec = FindSpec { pattern: OsText::new(pattern), ignore_case, members, newest, since: None };
    let (mut finds, mut entries) = (Finds::default(), Vec::new());
    let mut hear = |event| match event {
        JobEvent::Hit(HitSeen::Entry(entry)) => entries.push(entry),
        JobEvent::Hit(HitSeen::Snapshot { id, time }) => {
            entries.drain(..).for_each(|entry| finds.add(entry, &id, time));
        }
        _ => {}
    };
    let end = session.job(JobSpec::Find(spec), None, &mut hear).await;
    let JobSummary::Found { snapshots, snapshots_left_out, left_out, .. } = end.summary else {
        return Err(End::of(end));
    };
    let found = finds.paths();
    if asked.json {
        found.iter().try_for_each(|path| json::found(path).print())?;
    } else {
        words::print(&words::found(found, snapshots))?;
    }
    Ok(match (left_out, snapshots_left_out) {
        (0, 0) if found.is_empty() => End { code: NOTHING, ..End::default() },
        (0, _) => End::cut(snapshots_left_out, "older snapshots were not looked through"),
        _ => End::cut(left_out, "more were found than there is room for"),
    })
}

async fn restore(session: &mut Session<'_>, json: bool, wish: &Wish) -> Result<End, End> {
    let seen = session.resolve(&wish.snapshot).await?;
    let mut room = vec![0; wish.paths.iter().map(|path| path.len() + 5).sum()];
    let Ok(paths) = Items::write(wish.paths.iter().map(|path| OsText::new(path)), &mut room) else {
        return Err(End::failed("The paths are too long."));
    };
    let spec = RestoreSpec {
        snapshot: &seen.id,
        paths,
        target: match &wish.target {
            Target::NewFolder => RestoreTarget::NewFolder { within: OsText::default() },
            Target::Folder(path) => RestoreTarget::Folder { path: OsText::new(path.as_os_str().as_bytes()) },
            Target::Original => RestoreTarget::Original,
        },
        overwrite: wish.overwrite,
        delete: wish.delete,
        verify: wish.verify,
        dry_run: wish.dry_run,
    };
    session.tell(&format!("Snapshot {}.", words::named(&seen, words::SHORT_ID)));
    if wish.asks_first() {
        let (end, done) = run_restore(session, json, RestoreSpec { dry_run: true, ..spec }).await?;
        if done.is_none() || end.is_nothing() {
            return Err(end);
        }
        session.confirm().await?;
    }
    if wish.target == Target::NewFolder && !wish.dry_run {
        session.make_base()?;
    }
    Ok(run_restore(session, json, spec).await?.0)
}

/// Runs a restore and shows what came of it.
async fn run_restore(
    session: &mut Session<'_>,
    json: bool,
    spec: RestoreSpec<'_>,
) -> Result<(End, Option<RestoreDone>), End> {
    let to = session.policy.restore_to(&spec).map_err(|why| End::failed(&why))?;
    let mut end = session.job(JobSpec::Restore(spec), Some(to), &mut |_| {}).await;
    let done = match core::mem::take(&mut end.summary) {
        JobSummary::Restore(done) => Some(done),
        _ => None,
    };
    let end = End::of(end);
    if let Some(done) = &done {
        if json {
            json::restored(done, spec.dry_run).print()?;
        } else {
            words::print(&words::restored(done, spec.dry_run))?;
        }
    }
    Ok((end, done))
}
