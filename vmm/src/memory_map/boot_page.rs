//! The boot page: tells the guest its devices, memory and parameters.

use super::layout::Layout;
use abi::boot::{BOOT_MAGIC, BootPage, NET_MAXIMUM, NetDevice, Queue};

/// Values of the boot page that are not part of the layout.
pub struct Contents<'a> {
    /// Net devices, apart from their queues.
    pub nets: &'a [NetDevice],
    /// How long an idle guest polls before it sleeps, nanoseconds.
    pub poll_ns: u32,
    /// Random bytes for the guest.
    pub random: [u8; 32],
    /// x86-64 level of the processor.
    pub cpu_level: u32,
    /// Frequency of the time stamp counter, Hz.
    pub tsc_hz: u64,
    /// Flags of `abi::boot`.
    pub flags: u32,
}

const NO_QUEUE: Queue = Queue { descriptors: 0, available: 0, used: 0, size: 0, doorbell: 0 };
/// The entry of an unused net device.
pub const NONE: NetDevice = NetDevice {
    features: 0,
    mac: [0; 6],
    mtu: 0,
    ipv4_prefix: 0,
    ipv6_prefix: 0,
    reserved: [0; 6],
    ipv4: [0; 4],
    ipv4_gateway: [0; 4],
    ipv6: [0; 16],
    ipv6_gateway: [0; 16],
    receive: NO_QUEUE,
    transmit: NO_QUEUE,
};

/// The boot page of an instance, without its clock.
pub fn boot_page(layout: &Layout, contents: &Contents<'_>) -> BootPage {
    let mut net = [NONE; NET_MAXIMUM];
    for (i, &device) in contents.nets.iter().enumerate() {
        net[i] = layout.net_device(i, device);
    }
    BootPage {
        magic: BOOT_MAGIC,
        version_major: abi::VERSION_MAJOR,
        version_minor: abi::VERSION_MINOR,
        size: size_of::<BootPage>() as u32,
        memory: layout.memory,
        heap: layout.heap,
        stack: layout.stack,
        command_line: layout.command_line,
        config: layout.config,
        guest_page: layout.guest_page,
        control_page: layout.control_page,
        cpu_level: contents.cpu_level,
        poll_ns: contents.poll_ns,
        tsc_hz: contents.tsc_hz,
        clock_tsc: 0,
        clock_unix_ns: 0,
        random: contents.random,
        net_count: contents.nets.len() as u32,
        flags: contents.flags,
        net,
    }
}
