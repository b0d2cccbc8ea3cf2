//! One read transaction: a consistent state, however long it is kept.

use super::{DEFINITIONS, Order, Reads, Span, TABLES, TableId, Visited};
use crate::refused::StoreError;
use redb::{ReadTransaction, ReadableTable};
use std::sync::OnceLock;

type Open = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

pub(crate) struct ReadView {
    txn: ReadTransaction,
    open: [OnceLock<Open>; TABLES],
}

impl ReadView {
    pub(super) fn new(txn: ReadTransaction) -> Self {
        Self { txn, open: [const { OnceLock::new() }; TABLES] }
    }

    fn table(&self, table: TableId) -> Result<&Open, StoreError> {
        let cell = &self.open[table];
        if cell.get().is_none() {
            let _ = cell.set(self.txn.open_table(DEFINITIONS[table])?);
        }
        cell.get().ok_or(StoreError::Closed)
    }
}

impl Reads for ReadView {
    fn get_raw<T>(
        &self,
        table: TableId,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        Ok(ReadableTable::get(self.table(table)?, key)?.map(|row| read(row.value())))
    }

    fn walk_raw(
        &self,
        table: TableId,
        span: &Span,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visited,
    ) -> Result<(), StoreError> {
        super::walk_table(self.table(table)?, span, order, visit)
    }
}
