//! Archives of the server: made while it runs, opened by `age`, and made a server again to which its agents return.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tests::{
    api::Api,
    process::{Finished, Process, run, run_reading},
    scene::{GROUP, Scene},
    scratch::Scratch,
    server::Server,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const PASSPHRASE: &str = "five words in a row";

fn holdfast(words: &[&str], input: &str) -> Finished {
    let mut command = Command::new(tools::program("holdfast-server"));
    command.args(words);
    run_reading("holdfast-server", command, input, LONG)
}

/// All that the API tells of a server, but for the time of day and what its start changes.
fn told(api: &Api, host: &str) -> Vec<(String, Value)> {
    let addresses = [
        "/api/hosts".to_owned(),
        format!("/api/hosts/{host}"),
        format!("/api/hosts/{host}/groups"),
        format!("/api/hosts/{host}/schedules"),
        format!("/api/hosts/{host}/maintenance"),
        format!("/api/hosts/{host}/repo"),
        format!("/api/hosts/{host}/repo-credentials"),
        format!("/api/hosts/{host}/groups/{GROUP}/soundness"),
        format!("/api/hosts/{host}/usage"),
        "/api/kit".to_owned(),
        format!("/api/hosts/{host}/snapshots"),
        format!("/api/jobs?host={host}"),
        "/api/tokens".to_owned(),
        "/api/viewers".to_owned(),
        "/api/operators".to_owned(),
    ];
    let told = |address: String| {
        let mut value = api.get(&address).expect(200);
        forget(&mut value);
        (address, value)
    };
    addresses.into_iter().map(told).collect()
}

