//! How a server's pieces become a fleet: looked at, opened or made, and put right where only a running server knows.

use crate::addresses;
use crate::authority;
use crate::context::Context;
use crate::damage::{Found, Scrub};
use crate::data_folder::check_data_folder;
use crate::download;
use crate::fleet::Fleet;
use crate::link::hello;
use crate::op::Op;
use crate::pieces::{Authority, Pieces, Stand};
use crate::record::meta::{META_KEY_CHECK, Meta};
use crate::record::{Actor, Fingerprint, Succession};
use crate::refused::{OpenError, StoreError};
use crate::request::By;
use crate::salvage;
use crate::scrub;
use crate::seal::{Binding, MasterKey};
use crate::settings::{Driver, Settings};
use crate::store::{Begins, Committed, JOBS, META, Order, Reads, Span, Store, Tx, check};
use crate::succession;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// What a look through the pieces of a server at rest has found: all fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Rows of the data file.
    pub rows: u64,
    /// Hosts that have to be enrolled again, for another authority was accepted.
    pub locked_out: usize,
    /// Who has the place of this server, which stands still then.
    pub succession: Option<Succession>,
}

impl Fleet {
    /// Opens the pieces of a server; makes them, and their folder, when there is none of them.
    pub fn open(pieces: impl Into<Pieces>, settings: Settings, driver: Driver) -> Result<Self, OpenError> {
        let pieces = pieces.into();
        let is_new = pieces.begin()? == Stand::New;
        let master = match &pieces.key_file {
            None if is_new => MasterKey::read_or_create(&pieces, random(&driver))?,
            None => MasterKey::read(&pieces.key_path(), false)?,
            Some(handed_over) => MasterKey::read(handed_over, true)?,
        };
        let context = Arc::new(Context::new(driver, settings, master));
        let serves = pieces.authority != Authority::NotAsked;
        let looked = match if is_new { Ok(None) } else { scrub::at_start(&pieces) } {
            Err(damaged @ OpenError::Damaged { .. }) if serves => {
                return Self::open_to_read(&pieces, context, damaged);
            }
            looked => looked?,
        };
        if let Some(rows) = looked {
            let (now, begun) = (context.now(), context.started_at);
            *context.scrub() =
                Some(Scrub { at: now, took_ms: now.ms_since(begun), found: Found::Well(rows) });
        }
        let begins = if is_new { Begins::New } else { Begins::Kept };
        let opened = Store::open(&pieces.data_file(), begins, committed(&context), |tx| {
            start(&context, tx)?;
            if serves { bind(&context, tx, &pieces) } else { Ok(()) }
        });
        let store = match opened {
            // A file that is not looked through before each start.
            Err(damaged @ OpenError::Damaged { .. }) if serves => {
                return Self::open_to_read(&pieces, context, damaged);
            }
            opened => opened?,
        };
        pieces.made()?;
        if serves {
            pieces.authority_accepted()?;
        }
        Self::begin(context, store)
    }

    /// Opens what can be read of a damaged data file, which stays as it is; an error when nothing can.
    fn open_to_read(pieces: &Pieces, context: Arc<Context>, damaged: OpenError) -> Result<Self, OpenError> {
        let file = pieces.data_file();
        let why = match &damaged {
            OpenError::Damaged { why, .. } => why.clone(),
            other => other.to_string(),
        };
        let now = context.now();
        let found = Found::Damage(why.clone());
        let Some((copy, damage)) = salvage::readable(&file, &context.facts, now, why)? else {
            return Err(damaged);
        };
        scrub::log(&damage);
        *context.scrub() = Some(Scrub { at: now, took_ms: now.ms_since(context.started_at), found });
        context.is_damaged(damage);
        let store = Store::open_copy(&file, copy, committed(&context), |tx| {
            start(&context, tx)?;
            bind(&context, tx, pieces)
        })?;
        Self::begin(context, store)
    }

    /// Looks through the whole data file: every page that is in use is what was written, every row can be read, the
    /// master key fits, and so does the authority; `None` = the next start makes one. Changes nothing. Reads all of the
    /// file, and blocks.
    pub fn check(pieces: &Pieces, authorities: Option<&[Fingerprint]>) -> Result<Checked, OpenError> {
        check_data_folder(&pieces.data_dir)?;
        let master = MasterKey::read(&pieces.key_path(), pieces.key_file.is_some())?;
        let is_accepted = pieces.accepts_authority()?;
        let (mut locked_out, mut succession) = (0, None);
        let rows = check(&pieces.data_file(), |tx| {
            key_fits(&master, tx)?;
            locked_out = authority::locks_out(tx, authorities, is_accepted)?;
            succession = succession::of(tx)?;
            Ok(())
        })?;
        Ok(Checked { rows, locked_out, succession })
    }

