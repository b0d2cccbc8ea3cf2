//! What somebody may have meant who typed a word that there is not.

use std::collections::BTreeSet;

/// Of a longer word the beginning is compared.
const MOST_CHARS: usize = 64;

/// The known word that differs least from this one: by how many signs are added, left out or others.
pub(crate) fn nearest<'k>(word: &str, known: &BTreeSet<&'k str>) -> &'k str {
    let word: Vec<char> = word.chars().take(MOST_CHARS).collect();
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=word.len()).collect();
        for (place, letter) in other.chars().enumerate() {
            let mut before = row[0];
            row[0] = place + 1;
            for (at, own) in word.iter().enumerate() {
                let changed = before + usize::from(*own != letter);
                before = row[at + 1];
                row[at + 1] = changed.min(before + 1).min(row[at] + 1);
            }
        }
        row.last().copied().unwrap_or_default()
    };
    known.iter().copied().min_by_key(|other| distance(other)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Cause;

    #[test]
    fn a_mistyped_word_is_met_by_the_nearest() {
        let known = Cause::codes();
        for (typed, meant) in [
            ("offlin", "offline"),
            ("Missed", "missed"),
            ("standby-late", "standby_late"),
            ("netwrok", "network"),
        ] {
            assert_eq!(nearest(typed, &known), meant);
        }
        assert!(known.contains(nearest("", &known)));
    }
}
