//! One write transaction, shared by the operations of a batch.

use super::walk::walk_table;
use super::{
    CREDENTIALS, DEFINITIONS, HOSTS, MAINTENANCE, OF_A_HOST, Order, PRESENCES, REPOS, Reads, SUMMARIES, Span,
    StoredRow, TABLES, Table, TableId, TableKey, Visited, guard,
};
use crate::change::Effects;
use crate::refused::StoreError;
use redb::{ReadableTable, WriteTransaction};
use schema::HostId;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

type Open<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// What an operation reads and writes with. Tables open when they are touched first and stay open for the batch.
pub(crate) struct Tx<'t> {
    txn: &'t WriteTransaction,
    open: [OnceCell<Open<'t>>; TABLES],
    writes: u64,
    /// How many of them are noted in passing.
    passing: u64,
    /// What follows from the batch once it is committed.
    pub(crate) effects: Effects,
}

impl<'t> Tx<'t> {
    pub(super) fn new(txn: &'t WriteTransaction) -> Self {
        Self {
            txn,
            open: [const { OnceCell::new() }; TABLES],
            writes: 0,
            passing: 0,
            effects: Effects::default(),
        }
    }

    /// How many rows have been written or removed so far.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    /// Closes the tables, so that the transaction can be ended.
    pub(super) fn into_effects(mut self) -> Effects {
        self.effects.is_change = self.writes > self.passing;
        self.effects
    }

    /// What was written since so many writes is no change that anybody waits for.
    pub(crate) fn is_passing_since(&mut self, writes: u64) {
        self.passing += self.writes.saturating_sub(writes);
    }

    /// Opens every table, so that readers find them.
    pub(super) fn create_tables(&mut self) -> Result<(), StoreError> {
        (0..TABLES).try_for_each(|table| self.table(table).map(|_| ()))
    }

    fn table(&self, table: TableId) -> Result<&Open<'t>, StoreError> {
        let cell = &self.open[table];
        if cell.get().is_none() {
            let _ = cell.set(guard::redb(|| self.txn.open_table(DEFINITIONS[table]))??);
        }
        cell.get().ok_or(StoreError::Closed)
    }

    fn table_mut(&mut self, table: TableId) -> Result<&mut Open<'t>, StoreError> {
        self.table(table)?;
        self.writes += 1;
        self.open[table].get_mut().ok_or(StoreError::Closed)
    }

    /// Notes the host of a row that lists are made of; see [`crate::roster`].
    fn note_listed(&mut self, table: TableId, key: &[u8]) {
        if [HOSTS.id(), PRESENCES.id(), SUMMARIES.id(), REPOS.id(), MAINTENANCE.id()].contains(&table)
            && let Ok(id) = key.try_into()
        {
            self.effects.listed.insert(HostId(id));
        }
        if table == CREDENTIALS.id()
            && let Some(id) = key.first_chunk()
        {
            self.effects.listed.insert(HostId(*id));
        }
    }

    /// Writes a row, whether or not there was one.
    pub(crate) fn put<K: TableKey, V: StoredRow>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        row: &V,
    ) -> Result<(), StoreError> {
        let bytes = row.encode();
        let key = key.bytes();
        self.note_listed(table.id(), &key);
        let open = self.table_mut(table.id())?;
        guard::redb(|| open.insert(key.as_slice(), bytes.as_slice()).map(|_| ()))??;
        Ok(())
    }

    /// Writes what is no row.
    #[cfg(test)]
    pub(crate) fn put_damaged<K: TableKey, V: StoredRow>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<(), StoreError> {
        let key = key.bytes();
        self.note_listed(table.id(), &key);
        let open = self.table_mut(table.id())?;
        guard::redb(|| open.insert(key.as_slice(), &[0xff_u8][..]).map(|_| ()))??;
        Ok(())
    }

    /// Removes a row; `false` = there was none.
    pub(crate) fn remove<K: TableKey, V: StoredRow>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<bool, StoreError> {
        let key = key.bytes();
        self.note_listed(table.id(), &key);
        let open = self.table_mut(table.id())?;
        Ok(guard::redb(|| open.remove(key.as_slice()).map(|old| old.is_some()))??)
    }

    /// Removes all rows of a span; returns how many.
    pub(crate) fn remove_all<K: TableKey, V: StoredRow>(
        &mut self,
        table: &Table<K, V>,
        span: &Span,
    ) -> Result<usize, StoreError> {
        self.remove_span(table.id(), span)
    }

    /// Removes all rows of a host: those of each table that is marked as one of a host's.
    pub(crate) fn remove_of_host(&mut self, host: HostId) -> Result<(), StoreError> {
        let own = Span::under(&host);
        OF_A_HOST.iter().try_for_each(|table| self.remove_span(*table, &own).map(|_| ()))
    }

    /// The hosts that have rows in any of those tables.
    pub(crate) fn hosts_with_rows(&self) -> Result<BTreeSet<HostId>, StoreError> {
        let mut hosts = BTreeSet::new();
        for table in OF_A_HOST {
            self.walk_raw(*table, &Span::ALL, Order::Ascending, &mut |key, _| {
                hosts.extend(key.first_chunk().copied().map(HostId));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(hosts)
    }

    fn remove_span(&mut self, table: TableId, span: &Span) -> Result<usize, StoreError> {
        let mut keys = Vec::new();
        self.walk_raw(table, span, Order::Ascending, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        if keys.is_empty() {
            return Ok(0);
        }
        for key in &keys {
            self.note_listed(table, key);
        }
        let open = self.table_mut(table)?;
        for key in &keys {
            guard::redb(|| open.remove(key.as_slice()).map(|_| ()))??;
        }
        Ok(keys.len())
    }
}

impl Reads for Tx<'_> {
    fn get_raw<T>(
        &self,
        table: TableId,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let open = self.table(table)?;
        let Some(row) = guard::redb(|| open.get(key))?? else { return Ok(None) };
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
