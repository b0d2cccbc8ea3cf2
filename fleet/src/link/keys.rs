//! Link keys in memory, and envelopes opened and sealed with them.

use super::Link;
use crate::refused::StoreError;
use crate::seal::{Binding, MasterKey};
use crate::store::{LINKS, Reads};
use schema::envelope::{self, Key, NONCE_BYTES, OpenError, Sealed};
use schema::{HostId, HostTopic, TooLong, Topic, limits::MAX_PAYLOAD_BYTES};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use zeroize::Zeroizing;

/// The link keys that were used since the server started; never more than there are hosts.
#[derive(Default)]
pub(crate) struct LinkKeys {
    known: RwLock<Cached>,
}

#[derive(Default)]
struct Cached {
    keys: HashMap<HostId, (u8, Key)>,
    /// Grows when a key is let go: what was read before that is not remembered.
    generation: u64,
}

impl LinkKeys {
    /// The key of a host and its number; `None` = it is not enrolled.
    pub(crate) fn of(
        &self,
        master: &MasterKey,
        host: HostId,
        read: impl FnOnce() -> Result<Option<Link>, StoreError>,
    ) -> Result<Option<(u8, Key)>, StoreError> {
        let generation = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((id, key)) = known.keys.get(&host) {
                return Ok(Some((*id, key.clone())));
            }
            known.generation
        };
        let Some(link) = read()? else { return Ok(None) };
        let key = unseal(master, host, &link)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.generation == generation {
            known.keys.insert(host, (link.key_id, key.clone()));
        }
        Ok(Some((link.key_id, key)))
    }

    pub(crate) fn forget(&self, host: HostId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.keys.remove(&host);
        known.generation += 1;
    }
}

/// The link key as it stands in this transaction, past the memory of [`LinkKeys`].
pub(crate) fn key_of(
    master: &MasterKey,
    reads: &impl Reads,
    host: HostId,
) -> Result<Option<(u8, Key)>, StoreError> {
    let Some(link) = reads.get(&LINKS, &host)? else { return Ok(None) };
    let key = unseal(master, host, &link)?;
    Ok(Some((link.key_id, key)))
}

fn unseal(master: &MasterKey, host: HostId, link: &Link) -> Result<Key, StoreError> {
    let binding = Binding::Link(host);
    let plain = master.open(binding, &link.sealed_key)?;
    let bytes: [u8; 32] = plain.as_slice().try_into().map_err(|_| StoreError::Seal { what: "a link key" })?;
    Ok(Key::new(bytes))
}

/// Opens an envelope of one of a host's topics.
pub(crate) fn open_envelope(
    key: &Key,
    host: HostId,
    topic: HostTopic,
    payload: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let sealed = Sealed::parse(payload)?;
    let mut buffer = Zeroizing::new(vec![0; payload.len()]);
    let length = sealed.open(key, Topic::Host(host, topic), &mut buffer)?.len();
    buffer.truncate(length);
    Ok(buffer)
}

/// Encodes and seals a message for a host, with fresh random numbers.
pub(crate) fn seal_message<T: serde::Serialize + ?Sized>(
    random: impl Fn() -> [u8; NONCE_BYTES],
    (key_id, key): &(u8, Key),
    topic: Topic,
    message: &T,
) -> Result<Vec<u8>, TooLong> {
    // Most messages are short, and each buffer is wiped.
    let mut buffer = Zeroizing::new(vec![0; 512]);
    if let Ok(frame) = envelope::seal(key, *key_id, random(), topic, message, &mut buffer) {
        return Ok(frame.to_vec());
    }
    let mut buffer = Zeroizing::new(vec![0; MAX_PAYLOAD_BYTES]);
    let frame = envelope::seal(key, *key_id, random(), topic, message, &mut buffer)?;
    Ok(frame.to_vec())
}
