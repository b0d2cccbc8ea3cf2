//! What every handler has at hand: the fleet, the settings, who asks and by which face.

use crate::feed::{Made, Rate};
use crate::format::ago;
use crate::limiter::Limiter;
use crate::new_secret::Minted;
use crate::notes::Notes;
use crate::origin::Origins;
use crate::password::Passwords;
use crate::problem::{Problem, sentence};
use crate::proxy::TrustedProxies;
use crate::readers::Readers;
use crate::rights::Rights;
use crate::server_facts::WebSettings;
use crate::streams::Streams;
use crate::template::Templates;
use crate::trouble::{ArchiveTrouble, Failures, Proven, ServerTrouble, Successor, judge};
use crate::words;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use fleet::record::{Actor, Host, Role, Scope, Scopes, Secret};
use fleet::{ArchiveState, By, ChangeSeq, Fleet, FleetState, Found, NewEnrollToken, Standby};
use schema::{HostId, Timestamp};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) struct Inner {
    pub(crate) fleet: Fleet,
    pub(crate) settings: WebSettings,
    pub(crate) templates: Templates,
    pub(crate) passwords: Passwords,
    /// Where the data file is read and pages are rendered.
    pub(crate) readers: Readers,
    /// Places for streams of events.
    pub(crate) streams: Arc<Streams>,
    limiter: Mutex<Limiter>,
    /// Held while what the limiter counted is written, so that it is written in order.
    keeping: tokio::sync::Mutex<()>,
    /// Held from the look whether a plan of a restore was used until it is: so it is used once.
    pub(crate) using_plan: tokio::sync::Mutex<()>,
    origins: Mutex<Origins>,
    enrolments: Mutex<Notes<(NewEnrollToken, Rights)>>,
    minted: Mutex<Notes<Minted>>,
    /// Whether the data file could be written.
    pub(crate) proven: tokio::sync::Mutex<Proven>,
    failures: Mutex<Failures>,
    /// When an archive was made for each standby last.
    made_for_standbys: Mutex<BTreeMap<String, Timestamp>>,
    /// What feeds were sent last, by their names.
    feeds: Mutex<BTreeMap<String, Arc<Made>>>,
    feed_rate: Mutex<Rate>,
}

