//! Virtio devices (virtio 1.2). [`transport`] is what every device has towards the guest: its registers, its interrupt,
//! its queues' doorbells. [`ring`] is the device's side of a queue. Each device is one module.

pub mod console;
pub mod device;
pub mod ring;
pub mod transport;
