//! What a connection sends, and what it does as time passes.

use super::connection::{Connection, Ends, State};
use super::segment::{self, ACK, FIN, PSH, RST, SYN, Segment};
use super::seq::Seq;
use crate::clock::Instant;
use core::time::Duration;

/// An acknowledgement is held back for so long at the most (RFC 9293 section 3.8.6.3 allows 500 ms; Linux takes 40).
pub const ACK_DELAY: Duration = Duration::from_millis(40);
/// Before the SYN is sent again, the first time.
const SYN_INTERVAL: Duration = Duration::from_secs(1);
/// A connection that does not come about is given up after so long, if it was asked for here, and if a peer has asked.
const OPENING_LIMIT: (Duration, Duration) = (Duration::from_secs(63), Duration::from_secs(10));
/// A connection that nobody has any more is given up if the peer does nothing for so long.
const ORPHAN_LIMIT: Duration = Duration::from_secs(30);
/// One that somebody has, unless he says otherwise: as long as Linux tries.
const LIMIT: Duration = Duration::from_secs(900);

/// Why a segment was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The device has no room, or there is no memory.
    Room,
    /// The next hop's address is not known yet.
    Neighbour,
}

impl Blocked {
    /// When to try again, if nobody says that it would do before.
    pub fn retry(self) -> Duration {
        match self {
            Self::Room => Duration::from_millis(10),
            Self::Neighbour => Duration::from_secs(1),
        }
    }
}

/// What carries segments.
pub trait Link {
    /// Whether the buffer that the packet at hand is in can be kept.
    fn lends(&self) -> bool {
        false
    }

    /// Most bytes of data and TCP header that one packet to these ends may have.
    fn largest(&self, ends: &Ends) -> u32;

    /// Sends a segment, cut into pieces of `mss` bytes on the way if its data is longer.
    fn send(&mut self, ends: &Ends, segment: &Segment, data: (&[u8], &[u8]), mss: u16)
    -> Result<(), Blocked>;
}

impl Connection {
    /// The window to be told, shifted, and its right edge. It never shrinks, and grows in steps worth a segment.
    fn window(&self, shift: u8) -> (u16, Seq) {
        let (next, told) = (self.receive.next(), self.advertised.1);
        let free = next + self.receive.window();
        let step = self.sender.mss().min(self.receive.limit() / 2);
        let edge = if free.since(told) >= step { free } else { told.max(next) };
        let field = (edge.since(next) >> shift).min(0xffff);
        (field as u16, next + (field << shift))
    }

    /// A segment without data, at the next number, and the right edge of its window.
    fn segment(&self, now: Instant) -> (Segment, Seq) {
        let (window, edge) = self.window(self.shifts.0);
        let mut segment = Segment {
            source: self.ends.local.port,
            destination: self.ends.remote.port,
            seq: self.sender.next(),
            ack: self.receive.next(),
            flags: ACK,
            window,
            timestamps: self.timestamps.then(|| (self.stamp(now), self.peer_timestamp.0)),
            ..Segment::default()
        };
        if self.sender.sack {
            self.duplicate.into_iter().for_each(|block| segment.add_block(block));
            self.receive.blocks().for_each(|block| segment.add_block(block));
        }
        (segment, edge)
    }

    fn stamp(&self, now: Instant) -> u32 {
        super::sender::stamp(now).wrapping_add(self.timestamp_offset)
    }

    fn syn(&self, now: Instant) -> Segment {
        let answers = self.state == State::SynReceived;
        Segment {
            source: self.ends.local.port,
            destination: self.ends.remote.port,
            seq: self.first,
            ack: if answers { self.receive.next() } else { Default::default() },
            flags: if answers { SYN | ACK } else { SYN },
            // Not shifted in a SYN.
            window: self.receive.window().min(0xffff) as u16,
            mss: Some(self.own_mss()),
            window_scale: self.window_scaling.then_some(self.shifts.0),
            sack_permitted: !answers || self.sender.sack,
            timestamps: self.timestamps.then(|| (self.stamp(now), self.peer_timestamp.0)),
            ..Segment::default()
        }
    }

    /// Sends what is due. `acknowledge`: also acknowledgements that could go with data.
    ///
    /// # Errors
    ///
    /// The link has no room now: call again when it has.
    pub fn transmit(&mut self, acknowledge: bool, now: Instant, link: &mut impl Link) -> Result<(), Blocked> {
        if core::mem::take(&mut self.reset) {
            let (mut reset, _) = self.segment(now);
            reset.flags = RST | ACK;
            reset.block_count = 0;
            return link.send(&self.ends, &reset, (&[], &[]), 0);
        }
        match self.state {
            State::Closed => return Ok(()),
            State::SynSent | State::SynReceived => return self.transmit_syn(now, link),
            _ => {}
        }
        let result = self.transmit_data(now, link);
        self.sender.set_timers(now);
        if !self.sender.is_waiting() {
            self.waiting = None;
        } else if self.waiting.is_none() {
            self.waiting = Some(now);
        }
        result?;
        if core::mem::take(&mut self.probe_due) {
            // One byte too early: it has to be answered.
            let (mut question, edge) = self.segment(now);
            question.seq = self.sender.una() - 1;
            link.send(&self.ends, &question, (&[], &[]), 0)?;
            self.record_advertised(&question, edge);
        }
        if acknowledge && self.is_acknowledgement_due(now) {
            let (segment, edge) = self.segment(now);
            link.send(&self.ends, &segment, (&[], &[]), 0)?;
            self.record_advertised(&segment, edge);
        }
        Ok(())
    }

