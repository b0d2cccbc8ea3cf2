//! Sealed credentials that were moved in the data file open nowhere else, and stop nothing else.

use redb::{Database, ReadableDatabase, TableDefinition};
use serde_json::json;
use std::path::Path;
use tests::{
    agent::Agent,
    browser::Browser,
    scene::Scene,
    tools::{self, Tool},
    wait::LONG,
};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("credentials");

/// The key of a slot's row: the host's id, and 0 for `repo`, 1 for `admin`.
fn row_key(host: &str, slot: u8) -> Vec<u8> {
    let host: schema::HostId = host.parse().expect("a host's id");
    [&host.0[..], &[slot]].concat()
}

/// Copies rows in the data file of a server that is stopped.
fn copy_rows(data_dir: &Path, moves: &[(Vec<u8>, Vec<u8>)]) {
    let database = Database::open(data_dir.join(fleet::DATA_FILE)).expect("the data file");
    let read = database.begin_read().expect("a read");
    let rows = read.open_table(ROWS).expect("the table of credentials");
    let write = database.begin_write().expect("a write");
    {
        let mut table = write.open_table(ROWS).expect("the table of credentials");
        for (from, to) in moves {
            let row = rows.get(from.as_slice()).expect("a read").expect("a row to copy");
            table.insert(to.as_slice(), row.value()).expect("a write");
        }
    }
    write.commit().expect("a commit");
}

#[test]
fn a_value_that_was_moved_to_the_other_slot_or_host_does_not_open_and_stops_nothing_else() {
    if !tools::needs(&[Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let _ = scene.back_up();
    let host = scene.host().to_owned();
    scene.api().put_admin_credentials(&host, &scene.admin_credentials());
    let mut other = Agent::enroll(scene.api(), &scene.scratch.folder("other agent"), "other");
    scene.api().put_credentials(&other.host, &scene.credentials);
    scene.api().put_admin_credentials(&other.host, &scene.admin_credentials());
    let browser = Browser::start();
    scene.server.sign_in(&browser);

    // The admin value of the first host into its everyday slot, and into the admin slot of the other.
    scene.server.stop();
    let moves = [(row_key(&host, 1), row_key(&host, 0)), (row_key(&host, 1), row_key(&other.host, 1))];
    copy_rows(&scene.server.data_dir, &moves);
    scene.server.start_again();
    for id in [&host, &other.host] {
        scene.api().wait_online(id, true, LONG);
    }

    for (id, slot, unreadable) in [
        (&host, "repo", true),
        (&host, "admin", false),
        (&other.host, "repo", false),
        (&other.host, "admin", true),
    ] {
        let facts = scene.api().slot(id, slot);
        assert_eq!(
            (&facts["set"], &facts["unreadable"]),
            (&json!(true), &json!(unreadable)),
            "{slot}: {facts}"
        );
        browser.open(&format!("{}/hosts/{id}/repo", scene.server.base()));
        let said = browser
            .run(&format!("return document.querySelector('#{slot}-credentials .badge')?.innerText ?? null;"));
        assert_eq!(said == "Set them again", unreadable, "{slot}: {said}");
        let keeps = browser.run(&format!(
            "return document.querySelector('#{slot}-credentials-repo_password').placeholder !== '';"
        ));
        assert_eq!(keeps, !unreadable, "{slot}: what can't be opened can't be kept");
    }

    // Everything else works: the agent's own copy, the slot that was not touched, the other host.
    let _ = scene.back_up();
    let prune = scene.api().do_ask(&host, "prune");
    assert_eq!(prune["state"], "succeeded", "{prune}");
    let probe =
        scene.api().post(&format!("/api/hosts/{}/repo-credentials/test", other.host), None).expect(202);
    let _ = scene.api().wait_job(probe["id"].as_str().expect("an id"), &["succeeded"], LONG);
    // What needs the value says what is to be done.
    let prune = scene.api().post(&format!("/api/hosts/{}/repo/prune", other.host), None);
    assert_eq!((prune.status, prune.code()), (409, "admin_creds_required"), "{}", prune.text);
    assert!(prune.text.contains("set them again"), "{}", prune.text);
    assert!(!scene.server.log().contains("panicked"), "{}", scene.server.log());

    // Keeping what can't be opened is refused with the field; given anew, it works.
    let keeping = json!({ "url": scene.credentials.url, "username": "web-1" });
    let answer = scene.api().put(&format!("/api/hosts/{host}/repo-credentials"), &keeping);
    assert_eq!((answer.status, &answer.body["error"]["field"]), (422, &json!("password")), "{}", answer.text);
    scene.api().put_credentials(&host, &scene.credentials);
    assert_eq!(scene.api().slot(&host, "repo")["unreadable"], false);
    let _ = scene.back_up();
    // Removed and set again.
    assert_eq!(scene.api().delete(&format!("/api/hosts/{}/admin-credentials", other.host)).status, 204);
    scene.api().put_admin_credentials(&other.host, &scene.admin_credentials());
    let prune = scene.api().do_ask(&other.host, "prune");
    assert_eq!(prune["state"], "succeeded", "{prune}");
    browser.open(&format!("{}/hosts/{host}/repo", scene.server.base()));
    assert!(!browser.text().contains("can't be opened"), "{}", browser.text());
    other.stop();
}
