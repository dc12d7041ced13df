//! All connections of a device: which one a segment belongs to, who may open one, and when each has something to do.
//!
//! What a peer can have this take is bounded: [`HALF_OPEN`] connections that have not come about, of which the oldest
//! gives way; those of [`TimeWait`]; and as many others as `accept` allows. Memory that is not there is a segment lost.

use super::connection::{Connection, Ends, Opening, State};
use super::index::Index;
use super::input;
use super::output::Link;
use super::segment::{ACK, FIN, RST, SYN, Segment};
use super::seq::Seq;
use super::time_wait::{InputOutcome, TimeWait, TimeWaitEntry};
use super::timers::Timers;
use crate::clock::Instant;
use crate::random::Random;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Most half-open connections.
const HALF_OPEN: usize = 256;
/// Most connections.
const MOST: usize = 1 << 20;

/// Buffer sizes of a new connection.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Size of the receive buffer, bytes.
    pub receive: usize,
    /// Size of the send buffer, bytes.
    pub transmit: usize,
}

/// The answer to a SYN.
#[derive(Clone, Copy, Debug)]
pub enum AcceptDecision {
    /// Nobody listens: answer with a reset.
    Refused,
    /// Ignore it, as if the segment had been lost.
    Ignored,
    /// Accept the connection.
    Admitted(Admission),
}

#[derive(Default)]
struct Slot {
    /// A box of one.
    connection: Option<Box<[Connection; 1]>>,
    /// It is found by its ends.
    indexed: bool,
    /// It is in the list of those to look at.
    touched: bool,
    /// It waits for the device or a neighbour.
    blocked: bool,
    /// It has not come about, and a peer has asked for it.
    half_open: bool,
}

/// A box, if there is memory for it.
fn boxed(connection: Connection) -> Option<Box<[Connection; 1]>> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).ok()?;
    one.push(connection);
    one.into_boxed_slice().try_into().ok()
}

/// The connections, by number.
pub struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    index: Index,
    timers: Timers,
    touched: Vec<u32>,
    blocked: Vec<u32>,
    half_open: VecDeque<u32>,
    time_wait: TimeWait,
    /// For first sequence numbers and time stamps.
    secret: [u8; 32],
    mtu: u16,
    /// First sequence number of every connection, in tests of the wrap.
    #[cfg(test)]
    pub first: Option<Seq>,
}

