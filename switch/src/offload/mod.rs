//! Work that a packet's sender left to others: a checksum to fill in, a large segment to cut. It crosses the switch as
//! metadata, as virtio has it (virtio 1.2 section 5.1.6), and is done here only for a port that cannot.

mod software;

pub use software::{Finished, finish};

use crate::headers::ip;
use abi::net::{
    GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, HEADER_DATA_VALID, HEADER_NEEDS_CHECKSUM, NetHeader,
};

/// What is left to do to a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Offload {
    /// `HEADER_NEEDS_CHECKSUM`, `HEADER_DATA_VALID`.
    flags: u8,
    gso: u8,
    header_length: u16,
    gso_size: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

/// What a port can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Packets with partial checksums.
    pub checksum: bool,
    /// Large TCP segments over IPv4.
    pub tcp4: bool,
    /// Large TCP segments over IPv6.
    pub tcp6: bool,
}

impl Abilities {
    /// Everything.
    pub const ALL: Abilities = Abilities { checksum: true, tcp4: true, tcp6: true };
}

impl Offload {
    /// From a virtio header; `None` if it asks for something that was not offered.
    #[inline]
    pub fn from_header(h: &NetHeader) -> Option<Self> {
        if h.flags == 0 && h.gso_type == GSO_NONE {
            return Some(Self::default());
        }
        let gso = h.gso_type & !GSO_ECN;
        let large = gso != GSO_NONE;
        let partial = h.flags & HEADER_NEEDS_CHECKSUM != 0;
        if large && (!matches!(gso, GSO_TCPV4 | GSO_TCPV6) || !partial || h.gso_size == 0) {
            return None;
        }
        // What says nothing to this packet goes on to nobody.
        let (checksum_start, checksum_offset) =
            if partial { (h.checksum_start, h.checksum_offset) } else { (0, 0) };
        let (gso, header_length, gso_size) =
            if large { (h.gso_type, h.header_length, h.gso_size) } else { (GSO_NONE, 0, 0) };
        let flags = h.flags & (HEADER_NEEDS_CHECKSUM | HEADER_DATA_VALID);
        Some(Self { flags, gso, header_length, gso_size, checksum_start, checksum_offset })
    }

    /// As a virtio header.
    #[inline]
    pub fn header(&self) -> NetHeader {
        NetHeader {
            flags: self.flags,
            gso_type: self.gso,
            header_length: self.header_length,
            gso_size: self.gso_size,
            checksum_start: self.checksum_start,
            checksum_offset: self.checksum_offset,
            buffers: 0,
        }
    }

    /// Whether nothing is left to do and nothing is to be said.
    #[inline]
    pub fn is_nothing(&self) -> bool {
        self.flags == 0 && self.gso == GSO_NONE
    }

    /// Whether a checksum is to be filled in.
    pub fn needs_checksum(&self) -> bool {
        self.flags & HEADER_NEEDS_CHECKSUM != 0
    }

    /// Payload of each segment that it is to be cut into, bytes; `None` if it is whole.
    #[inline]
    pub fn segment(&self) -> Option<usize> {
        if self.gso == GSO_NONE { None } else { Some(self.gso_size.into()) }
    }

    /// Whether a port can take it as it is.
    #[inline]
    pub fn suits(&self, abilities: Abilities) -> bool {
        if self.is_nothing() {
            return true;
        }
        let large = match self.gso & !GSO_ECN {
            GSO_NONE => true,
            GSO_TCPV4 => abilities.tcp4,
            _ => abilities.tcp6,
        };
        large && (abilities.checksum || !self.needs_checksum())
    }

    /// Moves with the packet's bytes, when a tag goes on or comes off ahead of them.
    pub fn shift(&mut self, bytes: i32) {
        let move_by = |at: &mut u16| *at = (i32::from(*at) + bytes).clamp(0, 0xffff) as u16;
        if self.needs_checksum() {
            move_by(&mut self.checksum_start);
        }
        if self.gso != GSO_NONE {
            move_by(&mut self.header_length);
        }
    }

    /// Whether a checksum is to be filled in, and where the header of `protocol` that begins at `transport` has it.
    pub fn checksums(&self, protocol: u8, transport: usize) -> bool {
        let field = match protocol {
            ip::TCP => 16,
            ip::UDP => 6,
            ip::ICMPV6 => 2,
            _ => return false,
        };
        self.needs_checksum() && self.checksum_place() == (transport, transport + field)
    }

    /// Where the checksummed part begins and where its checksum goes, both from the packet's start.
    fn checksum_place(&self) -> (usize, usize) {
        let start = usize::from(self.checksum_start);
        (start, start + usize::from(self.checksum_offset))
    }
}
