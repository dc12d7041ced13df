//! VLAN tags (IEEE 802.1Q, section 9).

use crate::args::{Args, parse_number};
use crate::packet::Packet;
use alloc::format;
use alloc::string::{String, ToString};

/// EtherType of a tag.
pub(super) const TAG: u16 = 0x8100;
/// Bytes of a header with a tag.
pub(super) const TAGGED: usize = 18;
/// Where the annotation lies: two bytes, as in a tag.
const ANNOTATION: usize = 20;

/// What a tag says: priority, drop eligibility, VLAN identifier.
pub(super) fn annotation(packet: &mut Packet) -> [u8; 2] {
    [packet.user()[ANNOTATION], packet.user()[ANNOTATION + 1]]
}

pub(super) fn set_annotation(packet: &mut Packet, tag: [u8; 2]) {
    packet.user()[ANNOTATION..ANNOTATION + 2].copy_from_slice(&tag);
}

/// The tag that elements are told to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// `None`: the annotation.
    pub(super) tci: Option<u16>,
    /// A VLAN identifier of its own: what has that is not tagged.
    pub(super) native: Option<u16>,
}

impl Tag {
    /// The tag of a packet; `None`: it goes without.
    pub(super) fn of(self, packet: &mut Packet) -> Option<[u8; 2]> {
        let tci = self.tci.map_or(annotation(packet), u16::to_be_bytes);
        let id = u16::from_be_bytes(tci) & 0xfff;
        (self.native != Some(id)).then_some(tci)
    }

    pub(super) fn id(self) -> String {
        self.tci.map_or("ANNO".to_string(), |t| (t & 0xfff).to_string())
    }
}

pub(super) fn identifier(text: &str) -> Option<u16> {
    parse_number(text).filter(|&n| n <= 0xfff).map(|n| n as u16)
}

/// `VLAN_PCP`, where it lies in a tag.
pub(super) fn priority(args: &mut Args<'_>) -> u16 {
    let priority: u16 = args.next("VLAN_PCP").unwrap_or(0);
    if priority > 7 {
        args.error("VLAN_PCP: expected a number from 0 to 7");
    }
    (priority & 7) << 13
}

/// `NATIVE_VLAN`: a VLAN identifier, or `none`.
pub(super) fn native(args: &mut Args<'_>, text: Option<String>) -> Option<u16> {
    match text.as_deref() {
        None => Some(0),
        Some("none" | "-1") => None,
        Some(text) => {
            let id = identifier(text);
            if id.is_none() {
                args.error(format!("NATIVE_VLAN: expected a VLAN identifier, not '{text}'"));
            }
            id
        }
    }
}

/// `VLAN_TCI` or `VLAN_ID`, `VLAN_PCP`, and `NATIVE_VLAN`.
pub(super) fn arguments(args: &mut Args<'_>) -> Tag {
    let first: Option<String> = args.next("VLAN_TCI");
    let id: Option<String> = args.key("VLAN_ID");
    let priority = priority(args);
    let text = args.key("NATIVE_VLAN");
    let native = native(args, text);
    let tci = match (first.as_deref(), id.as_deref()) {
        (None | Some("ANNO"), None) | (None, Some("ANNO")) => None,
        (Some(text), None) => {
            let number = parse_number(text).and_then(|n| u16::try_from(n).ok());
            if number.is_none() {
                args.error(format!("VLAN_TCI: expected a number from 0 to 65535 or ANNO, not '{text}'"));
            }
            number
        }
        (None, Some(text)) => {
            let number = identifier(text);
            if number.is_none() {
                args.error(format!("VLAN_ID: expected a VLAN identifier or ANNO, not '{text}'"));
            }
            number
        }
        _ => {
            args.error("expected either VLAN_TCI or VLAN_ID");
            None
        }
    };
    Tag { tci: tci.map(|tci| tci | priority), native }
}
