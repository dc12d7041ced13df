//! The host's net devices.

mod from_device;
mod to_device;

pub use from_device::FromDevice;
pub use to_device::ToDevice;
