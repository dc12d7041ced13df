//! Packets on their way through a worker. A [`Frame`] holds a copy of a packet's first bytes, which is all that
//! decisions are made from: the rest may lie in a guest's memory and change while it is looked at. A [`Batch`] is what
//! one port received at once; its frames stay valid until the port takes its buffers back.

mod arena;
mod piece;

pub use arena::{Arena, LARGEST};
pub use piece::Piece;

use crate::headers::ip::{Layout, TCP};
use crate::headers::{ETHERNET, Mac, be16, is_tag};
use crate::offload::Offload;

/// Bytes of a packet that are copied before anything is decided: Ethernet, IPv6 and TCP headers with options, and all
/// of a small packet.
pub const HEAD: usize = 128;
/// Most frames of a batch.
pub const BATCH: usize = 64;
/// Bytes of an 802.1Q tag.
pub const TAG: usize = 4;
const ETHERTYPE_VLAN: u16 = 0x8100;
/// Bytes up to the end of the Ethertype behind an 802.1Q tag.
const TAGGED: usize = ETHERNET + TAG;

/// One packet, without a tag, without a checksum sequence.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Frame {
    head: [u8; HEAD],
    /// What is left to do to it: a checksum to fill in, segments to cut.
    pub offload: Offload,
    /// All its bytes.
    length: u32,
    /// Where its first byte is in `head`.
    start: u16,
    /// Bytes of `head` that are its.
    head_length: u16,
    /// The tag that it came with; 0 if none.
    pub tag: u16,
    first_piece: u16,
    pieces: u16,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            head: [0; HEAD],
            offload: Offload::default(),
            length: 0,
            start: 0,
            head_length: 0,
            tag: 0,
            first_piece: 0,
            pieces: 0,
        }
    }
}

impl Frame {
    /// Bytes of the packet.
    #[inline]
    pub fn length(&self) -> usize {
        self.length as usize
    }

    /// Its first bytes: all of them or [`HEAD`], less a removed tag.
    #[inline]
    pub fn head(&self) -> &[u8] {
        let start = usize::from(self.start).min(HEAD);
        &self.head[start..(start + usize::from(self.head_length)).min(HEAD)]
    }

