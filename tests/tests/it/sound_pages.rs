//! Every page, in both themes, by what can be measured of a page: axe-core finds nothing serious, nothing is wider than
//! the smallest phone, the console stays silent, and nothing is loaded from elsewhere.

use serde_json::{Value, json};
use std::fmt::Write as _;
use tests::{
    api::http,
    browser::{Browser, Theme},
    scene::{GROUP, Scene},
    server::Server,
    tools::{self, Tool},
    wait::{LONG, SOON},
};

const AXE: &str = include_str!("../../vendor/axe-core/axe.min.js");
/// The narrowest window.
const NARROW: u32 = 360;
const DESK: u32 = 1280;

/// What axe-core finds that matters: the rule, where, and what it says.
fn axe(browser: &Browser) -> Vec<String> {
    // The ground of the rail is drawn as a gradient of flat colours, against which axe measures no contrast: here each part
    // gets its own.
    let _ = browser.run(
        "document.body.style.backgroundImage = 'none';
         for (const rail of document.querySelectorAll('.shell-nav')) rail.style.background = 'var(--paper)'",
    );
    let _ = browser.run(AXE);
    let found = browser.run_async(
        "const done = arguments[arguments.length - 1];
         axe.run(document, {resultTypes: ['violations']}).then(
           (found) => done({violations: found.violations.map((v) => ({
             id: v.id, impact: v.impact,
             nodes: v.nodes.slice(0, 4).map((n) => n.html.slice(0, 200) + ' ' + n.failureSummary)}))}),
           (error) => done({failed: String(error)}))",
    );
    let violations = found["violations"].as_array().unwrap_or_else(|| panic!("axe: {found}"));
    let matters = |violation: &&Value| matches!(violation["impact"].as_str(), Some("serious" | "critical"));
    violations.iter().filter(matters).map(ToString::to_string).collect()
}

/// All that is wrong with the page that is shown.
fn faults(browser: &Browser, base: &str) -> Vec<String> {
    let mut faults = axe(browser);
    browser.size(NARROW);
    if browser.overflows() {
        faults.push(format!("is wider than {NARROW} px"));
    }
    browser.size(DESK);
    if browser.overflows() {
        faults.push(format!("is wider than {DESK} px"));
    }
    let loaded = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)");
    let loaded = loaded.as_array().cloned().unwrap_or_default();
    faults.extend(
        loaded
            .iter()
            .filter_map(Value::as_str)
            .filter(|from| !from.starts_with(base) && !from.starts_with("data:"))
            .map(|from| format!("loads {from}")),
    );
    faults
}

/// Looks at pages, each in both themes, and says all that is wrong with any.
struct Look<'b> {
    browser: &'b Browser,
    base: String,
    wrong: String,
    pages: usize,
}

impl Look<'_> {
    fn at(&mut self, address: &str) {
        let expected = address.contains("no-such-page").then_some("404");
        for theme in Theme::ALL {
            self.browser.theme(theme);
            self.browser.open(&format!("{}{address}", self.base));
            // Addresses of forms lead to the pages that they are on, which are in the table themselves.
            let shown = self.browser.address();
            if !shown
                .trim_start_matches(&self.base)
                .starts_with(address.split(['#', '?']).next().unwrap_or_default())
            {
                return;
            }
            let mut faults = faults(self.browser, &self.base);
            faults.extend(self.browser.console().into_iter().filter_map(|(level, said)| {
                // The browser itself writes down the status of a page that is not there.
                let is_expected = expected.is_some_and(|status| said.contains(status));
                (level != "INFO" && level != "DEBUG" && !is_expected)
                    .then(|| format!("console: {level} {said}"))
            }));
            for fault in faults {
                let _ = writeln!(self.wrong, "{address} ({}): {fault}", theme.as_str());
            }
        }
        self.pages += 1;
    }
}

/// The addresses of all pages that the table of routes has, with what stands for their parameters.
fn addresses(parameters: &[(&str, &str)]) -> Vec<String> {
    let is_page = |method: &str, path: &str| {
        let files = ["/api", "/static", "/metrics", "/healthz", "/readyz", "/ca.pem", "/audit.csv", "/setup"];
        // Fragments and downloads are no pages; what only takes forms leads to a page that is in the table itself.
        let parts = ["/log", "/row"];
        method == "GET"
            && !files.iter().any(|file| path.starts_with(file))
            && !parts.iter().any(|part| path.ends_with(part))
    };
    let fill = |path: &str| {
        parameters
            .iter()
            .fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
    };
    let mut all: Vec<String> = web::routes()
        .into_iter()
        .filter(|(method, path, _)| is_page(method, path))
        .map(|(_, path, _)| fill(path))
        .collect();
    all.dedup();
    all
}

