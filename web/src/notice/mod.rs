//! Messages about incidents, as mail, as requests and for programs: the words and the forms. The server program sends them.

mod body;
mod form;
mod html;
mod mail;
mod report;
mod template;
mod told;

pub use body::percent_encoded;
pub use form::{Request, RequestError, documented, requests};
pub use mail::{Mail, mail};
pub use template::TemplateError;
pub(crate) use template::check as check_template;
pub(crate) use told::fault;
