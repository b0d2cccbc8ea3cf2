//! The tar that restic makes of a folder, read as it comes: each entry is checked, and named from the folder on.
//!
//! restic names entries by their whole path and writes a folder before what is in it, names in the order of their bytes.
//! Nothing else passes: a name that leaves the folder, comes twice or lies in something that is no folder ends the
//! archive, so that no unpacker can be led through a link that the archive itself has made.

use std::io::{self, Read};

/// Of a block, in bytes.
pub(super) const BLOCK: usize = 512;
/// The longest set of extended attributes and names of one entry, in bytes.
const MOST_EXTENDED: u64 = 256 * 1024;
/// The most folders in each other.
const DEEPEST: usize = 4_096;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
}

/// One entry, named from the folder on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// Permissions alone.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) user: Vec<u8>,
    pub(super) group: Vec<u8>,
    /// In seconds since 1970.
    pub(super) modified_at: i64,
    /// Of a link: where it leads.
    pub(super) leads_to: Vec<u8>,
    /// Extended attributes, as tar has them.
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads entries of an archive of one folder.
pub(super) struct Reader<R> {
    from: R,
    /// The folder's path without the slash at its beginning, and with one at its end; empty = the root.
    folder: Vec<u8>,
    order: Order,
    /// Of the content of the current entry: what was not read, and what fills its last block.
    left: u64,
    fill: u64,
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("restic's archive can't be passed on: {why}"))
}

impl<R: Read> Reader<R> {
    /// Of the folder with this path.
    pub(super) fn new(from: R, folder: &[u8]) -> Self {
        let mut folder = folder.strip_prefix(b"/").unwrap_or(folder).to_vec();
        if !folder.is_empty() {
            folder.push(b'/');
        }
        Self { from, folder, order: Order::default(), left: 0, fill: 0 }
    }

    /// The next entry; what was not read of the one before is passed over. `None` = that was all.
    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        self.skip_rest()?;
        let mut extended = Vec::new();
        loop {
            let mut block = [0; BLOCK];
            self.from.read_exact(&mut block)?;
            if block == [0; BLOCK] {
                return Ok(None);
            }
            check_sum(&block)?;
            let size = number(&block[124..136])?;
            match block[156] {
                b'x' => {
                    extended = records(&self.content(size)?)?;
                }
                // For all entries: nothing of ours.
                b'g' => drop(self.content(size)?),
                kind => return self.entry(&block, kind, size, extended).map(Some),
            }
        }
    }

    /// The content of the current entry.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.from.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }

    /// Reads to the end of all, which is an error where that does not come whole.
    pub(super) fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self.from, &mut io::sink()).map(|_| ())
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let rest = self.left.saturating_add(self.fill);
        (self.left, self.fill) = (0, 0);
        if io::copy(&mut (&mut self.from).take(rest), &mut io::sink())? < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The whole content of an entry that is about the next one.
    fn content(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MOST_EXTENDED {
            return Err(bad("an entry has too many extended attributes"));
        }
        let mut content = Vec::new();
        (&mut self.from).take(size).read_to_end(&mut content)?;
        if (content.len() as u64) < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.fill = filling(size);
        self.skip_rest()?;
        Ok(content)
    }

    fn entry(
        &mut self,
        block: &[u8; BLOCK],
        kind: u8,
        size: u64,
        extended: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> io::Result<Entry> {
        let of =
            |key: &[u8]| extended.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_slice());
        let size = match of(b"size") {
            Some(text) => decimal(text).ok_or_else(|| bad("a size is no number"))?,
            None => size,
        };
        let whole = of(b"path").map_or_else(|| name(block), <[u8]>::to_vec);
        let kind = match kind {
            b'0' | 0 => Kind::File,
            b'5' => Kind::Folder,
            b'2' => Kind::Link,
            _ => return Err(bad("an entry is of a kind that restic never writes")),
        };
        if kind != Kind::File && size != 0 {
            return Err(bad("something that is no file has content"));
        }
        let inner = whole
            .strip_prefix(self.folder.as_slice())
            .ok_or_else(|| bad("an entry lies outside of the folder"))?;
        let inner = inner.strip_suffix(b"/").unwrap_or(inner);
        self.order.take(inner, kind).map_err(bad)?;
        let leads_to = of(b"linkpath").unwrap_or_else(|| text(&block[157..257])).to_vec();
        let seconds = of(b"mtime").and_then(|text| text.split(|&byte| byte == b'.').next());
        let modified_at = match seconds {
            Some(seconds) => std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok()),
            None => number(&block[136..148]).ok().and_then(|seconds| i64::try_from(seconds).ok()),
        };
        let id = |key: &[u8], field: &[u8]| of(key).and_then(decimal).or_else(|| number(field).ok());
        let name_of = |key: &[u8], field: &[u8]| of(key).map_or_else(|| text(field).to_vec(), <[u8]>::to_vec);
        let entry = Entry {
            name: inner.to_vec(),
            kind,
            size,
            mode: u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or(0),
            uid: id(b"uid", &block[108..116]).unwrap_or(0),
            gid: id(b"gid", &block[116..124]).unwrap_or(0),
            user: name_of(b"uname", &block[265..297]),
            group: name_of(b"gname", &block[297..329]),
            modified_at: modified_at.unwrap_or(0),
            leads_to,
            attributes: Vec::new(),
        };
        let attributes = extended.into_iter().filter(|(name, _)| name.starts_with(b"SCHILY.xattr."));
        let entry = Entry { attributes: attributes.collect(), ..entry };
        (self.left, self.fill) = (size, filling(size));
        Ok(entry)
    }
}

