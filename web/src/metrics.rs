//! `GET /metrics`: the fleet in the text format of Prometheus.

use crate::app::Ctx;
use crate::problem::Problem;
use crate::server_facts::{BrokerFigure, TaskFacts};
use crate::visible::{Breaks, visible};
use axum::http::header;
use axum::response::IntoResponse;
use fleet::record::{SendCounts, Severity};
use fleet::{
    AddressUse, ArchiveState, ArchiveStatus, AuthorityUse, CauseGroups, ChannelView, FleetCounts, FleetState,
    Found, HostFilter, HostRow, Kits, ProofStatus, Scrub, Standby, Status,
};
use schema::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A metric's name, type, help, and its samples: (labels, value).
type Family<'a> = (&'a str, &'a str, &'a str, Vec<(String, f64)>);

/// Answers with all metrics.
pub(crate) async fn metrics(ctx: Ctx) -> Result<impl IntoResponse, Problem> {
    let text = ctx.read(|ctx, state| Ok(text(&families(ctx, state)?))).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

fn families<'a>(ctx: &'a Ctx, state: &FleetState) -> Result<Vec<Family<'a>>, Problem> {
    let rows = state.fleet(&HostFilter::default());
    let broker = (ctx.app.settings.broker)();
    let server = &ctx.app.settings.server;
    let mut families = of_hosts(&rows);
    families.push(of_protection(&rows, &state.cause_groups()?));
    families.extend(of_broker(&broker.figures));
    families.extend(of_tasks(&(ctx.app.settings.tasks)()));
    families.extend(of_kits(&state.kits()?));
    families.extend(of_archives(ctx.now(), &ctx.app.settings.archives.status()?));
    families.extend(of_standbys(&ctx.app.fleet.standbys()?, ctx.app.fleet.succession().is_some()));
    families.extend(of_channels(&state.channels()?, &ctx.app.fleet.send_counts()?));
    let help =
        "Hosts whose agents obey another server that was made of this one, and take nothing from this one.";
    families.push(("holdfast_superseded_hosts", "gauge", help, one(state.superseded().len() as f64)));
    families.extend(of_agent_access(&state.addresses()?, &state.authorities()?));
    families.extend(of_data_file(ctx.app.fleet.last_scrub().as_ref(), (ctx.app.settings.space_left)()));
    let writer = ctx.app.fleet.writer_counts();
    families.extend([
        (
            "holdfast_sign_ins_held_up",
            "gauge",
            "Addresses and accounts that have to wait after wrong passwords, at the pages.",
            one(ctx.app.limiter().held(ctx.now()).len() as f64),
        ),
        (
            "holdfast_incidents",
            "gauge",
            "Incidents that are open, acknowledged ones included.",
            incidents(state)?,
        ),
        ("holdfast_pending_runs", "gauge", "Pending backups.", one(state.pending_count()? as f64)),
        ("holdfast_storage_bytes", "gauge", "Size of the data file.", one(state.storage_bytes() as f64)),
        (
            "holdfast_reads_refused_total",
            "counter",
            "Requests that were answered with 503 for too many others waited to be read.",
            one(ctx.app.readers.refused() as f64),
        ),
        (
            "holdfast_commits_total",
            "counter",
            "Transactions written to the data file.",
            one(writer.commits as f64),
        ),
        (
            "holdfast_commits_failed_total",
            "counter",
            "Transactions that could not be written to the data file.",
            one(writer.failed as f64),
        ),
        (
            "holdfast_start_time_seconds",
            "gauge",
            "When the server was started.",
            one(server.started_at.0 as f64 / 1_000.0),
        ),
        (
            "holdfast_build_info",
            "gauge",
            "The server's version.",
            vec![(format!("version=\"{}\"", escaped(&server.version)), 1.0)],
        ),
    ]);
    Ok(families)
}

/// What the channels of notices send, and what waits there.
fn of_channels(channels: &[ChannelView], counts: &BTreeMap<String, SendCounts>) -> Vec<Family<'static>> {
    let label = |channel: &ChannelView| {
        format!("channel=\"{}\",kind=\"{}\"", escaped(&channel.name), channel.channel.kind())
    };
    let each = |value: &dyn Fn(&ChannelView) -> u64| -> Vec<(String, f64)> {
        channels.iter().map(|channel| (label(channel), value(channel) as f64)).collect()
    };
    let sent = |channel: &ChannelView| counts.get(&channel.name).copied().unwrap_or_default();
    let waits = |channel: &ChannelView| {
        let on_its_way = channel.on_its_way.as_ref().map_or(0, |way| way.notices);
        u64::from(channel.waiting) + u64::from(on_its_way)
    };
    let help = "Messages, heartbeats and signals of a channel that were taken since the start.";
    let mut families =
        vec![("holdfast_channel_sent_total", "counter", help, each(&|channel| sent(channel).taken))];
    let help = "Tries of a channel that were not taken since the start.";
    families.push(("holdfast_channel_failed_total", "counter", help, each(&|channel| sent(channel).refused)));
    let help = "Notices, or signals, that wait at a channel, those on their way included.";
    families.push(("holdfast_channel_waiting", "gauge", help, each(&waits)));
    let help = "Whether what the channel sent last was not taken.";
    let fails = each(&|channel| u64::from(channel.flags.is_on && channel.failing.is_some()));
    families.push(("holdfast_channel_failing", "gauge", help, fails));
    families
}

