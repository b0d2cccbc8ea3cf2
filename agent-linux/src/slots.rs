//! Credential slots: one sealed record each, and those held in memory for a single job.
//!
//! A record is `2 | nonce 24 | XChaCha20-Poly1305(postcard)`, sealed with the state folder's `local.key`; the slot's
//! name is additional data, so that a record moved to the other slot does not open. The legacy flat form (JSON with
//! url, username, password, `repo_password`, no slots) is read as the `repo` slot and written anew.

use crate::{
    logger, random,
    restic::Credentials,
    state_folder::{StateError, StateFolder},
};
use agent_core::SlotState;
use schema::{
    JobId, Slot, SlotRevision,
    envelope::{
        Key, NONCE_BYTES,
        cipher::{self, TAG_BYTES},
    },
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const KEY_FILE: &str = "local.key";
const LEGACY_FILE: &str = "credentials";
const VERSION: u8 = 2;

/// Why a slot can't be stored.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// It could not be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// No random bytes, or a record that is too long.
    #[error("the record can't be sealed")]
    Seal,
}

#[derive(Serialize, Deserialize)]
struct SealedSlot {
    revision: SlotRevision,
    credentials: Option<StoredCredentials>,
}

#[derive(Serialize, Deserialize)]
struct StoredCredentials {
    url: String,
    username: String,
    password: String,
    repo_password: String,
    ca: String,
    host_keys: String,
    env: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct LegacyCredentials {
    url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    repo_password: String,
}

/// All credentials that the agent has.
#[derive(Debug)]
pub struct Slots {
    state: StateFolder,
    key: Key,
    stored: [(SlotRevision, Option<Credentials>); 2],
    held: Vec<(JobId, Slot, Option<Credentials>)>,
    /// Whether something could not be opened and was set aside.
    pub set_aside: bool,
}

impl Slots {
    /// Reads the slots of a state folder.
    pub fn open(state: &StateFolder) -> Result<Self, SlotError> {
        let (key, is_new) = match state.read(KEY_FILE)?.map(Zeroizing::new) {
            Some(bytes) if bytes.len() == 32 => {
                (Key::new(bytes.as_slice().try_into().map_err(|_| SlotError::Seal)?), false)
            }
            found => {
                if found.is_some() {
                    state.set_aside(KEY_FILE)?;
                }
                let mut bytes = Zeroizing::new([0; 32]);
                random::fill(bytes.as_mut_slice()).map_err(|_| SlotError::Seal)?;
                state.write(KEY_FILE, bytes.as_slice())?;
                (Key::new(*bytes), true)
            }
        };
        let mut slots = Self {
            state: state.clone(),
            key,
            stored: [(SlotRevision::ZERO, None), (SlotRevision::ZERO, None)],
            held: Vec::new(),
            set_aside: false,
        };
        for slot in Slot::ALL {
            let Some(bytes) = state.read(&file_name(slot))? else { continue };
            match unseal(&slots.key, slot, &bytes) {
                Some(found) => slots.stored[slot as usize] = found,
                None => {
                    let path = state.set_aside(&file_name(slot))?;
                    let why = if is_new { "its key was lost" } else { "it is damaged" };
                    logger::error(format_args!(
                        "the {} slot can't be opened, {why}: set aside as {}",
                        slot.as_str(),
                        path.display()
                    ));
                    slots.set_aside = true;
                }
            }
        }
        slots.take_legacy()?;
        Ok(slots)
    }

    /// Revision of each slot and whether it is filled, for the core.
    #[must_use]
    pub fn states(&self) -> [SlotState; 2] {
        let state = |(revision, found): &(SlotRevision, Option<Credentials>)| SlotState {
            revision: *revision,
            filled: found.is_some(),
        };
        [state(&self.stored[0]), state(&self.stored[1])]
    }

    /// Stores a slot, or empties it; on disk when this returns.
    pub fn store(
        &mut self,
        slot: Slot,
        revision: SlotRevision,
        credentials: Option<Credentials>,
    ) -> Result<(), SlotError> {
        let bytes = self.seal(slot, revision, credentials.as_ref())?;
        self.state.write(&file_name(slot), &bytes)?;
        self.stored[slot as usize] = (revision, credentials);
        Ok(())
    }

    /// Holds a slot in memory for one job.
    pub fn hold(&mut self, job: JobId, slot: Slot, credentials: Option<Credentials>) {
        self.held.retain(|(held_for, held, _)| (*held_for, *held) != (job, slot));
        self.held.push((job, slot, credentials));
    }

    /// Forgets what was held for a job.
    pub fn forget(&mut self, job: JobId) {
        self.held.retain(|(held_for, _, _)| *held_for != job);
    }

    /// Forgets what was held for jobs that this says no to.
    pub fn forget_unless(&mut self, is_needed: impl Fn(JobId) -> bool) {
        self.held.retain(|(held_for, _, _)| is_needed(*held_for));
    }

    /// Whether anything is held for a job.
    #[must_use]
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is held for a job.
    #[must_use]
    pub fn held_for(&self, job: JobId, slot: Slot) -> Option<Credentials> {
        let held = self.held.iter().find(|(held_for, held, _)| (*held_for, *held) == (job, slot));
        held.and_then(|(_, _, credentials)| credentials.clone())
    }

    /// What a job of the agent's own repository finds in a slot: of the everyday one what is stored, of the admin slot what
    /// is held for it.
    #[must_use]
    pub fn for_job(&self, job: JobId, slot: Slot) -> Option<Credentials> {
        match slot {
            Slot::Repo => self.stored[slot as usize].1.clone(),
            Slot::Admin => self.held_for(job, slot),
        }
    }

