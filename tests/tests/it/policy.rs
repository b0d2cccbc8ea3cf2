//! The policy file of a machine: what its owner lets the server do, also when the server asks for more.

use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    process::run,
    scene::{GROUP, Scene},
    tools,
    wait::{self, LONG, SOON},
};

/// A scene whose agent has a policy file.
struct Policed {
    scene: Scene,
    file: PathBuf,
    /// Where the hooks write what they did.
    diary: PathBuf,
}

impl Policed {
    fn start() -> Option<Self> {
        let mut scene = Scene::start()?;
        let folder = scene.scratch.folder("owner");
        fs::create_dir_all(&folder).expect("a folder");
        let (file, diary) = (folder.join("policy.toml"), folder.join("diary"));
        let policed = |name: &str, text: &str| {
            let script = folder.join(name);
            fs::write(&script, format!("#!/bin/sh\n{text}\n")).expect("a script");
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
        };
        policed(
            "note",
            &format!("echo \"$1 $HOLDFAST_WHEN $HOLDFAST_GROUP $HOLDFAST_OUTCOME\" >> {}", diary.display()),
        );
        policed("fail", "echo it is broken >&2; exit 3");
        policed("hang", "sleep 600");
        policed(
            "dump",
            "[ \"$1\" = bad ] && exit 1; [ \"$1\" = silent ] && exit 0; echo 'create table orders;'",
        );
        fs::write(&file, "").expect("a policy");
        scene.agent.options = vec!["--policy".into(), file.clone().into()];
        scene.agent.stop();
        scene.agent.start();
        scene.api().wait_online(scene.host(), true, SOON);
        Some(Self { scene, file, diary })
    }

    fn script(&self, name: &str) -> String {
        self.file.with_file_name(name).display().to_string()
    }

    fn write(&self, text: &str) {
        fs::write(&self.file, text).expect("a policy");
    }

    /// Backs up a group as it is sent here.
    fn back_up(&self, group: &Value) -> Value {
        let (api, host) = (self.scene.api(), self.scene.host());
        let answer = api.put(&format!("/api/hosts/{host}/groups/{GROUP}"), group);
        assert_eq!(answer.status, 200, "{}", answer.text);
        api.wait_end(&api.back_up(host, GROUP), LONG)
    }

    fn sources(&self) -> String {
        self.scene.sources.display().to_string()
    }

    fn take_diary(&self) -> String {
        let text = fs::read_to_string(&self.diary).unwrap_or_default();
        let _ = fs::remove_file(&self.diary);
        text
    }

    fn log_of(&self, job: &Value) -> String {
        self.scene.api().whole_log(job["id"].as_str().expect("an id")).join("\n")
    }
}

fn class(job: &Value) -> (&str, &str) {
    (job["state"].as_str().unwrap_or_default(), job["class"].as_str().unwrap_or_default())
}

#[test]
fn hooks_run_around_a_backup_and_their_failure_shows() {
    let Some(policed) = Policed::start() else { return };
    let hook = |name: &str, arguments: &str| {
        format!(
            "[hooks.{name}]\ncommand = ['{}', '{arguments}']\ntimeout_secs = 2\n",
            policed.script(name.split('-').next().unwrap_or(name))
        )
    };
    policed.write(
        &[hook("note-1", "first"), hook("note-2", "second"), hook("fail", ""), hook("hang", "")].concat(),
    );
    let group = |before: &[&str], after: &[&str]| json!({"includes": [policed.sources()], "hooks": {"before": before, "after": after}});

    let job = policed.back_up(&group(&["note-1", "note-2"], &["note-1"]));
    assert_eq!(class(&job), ("succeeded", ""), "{job}");
    assert_eq!(
        policed.take_diary(),
        "first before files \nsecond before files \nfirst after files succeeded\n"
    );

    // What fails before keeps restic from being started; what comes after runs all the same.
    let job = policed.back_up(&group(&["fail", "note-1"], &["note-2"]));
    assert_eq!(class(&job), ("failed", "hook"), "{job}");
    assert!(
        job["error"].as_str().is_some_and(|said| said.contains("The hook fail ended with exit code 3")),
        "{job}"
    );
    assert_eq!(policed.take_diary(), "second after files failed\n");
    let log = policed.log_of(&job);
    assert!(log.contains("fail: it is broken") && !log.contains("restic backup"), "{log}");

    // A snapshot is there, and something is wrong.
    let job = policed.back_up(&group(&[], &["fail"]));
    assert_eq!(class(&job), ("warning", "hook"), "{job}");
    assert!(job["summary"]["snapshot"].as_str().is_some_and(|id| !id.is_empty()), "{job}");

    let job = policed.back_up(&group(&["hang"], &[]));
    assert_eq!(class(&job), ("failed", "hook"), "{job}");
    assert!(job["error"].as_str().is_some_and(|said| said.contains("did not end within 2 s")), "{job}");

    // What the policy does not name is not run.
    let job = policed.back_up(&group(&["other"], &[]));
    assert_eq!(class(&job), ("failed", "policy"), "{job}");
    assert_eq!(policed.take_diary(), "");
}

