//! Channels and routes as people type them: read with words for what is wrong, each with its field. Pure.
//!
//! A secret that is left out stays as it was, as long as it goes to the same place: nobody is sent a secret of somebody
//! else's by a change of the address alone.

use super::ping;
use crate::maintenance::calendar::Calendar;
use crate::maintenance::input::window;
use crate::nearest::nearest;
use crate::record::{
    BodyTemplate, Cause, Channel, ChannelSecrets, Email, Healthchecks, Heartbeat, MailSecurity, QuietHours,
    RouteState, Script, Secret, Severity, Watched, Webhook, WebhookForm,
};
use crate::refused::Refused;
use schema::name;
use std::collections::{BTreeMap, BTreeSet};

/// The most addresses of one channel by e-mail.
const MOST_ADDRESSES: usize = 20;
/// The longest e-mail address, in bytes.
const LONGEST_ADDRESS: usize = 254;
/// The longest address of a webhook, in bytes.
const LONGEST_URL: usize = 2_000;
/// The longest secret besides, in bytes.
const LONGEST_SECRET: usize = 4_096;
/// The most headers of a webhook, and the most secrets.
const MOST_NAMED: usize = 16;
/// The longest text with certificates, in bytes.
const LONGEST_CA: usize = 32 << 10;
/// The most labels and causes of a route.
const MOST_WORDS: usize = 64;
/// The longest while between two heartbeats, in minutes: a day.
const MOST_MINUTES: u16 = 24 * 60;
/// The longest template, in bytes.
const LONGEST_TEMPLATE: usize = 8 << 10;
const NO_TEMPLATE: &str = "This form needs a template, of at most 8 KiB.";
const NO_ADDRESS: &str = "Give an address that begins with https:// or http://, without a user in it.";
/// Headers that say how the request itself is to be read.
const OWN_HEADERS: [&str; 7] =
    ["host", "connection", "content-length", "content-type", "transfer-encoding", "upgrade", "te"];

/// Secrets by name: `None` keeps the stored one of that name.
pub type NamedSecrets = BTreeMap<String, Option<Secret>>;

/// A channel as a person describes it.
#[derive(Clone, Debug)]
pub enum ChannelInput {
    /// By e-mail.
    Email {
        /// What may be shown.
        email: Email,
        /// By which the sender is known; `None` keeps the stored one.
        password: Option<Secret>,
    },
    /// By webhook.
    Webhook {
        /// In which form.
        form: WebhookForm,
        /// The whole address; `None` keeps the stored one, or is that of the only service there is.
        url: Option<Secret>,
        /// With what the body is signed; `None` keeps the stored one, an empty one takes it away.
        signing_key: Option<Secret>,
        /// Headers; `None` keeps all.
        headers: Option<NamedSecrets>,
        /// Secrets of its form; `None` keeps all.
        secrets: Option<NamedSecrets>,
        /// What makes the body, where its form is that.
        template: Option<BodyTemplate>,
        /// Certificates of authorities.
        ca: String,
    },
    /// That the server is well, again and again.
    Heartbeat {
        /// The whole address; `None` keeps the stored one.
        url: Option<Secret>,
        /// How often, in minutes.
        every_min: u16,
        /// Certificates of authorities.
        ca: String,
    },
    /// By a program on the server's machine.
    Script {
        /// What the server's own configuration calls it.
        name: String,
    },
    /// What checks of a service such as Healthchecks are told.
    Healthchecks {
        /// The whole address of a check; `None` keeps the stored one. `{host}` and `{group}` stand for names.
        url: Option<Secret>,
        /// Of what its checks are.
        of: Watched,
        /// Only of hosts with one of these labels; none = of all.
        labels: Vec<String>,
        /// Only of this host, by its name or its id; empty = of all.
        host: String,
        /// Only of the source group of this name; empty = of all.
        group: String,
        /// How often it hears of the fleet, in minutes.
        every_min: u16,
        /// Whether it is sent the end of a backup's log.
        with_log: bool,
        /// Certificates of authorities.
        ca: String,
    },
}

/// A route as a person describes it.
#[derive(Clone, Debug)]
pub struct RouteInput {
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
    /// Start of its quiet hours, such as `22:00`; empty with `quiet_until` = it has none.
    pub quiet_from: String,
    /// Their end.
    pub quiet_until: String,
    /// IANA name of the zone in which they are meant.
    pub timezone: String,
    /// By which channels, by name.
    pub channels: Vec<String>,
}

