//! Whether the server is well, by its own judgement.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use std::{pin::Pin, sync::Arc};
use tower_service::Service as _;

/// How much of what it answers is read, in bytes.
const MOST_BYTES: usize = 64 << 10;

/// Says whether the server is well; else why not.
pub(crate) type Wellness =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What the pages' router answers to `/readyz`, asked without a connection.
pub(crate) fn of_router(router: &Router) -> Wellness {
    let router = router.clone();
    Arc::new(move || {
        let mut router = router.clone();
        Box::pin(async move {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = axum::http::Uri::from_static("/readyz");
            let Ok(answer) = router.call(request).await;
            if answer.status().is_success() {
                return Ok(());
            }
            let body = axum::body::to_bytes(answer.into_body(), MOST_BYTES).await.unwrap_or_default();
            Err(String::from_utf8_lossy(&body).into_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use axum::routing::get;

    #[tokio::test]
    async fn it_is_what_readyz_says() {
        let answers =
            |status: StatusCode| Router::new().route("/readyz", get(move || async move { (status, "why") }));
        assert_eq!(of_router(&answers(StatusCode::OK))().await, Ok(()));
        let unwell = of_router(&answers(StatusCode::SERVICE_UNAVAILABLE))().await;
        assert_eq!(unwell, Err("why".to_owned()));
    }
}
