//! Every page, in both themes, by what can be measured of a page: axe-core finds nothing serious, nothing is wider than
//! the smallest phone, the console stays silent, and nothing is loaded from elsewhere. In the dark theme each page is as
//! wide as a phone or a desk in turn; with `./test --soak` it is opened anew, and is as wide as both.

use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write as _};
use tests::{
    api::http,
    browser::{Browser, Theme},
    scene::{GROUP, Scene},
    scratch::Scratch,
    server::Server,
    soak,
    sshd::Sshd,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const AXE: &str = include_str!("../../vendor/axe-core/axe.min.js");
/// The narrowest window.
const NARROW: u32 = 360;
const DESK: u32 = 1280;

/// What axe-core finds that matters in a part of the page: the rule, where, and what it says. The themes differ in colours
/// alone: in the dark one, only what is about colours is asked again.
fn axe(browser: &Browser, theme: Theme, part: &str) -> Vec<String> {
    // The ground of the rail is drawn as a gradient of flat colours, against which axe measures no contrast: here each part
    // gets its own.
    let _ = browser.run(
        "document.body.style.backgroundImage = 'none';
         for (const rail of document.querySelectorAll('.shell-nav')) rail.style.background = 'var(--paper)'",
    );
    // Half a megabyte: once for each page that is opened.
    if browser.run("return typeof axe === 'undefined'") == true {
        let _ = browser.run(AXE);
    }
    let rules = match theme {
        Theme::Light => "{}",
        Theme::Dark => "{runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}}",
    };
    let found = browser.run_async(&format!(
        "const done = arguments[arguments.length - 1];
         axe.run({part}, {{resultTypes: ['violations'], ...{rules}}}).then(
           (found) => done({{violations: found.violations.map((v) => ({{
             id: v.id, impact: v.impact,
             nodes: v.nodes.slice(0, 4).map((n) => n.html.slice(0, 200) + ' ' + n.failureSummary)}}))}}),
           (error) => done({{failed: String(error)}}))"
    ));
    let violations = found["violations"].as_array().unwrap_or_else(|| panic!("axe: {found}"));
    let matters = |violation: &&Value| matches!(violation["impact"].as_str(), Some("serious" | "critical"));
    violations.iter().filter(matters).map(ToString::to_string).collect()
}

/// All that is wrong with what is shown now, at these widths; axe-core looks at a part of it.
fn faults_as_shown(browser: &Browser, theme: Theme, widths: &[u32], part: &str) -> Vec<String> {
    let mut all = Vec::new();
    for &width in widths {
        browser.size(width);
        if browser.overflows() {
            all.push(format!("is wider than {width} px"));
        }
        all.extend(axe(browser, theme, part).into_iter().map(|found| format!("{width} px: {found}")));
    }
    all
}

/// All that is wrong with the page that is shown, its dialogs, and what it loaded. A dialog is looked at alone: what is
/// behind it was looked at before.
fn faults(browser: &Browser, base: &str, theme: Theme, widths: &[u32]) -> Vec<String> {
    let mut faults = faults_as_shown(browser, theme, widths, "document");
    let dialogs =
        browser.run("return document.querySelectorAll('dialog').length").as_u64().unwrap_or_default();
    for number in 0..dialogs {
        let title = browser.run(&format!(
            "const dialog = document.querySelectorAll('dialog')[{number}]; dialog.showModal(); return dialog.id"
        ));
        let dialog = format!("document.querySelectorAll('dialog')[{number}]");
        let found = faults_as_shown(browser, theme, widths, &dialog);
        faults.extend(found.into_iter().map(|fault| format!("dialog {title}: {fault}")));
        let _ = browser.run(&format!("document.querySelectorAll('dialog')[{number}].close()"));
    }
    let loaded = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)");
    let loaded = loaded.as_array().cloned().unwrap_or_default();
    faults.extend(
        loaded
            .iter()
            .filter_map(Value::as_str)
            .filter(|from| !from.starts_with(&format!("{base}/")) && !from.starts_with("data:"))
            .map(|from| format!("loads {from}")),
    );
    faults
}

