//! `holdfast-agent list`, `find` and `restore`, as a person types them: with the real program and the real restic.

use crate::{
    rig::{REPO_PASSWORD, Rig, count_locks, until, with_each_version},
    tools::{self, Version},
};
use agent_linux::{identity::Identity, restic::JobSummary, slots::Slots, state_folder::StateFolder};
use core::time::Duration;
use schema::{HostId, Slot, SlotRevision, envelope::Key};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::Write as _,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the program said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// The lines of JSON of one type.
    fn lines(&self, kind: &str) -> Vec<Value> {
        let parsed = self.out.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        parsed.filter(|line| line["type"] == kind).collect()
    }

    fn line(&self, kind: &str) -> Value {
        let mut lines = self.lines(kind);
        assert_eq!(lines.len(), 1, "{kind}: {self:?}");
        lines.remove(0)
    }

    #[track_caller]
    fn must_end(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// The state folder of an agent that was enrolled as `rig`; with the repository of the rig.
fn state(rig: &Rig) -> StateFolder {
    let state = StateFolder::open_or_make(&rig.path("state")).unwrap();
    let identity = Identity {
        host: HostId([7; 16]),
        host_name: "rig".to_owned(),
        addresses: "nowhere.invalid:8883".to_owned(),
        password: "x".to_owned(),
        link_key: Key::new([1; 32]),
        key_id: 1,
        ca_pem: "none".to_owned(),
    };
    identity.store(&state).unwrap();
    let mut slots = Slots::open(&state).unwrap();
    slots.store(Slot::Repo, SlotRevision(1), Some(rig.credentials.clone())).unwrap();
    fs::create_dir_all(rig.path("work")).unwrap();
    state
}

fn program(rig: &Rig, args: &[&OsStr]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-agent"));
    let (name, more) = args.split_first().expect("a command");
    command.arg(name).arg("--state-dir").arg(rig.path("state")).arg("--restic").arg(&rig.places.restic);
    command.args(more);
    command.env("TMPDIR", rig.path("work")).stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

fn ask(rig: &Rig, args: &[&str]) -> Said {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    let said = said(&mut program(rig, &args));
    assert_eq!(fs::read_dir(rig.path("work")).unwrap().count(), 0, "nothing stays behind: {said:?}");
    said
}

fn folder_arg(rig: &Rig, name: &str) -> String {
    rig.folder.path().canonicalize().unwrap().join(name).display().to_string()
}

/// All that is below a folder, with what is in it.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(folder).unwrap().to_owned();
            if path.is_symlink() {
                all.insert(below, fs::read_link(&path).unwrap().into_os_string().into_vec());
            } else if path.is_dir() {
                all.insert(below, Vec::new());
                open.push(path);
            } else {
                all.insert(below, fs::read(&path).unwrap());
            }
        }
    }
    all
}

async fn snapshot(rig: &mut Rig, source: &str) -> String {
    let backup = rig.backup(&[source]).await.succeeded();
    let JobSummary::Backup(done) = backup.end.summary else { panic!("{backup:#?}") };
    done.snapshot
}

/// Names that want to be something else.
fn hostile_names() -> Vec<Vec<u8>> {
    vec![
        b"line\nend".to_vec(),
        b"red\x1b[31m\x07".to_vec(),
        "c1\u{9b}31m turned\u{202e}gpj.exe".as_bytes().to_vec(),
        b"d\xff\xfe".to_vec(),
        b"-rf".to_vec(),
        b"[x]*?".to_vec(),
        br"back\slash\xfc".to_vec(),
        b"q\"uo'te".to_vec(),
        vec![b'n'; 255],
    ]
}

