//! A bundle as one file: a tar archive with the files of the folder at its top, in any order. It is how bundles travel.
//! An archive comes from anybody: only regular files with plain names are taken from it, few of them, and no more bytes
//! than a bundle may have.

use crate::{Bundle, DESCRIPTION, is_file_name, open_file, refused};
use machine::error::Error;
use rustix::fs::{Mode, OFlags, open};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use tar::{Archive, Builder, EntryType, GnuExtSparseHeader, GnuHeader, Header, HeaderMode};

/// Most bytes of a bundle's files, holes included.
pub const BYTES_MAXIMUM: u64 = 16 << 30;
/// Most files: the description and what it names.
const FILES: usize = 4;
/// Where an archive says what it is, and how.
const MAGIC: std::ops::Range<usize> = 257..262;
/// Bytes of a file's beginning that [`is_archive`] looks at.
pub const MAGIC_END: usize = MAGIC.end;
/// What is read at once, bytes. Pieces of zeros are not written.
const CHUNK: usize = 64 << 10;

/// Whether a file is an archive, by its beginning.
pub fn is_archive(beginning: &[u8]) -> bool {
    beginning.get(MAGIC).is_some_and(|magic| magic == b"ustar")
}

/// Writes a bundle's archive: the same bytes for the same files.
pub fn pack(folder: &Path, to: &mut impl Write) -> Result<(), Error> {
    let Bundle { description, kernel, initrd, disk, .. } = Bundle::open(folder, false)?;
    let failed = |source| Error::System { doing: "pack the bundle", source };
    let name = folder.display().to_string();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = open(folder, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let text = open_file(&opened, &name, DESCRIPTION, false)?;
    let mut builder = Builder::new(to);
    builder.mode(HeaderMode::Deterministic);
    let files = [
        (Some(DESCRIPTION.to_owned()), Some(text)),
        (Some(description.kernel), Some(kernel)),
        (description.initrd, initrd),
        (description.disk, disk),
    ];
    let mut packed = BTreeSet::new();
    for (name, file) in files {
        let (Some(name), Some(mut file)) = (name, file) else { continue };
        if packed.insert(name.clone()) {
            builder.append_file(&name, &mut file).map_err(failed)?;
        }
    }
    builder.finish().map_err(failed)
}

fn damaged(e: io::Error) -> Error {
    refused(format!("the archive is damaged: {e}"))
}

/// Bytes of a header, and of what is between two.
const BLOCK: usize = 512;
/// Headers of one file with holes, at the most: each has 21 of its pieces.
const HEADERS: usize = 1 << 20;

/// Refuses entries that are neither files nor the folder itself, by their headers: names that are too long for one, and
/// attributes, come as entries of their own, which whoever reads an archive takes into memory as long as they are.
fn check_kinds(from: &mut (impl Read + Seek)) -> Result<(), Error> {
    let mut block = [0; BLOCK];
    // The folder itself may be one, and the end is one more.
    for _ in 0..FILES + 2 {
        match from.read_exact(&mut block) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            outcome => outcome.map_err(damaged)?,
        }
        if block == [0; BLOCK] {
            return Ok(());
        }
        let header = Header::from_byte_slice(&block);
        let kind = header.entry_type();
        if !matches!(kind, EntryType::Regular | EntryType::GNUSparse | EntryType::Directory) {
            return Err(refused("a bundle's archive has files at its top, and nothing else"));
        }
        let mut more = kind == EntryType::GNUSparse && header.as_gnu().is_some_and(GnuHeader::is_extended);
        let size = header.entry_size().map_err(damaged)?;
        let mut headers = 0;
        while more {
            let mut extended = GnuExtSparseHeader::new();
            from.read_exact(extended.as_mut_bytes()).map_err(damaged)?;
            headers += 1;
            more = extended.is_extended() && headers < HEADERS;
        }
        let padded = size.checked_next_multiple_of(BLOCK as u64).and_then(|size| i64::try_from(size).ok());
        let padded = padded.ok_or_else(|| refused("the archive is damaged: an entry without end"))?;
        from.seek(SeekFrom::Current(padded)).map_err(damaged)?;
    }
    Err(refused(format!("a bundle has at most {FILES} files")))
}

