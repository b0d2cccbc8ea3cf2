//! The OpenAPI document: written from the route table and from the types of the bodies, so that it can't lag behind.

mod doc;
mod document;

pub(crate) use doc::Doc;
pub(crate) use document::document;
