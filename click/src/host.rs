//! The world outside of a router: what whoever runs one gives it.

use crate::diagnostic::Diagnostics;
use crate::element::{Class, Handler, Nanos};
use crate::packet::Batch;
use crate::router::HandlerError;
use alloc::string::String;
use alloc::vec::Vec;

/// A device of the host, by the number that the host gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId(pub usize);

/// Addresses of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Link-layer address.
    pub mac: [u8; 6],
    /// IPv4 address and prefix length.
    pub ipv4: Option<([u8; 4], u8)>,
    /// IPv6 address and prefix length.
    pub ipv6: Option<([u8; 16], u8)>,
    /// The router that the IPv4 default route leads to there.
    pub gateway: Option<[u8; 4]>,
}

/// The world outside of a router.
///
/// It calls [`crate::Router::run`] again at once while that is busy; otherwise when packets have arrived, when a device
/// that took less than it was given has room again, or when the time has come that the router named.
pub trait Host {
    /// Nanoseconds on a clock that never goes back.
    fn now(&self) -> Nanos;
    /// Nanoseconds since 1970.
    fn wall_clock(&self) -> Nanos;
    /// A device by its name (`0`, `eth0`); `None`: there is no such.
    fn device(&mut self, name: &str) -> Option<DeviceId>;
    /// Its addresses.
    fn device_info(&self, device: DeviceId) -> DeviceInfo;
    /// Packets that have arrived, at most `most`, added to `batch`. Cheap if there are none: it is asked in every round.
    fn receive(&mut self, device: DeviceId, most: usize, batch: &mut Batch);
    /// Sends packets. What there is no room for is left in `batch`; the router tries again when it next runs.
    fn transmit(&mut self, device: DeviceId, batch: &mut Batch);
    /// Devices whose addresses have names in a configuration: `eth0` and `0`, and so on, unless the host says otherwise.
    fn named_devices(&mut self) -> Vec<(String, DeviceInfo)> {
        numbered_devices(&mut |name| self.device(name).map(|d| self.device_info(d)))
    }
    /// Classes of elements that exist on this host only.
    fn classes(&self) -> &'static [&'static Class] {
        &[]
    }
    /// How many threads routers run on. More than one: whoever runs a router parts it.
    fn threads(&self) -> usize {
        1
    }
    /// Handlers of the router that this host adds.
    fn handlers(&self) -> &'static [Handler] {
        &[]
    }
    /// Writes one of them.
    fn write(&mut self, handler: &str, value: &str) -> Result<(), HandlerError> {
        let _ = (handler, value);
        Ok(())
    }
    /// Whether another configuration is about to take this one's place.
    fn is_replaced(&self) -> bool {
        false
    }
    /// What lies outside of the program, for scripts. `None`: this host has nothing of that, as in a guest.
    fn outside(&mut self) -> Option<&mut dyn Outside> {
        None
    }
    /// Prints a text, which ends its own lines.
    fn print(&mut self, text: &str);
    /// Prints what is probably not as meant.
    fn warn(&mut self, warnings: &Diagnostics) {
        self.print(&alloc::format!("{warnings}\n"));
    }
    /// Something that others cannot guess.
    fn random_seed(&mut self) -> u64;
    /// A fast counter, for cycles per element while profiling is on; [`Host::now`] if there is none better.
    fn cycles(&self) -> u64 {
        self.now()
    }
}

/// What scripts may do outside of the program where there is an operating system. Errors are messages.
pub trait Outside {
    /// Writes to the standard output, while [`Host::print`] is for messages.
    fn write_out(&mut self, text: &str);
    /// Contents of a file.
    fn read_file(&mut self, path: &str) -> Result<String, String>;
    /// Writes a file anew, or adds to its end.
    fn write_file(&mut self, path: &str, append: bool, text: &str) -> Result<(), String>;
    /// Takes a signal from now on, by its name or number; the number by which to ask for it.
    fn watch_signal(&mut self, name: &str) -> Result<i32, String>;
    /// How often a signal came that is taken.
    fn signal_count(&mut self, number: i32) -> usize;
    /// No longer takes a signal, once for each time that it was taken; it does what it does to other programs then.
    fn release_signal(&mut self, number: i32);
    /// Sends a signal to a process.
    fn kill(&mut self, signal: &str, process: &str) -> Result<(), String>;
    /// Number of this process.
    fn process(&self) -> u32;
}

/// Most devices that have names by their numbers.
const NUMBERED: usize = 16;

/// Addresses of the devices `eth0` and `0`, and so on.
pub(crate) fn numbered_devices(
    facts: &mut dyn FnMut(&str) -> Option<DeviceInfo>,
) -> Vec<(String, DeviceInfo)> {
    let names = (0..NUMBERED).flat_map(|i| [alloc::format!("eth{i}"), alloc::format!("{i}")]);
    names.filter_map(|name| facts(&name).map(|facts| (name, facts))).collect()
}
