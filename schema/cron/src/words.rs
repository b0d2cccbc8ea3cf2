//! The usual expressions in the words that people use for them.

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// More times of a day than these are counted instead of listed.
const MOST_TIMES: usize = 4;
const SHORT: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// `None` = it is not one of the usual ones.
pub(crate) fn of([minute, hour, day, month, weekday]: &[String; 5]) -> Option<String> {
    if month != "*" {
        return None;
    }
    let times = times(minute, hour);
    match (day.as_str(), weekday.as_str()) {
        ("*", "*") => match times {
            Some(times) => Some(format!("Every day {times}")),
            None => often(minute, hour),
        },
        ("*", weekday) => Some(format!("{} {}", weekdays(weekday)?, times?)),
        (day, "*") => {
            let days: Option<Vec<String>> =
                day.split(',').map(|day| Some(ordinal(number(day, 31)?))).collect();
            Some(format!("On the {} of the month {}", list(&days?), times?))
        }
        _ => None,
    }
}

fn often(minute: &str, hour: &str) -> Option<String> {
    let each =
        |step: &str, max| step.strip_prefix("*/").and_then(|step| number(step, max)).filter(|n| *n > 1);
    match (minute, hour) {
        ("*", "*") => Some("Every minute".to_owned()),
        (step, "*") if each(step, 30).is_some_and(|n| 60 % n == 0) => {
            Some(format!("Every {} minutes", each(step, 30)?))
        }
        (minute, "*") => Some(format!("Every hour, {}", past(number(minute, 59)?))),
        (minute, step) => {
            let hours = each(step, 12).filter(|n| 24 % n == 0)?;
            Some(format!("Every {hours} hours, {}", past(number(minute, 59)?)))
        }
    }
}

fn past(minute: u8) -> String {
    if minute == 0 { "on the hour".to_owned() } else { format!("{minute} min past") }
}

/// One minute of one or some hours.
fn times(minute: &str, hour: &str) -> Option<String> {
    let minute = number(minute, 59)?;
    let mut hours: Vec<u8> = hour.split(',').map(|hour| number(hour, 23)).collect::<Option<_>>()?;
    hours.sort_unstable();
    let times: Vec<String> = hours.iter().map(|hour| format!("{hour:02}:{minute:02}")).collect();
    match times.as_slice() {
        [first, .., last] if times.len() > MOST_TIMES => {
            Some(format!("{} times, from {first} to {last}", times.len()))
        }
        times => Some(format!("at {}", list(times))),
    }
}

/// `FRI-MON`, which no expression may say, as a list of its days.
pub(crate) fn unrolled(field: &str) -> Option<String> {
    let (from, to) = field.split_once('-')?;
    let place = |text: &str| SHORT.iter().position(|day| *day == text);
    let (from, to) = (place(from)?, place(to)?);
    let days = (0..=(to + 7 - from) % 7).map(|step| SHORT[(from + step) % 7]);
    Some(days.collect::<Vec<_>>().join(","))
}

fn weekdays(text: &str) -> Option<String> {
    if let Some((from, to)) = text.split_once('-') {
        return Some(format!("{} to {}", DAYS[weekday(from)?], DAYS[weekday(to)?]));
    }
    let days: Option<Vec<String>> = text.split(',').map(|day| Some(DAYS[weekday(day)?].to_owned())).collect();
    Some(format!("Every {}", list(&days?)))
}

fn weekday(text: &str) -> Option<usize> {
    let named = SHORT.iter().position(|day| *day == text);
    named.or_else(|| number(text, 7).map(|day| usize::from(day) % 7))
}

fn number(text: &str, max: u8) -> Option<u8> {
    let is_plain = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number <= max)
}

fn ordinal(day: u8) -> String {
    let ending = match (day % 10, day) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{day}{ending}")
}

fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
