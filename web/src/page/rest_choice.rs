//! For how long an incident may rest, as forms offer it.

use crate::form::Form;
use crate::format::When;
use crate::problem::Problem;
use ::fleet::Acknowledgement;
use schema::Timestamp;
use serde::Serialize;

/// For how long it may rest: the field's word, the label, and how long that is, in hours.
const RESTS: [(&str, &str, Option<u64>); 4] = [
    ("4h", "4 hours", Some(4)),
    ("1d", "1 day", Some(24)),
    ("7d", "1 week", Some(7 * 24)),
    ("end", "Until it ends", None),
];
/// What is chosen before anybody chooses.
const FIRST: &str = "1d";

/// One choice of how long it rests.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RestChoice {
    pub(crate) word: &'static str,
    pub(crate) label: &'static str,
    pub(crate) until: String,
    pub(crate) checked: bool,
}

fn later(now: Timestamp, hours: u64) -> Timestamp {
    now.plus_ms(hours * 3_600_000)
}

/// All choices, with the one that was chosen.
pub(crate) fn rest_choices(now: Timestamp, form: &Form) -> Vec<RestChoice> {
    let chosen = Some(form.text("until")).filter(|word| !word.is_empty());
    let chosen = chosen.as_deref().unwrap_or(FIRST);
    let choice = |(word, label, hours): (&'static str, &'static str, Option<u64>)| RestChoice {
        word,
        label,
        until: match hours {
            Some(hours) => format!("until {}", When::until(later(now, hours)).text),
            None => "at most 30 days".to_owned(),
        },
        checked: word == chosen,
    };
    RESTS.map(choice).into()
}

/// What was chosen and typed.
pub(crate) fn acknowledgement(now: Timestamp, form: &Form) -> Result<Acknowledgement, Problem> {
    let word = form.text("until");
    let chosen = RESTS.into_iter().find(|known| known.0 == word);
    let (_, _, hours) = chosen.ok_or_else(|| Problem::invalid("until", "Choose until when it rests."))?;
    Ok(Acknowledgement { until: hours.map(|hours| later(now, hours)), note: form.text("note") })
}

#[cfg(test)]
impl RestChoice {
    pub(crate) fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let choice = |(word, label, _)| Self {
            word,
            label,
            until: s.text("until Mon 30 Nov 08:00 UTC"),
            checked: word == FIRST,
        };
        RESTS.map(choice).into()
    }
}
