//! Why a request is not answered as asked: one type for the API's JSON, the pages and the forms.

use crate::readers::ReadFailed;
use axum::Json;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use fleet::{LinkFault, Refused, StoreError, WriteFault};
use serde_json::json;

/// A refusal with everything that either face needs to tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// The word of the API.
    pub(crate) code: &'static str,
    /// One sentence that says what to do.
    pub(crate) message: String,
    /// The field that is meant.
    pub(crate) field: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None }
    }

    pub(crate) fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", message)
        }
    }

    pub(crate) fn unauthorised() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorised", "Sign in, or send an API token.")
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn csrf() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "This form is too old, or did not come from this site. Load the page again and repeat it.",
        )
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here. Nothing was changed; the server's log says more.",
        )
    }

    /// Too much is being read.
    fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "The server is busy: too many pages are being read right now. Try again in a moment.",
        )
    }

    /// Whether it is the answer `busy`.
    pub(crate) fn is_busy(&self) -> bool {
        self.code == "busy"
    }

    /// Whether it is about what was sent, so that a form can show it and keep what was typed.
    pub(crate) fn is_about_input(&self) -> bool {
        self.field.is_some() || self.status == StatusCode::CONFLICT
    }

    /// The body of the API's answer.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.field {
            None => json!({"error": {"code": self.code, "message": self.message}}),
            Some(field) => json!({"error": {"code": self.code, "message": self.message, "field": field}}),
        }
    }

    /// The API's answer.
    pub(crate) fn json_response(&self) -> Response<Body> {
        (self.status, Json(self.to_json())).into_response()
    }
}

/// An answer that only carries the problem; [`crate::present`] writes it for the face that asked.
impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        self.into()
    }
}

impl From<Problem> for Response<Body> {
    fn from(problem: Problem) -> Self {
        let mut response = Self::new(Body::empty());
        *response.status_mut() = problem.status;
        response.extensions_mut().insert(problem);
        response
    }
}

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::HostNotFound
        | Refused::NewcomerNotFound
        | Refused::GroupNotFound
        | Refused::ScheduleNotFound
        | Refused::PendingNotFound
        | Refused::IncidentNotFound
        | Refused::JobNotFound
        | Refused::StandbyNotFound
        | Refused::FeedNotFound
        | Refused::ChannelNotFound
        | Refused::RouteNotFound
        | Refused::GraceNotFound
        | Refused::AccountNotFound => StatusCode::NOT_FOUND,
        Refused::InvalidInput { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::AckLink { fault: LinkFault::Unknown } => StatusCode::NOT_FOUND,
        Refused::SetupClosed | Refused::AckLink { .. } => StatusCode::GONE,
        Refused::SetupCode => StatusCode::FORBIDDEN,
        Refused::QueueFull | Refused::TooManyDownloads => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::CONFLICT,
    }
}

impl Problem {
    /// What is asked for may be among what can't be read.
    pub(crate) fn unreadable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_damaged",
            "The server's data file is damaged, and this can't be read of it, or is not there: nobody can tell. Restore an archive \
             (holdfast-server restore), or make a new data folder of what can be read (holdfast-server salvage).",
        )
    }
}

/// The same sentence with a capital and a full stop. A first word that can only be a name, as of a path or a variable,
/// stays as it is; what may begin with another name, as of a host, has to put a word before it.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return String::new() };
    let word =
        text.split_whitespace().next().unwrap_or_default().trim_end_matches([',', ';', ':', '.', '?', '!']);
    let mut out: String = if word.chars().all(|c| c.is_ascii_alphabetic() || c == '\'') {
        first.to_uppercase().chain(chars).collect()
    } else {
        text.to_owned()
    };
    if !out.ends_with(['.', '?', '!', ':']) {
        out.push('.');
    }
    out
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        if let Refused::Store(error) = refused {
            return error.into();
        }
        Self {
            status: status(&refused),
            code: refused.code(),
            message: sentence(&crate::words::refused(&refused)),
            field: refused.field().map(str::to_owned),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // The writer tells these, ever more seldom.
        let fault = error.write_fault();
        let cant_write = match fault {
            WriteFault::Full | WriteFault::Limit => Some((StatusCode::INSUFFICIENT_STORAGE, "storage_full")),
            WriteFault::ReadOnly => Some((StatusCode::SERVICE_UNAVAILABLE, "storage_read_only")),
            WriteFault::Replaced => Some((StatusCode::SERVICE_UNAVAILABLE, "storage_replaced")),
            WriteFault::Descriptors => Some((StatusCode::SERVICE_UNAVAILABLE, "too_many_open_files")),
            WriteFault::Damaged => Some((StatusCode::SERVICE_UNAVAILABLE, "storage_damaged")),
            WriteFault::Other => None,
        };
        if let Some((status, code)) = cant_write {
            let (what, then) = (sentence(fault.in_words()), sentence(fault.advice()));
            return Self::new(status, code, format!("{what} Nothing was changed. {then}"));
        }
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        if let StoreError::Damaged { .. } = error {
            return Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "storage_damaged",
                "The server's data file is damaged: stop the server, and restore an archive (holdfast-server restore), or make a \
                 new data folder of what can be read (holdfast-server salvage).",
            );
        }
        Self::internal()
    }
}

impl From<crate::password::HashFailed> for Problem {
    fn from(error: crate::password::HashFailed) -> Self {
        if error == crate::password::HashFailed::Busy {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_full",
                "Too many passwords are being checked right now. Try again in a moment; this attempt did not count.",
            );
        }
        tracing::error!(%error, "no password could be hashed");
        Self::internal()
    }
}

impl From<ReadFailed> for Problem {
    fn from(error: ReadFailed) -> Self {
        match error {
            ReadFailed::Busy => Self::busy(),
            ReadFailed::Broken => {
                tracing::error!("a request failed unexpectedly");
                Self::internal()
            }
        }
    }
}

impl From<minijinja::Error> for Problem {
    fn from(error: minijinja::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a page could not be rendered");
        Self::internal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_becomes_a_sentence_with_its_code_and_field() {
        let problem = Problem::from(Refused::NameTaken { name: "barn".to_owned() });
        assert_eq!((problem.status, problem.code), (StatusCode::CONFLICT, "name_taken"));
        assert_eq!(problem.message, "The name barn is taken; choose another.");
        assert_eq!(problem.field.as_deref(), Some("name"));
        let store = Problem::from(Refused::Store(StoreError::Closed));
        assert_eq!(store, Problem::internal(), "the store's words stay in the log");
    }

    #[test]
    fn a_name_that_stands_first_stays_as_it_is() {
        for (text, says) in [
            ("the host is offline", "The host is offline."),
            ("can't be read: look again", "Can't be read: look again."),
            ("nothing:", "Nothing:"),
            ("nas-1 is offline", "nas-1 is offline."),
            ("data/tls is missing", "data/tls is missing."),
            ("b2_key: not allowed.", "b2_key: not allowed."),
            ("\"etc\" is no path", "\"etc\" is no path."),
            ("", ""),
        ] {
            assert_eq!(sentence(text), says);
        }
        for runner in ["nas", "nas-1", "böller"] {
            let why = fleet::RunnerSetback::Offline;
            let said = Problem::from(Refused::RunnerUnfit { runner: runner.to_owned(), why }).message;
            assert_eq!(said, format!("The host {runner} can't do it for another one: it is offline."));
        }
    }
}
