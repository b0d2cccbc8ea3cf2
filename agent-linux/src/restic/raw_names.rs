//! Names that restic can't write as JSON: in place of each byte that is no UTF-8 it writes U+FFFD, so that two names can
//! look the same and neither can be opened. Its plain listing has the bytes, one path to a line, in the same order.

use super::summary::EntrySeen;
use schema::limits::{MAX_ENTRIES, MAX_NAME_BYTES};
use std::collections::VecDeque;

/// What stands in JSON for what is no UTF-8.
pub(crate) const STAND_IN: char = char::REPLACEMENT_CHARACTER;
/// The longest line that is kept.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Gathers names from a plain listing of one folder.
#[derive(Debug, Default)]
pub(crate) struct RawNames {
    /// How the paths of what is in the folder begin: whole lines, when the folder's own path holds ends of lines, …
    head: Vec<u8>,
    /// … and the beginning of the line that has the name.
    way: Vec<u8>,
    line: Vec<u8>,
    /// What was read since the last path began, from its name on, as a name may hold an end of line. Only its end, when
    /// it is too long for a name.
    open: Vec<u8>,
    /// It begins with a name, which is not too long.
    is_name: bool,
    found: Vec<Vec<u8>>,
}

impl RawNames {
    pub(crate) fn of(folder: &[u8]) -> Self {
        let mut head = folder.strip_suffix(b"/").unwrap_or(folder).to_vec();
        head.push(b'/');
        let way = head.split_off(head.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1));
        // As it stands in what is open: each line behind an end of line.
        if head.pop().is_some() {
            head.insert(0, b'\n');
        }
        Self { head, way, ..Self::default() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (piece, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |piece| (piece, true));
            let room = MAX_LINE_BYTES - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if ends {
                self.line_ends();
            }
        }
    }

    fn line_ends(&mut self) {
        let line = core::mem::take(&mut self.line);
        match line.strip_prefix(self.way.as_slice()) {
            Some(name) if self.open.ends_with(&self.head) => {
                self.open.truncate(self.open.len() - self.head.len());
                self.name_ends();
                self.open = name.to_vec();
                self.is_name = true;
            }
            _ => {
                self.open.push(b'\n');
                self.open.extend_from_slice(&line);
            }
        }
        let too_long = self.open.len().saturating_sub(MAX_NAME_BYTES + self.head.len());
        if too_long > 0 {
            self.is_name = false;
            self.open.drain(..too_long);
        }
    }

    fn name_ends(&mut self) {
        let name = core::mem::take(&mut self.open);
        let is_wanted = self.is_name && name.len() <= MAX_NAME_BYTES && is_odd(&name);
        if is_wanted && self.found.len() < MAX_ENTRIES as usize {
            self.found.push(name);
        }
    }

    /// The names that JSON shows as others, in their order.
    pub(crate) fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.line.is_empty() {
            self.line_ends();
        }
        self.name_ends();
        self.found
    }
}

fn is_odd(name: &[u8]) -> bool {
    std::str::from_utf8(name).map_or(true, |name| name.contains(STAND_IN))
}

/// A name as restic's JSON shows it: a stand-in for each byte that belongs to no character.
pub(crate) fn as_json_shows(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| STAND_IN));
    }
    out
}

