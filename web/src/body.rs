//! The body of a request, read whole within bounds of length and time.

use crate::problem::Problem;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::StatusCode;
use std::time::Duration;

/// The longest body that is read, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;
/// How long a body may take to come in.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Reads a body; one that is too long or too slow is a problem.
pub(crate) async fn read_body(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_WITHIN, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let message = format!("The request is too long: at most {} KiB.", MAX_BODY_BYTES / 1024);
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_input", message))
        }
        Err(_) => {
            let message = format!("The request did not come in within {} s.", BODY_WITHIN.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", message))
        }
    }
}