    fn transmit_syn(&mut self, now: Instant, link: &mut impl Link) -> Result<(), Blocked> {
        if self.ack_now && self.state == State::SynReceived && self.syns > 0 {
            // An answer to what should not have come.
            self.ack_now = false;
            let (segment, _) = self.segment(now);
            return link.send(&self.ends, &segment, (&[], &[]), 0);
        }
        if self.syn_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let syn = self.syn(now);
        link.send(&self.ends, &syn, (&[], &[]), 0)?;
        self.advertised.1 = self.receive.next() + u32::from(syn.window);
        self.syns += 1;
        self.syn_sent = now;
        self.syn_at = Some(now + SYN_INTERVAL * (1 << (self.syns - 1).min(6)));
        self.ack_now = false;
        Ok(())
    }

    fn transmit_data(&mut self, now: Instant, link: &mut impl Link) -> Result<(), Blocked> {
        if self.is_over() {
            return Ok(());
        }
        let mss = self.sender.mss();
        let largest = link.largest(&self.ends).saturating_sub(segment::HEADER_MAXIMUM as u32);
        while let Some(piece) = self.sender.piece(largest, now) {
            let (mut segment, edge) = self.segment(now);
            segment.seq = piece.start;
            if piece.fin {
                segment.flags |= FIN;
            }
            if piece.last {
                segment.flags |= PSH;
            }
            // There is room for no more than the time stamps.
            if segment.block_count > 0 && piece.length > mss - mss.min(28) {
                segment.block_count = 0;
            }
            let data = self.sender.queue.slices(piece.start, piece.length);
            link.send(&self.ends, &segment, data, mss as u16)?;
            self.sender.sent(piece, now);
            self.record_advertised(&segment, edge);
        }
        Ok(())
    }

    /// A segment has been sent, and what it acknowledges, up to the edge of its window.
    fn record_advertised(&mut self, segment: &Segment, edge: Seq) {
        self.advertised = (segment.ack, edge);
        if segment.block_count == 0 && (self.duplicate.is_some() || !self.receive.is_in_order()) {
            return;
        }
        if self.ack_now || self.ack_at.is_some() {
            self.quick_acks = self.quick_acks.saturating_sub(1);
        }
        (self.ack_now, self.ack_at, self.duplicate) = (false, None, None);
    }

    fn is_acknowledgement_due(&self, now: Instant) -> bool {
        if self.ack_now || self.ack_at.is_some_and(|at| at <= now) {
            return true;
        }
        let (next, mss) = (self.receive.next(), self.sender.mss());
        let (pending, limit) = (next.since(self.advertised.0), self.receive.limit());
        if pending >= 2 * mss || pending >= limit / 4 || (pending > 0 && self.quick_acks > 0) {
            return true;
        }
        // The window is open again. The first is enough for what comes first.
        let left = self.advertised.1.since(next);
        let grown = (next + self.receive.window()).since(self.advertised.1);
        left < limit / 2
            && grown >= (2 * mss).min(limit / 2)
            && next != self.peer_first + 1
            && !self.receive.is_finished()
    }

    /// Whether data could be sent at once.
    pub fn has_data(&self) -> bool {
        self.is_open() && self.sender.is_waiting()
    }

    /// When the peer is to be asked whether it is there.
    fn keep_alive_at(&self) -> Option<Instant> {
        let interval = self.timeouts.keep_alive.filter(|_| self.is_open() && !self.sender.is_waiting())?;
        Some(self.last_heard.max(self.probe_sent) + interval)
    }

    /// When it is given up if the peer does nothing.
    fn given_up_at(&self) -> Option<Instant> {
        match self.state {
            State::TimeWait | State::Closed => return None,
            State::SynSent => return Some(self.last_heard + OPENING_LIMIT.0),
            State::SynReceived => return Some(self.last_heard + OPENING_LIMIT.1),
            _ => {}
        }
        let since = self.waiting.map_or(self.last_heard, |waiting| waiting.max(self.last_heard));
        if self.orphan {
            return Some(since + ORPHAN_LIMIT);
        }
        let waits = self.sender.is_waiting() || self.timeouts.keep_alive.is_some();
        waits.then(|| since + self.timeouts.limit.unwrap_or(LIMIT))
    }

    /// When [`Connection::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let sender = if self.is_open() { self.sender.deadline() } else { None };
        [sender, self.ack_at, self.syn_at, self.keep_alive_at(), self.given_up_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due; [`Connection::transmit`] belongs after it.
    pub fn expire(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        if self.given_up_at().is_some_and(|at| at <= now) {
            return self.abort();
        }
        if !self.is_open() {
            return;
        }
        if self.keep_alive_at().is_some_and(|at| at <= now) {
            (self.probe_sent, self.probe_due) = (now, true);
        }
        // Each timer that is due once: a few.
        for _ in 0..4 {
            if self.sender.deadline().is_none_or(|at| at > now) {
                break;
            }
            self.probe_due |= self.sender.expire(now);
        }
    }
}
