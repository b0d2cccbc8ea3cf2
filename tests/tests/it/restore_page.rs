//! A lost file comes back by the pages alone: found, planned, restored, within few clicks, on a desk and on a phone, and
//! without scripts.

use serde_json::json;
use std::{fs, path::Path};
use tests::{
    api::Api,
    browser::{Browser, Hand, WIDTHS},
    scene::Scene,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// The most clicks from the fleet to a restored file whose path is known.
const MOST_CLICKS: usize = 8;
const LETTER: &str = "Dear all, it's [here].";

/// Lists the snapshots anew.
fn refresh(api: &Api, host: &str) {
    let listing = api.post(&format!("/api/hosts/{host}/snapshots/refresh"), None).expect(202);
    let _ = api.wait_job(listing["id"].as_str().expect("an id"), &["succeeded"], LONG);
}

/// What the page says of where the files are.
fn place(browser: &Browser) -> String {
    let said = browser.run("return document.querySelector('.copy-line code').textContent");
    said.as_str().expect("a path").to_owned()
}

fn restored(place: &str, path: &Path) -> String {
    let file = format!("{place}{}", path.display());
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn a_lost_file_is_back_within_eight_clicks_on_a_desk_and_on_a_phone() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let desk = scene.sources.join("desk [1]");
    fs::create_dir(&desk).expect("a folder");
    let letter = desk.join("letter & co.txt");
    fs::write(&letter, LETTER).expect("a file");
    let snapshot = scene.back_up()["summary"]["snapshot"].as_str().expect("a snapshot").to_owned();
    refresh(scene.api(), &host);
    fs::remove_file(&letter).expect("it is lost");
    let browser = Browser::start();
    scene.server.sign_in(&browser);

    for width in WIDTHS {
        browser.size(width);
        browser.open(&format!("{}/", scene.server.base()));
        let mut hand = Hand { browser: &browser, clicks: 0 };
        hand.click(&format!("#fleet-hosts a[href='/hosts/{host}']"));
        hand.click(&format!("a.button[href='/hosts/{host}/restore']"));
        // It opens at what was backed up, listed without being asked.
        hand.click("#restore-files button[name=open][value$='/desk [1]']");
        hand.click("#restore-files input[name=path][value$='/letter & co.txt']");
        browser.wait_text("1 picked: 1 file (22 B)", SOON);
        hand.click("#what button[name=step]");
        hand.click("form[action$='/restore/plan'] button.is-primary");
        browser.wait_text("Restore 1 file, 22 B", LONG);
        assert!(!browser.overflows(), "at {width} px");
        hand.click("form[action$='/restore/start'] button.is-primary");
        browser.wait_text("The file was restored, read back and equal", LONG);
        assert!(hand.clicks <= MOST_CLICKS, "{} clicks at {width} px", hand.clicks);
        assert_eq!(restored(&place(&browser), &letter), LETTER);
        assert!(!browser.overflows(), "at {width} px");
    }
    browser.open(&format!("{}/hosts/{host}/restore", scene.server.base()));
    let above = "return document.querySelector('#month').getBoundingClientRect().bottom \
                 < document.querySelector('#files-title').getBoundingClientRect().top";
    browser.wait_true(above, SOON);
    browser.size(WIDTHS[0]);

    // Known by its path, and typed.
    browser.open(&format!("{}/", scene.server.base()));
    let mut hand = Hand { browser: &browser, clicks: 0 };
    hand.click(&format!("#fleet-hosts a[href='/hosts/{host}']"));
    hand.click(&format!("a.button[href='/hosts/{host}/restore']"));
    browser.write(&browser.find("#more"), &letter.display().to_string());
    hand.click("#what button[name=step]");
    hand.click("form[action$='/restore/plan'] button.is-primary");
    browser.wait_text("Restore 1 file, 22 B", LONG);
    hand.click("form[action$='/restore/start'] button.is-primary");
    browser.wait_text("The file was restored", LONG);
    assert_eq!((hand.clicks, restored(&place(&browser), &letter)), (5, LETTER.to_owned()));

    // Over what is there: only with the name of the host, and only when the machine's owner lets it.
    fs::write(&letter, "scribbled over").expect("a file");
    fs::write(scene.agent.state_dir.join("policy.toml"), "restore_in_place = true\n").expect("a policy");
    scene.agent.stop();
    scene.agent.start();
    scene.api().wait_online(&host, true, LONG);
    hand.click("a[href*='/restore?plan=']");
    hand.click("input[value=original]");
    let _ = browser.run("document.querySelector('#overwrite').value = 'if_changed'");
    hand.click("form[action$='/restore/plan'] button.is-primary");
    browser.wait_text("1 file is replaced. This can’t be undone.", LONG);
    let plan = browser.address();
    let press = "form[action$='/restore/start'] button.is-danger";
    browser.write(&browser.find("#confirm"), "another host");
    browser.click(&browser.find(press));
    browser.wait_text("Confirm it with web-1, the name of the host", SOON);
    assert_eq!(browser.run("return document.querySelector('#confirm').value"), "another host");
    assert_eq!(fs::read_to_string(&letter).expect("the file"), "scribbled over");
    browser.write(&browser.find("#confirm"), tests::scene::HOST);
    browser.click(&browser.find(press));
    browser.wait_text("The file was restored, read back and equal", LONG);
    assert_eq!(fs::read_to_string(&letter).expect("the file"), LETTER);
    // Its plan was good for once.
    browser.open(&plan);
    browser.wait_text("This very restore was started", LONG);

    without_scripts(&scene, &browser, (&host, &snapshot), &letter);
}

/// The same with plain forms, from the folder of a snapshot.
fn without_scripts(scene: &Scene, browser: &Browser, (host, snapshot): (&str, &str), letter: &Path) {
    browser.scripts(false);
    let folder = letter.parent().expect("a folder").display().to_string();
    let path = folder.replace(' ', "%20").replace('[', "%5B").replace(']', "%5D");
    browser.open(&format!("{}/hosts/{host}/snapshots/{snapshot}?path={path}", scene.server.base()));
    let mut hand = Hand { browser, clicks: 0 };
    hand.click("#folder input[name=path][value$='/letter & co.txt']");
    hand.go("#folder button[name=step]");
    hand.go("form[action$='/restore/plan'] button.is-primary");
    hand.look_again("#restore-plan noscript a", "Restore 1 file, 22 B");
    hand.go("form[action$='/restore/start'] button.is-primary");
    let job = wait::until("the page of the job", SOON, || {
        let address = browser.address();
        address.split_once("/jobs/").map(|(_, job)| job.to_owned()).ok_or(address)
    });
    let ended = scene.api().wait_job(&job, &["succeeded"], LONG);
    assert_eq!(
        (&ended["summary"]["files"], &ended["summary"]["verified"]),
        (&json!(1), &json!(true)),
        "{ended}"
    );
    browser.scripts(true);
}

/// A browser sends each end of a line as CR LF, and names of files may hold any.
#[test]
fn of_names_that_a_browser_would_send_alike_the_one_that_is_ticked_is_restored() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let folder = scene.sources.join("odd\nfolder");
    fs::create_dir(&folder).expect("a folder");
    // As they stand in the form, and as they are.
    let names = [("␛n", "a\nb"), ("␛r␛n", "a\r\nb"), ("␛r", "a\rb"), ("␛␛n", "a␛nb")];
    for (_, name) in names {
        fs::write(folder.join(name), name).expect("a file");
    }
    let _ = scene.back_up();
    refresh(scene.api(), &host);
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    for (mark, name) in names {
        browser.open(&format!("{}/hosts/{host}/restore", scene.server.base()));
        let mut hand = Hand { browser: &browser, clicks: 0 };
        hand.click("#restore-files button[name=open][value$='/odd␛nfolder']");
        hand.click(&format!("#restore-files input[name=path][value$='/a{mark}b']"));
        browser.wait_text("1 picked: 1 file", SOON);
        hand.click("#what button[name=step]");
        hand.click("form[action$='/restore/plan'] button.is-primary");
        browser.wait_text("Restore 1 file", LONG);
        hand.click("form[action$='/restore/start'] button.is-primary");
        browser.wait_text("The file was restored, read back and equal", LONG);
        assert_eq!(restored(&place(&browser), &folder.join(name)), name);
        let beside = Path::new(&format!("{}{}", place(&browser), folder.display())).to_owned();
        assert_eq!(fs::read_dir(beside).expect("the folder").count(), 1, "no other one");
    }
}
