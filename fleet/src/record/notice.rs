//! Who is told of incidents, how, and what waits to be told.

use super::{Actor, Cause, Secret, Severity, Window};
use schema::{HostId, IncidentId, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A channel. A number that is free again after its channel was deleted may be another one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelId(pub u32);

/// What happened to an incident that is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Event {
    /// It lasts longer than its grace.
    Opened,
    /// It meets more, or is graver.
    Worsened,
    /// Nothing has changed for long, or the time is over for which somebody let it rest.
    StillOpen,
    /// It has ended, for those whom it met are well, and stayed so.
    Recovered,
    /// It has ended otherwise: the last ones whom it met have another cause now, or are not there any more.
    Ended,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Opened, Self::Worsened, Self::StillOpen, Self::Recovered, Self::Ended];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Worsened => "worsened",
            Self::StillOpen => "reminder",
            Self::Recovered => "recovered",
            Self::Ended => "ended",
        }
    }

    /// Whether the incident is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Recovered | Self::Ended)
    }
}

/// Something to tell, as it was when it was decided: what becomes of the incident later changes nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// To which incident.
    pub incident: IncidentId,
    /// Why hosts, or the server, need somebody.
    pub cause: Cause,
    /// At which storage; `None` = the cause is of none, or nobody knows.
    pub storage: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// Since when the first one has it.
    pub since: Timestamp,
    /// How many have it, or, of one that is over, had it at most.
    pub count: u32,
    /// The first of them, by name; none of an incident of the server itself.
    pub hosts: Vec<(HostId, String)>,
    /// Of an incident of channels: what they are called.
    pub channels: Vec<String>,
}

/// A notice in the outbox of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingNotice {
    pub(crate) notice: Notice,
    /// The quiet hours of its routes last until then.
    pub(crate) quiet_until: Option<Timestamp>,
}

/// How a channel tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// By e-mail.
    Email(Email),
    /// By an HTTP request.
    Webhook(Webhook),
    /// It tells of no incident, but again and again that the server is well: who watches it hears when nothing comes.
    Heartbeat(Heartbeat),
    /// By a program on the server's machine.
    Script(Script),
    /// It tells of no incident, but a service that watches checks how backups go, or that all hosts are well.
    Healthchecks(Healthchecks),
}

impl Channel {
    /// Its kind's word in the API.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Webhook(_) => "webhook",
            Self::Heartbeat(_) => "heartbeat",
            Self::Script(_) => "script",
            Self::Healthchecks(_) => "healthchecks",
        }
    }

    /// Whether incidents can be told by it.
    #[must_use]
    pub const fn tells_incidents(&self) -> bool {
        !matches!(self, Self::Heartbeat(_) | Self::Healthchecks(_))
    }

    /// Whether it can be sent a report: not where that would be an alert.
    #[must_use]
    pub const fn takes_reports(&self) -> bool {
        self.tells_incidents() && !self.keeps_alerts()
    }

    /// Whether the other side keeps an alert of each incident.
    #[must_use]
    pub const fn keeps_alerts(&self) -> bool {
        matches!(self, Self::Webhook(Webhook { form: WebhookForm::PagerDuty | WebhookForm::Opsgenie, .. }))
    }
}

/// How the connection to a mail server is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailSecurity {
    /// It begins in clear and goes on with TLS, or not at all.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// No TLS: only with a mail server on this machine.
    Plain,
}

impl MailSecurity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::StartTls, Self::Tls, Self::Plain];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::Plain => "plain",
        }
    }

    /// The one of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// What may be shown of a channel by e-mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Name or address of the mail server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept from others.
    pub security: MailSecurity,
    /// Who signs in there; empty = nobody.
    pub username: String,
    /// From which address.
    pub from: String,
    /// To which addresses.
    pub to: Vec<String>,
    /// Certificates (PEM) of the authorities that the server's may be of; empty: of those that this machine trusts.
    pub ca: String,
}

