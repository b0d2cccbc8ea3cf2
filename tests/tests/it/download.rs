//! Files and folders of a snapshot come through a browser: whole and as they were saved, or not at all.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::symlink,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tests::{
    agent::Agent,
    api::{Credentials, text},
    browser::{Browser, WIDTHS},
    ports, proc_table,
    process::{Finished, run},
    proxy::Proxy,
    repository::Repository,
    scratch::Scratch,
    server::Server,
    soak,
    sources::Numbers,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const PASSWORD: &str = "a password that only this test has";
/// Large enough to be met in the middle: more than sockets and windows hold.
const BIG_BYTES: usize = 48 * 1024 * 1024;

/// A host whose repository was filled by hand.
struct Lab {
    agent: Agent,
    server: Server,
    link: Proxy,
    repository: Repository,
    repository_folder: PathBuf,
    sources: PathBuf,
    snapshot: String,
    token: String,
    scratch: Scratch,
}

impl Lab {
    fn start(restic: Tool, fill: impl FnOnce(&Path)) -> Option<Self> {
        if !tools::needs(&[restic]) {
            return None;
        }
        let scratch = Scratch::new();
        let sources = scratch.folder("sources");
        fill(&sources);
        let repository_folder = scratch.folder("repository");
        let repository =
            Repository::at(&repository_folder.display().to_string(), PASSWORD).with(&restic.path());
        let _ = repository_files::make(&repository_folder, PASSWORD);
        let saved = repository.restic(&["backup", "--quiet", &sources.display().to_string()]);
        let _ = saved.expect_success("a backup by hand");
        let snapshot = text(&repository.snapshots()[0]["id"]);
        let mqtt = ports::free();
        let link = Proxy::start(mqtt);
        let server = Server::start_behind(&scratch.folder("server"), mqtt, link.address);
        let host = server.api.add_host("web-1");
        let mut agent = Agent::with_token(&scratch.folder("agent"), &host.id, &host.enroll_token);
        agent.restic = restic.path();
        agent.start();
        let token = server.token("restorer", "restore");
        let lab =
            Self { agent, server, link, repository, repository_folder, sources, snapshot, token, scratch };
        lab.server.api.wait_online(lab.host(), true, SOON);
        lab.give_repository(lab.host());
        Some(lab)
    }

    fn give_repository(&self, host: &str) {
        let credentials = Credentials {
            url: self.repository_folder.display().to_string(),
            login: None,
            repo_password: PASSWORD.to_owned(),
            env: Vec::new(),
        };
        self.server.api.put_credentials(host, &credentials);
    }

    fn host(&self) -> &str {
        &self.agent.host
    }

    fn address(&self, host: &str, path: &[u8], format: &str) -> String {
        let shown = schema::OsText::new(path).to_string();
        let path: String = shown.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("/api/hosts/{host}/snapshots/{}/download?path={path}&format={format}", self.snapshot)
    }

    /// Downloads by curl: how that ended, its words, and what it wrote.
    fn curl(&self, path: &[u8], format: &str) -> (Finished, Vec<u8>) {
        let file = self.scratch.path().join("downloaded");
        let _ = fs::remove_file(&file);
        let ended = run("curl", self.curl_to(self.host(), path, format, &file), LONG);
        (ended, fs::read(&file).unwrap_or_default())
    }

