//! LACP's messages (IEEE 802.1AX-2020 section 6.4.2.3), version 1, as Ethernet frames.

use super::{ETHERNET, ETHERTYPE_SLOW, Mac, be16};

/// The group address that they are sent to.
pub const DESTINATION: Mac = Mac([0x01, 0x80, 0xc2, 0x00, 0x00, 0x02]);
/// Bytes of a message with its Ethernet header.
pub const LENGTH: usize = ETHERNET + 110;
const SUBTYPE: u8 = 1;
/// Subtype of the marker protocol (6.5).
const MARKER: u8 = 2;

pub use switch_control::lacp::{Side, state};

/// A side as it is in a message: a type, a length of 20, the fields.
fn parse_side(b: &[u8]) -> Option<Side> {
    Some(Side {
        system_priority: be16(b, 2),
        system: Mac(*b.get(4..)?.first_chunk()?),
        key: be16(b, 10),
        port_priority: be16(b, 12),
        port: be16(b, 14),
        state: *b.get(16)?,
    })
}

fn emit_side(side: &Side, kind: u8, to: &mut [u8]) {
    to[0] = kind;
    to[1] = 20;
    to[2..4].copy_from_slice(&side.system_priority.to_be_bytes());
    to[4..10].copy_from_slice(&side.system.0);
    to[10..12].copy_from_slice(&side.key.to_be_bytes());
    to[12..14].copy_from_slice(&side.port_priority.to_be_bytes());
    to[14..16].copy_from_slice(&side.port.to_be_bytes());
    to[16] = side.state;
}

/// A message: the sender, and what it knows of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacpdu {
    /// The sender.
    pub actor: Side,
    /// The receiver, as the sender sees it.
    pub partner: Side,
}

impl Lacpdu {
    /// Reads one.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        if be16(frame, 12) != ETHERTYPE_SLOW || frame.get(ETHERNET) != Some(&SUBTYPE) {
            return None;
        }
        let (actor, partner) = (frame.get(16..36)?, frame.get(36..56)?);
        if actor[..2] != [1, 20] || partner[..2] != [2, 20] {
            return None;
        }
        Some(Self { actor: parse_side(actor)?, partner: parse_side(partner)? })
    }

    /// Writes one.
    pub fn emit(&self, source: Mac) -> [u8; LENGTH] {
        let mut f = [0; LENGTH];
        f[..6].copy_from_slice(&DESTINATION.0);
        f[6..12].copy_from_slice(&source.0);
        f[12..14].copy_from_slice(&ETHERTYPE_SLOW.to_be_bytes());
        f[14..16].copy_from_slice(&[SUBTYPE, 1]);
        emit_side(&self.actor, 1, &mut f[16..36]);
        emit_side(&self.partner, 2, &mut f[36..56]);
        // The collector's information: no delay.
        f[56..58].copy_from_slice(&[3, 16]);
        f
    }
}

/// The answer to a marker request (6.5.4): the same message as a response, from `source`.
pub fn marker_response(frame: &[u8], source: Mac) -> Option<[u8; LENGTH]> {
    // Subtype, version, and a TLV of type 1 (marker information) and length 16.
    if be16(frame, 12) != ETHERTYPE_SLOW || frame.get(ETHERNET..ETHERNET + 4)? != [MARKER, 1, 1, 16] {
        return None;
    }
    let mut f = [0; LENGTH];
    f[..6].copy_from_slice(&DESTINATION.0);
    f[6..12].copy_from_slice(&source.0);
    // Port, system, transaction, two bytes of padding.
    f[12..32].copy_from_slice(frame.get(12..32)?);
    // Type 2: a response.
    f[16] = 2;
    Some(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(n: u8) -> Side {
        Side {
            system_priority: 100,
            system: Mac([2, 0, 0, 0, 0, n]),
            key: 7,
            port_priority: 255,
            port: n.into(),
            state: 0x3d,
        }
    }

    #[test]
    fn what_is_emitted_is_parsed() {
        let pdu = Lacpdu { actor: side(1), partner: side(2) };
        assert_eq!(Lacpdu::parse(&pdu.emit(Mac([2, 0, 0, 0, 0, 9]))), Some(pdu));
    }

    #[test]
    fn a_marker_request_is_answered_and_nothing_else_is() {
        let (asker, own) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let mut request = [0; LENGTH];
        request[..6].copy_from_slice(&DESTINATION.0);
        request[6..12].copy_from_slice(&asker.0);
        request[12..18].copy_from_slice(&[0x88, 0x09, 2, 1, 1, 16]);
        request[18..32].copy_from_slice(&[0, 7, 2, 0, 0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef, 0, 0]);
        let response = marker_response(&request, own).unwrap();
        assert_eq!((&response[6..12], &response[12..18]), (&own.0[..], &[0x88, 0x09, 2, 1, 2, 16][..]));
        assert_eq!(response[18..], request[18..]);
        assert_eq!(marker_response(&response, own), None, "a response is not answered");
        assert!((0..32).all(|n| marker_response(&request[..n], own).is_none()));
    }

    #[test]
    fn what_is_cut_off_is_not_parsed() {
        let bytes = Lacpdu { actor: side(1), partner: side(2) }.emit(Mac::ZERO);
        assert!((0..53).all(|n| Lacpdu::parse(&bytes[..n]).is_none()));
    }
}
