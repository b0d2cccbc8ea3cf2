//! What the gate has counted, under the names that `/metrics` gives it.

use crate::gate::Stats;
use web::{BrokerFacts, BrokerFigure};

/// All figures of the broker.
#[must_use]
pub fn of_broker(stats: &Stats) -> BrokerFacts {
    let gauge = |name, help, value: f64| BrokerFigure { name, help, value, is_total: false };
    let total = |name, help, value: u64| BrokerFigure { name, help, value: value as f64, is_total: true };
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let figures = vec![
        gauge("holdfast_broker_hosts_connected", "Hosts with a session.", stats.hosts as f64),
        gauge("holdfast_broker_viewers_connected", "Viewers with a session.", stats.viewers as f64),
        gauge("holdfast_broker_enrolments", "Enrolments under way.", stats.enrollments as f64),
        gauge("holdfast_broker_connections_pending", "Connections before their login.", stats.pending as f64),
        gauge("holdfast_broker_commands_in_flight", "Commands not acknowledged yet.", stats.in_flight as f64),
        gauge("holdfast_broker_retained_topics", "Retained topics.", stats.retained as f64),
        gauge("holdfast_broker_retained_bytes", "Bytes of retained messages.", stats.retained_bytes as f64),
        total("holdfast_broker_connections_total", "Connections accepted.", stats.accepted),
        total("holdfast_broker_connections_admitted_total", "Connections that logged in.", stats.admitted),
        total(
            "holdfast_broker_handshakes_failed_total",
            "TLS handshakes that failed.",
            stats.handshakes_failed,
        ),
        total(
            "holdfast_broker_connections_pending_dropped_total",
            "Connections that timed out or gave way before their login.",
            stats.pending_dropped,
        ),
        total(
            "holdfast_broker_connections_full_total",
            "Connections refused because there were too many.",
            stats.full,
        ),
        total(
            "holdfast_broker_viewers_full_total",
            "Viewers refused because there were too many, in all or of their account.",
            stats.viewers_full,
        ),
        total(
            "holdfast_broker_logins_refused_total",
            "MQTT logins that were refused since the start.",
            stats.logins_refused,
        ),
        total(
            "holdfast_broker_logins_throttled_total",
            "Wrong MQTT logins that were turned away unsaid, because too many had failed before.",
            stats.logins_throttled,
        ),
        total("holdfast_broker_refused_total", "Publishes and subscriptions refused.", stats.refused),
        total("holdfast_broker_malformed_total", "Connections ended for what they sent.", stats.malformed),
        total("holdfast_broker_messages_total", "Messages from hosts and enrolments.", stats.messages_in),
        total("holdfast_broker_read_bytes_total", "Bytes read from MQTT clients.", stats.bytes_in),
        total("holdfast_broker_written_bytes_total", "Bytes written to MQTT clients.", stats.bytes_out),
        total(
            "holdfast_broker_routers_built_total",
            "How often the router to viewers was built; more than 1 means that it has died.",
            stats.router_built,
        ),
        total(
            "holdfast_broker_view_overflowed_total",
            "Changes that viewers were given later, because the router was busy.",
            stats.view_overflowed,
        ),
    ];
    BrokerFacts { hosts: count(stats.hosts), viewers: count(stats.viewers), figures }
}