/// Where in the folder the archive is: each folder that is open, and the last name in it.
#[derive(Debug, Default)]
struct Order {
    open: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    last: Vec<u8>,
    is_folder: bool,
}

impl Order {
    fn take(&mut self, path: &[u8], kind: Kind) -> Result<(), &'static str> {
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        if parts.iter().any(|part| part.is_empty() || matches!(*part, b"." | b"..") || part.contains(&0)) {
            return Err("a name leads elsewhere");
        }
        let Some((name, folders)) = parts.split_last() else { return Err("a name is empty") };
        if folders.len() > DEEPEST {
            return Err("folders lie too deep in each other");
        }
        let is_open = folders.len() <= self.open.len()
            && folders.iter().zip(&self.open).all(|(part, level)| level.is_folder && *part == level.last);
        if !is_open {
            return Err("an entry comes before the folder that it lies in");
        }
        self.open.truncate(folders.len() + 1);
        match self.open.get_mut(folders.len()) {
            Some(level) if level.last.as_slice() >= *name => return Err("names come twice or out of order"),
            Some(level) => *level = Level { last: name.to_vec(), is_folder: kind == Kind::Folder },
            None => self.open.push(Level { last: name.to_vec(), is_folder: kind == Kind::Folder }),
        }
        Ok(())
    }
}

/// How many bytes fill the last block behind so many.
pub(super) const fn filling(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn check_sum(block: &[u8; BLOCK]) -> io::Result<()> {
    let sum: u64 = sum_of(block);
    if number(&block[148..156])? == sum { Ok(()) } else { Err(bad("a header is damaged")) }
}

/// The sum over a header, its own field counted as blanks.
pub(super) fn sum_of(block: &[u8; BLOCK]) -> u64 {
    let bytes = block.iter().enumerate();
    bytes.map(|(at, &byte)| u64::from(if (148..156).contains(&at) { b' ' } else { byte })).sum()
}

/// A field of text, up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The name of a header without extended ones.
fn name(block: &[u8; BLOCK]) -> Vec<u8> {
    let mut whole = Vec::new();
    if &block[257..262] == b"ustar" && block[263] == b'0' {
        whole.extend_from_slice(text(&block[345..500]));
        if !whole.is_empty() {
            whole.push(b'/');
        }
    }
    whole.extend_from_slice(text(&block[..100]));
    whole
}

/// A number of a header: octal digits, or binary where the first bit is set.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let high = field.len() - 8;
        if field[0] != 0x80 || field[1..high.max(1)].iter().any(|&byte| byte != 0) || field.len() <= 8 {
            return Err(bad("a number is too large"));
        }
        return Ok(field[high..].iter().fold(0, |number, &byte| number << 8 | u64::from(byte)));
    }
    let digits =
        field.iter().skip_while(|&&byte| byte == b' ').take_while(|&&byte| byte != 0 && byte != b' ');
    digits.copied().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'7' => Ok(number << 3 | u64::from(byte - b'0')),
        _ => Err(bad("a number is none")),
    })
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The records of an extended header: `length key=value\n` each.
fn records(mut content: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let odd = || bad("extended attributes can't be read");
    let mut records = Vec::new();
    while !content.is_empty() {
        let blank = content.iter().position(|&byte| byte == b' ').ok_or_else(odd)?;
        let length = decimal(&content[..blank]).and_then(|length| usize::try_from(length).ok());
        let length =
            length.filter(|&length| length > blank + 1 && length <= content.len()).ok_or_else(odd)?;
        let record = content[blank + 1..length].strip_suffix(b"\n").ok_or_else(odd)?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(odd)?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        content = &content[length..];
    }
    Ok(records)
}
