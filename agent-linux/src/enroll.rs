//! Enrolment: a one-time token becomes an identity.

use crate::{
    clock,
    identity::{self, Identity, IdentityError},
    journal,
    keep_alive::{self, KeepAlive},
    link::{Link, LinkError, LinkEvent, Login},
    plan,
    platform::{Machine, VERSION},
    policy::{PolicyAt, Rights, WriteError, Written},
    random, slots,
    state_folder::{self, StateError, StateFolder},
    tls::{self, TlsError},
};
use data_encoding::BASE32_NOPAD;
use schema::{
    EnrollRefusal, EnrollRequest, EnrollResponse, InstallationId, OpenError, Sealed, Token, Topic, address,
    enroll::{MAX_TOKEN_CHARS, NotAToken},
    envelope::{self, Key, NONCE_BYTES},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why a machine was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The text is no token.
    #[error(transparent)]
    NotAToken(#[from] NotAToken),
    /// There is an identity already.
    #[error("this machine is enrolled already, as {name} at {address}; to enrol it anew, give --force")]
    Enrolled {
        /// Name of the host that this machine is enrolled as.
        name: String,
        /// Address of the server that it is enrolled at.
        address: String,
    },
    /// The state folder can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The rights of the command line; the token was not used.
    #[error("{0}. The token was not used")]
    Rights(#[from] WriteError),
    /// TLS could not be set up for the connection.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server can't be reached, or is not the one.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The token is too old, by this machine's clock.
    #[error(
        "{link}. By the clock of this machine the token has expired: make a new one, or correct the clock"
    )]
    ExpiredHere {
        /// What the server said.
        link: LinkError,
    },
    /// The login was refused.
    #[error(
        "{0} does not take this token: it has expired, was used by another machine, or was withdrawn. Make a new one"
    )]
    LoginRefused(String),
    /// The server said no.
    #[error("{}", match .0 {
        EnrollRefusal::Used => "the token was used by another machine: make a new one",
        EnrollRefusal::Expired => "the token has expired: make a new one",
        EnrollRefusal::HostGone => "the host of this token was deleted meanwhile: make a new token",
    })]
    Refused(EnrollRefusal),
    /// The server speaks other versions.
    #[error("the server does not understand this agent: {0}. Bring both to the same version")]
    Version(OpenError),
    /// The server took the login but sent no answer in time.
    #[error("{0} took the login but did not answer within 30 s")]
    NoAnswer(String),
    /// The connection broke before the answer.
    #[error("{link}. The server may have taken the token: run the same command again")]
    Unanswered {
        /// How the connection ended.
        link: LinkError,
    },
    /// The request could not be made.
    #[error("the request could not be sealed")]
    Seal,
}

impl EnrollError {
    /// Whether the server has surely not taken the token for this machine.
    const fn is_refused(&self) -> bool {
        matches!(
            self,
            Self::NotAToken(_)
                | Self::Link(_)
                | Self::ExpiredHere { .. }
                | Self::LoginRefused(_)
                | Self::Refused(_)
                | Self::Version(_)
                | Self::Rights(_)
        )
    }
}

/// What came of an enrolment.
pub struct Enrolled {
    /// Who the machine is now.
    pub identity: Identity,
    /// What became of its policy file.
    pub written: Written,
    /// It took another machine's place: its backups wait until a person starts them at the server.
    pub backups_held: bool,
}

/// Enrols this machine with a state folder that may not be there yet. One that was made for a token that is then
/// refused goes again; it stays when the token may have been taken, for it holds what makes a second try the same.
pub async fn enroll_at(
    policy: &PolicyAt,
    rights: &Rights,
    token_text: &str,
    force: bool,
) -> Result<Enrolled, EnrollError> {
    let path = &policy.state_dir;
    rights.check(policy)?;
    let made: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    let state = StateFolder::open_or_make(path)?;
    let result = enroll(&state, (policy, rights), token_text, force).await;
    if !made.is_empty() && result.as_ref().is_err_and(EnrollError::is_refused) {
        for file in [state_folder::LOCK_FILE, identity::INSTALLATION_FILE] {
            state.remove(file)?;
        }
        // What somebody else has put there meanwhile stays, and the folders above it.
        let _ = made.into_iter().try_for_each(std::fs::remove_dir);
    }
    result
}

/// Enrols this machine, and says as whom. The policy file is written first, so that no agent ever runs with more rights
/// than the command line gave; when the token is refused it goes again.
async fn enroll(
    state: &StateFolder,
    (policy, rights): (&PolicyAt, &Rights),
    token_text: &str,
    force: bool,
) -> Result<Enrolled, EnrollError> {
    let mut buffer = [0; MAX_TOKEN_CHARS];
    let token = Token::parse(token_text, &mut buffer)?;
    let old = match Identity::load(state) {
        Ok(old) if !force => {
            return Err(EnrollError::Enrolled {
                name: old.host_name.clone(),
                address: old.addresses.clone(),
            });
        }
        Ok(old) => Some(old.host),
        Err(IdentityError::Damaged(_)) if !force && Identity::exists(state) => {
            return Err(IdentityError::Damaged("identity").into());
        }
        Err(_) => None,
    };
    let _lock = state.lock()?;
    // Written first: asking again after a crash is asking again, not another machine.
    let installation = identity::installation(state)?;
    let written = rights.write(policy)?;
    let (identity, backups_held) = match ask(&token, installation).await {
        Err(error) if error.is_refused() => {
            written.undo(state);
            return Err(error);
        }
        asked => asked?,
    };
    // What is to be done alone was said to the machine of before; the server says it anew at the first connection.
    state.remove(plan::FILE)?;
    if old != Some(identity.host) || backups_held {
        // Reports and credentials of another host are of no use to this one. One that takes a machine's place begins
        // with nothing that waits.
        state.remove(journal::FILE)?;
        slots::remove_all(state)?;
    }
    identity.store(state)?;
    Ok(Enrolled { identity, written, backups_held })
}