    fn curl_to(&self, host: &str, path: &[u8], format: &str, file: &Path) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "-D", "-", "-H", &format!("authorization: Bearer {}", self.token), "-o"])
            .arg(file);
        command.arg(format!("{}{}", self.server.base(), self.address(host, path, format)));
        command
    }

    /// A file that has to come whole.
    #[track_caller]
    fn fetched(&self, path: &[u8], format: &str) -> Vec<u8> {
        let (ended, bytes) = self.curl(path, format);
        let said = ended.expect_success("a download");
        assert!(said.contains(" 200 OK"), "{said}\n{}", String::from_utf8_lossy(&bytes));
        assert!(said.to_lowercase().contains("x-content-type-options: nosniff"), "{said}");
        assert!(said.to_lowercase().contains("content-disposition: attachment;"), "{said}");
        bytes
    }

    /// Asks for the big file.
    fn asked(&self) -> TcpStream {
        let base = self.server.base();
        let mut stream = TcpStream::connect(base.trim_start_matches("http://")).expect("the server");
        let address = self.address(self.host(), self.big().as_os_str().as_bytes(), "raw");
        let token = &self.token;
        let head = "HTTP/1.1\r\nhost: x\r\nconnection: close";
        write!(stream, "GET {address} {head}\r\nauthorization: Bearer {token}\r\n\r\n").expect("sent");
        stream
    }

    /// Begins a download of the big file and takes no more than its first bytes.
    fn held(&self) -> TcpStream {
        let mut stream = self.asked();
        let mut first = [0; 1024];
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        stream.read_exact(&mut first).expect("an answer");
        assert!(first.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first));
        stream
    }

    fn big(&self) -> PathBuf {
        self.sources.join("big")
    }

    /// The newest download.
    fn job(&self) -> Value {
        let jobs = self.server.api.jobs(self.host());
        jobs.into_iter().find(|job| job["kind"] == "download").expect("a download")
    }

    /// How the last download ended, as the audit has it.
    #[track_caller]
    fn audited(&self, word: &str) {
        wait::until("the end of the download to be in the audit", LONG, || {
            let audit = self.server.api.get("/api/audit?action=download.ended").expect(200);
            let newest = text(&audit["items"][0]["detail"]);
            if newest.starts_with(word) { Ok(()) } else { Err(audit.to_string()) }
        });
    }

    /// No restic runs any more, and it has left no lock.
    #[track_caller]
    fn is_quiet(&self, limit: Duration) {
        wait::until("restic to have ended", limit, || {
            let runs = |seen: &proc_table::Seen| {
                seen.program() == "restic" && seen.command().contains(&self.snapshot)
            };
            match proc_table::all().into_iter().find(runs) {
                None => Ok(()),
                Some(restic) => Err(restic.command()),
            }
        });
        assert_eq!(self.repository.locks(), Vec::<String>::new());
    }
}

fn big(sources: &Path) {
    let mut numbers = Numbers::new(7);
    fs::write(sources.join("big"), numbers.bytes(BIG_BYTES)).expect("a file");
}

/// Names that go wrong easily.
fn names() -> Vec<OsString> {
    let mut names: Vec<OsString> = [
        "plain",
        "new\nline",
        "q\"uo'te",
        "-dash",
        "--help",
        "[a]*?",
        "back\\slash",
        "a b",
        "per%cent",
        "zoë",
        "\\xff",
        ".hidden",
        "$(id)",
        "`id`",
        "a:b",
        "tab\tend",
    ]
    .map(OsString::from)
    .into();
    names.push(OsString::from_vec(b"inv\xffalid".to_vec()));
    names.push(OsString::from("x".repeat(255)));
    names.push(OsString::from_vec([b"\xc3".as_slice(), "ü".repeat(120).as_bytes()].concat()));
    names
}

fn hostile(sources: &Path) {
    for (at, name) in names().iter().enumerate() {
        fs::write(sources.join(name), format!("file {at}\n")).expect("a file");
        let folder = sources.join("folders").join(name);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), format!("inner {at}\n")).expect("a file");
    }
    fs::write(sources.join("empty"), "").expect("a file");
    fs::write(sources.join("zeros"), vec![0; 1024]).expect("a file");
    fs::create_dir(sources.join("nothing")).expect("a folder");
    fs::write(sources.join("odd"), vec![7; 200_001]).expect("a file");
    symlink("../../../../etc/passwd", sources.join("out")).expect("a link");
    symlink("/etc/passwd", sources.join("absolute")).expect("a link");
    symlink("l".repeat(300), sources.join("long")).expect("a link");
    fs::hard_link(sources.join("odd"), sources.join("odd again")).expect("a link");
}

/// All below a folder: files with what is in them, links with where they lead, folders.
fn tree(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut all, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(folder).expect("below").as_os_str().as_bytes().to_vec();
            let is = if path.is_symlink() {
                [b"to ", fs::read_link(&path).expect("a link").as_os_str().as_bytes()].concat()
            } else if path.is_dir() {
                open.push(path);
                b"folder".to_vec()
            } else {
                [b"is ", fs::read(&path).expect("a file").as_slice()].concat()
            };
            let _ = all.insert(below, is);
        }
    }
    all
}