/// In which form a webhook tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookForm {
    /// The JSON that `docs/notices.md` describes.
    Json,
    /// ntfy, at the address of the server; the topic is the secret `topic`.
    Ntfy,
    /// Gotify: the secret `token` is the application's.
    Gotify,
    /// An incoming webhook of Slack.
    Slack,
    /// An incoming webhook of Mattermost.
    Mattermost,
    /// A webhook of Discord.
    Discord,
    /// A workflow of Microsoft Teams that takes adaptive cards.
    Teams,
    /// A room of Matrix, at the address of its homeserver: the secrets `room` and `token`.
    Matrix,
    /// A bot of Telegram: the secrets `token` and `chat`.
    Telegram,
    /// Pushover: the secrets `token` and `user`.
    Pushover,
    /// PagerDuty, events of version 2: the secret `routing_key`.
    PagerDuty,
    /// Opsgenie: the secret `key`.
    Opsgenie,
    /// An Apprise API server, at the address with its key.
    Apprise,
    /// What a template of the channel makes.
    Template,
}

impl WebhookForm {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Json,
        Self::Ntfy,
        Self::Gotify,
        Self::Slack,
        Self::Mattermost,
        Self::Discord,
        Self::Teams,
        Self::Matrix,
        Self::Telegram,
        Self::Pushover,
        Self::PagerDuty,
        Self::Opsgenie,
        Self::Apprise,
        Self::Template,
    ];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ntfy => "ntfy",
            Self::Gotify => "gotify",
            Self::Slack => "slack",
            Self::Mattermost => "mattermost",
            Self::Discord => "discord",
            Self::Teams => "teams",
            Self::Matrix => "matrix",
            Self::Telegram => "telegram",
            Self::Pushover => "pushover",
            Self::PagerDuty => "pagerduty",
            Self::Opsgenie => "opsgenie",
            Self::Apprise => "apprise",
            Self::Template => "template",
        }
    }

    /// The one of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }

    /// The secrets that it can't do without.
    #[must_use]
    pub const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Ntfy => &["topic"],
            Self::Gotify => &["token"],
            Self::Matrix => &["room", "token"],
            Self::Telegram => &["chat", "token"],
            Self::Pushover => &["token", "user"],
            Self::PagerDuty => &["routing_key"],
            Self::Opsgenie => &["key"],
            Self::Json
            | Self::Slack
            | Self::Mattermost
            | Self::Discord
            | Self::Teams
            | Self::Apprise
            | Self::Template => &[],
        }
    }

    /// Its own service's address, where there is only one.
    #[must_use]
    pub const fn address(self) -> Option<&'static str> {
        match self {
            Self::Telegram => Some("https://api.telegram.org"),
            Self::Pushover => Some("https://api.pushover.net"),
            Self::PagerDuty => Some("https://events.pagerduty.com"),
            Self::Opsgenie => Some("https://api.opsgenie.com"),
            _ => None,
        }
    }
}

/// What may be shown of a channel by webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// In which form it tells.
    pub form: WebhookForm,
    /// Scheme, machine and port of its address; what stands behind them may be a secret.
    pub place: String,
    /// The names of the headers that it adds; their values are secret.
    pub header_names: Vec<String>,
    /// The names of the secrets that its form uses.
    pub secret_names: Vec<String>,
    /// Whether what is sent is signed.
    pub is_signed: bool,
    /// Of the form [`WebhookForm::Template`]: what makes the body.
    pub template: Option<BodyTemplate>,
    /// Certificates (PEM) of the authorities that the server's may be of; empty: of those that this machine trusts.
    pub ca: String,
}

/// What makes the body of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyTemplate {
    /// The template.
    pub text: String,
    /// What the body is called (`Content-Type`).
    pub content_type: String,
}

/// A program on the server's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// What the server's own configuration calls it.
    pub name: String,
}

/// What may be shown of a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Scheme, machine and port of its address; what stands behind them may be a secret.
    pub place: String,
    /// How often, in minutes.
    pub every_min: u16,
    /// Certificates (PEM) of the authorities that the server's may be of; empty: of those that this machine trusts.
    pub ca: String,
}

