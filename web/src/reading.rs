//! What a request reads, and the pages made of it, apart from the runtime's workers (see [`crate::readers`]).

use crate::app::Ctx;
use crate::problem::Problem;
use crate::readers::WhenBusy;
use crate::shell::Shell;
use crate::template::View;
use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use fleet::FleetState;
use fleet::record::{Host, Scope};

/// A request on a thread for reads. Pages are rendered here and nowhere else.
pub(crate) struct Reading(Ctx);

impl std::ops::Deref for Reading {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.0
    }
}

impl Ctx {
    /// Reads from one state of the fleet. When too many wait already, the request is turned away, `busy`.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading, &FleetState) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.apart(WhenBusy::Refuse, move |ctx| read(ctx, &ctx.app.fleet.read()?)).await
    }

    /// The same for the answer to what has been done: it is never turned away.
    pub(crate) async fn answer<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reading, &FleetState) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.apart(WhenBusy::Wait, move |ctx| read(ctx, &ctx.app.fleet.read()?)).await
    }

    /// A page of a view for which nothing has to be read, such as a form that was not taken.
    pub(crate) async fn show<V: View + Send + 'static>(
        &self,
        status: StatusCode,
        view: V,
    ) -> Result<Response<Body>, Problem> {
        self.apart(WhenBusy::Wait, move |ctx| ctx.page_with(status, &view)).await
    }

    /// Works on a thread for reads.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        turn: WhenBusy,
        work: impl FnOnce(&Reading) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let reading = Reading(self.clone());
        self.app.readers.run(turn, move || work(&reading)).await?
    }

    /// The host of this id (or name), for a request that is about to change something.
    pub(crate) async fn find_host(&self, id_or_name: &str) -> Result<Host, Problem> {
        let id_or_name = id_or_name.to_owned();
        self.read(move |ctx, state| ctx.host(state, &id_or_name)).await
    }

    /// The host that is to do something with a snapshot of this one: another one when it is named.
    pub(crate) async fn find_runner(&self, source: &Host, named: Option<&str>) -> Result<Host, Problem> {
        let Some(named) = named.map(str::trim) else { return Ok(source.clone()) };
        if named.is_empty() {
            return Err(Problem::invalid(
                "runner",
                "Name a host, or leave runner out: then the host itself.",
            ));
        }
        self.find_host(named).await.map_err(|problem| match problem.status {
            StatusCode::NOT_FOUND => Problem::invalid("runner", format!("There is no host {named}.")),
            _ => problem,
        })
    }
}

impl Reading {
    /// The page of this view, or the one part of it that is wanted.
    pub(crate) fn page<V: View>(&self, view: &V) -> Result<Response<Body>, Problem> {
        self.page_with(StatusCode::OK, view)
    }

    /// The same with another status.
    pub(crate) fn page_with<V: View>(&self, status: StatusCode, view: &V) -> Result<Response<Body>, Problem> {
        let template = match self.part.as_deref() {
            None => V::TEMPLATE.to_owned(),
            Some(part) if V::PARTS.contains(&part) => format!("part/{part}.html"),
            Some(_) => return Err(Problem::not_found("This page has no such part.")),
        };
        let text = self.app.templates.render(&template, &self.shell(V::NAV), view)?;
        Ok(html(status, text))
    }

    /// The page's fragment of this name, whatever was asked for.
    pub(crate) fn fragment<V: View>(
        &self,
        status: StatusCode,
        part: &'static str,
        view: &V,
    ) -> Result<Response<Body>, Problem> {
        let text = self.app.templates.render(&format!("part/{part}.html"), &self.shell(V::NAV), view)?;
        Ok(html(status, text))
    }

    /// How many backups wait, for the navigation: a page is not refused because of it.
    fn pending_count(&self) -> Option<String> {
        let count = self.app.fleet.read().and_then(|read| read.pending_count()).unwrap_or_default();
        (self.caller.is_some() && count > 0).then(|| crate::format::count(count as u64))
    }

    /// How many incidents need somebody, for the navigation as well.
    fn incident_count(&self) -> Option<String> {
        let counts = self.app.fleet.read().and_then(|read| read.incident_counts()).unwrap_or_default();
        let need = counts.0.iter().sum::<u32>().saturating_sub(counts.1);
        (self.caller.is_some() && need > 0).then(|| crate::format::count(u64::from(need)))
    }

    fn shell(&self, nav: &'static str) -> Shell {
        let settings = &self.app.settings;
        let broker = (settings.broker)();
        let troubles = self.app.troubles();
        let only_reads = self.app.fleet.only_reads();
        let session = self.caller.as_ref().and_then(|caller| caller.session.as_ref());
        Shell {
            nav,
            theme: session.map(|s| s.theme.clone()).filter(|theme| theme != "system"),
            theme_choice: session.map_or_else(|| "system".to_owned(), |s| s.theme.clone()),
            csrf: session.map(|s| s.csrf.clone()).unwrap_or_default(),
            user: self.caller.as_ref().map(|caller| caller.actor.name().to_owned()),
            operator: self.may(Scope::Write) && !only_reads,
            restores: self.may(Scope::Restore) && !only_reads,
            admin: self.may(Scope::Admin),
            locked: only_reads.then_some(LOCKED),
            version: settings.server.version.clone(),
            hosts_connected: crate::format::many(u64::from(broker.hosts), "host"),
            is_well: troubles.iter().all(|trouble| !trouble.is_failure),
            troubles,
            pending: self.pending_count().filter(|_| !only_reads),
            incidents: self.incident_count().filter(|_| !only_reads),
            seq: self.seq,
        }
    }
}

/// What stands where something could be changed otherwise.
const LOCKED: &str = "Nothing can be changed on this server now: the top of the page says why.";

fn html(status: StatusCode, text: String) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}
