//! Reading what agents are given to reach this server.

use crate::record::GivenAddress;
use crate::record::meta::{META_ADDRESSES, Meta};
use crate::refused::StoreError;
use crate::store::{META, Reads};
use schema::limits::MAX_ADDRESS_BYTES;

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
