//! How a machine becomes a host: one-time tokens, and the answer to a machine that shows one.

use crate::audit;
use crate::bounds::clip;
use crate::change::Changed;
use crate::context::{Context, sha256};
use crate::fleet::{Fleet, NewEnrollToken};
use crate::hosts;
use crate::job::{self, step};
use crate::link::{Link, LinkState};
use crate::record::{
    Actor, AuditAction, EnrollToken, Host, HostFacts, Presence, Secret, TOKEN_LIVES_MS, TokenRow,
};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::seal::Binding;
use crate::store::{HOST_TOKENS, HOSTS, LINK_STATES, LINKS, OUTBOX, PRESENCES, Reads, Span, TOKENS, Tx};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use schema::enroll::{MAX_TOKEN_CHARS, Token};
use schema::envelope::{self, Key, OpenError, Sealed, version_notice};
use schema::{EnrollRefusal, EnrollRequest, EnrollResponse, HostId, Timestamp, TokenId, Topic};
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
}

impl Fleet {
    /// A new token for a host. A key that the host has already ends when the token is used.
    pub async fn new_enroll_token(&self, host: HostId, by: By) -> Result<NewEnrollToken, Refused> {
        let context = self.context();
        self.write(move |tx| {
            let now = context.now();
            let host = hosts::find(tx, host)?;
            new_token(&context, tx, &host, &by, now)
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
        let (context, payload, peer) = (self.context(), payload.to_vec(), peer.to_owned());
        let answer = self.write(move |tx| answer(&context, tx, token, &payload, &peer)).await;
        answer.unwrap_or_else(|error| {
            tracing::warn!(%token, %error, "an enrolment could not be answered");
            Vec::new()
        })
    }
}

/// Makes a token.
pub(crate) fn new_token(
    context: &Context,
    tx: &mut Tx<'_>,
    host: &Host,
    by: &By,
    now: Timestamp,
) -> Result<NewEnrollToken, Refused> {
    let id = TokenId::new(now, context.random());
    let key = Key::new(context.random());
    let secret: [u8; 16] = context.random();
    let expires_at = now.plus_ms(TOKEN_LIVES_MS);
    let settings = &context.settings;
    let address = settings.mqtt_address.as_str();
    let wire =
        Token { address, ca_fingerprint: settings.ca_fingerprint, id, secret, key: key.clone(), expires_at };
    let mut buffer = Zeroizing::new([0; MAX_TOKEN_CHARS]);
    let text = wire
        .write(&mut buffer)
        .map_err(|_| Refused::invalid("address", "the server's MQTT address is too long for a token"))?;
    let token = EnrollToken { id, host: host.id, created_at: now, expires_at, used: None };
    let row = TokenRow {
        token: token.clone(),
        password_sha256: [
            sha256(&Zeroizing::new(HEXLOWER.encode(&secret))),
            sha256(&Zeroizing::new(BASE32_NOPAD.encode(&secret))),
        ],
        sealed_key: context.master.seal(Binding::Enroll(id), context.random(), key.expose()),
        sealed_answer: None,
    };
    tx.put(&TOKENS, &id, &row)?;
    tx.put(&HOST_TOKENS, &(host.id, id), &())?;
    let known = tx.keys(&HOST_TOKENS, &Span::under(&host.id), usize::MAX)?;
    for (host, old) in known.iter().take(known.len().saturating_sub(TOKENS_KEPT)) {
        tx.remove(&TOKENS, old)?;
        tx.remove(&HOST_TOKENS, &(*host, *old))?;
    }
    audit::note(tx, now, by, AuditAction::TokenCreated, hosts::target(tx, host.id)?, id.to_string())?;
    tx.effects.changed(Changed::Host(host.id));
    Ok(NewEnrollToken { token, text: Secret::new(text) })
}

/// The newest token of a host.
pub(crate) fn newest_token(reads: &impl Reads, host: HostId) -> Result<Option<EnrollToken>, StoreError> {
    let Some(((_, id), ())) = reads.last(&HOST_TOKENS, &Span::under(&host))? else { return Ok(None) };
    Ok(reads.get(&TOKENS, &id)?.map(|row| row.token))
}

fn answer(
    context: &Context,
    tx: &mut Tx<'_>,
    id: TokenId,
    payload: &[u8],
    peer: &str,
) -> Result<Vec<u8>, Refused> {
    let now = context.now();
    let Some(row) = tx.get(&TOKENS, &id)? else { return Ok(Vec::new()) };
    let plain = context.master.open(Binding::Enroll(id), &row.sealed_key)?;
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
    let host = tx.get(&HOSTS, &row.token.host)?;
    let refused = match (&host, &row.token.used) {
        (None, _) => Some(EnrollRefusal::HostGone),
        (_, Some((_, _, installation))) if *installation != request.installation => Some(EnrollRefusal::Used),
        _ if row.token.expires_at <= now => Some(EnrollRefusal::Expired),
        // Its key has ended: another token was used since.
        (Some(host), Some(_)) if tx.get(&LINKS, &host.id)?.is_none_or(|link| link.token != id) => {
            Some(EnrollRefusal::Used)
        }
        // The answer has arrived: whoever asks now is a copy of that machine.
        (Some(host), Some(_)) if tx.get(&PRESENCES, &host.id)?.is_some_and(|seen| seen.epoch > 0) => {
            Some(EnrollRefusal::Used)
        }
        _ => None,
    };
    let (Some(host), None) = (host, refused) else {
        let reason = refused.unwrap_or(EnrollRefusal::HostGone);
        let by = By { actor: Actor::Agent, peer: peer.to_owned() };
        let target = hosts::target(tx, row.token.host)?;
        if context.may_note(&mut tx.effects, row.token.host, now) {
            audit::note(tx, now, &by, AuditAction::EnrollRefused, target, format!("{reason:?}"))?;
        }
        return Ok(seal_answer(context, &key, id, &EnrollResponse::Refused(reason)));
    };
    let given = match &row.sealed_answer {
        // The machine did not get the answer: the same one again.
        Some(sealed) => {
            let plain = context.master.open(Binding::Enroll(id), sealed)?;
            postcard::from_bytes(&plain).map_err(|_| StoreError::Seal { what: "an enrolment token" })?
        }
        None => welcome(context, tx, row, &host, &request, peer, now)?,
    };
    let response = EnrollResponse::Welcome {
        host: host.id,
        host_name: &host.name,
        password: given.password.expose(),
        link_key: given.link_key,
        key_id: given.key_id,
    };
    Ok(seal_answer(context, &key, id, &response))
}

fn seal_answer(context: &Context, key: &Key, id: TokenId, response: &EnrollResponse<'_>) -> Vec<u8> {
    let mut buffer = Zeroizing::new([0; 1024]);
    let sealed =
        envelope::seal(key, 0, context.random(), Topic::EnrollResponse(id), response, buffer.as_mut_slice());
    // The answer is far shorter than the buffer.
    sealed.map(<[u8]>::to_vec).unwrap_or_default()
}

/// Makes a machine the host: new key, new password, fresh sequences.
fn welcome(
    context: &Context,
    tx: &mut Tx<'_>,
    mut row: TokenRow,
    host: &Host,
    request: &EnrollRequest<'_>,
    peer: &str,
    now: Timestamp,
) -> Result<Given, Refused> {
    let before = tx.get(&LINKS, &host.id)?;
    let given = Given {
        key_id: before.map_or(1, |link| link.key_id.checked_add(1).unwrap_or(1)),
        link_key: context.random(),
        password: context.mint::<20>(""),
    };
    let link = Link {
        key_id: given.key_id,
        sealed_key: context.master.seal(Binding::Link(host.id), context.random(), &given.link_key),
        password_sha256: sha256(given.password.expose()),
        token: row.token.id,
        installation: request.installation,
    };
    tx.put(&LINKS, &host.id, &link)?;
    let plan_revision = tx.get(&LINK_STATES, &host.id)?.map_or(1, |state| state.plan_revision + 1);
    // What waits is sealed with the old key.
    tx.remove_all(&OUTBOX, &Span::under(&host.id))?;
    tx.put(&LINK_STATES, &host.id, &LinkState { plan_revision, ..LinkState::default() })?;
    tx.put(
        &PRESENCES,
        &host.id,
        &Presence { changed_at: Some(now), last_seen_at: Some(now), ..Presence::default() },
    )?;
    for open in job::open_jobs(tx, host.id, usize::MAX)? {
        job::change(tx, host.id, open.id, now, |job| step::lost(job, now, "the host was enrolled anew"))?;
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
    };
    tx.put(&HOSTS, &host.id, &Host { enrolled_at: Some(now), facts: Some(facts), ..host.clone() })?;
    row.token.used = Some((now, peer.to_owned(), request.installation));
    let plain = Zeroizing::new(postcard::to_allocvec(&given).unwrap_or_default());
    row.sealed_answer = Some(context.master.seal(Binding::Enroll(row.token.id), context.random(), &plain));
    tx.put(&TOKENS, &row.token.id, &row)?;
    let by = By { actor: Actor::Agent, peer: peer.to_owned() };
    let target = hosts::target(tx, host.id)?;
    audit::note(tx, now, &by, AuditAction::HostEnrolled, target, format!("by {}", clip(request.hostname)))?;
    tx.effects.relinked.push(host.id);
    tx.effects.changed(Changed::Host(host.id));
    Ok(given)
}
