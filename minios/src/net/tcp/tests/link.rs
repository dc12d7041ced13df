//! A link with faults.

use crate::clock::Instant;
use core::time::Duration;
use std::collections::BinaryHeap;

/// A generator of numbers.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Whether one of so many in ten thousand.
    pub fn hits(&mut self, share: u32) -> bool {
        self.next() >> 33 < (u64::from(share) << 31) / 10_000
    }
}

/// Faults, in ten thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lost: u32,
    pub twice: u32,
    pub late: u32,
    pub corrupt: u32,
    /// Every one of so many is lost, if not zero.
    pub every: u32,
}

#[derive(PartialEq, Eq)]
struct Flying {
    at: Instant,
    order: u64,
    to: usize,
    frame: Vec<u8>,
}

impl Ord for Flying {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Frames on their way between ends 0 and 1.
pub struct LossyLink {
    flying: BinaryHeap<Flying>,
    pub dice: Dice,
    pub faults: Faults,
    pub delay: Duration,
    /// Nanoseconds that a byte takes.
    pub byte: u64,
    free_at: [Instant; 2],
    /// Bytes that may wait in front of the link.
    pub queue: u64,
    order: u64,
    /// When a frame was sent last, and the longest time without one.
    pub last: Instant,
    pub silence: Duration,
    pub frames: u64,
}

impl LossyLink {
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            flying: BinaryHeap::new(),
            dice: Dice(seed | 1),
            faults,
            delay: Duration::from_micros(200),
            byte: 1,
            free_at: [Instant(0); 2],
            queue: 4 << 20,
            order: 0,
            last: Instant(1),
            silence: Duration::ZERO,
            frames: 0,
        }
    }

    pub fn send(&mut self, to: usize, mut frame: Vec<u8>, now: Instant) {
        self.silence = self.silence.max(now.since(self.last));
        self.last = now;
        self.frames += 1;
        let begins = self.free_at[to].max(now);
        if begins.since(now).as_nanos() as u64 > self.queue * self.byte.max(1) {
            return;
        }
        self.free_at[to] = begins + Duration::from_nanos(frame.len() as u64 * self.byte);
        let faults = self.faults;
        let regular = faults.every > 0 && self.frames.is_multiple_of(faults.every.into());
        if regular || self.dice.hits(faults.lost) {
            return;
        }
        if self.dice.hits(faults.corrupt) {
            let place = self.dice.next() as usize % frame.len();
            frame[place] ^= 1 << (self.dice.next() % 8);
        }
        let copies = if self.dice.hits(faults.twice) { 2 } else { 1 };
        for _ in 0..copies {
            let late = if self.dice.hits(faults.late) { self.dice.next() % 3_000_000 } else { 0 };
            let at = self.free_at[to] + self.delay + Duration::from_nanos(late);
            self.order += 1;
            self.flying.push(Flying { at, order: self.order, to, frame: frame.clone() });
        }
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.flying.peek().map(|flying| flying.at)
    }

    /// The next frame that has arrived by then, and where.
    pub fn receive(&mut self, now: Instant) -> Option<(usize, Vec<u8>)> {
        if self.next_at()? > now {
            return None;
        }
        self.flying.pop().map(|flying| (flying.to, flying.frame))
    }
}
