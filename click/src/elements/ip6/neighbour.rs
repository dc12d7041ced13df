//! Neighbour discovery (RFC 4861): who has which Ethernet address.

use crate::headers::{
    ETHERNET, ETHERTYPE_IPV6, IPV6, Ipv6Header, PROTOCOL_ICMP6, be16, transport_checksum6, write_ethernet,
};

/// Bytes of a frame with a solicitation or advertisement and the option of an Ethernet address.
pub(super) const FRAME: usize = ETHERNET + IPV6 + 32;

/// Types of messages.
pub(super) const SOLICITATION: u8 = 135;
pub(super) const ADVERTISEMENT: u8 = 136;

/// A message about one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    /// The address that it is about.
    pub(super) target: [u8; 16],
    /// Ethernet address in its option: the sender's, or the target's.
    pub(super) address: Option<[u8; 6]>,
}

/// Where all look who could have an address (RFC 4291, section 2.7.1).
pub(super) fn group(address: [u8; 16]) -> [u8; 16] {
    [255, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 255, address[13], address[14], address[15]]
}

/// Ethernet address of a group (RFC 2464, section 7).
pub(super) fn ethernet_group(group: [u8; 16]) -> [u8; 6] {
    [0x33, 0x33, group[12], group[13], group[14], group[15]]
}

impl Message {
    /// Reads a frame, if it is such a message, whole, right and from this link.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        if be16(frame, 12)? != ETHERTYPE_IPV6 {
            return None;
        }
        let ip = frame.get(ETHERNET..)?;
        let h = Ipv6Header::read(ip)?;
        let icmp = ip.get(IPV6..IPV6 + h.payload).filter(|i| i.len() >= 24)?;
        let right = h.next == PROTOCOL_ICMP6
            && h.hops == 255
            && matches!(icmp[0], SOLICITATION | ADVERTISEMENT)
            && icmp[1] == 0
            && transport_checksum6(h.source, h.destination, PROTOCOL_ICMP6, icmp) == [0, 0];
        if !right {
            return None;
        }
        let wanted = if icmp[0] == SOLICITATION { 1 } else { 2 };
        let (mut options, mut address) = (&icmp[24..], None);
        while let [kind, units, ..] = *options {
            let (option, rest) =
                options.split_at_checked(usize::from(units) * 8).filter(|o| !o.0.is_empty())?;
            if kind == wanted {
                address = option.get(2..8).and_then(|a| a.try_into().ok());
            }
            options = rest;
        }
        let target = core::array::from_fn(|i| icmp[8 + i]);
        Some(Self { kind: icmp[0], source: h.source, destination: h.destination, target, address })
    }

    /// The frame, from one Ethernet address to another. `flags`: of an advertisement.
    pub(super) fn frame(&self, from: [u8; 6], to: [u8; 6], flags: u8) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        write_ethernet(&mut frame, to, from, ETHERTYPE_IPV6);
        let (ip, icmp) = frame[ETHERNET..].split_at_mut(IPV6);
        let (source, destination) = (self.source, self.destination);
        Ipv6Header { payload: 32, next: PROTOCOL_ICMP6, hops: 255, source, destination }.write(ip);
        (icmp[0], icmp[4]) = (self.kind, flags);
        icmp[8..24].copy_from_slice(&self.target);
        (icmp[24], icmp[25]) = (if self.kind == SOLICITATION { 1 } else { 2 }, 1);
        icmp[26..32].copy_from_slice(&self.address.unwrap_or(from));
        let sum = transport_checksum6(source, destination, PROTOCOL_ICMP6, icmp);
        icmp[2..4].copy_from_slice(&sum);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(source: [u8; 16], target: [u8; 16], address: [u8; 6]) {
            let message = Message { kind: SOLICITATION, source, destination: group(target), target, address: Some(address) };
            prop_assert_eq!(Message::read(&message.frame(address, [1; 6], 0)), Some(message));
        }

        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Message::read(&bytes);
        }
    }
}
