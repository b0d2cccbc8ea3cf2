//! Calls into redb that can't bring the process down.
//!
//! redb trusts a file that it closed itself: where something else has changed it, it reports some of the damage and
//! panics over the rest. Here both become [`StoreError::Damaged`].

use crate::refused::StoreError;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls redb; a panic is the answer that the file is damaged. What was open in it must not be used any more.
pub(super) fn redb<T>(call: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| StoreError::Damaged { why: words(panic.as_ref()) })
}

/// The message of a panic.
pub(super) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it says no more").to_owned()
}
