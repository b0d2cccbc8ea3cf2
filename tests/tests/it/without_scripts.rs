//! Restore day in a browser that runs no scripts: each part of it is plain forms and links.

use std::fs;
use tests::{
    api::text,
    browser::{Browser, Hand},
    scene::Scene,
    tools::{self, Tool},
    wait::{self, LONG},
};

/// The most clicks from the fleet to a restored file whose path is known. Looking again at what is not ready is waiting.
const MOST_CLICKS: usize = 8;
const LETTER: &str = "Dear all, it's [here].";

const JOB_AGAIN: &str = "#job-head noscript a";

#[test]
fn each_part_of_a_restore_works_without_scripts() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let desk = scene.sources.join("desk [1]");
    fs::create_dir(&desk).expect("a folder");
    let letter = desk.join("letter & co.txt");
    fs::write(&letter, LETTER).expect("a file");
    let older = text(&scene.back_up()["summary"]["snapshot"]);
    fs::remove_file(&letter).expect("it is lost");
    let newest = text(&scene.back_up()["summary"]["snapshot"]);
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.scripts(false);
    let mut hand = Hand { browser: &browser, clicks: 0 };

    // The snapshots are listed by a press.
    browser.open(&format!("{}/hosts/{host}/snapshots", scene.server.base()));
    hand.go("form[action$='/snapshots/refresh'] button");
    wait::until("the listing", LONG, || {
        browser.open(&format!("{}/hosts/{host}/snapshots", scene.server.base()));
        let row = browser.all(&format!("[id^='snapshot-{}']", &newest[..8]));
        if row.is_empty() { Err(browser.text()) } else { Ok(()) }
    });

    // A folder is opened, and what changed is looked for: the letter is gone, and is picked from the one before.
    browser.open(&format!("{}/hosts/{host}/snapshots/{newest}?path=/", scene.server.base()));
    hand.look_again("#folder noscript a, #folder button[formaction*='again=1']:not([disabled])", "as of");
    hand.go("#folder button[formaction$='/changes']");
    hand.look_again("#changes noscript a", "removed");
    hand.click("#changes input[name=path][value$='/letter & co.txt']");
    hand.go("#changes button[name=step]");
    browser.wait_text("A new folder", LONG);

    // From the fleet to the file: the host, the snapshot before, a folder, a tick, where to, the plan, and the press.
    browser.open(&format!("{}/", scene.server.base()));
    hand.clicks = 0;
    hand.go(&format!("#fleet-hosts a[href='/hosts/{host}']"));
    hand.go(&format!("a.button[href='/hosts/{host}/restore']"));
    hand.go(&format!("#what button[name=use][value^='{}']", &older[..8]));
    hand.look_again(
        "#restore-files noscript button, #restore-files button[formaction$='look=1']",
        "desk [1]",
    );
    hand.go("#restore-files button[name=open][value$='/desk [1]']");
    hand.look_again(
        "#restore-files noscript button, #restore-files button[formaction$='look=1']",
        "letter & co",
    );
    hand.click("#restore-files input[name=path][value$='/letter & co.txt']");
    hand.go("#what button[name=step]");
    hand.go("form[action$='/restore/plan'] button.is-primary");
    hand.look_again("#restore-plan noscript a", "Restore 1 file, 22 B");
    hand.go("form[action$='/restore/start'] button.is-primary");
    hand.look_again(JOB_AGAIN, "The file was restored, read back and equal");
    assert_eq!(hand.clicks, 8, "of {MOST_CLICKS}");
    let said = browser.run("return document.querySelector('.copy-line code').textContent");
    let file = format!("{}{}", said.as_str().expect("a path"), letter.display());
    assert_eq!(fs::read_to_string(&file).expect("the file"), LETTER);

    // The same by a path that is typed.
    browser.open(&format!("{}/", scene.server.base()));
    hand.clicks = 0;
    hand.go(&format!("#fleet-hosts a[href='/hosts/{host}']"));
    hand.go(&format!("a.button[href='/hosts/{host}/restore']"));
    hand.go(&format!("#what button[name=use][value^='{}']", &older[..8]));
    browser.write(&browser.find("#more"), &letter.display().to_string());
    hand.go("#what button[name=step]");

    // What is picked is downloaded from here, too.
    browser.click(&browser.find("form[action*='/download'] button"));
    wait::until("the file to be sent", LONG, || {
        let audit = scene.api().get("/api/audit?action=download.ended").expect(200);
        let newest = audit["items"][0]["detail"].as_str().unwrap_or_default();
        if newest.starts_with("whole, 22 bytes") { Ok(()) } else { Err(audit.to_string()) }
    });
    hand.go("form[action$='/restore/plan'] button.is-primary");
    hand.look_again("#restore-plan noscript a", "Restore 1 file, 22 B");
    hand.go("form[action$='/restore/start'] button.is-primary");
    hand.look_again(JOB_AGAIN, "The file was restored, read back and equal");
    assert_eq!(hand.clicks, 6, "of {MOST_CLICKS}");

    // A restore of all of it is cancelled.
    let job_of_page = || {
        wait::until("the page of the job", LONG, || {
            let address = browser.address();
            address.split_once("/jobs/").map(|(_, job)| job.to_owned()).ok_or(address)
        })
    };
    browser.open(&format!("{}/hosts/{host}/restore", scene.server.base()));
    hand.go("#what button[name=all]");
    hand.go("#what button[name=step]");
    hand.go("form[action$='/restore/plan'] button.is-primary");
    hand.look_again("#restore-plan noscript a", "Restore 1");
    scene.storage_link.slow(Some(200_000));
    hand.go("form[action$='/restore/start'] button.is-primary");
    let job = job_of_page();
    let _ = scene.api().wait_job(&job, &["running"], LONG);
    hand.go("#job-head a[href$='/cancel']");
    hand.go("main form[action$='/cancel'] button.is-danger");
    let _ = scene.api().wait_job(&job, &["cancelled"], LONG);
    hand.look_again(JOB_AGAIN, "Cancelled");
    scene.let_it_finish();

    // A proof.
    browser.open(&format!("{}/hosts/{host}", scene.server.base()));
    hand.go("#host-proof form button");
    let _ = scene.api().wait_job(&job_of_page(), &["succeeded"], LONG);
    browser.open(&format!("{}/hosts/{host}", scene.server.base()));
    assert!(browser.text().contains("Proven"), "{}", browser.text());
    browser.scripts(true);
}
