//! What the guest finds at entry, and where it answers.
//!
//! At entry: `rdi` holds the address of the [`BootPage`], `rsp` the top of a guarded stack (16-byte aligned, as
//! before a `call`), every other general register is zero, MXCSR and the x87 control word have their default
//! values, the direction flag is clear. Segment bases are zero: there is no thread-local storage. The boot page and
//! what it points to as text are read-only to the guest's instructions; they lie in guest memory all the same, so a
//! careless receive descriptor can spoil them, for this guest alone.
//!
//! Within a major version [`BootPage`] may grow at its end ([`BootPage::size`] tells). [`NetDevice`] and [`Queue`]
//! are elements of arrays and do not grow: what they may still need comes out of their reserved bytes.

/// First word of a boot page.
pub const BOOT_MAGIC: u64 = u64::from_le_bytes(*b"uVisorBP");

/// A range of guest memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Address of the first byte.
    pub base: u64,
    /// Length, bytes.
    pub length: u64,
}

/// Monitor to guest, one page, read-only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BootPage {
    /// [`BOOT_MAGIC`].
    pub magic: u64,
    /// The monitor's [`crate::VERSION_MAJOR`].
    pub version_major: u16,
    /// The monitor's [`crate::VERSION_MINOR`].
    pub version_minor: u16,
    /// Size of this structure in the monitor's version, bytes.
    pub size: u32,
    /// All of guest memory.
    pub memory: Range,
    /// Memory after all other parts, for the guest to use as it likes.
    pub heap: Range,
    /// The stack, without its guard pages.
    pub stack: Range,
    /// Command line: `NAME=VALUE` words, each ended by a zero byte. UTF-8.
    pub command_line: Range,
    /// Configuration blob, as the image's note announced.
    pub config: Range,
    /// The [`GuestPage`].
    pub guest_page: u64,
    /// The [`crate::control::ControlPage`].
    pub control_page: u64,
    /// x86-64 level that this vCPU has (1 to 4), so that no `cpuid` is needed.
    pub cpu_level: u32,
    /// How long the guest polls its rings before it yields, nanoseconds at the most: 0 sleeps at once,
    /// [`POLL_ALWAYS`] never sleeps.
    pub poll_ns: u32,
    /// Frequency of the time stamp counter, Hz. The guest's counter is the host's, without offset.
    pub tsc_hz: u64,
    /// Time stamp counter when [`BootPage::clock_unix_ns`] was read.
    pub clock_tsc: u64,
    /// Wall clock at `clock_tsc`, nanoseconds since 1970 (UTC).
    pub clock_unix_ns: u64,
    /// Random bytes from the host, for seeds and secrets.
    pub random: [u8; 32],
    /// Number of valid entries of `net`.
    pub net_count: u32,
    /// The `FLAG_` constants. From version 1.2 on; zero before.
    pub flags: u32,
    /// Net devices, ready to use.
    pub net: [NetDevice; NET_MAXIMUM],
}

/// In [`BootPage::flags`]: the guest is being prepared, before anybody has asked for an instance. Until the message
/// [`crate::control::ASSIGN`], addresses of devices, clock and random bytes are zero, and command line and configuration are
/// empty. The guest does the work that needs none of these, then yields. The monitor completes the page before it sends the
/// message.
pub const FLAG_PREPARED: u32 = 1;
/// See [`BootPage::poll_ns`].
pub const POLL_ALWAYS: u32 = u32::MAX;

/// Most net devices an instance can have.
pub const NET_MAXIMUM: usize = 16;

/// A virtio-net device whose features and queues were fixed before entry.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NetDevice {
    /// Acknowledged virtio-net feature bits ([`crate::net`]).
    pub features: u64,
    /// Link-layer address.
    pub mac: [u8; 6],
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Prefix length of `ipv4`, bits.
    pub ipv4_prefix: u8,
    /// Prefix length of `ipv6`, bits.
    pub ipv6_prefix: u8,
    /// Zero.
    pub reserved: [u8; 6],
    /// IPv4 address assigned to the device, in network order; all zero if none.
    pub ipv4: [u8; 4],
    /// IPv4 default gateway, in network order; all zero if none.
    pub ipv4_gateway: [u8; 4],
    /// IPv6 address assigned to the device; all zero if none.
    pub ipv6: [u8; 16],
    /// IPv6 default gateway; all zero if none.
    pub ipv6_gateway: [u8; 16],
    /// Queue 0: packets for the guest.
    pub receive: Queue,
    /// Queue 1: packets from the guest.
    pub transmit: Queue,
}

/// A split virtqueue ([`crate::virtqueue`]) laid out by the monitor, empty at entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Descriptor table.
    pub descriptors: u64,
    /// Available ring (driver area).
    pub available: u64,
    /// Used ring (device area).
    pub used: u64,
    /// Number of descriptors, a power of two.
    pub size: u32,
    /// Index of the queue's word in the doorbell page.
    pub doorbell: u32,
}

/// Guest to monitor, one page, writable. The monitor does not trust it: it limits stamps to the time that the instance has run, and
/// sorts them.
#[repr(C)]
#[derive(Debug)]
pub struct GuestPage {
    /// Time stamp counter at the end of each step of boot, indexed by the `MARK_` constants; 0: not reached.
    pub marks: [u64; MARKS],
    /// Running totals, indexed by the `COUNTER_` constants.
    pub counters: [u64; COUNTERS],
}

/// Entries in [`GuestPage::marks`].
pub const MARKS: usize = 16;
/// The guest's first instructions.
pub const MARK_ENTRY: usize = 0;
/// Heap, clock and console work.
pub const MARK_RUNTIME: usize = 1;
/// Devices can carry packets.
pub const MARK_DEVICES: usize = 2;
/// The configuration is in force.
pub const MARK_CONFIGURE: usize = 3;
/// The guest can do its job. It also stores to [`crate::registers::READY`].
pub const MARK_READY: usize = 4;
/// The first packet was forwarded or answered.
pub const MARK_FIRST_PACKET: usize = 5;

/// Entries in [`GuestPage::counters`].
pub const COUNTERS: usize = 16;
/// Packets received, all devices.
pub const COUNTER_RECEIVED: usize = 0;
/// Packets transmitted, all devices.
pub const COUNTER_TRANSMITTED: usize = 1;
/// Packets dropped by the guest's driver.
pub const COUNTER_DROPPED: usize = 2;
/// Times that the guest yielded.
pub const COUNTER_YIELDS: usize = 3;
/// Heap in use, bytes.
pub const COUNTER_HEAP_USED: usize = 4;

const _: () = assert!(size_of::<NetDevice>() == 128);
const _: () = assert!(size_of::<BootPage>() <= crate::layout::PAGE_SIZE as usize);
