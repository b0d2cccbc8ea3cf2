//! What belongs together of a server's files is used together or not at all: a piece that is missing, empty or another
//! server's is named, with the way back, and nothing is made in its place.

use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    agent::Agent,
    ports,
    process::{Finished, run},
    scratch::Scratch,
    server::Server,
    tools,
    wait::{LONG, SOON},
};

fn holdfast(words: &[&str], data_dir: &Path) -> Finished {
    let mut line = Command::new(tools::program("holdfast-server"));
    line.args(words).arg("--data-dir").arg(data_dir);
    if words == ["serve"] {
        line.args(["--http", "--mqtt", "--mqtt-plain"].map(|flag| format!("{flag}={}", ports::free())));
    }
    run(&words.join(" "), line, SOON)
}

/// Every file below, with its bytes, mode and time.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, facts) = (entry.path(), entry.metadata().expect("its facts"));
        let bytes = if facts.is_file() { fs::read(&path).expect("a file") } else { Vec::new() };
        if facts.is_dir() {
            all.extend(tree(&path));
        }
        let _ = all.insert(path, (bytes, facts.mode(), facts.mtime(), facts.mtime_nsec()));
    }
    all
}

fn copy_all(from: &Path, to: &Path) {
    let mut line = Command::new("cp");
    line.arg("-a").arg(from).arg(to);
    let _ = run("cp", line, SOON).expect_success("a copy");
}

/// A server that an agent was enrolled with, stopped.
fn with_agent(scratch: &Scratch, name: &str) -> (Server, Agent) {
    let server = Server::start(&scratch.folder(name));
    let mut agent = Agent::enroll(&server.api, &scratch.path().join(format!("agent-of-{name}")), "box");
    server.api.wait_online(&agent.host, true, LONG);
    agent.stop();
    (server, agent)
}

/// Both programs end with a sentence in which these stand, and neither makes or changes anything.
#[track_caller]
fn refused(data_dir: &Path, words: &[&str]) {
    refused_by(&["check", "serve"], data_dir, words);
}

#[track_caller]
fn refused_by(commands: &[&str], data_dir: &Path, words: &[&str]) {
    let before = tree(data_dir);
    for command in commands {
        let ended = holdfast(&[command], data_dir);
        assert_eq!(ended.status.code(), Some(1), "{command}: {}", ended.output);
        for word in words {
            assert!(ended.output.contains(word), "{command}: no {word:?} in {}", ended.output);
        }
        assert!(before == tree(data_dir), "{command} changed the data folder");
    }
}

#[test]
fn a_lost_piece_is_named_and_nothing_is_made_in_its_place() {
    let scratch = Scratch::new();
    let (mut server, mut agent) = with_agent(&scratch, "server");
    server.stop();
    let (data, kept) = (scratch.path().join("server"), scratch.path().join("kept"));
    assert!(!data.join("first-start").exists(), "the first start has ended");
    copy_all(&data, &kept);
    let back = || {
        fs::remove_dir_all(&data).expect("the data folder goes");
        copy_all(&kept, &data);
    };
    let restore = "It is in each archive of the server";
    for (lost, words) in [
        ("holdfast.redb", [restore, "holdfast.redb is missing, but", "master.key is there"]),
        ("master.key", [restore, "master.key is missing, but", "holdfast.redb is there"]),
        (
            "tls/ca.pem",
            ["take the folder tls out of an archive", "ca.pem is missing", "admin accept-authority"],
        ),
        (
            "tls/ca.key",
            ["take the folder tls out of an archive", "ca.key is missing", "admin accept-authority"],
        ),
    ] {
        fs::remove_file(data.join(lost)).expect("a piece");
        refused(&data, &words);
        back();
    }
    fs::remove_dir_all(data.join("tls")).expect("the authority");
    refused(&data, &["take the folder tls out of an archive", "enrolled again"]);
    fs::remove_file(data.join("master.key")).expect("the key");
    fs::remove_file(data.join("holdfast.redb")).expect("the data");
    back();
    // Cut to nothing, and a whole file that holds nothing.
    fs::write(data.join("holdfast.redb"), "").expect("an empty file");
    refused(&data, &["holdfast.redb is empty", "restore an archive of the server"]);
    // The mark of a first start that was torn is no licence for what it did not make.
    fs::write(data.join("first-start"), "The first start makes its files.\n").expect("a mark");
    refused(&data, &["holdfast.redb is empty", "restore an archive of the server"]);
    fs::remove_file(data.join("first-start")).expect("the mark");
    drop(redb::Database::create(data.join("holdfast.redb")).expect("another database"));
    refused_by(&["check"], &data, &["is damaged: restore an archive", "it holds no data of a server"]);
    // Only the authority is left.
    fs::remove_file(data.join("master.key")).expect("the key");
    fs::remove_file(data.join("holdfast.redb")).expect("the data");
    refused(&data, &["holdfast.redb is missing", "ca.pem is there"]);
    back();

    let said = holdfast(&["check"], &data).expect_success("a check of the whole folder");
    assert!(said.contains("authority: ok"), "{said}");
    server.start_again();
    agent.start();
    server.api.wait_online(&agent.host, true, LONG);
}

