//! A connection (RFC 9293 section 3.3): its state, and what a program does with it.
//!
//! [`super::input`] takes segments in, [`super::output`] sends them and minds the time.

use super::receive::ReceiveQueue;
use super::segment::Block;
use super::sender::Sender;
use super::seq::Seq;
use crate::clock::Instant;
use crate::net::loan::LoanedBuffer;
use core::task::Waker;
use core::time::Duration;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// A window that a connection begins with, bytes.
const WINDOW_INITIAL: u32 = 256 << 10;
/// Shift of windows sent: they reach to 8 MiB.
const SHIFT: u8 = 7;
/// The largest window.
const WINDOW_MAXIMUM: u32 = 0xffff << SHIFT;
/// Drains that are acknowledged at once at the beginning, while the peer's window is small.
const QUICK: u8 = 16;
/// Largest segment of a peer that names none (RFC 9293 section 3.7.1), over IPv4 and IPv6.
const MSS_DEFAULT: (u16, u16) = (536, 1220);
/// Data in a segment is never less: a peer cannot have every byte sent by itself.
const MSS_MINIMUM: u16 = 88;

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The peer's address and port.
    pub remote: IpEndpoint,
    /// Address and port here.
    pub local: IpEndpoint,
}

impl Ends {
    /// Length of the IP header, bytes.
    pub fn ip_header(&self) -> u16 {
        match self.remote.addr {
            IpAddress::Ipv4(_) => 20,
            IpAddress::Ipv6(_) => 40,
        }
    }
}

/// The states of RFC 9293 section 3.3.2, but LISTEN, which is not a connection's here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Has sent a SYN.
    SynSent,
    /// Has received a SYN and answered it.
    SynReceived,
    /// Data goes both ways.
    Established,
    /// Has sent a FIN; the peer has not acknowledged it.
    FinWait1,
    /// The peer has acknowledged the FIN and may still send.
    FinWait2,
    /// The peer has sent a FIN; this side may still send.
    CloseWait,
    /// Both have sent a FIN; the peer has not acknowledged this side's.
    Closing,
    /// Has sent a FIN after the peer's; the peer has not acknowledged it.
    LastAck,
    /// Ended; segments may still be in the network.
    TimeWait,
    /// Ended.
    Closed,
}

/// Parameters of a new connection.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Both ends.
    pub ends: Ends,
    /// This side's initial sequence number.
    pub first: Seq,
    /// Offset of time stamps, which hides the clock.
    pub timestamp_offset: u32,
    /// Size of the receive buffer, bytes.
    pub receive: u32,
    /// Size of the send buffer, bytes.
    pub transmit: u32,
    /// Largest IP packet, bytes.
    pub mtu: u16,
}

/// Timeouts of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    /// The connection ends when the peer has not answered for this time.
    pub limit: Option<Duration>,
    /// A keep-alive probe is sent when the peer has been silent for this time.
    pub keep_alive: Option<Duration>,
}

