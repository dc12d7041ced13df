//! Numbers of ports. One that is given back rests before another port gets it: packets between threads and news of the port
//! that had it may still be on their way.

use crate::port::PortId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a number rests: what is on its way between threads takes less than a thousandth of it.
const QUARANTINE: Duration = Duration::from_secs(1);

/// Which numbers ports have.
#[derive(Debug, Default)]
pub struct PortNumbers {
    /// The next that no port has had.
    next: u16,
    /// Those that were given back, the longest ago first.
    quarantined: VecDeque<(Instant, PortId)>,
}

impl PortNumbers {
    /// A number for a new port. There are more numbers than ports may be: if all have been given, one that has rested for a
    /// shorter time is given again.
    pub fn take(&mut self) -> PortId {
        let rested = self.quarantined.front().is_some_and(|(at, _)| at.elapsed() >= QUARANTINE);
        if (rested || self.next == u16::MAX)
            && let Some((_, id)) = self.quarantined.pop_front()
        {
            return id;
        }
        let id = PortId(self.next);
        self.next += 1;
        id
    }

    /// Its port is gone.
    pub fn release(&mut self, id: PortId) {
        self.quarantined.push_back((Instant::now(), id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_rests_before_it_is_given_again() {
        let mut numbers = PortNumbers::default();
        let first = numbers.take();
        numbers.release(first);
        let second = numbers.take();
        assert_ne!(first, second);
        numbers.quarantined[0].0 -= QUARANTINE;
        assert_eq!(numbers.take(), first);
        // When none is left, the one that has rested longest is taken.
        numbers.release(second);
        let all: Vec<PortId> = (0..u16::MAX - 2).map(|_| numbers.take()).collect();
        assert!(!all.contains(&second) && !all.contains(&first));
        assert_eq!(numbers.take(), second);
    }
}