    /// Whether these authorities, the present one first, are those that the enrolled agents of a server at rest trust, or nobody
    /// trusts any yet. Changes nothing. Reads all of the data file, and blocks.
    pub fn trusts(pieces: &Pieces, authorities: &[Fingerprint]) -> Result<bool, OpenError> {
        let mut trusts = false;
        check(&pieces.data_file(), |tx| {
            trusts = match authority::locks_out(tx, Some(authorities), false) {
                Err(OpenError::OtherAuthority { .. } | OpenError::NoNextAuthority { .. }) => false,
                locked_out => locked_out? == 0,
            };
            Ok(())
        })?;
        Ok(trusts)
    }

    /// Whether what is on disk of the key and of the authority is what this server runs with: what the next start finds.
    /// `authorities` are those on disk, the present one first; `None` = the next start makes one. Returns how many hosts that
    /// start locks out.
    pub fn check_pieces(
        &self,
        pieces: &Pieces,
        authorities: Option<&[Fingerprint]>,
    ) -> Result<usize, OpenError> {
        pieces.look()?;
        let master = MasterKey::read(&pieces.key_path(), pieces.key_file.is_some())?;
        let view = self.view()?;
        key_fits(&master, &view)?;
        authority::locks_out(&view, authorities, pieces.accepts_authority()?)
    }

    /// A fleet that is gone with the process.
    pub fn in_memory(settings: Settings, driver: Driver) -> Result<Self, OpenError> {
        let master = MasterKey::new(random(&driver));
        let context = Arc::new(Context::new(driver, settings, master));
        let store = Store::in_memory(committed(&context), |tx| {
            start(&context, tx)?;
            let mut op = Op { tx, now: context.now(), by: &By::system(), facts: &context.facts };
            authority::bind(&mut op, &context.settings.authorities, false)?;
            Ok(addresses::begin(&mut op, &context.settings.mqtt_addresses)?)
        })?;
        Self::begin(context, store)
    }

    fn begin(context: Arc<Context>, store: Store) -> Result<Self, OpenError> {
        context.roster.refresh(&context.settings.timezone, &store.read()?, &BTreeSet::new())?;
        Ok(Self::new(context, store))
    }
}

/// Writes down the authority that this server has, unless enrolled agents trust another one, and its addresses.
fn bind(context: &Context, tx: &mut Tx<'_>, pieces: &Pieces) -> Result<(), OpenError> {
    let mut op = Op { tx, now: context.now(), by: &By::system(), facts: &context.facts };
    authority::bind(&mut op, &context.settings.authorities, pieces.accepts_authority()?)?;
    Ok(addresses::begin(&mut op, &context.settings.mqtt_addresses)?)
}

/// Whether a master key can be read from a file that is handed over.
pub fn check_key_file(handed_over: &Path) -> Result<(), OpenError> {
    MasterKey::read(handed_over, true).map(drop)
}

/// Looks whether the key fits the file, and puts right what only a running server knows.
fn start(context: &Context, tx: &mut Tx<'_>) -> Result<(), OpenError> {
    let mut op = Op { tx, now: context.now(), by: &By::system(), facts: &context.facts };
    let Op { tx, facts, .. } = &mut op;
    if !key_fits(&facts.master, &**tx)? {
        let check = facts.master.seal(Binding::Check, facts.random(), b"holdfast");
        tx.put(&META, &META_KEY_CHECK.to_owned(), &Meta::KeyCheck(check))?;
    }
    // An id that an agent made has the time of that agent, which may be years ahead.
    let mut newest = None;
    tx.walk(&JOBS, &Span::ALL, Order::Descending, |id, job| {
        newest = Some(id).filter(|_| job.actor != Actor::Agent);
        Ok(if newest.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if let Some(newest) = newest {
        facts.job_ids_begin_after(newest);
    }
    hello::nobody_is_connected(&mut op)?;
    download::nobody_waits(&mut op)?;
    if let Some(succession) = succession::of(op.tx)? {
        context.succeeded(succession);
    }
    context.clock_begins(op.now);
    Ok(())
}

/// `false`: the file has not seen a key yet.
fn key_fits(master: &MasterKey, reads: &impl Reads) -> Result<bool, OpenError> {
    match reads.get(&META, &META_KEY_CHECK.to_owned())? {
        Some(Meta::KeyCheck(sealed)) => match master.open(Binding::Check, &sealed) {
            Ok(_) => Ok(true),
            Err(_) => Err(OpenError::KeyWrong),
        },
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }.into()),
        None => Ok(false),
    }
}

fn committed(context: &Arc<Context>) -> Committed {
    let context = context.clone();
    Box::new(move |effects, read| context.committed(effects, read))
}

fn random<const N: usize>(driver: &Driver) -> [u8; N] {
    let mut bytes = [0; N];
    (driver.random)(&mut bytes);
    bytes
}
