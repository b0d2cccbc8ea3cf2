//! The format number of the file as a whole, and how an older one is brought up to date.
//!
//! Rows have formats of their own and are upgraded as they are read. A step here is for what a row can't say by
//! itself: a table that is split, an index that is new.
//!
//! **The number grows with each change of what is stored**: a table, a field, a variant, also one that is appended, for an
//! older program takes it for damage. `format_files` holds each number to the shapes that it was given for.

use super::{Begins, META, Reads, Tx, read_every_row};
use crate::record::meta::{META_FORMAT, Meta};
use crate::refused::{OpenError, StoreError};
use redb::Database;

/// The format that this program writes. None of the earlier ones was released: formats 1 and 2 are not read any more.
pub(crate) const FORMAT: u32 = 7;

/// A step from format `n` to `n + 1`; the last of the list leads to the format that is written, and what is older than
/// the first one's beginning is refused.
pub(crate) type Migration = fn(&mut Tx<'_>) -> Result<(), OpenError>;

pub(crate) const MIGRATIONS: &[Migration] = &[from_3, from_4, from_5, from_6];

/// Several development states called what they wrote format 3. The rows of the last of them are those of format 4; any
/// other's can't be read, and that is no damage.
fn from_3(tx: &mut Tx<'_>) -> Result<(), OpenError> {
    match read_every_row(tx) {
        Ok(_) => Ok(()),
        Err(StoreError::Row { .. }) => Err(OpenError::OlderFormat { found: 3, oldest: 4 }),
        Err(error) => Err(error.into()),
    }
}

/// Format 5 has the tables of channels, of routes and of what waits to be told, and one cause more: what format 4 holds is
/// read as it is.
#[expect(clippy::unnecessary_wraps, reason = "every step can fail")]
fn from_4(_: &mut Tx<'_>) -> Result<(), OpenError> {
    Ok(())
}

/// Format 6 has channels to services such as Healthchecks, what waits there, and one more reason for which no agent can say what
/// became of a job: what format 5 holds is read as it is.
#[expect(clippy::unnecessary_wraps, reason = "every step can fail")]
fn from_5(_: &mut Tx<'_>) -> Result<(), OpenError> {
    Ok(())
}

/// Format 7 has when channels are sent reports, those that wait, how the fleet stood on each day, and graces of labels: what
/// format 6 holds is read as it is.
#[expect(clippy::unnecessary_wraps, reason = "every step can fail")]
fn from_6(_: &mut Tx<'_>) -> Result<(), OpenError> {
    Ok(())
}

/// The oldest format that a step leads on from.
pub(crate) fn oldest() -> u32 {
    oldest_of(FORMAT, MIGRATIONS)
}

fn oldest_of(format: u32, migrations: &[Migration]) -> u32 {
    format.saturating_sub(u32::try_from(migrations.len()).unwrap_or(u32::MAX))
}

/// Makes the tables of a new file, or brings an older one up to date; all in one transaction. A file that was to hold
/// something and says no format is no data file.
pub(crate) fn prepare(
    database: &Database,
    begins: Begins,
    format: u32,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let oldest = oldest_of(format, migrations);
    let mut txn = database.begin_write().map_err(StoreError::from)?;
    txn.set_quick_repair(true);
    let mut tx = Tx::new(&txn);
    let key = META_FORMAT.to_owned();
    let found = match tx.get(&META, &key)? {
        None if begins == Begins::New => format,
        None => return Err(StoreError::Damaged { why: "it holds no data of a server".to_owned() }.into()),
        Some(Meta::Format(found)) if found > format => {
            return Err(OpenError::NewerFormat { found, understood: format });
        }
        Some(Meta::Format(found)) if found < oldest => {
            return Err(OpenError::OlderFormat { found, oldest });
        }
        Some(Meta::Format(found)) => found,
        Some(_) => return Err(StoreError::Row { table: META.name(), why: "it is of another sort" }.into()),
    };
    tx.create_tables()?;
    for step in migrations.iter().skip(found.saturating_sub(oldest) as usize) {
        step(&mut tx)?;
    }
    tx.put(&META, &key, &Meta::Format(format))?;
    drop(tx);
    txn.commit().map_err(StoreError::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Database {
        Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap()
    }

    fn read_format(database: &Database) -> Option<Meta> {
        use redb::ReadableDatabase;
        let view = super::super::ReadView::new(database.begin_read().unwrap());
        view.get(&META, &META_FORMAT.to_owned()).unwrap()
    }

    fn second(tx: &mut Tx<'_>) -> Result<(), OpenError> {
        Ok(tx.put(&META, &"second".to_owned(), &Meta::NextAudit(2))?)
    }

    fn third(tx: &mut Tx<'_>) -> Result<(), OpenError> {
        assert!(tx.get(&META, &"second".to_owned())?.is_some(), "steps run in order");
        Ok(tx.put(&META, &"third".to_owned(), &Meta::NextAudit(3))?)
    }

    #[test]
    fn a_file_of_a_newer_program_is_refused_and_left_alone() {
        let database = database();
        prepare(&database, Begins::New, 3, &[]).unwrap();
        let refused = prepare(&database, Begins::New, 2, &[]);
        assert!(matches!(refused, Err(OpenError::NewerFormat { found: 3, understood: 2 })));
        assert_eq!(read_format(&database), Some(Meta::Format(3)));
    }

    #[test]
    fn a_file_that_no_step_leads_on_from_is_refused_and_left_alone() {
        let database = database();
        prepare(&database, Begins::New, 1, &[]).unwrap();
        let refused = prepare(&database, Begins::New, 3, &[third]);
        assert!(matches!(refused, Err(OpenError::OlderFormat { found: 1, oldest: 2 })));
        assert_eq!(read_format(&database), Some(Meta::Format(1)));
    }

    #[test]
    fn an_older_file_takes_each_missing_step_once_and_in_order() {
        let database = database();
        prepare(&database, Begins::New, 1, &[]).unwrap();
        prepare(&database, Begins::New, 3, &[second, third]).unwrap();
        assert_eq!(read_format(&database), Some(Meta::Format(3)));
        prepare(&database, Begins::New, 3, &[|_| panic!("taken already"), |_| panic!("taken already")])
            .unwrap();
    }

    #[test]
    fn a_new_file_takes_no_step() {
        let database = database();
        prepare(&database, Begins::New, 3, &[|_| panic!("nothing to bring up to date"), second]).unwrap();
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_format() {
        let database = database();
        prepare(&database, Begins::New, 1, &[]).unwrap();
        let failed: Migration = |tx| {
            second(tx)?;
            Err(StoreError::Closed.into())
        };
        assert!(prepare(&database, Begins::New, 2, &[failed]).is_err());
        assert_eq!(read_format(&database), Some(Meta::Format(1)));
    }
}
