//! A long list on its way: reports that are full, one after the other.

/// What a job has listed and what of it has been sent.
#[derive(Debug)]
pub(super) struct Listed<T> {
    waits: Vec<T>,
    /// It is worth looking whether a report is full when so many wait.
    look_at: usize,
    sent: u32,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { waits: Vec::new(), look_at: 1, sent: 0 }
    }
}

impl<T> Listed<T> {
    pub(super) fn push(&mut self, item: T) {
        self.waits.push(item);
    }

    /// Whether some of it has been sent.
    pub(super) const fn has_begun(&self) -> bool {
        self.sent > 0
    }

    /// The next report's worth and the number of its first: when there is more than one takes, or with `all`.
    pub(super) fn take(&mut self, that_fit: impl Fn(&[T]) -> usize, all: bool) -> Option<(u32, Vec<T>)> {
        let count = self.waits.len();
        if count == 0 || (count < self.look_at && !all) {
            return None;
        }
        let fits = that_fit(&self.waits);
        if fits == count && !all {
            // Measuring goes through all that waits: the longer it is, the rarer.
            self.look_at = count + count / 4 + 1;
            return None;
        }
        self.look_at = 1;
        let first = self.sent;
        self.sent = first.saturating_add(u32::try_from(fits).unwrap_or(u32::MAX));
        Some((first, self.waits.drain(..fits).collect()))
    }
}
