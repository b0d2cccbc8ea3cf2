//! Whether the server whose place this one has was told so: in memory, for it is told again and again.

use schema::Timestamp;

/// What was found where the former server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormerFound {
    /// It was told that its place is taken, and stands still.
    StandsStill,
    /// This server itself answers there, or one that was restored later.
    OtherServer,
    /// It could not be told; why, in words.
    Untold(String),
}

/// The server whose place this one has, and whether it knows that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerServer {
    /// Where its pages were.
    pub url: String,
    /// When it was tried to tell it last, since the start, and what was found; `None` = it was not yet.
    pub last: Option<(Timestamp, FormerFound)>,
    /// When it was told last, since the start.
    pub told_at: Option<Timestamp>,
}

/// What became of telling it, since the start.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    last: Option<(Timestamp, FormerFound)>,
    told_at: Option<Timestamp>,
}

impl Telling {
    /// It was tried. Returns whether something else was found than before.
    pub(crate) fn note(&mut self, now: Timestamp, found: FormerFound) -> bool {
        if found == FormerFound::StandsStill {
            self.told_at = Some(now);
        }
        let is_news = self.last.as_ref().is_none_or(|(_, before)| *before != found);
        self.last = Some((now, found));
        is_news
    }

    /// The former server, whose pages were there.
    pub(crate) fn of(&self, url: String) -> FormerServer {
        FormerServer { url, last: self.last.clone(), told_at: self.told_at }
    }
}
