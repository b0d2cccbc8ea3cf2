//! Writes zip while it goes: sizes stand behind each content, and the directory at the end.
//!
//! Names are the bytes that they are; those that are UTF-8 are marked so. The directory is held in memory until then, so
//! its length is bounded; a folder with more in it is for tar.

use super::tar::{Entry, Kind};
use flate2::{Compression, Crc, write::DeflateEncoder};
use std::io::{self, Write};

/// The longest directory, in bytes: of some ten thousand entries.
const MOST_DIRECTORY: usize = 2 * 1024 * 1024;
/// What does not fit a field stands in an extra one.
const TOO_LARGE: u64 = 0xffff_ffff;
/// From here on sizes are written in eight bytes: deflate may make more of what can't be made less.
const LARGE: u64 = 0xf000_0000;
const VERSION: u16 = 45;
const MADE_ON_UNIX: u16 = 3 << 8 | VERSION;
const SIZES_BEHIND: u16 = 1 << 3;
const NAME_IS_UTF8: u16 = 1 << 11;
const DEFLATED: u16 = 8;

/// Counts what passes.
struct Counted<W> {
    to: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// An archive that is written.
pub(super) struct Zip<W: Write> {
    to: Counted<W>,
    directory: Vec<u8>,
    entries: u64,
}

impl<W: Write> Zip<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to: Counted { to, count: 0 }, directory: Vec::new(), entries: 0 }
    }

    /// Adds an entry; `content` gives its bytes piece by piece, an empty piece at the end.
    pub(super) fn add(
        &mut self,
        entry: &Entry,
        mut content: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut name = entry.name.clone();
        if entry.kind == Kind::Folder {
            name.push(b'/');
        }
        let length = u16::try_from(name.len()).map_err(|_| io::Error::other("a name is too long for zip"))?;
        let flags = SIZES_BEHIND | if std::str::from_utf8(&name).is_ok() { NAME_IS_UTF8 } else { 0 };
        let is_large = entry.size >= LARGE;
        let (date, time) = dos(entry.modified_at);
        let offset = self.to.count;
        let mut head = Vec::new();
        head.extend(0x0403_4b50_u32.to_le_bytes());
        for field in [VERSION, flags, DEFLATED, time, date] {
            head.extend(field.to_le_bytes());
        }
        // Sum and sizes stand behind the content.
        head.extend([0; 4]);
        head.extend(if is_large { [0xff; 8] } else { [0; 8] });
        head.extend(length.to_le_bytes());
        head.extend(if is_large { 20_u16 } else { 0 }.to_le_bytes());
        head.extend(&name);
        if is_large {
            head.extend(1_u16.to_le_bytes());
            head.extend(16_u16.to_le_bytes());
            head.extend([0; 16]);
        }
        self.to.write_all(&head)?;
        let begun = self.to.count;
        let mut sum = Crc::new();
        let mut size = 0_u64;
        let mut deflated = DeflateEncoder::new(&mut self.to, Compression::fast());
        if entry.kind == Kind::Link {
            sum.update(&entry.leads_to);
            size = entry.leads_to.len() as u64;
            deflated.write_all(&entry.leads_to)?;
        }
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = content(&mut buffer)?;
            if count == 0 {
                break;
            }
            sum.update(&buffer[..count]);
            size += count as u64;
            deflated.write_all(&buffer[..count])?;
        }
        deflated.finish()?;
        let packed = self.to.count - begun;
        let mut behind = Vec::new();
        behind.extend(0x0807_4b50_u32.to_le_bytes());
        behind.extend(sum.sum().to_le_bytes());
        for size in [packed, size] {
            match (is_large, u32::try_from(size)) {
                (true, _) => behind.extend(size.to_le_bytes()),
                (false, Ok(size)) => behind.extend(size.to_le_bytes()),
                (false, Err(_)) => return Err(io::Error::other("a file is longer than it was said to be")),
            }
        }
        self.to.write_all(&behind)?;
        self.entries += 1;
        self.list(entry, &name, (flags, date, time), sum.sum(), (packed, size, offset))
    }

    fn list(
        &mut self,
        entry: &Entry,
        name: &[u8],
        (flags, date, time): (u16, u16, u16),
        sum: u32,
        (packed, size, offset): (u64, u64, u64),
    ) -> io::Result<()> {
        let mut extra = Vec::new();
        for number in [size, packed, offset] {
            if number >= TOO_LARGE {
                extra.extend(number.to_le_bytes());
            }
        }
        let short = |number: u64| u32::try_from(number.min(TOO_LARGE)).unwrap_or(u32::MAX).to_le_bytes();
        let sort = match entry.kind {
            Kind::File => 0o100_000,
            Kind::Folder => 0o040_000,
            Kind::Link => 0o120_000,
        };
        let is_folder = u32::from(entry.kind == Kind::Folder) << 4;
        let row = &mut self.directory;
        row.extend(0x0201_4b50_u32.to_le_bytes());
        for field in [MADE_ON_UNIX, VERSION, flags, DEFLATED, time, date] {
            row.extend(field.to_le_bytes());
        }
        row.extend(sum.to_le_bytes());
        row.extend(short(packed));
        row.extend(short(size));
        let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_le_bytes();
        row.extend(length(name.len()));
        row.extend(length(if extra.is_empty() { 0 } else { extra.len() + 4 }));
        // No comment, the first disk, no inner attributes.
        row.extend([0; 6]);
        row.extend(((sort | entry.mode) << 16 | is_folder).to_le_bytes());
        row.extend(short(offset));
        row.extend(name);
        if !extra.is_empty() {
            row.extend(1_u16.to_le_bytes());
            row.extend(length(extra.len()));
            row.extend(extra);
        }
        if row.len() > MOST_DIRECTORY {
            return Err(io::Error::other("the folder holds too many files for a zip: download it as tar.gz"));
        }
        Ok(())
    }

    /// Writes the directory and the end.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let (offset, length) = (self.to.count, self.directory.len() as u64);
        self.to.write_all(&self.directory)?;
        let mut end = Vec::new();
        if self.entries >= 0xffff || offset >= TOO_LARGE {
            let at = self.to.count;
            end.extend(0x0606_4b50_u32.to_le_bytes());
            end.extend(44_u64.to_le_bytes());
            end.extend(MADE_ON_UNIX.to_le_bytes());
            end.extend(VERSION.to_le_bytes());
            end.extend([0; 8]);
            for number in [self.entries, self.entries, length, offset] {
                end.extend(number.to_le_bytes());
            }
            end.extend(0x0706_4b50_u32.to_le_bytes());
            end.extend([0; 4]);
            end.extend(at.to_le_bytes());
            end.extend(1_u32.to_le_bytes());
        }
        let short = |number: u64| u32::try_from(number.min(TOO_LARGE)).unwrap_or(u32::MAX).to_le_bytes();
        let entries = u16::try_from(self.entries.min(0xffff)).unwrap_or(u16::MAX).to_le_bytes();
        end.extend(0x0605_4b50_u32.to_le_bytes());
        end.extend([0; 4]);
        end.extend(entries);
        end.extend(entries);
        end.extend(short(length));
        end.extend(short(offset));
        end.extend([0; 2]);
        self.to.write_all(&end)?;
        self.to.flush()?;
        Ok(self.to.to)
    }
}

/// Date and time as zip has them: by two seconds, from 1980 on, here in UTC.
fn dos(at: i64) -> (u16, u16) {
    let Ok(at) = jiff::Timestamp::from_second(at) else { return (0x21, 0) };
    let at = jiff::tz::Offset::UTC.to_datetime(at);
    let Some(year) = u16::try_from(at.year() - 1980).ok().filter(|year| *year < 128) else {
        return (0x21, 0);
    };
    let part = |number: i8| u16::try_from(number).unwrap_or(0);
    let date = year << 9 | part(at.month()) << 5 | part(at.day());
    (date, part(at.hour()) << 11 | part(at.minute()) << 5 | (part(at.second()) / 2))
}
