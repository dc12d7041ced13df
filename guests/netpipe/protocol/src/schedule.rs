//! Sizes of the messages: steps that double every second time, and a little less and a little more around each.

/// The sizes, one after the other, without end until they no longer fit 32 bits.
#[derive(Clone, Debug)]
pub struct Schedule {
    perturbation: u32,
    size: u32,
    increment: u32,
    step: u32,
    /// Offset from `size` of the next message, and of the last one around this size.
    next: i64,
    last: i64,
    stride: u32,
}

impl Schedule {
    /// Sizes from `lower` on; `perturbation` bytes less and more, 0 for none.
    pub fn new(lower: u32, perturbation: u32) -> Self {
        let larger = lower > 1;
        let increment = if larger { lower / 2 } else { 1 };
        let mut new = Self {
            perturbation,
            size: lower.max(1),
            increment,
            step: larger.into(),
            next: 0,
            last: 0,
            stride: 1,
        };
        new.set_perturbation();
        new
    }

    /// Sets out the messages around `size`. Steps that are too small have none but their own.
    fn set_perturbation(&mut self) {
        if self.step > 2 && self.step % 2 == 1 {
            self.increment = self.increment.saturating_mul(2);
        }
        let p = self.perturbation;
        let around = if p > 0 && self.increment > p.saturating_add(1) { p } else { 0 };
        (self.next, self.last, self.stride) = (-i64::from(around), around.into(), around.max(1));
    }
}

impl Iterator for Schedule {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.next > self.last {
            self.size = self.size.checked_add(self.increment)?;
            self.step += 1;
            self.set_perturbation();
        }
        let size = u32::try_from(i64::from(self.size) + self.next).ok()?;
        self.next += i64::from(self.stride);
        Some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn the_sizes_are_those_of_nptcp() {
        let sizes: Vec<u32> = Schedule::new(1, 3).take(25).collect();
        let observed =
            [1, 2, 3, 4, 6, 8, 12, 13, 16, 19, 21, 24, 27, 29, 32, 35, 45, 48, 51, 61, 64, 67, 93, 96, 99];
        assert_eq!(sizes, observed);
        let sizes: Vec<u32> = Schedule::new(64, 3).take(12).collect();
        assert_eq!(sizes, [61, 64, 67, 93, 96, 99, 125, 128, 131, 189, 192, 195]);
    }

    #[test]
    fn without_perturbation_there_is_one_message_a_size() {
        let sizes: Vec<u32> = Schedule::new(1, 0).take(9).collect();
        assert_eq!(sizes, [1, 2, 3, 4, 6, 8, 12, 16, 24]);
    }

    #[test]
    fn sizes_end_where_they_no_longer_fit() {
        assert!(Schedule::new(u32::MAX - 10, u32::MAX).count() < 10);
        assert!(Schedule::new(1, 3).count() < 1000);
    }
}
