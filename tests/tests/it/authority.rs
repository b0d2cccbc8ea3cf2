//! The authority that agents trust: replaced while hosts are away, by hand and with those who would be lost, and never what
//! a brought certificate is renewed with.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    agent::Agent,
    api::Api,
    process::{Finished, run, run_reading},
    scratch::Scratch,
    server::Server,
    tools,
    wait::{self, LONG, SOON},
};

fn holdfast(words: &[&str], input: &str) -> Finished {
    let mut command = Command::new(tools::program("holdfast-server"));
    command.args(words);
    run_reading("holdfast-server", command, input, LONG)
}

/// `tls rotate`, and how it ended.
fn rotate(server: &Server, more: &[&str]) -> (Option<i32>, String) {
    let data_dir = server.data_dir.display().to_string();
    let done = holdfast(&[&["tls", "rotate", "--data-dir", &data_dir], more].concat(), "");
    (done.status.code(), done.output)
}

fn authorities(api: &Api) -> Vec<Value> {
    api.get("/api/agent-access").expect(200)["authorities"].as_array().expect("authorities").clone()
}

/// Waits until so many hosts do not trust the newest authority.
fn wait_lacking(api: &Api, lacking: u64) {
    wait::until("hosts to say that they trust it", LONG, || {
        let newest = authorities(api).pop().unwrap_or_default();
        if newest["lacking"] == lacking { Ok(()) } else { Err(newest.to_string()) }
    });
}

fn trusted(agent: &Agent) -> String {
    fs::read_to_string(agent.state_dir.join("ca.pem")).expect("what it trusts")
}

#[test]
fn the_authority_is_replaced_while_a_third_of_the_hosts_is_away_and_all_are_back_by_themselves() {
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.folder("server"));
    let enroll = |name: &str| Agent::enroll(&server.api, &scratch.folder(name), name);
    let (mut attic, mut barn, mut away) = (enroll("attic"), enroll("barn"), enroll("away"));
    away.stop();
    let ca = |server: &Server, name: &str| fs::read_to_string(server.data_dir.join("tls").join(name));
    let old = ca(&server, "ca.pem").expect("an authority");

    let (code, said) = rotate(&server, &[]);
    assert!(code == Some(0) && said.contains("Agents are told of a new authority"), "{said}");
    wait_lacking(&server.api, 1);
    assert_eq!(authorities(&server.api)[1]["lacking_hosts"][0]["name"], "away");
    let both = old.clone() + &ca(&server, "next.pem").expect("a next one");
    assert_eq!((trusted(&attic), trusted(&barn)), (both.clone(), both));
    // Nobody is lost without having been named.
    let (code, said) = rotate(&server, &[]);
    assert!(
        code == Some(3) && said.contains("2 of 3 hosts") && said.trim_end().ends_with("    away"),
        "{said}"
    );
    let (code, said) = rotate(&server, &["--json"]);
    let told: Value = serde_json::from_str(said.trim()).expect("an object");
    assert_eq!(
        (code, &told["state"], &told["lacking_hosts"]),
        (Some(3), &json!("waiting"), &json!(["away"]))
    );
    // An archive of that time makes a server of both.
    let (archive, restored) = (scratch.path().join("both.age"), scratch.path().join("restored"));
    let [data, to, new] = [&server.data_dir, &archive, &restored].map(|path| path.display().to_string());
    let words = "five words in a row\n";
    let _ = holdfast(&["backup", "--data-dir", &data, "--to", &to], words).expect_success("an archive");
    let _ = holdfast(&["restore", &to, "--data-dir", &new], words).expect_success("a restore");
    let _ = holdfast(&["check", "--data-dir", &new], "").expect_success("a whole server");
    for name in ["ca.pem", "ca.key", "next.pem", "next.key"] {
        let kept = fs::read(restored.join("tls").join(name)).expect("in the archive");
        assert_eq!(kept, fs::read(server.data_dir.join("tls").join(name)).expect("there"), "{name}");
    }
    // One without the next authority would lock out who was enrolled with it.
    fs::remove_file(restored.join("tls/next.pem")).expect("removed");
    let refused = holdfast(&["check", "--data-dir", &new], "");
    assert_eq!(refused.status.code(), Some(1), "{}", refused.output);

    // A machine that is enrolled now trusts the next one from the start.
    let token = server.api.add_host("fresh").enroll_token;
    let host = server.api.get("/api/hosts").expect(200)["items"].clone();
    let id =
        host.as_array().expect("hosts").iter().find(|it| it["name"] == "fresh").expect("it")["id"].clone();
    let mut new = Agent::with_token(&scratch.folder("new"), id.as_str().expect("an id"), &token);
    new.start();
    server.api.wait_online(&new.host, true, LONG);
    // The server and the agents that know both begin anew.
    server.stop();
    server.start_again();
    for agent in [&mut attic, &mut barn] {
        agent.stop();
        agent.start();
        server.api.wait_online(&agent.host, true, LONG);
    }
    // A week later, so to speak.
    away.start();
    server.api.wait_online(&away.host, true, LONG);
    wait_lacking(&server.api, 0);
    let next = ca(&server, "next.pem").expect("a next one");
    let (code, said) = rotate(&server, &[]);
    assert!(code == Some(0) && said.contains("is the only one"), "{said}");
    assert_eq!(ca(&server, "ca.pem").expect("an authority"), next);
    assert!(ca(&server, "next.pem").is_err() && authorities(&server.api).len() == 1);
    server.stop();
    server.start_again();
    for agent in [&mut attic, &mut barn, &mut away, &mut new] {
        server.api.wait_online(&agent.host, true, LONG);
        wait::until("the old authority to be forgotten", LONG, || {
            if trusted(agent) == next { Ok(()) } else { Err(trusted(agent)) }
        });
        agent.stop();
        agent.start();
        server.api.wait_online(&agent.host, true, LONG);
    }
    let audit = server.api.get("/api/audit?action=authority.retired").expect(200);
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(1), "{audit}");
}

