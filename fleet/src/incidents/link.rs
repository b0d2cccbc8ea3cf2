//! A link in a message by which whoever reads it acknowledges the incident, without an account.
//!
//! It is signed: nobody but this server can make one. It names the incident, the channel that it went by and when that was
//! told, and does no more than acknowledge. It is good once: not after anybody has acknowledged the incident, or taken that
//! back, since it was told; for a week at most; and only while its channel is on and may have links.

use crate::op::Op;
use crate::record::{ChannelFlags, ChannelId, Incident};
use crate::refused::{LinkFault, Refused, StoreError};
use crate::seal::MasterKey;
use crate::store::{CHANNELS, INCIDENT_ACTS, Reads, Tx};
use crate::units::DAY_MS;
use data_encoding::HEXLOWER;
use schema::{IncidentId, Timestamp};
use subtle::ConstantTimeEq as _;

/// So long a link is good.
pub(crate) const GOOD_MS: u64 = 7 * DAY_MS;

/// What a link stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AckLink {
    pub(crate) incident: IncidentId,
    /// By which channel it went.
    pub(crate) channel: ChannelId,
    /// When it was told.
    pub(crate) told_at: Timestamp,
}

impl AckLink {
    /// What stands behind the incident in its address: the same each time.
    pub(crate) fn key(self, master: &MasterKey) -> String {
        let Self { incident, channel: ChannelId(channel), told_at: Timestamp(at) } = self;
        let mark = master.mark(&format!("acknowledge {incident} {channel} {at}"));
        format!("{channel:x}-{at:x}-{}", HEXLOWER.encode(&mark))
    }

    /// The link of this key; `None` = this server has made none that is so.
    pub(crate) fn read(incident: IncidentId, key: &str, master: &MasterKey) -> Option<Self> {
        let mut parts = key.split('-');
        let (channel, at) = (parts.next()?, parts.next()?);
        let channel = ChannelId(u32::from_str_radix(channel, 16).ok()?);
        let told_at = Timestamp(u64::from_str_radix(at, 16).ok()?);
        let link = Self { incident, channel, told_at };
        bool::from(link.key(master).as_bytes().ct_eq(key.as_bytes())).then_some(link)
    }
}

/// Whether it can be used, and the name of its channel.
pub(crate) fn check(
    reads: &impl Reads,
    link: Option<AckLink>,
    incident: &Incident,
    now: Timestamp,
) -> Result<String, Refused> {
    let refused = |fault| Err(Refused::AckLink { fault });
    let Some(link) = link else { return refused(LinkFault::Unknown) };
    let channel = reads.get(&CHANNELS, &link.channel)?;
    let is_open = |flags: ChannelFlags| flags.is_on && flags.acknowledges;
    let Some(channel) = channel.filter(|row| is_open(row.flags)) else { return refused(LinkFault::Unknown) };
    if incident.ended.is_some() {
        return Err(Refused::IncidentEnded);
    }
    // Of two in one millisecond the act came after.
    if reads.get(&INCIDENT_ACTS, &link.incident)?.is_some_and(|acted| acted >= link.told_at) {
        return refused(LinkFault::Used);
    }
    // What is still to come was told while the clock was ahead; it can't be said what came after it.
    if link.told_at > now || now.ms_since(link.told_at) > GOOD_MS {
        return refused(LinkFault::Expired);
    }
    Ok(channel.name)
}

/// Somebody acts on an incident: what was told of it until now acknowledges nothing any more. When that was stays as it is, also
/// where the clock was ahead and is mended: the links of that time stand for instants that are still to come.
pub(crate) fn acted(op: &mut Op<'_, '_>, incident: IncidentId) -> Result<(), StoreError> {
    let now = op.now;
    op.tx.put(&INCIDENT_ACTS, &incident, &now)
}

/// The incident is over: no link to it acknowledges.
pub(crate) fn forget(tx: &mut Tx<'_>, incident: IncidentId) -> Result<(), StoreError> {
    tx.remove(&INCIDENT_ACTS, &incident).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(incident: u8, channel: u32, at: u64) -> AckLink {
        let incident = IncidentId([incident; 16]);
        AckLink { incident, channel: ChannelId(channel), told_at: Timestamp(at) }
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_what_it_was_made_for_and_by_nobody_else(
            incident in any::<u8>(), channel in any::<u32>(), at in any::<u64>(),
            change in 0..60_usize, to in "[0-9a-f-]",
        ) {
            let (master, other) = (MasterKey::new([1; 32]), MasterKey::new([2; 32]));
            let made = link(incident, channel, at);
            let key = made.key(&master);
            prop_assert_eq!(AckLink::read(made.incident, &key, &master), Some(made));
            prop_assert_eq!(AckLink::read(made.incident, &key, &other), None);
            prop_assert_eq!(AckLink::read(link(incident.wrapping_add(1), 0, 0).incident, &key, &master), None);
            let mut changed = key.clone();
            let place = change % key.len();
            changed.replace_range(place..=place, &to);
            if changed != key {
                prop_assert_eq!(AckLink::read(made.incident, &changed, &master), None);
            }
        }

        #[test]
        fn no_text_is_a_key_by_chance(text in "\\PC{0,80}") {
            let master = MasterKey::new([1; 32]);
            prop_assert_eq!(AckLink::read(IncidentId([1; 16]), &text, &master), None);
        }
    }
}
