//! A data file that something else has changed: it is told, read where it can be, never written, and salvaged.

use std::{fs, path::Path, process::Command};
use tests::{
    ports,
    process::{Finished, run},
    scene::{GROUP, Scene},
    scratch::Scratch,
    server::Server,
    tools,
    wait::{self, LONG, SOON},
};

fn holdfast(scratch: &Scratch, command: &str, more: &[String]) -> Finished {
    let mut line = Command::new(tools::program("holdfast-server"));
    line.arg(command).arg("--data-dir").arg(scratch.path().join("server")).args(more);
    run(command, line, SOON)
}

/// A server that has written so many hosts.
fn with_hosts(scratch: &Scratch, number: u32) -> Server {
    let server = Server::start(&scratch.folder("server"));
    for n in 0..number {
        let host = serde_json::json!({ "name": format!("box-{n}") });
        let _ = server.api.post("/api/hosts", Some(&host)).expect(201);
    }
    server
}

#[test]
fn a_damaged_data_file_ends_check_and_serve_with_a_sentence() {
    let scratch = Scratch::new();
    let mut server = with_hosts(&scratch, 200);
    server.stop();
    let said = holdfast(&scratch, "check", &[]).expect_success("a check of the whole file");
    assert!(said.contains("data file: ok ("), "{said}");

    let file = scratch.path().join("server/holdfast.redb");
    let mut bytes = fs::read(&file).expect("the data file");
    bytes.iter_mut().skip(4096).for_each(|byte| *byte ^= 0xa5);
    fs::write(&file, bytes).expect("a damaged data file");
    let listeners = ["--http", "--mqtt", "--mqtt-plain"].map(|flag| format!("{flag}={}", ports::free()));
    for (command, more) in [("check", &[][..]), ("serve", &listeners)] {
        let ended = holdfast(&scratch, command, more);
        assert_eq!(ended.status.code(), Some(1), "{command}: {}", ended.output);
        // The two outputs of a program come in any order.
        assert!(ended.output.contains("is damaged: restore an archive"), "{command}: {}", ended.output);
        assert!(!ended.output.contains("panicked"), "{command}: {}", ended.output);
        assert!(!ended.output.contains("ok ("), "{command}: {}", ended.output);
    }
    let to = scratch.path().join("to");
    let ended = holdfast(&scratch, "salvage", &[format!("--to={}", to.display())]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.output);
    assert!(
        ended.output.contains("nothing of") && ended.output.contains("restore an archive"),
        "{}",
        ended.output
    );
    assert!(!to.exists());
}

/// A byte of each of some pages that are in use.
fn pages(bytes: &[u8]) -> Vec<usize> {
    let is_used = |at: &usize| bytes[*at..].iter().take(64).any(|byte| *byte != 0);
    (4096 + 100..bytes.len()).step_by(4096).filter(is_used).collect()
}

#[test]
fn a_single_bit_that_has_changed_is_found_before_anything_is_written_and_put_right_by_a_salvage() {
    let scratch = Scratch::new();
    let mut server = with_hosts(&scratch, 50);
    server.stop();
    let file = scratch.path().join("server/holdfast.redb");
    let whole = fs::read(&file).expect("the data file");
    let mut found = 0;
    for at in pages(&whole) {
        let mut bytes = whole.clone();
        bytes[at] ^= 16;
        fs::write(&file, &bytes).expect("a damaged data file");
        if holdfast(&scratch, "check", &[]).status.success() {
            // A page that nobody reads any more.
            continue;
        }
        let to = scratch.path().join(format!("to-{at}"));
        let said = holdfast(&scratch, "salvage", &[format!("--to={}", to.display())]);
        assert_eq!(said.status.code(), Some(0), "byte {at}: {}", said.output);
        assert!(!said.output.contains("unreadable"), "byte {at}: {}", said.output);
        let mut check = Command::new(tools::program("holdfast-server"));
        check.arg("check").arg("--data-dir").arg(&to);
        let _ = run("check", check, SOON).expect_success("a look through what was salvaged");
        found += 1;
        if found == 12 {
            break;
        }
    }
    assert!(found >= 8, "{found} found");
    server.start_again_unwell();
    let ready = server.api.get("/readyz");
    assert_eq!((ready.status, ready.code()), (503, "not_ready"), "{}", ready.text);
    assert!(ready.text.contains("All of it can still be read"), "{}", ready.text);
    let hosts = server.api.get("/api/hosts?limit=500").expect(200);
    assert_eq!(hosts["items"].as_array().map(Vec::len), Some(50));
    server.stop();
    fs::write(&file, whole).expect("the data file");
    server.start_again();
}

