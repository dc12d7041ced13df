//! RACK (RFC 8985 section 6): what was sent before something that has arrived is lost once it is late.

use super::rtt::RoundTrip;
use super::scoreboard::{Scoreboard, Sent};
use super::seq::Seq;
use crate::clock::Instant;
use core::time::Duration;

/// Segments beyond a gap that show a loss by themselves where nothing was ever reordered.
const DUPLICATES: u32 = 3;
/// Recoveries for which a wider window for reordering is kept.
const PERSISTENCE: u32 = 16;
/// The widest, in quarters of the smallest round-trip time.
const WIDEST: u32 = 64;

/// When something was sent, and its end: of two sent at a time, the later in the stream was sent later.
type SendTime = (Instant, Seq);

fn sent_after(one: SendTime, other: SendTime) -> bool {
    one.0 > other.0 || (one.0 == other.0 && one.1.after(other.1))
}

/// What is known of the order in which things arrive.
#[derive(Clone, Copy, Debug)]
pub struct Rack {
    /// Of what has arrived, what was sent last.
    newest: Option<SendTime>,
    /// How long that took.
    rtt: Duration,
    /// The highest number that has arrived.
    forward: Seq,
    /// Something arrived after what was sent later.
    reordered: bool,
    /// Width of the window for reordering, in quarters of the smallest round-trip time.
    width: u32,
    /// Recoveries until it is one again.
    persist: u32,
    /// The peer has said that it has something twice: not to be counted again before this number is acknowledged.
    duplicates_until: Option<Seq>,
}

impl Rack {
    /// Nothing is known yet.
    pub fn new(first: Seq) -> Self {
        Self {
            newest: None,
            rtt: Duration::ZERO,
            forward: first,
            reordered: false,
            width: 1,
            persist: 0,
            duplicates_until: None,
        }
    }

    /// Something has arrived. `before`: by the peer's time stamp an earlier sending of it.
    pub fn arrived(&mut self, sent: &Sent, rtt: &RoundTrip, before: bool, now: Instant) {
        if sent.end.after(self.forward) {
            self.forward = sent.end;
        } else if sent.end.before(self.forward) && !sent.retransmitted {
            self.reordered = true;
        }
        let took = now.since(sent.at);
        // More likely the sending before has arrived.
        if sent.retransmitted && (before || took < rtt.minimum()) {
            return;
        }
        let sending = (sent.at, sent.end);
        if self.newest.is_none_or(|newest| sent_after(sending, newest)) {
            (self.newest, self.rtt) = (Some(sending), took);
        }
    }

    /// The peer has something twice that was sent again: waiting longer would have been better.
    pub fn duplicate(&mut self, una: Seq, next: Seq) {
        if self.duplicates_until.is_none_or(|until| !una.before(until)) {
            self.duplicates_until = Some(next);
            self.width = (self.width + 1).min(WIDEST);
            self.persist = PERSISTENCE;
        }
    }

    /// A recovery has ended.
    pub fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.width = 1;
        }
    }

    /// How late something may be.
    fn window(&self, board: &Scoreboard, rtt: &RoundTrip, mss: u32, recovering: bool) -> Duration {
        if !self.reordered && (recovering || board.sacked() >= DUPLICATES * mss) {
            return Duration::ZERO;
        }
        (rtt.minimum() / 4).saturating_mul(self.width).min(rtt.smoothed().unwrap_or_default())
    }

    /// Marks what is lost; when to look again for what may be.
    pub fn detect(
        &self,
        board: &mut Scoreboard,
        rtt: &RoundTrip,
        mss: u32,
        recovering: bool,
        now: Instant,
    ) -> Option<Instant> {
        let newest = self.newest?;
        let wait = self.rtt + self.window(board, rtt, mss, recovering);
        let mut again: Option<Instant> = None;
        board.lose(|sent| {
            if !sent_after(newest, (sent.at, sent.end)) {
                return false;
            }
            let due = sent.at + wait;
            if due <= now {
                return true;
            }
            again = Some(again.map_or(due, |known| known.max(due)));
            false
        });
        again
    }

    /// Whether something was sent so long ago that it would have arrived.
    pub fn is_late(&self, sent: &Sent, rtt: &RoundTrip, now: Instant) -> bool {
        let took = self.rtt.max(rtt.smoothed().unwrap_or_default());
        sent.at + took + rtt.minimum() / 4 <= now
    }
}
