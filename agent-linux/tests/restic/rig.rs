//! A folder with a repository, a source and an agent's places, to run real jobs in.

use crate::tools::{self, Version};
use agent_linux::restic::{
    CarriedOver, Control, Credentials, EntrySeen, HitSeen, JobEnd, JobEvent, JobOrder, JobProgress, Places,
    RestoreTo, SnapshotSeen, run_job,
};
use core::time::Duration;
use schema::{Class, Items, JobSpec, Outcome, job::BackupSpec};
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::Instant};

pub(crate) const REPO_PASSWORD: &str = "Hf-repo-secret-7f3a";
pub(crate) const REST_USER: &str = "me";
pub(crate) const REST_PASSWORD: &str = "p/w:1&2-secret";
/// The two above for `--htpasswd-file`.
const HTPASSWD: &str = "me:{SHA}f0dWM+ZqeJSitXC96pUfljwTP+Y=\n";

/// Where a job runs.
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) places: Places,
    pub(crate) credentials: Credentials,
    /// The everyday ones, when `credentials` are the admin ones.
    pub(crate) everyday: Option<Credentials>,
    pub(crate) known: CarriedOver,
    pub(crate) deadline_secs: u32,
    pub(crate) silence_secs: u32,
    /// How many events may wait.
    pub(crate) room: usize,
    /// Where a restore goes.
    pub(crate) restore_to: Option<RestoreTo>,
}

/// A job that ran.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) end: JobEnd,
    pub(crate) log: Vec<String>,
    pub(crate) progress: Vec<JobProgress>,
    pub(crate) snapshots: Vec<SnapshotSeen>,
    pub(crate) entries: Vec<EntrySeen>,
    pub(crate) hits: Vec<HitSeen>,
}

impl Ran {
    /// The outcome and class, for comparing; with everything else when that fails.
    #[track_caller]
    pub(crate) fn must_be(self, outcome: Outcome, class: Option<Class>) -> Self {
        assert_eq!((self.end.outcome, self.end.class), (outcome, class), "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.must_be(Outcome::Succeeded, None)
    }

    #[track_caller]
    pub(crate) fn failed(self, class: Class) -> Self {
        self.must_be(Outcome::Failed, Some(class))
    }
}

impl Rig {
    /// With an empty repository address in the folder, and no source yet.
    pub(crate) fn new(restic: PathBuf) -> Self {
        // A name that patterns of tests do not match by chance.
        let folder = tempfile::Builder::new().prefix("rig-").suffix("-0").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let places = Places {
            program: PathBuf::from(env!("CARGO_BIN_EXE_holdfast-agent")),
            restic,
            cache: at("cache"),
            temp: at("temp"),
            home: at("home"),
            drill: at("home").join("drill"),
            path: "/usr/sbin:/usr/bin:/sbin:/bin".into(),
            small: false,
            nice: 0,
            ionice: None,
            upload_kib: 0,
            download_kib: 0,
        };
        let credentials = Credentials {
            url: at("repo").to_str().unwrap().to_owned(),
            username: String::new(),
            password: String::new(),
            repo_password: REPO_PASSWORD.to_owned(),
            ca: String::new(),
            host_keys: String::new(),
            env: Vec::new(),
        };
        Self {
            folder,
            places,
            credentials,
            everyday: None,
            known: CarriedOver::default(),
            deadline_secs: 0,
            silence_secs: 0,
            room: 64,
            restore_to: None,
        }
    }

    /// As [`Self::new`], with a repository in the folder `repo` whose key opens at once.
    pub(crate) async fn initialised(restic: PathBuf) -> Self {
        let mut rig = Self::new(restic);
        rig.init_at_once(&rig.path("repo")).await;
        rig
    }

    /// Runs an `init` of the repository at the address of the credentials, which lies in `folder`; something stands in for
    /// restic, and the key opens at once.
    pub(crate) async fn init_at_once(&mut self, folder: &Path) {
        let name = |n: u32| self.path(&format!("restic-init-{n}"));
        let stand_in = (0..).map(name).find(|program| !program.exists()).unwrap();
        let password = &self.credentials.repo_password;
        repository_files::stand_in(&stand_in, &self.places.restic, folder, password);
        let restic = core::mem::replace(&mut self.places.restic, stand_in);
        self.known.restic = None;
        self.run(JobSpec::Init).await.succeeded();
        self.places.restic = restic;
        self.known.restic = None;
    }

