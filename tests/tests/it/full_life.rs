//! The whole life of a repository, with each restic that is supported: made, filled, thinned, pruned, checked, then
//! damaged and locked, and shown as what it is.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tests::{
    api::text,
    browser::Browser,
    foreign_lock,
    repository::Repository,
    scene::{HOST, Scene},
    scratch::Scratch,
    secrets::files_below,
    sources::write_tree,
    tools::{self, Tool},
    wait::{self, SOON},
};

/// A source group, its rules, and the same rules for restic by hand.
struct Rules {
    group: &'static str,
    keep: Value,
    by_hand: &'static [&'static str],
}

fn rules() -> [Rules; 3] {
    [
        Rules { group: "etc", keep: json!({ "last": 2 }), by_hand: &["--keep-last=2"] },
        Rules {
            group: "home",
            keep: json!({ "daily": 2, "monthly": 2 }),
            by_hand: &["--keep-daily=2", "--keep-monthly=2"],
        },
        // Left alone.
        Rules { group: "mail", keep: json!({}), by_hand: &[] },
    ]
}

/// Days on which somebody has backed up before: two on one day, several in a month.
const TIMES: [&str; 5] = [
    "2025-01-10 08:00:00",
    "2025-02-27 08:00:00",
    "2025-02-28 08:00:00",
    "2025-02-28 20:00:00",
    "2025-03-01 08:00:00",
];

#[test]
fn a_repository_of_restic_0_14_from_its_first_backup_to_a_stale_lock() {
    live(Tool::Restic014, "0.14");
}

#[test]
fn a_repository_of_restic_0_18_from_its_first_backup_to_a_stale_lock() {
    live(Tool::Restic018, "0.18");
}

#[test]
fn a_repository_of_the_newest_restic_from_its_first_backup_to_a_stale_lock() {
    live(Tool::ResticNewest, "0.19");
}

fn live(restic: Tool, version: &str) {
    if !tools::needs(&[restic, Tool::Chromium, Tool::Chromedriver]) {
        return;
    }
    let Some(mut scene) = Scene::start_without_repository() else { return };
    scene.run_with(&restic.path());
    // The agent's first hello may have been from before it was told of another restic.
    wait::until_true(version, SOON, || {
        text(&scene.api().host(scene.host())["restic_version"]).starts_with(version)
    });
    let (api, host) = (scene.api(), scene.host());
    api.put_admin_credentials(host, &scene.admin_credentials());
    succeed(&scene, "init");
    fill(&scene, &restic.path());
    thin(&scene, &restic.path(), restic != Tool::Restic014);
    prune(&scene);
    let browser = Browser::start();
    scene.server.sign_in(&browser);
    check(&scene, &browser, true);
    break_a_pack(&scene, &browser);
    lose_a_pack(&scene, &browser);
    check(&scene, &browser, true);
    stale_lock(&scene, &browser, &restic.path());
}

#[track_caller]
fn succeed(scene: &Scene, kind: &str) -> Value {
    let job = scene.api().do_ask(scene.host(), kind);
    assert_eq!(job["state"], "succeeded", "{kind}: {job}");
    job
}

fn by_hand(scene: &Scene, restic: &Path) -> Repository {
    scene.repository().with(restic)
}

/// Three groups, each with snapshots of earlier days, made by hand, and one of Holdfast.
fn fill(scene: &Scene, restic: &Path) {
    let repository = by_hand(scene, restic);
    for (seed, Rules { group, keep, .. }) in rules().into_iter().enumerate() {
        let folder = scene.scratch.folder(&format!("sources of {group}"));
        let path = folder.display().to_string();
        for (number, time) in TIMES.iter().enumerate() {
            // New files each time, so that each snapshot has something of its own.
            fs::remove_dir_all(&folder).expect("files of ours");
            write_tree(&folder, (seed * 100 + number) as u64, 8, 1_500_000);
            let arguments =
                ["backup", "--quiet", "--host", HOST, "--tag", group, "--time", time, path.as_str()];
            let _ = repository.restic(&arguments).expect_success("a backup by hand");
        }
        scene.api().add_group_keeping(scene.host(), group, &[&path], &keep);
        let job = scene.api().back_up(scene.host(), group);
        let _ = scene.api().wait_job(&job, &["succeeded"], wait::LONG);
        assert_eq!(repository.tagged(group).len(), TIMES.len() + 1, "{group}");
    }
}

