//! Who signs in, and the accounts of all sorts.

use super::time::time;
use super::words;
use crate::format::rfc3339;
use crate::lockout::HeldUp;
use crate::refused_connection::RefusedConnection;
use fleet::Newcomer;
use fleet::record::{ApiToken, AuditEntry, AuditTarget, Operator, Secret, Viewer};
use schema::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
pub(crate) struct MeOut {
    pub(crate) name: String,
    /// A person's; a token has none.
    #[schema(value_type = Option<words::Role>)]
    pub(crate) role: Option<&'static str>,
    #[schema(value_type = Vec<words::Scope>)]
    pub(crate) scopes: Vec<&'static str>,
    /// For the header `X-CSRF-Token`; only in a browser session.
    pub(crate) csrf: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetUp)]
pub(crate) struct SetupIn {
    pub(crate) code: String,
    pub(crate) name: String,
    #[schema(value_type = String)]
    pub(crate) password: Secret,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignIn)]
pub(crate) struct LoginIn {
    pub(crate) name: String,
    #[schema(value_type = String)]
    pub(crate) password: Secret,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Operator)]
pub(crate) struct OperatorOut {
    name: String,
    #[schema(value_type = words::Role)]
    role: &'static str,
    created_at: String,
    signed_in_at: Option<String>,
}

