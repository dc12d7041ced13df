//! How much memory connections get: much while they are few, little when they are many.

use minios::net::listener::Admission;

/// Largest buffer, bytes.
const LARGEST: usize = 64 << 10;
/// Smallest: more than half of what a peer with an ordinary MTU puts in a packet.
const SMALLEST: usize = 1 << 10;
/// Bytes of a connection besides its buffers: socket, tables, client.
const OVERHEAD: usize = 2 << 10;
/// Connections beyond the limit that are told so, at a time.
const TOLD: usize = 16;

/// What is left for connections.
pub struct Buffers {
    /// In all.
    budget: usize,
    /// In use.
    used: usize,
}

impl Buffers {
    /// A quarter of the heap.
    pub fn new(heap: usize) -> Self {
        Self { budget: heap / 4, used: 0 }
    }

    /// How many connections there can be.
    pub fn most_connections(&self) -> usize {
        self.budget / 4 * 3 / (OVERHEAD + 2 * SMALLEST)
    }

    /// Buffers for a new connection when there are `open` and may be `most`. Each takes a share of what is left, so that
    /// there is always something for the next.
    pub fn admit(&self, open: usize, most: usize) -> Option<Admission> {
        if open >= most + TOLD {
            return None;
        }
        if open >= most {
            return Some(Admission { receive: 256, transmit: 256 });
        }
        // Three quarters of the budget are kept for as many small connections as there may be.
        let spare = (self.budget / 4).saturating_sub(self.used);
        let size = (spare / 256).next_power_of_two() / 2;
        let size = size.clamp(SMALLEST, LARGEST);
        Some(Admission { receive: size, transmit: size })
    }

    /// A connection has got so much.
    pub fn take(&mut self, capacity: usize) {
        self.used += capacity + OVERHEAD;
    }

    /// A connection has given so much back.
    pub fn give(&mut self, capacity: usize) {
        self.used = self.used.saturating_sub(capacity + OVERHEAD);
    }
}
