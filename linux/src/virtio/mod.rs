//! Virtio devices (virtio 1.2). [`transport`] is what every device has towards the guest: its registers, its interrupt,
//! its queues' doorbells. [`ring`] is the device's side of a queue. Each device is one module.

pub mod balloon;
pub mod block;
pub mod console;
pub mod device;
#[cfg(any(test, feature = "driver"))]
pub mod driver;
#[cfg(test)]
mod garbage;
pub mod net;
pub mod ring;
pub mod rng;
pub mod transport;
pub mod vhost_net;