impl From<Operator> for OperatorOut {
    fn from(operator: Operator) -> Self {
        Self {
            name: operator.name,
            role: operator.role.as_str(),
            created_at: rfc3339(operator.created_at),
            signed_in_at: time(operator.signed_in_at),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOperator)]
pub(crate) struct OperatorIn {
    pub(crate) name: String,
    #[schema(value_type = words::Role)]
    pub(crate) role: String,
    #[schema(value_type = String)]
    pub(crate) password: Secret,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperatorPatch {
    #[schema(value_type = Option<words::Role>)]
    pub(crate) role: Option<String>,
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenOut {
    id: String,
    name: String,
    #[schema(value_type = Vec<words::Scope>)]
    scopes: Vec<&'static str>,
    created_by: String,
    /// `operator`, `token` or `system`.
    #[schema(value_type = words::ActorKind)]
    created_by_kind: &'static str,
    created_at: String,
    used_at: Option<String>,
}

impl From<ApiToken> for TokenOut {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes.words().collect(),
            created_by: token.created_by.name().to_owned(),
            created_by_kind: token.created_by.kind(),
            created_at: rfc3339(token.created_at),
            used_at: time(token.used_at),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
pub(crate) struct TokenIn {
    pub(crate) name: String,
    #[schema(value_type = Vec<words::Scope>)]
    pub(crate) scopes: Vec<String>,
}

/// The secret is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenCreated {
    pub(crate) id: String,
    pub(crate) name: String,
    #[schema(value_type = Vec<words::Scope>)]
    pub(crate) scopes: Vec<&'static str>,
    pub(crate) token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Viewer)]
pub(crate) struct ViewerOut {
    name: String,
    debug: bool,
    created_by: String,
    /// `operator`, `token` or `system`.
    #[schema(value_type = words::ActorKind)]
    created_by_kind: &'static str,
    created_at: String,
}

impl From<Viewer> for ViewerOut {
    fn from(viewer: Viewer) -> Self {
        Self {
            name: viewer.name,
            debug: viewer.debug,
            created_by: viewer.created_by.name().to_owned(),
            created_by_kind: viewer.created_by.kind(),
            created_at: rfc3339(viewer.created_at),
        }
    }
}

/// An address or an account that has to wait after wrong passwords.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldUp)]
pub(crate) struct HeldUpOut {
    /// `pages` or `mqtt`.
    listener: &'static str,
    /// The address, or the /64 with IPv6; null = from everywhere.
    address: Option<String>,
    /// The account or host that is tried; null = one after the other, or one that does not exist.
    account: Option<String>,
    /// Tries that failed; at the broker those that were turned away.
    failures: u32,
    /// When the next one counts.
    until: String,
}

impl From<HeldUp> for HeldUpOut {
    fn from(held: HeldUp) -> Self {
        Self {
            listener: held.listener,
            address: held.origin,
            account: held.account,
            failures: held.failures,
            until: rfc3339(held.until),
        }
    }
}

/// A connection that the broker did not let in, with those like it.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedConnection)]
pub(crate) struct RefusedConnectionOut {
    /// The address, or the /64 with IPv6.
    address: String,
    /// The name that it gave: a host's id, a token's id, a view account; null = it got not so far.
    name: Option<String>,
    /// What the host is called whose id that is; of a `newcomer` that is no host here what it was called by the server that enrolled
    /// it; null = it is not known.
    host_name: Option<String>,
    /// Of a `newcomer`: when the server that is lost enrolled the machine. null = it is none, or has not tried since this server was
    /// started.
    enrolled_at: Option<String>,
    /// Of a `newcomer`: what the machine calls itself.
    hostname: Option<String>,
    /// `unknown_host`, `host_password`, `quarantined`, `unknown_token`, `token_password`, `token_expired`, `view_account`,
    /// `no_login`, `client_id`, `others_client_id`, `will`, `will_topic`, `will_qos`, `web_socket`, `account_full`, `viewers_full`,
    /// `version`, `not_mqtt`, `untrusted`, `no_tls` or `newcomer`.
    reason: &'static str,
    /// The same in words.
    reason_text: &'static str,
    tries: u64,
    first_at: String,
    last_at: String,
    /// When it was let in after the last of them: it is over. null = it was not.
    let_in_at: Option<String>,
}

impl RefusedConnectionOut {
    pub(crate) fn new(
        now: Timestamp,
        refused: RefusedConnection,
        host_name: Option<String>,
        newcomer: Option<&Newcomer>,
    ) -> Self {
        let ago = |ms| rfc3339(Timestamp(now.0.saturating_sub(ms)));
        Self {
            address: refused.origin,
            name: refused.name,
            host_name,
            enrolled_at: newcomer.map(|newcomer| rfc3339(newcomer.enrolled_at)),
            hostname: newcomer.map(|newcomer| newcomer.hostname.clone()),
            reason: refused.reason.code(),
            reason_text: refused.reason.words(),
            tries: refused.tries,
            first_at: ago(refused.first_ms_ago),
            last_at: ago(refused.last_ms_ago),
            let_in_at: refused.let_in_ms_ago.map(ago),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewViewer)]
pub(crate) struct ViewerIn {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) debug: bool,
}

/// The password is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ViewerCreated {
    pub(crate) name: String,
    pub(crate) password: String,
    /// Watches everything, by the listener without TLS where there is one (for the server's own machine, as a rule).
    /// With TLS it needs the server's certificate, which is at `/ca.pem`, as `holdfast-ca.pem`.
    pub(crate) command: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditOut {
    at: String,
    /// `operator`, `token`, `schedule`, `system` or `agent`.
    #[schema(value_type = words::ActorKind)]
    actor_kind: &'static str,
    actor: String,
    action: &'static str,
    #[schema(value_type = words::TargetKind)]
    target_kind: &'static str,
    target: String,
    target_id: Option<String>,
    peer: String,
    detail: String,
}

impl From<AuditEntry> for AuditOut {
    fn from(entry: AuditEntry) -> Self {
        let (target_kind, target, target_id) = match entry.target {
            AuditTarget::Server => ("server", "server".to_owned(), None),
            AuditTarget::Host(id, name) => ("host", name, Some(id.to_string())),
            AuditTarget::Job(_, id) => ("job", id.to_string(), Some(id.to_string())),
            AuditTarget::Account(name) => ("account", name, None),
            AuditTarget::Incident(id) => ("incident", id.to_string(), Some(id.to_string())),
        };
        Self {
            at: rfc3339(entry.at),
            actor_kind: entry.actor.kind(),
            actor: entry.actor.name().to_owned(),
            action: entry.action.code(),
            target_kind,
            target,
            target_id,
            peer: entry.peer,
            detail: entry.detail,
        }
    }
}
