//! The device's side of a split virtqueue (virtio 1.2 section 2.7) in a peer's memory. Every index, address and length
//! is checked on every use; packets are moved in bursts.
#![allow(unsafe_code)]

use super::memory::Memory;
use crate::frame::Piece;
use abi::virtqueue::{
    AVAILABLE_INDEX, AVAILABLE_RING, DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, Descriptor,
    SIZE_MAXIMUM, USED_INDEX, USED_RING, UsedElement, available_bytes, available_event, descriptors_bytes,
    used_bytes, used_event,
};
use std::sync::atomic::{AtomicU16, Ordering, fence};
use vhost_user::message::RingAddresses;

/// How a peer broke the rules of a ring. The port is of no use afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The available index is further ahead than the ring is long.
    #[error("available index {index} is more than {size} ahead of {seen}")]
    Runaway {
        /// Index found.
        index: u16,
        /// Index of the last entry taken.
        seen: u16,
        /// Entries of the ring.
        size: u16,
    },
    /// A descriptor index beyond the table.
    #[error("descriptor {0} is beyond the table")]
    Descriptor(u16),
    /// A buffer that is not all in one region of the peer's memory.
    #[error("descriptor {index}: {length} bytes at {address:#x} are not in its memory")]
    Buffer {
        /// Descriptor.
        index: u16,
        /// Its address.
        address: u64,
        /// Its length.
        length: u32,
    },
    /// A buffer for the wrong direction, or an indirect table, which was not offered.
    #[error("descriptor {index} has flags {flags:#x}")]
    Flags {
        /// Descriptor.
        index: u16,
        /// Flags found.
        flags: u16,
    },
    /// A chain with more buffers than any packet needs (it may loop), or too few bytes for a header.
    #[error("the chain at descriptor {head} has {length} bytes in {buffers} buffers")]
    Chain {
        /// Head of the chain.
        head: u16,
        /// Sum of its buffers.
        length: usize,
        /// How many there are.
        buffers: usize,
    },
}

/// Why a ring cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRing {
    /// No power of two up to 32768.
    #[error("a ring of {0} entries: must be a power of two up to {SIZE_MAXIMUM}")]
    Size(u32),
    /// It lies outside the peer's memory, or not at the address that it must be aligned to.
    #[error("the ring at {0:x?} does not lie aligned in the peer's memory")]
    Place(RingAddresses),
}

/// Most buffers of a chain: 64 KiB in pages, with some to spare.
pub const CHAIN: usize = 64;

/// A chain's buffers.
#[derive(Clone, Copy)]
pub struct Chain {
    /// Index of its first descriptor.
    pub head: u16,
    count: usize,
    buffers: [(*mut u8, usize); CHAIN],
}

// SAFETY: address ranges, used by one thread at a time.
unsafe impl Send for Chain {}

impl Chain {
    /// An empty one, to be filled.
    pub const EMPTY: Chain = Chain { head: 0, count: 0, buffers: [(std::ptr::null_mut(), 0); CHAIN] };

    /// Becomes a chain of one buffer.
    #[inline]
    pub fn be(&mut self, buffer: &Buffer) {
        self.head = buffer.head;
        self.count = 1;
        self.buffers[0] = (buffer.start, buffer.length);
    }

    /// Its buffers.
    #[inline]
    pub fn buffers(&self) -> &[(*mut u8, usize)] {
        &self.buffers[..self.count.min(CHAIN)]
    }

    /// Sum of its buffers, bytes.
    #[inline]
    pub fn length(&self) -> usize {
        self.buffers().iter().map(|b| b.1).sum()
    }

    /// Its bytes from `skip` on as pieces, appended to a fixed list; how many.
    #[inline]
    pub fn pieces(&self, mut skip: usize, to: &mut [Piece; CHAIN]) -> usize {
        let mut n = 0;
        for &(start, length) in self.buffers() {
            if skip >= length {
                skip -= length;
                continue;
            }
            // SAFETY: the buffer was checked to lie in mapped memory, which stays mapped while the batch is worked on.
            to[n] = unsafe { Piece::new(start.add(skip), length - skip) };
            skip = 0;
            n += 1;
        }
        n
    }

