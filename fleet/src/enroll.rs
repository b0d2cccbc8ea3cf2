//! How a machine becomes a host: one-time tokens, and the answer to a machine that shows one.

use crate::access_row;
use crate::audit;
use crate::bounds::clip;
use crate::change::Changed;
use crate::context::sha256;
use crate::facts::Facts;
use crate::fleet::{Fleet, NewEnrollToken};
use crate::hosts;
use crate::incarnation;
use crate::job::{self, transition};
use crate::link::{Link, LinkState};
use crate::op::Op;
use crate::record::{
    AgentGone, AuditAction, EnrollToken, Host, HostFacts, Presence, Secret, TOKEN_LIVES_MS, TokenMachine,
    TokenRow,
};
use crate::refused::{Refused, StoreError};
use crate::replacement;
use crate::request::By;
use crate::seal::Binding;
use crate::store::{
    ARRIVALS, EARLIER_AGENTS, HOST_TOKENS, HOSTS, LINK_STATES, LINKS, OUTBOX, PRESENCES, Reads, Span, TOKENS,
};
use crate::ticket::{self, Ticket};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use schema::enroll::{MAX_TOKEN_CHARS, Token};
use schema::envelope::{self, Key, OpenError, Sealed, version_notice};
use schema::{EnrollRefusal, EnrollRequest, EnrollResponse, Epoch, HostId, PlanRevision, TokenId, Topic};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Tokens of a host that are kept to be seen.
const TOKENS_KEPT: usize = 20;

/// The secret part of an answer.
#[derive(Serialize, Deserialize)]
struct Given {
    key_id: u8,
    link_key: [u8; 32],
    password: Secret,
    backups_held: bool,
}

impl Fleet {
    /// A new token for a host. A key that the host has already ends when the token is used; whether the backups of the
    /// machine that uses it wait for a person, `machine` says.
    pub async fn new_enroll_token(
        &self,
        host: HostId,
        machine: TokenMachine,
        by: By,
    ) -> Result<NewEnrollToken, Refused> {
        self.write(by, move |op| {
            let host = hosts::find(op.tx, host)?;
            new_token(op, &host, machine)
        })
        .await
    }

    /// Answers a machine that asks to be enrolled. Empty = no answer: it does not hold the token's key.
    pub async fn enroll(&self, token: TokenId, payload: &[u8], peer: &str) -> Vec<u8> {
        match Sealed::parse(payload) {
            Err(OpenError::Version(_)) => return version_notice().to_vec(),
            Err(_) => return Vec::new(),
            Ok(_) => {}
        }
        let payload = payload.to_vec();
        let answer = self.write(By::agent(peer), move |op| answer(op, token, &payload)).await;
        answer.unwrap_or_else(|error| {
            tracing::warn!(%token, %error, "an enrolment could not be answered");
            Vec::new()
        })
    }
}

/// Makes a token.
pub(crate) fn new_token(
    op: &mut Op<'_, '_>,
    host: &Host,
    machine: TokenMachine,
) -> Result<NewEnrollToken, Refused> {
    // The newest comes last, also when two are made in one millisecond, or the clock was set back.
    let last = op.tx.last(&HOST_TOKENS, &Span::under(&host.id))?;
    let after = last.map_or(op.now, |((_, last), ())| op.now.max(last.made_at().plus_ms(1)));
    let id = TokenId::new(after, op.facts.random());
    let key = Key::new(op.facts.random());
    let secret: [u8; 16] = op.facts.random();
    let expires_at = op.now.plus_ms(TOKEN_LIVES_MS);
    let addresses = access_row::short_text(&access_row::given(op.tx)?);
    let wire = Token {
        addresses: &addresses,
        ca_fingerprint: access_row::for_tokens(op.tx)?,
        id,
        secret,
        key: key.clone(),
        expires_at,
    };
    let mut buffer = Zeroizing::new([0; MAX_TOKEN_CHARS]);
    let text = wire
        .write(&mut buffer)
        .map_err(|_| Refused::invalid("address", "the server's MQTT address is too long for a token"))?;
    let token = EnrollToken { id, host: host.id, created_at: op.now, expires_at, used: None, machine };
    let row = TokenRow {
        token: token.clone(),
        password_sha256: [
            sha256(&Zeroizing::new(HEXLOWER.encode(&secret))),
            sha256(&Zeroizing::new(BASE32_NOPAD.encode(&secret))),
        ],
        sealed_key: op.facts.master.seal(Binding::Enroll(id), op.facts.random(), key.expose()),
        sealed_answer: None,
    };
    op.tx.put(&TOKENS, &id, &row)?;
    op.tx.put(&HOST_TOKENS, &(host.id, id), &())?;
    let known = op.tx.keys(&HOST_TOKENS, &Span::under(&host.id), usize::MAX)?;
    for (host, old) in known.iter().take(known.len().saturating_sub(TOKENS_KEPT)) {
        op.tx.remove(&TOKENS, old)?;
        op.tx.remove(&HOST_TOKENS, &(*host, *old))?;
    }
    let said = match machine {
        TokenMachine::Any => "",
        TokenMachine::Same => ", for the same machine",
        TokenMachine::Replacement => ", for a machine that takes its place",
    };
    audit::note(op, AuditAction::TokenCreated, hosts::target(op.tx, host.id)?, format!("{id}{said}"))?;
    op.tx.effects.changed(Changed::Host(host.id));
    Ok(NewEnrollToken { token, text: Secret::new(text) })
}

