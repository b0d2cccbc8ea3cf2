//! From the tar that restic gives to the archive that is sent.

use super::tar::{Entry, Kind, Reader};
use super::tar_out;
use super::zip::Zip;
use flate2::{Compression, write::GzEncoder};
use std::io::{self, Read, Write};

const BUFFER_BYTES: usize = 16 * 1024;

/// What an archive is of.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    /// The path of the folder that restic gives.
    pub(super) folder: &'a [u8],
    /// The one folder that all lies in when it is unpacked.
    pub(super) top: &'a [u8],
    /// Now, in seconds since 1970.
    pub(super) at: i64,
}

impl Of<'_> {
    /// The folder itself, where nothing is in it that would have it made.
    fn empty(self) -> Entry {
        Entry {
            name: self.top.to_vec(),
            kind: Kind::Folder,
            size: 0,
            mode: 0o755,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            modified_at: self.at,
            leads_to: Vec::new(),
            attributes: Vec::new(),
        }
    }

    fn place(self, mut entry: Entry) -> Entry {
        entry.name = [self.top, b"/", &entry.name].concat();
        entry
    }
}

/// Writes a compressed tar of the folder. Its end is written only when all has come whole.
pub(super) fn tar_gz<W: Write>(from: impl Read, of: Of<'_>, to: W) -> io::Result<W> {
    let mut reader = Reader::new(from, of.folder);
    let mut to = GzEncoder::new(to, Compression::fast());
    let mut buffer = [0; BUFFER_BYTES];
    let mut is_empty = true;
    while let Some(entry) = reader.next_entry()? {
        is_empty = false;
        let entry = of.place(entry);
        tar_out::head(&mut to, &entry)?;
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                count => to.write_all(&buffer[..count])?,
            }
        }
        tar_out::fill(&mut to, entry.size)?;
    }
    reader.finish()?;
    if is_empty {
        tar_out::head(&mut to, &of.empty())?;
    }
    tar_out::end(&mut to)?;
    let mut to = to.finish()?;
    to.flush()?;
    Ok(to)
}

/// Writes a zip of the folder. Its end, without which it is none, is written only when all has come whole.
pub(super) fn zip<W: Write>(from: impl Read, of: Of<'_>, to: W) -> io::Result<W> {
    let mut reader = Reader::new(from, of.folder);
    let mut to = Zip::new(to);
    let mut is_empty = true;
    while let Some(entry) = reader.next_entry()? {
        is_empty = false;
        let entry = of.place(entry);
        to.add(&entry, |buffer| if entry.kind == Kind::File { reader.read(buffer) } else { Ok(0) })?;
    }
    reader.finish()?;
    if is_empty {
        to.add(&of.empty(), |_| Ok(0))?;
    }
    to.finish()
}

#[cfg(test)]
mod tests {
    use super::super::tar::filling;
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::process::Command;

    const OF: Of<'_> = Of { folder: b"/srv/a", top: b"a", at: 1_780_000_000 };

    fn entry(name: &[u8], kind: Kind, size: usize) -> Entry {
        Entry {
            name: name.to_vec(),
            kind,
            size: size as u64,
            mode: 0o644,
            uid: 1_000,
            gid: 1_000,
            user: b"ada".to_vec(),
            group: b"ada".to_vec(),
            modified_at: 1_700_000_000,
            leads_to: if kind == Kind::Link { b"/etc/passwd".to_vec() } else { Vec::new() },
            attributes: vec![(b"SCHILY.xattr.user.a".to_vec(), b"b=c\n".to_vec())],
        }
    }

    /// An archive as restic makes one of `/srv/a`, of these names and kinds.
    fn archive_of(entries: &[(&[u8], Kind)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, kind) in entries {
            let content = if *kind == Kind::File { *name } else { b"" };
            tar_out::head(&mut bytes, &entry(name, *kind, content.len())).unwrap();
            bytes.extend(content);
            tar_out::fill(&mut bytes, content.len() as u64).unwrap();
        }
        tar_out::end(&mut bytes).unwrap();
        bytes
    }

    fn read(archive: &[u8]) -> io::Result<Vec<Entry>> {
        let mut reader = Reader::new(archive, b"/srv/a");
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
        reader.finish()?;
        Ok(entries)
    }

