//! Reading what agents are given to reach this server: its addresses, and the authorities that it shows.

use crate::record::meta::{META_ADDRESSES, META_AUTHORITY, META_TRUSTED, Meta};
use crate::record::{Fingerprint, GivenAddress, TrustedAuthority};
use crate::refused::StoreError;
use crate::store::{META, Reads};
use schema::limits::MAX_ADDRESS_BYTES;
use sha2::{Digest as _, Sha256};

/// The addresses that agents are given, in order.
pub(crate) fn given(reads: &impl Reads) -> Result<Vec<GivenAddress>, StoreError> {
    match reads.get(&META, &META_ADDRESSES.to_owned())? {
        None => Ok(Vec::new()),
        Some(Meta::Addresses(given)) => Ok(given),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// The same as one text, see [`schema::address`].
pub(crate) fn text(given: &[GivenAddress]) -> String {
    given.iter().map(|it| it.address.as_str()).collect::<Vec<_>>().join(",")
}

/// As many of them as have room beside the first.
pub(crate) fn short_text(given: &[GivenAddress]) -> String {
    let mut short = String::new();
    for GivenAddress { address, .. } in given {
        if short.is_empty() {
            short.push_str(address);
        } else if short.len() + 1 + address.len() <= MAX_ADDRESS_BYTES {
            short.push(',');
            short.push_str(address);
        }
    }
    short
}

/// The authorities that agents are told of, the present one first; empty where only the fingerprint of one is known.
pub(crate) fn trusted(reads: &impl Reads) -> Result<Vec<TrustedAuthority>, StoreError> {
    match reads.get(&META, &META_TRUSTED.to_owned())? {
        None => Ok(Vec::new()),
        Some(Meta::Trusted(trusted)) => Ok(trusted),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// SHA-256 of those that are written down, the present one first; empty = nothing yet.
pub(crate) fn bound(reads: &impl Reads) -> Result<Vec<Fingerprint>, StoreError> {
    let present = match reads.get(&META, &META_AUTHORITY.to_owned())? {
        None => return Ok(Vec::new()),
        Some(Meta::Authority(present)) => present,
        Some(_) => return Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    };
    let next = trusted(reads)?.into_iter().skip(1).map(|next| fingerprint(&next.certificate));
    Ok(std::iter::once(present).chain(next).collect())
}

/// The one that new tokens name: that which will be there for longest.
pub(crate) fn for_tokens(reads: &impl Reads) -> Result<Fingerprint, StoreError> {
    Ok(bound(reads)?.last().copied().unwrap_or_default())
}

/// SHA-256 of a certificate (DER).
pub(crate) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Sha256::digest(certificate).into()
}
