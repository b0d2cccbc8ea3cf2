//! The agent removes by itself only what its own restic left behind: a backup that somebody else runs on the same
//! repository, in a container of the same host name, comes to no harm.

use serde_json::json;
use std::{
    fs,
    path::Path,
    process::{Child, Command},
};
use tests::{
    agent::Agent,
    repository::Repository,
    scratch::Scratch,
    server::Server,
    sources::write_tree,
    tools::{self, Tool},
    wait::{self, LONG, SOON},
};

const PASSWORD: &str = "one for both";

/// A slow backup in a process namespace of its own.
fn elsewhere(restic: &Path, repository: &Path, sources: &Path, cache: &Path) -> Child {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(restic)
        .args(["backup", "--quiet", "--limit-upload=1500", "--pack-size=4"])
        .arg(sources)
        .env("RESTIC_REPOSITORY", repository)
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("RESTIC_CACHE_DIR", cache)
        .spawn()
        .expect("unshare")
}

fn files_below(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

#[test]
fn a_backup_that_runs_in_a_container_of_the_same_name_is_not_pruned_away() {
    if !tools::needs(&[Tool::Restic018, Tool::ResticNewest]) {
        return;
    }
    for tool in [Tool::Restic014, Tool::ResticNewest] {
        let restic = tool.path();
        let scratch = Scratch::new();
        let server = Server::start(&scratch.folder("server"));
        let api = &server.api;
        let mut agent = Agent::enroll(api, &scratch.folder("agent"), "nas");
        agent.stop();
        agent.restic.clone_from(&restic);
        agent.start();
        api.wait_online(&agent.host, true, LONG);
        let repository = scratch.path().join("repository");
        let credentials = json!({ "url": repository.display().to_string(), "repo_password": PASSWORD });
        for slot in ["repo-credentials", "admin-credentials"] {
            let _ = api.put(&format!("/api/hosts/{}/{slot}", agent.host), &credentials).expect(200);
        }
        let small = scratch.folder("small");
        fs::write(small.join("note"), "something").expect("a file");
        api.add_group(&agent.host, "small", &[&small.display().to_string()]);
        let _ = repository_files::make(&repository, PASSWORD);
        let _ = api.wait_job(&api.back_up(&agent.host, "small"), &["succeeded"], LONG);

        let large = scratch.folder("large");
        write_tree(&large, 5, 40, 24 << 20);
        let before = files_below(&repository.join("data"));
        let mut other = elsewhere(&restic, &repository, &large, &scratch.path().join("cache elsewhere"));
        wait::until_true("the other backup to store data", LONG, || {
            files_below(&repository.join("locks")) > 0 && files_below(&repository.join("data")) > before + 1
        });
        let prune = api.wait_end(&api.ask(&agent.host, "prune"), LONG);
        // The newer ones wait for the lock by themselves; whatever became of it, the other one is not harmed.
        if tool == Tool::Restic014 {
            assert_eq!(
                (&prune["state"], &prune["class"]),
                (&json!("failed"), &json!("repo_locked")),
                "{prune}"
            );
            let lock = wait::until("the lock to be told", SOON, || {
                let repo = server.repo(&agent.host);
                if repo["lock"].is_null() { Err(repo.to_string()) } else { Ok(repo["lock"].clone()) }
            });
            assert_eq!(lock["stale"], false, "{lock}");
            assert_eq!(files_below(&repository.join("locks")), 1, "it stays");
        }
        assert!(other.wait().expect("its end").success(), "the other backup ends well");
        let by_hand =
            Repository::at(&repository.display().to_string(), PASSWORD).with(&Tool::ResticNewest.path());
        assert_eq!(by_hand.is_sound(), Ok(()));
        assert_eq!(by_hand.snapshots().len(), 2);
        let _ = api.wait_job(&api.ask(&agent.host, "prune"), &["succeeded"], LONG);
        assert_eq!(by_hand.is_sound(), Ok(()));
    }
}
