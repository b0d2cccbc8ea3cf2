//! Operators, their sessions, API tokens, MQTT viewers. Secrets are stored by their SHA-256: they are minted here
//! with 128 bits or more. Passwords, which are not, come hashed (argon2id) from the caller.

use crate::audit;
use crate::change::Changed;
use crate::context::sha256;
use crate::fleet::Fleet;
use crate::hosts::check_name;
use crate::op::Op;
use crate::record::{
    Actor, ApiToken, AuditAction, AuditEntry, AuditTarget, Operator, Role, Scopes, Secret, Session, Viewer,
};
use crate::refused::{Refused, StoreError};
use crate::request::{By, OperatorChange};
use crate::store::{API_TOKENS, OPERATORS, Reads, SESSIONS, Span, Tx, VIEWERS};
use schema::{Timestamp, TokenId};
use subtle::ConstantTimeEq;

/// A session ends when it was not used for this long…
pub(crate) const SESSION_IDLE_MS: u64 = 7 * 86_400_000;
/// …and in any case after this long.
pub(crate) const SESSION_LIVES_MS: u64 = 30 * 86_400_000;
/// How often use is written down.
const TOUCH_EVERY_MS: u64 = 60_000;
const MAX_TOKENS: usize = 1_000;

impl Fleet {
    /// The code of the set-up link, while there is no account. The same at each start until then.
    #[allow(clippy::unused_async, reason = "part of the agreed interface; may read from elsewhere one day")]
    pub async fn setup_code(&self) -> Result<Option<Secret>, StoreError> {
        // Where nothing is written any more there is no first account either.
        let is_closed = self.only_reads() || !self.view()?.keys(&OPERATORS, &Span::ALL, 1)?.is_empty();
        Ok((!is_closed).then(|| Secret::new(self.context().master.setup_code())))
    }

    /// Makes the first account, an admin.
    pub async fn set_up(
        &self,
        code: &str,
        name: &str,
        password_hash: String,
        by: By,
    ) -> Result<Operator, Refused> {
        let (code, name) = (Secret::new(code), name.to_owned());
        self.write(by, move |op| {
            if !op.tx.keys(&OPERATORS, &Span::ALL, 1)?.is_empty() {
                return Err(Refused::SetupClosed);
            }
            let fits = op.facts.master.setup_code().as_bytes().ct_eq(code.expose().trim().as_bytes());
            if !bool::from(fits) {
                return Err(Refused::SetupCode);
            }
            let operator = new_operator(&name, Role::Admin, &password_hash, op.now)?;
            op.tx.put(&OPERATORS, &name, &operator)?;
            let by = By { actor: Actor::Operator(name.clone()), peer: op.by.peer.clone() };
            account_changed(&mut op.as_by(&by), AuditAction::SetupDone, &name, "")?;
            Ok(operator)
        })
        .await
    }

    /// Adds an account.
    pub async fn create_operator(
        &self,
        name: &str,
        role: Role,
        password_hash: String,
        by: By,
    ) -> Result<Operator, Refused> {
        let name = name.to_owned();
        self.write(by, move |op| {
            let operator = new_operator(&name, role, &password_hash, op.now)?;
            if find_name(op.tx, &name)?.is_some() {
                return Err(Refused::NameTaken { name: name.clone() });
            }
            op.tx.put(&OPERATORS, &name, &operator)?;
            account_changed(op, AuditAction::OperatorCreated, &name, role.as_str())?;
            Ok(operator)
        })
        .await
    }

    /// Changes an account. The last admin stays admin; a new password ends the account's sessions.
    pub async fn update_operator(
        &self,
        name: &str,
        change: OperatorChange,
        by: By,
    ) -> Result<Operator, Refused> {
        let name = name.to_owned();
        self.write(by, move |op| update_operator(op, &name, &change)).await
    }