    /// Puts a key that opens at once in the place of restic's.
    pub(crate) fn make_key_cheap(&self) {
        let mut restic = Command::new(&self.places.restic);
        restic.args(["cat", "masterkey", "--no-lock", "--no-cache", "--quiet"]);
        restic.env("RESTIC_REPOSITORY", &self.credentials.url).env("RESTIC_PASSWORD", REPO_PASSWORD);
        let output = restic.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        repository_files::open_at_once(
            &self.path("repo"),
            REPO_PASSWORD,
            core::str::from_utf8(&output.stdout).unwrap(),
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder of the source, with a few small files.
    pub(crate) fn source(&self) -> String {
        let source = self.path("source");
        fs::create_dir_all(source.join("inner")).unwrap();
        for n in 0..5 {
            fs::write(source.join(format!("inner/file-{n}")), format!("{n}").repeat(5000)).unwrap();
        }
        source.to_str().unwrap().to_owned()
    }

    /// A source that does not compress.
    pub(crate) fn big_source(&self, megabytes: usize) -> String {
        let source = self.path("source");
        fs::create_dir_all(&source).unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for n in 0..megabytes {
            let mut bytes = Vec::with_capacity(1 << 20);
            while bytes.len() < 1 << 20 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.extend_from_slice(&state.to_le_bytes());
            }
            fs::write(source.join(format!("big-{n}")), bytes).unwrap();
        }
        source.to_str().unwrap().to_owned()
    }

    /// Puts a script in restic's place; `$RESTIC` in it is the real one.
    pub(crate) fn wrap_restic(&mut self, script: &str) {
        let wrapper = self.path("restic-wrapper");
        let text = format!("#!/bin/sh\nRESTIC={}\n{script}\n", self.places.restic.display());
        fs::write(&wrapper, text).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        self.places.restic = wrapper;
        self.known.restic = None;
    }

    /// Makes restic store so slowly that it can be caught in the middle.
    pub(crate) fn slow_down(&mut self) {
        self.wrap_restic("exec $RESTIC --limit-upload=1500 --pack-size=4 \"$@\"");
    }

    pub(crate) async fn run(&mut self, spec: JobSpec<'_>) -> Ran {
        self.run_with(spec, async |_, _| ()).await
    }

    pub(crate) async fn backup(&mut self, paths: &[&str]) -> Ran {
        self.run(backup_of(paths, &mut Vec::new())).await
    }

    /// Runs a job beside `script`, which gets its controls and the rig's folder.
    pub(crate) async fn run_with(
        &mut self,
        spec: JobSpec<'_>,
        script: impl AsyncFnOnce(mpsc::Sender<Control>, &Path),
    ) -> Ran {
        let (events, mut heard) = mpsc::channel(self.room);
        let (control, mut asked) = mpsc::channel(4);
        let order = JobOrder {
            spec,
            command: None,
            restore_to: self.restore_to.clone(),
            restic_host: "rig",
            deadline_secs: self.deadline_secs,
            silence_secs: self.silence_secs,
            credentials: Some(&self.credentials),
            everyday: self.everyday.as_ref(),
            places: &self.places,
            known: core::mem::take(&mut self.known),
        };
        let job = async move { run_job(order, &events, &mut asked).await };
        let listen = async {
            let (mut log, mut progress) = (Vec::new(), Vec::new());
            let (mut snapshots, mut entries, mut hits) = (Vec::new(), Vec::new(), Vec::new());
            while let Some(event) = heard.recv().await {
                match event {
                    JobEvent::Log { stream, text, .. } => log.push(format!("{stream:?}: {text}")),
                    JobEvent::Progress(it) => progress.push(it),
                    JobEvent::Snapshot(it) => snapshots.push(it),
                    JobEvent::Entry(it) => entries.push(it),
                    JobEvent::Hit(it) => hits.push(it),
                    // Downloads are tried end to end.
                    JobEvent::Begin(_) | JobEvent::Chunk(_) | JobEvent::Whole => {}
                }
            }
            (log, progress, snapshots, entries, hits)
        };
        let folder = self.folder.path().to_owned();
        let (end, (log, progress, snapshots, entries, hits), ()) =
            tokio::join!(job, listen, script(control, &folder));
        self.known = end.known.clone();
        Ran { end, log, progress, snapshots, entries, hits }
    }

    /// Flips a bit in what the local repository holds of a folder of its newest snapshot: the names in it, not their content.
    pub(crate) fn damage_folder(&self, folder: &str) {
        let say = |args: &[&str]| {
            let mut restic = Command::new(&self.places.restic);
            restic.args(args).args(["--no-lock", "--no-cache", "--quiet"]);
            restic.env("RESTIC_REPOSITORY", &self.credentials.url).env("RESTIC_PASSWORD", REPO_PASSWORD);
            let output = restic.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let json = |args: &[&str]| serde_json::from_str::<Value>(&say(args)).unwrap();
        let snapshots = json(&["snapshots", "--json"]);
        let mut tree = snapshots.as_array().unwrap().last().unwrap()["tree"].clone();
        for part in folder.split('/').skip(1) {
            let listed = json(&["cat", "blob", tree.as_str().unwrap()]);
            let nodes = listed["nodes"].as_array().unwrap();
            tree = nodes.iter().find(|node| node["name"] == part).unwrap()["subtree"].clone();
        }
        let indexes: Vec<Value> =
            say(&["list", "index"]).lines().map(|id| json(&["cat", "index", id])).collect();
        let packs = indexes.iter().flat_map(|index| index["packs"].as_array().unwrap());
        let mut places = packs.flat_map(|pack| {
            let blobs = pack["blobs"].as_array().unwrap().iter();
            blobs.filter(|blob| blob["id"] == tree).map(move |blob| (&pack["id"], &blob["offset"]))
        });
        let (pack, offset) = places.next().unwrap();
        let pack = pack.as_str().unwrap();
        let file = self.path("repo/data").join(&pack[..2]).join(pack);
        let mut bytes = fs::read(&file).unwrap();
        bytes[usize::try_from(offset.as_u64().unwrap()).unwrap() + 20] ^= 1;
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
        let _ = fs::remove_dir_all(self.path("cache"));
    }

    /// How many locks lie in the local repository.
    pub(crate) fn locks(&self) -> usize {
        count_locks(self.folder.path())
    }
}

pub(crate) fn count_locks(folder: &Path) -> usize {
    // One that is still being written, or never was to its end, has a longer name.
    let is_lock = |entry: &fs::DirEntry| entry.file_name().len() == 64;
    fs::read_dir(folder.join("repo/locks")).map_or(0, |locks| locks.flatten().filter(is_lock).count())
}

/// A backup of these paths as the group `g1`; `buffer` holds what it borrows.
pub(crate) fn backup_of<'b>(paths: &[&str], buffer: &'b mut Vec<u8>) -> JobSpec<'b> {
    buffer.resize(paths.iter().map(|path| path.len() + 5).sum(), 0);
    JobSpec::Backup(BackupSpec {
        group: "g1",
        includes: Items::write(paths.iter().copied(), buffer).unwrap(),
        excludes: Items::EMPTY,
        exclude_if_present: Items::EMPTY,
        one_file_system: false,
        required_mounts: Items::EMPTY,
        hooks_before: Items::EMPTY,
        hooks_after: Items::EMPTY,
        dry_run: false,
        origins: Items::EMPTY,
    })
}

/// Runs a test with each version of restic that is to be had.
pub(crate) async fn with_each_version(test: impl AsyncFn(Version, PathBuf)) {
    for version in Version::ALL {
        if let Some(program) = version.program() {
            eprintln!("with {version:?}: {}", program.display());
            test(version, program).await;
        }
    }
}

/// Waits, for at most a minute, until something is so.
#[expect(clippy::disallowed_methods, reason = "the deadlines of tests are measured in real time")]
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A real rest-server that ends with this value.
pub(crate) struct RestServer {
    process: Child,
    pub(crate) port: u16,
}

impl RestServer {
    /// Serves the folder to [`REST_USER`]; `None` when there is no rest-server to be had.
    pub(crate) async fn start(folder: &Path, append_only: bool) -> Option<Self> {
        let program = tools::rest_server()?;
        let port = free_port();
        fs::create_dir_all(folder).unwrap();
        let htpasswd = folder.join(format!("htpasswd-{port}"));
        fs::write(&htpasswd, HTPASSWD).unwrap();
        let mut command = Command::new(program);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--path").arg(folder).arg("--htpasswd-file").arg(&htpasswd);
        if append_only {
            command.arg("--append-only");
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { process, port };
        until("rest-server", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Some(server)
    }

    /// The same with TLS, for whoever knows the authority of this folder's `ca.pem`: its certificate is for 127.0.0.1.
    pub(crate) async fn start_tls(folder: &Path) -> Option<Self> {
        let program = tools::rest_server()?;
        let port = free_port();
        fs::create_dir_all(folder).unwrap();
        let openssl = |line: &str| {
            let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -days 30 -subj /CN=authority -keyout ca.key -out ca.pem"));
        openssl(&format!("req {key} -subj /CN=storage -keyout storage.key -out storage.csr"));
        fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        openssl(
            "x509 -req -in storage.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile names -out storage.pem",
        );
        let mut command = Command::new(program);
        command.args(["--no-auth", "--tls", "--tls-cert", "storage.pem", "--tls-key", "storage.key"]);
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--path", "data"]).current_dir(folder);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { process, port };
        until("rest-server", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("rest:http://127.0.0.1:{}/repo/", self.port)
    }
}

impl Drop for RestServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
