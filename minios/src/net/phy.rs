//! A net device as smoltcp and TCP see it, with every offload that was agreed on.
//!
//! | agreed on | transmit | receive |
//! |---|---|---|
//! | nothing | smoltcp and TCP compute checksums | they are verified here |
//! | `CSUM` | the device completes TCP and UDP checksums | |
//! | `HOST_TSO4`, `HOST_TSO6` | segments of up to 64 KiB, cut by the device | |
//! | `GUEST_CSUM` | | not verified if the device has done that or they are still to be completed |
//! | `GUEST_TSO4`, `GUEST_TSO6` | | segments of up to 64 KiB |
//! | `MRG_RXBUF` | | page-sized buffers, several a packet, in guests with a small heap |

use super::loan::{LoanPool, LoanedBuffer};
use super::neighbours::Neighbours;
use super::queue::{Frame, PacketQueue};
use super::tcp::connection::Ends;
use super::tcp::frame;
use super::tcp::output::{Blocked, Link};
use super::tcp::segment::Segment;
use super::{Device, HEADER, checksum};
use crate::boot;
use crate::idle::Source;
use abi::boot::{COUNTER_DROPPED, COUNTER_RECEIVED, COUNTER_TRANSMITTED, MARK_FIRST_PACKET, NetDevice};
use abi::net::*;
use alloc::vec::Vec;
use core::ops::Range;
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress};

/// Largest Ethernet frame that a large segment makes: its IP packet has 65,535 bytes.
const LARGE: usize = 14 + 65_535;
/// Size of a mergeable buffer, bytes, unless the ring is short.
const MERGEABLE: usize = 4096;
/// Receive buffers posted at the most.
const POSTED: usize = 64;
/// The same where each has room for the largest packet: more would not stay in a processor's cache.
const POSTED_LARGE: usize = 32;
/// Bytes of them in a guest that is not [`LARGE_HEAP`].
const POSTED_BYTES: usize = 1 << 20;
/// Heap from which on each buffer has room for the largest packet, bytes: none is put together from pieces then, which
/// would be a copy more.
const LARGE_HEAP: u64 = 32 << 20;
/// Packets of fewer bytes are not worth a buffer of their own for as long as nobody has read them.
const LOAN_MINIMUM: usize = 16 << 10;
/// Frames kept for the next packets, of each size.
const POOL_MAXIMUM: usize = 64;
/// Large packets of TCP that the device has at a time: more would only wait there.
const LARGE_IN_FLIGHT: usize = 32;

/// A device for smoltcp.
pub struct Phy {
    info: &'static NetDevice,
    receiver: Receiver,
    transmitter: Transmitter,
    neighbours: Neighbours,
}

impl Phy {
    /// Takes the instance's `index`-th net device and posts receive buffers to it.
    pub fn open(index: usize) -> Option<Self> {
        let device: Device<Frame> = Device::open(index)?;
        let most = device.packet_maximum();
        let roomy = boot::page().heap.length >= LARGE_HEAP;
        let length = if device.has(FEATURE_MRG_RXBUF) && !roomy {
            // The ring has to hold the largest packet, better two, or the device waits for buffers for ever.
            (2 * most).div_ceil(device.receive.size()).clamp(MERGEABLE.min(most), most)
        } else {
            most
        };
        let mut receiver = Receiver {
            queue: device.receive,
            features: device.info.features,
            current: Packet::None,
            merged: Vec::new(),
            synthetic_reply: Vec::new(),
            lender: LoanPool::default(),
            replacement: None,
        };
        // A small guest does without many large buffers.
        let bytes = if roomy { POSTED_LARGE * most } else { POSTED_BYTES };
        let wanted = POSTED.min(receiver.queue.size()).min(bytes / length).max(2);
        for _ in 0..wanted {
            let Some(frame) = Frame::new(length) else { break };
            receiver.post(frame);
        }
        receiver.queue.publish();
        let small = HEADER + 18 + usize::from(device.info.mtu);
        let transmitter = Transmitter {
            queue: device.transmit,
            features: device.info.features,
            small: Pool::new(small),
            large: Pool::new(HEADER + LARGE),
            lost: Frame::new(small)?,
            blocked: false,
            freed: false,
            answered: false,
        };
        Some(Self { info: device.info, receiver, transmitter, neighbours: Neighbours::new(device.info) })
    }

