//! Pictures as SVG geometry: the strip of days, area charts. Colour comes from the stylesheet.

use fleet::Day;
use serde::Serialize;
use std::fmt::Write as _;

/// The strip of one host: one path for each verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Strip {
    /// What it says, counted.
    pub(crate) label: String,
    /// (class, path).
    pub(crate) paths: Vec<(&'static str, String)>,
}

/// One day of the large strip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LargeDay {
    pub(crate) class: &'static str,
    pub(crate) path: String,
    pub(crate) text: String,
}

const VERDICTS: [(Day, &str, &str); 7] = [
    (Day::Ok, "day-ok", "backed up"),
    (Day::Warning, "day-warn", "with warnings"),
    (Day::Failed, "day-fail", "failed"),
    (Day::Missed, "day-missed", "missed"),
    (Day::None, "day-none", "without a backup due"),
    (Day::Running, "day-run", "running"),
    (Day::Before, "day-before", "before it was enrolled"),
];

/// What a day shows, as (class, words).
pub(crate) fn verdict(day: Day) -> (&'static str, &'static str) {
    VERDICTS.iter().find(|v| v.0 == day).map_or(("day-none", "unknown"), |v| (v.1, v.2))
}

/// How many days of each verdict there are, in words.
pub(crate) fn counted(days: &[Day]) -> String {
    let parts: Vec<String> = VERDICTS
        .iter()
        .filter_map(|(day, _, words)| match days.iter().filter(|d| *d == day).count() {
            0 => None,
            n => Some(format!("{n} {words}")),
        })
        .collect();
    parts.join(", ")
}

/// The strip of a row: cells of 5 × 18, pitch 7.
pub(crate) fn strip(days: &[Day]) -> Strip {
    let paths = VERDICTS.iter().filter_map(|(verdict, class, _)| {
        let mut path = String::new();
        for (at, _) in days.iter().enumerate().filter(|(_, day)| *day == verdict) {
            let x = at * 7;
            let _ = match verdict {
                Day::Ok => write!(path, "M{x} 0h5v18h-5z"),
                Day::Warning => write!(path, "M{x} 8h5v10h-5z"),
                Day::Failed => write!(path, "M{x} 0h5v7h-5zM{x} 11h5v7h-5z"),
                Day::Missed => write!(path, "M{x}.6 .6h3.8v16.8h-3.8z"),
                // The dot stands in the middle of its cell.
                Day::None => write!(path, "M{}.5 8h2v2h-2z", x + 1),
                Day::Running => write!(path, "M{x} 12h5v6h-5zM{x} 6h5v2h-5z"),
                // Nothing is drawn of what is not counted.
                Day::Before => Ok(()),
            };
        }
        (!path.is_empty()).then_some((*class, path))
    });
    Strip { label: format!("Last {} days: {}", days.len(), counted(days)), paths: paths.collect() }
}

/// The strip of a host's page: cells of 22 × 48, pitch 30.
pub(crate) fn large(days: &[(Day, String)]) -> Vec<LargeDay> {
    days.iter()
        .enumerate()
        .map(|(at, (day, date))| {
            let x = at * 30;
            let (class, words) = verdict(*day);
            let path = match day {
                Day::Ok => format!("M{x} 0h22v48h-22z"),
                Day::Warning => format!("M{x} 20h22v28h-22z"),
                Day::Failed => format!("M{x} 0h22v20h-22zM{x} 28h22v20h-22z"),
                Day::Missed => format!("M{x}.6 .6h20.8v46.8h-20.8z"),
                Day::None => format!("M{} 21h6v6h-6z", x + 8),
                Day::Running => format!("M{x} 32h22v16h-22zM{x} 18h22v6h-22z"),
                Day::Before => String::new(),
            };
            LargeDay { class, path, text: format!("{date}: {words}") }
        })
        .collect()
}

/// An area chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Area {
    /// The line.
    pub(crate) line: String,
    /// The ground beneath it.
    pub(crate) area: String,
    /// The last point.
    pub(crate) end: (String, String),
}