#[test]
fn another_authority_is_refused_until_a_person_accepts_it() {
    let scratch = Scratch::new();
    let (mut server, _) = with_agent(&scratch, "server");
    server.stop();
    let mut other = Server::start(&scratch.folder("other"));
    other.stop();
    let (data, others) = (scratch.path().join("server"), scratch.path().join("other"));
    let own = scratch.path().join("own-tls");
    fs::rename(data.join("tls"), &own).expect("the authority moves");
    copy_all(&others.join("tls"), &data);
    let words = ["enrolled agents trust", "accept-authority", "would all be locked out"];
    refused_by(&["check"], &data, &words);
    let ended = holdfast(&["serve"], &data);
    assert!(words.iter().all(|word| ended.output.contains(word)), "{}", ended.output);

    // Nobody was enrolled with the other server: there it harms nobody.
    fs::remove_dir_all(others.join("tls")).expect("the other's authority");
    copy_all(&own, &others.join("tls"));
    let _ = holdfast(&["check"], &others).expect_success("an authority that nobody trusts yet");
    other.start_again();
    other.stop();

    // Lost for good: a person says so, and the next start makes one.
    fs::remove_dir_all(data.join("tls")).expect("the authority");
    let said = holdfast(&["admin", "accept-authority"], &data).expect_success("a person's word");
    assert!(said.contains("enrol every host again"), "{said}");
    let told = holdfast(&["admin", "accept-authority", "--json"], &data).expect_success("once more");
    let told: serde_json::Value = serde_json::from_str(&told).expect("an object");
    assert_eq!(told, serde_json::json!({ "state": "accepted_before" }));
    // It is found again: nothing has to be given up, and what was said counts no more.
    copy_all(&own, &data.join("tls"));
    let ended = holdfast(&["admin", "accept-authority"], &data);
    assert_eq!(ended.status.code(), Some(3), "{}", ended.output);
    assert!(!data.join("accept-authority").exists());
    fs::remove_dir_all(data.join("tls")).expect("the authority");
    let _ = holdfast(&["admin", "accept-authority"], &data).expect_success("a person's word");
    let said = holdfast(&["check"], &data).expect_success("a check");
    assert!(said.contains("locks out all hosts that are enrolled (1)"), "{said}");
    let told = holdfast(&["check", "--json"], &data).expect_success("a check");
    let told: serde_json::Value = serde_json::from_str(&told).expect("an object");
    assert_eq!(
        (&told["state"], &told["locked_out"], &told["running"]),
        (&"ok".into(), &1.into(), &false.into())
    );
    assert!(!data.join("tls").exists(), "check makes nothing");
    server.start_again();
    assert!(data.join("tls/ca.pem").exists() && !data.join("accept-authority").exists());
    let audit = server.api.get("/api/audit?action=authority.accepted").expect(200);
    let detail = audit["items"][0]["detail"].as_str().expect("an entry").to_owned();
    assert!(detail.contains("every host has to be enrolled again"), "{audit}");
    // That was for once.
    server.stop();
    for (file, bytes, words) in [
        ("ca.pem", "junk", "holds no certificate"),
        ("ca.pem", "", "ca.pem is missing or empty"),
        ("ca.key", "junk", "private key"),
    ] {
        fs::write(data.join("tls").join(file), bytes).expect("a broken authority");
        refused(&data, &[words, "take the folder tls out of an archive", "admin accept-authority"]);
        let _ = holdfast(&["admin", "accept-authority"], &data).expect_success("a person's word");
        let _ = holdfast(&["check"], &data).expect_success("a check");
        server.start_again();
        server.stop();
    }
    let put_aside = fs::read_dir(&data).expect("the folder").flatten();
    let put_aside =
        put_aside.filter(|entry| entry.file_name().to_string_lossy().starts_with("tls.old-")).count();
    assert_eq!(put_aside, 3, "what can't be used is kept to be looked at");
    fs::remove_dir_all(data.join("tls")).expect("the authority");
    refused(&data, &["ca.pem is missing"]);

    // A word for a folder that holds nothing to go on with is none.
    fs::write(data.join("holdfast.redb"), "").expect("an empty file");
    let ended = holdfast(&["admin", "accept-authority"], &data);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(ended.output.contains("is empty") && !data.join("accept-authority").exists(), "{}", ended.output);
}