/// A forget keeps what restic by hand keeps in a copy of the repository.
fn thin(scene: &Scene, restic: &Path, tells_sizes: bool) {
    let scratch = Scratch::new();
    let copy = scratch.folder("copy");
    copy_tree(&scene.storage.repository(), &copy);
    let copy = Repository::at(&copy.display().to_string(), &scene.credentials.repo_password).with(restic);
    for Rules { group, by_hand, .. } in rules() {
        if !by_hand.is_empty() {
            let mut arguments = vec!["forget", "--quiet", "--host", HOST, "--tag", group, "--group-by", ""];
            arguments.extend(by_hand);
            let _ = copy.restic(&arguments).expect_success("a forget by hand");
        }
    }
    let repository = by_hand(scene, restic);
    if !tells_sizes {
        say_what_was_there_is_right(scene);
    }
    let before = |group: &str| repository.tagged(group).len();
    let (of_home, promised) = (before("home"), dry_run(scene, "home", &json!({})));
    let harder = dry_run(scene, "home", &json!({ "keep": { "last": 1 } }));
    assert_eq!(harder, (1, of_home - 1));
    assert_eq!(before("home"), of_home, "a dry run drops nothing");
    let before: Vec<usize> = rules().iter().map(|rules| before(rules.group)).collect();
    let forget = succeed(scene, "forget");
    let mut told = forget["summary"].as_array().expect("one for each group").iter();
    for (Rules { group, by_hand, .. }, before) in rules().into_iter().zip(before) {
        let (kept, wanted) = (repository.tagged(group), copy.tagged(group));
        assert_eq!(kept, wanted, "{group}");
        if by_hand.is_empty() {
            assert_eq!(kept.len(), before, "{group} is left alone");
            continue;
        }
        let told = told.next().expect("a group's result");
        assert_eq!((&told["group"], &told["class"]), (&json!(group), &Value::Null), "{forget}");
        let removed = before - kept.len();
        assert_eq!((&told["kept"], &told["removed"]), (&json!(kept.len()), &json!(removed)), "{forget}");
        assert!(removed > 0 && kept.len() > 1, "{forget}");
        assert!(group != "home" || promised == (kept.len(), removed), "{promised:?}, then {forget}");
    }
    assert!(told.next().is_none(), "{forget}");
}

/// Snapshots that no backup here has made, and that tell no size, stay beside the rules until somebody says that nothing of
/// them is missed.
fn say_what_was_there_is_right(scene: &Scene) {
    let forget = succeed(scene, "forget");
    let all = forget["summary"].as_array().expect("one for each group");
    assert!(all.iter().all(|group| group["spared"].as_u64() > Some(0)), "{forget}");
    for group in all {
        let at = format!("/api/hosts/{}/groups/{}", scene.host(), text(&group["group"]));
        let known = scene.api().get(&format!("{at}/soundness")).expect(200);
        let word = json!({"mark": known["mark"]});
        let known = scene.api().put(&format!("{at}/acceptance"), &word).expect(200);
        assert_eq!(known["spared"], 0, "{known}");
    }
}

/// What a forget of a group says that it would keep and remove.
fn dry_run(scene: &Scene, group: &str, rules: &Value) -> (usize, usize) {
    let path = format!("/api/hosts/{}/groups/{group}/forget-dry-run", scene.host());
    let job = text(&scene.api().post(&path, Some(rules)).expect(202)["id"]);
    let job = scene.api().wait_job(&job, &["succeeded"], wait::LONG);
    assert_eq!((&job["kind"], &job["dry_run"]), (&json!("forget"), &json!(true)), "{job}");
    let figure = |name: &str| job["summary"][0][name].as_u64().and_then(|n| usize::try_from(n).ok());
    (figure("kept").expect("a number"), figure("removed").expect("a number"))
}

/// A prune frees what nothing names any more, and says how much.
fn prune(scene: &Scene) {
    let before = bytes_below(&scene.storage.repository());
    let prune = succeed(scene, "prune");
    let freed = prune["summary"]["freed_bytes"].as_u64().expect("a size");
    let fallen = before - bytes_below(&scene.storage.repository());
    // restic counts blobs; the indexes are written anew besides.
    assert!(freed > 1_000_000 && freed.abs_diff(fallen) < freed / 10, "{prune}: {fallen} bytes less");
    assert!(prune["summary"]["repacked_packs"].is_u64(), "{prune}");
    let repo = scene.server.repo(scene.host());
    assert_eq!(repo["size_bytes"], prune["summary"]["remaining_bytes"], "{repo}");
    assert_eq!(repo["last_prune_freed_bytes"], freed, "{repo}");
}

