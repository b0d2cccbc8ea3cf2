//! The form of a channel of notices, and its test.

use super::choice::Choice;
use super::notices::ChannelLine;
use super::problem_view::ProblemView;
use super::report_form::ReportFormView;
use crate::app::Ctx;
use crate::form::Form;
use crate::notice::fault;
use crate::notice_request::{checked, try_channel};
use crate::problem::Problem;
use crate::query::Query;
use crate::reading::Reading;
use crate::server_facts::Delivery;
use crate::template::View;
use crate::words::webhook_form;
use ::fleet::record::{
    BodyTemplate, Channel, ChannelFlags, Email, Healthchecks, Heartbeat, MailSecurity, Script, Secret,
    Watched, Webhook, WebhookForm,
};
use ::fleet::{ChannelInput, ChannelView, FleetState, NamedSecrets, Refused, Sent};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use serde::Serialize;

/// A script to choose.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScriptChoice {
    pub(crate) name: String,
    pub(crate) chosen: bool,
}

/// What came of a test.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TestLine {
    /// What was sent.
    pub(crate) what: &'static str,
    pub(crate) taken: bool,
    pub(crate) text: String,
    /// What the other side said; may be empty.
    pub(crate) said: String,
}

impl TestLine {
    pub(crate) fn of(what: &'static str, delivery: Delivery) -> Self {
        let (taken, text) = match delivery.sent {
            Sent::Taken => (true, "It was taken.".to_owned()),
            Sent::Partly { .. } => (true, "It was taken, but not by all addresses.".to_owned()),
            Sent::Refused { fault: why, .. } => (false, fault(why)),
        };
        Self { what, taken, text, said: delivery.said }
    }
}

/// The form: all as typed, but for secrets.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChannelFormView {
    /// The stored name; `None` = new.
    pub(crate) old_name: Option<String>,
    pub(crate) action: String,
    /// `email`, `webhook`, `heartbeat`, `script` or `healthchecks`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) on: bool,
    /// Its messages have links that acknowledge.
    pub(crate) acknowledges: bool,
    pub(crate) server: String,
    pub(crate) port: String,
    pub(crate) securities: Vec<Choice>,
    pub(crate) username: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) forms: Vec<Choice>,
    /// Where a stored webhook leads.
    pub(crate) place: Option<String>,
    pub(crate) signed: bool,
    /// Names of headers with a colon, one a line; stored values are not shown.
    pub(crate) headers: String,
    /// The same of the secrets of its form.
    pub(crate) secrets: String,
    /// What makes the body, and what that is called.
    pub(crate) template: String,
    pub(crate) content_type: String,
    /// How often a heartbeat comes, in minutes.
    pub(crate) every_minutes: String,
    /// Of what a check is.
    pub(crate) watched: Vec<Choice>,
    pub(crate) labels: String,
    /// The only host of which it is.
    pub(crate) host: String,
    /// The only source group of which it is.
    pub(crate) group: String,
    /// It gets the end of a backup's log.
    pub(crate) log: bool,
    /// The scripts to choose from.
    pub(crate) scripts: Vec<ScriptChoice>,
    pub(crate) ca: String,
    /// How it stands, of a stored one.
    pub(crate) line: Option<ChannelLine>,
    pub(crate) test: Option<TestLine>,
    /// When it is sent a report, where it can be.
    pub(crate) report: Option<ReportFormView>,
    pub(crate) problem: Option<ProblemView>,
}