fn invalid<T>(field: &'static str, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::invalid(field, why))
}

/// A name of a channel or a route.
pub(super) fn check_name(text: &str) -> Result<(), Refused> {
    if name::is_valid(text) {
        return Ok(());
    }
    invalid("name", "A name has letters, digits, and . _ - between them.")
}

/// What a channel is from now on, and its secrets. `before` is what it was.
pub(super) fn channel(
    input: ChannelInput,
    before: Option<(&Channel, &ChannelSecrets)>,
) -> Result<(Channel, ChannelSecrets), Refused> {
    match input {
        ChannelInput::Email { email, password } => {
            let before = before.and_then(|(channel, secrets)| match channel {
                Channel::Email(email) => Some((email, secrets)),
                _ => None,
            });
            by_email(email, password, before)
        }
        ChannelInput::Webhook { form, url, signing_key, headers, secrets, template, ca } => {
            let before = before.and_then(|(channel, secrets)| match channel {
                Channel::Webhook(webhook) => Some((webhook, secrets)),
                _ => None,
            });
            let shown = Webhook {
                form,
                place: String::new(),
                header_names: Vec::new(),
                secret_names: Vec::new(),
                is_signed: false,
                template,
                ca,
            };
            by_webhook(shown, url, signing_key, (headers, secrets), before)
        }
        ChannelInput::Heartbeat { url, every_min, ca } => {
            let kept = before.and_then(|(channel, secrets)| match channel {
                Channel::Heartbeat(_) => Some(secrets.url.clone()),
                _ => None,
            });
            heartbeat(url.filter(|url| !url.is_empty()).or(kept).unwrap_or_default(), every_min, &ca)
        }
        ChannelInput::Script { name } => script(name),
        ChannelInput::Healthchecks { url, of, labels, host, group, every_min, with_log, ca } => {
            let kept = before.and_then(|(channel, secrets)| match channel {
                Channel::Healthchecks(_) => Some(secrets.url.clone()),
                _ => None,
            });
            let url = url.filter(|url| !url.is_empty()).or(kept).unwrap_or_default();
            let group = group.trim().to_owned();
            let shown =
                Healthchecks { place: String::new(), of, labels, host: None, group, every_min, with_log, ca };
            healthchecks(shown, url, !host.trim().is_empty())
        }
    }
}

fn healthchecks(
    mut shown: Healthchecks,
    url: Secret,
    has_host: bool,
) -> Result<(Channel, ChannelSecrets), Refused> {
    let Some((by_host, by_group)) = ping::placeholders(url.expose()) else {
        return invalid("url", "In an address {host} and {group} stand for names, and no other braces.");
    };
    let Some(place) = place_of(&ping::filled(url.expose(), "a", "a")) else {
        return invalid("url", NO_ADDRESS);
    };
    if place_of(url.expose()).is_none() {
        return invalid(
            "url",
            "The machine of the address is the same for all: {host} and {group} stand behind it.",
        );
    }
    let is_group = shown.of == Watched::Group;
    if shown.of == Watched::Fleet && (has_host || by_host) {
        return invalid(
            "of",
            "A check of the fleet is of no single host: choose host, or leave the host out.",
        );
    }
    if !is_group && (by_group || !shown.group.is_empty()) {
        return invalid("of", "Only a check of a group names one.");
    }
    // Else what one does well would hide what another one does not.
    if shown.of != Watched::Fleet && !has_host && !by_host {
        let why = "Several hosts would share this check, and the good news of one hide the bad of another: name a host, or write \
                   {host} where its name belongs, such as https://hc-ping.com/KEY/{host}.";
        return invalid("url", why);
    }
    if is_group && shown.group.is_empty() && !by_group {
        return invalid(
            "url",
            "Several groups would share this check: name a group, or write {group} where its name belongs.",
        );
    }
    if !shown.group.is_empty() && !name::is_valid(&shown.group) {
        return invalid("group", "Give the name of a source group.");
    }
    shown.labels = labels(&shown.labels)?;
    if has_host && !shown.labels.is_empty() {
        return invalid("labels", "With a host, labels choose nothing: leave one of them out.");
    }
    check_minutes(shown.every_min)?;
    (shown.place, shown.ca) = (place, authorities(&shown.ca)?);
    Ok((Channel::Healthchecks(shown), ChannelSecrets { url, ..ChannelSecrets::default() }))
}

