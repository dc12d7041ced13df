//! Packets: an owning handle to one buffer at a stable address, annotations in front of the bytes.
//!
//! A host's driver takes a packet apart with [`Packet::into_raw`] while its device owns the buffer, and puts it
//! together again with [`Packet::from_raw`]; nothing is copied.
//!
//! Dropping a packet, or better a [`Batch`] of them, gives its buffer to the pool that new packets come from.
#![allow(unsafe_code)]

mod batch;
mod pool;

pub use batch::{BURST, Batch};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Bytes in front of a new packet's data: room for headers that elements add, and for a driver's own.
pub const HEADROOM: usize = 128;
/// Capacity of an ordinary buffer, headroom included.
pub const CAPACITY: usize = 2048;
/// Largest capacity: headers and the largest IP packet, with room around.
pub const CAPACITY_MAXIMUM: usize = 72 << 10;
/// Bytes of data that a packet made here has at the most.
pub const LARGEST: usize = 65_535;
/// Bytes of data that an ordinary buffer holds.
pub const ROOM: usize = CAPACITY - HEADROOM;
/// Where the paint annotation lies in the user area.
pub const PAINT: usize = 16;
/// Bytes of Click's user annotation area.
pub const USER_BYTES: usize = 48;

/// A header's place that nobody has set.
const UNSET: u32 = u32::MAX;

/// Annotations, in front of the bytes.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Meta {
    /// The next buffer of a [`Batch`], or of the free list.
    link: Option<Buffer>,
    capacity: u32,
    start: u32,
    length: u32,
    mac: u32,
    network: u32,
    transport: u32,
    timestamp: u64,
    kind: Kind,
    user: [u8; USER_BYTES],
}

/// To whom a packet was sent, as the device saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// To this host.
    #[default]
    Host,
    /// To all.
    Broadcast,
    /// To a group.
    Multicast,
    /// To another.
    Other,
}

const META: usize = size_of::<Meta>();

/// A buffer: its annotations, and right behind them its bytes.
type Buffer = NonNull<Meta>;

/// A packet.
#[derive(Debug)]
#[repr(transparent)]
pub struct Packet(Buffer);

// SAFETY: the handle owns its buffer alone.
unsafe impl Send for Packet {}

fn layout(capacity: u32) -> Layout {
    Layout::from_size_align(META + capacity as usize, align_of::<Meta>())
        .expect("bounded by CAPACITY_MAXIMUM")
}

impl Packet {
    /// An empty packet whose data can grow to `room` bytes behind [`HEADROOM`]; `None` if that is too much.
    #[inline]
    pub fn new(room: usize) -> Option<Self> {
        let capacity = room.checked_add(HEADROOM)?.max(CAPACITY).checked_next_multiple_of(64)?;
        if capacity > CAPACITY_MAXIMUM {
            return None;
        }
        if capacity > CAPACITY {
            return pool::allocate(capacity).map(Self);
        }
        let mut buffer = pool::take()?;
        // SAFETY: the pool gave the buffer to us. All its bytes were written when it was allocated.
        unsafe { buffer.as_mut() }.reset();
        Some(Self(buffer))
    }

