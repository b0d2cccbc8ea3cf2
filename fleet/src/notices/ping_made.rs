//! What a check is told, from what is stored: the address and the words of each signal.

use super::ping::{self, Ping, Told};
use super::ping_row;
use crate::job;
use crate::record::{ChannelSecrets, Healthchecks, Signal, WaitingPing, Watched};
use crate::refused::{Refused, StoreError};
use crate::store::{GROUPS, HOSTS, JOBS, Reads, Span};
use crate::view::HostRow;

/// What waits, and where it goes.
pub(super) fn of_backup(
    reads: &impl Reads,
    checks: &Healthchecks,
    secrets: &ChannelSecrets,
    number: u64,
    waiting: &WaitingPing,
) -> Result<Ping, StoreError> {
    let host = reads.get(&HOSTS, &waiting.host)?.map(|host| host.name).unwrap_or_default();
    let group = (checks.of == Watched::Group).then_some(waiting.group.as_str());
    let record = reads.get(&JOBS, &waiting.job)?;
    let log = match &record {
        Some(record) if checks.with_log && waiting.signal != Signal::Start => {
            Some(job::log::read(reads, record.id, record.log_lines)?)
        }
        _ => None,
    };
    let url = ping::filled(secrets.url.expose(), &host, &waiting.group);
    Ok(Ping {
        number: Some(number),
        check: ping::check_of(waiting.host, group),
        url: ping::address(&url, Told::Signal(waiting.signal), Some(waiting.job)),
        body: ping::body(waiting, &host, record.as_ref(), log.as_ref()),
    })
}

/// What a check of the fleet is told now.
pub(super) fn of_fleet(checks: &Healthchecks, secrets: &ChannelSecrets, rows: &[HostRow]) -> Ping {
    let (mut hosts, mut unwell) = (0_u32, Vec::new());
    for row in rows.iter().filter(|row| ping_row::is_of(checks, &row.host)) {
        hosts = hosts.saturating_add(1);
        if !row.is_known || !row.status.is_well() {
            unwell.push(format!("{}: {}", row.host.name, row.status.as_str()));
        }
    }
    let signal = if hosts > 0 && unwell.is_empty() { Signal::Success } else { Signal::Fail };
    Ping {
        number: None,
        check: String::new(),
        url: ping::address(secrets.url.expose(), Told::Signal(signal), None),
        body: ping::fleet_body(hosts, &unwell),
    }
}

/// What a test writes down at a check, of the first host where there are several: no check changes by it.
pub(super) fn of_test(
    reads: &impl Reads,
    checks: &Healthchecks,
    secrets: &ChannelSecrets,
) -> Result<Ping, Refused> {
    let mut url = secrets.url.expose().to_owned();
    if checks.of != Watched::Fleet {
        let hosts = reads.rows(&HOSTS, &Span::ALL)?.into_iter().map(|(_, host)| host);
        let ours = hosts.filter(|host| ping_row::is_of(checks, host));
        let Some(host) = ours.min_by(|one, other| one.name.cmp(&other.name)) else {
            return Err(Refused::invalid("name", "No host is one of which its checks are."));
        };
        let group = match checks.group.as_str() {
            "" => {
                let groups = reads.rows(&GROUPS, &Span::under(&host.id))?;
                groups.into_iter().next().map(|(_, group)| group.name).unwrap_or_default()
            }
            given => given.to_owned(),
        };
        url = ping::filled(&url, &host.name, &group);
    }
    Ok(Ping {
        number: None,
        check: String::new(),
        url: ping::address(&url, Told::Log, None),
        body: "A test of Holdfast: no check changes by it.\n".to_owned(),
    })
}
