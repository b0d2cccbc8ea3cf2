//! Labels with a grace of their own, as they are shown, and the form of one.

use super::choice::CauseChoice;
use super::problem_view::ProblemView;
use crate::form::Form;
use crate::format::{When, duration};
use crate::problem::Problem;
use crate::words;
use ::fleet::grace_causes;
use ::fleet::record::Grace;
use schema::Timestamp;
use serde::Serialize;

/// A label and its grace.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GraceLine {
    pub(crate) label: String,
    pub(crate) long: String,
    pub(crate) causes: String,
    pub(crate) changed: When,
    pub(crate) by: String,
}

impl GraceLine {
    pub(crate) fn new(now: Timestamp, grace: &Grace) -> Self {
        Self {
            label: grace.label.clone(),
            long: duration(u64::from(grace.hours) * 3_600),
            causes: grace.causes.join(", "),
            changed: When::ago(now, grace.changed_at),
            by: words::by(&grace.changed_by),
        }
    }
}

/// The form: all as typed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GraceForm {
    pub(crate) label: String,
    pub(crate) days: String,
    pub(crate) causes: Vec<CauseChoice>,
    pub(crate) problem: Option<ProblemView>,
}

impl GraceForm {
    /// Nothing is typed yet.
    pub(crate) fn blank() -> Self {
        let usual = Grace::USUAL.map(str::to_owned);
        Self { label: String::new(), days: String::new(), causes: causes(&usual), problem: None }
    }

    /// What was typed.
    pub(crate) fn typed(form: &Form, problem: &Problem) -> Self {
        Self {
            label: form.raw("label").to_owned(),
            days: form.raw("hours").to_owned(),
            causes: causes(&form.all("causes")),
            problem: Some(ProblemView::from(problem)),
        }
    }

    #[cfg(test)]
    pub(crate) fn sample(s: &crate::sample::Sample, wrong: Option<&'static str>) -> Self {
        let problem = wrong.map(|field| ProblemView::sample(s, field));
        Self { label: s.text("laptop"), days: s.text("5"), problem, ..Self::blank() }
    }
}

/// The causes that a label may give longer, and one that was asked for and is none of them.
fn causes(chosen: &[String]) -> Vec<CauseChoice> {
    let known = grace_causes();
    let mut codes: Vec<String> = known.iter().map(|code| (*code).to_owned()).collect();
    codes.extend(chosen.iter().filter(|code| !known.contains(code.as_str())).cloned());
    codes.into_iter().map(|code| CauseChoice { chosen: chosen.contains(&code), code }).collect()
}
