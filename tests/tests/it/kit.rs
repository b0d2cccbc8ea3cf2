//! Break-glass kits: made by the command line and by the API, opened by `age`, and used as they say, with restic alone.

use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::symlink},
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    api::Credentials,
    process::{Finished, run, run_reading},
    scene::{GROUP, HOST, Scene},
    tools::{self, Tool},
    wait::{LONG, SOON},
};

const PASSPHRASE: &str = "five words in a \"row\"";

/// `holdfast-server kit`, with a passphrase on its input.
fn kit(scene: &Scene, out: &Path, line: &[&str], input: &str) -> Finished {
    let mut command = Command::new(tools::program("holdfast-server"));
    command.arg("kit").arg("--data-dir").arg(&scene.server.data_dir).arg("--out").arg(out).args(line);
    run_reading("holdfast-server kit", command, input, SOON)
}

/// How the kits stand: (hosts in no kit, hosts that changed since).
fn gaps(scene: &Scene) -> (Value, Value) {
    let kits = scene.api().get("/api/kit").expect(200);
    (kits["in_no_kit"].clone(), kits["changed_since"].clone())
}

/// Opens a kit as its owner does, in a folder of its own: `age` reads the passphrase from its terminal.
fn open(scene: &Scene, file: &Path, passphrase: &str, name: &str) -> PathBuf {
    let folder = scene.scratch.folder(name);
    fs::copy(file, folder.join("kit.age")).expect("a copy of the kit");
    let mut command = Command::new(Tool::Script.path());
    let line = format!("{} -d -o kit.txt kit.age", Tool::Age.path().display());
    command.args(["-qec", &line, "/dev/null"]).current_dir(&folder);
    let _ = run_reading("age", command, &format!("{passphrase}\n"), LONG).expect_success("age opens the kit");
    folder
}

/// The blocks of commands in the section of the host.
fn blocks(text: &str) -> Vec<String> {
    let heading = format!("Host {HOST}");
    let section = text.lines().skip_while(|line| *line != heading).skip(1);
    let (mut blocks, mut block): (Vec<String>, Option<String>) = (Vec::new(), None);
    for line in section.take_while(|line| !line.starts_with("Host ")) {
        match (&mut block, line) {
            (None, "```") => block = Some(String::new()),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(block), line) => block.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    blocks
}

/// Runs commands in a folder with this restic and nothing of Holdfast.
fn sh(folder: &Path, restic: Tool, script: &str) -> String {
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).expect("a folder");
    symlink(restic.path(), programs.join("restic")).expect("restic by its name");
    let mut command = Command::new("sh");
    command.arg("-eu").current_dir(folder).env_clear().env("HOME", folder);
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
    run_reading("the commands of the kit", command, script, LONG).expect_success(script)
}

/// Whether what was restored is what was saved.
fn is_restored(folder: &Path, group: &str, original: &Path) {
    let relative = original.strip_prefix("/").expect("an absolute path");
    let restored = folder.join(format!("restored-{HOST}")).join(group).join(relative);
    let mut command = Command::new("diff");
    command.arg("--recursive").arg("--no-dereference").arg(original).arg(&restored);
    let _ = run("diff", command, LONG).expect_success("restored as it was");
    assert!(fs::read_dir(&restored).expect("a folder").count() > 0);
}