#[test]
fn a_hook_ends_with_a_cancel_and_with_the_agent() {
    let Some(mut policed) = Policed::start() else { return };
    policed.write(&format!("[hooks.hang]\ncommand = ['{}']\n", policed.script("hang")));
    let group = json!({"includes": [policed.sources()], "hooks": {"before": ["hang"], "after": []}});
    let (api, host) = (policed.scene.api().clone(), policed.scene.host().to_owned());
    let answer = api.put(&format!("/api/hosts/{host}/groups/{GROUP}"), &group);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let hanging = |agent: u32| {
        tests::proc_table::descendants(agent)
            .into_iter()
            .find(|seen| seen.program() == "sleep" && seen.state != 'Z')
    };
    let job = api.back_up(&host, GROUP);
    let agent = policed.scene.agent.pid();
    wait::until_true("the hook to run", SOON, || hanging(agent).is_some());
    let _ = api.post(&format!("/api/jobs/{job}/cancel"), None).expect(202);
    let ended = api.wait_end(&job, SOON);
    assert_eq!(class(&ended), ("cancelled", "cancelled"), "{ended}");
    wait::until_true("the hook to be gone", SOON, || hanging(agent).is_none());

    let _ = api.back_up(&host, GROUP);
    let sleeper = wait::until("the hook to run", SOON, || hanging(agent).ok_or_else(|| "not yet".to_owned()));
    let script =
        tests::proc_table::descendants(agent).into_iter().find(|seen| seen.command().contains("/hang"));
    policed.scene.agent.kill_9();
    let script = script.expect("the hook itself");
    wait::until_true("the hook to end with its agent", SOON, || {
        !Path::new(&format!("/proc/{}", script.pid)).exists()
    });
    // What the hook itself started is its own; here it is cleared away.
    let _ = run(
        "kill",
        {
            let mut kill = Command::new("kill");
            kill.arg(sleeper.pid.to_string());
            kill
        },
        SOON,
    );
}

#[test]
fn the_output_of_a_command_is_saved_as_a_file() {
    let Some(policed) = Policed::start() else { return };
    let command = |name: &str, argument: &str| {
        format!(
            "[commands.{name}]\ncommand = ['{}', '{argument}']\nfile_name = 'orders.sql'\n",
            policed.script("dump")
        )
    };
    policed.write(
        &[command("orders", "secret-argument"), command("bad", "bad"), command("silent", "silent")].concat(),
    );
    let job = policed.back_up(&json!({"includes": ["command:orders"]}));
    assert_eq!(class(&job), ("succeeded", ""), "{job}");
    let log = policed.log_of(&job);
    assert!(log.contains("--stdin-from-command") && !log.contains("secret-argument"), "{log}");
    let saved =
        policed.scene.repository().dump(job["summary"]["snapshot"].as_str().expect("an id"), "/orders.sql");
    assert_eq!(saved, "create table orders;");

    let job = policed.back_up(&json!({"includes": ["command:bad"]}));
    assert_eq!(class(&job), ("failed", "hook"), "{job}");
    let job = policed.back_up(&json!({"includes": ["command:silent"]}));
    assert_eq!(class(&job), ("warning", "source_empty"), "{job}");
    assert!(job["error"].as_str().is_some_and(|said| said.contains("gave no output")), "{job}");
    let job = policed.back_up(&json!({"includes": ["command:sh"]}));
    assert_eq!(class(&job), ("failed", "policy"), "{job}");
}

#[test]
fn quiet_hours_put_a_backup_off_and_a_broken_policy_allows_nothing() {
    let Some(policed) = Policed::start() else { return };
    let group = json!({"includes": [policed.sources()]});
    // All day, in two halves: an empty span is none.
    policed.write("quiet_hours = ['00:00-12:00', '12:00-00:00']");
    let job = policed.back_up(&group);
    assert_eq!(class(&job), ("cancelled", "not_now"), "{job}");
    assert!(job["error"].as_str().is_some_and(|said| said.contains("keeps quiet from")), "{job}");
    let host = policed.scene.api().host(policed.scene.host());
    assert_ne!(host["status"], "failed", "it is no failure: {host}");

    policed.write("interfaces = ['no-such-interface']");
    assert_eq!(class(&policed.back_up(&group)), ("cancelled", "not_now"));

    policed.write("source_roots = 'everything'");
    let job = policed.back_up(&group);
    assert_eq!(class(&job), ("failed", "policy"), "{job}");
    assert!(job["error"].as_str().is_some_and(|said| said.contains("policy.toml")), "{job}");

    policed.write("source_roots = ['/no/such/root']\nnice = 5\nlimit_upload = 100000");
    assert_eq!(class(&policed.back_up(&group)), ("failed", "policy"));
    policed.write(&format!("source_roots = ['{}']\nnice = 5\nlimit_upload = 100000", policed.sources()));
    let job = policed.back_up(&group);
    assert_eq!(class(&job), ("succeeded", ""), "{job}");
    assert!(policed.log_of(&job).contains("--limit-upload=100000"));

    // The owner can ask what it comes to.
    let mut check = Command::new(tools::program("holdfast-agent"));
    check.args(["policy", "check", "--policy"]).arg(&policed.file);
    let said = run("holdfast-agent policy check", check, SOON).expect_success("a policy without a fault");
    assert!(said.contains("100000 KiB/s") && said.contains(&policed.sources()), "{said}");
}
