//! Latencies counted in buckets that grow with them: 16 to each power of two, so that none is off by more than 6 %.

use alloc::vec;
use alloc::vec::Vec;

/// Buckets to a power of two, as a power of two.
const FINE: u32 = 4;

/// Counts of nanoseconds.
pub struct Histogram {
    /// Number of latencies in each bucket.
    buckets: Vec<u64>,
    /// Number of latencies in all.
    total: u64,
    /// The largest latency, nanoseconds.
    maximum: u64,
}

fn bucket(ns: u64) -> usize {
    let ns = ns.max(1 << FINE);
    let power = ns.ilog2();
    let fine = (ns >> (power - FINE)) & ((1 << FINE) - 1);
    (((power - FINE) as usize) << FINE) + fine as usize
}

/// The smallest value of a bucket.
fn floor(bucket: usize) -> u64 {
    let power = (bucket >> FINE) as u32;
    ((1 << FINE) + (bucket as u64 & ((1 << FINE) - 1))) << power
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self { buckets: vec![0; bucket(1 << 40) + 1], total: 0, maximum: 0 }
    }

    /// Counts `times` of `ns`.
    pub fn add(&mut self, ns: u64, times: u64) {
        let last = self.buckets.len() - 1;
        self.buckets[bucket(ns).min(last)] += times;
        self.total += times;
        self.maximum = self.maximum.max(ns);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency in nanoseconds that `fraction` of all requests did not exceed.
    pub fn quantile(&self, fraction: f64) -> u64 {
        let wanted = (fraction * self.total as f64) as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return floor(at + 1).min(self.maximum);
            }
        }
        self.maximum
    }

    /// Powers of two with anything in them: from, to, how many.
    pub fn octaves(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let sums = self.buckets.chunks(1 << FINE).map(|fine| fine.iter().sum::<u64>()).enumerate();
        sums.filter(|(_, count)| *count > 0)
            .map(|(power, count)| (floor(power << FINE), floor((power + 1) << FINE), count))
    }
}