/// Salvages into a folder; what it says as JSON, and its exit status.
fn salvage(from: &Path, to: &Path) -> (serde_json::Value, Option<i32>) {
    let mut line = Command::new(tools::program("holdfast-server"));
    line.arg("salvage").arg("--data-dir").arg(from).arg("--to").arg(to).arg("--json");
    let ended = run("salvage", line, SOON);
    let told = ended.output.lines().find_map(|line| serde_json::from_str(line).ok());
    (told.unwrap_or_else(|| panic!("{}", ended.output)), ended.status.code())
}

#[test]
fn a_server_whose_file_is_damaged_only_reads_and_its_agents_are_back_after_a_salvage() {
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let _ = scene.back_up();
    for n in 0..60 {
        let _ = scene
            .api()
            .post("/api/hosts", Some(&serde_json::json!({ "name": format!("box-{n}") })))
            .expect(201);
    }
    // Its end comes while the server can't write it down.
    scene.add_sources("more");
    let (under_way, _) = scene.backup_in_the_middle();
    let jobs = scene.api().jobs(&host).len();
    scene.server.kill_9();
    let data = scene.server.data_dir.clone();
    let file = data.join("holdfast.redb");
    let whole = fs::read(&file).expect("the data file");
    // A page of the audit, and no other: what agents need is whole.
    let mut new = None;
    let action = b"host.created";
    let is_of_audit =
        |at: &usize| whole[at - 100..at + 3996].windows(action.len()).any(|word| word == action);
    for at in pages(&whole).into_iter().filter(is_of_audit) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        bytes[at + 3] ^= 0xa5;
        fs::write(&file, &bytes).expect("a damaged data file");
        let to = scene.scratch.path().join(format!("salvaged-{at}"));
        let (told, status) = salvage(&data, &to);
        let torn = |table: &&serde_json::Value| table["unreadable"] != 0 && table["is_index"] == false;
        let torn: Vec<_> = told["tables"].as_array().expect("tables").iter().filter(torn).collect();
        if torn.len() == 1 && torn[0]["table"] == "audit" {
            assert_eq!((status, &told["is_whole"]), (Some(1), &false.into()), "{told}");
            assert!(torn[0]["gaps"][0].is_object(), "{told}");
            new = Some((bytes, to));
            break;
        }
        fs::remove_dir_all(&to).expect("what was salvaged goes");
    }
    let (damaged, new) = new.expect("a page of the audit");

    scene.server.start_again_unwell();
    let api = scene.api();
    let ready = api.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text);
    assert!(ready.text.contains("only reads") && ready.text.contains("of audit"), "{}", ready.text);
    let refused = api.post("/api/hosts", Some(&serde_json::json!({ "name": "one-more" })));
    assert_eq!((refused.status, refused.code()), (503, "storage_damaged"), "{}", refused.text);
    assert!(refused.text.contains("holdfast-server salvage"), "{}", refused.text);
    assert_eq!(api.jobs(&host).len(), jobs, "the jobs are there to be read");
    assert_eq!(scene.server.metric("holdfast_storage_damaged"), 1.0);
    let storage = api.get("/api/storage").expect(200);
    assert_eq!(
        (&storage["state"], &storage["tables"][0]["table"]),
        (&"damaged".into(), &"audit".into()),
        "{storage}"
    );
    assert!(storage["tables"][0]["unreadable"].as_u64() > Some(0), "{storage}");
    // The agent is kept out.
    wait::until("the agent to be kept out", SOON, || {
        let log = scene.agent.log();
        if log.to_lowercase().contains("unavailable") { Ok(()) } else { Err(log) }
    });
    assert_eq!(api.host(&host)["online"], false);
    scene.let_it_finish();
    wait::until_true("the backup to end", LONG, || scene.agent.running_restic().is_none());
    assert_ne!(api.job(&under_way)["state"], "succeeded");
    scene.server.stop();
    assert!(fs::read(&file).expect("the data file") == damaged, "the damaged file was written");

    scene.server.data_dir = new;
    scene.server.start_again();
    scene.api().wait_online(&host, true, LONG);
    let audit = scene.api().get("/api/audit?action=server.salvaged").expect(200);
    assert!(audit["items"][0]["detail"].to_string().contains("rows are missing in audit"), "{audit}");
    // What ended meanwhile it had kept, and hands over.
    let job = scene.api().wait_end(&under_way, LONG);
    assert_eq!(job["state"], "succeeded", "{job}");
    // Its password opens the repository.
    let job = scene.back_up();
    assert_eq!(job["state"], "succeeded", "{job}");
}

