//! Maintenance as people type it: read with words for what is wrong, each with its field.

use super::calendar::Calendar;
use crate::record::{Every, Maintenance, MaintenanceInput, Rule, RuleInput, Window};
use crate::refused::Refused;
use cron::Cron;
use schema::Timestamp;

/// The longest time between two, in days.
const MAX_DAYS: u16 = 366;
/// The longest cron expression.
const MAX_CRON_BYTES: usize = 100;

/// The fields of a rule, as the API and the form call them.
struct Fields {
    every: &'static str,
    from: &'static str,
    until: &'static str,
}

macro_rules! fields {
    ($kind:literal) => {
        Fields {
            every: concat!($kind, ".every"),
            from: concat!($kind, ".window.from"),
            until: concat!($kind, ".window.until"),
        }
    };
}

/// Reads what was typed.
pub(super) fn read(input: &MaintenanceInput, before: &Maintenance) -> Result<Maintenance, Refused> {
    let timezone = input.timezone.as_ref().map_or(before.timezone.as_str(), |zone| zone.trim());
    if !Calendar::knows(timezone) {
        return Err(Refused::invalid(
            "timezone",
            format!("there is no time zone {timezone:?}: give a name such as Europe/Helsinki, or UTC"),
        ));
    }
    let check_subset_pct = match input.check_subset_pct {
        None => before.check_subset_pct,
        Some(percent) => u8::try_from(percent)
            .ok()
            .filter(|percent| *percent <= 100)
            .ok_or_else(|| Refused::invalid("check.subset_pct", "give a percentage from 0 to 100"))?,
    };
    Ok(Maintenance {
        timezone: timezone.to_owned(),
        forget: rule(&input.forget, timezone, &fields!("forget"))?,
        prune: rule(&input.prune, timezone, &fields!("prune"))?,
        check: rule(&input.check, timezone, &fields!("check"))?,
        check_subset_pct,
        drill: match &input.drill {
            Some(drill) => rule(drill, timezone, &fields!("drill"))?,
            None => before.drill.clone(),
        },
    })
}

fn rule(input: &RuleInput, zone: &str, fields: &Fields) -> Result<Rule, Refused> {
    let every = how_often(&input.every, zone).map_err(|wrong| Refused::invalid(fields.every, wrong))?;
    let window = window(&input.from, &input.until, (fields.from, fields.until))?;
    Ok(Rule { enabled: input.enabled, every, window })
}

/// A part of the day as it is typed; both empty = none. `fields` are what its ends are called.
pub(crate) fn window(
    from: &str,
    until: &str,
    fields: (&'static str, &'static str),
) -> Result<Option<Window>, Refused> {
    let (from, until) = (from.trim(), until.trim());
    if from.is_empty() && until.is_empty() {
        return Ok(None);
    }
    let minute = |text, field| {
        minute(text)
            .ok_or_else(|| Refused::invalid(field, "give a time of day such as 02:00, or leave both empty"))
    };
    let window = Window { from: minute(from, fields.0)?, until: minute(until, fields.1)? };
    if window.from == window.until {
        let words = "the window ends when it begins: leave both empty for any time of day";
        return Err(Refused::invalid(fields.1, words));
    }
    Ok(Some(window))
}

/// `12 hours`, `1 day`, `2 weeks`, or a cron expression.
fn how_often(text: &str, zone: &str) -> Result<Every, String> {
    const WANTED: &str =
        "give a time such as 12 hours, 1 day or 2 weeks, or a cron expression such as 0 4 * * SUN";
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (text[..split].parse::<u16>(), text[split..].trim());
    let count = |number: u16, of_unit: u16, most: u16| {
        number
            .checked_mul(of_unit)
            .filter(|count| (1..=most).contains(count))
            .ok_or_else(|| format!("at least once in {MAX_DAYS} days, and at most once an hour"))
    };
    match (number, unit) {
        (Ok(number), "h" | "hour" | "hours") => Ok(Every::Hours(count(number, 1, MAX_DAYS * 24)?)),
        (Ok(number), "d" | "day" | "days") => Ok(Every::Days(count(number, 1, MAX_DAYS)?)),
        (Ok(number), "w" | "week" | "weeks") => Ok(Every::Days(count(number, 7, MAX_DAYS)?)),
        _ if text.is_empty() || text.len() > MAX_CRON_BYTES => Err(WANTED.to_owned()),
        _ => match Cron::parse(text, zone) {
            Ok(cron) if cron.next_after(Timestamp(0)).is_none() => Err("it never fires".to_owned()),
            Ok(_) => Ok(Every::Cron(text.to_owned())),
            // Five fields are meant as cron: what is wrong there helps.
            Err(wrong) if text.split_whitespace().count() == 5 => Err(format!("{WANTED}. Here: {wrong}")),
            Err(_) => Err(WANTED.to_owned()),
        },
    }
}

/// Minutes after midnight.
/// A time of day such as `02:00`, in minutes after midnight.
pub(crate) fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, below: u16| {
        let fits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| fits && *number < below)
    };
    let minute = Some(minute).filter(|minute| minute.len() == 2)?;
    Some(number(hour, 24)? * 60 + number(minute, 60)?)
}

