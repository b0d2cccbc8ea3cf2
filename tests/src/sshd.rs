//! A real sshd, as a storage that is reached by ssh. Nobody has a key to it: it shows who it is, and lets nobody in.

use crate::{
    ports,
    process::{Process, run},
    scratch::Scratch,
    wait::{self, SOON},
};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
};

/// One that ends with this value.
pub struct Sshd {
    _process: Process,
    address: SocketAddr,
    /// Its public key: kind and base64.
    pub key: String,
}

impl Sshd {
    /// With a fresh host key of this name.
    ///
    /// # Panics
    /// When there is none: `./test` installs it.
    #[must_use]
    pub fn start(scratch: &Scratch, name: &str, address: SocketAddr) -> Self {
        let folder = scratch.folder("sshd");
        let key = folder.join(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        let _ = run("ssh-keygen", keygen, SOON).expect_success("a host key");
        if rustix::process::geteuid().is_root() {
            // Where it locks itself in; its service would make it.
            fs::create_dir_all("/run/sshd").expect("a folder for sshd");
        }
        let config = folder.join(format!("{name}.conf"));
        let lines = format!(
            "Port {}\nListenAddress {}\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nAuthorizedKeysFile none\nSubsystem sftp internal-sftp\n",
            address.port(),
            address.ip(),
            key.display()
        );
        fs::write(&config, lines).expect("the configuration of sshd");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(&config);
        let process = Process::start("sshd", command);
        wait::until_true("sshd", SOON, || TcpStream::connect(address).is_ok());
        let public = fs::read_to_string(folder.join(format!("{name}.pub"))).expect("its public key");
        let key = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Self { _process: process, address, key: key.trim().to_owned() }
    }

    /// An address for it.
    #[must_use]
    pub fn free_address() -> SocketAddr {
        ports::free()
    }

    /// The repository's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("sftp://{}//srv/restic", self.address)
    }
}
