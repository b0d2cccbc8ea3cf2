//! A restic that hangs, floods its output or speaks nonsense: each job ends with a class, memory stays bounded, the
//! pages go on.
//!
//! The programs here stand for a broken restic, which is what is under test.

use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};
use tests::{
    api::text,
    browser::Browser,
    proc_table,
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// Far more than either has without a flood, far less than the flood.
const MAX_AGENT_BYTES: u64 = 32 << 20;
const MAX_SERVER_BYTES: u64 = 96 << 20;

/// 20 MB of words on each output, and an error.
pub(crate) const FLOOD: &str = r#"line=$(head -c 1000 /dev/zero | tr '\0' x)
    yes "$line" | head -c 20000000; yes "warn: $line" | head -c 20000000 >&2
    printf '\nFatal: the end of it\n' >&2; exit 1"#;

/// A program that says that it is restic, and does this for anything else that it is asked.
pub(crate) fn passing_for_restic(scene: &Scene, name: &str, script: &str) -> PathBuf {
    let program = scene.scratch.folder("broken").join(name);
    let text = format!(
        "#!/bin/bash\ncase $1 in version) echo 'restic 0.18.0 compiled with go1.24 on linux/amd64'; exit;; esac\n{script}\n"
    );
    fs::write(&program, text).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    program
}

/// Agent and server are well: they have not grown, the agent works with a real restic, the pages answer.
fn assert_well(scene: &mut Scene) {
    let agent = proc_table::memory(scene.agent.pid()).peak;
    let server = proc_table::memory(scene.server.pid()).peak;
    assert!(agent < MAX_AGENT_BYTES, "the agent had {agent} bytes");
    assert!(server < MAX_SERVER_BYTES, "the server had {server} bytes");
    scene.run_with(&Tool::Restic018.path());
    let _ = scene.back_up();
}

#[test]
fn a_flood_of_output_is_cut_and_the_page_stays_usable() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    scene.run_with(&passing_for_restic(&scene, "flood", FLOOD));
    let job = scene.api().ask(scene.host(), "check");
    let ended = scene.api().wait_end(&job, 8 * LONG);
    assert_eq!((&ended["state"], &ended["exit_code"]), (&json!("failed"), &json!(1)), "{ended}");
    assert_eq!(ended["class"], "other", "{ended}");
    assert!(text(&ended["error"]).contains("the end of it"), "{ended}");
    // The log has its beginning and its end; what lies between is counted.
    let log = scene.api().get(&format!("/api/jobs/{job}/log")).expect(200);
    let lines = log["items"].as_array().expect("lines");
    assert!(log["total_lines"].as_u64() > Some(35_000), "{} lines", log["total_lines"]);
    assert_eq!(log["total_lines"], log["left_out"].as_u64().expect("a count") + lines.len() as u64);
    assert!(lines.iter().rev().take(5).any(|line| text(&line["text"]).contains("the end of it")));

    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.open(&format!("{}/jobs/{job}", scene.server.base()));
    browser.wait_begins(".title-line .badge", "Failed", SOON);
    assert!(!browser.overflows());
    let source = browser.source().len();
    assert!(source < 8 << 20, "the page has {source} bytes");
    assert_well(&mut scene);
}

#[test]
fn nonsense_on_both_outputs_is_no_success_and_does_no_harm() {
    let Some(mut scene) = Scene::start() else { return };
    let nonsense = r#"printf '\xff\xfe\x00\x80{"message_type":\n{"message_type":"status","percent_done":1e999}\n'
        printf '{"message_type":"summary","snapshot_id":"\xc3\x28","total_bytes_processed":-7}\n[[[[{{{{"\\\n'
        printf '{"message_type":"exit_error","message":"\xff\xff","code":"x"}\n\xf0\x28\x8c\x28\n' >&2
        head -c 300000 /dev/urandom; head -c 300000 /dev/urandom >&2; exit"#;
    for (kind, code) in
        [("backup", 0), ("backup", 9), ("stats", 0), ("check", 3), ("prune", 4), ("forget", 5)]
    {
        let program = passing_for_restic(&scene, &format!("{kind} {code}"), &format!("{nonsense} {code}"));
        scene.run_with(&program);
        if kind == "prune" {
            scene.api().put_admin_credentials(scene.host(), &scene.admin_credentials());
            let sources = scene.sources.display().to_string();
            scene.api().set_keep(scene.host(), GROUP, &[&sources], &json!({ "last": 1 }));
        }
        let job = match kind {
            "backup" => scene.api().back_up(scene.host(), GROUP),
            kind => scene.api().ask(scene.host(), kind),
        };
        let ended = scene.api().wait_end(&job, LONG);
        assert_eq!(
            (&ended["state"], &ended["class"]),
            (&json!("failed"), &json!("other")),
            "{kind}: {ended}"
        );
        // The log is text that can be shown.
        let log = scene.api().get(&format!("/api/jobs/{job}/log")).expect(200);
        let lines = log["items"].as_array().expect("lines");
        assert!(lines.iter().all(|line| !text(&line["text"]).contains(char::is_control)), "{kind}");
    }
    assert!(!scene.agent.log().contains("panicked") && !scene.server.log().contains("panicked"));
    assert_well(&mut scene);
}

#[test]
fn a_restic_that_hangs_and_hears_no_interrupt_is_ended_by_a_cancel() {
    let Some(mut scene) = Scene::start() else { return };
    scene.run_with(&passing_for_restic(&scene, "hang", "trap '' INT; while :; do sleep 1; done"));
    let job = scene.api().back_up(scene.host(), GROUP);
    let _ = scene.api().wait_job(&job, &["running"], SOON);
    let host = scene.api().host(scene.host());
    assert_eq!((&host["online"], &host["status"]), (&json!(true), &json!("running")), "{host}");
    let cancel = scene.api().post(&format!("/api/jobs/{job}/cancel"), None);
    assert_eq!(cancel.status, 202, "{}", cancel.text);
    let ended = scene.api().wait_end(&job, LONG);
    assert_eq!((&ended["state"], &ended["class"]), (&json!("cancelled"), &json!("cancelled")), "{ended}");

    wait::until("the end of what hung", SOON, || {
        let left = proc_table::descendants(scene.agent.pid());
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert_well(&mut scene);
}
