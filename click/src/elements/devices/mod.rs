//! The host's net devices.

pub mod dpdk;
mod from_device;
mod to_device;

pub use dpdk::{FromDPDKDevice, ToDPDKDevice};
pub use from_device::FromDevice;
pub use to_device::ToDevice;

use crate::args::Args;
use alloc::string::String;

/// The name or number of the device: the first argument, or the only device there is.
fn name(args: &mut Args<'_>) -> String {
    args.either(&["DEVNAME", "DEVID"]).unwrap_or_else(|| "0".into())
}
