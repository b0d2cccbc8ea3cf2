//! Draws files of a snapshot by lot, while its listing goes by. Pure: the same seed draws the same files, in whatever
//! pieces the listing comes.
//!
//! Each file gets a number that depends on the seed, its path and its size, and the lowest numbers win (the method of
//! Efraimidis and Spirakis): a file is drawn with a probability that grows with its bytes. Of one folder only a few may
//! win, so that one folder does not take all; where there are too few folders for that, the rest is drawn without this
//! rule. Memory is bounded by the number of files to draw, however long the listing is.

use super::raw_names::STAND_IN;
use schema::limits::{MAX_DRILL_FILES, MAX_VALUE_BYTES};

/// So many files of one folder may win, as long as there are others.
const MOST_OF_A_FOLDER: usize = 2;
/// So many times as many as are drawn are remembered: some may not fit into the bytes that are left.
const REMEMBERED: usize = 2;
/// What each file weighs beside its bytes, so that small and empty ones are drawn too.
const LEAST_WEIGHT: u64 = 4 * 1024;

/// A file of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its path inside the snapshot.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When its content was changed last, as the listing writes it.
    pub modified: String,
    /// When anything of it was changed last, as the listing writes it.
    pub changed: String,
    /// The lower, the sooner it is drawn.
    key: u64,
}

impl Candidate {
    fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// What is to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Which lot.
    pub seed: u64,
    /// The most files.
    pub files: usize,
    /// The most bytes in all.
    pub bytes: u64,
}

impl Bounds {
    /// With a number of files that can be remembered.
    #[must_use]
    pub fn new(seed: u64, files: u16, bytes: u64) -> Self {
        Self { seed, files: files.clamp(1, MAX_DRILL_FILES).into(), bytes }
    }
}

/// What was drawn, and from what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// The files, first drawn first.
    pub files: Vec<Candidate>,
    /// Number of files in the snapshot.
    pub of_files: u64,
    /// Size of those files in bytes.
    pub of_bytes: u64,
    /// Number of files that are larger than all that may be drawn.
    pub too_large: u64,
    /// Number of files whose paths the listing does not name exactly, or that are too long.
    pub odd_names: u64,
    /// Number of files that the lot fell on and for which no bytes were left.
    pub over_bytes: u32,
}

/// Gathers the lowest numbers.
#[derive(Debug)]
pub struct Draw {
    bounds: Bounds,
    /// At most [`MOST_OF_A_FOLDER`] of each folder; sorted.
    spread: Vec<Candidate>,
    /// Of any folder; sorted.
    any: Vec<Candidate>,
    drawn: Drawn,
}

impl Draw {
    /// Of a snapshot whose listing is about to come.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, spread: Vec::new(), any: Vec::new(), drawn: Drawn::default() }
    }

    /// Takes a file of the listing; the times are as the listing writes them.
    pub fn take(&mut self, path: &str, bytes: u64, modified: &str, changed: &str) {
        let drawn = &mut self.drawn;
        drawn.of_files = drawn.of_files.saturating_add(1);
        drawn.of_bytes = drawn.of_bytes.saturating_add(bytes);
        if path.contains(STAND_IN) || path.len() > MAX_VALUE_BYTES {
            drawn.odd_names = drawn.odd_names.saturating_add(1);
            return;
        }
        if bytes > self.bounds.bytes {
            drawn.too_large = drawn.too_large.saturating_add(1);
            return;
        }
        let key = key(self.bounds.seed, path, bytes);
        let most = self.bounds.files * REMEMBERED;
        let wins = |list: &[Candidate]| list.len() < most || list.last().is_some_and(|last| key < last.key);
        let (wins_any, wins_spread) = (wins(&self.any), wins(&self.spread));
        if !wins_any && !wins_spread {
            return;
        }
        let found = Candidate {
            path: path.to_owned(),
            bytes,
            modified: modified.to_owned(),
            changed: changed.to_owned(),
            key,
        };
        if wins_spread && self.gives_way(&found) {
            insert(&mut self.spread, found.clone(), most);
        }
        if wins_any {
            insert(&mut self.any, found, most);
        }
    }

    /// Whether there is a place for one more of its folder; the last of the folder goes when that is the better one.
    fn gives_way(&mut self, found: &Candidate) -> bool {
        let of_folder = |known: &&Candidate| known.folder() == found.folder();
        if self.spread.iter().filter(of_folder).count() < MOST_OF_A_FOLDER {
            return true;
        }
        let last = self.spread.iter().rposition(|known| of_folder(&known));
        match last.filter(|&last| found.key < self.spread[last].key) {
            Some(last) => {
                self.spread.remove(last);
                true
            }
            None => false,
        }
    }

    /// What was drawn.
    #[must_use]
    pub fn finish(self) -> Drawn {
        let Self { bounds, spread, any, mut drawn } = self;
        let mut left = bounds.bytes;
        let rest = any.into_iter().filter(|found| !spread.iter().any(|known| known.path == found.path));
        let candidates: Vec<Candidate> = spread.iter().cloned().chain(rest).collect();
        for found in candidates {
            if drawn.files.len() == bounds.files {
                break;
            }
            match left.checked_sub(found.bytes) {
                Some(rest) => {
                    left = rest;
                    drawn.files.push(found);
                }
                None => drawn.over_bytes = drawn.over_bytes.saturating_add(1),
            }
        }
        drawn
    }
}