/// Looks at pages, each in both themes, and says all that is wrong with any.
struct Look<'b> {
    browser: &'b Browser,
    base: String,
    wrong: String,
    /// The pages that were looked at, without query.
    seen: BTreeSet<String>,
    /// How often something was looked at in the dark.
    looks: usize,
}

impl<'b> Look<'b> {
    const fn new(browser: &'b Browser, base: String) -> Self {
        Self { browser, base, wrong: String::new(), seen: BTreeSet::new(), looks: 0 }
    }

    /// The address that is shown, without origin, query and anchor.
    fn shown(&self) -> String {
        let address = self.browser.address();
        let path = address.strip_prefix(&self.base).unwrap_or(&address);
        path.split(['#', '?']).next().unwrap_or_default().to_owned()
    }

    /// Opens an address, and looks at the page that has to stand there.
    fn at(&mut self, address: &str) {
        let path = address.split(['#', '?']).next().unwrap_or_default();
        for theme in Theme::ALL {
            self.browser.theme(theme);
            // Which theme it is only its colours know: it is opened once, and the light goes out over it.
            if theme == Theme::Light || soak::or(true, false) {
                self.browser.open(&format!("{}{address}", self.base));
                let shown = self.shown();
                if shown != path {
                    let _ = writeln!(self.wrong, "{address} leads to {shown}");
                    return;
                }
            }
            self.here(address, theme);
        }
        self.seen.insert(path.to_owned());
    }

    /// Looks at what is shown, in one theme.
    fn here(&mut self, name: &str, theme: Theme) {
        // What stands on each page is seen in the dark at both widths all the same.
        let in_the_dark = [[NARROW], [DESK]][self.looks % 2];
        let widths = match theme {
            Theme::Light => &[NARROW, DESK][..],
            Theme::Dark => soak::or(&[NARROW, DESK][..], &in_the_dark[..]),
        };
        self.looks += usize::from(theme == Theme::Dark);
        let mut faults = faults(self.browser, &self.base, theme, widths);
        faults.extend(self.browser.console().into_iter().filter_map(|(level, said)| {
            // The browser itself writes down the status of a page that is not there.
            let is_expected = name.contains("no-such-page") && said.contains("404");
            (level != "INFO" && level != "DEBUG" && !is_expected).then(|| format!("console: {level} {said}"))
        }));
        for fault in faults {
            let _ = writeln!(self.wrong, "{name} ({}): {fault}", theme.as_str());
        }
    }

    /// Opens an address that leads elsewhere; the page there was looked at before.
    fn leads(&mut self, address: &str, page: &str) {
        self.browser.open(&format!("{}{address}", self.base));
        let shown = self.shown();
        if shown != page || !self.seen.contains(page) {
            let _ = writeln!(
                self.wrong,
                "{address} leads to {shown}, and should lead to {page}, which is looked at"
            );
        }
    }
}