    /// What the boot page says of the device.
    pub fn info(&self) -> &'static NetDevice {
        self.info
    }

    /// Who has answered a question since this was asked last: what waited for it can be sent.
    pub(super) fn take_resolved(&mut self) -> Option<IpAddress> {
        self.neighbours.resolved()
    }

    /// Whether there is room since this was asked last where there was none.
    pub(super) fn take_freed(&mut self) -> bool {
        self.transmitter.reclaim();
        core::mem::take(&mut self.transmitter.freed)
    }

    /// Goes on to the next packet; whether there is one, and room for an answer.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        self.transmitter.has_room() && self.receiver.advance(&mut self.neighbours, now)
    }

    /// The packet at hand, and what carries answers of TCP.
    pub(super) fn current_packet(&mut self, now: Instant) -> (&[u8], TcpLink<'_>) {
        let lends = self.receiver.can_lend();
        let link = TcpLink {
            lends,
            info: self.info,
            transmitter: &mut self.transmitter,
            neighbours: &mut self.neighbours,
            now,
        };
        (self.receiver.bytes(), link)
    }

    /// Lets go of the buffer that the packet at hand is in, of which these bytes count. `None` if it did not say that it would.
    pub(super) fn lend(&mut self, bytes: Range<usize>) -> Option<LoanedBuffer> {
        self.receiver.lend(bytes)
    }

    /// The packet at hand as a device that has nothing else.
    pub(super) fn single(&mut self) -> Single<'_> {
        let capabilities = phy::Device::capabilities(self);
        let transmission = Transmission { transmitter: &mut self.transmitter };
        Single { packet: Some((Received(&self.receiver), transmission)), capabilities }
    }

    /// Shows the device what was put, and takes back what it has transmitted. Belongs after every poll of the stack.
    pub fn flush(&mut self) {
        if !self.receiver.has_synthetic_reply() {
            self.receiver.release();
        }
        self.receiver.queue.publish();
        self.transmitter.queue.publish();
        self.transmitter.reclaim();
    }
}

impl Source for Phy {
    fn has_work(&self) -> bool {
        let freed = self.transmitter.blocked && self.transmitter.queue.has_work();
        freed || self.receiver.has_synthetic_reply() || self.receiver.queue.has_work()
    }

    fn arm(&mut self) {
        self.receiver.queue.arm();
        if self.transmitter.blocked {
            self.transmitter.queue.arm();
        }
    }

    fn disarm(&mut self) {
        self.receiver.queue.disarm();
        self.transmitter.queue.disarm();
    }
}

/// The packet at hand.
enum Packet {
    None,
    /// In one buffer, behind its header.
    One(Frame),
    /// Put together in `Receiver::merged`.
    Merged,
}

struct Receiver {
    queue: PacketQueue<Frame>,
    features: u64,
    current: Packet,
    merged: Vec<u8>,
    /// What is said of the sender of the packet at hand, before the packet itself; empty if nothing is.
    synthetic_reply: Vec<u8>,
    /// Lends buffers to connections.
    lender: LoanPool,
    /// What takes the place of the buffer at hand if that is kept.
    replacement: Option<Frame>,
}

impl Receiver {
    /// Whether the sender of the packet at hand has been introduced, and the packet is to come.
    fn has_synthetic_reply(&self) -> bool {
        !self.synthetic_reply.is_empty()
    }

    /// Goes on to the next packet, or to what is said of its sender; whether there is one.
    fn advance(&mut self, neighbours: &mut Neighbours, now: Instant) -> bool {
        if self.has_synthetic_reply() {
            self.synthetic_reply.clear();
            return true;
        }
        if !self.next() {
            return false;
        }
        let bytes = match &self.current {
            Packet::None => &[],
            Packet::One(frame) => &frame.bytes()[HEADER..],
            Packet::Merged => &self.merged[..],
        };
        // Empty before, and again after the packet itself was shown.
        if let Some(reply) = neighbours.input(bytes, now) {
            self.synthetic_reply = reply;
        }
        true
    }

