//! Segments that arrive on a connection (RFC 9293 section 3.10.7, RFC 5961, RFC 7323 section 5).

use super::connection::{Connection, State};
use super::segment::{ACK, FIN, RST, SYN, Segment};
use super::sender::Acknowledgement;
use super::seq::Seq;
use crate::clock::Instant;
use core::time::Duration;

/// What should not have come is answered so often at the most (RFC 5961 section 7).
const CHALLENGES: Duration = Duration::from_millis(500);
/// A time stamp that was heard so long ago is not compared (RFC 7323 section 5.5).
const TIMESTAMP_LIFETIME: Duration = Duration::from_secs(24 * 86_400);

/// A reset in answer to a segment that belongs to nothing (RFC 9293 section 3.10.7.1). `None`: it is one itself.
pub fn reset(segment: &Segment, data: usize) -> Option<Segment> {
    if segment.has(RST) {
        return None;
    }
    let mut answer = Segment {
        source: segment.destination,
        destination: segment.source,
        flags: RST,
        ..Segment::default()
    };
    if segment.has(ACK) {
        answer.seq = segment.ack;
    } else {
        answer.flags |= ACK;
        answer.ack = segment.seq + sequence_length(segment, data);
    }
    Some(answer)
}

/// Sequence numbers that a segment takes.
fn sequence_length(segment: &Segment, data: usize) -> u32 {
    data as u32 + u32::from(segment.has(SYN)) + u32::from(segment.has(FIN))
}

impl Connection {
    /// Takes options of the peer's SYN.
    pub(super) fn negotiate(&mut self, syn: &Segment, now: Instant) {
        self.peer_first = syn.seq;
        self.receive.restart(syn.seq + 1);
        self.advertised = (syn.seq + 1, syn.seq + 1);
        self.window_scaling &= syn.window_scale.is_some();
        self.shifts =
            if self.window_scaling { (self.shifts.0, syn.window_scale.unwrap_or(0)) } else { (0, 0) };
        self.timestamps &= syn.timestamps.is_some();
        self.sender.sack = syn.sack_permitted;
        self.peer_timestamp = (syn.timestamps.map_or(0, |(own, _)| own), now);
        self.agree_on_mss(syn.mss);
    }

    /// Takes a segment in. What to answer at once: a reset, if it cannot belong to this connection. `lent`: its buffer can be
    /// kept (see [`Connection::keep`]).
    pub fn input(&mut self, segment: &Segment, data: &[u8], lent: bool, now: Instant) -> Option<Segment> {
        match self.state {
            State::Closed | State::TimeWait => None,
            State::SynSent => self.input_syn_sent(segment, data, now),
            _ => self.input_synchronised(segment, data, lent, now),
        }
    }

    /// In SYN-SENT (RFC 9293 section 3.10.7.3).
    fn input_syn_sent(&mut self, segment: &Segment, data: &[u8], now: Instant) -> Option<Segment> {
        let sent = self.first + 1;
        if segment.has(ACK) && (segment.ack != sent || self.syns == 0) {
            // The peer has a connection that is not this one: the reset ends it, and the SYN is sent again soon.
            self.syn_at = self.syn_at.map(|at| at.min(now + Duration::from_millis(1 << self.syns.min(10))));
            return reset(segment, data.len());
        }
        if segment.has(RST) {
            if segment.has(ACK) {
                self.end(State::Closed);
            }
            return None;
        }
        if !segment.has(SYN) {
            return None;
        }
        self.last_heard = now;
        self.negotiate(segment, now);
        self.ack_now = true;
        if segment.has(ACK) {
            self.establish(segment, now);
            // In a SYN the window is not shifted (RFC 7323 section 2.2).
            self.sender.set_window(segment.ack, segment.window.into());
        } else {
            // Both have asked at a time.
            self.state = State::SynReceived;
            self.syn_at = Some(now);
        }
        None
    }

    /// The peer has acknowledged the SYN.
    fn establish(&mut self, segment: &Segment, now: Instant) {
        self.state = if self.sender.is_finished() { State::FinWait1 } else { State::Established };
        self.syn_at = None;
        if self.syns == 1 {
            self.sender.rtt.measured(now.since(self.syn_sent), now);
        }
        self.window_from = (segment.seq, segment.ack);
        self.sender.set_window(segment.ack, u32::from(segment.window) << self.shifts.1);
        self.wake();
    }

    /// In every state in which the peer's sequence numbers are known (RFC 9293 section 3.10.7.4).
    fn input_synchronised(
        &mut self,
        segment: &Segment,
        data: &[u8],
        lent: bool,
        now: Instant,
    ) -> Option<Segment> {
        if self.state == State::SynReceived && segment.has(SYN) && segment.seq == self.peer_first {
            // The answer was lost; or both have asked at a time.
            self.syn_at = Some(now);
            if !segment.has(ACK) {
                return None;
            }
        }
        if !self.is_acceptable(segment, data, now) {
            return None;
        }
        if segment.has(RST) {
            if segment.seq == self.receive.next() {
                self.receive.discard();
                self.end(State::Closed);
            } else {
                self.challenge(now);
            }
            return None;
        }
        if segment.has(SYN) && !(self.state == State::SynReceived && segment.has(ACK)) {
            self.challenge(now);
            return None;
        }
        if !segment.has(ACK) {
            return None;
        }
        if self.state == State::SynReceived {
            if segment.ack.before(self.first + 1) || segment.ack.after(self.sender.next()) {
                return reset(segment, data.len());
            }
            self.establish(segment, now);
        }
        self.last_heard = now;
        self.update_peer_timestamp(segment, now);
        if !self.input_acknowledgement(segment, data, now) {
            return None;
        }
        if !data.is_empty() || segment.has(FIN) {
            self.input_data(segment, data, lent, now);
        }
        None
    }

