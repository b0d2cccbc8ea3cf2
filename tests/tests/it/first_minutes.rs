//! The first five minutes, and the work of a day, by hand in a browser: nothing but the pages, the printed link, and
//! the two lines on the host.

use serde_json::json;
use std::process::Command;
use tests::{
    agent::Agent,
    browser::Browser,
    scratch::Scratch,
    server::Server,
    sources::write_tree,
    tools::{self, Tool},
    wait::{LONG, SOON},
};

const HOST: &str = "attic";

/// The text of the first element of a selector.
fn said(browser: &Browser, css: &str) -> String {
    let script = format!("return document.querySelector({css:?})?.innerText ?? ''");
    browser.run(&script).as_str().unwrap_or_default().to_owned()
}

#[test]
fn from_the_set_up_link_to_the_first_backup_and_through_the_work_of_a_day() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::Restic018]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let files = scratch.folder("files");
    write_tree(&files, 5, 20, 4 << 20);
    let repository = scratch.path().join("repository").display().to_string();
    let browser = Browser::start();

    // The printed link makes the account; the fleet is empty and says what comes next.
    server.sign_in(&browser);
    browser.wait_text("Add the first host", SOON);
    browser.click(&browser.find("a[href='/hosts/new']"));
    browser.send_form("form.panel", &[("name", HOST)]);
    browser.wait_text("Run this on the host", SOON);
    let line = said(&browser, ".copy-line code");
    let token = line.split_whitespace().last().expect("a token").to_owned();
    let host = browser.address().split('/').nth(4).expect("the host's id").to_owned();
    let mut agent = Agent::with_token(&scratch.folder("agent"), &host, &token);
    agent.start();

    // It appears by itself; the steps lead on.
    browser.wait_text(&format!("{HOST} is connected"), LONG);
    browser.wait_begins("#nav-server", "1 host connected", LONG);
    browser.click(&browser.find("a.button[href$='/repo#connection']"));
    let form = "#repo-credentials";
    browser.write(&browser.find(&format!("{form} [name=url]")), &repository);
    browser.write(&browser.find(&format!("{form} [name=repo_password]")), "only for this test");
    browser.click(&browser.find(&format!("{form} [name=then]")));
    browser.wait_text("No repository", LONG);
    browser.open(&format!("{}/hosts/{host}/repo", server.base()));
    browser.click(&browser.find("form[action$='/repo/init'] button"));
    browser.wait_text("Succeeded", LONG);
    browser.open(&format!("{}/hosts/{host}/repo", server.base()));
    assert!(said(&browser, "#repo-actions").contains("Set the admin credentials"), "{}", browser.text());

    browser.open(&format!("{}/hosts/{host}/enrol", server.base()));
    browser.click(&browser.find("a.button[href$='/new-group']"));
    browser.write(&browser.find("#includes"), &files.display().to_string());
    let _ = browser.run("document.querySelector('#excludes').value = ''");
    browser.click(&browser.find("form.panel .panel-foot button"));
    browser.wait_text("system", SOON);
    browser.click(&browser.find("form[action$='/groups/system/backup'] button"));
    browser.wait_text("Backup of system", SOON);
    browser.wait_text("Succeeded", LONG);
    browser.open(&format!("{}/", server.base()));
    browser.wait_text("In no schedule that is on", SOON);
    browser.open(&format!("{}/hosts/{host}/new-schedule", server.base()));
    browser.click(&browser.find("form.panel .panel-foot button"));
    browser.wait_text("Every day at 02:30", SOON);
    browser.open(&format!("{}/", server.base()));
    browser.wait_text("1 of 1 host", SOON);

    // Prune is off without admin credentials, and on with them.
    browser.open(&format!("{}/hosts/{host}/repo", server.base()));
    let form = "#admin-credentials";
    browser.write(&browser.find(&format!("{form} [name=url]")), &repository);
    browser.write(&browser.find(&format!("{form} [name=repo_password]")), "only for this test");
    browser.click(&browser.find(&format!("{form} .panel-foot button")));
    browser.wait_true("return !!document.querySelector('[data-dialog=confirm-prune]')", LONG);
    browser.click(&browser.find("[data-dialog=confirm-prune]"));
    browser.wait_true("return document.getElementById('confirm-prune')?.open === true", SOON);
    let asked = said(&browser, "#confirm-prune");
    assert!(asked.contains(HOST), "what is asked names the thing: {asked}");
    browser.click(&browser.find("#confirm-prune button[type=submit]"));
    browser.wait_text("Succeeded", LONG);
    browser.open(&format!("{}/hosts/{host}/admin-credentials/delete", server.base()));
    browser.click(&browser.find("form button.is-danger"));
    browser.wait_text("Set the admin credentials", SOON);

    // A backup that is due while the host is away waits where it is seen, and is dropped there.
    agent.stop();
    server.api.wait_online(&host, false, SOON);
    browser.open(&format!("{}/hosts/{host}/new-schedule", server.base()));
    browser.write(&browser.find("#name"), "often");
    let _ = browser.run("document.querySelector('#cron').value = '* * * * *'");
    let _ = browser.run("document.querySelector('#jitter_secs').value = '0'");
    let _ = browser.run(
        "document.querySelectorAll('form.panel input[name=groups]').forEach((box) => { box.checked = true })",
    );
    browser.click(&browser.find("form.panel .panel-foot button.is-primary"));
    browser.wait_text("every minute", SOON);
    let stored = server.api.get(&format!("/api/hosts/{host}/schedules/often")).expect(200);
    assert_eq!((&stored["cron"], &stored["groups"]), (&json!("* * * * *"), &json!(["system"])), "{stored}");
    browser.open(&format!("{}/pending", server.base()));
    browser.wait_text("host is offline", LONG);
    browser.click(&browser.find("#pending-rows a[href$='/delete']"));
    browser.click(&browser.find("form button.is-danger"));
    browser.wait_text("Nothing is pending", SOON);

    // A kit that is made is told of on the page that it was asked for on.
    browser.open(&format!("{}/kit", server.base()));
    assert!(said(&browser, "#kit-newest").contains("No kit was made"), "{}", browser.text());
    assert_eq!(said(&browser, "#kit-badge"), "None yet");
    let phrase = "a passphrase of this test";
    let fields = [("passphrase", phrase), ("again", phrase), ("password", "correct horse battery staple")];
    browser.send_form("form[action='/kit']", &fields);
    let tells = "return !document.querySelector('#kit-newest').innerText.includes('No kit was made') \
                 && document.querySelector('#kit-badge').innerText !== 'None yet'";
    browser.wait_true(tells, LONG);

    // The credentials go when they are told to, and the host says so.
    browser.open(&format!("{}/hosts/{host}/repo-credentials/delete", server.base()));
    browser.click(&browser.find("form button.is-danger"));
    browser.wait_text("Not set", SOON);
    let kept = Command::new(Tool::Restic018.path())
        .args(["-r", &repository, "cat", "config"])
        .env("RESTIC_PASSWORD", "only for this test")
        .output()
        .expect("restic runs");
    assert!(kept.status.success(), "the repository itself stays");
}