    fn has(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    fn post(&mut self, mut frame: Frame) {
        frame.set_length(frame.capacity());
        let _ = self.queue.put(frame);
    }

    /// Whether the buffer of the packet at hand can be kept: it is large, and another can take its place.
    fn can_lend(&mut self) -> bool {
        let Packet::One(frame) = &self.current else { return false };
        if frame.bytes().len() < LOAN_MINIMUM || self.has_synthetic_reply() {
            return false;
        }
        if self.replacement.is_none() {
            self.replacement = self.lender.replacement(frame.capacity());
        }
        self.replacement.is_some()
    }

    /// Lends the buffer of the packet at hand, of whose packet these bytes count.
    fn lend(&mut self, bytes: Range<usize>) -> Option<LoanedBuffer> {
        let replacement = self.replacement.take()?;
        match core::mem::replace(&mut self.current, Packet::None) {
            Packet::One(frame) => {
                self.post(replacement);
                Some(self.lender.lend(frame, bytes.start + HEADER..bytes.end + HEADER))
            }
            other => {
                (self.current, self.replacement) = (other, Some(replacement));
                None
            }
        }
    }

    /// Gives the buffer of the packet at hand back to the device.
    fn release(&mut self) {
        if let Packet::One(frame) = core::mem::replace(&mut self.current, Packet::None) {
            self.post(frame);
        }
    }

    /// The packet at hand.
    fn bytes(&self) -> &[u8] {
        match &self.current {
            _ if self.has_synthetic_reply() => &self.synthetic_reply,
            Packet::None => &[],
            Packet::One(frame) => &frame.bytes()[HEADER..],
            Packet::Merged => &self.merged,
        }
    }

    /// Goes on to the next packet that is sound; whether there is one.
    fn next(&mut self) -> bool {
        loop {
            self.release();
            let Some((mut frame, length)) = self.queue.take() else { return false };
            frame.set_length(length);
            let header = read_header(frame.bytes());
            let buffers = if self.has(FEATURE_MRG_RXBUF) { header.buffers } else { 1 };
            if length < HEADER || buffers == 0 {
                self.current = Packet::None;
                self.post(frame);
            } else if buffers == 1 {
                self.current = Packet::One(frame);
            } else {
                self.current = if self.merge(frame, buffers) { Packet::Merged } else { Packet::None };
            }
            if self.is_valid(header) {
                boot::add_to_counter(COUNTER_RECEIVED, 1);
                return true;
            }
            boot::add_to_counter(COUNTER_DROPPED, 1);
        }
    }

    /// Puts a packet of several buffers together; whether there is memory for it.
    fn merge(&mut self, first: Frame, buffers: u16) -> bool {
        self.merged.clear();
        let mut fits = append(&mut self.merged, &first.bytes()[HEADER..]);
        self.post(first);
        for _ in 1..buffers {
            // The device gives back all buffers of a packet at once (virtio 1.2 section 5.1.6.4).
            let Some((mut frame, length)) = self.queue.take() else { break };
            frame.set_length(length);
            fits = fits && append(&mut self.merged, frame.bytes());
            self.post(frame);
        }
        fits
    }

    /// Whether the packet at hand has a right checksum, or one that is not to be looked at here.
    fn is_valid(&self, header: NetHeader) -> bool {
        let bytes = self.bytes();
        let known =
            self.has(FEATURE_GUEST_CSUM) && header.flags & (HEADER_NEEDS_CHECKSUM | HEADER_DATA_VALID) != 0;
        !bytes.is_empty() && (known || checksum::place(bytes).is_none_or(|place| place.verify(bytes)))
    }
}

/// Adds bytes, if there is memory for them.
fn append(to: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let fits = to.try_reserve(bytes.len()).is_ok();
    if fits {
        to.extend_from_slice(bytes);
    }
    fits
}

fn read_header(bytes: &[u8]) -> NetHeader {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let word = |at: usize| u16::from_le_bytes([byte(at), byte(at + 1)]);
    NetHeader {
        flags: byte(0),
        gso_type: byte(1),
        header_length: word(2),
        gso_size: word(4),
        checksum_start: word(6),
        checksum_offset: word(8),
        buffers: word(10),
    }
}

fn write_header(header: NetHeader, bytes: &mut [u8]) {
    bytes[0] = header.flags;
    bytes[1] = header.gso_type;
    let words = [
        header.header_length,
        header.gso_size,
        header.checksum_start,
        header.checksum_offset,
        header.buffers,
    ];
    for (to, word) in bytes[2..HEADER].chunks_exact_mut(2).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}

/// Frames of one size that wait for their next packet.
struct Pool {
    length: usize,
    frames: Vec<Frame>,
}

impl Pool {
    fn new(length: usize) -> Self {
        Self { length, frames: Vec::with_capacity(POOL_MAXIMUM) }
    }

