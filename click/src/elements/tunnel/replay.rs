//! Sequence numbers that have been seen (RFC 4303, section 3.4.3).

/// How many numbers behind the highest may still come.
const WINDOW: u32 = 64;

/// Numbers seen.
#[derive(Default)]
pub struct Window {
    highest: u32,
    /// Bit n: that n below the highest has come.
    seen: u64,
}

impl Window {
    /// Whether a number may be new.
    pub fn is_new(&self, number: u32) -> bool {
        match self.highest.checked_sub(number) {
            _ if number == 0 => false,
            None => true,
            Some(behind) => behind < WINDOW && self.seen & (1 << behind) == 0,
        }
    }

    /// Notes a number, once its packet is known to be genuine.
    pub fn note(&mut self, number: u32) {
        match number.checked_sub(self.highest) {
            Some(ahead) => {
                self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 } | 1;
                self.highest = number;
            }
            None => self.seen |= 1u64.checked_shl(self.highest - number).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Compared with a set of all numbers.
        #[test]
        fn every_number_counts_once(numbers in prop::collection::vec(0u32..200, 1..300)) {
            let (mut window, mut seen, mut highest) = (Window::default(), BTreeSet::new(), 0);
            for number in numbers {
                let new = number > 0 && !seen.contains(&number) && number + WINDOW > highest;
                prop_assert_eq!(window.is_new(number), new);
                if new {
                    window.note(number);
                    seen.insert(number);
                    highest = highest.max(number);
                }
            }
        }
    }
}
