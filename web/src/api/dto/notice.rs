//! Channels, routes, and what waits to be told.

use super::time::time;
use super::words;
use crate::format::rfc3339;
use crate::notice::fault;
use crate::problem::Problem;
use crate::server_facts::Delivery;
use fleet::record::{
    BodyTemplate, Channel, ChannelFlags, Email, Healthchecks, Heartbeat, LostMessage, MailSecurity,
    RouteState, Script, Secret, SendError, Severity, Watched, Webhook, WebhookForm,
};
use fleet::{ChannelInput, ChannelView, OnItsWay, ReportInput, ReportView, RouteInput, RouteView, Sent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

const fn yes() -> bool {
    true
}

fn starttls() -> String {
    MailSecurity::StartTls.as_str().to_owned()
}

const fn five() -> u16 {
    5
}

fn json() -> String {
    "application/json".to_owned()
}

fn on() -> String {
    RouteState::On.as_str().to_owned()
}

fn warning() -> String {
    Severity::Warning.as_str().to_owned()
}

/// How mail is sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EmailInput)]
pub(crate) struct EmailIn {
    /// Name or address of the mail server.
    server: String,
    /// 587 with STARTTLS, 465 with TLS.
    port: u16,
    /// `plain` is only for a mail server on this machine.
    #[serde(default = "starttls")]
    #[schema(value_type = Option<words::MailSecurity>)]
    security: String,
    /// Who signs in there; empty: nobody.
    #[serde(default)]
    username: String,
    /// Absent: as stored, while server, port and user stay.
    #[schema(value_type = Option<String>)]
    password: Option<Secret>,
    from: String,
    to: Vec<String>,
    /// Authorities (PEM) that its certificate may be of; empty: those that the server's machine trusts.
    #[serde(default)]
    ca: String,
}

/// How a webhook is asked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookInput)]
pub(crate) struct WebhookIn {
    #[schema(value_type = words::WebhookForm)]
    form: String,
    /// The whole address; it is shown again only as scheme, machine and port. Absent: as stored, or that of the only service
    /// of the form.
    #[schema(value_type = Option<String>)]
    url: Option<Secret>,
    /// With what the body is signed; absent: as stored, empty: it is not.
    #[schema(value_type = Option<String>)]
    signing_key: Option<Secret>,
    /// Headers to add; absent: as stored. A value of null is the stored one.
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    headers: Option<BTreeMap<String, Option<Secret>>>,
    /// What the form needs: ntfy `topic`; Gotify `token`; Matrix `room`, `token`; Telegram `chat`, `token`; Pushover `token`,
    /// `user`; PagerDuty `routing_key`; Opsgenie `key`. Absent: as stored. A value of null is the stored one.
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    secrets: Option<BTreeMap<String, Option<Secret>>>,
    /// Of the form `template`, which needs it.
    template: Option<BodyTemplateIn>,
    /// Authorities (PEM) that its certificate may be of; empty: those that the server's machine trusts.
    #[serde(default)]
    ca: String,
}

/// What makes the body of a request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BodyTemplateInput)]
pub(crate) struct BodyTemplateIn {
    /// A template as `docs/notices.md` describes them, of at most 8 KiB.
    text: String,
    /// Absent: `application/json`, and values are written as JSON.
    #[serde(default = "json")]
    content_type: String,
}

impl From<BodyTemplateIn> for BodyTemplate {
    fn from(given: BodyTemplateIn) -> Self {
        let BodyTemplateIn { text, content_type } = given;
        Self { text, content_type }
    }
}

/// A program on the server's machine, which gets messages as its standard input.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScriptInput)]
pub(crate) struct ScriptIn {
    /// What the server's own configuration calls it (`--notice-script`).
    name: String,
}

/// An address that is asked (`GET`) again and again while the server is well: who watches it tells when nothing came.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HeartbeatInput)]
pub(crate) struct HeartbeatIn {
    /// The whole address; it is shown again only as scheme, machine and port. Absent: as stored.
    #[schema(value_type = Option<String>)]
    url: Option<Secret>,
    /// Absent: 5.
    #[serde(default = "five")]
    #[schema(minimum = 1, maximum = 1440)]
    every_minutes: u16,
    /// Authorities (PEM) that its certificate may be of; empty: those that the server's machine trusts.
    #[serde(default)]
    ca: String,
}

/// A check of a service such as Healthchecks: asked by `POST` at its address, followed by `/start`, nothing (it ended well) or `/fail`,
/// with `rid`, the run, in its query.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HealthchecksInput)]
pub(crate) struct HealthchecksIn {
    /// The whole address of the check; it is shown again only as scheme, machine and port. Behind the machine `{host}` and `{group}`
    /// stand for names, in small letters, digits, `-` and `_`. Absent: as stored.
    #[schema(value_type = Option<String>)]
    url: Option<Secret>,
    /// Of what a check is.
    #[schema(value_type = words::Watched)]
    of: String,
    /// Only of hosts with one of these labels; none: of all.
    #[serde(default)]
    labels: Vec<String>,
    /// Only of this host, by its name or its id. Without it the address needs `{host}`, but for a check of the fleet.
    #[serde(default)]
    host: String,
    /// Only of the source group of this name; of a check of a group. Without it the address needs `{group}`.
    #[serde(default)]
    group: String,
    /// How often a check of the fleet hears. Absent: 5.
    #[serde(default = "five")]
    #[schema(minimum = 1, maximum = 1440)]
    every_minutes: u16,
    /// Whether the end of a backup's log is sent, of at most 10,000 bytes. It names files. Absent: true.
    #[serde(default = "yes")]
    log: bool,
    /// Authorities (PEM) that its certificate may be of; empty: those that the server's machine trusts.
    #[serde(default)]
    ca: String,
}

/// A channel: exactly one of `email`, `webhook`, `heartbeat`, `script` and `healthchecks`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChannelInput)]
pub(crate) struct ChannelIn {
    /// Only where a channel is added.
    #[serde(default)]
    pub(crate) name: String,
    /// Absent: true. At one that is switched off nothing waits any more.
    #[serde(default = "yes")]
    on: bool,
    /// Whether messages have links by which whoever reads them acknowledges, without an account. Absent: false.
    #[serde(default)]
    acknowledge_links: bool,
    email: Option<EmailIn>,
    webhook: Option<WebhookIn>,
    heartbeat: Option<HeartbeatIn>,
    script: Option<ScriptIn>,
    healthchecks: Option<HealthchecksIn>,
}

fn word<T>(field: &str, text: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Problem> {
    read(text).ok_or_else(|| Problem::invalid(field, format!("There is no {field} {text:?}.")))
}

impl ChannelIn {
    /// Whether it is used, and for what.
    pub(crate) const fn flags(&self) -> ChannelFlags {
        ChannelFlags { is_on: self.on, acknowledges: self.acknowledge_links }
    }

    /// What it describes.
    pub(crate) fn input(self) -> Result<ChannelInput, Problem> {
        match (self.email, self.webhook, self.heartbeat, self.script, self.healthchecks) {
            (Some(email), None, None, None, None) => {
                let EmailIn { server, port, security, username, password, from, to, ca } = email;
                let security = word("security", &security, MailSecurity::from_word)?;
                let email = Email { server, port, security, username, from, to, ca };
                Ok(ChannelInput::Email { email, password })
            }
            (None, Some(webhook), None, None, None) => {
                let WebhookIn { form, url, signing_key, headers, secrets, template, ca } = webhook;
                let form = word("form", &form, WebhookForm::from_word)?;
                let template = template.map(BodyTemplate::from);
                Ok(ChannelInput::Webhook { form, url, signing_key, headers, secrets, template, ca })
            }
            (None, None, Some(HeartbeatIn { url, every_minutes, ca }), None, None) => {
                Ok(ChannelInput::Heartbeat { url, every_min: every_minutes, ca })
            }
            (None, None, None, Some(ScriptIn { name }), None) => Ok(ChannelInput::Script { name }),
            (None, None, None, None, Some(checks)) => {
                let HealthchecksIn { url, of, labels, host, group, every_minutes, log, ca } = checks;
                let of = word("of", &of, Watched::from_word)?;
                let (every_min, with_log) = (every_minutes, log);
                Ok(ChannelInput::Healthchecks { url, of, labels, host, group, every_min, with_log, ca })
            }
            _ => {
                let why = "Give one of email, webhook, heartbeat, script and healthchecks.";
                Err(Problem::invalid("email", why))
            }
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Email)]
pub(crate) struct EmailOut {
    server: String,
    port: u16,
    #[schema(value_type = words::MailSecurity)]
    security: &'static str,
    username: String,
    has_password: bool,
    from: String,
    to: Vec<String>,
    ca: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookOut {
    #[schema(value_type = words::WebhookForm)]
    form: &'static str,
    /// Scheme, machine and port of its address.
    place: String,
    signed: bool,
    header_names: Vec<String>,
    secret_names: Vec<String>,
    template: Option<BodyTemplateOut>,
    ca: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BodyTemplate)]
pub(crate) struct BodyTemplateOut {
    text: String,
    content_type: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Script)]
pub(crate) struct ScriptOut {
    name: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Heartbeat)]
pub(crate) struct HeartbeatOut {
    /// Scheme, machine and port of its address.
    place: String,
    every_minutes: u16,
    ca: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Healthchecks)]
