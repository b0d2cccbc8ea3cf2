//! Proofs: what drills say of single files, and how the proof of a host stands.

use super::run_button::{RunButton, why_short};
use crate::format::{ago, bytes, count, day, duration, many};
use crate::problem::Problem;
use fleet::record::{DrillCuts, DrillFigures, Proof};
use fleet::{FleetState, HostProof, HostRow, JobRequest, ProofOfGroup, ProofStatus, RestoreEstimate};
use schema::{DrillFault, HostId, Timestamp};
use serde::Serialize;

/// Where a proof is started; of no group: of the one that was proven longest ago.
pub(crate) fn prove_href(host: HostId, group: Option<&str>) -> String {
    match group {
        None => format!("/hosts/{host}/drill"),
        Some(group) => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("group", group).finish();
            format!("/hosts/{host}/drill?{query}")
        }
    }
}

/// What a drill says of single files, and what its bounds have cut.
pub(crate) fn findings(found: &DrillFigures) -> Vec<String> {
    let named = found.findings.iter().map(|finding| {
        let fault = match finding.fault {
            DrillFault::Unreadable => "can't be restored",
            DrillFault::Different => "came back with other content",
        };
        let why = if finding.reason.is_empty() { String::new() } else { format!(": {}", finding.reason) };
        format!("{} {fault}{why}", finding.path)
    });
    let more = (found.findings_left_out > 0)
        .then(|| format!("and {} more: the log names them", count(u64::from(found.findings_left_out))));
    named.chain(more).chain(cuts(&found.cuts)).collect()
}

fn cuts(cuts: &DrillCuts) -> Vec<String> {
    let DrillCuts { too_large, odd_names, over_bytes, short_of_room, out_of_time } = *cuts;
    let mut said = Vec::new();
    if too_large > 0 {
        said.push(format!("{} larger than all that may be drawn", many_are(too_large)));
    }
    if odd_names > 0 {
        said.push(format!(
            "{} named with bytes that are no UTF-8, or too long: never drawn",
            many_are(odd_names)
        ));
    }
    if over_bytes > 0 {
        said.push(format!("{} drawn and skipped: no bytes were left for them", many_are(over_bytes.into())));
    }
    if short_of_room {
        said.push("There was less room in the agent's state folder than may be drawn".to_owned());
    }
    if out_of_time {
        said.push("The time was over before all files were restored and compared".to_owned());
    }
    said
}

fn many_are(number: u64) -> String {
    format!("{} {}", many(number, "file"), if number == 1 { "is" } else { "are" })
}

/// How the proof of one source group stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupProofView {
    /// Of the line: `none`, `fail`; empty = proven.
    pub(crate) class: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) lead: String,
    pub(crate) text: String,
    /// The job that it comes from, and what that is called.
    pub(crate) href: Option<String>,
    pub(crate) link: &'static str,
    pub(crate) action: String,
    pub(crate) run: RunButton,
}

/// The proof of a host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProofView {
    pub(crate) title: &'static str,
    pub(crate) groups: Vec<GroupProofView>,
    /// How long a whole restore would take, and from which rate that was reckoned.
    pub(crate) estimate: String,
    pub(crate) next: String,
}

#[cfg(test)]
impl ProofView {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            title: "Proven",
            groups: vec![GroupProofView {
                class: "fail",
                icon: "failed",
                lead: s.text("Proven 12 Nov: 20 of 20 files"),
                text: s.text("2 of them have changed since."),
                href: Some("/jobs/01".to_owned()),
                link: "Open the proof",
                action: "/x".to_owned(),
                run: RunButton::sample(s),
            }],
            estimate: s.text("All of it would take about 3 h 10 min"),
            next: s.text("Next proof: due in 12 days"),
        }
    }
}

impl ProofView {
    /// `None` = the host has no source group.
    pub(crate) fn read(state: &FleetState, row: &HostRow, now: Timestamp) -> Result<Option<Self>, Problem> {
        let id = row.host.id;
        if row.groups == 0 {
            return Ok(None);
        }
        let proof = &row.proof;
        let known = row.proof_of_groups();
        let groups = known.iter().map(|group| group_view(state, row, group, now));
        let decided = state.decisions(id)?;
        let next = decided.map_or_else(String::new, |(settings, decisions)| {
            let [.., drill] = &decisions;
            let words = crate::words::decision(drill, now, &settings);
            let whose = match (&drill.group, known.len()) {
                (Some(group), 2..) => format!(" (of {group})"),
                _ => String::new(),
            };
            format!("Next proof{whose}: {words}.")
        });
        Ok(Some(Self {
            title: title(proof.status),
            groups: groups.collect::<Result<_, _>>()?,
            estimate: estimate(proof),
            next,
        }))
    }
}

