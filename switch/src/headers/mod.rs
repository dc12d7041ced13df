//! What is read and written of the packets themselves, a file a protocol.

pub mod arp;
pub mod checksum;
pub mod ip;
pub mod lacp;
pub mod ndp;

pub use switch_control::mac::Mac;

/// Ethertype of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethertype of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// Ethertype of reverse ARP (RFC 903).
pub const ETHERTYPE_RARP: u16 = 0x8035;
/// Ethertype of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Ethertype of LACP and its like (IEEE 802.3 annex 57A).
pub const ETHERTYPE_SLOW: u16 = 0x8809;
/// Ethertype of a customer VLAN tag (IEEE 802.1Q, C-TAG).
pub const ETHERTYPE_CTAG: u16 = 0x8100;
/// Ethertype of a service VLAN tag (IEEE 802.1Q, S-TAG).
pub const ETHERTYPE_STAG: u16 = 0x88a8;
/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

/// A big-endian word, 0 beyond the end.
#[inline]
pub fn be16(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(w) => u16::from_be_bytes([w[0], w[1]]),
        None => 0,
    }
}

/// Whether an ethertype is that of a VLAN tag, by the standard or as older equipment has it.
#[inline]
pub fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_CTAG | ETHERTYPE_STAG | 0x9100 | 0x9200 | 0x9300)
}
