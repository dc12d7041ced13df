//! Numbers of ports. One that is given back rests before another port gets it: packets between threads and news of the port
//! that had it may still be on their way.

use crate::port::PortId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a number rests: what is on its way between threads takes less than a thousandth of it.
const REST: Duration = Duration::from_secs(1);

/// Which numbers ports have.
#[derive(Debug, Default)]
pub struct Numbers {
    /// The next that no port has had.
    next: u16,
    /// Those that were given back, the longest ago first.
    resting: VecDeque<(Instant, PortId)>,
}

impl Numbers {
    /// A number for a new port. There are more numbers than ports may be: if all have been given, one that has rested for a
    /// shorter time is given again.
    pub fn take(&mut self) -> PortId {
        let rested = self.resting.front().is_some_and(|(at, _)| at.elapsed() >= REST);
        if (rested || self.next == u16::MAX)
            && let Some((_, id)) = self.resting.pop_front()
        {
            return id;
        }
        let id = PortId(self.next);
        self.next += 1;
        id
    }

    /// Its port is gone.
    pub fn give_back(&mut self, id: PortId) {
        self.resting.push_back((Instant::now(), id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_rests_before_it_is_given_again() {
        let mut numbers = Numbers::default();
        let first = numbers.take();
        numbers.give_back(first);
        let second = numbers.take();
        assert_ne!(first, second);
        numbers.resting[0].0 -= REST;
        assert_eq!(numbers.take(), first);
        // When none is left, the one that has rested longest is taken.
        numbers.give_back(second);
        let all: Vec<PortId> = (0..u16::MAX - 2).map(|_| numbers.take()).collect();
        assert!(!all.contains(&second) && !all.contains(&first));
        assert_eq!(numbers.take(), second);
    }
}
