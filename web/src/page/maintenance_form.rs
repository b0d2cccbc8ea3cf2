//! The maintenance form of the Repo page, with what is decided of each kind.

use super::problem_view::ProblemView;
use crate::form::Form;
use crate::problem::Problem;
use crate::words::{self, DecisionWords};
use fleet::maintenance::{Action, Decision, Why};
use fleet::record::{Maintenance, MaintenanceInput, Rule, RuleInput};
use fleet::{FleetState, Refused};
use schema::{HostId, Timestamp};
use serde::Serialize;

/// What is decided of a kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DecisionView {
    pub(crate) icon: &'static str,
    pub(crate) lead: String,
    pub(crate) rest: String,
}

/// The fields of a kind, as stored or as typed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RuleForm {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) enabled: bool,
    pub(crate) every: String,
    /// A cron expression in English.
    pub(crate) in_words: Option<String>,
    pub(crate) from: String,
    pub(crate) until: String,
    pub(crate) decision: DecisionView,
}

/// The form.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MaintenanceForm {
    pub(crate) timezone: String,
    pub(crate) rules: Vec<RuleForm>,
    pub(crate) subset_pct: String,
    pub(crate) subset_hint: Option<String>,
    pub(crate) problem: Option<ProblemView>,
}

#[cfg(test)]
impl MaintenanceForm {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        let rule = |key, title| RuleForm {
            key,
            title,
            enabled: true,
            every: s.text("1 week"),
            in_words: s.some("every week"),
            from: s.text("02:00"),
            until: s.text("06:00"),
            decision: DecisionView { icon: "queued", lead: s.text("Waits"), rest: s.text("due tomorrow") },
        };
        Self {
            timezone: s.text("Europe/Helsinki"),
            rules: vec![
                rule("forget", "Forget"),
                rule("prune", "Prune"),
                rule("check", "Check"),
                rule("drill", "Proof"),
            ],
            subset_pct: s.text("5"),
            subset_hint: s.some("about 94 GiB"),
            problem: Some(ProblemView::sample(s, "check.every")),
        }
    }
}

fn decision(now: Timestamp, settings: &Maintenance, decision: &Decision) -> DecisionView {
    let DecisionWords { lead, rest } = words::decision(decision, now, settings);
    let icon = match (&decision.why, decision.action) {
        _ if decision.left_out.is_some() => "warning",
        (Why::Locked(_), _) => "lock",
        (Why::InProgress(_), _) | (_, Action::Run) => "running",
        _ if words::is_done_today(decision, now, settings) => "ok",
        (Why::Retry(_) | Why::GaveUp(_), Action::Wait) => "failed",
        (Why::Unreachable(_), _) => "offline",
        (_, Action::Skip) => "never",
        (_, Action::Wait | Action::Hold) => "queued",
    };
    DecisionView { icon, lead, rest }
}

impl MaintenanceForm {
    /// The form as stored; `size` is that of the repository.
    pub(crate) fn read(state: &FleetState, host: HostId, size: Option<u64>) -> Result<Self, Problem> {
        let (settings, decisions) = state.decisions(host)?.ok_or(Refused::HostNotFound)?;
        let titles = [("forget", "Forget"), ("prune", "Prune"), ("check", "Check"), ("drill", "Proof")];
        let rules = [&settings.forget, &settings.prune, &settings.check, &settings.drill];
        let rules = titles.into_iter().zip(rules).zip(&decisions);
        let percent = u64::from(settings.check_subset_pct);
        Ok(Self {
            timezone: settings.timezone.clone(),
            rules: rules
                .map(|(((key, title), rule), decided)| {
                    rule_form(key, title, &settings, rule, decision(state.now(), &settings, decided))
                })
                .collect(),
            subset_pct: percent.to_string(),
            subset_hint: size
                .filter(|_| percent > 0)
                .map(|size| format!("about {}", crate::format::bytes(size / 100 * percent))),
            problem: None,
        })
    }

    /// Keeps what was typed, beside what is wrong with it.
    pub(crate) fn keep_typed(&mut self, form: &Form, problem: &Problem) {
        self.timezone = form.text("timezone");
        self.subset_pct = form.text("check.subset_pct");
        self.subset_hint = None;
        for rule in &mut self.rules {
            let typed = rule_input(form, rule.key);
            rule.enabled = typed.enabled;
            (rule.every, rule.from, rule.until, rule.in_words) = (typed.every, typed.from, typed.until, None);
        }
        self.problem = Some(problem.into());
    }
}

fn rule_form(
    key: &'static str,
    title: &'static str,
    settings: &Maintenance,
    rule: &Rule,
    decision: DecisionView,
) -> RuleForm {
    let [from, until] = rule.window.map_or_else(Default::default, |window| window.ends());
    RuleForm {
        key,
        title,
        enabled: rule.enabled,
        every: rule.every.to_string(),
        in_words: settings.in_words(&rule.every),
        from,
        until,
        decision,
    }
}

fn rule_input(form: &Form, key: &str) -> RuleInput {
    RuleInput {
        enabled: form.has(&format!("{key}.enabled")),
        every: form.text(&format!("{key}.every")),
        from: form.text(&format!("{key}.window.from")),
        until: form.text(&format!("{key}.window.until")),
    }
}

/// The settings that were typed.
pub(crate) fn input(form: &Form) -> Result<MaintenanceInput, Problem> {
    let percent = form.text("check.subset_pct");
    Ok(MaintenanceInput {
        timezone: Some(form.text("timezone")),
        forget: rule_input(form, "forget"),
        prune: rule_input(form, "prune"),
        check: rule_input(form, "check"),
        drill: form.has("drill.every").then(|| rule_input(form, "drill")),
        check_subset_pct: Some(
            percent
                .trim_end_matches('%')
                .trim()
                .parse()
                .map_err(|_| Problem::invalid("check.subset_pct", "Give a percentage from 0 to 100."))?,
        ),
    })
}
