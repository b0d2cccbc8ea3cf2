//! Salvage: what can be read of a damaged data file becomes a data file again.
//!
//! Rows are read from the damaged file's pages ([`crate::store::PageFile`]), which is never written. They go into another
//! file, in which the tables are made to fit one another again ([`rebuild`]): a host whose own row is gone gets one from
//! what else is known of it, what belongs to nothing any more is left out, indices and counts are made anew.
//!
//! | for | where it goes |
//! |---|---|
//! | the command `salvage` | a data folder of its own, which counts as a server that was restored: its incarnation grows |
//! | a server that goes on reading | a file without a name, which is gone with the process ([`readable()`]) |

mod fill;
mod folder;
mod readable;
mod rebuild;

pub use folder::{SalvageError, Salvaged, salvage};
pub(crate) use readable::readable;
