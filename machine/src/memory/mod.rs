//! Guest memory: the one memfd that a guest's descriptors may name, and the monitor's private pages.
//!
//! The guest writes to this memory while the monitor reads it, so there are no references to it: bytes are copied in and out,
//! and words that both sides use are accessed atomically.
#![allow(unsafe_code)]

pub mod sealed;

pub use crate::address::{GuestPhys, Outside};
use crate::error::Error;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// Bytes of a large page.
pub const LARGE_PAGE: u64 = 2 << 20;

/// A mapped range of guest-physical addresses.
pub struct Region {
    start: GuestPhys,
    host: *mut u8,
    length: usize,
    /// Whether this process may write to it.
    writable: bool,
}

// SAFETY: a `Region` is an address range; all access through it is by raw copies and atomics, from any thread.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

fn map(length: usize, protection: i32, flags: i32, fd: i32) -> Result<*mut u8, Error> {
    // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
    let host = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd, 0) };
    if host == libc::MAP_FAILED {
        return Err(Error::system("map guest memory"));
    }
    Ok(host.cast())
}

/// A mapping of so many large pages that begins where a large page can.
fn map_large(length: usize, protection: i32, flags: i32, fd: i32) -> Result<*mut u8, Error> {
    const LARGE: usize = LARGE_PAGE as usize;
    let room = map(length + LARGE, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    let before = room.align_offset(LARGE);
    // SAFETY: `room` is a mapping of this function's own, `length` and one large page long. The part of it that begins at a
    // large page is replaced, and what lies before and behind that is unmapped.
    unsafe {
        let host = room.add(before);
        if libc::mmap(host.cast(), length, protection, flags | libc::MAP_FIXED, fd, 0) == libc::MAP_FAILED {
            return Err(Error::system("map guest memory"));
        }
        if before > 0 {
            libc::munmap(room.cast(), before);
        }
        libc::munmap(host.add(length).cast(), LARGE - before);
        Ok(host)
    }
}

impl Region {
    /// Shared memory in a new memfd. The memfd is sealed against shrinking, so that a peer's access cannot fail later.
    pub fn shared(start: GuestPhys, length: u64) -> Result<(Self, OwnedFd), Error> {
        let failed = |doing| move |e: Errno| Error::System { doing, source: e.into() };
        let fd = memfd_create(c"guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(failed("create guest memory"))?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        ftruncate(&fd, length)
            .and_then(|()| fcntl_add_seals(&fd, seals))
            .map_err(failed("size guest memory"))?;
        let length = length as usize;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        let host = map(length, libc::PROT_READ | libc::PROT_WRITE, flags, fd.as_raw_fd())?;
        Ok((Self { start, host, length, writable: true }, fd))
    }

    /// Private memory of this process.
    pub fn private(start: GuestPhys, length: u64) -> Result<Self, Error> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        let host = map(length as usize, libc::PROT_READ | libc::PROT_WRITE, flags, -1)?;
        Ok(Self { start, host, length: length as usize, writable: true })
    }

    /// The first `length` bytes of a file, read-only and shared with every other mapping of it.
    pub fn file(start: GuestPhys, length: u64, file: &impl AsRawFd) -> Result<Self, Error> {
        let flags = libc::MAP_PRIVATE | libc::MAP_POPULATE;
        let host = map(length as usize, libc::PROT_READ, flags, file.as_raw_fd())?;
        Ok(Self { start, host, length: length as usize, writable: false })
    }

    /// Large pages of a file, read-only and shared with every other mapping of it. `length` is a multiple of
    /// [`LARGE_PAGE`], and no longer than the file. Where the file's memory is in small pages, so is the mapping.
    pub fn large_file(start: GuestPhys, length: u64, file: &impl AsRawFd) -> Result<Self, Error> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let host = map_large(length as usize, libc::PROT_READ, flags, file.as_raw_fd())?;
        Ok(Self { start, host, length: length as usize, writable: false })
    }

    /// Large pages of this process alone, as far as the host has some. `length` is a multiple of [`LARGE_PAGE`].
    pub fn large_private(start: GuestPhys, length: u64) -> Result<Self, Error> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let host = map_large(length as usize, libc::PROT_READ | libc::PROT_WRITE, flags, -1)?;
        // SAFETY: the range was mapped just now. Whether the advice is taken shows in speed only.
        unsafe { libc::madvise(host.cast(), length as usize, libc::MADV_HUGEPAGE) };
        Ok(Self { start, host, length: length as usize, writable: true })
    }

    /// First guest address of the region.
    pub fn start(&self) -> GuestPhys {
        self.start
    }

    /// Length, bytes.
    pub fn length(&self) -> u64 {
        self.length as u64
    }

    /// Address of the region in this process.
    pub fn host_address(&self) -> u64 {
        self.host as u64
    }

    /// Pointer to a range. Errors: the range is not all in the region.
    pub fn pointer(&self, address: GuestPhys, length: u64) -> Result<*mut u8, Outside> {
        let outside = Outside { address, length };
        let offset = address.0.checked_sub(self.start.0).ok_or(outside)?;
        let end = offset.checked_add(length).ok_or(outside)?;
        if end > self.length as u64 {
            return Err(outside);
        }
        // SAFETY: `offset` is at most the length of the mapping.
        Ok(unsafe { self.host.add(offset as usize) })
    }

    /// Returns the pages of a page-aligned range to the host; they read as zeros afterwards. If the host cannot do this, they
    /// stay, which costs only memory.
    pub fn discard(&self, address: GuestPhys, length: u64) -> Result<(), Outside> {
        let pointer = self.pointer(address, length)?;
        // SAFETY: the range is mapped by this region, to which no references exist, and stays mapped.
        unsafe { libc::madvise(pointer.cast::<c_void>(), length as usize, libc::MADV_REMOVE) };
        Ok(())
    }

    /// Populates a range for writing, so that the guest's first access is cheap.
    pub fn populate(&self, address: GuestPhys, length: u64) -> Result<(), Outside> {
        let first = GuestPhys(address.0 & !(abi::layout::PAGE_SIZE - 1));
        let length = (address.0 + length).next_multiple_of(abi::layout::PAGE_SIZE) - first.0;
        let pointer = self.pointer(first, length)?;
        // SAFETY: the range is mapped by this region. An old kernel's refusal costs time only.
        unsafe { libc::madvise(pointer.cast::<c_void>(), length as usize, libc::MADV_POPULATE_WRITE) };
        Ok(())
    }

    /// Copies bytes into the guest.
    pub fn write(&self, address: GuestPhys, bytes: &[u8]) -> Result<(), Outside> {
        let pointer = self.pointer(address, bytes.len() as u64)?;
        // SAFETY: `pointer` is good for that many bytes and cannot overlap a Rust object.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, bytes.len()) };
        Ok(())
    }

    /// Copies bytes out of the guest.
    pub fn read(&self, address: GuestPhys, bytes: &mut [u8]) -> Result<(), Outside> {
        let pointer = self.pointer(address, bytes.len() as u64)?;
        // SAFETY: as in `write`.
        unsafe { std::ptr::copy_nonoverlapping(pointer, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Copies a plain structure into the guest.
    pub fn write_value<T: Plain>(&self, address: GuestPhys, value: &T) -> Result<(), Outside> {
        // SAFETY: `Plain` types have no padding and any of their bytes may be seen.
        let bytes = unsafe { std::slice::from_raw_parts((value as *const T).cast::<u8>(), size_of::<T>()) };
        self.write(address, bytes)
    }

    /// Copies a plain structure out of the guest.
    pub fn read_value<T: Plain>(&self, address: GuestPhys) -> Result<T, Outside> {
        let mut value = std::mem::MaybeUninit::<T>::zeroed();
        // SAFETY: every byte pattern is a valid `Plain` value, and the buffer has its size.
        unsafe {
            let bytes = std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>());
            self.read(address, bytes)?;
            Ok(value.assume_init())
        }
    }

    /// Reads from a file into the guest.
    pub fn read_file(
        &self,
        address: GuestPhys,
        length: u64,
        file: &impl AsRawFd,
        offset: u64,
    ) -> Result<(), Error> {
        let pointer = self.pointer(address, length).map_err(Error::Layout)?;
        let mut done = 0;
        while done < length {
            // SAFETY: the range is mapped and writable; the kernel checks the rest.
            let n = unsafe {
                libc::pread(
                    file.as_raw_fd(),
                    pointer.add(done as usize).cast(),
                    (length - done) as usize,
                    (offset + done) as libc::off_t,
                )
            };
            match n {
                0 => return Err(Error::image("is shorter than its program headers say")),
                n if n > 0 => done += n as u64,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => return Err(Error::system("read the image")),
            }
        }
        Ok(())
    }

    /// A 16-bit word that both sides use. `address` must be even.
    pub fn word16(&self, address: GuestPhys) -> Result<&AtomicU16, Outside> {
        let pointer = self.aligned(address, 2)?;
        // SAFETY: in the mapping, aligned, and only ever accessed atomically or by raw copies.
        Ok(unsafe { AtomicU16::from_ptr(pointer.cast()) })
    }

    /// A 32-bit word that both sides use. `address` must be a multiple of 4.
    pub fn word32(&self, address: GuestPhys) -> Result<&AtomicU32, Outside> {
        let pointer = self.aligned(address, 4)?;
        // SAFETY: as in `word16`.
        Ok(unsafe { AtomicU32::from_ptr(pointer.cast()) })
    }

    /// A 64-bit word that both sides use. `address` must be a multiple of 8.
    pub fn word64(&self, address: GuestPhys) -> Result<&AtomicU64, Outside> {
        let pointer = self.aligned(address, 8)?;
        // SAFETY: as in `word16`.
        Ok(unsafe { AtomicU64::from_ptr(pointer.cast()) })
    }

    fn aligned(&self, address: GuestPhys, size: u64) -> Result<*mut u8, Outside> {
        if !address.0.is_multiple_of(size) {
            return Err(Outside { address, length: size });
        }
        self.pointer(address, size)
    }
}

// SAFETY: the range lies in the mapping, which can be written and stays until the region is dropped; all access to it is
// by raw copies and atomics.
unsafe impl virtqueue::Memory for Region {
    #[inline]
    fn translate(&self, address: u64, length: u64) -> Option<NonNull<u8>> {
        self.pointer(GuestPhys(address), length).ok().filter(|_| self.writable).and_then(NonNull::new)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is this region's own, and pointers into it do not outlive the region by contract of
        // `pointer`, whose callers use them at once.
        unsafe { libc::munmap(self.host.cast(), self.length) };
    }
}

/// Types without padding for which every byte pattern is valid.
///
/// # Safety
/// The type has no padding, and every byte pattern is valid.
pub unsafe trait Plain: Copy {}
// SAFETY: `repr(C)` structures of integers whose sizes `abi` asserts; none has padding.
unsafe impl Plain for abi::boot::BootPage {}
// SAFETY: as above.
unsafe impl Plain for abi::boot::Range {}
// SAFETY: as above.
unsafe impl Plain for abi::net::NetHeader {}
// SAFETY: as above.
unsafe impl Plain for abi::image::ImageNote {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}

#[cfg(test)]
mod tests {
    use super::*;

    fn region() -> Region {
        Region::shared(GuestPhys(0x1000_0000), 0x10000).unwrap().0
    }

    #[test]
    fn ranges_outside_are_refused() {
        let r = region();
        for (address, length) in [
            (0x0fff_ffff, 1),
            (0x1000_ffff, 2),
            (0x1001_0000, 1),
            (u64::MAX, 1),
            (0x1000_0000, u64::MAX),
            (0, 0x1000_0001),
        ] {
            assert!(r.pointer(GuestPhys(address), length).is_err(), "{address:#x} {length:#x}");
        }
        assert!(r.pointer(GuestPhys(0x1000_0000), 0x10000).is_ok());
    }

    #[test]
    fn no_queue_lies_in_memory_that_is_read_only() {
        use virtqueue::Memory;
        let (_region, fd) = Region::shared(GuestPhys(0), 0x2000).unwrap();
        let image = Region::file(GuestPhys(0), 0x2000, &fd).unwrap();
        assert!(region().translate(0x1000_0000, 16).is_some());
        assert!(image.translate(0, 16).is_none());
    }

    #[test]
    fn large_pages_hold_what_the_file_does() {
        let (region, fd) = Region::shared(GuestPhys(0), 2 * LARGE_PAGE).unwrap();
        region.write_value(GuestPhys(2 * LARGE_PAGE - 8), &7u64).unwrap();
        let file = Region::large_file(GuestPhys(0x40_0000), 2 * LARGE_PAGE, &fd).unwrap();
        assert!(file.host_address().is_multiple_of(LARGE_PAGE));
        assert_eq!(file.read_value::<u64>(GuestPhys(0x40_0000 + 2 * LARGE_PAGE - 8)), Ok(7));
        let private = Region::large_private(GuestPhys(0), LARGE_PAGE).unwrap();
        assert!(private.host_address().is_multiple_of(LARGE_PAGE));
        private.read_file(GuestPhys(8), 8, &fd, 2 * LARGE_PAGE - 8).unwrap();
        assert_eq!(private.read_value::<u64>(GuestPhys(8)), Ok(7));
    }

    #[test]
    fn misaligned_words_are_refused() {
        assert!(region().word32(GuestPhys(0x1000_0002)).is_err());
    }

    #[test]
    fn memory_cannot_shrink() {
        let (_region, fd) = Region::shared(GuestPhys(0), 0x2000).unwrap();
        assert_eq!(ftruncate(&fd, 0x1000), Err(Errno::PERM));
    }
}