    /// Copies its first bytes out; `false` if it has fewer.
    #[inline]
    pub fn read(&self, to: &mut [u8]) -> bool {
        self.read_at(0, to)
    }

    /// Copies bytes out from `skip` on; `false` if it has fewer.
    #[inline]
    pub fn read_at(&self, mut skip: usize, mut to: &mut [u8]) -> bool {
        for &(start, length) in self.buffers() {
            if skip >= length {
                skip -= length;
                continue;
            }
            let n = to.len().min(length - skip);
            // SAFETY: `n` bytes from `skip` on lie in the buffer, which is mapped.
            unsafe { copy(start.add(skip), to.as_mut_ptr(), n) };
            skip = 0;
            to = &mut to[n..];
            if to.is_empty() {
                return true;
            }
        }
        to.is_empty()
    }

    /// Copies a range of memory into it at `at`; the bytes that fit.
    ///
    /// # Safety
    /// `length` bytes at `from` are mapped.
    #[inline]
    pub unsafe fn write_at(&self, mut at: usize, from: *const u8, length: usize) -> usize {
        let mut done = 0;
        for &(start, room) in self.buffers() {
            if at >= room {
                at -= room;
                continue;
            }
            let n = (length - done).min(room - at);
            // SAFETY: `n` bytes from `at` on lie in the buffer; the source is mapped (promised by the caller).
            unsafe { copy(from.add(done), start.add(at), n) };
            at = 0;
            done += n;
            if done == length {
                break;
            }
        }
        done
    }
}

/// A chain of one buffer, as most are. Where there is more to it, `start` is null.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Index of its descriptor.
    pub head: u16,
    /// Bytes.
    pub length: usize,
    /// Its first byte.
    pub start: *mut u8,
}

// SAFETY: an address range, used by one thread at a time.
unsafe impl Send for Buffer {}

/// Asks for a cache line that will be written.
///
/// # Safety
/// None is needed: it is a hint about any address.
#[inline]
unsafe fn prefetch_to_write(at: *const u8) {
    // SAFETY: changes nothing.
    unsafe { std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly)) };
}

/// Copies, without a call for what is small: most packets are.
///
/// # Safety
/// Both ranges are mapped and do not overlap.
#[inline]
pub unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    /// # Safety
    /// `size_of::<T>() <= length`, both ranges mapped.
    #[inline]
    unsafe fn ends<T: Copy>(from: *const u8, to: *mut u8, length: usize) {
        let last = length - size_of::<T>();
        // SAFETY: two copies within the ranges, which may overlap each other; both are read before one is written.
        unsafe {
            let (a, b) = (from.cast::<T>().read_unaligned(), from.add(last).cast::<T>().read_unaligned());
            to.cast::<T>().write_unaligned(a);
            to.add(last).cast::<T>().write_unaligned(b);
        }
    }
    // SAFETY: the size matches the range of lengths in each branch.
    unsafe {
        match length {
            0 => {}
            1 => to.write(from.read()),
            2..4 => ends::<u16>(from, to, length),
            4..8 => ends::<u32>(from, to, length),
            8..16 => ends::<u64>(from, to, length),
            16..32 => ends::<[u64; 2]>(from, to, length),
            32..64 => ends::<[u64; 4]>(from, to, length),
            64..=128 => ends::<[u64; 8]>(from, to, length),
            _ => std::ptr::copy_nonoverlapping(from, to, length),
        }
    }
}

/// A started ring.
pub struct Ring {
    descriptors: *const Descriptor,
    available: *mut u8,
    used: *mut u8,
    size: u16,
    next_available: u16,
    next_used: u16,
    /// `next_used` when the peer was last asked whether it wants to know.
    asked: u16,
    event_index: bool,
    /// Whether the device writes the buffers.
    to_peer: bool,
}

