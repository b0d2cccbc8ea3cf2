//! Agents of an earlier development state, whose wire version 2 had fewer fields: the program of the commit 9245fd3 is one.
//!
//! What such an agent sends is read as what is sent now; what it does not say is unknown. What it is sent has the form that it
//! reads: the answer to a hello without an incarnation, the plan without addresses and authorities. So it runs its jobs on,
//! and what it can't do is refused by its abilities, of which it says none. Commands had the same form.
//!
//! Each message is read as one of now first: none of the earlier form decodes as that but [`Live`], for which the table of such
//! hosts is asked.

use crate::change::Changed;
use crate::op::Op;
use crate::refused::StoreError;
use crate::store::{EARLIER_AGENTS, HOSTS, Reads as _};
use schema::{
    Abilities, CommandSeq, Epoch, HeldJob, HeldPhase, Hello, HelloAnswer, HostId, HostTopic, Incarnation,
    InstallationId, Items, JobId, Live, Plan, PlanRevision, Presence, Progress, ReportSeq, SlotRevision,
    Stream, Timestamp,
    limits::{MAX_HELD_JOBS, MAX_MESSAGE_BYTES},
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
enum EarlierPresence<'a> {
    #[serde(borrow)]
    Hello(EarlierHello<'a>),
}

#[derive(Deserialize)]
struct EarlierHello<'a> {
    epoch: Epoch,
    stream: Stream,
    boot_id: [u8; 16],
    installation: InstallationId,
    agent_version: &'a str,
    restic_version: &'a str,
    os: &'a str,
    arch: &'a str,
    hostname: &'a str,
    #[serde(borrow)]
    jobs: Items<'a, EarlierHeldJob>,
    taken: CommandSeq,
    first_unacked: ReportSeq,
    last_report: ReportSeq,
    plan_revision: PlanRevision,
    repo_revision: SlotRevision,
    state_free_bytes: u64,
    at: Timestamp,
}

#[derive(Deserialize)]
struct EarlierHeldJob {
    job: JobId,
    phase: HeldPhase,
}

#[derive(Deserialize)]
enum EarlierLive<'a> {
    #[serde(borrow)]
    Progress(EarlierProgress<'a>),
}

#[derive(Deserialize)]
struct EarlierProgress<'a> {
    job: JobId,
    at: Timestamp,
    permille: u16,
    files_done: u64,
    files_total: u64,
    bytes_done: u64,
    bytes_total: u64,
    errors: u32,
    left_secs: Option<u32>,
    current: &'a str,
}

/// A message of an earlier agent as the one that is sent now; `None` = it is none of the earlier form.
pub(crate) fn read(topic: HostTopic, message: &[u8]) -> Option<Vec<u8>> {
    match topic {
        HostTopic::Presence => read_hello(message),
        HostTopic::Evt => read_finished(message),
        HostTopic::Live => read_progress(message),
        _ => None,
    }
}

fn read_hello(message: &[u8]) -> Option<Vec<u8>> {
    let EarlierPresence::Hello(hello) = schema::decode(message).ok()?;
    let mut room = [0; 24 * MAX_HELD_JOBS];
    let jobs = hello.jobs.iter().map(|held| HeldJob { job: held.job, phase: held.phase, group: None });
    encoded(&Presence::Hello(Hello {
        epoch: hello.epoch,
        stream: hello.stream,
        boot_id: hello.boot_id,
        installation: hello.installation,
        agent_version: hello.agent_version,
        restic_version: hello.restic_version,
        os: hello.os,
        arch: hello.arch,
        hostname: hello.hostname,
        jobs: Items::write(jobs, &mut room).ok()?,
        taken: hello.taken,
        first_unacked: hello.first_unacked,
        last_report: hello.last_report,
        plan_revision: hello.plan_revision,
        repo_revision: hello.repo_revision,
        state_free_bytes: hello.state_free_bytes,
        at: hello.at,
        abilities: Abilities::default(),
        incarnation: Incarnation::ZERO,
        saved: Items::EMPTY,
        address: "",
        trusts: Items::EMPTY,
    }))
}

/// The end of a job is the only report that has grown, by what stands at its end.
fn read_finished(message: &[u8]) -> Option<Vec<u8>> {
    const NEITHER_KIND_NOR_GROUP: [u8; 2] = [0, 0];
    let grown = [message, &NEITHER_KIND_NOR_GROUP].concat();
    let report: schema::Report<'_> = schema::decode(&grown).ok()?;
    matches!(report.body, schema::ReportBody::Finished(_)).then_some(grown)
}

fn read_progress(message: &[u8]) -> Option<Vec<u8>> {
    let EarlierLive::Progress(progress) = schema::decode(message).ok()?;
    encoded(&Live::Progress(Progress {
        job: progress.job,
        at: progress.at,
        permille: progress.permille,
        files_done: progress.files_done,
        files_total: progress.files_total,
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
        bytes_read: 0,
        errors: progress.errors,
        left_secs: progress.left_secs,
        current: progress.current,
    }))
}

fn encoded(message: &impl Serialize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let used = schema::encode(message, &mut buffer).ok()?.len();
    buffer.truncate(used);
    Some(buffer)
}

/// The answer to a hello as an earlier agent reads it.
pub(crate) fn answer(stream: Stream, through: ReportSeq, answer: HelloAnswer) -> impl Serialize {
    // A variant is written as its place: an ack is the second one.
    const ACK: u8 = 1;
    let clock = Some((answer.epoch, answer.at));
    let refused: Option<schema::Over> = None;
    (ACK, stream, through, clock, refused)
}

