//! Restore day in a browser that runs no scripts: each part of it is plain forms and links.

use std::fs;
use tests::{
    api::text,
    browser::Browser,
    scene::Scene,
    tools::{self, Tool},
    wait::{self, LONG},
};

/// The most clicks from the fleet to a restored file whose path is known. Looking again at what is not ready is waiting.
const MOST_CLICKS: usize = 8;
const LETTER: &str = "Dear all, it's [here].";

struct Hand<'b> {
    browser: &'b Browser,
    clicks: usize,
}

impl Hand<'_> {
    #[track_caller]
    fn click(&mut self, css: &str) {
        self.browser.click(&self.browser.find(css));
        self.clicks += 1;
    }

    /// Looks again, by what the page has for that, until it says this.
    #[track_caller]
    fn look_again(&self, again: &str, wanted: &str) {
        wait::until(wanted, LONG, || {
            let seen = self.browser.text();
            if seen.contains(wanted) {
                return Ok(());
            }
            if let Some(again) = self.browser.all(again).first() {
                self.browser.click(again);
            }
            Err(seen)
        });
    }
}

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
    hand.click("form[action$='/snapshots/refresh'] button");
    wait::until("the listing", LONG, || {
        browser.open(&format!("{}/hosts/{host}/snapshots", scene.server.base()));
        let row = browser.all(&format!("[id^='snapshot-{}']", &newest[..8]));
        if row.is_empty() { Err(browser.text()) } else { Ok(()) }
    });

    // A folder is opened, and what changed is looked for: the letter is gone, and is picked from the one before.
    browser.open(&format!("{}/hosts/{host}/snapshots/{newest}?path=/", scene.server.base()));
    hand.look_again("#folder noscript a, #folder button[formaction*='again=1']:not([disabled])", "as of");
    hand.click("#folder button[formaction$='/changes']");
    hand.look_again("#changes noscript a", "removed");
    hand.click("#changes input[name=path][value$='/letter & co.txt']");
    hand.click("#changes button[name=step]");
    browser.wait_text("A new folder", LONG);

    // From the fleet to the file: the host, the snapshot before, a folder, a tick, where to, the plan, and the press.
    browser.open(&format!("{}/", scene.server.base()));
    hand.clicks = 0;
    hand.click(&format!("#fleet-hosts a[href='/hosts/{host}']"));
    hand.click(&format!("a.button[href='/hosts/{host}/restore']"));
    hand.click(&format!("#what button[name=use][value^='{}']", &older[..8]));
    hand.look_again(
        "#restore-files noscript button, #restore-files button[formaction$='look=1']",
        "desk [1]",
    );
    hand.click("#restore-files button[name=open][value$='/desk [1]']");
    hand.look_again(
        "#restore-files noscript button, #restore-files button[formaction$='look=1']",
        "letter & co",
    );
    hand.click("#restore-files input[name=path][value$='/letter & co.txt']");
    hand.click("#what button[name=step]");
    hand.click("form[action$='/restore/plan'] button.is-primary");
    hand.look_again("#restore-plan noscript a", "Restore 1 file, 22 B");
    hand.click("form[action$='/restore/start'] button.is-primary");
    hand.look_again(JOB_AGAIN, "The file was restored, read back and equal");
    assert_eq!(hand.clicks, 8, "of {MOST_CLICKS}");
    let said = browser.run("return document.querySelector('.copy-line code').textContent");
    let file = format!("{}{}", said.as_str().expect("a path"), letter.display());
    assert_eq!(fs::read_to_string(&file).expect("the file"), LETTER);

    // The same by a path that is typed.
    browser.open(&format!("{}/", scene.server.base()));
    hand.clicks = 0;
    hand.click(&format!("#fleet-hosts a[href='/hosts/{host}']"));
    hand.click(&format!("a.button[href='/hosts/{host}/restore']"));
    hand.click(&format!("#what button[name=use][value^='{}']", &older[..8]));
    browser.write(&browser.find("#more"), &letter.display().to_string());
    hand.click("#what button[name=step]");

    // What is picked is downloaded from here, too.
    browser.click(&browser.find("form[action*='/download'] button"));
    wait::until("the file to be sent", LONG, || {
        let audit = scene.api().get("/api/audit?action=download.ended").expect(200);
        let newest = audit["items"][0]["detail"].as_str().unwrap_or_default();
        if newest.starts_with("whole, 22 bytes") { Ok(()) } else { Err(audit.to_string()) }
    });
    hand.click("form[action$='/restore/plan'] button.is-primary");
    hand.look_again("#restore-plan noscript a", "Restore 1 file, 22 B");
    hand.click("form[action$='/restore/start'] button.is-primary");
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
    hand.click("#what button[name=all]");
    hand.click("#what button[name=step]");
    hand.click("form[action$='/restore/plan'] button.is-primary");
    hand.look_again("#restore-plan noscript a", "Restore 1");
    scene.storage_link.slow(Some(200_000));
    hand.click("form[action$='/restore/start'] button.is-primary");
    let job = job_of_page();
    let _ = scene.api().wait_job(&job, &["running"], LONG);
    hand.click("#job-head a[href$='/cancel']");
    hand.click("main form[action$='/cancel'] button.is-danger");
    let _ = scene.api().wait_job(&job, &["cancelled"], LONG);
    hand.look_again(JOB_AGAIN, "Cancelled");
    scene.let_it_finish();

    // A proof.
    browser.open(&format!("{}/hosts/{host}", scene.server.base()));
    hand.click("#host-proof form button");
    let _ = scene.api().wait_job(&job_of_page(), &["succeeded"], LONG);
    browser.open(&format!("{}/hosts/{host}", scene.server.base()));
    assert!(browser.text().contains("Proven"), "{}", browser.text());
    browser.scripts(true);
}
