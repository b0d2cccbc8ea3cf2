//! The rules and the dashboard for Prometheus: read and evaluated by Prometheus itself, over what a server and a standby tell.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tests::{
    api::Api,
    ports,
    process::{Process, run},
    scratch::Scratch,
    server::Server,
    tools::{self, Tool},
    wait::{self, LONG},
};

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/prometheus").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(packaged(name)).expect(name)
}

/// All expressions of the rules and of the dashboard.
fn expressions() -> Vec<String> {
    let rules = read("holdfast.rules.yml");
    let mut all: Vec<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ").map(str::to_owned)).collect();
    let dashboard: Value = serde_json::from_str(&read("holdfast.dashboard.json")).expect("JSON");
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push(target["expr"].as_str().expect("an expression").replace("$job", "holdfast"));
        }
    }
    assert!(all.len() > 40, "{all:?}");
    all
}

/// The names of Holdfast's metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("holdfast_")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_are_evaluated_by_prometheus_and_name_only_what_is_told() {
    if !tools::needs(&[Tool::Prometheus, Tool::Promtool]) {
        return;
    }
    for words in [["check", "rules", "holdfast.rules.yml"], ["test", "rules", "holdfast.rules.test.yml"]] {
        let mut command = Command::new(Tool::Promtool.path());
        command.current_dir(packaged("")).args(words);
        let said = run("promtool", command, LONG).expect_success("rules as they should be");
        assert!(said.contains("SUCCESS"), "{said}");
    }

    let scratch = Scratch::new();
    let server = Server::start(&scratch.folder("server"));
    drop(server.api.add_host("boat-pi"));
    let standby = ports::free();
    let mut follows = Command::new(tools::program("holdfast-server"));
    follows.args(["serve", "--follow", &server.base(), "--data-dir"]).arg(scratch.path().join("standby"));
    follows.arg(format!("--http={standby}"));
    let _standby = Process::start("a standby", follows);

    let token = scratch.path().join("token");
    fs::write(&token, server.token("prometheus", "metrics")).expect("a token");
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{}]\nscrape_configs:\n  - job_name: holdfast\n    \
         authorization: {{ credentials_file: {} }}\n    static_configs: [{{ targets: [\"{}\"] }}]\n  - job_name: \
         holdfast-standby\n    static_configs: [{{ targets: [\"{standby}\"] }}]\n",
        packaged("holdfast.rules.yml").canonicalize().expect("the rules").display(),
        token.display(),
        server.http,
    );
    let file = scratch.path().join("prometheus.yml");
    fs::write(&file, config).expect("its settings");
    let listens = ports::free();
    let mut command = Command::new(Tool::Prometheus.path());
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", scratch.path().join("tsdb").display()));
    command.arg(format!("--web.listen-address={listens}"));
    let _prometheus = Process::start("prometheus", command);
    let prometheus = Api::new(&format!("http://{listens}"), "");
    let ask = |expression: &str| {
        let mut query = url_encoded(expression);
        query.insert_str(0, "/api/v1/query?query=");
        prometheus.send("GET", &query, None).map(|answer| answer.body)
    };
    wait::until("both to be scraped", LONG, || {
        let told = ask("sum(up)")?;
        if told["data"]["result"][0]["value"][1] == "2" { Ok(()) } else { Err(told.to_string()) }
    });
    let rules = prometheus.get("/api/v1/rules").expect(200);
    let loaded = rules["data"]["groups"].as_array().expect("groups").iter();
    let loaded: usize = loaded.map(|group| group["rules"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(loaded, read("holdfast.rules.yml").matches("- alert: ").count(), "{rules}");

    let helps = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
        lines.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    };
    let of_standby = Api::new(&format!("http://{standby}"), "").get("/metrics").text;
    let told: BTreeSet<String> =
        helps(&server.api.get("/metrics").text).union(&helps(&of_standby)).cloned().collect();
    for expression in expressions() {
        let unknown: Vec<String> = names(&expression).difference(&told).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {expression}");
        let answer = ask(&expression).expect("an answer");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
    }
    // Through the labels of the rules as well: the host is named.
    wait::until("the host to be seen", LONG, || {
        let told = ask("holdfast_host_protected == 0")?;
        let host = &told["data"]["result"][0]["metric"]["host"];
        if host == "boat-pi" { Ok(()) } else { Err(told.to_string()) }
    });
}

fn url_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
