//! A row of the route table: an address with its method, who may use it, and what the API's document says of it.

use crate::app::App;
use crate::openapi::Doc;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use fleet::record::Scope;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, signed in or not.
    Open,
    /// A person who is signed in, whatever the role: what concerns the own account.
    SignedIn,
    /// Who has this scope: an API token by itself, a person by the role.
    Scope(Scope),
}

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    /// What the OpenAPI document says of it; every `/api` route has one.
    pub(crate) doc: Option<Doc>,
    pub(crate) handler: MethodRouter<App>,
}

impl Route {
    pub(crate) fn doc(mut self, doc: Doc) -> Self {
        self.doc = Some(doc);
        self
    }
}

pub(crate) fn route<H, T>(method: Method, path: &'static str, access: Access, handler: H) -> Route
where
    H: Handler<T, App>,
    T: 'static,
{
    let filter = match method {
        Method::GET => MethodFilter::GET,
        Method::PUT => MethodFilter::PUT,
        Method::PATCH => MethodFilter::PATCH,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::POST,
    };
    Route { method, path, access, doc: None, handler: on(filter, handler) }
}

pub(crate) fn get<H: Handler<T, App>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    route(Method::GET, path, Access::Scope(scope), handler)
}

pub(crate) fn post<H: Handler<T, App>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    route(Method::POST, path, Access::Scope(scope), handler)
}

pub(crate) fn put<H: Handler<T, App>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    route(Method::PUT, path, Access::Scope(scope), handler)
}

pub(crate) fn patch<H: Handler<T, App>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    route(Method::PATCH, path, Access::Scope(scope), handler)
}

pub(crate) fn delete<H: Handler<T, App>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    route(Method::DELETE, path, Access::Scope(scope), handler)
}

pub(crate) fn open<H: Handler<T, App>, T: 'static>(method: Method, path: &'static str, handler: H) -> Route {
    route(method, path, Access::Open, handler)
}

pub(crate) fn own<H: Handler<T, App>, T: 'static>(method: Method, path: &'static str, handler: H) -> Route {
    route(method, path, Access::SignedIn, handler)
}
