//! Disks of instances, a file each in a folder of the state. A disk is made from its image's when its instance is started for
//! the first time, shares what it can with it, and goes with the instance.

use crate::failpoint;
use crate::store::Row;
use api::Problem;
use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Longest disk, MiB.
pub const DISK_MAXIMUM_MIB: u64 = 16 << 20;
/// Ending of a disk that is not whole yet.
const DRAFT: &str = "draft";

/// All disks.
pub struct Disks {
    folder: PathBuf,
}

impl Disks {
    /// Those in a state folder. What belongs to no instance goes: a daemon was killed while it made or removed it.
    pub fn open(state: &Path, rows: &[Row]) -> Result<Self, Problem> {
        let folder = state.join("disks");
        std::fs::create_dir_all(&folder).map_err(|e| cannot(&folder, &e))?;
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !rows.iter().any(|row| name.to_str() == Some(&row.instance.id.to_string())) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { folder })
    }

    /// An instance's disk, open: made from its image's if it is not there yet. `length` is what it shall have, bytes. One
    /// that is there stays as it is.
    pub fn of(&self, instance: Uuid, image: &File, length: u64) -> Result<File, Problem> {
        let path = self.folder.join(instance.to_string());
        let mut options = File::options();
        options.read(true).write(true);
        match options.open(&path) {
            Ok(disk) => return Ok(disk),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(cannot(&path, &e)),
        }
        let draft = path.with_extension(DRAFT);
        options.create(true).truncate(true).mode(0o600);
        let made = options.open(&draft).and_then(|disk| {
            copy(image, &disk)?;
            failpoint::reach("disk::copied");
            disk.set_len(length)?;
            disk.sync_all()?;
            std::fs::rename(&draft, &path).map(|()| disk)
        });
        made.map_err(|e| {
            let _ = std::fs::remove_file(&draft);
            cannot(&path, &e)
        })
    }

    /// Removes an instance's disk, if it has one.
    pub fn remove(&self, instance: Uuid) {
        // One that stays is removed by the next daemon.
        let _ = std::fs::remove_file(self.folder.join(instance.to_string()));
    }
}

fn cannot(path: &Path, e: &io::Error) -> Problem {
    match e.kind() {
        io::ErrorKind::StorageFull => {
            Problem::host(format!("no space is left for the disk {}", path.display()))
        }
        _ => Problem::host(format!("disk {}: {e}", path.display())),
    }
}

/// Makes an empty file the copy of another: sharing its blocks where the file system can do that, else without its holes.
fn copy(from: &File, to: &File) -> io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let length = from.metadata()?.len();
    let mut at = 0;
    while at < length {
        let data = match seek(from, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(e) => return Err(e.into()),
        };
        let end = seek(from, SeekFrom::Hole(data))?;
        let (mut source, mut target) = (data, data);
        while source < end {
            let most = usize::try_from(end - source).unwrap_or(usize::MAX);
            // It moves both offsets on.
            if copy_file_range(from, Some(&mut source), to, Some(&mut target), most)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        at = end;
    }
    to.set_len(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_disk_is_its_image_s_with_room_behind_and_stays() {
        let state = tempfile::tempdir().unwrap();
        let mut image = tempfile::tempfile().unwrap();
        image.write_all(b"begin").unwrap();
        image.seek(io::SeekFrom::Start(8 << 20)).unwrap();
        image.write_all(b"end").unwrap();
        let disks = Disks::open(state.path(), &[]).unwrap();
        let id = Uuid::now_v7();
        let disk = disks.of(id, &image, 32 << 20).unwrap();
        let facts = disk.metadata().unwrap();
        assert_eq!(facts.len(), 32 << 20);
        assert!(facts.blocks() * 512 < 1 << 20, "{}", facts.blocks());
        let path = state.path().join("disks").join(id.to_string());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((&bytes[..5], &bytes[8 << 20..(8 << 20) + 3]), (&b"begin"[..], &b"end"[..]));
        std::os::unix::fs::FileExt::write_all_at(&disk, b"own", 0).unwrap();
        drop(disks.of(id, &image, 64 << 20).unwrap());
        assert!(std::fs::read(&path).unwrap().starts_with(b"ownin"));
        disks.remove(id);
        assert!(!path.exists());
    }

    #[test]
    fn what_belongs_to_nobody_is_removed_at_the_next_start() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("disks");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.{DRAFT}", Uuid::now_v7())), "half").unwrap();
        std::fs::write(folder.join(Uuid::now_v7().to_string()), "whole").unwrap();
        Disks::open(state.path(), &[]).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}
