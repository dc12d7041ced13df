//! A peer's memory, mapped here. The peer may write to it at any time and, unless it is sealed, make it shrink: reading
//! what is gone raises `SIGBUS`, which `guard` turns into zeroes and a note that the region is broken.
#![allow(unsafe_code)]

use super::guard::{Guard, Watched};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use vhost_user::message::MemoryRegion;

/// Most regions that a peer may have.
pub const REGIONS: usize = 64;
const PAGE: u64 = 4096;

/// Why memory was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It is a file whose pages may take for ever to come, or no file at all.
    #[error("memory must be a memfd, a file of hugetlbfs or of tmpfs: the descriptor is none of these")]
    Kind,
    /// The region does not lie in the file.
    #[error("region {region:x?} does not lie in a file of {file} bytes")]
    Beyond {
        /// The region.
        region: MemoryRegion,
        /// Length of the file.
        file: u64,
    },
    /// Two regions share addresses.
    #[error("region {0:x?} overlaps another")]
    Overlap(MemoryRegion),
    /// Too many.
    #[error("more than {REGIONS} memory regions")]
    TooMany,
    /// No such region.
    #[error("region {0:x?} is not there")]
    Absent(MemoryRegion),
    /// The kernel refused.
    #[error("map the peer's memory: {0}")]
    System(#[from] io::Error),
}

/// A mapped region.
struct Mapping {
    region: MemoryRegion,
    /// Where the mapping begins and how long it is.
    base: *mut u8,
    mapped: usize,
    /// Where the region's first byte is.
    host: *mut u8,
    watched: Watched,
}

// SAFETY: an address range; all access is by raw copies and atomics, from any thread.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.watched.forget();
        // SAFETY: this mapping was made by `Mapping::new` and nothing refers to it any more.
        unsafe { libc::munmap(self.base.cast(), self.mapped) };
    }
}

impl Mapping {
    fn new(region: MemoryRegion, fd: &OwnedFd) -> Result<Self, MemoryError> {
        let file = length_of(fd)?;
        let end = region.offset.checked_add(region.length);
        let fits = region.length > 0 && end.is_some_and(|e| e <= file);
        let addresses = region
            .guest_address
            .checked_add(region.length)
            .and(region.user_address.checked_add(region.length))
            .is_some();
        if !fits || !addresses {
            return Err(MemoryError::Beyond { region, file });
        }
        // Offsets within huge pages are allowed: mapping from the file's beginning suits every page size.
        let mapped = (region.offset + region.length).next_multiple_of(PAGE) as usize;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        let base = base.cast::<u8>();
        // SAFETY: within the mapping.
        let host = unsafe { base.add(region.offset as usize) };
        let watched = Guard::watch(base, mapped).ok_or(MemoryError::TooMany);
        match watched {
            Ok(watched) => Ok(Self { region, base, mapped, host, watched }),
            Err(e) => {
                // SAFETY: made above, not used.
                unsafe { libc::munmap(base.cast(), mapped) };
                Err(e)
            }
        }
    }
}

fn length_of(fd: &OwnedFd) -> Result<u64, MemoryError> {
    // SAFETY: an all-zero `statfs` and `stat` are valid; the calls fill them in.
    let (kind, status) = unsafe {
        let mut fs: libc::statfs = std::mem::zeroed();
        let mut st: libc::stat = std::mem::zeroed();
        if libc::fstatfs(fd.as_raw_fd(), &raw mut fs) < 0 || libc::fstat(fd.as_raw_fd(), &raw mut st) < 0 {
            return Err(io::Error::last_os_error().into());
        }
        (fs.f_type, st)
    };
    let regular = status.st_mode & libc::S_IFMT == libc::S_IFREG;
    if !regular || ![libc::TMPFS_MAGIC, libc::HUGETLBFS_MAGIC].contains(&kind) {
        return Err(MemoryError::Kind);
    }
    Ok(status.st_size.max(0) as u64)
}

/// All regions of a peer.
#[derive(Default)]
pub struct Memory {
    mappings: Vec<Mapping>,
}

impl Memory {
    /// Maps a whole table.
    pub fn table(regions: Vec<MemoryRegion>, fds: Vec<OwnedFd>) -> Result<Self, MemoryError> {
        let mut memory = Self::default();
        for (region, fd) in regions.into_iter().zip(fds) {
            memory.add(region, &fd)?;
        }
        Ok(memory)
    }

    /// Maps one more region.
    pub fn add(&mut self, region: MemoryRegion, fd: &OwnedFd) -> Result<(), MemoryError> {
        if self.mappings.len() >= REGIONS {
            return Err(MemoryError::TooMany);
        }
        let apart = |a: u64, b: u64, length: u64| {
            a.saturating_add(region.length) <= b || b.saturating_add(length) <= a
        };
        let free = self.mappings.iter().all(|m| {
            apart(region.guest_address, m.region.guest_address, m.region.length)
                && apart(region.user_address, m.region.user_address, m.region.length)
        });
        if !free {
            return Err(MemoryError::Overlap(region));
        }
        self.mappings.push(Mapping::new(region, fd)?);
        Ok(())
    }

    /// Unmaps a region.
    pub fn remove(&mut self, region: MemoryRegion) -> Result<(), MemoryError> {
        let same = |m: &Mapping| {
            let r = m.region;
            (r.guest_address, r.length, r.user_address)
                == (region.guest_address, region.length, region.user_address)
        };
        let at = self.mappings.iter().position(same).ok_or(MemoryError::Absent(region))?;
        self.mappings.swap_remove(at);
        Ok(())
    }

    /// Whether a peer took memory away that was in use.
    pub fn is_broken(&self) -> bool {
        self.mappings.iter().any(|m| m.watched.is_broken())
    }
}

/// Where `length` bytes lie in a region that the peer knows as beginning at `first`.
#[inline]
fn within(m: &Mapping, first: u64, address: u64, length: u64) -> Option<NonNull<u8>> {
    let at = address.wrapping_sub(first);
    if at >= m.region.length || length > m.region.length - at {
        return None;
    }
    // SAFETY: within the mapping, as just checked, and no mapping of the kernel's choice begins at 0.
    Some(unsafe { NonNull::new_unchecked(m.host.add(at as usize)) })
}

// SAFETY: a range lies in one mapping, which can be written and stays until the table changes; all access to it is by raw
// copies and atomics.
unsafe impl virtqueue::Memory for Memory {
    /// Where a guest-physical range is mapped; `None` if it is not all in one region.
    #[inline]
    fn translate(&self, address: u64, length: u64) -> Option<NonNull<u8>> {
        self.mappings.iter().find_map(|m| within(m, m.region.guest_address, address, length))
    }
}

/// The same memory by the front end's own addresses, which it names its rings by.
pub struct FrontEnd<'a>(pub &'a Memory);

// SAFETY: as for `Memory`.
unsafe impl virtqueue::Memory for FrontEnd<'_> {
    fn translate(&self, address: u64, length: u64) -> Option<NonNull<u8>> {
        self.0.mappings.iter().find_map(|m| within(m, m.region.user_address, address, length))
    }
}
