//! Connections that are over, while segments of them may still be on their way (RFC 9293 section 3.6.1). A new SYN takes
//! the place of one (RFC 6191), and the oldest gives way when there are too many.

use super::connection::Ends;
use super::segment::{ACK, FIN, RST, SYN, Segment};
use super::seq::Seq;
use crate::clock::Instant;
use alloc::collections::VecDeque;
use core::time::Duration;

/// Twice the longest life of a segment, as Linux takes it.
const LIFETIME: Duration = Duration::from_secs(60);
/// Connections that are remembered.
const ENTRIES_MAXIMUM: usize = 256;
/// One answers so often at the most.
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug)]
pub struct TimeWaitEntry {
    /// Both ends.
    pub ends: Ends,
    /// The next numbers to be sent and received.
    pub numbers: (Seq, Seq),
    /// The peer's time stamp that was heard last, and what is added to those here.
    pub stamps: Option<(u32, u32)>,
    /// When it is forgotten.
    pub until: Instant,
    /// When it has answered last.
    pub answered: Option<Instant>,
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputOutcome {
    /// It belongs to nothing that is remembered, or may begin something new.
    Unknown,
    /// It is done with.
    Done,
    /// It is to be answered.
    Answer(Segment),
}

/// Those that are remembered, the oldest first.
#[derive(Default)]
pub struct TimeWait(VecDeque<TimeWaitEntry>);

impl TimeWait {
    /// Remembers a connection that is over now, if there is memory.
    pub fn insert(&mut self, mut one: TimeWaitEntry, now: Instant) {
        one.until = now + LIFETIME;
        while self.0.front().is_some_and(|oldest| oldest.until <= now) || self.0.len() >= ENTRIES_MAXIMUM {
            self.0.pop_front();
        }
        if self.0.try_reserve(1).is_ok() {
            self.0.push_back(one);
        }
    }

    /// Whether a connection is remembered.
    pub fn contains(&self, ends: &Ends, now: Instant) -> bool {
        self.0.iter().any(|one| one.ends == *ends && one.until > now)
    }

    /// A segment for a connection that is no more.
    pub fn input(&mut self, ends: &Ends, segment: &Segment, data: usize, now: Instant) -> InputOutcome {
        let Some(index) = self.0.iter().position(|one| one.ends == *ends && one.until > now) else {
            return InputOutcome::Unknown;
        };
        let one = &mut self.0[index];
        if segment.has(RST) {
            // It ends nothing early (RFC 1337).
            return InputOutcome::Done;
        }
        let newer = match (one.stamps, segment.timestamps) {
            (Some((heard, _)), Some((stamp, _))) if stamp != heard => (stamp.wrapping_sub(heard) as i32) > 0,
            _ => segment.seq.after(one.numbers.1),
        };
        if segment.has(SYN) && !segment.has(ACK) && newer {
            self.0.remove(index);
            return InputOutcome::Unknown;
        }
        let again = segment.has(FIN | SYN) || data > 0 || segment.seq.before(one.numbers.1);
        if !again || one.answered.is_some_and(|at| now.since(at) < ANSWER_INTERVAL) {
            return InputOutcome::Done;
        }
        one.answered = Some(now);
        if segment.has(FIN) {
            // The last acknowledgement was lost.
            one.until = now + LIFETIME;
        }
        let stamps =
            one.stamps.map(|(heard, offset)| (super::sender::stamp(now).wrapping_add(offset), heard));
        let answer = Segment {
            source: ends.local.port,
            destination: ends.remote.port,
            seq: one.numbers.0,
            ack: one.numbers.1,
            flags: ACK,
            timestamps: stamps,
            ..Segment::default()
        };
        InputOutcome::Answer(answer)
    }
}
