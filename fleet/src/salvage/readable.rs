//! What can be read of a damaged data file, for a server that goes on without writing.

use super::fill::{Known, fill, hosts_concerned, survey};
use super::rebuild::{Rebuilt, rebuild};
use crate::damage::Damage;
use crate::facts::Facts;
use crate::link::hello;
use crate::op::Op;
use crate::refused::{OpenError, StoreError};
use crate::request::By;
use crate::store::{Import, JOBS, PageFile, ReadableCopy, Reads, Span, names_of_a_host};
use schema::{JobId, Timestamp};
use std::collections::BTreeSet;
use std::path::Path;

/// Copies what can be read of a data file into one without a name beside it. `None` = nothing can. Reads all of the file,
/// and blocks.
pub(crate) fn readable(
    file: &Path,
    facts: &Facts,
    now: Timestamp,
    why: String,
) -> Result<Option<(ReadableCopy, Damage)>, OpenError> {
    let pages = PageFile::open(file).map_err(|why| OpenError::Folder { path: file.to_owned(), why })?;
    let mut import = Import::without_a_name(file)?;
    let survey = survey(&pages);
    let (mut damage, known) = fill(&pages, &survey, &mut import)?;
    damage.why = why;
    if damage.rows() == 0 {
        return Ok(None);
    }
    let copy = import.end_open(|tx| {
        let mut op = Op { tx, now, by: &By::system(), facts };
        let rebuilt = rebuild(&mut op, &known)?;
        // Nobody is let in any more.
        hello::nobody_is_connected(&mut op)?;
        Ok(tell(&mut damage, &known, rebuilt, op.tx)?)
    })?;
    Ok(Some((copy, damage)))
}

/// Adds what was found while the tables were made to fit.
pub(super) fn tell(
    damage: &mut Damage,
    known: &Known,
    rebuilt: Rebuilt,
    reads: &impl Reads,
) -> Result<(), StoreError> {
    let jobs: BTreeSet<JobId> = reads.keys(&JOBS, &Span::ALL, usize::MAX)?.into_iter().collect();
    let concerned = hosts_concerned(known, &names_of_a_host(), &rebuilt.hosts, |job| jobs.contains(&job));
    damage.hosts = concerned.iter().filter_map(|host| rebuilt.hosts.get(host).cloned()).collect();
    damage.remade_hosts = rebuilt.remade;
    damage.left_out = rebuilt.left_out;
    Ok(())
}
