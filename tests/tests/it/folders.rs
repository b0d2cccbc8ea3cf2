//! Paths are picked on the host itself, within what its owner allows; the files of a snapshot are looked at, also while
//! the host is away.

use serde_json::{Value, json};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
use tests::{
    api::Api,
    browser::Browser,
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::{LONG, SOON},
};

/// Asks for a folder and waits for the end of that; the job.
fn look(api: &Api, at: &str, path: &str, ends: &str) -> Value {
    let asked = api.post(at, Some(&json!({"path": path}))).expect(202);
    api.wait_job(asked["id"].as_str().expect("an id"), &[ends], LONG)
}

fn names(listed: &Value) -> Vec<&str> {
    listed["items"].as_array().expect("items").iter().filter_map(|item| item["name"].as_str()).collect()
}

#[test]
fn paths_are_picked_on_the_host_and_snapshots_are_looked_into() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let inside = scene.sources.join("photos");
    std::fs::create_dir(&inside).expect("a folder");
    std::fs::write(inside.join("cat & dog.jpg"), "miaow").expect("a file");
    let sources = scene.sources.display().to_string();
    let browser = Browser::start();
    scene.server.sign_in(&browser);

    // Names that are no UTF-8 are shown with their bytes, and opened by them: on the host, and in a snapshot below.
    let odd = scene.sources.join(OsStr::from_bytes(b"d\xfcr"));
    std::fs::create_dir(&odd).expect("a folder");
    std::fs::write(odd.join(OsStr::from_bytes(b"f\xfe1")), "x").expect("a file");
    let folders = format!("/api/hosts/{host}/folders");
    for (path, inside) in [(sources.clone(), "d\\xfcr"), (format!("{sources}/d\\xFCr"), "f\\xfe1")] {
        let _ = look(scene.api(), &folders, &path, "succeeded");
        let listed = scene.api().get(&format!("{folders}?path={}", path.replace('\\', "%5C"))).expect(200);
        assert!(names(&listed).contains(&inside), "{listed}");
    }
    let _ = look(scene.api(), &folders, &format!("{sources}/d\u{fffd}r"), "failed");

    // The form of a group asks the host, folder by folder, and takes what is picked.
    browser.open(&format!("{}/hosts/{host}/new-group", scene.server.base()));
    browser.write(&browser.find("#name"), "picked");
    browser.click(&browser.find("[hx-target='#folder']"));
    for step in sources.split('/').filter(|step| !step.is_empty()) {
        let row = format!(
            "document.evaluate(\"//table//button[normalize-space()='{step}']\", document, null, 9).singleNodeValue"
        );
        browser.wait_true(&format!("return !!{row}"), SOON);
        let _ = browser.run(&format!("{row}.click()"));
    }
    browser.wait_true("return !!document.querySelector(\"[aria-label$='/photos']\")", SOON);
    browser.click(&browser.find("[aria-label$='/photos']"));
    let typed = browser.run("return document.querySelector('#includes').value");
    assert_eq!(typed, format!("{sources}/photos"));
    assert_eq!(browser.run("return document.querySelector('#name').value"), "picked", "what was typed stays");
    let _ = browser.run("document.querySelector('#excludes').value = ''");
    browser.click(&browser.find("form.panel .panel-foot button"));
    browser.wait_text("picked", SOON);
    let group = scene.api().get(&format!("/api/hosts/{host}/groups/picked")).expect(200);
    assert_eq!(group["includes"], json!([format!("{sources}/photos")]));

    // A snapshot is walked through from the list, and without scripts.
    let saved = scene.api().back_up(&host, "picked");
    let snapshot = scene.api().wait_job(&saved, &["succeeded"], LONG)["summary"]["snapshot"].clone();
    let snapshot = snapshot.as_str().expect("a snapshot").to_owned();
    let listing = scene.api().post(&format!("/api/hosts/{host}/snapshots/refresh"), None).expect(202);
    let _ = scene.api().wait_job(listing["id"].as_str().expect("an id"), &["succeeded"], LONG);
    browser.open(&format!("{}/hosts/{host}/snapshots", scene.server.base()));
    browser.click(&browser.find(&format!("#snapshot-{snapshot} a")));
    browser.wait_text("Not listed yet", SOON);
    let at = format!("/api/hosts/{host}/snapshots/{snapshot}/files");
    let _ = look(scene.api(), &at, &format!("{sources}/photos"), "succeeded");
    let page = format!("{}/hosts/{host}/snapshots/{snapshot}?path={sources}/photos", scene.server.base());
    browser.open(&page);
    browser.wait_text("cat & dog.jpg", SOON);
    let listed = scene.api().get(&format!("{at}?path={sources}/photos/")).expect(200);
    assert_eq!(names(&listed), ["cat & dog.jpg"]);
    let path = format!("{sources}/d\\xfcr");
    let all = scene.api().back_up(&host, GROUP);
    let all = scene.api().wait_job(&all, &["succeeded"], LONG)["summary"]["snapshot"].clone();
    let files = format!("/api/hosts/{host}/snapshots/{}/files", all.as_str().expect("a snapshot"));
    let _ = look(scene.api(), &files, &path, "succeeded");
    let odd = scene.api().get(&format!("{files}?path={}", path.replace('\\', "%5C"))).expect(200);
    assert_eq!(names(&odd), ["f\\xfe1"]);
    browser.open(&format!(
        "{}/hosts/{host}/snapshots/{}?path={}",
        scene.server.base(),
        all.as_str().expect("a snapshot"),
        path.replace('\\', "%5C")
    ));
    browser.wait_text("f\\xfe1", SOON);
    assert_eq!((&listed["items"][0]["bytes"], &listed["items"][0]["kind"]), (&json!(5), &json!("file")));
    browser.scripts(false);
    browser.open(&page.replace("/photos", ""));
    browser.click(&browser.find("#folder button:not([disabled])[formaction*='again=1']"));
    browser.wait_text("Listing", SOON);
    browser.scripts(true);
    browser.open(&page.replace("/photos", ""));
    browser.wait_text("photos", LONG);

    // The owner of the machine says what may be seen and saved; the server can't widen it.
    scene.agent.stop();
    scene.api().wait_online(&host, false, SOON);
    browser.open(&page);
    browser.wait_text("cat & dog.jpg", SOON);
    scene.agent.options = vec!["--source-root".into(), inside.clone().into()];
    scene.agent.start();
    scene.api().wait_online(&host, true, SOON);
    let folders = format!("/api/hosts/{host}/folders");
    let _ = look(scene.api(), &folders, &sources, "succeeded");
    let listed = scene.api().get(&format!("{folders}?path={sources}")).expect(200);
    assert_eq!(names(&listed), ["photos"], "only the way to what is allowed");
    let refused = look(scene.api(), &folders, "/etc", "failed");
    assert_eq!(refused["class"], "policy", "{refused}");
    let _ = scene.api().wait_job(&scene.api().back_up(&host, "picked"), &["succeeded"], LONG);
    let refused = scene.api().wait_job(&scene.api().back_up(&host, GROUP), &["failed"], LONG);
    assert_eq!(refused["class"], "policy", "{refused}");
}