/// A plan as an earlier agent reads it.
pub(crate) fn plan<'p>(plan: &'p Plan<'_>) -> impl Serialize + 'p {
    (plan.revision, plan.backups_held, plan.restic_host, plan.groups, plan.schedules)
}

/// A host has said hello, in the earlier form or in that of now. What it was sent before, it may not have understood.
pub(crate) fn came(op: &mut Op<'_, '_>, host: HostId, is_earlier: bool) -> Result<(), StoreError> {
    if is_earlier && let Some(mut record) = op.tx.get(&HOSTS, &host)? {
        // It can do some of it, but does not say so.
        if let Some(facts) = &mut record.facts {
            facts.abilities = None;
        }
        op.tx.put(&HOSTS, &host, &record)?;
    }
    if op.tx.has(&EARLIER_AGENTS, &host)? == is_earlier {
        return Ok(());
    }
    if is_earlier {
        op.tx.put(&EARLIER_AGENTS, &host, &())?;
    } else {
        op.tx.remove(&EARLIER_AGENTS, &host)?;
    }
    op.tx.effects.changed(Changed::Plan(host));
    op.tx.effects.changed(Changed::Host(host));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use schema::{Report, ReportBody, ToAgent};
    use std::collections::BTreeMap;

    /// Literal bytes, written at the commit 9245fd3: they never change.
    const GOLDEN: &str = include_str!("../../tests/files/wire-2-earlier.txt");
    /// The same samples as they are written now.
    const NOW: &str = include_str!("../../../schema/tests/golden/v2.txt");

    fn lines(text: &str) -> BTreeMap<&str, Vec<u8>> {
        let lines = text.lines().filter_map(|line| line.split_once(" = "));
        lines.map(|(name, hex)| (name, HEXLOWER.decode(hex.as_bytes()).unwrap_or_default())).collect()
    }

    #[test]
    fn a_hello_of_an_earlier_agent_says_what_it_said_and_nothing_else() {
        let (earlier, now) = (lines(GOLDEN), lines(NOW));
        for name in ["Presence.Hello", "Presence.Hello of a new agent"] {
            assert!(schema::decode::<Presence<'_>>(&earlier[name]).is_err(), "it is none of now");
            let read = read(HostTopic::Presence, &earlier[name]).unwrap();
            let (Presence::Hello(read), Presence::Hello(now)) =
                (schema::decode(&read).unwrap(), schema::decode(&now[name]).unwrap())
            else {
                panic!("no hello");
            };
            let jobs = now.jobs.iter().map(|held| HeldJob { group: None, ..held });
            let mut room = [0; 256];
            let said = Hello {
                jobs: Items::write(jobs, &mut room).unwrap(),
                abilities: Abilities::default(),
                incarnation: Incarnation::ZERO,
                saved: Items::EMPTY,
                address: "",
                trusts: Items::EMPTY,
                ..now
            };
            assert_eq!(read, said, "{name}");
        }
    }

    #[test]
    fn the_end_of_a_job_is_read_from_an_earlier_agent() {
        let (earlier, now) = (lines(GOLDEN), lines(NOW));
        let name = "Report ReportBody.Finished";
        assert!(schema::decode::<Report<'_>>(&earlier[name]).is_err(), "it is none of now");
        let read = read(HostTopic::Evt, &earlier[name]).unwrap();
        let (read, now): (Report<'_>, Report<'_>) =
            (schema::decode(&read).unwrap(), schema::decode(&now[name]).unwrap());
        let ReportBody::Finished(said) = now.body else { panic!("{now:?}") };
        let said = schema::report::Finished { kind: None, group: None, ..said };
        assert_eq!(read, Report { body: ReportBody::Finished(said), ..now });
    }

    #[test]
    fn progress_is_read_from_an_earlier_agent() {
        let (earlier, now) = (lines(GOLDEN), lines(NOW));
        for name in ["Live.Progress", "Live.Progress without an estimate"] {
            let read = read(HostTopic::Live, &earlier[name]).unwrap();
            let (Live::Progress(read), Live::Progress(now)) =
                (schema::decode(&read).unwrap(), schema::decode(&now[name]).unwrap())
            else {
                panic!("no progress");
            };
            assert_eq!(read, Progress { bytes_read: 0, ..now }, "{name}");
        }
    }

    #[test]
    fn an_earlier_agent_is_sent_what_it_reads() {
        let (earlier, now) = (lines(GOLDEN), lines(NOW));
        for name in ["Plan", "Plan empty"] {
            let sent: Plan<'_> = schema::decode(&now[name]).unwrap();
            assert_eq!(encoded(&plan(&sent)).unwrap(), earlier[name], "{name}");
        }
        let name = "ToAgent.Ack of a hello";
        let Ok(ToAgent::Ack { stream, through, answer: Some(said), .. }) = schema::decode(&now[name]) else {
            panic!("no answer to a hello");
        };
        assert_eq!(encoded(&answer(stream, through, said)).unwrap(), earlier[name]);
    }

    #[test]
    fn what_is_none_of_the_earlier_form_stays_what_it_is() {
        let now = lines(NOW);
        for name in ["Presence.Hello", "Presence.Gone"] {
            assert_eq!(read(HostTopic::Presence, &now[name]), None, "{name}");
        }
        for name in now.keys().filter(|name| name.starts_with("Report ")) {
            assert_eq!(read(HostTopic::Evt, &now[name]), None, "{name}");
        }
        for junk in [&[][..], &[0], &[0xff; 64], &[4; 200]] {
            for topic in [HostTopic::Presence, HostTopic::Evt, HostTopic::Live, HostTopic::Cmd] {
                assert_eq!(read(topic, junk), None);
            }
        }
    }
}
