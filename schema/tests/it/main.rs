//! The wire, held to its word: literal bytes, round trips, strictness, seals, topics and tokens.

mod corpus;
mod draw;
mod envelope;
mod golden;
mod items;
mod names;
mod round_trip;
mod samples;
mod strict;
mod token;
mod topics;

/// The bodies of the fuzz targets, which the corpus test and the properties here run too.
#[allow(unreachable_pub)] // a library where the fuzz targets use it
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;