/// What changed, for the audit.
pub(super) fn changes(before: &Maintenance, after: &Maintenance) -> String {
    let mut said = Vec::new();
    if before.timezone != after.timezone {
        said.push(format!("times in {}", after.timezone));
    }
    for (kind, before, after) in [
        ("forget", &before.forget, &after.forget),
        ("prune", &before.prune, &after.prune),
        ("check", &before.check, &after.check),
        ("drill", &before.drill, &after.drill),
    ] {
        if before != after {
            said.push(format!("{kind} {}", rule_in_words(after)));
        }
    }
    if before.check_subset_pct != after.check_subset_pct {
        said.push(format!("check reads {} % of the data", after.check_subset_pct));
    }
    said.join("; ")
}

fn rule_in_words(rule: &Rule) -> String {
    if !rule.enabled {
        return "off".to_owned();
    }
    let every = match &rule.every {
        Every::Cron(text) => format!("at {text}"),
        every => format!("every {every}"),
    };
    match rule.window {
        None => every,
        Some(window) => format!("{every} between {}", window.ends().join(" and ")),
    }
}

impl Maintenance {
    /// A cron expression of these settings in English; `None` for other rules.
    #[must_use]
    pub fn in_words(&self, every: &Every) -> Option<String> {
        match every {
            Every::Cron(text) => Cron::parse(text, &self.timezone).ok().map(|cron| cron.in_words()),
            _ => None,
        }
    }

    /// The time of day of an instant, in their zone: `Thu 26 Nov 04:00`.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        Calendar::of(&self.timezone).local(at).strftime("%a %-d %b %H:%M").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_is_read_as_people_type_it() {
        for (text, every) in [
            ("1 day", Every::Days(1)),
            (" 7 days ", Every::Days(7)),
            ("2 weeks", Every::Days(14)),
            ("2w", Every::Days(14)),
            ("12h", Every::Hours(12)),
            ("36 hours", Every::Hours(36)),
            ("0 4 * * SUN", Every::Cron("0 4 * * SUN".to_owned())),
            ("@monthly", Every::Cron("@monthly".to_owned())),
        ] {
            let read = how_often(text, "UTC");
            assert_eq!(read, Ok(every.clone()), "{text}");
            assert_eq!(how_often(&every.to_string(), "UTC"), Ok(every), "what is shown is understood");
        }
        for text in
            ["", "day", "0 days", "-1 day", "5 minutes", "400 days", "65536 h", "9999 weeks", "0 0 30 2 *"]
        {
            assert!(how_often(text, "UTC").is_err(), "{text}");
        }
        let words = how_often("0 99 * * *", "UTC").unwrap_err();
        assert!(words.contains("Here: "), "{words}");
    }

    #[test]
    fn each_wrong_value_names_its_field() {
        let before = Maintenance::default();
        let rule =
            RuleInput { enabled: true, every: "1 day".into(), from: "2:00".into(), until: "06:00".into() };
        let good = MaintenanceInput {
            timezone: Some(" Europe/Helsinki ".into()),
            forget: rule.clone(),
            prune: RuleInput { from: String::new(), until: String::new(), ..rule.clone() },
            check: rule.clone(),
            check_subset_pct: Some(100),
            drill: Some(rule.clone()),
        };
        let settings = read(&good, &before).unwrap();
        assert_eq!((settings.timezone.as_str(), settings.check_subset_pct), ("Europe/Helsinki", 100));
        assert_eq!(
            (settings.forget.window, settings.prune.window),
            (Some(Window { from: 120, until: 360 }), None)
        );
        type Spoil = fn(&mut MaintenanceInput);
        let cases: [(&str, Spoil); 9] = [
            ("timezone", |input| input.timezone = Some("Mars/Base".into())),
            ("timezone", |input| input.timezone = Some("../etc/passwd".into())),
            ("forget.every", |input| input.forget.every = "often".into()),
            ("prune.window.until", |input| input.prune.from = "02:00".into()),
            ("drill.every", |input| input.drill.as_mut().unwrap().every = "rarely".into()),
            ("check.window.from", |input| input.check.from = "24:00".into()),
            ("check.window.until", |input| input.check.until = "6:0".into()),
            ("forget.window.until", |input| input.forget.until = "02:00".into()),
            ("check.subset_pct", |input| input.check_subset_pct = Some(101)),
        ];
        for (field, spoil) in cases {
            let mut input = good.clone();
            spoil(&mut input);
            assert_eq!(read(&input, &before).unwrap_err().field(), Some(field));
        }
    }

    #[test]
    fn the_audit_names_what_changed() {
        let before = Maintenance::default();
        let mut after = before.clone();
        after.prune.enabled = false;
        after.check.every = Every::Cron("0 4 * * SUN".to_owned());
        after.check_subset_pct = 10;
        let words = "prune off; check at 0 4 * * SUN between 02:00 and 06:00; check reads 10 % of the data";
        assert_eq!(changes(&before, &after), words);
    }
}
