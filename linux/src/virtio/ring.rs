//! The device's side of a queue: `virtio-queue`'s, in one form for all devices whose buffers this process handles.

use super::device::{Broken, QueueSetup, Served};
use crate::memory::{Buffer, Memory, View};
use std::collections::VecDeque;
use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};

/// Chains served before other work gets its turn.
pub const BATCH: usize = 64;
/// Buffers of a chain, at most: what the block device announces, with header and status, and some more.
const BUFFERS: usize = 256;

/// A chain of buffers.
#[derive(Debug)]
pub struct Chain {
    /// Its name in the used ring.
    pub head: u16,
    /// Its buffers, each of which lies in guest memory.
    pub buffers: VecDeque<Buffer>,
}

/// A queue at work.
pub struct Ring {
    queue: Queue,
    memory: Memory,
}

impl Ring {
    /// A queue as the driver has set it up, of at most `maximum` entries.
    pub fn new(setup: &QueueSetup, maximum: u16, features: u64, memory: &Memory) -> Result<Self, Broken> {
        let mut queue = Queue::new(maximum)?;
        let halves = |address: u64| (Some(address as u32), Some((address >> 32) as u32));
        queue.set_size(setup.size);
        let (low, high) = halves(setup.descriptors);
        queue.set_desc_table_address(low, high);
        let (low, high) = halves(setup.available);
        queue.set_avail_ring_address(low, high);
        let (low, high) = halves(setup.used);
        queue.set_used_ring_address(low, high);
        queue.set_event_idx(features >> VIRTIO_RING_F_EVENT_IDX & 1 != 0);
        queue.set_ready(true);
        // What was refused above is not what was asked for.
        let set = (queue.size(), queue.desc_table(), queue.avail_ring(), queue.used_ring());
        if set != (setup.size, setup.descriptors, setup.available, setup.used)
            || !queue.is_valid(memory.view())
        {
            return Err(Broken("a queue that is not in guest memory, or not aligned".into()));
        }
        Ok(Self { queue, memory: memory.clone() })
    }

    /// Where its buffers lie.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The next chain.
    pub fn take(&mut self) -> Result<Option<Chain>, Broken> {
        let view: &View = self.memory.view();
        let mut available = self.queue.iter(view)?;
        let Some(chain) = available.next() else { return Ok(None) };
        self.check_chain(chain).map(Some)
    }

    fn check_chain(&self, chain: DescriptorChain<&View>) -> Result<Chain, Broken> {
        let head = chain.head_index();
        let mut buffers = VecDeque::new();
        for descriptor in chain {
            let buffer = Buffer {
                address: descriptor.addr().0,
                length: descriptor.len(),
                writable: descriptor.is_write_only(),
            };
            if self.memory.pointer(&buffer).is_none() || buffers.len() == BUFFERS {
                return Err(Broken(format!("the chain at descriptor {head} is not one")));
            }
            buffers.push_back(buffer);
        }
        if buffers.is_empty() {
            return Err(Broken(format!("the chain at descriptor {head} is not one")));
        }
        Ok(Chain { head, buffers })
    }

    /// Gives a chain back, `written` bytes filled in.
    pub fn add_used(&mut self, head: u16, written: u32) -> Result<(), Broken> {
        Ok(self.queue.add_used(self.memory.view(), head, written)?)
    }

    /// Whether the driver wants to hear of what was given back.
    pub fn wants_call(&mut self) -> Result<bool, Broken> {
        Ok(self.queue.needs_notification(self.memory.view())?)
    }

    /// Asks for the doorbell at the next chain; whether there is one already.
    pub fn arm(&mut self) -> Result<bool, Broken> {
        Ok(self.queue.enable_notification(self.memory.view())?)
    }

    /// Serves up to [`BATCH`] chains, each by `serve`, which says how many bytes it has filled in, or that it can serve
    /// no more now.
    pub fn serve(
        &mut self,
        mut serve: impl FnMut(&Memory, Chain) -> Result<u32, Broken>,
    ) -> Result<Served, Broken> {
        let mut more = true;
        for _ in 0..BATCH {
            let Some(chain) = self.take()? else {
                more = self.arm()?;
                if more {
                    continue;
                }
                break;
            };
            let head = chain.head;
            let written = serve(&self.memory, chain)?;
            self.add_used(head, written)?;
        }
        Ok(Served { call: self.wants_call()?, more, failure: None })
    }
}
