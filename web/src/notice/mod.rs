//! Messages about incidents, as mail and as requests: the words and the forms. The server program sends them.

mod form;
mod mail;
mod told;

pub use form::{Request, RequestError, percent_encoded, requests};
pub use mail::{Mail, mail};
pub(crate) use told::fault;
