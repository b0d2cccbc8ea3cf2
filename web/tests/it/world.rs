//! A fleet in memory behind the router, a clock to set, and clients.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use fleet::record::{Actor, Role, Scopes, SendFault};
use fleet::{ArchiveFolder, Archives, Authority, By, Driver, DueMessage, Fleet, Pieces, Sent, Settings};
use schema::Timestamp;
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tower::ServiceExt;
use web::{
    BrokerFacts, BrokerFigure, Certificate, Delivery, HeldLogin, MqttListener, RefusedConnections,
    ServerFacts, TaskFacts, TrustedProxies, WebSettings,
};

pub(crate) const PASSWORD: &str = "a few words in a row";
/// Mon 23 Nov 2026 06:31:12 UTC.
pub(crate) const START: u64 = 1_795_415_472_000;

pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) router: Router,
    clock: Arc<AtomicU64>,
    /// What runs beside the pages, as the program tells them.
    pub(crate) tasks: Arc<Mutex<Vec<TaskFacts>>>,
    /// Whom the broker did not let in.
    pub(crate) refused: Arc<Mutex<RefusedConnections>>,
    /// Where its archives go, in `backups`.
    pub(crate) archive_dir: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "a driver for tests")]
pub(crate) fn random(buffer: &mut [u8]) {
    getrandom::fill(buffer).unwrap();
}

/// What the server does with its files is left out.
fn rotate(fleet: Fleet) -> web::Rotate {
    Arc::new(move |is_forced, by| {
        let fleet = fleet.clone();
        Box::pin(async move {
            match fleet.read()?.authorities()?.len() {
                1 => fleet.trust_next_authority(vec![8; 40], by).await,
                _ => fleet.retire_authority(is_forced, by).await,
            }
        })
    })
}

fn web_settings(
    tasks: Arc<Mutex<Vec<TaskFacts>>>,
    refused: Arc<Mutex<RefusedConnections>>,
    archives: Archives,
    fleet: Fleet,
) -> WebSettings {
    WebSettings {
        public_url: "http://fleet.lan".to_owned(),
        secure_cookies: false,
        proxies: TrustedProxies::new(vec!["198.51.100.7/32".parse().unwrap()]),
        server: ServerFacts {
            version: "0.1.0".to_owned(),
            mqtt: vec![
                MqttListener { address: "fleet.lan:8883".to_owned(), tls: true },
                MqttListener { address: "127.0.0.1:1883".to_owned(), tls: false },
            ],
            started_at: Timestamp(START),
        },
        broker: Arc::new(|| {
            let name = "holdfast_broker_logins_throttled_total";
            let figure = BrokerFigure { name, help: "Turned away unsaid.", value: 7.0, is_total: true };
            BrokerFacts { hosts: 1, viewers: 0, figures: vec![figure] }
        }),
        tasks: Arc::new(move || tasks.lock().unwrap().clone()),
        space_left: Arc::new(|| None),
        lost_piece: Arc::new(|| None),
        ca_pem: Arc::new(|| "-----BEGIN CERTIFICATE-----\n".to_owned()),
        rotate: rotate(fleet),
        archives: Arc::new(archives),
        // Takes what goes to `https://taken.example`, and nothing else.
        notice_scripts: vec!["pager".to_owned(), "siren".to_owned()],
        send_notice: Arc::new(|due: DueMessage| {
            let is_taken = due.secrets.url.expose().starts_with("https://taken.example");
            let said = if is_taken { "thank you" } else { "no such hook" }.to_owned();
            let refused =
                Sent::Refused { fault: SendFault::Status(404), said: said.clone(), retry_after_ms: None };
            let sent = if is_taken { Sent::Taken } else { refused };
            Box::pin(async move { Delivery { sent, said } })
        }),
        held_logins: Arc::new(|| {
            let account = Some("barn".to_owned());
            vec![HeldLogin { origin: "192.0.2.77".to_owned(), account, failures: 31, for_ms: 6_000 }]
        }),
        refused_connections: Arc::new(move || refused.lock().unwrap().clone()),
        stopped: tokio::sync::watch::channel(false).1,
        strict_transport: false,
        certificates: Arc::new(|| {
            let ends_at = Some(Timestamp(START + 90 * 86_400_000));
            vec![Certificate { of: "Certificate", ends_at, renewed: "renewed by itself" }]
        }),
    }
}

fn settings(address: &str) -> Settings {
    Settings {
        mqtt_addresses: vec![address.to_owned()],
        authorities: vec![vec![7; 40]],
        timezone: "UTC".to_owned(),
        keep: Default::default(),
    }
}

