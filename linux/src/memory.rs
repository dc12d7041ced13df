//! Guest memory, for MicroVisor's devices and for the crates of rust-vmm.
#![allow(unsafe_code)]

use machine::error::Error;
use machine::memory::{GuestPhys, Region};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use vm_memory::mmap::MmapRegion;
use vm_memory::{GuestAddress, GuestRegionMmap};

/// Guest memory as the crates of rust-vmm use it.
pub type View = vm_memory::GuestMemoryMmap<()>;

/// A buffer of a chain: where it lies in this process, its length, and whether the device may write it.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes.
    pub length: u32,
    /// Whether the device writes the buffer; otherwise it reads it.
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
    /// Allocates guest memory of `length` bytes.
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

    /// The memory as the crates of rust-vmm use it.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Length, bytes.
    pub fn length(&self) -> u64 {
        self.region.length()
    }

    /// Returns all pages to the host. The memory reads as zeros from now on.
    pub fn discard_all(&self) -> Result<(), Error> {
        Ok(self.region.discard(GuestPhys(0), self.length())?)
    }
}

impl Memory {
    /// Address of a buffer in this process, or `None` if the buffer is not entirely in guest memory.
    pub fn pointer(&self, buffer: &Buffer) -> Option<*mut u8> {
        self.region.pointer(GuestPhys(buffer.address), buffer.length.into()).ok()
    }

    /// The bytes of a buffer, at most the first `most`.
    pub fn bytes(&self, buffer: &Buffer, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most.min(buffer.length as usize)];
        match self.region.read(GuestPhys(buffer.address), &mut bytes) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    /// Copies bytes to the beginning of a buffer. Returns how many were copied.
    pub fn fill(&self, buffer: &Buffer, bytes: &[u8]) -> usize {
        let length = bytes.len().min(buffer.length as usize);
        match self.region.write(GuestPhys(buffer.address), &bytes[..length]) {
            Ok(()) => length,
            Err(_) => 0,
        }
    }
}