#[test]
fn a_kit_restores_every_file_with_age_and_restic_alone() {
    if !tools::needs(&[Tool::Age, Tool::Script, Tool::Restic014, Tool::ResticNewest]) {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    scene.api().put_admin_credentials(&host, &scene.admin_credentials());
    // Names of all sorts, in the files and in what is backed up.
    for name in [&b"caf\xe9"[..], b"it's $HOME", b"two\nlines", b"-rf"] {
        fs::write(scene.sources.join(OsStr::from_bytes(name)), name).expect("a file");
    }
    let odd = scene.scratch.folder("it's \"$(id)\" `x` *");
    fs::write(odd.join("letter"), "Dear Ada").expect("a file");
    scene.api().add_group(&host, "odd", &[&odd.display().to_string()]);
    let _ = scene.back_up();
    let job = scene.api().back_up(&host, "odd");
    let _ = scene.api().wait_job(&job, &["succeeded"], LONG);
    assert!(scene.api().get("/api/kit").expect(200)["newest_made_at"].is_null());

    // By the command line, while the server runs.
    let first = scene.scratch.path().join("first.age");
    let weak = kit(&scene, &first, &[], "tooshort\n");
    assert!(!weak.status.success() && weak.output.contains("Too short: 8 characters"), "{}", weak.output);
    // What the server that runs refuses comes with its code.
    let mut keep = Command::new(tools::program("holdfast-server"));
    keep.args(["backup", "--json", "--data-dir"]).arg(&scene.server.data_dir);
    let keep = run_reading("holdfast-server backup", keep, "", SOON);
    assert!(!keep.status.success() && keep.output.contains("\"code\":\"archive_no_key\""), "{}", keep.output);
    let nobody = kit(&scene, &first, &["--host", "nobody"], PASSPHRASE);
    assert!(!nobody.status.success() && nobody.output.contains("nobody"), "{}", nobody.output);
    assert!(!first.exists());
    assert_eq!(gaps(&scene), (json!(1), json!(0)));
    let made = kit(&scene, &first, &["--host", HOST, "--json"], PASSPHRASE).expect_success("a kit");
    let told: Value = serde_json::from_str(&made).expect("an object");
    let bytes = fs::metadata(&first).expect("a kit").len();
    assert_eq!(told, json!({ "path": first.display().to_string(), "bytes": bytes, "hosts": 1 }));
    assert_eq!(fs::metadata(&first).expect("a kit").permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&first).expect("a kit");
    let again = kit(&scene, &first, &[], PASSPHRASE);
    assert!(!again.status.success() && again.output.contains("--force"), "{}", again.output);
    assert_eq!(fs::read(&first).expect("a kit"), bytes, "nothing is overwritten");
    assert_eq!(gaps(&scene), (json!(0), json!(0)));

    // Credentials that change make it old; a kit by the API is newer.
    let changed = Credentials {
        env: vec![("AWS_SECRET_ACCESS_KEY".to_owned(), "x'y`id`$(id)\\".to_owned())],
        ..scene.credentials.clone()
    };
    scene.api().put_credentials(&host, &changed);
    assert_eq!(gaps(&scene), (json!(0), json!(1)));
    let second = scene.scratch.path().join("second.age");
    let token = scene.server.token("kit", "admin");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--json", "@-", "--output"]).arg(&second);
    curl.arg("--header").arg(format!("Authorization: Bearer {token}")).arg(scene.server.base() + "/api/kit");
    let body = json!({ "labels": [], "passphrase": PASSPHRASE }).to_string();
    let _ = run_reading("curl", curl, &body, SOON).expect_success("a kit by the API");
    assert_eq!(gaps(&scene), (json!(0), json!(0)));
    let audit = scene.api().get("/api/audit?action=kit.made").expect(200);
    let made: Vec<_> =
        audit["items"].as_array().expect("entries").iter().map(|entry| &entry["detail"]).collect();
    assert_eq!(made, [&json!(format!("1 host: {HOST}")); 2]);

    // Server and host are gone; the data file alone still makes one.
    scene.agent.kill_9();
    scene.server.stop();
    let third = scene.scratch.path().join("third.age");
    let said = kit(&scene, &third, &["--generate"], "").expect_success("a kit without a server");
    let drawn = said.lines().find_map(|line| line.strip_prefix("passphrase: ")).expect("a passphrase");

    for (name, file, passphrase, restic) in [
        ("opened first", &first, PASSPHRASE, Tool::Restic018),
        ("opened second", &second, PASSPHRASE, Tool::ResticNewest),
        ("opened third", &third, drawn, Tool::Restic014),
    ] {
        let sealed = fs::read(file).expect("a kit");
        assert_eq!(scene.secrets.found_in(&sealed), Default::default(), "{name}");
        let folder = open(&scene, file, passphrase, name);
        let text = fs::read_to_string(folder.join("kit.txt")).expect("a text");
        assert!(text.contains(&scene.credentials.repo_password), "{name}");
        let said = sh(&folder, restic, &blocks(&text).concat());
        assert!(said.contains(GROUP) && said.contains("letter"), "{said}");
        is_restored(&folder, GROUP, &scene.sources);
        is_restored(&folder, "odd", &odd);
        // The admin credentials open it, too.
        let said = sh(
            &scene.scratch.folder(&format!("{name}, admin")),
            restic,
            &format!(
                "cd '{}'\n. './{HOST}+admin.env'\nrestic snapshots\necho \"by $RESTIC_REPOSITORY\"\n",
                folder.display()
            ),
        );
        assert!(said.contains(&scene.storage.full.address.to_string()), "{said}");
    }
    assert_eq!(scene.secrets.found_in(scene.server.log().as_bytes()), Default::default());
}
