//! How a host stands is judged once: page, API, report, metrics, view tree and incidents say the same of it, in each state
//! that is not plain, and their numbers are parts of one whole.

use serde_json::{Value, json};
use tests::{
    api::{Credentials, text},
    browser::Browser,
    mosquitto::{Viewer, Watch},
    proxy::Proxy,
    scene::{GROUP, HOST, Scene},
    sources::write_tree,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

/// All who are asked.
struct Asked<'s> {
    scene: &'s Scene,
    browser: &'s Browser,
    watch: &'s Watch,
}

impl Asked<'_> {
    fn count(&self, protected: bool, in_need: bool) -> u64 {
        let labels = format!("{{protected=\"{protected}\",needs_attention=\"{in_need}\"}}");
        self.scene.server.metric(&format!("holdfast_hosts_protection{labels}")) as u64
    }

    /// The host stands like this, whoever is asked.
    fn agree(&self, code: &str, protected: bool) {
        let Self { scene, browser, watch } = self;
        let host = wait::until(&format!("{HOST} to stand as {code}"), LONG, || {
            let host = scene.api().host(scene.host());
            if host["reason_code"] == code { Ok(host) } else { Err(host.to_string()) }
        });
        assert_eq!(host["protected"], protected, "{host}");
        let is_well = host["status"] == "ok";
        assert_eq!(is_well, protected, "nothing here is protected and needs somebody: {host}");
        let told = watch.wait_for(&format!("hf/1/view/{HOST}/presence"), SOON, |told| {
            told["reason_code"] == code && told["protected"] == protected
        });
        for field in ["status", "reason", "last_good_at"] {
            assert_eq!(told[field], host[field], "{field}");
        }

        // The numbers: parts of one whole, and the same everywhere.
        let report = scene.api().get("/api/report").expect(200);
        let line =
            report["hosts"].as_array().and_then(|hosts| hosts.iter().find(|line| line["name"] == HOST));
        let line = line.unwrap_or_else(|| panic!("no {HOST} in {report}"));
        for field in ["status", "reason_code", "reason", "protected"] {
            assert_eq!(line[field], host[field], "{field}");
        }
        let number = |field: &str| report[field].as_u64().unwrap_or_else(|| panic!("{field} of {report}"));
        let (total, of_protected) = (number("hosts_total"), number("protected"));
        let statuses = report["by_status"].as_array().into_iter().flatten();
        assert_eq!(statuses.filter_map(|part| part["hosts"].as_u64()).sum::<u64>(), total, "{report}");
        let in_need = [true, false].map(|protected| self.count(protected, true));
        assert_eq!(in_need, [number("protected_in_need"), number("unprotected_in_need")]);
        assert_eq!(in_need[0] + self.count(true, false), of_protected);
        assert_eq!(in_need[1] + self.count(false, false), total - of_protected);
        let own = scene.server.metric(&format!("holdfast_host_protected{{host=\"{HOST}\"}}"));
        assert_eq!(own > 0.5, protected);

        let page = |path: &str| format!("{}{path}", scene.server.base());
        browser.open(&page("/"));
        browser.wait_text(&format!("{of_protected} of {total} hosts protected"), SOON);
        let needs: u64 = in_need.iter().sum();
        browser.wait_text(&format!("{needs} need"), SOON);
        let row = format!("#host-{}", scene.host());
        browser.wait_begins(
            &format!("{row} .badge"),
            if is_well { "Ok" } else { host["reason"].as_str().unwrap_or_default() },
            SOON,
        );
        assert_eq!(browser.all(&format!("{row}.is-unprotected")).len(), usize::from(!protected));
        browser.open(&page(&format!("/hosts/{}", scene.host())));
        let badge = if is_well { "Protected" } else { host["reason"].as_str().unwrap_or_default() };
        browser.wait_begins(".title-line .badge", badge, SOON);

        // The incidents are of the same cause, and of nobody who is well.
        let met = || -> Vec<Value> {
            let of = |state| scene.api().get(&format!("/api/incidents?state={state}")).expect(200);
            let all = ["noticed", "open"].map(of);
            let all = all.iter().flat_map(|found| found["items"].as_array().into_iter().flatten());
            let meets = |incident: &&Value| {
                let hosts = incident["hosts"].as_array();
                hosts.is_some_and(|hosts| {
                    hosts.iter().any(|met| met["name"] == HOST && met["left_at"].is_null())
                })
            };
            all.filter(meets).cloned().collect()
        };
        wait::until("the incidents to follow", LONG, || match met().as_slice() {
            [] if is_well => Ok(()),
            [only] if !is_well && (only["cause"] == code || (code == "mended" && only["mended"] == 1)) => {
                Ok(())
            }
            others => Err(format!("{others:?}")),
        });
    }
}