    /// A packet with these bytes.
    #[inline]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut packet = Self::new(bytes.len())?;
        packet.put_slice(bytes)?;
        Some(packet)
    }

    #[inline]
    fn meta(&self) -> &Meta {
        // SAFETY: the handle owns a valid `Meta`.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn meta_mut(&mut self) -> &mut Meta {
        // SAFETY: as in `meta`, and the handle is borrowed mutably.
        unsafe { self.0.as_mut() }
    }

    #[inline]
    fn bytes(&self) -> *mut u8 {
        // SAFETY: the buffer begins right behind the `Meta`, in the same allocation.
        unsafe { self.0.as_ptr().cast::<u8>().add(META) }
    }

    /// The data.
    #[inline]
    pub fn data(&self) -> &[u8] {
        let m = self.meta();
        // SAFETY: `start + length` never exceeds `capacity`, and all bytes were written when the buffer was allocated.
        unsafe { core::slice::from_raw_parts(self.bytes().add(m.start as usize), m.length as usize) }
    }

    /// The data, to change.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        let (start, length) = (self.meta().start as usize, self.meta().length as usize);
        // SAFETY: as in `data`, and the handle is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.bytes().add(start), length) }
    }

    /// Bytes of data.
    #[inline]
    pub fn len(&self) -> usize {
        self.meta().length as usize
    }

    /// Whether there is no data.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in front of the data.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.meta().start as usize
    }

    /// Bytes behind the data.
    #[inline]
    pub fn tailroom(&self) -> usize {
        let m = self.meta();
        (m.capacity - m.start - m.length) as usize
    }

    /// Takes bytes off the front; `false` if there are fewer.
    #[inline]
    pub fn pull(&mut self, n: usize) -> bool {
        let m = self.meta_mut();
        if n > m.length as usize {
            return false;
        }
        m.start += n as u32;
        m.length -= n as u32;
        true
    }

    /// Puts `n` bytes in front, whatever was there before; moves the data back if the headroom is too small. `None`:
    /// no buffer is that large.
    #[inline]
    pub fn push(&mut self, n: usize) -> Option<()> {
        if n > self.headroom() {
            // Room for more headers, which are likely to follow.
            self.grow(n.checked_add(HEADROOM)?, 0)?;
        }
        let m = self.meta_mut();
        m.start -= n as u32;
        m.length += n as u32;
        Some(())
    }

    /// Moves the data to a larger buffer, with at least `front` bytes before and `behind` bytes after it.
    #[cold]
    fn grow(&mut self, front: usize, behind: usize) -> Option<()> {
        let front = front.max(HEADROOM);
        let mut larger = Self::new((front - HEADROOM).checked_add(self.len())?.checked_add(behind)?)?;
        let old = self.meta().clone();
        let shift = front as i64 - i64::from(old.start);
        let m = larger.meta_mut();
        *m = Meta { link: m.link, capacity: m.capacity, start: front as u32, ..old };
        (m.mac, m.network, m.transport) =
            (shifted(old.mac, shift), shifted(old.network, shift), shifted(old.transport, shift));
        larger.data_mut().copy_from_slice(self.data());
        larger.copy_front(self);
        core::mem::swap(self, &mut larger);
        Some(())
    }

    /// Puts `n` zero bytes behind the data. `None`: no buffer is that large.
    #[inline]
    pub fn put(&mut self, n: usize) -> Option<()> {
        let length = self.len();
        self.put_stale(n)?;
        self.data_mut()[length..].fill(0);
        Some(())
    }

    /// Puts `n` bytes behind the data, whatever was there before. `None`: no buffer is that large.
    #[inline]
    fn put_stale(&mut self, n: usize) -> Option<()> {
        if n > self.tailroom() {
            self.grow(self.headroom(), n)?;
        }
        self.meta_mut().length += n as u32;
        Some(())
    }

    /// Puts these bytes behind the data.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) -> Option<()> {
        let length = self.len();
        self.put_stale(bytes.len())?;
        self.data_mut()[length..].copy_from_slice(bytes);
        Some(())
    }

    /// Takes bytes off the end, so that at most `length` are left.
    pub fn truncate(&mut self, length: usize) {
        let m = self.meta_mut();
        m.length = m.length.min(length as u32);
    }

    fn offset(&self, at: u32) -> Option<usize> {
        let m = self.meta();
        at.checked_sub(m.start).filter(|&o| at != UNSET && o <= m.length).map(|o| o as usize)
    }

    fn place(&self, offset: usize) -> u32 {
        self.meta().start + offset.min(self.len()) as u32
    }

    /// Offset of the network header in the data, if it is set and there.
    #[inline]
    pub fn network(&self) -> Option<usize> {
        self.offset(self.meta().network)
    }

    /// Offset of the transport header, likewise.
    #[inline]
    pub fn transport(&self) -> Option<usize> {
        self.offset(self.meta().transport)
    }

    /// The last `n` bytes in front of the data, if there are so many: headers that were stripped, say.
    pub fn in_front(&self, n: usize) -> Option<&[u8]> {
        let from = self.headroom().checked_sub(n)?;
        // SAFETY: these bytes lie in the buffer, in front of the data, and all were written when it was allocated.
        Some(unsafe { core::slice::from_raw_parts(self.bytes().add(from), n) })
    }

    /// How far in front of the data the link-layer header begins, if it is set and still there.
    pub fn mac_in_front(&self) -> Option<usize> {
        let m = self.meta();
        (m.mac != UNSET && m.mac <= m.start).then(|| (m.start - m.mac) as usize)
    }

    /// How far in front of the data the network header begins, if it is set and there.
    pub fn network_in_front(&self) -> Option<usize> {
        let m = self.meta();
        (m.network != UNSET && m.network < m.start).then(|| (m.start - m.network) as usize)
    }

    /// The packet from its first header on, be it in front of the data, and where in that the data and the link-layer,
    /// network and transport headers begin (`usize::MAX`: unknown).
    pub fn with_headers(&self) -> (&[u8], [usize; 4]) {
        let m = self.meta();
        let places = [m.start, m.mac, m.network, m.transport];
        let end = m.start + m.length;
        let first = places.into_iter().fold(m.start, u32::min);
        // SAFETY: `first` is `start` at the most, `end` never exceeds `capacity`, and all bytes were written when the
        // buffer was allocated.
        let bytes =
            unsafe { core::slice::from_raw_parts(self.bytes().add(first as usize), (end - first) as usize) };
        (bytes, places.map(|p| if p == UNSET { usize::MAX } else { (p - first) as usize }))
    }

    /// Says where the network and transport headers are, as offsets in the data.
    #[inline]
    pub fn set_headers(&mut self, network: usize, transport: usize) {
        let (network, transport) = (self.place(network), self.place(transport));
        let m = self.meta_mut();
        (m.network, m.transport) = (network, transport);
    }

    /// Says that the link-layer header begins where the data does.
    #[inline]
    pub fn set_mac(&mut self) {
        let start = self.meta().start;
        self.meta_mut().mac = start;
    }

    /// Says where the link-layer header begins, as an offset in the data.
    pub fn set_mac_at(&mut self, offset: usize) {
        let place = self.place(offset);
        self.meta_mut().mac = place;
    }

    /// When the packet arrived, nanoseconds since 1970; 0: unknown.
    #[inline]
    pub fn timestamp(&self) -> u64 {
        self.meta().timestamp
    }

    /// Sets [`Packet::timestamp`].
    #[inline]
    pub fn set_timestamp(&mut self, unix_ns: u64) {
        self.meta_mut().timestamp = unix_ns;
    }

    /// To whom it was sent.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.meta().kind
    }

    /// Sets [`Packet::kind`].
    #[inline]
    pub fn set_kind(&mut self, kind: Kind) {
        self.meta_mut().kind = kind;
    }

    /// Click's user annotations.
    #[inline]
    pub fn user(&mut self) -> &mut [u8; USER_BYTES] {
        &mut self.meta_mut().user
    }

    /// Destination address annotation (bytes 0 to 3 of the user area).
    #[inline]
    pub fn destination(&self) -> [u8; 4] {
        let u = &self.meta().user;
        [u[0], u[1], u[2], u[3]]
    }

    /// Sets [`Packet::destination`].
    #[inline]
    pub fn set_destination(&mut self, address: [u8; 4]) {
        self.user()[..4].copy_from_slice(&address);
    }

    /// IPv6 destination address annotation (bytes 0 to 15 of the user area).
    pub fn destination6(&self) -> [u8; 16] {
        core::array::from_fn(|i| self.meta().user[i])
    }

    /// Sets [`Packet::destination6`].
    pub fn set_destination6(&mut self, address: [u8; 16]) {
        self.user()[..16].copy_from_slice(&address);
    }

    /// Paint annotation (byte `at` of the user area; Click's default is 16).
    #[inline]
    pub fn paint(&self, at: usize) -> u8 {
        self.meta().user.get(at).copied().unwrap_or(0)
    }

    /// A copy with a buffer of its own, annotations included. `None`: the heap has no room.
    pub fn duplicate(&self) -> Option<Self> {
        let mut copy = Self::new(self.len())?;
        let old = self.meta();
        let shift = HEADROOM as i64 - i64::from(old.start);
        let m = copy.meta_mut();
        *m = Meta { link: None, capacity: m.capacity, start: HEADROOM as u32, ..old.clone() };
        m.mac = shifted(old.mac, shift);
        m.network = shifted(old.network, shift);
        m.transport = shifted(old.transport, shift);
        copy.data_mut().copy_from_slice(self.data());
        copy.copy_front(self);
        Some(copy)
    }

    /// Copies what lies in front of another packet's data, such as a link-layer header that was stripped.
    fn copy_front(&mut self, other: &Packet) {
        let front = self.headroom().min(other.headroom());
        let (from, to) = (other.headroom() - front, self.headroom() - front);
        // SAFETY: `front` bytes lie in front of the data of both, in two allocations.
        unsafe { core::ptr::copy_nonoverlapping(other.bytes().add(from), self.bytes().add(to), front) };
    }

    /// Takes another packet's timestamp, type and user annotations.
    pub fn annotate_as(&mut self, other: &Packet) {
        let (timestamp, kind, user) = (other.meta().timestamp, other.meta().kind, other.meta().user);
        let m = self.meta_mut();
        (m.timestamp, m.kind, m.user) = (timestamp, kind, user);
    }

    /// As new, keeping the buffer.
    pub fn reset(&mut self) {
        self.meta_mut().reset();
    }

    #[inline]
    fn into_buffer(self) -> Buffer {
        let buffer = self.0;
        core::mem::forget(self);
        buffer
    }

    /// Bytes of the buffer behind [`HEADROOM`].
    pub fn room(&self) -> usize {
        self.meta().capacity as usize - HEADROOM
    }

    /// Gives the buffer away: whoever has the pointer owns it.
    pub fn into_raw(self) -> *mut u8 {
        let pointer = self.0.as_ptr().cast();
        core::mem::forget(self);
        pointer
    }

    /// Takes back what [`Packet::into_raw`] gave away.
    ///
    /// # Safety
    /// `raw` comes from [`Packet::into_raw`] and is taken back once.
    pub unsafe fn from_raw(raw: *mut u8) -> Self {
        // SAFETY: `into_raw` gave a pointer that is not null.
        Self(unsafe { NonNull::new_unchecked(raw.cast()) })
    }

    /// Address of the byte `before` bytes in front of the data, for a driver that puts its header there.
    pub fn address(&mut self, before: usize) -> *mut u8 {
        assert!(before <= self.headroom());
        // SAFETY: `before` bytes lie in front of the data, in the same allocation.
        unsafe { self.bytes().add(self.meta().start as usize - before) }
    }

    /// Makes `length` bytes from the data's start on the data, or as many as there is room for: after a device wrote
    /// them. Bytes that it did not write are what an earlier packet left there.
    #[inline]
    pub fn set_len(&mut self, length: usize) {
        let m = self.meta_mut();
        let room = (m.capacity - m.start) as usize;
        m.length = length.min(room) as u32;
    }
}