pub(crate) struct HealthchecksOut {
    /// Scheme, machine and port of its address.
    place: String,
    #[schema(value_type = words::Watched)]
    of: &'static str,
    labels: Vec<String>,
    /// The only host, by its id; null: there is more than one.
    host: Option<String>,
    /// Its name; null also where that host is deleted.
    host_name: Option<String>,
    group: String,
    every_minutes: u16,
    log: bool,
    ca: String,
}

/// When a channel is sent a report.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReportPlanInput)]
pub(crate) struct ReportPlanIn {
    /// Absent: `on`. `when_tested`: as soon as the channel was tested well.
    #[serde(default = "on")]
    #[schema(value_type = Option<words::RouteState>)]
    state: String,
    #[schema(value_type = words::ReportEvery)]
    every: String,
    /// A day of the week, such as `monday`, or of the month from `1` to `28`.
    day: String,
    /// A time of day, such as `08:00`.
    at: String,
    /// IANA name of the zone in which that is meant. Absent: the server's own.
    #[serde(default)]
    timezone: String,
}

impl ReportPlanIn {
    /// What it describes.
    pub(crate) fn input(self) -> Result<ReportInput, Problem> {
        let Self { state, every, day, at, timezone } = self;
        let state = word("state", &state, RouteState::from_word)?;
        Ok(ReportInput { state, every, day, at, timezone })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReportPlan)]