/// Unpacks a zip by python's zipfile, which knows names as text of UTF-8, or else of the code page 437.
const UNZIP: &str = "
import os, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
for entry in archive.infolist():
    name = entry.filename.encode('utf-8' if entry.flag_bits & 0x800 else 'cp437')
    path = os.path.join(os.fsencode(sys.argv[2]), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode = entry.external_attr >> 16
    if entry.is_dir():
        os.makedirs(path, exist_ok=True)
    elif mode & 0o170000 == 0o120000:
        os.symlink(archive.read(entry), path)
    else:
        open(path, 'wb').write(archive.read(entry))
";

fn is_what_was_saved(restic: Tool) {
    let Some(lab) = Lab::start(restic, hostile) else { return };
    for name in names().iter().map(OsString::as_os_str).chain(["empty", "zeros", "odd"].map(OsStr::new)) {
        let path = lab.sources.join(name);
        let bytes = lab.fetched(path.as_os_str().as_bytes(), "raw");
        assert!(bytes == fs::read(&path).expect("a file"), "{name:?} is another file");
    }
    lab.audited("whole");

    let saved = tree(&lab.sources);
    let folder = lab.sources.as_os_str().as_bytes();
    for (format, unpack) in [("tar.gz", "tar"), ("zip", "zip")] {
        let archive = lab.scratch.path().join(format!("got.{format}"));
        fs::write(&archive, lab.fetched(folder, format)).expect("a file");
        let target = lab.scratch.folder(&format!("unpacked-{unpack}"));
        let mut command = Command::new(if unpack == "tar" { "tar" } else { "python3" });
        match unpack {
            "tar" => command.arg("-xzf").arg(&archive).arg("-C").arg(&target),
            _ => command.args(["-c", UNZIP]).arg(&archive).arg(&target),
        };
        let _ = run(unpack, command, LONG).expect_success("unpacking");
        let tops: Vec<_> =
            fs::read_dir(&target).expect("a folder").map(|it| it.expect("one").path()).collect();
        let top = target.join(lab.sources.file_name().expect("a name"));
        assert_eq!(tops, std::slice::from_ref(&top), "{format}: all lies in the folder that was asked for");
        let got = tree(&top);
        for (name, is) in &saved {
            assert!(got.get(name) == Some(is), "{format}: {}", String::from_utf8_lossy(name));
        }
        assert_eq!(got.len(), saved.len(), "{format}");
    }
    let empty = lab.fetched(lab.sources.join("nothing").as_os_str().as_bytes(), "zip");
    assert!(empty.starts_with(b"PK\x03\x04"), "the folder itself");
    assert_eq!(
        empty.windows(8).filter(|bytes| *bytes == b"nothing/").count(),
        2,
        "where it lies, and in the list"
    );

    // What can't be given is said before the first byte.
    for (name, format, status, code, says) in [
        ("not there", "raw", " 404 ", "not_in_snapshot", "holds no"),
        ("not there", "zip", " 404 ", "not_in_snapshot", "holds no"),
        ("nothing", "raw", " 422 ", "not_downloadable", "is a folder"),
        ("plain", "zip", " 422 ", "not_downloadable", "is a file"),
        ("out", "raw", " 422 ", "not_downloadable", "neither a file nor a folder"),
    ] {
        let (ended, bytes) = lab.curl(lab.sources.join(name).as_os_str().as_bytes(), format);
        let said = ended.expect_success("an answer");
        let body = String::from_utf8_lossy(&bytes).into_owned();
        assert!(said.contains(status) && body.contains(code) && body.contains(says), "{said} {body}");
    }
    lab.is_quiet(SOON);
}

#[test]
fn what_is_downloaded_is_what_was_saved_by_restic_0_14() {
    is_what_was_saved(Tool::Restic014);
}

#[test]
fn what_is_downloaded_is_what_was_saved_by_restic_0_18() {
    is_what_was_saved(Tool::Restic018);
}

#[test]
fn what_is_downloaded_is_what_was_saved_by_the_newest_restic() {
    is_what_was_saved(Tool::ResticNewest);
}

#[test]
fn whatever_breaks_a_download_off_ends_it_soon_and_leaves_no_file_that_looks_whole() {
    let Some(mut lab) = Lab::start(Tool::Restic018, big) else { return };
    let path = lab.big();
    let path = path.as_os_str().as_bytes();
    assert!(lab.fetched(path, "raw") == fs::read(lab.big()).expect("a file"));
    let half_minute = Duration::from_secs(30);

    // The browser goes.
    drop(lab.held());
    lab.is_quiet(half_minute);
    lab.audited("left");

    // It goes as soon as it has asked, before or while the job is made.
    for wait_ms in [0, 0, 1, 2, 5, 20] {
        let asked = lab.asked();
        std::thread::sleep(Duration::from_millis(wait_ms));
        drop(asked);
        lab.is_quiet(half_minute);
    }
    wait::until("each download that was begun to have its end in the audit", half_minute, || {
        let count = |action: &str| {
            let audit = lab.server.api.get(&format!("/api/audit?action={action}")).expect(200);
            audit["items"].as_array().map_or(0, Vec::len)
        };
        let (begun, ended) = (count("job.download"), count("download.ended"));
        if begun > 0 && begun == ended { Ok(()) } else { Err(format!("{begun} begun, {ended} ended")) }
    });

    // It takes nothing any more.
    let stalled = lab.held();
    lab.is_quiet(half_minute);
    lab.audited("stalled");
    drop(stalled);

    // One a host.
    let held = lab.held();
    let answer = lab.server.api.get(&lab.address(lab.host(), path, "raw"));
    assert_eq!((answer.status, answer.code()), (409, "host_busy"), "{}", answer.text);

    // A person ends it.
    let _ = lab.server.api.post(&format!("/api/jobs/{}/cancel", text(&lab.job()["id"])), None).expect(202);
    is_cut(held);
    lab.is_quiet(half_minute);
    assert_eq!(lab.job()["state"], "cancelled");
    lab.audited("failed");

    // The network is cut, and the agent ends by itself what nobody hears.
    let held = lab.held();
    lab.link.cut();
    is_cut(held);
    lab.is_quiet(half_minute);
    lab.link.heal();
    lab.server.api.wait_online(lab.host(), true, LONG);

    // The agent is killed.
    let held = lab.held();
    lab.agent.kill_9();
    is_cut(held);
    lab.is_quiet(half_minute);
    lab.agent.start();
    lab.server.api.wait_online(lab.host(), true, LONG);
    wait::until("the job to have ended", LONG, || {
        let job = lab.job();
        if job["finished_at"].is_null() { Err(job.to_string()) } else { Ok(()) }
    });
    assert_ne!(lab.job()["state"], "succeeded");

    // The server is.
    let held = lab.held();
    lab.server.kill_9();
    is_cut(held);
    lab.is_quiet(half_minute);
    lab.server.start_again();
    lab.server.api.wait_online(lab.host(), true, LONG);

    // And then all is as before.
    assert!(lab.fetched(path, "raw") == fs::read(lab.big()).expect("a file"));

    // A byte in the repository that was flipped: never a whole file.
    for pack in packs(&lab.repository_folder) {
        let mut bytes = fs::read(&pack).expect("a pack");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let _ = fs::set_permissions(&pack, std::os::unix::fs::PermissionsExt::from_mode(0o600));
        fs::write(&pack, bytes).expect("a pack");
    }
    let (ended, bytes) = lab.curl(path, "raw");
    let is_aborted = matches!(ended.status.code(), Some(18 | 56 | 92));
    let is_told = ended.output.contains(" 502 ");
    assert!(is_aborted || is_told, "{} {}: {} bytes", ended.status, ended.output, bytes.len());
    assert_eq!(lab.job()["state"], "failed", "{}", lab.job());
    lab.audited("failed");
}

/// The connection ends before all has come.
#[track_caller]
fn is_cut(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < BIG_BYTES, "{} bytes came", rest.len());
}

