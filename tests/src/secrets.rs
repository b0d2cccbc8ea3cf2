//! Secrets that are planted, and everything that can be searched for them afterwards.

use crate::{proc_table, sources::Numbers};
use data_encoding::{BASE64, BASE64URL, HEXLOWER};
use memchr::memmem;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How often the process table is looked at: restic takes hundreds of milliseconds for anything.
const GLANCE: Duration = Duration::from_millis(15);

/// Named secrets.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    needles: Vec<(String, Vec<u8>)>,
}

impl Secrets {
    /// Makes a secret that stands nowhere else, holds characters that have to be escaped in addresses, and is looked
    /// for from now on in each form that it could be written in.
    pub fn plant(&mut self, name: &str, numbers: &mut Numbers) -> String {
        let word = name.replace(' ', "-");
        let secret = format!("pl4nt/{word}:{:016x}@{:08x}%", numbers.next(), numbers.next() >> 32);
        self.look_for(name, &secret);
        secret
    }

    /// Looks for this one, too.
    pub fn look_for(&mut self, name: &str, secret: &str) {
        let bytes = secret.as_bytes();
        let mut forms = vec![
            secret.to_owned(),
            HEXLOWER.encode(bytes),
            // Percent-encoded, and as JSON and HTML may write it.
            secret.replace('%', "%25").replace('/', "%2F").replace(':', "%3A").replace('@', "%40"),
            secret.replace('/', "\\/"),
            secret.replace('/', "&#x2f;"),
            // The part that no escaping changes.
            secret.split(['/', ':', '@', '%']).max_by_key(|part| part.len()).unwrap_or(secret).to_owned(),
        ];
        // Base64 of a longer text with the secret in it (`user:secret`): what its neighbours don't change.
        for before in 0..3 {
            let shifted = [vec![0; before], bytes.to_vec()].concat();
            let whole = &shifted[..shifted.len() / 3 * 3];
            for base64 in [BASE64.encode(whole), BASE64URL.encode(whole)] {
                forms.push(base64[if before == 0 { 0 } else { 4 }..].to_owned());
            }
        }
        for form in forms.into_iter().collect::<BTreeSet<_>>() {
            self.needles.push((name.to_owned(), form.into_bytes()));
        }
    }

    /// The names of the secrets that stand in these bytes.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> BTreeSet<String> {
        let stands_in = |needle: &[u8]| memmem::find(bytes, needle).is_some();
        self.needles.iter().filter(|(_, needle)| stands_in(needle)).map(|(name, _)| name.clone()).collect()
    }

    /// The files below `folder` that hold a secret, with its name.
    #[must_use]
    pub fn found_below(&self, folder: &Path) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for file in files_below(folder) {
            let Ok(bytes) = fs::read(&file) else { continue };
            found.extend(self.found_in(&bytes).into_iter().map(|name| (file.clone(), name)));
        }
        found
    }

    /// Looks at the arguments of all processes until it is dropped or asked.
    #[must_use]
    pub fn watch_arguments(&self) -> ArgumentWatch {
        let (stop, found) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
        let (secrets, stopped, finds) = (self.clone(), Arc::clone(&stop), Arc::clone(&found));
        let watcher = thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                for process in proc_table::all() {
                    // Each command line once: they hardly change.
                    if !seen.insert((process.pid, process.arguments.clone())) {
                        continue;
                    }
                    for name in secrets.found_in(&process.arguments) {
                        let place = format!("{name} in the arguments of {}", process.program());
                        finds.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
                    }
                }
                thread::sleep(GLANCE);
            }
            seen.len()
        });
        ArgumentWatch { stop, found, watcher: Some(watcher) }
    }
}

/// All files below a folder.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// Looks over the shoulder of all processes.
#[derive(Debug)]
pub struct ArgumentWatch {
    stop: Arc<AtomicBool>,
    found: Arc<Mutex<BTreeSet<String>>>,
    watcher: Option<JoinHandle<usize>>,
}

impl ArgumentWatch {
    /// Ends it: what it found, and how many command lines it has read.
    #[must_use]
    pub fn end(mut self) -> (BTreeSet<String>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let read = self.watcher.take().and_then(|watcher| watcher.join().ok()).unwrap_or(0);
        (self.found.lock().unwrap_or_else(PoisonError::into_inner).clone(), read)
    }
}

impl Drop for ArgumentWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{process::Process, scratch::Scratch, wait};
    use std::process::Command;

    fn planted() -> (Secrets, String) {
        let mut secrets = Secrets::default();
        let secret = secrets.plant("repository password", &mut Numbers::new(1));
        (secrets, secret)
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let (secrets, secret) = planted();
        let url =
            format!("http://u:{}@h", secret.replace('/', "%2F").replace('@', "%40").replace(':', "%3A"));
        let login = |user: &str| BASE64.encode(format!("{user}:{secret}").as_bytes());
        for text in [
            format!("x{secret}y"),
            BASE64.encode(secret.as_bytes()),
            login("a"),
            login("ab"),
            login("abc"),
            url,
        ] {
            assert_eq!(secrets.found_in(text.as_bytes()).len(), 1, "{text}");
        }
        assert!(secrets.found_in(b"nothing here").is_empty());
    }

    #[test]
    fn a_secret_in_a_file_is_found_with_its_path() {
        let (secrets, secret) = planted();
        let scratch = Scratch::new();
        let file = scratch.folder("a/b").join("log");
        fs::write(&file, format!("restic says {secret}")).expect("a file");
        assert_eq!(secrets.found_below(scratch.path()), [(file, "repository password".to_owned())]);
    }

    #[test]
    fn a_secret_among_arguments_is_caught() {
        let (secrets, secret) = planted();
        let watch = secrets.watch_arguments();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600; true", &secret]);
        let shell = Process::start("a shell", command);
        let found = Arc::clone(&watch.found);
        wait::until_true("the watch to see it", wait::SOON, || {
            !found.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
        });
        drop(shell);
        let (found, read) = watch.end();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["repository password in the arguments of sh"]);
        assert!(read > 1);
    }
}