/// Unpacks an archive into an empty folder, and checks that it is a bundle.
pub fn unpack(mut from: impl Read + Seek, folder: &Path) -> Result<(), Error> {
    check_kinds(&mut from)?;
    from.rewind().map_err(damaged)?;
    let mut archive = Archive::new(from);
    let (mut files, mut left) = (BTreeSet::new(), BYTES_MAXIMUM);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path_bytes();
        let path = String::from_utf8_lossy(path.strip_prefix(b"./").unwrap_or(&path)).into_owned();
        let kind = entry.header().entry_type();
        if kind == EntryType::Directory && (path.is_empty() || path == ".") {
            continue;
        }
        if !matches!(kind, EntryType::Regular | EntryType::GNUSparse) || !is_file_name(&path) {
            return Err(refused(format!(
                "{path:?}: a bundle's archive has files at its top, and nothing else"
            )));
        }
        if files.len() == FILES {
            return Err(refused(format!("a bundle has at most {FILES} files")));
        }
        let size = entry.size();
        left = left
            .checked_sub(size)
            .ok_or_else(|| refused(format!("a bundle has at most {} GiB", BYTES_MAXIMUM >> 30)))?;
        let target = folder.join(&path);
        let created = File::options().write(true).create_new(true).open(&target);
        let mut file = created.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => refused(format!("{path:?} is twice in the archive")),
            _ => write_error(e),
        })?;
        copy(&mut entry, &mut file, size)?;
        files.insert(path);
    }
    let description = Bundle::open(folder, false)?.description;
    let named =
        [Some(DESCRIPTION.to_owned()), Some(description.kernel), description.initrd, description.disk];
    let named: BTreeSet<String> = named.into_iter().flatten().collect();
    if let Some(other) = files.difference(&named).next() {
        return Err(refused(format!("{DESCRIPTION} does not name {other:?}, which is in the archive")));
    }
    let written = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    written.and_then(rustix::fs::fsync).map_err(|e| write_error(e.into()))
}

fn write_error(source: io::Error) -> Error {
    Error::System { doing: "unpack the bundle", source }
}