/// Asks at each address in turn, until one can be reached.
async fn ask(token: &Token<'_>, installation: InstallationId) -> Result<(Identity, bool), EnrollError> {
    let mut last = NotAToken.into();
    for address in address::list(token.addresses) {
        match ask_at(address.to_owned(), token, installation).await {
            Err(error @ (EnrollError::Link(_) | EnrollError::ExpiredHere { .. })) => last = error,
            asked => return asked,
        }
    }
    Err(last)
}

async fn ask_at(
    address: String,
    token: &Token<'_>,
    installation: InstallationId,
) -> Result<(Identity, bool), EnrollError> {
    let seen = Arc::new(OnceLock::new());
    let tls = tls::by_fingerprint(token.ca_fingerprint, Arc::clone(&seen))?;
    let login = Login {
        address: address.clone(),
        client_id: format!("enroll-{}", token.id),
        username: token.id.to_string(),
        password: BASE32_NOPAD.encode(&token.secret),
        will: None,
        clean_session: true,
        keep_alive: KeepAlive::new(keep_alive::USUAL_SECS).period(),
    };
    let link = Link::connect(login, &tls).ok_or(NotAToken)?;
    let exchange = tokio::time::timeout(ANSWER_WITHIN, exchange(link, token, installation));
    let answer = match exchange.await {
        Ok(answer) => answer,
        Err(_) => Err(EnrollError::NoAnswer(address.clone())),
    };
    let (mut identity, backups_held) = answer.map_err(|error| match error {
        EnrollError::Link(LinkError::Login(_)) => EnrollError::LoginRefused(address.clone()),
        EnrollError::Link(link) if clock::wall() > token.expires_at => EnrollError::ExpiredHere { link },
        other => other,
    })?;
    identity.addresses = token.addresses.to_owned();
    identity.ca_pem = seen.get().map(|ca| tls::to_pem(ca)).ok_or(TlsError::NoAuthority)?;
    Ok((identity, backups_held))
}

async fn exchange(
    mut link: Link,
    token: &Token<'_>,
    installation: InstallationId,
) -> Result<(Identity, bool), EnrollError> {
    let stuck = |_| EnrollError::Seal;
    let mut asked = false;
    loop {
        match link.event().await {
            LinkEvent::Closed { error: link, .. } if asked => return Err(EnrollError::Unanswered { link }),
            LinkEvent::Closed { error, .. } => return Err(error.into()),
            LinkEvent::Connected => {
                asked = true;
                link.subscribe(Topic::EnrollResponse(token.id)).map_err(stuck)?;
                link.publish(Topic::EnrollRequest(token.id), request(token, installation)?).map_err(stuck)?;
            }
            LinkEvent::Message(message) => {
                let answer = read(token, &message.payload);
                // The answer counts, not whether the broker hears that it came.
                let _ = link.acknowledge(&message);
                if let Some(answer) = answer? {
                    link.disconnect().await;
                    return Ok(answer);
                }
            }
        }
    }
}

fn request(token: &Token<'_>, installation: InstallationId) -> Result<Vec<u8>, EnrollError> {
    let machine = Machine::look();
    let request = EnrollRequest {
        installation,
        hostname: &machine.hostname,
        os: &machine.os,
        arch: machine.arch,
        agent_version: VERSION,
    };
    let mut nonce = [0; NONCE_BYTES];
    random::fill(&mut nonce).map_err(|_| EnrollError::Seal)?;
    let mut buffer = vec![0; 16 * 1024];
    envelope::seal(&token.key, 0, nonce, Topic::EnrollRequest(token.id), &request, &mut buffer)
        .map(<[u8]>::to_vec)
        .map_err(|_| EnrollError::Seal)
}

/// What an answer says, and whether backups are held; `None` when it is none of ours.
fn read(token: &Token<'_>, payload: &[u8]) -> Result<Option<(Identity, bool)>, EnrollError> {
    let sealed = match Sealed::parse(payload) {
        Ok(sealed) => sealed,
        Err(error @ (OpenError::Notice { .. } | OpenError::Version(_))) => {
            return Err(EnrollError::Version(error));
        }
        Err(_) => return Ok(None),
    };
    let mut buffer = vec![0; payload.len()];
    let Ok(message) = sealed.open(&token.key, Topic::EnrollResponse(token.id), &mut buffer) else {
        return Ok(None);
    };
    match schema::decode(message) {
        Ok(EnrollResponse::Welcome { host, host_name, password, link_key, key_id, backups_held }) => {
            let identity = Identity {
                host,
                host_name: host_name.to_owned(),
                addresses: String::new(),
                password: password.to_owned(),
                link_key: Key::new(link_key),
                key_id,
                ca_pem: String::new(),
            };
            Ok(Some((identity, backups_held)))
        }
        Ok(EnrollResponse::Refused(reason)) => Err(EnrollError::Refused(reason)),
        Err(_) => Ok(None),
    }
}