/// Shared by all requests.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    pub(crate) fn new(fleet: Fleet, settings: WebSettings, templates: Templates) -> Self {
        let tries = fleet.sign_in_tries().unwrap_or_else(|error| {
            tracing::error!(%error, "what was counted of tries to sign in can't be read; it begins anew");
            Vec::new()
        });
        Self(Arc::new(Inner {
            limiter: Mutex::new(Limiter::restored(tries)),
            keeping: tokio::sync::Mutex::default(),
            using_plan: tokio::sync::Mutex::default(),
            origins: Mutex::default(),
            fleet,
            settings,
            templates,
            passwords: Passwords::shared(),
            readers: Readers::default(),
            streams: Arc::new(Streams::new()),
            enrolments: Mutex::default(),
            minted: Mutex::default(),
            proven: tokio::sync::Mutex::default(),
            failures: Mutex::default(),
            made_for_standbys: Mutex::default(),
            feeds: Mutex::default(),
            feed_rate: Mutex::default(),
        }))
    }

    /// Enrolment lines on their way to the page of their host.
    pub(crate) fn enrolments(&self) -> MutexGuard<'_, Notes<(NewEnrollToken, Rights)>> {
        self.enrolments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Secrets of accounts on their way to the settings.
    pub(crate) fn minted(&self) -> MutexGuard<'_, Notes<Minted>> {
        self.minted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What feeds were sent last, by their names.
    pub(crate) fn feeds(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Made>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has asked for feeds how often.
    pub(crate) fn feed_rate(&self) -> MutexGuard<'_, Rate> {
        self.feed_rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits that failed, as they were last seen.
    pub(crate) fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with the server, the worst first.
    pub(crate) fn troubles(&self) -> Vec<ServerTrouble> {
        let settings = &self.settings;
        let now = self.fleet.now();
        let scrub = self.fleet.last_scrub();
        let damage = scrub.and_then(|scrub| match scrub.found {
            Found::Damage(why) => {
                let unreadable = self.fleet.damage().map(|damage| words::unreadable(&damage));
                Some((ago(now, scrub.at), format!("{} {}", sentence(&why), unreadable.unwrap_or_default())))
            }
            Found::Well(_) | Found::Failed(_) => None,
        });
        let writer = self.fleet.writer_counts();
        let failed_recently = self.failures().is_recent(writer.failed, now);
        let lost_piece = (settings.lost_piece)();
        let standbys = self.fleet.standbys().unwrap_or_default();
        let archives = self.archive_trouble(now, &standbys);
        let late_standbys = words::late_standbys(now, &standbys);
        let successor = self.fleet.succession().map(|it| {
            let leads = it.url.starts_with("https://") || it.url.starts_with("http://");
            Successor { text: words::succession(now, &it), url: leads.then(|| it.url.clone()) }
        });
        judge(
            (damage, successor),
            (lost_piece, archives, late_standbys),
            (writer, failed_recently),
            (settings.space_left)(),
            (settings.tasks)(),
        )
    }

    /// What is wrong with the archives of the server. That none is made is no fault as long as nobody is enrolled, and where
    /// nothing can be changed it stands above.
    fn archive_trouble(&self, now: Timestamp, standbys: &[Standby]) -> Option<ArchiveTrouble> {
        let status = self.settings.archives.status().ok()?;
        let has_hosts = || self.fleet.read().is_ok_and(|state| state.has_enrolled());
        let trouble = match status.state {
            ArchiveState::Late => ArchiveTrouble::Late,
            ArchiveState::NoKey if !self.fleet.only_reads() && has_hosts() => ArchiveTrouble::NoKey,
            ArchiveState::Ok | ArchiveState::Begun | ArchiveState::NoKey => return None,
        };
        Some(trouble(words::archives(now, &status, standbys).sentence))
    }

    /// Whether an archive may be made for a standby now; counts as made then.
    pub(crate) fn standby_may_have_another(&self, name: &str, now: Timestamp, after_ms: u64) -> bool {
        let mut made = self.made_for_standbys.lock().unwrap_or_else(PoisonError::into_inner);
        let may = made.get(name).is_none_or(|at| now < *at || now.ms_since(*at) >= after_ms);
        if may {
            made.insert(name.to_owned(), now);
        }
        may
    }

    /// The table of sign-in tries. A panic while it was held leaves it as it was.
    pub(crate) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what was counted, so that it survives a restart.
    pub(crate) async fn keep_tries(&self) {
        let _in_order = self.keeping.lock().await;
        let changes = self.limiter().take_changes();
        self.fleet.keep_sign_in_tries(changes).await;
    }

    /// Where people come from.
    pub(crate) fn origins(&self) -> MutexGuard<'_, Origins> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the cookie by which a browser is known again.
    pub(crate) fn device_cookie_name(&self) -> &'static str {
        if self.settings.secure_cookies { "__Host-holdfast-device" } else { "holdfast-device" }
    }

    /// The session cookie's name: bound to this host and to TLS where that is possible.
    pub(crate) fn cookie_name(&self) -> &'static str {
        if self.settings.secure_cookies { "__Host-holdfast" } else { "holdfast" }
    }
}

/// Whoever asks, once known.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    /// A person's; a token has scopes alone.
    pub(crate) role: Option<Role>,
    pub(crate) scopes: Scopes,
    /// Present when a browser asks.
    pub(crate) session: Option<BrowserSession>,
    /// Present when a program asks.
    pub(crate) token: Option<Secret>,
}

/// A browser that is signed in.
#[derive(Clone)]
pub(crate) struct BrowserSession {
    pub(crate) cookie: Secret,
    pub(crate) csrf: String,
    pub(crate) theme: String,
}

/// Which face a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// JSON.
    Api,
    /// HTML and forms.
    Page,
}

