//! Listings that are longer than what fits: nothing is lost without a word, and they come in parts.

use serde_json::Value;
use std::fs;
use tests::{
    api::text,
    scene::{GROUP, Scene},
    wait::LONG,
};

/// All parts of a list, and what its last part says beside it.
fn parts(scene: &Scene, path: &str, limit: usize) -> (Vec<Value>, Value) {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let page = scene.api().get(&format!("{path}{joint}limit={limit}{cursor}")).expect(200);
        let part = page["items"].as_array().cloned().unwrap_or_default();
        assert!(part.len() <= limit, "{}", part.len());
        items.extend(part);
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace('/', "%2F")),
            None => return (items, page),
        }
    }
}

#[test]
fn a_snapshot_that_is_larger_than_a_message_is_listed_and_looked_into() {
    let Some(scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let _ = scene.back_up();
    // By hand, and into the same repository: more paths than any message holds.
    let many = scene.scratch.folder("many");
    let names: Vec<String> =
        (0..3_000).map(|n| many.join(format!("{n}-{}", "x".repeat(120))).display().to_string()).collect();
    names.iter().for_each(|name| fs::write(name, "").expect("a file"));
    let list = many.with_extension("list");
    fs::write(&list, names.join("\n")).expect("a file");
    let list = list.display().to_string();
    let by_hand = ["backup", "--host", "elsewhere", "--tag", "by-hand", "--files-from-verbatim", &list];
    let _ = scene.repository().restic(&by_hand).expect_success("a backup by hand");
    let listing = scene.api().post(&format!("/api/hosts/{host}/snapshots/refresh"), None).expect(202);
    let job = scene.api().wait_job(&text(&listing["id"]), &["succeeded"], LONG);
    assert_eq!((&job["summary"]["count"], &job["summary"]["left_out"]), (&2.into(), &0.into()), "{job}");

    for limit in [1, 50] {
        let (items, page) = parts(&scene, &format!("/api/hosts/{host}/snapshots"), limit);
        assert_eq!((items.len(), &page["total"], &page["left_out"]), (2, &2.into(), &0.into()));
        let (large, small) = (&items[0], &items[1]);
        assert_eq!(
            (&large["tags"][0], &small["tags"][0]),
            (&"by-hand".into(), &GROUP.into()),
            "newest first"
        );
        let shown = large["paths"].as_array().map_or(0, Vec::len) as u64;
        assert_eq!(shown + large["paths_left_out"].as_u64().unwrap_or_default(), 3_000);
        assert!(shown > 10);
        assert_eq!(small["paths_left_out"], 0);
    }
    let (items, _) = parts(&scene, &format!("/api/hosts/{host}/snapshots?group={GROUP}"), 1);
    assert_eq!(items.len(), 1);
    let refused = scene.api().get(&format!("/api/hosts/{host}/snapshots?cursor=%21"));
    assert_eq!(refused.status, 422, "{}", refused.text);

    let id = {
        let (items, _) = parts(&scene, &format!("/api/hosts/{host}/snapshots"), 50);
        text(&items[0]["id"])
    };
    let at = format!("/api/hosts/{host}/snapshots/{id}/files");
    let asked = scene.api().post(&at, Some(&serde_json::json!({ "path": many }))).expect(202);
    let _ = scene.api().wait_job(&text(&asked["id"]), &["succeeded"], LONG);
    let (entries, page) = parts(&scene, &format!("{at}?path={}", many.display()), 500);
    assert_eq!((entries.len(), &page["total"], &page["left_out"]), (3_000, &3_000.into(), &0.into()));
    let mut found: Vec<String> = entries.iter().map(|entry| text(&entry["name"])).collect();
    assert!(found.is_sorted());
    found.dedup();
    assert_eq!(found.len(), 3_000);
}
