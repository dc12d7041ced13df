//! Headers in packets: checked reads, checksums.

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Bytes of an IPv6 header.
pub const IPV6: usize = 40;
/// ICMP for IPv6.
pub const PROTOCOL_ICMP6: u8 = 58;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// Least bytes of an IPv4 header.
pub const IPV4: usize = 20;
/// ICMP.
pub const PROTOCOL_ICMP: u8 = 1;
/// TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// UDP.
pub const PROTOCOL_UDP: u8 = 17;

/// Two bytes, network order.
#[inline]
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

/// Four bytes as they lie.
#[inline]
pub fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4).map(|b| [b[0], b[1], b[2], b[3]])
}

/// Sum of 16-bit words for the Internet checksum (RFC 1071), not yet folded.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    let mut total = 0u64;
    let mut words = bytes.chunks_exact(4);
    for w in &mut words {
        total += u64::from(u32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
    }
    let mut rest = [0; 4];
    let tail = words.remainder();
    rest[..tail.len()].copy_from_slice(tail);
    total + u64::from(u32::from_ne_bytes(rest))
}

/// A sum of [`sum`]s as a checksum, in the byte order of memory.
#[inline]
pub fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// Internet checksum of bytes, as it lies in memory.
#[inline]
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    fold(sum(bytes)).to_ne_bytes()
}

/// A checksum after a 16-bit word under it changed (RFC 1624, equation 3).
#[inline]
pub fn update(checksum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    let inverted = |b| u64::from(!u16::from_ne_bytes(b));
    fold(inverted(checksum) + inverted(old) + u64::from(u16::from_ne_bytes(new))).to_ne_bytes()
}

/// What the change of some bytes adds to the sum under a checksum, in the byte order of memory; 0: nothing.
pub fn difference(old: &[u8], new: &[u8]) -> u16 {
    let inverted = |bytes: &[u8]| u64::from(fold(sum(bytes)));
    let total = !fold(inverted(old) + u64::from(!fold(sum(new))));
    // Both zeros of one's complement are nothing.
    if total == 0xffff { 0 } else { total }
}

/// A checksum after bytes under it changed by a [`difference`]; its complement takes the change back (RFC 1624).
#[inline]
pub fn adjust(checksum: [u8; 2], by: u16) -> [u8; 2] {
    fold(u64::from(!u16::from_ne_bytes(checksum)) + u64::from(by)).to_ne_bytes()
}

/// Gives an ICMP message of nothing but zeros the checksum that holds: changes of others come to the other zero of one's
/// complement.
pub fn seal_zeros(message: &mut [u8]) {
    if message.len() >= 4 && message.iter().all(|&b| b == 0) {
        message[2..4].fill(0xff);
    }
}

/// Checksum of a transport segment with its IPv4 pseudo header (RFC 768, RFC 9293 section 3.1).
pub fn transport_checksum(source: [u8; 4], destination: [u8; 4], protocol: u8, segment: &[u8]) -> [u8; 2] {
    let length = (segment.len() as u16).to_be_bytes();
    let pseudo = sum(&source) + sum(&destination) + sum(&[0, protocol, length[0], length[1]]);
    fold(pseudo + sum(segment)).to_ne_bytes()
}

/// The CRC-32 of MPEG-2 (ISO 13818-1, annex A), lowest byte first.
pub fn crc32(bytes: &[u8]) -> [u8; 4] {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let (mut sum, mut bit) = ((n as u32) << 24, 0);
            while bit < 8 {
                sum = if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 };
                bit += 1;
            }
            table[n] = sum;
            n += 1;
        }
        table
    };
    let step = |sum: u32, &b: &u8| sum << 8 ^ TABLE[usize::from((sum >> 24) as u8 ^ b)];
    bytes.iter().fold(u32::MAX, step).to_le_bytes()
}

/// An IPv4 header that lies whole in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Bytes of the header, options included.
    pub header: usize,
    /// Bytes of header and payload, as the header says.
    pub total: usize,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Fragment offset, in units of 8 bytes.
    pub fragment_offset: u16,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

impl Ipv4Header {
    /// Reads the header at the start of `bytes`, if it is whole and of version 4. `total` is not compared with what
    /// is there.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let b: &[u8; IPV4] = bytes.get(..IPV4)?.try_into().ok()?;
        let header = usize::from(b[0] & 15) * 4;
        if b[0] >> 4 != 4 || header < IPV4 || bytes.len() < header {
            return None;
        }
        let fragment = u16::from_be_bytes([b[6], b[7]]);
        Some(Self {
            header,
            total: usize::from(u16::from_be_bytes([b[2], b[3]])),
            protocol: b[9],
            fragment_offset: fragment & 0x1fff,
            more_fragments: fragment & 0x2000 != 0,
            source: [b[12], b[13], b[14], b[15]],
            destination: [b[16], b[17], b[18], b[19]],
        })
    }
}

/// Checksum of a transport segment with its IPv6 pseudo header (RFC 8200, section 8.1).
pub fn transport_checksum6(source: [u8; 16], destination: [u8; 16], protocol: u8, segment: &[u8]) -> [u8; 2] {
    let pseudo = sum(&source) + sum(&destination) + sum(&(segment.len() as u32).to_be_bytes());
    fold(pseudo + sum(&[0, 0, 0, protocol]) + sum(segment)).to_ne_bytes()
}

/// An IPv6 header that lies whole in its packet (RFC 8200, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Bytes of the payload, as the header says.
    pub payload: usize,
    /// What follows: an extension header or a protocol.
    pub next: u8,
    /// Hops that are left.
    pub hops: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