fn packs(repository: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(repository.join("data")).expect("packs");
    folders
        .flatten()
        .flat_map(|folder| fs::read_dir(folder.path()).expect("packs").flatten())
        .map(|pack| pack.path())
        .collect()
}

/// A restic that keeps backups and prunes back until there is the file.
fn gated(lab: &Lab, gate: &Path) -> PathBuf {
    let script = lab.scratch.path().join("restic");
    let text = format!(
        "#!/bin/sh\ntrap 'exit 130' INT\ncase \" $* \" in *' backup '*|*' prune '*) while [ ! -e '{}' ]; do sleep 0.1; done;; esac\nexec '{}' \"$@\"\n",
        gate.display(),
        Tool::Restic018.path().display()
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
    script
}

#[test]
fn a_download_comes_beside_a_job_that_runs_and_neither_ends_with_the_other() {
    let Some(mut lab) = Lab::start(Tool::Restic018, big) else { return };
    let gate = lab.scratch.path().join("gate");
    lab.agent.stop();
    lab.agent.restic = gated(&lab, &gate);
    lab.agent.start();
    let (host, path) = (lab.host().to_owned(), lab.big());
    let path = path.as_os_str().as_bytes();
    lab.server.api.wait_online(&host, true, SOON);
    lab.server.api.add_group(&host, "files", &[&lab.sources.display().to_string()]);
    let backup = |lab: &Lab| {
        let job = lab.server.api.back_up(&host, "files");
        let _ = lab.server.api.wait_job(&job, &["running"], SOON);
        job
    };
    let state = |lab: &Lab, job: &str| text(&lab.server.api.job(job)["state"]);
    let cancel = |lab: &Lab, job: &str| {
        let _ = lab.server.api.post(&format!("/api/jobs/{job}/cancel"), None).expect(202);
        lab.server.api.wait_job(job, &["cancelled"], LONG)
    };
    let whole = fs::read(lab.big()).expect("a file");
    let rest_of = |mut stream: TcpStream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).expect("the rest");
        rest
    };

    // Both at once; the download is done, and then it is cancelled, and the backup goes on.
    let first = backup(&lab);
    assert!(lab.fetched(path, "raw") == whole);
    assert_eq!(state(&lab, &first), "running");
    let shown = lab.server.api.host(&host);
    assert!(text(&shown["reason"]).starts_with("Back"), "the backup is what the host does: {shown}");
    let held = lab.held();
    let _ = cancel(&lab, &text(&lab.job()["id"]));
    is_cut(held);
    lab.is_quiet(SOON);
    assert_eq!(state(&lab, &first), "running");

    // The backup is cancelled, and the download goes on.
    let held = lab.held();
    let _ = cancel(&lab, &first);
    assert!(rest_of(held).ends_with(&whole[whole.len() - 1_000_000..]));
    lab.audited("whole");

    // The backup ends while the download goes on.
    let second = backup(&lab);
    let held = lab.held();
    fs::write(&gate, "").expect("open");
    let _ = lab.server.api.wait_job(&second, &["succeeded"], LONG);
    assert_eq!(lab.job()["state"], "running");
    assert!(rest_of(held).ends_with(&whole[whole.len() - 1_000_000..]));

    // What removes packs keeps a download off, and waits for one that has begun.
    fs::remove_file(&gate).expect("shut");
    let all = Credentials {
        url: lab.repository_folder.display().to_string(),
        login: None,
        repo_password: PASSWORD.to_owned(),
        env: Vec::new(),
    };
    lab.server.api.put_admin_credentials(&host, &all);
    let held = lab.held();
    let prune = lab.server.api.ask(&host, "prune");
    let _ = lab.server.api.wait_job(&prune, &["accepted"], SOON);
    let _ = cancel(&lab, &text(&lab.job()["id"]));
    is_cut(held);
    let _ = lab.server.api.wait_job(&prune, &["running"], LONG);
    let answer = lab.server.api.get(&lab.address(&host, path, "raw"));
    assert_eq!((answer.status, answer.code()), (409, "host_busy"), "{}", answer.text);
    assert!(answer.text.contains("prune") && answer.text.contains(&prune), "{}", answer.text);
    fs::write(&gate, "").expect("open");
    let _ = lab.server.api.wait_job(&prune, &["succeeded"], LONG);
    fs::remove_file(&gate).expect("shut");

    // The agent dies, and both are told as broken off.
    let third = backup(&lab);
    let held = lab.held();
    let download = text(&lab.job()["id"]);
    lab.agent.kill_9();
    is_cut(held);
    lab.agent.start();
    lab.server.api.wait_online(&host, true, LONG);
    let ended = lab.server.api.wait_end(&third, LONG);
    assert_eq!((&ended["state"], &ended["class"]), (&"failed".into(), &"agent_restarted".into()), "{ended}");
    // The server cancels what nobody takes any more: it, or the agent that is back, says so first.
    let ended = lab.server.api.wait_end(&download, LONG);
    let is_told = ended["class"] == "agent_restarted" || ended["state"] == "cancelled";
    assert!(is_told, "{ended}");
    lab.is_quiet(SOON);
}

