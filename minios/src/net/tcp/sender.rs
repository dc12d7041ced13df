//! The sending half of a connection: what is sent next, what is lost, and when to stop waiting.
//!
//! Losses are found by RACK, and at the tail by a probe (RFC 8985). During a recovery as much is sent as arrives (PRR,
//! RFC 6937), otherwise as much as [`Cubic`] allows. A peer without selective acknowledgements is recovered with by
//! NewReno (RFC 6582).

use super::cubic::Cubic;
use super::rack::Rack;
use super::rtt::RoundTrip;
use super::scoreboard::{AckSummary, Scoreboard, Sent};
use super::segment::Block;
use super::send::SendQueue;
use super::seq::Seq;
use crate::clock::Instant;
use core::time::Duration;

/// How much later than two round trips a tail is probed: as long as a peer's clock may take.
const PROBE_SLACK: Duration = Duration::from_millis(4);
/// The same when a single segment is on its way, whose acknowledgement the peer may hold back: Linux for 40 ms.
const PROBE_SLACK_SINGLE: Duration = Duration::from_millis(60);
/// Duplicate acknowledgements that show a loss to a peer without selective ones.
const DUPLICATES: u32 = 3;

/// What the sender is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is lost.
    Open,
    /// Something was lost, and is sent again, until this is acknowledged.
    Recovery(Seq),
    /// Nothing came for so long that everything counted as lost, until this is acknowledged.
    Timeout(Seq),
}

/// What a timer of the sender stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// Look again for what is late.
    Reordering,
    /// Probe the tail.
    Probe,
    /// The retransmission time-out.
    Timeout,
    /// Ask a peer whose window is closed.
    Window,
}

/// A piece to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first byte.
    pub start: Seq,
    /// Bytes of data.
    pub length: u32,
    /// It ends with the FIN.
    pub fin: bool,
    /// It was sent before.
    pub retransmission: bool,
    /// Nothing is waiting behind it.
    pub last: bool,
}

impl Piece {
    fn end(&self) -> Seq {
        self.start + self.length + u32::from(self.fin)
    }
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement<'a> {
    /// The next byte that the peer waits for: between the first that it has not acknowledged, and the next to be sent.
    pub ack: Seq,
    /// What it has beyond.
    pub blocks: &'a [Block],
    /// The segment has nothing else: no data, no new window.
    pub bare: bool,
    /// When, by the peer's echo of a time stamp, that was sent which it has heard: milliseconds, as in [`stamp`].
    pub echo: Option<u32>,
}

/// A time stamp without a connection's offset: milliseconds, modulo 2^32.
pub fn stamp(at: Instant) -> u32 {
    (at.0 / 1_000_000) as u32
}

/// The sending half.
pub struct Sender {
    /// What the program wants to send.
    pub queue: SendQueue,
    /// Round-trip times.
    pub rtt: RoundTrip,
    /// Whether the peer acknowledges selectively.
    pub sack: bool,
    /// Whether small segments wait for what was sent before (RFC 896).
    pub nagle: bool,
    board: Scoreboard,
    rack: Rack,
    cubic: Cubic,
    /// Bytes of a full segment.
    mss: u32,
    /// The first byte that is not acknowledged.
    una: Seq,
    /// The next to be sent.
    next: Seq,
    /// The byte behind the peer's window.
    edge: Seq,
    /// The largest window that the peer has offered, bytes.
    window_maximum: u32,
    /// The program sends nothing more.
    finished: bool,
    phase: Phase,
    /// Bytes that have arrived and that were sent during a recovery, and bytes on their way at its beginning.
    prr: (u32, u32, u32),
    /// Duplicate acknowledgements in a row.
    duplicates: u32,
    /// End of the probe of the tail, and whether it was sent before.
    probe: Option<(Seq, bool)>,
    /// A probe of the tail is due.
    probe_due: bool,
    /// The window, not the program, was what held the sender back.
    limited: bool,
    /// End of the last segment that was not full.
    small: Seq,
    reordering_at: Option<Instant>,
    probe_at: Option<Instant>,
    timeout_at: Option<Instant>,
    window_at: Option<Instant>,
    /// Times in a row that the peer was asked for its window.
    window_probes: u32,
    /// When something was sent last.
    sent_at: Instant,
    /// Pieces that were sent again.
    retransmissions: u64,
}

