//! A host is gone, and another one restores what it has saved: with the credentials of the one that is gone, of which
//! nothing stays on the other, whatever becomes of the job.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tests::{
    agent::Agent,
    api::{Api, text},
    browser::{Browser, WIDTHS},
    proc_table,
    scene::{HOST, Scene},
    secrets::files_below,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const RUNNER: &str = "bench";

/// What is in the files below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| {
        let below = path.strip_prefix(folder).expect("below").to_owned();
        (below, fs::read(&path).expect("a file"))
    };
    files_below(folder).into_iter().map(read).collect()
}

/// A host that has saved its files, and another one without a repository of its own.
struct Two {
    scene: Scene,
    runner: Agent,
    snapshot: String,
    saved: BTreeMap<PathBuf, Vec<u8>>,
}

impl Two {
    fn start() -> Option<Self> {
        let scene = Scene::start()?;
        let snapshot = text(&scene.back_up()["summary"]["snapshot"]);
        let saved = contents(&scene.sources);
        let runner = Agent::enroll(scene.api(), &scene.scratch.folder("runner"), RUNNER);
        scene.api().wait_online(&runner.host, true, LONG);
        Some(Self { scene, runner, snapshot, saved })
    }

    fn api(&self) -> &Api {
        self.scene.api()
    }

    fn allow(&self) {
        fs::write(self.runner.state_dir.join("policy.toml"), "other_hosts = true\n").expect("a policy");
    }

    /// Asks for a restore of all by the other host; the job's id.
    fn ask(&self, more: &Value) -> String {
        let mut body = json!({"snapshot": self.snapshot, "runner": RUNNER});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let asked = self.api().post(&format!("/api/hosts/{HOST}/restore"), Some(&body)).expect(202);
        assert_eq!(
            (&asked["host"], &asked["restore"]["source"]),
            (&json!(self.runner.host), &json!(self.scene.host()))
        );
        text(&asked["id"])
    }

    /// A restore that is met while it fetches what it is to write.
    fn in_the_middle(&self) -> (String, u32) {
        // Slow enough for that.
        self.scene.storage_link.slow(Some(400_000));
        let job = self.ask(&json!({}));
        self.api().wait_fetching(&job);
        (job, self.runner.wait_restic())
    }

    /// No secret of the one that is gone stands in anything that the other one keeps or says.
    fn nothing_stays(&self) {
        assert!(files_below(&self.runner.state_dir).len() > 1);
        assert_eq!(self.scene.secrets.found_below(&self.runner.state_dir), []);
        let apart = self.runner.state_dir.join("other-host");
        wait::until_true("the folder of the job to be gone", SOON, || !apart.exists());
        for (place, said) in [("log", self.runner.log()), ("status", self.runner.status())] {
            let found = self.scene.secrets.found_in(said.as_bytes());
            assert!(found.is_empty() && !said.is_empty(), "{found:?} in its {place}:\n{said}");
        }
    }

    fn restores(&self, host: &str) -> Vec<Value> {
        let all = self.api().get(&format!("/api/jobs?host={host}&kind=restore")).expect(200);
        all["items"].as_array().expect("jobs").clone()
    }
}

/// The processes, but for restic, in whose environment a secret stands.
fn environments(two: &Two) -> Vec<String> {
    let mut found = Vec::new();
    for process in proc_table::all().into_iter().filter(|process| process.program() != "restic") {
        // Some are gone by now.
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        let named = two.scene.secrets.found_in(&environment);
        found.extend((!named.is_empty()).then(|| format!("{named:?} with {}", process.command())));
    }
    found
}