fn incidents(state: &FleetState) -> Result<Vec<(String, f64)>, Problem> {
    let (counts, _) = state.incident_counts()?;
    let labelled = |severity: Severity| format!("severity=\"{}\"", severity.as_str());
    Ok(Severity::ALL
        .into_iter()
        .zip(counts)
        .map(|(severity, count)| (labelled(severity), f64::from(count)))
        .collect())
}

/// How the archives of the server stand.
fn of_archives(now: Timestamp, status: &ArchiveStatus) -> Vec<Family<'static>> {
    let newest = status.newest(now);
    let help = "The instant whose state the newest archive of the server holds.";
    let at = newest.map(|newest| newest.at.0 as f64 / 1_000.0);
    let mut families = vec![("holdfast_archive_newest_timestamp_seconds", "gauge", help, known(at))];
    let help = "Size of the newest archive of the server.";
    let bytes = newest.map(|newest| newest.bytes as f64);
    families.push(("holdfast_archive_newest_bytes", "gauge", help, known(bytes)));
    let states = [ArchiveState::Ok, ArchiveState::Begun, ArchiveState::NoKey, ArchiveState::Late];
    families.push((
        "holdfast_archive_state",
        "gauge",
        "Whether the newest archive of the server is of the last two days, comes soon, is not made for nobody has said what \
         opens it, or is too old: 1 at one of them.",
        states
            .map(|state| (format!("state=\"{}\"", state.code()), f64::from(u8::from(state == status.state))))
            .to_vec(),
    ));
    families
}

/// How the standbys of the server follow, and whether one has taken its place.
fn of_standbys(standbys: &[Standby], is_superseded: bool) -> Vec<Family<'static>> {
    let help = "Whether another server has the place of this one, which stands still.";
    let mut families = vec![("holdfast_superseded", "gauge", help, one(f64::from(u8::from(is_superseded))))];
    let each = |value: &dyn Fn(&Standby) -> Option<f64>| -> Vec<(String, f64)> {
        let label = |standby: &Standby| format!("standby=\"{}\"", escaped(&standby.name));
        standbys.iter().filter_map(|standby| Some((label(standby), value(standby)?))).collect()
    };
    let help = "When the standby was sent an archive last.";
    let fetched = each(&|standby| Some(standby.fetched_at?.0 as f64 / 1_000.0));
    families.push(("holdfast_standby_fetched_timestamp_seconds", "gauge", help, fetched));
    let help = "Whether the standby has not asked for what is new for three hours, or can use nothing of what it is sent.";
    let late = each(&|it| Some(f64::from(u8::from(it.is_late))));
    families.push(("holdfast_standby_late", "gauge", help, late));
    families
}

/// Who comes by which address, and trusts which authority: how far those that retire may go.
fn of_agent_access(addresses: &[AddressUse], authorities: &[AuthorityUse]) -> Vec<Family<'static>> {
    let each_address = |value: fn(&AddressUse) -> f64| -> Vec<(String, f64)> {
        let labels = |it: &AddressUse| {
            let state = if it.given.retiring_since.is_some() { "retiring" } else { "in_use" };
            format!("address=\"{}\",state=\"{state}\"", escaped(&it.given.address))
        };
        addresses.iter().map(|it| (labels(it), value(it))).collect()
    };
    let each_authority = |value: fn(&AuthorityUse) -> f64| -> Vec<(String, f64)> {
        let labels = ["present", "next"].map(|which| format!("authority=\"{which}\""));
        labels.into_iter().zip(authorities.iter().map(value)).collect()
    };
    let mut families = vec![
        (
            "holdfast_agent_address_hosts",
            "gauge",
            "Enrolled hosts that came by an address of this server last.",
            each_address(|it| it.hosts as f64),
        ),
        (
            "holdfast_agent_address_dependent_hosts",
            "gauge",
            "Enrolled hosts that have come by no other address that stays, since this one retires where it does: they would be lost with it.",
            each_address(|it| it.dependent as f64),
        ),
        (
            "holdfast_authority_hosts",
            "gauge",
            "Enrolled hosts whose agents trust the present authority of this server, and the next one.",
            each_authority(|it| it.hosts as f64),
        ),
        (
            "holdfast_authority_lacking_hosts",
            "gauge",
            "Enrolled hosts whose agents do not trust it yet: they would be lost if it were used alone.",
            each_authority(|it| it.lacking as f64),
        ),
        (
            "holdfast_authority_since_timestamp_seconds",
            "gauge",
            "Since when agents are told of an authority.",
            each_authority(|it| it.authority.since.0 as f64 / 1_000.0),
        ),
    ];
    let retiring = addresses.iter().filter_map(|it| {
        let since = it.given.retiring_since?;
        Some((format!("address=\"{}\"", escaped(&it.given.address)), since.0 as f64 / 1_000.0))
    });
    families.push((
        "holdfast_agent_address_retiring_timestamp_seconds",
        "gauge",
        "Since when the settings name an address no more that agents are still given.",
        retiring.collect(),
    ));
    families
}

