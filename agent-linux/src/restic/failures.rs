//! The files that a restore could not write: each counted once, however often restic complains about it.

use schema::limits::{MAX_RESTORE_FAILURES, MAX_VALUE_BYTES};

/// How many files are told apart. What is beyond counts once for each complaint.
const MOST_TOLD_APART: usize = 10_000;
/// How much of a reason is kept, in bytes.
const MAX_REASON_BYTES: usize = 300;

/// How restic's complaints begin that are about what belongs to a file beside its content, or about what it could not delete.
const BESIDE_CONTENT: [&str; 9] =
    ["lchown", "chown", "chmod", "UtimesNano", "utimes", "lsetxattr", "xattr", "unlinkat", "remove"];

/// What failed in one run of restic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Stand for the paths, which may be long; in order.
    seen: Vec<u64>,
    /// The first ones: path and reason.
    pub named: Vec<(String, String)>,
    /// How many files failed.
    pub count: u64,
}

impl Failures {
    /// Takes a complaint about a path; whether it is the first one about it.
    pub fn add(&mut self, path: &str, reason: &str) -> bool {
        let digest = digest(path);
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
        match self.seen.binary_search(&digest) {
            Ok(_) => {
                // What is said of the content weighs more than what was said before of what stands beside it.
                let named = self.named.iter_mut().find(|(named, _)| named == path);
                if let Some((_, first)) =
                    named.filter(|(_, first)| !is_of_content(first) && is_of_content(reason))
                {
                    reason.clone_into(first);
                }
                return false;
            }
            Err(place) if self.seen.len() < MOST_TOLD_APART => self.seen.insert(place, digest),
            Err(_) => {}
        }
        self.count = self.count.saturating_add(1);
        if self.named.len() < MAX_RESTORE_FAILURES && path.len() <= MAX_VALUE_BYTES {
            self.named.push((path.to_owned(), reason.to_owned()));
        }
        true
    }

    /// Stand for the paths that failed, as far as they are told apart.
    pub(super) fn digests(&self) -> &[u64] {
        &self.seen
    }

    /// Whether nothing failed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Whether a reason says that what was to be restored is not there, or not whole.
pub(super) fn is_of_content(reason: &str) -> bool {
    !BESIDE_CONTENT.iter().any(|word| reason.starts_with(word))
}

/// FNV-1a. Two paths of one digest count as one: of ten thousand that happens once in many billions of restores.
pub(super) fn digest(path: &str) -> u64 {
    let mix = |key: u64, byte: u8| (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    path.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_the_content_makes_no_file_unreadable() {
        assert!(!is_of_content("lchown /x: operation not permitted"));
        assert!(!is_of_content("UtimesNano: no such file or directory"));
        assert!(!is_of_content("unlinkat /x: device or resource busy"));
        assert!(!is_of_content("remove /x: directory not empty"));
        assert!(is_of_content("ciphertext verification failed"));
        assert!(is_of_content("decrypting blob <data/0123> failed"));
    }

    #[test]
    fn a_file_counts_once_and_the_first_reason_of_its_content_stands() {
        let mut failures = Failures::default();
        let said = [
            ("/a", "chmod"),
            ("/b", &"x".repeat(1_000)),
            ("/a", "no space"),
            ("/a", "bad"),
            ("/a", "lchown"),
        ];
        let is_first = said.map(|(path, reason)| failures.add(path, reason));
        assert_eq!(is_first, [true, true, false, false, false]);
        assert_eq!(failures.count, 2);
        assert_eq!(failures.named[0], ("/a".to_owned(), "no space".to_owned()));
        assert_eq!(failures.named[1].1.len(), MAX_REASON_BYTES);
        for number in 0..200 {
            failures.add(&format!("/{number}"), "");
        }
        assert_eq!((failures.named.len(), failures.count), (MAX_RESTORE_FAILURES, 202));
    }
}