impl Meta {
    fn new(capacity: u32) -> Self {
        Self {
            link: None,
            capacity,
            start: HEADROOM as u32,
            length: 0,
            mac: UNSET,
            network: UNSET,
            transport: UNSET,
            timestamp: 0,
            kind: Kind::Host,
            user: [0; USER_BYTES],
        }
    }

    #[inline]
    fn reset(&mut self) {
        *self = Self { link: self.link, ..Self::new(self.capacity) };
    }
}

/// An offset in the buffer after the data moved by `by`.
fn shifted(at: u32, by: i64) -> u32 {
    if at == UNSET { UNSET } else { u32::try_from(i64::from(at) + by).unwrap_or(UNSET) }
}

impl Drop for Packet {
    #[inline]
    fn drop(&mut self) {
        pool::put(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stay_where_they_are_when_data_moves() {
        let mut p = Packet::from_bytes(&[7; 100]).unwrap();
        p.set_headers(14, 34);
        assert!(p.pull(14));
        assert_eq!((p.network(), p.transport()), (Some(0), Some(20)));
        p.push(500).unwrap();
        assert_eq!((p.network(), p.transport()), (Some(500), Some(520)));
        assert_eq!(&p.data()[500..], &[7; 86]);
        assert_eq!(p.duplicate().unwrap().network(), Some(500));
    }

    #[test]
    fn headers_that_were_cut_off_are_not_there() {
        let mut p = Packet::from_bytes(&[0; 40]).unwrap();
        p.set_headers(0, 20);
        p.pull(10);
        assert_eq!((p.network(), p.transport()), (None, Some(10)));
        p.truncate(5);
        assert_eq!(p.transport(), None);
    }

    #[test]
    fn data_grows_at_both_ends_and_keeps_its_bytes() {
        let mut p = Packet::from_bytes(&[9; 60]).unwrap();
        p.put(5000).unwrap();
        assert_eq!(&p.data()[..60], &[9; 60]);
        assert!(p.data()[60..].iter().all(|&b| b == 0));
        assert!(p.put(100_000).is_none() && p.push(100_000).is_none());
        assert_eq!(p.len(), 5060);
    }
}
