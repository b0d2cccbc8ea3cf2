//! When and over which network: quiet hours, and the way out of this machine.

use jiff::{Timestamp, tz::TimeZone};
use std::{env, fmt, fs};

/// A span of the day, by the machine's own time zone; it may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    from: u16,
    to: u16,
}

impl Quiet {
    /// The time span as text, such as `08:00-18:00`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute_of(from.trim())?, minute_of(to.trim())?);
        (from != to).then_some(Self { from, to })
    }

    /// Whether this minute of the day lies in it.
    #[must_use]
    pub const fn holds(self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02} to {:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// Where and when a job would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// The minute of the day, by the machine's own time zone.
    pub minute: u16,
    /// The interfaces of the default routes.
    pub interfaces: Vec<String>,
}

/// Whether an interface has this name, or begins like it where the pattern ends with a star.
pub(super) fn is_like(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// What this machine shows at this instant; interfaces that can't be read are left out.
#[must_use]
pub fn here(now: schema::Timestamp) -> Here {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let mut interfaces = ways_out_4(&read("/proc/net/route"));
    for name in ways_out_6(&read("/proc/net/ipv6_route")) {
        if !interfaces.contains(&name) {
            interfaces.push(name);
        }
    }
    Here { minute: local_minute(now), interfaces }
}

fn local_minute(now: schema::Timestamp) -> u16 {
    let at =
        i64::try_from(now.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let local = local_zone().to_datetime(at);
    u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0)
}

/// This machine's time zone. A name in `TZ` is looked up here: jiff has the whole database for it or none.
fn local_zone() -> TimeZone {
    let named = env::var("TZ").ok();
    named
        .and_then(|name| cron::find_zone(name.strip_prefix(':').unwrap_or(&name)))
        .unwrap_or_else(TimeZone::system)
}

/// The interfaces of the default routes in the text of `/proc/net/route`.
fn ways_out_4(text: &str) -> Vec<String> {
    let default = |line: &str| {
        let mut fields = line.split_whitespace();
        let (name, to) = (fields.next()?, fields.next()?);
        let mask = fields.nth(5)?;
        (to == "00000000" && mask == "00000000").then(|| name.to_owned())
    };
    text.lines().skip(1).filter_map(default).collect()
}

/// The same of `/proc/net/ipv6_route`; the route of `lo` that refuses is none.
fn ways_out_6(text: &str) -> Vec<String> {
    let default = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [to, length, .., name] = fields.as_slice() else { return None };
        let is_default = to.bytes().all(|byte| byte == b'0') && *length == "00" && *name != "lo";
        is_default.then(|| (*name).to_owned())
    };
    text.lines().filter_map(default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_may_go_over_midnight() {
        let night = Quiet::parse("22:30 - 06:00").unwrap();
        for (minute, holds) in
            [(0, true), (359, true), (360, false), (22 * 60 + 29, false), (22 * 60 + 30, true)]
        {
            assert_eq!(night.holds(minute), holds, "{minute}");
        }
        assert_eq!(night.to_string(), "22:30 to 06:00");
        for text in
            ["", "8-18", "08:00", "08:00-08:00", "24:00-01:00", "08:60-09:00", "+8:00-09:00", "8:00-9:00"]
        {
            assert_eq!(Quiet::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_way_out_is_where_the_default_route_goes() {
        let four = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
            tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
        assert_eq!(ways_out_4(four), ["eth0"]);
        let zero = "00000000000000000000000000000000";
        let six = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 1 0 00000003 wlan0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n\
             fe800000000000000000000000000000 40 {zero} 00 {zero} 00000100 1 0 00000001 eth1\n"
        );
        assert_eq!(ways_out_6(&six), ["wlan0"]);
        assert_eq!(ways_out_4(""), Vec::<String>::new());
    }

    #[test]
    fn a_star_stands_for_any_end() {
        assert!(is_like("eth*", "eth0") && is_like("*", "x") && is_like("eth0", "eth0"));
        assert!(!is_like("eth0", "eth01") && !is_like("eth*", "weth0"));
    }
}
