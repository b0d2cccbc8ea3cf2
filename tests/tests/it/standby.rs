//! Standbys: a program that follows a server takes its place when it is gone, and the old one that comes back stands still.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tests::{
    api::Api,
    ports,
    process::{Finished, Process, run},
    scene::{GROUP, HOST, Scene},
    scratch::Scratch,
    server::Server,
    tools,
    wait::{self, LONG, SOON},
};

fn holdfast(words: &[&str]) -> Finished {
    let mut command = Command::new(tools::program("holdfast-server"));
    command.args(words);
    run("holdfast-server", command, LONG)
}

/// A standby over a folder of its own.
struct Standby {
    data_dir: PathBuf,
    http: SocketAddr,
    follows: String,
    options: Vec<String>,
    recipient: String,
    process: Option<Process>,
}

impl Standby {
    fn of(data_dir: &Path, follows: &str) -> Self {
        let said = holdfast(&["standby", "recipient", "--data-dir", &data_dir.display().to_string()]);
        let recipient = said.expect_success("a recipient").trim().to_owned();
        assert!(recipient.starts_with("age1"), "{recipient}");
        Self {
            data_dir: data_dir.to_owned(),
            http: ports::free(),
            follows: follows.to_owned(),
            options: Vec::new(),
            recipient,
            process: None,
        }
    }

    /// Has an admin of the server add it, on the command line.
    fn add_to(&self, server: &Server, name: &str) {
        let data = server.data_dir.display().to_string();
        let words = ["standby", "add", name, "--recipient", &self.recipient, "--data-dir", &data];
        let said = holdfast(&words).expect_success("a token");
        // Beside it stands what to do with it.
        assert!(said.contains("holdfast-server serve --follow"), "{said}");
        let token = said.lines().find(|line| line.starts_with("hfs_")).expect("a token");
        self.put_token(token);
    }

    fn put_token(&self, token: &str) {
        fs::write(self.data_dir.join("standby/token"), token).expect("a token");
    }

    fn start(&mut self) {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.args(["serve", "--follow", &self.follows, "--follow-every", "1s"]);
        command.arg("--data-dir").arg(&self.data_dir).arg(format!("--http={}", self.http));
        command.args(&self.options);
        self.process = Some(Process::start("a standby", command));
    }

    fn kill_9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill_9();
        }
    }

    fn ready(&self) -> Result<(u16, Value), String> {
        let api = Api::new(&format!("http://{}", self.http), "");
        api.send("GET", "/readyz", None).map(|answer| (answer.status, answer.body))
    }

    /// Waits until it says so of itself.
    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(u16, &Value) -> bool) -> Value {
        wait::until(what, LONG, || match self.ready()? {
            (status, body) if is_so(status, &body) => Ok(body),
            (status, body) => Err(format!("{status}: {body}")),
        })
    }

    #[track_caller]
    fn wait_trouble(&self, code: &str) -> Value {
        self.wait(code, |_, body| body["trouble"]["code"] == code)
    }

    /// Waits until it has all that the server has.
    #[track_caller]
    fn wait_current(&self, server: &Api) -> Value {
        wait::until("it to have all that there is", LONG, || {
            let (status, body) = self.ready()?;
            let listed = server.send("GET", "/api/standbys", None)?.body;
            match status == 200 && body["trouble"].is_null() && listed["items"][0]["current"] == true {
                true => Ok(body),
                false => Err(format!("{body} {listed}")),
            }
        })
    }

    fn archives(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.data_dir.join("standby/archives")).into_iter().flatten().flatten();
        let mut all: Vec<_> = entries.map(|entry| entry.path()).collect();
        all.retain(|path| path.extension().is_some_and(|ending| ending == "age"));
        all.sort();
        all
    }

    fn promote(&self, words: &[&str]) -> Finished {
        let data = self.data_dir.display().to_string();
        holdfast(&[&["promote", "--data-dir", &data], words].concat())
    }
}

