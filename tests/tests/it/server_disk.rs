//! The server's disk is full: everybody is told, nothing is lost, the log stays small, and it mends itself.

use serde_json::json;
use tests::{
    browser::Browser,
    disk::Disk,
    scratch::Scratch,
    server::Server,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const DISK_BYTES: u64 = 24 << 20;

#[test]
fn a_full_disk_of_the_server_is_told_everywhere_and_mends_itself() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let scratch = Scratch::new();
    let data = scratch.folder("server");
    let Some(disk) = Disk::under(DISK_BYTES, &data) else { return };
    let mut server = Server::start(&data);
    let browser = Browser::start();
    server.sign_in(&browser);
    assert!(browser.text().contains("The server's disk is nearly full"), "{}", browser.text());
    assert!(server.metric("holdfast_storage_free_bytes") < DISK_BYTES as f64);

    disk.fill();
    // What still finds room in the file is taken; then nothing is.
    let mut taken = 0;
    let full = (0..10_000).find_map(|n| {
        let answer = server.api.post("/api/hosts", Some(&json!({ "name": format!("box-{n}") })));
        taken += usize::from(answer.status == 201);
        (answer.status != 201).then_some(answer)
    });
    let full = full.expect("a full disk");
    assert_eq!((full.status, full.code()), (507, "storage_full"), "{}", full.text);
    for _ in 0..5 {
        let ready = server.api.get("/readyz");
        assert_eq!(ready.status, 503, "{}", ready.text);
        assert!(ready.text.contains("disk is full"), "{}", ready.text);
        // A small write may find room in between.
        let _ = server.api.post("/api/hosts", Some(&json!({ "name": "one-more" })));
    }
    assert_eq!(server.api.get("/healthz").status, 200);
    let _ = server.api.get("/api/hosts").expect(200);
    browser.open(&server.base());
    let text = browser.text();
    assert!(text.contains("he server's disk is full") && text.to_lowercase().contains("make room"), "{text}");

    // Whoever tries again and again makes no log of it.
    let before = server.log().len();
    for _ in 0..500 {
        let _ = server.api.post("/api/hosts", Some(&json!({ "name": "again" }))).expect(507);
    }
    let grown = server.log().len() - before;
    assert!(grown < 64 * 1024, "500 refusals, {grown} bytes of log:\n{}", server.log());
    assert!(server.metric("holdfast_commits_failed_total") >= 100.0);

    disk.empty();
    wait::until("the server to go on", SOON, || {
        let answer = server.api.post("/api/hosts", Some(&json!({ "name": "after" })));
        if answer.status == 201 { Ok(()) } else { Err(answer.text) }
    });
    let ready = server.api.get("/readyz");
    assert!(!ready.text.contains("Nothing can be changed"), "{}", ready.text);
    // Not at the first small write that finds room: half a minute after the last that did not.
    wait::until("the server to be ready", LONG, || {
        let ready = server.api.get("/readyz");
        if ready.status == 200 { Ok(()) } else { Err(ready.text) }
    });
    browser.open(&server.base());
    assert!(!browser.text().contains("he server's disk is full"));
    let hosts = server.api.get("/api/hosts?limit=500").expect(200);
    assert_eq!(hosts["items"].as_array().map(Vec::len), Some(taken + 1), "{hosts}");
    server.stop();
    drop(disk);
}
