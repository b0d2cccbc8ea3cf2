//! Storages that ssh reaches, with a real sshd: which host keys are trusted, and what is said of one that is not.

use crate::rig::{Rig, free_port, until, with_each_version};
use crate::tools;
use agent_linux::restic::JobSummary;
use schema::{Class, JobSpec, Slot};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A real sshd that ends with this value. It lets in who has the key of `ssh_as`, as the user that runs this.
struct Sshd {
    process: Child,
    port: u16,
}

impl Sshd {
    /// With a fresh host key of this name, its files in the folder; `None` when there is no sshd to be had.
    async fn start(folder: &Path, name: &str, port: u16) -> Option<Self> {
        let program = tools::sshd()?;
        fs::create_dir_all(folder).unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        for key in [name, "client"] {
            if !folder.join(key).exists() {
                keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]);
            }
        }
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            // Where it locks itself in; its service would make it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             AuthorizedKeysFile {}\nSubsystem sftp internal-sftp\n",
            at(name),
            at("client.pub")
        );
        fs::write(folder.join("sshd_config"), config).unwrap();
        let mut command = Command::new(program);
        command.args(["-D", "-e", "-f", &at("sshd_config")]);
        let log = fs::File::create(folder.join("sshd.log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Self { process, port };
        until("sshd", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Some(server)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn keygen(args: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Puts an `ssh` before the real one, which uses this key and none of whoever runs the tests.
fn ssh_with(rig: &mut Rig, key: &Path) {
    let folder = rig.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let config = rig.path("ssh_config");
    let known = rig.path("known");
    let text = format!(
        "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\n",
        key.display(),
        known.display()
    );
    fs::write(&config, text).unwrap();
    let wrapper = folder.join("ssh");
    let text = format!("#!/bin/sh\nexec /usr/bin/ssh -F '{}' \"$@\"\n", config.display());
    fs::write(&wrapper, text).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    rig.places.path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display()).into();
}

/// The first two words of a public key.
fn public(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[tokio::test]
async fn a_host_key_is_told_then_held_to_and_another_one_is_refused() {
    with_each_version(async |version, program| {
        let mut rig = Rig::new(program);
        let storage = rig.path("storage");
        let Some(server) = Sshd::start(&storage, "first", free_port()).await else { return };
        // Spaces and a percent sign in the agent's own paths are no hindrance.
        rig.places.temp = rig.path("temp of 100%");
        ssh_with(&mut rig, &storage.join("client"));
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        rig.credentials.url =
            format!("sftp://{user}@127.0.0.1:{}/{}", server.port, rig.path("repo").display());

        let ran = rig.run(JobSpec::Probe).await.failed(Class::UnknownHostKey);
        let shown = JobSummary::HostKey { slot: Slot::Repo, key: public(&storage, "first") };
        assert_eq!(ran.end.summary, shown, "{version:?}: {ran:#?}");

        rig.credentials.host_keys = format!("{}\n", public(&storage, "first"));
        rig.run(JobSpec::Init).await.succeeded();
        let source = rig.source();
        rig.backup(&[&source]).await.succeeded();
        rig.run(JobSpec::Check { subset_pct: 100 }).await.succeeded();

        // Another machine answers in its place: nothing is sent to it, and it is said which key it shows.
        let port = server.port;
        drop(server);
        let server = Sshd::start(&storage, "second", port).await.unwrap();
        let ran = rig.backup(&[&source]).await.failed(Class::HostKeyChanged);
        let shown = JobSummary::HostKey { slot: Slot::Repo, key: public(&storage, "second") };
        assert_eq!(ran.end.summary, shown, "{version:?}: {ran:#?}");
        assert_eq!(ran.log.iter().filter(|line| line.contains("restic backup")).count(), 1, "{ran:#?}");
        // Any of the kept ones will do.
        rig.credentials.host_keys.push_str(&format!("{}\n", public(&storage, "second")));
        rig.backup(&[&source]).await.succeeded();

        // What ssh says of a login, a name and a port is no riddle either.
        ssh_with(&mut rig, &storage.join("second"));
        let ran = rig.run(JobSpec::Probe).await.failed(Class::Auth);
        assert!(ran.end.message.contains("authorized_keys"), "{}", ran.end.message);
        drop(server);
        rig.run(JobSpec::Probe).await.failed(Class::Network);
        rig.credentials.url = "sftp:no-such-machine.invalid:/srv/x".into();
        rig.run(JobSpec::Probe).await.failed(Class::Network);
        rig.places.path = rig.path("empty").into();
        let ran = rig.run(JobSpec::Probe).await.failed(Class::Other);
        assert!(ran.end.message.contains("ssh is not installed"), "{}", ran.end.message);
    })
    .await;
}

#[tokio::test]
async fn the_keys_of_each_slot_are_its_own() {
    let Some(program) = tools::Version::V018.program() else { return };
    let mut rig = Rig::new(program);
    let storage = rig.path("storage");
    let Some(server) = Sshd::start(&storage, "first", free_port()).await else { return };
    ssh_with(&mut rig, &storage.join("client"));
    rig.credentials.url = format!("sftp://127.0.0.1:{}/{}", server.port, rig.path("repo").display());
    rig.credentials.host_keys = format!("{}\n", public(&storage, "first"));
    rig.run(JobSpec::Init).await.succeeded();
    let source = rig.source();
    rig.backup(&[&source]).await.succeeded();

    let good = rig.credentials.clone();
    let mut bad = good.clone();
    bad.host_keys = format!("{}\n", public(&storage, "client"));
    for (everyday, admin, slot) in [(&bad, &good, Slot::Repo), (&good, &bad, Slot::Admin)] {
        (rig.credentials, rig.everyday) = (admin.clone(), Some(everyday.clone()));
        let ran = rig.run(JobSpec::Prune { dry_run: false }).await.failed(Class::HostKeyChanged);
        let shown = JobSummary::HostKey { slot, key: public(&storage, "first") };
        assert_eq!(ran.end.summary, shown, "{ran:#?}");
    }
    (rig.credentials, rig.everyday) = (good.clone(), Some(good));
    rig.run(JobSpec::Prune { dry_run: false }).await.succeeded();
}