impl Connections {
    /// No connections yet, over packets of `mtu` bytes. `secret` is random.
    pub fn new(mtu: u16, secret: [u8; 32]) -> Self {
        let mut random = Random::new(secret);
        let mut word = || u64::from(random.next_u32()) << 32 | u64::from(random.next_u32());
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: Index::new([word(), word()]),
            timers: Timers::default(),
            touched: Vec::new(),
            blocked: Vec::new(),
            half_open: VecDeque::new(),
            time_wait: TimeWait::default(),
            secret,
            mtu,
            #[cfg(test)]
            first: None,
        }
    }

    /// Connections, but those that have not come about or are over.
    pub fn open(&self) -> usize {
        self.index.len() - self.half_open.len()
    }

    /// A connection.
    pub fn get(&self, number: usize) -> Option<&Connection> {
        self.slots.get(number)?.connection.as_deref().map(|[connection]| connection)
    }

    /// A connection.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Connection> {
        self.slots.get_mut(number)?.connection.as_deref_mut().map(|[connection]| connection)
    }

    /// The numbers that are in use or were.
    pub fn numbers(&self) -> core::ops::Range<usize> {
        0..self.slots.len()
    }

    /// The first sequence number (RFC 6528) and the offset of time stamps between two ends.
    fn secrets(&self, ends: &Ends, now: Instant) -> (Seq, u32) {
        let mut key = self.secret;
        for (end, at) in [(&ends.remote, 0), (&ends.local, 16)] {
            let mut mix = |place: usize, byte: u8| key[at + place] ^= byte;
            match end.addr {
                IpAddress::Ipv4(v4) => v4.octets().iter().enumerate().for_each(|(n, &byte)| mix(n, byte)),
                // The lower half tells neighbours apart, the upper one networks: both count.
                IpAddress::Ipv6(v6) => {
                    v6.octets().iter().enumerate().for_each(|(n, &byte)| mix(n % 14, byte))
                }
            }
            end.port.to_be_bytes().iter().enumerate().for_each(|(n, &byte)| mix(14 + n, byte));
        }
        let mut random = Random::new(key);
        (Seq(random.next_u32()) + (now.0 >> 6) as u32, random.next_u32())
    }

    fn opening(&self, ends: Ends, admission: Admission, now: Instant) -> Opening {
        let (first, stamp_offset) = self.secrets(&ends, now);
        #[cfg(test)]
        let first = self.first.unwrap_or(first);
        let bytes = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (receive, transmit) = (bytes(admission.receive), bytes(admission.transmit));
        Opening { ends, first, timestamp_offset: stamp_offset, receive, transmit, mtu: self.mtu }
    }

    /// Whether a connection between two ends would be mistaken for another.
    pub fn is_taken(&self, ends: &Ends, now: Instant) -> bool {
        self.find(ends).is_some() || self.time_wait.contains(ends, now)
    }

    fn find(&self, ends: &Ends) -> Option<usize> {
        self.index.find(ends, |number| self.get(number).is_some_and(|connection| connection.ends() == *ends))
    }

    /// Asks a peer for a connection, which is as yet to be sent. `None`: there is no memory.
    pub fn connect(&mut self, ends: Ends, admission: Admission, now: Instant) -> Option<usize> {
        let opening = self.opening(ends, admission, now);
        let number = self.insert(Connection::active(&opening, now))?;
        self.touch(number);
        Some(number)
    }

    fn insert(&mut self, connection: Connection) -> Option<usize> {
        let number = match self.free.last() {
            Some(&number) => number as usize,
            None => self.slots.len(),
        };
        let ends = connection.ends();
        let connection = boxed(connection)?;
        if number == self.slots.len() {
            self.grow()?;
        }
        self.free.pop();
        self.slots[number] = Slot { connection: Some(connection), indexed: true, ..Slot::default() };
        self.index.insert(&ends, number);
        Some(number)
    }

    /// Makes room for one more number, in every list in which it may have to stand.
    fn grow(&mut self) -> Option<()> {
        let count = self.slots.len() + 1;
        if count > MOST {
            return None;
        }
        let slots = &self.slots;
        let ends = |number: usize| {
            let slot: &Slot = slots.get(number)?;
            slot.connection.as_deref().filter(|_| slot.indexed).map(|[connection]| connection.ends())
        };
        let fits = self.index.reserve(count, ends) && self.timers.reserve(count);
        for list in [&mut self.free, &mut self.touched, &mut self.blocked] {
            list.try_reserve(count - list.len()).ok()?;
        }
        self.slots.try_reserve(1).ok()?;
        if !fits {
            return None;
        }
        self.slots.push(Slot::default());
        self.free.push(count as u32 - 1);
        Some(())
    }

    /// Puts a connection on the list of those to look at.
    pub fn touch(&mut self, number: usize) {
        if let Some(slot) = self.slots.get_mut(number)
            && slot.connection.is_some()
            && !core::mem::replace(&mut slot.touched, true)
        {
            self.touched.push(number as u32);
        }
    }

    /// Whether there are connections to look at.
    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The one at a place on the list of those to look at.
    pub fn touched(&self, place: usize) -> Option<usize> {
        self.touched.get(place).map(|&number| number as usize)
    }

    /// Takes one off the list of those to look at.
    pub fn next_touched(&mut self) -> Option<usize> {
        let number = self.touched.pop()? as usize;
        self.slots[number].touched = false;
        Some(number)
    }

    /// The device has room again, or a neighbour was found: those that have waited are to be looked at.
    pub fn unblock(&mut self) {
        while let Some(number) = self.blocked.pop() {
            self.slots[number as usize].blocked = false;
            self.touch(number as usize);
        }
    }

    /// Takes a segment in. `accept` says what becomes of a peer that asks for a connection to a port, given how many are
    /// open. The number of the connection that keeps the buffer which the link lends, if one does.
    pub fn input(
        &mut self,
        ends: &Ends,
        segment: &Segment,
        data: &[u8],
        now: Instant,
        link: &mut impl Link,
        accept: impl FnOnce(u16, usize) -> AcceptDecision,
    ) -> Option<usize> {
        let mut keeper = None;
        let asks = segment.flags & (SYN | ACK | RST | FIN) == SYN;
        let answer = match self.find(ends) {
            // The peer has forgotten what it asked for, and asks again.
            Some(number) if asks && self.slots[number].half_open && self.is_other(number, segment) => {
                self.remove(number);
                self.input_unknown(ends, segment, data, now, accept)
            }
            Some(number) => {
                let lent = link.lends();
                let answer = self.get_mut(number).and_then(|connection| {
                    let answer = connection.input(segment, data, lent, now);
                    keeper = connection.keeps().then_some(number);
                    answer
                });
                self.update_slot(number, now);
                self.touch(number);
                answer
            }
            None => self.input_unknown(ends, segment, data, now, accept),
        };
        if let Some(answer) = answer {
            // As if it had been lost, if there is no room.
            let _ = link.send(ends, &answer, (&[], &[]), 0);
        }
        keeper
    }

    fn is_other(&self, number: usize, segment: &Segment) -> bool {
        self.get(number).is_some_and(|connection| connection.peer_first != segment.seq)
    }

    /// A segment of no connection.
    fn input_unknown(
        &mut self,
        ends: &Ends,
        segment: &Segment,
        data: &[u8],
        now: Instant,
        accept: impl FnOnce(u16, usize) -> AcceptDecision,
    ) -> Option<Segment> {
        match self.time_wait.input(ends, segment, data.len(), now) {
            InputOutcome::Done => return None,
            InputOutcome::Answer(answer) => return Some(answer),
            InputOutcome::Unknown => {}
        }
        let asks = segment.flags & (SYN | ACK | RST) == SYN;
        let admission =
            match if asks { accept(ends.local.port, self.open()) } else { AcceptDecision::Refused } {
                AcceptDecision::Refused => return input::reset(segment, data.len()),
                AcceptDecision::Ignored => return None,
                AcceptDecision::Admitted(admission) => admission,
            };
        if self.half_open.len() >= HALF_OPEN
            && let Some(&oldest) = self.half_open.front()
        {
            self.remove(oldest as usize);
        }
        self.half_open.try_reserve(1).ok()?;
        let opening = self.opening(*ends, admission, now);
        let mut connection = Connection::new(&opening, State::SynReceived, segment.seq, now);
        connection.negotiate(segment, now);
        let number = self.insert(connection)?;
        self.slots[number].half_open = true;
        self.half_open.push_back(number as u32);
        self.touch(number);
        None
    }

    /// Notes what has become of a connection.
    fn update_slot(&mut self, number: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let Some([connection]) = slot.connection.as_deref() else { return };
        if slot.half_open && connection.state() != State::SynReceived {
            slot.half_open = false;
            self.half_open.retain(|&other| other as usize != number);
        }
        if connection.is_over() && core::mem::take(&mut slot.indexed) {
            let ends = connection.ends();
            if connection.state() == State::TimeWait {
                let stamps = connection
                    .timestamps
                    .then_some((connection.peer_timestamp.0, connection.timestamp_offset));
                let numbers = connection.numbers();
                let one = TimeWaitEntry { ends, numbers, stamps, until: now, answered: None };
                self.time_wait.insert(one, now);
            }
            self.index.remove(&ends, number);
        }
    }

    /// Puts those on the list of those to look at whose time has come; whether there are any.
    pub fn expire(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some((at, number)) = self.timers.first()
            && at <= now
        {
            self.timers.set(number, None);
            if let Some(connection) = self.get_mut(number) {
                connection.expire(now);
            }
            self.update_slot(number, now);
            self.touch(number);
            any = true;
        }
        any
    }

    /// Sends what a connection has to send, with `acknowledge` acknowledgements too that could go with data.
    pub fn transmit(&mut self, number: usize, acknowledge: bool, now: Instant, link: &mut impl Link) {
        let Some(connection) = self.get_mut(number) else { return };
        let blocked = connection.transmit(acknowledge, now, link).err();
        let deadline = match blocked {
            None => connection.deadline(),
            Some(why) => Some(now + why.retry()),
        };
        self.update_slot(number, now);
        self.timers.set(number, deadline);
        let slot = &mut self.slots[number];
        if blocked.is_some() && !core::mem::replace(&mut slot.blocked, true) {
            self.blocked.push(number as u32);
        }
    }

    /// When [`Connections::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| at)
    }

    /// Forgets a connection. Its number will be another's.
    pub fn remove(&mut self, number: usize) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let Some(connection) = slot.connection.take() else { return };
        let [connection] = &*connection;
        if core::mem::take(&mut slot.indexed) {
            self.index.remove(&connection.ends(), number);
        }
        if core::mem::take(&mut slot.half_open) {
            self.half_open.retain(|&other| other as usize != number);
        }
        if core::mem::take(&mut slot.touched) {
            self.touched.retain(|&other| other as usize != number);
        }
        if core::mem::take(&mut slot.blocked) {
            self.blocked.retain(|&other| other as usize != number);
        }
        self.timers.set(number, None);
        self.free.push(number as u32);
    }

    /// A port of one's own for a connection to a peer, begun to be looked for at `first`.
    pub fn free_port(&self, first: u16, remote: IpEndpoint, local: IpAddress, now: Instant) -> Option<u16> {
        const LOWEST: u16 = 49_152;
        const COUNT: u16 = 16_384;
        let candidates = (0..COUNT).map(|n| LOWEST + first.wrapping_add(n) % COUNT);
        let mut candidates = candidates
            .filter(|&port| !self.is_taken(&Ends { remote, local: IpEndpoint::new(local, port) }, now));
        candidates.next()
    }
}