/// Takes out what a connection, the clock, or asking itself changes.
fn forget(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["online_changed_at", "last_seen_at", "used_at"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    names.filter(|path| path.extension().is_some_and(|ending| ending == "age")).max()
}

#[test]
fn a_server_whose_disk_burned_is_back_from_its_archive_and_so_are_its_agents_by_themselves() {
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let _ = scene.back_up();
    let schedule = json!({"cron": "0 3 * * *", "timezone": "UTC", "groups": [GROUP], "enabled": true});
    let _ = scene.api().put(&format!("/api/hosts/{host}/schedules/nightly"), &schedule).expect(201);
    let _ = scene.server.add_viewer("tools");
    let data = scene.server.data_dir.clone();
    // By itself, once somebody has said what opens it.
    let _ = scene.api().put("/api/archives/key", &json!({ "passphrase": PASSPHRASE })).expect(200);
    wait::until("the first archive", SOON, || {
        newest(&data.join("backups")).map(|_| ()).ok_or_else(|| scene.api().get("/api/archives").text)
    });
    let before = told(scene.api(), &host);
    let audit = scene.api().get("/api/audit?limit=500").expect(200)["items"].clone();
    // And by the command, for the holder of an identity, while the server runs.
    let (elsewhere, burned) = (scene.scratch.folder("elsewhere"), scene.scratch.path().join("burned"));
    let identity = elsewhere.join("identity.txt");
    let mut keygen = Command::new(Tool::Age.path().with_file_name("age-keygen"));
    keygen.arg("-o").arg(&identity);
    let _ = run("age-keygen", keygen, SOON).expect_success("an identity");
    let text = fs::read_to_string(&identity).expect("the identity");
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).expect("its recipient");
    let data_word = data.display().to_string();
    let (archive, elsewhere_word) = (elsewhere.join("server.age"), elsewhere.display().to_string());
    let to = archive.display().to_string();
    let said = holdfast(&["backup", "--data-dir", &data_word, "--to", &to, "--recipient", recipient], "");
    let said = said.expect_success("an archive");
    assert!(said.contains("1 host"), "{said}");
    let again = holdfast(&["backup", "--data-dir", &data_word, "--to", &to, "--recipient", recipient], "");
    assert!(again.status.code() == Some(1) && again.output.contains("--force"), "{}", again.output);
    // In a folder it gets a name; without --to the server keeps it as each night.
    let named = ["backup", "--data-dir", &data_word, "--to", &elsewhere_word, "--recipient", recipient];
    let said = holdfast(&named, "").expect_success("an archive");
    assert!(said.contains("holdfast-archive-20"), "{said}");
    let said = holdfast(&["backup", "--data-dir", &data_word], "").expect_success("one more");
    assert!(said.contains("/backups/holdfast-archive-20"), "{said}");
    // Each of them has its line in the audit.
    let lines = |action: &str| {
        let told = scene.api().get(&format!("/api/audit?action={action}")).expect(200);
        let told = told["items"].as_array().expect("entries").clone();
        told.iter().map(|line| line["detail"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let for_it = format!("by the command line, for {recipient}");
    let downloads = lines("archive.downloaded");
    assert!(downloads.len() == 2 && downloads.iter().all(|line| *line == for_it), "{downloads:?}");
    let kept = newest(&data.join("backups")).expect("an archive");
    assert_eq!(lines("archive.made"), [kept.file_name().expect("a name").to_string_lossy()]);
    // What is in it, by age and tar alone.
    let mut sh = Command::new("sh");
    sh.arg("-ec")
        .arg("\"$0\" -d -i \"$1\" \"$2\" | tar t")
        .arg(Tool::Age.path())
        .arg(&identity)
        .arg(&archive);
    let listed = run("age and tar", sh, LONG).expect_success("a tar file");
    for name in [
        "about.json",
        "master.key",
        "tls/ca.pem",
        "tls/ca.key",
        "settings.toml",
        "rows/hosts/000001",
        "end.json",
    ] {
        assert!(listed.lines().any(|line| line == name), "{name} in {listed}");
    }

    scene.server.kill_9();
    // Of a server that does not run, and without its settings: where its agents find it is in its data file.
    let at_rest = elsewhere.join("at-rest.age").display().to_string();
    let words = ["backup", "--data-dir", &data_word, "--to", &at_rest, "--generate", "--json"];
    let made: Value =
        serde_json::from_str(&holdfast(&words, "").expect_success("an archive")).expect("an object");
    assert_eq!((&made["addresses"], &made["hosts"]), (&json!(scene.server.public), &json!(1)), "{made}");
    let restored = scene.scratch.path().join("at-rest");
    let words = ["restore", &at_rest, "--data-dir", &restored.display().to_string()];
    let said = holdfast(&words, made["passphrase"].as_str().expect("a passphrase"));
    let _ = said.expect_success("a restore");
    let settings = fs::read_to_string(restored.join("settings.toml")).expect("settings");
    assert_eq!(settings.trim(), format!("mqtt_public = \"{}\"", scene.server.public[0]));
    fs::rename(&data, &burned).expect("the disk burns");
    let identity_word = identity.display().to_string();
    let restore = ["restore", &to, "--data-dir", &data_word, "--identity-file", &identity_word];
    let said = holdfast(&restore, "").expect_success("a restore");
    assert!(said.contains("incarnation 1") && said.contains("holdfast-server serve --config"), "{said}");
    let full = holdfast(&restore, "");
    assert!(full.status.code() == Some(1) && full.output.contains("is not empty"), "{}", full.output);
    // Nobody is asked for a passphrase in vain.
    let unasked = holdfast(&["restore", &at_rest, "--data-dir", &data_word], "");
    assert!(unasked.output.contains("is not empty"), "{}", unasked.output);
    assert!(["--check", "--rehearse"].iter().all(|word| full.output.contains(word)), "{}", full.output);
    scene.server.start_again();
    scene.api().wait_online(&host, true, LONG);
    let after = told(scene.api(), &host);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    let audited = scene.api().get("/api/audit?limit=500").expect(200)["items"].clone();
    let entries = |audit: &Value| {
        audit.as_array().expect("entries").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let kept = entries(&audited);
    for entry in entries(&audit) {
        assert!(kept.contains(&entry), "{entry}");
    }
    let restored = scene.api().get("/api/audit?action=server.restored").expect(200);
    assert!(restored["items"][0]["detail"].to_string().contains("incarnation 1"), "{restored}");
    let returned = scene.api().get("/api/audit?action=host.returned").expect(200);
    assert_eq!(returned["items"].as_array().map(Vec::len), Some(1), "{returned}");
    // Its secrets open: the repository is used as before.
    let job = scene.back_up();
    assert_eq!(job["state"], "succeeded", "{job}");
    // The former server comes back by mistake: the agent has heard of the other, and stays away.
    let newer = data.with_file_name("newer");
    scene.server.kill_9();
    fs::rename(&data, &newer).expect("it is put aside");
    fs::rename(&burned, &data).expect("it comes back");
    scene.server.start_again();
    wait::until("the former server to be told", LONG, || {
        let told = scene.api().get("/api/audit?action=host.superseded").expect(200);
        if told["items"].as_array().is_some_and(|lines| lines.len() == 1) {
            Ok(())
        } else {
            Err(told.to_string())
        }
    });
    assert_eq!(scene.api().get(&format!("/api/hosts/{host}")).expect(200)["online"], false);
    scene.server.kill_9();
    fs::rename(&data, &burned).expect("it goes again");
    fs::rename(&newer, &data).expect("the newer one goes on");
    scene.server.start_again();
    scene.api().wait_online(&host, true, LONG);
    let job = scene.back_up();
    assert_eq!(job["state"], "succeeded", "{job}");
    // The one that the server had made by itself is as good.
    let own = newest(&burned.join("backups")).expect("an archive of the server's own").display().to_string();
    let said = holdfast(&["restore", &own, "--check"], &format!("{PASSPHRASE}\n")).expect_success("a look");
    assert!(said.contains("1 host"), "{said}");
    let wrong = holdfast(&["restore", &own, "--check"], "other words in a row\n");
    assert!(wrong.status.code() == Some(1) && wrong.output.lines().count() == 1, "{}", wrong.output);
    assert!(wrong.output.contains("does not open this archive"), "{}", wrong.output);
}

/// A machine is enrolled after the archive was made, and has to do no more than knock.
#[test]
fn a_machine_that_only_the_lost_server_has_enrolled_is_taken_in_by_one_press() {
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.folder("data"));
    let data = server.data_dir.clone();
    let (kept, burned) = (scratch.path().join("kept.age"), scratch.path().join("burned"));
    let (data_word, kept_word) = (data.display().to_string(), kept.display().to_string());
    let words = ["backup", "--data-dir", &data_word, "--to", &kept_word];
    let _ = holdfast(&words, &format!("{PASSPHRASE}\n")).expect_success("an archive");
    let mut agent = tests::agent::Agent::enroll(&server.api, &scratch.path().join("box"), "box");
    server.api.wait_online(&agent.host, true, LONG);
    server.kill_9();
    fs::rename(&data, &burned).expect("the disk burns");
    let restore = ["restore", &kept_word, "--data-dir", &data_word];
    let _ = holdfast(&restore, &format!("{PASSPHRASE}\n")).expect_success("a restore");
    server.start_again();
    assert_eq!(server.api.get(&format!("/api/hosts/{}", agent.host)).status, 404);
    let row = wait::until("it to knock", 2 * LONG, || {
        let rows = server.api.get("/api/refused-connections").expect(200);
        let is_it = |row: &Value| row["reason"] == "newcomer" && row["name"] == agent.host.as_str();
        match rows["items"].as_array().into_iter().flatten().find(|row| is_it(row)) {
            Some(row) => Ok(row.clone()),
            None => Err(rows.to_string()),
        }
    });
    // This server has no such host: what its login says of it is told.
    assert_eq!(row["host_name"], "box", "{row}");
    assert!(row["enrolled_at"].is_string() && row["hostname"].is_string(), "{row}");
    let path = format!("/api/refused-connections/{}/take-in", agent.host);
    let _ = server.api.post(&path, None).expect(204);
    let again = server.api.post(&path, None).expect(404);
    assert_eq!(again["error"]["code"], "newcomer_not_found", "{again}");
    let rows = server.api.get("/api/refused-connections").expect(200);
    let is_it = |row: &Value| row["name"] == agent.host.as_str();
    assert!(
        !rows["items"].as_array().into_iter().flatten().any(is_it),
        "there is nothing to be done: {rows}"
    );
    // It tries again within a quarter of an hour by itself.
    agent.stop();
    agent.start();
    server.api.wait_online(&agent.host, true, LONG);
    assert_eq!(server.api.host(&agent.host)["name"], "box");
}

/// Many rows, so that making and restoring an archive takes a while.
fn with_many_rows(scratch: &Scratch) -> Server {
    let server = Server::start(&scratch.folder("data"));
    for n in 0..60 {
        let host = server.api.add_host(&format!("host-{n}")).id;
        for group in 0..8 {
            let includes: Vec<String> =
                (0..60).map(|path| format!("/srv/{group}/a-longer-path-{path}")).collect();
            let includes: Vec<&str> = includes.iter().map(String::as_str).collect();
            server.api.add_group(&host, &format!("group-{group}"), &includes);
        }
    }
    server
}

#[test]
fn a_kill_in_any_phase_leaves_neither_half_an_archive_that_counts_nor_half_a_server_that_serves() {
    let scratch = Scratch::new();
    let mut server = with_many_rows(&scratch);
    let data = server.data_dir.clone();
    let _ = server.api.put("/api/archives/key", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let kept = scratch.path().join("kept.age");
    let (data_word, kept_word) = (data.display().to_string(), kept.display().to_string());
    let words = ["backup", "--data-dir", &data_word, "--to", &kept_word];
    let _ = holdfast(&words, &format!("{PASSPHRASE}\n")).expect_success("an archive");
    let opens = |archive: &Path| {
        let archive = archive.display().to_string();
        let _ =
            holdfast(&["restore", &archive, "--check"], &format!("{PASSPHRASE}\n")).expect_success(&archive);
    };
    for delay_ms in [0, 100, 400, 900] {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.args(["backup", "--data-dir", &data_word]);
        let mut asks = Process::start("holdfast-server backup", command);
        std::thread::sleep(Duration::from_millis(delay_ms));
        server.kill_9();
        let _ = asks.end(LONG);
        let folder = data.join("backups");
        let archives = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        archives.filter(|path| path.extension().is_some_and(|it| it == "age")).for_each(|path| opens(&path));
        server.start_again();
    }
    // What was torn is cleared away with the next one, unless the server makes one by itself right now.
    wait::until("an archive", LONG, || {
        let made = holdfast(&["backup", "--data-dir", &data_word], "");
        if made.status.success() { Ok(()) } else { Err(made.output) }
    });
    let names = fs::read_dir(data.join("backups")).expect("archives").flatten();
    let torn: Vec<_> = names
        .map(|entry| entry.file_name())
        .filter(|name| !name.to_string_lossy().ends_with(".age"))
        // Which archives are this server's own.
        .filter(|name| {
            !name.to_string_lossy().starts_with(".holdfast-archives-of-")
                || name.to_string_lossy().ends_with(".new")
        })
        .collect();
    assert!(torn.is_empty(), "{torn:?}");

    // Killed while it writes into a folder: the draft stays until it is old, and the next one removes it and says so.
    let stick = scratch.folder("stick");
    let stick_word = stick.display().to_string();
    let drafts = || {
        let names = fs::read_dir(&stick).expect("a folder").flatten().map(|entry| entry.path());
        names.filter(|path| path.extension().is_some_and(|it| it == "new")).collect::<Vec<_>>()
    };
    // Two within a second have one name.
    let words = ["backup", "--data-dir", &data_word, "--to", &stick_word, "--generate", "--force"];
    wait::until("a draft that is left", LONG, || {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.args(words);
        let mut process = Process::start("holdfast-server backup", command);
        while drafts().is_empty() && process.ended().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        process.kill_9();
        if drafts().is_empty() { Err("it was made before it was killed".to_owned()) } else { Ok(()) }
    });
    let left = drafts();
    let said = holdfast(&words, "").expect_success("an archive");
    assert!(!said.contains("removed"), "{said}");
    assert_eq!(drafts(), left, "it may still be written");
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for draft in &left {
        let draft = fs::File::options().write(true).open(draft).expect("a draft");
        draft.set_modified(long_ago).expect("an old one");
    }
    let said = holdfast(&words, "").expect_success("an archive");
    assert!(said.contains("the draft of an archive that was broken off"), "{said}");
    assert!(drafts().is_empty());
    server.stop();

    fs::write(scratch.path().join("words"), PASSPHRASE).expect("the passphrase");
    let words_file = scratch.path().join("words").display().to_string();
    let new = scratch.path().join("new");
    let new_word = new.display().to_string();
    let restore = ["restore", &kept_word, "--data-dir", &new_word, "--passphrase-file", &words_file];
    let mut torn = 0;
    for round in 0..16 {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.args(restore);
        let mut process = Process::start("holdfast-server restore", command);
        // Before the folder is there, nothing has been written; from then on each moment counts.
        while !new.exists() && process.ended().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(round * 10));
        process.kill_9();
        let check = holdfast(&["check", "--data-dir", &new_word], "");
        let told = match check.status.code() {
            Some(0) => "rows)",
            Some(3) => "none yet",
            _ => {
                torn += 1;
                "a restore or a salvage has left that did not end"
            }
        };
        assert!(check.output.contains(told), "{}", check.output);
        if check.output.contains("rows)") {
            fs::remove_dir_all(&new).expect("a whole one");
        }
        let _ = holdfast(&restore, "").expect_success("restored after a kill");
        let whole = holdfast(&["check", "--data-dir", &new_word], "").expect_success("a whole server");
        assert!(whole.contains("authority: ok"), "{whole}");
        fs::remove_dir_all(&new).expect("a whole one");
    }
    assert!(torn > 0, "no kill came in the middle");
}

/// What it makes is a server with its master key in clear.
#[test]
fn a_rehearsal_that_is_ended_by_a_signal_leaves_nothing() {
    let scratch = Scratch::new();
    let server = with_many_rows(&scratch);
    let (archive, folder) = (scratch.path().join("archive.age"), scratch.folder("rehearsals"));
    let words = |path: &Path| path.display().to_string();
    let line = ["backup", "--data-dir", &words(&server.data_dir), "--to", &words(&archive)];
    let _ = holdfast(&line, &format!("{PASSPHRASE}\n")).expect_success("an archive");
    let pass = scratch.path().join("pass");
    fs::write(&pass, PASSPHRASE).expect("a passphrase");
    let left = || fs::read_dir(&folder).expect("a folder").flatten().count();
    for signal in [Signal::TERM, Signal::INT] {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.arg("restore").arg(&archive).arg("--rehearse").arg("--scratch").arg(&folder);
        command.arg("--passphrase-file").arg(&pass);
        let mut process = Process::start("a rehearsal", command);
        while left() == 0 && process.ended().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        process.signal(signal);
        assert!(!process.end(LONG).success(), "it was ended");
        assert_eq!(left(), 0);
    }
}