pub(crate) struct ReportPlanOut {
    #[schema(value_type = words::RouteState)]
    state: &'static str,
    #[schema(value_type = words::ReportEvery)]
    every: &'static str,
    day: String,
    at: String,
    timezone: String,
    /// When the next one is due; null: none is sent.
    next_at: Option<String>,
    /// The one that waits to be sent; it tells no notices.
    on_its_way: Option<OnItsWayOut>,
}

impl From<ReportView> for ReportPlanOut {
    fn from(seen: ReportView) -> Self {
        let ReportView { plan, next_at, on_its_way } = seen;
        Self {
            state: plan.state.as_str(),
            every: plan.every_word(),
            day: plan.day_word(),
            at: plan.time_word(),
            timezone: plan.timezone,
            next_at: time(next_at),
            on_its_way: on_its_way.map(OnItsWayOut::from),
        }
    }
}

/// Why a message was not taken.
#[derive(Serialize, ToSchema)]
#[schema(as = SendError)]
pub(crate) struct SendErrorOut {
    at: String,
    #[schema(value_type = words::SendFault)]
    code: &'static str,
    /// The same in words.
    text: String,
    /// What the other side said, cut, without secrets; may be empty.
    said: String,
}

/// A message on its way.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageOnItsWay)]
pub(crate) struct OnItsWayOut {
    id: String,
    made_at: String,
    /// How many notices it tells.
    notices: u32,
    tries: u32,
    next_at: String,
}

/// A message that was given up.
#[derive(Serialize, ToSchema)]
#[schema(as = LostMessage)]
pub(crate) struct LostMessageOut {
    id: String,
    made_at: String,
    notices: u32,
    tries: u32,
    error: SendErrorOut,
}