#[tokio::test]
async fn hostile_names_are_listed_found_and_restored_without_a_server() {
    with_each_version(async |_, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.source();
        for name in hostile_names() {
            fs::write(Path::new(&source).join(OsStr::from_bytes(&name)), &name).unwrap();
        }
        symlink("/etc/passwd", Path::new(&source).join("link")).unwrap();
        let id = snapshot(&mut rig, &source).await;
        state(&rig);
        let saved = tree(Path::new(&source));

        // What is there, for people and for programs.
        let listed = ask(&rig, &["list", "--json"]).must_end(0);
        let seen = listed.line("snapshot");
        assert!(seen["id"].as_str().unwrap().starts_with(&id), "{seen}");
        assert_eq!(
            (&seen["host"], &seen["tags"][0], &seen["paths"][0]),
            (&"rig".into(), &"g1".into(), &source.as_str().into())
        );
        assert_eq!(listed.line("end")["outcome"], "succeeded");
        let shown = ask(&rig, &["list"]).must_end(0);
        assert!(
            shown.out.starts_with("ID ") && shown.out.contains(&id[..8]) && shown.out.contains(&source),
            "{shown:?}"
        );
        let folder = ask(&rig, &["list", "latest", &source]).must_end(0);
        let inner = ask(&rig, &["list", &id[..6], &source, "--json"]).must_end(0);
        assert_eq!(inner.lines("entry").len(), fs::read_dir(&source).unwrap().count());
        let found = ask(&rig, &["find", "*"]).must_end(0);
        let restored = ask(&rig, &["restore", "latest"]).must_end(0);
        for said in [&shown, &folder, &inner, &found, &restored] {
            let steers = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
            assert!(!steers(&said.out) && !steers(&said.err), "{said:?}");
        }
        assert!(
            folder.out.contains("red\\u001b[31m\\u0007") && folder.out.contains("line\\u000aend"),
            "{folder:?}"
        );

        // What is shown is what it can be asked for by, and it is shown in one way.
        let mut picked: Vec<String> = vec!["restore".to_owned(), "latest".to_owned(), "--json".to_owned()];
        for entry in inner.lines("entry") {
            let name = entry["name"].as_str().unwrap();
            assert!(folder.out.contains(name) && found.out.contains(name), "{name}");
            if entry["kind"] == "file" {
                picked.extend(["--path".to_owned(), format!("{source}/{name}")]);
            }
        }
        let files = (picked.len() - 3) / 2;
        assert!(files >= hostile_names().len(), "{inner:?}");
        let picked: Vec<&str> = picked.iter().map(String::as_str).collect();
        let done = ask(&rig, &[&picked[..], &["--target", &folder_arg(&rig, "picked")]].concat()).must_end(0);
        assert_eq!(
            (numbers(&done.line("restored"))[0], &done.line("end")["class"]),
            (files as u64, &Value::Null)
        );

        // By name, one after the other; what is found names what is restored.
        for args in [&["list"][..], &["list", "--json"]] {
            let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
            let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let cut = program(&rig, &args).stdout(full).output().unwrap();
            let err = String::from_utf8(cut.stderr).unwrap();
            assert!(cut.status.code() == Some(3) && err.contains("could be printed"), "{err}");
        }
        assert_eq!(ask(&rig, &["find", "no-such-name"]).must_end(1).out, "0 paths in 1 snapshot.\n");
        for (word, name) in [
            ("line\\u000aend", 0),
            ("red\\u001b\\[31m\\u0007", 1),
            ("turned\\u202egpj", 2),
            ("d\\xff", 3),
            ("-rf", 4),
            ("back\\\\slash*", 6),
        ] {
            let found = ask(&rig, &["find", "--json", "--", word]).must_end(0);
            let paths = found.lines("found");
            assert_eq!(paths.len(), 1, "{word}: {found:?}");
            let path = paths[0]["path"].as_str().unwrap();
            assert_eq!(paths[0]["versions"][0]["snapshots"].as_array().unwrap().len(), 1);
            let to = folder_arg(&rig, &format!("one-{name}"));
            let done =
                ask(&rig, &["restore", "latest", "--path", path, "--target", &to, "--json"]).must_end(0);
            assert_eq!(done.line("restored")["files"], 1, "{done:?}");
            let bytes = &hostile_names()[name];
            let back = Path::new(&to).join(&source[1..]).join(OsStr::from_bytes(bytes));
            assert_eq!(&fs::read(back).unwrap(), bytes, "{word}");
        }

        // An id is of the host and group that are named beside it, or it is refused.
        for (what, name) in [("--host", "other"), ("--group", "nothing")] {
            for args in [&["restore", &id, "--dry-run"][..], &["list", &id]] {
                let refused = ask(&rig, &[args, &[what, name]].concat()).must_end(1);
                assert!(
                    refused.err.contains("--host and --group") && refused.err.contains(&id[..8]),
                    "{refused:?}"
                );
            }
            let none = ask(&rig, &["restore", "latest", what, name]).must_end(1);
            assert!(none.err.contains("no snapshot ") && none.err.contains(name), "{none:?}");
        }
        ask(&rig, &["restore", &id, "--dry-run", "--host", "rig", "--group", "g1"]).must_end(0);

        // All of it, into a new folder that nobody else looks into.
        let base = rig.path("state-restored");
        let made: Vec<PathBuf> = fs::read_dir(&base).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!((made.len(), fs::metadata(&made[0]).unwrap().mode() & 0o777), (1, 0o700));
        assert!(
            restored.out.contains(&made[0].display().to_string()) && restored.out.contains("read back"),
            "{restored:?}"
        );
        assert!(tree(&made[0].join(&source[1..])) == saved, "byte by byte");
        assert_eq!(rig.locks(), 0);
    })
    .await;
}

