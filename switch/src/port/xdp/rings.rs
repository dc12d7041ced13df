//! The memory shared with the kernel: frames, and four rings of their places (kernel, `Documentation/networking/af_xdp`).
//! Half of the frames are for packets that come in, half for those that go out.
#![allow(unsafe_code)]

use crate::frame::Piece;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a frame.
const SLOT: usize = 4096;
/// Bytes of a packet in it: the kernel keeps room ahead.
pub const FRAME: usize = SLOT - 256;
/// Entries of each ring.
const RING: u32 = 2048;
const FRAMES: usize = 2 * RING as usize;
const BYTES: usize = FRAMES * SLOT;

/// A mapping, unmapped with this.
struct Mapping {
    start: *mut u8,
    length: usize,
}

// SAFETY: an address range, used by the thread that has the port.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `map`, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

fn map(length: usize, flags: i32, fd: i32, offset: i64) -> io::Result<Mapping> {
    // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
    let start = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), length, protection, flags, fd, offset)
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(Mapping { start: start.cast(), length })
}

/// One ring: `T` is a place (fill, completion) or a descriptor (receive, transmit).
struct Ring<T> {
    mapping: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    /// This side's index.
    index: u32,
    kind: std::marker::PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    fn new(fd: &OwnedFd, offset: i64, at: &libc::xdp_ring_offset) -> io::Result<Self> {
        let length = at.desc as usize + RING as usize * size_of::<T>();
        let mapping = map(length, libc::MAP_SHARED | libc::MAP_POPULATE, fd.as_raw_fd(), offset)?;
        Ok(Self {
            mapping,
            producer: at.producer as usize,
            consumer: at.consumer as usize,
            flags: at.flags as usize,
            entries: at.desc as usize,
            index: 0,
            kind: std::marker::PhantomData,
        })
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: the kernel said that the ring has an aligned word there.
        unsafe { AtomicU32::from_ptr(self.mapping.start.add(at).cast()) }
    }

    fn entry(&self, index: u32) -> *mut T {
        let slot = (index & (RING - 1)) as usize;
        // SAFETY: within the ring's entries.
        unsafe { self.mapping.start.add(self.entries).cast::<T>().add(slot) }
    }

    /// As a producer: puts an entry in, which [`Ring::show`] makes visible; `false` if the ring is full.
    fn put(&mut self, value: T) -> bool {
        let consumed = self.word(self.consumer).load(Ordering::Acquire);
        if self.index.wrapping_sub(consumed) >= RING {
            return false;
        }
        // SAFETY: an entry that the kernel does not look at now.
        unsafe { self.entry(self.index).write(value) };
        self.index = self.index.wrapping_add(1);
        true
    }

    fn show(&self) {
        self.word(self.producer).store(self.index, Ordering::Release);
    }

    /// As a consumer: takes an entry out.
    fn take(&mut self) -> Option<T> {
        let produced = self.word(self.producer).load(Ordering::Acquire);
        if produced == self.index {
            return None;
        }
        // SAFETY: an entry that the kernel has filled in.
        let value = unsafe { self.entry(self.index).read() };
        self.index = self.index.wrapping_add(1);
        self.word(self.consumer).store(self.index, Ordering::Release);
        Some(value)
    }

    /// As a producer: entries that the other side has not taken yet.
    fn unconsumed(&self) -> u32 {
        self.index.wrapping_sub(self.word(self.consumer).load(Ordering::Acquire))
    }

