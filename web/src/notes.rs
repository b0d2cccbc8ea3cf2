//! Secrets that were just made, on their way to the page that shows them. A form is answered with a redirect, so
//! that the page behind it can be loaded again without making another; the page takes the note, once.
//!
//! Notes live in memory only, for two minutes and for whoever made them. There are few places: when all are taken
//! the oldest note goes, and what it held has to be made anew.

use fleet::record::Actor;
use schema::Timestamp;

/// So long a browser may take to follow a redirect.
const LIVES_MS: u64 = 120_000;
/// The most notes at once.
const MOST: usize = 64;

struct Note<T> {
    /// Who may read it.
    actor: Actor,
    /// The page that it is for.
    page: String,
    ends_at: Timestamp,
    held: T,
}

/// Notes of one sort.
pub(crate) struct Notes<T>(Vec<Note<T>>);

impl<T> Default for Notes<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Notes<T> {
    /// Leaves a note for a page, in place of one that was there.
    pub(crate) fn leave(&mut self, now: Timestamp, actor: &Actor, page: &str, held: T) {
        self.0.retain(|note| note.ends_at > now && (note.actor != *actor || note.page != page));
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        let ends_at = now.plus_ms(LIVES_MS);
        self.0.push(Note { actor: actor.clone(), page: page.to_owned(), ends_at, held });
    }

    /// Takes the note for a page, if there is one of this actor.
    pub(crate) fn take(&mut self, now: Timestamp, actor: &Actor, page: &str) -> Option<T> {
        self.0.retain(|note| note.ends_at > now && note.ends_at <= now.plus_ms(LIVES_MS));
        let at = self.0.iter().position(|note| note.actor == *actor && note.page == page)?;
        Some(self.0.remove(at).held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_415_472_000);

    fn ada() -> Actor {
        Actor::Operator("ada".to_owned())
    }

    #[test]
    fn a_note_is_for_its_page_and_its_maker_once_and_for_a_while() {
        let mut notes = Notes::default();
        notes.leave(NOW, &ada(), "/a", 1);
        notes.leave(NOW, &ada(), "/a", 2);
        notes.leave(NOW, &ada(), "/b", 3);
        assert_eq!(notes.take(NOW, &Actor::Operator("eve".to_owned()), "/a"), None);
        assert_eq!(notes.take(NOW, &ada(), "/c"), None);
        assert_eq!(notes.take(NOW, &ada(), "/a"), Some(2), "the newer one");
        assert_eq!(notes.take(NOW, &ada(), "/a"), None, "once");
        assert_eq!(notes.take(NOW.plus_ms(LIVES_MS), &ada(), "/b"), None, "too late");
    }

    #[test]
    fn there_are_few_places_and_the_oldest_note_goes() {
        let mut notes = Notes::default();
        for page in 0..=MOST {
            notes.leave(NOW, &ada(), &page.to_string(), page);
        }
        assert_eq!(notes.0.len(), MOST);
        assert_eq!(notes.take(NOW, &ada(), "0"), None);
        assert_eq!(notes.take(NOW, &ada(), "1"), Some(1));
    }
}