    /// Deletes an account and ends its sessions.
    pub async fn delete_operator(&self, name: &str, by: By) -> Result<(), Refused> {
        let name = name.to_owned();
        self.write(by, move |op| {
            let operator = op.tx.get(&OPERATORS, &name)?.ok_or(Refused::AccountNotFound)?;
            check_not_last_admin(op.tx, &operator)?;
            op.tx.remove(&OPERATORS, &name)?;
            end_sessions(op.tx, &name)?;
            Ok(account_changed(op, AuditAction::OperatorDeleted, &name, "")?)
        })
        .await
    }

    /// Opens a session for an account that has shown its password. Returns the cookie.
    pub async fn open_session(&self, operator: &str, peer: &str) -> Result<(Secret, Session), Refused> {
        let name = operator.to_owned();
        let by = By { actor: Actor::Operator(name.clone()), peer: peer.to_owned() };
        self.write_in_passing(by, move |op| {
            let mut operator = op.tx.get(&OPERATORS, &name)?.ok_or(Refused::AccountNotFound)?;
            let cookie = op.facts.mint::<32>("");
            let csrf = op.facts.mint::<20>("").expose().to_owned();
            let session = Session { operator: name.clone(), created_at: op.now, used_at: op.now, csrf };
            op.tx.put(&SESSIONS, &sha256(cookie.expose()), &session)?;
            operator.signed_in_at = Some(op.now);
            op.tx.put(&OPERATORS, &name, &operator)?;
            account_changed(op, AuditAction::SessionOpened, &name, "")?;
            Ok((cookie, session))
        })
        .await
    }

    /// Notes that a session is used.
    pub async fn touch_session(&self, cookie: &str) {
        let (key, now) = (sha256(cookie), self.now());
        let session = self.view().and_then(|view| view.get(&SESSIONS, &key));
        let Ok(Some(session)) = session else { return };
        if !is_due(Some(session.used_at), now) {
            return;
        }
        let touched = self.write_in_passing(By::system(), move |op| {
            if let Some(session) = op.tx.get(&SESSIONS, &key)? {
                op.tx.put(&SESSIONS, &key, &Session { used_at: now, ..session })?;
            }
            Ok(())
        });
        log_failure(touched.await);
    }

    /// Ends a session, asked from that address.
    pub async fn close_session(&self, cookie: &str, peer: String) {
        let key = sha256(cookie);
        let closed = self.write_in_passing(By { peer, ..By::system() }, move |op| {
            let Some(session) = op.tx.get(&SESSIONS, &key)? else { return Ok(()) };
            op.tx.remove(&SESSIONS, &key)?;
            let by = By { actor: Actor::Operator(session.operator.clone()), peer: op.by.peer.clone() };
            Ok(account_changed(&mut op.as_by(&by), AuditAction::SessionClosed, &session.operator, "")?)
        });
        log_failure(closed.await);
    }

    /// Makes a token for the HTTP API. Its text is shown once.
    pub async fn create_api_token(
        &self,
        name: &str,
        scopes: Scopes,
        by: By,
    ) -> Result<(ApiToken, Secret), Refused> {
        let name = name.to_owned();
        self.write(by, move |op| {
            check_name(&name)?;
            if scopes.is_empty() {
                return Err(Refused::invalid("scopes", "a token needs one scope at least"));
            }
            let known = op.tx.rows(&API_TOKENS, &Span::ALL)?;
            if known.iter().any(|(_, token)| token.name == name) {
                return Err(Refused::NameTaken { name: name.clone() });
            }
            if known.len() >= MAX_TOKENS {
                return Err(Refused::invalid(
                    "name",
                    format!("there are {MAX_TOKENS} tokens; delete some first"),
                ));
            }
            let secret = op.facts.mint::<20>("hft_");
            let token = ApiToken {
                id: TokenId::new(op.now, op.facts.random()).to_string(),
                name: name.clone(),
                scopes,
                created_by: op.by.actor.clone(),
                created_at: op.now,
                used_at: None,
            };
            op.tx.put(&API_TOKENS, &sha256(secret.expose()), &token)?;
            account_changed(op, AuditAction::TokenCreated, &name, &scopes.to_string())?;
            Ok((token, secret))
        })
        .await
    }

