//! A small disk of its own under a folder, which can be made full.

use crate::{process::run, wait::SOON};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A small disk; it goes when this is dropped.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
    bytes: u64,
}

impl Disk {
    /// Moves what is in a folder onto a disk of its own; `None` where nothing can be mounted.
    #[must_use]
    pub fn under(bytes: u64, folder: &Path) -> Option<Self> {
        let aside = folder.with_extension("aside");
        fs::rename(folder, &aside).expect("a folder to move");
        fs::create_dir(folder).expect("a folder to mount on");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "tmpfs"]).arg(folder);
        let is_permitted = mount.output().is_ok_and(|done| done.status.success());
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(format!("{}/.", aside.display())).arg(folder);
        let _ = run("cp", copy, SOON).expect_success("a copy of the state");
        if !is_permitted {
            // The rest of a test does not need it.
            eprintln!("nothing can be mounted here: the disk is never full");
            return None;
        }
        Some(Self { at: folder.to_owned(), bytes })
    }

    fn filler(&self) -> PathBuf {
        self.at.join("cache/filler")
    }

    /// Takes all the space that is left.
    pub fn fill(&self) {
        let _ = fs::create_dir_all(self.at.join("cache"));
        let room = vec![0; usize::try_from(self.bytes).expect("small")];
        // As much of it as there is space for.
        let _ = fs::write(self.filler(), room);
    }

    /// Gives it back.
    pub fn empty(&self) {
        let _ = fs::remove_file(self.filler());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