// SAFETY: address ranges in memory that the owner keeps mapped; used by one thread at a time.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring where the peer says it is, to go on from `base`.
    pub fn new(
        memory: &Memory,
        size: u32,
        at: RingAddresses,
        base: u16,
        event_index: bool,
        to_peer: bool,
    ) -> Result<Self, BadRing> {
        if !size.is_power_of_two() || size > SIZE_MAXIMUM {
            return Err(BadRing::Size(size));
        }
        let place = |address, bytes, align| memory.user(address, bytes, align).ok_or(BadRing::Place(at));
        let mut ring = Self {
            descriptors: place(at.descriptors, descriptors_bytes(size), 16)?.cast(),
            available: place(at.available, available_bytes(size), 2)?,
            used: place(at.used, used_bytes(size), 4)?,
            size: size as u16,
            next_available: base,
            next_used: 0,
            asked: 0,
            event_index,
            to_peer,
        };
        ring.next_used = ring.word(ring.used, USED_INDEX).load(Ordering::Acquire);
        ring.asked = ring.next_used;
        Ok(ring)
    }

    /// The available index that it has come to.
    pub fn base(&self) -> u16 {
        self.next_available
    }

    #[inline]
    fn word(&self, ring: *mut u8, offset: u64) -> &AtomicU16 {
        // SAFETY: offsets are of the ring's own words, within the bytes that `new` checked, and even; the memory stays
        // mapped while the ring exists. Both sides use the word atomically.
        unsafe { AtomicU16::from_ptr(ring.add(offset as usize).cast()) }
    }

    /// How many chains the peer has made available.
    #[inline]
    pub fn waiting(&self) -> Result<u16, RingError> {
        let index = self.word(self.available, AVAILABLE_INDEX).load(Ordering::Acquire);
        let waiting = index.wrapping_sub(self.next_available);
        if waiting > self.size {
            return Err(RingError::Runaway { index, seen: self.next_available, size: self.size });
        }
        Ok(waiting)
    }

    #[inline]
    fn descriptor(&self, index: u16) -> Result<Descriptor, RingError> {
        if index >= self.size {
            return Err(RingError::Descriptor(index));
        }
        // SAFETY: within the table. The peer may write to it at any time: this is a copy, whole or torn, and checked.
        Ok(unsafe { self.descriptors.add(index.into()).read_volatile() })
    }

    #[inline]
    fn head(&self, ahead: u16) -> u16 {
        let slot = self.next_available.wrapping_add(ahead) & (self.size - 1);
        self.word(self.available, AVAILABLE_RING + 2 * u64::from(slot)).load(Ordering::Relaxed)
    }

    /// Looks at the next chains, of which `to` may take as many as it has room for and no more than are waiting: first
    /// at all their descriptors, then at all their buffers, so that what the other side's cache has comes while the next
    /// is asked for.
    #[inline]
    pub fn look_ahead(&self, memory: &Memory, count: u16, to: &mut Vec<Buffer>) -> Result<(), RingError> {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        to.clear();
        for ahead in 0..count {
            let head = self.head(ahead);
            if head >= self.size {
                return Err(RingError::Descriptor(head));
            }
            // SAFETY: a hint about an address within the table.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.descriptors.add(head.into()).cast()) };
            to.push(Buffer { head, length: 0, start: std::ptr::null_mut() });
        }
        for buffer in to.iter_mut() {
            let d = self.descriptor(buffer.head)?;
            if d.flags & !DESCRIPTOR_WRITE != 0 || (d.flags & DESCRIPTOR_WRITE != 0) != self.to_peer {
                // Several descriptors, or wrong ones: looked at in full when it is its turn.
                continue;
            }
            let Some(start) = memory.guest(d.address, d.length.into()) else { continue };
            (buffer.start, buffer.length) = (start, d.length as usize);
            // SAFETY: a hint; the second line may lie beyond the buffer, which a hint does not mind.
            unsafe {
                if self.to_peer {
                    prefetch_to_write(start);
                    prefetch_to_write(start.wrapping_add(64));
                } else {
                    _mm_prefetch::<_MM_HINT_T0>(start.cast());
                    _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64).cast());
                }
            }
        }
        Ok(())
    }

    /// Looks at the chain `ahead` places beyond the next one, which must be waiting.
    #[inline]
    pub fn peek(&self, memory: &Memory, ahead: u16, chain: &mut Chain) -> Result<(), RingError> {
        let head = self.head(ahead);
        chain.head = head;
        chain.count = 0;
        let mut index = head;
        loop {
            let d = self.descriptor(index)?;
            let writes = d.flags & DESCRIPTOR_WRITE != 0;
            if writes != self.to_peer || d.flags & DESCRIPTOR_INDIRECT != 0 {
                return Err(RingError::Flags { index, flags: d.flags });
            }
            let start = memory.guest(d.address, d.length.into()).ok_or(RingError::Buffer {
                index,
                address: d.address,
                length: d.length,
            })?;
            let Some(buffer) = chain.buffers.get_mut(chain.count) else {
                return Err(RingError::Chain { head, length: chain.length(), buffers: CHAIN + 1 });
            };
            *buffer = (start, d.length as usize);
            chain.count += 1;
            if d.flags & DESCRIPTOR_NEXT == 0 {
                return Ok(());
            }
            index = d.next;
        }
    }

    /// Passes chains that were peeked at.
    #[inline]
    pub fn take(&mut self, count: u16) {
        self.next_available = self.next_available.wrapping_add(count);
    }

    /// Gives a chain back, `written` bytes filled in. The peer sees nothing before [`Ring::publish`].
    #[inline]
    pub fn give_back(&mut self, head: u16, written: u32) {
        let slot = self.next_used & (self.size - 1);
        let element = UsedElement { id: head.into(), length: written };
        let word = u64::from(element.id) | u64::from(element.length) << 32;
        let at = (USED_RING + 8 * u64::from(slot)) as usize;
        // SAFETY: within the used ring that `new` checked, aligned to 4 bytes. The peer reads it after the index.
        unsafe { self.used.add(at).cast::<u64>().write_unaligned(word) };
        self.next_used = self.next_used.wrapping_add(1);
    }

    /// Shows the peer what was given back.
    #[inline]
    pub fn publish(&self) {
        self.word(self.used, USED_INDEX).store(self.next_used, Ordering::Release);
    }

    /// How many chains were given back since the peer was last asked whether it wants to be called.
    #[inline]
    pub fn unannounced(&self) -> u64 {
        self.next_used.wrapping_sub(self.asked).into()
    }

    /// Whether the peer wants to be called for what was published since it was last asked.
    #[inline]
    pub fn wants_call(&mut self) -> bool {
        if self.asked == self.next_used {
            return false;
        }
        fence(Ordering::SeqCst);
        let before = std::mem::replace(&mut self.asked, self.next_used);
        if self.event_index {
            let at = used_event(self.size.into());
            let event = self.word(self.available, at).load(Ordering::Relaxed);
            return crossed(event, before, self.next_used);
        }
        self.word(self.available, 0).load(Ordering::Relaxed) & 1 == 0
    }

    /// Tells the peer not to kick.
    pub fn disarm(&self) {
        if self.event_index {
            // An index just passed is not reached again for 65,535 entries.
            self.set_event(self.next_available.wrapping_sub(1));
        } else {
            self.word(self.used, 0).store(1, Ordering::Relaxed);
        }
    }

    /// Asks the peer to kick at the next chain; whether there is one already.
    pub fn arm(&self) -> Result<bool, RingError> {
        if self.event_index {
            self.set_event(self.next_available);
        } else {
            self.word(self.used, 0).store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        Ok(self.waiting()? > 0)
    }

    fn set_event(&self, event: u16) {
        self.word(self.used, available_event(self.size.into())).store(event, Ordering::Relaxed);
    }
}

/// Whether `event` lies in the entries `before..after` (2.7.7.1, 2.7.10.1).
fn crossed(event: u16, before: u16, after: u16) -> bool {
    after.wrapping_sub(event).wrapping_sub(1) < after.wrapping_sub(before)
}