impl View for ChannelFormView {
    const TEMPLATE: &'static str = "page/channel.html";
    const NAV: &'static str = "settings";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for ChannelFormView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let mail = Self {
            old_name: s.some("mail"),
            action: "/notices/channels/mail".to_owned(),
            kind: "email",
            name: s.text("mail"),
            on: true,
            acknowledges: true,
            server: s.text("mail.example.com"),
            port: s.text("587"),
            securities: securities("starttls"),
            username: s.text("holdfast"),
            from: s.text("holdfast@example.com"),
            to: s.text("ada@example.com"),
            forms: Vec::new(),
            place: None,
            signed: false,
            headers: String::new(),
            secrets: String::new(),
            template: s.text("{{ text }}"),
            content_type: s.text("text/plain"),
            every_minutes: s.text("5"),
            watched: Vec::new(),
            labels: String::new(),
            host: String::new(),
            group: String::new(),
            log: false,
            scripts: Vec::new(),
            ca: s.text("-----BEGIN CERTIFICATE-----"),
            line: Some(ChannelLine::sample(s)),
            test: Some(TestLine {
                what: "The test",
                taken: false,
                text: "The mail server refused it with code 535.".to_owned(),
                said: s.text("535 authentication failed"),
            }),
            report: Some(ReportFormView::sample(s, None)),
            problem: None,
        };
        let hook = Self {
            old_name: None,
            action: "/notices/channels".to_owned(),
            kind: "webhook",
            securities: Vec::new(),
            forms: forms("ntfy"),
            place: s.some("https://ntfy.example.com"),
            signed: true,
            headers: s.text("X-Token:"),
            secrets: s.text("topic:"),
            line: None,
            report: None,
            test: Some(TestLine {
                what: "The report",
                taken: true,
                text: "It was taken.".to_owned(),
                said: s.text("ok"),
            }),
            ..mail.clone()
        };
        let wrong =
            |view: &Self, field| Self { problem: Some(ProblemView::sample(s, field)), ..view.clone() };
        let beat = Self {
            kind: "heartbeat",
            forms: Vec::new(),
            place: s.some("https://hc-ping.com"),
            headers: String::new(),
            secrets: String::new(),
            ..hook.clone()
        };
        let script = Self {
            kind: "script",
            scripts: vec![ScriptChoice { name: s.text("pager"), chosen: true }],
            ..beat.clone()
        };
        let checks = Self {
            kind: "healthchecks",
            watched: watched("group"),
            labels: s.text("nas"),
            host: s.text("web-1"),
            group: s.text("docs"),
            log: true,
            ..beat.clone()
        };
        let no_script = Self { scripts: Vec::new(), ..script.clone() };
        let mut views = vec![mail.clone(), hook.clone(), beat.clone(), script.clone(), no_script];
        views.push(wrong(&script, "script"));
        views.push(checks.clone());
        let of_checks = ["url", "of", "labels", "host", "group", "every_minutes"];
        views.extend(of_checks.map(|field| wrong(&checks, field)));
        views.extend(["url", "every_minutes"].map(|field| wrong(&beat, field)));
        let of_report = ["state", "every", "day", "at", "timezone"]
            .map(|field| Self { report: Some(ReportFormView::sample(s, Some(field))), ..mail.clone() });
        views.extend(of_report);
        let of_mail = ["name", "server", "port", "security", "username", "password", "from", "to", "ca"];
        views.extend(of_mail.map(|field| wrong(&mail, field)));
        views.extend(
            ["form", "url", "signing_key", "headers", "secrets", "template", "content_type", "ca"]
                .map(|field| wrong(&hook, field)),
        );
        views
    }
}

fn securities(chosen: &str) -> Vec<Choice> {
    let label = |security| match security {
        MailSecurity::StartTls => "STARTTLS",
        MailSecurity::Tls => "TLS",
        MailSecurity::Plain => "none: a mail server on this machine",
    };
    let choice = |security: MailSecurity| Choice {
        word: security.as_str(),
        label: label(security).to_owned(),
        chosen: security.as_str() == chosen,
    };
    MailSecurity::ALL.map(choice).into()
}

fn forms(chosen: &str) -> Vec<Choice> {
    let choice = |form: WebhookForm| {
        let needs = form.needs().join(", ");
        Choice {
            word: form.as_str(),
            label: match needs.as_str() {
                "" => webhook_form(form).to_owned(),
                needs => format!("{} (needs {needs})", webhook_form(form)),
            },
            chosen: form.as_str() == chosen,
        }
    };
    WebhookForm::ALL.map(choice).into()
}