    fn wants_kick(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// All four, and the frames.
pub struct Rings {
    fill: Ring<u64>,
    completion: Ring<u64>,
    receive: Ring<libc::xdp_desc>,
    transmit: Ring<libc::xdp_desc>,
    memory: Mapping,
    /// Frames that are free to be sent.
    free: Vec<u64>,
}

fn set<T>(fd: &OwnedFd, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the call reads a value of the size given.
    let n = unsafe {
        let length = size_of::<T>() as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_XDP, name, std::ptr::from_ref(value).cast(), length)
    };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Rings {
    /// Shares memory with the kernel for a socket.
    pub fn new(fd: &OwnedFd) -> io::Result<Self> {
        let memory = map(BYTES, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)?;
        // SAFETY: an all-zero registration is valid.
        let mut registration: libc::xdp_umem_reg = unsafe { std::mem::zeroed() };
        registration.addr = memory.start as u64;
        registration.len = BYTES as u64;
        registration.chunk_size = SLOT as u32;
        set(fd, libc::XDP_UMEM_REG, &registration)?;
        for ring in
            [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING]
        {
            set(fd, ring, &RING)?;
        }
        // SAFETY: an all-zero value is valid, and the call fills it in up to the length given.
        let at = unsafe {
            let mut at: libc::xdp_mmap_offsets = std::mem::zeroed();
            let mut length = size_of::<libc::xdp_mmap_offsets>() as libc::socklen_t;
            let name = libc::XDP_MMAP_OFFSETS;
            let n =
                libc::getsockopt(fd.as_raw_fd(), libc::SOL_XDP, name, (&raw mut at).cast(), &raw mut length);
            if n < 0 {
                return Err(io::Error::last_os_error());
            }
            at
        };
        let mut rings = Self {
            fill: Ring::new(fd, libc::XDP_UMEM_PGOFF_FILL_RING as i64, &at.fr)?,
            completion: Ring::new(fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64, &at.cr)?,
            receive: Ring::new(fd, libc::XDP_PGOFF_RX_RING, &at.rx)?,
            transmit: Ring::new(fd, libc::XDP_PGOFF_TX_RING, &at.tx)?,
            memory,
            free: (FRAMES as u64 / 2..FRAMES as u64).map(|n| n * SLOT as u64).collect(),
        };
        for n in 0..FRAMES as u64 / 2 {
            rings.fill.put(n * SLOT as u64);
        }
        rings.fill.show();
        Ok(rings)
    }

    /// The next packet that came in: the place of its frame, to be given back, and its bytes.
    pub fn received(&mut self) -> Option<(u64, Piece)> {
        let d = self.receive.take()?;
        let (at, length) = (d.addr as usize, d.len as usize);
        assert!(at + length <= BYTES, "the kernel keeps to the frames that it was given");
        // SAFETY: within the frames, which live as long as the port.
        Some((d.addr - d.addr % SLOT as u64, unsafe { Piece::new(self.memory.start.add(at), length) }))
    }

    /// Gives frames back for packets to come.
    pub fn refill(&mut self, frames: &mut Vec<u64>) {
        if frames.is_empty() {
            return;
        }
        for frame in frames.drain(..) {
            // There is room for all that came out of it.
            self.fill.put(frame);
        }
        self.fill.show();
    }

    /// Takes back frames that were sent.
    pub fn reclaim(&mut self) {
        while let Some(frame) = self.completion.take() {
            self.free.push(frame);
        }
    }

    /// Sends a packet that fits into a frame; `false` if there is none free.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        let Some(frame) = self.free.pop() else { return false };
        // SAFETY: a free frame, longer than the packet, by the caller's promise checked here.
        unsafe {
            let length = bytes.len().min(SLOT);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory.start.add(frame as usize), length);
        }
        let descriptor = libc::xdp_desc { addr: frame, len: bytes.len().min(SLOT) as u32, options: 0 };
        if !self.transmit.put(descriptor) {
            self.free.push(frame);
            return false;
        }
        true
    }

    /// Shows the kernel what is to be sent.
    pub fn show_sent(&mut self) {
        self.transmit.show();
    }

    /// How many packets the kernel has yet to look at.
    pub fn unsent(&self) -> u32 {
        self.transmit.unconsumed()
    }

    /// Whether the kernel wants a sign for them.
    pub fn wants_kick(&self) -> bool {
        self.transmit.wants_kick()
    }
}
