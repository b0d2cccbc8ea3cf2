//! A real Chromium, over WebDriver.

use crate::{
    api::http,
    ports,
    process::Process,
    scratch::Scratch,
    tools::Tool,
    wait::{self, LONG, SOON},
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};
use ureq::Agent;

/// WebDriver's name for a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The widths that pages are looked at in: a desk and a phone.
pub const WIDTHS: [u32; 2] = [1280, 390];

/// What the system prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Light, Self::Dark];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// One window.
#[derive(Debug)]
pub struct Browser {
    session: String,
    http: Agent,
    // In this order: the driver goes before the profile that its browser writes into.
    _driver: Process,
    _profile: Scratch,
}

/// An element of the page.
#[derive(Clone, Debug)]
pub struct Element(String);

impl Browser {
    /// Starts one, without a window to see.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let address = ports::free();
        let profile = Scratch::new();
        let mut command = Command::new(Tool::Chromedriver.path());
        command.arg(format!("--port={}", address.port()));
        let mut driver = Process::start("chromedriver", command);
        let http = http();
        let base = format!("http://{address}");
        wait::until("chromedriver to be ready", SOON, || {
            assert!(driver.ended().is_none(), "chromedriver ended:\n{}", driver.log().text());
            http.get(format!("{base}/status")).call().map(drop).map_err(|error| error.to_string())
        });
        let arguments = [
            "--headless=new".to_owned(),
            // Chromium refuses its sandbox to root and in containers; it opens our own pages only.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-extensions".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": Tool::Chromium.path(), "args": arguments },
        }}});
        let answer = request(&http, &format!("{base}/session"), Some(&wanted)).expect("a browser session");
        let id = answer["sessionId"].as_str().expect("the session's id").to_owned();
        let browser =
            Self { session: format!("{base}/session/{id}"), http, _driver: driver, _profile: profile };
        browser.size(WIDTHS[0]);
        browser
    }

    #[track_caller]
    fn ask(&self, path: &str, body: &Value) -> Value {
        self.try_ask(path, Some(body)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_ask(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        request(&self.http, &format!("{}/{path}", self.session), body)
    }

    /// Opens a page and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.ask("url", &json!({ "url": url }));
    }

    /// The address of the page.
    #[track_caller]
    #[must_use]
    pub fn address(&self) -> String {
        let answer = self.try_ask("url", None).unwrap_or_else(|error| panic!("{error}"));
        answer.as_str().unwrap_or_default().to_owned()
    }

    /// Makes the window so wide.
    #[track_caller]
    pub fn size(&self, width: u32) {
        let metrics = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Prefers this theme.
    #[track_caller]
    pub fn theme(&self, theme: Theme) {
        let feature = json!({ "name": "prefers-color-scheme", "value": theme.as_str() });
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// Lays pages out as they are printed, on a sheet so many CSS pixels wide between its margins.
    #[track_caller]
    pub fn on_paper(&self, width: u32) {
        self.size(width);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "media": "print" }));
    }

    /// With or without scripts, from the next page on.
    #[track_caller]
    pub fn scripts(&self, on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": !on }));
    }

    #[track_caller]
    fn devtools(&self, command: &str, parameters: &Value) {
        self.ask("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }

    /// All elements of a CSS selector.
    #[track_caller]
    #[must_use]
    pub fn all(&self, css: &str) -> Vec<Element> {
        let found = self.ask("elements", &json!({ "using": "css selector", "value": css }));
        let ids = found.as_array().into_iter().flatten().filter_map(|element| element[ELEMENT].as_str());
        ids.map(|id| Element(id.to_owned())).collect()
    }

    /// Waits until a script says that something is so.
    #[track_caller]
    pub fn wait_true(&self, script: &str, limit: Duration) {
        wait::until(script, limit, || match self.run(script) {
            Value::Bool(true) => Ok(()),
            other => Err(format!("{other}; the page:\n{}", self.text())),
        });
    }

    /// Waits for the first element of a CSS selector.
    #[track_caller]
    #[must_use]
    pub fn find(&self, css: &str) -> Element {
        wait::until(&format!("{css} on the page"), SOON, || {
            self.all(css).into_iter().next().ok_or_else(|| self.text())
        })
    }

    /// Clicks on it if it is there still, and shown.
    pub fn try_click(&self, element: &Element) {
        let _ = self.try_ask(&format!("element/{}/click", element.0), Some(&json!({})));
    }

    /// Clicks. What lies below a bar that stays at the edge of the window is scrolled to first, as a person would.
    #[track_caller]
    pub fn click(&self, element: &Element) {
        let click = format!("element/{}/click", element.0);
        match self.try_ask(&click, Some(&json!({}))) {
            Err(error) if error.contains("click intercepted") => {
                let element = json!({ "element-6066-11e4-a52e-4f735466cecf": element.0 });
                let script = "arguments[0].scrollIntoView({ block: 'nearest' })";
                self.ask("execute/sync", &json!({ "script": script, "args": [element] }));
                self.ask(&click, &json!({}));
            }
            clicked => drop(clicked.unwrap_or_else(|error| panic!("{click}: {error}"))),
        }
    }

    /// Writes into a field, in place of what stands there.
    #[track_caller]
    pub fn write(&self, element: &Element, text: &str) {
        self.ask(&format!("element/{}/clear", element.0), &json!({}));
        self.ask(&format!("element/{}/value", element.0), &json!({ "text": text }));
    }

    /// Fills the fields of these names in the first form that has them all, and sends it.
    #[track_caller]
    pub fn send_form(&self, form: &str, fields: &[(&str, &str)]) {
        for (name, text) in fields {
            let field = self.find(&format!("{form} [name=\"{name}\"]"));
            self.write(&field, text);
        }
        self.click(&self.find(&format!("{form} button[type=submit], {form} button:not([type])")));
    }

    /// What a reader sees on the page.
    #[track_caller]
    #[must_use]
    pub fn text(&self) -> String {
        self.run("return document.body.innerText;").as_str().unwrap_or_default().to_owned()
    }

    /// The page as it stands now, in HTML.
    #[track_caller]
    #[must_use]
    pub fn source(&self) -> String {
        self.run("return document.documentElement.outerHTML;").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page holds a text, in whatever case; it has to come by itself, without a reload.
    #[track_caller]
    pub fn wait_text(&self, wanted: &str, limit: Duration) {
        let lower = wanted.to_lowercase();
        wait::until(&format!("{wanted:?} on {}", self.address()), limit, || {
            let text = self.text();
            if text.to_lowercase().contains(&lower) { Ok(()) } else { Err(text) }
        });
    }

    /// Waits until what the first element of a CSS selector says begins like this; it has to come by itself.
    #[track_caller]
    pub fn wait_begins(&self, css: &str, wanted: &str, limit: Duration) {
        let quoted = Value::from(css);
        let script = format!("return document.querySelector({quoted})?.innerText ?? null;");
        wait::until(&format!("{css} to say {wanted:?}"), limit, || {
            let said = self.run(&script);
            if said.as_str().is_some_and(|said| said.trim().starts_with(wanted)) {
                Ok(())
            } else {
                Err(said.to_string())
            }
        });
    }

    /// Runs a script and gives what it returns.
    #[track_caller]
    #[must_use]
    pub fn run(&self, script: &str) -> Value {
        self.ask("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs a script that hands its result to the function that is its last argument.
    #[track_caller]
    #[must_use]
    pub fn run_async(&self, script: &str) -> Value {
        self.ask("execute/async", &json!({ "script": script, "args": [] }))
    }

    /// What was written to the console since this was asked last: level and text.
    #[track_caller]
    #[must_use]
    pub fn console(&self) -> Vec<(String, String)> {
        let entries = self.ask("se/log", &json!({ "type": "browser" }));
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        entries.as_array().into_iter().flatten().map(|e| (text(e, "level"), text(e, "message"))).collect()
    }

    /// Whether the page is wider than its window.
    #[track_caller]
    #[must_use]
    pub fn overflows(&self) -> bool {
        let script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth;";
        self.run(script) == true
    }

    /// A picture of the window.
    ///
    /// # Panics
    /// When it can't be taken or written.
    pub fn screenshot(&self, file: &Path) {
        let taken = self.try_ask("screenshot", None).unwrap_or_else(|error| panic!("{error}"));
        let picture = BASE64.decode(taken.as_str().unwrap_or_default().as_bytes()).expect("a picture");
        fs::write(file, picture).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Pictures of the page at both widths in both themes: `<name>-<width>-<theme>.png` in `folder`.
    pub fn pictures(&self, folder: &Path, name: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for width in WIDTHS {
            for theme in Theme::ALL {
                self.size(width);
                self.theme(theme);
                let file = folder.join(format!("{name}-{width}-{}.png", theme.as_str()));
                self.screenshot(&file);
                files.push(file);
            }
        }
        self.size(WIDTHS[0]);
        self.theme(Theme::Light);
        files
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Lets the browser write its profile to the end before the driver is killed.
        let _ = self.http.delete(&self.session).call();
    }
}

fn request(http: &Agent, url: &str, body: Option<&Value>) -> Result<Value, String> {
    let sent = match body {
        Some(body) => http.post(url).send_json(body),
        None => http.get(url).call(),
    };
    let mut answer = sent.map_err(|error| error.to_string())?;
    let body: Value = answer.body_mut().read_json().map_err(|error| error.to_string())?;
    let value = &body["value"];
    if answer.status() == 200 { Ok(value.clone()) } else { Err(value["message"].to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_can_be_read_filled_and_pictured() {
        if !crate::tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
            return;
        }
        let scratch = Scratch::new();
        let page = scratch.path().join("page.html");
        let html = "<!doctype html><meta name=viewport content=width=device-width><title>x</title><body><form><input name=name value=old>\
            <button type=submit>Go</button></form><p>Hello</p>";
        fs::write(&page, html).expect("a page");
        let browser = Browser::start();
        browser.open(&format!("file://{}", page.display()));
        browser.wait_text("hello", SOON);
        assert!(!browser.overflows());
        for width in WIDTHS {
            browser.size(width);
            assert_eq!(browser.run("return window.innerWidth;"), width);
        }
        browser.theme(Theme::Dark);
        assert_eq!(browser.run("return matchMedia('(prefers-color-scheme: dark)').matches;"), true);
        browser.send_form("form", &[("name", "new")]);
        wait::until_true("the form to be sent", SOON, || browser.address().ends_with("?name=new"));
        let pictures = browser.pictures(scratch.path(), "page");
        assert_eq!(pictures.len(), 4);
        assert!(pictures.iter().all(|file| fs::read(file).is_ok_and(|png| png.starts_with(b"\x89PNG"))));
    }
}

/// So often it is looked whether a page has gone, some 20 ms apart.
const MOST_LOOKS: usize = 250;

/// A hand on the mouse, which counts its clicks.
#[derive(Debug)]
pub struct Hand<'b> {
    /// Where it clicks.
    pub browser: &'b Browser,
    /// How often it has clicked.
    pub clicks: usize,
}

impl Hand<'_> {
    /// Clicks on the first that fits.
    #[track_caller]
    pub fn click(&mut self, css: &str) {
        self.browser.click(&self.browser.find(css));
        self.clicks += 1;
    }

    /// Clicks on what leads to another page, and waits for that as long as one may take: what is looked for next could
    /// else be found on the page that goes.
    #[track_caller]
    pub fn go(&mut self, css: &str) {
        let page = self.browser.all("html");
        self.click(css);
        let is_there =
            |page: &Element| self.browser.try_ask(&format!("element/{}/name", page.0), None).is_ok();
        let mut looks = 0;
        while page.iter().any(is_there) && looks < MOST_LOOKS {
            looks += 1;
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Looks again, by what the page has for that, until it says this.
    #[track_caller]
    pub fn look_again(&self, again: &str, wanted: &str) {
        wait::until(wanted, LONG, || {
            let seen = self.browser.text();
            if seen.contains(wanted) {
                return Ok(());
            }
            if let Some(again) = self.browser.all(again).first() {
                // The page may be another one by now; with scripts it looks by itself.
                self.browser.try_click(again);
            }
            Err(seen)
        });
    }
}
