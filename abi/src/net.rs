//! virtio-net, virtio 1.2 section 5.1: the header ahead of every packet and the feature bits in use.

/// Ahead of every packet on both queues (5.1.6), 12 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetHeader {
    /// `HEADER_` flags.
    pub flags: u8,
    /// One of the `GSO_` constants, with [`GSO_ECN`] or'ed in.
    pub gso_type: u8,
    /// Ethernet, IP and TCP headers, bytes; a hint.
    pub header_length: u16,
    /// Payload of each segment, bytes.
    pub gso_size: u16,
    /// Where the checksummed part starts, bytes from the start of the packet.
    pub checksum_start: u16,
    /// Where the checksum goes, bytes from `checksum_start`.
    pub checksum_offset: u16,
    /// Receive, with mergeable buffers: how many buffers the packet fills. Else 1 on receive, 0 on transmit.
    pub buffers: u16,
}

/// The checksum is to be filled in from `checksum_start` on.
pub const HEADER_NEEDS_CHECKSUM: u8 = 1;
/// The device has verified the checksum.
pub const HEADER_DATA_VALID: u8 = 2;
/// Not a large segment.
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// The segments carry ECN bits.
pub const GSO_ECN: u8 = 0x80;

/// The device takes packets with partial checksums.
pub const FEATURE_CSUM: u64 = 1 << 0;
/// The driver takes packets with partial checksums.
pub const FEATURE_GUEST_CSUM: u64 = 1 << 1;
/// `mtu` holds; always on.
pub const FEATURE_MTU: u64 = 1 << 3;
/// `mac` holds; always on.
pub const FEATURE_MAC: u64 = 1 << 5;
/// The driver takes large TCP/IPv4 segments.
pub const FEATURE_GUEST_TSO4: u64 = 1 << 7;
/// The driver takes large TCP/IPv6 segments.
pub const FEATURE_GUEST_TSO6: u64 = 1 << 8;
/// The device takes large TCP/IPv4 segments.
pub const FEATURE_HOST_TSO4: u64 = 1 << 11;
/// The device takes large TCP/IPv6 segments.
pub const FEATURE_HOST_TSO6: u64 = 1 << 12;
/// A received packet may fill several buffers.
pub const FEATURE_MRG_RXBUF: u64 = 1 << 15;
/// Notifications are suppressed by index (2.7.7, 2.7.10).
pub const FEATURE_EVENT_IDX: u64 = 1 << 29;
/// Virtio 1.x; always on.
pub const FEATURE_VERSION_1: u64 = 1 << 32;

const _: () = assert!(size_of::<NetHeader>() == 12);