fn insert(list: &mut Vec<Candidate>, found: Candidate, most: usize) {
    let place = list.partition_point(|known| known.key < found.key);
    list.insert(place, found);
    list.truncate(most);
}

/// An exponential variable whose rate is the file's weight: the lowest of several is each one's with the probability of
/// its share of all weights.
#[expect(clippy::cast_precision_loss, reason = "a weight need not be exact")]
fn key(seed: u64, path: &str, bytes: u64) -> u64 {
    // FNV-1a, then the mixing of SplitMix64.
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = path.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, mix).wrapping_add(seed);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    // 53 bits: never 0 and never 1.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    // Of numbers above zero the bits have the order of the numbers.
    (-uniform.ln() / bytes.saturating_add(LEAST_WEIGHT) as f64).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn draw(bounds: Bounds, files: &[(String, u64)]) -> Drawn {
        let mut draw = Draw::new(bounds);
        for (path, bytes) in files {
            draw.take(path, *bytes, "", "");
        }
        draw.finish()
    }

    fn paths(drawn: &Drawn) -> Vec<&str> {
        drawn.files.iter().map(|file| file.path.as_str()).collect()
    }

    fn bounds(seed: u64, files: u16, bytes: u64) -> Bounds {
        Bounds::new(seed, files, bytes)
    }

    /// All files with their numbers, lowest first; of each folder at most so many.
    fn by_number(seed: u64, files: &[(String, u64)], of_a_folder: usize) -> Vec<(String, u64)> {
        let mut all = files.to_vec();
        all.sort_by_key(|(path, bytes)| key(seed, path, *bytes));
        let mut folders: BTreeMap<String, usize> = BTreeMap::new();
        all.retain(|(path, _)| {
            let count = folders.entry(path.rsplit_once('/').unwrap().0.to_owned()).or_default();
            *count += 1;
            *count <= of_a_folder
        });
        all
    }

    fn trees() -> impl Strategy<Value = Vec<(String, u64)>> {
        let file = ("(/[ab]{1,2}){0,3}/[a-d]{1,3}", prop_oneof![0_u64..10, 0_u64..2_000_000]);
        proptest::collection::btree_map(file.0, file.1, 0..200).prop_map(|files| files.into_iter().collect())
    }

    proptest! {
        /// What is remembered while the listing goes by is what sorting all of it would give.
        #[test]
        fn what_goes_by_is_drawn_as_from_the_whole_list(
            files in trees(), seed in any::<u64>(), most in 1_u16..30,
        ) {
            let drawn = draw(bounds(seed, most, u64::MAX), &files);
            let most = usize::from(most);
            let spread = by_number(seed, &files, MOST_OF_A_FOLDER);
            let any = by_number(seed, &files, usize::MAX);
            let mut wanted: Vec<&str> = Vec::new();
            for (path, _) in spread.iter().take(most * REMEMBERED).chain(&any) {
                if wanted.len() < most && !wanted.contains(&path.as_str()) {
                    wanted.push(path);
                }
            }
            prop_assert_eq!(paths(&drawn), wanted);
        }

        /// Each at most once, never more than the bounds, the same again in any order, and all that is left out is told.
        #[test]
        fn the_bounds_are_kept_and_what_they_cut_is_told(
            files in trees(), seed in any::<u64>(), most in 1_u16..30, bytes in 0_u64..3_000_000,
        ) {
            let bounds = bounds(seed, most, bytes);
            let drawn = draw(bounds, &files);
            let once: BTreeSet<&str> = paths(&drawn).into_iter().collect();
            prop_assert_eq!(once.len(), drawn.files.len());
            prop_assert!(drawn.files.len() <= usize::from(most));
            prop_assert!(drawn.files.iter().map(|file| file.bytes).sum::<u64>() <= bytes);
            prop_assert_eq!(drawn.of_files, files.len() as u64);
            prop_assert_eq!(drawn.of_bytes, files.iter().map(|(_, bytes)| bytes).sum::<u64>());
            let large = files.iter().filter(|(_, size)| *size > bytes).count();
            prop_assert_eq!(drawn.too_large, large as u64);
            // Fewer than the most only when there are no more, or no bytes for them.
            let fits = files.len() - large;
            prop_assert!(
                drawn.files.len() == fits.min(most.into()) || drawn.over_bytes > 0,
                "{} of {fits}", drawn.files.len()
            );
            let backwards: Vec<_> = files.iter().rev().cloned().collect();
            prop_assert_eq!(draw(bounds, &backwards), drawn);
        }
    }

    #[test]
    fn larger_files_are_drawn_more_often_and_empty_ones_sometimes() {
        let files: Vec<(String, u64)> = (0..50)
            .map(|n| (format!("/{n}/small"), 0))
            .chain((0..50).map(|n| (format!("/{n}/large"), 36 * 1024)))
            .collect();
        let large = (0..400)
            .flat_map(|seed| {
                paths(&draw(bounds(seed, 1, u64::MAX), &files)).concat().contains("large").then_some(())
            })
            .count();
        // Ten times the weight: 364 of 400 on average, with a deviation of 6.
        assert!((335..=390).contains(&large), "{large}");
    }

    #[test]
    fn one_folder_does_not_take_all_unless_there_is_no_other() {
        let mut files: Vec<(String, u64)> = (0..500).map(|n| (format!("/big/{n}"), 1_000_000)).collect();
        assert_eq!(draw(bounds(1, 20, u64::MAX), &files).files.len(), 20);
        files.extend((0..30).map(|n| (format!("/{n}/one"), 10)));
        let drawn = draw(bounds(1, 20, u64::MAX), &files);
        let of_big = paths(&drawn).iter().filter(|path| path.starts_with("/big/")).count();
        assert_eq!((of_big, drawn.files.len()), (MOST_OF_A_FOLDER, 20));
    }

    #[test]
    fn names_that_the_listing_alters_are_counted_and_not_drawn() {
        let long = format!("/{}", "l".repeat(MAX_VALUE_BYTES));
        let files = [("/a\u{fffd}".to_owned(), 1), (long, 1), ("/b".to_owned(), 1)];
        let drawn = draw(bounds(1, 20, 100), &files);
        assert_eq!((paths(&drawn), drawn.odd_names, drawn.of_files), (vec!["/b"], 2, 3));
    }

    #[test]
    fn memory_does_not_grow_with_the_listing() {
        let mut draw = Draw::new(bounds(7, u16::MAX, u64::MAX));
        for n in 0..100_000_u64 {
            draw.take(&format!("/{}/{n}", n % 1_000), n, "", "");
        }
        assert_eq!((draw.any.len(), draw.spread.len()), (200, 200));
        assert_eq!(draw.finish().files.len(), usize::from(MAX_DRILL_FILES));
    }
}