fn watched(chosen: &str) -> Vec<Choice> {
    let label = |of| match of {
        Watched::Fleet => "all hosts together: whether they are well",
        Watched::Host => "a host: all its backups",
        Watched::Group => "a source group of a host: its backups",
    };
    let choice = |of: Watched| Choice {
        word: of.as_str(),
        label: label(of).to_owned(),
        chosen: of.as_str() == chosen,
    };
    Watched::ALL.map(choice).into()
}

/// What a channel can be; mail, where nothing else is said.
fn kind_of(word: &str) -> &'static str {
    ["webhook", "heartbeat", "script", "healthchecks"]
        .into_iter()
        .find(|known| *known == word)
        .unwrap_or("email")
}

/// The scripts of the server's configuration; one that is chosen and is not there any more is there still.
fn scripts(ctx: &Reading, chosen: &str) -> Vec<ScriptChoice> {
    let mut all = ctx.app.settings.notice_scripts.clone();
    if !chosen.is_empty() && !all.iter().any(|known| known == chosen) {
        all.push(chosen.to_owned());
    }
    all.into_iter().map(|name| ScriptChoice { chosen: name == chosen, name }).collect()
}

fn blank(ctx: &Reading, kind: &'static str) -> ChannelFormView {
    ChannelFormView {
        old_name: None,
        action: "/notices/channels".to_owned(),
        kind,
        name: String::new(),
        on: true,
        acknowledges: kind == "email",
        server: String::new(),
        port: "587".to_owned(),
        securities: securities("starttls"),
        username: String::new(),
        from: String::new(),
        to: String::new(),
        forms: forms("json"),
        place: None,
        signed: false,
        headers: String::new(),
        secrets: String::new(),
        template: String::new(),
        content_type: "application/json".to_owned(),
        every_minutes: "5".to_owned(),
        watched: watched("host"),
        labels: String::new(),
        host: String::new(),
        group: String::new(),
        log: true,
        scripts: scripts(ctx, ""),
        ca: String::new(),
        line: None,
        test: None,
        report: None,
        problem: None,
    }
}

fn named_lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}:\n")).collect::<String>().trim_end().to_owned()
}

pub(crate) fn stored(ctx: &Reading, channel: &ChannelView) -> ChannelFormView {
    let view = ChannelFormView {
        old_name: Some(channel.name.clone()),
        action: format!("/notices/channels/{}", channel.name),
        name: channel.name.clone(),
        on: channel.flags.is_on,
        acknowledges: channel.flags.acknowledges,
        line: Some(ChannelLine::new(ctx.now(), channel)),
        report: ReportFormView::new(ctx.now(), channel),
        ..blank(ctx, channel.channel.kind())
    };
    match &channel.channel {
        Channel::Email(Email { server, port, security, username, from, to, ca }) => ChannelFormView {
            server: server.clone(),
            port: port.to_string(),
            securities: securities(security.as_str()),
            username: username.clone(),
            from: from.clone(),
            to: to.join("\n"),
            ca: ca.clone(),
            ..view
        },
        Channel::Script(Script { name }) => ChannelFormView { scripts: scripts(ctx, name), ..view },
        Channel::Webhook(Webhook { form, place, header_names, secret_names, is_signed, template, ca }) => {
            let made_by = template.clone();
            ChannelFormView {
                template: made_by.as_ref().map(|it| it.text.clone()).unwrap_or_default(),
                content_type: made_by.map_or(view.content_type, |it| it.content_type),
                forms: forms(form.as_str()),
                place: Some(place.clone()),
                signed: *is_signed,
                headers: named_lines(header_names),
                secrets: named_lines(secret_names),
                ca: ca.clone(),
                ..view
            }
        }
        Channel::Heartbeat(Heartbeat { place, every_min, ca }) => ChannelFormView {
            place: Some(place.clone()),
            every_minutes: every_min.to_string(),
            ca: ca.clone(),
            ..view
        },
        Channel::Healthchecks(Healthchecks { place, of, labels, host, group, every_min, with_log, ca }) => {
            ChannelFormView {
                place: Some(place.clone()),
                watched: watched(of.as_str()),
                labels: labels.join(", "),
                host: channel.of_host.clone().or(host.map(|host| host.to_string())).unwrap_or_default(),
                group: group.clone(),
                every_minutes: every_min.to_string(),
                log: *with_log,
                ca: ca.clone(),
                ..view
            }
        }
    }
}