    fn take_legacy(&mut self) -> Result<(), SlotError> {
        let Some(bytes) = self.state.read(LEGACY_FILE)?.map(Zeroizing::new) else { return Ok(()) };
        let Ok(flat) = serde_json::from_slice::<LegacyCredentials>(&bytes) else {
            let path = self.state.set_aside(LEGACY_FILE)?;
            logger::error(format_args!("old credentials can't be read: set aside as {}", path.display()));
            self.set_aside = true;
            return Ok(());
        };
        if self.stored[Slot::Repo as usize].0 == SlotRevision::ZERO {
            let LegacyCredentials { url, username, password, repo_password } = flat;
            let credentials = Credentials {
                url,
                username,
                password,
                repo_password,
                ca: String::new(),
                host_keys: String::new(),
                env: Vec::new(),
            };
            // Below every revision of the server, whose next push replaces it.
            self.store(Slot::Repo, SlotRevision::ZERO, Some(credentials))?;
        }
        Ok(self.state.remove(LEGACY_FILE)?)
    }

    fn seal(
        &self,
        slot: Slot,
        revision: SlotRevision,
        found: Option<&Credentials>,
    ) -> Result<Vec<u8>, SlotError> {
        let credentials = found.map(|found| StoredCredentials {
            url: found.url.clone(),
            username: found.username.clone(),
            password: found.password.clone(),
            repo_password: found.repo_password.clone(),
            ca: found.ca.clone(),
            host_keys: found.host_keys.clone(),
            env: found.env.clone(),
        });
        let record = SealedSlot { revision, credentials };
        // Certificates make them long; without, little is touched.
        let rooms = [4 * 1024, schema::limits::MAX_PAYLOAD_BYTES + 64];
        let plain = rooms.into_iter().find_map(|room| {
            let mut plain = Zeroizing::new(vec![0; room]);
            let length = schema::encode(&record, &mut plain).ok()?.len();
            plain.truncate(length);
            Some(plain)
        });
        let mut plain = plain.ok_or(SlotError::Seal)?;
        wipe(record.credentials);
        let mut nonce = [0; NONCE_BYTES];
        random::fill(&mut nonce).map_err(|_| SlotError::Seal)?;
        let tag = cipher::seal(self.key.expose(), &nonce, &additional_data(slot), &mut plain);
        let tag = tag.ok_or(SlotError::Seal)?;
        Ok([&[VERSION], &nonce[..], &plain[..], &tag[..]].concat())
    }
}

fn unseal(key: &Key, slot: Slot, bytes: &[u8]) -> Option<(SlotRevision, Option<Credentials>)> {
    let rest = bytes.strip_prefix(&[VERSION])?;
    let (nonce, rest) = rest.split_at_checked(NONCE_BYTES)?;
    let (body, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
    let mut plain = Zeroizing::new(body.to_vec());
    let (nonce, tag) = (nonce.try_into().ok()?, tag.try_into().ok()?);
    if !cipher::open(key.expose(), nonce, &additional_data(slot), &mut plain, tag) {
        return None;
    }
    let SealedSlot { revision, credentials } = schema::decode(&plain).ok()?;
    let credentials = credentials.map(|found| {
        let StoredCredentials { url, username, password, repo_password, ca, host_keys, env } = found;
        Credentials { url, username, password, repo_password, ca, host_keys, env }
    });
    Some((revision, credentials))
}

/// The everyday credentials as they lie here, without touching anything; `None` = there are none.
pub fn look(state: &StateFolder) -> Result<Option<Credentials>, String> {
    let read = |name: &str| state.read(name).map_err(|error| error.to_string());
    let Some(sealed) = read(&file_name(Slot::Repo))? else { return Ok(None) };
    let key =
        read(KEY_FILE)?.map(Zeroizing::new).and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    let key = key.ok_or_else(|| "the key of the stored credentials is gone".to_owned())?;
    match unseal(&Key::new(key), Slot::Repo, &sealed) {
        Some((_, credentials)) => Ok(credentials),
        None => Err("the stored credentials can't be opened".to_owned()),
    }
}

/// Whether an agent that starts on this folder finds everyday credentials. Changes nothing in it.
pub fn has_stored(state: &StateFolder) -> Result<bool, StateError> {
    let key = state.read(KEY_FILE)?.map(Zeroizing::new);
    let key: Option<[u8; 32]> = key.and_then(|bytes| bytes.as_slice().try_into().ok());
    let sealed = state.read(&file_name(Slot::Repo))?;
    if let (Some(key), Some(sealed)) = (key, sealed)
        && let Some((_, credentials)) = unseal(&Key::new(key), Slot::Repo, &sealed)
    {
        return Ok(credentials.is_some());
    }
    let legacy = state.read(LEGACY_FILE)?.map(Zeroizing::new);
    Ok(legacy.is_some_and(|bytes| serde_json::from_slice::<LegacyCredentials>(&bytes).is_ok()))
}

fn wipe(credentials: Option<StoredCredentials>) {
    if let Some(StoredCredentials { url, username, password, repo_password, ca, host_keys, env }) =
        credentials
    {
        drop(Credentials { url, username, password, repo_password, ca, host_keys, env });
    }
}

fn file_name(slot: Slot) -> String {
    format!("slot-{}", slot.as_str())
}

fn additional_data(slot: Slot) -> Vec<u8> {
    format!("slot:{}", slot.as_str()).into_bytes()
}

/// Removes all stored slots.
pub fn remove_all(state: &StateFolder) -> Result<(), StateError> {
    Slot::ALL.into_iter().try_for_each(|slot| state.remove(&file_name(slot)))?;
    state.remove(LEGACY_FILE)
}