    /// Notes that a token is used.
    pub async fn touch_api_token(&self, secret: &str) {
        let (key, now) = (sha256(secret), self.now());
        let token = self.view().and_then(|view| view.get(&API_TOKENS, &key));
        let Ok(Some(token)) = token else { return };
        if !is_due(token.used_at, now) {
            return;
        }
        let touched = self.write(By::system(), move |op| {
            if let Some(token) = op.tx.get(&API_TOKENS, &key)? {
                op.tx.put(&API_TOKENS, &key, &ApiToken { used_at: Some(now), ..token })?;
            }
            Ok(())
        });
        log_failure(touched.await);
    }

    /// Deletes a token, by its public id.
    pub async fn delete_api_token(&self, id: &str, by: By) -> Result<(), Refused> {
        let id = id.to_owned();
        self.write(by, move |op| {
            let known = op.tx.rows(&API_TOKENS, &Span::ALL)?;
            let (key, token) =
                known.into_iter().find(|(_, token)| token.id == id).ok_or(Refused::AccountNotFound)?;
            op.tx.remove(&API_TOKENS, &key)?;
            Ok(account_changed(op, AuditAction::TokenDeleted, &token.name, "")?)
        })
        .await
    }

    /// Makes an MQTT account that may look at the view tree. Its password is shown once.
    pub async fn create_viewer(&self, name: &str, debug: bool, by: By) -> Result<(Viewer, Secret), Refused> {
        let name = name.to_owned();
        self.write(by, move |op| {
            check_name(&name)?;
            if op.tx.has(&VIEWERS, &name)? {
                return Err(Refused::NameTaken { name: name.clone() });
            }
            let password = op.facts.mint::<20>("");
            let viewer = Viewer {
                name: name.clone(),
                password_sha256: sha256(password.expose()),
                debug,
                created_by: op.by.actor.clone(),
                created_at: op.now,
            };
            op.tx.put(&VIEWERS, &name, &viewer)?;
            account_changed(op, AuditAction::ViewerCreated, &name, if debug { "debug" } else { "" })?;
            Ok((viewer, password))
        })
        .await
    }

    /// Deletes an MQTT account.
    pub async fn delete_viewer(&self, name: &str, by: By) -> Result<(), Refused> {
        let name = name.to_owned();
        self.write(by, move |op| {
            if !op.tx.has(&VIEWERS, &name)? {
                return Err(Refused::AccountNotFound);
            }
            op.tx.remove(&VIEWERS, &name)?;
            Ok(account_changed(op, AuditAction::ViewerDeleted, &name, "")?)
        })
        .await
    }

    /// Writes an audit entry of the caller's own (a refused login, a refused topic).
    pub async fn audit(&self, entry: AuditEntry) {
        log_failure(self.write(By::system(), move |op| Ok(audit::write(op.tx, &entry)?)).await);
    }
}

pub(crate) fn log_failure(result: Result<(), Refused>) {
    match result {
        // That is told elsewhere, and each use would tell it again.
        Ok(()) | Err(Refused::Store(StoreError::OnlyReads) | Refused::Superseded { .. }) => {}
        Err(error) => tracing::error!(%error, "an account's use could not be noted"),
    }
}

fn is_due(used_at: Option<Timestamp>, now: Timestamp) -> bool {
    used_at.is_none_or(|at| now < at || now.ms_since(at) >= TOUCH_EVERY_MS)
}

/// Whether a session may still be used.
pub(crate) fn lives(session: &Session, now: Timestamp) -> bool {
    now.ms_since(session.used_at) < SESSION_IDLE_MS && now.ms_since(session.created_at) < SESSION_LIVES_MS
}

/// The session of a cookie and its account, while it lives.
pub(crate) fn session(
    reads: &impl Reads,
    cookie: &str,
    now: Timestamp,
) -> Result<Option<(Session, Operator)>, StoreError> {
    let session = reads.get(&SESSIONS, &sha256(cookie))?.filter(|session| lives(session, now));
    let Some(session) = session else { return Ok(None) };
    Ok(reads.get(&OPERATORS, &session.operator)?.map(|operator| (session, operator)))
}