/// The addresses that show no page of their own: what only takes forms leads to the page that the form is on, and a
/// question that is none any more to what it was about.
const LEADS: [(&str, &str); 34] = [
    ("/integrations/feeds", "/integrations"),
    ("/integrations/home-assistant", "/integrations"),
    ("/notices/channels", "/notices"),
    ("/notices/channels/{name}/test", "/notices/channels/{name}"),
    ("/notices/channels/{name}/report", "/notices/channels/{name}"),
    ("/notices/channels/{name}/report/send", "/notices/channels/{name}"),
    ("/notices/graces", "/notices"),
    ("/notices/routes", "/notices"),
    ("/archives/standbys", "/archives"),
    ("/refused-connections/{host}/{enrolled_at}", "/refused-connections"),
    ("/hosts", "/"),
    ("/hosts/{host}/enroll-token", "/hosts/{host}/enrol"),
    ("/hosts/{host}/groups", "/hosts/{host}"),
    ("/hosts/{host}/schedules", "/hosts/{host}"),
    ("/hosts/{host}/repo-credentials", "/hosts/{host}/repo"),
    ("/hosts/{host}/admin-credentials", "/hosts/{host}/repo"),
    ("/hosts/{host}/maintenance", "/hosts/{host}/repo"),
    ("/hosts/{host}/groups/{group}/preview/{job}", "/jobs/{job}"),
    ("/hosts/{host}/groups/{group}/accept", "/hosts/{host}"),
    ("/hosts/{host}/start-backups", "/hosts/{host}"),
    ("/hosts/{host}/changes", "/hosts/{host}/snapshots"),
    ("/hosts/{host}/snapshots/{snapshot}/download", "/hosts/{host}/snapshots/{snapshot}"),
    ("/hosts/{host}/restore/plan", "/hosts/{host}/restore"),
    ("/hosts/{host}/restore/start", "/hosts/{host}/restore"),
    ("/incidents/{incident}/acknowledge", "/incidents/{incident}"),
    ("/incidents/{incident}/unacknowledge", "/incidents/{incident}"),
    ("/jobs/{job}/cancel", "/jobs/{job}"),
    ("/jobs/{job}/host-key", "/jobs/{job}"),
    ("/operators", "/settings"),
    ("/operators/{name}", "/settings"),
    ("/tokens", "/settings"),
    ("/viewers", "/settings"),
    ("/account/password", "/account"),
    ("/login", "/"),
];

/// The paths of all pages that the table of routes has, with parameters.
fn pages() -> Vec<&'static str> {
    let is_page = |method: &str, path: &str| {
        let files = [
            "/api",
            "/static",
            "/feeds",
            "/metrics",
            "/healthz",
            "/readyz",
            "/ca.pem",
            "/audit.csv",
            "/report.csv",
        ];
        // Fragments and downloads are no pages. The set-up page is closed once there is an account; it has its own test.
        // The last one is opened by the key of a message alone.
        let parts = ["/log", "/row", "/setup/{code}", "/acknowledge/{incident}/{key}"];
        method == "GET"
            && !files.iter().any(|file| path.starts_with(file))
            && !parts.iter().any(|part| path.ends_with(part))
    };
    let all = web::routes().into_iter().filter(|(method, path, _)| is_page(method, path));
    all.map(|(_, path, _)| path).collect()
}

/// A path with what stands for its parameters.
fn fill(path: &str, parameters: &[(&str, &str)]) -> String {
    parameters.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}

/// What the pages of a scene show: jobs of each kind, and a host that was never there but has a backup to make.
struct Shown {
    good: String,
    snapshot: String,
    failed: String,
    dry: String,
    never_seen: String,
    waiting: String,
    incident: String,
}