/// Of what a check of a service such as Healthchecks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watched {
    /// All hosts together: it hears again and again whether they are well.
    Fleet,
    /// A host: it hears of each of its backups.
    Host,
    /// A source group of a host: it hears of the backups of that group.
    Group,
}

impl Watched {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fleet, Self::Host, Self::Group];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Host => "host",
            Self::Group => "group",
        }
    }

    /// The one of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// What may be shown of a channel to a service such as Healthchecks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthchecks {
    /// Scheme, machine and port of its address; what stands behind them may be a secret.
    pub place: String,
    /// Of what its checks are.
    pub of: Watched,
    /// Only of hosts with one of these labels; none = of all.
    pub labels: Vec<String>,
    /// Only of this host.
    pub host: Option<HostId>,
    /// Only of the source group of this name; empty = of all.
    pub group: String,
    /// How often it hears of the fleet, in minutes.
    pub every_min: u16,
    /// Whether it is sent the end of a backup's log.
    pub with_log: bool,
    /// Certificates (PEM) of the authorities that the server's may be of; empty: of those that this machine trusts.
    pub ca: String,
}

/// What a check is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// A backup has begun.
    Start,
    /// It ended well.
    Success,
    /// It did not.
    Fail,
}

/// A signal in the outbox of a channel to such a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingPing {
    pub(crate) signal: Signal,
    /// When what it tells of happened.
    pub(crate) at: Timestamp,
    pub(crate) host: HostId,
    /// Name of the source group.
    pub(crate) group: String,
    /// The backup of which it tells.
    pub(crate) job: JobId,
    /// Of a backup that ended well, told as a failure of its host: the group whose last one did not.
    pub(crate) other: Option<String>,
}

/// What is sealed of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSecrets {
    /// By which the sender of mail is known.
    pub password: Secret,
    /// The whole address of a webhook.
    pub url: Secret,
    /// With what the body is signed; empty = it is not.
    pub signing_key: Secret,
    /// Headers that are added.
    pub headers: BTreeMap<String, Secret>,
    /// What forms use by name.
    pub values: BTreeMap<String, Secret>,
}

impl ChannelSecrets {
    /// All texts that must not be seen in what the other side answers.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let named = self.headers.values().chain(self.values.values());
        [&self.password, &self.url, &self.signing_key].into_iter().chain(named).map(Secret::expose)
    }
}

/// Whether a channel is used, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelFlags {
    /// Whether anything is told by it.
    pub is_on: bool,
    /// Whether its messages have links by which whoever reads them acknowledges.
    pub acknowledges: bool,
}

/// A channel, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelRow {
    /// What it is called.
    pub(crate) name: String,
    pub(crate) flags: ChannelFlags,
    pub(crate) channel: Channel,
    /// Its [`ChannelSecrets`], sealed to its number.
    pub(crate) sealed: Vec<u8>,
    pub(crate) changed_at: Timestamp,
    pub(crate) changed_by: Actor,
}

/// The id of a message: the same at each try, so that who gets it twice can drop one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageId(pub [u8; 16]);

impl std::fmt::Display for MessageId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendFault {
    /// There was no connection.
    Unreachable,
    /// Its certificate is not believed.
    Untrusted,
    /// It took too long.
    TooSlow,
    /// It answers something else than the protocol.
    NotUnderstood,
    /// It answered with this HTTP status.
    Status(u16),
    /// It leads elsewhere, where nothing is sent.
    Redirect(u16),
    /// The mail server refused with this code.
    Smtp(u16),
    /// Something of the channel's settings can't be used.
    Setting,
    /// The program ended with this status; 128 and more: by a signal.
    Exit(u16),
    /// It is too old to be told as what is now.
    TooLate,
}