#[test]
fn every_page_is_accessible_fits_a_phone_and_loads_nothing_from_elsewhere() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let (api, host) = (scene.api(), scene.host().to_owned());
    let good = scene.back_up();
    let saved = good["summary"]["snapshot"].as_str().expect("a snapshot").to_owned();
    let body = json!({"name": "hourly", "cron": "@hourly", "groups": [GROUP]});
    let _ = api.post(&format!("/api/hosts/{host}/schedules"), Some(&body)).expect(201);
    for at in [format!("snapshots/{saved}/files"), "folders".to_owned()] {
        let path = scene.sources.display().to_string();
        let asked = api.post(&format!("/api/hosts/{host}/{at}"), Some(&json!({"path": path}))).expect(202);
        let _ = api.wait_job(asked["id"].as_str().expect("an id"), &["succeeded"], LONG);
    }
    let listing = api.post(&format!("/api/hosts/{host}/snapshots/refresh"), None).expect(202);
    let _ = api.wait_job(listing["id"].as_str().expect("an id"), &["succeeded"], LONG);
    let dry = api.post(
        &format!("/api/hosts/{host}/groups/{GROUP}/forget-dry-run"),
        Some(&json!({"keep": {"last": 1}})),
    );
    let dry = dry.expect(202)["id"].as_str().expect("an id").to_owned();
    let _ = api.add_host("never-seen");
    let admin = scene.admin_credentials();
    api.put_admin_credentials(&host, &admin);
    api.set_includes(&host, GROUP, &["/no/such/place"]);
    let failed = api.back_up(&host, GROUP);
    let _ = api.wait_job(&failed, &["failed"], LONG);

    let browser = Browser::start();
    let base = scene.server.base();
    let mut look = Look { browser: &browser, base: base.clone(), wrong: String::new(), pages: 0 };
    look.at("/login");
    let policy = http().get(format!("{base}/login")).call().expect("an answer");
    let policy = policy.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");

    scene.server.sign_in(&browser);
    browser.wait_text("needs you", SOON);
    let sources = scene.sources.display().to_string();
    let parameters = [
        ("host", host.as_str()),
        ("group", GROUP),
        ("schedule", "hourly"),
        ("snapshot", &saved),
        ("job", &failed),
        ("kind", "prune"),
        ("run", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("name", "mira"),
    ];
    for address in addresses(&parameters) {
        // Of a run that waits and of a preview there is no page of its own here.
        if address.contains("/pending/") || address.contains("/preview/") {
            continue;
        }
        look.at(&address);
    }
    for more in [
        format!("/jobs/{}", good["id"].as_str().expect("an id")),
        format!("/jobs/{dry}"),
        format!("/hosts/{host}/folders?path={sources}"),
        format!("/hosts/{host}/snapshots/{saved}?path={sources}"),
        format!("/hosts/{host}/new-group?path={sources}"),
        "/?sort=-size&state=failed".to_owned(),
        "/?q=nothing-like-it".to_owned(),
        "/topics?pause=1".to_owned(),
        "/no-such-page".to_owned(),
    ] {
        look.at(&more);
    }
    assert!(look.pages > 35, "{}", look.pages);
    assert!(look.wrong.is_empty(), "{}", look.wrong);
}

#[test]
fn the_first_pages_are_sound_too() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let scratch = tests::scratch::Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let browser = Browser::start();
    let mut look = Look { browser: &browser, base: server.base(), wrong: String::new(), pages: 0 };
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
    let found = faults(&browser, &server.base()).join("\n");
    for wanted in ["image-alt", "color-contrast", "is wider than 360 px"] {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
    let console = browser.console();
    assert!(console.iter().any(|(_, said)| said.contains("broken on purpose")), "{console:?}");
    look.at("/pending");
    look.at("/jobs");
    assert!(look.wrong.is_empty(), "{}", look.wrong);
}