/// Draws (x, y) readings into `width` × `height`; x may be uneven. `None` with fewer than two readings.
pub(crate) fn area(points: &[(u64, u64)], width: f64, height: f64, from_zero: bool) -> Option<Area> {
    let (first, last) = (points.first()?, points.last()?);
    let top = points.iter().map(|p| p.1).max()? as f64;
    let bottom = if from_zero { 0.0 } else { points.iter().map(|p| p.1).min()? as f64 };
    let (across, up) = (last.0.saturating_sub(first.0) as f64, top - bottom);
    if points.len() < 2 || across <= 0.0 {
        return None;
    }
    let place = |&(x, y): &(u64, u64)| {
        let x = x.saturating_sub(first.0) as f64 / across * width;
        let share = if up > 0.0 { (y as f64 - bottom) / up } else { 0.5 };
        // A little air above and, where the scale does not begin at zero, below.
        let floor = if from_zero { 0.0 } else { height * 0.12 };
        (x, height - floor - share * (height - floor) * 0.92)
    };
    let mut line = String::new();
    for (at, point) in points.iter().enumerate() {
        let (x, y) = place(point);
        let _ = write!(line, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
    }
    let (x, y) = place(last);
    Some(Area { area: format!("{line}V{height}H0z"), line, end: (format!("{x:.1}"), format!("{y:.1}")) })
}

/// Draws a bar for each value, evenly spaced, as one path. What is not nothing is seen.
pub(crate) fn bars(values: &[u64], width: f64, height: f64) -> String {
    let top = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let pitch = width / values.len().max(1) as f64;
    let bar = (pitch * 0.7).clamp(1.0, 14.0);
    let mut path = String::new();
    for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        let tall = (*value as f64 / top * height).max(1.0);
        let _ = write!(path, "M{:.1} {:.1}h{bar:.1}v{tall:.1}h-{bar:.1}z", at as f64 * pitch, height - tall);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_has_one_path_for_each_verdict() {
        let mut days = [Day::Ok; 30];
        days[3] = Day::Failed;
        days[4] = Day::None;
        let strip = strip(&days);
        assert_eq!(strip.label, "Last 30 days: 28 backed up, 1 failed, 1 without a backup due");
        assert_eq!(strip.paths.len(), 3);
        assert_eq!(strip.paths[1], ("day-fail", "M21 0h5v7h-5zM21 11h5v7h-5z".to_owned()));
        assert_eq!(strip.paths[2], ("day-none", "M29.5 8h2v2h-2z".to_owned()));
    }

    #[test]
    fn bars_are_as_tall_as_their_values_and_the_least_is_seen() {
        assert_eq!(bars(&[0, 10, 5], 30.0, 20.0), "M10.0 0.0h7.0v20.0h-7.0zM20.0 10.0h7.0v10.0h-7.0z");
        assert_eq!(bars(&[1, 1_000_000], 20.0, 10.0), "M0.0 9.0h7.0v1.0h-7.0zM10.0 0.0h7.0v10.0h-7.0z");
        assert_eq!(bars(&[], 30.0, 20.0), "");
        assert_eq!(bars(&[0, 0], 30.0, 20.0), "");
    }

    #[test]
    fn a_chart_needs_two_readings_and_stays_inside() {
        assert_eq!(area(&[], 10.0, 10.0, true), None);
        assert_eq!(area(&[(1, 1)], 10.0, 10.0, true), None);
        assert_eq!(area(&[(1, 1), (1, 2)], 10.0, 10.0, true), None, "no time passed");
        let flat = area(&[(0, 7), (10, 7)], 100.0, 50.0, false).unwrap();
        assert!(flat.line.starts_with("M0.0 ") && flat.area.ends_with("V50H0z"));
        let back = area(&[(10, 7), (5, 9), (20, 1)], 100.0, 50.0, true).unwrap();
        assert!(!back.line.contains('-'), "a reading out of order is drawn at the edge: {}", back.line);
    }
}
