//! Files to back up.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Numbers that look random and are the same each time (SplitMix64).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Those of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// So many bytes; nothing can compress them.
    #[must_use]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        // Megabytes for each scene, by a program that nobody optimised.
        for eight in bytes.chunks_mut(8) {
            eight.copy_from_slice(&self.next().to_le_bytes()[..eight.len()]);
        }
        bytes
    }
}

/// Writes a tree of `files` files with `total_bytes` together below `folder`, the same for each `seed`.
///
/// # Panics
/// When it can't be written.
pub fn write_tree(folder: &Path, seed: u64, files: usize, total_bytes: usize) -> Vec<PathBuf> {
    let mut numbers = Numbers::new(seed);
    let each = total_bytes / files.max(1);
    (0..files)
        .map(|index| {
            // A few folders deep, with names that are not plain.
            let place = folder.join(format!("ordner {}/ü-{}", index % 7, index % 3));
            fs::create_dir_all(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
            let file = place.join(format!("file-{index:05}.bin"));
            let size = if index + 1 == files { total_bytes - each * (files - 1) } else { each };
            fs::write(&file, numbers.bytes(size))
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            file
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_tree_has_the_size_that_was_asked_for_and_is_the_same_each_time() {
        let scratch = Scratch::new();
        let read = |name: &str| -> Vec<Vec<u8>> {
            let files = write_tree(&scratch.folder(name), 7, 11, 100_003);
            files.iter().map(|file| fs::read(file).expect("a file")).collect()
        };
        let first = read("a");
        assert_eq!(first.len(), 11);
        assert_eq!(first.iter().map(Vec::len).sum::<usize>(), 100_003);
        assert_eq!(first, read("b"));
        assert_ne!(first[0], first[1]);
    }
}