fn pieces(folder: &Path) -> Pieces {
    Pieces { authority: Authority::Own, ..Pieces::from(folder) }
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(START));
        let now = clock.clone();
        let driver = Driver {
            now: Arc::new(move || Timestamp(now.load(Ordering::Relaxed))),
            random: Arc::new(random),
        };
        Self::of(Fleet::in_memory(settings("fleet.lan:8883"), driver).unwrap(), clock)
    }

    /// A fleet in a folder, whose agents dial this address.
    pub(crate) fn on_disk(folder: &Path, address: &str) -> Self {
        let clock = Arc::new(AtomicU64::new(START));
        let now = clock.clone();
        let driver = Driver {
            now: Arc::new(move || Timestamp(now.load(Ordering::Relaxed))),
            random: Arc::new(random),
        };
        let fleet = Fleet::open(pieces(folder), settings(address), driver).unwrap();
        let tls = folder.join("tls");
        std::fs::create_dir_all(&tls).unwrap();
        for name in ["ca.pem", "ca.key"] {
            std::fs::write(tls.join(name), "a certificate, or a key").unwrap();
        }
        Self::of(fleet, clock)
    }

    /// The same fleet from now on with settings that name this address.
    pub(crate) async fn move_to(&mut self, folder: &Path, address: &str) {
        let now = self.clock.clone();
        let driver = Driver {
            now: Arc::new(move || Timestamp(now.load(Ordering::Relaxed))),
            random: Arc::new(random),
        };
        self.fleet.clone().shutdown().await;
        // Whatever holds the former one goes, and with it the lock on its file.
        self.router = Router::new();
        self.fleet = Fleet::in_memory(settings(address), driver.clone()).unwrap();
        self.fleet = Fleet::open(pieces(folder), settings(address), driver).unwrap();
        self.restart();
    }

    fn of(fleet: Fleet, clock: Arc<AtomicU64>) -> Self {
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let refused = Arc::default();
        let archive_dir = tempfile::tempdir().unwrap();
        let router = Router::new();
        let mut world = Self { fleet, router, clock, tasks, refused, archive_dir };
        world.restart();
        world
    }

    /// Another server over the same fleet: what was in the memory of the pages is gone.
    pub(crate) fn restart(&mut self) {
        let folder =
            ArchiveFolder { path: self.archive_dir.path().join("backups"), keep: 7, makes: true, last: None };
        let archives = Archives::new(self.fleet.clone(), folder, Arc::new(fleet::Beside::default), "0.1.0");
        let fleet = self.fleet.clone();
        let settings = web_settings(Arc::clone(&self.tasks), Arc::clone(&self.refused), archives, fleet);
        self.router = web::router(self.fleet.clone(), settings);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn stranger(&self) -> Client {
        Client { router: self.router.clone(), cookie: None, csrf: String::new(), bearer: None }
    }

    /// The first admin, by the set-up link.
    pub(crate) async fn admin(&self) -> Client {
        let code = self.fleet.setup_code().await.unwrap().unwrap();
        let mut client = self.stranger();
        let form = format!("name=mira&password={}", PASSWORD.replace(' ', "+"));
        let answer = client.post_form(&format!("/setup/{}", code.expose()), &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        client.take_csrf().await;
        client
    }

    /// Another account, signed in; its password is the same.
    pub(crate) async fn account(&self, admin: &Client, name: &str, role: Role) -> Client {
        let body = serde_json::json!({"name": name, "role": role.as_str(), "password": PASSWORD});
        assert_eq!(admin.send(Method::POST, "/api/operators", Some(&body)).await.status, StatusCode::CREATED);
        let mut client = self.stranger();
        let answer = client.sign_in(name, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        client.take_csrf().await;
        client
    }

    /// A program with an API token.
    pub(crate) async fn program(&self, role: Role) -> Client {
        self.token(&format!("script-{}", role.as_str()), Scopes::of_role(role)).await
    }

    /// A program with an API token of these scopes.
    pub(crate) async fn token(&self, name: &str, scopes: Scopes) -> Client {
        let by = By { actor: Actor::System, peer: String::new() };
        let (_, secret) = self.fleet.create_api_token(name, scopes, by).await.unwrap();
        Client { bearer: Some(secret.expose().to_owned()), ..self.stranger() }
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    router: Router,
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: String,
    bearer: Option<String>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
}

impl Client {
    pub(crate) async fn raw(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), 8 << 20).await.unwrap();
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let mut request = Request::builder().method(method).uri(path).header("host", "fleet.lan");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        request
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.raw(self.request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    /// A JSON request, with the CSRF token where there is a session.
    /// As htmx asks.
    pub(crate) async fn get_htmx(&self, path: &str) -> Answer {
        let request = self.request(Method::GET, path).header("hx-request", "true");
        self.raw(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.request(method, path);
        if self.cookie.is_some() {
            request = request.header("x-csrf-token", &self.csrf);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.raw(request.body(body).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// A plain form, as a browser without scripts sends it; keeps the cookie that comes back.
    pub(crate) async fn post_form(&mut self, path: &str, form: &str) -> Answer {
        let form = format!("csrf={}&{form}", self.csrf);
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("origin", "http://fleet.lan")
            .header("sec-fetch-site", "same-origin");
        let answer = self.raw(request.body(Body::from(form)).unwrap()).await;
        if let Some(cookie) = answer.headers.get(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
            self.cookie = Some(cookie).filter(|cookie| !cookie.ends_with('='));
        }
        answer
    }

    pub(crate) async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        let password: String = form_urlencoded::byte_serialize(password.as_bytes()).collect();
        self.post_form("/login", &format!("name={name}&password={password}")).await
    }

    pub(crate) async fn take_csrf(&mut self) {
        self.csrf = self.get("/api/me").await.expect(200).json()["csrf"].as_str().unwrap().to_owned();
    }
}