fn account_changed(
    op: &mut Op<'_, '_>,
    action: AuditAction,
    name: &str,
    detail: &str,
) -> Result<(), StoreError> {
    audit::note(op, action, AuditTarget::Account(name.to_owned()), detail)?;
    op.tx.effects.changed(Changed::Accounts);
    Ok(())
}

fn new_operator(name: &str, role: Role, password_hash: &str, now: Timestamp) -> Result<Operator, Refused> {
    check_name(name)?;
    check_hash(password_hash)?;
    Ok(Operator {
        name: name.to_owned(),
        role,
        password_hash: password_hash.to_owned(),
        created_at: now,
        signed_in_at: None,
        theme: "system".to_owned(),
    })
}

/// A mistake of the caller must not store a password in clear.
fn check_hash(text: &str) -> Result<(), Refused> {
    if text.starts_with("$argon2id$") {
        return Ok(());
    }
    Err(Refused::invalid("password", "the password was not hashed; nothing was stored"))
}

/// The account of this name, in whatever letters.
fn find_name(reads: &impl Reads, name: &str) -> Result<Option<Operator>, StoreError> {
    let operators = reads.rows(&OPERATORS, &Span::ALL)?;
    Ok(operators
        .into_iter()
        .map(|(_, operator)| operator)
        .find(|known| known.name.eq_ignore_ascii_case(name)))
}

fn update_operator(op: &mut Op<'_, '_>, name: &str, change: &OperatorChange) -> Result<Operator, Refused> {
    let name = name.to_owned();
    let before = op.tx.get(&OPERATORS, &name)?.ok_or(Refused::AccountNotFound)?;
    let mut after = before.clone();
    if let Some(role) = change.role {
        if role != Role::Admin {
            check_not_last_admin(op.tx, &before)?;
        }
        after.role = role;
    }
    if let Some(hash) = &change.password_hash {
        check_hash(hash)?;
        after.password_hash.clone_from(hash);
    }
    if let Some(theme) = &change.theme {
        if !matches!(theme.as_str(), "system" | "light" | "dark") {
            return Err(Refused::invalid("theme", "choose system, light or dark"));
        }
        after.theme.clone_from(theme);
    }
    after.signed_in_at = change.signed_in_at.or(before.signed_in_at);
    if after == before {
        return Ok(after);
    }
    op.tx.put(&OPERATORS, &name, &after)?;
    if after.password_hash != before.password_hash {
        end_sessions(op.tx, &name)?;
        account_changed(op, AuditAction::OperatorPassword, &name, "")?;
    }
    if after.role != before.role {
        account_changed(op, AuditAction::OperatorRole, &name, after.role.as_str())?;
    }
    op.tx.effects.changed(Changed::Accounts);
    Ok(after)
}

fn check_not_last_admin(reads: &impl Reads, operator: &Operator) -> Result<(), Refused> {
    if operator.role != Role::Admin {
        return Ok(());
    }
    let operators = reads.rows(&OPERATORS, &Span::ALL)?;
    let others =
        operators.iter().filter(|(_, other)| other.role == Role::Admin && other.name != operator.name);
    if others.count() == 0 { Err(Refused::LastAdmin) } else { Ok(()) }
}

fn end_sessions(tx: &mut Tx<'_>, operator: &str) -> Result<(), StoreError> {
    for (key, session) in tx.rows(&SESSIONS, &Span::ALL)? {
        if session.operator == operator {
            tx.remove(&SESSIONS, &key)?;
        }
    }
    Ok(())
}

/// Removes sessions that have ended.
pub(crate) fn sweep_sessions(op: &mut Op<'_, '_>) -> Result<(), StoreError> {
    for (key, session) in op.tx.rows(&SESSIONS, &Span::ALL)? {
        if !lives(&session, op.now) {
            op.tx.remove(&SESSIONS, &key)?;
        }
    }
    Ok(())
}