    /// The same, to be changed.
    pub fn head_mut(&mut self) -> &mut [u8] {
        let start = usize::from(self.start).min(HEAD);
        &mut self.head[start..(start + usize::from(self.head_length)).min(HEAD)]
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Mac {
        self.head().first_chunk().map_or(Mac::ZERO, |m| Mac(*m))
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Mac {
        self.head().get(6..).and_then(|h| h.first_chunk()).map_or(Mac::ZERO, |m| Mac(*m))
    }

    /// Ethertype of what follows.
    #[inline]
    pub fn ethertype(&self) -> u16 {
        be16(self.head(), 12)
    }

    /// Whether each packet that it is to become is no longer than an MTU allows. VLAN tags do not count, two at the most
    /// (IEEE 802.3, 3.2.7: envelope frames).
    #[inline]
    pub fn fits(&self, mtu: usize) -> bool {
        self.length() <= mtu + ETHERNET || self.fits_with_tags(mtu)
    }

    #[cold]
    fn fits_with_tags(&self, mtu: usize) -> bool {
        let head = self.head();
        let tags = (0..2).take_while(|n| is_tag(be16(head, 12 + n * TAG))).count() * TAG;
        let longest = mtu + ETHERNET + tags;
        let Some(payload) = self.offload.segment() else { return self.length() <= longest };
        // Headers that are not all in the head are more than any sender has.
        let headers = Layout::of(head).filter(|l| l.protocol == TCP).and_then(|l| {
            let offset = head.get(l.transport + 12)?;
            Some(l.transport + usize::from(offset >> 4) * 4)
        });
        headers.is_some_and(|headers| headers + payload <= longest)
    }

    /// Takes the tag off, if there is one: the VLAN number, and `tag` holds the whole tag.
    #[inline]
    pub fn take_tag(&mut self) -> Option<u16> {
        if self.ethertype() != ETHERTYPE_VLAN || self.head().len() < TAGGED {
            return None;
        }
        let start = usize::from(self.start);
        self.tag = be16(self.head(), 14);
        self.head.copy_within(start..start + 12, start + TAG);
        self.start += TAG as u16;
        self.head_length -= TAG as u16;
        self.length -= TAG as u32;
        self.offload.shift(-(TAG as i32));
        Some(self.tag & 0xfff)
    }

    /// Whether it says that it is tagged and is too short to be: [`Frame::take_tag`] leaves it as it is.
    #[inline]
    pub fn ends_within_tag(&self) -> bool {
        self.ethertype() == ETHERTYPE_VLAN && self.head().len() < TAGGED
    }

    /// The bytes of an 802.1Q tag for a VLAN, priority kept from the tag that it came with.
    pub fn tag_bytes(&self, vlan: u16) -> [u8; TAG] {
        let tag = (self.tag & 0xf000) | (vlan & 0xfff);
        let [high, low] = tag.to_be_bytes();
        [0x81, 0x00, high, low]
    }
}

/// What one port received at once.
pub struct Batch {
    frames: Box<[Frame; BATCH]>,
    count: usize,
    pieces: Vec<Piece>,
    /// Memory for packets that come from no guest.
    pub arena: Arena,
}

impl Default for Batch {
    fn default() -> Self {
        let frames: Vec<Frame> = (0..BATCH).map(|_| Frame::default()).collect();
        let frames = frames.try_into().unwrap_or_else(|_| unreachable!("made of that length"));
        Self { frames, count: 0, pieces: Vec::with_capacity(BATCH * 4), arena: Arena::default() }
    }
}

impl Batch {
    /// Forgets all frames.
    #[inline]
    pub fn clear(&mut self) {
        self.count = 0;
        self.pieces.clear();
        self.arena.clear();
    }

    /// How many frames there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many more fit.
    #[inline]
    pub fn room(&self) -> usize {
        BATCH - self.count
    }

    /// The frames.
    #[inline]
    pub fn frames(&self) -> &[Frame] {
        &self.frames[..self.count.min(BATCH)]
    }

    /// The frames, to be changed.
    #[inline]
    pub fn frames_mut(&mut self) -> &mut [Frame] {
        &mut self.frames[..self.count.min(BATCH)]
    }

    /// What follows a frame's head.
    #[inline]
    pub fn tail(&self, frame: &Frame) -> &[Piece] {
        let first = usize::from(frame.first_piece);
        self.pieces.get(first..first + usize::from(frame.pieces)).unwrap_or_default()
    }

    /// Adds a packet whose bytes are all here. Long ones go to the arena; refused (`false`) if it is full.
    pub fn push_bytes(&mut self, bytes: &[u8], offload: Offload) -> bool {
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD));
        let mut piece = None;
        if !rest.is_empty() {
            match self.arena.keep(rest) {
                Some(p) => piece = Some(p),
                None => return false,
            }
        }
        self.push(offload, head.len(), |to| to.copy_from_slice(head), piece.as_slice())
    }

    /// Adds a packet: `fill` writes its first `head` bytes (no more than [`HEAD`]), `tail` is the rest. Refused
    /// (`false`) if there is no room.
    #[inline]
    pub fn push(
        &mut self,
        offload: Offload,
        head: usize,
        fill: impl FnOnce(&mut [u8]),
        tail: &[Piece],
    ) -> bool {
        let Some(frame) = self.frames.get_mut(self.count) else {
            return false;
        };
        let head = head.min(HEAD);
        fill(&mut frame.head[..head]);
        let rest: usize = tail.iter().map(|p| p.length()).sum();
        frame.offload = offload;
        frame.length = (head + rest) as u32;
        frame.start = 0;
        frame.head_length = head as u16;
        frame.tag = 0;
        frame.first_piece = self.pieces.len() as u16;
        frame.pieces = tail.len() as u16;
        self.pieces.extend_from_slice(tail);
        self.count += 1;
        true
    }

