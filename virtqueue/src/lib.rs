//! Split virtqueues (virtio 1.2 section 2.7), both sides of them, and the two byte streams of the control ring.
//!
//! | module | side | used by |
//! |---|---|---|
//! | [`driver`] | makes buffers available, takes them back | guests |
//! | [`device`] | takes chains, gives them back as used | the monitor (TAP), the switch (vhost-user) |
//! | [`stream`] | producer and consumer of a byte stream | the monitor and guests |
//!
//! `fuzz/fuzz_targets/virtqueue.rs` has either side meet one that lies.
//!
//! Both sides work on [`Parts`]: where descriptor table, available ring and used ring lie, found once in a [`Memory`].
//! A device asks that memory again for every buffer that a descriptor names.
//!
//! The other side may write anything to the shared memory, at any time. So each word is read once and checked as it
//! was read; no index, address or length is used before it was checked; and one chain is never followed further than
//! the queue is long. What breaks a rule comes back as an error of its own, and the queue is of no use afterwards.
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