/// A connection.
pub struct Connection {
    pub(super) ends: Ends,
    pub(super) state: State,
    /// This side's initial sequence number, of the SYN.
    pub(super) first: Seq,
    /// The peer's initial sequence number, of its SYN.
    pub(super) peer_first: Seq,
    pub(super) sender: Sender,
    pub(super) receive: ReceiveQueue,
    /// Largest limit of `receive`, bytes.
    pub(super) receive_maximum: u32,
    pub(super) mtu: u16,
    /// Window scale of sent and of received windows.
    pub(super) shifts: (u8, u8),
    /// Whether window scaling and time stamps are in use.
    pub(super) window_scaling: bool,
    pub(super) timestamps: bool,
    pub(super) timestamp_offset: u32,
    /// The peer's time stamp to echo, and when it was received.
    pub(super) peer_timestamp: (u32, Instant),
    /// Sequence and acknowledgement number of the segment that last updated the window.
    pub(super) window_from: (Seq, Seq),
    /// The last sent acknowledgement number and right edge of the window.
    pub(super) advertised: (Seq, Seq),
    /// Whether an acknowledgement is due now, and when a delayed one is due.
    pub(super) ack_now: bool,
    pub(super) ack_at: Option<Instant>,
    /// Remaining acknowledgements that are not delayed.
    pub(super) quick_acks: u8,
    /// Bytes received twice, to report in a D-SACK.
    pub(super) duplicate: Option<Block>,
    /// When the last challenge ACK was sent.
    pub(super) challenge_sent: Option<Instant>,
    /// When to send the SYN next; how often it was sent; and when last.
    pub(super) syn_at: Option<Instant>,
    pub(super) syns: u32,
    pub(super) syn_sent: Instant,
    /// Whether a probe is due.
    pub(super) probe_due: bool,
    /// Whether a reset is due.
    pub(super) reset: bool,
    /// When the peer was last heard from.
    pub(super) last_heard: Instant,
    /// Since when this side has been waiting for the peer.
    pub(super) waiting: Option<Instant>,
    /// When the last keep-alive probe was sent.
    pub(super) probe_sent: Instant,
    pub(super) timeouts: Timeouts,
    /// Whether no program uses it any more.
    pub(super) orphan: bool,
    /// Whether a program has it.
    pub attached: bool,
    /// Whether the last segment stays in its receive buffer.
    pub(super) keeps: bool,
    /// Whether it ended with written data that the peer has not acknowledged.
    pub(super) undelivered: bool,
    /// Bytes read and since when, for sizing the window.
    pub(super) read: (u32, Instant),
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Connection {
    /// A connection that is to be asked for; `now` its SYN goes out.
    pub fn active(opening: &Opening, now: Instant) -> Self {
        Self::new(opening, State::SynSent, Seq(0), now)
    }

    pub(super) fn new(opening: &Opening, state: State, peer_first: Seq, now: Instant) -> Self {
        let most = opening.receive.clamp(256, WINDOW_MAXIMUM);
        Self {
            ends: opening.ends,
            state,
            first: opening.first,
            peer_first,
            sender: Sender::new(opening.first + 1, opening.transmit.clamp(256, 1 << 30)),
            receive: ReceiveQueue::new(peer_first + 1, most.min(WINDOW_INITIAL)),
            receive_maximum: most,
            mtu: opening.mtu,
            shifts: (SHIFT, 0),
            window_scaling: true,
            timestamps: true,
            timestamp_offset: opening.timestamp_offset,
            peer_timestamp: (0, now),
            window_from: (peer_first, opening.first),
            advertised: (peer_first + 1, peer_first + 1),
            ack_now: false,
            ack_at: None,
            quick_acks: QUICK,
            duplicate: None,
            challenge_sent: None,
            syn_at: Some(now),
            syns: 0,
            syn_sent: now,
            probe_due: false,
            reset: false,
            last_heard: now,
            waiting: None,
            probe_sent: now,
            timeouts: Timeouts::default(),
            orphan: false,
            attached: state == State::SynSent,
            keeps: false,
            undelivered: false,
            read: (0, now),
            reader: None,
            writer: None,
        }
    }

    /// Largest segment that is taken here, bytes of data and options.
    pub(super) fn own_mss(&self) -> u16 {
        self.mtu.saturating_sub(self.ends.ip_header() + 20).max(MSS_MINIMUM)
    }

    /// Sets the size of segments once it is known what the peer takes and whether there are time stamps.
    pub(super) fn agree_on_mss(&mut self, theirs: Option<u16>) {
        let default = if self.ends.ip_header() == 20 { MSS_DEFAULT.0 } else { MSS_DEFAULT.1 };
        let mss = theirs.unwrap_or(default).min(self.own_mss()).max(MSS_MINIMUM);
        let options = if self.timestamps { super::segment::TIMESTAMPS as u16 } else { 0 };
        self.sender.set_mss(u32::from(mss - options));
    }

    /// Both ends.
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether it has come about and is not over.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::SynSent | State::SynReceived | State::TimeWait | State::Closed)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::TimeWait | State::Closed)
    }

    /// Bytes of memory for what has arrived and what is to be sent.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.receive.held() + self.sender.queue.held()
    }

    /// Bytes that can be read.
    pub fn readable(&self) -> usize {
        self.receive.ready() as usize
    }

    /// Whether all that the peer sends has been read.
    pub fn is_read(&self) -> bool {
        self.receive.ready() == 0 && self.receive.is_finished()
    }

    /// Most bytes that are kept in both directions.
    pub fn capacity(&self) -> usize {
        (self.receive_maximum + self.sender.queue.limit()) as usize
    }

    /// Sets how much of what has arrived and of what is to be sent may be kept, bytes.
    pub fn allow(&mut self, receive: usize, transmit: usize) {
        let bytes = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        self.receive_maximum = bytes(receive).clamp(256, WINDOW_MAXIMUM);
        self.receive.raise_limit(self.receive_maximum.min(WINDOW_INITIAL));
        self.sender.queue.set_limit(bytes(transmit).clamp(256, 1 << 30));
    }

    /// Takes the memory for all that may be kept, so that it cannot be missing later; whether there is so much.
    pub fn reserve(&mut self) -> bool {
        self.receive.reserve() && self.sender.queue.reserve()
    }

    /// Whether the peer has acknowledged all that was written.
    pub fn is_delivered(&self) -> bool {
        !self.undelivered && self.sender.queue.length() == 0
    }

    /// Whether the peer has acknowledged that this side sends no more.
    pub fn is_end_acknowledged(&self) -> bool {
        matches!(self.state, State::FinWait2 | State::TimeWait)
    }

    /// Wakes somebody when something has come.
    pub fn wait_to_read(&mut self, waker: &Waker) {
        if self.reader.as_ref().is_none_or(|reader| !reader.will_wake(waker)) {
            self.reader = Some(waker.clone());
        }
    }

    /// Wakes somebody when something of what was written is acknowledged.
    pub fn wait_to_write(&mut self, waker: &Waker) {
        if self.writer.as_ref().is_none_or(|writer| !writer.will_wake(waker)) {
            self.writer = Some(waker.clone());
        }
    }

    /// Nobody has it any more: it goes on to its end by itself, with a reset if something was not read (RFC 2525 section
    /// 2.17).
    pub fn abandon(&mut self, abort: bool) {
        self.orphan = true;
        (self.reader, self.writer) = (None, None);
        if abort || self.receive.ready() > 0 {
            self.abort();
        } else {
            self.close();
        }
    }

    /// Whether nobody has it any more.
    pub fn is_abandoned(&self) -> bool {
        self.orphan
    }

    /// Pieces that were sent again.
    pub fn retransmissions(&self) -> u64 {
        self.sender.retransmissions()
    }

    /// Lets the program look at bytes that have arrived; those that it says it has read are gone. `None`: there are none.
    pub fn consume<R>(&mut self, now: Instant, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R> {
        let piece = self.receive.piece();
        if piece.is_empty() {
            return None;
        }
        let most = piece.len();
        let (taken, result) = take(piece);
        let taken = taken.min(most);
        self.receive.consume(taken);
        self.size_window(taken as u32, now);
        Some(result)
    }

    /// A connection of which half a window is read within a round trip gets a larger one.
    fn size_window(&mut self, taken: u32, now: Instant) {
        self.read.0 = self.read.0.saturating_add(taken);
        if now.since(self.read.1) < self.sender.rtt.minimum() {
            return;
        }
        let (read, limit) = (self.read.0, self.receive.limit());
        if read > limit / 2 && limit < self.receive_maximum {
            self.receive.raise_limit(read.saturating_mul(4).max(limit).min(self.receive_maximum));
        }
        self.read = (0, now);
    }

    /// Whether the buffer of the segment that came last is to be kept, by [`Connection::keep`].
    pub(super) fn keeps(&mut self) -> bool {
        core::mem::take(&mut self.keeps)
    }

    /// Takes the buffer of the segment that came last.
    pub fn keep(&mut self, buffer: LoanedBuffer) {
        self.receive.keep(buffer);
    }

    /// Whether the program may write.
    pub fn may_write(&self) -> bool {
        let state =
            matches!(self.state, State::SynSent | State::SynReceived | State::Established | State::CloseWait);
        state && !self.sender.is_finished()
    }

    /// Copies bytes to be sent; how many there was room for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if !self.may_write() {
            return 0;
        }
        let room = self.sender.room();
        self.sender.queue.write(bytes, room)
    }

    /// Has the program write where there is room. `None`: there is none.
    pub fn produce<R>(&mut self, put: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        if !self.may_write() {
            return None;
        }
        let room = self.sender.room();
        self.sender.queue.produce(room, put)
    }

    /// Sends small writes at once (off: RFC 896).
    pub fn set_no_delay(&mut self) {
        self.sender.nagle = false;
    }

    /// Sets how long it is kept when the peer is silent.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    /// Sends nothing more, behind what was written.
    pub fn close(&mut self) {
        self.sender.finish();
        match self.state {
            State::SynSent => self.end(State::Closed),
            State::Established => self.state = State::FinWait1,
            State::CloseWait => self.state = State::LastAck,
            _ => {}
        }
    }

    /// Ends it at once, with a reset.
    pub fn abort(&mut self) {
        self.reset = !matches!(self.state, State::SynSent | State::TimeWait | State::Closed);
        self.end(State::Closed);
        self.receive.discard();
    }

    /// It is over; what has arrived may still be read.
    pub(super) fn end(&mut self, state: State) {
        self.state = state;
        self.undelivered |= self.sender.queue.length() > 0;
        self.sender.discard();
        (self.syn_at, self.ack_at) = (None, None);
        self.wake();
    }

    /// Who waits for the connection has something to look at.
    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}