#[test]
fn an_authority_that_is_replaced_by_force_loses_whom_it_has_named() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    let attic = Agent::enroll(&server.api, &scratch.folder("attic"), "attic");
    let mut away = Agent::enroll(&server.api, &scratch.folder("away"), "away");
    away.stop();
    let _ = rotate(&server, &[]);
    wait_lacking(&server.api, 1);
    let page = server.api.post("/api/agent-access/rotate", Some(&json!({})));
    assert_eq!(page.code(), "would_lose");
    let (code, said) = rotate(&server, &["--force"]);
    assert!(code == Some(0) && said.trim_end().ends_with("to be enrolled again:\n    away"), "{said}");
    away.start();
    wait::until("the agent to say why", LONG, || {
        if away.log().contains("another authority than the one this agent trusts") {
            Ok(())
        } else {
            Err(away.log())
        }
    });
    server.api.wait_online(&attic.host, true, SOON);
    let audit = server.api.get("/api/audit?action=authority.retired").expect(200);
    assert!(audit["items"][0]["detail"].to_string().contains("did not trust it: 1"), "{audit}");
    // Without a server nobody can be told.
    let folder = scratch.folder("nothing").display().to_string();
    let refused = holdfast(&["tls", "rotate", "--data-dir", &folder], "");
    assert!(
        refused.status.code() == Some(1) && refused.output.contains("no server runs"),
        "{}",
        refused.output
    );
}

/// A public authority, so to speak, made by openssl: a root, and intermediates that it signs.
struct Public(PathBuf);

impl Public {
    fn new(folder: PathBuf) -> Self {
        let public = Self(folder);
        public.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem -days 30 -subj /CN=Root");
        let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
        fs::write(public.0.join("ca.ext"), extensions).expect("a file");
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
        fs::write(public.0.join("leaf.ext"), names).expect("a file");
        public
    }

    fn openssl(&self, words: &str) {
        let mut command = Command::new("openssl");
        command.current_dir(&self.0).args(words.split(' '));
        let _ = run("openssl", command, SOON).expect_success(words);
    }

    fn sign(&self, name: &str, by: &str, extensions: &str) {
        self.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.openssl(&format!("x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 30 -extfile {extensions} -out {name}.pem"));
    }

    /// `fullchain.pem` and `privkey.pem` as such authorities give them: without the root.
    fn issue(&self, leaf: &str, intermediate: &str) {
        self.sign(intermediate, "root", "ca.ext");
        self.sign(leaf, intermediate, "leaf.ext");
        let read = |name: &str| fs::read_to_string(self.0.join(name)).expect("made");
        let chain = read(&format!("{leaf}.pem")) + &read(&format!("{intermediate}.pem"));
        fs::write(self.0.join("privkey.pem"), read(&format!("{leaf}.key"))).expect("the key");
        fs::write(self.0.join("fullchain.pem"), chain).expect("the chain");
    }

    /// What a client that knows the root alone is shown.
    fn shown(&self, server: &Server) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &server.mqtt.to_string(), "-verify_return_error", "-CAfile"]);
        command.arg(self.0.join("root.pem"));
        run_reading("openssl s_client", command, "", SOON).output
    }
}

fn wait_shown(public: &Public, server: &Server, leaf: &str) {
    wait::until("the brought certificate to be shown", LONG, || {
        let shown = public.shown(server);
        let is_it = shown.contains("Verify return code: 0 (ok)") && shown.contains(leaf);
        if is_it { Ok(()) } else { Err(shown) }
    });
}

fn with_brought(server: &mut Server, folder: &Path) {
    server.environment = vec![
        ("HOLDFAST_TLS_CERTIFICATE".to_owned(), folder.join("fullchain.pem").into()),
        ("HOLDFAST_TLS_KEY".to_owned(), folder.join("privkey.pem").into()),
    ];
}

#[test]
fn a_brought_certificate_that_is_renewed_by_a_sibling_intermediate_is_noticed_by_nobody() {
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.folder("server"));
    let mut before = Agent::enroll(&server.api, &scratch.folder("before"), "before");
    let public = Public::new(scratch.folder("public"));
    public.issue("leaf-1", "intermediate-1");
    server.stop();
    with_brought(&mut server, &public.0);
    server.start_again();
    server.api.wait_online(&before.host, true, LONG);
    wait_shown(&public, &server, "leaf-1");
    let mut after = Agent::enroll(&server.api, &scratch.folder("after"), "after");
    // The same authority as without it, and nothing of the chain.
    let own = fs::read_to_string(server.data_dir.join("tls/ca.pem")).expect("the server's own");
    assert_eq!((trusted(&before), trusted(&after)), (own.clone(), own.clone()));

    after.stop();
    public.issue("leaf-2", "intermediate-2");
    wait_shown(&public, &server, "leaf-2");
    assert!(public.shown(&server).contains("intermediate-2"));
    let mut back = |server: &Server| {
        for agent in [&mut before, &mut after] {
            agent.stop();
            agent.start();
            server.api.wait_online(&agent.host, true, LONG);
        }
    };
    back(&server);
    server.stop();
    server.start_again();
    back(&server);
    assert_eq!((trusted(&before), trusted(&after)), (own.clone(), own));
    assert!(!before.log().contains("another authority"), "{}", before.log());
}
