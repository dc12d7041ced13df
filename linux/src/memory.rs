//! Guest memory, as our own devices and as the field's crates see it.
#![allow(unsafe_code)]

use machine::error::Error;
use machine::memory::{GuestPhys, Region};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use vm_memory::mmap::MmapRegion;
use vm_memory::{GuestAddress, GuestRegionMmap};

/// Memory as the crates of rust-vmm see it.
pub type View = vm_memory::GuestMemoryMmap<()>;

/// A buffer of a chain: where it lies in this process, its length, and whether the device may write it.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes.
    pub length: u32,
    /// The device writes it; it reads it otherwise.
    pub writable: bool,
}

/// A guest's memory, from address 0 on.
#[derive(Clone)]
pub struct Memory {
    /// The mapping.
    pub region: Arc<Region>,
    /// The file behind it.
    pub file: Arc<OwnedFd>,
    /// The same mapping.
    view: View,
}

impl Memory {
    /// Memory of so many bytes.
    pub fn new(length: u64) -> Result<Self, Error> {
        let (region, file) = Region::shared(GuestPhys(0), length)?;
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: the mapping is the region's, which `Self` keeps for as long as the view.
        let mapping = unsafe {
            MmapRegion::build_raw(region.host_address() as *mut u8, length as usize, protection, flags)
        };
        let view = mapping
            .ok()
            .and_then(|mapping| GuestRegionMmap::new(mapping, GuestAddress(0)))
            .and_then(|region| View::from_regions(vec![region]).ok());
        let view = view.ok_or_else(|| Error::Configuration("guest memory cannot be laid out so".into()))?;
        Ok(Self { region: Arc::new(region), file: Arc::new(file), view })
    }

    /// For the crates of rust-vmm.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Its length, bytes.
    pub fn length(&self) -> u64 {
        self.region.length()
    }

    /// Gives all of it back to the host: it reads as zeros from now on.
    pub fn discard_all(&self) -> Result<(), Error> {
        Ok(self.region.discard(GuestPhys(0), self.length())?)
    }
}

impl Memory {
    /// Where a buffer lies in this process, if all of it is in memory.
    pub fn pointer(&self, buffer: &Buffer) -> Option<*mut u8> {
        self.region.pointer(GuestPhys(buffer.address), buffer.length.into()).ok()
    }

    /// A buffer's bytes, the first `most` at most.
    pub fn bytes(&self, buffer: &Buffer, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most.min(buffer.length as usize)];
        match self.region.read(GuestPhys(buffer.address), &mut bytes) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    /// Fills the beginning of a buffer; how many bytes it has taken.
    pub fn fill(&self, buffer: &Buffer, bytes: &[u8]) -> usize {
        let length = bytes.len().min(buffer.length as usize);
        match self.region.write(GuestPhys(buffer.address), &bytes[..length]) {
            Ok(()) => length,
            Err(_) => 0,
        }
    }
}