/// A restic that stops before it gives anything, or when it has given all, as long as the file says so.
fn met_in_phase(lab: &Lab, phase: &Path, met: &Path) -> PathBuf {
    let script = lab.scratch.path().join("restic");
    let (phase, met, restic) = (phase.display(), met.display(), Tool::Restic018.path());
    let restic = restic.display();
    let text = format!(
        "#!/bin/sh\nstop() {{ touch '{met}'; while [ -e '{phase}' ]; do sleep 0.1; done; }}\ncase \"$(cat '{phase}' 2>&-) $* \" in\nbefore*' dump '*) stop;;\nend*' dump '*) '{restic}' \"$@\"; code=$?; stop; exit $code;;\nesac\nexec '{restic}' \"$@\"\n"
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a program");
    script
}

#[test]
fn a_download_that_loses_somebody_before_its_first_byte_or_at_its_end_is_told_as_failed_once() {
    let Some(mut lab) = Lab::start(Tool::Restic018, big) else { return };
    let (phase, met) = (lab.scratch.path().join("phase"), lab.scratch.path().join("met"));
    lab.agent.stop();
    // Else it may still be online from before.
    lab.server.api.wait_online(lab.host(), false, SOON);
    lab.agent.restic = met_in_phase(&lab, &phase, &met);
    lab.agent.start();
    lab.server.api.wait_online(lab.host(), true, SOON);
    let whole = fs::read(lab.big()).expect("a file");
    let mut jobs = 0;
    for when in ["before", "end"] {
        for lost in ["agent", "server", "network"] {
            fs::write(&phase, when).expect("a phase");
            let mut stream = lab.asked();
            let mut reader = Some(std::thread::spawn(move || {
                let mut came = Vec::new();
                let _ = stream.read_to_end(&mut came);
                came
            }));
            wait::until("restic to be in this phase", LONG, || {
                if met.exists() {
                    return Ok(());
                }
                if let Some(ended) = reader.take_if(|reader| reader.is_finished()) {
                    let answer = ended.join().expect("a reader");
                    panic!("{lost}, {when}: {}", String::from_utf8_lossy(&answer[..answer.len().min(4_096)]));
                }
                Err(format!("{lost}, {when}"))
            });
            let job = text(&lab.job()["id"]);
            match lost {
                "agent" => lab.agent.kill_9(),
                "server" => lab.server.kill_9(),
                _ => lab.link.cut(),
            }
            if lost != "server" {
                // Else it may still be online from before.
                lab.server.api.wait_online(lab.host(), false, LONG);
            }
            fs::remove_file(&phase).expect("on it goes");
            fs::remove_file(&met).expect("met");
            match lost {
                "agent" => lab.agent.start(),
                "server" => lab.server.start_again(),
                _ => lab.link.heal(),
            }
            let came = reader.expect("an answer under way").join().expect("a reader");
            assert!(!came.ends_with(&whole[whole.len() - 1_000..]), "{lost}, {when}: all of it came");
            assert!(when == "before" || came.len() > BIG_BYTES / 2, "{lost}, {when}: {} bytes", came.len());
            lab.server.api.wait_online(lab.host(), true, LONG);
            let class = if lost == "agent" { "agent_restarted" } else { "network" };
            // What the server presumed while the host was away gives way to what the agent says.
            wait::until(&format!("the end by {lost}, {when}"), LONG, || {
                let job = lab.server.api.job(&job);
                if job["state"] == "failed" && job["class"] == class { Ok(()) } else { Err(job.to_string()) }
            });
            jobs += 1;
            let all = lab.server.api.jobs(lab.host());
            let downloads = all.iter().filter(|job| job["kind"] == "download").count();
            assert_eq!(downloads, jobs, "nothing is tried again");
            lab.is_quiet(SOON);
        }
    }
    assert!(lab.fetched(lab.big().as_os_str().as_bytes(), "raw") == whole);
}

/// How large the file is.
fn large_mib() -> usize {
    usize::try_from(soak::number("HOLDFAST_DOWNLOAD_MIB", 5_120, 192)).expect("a size")
}

#[test]
fn a_large_file_comes_whole_and_neither_side_grows_with_it() {
    const MIB: usize = 1024 * 1024;
    const MAY_GROW: u64 = 4 << 20;
    let mib = large_mib();
    let mut saved = Sha256::new();
    let Some(lab) = Lab::start(Tool::Restic018, |sources| {
        let mut numbers = Numbers::new(11);
        fs::write(sources.join("small"), numbers.bytes(MIB)).expect("a file");
        let mut large = fs::File::create(sources.join("large")).expect("a file");
        for _ in 0..mib {
            let bytes = numbers.bytes(MIB);
            saved.update(&bytes);
            large.write_all(&bytes).expect("room for the file");
        }
    }) else {
        return;
    };
    let large = lab.sources.join("large");
    fs::remove_file(&large).expect("its place is needed");
    // Whatever is there once only is there after the first one.
    let _ = lab.fetched(lab.sources.join("small").as_os_str().as_bytes(), "raw");

    let pids = [lab.server.pid(), lab.agent.pid()];
    let before = pids.map(proc_table::memory);
    let mut most = before;
    let mut curl = lab.curl_to(lab.host(), large.as_os_str().as_bytes(), "raw", Path::new("-"));
    let mut child = curl.args(["-D", "/dev/null"]).stdout(Stdio::piped()).spawn().expect("curl");
    let mut output = child.stdout.take().expect("its output");
    let (mut came, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        let count = output.read(&mut buffer).expect("its output");
        if count == 0 {
            break;
        }
        came.update(&buffer[..count]);
        if bytes / (4 * MIB) != (bytes + count) / (4 * MIB) {
            for (most, seen) in most.iter_mut().zip(pids.map(proc_table::memory)) {
                most.resident = most.resident.max(seen.resident);
                most.anonymous = most.anonymous.max(seen.anonymous);
            }
        }
        bytes += count;
    }
    assert!(child.wait().expect("its end").success() && bytes == mib * MIB, "{bytes} bytes");
    assert_eq!(came.finalize(), saved.finalize());
    for (who, most, before) in [("the server", most[0], before[0]), ("the agent", most[1], before[1])] {
        let resident = most.resident.saturating_sub(before.resident);
        let anonymous = most.anonymous.saturating_sub(before.anonymous);
        println!("{who} grew by {resident} bytes, {anonymous} of them its own, for {mib} MiB");
        assert!(resident <= MAY_GROW && anonymous <= MAY_GROW, "{who}: {before:?}, then {most:?}");
    }
    lab.audited("whole");
}

#[test]
fn four_downloads_run_at_once_and_the_fifth_is_told() {
    let Some(lab) = Lab::start(Tool::Restic018, big) else { return };
    let others: Vec<Agent> = (2..=5)
        .map(|number| {
            let name = format!("web-{number}");
            let agent = Agent::enroll(&lab.server.api, &lab.scratch.folder(&name), &name);
            lab.give_repository(&agent.host);
            agent
        })
        .collect();
    let path = lab.big();
    let path = path.as_os_str().as_bytes();
    let token = &lab.token;
    let begin = |host: &str| {
        let mut stream =
            TcpStream::connect(lab.server.base().trim_start_matches("http://")).expect("the server");
        let address = lab.address(host, path, "raw");
        write!(stream, "GET {address} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n")
            .expect("sent");
        let mut first = [0; 512];
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        let _ = stream.read(&mut first).expect("an answer");
        (stream, String::from_utf8_lossy(&first).into_owned())
    };
    let mut streams: Vec<_> = [lab.host()]
        .into_iter()
        .chain(others.iter().take(3).map(|agent| agent.host.as_str()))
        .map(begin)
        .collect();
    for (_, said) in &streams {
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    }
    let fifth = lab.server.api.get(&lab.address(&others[3].host, path, "raw"));
    assert_eq!((fifth.status, fifth.code()), (503, "too_many_downloads"), "{}", fifth.text);
    assert!(fifth.text.contains("4 downloads run already"), "{}", fifth.text);
    drop(streams.pop());
    wait::until("a place to be free", LONG, || {
        let (_stream, said) = begin(&others[3].host);
        if said.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(said) }
    });
}