/// A channel, and what waits there.
#[derive(Serialize, ToSchema)]
#[schema(as = Channel)]
pub(crate) struct ChannelOut {
    name: String,
    on: bool,
    /// Whether messages have links by which whoever reads them acknowledges.
    acknowledge_links: bool,
    email: Option<EmailOut>,
    webhook: Option<WebhookOut>,
    heartbeat: Option<HeartbeatOut>,
    script: Option<ScriptOut>,
    healthchecks: Option<HealthchecksOut>,
    changed_at: String,
    #[schema(value_type = words::ActorKind)]
    changed_by_kind: &'static str,
    changed_by: String,
    /// How many notices wait for the next message; of `healthchecks`, how many signals.
    waiting: u32,
    /// How many older ones were left out since the last message, for more than 1,000 waited.
    left_out: u32,
    on_its_way: Option<OnItsWayOut>,
    /// When it is sent a report; null: nobody has said.
    report: Option<ReportPlanOut>,
    /// When a message, or a heartbeat, was taken last.
    taken_at: Option<String>,
    /// Since when no message is taken; null: it works, as far as is known.
    failing_since: Option<String>,
    last_error: Option<SendErrorOut>,
    /// Some of the addresses of the last mail refuse it: what was said of them. Null: all took it.
    refused: Option<SendErrorOut>,
    /// The newest messages that were given up (after two days and 20 tries), oldest first, at most 20.
    given_up: Vec<LostMessageOut>,
    /// How many were given up before those.
    given_up_before: u32,
}

impl From<SendError> for SendErrorOut {
    fn from(error: SendError) -> Self {
        Self { at: rfc3339(error.at), code: error.fault.code(), text: fault(error.fault), said: error.said }
    }
}

impl From<OnItsWay> for OnItsWayOut {
    fn from(way: OnItsWay) -> Self {
        Self {
            id: way.id.to_string(),
            made_at: rfc3339(way.made_at),
            notices: way.notices,
            tries: way.tries,
            next_at: rfc3339(way.next_at),
        }
    }
}

impl From<LostMessage> for LostMessageOut {
    fn from(lost: LostMessage) -> Self {
        Self {
            id: lost.id.to_string(),
            made_at: rfc3339(lost.made_at),
            notices: lost.notices,
            tries: lost.tries,
            error: lost.error.into(),
        }
    }
}

impl From<ChannelView> for ChannelOut {
    fn from(seen: ChannelView) -> Self {
        let (mut email, mut webhook, mut heartbeat, mut script, mut healthchecks) =
            (None, None, None, None, None);
        match seen.channel {
            Channel::Email(Email { server, port, security, username, from, to, ca }) => {
                let (has_password, security) = (!username.is_empty(), security.as_str());
                email = Some(EmailOut { server, port, security, username, has_password, from, to, ca });
            }
            Channel::Webhook(Webhook {
                form,
                place,
                header_names,
                secret_names,
                is_signed,
                template,
                ca,
            }) => {
                let (form, signed) = (form.as_str(), is_signed);
                let of = |BodyTemplate { text, content_type }| BodyTemplateOut { text, content_type };
                let template = template.map(of);
                webhook = Some(WebhookOut { form, place, signed, header_names, secret_names, template, ca });
            }
            Channel::Heartbeat(Heartbeat { place, every_min, ca }) => {
                heartbeat = Some(HeartbeatOut { place, every_minutes: every_min, ca });
            }
            Channel::Script(Script { name }) => script = Some(ScriptOut { name }),
            Channel::Healthchecks(checks) => {
                let Healthchecks { place, of, labels, host, group, every_min, with_log, ca } = checks;
                healthchecks = Some(HealthchecksOut {
                    place,
                    of: of.as_str(),
                    labels,
                    host: host.map(|host| host.to_string()),
                    host_name: seen.of_host,
                    group,
                    every_minutes: every_min,
                    log: with_log,
                    ca,
                });
            }
        }
        let (since, error) = seen.failing.unzip();
        Self {
            name: seen.name,
            on: seen.flags.is_on,
            acknowledge_links: seen.flags.acknowledges,
            email,
            webhook,
            heartbeat,
            script,
            healthchecks,
            changed_at: rfc3339(seen.changed_at),
            changed_by_kind: seen.changed_by.kind(),
            changed_by: seen.changed_by.name().to_owned(),
            waiting: seen.waiting,
            left_out: seen.left_out,
            on_its_way: seen.on_its_way.map(OnItsWayOut::from),
            report: seen.report.map(ReportPlanOut::from),
            taken_at: time(seen.taken_at),
            failing_since: time(since),
            last_error: error.map(SendErrorOut::from),
            refused: seen.refused.map(SendErrorOut::from),
            given_up: seen.lost.into_iter().map(LostMessageOut::from).collect(),
            given_up_before: seen.lost_before,
        }
    }
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelTest)]
pub(crate) struct ChannelTestOut {
    /// By some at least of those to whom it goes.
    taken: bool,
    /// Why it was not, or not by all.
    #[schema(value_type = Option<words::SendFault>)]
    code: Option<&'static str>,
    /// The same in words.
    text: Option<String>,
    /// What the other side said, cut, without secrets; may be empty.
    said: String,
}