/// The numbers of a plan or a restore.
fn numbers(line: &Value) -> [u64; 6] {
    ["files", "replaced", "skipped", "failed", "deleted", "bytes"].map(|of| line[of].as_u64().unwrap())
}

#[tokio::test]
async fn what_is_there_is_dealt_with_as_said_and_the_dry_run_says_it_before() {
    with_each_version(async |version, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.source();
        snapshot(&mut rig, &source).await;
        state(&rig);
        let to = folder_arg(&rig, "named");
        let restore =
            |more: &[&str]| ask(&rig, &[&["restore", "latest", "--target", &to, "--json"], more].concat());
        let plan = restore(&["--dry-run"]).must_end(0).line("plan");
        assert!(!Path::new(&to).exists());
        assert_eq!(numbers(&plan), [5, 0, 0, 0, 0, 25_000], "{plan}");
        let done = restore(&[]).must_end(0);
        assert_eq!(
            (numbers(&done.line("restored")), &done.line("restored")["verified"]),
            (numbers(&plan), &true.into())
        );
        if version == Version::V014 {
            let refused = restore(&[]).must_end(1).line("end");
            assert!(refused["message"].as_str().unwrap().contains("follows symbolic links"), "{refused}");
            return;
        }
        let there = Path::new(&to).join(&source[1..]);
        let file = there.join("inner/file-1");
        for (overwrite, replaced) in [("never", 0), ("if-newer", 0), ("if-changed", 1), ("always", 1)] {
            fs::write(&file, "changed").unwrap();
            fs::write(there.join("more"), "not in the snapshot").unwrap();
            let plan = restore(&["--overwrite", overwrite, "--dry-run"]).must_end(0).line("plan");
            let done = restore(&["--overwrite", overwrite]).must_end(0).line("restored");
            assert_eq!(numbers(&plan)[..5], numbers(&done)[..5], "{overwrite}: {plan} {done}");
            assert_eq!(numbers(&done)[1], replaced, "{overwrite}: {done}");
            assert_eq!(fs::read(&file).unwrap() == b"1".repeat(5000), replaced == 1, "{overwrite}");
        }
        // Deleting asks, and does what the plan has said.
        let tried = restore(&["--delete", "--dry-run"]).must_end(0);
        assert_eq!(numbers(&tried.line("plan"))[4], 1, "{tried:?}");
        let names = |line: &Value| line["text"].as_str().is_some_and(|text| text.ends_with("/more"));
        assert!(tried.lines("log").iter().any(names), "{tried:?}");
        restore(&["--delete"]).must_end(2);
        assert!(there.join("more").exists());
        let done = restore(&["--delete", "--yes"]).must_end(0).line("restored");
        assert_eq!((numbers(&done)[4], there.join("more").exists()), (1, false), "{done}");
    })
    .await;
}