fn check_minutes(every_min: u16) -> Result<(), Refused> {
    if !(1..=MOST_MINUTES).contains(&every_min) {
        return invalid("every_minutes", format!("Give a number of minutes from 1 to {MOST_MINUTES}."));
    }
    Ok(())
}

fn script(name: String) -> Result<(Channel, ChannelSecrets), Refused> {
    if !name::is_valid(&name) {
        return invalid("script", "Give the name of a script in the server's configuration.");
    }
    Ok((Channel::Script(Script { name }), ChannelSecrets::default()))
}

fn heartbeat(url: Secret, every_min: u16, ca: &str) -> Result<(Channel, ChannelSecrets), Refused> {
    let Some(place) = place_of(url.expose()) else { return invalid("url", NO_ADDRESS) };
    check_minutes(every_min)?;
    let shown = Heartbeat { place, every_min, ca: authorities(ca)? };
    Ok((Channel::Heartbeat(shown), ChannelSecrets { url, ..ChannelSecrets::default() }))
}

fn by_email(
    mut email: Email,
    password: Option<Secret>,
    before: Option<(&Email, &ChannelSecrets)>,
) -> Result<(Channel, ChannelSecrets), Refused> {
    email.server = email.server.trim().to_lowercase();
    email.username = email.username.trim().to_owned();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
    if email.server.is_empty() || email.server.len() > 253 || !email.server.chars().all(is_name) {
        return invalid("server", "Give the name or the address of a mail server, such as mail.example.com.");
    }
    if email.port == 0 {
        return invalid("port", "Give its port: 587 with STARTTLS, 465 with TLS.");
    }
    if email.security == MailSecurity::Plain && !is_this_machine(&email.server) {
        return invalid(
            "security",
            "Without TLS whoever is on the way reads along: that is only for a mail server on this machine.",
        );
    }
    if email.username.len() > LONGEST_ADDRESS || email.username.chars().any(char::is_control) {
        return invalid("username", "This user name is too long, or has control characters.");
    }
    email.from = address(&email.from, "from")?;
    email.to = email.to.iter().map(|text| address(text, "to")).collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    email.to.retain(|to| seen.insert(to.clone()));
    if email.to.is_empty() || email.to.len() > MOST_ADDRESSES {
        return invalid("to", format!("Give one to {MOST_ADDRESSES} addresses."));
    }
    email.ca = authorities(&email.ca)?;
    let is_same = before.is_some_and(|(before, _)| {
        (&before.server, before.port, &before.username) == (&email.server, email.port, &email.username)
    });
    let kept = before.map(|(_, secrets)| &secrets.password).filter(|kept| !kept.is_empty());
    let password = match password {
        Some(password) => short("password", password)?,
        None if is_same => kept.cloned().unwrap_or_default(),
        None if kept.is_some() && !email.username.is_empty() => {
            return invalid("password", "Server or user are others than before: give the password again.");
        }
        None => Secret::default(),
    };
    if email.username.is_empty() != password.is_empty() {
        let field = if email.username.is_empty() { "username" } else { "password" };
        return invalid(field, "User name and password belong together.");
    }
    Ok((Channel::Email(email), ChannelSecrets { password, ..ChannelSecrets::default() }))
}