impl From<Delivery> for ChannelTestOut {
    fn from(delivery: Delivery) -> Self {
        let taken = !matches!(delivery.sent, Sent::Refused { .. });
        let refused = match delivery.sent {
            Sent::Taken => None,
            Sent::Partly { fault, .. } | Sent::Refused { fault, .. } => Some(fault),
        };
        Self {
            taken,
            code: refused.map(fleet::record::SendFault::code),
            text: refused.map(fault),
            said: delivery.said,
        }
    }
}

/// A route: which incidents are told by which channels.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RouteInput)]
pub(crate) struct RouteIn {
    /// Only where a route is added.
    #[serde(default)]
    name: String,
    /// Absent: `on`. `when_tested`: as soon as a channel of it was tested well.
    #[serde(default = "on")]
    #[schema(value_type = Option<words::RouteState>)]
    state: String,
    /// Incidents that meet a host with one of these labels; none: all, those of the server itself included.
    #[serde(default)]
    labels: Vec<String>,
    /// Absent: `warning`, which is all.
    #[serde(default = "warning")]
    #[schema(value_type = Option<words::Severity>)]
    least: String,
    /// Only these causes; none: all.
    #[serde(default)]
    #[schema(value_type = Vec<words::IncidentCause>)]
    causes: Vec<String>,
    /// Start of its quiet hours, such as `22:00`; what comes in them is told when they are over.
    #[serde(default)]
    quiet_from: String,
    /// Their end.
    #[serde(default)]
    quiet_until: String,
    /// IANA name of the zone in which they are meant.
    #[serde(default)]
    timezone: String,
    /// By which channels, by name.
    channels: Vec<String>,
}

impl RouteIn {
    /// How it is called in the body.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it describes; `name` is that of the address, where it stands there.
    pub(crate) fn input(self, name: Option<String>) -> Result<RouteInput, Problem> {
        Ok(RouteInput {
            name: name.unwrap_or(self.name),
            state: word("state", &self.state, RouteState::from_word)?,
            labels: self.labels,
            least: word("least", &self.least, |text| {
                Severity::ALL.into_iter().find(|known| known.as_str() == text)
            })?,
            causes: self.causes,
            quiet_from: self.quiet_from,
            quiet_until: self.quiet_until,
            timezone: self.timezone,
            channels: self.channels,
        })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Route)]
pub(crate) struct RouteOut {
    name: String,
    #[schema(value_type = words::RouteState)]
    state: &'static str,
    labels: Vec<String>,
    #[schema(value_type = words::Severity)]
    least: &'static str,
    #[schema(value_type = Vec<words::IncidentCause>)]
    causes: Vec<String>,
    /// Empty with the next two: it has no quiet hours.
    quiet_from: String,
    quiet_until: String,
    timezone: String,
    channels: Vec<String>,
}

impl From<RouteView> for RouteOut {
    fn from(seen: RouteView) -> Self {
        let RouteView { route, channels } = seen;
        let (ends, timezone) =
            route.quiet.map(|quiet| (quiet.window.ends(), quiet.timezone)).unwrap_or_default();
        let [quiet_from, quiet_until] = ends;
        Self {
            name: route.name,
            state: route.state.as_str(),
            labels: route.labels,
            least: route.least.as_str(),
            causes: route.causes,
            quiet_from,
            quiet_until,
            timezone,
            channels,
        }
    }
}
