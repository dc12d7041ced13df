//! Devices as configurations for DPDK name them, by number: `eth0` and so on.

use super::{FromDevice, ToDevice};
use click::element::{Class, Described};
use click::elements::devices::dpdk::{RECEIVES, SENDS, plain};

/// Receives from a device by its number.
pub struct FromDPDKDevice;

impl Described for FromDPDKDevice {
    const CLASS: Class = Class {
        make: |args| {
            plain(args, RECEIVES);
            (FromDevice::CLASS.make)(args)
        },
        handlers: FromDevice::CLASS.handlers,
        ..<click::elements::devices::FromDPDKDevice as Described>::CLASS
    };
}

/// Sends to a device by its number.
pub struct ToDPDKDevice;

impl Described for ToDPDKDevice {
    const CLASS: Class = Class {
        make: |args| {
            plain(args, SENDS);
            (ToDevice::CLASS.make)(args)
        },
        handlers: ToDevice::CLASS.handlers,
        ports: ToDevice::CLASS.ports,
        ..<click::elements::devices::ToDPDKDevice as Described>::CLASS
    };
}
