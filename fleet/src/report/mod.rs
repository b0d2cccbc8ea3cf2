//! What a report says: the period, and how the fleet stands at its end.
//!
//! `period` reads it, `growth` reckons how fast a repository grows, `day` keeps how the fleet stood on each day. Who is sent
//! a report, and when, is of [`crate::notices`].
//!
//! Bounds: [`period::MOST_LISTED`] of each list, and how many more; [`period::MOST_JOBS`] jobs, and since when they were counted.

pub(crate) mod day;
mod growth;
pub(crate) mod period;
