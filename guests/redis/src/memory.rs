//! Sizes of connections' buffers: large while there are few connections, small when there are many.

use minios::net::listener::Admission;

/// Largest buffer, bytes.
const BUFFER_MAXIMUM: usize = 64 << 10;
/// Smallest: more than half of what a peer with an ordinary MTU puts in a packet.
const BUFFER_MINIMUM: usize = 1 << 10;
/// Bytes of a connection besides its buffers: socket, tables, client.
const CONNECTION_OVERHEAD: usize = 2 << 10;
/// Connections beyond `maxclients` that are accepted at a time, to be sent an error and closed.
const REJECTED_MAXIMUM: usize = 16;

/// The memory set aside for connections.
pub struct ConnectionMemory {
    /// Bytes in all.
    budget: usize,
    /// Bytes that open connections use.
    used: usize,
}

impl ConnectionMemory {
    /// A quarter of the heap.
    pub fn new(heap: usize) -> Self {
        Self { budget: heap / 4, used: 0 }
    }

    /// The largest number of connections that the memory suffices for.
    pub fn max_connections(&self) -> usize {
        self.budget / 4 * 3 / (CONNECTION_OVERHEAD + 2 * BUFFER_MINIMUM)
    }

    /// Sizes of the buffers of a new connection when there are `open` and may be `most`. Each takes a share of what is
    /// left, so that there is always something for the next; less if the heap has no room for that. `None`: it has none
    /// even for the smallest.
    pub fn admit(&self, open: usize, most: usize, has_room: impl Fn(usize) -> bool) -> Option<Admission> {
        if open >= most + REJECTED_MAXIMUM {
            return None;
        }
        if open >= most {
            return Some(Admission { receive: 256, transmit: 256 });
        }
        // Three quarters of the budget are kept for as many small connections as there may be.
        let spare = (self.budget / 4).saturating_sub(self.used);
        let size = (spare / 256).next_power_of_two() / 2;
        let size = size.clamp(BUFFER_MINIMUM, BUFFER_MAXIMUM);
        let fits = |size: usize| has_room(2 * size + CONNECTION_OVERHEAD);
        let size = [size, BUFFER_MINIMUM].into_iter().find(|&size| fits(size))?;
        Some(Admission { receive: size, transmit: size })
    }

    /// Counts a new connection whose buffers have `capacity` bytes.
    pub fn reserve(&mut self, capacity: usize) {
        self.used += capacity + CONNECTION_OVERHEAD;
    }

    /// Counts a closed connection whose buffers had `capacity` bytes.
    pub fn release(&mut self, capacity: usize) {
        self.used = self.used.saturating_sub(capacity + CONNECTION_OVERHEAD);
    }
}
