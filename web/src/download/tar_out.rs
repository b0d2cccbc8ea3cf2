//! Writes tar: `ustar` headers, and extended ones (POSIX pax) for what these can't hold.

use super::tar::{BLOCK, Entry, Kind, filling, sum_of};
use std::io::{self, Write};

/// The longest name that a plain header holds.
const PLAIN_NAME: usize = 100;
/// Sizes and ids from here on don't fit the octal digits of a header.
const MOST_SIZE: u64 = 0o777_7777_7777;
const MOST_ID: u64 = 0o777_7777;

/// Writes the headers of an entry. Its content follows, then [`fill`].
pub(super) fn head(to: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let mut name = entry.name.clone();
    if entry.kind == Kind::Folder {
        name.push(b'/');
    }
    let is_plain = |text: &[u8]| text.len() <= PLAIN_NAME && text.is_ascii();
    let mut records = Vec::new();
    if !is_plain(&name) {
        record(&mut records, b"path", &name);
    }
    if !is_plain(&entry.leads_to) {
        record(&mut records, b"linkpath", &entry.leads_to);
    }
    if entry.size > MOST_SIZE {
        record(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > MOST_ID {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    if u64::try_from(entry.modified_at).is_err() {
        record(&mut records, b"mtime", entry.modified_at.to_string().as_bytes());
    }
    for (key, value) in &entry.attributes {
        record(&mut records, key, value);
    }
    if !records.is_empty() {
        let size = records.len() as u64;
        let about = Entry { size, mode: 0o644, leads_to: Vec::new(), ..entry.clone() };
        to.write_all(&header(&about, b"PaxHeaders/entry", b'x'))?;
        to.write_all(&records)?;
        fill(to, size)?;
    }
    let kind = match entry.kind {
        Kind::File => b'0',
        Kind::Link => b'2',
        Kind::Folder => b'5',
    };
    to.write_all(&header(entry, &name, kind))
}

/// Fills the last block of a content of so many bytes.
pub(super) fn fill(to: &mut impl Write, size: u64) -> io::Result<()> {
    let count = usize::try_from(filling(size)).unwrap_or(0);
    to.write_all(&[0; BLOCK][..count])
}

/// Writes the end of an archive.
pub(super) fn end(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&[0; 2 * BLOCK])
}

fn header(entry: &Entry, name: &[u8], kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, most: usize, text: &[u8]| {
        let text = &text[..text.len().min(most)];
        block[at..at + text.len()].copy_from_slice(text);
    };
    let octal = |number: u64, digits: usize| format!("{number:0digits$o}\0").into_bytes();
    let fitting = |number: u64, most: u64| if number > most { 0 } else { number };
    put(0, PLAIN_NAME, name);
    put(100, 8, &octal(entry.mode.into(), 7));
    put(108, 8, &octal(fitting(entry.uid, MOST_ID), 7));
    put(116, 8, &octal(fitting(entry.gid, MOST_ID), 7));
    put(124, 12, &octal(fitting(entry.size, MOST_SIZE), 11));
    put(136, 12, &octal(fitting(u64::try_from(entry.modified_at).unwrap_or(0), MOST_SIZE), 11));
    put(156, 1, &[kind]);
    put(157, PLAIN_NAME, &entry.leads_to);
    put(257, 8, b"ustar\x0000");
    put(265, 31, &entry.user);
    put(297, 31, &entry.group);
    let sum = sum_of(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// `length key=value\n`, where the length counts itself.
fn record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest > length {
        length += 1;
    }
    to.extend_from_slice(length.to_string().as_bytes());
    to.push(b' ');
    to.extend_from_slice(key);
    to.push(b'=');
    to.extend_from_slice(value);
    to.push(b'\n');
}
