//! restic by hand: what a careful operator would look at to see whether a backup is really there.

use crate::{
    api::text,
    process::{Finished, run},
    scratch::Scratch,
    storage::Door,
    tools::Tool,
    wait::LONG,
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A repository, opened with its own credentials.
#[derive(Debug)]
pub struct Repository {
    restic: PathBuf,
    scratch: Scratch,
}

impl Repository {
    /// The repository behind a door of rest-server.
    ///
    /// # Panics
    /// When its credentials can't be written into a scratch folder.
    #[must_use]
    pub fn behind(door: &Door, repo_password: &str) -> Self {
        let login = format!("{}:{}@", door.user, percent_encoded(&door.password));
        Self::at(&format!("rest:http://{login}{}/{}/", door.address, door.user), repo_password)
    }

    /// The repository of this name.
    ///
    /// # Panics
    /// When its credentials can't be written into a scratch folder.
    #[must_use]
    pub fn at(name: &str, repo_password: &str) -> Self {
        let scratch = Scratch::new();
        for (file, content) in [("repository", name), ("password", repo_password)] {
            fs::write(scratch.path().join(file), content).expect("a file in the scratch folder");
        }
        Self { restic: Tool::Restic018.path(), scratch }
    }

    /// The same, opened with another restic.
    #[must_use]
    pub fn with(self, restic: &Path) -> Self {
        Self { restic: restic.to_owned(), ..self }
    }

    /// Runs restic on it.
    #[must_use]
    pub fn restic(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(&self.restic);
        command
            .env_clear()
            .env("HOME", self.scratch.path())
            .env("RESTIC_CACHE_DIR", self.scratch.path().join("cache"))
            .env("RESTIC_REPOSITORY_FILE", self.scratch.path().join("repository"))
            .env("RESTIC_PASSWORD_FILE", self.scratch.path().join("password"))
            .args(arguments);
        run("restic by hand", command, LONG)
    }

    /// Creates it.
    pub fn init(&self) {
        let _ = self.restic(&["init", "--quiet"]).expect_success("init by hand");
    }

    /// What `restic cat masterkey` prints.
    #[must_use]
    pub fn master_key(&self) -> String {
        self.restic(&["cat", "masterkey", "--no-lock", "--quiet"]).expect_success("the master key")
    }

    /// Puts a key that takes no time to open in the place of those that restic has made; it lies in `folder`. For tests in
    /// which restic is started often.
    ///
    /// # Panics
    /// When its files can't be read or written.
    pub fn open_at_once(&self, folder: &Path) {
        let password = fs::read_to_string(self.scratch.path().join("password")).expect("its password");
        repository_files::open_at_once(folder, &password, &self.master_key());
    }

    /// A file of a snapshot.
    #[must_use]
    pub fn dump(&self, snapshot: &str, path: &str) -> String {
        self.restic(&["dump", "--no-lock", snapshot, path]).expect_success("dump by hand")
    }

    /// Its snapshots, oldest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Value> {
        let output =
            self.restic(&["snapshots", "--json", "--no-lock", "--quiet"]).expect_success("snapshots by hand");
        let list = output.lines().find(|line| line.starts_with('[')).unwrap_or("null");
        match serde_json::from_str(list) {
            Ok(Value::Array(snapshots)) => snapshots,
            _ => panic!("no snapshot list:\n{output}"),
        }
    }

    /// The ids of its snapshots with a tag, sorted.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Vec<String> {
        let has_tag = |snapshot: &Value| {
            snapshot["tags"].as_array().is_some_and(|tags| tags.iter().any(|it| it == tag))
        };
        let mut ids: Vec<String> =
            self.snapshots().iter().filter(|snapshot| has_tag(snapshot)).map(|it| text(&it["id"])).collect();
        ids.sort();
        ids
    }

    /// The ids of its locks.
    #[must_use]
    pub fn locks(&self) -> Vec<String> {
        let output = self.restic(&["list", "locks", "--no-lock", "--quiet"]).expect_success("locks by hand");
        output.lines().filter(|line| line.len() == 64).map(str::to_owned).collect()
    }

    /// Whether restic finds it sound, with all data read.
    pub fn is_sound(&self) -> Result<(), String> {
        let check = self.restic(&["check", "--read-data", "--no-lock"]);
        if check.status.success() { Ok(()) } else { Err(check.output) }
    }
}

/// For user information in addresses.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
