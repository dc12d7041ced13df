//! What a device is to its transport and to the I/O thread.

use crate::memory::Memory;
use machine::io::{Tokens, WatchSet};
use machine::net::Counters;

/// A queue as the driver has set it up.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueSetup {
    /// Entries.
    pub size: u16,
    /// Guest-physical address of the descriptor table.
    pub descriptors: u64,
    /// Of the available ring.
    pub available: u64,
    /// Of the used ring.
    pub used: u64,
}

/// A driver that has broken a rule of virtio: how. The device stops, and needs a reset.
#[derive(Debug)]
pub struct Broken(pub String);

impl From<virtqueue::RingError> for Broken {
    fn from(e: virtqueue::RingError) -> Self {
        Self(e.to_string())
    }
}

impl From<virtio_queue::Error> for Broken {
    fn from(e: virtio_queue::Error) -> Self {
        Self(e.to_string())
    }
}

/// What came of serving a device.
#[derive(Debug, Default)]
pub struct Served {
    /// Used buffers that the driver wants to hear of.
    pub call: bool,
    /// There is more to serve at the same source.
    pub more: bool,
    /// What has happened to the device's other end, if that is gone for good.
    pub failure: Option<String>,
}

impl Served {
    /// The driver wants to hear of used buffers, or does not.
    pub fn with_call(call: bool) -> Self {
        Self { call, ..Self::default() }
    }
}

/// What is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A queue's doorbell has rung, or the device has just begun.
    Queue(usize),
    /// A descriptor of the device's own, by its number.
    Event(u64),
}

/// A device.
pub trait Device: Send {
    /// Its number (virtio 1.2, 5).
    fn kind(&self) -> u32;

    /// Features beyond those that the transport offers for all.
    fn features(&self) -> u64;

    /// Whether the other side of its queues knows event indices (virtio 1.2, 2.7.7).
    fn has_event_index(&self) -> bool {
        true
    }

    /// Whether another process serves its queues, and hears their doorbells.
    fn is_external(&self) -> bool {
        false
    }

    /// The most entries that each queue can have.
    fn queues(&self) -> &'static [u16];

    /// The configuration space.
    fn config(&self) -> Vec<u8>;

    /// A store to the configuration space.
    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    /// The driver has set it up. Called by a vCPU thread.
    fn activate(&mut self, features: u64, queues: &[QueueSetup], memory: &Memory) -> Result<(), Broken>;

    /// The driver has reset it: no memory of the guest is touched any more when this returns. Called by a vCPU thread.
    fn reset(&mut self);

    /// Has its own descriptors waited for, as far as it wants any now; the doorbells are waited for anyway. Called by
    /// the I/O thread whenever the device was activated or reset.
    fn watch(&mut self, _tokens: Tokens, _watch: &mut WatchSet) {}

    /// Serves what is ready. Called by the I/O thread, while the device is active.
    fn serve(&mut self, source: Source, tokens: Tokens, watch: &mut WatchSet) -> Result<Served, Broken>;

    /// The guest has ended: what it has left in the device goes out.
    fn finish(&mut self) {}

    /// For a net device, its number and what has passed it.
    fn counters(&self) -> Option<(usize, Counters)> {
        None
    }
}
