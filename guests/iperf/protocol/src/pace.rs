//! Keeps a sender to a rate: a block is due when what was sent before it has had its time.

/// A sender's pace.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bits per second; 0: none.
    rate: u64,
    sent: u64,
}

impl Pace {
    /// A pace of so many bits per second; 0 sets none.
    pub fn new(rate: u64) -> Self {
        Self { rate, sent: 0 }
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.rate != 0
    }

    /// Bytes were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// When the next block is due, nanoseconds since the start.
    pub fn due_ns(&self) -> u64 {
        if self.rate == 0 {
            return 0;
        }
        let ns = u128::from(self.sent) * 8 * 1_000_000_000 / u128::from(self.rate);
        ns.min(u64::MAX.into()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabit_takes_a_second_at_a_megabit_per_second() {
        let mut pace = Pace::new(1_000_000);
        assert_eq!(pace.due_ns(), 0);
        pace.sent(125_000);
        assert_eq!(pace.due_ns(), 1_000_000_000);
        assert_eq!(Pace::new(0).due_ns(), 0);
    }
}