#[test]
fn what_is_moved_or_replaced_while_the_server_runs_is_told_and_takes_nothing_with_it() {
    let scratch = Scratch::new();
    let (mut server, _) = with_agent(&scratch, "server");
    let (data, away) = (scratch.path().join("server"), scratch.folder("away"));
    let file = data.join("holdfast.redb");
    let copy = away.join("copy");
    fs::copy(&file, &copy).expect("a copy");
    let make = |server: &Server, name: &str| server.api.post("/api/hosts", Some(&json!({ "name": name })));
    for is_there in [true, false] {
        fs::rename(&file, away.join("own")).expect("the file moves");
        if is_there {
            fs::copy(&copy, &file).expect("another file");
        }
        let refused = make(&server, "lost");
        assert_eq!((refused.status, refused.code()), (503, "storage_replaced"), "{}", refused.text);
        let ready = server.api.get("/readyz");
        assert!(ready.status == 503 && ready.text.contains("moved or replaced"), "{}", ready.text);
        let _ = server.api.get("/api/hosts").expect(200);
        let ended = holdfast(&["check"], &data);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(ended.output.contains("is another file than the one"), "{}", ended.output);
        fs::rename(away.join("own"), &file).expect("the file comes back");
        let _ = make(&server, if is_there { "one" } else { "two" }).expect(201);
    }
    // The same for what lies beside it, which the server has in memory.
    for piece in ["master.key", "tls/ca.key", "tls/ca.pem"] {
        fs::rename(data.join(piece), away.join("piece")).expect("a piece moves");
        let ended = holdfast(&["check"], &data);
        assert_eq!(ended.status.code(), Some(1), "{piece}: {}", ended.output);
        let name = piece.rsplit('/').next().expect("a name");
        assert!(ended.output.contains(&format!("{name} is missing")), "{piece}: {}", ended.output);
        fs::rename(away.join("piece"), data.join(piece)).expect("it comes back");
    }
    // Where nothing is wrong, there is nothing to accept.
    let nothing = || {
        let ended = holdfast(&["admin", "accept-authority"], &data);
        assert_eq!(ended.status.code(), Some(3), "{}", ended.output);
        assert!(ended.output.contains("nothing to accept"), "{}", ended.output);
        assert!(!data.join("accept-authority").exists());
    };
    nothing();
    // A person's word while it runs: then that is what the next start does.
    fs::rename(data.join("tls/ca.pem"), away.join("piece")).expect("a piece moves");
    let _ = holdfast(&["admin", "accept-authority"], &data).expect_success("a person's word");
    let said = holdfast(&["check"], &data).expect_success("a check");
    assert!(said.contains("locks out all hosts that are enrolled (1)"), "{said}");
    let said = holdfast(&["admin", "accept-authority"], &data).expect_success("the same again");
    assert!(said.contains("accepted before"), "{said}");
    fs::remove_file(data.join("accept-authority")).expect("the word");
    fs::rename(away.join("piece"), data.join("tls/ca.pem")).expect("it comes back");
    fs::rename(data.join("master.key"), away.join("piece")).expect("a piece moves");
    fs::write(data.join("master.key"), format!("{}\n", "07".repeat(32))).expect("another key");
    fs::set_permissions(data.join("master.key"), fs::Permissions::from_mode(0o600))
        .expect("closed to others");
    let ended = holdfast(&["check"], &data);
    assert!(ended.output.contains("the master key does not belong to this data file"), "{}", ended.output);
    fs::rename(away.join("piece"), data.join("master.key")).expect("it comes back");
    let said = holdfast(&["check"], &data).expect_success("a check");
    assert!(said.contains("authority: ok") && said.contains("in use by the server that runs"), "{said}");
    server.stop();
    nothing();
}