impl Sender {
    /// A sender whose first byte is `first`, with room for `limit` bytes.
    pub fn new(first: Seq, limit: u32) -> Self {
        Self {
            queue: SendQueue::new(first, limit),
            rtt: RoundTrip::default(),
            sack: false,
            nagle: true,
            board: Scoreboard::default(),
            rack: Rack::new(first),
            cubic: Cubic::new(536),
            mss: 536,
            una: first,
            next: first,
            edge: first,
            window_maximum: 0,
            finished: false,
            phase: Phase::Open,
            prr: (0, 0, 0),
            duplicates: 0,
            probe: None,
            probe_due: false,
            limited: false,
            small: first,
            reordering_at: None,
            probe_at: None,
            timeout_at: None,
            window_at: None,
            window_probes: 0,
            sent_at: Instant(0),
            retransmissions: 0,
        }
    }

    /// Sets how many bytes of data a full segment has: before anything is sent.
    pub fn set_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cubic = Cubic::new(mss);
    }

    /// Bytes of data of a full segment.
    pub fn mss(&self) -> u32 {
        self.mss
    }

    /// The first byte that is not acknowledged.
    pub fn una(&self) -> Seq {
        self.una
    }

    /// The next to be sent.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// The byte behind the peer's window.
    pub fn edge(&self) -> Seq {
        self.edge
    }

    /// The largest window that the peer has offered, bytes.
    pub fn window_maximum(&self) -> u32 {
        self.window_maximum
    }

    /// Times that pieces were sent again.
    pub fn retransmissions(&self) -> u64 {
        self.retransmissions
    }

    /// Whether something is to be sent or acknowledged.
    pub fn is_waiting(&self) -> bool {
        !self.board.is_empty() || self.has_more()
    }

    /// Whether the peer has everything, the FIN too.
    pub fn is_done(&self) -> bool {
        self.finished && !self.is_waiting() && self.next == self.queue.end() + 1
    }

    fn has_more(&self) -> bool {
        self.next.before(self.queue.end() + u32::from(self.finished))
    }

    /// Bytes that the program may have in the queue now: twice what may be on its way.
    pub fn room(&self) -> u32 {
        (256 << 10).max(2 * self.cubic.window().min(1 << 29))
    }

    /// The program sends nothing more.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether the program sends nothing more.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The peer takes so many bytes from `ack` on.
    pub fn set_window(&mut self, ack: Seq, bytes: u32) {
        self.window_maximum = self.window_maximum.max(bytes);
        self.edge = ack + bytes;
        if self.edge.after(self.next) {
            self.window_probes = 0;
        }
    }

    /// Takes an acknowledgement in; whether it is of something new.
    pub fn acknowledged(&mut self, news_of: Acknowledgement<'_>, now: Instant) -> bool {
        let Acknowledgement { ack, blocks, bare, echo } = news_of;
        let (before, flight) = (self.una, self.board.flight());
        let mut summary = AckSummary::default();
        let (rack, rtt) = (&mut self.rack, &self.rtt);
        let mut arrived = |sent: &Sent| {
            let before = echo.is_some_and(|echo| (echo.wrapping_sub(stamp(sent.at)) as i32) < 0);
            rack.arrived(sent, rtt, before, now);
        };
        self.board.acknowledge(ack, now, &mut summary, &mut arrived);
        self.una = ack;
        self.queue.acknowledge(ack);
        let mut twice = false;
        for (n, &block) in blocks.iter().enumerate() {
            let inner = blocks
                .get(1)
                .is_some_and(|outer| !block.start.before(outer.start) && !block.end.after(outer.end));
            if n == 0 && (block.start.before(ack) || inner) {
                // What has come twice (RFC 2883).
                twice = !block.end.after(self.next);
            } else if block.start.before(block.end) && !block.start.before(ack) && !block.end.after(self.next)
            {
                self.board.sack(block, now, &mut summary, &mut arrived);
            }
        }
        if let Some(time) = summary.rtt() {
            self.rtt.measured(time, now);
        }
        let advanced = ack.after(before);
        if advanced {
            self.rtt.progress();
            self.duplicates = 0;
            self.timeout_at = (!self.board.is_empty()).then(|| now + self.rtt.timeout());
        } else if bare && !self.board.is_empty() {
            self.duplicates = self.duplicates.saturating_add(1);
        }
        if twice {
            self.rack.duplicate(ack, self.next);
        }
        self.judge_probe(ack, twice || (bare && !advanced && blocks.is_empty()));
        let lost = self.board.lost();
        if self.sack {
            self.detect(now);
        } else {
            self.detect_by_duplicates(advanced);
        }
        self.proceed(ack, summary.delivered, flight, self.board.lost() > lost, now);
        if advanced || summary.delivered > 0 {
            (self.probe_at, self.probe_due) = (None, false);
        }
        advanced
    }

    /// What becomes of a probe of the tail (RFC 8985 section 7.4.2). `twice`: it came beside what it was sent again for.
    fn judge_probe(&mut self, ack: Seq, twice: bool) {
        let Some((end, again)) = self.probe.filter(|(end, _)| !ack.before(*end)) else { return };
        if !again || twice {
            self.probe = None;
        } else if ack.after(end) {
            // The probe has repaired a loss that nobody else saw.
            self.probe = None;
            if self.phase == Phase::Open {
                self.cubic.lost();
                self.cubic.set_window(self.cubic.threshold());
            }
        }
    }

    fn detect(&mut self, now: Instant) {
        let recovering = self.phase != Phase::Open;
        self.reordering_at = self.rack.detect(&mut self.board, &self.rtt, self.mss, recovering, now);
    }

    fn detect_by_duplicates(&mut self, advanced: bool) {
        let partly = advanced && matches!(self.phase, Phase::Recovery(point) if self.una.before(point));
        if partly || self.duplicates == DUPLICATES {
            self.board.lose_first(self.mss);
        }
    }

    /// Goes from phase to phase, and sets the window.
    fn proceed(&mut self, ack: Seq, delivered: u32, flight: u32, lost: bool, now: Instant) {
        match self.phase {
            Phase::Recovery(point) | Phase::Timeout(point) if !ack.before(point) => {
                if matches!(self.phase, Phase::Recovery(_)) {
                    self.cubic.set_window(self.cubic.threshold());
                }
                self.phase = Phase::Open;
                self.rack.recovered();
            }
            _ => {}
        }
        match self.phase {
            Phase::Open if self.board.lost() > 0 => {
                self.cubic.lost();
                self.phase = Phase::Recovery(self.next);
                self.prr = (delivered, 0, flight.max(1));
                self.probe = None;
                self.reduce(delivered, true);
            }
            Phase::Recovery(_) => {
                self.prr.0 = self.prr.0.saturating_add(delivered);
                self.reduce(delivered, lost);
            }
            _ => {
                let limited = self.limited
                    || (self.cubic.is_slow_start() && self.cubic.window() < 2 * flight.min(1 << 30));
                if delivered > 0 && limited {
                    self.cubic.acknowledged(delivered, self.rtt.smoothed().unwrap_or_default(), now);
                }
            }
        }
    }

    /// Proportional rate reduction (RFC 6937 section 3).
    fn reduce(&mut self, delivered: u32, lost: bool) {
        let (arrived, sent, before) = self.prr;
        let (flight, target) = (self.flight(), self.cubic.threshold());
        let more = if flight > target {
            let due = (u64::from(arrived) * u64::from(target)).div_ceil(before.into());
            (due.min(u32::MAX.into()) as u32).saturating_sub(sent)
        } else {
            let mut limit = arrived.saturating_sub(sent).max(delivered);
            // Nothing else was lost: a little faster.
            if !lost {
                limit += self.mss;
            }
            limit.min(target - flight)
        };
        // Something at least is sent at once.
        let more = if sent == 0 { more.max(self.mss) } else { more };
        self.cubic.set_window(flight.saturating_add(more));
    }

    /// Bytes on their way. Each duplicate acknowledgement of a peer without selective ones says that one has arrived.
    fn flight(&self) -> u32 {
        let arrived = if self.sack { 0 } else { self.duplicates.saturating_mul(self.mss) };
        self.board.flight().saturating_sub(arrived)
    }

    /// The piece to be sent next, of at most `largest` bytes: at least a full segment.
    pub fn piece(&mut self, largest: u32, now: Instant) -> Option<Piece> {
        if self.probe_due {
            if let Some(piece) = self.probe_piece() {
                return Some(piece);
            }
            self.probe_due = false;
        }
        if self.board.is_empty() && self.has_more() && self.sent_at != Instant(0) {
            let timeouts = now.since(self.sent_at).as_nanos() / self.rtt.timeout().as_nanos().max(1);
            if timeouts > 0 {
                self.cubic.idle(timeouts.min(31) as u32);
                self.sent_at = now;
            }
        }
        let flight = self.flight();
        let allowed = self.cubic.window().saturating_sub(flight);
        let whole = |bytes: u32| bytes - bytes % self.mss;
        let largest = whole(largest).max(self.mss);
        if let Some((lost, first)) = self.board.first_lost() {
            let bytes = lost.end.since(lost.start).min(largest);
            let fits = if bytes <= allowed { bytes } else { whole(allowed) };
            let fits = if fits == 0 && flight == 0 { bytes.min(self.mss) } else { fits };
            let within = first || !(lost.start + fits).after(self.edge);
            self.limited = true;
            return (fits > 0 && within).then(|| self.piece_of(lost.start, fits, true));
        }
        let (queued, window) = (self.queue.end().since(self.next), self.edge.since(self.next));
        if !self.has_more() || !self.board.has_room() {
            self.limited = false;
            return None;
        }
        let mut length = queued.min(window).min(allowed).min(largest);
        if length < queued && length < largest {
            // Cut by a window: only full segments, unless nothing is to be expected.
            self.limited = allowed < window.min(queued);
            length = match whole(length) {
                0 if flight == 0 && length > 0 => length,
                0 if length > 0 && length >= self.window_maximum / 2 => length,
                whole => whole,
            };
        } else if length % self.mss != 0 && self.nagle && !self.finished && self.una.before(self.small) {
            length = whole(length);
        }
        let fin = self.finished && length == queued;
        (length > 0 || fin).then(|| self.piece_of(self.next, length, false))
    }

    /// A piece as it is sent, `bytes` of numbers long if it was sent before.
    fn piece_of(&self, start: Seq, bytes: u32, again: bool) -> Piece {
        let length = bytes.min(self.queue.end().since(start));
        let reaches = start + length == self.queue.end();
        let fin = self.finished && reaches && (!again || bytes > length);
        Piece { start, length, fin, retransmission: again, last: reaches }
    }

    /// A new segment if there is one that the peer takes, or the last again (RFC 8985 section 7.3).
    fn probe_piece(&mut self) -> Option<Piece> {
        let length = self.queue.end().since(self.next).min(self.mss);
        let takes = !(self.next + length).after(self.edge) && self.board.has_room();
        if self.has_more() && takes && (length > 0 || self.finished) {
            return Some(self.piece_of(self.next, length, false));
        }
        let last = self.board.last()?;
        let bytes = last.end.since(last.start).min(self.mss);
        Some(self.piece_of(last.end - bytes, bytes, true))
    }

    /// A piece was sent.
    pub fn sent(&mut self, piece: Piece, now: Instant) {
        self.sent_at = now;
        let bytes = piece.end().since(piece.start);
        if piece.retransmission {
            self.retransmissions += 1;
            self.board.sent_again(piece.start, piece.end(), now);
        } else {
            self.board.push(piece.start, piece.end(), now);
            self.next = piece.end();
            if !piece.length.is_multiple_of(self.mss) {
                self.small = piece.end();
            }
        }
        if matches!(self.phase, Phase::Recovery(_)) {
            self.prr.1 = self.prr.1.saturating_add(bytes);
        }
        self.timeout_at.get_or_insert(now + self.rtt.timeout());
        if core::mem::take(&mut self.probe_due) {
            self.probe = Some((self.next.max(piece.end()), piece.retransmission));
            self.timeout_at = Some(now + self.rtt.timeout());
        }
        self.probe_at = None;
        self.window_at = None;
    }

    /// Sets the timers, after something has come or was sent.
    pub fn set_timers(&mut self, now: Instant) {
        if self.board.is_empty() {
            (self.reordering_at, self.probe_at, self.timeout_at) = (None, None, None);
            if !self.has_more() {
                self.window_at = None;
            } else if self.window_at.is_none() {
                let wait = self.rtt.timeout().saturating_mul(1 << self.window_probes.min(8));
                self.window_at = Some(now + wait.min(Duration::from_secs(60)));
            }
            return;
        }
        self.window_at = None;
        // RFC 8985 probes where nothing is known to be lost. What was sent again can be lost as well, and then nothing else
        // may be on its way that would show it before the time-out.
        let probes = self.sack && self.probe.is_none() && self.board.flight() > 0 && self.rtt.backoff() == 0;
        if !probes {
            self.probe_at = None;
        } else if self.probe_at.is_none()
            && let Some(smoothed) = self.rtt.smoothed()
        {
            let single = self.board.flight() <= self.mss;
            let slack = if single { PROBE_SLACK_SINGLE } else { PROBE_SLACK };
            self.probe_at = Some(now + 2 * smoothed + slack);
        }
    }

    fn timer(&self) -> Option<(Instant, Timer)> {
        let timers = [
            (self.reordering_at, Timer::Reordering),
            (self.probe_at, Timer::Probe),
            (self.timeout_at, Timer::Timeout),
            (self.window_at, Timer::Window),
        ];
        timers.into_iter().filter_map(|(at, timer)| Some((at?, timer))).min_by_key(|(at, _)| *at)
    }

    /// When [`Sender::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.timer().map(|(at, _)| at)
    }

    /// Does what is due; whether the peer is to be asked for its window.
    pub fn expire(&mut self, now: Instant) -> bool {
        let Some((_, timer)) = self.timer().filter(|(at, _)| *at <= now) else { return false };
        match timer {
            Timer::Reordering => {
                self.reordering_at = None;
                let lost = self.board.lost();
                self.detect(now);
                self.proceed(self.una, 0, self.board.flight(), self.board.lost() > lost, now);
            }
            Timer::Probe => (self.probe_at, self.probe_due) = (None, true),
            Timer::Timeout => self.time_out(now),
            Timer::Window => {
                self.window_at = None;
                self.window_probes = self.window_probes.saturating_add(1);
                return true;
            }
        }
        false
    }

    /// Nothing has come for too long (RFC 6298 section 5, RFC 8985 section 6.3).
    fn time_out(&mut self, now: Instant) {
        self.rtt.back_off();
        if self.board.records().next().is_some_and(|first| first.sacked) {
            self.board.forget_sacks();
        }
        let una = self.una;
        let (rack, rtt) = (&self.rack, &self.rtt);
        self.board.lose(|sent| sent.start == una || rack.is_late(sent, rtt, now));
        if self.phase == Phase::Open {
            self.cubic.lost();
        }
        self.phase = Phase::Timeout(self.next);
        self.cubic.set_window(self.mss);
        (self.probe, self.probe_at, self.probe_due) = (None, None, false);
        (self.reordering_at, self.duplicates) = (None, 0);
        self.timeout_at = Some(now + self.rtt.timeout());
    }

    /// Drops everything: the connection is over.
    pub fn discard(&mut self) {
        self.queue.discard();
        self.board = Scoreboard::default();
        self.next = self.queue.end() + u32::from(self.finished);
        (self.reordering_at, self.probe_at, self.timeout_at, self.window_at) = (None, None, None, None);
    }
}
