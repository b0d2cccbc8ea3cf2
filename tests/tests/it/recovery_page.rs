//! `docs/recovery.md`, line by line: each of its command blocks is run as it stands there, with its placeholders filled
//! in, against a real server. A command that is wrong fails here, and so does a block that nobody has said what to do with.

use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    api::Api,
    ports,
    process::{Finished, Process, run_reading},
    scene::Scene,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const PASSPHRASE: &str = "five words in a row";

/// The command blocks of a page, in their order.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in page.lines() {
        match (&mut open, line.starts_with("```")) {
            (None, true) => open = Some(Vec::new()),
            (Some(lines), true) => {
                blocks.push(lines.join("\n"));
                open = None;
            }
            (Some(lines), false) => lines.push(line),
            (None, false) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// The block by which the API is asked from then on.
const TOKEN: &str = "(umask 077; printf 'Authorization: Bearer";
/// The blocks that there are, by their first words, in their order.
const BLOCKS: [&str; 16] = [
    "curl -X PUT",
    "age-keygen",
    "holdfast-server backup --data-dir DIR",
    "holdfast-server backup --data-dir DIR --to",
    "age -d -i key.txt holdfast-archive-….age | tar t",
    "holdfast-server restore holdfast-archive-….age --check",
    "holdfast-server restore holdfast-archive-….age --rehearse",
    "holdfast-server restore holdfast-archive-….age --data-dir NEWDIR",
    "holdfast-server serve --data-dir DIR --mqtt-public",
    "holdfast-server tls rotate",
    "holdfast-server check",
    "holdfast-server salvage",
    "holdfast-server serve --data-dir NEWDIR",
    "age -d -i key.txt holdfast-archive-….age | tar x",
    "holdfast-server admin accept-authority",
    "holdfast-server admin reset-password",
];
/// Those of a standby.
const STANDBY: [&str; 5] = [
    "holdfast-server standby recipient",
    "holdfast-server standby add",
    "holdfast-server serve --follow",
    "holdfast-server promote",
    "holdfast-server serve --config NEWDIR",
];

struct World {
    scene: Scene,
    blocks: std::vec::IntoIter<String>,
    /// What stands for a word of the page.
    words: Vec<(&'static str, String)>,
}

impl World {
    fn set(&mut self, word: &'static str, value: impl std::fmt::Display) {
        self.words.retain(|(known, _)| *known != word);
        self.words.push((word, value.to_string()));
        // The longest first: one is the end of another.
        self.words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    }

    /// The next block, with its placeholders filled in.
    fn next(&mut self, begins: &str) -> String {
        let block = self.blocks.next().expect("one more block");
        assert!(block.starts_with(begins), "{begins:?} was to come, not:\n{block}");
        let mut text = block;
        for (nth, (word, _)) in self.words.iter().enumerate() {
            text = text.replace(word, &format!("\u{1}{nth}\u{1}"));
        }
        for (nth, (_, value)) in self.words.iter().enumerate() {
            text = text.replace(&format!("\u{1}{nth}\u{1}"), value);
        }
        assert!(!text.contains('…') && !text.contains("DIR"), "a placeholder is left:\n{text}");
        text
    }

    fn shell(&self, text: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-ec").arg(text).current_dir(self.scene.scratch.path());
        let programs = tools::program("holdfast-server").parent().expect("a folder").display().to_string();
        let age = Tool::Age.path().parent().expect("a folder").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{programs}:{age}:{path}"));
        let server = &self.scene.server;
        command
            .env("HOLDFAST_HTTP", server.http.to_string())
            .env("HOLDFAST_MQTT", server.mqtt.to_string())
            .env("HOLDFAST_MQTT_PLAIN", server.mqtt_plain.to_string())
            .env("HOLDFAST_MQTT_PUBLIC", server.mqtt.to_string());
        command
    }

    /// Runs the next block to its end.
    fn run(&mut self, begins: &str, input: &str) -> Finished {
        let text = self.next(begins);
        run_reading(&text, self.shell(&text), input, LONG)
    }

    /// Runs a server until this is asked of it.
    fn serving(&self, text: &str, data: &Path) -> Process {
        let mut process = Process::start("a server of the page", self.shell(&format!("exec {text}")));
        let api = &self.scene.server.api;
        wait::until("the server of the page to be ready", LONG, || {
            assert!(process.ended().is_none(), "{} ended:\n{}", data.display(), process.log().text());
            match api.send("GET", "/readyz", None) {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text),
                Err(error) => Err(error),
            }
        });
        process
    }
}

fn newest(folder: &Path) -> PathBuf {
    let names = fs::read_dir(folder).expect("a folder of archives").flatten().map(|entry| entry.path());
    names.filter(|path| path.extension().is_some_and(|ending| ending == "age")).max().expect("an archive")
}

#[test]
fn every_command_of_the_recovery_page_does_what_it_says() {
    if !tools::needs(&[Tool::Age]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recovery.md");
    let page = fs::read_to_string(page).expect("the page");
    let all = blocks(&page);
    let expected: Vec<&str> = [TOKEN].into_iter().chain(BLOCKS).chain(STANDBY).collect();
    let begun: Vec<&str> = all.iter().map(|block| block.lines().next().unwrap_or_default()).collect();
    assert_eq!(all.len(), expected.len(), "each block is tried here: {begun:?}");

    let host = scene.host().to_owned();
    let _ = scene.back_up();
    let ada = json!({ "name": "ada", "role": "admin", "password": "correct horse battery staple" });
    let _ = scene.server.api.post("/api/operators", Some(&ada)).expect(201);
    let (data, base) = (scene.server.data_dir.clone(), scene.server.base());
    let scratch = scene.scratch.path().to_owned();
    let mut world = World { scene, blocks: all.into_iter(), words: Vec::new() };
    world.set("http://127.0.0.1:8080", base);
    world.set("DIR", data.display());
    world.set("/mnt/stick", world.scene.scratch.folder("stick").display());

    // Secrets are in files that nobody else reads.
    let _ = world.run(TOKEN, "").expect_success("a token in a file");
    let mode = fs::metadata(scratch.join("token.header")).expect("a token").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::write(scratch.join("key.json"), json!({ "passphrase": PASSPHRASE }).to_string())
        .expect("a passphrase");

    // Once.
    let said = world.run(BLOCKS[0], "").expect_success("the passphrase is set");
    assert!(!said.contains("error"), "{said}");
    wait::until("the first archive", SOON, || {
        let told = world.scene.server.api.get("/api/archives");
        let is_there = told.body["archives"].as_array().is_some_and(|all| all.len() == 1);
        if is_there && told.body["busy"] == false { Ok(()) } else { Err(told.text) }
    });
    let said = world.run(BLOCKS[1], "").expect_success("an identity");
    let recipient =
        said.split_whitespace().find(|word| word.starts_with("age1")).expect("a recipient").to_owned();
    world.set("age1…", recipient);
    // Now, and to take away.
    let said = world.run(BLOCKS[2], "").expect_success("an archive is made now");
    assert!(said.contains("holdfast-archive-"), "{said}");
    let take = world.next(BLOCKS[3]);
    let said = run_reading(&take, world.shell(&take), "", LONG).expect_success("an archive is taken away");
    assert!(said.contains("1 host"), "{said}");
    let (own, mut taken) = (newest(&data.join("backups")), newest(&scratch.join("stick")));
    // What is in one.
    world.set("holdfast-archive-….age", taken.display());
    let listed = world.run(BLOCKS[4], "").expect_success("a list of what is in it");
    assert!(["master.key", "tls/ca.key", "end.json"].iter().all(|name| listed.contains(name)), "{listed}");
    world.set("holdfast-archive-….age", own.display());
    let said = world.run(BLOCKS[5], &format!("{PASSPHRASE}\n")).expect_success("a look");
    assert!(said.contains("1 host"), "{said}");
    let said = world.run(BLOCKS[6], &format!("{PASSPHRASE}\n")).expect_success("a rehearsal");
    for words in [
        "no agent was contacted",
        "hosts: 1, 1 of them enrolled",
        "credentials: ",
        "each secret of a host opens",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }

    // The machine is gone.
    world.scene.server.kill_9();
    let restored = scratch.join("restored");
    world.set("NEWDIR", restored.display());
    let text = world.next(BLOCKS[7]);
    let (restore, serve) = text.split_once('\n').expect("two commands");
    let said = run_reading(restore, world.shell(restore), &format!("{PASSPHRASE}\n"), LONG);
    let said = said.expect_success("a restore");
    assert!(said.contains("incarnation "), "{said}");
    let mut server = world.serving(serve, &restored);
    world.scene.server.api.wait_online(&host, true, LONG);
    assert!(server.terminate().success());

    // Another address, and another authority.
    world.set("DIR", restored.display());
    let mqtt = world.scene.server.mqtt;
    world.set("new.example:8883", mqtt);
    world.set("old.example:8883", format!("localhost:{}", mqtt.port()));
    let text = world.next(BLOCKS[8]);
    let mut server = world.serving(&text, &restored);
    world.scene.server.api.wait_online(&host, true, LONG);
    let text = world.next(BLOCKS[9]);
    let steps: Vec<&str> = text.lines().collect();
    let step = |line: &str| run_reading(line, world.shell(line), "", LONG);
    let both_are_trusted = || {
        wait::until("the agent to trust both", LONG, || {
            let trusted = fs::read_to_string(world.scene.agent.state_dir.join("ca.pem")).unwrap_or_default();
            if trusted.matches("BEGIN CERTIFICATE").count() == 2 { Ok(()) } else { Err(trusted) }
        });
    };
    let _ = step(steps[0]).expect_success("a next authority");
    both_are_trusted();
    wait::until("the agent to have said so", LONG, || {
        let ended = step(steps[1]);
        if ended.status.code() == Some(0) { Ok(()) } else { Err(ended.output) }
    });
    world.scene.server.api.wait_online(&host, true, LONG);
    let _ = step(steps[0]).expect_success("one more");
    both_are_trusted();
    let _ = step(steps[2]).expect_success("it is used at once");
    world.scene.server.api.wait_online(&host, true, LONG);
    let take = take.replace(&data.display().to_string(), &restored.display().to_string());
    let _ = step(&take).expect_success("an archive with that authority");
    taken = newest(&scratch.join("stick"));
    assert!(server.terminate().success());

    // The data file is damaged.
    let _ = world.run(BLOCKS[10], "").expect_success("a check");
    let file = restored.join("holdfast.redb");
    let mut bytes = fs::read(&file).expect("the data file");
    let name = b"server.restored";
    let at = bytes.windows(name.len()).rposition(|word| word == name).expect("the audit");
    bytes[at..at + 6].fill(b'x');
    fs::write(&file, &bytes).expect("a damaged data file");
    let salvaged = scratch.join("salvaged");
    world.set("NEWDIR", salvaged.display());
    let ended = world.run(BLOCKS[11], "");
    assert!(matches!(ended.status.code(), Some(0 | 1)), "{}", ended.output);
    assert!(
        ended.output.contains("    audit: ") && ended.output.contains("incarnation "),
        "{}",
        ended.output
    );
    let text = world.next(BLOCKS[12]);
    let mut server = world.serving(&text, &salvaged);
    world.scene.server.api.wait_online(&host, true, LONG);
    assert!(server.terminate().success());

    // A piece is gone.
    world.set("DIR", salvaged.display());
    world.set("holdfast-archive-….age", taken.display());
    let pieces = ["master.key", "tls/ca.pem", "tls/ca.key"].map(|name| salvaged.join(name));
    let before = pieces.clone().map(|path| fs::read(path).expect("a piece"));
    pieces.iter().for_each(|path| fs::remove_file(path).expect("a piece that goes"));
    let _ = world.run(BLOCKS[13], "").expect_success("the pieces are taken out");
    assert!(pieces.map(|path| fs::read(path).expect("a piece again")) == before);
    let mut server = world.serving(&text, &salvaged);
    world.scene.server.api.wait_online(&host, true, LONG);
    assert!(server.terminate().success());
    fs::remove_dir_all(salvaged.join("tls")).expect("the authority goes");
    let said = world.run(BLOCKS[14], "").expect_success("another authority is accepted");
    assert!(said.contains("enrol every host again"), "{said}");
    let mut server = world.serving(&text, &salvaged);
    assert!(server.terminate().success());

    // A password is forgotten.
    world.set("NAME", "ada");
    let said = world.run(BLOCKS[15], "").expect_success("another password");
    assert!(said.trim().len() > 16, "{said}");

    // A standby follows, and takes its place.
    let mut server = world.serving(&text, &salvaged);
    let standby = scratch.join("standby");
    world.set("NEWDIR", standby.display());
    let recipient = world.run(STANDBY[0], "").expect_success("a recipient");
    world.set("RECIPIENT", recipient.trim());
    let said = world.run(STANDBY[1], "").expect_success("a token");
    let token = said.lines().find(|line| line.starts_with("hfs_")).expect("a token");
    fs::write(standby.join("standby/token"), token).expect("the token");
    let former = world.scene.server.http;
    world.set("https://fleet.example:8443", format!("http://{former}"));
    world.set("standby.example:8883", mqtt);
    let follow = world.next(STANDBY[2]);
    let pages = ports::free();
    let mut command = world.shell(&format!("exec {follow}"));
    command.env("HOLDFAST_HTTP", pages.to_string());
    let mut follows = Process::start("a standby of the page", command);
    let of_standby = Api::new(&format!("http://{pages}"), "");
    wait::until("the standby to follow", LONG, || match of_standby.send("GET", "/readyz", None)? {
        answer if answer.status == 200 => Ok(()),
        answer => Err(answer.text),
    });
    assert!(server.terminate().success());
    let said = world.run(STANDBY[3], "").expect_success("it is promoted");
    assert!(said.contains("incarnation "), "{said}");
    assert!(follows.end(LONG).success());
    let text = world.next(STANDBY[4]);
    let mut server = world.serving(&text, &standby);
    assert!(server.terminate().success());
    assert!(world.blocks.next().is_none());
}

/// Whoever is on a machine can read what its processes were started with.
#[test]
fn no_command_of_a_page_has_a_secret_in_its_arguments() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).expect("pages").flatten().map(|entry| entry.path());
    let mut seen = 0;
    for path in
        docs.filter(|path| path.extension().is_some_and(|it| it == "md")).chain([root.join("README.md")])
    {
        let page = fs::read_to_string(&path).expect("a page").replace("\\\n", " ");
        for line in page.lines().filter(|line| line.starts_with("curl ")) {
            let secrets =
                ["Authorization", "Bearer", "TOKEN", "hft_", "passphrase", "password", " -u ", " --user "];
            let found = secrets.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}: {found:?} in {line}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} commands");
}