#[test]
fn agents_are_let_go_when_damage_is_found_while_they_are_connected() {
    use std::os::unix::fs::FileExt;
    let Some(scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let path = scene.server.data_dir.join("holdfast.redb");
    let bytes = fs::read(&path).expect("the data file");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the data file");
    for at in pages(&bytes) {
        file.write_all_at(&[bytes[at] ^ 16], at as u64).expect("a changed bit");
    }
    let mut check = Command::new(tools::program("holdfast-server"));
    check.arg("check").arg("--data-dir").arg(&scene.server.data_dir);
    assert_eq!(run("check", check, SOON).status.code(), Some(1));
    let before = fs::read(&path).expect("the data file");
    scene.api().wait_online(&host, false, SOON);
    wait::until("the agent to be kept out", SOON, || {
        let log = scene.agent.log();
        if log.to_lowercase().contains("unavailable") { Ok(()) } else { Err(log) }
    });
    let refused = scene.api().post(&format!("/api/hosts/{host}/groups/{GROUP}/backup"), None);
    assert_eq!((refused.status, refused.code()), (503, "storage_damaged"), "{}", refused.text);
    assert!(fs::read(&path).expect("the data file") == before, "the damaged file was written");
}

#[test]
fn damage_that_comes_while_the_server_runs_is_found_and_told() {
    use std::os::unix::fs::FileExt;
    let scratch = Scratch::new();
    let server = with_hosts(&scratch, 50);
    let said = holdfast(&scratch, "check", &[]).expect_success("a check of a file in use");
    assert!(said.contains("in use by the server that runs"), "{said}");
    assert_eq!(server.metric("holdfast_storage_damaged"), 0.0);
    let key = serde_json::json!({ "passphrase": "a few words in a row" });
    let _ = server.api.put("/api/archives/key", &key).expect(200);
    let mut archive = String::new();
    wait::until("the first archive", SOON, || {
        let told = server.api.get("/api/archives");
        archive = told.body["archives"][0]["name"].as_str().unwrap_or_default().to_owned();
        if archive.is_empty() || told.body["busy"] != false { Err(told.text) } else { Ok(()) }
    });

    let path = scratch.path().join("server/holdfast.redb");
    let bytes = fs::read(&path).expect("the data file");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the data file");
    for at in pages(&bytes) {
        file.write_all_at(&[bytes[at] ^ 16], at as u64).expect("a changed bit");
    }
    let ended = holdfast(&scratch, "check", &[]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(ended.output.contains("the data file is damaged: stop the server"), "{}", ended.output);
    assert_eq!(server.metric("holdfast_storage_damaged"), 1.0);
    let ready = server.api.get("/readyz");
    assert_eq!((ready.status, ready.code()), (503, "not_ready"), "{}", ready.text);
    assert!(ready.text.contains("data file is damaged"), "{}", ready.text);
    // From then on it only reads.
    let host = serde_json::json!({ "name": "one-more" });
    let refused = server.api.post("/api/hosts", Some(&host));
    assert_eq!((refused.status, refused.code()), (503, "storage_damaged"), "{}", refused.text);
    let hosts = server.api.get("/api/hosts?limit=500").expect(200);
    assert_eq!(hosts["items"].as_array().map(Vec::len), Some(50));
    let said = holdfast(&scratch, "backup", &[]);
    assert_eq!(said.status.code(), Some(1), "{}", said.output);
    // What is there is what is needed now.
    let sent = server.api.post(&format!("/api/archives/{archive}/download"), Some(&serde_json::json!({})));
    assert_eq!(sent.status, 200, "{}", sent.text);
    assert!(sent.text.starts_with("age-encryption.org/v1"));
}