/// The same with a line on its standard input.
fn answered(rig: &Rig, args: &[&str], line: &str) -> Said {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    let mut command = program(rig, &args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test]
async fn the_original_places_are_written_to_once_the_hosts_name_was_typed() {
    let Some(restic) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    snapshot(&mut rig, &source).await;
    state(&rig);
    let file = Path::new(&source).join("inner/file-1");
    fs::remove_file(&file).unwrap();
    let restore = ["restore", "latest", "--original", "--path", &source];
    for wrong in ["", "yes\n", "RIG\n"] {
        let refused = answered(&rig, &restore, wrong).must_end(1);
        assert!(
            refused.out.contains("A restore would go to where it was")
                && refused.out.contains("written     1 file\n"),
            "{refused:?}"
        );
        assert!(
            refused.err.contains("Type the name of this host, rig") && refused.err.contains("--yes"),
            "{refused:?}"
        );
        assert!(!file.exists());
    }
    let done = answered(&rig, &restore, "rig\n").must_end(0);
    assert!(done.out.contains("Restored to where it was") && done.out.contains("left alone  4"), "{done:?}");
    assert_eq!(fs::read(&file).unwrap(), b"1".repeat(5000));
    fs::remove_file(&file).unwrap();
    ask(&rig, &[&restore[..], &["--yes"]].concat()).must_end(0);
    assert!(file.exists());
    // All of the machine is never cleared of what a snapshot lacks.
    let refused = ask(&rig, &["restore", "latest", "--original", "--delete", "--yes"]).must_end(1);
    assert!(refused.err.contains("whole machine"), "{refused:?}");
}

#[tokio::test]
async fn a_person_is_not_held_back_by_the_policy_but_by_links_and_the_agents_own_state() {
    let Some(restic) = Version::V018.program() else { return };
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    let id = snapshot(&mut rig, &source).await;
    state(&rig);
    let policy = rig.path("policy.toml");
    let base = folder_arg(&rig, "base");
    let write = |text: &str| fs::write(&policy, text).unwrap();
    write(&format!(
        "source_roots = ['/nowhere']\nrestore_base = '{base}'\nquiet_hours = ['00:00-23:59']\ndownload = false"
    ));
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o600)).unwrap();
    let policy_at = policy.display().to_string();
    let restore = |more: &[&str]| ask(&rig, &[&["restore", "latest", "--policy", &policy_at], more].concat());
    restore(&[]).must_end(0);
    let made = fs::read_dir(&base).unwrap().next().unwrap().unwrap().file_name();
    assert!(made.to_str().unwrap().starts_with(&format!("holdfast-restore-{}", &id[..8])), "{made:?}");
    restore(&["--target", &folder_arg(&rig, ".hidden/x")]).must_end(0);

    fs::create_dir(rig.path("elsewhere")).unwrap();
    symlink(rig.path("elsewhere"), rig.path("door")).unwrap();
    let said = restore(&["--target", &folder_arg(&rig, "door/x")]).must_end(1);
    assert!(said.err.contains("symbolic link"), "{said:?}");
    assert_eq!(fs::read_dir(rig.path("elsewhere")).unwrap().count(), 0);
    fs::create_dir(rig.path("open")).unwrap();
    fs::set_permissions(rig.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let said = restore(&["--target", &folder_arg(&rig, "open")]).must_end(1);
    assert!(said.err.contains("others may write to"), "{said:?}");
    for target in ["state", "state/x"] {
        let said = restore(&["--target", &folder_arg(&rig, target)]).must_end(1);
        assert!(said.err.contains("state folder"), "{said:?}");
    }
    // What the server said is held to what it may say.
    write("repositories = ['rest:https://nas/*']");
    let said = restore(&[]).must_end(1);
    assert!(said.err.contains("repositories"), "{said:?}");
    // One that can't be read keeps the agent from all; the person is told.
    write("restore_base = 7");
    let said = restore(&["--target", &folder_arg(&rig, "anyway")]).must_end(0);
    assert!(said.err.contains("policy.toml") && said.err.contains("limits are not kept"), "{said:?}");
}

