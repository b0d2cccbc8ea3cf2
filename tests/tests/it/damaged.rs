//! A data file that something else has changed: both programs that meet it say so in one sentence, and end.

use std::{fs, process::Command};
use tests::{
    ports,
    process::{Finished, run},
    scratch::Scratch,
    server::Server,
    tools,
    wait::SOON,
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
        assert!(ended.output.contains("is damaged: restore it"), "{command}: {}", ended.output);
        assert!(!ended.output.contains("panicked"), "{command}: {}", ended.output);
        assert!(!ended.output.contains("ok ("), "{command}: {}", ended.output);
    }
}

/// A byte of each of some pages that are in use.
fn pages(bytes: &[u8]) -> Vec<usize> {
    let is_used = |at: &usize| bytes[*at..].iter().take(64).any(|byte| *byte != 0);
    (4096 + 100..bytes.len()).step_by(4096).filter(is_used).collect()
}

#[test]
fn a_single_bit_that_has_changed_is_found_before_anything_is_served() {
    let scratch = Scratch::new();
    let mut server = with_hosts(&scratch, 50);
    server.stop();
    let file = scratch.path().join("server/holdfast.redb");
    let whole = fs::read(&file).expect("the data file");
    let listeners = ["--http", "--mqtt", "--mqtt-plain"].map(|flag| format!("{flag}={}", ports::free()));
    let mut found = 0;
    for at in pages(&whole) {
        let mut bytes = whole.clone();
        bytes[at] ^= 16;
        fs::write(&file, &bytes).expect("a damaged data file");
        if holdfast(&scratch, "check", &[]).status.success() {
            // A page that nobody reads any more.
            continue;
        }
        let ended = holdfast(&scratch, "serve", &listeners);
        assert_eq!(ended.status.code(), Some(1), "byte {at}: {}", ended.output);
        assert!(ended.output.contains("is damaged: restore it"), "byte {at}: {}", ended.output);
        found += 1;
        if found == 25 {
            break;
        }
    }
    assert!(found >= 10, "{found} found");
    fs::write(&file, whole).expect("the data file");
    server.start_again();
}

#[test]
fn damage_that_comes_while_the_server_runs_is_found_and_told() {
    use std::os::unix::fs::FileExt;
    let scratch = Scratch::new();
    let server = with_hosts(&scratch, 50);
    let said = holdfast(&scratch, "check", &[]).expect_success("a check of a file in use");
    assert!(said.contains("in use by the server that runs"), "{said}");
    assert_eq!(server.metric("holdfast_storage_damaged"), 0.0);

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
}