    #[test]
    fn entries_are_named_from_the_folder_on_and_keep_what_they_are() {
        let long = [b"srv/a/d/".as_slice(), &[b'x'; 255]].concat();
        let archive = archive_of(&[
            (b"srv/a/b", Kind::File),
            (b"srv/a/c", Kind::Link),
            (b"srv/a/d", Kind::Folder),
            (b"srv/a/d/\xff\n", Kind::File),
        ]);
        let names: Vec<Vec<u8>> = read(&archive).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, [b"b".as_slice(), b"c", b"d", b"d/\xff\n"]);
        let archive = archive_of(&[(b"srv/a/d", Kind::Folder), (&long, Kind::File)]);
        let found = read(&archive).unwrap();
        assert_eq!(found[1], Entry { name: long[6..].to_vec(), ..entry(b"", Kind::File, long.len()) });
    }

    #[test]
    fn what_leads_out_of_the_folder_or_through_a_link_ends_the_archive() {
        let hostile: &[&[(&[u8], Kind)]] = &[
            &[(b"etc/passwd", Kind::File)],
            &[(b"srv/ab", Kind::File)],
            &[(b"/srv/a/b", Kind::File)],
            &[(b"srv/a/../b", Kind::File)],
            &[(b"srv/a/..", Kind::Folder)],
            &[(b"srv/a//b", Kind::File)],
            &[(b"srv/a/./b", Kind::File)],
            &[(b"srv/a/", Kind::Folder)],
            &[(b"srv/a/b/c", Kind::File)],
            &[(b"srv/a/b", Kind::Link), (b"srv/a/b/c", Kind::File)],
            &[(b"srv/a/b", Kind::Link), (b"srv/a/b", Kind::Folder), (b"srv/a/b/c", Kind::File)],
            &[(b"srv/a/b", Kind::Folder), (b"srv/a/b", Kind::Link)],
            &[(b"srv/a/b", Kind::Folder), (b"srv/a/c", Kind::Link), (b"srv/a/b/d", Kind::File)],
            &[(b"srv/a/c", Kind::File), (b"srv/a/b", Kind::File)],
        ];
        for entries in hostile {
            let error = read(&archive_of(entries)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{entries:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = read(&bytes);
        }

        #[test]
        fn an_archive_that_was_cut_or_altered_is_none_or_reads_without_a_panic(
            at in any::<prop::sample::Index>(), byte: u8,
        ) {
            let mut archive = archive_of(&[(b"srv/a/b", Kind::File), (b"srv/a/d", Kind::Folder)]);
            let at = at.index(archive.len());
            prop_assert!(at + 1024 > archive.len() || tar_gz(&archive[..at], OF, Vec::new()).is_err());
            archive[at] = byte;
            let _ = read(&archive);
        }
    }

    #[test]
    fn gnu_tar_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let archive =
            archive_of(&[(b"srv/a/b\n", Kind::File), (b"srv/a/d", Kind::Folder), (b"srv/a/d/x", Kind::File)]);
        let file = folder.path().join("a.tar.gz");
        fs::write(&file, tar_gz(archive.as_slice(), OF, Vec::new()).unwrap()).unwrap();
        let unpacked =
            Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder.path()).status().unwrap();
        assert!(unpacked.success());
        assert_eq!(fs::read(folder.path().join("a/b\n")).unwrap(), b"srv/a/b\n");
        assert_eq!(fs::read(folder.path().join("a/d/x")).unwrap(), b"srv/a/d/x");
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "a.tar.gz"], "all lies in one folder");
        assert_eq!(filling(513), 511);
    }

    #[test]
    fn of_an_empty_folder_there_is_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = archive_of(&[]);
        let file = |name: &str, bytes: Vec<u8>| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let tar = file("a.tar.gz", tar_gz(nothing.as_slice(), OF, Vec::new()).unwrap());
        let listed = Command::new("tar").arg("-tzvf").arg(&tar).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.starts_with("drwxr-xr-x") && listed.ends_with(" a/\n"), "{listed}");
        let zipped = file("a.zip", zip(nothing.as_slice(), OF, Vec::new()).unwrap());
        let script = "import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).namelist())";
        let listed = Command::new("python3").args(["-c", script]).arg(&zipped).output().unwrap();
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), "['a/']\n");
    }

    #[test]
    fn a_zip_of_more_names_than_fit_ends_with_an_error() {
        let names: Vec<Vec<u8>> = (0..12_000).map(|at| format!("srv/a/{at:0200}").into_bytes()).collect();
        let entries: Vec<(&[u8], Kind)> = names.iter().map(|name| (name.as_slice(), Kind::File)).collect();
        let error = zip(archive_of(&entries).as_slice(), OF, io::sink()).unwrap_err();
        assert!(error.to_string().contains("tar.gz"), "{error}");
    }
}
