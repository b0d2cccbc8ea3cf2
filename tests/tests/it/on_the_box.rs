//! The server is what burned: list, find and restore at the machine itself, beside an agent that runs and without one.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    agent::without_right_to_read_all,
    api::text,
    process::{Finished, run},
    scene::{GROUP, HOST, Scene},
    secrets::files_below,
    wait::{LONG, SOON},
};

/// A command at the machine, behind another program, if any.
fn at_the_box(scene: &Scene, behind: &[OsString], args: &[&str]) -> Finished {
    let mut words = behind.iter().cloned().chain([scene.agent.program.clone().into()]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(args).arg("--state-dir").arg(&scene.agent.state_dir);
    command.arg("--restic").arg(&scene.agent.restic);
    let done = run("holdfast-agent", command, LONG);
    assert_eq!(scene.secrets.found_in(done.output.as_bytes()), [].into(), "{}", done.output);
    done
}

/// Its lines of JSON of one type; it has gone well.
fn lines(scene: &Scene, kind: &str, args: &[&str]) -> Vec<Value> {
    let output = at_the_box(scene, &[], &[args, &["--json"]].concat()).expect_success(args[0]);
    let parsed = output.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    parsed.filter(|line| line["type"] == kind).collect()
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let below = |path: &PathBuf| path.strip_prefix(folder).expect("below").to_owned();
    files_below(folder).iter().map(|path| (below(path), fs::read(path).expect("a file"))).collect()
}

#[test]
fn what_was_saved_is_listed_found_and_restored_when_the_server_is_gone() {
    let Some(mut scene) = Scene::start() else { return };
    let snapshot = text(&scene.back_up()["summary"]["snapshot"]);
    let saved = contents(&scene.sources);
    let watch = scene.secrets.watch_arguments();

    // The agent is in the middle of a backup when its server dies.
    scene.add_sources("later");
    scene.storage_link.slow(Some(400_000));
    let job = scene.api().back_up(scene.host(), GROUP);
    let _ = scene.api().wait_job(&job, &["running"], SOON);
    let restic = scene.agent.wait_restic();
    scene.server.kill_9();
    let listed = lines(&scene, "snapshot", &["list"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((text(&listed[0]["id"]), text(&listed[0]["host"])), (snapshot.clone(), HOST.to_owned()));
    assert_eq!(listed[0]["tags"][0], GROUP);
    assert!(scene.agent.running_restic() == Some(restic), "the backup goes on");
    scene.let_it_finish();

    let name = saved.keys().next().and_then(|path| path.file_name()).expect("a file").to_string_lossy();
    let found = lines(&scene, "found", &["find", &name]);
    assert!(found.iter().any(|hit| text(&hit["path"]).ends_with(&*name)), "{found:?}");
    let done = lines(&scene, "restored", &["restore", &snapshot[..8]]).remove(0);
    assert_eq!((&done["files"], &done["failed"]), (&saved.len().into(), &0.into()), "{done}");
    assert_eq!(done["verified"], true, "{done}");
    let inner = scene.sources.strip_prefix("/").expect("absolute");
    assert!(contents(&Path::new(&text(&done["target"])).join(inner)) == saved, "byte by byte");

    // Neither does it need the agent.
    scene.agent.stop();
    let target = scene.scratch.path().join("back");
    let target_arg = target.display().to_string();
    let done = at_the_box(&scene, &[], &["restore", &snapshot, "--target", &target_arg]);
    assert!(done.expect_success("restore").contains("All of it was read back"));
    assert!(contents(&target.join(inner)) == saved);
    assert_eq!(scene.repository().locks(), Vec::<String>::new());
    let (found, read) = watch.end();
    assert!(found.is_empty() && read > 0, "{found:?}");

    // When the server is back, all is as if nothing had been.
    scene.server.start_again();
    scene.agent.start();
    let ended = scene.api().wait_end(&job, LONG);
    assert!(ended["state"] == "succeeded" || ended["ended_by"] == "agent", "{ended}");
    let _ = scene.back_up();

    // Who may not read the state folder is told how to.
    let behind = without_right_to_read_all();
    if !behind.is_empty() {
        scene.agent.stop();
        chown(&scene.agent.state_dir, Some(54_321), Some(54_321)).expect("given away");
        let refused = at_the_box(&scene, &behind, &["list"]);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.output);
        assert!(refused.output.contains("sudo holdfast-agent"), "{}", refused.output);
    }
}
