//! The HTTP interface, as a program uses it: a bearer token, JSON, and design/api.md's addresses.

use crate::wait::{self, LONG};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use ureq::{Agent, http::Response};

/// A client with a token.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    token: String,
    http: Agent,
    heard: Arc<Mutex<Vec<String>>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// The body; null when it is empty or not JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Panics
    /// When it has another.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The code of an error.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

/// A host that was made.
#[derive(Clone, Debug)]
pub struct NewHost {
    /// Its id.
    pub id: String,
    /// The token that makes a machine this host.
    pub enroll_token: String,
}

/// Where a host keeps its repository.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// restic's repository location.
    pub url: String,
    /// Of rest-server; `None` = not sent.
    pub login: Option<(String, String)>,
    /// Opens the repository.
    pub repo_password: String,
    /// More environment for restic.
    pub env: Vec<(String, String)>,
}

/// HTTP that takes every status as an answer, and gives up in the end.
#[must_use]
pub fn http() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

impl Api {
    /// For the server at `base` (`http://…`, without a slash at the end).
    #[must_use]
    pub fn new(base: &str, token: &str) -> Self {
        Self { base: base.to_owned(), token: token.to_owned(), http: http(), heard: Arc::default() }
    }

    /// Every body that came so far.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, what: &str, sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
        let mut response = sent.map_err(|error| format!("{what}: {error}"))?;
        let status = response.status().as_u16();
        let bytes = response.body_mut().read_to_vec().map_err(|error| format!("{what}: {error}"))?;
        // An archive is none.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, body, text })
    }

    /// Sends a request; the error says why there is no answer (the server may be away).
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let url = format!("{}{path}", self.base);
        let bearer = format!("Bearer {}", self.token);
        let what = format!("{method} {path}");
        let sent = match (method, body) {
            ("GET", _) => self.http.get(&url).header("Authorization", &bearer).call(),
            ("DELETE", _) => self.http.delete(&url).header("Authorization", &bearer).call(),
            ("PUT", body) => {
                let body = body.unwrap_or(&Value::Null);
                self.http.put(&url).header("Authorization", &bearer).send_json(body)
            }
            ("PATCH", body) => {
                let body = body.unwrap_or(&Value::Null);
                self.http.patch(&url).header("Authorization", &bearer).send_json(body)
            }
            ("POST", Some(body)) => self.http.post(&url).header("Authorization", &bearer).send_json(body),
            ("POST", None) => self.http.post(&url).header("Authorization", &bearer).send_empty(),
            _ => panic!("no such method here: {method}"),
        };
        self.answer(&what, sent)
    }

    #[track_caller]
    fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.send(method, path, body).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `GET`.
    ///
    /// # Panics
    /// When there is no answer, as with all of these.
    #[track_caller]
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.must("GET", path, None)
    }

    /// `POST`.
    #[track_caller]
    #[must_use]
    pub fn post(&self, path: &str, body: Option<&Value>) -> Answer {
        self.must("POST", path, body)
    }

    /// `PUT`.
    #[track_caller]
    #[must_use]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.must("PUT", path, Some(body))
    }

    /// `DELETE`.
    #[track_caller]
    #[must_use]
    pub fn delete(&self, path: &str) -> Answer {
        self.must("DELETE", path, None)
    }

    /// Makes a host.
    #[track_caller]
    #[must_use]
    pub fn add_host(&self, name: &str) -> NewHost {
        let host = self.post("/api/hosts", Some(&json!({ "name": name }))).expect(201);
        NewHost { id: text(&host["id"]), enroll_token: text(&host["enroll_token"]) }
    }

    /// A host.
    #[track_caller]
    #[must_use]
    pub fn host(&self, id: &str) -> Value {
        self.get(&format!("/api/hosts/{id}")).expect(200)
    }

    /// Waits until a host is online, or offline.
    #[track_caller]
    pub fn wait_online(&self, id: &str, online: bool, limit: Duration) {
        wait::until(&format!("online = {online}"), limit, || {
            // The server may be on its way.
            let answer = self.send("GET", &format!("/api/hosts/{id}"), None)?;
            if answer.body["online"] == online { Ok(()) } else { Err(answer.text) }
        });
    }

    /// Stores a host's everyday credentials.
    #[track_caller]
    pub fn put_credentials(&self, host: &str, credentials: &Credentials) {
        self.put_slot(host, "repo", credentials);
    }

    /// Stores a host's admin credentials.
    #[track_caller]
    pub fn put_admin_credentials(&self, host: &str, credentials: &Credentials) {
        self.put_slot(host, "admin", credentials);
    }

    /// What may be seen of a host's credentials; the slot is `repo` or `admin`.
    #[track_caller]
    #[must_use]
    pub fn slot(&self, host: &str, slot: &str) -> Value {
        self.get(&format!("/api/hosts/{host}/{slot}-credentials")).expect(200)
    }

    #[track_caller]
    fn put_slot(&self, host: &str, slot: &str, credentials: &Credentials) {
        let env: serde_json::Map<String, Value> =
            credentials.env.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut body =
            json!({ "url": credentials.url, "repo_password": credentials.repo_password, "env": env });
        if let Some((username, password)) = &credentials.login {
            body["username"] = json!(username);
            body["password"] = json!(password);
        }
        let answer = self.put(&format!("/api/hosts/{host}/{slot}-credentials"), &body);
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Makes a source group.
    #[track_caller]
    pub fn add_group(&self, host: &str, name: &str, includes: &[&str]) {
        let body = json!({ "name": name, "includes": includes, "by_hand_days": 2 });
        let _ = self.post(&format!("/api/hosts/{host}/groups"), Some(&body)).expect(201);
    }

    /// Makes a source group with retention rules (`{"last": 3}`).
    #[track_caller]
    pub fn add_group_keeping(&self, host: &str, name: &str, includes: &[&str], keep: &Value) {
        let body = json!({ "name": name, "includes": includes, "keep": keep, "by_hand_days": 2 });
        let _ = self.post(&format!("/api/hosts/{host}/groups"), Some(&body)).expect(201);
    }

    /// Gives a source group retention rules.
    #[track_caller]
    pub fn set_keep(&self, host: &str, name: &str, includes: &[&str], keep: &Value) {
        let body = json!({ "includes": includes, "keep": keep, "by_hand_days": 2 });
        let answer = self.put(&format!("/api/hosts/{host}/groups/{name}"), &body);
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Asks for a job of the repository and waits for its end, however it is.
    #[track_caller]
    #[must_use]
    pub fn do_ask(&self, host: &str, kind: &str) -> Value {
        self.wait_end(&self.ask(host, kind), LONG)
    }

    /// Lets a source group save something else.
    #[track_caller]
    pub fn set_includes(&self, host: &str, name: &str, includes: &[&str]) {
        let answer = self.put(
            &format!("/api/hosts/{host}/groups/{name}"),
            &json!({ "includes": includes, "by_hand_days": 2 }),
        );
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Asks for a backup of a group; the job's id.
    #[track_caller]
    #[must_use]
    pub fn back_up(&self, host: &str, group: &str) -> String {
        text(&self.post(&format!("/api/hosts/{host}/groups/{group}/backup"), None).expect(202)["id"])
    }

    /// Asks for another job of the repository (`init`, `unlock`, `stats`); its id.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, host: &str, kind: &str) -> String {
        text(&self.post(&format!("/api/hosts/{host}/repo/{kind}"), None).expect(202)["id"])
    }

    /// A job.
    #[track_caller]
    #[must_use]
    pub fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/jobs/{id}")).expect(200)
    }

    /// Waits until a job is in one of these states, and returns it. The server may be away meanwhile.
    ///
    /// # Panics
    /// At the deadline, and at once when it has ended in another state.
    #[track_caller]
    #[must_use]
    pub fn wait_job(&self, id: &str, states: &[&str], limit: Duration) -> Value {
        wait::until(&format!("job {id} to be {states:?}"), limit, || {
            let answer = self.send("GET", &format!("/api/jobs/{id}"), None)?;
            let state = answer.body["state"].as_str().unwrap_or_default();
            if states.contains(&state) {
                return Ok(answer.body.clone());
            }
            assert!(!has_ended(state), "job {id} is {state}, not {states:?}: {}", answer.text);
            Err(answer.text)
        })
    }

    /// Waits until a job has ended, however it has.
    #[track_caller]
    #[must_use]
    pub fn wait_end(&self, id: &str, limit: Duration) -> Value {
        self.wait_job(id, &ENDS, limit)
    }

    /// Waits until a restore or a drill has fetched a piece of its data. Whether any of it is written by then nobody knows:
    /// restic holds it back until a piece of up to 32 MiB is whole.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_fetching(&self, job: &str) {
        wait::until("data to be fetched", LONG, || {
            let progress = self.job(job)["progress"].take();
            let of = |what: &str| progress[what].as_u64().unwrap_or_default();
            // While the snapshot is looked through, nobody knows how much there is.
            if of("bytes_total") > 0 && of("bytes_read") > 1_000_000 {
                return Ok(());
            }
            Err(progress.to_string())
        });
    }

    /// All jobs of a host, also over several pages.
    #[track_caller]
    #[must_use]
    pub fn jobs(&self, host: &str) -> Vec<Value> {
        let mut jobs = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/api/jobs?host={host}&limit=100{cursor}")).expect(200);
            jobs.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return jobs,
            }
        }
    }

    /// The log of a job that has ended, which has to be whole: no line missing, none twice.
    ///
    /// # Panics
    /// When it is not whole.
    #[track_caller]
    #[must_use]
    pub fn whole_log(&self, id: &str) -> Vec<String> {
        let answer = self.get(&format!("/api/jobs/{id}/log")).expect(200);
        let lines = answer["items"].as_array().cloned().unwrap_or_default();
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(line["number"], number, "line {number} of {answer}");
        }
        assert!(!lines.is_empty(), "an empty log: {answer}");
        assert_eq!(answer["total_lines"], lines.len(), "{answer}");
        assert_eq!(answer["left_out"], 0, "{answer}");
        assert_eq!(self.job(id)["log_lines"], lines.len(), "{answer}");
        lines.iter().map(|line| text(&line["text"])).collect()
    }
}

/// The states in which a job stays.
pub const ENDS: [&str; 5] = ["succeeded", "warning", "failed", "cancelled", "lost"];

/// Whether a job in this state stays in it.
#[must_use]
pub fn has_ended(state: &str) -> bool {
    ENDS.contains(&state)
}

/// The text of a field that has to be there.
///
/// # Panics
/// When it is not a text.
#[track_caller]
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
