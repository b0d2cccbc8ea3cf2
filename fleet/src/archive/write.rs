//! Writing an archive.

use super::about::{About, Counts, FORM};
use super::block::Filling;
use super::error::ArchiveError;
use super::key::ArchiveKey;
use crate::access_row;
use crate::authority;
use crate::fleet::Fleet;
use crate::incarnation;
use crate::refused::StoreError;
use crate::store::{Aside, HOSTS, Moment, NAMES, Order, ReadView, Reads as _, Span, file_format};
use age::stream::StreamWriter;
use data_encoding::HEXLOWER;
use schema::{Incarnation, Timestamp};
use std::io::Write;
use std::ops::ControlFlow;
use zeroize::Zeroizing;

/// A file that lies in an archive beside the rows.
pub struct ArchivePart {
    /// One of [`super::ARCHIVE_PARTS`].
    pub name: &'static str,
    /// What it holds.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// What a server is beside its data file and its master key.
#[derive(Default)]
pub struct Beside {
    /// The files.
    pub parts: Vec<ArchivePart>,
    /// What could not be had, and an archive goes without, in words.
    pub lacks: Vec<String>,
}

/// An archive that is about to be written: what the server is at this instant.
pub struct Archiving {
    view: ReadView,
    /// What the view is of, where it is not the file that the server has in use.
    aside: Option<Aside>,
    about: About,
    parts: Vec<ArchivePart>,
    server: String,
}

impl Fleet {
    /// Takes the instant whose state the archive is to hold. `parts` are what the server is beside the data file and
    /// the master key, which is added.
    pub fn begin_archive(&self, parts: Vec<ArchivePart>, version: &str) -> Result<Archiving, ArchiveError> {
        self.archiving(self.view()?, None, parts, version)
    }

    /// The same as the data file stood at a moment: it is read beside the pages that the server keeps in memory.
    pub(super) fn begin_archive_aside(
        &self,
        moment: Moment,
        parts: Vec<ArchivePart>,
        version: &str,
    ) -> Result<Archiving, ArchiveError> {
        let aside = moment.open()?;
        self.archiving(aside.view()?, Some(aside), parts, version)
    }

    /// What tells this server's archives from another one's in one folder; nothing can be learnt of the master key from it. One that
    /// was made of this one is another one: both may run, and what is made of an archive has the settings of the first.
    pub(super) fn archives_of(&self) -> Result<String, StoreError> {
        Ok(self.archives_of_incarnation(incarnation::read(&self.view()?)?))
    }

    fn archives_of_incarnation(&self, incarnation: Incarnation) -> String {
        let of = match incarnation {
            Incarnation::ZERO => "archives".to_owned(),
            later => format!("archives of incarnation {later}"),
        };
        HEXLOWER.encode(&self.context().master.mark(&of))
    }

    fn archiving(
        &self,
        view: ReadView,
        aside: Option<Aside>,
        parts: Vec<ArchivePart>,
        version: &str,
    ) -> Result<Archiving, ArchiveError> {
        let context = self.context();
        // Nobody may take for a whole archive what holds a part, and have others removed for it.
        if context.damage().is_some() {
            return Err(StoreError::OnlyReads.into());
        }
        let certificates = ["tls/ca.pem", "tls/next.pem"];
        let parts_of = certificates.iter().filter_map(|name| parts.iter().find(|part| part.name == *name));
        let found: Vec<_> = parts_of.filter_map(|part| authority::fingerprint_of(&part.bytes)).collect();
        // They were read before this instant.
        if !found.is_empty() && !authority::is_usual(&access_row::bound(&view)?, &found) {
            return Err(ArchiveError::AuthorityChanged);
        }
        let incarnation = incarnation::read(&view)?;
        let about = About {
            holdfast_archive: FORM,
            made_at_ms: context.now().0,
            server_version: version.to_owned(),
            data_format: file_format::FORMAT,
            incarnation: incarnation.0,
            hosts: view.keys(&HOSTS, &Span::ALL, usize::MAX)?.len() as u64,
            mqtt_address: access_row::text(&access_row::given(&view)?),
            lacks: Vec::new(),
        };
        let mut all = vec![ArchivePart { name: "master.key", bytes: context.master.text() }];
        all.extend(parts);
        Ok(Archiving { view, aside, about, parts: all, server: self.archives_of_incarnation(incarnation) })
    }
}

impl Archiving {
    /// It says of itself that it goes without these.
    #[must_use]
    pub fn lacking(mut self, lacks: Vec<String>) -> Self {
        self.about.lacks = lacks;
        self
    }

    /// The instant whose state it holds.
    #[must_use]
    pub const fn made_at(&self) -> Timestamp {
        Timestamp(self.about.made_at_ms)
    }

    /// Whose it is: see [`Fleet::archives_of`].
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Writes it; returns how many rows it holds. Reads the whole data file, and blocks.
    pub fn write<W: Write>(self, key: &ArchiveKey, to: W) -> Result<u64, ArchiveError> {
        let written = self.write_all(key, to);
        match &self.aside {
            Some(aside) if !aside.is_true() => Err(ArchiveError::Overtaken),
            _ => written,
        }
    }

    fn write_all<W: Write>(&self, key: &ArchiveKey, to: W) -> Result<u64, ArchiveError> {
        let mut out = Out { tar: tar::Builder::new(key.seal(to)?), made_at: self.made_at() };
        out.json("about.json", &self.about)?;
        for part in &self.parts {
            out.file(part.name, &part.bytes)?;
        }
        let mut counts = Counts::default();
        for (table, name) in NAMES.into_iter().enumerate() {
            let (mut filling, mut number, mut rows) = (Filling::default(), 0, 0);
            let mut failed = None;
            self.view.walk_raw(table, &Span::ALL, Order::Ascending, &mut |key, row| {
                rows += 1;
                if let Some(block) = filling.add(key, row)
                    && let Err(error) = out.block(name, &mut number, &block)
                {
                    failed = Some(error);
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if let Some(block) = filling.take() {
                out.block(name, &mut number, &block)?;
            }
            counts.add(name, rows);
        }
        out.json("end.json", &counts)?;
        out.end()?;
        Ok(counts.sum())
    }
}

struct Out<W: Write> {
    tar: tar::Builder<StreamWriter<W>>,
    made_at: Timestamp,
}

impl<W: Write> Out<W> {
    fn json(&mut self, name: &str, value: &impl serde::Serialize) -> Result<(), ArchiveError> {
        let text = serde_json::to_vec(value).map_err(|error| ArchiveError::Write(error.into()))?;
        self.file(name, &text)
    }

    fn block(&mut self, table: &str, number: &mut u32, block: &[u8]) -> Result<(), ArchiveError> {
        *number += 1;
        self.file(&format!("rows/{table}/{number:06}"), block)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.made_at.0 / 1000);
        self.tar.append_data(&mut header, name, bytes).map_err(ArchiveError::Write)
    }

    fn end(self) -> Result<(), ArchiveError> {
        let sealed = self.tar.into_inner().map_err(ArchiveError::Write)?;
        sealed.finish().map_err(ArchiveError::Write)?.flush().map_err(ArchiveError::Write)
    }
}