/// Gives entries whose names JSON has altered their own ones, and says of how many that is not known.
pub(crate) fn give(entries: Vec<EntrySeen>, names: Vec<Vec<u8>>) -> (Vec<EntrySeen>, u32) {
    let all = entries.len();
    let mut names: VecDeque<Vec<u8>> = names.into();
    // Some names may be of entries that were left out.
    let mut own = |entry: &EntrySeen| {
        let place = names.iter().position(|name| as_json_shows(name).as_bytes() == entry.name)?;
        names.drain(..=place).next_back()
    };
    let named: Vec<EntrySeen> =
        entries.into_iter().filter_map(|entry| Some(EntrySeen { name: own(&entry)?, ..entry })).collect();
    let lost = u32::try_from(all - named.len()).unwrap_or(u32::MAX);
    (named, lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::report::EntryKind;

    fn names(folder: &[u8], listing: &[u8]) -> Vec<Vec<u8>> {
        // However it is cut into pieces.
        let whole = {
            let mut names = RawNames::of(folder);
            names.push(listing);
            names.finish()
        };
        for at in 0..listing.len() {
            let mut names = RawNames::of(folder);
            names.push(&listing[..at]);
            names.push(&listing[at..]);
            assert_eq!(names.finish(), whole, "cut at {at}");
        }
        whole
    }

    #[test]
    fn names_that_are_no_text_are_found_in_their_order() {
        let listing = b"snapshot 4ad1 of [/s] filtered by [/s/d\xfcr]:\n/s/d\xfcr\n/s/d\xfcr/f\xfe1\n/s/d\xfcr/plain\n/s/d\xfcr/f\xff1\n/s/d\xfcr/a\nb\xff\n/s/d\xfcr/true \xef\xbf\xbd\n";
        let found = names(b"/s/d\xfcr", listing);
        assert_eq!(found, [&b"f\xfe1"[..], b"f\xff1", b"a\nb\xff", b"true \xef\xbf\xbd"]);
        assert_eq!(names(b"/", b"snapshot of [/]:\n/\xff\n/etc\n"), [b"\xff"]);
        assert!(names(b"/s", b"").is_empty());
    }

    #[test]
    fn the_path_of_the_folder_may_hold_ends_of_lines() {
        let listing = b"snapshot 4ad1 of [/s/a\nb] filtered by [/s/a\nb]:\n/s/a\nb\n/s/a\nb/f\xfe1\n/s/a\nb/plain\n/s/a\nb/x\ny\xff\n/s/a\nb/z\xff\n/s/a\n\n/s/a\nb/w\xff\n";
        let found = names(b"/s/a\nb", listing);
        assert_eq!(found, [&b"f\xfe1"[..], b"x\ny\xff", b"z\xff\n/s/a\n", b"w\xff"]);
        let twice = b"/a\n/a\n\n/a\n/a\n/1\xff\n/a\n/a\n/2\xff\n";
        assert_eq!(names(b"/a\n/a\n", twice), [b"1\xff", b"2\xff"]);
    }

    #[test]
    fn a_name_that_is_too_long_takes_none_else_with_it() {
        let long = "l".repeat(MAX_NAME_BYTES + 1);
        for folder in ["/s/a", "/s/a\nb"] {
            let mut listing = format!("of [{}]:\n{folder}\n{folder}/{long}", "/p ".repeat(3000)).into_bytes();
            listing.extend([b"\xff\n", folder.as_bytes(), b"/f\xff\n"].concat());
            let mut names = RawNames::of(folder.as_bytes());
            names.push(&listing);
            assert_eq!(names.finish(), [b"f\xff"]);
        }
    }

    #[test]
    fn an_entry_gets_the_name_that_looks_like_it_and_none_else() {
        let entry = |name: &str, bytes| EntrySeen {
            name: name.as_bytes().to_vec(),
            kind: EntryKind::File,
            bytes,
            modified_at: None,
        };
        let entries = vec![entry("f\u{fffd}1", 1), entry("f\u{fffd}1", 2), entry("g\u{fffd}\u{fffd}", 3)];
        let (named, lost) = give(
            entries.clone(),
            [&b"e\xff"[..], b"f\xfe1", b"f\xff1", b"h\xff"].map(<[u8]>::to_vec).to_vec(),
        );
        let named: Vec<_> = named.into_iter().map(|entry| (entry.name, entry.bytes)).collect();
        assert_eq!((named, lost), (vec![(b"f\xfe1".to_vec(), 1), (b"f\xff1".to_vec(), 2)], 1));
        assert_eq!(give(entries, Vec::new()).1, 3);
        // Two bytes that begin a character which does not come are two stand-ins to restic.
        assert_eq!(as_json_shows(b"g\xe2\x82"), "g\u{fffd}\u{fffd}");
    }
}
