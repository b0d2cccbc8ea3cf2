//! The maintenance form of the Repo page, with what is decided of each kind; and the question before a live lock is
//! removed.

use super::repo::{self, RepoPageView};
use super::{ConfirmView, ProblemView};
use crate::app::Ctx;
use crate::form::Form;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use fleet::maintenance::{Action, Decision, Why};
use fleet::record::{Maintenance, MaintenanceInput, Rule, RuleInput};
use fleet::{Refused, Snapshot};
use schema::{HostId, Timestamp};
use serde::Serialize;

const FORM: &str = "maintenance-form";

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

fn decision(now: Timestamp, settings: &Maintenance, decision: &Decision) -> DecisionView {
    let words = decision.words(now, settings);
    let icon = match (&decision.why, decision.action) {
        _ if decision.left_out.is_some() => "warning",
        (Why::Locked(_), _) => "lock",
        (Why::InProgress(_), _) | (_, Action::Run) => "running",
        (Why::NotDue { done_at: Some(_) }, _) if words.lead == "done today" => "ok",
        (Why::Retry(_) | Why::GaveUp(_), Action::Wait) => "failed",
        (Why::Unreachable(_), _) => "offline",
        (_, Action::Skip) => "never",
        (_, Action::Wait | Action::Hold) => "queued",
    };
    DecisionView { icon, lead: words.lead, rest: words.rest }
}

impl MaintenanceForm {
    /// The form as stored; `size` is that of the repository.
    pub(crate) fn read(snapshot: &Snapshot, host: HostId, size: Option<u64>) -> Result<Self, Problem> {
        let (settings, decisions) = snapshot.decisions(host)?.ok_or(Refused::HostNotFound)?;
        let titles = [("forget", "Forget"), ("prune", "Prune"), ("check", "Check")];
        let rules = [&settings.forget, &settings.prune, &settings.check];
        let rules = titles.into_iter().zip(rules).zip(&decisions);
        let percent = u64::from(settings.check_subset_pct);
        Ok(Self {
            timezone: settings.timezone.clone(),
            rules: rules
                .map(|(((key, title), rule), decided)| {
                    rule_form(key, title, &settings, rule, decision(snapshot.now(), &settings, decided))
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
    fn keep_typed(&mut self, form: &Form, problem: &Problem) {
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

fn input(form: &Form) -> Result<MaintenanceInput, Problem> {
    let percent = form.text("check.subset_pct");
    Ok(MaintenanceInput {
        timezone: Some(form.text("timezone")),
        forget: rule_input(form, "forget"),
        prune: rule_input(form, "prune"),
        check: rule_input(form, "check"),
        check_subset_pct: Some(
            percent
                .trim_end_matches('%')
                .trim()
                .parse()
                .map_err(|_| Problem::invalid("check.subset_pct", "Give a percentage from 0 to 100."))?,
        ),
    })
}

/// `POST …/maintenance`.
pub(crate) async fn save(ctx: Ctx, Path(host): Path<String>, form: Form) -> Result<Response<Body>, Problem> {
    let found = ctx.host(&ctx.read()?, &host)?;
    let saved = match input(&form) {
        Ok(input) => ctx.app.fleet.put_maintenance(found.id, input, ctx.by()).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match saved {
        Ok(_) if ctx.htmx => ctx.fragment(StatusCode::OK, FORM, &repo::read(&ctx, &host)?),
        Ok(_) => Ok(ctx.go(&format!("/hosts/{}/repo#{FORM}", found.id))),
        Err(problem) if problem.is_about_input() => {
            let mut view: RepoPageView = repo::read(&ctx, &host)?;
            view.maintenance.keep_typed(&form, &problem);
            if ctx.htmx {
                ctx.fragment(problem.status, FORM, &view)
            } else {
                ctx.page_with(problem.status, &view)
            }
        }
        Err(problem) => Err(problem),
    }
}

/// `GET …/remove-locks`: shows the holder of a live lock before it is removed.
pub(crate) async fn confirm_unlock(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    let snapshot = ctx.read()?;
    let host = ctx.host(&snapshot, &host)?;
    let action = format!("/hosts/{}/repo/unlock", host.id);
    let lock = snapshot.repo(host.id)?.lock;
    let (body, action) = match lock.and_then(|lock| Some((lock.at, lock.holder?))) {
        None => (
            vec!["No lock is known to be held. What restic takes for stale is removed: locks of this host's name whose process it does not find, and those that were not renewed for half an hour.".to_owned()],
            action,
        ),
        Some((seen_at, holder)) => {
            let shown = format!(
                "{}@{}, pid {}, holds a lock since {}. It was seen {}, and looks {}.",
                holder.username,
                holder.hostname,
                holder.pid,
                crate::format::exact(holder.since),
                crate::format::ago(snapshot.now(), seen_at),
                if holder.stale { "stale" } else { "as if it may be in use" }
            );
            let warning = "Make sure that this process has ended: if it still works on the repository, another job \
                           beside it can do damage. All other locks go too.";
            (vec![shown, warning.to_owned()], format!("{action}?all=true&lock={}", holder.mark()))
        }
    };
    ctx.page(&ConfirmView {
        title: format!("Remove the locks from the repository of {}?", host.name),
        body,
        action,
        button: format!("Unlock {}", host.name),
        keep: "Keep them".to_owned(),
        back: format!("/hosts/{}/repo", host.id),
    })
}
