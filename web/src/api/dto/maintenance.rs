//! Maintenance settings and decisions.

use super::job::HeldOut;
use super::time::time;
use super::words;
use fleet::maintenance::Decision;
use fleet::record::{Maintenance, MaintenanceInput, Rule, RuleInput, Window};
use schema::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Serialize, Deserialize, Clone, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Window)]
pub(crate) struct WindowBody {
    /// Time of day, such as `02:00`.
    from: String,
    /// Time of day, such as `06:00`; less than `from` = it passes midnight.
    until: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RuleIn)]
pub(crate) struct RuleIn {
    enabled: bool,
    /// `12 hours`, `1 day`, `2 weeks`, or a cron expression.
    every: String,
    /// Null = at any time of day.
    window: Option<WindowBody>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CheckRuleIn)]
pub(crate) struct CheckRuleIn {
    enabled: bool,
    /// `12 hours`, `1 day`, `2 weeks`, or a cron expression.
    every: String,
    /// Null = at any time of day.
    window: Option<WindowBody>,
    /// Percent of the data that a check reads, 0 to 100; absent = as stored.
    subset_pct: Option<u16>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MaintenanceIn)]
pub(crate) struct MaintenanceIn {
    /// IANA name of the zone in which days, windows and cron expressions are meant; absent = as stored.
    timezone: Option<String>,
    forget: RuleIn,
    prune: RuleIn,
    check: CheckRuleIn,
    /// When files drawn by lot are restored and compared, of each source group; absent = as stored.
    #[serde(default)]
    drill: Option<RuleIn>,
}

fn rule_input(enabled: bool, every: String, window: Option<WindowBody>) -> RuleInput {
    let (from, until) = window.map_or_else(Default::default, |window| (window.from, window.until));
    RuleInput { enabled, every, from, until }
}

impl From<MaintenanceIn> for MaintenanceInput {
    fn from(body: MaintenanceIn) -> Self {
        let rule = |rule: RuleIn| rule_input(rule.enabled, rule.every, rule.window);
        let check = body.check;
        Self {
            timezone: body.timezone,
            forget: rule(body.forget),
            prune: rule(body.prune),
            check_subset_pct: check.subset_pct,
            check: rule_input(check.enabled, check.every, check.window),
            drill: body.drill.map(rule),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Rule)]
pub(crate) struct RuleOut {
    enabled: bool,
    every: String,
    /// A cron expression in English.
    in_words: Option<String>,
    window: Option<WindowBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CheckRule)]
pub(crate) struct CheckRuleOut {
    enabled: bool,
    every: String,
    /// A cron expression in English.
    in_words: Option<String>,
    window: Option<WindowBody>,
    subset_pct: u8,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Decision)]
pub(crate) struct DecisionOut {
    /// `forget`, `prune`, `check` or `drill`.
    #[schema(value_type = words::MaintenanceKind)]
    kind: &'static str,
    /// When it is due, or was.
    due_at: Option<String>,
    /// `run`, `wait`, `skip` or `hold`.
    #[schema(value_type = words::MaintenanceAction)]
    action: &'static str,
    /// Why, in words.
    reason: String,
    /// The same as a word that stays: `due`, `not_due`, `no_admin_credentials`, …; where a job would be refused, the
    /// code of that.
    reason_code: &'static str,
    /// Of a forget that goes on with other groups: the first one that it skips until somebody accepts a backup.
    left_out: Option<HeldOut>,
    /// Of a drill: the source group whose turn it is.
    group: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Maintenance)]
pub(crate) struct MaintenanceOut {
    timezone: String,
    forget: RuleOut,
    prune: RuleOut,
    check: CheckRuleOut,
    /// When files drawn by lot are restored and compared, of each source group.
    drill: RuleOut,
    decisions: Vec<DecisionOut>,
}

fn window(window: Option<Window>) -> Option<WindowBody> {
    let [from, until] = window?.ends();
    Some(WindowBody { from, until })
}

impl MaintenanceOut {
    pub(crate) fn new(now: Timestamp, settings: &Maintenance, decisions: &[Decision]) -> Self {
        let in_words = |rule: &Rule| settings.in_words(&rule.every);
        let rule = |rule: &Rule| RuleOut {
            enabled: rule.enabled,
            every: rule.every.to_string(),
            in_words: in_words(rule),
            window: window(rule.window),
        };
        let check = &settings.check;
        Self {
            timezone: settings.timezone.clone(),
            forget: rule(&settings.forget),
            prune: rule(&settings.prune),
            check: CheckRuleOut {
                enabled: check.enabled,
                every: check.every.to_string(),
                in_words: in_words(check),
                window: window(check.window),
                subset_pct: settings.check_subset_pct,
            },
            drill: rule(&settings.drill),
            decisions: decisions
                .iter()
                .map(|decision| DecisionOut {
                    kind: decision.kind.as_str(),
                    due_at: time(decision.due_at),
                    action: decision.action.as_str(),
                    reason: crate::words::decision(decision, now, settings).to_string(),
                    reason_code: decision.why.code(),
                    left_out: decision.left_out.as_ref().map(HeldOut::new),
                    group: decision.group.clone(),
                })
                .collect(),
        }
    }
}
