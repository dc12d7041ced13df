//! A copy of a file in sealed memory (memfd_create(2), fcntl(2) `F_ADD_SEALS`), which many processes can map.

use super::map_large;
use crate::error::Error;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Bytes that are copied per call.
const PIECE: usize = 256 << 10;

/// Copies the first `length` bytes of a file; zeros follow, up to `room` bytes, a multiple of [`super::LARGE_PAGE`]. The copy is in
/// large pages where the kernel can allocate some.
pub fn copy(file: &File, length: u64, room: u64) -> Result<File, Error> {
    let failed = |source: io::Error| Error::System { doing: "keep a copy in memory", source };
    let memory = memfd_create(c"copy", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let memory = File::from(memory.map_err(|e| failed(e.into()))?);
    ftruncate(&memory, room).map_err(|e| failed(e.into()))?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let most = PIECE.min((length - at) as usize);
        let read = file.read_at(&mut piece[..most], at).map_err(failed)?;
        if read == 0 {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        memory.write_all_at(&piece[..read], at).map_err(failed)?;
        at += read as u64;
    }
    collapse(&memory, room as usize);
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&memory, seals).map_err(|e| failed(e.into()))?;
    Ok(memory)
}

/// Asks the kernel to move a file's memory to large pages (madvise(2), `MADV_COLLAPSE`, Linux 6.1). The rest stays in small
/// pages.
fn collapse(memory: &File, length: usize) {
    let Ok(host) = map_large(length, libc::PROT_READ, libc::MAP_SHARED, memory.as_raw_fd()) else { return };
    // SAFETY: the range was mapped just now, nobody else knows of it, and it is not used after.
    unsafe {
        libc::madvise(host.cast(), length, libc::MADV_COLLAPSE);
        libc::munmap(host.cast(), length);
    }
}

#[cfg(test)]
mod tests {
    use super::super::LARGE_PAGE;
    use super::*;
    use rustix::io::Errno;
    use std::io::Write;

    #[test]
    fn a_copy_has_the_file_s_bytes_and_zeros_and_cannot_be_changed() {
        let mut file = File::from(memfd_create(c"file", MemfdFlags::CLOEXEC).unwrap());
        let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        file.write_all(&bytes).unwrap();
        let copy = copy(&file, bytes.len() as u64, LARGE_PAGE).unwrap();
        assert_eq!(copy.metadata().unwrap().len(), LARGE_PAGE);
        let mut read = vec![1; LARGE_PAGE as usize];
        copy.read_exact_at(&mut read, 0).unwrap();
        assert!(read[..bytes.len()] == bytes && read[bytes.len()..].iter().all(|&b| b == 0));
        assert_eq!(copy.write_at(b"x", 0).map_err(|e| e.raw_os_error()), Err(Some(libc::EPERM)));
        assert_eq!(ftruncate(&copy, 1), Err(Errno::PERM));
        assert!(super::copy(&file, bytes.len() as u64 + 1, LARGE_PAGE).is_err(), "it is shorter");
    }
}