/// Copies a file of so many bytes; where there are zeros it has holes.
fn copy(from: &mut impl Read, to: &mut File, size: u64) -> Result<(), Error> {
    let (mut piece, mut done) = (vec![0; CHUNK], 0);
    while done < size {
        let most = CHUNK.min(usize::try_from(size - done).unwrap_or(CHUNK));
        let read = from.read(&mut piece[..most]).map_err(damaged)?;
        if read == 0 {
            return Err(refused("the archive ends in the middle of a file"));
        }
        let bytes = &piece[..read];
        match bytes.iter().all(|&byte| byte == 0) {
            true => to.seek(SeekFrom::Current(read as i64)).map(drop),
            false => to.write_all(bytes),
        }
        .map_err(write_error)?;
        done += read as u64;
    }
    to.set_len(size).and_then(|()| to.sync_all()).map_err(write_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::folder;
    use std::fs;
    use std::io::Cursor;

    const FULL: &str = "kernel = 'k'\ninitrd = 'i'\ndisk = 'd'";

    fn unpacked(archive: &[u8]) -> Result<tempfile::TempDir, String> {
        let to = tempfile::tempdir().unwrap();
        unpack(Cursor::new(archive), to.path()).map(|()| to).map_err(|e| e.to_string())
    }

    /// An archive with one file beside a good bundle's.
    fn with(change: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
        let from = folder("kernel = 'k'");
        let mut builder = Builder::new(Vec::new());
        for name in [DESCRIPTION, "k"] {
            builder.append_file(name, &mut File::open(from.path().join(name)).unwrap()).unwrap();
        }
        change(&mut builder);
        builder.into_inner().unwrap()
    }

    fn entry(builder: &mut Builder<Vec<u8>>, kind: EntryType, name: &[u8], link: &[u8], size: u64) {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
    }

    #[test]
    fn what_is_packed_comes_out_again_with_its_holes() {
        use std::os::unix::fs::MetadataExt;
        let from = folder(FULL);
        let disk = File::options().write(true).open(from.path().join("d")).unwrap();
        disk.set_len(64 << 20).unwrap();
        let (mut archive, mut again) = (Vec::new(), Vec::new());
        pack(from.path(), &mut archive).unwrap();
        pack(from.path(), &mut again).unwrap();
        assert_eq!(archive, again);
        assert!(is_archive(&archive) && !is_archive(b"\x7fELF") && archive.len() < 1 << 20);
        let to = unpacked(&archive).unwrap();
        for name in [DESCRIPTION, "k", "i", "d"] {
            assert_eq!(
                fs::read(to.path().join(name)).unwrap(),
                fs::read(from.path().join(name)).unwrap(),
                "{name}"
            );
        }
        assert!(fs::metadata(to.path().join("d")).unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn an_archive_of_tar_s_own_is_taken() {
        let from = folder(FULL);
        let mut builder = Builder::new(Vec::new());
        builder.append_dir_all("./", from.path()).unwrap();
        let archive = builder.into_inner().unwrap();
        assert_eq!(fs::read_dir(unpacked(&archive).unwrap().path()).unwrap().count(), 4);
    }

    #[test]
    fn nothing_is_written_outside_the_folder_or_that_is_no_file() {
        let above = tempfile::tempdir().unwrap();
        for (kind, name, link) in [
            (EntryType::Regular, &b"../out"[..], &b""[..]),
            (EntryType::Regular, b"/tmp/out", b""),
            (EntryType::Regular, b"a/out", b""),
            (EntryType::Regular, b"..", b""),
            (EntryType::Directory, b"out", b""),
            (EntryType::Symlink, b"out", b"/etc/passwd"),
            (EntryType::Link, b"out", b"/etc/passwd"),
            (EntryType::Char, b"out", b""),
            (EntryType::Block, b"out", b""),
            (EntryType::Fifo, b"out", b""),
        ] {
            let archive = with(|builder| entry(builder, kind, name, link, 0));
            let to = above.path().join("to");
            fs::create_dir(&to).unwrap();
            let message = unpack(Cursor::new(&archive), &to).expect_err("refused").to_string();
            assert!(message.contains("files at its top"), "{kind:?} {name:?}: {message}");
            fs::remove_dir_all(to).unwrap();
            assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let says = |archive: &[u8]| unpacked(archive).expect_err("refused");
        let huge = with(|b| entry(b, EntryType::Regular, b"i", b"", 8 << 30));
        assert!(says(&huge).contains("ends in the middle"), "{}", says(&huge));
        let twice = with(|b| entry(b, EntryType::Regular, b"k", b"", 0));
        assert!(says(&twice).contains("twice"));
        let unnamed = with(|b| entry(b, EntryType::Regular, b"other", b"", 0));
        assert!(says(&unnamed).contains("does not name \"other\""));
        // A name of a gigabyte would be taken into memory.
        let long = with(|b| entry(b, EntryType::GNULongName, b"././@LongLink", b"", 1 << 30));
        assert!(says(&long).contains("files at its top"));
        let attributes = with(|b| entry(b, EntryType::XHeader, b"pax", b"", 1 << 30));
        assert!(says(&attributes).contains("files at its top"));
        let many = with(|b| (0..9).for_each(|n| entry(b, EntryType::Regular, &[b'a' + n], b"", 0)));
        assert!(says(&many).contains("at most 4 files"));
        // A hole of 2^40 bytes takes none of the archive.
        let hole = with(|b| {
            let mut header = Header::new_gnu();
            header.set_path("i").unwrap();
            header.set_entry_type(EntryType::GNUSparse);
            header.set_size(0);
            let gnu = header.as_gnu_mut().unwrap();
            gnu.realsize.copy_from_slice(b"20000000000\0");
            gnu.sparse[0].offset.copy_from_slice(b"20000000000\0");
            gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
            gnu.set_is_extended(false);
            header.set_cksum();
            b.append(&header, io::empty()).unwrap();
        });
        let before = std::time::Instant::now();
        let message = says(&hole);
        assert!(before.elapsed().as_secs() < 60, "{message}");
    }

    #[test]
    fn a_cut_or_changed_archive_is_refused_and_never_more() {
        let mut archive = Vec::new();
        pack(folder(FULL).path(), &mut archive).unwrap();
        for length in (0..archive.len()).step_by(331) {
            // Behind its last file it may be cut: that is its end.
            let _ = unpacked(&archive[..length]);
        }
        for at in (0..archive.len()).step_by(41) {
            let mut changed = archive.clone();
            changed[at] ^= 0xff;
            let _ = unpacked(&changed);
        }
    }
}
