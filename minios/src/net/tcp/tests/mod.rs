//! Two endpoints, or one and smoltcp's TCP, over a link that loses, repeats, delays, reorders and corrupts; and peers that
//! send whatever they like.

mod hostile;
mod link;
mod ours;
mod rules;
mod theirs;
mod transfers;

use crate::clock::Instant;
use core::time::Duration;

/// The program at an end: what it sends and has received. Bytes follow from their place.
pub struct Program {
    /// Bytes still to be sent.
    pub to_send: usize,
    /// Bytes that are to come.
    pub expected: usize,
    sent: usize,
    received: usize,
    /// The peer has sent its end.
    pub ended: bool,
    /// It looks at what comes.
    pub pattern: bool,
    /// It reads so much at a time…
    pub bite: usize,
    /// …and pauses so long after each 64 KiB.
    pub pause: Duration,
    /// When it reads again.
    pub paused_until: Instant,
}

fn pattern(place: usize) -> u8 {
    ((place as u32).wrapping_mul(2_654_435_761) >> 24) as u8
}

impl Program {
    pub fn new(to_send: usize, expected: usize) -> Self {
        Self {
            to_send,
            expected,
            sent: 0,
            received: 0,
            ended: false,
            pattern: true,
            bite: 1 << 20,
            pause: Duration::ZERO,
            paused_until: Instant(0),
        }
    }

    /// Writes into room; how much.
    fn fill(&mut self, room: &mut [u8]) -> usize {
        let n = room.len().min(self.to_send);
        for (i, byte) in room[..n].iter_mut().enumerate() {
            *byte = pattern(self.sent + i);
        }
        self.sent += n;
        self.to_send -= n;
        n
    }

    /// Looks at what has come; how much of it was read.
    fn read(&mut self, bytes: &[u8], now: Instant) -> usize {
        if now < self.paused_until {
            return 0;
        }
        let n = bytes.len().min(self.bite);
        for (i, &byte) in bytes[..n].iter().enumerate() {
            assert!(
                !self.pattern || byte == pattern(self.received + i),
                "byte {} is wrong",
                self.received + i
            );
        }
        if self.pause > Duration::ZERO && (self.received + n) >> 16 != self.received >> 16 {
            self.paused_until = now + self.pause;
        }
        self.received += n;
        assert!(self.received <= self.expected, "more has come than was sent");
        n
    }

    /// Whether everything was sent and has come.
    pub fn is_done(&self) -> bool {
        self.to_send == 0 && self.received == self.expected && self.ended
    }
}
