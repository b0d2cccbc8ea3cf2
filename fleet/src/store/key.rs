//! Keys as bytes that sort as their values do: numbers big-endian, text last.

use crate::record::{ChannelId, Subject};
use schema::{CommandSeq, HostId, IncidentId, JobId, PendingId, RepoId, TokenId};
use std::ops::Bound;

/// A key, or the first parts of one.
pub(crate) trait TableKey: Sized {
    fn write(&self, out: &mut Vec<u8>);
    /// Takes the key off the front of `bytes`.
    fn read(bytes: &mut &[u8]) -> Option<Self>;

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40);
        self.write(&mut out);
        out
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (part, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*part)
}

macro_rules! id_key {
    ($($id:ident),*) => {$(
        impl TableKey for $id {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
            fn read(bytes: &mut &[u8]) -> Option<Self> {
                take(bytes).map(Self)
            }
        }
    )*};
}
id_key!(HostId, IncidentId, JobId, PendingId, TokenId, RepoId);

/// The server sorts before all hosts, and these before all channels.
impl TableKey for Subject {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Server => out.push(0),
            Self::Host(host) => {
                out.push(1);
                host.write(out);
            }
            Self::Channel(channel) => {
                out.push(2);
                channel.write(out);
            }
        }
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match u8::read(bytes)? {
            0 => Some(Self::Server),
            1 => HostId::read(bytes).map(Self::Host),
            2 => ChannelId::read(bytes).map(Self::Channel),
            _ => None,
        }
    }
}

impl TableKey for ChannelId {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        u32::read(bytes).map(Self)
    }
}

impl TableKey for CommandSeq {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        u64::read(bytes).map(Self)
    }
}

impl TableKey for [u8; 32] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes)
    }
}

macro_rules! number_key {
    ($($number:ident),*) => {$(
        impl TableKey for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn read(bytes: &mut &[u8]) -> Option<Self> {
                take(bytes).map(Self::from_be_bytes)
            }
        }
    )*};
}
number_key!(u8, u32, u64);

/// Text stands last in a key: it takes all that is left.
impl TableKey for String {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(std::mem::take(bytes)).ok()?;
        Some(text.to_owned())
    }
}

impl<A: TableKey, B: TableKey> TableKey for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::read(bytes)?, B::read(bytes)?))
    }
}

impl<A: TableKey, B: TableKey, C: TableKey> TableKey for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::read(bytes)?, B::read(bytes)?, C::read(bytes)?))
    }
}

/// Which keys of a table.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(super) from: Bound<Vec<u8>>,
    pub(super) to: Bound<Vec<u8>>,
}

impl Span {
    pub(crate) const ALL: Self = Self { from: Bound::Unbounded, to: Bound::Unbounded };

    /// All keys that begin with this.
    pub(crate) fn under(prefix: &impl TableKey) -> Self {
        let from = prefix.bytes();
        let mut to = from.clone();
        while let Some(last) = to.last_mut() {
            if *last < u8::MAX {
                *last += 1;
                return Self { from: Bound::Included(from), to: Bound::Excluded(to) };
            }
            to.pop();
        }
        Self { from: Bound::Included(from), to: Bound::Unbounded }
    }

    /// Keys of this span from `key` on.
    pub(crate) fn from(self, key: &impl TableKey) -> Self {
        Self { from: Bound::Included(key.bytes()), ..self }
    }

    /// Keys of this span behind `key`.
    pub(crate) fn after(self, key: &impl TableKey) -> Self {
        Self { from: Bound::Excluded(key.bytes()), ..self }
    }

    /// Keys of this span up to and with `key`.
    pub(crate) fn through(self, key: &impl TableKey) -> Self {
        Self { to: Bound::Included(key.bytes()), ..self }
    }

    /// Keys of this span before `key`.
    pub(crate) fn before(self, key: &impl TableKey) -> Self {
        Self { to: Bound::Excluded(key.bytes()), ..self }
    }

    /// A span that ends before it begins: redb refuses those instead of finding nothing.
    pub(super) fn is_empty(&self) -> bool {
        let (Bound::Included(from) | Bound::Excluded(from)) = &self.from else { return false };
        match &self.to {
            Bound::Unbounded => false,
            Bound::Included(to) => from > to || (from == to && matches!(self.from, Bound::Excluded(_))),
            Bound::Excluded(to) => from >= to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_the_highest_bytes_has_no_end() {
        assert!(matches!(Span::under(&u8::MAX).to, Bound::Unbounded));
        assert_eq!(Span::under(&(1u8, u8::MAX)).to, Bound::Excluded(vec![2]));
    }

    #[test]
    fn keys_sort_as_their_values_do() {
        let mut numbers = [0u64, 1, 255, 256, u64::MAX, 1 << 40];
        numbers.sort_unstable();
        let bytes: Vec<_> = numbers.iter().map(TableKey::bytes).collect();
        assert!(bytes.is_sorted());
    }

    #[test]
    fn a_key_reads_back() {
        let key = (HostId([7; 16]), 9u32, "photos".to_owned());
        let bytes = key.bytes();
        assert_eq!(<(HostId, u32, String)>::read(&mut bytes.as_slice()), Some(key));
        assert_eq!(<(HostId, u32, String)>::read(&mut &bytes[..18]), None);
    }
}