#[test]
fn a_standby_takes_the_place_of_a_server_that_is_gone_and_the_old_one_that_returns_stands_still() {
    let Some(mut scene) = Scene::start() else { return };
    let host = scene.host().to_owned();
    let second = ports::free();
    // Agents know where the standby would be before it is needed.
    scene.server.stop();
    scene.server.public.push(second.to_string());
    scene.server.start_again();
    scene.api().wait_online(&host, true, LONG);
    wait::until("the agent to know the second address", LONG, || {
        let plan = fs::read(scene.agent.state_dir.join("plan")).unwrap_or_default();
        let text = second.to_string();
        let is_there = plan.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        if is_there { Ok(()) } else { Err("the old plan".to_owned()) }
    });
    let token = scene.server.token("of-the-test", "read,run,restore,write,admin,metrics");
    let mut standby = Standby::of(&scene.scratch.path().join("standby"), &scene.server.base());
    standby.options = vec![format!("--mqtt-public={second}")];
    standby.add_to(&scene.server, "attic");
    standby.start();
    let first = scene.back_up();
    let told = standby.wait_current(scene.api());
    assert_eq!((&told["address_known"], &told["newest"]["hosts"]), (&json!(true), &json!(1)), "{told}");
    let listed = scene.api().get("/api/standbys").expect(200);
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["late"]),
        (&json!("attic"), &json!(false)),
        "{listed}"
    );
    assert!(listed["items"][0]["fetched_at"].is_string(), "{listed}");
    let page = Api::new(&format!("http://{}", standby.http), "");
    assert!(page.get("/").text.contains("Standby: ready") && page.get("/healthz").status == 200);
    assert!(page.get("/metrics").text.contains("holdfast_standby_ready 1"), "{}", page.get("/metrics").text);
    assert_eq!(page.get("/api/hosts").status, 404);
    // As long as the server is there, nobody takes its place.
    let refused = standby.promote(&["--json"]);
    assert_eq!(refused.status.code(), Some(3), "{}", refused.output);
    assert!(refused.output.contains("\"answers\"") && standby.ready().is_ok(), "{}", refused.output);

    // A backup is under way when the server goes, with its disk.
    scene.add_sources("more");
    let (job, _) = scene.backup_in_the_middle();
    let _ = standby.wait_current(scene.api());
    scene.server.kill_9();
    let burned = scene.scratch.path().join("burned");
    fs::rename(&scene.server.data_dir, &burned).expect("the disk goes");
    scene.let_it_finish();
    let _ = standby.wait_trouble("unreachable");
    let said = standby.promote(&[]).expect_success("a promotion");
    assert!(said.contains("incarnation 1") && said.contains("holdfast-server serve --config"), "{said}");
    assert!(!said.contains("WARNING"), "{said}");
    assert!(standby.ready().is_err(), "it has handed over");
    let again = standby.promote(&[]).expect_success("once more");
    assert!(again.contains("was promoted before"), "{again}");
    standby.start();
    let follows = standby.process.as_mut().expect("a standby").end(SOON);
    assert!(!follows.success(), "what was promoted follows nobody");

    let (former_http, former_mqtt) = (scene.server.http, scene.server.mqtt);
    let former_base = scene.server.base();
    let former = Api::new(&former_base, &token);
    scene.server.data_dir.clone_from(&standby.data_dir);
    (scene.server.http, scene.server.mqtt) = (standby.http, second);
    scene.server.start_again();
    scene.server.api = Api::new(&scene.server.base(), &token);
    // By its second address, by itself; what it held comes in.
    scene.api().wait_online(&host, true, LONG);
    let ended = scene.api().wait_job(&job, &["succeeded"], LONG);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(scene.api().job(first["id"].as_str().expect("an id"))["state"], "succeeded");
    assert_eq!(
        scene.api().get("/api/standbys").expect(200)["items"],
        json!([]),
        "it follows nobody any more"
    );
    assert_eq!(scene.back_up()["state"], "succeeded");
    let of_former = |state: &str, words: &str| {
        wait::until(words, LONG, || {
            let page = scene.api().get("/restoration");
            let said = scene.api().get("/api/restoration").expect(200);
            let is_said = page.status == 200 && page.text.contains(words) && said["former"]["state"] == state;
            if is_said { Ok(said) } else { Err(format!("{said}\n{}", page.text)) }
        })
    };
    let said = of_former("untold", "The former server has not been told");
    assert_eq!((&said["restored"]["hosts"], &said["restored"]["away"]), (&json!(1), &json!([])), "{said}");
    assert!(said["former"]["why"].is_string() && said["former"]["told_at"].is_null(), "{said}");

    // The old one comes back, and is told.
    let start_former = || {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.arg("serve").arg("--data-dir").arg(&burned).args([
            format!("--http={former_http}"),
            format!("--mqtt={former_mqtt}"),
            "--mqtt-plain=off".to_owned(),
            format!("--mqtt-public={former_mqtt},{second}"),
        ]);
        Process::start("the former server", command)
    };
    let stands_still = || {
        wait::until("the former server to stand still", LONG, || {
            match former.send("GET", "/readyz", None)? {
                answer if answer.status == 503 && answer.text.contains("stands still") => Ok(()),
                answer => Err(answer.text),
            }
        });
    };
    let mut old = start_former();
    stands_still();
    let refused = former.post("/api/hosts", Some(&json!({ "name": "late" })));
    assert_eq!((refused.status, refused.code()), (409, "superseded"), "{}", refused.text);
    assert!(refused.text.contains(&standby.http.to_string()), "{}", refused.text);
    assert_eq!(former.get(&format!("/api/hosts/{host}")).expect(200)["online"], false);
    assert!(former.get("/metrics").text.contains("holdfast_superseded 1"));
    // It claims of no host what it can't know, and offers nothing that it would refuse.
    let row = former.get(&format!("/api/hosts/{host}")).expect(200);
    assert_eq!(
        (&row["protected"], &row["is_current"], &row["next_run_at"]),
        (&json!(false), &json!(false), &Value::Null),
        "{row}"
    );
    let report = former.get("/api/report").expect(200);
    assert_eq!((&report["protected"], &report["is_current"]), (&json!(0), &json!(false)), "{report}");
    assert_eq!(scene.api().get("/api/report").expect(200)["is_current"], true);
    assert!(former.get("/metrics").text.contains(&format!("holdfast_host_protected{{host=\"{HOST}\"}} 0")));
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--head", &format!("{former_base}/login")]);
    let head = run("curl", curl, SOON).expect_success("the head of an answer");
    assert!(head.contains("holdfast-only-reads: superseded"), "{head}");
    assert!(former.get("/incidents").text.contains("open when this server heard of its hosts last"));
    assert!(former.get("/pending").text.contains("No backup waited"));
    let page = former.get("/").text;
    for words in [
        "Another server has the place of this one, which stands still",
        &format!("<a href=\"http://{}\">", standby.http),
        "1 host, as this server knew them last",
        "Whether they are protected now",
        "Last known: ",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    for words in ["Add host", "Acknowledge", "1 host protected", "id=\"attention\"><li"] {
        assert!(!page.contains(words), "{words} in {page}");
    }
    let settings = former.get(&format!("/hosts/{host}/settings")).text;
    assert!(settings.contains("Nothing can be changed on this server now"), "{settings}");
    let of_host = ["", "/repo", "/snapshots", "/settings", "/jobs"].map(|tab| format!("/hosts/{host}{tab}"));
    let others = ["/settings", "/archives", "/notices", "/integrations", "/kit", "/agent-access", "/pending"];
    for path in of_host.into_iter().chain(others.map(str::to_owned)) {
        let page = former.get(&path);
        assert_eq!(page.status, 200, "{path}");
        let main = page.text.split_once("<main").expect("what the page is of").1;
        let buttons = main.split("<button").skip(1).filter_map(|rest| rest.split_once("</button>"));
        for (button, _) in buttons.filter(|(button, _)| button.contains("type=\"submit\"")) {
            // What is here can be read, and archives taken away.
            assert!(button.contains(" disabled") || button.ends_with(">Download"), "{path}: {button}");
        }
    }
    // Files of snapshots come from a host by a job.
    let (snapshot, path) =
        (first["summary"]["snapshot"].as_str().expect("a snapshot"), scene.sources.display());
    let file = format!("/api/hosts/{host}/snapshots/{snapshot}/download?path={path}&format=zip");
    let refused = former.get(&file);
    assert_eq!((refused.status, refused.code()), (409, "superseded"), "{}", refused.text);
    assert!(refused.text.contains(&standby.http.to_string()), "{}", refused.text);
    let said = of_former("stands_still", "The former server stands still");
    assert!(said["former"]["told_at"].is_string() && said["superseded"] == json!([]), "{said}");
    let banner = || scene.api().get("/").text.contains("The former server stands still");
    assert!(banner());
    let _ = scene.api().post("/api/restoration/dismiss", None).expect(204);
    assert_eq!(scene.api().get("/api/restoration").expect(200)["restored"]["dismissed"], true);
    assert!(!banner(), "dismissed");
    // Also to who is not signed in, and to who looks at its folder, whether it runs or not.
    assert!(
        Api::new(&former_base, "").get("/login").text.contains("Another server has the place of this one")
    );
    let burned_word = burned.display().to_string();
    let check = ["check", "--data-dir", &burned_word];
    let said = holdfast(&check).expect_success("a whole server");
    assert!(said.contains("place: another server has it, incarnation 1"), "{said}");
    let told = former.get("/api/audit?action=server.superseded").expect(200);
    assert_eq!(told["items"].as_array().map(Vec::len), Some(1), "{told}");
    // And stays so, also when it is started while the other one is away.
    assert!(old.terminate().success());
    scene.server.stop();
    let mut old = start_former();
    stands_still();
    assert_eq!(former.post(&format!("/api/hosts/{host}/repo/stats"), None).code(), "superseded");
    // What is not made shows no passphrase either, whether it runs or not.
    let makes_no_kit = || {
        let out = scene.scratch.path().join("still.age");
        let words = ["kit", "--out", &out.display().to_string(), "--generate", "--data-dir", check[2]];
        let said = holdfast(&words);
        assert_eq!(said.status.code(), Some(1), "{}", said.output);
        assert!(
            said.output.contains("another server") && !said.output.contains("passphrase"),
            "{}",
            said.output
        );
        assert!(!out.exists());
    };
    makes_no_kit();
    assert!(old.terminate().success());
    makes_no_kit();
    // Whoever makes it anew is told whose agents it takes.
    let (still, anew) = (scene.scratch.path().join("still-archive.age"), scene.scratch.path().join("anew"));
    let (still, anew) = (still.display().to_string(), anew.display().to_string());
    let said = holdfast(&["backup", "--data-dir", &burned_word, "--to", &still, "--generate"]);
    let said = said.expect_success("an archive of it");
    let drawn = said.lines().find_map(|line| line.strip_prefix("passphrase: ")).expect("a passphrase");
    let words = scene.scratch.path().join("still-words");
    fs::write(&words, drawn).expect("the passphrase");
    let words = words.display().to_string();
    let said = holdfast(&["restore", &still, "--data-dir", &anew, "--passphrase-file", &words]);
    assert!(said.expect_success("a restore").contains("WARNING: this server stood still"));
    let said = holdfast(&["salvage", "--data-dir", &burned_word, "--to", &(anew + "-salvaged")]);
    assert!(said.expect_success("a salvage").contains("WARNING: this server stood still"));
    let said = holdfast(&check).expect_success("a whole server");
    assert!(said.contains("place: another server has it, incarnation 1"), "{said}");
    scene.server.start_again();
    scene.api().wait_online(&host, true, LONG);

    // Its machine becomes the standby of the new one: an emptied folder, and another identity.
    let mut next = Standby::of(&scene.scratch.path().join("next"), &scene.server.base());
    next.add_to(&scene.server, "former");
    next.start();
    let told = next.wait("it to follow", |status, _| status == 200);
    assert!(told["newest"]["incarnation"].as_u64() > Some(1_000_000_000), "{told}");
    next.kill_9();
    assert!(scene.api().jobs(&host).iter().all(|job| job["group"].is_null() || job["group"] == GROUP));
}