fn prepare(scene: &Scene) -> Shown {
    let (api, host) = (scene.api(), scene.host().to_owned());
    let id = |job: Value| job["id"].as_str().expect("an id").to_owned();
    let never_seen = api.add_host("never-seen").id;
    api.put_credentials(&never_seen, &scene.credentials);
    api.add_group(&never_seen, GROUP, &[&scene.sources.display().to_string()]);
    let each_minute = json!({"name": "often", "cron": "* * * * *", "groups": [GROUP]});
    let _ = api.post(&format!("/api/hosts/{never_seen}/schedules"), Some(&each_minute)).expect(201);

    let good = scene.back_up();
    let snapshot = good["summary"]["snapshot"].as_str().expect("a snapshot").to_owned();
    let hourly = json!({"name": "hourly", "cron": "@hourly", "groups": [GROUP]});
    let _ = api.post(&format!("/api/hosts/{host}/schedules"), Some(&hourly)).expect(201);
    for at in [format!("snapshots/{snapshot}/files"), "folders".to_owned()] {
        let path = scene.sources.display().to_string();
        let asked = api.post(&format!("/api/hosts/{host}/{at}"), Some(&json!({"path": path}))).expect(202);
        let _ = api.wait_job(&id(asked), &["succeeded"], LONG);
    }
    let listing = api.post(&format!("/api/hosts/{host}/snapshots/refresh"), None).expect(202);
    let _ = api.wait_job(&id(listing), &["succeeded"], LONG);
    let rules = json!({"keep": {"last": 1}});
    let dry =
        id(api.post(&format!("/api/hosts/{host}/groups/{GROUP}/forget-dry-run"), Some(&rules)).expect(202));
    let _ = api.wait_job(&dry, &["succeeded"], LONG);
    api.put_admin_credentials(&host, &scene.admin_credentials());
    api.set_includes(&host, GROUP, &["/no/such/place"]);
    let failed = api.back_up(&host, GROUP);
    let _ = api.wait_job(&failed, &["failed"], LONG);
    api.set_includes(&host, GROUP, &[&scene.sources.display().to_string()]);
    let waiting = wait::until("a backup that waits", 2 * LONG, || {
        let pending = api.get("/api/pending").expect(200);
        pending["items"][0]["id"].as_str().map(str::to_owned).ok_or_else(|| pending.to_string())
    });
    let incident = wait::until("the host that was never there to be noticed", LONG, || {
        let noticed = api.get("/api/incidents?state=noticed").expect(200);
        let items = noticed["items"].as_array().cloned().unwrap_or_default();
        let lasts = items.iter().find(|incident| incident["cause"] == "not_enrolled");
        lasts.and_then(|it| it["id"].as_str()).map(str::to_owned).ok_or_else(|| noticed.to_string())
    });
    let word = json!({"note": "Its machine comes on Saturday."});
    let _ = api.put(&format!("/api/incidents/{incident}/acknowledgement"), &word).expect(200);
    let channel = json!({"name": "mira", "webhook": {"form": "ntfy", "url": "http://127.0.0.1:1/", "secrets": {"topic": "backups"}}});
    let _ = api.post("/api/channels", Some(&channel)).expect(201);
    assert_eq!(api.post("/api/channels/mira/test", None).expect(200)["code"], "unreachable");
    let route = json!({"name": "mira", "channels": ["mira"], "quiet_from": "22:00", "quiet_until": "07:00", "timezone": "UTC"});
    let _ = api.post("/api/routes", Some(&route)).expect(201);
    Shown { good: id(good), snapshot, failed, dry, never_seen, waiting, incident }
}

/// Pages of what a search, a comparison and a proof have found.
fn what_was_looked_for(look: &mut Look<'_>, (scene, host): (&Scene, &str), backup: &str) {
    let api = scene.api();
    let ask = |at: &str, body: Value| {
        let asked = api.post(&format!("/api/hosts/{host}/{at}"), Some(&body)).expect(202);
        let job = asked["id"].as_str().expect("an id").to_owned();
        let _ = api.wait_job(&job, &["succeeded"], 2 * LONG);
        job
    };
    let newest = api.job(backup)["summary"]["snapshot"].as_str().expect("a snapshot").to_owned();
    let found = ask("find", json!({"pattern": "more"}));
    let compared = ask(&format!("snapshots/{newest}/diff"), json!({}));
    let proven = ask("drill", json!({}));
    for page in [
        format!("/find?pattern=more&job={found}"),
        format!("/hosts/{host}/changes?job={compared}"),
        format!("/jobs/{found}"),
        format!("/jobs/{compared}"),
        format!("/jobs/{proven}"),
        format!("/hosts/{host}"),
        "/report".to_owned(),
    ] {
        look.at(&page);
    }
}

/// The rules about what a page may load and run, as they stand in its head.
fn check_policy(base: &str, address: &str) {
    let answer = http().get(format!("{base}{address}")).call().expect("an answer");
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
    let rules: Vec<&str> = policy.split(';').map(str::trim).collect();
    for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(rules.contains(&rule), "{address}: {rule}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{address}: {policy}");
}

