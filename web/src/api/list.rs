//! Lists as the API answers them.

use axum::Json;
use fleet::Paged;
use serde::Serialize;

/// A list, or a part of one.
#[derive(Serialize)]
pub(crate) struct List<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl<T> List<T> {
    /// A list that is whole.
    pub(crate) fn whole(items: Vec<T>) -> Json<Self> {
        Json(Self { items, next: None })
    }

    /// A part, its items converted.
    pub(crate) fn part<R>(paged: Paged<R>, convert: impl Fn(R) -> T) -> Json<Self> {
        Json(Self { items: paged.items.into_iter().map(convert).collect(), next: paged.next })
    }
}
