//! Internet checksums over frames, for what the device leaves to the driver, and the driver to the device.

/// Where the checksum of a TCP or UDP packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Start of the TCP or UDP header, bytes from the start of the frame.
    pub start: usize,
    /// From there to the checksum.
    pub offset: usize,
    /// End of the packet (a frame may be padded).
    pub end: usize,
    /// Bytes of the pseudo-header, summed.
    pseudo: u32,
    udp_over_ipv4: bool,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Adds bytes as big-endian words.
fn sum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let mut total: u64 = words.iter().map(|w| u64::from(u16::from_be_bytes(*w))).sum();
    if let [last] = rest {
        total += u64::from(*last) << 8;
    }
    fold(total).into()
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// Finds the checksum in an Ethernet frame with an unfragmented TCP or UDP packet over IPv4 or IPv6.
pub fn place(frame: &[u8]) -> Option<Place> {
    let (start, addresses, protocol, length) = match frame.get(12..14)? {
        [0x08, 0x00] => {
            let header = usize::from(frame.get(14)? & 15) * 4;
            let fragment = u16::from_be_bytes([*frame.get(20)?, *frame.get(21)?]) & 0x3fff;
            let total = usize::from(u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]));
            if fragment != 0 || header < 20 {
                return None;
            }
            // Large segments have no length of their own.
            let total = if total == 0 { frame.len() - 14 } else { total };
            (14 + header, frame.get(26..34)?, *frame.get(23)?, total.checked_sub(header)?)
        }
        [0x86, 0xdd] => {
            let payload = usize::from(u16::from_be_bytes([*frame.get(18)?, *frame.get(19)?]));
            let payload = if payload == 0 { frame.len().checked_sub(54)? } else { payload };
            (54, frame.get(22..54)?, *frame.get(20)?, payload)
        }
        _ => return None,
    };
    let (offset, least) = match protocol {
        TCP => (16, 20),
        UDP => (6, 8),
        _ => return None,
    };
    let end = start + length;
    if length < least || end > frame.len() {
        return None;
    }
    let pseudo = sum(addresses) + u32::from(protocol) + length as u32;
    Some(Place { start, offset, end, pseudo, udp_over_ipv4: protocol == UDP && addresses.len() == 8 })
}

impl Place {
    /// Puts the pseudo-header's sum where the checksum goes, as the device expects it that is to do the rest.
    pub fn prepare(&self, frame: &mut [u8]) {
        let at = self.start + self.offset;
        frame[at..at + 2].copy_from_slice(&fold(self.pseudo.into()).to_be_bytes());
    }

    /// Computes the checksum.
    pub fn complete(&self, frame: &mut [u8]) {
        self.prepare(frame);
        let sum = !fold(sum(&frame[self.start..self.end]).into());
        let at = self.start + self.offset;
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// Whether the packet's checksum is right.
    pub fn verify(&self, frame: &[u8]) -> bool {
        let at = self.start + self.offset;
        if self.udp_over_ipv4 && frame[at..at + 2] == [0, 0] {
            return true;
        }
        fold(u64::from(self.pseudo) + u64::from(sum(&frame[self.start..self.end]))) == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UDP from 10.0.0.1 to 10.0.0.2, payload "hi!", padded; the checksum is from a capture.
    fn udp() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 7, 0, 9, 0, 11, 0, 0]);
        frame.extend(b"hi!");
        frame.extend([0xaa; 9]);
        frame
    }

    #[test]
    fn what_a_device_completes_verifies() {
        let mut frame = udp();
        let place = place(&frame).unwrap();
        assert_eq!((place.start, place.offset, place.end), (34, 6, 45));
        place.prepare(&mut frame);
        assert!(!place.verify(&frame));
        place.complete(&mut frame);
        assert!(place.verify(&frame));
        frame[44] ^= 1;
        assert!(!place.verify(&frame));
    }

    #[test]
    fn udp_over_ipv4_may_go_without() {
        let frame = udp();
        assert!(place(&frame).unwrap().verify(&frame));
    }

    #[test]
    fn what_is_cut_short_has_no_place() {
        let frame = udp();
        for length in 0..45 {
            assert_eq!(place(&frame[..length]), None);
        }
        let mut fragment = udp();
        fragment[20] = 0x20;
        assert_eq!(place(&fragment), None);
    }

    #[test]
    fn ipv6_has_its_own_pseudo_header() {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 11, 17, 64]);
        frame.extend([0xfe; 32]);
        frame.extend([0, 7, 0, 9, 0, 11, 0, 0]);
        frame.extend(b"hi!");
        let place = place(&frame).unwrap();
        assert!(!place.verify(&frame), "over IPv6 zero is no checksum");
        place.complete(&mut frame);
        assert!(place.verify(&frame));
    }
}