#[test]
fn every_page_is_accessible_fits_a_phone_and_loads_nothing_from_elsewhere() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let shown = prepare(&scene);
    let host = scene.host().to_owned();
    let browser = Browser::start();
    let base = scene.server.base();
    for address in ["/login", "/", "/no-such-page"] {
        check_policy(&base, address);
    }
    let mut look = Look::new(&browser, base);
    look.at("/login");

    scene.server.sign_in(&browser);
    browser.wait_text("needs attention", SOON);
    let sources = scene.sources.display().to_string();
    let parameters = [
        ("host", host.as_str()),
        ("group", GROUP),
        ("schedule", "hourly"),
        ("snapshot", &shown.snapshot),
        ("job", &shown.failed),
        ("kind", "prune"),
        ("run", &shown.waiting),
        ("incident", &shown.incident),
        ("name", "mira"),
        // No machine knocks here.
        ("enrolled_at", "0"),
    ];
    for page in pages() {
        if !LEADS.iter().any(|(from, _)| *from == page) {
            look.at(&fill(page, &parameters));
        }
    }
    for (from, to) in LEADS {
        assert!(pages().contains(&from), "{from} is no page's address");
        look.leads(&fill(from, &parameters), &fill(to, &parameters));
    }
    for more in [
        format!("/jobs/{}", shown.good),
        format!("/jobs/{}", shown.dry),
        format!("/hosts/{host}/folders?path={sources}"),
        format!("/hosts/{host}/snapshots/{}?path={sources}", shown.snapshot),
        format!("/hosts/{host}/new-group?path={sources}"),
        format!("/hosts/{}", shown.never_seen),
        format!("/hosts/{}/enrol", shown.never_seen),
        format!("/hosts/{}/repo", shown.never_seen),
        format!("/hosts/{}/snapshots", shown.never_seen),
        "/?sort=-size&state=failed".to_owned(),
        "/?q=nothing-like-it".to_owned(),
        "/topics?pause=1".to_owned(),
        "/no-such-page".to_owned(),
    ] {
        look.at(&more);
    }
    the_preview(&mut look, &host);
    the_restore(&mut look, (&scene, &host), (&shown.snapshot, &sources));

    // While a job runs, pages show what they show at no other time.
    scene.add_sources("more");
    let (running, _) = scene.backup_in_the_middle();
    for page in [
        "/".to_owned(),
        "/jobs".to_owned(),
        format!("/hosts/{host}"),
        format!("/hosts/{host}/repo"),
        format!("/jobs/{running}"),
        format!("/jobs/{running}/cancel"),
    ] {
        look.at(&page);
    }
    scene.let_it_finish();
    let _ = scene.api().wait_job(&running, &["succeeded"], LONG);
    what_was_looked_for(&mut look, (&scene, &host), &running);

    // A sudden loss, which waits for somebody's word.
    let emptied = scene.scratch.folder("emptied").display().to_string();
    scene.api().set_includes(&host, GROUP, &[&emptied]);
    let _ = scene.api().wait_job(&scene.api().back_up(&host, GROUP), &["warning"], LONG);
    for page in ["", "/repo", &format!("/groups/{GROUP}/accept")] {
        look.at(&format!("/hosts/{host}{page}"));
    }

    // A storage by ssh whose host key nobody has seen yet.
    let sshd = Sshd::start(&scene.scratch, "storage", Sshd::free_address());
    let input = json!({"url": sshd.url(), "repo_password": "of the repository", "env": {}});
    let _ = scene.api().put(&format!("/api/hosts/{host}/repo-credentials"), &input).expect(200);
    let asked = scene.api().post(&format!("/api/hosts/{host}/repo-credentials/test"), None).expect(202);
    let job = asked["id"].as_str().expect("an id");
    let _ = scene.api().wait_job(job, &["failed"], LONG);
    for page in ["", "/host-key"] {
        look.at(&format!("/jobs/{job}{page}"));
    }
    assert!(look.wrong.is_empty(), "{}", look.wrong);
    assert!(look.seen.len() > 35, "{:?}", look.seen);
}