/// The newest token of a host.
pub(crate) fn newest_token(reads: &impl Reads, host: HostId) -> Result<Option<EnrollToken>, StoreError> {
    let Some(((_, id), ())) = reads.last(&HOST_TOKENS, &Span::under(&host))? else { return Ok(None) };
    Ok(reads.get(&TOKENS, &id)?.map(|row| row.token))
}

fn answer(op: &mut Op<'_, '_>, id: TokenId, payload: &[u8]) -> Result<Vec<u8>, Refused> {
    let now = op.now;
    let Some(row) = op.tx.get(&TOKENS, &id)? else { return Ok(Vec::new()) };
    let plain = op.facts.master.open(Binding::Enroll(id), &row.sealed_key)?;
    let Ok(bytes) = <[u8; 32]>::try_from(plain.as_slice()) else {
        return Err(StoreError::Seal { what: "an enrolment token" }.into());
    };
    let key = Key::new(bytes);
    let mut buffer = vec![0; payload.len()];
    let request = Sealed::parse(payload)
        .and_then(|sealed| sealed.open(&key, Topic::EnrollRequest(id), &mut buffer))
        .ok()
        .and_then(|plain| schema::decode::<EnrollRequest<'_>>(plain).ok());
    let Some(request) = request else { return Ok(Vec::new()) };
    let host = op.tx.get(&HOSTS, &row.token.host)?;
    let refused = match (&host, &row.token.used) {
        (None, _) => Some(EnrollRefusal::HostGone),
        (_, Some((_, _, installation))) if *installation != request.installation => Some(EnrollRefusal::Used),
        _ if row.token.expires_at <= now => Some(EnrollRefusal::Expired),
        // Its key has ended: another token was used since.
        (Some(host), Some(_)) if op.tx.get(&LINKS, &host.id)?.is_none_or(|link| link.token != id) => {
            Some(EnrollRefusal::Used)
        }
        // The answer has arrived: whoever asks now is a copy of that machine.
        (Some(host), Some(_))
            if op.tx.get(&PRESENCES, &host.id)?.is_some_and(|seen| seen.epoch > Epoch::ZERO) =>
        {
            Some(EnrollRefusal::Used)
        }
        _ => None,
    };
    let (Some(host), None) = (host, refused) else {
        let reason = refused.unwrap_or(EnrollRefusal::HostGone);
        let target = hosts::target(op.tx, row.token.host)?;
        if op.may_note(row.token.host) {
            audit::note(op, AuditAction::EnrollRefused, target, format!("{reason:?}"))?;
        }
        return Ok(seal_answer(op.facts, &key, id, &EnrollResponse::Refused(reason)));
    };
    let given = match &row.sealed_answer {
        // The machine did not get the answer: the same one again.
        Some(sealed) => {
            let plain = op.facts.master.open(Binding::Enroll(id), sealed)?;
            postcard::from_bytes(&plain).map_err(|_| StoreError::Seal { what: "an enrolment token" })?
        }
        None => make_host(op, row, &host, &request)?,
    };
    let response = EnrollResponse::Welcome {
        host: host.id,
        host_name: &host.name,
        password: given.password.expose(),
        link_key: given.link_key,
        key_id: given.key_id,
        backups_held: given.backups_held,
    };
    Ok(seal_answer(op.facts, &key, id, &response))
}

fn seal_answer(facts: &Facts, key: &Key, id: TokenId, response: &EnrollResponse<'_>) -> Vec<u8> {
    let mut buffer = Zeroizing::new([0; 1024]);
    let sealed =
        envelope::seal(key, 0, facts.random(), Topic::EnrollResponse(id), response, buffer.as_mut_slice());
    // The answer is far shorter than the buffer.
    sealed.map(<[u8]>::to_vec).unwrap_or_default()
}

/// Makes a machine the host: new key, new password, fresh sequences.
fn make_host(
    op: &mut Op<'_, '_>,
    mut row: TokenRow,
    host: &Host,
    request: &EnrollRequest<'_>,
) -> Result<Given, Refused> {
    let now = op.now;
    let before = op.tx.get(&LINKS, &host.id)?;
    let machine = (request.hostname, request.installation);
    let backups_held = replacement::held_after(op.tx, host, row.token.machine, machine, now)?;
    let old_key = before.as_ref().map(|link| link.key_id);
    let ticket = Ticket {
        host: host.id,
        name: host.name.clone(),
        restic_host: host.restic_host.clone(),
        key_id: before.map_or(1, |link| link.key_id.checked_add(1).unwrap_or(1)),
        link_key: op.facts.random(),
        token: row.token.id,
        installation: request.installation,
        hostname: ticket::short(&clip(request.hostname)),
        enrolled_at: now,
        backups_held: backups_held.is_some(),
    };
    let given = Given {
        password: ticket.seal(&op.facts.master, op.facts.random()),
        key_id: ticket.key_id,
        link_key: ticket.link_key,
        backups_held: ticket.backups_held,
    };
    let link = Link {
        key_id: given.key_id,
        sealed_key: op.facts.master.seal(Binding::Link(host.id), op.facts.random(), &given.link_key),
        password_sha256: sha256(given.password.expose()),
        token: row.token.id,
        installation: request.installation,
    };
    op.tx.put(&LINKS, &host.id, &link)?;
    let plan_revision =
        op.tx.get(&LINK_STATES, &host.id)?.map_or(PlanRevision(1), |state| state.plan_revision.next());
    // How the machine gets here is its own matter.
    op.tx.remove(&ARRIVALS, &host.id)?;
    op.tx.remove(&EARLIER_AGENTS, &host.id)?;
    // What waits is sealed with the old key.
    op.tx.remove_all(&OUTBOX, &Span::under(&host.id))?;
    op.tx.put(&LINK_STATES, &host.id, &LinkState { plan_revision, ..LinkState::default() })?;
    op.tx.put(
        &PRESENCES,
        &host.id,
        &Presence {
            changed_at: Some(now),
            last_seen_at: Some(now),
            incarnation: incarnation::read(op.tx)?,
            ..Presence::default()
        },
    )?;
    // Before its jobs end: what follows of that must see it.
    let after = Host { enrolled_at: Some(now), backups_held: backups_held.clone(), ..host.clone() };
    op.tx.put(&HOSTS, &host.id, &after)?;
    let is_same = host.facts.as_ref().is_some_and(|facts| facts.installation == request.installation);
    let gone = if is_same { AgentGone::Reenrolled } else { AgentGone::Replaced };
    for open in job::open_jobs(op.tx, host.id, usize::MAX)? {
        job::change(op, host.id, open.id, |job| transition::left_behind(job, now, gone))?;
    }
    let facts = HostFacts {
        at: now,
        agent_version: clip(request.agent_version),
        restic_version: String::new(),
        os: clip(request.os),
        arch: clip(request.arch),
        hostname: clip(request.hostname),
        installation: request.installation,
        boot_id: [0; 16],
        state_free_bytes: 0,
        abilities: None,
    };
    op.tx.put(&HOSTS, &host.id, &Host { facts: Some(facts), ..after })?;
    row.token.used = Some((now, op.by.peer.clone(), request.installation));
    let plain = Zeroizing::new(postcard::to_allocvec(&given).unwrap_or_default());
    row.sealed_answer = Some(op.facts.master.seal(Binding::Enroll(row.token.id), op.facts.random(), &plain));
    op.tx.put(&TOKENS, &row.token.id, &row)?;
    // The host has its machine: one that comes later with an older token, and says less of itself, is none.
    for (_, other) in op.tx.keys(&HOST_TOKENS, &Span::under(&host.id), usize::MAX)? {
        if op.tx.get(&TOKENS, &other)?.is_some_and(|row| row.token.used.is_none()) {
            op.tx.remove(&TOKENS, &other)?;
            op.tx.remove(&HOST_TOKENS, &(host.id, other))?;
        }
    }
    let target = hosts::target(op.tx, host.id)?;
    audit::note(op, AuditAction::HostEnrolled, target, format!("by {}", clip(request.hostname)))?;
    if let Some(held) = backups_held.filter(|held| Some(held) != host.backups_held.as_ref()) {
        replacement::note(op, host, &held, request.installation, (old_key, given.key_id))?;
    }
    op.tx.effects.relinked.push(host.id);
    op.tx.effects.changed(Changed::Host(host.id));
    Ok(given)
}