#[test]
fn a_download_needs_its_scope_and_the_machines_own_policy() {
    let Some(mut lab) = Lab::start(Tool::Restic018, hostile) else { return };
    let path = lab.sources.join("plain");
    let path = path.as_os_str().as_bytes();
    let viewer = tests::api::Api::new(&lab.server.base(), &lab.server.token("looker", "read,run,write"));
    let answer = viewer.get(&lab.address(lab.host(), path, "raw"));
    assert_eq!(answer.status, 403, "{}", answer.text);
    lab.agent.stop();
    fs::write(lab.agent.state_dir.join("policy.toml"), "download = false\n").expect("a policy");
    lab.agent.start();
    lab.server.api.wait_online(lab.host(), true, SOON);
    let answer = lab.server.api.get(&lab.address(lab.host(), path, "raw"));
    assert_eq!((answer.status, answer.code()), (502, "download_failed"), "{}", answer.text);
    assert!(answer.text.contains("lets nothing be downloaded"), "{}", answer.text);
    let audit = lab.server.api.get("/api/audit?action=job.download").expect(200).to_string();
    assert!(audit.contains("plain of"), "{audit}");
}

/// Presses a button as a browser does, and gives status and text of what comes.
const PRESS: &str = "
const [name, done] = arguments;
const button = [...document.querySelectorAll('button')].find(b => b.getAttribute('aria-label') === name);
const action = button.formAction || button.form.action;
fetch(action, { method: 'POST', body: new URLSearchParams(new FormData(button.form, button)) })
  .then(answer => answer.text().then(text => done([answer.status, answer.headers.get('content-disposition'), text])));