    /// Whether a segment lies within the window, and is not an old one; answers it if not.
    fn is_acceptable(&mut self, segment: &Segment, data: &[u8], now: Instant) -> bool {
        let next = self.receive.next();
        let behind = segment.seq + sequence_length(segment, data.len());
        let old = self.timestamps
            && segment
                .timestamps
                .is_some_and(|(own, _)| (own.wrapping_sub(self.peer_timestamp.0) as i32) < 0)
            && now.since(self.peer_timestamp.1) < TIMESTAMP_LIFETIME;
        let within = !behind.before(next) && !segment.seq.after(next + self.receive.window());
        if within && (!old || segment.has(RST)) {
            return true;
        }
        if segment.has(RST) {
            return false;
        }
        if segment.has(SYN) || data.is_empty() {
            self.challenge(now);
        } else {
            // The acknowledgement was lost.
            if behind.before(next) || behind == next {
                self.duplicate = Some(super::segment::Block { start: segment.seq, end: behind.min(next) });
            }
            self.ack_now = true;
        }
        false
    }

    /// Says what is expected, but not too often.
    pub(super) fn challenge(&mut self, now: Instant) {
        if self.challenge_sent.is_none_or(|at| now.since(at) >= CHALLENGES) {
            self.challenge_sent = Some(now);
            self.ack_now = true;
        }
    }

    /// Remembers a time stamp to echo (RFC 7323 section 4.3).
    fn update_peer_timestamp(&mut self, segment: &Segment, now: Instant) {
        if let Some((own, _)) = segment.timestamps
            && self.timestamps
            && !segment.seq.after(self.advertised.0)
            && (own.wrapping_sub(self.peer_timestamp.0) as i32) >= 0
        {
            self.peer_timestamp = (own, now);
        }
    }

    /// What the segment acknowledges, and its window; whether the segment's data counts.
    fn input_acknowledgement(&mut self, segment: &Segment, data: &[u8], now: Instant) -> bool {
        let (una, next) = (self.sender.una(), self.sender.next());
        if segment.ack.after(next) || segment.ack.before(una - self.sender.window_maximum()) {
            self.challenge(now);
            return false;
        }
        let bytes = u32::from(segment.window) << if segment.has(SYN) { 0 } else { self.shifts.1 };
        let window = segment.ack + bytes;
        let (from_seq, from_ack) = self.window_from;
        let newer = segment.seq.after(from_seq) || (segment.seq == from_seq && !segment.ack.before(from_ack));
        let moved = newer && window != self.sender.edge();
        if newer {
            self.window_from = (segment.seq, segment.ack);
            self.sender.set_window(segment.ack, bytes);
        }
        if segment.ack.before(una) {
            // An old one; its data may be new.
            return true;
        }
        let bare = data.is_empty() && !segment.has(FIN) && !segment.has(SYN) && !moved;
        let echo = segment
            .timestamps
            .filter(|_| self.timestamps)
            .map(|(_, echo)| echo.wrapping_sub(self.timestamp_offset));
        let queued = self.sender.queue.length();
        let blocks = if self.sender.sack { segment.blocks() } else { &[] };
        self.sender.acknowledged(Acknowledgement { ack: segment.ack, blocks, bare, echo }, now);
        if self.sender.queue.length() < queued {
            self.waiting = None;
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
        if self.sender.is_done() {
            match self.state {
                State::FinWait1 => {
                    self.state = State::FinWait2;
                    self.wake();
                }
                State::Closing => self.end(State::TimeWait),
                State::LastAck => self.end(State::Closed),
                _ => {}
            }
        }
        true
    }

    fn input_data(&mut self, segment: &Segment, data: &[u8], lent: bool, now: Instant) {
        if !matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            // The end has come before: only a copy of what was sent then can follow.
            self.ack_now = !self.is_over();
            return;
        }
        if self.orphan && !data.is_empty() && (segment.seq + data.len() as u32).after(self.receive.next()) {
            // Nobody reads it (RFC 9293 section 3.6.1).
            return self.abort();
        }
        let start = segment.seq + u32::from(segment.has(SYN));
        let taken = self.receive.insert(start, data, lent);
        self.keeps = taken.kept;
        if segment.has(FIN) {
            self.receive.end_at(start + data.len() as u32);
        }
        self.duplicate = taken.duplicate.or(self.duplicate);
        if taken.gap || taken.dropped || taken.duplicate.is_some() {
            self.ack_now = true;
        }
        if taken.ready > 0 {
            self.ack_at.get_or_insert(now + super::output::ACK_DELAY);
        }
        if self.receive.is_finished() {
            self.ack_now = true;
            match self.state {
                State::Established => self.state = State::CloseWait,
                State::FinWait1 => self.state = State::Closing,
                State::FinWait2 => self.end(State::TimeWait),
                _ => {}
            }
        }
        if (taken.ready > 0 || self.receive.is_finished())
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }

    /// Where a connection that is over stands: the next numbers to be sent and to be received.
    pub(super) fn numbers(&self) -> (Seq, Seq) {
        (self.sender.next(), self.receive.next())
    }
}
