//! Split virtqueues (virtio 1.2 section 2.7), both sides of them, and the two byte streams of the control ring.
//!
//! | module | side | used by |
//! |---|---|---|
//! | [`driver`] | makes buffers available, and takes used ones back | guests |
//! | [`device`] | takes available chains, and returns them as used | the monitor (TAP), the switch (vhost-user) |
//! | [`stream`] | producer and consumer of a byte stream | the monitor and guests |
//!
//! `fuzz/fuzz_targets/virtqueue.rs` tests each side against a peer that writes anything.
//!
//! Both sides work on [`Parts`]: the addresses of the descriptor table, the available ring and the used ring, which are looked up
//! once in a [`Memory`]. A device looks up every buffer of a descriptor there, on every use.
//!
//! The other side may write anything to the shared memory at any time. So each word is read once, and the value that was read is
//! checked before it is used as an index, address or length. A chain is followed for at most as many descriptors as the queue
//! has entries. Each broken rule has its own error; after an error, the queue must not be used any more.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod device;
pub mod driver;
mod memory;
mod notification;
mod parts;
pub mod stream;

pub use device::{Buffer, Chain, DeviceQueue, Direction, RingError};
pub use driver::{DriverQueue, UsedError};
pub use memory::{Memory, OwnMemory};
pub use notification::crossed;
pub use parts::{Addresses, Parts, QueueError};

#[cfg(test)]
mod tests;
