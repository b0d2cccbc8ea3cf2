//! By which channels a notice is told: pure.
//!
//! Whoever was told of an incident is told how it goes on and ends, as long as any route leads there.

use crate::maintenance::calendar::Calendar;
use crate::record::{Cause, ChannelId, Event, QuietHours, Route, RouteState, Severity, Window};
use schema::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A notice, as far as routes go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'s> {
    pub(crate) event: Event,
    pub(crate) cause: Cause,
    pub(crate) severity: Severity,
    /// The labels of all hosts that it meets, or met.
    pub(crate) labels: &'s BTreeSet<String>,
    /// Who was told of the incident before.
    pub(crate) told: &'s BTreeSet<ChannelId>,
}

/// The channels that tell it, each with when its quiet hours end. `channels` are those that are on and, for a notice that a
/// channel fails, work.
pub(crate) fn channels(
    now: Timestamp,
    seen: Seen<'_>,
    routes: &[Route],
    channels: &BTreeSet<ChannelId>,
) -> BTreeMap<ChannelId, Option<Timestamp>> {
    let mut all = BTreeMap::new();
    for channel in channels {
        let leads = |route: &&Route| route.state == RouteState::On && route.channels.contains(channel);
        let there: Vec<&Route> = routes.iter().filter(leads).collect();
        let matching: Vec<&Route> = there.iter().copied().filter(|route| selects(route, seen)).collect();
        let was_told = seen.told.contains(channel);
        // Who never heard that it began need not hear that it is over.
        let is_new = !seen.event.is_over() && !matching.is_empty();
        if there.is_empty() || !(was_told || is_new) {
            continue;
        }
        let by = if matching.is_empty() { there } else { matching };
        let quiet = by.iter().map(|route| quiet_until(now, route.quiet.as_ref())).min().flatten();
        all.insert(*channel, quiet);
    }
    all
}

fn selects(route: &Route, seen: Seen<'_>) -> bool {
    let has_label = || route.labels.iter().any(|label| seen.labels.contains(label));
    (route.labels.is_empty() || has_label())
        && seen.severity >= route.least
        && (route.causes.is_empty() || route.causes.iter().any(|code| code == seen.cause.code()))
}