pub(crate) fn found(state: &FleetState, name: &str) -> Result<ChannelView, Problem> {
    let found = state.channels()?.into_iter().find(|channel| channel.name == name);
    Ok(found.ok_or(Refused::ChannelNotFound)?)
}

/// What was typed over what was there, without secrets.
fn typed(view: ChannelFormView, form: &Form, problem: &Problem) -> ChannelFormView {
    let names = |field| {
        let lines = form.lines(field);
        let names = lines.iter().map(|line| line.split(':').next().unwrap_or_default().trim().to_owned());
        named_lines(&names.collect::<Vec<_>>())
    };
    ChannelFormView {
        name: view.old_name.clone().unwrap_or_else(|| form.text("name")),
        on: form.has("on"),
        acknowledges: form.has("acknowledges"),
        server: form.text("server"),
        port: form.text("port"),
        securities: securities(&form.text("security")),
        username: form.text("username"),
        from: form.text("from"),
        to: form.raw("to").to_owned(),
        forms: forms(&form.text("form")),
        headers: names("headers"),
        secrets: names("secrets"),
        template: form.raw("template").to_owned(),
        content_type: form.text("content_type"),
        every_minutes: form.text("every_minutes"),
        watched: watched(&form.text("of")),
        labels: form.raw("labels").to_owned(),
        host: form.raw("host").to_owned(),
        group: form.raw("group").to_owned(),
        log: form.has("log"),
        scripts: view
            .scripts
            .into_iter()
            .map(|it| ScriptChoice { chosen: it.name == form.raw("script"), ..it })
            .collect(),
        ca: form.raw("ca").to_owned(),
        problem: Some(ProblemView::from(problem)),
        ..view
    }
}

/// `name: value`, one a line; without a value the stored one is meant.
fn named(form: &Form, field: &'static str) -> Result<NamedSecrets, Problem> {
    let mut all = NamedSecrets::new();
    for line in form.lines(field) {
        let Some((name, value)) = line.split_once(':') else {
            return Err(Problem::invalid(field, "Each line is a name, a colon, and a value."));
        };
        let value = Some(value.trim()).filter(|value| !value.is_empty()).map(Secret::new);
        all.insert(name.trim().to_owned(), value);
    }
    Ok(all)
}

fn flags(form: &Form) -> ChannelFlags {
    ChannelFlags { is_on: form.has("on"), acknowledges: form.has("acknowledges") }
}

