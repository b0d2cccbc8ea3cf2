//! Reading, alike from a snapshot and inside a write transaction.

use super::{Span, StoredRow, Table, TableId, TableKey};
use crate::refused::StoreError;
use std::ops::ControlFlow;

/// In which order a span is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// What a visitor of raw rows returns.
pub(crate) type Visited = Result<ControlFlow<()>, StoreError>;

pub(crate) trait Reads {
    /// The bytes under a key, handed to `read`.
    fn get_raw<T>(
        &self,
        table: TableId,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError>;

    /// Walks a span until the visitor breaks.
    fn walk_raw(
        &self,
        table: TableId,
        span: &Span,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Visited,
    ) -> Result<(), StoreError>;

    /// The row under a key.
    fn get<K: TableKey, V: StoredRow>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>, StoreError> {
        self.get_raw(table.id(), &key.bytes(), V::from_bytes)?
            .transpose()
            .map_err(|why| StoreError::Row { table: table.name(), why })
    }

    /// Whether there is a row under a key.
    fn has<K: TableKey, V: StoredRow>(&self, table: &Table<K, V>, key: &K) -> Result<bool, StoreError> {
        Ok(self.get_raw(table.id(), &key.bytes(), |_| ())?.is_some())
    }

    /// Walks the rows of a span until the visitor breaks.
    fn walk<K: TableKey, V: StoredRow>(
        &self,
        table: &Table<K, V>,
        span: &Span,
        order: Order,
        mut visit: impl FnMut(K, V) -> Visited,
    ) -> Result<(), StoreError> {
        self.walk_raw(table.id(), span, order, &mut |mut key, value| {
            let row_error = |why| StoreError::Row { table: table.name(), why };
            let key = K::read(&mut key).ok_or("its key is damaged").map_err(row_error)?;
            visit(key, V::from_bytes(value).map_err(row_error)?)
        })
    }

    /// The rows of a span, ascending.
    fn rows<K: TableKey, V: StoredRow>(
        &self,
        table: &Table<K, V>,
        span: &Span,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let mut rows = Vec::new();
        self.walk(table, span, Order::Ascending, |key, row| {
            rows.push((key, row));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// The keys of a span, ascending, without reading the rows; at most `max`.
    fn keys<K: TableKey, V: StoredRow>(
        &self,
        table: &Table<K, V>,
        span: &Span,
        max: usize,
    ) -> Result<Vec<K>, StoreError> {
        let mut keys = Vec::new();
        if max == 0 {
            return Ok(keys);
        }
        self.walk_raw(table.id(), span, Order::Ascending, &mut |mut key, _| {
            let key = K::read(&mut key)
                .ok_or(StoreError::Row { table: table.name(), why: "its key is damaged" })?;
            keys.push(key);
            Ok(if keys.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(keys)
    }

    /// The last row of a span.
    fn last<K: TableKey, V: StoredRow>(
        &self,
        table: &Table<K, V>,
        span: &Span,
    ) -> Result<Option<(K, V)>, StoreError> {
        let mut last = None;
        self.walk(table, span, Order::Descending, |key, row| {
            last = Some((key, row));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(last)
    }
}