#[test]
fn what_a_host_that_is_gone_has_saved_is_restored_by_another_and_none_of_its_secrets_stays_there() {
    let Some(mut two) = Two::start() else { return };
    two.scene.agent.kill_9();
    fs::remove_dir_all(&two.scene.agent.state_dir).expect("its state folder goes");
    let source = two.scene.host().to_owned();
    two.api().wait_online(&source, false, LONG);
    let watch = two.scene.secrets.watch_arguments();

    // Its owner has not said yet that it does anything for others.
    let job = two.ask(&json!({}));
    let refused = two.api().wait_end(&job, LONG);
    assert_eq!((&refused["state"], &refused["class"]), (&json!("failed"), &json!("policy")), "{refused}");
    assert!(text(&refused["error"]).contains("other_hosts = true"), "{refused}");
    two.nothing_stays();
    two.allow();

    let job = two.ask(&json!({"dry_run": true}));
    let plan = two.api().wait_end(&job, LONG);
    let (job, restic) = two.in_the_middle();
    assert_eq!(environments(&two), Vec::<String>::new());
    let environment = fs::read(format!("/proc/{restic}/environ")).expect("restic runs");
    assert!(!two.scene.secrets.found_in(&environment).is_empty(), "the watch would see one");
    assert_eq!(two.scene.secrets.found_below(&two.runner.state_dir), [], "while it runs");
    two.scene.let_it_finish();
    let done = two.api().wait_end(&job, LONG);
    let all = json!(two.saved.len());
    for ended in [&plan, &done] {
        assert_eq!((&ended["state"], &ended["summary"]["files"]), (&json!("succeeded"), &all), "{ended}");
    }
    assert_eq!(done["summary"]["verified"], true, "{done}");
    let target = PathBuf::from(text(&done["summary"]["target"]));
    let base = PathBuf::from(format!("{}-restored", two.runner.state_dir.display()));
    assert!(target.starts_with(&base), "{}", target.display());
    let restored = target.join(two.scene.sources.strip_prefix("/").expect("absolute"));
    assert!(contents(&restored) == two.saved, "what was saved is there again, byte by byte");
    two.nothing_stays();
    let (in_arguments, command_lines) = watch.end();
    assert!(in_arguments.is_empty() && command_lines > 10, "{in_arguments:?}, {command_lines} read");
    assert_eq!(two.scene.repository().locks(), Vec::<String>::new());

    // One file of it, through the browser.
    let (name, bytes) = two.saved.iter().max_by_key(|(_, bytes)| bytes.len()).expect("a file");
    let path = two.scene.sources.join(name).display().to_string();
    let path: String = path.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (base, snapshot) = (two.scene.server.base(), &two.snapshot);
    let token = two.scene.server.token("restorer", "restore");
    let address =
        format!("{base}/api/hosts/{HOST}/snapshots/{snapshot}/download?path={path}&runner={RUNNER}");
    let mut answer = tests::api::http()
        .get(&address)
        .header("authorization", format!("Bearer {token}"))
        .call()
        .expect("an answer");
    let body = answer.body_mut().read_to_vec().expect("a body");
    assert!(answer.status() == 200, "{}", String::from_utf8_lossy(&body));
    assert!(body == *bytes, "byte by byte");
    two.nothing_stays();

    // Both audits say so, and both show the jobs.
    let audit = |action: &str| {
        let lines = two.api().get(&format!("/api/audit?action={action}")).expect(200);
        lines["items"].as_array().expect("lines").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (done_for, lent) = (audit("job.restore"), audit("credentials.lent"));
    assert!(done_for.iter().filter(|line| line.contains("for host web-1")).count() == 3, "{done_for:?}");
    let (given, got): (Vec<_>, Vec<_>) = lent.iter().partition(|line| line.contains("to bench for the"));
    assert_eq!((given.len(), got.len()), (4, 4), "{lent:?}");
    assert!(given.iter().all(|line| line.contains(&source)), "{lent:?}");
    assert!(
        got.iter().all(|line| line.contains(&format!("those of {HOST} to this host, for the"))),
        "{lent:?}"
    );
    // By the name of either, too.
    for name in [HOST, RUNNER] {
        let lines = two.api().get(&format!("/api/audit?target={name}&action=credentials.lent")).expect(200);
        assert_eq!(lines["items"].as_array().map(Vec::len), Some(4), "{lines}");
    }
    let of_runner = two.api().get(&format!("/api/audit?target={RUNNER}&action=job.restore")).expect(200);
    assert_eq!(of_runner["items"].as_array().map(Vec::len), Some(3), "{of_runner}");
    for host in [HOST, RUNNER] {
        let seen = two.restores(host);
        assert!(seen.iter().any(|seen| seen["id"] == job.as_str()), "{host}: {seen:?}");
    }

    // Not to its original places, not without the right, and not by who can't.
    let at = format!("/api/hosts/{HOST}/restore");
    let ask = |api: &Api, body: Value| api.post(&at, Some(&body));
    let original = json!({
        "snapshot": two.snapshot, "runner": RUNNER, "confirm": RUNNER, "target": {"kind": "original"},
    });
    let answer = ask(two.api(), original);
    assert_eq!(
        (answer.status, answer.body["error"]["field"].as_str()),
        (422, Some("target.kind")),
        "{}",
        answer.text
    );
    let nobody = ask(two.api(), json!({"snapshot": two.snapshot, "runner": "nobody"}));
    assert_eq!(
        (nobody.status, nobody.body["error"]["field"].as_str()),
        (422, Some("runner")),
        "{}",
        nobody.text
    );
    let viewer = Api::new(&two.scene.server.base(), &two.scene.server.token("viewer", "read,run,write"));
    assert_eq!(ask(&viewer, json!({"snapshot": two.snapshot, "runner": RUNNER})).status, 403);
    two.runner.stop();
    two.api().wait_online(&two.runner.host, false, LONG);
    let answer = ask(two.api(), json!({"snapshot": two.snapshot, "runner": RUNNER}));
    assert_eq!((answer.status, answer.code()), (409, "runner_offline"), "{}", answer.text);
}

#[test]
fn whatever_breaks_off_a_restore_by_another_host_is_told_and_nothing_of_it_is_kept_or_tried_again() {
    let Some(mut two) = Two::start() else { return };
    two.allow();

    // A person ends it.
    let (job, _) = two.in_the_middle();
    let _ = two.api().post(&format!("/api/jobs/{job}/cancel"), None).expect(202);
    let cancelled = two.api().wait_end(&job, LONG);
    assert_eq!((&cancelled["state"], &cancelled["ended_by"]), (&json!("cancelled"), &json!("person")));
    two.nothing_stays();

    // The server dies: the restore goes on, and its end arrives.
    let (job, _) = two.in_the_middle();
    two.scene.server.kill_9();
    two.scene.let_it_finish();
    two.scene.server.start_again();
    let ended = two.api().wait_end(&job, LONG);
    assert_eq!(
        (&ended["state"], &ended["summary"]["verified"]),
        (&json!("succeeded"), &json!(true)),
        "{ended}"
    );
    two.nothing_stays();

    // The other host's agent dies in the middle of one, while another one waits.
    let (running, restic) = two.in_the_middle();
    let waiting = two.ask(&json!({}));
    let _ = two.api().wait_job(&waiting, &["accepted"], SOON);
    // Meanwhile nothing is removed from the repository.
    let check = two.api().post(&format!("/api/hosts/{HOST}/repo/check"), None);
    assert_eq!((check.status, check.code()), (409, "repo_busy"), "{}", check.text);
    two.runner.kill_9();
    wait::until_true("restic to end with its agent", SOON, || !proc_table::runs(restic));
    two.scene.let_it_finish();
    two.runner.start();
    two.api().wait_online(&two.runner.host, true, SOON);
    for job in [&running, &waiting] {
        let dead = two.api().wait_end(job, LONG);
        assert_eq!((&dead["state"], &dead["class"]), (&json!("failed"), &json!("agent_restarted")), "{dead}");
    }
    assert_eq!(two.api().job(&waiting)["started_at"], Value::Null, "it was never run");
    two.nothing_stays();

    // None was tried again, or has left a lock; and neither host stands worse for it.
    assert_eq!(two.api().get("/api/pending").expect(200)["items"], json!([]));
    assert_eq!((two.restores(HOST).len(), two.restores(RUNNER).len()), (4, 4));
    assert_eq!(two.scene.repository().locks(), Vec::<String>::new());
    assert_eq!(two.api().host(HOST)["status"], "ok");
    let own = two.scene.back_up();
    assert_eq!(own["state"], "succeeded");
}

#[test]
fn the_page_has_another_host_do_it_also_without_scripts() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut two) = Two::start() else { return };
    two.allow();
    two.scene.agent.kill_9();
    let source = two.scene.host().to_owned();
    two.api().wait_online(&source, false, LONG);
    let _ = two.api().add_host("never-enrolled");
    let browser = Browser::start();
    two.scene.server.sign_in(&browser);
    let base = two.scene.server.base();
    let place = two.scene.sources.display().to_string();
    let path: String = place.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let first = format!("{base}/hosts/{source}/restore?snapshot={}&path={path}&step=where", two.snapshot);
    for scripts in [true, false] {
        browser.scripts(scripts);
        browser.open(&first);
        // Who can't be asked can't be chosen.
        let said = browser.text();
        assert!(said.contains("By another host only") && said.contains("other_hosts = true"), "{said}");
        let _ = browser.find("#runner option[disabled]");
        browser.click(&browser.find(&format!("#runner option[value='{}']", two.runner.host)));
        for width in WIDTHS {
            browser.size(width);
            assert!(!browser.overflows(), "at {width} px");
        }
        browser.click(&browser.find("form[action$='/restore/plan'] button.is-primary"));
        browser.wait_text("on bench: a new folder", SOON);
        let dry_run = browser.address().rsplit('=').next().expect("a job").to_owned();
        let _ = two.api().wait_job(&dry_run, &["succeeded"], LONG);
        browser.open(&browser.address());
        browser.wait_text("on bench: a new folder", SOON);
        browser.click(&browser.find("form[action$='/restore/start'] button.is-primary"));
        browser.wait_text("read with its credentials", SOON);
        let job = browser.address().rsplit('/').next().expect("a job").to_owned();
        let _ = two.api().wait_job(&job, &["succeeded"], LONG);
        browser.open(&format!("{base}/jobs/{job}"));
        browser.wait_text("They are on bench.", SOON);
        for host in [&source, &two.runner.host] {
            browser.open(&format!("{base}/hosts/{host}"));
            let _ = browser.find(&format!("a[href='/jobs/{job}']"));
        }
    }
    assert_eq!(browser.console(), []);
}