/// When the quiet hours end; `None` = it is none of them.
pub(crate) fn quiet_until(now: Timestamp, quiet: Option<&QuietHours>) -> Option<Timestamp> {
    let QuietHours { window, timezone } = quiet?;
    let loud = Window { from: window.until, until: window.from };
    Some(Calendar::of(timezone).open_from(Some(loud), now)).filter(|until| *until > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::outbox::LONGEST_QUIET_MS;
    use crate::units::DAY_MS;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_780_012_800_000); // Fri 29 May 2026 00:00 UTC

    fn route(name: &str, channels: &[u32]) -> Route {
        Route {
            name: name.to_owned(),
            state: RouteState::On,
            labels: Vec::new(),
            least: Severity::Warning,
            causes: Vec::new(),
            quiet: None,
            channels: channels.iter().copied().map(ChannelId).collect(),
        }
    }

    /// Who hears it, of the channels 1 to 4.
    fn heard(routes: &[Route], event: Event, severity: Severity, labels: &[&str], told: &[u32]) -> Vec<u32> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let told = told.iter().copied().map(ChannelId).collect();
        let seen = Seen { event, cause: Cause::Offline, severity, labels: &labels, told: &told };
        let all = (1..=4).map(ChannelId).collect();
        channels(NOW, seen, routes, &all).into_keys().map(|channel| channel.0).collect()
    }

    #[test]
    fn a_route_selects_by_label_severity_and_cause() {
        let (warning, critical) = (Severity::Warning, Severity::Critical);
        let routes = [
            route("all", &[1]),
            Route { labels: vec!["nas".to_owned()], ..route("nas", &[2]) },
            Route { least: critical, ..route("critical", &[3]) },
            Route { causes: vec!["offline".to_owned(), "missed".to_owned()], ..route("away", &[4]) },
        ];
        assert_eq!(heard(&routes, Event::Opened, warning, &["web"], &[]), [1, 4]);
        assert_eq!(heard(&routes, Event::Opened, critical, &["web", "nas"], &[]), [1, 2, 3, 4]);
        let other = [Route { causes: vec!["missed".to_owned()], ..route("missed", &[4]) }];
        assert_eq!(heard(&other, Event::Opened, critical, &[], &[]), [0; 0]);
        for state in [RouteState::Off, RouteState::WhenTested] {
            let off = [Route { state, ..route("all", &[1]) }];
            assert_eq!(heard(&off, Event::Opened, critical, &[], &[1]), [0; 0], "{state:?}");
        }
    }

    #[test]
    fn whoever_was_told_is_told_how_it_goes_on_and_nobody_else_that_it_is_over() {
        let routes = [route("all", &[1]), Route { least: Severity::Critical, ..route("critical", &[2, 3]) }];
        let heard = |event, told: &[u32]| heard(&routes, event, Severity::Warning, &[], told);
        assert_eq!(heard(Event::Recovered, &[]), [0; 0]);
        assert_eq!(heard(Event::Ended, &[]), [0; 0]);
        assert_eq!(heard(Event::Ended, &[2]), [2]);
        assert_eq!(heard(Event::Recovered, &[2]), [2], "also when it is not critical any more");
        assert_eq!(heard(Event::StillOpen, &[2]), [1, 2]);
        assert_eq!(heard(Event::StillOpen, &[4]), [1], "no route leads to 4");
    }

    #[test]
    fn quiet_hours_pass_midnight_by_the_wall_clock_of_their_zone() {
        let quiet = |from: u16, until: u16, zone: &str| QuietHours {
            window: Window { from: from * 60, until: until * 60 },
            timezone: zone.to_owned(),
        };
        let hour = |hours: u64| NOW.plus_ms(hours * 3_600_000);
        let night = quiet(22, 7, "UTC");
        assert_eq!(quiet_until(NOW, Some(&night)), Some(hour(7)));
        assert_eq!(quiet_until(hour(7), Some(&night)), None);
        assert_eq!(quiet_until(hour(21), Some(&night)), None);
        assert_eq!(quiet_until(hour(22), Some(&night)), Some(hour(31)));
        // 02:00 in Berlin.
        assert_eq!(quiet_until(NOW, Some(&quiet(1, 6, "Europe/Berlin"))), Some(hour(4)));
        assert_eq!(quiet_until(NOW, None), None);
        // Of two routes the one that is not quiet counts.
        let routes = [Route { quiet: Some(night), ..route("night", &[1]) }, route("all", &[1])];
        let (labels, told) = (BTreeSet::new(), BTreeSet::new());
        let seen = Seen {
            event: Event::Opened,
            cause: Cause::Offline,
            severity: Severity::Critical,
            labels: &labels,
            told: &told,
        };
        let all = [ChannelId(1)].into();
        assert_eq!(channels(NOW, seen, &routes, &all)[&ChannelId(1)], None);
        assert_eq!(channels(NOW, seen, &routes[..1], &all)[&ChannelId(1)], Some(hour(7)));
    }

    proptest! {
        /// Quiet hours end, also where daylight saving begins or ends, and then it is not quiet.
        #[test]
        fn quiet_hours_end(from in 0..1440_u16, until in 0..1440_u16, at in 0..400 * DAY_MS) {
            prop_assume!(from != until);
            let quiet = QuietHours { window: Window { from, until }, timezone: "Europe/Berlin".to_owned() };
            let now = NOW.plus_ms(at);
            if let Some(end) = quiet_until(now, Some(&quiet)) {
                prop_assert!(end > now && end.ms_since(now) <= LONGEST_QUIET_MS);
                prop_assert_eq!(quiet_until(end, Some(&quiet)), None);
            }
        }
    }
}