/// The last copy of it is what the server has open and in memory, until somebody stops it.
#[test]
fn a_server_whose_files_were_deleted_while_it_runs_is_archived_whole() {
    let scratch = Scratch::new();
    let (mut server, _) = with_agent(&scratch, "server");
    let (data, new) = (scratch.path().join("server"), scratch.path().join("new"));
    let [pass, archive] = ["pass", "archive.age"].map(|name| scratch.path().join(name));
    fs::write(&pass, "a few words in a row").expect("a passphrase");
    fs::set_permissions(&pass, fs::Permissions::from_mode(0o600)).expect("closed to others");
    let words = |path: &Path| path.display().to_string();
    let make = |name: &str| server.api.post("/api/hosts", Some(&json!({ "name": name })));
    let _ = make("the-last").expect(201);
    // Nothing of it is written over.
    let key = fs::read(data.join("master.key")).expect("the key");
    let line =
        ["backup", "--to", &words(&data.join("master.key")), "--passphrase-file", &words(&pass), "--force"];
    let ended = holdfast(&line, &data);
    assert!(ended.output.contains("is a file of the server itself"), "{}", ended.output);
    assert!(fs::read(data.join("master.key")).expect("the key") == key);
    for name in ["master.key", "tls/ca.key", "tls/ca.pem", "holdfast.redb"] {
        fs::remove_file(data.join(name)).expect("a piece is deleted");
        let line = ["backup", "--to", &words(&archive), "--passphrase-file", &words(&pass), "--force"];
        let _ = holdfast(&line, &data).expect_success(name);
    }
    assert_eq!(make("lost").code(), "storage_replaced");
    let ready = server.api.get("/readyz");
    assert!(ready.status == 503 && ready.text.contains("make an archive first"), "{}", ready.text);
    server.stop();
    let mut line = Command::new(tools::program("holdfast-server"));
    line.args(["restore", &words(&archive), "--check", "--passphrase-file", &words(&pass)]);
    let said = run("what it is of", line, SOON).expect_success("a look");
    assert!(said.contains("2 hosts"), "{said}");
    let line = ["restore", &words(&archive), "--passphrase-file", &words(&pass)];
    let _ = holdfast(&line, &new).expect_success("a restore");
    let said = holdfast(&["check"], &new).expect_success("a check");
    assert!(said.contains("authority: ok"), "{said}");
}

#[test]
fn the_master_key_may_lie_elsewhere_as_a_service_manager_hands_it_over() {
    let scratch = Scratch::new();
    let (mut server, _) = with_agent(&scratch, "server");
    server.stop();
    let (data, key) = (scratch.path().join("server"), scratch.path().join("credential"));
    // One that can't be read leaves no trace of a first start.
    let mut line = Command::new(tools::program("holdfast-server"));
    let nowhere = scratch.path().join("nowhere");
    line.args(["serve", "--http=127.0.0.1:0", "--mqtt=127.0.0.1:0"]).arg("--data-dir").arg(&nowhere);
    line.arg("--master-key-file").arg(&key);
    let ended = run("serve", line, SOON);
    assert!(ended.status.code() == Some(1) && !nowhere.exists(), "{}", ended.output);
    fs::rename(data.join("master.key"), &key).expect("the key moves");
    refused(&data, &["master.key is missing"]);
    server.environment.push(("HOLDFAST_MASTER_KEY_FILE".to_owned(), key.clone().into()));
    server.start_again();
    assert!(!data.join("master.key").exists());
    server.stop();
    for words in [&["check"][..], &["admin", "token", "--name=again"]] {
        let mut line = Command::new(tools::program("holdfast-server"));
        line.args(words).arg("--data-dir").arg(&data).arg("--master-key-file").arg(&key);
        let _ = run("with the key", line, SOON).expect_success("a key from elsewhere");
    }
}