#[tokio::test]
async fn a_snapshot_is_named_by_as_much_of_its_id_as_tells_it_from_others() {
    let Some(restic) = Version::Newest.program() else { return };
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    let mut ids: Vec<String> = Vec::new();
    // Of seventeen at the latest two begin alike.
    let (first, second) = loop {
        fs::write(Path::new(&source).join("counter"), ids.len().to_string()).unwrap();
        let id = snapshot(&mut rig, &source).await;
        if let Some(before) = ids.iter().find(|before| before[..1] == id[..1]) {
            break (before.clone(), id);
        }
        ids.push(id);
    };
    state(&rig);
    let said = ask(&rig, &["list", &first[..1]]).must_end(1);
    assert!(
        said.err.contains("2 snapshots begin with")
            && said.err.contains(&first[..16])
            && said.err.contains(&second[..16]),
        "{said:?}"
    );
    let unknown = if first.starts_with("00000000") { "ffffffffff" } else { "0000000000" };
    let said = ask(&rig, &["restore", unknown]).must_end(1);
    assert!(
        said.err.contains("no snapshot 0000000000") && said.err.contains("holdfast-agent list"),
        "{said:?}"
    );
    assert!(ask(&rig, &["restore", "yesterday"]).must_end(2).err.contains("say latest"));
    let newest = ask(&rig, &["list", "latest"]).must_end(0);
    assert!(newest.out.contains(&second[..8]), "{newest:?}");
    // As many versions as there were contents, the newest first.
    let found = ask(&rig, &["find", "counter", "--json"]).must_end(0).line("found");
    assert_eq!(found["versions"].as_array().unwrap().len(), ids.len() + 1);
    assert_eq!(found["versions"][0]["snapshots"][0], second.as_str());
    let one = ask(&rig, &["find", "file-1", "--newest", "1"]).must_end(0);
    assert!(one.out.ends_with("1 path in 1 snapshot.\n"), "{one:?}");
    let said = ask(&rig, &["list", "--group", "other"]).must_end(0);
    assert!(said.out.contains("no snapshot in group other"), "{said:?}");
    let said = ask(&rig, &["list", "latest", "/not/there"]).must_end(1);
    assert!(said.err.contains("There is no /not/there"), "{said:?}");
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_to_do() {
    let Some(restic) = Version::Newest.program() else { return };
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    snapshot(&mut rig, &source).await;
    fs::create_dir(rig.path("work")).unwrap();
    let said = ask(&rig, &["list"]).must_end(1);
    assert!(said.err.contains("was not enrolled") && said.err.contains("--state-dir"), "{said:?}");
    let end = ask(&rig, &["list", "--json"]).must_end(1).line("end");
    assert_eq!(end["outcome"], "failed");
    let folder = StateFolder::open_or_make(&rig.path("state")).unwrap();
    assert!(ask(&rig, &["list"]).must_end(1).err.contains("not enrolled"));
    state(&rig);
    let slot = folder.file("slot-repo");
    let sealed = fs::read(&slot).unwrap();
    let password = REPO_PASSWORD.as_bytes();
    assert!(!sealed.windows(password.len()).any(|part| part == password), "it is sealed");
    fs::write(&slot, [&sealed[..40], &[sealed[40] ^ 1], &sealed[41..]].concat()).unwrap();
    let said = ask(&rig, &["restore", "latest"]).must_end(1);
    assert!(said.err.contains("can't be opened") && said.err.contains("break-glass kit"), "{said:?}");
    assert!(slot.exists(), "it is left for the agent to set aside");
    fs::remove_file(&slot).unwrap();
    assert!(ask(&rig, &["find", "x"]).must_end(1).err.contains("never given a repository"));
    state(&rig);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(ask(&rig, &["list"]).must_end(1).err.contains("chmod 700"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    ask(&rig, &["list"]).must_end(0);
    let mut wrong = rig.credentials.clone();
    wrong.repo_password = "another".to_owned();
    Slots::open(&folder).unwrap().store(Slot::Repo, SlotRevision(2), Some(wrong)).unwrap();
    let end = ask(&rig, &["list", "--json"]).must_end(1).line("end");
    assert_eq!(end["class"], "auth", "{end}");
    // Part of what was asked for is there.
    Slots::open(&folder).unwrap().store(Slot::Repo, SlotRevision(3), Some(rig.credentials.clone())).unwrap();
    let inner = format!("{source}/inner");
    let said =
        ask(&rig, &["restore", "latest", "--path", &inner, "--path", "/not/there", "--json"]).must_end(3);
    assert_eq!(said.line("restored")["failures"][0]["path"], "/not/there", "{said:?}");
    assert_eq!(said.line("end")["outcome"], "warning");
    ask(&rig, &["restore", "latest", "--path", "/not/there"]).must_end(1);
}

/// The command lines of all processes that have this in theirs.
fn command_lines(with: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(with)).collect()
}

#[tokio::test]
async fn a_signal_ends_restic_and_what_was_written_stays_and_is_said() {
    with_each_version(async |version, restic| {
        let mut rig = Rig::initialised(restic).await;
        let source = rig.big_source(16);
        // One small pack after the other, so that the first files are there long before the last.
        rig.wrap_restic(
            "case \"$*\" in backup*) set -- --pack-size=4 \"$@\";; restore*) set -- -o local.connections=1 --limit-download=797 \"$@\";; esac; exec $RESTIC \"$@\"",
        );
        snapshot(&mut rig, &source).await;
        state(&rig);
        for signal in ["-INT", "-TERM"] {
            let to = folder_arg(&rig, signal);
            let args = ["restore", "latest", "--target", &to].map(OsStr::new);
            let mut command = program(&rig, &args);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let inner = Path::new(&to).join(".holdfast-restoring").join(&source[1..]);
            until("the first file", || fs::read_dir(&inner).is_ok_and(|mut all| all.next().is_some())).await;
            assert_eq!(command_lines("--limit-download=797").len(), 1);
            assert_eq!(command_lines(REPO_PASSWORD), Vec::<String>::new());
            let pid = child.id().to_string();
            let kill = || assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            kill();
            if version == Version::V014 {
                // It takes no notice of the first for as long as it reads.
                tokio::time::sleep(Duration::from_secs(1)).await;
                kill();
            }
            let output = child.wait_with_output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(130), "{err}");
            assert!(err.contains("Whatever was restored until then stays in") && err.contains(&to), "{err}");
            let running = command_lines("--limit-download=797");
            assert!(running.is_empty(), "{running:?}");
            assert_eq!(
                (count_locks(rig.folder.path()), fs::read_dir(rig.path("work")).unwrap().count()),
                (0, 0)
            );
            assert!(Path::new(&to).exists());
        }
    })
    .await;
}

#[tokio::test]
async fn root_leaves_the_agents_user_what_is_its_own() {
    let Some(restic) = Version::V018.program() else { return };
    if !is_root() {
        return tools::skip("only root can act for another user");
    }
    let mut rig = Rig::initialised(restic).await;
    let source = rig.source();
    snapshot(&mut rig, &source).await;
    let folder = state(&rig);
    let (uid, gid) = (54_321, 54_321);
    for entry in fs::read_dir(folder.path()).unwrap().flatten() {
        chown(entry.path(), Some(uid), Some(gid)).unwrap();
    }
    chown(folder.path(), Some(uid), Some(gid)).unwrap();
    let before: Vec<OsString> = names(folder.path());
    ask(&rig, &["list"]).must_end(0);
    ask(&rig, &["restore", "latest"]).must_end(0);
    assert_eq!(names(folder.path()), before, "nothing of root's lies in it");
    let base = rig.path("state-restored");
    let owner = |path: &Path| (fs::metadata(path).unwrap().uid(), fs::metadata(path).unwrap().mode() & 0o777);
    assert_eq!(owner(&base), (uid, 0o700), "the agent makes its own folders in it");
    let made = fs::read_dir(&base).unwrap().next().unwrap().unwrap().path();
    assert_eq!(owner(&made), (0, 0o700));
    assert_eq!(tree(&made.join(&source[1..])), tree(Path::new(&source)));
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    names
}
