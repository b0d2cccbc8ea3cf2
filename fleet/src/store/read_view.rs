//! One read transaction: a consistent state, however long it is kept.

use super::walk::walk_table;
use super::{DEFINITIONS, Order, Reads, Span, StoredRow, TABLES, Table, TableId, TableKey, Visited, guard};
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
            let _ = cell.set(guard::redb(|| self.txn.open_table(DEFINITIONS[table]))??);
        }
        cell.get().ok_or(StoreError::Closed)
    }
}

/// Walks one table beside others that have the same keys: only forwards, so that each row is met once.
pub(crate) struct Beside<K, V> {
    rows: redb::Range<'static, &'static [u8], &'static [u8]>,
    next: Option<(K, Result<V, StoreError>)>,
    table: &'static str,
}

impl ReadView {
    /// A walk of a whole table beside that of another.
    pub(crate) fn beside<K: TableKey + Ord, V: StoredRow>(
        &self,
        table: &Table<K, V>,
    ) -> Result<Beside<K, V>, StoreError> {
        let open = self.table(table.id())?;
        let rows = guard::redb(|| open.range::<&[u8]>(..))??;
        Ok(Beside { rows, next: None, table: table.name() })
    }
}

impl<K: TableKey + Ord, V: StoredRow> Beside<K, V> {
    /// The row of this key; keys must be asked for in ascending order.
    pub(crate) fn at(&mut self, key: &K) -> Result<Option<V>, StoreError> {
        loop {
            match &self.next {
                Some((next, _)) if next > key => return Ok(None),
                Some((next, _)) if next == key => {
                    return self.next.take().map(|(_, row)| row).transpose();
                }
                _ => {}
            }
            let Some(entry) = guard::redb(|| self.rows.next())? else { return Ok(None) };
            let (found, value) = entry?;
            let (mut found, value) = guard::redb(|| (found.value(), value.value()))?;
            let damaged = |why| StoreError::Row { table: self.table, why };
            let found = K::read(&mut found).ok_or_else(|| damaged("its key is damaged"))?;
            // Rows that nobody asks for are not decoded.
            if found >= *key {
                self.next = Some((found, V::from_bytes(value).map_err(damaged)));
            }
        }
    }
}

impl Reads for ReadView {
    fn get_raw<T>(
        &self,
        table: TableId,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let open = self.table(table)?;
        let Some(row) = guard::redb(|| ReadableTable::get(open, key))?? else { return Ok(None) };
        Ok(Some(read(guard::redb(|| row.value())?)))
    }

    fn walk_raw(
        &self,
        table: TableId,
        span: &Span,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visited,
    ) -> Result<(), StoreError> {
        walk_table(self.table(table)?, span, order, visit)
    }
}