    /// All of a frame's bytes, appended to `to`, tagged if `vlan` is not 0.
    pub fn copy_out(&self, frame: &Frame, vlan: u16, to: &mut Vec<u8>) {
        let head = frame.head();
        if vlan == 0 || head.len() < 12 {
            to.extend_from_slice(head);
        } else {
            to.extend_from_slice(&head[..12]);
            to.extend_from_slice(&frame.tag_bytes(vlan));
            to.extend_from_slice(&head[12..]);
        }
        for piece in self.tail(frame) {
            piece.append_to(to);
        }
    }
}

/// Which frame of a batch goes to a port, and how.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// Index in the batch.
    pub frame: u16,
    /// VLAN to tag it with; 0 for none.
    pub vlan: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::net::{GSO_TCPV4, HEADER_NEEDS_CHECKSUM, NetHeader};

    fn tagged() -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..12).collect();
        bytes.extend([0x81, 0x00, 0x60, 0x64, 0x08, 0x00]);
        bytes.extend((0..200).map(|i| i as u8));
        bytes
    }

    #[test]
    fn a_tag_comes_off_and_goes_on_again() {
        let mut batch = Batch::default();
        assert!(batch.push_bytes(&tagged(), Offload::default()));
        let frame = &mut batch.frames_mut()[0];
        assert_eq!(frame.take_tag(), Some(100));
        assert_eq!((frame.ethertype(), frame.length()), (0x0800, 214));
        let mut out = Vec::new();
        batch.copy_out(&batch.frames()[0], 100, &mut out);
        assert_eq!(out, tagged());
    }

    fn fits(bytes: &[u8], offload: Offload, mtu: usize) -> bool {
        let mut batch = Batch::default();
        batch.push_bytes(bytes, offload);
        batch.frames()[0].fits(mtu)
    }

    #[test]
    fn tags_do_not_count_and_no_more_than_two_are_tags() {
        let frame = |tags: &[[u8; 4]], payload: usize| {
            [&[2; 12][..], &tags.concat(), &[0x88, 0xb5], &vec![0; payload]].concat()
        };
        let (customer, service) = ([0x81, 0, 0, 5], [0x88, 0xa8, 0, 7]);
        for tags in [&[][..], &[customer], &[service, customer]] {
            assert!(fits(&frame(tags, 1500), Offload::default(), 1500), "{tags:?}");
            assert!(!fits(&frame(tags, 1501), Offload::default(), 1500), "{tags:?}");
        }
        assert!(!fits(&frame(&[service, customer, customer], 1500), Offload::default(), 1500));
    }

    #[test]
    fn of_a_large_packet_each_segment_counts() {
        // 40 bytes of IP and TCP headers, 20 more of TCP options.
        for (tag, options, size, mtu, expected) in [
            (false, 0, 1460, 1500, true),
            (false, 0, 1461, 1500, false),
            (false, 20, 1440, 1500, true),
            (false, 20, 1460, 1500, false),
            (true, 0, 1460, 1500, true),
            (false, 0, 8960, 1500, false),
            (false, 0, 8960, 9000, true),
        ] {
            let mut bytes = vec![2; 12];
            if tag {
                bytes.extend([0x81, 0, 0, 5]);
            }
            bytes.extend([8, 0, 0x45, 0, 0x20, 0, 0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            bytes.extend([0; 12]);
            bytes.extend([((20 + options) / 4) << 4, 0x10]);
            bytes.resize(20_000, 0);
            let header = NetHeader {
                flags: HEADER_NEEDS_CHECKSUM,
                gso_type: GSO_TCPV4,
                gso_size: size,
                ..NetHeader::default()
            };
            let offload = Offload::from_header(&header).unwrap();
            assert_eq!(fits(&bytes, offload, mtu), expected, "{tag} {options} {size} {mtu}");
        }
    }

    #[test]
    fn a_short_frame_has_no_tag() {
        let mut batch = Batch::default();
        for length in 14..18 {
            batch.clear();
            assert!(batch.push_bytes(&tagged()[..length], Offload::default()));
            let frame = &mut batch.frames_mut()[0];
            assert_eq!(frame.take_tag(), None);
            assert!(frame.ends_within_tag());
        }
    }
}