impl Ipv6Header {
    /// Reads the header at the start of `bytes`, if it is whole and of version 6. `payload` is not compared with what is
    /// there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let b: &[u8; IPV6] = bytes.first_chunk()?;
        let address = |at: usize| core::array::from_fn(|i| b[at + i]);
        (b[0] >> 4 == 6).then(|| Self {
            payload: usize::from(u16::from_be_bytes([b[4], b[5]])),
            next: b[6],
            hops: b[7],
            source: address(8),
            destination: address(24),
        })
    }

    /// Writes it at the start of `bytes`, which has room for it.
    pub fn write(&self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&[0x60, 0, 0, 0]);
        bytes[4..6].copy_from_slice(&(self.payload as u16).to_be_bytes());
        (bytes[6], bytes[7]) = (self.next, self.hops);
        bytes[8..24].copy_from_slice(&self.source);
        bytes[24..40].copy_from_slice(&self.destination);
    }
}

/// ARP for Ethernet and IPv4 (RFC 826), behind its Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1: request, 2: reply.
    pub operation: u16,
    /// Sender's addresses.
    pub sender: ([u8; 6], [u8; 4]),
    /// Target's addresses.
    pub target: ([u8; 6], [u8; 4]),
}

/// Bytes of an Ethernet frame with ARP.
pub const ARP_FRAME: usize = ETHERNET + 28;
/// [`Arp::operation`] of a request.
pub const ARP_REQUEST: u16 = 1;
/// [`Arp::operation`] of a reply.
pub const ARP_REPLY: u16 = 2;

impl Arp {
    /// Reads a frame, if it is ARP for Ethernet and IPv4.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let f: &[u8; ARP_FRAME] = frame.first_chunk()?;
        let fixed = [ETHERTYPE_ARP, 1, ETHERTYPE_IPV4].map(u16::to_be_bytes);
        if f[12..14] != fixed[0] || f[14..16] != fixed[1] || f[16..18] != fixed[2] || f[18..20] != [6, 4] {
            return None;
        }
        let mac = |at: usize| core::array::from_fn(|i| f[at + i]);
        let ip = |at: usize| core::array::from_fn(|i| f[at + i]);
        let operation = u16::from_be_bytes([f[20], f[21]]);
        Some(Self { operation, sender: (mac(22), ip(28)), target: (mac(32), ip(38)) })
    }

    /// The frame, with its Ethernet header.
    pub fn frame(&self, destination: [u8; 6]) -> [u8; ARP_FRAME] {
        let mut f = [0; ARP_FRAME];
        write_ethernet(&mut f, destination, self.sender.0, ETHERTYPE_ARP);
        f[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, self.operation as u8]);
        f[22..28].copy_from_slice(&self.sender.0);
        f[28..32].copy_from_slice(&self.sender.1);
        f[32..38].copy_from_slice(&self.target.0);
        f[38..].copy_from_slice(&self.target.1);
        f
    }
}

/// Writes an Ethernet header at the start of `bytes`, which has room for it.
pub fn write_ethernet(bytes: &mut [u8], destination: [u8; 6], source: [u8; 6], kind: u16) {
    bytes[0..6].copy_from_slice(&destination);
    bytes[6..12].copy_from_slice(&source);
    bytes[12..14].copy_from_slice(&kind.to_be_bytes());
}

/// Writes an IPv4 header without options at the start of `bytes`, which has room for it.
pub fn write_ipv4(
    bytes: &mut [u8],
    total: u16,
    id: u16,
    protocol: u8,
    source: [u8; 4],
    destination: [u8; 4],
) {
    bytes[..IPV4].fill(0);
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&total.to_be_bytes());
    bytes[4..6].copy_from_slice(&id.to_be_bytes());
    bytes[8] = 250;
    bytes[9] = protocol;
    bytes[12..16].copy_from_slice(&source);
    bytes[16..20].copy_from_slice(&destination);
    let sum = checksum(&bytes[..IPV4]);
    bytes[10..12].copy_from_slice(&sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn crc32_of_the_check_string_is_that_of_mpeg_2() {
        assert_eq!(crc32(b"123456789"), 0x0376_e6e7u32.to_le_bytes());
    }

    proptest! {
        #[test]
        fn an_updated_checksum_equals_a_full_one(mut bytes in proptest::collection::vec(any::<u8>(), 20..60), at in 0usize..9, new: [u8; 2]) {
            bytes[10..12].fill(0);
            let before = checksum(&bytes);
            let at = if at == 5 { 6 } else { at } * 2;
            let old = [bytes[at], bytes[at + 1]];
            bytes[at..at + 2].copy_from_slice(&new);
            let full = checksum(&bytes);
            let updated = update(before, old, new);
            // 0 and 0xffff are the same number in one's complement.
            prop_assert!(updated == full || (updated == [0, 0] && full == [255, 255]) || (updated == [255, 255] && full == [0, 0]));
        }

        #[test]
        fn an_adjusted_checksum_equals_a_full_one_and_can_be_taken_back(bytes in proptest::collection::vec(any::<u8>(), 20..60), new: [u8; 8]) {
            let mut bytes = bytes;
            bytes[0] |= 1;
            bytes[10..12].fill(0);
            let before = checksum(&bytes);
            let by = difference(&bytes[12..20], &new);
            let old: [u8; 8] = core::array::from_fn(|i| bytes[12 + i]);
            bytes[12..20].copy_from_slice(&new);
            prop_assert_eq!(adjust(before, by), checksum(&bytes));
            bytes[12..20].copy_from_slice(&old);
            prop_assert_eq!(adjust(adjust(before, by), !by), before);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(h) = Ipv4Header::read(&bytes) {
                prop_assert!(h.header <= bytes.len());
            }
        }
    }
}
