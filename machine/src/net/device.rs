//! A net device on a TAP. Packets go between the rings and the kernel without a copy in the monitor.
#![allow(unsafe_code)]

use super::Counters;
use crate::memory::Region;
use abi::boot::Queue;
use abi::net::*;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use virtqueue::{Addresses, Chain, DeviceQueue, Direction, Parts, QueueError, RingError};

const HEADER: usize = size_of::<NetHeader>();
/// Length of the header, Ethernet with a VLAN tag, and the largest IP packet, bytes.
const PACKET_MAXIMUM: usize = HEADER + 18 + 65535;
/// Packets that are moved before other work gets its turn.
const BATCH: usize = 128;
/// Buffers for one packet; when they are reached, no further chain is added.
const GATHER: usize = 64;
/// Most ranges of one read or write of a TAP: `IOV_MAX`. No queue has more descriptors.
const RANGES: usize = 1024;

/// The state of a queue after a pass over it.
#[derive(Debug)]
pub enum Progress {
    /// Nothing is left: wait for the doorbell, or for the TAP to become readable.
    Idle,
    /// There is more to do at once.
    More,
    /// Packets that the guest has no buffers for: wait for its doorbell, not for the TAP.
    NoBuffers,
    /// The TAP is gone, for this reason. The device carries no more packets.
    Lost(io::Error),
}

/// Whether an error of a TAP is final. Other errors concern one packet, or are temporary: the interface is down (EIO), a
/// header contradicts its packet (EINVAL), the kernel has no memory (ENOMEM, ENOBUFS).
fn is_lost(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EBADFD | libc::EBADF | libc::ENODEV | libc::ENXIO))
}

/// The device.
pub struct TapNet {
    tap: OwnedFd,
    receive: DeviceQueue,
    transmit: DeviceQueue,
    mergeable: bool,
    large: bool,
    guest_checksum: bool,
    /// Buffers of the current packet, for `readv` and `writev`.
    buffers: Vec<libc::iovec>,
    /// Chains that they belong to, while a packet is received.
    chains: Vec<Chain>,
    /// Totals.
    pub counters: Counters,
    /// Memory of the queues and buffers. Dropped after the queues.
    memory: Arc<Region>,
}

// SAFETY: the pointers in `buffers` are to guest memory, which the device keeps mapped and any thread may use.
unsafe impl Send for TapNet {}

impl TapNet {
    /// A device on an open TAP, with the features that the boot page announces.
    pub fn new(
        tap: OwnedFd,
        memory: &Arc<Region>,
        queues: [Queue; 2],
        features: u64,
    ) -> Result<Self, QueueError> {
        let event_index = features & FEATURE_EVENT_IDX != 0;
        let queue = |q: &Queue, direction| {
            let parts = Parts::locate(&**memory, q.size, Addresses::from(q))?;
            // SAFETY: the parts lie in guest memory, which the device holds; nobody else serves its queues.
            Ok(unsafe { DeviceQueue::new(parts, direction, event_index, 0) })
        };
        let (receive, transmit) =
            (queue(&queues[0], Direction::ToDriver)?, queue(&queues[1], Direction::FromDriver)?);
        // The TAP says when there is something to receive; until then new buffers are no news.
        receive.disarm();
        Ok(Self {
            tap,
            receive,
            transmit,
            mergeable: features & FEATURE_MRG_RXBUF != 0,
            large: features & (FEATURE_GUEST_TSO4 | FEATURE_GUEST_TSO6) != 0,
            guest_checksum: features & FEATURE_GUEST_CSUM != 0,
            buffers: Vec::with_capacity(GATHER),
            chains: Vec::with_capacity(GATHER),
            counters: Counters::default(),
            memory: memory.clone(),
        })
    }

    /// Returns the TAP and ends the device.
    pub fn into_tap(self) -> OwnedFd {
        self.tap
    }

    /// The TAP, for waiting on it.
    pub fn tap(&self) -> &OwnedFd {
        &self.tap
    }

    /// Moves packets from the guest to the TAP; whether the guest wants to be woken.
    pub fn transmit(&mut self) -> Result<(Progress, bool), RingError> {
        self.transmit.disarm();
        let mut progress = Progress::More;
        for _ in 0..BATCH {
            let Some(chain) = self.next_transmitted()? else {
                progress = if self.transmit.arm(0)? { Progress::More } else { Progress::Idle };
                break;
            };
            if !(HEADER as u64..=PACKET_MAXIMUM as u64).contains(&chain.length) {
                return Err(RingError::Length { head: chain.head, length: chain.length });
            }
            match self.vectored(libc::writev) {
                Ok(_) => self.counters.transmitted += 1,
                Err(e) if is_lost(&e) => {
                    progress = Progress::Lost(e);
                    break;
                }
                Err(_) => self.counters.refused += 1,
            }
            complete(&mut self.transmit, chain.head, 0);
        }
        Ok((progress, publish(&mut self.transmit)))
    }