    fn take(&mut self) -> Option<Frame> {
        self.frames.pop().or_else(|| Frame::new(self.length))
    }

    fn keep(&mut self, frame: Frame) {
        if self.frames.len() < POOL_MAXIMUM {
            self.frames.push(frame);
        }
    }
}

struct Transmitter {
    queue: PacketQueue<Frame>,
    features: u64,
    small: Pool,
    large: Pool,
    /// For packets that are lost since there is no memory for them.
    lost: Frame,
    /// A packet found no room in the ring: sleeping waits for room too.
    blocked: bool,
    /// There is room since where there was none.
    freed: bool,
    /// Something was sent after something had come.
    answered: bool,
}

impl Transmitter {
    fn reclaim(&mut self) {
        while let Some((frame, _)) = self.queue.take() {
            self.freed |= core::mem::take(&mut self.blocked);
            let pool = if frame.capacity() == self.small.length { &mut self.small } else { &mut self.large };
            pool.keep(frame);
        }
    }

    fn has_room(&mut self) -> bool {
        let full = |queue: &PacketQueue<Frame>| queue.in_flight() == queue.size();
        if full(&self.queue) {
            self.queue.publish();
            self.reclaim();
        }
        self.blocked = full(&self.queue);
        !self.blocked
    }

    fn has(&self, feature: u64) -> bool {
        self.features & feature == feature
    }

    /// A frame for a packet of so many bytes, if there is memory for one.
    fn frame(&mut self, length: usize) -> Option<Frame> {
        let whole = HEADER + length;
        let pool = if whole <= self.small.length { &mut self.small } else { &mut self.large };
        let mut frame = pool.take().filter(|frame| frame.capacity() >= whole)?;
        frame.set_length(whole);
        Some(frame)
    }

    /// Gives a packet to the device, behind the room for its header. `segment`: how many bytes of data each piece gets into
    /// which the device cuts it.
    fn put(&mut self, mut frame: Frame, segment: Option<u16>) {
        let header = self.header(&mut frame.bytes_mut()[HEADER..], segment);
        write_header(header, frame.bytes_mut());
        if self.queue.put(frame).is_ok() {
            boot::add_to_counter(COUNTER_TRANSMITTED, 1);
            if !self.answered && boot::counter(COUNTER_RECEIVED) > 0 {
                self.answered = true;
                boot::mark(MARK_FIRST_PACKET);
            }
        }
    }

    /// The header of a packet, whose checksum may be left to the device.
    fn header(&self, packet: &mut [u8], segment: Option<u16>) -> NetHeader {
        let mut header = NetHeader::default();
        if !self.has(FEATURE_CSUM) {
            return header;
        }
        let Some(place) = checksum::place(packet) else { return header };
        place.prepare(packet);
        header.flags = HEADER_NEEDS_CHECKSUM;
        header.checksum_start = place.start as u16;
        header.checksum_offset = place.offset as u16;
        if let Some(size) = segment {
            header.gso_type = if packet[12..14] == [8, 0] { GSO_TCPV4 } else { GSO_TCPV6 };
            header.gso_size = size;
            header.header_length = (place.start + 4 * usize::from(packet[place.start + 12] >> 4)) as u16;
        }
        header
    }
}

/// smoltcp's receive token: the packet at hand.
pub struct Received<'a>(&'a Receiver);

impl Received<'_> {
    /// The packet's bytes, to decide who gets it.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, work: F) -> R {
        work(self.0.bytes())
    }
}

/// smoltcp's transmit token: there is room in the ring.
pub struct Transmission<'a> {
    transmitter: &'a mut Transmitter,
}

