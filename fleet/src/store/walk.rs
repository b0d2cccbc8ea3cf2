//! Walking a table of redb's.

use super::guard;
use super::key::Span;
use super::reads::{Order, Visited};
use crate::refused::StoreError;
use redb::ReadableTable;

pub(super) fn walk_table(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    span: &Span,
    order: Order,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> Visited,
) -> Result<(), StoreError> {
    if span.is_empty() {
        return Ok(());
    }
    let bounds = (span.from.as_ref().map(Vec::as_slice), span.to.as_ref().map(Vec::as_slice));
    let mut range = guard::redb(|| table.range::<&[u8]>(bounds))??;
    loop {
        let next = guard::redb(|| match order {
            Order::Ascending => range.next(),
            Order::Descending => range.next_back(),
        })?;
        let Some(entry) = next else { return Ok(()) };
        let (key, value) = entry?;
        let (key, value) = guard::redb(|| (key.value(), value.value()))?;
        if visit(key, value)?.is_break() {
            return Ok(());
        }
    }
}