    /// Discards what the guest transmits, after the TAP is gone, so that the driver gets its buffers back. Returns whether the
    /// guest wants to be woken.
    pub fn discard(&mut self) -> Result<(Progress, bool), RingError> {
        self.transmit.disarm();
        let mut progress = Progress::More;
        for _ in 0..BATCH {
            let Some(chain) = self.next_transmitted()? else {
                progress = if self.transmit.arm(0)? { Progress::More } else { Progress::Idle };
                break;
            };
            self.counters.refused += 1;
            complete(&mut self.transmit, chain.head, 0);
        }
        Ok((progress, publish(&mut self.transmit)))
    }

    /// Gathers the buffers of the next packet that the guest transmits.
    fn next_transmitted(&mut self) -> Result<Option<Chain>, RingError> {
        self.buffers.clear();
        if self.transmit.waiting()? == 0 {
            return Ok(None);
        }
        read_chain(&self.transmit, &self.memory, 0, &mut self.buffers).map(Some)
    }

    /// Moves packets from the TAP to the guest; whether the guest wants to be woken.
    pub fn receive(&mut self) -> Result<(Progress, bool), RingError> {
        let mut progress = Progress::More;
        self.receive.disarm();
        for _ in 0..BATCH {
            if !self.gather()? {
                progress = if self.receive.arm(self.chains.len() as u16)? {
                    Progress::More
                } else {
                    Progress::NoBuffers
                };
                break;
            }
            match self.vectored(libc::readv) {
                Ok(n) if n >= HEADER => self.deliver(n),
                Ok(_) => {}
                Err(e) => {
                    progress = if is_lost(&e) { Progress::Lost(e) } else { Progress::Idle };
                    break;
                }
            }
        }
        Ok((progress, publish(&mut self.receive)))
    }

    /// Gathers buffers enough for any packet; `false` if the guest has too few.
    fn gather(&mut self) -> Result<bool, RingError> {
        self.buffers.clear();
        self.chains.clear();
        let wanted = if self.large && self.mergeable { PACKET_MAXIMUM as u64 } else { 1 };
        let waiting = self.receive.waiting()?;
        let mut total = 0;
        while total < wanted {
            let ahead = self.chains.len() as u16;
            if ahead >= waiting {
                return Ok(false);
            }
            let before = self.buffers.len();
            let chain = read_chain(&self.receive, &self.memory, ahead, &mut self.buffers)?;
            if chain.length < HEADER as u64
                || (self.chains.is_empty() && self.buffers[before].iov_len < HEADER)
            {
                return Err(RingError::Length { head: chain.head, length: chain.length });
            }
            total += chain.length;
            self.chains.push(chain);
            if self.buffers.len() >= GATHER {
                break;
            }
        }
        Ok(true)
    }

    /// A packet of `n` bytes, header included, lies in the gathered buffers: hands them to the guest.
    fn deliver(&mut self, n: usize) {
        let mut rest = n as u64;
        let mut used = 0u16;
        for chain in &self.chains {
            let here = rest.min(chain.length);
            complete(&mut self.receive, chain.head, here as u32);
            used += 1;
            rest -= here;
            if rest == 0 {
                break;
            }
        }
        let first = self.buffers[0].iov_base.cast::<u8>();
        // SAFETY: the first buffer holds a whole header (checked by `gather`) in guest memory; `buffers` is its last
        // field, at offset 10, and `flags` its first byte.
        unsafe {
            first.add(10).cast::<u16>().write_unaligned(used);
            if !self.guest_checksum {
                first.write(0);
            }
        }
        self.counters.received += 1;
    }

    /// Reads or writes the gathered buffers. There are more than one call takes only if the guest's chains share
    /// descriptors: a packet then goes into the first of them.
    fn vectored(
        &self,
        call: unsafe extern "C" fn(i32, *const libc::iovec, i32) -> isize,
    ) -> io::Result<usize> {
        let count = self.buffers.len().min(RANGES) as i32;
        // SAFETY: each vector is a range of guest memory that the queue has checked.
        let n = unsafe { call(self.tap.as_raw_fd(), self.buffers.as_ptr(), count) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
    }
}

/// Reads the chain that is `ahead` entries after the next one, which must be available, and appends its buffers to `buffers`.
fn read_chain(
    queue: &DeviceQueue,
    memory: &Region,
    ahead: u16,
    buffers: &mut Vec<libc::iovec>,
) -> Result<Chain, RingError> {
    queue.peek(memory, ahead, |start, length| {
        buffers.push(libc::iovec { iov_base: start.as_ptr().cast(), iov_len: length });
    })
}

/// Takes the next chain and adds it to the used ring, with `written` bytes.
fn complete(queue: &mut DeviceQueue, head: u16, written: u32) {
    queue.take(1);
    queue.add_used(head, written);
}

/// Publishes completed chains. Returns whether the guest wants to be woken.
fn publish(queue: &mut DeviceQueue) -> bool {
    if queue.unannounced() == 0 {
        return false;
    }
    queue.publish();
    queue.wants_call()
}