/// A check that reads all data; the page shows its result in colour.
fn check(scene: &Scene, browser: &Browser, is_clean: bool) {
    let job = scene.api().do_ask(scene.host(), "check?subset=100");
    let errors = &job["summary"]["errors"];
    if is_clean {
        assert_eq!((&job["state"], errors), (&json!("succeeded"), &json!(0)), "{job}");
    } else {
        assert_eq!((&job["state"], &job["class"]), (&json!("failed"), &json!("damaged")), "{job}");
        assert!(errors.as_u64() > Some(0), "{job}");
    }
    assert_eq!(job["summary"]["subset_pct"], 100, "{job}");
    assert_eq!(scene.server.repo(scene.host())["last_check_errors"], *errors);
    browser.open(&format!("{}/jobs/{}", scene.server.base(), text(&job["id"])));
    assert_eq!(has(browser, ".title-line .badge.is-fail"), !is_clean, "{}", browser.text());
    browser.open(&format!("{}/hosts/{}/repo", scene.server.base(), scene.host()));
    let (colour, words) = if is_clean { ("is-ok", "Ok, ") } else { ("is-fail", "Errors, ") };
    browser.wait_begins(&format!("#repo-health .facts .badge.{colour}"), words, SOON);
}

fn has(browser: &Browser, css: &str) -> bool {
    !browser.all(css).is_empty()
}

/// The largest file below `data` holds files' data.
fn a_pack(scene: &Scene) -> PathBuf {
    let packs = files_below(&scene.storage.repository().join("data"));
    packs.into_iter().max_by_key(|pack| fs::metadata(pack).map_or(0, |it| it.len())).expect("a pack")
}

fn break_a_pack(scene: &Scene, browser: &Browser) {
    let pack = a_pack(scene);
    let whole = fs::read(&pack).expect("a pack");
    let mut broken = whole.clone();
    broken[1_000] ^= 1;
    fs::write(&pack, broken).expect("a broken pack");
    check(scene, browser, false);
    fs::write(&pack, whole).expect("a mended pack");
}

fn lose_a_pack(scene: &Scene, browser: &Browser) {
    let pack = a_pack(scene);
    let aside = scene.scratch.path().join("lost pack");
    fs::rename(&pack, &aside).expect("a pack to lose");
    check(scene, browser, false);
    fs::rename(&aside, &pack).expect("a pack that is found");
}

/// A lock of a machine that went away two days ago: shown in red with its holder, and gone with an unlock.
fn stale_lock(scene: &Scene, browser: &Browser, restic: &Path) {
    let repository = by_hand(scene, restic);
    foreign_lock::leave(&scene.storage.repository(), &repository);
    assert_eq!(repository.locks().len(), 1);
    succeed(scene, "stats");
    let lock = scene.server.repo(scene.host())["lock"].clone();
    assert_eq!((&lock["stale"], &lock["hostname"]), (&json!(true), &json!(foreign_lock::HOLDER)), "{lock}");
    browser.open(&format!("{}/hosts/{}/repo", scene.server.base(), scene.host()));
    browser.wait_begins(
        "#repo-health .callout.is-fail .callout-title",
        "Locked, and the lock looks stale",
        SOON,
    );
    browser.wait_text(foreign_lock::HOLDER, SOON);

    browser.click(&browser.find("#repo-health .callout button"));
    let unlock = wait::until("the unlock", wait::LONG, || {
        let jobs = scene.api().jobs(scene.host());
        let unlock = jobs.iter().find(|job| job["kind"] == "unlock" && !job["finished_at"].is_null());
        unlock.cloned().ok_or_else(|| format!("{:?}", jobs.first()))
    });
    assert_eq!(
        (&unlock["state"], &unlock["summary"]["removed"]),
        (&json!("succeeded"), &json!(1)),
        "{unlock}"
    );
    assert_eq!(scene.server.repo(scene.host())["lock"], Value::Null);
    assert!(repository.locks().is_empty());
    browser.open(&format!("{}/hosts/{}/repo", scene.server.base(), scene.host()));
    assert!(!has(browser, "#repo-health .callout"), "{}", browser.text());
    succeed(scene, "check");
}

fn bytes_below(folder: &Path) -> u64 {
    files_below(folder).iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum()
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a folder");
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}
