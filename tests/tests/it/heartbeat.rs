//! A host that is watched by its own agent: the address hears while its backups go well, and not after one that did not.

use serde_json::json;
use tests::{
    receiver::Receiver,
    scene::{GROUP, Scene},
    wait::{self, LONG, SOON},
};

#[test]
fn the_address_hears_while_the_host_is_well_and_a_backup_that_failed_is_known_after_a_restart() {
    let Some(mut scene) = Scene::start() else { return };
    let watch = Receiver::start();
    let key = "a-secret-heartbeat-key";
    let file = scene.scratch.folder("heartbeat").with_extension("address");
    std::fs::write(&file, format!("http://{}/{key}\n", watch.address)).expect("written");
    let nightly = json!({"name": "nightly", "cron": "0 3 * * *", "groups": [GROUP]});
    let _ = scene.api().post(&format!("/api/hosts/{}/schedules", scene.host()), Some(&nightly)).expect(201);
    wait::until("the plan to arrive", LONG, || {
        let log = scene.agent.log();
        if log.contains("for when the server is away") { Ok(()) } else { Err(log) }
    });
    scene.agent.options = vec!["--heartbeat-file".into(), file.into()];
    let restart = |scene: &mut Scene| {
        scene.agent.stop();
        scene.agent.start();
        scene.api().wait_online(scene.host(), true, LONG);
    };
    restart(&mut scene);
    let heard = |wanted: usize| {
        wait::until(&format!("{wanted} heartbeats"), LONG, || {
            let all = watch.asked();
            if all.len() >= wanted { Ok(all) } else { Err(format!("{all:?}")) }
        })
    };
    assert_eq!(heard(1)[0].line, format!("GET /{key}"));
    let says = |scene: &Scene, wanted: &str| {
        wait::until(&format!("the status to say {wanted:?}"), SOON, || {
            let status = scene.agent.status();
            if status.contains(wanted) { Ok(()) } else { Err(status) }
        });
    };
    says(&scene, "heartbeat     taken ");

    let group = scene.sources.display().to_string();
    scene.api().set_includes(scene.host(), GROUP, &["/there/is/no/such/folder"]);
    let job = scene.api().back_up(scene.host(), GROUP);
    let ended = scene.api().wait_end(&job, LONG);
    assert_ne!(ended["state"], "succeeded", "{ended}");
    let before = watch.asked().len();
    restart(&mut scene);
    says(&scene, "withheld: the last backup of files did not end well");
    assert_eq!(watch.asked().len(), before);

    scene.api().set_includes(scene.host(), GROUP, &[group.as_str()]);
    let _ = scene.back_up();
    restart(&mut scene);
    let _ = heard(before + 1);
    says(&scene, "heartbeat     taken ");
    assert!(!scene.agent.log().contains(key) && !scene.agent.status().contains(key), "the address is told");
    let arguments = std::fs::read(format!("/proc/{}/cmdline", scene.agent.pid())).expect("its arguments");
    assert!(!String::from_utf8_lossy(&arguments).contains(key));
}