fn by_webhook(
    mut shown: Webhook,
    url: Option<Secret>,
    signing_key: Option<Secret>,
    (headers, values): (Option<NamedSecrets>, Option<NamedSecrets>),
    before: Option<(&Webhook, &ChannelSecrets)>,
) -> Result<(Channel, ChannelSecrets), Refused> {
    let only = || shown.form.address().map(Secret::new);
    let kept = before.filter(|(before, _)| before.form == shown.form).map(|(_, kept)| kept.url.clone());
    let url = url.filter(|url| !url.is_empty()).or(kept).or_else(only).unwrap_or_default();
    let Some(place) = place_of(url.expose()) else {
        return invalid("url", NO_ADDRESS);
    };
    let nothing = ChannelSecrets::default();
    let stored = before.map_or(&nothing, |(_, secrets)| secrets);
    let is_elsewhere = before.is_some_and(|(before, _)| before.place != place);
    for (field, is_kept) in [
        ("signing_key", signing_key.is_none() && !stored.signing_key.is_empty()),
        ("headers", headers.is_none() && !stored.headers.is_empty()),
        ("secrets", values.is_none() && !stored.values.is_empty()),
    ] {
        if is_elsewhere && is_kept {
            return invalid(field, "The address leads to another machine: give this again, or give nothing.");
        }
    }
    let stored = if is_elsewhere { &nothing } else { stored };
    let secrets = ChannelSecrets {
        password: Secret::default(),
        signing_key: match signing_key {
            Some(key) => short("signing_key", key)?,
            None => stored.signing_key.clone(),
        },
        headers: named("headers", headers, &stored.headers, is_header)?,
        values: named("secrets", values, &stored.values, is_word)?,
        url,
    };
    let visible = |c: char| c.is_ascii_graphic() || c == ' ';
    if secrets.headers.values().any(|value| !value.expose().chars().all(visible)) {
        return invalid("headers", "A value of a header has letters, digits, signs and spaces only.");
    }
    if let Some(missing) = shown.form.needs().iter().find(|name| !secrets.values.contains_key(**name)) {
        return invalid("secrets", format!("This form needs the secret {missing}."));
    }
    shown.template = template(shown.form, shown.template)?;
    (shown.place, shown.is_signed) = (place, !secrets.signing_key.is_empty());
    shown.header_names = secrets.headers.keys().cloned().collect();
    shown.secret_names = secrets.values.keys().cloned().collect();
    shown.ca = authorities(&shown.ca)?;
    Ok((Channel::Webhook(shown), secrets))
}

/// Whether it is one that is read there is for whoever renders it to say.
fn template(form: WebhookForm, given: Option<BodyTemplate>) -> Result<Option<BodyTemplate>, Refused> {
    let Some(BodyTemplate { text, content_type }) = given.filter(|_| form == WebhookForm::Template) else {
        if form == WebhookForm::Template {
            return invalid("template", NO_TEMPLATE);
        }
        return Ok(None);
    };
    // As browsers send it.
    let text = text.replace("\r\n", "\n");
    if text.trim().is_empty() || text.len() > LONGEST_TEMPLATE {
        return invalid("template", NO_TEMPLATE);
    }
    let content_type = content_type.trim().to_owned();
    let is_fine = content_type.len() <= 100
        && content_type.split_once('/').is_some_and(|(kind, _)| !kind.is_empty())
        && content_type.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if !is_fine {
        return invalid("content_type", "Give a content type, such as application/json or text/plain.");
    }
    Ok(Some(BodyTemplate { text, content_type }))
}

fn named(
    field: &'static str,
    given: Option<NamedSecrets>,
    stored: &BTreeMap<String, Secret>,
    is_fine: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Secret>, Refused> {
    let Some(given) = given else { return Ok(stored.clone()) };
    if given.len() > MOST_NAMED {
        return invalid(field, format!("There are at most {MOST_NAMED}."));
    }
    let mut all = BTreeMap::new();
    for (name, value) in given {
        if !is_fine(&name) {
            return invalid(field, format!("{name:?} can't be a name here."));
        }
        let Some(value) = value.or_else(|| stored.get(&name).cloned()).filter(|value| !value.is_empty())
        else {
            return invalid(field, format!("Give the value of {name}: none is stored for this address."));
        };
        all.insert(name, short(field, value)?);
    }
    Ok(all)
}

fn short(field: &'static str, secret: Secret) -> Result<Secret, Refused> {
    if secret.expose().len() > LONGEST_SECRET {
        return invalid(field, format!("This is longer than {LONGEST_SECRET} bytes."));
    }
    Ok(secret)
}

fn is_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && !OWN_HEADERS.contains(&lower.as_str())
        && !lower.starts_with("x-holdfast-")
}

