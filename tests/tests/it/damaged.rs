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

#[test]
fn a_damaged_data_file_ends_check_and_serve_with_a_sentence() {
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.folder("server"));
    for n in 0..200 {
        let host = serde_json::json!({ "name": format!("box-{n}") });
        let _ = server.api.post("/api/hosts", Some(&host)).expect(201);
    }
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
