//! The fleet's list is live: a host that changes refreshes its row, and nothing else moves.

use serde_json::json;
use std::time::Duration;
use tests::{
    browser::Browser,
    scene::{GROUP, Scene},
    tools::{self, Tool},
    wait::{LONG, SOON},
};

#[test]
fn a_changed_host_refreshes_its_row_and_not_the_page() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(scene) = Scene::start() else { return };
    let _ = scene.api().add_host("attic");
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    browser.wait_text("web-1", SOON);
    // The list itself is told again after ten seconds at the earliest: the first telling is used up here.
    let row = format!("#host-{} .cell-end", scene.host());
    let _ = scene.api().add_host("cellar");
    browser.wait_text("cellar", SOON);
    let fetched = |what: &str| {
        let script = format!(
            "return performance.getEntriesByType('resource').filter(entry => entry.name.{what}).length"
        );
        browser.run(&script).as_u64().unwrap_or_default()
    };
    // What the new hosts cause has been told when nothing is fetched for a while.
    let mut quiet = (fetched("endsWith('/row')"), 0);
    while quiet.1 < 5 {
        std::thread::sleep(Duration::from_millis(400));
        let now = fetched("endsWith('/row')");
        quiet = if now == quiet.0 { (now, quiet.1 + 1) } else { (now, 0) };
    }
    let own = format!("endsWith('{}/row')", scene.host());
    let (lists, others) = (fetched("includes('part=fleet-hosts')"), fetched("endsWith('/row')"));
    let own_before = fetched(&own);
    let job = scene.api().back_up(scene.host(), GROUP);
    let _ = scene.api().wait_job(&job, &["succeeded"], LONG);
    browser.wait_begins(&row, "Ok", SOON);
    assert!(fetched("endsWith('/row')") > others, "the row was fetched");
    assert!(fetched("includes('part=fleet-hosts')") <= lists + 1, "the list is told rarely");
    assert_eq!(fetched(&own) - own_before, fetched("endsWith('/row')") - others, "no other row was");
    assert_eq!(browser.run("return document.querySelectorAll('#fleet-hosts tbody tr').length"), json!(3));
    let whole = browser.run("return document.querySelector('#fleet-hosts table') !== null && document.querySelectorAll('#fleet-hosts tbody > tr[id]').length");
    assert_eq!(whole, json!(3), "rows stay rows of the table");

    // Keys: to the search, and through the rows.
    let _ =
        browser.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true}))");
    assert_eq!(browser.run("return document.activeElement.id"), json!("q"));
    let _ = browser.run("document.activeElement.blur(); document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'j', bubbles: true}))");
    assert_eq!(browser.run("return document.activeElement.className"), json!("row-link"));

    // Sorted by a head, and found by the search, in one table.
    browser.click(&browser.find("a.sort[href='/?sort=name']"));
    browser.wait_begins("#fleet-hosts tbody tr .row-link", "attic", SOON);
    browser.write(&browser.find("#q"), "web");
    browser.wait_true("return document.querySelectorAll('#fleet-hosts tbody tr').length === 1", SOON);
    // What was typed stands in the address, and the filters count what is found.
    browser.wait_true("return location.search === '?q=web&sort=name'", SOON);
    browser.wait_true("return document.querySelector('#fleet-filters .filter b').textContent === '1'", SOON);
}