/// Which hosts a break-glass kit holds as they are.
fn of_kits(kits: &Kits) -> Vec<Family<'static>> {
    let states = [
        ("current", kits.hosts - kits.gaps.len()),
        ("in_no_kit", kits.lacking()),
        ("changed_since", kits.outdated()),
    ];
    let hosts = states.map(|(state, hosts)| (format!("state=\"{state}\""), hosts as f64));
    let mut families = vec![(
        "holdfast_kit_hosts",
        "gauge",
        "Hosts with credentials, by whether a break-glass kit holds them as they are.",
        hosts.to_vec(),
    )];
    let help = "When the newest break-glass kit was made.";
    let at = kits.newest_at.map(|at| at.0 as f64 / 1_000.0);
    families.push(("holdfast_kit_newest_timestamp_seconds", "gauge", help, known(at)));
    families
}

/// The last look through the data file, and the space that is left.
fn of_data_file(scrub: Option<&Scrub>, space_left: Option<u64>) -> Vec<Family<'static>> {
    let is = |is: fn(&Found) -> bool| scrub.map(|scrub| f64::from(u8::from(is(&scrub.found))));
    let gauge = |name, help, value| (name, "gauge", help, known(value));
    vec![
        gauge(
            "holdfast_storage_free_bytes",
            "Free space on the disk of the data file.",
            space_left.map(|left| left as f64),
        ),
        gauge(
            "holdfast_storage_scrub_time_seconds",
            "When the data file was last checked.",
            scrub.map(|scrub| scrub.at.0 as f64 / 1_000.0),
        ),
        gauge(
            "holdfast_storage_scrub_duration_seconds",
            "How long the check took.",
            scrub.map(|scrub| scrub.took_ms as f64 / 1_000.0),
        ),
        gauge(
            "holdfast_storage_damaged",
            "Whether the check found it damaged.",
            is(|found| matches!(found, Found::Damage(_))),
        ),
        gauge(
            "holdfast_storage_scrub_failed",
            "Whether it could not be checked.",
            is(|found| matches!(found, Found::Failed(_))),
        ),
    ]
}

fn of_broker(figures: &[BrokerFigure]) -> Vec<Family<'static>> {
    let kind = |figure: &BrokerFigure| if figure.is_total { "counter" } else { "gauge" };
    figures.iter().map(|figure| (figure.name, kind(figure), figure.help, one(figure.value))).collect()
}

fn of_tasks(tasks: &[TaskFacts]) -> Vec<Family<'static>> {
    let each = |value: fn(&TaskFacts) -> f64| -> Vec<(String, f64)> {
        tasks.iter().map(|task| (format!("task=\"{}\"", task.name), value(task))).collect()
    };
    vec![
        (
            "holdfast_task_well",
            "gauge",
            "Whether a task of the server was heard of within three of its periods.",
            each(|task| f64::from(u8::from(task.is_well()))),
        ),
        (
            "holdfast_task_silent_seconds",
            "gauge",
            "How long ago a task was last heard of.",
            each(|task| task.since_beat.as_secs_f64()),
        ),
        (
            "holdfast_task_restarts_total",
            "counter",
            "How often a task was restarted after a fault of the program.",
            each(|task| task.restarts as f64),
        ),
    ]
}

fn one(value: f64) -> Vec<(String, f64)> {
    vec![(String::new(), value)]
}

/// A figure that may not be known: its name stands in any case, so that who writes rules finds it.
fn known(value: Option<f64>) -> Vec<(String, f64)> {
    value.map_or_else(Vec::new, one)
}

