//! The form that says when a channel is sent a report.

use super::choice::Choice;
use super::problem_view::ProblemView;
use crate::form::Form;
use crate::format::{When, many};
use crate::problem::Problem;
use ::fleet::record::{ReportPlan, RouteState};
use ::fleet::{ChannelView, ReportView};
use schema::Timestamp;
use serde::Serialize;

/// The form: all as typed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportFormView {
    pub(crate) action: String,
    pub(crate) states: Vec<Choice>,
    pub(crate) everies: Vec<Choice>,
    pub(crate) day: String,
    pub(crate) at: String,
    pub(crate) timezone: String,
    /// When the next one is due, or why there is none.
    pub(crate) sentence: String,
    pub(crate) problem: Option<ProblemView>,
}

impl ReportFormView {
    /// The form of a channel; `None` = it can be sent none.
    pub(crate) fn new(now: Timestamp, channel: &ChannelView) -> Option<Self> {
        if !channel.channel.takes_reports() {
            return None;
        }
        let plan = channel.report.as_ref().map(|report| &report.plan);
        let state = plan.map_or(RouteState::Off, |plan| plan.state);
        Some(Self {
            action: format!("/notices/channels/{}/report", channel.name),
            states: states(state.as_str()),
            everies: everies(plan.map_or("weekly", |plan| plan.every_word())),
            day: plan.map_or_else(|| "monday".to_owned(), ReportPlan::day_word),
            at: plan.map_or_else(|| "08:00".to_owned(), ReportPlan::time_word),
            timezone: plan.map(|plan| plan.timezone.clone()).unwrap_or_default(),
            sentence: sentence(now, state, channel.report.as_ref()),
            problem: None,
        })
    }

    /// The same with what was typed.
    pub(crate) fn typed(self, form: &Form, problem: &Problem) -> Self {
        Self {
            states: states(&form.text("state")),
            everies: everies(&form.text("every")),
            day: form.raw("day").to_owned(),
            at: form.raw("at").to_owned(),
            timezone: form.raw("timezone").to_owned(),
            problem: Some(ProblemView::from(problem)),
            ..self
        }
    }

    #[cfg(test)]
    pub(crate) fn sample(s: &crate::sample::Sample, wrong: Option<&'static str>) -> Self {
        Self {
            action: "/notices/channels/mail/report".to_owned(),
            states: states("on"),
            everies: everies("weekly"),
            day: s.text("monday"),
            at: s.text("08:00"),
            timezone: s.text("Europe/Helsinki"),
            sentence: "The next one is due Mon 30 Nov 06:00 UTC.".to_owned(),
            problem: wrong.map(|field| ProblemView::sample(s, field)),
        }
    }
}

fn states(chosen: &str) -> Vec<Choice> {
    let label = |state| match state {
        RouteState::Off => "not sent",
        RouteState::On => "sent",
        RouteState::WhenTested => "sent, once a test was taken",
    };
    let choice = |state: RouteState| Choice {
        word: state.as_str(),
        label: label(state).to_owned(),
        chosen: state.as_str() == chosen,
    };
    RouteState::ALL.map(choice).into()
}

fn everies(chosen: &str) -> Vec<Choice> {
    let choice = |(word, label): (&'static str, &str)| Choice {
        word,
        label: label.to_owned(),
        chosen: word == chosen,
    };
    [("weekly", "each week"), ("monthly", "each month")].map(choice).into()
}

fn sentence(now: Timestamp, state: RouteState, report: Option<&ReportView>) -> String {
    let way = report.and_then(|report| report.on_its_way.as_ref()).map(|way| match way.tries {
        0 => "One waits to be sent.".to_owned(),
        tries => {
            let again = When::ago(now, way.next_at).text;
            format!("One was tried {} and is tried again {again}.", many(tries.into(), "time"))
        }
    });
    let next = match (state, report.and_then(|report| report.next_at)) {
        (_, Some(at)) => format!("The next one is due {}.", When::until(at).text),
        (RouteState::Off, _) => "None is sent.".to_owned(),
        (RouteState::WhenTested, _) => "It waits for a test.".to_owned(),
        (RouteState::On, None) => "None is sent while the channel is off.".to_owned(),
    };
    way.into_iter().chain([next]).collect::<Vec<_>>().join(" ")
}