#[test]
fn a_standby_follows_its_server_over_to_another_authority_and_names_what_is_where_it_was() {
    let scratch = Scratch::new();
    let (data_dir, http) = (scratch.path().join("server"), ports::free());
    let mut command = Command::new(tools::program("holdfast-server"));
    command
        .arg("serve")
        .arg("--data-dir")
        .arg(&data_dir)
        .args([format!("--http={http}"), "--http-tls".to_owned()]);
    command.args(["--mqtt", "--mqtt-plain"].map(|flag| format!("{flag}={}", ports::free())));
    let mut server = Process::start("holdfast-server", command);
    server.line("its set-up link", SOON, |line| line.split_once("setup: ").map(drop));
    let data = data_dir.display().to_string();
    let given = scratch.path().join("given.pem");
    let _ = fs::copy(data_dir.join("tls/ca.pem"), &given).expect("its authority");

    let mut standby = Standby::of(&scratch.path().join("standby"), &format!("https://{http}"));
    let words = ["standby", "add", "attic", "--recipient", &standby.recipient, "--data-dir", &data, "--json"];
    let said: Value = serde_json::from_str(&holdfast(&words).expect_success("a token")).expect("JSON");
    standby.put_token(said["token"].as_str().expect("a token"));
    // Without that file it knows nobody, and says what to do.
    standby.start();
    let told = standby.wait_trouble("not_trusted");
    let text = told["trouble"]["message"].as_str().expect("words");
    assert!(text.contains("name the authority of its certificate with --follow-authority"), "{text}");
    standby.kill_9();
    standby.options = vec![format!("--follow-authority={}", given.display())];
    standby.start();
    let _ = standby.wait("it to follow", |status, _| status == 200);

    let next = || fs::read_to_string(data_dir.join("tls/next.pem"));
    let rotate = ["tls", "rotate", "--data-dir", &data];
    let _ = holdfast(&rotate).expect_success("the first step");
    let certificate = next().expect("a next authority");
    let line = certificate.lines().nth(2).expect("a line of it").to_owned();
    wait::until("the standby to know the next authority", LONG, || {
        let kept = fs::read_to_string(standby.data_dir.join("standby/following.json")).unwrap_or_default();
        if kept.contains(&line) { Ok(()) } else { Err(kept) }
    });
    let _ = holdfast(&rotate).expect_success("the second step");
    assert!(next().is_err());
    // Whatever comes from now on is of the new one alone: also after a start, with the file of the old one.
    for name in ["barn", "cave"] {
        let recipient = Standby::of(&scratch.path().join(name), "http://127.0.0.1:1").recipient;
        let before = standby.wait("it to follow", |status, _| status == 200)["newest"]["as_of"].clone();
        let add = ["standby", "add", name, "--recipient", &recipient, "--data-dir", &data];
        let _ = holdfast(&add).expect_success("a change");
        let _ = standby.wait("what is new", |status, body| {
            status == 200 && body["trouble"].is_null() && body["newest"]["as_of"] != before
        });
        standby.kill_9();
        standby.start();
    }

    // A server that hangs is not one that is gone, and is told by its name.
    server.signal(Signal::STOP);
    let said = standby.promote(&["--json"]);
    assert!(said.status.code() == Some(3) && said.output.contains(r#""state":"hangs""#), "{}", said.output);
    server.signal(Signal::CONT);
    let said = standby.promote(&[]);
    assert!(
        said.status.code() == Some(3) && said.output.contains("still answers. Stop it first"),
        "{}",
        said.output
    );
    assert!(server.terminate().success());
    let listener = TcpListener::bind(http).expect("its port");
    thread::spawn(move || {
        for mut other in listener.incoming().flatten() {
            let _ = other.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let said = standby.promote(&["--json"]);
    assert!(
        said.status.code() == Some(3) && said.output.contains(r#""state":"other_answers""#),
        "{}",
        said.output
    );
    let said = standby.promote(&["--force"]).expect_success("a promotion");
    assert!(said.contains("incarnation 1"), "{said}");
}

/// Between a standby and its server: alters or ends what comes down.
struct Meddler {
    address: SocketAddr,
    /// 0: nothing; else the byte that is altered.
    flips: Arc<AtomicUsize>,
    /// 0: nothing; else so many bytes pass.
    cuts: Arc<AtomicUsize>,
}

impl Meddler {
    fn before(upstream: SocketAddr) -> Self {
        let address = ports::free();
        let listener = TcpListener::bind(address).expect("a free port");
        let (flips, cuts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (flip, cut) = (flips.clone(), cuts.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(upstream) else { continue };
                let (mut up_from, mut up_to) =
                    (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                thread::spawn(move || {
                    let _ = std::io::copy(&mut up_from, &mut up_to);
                    let _ = up_to.shutdown(Shutdown::Both);
                });
                let (flip, cut) = (flip.load(Ordering::SeqCst), cut.load(Ordering::SeqCst));
                thread::spawn(move || pass_down(server, client, flip, cut));
            }
        });
        Self { address, flips, cuts }
    }
}

fn pass_down(mut server: TcpStream, mut client: TcpStream, flip: usize, cut: usize) {
    let (mut passed, mut piece) = (0, vec![0; 16 << 10]);
    while let Ok(count) = server.read(&mut piece) {
        let mut part = piece[..count].to_vec();
        if flip > passed && flip <= passed + count {
            part[flip - passed - 1] ^= 1;
        }
        if cut > 0 {
            part.truncate(cut.saturating_sub(passed));
        }
        passed += count;
        if count == 0 || client.write_all(&part).is_err() || cut > 0 && passed >= cut {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn what_is_wrong_is_told_by_its_name_and_leaves_what_there_is() {
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.folder("server"));
    let meddler = Meddler::before(server.http);
    let mut standby = Standby::of(&scratch.path().join("standby"), &format!("http://{}", meddler.address));
    standby.start();
    let told = standby.wait_trouble("no_token");
    assert!(
        told["trouble"]["message"].as_str().is_some_and(|text| text.contains(&standby.recipient)),
        "{told}"
    );
    standby.put_token("hfs_wrong");
    let _ = standby.wait_trouble("wrong_token");
    // An admin's token is no standby's, and a standby's is nothing else.
    let admin = server.token("admin", "read,admin");
    standby.put_token(&admin);
    let _ = standby.wait_trouble("wrong_token");
    let added = json!({ "name": "attic", "recipient": standby.recipient });
    let token =
        server.api.post("/api/standbys", Some(&added)).expect(201)["token"].as_str().expect("it").to_owned();
    let as_admin = Api::new(&server.base(), &admin);
    assert_eq!(as_admin.get("/api/standby/archive").code(), "no_standby");
    let as_standby = Api::new(&server.base(), &token);
    for path in ["/api/hosts", "/api/archives", "/metrics", "/api/me"] {
        assert_eq!(as_standby.get(path).status, 401, "{path}");
    }
    // Whoever has stolen the token gets what only the identity opens.
    standby.put_token(&token);
    let _ = standby.wait("it to follow", |status, _| status == 200);
    let whole = standby.archives();
    assert_eq!(whole.len(), 1);
    let kept = |standby: &Standby| {
        let all = standby.archives();
        assert!(whole.iter().all(|path| all.contains(path)) || all.len() == 3, "{all:?}");
        all
    };

    // What comes is altered, or ends in the middle.
    let change = |server: &Server, name: &str| drop(server.api.add_host(name));
    for (at, codes) in [(3_000, ["damaged"]), (9_000, ["damaged"])] {
        meddler.flips.store(at, Ordering::SeqCst);
        change(&server, &format!("flip-{at}"));
        let _ = standby
            .wait("what is altered", |_, body| codes.iter().any(|code| body["trouble"]["code"] == *code));
        let _ = kept(&standby);
    }
    meddler.flips.store(0, Ordering::SeqCst);
    let _ = standby.wait_current(&server.api);
    meddler.cuts.store(5_000, Ordering::SeqCst);
    change(&server, "cut");
    let _ = standby.wait_trouble("cut");
    let _ = kept(&standby);
    meddler.cuts.store(0, Ordering::SeqCst);
    let _ = standby.wait_current(&server.api);

    // It is removed there: what it has, it keeps.
    let _ = server.api.delete("/api/standbys/attic").expect(204);
    let _ = standby.wait_trouble("wrong_token");
    assert!(!kept(&standby).is_empty());
    // It was added with somebody else's recipient.
    let other = Standby::of(&scratch.path().join("other"), &server.base());
    let data = server.data_dir.display().to_string();
    let words = ["standby", "add", "barn", "--recipient", &other.recipient, "--data-dir", &data, "--json"];
    let said: Value = serde_json::from_str(&holdfast(&words).expect_success("a token")).expect("JSON");
    let before = standby.archives();
    standby.put_token(said["token"].as_str().expect("a token"));
    let _ = standby.wait_trouble("wrong_recipient");
    assert_eq!(standby.archives(), before);
    let listed = holdfast(&["standby", "list", "--data-dir", &data]).expect_success("a list");
    assert!(listed.starts_with("barn  asked 20"), "{listed}");
    let gone =
        holdfast(&["standby", "remove", "barn", "--json", "--data-dir", &data]).expect_success("it goes");
    assert_eq!(gone.trim(), r#"{"removed":"barn"}"#);
    let listed = holdfast(&["standby", "list", "--data-dir", &data]).expect_success("a list");
    assert_eq!(listed.trim(), "This server has no standby.");
    let unknown = holdfast(&["standby", "remove", "barn", "--data-dir", &data]);
    assert!(
        unknown.status.code() == Some(1) && unknown.output.contains("no such standby"),
        "{}",
        unknown.output
    );

    // No server begins in its folder, and it follows in no server's.
    let folder = standby.data_dir.display().to_string();
    let serve = holdfast(&[
        "serve",
        "--data-dir",
        &folder,
        "--http=127.0.0.1:0",
        "--mqtt=127.0.0.1:0",
        "--mqtt-plain=off",
    ]);
    assert!(
        serve.status.code() == Some(1) && serve.output.contains("folder of a standby"),
        "{}",
        serve.output
    );
    assert!(!standby.data_dir.join("holdfast.redb").exists());
    // Nothing is drawn for what can't be made.
    let nowhere = scratch.path().join("nowhere").display().to_string();
    let to = scratch.path().join("to").display().to_string();
    for folder in [&folder, &nowhere] {
        for words in [["kit", "--out"], ["backup", "--to"]] {
            let said = holdfast(&[&words[..], &[&to, "--generate", "--data-dir", folder]].concat());
            assert!(
                said.status.code() == Some(1) && !said.output.contains("passphrase:"),
                "{words:?} {}",
                said.output
            );
        }
        let said = holdfast(&["check", "--data-dir", folder]);
        assert_ne!(said.status.code(), Some(0), "{}", said.output);
    }
    assert!(!Path::new(&nowhere).exists());
    server.stop();
    let follow =
        holdfast(&["serve", "--follow", "http://127.0.0.1:1", "--data-dir", &data, "--http=127.0.0.1:0"]);
    assert!(follow.status.code() == Some(1) && follow.output.contains("holds a server"), "{}", follow.output);
    let plain = holdfast(&[
        "serve",
        "--follow",
        "http://192.0.2.1",
        "--data-dir",
        &other.data_dir.display().to_string(),
        "--http=127.0.0.1:0",
    ]);
    assert!(plain.status.code() == Some(1) && plain.output.contains("--follow-plain"), "{}", plain.output);
    let none = holdfast(&["promote", "--data-dir", &data]);
    assert!(
        none.status.code() == Some(1) && none.output.contains("no folder of a standby"),
        "{}",
        none.output
    );
    // The newest is damaged on the disk: the one before it is taken.
    let all = standby.archives();
    assert!(all.len() > 1, "{all:?}");
    let newest = all.last().expect("an archive");
    let mut bytes = fs::read(newest).expect("an archive");
    bytes.truncate(bytes.len() - 7);
    fs::write(newest, bytes).expect("a damaged one");
    // What takes each connection and ends it may be a relay before a server that runs.
    let said = standby.promote(&["--json", "--force"]).expect_success("a promotion");
    let told: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!(told["state"], "done", "{said}");
    assert_eq!(
        told["archive"].as_str(),
        all[all.len() - 2].file_name().and_then(|name| name.to_str()),
        "{said}"
    );
    assert!(told["address_known"].is_null(), "{said}");
    // What is worth nothing any more is gone, and what was before stays as a way back.
    assert!(!standby.data_dir.join("standby/token").exists());
    assert!(standby.data_dir.join("standby/identity.txt").exists() && !standby.archives().is_empty());
    let check = [
        "--identity-file",
        &standby.data_dir.join("standby/identity.txt").display().to_string(),
        "--check",
        "--json",
    ];
    let kept = standby.archives()[0].display().to_string();
    let said = holdfast(&[&["restore", &kept], &check[..]].concat()).expect_success("an archive");
    let of: Value = serde_json::from_str(&said).expect("JSON");
    assert!(of["rows"].as_u64() > Some(0) && of["addresses"].is_array(), "{said}");
}

#[test]
fn a_kill_in_any_phase_of_following_or_promoting_loses_no_archive_and_serves_no_half() {
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.folder("server"));
    for n in 0..40 {
        let host = server.api.add_host(&format!("host-{n}")).id;
        let includes: Vec<String> = (0..60).map(|path| format!("/srv/a-longer-path-{path}")).collect();
        let includes: Vec<&str> = includes.iter().map(String::as_str).collect();
        server.api.add_group(&host, "files", &includes);
    }
    let mut standby = Standby::of(&scratch.path().join("standby"), &server.base());
    standby.add_to(&server, "attic");
    let identity = standby.data_dir.join("standby/identity.txt").display().to_string();
    let mut numbers = u64::from(std::process::id()) | 1;
    let mut random = |below: u64| {
        numbers ^= numbers << 13;
        numbers ^= numbers >> 7;
        numbers ^= numbers << 17;
        numbers % below
    };
    let mut known = 0;
    for round in 0..10 {
        drop(server.api.add_host(&format!("more-{round}")));
        standby.start();
        thread::sleep(Duration::from_millis(random(900)));
        standby.kill_9();
        let all = standby.archives();
        for path in &all {
            let path = path.display().to_string();
            let _ =
                holdfast(&["restore", &path, "--check", "--identity-file", &identity]).expect_success(&path);
        }
        assert!(all.len() >= known, "an archive is lost");
        known = all.len();
    }
    standby.start();
    let _ = standby.wait_current(&server.api);
    server.kill_9();
    let kept = standby.archives();
    let folder = standby.data_dir.display().to_string();
    let mut torn = 0;
    for round in 0..14 {
        let mut command = Command::new(tools::program("holdfast-server"));
        command.args(["promote", "--data-dir", &folder]);
        let mut process = Process::start("promote", command);
        let mark = standby.data_dir.join("restore-begun");
        // The first rounds come while it asks, looks and takes over; the others from the first write on.
        while round >= 4 && !mark.exists() && process.ended().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(random(120)));
        process.kill_9();
        let check = holdfast(&["check", "--data-dir", &folder]);
        torn += usize::from(check.output.contains("did not end"));
        // Killed before it took over, it leaves the standby running.
        let told = ["did not end", "folder of a standby", "this is a standby"];
        let is_told = told.iter().any(|words| check.output.contains(words));
        assert!(check.status.success() || is_told, "{}", check.output);
        assert_eq!(standby.archives(), kept, "archives are only read");
        let said = standby.promote(&[]).expect_success("promoted after a kill");
        assert!(said.contains("holdfast-server serve"), "{said}");
        let whole = holdfast(&["check", "--data-dir", &folder]).expect_success("a whole server");
        assert!(whole.contains("authority: ok"), "{whole}");
        // The next round begins with a standby again.
        for name in ["holdfast.redb", "master.key", "settings.toml"] {
            fs::remove_file(standby.data_dir.join(name)).expect("a piece");
        }
        fs::remove_dir_all(standby.data_dir.join("tls")).expect("the authority");
        if round < 4 {
            standby.start();
        }
    }
    assert!(torn > 0, "no kill came in the middle");
}