fn of_hosts(rows: &[HostRow]) -> Vec<Family<'static>> {
    let each = |value: &dyn Fn(&HostRow) -> Option<f64>| -> Vec<(String, f64)> {
        rows.iter()
            .filter_map(|row| Some((format!("host=\"{}\"", escaped(&row.host.name)), value(row)?)))
            .collect()
    };
    let by_status = Status::ALL.map(|status| {
        let count = rows.iter().filter(|row| row.status == status).count();
        (format!("status=\"{}\"", status.as_str()), count as f64)
    });
    let by_proof = ProofStatus::ALL.map(|status| {
        let count = rows.iter().filter(|row| row.proof.status == status).count();
        (format!("status=\"{}\"", status.as_str()), count as f64)
    });
    vec![
        ("holdfast_hosts", "gauge", "Hosts by status.", by_status.to_vec()),
        (
            "holdfast_host_online",
            "gauge",
            "Whether the host is connected.",
            each(&|row| Some(f64::from(u8::from(row.presence.online)))),
        ),
        (
            "holdfast_host_protected",
            "gauge",
            "Whether the host is protected: each source group scheduled (or by hand) with a good, whole and recent backup, \
             credentials that are not refused, and a clock that is right.",
            each(&|row| Some(f64::from(u8::from(row.protected)))),
        ),
        (
            "holdfast_hosts_proof",
            "gauge",
            "Hosts by how far it is proven that they can be restored.",
            by_proof.to_vec(),
        ),
        (
            "holdfast_host_proven_timestamp_seconds",
            "gauge",
            "When the source groups of the host were proven: the oldest of their last proofs.",
            each(&|row| row.proof.proven_at.map(|at| at.0 as f64 / 1_000.0)),
        ),
        (
            "holdfast_host_restore_estimate_seconds",
            "gauge",
            "How long it would take to restore all source groups of the host, by what was measured.",
            each(&|row| row.proof.estimate.map(|estimate| estimate.secs as f64)),
        ),
        (
            "holdfast_host_last_good_backup_timestamp_seconds",
            "gauge",
            "When a backup last made a snapshot.",
            each(&|row| row.last_good_at.map(|at| at.0 as f64 / 1_000.0)),
        ),
        (
            "holdfast_host_next_run_timestamp_seconds",
            "gauge",
            "When a schedule is to run next.",
            each(&|row| row.next_run_at.map(|at| at.0 as f64 / 1_000.0)),
        ),
        (
            "holdfast_host_repo_size_bytes",
            "gauge",
            "Size of the host's repository.",
            each(&|row| row.size_bytes.map(|bytes| bytes as f64)),
        ),
        (
            "holdfast_host_repo_snapshots",
            "gauge",
            "Snapshots in the host's repository.",
            each(&|row| row.snapshots.map(f64::from)),
        ),
        (
            "holdfast_host_clock_ahead_seconds",
            "gauge",
            "How far the host's clock was ahead of the server's when it last connected; negative: behind.",
            each(&|row| row.presence.clock_ahead_ms.map(|ahead| ahead as f64 / 1_000.0)),
        ),
        (
            "holdfast_host_open_jobs",
            "gauge",
            "Jobs that have not ended.",
            each(&|row| Some(f64::from(row.open_jobs))),
        ),
    ]
}

/// All hosts in four parts that add up.
fn of_protection(rows: &[HostRow], groups: &CauseGroups) -> Family<'static> {
    let mut counts = FleetCounts::default();
    rows.iter().for_each(|row| counts.count(row, groups.in_need(row)));
    let parts = [
        (true, false, counts.protected - counts.protected_in_need),
        (true, true, counts.protected_in_need),
        (false, false, counts.unprotected() - counts.unprotected_in_need),
        (false, true, counts.unprotected_in_need),
    ];
    let part = |(protected, in_need, hosts)| {
        (format!("protected=\"{protected}\",needs_attention=\"{in_need}\""), f64::from(hosts))
    };
    (
        "holdfast_hosts_protection",
        "gauge",
        "Hosts by whether they are protected, and whether they need attention that nobody has acknowledged: all add up.",
        parts.map(part).to_vec(),
    )
}

fn escaped(value: &str) -> String {
    let value = visible(value, Breaks::Kept);
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn text(families: &[Family<'_>]) -> String {
    let mut out = String::new();
    for (name, kind, help, samples) in families {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = match labels.as_str() {
                "" => writeln!(out, "{name} {value}"),
                labels => writeln!(out, "{name}{{{labels}}} {value}"),
            };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_as_prometheus_reads_them() {
        let families = [("up", "gauge", "Whether.", vec![(format!("host=\"{}\"", escaped("a\"b\n")), 1.0)])];
        assert_eq!(text(&families), "# HELP up Whether.\n# TYPE up gauge\nup{host=\"a\\\"b\\n\"} 1\n");
    }
}