impl phy::TxToken for Transmission<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, work: F) -> R {
        let Some(mut frame) = self.transmitter.frame(length) else {
            // No memory: the packet is made, and lost like one on a wire. It is no longer than the MTU allows.
            boot::add_to_counter(COUNTER_DROPPED, 1);
            let lost = &mut self.transmitter.lost;
            lost.set_length(HEADER + length);
            return work(&mut lost.bytes_mut()[HEADER..]);
        };
        let result = work(&mut frame.bytes_mut()[HEADER..]);
        self.transmitter.put(frame, None);
        result
    }
}

/// A packet that was looked at and is now smoltcp's.
pub(super) struct Single<'p> {
    packet: Option<(Received<'p>, Transmission<'p>)>,
    capabilities: DeviceCapabilities,
}

impl<'p> phy::Device for Single<'p> {
    type RxToken<'a>
        = Received<'p>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmission<'p>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'p>, Transmission<'p>)> {
        self.packet.take()
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmission<'p>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

/// Carries TCP's segments.
pub(super) struct TcpLink<'a> {
    /// Whether the buffer of the packet at hand can be kept.
    lends: bool,
    info: &'static NetDevice,
    transmitter: &'a mut Transmitter,
    neighbours: &'a mut Neighbours,
    now: Instant,
}

impl TcpLink<'_> {
    /// Whether the device cuts large segments.
    fn cuts(&self, ends: &Ends) -> bool {
        let feature = match ends.remote.addr {
            IpAddress::Ipv4(_) => FEATURE_HOST_TSO4,
            IpAddress::Ipv6(_) => FEATURE_HOST_TSO6,
        };
        self.transmitter.has(FEATURE_CSUM | feature)
    }
}

impl Link for TcpLink<'_> {
    fn lends(&self) -> bool {
        self.lends
    }

    fn largest(&self, ends: &Ends) -> u32 {
        frame::payload(ends, if self.cuts(ends) { 65_535 } else { self.info.mtu.into() })
    }

    fn send(
        &mut self,
        ends: &Ends,
        segment: &Segment,
        data: (&[u8], &[u8]),
        mss: u16,
    ) -> Result<(), Blocked> {
        let t = &mut *self.transmitter;
        let bytes = data.0.len() + data.1.len();
        let length = frame::length(ends, segment, bytes);
        if !t.has_room() {
            return Err(Blocked::Room);
        }
        if HEADER + length > t.small.length && t.queue.in_flight() >= LARGE_IN_FLIGHT {
            t.reclaim();
            if t.queue.in_flight() >= LARGE_IN_FLIGHT {
                t.blocked = true;
                return Err(Blocked::Room);
            }
        }
        let hop = self.neighbours.hop(ends.remote.addr, self.now).ok_or(Blocked::Neighbour)?;
        if let Some(solicitation) = hop.solicitation
            && let Some(mut frame) = t.frame(solicitation.len())
        {
            frame.bytes_mut()[HEADER..].copy_from_slice(&solicitation);
            t.put(frame, None);
        }
        let mac = hop.mac.ok_or(Blocked::Neighbour)?;
        let mut frame = t.frame(length).ok_or(Blocked::Room)?;
        let packet = &mut frame.bytes_mut()[HEADER..];
        frame::emit(packet, (EthernetAddress(self.info.mac), mac), ends, segment, data);
        if !t.has(FEATURE_CSUM)
            && let Some(place) = checksum::place(packet)
        {
            place.complete(packet);
        }
        t.put(frame, (bytes > usize::from(mss)).then_some(mss));
        Ok(())
    }
}

impl phy::Device for Phy {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Transmission<'a>;

    /// Packets are looked at one by one: [`Phy::single`].
    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Transmission<'_>)> {
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmission<'_>> {
        self.transmitter.has_room().then_some(Transmission { transmitter: &mut self.transmitter })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = 14 + usize::from(self.info.mtu);
        // Those of packets that have come were verified, or were not to be.
        let layer_4 = if self.info.features & FEATURE_CSUM != 0 { Checksum::None } else { Checksum::Tx };
        caps.checksum.udp = layer_4;
        caps
    }
}