fn input(form: &Form) -> Result<ChannelInput, Problem> {
    if form.raw("kind") == "email" {
        let security = MailSecurity::from_word(&form.text("security"))
            .ok_or_else(|| Problem::invalid("security", "Choose one of these."))?;
        let email = Email {
            server: form.text("server"),
            port: form.number("port")?,
            security,
            username: form.text("username"),
            from: form.text("from"),
            to: form.words("to"),
            ca: form.text("ca"),
        };
        return Ok(ChannelInput::Email { email, password: form.secret("password") });
    }
    if form.raw("kind") == "script" {
        return Ok(ChannelInput::Script { name: form.text("script") });
    }
    if form.raw("kind") == "heartbeat" {
        let every_min = form.number("every_minutes")?;
        return Ok(ChannelInput::Heartbeat { url: form.secret("url"), every_min, ca: form.text("ca") });
    }
    if form.raw("kind") == "healthchecks" {
        let of = Watched::from_word(&form.text("of"))
            .ok_or_else(|| Problem::invalid("of", "Choose one of these."))?;
        return Ok(ChannelInput::Healthchecks {
            url: form.secret("url"),
            of,
            labels: form.words("labels"),
            host: form.text("host"),
            group: form.text("group"),
            every_min: form.number("every_minutes")?,
            with_log: form.has("log"),
            ca: form.text("ca"),
        });
    }
    let kind = WebhookForm::from_word(&form.text("form"))
        .ok_or_else(|| Problem::invalid("form", "Choose one of these."))?;
    let unsigned = form.has("unsigned").then(Secret::default);
    Ok(ChannelInput::Webhook {
        form: kind,
        url: form.secret("url"),
        signing_key: unsigned.or_else(|| form.secret("signing_key")),
        headers: Some(named(form, "headers")?),
        secrets: Some(named(form, "secrets")?),
        template: (kind == WebhookForm::Template).then(|| BodyTemplate {
            text: form.raw("template").to_owned(),
            content_type: form.text("content_type"),
        }),
        ca: form.text("ca"),
    })
}

/// `GET /notices/new-channel`.
pub(crate) async fn new(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    let kind = kind_of(query.get("kind").unwrap_or_default());
    ctx.read(move |ctx, _| ctx.page(&blank(ctx, kind))).await
}

/// `POST /notices/channels`.
pub(crate) async fn create(ctx: Ctx, form: Form) -> Result<Response<Body>, Problem> {
    match created(&ctx, &form).await {
        Ok(name) => Ok(ctx.go(&format!("/notices/channels/{name}"))),
        Err(problem) if problem.is_about_input() => {
            let kind = kind_of(form.raw("kind"));
            ctx.answer(move |ctx, _| ctx.page_with(problem.status, &typed(blank(ctx, kind), &form, &problem)))
                .await
        }
        Err(problem) => Err(problem),
    }
}

async fn created(ctx: &Ctx, form: &Form) -> Result<String, Problem> {
    let name = form.text("name");
    let input = checked(ctx, input(form)?)?;
    ctx.app.fleet.add_channel(name.clone(), flags(form), input, ctx.by()).await?;
    Ok(name)
}

/// `GET /notices/channels/{name}`.
pub(crate) async fn edit(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| ctx.page(&stored(ctx, &found(state, &name)?))).await
}

/// `POST /notices/channels/{name}`.
pub(crate) async fn update(
    ctx: Ctx,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response<Body>, Problem> {
    match changed(&ctx, &name, &form).await {
        Ok(()) => Ok(ctx.go(&format!("/notices/channels/{name}"))),
        Err(problem) if problem.is_about_input() => {
            ctx.answer(move |ctx, state| {
                let view = stored(ctx, &found(state, &name)?);
                ctx.page_with(problem.status, &typed(view, &form, &problem))
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

async fn changed(ctx: &Ctx, name: &str, form: &Form) -> Result<(), Problem> {
    let input = checked(ctx, input(form)?)?;
    Ok(ctx.app.fleet.change_channel(name.to_owned(), flags(form), input, ctx.by()).await?)
}

/// `POST /notices/channels/{name}/test`.
pub(crate) async fn test(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    let test = Some(TestLine::of("The test", try_channel(&ctx, &name).await?));
    ctx.answer(move |ctx, state| {
        let view = stored(ctx, &found(state, &name)?);
        ctx.page_with(StatusCode::OK, &ChannelFormView { test, ..view })
    })
    .await
}

/// `POST /notices/channels/{name}/delete`.
pub(crate) async fn delete(ctx: Ctx, Path(name): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.app.fleet.delete_channel(name, ctx.by()).await?;
    Ok(ctx.go("/notices"))
}
