//! A real rest-server: one folder, two doors, as design and docs tell operators to run it.

use crate::{
    ports,
    process::Process,
    tools::Tool,
    wait::{self, SOON},
};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

/// Both doors to one folder: one appends only, for every day; one may delete.
#[derive(Debug)]
pub struct Storage {
    /// Where the repositories lie.
    pub folder: PathBuf,
    /// The door that lets nothing be deleted.
    pub append_only: Door,
    /// The door that lets everything.
    pub full: Door,
}

/// One rest-server.
#[derive(Debug)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who may come in.
    pub user: String,
    /// With this.
    pub password: String,
    process: Process,
}

impl Storage {
    /// Starts both over `folder`, for `user`, with a password for each.
    #[must_use]
    pub fn start(folder: &Path, user: &str, everyday_password: &str, full_password: &str) -> Self {
        let data = folder.join("repositories");
        fs::create_dir_all(&data).unwrap_or_else(|error| panic!("{}: {error}", data.display()));
        Self {
            append_only: Door::open(
                folder,
                "append-only",
                &data,
                user,
                everyday_password,
                &["--append-only"],
            ),
            full: Door::open(folder, "full", &data, user, full_password, &[]),
            folder: data,
        }
    }

    /// The repository's own folder.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.folder.join(&self.append_only.user)
    }
}

impl Door {
    fn open(folder: &Path, name: &str, data: &Path, user: &str, password: &str, options: &[&str]) -> Self {
        let entries = folder.join(format!("{name}.htpasswd"));
        // The cheapest hash: each request is checked against it.
        let hash = bcrypt::hash(password, 4).expect("a password that bcrypt takes");
        fs::write(&entries, format!("{user}:{hash}\n"))
            .unwrap_or_else(|error| panic!("{}: {error}", entries.display()));
        let address = ports::free();
        let mut command = Command::new(Tool::RestServer.path());
        command.args(["--private-repos", "--listen", &address.to_string()]);
        command.arg("--path").arg(data).arg("--htpasswd-file").arg(&entries).args(options);
        let mut process = Process::start(&format!("rest-server ({name})"), command);
        wait::until(&format!("rest-server ({name}) to listen"), SOON, || {
            assert!(process.ended().is_none(), "rest-server ended:\n{}", process.log().text());
            TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
        });
        Self { address, user: user.to_owned(), password: password.to_owned(), process }
    }

    /// restic's name for the user's own repository, reached at `address` (this door's, or a proxy's before it).
    #[must_use]
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("rest:http://{address}/{}/", self.user)
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log().text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proxy::Proxy, repository::Repository, scratch::Scratch, sources::write_tree, tools};

    #[test]
    fn one_door_takes_and_the_other_takes_back() {
        if !tools::needs(&[Tool::RestServer, Tool::Restic018]) {
            return;
        }
        let scratch = Scratch::new();
        let storage = Storage::start(scratch.path(), "web-1", "every/day:p@ss", "fu%ll");
        let everyday = Repository::behind(&storage.append_only, "secret");
        let full = Repository::behind(&storage.full, "secret");
        everyday.init();
        let sources = scratch.folder("sources");
        write_tree(&sources, 1, 10, 100_000);
        let path = sources.display().to_string();
        let _ = everyday.restic(&["backup", "--quiet", &path]).expect_success("a backup");
        assert_eq!(full.snapshots().len(), 1);
        assert_eq!(full.is_sound(), Ok(()));

        let forget = ["forget", "latest", "--prune"];
        let _ = everyday.restic(&forget);
        assert_eq!(full.snapshots().len(), 1, "the everyday door lets nothing be deleted");
        let _ = full.restic(&forget).expect_success("a forget");
        assert_eq!(full.snapshots().len(), 0);
        assert!(full.locks().is_empty());
        assert!(storage.repository().join("config").is_file());
    }

    #[test]
    fn neither_door_opens_with_the_password_of_the_other() {
        if !tools::needs(&[Tool::RestServer, Tool::Restic018]) {
            return;
        }
        let scratch = Scratch::new();
        let storage = Storage::start(scratch.path(), "web-1", "everyday", "full");
        for (door, password, status) in [
            (&storage.append_only, "everyday", 404),
            (&storage.append_only, "full", 401),
            (&storage.full, "full", 404),
            (&storage.full, "everyday", 401),
        ] {
            let url = format!("http://{}/web-1/config", door.address);
            let login = data_encoding::BASE64.encode(format!("web-1:{password}").as_bytes());
            let answer = crate::api::http().get(url).header("Authorization", format!("Basic {login}")).call();
            assert_eq!(answer.expect("an answer").status(), status, "{password}");
        }
    }

    #[test]
    fn a_backup_over_a_held_network_waits_and_ends_well() {
        if !tools::needs(&[Tool::RestServer, Tool::Restic018]) {
            return;
        }
        let scratch = Scratch::new();
        let storage = Storage::start(scratch.path(), "web-1", "everyday", "full");
        let link = Proxy::start(storage.append_only.address);
        let repository = Repository::behind(&storage.append_only, "secret");
        let _ = repository_files::make(&storage.repository(), "secret");
        let sources = scratch.folder("sources");
        write_tree(&sources, 2, 20, 8 * 1024 * 1024);
        let url = format!("rest:http://web-1:everyday@{}/web-1/", link.address);
        let slow = Repository::at(&url, "secret");
        link.slow(Some(400_000));
        let path = sources.display().to_string();
        std::thread::scope(|scope| {
            let backup = scope.spawn(|| slow.restic(&["backup", "--quiet", &path]));
            wait::until_true("some data to pass", SOON, || link.passed_up() > 500_000);
            link.hold();
            wait::never("an end", std::time::Duration::from_secs(2), || {
                backup.is_finished().then(|| "the backup has ended".to_owned())
            });
            link.slow(None);
            link.heal();
            let _ = backup.join().expect("no panic").expect_success("the backup");
        });
        assert_eq!(repository.snapshots().len(), 1);
    }
}