/// What stands in the form of a source group after its rules were tried.
fn the_preview(look: &mut Look<'_>, host: &str) {
    look.browser.open(&format!("{}/hosts/{host}/groups/{GROUP}", look.base));
    look.browser.write(&look.browser.find("#keep_last"), "1");
    look.browser.click(&look.browser.find("[hx-target='#group-preview']"));
    look.browser.wait_text("This would keep 1 snapshot", LONG);
    for theme in Theme::ALL {
        look.browser.theme(theme);
        look.here("the preview of a group's rules", theme);
    }
}

/// The parts of the page to restore files, and what came of it.
fn the_restore(look: &mut Look<'_>, (scene, host): (&Scene, &str), (snapshot, path): (&str, &str)) {
    let picked = format!("/hosts/{host}/restore?snapshot={snapshot}&path={path}");
    look.at(&picked);
    look.at(&format!("{picked}&step=where"));
    for (dry_run, page) in [(true, format!("/hosts/{host}/restore?plan=")), (false, "/jobs/".to_owned())] {
        let asked = json!({"snapshot": snapshot, "paths": [path], "dry_run": dry_run});
        let job = scene.api().post(&format!("/api/hosts/{host}/restore"), Some(&asked)).expect(202);
        let id = job["id"].as_str().expect("an id");
        let _ = scene.api().wait_job(id, &["succeeded"], LONG);
        look.at(&format!("{page}{id}"));
    }
}

#[test]
fn the_first_pages_are_sound_too() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let browser = Browser::start();
    let mut look = Look::new(&browser, server.base());
    look.at(server.setup_link.trim_start_matches(&server.base()));
    server.sign_in(&browser);
    look.at("/");
    look.at("/hosts/new");
    assert!(look.wrong.is_empty(), "{}", look.wrong);

    // What is looked for is found when it is there.
    let _ = browser.run(
        "document.documentElement.dataset.theme = 'light'; document.body.append(document.createElement('img')); console.error('broken on purpose');
         document.querySelector('h1').style.color = 'oklch(0.88 0 0)';
         document.querySelector('h1').style.minWidth = '2000px'",
    );
    let found = faults(&browser, &server.base(), Theme::Light, &[NARROW, DESK]).join("\n");
    for wanted in ["image-alt", "color-contrast", "is wider than 360 px"] {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
    let console = browser.console();
    assert!(console.iter().any(|(_, said)| said.contains("broken on purpose")), "{console:?}");
    look.at("/pending");
    look.at("/jobs");
    assert!(look.wrong.is_empty(), "{}", look.wrong);
}

#[test]
fn the_report_on_a_sheet_keeps_names_whole_and_leaves_out_what_is_for_the_screen() {
    /// A4 between its margins.
    const SHEET: u32 = 680;
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let unbroken = "n".repeat(60);
    for name in ["nas-backup-replication-target.storage.internal.example.lan", unbroken.as_str(), "attic"] {
        let _ = server.api.add_host(name);
    }
    let browser = Browser::start();
    server.sign_in(&browser);
    browser.on_paper(SHEET);
    browser.open(&format!("{}/report", server.base()));
    browser.wait_true("return document.querySelectorAll('.report-hosts tbody tr').length === 3", SOON);
    let lines = "return [...document.querySelectorAll('.report-hosts tbody td:first-child a')]\
                 .map((name) => name.getClientRects().length)";
    assert_eq!(browser.run(lines), json!([1, 1, 1]), "each name is on one line");
    assert!(!browser.overflows());
    let shown = "return ['.shell-nav', '.skip-link', '.page-head', '.toasts']\
                 .filter((css) => document.querySelector(css)?.checkVisibility())";
    assert_eq!(browser.run(shown), json!([]));
    // What stands in such a group is repeated on each sheet.
    let head = "return getComputedStyle(document.querySelector('.report-hosts thead')).display";
    assert_eq!(browser.run(head), "table-header-group");
}