#[test]
fn page_api_metrics_view_tree_and_incidents_agree_in_each_state() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver, Tool::MosquittoSub]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    // One that is never protected, so that the numbers are no trivial ones.
    let _ = scene.api().add_host("spare");
    let (user, password) = scene.server.add_viewer("wall");
    let watch = Viewer::new(scene.server.mqtt_plain, &user, &password).watch("hf/1/view/#");
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    let agree = |scene: &Scene, code: &str, protected: bool| {
        Asked { scene, browser: &browser, watch: &watch }.agree(code, protected);
    };
    let _ = scene.back_up();
    agree(&scene, "ok", true);

    // In no schedule, and nobody has said that it is by hand.
    let host = scene.host().to_owned();
    let group = json!({ "includes": [scene.sources.display().to_string()] });
    let _ = scene.api().put(&format!("/api/hosts/{host}/groups/{GROUP}"), &group).expect(200);
    agree(&scene, "no_schedule", false);
    let schedule = json!({ "name": "nightly", "cron": "0 3 * * *", "timezone": "UTC", "groups": [GROUP], "jitter_secs": 7200 });
    let made = scene.api().post(&format!("/api/hosts/{host}/schedules"), Some(&schedule)).expect(201);
    agree(&scene, "ok", true);
    let seen = scene.api().host(&host);
    assert_eq!(made["next_run_at"], seen["next_run_at"], "it is spread alike: {made}");

    // The storage goes away and comes back: mended, until a backup shows it.
    let (address, upstream) = (scene.storage_link.address, scene.storage.append_only.address);
    drop(std::mem::replace(&mut scene.storage_link, Proxy::start(upstream)));
    let job = scene.api().back_up(&host, GROUP);
    let _ = scene.api().wait_job(&job, &["failed"], LONG);
    agree(&scene, "network", false);
    scene.storage_link = Proxy::start_at(address, upstream);
    test_credentials(&scene, "succeeded");
    agree(&scene, "mended", false);
    browser.wait_text("mended, waits for proof", SOON);
    let _ = scene.back_up();
    agree(&scene, "ok", true);

    // A backup that is unlike those before it, until a person has looked.
    for _ in 0..6 {
        let _ = scene.back_up();
    }
    write_tree(&scene.sources, 4_711, 120, 24 * 1024 * 1024);
    let _ = scene.back_up();
    agree(&scene, "unusual", false);
    browser.wait_text("almost all files", SOON);
    let accept = format!("/hosts/{host}/groups/{GROUP}/accept");
    browser.click(&browser.find(&format!("#host-groups a[href^='{accept}']")));
    browser.wait_text("as it should be?", SOON);
    browser.click(&browser.find("main button.is-danger"));
    agree(&scene, "ok", true);

    // Credentials that a test finds refused, before any backup fails.
    let wrong = Credentials { repo_password: "not the password".to_owned(), ..scene.credentials.clone() };
    scene.api().put_credentials(&host, &wrong);
    test_credentials(&scene, "failed");
    agree(&scene, "credentials_refused", false);
    scene.api().put_credentials(&host, &scene.credentials);
    test_credentials(&scene, "succeeded");
    agree(&scene, "ok", true);
}

fn test_credentials(scene: &Scene, state: &str) {
    let path = format!("/api/hosts/{}/repo-credentials/test", scene.host());
    let job = text(&scene.api().post(&path, None).expect(202)["id"]);
    let _ = scene.api().wait_job(&job, &[state], LONG);
}
