//! Accounts: what the pages and the API do to them alike.

use crate::app::{App, Ctx};
use crate::password::objection;
use crate::problem::Problem;
use crate::server_facts::MqttListener;
use crate::sign_in::check_name;
use fleet::record::{Operator, Role, Scope, Scopes, Secret};
use fleet::{OperatorChange, Refused};
use std::net::IpAddr;

/// The role of a word.
pub(crate) fn role(word: &str) -> Result<Role, Problem> {
    Role::from_word(word).ok_or_else(|| Problem::invalid("role", "The role is viewer, operator or admin."))
}

/// The scopes of these words.
pub(crate) fn scopes(words: &[String]) -> Result<Scopes, Problem> {
    let scope = |word: &String| {
        Scope::from_word(word).ok_or_else(|| {
            let all = Scope::ALL.map(Scope::as_str).join(", ");
            Problem::invalid("scopes", format!("There is no scope {word:?}; there are: {all}."))
        })
    };
    words.iter().map(scope).collect()
}

/// A password that may be taken, hashed.
pub(crate) async fn hash(ctx: &Ctx, password: Secret) -> Result<String, Problem> {
    match objection(password.expose()) {
        Some(objection) => Err(Problem::invalid("password", objection)),
        None => Ok(ctx.app.passwords.hash(password).await?),
    }
}

/// The operator of this name.
pub(crate) async fn find_operator(ctx: &Ctx, name: &str) -> Result<Operator, Problem> {
    let name = name.to_owned();
    let found = ctx.read(move |_, state| Ok(state.operator(&name)?));
    Ok(found.await?.ok_or(Refused::AccountNotFound)?)
}

/// Makes an operator.
pub(crate) async fn create_operator(
    ctx: &Ctx,
    name: &str,
    role: Role,
    password: Secret,
) -> Result<Operator, Problem> {
    check_name(name)?;
    let hash = hash(ctx, password).await?;
    Ok(ctx.app.fleet.create_operator(name, role, hash, ctx.by()).await?)
}

/// Changes the role or the password of an operator.
pub(crate) async fn update_operator(
    ctx: &Ctx,
    name: &str,
    role: Option<Role>,
    password: Option<Secret>,
) -> Result<Operator, Problem> {
    let password_hash = match password {
        Some(password) => Some(hash(ctx, password).await?),
        None => None,
    };
    let change = OperatorChange { role, password_hash, ..OperatorChange::default() };
    Ok(ctx.app.fleet.update_operator(name, change, ctx.by()).await?)
}

/// The lines that show the view tree, each with what it needs, the simplest first. They hold the password, so they
/// are for the one answer that does.
pub(crate) fn view_commands(app: &App, name: &str, password: &str) -> Vec<(&'static str, String)> {
    let mut listeners: Vec<&MqttListener> = app.settings.server.mqtt.iter().collect();
    listeners.sort_by_key(|listener| listener.tls);
    let line = |listener: &MqttListener| {
        let (host, port) = schema::address::split(&listener.address).unwrap_or((&listener.address, 1883));
        let tls = if listener.tls { " --cafile holdfast-ca.pem" } else { "" };
        let is_here =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let needs = match listener.tls {
            false if is_here => "Watch everything, on the server's own machine",
            false => "Watch everything, without TLS",
            true => {
                "Watch everything from anywhere; needs this server's certificate, /ca.pem, saved as holdfast-ca.pem"
            }
        };
        (needs, format!("mosquitto_sub -h {host} -p {port}{tls} -u {name} -P {password} -t 'hf/1/view/#' -v"))
    };
    listeners.into_iter().map(line).collect()
}