impl SendFault {
    /// Its word in the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::TooSlow => "timeout",
            Self::NotUnderstood => "not_understood",
            Self::Status(_) => "status",
            Self::Redirect(_) => "redirect",
            Self::Smtp(_) => "smtp",
            Self::Setting => "setting",
            Self::Exit(_) => "exit",
            Self::TooLate => "too_late",
        }
    }

    /// Whether what it refuses it will never take: an HTTP status of 400 to 499, but for those that ask for another try.
    #[must_use]
    pub const fn is_for_good(self) -> bool {
        matches!(self, Self::Status(400..=407 | 409..=428 | 430..=499))
    }

    /// One of each kind: what the words and the description of the API are tried with.
    pub const SAMPLES: [Self; 10] = [
        Self::Unreachable,
        Self::Untrusted,
        Self::TooSlow,
        Self::NotUnderstood,
        Self::Status(500),
        Self::Redirect(302),
        Self::Smtp(550),
        Self::Setting,
        Self::Exit(1),
        Self::TooLate,
    ];
}

/// That a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendError {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub fault: SendFault,
    /// What the other side said, without secrets, cut; may be empty.
    pub said: String,
}

/// A message on its way. It stays as it is at each try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sending {
    pub(crate) id: MessageId,
    pub(crate) made_at: Timestamp,
    /// The numbers of the notices that it tells.
    pub(crate) notices: Vec<u64>,
    /// How many more were left out, for too many waited.
    pub(crate) left_out: u32,
    /// How often it was tried, the one that may be running included.
    pub(crate) tries: u32,
    /// When that was.
    pub(crate) tried_at: Option<Timestamp>,
    /// How long it waits after that.
    pub(crate) wait_ms: u64,
}

/// What a channel has sent since the server was started. Nothing of it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounts {
    /// So many tries were taken.
    pub taken: u64,
    /// So many were not.
    pub refused: u64,
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostMessage {
    /// Its id.
    pub id: MessageId,
    /// When it was made.
    pub made_at: Timestamp,
    /// How many notices it told, those included that it had left out; none: it was a report.
    pub notices: u32,
    /// How often it was tried.
    pub tries: u32,
    /// Why it was not taken the last time.
    pub error: SendError,
}

/// How a channel stands: of one that has none nothing was ever told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelState {
    /// The number of the next notice.
    pub(crate) next: u64,
    /// How many were left out since the last message was made, for too many waited.
    pub(crate) left_out: u32,
    pub(crate) sending: Option<Sending>,
    /// When the last message was taken or given up.
    pub(crate) done_at: Option<Timestamp>,
    /// When one was taken last.
    pub(crate) taken_at: Option<Timestamp>,
    /// Since when nothing is taken, and what was wrong last.
    pub(crate) failing: Option<(Timestamp, SendError)>,
    /// Some of those to whom the last message went refuse it: what was said of them.
    pub(crate) refused: Option<SendError>,
    /// The newest messages that were given up, oldest first.
    pub(crate) lost: Vec<LostMessage>,
    /// How many were given up before those.
    pub(crate) lost_before: u32,
}

impl ChannelState {
    /// Something was taken, by all to whom it went but those of whom `refused` tells.
    pub(crate) fn taken(&mut self, now: Timestamp, refused: Option<SendError>) {
        (self.taken_at, self.failing, self.refused) = (Some(now), None, refused);
    }

    /// Something was not taken.
    pub(crate) fn not_taken(&mut self, error: SendError) {
        let since = self.failing.as_ref().map_or(error.at, |(since, _)| *since);
        self.failing = Some((since, error));
    }
}

/// Whether a route is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteState {
    /// It is not.
    Off,
    /// It is.
    On,
    /// It will be, as soon as a channel of it has been tested well.
    WhenTested,
}

impl RouteState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::On, Self::WhenTested];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::WhenTested => "when_tested",
        }
    }

    /// The one of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// Part of the day in which nothing is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// Which.
    pub window: Window,
    /// IANA name of the zone in which that is meant.
    pub timezone: String,
}

/// Which incidents are told by which channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What it is called.
    pub name: String,
    /// Whether it is used.
    pub state: RouteState,
    /// Incidents that meet a host with one of these labels; none = all, those of the server included.
    pub labels: Vec<String>,
    /// Only those that are at least so bad.
    pub least: Severity,
    /// Only those of these causes, by their codes; none = all.
    pub causes: Vec<String>,
    /// When nothing is told: it waits until they are over.
    pub quiet: Option<QuietHours>,
    /// By which channels.
    pub channels: Vec<ChannelId>,
}