/// What the proof of a host is called.
const fn title(status: ProofStatus) -> &'static str {
    match status {
        ProofStatus::Failed => "Its proof failed",
        ProofStatus::Unproven => "Unproven",
        ProofStatus::Off => "Not being proven",
        ProofStatus::Waiting => "Waits for its first proof",
        ProofStatus::Nothing => "Nothing to prove yet",
        ProofStatus::Proven => "Proven",
    }
}

fn group_view(
    state: &FleetState,
    row: &HostRow,
    proof: &ProofOfGroup,
    now: Timestamp,
) -> Result<GroupProofView, Problem> {
    let (id, group) = (row.host.id, &proof.group);
    let request = JobRequest::Drill { group: Some(group.clone()), files: None, bytes: None };
    let (class, icon) = match proof.status {
        ProofStatus::Failed => ("fail", "failed"),
        ProofStatus::Proven => ("", "proven"),
        _ => ("none", "unproven"),
    };
    let several = row.groups > 1;
    let what = if several { format!("{group}: ") } else { String::new() };
    let lead = match (proof.failed, proof.proven) {
        (Some(failed), _) => {
            format!(
                "{what}The proof of {} found files that can't be restored, or are different.",
                day(failed.at)
            )
        }
        (None, Some(proven)) => format!("{what}{}", proven_words(&proven)),
        (None, None) => format!("{what}{}", never(proof.status)),
    };
    let text = match (proof.failed, proof.proven) {
        (Some(_), Some(proven)) => format!("Before that: {}", proven_words(&proven)),
        (Some(_), None) => "It was never proven.".to_owned(),
        (None, Some(proven)) => {
            let old = match proof.status {
                ProofStatus::Unproven => {
                    format!("That was {}, longer ago than twice its interval. ", ago(now, proven.at))
                }
                ProofStatus::Off => {
                    format!("That was {}, and nothing is proven here by itself. ", ago(now, proven.at))
                }
                _ => String::new(),
            };
            let changed = match proven.changed_since {
                0 => "They were drawn by lot, restored, and are what the host has.".to_owned(),
                n => format!(
                    "They were drawn by lot and restored; {} changed on the host since, so that restic's own word counts.",
                    if n == 1 {
                        "1 of them has".to_owned()
                    } else {
                        format!("{} of them have", count(n.into()))
                    }
                ),
            };
            format!("{old}{changed}")
        }
        (None, None) => String::new(),
    };
    let job = proof.failed.map(|failed| failed.job).or(proof.proven.map(|proven| proven.job));
    Ok(GroupProofView {
        class,
        icon,
        lead,
        text,
        href: job.map(|job| format!("/jobs/{job}")),
        link: "Open the proof",
        action: prove_href(id, Some(group)),
        run: RunButton {
            label: "Prove now".to_owned(),
            why: why_short(state, id, &request)?,
            small: true,
            primary: false,
            name: Some(format!("Prove now: {group}")),
        },
    })
}

const fn never(status: ProofStatus) -> &'static str {
    match status {
        ProofStatus::Off => "Not being proven: proofs are switched off here.",
        ProofStatus::Unproven => "Not proven yet, although it was due.",
        _ => "Not proven yet; its first proof was not due so far.",
    }
}

/// `Proven 12 Nov: 20 of 20 files, 310 MiB in 41 s.`
fn proven_words(proven: &Proof) -> String {
    format!(
        "Proven {}: {} of {}, {} in {}.",
        day(proven.at),
        count(proven.restored.into()),
        many(proven.drawn.into(), "file"),
        bytes(proven.bytes),
        took(proven.restore_ms),
    )
}

/// Never less than a second: what is shorter is not measured that well.
pub(crate) fn took(ms: u64) -> String {
    duration(ms.div_ceil(1_000).max(1))
}

/// How long a whole restore would take, and from what that was reckoned.
fn estimate(proof: &HostProof) -> String {
    let Some(RestoreEstimate { secs, bytes: all, rate }) = proof.estimate else {
        return "How long a whole restore would take is not known: no proof or restore of 16 MiB or more was measured here."
            .to_owned();
    };
    let what = if rate.is_restore { "restore" } else { "proof" };
    format!(
        "All of it, {}, would take about {}: the {what} of {} restored {} in {}, {}/s.",
        bytes(all),
        duration(secs),
        day(rate.at),
        bytes(rate.bytes),
        took(rate.ms),
        bytes(rate.bytes_a_second()),
    )
}