fn is_word(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn address(text: &str, field: &'static str) -> Result<String, Refused> {
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_graphic() && !"<>()[],;:\\\"@".contains(c);
    let is_fine = text.len() <= LONGEST_ADDRESS
        && text.split_once('@').is_some_and(|(local, domain)| {
            let is_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
            // Between points there is something.
            let has_parts = |text: &str| text.split('.').all(|part| !part.is_empty());
            local.chars().all(is_plain)
                && has_parts(local)
                && domain.chars().all(is_domain)
                && has_parts(domain)
        });
    if is_fine {
        return Ok(text.to_owned());
    }
    invalid(field, format!("{text:?} is no e-mail address, such as backups@example.com."))
}

fn authorities(text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.contains("PRIVATE KEY-----") {
        return invalid("ca", "This holds a private key: give the certificate alone, and make a new key.");
    }
    let is_some = text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----");
    if text.len() > LONGEST_CA || !(text.is_empty() || is_some) {
        return invalid("ca", "Give the certificate of the authority in PEM, at most 32 KiB.");
    }
    Ok(text.to_owned())
}

fn is_this_machine(server: &str) -> bool {
    let address = server.parse::<std::net::IpAddr>();
    server == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Scheme, machine and port of an address: what may be shown of it. `None` = it can't be used.
fn place_of(url: &str) -> Option<String> {
    if url.len() > LONGEST_URL || !url.chars().all(|c| c.is_ascii_graphic()) || url.contains('#') {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let machine = rest.split(['/', '?']).next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let is_fine = matches!(scheme.as_str(), "http" | "https")
        && machine.chars().all(is_plain)
        && machine.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
    is_fine.then(|| format!("{scheme}://{}", machine.to_ascii_lowercase()))
}

/// A name of a time zone.
pub(super) fn check_zone(timezone: &str) -> Result<(), Refused> {
    if Calendar::knows(timezone) {
        return Ok(());
    }
    let why = format!("There is no time zone {timezone:?}: give a name such as Europe/Helsinki, or UTC.");
    invalid("timezone", why)
}

/// The quiet hours of a route.
pub(super) fn quiet(input: &RouteInput) -> Result<Option<QuietHours>, Refused> {
    let Some(window) = window(&input.quiet_from, &input.quiet_until, ("quiet_from", "quiet_until"))? else {
        return Ok(None);
    };
    let timezone = input.timezone.trim();
    check_zone(timezone)?;
    Ok(Some(QuietHours { window, timezone: timezone.to_owned() }))
}

fn sorted(words: &[String]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|word| word.trim().to_owned()).collect();
    words.sort();
    words.dedup();
    words
}

fn labels(given: &[String]) -> Result<Vec<String>, Refused> {
    let labels = sorted(given);
    if labels.len() > MOST_WORDS || labels.iter().any(|label| !name::is_valid(label)) {
        return invalid("labels", "A label has letters, digits, and . _ - between them; at most 64.");
    }
    Ok(labels)
}

/// The labels and the causes of a route.
pub(super) fn words(input: &RouteInput) -> Result<(Vec<String>, Vec<String>), Refused> {
    let (labels, causes) = (labels(&input.labels)?, sorted(&input.causes));
    let known = Cause::codes();
    if let Some(unknown) = causes.iter().find(|code| !known.contains(code.as_str())) {
        let meant = nearest(unknown, &known);
        return invalid("causes", format!("There is no cause {unknown:?}: did you mean {meant:?}?"));
    }
    if causes.len() > MOST_WORDS {
        return invalid("causes", "These are more than 64 causes: leave all out for all.");
    }
    Ok((labels, causes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email() -> Email {
        Email {
            server: "mail.example.com".to_owned(),
            port: 587,
            security: MailSecurity::StartTls,
            username: "holdfast".to_owned(),
            from: "holdfast@example.com".to_owned(),
            to: vec!["ada@example.com".to_owned()],
            ca: String::new(),
        }
    }

    fn mailed(email: Email, password: Option<&str>) -> ChannelInput {
        ChannelInput::Email { email, password: password.map(Secret::new) }
    }

    fn hook(form: WebhookForm, url: Option<&str>, headers: Option<&[(&str, Option<&str>)]>) -> ChannelInput {
        ChannelInput::Webhook {
            form,
            url: url.map(Secret::new),
            signing_key: None,
            headers: headers.map(|all| {
                all.iter().map(|(name, value)| ((*name).to_owned(), value.map(Secret::new))).collect()
            }),
            secrets: None,
            template: None,
            ca: String::new(),
        }
    }

    fn field(input: ChannelInput) -> Option<&'static str> {
        channel(input, None).err().and_then(|refused| refused.field())
    }

    #[test]
    fn a_mail_channel_is_read_and_what_is_wrong_names_its_field() {
        let (read, secrets) = channel(mailed(email(), Some("pw")), None).unwrap();
        assert_eq!((read, secrets.password.expose()), (Channel::Email(email()), "pw"));
        let wrong = |change: fn(&mut Email)| {
            let mut email = email();
            change(&mut email);
            field(mailed(email, Some("pw")))
        };
        assert_eq!(wrong(|email| email.server = "mail example".to_owned()), Some("server"));
        assert_eq!(wrong(|email| email.port = 0), Some("port"));
        assert_eq!(wrong(|email| email.security = MailSecurity::Plain), Some("security"));
        assert_eq!(wrong(|email| email.from = "holdfast".to_owned()), Some("from"));
        assert_eq!(wrong(|email| email.to = vec!["a@b\r\nBcc: c@d".to_owned()]), Some("to"));
        for odd in ["a@b..c", ".a@b.c", "a.@b.c", "a..b@c.d", "a@.c", "a@c.", "a@c_d", "a@c/d"] {
            assert!(address(odd, "to").is_err(), "{odd}");
        }
        assert_eq!(wrong(|email| email.to.clear()), Some("to"));
        assert_eq!(wrong(|email| email.ca = "-----BEGIN PRIVATE KEY-----".to_owned()), Some("ca"));
        assert_eq!(wrong(|email| email.username.clear()), Some("username"));
        assert_eq!(field(mailed(email(), None)), Some("password"));
        let local = Email {
            server: "127.0.0.1".to_owned(),
            security: MailSecurity::Plain,
            username: String::new(),
            ..email()
        };
        assert!(channel(mailed(local, None), None).is_ok());
    }

    #[test]
    fn a_password_stays_with_its_server_and_user() {
        let (shown, secrets) = channel(mailed(email(), Some("pw")), None).unwrap();
        let again = |email| channel(mailed(email, None), Some((&shown, &secrets)));
        assert_eq!(again(Email { to: vec!["b@c".to_owned()], ..email() }).unwrap().1, secrets);
        for other in [
            Email { server: "evil.example".to_owned(), ..email() },
            Email { username: "other".to_owned(), ..email() },
            Email { port: 25, ..email() },
        ] {
            assert_eq!(again(other).unwrap_err().field(), Some("password"));
        }
    }

    #[test]
    fn of_a_webhook_only_scheme_and_machine_are_shown_and_secrets_stay_with_them() {
        let given = Some("https://Hooks.example:8443/services/T0/secret?token=x");
        let headers: &[_] = &[("X-Token", Some("abc"))];
        let (shown, secrets) = channel(hook(WebhookForm::Json, given, Some(headers)), None).unwrap();
        let Channel::Webhook(webhook) = &shown else { panic!("{shown:?}") };
        assert_eq!((webhook.place.as_str(), webhook.is_signed), ("https://hooks.example:8443", false));
        assert!(!format!("{shown:?}{secrets:?}").contains("secret?"));
        let before = Some((&shown, &secrets));
        assert_eq!(
            channel(hook(WebhookForm::Json, None, None), before).unwrap(),
            (shown.clone(), secrets.clone())
        );
        let path = Some("https://hooks.example:8443/other");
        let keep: &[_] = &[("X-Token", None)];
        let moved = channel(hook(WebhookForm::Json, path, Some(keep)), before).unwrap().1;
        assert_eq!(moved.headers, secrets.headers);
        // Elsewhere nothing is kept.
        let elsewhere = Some("https://evil.example/");
        let refused = channel(hook(WebhookForm::Json, elsewhere, Some(keep)), before).unwrap_err();
        assert_eq!(refused.field(), Some("headers"));
        let refused = channel(hook(WebhookForm::Json, elsewhere, None), before).unwrap_err();
        assert_eq!(refused.field(), Some("headers"));
        assert!(channel(hook(WebhookForm::Json, elsewhere, Some(&[])), before).unwrap().1.headers.is_empty());
    }

    #[test]
    fn what_is_no_webhook_is_refused() {
        for url in ["", "ftp://x/", "https://", "https://a@b/", "https://a b/", "https:///x", "https://x/#y"]
        {
            assert_eq!(field(hook(WebhookForm::Json, Some(url), None)), Some("url"), "{url}");
        }
        let url = Some("https://hooks.example");
        for (name, value) in
            [("Host", "x"), ("a b", "x"), ("X-Holdfast-Id", "x"), ("x", ""), ("x", "a\r\nb: c")]
        {
            let headers: &[_] = &[(name, Some(value))];
            assert_eq!(field(hook(WebhookForm::Json, url, Some(headers))), Some("headers"), "{name}");
        }
        assert_eq!(field(hook(WebhookForm::Telegram, None, None)), Some("secrets"));
    }
}
