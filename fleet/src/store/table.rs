//! A typed table, whatever it holds.

use std::marker::PhantomData;

/// A table's place among all.
pub(crate) type TableId = usize;

/// A typed table.
pub(crate) struct Table<K, V> {
    id: TableId,
    name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    pub(super) const fn new(id: TableId, name: &'static str) -> Self {
        Self { id, name, types: PhantomData }
    }

    pub(crate) const fn id(&self) -> TableId {
        self.id
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// The same table as one of other rows, to put in what does not belong there.
    #[cfg(test)]
    pub(super) const fn of_rows<W>(&self) -> Table<K, W> {
        Table { id: self.id, name: self.name, types: PhantomData }
    }
}
