//! Checks of a service such as Healthchecks hear of real backups, over a server that is killed before it could tell them.

use serde_json::json;
use tests::{
    receiver::{Asked, Receiver},
    scene::{HOST, Scene},
    wait::{self, LONG},
};

#[test]
fn a_check_hears_of_a_backups_begin_and_end_with_its_log_and_nothing_is_lost_over_a_kill() {
    let Some(mut scene) = Scene::start() else { return };
    let service = Receiver::start();
    let key = "a-secret-ping-key";
    let checks = json!({"url": format!("http://{}/{key}/{{host}}?create=1", service.address), "of": "host"});
    let channel = json!({"name": "checks", "healthchecks": checks});
    let added = scene.api().post("/api/channels", Some(&channel)).expect(201);
    assert_eq!(added["healthchecks"]["place"], format!("http://{}", service.address));
    assert_eq!((&added["healthchecks"]["of"], &added["healthchecks"]["log"]), (&"host".into(), &true.into()));
    let tested = scene.api().post("/api/channels/checks/test", None).expect(200);
    assert_eq!((&tested["taken"], &tested["said"]), (&true.into(), &"ok".into()), "{tested}");
    let path = |rest: &str| format!("POST /{key}/{HOST}{rest}?create=1");
    assert_eq!(service.asked().last().expect("the test").line, path("/log"));

    let heard = |wanted: usize| -> Vec<Asked> {
        wait::until(&format!("{wanted} signals"), LONG, || {
            let all = service.asked();
            if all.len() >= wanted { Ok(all) } else { Err(format!("{all:?}")) }
        })
    };
    let job = scene.back_up();
    let all = heard(3);
    let run = |asked: &Asked| asked.line.split_once("&rid=").map(|(_, run)| run.to_owned());
    assert!(all[1].line.starts_with(&path("/start")), "{:?}", all[1]);
    assert!(all[2].line.starts_with(&path("")) && all[2].body.contains("ended well"), "{:?}", all[2]);
    assert_eq!((run(&all[1]), run(&all[1]).is_some()), (run(&all[2]), true), "one run");
    let id = job["id"].as_str().expect("an id");
    let log = scene.api().whole_log(id);
    assert!(all[2].body.contains(log.last().expect("a line").as_str()), "{}", all[2].body);

    // The service is away, and the server is killed before it could tell: what was decided is told by the next one.
    service.answers(&[503; 2]);
    let _ = scene.back_up();
    let channel = |scene: &Scene| scene.api().get("/api/channels/checks").expect(200);
    wait::until("the channel to fail", LONG, || {
        let seen = channel(&scene);
        if seen["failing_since"].is_null() { Err(seen.to_string()) } else { Ok(()) }
    });
    scene.server.kill_9();
    scene.server.start_again();
    wait::until("nothing to wait", LONG, || {
        let seen = channel(&scene);
        if seen["on_its_way"].is_null() && seen["waiting"] == 0 { Ok(()) } else { Err(seen.to_string()) }
    });
    let newest = service.asked().last().expect("a signal").line.clone();
    assert!(newest.starts_with(&path("")), "{newest}");
    assert!(!scene.server.log().contains(key), "the log tells the address");
    assert!(!scene.api().heard().iter().any(|body| body.contains(key)), "an answer tells the address");
}