";

#[test]
fn a_page_downloads_what_is_pressed_and_shows_what_restic_alone_would_need() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(lab) = Lab::start(Tool::Restic018, hostile) else { return };
    let folder = lab.sources.display().to_string();
    let files = format!("/api/hosts/{}/snapshots/{}/files", lab.host(), lab.snapshot);
    let look = lab.server.api.post(&files, Some(&serde_json::json!({"path": folder}))).expect(202);
    let _ = lab.server.api.wait_job(&text(&look["id"]), &["succeeded"], LONG);
    let browser = Browser::start();
    lab.server.sign_in(&browser);
    let base = lab.server.base();
    browser.open(&format!("{base}/hosts/{}/snapshots/{}?path={folder}", lab.host(), lab.snapshot));
    for width in WIDTHS {
        browser.size(width);
        assert!(!browser.overflows(), "{width}");
    }
    let press = |name: &str| {
        let said = serde_json::to_string(name).expect("text");
        browser.run_async(&format!(
            "const press = function() {{ {PRESS} }}; press.call(null, {said}, arguments[0]);"
        ))
    };
    let came = press(&format!("Download {folder}/[a]*?"));
    assert_eq!((&came[0], &came[2]), (&serde_json::json!(200), &serde_json::json!("file 5\n")), "{came}");
    assert!(text(&came[1]).starts_with("attachment; filename=\"_a___\""), "{came}");
    let came = press(&format!("Download {folder}/nothing as zip"));
    assert_eq!(came[0], 200, "{came}");
    assert!(text(&came[2]).starts_with("PK"), "{came}");

    // Beside one path that was picked, with restic's own words.
    let one: String = format!("{folder}/-dash").bytes().map(|byte| format!("%{byte:02x}")).collect();
    let at = format!("{base}/hosts/{}/restore?snapshot={}&path={one}&step=where", lab.host(), lab.snapshot);
    browser.open(&at);
    assert!(browser.text().contains("Or download it"), "{}", browser.text());
    let source = browser.source();
    assert!(source.contains(&format!("dump {} {folder}/-dash", lab.snapshot)), "{source}");
    assert!(!source.contains(PASSWORD));

    // The password only after the own one.
    browser.open(&format!("{base}/hosts/{}/repo-password", lab.host()));
    assert!(!browser.source().contains(PASSWORD));
    browser.send_form("form:has([name=password])", &[("password", "correct horse battery staple")]);
    browser.wait_text(PASSWORD, SOON);
    let audit = lab.server.api.get("/api/audit?action=repo.password_shown").expect(200);
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(1), "{audit}");
    assert!(!lab.server.log().contains(PASSWORD));
}