impl Face {
    pub(crate) fn of(path: &str) -> Self {
        let api = path.starts_with("/api/") || matches!(path, "/api" | "/metrics" | "/healthz" | "/readyz");
        if api { Self::Api } else { Self::Page }
    }
}

/// Put into a request by [`crate::authorize::authenticate`].
#[derive(Clone, Default)]
pub(crate) struct Identity(pub(crate) Option<Caller>);

/// One request, seen by a handler.
#[derive(Clone)]
pub(crate) struct Ctx {
    pub(crate) app: App,
    pub(crate) caller: Option<Caller>,
    pub(crate) face: Face,
    /// The address that asks.
    pub(crate) peer: String,
    /// Whether that address, which is no trusted proxy, names another one for which it asks.
    pub(crate) forwarded: bool,
    /// By what the browser is known again, see [`crate::sign_in`].
    pub(crate) device: Option<Secret>,
    /// The one fragment that is wanted, instead of the whole page.
    pub(crate) part: Option<String>,
    /// Whether htmx asks.
    pub(crate) htmx: bool,
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// The newest change that whatever is read from here on knows of.
    pub(crate) seq: ChangeSeq,
}

impl Ctx {
    pub(crate) fn from_request(app: &App, parts: &Parts) -> Self {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let part = parts.uri.query().and_then(|query| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == "part")
                .map(|(_, value)| value.into_owned())
        });
        Self {
            app: app.clone(),
            caller: parts.extensions.get::<Identity>().and_then(|identity| identity.0.clone()),
            face: Face::of(parts.uri.path()),
            peer: peer(&app.settings.proxies, parts),
            forwarded: is_forwarded(&app.settings.proxies, parts),
            device: crate::headers::cookie(&parts.headers, app.device_cookie_name()).map(Secret::new),
            part,
            htmx: parts.headers.get("hx-request").is_some_and(|value| value == "true"),
            method: parts.method.clone(),
            target,
            seq: app.fleet.change_seq(),
        }
    }

    /// Who asks, for whatever is written down.
    pub(crate) fn by(&self) -> By {
        let actor = self.caller.as_ref().map_or(Actor::System, |caller| caller.actor.clone());
        By { actor, peer: self.peer.clone() }
    }

    /// Whether the caller may do what this scope is for.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.scopes.has(scope))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.app.fleet.now()
    }

    /// The host of this id (or name).
    pub(crate) fn host(&self, state: &FleetState, id_or_name: &str) -> Result<Host, Problem> {
        let by_id = match id_or_name.parse::<HostId>() {
            Ok(id) => state.host(id)?,
            Err(_) => None,
        };
        let found = match by_id {
            Some(host) => Some(host),
            None if schema::name::is_valid(id_or_name) => state.host_by_name(id_or_name)?,
            None => None,
        };
        found.ok_or_else(|| fleet::Refused::HostNotFound.into())
    }

    /// On to another page: a header for htmx, a 303 for a plain form.
    pub(crate) fn go(&self, to: &str) -> Response<Body> {
        let Ok(value) = HeaderValue::from_str(to) else { return Problem::internal().into() };
        if self.htmx {
            ([("hx-redirect", value)], StatusCode::OK).into_response()
        } else {
            ([(header::LOCATION, value)], StatusCode::SEE_OTHER).into_response()
        }
    }
}

fn peer(proxies: &TrustedProxies, parts: &Parts) -> String {
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or_else(|| "unknown".to_owned(), |info| proxies.client(info.0.ip(), &parts.headers).to_string())
}

/// Whether a peer that is no trusted proxy writes what proxies write.
fn is_forwarded(proxies: &TrustedProxies, parts: &Parts) -> bool {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let headers = ["x-forwarded-for", "forwarded", "x-real-ip"];
    peer.is_some_and(|peer| !proxies.contains(peer))
        && headers.iter().any(|header| parts.headers.contains_key(*header))
}

impl FromRequestParts<App> for Ctx {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self::from_request(app, parts))
    }
}
