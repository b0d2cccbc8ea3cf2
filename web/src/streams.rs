//! Places for streams of events: so many in all, and a share for each who holds some.

use crate::problem::Problem;
use axum::http::StatusCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most streams at once, of all clients.
const MOST_STREAMS: usize = 1_024;
/// Of one account, all its browsers together.
const MOST_OF_ACCOUNT: usize = 200;
/// Of one API token.
const MOST_OF_TOKEN: usize = 128;
/// Of one address; a trusted proxy stands for those behind it.
const MOST_OF_ADDRESS: usize = 256;

/// The places, free and held.
pub(crate) struct Streams {
    free: Arc<Semaphore>,
    held: Mutex<HashMap<Holder, usize>>,
}

/// Whose share a stream counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    Account(String),
    Token(String),
    Address(String),
}

impl Holder {
    const fn most(&self) -> usize {
        match self {
            Self::Account(_) => MOST_OF_ACCOUNT,
            Self::Token(_) => MOST_OF_TOKEN,
            Self::Address(_) => MOST_OF_ADDRESS,
        }
    }

    const fn words(&self) -> &'static str {
        match self {
            Self::Account(_) => "This account",
            Self::Token(_) => "This token",
            Self::Address(_) => "This address",
        }
    }
}

/// A place among the streams, free again when it is dropped.
pub(crate) struct StreamPlace {
    streams: Arc<Streams>,
    holders: Vec<Holder>,
    _permit: OwnedSemaphorePermit,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(MOST_STREAMS)), held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place that counts for all of these.
    pub(crate) fn take(self: &Arc<Self>, holders: Vec<Holder>) -> Result<StreamPlace, Problem> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_full",
                "Too many event streams are open; try again later.",
            )
        })?;
        let mut held = self.held();
        let full =
            holders.iter().find(|holder| held.get(holder).is_some_and(|count| *count >= holder.most()));
        if let Some(holder) = full {
            let (who, most) = (holder.words(), holder.most());
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "queue_full",
                format!(
                    "{who} holds {most} streams of events already, which is all that one may: close some first."
                ),
            ));
        }
        for holder in &holders {
            *held.entry(holder.clone()).or_default() += 1;
        }
        drop(held);
        Ok(StreamPlace { streams: Arc::clone(self), holders, _permit: permit })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut held = self.streams.held();
        for holder in &self.holders {
            let Some(count) = held.get_mut(holder) else { continue };
            *count -= 1;
            if *count == 0 {
                held.remove(holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_all_streams_and_a_place_is_free_again_when_it_is_left() {
        let streams = Arc::new(Streams::new());
        let token = |name: &str, address: &str| {
            vec![Holder::Token(name.to_owned()), Holder::Address(address.to_owned())]
        };
        let mut held: Vec<StreamPlace> = Vec::new();
        while let Ok(place) = streams.take(token("grafana", "10.0.0.1")) {
            held.push(place);
        }
        assert_eq!(held.len(), MOST_OF_TOKEN);
        let refused = streams.take(token("grafana", "10.0.0.2")).err().unwrap();
        assert_eq!((refused.status.as_u16(), refused.code), (429, "queue_full"));
        let words = format!("This token holds {MOST_OF_TOKEN} streams");
        assert!(refused.message.starts_with(&words), "{}", refused.message);
        let account = vec![Holder::Account("mira".to_owned()), Holder::Address("10.0.0.1".to_owned())];
        assert!(streams.take(account).is_ok());
        held.pop();
        assert!(streams.take(token("grafana", "10.0.0.1")).is_ok());
        let mut number = 0;
        while let Ok(place) = streams.take(token(&format!("t{}", number / 8), "10.0.0.1")) {
            held.push(place);
            number += 1;
        }
        assert_eq!(held.len(), MOST_OF_ADDRESS, "many tokens at one address");
        assert!(streams.take(token("other", "10.0.0.9")).is_ok());
        drop(held);
        assert!(streams.held().is_empty());
        assert_eq!(streams.free.available_permits(), MOST_STREAMS);
    }
}
